"""Scores from probabilities alone: by hand, and against all labels there are."""

import itertools
import math

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.quality.scores import span_label_quality

PROPERTY = cases(150)


# span_label_quality by hand


@pytest.mark.parametrize(
    ("labels", "probs", "expected"),
    [
        # One token is expected in all. The best is the first: 2 * 0.8 / (1 + 1); both have 2 / 3, none 0.2 * 0.8.
        ([1, 0], [0.8, 0.2], 1.0),
        ([0, 1], [0.8, 0.2], 0.2 / 0.8),
        ([0, 0], [0.8, 0.2], 0.16 / 0.8),
        # Two spans.
        ([1, 0, 0], [0.9, 0.2, 0.9], (1.8 / 3) / (3.6 / 4)),
        ([1, 1, 1], [0.9, 0.2, 0.9], (4 / 5) / (3.6 / 4)),
        # None is best: 0.7 against 2 * 0.3 / 1.3.
        ([1], [0.3], 0.6 / 1.3 / 0.7),
        # Certain ones.
        ([0, 1, 0], [0.0, 0.0, 0.0], 0.0),
    ],
)
def test_quality_by_hand(labels, probs, expected):
    assert span_label_quality([labels], [probs]) == pytest.approx([expected])


def test_examples_are_scored_on_their_own():
    labels, probs = [[1, 0], [0, 1], [0], [0, 1, 0]], [[0.8, 0.2], [0.8, 0.2], [0.3], [0.0, 1.0, 0.0]]
    found = span_label_quality(labels, probs)
    assert found == pytest.approx([1, 0.25, 1, 1])
    assert (found.shape, found.dtype) == ((4,), np.float64)
    assert span_label_quality(labels[::-1], probs[::-1]).tolist() == found[::-1].tolist()


def test_lowest_of_several_classes():
    of_first, of_second, probs = [1, 0], [0, 1], [0.8, 0.2]
    two = [np.column_stack([of_first, of_second]), np.column_stack([of_first, of_first])]
    both = [np.column_stack([probs, probs])] * 2
    assert span_label_quality(two, both) == pytest.approx([0.25, 1])
    # Each class has probabilities of its own.
    assert span_label_quality(two, [np.column_stack([probs, probs[::-1]])] * 2) == pytest.approx([1, 0.25])


def test_sums_in_another_order_give_no_more_than_1():
    assert span_label_quality([[1, 1, 1]], [[0.5, 0.6, 0.6]]).tolist() == [1.0]


def slow_expected_f1(labels, probs) -> float:
    if not any(labels):
        return math.prod(1 - p for p in probs)
    return 2 * sum(p for label, p in zip(labels, probs, strict=True) if label) / (sum(labels) + sum(probs))


PROBABILITY = st.one_of(st.sampled_from([0.0, 0.5, 1.0, 1e-12]), st.floats(0, 1))


@st.composite
def scored(draw, max_tokens=8):
    probs = draw(st.lists(PROBABILITY, min_size=1, max_size=max_tokens))
    return draw(st.lists(st.integers(0, 1), min_size=len(probs), max_size=len(probs))), probs


@PROPERTY
@given(scored())
def test_quality_is_relative_to_the_best_of_all_labels(example):
    labels, probs = example
    best = max(slow_expected_f1(others, probs) for others in itertools.product([0, 1], repeat=len(probs)))
    assert span_label_quality([labels], [probs]) == pytest.approx([slow_expected_f1(labels, probs) / best])


# Invalid input; more of it is in the catalogue of bad input

WRONG = {
    "negative": ([0, 1], [0.1, -0.5], "pred_probs from 0 to 1, found -0.5 at token 1"),
    "not 0 or 1": ([0, 2], [0.1, 0.5], "labels of 0 or 1, found 2.0 at token 1"),
    "another shape": ([0, 1], [0.1], r"labels and pred_probs of one shape, .*, found \(2,\) and \(1,\)"),
    "0-d": (1, 0.5, r"labels and pred_probs of one shape, .*, found \(\) and \(\)"),
    "no token": ([], [], r"labels and pred_probs of one shape, .* with at least one token, found \(0,\) and \(0,\)"),
    "text": ([0, 1], ["a", "b"], "labels and pred_probs to be arrays of numbers; .*"),
    "ragged": ([[0], [0, 1]], [[0.1], [0.1, 0.5]], "labels and pred_probs to be arrays of numbers; .*"),
}


@pytest.mark.parametrize(("labels", "probs", "message"), WRONG.values(), ids=WRONG)
def test_invalid_example_is_named(labels, probs, message):
    with pytest.raises(ValueError, match=rf"^example 2: expected {message}$"):
        span_label_quality([[0, 1], [1], labels, [7]], [[0.1, 0.9], [0.5], probs, [7]])


def test_labels_without_probabilities_raise():
    with pytest.raises(ValueError, match=r"expected as many pred_probs as labels \(2\), found 1"):
        span_label_quality([[0], [1]], [[0.5]])
