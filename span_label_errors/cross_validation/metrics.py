"""Measure how well predictions agree with the given labels."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, log_loss

from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.spans.alignment import answer_spans, span_classes
from span_label_errors.spans.expected_f1 import best_span


def evaluate_predictions(
    examples: Sequence[dict], predictions: Sequence[SpanPrediction], label_map: dict[str, int]
) -> dict:
    """Compare predictions with the given labels.

    Parameters
    ----------
    examples, predictions : sequences of equal length
        Predictions are of the context tokens only.
    label_map : dict

    Returns
    -------
    dict
        `loss`: mean binary cross-entropy over tokens and classes. `classes`: for each span class
        `average_precision` (of its tokens, over all examples; None if no token has the class),
        `base_rate` (share of its tokens: the average precision of chance), and `exact_match` and `f1`
        of the best span against the best-fitting given answer, in percent, as SQuAD counts them.
    """
    probs = np.concatenate([prediction.pred_probs for prediction in predictions])
    labels = np.concatenate([prediction.labels for prediction in predictions])
    classes = {}
    for class_name in span_classes(label_map):
        of_class, probs_of_class = labels[:, label_map[class_name]], probs[:, label_map[class_name]]
        classes[class_name] = {
            "average_precision": (float(average_precision_score(of_class, probs_of_class)) if of_class.any() else None),
            "base_rate": float(of_class.mean()),
            **_exact_match_and_f1(examples, predictions, label_map, class_name),
        }
    return {"loss": float(log_loss(labels.ravel(), probs.ravel().astype(np.float64))), "classes": classes}


def described(metrics: dict) -> str:
    """Say what `evaluate_predictions` found, in a line."""
    of_classes = [
        f"{class_name}: exact match {of_class['exact_match']:.0f} %, F1 {of_class['f1']:.0f} %"
        for class_name, of_class in metrics["classes"].items()
    ]
    return f"loss {metrics['loss']:.4f}, {'; '.join(of_classes)}"


def _exact_match_and_f1(
    examples: Sequence[dict], predictions: Sequence[SpanPrediction], label_map: dict[str, int], class_name: str
) -> dict[str, float]:
    column = label_map[class_name]
    # Imported on use, since it loads matplotlib.
    from torchmetrics.text import SQuAD

    # Of several processes that share a training, one predicts.
    metric = SQuAD(sync_on_compute=False)
    for example, prediction in zip(examples, predictions, strict=True):
        text, span = example["context"], best_span(prediction.pred_probs[:, column])
        predicted = "" if span is None else text[prediction.char_start[span[0]] : prediction.char_end[span[1] - 1]]
        given = [
            text[answer.char_start : answer.char_end]
            for answer in answer_spans(example, label_map, answers="all")
            if answer.class_name == class_name
        ] or [""]
        metric.update(
            {"prediction_text": predicted, "id": example["id"]},
            {"answers": {"answer_start": [0] * len(given), "text": given}, "id": example["id"]},
        )
    return {name: float(value) for name, value in metric.compute().items()}
