"""The parameters of the training notebook and of the `fold` command: names, types, ranges, defaults and help."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from span_label_errors.cross_validation.pool import FoldPool
from span_label_errors.cross_validation.splits import GROUP_BY, check_num_splits
from span_label_errors.data.labelling import labelling_of
from span_label_errors.data.squad import ON_INVALID
from span_label_errors.model.qa import PRECISIONS, QA
from span_label_errors.model.recipes import recipe_for
from span_label_errors.model.training_loop import check_training_arguments
from span_label_errors.model.windows import check_window_size
from span_label_errors.notebook.settings import (
    EMBEDDED_NAMES,
    LARGEST_SEED,
    Folder,
    OptionalNumber,
    ParameterError,
    Parameters,
    Source,
    field,
)
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


def _checked_by_pool(value: object, info: ValidationInfo) -> object:
    FoldPool(**{info.field_name: value})
    return value


_Revision = Annotated[str, Field(min_length=1)]
_LabelMap = Annotated[dict, AfterValidator(check_label_map)]
_NumSplits = Annotated[int, AfterValidator(check_num_splits)]
_Arguments = Annotated[dict, AfterValidator(_training_arguments)]
_Count = Annotated[int | None, AfterValidator(_checked_by_pool)]
_Backend = Annotated[str | None, AfterValidator(_checked_by_pool)]


class TrainingParameters(Parameters):
    """The parameters of `span_categorizer_training.ipynb` and of the `fold` command."""

    # data
    dataset: Source = field(
        "demo", '"demo", "demo-entities", a file (.json, .parquet, .conll), a folder, or "squad:train" (Hub)'
    )
    dataset_revision: _Revision | None = field(None, "branch, tag or commit of a data set on the Hub")
    num_examples: int | None = field(None, "use only the first examples; None for all", ge=2)
    on_invalid: Literal[*ON_INVALID] = field(
        "raise", '"raise" an error about invalid examples, "drop" them, or "repair" what is certain'
    )
    answers: Literal["first", "all", "each"] | None = field(
        None, 'label the "first" or "all", or judge "each" annotator\'s; None: "all" without a question'
    )
    label_map: _LabelMap | None = field(
        None, 'class names and columns, {"O": 0, "ANS": 1}; None: the classes of the data'
    )

    # model and training
    model_checkpoint: Source = field(
        "embedded", '"embedded" (reads English), "embedded-backbone", a folder, or a model on the Hub'
    )
    model_revision: _Revision | None = field(None, "branch, tag or commit of a checkpoint on the Hub")
    max_length: int = field(384, "tokens of a window, question included; longer contexts take several windows", ge=5)
    doc_stride: int | None = field(
        None, "context tokens that neighbouring windows share; None for a third of a window", ge=0
    )
    num_train_epochs: OptionalNumber = field(
        None, "passes over the examples; None: 1 (trained head), 4 (new one), 3 (large)", gt=0
    )
    learning_rate: OptionalNumber = field(
        None, "of the encoder; None: 1e-4 (trained head), 3e-4 (new one), 3e-5 (large)", gt=0
    )
    head_learning_rate: OptionalNumber = field(None, "that of a new head; None: 1e-2, 1e-3 (large)", gt=0)
    warmup_steps: OptionalNumber = field(
        None, "steps of rising learning rate; below 1, a share of all steps; None: 0.1", ge=0
    )
    batch_size: int = field(8, "windows per training step", ge=1)
    frozen_layers: int | None = field(
        None, "keep embeddings and this many lowest layers; None: a third, at most 2, 0 (large)", ge=0
    )
    dropout: OptionalNumber = field(None, "dropout probability; None: 0, the checkpoint's own (large)", ge=0, le=0.99)
    training_arguments: _Arguments = field({}, "other TrainingArguments that shape the training, such as weight_decay")
    precision: Literal[*PRECISIONS] = field(
        "auto", 'of matrix products: "float32", "bfloat16", or "auto": bfloat16 on a GPU that has it'
    )
    seed: int = field(0, "everything random is derived from it", ge=0, le=LARGEST_SEED)

    # folds
    num_splits: _NumSplits = field(
        3, "number of folds, one model each; 0: no training, the checkpoint predicts as it is"
    )
    group_by: Literal[*GROUP_BY] = field(
        "context", 'keep together examples of one "context", of one "title", or "none"'
    )
    shuffle: bool = field(True, "put groups into folds at random rather than in order")
    n_jobs: _Count = field(None, "folds at once; None: one, or as many as fit on GPUs; -1: as there is room")
    threads_per_fold: _Count = field(None, "cores a fold computes on; None for its share")
    parallel_backend: _Backend = field(None, 'a cluster that is running: "ray" or "dask", or "dask:tcp://HOST:PORT"')

    # where things go
    folds_dir: Folder = field("folds", "finished folds are kept here and reused")
    outputs_dir: Folder = field("outputs", "results are written here")

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
            if given is not None and (read in EMBEDDED_NAMES or Path(read).is_absolute()):
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
