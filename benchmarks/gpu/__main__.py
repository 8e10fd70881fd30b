"""Measure this project on a GPU, unattended, in two commands of at most ten minutes each.

    python -m benchmarks.gpu prepare                       # where there is a package index: fills .gpu-bench
    python -m benchmarks.gpu kernels --out RESULTS         # where the GPU is, with .gpu-bench
    python -m benchmarks.gpu pipeline --out RESULTS

The machine with the GPU needs Python, PyTorch and transformers with what they need, and reaches nothing. What else the
project imports, `prepare` has brought along. Every section runs in a process of its own, so none can spoil another. A
row is in `--out`/gpu_PART.jsonl as soon as it is measured, and the tables, gpu_PART.md and .json, are written after
each section: a run that is cut off keeps what it has. What no longer fits before the `--deadline` is skipped, and says
so. The exit code is 1 if a row holds an error.

With `--tiny`, every section runs in seconds on a processor, with a tiny model: a test of this program.
"""

import argparse
import functools
import json
import os
import signal
import subprocess  # nosec B404 # runs this program alone
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .bundle import ROOT, checked_packages, install, prepare
from .rows import ERROR, Rows, markdown, read_rows

BUNDLE = ROOT / ".gpu-bench"
PACKAGES, SECTIONS = "packages", "sections"


@dataclass(frozen=True)
class Section:
    """What one process measures: the function `measure` of a module beside this one."""

    module: str
    about: str
    needs_seconds: float  # with less time left, it is not started


# Of each command, in the order of what they are worth.
PARTS = {
    "kernels": {
        "machine": Section("machine", "What is measured on, and its rate of large matrix products.", 5),
        "attention": Section(
            "attention",
            "Attention of a batch in bfloat16 (float32 on a processor), forwards and backwards, with dropout: ms of a "
            "call after the first calls, of the first one, and of the first one with another length.",
            5,
        ),
        "training steps": Section(
            "steps",
            "`QATrainer.train` on BERT base, the same batches again and again. `ms`: of a step; `issue_ms`: until the "
            "processor has issued one, with nothing waiting; `new_shapes_s`: what the first epoch took longer; "
            "`to_first_step_s`: loading, tokenizing, compiling; `utilisation`: 6 FLOPs for each parameter outside the "
            "embeddings and token that is no padding, against the measured matrix rate.",
            20,
        ),
        "inside a step": Section(
            "inside_step", "Kernels and waits of a training step, by torch's profiler, the longest kernels first.", 20
        ),
        "prediction": Section(
            "prediction", "`QA.predictions`, from text to probabilities; utilisation with 2 FLOPs.", 15
        ),
        "folds at once": Section(
            "together", "Trainings side by side on one GPU, each in a process of its own: tokens a second of all.", 45
        ),
    },
    "pipeline": {
        "pipeline": Section(
            "pipeline",
            "From the data file to the `.npz` files: made-up examples of SQuAD's lengths, BERT base of random weights.",
            60,
        ),
        "twice": Section(
            "twice", "The demo, trained twice on the same GPU: which bytes differ, and GPU memory after each fold.", 45
        ),
    },
}  # fmt: skip


def main(words: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    arguments = _parser().parse_args(words)
    if arguments.command == "prepare":
        prepare(arguments.bundle.resolve(), None if arguments.no_wheels else arguments.python)
    elif arguments.command == "section":
        _measure_section(arguments)
    else:
        _run_part(arguments.command, arguments)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare", help="download the wheels for the machine with the GPU")
    preparing.add_argument("--python", default="3.12", help="of that machine")
    preparing.add_argument("--no-wheels", action="store_true", help="for a machine that has every package")
    preparing.add_argument("--bundle", type=Path, default=BUNDLE, help="the folder to fill")
    for part, sections in PARTS.items():
        running = commands.add_parser(part, help=f"measure {', '.join(sections)}")
        running.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="where results go")
        running.add_argument("--deadline", type=float, default=570, help="seconds that the whole command may take")
        running.add_argument("--only", nargs="+", choices=sections, default=list(sections), help="some sections only")
        _add_shared(running)
    section = commands.add_parser("section", help="one section, as this program starts it")
    section.add_argument("part", choices=PARTS)
    section.add_argument("name")
    section.add_argument("file", type=Path)
    section.add_argument("deadline", type=float)
    _add_shared(section)
    return made


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="the folder that prepare has filled")
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks" / "runs" / "gpu", help="where models go")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and a few examples")


def _run_part(part: str, arguments: argparse.Namespace) -> None:
    deadline = time.time() + arguments.deadline
    arguments.out.mkdir(parents=True, exist_ok=True)
    site = arguments.work.resolve() / "site"
    site.mkdir(parents=True, exist_ok=True)
    file = arguments.out.resolve() / f"gpu_{part}.jsonl"
    sys.path.insert(0, str(site))
    install(arguments.bundle.resolve(), site)
    packages = checked_packages()
    _check_gpu(arguments.tiny)
    # Nothing is in the way any more: only now are the rows of an earlier run replaced, of the sections that run again.
    kept = [row for row in read_rows(file) if _section_of(row) not in {PACKAGES, *arguments.only}]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
    for row in packages:
        Rows(file, PACKAGES, deadline).add(**row)
    for name in arguments.only:
        run = functools.partial(_run_section, part, Rows(file, name, deadline), site, arguments)
        Rows(file, SECTIONS, deadline).measure(PARTS[part][name].needs_seconds, run, name=name)
        _write_tables(part, file)
    rows = read_rows(file)
    failed = [row for row in rows if ERROR in row]
    print(file.with_suffix(".md").read_text(encoding="utf-8"))
    if failed:
        raise SystemExit(f"{len(failed)} of {len(rows)} rows hold an error; the first is {failed[0]}")


def _check_gpu(tiny: bool) -> None:
    import torch

    if not tiny and not torch.cuda.is_available():
        raise RuntimeError("expected a GPU that torch can use, found none; --tiny tries this program on a processor")


def _section_of(row: dict) -> str:
    return row["name"] if row["section"] == SECTIONS else row["section"]


def _run_section(part: str, rows: Rows, site: Path, arguments: argparse.Namespace) -> dict:
    """Run a section in a process of its own, which ends with all that it started when time is up."""
    started = time.time()
    words = [
        sys.executable, "-m", "benchmarks.gpu", "section", part, rows.section, str(rows.file), str(rows.deadline),
        "--bundle", str(arguments.bundle.resolve()), "--work", str(arguments.work.resolve()),
        *(["--tiny"] if arguments.tiny else []),
    ]  # fmt: skip
    path = os.pathsep.join([str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    process = subprocess.Popen(  # noqa: S603 # nosec B603 # this program itself
        words, cwd=ROOT, env=environment, start_new_session=True
    )
    try:
        exit_code = process.wait(timeout=max(0, rows.deadline - time.time()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError("ended at the deadline; its rows so far are kept") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if exit_code:
        raise RuntimeError(f"its process ended with exit code {exit_code}; standard error says why")
    return {"seconds": time.time() - started}


def _measure_section(arguments: argparse.Namespace) -> None:
    import importlib

    from .setting import Bench

    rows = Rows(arguments.file, arguments.name, arguments.deadline)
    module = importlib.import_module(f".{PARTS[arguments.part][arguments.name].module}", __package__)
    module.measure(Bench.of(rows, arguments.bundle, arguments.work, tiny=arguments.tiny))


def _write_tables(part: str, file: Path) -> None:
    rows = read_rows(file)
    about = {
        SECTIONS: "What was measured, each section in a process of its own.",
        **{name: section.about for name, section in PARTS[part].items()},
        PACKAGES: "What the project depends on.",
    }
    text = f"# On a GPU: {part}\n\n{markdown(rows, about)}"
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    file.with_suffix(".json").write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
