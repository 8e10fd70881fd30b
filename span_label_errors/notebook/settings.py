"""The parameters of the notebooks and of the `fold` command: names, types, ranges, defaults and help, in one place.

A test compares the parameters cell of each notebook, and the table in the documentation, with the classes here.
"""

import ast
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    model_validator,
)

from span_label_errors.cross_validation.pool import FoldPool
from span_label_errors.cross_validation.splits import GROUP_BY, check_num_splits
from span_label_errors.data.hub import local_path
from span_label_errors.data.labelling import labelling_of
from span_label_errors.data.messages import describe
from span_label_errors.data.sources import DEMO_ERRORS, DEMOS, FILE_SUFFIXES, read_known_errors
from span_label_errors.data.squad import ON_INVALID
from span_label_errors.data.write import suffix_of
from span_label_errors.files import check_writable, clone_root, project_root
from span_label_errors.model.checkpoints import EMBEDDED
from span_label_errors.model.qa import PRECISIONS, QA
from span_label_errors.model.recipes import recipe_for
from span_label_errors.model.training_loop import check_training_arguments
from span_label_errors.model.windows import check_window_size
from span_label_errors.spans.alignment import check_label_map

# Fields of TrainingArguments that are set by a parameter of another name, or elsewhere.
_SET_ELSEWHERE = {
    "output_dir": "folds_dir",
    "data_seed": "seed",
    "per_device_train_batch_size": "batch_size",
    "bf16": "precision",
    "use_cpu": "CUDA_VISIBLE_DEVICES of the environment",
}
# Where these are None, the checkpoint decides.
_OF_RECIPE = (
    "num_train_epochs", "learning_rate", "head_learning_rate", "warmup_steps", "frozen_layers", "dropout",
)  # fmt: skip
_EMBEDDED = (*DEMOS, *EMBEDDED)


class ParameterError(ValueError):
    """Raised when parameters are unknown, of the wrong type, out of range, or contradict each other."""


def _training_arguments(given: dict) -> dict:
    for name in given:
        if name in _SET_ELSEWHERE or name in TrainingParameters.model_fields:
            raise ValueError(f"{name!r} is set elsewhere; use {_SET_ELSEWHERE.get(name, name)}")
    check_training_arguments(given)
    try:
        json.dumps(given, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected values that JSON can hold, as run.json records them, found {given!r}") from error
    return given


def _source(source: str) -> str:
    found = source_path(source)
    if found not in _EMBEDDED and not Path(found).is_absolute() and Path(found).exists():
        raise ValueError(
            f"{source!r} is in the working directory, but relative paths start at the project's root "
            f"({project_root()}); give the absolute path"
        )
    return found


def _absolute(path: str) -> str:
    return str((project_root() / local_path(path)).resolve())


def _file(path: str) -> str:
    file = _absolute(path)
    if not Path(file).is_file():
        raise ValueError(f"no such file: {file} (relative paths start at the project's root)")
    return file


def _checked_by_pool(value: object, info: ValidationInfo) -> object:
    FoldPool(**{info.field_name: value})
    return value


def _as_given(value: object, validate: Callable[[object], object]) -> object:
    # A whole number stays one: a fold's key tells 4 from 4.0, and so must not depend on who passed it on.
    validate(value)
    return value


def _field(default: object, description: str, **limits: float) -> object:
    return Field(default, description=description, **limits)


_Revision = Annotated[str, Field(min_length=1)]
_Source = Annotated[str, AfterValidator(_source)]  # a path, or the name of something embedded or on the Hub
_Folder = Annotated[str, AfterValidator(_absolute)]  # written to
_File = Annotated[str, AfterValidator(_file)]  # must be there
_LabelMap = Annotated[dict, AfterValidator(check_label_map)]
_NumSplits = Annotated[int, AfterValidator(check_num_splits)]
_Arguments = Annotated[dict, AfterValidator(_training_arguments)]
_Count = Annotated[int | None, AfterValidator(_checked_by_pool)]
_Backend = Annotated[str | None, AfterValidator(_checked_by_pool)]
_Number = Annotated[float, WrapValidator(_as_given)]
_OptionalNumber = Annotated[float | None, WrapValidator(_as_given)]
_LARGEST_SEED = 2**32 - 1  # what scikit-learn takes


class _Parameters(BaseModel):
    """What the classes of parameters have in common; relative paths become absolute, from the project's root."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, object]) -> Self:
        """Take the parameters from `globals()` of a notebook, after the parameters cell and papermill's.

        Raises
        ------
        ParameterError
            Names every parameter that is unknown or wrong, or that the cell does not set.
        """
        names = [*cls.model_fields, *_injected_names(namespace)]
        found = cls.from_values({name: namespace[name] for name in names if name in namespace})
        missing = [name for name in cls.model_fields if name not in namespace]
        if missing:
            raise ParameterError(
                f"{', '.join(missing)}: expected in the parameters cell, found no variable of that name"
            )
        return found

    @classmethod
    def from_values(cls, given: Mapping[str, object]) -> Self:
        """Take the given parameters, and the defaults of the others; raises ParameterError as `from_notebook`."""
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            # Unknown names first: one may be what was meant by a value that does not fit.
            details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
            problems = "\n  ".join(_problem(detail, cls.model_fields) for detail in details)
            raise ParameterError(f"the parameters are wrong:\n  {problems}") from None

    def prepare_folders(self) -> None:
        """Create the folders that are written to; raises OSError if one cannot be written."""
        for name, value in self:
            if name.endswith("_dir"):
                check_writable(value)

    def as_json(self) -> dict:
        """Return the parameters as they are recorded: paths inside a clone without its folder, others absolute."""
        record, root = self.model_dump(), clone_root()
        for name, value in record.items():
            # Outside a clone, a relative path would mean another file in another working directory.
            if root and isinstance(value, str) and Path(value).is_relative_to(root):
                record[name] = str(Path(value).relative_to(root))
        return record


class TrainingParameters(_Parameters):
    """The parameters of `span_categorizer_training.ipynb` and of the `fold` command."""

    # data
    dataset: _Source = _field(
        "demo", '"demo", "demo-entities", a file (.json, .parquet, .conll), a folder, or "squad:train" (Hub)'
    )
    dataset_revision: _Revision | None = _field(None, "branch, tag or commit of a data set on the Hub")
    num_examples: int | None = _field(None, "use only the first examples; None for all", ge=2)
    on_invalid: Literal[*ON_INVALID] = _field(
        "raise", '"raise" an error about invalid examples, "drop" them, or "repair" what is certain'
    )
    answers: Literal["first", "all", "each"] | None = _field(
        None, 'label the "first" or "all", or judge "each" annotator\'s; None: "all" without a question'
    )
    label_map: _LabelMap | None = _field(
        None, 'class names and columns, {"O": 0, "ANS": 1}; None: the classes of the data'
    )

    # model and training
    model_checkpoint: _Source = _field(
        "embedded", '"embedded" (reads English), "embedded-backbone", a folder, or a model on the Hub'
    )
    model_revision: _Revision | None = _field(None, "branch, tag or commit of a checkpoint on the Hub")
    max_length: int = _field(384, "tokens of a window, question included; longer contexts take several windows", ge=5)
    doc_stride: int | None = _field(
        None, "context tokens that neighbouring windows share; None for a third of a window", ge=0
    )
    num_train_epochs: _OptionalNumber = _field(
        None, "passes over the examples; None: 1 (trained head), 4 (new one), 3 (large)", gt=0
    )
    learning_rate: _OptionalNumber = _field(
        None, "of the encoder; None: 1e-4 (trained head), 3e-4 (new one), 3e-5 (large)", gt=0
    )
    head_learning_rate: _OptionalNumber = _field(None, "that of a new head; None: 1e-2, 1e-3 (large)", gt=0)
    warmup_steps: _OptionalNumber = _field(
        None, "steps of rising learning rate; below 1, a share of all steps; None: 0.1", ge=0
    )
    batch_size: int = _field(8, "windows per training step", ge=1)
    frozen_layers: int | None = _field(
        None, "keep embeddings and this many lowest layers; None: a third, at most 2, 0 (large)", ge=0
    )
    dropout: _OptionalNumber = _field(None, "dropout probability; None: 0, the checkpoint's own (large)", ge=0, le=0.99)
    training_arguments: _Arguments = _field({}, "other TrainingArguments that shape the training, such as weight_decay")
    precision: Literal[*PRECISIONS] = _field(
        "auto", 'of matrix products: "float32", "bfloat16", or "auto": bfloat16 on a GPU that has it'
    )
    seed: int = _field(0, "everything random is derived from it", ge=0, le=_LARGEST_SEED)

    # folds
    num_splits: _NumSplits = _field(
        3, "number of folds, one model each; 0: no training, the checkpoint predicts as it is"
    )
    group_by: Literal[*GROUP_BY] = _field(
        "context", 'keep together examples of one "context", of one "title", or "none"'
    )
    shuffle: bool = _field(True, "put groups into folds at random rather than in order")
    n_jobs: _Count = _field(
        None, "folds at once; None: one after the other, or as many as fit on GPUs; -1: as there is room"
    )
    threads_per_fold: _Count = _field(None, "cores a fold computes on; None for its share")
    parallel_backend: _Backend = _field(None, 'a cluster that is running: "ray" or "dask", or "dask:tcp://HOST:PORT"')

    # where things go
    folds_dir: _Folder = _field("folds", "finished folds are kept here and reused")
    outputs_dir: _Folder = _field("outputs", "results are written here")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = []
        try:
            check_window_size(self.max_length, self.doc_stride or 0)
        except ValueError as error:
            problems.append(str(error))
        if self.folds_dir == self.outputs_dir:
            problems.append(f"outputs_dir: expected another folder than folds_dir, found {self.outputs_dir!r}")
        for source, revision in (("dataset", "dataset_revision"), ("model_checkpoint", "model_revision")):
            read, given = getattr(self, source), getattr(self, revision)
            if given is not None and (read in _EMBEDDED or Path(read).is_absolute()):
                problems.append(
                    f"{revision}: expected None, since {source} is {read!r}, which is not on the Hub, found {given!r}"
                )
            # What is read must stay as it is.
            for name in ("folds_dir", "outputs_dir"):
                if Path(getattr(self, name)).is_relative_to(read):
                    problems.append(
                        f"{name}: expected a folder outside of {source}, {read}, found {getattr(self, name)!r}"
                    )
        if problems:
            raise ValueError("\n  ".join(problems))
        return self

    def load_options(self) -> dict:
        """Return what `load_squad` takes."""
        options = self.model_dump(include={"num_examples", "on_invalid"})
        return {"source": self.dataset, "revision": self.dataset_revision, **options}

    def for_data(self, dataset: Sequence[dict]) -> Self:
        """Return these parameters with what the loaded data say, where `answers` and `label_map` are None.

        Raises ParameterError if they contradict the data.
        """
        found = labelling_of(dataset)
        if found["answers"] == "all" and self.answers not in (None, "all"):
            why = {
                "first": "all spans of a text are labels, not the first of each class alone",
                "each": "annotators of spans without a question are not compared",
            }
            raise ParameterError(
                f'answers: expected "all" or None, since the data have no questions, found "{self.answers}"; '
                f"{why[self.answers]}"
            )
        return self.model_copy(update={name: value for name, value in found.items() if getattr(self, name) is None})

    def qa_options(self) -> dict:
        """Return what `spanbert.QA` takes."""
        options = self.model_dump(include={"label_map", "max_length", "doc_stride", "answers", "seed", "precision"})
        return {"model_path": self.model_checkpoint, "revision": self.model_revision, **options}

    def split_options(self) -> dict:
        """Return what `make_splits` takes."""
        return self.model_dump(include={"num_splits", "group_by", "shuffle", "seed"})

    def pool_options(self) -> dict:
        """Return where `out_of_fold_predictions` makes folds, and how many at once."""
        return self.model_dump(include={"n_jobs", "threads_per_fold", "parallel_backend"})

    def recipe(self, qa: QA) -> dict:
        """Return the parameters that shape the training; where one is None, what suits the checkpoint of `qa`."""
        rest = {**recipe_for(qa.checkpoint, qa.has_head)}
        del rest["per_device_train_batch_size"]
        given = {name: getattr(self, name) for name in _OF_RECIPE}
        picked = {name: rest.pop(name) for name in _OF_RECIPE}
        return {
            **{name: picked[name] if value is None else value for name, value in given.items()},
            "training_arguments": {**rest, **self.training_arguments},
        }

    def train_options(self, qa: QA) -> dict:
        """Return what `spanbert.QATrainer.train` takes."""
        shaping = self.recipe(qa)
        others = shaping.pop("training_arguments")
        return {"per_device_train_batch_size": self.batch_size, **shaping, **others}

    def trial_options(self, qa: QA) -> dict:
        """Return the same, with the seed, for one pass over a few examples."""
        return {**self.train_options(qa), "num_train_epochs": 1, "max_steps": -1, "seed": self.seed}


class ReviewParameters(_Parameters):
    """The parameters of `find_label_errors_in_span_classification_dataset.ipynb`."""

    outputs_dir: _Folder = _field("outputs", "where the first notebook wrote its files; this one adds its own")
    threshold: _Number = _field(0.5, "a label of a lower quality is an issue", ge=0, le=1)
    worst: int = _field(100, "how many of the worst examples are exported for annotation tools", ge=1)
    seed: int = _field(0, "everything random is derived from it", ge=0, le=_LARGEST_SEED)
    known_errors: _File | None = _field(None, "a JSON list of objects with the id of each known error; demos have one")
    decisions: _File | None = _field(
        None, "what reviewers decided: Label Studio's or doccano's export, or the reviewed CSV"
    )

    def known_error_ids(self, dataset: str) -> list[str]:
        """Return the ids that `known_errors` lists, or those of the errors of an embedded data set."""
        file = self.known_errors or DEMO_ERRORS.get(dataset)
        return list(read_known_errors(file)) if file else []

    def corrected_files(self, source: str) -> tuple[Path, Path]:
        """Return where the corrected data set, in the source's form, and the list of changes go.

        If the source is a data set that was corrected there, they get the next number.
        """
        outputs_dir, number = Path(self.outputs_dir), 1
        path = Path(source)
        if path.is_absolute() and path.resolve().parent == outputs_dir:
            last_round = re.fullmatch(r"corrected(?:-([0-9]+))?(?:\.[a-z]+)?", path.resolve().name)
            number = int(last_round[1] or 1) + 1 if last_round else 1
        of_round = f"-{number}" if number > 1 else ""
        return outputs_dir / f"corrected{of_round}{suffix_of(source)}", outputs_dir / f"changes{of_round}.json"

    @staticmethod
    def apply_options(run: dict) -> dict:
        """Return what `apply_decisions` takes of how a run, whose `run.json` is given, has read its data."""
        names = {"answers": "answers", "on_invalid": "on_invalid", "revision": "dataset_revision"}
        return {to: run["parameters"][name] for to, name in names.items() if name in run["parameters"]}


def source_path(source: str) -> str:
    """Return a data set's or checkpoint's path as an absolute one; a name (embedded, or on the Hub) stays as it is."""
    path = _absolute(source)
    is_path = source.startswith((".", "~")) or source.endswith(FILE_SUFFIXES) or Path(path).exists()
    return path if is_path and source not in _EMBEDDED else source


def _injected_names(namespace: Mapping[str, object]) -> list[str]:
    """Return the names that papermill's cell assigns: papermill only warns if the notebook does not know one."""
    injected = [source for source in namespace.get("In", []) if source.startswith("# Parameters\n")]
    # If the cell ran several times, the last counts.
    statements = ast.parse(injected[-1]).body if injected else []
    return [ast.unparse(node.targets[0]) for node in statements if isinstance(node, ast.Assign)]


def _problem(detail: Mapping, known: Iterable[str]) -> str:
    """Return one of pydantic's errors as a line that names the parameter, what was expected and what was found."""
    name = detail["loc"][0] if detail["loc"] else ""
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
        return message if not name or message.startswith(f"{name}: ") else f"{name}: {message}"
    if detail["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
        return f"{name}: no such parameter; {hint}"
    problem = f"{name}: {detail['msg'].replace('Input should be', 'expected')}, found {describe(detail['input'])}"
    if detail["type"].endswith("_type") and isinstance(detail["input"], str):
        # papermill's -p passes true, none and lists as text, and so it does with NumPy's numbers.
        problem += "; with papermill give numbers bare, and other values as -y 'name: value'"
    return problem
