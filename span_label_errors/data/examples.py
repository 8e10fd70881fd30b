"""Find what is wrong with an example in the SQuAD schema."""

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from numbers import Integral

from span_label_errors.data.messages import (
    code_point,
    describe,
    first_difference,
    is_unicode,
    shorten,
    shorten_around,
    shown_names,
    unicode_form,
)
from span_label_errors.data.places import Place, certain_place, in_other_units, nearest_start
from span_label_errors.spans.alignment import OUTSIDE
from span_label_errors.spans.text import occurrences

COLUMNS = ("id", "title", "context", "question", "answers")


class InvalidRow(dict):
    """An example that could not be brought into the schema, with its fields as far as they are known."""

    def __init__(self, fields: dict, problem: tuple[str, str]):
        super().__init__(fields)
        self.problem = problem  # what was expected, and found


def problem_of_example(row: object, required: Sequence[str] = COLUMNS) -> tuple[str, str] | None:
    """Find what is wrong with one example.

    Parameters
    ----------
    row : object
        An example as read.
    required : sequence of str
        Columns that must be there; others of the schema are checked where they are.

    Returns
    -------
    (expected, found) or None
        Of the first problem.
    """
    if not isinstance(row, dict):
        return "an object with the fields " + ", ".join(required), describe(row)
    if isinstance(row, InvalidRow):
        return row.problem
    for name in required:
        if name not in row:
            return f"the field {name!r}", "fields " + shown_names(row)
    for name in ("id", "title", "context", "question"):
        if name not in row:
            continue
        if not isinstance(row[name], str):
            return f"{name!r} to be a string", describe(row[name])
        # That there are no questions, every example says with "" (see `problem_of_mixture`).
        if name != "title" and not row[name].strip() and (name, row[name]) != ("question", ""):
            return f"a {name!r} that is not empty", describe(row[name])
        if not is_unicode(row[name]):
            return f"{name!r} to be Unicode text", f"half of a surrogate pair in {describe(row[name])}"
    if row.get("answers") is None and "answers" not in required:
        return None
    problem = _problem_of_answers(row["answers"], row["context"])
    if problem is None and row.get("is_impossible") not in (None, False, True):
        return "'is_impossible' to be true or false", describe(row["is_impossible"])
    if problem is None and row.get("is_impossible") and row["answers"]["text"]:
        problem = ("no answer where is_impossible is true", f"{len(row['answers']['text'])} answers")
    return problem


def has_questions(rows: Iterable[object]) -> bool:
    """Return whether any example has a question; span-labelling data have none."""
    return any(isinstance(row, dict) and bool(row.get("question")) for row in rows)


def problem_of_mixture(row: dict, of_data: bool) -> tuple[str, str] | None:
    """Find whether a valid example lacks a question where others of the data have one (`of_data`).

    The result is that of `problem_of_example`.
    """
    if of_data and not row["question"]:
        return "a 'question' that is not empty, or none in all examples", describe(row["question"])
    return None


def _problem_of_answers(answers: object, context: str) -> tuple[str, str] | None:
    if not isinstance(answers, dict):
        return "'answers' with 'text' and 'answer_start'", describe(answers)
    labels = answers.get("label")  # a table that labels only some answers has None in the other rows
    optional = [name for name in ("label", "annotator") if answers.get(name) is not None]
    for name in ("text", "answer_start", *optional):
        if not isinstance(answers.get(name), list):
            found = describe(answers[name]) if name in answers else f"only [{shown_names(answers)}]"
            return f"a list 'answers.{name}'", found
        if len(answers[name]) != len(answers["text"]):
            return f"as many 'answers.{name}' as 'answers.text' ({len(answers['text'])})", str(len(answers[name]))
    answers_given = zip(answers["text"], answers["answer_start"], labels or itertools.repeat(None), strict=False)
    problems = (problem_of_answer(*answer, context, with_label=labels is not None) for answer in answers_given)
    return next((problem for problem in problems if problem is not None), None)


def problem_of_answer(
    text: object, char_start: object, label: object, context: str, *, with_label: bool
) -> tuple[str, str] | None:
    """Find what is wrong with one answer; the result is that of `problem_of_example`."""
    if not isinstance(text, str) or not text.strip():
        return "an answer text that is not empty", describe(text)
    if isinstance(char_start, bool) or not isinstance(char_start, Integral):
        place = certain_place(text, None, context) if char_start is None else None
        hint = f" (the text is at offset {place.char_start})" if place else ""
        return "an integer 'answer_start'", describe(char_start) + hint
    if char_start < 0 or not context.startswith(text, char_start):
        return _wrong_place(text, char_start, context)
    if with_label and (not isinstance(label, str) or not is_unicode(label)):
        return "the name of a span class in 'answers.label'", describe(label)
    if label == OUTSIDE:
        return f"the name of a span class in 'answers.label', not that of what is outside, {OUTSIDE!r}", repr(label)
    return None


def _wrong_place(text: str, char_start: int, context: str) -> tuple[str, str]:
    """Return what is expected and found where an answer is not at its offset.

    Two texts may look alike. Then what is shown of them is where they differ, and its code points.
    """
    found = context[char_start : char_start + len(text)] if char_start >= 0 else ""
    place = certain_place(text, char_start, context)
    at = first_difference(text, found)
    expected = f"the answer {shorten_around(text, at)!r} at offset {shorten(str(char_start))}"
    return expected, f"{shorten_around(found, at)!r} ({_hint(text, char_start, context, place)})"


def _hint(text: str, char_start: int, context: str, place: Place | None) -> str:
    """Say where the answer is, and what its offset may count instead of characters; or else how the texts differ."""
    for other, conversion in in_other_units(text, char_start, context):
        return f"{other.reason}; in characters it is {other.char_start} = {conversion}"
    is_same_text = place is not None and context[place.char_start : place.char_end] == text
    nearest = nearest_start(text, char_start, context) if place is None or is_same_text else None
    if nearest is not None:
        is_elsewhere = len(list(itertools.islice(occurrences(text, context), 2))) > 1
        return f"the text is at offset {nearest}" + " and elsewhere" * is_elsewhere
    start, end = (char_start, char_start + len(text)) if place is None else (place.char_start, place.char_end)
    found = context[start:end] if start >= 0 else ""
    where = "the text is not in the context" if place is None else f"at offset {start} {place.reason}"
    is_same_otherwise = unicodedata.normalize("NFKD", text) == unicodedata.normalize("NFKD", found)
    if is_same_otherwise and unicode_form(text) != unicode_form(found):
        where += f": {unicode_form(text)} in the answer, {unicode_form(found)} in the context"
    at = first_difference(text, found)
    differs = f"; from character {at}: expected {code_point(text, at)}, found {code_point(found, at)}"
    return where + differs if found else where
