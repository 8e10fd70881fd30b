"""Write what cross-validation found: arrays for cleanlab, a table, a record of the run."""

import contextlib
import json
import platform
import shutil
import subprocess  # nosec B404 # one command, which is fixed
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from span_label_errors.cross_validation.out_of_fold import OutOfFold
from span_label_errors.cross_validation.store import data_fingerprint
from span_label_errors.data.parts import in_parts
from span_label_errors.data.shared_contexts import with_shared_contexts
from span_label_errors.files import check_writable, clone_root, exclusive, file_sha256, partial_folder
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.results.npz import NpzWriter
from span_label_errors.results.read import LOCK_FILE, REVIEW_FILE, RUN_FILE, TABLE_FILE, array_files, listed_files
from span_label_errors.spans.alignment import AnswerSpan, answer_spans, span_classes

_ROWS_AT_ONCE = 10_000  # of the table, if contexts are short: a row group in Parquet
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

    All files are written to a folder of their own first, so a failure changes nothing. Then they are put in place one
    by one, `run.json` last: without it, the outputs are not complete.

    Parameters
    ----------
    outputs_dir : str or Path
        Gets, for n examples of C context tokens each:

        - `pred_probs.npz`: keys `"0"` … `str(n - 1)`, each P(span class) of shape (C,), float32;
        - `labels.npz`: the same keys, 0 or 1 of shape (C,), int64;
        - `tokens.npz`: the same keys, the texts of the tokens, of shape (C,);
        - `questions.npz`: the same keys, each a 0-dimensional string (NumPy drops U+0000 at its end);
        - `out_of_fold.parquet`: one row per example, in row groups of at most 10,000 (of long contexts fewer), so that
          it can be read in parts with `pyarrow.parquet.ParquetFile(…).iter_batches()`;
        - `run.json`: parameters, versions, hashes, splits, metrics, times, and what was repaired.

        With several span classes the first two have one file per class, `pred_probs_PER.npz`.
    dataset : sequence of dict
        n examples in the SQuAD schema.
    out_of_fold : OutOfFold
    parameters : dict
        Parameters of the run, as JSON.
    seconds : float
        How long the run took.
    log : callable
        Gets a line of text while another process writes to the folder.

    Returns
    -------
    list of Path
        The files written. Files of an earlier run and of its review that this run does not write are removed, except
        review files that were changed since.

    Raises
    ------
    ValueError
        If `dataset` is not the data that `out_of_fold` was made from.
    OSError
        If the folder or a file in it cannot be written.
    """
    folder = check_writable(outputs_dir)
    examples = list(with_shared_contexts(dataset))
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
        _write_results(staging, examples, out_of_fold)
        names = sorted(file.name for file in staging.iterdir())
        record = _record(examples, out_of_fold, parameters, seconds)
        record["files"] = {name: file_sha256(staging / name) for name in names}
        (staging / RUN_FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")

        stale = set(_files_of_earlier_run(folder)) - set(names)
        # The old record goes before the first new file comes, but after the stale files: only it names them, and a run
        # that dies here would leave them behind.
        for name in [*sorted(stale), REVIEW_FILE, RUN_FILE]:
            (folder / name).unlink(missing_ok=True)
        for name in [*names, RUN_FILE]:
            (staging / name).replace(folder / name)
    finally:
        shutil.rmtree(staging)
    return [folder / name for name in [*names, RUN_FILE]]


def _write_results(folder: Path, examples: Sequence[dict], out_of_fold: OutOfFold) -> None:
    """Write arrays and table part by part, so that only one part's predictions are in memory."""
    classes, schema = span_classes(out_of_fold.label_map), _schema(examples, out_of_fold)
    with contextlib.ExitStack() as stack:
        table_file = stack.enter_context(pa.parquet.ParquetWriter(folder / TABLE_FILE, schema))
        files = [
            (stack.enter_context(NpzWriter(folder / name)), column) for name, column in array_files(classes).items()
        ]
        one_by_one = map(out_of_fold.predictions.__getitem__, range(len(examples)))
        start = 0
        for predictions in in_parts(one_by_one, lambda prediction: len(prediction.tokens), _ROWS_AT_ONCE):
            part = slice(start, start + len(predictions))
            columns = _columns(examples[part], predictions, out_of_fold.fold[part], out_of_fold)
            start = part.stop
            table_file.write_table(pa.table({name: columns[name] for name in schema.names}, schema=schema))
            for array_file, column in files:
                for cell in columns[column]:
                    array_file.write(np.array(cell, dtype=np.str_) if column in ("tokens", "question") else cell)
            del columns, predictions  # before those of the next part are made


def out_of_fold_table(examples: Sequence[dict], out_of_fold: OutOfFold) -> pa.Table:
    """Return a table with one row per example.

    Parameters
    ----------
    examples : sequence of dict
        n examples in the SQuAD schema.
    out_of_fold : OutOfFold

    Returns
    -------
    pyarrow.Table
        `id`, `title`, `question`, `context`; `given_answer`, `given_start` (character offset) and
        `given_label` of the answers that label tokens, as lists; `other_answer`, `other_start` and `other_label` of
        the other ones, where any example has some. With `answers="each"` the `given_` columns have every annotator's
        answer instead, equal ones too, and `given_annotator` who gave it (`""` where no name stands). `fold`; and for
        the C context tokens the lists
        `tokens`, `char_start`, `char_end`, and for each span class `labels_<class>` and
        `pred_probs_<class>`; `repairs` if the data have it.
    """
    examples = list(examples)
    columns = _columns(examples, out_of_fold.predictions[:], out_of_fold.fold, out_of_fold)
    schema = _schema(examples, out_of_fold)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _schema(examples: Sequence[dict], out_of_fold: OutOfFold) -> pa.Schema:
    """Return the types of the table's columns, which lists that are all empty would not show."""
    texts, integers = pa.list_(pa.string()), pa.list_(pa.int64())
    has_others = any(_given_and_others(example, out_of_fold)[1] for example in examples)
    types = {
        "id": pa.string(), "title": pa.string(), "question": pa.string(), "context": pa.string(),
        "given_answer": texts, "given_start": integers, "given_label": texts,
        **({"given_annotator": texts} if _answers(out_of_fold) == "each" else {}),
        **({"other_answer": texts, "other_start": integers, "other_label": texts} if has_others else {}),
        "fold": pa.int64(), "tokens": texts, "char_start": integers, "char_end": integers,
    }  # fmt: skip
    for class_name in span_classes(out_of_fold.label_map):
        types |= {f"labels_{class_name}": integers, f"pred_probs_{class_name}": pa.list_(pa.float32())}
    if "repairs" in examples[0]:
        types["repairs"] = texts
    return pa.schema(types)


def _columns(
    examples: list[dict], predictions: Sequence[SpanPrediction], fold: np.ndarray, out_of_fold: OutOfFold
) -> dict[str, Sequence]:
    label_map = out_of_fold.label_map
    columns = {name: [example[name] for example in examples] for name in ("id", "title", "question", "context")}
    columns |= {f"{kind}_{part}": [] for kind in ("given", "other") for part in ("answer", "start", "label")}
    columns["fold"] = fold
    for example in examples:
        for kind, spans in zip(("given", "other"), _given_and_others(example, out_of_fold), strict=True):
            columns[f"{kind}_answer"].append([example["context"][span.char_start : span.char_end] for span in spans])
            columns[f"{kind}_start"].append([span.char_start for span in spans])
            columns[f"{kind}_label"].append([span.class_name for span in spans])
    if _answers(out_of_fold) == "each":
        each = [example.get("answers") or {"text": []} for example in examples]
        columns["given_annotator"] = [of.get("annotator") or [""] * len(of["text"]) for of in each]
    for name in ("tokens", "char_start", "char_end"):
        columns[name] = [getattr(prediction, name) for prediction in predictions]
    for class_name in span_classes(label_map):
        column = label_map[class_name]
        columns[f"labels_{class_name}"] = [prediction.labels[:, column] for prediction in predictions]
        columns[f"pred_probs_{class_name}"] = [prediction.pred_probs[:, column] for prediction in predictions]
    if "repairs" in examples[0]:
        columns["repairs"] = [example["repairs"] for example in examples]
    return columns


def _given_and_others(example: dict, out_of_fold: OutOfFold) -> tuple[list[AnswerSpan], list[AnswerSpan]]:
    """Return the answers that are judged, and the others, each once: what other annotators answered."""
    answers = _answers(out_of_fold)
    given = answer_spans(example, out_of_fold.label_map, "all" if answers == "each" else answers)
    if len(given) == len((example.get("answers") or {"text": []})["text"]):
        return given, []  # as nearly always in large data
    every = dict.fromkeys(answer_spans(example, out_of_fold.label_map, "all"))
    return given, [span for span in every if span not in given]


def _answers(out_of_fold: OutOfFold) -> str:
    # A trainer of one's own need not say which answers it labels.
    return out_of_fold.reports[0]["trainer"].get("answers", "first")


def _record(examples: list[dict], out_of_fold: OutOfFold, parameters: dict, seconds: float) -> dict:
    first = out_of_fold.reports[0]
    repairs = {example["id"]: example["repairs"] for example in examples if example.get("repairs")}
    return {
        "parameters": parameters,
        "num_examples": len(out_of_fold.predictions),
        "data_sha256": first["data"],
        **({"repairs": repairs} if repairs else {}),
        "checkpoint_sha256": first["trainer"].get("checkpoint"),
        **{name: value for name, value in first["trainer"].items() if name == "checkpoint_answers_questions"},
        "label_map": out_of_fold.label_map,
        "group_by": out_of_fold.group_by,
        "code": {"commit": code_commit(), **first["code"]},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "folds": [
            {name: report[name] for name in ("fold", "folder", "training", "seed", "train_indices",
                                             "validation_indices", "metrics", "loss_history",
                                             "num_training_questions_cut", "seconds")}
            for report in out_of_fold.reports
        ],
        "seconds": seconds,
    }  # fmt: skip


def code_commit() -> str | None:
    """Return the commit of this project's clone, with `-dirty` if files differ; None outside of a clone."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    folder = clone_root()
    if folder is None:
        return None
    try:
        return subprocess.run(  # nosec B603 # the command is fixed
            command, cwd=folder, capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        # A copy without git, or git not installed: the hash of the modules in run.json still names the code.
        return None


def _files_of_earlier_run(folder: Path) -> list[str]:
    of_run = [name for name in listed_files(folder / RUN_FILE) if (folder / name).is_file()]
    # A review file that was changed holds somebody's work.
    of_review = [
        name
        for name, expected in listed_files(folder / REVIEW_FILE).items()
        if (folder / name).is_file() and file_sha256(folder / name) == expected
    ]
    return of_run + of_review
