"""doccano: JSON Lines to import, and its export read back. Its offsets count UTF-16 units, ours characters."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.review.decided import Decision
from span_label_errors.review.marks import check_fields, marked_answers, parse_json, trimmed, worst_reviews


def write_doccano(path: str | Path, issues: pd.DataFrame, table: pd.DataFrame, worst: int = 100) -> list[dict]:
    """Write the most suspicious examples as JSON Lines for a doccano project of the kind "sequence labeling".

    The project must leave "Count grapheme clusters as one character" off and, if answers overlap, allow that. A text
    without marks means that the question has no answer. The lines are returned, with offsets in UTF-16 units; for the
    other parameters see `marks.worst_reviews`.
    """
    lines = []
    for review in worst_reviews(issues, table, worst):
        marks = [
            [*(_utf16_offset(review.context, char) for char in answer.span), answer.class_name]
            for answer in review.answers
        ]
        # `given` comes back as it is, so that a changed mark differs from a given one. No field is ever missing:
        # doccano's tables would make it NaN.
        lines.append({"id": review.issue.id, "text": review.context, "label": marks, **review.fields, "given": marks})
    write_file(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return lines


def doccano_decisions(text: str, where: Path) -> Iterable[Decision | str]:
    """Yield a decision, or what is wrong, of each line of an export."""
    # Not splitlines(), which would also cut at U+2028 inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = parse_json(line, f"{where}, line {number}")
        check_fields(row, {"id": str, "text": str, "label": list, "given": list}, f"{where}, line {number}")
        try:
            given = marked_answers(row["text"], row["given"], _char_offset)
            correct = trimmed(marked_answers(row["text"], row["label"], _char_offset), given)
            yield Decision(row["id"], given, correct)
        except ValueError as error:
            yield f"example {row['id']!r}: {error}"


def _utf16_offset(text: str, char_offset: int) -> int:
    return len(text[:char_offset].encode("utf-16-le")) // 2


def _char_offset(text: str, utf16_offset: int) -> int:
    units = text.encode("utf-16-le")
    if not 0 <= 2 * utf16_offset <= len(units):
        raise ValueError(f"expected an offset of 0 to {len(units) // 2}, found {utf16_offset}; was the text changed?")
    try:
        return len(units[: 2 * utf16_offset].decode("utf-16-le"))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected offsets between characters, found {utf16_offset}, which cuts one in two; they must count UTF-16 "
            'units: leave doccano\'s "Count grapheme clusters as one character" off'
        ) from error
