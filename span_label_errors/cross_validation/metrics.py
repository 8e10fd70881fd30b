"""Measure how well predictions agree with the given labels."""

from collections.abc import Sequence

import numpy as np

from span_label_errors.data.examples import has_questions
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.spans.alignment import AnswerSpan, answer_spans, span_classes
from span_label_errors.spans.decoding import decoded_spans
from span_label_errors.spans.expected_f1 import best_span

# A probability of 0 or 1 is as good as this far from it, so that no token makes the loss infinite.
_SMALLEST = float(np.finfo(np.float64).eps)


def evaluate_predictions(
    examples: Sequence[dict], predictions: Sequence[SpanPrediction], label_map: dict[str, int]
) -> dict:
    """Compare predictions with the given labels.

    Parameters
    ----------
    examples, predictions : sequences of equal length
        Predictions are of the context tokens only. They are gone through twice, each held for a moment only.
    label_map : dict

    Returns
    -------
    dict
        `loss`: mean binary cross-entropy over tokens and classes. `classes`: for each span class
        `average_precision` (of its tokens, over all examples; None if no token has the class),
        `base_rate` (share of its tokens: the average precision of chance), and in percent, for questions,
        `exact_match` and `f1` of the best span against the best-fitting given answer, as SQuAD counts them;
        without questions, `precision`, `recall` and `f1` of all spans, where a predicted one counts if a given
        one has its borders and its class, as CoNLL-2003 counts entities (Tjong Kim Sang and De Meulder 2003);
        None of nothing.

    Raises
    ------
    ValueError
        If a probability is not between 0 and 1.
    """
    classes, loss, num_labels = span_classes(label_map), 0.0, 0
    comparisons = {name: _squad_metric() for name in classes} if has_questions(examples) else {}
    probs_of_labelled: dict[str, list[np.ndarray]] = {name: [] for name in classes}
    for example, prediction in zip(examples, predictions, strict=True):
        probs = prediction.pred_probs.astype(np.float64)
        # NaN is in no range.
        wrong = probs[~((probs >= 0) & (probs <= 1))]
        if len(wrong):
            raise ValueError(f"example {example['id']!r}: expected probabilities from 0 to 1, found {wrong[0]}")
        likelihood = np.where(prediction.labels == 1, probs, 1 - probs)
        loss -= float(np.log(likelihood.clip(_SMALLEST, 1 - _SMALLEST)).sum())
        num_labels += likelihood.size
        for name, found in probs_of_labelled.items():
            column = label_map[name]
            found.append(probs[prediction.labels[:, column] == 1, column])
        for name, comparison in comparisons.items():
            _compare_answers(comparison, example, prediction, label_map, name)
    num_tokens = num_labels // len(label_map)
    entities = None if comparisons else _precision_and_recall(examples, predictions, label_map)
    of_classes = {}
    for name in classes:
        labelled = np.concatenate(probs_of_labelled[name])
        of_classes[name] = {
            "average_precision": _average_precision(labelled, predictions, label_map[name]) if len(labelled) else None,
            "base_rate": len(labelled) / num_tokens,
            **(entities[name] if entities else {of: float(value) for of, value in comparisons[name].compute().items()}),
        }
    return {"loss": loss / num_labels, "classes": of_classes}


def _average_precision(labelled: np.ndarray, predictions: Sequence[SpanPrediction], column: int) -> float:
    """Return the average precision of tokens, from the probabilities of those that have the class.

    It is the mean, over these, of the precision among all tokens that are at least as likely. So only these are ever
    held and sorted; the tokens of all examples are too many.
    """
    different, times = np.unique(labelled, return_counts=True)
    num_between = np.zeros(len(different) + 1, dtype=np.int64)
    for prediction in predictions:
        rank = np.searchsorted(different, prediction.pred_probs[:, column].astype(np.float64), side="right")
        num_between += np.bincount(rank, minlength=len(num_between))
    num_labelled, num_all = times[::-1].cumsum()[::-1], num_between[:0:-1].cumsum()[::-1]
    return float(times @ (num_labelled / num_all) / len(labelled))


def described(metrics: dict) -> str:
    """Say what `evaluate_predictions` found, in a line."""
    of_classes = []
    for class_name, of_class in metrics["classes"].items():
        shown = {name: of_class[name] for name in ("exact_match", "precision", "recall", "f1") if name in of_class}
        figures = [
            f"{name.replace('_', ' ').replace('f1', 'F1')} {'none' if value is None else f'{value:.0f} %'}"
            for name, value in shown.items()
        ]
        of_classes.append(f"{class_name}: {', '.join(figures)}")
    return f"loss {metrics['loss']:.4f}, {'; '.join(of_classes)}"


def _precision_and_recall(
    examples: Sequence[dict], predictions: Sequence[SpanPrediction], label_map: dict[str, int]
) -> dict[str, dict[str, float]]:
    classes = span_classes(label_map)
    columns = [label_map[name] for name in classes]
    num_right, num_predicted, num_given = (dict.fromkeys(classes, 0) for _ in range(3))
    for example, prediction in zip(examples, predictions, strict=True):
        found = decoded_spans(
            example["context"], prediction.char_start, prediction.char_end, prediction.pred_probs[:, columns]
        )
        predicted = {AnswerSpan(classes[class_index], start, end) for class_index, start, end in found}
        given = set(answer_spans(example, label_map, answers="all"))
        for counts, spans in ((num_right, predicted & given), (num_predicted, predicted), (num_given, given)):
            for span in spans:
                counts[span.class_name] += 1
    figures = {}
    for name in classes:
        right, predicted, given = (counts[name] for counts in (num_right, num_predicted, num_given))
        figures[name] = {
            "precision": _percent(right, predicted),
            "recall": _percent(right, given),
            "f1": _percent(2 * right, predicted + given),
        }
    return figures


def _percent(count: int, of_all: int) -> float | None:
    return 100 * count / of_all if of_all else None


def _squad_metric():
    # Imported on use, since it loads matplotlib.
    from torchmetrics.text import SQuAD

    # Of several processes that share a training, one predicts.
    return SQuAD(sync_on_compute=False)


def _compare_answers(
    squad_metric, example: dict, prediction: SpanPrediction, label_map: dict[str, int], class_name: str
) -> None:
    """Add a question's predicted answer, the best span, and its given ones to exact match and F1."""
    text, span = example["context"], best_span(prediction.pred_probs[:, label_map[class_name]])
    predicted = "" if span is None else text[prediction.char_start[span[0]] : prediction.char_end[span[1] - 1]]
    given = [
        text[answer.char_start : answer.char_end]
        for answer in answer_spans(example, label_map, answers="all")
        if answer.class_name == class_name
    ] or [""]
    # One by one: the objects of all at once would take longer to look through for garbage than they save.
    squad_metric.update(
        {"prediction_text": predicted, "id": example["id"]}, {"answers": {"text": given}, "id": example["id"]}
    )
