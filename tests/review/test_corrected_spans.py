"""Decisions about spans of several classes, put into data without a question by way of a table and of tasks."""

import csv
import io
import json
from pathlib import Path

import pytest
from review_frames import make_span_frames

from span_label_errors.data.squad import load_squad
from span_label_errors.review.answers import Answer, Decision
from span_label_errors.review.corrections import apply_decisions
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.label_studio import write_label_studio
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.spreadsheet import write_issues_csv

FIRST = {
    "id": "0", "context": "Anna joined Acme in Oslo , then Rome Ltd",
    "given": [("Anna", "PER"), ("Acme", "LOC"), ("Oslo", "LOC"), ("Rome", "LOC")],
    "rows": [
        ("Acme", ("Acme", "ORG")), ("Rome", ("Rome Ltd", "ORG")), ("Oslo", "[no answer]"), ("then", ("then", "PER")),
        ("Anna", None),
    ],
}  # fmt: skip
SECOND = {
    "id": "1",
    "context": "Bo met Carl",
    "given": [("Bo", "PER")],
    "rows": [("Carl", ("Carl", "PER")), ("Bo", None)],
}
IOB = """Anna NNP B-PER
joined VBD O
Acme NNP B-LOC
in IN O
Oslo NNP B-LOC
, , O
then RB O
Rome NNP B-LOC
Ltd NNP O

Bo NNP B-PER
met VBD O
Carl NNP O
"""


def as_jsonl(*examples: dict) -> str:
    """The examples as rows of JSON Lines, whose bytes are those of a data set of somebody else."""
    lines = []
    for example in examples:
        texts, labels = zip(*example["given"], strict=True)
        starts = [example["context"].index(text) for text in texts]
        answers = {"text": list(texts), "answer_start": starts, "label": list(labels)}
        lines.append(json.dumps({"id": example["id"], "context": example["context"], "answers": answers}) + "\n")
    return "".join(lines)


@pytest.fixture(params=["jsonl", "conll"])
def source(request, tmp_path) -> Path:
    path = tmp_path / f"source.{request.param}"
    path.write_text(IOB if request.param == "conll" else as_jsonl(FIRST, SECOND), encoding="utf-8")
    return path


def filled_in(folder: Path, cells: dict[str, tuple[str, str]]) -> Path:
    """The table of issues with (correct_answer, correct_label) in the rows about these spans or places."""
    issues, _ = make_span_frames(FIRST, SECOND)
    header, *rows = csv.reader(io.StringIO(write_issues_csv(folder / "i.csv", issues).read_text(encoding="utf-8-sig")))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*header, "correct_answer", "correct_label"])
    for row, about in zip(rows, [row[0] for row in (*FIRST["rows"], *SECOND["rows"])], strict=True):
        writer.writerow([*row, *cells.get(about, ("", ""))])
    (folder / "i.csv").write_text(out.getvalue(), encoding="utf-8")
    return folder / "i.csv"


def corrected(source: Path, decisions: list[Decision]) -> tuple[dict[str, list[tuple]], list[tuple[str, str]]]:
    """The answers by id after these decisions, and the id and the kind of each change."""
    path = source.with_name(f"corrected{source.suffix}")
    changes = apply_decisions(source, decisions, path, source.with_name("changes.json"))
    answers = {row["id"]: list(zip(*row["answers"].values(), strict=True)) for row in load_squad(path)}
    return answers, [(change.id, change.kind) for change in changes]


def test_rows_of_a_table_change_one_span_each(source, tmp_path):
    cells = {
        "Acme": ("", "ORG"), "Rome": ("Rome Ltd", "ORG"), "Oslo": ("[no answer]", ""), "then": ("[no answer]", ""),
        "Anna": ("Anna", ""), "Carl": ("Carl", "PER"),
    }  # fmt: skip
    decisions = read_decisions(filled_in(tmp_path, cells))
    answers, changes = corrected(source, decisions)
    assert answers == {
        "0": [("Anna", 0, "PER"), ("Acme", 12, "ORG"), ("Rome Ltd", 32, "ORG")],
        "1": [("Bo", 0, "PER"), ("Carl", 7, "PER")],
    }
    assert changes == [("0", "answers changed"), ("1", "added")]
    # The corrected data are the source of the next round: the same decisions change nothing.
    again = source.with_name(f"corrected{source.suffix}").rename(source.with_name(f"again{source.suffix}"))
    assert corrected(again, decisions) == (answers, [])


def test_only_the_lines_of_changed_spans_differ(tmp_path):
    source = tmp_path / "source.conll"
    source.write_text(IOB, encoding="utf-8")
    decisions = read_decisions(filled_in(tmp_path, {"Acme": ("", "ORG"), "Carl": ("Carl", "PER")}))
    corrected(source, decisions)
    expected = IOB.replace("Acme NNP B-LOC", "Acme NNP B-ORG").replace("Carl NNP O", "Carl NNP B-PER")
    assert source.with_name("corrected.conll").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ({"Acme": ("", "ORG")}, "class changed"),
        ({"Rome": ("Rome Ltd", "")}, "replaced"),
        ({"Oslo": ("[no answer]", "")}, "removed"),
        ({"then": ("then", "PER")}, "added"),
    ],
)
def test_change_is_named_by_what_became_of_the_spans(source, tmp_path, cells, kind):
    assert corrected(source, read_decisions(filled_in(tmp_path, cells)))[1] == [("0", kind)]


def test_only_span_of_an_example_is_removed_and_the_first_one_added(source):
    bo = Answer("Bo", 0, "PER")
    answers, changes = corrected(source, [Decision("1", (bo,), (), place=(0, 2))])
    assert (answers["1"], changes) == ([], [("1", "removed")])
    again = source.with_name(f"corrected{source.suffix}").rename(source.with_name(f"again{source.suffix}"))
    answers, changes = corrected(again, [Decision("1", (), (bo,), place=(0, 2))])
    assert (answers["1"], changes) == ([("Bo", 0, "PER")], [("1", "added")])


def test_task_and_table_are_put_into_the_data_together(source, tmp_path):
    """A whole example from Label Studio, and a row of another one from a spreadsheet."""
    _, task = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", *make_span_frames(FIRST, SECOND))[::-1]
    assert task["data"]["id"] == "0"
    value = {"start": 12, "end": 16, "text": "Acme", "labels": ["ORG"]}
    annotation = {"result": [{"from_name": "answer", "type": "labels", "value": value}], "was_cancelled": False}
    (tmp_path / "export.json").write_text(json.dumps([task | {"annotations": [annotation]}]), encoding="utf-8")
    decisions = [*read_decisions(tmp_path / "export.json"), *read_decisions(filled_in(tmp_path, {"Bo": ("", "LOC")}))]
    assert corrected(source, decisions)[0] == {"0": [("Acme", 12, "ORG")], "1": [("Bo", 0, "LOC")]}


def test_adjacent_spans_of_one_class_stay_two(tmp_path):
    source = tmp_path / "source.conll"
    source.write_text("Anna B-PER\nBo B-PER\nmet O\n", encoding="utf-8")
    anna, bo, met = Answer("Anna", 0, "PER"), Answer("Bo", 5, "PER"), Answer("met", 8, "PER")
    decisions = [
        Decision("0", (anna,), (anna,), place=(0, 4)),
        Decision("0", (), (met,), place=met.span),
    ]
    assert corrected(source, decisions)[0] == {"0": [tuple(anna), tuple(bo), tuple(met)]}
    assert source.with_name("corrected.conll").read_text() == "Anna B-PER\nBo B-PER\nmet B-PER\n"


def test_span_that_cuts_a_token_is_refused_and_nothing_is_written(tmp_path):
    source = tmp_path / "source.conll"
    source.write_text(IOB, encoding="utf-8")
    decisions = read_decisions(filled_in(tmp_path, {"Rome": ("Rome L", "ORG")}))
    with pytest.raises(ValueError, match="cannot be written as tags"):
        corrected(source, decisions)
    assert not source.with_name("corrected.conll").exists()


def test_rows_that_contradict_a_task_are_refused(source):
    acme = Answer("Acme", 12, "LOC")
    spans = [Answer("Anna", 0, "PER"), acme, Answer("Oslo", 20, "LOC"), Answer("Rome", 32, "LOC")]
    whole = Decision("0", tuple(spans), tuple(spans))
    row = Decision("0", (acme,), (acme._replace(class_name="ORG"),), place=(12, 16))
    with pytest.raises(RefusedDecisionsError, match="example '0': expected decisions that go together"):
        corrected(source, [whole, row])


def test_classes_may_be_missing_where_every_span_is_labelled(tmp_path):
    """Data without a question and with one class need not name it: the others stay."""
    source = tmp_path / "source.jsonl"
    example = {
        "id": "1",
        "context": "Carl met Carl Lind",
        "answers": {"text": ["Carl", "Carl"], "answer_start": [0, 9]},
    }
    source.write_text(json.dumps(example) + "\n", encoding="utf-8")
    # Of one question, the other answer would say the same in other words, and go.
    decision = Decision("1", (Answer("Carl", 9, "ANS"),), (Answer("Carl Lind", 9, "ANS"),), place=(9, 13))
    assert corrected(source, [decision])[0] == {"1": [("Carl", 0), ("Carl Lind", 9)]}
