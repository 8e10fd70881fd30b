"""The process that makes one fold, and no other; `workers.make_in_process` starts it."""

import json
import os
import signal
import sys
import threading
import traceback
from dataclasses import fields
from pathlib import Path

import torch

from span_label_errors.cross_validation import trainers
from span_label_errors.cross_validation.make import FoldMaking, FoldPlan
from span_label_errors.cross_validation.shared_examples import read_examples
from span_label_errors.cross_validation.store import code_fingerprint
from span_label_errors.cross_validation.workers import FoldJob


def job_of(plan: FoldPlan, trainer: dict, examples_file: Path, num_threads: int) -> FoldJob:
    """Return the job to make a fold; the other arguments are its fields."""
    planned = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return FoldJob(plan.title, {**planned, "folder": str(plan.folder)}, trainer, str(examples_file), num_threads)


def plan_of(job: FoldJob) -> FoldPlan:
    """Return the plan that `job_of` was given."""
    return FoldPlan(**{**job.plan, "folder": Path(job.plan["folder"])})


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
        plan, trainer = plan_of(job), trainers.from_description(job.trainer)
        # First: other code might compute another fingerprint of the data.
        check_same_code_and_checkpoint(plan, trainer)
        examples = read_examples(Path(job.examples_file), plan.configuration["data"])
        log, progress = (lambda text: send("log", text)), (lambda text: send("progress", text))
        FoldMaking(plan, examples, trainer, log, progress).fold()
    except Exception:
        send("error", traceback.format_exc())


if __name__ == "__main__":
    main()
