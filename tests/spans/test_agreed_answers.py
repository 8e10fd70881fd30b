"""How far answers to one question agree."""

import pytest

from span_label_errors.spans.agreement import most_agreed, token_f1


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("Nera", "river Nera", 2 / 3),  # one shared word of one and of two: 2 / 3
        ("the river Nera", "The River  Nera,", 1.0),  # case, white space and punctuation do not count
        ("the the Nera", "the Nera", 0.8),  # "the" is shared once: 2 * 2 / (3 + 2)
        ("1700", "1850", 0.0),
        ("...", "!", 1.0),  # no word in either
        ("...", "Nera", 0.0),
        ("東京 駅", "東京", 0.8),  # each of three characters is a word: 2 * 2 / 5
    ],
)
def test_token_f1(text, other, expected):
    assert token_f1(text, other) == token_f1(other, text) == pytest.approx(expected)


def test_most_agreed_answer_is_the_first_of_equals():
    # (4, 9) shares 5 of 5 and 9 characters with (0, 9), 10 / 14, and none with (20, 22); so does (0, 9) with it.
    assert most_agreed([(20, 22), (4, 9), (0, 9)]) == 1
    assert most_agreed([(20, 22), (4, 9), (0, 9), (0, 9)]) == 2
    assert most_agreed([(20, 22)]) == 0
