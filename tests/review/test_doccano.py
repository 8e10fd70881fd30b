"""What doccano gets, and what is read from its export."""

import json
from pathlib import Path

import pytest
from review_frames import HOSTILE_ID, PARTY, three_reviews

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
