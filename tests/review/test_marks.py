"""The examples to review: checked, whichever tool they go to."""

import pandas as pd
import pytest
from review_frames import make_frames, make_span_frames

from span_label_errors.quality.label_errors import NO_ANSWER
from span_label_errors.review.decided import Answer
from span_label_errors.review.marks import shown_suggestion, why, worst_examples, worst_reviews
from span_label_errors.review.page import write_review_page

EXAMPLE = {"context": "abcd", "given": [(0, 2)], "suggested": (1, 3)}


def test_only_the_worst_come_by_rank():
    issues, table = make_frames(*({"context": f"Context {number}."} for number in range(3)))
    found = worst_reviews(issues.iloc[[2, 0, 1]], table, 2)
    assert [(review.issue.rank, review.context) for review in found] == [(1, "Context 0."), (2, "Context 1.")]


def test_given_answer_is_the_one_of_the_issue_and_gives_the_suggestion_its_class():
    example = {"context": "abcd", "given": [(2, 4, "B"), (0, 1, "A")], "suggested": (1, 3)}
    (review,) = worst_reviews(*make_frames(example, classes=("A", "B")), 1)
    assert review.answers == [Answer("cd", 2, "B"), Answer("a", 0, "A")]
    assert (review.given, review.suggested) == (Answer("cd", 2, "B"), Answer("bc", 1, "B"))


@pytest.mark.parametrize(("classes", "class_name"), [(("A",), "A"), (("A", "B"), None)])
def test_class_of_a_suggestion_for_no_answer_is_known_if_there_is_one(classes, class_name):
    (review,) = worst_reviews(*make_frames({"context": "abcd", "suggested": (1, 3)}, classes=classes), 1)
    assert review.suggested == Answer("bc", 1, class_name)


def test_suggestion_of_no_answer_has_no_place_but_a_text_that_looks_like_it_has():
    context = f"a {NO_ANSWER}"
    suggestions = [{"suggested": NO_ANSWER}, {"suggested": (2, 13)}, {}]
    reviews = worst_reviews(*make_frames(*({"context": context, **each} for each in suggestions)), 3)
    assert [(review.suggested, review.suggests_no_answer) for review in reviews] == [
        (None, True), (Answer(NO_ANSWER, 2, "ANS"), False), (None, False),
    ]  # fmt: skip


def frames_of_annotators() -> tuple[pd.DataFrame, pd.DataFrame]:
    """One question with three answers, two of which are equal, each with a row."""
    issues, table = make_frames({"context": "abcdef", "given": [(0, 2), (3, 5), (3, 5)], "suggested": (3, 5)})
    table["given_annotator"] = [["ann", "bob", "cy"]]
    rows = issues.loc[[0] * 3].assign(
        rank=[1, 2, 3], annotator=["ann", "bob", "cy"], given_answer=["ab", "de", "de"], given_start=[0, 3, 3],
        other_answers=["de; de", "ab; de", "ab; de"], agreement=[0.0, 0.5, float("nan")], consensus_answer="de",
        consensus_start=3, consensus_probability=0.9,
    )  # fmt: skip
    return rows.reset_index(drop=True), table


def test_row_is_about_one_of_several_peoples_answers():
    issues, table = frames_of_annotators()
    ann, bob, _ = worst_reviews(issues, table, 3)
    assert (ann.given, ann.answers, ann.others) == (Answer("ab", 0, "ANS"), [ann.given], [Answer("de", 3, "ANS")])
    assert (bob.given, bob.answers, bob.others) == (Answer("de", 3, "ANS"), [bob.given], [ann.given])


def test_tools_get_a_question_once_with_its_worst_answer():
    issues, table = frames_of_annotators()
    ((review,),) = worst_examples(issues.iloc[::-1], table, 5)
    assert (review.given, review.fields["other_answers"]) == (Answer("ab", 0, "ANS"), "de")


def test_page_says_who_answered_and_how_far_the_others_agree(tmp_path):
    page = write_review_page(tmp_path / "page.html", *frames_of_annotators()).read_text(encoding="utf-8")
    assert page.count("by <bdi") == 2
    assert 'by <bdi class="text">bob</bdi>, token F1 with the others 0.50)' in page
    assert page.count("(probability 0.90)") == 3


def test_reason_and_suggestion_in_words():
    assert why("probably cut short", "a; b") == "probably cut short (a; b)"
    assert (why("probably cut short", ""), why("", "a; b"), why("", "")) == ("probably cut short", "a; b", "")
    assert [shown_suggestion(text) for text in (NO_ANSWER, "Oslo", "")] == ["no answer", "Oslo", ""]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("index", 2, "this id at index 2 of the table, found []"),
        ("index", 1, "this id at index 1 of the table, found ['q0']"),
        ("given_start", 1, "the answer 'ab' at 1 in the table, found [Answer("),
        ("suggested_start", 3, "the answer 'bc' at offset 3, found 'd'"),
        ("suggested_answer", "xy", "the answer 'xy' at offset 1, found 'bc'"),
    ],
)
def test_issues_that_do_not_fit_the_table_are_refused(column, value, message):
    issues, table = make_frames({"context": "abcd"}, EXAMPLE)
    issues.loc[1, column] = value
    with pytest.raises(ValueError) as error:
        worst_reviews(issues, table, 2)
    assert str(error.value).startswith(f"example 'q1': expected {message}")


SPANS = [("Anna", "PER"), ("Acme", "LOC"), ("Oslo", "LOC"), ("the Bank", "ORG"), ("May", "LOC")]


def test_mistake_that_a_suggestion_corrects_is_named():
    rows = [
        ("Acme", ("Acme", "ORG")), ("the Bank", ("Bank", "ORG")), ("Oslo", ("Oslo Ltd", "ORG")), ("May", NO_ANSWER),
        ("Rome", ("Rome", "LOC")), ("Anna", None), ("Rome", NO_ANSWER),
    ]  # fmt: skip
    example = {"context": "Anna of Acme, Oslo Ltd and the Bank in May and Rome", "given": SPANS, "rows": rows}
    reviews = worst_reviews(*make_span_frames(example), 9)
    assert [review.mistake for review in reviews] == [
        "wrong class", "wrong border", "wrong border and class", "spurious span", "missing span", "", "",
    ]  # fmt: skip
    assert [review.suggested for review in reviews[:3]] == [
        Answer("Acme", 8, "ORG"), Answer("Bank", 31, "ORG"), Answer("Oslo Ltd", 14, "ORG"),
    ]  # fmt: skip
    assert (reviews[4].given, reviews[4].place) == (None, (47, 51))


def test_span_under_review_is_the_one_of_its_class():
    issues, table = make_span_frames({"context": "Anna", "given": [("Anna", "PER")], "rows": [("Anna", None)]})
    two = {"given_answer": [["Anna", "Anna"]], "given_start": [[0, 0]], "given_label": [["LOC", "PER"]]}
    (review,) = worst_reviews(issues, table.assign(**two), 1)
    assert review.given == Answer("Anna", 0, "PER")


def test_examples_come_once_with_all_of_their_rows():
    example = {"context": "Anna met Bo", "given": [("Anna", "PER"), ("Bo", "PER")]}
    good = example | {"rows": [("Anna", None), ("Bo", None)], "example_quality": 0.9}
    bad = example | {"rows": [("Bo", NO_ANSWER), ("Anna", None)], "example_quality": 0.1}
    frames = make_span_frames(good, bad)
    found = [[(review.issue.id, review.given.text) for review in reviews] for reviews in worst_examples(*frames, 2)]
    assert found == [[("s1", "Bo"), ("s1", "Anna")], [("s0", "Anna"), ("s0", "Bo")]]
    assert len(worst_examples(*frames, 1)) == 1
    # Of questions, each row is an example.
    issues, table = make_frames(EXAMPLE, EXAMPLE)
    assert [[review.issue.id for review in reviews] for reviews in worst_examples(issues, table, 2)] == [["q0"], ["q1"]]
