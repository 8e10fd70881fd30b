"""Keep folds, finished or not: a folder each, keyed by everything that makes it."""

import ast
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from span_label_errors.cross_validation.stored_predictions import StoredPredictions, map_arrays
from span_label_errors.files import write_file
from span_label_errors.model.checkpoints import file_sha256
from span_label_errors.model.predictions import SpanPrediction

FOLD_FILE = "fold.json"
PREDICTIONS_FOLDER = "predictions"
TRAINING_FILE = "training.json"
MODEL_FOLDER = "model"
# What shapes weights, splits, probabilities and metrics. A change of what one of these modules does makes every fold
# stale.
_CODE = ("spans/*.py", "data/squad.py", "model/*.py", "cross_validation/*.py")
_LIBRARIES = ("accelerate", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers")
_CONFIGURATION = ("data", "trainer", "training", "code", "seed", "train_indices", "validation_indices")
_SEAL = "sha256"
_ARRAYS = ("example_index", "num_tokens", "char_start", "char_end", "pred_probs", "labels")


@dataclass(frozen=True)
class Fold:
    """A finished fold: its report (the content of `fold.json`) and its held-out predictions, in order.

    Predictions are read from the fold's files when they are asked for.
    """

    report: dict
    predictions: Sequence[SpanPrediction]


def data_fingerprint(examples: Sequence[dict]) -> str:
    """Return the SHA-256 of examples, their order included."""
    digest = hashlib.sha256()
    for example in examples:
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
    """Return what a hash and versions say of the code that makes a fold.

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


def lock_file(folder: Path) -> Path:
    """Return the file that whoever makes a fold holds a lock on."""
    return folder.with_name(f".{folder.name}.lock")


def unfinished_folder(folder: Path) -> Path:
    """Return where a fold is made: the states of its training, then its model, until it gets its name."""
    return folder.with_name(f".{folder.name}.unfinished")


def save_training(unfinished: Path, key: str, training: dict) -> None:
    """Vouch for the model of an unfinished fold, so that it need not be trained again."""
    record = {"key": key, "training": training, "files": _hashes(unfinished / MODEL_FOLDER)}
    write_file(unfinished / TRAINING_FILE, json.dumps(sealed(record), ensure_ascii=False))


def load_training(unfinished: Path, key: str) -> dict:
    """Return what `save_training` was given, and remove what else stands beside the model.

    Raises
    ------
    ValueError
        If there is no whole, undamaged model of this configuration; the message says why.
    """
    record, model = _read_record(unfinished / TRAINING_FILE, key), unfinished / MODEL_FOLDER
    _check_files(model, record["files"], TRAINING_FILE)
    _check_seal(record, TRAINING_FILE)
    for name in _hashes(model).keys() - record["files"].keys():
        (model / name).unlink()
    return record["training"]


def save_fold(folder: Path, report: dict, predictions: Sequence[SpanPrediction]) -> None:
    """Add predictions and report to a folder that holds a fold's model.

    Parameters
    ----------
    folder : Path
        Not yet under its final name.
    report : dict
        With `key` and `validation_indices`; gets the SHA-256 of every file, and its own.
    predictions : sequence of SpanPrediction
        What the model said of the context tokens of the n held-out examples.
    """
    arrays = {
        "example_index": np.asarray(report["validation_indices"], dtype=np.int64),
        "num_tokens": np.array([len(prediction.tokens) for prediction in predictions], dtype=np.int64),
        **{
            name: np.concatenate([getattr(prediction, name) for prediction in predictions])
            for name in ("char_start", "char_end", "pred_probs", "labels")
        },
    }
    (folder / PREDICTIONS_FOLDER).mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / _array_file(name), array, allow_pickle=False)
    record = sealed({**report, "files": _hashes(folder)})
    write_file(folder / FOLD_FILE, json.dumps(record, indent=1, ensure_ascii=False))


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
    report = _read_record(folder / FOLD_FILE, key)
    if not {_array_file(name) for name in _ARRAYS} <= report["files"].keys():
        raise ValueError(f"{FOLD_FILE} does not list the fold's files")
    _check_files(folder, report["files"], FOLD_FILE)
    arrays = read_predictions(folder)
    same_indices = arrays["example_index"].tolist() == report.get("validation_indices")
    if not same_indices or len(examples) != len(arrays["num_tokens"]):
        raise ValueError(f"{PREDICTIONS_FOLDER} are of other examples than {FOLD_FILE}")
    _check_seal(report, FOLD_FILE)
    contexts = [example["context"] for example in examples]
    return Fold(report, StoredPredictions(contexts, arrays["num_tokens"], arrays))


def read_predictions(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays that `save_fold` wrote, mapped from their files.

    Raises
    ------
    ValueError
        If they cannot be read or do not fit together.
    """
    try:
        arrays = map_arrays({name: folder / _array_file(name) for name in _ARRAYS})
        _check_arrays(**arrays)
    except ValueError as error:
        raise ValueError(f"{PREDICTIONS_FOLDER} cannot be read: {error}") from error
    return arrays


def _array_file(name: str) -> str:
    return f"{PREDICTIONS_FOLDER}/{name}.npy"


def _check_arrays(example_index: np.ndarray, num_tokens: np.ndarray, **of_tokens: np.ndarray) -> None:
    is_integer = all(array.dtype.kind in "iu" for array in (num_tokens, of_tokens["char_start"], of_tokens["char_end"]))
    if is_integer:
        # In Python's numbers, which cannot overflow.
        expected = (sum(num_tokens.ravel().tolist()),)
        lengths = [array.shape[:1] == expected for array in of_tokens.values()]
        if not all(lengths) or example_index.shape[:1] != num_tokens.shape[:1]:
            raise ValueError("the arrays differ in length")
    dimensions = {"num_tokens": 1, "char_start": 1, "char_end": 1, "pred_probs": 2, "labels": 2}
    found = {name: array.ndim for name, array in {"num_tokens": num_tokens, **of_tokens}.items()}
    if not is_integer or found != dimensions or (num_tokens < 0).any():
        raise ValueError(
            f"expected counts of tokens and offsets as integers, and arrays of {dimensions} dimensions, found {found} "
            "dimensions or other numbers"
        )


def sealed(record: dict) -> dict:
    """Return a record with the SHA-256 of everything else in it."""
    content = {name: value for name, value in record.items() if name != _SEAL}
    return {**content, _SEAL: fold_key(content)}


def _read_record(file: Path, key: str) -> dict:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"no {file.name}: the fold was not finished") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("key") != key:
        raise ValueError(f"{file.name} is of another configuration")
    if not isinstance(record.get("files"), dict):
        raise ValueError(f"{file.name} does not list the fold's files")
    return record


def _check_seal(record: dict, name: str) -> None:
    if sealed(record)[_SEAL] != record.get(_SEAL):
        raise ValueError(f"{name} is damaged: its content is not what its own SHA-256 was taken of")


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, but for the record that will hold them."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    names = [(file, file.relative_to(folder).as_posix()) for file in files]
    return {name: file_sha256(file) for file, name in names if name != FOLD_FILE}


def _check_files(folder: Path, files: dict[str, str], record: str) -> None:
    for name, expected in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{record} lists {name}, which is not in the fold's folder")
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if file_sha256(folder / name) != expected:
            raise ValueError(f"{name} is damaged: its SHA-256 is not the one in {record}")
