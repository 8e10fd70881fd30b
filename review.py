"""Write everything that people and tools need to review label errors."""

from pathlib import Path

import pandas as pd

from atomic_files import check_writable
from label_quality import LabelErrors
from review_formats import write_doccano, write_issues_csv, write_issues_parquet, write_label_studio
from review_page import write_review_page

ROWS_OF_PAGE = 1000


def write_review_files(
    outputs_dir: str | Path, found: LabelErrors, table: pd.DataFrame, *, worst: int = 100
) -> list[Path]:
    """Write a page to read, tables to filter, and tasks for annotation tools.

    Parameters
    ----------
    outputs_dir : str or Path
        Gets `label_issues.html`, `label_issues.csv`, `label_issues.parquet`, `label_studio_tasks.json`,
        `label_studio_config.xml` and `doccano.jsonl`.
    found : LabelErrors
    table : DataFrame
        What it was found in: `out_of_fold.parquet`.
    worst : int
        How many examples go to the annotation tools. The page shows at least as many, and up to
        `ROWS_OF_PAGE`; the tables have all.

    Returns
    -------
    list of Path
    """
    folder, issues = check_writable(outputs_dir), found.issues
    tasks, config, doccano = (
        folder / name for name in ("label_studio_tasks.json", "label_studio_config.xml", "doccano.jsonl")
    )
    paths = [
        write_review_page(
            folder / "label_issues.html", issues, table, estimate=found.estimated_wrong, worst=max(worst, ROWS_OF_PAGE)
        ),
        write_issues_csv(folder / "label_issues.csv", issues),
        write_issues_parquet(folder / "label_issues.parquet", issues),
    ]
    write_label_studio(tasks, config, issues, table, worst)
    write_doccano(doccano, issues, table, worst)
    return [*paths, tasks, config, doccano]
