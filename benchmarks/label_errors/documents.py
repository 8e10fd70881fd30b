"""Predict sentences that a model reads within their documents: what stands around a name tells of which class it is."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from span_label_errors.cross_validation.out_of_fold import OutOfFold, out_of_fold_predictions
from span_label_errors.model.predictions import SpanPrediction
from spanbert import QATrainer

from .runs import Predict


class Part(NamedTuple):
    """Sentences of one document, as one example."""

    example: dict
    starts: list[int]  # where each sentence begins in the context


def by_title(examples: list[dict], trainer: QATrainer, **arguments) -> OutOfFold:
    """Predict out of fold, and keep documents whole."""
    return out_of_fold_predictions(examples, trainer, group_by="title", **arguments)


def parts_of_documents(sentences: Sequence[dict], num_words: int) -> list[Part]:
    """Join sentences of one title that follow one another, up to so many words, by a line break each.

    A longer sentence is a part of its own.
    """
    return [
        _joined(part)
        for _, document in groupby(sentences, key=lambda sentence: sentence["title"])
        for part in _parts(list(document), num_words)
    ]


def _parts(sentences: list[dict], num_words: int) -> Iterator[list[dict]]:
    part: list[dict] = []
    length = 0
    for sentence in sentences:
        of_sentence = len(sentence["context"].split())
        if part and length + of_sentence > num_words:
            yield part
            part, length = [], 0
        part, length = [*part, sentence], length + of_sentence
    yield part


def _joined(sentences: list[dict]) -> Part:
    starts = np.cumsum([0, *(len(sentence["context"]) + 1 for sentence in sentences[:-1])]).tolist()
    answers: dict[str, list] = {"text": [], "answer_start": [], "label": []}
    for start, sentence in zip(starts, sentences, strict=True):
        answers["text"] += sentence["answers"]["text"]
        answers["label"] += sentence["answers"]["label"]
        answers["answer_start"] += [start + of_answer for of_answer in sentence["answers"]["answer_start"]]
    context = "\n".join(sentence["context"] for sentence in sentences)
    return Part({**sentences[0], "context": context, "answers": answers}, starts)


def sentence_predictions(part: Part, prediction: SpanPrediction) -> list[SpanPrediction]:
    """Return the prediction of each sentence of a part, from that of the part's context."""
    ends = [*part.starts[1:], len(part.example["context"]) + 1]
    found = []
    for start, end in zip(part.starts, ends, strict=True):
        alone = prediction.only((prediction.char_start >= start) & (prediction.char_end < end))
        found.append(
            SpanPrediction(
                alone.pred_probs, alone.tokens, alone.labels, alone.char_start - start, alone.char_end - start,
                alone.is_context,
            )
        )  # fmt: skip
    return found


def in_documents(predict: Predict, num_words: int) -> Predict:
    """Return what predicts sentences in parts of their documents of so many words."""

    def predict_parts(
        examples: list[dict], trainer: QATrainer, *, num_splits: int, seed: int, folds_dir: Path, **training
    ) -> OutOfFold:
        parts = parts_of_documents(examples, num_words)
        found = predict(
            [part.example for part in parts], trainer, num_splits=num_splits, seed=seed, folds_dir=folds_dir, **training
        )
        predictions = [
            sentence
            for part, prediction in zip(parts, found.predictions, strict=True)
            for sentence in sentence_predictions(part, prediction)
        ]
        fold = np.repeat(found.fold, [len(part.starts) for part in parts])
        return OutOfFold(predictions, fold, [], found.reports, found.label_map)

    # A part of the run's key.
    predict_parts.__name__ = f"{predict.__name__}_in_parts_of_{num_words}"
    return predict_parts
