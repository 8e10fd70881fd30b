"""The one posterior that everything the judge says follows from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from span_label_errors.quality.choice import ChoicePrior, fit_choice, log_choice, read_prior
from span_label_errors.quality.mistakes import KINDS, joint_probabilities
from span_label_errors.quality.sites import NO_SPAN, NUM_CANDIDATES, KnownAnswers, Site, Sites

# More answers teach the few weights nothing new, but would have to be held in memory.
MAX_LEARNED = 5000
ALTERNATIVES = 100


@dataclass(frozen=True)
class JudgeRecipe:
    """What the judge assumes before it sees data."""

    share_wrong: float = 0.06  # the share of wrong answers, as far as the data say nothing else
    strength: float = 300.0  # of how many answers that assumption has the weight, shares of kinds included
    kinds: tuple[str, ...] = tuple(KINDS)
    penalty: float = 10.0  # how strongly the choice is pulled towards its prior; see `fit_choice`
    rounds: int = 3  # how often the choice is fitted, with the posterior of the last time as weights
    num_candidates: int = NUM_CANDIDATES  # see `Sites`
    num_parts: int = 5  # into which the paragraphs of a fold are split


@dataclass(frozen=True)
class Judged:
    """What the judge thinks of one given answer."""

    row: int  # in `Judge.sites.given_answers`
    site: Site
    choice: np.ndarray  # (S,) P(candidate is right), before the given answer is looked at
    posterior: np.ndarray  # (K + 1, S) P(candidate is right, without a mistake or by each kind | given answer)
    kinds: tuple[str, ...]  # K names
    weights: np.ndarray  # (F,) of the features, in the choice

    @property
    def quality(self) -> float:
        """The probability that the given answer is right."""
        return float(self.posterior[0].sum())

    @property
    def instead(self) -> np.ndarray:
        """The probability that each candidate is right and the given answer wrong, shape (S,)."""
        return self.posterior[1:].sum(axis=0)


class Judge:
    """Learns from a data set what its right answers look like, and how often which mistakes were made.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` as read by pandas: one row per example.
    known : mapping or None
        By example index, the right spans of each class, where reviewers have decided.
    seed : int
        Of the alternatives and, in large data sets, of the answers to learn from.
    recipe, prior : JudgeRecipe, ChoicePrior
        Else the defaults, and `read_prior()`.

    Attributes
    ----------
    sites : Sites
    shares : ndarray of shape (K + 1,)
        The share of right answers, and of each kind of mistake.
    alternatives : list of ndarray of shape (A, F)
        Of the L answers learned from, the features of what is taken for right and, below it, of other candidates.
    importance : ndarray of shape (L,)
        The probability that each of them is right.
    learned : dict of int to Site
        The L answers, by row in `sites.given_answers`.
    model_of : list of (int, int)
        Of each given answer, the fold and the part of it whose other parts its weights are learned from.
    weights : dict of (int, int) to ndarray of shape (F,)
        The weights of each such model.
    num_answers, num_paragraphs : int
        How many given spans there are to learn from, on how many paragraphs.
    """

    # What other kinds of data have others of.
    all_kinds = KINDS

    def __init__(
        self,
        table: pd.DataFrame,
        known: KnownAnswers | None = None,
        *,
        seed: int = 0,
        recipe: JudgeRecipe | None = None,
        prior: ChoicePrior | None = None,
    ):
        self.recipe, self.prior = recipe or self._default_recipe(), prior or self._default_prior()
        self.sites = self._make_sites(table)
        self.sites.tell(known or {})
        paragraphs = [given.paragraph for given in self.sites.given_answers if given.span != NO_SPAN]
        self.num_answers, self.num_paragraphs = len(paragraphs), len(set(paragraphs))
        self.model_of = _models_of(self.sites, self.recipe.num_parts)
        self.learned = dict(self.sites.of(self._sample(np.random.default_rng(seed))))
        self.weights: dict[tuple[int, int], np.ndarray] = {}
        self.shares = self._first_shares()
        self.alternatives, self.importance = self._learn(seed)

    def judged(self) -> Iterator[Judged]:
        """Yield what is thought of every given answer, context by context."""
        unknown = np.array([row for row in range(len(self.sites.given_answers)) if row not in self.learned], dtype=int)
        for row, site, choice, posterior in self._joint(chain(self.learned.items(), self.sites.of(unknown))):
            posterior *= self.shares[:, None] / (self.shares @ posterior.sum(axis=1))
            yield Judged(row, site, choice, posterior, self.recipe.kinds, self.weights[self.model_of[row]])

    # What other kinds of data do otherwise

    def _default_recipe(self) -> JudgeRecipe:
        return JudgeRecipe()

    def _default_prior(self) -> ChoicePrior:
        return read_prior()

    def _make_sites(self, table: pd.DataFrame) -> Sites:
        return Sites(table, self.prior.weights, self.recipe.num_candidates)

    def _sample(self, rng: np.random.Generator) -> np.ndarray:
        """Return the rows of the answers to learn from."""
        rows = np.arange(len(self.sites.given_answers))
        return np.sort(rng.choice(rows, MAX_LEARNED, replace=False)) if len(rows) > MAX_LEARNED else rows

    def _weights_of_learned(self) -> np.ndarray:
        """Return how much each answer that is learned from counts if it is right, shape (L,)."""
        return np.ones(len(self.learned))

    def _first_shares(self) -> np.ndarray:
        shares = np.array([self.all_kinds[name].share for name in self.recipe.kinds])
        return np.concatenate([[1 - self.recipe.share_wrong], self.recipe.share_wrong * shares / shares.sum()])

    def _learn(self, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
        alternatives = [
            _with_alternatives(site, np.random.default_rng([seed, row])) for row, site in self.learned.items()
        ]
        is_known = np.array([site.is_known for site in self.learned.values()], dtype=bool)
        of_model = np.array([self.model_of[row] for row in self.learned])
        cuts_word = np.array([site.cuts_word for site in self.learned.values()], dtype=bool)
        weight = self._weights_of_learned()
        importance = np.where(cuts_word & ~is_known, 0.0, weight)
        for _ in range(self.recipe.rounds):
            for fold, part in sorted(set(self.model_of)):
                # Of the same fold: the networks of other folds have trained on the answers that are judged.
                others = np.flatnonzero((of_model[:, 0] == fold) & (of_model[:, 1] != part))
                choices = [alternatives[position] for position in others]
                self.weights[fold, part] = fit_choice(choices, importance[others], self.prior, self.recipe.penalty)
            # A wrong answer teaches nothing about right ones; what a reviewer said is certain.
            importance = weight * np.select([is_known, cuts_word], [1.0, 0.0], self._fit_shares())
        return alternatives, importance

    def _fit_shares(self) -> np.ndarray:
        """Fit the shares, and return the probability that each answer that is learned from is right, shape (L,)."""
        prior = self._first_shares()
        evidence = [joint.sum(axis=1) for _, _, _, joint in self._joint(self.learned.items())]
        evidence = np.array(evidence).reshape(-1, len(prior))
        self.shares = fitted_shares(evidence, prior, self.recipe.strength)
        return evidence[:, 0] * self.shares[0] / (evidence @ self.shares)

    def _joint(self, sites: Iterable[tuple[int, Site]]) -> Iterator[tuple[int, Site, np.ndarray, np.ndarray]]:
        """Yield of each site, with its row, the choice (S,), and P(candidate is right, given answer), (K + 1, S)."""
        for row, site in sites:
            choice = np.exp(log_choice(site.features, self.weights[self.model_of[row]]))
            yield row, site, choice, joint_probabilities(site, choice, self.recipe.kinds)


def fitted_shares(evidence: np.ndarray, prior: np.ndarray, strength: float, num_steps: int = 300) -> np.ndarray:
    """Return the shares of right answers and of each kind of mistake, by expectation maximisation.

    Dempster, Laird and Rubin (1977), "Maximum likelihood from incomplete data via the EM algorithm", with a Dirichlet
    prior of `strength` answers.

    Parameters
    ----------
    evidence : ndarray of shape (N, K + 1)
        How likely each given answer is without a mistake, and by each kind.
    prior : ndarray of shape (K + 1,)
        The shares before any answer is seen.
    """
    shares = prior
    for _ in range(num_steps):
        posterior = evidence * shares
        counts = (posterior / posterior.sum(axis=1, keepdims=True)).sum(axis=0)
        shares = (counts + strength * prior) / (len(evidence) + strength)
    return shares


def _models_of(sites: Sites, num_parts: int) -> list[tuple[int, int]]:
    """Return the fold of each given answer and the part of it: its model learns from the fold's other parts.

    No paragraph is in two parts of a fold. A fold of one paragraph has one part, so that its model is the prior.
    """
    from sklearn.model_selection import GroupKFold  # 0.3 s, which a review of what was judged does without

    paragraph, part = np.array([given.paragraph for given in sites.given_answers]), np.zeros(len(sites.fold), dtype=int)
    for fold in np.unique(sites.fold):
        rows = np.flatnonzero(sites.fold == fold)
        count = min(num_parts, len(np.unique(paragraph[rows])))
        if count > 1:
            for number, (_, held_out) in enumerate(GroupKFold(count).split(rows, groups=paragraph[rows])):
                part[rows[held_out]] = number
    return list(zip(sites.fold.tolist(), part.tolist(), strict=True))


def _with_alternatives(site: Site, rng: np.random.Generator) -> np.ndarray:
    """Return the features of the answer that is taken for right, and of some alternatives below it."""
    others = rng.permutation(len(site.features))[:ALTERNATIVES]
    return np.take(site.features, [site.right_row, *others[others != site.right_row]], axis=0)
