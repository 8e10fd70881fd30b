"""Label Studio's export of tasks: read as rows, and written again."""

import json
from pathlib import Path

import pytest

from span_label_errors.data.squad import load_squad
from span_label_errors.data.write import write_with_answers

TEXT = "😀 Ann saw\nKöln."


def result(number: int, start: int, end: int, label: str, text: str | None = None) -> dict:
    value = {"start": start, "end": end, "text": TEXT[start:end] if text is None else text, "labels": [label]}
    names = {"from_name": "label", "to_name": "text", "type": "labels", "origin": "manual"}
    return {"value": value, "id": f"r{number}", **names}


ANN, KOELN = result(1, 2, 5, "PER"), result(2, 10, 14, "LOC")
CHOICE = {"value": {"choices": ["good"]}, "id": "c", "from_name": "q", "to_name": "text", "type": "choices"}
OF_ANN = {"value": {"text": ["?"]}, "id": "r1", "from_name": "note", "to_name": "text", "type": "textarea"}
RELATION = {"from_id": "r1", "to_id": "r2", "type": "relation", "direction": "right"}


def annotation(*results: dict, **fields: object) -> dict:
    return {"id": 4, "completed_by": 1, "result": list(results), "was_cancelled": False, "ground_truth": False} | fields


def task(*annotations: dict, **data: object) -> dict:
    prediction = {"result": [KOELN], "score": 0.5}
    return {"id": 11, "annotations": list(annotations), "predictions": [prediction], "data": {"text": TEXT, **data}}


def written(tmp_path: Path, tasks: object, indent: int | None = None) -> Path:
    (tmp_path / "s.json").write_text(json.dumps(tasks, indent=indent, ensure_ascii=False), encoding="utf-8")
    return tmp_path / "s.json"


def edited(tmp_path: Path, tasks: object, new: dict, indent: int | None = None) -> str:
    write_with_answers(written(tmp_path, tasks, indent), tmp_path / "new", new)
    return (tmp_path / "new").read_text(encoding="utf-8")


def answer(text: str, label: str) -> dict:
    return {"text": text, "answer_start": TEXT.index(text), "label": label}


def test_tasks_are_read(tmp_path):
    tasks = [
        task(annotation(ANN, CHOICE, KOELN, RELATION)),
        task(),
        task(annotation(ANN, was_cancelled=True), annotation(was_cancelled=False), id="own", title="T"),
        task(annotation(ANN), annotation(KOELN, ground_truth=True), annotation(), id=5),
        task(annotation(ANN, KOELN), annotation(KOELN, ANN), id=6),
    ]
    rows = load_squad(written(tmp_path, tasks)).to_list()
    assert [(row["id"], row["title"], row["context"], row["question"]) for row in rows] == [
        ("11", "", TEXT, ""),
        ("own", "T", TEXT, ""),
        ("5", "", TEXT, ""),
        ("6", "", TEXT, ""),
    ]
    both = {"text": ["Ann", "Köln"], "answer_start": [2, 10], "label": ["PER", "LOC"]}
    assert [row["answers"] for row in rows] == [
        both,
        {"text": [], "answer_start": [], "label": []},
        {"text": ["Köln"], "answer_start": [10], "label": ["LOC"]},
        both,
    ]


def test_the_text_may_have_another_name(tmp_path):
    (row,) = load_squad(written(tmp_path, {**task(annotation(ANN)), "data": {"sentence": TEXT, "id": "x"}})).to_list()
    assert (row["id"], row["context"], row["answers"]["text"]) == ("x", TEXT, ["Ann"])


def test_line_ends_that_label_studio_shows_otherwise(tmp_path):
    for shown in ("saw\\nKöln", "sawKöln", "saw\nKöln"):
        (row,) = load_squad(written(tmp_path, [task(annotation(result(1, 6, 14, "X", shown)))])).to_list()
        assert row["answers"] == {"text": ["saw\nKöln"], "answer_start": [6], "label": ["X"]}


@pytest.mark.parametrize("indent", [None, 2])
def test_only_changed_spans_differ(tmp_path, indent):
    tasks = [task(annotation(CHOICE, ANN, OF_ANN, KOELN, RELATION), id=1), task(annotation(CHOICE), id=2)]
    new = {0: [0, answer("Köln.", "GPE")], 1: [answer("saw", "X")]}
    expected = json.loads(json.dumps(tasks))
    expected[0]["annotations"][0]["result"][3]["value"] |= {"end": 15, "text": "Köln.", "labels": ["GPE"]}
    added = result(1, 6, 9, "X")
    del added["origin"]
    expected[1]["annotations"][0]["result"].insert(0, {**added, "id": "new-1"})
    assert edited(tmp_path, tasks, new, indent) == json.dumps(expected, indent=indent, ensure_ascii=False)


def test_what_belongs_to_a_span_that_goes_goes_with_it(tmp_path):
    tasks = [task(annotation(CHOICE, ANN, OF_ANN, KOELN, RELATION))]
    assert edited(tmp_path, tasks, {0: [1]}) == json.dumps([task(annotation(CHOICE, KOELN))], ensure_ascii=False)


def test_a_correction_of_several_annotations_that_agree_is_the_ground_truth(tmp_path):
    tasks = [task(annotation(ANN), annotation(ANN))]
    expected = [task(annotation(ground_truth=True), annotation(ANN))]
    new = edited(tmp_path, tasks, {0: []})
    assert new == json.dumps(expected, ensure_ascii=False)
    assert load_squad(written(tmp_path, json.loads(new)))["answers"][0]["text"] == []


def test_a_span_cannot_be_added_without_one_to_copy(tmp_path):
    with pytest.raises(ValueError, match="at least one labelled span in the file"):
        edited(tmp_path, [task(annotation())], {0: [answer("saw", "X")]})


BAD = {**ANN, "value": {**ANN["value"], "labels": ["A", "B"]}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (task(annotation(ANN), annotation(KOELN)), "one annotation, or several that agree; found 2 that differ"),
        (task(annotation(BAD)), r"one label for each span; found .*'A', 'B'"),
        (task(annotation({**ANN, "type": "hypertextlabels"})), "spans of a text, which are results of the type 'lab"),
        (task(annotation(result(1, 2, 6, "X", "saw"))), "the answer 'saw' at offset 2; found 'Ann'"),
        (
            task(annotation({**ANN, "value": {"start": 2, "end": 99, "labels": ["X"]}})),
            "a span that .* within the text's 15 char",
        ),
        ({**task(annotation(ANN)), "data": {"a": "x", "b": "y"}}, "a string 'text' in 'data', or only one string"),
        (task({"id": 1}), "annotations with a list 'result'"),
        ({"data": {}}, "a task with 'data' and 'annotations'"),
    ],
)
def test_tasks_that_cannot_be_read(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=rf"1 of 2 examples are invalid:\n  example 1 \(id .*: expected {message}"):
        load_squad(written(tmp_path, [task(annotation(ANN), id="first"), wrong]))
