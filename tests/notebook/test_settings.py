"""The parameters: what is accepted, what is refused and how, and that nothing names them twice."""

import inspect
import json
import re

import nbformat
import papermill
import pytest
import yaml
from conftest import ROOT
from families import make_checkpoint
from papermill.translators import PythonTranslator

from span_label_errors import (
    files,
    find_label_errors,
    load_squad,
    make_splits,
    out_of_fold_predictions,
    write_review_files,
)
from span_label_errors.notebook import settings as parameters
from span_label_errors.notebook.review_settings import ReviewParameters
from span_label_errors.notebook.settings import ParameterError, source_path
from span_label_errors.notebook.training_settings import TrainingParameters
from spanbert import BACKBONE_RECIPE, EMBEDDED_RECIPE, PRETRAINED_RECIPE, QA

NOTEBOOKS = {
    TrainingParameters: ROOT / "notebooks" / "span_categorizer_training.ipynb",
    ReviewParameters: ROOT / "notebooks" / "find_label_errors_in_span_classification_dataset.ipynb",
}
BOTH = pytest.mark.parametrize("model", NOTEBOOKS, ids=lambda model: model.__name__)
HINT = "; with papermill give numbers bare, and other values as -y 'name: value'"


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


def cell_of(model) -> str:
    cells = nbformat.read(NOTEBOOKS[model], as_version=4).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return cell.source


def as_code(default: object) -> str:
    return json.dumps(default) if isinstance(default, str | dict) else repr(default)


@BOTH
def test_papermill_finds_the_names_types_defaults_and_help_of_the_model(model):
    """It knows no `X | None`, and leaves out a line that has a second `=`."""
    types = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "dict"}
    expected = {}
    for name, schema in model.model_json_schema()["properties"].items():
        is_optional = "anyOf" in schema
        type_name = types[(schema["anyOf"][0] if is_optional else schema)["type"]]
        expected[name] = (
            f"Optional[{type_name}]" if is_optional else type_name, as_code(schema["default"]), schema["description"]
        )  # fmt: skip
    found = papermill.inspect_notebook(NOTEBOOKS[model])
    assert expected == {
        name: (parameter["inferred_type_name"], parameter["default"], parameter["help"])
        for name, parameter in found.items()
    }
    assert list(found) == list(expected)


def test_cell_is_in_four_groups():
    groups = re.findall(r"^# (.*)", cell_of(TrainingParameters), re.MULTILINE)
    assert groups == ["data", "model and training", "folds", "where things go"]


@BOTH
def test_documentation_has_the_table(model):
    rows = [
        f"| `{name}` | `{as_code(field.default)}` | {field.description} |" for name, field in model.model_fields.items()
    ]
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    assert any("\n".join(rows) in text for text in texts)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (load_squad, TrainingParameters.from_values({}).load_options()),
        (make_splits, TrainingParameters.from_values({}).split_options()),
        (out_of_fold_predictions, TrainingParameters.from_values({}).pool_options()),
        (find_label_errors, {"threshold": ReviewParameters.from_values({}).threshold}),
        (write_review_files, {"worst": ReviewParameters.from_values({}).worst}),
    ],
)
def test_signatures_have_the_defaults_of_the_model(function, options):
    signature = inspect.signature(function).parameters
    assert {name: signature[name].default for name in options} == options


@pytest.mark.parametrize(
    ("checkpoint", "label_map", "recipe"),
    [
        ("embedded", {"O": 0, "ANS": 1}, EMBEDDED_RECIPE),
        ("embedded", {"O": 0, "PER": 1, "ORG": 2}, BACKBONE_RECIPE),
        ("embedded-backbone", {"O": 0, "ANS": 1}, BACKBONE_RECIPE),
    ],
)
def test_defaults_are_the_recipe_of_a_trained_head_or_of_a_new_one(checkpoint, label_map, recipe):
    found = TrainingParameters.from_values({"model_checkpoint": checkpoint, "label_map": label_map})
    assert found.train_options(QA(**found.qa_options())) == recipe


def test_defaults_are_the_published_recipe_of_a_large_encoder_and_are_shown(tmp_path):
    qa = QA(make_checkpoint(tmp_path, "bert", hidden_size=512), max_length=48)
    found = TrainingParameters.from_values({})
    assert found.train_options(qa) == PRETRAINED_RECIPE
    expected = {**PRETRAINED_RECIPE, "training_arguments": {"weight_decay": 0.01}}
    del expected["weight_decay"], expected["per_device_train_batch_size"]
    assert found.recipe(qa) == expected
    assert expected.keys() < found.as_json().keys()
    given = {"learning_rate": 5e-5, "dropout": 0.0, "training_arguments": {"weight_decay": 0.0, "max_steps": 3}}
    found = TrainingParameters.from_values(given)
    assert found.recipe(qa) == {**expected, **given}
    changed = {"learning_rate": 5e-5, "dropout": 0.0, "weight_decay": 0.0, "max_steps": 3}
    assert found.train_options(qa) == {**PRETRAINED_RECIPE, **changed}


def test_given_values_hold_for_any_head():
    given = {
        "num_train_epochs": 7, "learning_rate": 0.5, "head_learning_rate": 0.25, "warmup_steps": 0, "frozen_layers": 0,
        "dropout": 0.1,
    }  # fmt: skip
    assert TrainingParameters.from_values(given).train_options(QA("embedded")) == {**EMBEDDED_RECIPE, **given}


# What is accepted


@BOTH
def test_defaults_are_accepted(model):
    found = model.from_notebook(defaults(model))
    assert found == model.from_values({})
    places = {name: str(ROOT / value) for name, value in defaults(model).items() if name.endswith("_dir")}
    assert found.model_dump() == {**defaults(model), **places}
    assert found.as_json() == defaults(model)


@pytest.mark.parametrize("name", ["squad.yaml", "entities.yaml"])
def test_configurations_beside_the_notebooks_are_accepted(name):
    given = yaml.safe_load((ROOT / "notebooks" / name).read_text(encoding="utf-8"))
    assert after_papermill(TrainingParameters, **given).as_json() == {**defaults(TrainingParameters), **given}


def test_squad_is_trained_as_published():
    """Devlin et al. (2019, arXiv 1810.04805, section 4.2): three epochs, a learning rate of 5e-5, batches of 32."""
    given = yaml.safe_load((ROOT / "notebooks" / "squad.yaml").read_text(encoding="utf-8"))
    found = TrainingParameters.from_values(given)
    assert (found.num_train_epochs, found.learning_rate, found.batch_size, found.dropout) == (3, 5e-5, 32, None)


@pytest.mark.parametrize(
    "given",
    [
        {"num_examples": 2, "num_splits": 2, "seed": 2**32 - 1, "max_length": 5, "doc_stride": 0, "shuffle": False},
        {"label_map": {"PER": 2, "O": 1, "ANS": 0}, "training_arguments": {"weight_decay": 0.3, "tf32": None}},
        {"num_train_epochs": 0.01, "learning_rate": 1, "head_learning_rate": 0.5, "warmup_steps": 0, "dropout": 0.99},
        {"num_splits": 0},
        {"dropout": None, "n_jobs": -1, "parallel_backend": "dask:tcp://10.0.0.1:8786", "group_by": "none"},
        {"dataset": 'a "quoted" \\ name', "dataset_revision": "v1", "model_checkpoint": "org/name",
         "model_revision": "refs/pr/1"},
    ],
)  # fmt: skip
def test_values_at_the_edge_come_through_papermill_as_they_are(given):
    found = after_papermill(TrainingParameters, **given)
    for name, value in given.items():
        assert (getattr(found, name), type(getattr(found, name))) == (value, type(value)), name


# What is refused


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("dataset", " \n", "a path or a name on the Hub"),
        ("dataset_revision", "", "at least 1 character"),
        ("num_examples", 1, "expected greater than or equal to 2"),
        ("label_map", {"ANS": 0, "PER": 1}, "expected 'O' and at least one span class"),
        ("learning_rate", float("inf"), "expected a finite number"),
        ("training_arguments", {"weight_decay": "0.1"}, "weight_decay: expected a valid number"),
        ("training_arguments", {"bf16": True}, "'bf16' is set elsewhere; use precision"),
        (
            "num_splits",
            1,
            "expected 0, for the checkpoint as it is, or an integer of at least 2 (one fold alone",
        ),
        ("n_jobs", 0, "expected an integer of at least 1, -1 for as many as there is room for, or None"),
        ("parallel_backend", "loky", '"ray" or "dask", with or without ":" and the cluster\'s address, or None'),
    ],
)
def test_wrong_value_is_refused(name, value, expected):
    (line,) = problems_with(**{name: value})
    assert line.startswith(f"{name}: ") and expected in line


def test_all_problems_are_reported_at_once_unknown_names_first():
    assert problems_with(batch_size=0, shuffle="yes", max_length=10.0, num_split=5, zzz=1) == [
        "num_split: no such parameter; did you mean 'num_splits'?",
        f"zzz: no such parameter; known are {', '.join(TrainingParameters.model_fields)}",
        "max_length: expected a valid integer, found float 10.0",
        "batch_size: expected greater than or equal to 1, found int 0",
        f"shuffle: expected a valid boolean, found str 'yes'{HINT}",
    ]


@pytest.mark.parametrize(
    ("inputs", "unknown"),
    [
        (["seed: int = 1", "# Parameters\nworse = 1\n", "print('# Parameters')", "%time"], "worse"),
        (["# Parameters\nworse = 1\n", "# Parameters\nseed = 1\n"], ""),
    ],
)
def test_names_that_papermill_injects_must_be_parameters(inputs, unknown):
    namespace = {**defaults(TrainingParameters), "worse": 1, "In": inputs}
    if not unknown:
        assert TrainingParameters.from_notebook(namespace) == TrainingParameters.from_values({})
        return
    with pytest.raises(ParameterError, match=f"  {unknown}: no such parameter"):
        TrainingParameters.from_notebook(namespace)


def test_parameter_that_the_cell_does_not_set_is_named():
    namespace = {**defaults(TrainingParameters), "num_split": 2}  # a typing error
    del namespace["num_splits"]
    with pytest.raises(ParameterError, match=r"^num_splits: expected in the parameters cell, found no variable"):
        TrainingParameters.from_notebook(namespace)


# Contradictions


@pytest.mark.parametrize(
    ("source", "value", "revision"),
    [("dataset", "data/demo-v1.1.json", "dataset_revision"), ("model_checkpoint", "embedded", "model_revision")],
)
def test_revision_of_what_is_not_on_the_hub_is_refused(source, value, revision):
    (line,) = problems_with(**{source: value, revision: "v1"})
    assert line.startswith(f"{revision}: expected None, since {source} is") and line.endswith("found 'v1'")


def test_contradictions_are_reported_at_once(tmp_path):
    lines = problems_with(folds_dir="x", outputs_dir="./x", doc_stride=191, dataset=str(ROOT))
    assert [line.partition(":")[0] for line in lines] == ["doc_stride", "outputs_dir", "folds_dir", "outputs_dir"]


# Paths


def test_relative_paths_are_taken_from_the_project_and_recorded_without_it(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project / "my_data", project / "mine", elsewhere):
        folder.mkdir(parents=True)
    for name in ("project_root", "clone_root"):
        monkeypatch.setattr(parameters, name, lambda: project)
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


def test_outside_a_clone_the_record_means_the_same_files_in_every_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "clone_root", lambda: None)
    monkeypatch.setattr(parameters, "clone_root", lambda: None)
    for name in ("mine", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    record = TrainingParameters.from_values({"dataset": "squad.json"}).as_json()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert source_path(record["dataset"]) == str(tmp_path / "mine" / "squad.json")
    assert record["folds_dir"] == str(tmp_path / "mine" / "folds")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("demo", "demo"), ("demo-entities", "demo-entities"),
        ("embedded", "embedded"), ("embedded-backbone", "embedded-backbone"),
        ("squad:validation", "squad:validation"), ("org/new", "org/new"),
        ("new.json", "{}/new.json"), ("./new", "{}/new"), ("~/new", "{}/new"), ("/elsewhere/new", "/elsewhere/new"),
        ("org/there", "{}/org/there"),
    ],
)  # fmt: skip
def test_paths_are_told_from_names(source, found, tmp_path, monkeypatch):
    for name in ("project_root", "clone_root"):
        monkeypatch.setattr(parameters, name, lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("demo", "demo-entities", "embedded", "embedded-backbone", "org/there"):
        (tmp_path / name).mkdir(parents=True)
    assert source_path(source) == found.format(tmp_path)


def test_path_of_the_working_directory_is_not_mistaken_for_one_of_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (line,) = problems_with(model_checkpoint="mine")
    assert line.startswith("model_checkpoint: 'mine' is in the working directory, but relative paths start at")


def test_files_of_the_review_must_be_in_the_project(tmp_path, monkeypatch):
    for name in ("project_root", "clone_root"):
        monkeypatch.setattr(parameters, name, lambda: tmp_path)
    assert problems_with(ReviewParameters, decisions="issues.csv") == [
        f"decisions: no such file: {tmp_path / 'issues.csv'} (relative paths start at the project's root)"
    ]
    (tmp_path / "issues.csv").write_text("")
    found = ReviewParameters.from_values({"decisions": "issues.csv"})
    assert (found.decisions, found.as_json()["decisions"]) == (str(tmp_path / "issues.csv"), "issues.csv")


# What is made of them


def test_options_of_each_call():
    found = TrainingParameters.from_values(
        {
            "dataset": "squad", "dataset_revision": "v1", "num_examples": 7, "model_checkpoint": "org/name",
            "model_revision": "v2", "batch_size": 5, "num_splits": 4, "seed": 9, "n_jobs": 2,
            "training_arguments": {"weight_decay": 0.3, "max_steps": 50},
        }
    )  # fmt: skip
    assert found.load_options() == {"source": "squad", "revision": "v1", "num_examples": 7, "on_invalid": "raise"}
    assert found.qa_options() == {
        "model_path": "org/name", "revision": "v2", "label_map": None, "max_length": 384, "doc_stride": None,
        "answers": None, "seed": 9, "precision": "auto",
    }  # fmt: skip
    assert found.split_options() == {"num_splits": 4, "group_by": "context", "shuffle": True, "seed": 9}
    assert found.pool_options() == {"n_jobs": 2, "threads_per_fold": None, "parallel_backend": None}
    training = {**EMBEDDED_RECIPE, "per_device_train_batch_size": 5, "weight_decay": 0.3}
    assert found.train_options(QA("embedded")) == {**training, "max_steps": 50}
    assert found.trial_options(QA("embedded")) == {**training, "max_steps": -1, "num_train_epochs": 1, "seed": 9}


def test_parameters_follow_the_data():
    def example(question: str, *labels: str) -> dict:
        return {"question": question, "answers": {"text": list(labels), "answer_start": [0] * len(labels),
                                                  "label": list(labels)}}  # fmt: skip

    entities = [example("", "PER"), example("", "LOC", "PER")]
    found = TrainingParameters.from_values({}).for_data(entities)
    assert (found.answers, found.label_map) == ("all", {"O": 0, "LOC": 1, "PER": 2})
    questions = [{**row, "question": "Who?", "answers": {"text": ["a"], "answer_start": [0]}} for row in entities]
    found = TrainingParameters.from_values({}).for_data(questions)
    assert (found.answers, found.label_map) == ("first", {"O": 0, "ANS": 1})
    given = {"answers": "each", "label_map": {"O": 1, "ANS": 0}}
    found = TrainingParameters.from_values(given).for_data(questions)
    assert (found.answers, found.label_map) == ("each", {"ANS": 0, "O": 1})
    for answers in ("first", "each"):
        with pytest.raises(ParameterError, match=f'answers: expected "all" or None.*found "{answers}"'):
            TrainingParameters.from_values({"answers": answers}).for_data(entities)
    of_outside = [{"question": "", "answers": {"text": ["a"], "answer_start": [0], "label": ["O"]}}]
    with pytest.raises(ValueError, match="'O' means that a token is in no span"):
        TrainingParameters.from_values({}).for_data(of_outside)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("demo", ("corrected.json", "changes.json")),
        ("demo-entities", ("corrected.jsonl", "changes.json")),
        ("{outputs}/other.json", ("corrected.json", "changes.json")),
        ("{outputs}/../corrected.json", ("corrected.json", "changes.json")),
        ("{outputs}/corrected.json", ("corrected-2.json", "changes-2.json")),
        ("{outputs}/corrected-9.json", ("corrected-10.json", "changes-10.json")),
        # In the form of the source: a file, a folder, a data set on the Hub.
        ("{outputs}/lines.jsonl", ("corrected.jsonl", "changes.json")),
        ("{outputs}/corrected-2.parquet", ("corrected-3.parquet", "changes-3.json")),
        ("{outputs}/corrected", ("corrected-2", "changes-2.json")),
        ("someone/set:validation", ("corrected.parquet", "changes.json")),
    ],
)
def test_corrected_data_never_take_the_name_of_their_source(tmp_path, source, names):
    (tmp_path / "corrected").mkdir()
    found = ReviewParameters.from_values({"outputs_dir": str(tmp_path)})
    files = found.corrected_files(source.format(outputs=tmp_path))
    assert files == tuple(tmp_path / name for name in names)


def test_decisions_apply_to_data_as_the_run_has_read_them():
    run = {
        "parameters": {"dataset": "x", "answers": "all", "on_invalid": "repair", "dataset_revision": "v2", "seed": 0}
    }
    assert ReviewParameters.apply_options(run) == {"answers": "all", "on_invalid": "repair", "revision": "v2"}
    assert ReviewParameters.apply_options({"parameters": {"dataset": "x"}}) == {}


@pytest.mark.parametrize(
    ("threshold", "problem"),
    [
        (1.5, "expected less than or equal to 1, found float 1.5"),
        (-0.1, "expected greater than or equal to 0, found float -0.1"),
        (float("nan"), "expected a finite number, found float nan"),
        ("0.5", f"expected a valid number, found str '0.5'{HINT}"),
    ],
)
def test_threshold_is_a_number_from_0_to_1(threshold, problem):
    assert problems_with(ReviewParameters, threshold=threshold) == [f"threshold: {problem}"]


def test_known_errors_are_those_listed_or_those_of_the_demo(tmp_path):
    listed = tmp_path / "errors.json"
    listed.write_text('[{"id": "a"}, {"id": "b"}]')
    assert len(ReviewParameters.from_values({}).known_error_ids("demo")) == 26
    assert len(ReviewParameters.from_values({}).known_error_ids("demo-entities")) == 32
    assert ReviewParameters.from_values({}).known_error_ids("squad") == []
    assert ReviewParameters.from_values({"known_errors": str(listed)}).known_error_ids("demo") == ["a", "b"]
