"""Run everything but training on data of SQuAD's size, and measure time and memory of each stage.

    python benchmarks/load.py

Makes SQuAD files with SQuAD's distributions of lengths, and for each of the `--sizes` does what the two notebooks do,
each in a process of its own: a tiny random BERT stands in for the model, and its training is cut to a few steps. What
was measured goes to `--results`, as load.json and as tables in load.md; everything else stays in `--work`, about 2 GB.
"""

import argparse
import csv
import json
import re
import shutil
import subprocess  # nosec B404 # runs this program alone
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from label_errors.report import markdown_table, number
from synthetic_squad import write_squad, write_untrained_bert

from span_label_errors.files import write_file

HERE = Path(__file__).resolve().parent
SQUAD_SIZE = 87_599
SIZES = (1_000, 10_000, SQUAD_SIZE)
NOTEBOOKS = ("training", "label errors")
NUM_SPLITS, TRAINING_STEPS, DECISIONS = 3, 5, 5
_TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


# Stages


class Stopwatch:
    """Time and memory of the stages of this process."""

    def __init__(self):
        self.stages: dict[str, dict[str, float]] = {}
        self.baseline_mib = _resident_mib("VmRSS")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        reset = Path("/proc/self/clear_refs")
        # 5 sets the peak back to what is resident now.
        reset.write_text("5", encoding="ascii")
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.stages[name] = {
            "wall_seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mib": _resident_mib("VmHWM"),
            "mib_after": _resident_mib("VmRSS"),
        }
        print(f"{name}: {json.dumps(self.stages[name])}", file=sys.stderr, flush=True)


def _resident_mib(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024


def run_training_notebook(data: Path, checkpoint: Path, outputs: Path) -> Stopwatch:
    """Do what the first notebook does, with training cut short."""
    from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
    from span_label_errors.data.squad import load_squad
    from span_label_errors.notebook import plots
    from span_label_errors.results.write import write_outputs
    from spanbert import QA, QATrainer

    watch = Stopwatch()
    with watch.stage("load_squad"):
        dataset = load_squad(data)
    with watch.stage("out_of_fold_predictions"):
        trainer = QATrainer(QA(checkpoint), 384, {"O": 0, "ANS": 1})
        out_of_fold = out_of_fold_predictions(
            dataset, trainer, num_splits=NUM_SPLITS, folds_dir=outputs / "folds", max_steps=TRAINING_STEPS
        )
    with watch.stage("metrics and plots"):
        out_of_fold.metrics()
        plots.plot_losses(out_of_fold)
        plots.plot_probabilities(out_of_fold, "ANS")
    with watch.stage("write_outputs"):
        parameters = {"dataset": str(data), "num_splits": NUM_SPLITS}
        write_outputs(outputs, dataset, out_of_fold, parameters, seconds=0.0)
    return watch


def run_label_errors_notebook(data: Path, outputs: Path) -> Stopwatch:
    """Do what the second notebook does, and decide about the worst answers."""
    from span_classification_tutorial_utils import find_token_issues, read_npz, token_quality_scores
    from span_label_errors.notebook import plots
    from span_label_errors.quality.label_errors import THRESHOLD, find_label_errors
    from span_label_errors.quality.scores import span_label_quality
    from span_label_errors.results.read import read_outputs
    from span_label_errors.review.corrections import apply_decisions
    from span_label_errors.review.decisions import read_decisions
    from span_label_errors.review.write import write_review_files

    watch = Stopwatch()
    with watch.stage("read_outputs"):
        table, _ = read_outputs(outputs)
    with watch.stage("read_npz"):
        labels, pred_probs, _ = (read_npz(outputs / f"{name}.npz") for name in ("labels", "pred_probs", "questions"))
    with watch.stage("cleanlab"):
        find_token_issues(labels, pred_probs)
        token_quality_scores(labels, pred_probs)
    with watch.stage("find_label_errors"):
        found = find_label_errors(table)
    with watch.stage("span_label_quality and plots"):
        quality = span_label_quality(labels, pred_probs)
        plots.plot_label_quality(found.issues, THRESHOLD)
        plots.plot_rankings({"expected F1": quality, "ours": found.label_quality()}, np.arange(len(table)) % 100 == 0)
    with watch.stage("write_review_files"):
        write_review_files(outputs, found, table)
    with watch.stage("open the tables"):
        pd.read_csv(outputs / "label_issues.csv")
        pd.read_parquet(outputs / "label_issues.parquet")
    with watch.stage("read and apply decisions"):
        decided = decide(outputs / "label_issues.csv", outputs / "reviewed.csv")
        apply_decisions(data, read_decisions(decided), outputs / "corrected.json", outputs / "changes.json")
    return watch


def decide(issues: Path, reviewed: Path) -> Path:
    """Fill the suggestion in for some of the worst answers, as a reviewer would in a spreadsheet."""
    with (
        issues.open(encoding="utf-8-sig", newline="") as source,
        reviewed.open("w", encoding="utf-8", newline="") as to,
    ):
        rows = csv.DictReader(source)
        writer = csv.DictWriter(to, [*rows.fieldnames, "correct_answer", "correct_start"])
        writer.writeheader()
        for number, row in enumerate(rows):
            if number < DECISIONS:
                row |= {"correct_answer": row["suggested_answer"], "correct_start": row["suggested_start"]}
            writer.writerow(row)
    return reviewed


def measure(notebook: str, data: Path, checkpoint: Path, outputs: Path) -> dict:
    """Run one notebook's stages in this process."""
    started = time.process_time()
    if notebook == NOTEBOOKS[0]:
        watch = run_training_notebook(data, checkpoint, outputs)
    else:
        watch = run_label_errors_notebook(data, outputs)
    return {
        "stages": watch.stages,
        "baseline_mib": watch.baseline_mib,
        "peak_mib": max(stage["peak_mib"] for stage in watch.stages.values()),
        "cpu_seconds": time.process_time() - started,
    }


def measured(size: int, work: Path) -> dict:
    """Run both notebooks' stages for one size, each in a process of its own."""
    data, checkpoint, outputs = work / f"squad-{size}.json", work / "tiny_bert", work / f"outputs-{size}"
    shutil.rmtree(outputs, ignore_errors=True)
    outputs.mkdir(parents=True)
    run = {"num_examples": size, "data_bytes": data.stat().st_size}
    for notebook in NOTEBOOKS:
        record = outputs / "measured.json"
        start_again("--notebook", notebook, str(data), str(checkpoint), str(outputs), str(record))
        run[notebook] = json.loads(record.read_text(encoding="utf-8"))
        record.unlink()
    run["files"] = {file.name: file.stat().st_size for file in sorted(outputs.iterdir()) if file.is_file()}
    return run


def start_again(*arguments: str) -> None:
    """Run this program in a process of its own, so that no memory of another run is counted."""
    subprocess.run([sys.executable, __file__, *arguments], check=True)  # noqa: S603 # nosec B603 # this program itself


# Tables


def markdown(runs: list[dict]) -> str:
    """Return the tables of runs of several sizes, the smallest first."""
    sizes = [f"{run['num_examples']:,}" for run in runs]
    given = " ".join(str(run["num_examples"]) for run in runs)
    lines = [
        "# Time and memory at SQuAD's size", "",
        f"`python benchmarks/load.py --sizes {given}`: both notebooks' stages on made-up paragraphs of SQuAD's "
        f"lengths, {NUM_SPLITS} folds, a BERT of one layer trained for {TRAINING_STEPS} steps a fold.", "",
        f"CPU seconds of one core, and of {sizes[-1]} examples wall seconds and the highest memory:", "",
        *markdown_table(["stage", *sizes, "ms an example", "wall seconds", "peak MiB"], _rows_of_stages(runs)), "",
        "Imports belong to all of a notebook only. Memory, the highest that was ever resident:", "",
        *markdown_table(["notebook", "examples", "after imports, MiB", "peak, MiB", "KiB an example above the imports",
                         "KiB an example above the next smaller size"], _rows_of_memory(runs)), "",
        f"Files of {sizes[-1]} examples:", "",
        *markdown_table(["file", "MiB", f"bytes an example, of {' / '.join(sizes)}"], _rows_of_files(runs)), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _rows_of_stages(runs: list[dict]) -> Iterator[list[str]]:
    def row(name: str, measured: list[dict], cpu_seconds: list[float]) -> list[str]:
        milliseconds = 1000 * cpu_seconds[-1] / runs[-1]["num_examples"]
        wall, peak = (f"{measured[-1][of]:,.0f}" for of in ("wall_seconds", "peak_mib"))
        return [name, *(f"{seconds:.1f}" for seconds in cpu_seconds), f"{milliseconds:.2f}", wall, peak]

    for notebook in NOTEBOOKS:
        of_notebook = [run[notebook] for run in runs]
        for name in of_notebook[0]["stages"]:
            stages = [of["stages"][name] for of in of_notebook]
            yield row(name, stages, [stage["cpu_seconds"] for stage in stages])
        wall = sum(stage["wall_seconds"] for stage in of_notebook[-1]["stages"].values())
        yield row(
            f"**all of the {notebook} notebook**",
            [{**of_notebook[-1], "wall_seconds": wall}],
            [of["cpu_seconds"] for of in of_notebook],
        )


def _rows_of_memory(runs: list[dict]) -> Iterator[list[str]]:
    for notebook in NOTEBOOKS:
        smaller = None
        for run in runs:
            peak, imports, size = run[notebook]["peak_mib"], run[notebook]["baseline_mib"], run["num_examples"]
            more = None if smaller is None else 1024 * (peak - smaller[0]) / (size - smaller[1])
            above = number(1024 * (peak - imports) / size, 1)
            yield [notebook, f"{size:,}", f"{imports:,.0f}", f"{peak:,.0f}", above, number(more, 1)]
            smaller = peak, size


def _rows_of_files(runs: list[dict]) -> Iterator[list[str]]:
    for name, size in runs[-1]["files"].items():
        an_example = " / ".join(f"{run['files'][name] / run['num_examples']:,.0f}" for run in runs)
        yield [name, f"{size / 2**20:,.1f}", an_example]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="numbers of questions")
    parser.add_argument("--work", type=Path, default=HERE / "runs" / "load", help="where data and outputs go")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    # What this program starts itself with.
    parser.add_argument("--notebook", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.notebook:
        notebook, *paths = arguments.notebook
        data, checkpoint, outputs, record = map(Path, paths)
        record.write_text(json.dumps(measure(notebook, data, checkpoint, outputs)), encoding="utf-8")
        return

    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    vocabulary = write_untrained_bert(work / "tiny_bert", **_TINY)
    runs = []
    for size in sorted(arguments.sizes):
        write_squad(work / f"squad-{size}.json", size, vocabulary)
        runs.append(measured(size, work))
        arguments.results.mkdir(parents=True, exist_ok=True)
        write_file(arguments.results / "load.json", json.dumps(runs, indent=1))
        write_file(arguments.results / "load.md", markdown(runs))


if __name__ == "__main__":
    main()
