"""Read back what reviewers decided, whichever tool they used."""

from pathlib import Path

from span_label_errors.review.decided import Decision
from span_label_errors.review.doccano import doccano_decisions
from span_label_errors.review.label_studio import label_studio_decisions
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.spreadsheet import csv_decisions


def read_decisions(path: str | Path) -> list[Decision]:
    """Read what reviewers decided, in the order of the file, without white space at the ends of corrected answers.

    Parameters
    ----------
    path : str or Path
        One of

        - Label Studio's export in the format "JSON". Tasks without an annotation, and skipped ones, are undecided.
        - doccano's export in JSON Lines, "only approved documents" (one that nobody looked at would read as
          confirmed).
        - the table of issues as CSV with a column `correct_answer`: `[no answer]` if there is none, empty if undecided.
          Where the text stands several times, a column `correct_start` has the character at which it starts. The
          cells are separated by commas, semicolons or tabs; texts are as they were or `defused`.

    Raises
    ------
    RefusedDecisionsError
        If a decision is not clear: annotators disagree, nothing is marked, offsets and text do not fit. All such
        examples are named.
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
    read = {"[": label_studio_decisions, "{": doccano_decisions}.get(text.lstrip()[:1], csv_decisions)
    decisions, problems = [], []
    for item in read(text, path):
        (problems if isinstance(item, str) else decisions).append(item)
    if problems:
        raise RefusedDecisionsError(path, problems)
    return decisions
