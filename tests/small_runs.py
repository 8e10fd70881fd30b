"""Runs on a few examples: predictions and folds made up by hand."""

import re

import numpy as np
from conftest import make_example

from span_label_errors.cross_validation.out_of_fold import OutOfFold
from span_label_errors.cross_validation.splits import Split, make_splits
from span_label_errors.cross_validation.store import data_fingerprint
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.results.write import write_outputs
from span_label_errors.spans.alignment import answer_spans

LABEL_MAP = {"O": 0, "ANS": 1}
PARAMETERS = {"dataset": "demo", "seed": 0, "label_map": LABEL_MAP, "dropout": None}
# P(span) of each word. Example 3 has its answer where the model sees none, and none where the model is sure.
PROBS = [
    [0.03, 0.02, 0.01, 0.95, 0.9],
    [0.97, 0.04, 0.03, 0.05],
    [0.02, 0.06, 0.01],
    [0.01, 0.02, 0.03, 0.98],
    [0.05, 0.92, 0.03],
]
LABELS = [[0, 0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0], [1, 0, 0, 0], [0, 1, 0]]


def five_examples() -> list[dict]:
    return [
        make_example("a", "The capital is not Rome,", "Which “capital”?", "not Rome", title="Cities"),
        make_example("b", "Zürich 😀 is here", "Where?", "Zürich", title="Cities"),
        make_example("c", "Nothing is said", "Who?", title=""),
        make_example("d", "He wrote Ulysses 1922", "When?", "He"),
        make_example("e", "It is it", "2nd?", "is"),
    ]


def words_of(context: str, pattern: str = r"\S+") -> list[tuple[str, int, int]]:
    return [(match.group(), *match.span()) for match in re.finditer(pattern, context)]


def predict(
    context: str, pred_probs: list[list[float]], labels: list[list[int]], pattern: str = r"\S+"
) -> SpanPrediction:
    """Return a prediction for the words of a context, of one list a class."""
    words = words_of(context, pattern)
    return SpanPrediction(
        np.array(pred_probs, dtype=np.float32).T,
        [word for word, _, _ in words],
        np.array(labels, dtype=np.int64).T,
        char_start=np.array([start for _, start, _ in words]),
        char_end=np.array([end for _, _, end in words]),
        is_context=np.ones(len(words), dtype=bool),
    )


def gather(
    dataset: list[dict],
    predictions: list[SpanPrediction],
    label_map: dict,
    answers: str = "first",
    splits: list[Split] | None = None,
) -> OutOfFold:
    """Return predictions as folds would give them: fold 1 holds example 1 out, fold 0 the others."""
    if splits is None:
        held_out_by = np.arange(len(predictions)) == 1
        splits = [Split(np.flatnonzero(held_out_by != k), np.flatnonzero(held_out_by == k)) for k in (0, 1)]
    fold = np.zeros(len(predictions), dtype=np.int64)
    for k, split in enumerate(splits):
        fold[split.validation_indices] = k
    reports = [
        {
            "fold": k,
            "folder": f"fold_{k}_of_2-0123456789ab",
            "key": "0123456789ab",
            "seed": 100 + k,
            "data": data_fingerprint(dataset),
            "code": {"modules": "hash of the code", "torch": "2.0"},
            "training": {"num_train_epochs": 2},
            "trainer": {"checkpoint": "hash of the checkpoint", "label_map": label_map, "answers": answers},
            "train_indices": split.train_indices.tolist(),
            "validation_indices": split.validation_indices.tolist(),
            "metrics": {"loss": 0.25 + k, "classes": {"ANS": {"average_precision": None, "f1": 50.0}}},
            "loss_history": [[0.5, 0.7], [1.0, 0.3]],
            "num_training_questions_cut": 0,
            "seconds": {"train": 1.5, "predict": 0.5},
        }
        for k, split in enumerate(splits)
    ]
    return OutOfFold(predictions, fold, splits, reports, label_map)


def one_class(dataset: list[dict]) -> OutOfFold:
    """Predictions with one span class; the columns do not sum to one, as independent classes do not."""
    predictions = [
        predict(
            example["context"], [[0.5 - prob / 2 for prob in probs], probs], [[1 - label for label in labels], labels]
        )
        for example, probs, labels in zip(dataset, PROBS, LABELS, strict=True)
    ]
    return gather(dataset, predictions, LABEL_MAP)


def write_run(folder, dataset: list[dict], source, label_map: dict, right_spans: list[list[tuple]]) -> None:
    """Write outputs of a model that mostly finds the right spans (start, end, class), whatever is given."""
    rng = np.random.default_rng(0)
    pattern, predictions = r"\w+|[^\w\s]", []
    for example, right in zip(dataset, right_spans, strict=True):
        _, char_start, char_end = map(np.array, zip(*words_of(example["context"], pattern), strict=True))
        probs = rng.uniform(0.001, 0.05, (len(char_start), len(label_map))).T
        labels = np.zeros_like(probs)
        for span in answer_spans(example, label_map):
            labels[label_map[span.class_name], (char_start < span.char_end) & (char_end > span.char_start)] = 1
        for start, end, class_name in right:
            probs[label_map[class_name], (char_start < end) & (char_end > start)] = rng.uniform(0.3, 0.9)
        predictions.append(predict(example["context"], probs, labels, pattern))
    out_of_fold = gather(dataset, predictions, label_map, splits=make_splits(dataset))
    write_outputs(folder, dataset, out_of_fold, {"dataset": str(source), "num_splits": 3}, 1.0)
