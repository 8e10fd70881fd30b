"""Ids and answers that a spreadsheet has rewritten: known again where that is certain, refused where it is not."""

import json

import pytest
from conftest import make_example, squad_document
from review_frames import make_frames

from span_label_errors.data.squad import load_squad
from span_label_errors.quality.sites import Known
from span_label_errors.review.corrections import apply_decisions
from span_label_errors.review.decided import Answer, Decision, example_of, known_answers
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.spreadsheet_values import as_in_data, is_rewritten, may_be_rewritten


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        # Thousands separators: point, comma, apostrophe, spaces, and as they are set in India.
        ("7,102", "7102"), ("1,234,567", "1234567"), ("1.234.567", "1234567"), ("1 234 567", "1234567"),
        ("1\u202f234", "1234"), ("1'234", "1234"), ("12,34,567", "1234567"), ("7102", "7,102"), ("7,102", "7102.00"),
        # Decimals, whichever mark they have.
        ("3.50", "3.5"), ("3.50", "3,5"), ("3,50", "3.5"), ("1,234.50", "1234.5"), ("1.234,50", "1234,5"),
        (".5", "0.5"), ("1.0", "1"), ("-2.0", "-2"), ("+5", "5"),
        ("007", "7"), ("0049", "49"), ("$40", "$40.00"), ("€1,200", "€1200"),
        ("50%", "0.5"), ("50 %", "0,5"), ("12.5%", "12.50%"),
        ("1E5", "100000"), ("1e5", "1.00E+05"), ("2E-3", "0.002"),
        # Of long numbers, the first digits are left.
        ("12345678901234567", "1.23457E+16"), ("12345678901234567", "1.23E+16"),
        ("12345678901234567", "12345678901234500"),
        ("12345678901234567", "1.2345678901234568e+16"), ("3.14159265358979", "3.141592654"),
        # Dates: with the year added, as a name, as ISO has them, either order.
        ("1-5", "5-Jan"), ("1-5", "1-May"), ("1-5", "2024-05-01"), ("1-5", "2024-01-05 00:00:00"),
        ("3/4", "03/04/2026"),
        ("March 2", "2-Mar"), ("March 2, 1990", "2-Mar-90"), ("2 March 1990", "1990-03-02"), ("May 2nd", "2-May"),
        ("May 1900", "May-00"), ("May 1900", "1900-05-01"), ("1900-05-01", "5/1/1900"), ("1.5", "01.05.2024"),
        ("1-50", "Jan-50"), ("Sept 3", "3-Sep"),
        ("10:30", "10:30:00"), ("10:30", "10:30 AM"), ("10:30 pm", "22:30:00"), ("12:15 a.m.", "0:15"),
        ("2:1", "02:01:00"),
        ("true", "TRUE"), ("False", "FALSE"),
        # White space.
        ("in  Zürich,\r\nOslo ", "in Zürich,\nOslo"), ("a\u00a0b", "a b"),
    ],
)  # fmt: skip
def test_cell_may_be_what_the_text_has_become(text, cell):
    assert is_rewritten(text, cell)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("7,102", "7,102"), ("7,102", "7103"), ("7,102", "71"), ("3.50", "350"), ("3.14159", "3.14"), ("1,5", "15"),
        ("1.23E+16", "12345678901234567"), ("$40", "40"), ("$40", "€40"), ("50%", "50"), ("5", "-5"),
        ("12345678", "1.3E+07"),
        # No spreadsheet saves the day and the month as two numbers.
        ("5.3", "3.5"), ("1-5", "5-1"), ("1-5", "6-Jan"), ("1-5", "13/05/2024"), ("May 1900", "May-01"),
        ("May 2", "2-May-xx"),
        ("2 May 1900", "May-00"), ("2 May 1900", "2-May-01"), ("true", "FALSE"), ("true", "WAHR"), ("trueish", "true"),
        ("10:30", "10:31:00"), ("10:30", "10.5"), ("Zürich", "Zurich"), ("a b", "ab"), ("one", "1"), ("Mar", "3"),
        ("1E5", "1E6"), ("1e999", "1"),
    ],
)  # fmt: skip
def test_cell_is_no_form_of_the_text(text, cell):
    assert not is_rewritten(text, cell)


def test_texts_that_spreadsheets_leave_alone():
    rewritten = ["7,102", "007", "1-5", "May 2", "10:30", "true", "50%", "1E5", "(5)", "1/2/3/4", "#####", "#N/A"]
    left_alone = ["#1b", "C#", "Zürich", "", "C4", "May", "5 km", "may 2 be"]
    assert [text for text in [*rewritten, *left_alone] if may_be_rewritten(text)] == rewritten


# In the data

TOWN = (
    "In 1714 the 1-5 was lost. On March 2 about 7,102 people, 7,102 in all, paid 3.50 for 50%: true. Then 007 came; "
    "17102."
)


def decided(tmp_path, context: str, given: str, cells: str) -> list[tuple]:
    """Apply a row of cells `id,given_answer,given_start,correct_answer,correct_start` to an example `q-1`."""
    example = make_example("q-1", context, "When?", *([given] if given else []))
    (tmp_path / "s.json").write_text(json.dumps(squad_document([example])), encoding="utf-8")
    header = "id;given_answer;given_start;correct_answer;correct_start;index"
    (tmp_path / "d.csv").write_text(f"{header}\n{cells};0\n", encoding="utf-8")
    decisions = read_decisions(tmp_path / "d.csv")
    apply_decisions(tmp_path / "s.json", decisions, tmp_path / "c.json", tmp_path / "changes.json")
    (row,) = load_squad(tmp_path / "c.json")
    return list(zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True))


@pytest.mark.parametrize(
    ("given", "cells", "corrected"),
    [
        # The id and the offset name the given answer.
        ("7,102", "q-1;7102;43;1714;", [("1714", 3)]),
        ("7,102", "q-1;7.102;43;1714;", [("1714", 3)]),
        ("3.50", "q-1;3.5;76;[no answer];", []),
        ("1-5", "q-1;2026-05-01;12;1714;", [("1714", 3)]),
        ("March 2", "q-1;2-Mar;29;1714;3", [("1714", 3)]),
        ("true", "q-1;TRUE;90;1714;", [("1714", 3)]),
        # Confirmed: both cells were rewritten, or one.
        ("007", "q-1;7;101;7;", [("007", 101)]),
        ("007", "q-1;007;101;7;", [("007", 101)]),
        ("3.50", "q-1;3.5;76;3.50;", [("3.50", 76)]),
        # The context has one text that the correct answer has become, or one at the place that is named.
        ("1714", "q-1;1714;3;3.5;", [("3.50", 76)]),
        ("1714", "q-1;1714;3;0.5;", [("50%", 85)]),
        ("1714", "q-1;1714;3;5-Jan;", [("1-5", 12)]),
        ("1714", "q-1;1714;3;2-Mar;", [("March 2", 29)]),
        ("1714", "q-1;1714;3;TRUE;", [("true", 90)]),
        ("1714", "q-1;1714;3;7102;57", [("7,102", 57)]),
        ("about 7,102", "q-1;about 7,102;37;7102;", [("7,102", 43)]),
        # What is cut out of a number is no answer: 7 of 007, 5 of 1-5 and 50%.
        ("1714", "q-1;1714;3;7;", [("007", 101)]),
        ("1714", "q-1;1714;3;7;103", [("7", 103)]),
        ("1714", "q-1;1714;3;3.5;76", [("3.50", 76)]),
        ("1714", "q-1;1714;3;71;", None),
        ("", "q-1;;;7;101", [("007", 101)]),
        ("1714", "q-1;1714;3;7102;", None),
        ("1714", "q-1;1714;3;7102;44", None),
        ("1714", "q-1;1714;3;WAHR;", None),
        ("true", "q-1;WAHR;90;1714;", None),
        ("7,102", "q-1;7103;43;1714;", None),
        ("7,102", "q-1;7102;57;1714;", None),
    ],
)  # fmt: skip
def test_what_a_spreadsheet_rewrote_is_applied_or_refused(tmp_path, given, cells, corrected):
    if corrected is None:
        with pytest.raises(RefusedDecisionsError, match="example 'q-1': expected"):
            decided(tmp_path, TOWN, given, cells)
        assert not (tmp_path / "c.json").exists()
    else:
        assert decided(tmp_path, TOWN, given, cells) == corrected


@pytest.mark.parametrize(
    ("given", "cells", "message"),
    [
        (
            "true",
            "q-1;WAHR;90;1714;",
            r"expected 'WAHR' at 90, as it was reviewed, found 'true' at 90; the data has changed since, or a "
            r"spreadsheet has rewritten it \(import the column as text\), review the example again",
        ),
        (
            "1714",
            "q-1;1714;3;7102;",
            "the correct answer '7102', as it is or before a spreadsheet rewrote it, found '7,102' at 43, '7,102' at "
            "57; fill in correct_start",
        ),
        (
            "1714",
            "q-1;1714;3;99;",
            r"expected the correct answer '99' in the context, found it nowhere; copy it from the context, unless a "
            r"spreadsheet has rewritten it \(import the column as text\)",
        ),
        # A narrow column, and a text that was run as a formula.
        ("lost", "q-1;#NAME?;20;1714;", "at 20; the data has changed since, or a spreadsheet has rewritten it"),
        ("1714", "q-1;1714;3;########;", "copy it from the context, unless a spreadsheet has rewritten it"),
        ("1714", "########;1714;3;007;", "is it another data set, or a spreadsheet has rewritten it"),
        ("1714", "1. Mai;1714;3;007;", "'1. Mai': expected the id of one of the 1 examples; is it another data set?"),
        ("1714", "5-Jan;1714;3;007;", r"data set, or a spreadsheet has rewritten it \(import the column as text\)\?"),
    ],
)  # fmt: skip
def test_reason_names_the_spreadsheet(tmp_path, given, cells, message):
    with pytest.raises(RefusedDecisionsError, match=message):
        decided(tmp_path, TOWN, given, cells)


def test_text_that_stands_there_as_well_is_not_chosen_in_silence(tmp_path):
    context = "In 1922 came 1,922 men."
    message = "found '1922' at 3, '1,922' at 13; fill in correct_start"
    with pytest.raises(RefusedDecisionsError, match=message):
        decided(tmp_path, context, "men", "q-1;men;19;1922;")
    assert decided(tmp_path, context, "men", "q-1;men;19;1922;3") == [("1922", 3)]
    assert decided(tmp_path, context, "men", "q-1;men;19;1922;13") == [("1,922", 13)]


def test_part_of_the_text_that_was_written_is_no_other_place(tmp_path):
    context = "On 5 May 1905 the men left at 12:30 PM."
    assert decided(tmp_path, context, "men", "q-1;men;18;5 May 1905;") == [("5 May 1905", 3)]
    assert decided(tmp_path, context, "men", "q-1;men;18;5-May-05;") == [("5 May 1905", 3)]
    assert decided(tmp_path, context, "men", "q-1;men;18;12:30:00;") == [("12:30 PM", 30)]


def test_number_is_found_where_no_space_is_beside_it(tmp_path):
    assert decided(tmp_path, "그 도시에는 7,102명이 산다.", "도시", "q-1;도시;2;7102;") == [("7,102", 7)]
    assert decided(tmp_path, "人口7,102人", "人口", "q-1;人口;0;7102;") == [("7,102", 2)]
    # What is a part of a longer number is none of its own, unless its place is named.
    with pytest.raises(RefusedDecisionsError, match="found '15' at 14; fill in correct_start"):
        decided(tmp_path, "It is 1,5. (1915)", "It", "q-1;It;0;15;")
    assert decided(tmp_path, "It is 1,5. (1915)", "It", "q-1;It;0;15;14") == [("15", 14)]


def test_part_of_a_number_that_a_tool_has_marked_stays(tmp_path):
    example = make_example("q-1", TOWN, "When?", "1714")
    (tmp_path / "s.json").write_text(json.dumps(squad_document([example])), encoding="utf-8")
    marked = Decision("q-1", (Answer("1714", 3, "ANS"),), (Answer("3.5", 76, "ANS"),))
    (change,) = apply_decisions(tmp_path / "s.json", [marked], tmp_path / "c.json", tmp_path / "changes.json")
    assert change.after == [{"text": "3.5", "answer_start": 76}]


def test_white_space_of_an_answer_comes_back(tmp_path):
    context = "He was in  Oslo\r\nand Rome."
    assert decided(tmp_path, context, "in  Oslo", "q-1;in Oslo;7;Oslo and Rome;") == [("Oslo\r\nand Rome", 11)]


# Ids


def two_towns() -> list[dict]:
    return [make_example(example_id, TOWN, "When?", "1714") for example_id in ("1-5", "5-1", "7", "007")]


@pytest.mark.parametrize(
    ("cell", "index", "changed"),
    [("5-Jan", 0, "1-5"), ("1-May", 1, "5-1"), ("7", 3, "007"), ("7", 2, "7"), ("7", 0, "7"), ("7", "", "7")],
)
def test_index_beside_a_rewritten_id_says_which_example_it_is(tmp_path, cell, index, changed):
    source = tmp_path / "s.json"
    source.write_text(json.dumps(squad_document(two_towns())), encoding="utf-8")
    header = "id,index,given_answer,given_start,correct_answer"
    (tmp_path / "d.csv").write_text(f"{header}\n{cell},{index},1714,3,007\n", encoding="utf-8")
    decisions = read_decisions(tmp_path / "d.csv")
    changes = apply_decisions(source, decisions, tmp_path / "c.json", tmp_path / "changes.json")
    assert [change.id for change in changes] == [changed]
    again = apply_decisions(tmp_path / "c.json", decisions, tmp_path / "c2.json", tmp_path / "changes.json")
    assert again == []


@pytest.mark.parametrize(("cell", "index"), [("5-Jan", 1000), ("5-Jan", 2), ("5-Jan", ""), ("5-Jan", "x")])
def test_rewritten_id_without_a_witness_is_refused(tmp_path, cell, index):
    source = tmp_path / "s.json"
    source.write_text(json.dumps(squad_document(two_towns())), encoding="utf-8")
    header = "id,index,given_answer,given_start,correct_answer"
    (tmp_path / "d.csv").write_text(f"{header}\n{cell},{index},1714,3,007\n", encoding="utf-8")
    with pytest.raises(RefusedDecisionsError, match="'5-Jan': expected the id of one of the 4 examples"):
        apply_decisions(source, read_decisions(tmp_path / "d.csv"), tmp_path / "c.json", tmp_path / "changes.json")


def test_with_the_table_decisions_are_read_as_the_data_has_them(tmp_path):
    examples = [{"id": "1-5", "context": TOWN, "given": [(43, 48)]}, {"id": "7", "context": TOWN}]
    _, table = make_frames(*examples)
    header = "id,index,given_answer,given_start,correct_answer"
    (tmp_path / "d.csv").write_text(f"{header}\n5-Jan,1,7102,43,3.5\n", encoding="utf-8")
    expected = Decision("1-5", (Answer("7,102", 43),), (Answer("3.50", 76),))
    assert read_decisions(tmp_path / "d.csv", table) == [expected]
    # As read without it, it teaches the same.
    table = table.assign(given_label=[[], ["ANS"]])
    assert known_answers(table, read_decisions(tmp_path / "d.csv")) == {1: Known({"ANS": [(76, 80)]})}
    (tmp_path / "d.csv").write_text(f"{header}\n7,0,,,7102\n", encoding="utf-8")
    with pytest.raises(RefusedDecisionsError, match="example '7': expected one place of the correct answer '7102'"):
        read_decisions(tmp_path / "d.csv", table)


def test_spans_are_known_again_with_their_classes():
    """The class tells two spans in one place apart, and a spreadsheet may have rewritten it as well."""
    example = {"id": "a", "context": TOWN, "given": [(43, 48, "3.50"), (43, 48, "A")]}
    _, table = make_frames(example, classes=("3.50", "A"))
    given = (Answer("7102", 43, "3.5"),)
    number = Answer("7,102", 43, "3.50")
    other = Decision("a", given, (Answer("7102", 43, "A"),), 0, (43, 48))
    restored = as_in_data(other, {"a": 0}, lambda index: example_of(table, index))
    assert restored == Decision("a", (number,), (number._replace(class_name="A"),), place=(43, 48))


def test_place_says_which_of_several_places_of_a_rewritten_text_is_meant():
    context = "3.50 here and 3.50 there"
    _, table = make_frames({"id": "a", "context": context})
    cell = Decision("a", (), (Answer("3.5"),), 0, (14, 18))
    restored = as_in_data(cell, {"a": 0}, lambda index: example_of(table, index))
    assert restored.correct == (Answer("3.50", 14),)


def test_given_span_whose_class_alone_changes_is_none_that_was_rewritten():
    _, table = make_frames({"id": "a", "context": "5.0 km", "given": [(0, 1, "A")]}, classes=("A", "B"))
    cell = Decision("a", (Answer("5", 0, "A"),), (Answer("5", 0, "B"),), 0, (0, 1))
    restored = as_in_data(cell, {"a": 0}, lambda index: example_of(table, index))
    assert restored.correct == (Answer("5", 0, "B"),)
