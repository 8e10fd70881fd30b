"""Labelled spans read off probabilities of tokens, by hand."""

import numpy as np
import pytest

from span_label_errors.spans.decoding import decoded_spans

#       0    5  8        17  21
TEXT = "Anna in New York, USA"
TOKENS = [(0, 2), (2, 4), (5, 7), (8, 11), (12, 16), (16, 17), (18, 21)]  # An na in New York , USA


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # A word has the mean of its tokens: 0.6; "New York" are neighbours, the comma parts them from "USA".
        ([0.9, 0.3, 0, 0, 0, 0, 0], [0, 0, 0, 0.9, 0.8, 0.1, 0.7], [(0, 0, 4), (1, 8, 16), (1, 18, 21)]),
        ([0.9, 0.1, 0, 0, 0, 0, 0], [0.0] * 7, []),  # exactly a half is not above it
        # Punctuation has a class of its own, and joins what it stands between.
        ([0.0] * 7, [0, 0, 0, 0.9, 0.9, 0.9, 0.9], [(1, 8, 21)]),
        # The likelier class wins; neighbours of two classes are two spans.
        ([0, 0, 0, 0.9, 0.6, 0, 0], [0, 0, 0, 0.6, 0.9, 0, 0], [(0, 8, 11), (1, 12, 16)]),
    ],
)
def test_spans_of_two_classes(first, second, expected):
    probs = np.column_stack([first, second])
    assert decoded_spans(TEXT, *np.array(TOKENS).T, probs) == expected


def test_span_can_end_where_a_clitic_begins():
    tokens = np.array([(0, 3), (3, 4), (4, 5)])  # Lee ' s
    assert decoded_spans("Lee's", *tokens.T, np.array([[0.9], [0.1], [0.1]])) == [(0, 0, 3)]


def test_text_without_a_token_has_no_span():
    nothing = np.zeros(0, dtype=np.int64)
    assert decoded_spans("", nothing, nothing, np.zeros((0, 1))) == []
