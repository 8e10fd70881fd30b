"""The issues of a data set in which several people answered: a row for each answer."""

import numpy as np
import pandas as pd
import pytest
from answer_tables import answered, answered_with, right_rows
from text_strategies import span_of

from span_label_errors.quality.label_errors import find_label_errors
from span_label_errors.quality.sites import Known

NAMES = ("ann", "bob", "cy")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Every third question has three answers, of which bob's to question 9 is "town"; nobody answered question 1."""
    rows = right_rows()
    for number in range(0, 60, 3):
        name = rows[number]["given_answer"][0]
        rows[number] = answered_with(rows[number], name, "town" if number == 9 else f"by {name}", name)
    rows[1] = answered(rows[1])
    names = [NAMES if number % 3 == 0 else [""] * len(row["given_answer"]) for number, row in enumerate(rows)]
    return pd.DataFrame(rows).assign(given_annotator=names)


@pytest.fixture(scope="module")
def found(table):
    return find_label_errors(table)


def test_every_answer_has_a_row(table, found):
    issues = found.issues
    assert list(issues.columns) == [
        "rank", "index", "id", "label_quality", "is_issue", "question", "given_answer", "given_start", "annotator",
        "other_answers", "agreement", "suggested_answer", "suggested_start", "suggestion_confidence",
        "consensus_answer", "consensus_start", "consensus_probability", "reason", "evidence", "checks", "decision",
        "fold",
    ]  # fmt: skip
    assert issues["rank"].tolist() == list(range(1, 101))  # 20 questions with three answers, 39 with one, one without
    of_question = issues[issues["index"] == 6].sort_values("annotator")
    name = table["given_answer"][6][0]
    assert of_question["annotator"].tolist() == list(NAMES)
    assert of_question["given_answer"].tolist() == [name, f"by {name}", name]
    assert of_question["other_answers"].tolist() == [f"by {name}; {name}", f"{name}; {name}", f"{name}; by {name}"]
    # Two words, and the same with "by": 4 / 5.
    assert of_question["agreement"].tolist() == pytest.approx([0.9, 0.8, 0.9])
    assert of_question["consensus_answer"].tolist() == [name] * 3
    assert of_question["label_quality"].min() > 0.9
    assert found.estimated_wrong == pytest.approx((1 - issues["label_quality"]).sum())


def test_class_without_an_answer_has_no_row_beside_answers_of_another(table):
    low = [np.full_like(probs, 0.001) for probs in table["pred_probs_ANS"]]
    labels = [np.zeros_like(of_row) for of_row in table["labels_ANS"]]
    of_two_classes = find_label_errors(table.assign(pred_probs_PER=low, labels_PER=labels)).issues
    num_rows = table["given_answer"].map(len)
    num_rows[1] = 1  # of two classes, nobody answered
    assert of_two_classes["index"].value_counts().sort_index().tolist() == num_rows.tolist()
    assert of_two_classes["given_answer"].eq("").sum() == 1


def test_suspicious_answer_says_whose_it_is_and_what_the_others_say(table, found):
    issue, name = found.issues.iloc[0], table["given_answer"][9][0]
    assert issue[["index", "annotator", "given_answer"]].tolist() == [9, "bob", "town"]
    assert issue["label_quality"] < 0.1
    assert issue["is_issue"]
    assert issue["agreement"] == 0
    assert issue[["other_answers", "suggested_answer", "consensus_answer"]].tolist() == [f"{name}; {name}", name, name]
    assert issue["consensus_start"] == issue["suggested_start"] == table["given_start"][9][0]
    assert issue["consensus_probability"] > 0.9
    assert issue["reason"]
    assert issue["checks"] == ""  # the question is asked once
    assert found.issues["is_issue"].sum() == 1


def test_spans_without_a_question_are_refused(table):
    with pytest.raises(ValueError, match=r'expected .* answers to questions.*answers="all"'):
        find_label_errors(table.assign(question=""))


def test_question_that_nobody_answered_has_a_row(found):
    issue = found.issues.set_index("index").loc[1]
    assert issue[["given_answer", "annotator", "other_answers"]].tolist() == ["", "", ""]
    assert pd.isna(issue["given_start"])
    assert np.isnan(issue["agreement"])


def test_label_quality_of_a_question_is_that_of_its_worst_answer(table, found):
    quality = found.label_quality()
    assert quality.shape == (60,)
    assert quality.argmin() == 9
    assert quality[6] == found.issues.loc[found.issues["index"] == 6, "label_quality"].min()


def test_what_reviewers_decided_about_one_answer(table):
    right = span_of(table["context"][9], table["given_answer"][9][0])
    town = span_of(table["context"][9], "town")
    for known, decisions in [
        (Known({"ANS": [right]}, [right, town]), ["confirmed", "corrected", "confirmed"]),  # bob's was corrected
        (Known({"ANS": [right, town]}, [right]), ["confirmed", "", "confirmed"]),  # ann's was confirmed
    ]:
        issues = find_label_errors(table, known={9: known}).issues
        of_question = issues[issues["index"] == 9].sort_values("annotator")
        assert of_question["decision"].tolist() == decisions
        assert of_question["label_quality"].tolist() == pytest.approx([1, 0, 1])
        assert of_question["is_issue"].tolist() == [False, decisions[1] == "", False]


def test_checks_are_of_the_answer_itself(table):
    rows = table.to_dict("records")
    name = rows[6]["given_answer"][0]
    rows[6] = answered_with(rows[6], name, f"{name} ", name)
    issues = find_label_errors(pd.DataFrame(rows)).issues
    checks = issues[issues["index"] == 6].sort_values("annotator")["checks"].tolist()
    assert checks == ["", "marks_at_edge", ""]
