"""The notebooks as they are committed, and the training notebook as it runs, wherever and however it is run."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from conftest import ROOT
from papermill.exceptions import PapermillExecutionError

from span_classification_tutorial_utils import read_npz

NOTEBOOK = ROOT / "notebooks" / "span_categorizer_training.ipynb"
FILES = ["labels.npz", "out_of_fold.parquet", "pred_probs.npz", "questions.npz", "run.json", "tokens.npz"]


@pytest.mark.parametrize("file", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda file: file.stem)
def test_committed_notebook_is_valid_and_has_no_outputs_and_its_cells_fit_on_a_screen(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) > 20
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
    is_parameters = ["parameters" in cell.metadata.get("tags", []) for cell in notebook.cells]
    assert is_parameters.count(True) == 1
    imported = re.findall(r"^from (span\w+) import", "\n".join(cell.source for cell in code), re.MULTILINE)
    assert set(imported) <= {"span_classification_tutorial_utils", "span_label_errors", "spanbert"}
    assert len(imported) <= 3
    for cell, has_parameters in zip(notebook.cells, is_parameters, strict=True):
        assert has_parameters or cell.source.count("\n") < 30


@pytest.fixture
def arguments(tiny_bert, squad_file, tmp_path) -> dict:
    return {
        "dataset": str(squad_file),
        "model_checkpoint": str(tiny_bert),
        "max_length": 48,
        "doc_stride": 8,
        "num_train_epochs": 3,  # the first step's learning rate is 0, and an epoch is one step
        "frozen_layers": 0,
        "folds_dir": str(tmp_path / "folds"),
        "outputs_dir": str(tmp_path / "outputs"),
    }


def execute(arguments: dict, folder: Path) -> nbformat.NotebookNode:
    return papermill.execute_notebook(NOTEBOOK, folder / "executed.ipynb", arguments, progress_bar=False, cwd=folder)


def outputs_of(notebook: nbformat.NotebookNode) -> list[dict]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def text_of(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(output.get("text") or output["data"].get("text/plain", "") for output in outputs_of(notebook))


def test_notebook_writes_what_it_says(arguments, tmp_path, examples):
    notebook = execute(arguments, tmp_path)
    outputs = tmp_path / "outputs"
    assert sorted(file.name for file in outputs.iterdir()) == FILES
    tokens, labels = read_npz(outputs / "tokens.npz"), read_npz(outputs / "labels.npz")
    pred_probs, questions = read_npz(outputs / "pred_probs.npz"), read_npz(outputs / "questions.npz")
    assert len(tokens) == len(labels) == len(pred_probs) == len(questions) == 12
    for index, example in enumerate(examples):
        assert "".join(tokens[index][labels[index] == 1]) == example["answers"]["text"][0]
        assert len(pred_probs[index]) == len(tokens[index])
        assert questions[index] == example["question"]
    assert "12 examples on 6 contexts of 3 titles" in text_of(notebook)
    # Of a moment: three steps of three folds.
    assert re.search(r"about [01]\.\d minutes to train 3 folds", text_of(notebook))
    assert sum("image/png" in output.get("data", {}) for output in outputs_of(notebook)) == 2
    assert [output for output in outputs_of(notebook) if output.get("name") == "stderr"] == []
    parameters = json.loads((outputs / "run.json").read_text())["parameters"]
    assert parameters == {**parameters, **arguments, "dataset_revision": None, "model_revision": None}


@pytest.mark.slow
def test_working_directory_does_not_matter_and_a_second_run_reuses_the_folds(arguments, tmp_path):
    """As opened in JupyterLab (in notebooks/), and from a folder elsewhere; relative paths are the project's."""
    outputs, elsewhere = ROOT / "outputs" / "test_working_directory", tmp_path / "elsewhere"
    elsewhere.mkdir()
    relative = {**arguments, "outputs_dir": "outputs/test_working_directory"}
    (tmp_path / "parameters.json").write_text(json.dumps(relative))
    written = []
    try:
        for folder in (NOTEBOOK.parent, elsewhere):
            command = [sys.executable, "-m", "papermill", NOTEBOOK, tmp_path / "executed.ipynb"]
            run = subprocess.run(
                [*map(str, command), "-f", str(tmp_path / "parameters.json")],
                cwd=folder, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert run.returncode == 0, run.stderr
            written.append({name: (outputs / name).read_bytes() for name in FILES if name != "run.json"})
            shutil.rmtree(outputs)
    finally:
        shutil.rmtree(outputs, ignore_errors=True)
    assert written[0] == written[1]
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "executed.ipynb").read_text().count("already trained, skipping") == 3


@pytest.mark.slow
def test_what_is_wrong_stops_the_run_before_training(arguments, tmp_path):
    with pytest.raises(PapermillExecutionError) as caught:
        execute({**arguments, "num_splits": 1, "num_split": 4}, tmp_path)
    assert "num_split: no such parameter; did you mean 'num_splits'?" in str(caught.value)
    assert not (tmp_path / "folds").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PapermillExecutionError, match="expected a folder that can be written"):
        execute({**arguments, "outputs_dir": str(tmp_path / "file" / "outputs")}, tmp_path)
    assert list((tmp_path / "folds").iterdir()) == []


@pytest.mark.slow
def test_several_classes_and_dropped_examples(arguments, tmp_path, examples):
    for number, example in enumerate(examples):
        example["answers"]["label"] = ["LOC" if number % 2 == 0 else "YEAR"]
    examples[3]["answers"]["answer_start"] = [5]
    file = tmp_path / "classes.jsonl"
    file.write_text("\n".join(json.dumps(example) for example in examples))
    label_map = {"O": 0, "LOC": 1, "YEAR": 2}
    notebook = execute({**arguments, "dataset": str(file), "label_map": label_map, "on_invalid": "drop"}, tmp_path)
    names = {file.name for file in (tmp_path / "outputs").iterdir()}
    assert {"pred_probs_LOC.npz", "pred_probs_YEAR.npz", "labels_LOC.npz", "labels_YEAR.npz", "tokens.npz"} <= names
    assert len(read_npz(tmp_path / "outputs" / "pred_probs_YEAR.npz")) == 11
    assert "Dropped: '1b' (index 3)." in text_of(notebook)
