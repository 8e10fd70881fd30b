"""The judge of data where every span is labelled."""

import pandas as pd

from span_label_errors.quality.choice import SPAN_PRIOR_FILE, ChoicePrior, read_prior
from span_label_errors.quality.posterior import Judge, JudgeRecipe
from span_label_errors.quality.span_features import SPAN_FEATURES
from span_label_errors.quality.span_mistakes import SPAN_KINDS, span_joint
from span_label_errors.quality.span_sites import NUM_SPANS, SpanSites


class SpanJudge(Judge):
    """Learns from a data set where every span is labelled, and judges the given spans and those that may be missing.

    The parameters and attributes are those of `Judge`; `recipe.num_candidates` counts spans, each of every class.
    """

    all_kinds = SPAN_KINDS
    joint_probabilities = staticmethod(span_joint)

    def _default_recipe(self) -> JudgeRecipe:
        return JudgeRecipe(kinds=tuple(SPAN_KINDS), num_candidates=NUM_SPANS, strength=10_000.0)

    def _default_prior(self) -> ChoicePrior:
        return read_prior(SPAN_PRIOR_FILE, SPAN_FEATURES)

    def _make_sites(self, table: pd.DataFrame) -> SpanSites:
        return SpanSites(table, self.prior.weights, self.recipe.num_candidates)
