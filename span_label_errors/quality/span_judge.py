"""The judge of data where every span is labelled."""

import numpy as np
import pandas as pd

from span_label_errors.quality.choice import SPAN_PRIOR_FILE, ChoicePrior, log_choice, read_prior
from span_label_errors.quality.posterior import Judge, JudgeRecipe
from span_label_errors.quality.span_features import SPAN_FEATURES
from span_label_errors.quality.span_mistakes import SPAN_KINDS, span_joint
from span_label_errors.quality.span_sites import NUM_SPANS, SpanSite, SpanSites


class SpanJudge(Judge):
    """Learns from a data set where every span is labelled, and judges the given spans and those that may be missing.

    The parameters and attributes are those of `Judge`; `recipe.num_candidates` counts spans, each of every class.
    """

    def _default_recipe(self) -> JudgeRecipe:
        return JudgeRecipe(kinds=tuple(SPAN_KINDS), num_candidates=NUM_SPANS, strength=10_000.0)

    def _default_prior(self) -> ChoicePrior:
        return read_prior(SPAN_PRIOR_FILE, SPAN_FEATURES)

    def _make_sites(self, table: pd.DataFrame) -> SpanSites:
        return SpanSites(table, self.prior.weights, self.recipe.num_candidates)

    def _first_shares(self) -> np.ndarray:
        shares = np.array([SPAN_KINDS[name].share for name in self.recipe.kinds])
        return np.concatenate([[1 - self.recipe.share_wrong], self.recipe.share_wrong * shares / shares.sum()])

    def _joint(self, row: int, site: SpanSite) -> tuple[np.ndarray, np.ndarray]:
        choice = np.exp(log_choice(site.features, self.weights[self.model_of[row]]))
        return choice, span_joint(site, choice, self.recipe.kinds)
