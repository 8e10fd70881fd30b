"""Plant errors of known kinds in clean data, run the real pipeline, and measure how well scores find them.

    python -m benchmarks.label_errors.label_error_detection --dataset path/to/squad.json

Every run (a kind of error and a seed) trains its folds on the data with its errors; finished runs are kept in `--work`
and are not trained again. `leaky` runs do what the older recipe does: one model is carried through all folds. What was
measured and the plot go to `--results`, also when only a part of the runs is finished; tables are printed at the end.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.cross_validation.metrics import evaluate_predictions
from span_label_errors.cross_validation.out_of_fold import OutOfFold, out_of_fold_predictions
from span_label_errors.cross_validation.splits import fold_seed, make_splits
from span_label_errors.data.sources import DEMO_ERRORS_PATH, DEMO_SOURCE, read_known_errors
from span_label_errors.data.squad import load_squad
from span_label_errors.files import write_file
from span_label_errors.quality.label_errors import find_label_errors
from span_label_errors.quality.posterior import Judge
from spanbert import QATrainer

from .measures import AP, AUROC, measured
from .planting import KINDS, MIX, PlantedError, plant_errors
from .report import markdown_table, number
from .runs import (
    DEFAULT_WAY,
    RESULTS,
    TABLE_FILE,
    WAYS_OF_QUESTIONS,
    WORK,
    finished_run,
    read_record,
    spread,
    way_of,
    with_way,
)
from .scores import LOWEST_TOKEN, OURS, choice_scores, probability_scores

SHARE = 0.1
LABEL_MAP = {"O": 0, "ANS": 1}
FRESH, LEAKY = "fresh", "leaky"
METRICS = (AP, AUROC, "precision_at_errors", "recall_in_worst_tenth")
SUMMARY = (
    "num_examples", "num_errors", "loss", "token_average_precision", "estimated_wrong", "suggested",
    "suggestion_is_right", "training_seconds", "scoring_seconds", "scoring_milliseconds_per_example",
)  # fmt: skip


def clean_examples(source: str, num_examples: int | None) -> list[dict]:
    """Return examples without known errors: of the demo, with its planted errors mended."""
    examples = list(load_squad(source))
    if source == DEMO_SOURCE:
        right = {
            example_id: {"text": [error["right_answer"]], "answer_start": [error["right_start"]]}
            for example_id, error in read_known_errors(DEMO_ERRORS_PATH).items()
        }
        examples = [{**example, "answers": right.get(example["id"], example["answers"])} for example in examples]
    return [examples[example_index] for example_index in spread(examples, num_examples)]


def leaky_predictions(
    examples: list[dict], trainer: QATrainer, *, num_splits: int, seed: int, folds_dir: Path, **training
) -> OutOfFold:
    """Do as the older recipe does: train one model fold after fold, so it has seen what it predicts."""
    predictions, fold, reports = [None] * len(examples), np.zeros(len(examples), dtype=np.int64), []
    splits = make_splits(examples, num_splits, seed=seed)
    for fold_index, split in enumerate(splits):
        started, model = time.perf_counter(), folds_dir / str(fold_index)
        folds_dir.mkdir(parents=True, exist_ok=True)
        trainer.train([examples[i] for i in split.train_indices], model, seed=fold_seed(seed, fold_index), **training)
        held_out = [examples[i] for i in split.validation_indices]
        of_fold = [prediction.context_only() for prediction in trainer.load(model).predict_batch(held_out)]
        for example_index, prediction in zip(split.validation_indices, of_fold, strict=True):
            predictions[example_index] = prediction
        fold[split.validation_indices] = fold_index
        metrics = evaluate_predictions(held_out, of_fold, trainer.label_map)
        seconds = {"train": time.perf_counter() - started}  # predictions included
        reports.append({"metrics": metrics, "trainer": fold_trainer.settings(trainer), "seconds": seconds})
        trainer = QATrainer(trainer.load(model), trainer.max_seq_length, trainer.label_map)
    return OutOfFold(predictions, fold, splits, reports, trainer.label_map)


def by_kind(scores: dict[str, np.ndarray], errors: list[PlantedError]) -> dict:
    """Measure, for each kind among the errors, how well its errors are found among the right answers."""
    kind_of = {error.example_index: error.kind for error in errors}
    num_examples, found = len(next(iter(scores.values()))), {}
    for kind in (kind for kind in KINDS if kind in kind_of.values()):
        rows = [row for row in range(num_examples) if kind_of.get(row, kind) == kind]
        is_error = np.array([row in kind_of for row in rows])
        found[kind] = {name: measured(score[rows], is_error) for name, score in scores.items()}
    return found


def evaluate(folder: Path, name: str, folds: str, seed: int, examples: list[dict], errors: list[PlantedError]) -> dict:
    """Measure a finished run."""
    table = pd.read_parquet(folder / TABLE_FILE)
    is_error = np.zeros(len(table), dtype=bool)
    is_error[[error.example_index for error in errors]] = True
    started = time.perf_counter()
    found = find_label_errors(table)
    scoring_seconds = time.perf_counter() - started
    scores = {OURS: found.label_quality(), **probability_scores(table), **choice_scores(Judge(table).judged())}
    right = [example["answers"] for example in examples]
    of_errors = found.issues[is_error[found.issues["index"]]]
    exact = [
        (text, start) == (right[i]["text"][0], right[i]["answer_start"][0])
        for i, text, start in zip(
            of_errors["index"], of_errors["suggested_answer"], of_errors["suggested_start"], strict=True
        )
    ]
    record = read_record(folder)
    return {
        "kind": name, "folds": folds, "seed": seed, "num_examples": len(table), "num_errors": len(errors),
        "scores": {score: measured(values, is_error) for score, values in scores.items()},
        "estimated_wrong": found.estimated_wrong,
        "suggested": float((of_errors["suggested_answer"] != "").mean()), "suggestion_is_right": float(np.mean(exact)),
        "loss": [metrics["loss"] for metrics in record["metrics"]],
        "token_average_precision": [metrics["classes"]["ANS"]["average_precision"] for metrics in record["metrics"]],
        "training_seconds": record["seconds"], "scoring_seconds": scoring_seconds,
        "scoring_milliseconds_per_example": 1000 * scoring_seconds / len(table), "by_kind": by_kind(scores, errors),
        "errors": [asdict(error) for error in errors],
    }  # fmt: skip


def table_of(runs: list[dict]) -> pd.DataFrame:
    """Return one row per kind, folds and score: mean and standard deviation of each measure over the seeds."""
    rows = pd.DataFrame(
        {"kind": run["kind"], "folds": run["folds"], "score": score, "seed": run["seed"], **values}
        for run in runs
        for score, values in run["scores"].items()
    )
    return rows.groupby(["kind", "folds", "score"], sort=False)[list(METRICS)].agg(["mean", "std", "count"])


def by_kind_table(runs: list[dict]) -> pd.DataFrame:
    """Return one row per folds, kind in the mix and score: its average precision for the kind's errors, over seeds."""
    rows = [
        (run["folds"], kind, score, values[AP])
        for run in runs
        if run["kind"] == MIX
        for kind, scores in run["by_kind"].items()
        for score, values in scores.items()
    ]
    columns = ["folds", "kind", "score", AP]
    return pd.DataFrame(rows, columns=columns).groupby(columns[:3], sort=False).agg(["mean", "std", "count"])


def summary_of(runs: list[dict]) -> pd.DataFrame:
    """Return one row per kind and folds: means over the seeds of what does not depend on a score."""
    rows = pd.DataFrame(
        # Too little to learn from leaves no estimate.
        {name: np.nan if run[name] is None else np.mean(run[name]) for name in SUMMARY}
        | {"kind": run["kind"], "folds": run["folds"], "seeds": 1}
        for run in runs
    )
    grouped = rows.groupby(["kind", "folds"], sort=False)
    return grouped[list(SUMMARY)].mean().join(grouped["seeds"].sum())


def markdown(command: str, runs: list[dict]) -> str:
    """Return the tables of what was measured."""
    seconds = np.median([run["training_seconds"] for run in runs])
    lines = [
        "# How well planted errors are found", "",
        f"`{command}`: {runs[0]['num_examples']} questions, {SHARE:.0%} of them made wrong (fewer where a kind is "
        f"rarely possible), {len(runs)} runs. Mean and standard deviation over the seeds. Training and prediction took "
        f"{seconds:.0f} s a run (median).", "",
    ]  # fmt: skip
    measures = [table_of(runs)[name] for name in METRICS]
    rows = [[*key, *(_mean_and_std(of_metric.loc[key]) for of_metric in measures)] for key in measures[0].index]
    lines += markdown_table(["kind", "folds", "score", "AP", "AUROC", "P at n", "R in 10 %"], rows)
    lines += [
        "", "P at n: precision among as many of the worst as there are errors. R in 10 %: share of the errors among "
        "the worst tenth.", "", "The errors of each kind in the mix, among the right answers:", "",
    ]  # fmt: skip
    of_kinds = by_kind_table(runs)[AP]
    lines += markdown_table(
        ["folds", "kind", "score", "AP"], [[*key, _mean_and_std(row)] for key, row in of_kinds.iterrows()]
    )
    summary = summary_of(runs)
    rows = [
        [*key, f"{row['seeds']:.0f}", number(row["loss"], 3), number(row["token_average_precision"]),
         number(row["num_errors"], 0), number(row["estimated_wrong"], 0), number(row["suggested"]),
         number(row["suggestion_is_right"]), f"{row['scoring_milliseconds_per_example']:.1f} ms"]
        for key, row in summary.iterrows()
    ]  # fmt: skip
    header = ["kind", "folds", "seeds", "loss", "token AP", "errors", "estimated wrong", "errors with a suggestion",
              "with the right answer as suggestion", "scoring of an example"]  # fmt: skip
    return "\n".join([*lines, "", *markdown_table(header, rows), ""])


def _mean_and_std(row: pd.Series) -> str:
    return number(row["mean"]) + ("" if row["count"] < 2 else f" ± {number(row['std'])}")


def plot(runs: list[dict], path: Path) -> None:
    """Plot the average precision of each score by kind of error, for fresh folds."""
    table = table_of([run for run in runs if run["folds"] == FRESH])[AP].reset_index()
    kinds, scores = list(dict.fromkeys(table["kind"])), list(dict.fromkeys(table["score"]))
    figure, axes = plt.subplots(figsize=(13, 5), layout="constrained")
    width = 0.85 / len(scores)
    for position, score in enumerate(scores):
        of_score = table[table["score"] == score].set_index("kind")
        x = np.array([kinds.index(kind) for kind in of_score.index]) + (position - (len(scores) - 1) / 2) * width
        axes.bar(x, of_score["mean"], width, yerr=of_score["std"].fillna(0), label=score.replace("`", ""), capsize=2)
    axes.set_xticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.set(ylabel="average precision", ylim=(0, 1), title="Finding planted errors: mean and deviation over the seeds")
    axes.grid(alpha=0.3, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default=DEMO_SOURCE, help="the demo, or anything that load_squad reads")
    parser.add_argument("--num_examples", type=int, default=300, help="questions, spread over the paragraphs")
    parser.add_argument("--kinds", nargs="+", default=[MIX, *KINDS], choices=[MIX, *KINDS])
    parser.add_argument(
        "--leaky_kinds", nargs="*", choices=[MIX, *KINDS], help="else mix and moved, if folds are trained"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--way", choices=WAYS_OF_QUESTIONS, default=DEFAULT_WAY, help="where models start")
    parser.add_argument("--num_train_epochs", type=float, help="instead of the recipe's")
    parser.add_argument("--only_finished", action="store_true", help="train nothing: report the runs that are there")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    way = way_of(arguments.way, arguments.num_train_epochs)
    if not way.num_splits and arguments.leaky_kinds:
        parser.error(f"--leaky_kinds: expected none with --way {arguments.way}, which trains no folds")
    leaky_kinds = arguments.leaky_kinds
    if leaky_kinds is None:
        leaky_kinds = [MIX, "moved"] if way.num_splits else []
    clean = clean_examples(arguments.dataset, arguments.num_examples)
    wanted = [(kind, FRESH, seed) for seed in arguments.seeds for kind in arguments.kinds]
    wanted += [(kind, LEAKY, seed) for seed in arguments.seeds for kind in leaky_kinds]
    arguments.results.mkdir(parents=True, exist_ok=True)
    name = with_way(Path(arguments.dataset).stem, arguments.way)
    command = (
        f"python -m benchmarks.label_errors.label_error_detection --dataset {Path(arguments.dataset).name} "
        f"--num_examples {arguments.num_examples} --way {arguments.way} --seeds {' '.join(map(str, arguments.seeds))}"
        f" --leaky_kinds {' '.join(leaky_kinds)}"
    ).rstrip()
    predict_of = {FRESH: out_of_fold_predictions, LEAKY: leaky_predictions}
    runs = []
    for kind, folds, seed in wanted:
        examples, errors = plant_errors(clean, kind, SHARE, seed)
        folder = finished_run(
            arguments.work, examples, f"{name}-{kind}-{folds}", way, seed=seed, label_map=LABEL_MAP,
            predict=predict_of[folds], train=not arguments.only_finished,
        )  # fmt: skip
        if folder is None:
            continue
        runs.append(evaluate(folder, kind, folds, seed, clean, errors))
        of_run = runs[-1]["scores"]
        print(
            f"{kind}, {folds} folds, seed {seed}: AP {of_run[OURS][AP]:.2f}, cleanlab {of_run[LOWEST_TOKEN][AP]:.2f}",
            flush=True,
        )
        runs_by_kind = sorted(runs, key=lambda run: ([MIX, *KINDS].index(run["kind"]), run["folds"], run["seed"]))
        results = arguments.results / f"label_error_detection_{name}"
        write_file(f"{results}.json", json.dumps(runs_by_kind, indent=1))
        write_file(f"{results}.md", markdown(command, runs_by_kind))
        plot(runs_by_kind, Path(f"{results}.png"))
    if runs:
        print(markdown(command, runs_by_kind))


if __name__ == "__main__":
    main()
