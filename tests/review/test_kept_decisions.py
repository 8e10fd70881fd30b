"""The decisions of all rounds: kept in one file, the newest about an answer, and left alone by what else is written."""

import json

import pytest
from review_frames import make_frames
from small_runs import PARAMETERS, five_examples, one_class

from span_label_errors.quality.label_errors import LabelErrors
from span_label_errors.results.write import write_outputs
from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.kept_decisions import keep_decisions, kept_decisions
from span_label_errors.review.write import write_review_files

OSLO, ROME, PARIS = (Answer("Oslo", 41),), (Answer("Rome", 3),), (Answer("Paris", 9),)


def test_what_is_kept_comes_back_as_it_was(tmp_path):
    assert kept_decisions(tmp_path) == []
    decisions = [
        Decision('a "1"\n', (Answer("Zürich", 22, "A"), Answer("😀", 4, "B")), (Answer("Oslo", 41, "A"),)),
        Decision("b", OSLO, (Answer("Rome"),)),
        Decision("c", OSLO, ()),
        Decision("d", (), ()),
    ]
    assert keep_decisions(tmp_path, decisions) == decisions
    assert kept_decisions(tmp_path) == decisions
    assert json.loads((tmp_path / "decisions.json").read_text(encoding="utf-8"))[:2] == [
        {
            "id": 'a "1"\n',
            "given": [
                {"text": "Zürich", "answer_start": 22, "label": "A"}, {"text": "😀", "answer_start": 4, "label": "B"},
            ],
            "correct": [{"text": "Oslo", "answer_start": 41, "label": "A"}],
        },
        {
            "id": "b", "given": [{"text": "Oslo", "answer_start": 41}],
            "correct": [{"text": "Rome", "answer_start": None}],
        },
    ]  # fmt: skip
    # The same file read again adds nothing.
    assert keep_decisions(tmp_path, decisions) == decisions


@pytest.mark.parametrize(
    ("old", "new", "is_replaced"),
    [
        (Decision("a", OSLO, ROME), Decision("a", OSLO, OSLO), True),
        (Decision("a", OSLO, ROME), Decision("b", OSLO, OSLO), False),
        (Decision("a", OSLO, ROME), Decision("a", (Answer("Oslo", 41, "LOC"),), ()), True),
        # About another answer of the example, or one of those that were decided together.
        (Decision("a", OSLO, ROME), Decision("a", PARIS, ()), False),
        (Decision("a", (*OSLO, *PARIS), ROME), Decision("a", PARIS, PARIS), True),
        # What the older one has put there is reviewed anew.
        (Decision("a", OSLO, ROME), Decision("a", ROME, PARIS), True),
        (Decision("a", OSLO, ()), Decision("a", (), ROME), True),
        (Decision("a", (), ROME), Decision("a", (), ()), True),
        (Decision("a", (), ROME), Decision("a", ROME, ()), True),
        (Decision("a", OSLO, ROME), Decision("a", (), ()), False),
    ],
)
def test_new_decision_replaces_the_one_about_the_same_answers(tmp_path, old, new, is_replaced):
    other = Decision("c", ROME, OSLO)
    keep_decisions(tmp_path, [old, other])
    kept = [other, new] if is_replaced else [old, other, new]
    assert kept_decisions(tmp_path, [new]) == kept
    assert kept_decisions(tmp_path) == [old, other]
    assert keep_decisions(tmp_path, [new]) == kept_decisions(tmp_path) == kept


def test_older_decisions_about_other_data_are_left_out_and_stay(tmp_path):
    old = [Decision("a", OSLO, ROME), Decision("b", OSLO, ROME)]
    keep_decisions(tmp_path, old)
    # A new decision about an unknown example is for `apply_decisions` to refuse.
    new = Decision("unknown", OSLO, ROME)
    assert kept_decisions(tmp_path, [new], ids=["b", "c"]) == [old[1], new]
    assert kept_decisions(tmp_path) == old


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[{", "expected kept decisions as JSON; .*; restore the file, or move it away"),
        (b'["\xff"]', "expected kept decisions as JSON"),
        (b"{}", "expected a list of kept decisions, found dict"),
        (b"[7]", r"decisions.json, decision 1: expected the field 'id' as str, found int '7'; restore"),
        (b'[{"id": "a", "given": [], "correct": [7]}]', "decision 1: expected the field 'text' as str"),
        (
            b'[{"id": "a", "given": [], "correct": [{"text": "x", "answer_start": 1.5}]}]',
            "expected 'answer_start' as int or null and 'label' as str, found {'text': 'x', 'answer_start': 1.5}",
        ),
        (
            b'[{"id": "a", "given": [{"text": "x", "answer_start": null}], "correct": []}]',
            "expected the field 'answer_start' of each given answer as int",
        ),
        (b'[{"id": "a", "given": [], "correct": [], "place": [1]}]', r"expected 'place' as \[char_start, char_end\]"),
    ],
)
def test_damaged_file_is_named_and_stays(tmp_path, content, message):
    file = tmp_path / "decisions.json"
    file.write_bytes(content)
    for read in (kept_decisions, lambda folder: keep_decisions(folder, [])):
        with pytest.raises(ValueError, match=message) as caught:
            read(tmp_path)
        assert str(caught.value).startswith(str(file))
    assert file.read_bytes() == content


def test_new_run_and_new_review_leave_the_decisions(tmp_path):
    keep_decisions(tmp_path, [Decision("a", OSLO, ROME)])
    before = (tmp_path / "decisions.json").read_bytes()
    issues, table = make_frames({"context": "abcd"})
    for _ in range(2):
        write_outputs(tmp_path, five_examples(), one_class(five_examples()), PARAMETERS, 1.0)
        write_review_files(tmp_path, LabelErrors(issues, None), table)
        assert (tmp_path / "decisions.json").read_bytes() == before


def test_decision_about_a_place_keeps_it(tmp_path):
    made = [Decision("a", OSLO, ROME, place=(41, 45)), Decision("a", (), (), place=(9, 14))]
    assert keep_decisions(tmp_path, made) == made
    rows = json.loads((tmp_path / "decisions.json").read_text(encoding="utf-8"))
    assert [row["place"] for row in rows] == [[41, 45], [9, 14]]
    assert kept_decisions(tmp_path) == made
    # Decided anew; and a whole example takes the place of all.
    again = Decision("a", (), PARIS, place=(9, 14))
    assert kept_decisions(tmp_path, [again]) == [made[0], again]
    whole = Decision("a", OSLO, OSLO)
    assert kept_decisions(tmp_path, [whole]) == [whole]


def test_whole_example_stays_but_for_the_place_that_was_decided_anew(tmp_path):
    keep_decisions(tmp_path, [Decision("a", (*OSLO, *PARIS), PARIS)])
    new = Decision("a", OSLO, OSLO, place=(41, 45))
    assert keep_decisions(tmp_path, [new]) == [Decision("a", PARIS, PARIS, place=(9, 14)), new]
