"""doccano: JSON Lines to import, and its export read back. Its offsets count UTF-16 units, ours characters."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.review.answers import Decision
from span_label_errors.review.marks import (
    check_fields,
    example_fields,
    marked_answers,
    trimmed,
    worst_examples,
)
from span_label_errors.spans.text import char_offset, utf16_length

# Where doccano's versions write the marks: as [start, end, class], or as objects where relations are on, and in the
# oldest.
_MARKS = ("label", "labels", "entities", "annotations")


def write_doccano(path: str | Path, issues: pd.DataFrame, table: pd.DataFrame, worst: int = 100) -> list[dict]:
    """Write the most suspicious examples as JSON Lines for a doccano project of the kind "sequence labeling".

    The project must leave "Count grapheme clusters as one character" off and, if answers overlap, allow that. A text
    without marks means that the question has no answer, or that there is no span. The lines are returned, with offsets
    in UTF-16 units; for the other parameters see `marks.worst_examples`.
    """
    lines = []
    for reviews in worst_examples(issues, table, worst):
        review = reviews[0]
        marks = [
            [*(utf16_length(review.context[:char]) for char in answer.span), answer.class_name]
            for answer in review.answers
        ]
        # `given` comes back as it is, so that a changed mark differs from a given one. No field is ever missing:
        # doccano's tables would make it NaN.
        lines.append(
            {"id": review.issue.id, "text": review.context, "label": marks, **example_fields(reviews), "given": marks}
        )
    write_file(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return lines


def has_marks(row: object) -> bool:
    """Return whether an object of an export has a list of marks, as doccano writes them."""
    return isinstance(row, dict) and any(isinstance(row.get(name), list) for name in _MARKS)


def doccano_decisions(rows: Iterable[tuple[str, object]]) -> Iterable[Decision | str]:
    """Yield a decision, or what is wrong, of each document of an export, which comes with where it stands."""
    for where, row in rows:
        if isinstance(row, dict) and isinstance(row.get("meta"), dict):
            # Versions before 1.4 keep the fields of the import there, beside a number of their own as id.
            row = {**row, **row["meta"]}
        check_fields(row, {"id": str, "given": list}, where)
        text = next((row[name] for name in ("text", "data") if isinstance(row.get(name), str)), None)
        names = [name for name in _MARKS if isinstance(row.get(name), list)]
        if text is None or len(names) != 1:
            raise ValueError(
                f"{where}: expected the field 'text' and the marks as one of {', '.join(_MARKS)}, found the fields "
                f"{list(row)[:14]}; export the project as JSONL"
            )
        if "annotation_approver" in row and row["annotation_approver"] is None:
            continue
        try:
            given = marked_answers(text, row["given"], _char_offset)
            correct = trimmed(marked_answers(text, list(map(_mark, row[names[0]])), _char_offset), given)
            yield Decision(row["id"], given, correct)
        except ValueError as error:
            yield f"example {row['id']!r}: {error}"


def _mark(mark: object) -> object:
    """Return a mark as [start, end, class]."""
    if not isinstance(mark, dict):
        return mark
    if isinstance(mark.get("label"), int):
        raise ValueError(
            f"expected the names of labels, found the number {mark['label']}; export it in doccano's format "
            '"JSONL (Text label)"'
        )
    return [mark.get("start_offset"), mark.get("end_offset"), mark.get("label")]


def _char_offset(text: str, utf16_offset: int) -> int:
    length = utf16_length(text)
    if not 0 <= utf16_offset <= length:
        raise ValueError(f"expected an offset of 0 to {length}, found {utf16_offset}; was the text changed?")
    found = char_offset(text, utf16_offset)
    if found is None:
        raise ValueError(
            f"expected offsets between characters, found {utf16_offset}, which cuts one in two; they must count UTF-16 "
            'units: leave doccano\'s "Count grapheme clusters as one character" off'
        )
    return found
