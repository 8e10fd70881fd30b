"""What Label Studio gets, and what is read from its export."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from review_frames import HOSTILE_ID, PARTY, make_frames, make_span_frames, three_reviews

from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.label_studio import write_label_studio
from span_label_errors.review.marks import RefusedDecisionsError

NO_ANSWER_CHOICE = "The text does not answer the question"
OSLO, HE = (Answer("Oslo", 41, "ANS"),), (Answer("He", 0, "ANS"),)


@pytest.fixture
def tasks(tmp_path) -> list[dict]:
    write_label_studio(tmp_path / "tasks.json", tmp_path / "config.xml", *three_reviews())
    return json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))


def test_tasks_mark_given_and_suggested_answers_in_characters(tasks):
    assert [task["data"]["id"] for task in tasks] == [HOSTILE_ID, "none", "plain"]
    assert tasks[0]["data"] == {
        "id": HOSTILE_ID, "text": PARTY, "example_index": 2, "title": "Title", "question": "Why?",
        "given_answer": "Oslo", "suggested_answer": "Zürich", "label_quality": 0.25,
        "reason": "answers another question", "evidence": "far away; too long", "given": [[41, 45, "ANS"]],
        "hint": "Given: Oslo · suggested: Zürich (75%) · answers another question (far away; too long)",
    }  # fmt: skip
    found = [(p["model_version"], p["score"], [r["value"] for r in p["result"]]) for p in tasks[0]["predictions"]]
    # Label Studio starts a reviewer from the version that comes last: never from the suggestion.
    assert found == [
        ("suggested", 0.75, [{"start": 22, "end": 28, "text": "Zürich", "labels": ["ANS"]}]),
        ("given", 0.25, [{"start": 41, "end": 45, "text": "Oslo", "labels": ["ANS"]}]),
    ]
    assert tasks[1]["predictions"][-1]["result"][0]["value"] == {"choices": [NO_ANSWER_CHOICE]}
    assert [p["model_version"] for p in tasks[2]["predictions"]] == ["given"]


def test_configuration_names_every_class_escaped(tmp_path):
    frames = make_frames({"context": "He wrote", "given": [(0, 2)]}, classes=('P&"<R>', "LOC"))
    tasks = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", *frames)
    view = ElementTree.fromstring((tmp_path / "c.xml").read_text(encoding="utf-8"))
    assert [label.get("value") for label in view.iter("Label")] == ['P&"<R>', "LOC"]
    assert tasks[0]["predictions"][0]["result"][0]["value"]["labels"] == ['P&"<R>']
    controls = {element.get("name") for element in view.iter() if element.get("toName") == "context"}
    assert controls == {"answer", "no_answer"}


def test_suggestion_of_unknown_class_is_named_and_not_marked(tmp_path):
    frames = make_frames({"context": "He wrote", "suggested": (0, 2)}, classes=("PER", "LOC"))
    tasks = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", *frames)
    assert [p["model_version"] for p in tasks[0]["predictions"]] == ["given"]
    assert "suggested: He" in tasks[0]["data"]["hint"]


def test_suggestion_of_no_answer_is_a_choice(tmp_path):
    frames = make_frames({"context": "He wrote", "given": [(0, 2)], "suggested": "[no answer]"}, classes=("PER", "LOC"))
    (task,) = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", *frames)
    assert task["data"]["hint"] == "Given: He · suggested: no answer (75%)"
    assert [(p["model_version"], p["score"]) for p in task["predictions"]] == [("suggested", 0.75), ("given", 0.25)]
    assert [result["value"] for result in task["predictions"][0]["result"]] == [{"choices": [NO_ANSWER_CHOICE]}]


# Its export


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


def export(folder: Path, *tasks_and_results: tuple, was_cancelled: bool = False) -> Path:
    """Write tasks, each with the results of its annotations, in the layout of Label Studio 1.23.2."""
    exported = [
        {
            "id": 27, "drafts": [], "predictions": [53, 54], "data": task["data"], "meta": {}, "inner_id": 27,
            "annotations": [
                {"id": number, "result": result, "was_cancelled": was_cancelled, "lead_time": 9.2, "task": 27}
                for number, result in enumerate(results)
            ],
        }
        for task, *results in tasks_and_results
    ]  # fmt: skip
    (folder / "export.json").write_text(json.dumps(exported), encoding="utf-8")
    return folder / "export.json"


def test_tasks_submitted_as_they_start_are_read_as_confirmed(tmp_path, tasks):
    submitted = [(task, task["predictions"][-1]["result"]) for task in tasks]
    assert read_decisions(export(tmp_path, *submitted)) == [
        Decision(HOSTILE_ID, OSLO, OSLO), Decision("none", (), ()), Decision("plain", HE, HE),
    ]  # fmt: skip


def test_annotations_are_decisions(tmp_path, tasks):
    agreed = [mark(0, 2, "He")]
    path = export(tmp_path, (tasks[0], [mark(22, 28, "Zürich")]), (tasks[1], [NO_ANSWER]), (tasks[2], agreed, agreed))
    assert read_decisions(path) == [
        Decision(HOSTILE_ID, OSLO, (Answer("Zürich", 22, "ANS"),)), Decision("none", (), ()), Decision("plain", HE, HE),
    ]  # fmt: skip


def test_annotations_of_old_versions_and_single_tasks_are_read(tmp_path, tasks):
    exported = json.loads(export(tmp_path, (tasks[0], [mark(22, 28, "Zürich")])).read_text(encoding="utf-8"))[0]
    expected = [Decision(HOSTILE_ID, OSLO, (Answer("Zürich", 22, "ANS"),))]
    old = {**exported, "completions": exported["annotations"]}
    del old["annotations"]
    for content in (json.dumps([old]), json.dumps(exported, indent=1), json.dumps(exported) + "\n"):
        (tmp_path / "e.json").write_text(content, encoding="utf-8")
        assert read_decisions(tmp_path / "e.json") == expected


def test_answers_of_other_annotators_are_named(tmp_path):
    issues, table = make_frames({"context": "abcdef", "given": [(2, 4)]}, {"context": "abc"})
    others = {
        "other_answer": [[], ["bcd", "cde", "bcd"]],
        "other_start": [[], [1, 2, 1]],
        "other_label": [[], ["ANS"] * 3],
    }
    tasks = write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", issues, table.assign(**others))
    assert [task["data"]["hint"] for task in tasks] == ["Given: cd · other annotators: bcd; cde", "Given: no answer"]
    assert [task["data"]["other_answers"] for task in tasks] == ["bcd; cde", ""]
    assert tasks[0]["data"]["given"] == [[2, 4, "ANS"]]


def test_skipped_tasks_and_those_not_begun_are_no_decision(tmp_path, tasks):
    assert read_decisions(export(tmp_path, (tasks[0], []), was_cancelled=True)) == []
    assert read_decisions(export(tmp_path, (tasks[1],))) == []


def test_marked_line_end_and_margins_are_read(tmp_path, tasks):
    # The text as the browser gives it back, with its line end as "\\n".
    (decision,) = read_decisions(export(tmp_path, (tasks[0], [mark(7, 18, "party\\n\\nwas ")])))
    assert decision.correct == (Answer("party\r\nwas", 7, "ANS"),)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([[]], "expected marked answers or the choice '.*', found neither"),
        ([[NO_ANSWER, mark(41, 45, "Oslo")]], "found that choice and 1 marks"),
        (
            [[mark(24, 30, "Zürich")]],
            "expected the marked text 'Zürich' at 24, found 'rich, '; offsets must",
        ),
        ([[mark(22, 28, "Zürich")], [mark(41, 45, "Oslo")]], "expected annotators to agree, found"),
        ([[mark(20, 21, " ")]], "expected an answer at 20, found white space only"),
        ([[mark(60, 90, "x")]], "expected a mark within the 64 characters"),
        ([[{**mark(0, 3, "The"), "value": {"start": 0, "end": 3}}]], r"expected marks \[start, end, class\]"),
    ],
)
def test_unclear_annotations_are_refused_by_id(tmp_path, tasks, results, message):
    with pytest.raises(RefusedDecisionsError, match=message) as caught:
        read_decisions(export(tmp_path, (tasks[2], [mark(0, 2, "He")]), (tasks[0], *results)))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"example {HOSTILE_ID!r}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"id": 1, "answer": []}], r'expected the field \'data\' as dict, found .* in the format "JSON"'),
        (
            [{"id": 7, "text": "x", "given": [], "answer": [{"start": 0, "end": 1, "text": "x", "labels": ["ANS"]}]}],
            'not "JSON-MIN", which has no id of the data',
        ),
        ([{"data": {"text": "x"}, "annotations": []}], "task 1: expected the field 'id' as str"),
        ([{"data": {"id": "a", "text": "x", "given": []}, "annotations": [7]}], "expected the field 'result' as list"),
    ],
)
def test_other_exports_are_refused(tmp_path, content, message):
    (tmp_path / "e.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_decisions(tmp_path / "e.json")


# Where every span is labelled

NO_SPAN_CHOICE = "The text has nothing to mark"
NO_SPAN = {**NO_ANSWER, "value": {"choices": [NO_SPAN_CHOICE]}}
STAFF = {
    "context": "Anna joined Acme in Oslo, then Rome", "example_quality": 0.02,
    "given": [("Anna", "PER"), ("Acme", "LOC"), ("Oslo", "LOC")],
    "rows": [
        ("Acme", ("Acme", "ORG"), {"reason": "another class"}),
        ("Oslo", "[no answer]", {"suggestion_confidence": 0.5}),
        ("Rome", ("Rome", "LOC"), {}),
        ("Anna", None, {}),
    ],
}  # fmt: skip
NOBODY = {
    "context": "It rained",
    "rows": [("rained", None, {"reason": "a span looks like one"})],
    "example_quality": 0.5,
}
ANNA, ACME, OSLO_LOC = Answer("Anna", 0, "PER"), Answer("Acme", 12, "LOC"), Answer("Oslo", 20, "LOC")


def span_tasks(folder: Path, *examples: dict, **options) -> list[dict]:
    return write_label_studio(folder / "tasks.json", folder / "config.xml", *make_span_frames(*examples), **options)


def test_task_has_all_spans_of_an_example_and_all_suggestions(tmp_path):
    nobody, staff = span_tasks(tmp_path, NOBODY, STAFF)[::-1]
    assert staff["data"] == {
        "id": "s1", "text": STAFF["context"], "example_index": 1, "title": "document 1", "label_quality": 0.02,
        "hint": "Acme (LOC) → Acme (ORG) (75%): another class · Oslo (LOC) → no span (50%) · "
        "no span → Rome (LOC) (75%)",
        "given": [[0, 4, "PER"], [12, 16, "LOC"], [20, 24, "LOC"]],
    }  # fmt: skip
    found = {
        prediction["model_version"]: (
            prediction["score"],
            [(result["value"]["text"], *result["value"]["labels"]) for result in prediction["result"]],
        )
        for prediction in staff["predictions"]
    }
    # Label Studio starts a reviewer from the version that comes last; of the suggestions, the least certain one counts.
    assert list(found.items()) == [
        ("suggested", (0.5, [("Anna", "PER"), ("Acme", "ORG"), ("Rome", "LOC")])),
        ("given", (0.02, [("Anna", "PER"), ("Acme", "LOC"), ("Oslo", "LOC")])),
    ]
    assert nobody["data"]["hint"] == "no span at rained: a span looks like one"
    (prediction,) = nobody["predictions"]
    assert [result["value"] for result in prediction["result"]] == [{"choices": [NO_SPAN_CHOICE]}]


def test_worst_counts_examples_by_their_quality(tmp_path):
    assert [task["data"]["id"] for task in span_tasks(tmp_path, NOBODY, STAFF, NOBODY, worst=2)] == ["s1", "s0"]


def test_configuration_tells_classes_by_colour_and_name_and_has_no_question(tmp_path):
    span_tasks(tmp_path, STAFF)
    view = ElementTree.fromstring((tmp_path / "config.xml").read_text(encoding="utf-8"))
    assert [label.attrib for label in view.iter("Label")] == [
        {"value": "LOC", "background": "#0072b2"}, {"value": "ORG", "background": "#c44e00"},
        {"value": "PER", "background": "#00552b"},
    ]  # fmt: skip
    assert view.find("Text").get("showLabels") == "true"
    assert [header.get("value") for header in view.iter("Header")] == ["$hint"]
    assert [choice.get("value") for choice in view.iter("Choice")] == [NO_SPAN_CHOICE]
    # Several spans may answer a question, too.
    (task,) = span_tasks(tmp_path, STAFF | {"question": "Who and where?"})
    view = ElementTree.fromstring((tmp_path / "config.xml").read_text(encoding="utf-8"))
    assert [header.get("value") for header in view.iter("Header")] == ["$question", "$hint"]
    assert task["data"]["question"] == "Who and where?"


def test_class_names_that_are_no_xml_are_escaped(tmp_path):
    names = ("<b>&\"'", "LOC")
    frames = make_span_frames(
        {"context": "Oslo", "given": [("Oslo", names[0])], "rows": [("Oslo", None)]}, classes=names
    )
    write_label_studio(tmp_path / "t.json", tmp_path / "c.xml", *frames)
    view = ElementTree.fromstring((tmp_path / "c.xml").read_text(encoding="utf-8"))
    assert [label.get("value") for label in view.iter("Label")] == list(names)


def test_annotation_is_a_decision_about_the_whole_example(tmp_path):
    staff, nobody = span_tasks(tmp_path, STAFF, NOBODY)
    marks = [mark(0, 4, "Anna", "PER"), mark(12, 16, "Acme", "ORG"), mark(31, 35, "Rome", "LOC")]
    correct = (ANNA, ACME._replace(class_name="ORG"), Answer("Rome", 31, "LOC"))
    given = (ANNA, ACME, OSLO_LOC)
    assert read_decisions(export(tmp_path, (staff, marks), (nobody, [NO_SPAN]))) == [
        Decision("s0", given, correct), Decision("s1", (), ()),
    ]  # fmt: skip
    assert read_decisions(export(tmp_path, (staff, [NO_SPAN]))) == [Decision("s0", given, ())]
    # As they start.
    submitted = [(task, task["predictions"][-1]["result"]) for task in (staff, nobody)]
    assert read_decisions(export(tmp_path, *submitted)) == [Decision("s0", given, given), Decision("s1", (), ())]


def test_span_that_was_missing_counts_though_the_task_began_with_nothing_to_mark(tmp_path):
    staff, nobody = span_tasks(tmp_path, STAFF, NOBODY)
    path = export(tmp_path, (nobody, [NO_SPAN, mark(0, 2, "It", "PER")]))
    assert read_decisions(path) == [Decision("s1", (), (Answer("It", 0, "PER"),))]
    # Beside spans that were given, the choice is the reviewer's.
    with pytest.raises(RefusedDecisionsError, match="found that choice and 1 marks"):
        read_decisions(export(tmp_path, (staff, [NO_SPAN, mark(0, 4, "Anna", "PER")])))
    with pytest.raises(RefusedDecisionsError, match=f"or '{NO_SPAN_CHOICE}', found neither"):
        read_decisions(export(tmp_path, (nobody, [])))


def test_adjacent_marks_of_one_class_stay_two(tmp_path):
    example = {"context": "Anna Bo", "given": [("Anna ", "PER"), ("Bo", "PER")], "rows": [("Bo", None)]}
    (task,) = span_tasks(tmp_path, example)
    (decision,) = read_decisions(export(tmp_path, (task, task["predictions"][-1]["result"])))
    assert decision.correct == decision.given == (Answer("Anna ", 0, "PER"), Answer("Bo", 5, "PER"))
