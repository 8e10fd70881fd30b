"""One fold shared by processes, and folds as the jobs of a batch scheduler."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, squad_document, twelve_examples

from parameters import ParameterError
from train_fold import read_parameters, train_fold

BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
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


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command to its end, and return what it printed."""
    process = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=180,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def fold_report(folds_dir: Path, fold_index: int) -> dict:
    (file,) = folds_dir.glob(f"fold_{fold_index}_of_*/fold.json")
    return json.loads(file.read_text(encoding="utf-8"))


def predicted(folds_dir: Path, fold_index: int) -> np.ndarray:
    (file,) = folds_dir.glob(f"fold_{fold_index}_of_*/predictions/pred_probs.npy")
    return np.load(file, allow_pickle=False)


def test_two_processes_take_the_steps_of_one(parameters_file, tmp_path):
    script = [ROOT / "train_fold.py", "--fold", "1", "-f", parameters_file]
    folds = {count: tmp_path / f"folds_of_{count}" for count in (1, 2)}
    run(sys.executable, *script, "-p", "folds_dir", folds[1])
    launch = [BIN / "accelerate", "launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    printed = run(*launch, *script, "-p", "folds_dir", folds[2])
    assert printed.count("trained on 7 examples") == 1

    one, two = (fold_report(folder, 1) for folder in folds.values())
    # Seven windows: a step of four and one of three, three times.
    assert [epoch for epoch, _ in one["loss_history"]] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert [epoch for epoch, _ in two["loss_history"]] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    losses = [[loss for _, loss in report["loss_history"]] for report in (one, two)]
    # Another order of the data would show: the losses of the steps differ by more than a hundredth.
    assert np.ptp(losses[0]) > 1e-2
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)
    assert two["key"] == one["key"]
    np.testing.assert_allclose(predicted(folds[2], 1), predicted(folds[1], 1), atol=1e-4)

    # A fold that is there is left as it is, and nobody waits for ever.
    assert "already trained" in run(*launch, *script, "-p", "folds_dir", folds[2])


def test_processes_that_cannot_share_a_step_are_refused(parameters_file):
    process = subprocess.run(
        [BIN / "torchrun", "--nproc_per_node", "2", "--standalone", ROOT / "train_fold.py", "--fold", "0",
         "-f", parameters_file, "-p", "batch_size", "3"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=180,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.returncode != 0
    assert "expected a multiple of 2, the processes that share the training, found 3" in process.stderr


def shell_scripts() -> list[str]:
    """The scripts of the README's part about batch schedulers, in order."""
    part = README.split("**A batch scheduler**")[1].split("**One fold on several GPUs")[0]
    return re.findall(r"```sh\n(#!.*?)```", part, re.DOTALL)


def test_array_of_jobs_makes_the_folds_and_a_last_one_gathers(parameters_file, tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    (tmp_path / "outputs").mkdir()
    fold_job, gather_job = shell_scripts()
    parameters = yaml.safe_load(parameters_file.read_text())
    parameters_file.write_text(yaml.safe_dump({**parameters, "num_splits": 2}))

    for fold_index in range(2):
        run("bash", "-c", fold_job, cwd=tmp_path, SLURM_ARRAY_TASK_ID=str(fold_index))
        assert len([*(tmp_path / "folds_dir").glob("fold_*")]) == fold_index + 1
        assert not (tmp_path / "outputs_dir" / "run.json").exists()
    weights = {file: file.stat().st_mtime_ns for file in (tmp_path / "folds_dir").glob("fold_*/*")}
    assert len(weights) > 10

    run("bash", "-c", gather_job, cwd=tmp_path)
    record = json.loads((tmp_path / "outputs_dir" / "run.json").read_text())
    assert record["num_examples"] == 11
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "folds_dir").glob("fold_*/*")} == weights
    printed = (tmp_path / "outputs" / "gathered.ipynb").read_text()
    assert printed.count("already trained, skipping") == 2


def test_parameters_are_the_notebooks_with_files_and_values_over_them(tmp_path):
    (tmp_path / "a.yaml").write_text("num_splits: 5\nseed: 3\n")
    (tmp_path / "b.yaml").write_text("seed: 4\nlearning_rate: 2.0e-5\n")
    given = [("learning_rate", "1e-4"), ("dropout", "null"), ("shuffle", "false"), ("dataset", "squad:validation")]
    found = read_parameters([tmp_path / "a.yaml", tmp_path / "b.yaml"], given)
    assert (found.num_splits, found.seed, found.learning_rate, found.dropout) == (5, 4, 1e-4, None)
    assert (found.shuffle, found.dataset, found.head_learning_rate, found.label_map) == (
        False, "squad:validation", 1e-2, {"O": 0, "ANS": 1},
    )  # fmt: skip


@pytest.mark.parametrize("fold_index", [-1, 3])
def test_fold_that_is_none_is_refused(fold_index):
    with pytest.raises(ParameterError, match=f"^--fold: expected 0 to 2, found {fold_index}$"):
        train_fold(read_parameters([], []), fold_index)


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        ("num_split: 5", [], "num_split: no such parameter; did you mean 'num_splits'?"),
        ("seed: 1", [("batch_size", "0")], "batch_size: expected an integer of at least 1, found 0"),
        ("- 5", [], "expected a YAML file of parameters, `name: value` a line, found [5]"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, content, given, message):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ParameterError, match=re.escape(message)):
        read_parameters([tmp_path / "mine.yaml"], given)
