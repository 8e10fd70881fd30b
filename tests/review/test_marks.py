"""The examples to review: checked, whichever tool they go to."""

import numpy as np
import pandas as pd
import pytest
from review_frames import make_frames

from span_label_errors.review.marks import Answer, classes_of, worst_reviews

EXAMPLE = {"context": "abcd", "given": [(0, 2)], "suggested": (1, 3)}


def test_only_the_worst_come_by_rank():
    issues, table = make_frames(*({"context": f"Context {number}."} for number in range(3)))
    found = worst_reviews(issues.iloc[[2, 0, 1]], table, 2)
    assert [(review.issue.rank, review.context) for review in found] == [(1, "Context 0."), (2, "Context 1.")]


def test_judged_answer_is_the_one_of_the_issue_and_gives_the_suggestion_its_class():
    example = {"context": "abcd", "given": [(2, 4, "B"), (0, 1, "A")], "suggested": (1, 3)}
    (review,) = worst_reviews(*make_frames(example, classes=("A", "B")), 1)
    assert review.given == [Answer("cd", 2, "B"), Answer("a", 0, "A")]
    assert (review.judged, review.suggested) == (Answer("cd", 2, "B"), Answer("bc", 1, "B"))


@pytest.mark.parametrize(("classes", "class_name"), [(("A",), "A"), (("A", "B"), None)])
def test_class_of_a_suggestion_for_no_answer_is_known_if_there_is_one(classes, class_name):
    (review,) = worst_reviews(*make_frames({"context": "abcd", "suggested": (1, 3)}, classes=classes), 1)
    assert review.suggested == Answer("bc", 1, class_name)


def test_classes_are_those_of_columns_then_of_answers():
    _, table = make_frames({"context": "abcd", "given": [(0, 1, "X")]}, classes=("A", "B"))
    assert classes_of(table) == ["A", "B", "X"]
    _, table = make_frames({"context": "abcd"}, classes=())
    with pytest.raises(ValueError, match=r"expected columns labels_<class> or given answers, found neither"):
        classes_of(table)


@pytest.mark.parametrize("worst", [0, True, 1.5])
def test_wrong_number_of_examples_is_refused(worst):
    with pytest.raises(ValueError, match="worst: expected an integer of at least 1, found"):
        worst_reviews(*make_frames(EXAMPLE), worst)


@pytest.mark.parametrize("name", ["issues", "table"])
def test_missing_columns_are_named(name):
    frames = dict(zip(("issues", "table"), make_frames(EXAMPLE), strict=True))
    frames[name] = frames[name].drop(columns=["id", "given_start"])
    with pytest.raises(ValueError, match=rf"{name}: expected the columns .*; without id, given_start$"):
        worst_reviews(**frames, worst=1)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("index", 2, "an index of 0 to 1; found 2"),
        ("index", -1, "an index of 0 to 1; found -1"),
        ("index", 1, "the id of row 1 of the table; found 'q0'"),
        ("given_start", 1, "the given answer 'ab' at offset 1; found 'bc'"),
        ("given_start", -4, "the given answer 'ab' at offset -4; found ''"),
        ("suggested_start", 3, "the suggested answer 'bc' at offset 3; found 'd'"),
        ("given_start", pd.NA, "given_answer with given_start, or neither; found ('ab', "),
        ("suggested_answer", "", "suggested_answer with suggested_start, or neither; found ('', "),
        ("suggested_answer", float("nan"), "suggested_answer to be a text, '' for none; found nan"),
        ("checks", float("nan"), "checks to be a text, '' for none; found nan"),
        ("label_quality", float("nan"), "a label_quality of 0 to 1; found nan"),
        ("suggestion_confidence", 1.5, "a suggestion_confidence of 0 to 1; found 1.5"),
    ],
)
def test_issues_that_do_not_fit_the_table_are_refused(column, value, message):
    issues, table = make_frames({"context": "abcd"}, EXAMPLE)
    values = list(issues[column])
    issues[column] = pd.Series([values[0], value], dtype="Int64" if column.endswith("start") else None)
    with pytest.raises(ValueError) as error:
        worst_reviews(issues, table, 2)
    assert str(error.value).startswith(f"example 'q1': expected {message}")


@pytest.mark.parametrize(
    ("given", "start", "label", "message"),
    [
        (["ab", "zz"], [0, 1], ["A", "A"], "a given answer 'zz' at offset 1; found 'bc'"),
        (["ab", ""], [0, 1], ["A", "A"], "a given answer '' at offset 1; found ''"),
        (["bc"], [1], ["A"], "the judged answer ('ab', 0) among the given answers of the table; found"),
        (["ab", "c"], [0], ["A"], "as many starts and labels as given answers in the table; found"),
        ([], [0], [], "as many starts and labels as given answers in the table; found"),
    ],
)
def test_given_answers_that_do_not_fit_are_refused(given, start, label, message):
    issues, table = make_frames(EXAMPLE)
    table["given_answer"], table["given_start"], table["given_label"] = [given], [np.array(start)], [label]
    with pytest.raises(ValueError) as error:
        worst_reviews(issues, table, 1)
    assert str(error.value).startswith(f"example 'q0': expected {message}")
