"""Keep folds, finished or not: a folder each, keyed by everything that makes it."""

import ast
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from span_label_errors.cross_validation.stored_predictions import (
    PREDICTIONS_FOLDER,
    StoredPredictions,
    read_predictions,
)
from span_label_errors.files import file_sha256, write_file

FOLD_FILE = "fold.json"
TRAINING_FILE = "training.json"
MODEL_FOLDER = "model"
# What shapes weights, splits, probabilities and metrics. If one of these modules does something else, all folds are
# stale.
_CODE = ("spans/*.py", "data/squad.py", "model/*.py", "cross_validation/*.py")
_LIBRARIES = ("accelerate", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers")
_CONFIGURATION = ("data", "trainer", "training", "code", "seed", "train_indices", "validation_indices")


@dataclass(frozen=True)
class Fold:
    """A finished fold: its report (the content of `fold.json`) and its held-out predictions, in order."""

    report: dict
    predictions: StoredPredictions


def data_fingerprint(examples: Sequence[dict]) -> str:
    """Return the SHA-256 of examples, their order included, whether or not they had to be repaired."""
    digest = hashlib.sha256()
    for example in examples:
        if "repairs" in example:
            example = {name: value for name, value in example.items() if name != "repairs"}
        digest.update(json.dumps(example, sort_keys=True).encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()


def syntax_sha256(files: Iterable[Path]) -> str:
    """Return the SHA-256 of what Python files do: of their syntax trees, without comments and docstrings."""
    digest = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_bytes())
        for node in ast.walk(tree):
            has_docstring = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if has_docstring and ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        digest.update(f"{file.name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def _code_sha256() -> str:
    package = Path(__file__).resolve().parents[1]
    return syntax_sha256(file for pattern in _CODE for file in sorted(package.glob(pattern)))


# Taken on import: what runs is what was imported, whatever is edited afterwards.
_IMPORTED_CODE = _code_sha256()


def code_fingerprint() -> dict[str, str]:
    """Return a hash and versions of the code that makes a fold.

    Raises
    ------
    RuntimeError
        If the code on disk no longer does what the code that was imported does.
    """
    if _code_sha256() != _IMPORTED_CODE:
        raise RuntimeError(
            f"expected {', '.join(_CODE)} as they were imported, found them changed on disk; restart the kernel, "
            "so that folds are made by the code that they are filed under"
        )
    # Syntax trees of one text differ between versions of Python.
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"modules": _IMPORTED_CODE, "python": python, **versions}


def fold_key(configuration: dict) -> str:
    """Return the SHA-256 of a fold's configuration, which must be JSON."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()


def configuration_of(report: dict) -> dict:
    """Return the part of a fold's report that its key is made of."""
    return {name: report[name] for name in _CONFIGURATION}


def fold_folder(folds_dir: Path, fold_index: int, num_splits: int, key: str) -> Path:
    """Return where a fold belongs; another configuration has another key, so another folder."""
    return folds_dir / f"fold_{fold_index}_of_{num_splits}-{key[:12]}"


def finished_folders(folds_dir: Path) -> set[Path]:
    """Return the folders of all finished folds, of whatever configuration. None of them is read."""
    return set(folds_dir.glob("fold_*_of_*-*"))


def lock_file(folder: Path) -> Path:
    """Return the file that whoever makes a fold holds a lock on."""
    return folder.with_name(f".{folder.name}.lock")


def unfinished_folder(folder: Path) -> Path:
    """Return where a fold is made: the states of its training, then its model, until it gets its name."""
    return folder.with_name(f".{folder.name}.unfinished")


def save_training(unfinished: Path, key: str, training: dict) -> None:
    """Record that the model of an unfinished fold is trained, so that it need not be trained again."""
    _write_record(unfinished / TRAINING_FILE, {"key": key, "training": training}, unfinished / MODEL_FOLDER)


def load_training(unfinished: Path, key: str) -> dict:
    """Return what `save_training` was given, and remove what else stands beside the model.

    Raises
    ------
    ValueError
        If there is no whole, undamaged model of this configuration; the message says why.
    """
    model = unfinished / MODEL_FOLDER
    record = _read_record(unfinished / TRAINING_FILE, key, model)
    for name in _hashes(model).keys() - record["files"].keys():
        (model / name).unlink()
    return record["training"]


def save_fold(folder: Path, report: dict) -> None:
    """Finish a fold whose model and predictions are in its folder.

    The report has `key` and `validation_indices`; `fold.json` adds the SHA-256 of every file, and its own.
    """
    _write_record(folder / FOLD_FILE, report, folder)


def load_fold(folder: Path, key: str, examples: Sequence[dict]) -> Fold:
    """Load a finished fold; its held-out examples, in order, give the tokens' texts.

    Raises
    ------
    ValueError
        If the folder is not a whole, undamaged fold with this key; the message says why.
    """
    report = _read_record(folder / FOLD_FILE, key, folder)
    arrays = read_predictions(folder)
    same_indices = arrays["example_index"].tolist() == report["validation_indices"]
    if not same_indices or len(examples) != len(arrays["num_tokens"]):
        raise ValueError(f"{PREDICTIONS_FOLDER} are of other examples than {FOLD_FILE}")
    return Fold(report, StoredPredictions.of_fold([example["context"] for example in examples], arrays))


def _write_record(file: Path, record: dict, folder: Path) -> None:
    """Write a record as JSON with the SHA-256 of all files in a folder, and of the rest of itself."""
    content = {**record, "files": _hashes(folder)}
    content.pop("sha256", None)
    content["sha256"] = fold_key(content)
    write_file(file, json.dumps(content, indent=1, ensure_ascii=False))


def _read_record(file: Path, key: str, folder: Path) -> dict:
    """Return what `_write_record` wrote; raise ValueError if it, or a file in the folder, is not as it was."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"no {file.name}: the fold was not finished") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("key") != key:
        raise ValueError(f"{file.name} is of another configuration")
    if record.get("sha256") != fold_key({name: value for name, value in record.items() if name != "sha256"}):
        raise ValueError(f"{file.name} is damaged: its SHA-256 is not the one of its content")
    for name, expected in record["files"].items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{file.name} lists {name}, which is not in the fold's folder")
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if file_sha256(folder / name) != expected:
            raise ValueError(f"{name} is damaged: its SHA-256 is not the one in {file.name}")
    return record


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, but for the record that will hold them."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / FOLD_FILE)
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}
