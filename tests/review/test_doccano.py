"""What doccano gets, and what is read from its export."""

import json
from pathlib import Path

import pytest
from review_frames import HOSTILE_ID, PARTY, make_span_frames, three_reviews

from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.doccano import write_doccano
from span_label_errors.review.marks import RefusedDecisionsError

OSLO, HE = (Answer("Oslo", 41, "ANS"),), (Answer("He", 0, "ANS"),)


@pytest.fixture
def lines(tmp_path) -> list[dict]:
    write_doccano(tmp_path / "d.jsonl", *three_reviews())
    return [json.loads(line) for line in (tmp_path / "d.jsonl").read_bytes().decode().split("\n")[:-1]]


def export(folder: Path, *lines: dict) -> Path:
    (folder / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder / "all.jsonl"


def test_lines_count_utf16_units(lines):
    assert [line["id"] for line in lines] == [HOSTILE_ID, "none", "plain"]
    # Two emoji before the answer: two units more than characters.
    assert [line["label"] for line in lines] == [[[43, 47, "ANS"]], [], [[0, 2, "ANS"]]]
    assert lines[0]["given"] == lines[0]["label"]
    assert lines[0]["text"] == PARTY
    assert not any(value is None for line in lines for value in line.values())


def test_untouched_lines_are_read_as_confirmed(tmp_path, lines):
    assert read_decisions(tmp_path / "d.jsonl") == [
        Decision(HOSTILE_ID, OSLO, OSLO), Decision("none", (), ()), Decision("plain", HE, HE),
    ]  # fmt: skip


def test_moved_and_removed_marks_are_decisions(tmp_path, lines):
    moved, _, removed = lines
    path = export(
        tmp_path, {**moved, "label": [[24, 31, "ANS"], [23, 31, "ANS"]], "Comments": ["sure"]}, {**removed, "label": []}
    )
    assert read_decisions(path) == [
        Decision(HOSTILE_ID, OSLO, (Answer("Zürich,", 22, "ANS"),)), Decision("plain", HE, ()),
    ]  # fmt: skip


def as_objects(marks: list) -> list[dict]:
    """Marks as they are exported with relations on, and in the oldest versions."""
    return [
        {"id": number, "label": name, "start_offset": start, "end_offset": end, "user": 1}
        for number, (start, end, name) in enumerate(marks)
    ]


MOVED = [[24, 30, "ANS"]]


@pytest.mark.parametrize(
    "marks",
    [
        {"label": MOVED, "comments": [{"text": "sure"}], "Comments": []},
        {"labels": MOVED},
        {"entities": MOVED},
        {"entities": as_objects(MOVED), "relations": [{"from_id": 1, "to_id": 1, "type": "x"}], "Comments": []},
        {"annotations": as_objects(MOVED), "annotation_approver": "me"},
    ],
)
@pytest.mark.parametrize("form", ["lines", "list", "object"])
def test_every_version_of_an_export_is_read(tmp_path, lines, marks, form):
    row = {name: value for name, value in lines[0].items() if name != "label"} | marks
    texts = {"lines": json.dumps(row) + "\n", "list": json.dumps([row], indent=1), "object": json.dumps(row, indent=1)}
    (tmp_path / "e.json").write_text(texts[form], encoding="utf-8")
    assert read_decisions(tmp_path / "e.json") == [Decision(HOSTILE_ID, OSLO, (Answer("Zürich", 22, "ANS"),))]


def test_fields_of_the_import_are_found_where_old_versions_keep_them(tmp_path, lines):
    row = {"id": 15, "data": lines[0]["text"], "labels": [], "meta": {"id": "x", "given": lines[0]["given"]}}
    assert read_decisions(export(tmp_path, row)) == [Decision("x", OSLO, ())]


def test_document_that_nobody_has_approved_is_undecided(tmp_path, lines):
    rows = [{**line, "annotation_approver": name} for line, name in zip(lines, (None, "me", None), strict=True)]
    assert read_decisions(export(tmp_path, *rows)) == [Decision("none", (), ())]


def test_marks_that_are_not_clear_are_refused(tmp_path, lines):
    row = {name: value for name, value in lines[0].items() if name != "label"}
    with pytest.raises(
        ValueError, match=r"line 1: expected the field 'text' and the marks as one of label, .* as JSONL"
    ):
        read_decisions(export(tmp_path, row))
    with pytest.raises(ValueError, match="line 1: expected the field 'text' and the marks as one of"):
        read_decisions(export(tmp_path, {**row, "label": [], "entities": []}))
    numbered = {**row, "annotations": [{"label": 7, "start_offset": 0, "end_offset": 2}]}
    with pytest.raises(RefusedDecisionsError, match=r'names of labels, found the number 7; .* "JSONL \(Text label\)"'):
        read_decisions(export(tmp_path, numbered))


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
    with pytest.raises(RefusedDecisionsError, match=message) as caught:
        read_decisions(export(tmp_path, {**lines[0], "label": label}))
    assert repr(HOSTILE_ID) in str(caught.value)


def test_doccanos_own_number_is_no_id(tmp_path, lines):
    with pytest.raises(ValueError, match=r"line 1: expected the field 'id' as str, .*import the file that"):
        read_decisions(export(tmp_path, {**lines[0], "id": 15}))


# Where every span is labelled

EXAMPLE = {
    "context": "😀 Anna joined Acme", "given": [("Anna", "PER"), ("Acme", "LOC")], "example_quality": 0.02,
    "rows": [("Acme", ("Acme", "ORG"), {"reason": "another class"}), ("Anna", None)],
}  # fmt: skip


def test_line_has_all_spans_of_an_example_and_what_is_suspicious(tmp_path):
    (line,) = write_doccano(tmp_path / "d.jsonl", *make_span_frames(EXAMPLE))
    marks = [[3, 7, "PER"], [15, 19, "LOC"]]
    assert line == {
        "id": "s0", "text": EXAMPLE["context"], "label": marks, "example_index": 0, "title": "document 1",
        "label_quality": 0.02, "hint": "Acme (LOC) → Acme (ORG) (75%): another class", "given": marks,
    }  # fmt: skip
    changed = export(tmp_path, line | {"label": [[3, 7, "PER"], [15, 19, "ORG"], [8, 14, "LOC"]]})
    anna, acme, joined = Answer("Anna", 2, "PER"), Answer("Acme", 14, "LOC"), Answer("joined", 7, "LOC")
    assert read_decisions(changed) == [Decision("s0", (anna, acme), (anna, joined, acme._replace(class_name="ORG")))]
