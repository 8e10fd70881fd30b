"""A fold in a process of its own: what it needs goes in as JSON, what it says comes out line by line.

The fold itself is on disk when the process ends. A process that dies, however it dies, takes nothing else with it, and
gives back all its memory, a GPU's too.
"""

import builtins
import contextlib
import json
import os
import signal
import subprocess  # nosec B404 # runs this file alone
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from fold_making import FoldMaking, FoldPlan
from fold_store import code_fingerprint
from progress import ProgressFile
from qa_trainer import QATrainer

MOST_DEATHS = 3
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class FoldJob:
    """Everything that another process needs to make a fold.

    Attributes
    ----------
    plan : FoldPlan
    trainer : dict
        `QATrainer.description`.
    examples : list of dict
        All examples of the data set.
    num_threads : int
        Cores to compute on.
    """

    plan: FoldPlan
    trainer: dict
    examples: list[dict]
    num_threads: int

    def to_json(self) -> bytes:
        """Return the job as one line of JSON."""
        plan = {**self.plan.__dict__, "folder": str(self.plan.folder)}
        plan = {name: plan[name] for name in ("folder", "fold_index", "num_splits", "configuration")}
        content = {"plan": plan, "trainer": self.trainer, "examples": self.examples, "num_threads": self.num_threads}
        return json.dumps(content).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "FoldJob":
        """Return the job that `to_json` was called on."""
        content = json.loads(line)
        plan = content.pop("plan")
        return cls(FoldPlan(Path(plan.pop("folder")), **plan), **content)


class FoldProcesses:
    """Runs jobs, each in a process of its own, from as many threads as are wanted.

    Used as a context manager; leaving the block ends the processes that still run. What they saved is kept.
    """

    def __init__(self):
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._is_over = False

    def __enter__(self) -> "FoldProcesses":
        return self

    def __exit__(self, *_) -> None:
        with self._lock:
            self._is_over = True
            for process in self._running:
                process.kill()

    def run(self, job: FoldJob, log: Callable[[str], None], gpu: str | None = None) -> None:
        """Make a fold; a process that dies is told, and its fold done again.

        Parameters
        ----------
        job : FoldJob
        log : callable
            Gets what the fold says, at once.
        gpu : str, optional
            The one GPU that the process sees, as in CUDA_VISIBLE_DEVICES.

        Raises
        ------
        RuntimeError
            If the fold's process died three times.
        Exception
            What was raised in the process, if it is a built-in exception, else RuntimeError.
        """
        for death in range(1, MOST_DEATHS + 1):
            how = self._run_once(job, log, gpu)
            if how is None or self._is_over:
                return
            again = "doing it again" if death < MOST_DEATHS else "giving up"
            log(f"{job.plan.title}: its process {how}; {again}")
        raise RuntimeError(
            f"{job.plan.title}: expected it to be made by a process of its own, which died {MOST_DEATHS} times, the "
            f"last time it {how}. Is there enough memory for as many folds at once? Try a smaller n_jobs"
        )

    def _run_once(self, job: FoldJob, log: Callable[[str], None], gpu: str | None) -> str | None:
        """Return how the process died, or None if it has made the fold."""
        environment = {**os.environ, **dict.fromkeys(_THREADS, str(job.num_threads))}
        if gpu is not None:
            environment[_VISIBLE_GPUS] = gpu
        command = [sys.executable, str(Path(__file__).resolve())]
        with self._lock:
            if self._is_over:
                return None
            process = subprocess.Popen(  # nosec B603 # the command is fixed
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            self._running.add(process)
        error = None
        try:
            # It ends when this end of the pipe is closed, so also when this process dies.
            with process.stdout:
                try:
                    process.stdin.write(job.to_json())
                    process.stdin.flush()
                except BrokenPipeError:
                    # It died before it had read all; its exit code says how.
                    process.wait()
                for kind, content in _messages(process.stdout):
                    if kind == "error":
                        error = content
                    else:
                        log(content)
                exit_code = process.wait()
        finally:
            process.kill()
            with contextlib.suppress(BrokenPipeError):
                # It would be sent what the process died before reading.
                process.stdin.close()
            with self._lock:
                self._running.discard(process)
        if error is not None:
            raise _raised(error)
        return None if exit_code == 0 else _how_it_died(exit_code)


def _messages(stream) -> Iterator[tuple[str, object]]:
    for line in stream:
        # A process that is killed may leave half a line.
        if line.endswith(b"\n"):
            yield tuple(json.loads(line))


def _how_it_died(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    hint = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def _described(error: BaseException) -> dict:
    arguments = [argument if isinstance(argument, str | int | None) else str(argument) for argument in error.args]
    if isinstance(error, OSError) and error.filename is not None:
        arguments = [error.errno, error.strerror, str(error.filename)]
    return {
        "type": type(error).__name__,
        "text": str(error),
        "arguments": arguments,
        "notes": getattr(error, "__notes__", []),
        "traceback": "".join(traceback.format_exception(error)),
    }


def _raised(described: dict) -> Exception:
    kind = getattr(builtins, described["type"], None)
    error = RuntimeError(f"{described['type']}: {described['text']}")
    if isinstance(kind, type) and issubclass(kind, Exception):
        # Some want arguments that are no text, such as UnicodeDecodeError.
        with contextlib.suppress(TypeError, ValueError):
            error = kind(*described["arguments"])
    for note in described["notes"]:
        error.add_note(note)
    error.add_note("In the fold's own process:\n" + described["traceback"].rstrip())
    return error


def _check_same_code_and_checkpoint(plan: FoldPlan, trainer: QATrainer) -> None:
    """Raise RuntimeError if what would make the fold here is not what it is filed under."""
    for what, here in (("code", code_fingerprint()), ("trainer", json.loads(json.dumps(trainer.settings())))):
        planned = plan.configuration[what]
        different = sorted(name for name in planned.keys() | here.keys() if planned.get(name) != here.get(name))
        if different:
            found = ", ".join(f"{name} {here.get(name)!r} (planned {planned.get(name)!r})" for name in different)
            raise RuntimeError(
                f"{plan.title}: expected the {what} that the run was planned with, found {found}; let all machines "
                "have the same code, libraries and checkpoint"
            )


def _end_with_the_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> None:
    """Read a job from standard input, make its fold, and say on standard output what happens."""
    # Who started this decides when it ends; a Ctrl-C in the terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # Whatever else is printed must not stand between the messages.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(kind: str, content: object) -> None:
        print(json.dumps([kind, content]), file=messages, flush=True)

    job = FoldJob.from_json(_first_line(sys.stdin.fileno()))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        torch.set_num_threads(job.num_threads)
        trainer = QATrainer.from_description(job.trainer)
        _check_same_code_and_checkpoint(job.plan, trainer)
        progress = ProgressFile(job.plan.progress_file)
        FoldMaking(job.plan, job.examples, trainer, lambda text: send("log", text), progress).fold()
    except Exception as error:
        send("error", _described(error))


def _first_line(descriptor: int) -> bytes:
    """Read to the first newline, and nothing beyond it."""
    parts = []
    while not parts or not parts[-1].endswith(b"\n"):
        part = os.read(descriptor, 1 << 20)
        if not part:
            raise SystemExit("expected a fold's job on standard input, found nothing; FoldProcesses.run starts this")
        parts.append(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
