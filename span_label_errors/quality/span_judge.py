"""The judge of data where every span is labelled."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import pandas as pd

from span_label_errors.quality.choice import SPAN_PRIOR_FILE, ChoicePrior, read_prior
from span_label_errors.quality.posterior import Judge, JudgeRecipe
from span_label_errors.quality.span_features import SPAN_FEATURES
from span_label_errors.quality.span_mistakes import SPAN_KINDS, JoinedSites, span_joint
from span_label_errors.quality.span_sites import NUM_SPANS, SpanSite, SpanSites

# The probabilities of the candidates of so many sites are worked out at once.
_SITES_AT_ONCE = 100


class SpanJudge(Judge):
    """Learns from a data set where every span is labelled, and judges the given spans and those that may be missing.

    The parameters and attributes are those of `Judge`; `recipe.num_candidates` counts spans, each of every class.
    """

    all_kinds = SPAN_KINDS

    def _default_recipe(self) -> JudgeRecipe:
        return JudgeRecipe(kinds=tuple(SPAN_KINDS), num_candidates=NUM_SPANS, strength=10_000.0)

    def _default_prior(self) -> ChoicePrior:
        return read_prior(SPAN_PRIOR_FILE, SPAN_FEATURES)

    def _make_sites(self, table: pd.DataFrame) -> SpanSites:
        return SpanSites(table, self.prior.weights, self.recipe.num_candidates)

    def _joint(self, sites: Iterable[tuple[int, SpanSite]]) -> Iterator[tuple[int, SpanSite, np.ndarray, np.ndarray]]:
        sites = iter(sites)
        while at_once := list(islice(sites, _SITES_AT_ONCE)):
            joined = JoinedSites([site for _, site in at_once])
            choice = np.exp(joined.log_choice([self.weights[self.model_of[row]] for row, _ in at_once]))
            joint = span_joint(joined, choice, self.recipe.kinds)
            for number, (row, site) in enumerate(at_once):
                of_site = slice(*joined.first_row[number : number + 2])
                yield row, site, choice[of_site], joint[:, of_site]
