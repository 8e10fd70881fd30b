"""Spreadsheets: the table of issues as CSV, and the column `correct_answer` that reviewers fill in there."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.quality.label_errors import NO_ANSWER
from span_label_errors.review.answers import Answer, Decision
from span_label_errors.spans.text import Span

# What OWASP lists as the beginning of a formula, and its full-width forms, which a Japanese Excel reads the same way.
# White space before it is no protection: an import can trim cells.
_FORMULA = r"(?:[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n\0])"
_LIKE_A_FORMULA, _DEFUSED = re.compile(f"'*{_FORMULA}"), re.compile(f"'+{_FORMULA}")


def defused(text: str) -> str:
    """Return a text as a cell that no spreadsheet runs as a formula: with an apostrophe before what looks like one.

    A text that already has such an apostrophe gets another, so that `restored` gives every text back as it was.
    """
    return f"'{text}" if _LIKE_A_FORMULA.match(text) else text


def restored(cell: str) -> str:
    """Return the text that `defused` made a cell of."""
    return cell[1:] if _DEFUSED.match(cell) else cell


def write_issues_csv(path: str | Path, issues: pd.DataFrame) -> Path:
    """Write issues as a table for a spreadsheet: UTF-8 with a byte order mark, which Excel needs, and CR LF.

    NA is an empty cell, numbers read back equal, and a text that a spreadsheet would run as a formula is `defused`.
    """
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(issues.columns)
    writer.writerows([_cell(value) for value in row] for row in issues.itertuples(index=False, name=None))
    return write_file(path, lines.getvalue().encode("utf-8-sig"))


def _cell(value: object) -> str:
    if isinstance(value, str):
        return defused(value)
    if pd.isna(value):
        return ""
    # The shortest digits that read back as the same number; NumPy's own repr would name its type too.
    return repr(value.item() if isinstance(value, np.generic) else value)


def csv_decisions(text: str, where: Path, known_classes: Iterable[str] | None = None) -> Iterable[Decision | str]:
    """Yield a decision, or what is wrong, of each row that was filled in.

    Without `known_classes`, the classes are those of the rows that are left.
    """
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{where}: expected CSV; {error}") from error
    columns = rows[0] if rows else []
    filled_in = "correct_label" if "correct_label" in columns else "correct_answer"
    for name in ("id", "given_answer", "given_start", filled_in):
        if columns.count(name) != 1:
            raise ValueError(
                f"{where}: expected one column {name!r}, found {columns[:24]}; add a column correct_answer to the "
                "table of issues and save it as CSV"
            )
    of_classes = [columns.index(name) for name in ("given_label", "suggested_label") if name in columns]
    classes = {restored(row[at]).strip() for row in rows[1:] for at in of_classes if at < len(row)} - {""}
    classes |= set(known_classes or ())
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if set(columns[len(row) :]) <= {"correct_answer", "correct_start", "correct_label"}:
            # Excel leaves out the last cells of rows where they are empty in many rows together.
            row += [""] * (len(columns) - len(row))
        if len(row) != len(columns):
            raise ValueError(
                f"{where}, row {number}: expected {len(columns)} cells, found {len(row)}; save it as CSV again"
            )
        cells = {name: restored(cell) for name, cell in zip(columns, row, strict=True)}
        try:
            yield from _decisions_of_row(cells, classes)
        except ValueError as error:
            yield f"example {cells['id']!r} (row {number}): {error}"


def _decisions_of_row(cells: dict[str, str], classes: set[str]) -> list[Decision]:
    given_text, correct_text = cells["given_answer"], cells.get("correct_answer", "").strip()
    given_start, correct_start = (_offset_of_cell(cells, name) for name in ("given_start", "correct_start"))
    correct_label = cells.get("correct_label", "").strip() or None
    if correct_label and classes and correct_label not in classes:
        raise ValueError(
            f"expected one of the classes {sorted(classes)} in correct_label, found {correct_label!r}; if the data has "
            "this class, keep the other rows of label_issues.csv in the file, since they tell the classes"
        )
    if not correct_text:
        if correct_start is not None:
            raise ValueError("expected the answer that starts at correct_start, found none; fill in correct_answer too")
        if correct_label is None:
            return []
        if not given_text:
            raise ValueError(
                f"expected the span whose class is {correct_label!r}, found none; fill in correct_answer too"
            )
    if bool(given_text) != (given_start is not None):
        raise ValueError(
            f"expected given_answer and given_start as they were written, found {given_text!r} and {given_start}"
        )
    # The column is there where every span is labelled: then a row is about one span, or a place.
    given_label = cells.get("given_label", "").strip() or None
    given = (Answer(given_text, given_start, given_label),) if given_text else ()
    is_given = given_text and correct_start in (None, given_start) and cells.get("correct_answer", "") == given_text
    if correct_text.lower() == NO_ANSWER:  # spreadsheets like to begin a cell with a capital
        if correct_label:
            raise ValueError(f"expected no class beside {NO_ANSWER}, found {correct_label!r}; empty one of the cells")
        correct = ()
    elif is_given or not correct_text:
        _check_class_is_clear(cells, correct_label, correct_text)
        correct = (given[0]._replace(class_name=correct_label or given_label),)
    else:
        correct = (Answer(correct_text, correct_start, correct_label),)
    index = _whole_number(cells.get("index", ""))
    return [Decision(cells["id"], given, correct, index, _place(cells, correct))]


def _check_class_is_clear(cells: dict[str, str], correct_label: str | None, correct_text: str) -> None:
    """Refuse the given text where the same text was suggested with another class: it may confirm either."""
    suggested, given = cells.get("suggested_label", ""), cells.get("given_label", "")
    if correct_label is None and suggested not in ("", given) and cells.get("suggested_answer") == correct_text:
        raise ValueError(
            f"expected to know whether {correct_text!r} is {given!r}, as given, or {suggested!r}, as suggested; "
            "fill in correct_label too"
        )


def _place(cells: dict[str, str], correct: tuple[Answer, ...]) -> Span | None:
    """Return the characters that a row is about, where every span is labelled; None for the whole example."""
    if "given_label" not in cells:
        return None
    start, end = (_offset_of_cell(cells, f"place_{name}") for name in ("start", "end"))
    if start is not None and end is not None:
        # Of an example without a span or a likely one, a row is about all of it.
        return (start, end) if start < end else None
    # A row that a reviewer has added says where a span is missing.
    return correct[0].span if correct and correct[0].char_start is not None else None


def _offset_of_cell(cells: dict[str, str], name: str) -> int | None:
    cell = cells.get(name, "").strip()
    if not cell:
        return None
    found = _whole_number(cell)
    if found is None:
        raise ValueError(f"expected a whole number in {name}, found {cell!r}")
    return found


def _whole_number(cell: str) -> int | None:
    """Return the number of a cell, however a spreadsheet shows it; None if it is no whole one."""
    # Formatted as a number, 1234 is saved as 1,234 or 1.234.
    if re.fullmatch(r"[0-9]{1,3}([.,'’\s][0-9]{3})+", cell.strip()):
        return int(re.sub(r"\D", "", cell))
    # A column with empty cells becomes one of fractions in many tools: 7 is saved as 7.0.
    found = re.fullmatch(r"([0-9]+)([.,]0+)?", cell.strip())
    return int(found[1]) if found else None
