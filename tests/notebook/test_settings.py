"""The parameters: what is accepted, what is refused and how, and that nothing names them twice."""

import inspect
import json
import re

import nbformat
import numpy as np
import papermill
import pytest
import yaml
from conftest import ROOT
from papermill.translators import PythonTranslator

from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.data.squad import load_squad
from span_label_errors.notebook import settings as parameters
from span_label_errors.notebook.settings import (
    ParameterError,
    ReviewParameters,
    TrainingParameters,
    from_project_root,
    parameters_cell,
    parameters_table,
)
from span_label_errors.review.write import write_review_files
from spanbert import EMBEDDED_RECIPE, QA

NOTEBOOKS = {
    TrainingParameters: ROOT / "notebooks" / "span_categorizer_training.ipynb",
    ReviewParameters: ROOT / "notebooks" / "find_label_errors_in_span_classification_dataset.ipynb",
}
BOTH = pytest.mark.parametrize("model", NOTEBOOKS, ids=lambda model: model.__name__)
HINT = ", a text; with papermill give numbers bare, and other values as -y 'name: value'"


def defaults(model) -> dict:
    return {name: field.default for name, field in model.model_fields.items()}


def after_papermill(model, **given: object):
    """Take the parameters of a notebook into which papermill has injected some."""
    namespace = {**defaults(model), "In": ["", "import time", PythonTranslator.codify(given)]}
    exec(namespace["In"][-1], namespace)
    return model.from_notebook(namespace)


def problems_with(model=TrainingParameters, **given: object) -> list[str]:
    """Return the lines of the error that some values cause."""
    with pytest.raises(ParameterError) as caught:
        model.from_values(given)
    first, *lines = str(caught.value).split("\n  ")
    assert first == "the parameters are wrong:"
    return lines


# One owner: the cells, tables and signatures say what the model says


@BOTH
def test_cell_of_the_notebook_is_that_of_the_model(model):
    cells = nbformat.read(NOTEBOOKS[model], as_version=4).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert cell.source == parameters_cell(model)


@BOTH
def test_cell_assigns_the_defaults(model):
    namespace = {}
    exec(f"from typing import Optional\n{parameters_cell(model)}", namespace)
    assert {name: namespace[name] for name in model.model_fields} == defaults(model)


@BOTH
def test_papermill_finds_every_parameter_with_its_help(model):
    found = papermill.inspect_notebook(NOTEBOOKS[model])
    assert {name: parameter["help"] for name, parameter in found.items()} == {
        name: field.description for name, field in model.model_fields.items()
    }
    assert min(len(parameter["help"]) for parameter in found.values()) > 10


def test_papermill_finds_types_and_defaults():
    found = papermill.inspect_notebook(NOTEBOOKS[TrainingParameters])
    names = ("num_examples", "on_invalid", "label_map", "shuffle", "warmup_steps", "dropout", "parallel_backend")
    assert [(found[name]["inferred_type_name"], found[name]["default"]) for name in names] == [
        ("Optional[int]", "None"), ("str", '"raise"'), ("dict", '{"O": 0, "ANS": 1}'), ("bool", "True"),
        ("float", "0.1"), ("Optional[float]", "0.0"), ("Optional[str]", "None"),
    ]  # fmt: skip


def test_cell_is_in_four_groups():
    groups = re.findall(r"^# (.*)", parameters_cell(TrainingParameters), re.MULTILINE)
    assert groups == ["data", "model and training", "folds", "where things go"]
    assert "\n# " not in parameters_cell(ReviewParameters)


@BOTH
def test_documentation_has_the_table(model):
    assert "| `seed` | `0` | everything random is derived from it |" in parameters_table(model)
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    assert any(parameters_table(model) in text for text in texts)


@pytest.mark.parametrize(
    ("function", "model", "renamed", "own"),
    [
        (load_squad, TrainingParameters, {"source": "dataset", "revision": "dataset_revision"}, set()),
        # Not given, these are what the checkpoint was trained with.
        (QA, TrainingParameters, {"model_path": "model_checkpoint", "revision": "model_revision"},
         {"label_map", "max_length", "answers"}),
        (out_of_fold_predictions, TrainingParameters, {}, set()),
        (write_review_files, ReviewParameters, {}, set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_signatures_have_the_defaults_of_the_model(function, model, renamed, own):
    signature = {
        renamed.get(name, name): parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }
    shared = (signature.keys() & model.model_fields.keys()) - own
    assert shared >= set(renamed.values())
    assert {name: signature[name] for name in shared} == {name: defaults(model)[name] for name in shared}
    assert shared


def test_defaults_are_the_embedded_recipe():
    assert TrainingParameters.from_values({}).train_options() == EMBEDDED_RECIPE


# What is accepted


@BOTH
def test_defaults_are_accepted(model):
    found = model.from_notebook(defaults(model))
    assert found == model.from_values({})
    places = {name: str(ROOT / value) for name, value in defaults(model).items() if name.endswith("_dir")}
    assert found.model_dump() == {**defaults(model), **places}
    assert found.as_json() == defaults(model)


def test_configuration_of_the_published_tutorial_is_accepted():
    given = yaml.safe_load((ROOT / "notebooks" / "squad.yaml").read_text(encoding="utf-8"))
    assert after_papermill(TrainingParameters, **given).as_json() == {**defaults(TrainingParameters), **given}


@pytest.mark.parametrize(
    "given",
    [
        {"num_examples": 2, "num_splits": 2, "seed": 2**32 - 1, "max_length": 5, "doc_stride": 0},
        {"on_invalid": "drop", "answers": "all", "group_by": "title", "shuffle": False, "precision": "bfloat16"},
        {"label_map": {"PER": 2, "O": 1, "ANS": 0}, "training_arguments": {"weight_decay": 0.3, "tf32": None}},
        {"num_train_epochs": 0.01, "learning_rate": 1, "head_learning_rate": None, "warmup_steps": 0},
        {"batch_size": 1, "frozen_layers": 0, "dropout": 0.99, "n_jobs": -1, "threads_per_fold": 1},
        {"dropout": None, "n_jobs": 1, "parallel_backend": "dask:tcp://10.0.0.1:8786", "group_by": "none"},
        {"dataset": 'a "quoted" \\ name', "dataset_revision": "v1", "model_checkpoint": "org/name",
         "model_revision": "refs/pr/1"},
    ],
)  # fmt: skip
def test_values_at_the_edge_come_through_papermill_as_they_are(given):
    found = after_papermill(TrainingParameters, **given)
    for name, value in given.items():
        assert (getattr(found, name), type(getattr(found, name))) == (value, type(value)), name


def test_other_variables_of_the_notebook_are_ignored():
    namespace = {**defaults(TrainingParameters), "num_split": 3, "In": ["num_split = 3", "%time"], "np": np}
    assert TrainingParameters.from_notebook(namespace) == TrainingParameters.from_values({})


# What is refused

TEXT = "a text that is not empty"
WRONG = [
    ("dataset", " \n", TEXT),
    ("dataset_revision", "", TEXT),
    ("num_examples", 1, "an integer of at least 2 or None"),
    ("num_examples", True, "an integer of at least 2 or None"),
    ("on_invalid", None, "one of 'raise', 'drop'"),
    ("answers", ["first"], "one of 'first', 'all'"),
    ("label_map", {"ANS": 0, "PER": 1}, "'O' and at least one span class"),
    ("label_map", {"O": 0, "ANS": True}, "the columns 0 to 1"),
    ("model_checkpoint", None, "a text"),
    ("model_revision", 1, "a text or None"),
    ("max_length", 384.0, "an integer of at least 5"),
    ("doc_stride", -1, "an integer of at least 0 or None"),
    ("num_train_epochs", 0, "a number above 0"),
    ("learning_rate", float("nan"), "a number above 0"),
    ("head_learning_rate", 0, "a number above 0 or None"),
    ("warmup_steps", float("inf"), "a number of at least 0"),
    ("batch_size", 0, "an integer of at least 1"),
    ("frozen_layers", False, "an integer of at least 0"),
    ("dropout", 1.0, "a number of at least 0 and at most 0.99 or None"),
    ("training_arguments", ["fp16"], "a dict"),
    ("training_arguments", {"weight_decay": "0.1"}, "a valid number as 'weight_decay'"),
    ("precision", "bf16", "one of 'auto', 'float32', 'bfloat16'"),
    ("seed", 2**32, "an integer of at least 0 and at most 4294967295"),
    ("num_splits", 1, "an integer of at least 2"),
    ("group_by", "paragraph", "one of 'context', 'title', 'none'"),
    ("shuffle", 1, "True or False"),
    ("n_jobs", 0, "an integer of at least 1, -1 for as many as there is room for, or None"),
    ("threads_per_fold", 0, "an integer of at least 1, or None"),
    ("parallel_backend", "loky", '"ray" or "dask", with or without ":" and the cluster\'s address, or None'),
    ("folds_dir", 1, "a text"),
    ("outputs_dir", "", TEXT),
]
WRONG_REVIEW = [
    ("outputs_dir", None, "a text"),
    ("worst", 10.0, "an integer of at least 1"),
    ("seed", -1, "an integer of at least 0 and at most 4294967295"),
    ("known_errors", ["a.json"], "a text or None"),
    ("decisions", " ", TEXT),
]


@pytest.mark.parametrize(
    ("model", "name", "value", "expected"),
    [*((TrainingParameters, *row) for row in WRONG), *((ReviewParameters, *row) for row in WRONG_REVIEW)],
)
def test_wrong_value_is_refused(model, name, value, expected):
    (line,) = problems_with(model, **{name: value})
    assert line.startswith(f"{name}: expected {expected}, found {value!r}")


@pytest.mark.parametrize(("model", "table"), [(TrainingParameters, WRONG), (ReviewParameters, WRONG_REVIEW)])
def test_tables_of_wrong_values_cover_every_parameter(model, table):
    assert {name for name, _, _ in table} == set(model.model_fields)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [("num_examples", "null", HINT), ("shuffle", "False", HINT), ("training_arguments", "[1,2]", HINT),
     ("dropout", "1e-1", HINT), ("num_splits", "three", ""), ("dropout", "0.1 %", "")],
)  # fmt: skip
def test_value_given_as_text_is_refused_with_a_hint(name, value, hint):
    (line,) = problems_with(**{name: value})
    assert line.endswith(f"found {value!r} (str{hint})")


def test_numpy_number_that_papermill_passes_as_text_is_refused_with_a_hint():
    with pytest.raises(ParameterError) as caught:
        after_papermill(TrainingParameters, num_splits=np.int64(3))
    assert str(caught.value).endswith(f"num_splits: expected an integer of at least 2, found '3' (str{HINT})")


def test_all_problems_are_reported_at_once_unknown_names_first():
    assert problems_with(batch_size=0, shuffle="yes", num_split=5, zzz=1) == [
        "num_split: no such parameter; did you mean 'num_splits'?",
        f"zzz: no such parameter; known are {', '.join(TrainingParameters.model_fields)}",
        "batch_size: expected an integer of at least 1, found 0 (int)",
        "shuffle: expected True or False, found 'yes' (str)",
    ]


@pytest.mark.parametrize(
    ("inputs", "unknown"),
    [
        (["seed: int = 1\nnum_split: int = 2"], ["num_split"]),  # a typing error in the parameters cell
        (["seed: int = 1\nnum_split: int = 2", "seed: int = 1", "x: int = 3"], []),  # which was mended
        (["# Parameters\nworse = 1\n", "print('# Parameters')"], ["worse"]),  # papermill's cell
        (["# Parameters\nworse = 1\n", "# Parameters\nseed = 1\n"], []),
    ],
)
def test_names_of_the_cells_that_ran_last_must_be_parameters(inputs, unknown):
    namespace = {**defaults(TrainingParameters), "num_split": 2, "worse": 1, "x": 3, "In": inputs}
    try:
        TrainingParameters.from_notebook(namespace)
        problems = []
    except ParameterError as error:
        problems = str(error).split("\n  ")[1:]
    assert [line.partition(": no such parameter")[0] for line in problems] == unknown


# Contradictions


@pytest.mark.parametrize(("max_length", "largest"), [(5, 0), (64, 30), (384, 190)])
def test_doc_stride_must_leave_room_to_advance(max_length, largest):
    # Three special tokens, and a question of at most half of the rest; one context token more than the overlap.
    TrainingParameters.from_values({"max_length": max_length, "doc_stride": largest})
    (line,) = problems_with(max_length=max_length, doc_stride=largest + 1)
    assert line.startswith(f"doc_stride: expected 0 to {largest} for max_length={max_length}")


@pytest.mark.parametrize(
    ("source", "revision", "value", "shown"),
    [
        ("dataset", "dataset_revision", "demo", "demo"),
        ("dataset", "dataset_revision", "data/demo-v1.1.json", str(ROOT / "data" / "demo-v1.1.json")),
        ("model_checkpoint", "model_revision", "embedded", "embedded"),
    ],
)
def test_revision_of_what_is_not_on_the_hub_is_refused(source, revision, value, shown):
    assert problems_with(**{source: value, revision: "v1"}) == [
        f"{revision}: expected None, since {source} is {shown!r} and only what is on the Hub has revisions, found 'v1'"
    ]


def test_contradictions_are_reported_at_once(tmp_path):
    lines = problems_with(folds_dir="x", outputs_dir="./x", doc_stride=191, dataset=str(ROOT))
    assert [line.partition(":")[0] for line in lines] == ["doc_stride", "outputs_dir", "folds_dir", "outputs_dir"]


# Paths


def test_relative_paths_are_taken_from_the_project_and_recorded_without_it(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project / "my_data", project / "mine", elsewhere):
        folder.mkdir(parents=True)
    monkeypatch.setattr(parameters, "project_root", lambda: project)
    monkeypatch.chdir(elsewhere)
    given = {
        "dataset": "my_data", "model_checkpoint": "./mine", "folds_dir": "some/folds", "outputs_dir": "../beside",
    }  # fmt: skip
    found = TrainingParameters.from_values(given)
    assert [getattr(found, name) for name in given] == [
        str(project / "my_data"), str(project / "mine"), str(project / "some" / "folds"),
        str(tmp_path / "beside"),
    ]  # fmt: skip
    record = json.loads(json.dumps(found.as_json()))
    assert [record[name] for name in given] == ["my_data", "mine", "some/folds", str(tmp_path / "beside")]
    assert TrainingParameters.from_notebook(record) == found
    found.prepare_folders()
    assert (project / "some" / "folds").is_dir() and (tmp_path / "beside").is_dir()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["demo", "embedded", "squad_v2:validation", "bert-base-cased", "org/name"])
def test_names_that_are_no_paths_are_left_alone(name, tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "project_root", lambda: tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "embedded").mkdir()
    found = TrainingParameters.from_values({"dataset": name, "model_checkpoint": name})
    assert (found.dataset, found.model_checkpoint) == (name, name)


@pytest.mark.parametrize(
    ("path", "found"),
    [("new.json", "{}/new.json"), ("sub/new.parquet", "{}/sub/new.parquet"), ("./new", "{}/new"),
     ("~/new", "{}/new"), ("/elsewhere/new", "/elsewhere/new"), ("new/new", "new/new")],
)  # fmt: skip
def test_what_can_only_be_a_path_is_one(path, found, tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "project_root", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert from_project_root(path, always=False) == found.format(tmp_path)


def test_path_of_the_working_directory_is_not_mistaken_for_one_of_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (line,) = problems_with(model_checkpoint="mine")
    assert line.startswith("model_checkpoint: 'mine' is in the working directory, but relative paths start at")


def test_files_of_the_review_must_be_in_the_project(tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "project_root", lambda: tmp_path)
    assert problems_with(ReviewParameters, decisions="issues.csv") == [
        f"decisions: no such file: {tmp_path / 'issues.csv'} (relative paths start at the project's root)"
    ]
    (tmp_path / "issues.csv").write_text("")
    found = ReviewParameters.from_values({"decisions": "issues.csv"})
    assert (found.decisions, found.as_json()["decisions"]) == (str(tmp_path / "issues.csv"), "issues.csv")


# What is made of them


def test_options_of_splits_pool_and_training():
    changes = {"batch_size": 5, "num_splits": 4, "seed": 9, "n_jobs": 2, "training_arguments": {"weight_decay": 0.3}}
    found = TrainingParameters.from_values(changes)
    assert found.split_options() == {"num_splits": 4, "group_by": "context", "shuffle": True, "seed": 9}
    assert found.pool_options() == {"n_jobs": 2, "threads_per_fold": None, "parallel_backend": None}
    assert found.train_options() == {**EMBEDDED_RECIPE, "per_device_train_batch_size": 5, "weight_decay": 0.3}
