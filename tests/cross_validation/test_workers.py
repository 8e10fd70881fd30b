"""A fold in a process of its own: the same bytes, errors as they were, deaths told and mended, and no process left."""

import json
import os
import signal
import sys
import threading
from dataclasses import replace

import pytest
from conftest import twelve_examples
from dummy_trainer import LABEL_MAP
from dummy_trainer import run as run_all
from fault_runs import made_folds, start, wait_until
from filelock import FileLock

from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.cross_validation.make import FoldMaking
from span_label_errors.cross_validation.out_of_fold import plan_folds
from span_label_errors.cross_validation.pool import until_made
from span_label_errors.cross_validation.store import lock_file
from span_label_errors.cross_validation.workers import (
    FoldJob,
    FoldProcesses,
    WorkerDied,
    check_same_code_and_checkpoint,
)
from span_label_errors.locks import exclusive
from spanbert import QA, QATrainer

TRAINING = {"num_train_epochs": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 2}
ENDLESS = {**TRAINING, "num_train_epochs": 100_000}


@pytest.fixture(scope="module")
def trainer(tiny_bert) -> QATrainer:
    return QATrainer(QA(tiny_bert, max_length=48, doc_stride=8, precision="float32"), 48, LABEL_MAP)


def job_of(trainer, folder, fold_index=0, **training) -> FoldJob:
    examples = twelve_examples()
    plan = plan_folds(examples, trainer, folds_dir=folder, **(training or TRAINING))[fold_index]
    return FoldJob(plan, fold_trainer.description(trainer), examples, num_threads=1)


def run(job, progress=lambda text: None, lines=None, **options) -> list[str]:
    lines = [] if lines is None else lines
    with FoldProcesses() as processes:

        def make():
            return processes.run(job, lines.append, progress, **options)

        until_made(job.plan.title, make, lines.append, is_over=lambda: False)
    return lines


def run_and_note(job, file) -> None:
    """Run, and write how far the fold is to a file."""
    run(job, lambda text: file.write_text(text))


def made_here(job, trainer):
    """Return the files of the fold of a job, made in this process."""
    FoldMaking(job.plan, job.examples, trainer, lambda line: None).fold()
    return made_folds(job.plan.folder.parent)


def maker_of(job) -> int:
    """Return the process that makes a fold."""
    return json.loads(lock_file(job.plan.folder).read_text())["process"]


def executable(folder, command) -> str:
    """Return a program to be started instead of Python."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{command}\n")
    file.chmod(0o755)
    return str(file)


# --- what goes in and comes out -------------------------------------------------------------------


def test_job_is_read_as_it_was_written(trainer, tmp_path):
    job = job_of(trainer, tmp_path)
    job.examples[0]["question"] = "Straße\nor\u2028street?"
    line = job.to_json()
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert FoldJob.from_json(line) == job


def test_two_at_once_give_the_bytes_of_one_after_the_other(trainer, tmp_path, monkeypatch):
    """Each process is told its threads in all the ways that its libraries ask for."""
    run_all(trainer, twelve_examples(), tmp_path / "one", num_splits=2, threads_per_fold=1, **TRAINING)
    python = executable(tmp_path, f'env >> "{tmp_path}/environment"; exec "{sys.executable}" "$@"')
    monkeypatch.setattr(sys, "executable", python)
    _, lines = run_all(
        trainer, twelve_examples(), tmp_path / "two", num_splits=2, threads_per_fold=1, n_jobs=2, **TRAINING
    )
    assert made_folds(tmp_path / "one") == made_folds(tmp_path / "two")
    assert sorted(line.partition(" in ")[0] for line in lines) == [
        f"fold {fold} ({fold + 1} of 2): trained on 6 examples" for fold in range(2)
    ]
    variables = (tmp_path / "environment").read_text().splitlines()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert variables.count(f"{name}=1") == 2


def test_error_of_the_process_is_raised_as_it_was(trainer, tmp_path):
    """A loss that is no number."""
    job = job_of(trainer, tmp_path, **{**TRAINING, "learning_rate": 1e20})
    with pytest.raises(FloatingPointError, match="expected a finite ") as raised:
        run(job)
    advice, there = raised.value.__notes__
    assert advice.startswith("fold 0 (1 of 3) is not finished.") and str(tmp_path) in advice
    assert there.startswith("In the fold's own process:\nTraceback (most recent call last):\n")


def test_process_sees_its_gpu_alone(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable(tmp_path, f'env > "{tmp_path}/environment"'))
    run(job_of(trainer, tmp_path), gpu="GPU-7")
    assert "CUDA_VISIBLE_DEVICES=GPU-7" in (tmp_path / "environment").read_text().splitlines()


@pytest.mark.parametrize(
    ("described", "kind", "text"),
    [
        ({"type": "ValueError", "arguments": ["a", 3, None]}, ValueError, "('a', 3, None)"),
        ({"type": "OSError", "arguments": [2, "No such file", "x"]}, FileNotFoundError, "[Errno 2] No such file: 'x'"),
        ({"type": "LeakError", "arguments": ["seen"]}, RuntimeError, "LeakError: of the process"),
        ({"type": "UnicodeDecodeError", "arguments": ["utf-8"]}, RuntimeError, "UnicodeDecodeError: of the process"),
        ({"type": "SystemExit", "arguments": [0]}, RuntimeError, "SystemExit: of the process"),
    ],
)
def test_error_is_raised_as_its_type_if_that_is_built_in(trainer, tmp_path, monkeypatch, described, kind, text):
    described |= {"text": "of the process", "notes": ["Try again."], "traceback": "Traceback\n"}
    (tmp_path / "message").write_text(json.dumps(["error", described]) + "\n")
    monkeypatch.setattr(sys, "executable", executable(tmp_path, f'cat "{tmp_path}/message"'))
    with pytest.raises(kind) as raised:
        run(job_of(trainer, tmp_path))
    assert (type(raised.value), str(raised.value)) == (kind, text)
    assert raised.value.__notes__ == ["Try again.", "In the fold's own process:\nTraceback"]


def test_what_is_not_what_was_planned_is_refused(trainer, tmp_path):
    plan = job_of(trainer, tmp_path).plan
    check_same_code_and_checkpoint(plan, trainer)
    for what, name in (("code", "torch"), ("code", "modules"), ("trainer", "checkpoint"), ("trainer", "precision")):
        part = {**plan.configuration[what], name: "other"}
        other = replace(plan, configuration={**plan.configuration, what: part})
        with pytest.raises(
            RuntimeError, match=rf"expected the {what} .*, found {name} .* \(planned 'other'\); let all"
        ):
            check_same_code_and_checkpoint(other, trainer)


# --- deaths ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_process_is_told_and_its_fold_made_again(trainer, tmp_path):
    training = {**TRAINING, "num_train_epochs": 30}
    job, shown = job_of(trainer, tmp_path / "killed", 1, **training), []

    def kill_once(text):
        shown.append(text)
        if len(shown) == 5:
            os.kill(maker_of(job), signal.SIGKILL)

    lines = run(job, kill_once)
    assert shown[0].startswith("fold 1 (2 of 3) · training ") and "step 1 of 120" in shown[0]
    assert shown[-1] == ""
    assert lines[0] == (
        "fold 1 (2 of 3): its process was killed by SIGKILL (the system does so when memory runs out); doing it again"
    )
    assert "began this and died; doing what it had not finished" in lines[1]
    here = job_of(trainer, tmp_path / "here", 1, **training)
    assert made_folds(tmp_path / "killed") == made_here(here, trainer)


@pytest.mark.parametrize("examples", [12, 40_000], ids=["little to read", "more to read than a pipe holds"])
@pytest.mark.parametrize(
    ("command", "how"),
    [("exit 5", "ended with exit code 5"), ("kill -s TERM $$", "was killed by SIGTERM")],
    ids=["exit", "signal"],
)
def test_three_deaths_are_enough(trainer, tmp_path, monkeypatch, command, how, examples):
    job = job_of(trainer, tmp_path)
    job = replace(job, examples=job.examples * (examples // 12))
    monkeypatch.setattr(sys, "executable", executable(tmp_path, command))
    lines = []
    expected = f"found that 3 died, the last time its process {how}. .* a smaller n_jobs"
    with pytest.raises(RuntimeError, match=expected):
        run(job, lines=lines)
    assert lines == [f"fold 0 (1 of 3): its process {how}; doing it again"] * 2


def test_half_a_line_of_a_killed_process_is_left_out(trainer, tmp_path, monkeypatch):
    commands = [
        """echo '["log", "whole"]'""",
        """printf '["log", "ha'""",
        'test -e "$0.begun" || { touch "$0.begun"; kill -9 $$; }',
    ]
    monkeypatch.setattr(sys, "executable", executable(tmp_path, "; ".join(commands)))
    lines = run(job_of(trainer, tmp_path))
    assert (lines[0], lines[2:]) == ("whole", ["whole"])
    assert "was killed by SIGKILL" in lines[1]


@pytest.mark.slow
def test_process_ends_with_the_block(trainer, tmp_path):
    job, lines, deaths, begun = job_of(trainer, tmp_path, **ENDLESS), [], [], threading.Event()

    def make():
        try:
            processes.run(job, lines.append, lambda text: begun.set())
        except WorkerDied as died:
            deaths.append(str(died))

    with FoldProcesses() as processes:
        thread = threading.Thread(target=make)
        thread.start()
        assert begun.wait(120)
    thread.join(60)
    assert len(deaths) == 1 and "was killed by SIGKILL" in deaths[0]
    with exclusive(lock_file(job.plan.folder), print) as has_waited:
        assert not has_waited
    assert processes.run(job, lines.append) is None  # nothing is begun any more
    assert lines == []


@pytest.mark.slow
def test_process_ends_when_its_parent_is_killed(trainer, tmp_path):
    job = job_of(trainer, tmp_path / "folds", **ENDLESS)
    parent = start(run_and_note, job, tmp_path / "progress")
    wait_until((tmp_path / "progress").exists)
    assert maker_of(job) != parent.pid
    parent.kill()
    parent.join()
    with FileLock(lock_file(job.plan.folder), timeout=60):
        pass
