"""Repair answers where it is certain what is right, and say what was done."""

from typing import NamedTuple

from span_label_errors.data.examples import problem_of_answer, problem_of_example
from span_label_errors.data.messages import first_difference, shorten_around
from span_label_errors.data.places import certain_place


class Repaired(NamedTuple):
    """An example that is valid now."""

    row: dict
    repairs: list[str]  # what was done, a sentence for each answer that changed
    kept: list[int]  # for each answer of the row, its position among those that were given


def repaired(row: object) -> Repaired | None:
    """Return an invalid example with its answers repaired; None if it is not certain what is right.

    An answer gets the place where it certainly stands, and the context's text there. Of several answers, those that
    cannot be repaired are left out; one must stay.

    Parameters
    ----------
    row : object
        An example as read.
    """
    if not isinstance(row, dict) or problem_of_example({**row, "answers": {"text": [], "answer_start": []}}):
        return None
    answers, context = row.get("answers"), row["context"]
    if not isinstance(answers, dict) or not {"text", "answer_start"} <= answers.keys():
        return None
    names = [name for name in ("text", "answer_start", "label", "annotator") if answers.get(name) is not None]
    if any(not isinstance(answers[name], list) or len(answers[name]) != len(answers["text"]) for name in names):
        return None
    entries, repairs, kept = [], [], []
    for position, values in enumerate(zip(*(answers[name] for name in names), strict=True)):
        entry = dict(zip(names, values, strict=True))
        problem = _problem(entry, context)
        if problem is not None:
            entry, repair = _repaired_answer(entry, context, problem)
            repairs.append(f"answer {position + 1} of {len(answers['text'])}: {repair}")
        if entry is not None:
            entries.append(entry)
            kept.append(position)
    if not entries or not repairs:
        return None
    new = {**row, "answers": {**answers, **{name: [entry[name] for entry in entries] for name in names}}}
    return None if problem_of_example(new) else Repaired(new, repairs, kept)


def _repaired_answer(entry: dict, context: str, problem: tuple[str, str]) -> tuple[dict | None, str]:
    """Return an answer at its certain place, None if it has none, and what was done with it."""
    text, char_start = entry["text"], entry["answer_start"]
    is_offset = char_start is None or (isinstance(char_start, int) and not isinstance(char_start, bool))
    place = certain_place(text, char_start, context) if isinstance(text, str) and text and is_offset else None
    if place is not None:
        new_text = context[place.char_start : place.char_end]
        new = {**entry, "text": new_text, "answer_start": place.char_start}
        if _problem(new, context) is None:
            changes = []
            if new_text != text:
                at = first_difference(text, new_text)
                changes.append(f"text {shorten_around(text, at)!r} to {shorten_around(new_text, at)!r}")
            if place.char_start != char_start:
                changes.append(f"offset {char_start} to {place.char_start}")
            return new, f"{' and '.join(changes)} ({place.reason})"
    return None, f"left out: expected {problem[0]}; found {problem[1]}"


def _problem(entry: dict, context: str) -> tuple[str, str] | None:
    label = entry.get("label")
    return problem_of_answer(entry["text"], entry["answer_start"], label, context, with_label="label" in entry)
