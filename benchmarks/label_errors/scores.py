"""Scores of given labels from the same probabilities, which `label_quality` is compared with; low is suspicious."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from cleanlab.experimental.span_classification import get_label_quality_scores
from cleanlab.token_classification.rank import get_label_quality_scores as get_word_quality_scores

from span_label_errors.quality.posterior import Judged
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, overlaps

from .measures import trapezoidal_auprc

LOWEST_TOKEN, SOFTMIN = "cleanlab: lowest token", "cleanlab: softmin"
LOWEST_WORD, SOFTMIN_WORD = "cleanlab: lowest word, one class a word", "cleanlab: softmin, one class a word"
TUNED_SOFTMIN = "cleanlab: softmin, tuned on the errors"
# Among which Wang and Mueller (2022, arXiv 2210.03920) choose, by the errors themselves.
TEMPERATURES = np.logspace(-1, -1.5, 6)
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


@dataclass(frozen=True)
class Words:
    """The words of n sentences, each of which has one of K classes, as token classification has it.

    Attributes
    ----------
    spans : list of ndarray of shape (W, 2)
        The characters of each sentence's words, which one space separates.
    labels : list of ndarray of shape (W,)
        The given class: 0 for O, else the number of the span class from 1.
    pred_probs : list of ndarray of shape (W, K)
        P(class). A model of independent classes does not know P(O): it is 1 less the highest P of a span class, and all
        are divided by their sum. The pieces of a word count alike, as published.
    """

    spans: list[np.ndarray]
    labels: list[np.ndarray]
    pred_probs: list[np.ndarray]

    def sentence_scores(self, is_error: np.ndarray) -> dict[str, np.ndarray]:
        """Return cleanlab's scores of each sentence, each of shape (n,); the tuned one knows which are wrong."""
        tuned = [self._scores(float(temperature))[0] for temperature in TEMPERATURES]
        return {
            LOWEST_WORD: self._scores(0)[0],
            SOFTMIN_WORD: self._scores(0.05)[0],
            TUNED_SOFTMIN: max(tuned, key=lambda score: trapezoidal_auprc(score, is_error)),
        }

    def lowest_within(self, example_index: Sequence[int], spans: Sequence[Span]) -> np.ndarray:
        """Return the lowest P(given class) of the words that share a character with each of R spans, shape (R,)."""
        _, of_words = self._scores(0)
        return np.array(
            [
                of_words[index].to_numpy()[overlaps(tuple(self.spans[index].T), span)].min()
                for index, span in zip(example_index, spans, strict=True)
            ]
        )

    def _scores(self, temperature: float) -> tuple[np.ndarray, list[pd.Series]]:
        """Return the soft minimum over the words of each sentence, at 0 the lowest one, and the score of each word."""
        return get_word_quality_scores(
            self.labels, self.pred_probs, sentence_score_method="softmin",
            sentence_score_kwargs={"temperature": temperature},
        )  # fmt: skip


def words_of(table: pd.DataFrame) -> Words:
    """Return the words of the sentences of `out_of_fold.parquet`. A word that has no token is left out."""
    classes, words = span_classes_of(table), Words([], [], [])
    for row in table.to_dict("records"):
        labels, probs = (
            np.column_stack([row[f"{column}_{name}"] for name in classes]) for column in ("labels", "pred_probs")
        )
        competing = np.column_stack([1 - probs.max(axis=1), probs]).astype(np.float64)
        competing /= competing.sum(axis=1, keepdims=True)
        space = np.flatnonzero(np.array(list(row["context"])) == " ")
        _, first, word = np.unique(
            np.searchsorted(space, row["char_start"]), return_index=True, return_inverse=True
        )  # fmt: skip
        of_pieces = np.where(labels.any(axis=1), labels.argmax(axis=1) + 1, 0)
        words.spans.append(np.column_stack([np.asarray(row["char_start"])[first], last_ends(word, row["char_end"])]))
        words.labels.append(of_pieces[first])
        sums = np.column_stack([np.bincount(word, column) for column in competing.T])
        words.pred_probs.append(sums / np.bincount(word)[:, None])
    return words


def last_ends(word: np.ndarray, char_end: np.ndarray) -> np.ndarray:
    """Return where the last piece of each word ends, shape (W,)."""
    ends = np.zeros(word.max() + 1, dtype=np.int64)
    np.maximum.at(ends, word, np.asarray(char_end))
    return ends
