"""The best-supported span, against exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.spans.expected_f1 import MAX_ANSWER_TOKENS, best_span


def every_span(probs: list[Fraction], max_tokens: int) -> dict[tuple[int, int], Fraction]:
    """Return the expected F1 of every span, in exact arithmetic, shortest spans first."""
    spans = [
        (start, start + length)
        for length in range(1, min(max_tokens, len(probs)) + 1)
        for start in range(len(probs) - length + 1)
    ]
    return {(start, end): 2 * sum(probs[start:end]) / (end - start + sum(probs)) for start, end in spans}


@cases(300)
@given(st.lists(st.integers(0, 16), max_size=7), st.integers(1, 8))
def test_best_span_is_the_best_of_all_spans(sixteenths, max_tokens):
    probs = [Fraction(number, 16) for number in sixteenths]
    f1 = every_span(probs, max_tokens)
    no_answer = math.prod((1 - prob for prob in probs), start=Fraction(1))
    # max takes the first of equals: the shortest, and of those the first.
    best = max(f1, key=f1.get, default=None)
    expected = best if best is not None and f1[best] > no_answer else None
    assert best_span(np.array(sixteenths, dtype=np.float64) / 16, max_tokens) == expected


@cases(100)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40))
def test_no_span_beats_the_best_span_of_any_probabilities(probs):
    f1 = every_span([Fraction(prob) for prob in probs], MAX_ANSWER_TOKENS)
    no_answer = math.prod(Fraction(1) - Fraction(prob) for prob in probs)
    found = best_span(np.array(probs, dtype=np.float32))
    value = no_answer if found is None else f1[found]
    assert float(value) == pytest.approx(float(max(no_answer, *f1.values())), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("probs", "expected"),
    [
        # One token: 2 p / (1 + p) against 1 - p, equal at p = sqrt(2) - 1 = 0.414.
        ([0.41], None),
        ([0.42], (0, 1)),
        # 2 * 1.7 / (2 + 1.8) = 0.895 for two tokens; 1.8 / 2.8 = 0.643 for one, 3.6 / 4.8 = 0.75 for three.
        ([0.1, 0.9, 0.8], (1, 3)),
        # The gap is worth closing: 2 * 1.8 / (3 + 1.8) = 0.75; one token alone has 0.643.
        ([0.9, 0.0, 0.9], (0, 3)),
        # "Of equals, the shortest": 2 * 0.5 / (1 + 1) = 2 * 0.75 / (2 + 1) = 0.5.
        ([0.5, 0.25, 0.0, 0.25], (0, 1)),
        # Too wide a gap: 3.6 / (5 + 1.8) = 0.53. Of equals, the first.
        ([0.9, 0.0, 0.0, 0.0, 0.9], (0, 1)),
        ([0.0, 0.0], None),
        ([0.0, 1.0, 0.0], (1, 2)),
        ([], None),
    ],
)
def test_best_span_of_worked_cases(probs, expected):
    assert best_span(np.array(probs)) == expected


def test_best_span_is_no_longer_than_allowed():
    assert best_span(np.ones(5), max_tokens=3) == (0, 3)
    assert best_span(np.ones(MAX_ANSWER_TOKENS + 10)) == (0, MAX_ANSWER_TOKENS)
