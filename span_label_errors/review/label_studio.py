"""Label Studio: tasks and a labelling configuration to import, and its export read back. Offsets count characters."""

import json
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree  # nosec B405 # writes XML, and reads none

import pandas as pd

from span_label_errors.data.span_records import visible
from span_label_errors.files import write_file
from span_label_errors.results.read import span_classes_of
from span_label_errors.review.answers import Answer, Decision
from span_label_errors.review.colours import COLOURS, colour_number
from span_label_errors.review.marks import (
    Review,
    check_fields,
    example_fields,
    marked_answers,
    shown_others,
    shown_suggestion,
    suspicions,
    trimmed,
    why,
    worst_examples,
)

_CONTEXT = "context"  # the name of what is marked
# The names of the two controls, and what a reviewer chooses with the second.
_SPANS, _NO_ANSWER_CONTROL = "answer", "no_answer"
_NO_ANSWER_CHOICE = "The text does not answer the question"
_NO_SPAN_CHOICE = "The text has nothing to mark"


def write_label_studio(
    tasks_path: str | Path, config_path: str | Path, issues: pd.DataFrame, table: pd.DataFrame, worst: int = 100
) -> list[dict]:
    """Write the most suspicious examples as tasks for Label Studio, and the project's labelling configuration as XML.

    A reviewer starts from the given answers, marked. The model's suggestion is named above the text and is a prediction
    of its own, which Label Studio does not start from: agreeing with the model must take an effort. The score of the
    prediction `given` is the label quality, so that "Prediction score" sorts tasks by it. Where every span is labelled,
    a task has all spans of an example, and its score is the quality of the example. The tasks are returned; for the
    other parameters see `marks.worst_examples`.
    """
    examples = worst_examples(issues, table, worst)
    labels_every_span, has_questions = "given_label" in issues, bool((issues["question"] != "").any())
    tasks = [(_task_of_spans if labels_every_span else _task)(reviews) for reviews in examples]
    write_file(config_path, _config(span_classes_of(table), labels_every_span, has_questions))
    write_file(tasks_path, json.dumps(tasks, indent=1, ensure_ascii=False))
    return tasks


def _task(reviews: list[Review]) -> dict:
    (review,) = reviews
    issue = review.issue
    hint = f"Given: {issue.given_answer or 'no answer'}"
    if review.others:
        hint += f" · other annotators: {shown_others(review.others)}"
    if issue.suggested_answer:
        hint += f" · suggested: {shown_suggestion(issue.suggested_answer)} ({issue.suggestion_confidence:.0%})"
    if reason := why(issue.reason, issue.evidence):
        hint += f" · {reason}"
    predictions = [_prediction("given", review.answers, issue.label_quality)]
    is_marked = review.suggested is not None and review.suggested.class_name is not None
    if is_marked or review.suggests_no_answer:
        # Label Studio starts a reviewer from the version that comes last in the file.
        suggested = [review.suggested] if is_marked else []
        predictions.insert(0, _prediction("suggested", suggested, issue.suggestion_confidence))
    return {"data": _data(reviews, hint), "predictions": predictions}


def _task_of_spans(reviews: list[Review]) -> dict:
    first = reviews[0]
    predictions = [_prediction("given", first.answers, first.issue.example_quality, _NO_SPAN_CHOICE)]
    suspicious = [review for review in reviews if review.issue.suggested_answer]
    if suspicious:
        replaced = [review.given for review in suspicious]
        new = [review.suggested for review in suspicious if review.suggested]
        spans = [answer for answer in first.answers if answer not in replaced]
        # All of them are right only if the least certain one is.
        score = min(review.issue.suggestion_confidence for review in suspicious)
        predictions.insert(0, _prediction("suggested", [*spans, *dict.fromkeys(new)], score, _NO_SPAN_CHOICE))
    return {"data": _data(reviews, suspicions(reviews)), "predictions": predictions}


def _data(reviews: list[Review], hint: str) -> dict:
    review = reviews[0]
    given = [[*answer.span, answer.class_name] for answer in review.answers]
    return {"id": review.issue.id, "text": review.context, **example_fields(reviews), "hint": hint, "given": given}


def _prediction(model_version: str, answers: list[Answer], score: float, nothing: str = _NO_ANSWER_CHOICE) -> dict:
    values = [
        {"start": answer.span[0], "end": answer.span[1], "text": answer.text, "labels": [answer.class_name]}
        for answer in answers
    ]
    control, kind = (_SPANS, "labels") if values else (_NO_ANSWER_CONTROL, "choices")
    result = [
        {"id": f"{model_version}{number}", "from_name": control, "to_name": _CONTEXT, "type": kind, "value": value}
        for number, value in enumerate(values or [{"choices": [nothing]}])
    ]
    return {"model_version": model_version, "score": float(score), "result": result}


def _config(classes: list[str], labels_every_span: bool, has_questions: bool) -> str:
    view = ElementTree.Element("View")
    if has_questions or not labels_every_span:
        ElementTree.SubElement(view, "Header", value="$question", size="3")
    ElementTree.SubElement(view, "Header", value="$hint", size="5")
    labels = ElementTree.SubElement(view, "Labels", name=_SPANS, toName=_CONTEXT)
    for class_name in classes:
        colour = {"background": COLOURS[colour_number(class_name, classes)]} if labels_every_span else {}
        ElementTree.SubElement(labels, "Label", value=class_name, **colour)
    # Without valueType, Label Studio in its secure mode would take a text for an address.
    text = {"name": _CONTEXT, "value": "$text", "valueType": "text", "saveTextResult": "yes"}
    # A colour alone does not tell a class.
    ElementTree.SubElement(view, "Text", text | ({"showLabels": "true"} if labels_every_span else {}))
    choices = ElementTree.SubElement(view, "Choices", name=_NO_ANSWER_CONTROL, toName=_CONTEXT, choice="single")
    ElementTree.SubElement(choices, "Choice", value=_NO_SPAN_CHOICE if labels_every_span else _NO_ANSWER_CHOICE)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def is_task(row: object) -> bool:
    """Return whether an object of an export is a task, as Label Studio writes them."""
    return isinstance(row, dict) and isinstance(row.get("data"), dict)


def label_studio_decisions(rows: Iterable[tuple[str, object]]) -> Iterable[Decision | str]:
    """Yield a decision, or what is wrong, of each task of an export that was worked on, with where it stands."""
    for place, task in rows:
        if isinstance(task, dict) and "completions" in task:
            task = {**task, "annotations": task["completions"]}  # their name before version 1.0
        advice = 'export the project in the format "JSON" (not "JSON-MIN", which has no id of the data)'
        check_fields(task, {"data": dict, "annotations": list}, place, advice)
        data = task["data"]
        check_fields(data, {"id": str, "text": str, "given": list}, place)
        for annotation in task["annotations"]:
            check_fields(annotation, {"result": list}, place)
            for result in annotation["result"]:
                check_fields(result, {"value": dict}, place)
        done = [annotation for annotation in task["annotations"] if not annotation.get("was_cancelled")]
        try:
            given = marked_answers(data["text"], data["given"])
            verdicts = {_verdict(annotation["result"], data["text"], given) for annotation in done}
            if len(verdicts) > 1:
                raise ValueError(f"expected annotators to agree, found {sorted(verdicts)}; settle it in Label Studio")
            yield from (Decision(data["id"], given, correct) for correct in verdicts)
        except ValueError as error:
            yield f"example {data['id']!r}: {error}"


def _verdict(results: list[dict], context: str, given: tuple[Answer, ...]) -> tuple[Answer, ...]:
    marks = [result["value"] for result in results if result.get("from_name") == _SPANS]
    choices = [result["value"].get("choices") for result in results if result.get("from_name") == _NO_ANSWER_CONTROL]
    if not given and marks and choices == [[_NO_SPAN_CHOICE]]:
        choices = []  # the task began with it, and what was missing has been marked
    if bool(choices) == bool(marks):
        found = f"that choice and {len(marks)} marks" if choices else "neither"
        raise ValueError(
            f"expected marked answers or the choice {_NO_ANSWER_CHOICE!r} or {_NO_SPAN_CHOICE!r}, found {found}; "
            "annotate it again"
        )
    answers: list[Answer] = []
    for mark in marks:
        class_names, text = mark.get("labels") or [None], mark.get("text", "")
        if not isinstance(class_names, list) or not isinstance(text, str):
            raise ValueError(f"expected marks with a list 'labels' and a text, found {mark}")
        marked = marked_answers(context, [[mark.get("start"), mark.get("end"), name] for name in class_names])
        # Line ends are shown as breaks, and come back as something else or not at all.
        if text and visible(text) != visible(marked[0].text):
            raise ValueError(
                f"expected the marked text {text!r} at {mark['start']}, found {marked[0].text!r}; "
                "offsets must count characters, and the tasks' texts be those that were imported"
            )
        answers += marked
    return trimmed(answers, given)
