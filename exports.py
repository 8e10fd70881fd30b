"""Write what cross-validation found, and read it again: arrays for cleanlab, a table, a record of the run."""

import json
import platform
import re
import shutil
import subprocess  # nosec B404 # one command, which is fixed
from collections.abc import Callable, Iterator, Sequence
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
from span_classification_tutorial_utils import write_npz

RUN_FILE = "run.json"
REVIEW_FILE = "label_issues.json"  # lists what a review of the run has added
LOCK_FILE = ".outputs.lock"
# Nothing else is removed, whatever a record lists.
_OUR_FILES = re.compile(
    r"(pred_probs|labels)(_\w[\w .-]*)?\.npz|(tokens|questions)\.npz|out_of_fold\.parquet|"
    r"label_issues\.(html|csv|parquet)|label_studio_(tasks\.json|config\.xml)|doccano\.jsonl"
)
TABLE_FILE = "out_of_fold.parquet"
_ROWS_AT_ONCE = 10_000
_LIBRARIES = ("cleanlab", "datasets", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers")


def write_outputs(
    outputs_dir: str | Path,
    dataset: Sequence[dict],
    out_of_fold: OutOfFold,
    parameters: dict,
    seconds: float,
    *,
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
        - `out_of_fold.parquet`: one row per example;
        - `run.json`: parameters, versions, hashes, splits, metrics, times.

        With several span classes the first two have one file per class, `pred_probs_PER.npz`.
    dataset : sequence of dict
        n examples in the SQuAD schema.
    out_of_fold : OutOfFold
    parameters : dict
        What the run was asked for, as JSON.
    seconds : float
        How long the run took.
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
        If `dataset` is not the data that `out_of_fold` was made from.
    OSError
        If the folder or a file in it cannot be written.
    """
    folder = check_writable(outputs_dir)
    examples = list(dataset)
    if data_fingerprint(examples) != out_of_fold.reports[0]["data"]:
        raise ValueError(
            "expected the data that out_of_fold was made from, found other data (changed since?); run "
            "out_of_fold_predictions again"
        )
    # Two runs that write here at once would each put half of their files in place.
    with exclusive(folder / LOCK_FILE, log):
        return _write_all(folder, examples, out_of_fold, parameters, seconds)


def _write_all(
    folder: Path, examples: list[dict], out_of_fold: OutOfFold, parameters: dict, seconds: float
) -> list[Path]:
    staging = partial_folder(folder / "files")
    try:
        for name, arrays in _arrays(examples, out_of_fold).items():
            write_npz(staging / name, arrays)
        _write_table(staging / TABLE_FILE, examples, out_of_fold)
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
    for name, expected in files.items():
        file = folder / Path(name).name
        if not file.is_file():
            raise FileNotFoundError(f"{file}: listed in {RUN_FILE}, but missing; run the training notebook again")
        if file_sha256(file) != expected:
            raise ValueError(f"{file}: expected the file that {RUN_FILE} lists, found other content; run it again")
    table = pa.parquet.read_table(folder / TABLE_FILE).to_pandas()
    # Arrow would keep what reading took beside the table, hundreds of megabytes of a large one.
    pa.default_memory_pool().release_unused()
    return table, record


def _write_table(path: Path, examples: Sequence[dict], out_of_fold: OutOfFold) -> None:
    """Write the table part by part: a large data set's would take as much memory again as its predictions."""
    parts = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(examples), _ROWS_AT_ONCE)]
    first = out_of_fold_table(examples, out_of_fold, parts[0])
    with pa.parquet.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        del first
        for part in parts[1:]:
            writer.write_table(out_of_fold_table(examples, out_of_fold, part))


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
    label_map, answers = out_of_fold.label_map, out_of_fold.reports[0]["trainer"]["answers"]
    # A slice of a datasets.Dataset is no sequence of examples.
    examples, predictions = list(examples)[part], out_of_fold.predictions[part]
    given = [answer_spans(example, label_map, answers) for example in examples]
    columns = {
        **{name: [example[name] for example in examples] for name in ("id", "title", "question", "context")},
        "given_answer": [
            [example["context"][span.char_start : span.char_end] for span in spans]
            for example, spans in zip(examples, given, strict=True)
        ],
        "given_start": [[span.char_start for span in spans] for spans in given],
        "given_label": [[span.class_name for span in spans] for spans in given],
        "fold": out_of_fold.fold[part],
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


def _arrays(examples: Sequence[dict], out_of_fold: OutOfFold) -> dict[str, Iterator[np.ndarray]]:
    """Return the arrays of each `.npz` file, each made when it is asked for."""
    classes, predictions = span_classes(out_of_fold.label_map), out_of_fold.predictions
    files = {
        "tokens.npz": (np.array(prediction.tokens, dtype=np.str_) for prediction in predictions),
        "questions.npz": (np.array(example["question"], dtype=np.str_) for example in examples),
    }
    for class_name in classes:
        suffix = f"_{class_name}" if len(classes) > 1 else ""
        for kind in ("pred_probs", "labels"):
            files[f"{kind}{suffix}.npz"] = _columns(predictions, kind, out_of_fold.label_map[class_name])
    return files


def _columns(predictions: Sequence[SpanPrediction], kind: str, column: int) -> Iterator[np.ndarray]:
    for prediction in predictions:
        yield getattr(prediction, kind)[:, column]


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
