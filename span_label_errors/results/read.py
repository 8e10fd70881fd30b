"""Read the outputs of a run; which files they are."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from span_label_errors.files import file_sha256

TABLE_FILE = "out_of_fold.parquet"
RUN_FILE = "run.json"
REVIEW_FILE = "label_issues.json"  # lists what a review of the run has added
LOCK_FILE = ".outputs.lock"
# No other file is ever removed, whatever a record lists.
_OUR_FILES = re.compile(
    r"(pred_probs|labels)(_\w[\w .-]*)?\.npz|(tokens|questions)\.npz|out_of_fold\.parquet|"
    r"label_issues\.(html|parquet)|label_issues(\.new(-[0-9]+)?)?\.csv|label_studio_(tasks\.json|config\.xml)|doccano\.jsonl"
)


def read_outputs(outputs_dir: str | Path) -> tuple[pd.DataFrame, dict]:
    """Read what `write_outputs` wrote.

    Parameters
    ----------
    outputs_dir : str or Path

    Returns
    -------
    table : DataFrame
        `out_of_fold.parquet`. Labels are int8. Rows of one context share its text, tokens and offsets, which are
        read-only: a question more takes the memory of its labels and probabilities.
    record : dict
        `run.json`.

    Raises
    ------
    FileNotFoundError
        If the folder holds no whole run.
    ValueError
        If a file is not the one that `run.json` lists.
    """
    folder = Path(outputs_dir)
    record = _read_record(folder)
    for name, expected in record["files"].items():
        # Whatever a record lists, no file outside of its folder is read.
        file = folder / Path(name).name
        if not file.is_file():
            raise FileNotFoundError(f"{file}: listed in {RUN_FILE}, but missing; run the training notebook again")
        if file_sha256(file) != expected:
            raise ValueError(f"{file}: expected the file that {RUN_FILE} lists, found other content; run it again")
    return _read_table(folder / TABLE_FILE), record


def _read_table(file: Path) -> pd.DataFrame:
    contexts: dict[str, str] = {}
    first_of: dict[str, dict[str, np.ndarray]] = {name: {} for name in ("tokens", "char_start", "char_end")}
    parts = []
    with pa.parquet.ParquetFile(file) as stored:
        schema = pa.schema(
            field.with_type(pa.list_(pa.int8())) if field.name.startswith("labels_") else field
            for field in stored.schema_arrow
        )
        for number in range(stored.num_row_groups):
            part = stored.read_row_group(number).cast(schema)
            # Column by column: a frame would hold the cells of all until the last one is replaced.
            columns = {name: part[name].to_pandas() for name in part.column_names}
            del part
            # As Python's own texts, which rows can share; pandas would keep a copy for each.
            texts = [contexts.setdefault(context, context) for context in columns["context"]]
            columns["context"] = pd.Series(texts, dtype=object)
            for name, first in first_of.items():
                columns[name] = [_shared(*row, first) for row in zip(texts, columns[name], strict=True)]
            for name in columns:
                if name.startswith(("labels_", "pred_probs_")):
                    columns[name] = _compact(columns[name].to_list())
            parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True)
    # Arrow keeps the memory that reading took, hundreds of megabytes for a large table.
    pa.default_memory_pool().release_unused()
    return table


def _compact(cells: list[np.ndarray]) -> list[np.ndarray]:
    """Return the same arrays, as parts of one that is no larger than they are; Arrow's is several times as large."""
    borders = np.cumsum([len(cell) for cell in cells])[:-1]
    return np.split(np.concatenate(cells), borders)


def _shared(context: str, cell: np.ndarray, first: dict[str, np.ndarray]) -> np.ndarray:
    """Return the first cell of a context, if it equals this one."""
    if context not in first:
        first[context] = cell.copy()  # else it would keep those of all other contexts
        first[context].flags.writeable = False
    return first[context] if np.array_equal(first[context], cell) else cell


def _read_record(folder: Path) -> dict:
    try:
        record = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        dict(record["files"].items())[TABLE_FILE]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder}: expected the outputs of a run, found no {RUN_FILE}; run the training notebook with this "
            "outputs_dir first"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{folder / RUN_FILE}: expected the record of a run, found {error!r}; run the training notebook again"
        ) from error
    return record


def span_classes_of(table: pd.DataFrame) -> list[str]:
    """Return the span classes that `out_of_fold.parquet` has columns of."""
    return [name.removeprefix("pred_probs_") for name in table.columns if name.startswith("pred_probs_")]


def array_files(classes: Sequence[str]) -> dict[str, str]:
    """Return the name of each `.npz` file of a run with these span classes, and the table's column that it holds."""
    files = {"tokens.npz": "tokens", "questions.npz": "question"}
    for name in classes:
        suffix = f"_{name}" if len(classes) > 1 else ""
        files |= {f"{kind}{suffix}.npz": f"{kind}_{name}" for kind in ("pred_probs", "labels")}
    return files


def listed_files(record_file: Path) -> dict[str, str]:
    """Return names and SHA-256 of our files that `run.json` or `label_issues.json` lists; none if it cannot be read."""
    try:
        record = json.loads(record_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    files = record.get("files") if isinstance(record, dict) else None
    return {name: files[name] for name in files if _OUR_FILES.fullmatch(name)} if isinstance(files, dict) else {}
