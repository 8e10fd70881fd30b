"""Why a label may be wrong, on answers that went wrong in each of the ways."""

import numpy as np
import pandas as pd
import pytest
from answer_tables import answered_with, example, right_rows, touched
from text_strategies import span_of

from span_label_errors.quality.checks import CHECKS
from span_label_errors.quality.features import FEATURES
from span_label_errors.quality.label_errors import find_label_errors

# By row: what is given instead of the right answer.
WRONG = {
    10: ("rich merchant", "another place answers the question"),
    22: ("Hugo Berg", "answers another question on the context"),
    30: ("Karin", "probably cut short"),
    39: ("built by Nils Berg in 1891", "probably too long"),
    48: ("Rosa Be", "begins or ends inside a word or a number"),
}
SAME_WORDS = 60  # a row whose answer stands twice


def sure_rows() -> list[dict]:
    """All answers are right, and the model is sure of them."""
    rows = right_rows()
    for row in rows:
        row["pred_probs_ANS"] = np.where(row["labels_ANS"], 0.999, 0.001)
    context = (
        "Vienna was a quiet place then, said the old guide of the castle in a low voice to all who came from afar. "
        "Later Emil Voss opened his famous bakery in Vienna, and sold bread there."
    )
    first, second = span_of(context, "Vienna"), span_of(context, "Vienna", 1)
    row = example(SAME_WORDS, "Where did Emil Voss open his famous bakery?", context, second, first)
    return [*rows, {**row, "pred_probs_ANS": np.where(touched(row, second), 0.999, 0.001)}]


@pytest.fixture(scope="module")
def issues() -> pd.DataFrame:
    rows = sure_rows()
    for number, (text, _) in WRONG.items():
        rows[number] = answered_with(rows[number], text)
    return find_label_errors(pd.DataFrame(rows)).issues.set_index("index").sort_index()


@pytest.mark.parametrize(("number", "reason"), [(number, reason) for number, (_, reason) in WRONG.items()])
def test_reason_is_what_went_wrong(issues, number, reason):
    assert issues.loc[number, "reason"] == reason


def test_same_words_elsewhere_are_the_reason(issues):
    line = issues.loc[SAME_WORDS]
    assert line["reason"] == "the same words elsewhere answer the question"
    assert line["checks"] == "nearer_occurrence"
    # A check that fails comes first.
    assert line["evidence"].split("; ")[0] == CHECKS["nearer_occurrence"]


def test_nothing_is_held_against_good_answers(issues):
    good = issues[issues["label_quality"] >= 0.9]
    assert set(good.index) == set(range(60)) - set(WRONG)
    assert (good[["reason", "evidence", "suggested_answer"]] == "").all(axis=None)


def test_evidence_is_up_to_three_different_things(issues):
    of_features = {words for pair in FEATURES.values() for words in pair if words}
    for number in WRONG:
        evidence = list(filter(None, issues.loc[number, "evidence"].split("; ")))
        assert len(set(evidence)) == len(evidence) <= 3
        assert set(evidence) <= of_features | set(CHECKS.values())
    # The model is sure of another place.
    assert "the model finds its tokens unlikely" in issues.loc[10, "evidence"].split("; ")
    assert "a name or number goes on behind it" in issues.loc[30, "evidence"].split("; ")
    # The reason says what the check does.
    assert issues.loc[48, ["checks", "evidence"]].tolist() == ["cut_word", ""]
