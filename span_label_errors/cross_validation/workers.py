"""Make a fold in a process of its own: the job goes in as JSON, log and progress come out line by line.

The fold itself is on disk when the process ends. A process that dies takes nothing else with it. When it ends it gives
back all its memory, that of a GPU too.
"""

import contextlib
import json
import os
import signal
import subprocess  # nosec B404 # runs this file alone
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from span_label_errors.cross_validation import trainers
from span_label_errors.cross_validation.make import FoldMaking, FoldPlan
from span_label_errors.cross_validation.store import code_fingerprint

_PACKAGE_PATH = str(Path(__file__).resolve().parents[2])
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class FoldJob:
    """Everything that another process needs to make a fold."""

    plan: FoldPlan
    trainer: dict  # `trainers.description`
    examples: list[dict]  # of the whole data set
    num_threads: int

    def to_json(self) -> bytes:
        """Return the job as one line of JSON."""
        plan = {name: getattr(self.plan, name) for name in ("folder", "fold_index", "num_splits", "configuration")}
        # Each context once; many questions may be asked about it.
        contexts = dict.fromkeys(example["context"] for example in self.examples)
        number_of = {context: number for number, context in enumerate(contexts)}
        examples = [{**example, "context": number_of[example["context"]]} for example in self.examples]
        content = {**vars(self), "plan": plan, "examples": examples, "contexts": list(contexts)}
        return json.dumps(content, default=str).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "FoldJob":
        """Return the job that `to_json` was called on."""
        content = json.loads(line)
        plan, contexts = content.pop("plan"), content.pop("contexts")
        for example in content["examples"]:
            example["context"] = contexts[example["context"]]
        return cls(FoldPlan(Path(plan.pop("folder")), **plan), **content)


class WorkerDied(Exception):
    """Says how a worker died while it made a fold."""


def make_in_process(
    job: FoldJob,
    log: Callable[[str], None],
    progress: Callable[[str], None] = lambda text: None,
    gpu: str | None = None,
    on_start: Callable[[subprocess.Popen], None] = lambda process: None,
) -> None:
    """Make a fold in a process of its own.

    `log` and `progress` are as in `FoldMaking`. `gpu`, as CUDA_VISIBLE_DEVICES names it, is the only one that the
    process sees; without it, the process sees all. `on_start` gets the process, which may be killed: what it saved is
    kept.

    Raises
    ------
    WorkerDied
        If the process died.
    RuntimeError
        If making the fold failed there; with the traceback.
    """
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(job.num_threads))}
    # The package itself need not be installed.
    environment["PYTHONPATH"] = os.pathsep.join([_PACKAGE_PATH, *filter(None, [os.environ.get("PYTHONPATH")])])
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    errors: list[str] = []
    receive = {"log": log, "progress": progress, "error": errors.append}
    # -P: nothing in the working directory may stand in for a module.
    process = subprocess.Popen(  # nosec B603 # the command is fixed
        [sys.executable, "-P", "-m", __spec__.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    on_start(process)
    try:
        # If the process died before it had read everything, its exit code says how.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(job.to_json())
            process.stdin.flush()
        for line in process.stdout:
            # A process that is killed may leave half a line.
            if line.endswith(b"\n"):
                kind, text = json.loads(line)
                receive[kind](text)
        exit_code = process.wait()
    finally:
        process.kill()
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if errors:
        raise RuntimeError(f"{job.plan.title} failed in a process of its own:\n{errors[0]}")
    if exit_code > 0:
        raise WorkerDied(f"its worker ended with exit code {exit_code}")
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        raise WorkerDied(f"its worker was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else ""))


def check_same_code_and_checkpoint(plan: FoldPlan, trainer) -> None:
    """Raise RuntimeError if code or trainer here are not those that the fold is filed under."""
    here = code_fingerprint() | trainers.settings(trainer)
    for name, planned in (plan.configuration["code"] | plan.configuration["trainer"]).items():
        if here.get(name) != planned:
            raise RuntimeError(
                f"{plan.title}: expected {name} {planned!r}, with which the run was planned, found {here.get(name)!r}; "
                "let all machines have the same code, libraries and checkpoint"
            )


def _end_with_the_parent() -> None:
    # The pipe closes when the parent ends, however it ends.
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> None:
    """Read a job from standard input, make its fold, and write log, progress and errors to standard output."""
    # The parent decides when this ends; a Ctrl-C in the terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # Whatever else is printed must not stand between the messages.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(kind: str, text: str) -> None:
        print(json.dumps([kind, text]), file=messages, flush=True)

    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("expected a fold's job on standard input, found nothing; `make_in_process` starts this")
    job = FoldJob.from_json(line)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        torch.set_num_threads(job.num_threads)
        trainer = trainers.from_description(job.trainer)
        check_same_code_and_checkpoint(job.plan, trainer)
        log, progress = (lambda text: send("log", text)), (lambda text: send("progress", text))
        FoldMaking(job.plan, job.examples, trainer, log, progress).fold()
    except Exception:
        send("error", traceback.format_exc())


if __name__ == "__main__":
    main()
