"""A whole run in a process of its own, which can be killed, interrupted or kept from writing."""

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

# A server that has imported everything forks each run, so that a run takes a second.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["span_label_errors.results.write", "span_label_errors.data.squad"])

LABEL_MAP = {"O": 0, "ANS": 1}
TRAINING = {"num_train_epochs": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 2, "dropout": 0.1}
NUM_SPLITS = 2
# Two epochs of six examples in batches of two, in each of two folds; after each step but the last a state is saved.
NUM_STEPS = NUM_SPLITS * (6 - 1)


def pipeline(
    folder: Path, checkpoint: Path, outputs: str = "outputs", after_step: Callable[[], None] = lambda: None
) -> None:
    """Load, train, predict and write in `folder`, and note in `steps.txt` each step after which a state is saved."""
    from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
    from span_label_errors.data.squad import load_squad
    from span_label_errors.model.training_states import TrainingStates
    from span_label_errors.results.write import write_outputs
    from spanbert import QA, QATrainer

    def is_due(states) -> bool:
        _append(folder / "steps.txt", "done")
        after_step()
        return True

    TrainingStates.is_due = is_due
    dataset = load_squad(folder / "squad.json")
    trainer = QATrainer(QA(checkpoint, max_length=48, doc_stride=8), 48, LABEL_MAP)
    out_of_fold = out_of_fold_predictions(
        dataset, trainer, num_splits=NUM_SPLITS, folds_dir=folder / "folds",
        log=lambda line: _append(folder / "log.txt", f"{os.getpid()} {line}"), **TRAINING,
    )  # fmt: skip
    write_outputs(folder / outputs, dataset, out_of_fold, {"seed": 0, "num_splits": NUM_SPLITS}, seconds=1.0)


def pipeline_that_waits(folder: Path, checkpoint: Path, outputs: str, logged: str) -> None:
    """Run, and stay in the first step, holding the lock of its fold, until a text is in the log."""
    pipeline(folder, checkpoint, outputs, after_step=lambda: wait_until(lambda: logged in log_of(folder)))


def pipeline_that_fails(folder: Path, checkpoint: Path, outputs: str = "outputs") -> None:
    """Run, and write to `error.txt` what went wrong, as a person would see it."""
    try:
        pipeline(folder, checkpoint, outputs)
    except BaseException as error:
        text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
        (folder / "error.txt").write_text(text)
        sys.exit(3)


def pipeline_that_stops(folder: Path, checkpoint: Path, after_events: int, signal_number: int) -> None:
    """Run, and send itself a signal when it opens, renames or removes a file for the n-th time."""
    # A shell that starts the tests in the background has its children ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    count = 0

    def hook(event: str, _) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            count += 1
            if count == after_events:
                os.kill(os.getpid(), signal_number)

    sys.addaudithook(hook)
    try:
        pipeline(folder, checkpoint)
    finally:
        (folder / "events.txt").write_text(str(count))


def pipeline_with_small_files(folder: Path, checkpoint: Path, most_bytes: int) -> None:
    """Run where no file can grow beyond a size, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    pipeline_that_fails(folder, checkpoint)


def start(target, *arguments) -> multiprocessing.Process:
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    return process


def run(target, *arguments, timeout: float = 120) -> int:
    """Run a target to its end and return its exit code, minus the signal that ended it."""
    process = start(target, *arguments)
    process.join(timeout)
    assert process.exitcode is not None, "expected the run to end"
    return process.exitcode


def kill_after(seconds: float, target, *arguments) -> int:
    """Start a target, kill it after some time, and return its exit code."""
    process = start(target, *arguments)
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode


def results(outputs: Path) -> dict[str, bytes]:
    """Return the content of all outputs, without the times in `run.json`."""
    content = {file.name: file.read_bytes() for file in outputs.iterdir() if not file.name.startswith(".")}
    record = json.loads(content["run.json"])
    record["seconds"] = None
    for fold in record["folds"]:
        fold["seconds"] = None
    content["run.json"] = json.dumps(record).encode()
    return content


def made_folds(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the content of all files of all folds in a folder, without the times in `fold.json` and its seal."""
    made = {}
    for fold in folder.glob("fold_*"):
        content = {file.relative_to(fold).as_posix(): file.read_bytes() for file in fold.rglob("*") if file.is_file()}
        report = json.loads(content["fold.json"])
        content["fold.json"] = json.dumps({**report, "seconds": None, "sha256": None}).encode()
        made[fold.name] = content
    return made


def wait_until(happened: Callable[[], object], timeout: float = 120) -> None:
    """Wait for what another process does to files."""
    end = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < end, "expected it to happen"
        time.sleep(0.01)


def steps_taken(folder: Path) -> int:
    file = folder / "steps.txt"
    return len(file.read_text().splitlines()) if file.exists() else 0


def log_of(folder: Path) -> str:
    file = folder / "log.txt"
    return file.read_text() if file.exists() else ""


def _append(file: Path, line: str) -> None:
    with file.open("a") as stream:
        stream.write(line + "\n")
