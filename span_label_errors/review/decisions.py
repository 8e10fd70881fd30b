"""Read back what reviewers decided, whichever tool they used."""

import json
from pathlib import Path

import pandas as pd

from span_label_errors.results.read import span_classes_of
from span_label_errors.review.answers import Decision
from span_label_errors.review.decided import example_of
from span_label_errors.review.doccano import doccano_decisions, has_marks
from span_label_errors.review.label_studio import is_task, label_studio_decisions
from span_label_errors.review.marks import RefusedDecisionsError, parse_json
from span_label_errors.review.spreadsheet import csv_decisions
from span_label_errors.review.spreadsheet_values import as_in_data


def read_decisions(path: str | Path, table: pd.DataFrame | None = None) -> list[Decision]:
    """Read what reviewers decided, in the order of the file, without white space at the ends of corrected answers.

    Parameters
    ----------
    path : str or Path
        One of

        - Label Studio's export in the format "JSON". Tasks without an annotation, and skipped ones, are undecided.
        - doccano's export in JSON Lines or JSON, with relations or without, "only approved documents" (one that nobody
          looked at would read as confirmed).
        - the table of issues as CSV with a column `correct_answer`: `[no answer]` if there is none, empty if undecided.
          Where the text stands several times, a column `correct_start` has the character at which it starts. Where
          every span is labelled, a row is about one span or place, and a column `correct_label` has its class. The
          cells are separated by commas, semicolons or tabs; texts are as they were or `defused`.
    table : DataFrame, optional
        `out_of_fold.parquet` of the run that was reviewed. With it, ids and texts that a spreadsheet has rewritten come
        back as they are there; `known_answers` and `apply_decisions` know them, too, `decisions.json` does not. In a
        CSV of which few rows are left, `correct_label` may be any class that it has.

    Raises
    ------
    RefusedDecisionsError
        If a decision is not clear: annotators disagree, nothing is marked, offsets and text do not fit, what a
        spreadsheet has rewritten may be one text or another. All such examples are named.
    ValueError
        If the file is none of the three.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    content = path.read_bytes()
    if content.startswith(b"PK"):
        raise ValueError(
            f"{path}: expected JSON, JSON Lines or CSV, found an archive; unpack doccano's export, and save a workbook "
            'as "CSV UTF-8"'
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: expected UTF-8 text; {error}. Save a workbook as "CSV UTF-8"') from error
    # No table begins with a bracket: its first cell is the name of a column.
    if text.lstrip().startswith(("[", "{")):
        rows = _json_rows(text, path)
        # doccano writes JSON Lines, and in some versions a list; Label Studio writes lists.
        is_doccano = not any(is_task(row) for _, row in rows) and (
            text.lstrip().startswith("{") or any(has_marks(row) for _, row in rows)
        )
        found = (doccano_decisions if is_doccano else label_studio_decisions)(rows)
    else:
        found = csv_decisions(text, path, None if table is None else span_classes_of(table))
    decisions, problems = [], []
    for item in found:
        (problems if isinstance(item, str) else decisions).append(item)
    if table is not None:
        index_of = {example_id: index for index, example_id in enumerate(table["id"])}
        for number, decision in enumerate(decisions):
            try:
                decisions[number] = as_in_data(decision, index_of, lambda index: example_of(table, index))
            except ValueError as error:
                problems.append(f"example {decision.id!r}: {error}")
    if problems:
        raise RefusedDecisionsError(path, problems)
    return decisions


def _json_rows(text: str, path: Path) -> list[tuple[str, object]]:
    """Return the objects of JSON or JSON Lines, each with where it stands."""
    if text.lstrip().startswith("["):
        return [(f"{path}, task {number}", row) for number, row in enumerate(parse_json(text, path), start=1)]
    # Not splitlines(), which would also cut at U+2028 inside a JSON string.
    lines = [(f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), start=1)]
    try:
        return [(where, parse_json(line, where)) for where, line in lines if line.strip()]
    except ValueError:
        try:
            return [(f"{path}, task 1", json.loads(text))]  # one object on several lines
        except (ValueError, RecursionError):
            pass
        raise
