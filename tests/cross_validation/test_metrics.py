"""Figures of predictions, worked out by hand; `tests/test_pipeline_properties.py` has the slow reference."""

import math

import numpy as np
import pytest
from conftest import make_example

from span_label_errors.cross_validation.metrics import described, evaluate_predictions
from span_label_errors.model.predictions import SpanPrediction

LABEL_MAP = {"O": 0, "ANS": 1}


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


def test_metrics_of_two_examples():
    examples = [make_example("a", "Ann met Bob", "Who?", "Bob"), make_example("b", "On and on", "?", "and")]
    predictions = [predict("Ann met Bob", [0.8, 0.1, 0.9], {2}), predict("On and on", [0.2, 0.7, 0.05], {1})]
    metrics = evaluate_predictions(examples, predictions, LABEL_MAP)
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


def test_spans_without_questions_are_counted_as_entities():
    answers = {"text": ["Ann", "Bob Ray", "Oslo"], "answer_start": [0, 8, 19], "label": ["PER", "PER", "LOC"]}
    example = make_example("a", "Ann met Bob Ray in Oslo", "") | {"answers": answers}
    per, loc = [0.9, 0.1, 0.9, 0.2, 0.1, 0.8], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    # Ann is right, Bob too short, and Oslo has another class.
    of_words = predict(example["context"], per, set())
    probs = np.column_stack([1 - np.maximum(per, loc), per, loc]).astype(np.float32)
    prediction = SpanPrediction(
        probs, of_words.tokens, np.eye(3, dtype=int)[[1, 0, 1, 1, 0, 2]], of_words.char_start, of_words.char_end,
        of_words.is_context,
    )  # fmt: skip
    classes = evaluate_predictions([example], [prediction], {"O": 0, "PER": 1, "LOC": 2})["classes"]
    found = {name: [of[figure] for figure in ("precision", "recall", "f1")] for name, of in classes.items()}
    # Of three that are predicted as persons, and two given ones, one is both.
    assert found["PER"] == pytest.approx([100 / 3, 100 / 2, 200 / 5])
    assert found["LOC"] == [None, 0, 0]  # none is predicted
    assert "exact_match" not in classes["PER"]
    assert described({"loss": 0.5, "classes": {"PER": classes["PER"]}}) == (
        "loss 0.5000, PER: precision 33 %, recall 50 %, F1 40 %"
    )


@pytest.mark.parametrize(("prob", "of_outside"), [(math.nan, "nan"), (1.5, "-0.5"), (-0.25, "1.25")])
def test_number_that_is_no_probability_is_refused(prob, of_outside):
    example = make_example("a", "Ann met Bob", "Who?", "Bob")
    with pytest.raises(ValueError, match=rf"^example 'a': expected probabilities from 0 to 1, found {of_outside}$"):
        evaluate_predictions([example], [predict("Ann met Bob", [0.5, prob, 0.5], {2})], LABEL_MAP)


def test_tokens_as_likely_as_each_other_count_together():
    examples = [make_example("a", "Ann met Bob", "Who?", "Bob")]
    found = evaluate_predictions(examples, [predict("Ann met Bob", [0.5, 0.5, 0.5], {2})], LABEL_MAP)["classes"]["ANS"]
    # Of three tokens at least as likely as "Bob", it is one.
    assert found["average_precision"] == pytest.approx(1 / 3)
    nothing = evaluate_predictions(examples, [predict("Ann met Bob", [0.5, 0.5, 0.5], set())], LABEL_MAP)
    assert nothing["classes"]["ANS"]["average_precision"] is None


def test_metrics_are_described_in_a_line_for_all_classes():
    metrics = {
        "loss": 0.25,
        "classes": {"PER": {"exact_match": 50.0, "f1": 66.67}, "LOC": {"exact_match": 0.0, "f1": 9.4}},
    }
    expected = "loss 0.2500, PER: exact match 50 %, F1 67 %; LOC: exact match 0 %, F1 9 %"
    assert described(metrics) == expected
