"""Checking the notebook's parameters."""

import ast
import dataclasses
import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from papermill.translators import PythonTranslator

import parameters
from parameters import (
    PROJECT_ROOT,
    ParameterError,
    ReviewParameters,
    TrainingParameters,
    assigned_names,
    from_project_root,
)
from spanbert import EMBEDDED_RECIPE

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "span_categorizer_training.ipynb"
REVIEW_NOTEBOOK = ROOT / "notebooks" / "find_label_errors_in_span_classification_dataset.ipynb"
NAMES = [field.name for field in dataclasses.fields(TrainingParameters)]
HINT = ", a text; with papermill give numbers bare, and other values as -y 'name: value'"


def notebook_defaults(notebook: Path = NOTEBOOK) -> dict:
    """Return what the parameters cell of a notebook assigns; of the training notebook, unless told."""
    cells = [
        cell.source
        for cell in nbformat.read(notebook, as_version=4).cells
        if "parameters" in cell.metadata.get("tags", [])
    ]
    assert len(cells) == 1
    return {statement.target.id: ast.literal_eval(statement.value) for statement in ast.parse(cells[0]).body}


def after_papermill(**given: object) -> dict:
    """Return the notebook's variables after papermill has injected a cell, which is made by papermill itself."""
    cell = PythonTranslator.codify(given)
    namespace = {**notebook_defaults(), "In": ["", "import time", cell]}
    exec(cell, namespace)
    return namespace


def problems_with(**changes: object) -> list[str]:
    """Return the lines of the error that some values cause."""
    with pytest.raises(ParameterError) as caught:
        TrainingParameters.from_notebook({**notebook_defaults(), **changes})
    return lines_of(caught.value)


def lines_of(error: ParameterError) -> list[str]:
    first, *lines = str(error).split("\n  ")
    assert first == "the parameters of this notebook are wrong:"
    return lines


# What is accepted


def test_defaults_of_the_notebook_are_accepted():
    defaults = notebook_defaults()
    assert list(defaults) == NAMES
    found = dataclasses.asdict(TrainingParameters.from_notebook(defaults))
    assert found == {**defaults, "folds_dir": str(ROOT / "folds"), "outputs_dir": str(ROOT / "outputs")}


def test_configuration_of_the_published_tutorial_is_accepted():
    given = yaml.safe_load((ROOT / "notebooks" / "squad.yaml").read_text(encoding="utf-8"))
    found = dataclasses.asdict(TrainingParameters.from_notebook(after_papermill(**given)))
    assert found == {
        **notebook_defaults(), **given, "folds_dir": str(ROOT / "folds"), "outputs_dir": str(ROOT / "outputs/squad"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_examples", 2),
        ("num_examples", None),
        ("on_invalid", "drop"),
        ("answers", "all"),
        ("label_map", {"PER": 2, "O": 1, "ANS": 0}),
        ("num_splits", 2),
        ("group_by", "title"),
        ("group_by", "none"),
        ("shuffle", False),
        ("doc_stride", 0),
        ("num_train_epochs", 1),
        ("num_train_epochs", 0.01),
        ("learning_rate", 1),
        ("head_learning_rate", None),
        ("warmup_steps", 0),
        ("warmup_steps", 100),
        ("batch_size", 1),
        ("frozen_layers", 0),
        ("dropout", None),
        ("dropout", 0),
        ("dropout", 0.99),
        ("training_arguments", {"weight_decay": 0.3}),
        ("seed", 0),
        ("examples_per_shard", 1),
        ("examples_per_shard", None),
    ],
)
def test_value_at_the_edge_is_accepted(name, value):
    found = TrainingParameters.from_notebook({**notebook_defaults(), name: value})
    assert getattr(found, name) == value


def test_smallest_window_is_accepted():
    found = TrainingParameters.from_notebook({**notebook_defaults(), "max_length": 5, "doc_stride": 0})
    assert found.max_length == 5


def test_other_variables_of_the_notebook_are_ignored():
    namespace = {**notebook_defaults(), "num_split": 3, "In": ["num_split = 3"], "np": np, "__name__": "__main__"}
    assert TrainingParameters.from_notebook(namespace) == TrainingParameters.from_notebook(notebook_defaults())


# What is refused

_INTEGER = "an integer of at least {}"
WRONG = [
    ("dataset", "", "a text that is not empty"),
    ("dataset", " \n", "a text that is not empty"),
    ("dataset", ["demo"], "a text that is not empty"),
    ("num_examples", 1, _INTEGER.format(2) + " or None"),
    ("num_examples", 10.0, _INTEGER.format(2) + " or None"),
    ("num_examples", True, _INTEGER.format(2) + " or None"),
    ("on_invalid", "skip", "one of 'raise', 'drop'"),
    ("on_invalid", None, "one of 'raise', 'drop'"),
    ("answers", "last", "one of 'first', 'all'"),
    ("answers", ["first"], "one of 'first', 'all'"),
    ("label_map", ["O", "ANS"], "a dict such as {'O': 0, 'ANS': 1}"),
    ("label_map", {0: "O", 1: "ANS"}, "a dict such as {'O': 0, 'ANS': 1}"),
    ("label_map", {"O": 0}, "'O' and at least one span class"),
    ("label_map", {"ANS": 0, "PER": 1}, "'O' and at least one span class"),
    ("label_map", {"O": 0, "ANS": 2}, "the columns 0 to 1"),
    ("label_map", {"O": 0, "ANS": True}, "the columns 0 to 1"),
    ("num_splits", 1, _INTEGER.format(2)),
    ("num_splits", None, _INTEGER.format(2)),
    ("num_splits", True, _INTEGER.format(2)),
    ("group_by", "paragraph", "one of 'context', 'title', 'none'"),
    ("group_by", None, "one of 'context', 'title', 'none'"),
    ("shuffle", 1, "True or False"),
    ("shuffle", None, "True or False"),
    ("model_checkpoint", "", "a text that is not empty"),
    ("model_checkpoint", None, "a text that is not empty"),
    ("max_length", 4, _INTEGER.format(5)),
    ("max_length", 384.0, _INTEGER.format(5)),
    ("doc_stride", -1, _INTEGER.format(0) + " or None"),
    ("doc_stride", 1.5, _INTEGER.format(0) + " or None"),
    ("num_train_epochs", 0, "a number above 0"),
    ("num_train_epochs", float("nan"), "a number above 0"),
    ("num_train_epochs", float("inf"), "a number above 0"),
    ("num_train_epochs", True, "a number above 0"),
    ("learning_rate", 0.0, "a number above 0"),
    ("learning_rate", -3e-4, "a number above 0"),
    ("learning_rate", None, "a number above 0"),
    ("head_learning_rate", 0, "a number above 0 or None"),
    ("head_learning_rate", float("nan"), "a number above 0 or None"),
    ("warmup_steps", -1, "a number of at least 0"),
    ("warmup_steps", None, "a number of at least 0"),
    ("batch_size", 0, _INTEGER.format(1)),
    ("batch_size", None, _INTEGER.format(1)),
    ("frozen_layers", -1, _INTEGER.format(0)),
    ("frozen_layers", False, _INTEGER.format(0)),
    ("dropout", 1.0, "a number of at least 0 and at most 0.99 or None"),
    ("dropout", -0.1, "a number of at least 0 and at most 0.99 or None"),
    ("dropout", float("nan"), "a number of at least 0 and at most 0.99 or None"),
    ("training_arguments", None, "a dict of transformers.TrainingArguments fields"),
    ("training_arguments", ["fp16"], "a dict of transformers.TrainingArguments fields"),
    ("training_arguments", {1: 2}, "a dict of transformers.TrainingArguments fields"),
    ("precision", "bf16", "one of 'auto', 'float32', 'bfloat16'"),
    ("precision", None, "one of 'auto', 'float32', 'bfloat16'"),
    ("n_jobs", 0, "an integer of at least 1, -1 for as many as there is room for, or None"),
    ("n_jobs", True, "an integer of at least 1, -1 for as many as there is room for, or None"),
    ("threads_per_fold", 0, "an integer of at least 1, or None"),
    ("threads_per_fold", 1.0, "an integer of at least 1, or None"),
    ("parallel_backend", "loky", '"ray" or "dask", with or without ":" and the cluster\'s address, or None'),
    ("parallel_backend", 1, '"ray" or "dask", with or without ":" and the cluster\'s address, or None'),
    ("only_folds", 0, "a list of the numbers of folds, such as [0], or None"),
    ("only_folds", ["0"], "a list of the numbers of folds, such as [0], or None"),
    ("seed", -1, _INTEGER.format(0)),
    ("seed", None, _INTEGER.format(0)),
    ("folds_dir", "", "a text that is not empty"),
    ("folds_dir", 1, "a text that is not empty"),
    ("outputs_dir", "", "a text that is not empty"),
    ("outputs_dir", None, "a text that is not empty"),
    ("examples_per_shard", 0, _INTEGER.format(1) + " or None"),
    ("examples_per_shard", 10.0, _INTEGER.format(1) + " or None"),
    ("examples_per_shard", True, _INTEGER.format(1) + " or None"),
]


def test_table_of_wrong_values_covers_every_parameter():
    assert {name for name, _, _ in WRONG} == set(NAMES)


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_wrong_value_is_refused(name, value, expected):
    (line,) = problems_with(**{name: value})
    assert line.startswith(f"{name}: expected {expected}, found {value!r}")
    assert line.endswith(f"{value!r} ({type(value).__name__})")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("num_examples", "none"),
        ("num_examples", "None"),
        ("num_examples", "null"),
        ("shuffle", "true"),
        ("shuffle", "False"),
        ("training_arguments", "{'fp16': False}"),
        ("training_arguments", "[1,2]"),
        ("num_splits", "3"),
        ("dropout", "1e-1"),
    ],
)
def test_value_given_as_text_is_refused_with_a_hint(name, text):
    (line,) = problems_with(**{name: text})
    assert line.endswith(f"found {text!r} (str{HINT})")


@pytest.mark.parametrize(("name", "text"), [("num_splits", "three"), ("shuffle", "yes"), ("dropout", "0.1 %")])
def test_other_text_has_no_hint(name, text):
    (line,) = problems_with(**{name: text})
    assert line.endswith(f"found {text!r} (str)")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("num_splits", np.int64(3), "3"), ("seed", np.int32(0), "0"), ("dropout", np.float32(0.5), "0.5")],
)
def test_numpy_number_that_papermill_passes_as_text_is_refused_with_a_hint(name, value, text):
    with pytest.raises(ParameterError) as caught:
        TrainingParameters.from_notebook(after_papermill(**{name: value}))
    (line,) = lines_of(caught.value)
    assert line.endswith(f"found {text!r} (str{HINT})")


@pytest.mark.parametrize(("max_length", "largest"), [(5, 0), (64, 30), (384, 190)])
def test_doc_stride_must_leave_room_to_advance(max_length, largest):
    # Three special tokens, and a question of at most half of the rest; one context token more than the overlap.
    TrainingParameters.from_notebook({**notebook_defaults(), "max_length": max_length, "doc_stride": largest})
    (line,) = problems_with(max_length=max_length, doc_stride=largest + 1)
    assert line.startswith(f"doc_stride: expected 0 to {largest} for max_length={max_length}")
    assert line.endswith(f"found {largest + 1}")


@pytest.mark.parametrize("chosen", [[3], [-1], [0, 0], [], [True]])
def test_only_folds_must_be_folds(chosen):
    TrainingParameters.from_notebook({**notebook_defaults(), "only_folds": [2, 0]})
    (line,) = problems_with(only_folds=chosen)
    assert line == f"only_folds: expected different numbers from 0 to 2, one at least, found {chosen}"


def test_missing_parameters_are_named():
    namespace = notebook_defaults()
    del namespace["seed"], namespace["dataset"]
    with pytest.raises(ParameterError) as caught:
        TrainingParameters.from_notebook(namespace)
    assert lines_of(caught.value) == [f"{name}: missing; run the parameters cell first" for name in ("dataset", "seed")]


def test_several_problems_are_reported_at_once():
    namespace = after_papermill(num_split=5, batch_size=0, shuffle="true")
    del namespace["seed"]
    with pytest.raises(ParameterError) as caught:
        TrainingParameters.from_notebook(namespace)
    assert lines_of(caught.value) == [
        "num_split: no such parameter; did you mean 'num_splits'?",
        "seed: missing; run the parameters cell first",
        f"shuffle: expected True or False, found 'true' (str{HINT})",
        "batch_size: expected an integer of at least 1, found 0 (int)",
    ]


# What papermill injected


@pytest.mark.parametrize(
    ("name", "nearest"), [("num_split", "num_splits"), ("epochs", "num_train_epochs"), ("output_dir", "outputs_dir")]
)
def test_unknown_parameter_is_refused_with_the_nearest_name(name, nearest):
    with pytest.raises(ParameterError) as caught:
        TrainingParameters.from_notebook(after_papermill(**{name: 5}))
    assert lines_of(caught.value) == [f"{name}: no such parameter; did you mean {nearest!r}?"]


def test_unknown_parameter_like_no_other_is_refused_with_all_names():
    with pytest.raises(ParameterError) as caught:
        TrainingParameters.from_notebook(after_papermill(zzz=5))
    assert lines_of(caught.value) == [f"zzz: no such parameter; known are {', '.join(NAMES)}"]


def test_assigned_names_are_those_of_the_last_papermill_cell():
    inputs = ["seed = 1", "# Parameters\nold = 1\n", "print('# Parameters')", "# Parameters\na = 1\nb = {'c': 2}\n"]
    assert assigned_names({"In": inputs}, ["seed"]) == ["a", "b"]
    assert assigned_names({"In": inputs[:1]}, ["seed"]) == []
    assert assigned_names({}, ["seed"]) == []


def test_assigned_names_are_those_of_the_last_parameters_cell():
    inputs = ["%matplotlib inline", "seed: int = 1\ntypo: int = 2", "seed: int = 1\nother = 2", "x: int = 3"]
    assert assigned_names({"In": inputs[:2]}, ["seed"]) == ["seed", "typo"]
    assert set(assigned_names({"In": inputs}, ["seed"])) == {"seed", "other"}


def test_typing_error_in_the_parameters_cell_is_refused():
    namespace = {**notebook_defaults(), "num_split": 10, "In": ["num_splits: int = 3\nnum_split: int = 10"]}
    with pytest.raises(ParameterError) as caught:
        TrainingParameters.from_notebook(namespace)
    assert lines_of(caught.value) == ["num_split: no such parameter; did you mean 'num_splits'?"]


def test_path_of_the_working_directory_is_not_mistaken_for_one_of_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymodel").mkdir()
    with pytest.raises(ParameterError, match="'mymodel' is in the working directory, but relative paths start at"):
        TrainingParameters.from_notebook({**notebook_defaults(), "model_checkpoint": "mymodel"})


def test_values_that_papermill_injected_are_taken():
    given = {
        "dataset": 'a "quoted" \\ name', "num_examples": None, "label_map": {"O": 0, "Zürich": 1},
        "shuffle": False, "learning_rate": 5e-05, "training_arguments": {"weight_decay": 0.3, "optim": None},
    }  # fmt: skip
    found = dataclasses.asdict(TrainingParameters.from_notebook(after_papermill(**given)))
    assert {name: found[name] for name in given} == given


# Paths


def test_relative_paths_are_taken_from_the_project_wherever_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = TrainingParameters.from_notebook(
        {
            **notebook_defaults(),
            "dataset": "data/demo-v1.1.json",
            "model_checkpoint": "./models/mine",
            "folds_dir": "some/folds",
            "outputs_dir": "../beside",
        }
    )
    assert found.dataset == str(ROOT / "data" / "demo-v1.1.json")
    assert found.model_checkpoint == str(ROOT / "models" / "mine")
    assert found.folds_dir == str(ROOT / "some" / "folds")
    assert found.outputs_dir == str(ROOT.parent / "beside")


@pytest.mark.parametrize(
    "name", ["demo", "embedded", "squad", "squad_v2:validation", "rajpurkar/squad", "bert-base-cased", "org/name"]
)
def test_names_that_are_no_paths_are_left_alone(name, tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "PROJECT_ROOT", tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "embedded").mkdir()
    found = TrainingParameters.from_notebook({**notebook_defaults(), "dataset": name, "model_checkpoint": name})
    assert (found.dataset, found.model_checkpoint) == (name, name)


@pytest.mark.parametrize("name", ["my_data", "new.json", "new.jsonl", "new.ndjson", "sub/new.parquet", "./new"])
def test_what_is_there_or_can_only_be_a_path_is_a_path(name, tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "PROJECT_ROOT", tmp_path)
    (tmp_path / "my_data").mkdir()
    assert from_project_root(name, always=False) == str(tmp_path / name)


def test_absolute_and_home_paths_stay_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert from_project_root("/elsewhere/folds") == "/elsewhere/folds"
    assert from_project_root("~/folds") == str(tmp_path / "folds")
    assert from_project_root("~/data", always=False) == str(tmp_path / "data")


# What is made of them


def test_record_of_the_parameters_is_json_without_the_folder_of_the_project():
    found = TrainingParameters.from_notebook(
        {
            **notebook_defaults(),
            "dataset": "data/demo-v1.1.json",
            "model_checkpoint": "./models/mine",
            "outputs_dir": "/elsewhere/outputs",
        }
    )
    record = found.as_json()
    assert json.loads(json.dumps(record)) == record
    assert record == {
        **notebook_defaults(), "dataset": "data/demo-v1.1.json", "model_checkpoint": "models/mine",
        "folds_dir": "folds", "outputs_dir": "/elsewhere/outputs",
    }  # fmt: skip
    assert str(PROJECT_ROOT) not in json.dumps(record)


def test_record_of_the_parameters_gives_the_same_parameters_again():
    found = TrainingParameters.from_notebook(
        {**notebook_defaults(), "dataset": "data/demo-v1.1.json", "label_map": {"O": 1, "ANS": 0}, "num_examples": 7}
    )
    assert TrainingParameters.from_notebook(json.loads(json.dumps(found.as_json()))) == found


def test_options_of_splits_and_training():
    changes = {"batch_size": 5, "num_splits": 4, "seed": 9, "training_arguments": {"weight_decay": 0.3}}
    found = TrainingParameters.from_notebook({**notebook_defaults(), **changes})
    assert found.split_options() == {"num_splits": 4, "group_by": "context", "shuffle": True, "seed": 9}
    assert found.train_options() == {
        "num_train_epochs": 4, "learning_rate": 3e-4, "head_learning_rate": 1e-2, "frozen_layers": 2,
        "dropout": 0.0, "per_device_train_batch_size": 5, "warmup_steps": 0.1, "weight_decay": 0.3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 3}, "not 'seed': use seed"),
        ({"num_train_epochs": 9}, "not 'num_train_epochs': use num_train_epochs"),
        ({"per_device_train_batch_size": 9}, "not 'per_device_train_batch_size': use batch_size"),
        ({"optim": object()}, "values that JSON can hold"),
    ],
)
def test_training_arguments_cannot_contradict_other_parameters(arguments, message):
    with pytest.raises(ParameterError, match=message):
        TrainingParameters.from_notebook({**notebook_defaults(), "training_arguments": arguments})


def test_defaults_of_the_notebook_are_the_embedded_recipe():
    assert TrainingParameters.from_notebook(notebook_defaults()).train_options() == EMBEDDED_RECIPE


# The parameters of the review


def review(**changes: object) -> ReviewParameters:
    return ReviewParameters.from_notebook({**notebook_defaults(REVIEW_NOTEBOOK), **changes})


def problems_of_review(namespace: dict) -> list[str]:
    with pytest.raises(ParameterError) as caught:
        ReviewParameters.from_notebook(namespace)
    return lines_of(caught.value)


def test_defaults_of_the_review_are_accepted():
    defaults = notebook_defaults(REVIEW_NOTEBOOK)
    assert defaults == {"outputs_dir": "outputs", "worst": 100, "seed": 0, "known_errors": None, "decisions": None}
    found = review()
    assert dataclasses.asdict(found) == {**defaults, "outputs_dir": str(ROOT / "outputs")}
    assert found.as_json() == defaults
    assert ReviewParameters.from_notebook(found.as_json()) == found


REVIEW_WRONG = [
    ("outputs_dir", "", "a text that is not empty"),
    ("outputs_dir", None, "a text that is not empty"),
    ("outputs_dir", 3, "a text that is not empty"),
    ("worst", 0, _INTEGER.format(1)),
    ("worst", None, _INTEGER.format(1)),
    ("worst", True, _INTEGER.format(1)),
    ("worst", 10.0, _INTEGER.format(1)),
    ("seed", -1, _INTEGER.format(0)),
    ("seed", 0.5, _INTEGER.format(0)),
    ("known_errors", "", "a text that is not empty or None"),
    ("known_errors", ["a.json"], "a text that is not empty or None"),
    ("known_errors", False, "a text that is not empty or None"),
    ("decisions", " ", "a text that is not empty or None"),
    ("decisions", 1, "a text that is not empty or None"),
]


def test_table_of_wrong_values_covers_every_parameter_of_the_review():
    assert {name for name, _, _ in REVIEW_WRONG} == {field.name for field in dataclasses.fields(ReviewParameters)}


@pytest.mark.parametrize(("name", "value", "expected"), REVIEW_WRONG)
def test_wrong_value_is_refused_by_the_review(name, value, expected):
    (line,) = problems_of_review({**notebook_defaults(REVIEW_NOTEBOOK), name: value})
    assert line == f"{name}: expected {expected}, found {value!r} ({type(value).__name__})"


def test_smallest_values_of_the_review_are_accepted():
    found = review(worst=1, seed=0)
    assert (found.worst, found.seed) == (1, 0)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("worse", "worst"), ("decision", "decisions"), ("output_dir", "outputs_dir"), ("known_error", "known_errors")],
)
def test_unknown_parameter_of_the_review_is_refused_with_the_nearest_name(name, nearest):
    cell = PythonTranslator.codify({name: 5})
    namespace = {**notebook_defaults(REVIEW_NOTEBOOK), "In": ["", cell], name: 5}
    assert problems_of_review(namespace) == [f"{name}: no such parameter; did you mean {nearest!r}?"]


def test_several_problems_of_the_review_are_reported_at_once():
    namespace = {**notebook_defaults(REVIEW_NOTEBOOK), "worst": "all", "In": ["# Parameters\nnum_splits = 3"]}
    del namespace["seed"]
    assert problems_of_review(namespace) == [
        "num_splits: no such parameter; known are outputs_dir, worst, seed, known_errors, decisions",
        "seed: missing; run the parameters cell first",
        "worst: expected an integer of at least 1, found 'all' (str)",
    ]


def test_paths_of_the_review_start_at_the_project(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "sub").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.setattr(parameters, "PROJECT_ROOT", project)
    monkeypatch.chdir(elsewhere)
    (project / "sub" / "issues.csv").write_text("", encoding="utf-8")
    (project / "new.json").write_text("[]", encoding="utf-8")
    found = review(outputs_dir="new/outputs", known_errors="new.json", decisions="sub/issues.csv")
    assert found.outputs_dir == str(project / "new" / "outputs")
    assert found.known_errors == str(project / "new.json")
    assert found.decisions == str(project / "sub" / "issues.csv")
    assert found.as_json() == {
        "outputs_dir": "new/outputs", "worst": 100, "seed": 0,
        "known_errors": "new.json", "decisions": "sub/issues.csv",
    }  # fmt: skip
    found.prepare_folders()
    assert (project / "new" / "outputs").is_dir()
    assert list(elsewhere.iterdir()) == []
    absolute = str(project / "new.json")
    assert review(outputs_dir="/a/b", decisions=absolute).decisions == absolute
    assert review(outputs_dir="/a/b").outputs_dir == "/a/b"


@pytest.mark.parametrize("name", ["known_errors", "decisions"])
def test_file_of_the_working_directory_is_not_mistaken_for_one_of_the_project_by_the_review(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("", encoding="utf-8")
    (line,) = problems_of_review({**notebook_defaults(REVIEW_NOTEBOOK), name: "mine.csv"})
    assert line.startswith(f"{name}: no such file: {parameters.PROJECT_ROOT / 'mine.csv'}")


def test_decisions_that_are_not_there_are_looked_for_in_the_project(tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "PROJECT_ROOT", tmp_path)
    (line,) = problems_of_review({**notebook_defaults(REVIEW_NOTEBOOK), "decisions": "sub/issues.csv"})
    expected = (
        f"decisions: no such file: {tmp_path / 'sub' / 'issues.csv'} (relative paths start at the project's root)"
    )
    assert line == expected
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "issues.csv").write_text("")
    assert review(decisions="sub/issues.csv").decisions == str(tmp_path / "sub" / "issues.csv")
