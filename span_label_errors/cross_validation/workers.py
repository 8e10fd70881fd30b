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

from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.cross_validation.make import FoldMaking, FoldPlan
from span_label_errors.cross_validation.store import code_fingerprint

_PACKAGE_PATH = str(Path(__file__).resolve().parents[2])
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class FoldJob:
    """Everything that another process needs to make a fold.

    Attributes
    ----------
    plan : FoldPlan
    trainer : dict
        `fold_trainer.description`.
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
        plan = {name: getattr(self.plan, name) for name in ("folder", "fold_index", "num_splits", "configuration")}
        return json.dumps({**vars(self), "plan": plan}, default=str).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "FoldJob":
        """Return the job that `to_json` was called on."""
        content = json.loads(line)
        plan = content.pop("plan")
        return cls(FoldPlan(Path(plan.pop("folder")), **plan), **content)


class WorkerDied(Exception):
    """Says how a process, or a part of a cluster, went away while it made a fold."""


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

    def run(
        self,
        job: FoldJob,
        log: Callable[[str], None],
        progress: Callable[[str], None] = lambda text: None,
        gpu: str | None = None,
    ) -> None:
        """Make a fold.

        Parameters
        ----------
        job : FoldJob
        log : callable
            Gets what the fold says, at once.
        progress : callable
            Gets how far the fold is, each text in place of the one before.
        gpu : str, optional
            The one GPU that the process sees, as in CUDA_VISIBLE_DEVICES.

        Raises
        ------
        WorkerDied
            If the fold's process died.
        Exception
            What was raised in the process, if it is a built-in exception, else RuntimeError.
        """
        receive = {"log": log, "progress": progress}
        environment = {**os.environ, **dict.fromkeys(_THREADS, str(job.num_threads))}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        # -P: nothing in the working directory may stand in for a module; the package itself need not be installed.
        command = [sys.executable, "-P", "-m", __spec__.name]
        environment["PYTHONPATH"] = os.pathsep.join([_PACKAGE_PATH, *filter(None, [os.environ.get("PYTHONPATH")])])
        with self._lock:
            if self._is_over:
                return
            process = subprocess.Popen(  # nosec B603 # the command is fixed
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            self._running.add(process)
        error = None
        try:
            # The process ends when this end of the pipe is closed, so also when this process dies.
            with process.stdout:
                # A process that died before it had read all has an exit code that says how.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(job.to_json())
                    process.stdin.flush()
                for kind, content in _messages(process.stdout):
                    if kind == "error":
                        error = content
                    else:
                        receive[kind](content)
                exit_code = process.wait()
        finally:
            process.kill()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            with self._lock:
                self._running.discard(process)
        if error is not None:
            raise _raised(error)
        if exit_code != 0:
            raise WorkerDied(f"its process {_how_it_died(exit_code)}")


def _messages(stream) -> Iterator[tuple[str, object]]:
    for line in stream:
        # A process that is killed may leave half a line.
        if line.endswith(b"\n"):
            yield tuple(json.loads(line))


def _how_it_died(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"was killed by {name}" + (" (the system does so when memory runs out)" if name == "SIGKILL" else "")


def _described(error: BaseException) -> dict:
    # What pickle would make it of again: with the file's name, which `args` of an OSError lack.
    arguments = error.__reduce__()[1]
    return {
        "type": type(error).__name__,
        "text": str(error),
        "arguments": [value if isinstance(value, str | int | None) else str(value) for value in arguments],
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
    for note in (*described["notes"], "In the fold's own process:\n" + described["traceback"].rstrip()):
        error.add_note(note)
    return error


def check_same_code_and_checkpoint(plan: FoldPlan, trainer) -> None:
    """Raise RuntimeError if what would make the fold here is not what it is filed under."""
    for what, here in (("code", code_fingerprint()), ("trainer", fold_trainer.settings(trainer))):
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

    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("expected a fold's job on standard input, found nothing; FoldProcesses.run starts this")
    job = FoldJob.from_json(line)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        torch.set_num_threads(job.num_threads)
        trainer = fold_trainer.from_description(job.trainer)
        check_same_code_and_checkpoint(job.plan, trainer)
        log, progress = (lambda text: send("log", text)), (lambda text: send("progress", text))
        FoldMaking(job.plan, job.examples, trainer, log, progress).fold()
    except Exception as error:
        send("error", _described(error))


if __name__ == "__main__":
    main()
