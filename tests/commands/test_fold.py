"""The `fold` command: one process or several, and folds as the jobs of a batch scheduler."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import papermill.cli
import pytest
import torch
import yaml
from conftest import ROOT, squad_document, twelve_examples

from span_label_errors.commands import fold as train_fold
from span_label_errors.notebook.training_settings import TrainingParameters

BIN = Path(sys.executable).parent
NOTEBOOK = ROOT / "notebooks" / "span_categorizer_training.ipynb"
# Fold 1 holds out 4 of 11 examples, so that the last step of an epoch takes three windows of four.
TRAINING = {
    "max_length": 48, "doc_stride": 8, "num_train_epochs": 3, "num_splits": 3, "batch_size": 4, "frozen_layers": 1,
    "learning_rate": 1e-3, "training_arguments": {"logging_steps": 1}, "shuffle": False,
}  # fmt: skip


@pytest.fixture
def parameters_file(tmp_path, tiny_bert) -> Path:
    """Parameters of a tiny run, as YAML."""
    examples = twelve_examples()[1:]
    (tmp_path / "squad.json").write_text(json.dumps(squad_document(examples)), encoding="utf-8")
    own = {name: str(tmp_path / name) for name in ("folds_dir", "outputs_dir")}
    parameters = {**TRAINING, **own, "dataset": str(tmp_path / "squad.json"), "model_checkpoint": str(tiny_bert)}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(parameters), encoding="utf-8")
    return file


@pytest.fixture
def threads():
    """The number of threads of this process, which is put back."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def launch(*command: str | Path, is_refused: bool = False) -> str:
    """Run a command to its end, and return what it printed."""
    process = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (process.returncode != 0) == is_refused, process.stdout + process.stderr
    return process.stdout + process.stderr


def made_fold(folds_dir: Path, fold_index: int) -> tuple[dict, np.ndarray]:
    """Return the report of a fold, and its probabilities."""
    (folder,) = folds_dir.glob(f"fold_{fold_index}_of_*")
    probs = np.load(folder / "predictions" / "pred_probs.npy", allow_pickle=False)
    return json.loads((folder / "fold.json").read_text(encoding="utf-8")), probs


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(parameters_file, tmp_path):
    script = ["-m", "span_label_errors", "fold", "--fold", "1", "-f", parameters_file]
    folds = {count: tmp_path / f"folds_of_{count}" for count in (1, 2)}
    launch(sys.executable, *script, "-p", "folds_dir", folds[1])
    two_processes = [BIN / "accelerate", "launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    printed = launch(*two_processes, *script, "-p", "folds_dir", folds[2], "-p", "n_jobs", "-1")
    assert printed.count("trained on 7 examples") == printed.count("n_jobs: of no effect here") == 1

    (one, probs_of_one), (two, probs_of_two) = (made_fold(folder, 1) for folder in folds.values())
    # Seven windows: a step of four and one of three, three times.
    epochs, losses = zip(*(zip(*report["loss_history"], strict=True) for report in (one, two)), strict=True)
    assert epochs == ((0.5, 1.0, 1.5, 2.0, 2.5, 3.0),) * 2
    # Another order of the data would show: the losses of the steps differ by more than a hundredth.
    assert np.ptp(losses[0]) > 1e-2
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)
    assert two["key"] == one["key"]
    np.testing.assert_allclose(probs_of_two, probs_of_one, atol=1e-4)

    # A fold that is there is left as it is, and nobody waits for ever.
    assert "already trained" in launch(*two_processes, *script, "-p", "folds_dir", folds[2])


@pytest.mark.slow
def test_processes_that_cannot_share_a_step_are_refused(parameters_file):
    said = launch(
        BIN / "torchrun", "--nproc_per_node", "2", "--standalone", "-m", "span_label_errors", "fold", "--fold", "0",
        "-f", parameters_file, "-p", "batch_size", "3", is_refused=True,
    )  # fmt: skip
    assert "expected a multiple of 2, the processes that share the training, found 3" in said


def test_a_fold_is_made_on_as_many_threads_as_asked_for(parameters_file, tmp_path, threads, capsys):
    given = ["-f", str(parameters_file), "-p", "threads_per_fold", str(threads + 1), "-p", "parallel_backend", "ray"]
    train_fold.main(["--fold", "2", *given])
    assert [folder.name[:11] for folder in (tmp_path / "folds_dir").iterdir()] == ["fold_2_of_3"]
    assert made_fold(tmp_path / "folds_dir", 2)[0]["num_threads"] == threads + 1
    printed = capsys.readouterr().out
    assert printed.count("parallel_backend: of no effect here, where one fold is made by the processes") == 1
    assert "n_jobs" not in printed


@pytest.mark.slow
def test_folds_made_as_jobs_are_gathered_by_the_notebook(parameters_file, tmp_path):
    for fold_index in range(2):
        train_fold.main(["--fold", str(fold_index), "-f", str(parameters_file), "-p", "num_splits", "2"])
        assert len([*(tmp_path / "folds_dir").glob("fold_*")]) == fold_index + 1
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "folds_dir").glob("fold_*/*")}
    assert len(made) > 10
    given = {**yaml.safe_load(parameters_file.read_text()), "num_splits": 2}
    papermill.execute_notebook(NOTEBOOK, tmp_path / "gathered.ipynb", given, progress_bar=False)
    assert (tmp_path / "gathered.ipynb").read_text().count("already trained, skipping") == 2
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "folds_dir").glob("fold_*/*")} == made
    assert json.loads((tmp_path / "outputs_dir" / "run.json").read_text())["num_examples"] == 11


def test_without_training_there_is_fold_0_alone(parameters_file, tmp_path, tiny_reader, capsys):
    given = ["-f", str(parameters_file), "-p", "num_splits", "0", "-p", "model_checkpoint", str(tiny_reader)]
    assert train_fold.main(["--fold", "1", *given]) == 2
    assert capsys.readouterr().err == "--fold: expected 0, found 1\n"
    assert train_fold.main(["--fold", "0", *given]) == 0
    assert made_fold(tmp_path / "folds_dir", 0)[0]["train_indices"] == []
    assert "the checkpoint as it is predicted 11 examples: loss" in capsys.readouterr().out


def test_parameters_are_those_that_papermill_takes(tmp_path, monkeypatch):
    """Both read the same command line: papermill by writing its cell of parameters, which is run here."""
    (tmp_path / "a.yaml").write_text("num_splits: 5\nseed: 3\nnum_examples: 7\n")
    (tmp_path / "b.yaml").write_text("seed: 4\nlearning_rate: 2.0e-5\n")
    given = [
        "-p", "num_examples", "None", "-p", "shuffle", "False", "-p", "dataset", "squad:dev", "-p", "n_jobs", "-1",
        "-p", "learning_rate", "1e-4", "-r", "model_revision", "7", "-y", "dropout: null\ndataset_revision: main",
        "-f", str(tmp_path / "a.yaml"), "-f", str(tmp_path / "b.yaml"), "-p", "model_checkpoint", "org/name",
        "-p", "model_revision", "8", "-y", "label_map: {O: 0, PER: 1}",
    ]  # fmt: skip
    asked = []
    monkeypatch.setattr(train_fold, "make_fold", lambda *call: asked.append(call))
    train_fold.main(["--fold", "1", *given])

    prepared = tmp_path / "prepared.ipynb"
    papermill.cli.papermill.main([str(NOTEBOOK), str(prepared), "--prepare-only", *given], standalone_mode=False)
    cells = json.loads(prepared.read_text())["cells"]
    (injected,) = ["".join(c["source"]) for c in cells if "injected-parameters" in c["metadata"].get("tags", [])]
    namespace = {name: field.default for name, field in TrainingParameters.model_fields.items()} | {"In": [injected]}
    exec(injected, namespace)
    ((found, fold_index),) = asked
    assert (found, fold_index) == (TrainingParameters.from_notebook(namespace), 1)
    assert (found.num_examples, found.seed, found.model_revision, found.dataset_revision, found.n_jobs) == (
        None, 4, "7", "main", -1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        ("num_split: 5", [], "num_split: no such parameter; did you mean 'num_splits'?"),
        ("seed: 1", ["-p", "batch_size", "0"], "batch_size: expected greater than or equal to 1, found int 0"),
        ("seed: 1", ["-p", "shuffle", "true"], "shuffle: expected a valid boolean, found str 'true'; with"),
        ("- 5", [], "expected YAML of parameters, `name: value` a line, found [5]"),
        ("seed: [", [], "mine.yaml: expected YAML of parameters; while parsing"),
        ("", ["-f", "/no/such.yaml"], "/no/such.yaml: expected a YAML file of parameters; [Errno 2]"),
        ("", ["--fold", "3"], "--fold: expected 0 to 2, found 3"),
        ("", ["--fold", "-1"], "--fold: expected 0 to 2, found -1"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, capsys, content, given, message):
    (tmp_path / "mine.yaml").write_text(content)
    assert train_fold.main(["--fold", "0", "-f", str(tmp_path / "mine.yaml"), *given]) == 2
    assert message in capsys.readouterr().err
