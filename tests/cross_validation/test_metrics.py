"""Figures of predictions, and joining windows."""

import math
import pickle

import numpy as np
import pytest
from conftest import make_example
from transformers import AutoTokenizer

from span_label_errors.cross_validation.metrics import evaluate_predictions
from span_label_errors.model.predictions import SpanPrediction, join_windows
from span_label_errors.model.windows import build_windows, tokenize_examples

LABEL_MAP = {"O": 0, "ANS": 1}


# Figures


def predict(context: str, answer_probs: list[float], labelled: set[int]) -> SpanPrediction:
    """Return a prediction for the words of a context, all of them known; P(O) is 1 - P(ANS)."""
    words = context.split()
    probs = np.array([[1 - prob, prob] for prob in answer_probs], dtype=np.float32)
    labels = np.array([[int(i not in labelled), int(i in labelled)] for i in range(len(words))])
    starts = [len(" ".join(words[:i])) + bool(i) for i in range(len(words))]
    return SpanPrediction(
        probs,
        words,
        labels,
        char_start=np.array(starts),
        char_end=np.array([start + len(word) for start, word in zip(starts, words, strict=True)]),
        is_context=np.ones(len(words), dtype=bool),
    )


def with_question(prediction: SpanPrediction) -> SpanPrediction:
    """Return a prediction with question tokens whose values would spoil every figure."""
    probs, labels = prediction.pred_probs, prediction.labels
    num_tokens = len(probs)
    return SpanPrediction(
        np.concatenate([np.full((3, 2), 0.999, np.float32), probs, np.full((1, 2), 0.999, np.float32)]),
        ["[CLS]", "Who", "[SEP]", *prediction.tokens, "[SEP]"],
        np.concatenate([[[1, 0]] * 3, labels, [[1, 0]]]),
        char_start=np.concatenate([[0, 0, 0], prediction.char_start, [0]]),
        char_end=np.concatenate([[0, 3, 0], prediction.char_end, [0]]),
        is_context=np.concatenate([[False] * 3, np.ones(num_tokens, dtype=bool), [False]]),
    )


@pytest.mark.parametrize("change", [lambda prediction: prediction, with_question], ids=["context", "question too"])
def test_metrics_of_two_examples(change):
    examples = [make_example("a", "Ann met Bob", "Who?", "Bob"), make_example("b", "On and on", "?", "and")]
    predictions = [predict("Ann met Bob", [0.8, 0.1, 0.9], {2}), predict("On and on", [0.2, 0.7, 0.05], {1})]
    metrics = evaluate_predictions(examples, [change(prediction) for prediction in predictions], LABEL_MAP)
    # P(what is true) of each token, the same in both columns.
    likelihoods = [0.2, 0.9, 0.9, 0.8, 0.7, 0.95]
    assert metrics["loss"] == pytest.approx(-sum(map(math.log, likelihoods)) / 6, rel=1e-5)
    # By probability: Bob (0.9, true), Ann (0.8), and (0.7, true): half the recall at precision 1, half at 2/3.
    # Ann met Bob: three tokens have 3.6 / 4.8 = 0.75, Bob alone 1.8 / 2.8 = 0.64, so "Ann met Bob" is predicted:
    # precision 1/3, recall 1, F1 1/2. and: 1.4 / 1.95 = 0.72, "On and" 1.8 / 2.95 = 0.61: exact.
    assert list(metrics["classes"]) == ["ANS"]
    assert metrics["classes"]["ANS"] == pytest.approx(
        {"average_precision": 1 / 2 + 1 / 2 * 2 / 3, "base_rate": 2 / 6, "exact_match": 50, "f1": 75}
    )


@pytest.mark.parametrize(
    ("context", "answers", "probs", "exact_match", "f1"),
    [
        pytest.param("Ann met Bob", [], [0.01, 0.01, 0.01], 100, 100, id="unanswerable, none predicted"),
        pytest.param("Ann met Bob", ["Bob"], [0.01, 0.01, 0.01], 0, 0, id="answerable, none predicted"),
        pytest.param("Ann met Bob", ["Ann", "Ann met"], [0.99, 0.99, 0.01], 100, 100, id="the longer answer"),
        # Predicted "met Bob": precision 1/2, recall 1.
        pytest.param("Ann met Bob", ["Bob"], [0.01, 0.99, 0.99], 0, 200 / 3, id="a word too many"),
        # SQuAD takes no notice of case, articles and punctuation: "The man." is "man".
        pytest.param("The man. sat", ["man"], [0.99, 0.99, 0.01], 100, 100, id="article and full stop"),
    ],
)
def test_exact_match_and_f1_count_as_squad_does(context, answers, probs, exact_match, f1):
    example = make_example("a", context, "?", *answers)
    metrics = evaluate_predictions([example], [predict(context, probs, set())], LABEL_MAP)["classes"]["ANS"]
    assert (metrics["exact_match"], metrics["f1"]) == pytest.approx((exact_match, f1))


def test_class_that_labels_nothing_has_no_average_precision():
    metrics = evaluate_predictions(
        [make_example("a", "Ann met", "?")], [predict("Ann met", [0.1, 0.2], set())], LABEL_MAP
    )
    assert metrics["classes"]["ANS"]["average_precision"] is None
    assert metrics["classes"]["ANS"]["base_rate"] == 0
    assert metrics["loss"] == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2, rel=1e-5)


def test_classes_are_judged_by_their_own_columns():
    label_map = {"LOC": 2, "O": 1, "PER": 0}
    example = make_example("a", "Ann met Bob", "?", "Bob", "Ann")
    example["answers"]["label"] = ["PER", "LOC"]
    prediction = predict("Ann met Bob", [0.0] * 3, set())
    prediction = SpanPrediction(
        np.array([[0.99, 0.5, 0.9], [0.2, 0.5, 0.2], [0.1, 0.5, 0.1]]),
        prediction.tokens,
        np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
        char_start=prediction.char_start,
        char_end=prediction.char_end,
        is_context=prediction.is_context,
    )
    metrics = evaluate_predictions([example], [prediction], label_map)
    assert list(metrics["classes"]) == ["PER", "LOC"]
    # PER: "Ann" 1.98 / 2.29 = 0.86 is predicted, the answer of the other class; the one true token comes last.
    # LOC: "Ann" 1.8 / 2.2 = 0.82 is predicted and right.
    assert metrics["classes"]["PER"] == pytest.approx(
        {"average_precision": 1 / 3, "base_rate": 1 / 3, "exact_match": 0, "f1": 0}
    )
    assert metrics["classes"]["LOC"] == pytest.approx(
        {"average_precision": 1, "base_rate": 1 / 3, "exact_match": 100, "f1": 100}
    )


# Predictions


def same(one: SpanPrediction, other: SpanPrediction) -> bool:
    names = ("pred_probs", "labels", "char_start", "char_end", "is_context")
    return (
        type(one) is type(other) is SpanPrediction
        and one.tokens == other.tokens
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
        and all(getattr(one, name).dtype == getattr(other, name).dtype for name in names)
    )


def test_prediction_unpacks_into_three():
    prediction = predict("Ann met", [0.25, 0.5], {1})
    pred_probs, tokens, labels = prediction
    assert pred_probs.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert tokens == ["Ann", "met"]
    assert labels.tolist() == [[1, 0], [0, 1]]


def test_prediction_survives_pickle():
    prediction = with_question(predict("Ann met", [0.25, 0.5], {1}))
    assert same(pickle.loads(pickle.dumps(prediction)), prediction)


def test_context_only_keeps_the_context():
    prediction = predict("Ann met Bob", [0.25, 0.5, 0.75], {1})
    assert same(with_question(prediction).context_only(), prediction)
    assert same(prediction.context_only(), prediction)


# Joining windows


@pytest.fixture
def tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


def window_values(windows) -> list[np.ndarray]:
    """Return values that tell window and position: 1000 w + p for P(O), minus that for P(ANS)."""
    values = [1000.0 * i + np.arange(len(window.input_ids)) for i, window in enumerate(windows)]
    return [np.stack([value, -value], axis=1).astype(np.float32) for value in values]


def test_joined_prediction_gives_text_offsets_and_labels(tokenizer):
    example = make_example("a", "Oslo is  The capital.", "Where is it?", "The capital")
    tokenized = tokenize_examples(tokenizer, [example], LABEL_MAP, max_length=32)
    windows = build_windows(tokenized, tokenizer, max_length=32, doc_stride=4)
    (prediction,) = join_windows([example], tokenized, windows, window_values(windows), tokenizer, LABEL_MAP)
    # "it" is not in the vocabulary and has the pieces "i" and "t".
    rows = [
        ("[CLS]", 0, 0, 0), ("Where", 0, 5, 0), ("is", 6, 8, 0), ("i", 9, 10, 0), ("t", 10, 11, 0), ("?", 11, 12, 0),
        ("[SEP]", 0, 0, 0), ("Oslo", 0, 4, 0), ("is", 5, 7, 0), ("The", 9, 12, 1), ("capital", 13, 20, 1),
        (".", 20, 21, 0), ("[SEP]", 0, 0, 0),
    ]  # fmt: skip
    found = zip(prediction.tokens, prediction.char_start, prediction.char_end, prediction.labels[:, 1], strict=True)
    assert list(found) == rows
    assert (prediction.labels.sum(axis=1) == 1).all()
    assert {array.dtype for array in (prediction.labels, prediction.char_start, prediction.char_end)} == {
        np.dtype(np.int64)
    }
