"""The training notebook: clean when committed, and the same wherever and however it is run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import torch
from conftest import ROOT
from papermill.exceptions import PapermillExecutionError

from checkpoints import resolve_checkpoint
from parameters import TrainingParameters
from span_classification_tutorial_utils import read_npz
from span_model import load_network
from spanbert import QA

NOTEBOOK = ROOT / "notebooks" / "span_categorizer_training.ipynb"
FILES = ["labels.npz", "out_of_fold.parquet", "pred_probs.npz", "questions.npz", "run.json", "tokens.npz"]


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


def execute(arguments, tmp_path, **options):
    return papermill.execute_notebook(
        NOTEBOOK, tmp_path / "executed.ipynb", arguments, progress_bar=False, cwd=tmp_path, **options
    )


def text_of(notebook) -> str:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


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
    text = text_of(notebook)
    assert "12 questions on 6 paragraphs of 3 articles" in text
    assert "fold 2 (3 of 3): trained on 8 examples" in text
    images = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})]
    assert len(images) == 2
    for fold in (tmp_path / "folds").iterdir():
        seed = json.loads((fold / "fold.json").read_text())["seed"]
        untrained = load_network(resolve_checkpoint(arguments["model_checkpoint"]), {"O": 0, "ANS": 1}, seed)
        assert not torch.equal(QA(fold).model.classifier.weight.cpu(), untrained.classifier.weight)
    errors = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.get("name") == "stderr"]
    assert errors == []


def test_second_run_reuses_folds_and_writes_the_same_bytes(arguments, tmp_path):
    execute(arguments, tmp_path)
    first = {name: (tmp_path / "outputs" / name).read_bytes() for name in FILES}
    shutil.rmtree(tmp_path / "outputs")
    notebook = execute(arguments, tmp_path)
    assert text_of(notebook).count("already trained, skipping") == 3
    for name in set(FILES) - {"run.json"}:
        assert (tmp_path / "outputs" / name).read_bytes() == first[name], name


def test_unknown_parameter_stops_the_run_and_suggests_one(arguments, tmp_path):
    with pytest.raises(PapermillExecutionError, match=r"num_split: no such parameter; did you mean 'num_splits'\?"):
        execute({**arguments, "num_split": 4}, tmp_path)
    assert not (tmp_path / "folds").exists()


def test_wrong_values_stop_the_run_before_training(arguments, tmp_path):
    with pytest.raises(PapermillExecutionError) as caught:
        execute({**arguments, "num_splits": 1, "num_examples": "none", "batch_size": "4"}, tmp_path)
    for message in (
        "num_splits: expected an integer of at least 2, found 1 (int)",
        "num_examples: expected an integer of at least 2 or None, found 'none' (str, a text; with papermill",
        "batch_size: expected an integer of at least 1, found '4' (str, a text; with papermill",
    ):
        assert message in str(caught.value)
    assert not (tmp_path / "folds").exists()


def test_outputs_folder_that_cannot_be_written_is_known_before_training(arguments, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PapermillExecutionError, match="expected a folder that can be written"):
        execute({**arguments, "outputs_dir": str(tmp_path / "file" / "outputs")}, tmp_path)
    assert list((tmp_path / "folds").iterdir()) == []


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


def run_in(folder, notebook, arguments, tmp_path):
    """Run the notebook with another working directory, as a process of its own."""
    parameters = tmp_path / "parameters.json"
    parameters.write_text(json.dumps(arguments))
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(notebook),
        str(tmp_path / "executed.ipynb"),
        "-f",
        str(parameters),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_working_directory_does_not_matter(arguments, tmp_path):
    """As opened in JupyterLab (in notebooks/), and from a folder elsewhere; relative paths are the project's."""
    relative = {**arguments, "outputs_dir": "outputs/test_working_directory", "folds_dir": str(tmp_path / "folds")}
    outputs = ROOT / "outputs" / "test_working_directory"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    written = []
    try:
        for folder in (NOTEBOOK.parent, elsewhere):
            run = run_in(folder, NOTEBOOK, relative, tmp_path)
            assert run.returncode == 0, run.stderr
            written.append((outputs / "pred_probs.npz").read_bytes())
            shutil.rmtree(outputs)
    finally:
        shutil.rmtree(outputs, ignore_errors=True)
    assert written[0] == written[1]
    assert list(elsewhere.iterdir()) == []


def test_squad_configuration_names_known_parameters():
    import yaml

    configuration = yaml.safe_load((NOTEBOOK.parent / "squad.yaml").read_text())
    assert set(configuration) <= set(TrainingParameters.__dataclass_fields__)
    source = next(c.source for c in nbformat.read(NOTEBOOK, 4).cells if "parameters" in c.metadata.get("tags", []))
    namespace = {}
    exec(f"from typing import Optional\n{source}", namespace)
    parameters = TrainingParameters.from_notebook({**namespace, **configuration})
    assert (parameters.dataset, parameters.num_examples, parameters.model_checkpoint) == (
        "squad",
        100,
        "bert-base-cased",
    )
    assert Path(parameters.outputs_dir) == ROOT / "outputs" / "squad"
