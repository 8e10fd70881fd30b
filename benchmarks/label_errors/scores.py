"""Scores of given labels from the same probabilities, which `label_quality` is compared with; low is suspicious."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from cleanlab.experimental.span_classification import get_label_quality_scores

from span_label_errors.quality.posterior import Judged
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, overlaps

LOWEST_TOKEN, SOFTMIN = "cleanlab: lowest token", "cleanlab: softmin"
MEAN, EXPECTED_F1 = "mean P(span)", "expected F1 (`span_label_quality`)"
CHOICE_F1, CHOICE_OVERLAP = "choice: expected character F1", "choice: P(overlap)"
OURS = "`label_quality` (ours)"


def probability_scores(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return scores of each example by its probabilities alone, each of shape (n,).

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


def choice_scores(judged: Iterable[Judged]) -> dict[str, np.ndarray]:
    """Return scores of each example by how likely each candidate was to be right before the given answer was seen.

    They are the expected character F1 of the given answer with the right one, and the probability that both share a
    character, each of shape (n,); of "no answer", the probability that there is none. The lowest of an example's given
    answers stands for it.
    """
    example_index, f1, overlap = [], [], []
    for of_answer in judged:
        shared = character_f1(of_answer.site.given.span, of_answer.site.spans)
        example_index.append(of_answer.site.given.example_index)
        f1.append(of_answer.choice @ shared)
        overlap.append(of_answer.choice @ (shared > 0))
    return {CHOICE_F1: lowest_of_example(f1, example_index), CHOICE_OVERLAP: lowest_of_example(overlap, example_index)}


def lowest_of_example(scores: list[float], example_index: list[int]) -> np.ndarray:
    """Return the lowest score of each of n examples, all of which have one, shape (n,)."""
    lowest = np.full(max(example_index) + 1, np.inf)
    np.minimum.at(lowest, example_index, scores)
    return lowest


def character_f1(span: Span, others: np.ndarray) -> np.ndarray:
    """Return the F1 of the characters that a span shares with each of S others of shape (S, 2), shape (S,).

    "No answer" (`NO_SPAN`) stands before all contexts: it shares a character with itself only.
    """
    start, end = np.asarray(others).T
    shared = (np.minimum(end, span[1]) - np.maximum(start, span[0])) * overlaps((start, end), span)
    return 2 * shared / (end - start + span[1] - span[0])
