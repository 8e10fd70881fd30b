"""Reasons in words, worked out by hand."""

import numpy as np
import pytest
from span_label_errors.quality.answer_model import Explanation
from span_label_errors.quality.reasons import KINDS_IN_WORDS, joined, reasons_of_model

from span_label_errors.quality.features import COLUMN, FEATURES
from span_label_errors.quality.mistakes import MISTAKES

UNLIKELY, LONG = "the model finds its tokens unlikely", "it is longer than most answers"


def reasons(kind: str | None = None, **features: tuple[float, float]) -> list[str]:
    """Reasons where features have a (deviation, term), and the others are as usual."""
    values = np.zeros((2, len(FEATURES)))
    for name, pair in features.items():
        values[:, COLUMN[name]] = pair
    return reasons_of_model(Explanation(kind, *values))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({}, []),
        ({"num_words": (1.5, -2.0)}, [LONG]),
        ({"num_words": (-1.5, -2.0)}, ["it is shorter than most answers"]),
        ({"num_words": (1.5, 2.0)}, []),  # speaks for it
        ({"num_words": (1.5, -0.6)}, []),  # too weak
        ({"mean_logit": (2.0, -2.0)}, []),  # nobody would take high probabilities for a reason
        # The strongest first; what says the same adds up.
        ({"num_words": (1.0, -1.0), "mean_logit": (-1.0, -2.0)}, [UNLIKELY, LONG]),
        ({"num_words": (1.0, -1.0), "mean_logit": (-1.0, -0.6), "lowest_logit": (-2.0, -0.3)}, [LONG, UNLIKELY]),
        ({"mean_logit": (-1.0, -2.0), "lowest_logit": (-1.0, 1.5)}, []),
    ],
)
def test_reasons_by_hand(features, expected):
    assert reasons(**features) == expected


def test_kind_of_mistake_comes_first():
    assert reasons("cut_short", num_words=(1.0, -9.0)) == ["looks cut short", LONG]
    assert reasons("shuffled") == ["looks like the mistake 'shuffled'"]
    assert set(KINDS_IN_WORDS) == set(MISTAKES)


def test_up_to_three_different_reasons_failed_checks_first():
    assert joined([]) == ""
    sentences = "the answer goes over the end of a sentence"
    assert joined(["several_sentences"], ["a", "a", "b", "c"]) == f"{sentences}; a; b"
    # The kind of mistake and the check say the same.
    assert joined(["cut_word"], reasons("cut_inside_word")) == "the answer begins or ends inside a word or a number"
