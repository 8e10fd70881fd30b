"""Write what cross-validation found, and read it again: arrays for cleanlab, a table, a record of the run."""

import contextlib
import json
import platform
import re
import shutil
import subprocess  # nosec B404 # one command, which is fixed
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from alignment import answer_spans, span_classes
from atomic_files import check_writable, partial_folder
from checkpoints import file_sha256
from cross_validation import OutOfFold
from fold_store import data_fingerprint
from locks import exclusive
from predictions import SpanPrediction
from span_classification_tutorial_utils import NpzWriter

RUN_FILE = "run.json"
REVIEW_FILE = "label_issues.json"  # lists what a review of the run has added
LOCK_FILE = ".outputs.lock"
# Nothing else is removed, whatever a record lists.
_OUR_FILES = re.compile(
    r"(pred_probs|labels)(_\w[\w .-]*)?\.npz|(tokens|questions)\.npz|"
    r"out_of_fold(-[0-9]{5,}-of-[0-9]{5,})?\.parquet|"
    r"label_issues\.(html|parquet)|label_issues(\.new(-[0-9]+)?)?\.csv|label_studio_(tasks\.json|config\.xml)|doccano\.jsonl"
)
TABLE_FILE = "out_of_fold.parquet"
_SHARD_FILE = re.compile(r"out_of_fold-[0-9]{5,}-of-[0-9]{5,}\.parquet")
_ROWS_AT_ONCE = 10_000
_LIBRARIES = ("cleanlab", "datasets", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers")


def write_outputs(
    outputs_dir: str | Path,
    dataset: Sequence[dict],
    out_of_fold: OutOfFold,
    parameters: dict,
    seconds: float,
    *,
    examples_per_shard: int | None = None,
    log: Callable[[str], None] = print,
) -> list[Path]:
    """Write the results of a run.

    Everything is prepared in a folder of its own first, so a failure until then changes nothing; then
    the files are put in place one by one, `run.json` last. Where it is missing, the rest is not whole.

    Parameters
    ----------
    outputs_dir : str or Path
        Gets, for n examples of C context tokens each:

        - `pred_probs.npz`: keys `"0"` … `str(n - 1)`, each P(span class) of shape (C,), float32;
        - `labels.npz`: the same keys, 0 or 1 of shape (C,), int64;
        - `tokens.npz`: the same keys, the texts of the tokens, of shape (C,);
        - `questions.npz`: the same keys, each a 0-dimensional string (NumPy drops U+0000 at its end);
        - `out_of_fold.parquet`: one row per example, and the same in shards if asked for;
        - `run.json`: parameters, versions, hashes, splits, metrics, times.

        With several span classes the first two have one file per class, `pred_probs_PER.npz`.
    dataset : sequence of dict
        n examples in the SQuAD schema.
    out_of_fold : OutOfFold
    parameters : dict
        What the run was asked for, as JSON.
    seconds : float
        How long the run took.
    examples_per_shard : int, optional
        Also write the table in files of this many rows, the last of fewer, in the order of the data set:
        `out_of_fold-00000-of-00009.parquet` and so on, for `read_shards`. No other file changes by it but `run.json`.
    log : callable
        Gets a line if another process writes there at the moment, and has to be waited for.

    Returns
    -------
    list of Path
        The files written. Files that an earlier run listed in its `run.json`, or a review of it in
        `label_issues.json`, and this one does not write are removed, so that nothing stale stands beside the new
        files; but for a file of the review that was changed since.

    Raises
    ------
    ValueError
        If `dataset` is not the data that `out_of_fold` was made from, or `examples_per_shard` no number of rows.
    OSError
        If the folder or a file in it cannot be written.
    """
    is_number = isinstance(examples_per_shard, int) and not isinstance(examples_per_shard, bool)
    if examples_per_shard is not None and not (is_number and examples_per_shard >= 1):
        raise ValueError(
            f"examples_per_shard: expected an integer of at least 1, or None for one table only, found "
            f"{examples_per_shard!r}"
        )
    folder = check_writable(outputs_dir)
    examples = list(dataset)
    if data_fingerprint(examples) != out_of_fold.reports[0]["data"]:
        raise ValueError(
            "expected the data that out_of_fold was made from, found other data (changed since?); run "
            "out_of_fold_predictions again"
        )
    # Two runs that write here at once would each put half of their files in place.
    with exclusive(folder / LOCK_FILE, log):
        return _write_all(folder, examples, out_of_fold, parameters, seconds, examples_per_shard)


def _write_all(
    folder: Path,
    examples: list[dict],
    out_of_fold: OutOfFold,
    parameters: dict,
    seconds: float,
    examples_per_shard: int | None,
) -> list[Path]:
    staging = partial_folder(folder / "files")
    try:
        _write_results(staging, examples, out_of_fold, examples_per_shard)
        names = sorted(file.name for file in staging.iterdir())
        record = _record(out_of_fold, parameters, seconds)
        record["files"] = {name: file_sha256(staging / name) for name in names}
        (staging / RUN_FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")

        for name in [*names, RUN_FILE]:
            if (folder / name).is_dir():
                raise IsADirectoryError(f"{folder / name}: expected a file or nothing there, found a folder; move it")
        stale = set(_files_of_earlier_run(folder)) - set(names)
        # The record comes last: while files change, none vouches for them. It goes after the stale files that only it
        # names, or a run that dies here would leave them behind for good.
        for name in [*sorted(stale), REVIEW_FILE, RUN_FILE]:
            (folder / name).unlink(missing_ok=True)
        for name in [*names, RUN_FILE]:
            (staging / name).replace(folder / name)
    finally:
        shutil.rmtree(staging)
    return [folder / name for name in [*names, RUN_FILE]]


def read_outputs(outputs_dir: str | Path) -> tuple[pd.DataFrame, dict]:
    """Read what `write_outputs` wrote.

    Parameters
    ----------
    outputs_dir : str or Path

    Returns
    -------
    table : DataFrame
        `out_of_fold.parquet`.
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
    record, files = _read_record(folder)
    for name, expected in files.items():
        _check_file(folder / Path(name).name, expected)
    return _read_table(folder / TABLE_FILE), record


def read_shards(outputs_dir: str | Path) -> Iterator[pd.DataFrame]:
    """Read the table that `write_outputs` wrote in shards, one shard at a time.

    All shards are checked before the first is read, so that a damaged one is known before any work is done.

    Parameters
    ----------
    outputs_dir : str or Path

    Returns
    -------
    iterator of DataFrame
        The rows of `out_of_fold.parquet` in the order of the data set, with the positions in it as the index: put
        together by `pandas.concat`, they are the table that `read_outputs` returns.

    Raises
    ------
    FileNotFoundError
        If the folder holds no whole run, or a run without shards.
    ValueError
        If a shard is not the file that `run.json` lists, or some of them are not listed.
    """
    folder = Path(outputs_dir)
    _, files = _read_record(folder)
    names = shard_files(files)
    if not names:
        raise FileNotFoundError(
            f"{folder}: expected the table in shards, found none in {RUN_FILE}; run the training notebook with "
            "examples_per_shard, or write_outputs(…, examples_per_shard=…)"
        )
    for name in names:
        _check_file(folder / name, files[name])
    return _tables_of([folder / name for name in names])


def _tables_of(shards: Sequence[Path]) -> Iterator[pd.DataFrame]:
    num_before = 0
    for shard in shards:
        table = _read_table(shard)
        table.index += num_before
        num_before += len(table)
        yield table


def shard_files(files: Iterable[str]) -> list[str]:
    """Return the names of the shards among a run's files, in order.

    Raises
    ------
    ValueError
        If they are not all the shards of one table.
    """
    found = sorted(name for name in files if _SHARD_FILE.fullmatch(name))
    expected = _shard_names(len(found))
    if found != sorted(expected):
        raise ValueError(f"{RUN_FILE}: expected all shards of one table, found {_shortened(found)}; run it again")
    return expected


def _shortened(names: list[str]) -> str:
    return f"{names[:5]}" if len(names) <= 5 else f"{names[:5]} and {len(names) - 5} more"


def _shard_names(count: int) -> list[str]:
    return [f"out_of_fold-{index:05d}-of-{count:05d}.parquet" for index in range(count)]


def _read_record(folder: Path) -> tuple[dict, dict[str, str]]:
    """Return the record of a run, and the names and SHA-256 of its files."""
    try:
        record = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        files = dict(record["files"].items())
        files[TABLE_FILE]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder}: expected the outputs of a run, found no {RUN_FILE}; run the training notebook with this "
            "outputs_dir first"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{folder / RUN_FILE}: expected the record of a run, found {error!r}") from error
    return record, files


def _check_file(file: Path, expected: str) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: listed in {RUN_FILE}, but missing; run the training notebook again")
    if file_sha256(file) != expected:
        raise ValueError(f"{file}: expected the file that {RUN_FILE} lists, found other content; run it again")


def _read_table(file: Path) -> pd.DataFrame:
    table = pa.parquet.read_table(file).to_pandas()
    # Arrow would keep what reading took beside the table, hundreds of megabytes of a large one.
    pa.default_memory_pool().release_unused()
    return table


def _write_results(
    folder: Path, examples: Sequence[dict], out_of_fold: OutOfFold, examples_per_shard: int | None
) -> None:
    """Write arrays and tables part by part: each prediction is made once, and those of one part are there at a time."""
    num_examples = len(examples)
    num_shards = -(-num_examples // examples_per_shard) if examples_per_shard else 0
    with contextlib.ExitStack() as stack:
        tables = [
            stack.enter_context(contextlib.closing(_TableFiles([folder / name for name in names], rows_each)))
            for names, rows_each in (
                ([TABLE_FILE], num_examples),
                (_shard_names(num_shards), examples_per_shard),
            )
            if names
        ]
        array_files = _array_files(out_of_fold.label_map)
        writers = {name: stack.enter_context(NpzWriter(folder / name)) for name in array_files}
        for start in range(0, num_examples, _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            predictions = out_of_fold.predictions[part]
            for example, prediction in zip(examples[part], predictions, strict=True):
                for name, (kind, column) in array_files.items():
                    writers[name].write(_array_of(example, prediction, kind, column))
            table = _table(examples[part], predictions, out_of_fold.fold[part], out_of_fold)
            for files in tables:
                files.write(table)
            # Or those of two parts would be there while the next are made.
            del predictions, prediction, table


class _TableFiles:
    """Puts the rows of tables into files of `rows_each` rows, which are opened one after the other."""

    def __init__(self, paths: Sequence[Path], rows_each: int):
        self._paths, self._rows_each = iter(paths), rows_each
        self._writer: pa.parquet.ParquetWriter | None = None
        self._missing = 0  # rows of the file that is open

    def write(self, table: pa.Table) -> None:
        while len(table):
            if self._writer is None:
                self._writer = pa.parquet.ParquetWriter(next(self._paths), table.schema)
                self._missing = self._rows_each
            rows, table = table.slice(0, self._missing), table.slice(self._missing)
            self._writer.write_table(rows)
            self._missing -= len(rows)
            if not self._missing:
                self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def out_of_fold_table(examples: Sequence[dict], out_of_fold: OutOfFold, part: slice = slice(None)) -> pa.Table:
    """Return a table with one row per example.

    Parameters
    ----------
    examples : sequence of dict
        n examples in the SQuAD schema.
    out_of_fold : OutOfFold
    part : slice
        Which of the examples; all by default.

    Returns
    -------
    pyarrow.Table
        `id`, `title`, `question`, `context`; `given_answer`, `given_start` (character offset) and
        `given_label` of the answers that label tokens, as lists; `fold`; and for the C context tokens the lists
        `tokens`, `char_start`, `char_end`, and for each span class `labels_<class>` and
        `pred_probs_<class>`.
    """
    # A slice of a datasets.Dataset is no sequence of examples.
    return _table(list(examples)[part], out_of_fold.predictions[part], out_of_fold.fold[part], out_of_fold)


def _table(
    examples: list[dict], predictions: Sequence[SpanPrediction], fold: np.ndarray, out_of_fold: OutOfFold
) -> pa.Table:
    label_map, answers = out_of_fold.label_map, out_of_fold.reports[0]["trainer"]["answers"]
    given = [answer_spans(example, label_map, answers) for example in examples]
    columns = {
        **{name: [example[name] for example in examples] for name in ("id", "title", "question", "context")},
        "given_answer": [
            [example["context"][span.char_start : span.char_end] for span in spans]
            for example, spans in zip(examples, given, strict=True)
        ],
        "given_start": [[span.char_start for span in spans] for spans in given],
        "given_label": [[span.class_name for span in spans] for spans in given],
        "fold": fold,
        "tokens": [prediction.tokens for prediction in predictions],
        "char_start": [prediction.char_start for prediction in predictions],
        "char_end": [prediction.char_end for prediction in predictions],
    }
    types = {
        "given_answer": pa.list_(pa.string()), "given_start": pa.list_(pa.int64()),
        "given_label": pa.list_(pa.string()), "tokens": pa.list_(pa.string()),
    }  # fmt: skip
    for class_name in span_classes(label_map):
        column = label_map[class_name]
        columns[f"labels_{class_name}"] = [prediction.labels[:, column] for prediction in predictions]
        columns[f"pred_probs_{class_name}"] = [prediction.pred_probs[:, column] for prediction in predictions]
    return pa.table({name: pa.array(values, type=types.get(name)) for name, values in columns.items()})


def _array_files(label_map: dict[str, int]) -> dict[str, tuple[str, int]]:
    """Return the name of each `.npz` file with the kind of its arrays, and their column if they have one."""
    classes = span_classes(label_map)
    files = {"tokens.npz": ("tokens", -1), "questions.npz": ("question", -1)}
    for class_name in classes:
        suffix = f"_{class_name}" if len(classes) > 1 else ""
        files |= {f"{kind}{suffix}.npz": (kind, label_map[class_name]) for kind in ("pred_probs", "labels")}
    return files


def _array_of(example: dict, prediction: SpanPrediction, kind: str, column: int) -> np.ndarray:
    """Return what an `.npz` file of this kind has of an example."""
    if kind in ("pred_probs", "labels"):
        return getattr(prediction, kind)[:, column]
    return np.array(prediction.tokens if kind == "tokens" else example["question"], dtype=np.str_)


def _record(out_of_fold: OutOfFold, parameters: dict, seconds: float) -> dict:
    first = out_of_fold.reports[0]
    return {
        "parameters": parameters,
        "num_examples": len(out_of_fold.predictions),
        "data_sha256": first["data"],
        "checkpoint_sha256": first["trainer"]["checkpoint"],
        "label_map": out_of_fold.label_map,
        "group_by": out_of_fold.group_by,
        "code": {"commit": code_commit(), **first["code"]},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "folds": [
            {name: report[name] for name in ("fold", "folder", "seed", "train_indices", "validation_indices",
                                             "metrics", "loss_history", "num_training_questions_cut", "seconds")}
            for report in out_of_fold.reports
        ],
        "seconds": seconds,
    }  # fmt: skip


def code_commit() -> str | None:
    """Return the commit of this project's checkout, with `-dirty` if files differ; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        described = subprocess.run(  # nosec B603 # the command is fixed
            command, cwd=Path(__file__).resolve().parent, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        # A copy without git, or git not installed: the module hashes in run.json still name the code.
        return None
    return described.stdout.strip()


def _files_of_earlier_run(folder: Path) -> list[str]:
    of_run = [name for name in listed_files(folder / RUN_FILE) if (folder / name).is_file()]
    # A review's file that was changed holds somebody's work.
    of_review = [
        name
        for name, expected in listed_files(folder / REVIEW_FILE).items()
        if (folder / name).is_file() and file_sha256(folder / name) == expected
    ]
    return of_run + of_review


def listed_files(record_file: Path) -> dict[str, str]:
    """Return names and SHA-256 of the files that a record in their folder lists; none if it is no record."""
    try:
        record = json.loads(record_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        # No earlier run, or a record that this project did not write: nothing is known to be ours.
        return {}
    files = record.get("files") if isinstance(record, dict) else None
    return {name: files[name] for name in files if _OUR_FILES.fullmatch(name)} if isinstance(files, dict) else {}
