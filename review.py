"""Write everything that people and tools need to review label errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from atomic_files import check_writable, file_sha256, write_file
from label_quality import LabelErrors
from locks import exclusive
from results_read import LOCK_FILE, REVIEW_FILE, TABLE_FILE, listed_files
from review_formats import write_doccano, write_issues_csv, write_issues_parquet, write_label_studio
from review_page import write_review_page

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
    """Write a page to read, tables to filter, and tasks for annotation tools.

    Parameters
    ----------
    outputs_dir : str or Path
        Gets `label_issues.html`, `label_issues.csv`, `label_issues.parquet`, `label_studio_tasks.json`,
        `label_studio_config.xml` and `doccano.jsonl`, and last `label_issues.json`: the SHA-256 of these files and of
        the `out_of_fold.parquet` that lies there, so that a review of an earlier run cannot pass for one of this.
        A `label_issues.csv` that was changed since it was written is kept under another name.
    found : LabelErrors
    table : DataFrame
        What it was found in: `out_of_fold.parquet`.
    worst : int
        How many examples go to the annotation tools. The page shows at least as many, and up to
        `ROWS_OF_PAGE`; the tables have all.
    log : callable
        Gets a line if a file is kept, or if another process writes there at the moment and has to be waited for.

    Returns
    -------
    list of Path
    """
    folder = check_writable(outputs_dir)
    with exclusive(folder / LOCK_FILE, log):
        _keep_decisions(folder, log)
        (folder / REVIEW_FILE).unlink(missing_ok=True)
        paths = _write_files(folder, found, table, worst)
        source = folder / TABLE_FILE
        record = {
            TABLE_FILE: file_sha256(source) if source.is_file() else None,
            "files": {path.name: file_sha256(path) for path in paths},
        }
        return [*paths, write_file(folder / REVIEW_FILE, json.dumps(record, indent=1))]


def _keep_decisions(folder: Path, log: Callable[[str], None]) -> None:
    """Give a table that somebody has worked on another name, so that writing a new one cannot destroy it."""
    file = folder / ISSUES_CSV
    if file.is_file() and listed_files(folder / REVIEW_FILE).get(ISSUES_CSV) != file_sha256(file):
        number = 1
        while (kept := file.with_name(f"{file.stem}.kept-{number}{file.suffix}")).exists():
            number += 1
        file.rename(kept)
        log(f"{file.name} was changed since it was written; kept as {kept.name}")


def _write_files(folder: Path, found: LabelErrors, table: pd.DataFrame, worst: int) -> list[Path]:
    issues = found.issues
    tasks, config, doccano = (
        folder / name for name in ("label_studio_tasks.json", "label_studio_config.xml", "doccano.jsonl")
    )
    paths = [
        write_review_page(
            folder / "label_issues.html", issues, table, estimate=found.estimated_wrong, worst=max(worst, ROWS_OF_PAGE)
        ),
        write_issues_csv(folder / ISSUES_CSV, issues),
        write_issues_parquet(folder / "label_issues.parquet", issues),
    ]
    write_label_studio(tasks, config, issues, table, worst)
    write_doccano(doccano, issues, table, worst)
    return [*paths, tasks, config, doccano]
