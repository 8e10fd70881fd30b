"""How well a score finds the wrong labels, how sure that is, and whether a label quality is a probability."""

import numpy as np
import pandas as pd
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from span_label_errors.results.read import span_classes_of

AP, AUPRC, AUROC = "average_precision", "trapezoidal_auprc", "auroc"
MEASURES = (AP, AUPRC, AUROC)
NUM_BINS = 10
NUM_RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percentiles


def is_mixed(is_error: np.ndarray) -> bool:
    """Return whether there are both right and wrong labels: else no order is better than another."""
    return bool(0 < is_error.sum() < len(is_error))


def measured(score: np.ndarray, is_error: np.ndarray) -> dict[str, float]:
    """Return how well the lowest scores find the errors."""
    worst_first = is_error[np.argsort(score, kind="stable")]
    return {
        AP: float(average_precision_score(is_error, -score)),
        AUPRC: trapezoidal_auprc(score, is_error),
        AUROC: float(roc_auc_score(is_error, -score)),
        "precision_at_errors": float(worst_first[: is_error.sum()].mean()),
        "recall_in_worst_tenth": float(worst_first[: round(len(score) / 10)].sum() / is_error.sum()),
    }


def precision_at(score: np.ndarray, is_error: np.ndarray, count: int) -> float | None:
    """Return the share of errors among the `count` lowest scores, None if there are fewer scores."""
    if count > len(score):
        return None
    return float(is_error[np.argsort(score, kind="stable")][:count].mean())


def trapezoidal_auprc(score: np.ndarray, is_error: np.ndarray) -> float:
    """Return the trapezoidal area under the precision-recall curve, as published figures have it; AP is a step sum."""
    precision, recall, _ = precision_recall_curve(is_error, -score)
    return float(auc(recall, precision))


def resampled(is_error: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return how often each of n examples is in each of R bootstrap samples, shape (R, n), int64.

    Whole groups are drawn with replacement, since questions on one paragraph are not independent; `groups` has the
    number of each example's group, shape (n,). Samples without both right and wrong labels measure nothing, and are
    drawn again.
    """
    rng, (names, group) = np.random.default_rng(seed), np.unique(groups, return_inverse=True)
    samples = []
    while len(samples) < NUM_RESAMPLES:
        weights = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[group]
        if weights[is_error].any() and weights[~is_error].any():
            samples.append(weights)
    return np.array(samples)


def weighted_measures(score: np.ndarray, is_error: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return `MEASURES` where examples count as often as `weights` (R, n) say, each of shape (R,)."""
    order = np.argsort(score, kind="stable")
    # There is no order among equal scores: they are found together.
    last = np.flatnonzero(np.append(np.diff(score[order]), 1))
    of_all, wrong = (np.cumsum(counts[:, order], axis=1)[:, last] for counts in (weights, weights * is_error))
    right = of_all - wrong
    newly_wrong, newly_right = np.diff(wrong, axis=1, prepend=0), np.diff(right, axis=1, prepend=0)
    num_wrong, num_right = wrong[:, -1], right[:, -1]
    # The curve begins at a recall of 0 with a precision of 1.
    precision = np.where(of_all > 0, wrong / np.maximum(of_all, 1), 1.0)
    before = np.column_stack([np.ones(len(weights)), precision[:, :-1]])
    return {
        AP: (newly_wrong * precision).sum(axis=1) / num_wrong,
        AUPRC: (newly_wrong * (precision + before)).sum(axis=1) / (2 * num_wrong),
        # Pairs of a right and a wrong label in this order; half of those of one score.
        AUROC: (newly_right * (wrong - newly_wrong / 2)).sum(axis=1) / (num_wrong * num_right),
    }


def compared(
    scores: dict[str, np.ndarray], is_error: np.ndarray, groups: np.ndarray, ours: str, seed: int = 0
) -> tuple[dict[str, dict], dict[str, dict]]:
    """Return 95 % bootstrap intervals of `MEASURES`, and how far `ours` is above each other score.

    All scores are measured on the same samples (see `resampled`), so that the interval of a difference is that of a
    paired comparison.

    Returns
    -------
    intervals : dict
        `(low, high)` of each score and measure.
    differences : dict
        Of each other score and measure, `difference` on the data as they are, and its `interval`.
    """
    samples = resampled(is_error, groups, seed)
    as_it_is = np.ones((1, len(is_error)), dtype=np.int64)
    found = {name: weighted_measures(score, is_error, samples) for name, score in scores.items()}
    points = {name: weighted_measures(score, is_error, as_it_is) for name, score in scores.items()}
    intervals = {name: {measure: interval(of[measure]) for measure in MEASURES} for name, of in found.items()}
    differences = {
        name: {
            measure: {
                "difference": float((points[ours][measure] - points[name][measure])[0]),
                "interval": interval(found[ours][measure] - found[name][measure]),
            }
            for measure in MEASURES
        }
        for name in scores
        if name != ours
    }
    return intervals, differences


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of bootstrap samples."""
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)


def reliability(quality: np.ndarray, is_error: np.ndarray) -> list[dict]:
    """Return, for equally wide bins of the label quality that hold any, its mean beside the share of right labels."""
    number = np.minimum((quality * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        {
            "from": k / NUM_BINS, "to": (k + 1) / NUM_BINS, "examples": int((number == k).sum()),
            "mean_quality": float(quality[number == k].mean()), "share_right": float(1 - is_error[number == k].mean()),
        }
        for k in np.unique(number).tolist()
    ]  # fmt: skip


def expected_calibration_error(bins: list[dict]) -> float | None:
    """Return the mean distance of quality and share of right labels over the bins, each as its examples weigh."""
    if not bins:
        return None
    distances = [abs(of_bin["mean_quality"] - of_bin["share_right"]) for of_bin in bins]
    return float(np.average(distances, weights=[of_bin["examples"] for of_bin in bins]))


def calibration(quality: np.ndarray, is_error: np.ndarray) -> dict:
    """Return how near a label quality is to a probability: by its bins, and by the number of errors it expects."""
    bins, sum_of_doubt = reliability(quality, is_error), float((1 - quality).sum())
    return {
        "reliability": bins, "expected_calibration_error": expected_calibration_error(bins),
        "sum_of_doubt": sum_of_doubt,
        "sum_of_doubt_by_errors": sum_of_doubt / int(is_error.sum()) if is_error.any() else None,
    }  # fmt: skip


def token_average_precision(table: pd.DataFrame) -> dict[str, list[float | None]]:
    """Return the average precision of the held-out tokens, by span class and fold; None where no token is labelled."""
    found = {name: [] for name in span_classes_of(table)}
    for _, rows in table.groupby("fold"):
        for name, of_folds in found.items():
            labels, probs = (np.concatenate(list(rows[f"{column}_{name}"])) for column in ("labels", "pred_probs"))
            of_folds.append(float(average_precision_score(labels, probs)) if labels.any() else None)
    return found
