"""A fold in a process of its own: the same bytes, errors and deaths in the log, and no process left."""

import contextlib
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
from span_label_errors.cross_validation.fold_process import check_same_code_and_checkpoint, job_of, plan_of
from span_label_errors.cross_validation.out_of_fold import plan_folds
from span_label_errors.cross_validation.shared_examples import shared_examples
from span_label_errors.cross_validation.splits import make_splits
from span_label_errors.cross_validation.store import lock_file
from span_label_errors.cross_validation.workers import FoldJob, WorkerDied, make_in_process
from spanbert import QA, QATrainer

TRAINING = {"num_train_epochs": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 2}
ENDLESS = {**TRAINING, "num_train_epochs": 100_000}


@pytest.fixture(scope="module")
def trainer(tiny_bert) -> QATrainer:
    return QATrainer(QA(tiny_bert, max_length=48, doc_stride=8, precision="float32"), 48, LABEL_MAP)


def plan_in(folder, trainer, **training):
    examples = twelve_examples()
    return plan_folds(examples, trainer, make_splits(examples), 0, folder, training or TRAINING)[0]


@pytest.fixture
def job_in(trainer):
    """Return the job of a fold in a folder, with the examples that it names."""
    with contextlib.ExitStack() as stack:

        def job(folder, **training) -> FoldJob:
            plan = plan_in(folder, trainer, **training)
            shared = shared_examples(folder, plan.configuration["data"], twelve_examples(), print)
            return job_of(plan, fold_trainer.description(trainer), stack.enter_context(shared), num_threads=1)

        yield job


def make_and_note(job, file) -> None:
    """Make a fold, and write to a file how far it is."""
    make_in_process(job, print, file.write_text)


def maker_of(job) -> int:
    """Return the process that makes a fold."""
    return json.loads(lock_file(plan_of(job).folder).read_text())["process"]


def executable(folder, command) -> str:
    """Return a program to be started instead of Python."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{command}\n")
    file.chmod(0o755)
    return str(file)


# --- what goes in and comes out -------------------------------------------------------------------


def test_job_is_read_as_it_was_written(trainer, tmp_path, job_in):
    job = replace(job_in(tmp_path), title="Straße\nor\u2028street?")
    line = job.to_json()
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert FoldJob.from_json(line) == job
    assert plan_of(job) == plan_in(tmp_path, trainer)


def test_two_at_once_give_the_bytes_of_one_after_the_other(trainer, tmp_path, monkeypatch):
    """All variables that a process's libraries look at say how many threads it has."""
    options = {"num_splits": 2, "threads_per_fold": 1, **TRAINING}
    run_all(trainer, twelve_examples(), tmp_path / "one", **options)
    python = executable(tmp_path, f'env >> "{tmp_path}/environment"; exec "{sys.executable}" "$@"')
    monkeypatch.setattr(sys, "executable", python)
    _, lines = run_all(trainer, twelve_examples(), tmp_path / "two", n_jobs=2, **options)
    assert made_folds(tmp_path / "one") == made_folds(tmp_path / "two")
    assert sorted(line.partition(" in ")[0] for line in lines) == [
        f"fold {fold} ({fold + 1} of 2): trained on 6 examples" for fold in range(2)
    ]
    variables = (tmp_path / "environment").read_text().splitlines()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert variables.count(f"{name}=1") == 2


def test_error_of_the_process_is_raised_with_its_traceback_and_advice(job_in, tmp_path):
    """A loss that is no number."""
    with pytest.raises(RuntimeError) as raised:
        make_in_process(job_in(tmp_path, **{**TRAINING, "learning_rate": 1e20}), print)
    first, *lines = str(raised.value).splitlines()
    assert first == "fold 0 (1 of 3) failed in a process of its own:"
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2].startswith("FloatingPointError: expected a finite ")
    assert lines[-1].startswith("fold 0 (1 of 3) is not finished.") and str(tmp_path) in lines[-1]


def test_process_sees_its_gpu_alone(job_in, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable(tmp_path, f'env > "{tmp_path}/environment"'))
    make_in_process(job_in(tmp_path), print, gpu="GPU-7")
    assert "CUDA_VISIBLE_DEVICES=GPU-7" in (tmp_path / "environment").read_text().splitlines()


def test_what_is_not_what_was_planned_is_refused(trainer, tmp_path):
    plan = plan_in(tmp_path, trainer)
    check_same_code_and_checkpoint(plan, trainer)
    for what, name in (("code", "torch"), ("code", "modules"), ("trainer", "checkpoint"), ("trainer", "precision")):
        part = {**plan.configuration[what], name: "other"}
        other = replace(plan, configuration={**plan.configuration, what: part})
        with pytest.raises(RuntimeError, match=f"expected {name} 'other', with which the run was planned, found '"):
            check_same_code_and_checkpoint(other, trainer)


# --- deaths ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fold_of_a_killed_process_resumes(trainer, tmp_path):
    """One of two is killed when its training has begun."""
    options = {"num_splits": 2, "threads_per_fold": 1, **TRAINING, "num_train_epochs": 30}

    def kill():
        wait_until(lambda: next(tmp_path.glob("killed/.fold_1_of_2-*.unfinished/.model.partial"), None))
        (lock,) = tmp_path.glob("killed/.fold_1_of_2-*.lock")
        os.kill(json.loads(lock.read_text())["process"], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    _, lines = run_all(trainer, twelve_examples(), tmp_path / "killed", n_jobs=2, **options)
    killer.join()
    again, resumed, made = (line for line in lines if line.startswith("fold 1 (2 of 2): "))
    assert again == (
        "fold 1 (2 of 2): its worker was killed by SIGKILL (out of memory?); starting it again, it resumes from its "
        "last saved state"
    )
    assert "died while it made this fold; resuming" in resumed and "trained on 6 examples" in made
    run_all(trainer, twelve_examples(), tmp_path / "here", **options)
    assert made_folds(tmp_path / "killed") == made_folds(tmp_path / "here")


@pytest.mark.parametrize("num_bytes", [12, 1_000_000], ids=["little to read", "more to read than a pipe holds"])
@pytest.mark.parametrize(
    ("command", "how"),
    [("exit 5", "ended with exit code 5"), ("kill -s TERM $$", "was killed by SIGTERM")],
    ids=["exit", "signal"],
)
def test_process_that_dies_says_how(job_in, tmp_path, monkeypatch, command, how, num_bytes):
    job = replace(job_in(tmp_path), title="x" * num_bytes)
    monkeypatch.setattr(sys, "executable", executable(tmp_path, command))
    with pytest.raises(WorkerDied, match=f"^its worker {how}$"):
        make_in_process(job, print)


def test_half_a_line_of_a_killed_process_is_left_out(job_in, tmp_path, monkeypatch):
    commands = """echo '["log", "whole"]'; printf '["log", "ha'; kill -9 $$"""
    monkeypatch.setattr(sys, "executable", executable(tmp_path, commands))
    lines = []
    with pytest.raises(WorkerDied, match="was killed by SIGKILL"):
        make_in_process(job_in(tmp_path), lines.append)
    assert lines == ["whole"]


@pytest.fixture
def interruptible():
    """Let an interrupt arrive where the shell has it ignored, as it does in jobs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_interrupt_ends_all_processes(trainer, tmp_path):
    """Ctrl-C while two folds are made; what was saved of them is kept."""

    def interrupt():
        wait_until(lambda: len([*tmp_path.glob(".fold_*.unfinished/.model.partial")]) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_all(trainer, twelve_examples(), tmp_path, n_jobs=2, num_splits=2, threads_per_fold=1, **ENDLESS)
    locks = [*tmp_path.glob(".fold_*.lock")]
    assert len(locks) == 2
    for lock in locks:
        with FileLock(lock, timeout=60):
            pass


@pytest.mark.slow
def test_process_ends_when_its_parent_is_killed(job_in, tmp_path):
    job = job_in(tmp_path / "folds", **ENDLESS)
    parent = start(make_and_note, job, tmp_path / "progress")
    wait_until((tmp_path / "progress").exists)
    assert maker_of(job) != parent.pid
    parent.kill()
    parent.join()
    with FileLock(lock_file(plan_of(job).folder), timeout=60):
        pass
