"""Bring questions of many forms into the SQuAD schema.

Only what is certain is read: a number where an id is text, one answer where a list is expected, the ways in which tools
write that there is no answer. All else stays as it is, and validation says what is wrong with it.
"""

import math
import re
from collections.abc import Iterable

from span_label_errors.data.layouts import Question
from span_label_errors.data.messages import shown_names

_WHOLE_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,18})(\.0*)?\s*", re.ASCII)
_LARGEST_EXACT = 2**53  # from here on, a float may stand for several integers


def rows_of(questions: Iterable[Question]) -> list[object]:
    """Return one row a question, with the columns of the schema and `is_impossible` where the question has it.

    An id that is missing is made of the question's position: "0-0-3", or "17" of a row. Equal contexts are one object:
    a copy of a long one for each of its questions would be most of the memory that a run takes.

    Raises
    ------
    ValueError
        If no question says what its answers are.
    """
    rows, made, without_answers, without_question = [], [], [], []
    contexts: dict[str, str] = {}
    for question in questions:
        row = _row(*question.nodes)
        rows.append(row)
        if not isinstance(row, dict):
            continue
        if isinstance(row.get("context"), str):
            row["context"] = contexts.setdefault(row["context"], row["context"])
        if row["id"] is None:
            made.append((row, question.position))
        if row.get("question") is None:
            without_question.append(row)
        if "answers" not in question.nodes[-1] and not row.get("is_impossible"):
            without_answers.append(question.nodes[-1])
    if rows and len(without_answers) == len(rows):
        raise ValueError(
            f"expected 'answers' in the questions, found none in all {len(rows)} of them; the first has the fields "
            f"[{shown_names(without_answers[0])}]"
        )
    if len(without_question) == len(rows):
        for row in without_question:
            row["question"] = ""
    make_ids(made, rows)
    return rows


def make_ids(made: Iterable[tuple[dict, tuple[int, ...]]], rows: Iterable[object]) -> None:
    """Give those rows an id that have None, made of their positions and of no other row."""
    given: set[str] | None = None
    for row, position in made:
        if given is None:
            given = {row["id"] for row in rows if isinstance(row, dict) and isinstance(row["id"], str)}
        row["id"] = "-".join(map(str, position))
        while row["id"] in given:
            row["id"] += "-"


def given_id(fields: dict) -> object:
    """Return the id of a source's object, a number as its text; None if it has none."""
    example_id = as_text(fields.get("id"))
    is_blank = is_missing(example_id) or (isinstance(example_id, str) and not example_id.strip())
    return None if is_blank else example_id


def answer_entries(answers: object) -> list[dict] | None:
    """Return the answers of a question as a list with one dict for each; None if they have another form.

    Parameters
    ----------
    answers : object
        As the source has them: a list of `{"text", "answer_start"}`, columns `{"text": [...], "answer_start": [...]}`,
        one dict with a text and an offset, or None.
    """
    if isinstance(answers, list):
        return answers if all(isinstance(answer, dict) for answer in answers) else None
    if is_missing(answers) or answers == {}:
        return []
    if not isinstance(answers, dict) or "text" not in answers:
        return None
    columns = {name: answers[name] for name in ("text", "answer_start", "label") if answers.get(name) is not None}
    if has_annotators(answers):
        columns["annotator"] = answers["annotator"]
    if all(values == [] for values in columns.values()):
        return []
    if not any(isinstance(values, list) for values in columns.values()):
        return [answers]
    if any(not isinstance(values, list) or len(values) != len(columns["text"]) for values in columns.values()):
        return None
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def has_annotators(answers: dict) -> bool:
    """Return whether columns of answers name the annotator of each; another field of that name is the source's own."""
    names, texts = answers.get("annotator"), answers["text"]
    return isinstance(names, list) and isinstance(texts, list) and len(names) == len(texts)


def is_no_answer(entry: dict, is_impossible: bool = False) -> bool:
    """Return whether one of `answer_entries` says that there is no answer: no text, at no offset or at -1."""
    text = entry.get("text")
    if not is_missing(text) and not (isinstance(text, str) and not text.strip()):
        return False
    return is_impossible or offset(entry.get("answer_start")) in (None, -1)


def offset(value: object) -> object:
    """Return an offset as an integer where a float or a text certainly is one, None if it is missing."""
    if is_missing(value):
        return None
    if isinstance(value, str) and (number := _WHOLE_NUMBER.fullmatch(value)):
        return int(number[1])
    return _whole(value)


def is_missing(value: object) -> bool:
    """Return whether a value is None, or NaN, which tables have in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _row(*nodes: object) -> object:
    """Return the row of a question, the last of the objects that hold it; what is no object, as it is."""
    *outer, question = nodes
    if not isinstance(question, dict):
        return question
    paragraph = outer[-1] if outer else question
    titles = [as_text(node["title"]) for node in outer or nodes if not is_missing(node.get("title"))]
    row = {"id": given_id(question), "title": titles[0] if titles else ""}
    if "context" in paragraph:
        row["context"] = paragraph["context"]
    if "question" in question:
        row["question"] = question["question"]
    if not is_missing(question.get("is_impossible")):
        row["is_impossible"] = question["is_impossible"]
    if "answers" in question:
        row["answers"] = _columns(question["answers"], bool(row.get("is_impossible")))
    elif row.get("is_impossible") or not any("answer" in name for name in question if name != "plausible_answers"):
        # What looks like answers under another name must not pass for none.
        row["answers"] = _columns(None, True)
    is_whole = "context" in row and "answers" in row
    return row if is_whole else {**paragraph, **question, **row}  # the message about it shows the source's fields


def _columns(answers: object, is_impossible: bool) -> object:
    """Return answers as the schema's columns; what has another form, as it is."""
    entries = answer_entries(answers)
    if entries is None:
        return answers
    kept = [entry for entry in entries if not is_no_answer(entry, is_impossible)]
    columns = {
        "text": [as_text(entry.get("text")) for entry in kept],
        "answer_start": [offset(entry.get("answer_start")) for entry in kept],
    }
    labels = [entry.get("label") for entry in kept]
    if any(label is not None for label in labels) or (isinstance(answers, dict) and answers.get("label") == []):
        columns["label"] = labels
    annotators = [as_text(entry.get("annotator")) for entry in kept]
    if any(isinstance(annotator, str) and annotator for annotator in annotators):
        columns["annotator"] = [annotator if isinstance(annotator, str) else "" for annotator in annotators]
    return columns


def as_text(value: object) -> object:
    """Return a number as its text: an id, a year that is an answer. Texts and all else stay as they are."""
    value = _whole(value)
    return str(value) if type(value) is int else value


def _whole(value: object) -> object:
    """Return a float as the integer that it certainly stands for; all else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT else value
