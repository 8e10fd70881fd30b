"""A fold in a process of its own: the same bytes, errors as they were, deaths told and mended, and no process left."""

import errno
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import twelve_examples
from fault_runs import LABEL_MAP, made_folds, start, wait_until
from filelock import FileLock

import fold_worker
from cross_validation import plan_folds
from fold_pool import FoldPool
from fold_store import lock_file
from fold_worker import FoldJob, FoldProcesses
from locks import exclusive
from spanbert import QA, QATrainer
from splits import LeakError

TRAINING = {"num_train_epochs": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 2}
ENDLESS = {**TRAINING, "num_train_epochs": 100_000}


@pytest.fixture(scope="module")
def trainer(tiny_bert) -> QATrainer:
    return QATrainer(QA(tiny_bert, max_length=48, doc_stride=8, precision="float32"), 48, LABEL_MAP)


def job_of(trainer, folder, fold_index=0, num_threads=1, **training) -> FoldJob:
    examples = twelve_examples()
    plan = plan_folds(examples, trainer, folds_dir=folder, **(training or TRAINING))[fold_index]
    return FoldJob(plan, trainer.description(), examples, num_threads)


def run(job, **options) -> list[str]:
    lines = []
    with FoldProcesses() as processes:
        processes.run(job, lines.append, **options)
    return lines


def run_whole(job) -> None:
    run(job)


def made_here(trainer, folder, fold_index, num_threads, **training) -> dict[str, dict[str, bytes]]:
    plans = plan_folds(twelve_examples(), trainer, folds_dir=folder, **(training or TRAINING))
    FoldPool(1, num_threads).folds([plans[fold_index]], twelve_examples(), trainer, lambda line: None)
    return made_folds(folder)


def signed_by(job) -> int | None:
    """Return the process that makes a fold, once it has taken a step of its training."""
    if not job.plan.progress_file.exists():
        return None
    return json.loads(lock_file(job.plan.folder).read_text())["process"]


# --- what goes in ---------------------------------------------------------------------------------


def test_job_is_read_as_it_was_written(trainer, tmp_path):
    job = job_of(trainer, tmp_path)
    job.examples[0]["question"] = "Straße\nor\u2028street?"
    line = job.to_json()
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    again = FoldJob.from_json(line)
    assert again == job
    assert again.plan.key == job.plan.key
    same = QATrainer.from_description(again.trainer)
    assert (same.settings(), same.description()) == (trainer.settings(), trainer.description())


def test_line_is_read_to_its_end_however_it_comes():
    reader, writer = os.pipe()
    line = b"x" * 200_000 + b"\n"  # more than a pipe holds
    sender = threading.Thread(target=lambda: (os.write(writer, line[:7]), os.write(writer, line[7:])))
    sender.start()
    assert fold_worker._first_line(reader) == line
    sender.join()
    os.close(writer)
    with pytest.raises(SystemExit, match="expected a fold's job on standard input, found nothing"):
        fold_worker._first_line(reader)
    os.close(reader)


# --- what comes out -------------------------------------------------------------------------------


def test_fold_of_a_process_is_that_of_this_process(trainer, tmp_path, monkeypatch):
    """On two threads, which the process is told in all the ways that its libraries ask for, with the GPU named."""
    environment = tmp_path / "environment"
    python = executable(tmp_path, f'env > "{environment}"; exec "{sys.executable}" "$@"')
    monkeypatch.setattr(sys, "executable", python)
    job = job_of(trainer, tmp_path / "there", num_threads=2)
    lines = run(job, gpu="GPU-7")
    assert made_folds(tmp_path / "there") == made_here(trainer, tmp_path / "here", 0, num_threads=2)
    assert json.loads((job.plan.folder / "fold.json").read_text())["num_threads"] == 2
    assert [path.name for path in (tmp_path / "there").iterdir()] == [job.plan.folder.name]
    assert len(lines) == 1 and lines[0].startswith("fold 0 (1 of 3): trained on 8 examples in ")
    variables = environment.read_text().splitlines()
    assert {"OMP_NUM_THREADS=2", "MKL_NUM_THREADS=2", "OPENBLAS_NUM_THREADS=2"} <= set(variables)
    assert "CUDA_VISIBLE_DEVICES=GPU-7" in variables


def test_error_of_the_process_is_raised_as_it_was(trainer, tmp_path):
    """A loss that is no number, and a file where the folds' folder should be: two processes at once."""
    (tmp_path / "file").write_text("")
    absurd = job_of(trainer, tmp_path / "absurd", **{**TRAINING, "learning_rate": 1e20})
    blocked = job_of(trainer, tmp_path / "blocked")
    blocked = replace(blocked, plan=replace(blocked.plan, folder=tmp_path / "file" / "fold"))
    errors = {}

    def make(job):
        try:
            run(job)
        except Exception as error:
            errors[job.plan.folder] = error

    threads = [threading.Thread(target=make, args=[job]) for job in (absurd, blocked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    error = errors[absurd.plan.folder]
    assert type(error) is FloatingPointError
    assert str(error).startswith("expected a finite ")
    advice, there = error.__notes__
    assert advice.startswith("fold 0 (1 of 3) is not finished.") and str(tmp_path / "absurd") in advice
    assert there.startswith("In the fold's own process:\nTraceback (most recent call last):\n")
    assert "in train\n" in there

    error = errors[blocked.plan.folder]
    assert (type(error), error.errno, error.filename) == (FileExistsError, errno.EEXIST, str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ValueError("a", 3, None), ValueError, "('a', 3, None)"),
        (KeyError("name"), KeyError, "'name'"),
        (FileNotFoundError(2, "No such file", Path("x")), FileNotFoundError, "[Errno 2] No such file: 'x'"),
        (OSError("only a text"), OSError, "only a text"),
        (LeakError("seen"), RuntimeError, "LeakError: seen"),
        (json.JSONDecodeError("odd", "{", 1), RuntimeError, "JSONDecodeError: odd: line 1 column 2 (char 1)"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
            RuntimeError,
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: odd",
        ),
        (ExceptionGroup("two", [ValueError("a")]), RuntimeError, "ExceptionGroup: two (1 sub-exception)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_error_is_told_by_type_arguments_and_notes(error, kind, text):
    error.add_note("Try again.")
    try:
        raise error
    except Exception as raised:
        described = json.loads(json.dumps(fold_worker._described(raised)))
    again = fold_worker._raised(described)
    assert (type(again), str(again)) == (kind, text)
    assert again.__notes__[0] == "Try again."
    there = again.__notes__[1]
    assert there.startswith("In the fold's own process:\n") and "Traceback (most recent call last):\n" in there


def test_what_is_not_what_was_planned_is_refused(trainer, tmp_path):
    plan = job_of(trainer, tmp_path).plan
    fold_worker._check_same_code_and_checkpoint(plan, trainer)
    for what, name in (("code", "torch"), ("code", "modules"), ("trainer", "checkpoint"), ("trainer", "precision")):
        part = {**plan.configuration[what], name: "other"}
        other = replace(plan, fold_index=1, configuration={**plan.configuration, what: part})
        with pytest.raises(RuntimeError) as error:
            fold_worker._check_same_code_and_checkpoint(other, trainer)
        assert str(error.value) == (
            f"fold 1 (2 of 3): expected the {what} that the run was planned with, found {name} "
            f"{plan.configuration[what][name]!r} (planned 'other'); let all machines have the same code, libraries and "
            "checkpoint"
        )


# --- deaths ---------------------------------------------------------------------------------------


def executable(folder, command) -> str:
    """Return a program to be started instead of Python."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{command}\n")
    file.chmod(0o755)
    return str(file)


def test_killed_process_is_told_and_its_fold_done_again(trainer, tmp_path):
    job, lines = job_of(trainer, tmp_path / "killed", 1, num_train_epochs=60, learning_rate=1e-3), []

    def kill():
        wait_until(lambda: signed_by(job) is not None)
        os.kill(signed_by(job), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with FoldProcesses() as processes:
        processes.run(job, lines.append)
    killer.join()
    assert lines[0] == (
        "fold 1 (2 of 3): its process was killed by SIGKILL (the system does so when memory runs out); doing it again"
    )
    assert "began this and died; doing what it had not finished" in lines[1]
    undisturbed = made_here(trainer, tmp_path / "here", 1, 1, num_train_epochs=60, learning_rate=1e-3)
    assert made_folds(tmp_path / "killed") == undisturbed


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
    with pytest.raises(RuntimeError) as error, FoldProcesses() as processes:
        processes.run(job, lines.append)
    assert lines == [
        f"fold 0 (1 of 3): its process {how}; {what}" for what in ("doing it again", "doing it again", "giving up")
    ]
    assert str(error.value) == (
        "fold 0 (1 of 3): expected it to be made by a process of its own, which died 3 times, the last time it "
        f"{how}. Is there enough memory for as many folds at once? Try a smaller n_jobs"
    )


def test_half_a_line_of_a_killed_process_is_left_out(trainer, tmp_path, monkeypatch):
    commands = [
        """echo '["log", "whole"]'""",
        """printf '["log", "ha'""",
        'test -e "$0.begun" || { touch "$0.begun"; kill -9 $$; }',
    ]
    monkeypatch.setattr(sys, "executable", executable(tmp_path, "; ".join(commands)))
    lines = run(job_of(trainer, tmp_path))
    assert (lines[0], lines[2:]) == ("whole", ["whole"])
    assert lines[1].startswith("fold 0 (1 of 3): its process was killed by SIGKILL (the system does so when ")


def test_process_ends_with_the_block(trainer, tmp_path):
    job, lines, results = job_of(trainer, tmp_path, **ENDLESS), [], []
    with FoldProcesses() as processes:
        thread = threading.Thread(target=lambda: results.append(processes.run(job, lines.append)))
        thread.start()
        wait_until(lambda: signed_by(job) is not None)
    thread.join(60)
    with exclusive(lock_file(job.plan.folder), print) as has_waited:
        assert not has_waited
    assert (results, lines) == ([None], [])
    with FoldProcesses() as processes:
        pass
    assert processes.run(job, lines.append) is None  # nothing is begun any more
    assert lines == []


def test_process_ends_when_its_parent_is_killed(trainer, tmp_path):
    job = job_of(trainer, tmp_path, **ENDLESS)
    parent = start(run_whole, job)
    wait_until(lambda: signed_by(job) is not None)
    assert signed_by(job) != parent.pid
    parent.kill()
    parent.join()
    with FileLock(lock_file(job.plan.folder), timeout=60):
        pass
