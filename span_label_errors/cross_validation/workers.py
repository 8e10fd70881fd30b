"""Have a fold made by a process of its own: the job goes in as JSON, log and progress come out line by line.

The fold itself is on disk when the process ends. A process that dies takes nothing else with it. When it ends it gives
back all its memory, that of a GPU too. What starts the process, such as a cluster's worker, need not load torch.
"""

import contextlib
import json
import os
import signal
import subprocess  # nosec B404 # runs this package alone
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PACKAGE_PATH = str(Path(__file__).resolve().parents[2])
_PROCESS = f"{__spec__.parent}.fold_process"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class FoldJob:
    """Everything that another process needs to make a fold, as JSON."""

    title: str  # of the fold, in errors
    plan: dict  # see `fold_process.plan_of`
    trainer: dict  # `trainers.description`
    examples_file: str  # of the whole data set; see `shared_examples`
    num_threads: int

    def to_json(self) -> bytes:
        """Return the job as one line of JSON."""
        return json.dumps(vars(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "FoldJob":
        """Return the job that `to_json` was called on."""
        return cls(**json.loads(line))


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
        [sys.executable, "-P", "-m", _PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
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
        raise RuntimeError(f"{job.title} failed in a process of its own:\n{errors[0]}")
    if exit_code > 0:
        raise WorkerDied(f"its worker ended with exit code {exit_code}")
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        raise WorkerDied(f"its worker was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else ""))
