"""Learn from a data set's own answers what right ones look like, and how mistakes differ from them.

Nobody has marked which answers are wrong, but most are right, and wrong ones can be made. So one model learns which
span of a context is given as the answer, and one for each kind of mistake learns to tell given answers from planted
ones. All use the same features; none scores a paragraph that it has learned from.
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
class TrainingSet:
    """Features of U given answers, of M mistakes planted in their places, and of spans to compare them with."""

    given: np.ndarray  # (U, F)
    mistakes: np.ndarray  # (M, F)
    mistake_of: np.ndarray  # (M,) int64, the row of `given` whose place each mistake takes
    kinds: np.ndarray  # (M,) names of the kinds of mistake
    compared: list[np.ndarray]  # for each given answer, (A, F) of one or more other spans of its context


class Explanation(NamedTuple):
    """Why a model doubts a span."""

    kind: str | None  # of the mistakes, the one it resembles most; None if it resembles given answers more
    deviation: np.ndarray  # (F,) each feature, less its mean over given answers
    terms: np.ndarray  # (F,) what that adds to the log-odds; negative speaks against the span


class AnswerModel:
    """Tells given answers from mistakes and from other spans, by their features.

    Parameters
    ----------
    training : TrainingSet
    rows : ndarray of int
        The given answers to learn from.
    """

    def __init__(self, training: TrainingSet, rows: np.ndarray):
        of_rows = np.isin(training.mistake_of, rows)
        given, mistakes, kinds = training.given[rows], training.mistakes[of_rows], training.kinds[of_rows]
        mean, self._mean_given = mistakes.mean(axis=0), given.mean(axis=0)
        deviation = np.maximum(mistakes.std(axis=0), given.std(axis=0))
        # A feature that never varies has no scale.
        scale = np.where(deviation > 1e-9, deviation, 1.0)
        choice_weights = _fit_choice(
            [(np.vstack([training.given[[row]], training.compared[row]]) - mean) / scale for row in rows]
        )
        given, mistakes = (given - mean) / scale, (mistakes - mean) / scale
        self._kinds = np.unique(kinds)
        fitted = [_fit_against(given, mistakes[kinds == kind]) for kind in self._kinds]
        weights = np.column_stack([model.coef_[0] for model in fitted])
        intercepts = np.concatenate([model.intercept_ for model in fitted])
        # For features that are not standardised.
        self._weights = weights / scale[:, None]
        self._intercepts = intercepts - mean @ self._weights
        # Utilities of one context are only compared with each other, so the mean is left in.
        self._choice_weights = choice_weights / scale

    def log_odds(self, features: np.ndarray, compared: np.ndarray) -> np.ndarray:
        """Return the log-odds that spans are given answers rather than mistakes, for equally many of both.

        Mistakes are an equal mixture of the kinds, so that a span that looks like one kind is doubted however unlike
        the other kinds it looks.

        Parameters
        ----------
        features : ndarray of shape (S, F)
            Of S spans of one context.
        compared : ndarray of shape (A, F)
            Of spans of that context to compare them with.

        Returns
        -------
        ndarray of shape (S,)
        """
        of_kinds = features @ self._weights + self._intercepts
        mixture = np.log(of_kinds.shape[1]) - np.logaddexp.reduce(-of_kinds, axis=1)
        utilities = compared @ self._choice_weights
        preference = features @ self._choice_weights - np.logaddexp.reduce(utilities) + np.log(len(utilities))
        return mixture + CHOICE_SHARE * preference

    def explain(self, features: np.ndarray) -> Explanation:
        """Say what the log-odds of one span, of features of shape (F,), come from.

        A feature's weight is its part of the gradient of `log_odds`: of each kind of mistake as much as the span
        resembles it, and of the choice.
        """
        of_kinds = features @ self._weights + self._intercepts
        resemblance = np.exp(-of_kinds - np.logaddexp.reduce(-of_kinds))
        deviation = features - self._mean_given
        terms = deviation * (self._weights @ resemblance + CHOICE_SHARE * self._choice_weights)
        closest = int(of_kinds.argmin())
        return Explanation(str(self._kinds[closest]) if of_kinds[closest] < 0 else None, deviation, terms)

    def choice(self, features: np.ndarray) -> np.ndarray:
        """Return the probability that each of S spans is the given answer, shape (S,), if one of them is.

        `features` has the shape (S, F).
        """
        utilities = features @ self._choice_weights
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
        return CHOICE_PENALTY / 2 * weights @ weights - log_likelihood, CHOICE_PENALTY * weights - gradient

    found = minimize(loss, np.zeros(stacked.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    if not found.success:
        raise RuntimeError(f"expected the choice model to converge, found: {found.message}")
    return found.x


def parts_of(paragraphs: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """Split answers into at most `NUM_PARTS` parts without cutting a paragraph.

    Parameters
    ----------
    paragraphs : ndarray of shape (N,), int64
        The paragraph of each answer.
    learned : ndarray of int64
        The paragraphs of the answers to learn from, at least two different ones: no part holds all of them.

    Returns
    -------
    ndarray of shape (N,), int64
        The part of each answer.
    """
    num_parts = min(NUM_PARTS, len(np.unique(learned)))
    part_of = {}
    for part, (_, held_out) in enumerate(GroupKFold(num_parts).split(learned, groups=learned)):
        part_of |= dict.fromkeys(learned[held_out].tolist(), part)
    return np.array([part_of.get(paragraph, paragraph % num_parts) for paragraph in paragraphs.tolist()])
