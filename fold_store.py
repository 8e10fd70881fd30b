"""Keep finished folds: a folder each, keyed by everything that made it."""

import hashlib
import importlib.metadata
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from checkpoints import file_sha256
from predictions import SpanPrediction

FOLD_FILE = "fold.json"
PREDICTIONS_FILE = "predictions.npz"
# What shapes weights, probabilities and metrics. A change in one of these makes every fold stale.
_CODE = (
    "alignment.py", "checkpoints.py", "cross_validation.py", "predictions.py", "span_metrics.py", "span_model.py",
    "spanbert.py", "windows.py",
)  # fmt: skip
_LIBRARIES = ("accelerate", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers")
_ARRAYS = ("example_index", "num_tokens", "char_start", "char_end", "pred_probs", "labels")


@dataclass(frozen=True)
class Fold:
    """A finished fold: its report (the content of `fold.json`) and its held-out predictions, in order."""

    report: dict
    predictions: list[SpanPrediction]


def data_fingerprint(examples: Sequence[dict]) -> str:
    """Return the SHA-256 of examples, their order included."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(example, sort_keys=True).encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()


def _hash_of_modules() -> str:
    here = Path(__file__).resolve().parent
    return hashlib.sha256(b"".join(file_sha256(here / name).encode() for name in _CODE)).hexdigest()


# Taken on import: what runs is what was imported, whatever is edited afterwards.
_IMPORTED_MODULES = _hash_of_modules()


def code_fingerprint() -> dict[str, str]:
    """Return what hashes and versions say of the code that makes a fold.

    Raises
    ------
    RuntimeError
        If the code on disk is no longer the code that was imported.
    """
    if _hash_of_modules() != _IMPORTED_MODULES:
        raise RuntimeError(
            f"expected {', '.join(_CODE)} as they were imported, found them changed on disk; restart the kernel, "
            "so that folds are made by the code that they are filed under"
        )
    return {"modules": _IMPORTED_MODULES, **{name: importlib.metadata.version(name) for name in _LIBRARIES}}


def fold_key(configuration: dict) -> str:
    """Return the SHA-256 of a fold's configuration, which must be JSON."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()


def fold_folder(folds_dir: Path, fold_index: int, num_splits: int, key: str) -> Path:
    """Return where a fold belongs; another configuration has another key, so another folder."""
    return folds_dir / f"fold_{fold_index}_of_{num_splits}-{key[:12]}"


def save_fold(folder: Path, report: dict, examples: Sequence[dict], predictions: Sequence[SpanPrediction]) -> None:
    """Add predictions and report to a folder that holds a fold's model.

    Parameters
    ----------
    folder : Path
        Not yet under its final name.
    report : dict
        With `key` and `validation_indices`; gets the SHA-256 of every file.
    examples, predictions : sequences
        The n held-out examples and what the model said of their context tokens.
    """
    arrays = {
        "example_index": np.asarray(report["validation_indices"], dtype=np.int64),
        "num_tokens": np.array([len(prediction.tokens) for prediction in predictions], dtype=np.int64),
        **{
            name: np.concatenate([getattr(prediction, name) for prediction in predictions])
            for name in ("char_start", "char_end", "pred_probs", "labels")
        },
    }
    np.savez(folder / PREDICTIONS_FILE, **arrays)
    files = {file.name: file_sha256(file) for file in sorted(folder.iterdir())}
    content = json.dumps({**report, "files": files}, indent=1, ensure_ascii=False)
    (folder / FOLD_FILE).write_text(content, encoding="utf-8")


def load_fold(folder: Path, key: str, examples: Sequence[dict]) -> Fold:
    """Load a finished fold.

    Parameters
    ----------
    folder : Path
    key : str
        Of the configuration that the fold must have.
    examples : sequence of dict
        Its n held-out examples, in order; they give the tokens' texts.

    Raises
    ------
    ValueError
        If the folder is not a whole, undamaged fold of this configuration; the message says why.
    """
    try:
        report = json.loads((folder / FOLD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"no {FOLD_FILE}: the fold was not finished") from None
    except ValueError as error:
        raise ValueError(f"{FOLD_FILE} cannot be read: {error}") from error
    if not isinstance(report, dict) or report.get("key") != key:
        raise ValueError(f"{FOLD_FILE} is of another configuration")
    files = report.get("files")
    if not isinstance(files, dict) or PREDICTIONS_FILE not in files:
        raise ValueError(f"{FOLD_FILE} does not list the fold's files")
    for name, expected in files.items():
        file = folder / Path(name).name
        if not file.is_file():
            raise ValueError(f"{name} is missing")
        if file_sha256(file) != expected:
            raise ValueError(f"{name} is damaged: its SHA-256 is not the one in {FOLD_FILE}")
    try:
        with np.load(folder / PREDICTIONS_FILE, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{PREDICTIONS_FILE} cannot be read: {error}") from error
    boundaries = np.cumsum(arrays["num_tokens"])[:-1]
    parts = [np.split(arrays[name], boundaries) for name in ("pred_probs", "labels", "char_start", "char_end")]
    predictions = [
        SpanPrediction(
            pred_probs,
            [example["context"][start:end] for start, end in zip(char_start, char_end, strict=True)],
            labels,
            char_start=char_start,
            char_end=char_end,
            is_context=np.ones(len(char_start), dtype=bool),
        )
        for example, pred_probs, labels, char_start, char_end in zip(examples, *parts, strict=True)
    ]
    return Fold(report, predictions)
