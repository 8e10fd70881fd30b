"""Check the parameters of the notebooks before anything is computed from them."""

import ast
import difflib
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

from transformers import TrainingArguments

from alignment import check_label_map
from atomic_files import check_writable
from checkpoints import EMBEDDED_BACKBONE
from cross_validation import check_fold_indices
from fold_pool import check_backend, check_n_jobs, check_threads
from hub_access import local_path
from qa import PRECISIONS
from splits import GROUP_BY
from squad_sources import DEMO_SOURCE, FILE_SUFFIXES
from windows import check_window_size

PROJECT_ROOT = Path(__file__).resolve().parent
# Fields of TrainingArguments that have a parameter of their own.
_SET_ELSEWHERE = {
    "output_dir": "folds_dir",
    "seed": "seed",
    "data_seed": "seed",
    "num_train_epochs": "num_train_epochs",
    "learning_rate": "learning_rate",
    "warmup_steps": "warmup_steps",
    "per_device_train_batch_size": "batch_size",
    "head_learning_rate": "head_learning_rate",
    "frozen_layers": "frozen_layers",
    "dropout": "dropout",
    "bf16": "precision",
    "use_cpu": "CUDA_VISIBLE_DEVICES of the environment",
}
# Fields of TrainingArguments that do not fit what is done here, beginnings of names, and why.
_REFUSED = {
    ("push_to_hub", "hub_", "trackio_"): "nothing leaves this machine; publish a fold's folder yourself",
    ("report_to", "project", "run_name"): "nothing is reported elsewhere; losses and metrics are in run.json",
    ("save_", "load_best_model_at_end", "resume_from_checkpoint", "restore_", "ignore_data_skip", "enable_jit_"): (
        "each fold is saved once, whole, and starts from model_checkpoint"
    ),
    (
        "eval_",
        "do_",
        "per_device_eval_",
        "metric_for_",
        "greater_is_",
        "include_for_",
        "batch_eval_",
        "prediction_loss_",
    ): ("a fold is measured when its training has ended"),
    ("label_smoothing_factor", "label_names", "remove_unused_columns", "length_column_name"): (
        "the labels are read as the model's loss needs them"
    ),
    ("deepspeed", "fsdp", "parallelism_config", "accelerator_config", "ddp_", "local_rank"): (
        "a fold is trained by one process"
    ),
}
_LONGEST_SHOWN = 200
_LARGEST_SEED = 2**32 - 1  # what scikit-learn takes


class ParameterError(ValueError):
    """Raised when notebook parameters are unknown, missing, of the wrong type or out of range."""


def _integer(low: int, high: int | None = None, *, optional: bool = False) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        if optional and value is None:
            return None
        good = isinstance(value, int) and not isinstance(value, bool)
        if good and high is not None and value > high:
            return f"an integer of at most {high}" + _or_none(optional)
        return None if good and value >= low else f"an integer of at least {low}" + _or_none(optional)

    return check


def _number(low: float, high: float = math.inf, *, above: bool = False, optional: bool = False):
    def check(value: object) -> str | None:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        good = good and low <= value <= min(high, sys.float_info.max) and not (above and value == low)
        upper = "" if high == math.inf else f" and at most {high:g}"
        expected = f"a number {'above' if above else 'of at least'} {low:g}{upper}"
        return None if good or (optional and value is None) else expected + _or_none(optional)

    return check


def _one_of(*choices: object) -> Callable[[object], str | None]:
    return lambda value: None if value in choices else "one of " + ", ".join(map(repr, choices))


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return "a text that is not empty"
    return None if _can_be_saved(value) and "\0" not in value else "a text of Unicode characters"


def _can_be_saved(value: object) -> bool:
    """Return whether run.json can hold a value: JSON has no NaN, and UTF-8 no half of a surrogate pair."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _optional_text(value: object) -> str | None:
    expected = _text(value)
    return expected and (None if value is None else expected + _or_none(True))


def _truth(value: object) -> str | None:
    return None if isinstance(value, bool) else "True or False"


def _arguments(value: object) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return "a dict of transformers.TrainingArguments fields"
    known = {known.name: known.type for known in fields(TrainingArguments)}
    for name, given in value.items():
        if name in _SET_ELSEWHERE:
            return f"fields that no other parameter sets (not {name!r}: use {_SET_ELSEWHERE[name]})"
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            return f"fields that transformers.TrainingArguments has (not {name!r}{hint})"
        for beginnings, reason in _REFUSED.items():
            if name.startswith(beginnings):
                return f"fields that fit this project (not {name!r}: {reason})"
        check = {bool: _truth, int: _integer(-1), float: _number(-math.inf)}.get(known[name])
        if check and check(given):
            return f"{check(given)} as {name!r}"
    return None if _can_be_saved(value) else "values that JSON can hold"


def _fold_indices(value: object) -> str | None:
    good = value is None or (isinstance(value, list) and all(isinstance(number, int) for number in value))
    return None if good else "a list of the numbers of folds, such as [0], or None"


def _label_map(value: object) -> str | None:
    try:
        check_label_map(value)
    except ValueError as error:
        return str(error).removeprefix("label_map: expected ").split(", found ")[0]
    return None


def _or_none(optional: bool) -> str:
    return " or None" if optional else ""


def _checked(check: Callable[[object], str | None], path: str | None = None):
    """Declare a parameter; `path`: a "folder" is written to, a "file" must be there, a "source" may be a path."""
    return field(metadata={"check": check, "path": path})


class _NotebookParameters:
    """What dataclasses of notebook parameters have in common; a field is `_checked`."""

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, object]) -> Self:
        """Take the parameters from a notebook's variables.

        Parameters
        ----------
        namespace : mapping
            `globals()` of the notebook, after the parameters cell and the one that papermill injects.

        Returns
        -------
        TrainingParameters or ReviewParameters
            Relative paths are taken from the project's root, wherever the notebook runs.

        Raises
        ------
        ParameterError
            Names every parameter that is unknown, missing or wrong.
        """
        return cls.from_values(namespace, assigned_names(namespace, [parameter.name for parameter in fields(cls)]))

    @classmethod
    def from_values(cls, namespace: Mapping[str, object], given: Sequence[str]) -> Self:
        """Take the parameters from a mapping that may hold other names too.

        Parameters
        ----------
        namespace : mapping
        given : sequence of str
            Names that somebody meant as parameters.

        Returns
        -------
        TrainingParameters or ReviewParameters

        Raises
        ------
        ParameterError
            As `from_notebook`.
        """
        known = [parameter.name for parameter in fields(cls)]
        problems = [_unknown(name, known) for name in given if name not in known]
        problems += [f"{name}: missing; run the parameters cell first" for name in known if name not in namespace]
        for parameter in fields(cls):
            if parameter.name in namespace:
                value = namespace[parameter.name]
                expected = parameter.metadata["check"](value)
                problems += [f"{parameter.name}: expected {expected}, found {_found(value)}"] if expected else []
        if not problems:
            problems = [problem for name in cls._paths("source", "folder", "file") if namespace[name]
                        for problem in _path_problems(name, namespace[name])]  # fmt: skip
        if not problems:
            problems = cls._contradictions(namespace)
            problems += [
                f"{name}: {namespace[name]!r} is in the working directory, but relative paths start at the project's "
                f"root ({PROJECT_ROOT}); give the absolute path"
                for name in cls._paths("source")
                if _is_only_here(from_project_root(namespace[name], always=False))
            ]
            problems += [
                f"{name}: no such file: {path} (relative paths start at the project's root)"
                for name in cls._paths("file")
                if namespace[name] and not (path := Path(from_project_root(namespace[name]))).is_file()
            ]
        if problems:
            raise ParameterError("the parameters of this notebook are wrong:\n  " + "\n  ".join(problems))
        values = {name: namespace[name] for name in known}
        for name in cls._paths("source"):
            values[name] = from_project_root(values[name], always=False)
        for name in cls._paths("folder", "file"):
            values[name] = values[name] and from_project_root(values[name])
        return cls(**values)

    @staticmethod
    def _contradictions(namespace: Mapping[str, object]) -> list[str]:
        return []

    @classmethod
    def _paths(cls, *kinds: str) -> list[str]:
        return [parameter.name for parameter in fields(cls) if parameter.metadata["path"] in kinds]

    def prepare_folders(self) -> None:
        """Create the folders that are written to; raises OSError if one cannot be written."""
        for name in self._paths("folder"):
            check_writable(getattr(self, name))

    def as_json(self) -> dict:
        """Return the parameters as they are recorded: paths inside the project without its folder."""
        values = asdict(self)
        for name in self._paths("source", "folder", "file"):
            if values[name] and Path(values[name]).is_relative_to(PROJECT_ROOT):
                values[name] = str(Path(values[name]).relative_to(PROJECT_ROOT))
        return values


@dataclass(frozen=True)
class TrainingParameters(_NotebookParameters):
    """The parameters of `span_categorizer_training.ipynb`; its parameters cell says what each is for."""

    dataset: str = _checked(_text, path="source")
    num_examples: int | None = _checked(_integer(2, optional=True))
    on_invalid: str = _checked(_one_of("raise", "drop"))
    answers: str = _checked(_one_of("first", "all"))
    label_map: dict = _checked(_label_map)
    num_splits: int = _checked(_integer(2))
    group_by: str = _checked(_one_of(*GROUP_BY))
    shuffle: bool = _checked(_truth)
    model_checkpoint: str = _checked(_text, path="source")
    max_length: int = _checked(_integer(5))
    doc_stride: int | None = _checked(_integer(0, optional=True))
    num_train_epochs: float = _checked(_number(0, above=True))
    learning_rate: float = _checked(_number(0, above=True))
    head_learning_rate: float | None = _checked(_number(0, above=True, optional=True))
    warmup_steps: float = _checked(_number(0))
    batch_size: int = _checked(_integer(1))
    frozen_layers: int = _checked(_integer(0))
    dropout: float | None = _checked(_number(0, 0.99, optional=True))
    training_arguments: dict = _checked(_arguments)
    precision: str = _checked(_one_of(*PRECISIONS))
    seed: int = _checked(_integer(0, _LARGEST_SEED))
    n_jobs: int | None = _checked(check_n_jobs)
    threads_per_fold: int | None = _checked(check_threads)
    parallel_backend: str | None = _checked(check_backend)
    only_folds: list | None = _checked(_fold_indices)
    folds_dir: str = _checked(_text, path="folder")
    outputs_dir: str = _checked(_text, path="folder")
    examples_per_shard: int | None = _checked(_integer(1, optional=True))

    @staticmethod
    def _contradictions(namespace: Mapping[str, object]) -> list[str]:
        problems = []
        if namespace["only_folds"] is not None:
            try:
                check_fold_indices(namespace["only_folds"], namespace["num_splits"])
            except ValueError as error:
                problems.append(str(error))
        try:
            check_window_size(namespace["max_length"], namespace["doc_stride"] or 0)
        except ValueError as error:
            problems.append(str(error))
        folders = {name: Path(from_project_root(namespace[name])) for name in ("folds_dir", "outputs_dir")}
        if folders["folds_dir"] == folders["outputs_dir"]:
            problems.append(f"outputs_dir: expected another folder than folds_dir, found {namespace['outputs_dir']!r}")
        for source in ("dataset", "model_checkpoint"):
            read = Path(from_project_root(namespace[source], always=False))
            # What is read must stay as it is; nothing is written into a folder without the wish to.
            for name, folder in folders.items():
                if read.is_absolute() and read.is_dir() and folder.is_relative_to(read.resolve()):
                    problems.append(f"{name}: expected a folder outside of {source}, {read}, found {namespace[name]!r}")
        return problems

    def split_options(self) -> dict:
        """Return what `cross_validation.make_splits` takes."""
        return {name: getattr(self, name) for name in ("num_splits", "group_by", "shuffle", "seed")}

    def pool_options(self) -> dict:
        """Return where `cross_validation.out_of_fold_predictions` makes folds, and how many at once."""
        return {name: getattr(self, name) for name in ("n_jobs", "threads_per_fold", "parallel_backend")}

    def train_options(self) -> dict:
        """Return what `spanbert.QATrainer.train` takes."""
        names = (
            "num_train_epochs", "learning_rate", "head_learning_rate", "warmup_steps", "frozen_layers", "dropout",
        )  # fmt: skip
        options = {name: getattr(self, name) for name in names}
        return {**options, "per_device_train_batch_size": self.batch_size, **self.training_arguments}


@dataclass(frozen=True)
class ReviewParameters(_NotebookParameters):
    """The parameters of `find_label_errors_in_span_classification_dataset.ipynb`."""

    outputs_dir: str = _checked(_text, path="folder")
    worst: int = _checked(_integer(1))
    seed: int = _checked(_integer(0, _LARGEST_SEED))
    known_errors: str | None = _checked(_optional_text, path="file")
    decisions: str | None = _checked(_optional_text, path="file")


def assigned_names(namespace: Mapping[str, object], known: Sequence[str]) -> list[str]:
    """Return the names that the notebook's parameters cell and papermill's injected cell assign.

    papermill only warns of a parameter that the notebook does not know, and a typing error in the
    cell itself would go unnoticed. Both cells are found among the notebook's inputs: the injected one
    by the comment that papermill starts it with, the other because it annotates known parameters. Of
    each kind, the one that ran last counts.
    """
    injected, own = [], []
    for source in namespace.get("In", []):
        try:
            statements = ast.parse(source).body
        except SyntaxError:
            continue  # a cell with a magic command
        plain = [target for node in statements if isinstance(node, ast.Assign) for target in node.targets]
        annotated = [node.target for node in statements if isinstance(node, ast.AnnAssign)]
        names = [target.id for target in (*plain, *annotated) if isinstance(target, ast.Name)]
        if source.startswith("# Parameters\n"):
            injected = names
        elif {target.id for target in annotated if isinstance(target, ast.Name)} & set(known):
            own = names
    return own + injected


def from_project_root(path: str, *, always: bool = True) -> str:
    """Return a relative path as an absolute one below the project's root.

    Parameters
    ----------
    path : str
    always : bool
        If false, only what is there, or can be nothing but a path; a name on the Hub stays as it is.
    """
    is_path = path.startswith((".", "~")) or path.endswith(FILE_SUFFIXES) or (PROJECT_ROOT / path).exists()
    if not (always or (is_path and path not in (DEMO_SOURCE, EMBEDDED_BACKBONE))):
        return path
    return str((PROJECT_ROOT / Path(path).expanduser()).resolve())


def _path_problems(name: str, path: str) -> list[str]:
    try:
        local_path(path)
    except ValueError as error:
        return [f"{name}: {error}"]
    return []


def _is_only_here(path: str) -> bool:
    return not Path(path).is_absolute() and path not in (DEMO_SOURCE, EMBEDDED_BACKBONE) and Path(path).exists()


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
    return f"{name}: no such parameter; {hint}"


def _found(value: object) -> str:
    hint = ""
    if isinstance(value, str) and _is_literal(value):
        # papermill's -p passes true, none and lists as text, and so it does with NumPy's numbers.
        hint = ", a text; with papermill give numbers bare, and other values as -y 'name: value'"
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"
    return f"{shown} ({type(value).__name__}{hint})"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval({"true": "True", "false": "False", "none": "None", "null": "None"}.get(text.lower(), text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
