"""Scores of given labels from the same probabilities, and how well a score finds the wrong ones."""

import numpy as np
import pandas as pd
from cleanlab.experimental.span_classification import get_label_quality_scores
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from span_label_errors.quality.candidates import AnswerFeatures
from span_label_errors.quality.held_out import HeldOutModels
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, overlaps

LOWEST_TOKEN, SOFTMIN = "cleanlab: lowest token", "cleanlab: softmin"
MEAN, EXPECTED_F1 = "mean P(span)", "expected F1 (`span_label_quality`)"
CHOICE_F1, CHOICE_OVERLAP = "choice model: expected character F1", "choice model: P(overlap)"
OURS = "`label_quality` (ours)"
NUM_BINS = 10
NUM_RESAMPLES = 1000


def probability_scores(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return scores of each example by its probabilities alone, each of shape (n,); low is suspicious.

    Of several span classes, the lowest score stands for the example: a missed span, or a wrong class, shows in the
    column of its class. The mean over the given span's tokens has nothing to say of an example without a given span,
    and is left out where there is more than one class.
    """
    classes = span_classes_of(table)
    columns = [(list(table[f"labels_{name}"]), list(table[f"pred_probs_{name}"])) for name in classes]
    softmin = {"sentence_score_method": "softmin"}  # cleanlab's temperature: 0.05
    scores = {
        LOWEST_TOKEN: np.min([get_label_quality_scores(*column)[0] for column in columns], axis=0),
        SOFTMIN: np.min([get_label_quality_scores(*column, **softmin)[0] for column in columns], axis=0),
    }
    if len(classes) == 1:
        # Without a given span there is no token to average; such examples are not measured.
        scores[MEAN] = np.array(
            [probs[labels == 1].mean() if labels.any() else 1.0 for labels, probs in zip(*columns[0], strict=True)]
        )
    scores[EXPECTED_F1] = np.min([span_label_quality(*column) for column in columns], axis=0)
    return scores


def choice_scores(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return scores of each example by the choice model's candidate probabilities alone, each of shape (n,).

    They are the expected character F1 of the given answer with the right one, and the probability that both share a
    character. Empty if there are too few answers to learn a choice from; 1 for an example without a given answer.
    """
    models = HeldOutModels(AnswerFeatures(table))
    if not models.has_enough:
        return {}
    f1, overlap = np.ones(len(table)), np.ones(len(table))
    for row, _, candidates, choice in models.judged():
        given = models.features.given_answers[row]
        if given.span is not None:
            shared = character_f1(given.span, candidates.spans)
            f1[given.example_index] = min(f1[given.example_index], choice @ shared)
            overlap[given.example_index] = min(overlap[given.example_index], choice @ (shared > 0))
    return {CHOICE_F1: f1, CHOICE_OVERLAP: overlap}


def character_f1(span: Span, others: list[Span]) -> np.ndarray:
    """Return the F1 of the characters that a span shares with each of S others, shape (S,)."""
    start, end = np.array(others).T
    shared = (np.minimum(end, span[1]) - np.maximum(start, span[0])) * overlaps((start, end), span)
    return 2 * shared / (end - start + span[1] - span[0])


def measured(score: np.ndarray, is_error: np.ndarray) -> dict[str, float]:
    """Return how well the lowest scores find the errors."""
    worst_first = is_error[np.argsort(score, kind="stable")]
    return {
        "average_precision": float(average_precision_score(is_error, -score)),
        "auroc": float(roc_auc_score(is_error, -score)),
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


def average_precision_interval(
    score: np.ndarray, is_error: np.ndarray, groups: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the average precision.

    Whole groups are drawn with replacement, since questions on one paragraph are not independent; `groups` has the
    number of each example's group, shape (n,). Resamples without an error have no average precision, and are drawn
    again.
    """
    rng, (names, group) = np.random.default_rng(seed), np.unique(groups, return_inverse=True)
    found = []
    while len(found) < NUM_RESAMPLES:
        weight = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[group]
        if weight[is_error].any():
            found.append(average_precision_score(is_error, -score, sample_weight=weight))
    low, high = np.percentile(found, [2.5, 97.5])
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


def expected_calibration_error(bins: list[dict]) -> float:
    """Return the mean distance of quality and share of right labels over the bins, each as its examples weigh."""
    distances = [abs(of_bin["mean_quality"] - of_bin["share_right"]) for of_bin in bins]
    return float(np.average(distances, weights=[of_bin["examples"] for of_bin in bins]))


def token_average_precision(table: pd.DataFrame) -> dict[str, list[float | None]]:
    """Return the average precision of the held-out tokens, by span class and fold; None where no token is labelled."""
    found = {name: [] for name in span_classes_of(table)}
    for _, rows in table.groupby("fold"):
        for name, of_folds in found.items():
            labels, probs = (np.concatenate(list(rows[f"{column}_{name}"])) for column in ("labels", "pred_probs"))
            of_folds.append(float(average_precision_score(labels, probs)) if labels.any() else None)
    return found
