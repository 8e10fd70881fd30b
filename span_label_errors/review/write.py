"""Write everything that people and tools need to review label errors."""

import json
import shutil
from collections.abc import Callable, Collection
from itertools import chain, count
from pathlib import Path

import pandas as pd

from span_label_errors.files import check_writable, exclusive, file_sha256, partial_folder, write_file
from span_label_errors.quality.label_errors import LabelErrors
from span_label_errors.results.read import LOCK_FILE, REVIEW_FILE, TABLE_FILE, listed_files
from span_label_errors.review.doccano import write_doccano
from span_label_errors.review.label_studio import write_label_studio
from span_label_errors.review.marks import answers_of_row, shown_others
from span_label_errors.review.page import write_review_page
from span_label_errors.review.spreadsheet import write_issues_csv

ROWS_OF_PAGE = 1000
ISSUES_CSV = "label_issues.csv"


def write_review_files(
    outputs_dir: str | Path,
    found: LabelErrors,
    table: pd.DataFrame,
    *,
    worst: int = 100,
    log: Callable[[str], None] = print,
) -> list[Path]:
    """Write the review page, tables, and tasks for annotation tools; return the files.

    `label_issues.json` lists the SHA-256 of these files and of the `out_of_fold.parquet` beside them, so that the
    review of an earlier run cannot pass for one of this run. A `label_issues.csv` that no run has written as it is
    belongs to a reviewer and stays. The new table is then `label_issues.new.csv`, or `label_issues.new-2.csv`.

    Parameters
    ----------
    outputs_dir : str or Path
    found, table : LabelErrors, DataFrame
        The errors, and `out_of_fold.parquet`, in which they were found.
    worst : int
        How many of the examples that nobody has decided on go to the annotation tools. The page shows at least as many
        rows, and up to `ROWS_OF_PAGE`; the tables have all.
    log : callable
        Gets a line if a reviewer's table stays, or if this has to wait for another process that writes there.

    Raises
    ------
    ValueError
        If `found` and `table` do not belong together.
    OSError
        If a file cannot be written.
    """
    folder = check_writable(outputs_dir)
    with exclusive(folder / LOCK_FILE, log):
        staging = partial_folder(folder / "review")
        try:
            _write_files(staging, found, table, worst)
            return _put_in_place(staging, folder, log)
        finally:
            shutil.rmtree(staging)


def _write_files(folder: Path, found: LabelErrors, table: pd.DataFrame, worst: int) -> None:
    issues = found.issues
    if "other_answer" in table:
        others = [shown_others(answers_of_row(table.iloc[index], "other")) for index in issues["index"]]
        issues = issues.copy()
        issues.insert(issues.columns.get_loc("given_start") + 1, "other_answers", others)
    write_review_page(
        folder / "label_issues.html", issues, table, estimate=found.estimated_wrong, worst=max(worst, ROWS_OF_PAGE)
    )
    write_issues_csv(folder / ISSUES_CSV, issues)
    issues.to_parquet(folder / "label_issues.parquet", index=False)
    # The tools show whole examples: one with a decision about a span of it would begin without that decision.
    decided = set(issues.loc[issues["decision"] != "", "index"])
    undecided = issues[~issues["index"].isin(decided)]
    write_label_studio(folder / "label_studio_tasks.json", folder / "label_studio_config.xml", undecided, table, worst)
    write_doccano(folder / "doccano.jsonl", undecided, table, worst)


def _put_in_place(staging: Path, folder: Path, log: Callable[[str], None]) -> list[Path]:
    """Replace the files of an earlier review, but for those that a reviewer has changed.

    Whenever the process dies, the record lists every file of ours that is there, with its hash: old files go before
    their record, and the new record comes before its files.
    """
    listed = listed_files(folder / REVIEW_FILE)
    hashes = {file.name: file_sha256(file) for file in sorted(staging.iterdir())}
    of_csv = hashes.pop(ISSUES_CSV)
    csv_name = _name_of_csv(folder, listed, of_csv, log)
    (staging / ISSUES_CSV).rename(staging / csv_name)
    hashes[csv_name] = of_csv
    for name, expected in listed.items():
        if _has_hash(folder / name, {expected}):
            (folder / name).unlink()
    source = folder / TABLE_FILE
    record = {TABLE_FILE: file_sha256(source) if source.is_file() else None, "files": dict(sorted(hashes.items()))}
    write_file(folder / REVIEW_FILE, json.dumps(record, indent=1))
    for name in record["files"]:
        (staging / name).replace(folder / name)
    return [folder / name for name in [*record["files"], REVIEW_FILE]]


def _name_of_csv(folder: Path, listed: dict[str, str], new: str, log: Callable[[str], None]) -> str:
    """Return a name for the table of issues under which no reviewer's work is overwritten."""
    names = chain([ISSUES_CSV, "label_issues.new.csv"], (f"label_issues.new-{number}.csv" for number in count(2)))
    name = next(
        name for name in names if not (folder / name).exists() or _has_hash(folder / name, {listed.get(name), new})
    )
    if name != ISSUES_CSV:
        log(f"{ISSUES_CSV} has been worked on and stays as it is; the new table is {name}")
    return name


def _has_hash(file: Path, hashes: Collection[str | None]) -> bool:
    return file.is_file() and file_sha256(file) in hashes
