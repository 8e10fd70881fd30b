"""Write answers in the form in which a source has them: a list of objects, columns, or one object.

The other way round, `rows` reads them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from span_label_errors.data.rows import answer_entries, is_missing, is_no_answer

_NO_ANSWER = {"text": "", "answer_start": -1}

# An answer that stays, as its position among those that are read of its question; a new one as
# `{"text", "answer_start"}`, with a `"label"` where the data has span classes; or both, for one that stays in part.
NewAnswer = int | dict | tuple[int, dict]


class Style(NamedTuple):
    """How a source writes answers, and that there is none."""

    form: str = "list"  # of a question that says so: "list", "columns" or "one"
    no_answer: tuple[dict, ...] | None = ()  # the entries of a question without an answer; None for null
    leaves_out: bool = False  # a question without an answer has no `answers`


def style_of(questions: Iterable[dict]) -> Style:
    """Return the style of a source's questions, of which the first that show it are read."""
    form, of_no_answer = "", None
    for question in questions:
        entries = answer_entries(question.get("answers"))
        if entries is None:
            continue  # an invalid example says nothing
        form = form or form_of(question)
        says_so = "answers" in question or question.get("is_impossible")
        if of_no_answer is None and says_so and not _given(question):
            kept = tuple({name: entry.get(name) for name in _NO_ANSWER} for entry in entries)
            of_no_answer = kept if form_of(question) else None, "answers" not in question
        if form and of_no_answer:
            break
    return Style(form or "list", *(of_no_answer or ()))


def with_answers(question: dict, answers: Sequence[NewAnswer], style: Style) -> object:
    """Return what a question's `answers` become.

    Parameters
    ----------
    question : dict
        As the source has it; only `answers` and `is_impossible` count.
    answers : sequence of NewAnswer
        If any answer has a label other than `""`, all of them get one.
    style : Style
        Of the source: for a question that says nothing of its own.

    Returns
    -------
    list, dict or None
        Kept answers keep their further fields. Several answers are a list where one object stood.
    """
    old = question.get("answers")
    form, given, no_answer = form_of(question) or style.form, _given(question), style.no_answer
    if not answers and no_answer is None:
        return None
    if not all(is_no_answer(entry, not is_missing(question.get("is_impossible"))) for entry in no_answer or ()):
        no_answer = ()  # at another offset, no text is no answer only where `is_impossible` says so
    # Where the old answers have no label, a new one needs none if it has no class.
    has_labels = any("label" in entry for entry in given)
    entries = []
    for answer in answers or no_answer:
        position, new = answer if isinstance(answer, tuple) else (answer, {})
        kept, new = ({}, position) if isinstance(position, dict) else (given[position], new)
        entries.append({**kept, **{name: new[name] for name in new if name != "label" or has_labels or new[name]}})
    if any("label" in entry for entry in entries):
        entries = [entry if "label" in entry else {**entry, "label": ""} for entry in entries]
    if form == "columns":
        return _as_columns(old, entries)
    if form == "one" and len(entries) < 2:
        return entries[0] if entries else dict(_NO_ANSWER)
    return entries


def impossible(question: dict, answers: Sequence[NewAnswer]) -> object:
    """Return what a question's `is_impossible` becomes, of the type that it has; None if it stays or is not there."""
    old = question.get("is_impossible")
    return None if is_missing(old) or bool(old) == (not answers) else type(old)(not answers)


def form_of(question: dict) -> str:
    """Return the form of a question's answers: "list", "columns", "one", or "" if they say nothing of it."""
    answers = question.get("answers")
    if isinstance(answers, list):
        return "list"
    if not isinstance(answers, dict) or not answers:
        return ""
    return "columns" if any(isinstance(answers.get(name), list) for name in ("text", "answer_start")) else "one"


def _given(question: dict) -> list[dict]:
    """Return the answers of a question as they are read, with their further fields."""
    answers, is_impossible = question.get("answers"), bool(question.get("is_impossible"))
    entries = answer_entries(answers) or []
    if entries and form_of(question) == "columns":
        columns = _columns(answers)
        entries = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [entry for entry in entries if not is_no_answer(entry, is_impossible)]


def _columns(answers: dict) -> dict[str, list]:
    """Return the fields that have a value for each answer."""
    count = len(answers["text"])
    return {name: values for name, values in answers.items() if isinstance(values, list) and len(values) == count}


def _as_columns(old: object, entries: list[dict]) -> dict:
    old = old if isinstance(old, dict) else {}
    names = dict.fromkeys(_columns(old) if isinstance(old.get("text"), list) else _NO_ANSWER)
    if any("label" in entry for entry in entries):
        names["label"] = None
    return {**old, **{name: [entry.get(name) for entry in entries] for name in names}}
