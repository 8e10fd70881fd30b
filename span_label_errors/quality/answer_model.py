"""Learn from a data set's own answers what right ones look like, and how mistakes differ from them.

Nobody has marked which answers are wrong, but most are right, and wrong ones can be made. So one model learns which
span of a context is given as the answer, and one for each kind of mistake learns to tell given answers from planted
ones. All weigh the same evidence; none is asked about a paragraph that it has learned from.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

NUM_PARTS = 5
# Strengths of the ridge penalties, chosen by measurement on planted errors; a wide range does about as well.
MISTAKE_C = 0.03
CHOICE_PENALTY = 0.01
# How much it counts that a span would be chosen: the choice knows all spans of a context, but no mistakes.
CHOICE_SHARE = 0.25


@dataclass(frozen=True)
class TrainingEvidence:
    """Evidence for U given answers, for M mistakes planted in their places, and for other spans.

    Attributes
    ----------
    given : ndarray of shape (U, F)
    mistakes : ndarray of shape (M, F)
    mistake_of : ndarray of shape (M,), int64
        The row of `given` whose place the mistake takes.
    kinds : ndarray of shape (M,)
        Names of the kinds of mistake.
    others : list of ndarray, length U
        For each given answer, evidence of shape (A, F) for A spans of its context, A at least 1.
    """

    given: np.ndarray
    mistakes: np.ndarray
    mistake_of: np.ndarray
    kinds: np.ndarray
    others: list[np.ndarray]


class Explanation(NamedTuple):
    """Why a model doubts a span."""

    kind: str | None  # of the mistakes, the one it resembles most; None if it resembles given answers more
    deviation: np.ndarray  # (F,) each feature, less its mean over given answers
    terms: np.ndarray  # (F,) what that adds to the log-odds; negative speaks against the span


class AnswerModel:
    """Weighs evidence, after learning from some rows of a `TrainingEvidence`.

    Parameters
    ----------
    evidence : TrainingEvidence
    rows : ndarray of int
        The given answers to learn from.
    """

    def __init__(self, evidence: TrainingEvidence, rows: np.ndarray):
        of_rows = np.isin(evidence.mistake_of, rows)
        mistakes = evidence.mistakes[of_rows]
        self._mean, self._mean_given = mistakes.mean(axis=0), evidence.given[rows].mean(axis=0)
        deviation = np.maximum(mistakes.std(axis=0), evidence.given[rows].std(axis=0))
        # Evidence that never varies says nothing.
        self._scale = np.where(deviation > 1e-9, deviation, 1.0)
        choice_weights = _fit_choice(
            [self._standardised(np.vstack([evidence.given[[row]], evidence.others[row]])) for row in rows]
        )
        given, planted = self._standardised(evidence.given[rows]), self._standardised(mistakes)
        kinds = evidence.kinds[of_rows]
        self._kinds = np.unique(kinds)
        fitted = [_fit_against(given, planted[kinds == kind]) for kind in self._kinds]
        weights = np.column_stack([model.coef_[0] for model in fitted])
        intercepts = np.concatenate([model.intercept_ for model in fitted])
        # For evidence as it is: to standardise that of every span would take longer than to weigh it.
        self._weights = weights / self._scale[:, None]
        self._intercepts = intercepts - self._mean @ self._weights
        # Utilities of one context are only compared with each other, so the mean is left in.
        self._choice_weights = choice_weights / self._scale

    def _standardised(self, evidence: np.ndarray) -> np.ndarray:
        return (evidence - self._mean) / self._scale

    def log_odds(self, evidence: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the log-odds that spans are given answers rather than mistakes, for equally many of both.

        Mistakes are an equal mixture of the kinds: what one kind looks like must not excuse another.

        Parameters
        ----------
        evidence : ndarray of shape (S, F)
            Of S spans of one context.
        others : ndarray of shape (A, F)
            Of spans of that context to compare them with.

        Returns
        -------
        ndarray of shape (S,)
        """
        against = evidence @ self._weights + self._intercepts
        mixture = np.log(against.shape[1]) - np.logaddexp.reduce(-against, axis=1)
        utilities = others @ self._choice_weights
        preference = evidence @ self._choice_weights - np.logaddexp.reduce(utilities) + np.log(len(utilities))
        return mixture + CHOICE_SHARE * preference

    def explain(self, evidence: np.ndarray) -> Explanation:
        """Say what the log-odds of one span come from.

        Weights are those of the kinds of mistake, each as much as the span resembles it, and of the choice: together
        the gradient of `log_odds`.

        Parameters
        ----------
        evidence : ndarray of shape (F,)
        """
        against = evidence @ self._weights + self._intercepts
        resemblance = np.exp(-against - np.logaddexp.reduce(-against))
        deviation = evidence - self._mean_given
        terms = deviation * (self._weights @ resemblance + CHOICE_SHARE * self._choice_weights)
        closest = int(against.argmin())
        return Explanation(str(self._kinds[closest]) if against[closest] < 0 else None, deviation, terms)

    def choice(self, evidence: np.ndarray) -> np.ndarray:
        """Return each span's probability of being the given answer, if one of these S spans is."""
        utilities = evidence @ self._choice_weights
        return np.exp(utilities - np.logaddexp.reduce(utilities))


def _fit_against(given: np.ndarray, mistakes: np.ndarray) -> LogisticRegression:
    # Both sides weigh the same: how many answers are wrong is a separate question.
    weights = np.repeat([1.0, len(given) / len(mistakes)], [len(given), len(mistakes)])
    is_given = np.repeat([1, 0], [len(given), len(mistakes)])
    return LogisticRegression(C=MISTAKE_C, max_iter=1000).fit(np.vstack([given, mistakes]), is_given, weights)


def _fit_choice(choices: list[np.ndarray]) -> np.ndarray:
    """Fit a conditional logit; the first row of each array is the one that was chosen.

    McFadden (1974), "Conditional logit analysis of qualitative choice behavior". It may learn from a random part
    of the alternatives without a bias.
    """
    stacked = np.concatenate(choices)
    starts = np.cumsum([0, *(len(choice) for choice in choices)])
    chosen, lengths = starts[:-1], np.diff(starts)

    def loss(weights):
        utility = stacked @ weights
        highest = np.repeat(np.maximum.reduceat(utility, chosen), lengths)
        exponential = np.exp(utility - highest)
        total = np.repeat(np.add.reduceat(exponential, chosen), lengths)
        log_likelihood = (utility - highest - np.log(total))[chosen].mean()
        gradient = (stacked[chosen].sum(axis=0) - (exponential / total) @ stacked) / len(choices)
        return (
            CHOICE_PENALTY / 2 * weights @ weights - log_likelihood,
            CHOICE_PENALTY * weights - gradient,
        )

    found = minimize(loss, np.zeros(stacked.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    if not found.success:
        raise RuntimeError(f"expected the choice model to converge, found: {found.message}")
    return found.x


def parts_of_groups(groups: np.ndarray) -> np.ndarray:
    """Distribute rows over `NUM_PARTS` parts (fewer if there are fewer groups) without cutting a group.

    Parameters
    ----------
    groups : ndarray of shape (U,), int64
        At least two different ones.

    Returns
    -------
    ndarray of shape (U,), int64
    """
    part = np.empty(len(groups), dtype=np.int64)
    splitter = GroupKFold(min(NUM_PARTS, len(np.unique(groups))))
    for number, (_, held_out) in enumerate(splitter.split(groups, groups=groups)):
        part[held_out] = number
    return part
