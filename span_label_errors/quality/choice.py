"""Which span of a context answers its question: a choice model that learns from the given answers themselves."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from span_label_errors.quality.features import FEATURES

PRIOR_FILE = Path(__file__).with_name("choice_prior.json")
SPAN_PRIOR_FILE = Path(__file__).with_name("span_choice_prior.json")


class ChoicePrior(NamedTuple):
    """What is known about the choice before a data set is seen."""

    weights: np.ndarray  # (F,)
    scale: np.ndarray  # (F,) how much each feature varies


def read_prior(file: Path = PRIOR_FILE, features: Iterable[str] = tuple(FEATURES)) -> ChoicePrior:
    """Return a prior of this package, which `benchmarks/label_errors/choice_prior.py` learns from other data."""
    prior = json.loads(file.read_text(encoding="utf-8"))
    return ChoicePrior(*(np.array([prior[name][part] for name in features]) for part in ("weight", "scale")))


def log_choice(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the log-probability that each of S candidates is the right one, shape (S,), from features (S, F)."""
    utility = features @ weights
    utility -= utility.max()
    return utility - np.log(np.exp(utility).sum())


def fit_choice(choices: Sequence[np.ndarray], importance: np.ndarray, prior: ChoicePrior, penalty: float) -> np.ndarray:
    """Return the weights, shape (F,), of a conditional logit that is pulled towards prior weights.

    McFadden (1974), "Conditional logit analysis of qualitative choice behavior". It may learn from a random part of
    the alternatives without a bias. The ridge penalty is `penalty / 2` times the squared distance of the weights from
    the prior, each in units of `1 / scale`: so few answers leave the prior as it is, and many outweigh it.

    Parameters
    ----------
    choices : sequence of ndarray of shape (A, F)
        Features of the candidates of N answers; the first row of each is the one that was chosen.
    importance : ndarray of shape (N,)
        How much each answer counts.
    """
    if not len(choices):
        return prior.weights
    from scipy.optimize import minimize  # 0.1 s, which a review of what was judged does without

    start = prior.weights * prior.scale
    scaled = np.concatenate(choices)
    scaled /= prior.scale
    lengths = np.array([len(choice) for choice in choices])
    chosen = np.cumsum(lengths) - lengths
    of_chosen = importance @ scaled[chosen]

    def loss(weights):
        utility = scaled @ weights
        highest = np.maximum.reduceat(utility, chosen)
        exponential = np.exp(utility - np.repeat(highest, lengths))
        total = np.add.reduceat(exponential, chosen)
        log_likelihood = importance @ (utility[chosen] - highest - np.log(total))
        gradient = of_chosen - (np.repeat(importance / total, lengths) * exponential) @ scaled
        away = weights - start
        return penalty / 2 * away @ away - log_likelihood, penalty * away - gradient

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    # At the limit of precision the search can stop as unsuccessful, where nothing is left to gain.
    if not found.success and np.abs(found.jac).max() > 1e-3 * max(1.0, importance.sum()):
        raise RuntimeError(f"expected the choice model to converge, found: {found.message}")
    return found.x / prior.scale
