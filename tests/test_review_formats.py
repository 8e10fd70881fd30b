"""What reviewers get."""

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decisions import Answer, Decision, read_decisions, restored
from review_formats import write_doccano, write_issues_csv, write_issues_parquet, write_label_studio

NO_ANSWER_CHOICE = "The text does not answer the question"
# The emoji are one character each, and two UTF-16 units.
PARTY = "The 😀🎉 party\r\nwas in  Zürich, e\u0301t not in Oslo. It ended in Oslo."
HOSTILE = '<b>"x"&\'$id,;\n[]{}'


def table_of(*rows: tuple, classes: tuple[str, ...] = ("ANS",)) -> pd.DataFrame:
    """Make a table of (id, context, answers as (text, start, class))."""
    return pd.DataFrame(
        [
            {
                "id": example_id, "title": "Title", "question": f"Who {example_id}?", "context": context,
                "given_answer": [text for text, _, _ in answers], "given_start": [start for _, start, _ in answers],
                "given_label": [name for _, _, name in answers], "fold": 0, **{f"labels_{name}": 0 for name in classes},
            }
            for example_id, context, answers in rows
        ]
    )  # fmt: skip


def issues_of(table: pd.DataFrame, *rows: tuple) -> pd.DataFrame:
    """Make issues of (row of the table, judged answer, its start, suggested answer, its start)."""
    issues = pd.DataFrame(
        [
            {
                "rank": rank, "index": index, "id": table["id"][index], "label_quality": rank / 10, "is_issue": True,
                "question": table["question"][index], "given_answer": given, "given_start": given_start,
                "suggested_answer": suggested, "suggested_start": suggested_start, "suggestion_confidence": 0.9,
                "checks": "cut inside a word", "fold": 0,
            }
            for rank, (index, given, given_start, suggested, suggested_start) in enumerate(rows, start=1)
        ]
    )  # fmt: skip
    return issues.astype({"given_start": "Int64", "suggested_start": "Int64"})


@pytest.fixture
def table() -> pd.DataFrame:
    return table_of(
        ("plain", "He wrote Ulysses in 1922", [("He", 0, "ANS")]),
        (HOSTILE, PARTY, [("Oslo", 41, "ANS")]),
        ("none", "Nothing 😀 here", []),
    )


@pytest.fixture
def issues(table) -> pd.DataFrame:
    return issues_of(table, (1, "Oslo", 41, "Zürich", 22), (2, "", None, "here", 10), (0, "He", 0, "", None))


# Label Studio


@pytest.fixture
def tasks(tmp_path, issues, table) -> list[dict]:
    write_label_studio(tmp_path / "tasks.json", tmp_path / "config.xml", issues, table)
    return json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))


def test_tasks_mark_given_and_suggested_answers_in_characters(tasks):
    assert [task["data"]["id"] for task in tasks] == [HOSTILE, "none", "plain"]
    assert tasks[0]["data"] == {
        "id": HOSTILE, "text": PARTY, "example_index": 1, "title": "Title", "question": f"Who {HOSTILE}?",
        "given_answer": "Oslo", "suggested_answer": "Zürich", "label_quality": 0.1, "checks": "cut inside a word",
        "hint": "Given: Oslo · suggested: Zürich (90%) · cut inside a word", "given": [[41, 45, "ANS"]],
    }  # fmt: skip
    found = [
        (p["model_version"], p["score"], [r["value"] for r in p["result"]]) for p in tasks[0]["predictions"]
    ]  # fmt: skip
    # Label Studio starts a reviewer from the version that comes last: never from the suggestion.
    assert found == [
        ("suggested", 0.9, [{"start": 22, "end": 28, "text": "Zürich", "labels": ["ANS"]}]),
        ("given", 0.1, [{"start": 41, "end": 45, "text": "Oslo", "labels": ["ANS"]}]),
    ]
    assert tasks[1]["predictions"][-1]["result"][0]["value"] == {"choices": [NO_ANSWER_CHOICE]}
    assert [p["model_version"] for p in tasks[2]["predictions"]] == ["given"]


def test_only_the_worst_are_written_by_rank(tmp_path, issues, table):
    tasks = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", issues.iloc[::-1], table, worst=2)
    assert [task["data"]["id"] for task in tasks] == [HOSTILE, "none"]


def test_configuration_names_every_class_escaped(tmp_path):
    table = table_of(("a", "He wrote", [("He", 0, 'P&"<R>')]), classes=('P&"<R>', "LOC"))
    issues = issues_of(table, (0, "He", 0, "wrote", 3))
    tasks = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", issues, table)
    view = ElementTree.fromstring((tmp_path / "c.xml").read_text(encoding="utf-8"))
    assert [label.get("value") for label in view.iter("Label")] == ['P&"<R>', "LOC"]
    assert tasks[0]["predictions"][0]["result"][0]["value"]["labels"] == ['P&"<R>']
    controls = {element.get("name") for element in view.iter() if element.get("toName") == "context"}
    assert controls == {"answer", "no_answer"}


def test_label_studios_own_library_accepts_what_is_written(tmp_path, tasks):
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    labelling = interface.LabelInterface((tmp_path / "config.xml").read_text(encoding="utf-8"))
    labelling.validate()
    for task in tasks:
        for prediction in task["predictions"]:
            assert labelling.validate_prediction(prediction, return_errors=True) == []


def test_suggestion_of_unknown_class_is_not_marked(tmp_path):
    table = table_of(("a", "He wrote", []), classes=("PER", "LOC"))
    tasks = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", issues_of(table, (0, "", None, "He", 0)), table)
    assert [p["model_version"] for p in tasks[0]["predictions"]] == ["given"]
    assert "suggested: He" in tasks[0]["data"]["hint"]


def test_issues_of_another_run_are_refused(tmp_path, issues, table):
    with pytest.raises(ValueError, match=r"expected example .* in row 1 of the table, found another.*same run"):
        write_doccano(tmp_path / "d.jsonl", issues, table.iloc[::-1].reset_index(drop=True).drop(index=1))
    elsewhere = issues_of(table, (1, "Oslo", 41, "Zürich", 24))
    with pytest.raises(ValueError, match="expected the suggested answer 'Zürich' at 24, found another text there"):
        write_doccano(tmp_path / "d.jsonl", elsewhere, table)
    table["given_start"] = [[0], [58], []]
    with pytest.raises(ValueError, match="expected the judged answer 'Oslo' at 41 among the given answers"):
        write_doccano(tmp_path / "d.jsonl", issues, table)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("worst", [0, True, 1.5])
def test_wrong_number_of_examples_is_refused(tmp_path, issues, table, worst):
    with pytest.raises(ValueError, match="worst: expected an integer of at least 1, found"):
        write_doccano(tmp_path / "d.jsonl", issues, table, worst=worst)


def test_table_without_a_class_is_refused(tmp_path, issues, table):
    table["given_label"] = [[], [], []]
    with pytest.raises(ValueError, match=r"expected columns labels_<class> or given answers, found neither"):
        write_doccano(tmp_path / "d.jsonl", issues, table.drop(columns="labels_ANS"))


# doccano


def test_doccano_lines_count_utf16_units(tmp_path, issues, table):
    write_doccano(tmp_path / "d.jsonl", issues, table)
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_bytes().decode().split("\n")[:-1]]
    assert [line["id"] for line in lines] == [HOSTILE, "none", "plain"]
    # Two emoji before the answer: two units more than characters.
    assert [line["label"] for line in lines] == [[[43, 47, "ANS"]], [], [[0, 2, "ANS"]]]
    assert lines[0]["given"] == lines[0]["label"]
    assert lines[0]["text"] == PARTY
    assert not any(value is None for line in lines for value in line.values())


# What comes back unchanged


HE, OSLO = (Answer("He", 0, "ANS"),), (Answer("Oslo", 41, "ANS"),)
CONFIRMED = [Decision(HOSTILE, OSLO, OSLO), Decision("none", (), ()), Decision("plain", HE, HE)]


def test_tasks_submitted_as_they_start_are_read_as_confirmed(tmp_path, tasks):
    # Label Studio starts a reviewer from the version that comes last, "given".
    annotations = [[{"result": task["predictions"][-1]["result"], "was_cancelled": False}] for task in tasks]
    export = [{"data": task["data"], "annotations": done} for task, done in zip(tasks, annotations, strict=True)]
    (tmp_path / "e.json").write_text(json.dumps(export), encoding="utf-8")
    assert read_decisions(tmp_path / "e.json") == CONFIRMED


def test_doccano_lines_are_read_as_confirmed(tmp_path, issues, table):
    write_doccano(tmp_path / "d.jsonl", issues, table)
    assert read_decisions(tmp_path / "d.jsonl") == CONFIRMED


# Tables


DTYPES = {
    "rank": "int64", "index": "int64", "id": "str", "label_quality": "float64", "is_issue": "bool", "question": "str",
    "given_answer": "str", "given_start": "Int64", "suggested_answer": "str", "suggested_start": "Int64",
    "suggestion_confidence": "float64", "checks": "str", "fold": "int64",
}  # fmt: skip
ATTACKS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1+1", '=HYPERLINK("https://example.org/?"&A1,"x")',
    "=cmd|'/c calc'!A0", '=1+2";=1+2', "'=1", "''=1", "\0=1",
]  # fmt: skip


def frame_of(rows: list[tuple]) -> pd.DataFrame:
    """Make issues of (id, question, given answer, its start, suggested answer, its start, quality, confidence)."""
    names = [
        "id", "question", "given_answer", "given_start", "suggested_answer", "suggested_start", "label_quality",
        "suggestion_confidence",
    ]  # fmt: skip
    columns = {name: [row[number] for row in rows] for number, name in enumerate(names)}
    numbers = np.arange(len(rows))
    columns |= {"rank": numbers + 1, "index": numbers[::-1], "is_issue": numbers < 2, "fold": numbers % 3}
    columns["checks"] = [["", "cut_word; other"][number % 2] for number in numbers]
    return pd.DataFrame({name: pd.Series(columns[name], dtype=dtype) for name, dtype in DTYPES.items()})


def cells_of(path: Path) -> list[list[str]]:
    text = path.read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


PARSERS = {
    "str": restored,
    "int64": int,
    "Int64": lambda cell: int(cell) if cell else None,
    "float64": lambda cell: float(cell or "nan"),
    "bool": {"True": True, "False": False}.get,
}


def read_back(path: Path) -> pd.DataFrame:
    """Read a table of issues with the types that its columns have."""
    header, *rows = cells_of(path)
    return pd.DataFrame(
        {
            name: pd.Series([PARSERS[DTYPES[name]](row[number]) for row in rows], dtype=DTYPES[name])
            for number, name in enumerate(header)
        }
    )


def fill_in(path: Path, correct: list[str], delimiter: str = ",") -> Path:
    """Save a table of issues as a spreadsheet does, with a column of correct answers."""
    rows = cells_of(path)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerows([*row, cell] for row, cell in zip(rows, ["correct_answer", *correct], strict=True))
    path.write_bytes(out.getvalue().encode("utf-8-sig"))
    return path


@pytest.fixture
def frame() -> pd.DataFrame:
    return frame_of(
        [
            ("a", 'Which, "one"\r\nof;\ttwo?', "He", 0, "wrote", 3, 0.1 + 0.2, 1 / 3),
            (HOSTILE, "מתי? 😀", "", None, "\nx ", 7, 5e-324, float("nan")),
            ("007", "", "Zürich", 22, "", None, 1.0, 0.0),
        ]
    )


def test_csv_bytes(tmp_path, frame):
    assert write_issues_csv(str(tmp_path / "new" / "i.csv"), frame.iloc[[0, 2]]) == tmp_path / "new" / "i.csv"
    assert (tmp_path / "new" / "i.csv").read_bytes() == (
        "\ufeffrank,index,id,label_quality,is_issue,question,given_answer,given_start,suggested_answer,"
        "suggested_start,suggestion_confidence,checks,fold\r\n"
        '1,2,a,0.30000000000000004,True,"Which, ""one""\r\nof;\ttwo?",He,0,wrote,3,0.3333333333333333,,0\r\n'
        "3,0,007,1.0,False,,Zürich,22,,,0.0,,2\r\n"
    ).encode()


@pytest.mark.parametrize("write", [write_issues_csv, write_issues_parquet])
@pytest.mark.parametrize("rows", [[0, 1, 2], [2], []])
def test_tables_read_back_equal(tmp_path, frame, write, rows):
    frame = frame.iloc[rows]
    path = write(tmp_path / "issues", frame)
    read = read_back(path) if write is write_issues_csv else pd.read_parquet(path)
    assert list(read.columns) == list(DTYPES)
    pd.testing.assert_frame_equal(read, frame.reset_index(drop=True), check_exact=True)


def test_parquet_has_the_columns_and_no_index(tmp_path, frame):
    path = write_issues_parquet(tmp_path / "i.parquet", frame.iloc[::-1])
    stored = pa.parquet.read_table(path)
    assert stored.column_names == list(DTYPES)
    assert stored["given_start"].to_pylist() == [22, None, 0]
    assert stored["is_issue"].type == pa.bool_()


@pytest.mark.parametrize("write", [write_issues_csv, write_issues_parquet])
def test_tables_are_written_whole_and_alike(tmp_path, frame, write, monkeypatch):
    one, two = write(tmp_path / "one", frame), write(tmp_path / "two", frame.copy())
    before = one.read_bytes()
    assert two.read_bytes() == before

    def fail(partial, content):
        partial.open("wb").write(content[:10])
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        write(one, frame.iloc[:1])
    assert one.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [one, two]


@pytest.mark.parametrize("text", ATTACKS)
def test_no_cell_of_the_csv_is_a_formula(tmp_path, text):
    path = write_issues_csv(tmp_path / "i.csv", frame_of([(text, text, text, 0, text, 5, 0.5, 0.5)]))
    header, row = cells_of(path)
    cells = dict(zip(header, row, strict=True))
    assert {name for name, cell in cells.items() if cell == f"'{text}"} == {
        "id", "question", "given_answer", "suggested_answer",
    }  # fmt: skip
    (decision,) = read_decisions(fill_in(path, ["right"]))
    assert decision == Decision(text, (Answer(text, 0),), (Answer("right"),))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_correct_answers_is_read(tmp_path, frame, delimiter):
    path = write_issues_csv(tmp_path / "i.csv", frame)
    he, zurich = (Answer("He", 0),), (Answer("Zürich", 22),)
    assert read_decisions(fill_in(path, ["He", "here", "[no answer]"], delimiter)) == [
        Decision("a", he, he), Decision(HOSTILE, (), (Answer("here"),)), Decision("007", zurich, ()),
    ]  # fmt: skip


TEXTS = st.text(st.sampled_from("'=+-@,;\"\t\r\n\0 ＝xé😀") | st.characters(exclude_categories=["Cs"]), max_size=8)
FLOATS = st.floats(0, 1)
ROWS = st.tuples(TEXTS, TEXTS, TEXTS, st.integers(0, 2**53), TEXTS, st.none() | st.integers(0, 99), FLOATS, FLOATS)


@settings(cases(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=1, max_size=3))
def test_any_texts_and_numbers_come_back(tmp_path, rows):
    # A start without an answer, or the other way round, is refused.
    rows = [(*row[:3], row[3] if row[2] else None, *row[4:]) for row in rows]
    frame = frame_of(rows)
    path = write_issues_csv(tmp_path / "i.csv", frame)
    pd.testing.assert_frame_equal(read_back(path), frame, check_exact=True)
    decisions = read_decisions(fill_in(path, ["[no answer]"] * len(rows)))
    given_answers = [(Answer(row[2], row[3]),) if row[2] else () for row in rows]
    assert [(d.id, d.given) for d in decisions] == [(row[0], g) for row, g in zip(rows, given_answers, strict=True)]
