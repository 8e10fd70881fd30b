"""Plant errors of known kinds in clean data, run the real pipeline, and measure how well scores find them.

    python -m benchmarks.label_errors.label_error_detection --dataset path/to/squad.json

Every run (a kind of error and a seed) trains its folds on the data with its errors; finished runs are kept in `--work`
and are not trained again. `leaky` runs do what the older recipe does: one model is carried through all folds. What was
measured and the plot go to `--results`, also when only a part of the runs is finished; tables are printed at the end.
"""

import argparse
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet
from cleanlab.experimental.span_classification import get_label_quality_scores
from sklearn.metrics import average_precision_score, roc_auc_score

from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.cross_validation.metrics import evaluate_predictions
from span_label_errors.cross_validation.out_of_fold import OutOfFold, out_of_fold_predictions
from span_label_errors.cross_validation.splits import fold_seed, make_splits
from span_label_errors.cross_validation.store import code_fingerprint, data_fingerprint, fold_key
from span_label_errors.data.sources import DEMO_ERRORS_PATH, DEMO_SOURCE, read_known_errors
from span_label_errors.data.squad import load_squad
from span_label_errors.files import new_folder, write_file
from span_label_errors.quality.label_errors import find_label_errors
from span_label_errors.quality.mistakes import KINDS, MISTAKES
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.results.write import out_of_fold_table
from span_label_errors.spans.text import normalized_text
from spanbert import EMBEDDED_RECIPE, QA, QATrainer

from .planting import MIX, PlantedError, plant_errors

BENCHMARKS = Path(__file__).resolve().parents[1]
NUM_SPLITS, SHARE = 3, 0.1
LABEL_MAP = {"O": 0, "ANS": 1}
FRESH, LEAKY = "fresh", "leaky"
OURS = "learned from planted mistakes (ours)"
METRICS = ("average_precision", "auroc", "precision_at_errors", "recall_in_worst_tenth")
SUMMARY = (
    "num_examples", "num_errors", "loss", "token_average_precision", "estimated_wrong", "suggestion_is_right",
    "training_seconds", "scoring_seconds",
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
    return spread(examples, num_examples)


def spread(examples: list[dict], num_examples: int | None) -> list[dict]:
    """Return whole paragraphs at equal distances through the data, until there are `num_examples` questions."""
    if num_examples is None or num_examples >= len(examples):
        return examples
    paragraphs: dict[str, list[int]] = {}
    for example_index, example in enumerate(examples):
        paragraphs.setdefault(normalized_text(example["context"]), []).append(example_index)
    groups = list(paragraphs.values())
    for count in range(1, len(groups) + 1):
        chosen = [example_index for k in range(count) for example_index in groups[k * len(groups) // count]]
        if len(chosen) >= num_examples:
            break
    return [examples[example_index] for example_index in chosen[:num_examples]]


def finished_run(
    work: Path, examples: list[dict], name: str, folds: str, seed: int, recipe: dict, train: bool = True
) -> Path | None:
    """Return the folder of a run, after training it if need be; None if it may not and is not there."""
    trainer = QATrainer(QA("embedded"), 384, LABEL_MAP)
    key = fold_key(
        {"data": data_fingerprint(examples), "trainer": fold_trainer.settings(trainer), "training": recipe,
         "seed": seed, "splits": NUM_SPLITS, "folds": folds, "code": code_fingerprint()}
    )  # fmt: skip
    folder = work / f"{name}-{folds}-{seed}-{key[:12]}"
    if not train and not folder.exists():
        return None
    # Models are kept until the run is finished, so that it goes on where it was stopped.
    models = folder.with_name(f"{folder.name}.folds")
    if not folder.exists():
        started = time.perf_counter()
        predict = out_of_fold_predictions if folds == FRESH else leaky_predictions
        with new_folder(folder) as partial:
            out_of_fold = predict(examples, trainer, num_splits=NUM_SPLITS, seed=seed, folds_dir=models, **recipe)
            pyarrow.parquet.write_table(out_of_fold_table(examples, out_of_fold), partial / "out_of_fold.parquet")
            record = {
                "seconds": time.perf_counter() - started,
                "metrics": [report["metrics"] for report in out_of_fold.reports],
            }
            (partial / "record.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        shutil.rmtree(models)
    return folder


def leaky_predictions(
    examples: list[dict], trainer: QATrainer, *, num_splits: int, seed: int, folds_dir: Path, **training
) -> OutOfFold:
    """Do as the older recipe does: train one model fold after fold, so it has seen what it predicts."""
    predictions, fold, reports = [None] * len(examples), np.zeros(len(examples), dtype=np.int64), []
    splits = make_splits(examples, num_splits, seed=seed)
    for fold_index, split in enumerate(splits):
        model = folds_dir / str(fold_index)
        folds_dir.mkdir(parents=True, exist_ok=True)
        trainer.train([examples[i] for i in split.train_indices], model, seed=fold_seed(seed, fold_index), **training)
        held_out = [examples[i] for i in split.validation_indices]
        of_fold = [prediction.context_only() for prediction in trainer.load(model).predict_batch(held_out)]
        for example_index, prediction in zip(split.validation_indices, of_fold, strict=True):
            predictions[example_index] = prediction
        fold[split.validation_indices] = fold_index
        metrics = evaluate_predictions(held_out, of_fold, trainer.label_map)
        reports.append({"metrics": metrics, "trainer": fold_trainer.settings(trainer)})
        trainer = QATrainer(QA(model), trainer.max_seq_length, trainer.label_map)
    return OutOfFold(predictions, fold, splits, reports, trainer.label_map)


def scores_of(table: pd.DataFrame, name: str) -> tuple[dict[str, np.ndarray], pd.DataFrame, int]:
    """Return each score of each example (low is suspicious), our ranking, and our estimate of the number of errors."""
    labels, pred_probs = list(table["labels_ANS"]), list(table["pred_probs_ANS"])
    ours = find_label_errors(table)
    scores = {
        "cleanlab: lowest token": get_label_quality_scores(labels, pred_probs)[0],
        "cleanlab: softmin": get_label_quality_scores(labels, pred_probs, sentence_score_method="softmin")[0],
        "mean P(span)": np.array([p[y == 1].mean() for p, y in zip(pred_probs, labels, strict=True)]),
        "expected F1 (ours, probabilities alone)": span_label_quality(labels, pred_probs),
        OURS: ours.label_quality(),
    }
    if name in KINDS:
        others = {kind: function for kind, function in MISTAKES.items() if kind != name}
        scores["ours, never shown this kind"] = find_label_errors(table, mistakes=others).label_quality()
    return scores, ours.issues, ours.estimated_wrong


def measured(score: np.ndarray, is_error: np.ndarray) -> dict[str, float]:
    """Return how well the lowest scores find the errors."""
    worst_first = is_error[np.argsort(score, kind="stable")]
    return {
        "average_precision": float(average_precision_score(is_error, -score)),
        "auroc": float(roc_auc_score(is_error, -score)),
        "precision_at_errors": float(worst_first[: is_error.sum()].mean()),
        "recall_in_worst_tenth": float(worst_first[: round(len(score) / 10)].sum() / is_error.sum()),
    }


def evaluate(folder: Path, name: str, folds: str, seed: int, examples: list[dict], errors: list[PlantedError]) -> dict:
    """Measure a finished run."""
    table = pd.read_parquet(folder / "out_of_fold.parquet")
    is_error = np.zeros(len(table), dtype=bool)
    is_error[[error.example_index for error in errors]] = True
    started = time.perf_counter()
    scores, issues, estimated_wrong = scores_of(table, name)
    right = [example["answers"] for example in examples]
    of_errors = issues[is_error[issues["index"]]]
    exact = [
        (text, start) == (right[i]["text"][0], right[i]["answer_start"][0])
        for i, text, start in zip(
            of_errors["index"], of_errors["suggested_answer"], of_errors["suggested_start"], strict=True
        )
    ]
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return {
        "kind": name, "folds": folds, "seed": seed, "num_examples": len(table), "num_errors": len(errors),
        "scores": {score: measured(values, is_error) for score, values in scores.items()},
        "estimated_wrong": estimated_wrong, "suggestion_is_right": float(np.mean(exact)),
        "loss": [metrics["loss"] for metrics in record["metrics"]],
        "token_average_precision": [metrics["classes"]["ANS"]["average_precision"] for metrics in record["metrics"]],
        "training_seconds": record["seconds"], "scoring_seconds": time.perf_counter() - started,
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


def summary_of(runs: list[dict]) -> pd.DataFrame:
    """Return one row per kind and folds: means over the seeds of what does not depend on a score."""
    rows = pd.DataFrame(
        {name: np.mean(run[name]) for name in SUMMARY} | {"kind": run["kind"], "folds": run["folds"], "seeds": 1}
        for run in runs
    )
    grouped = rows.groupby(["kind", "folds"], sort=False)
    return grouped[list(SUMMARY)].mean().join(grouped["seeds"].sum())


def plot(runs: list[dict], path: Path) -> None:
    """Plot the average precision of each score by kind of error, for fresh folds."""
    table = table_of([run for run in runs if run["folds"] == FRESH])["average_precision"].reset_index()
    kinds, scores = list(dict.fromkeys(table["kind"])), list(dict.fromkeys(table["score"]))
    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    width = 0.85 / len(scores)
    for position, score in enumerate(scores):
        of_score = table[table["score"] == score].set_index("kind")
        x = np.array([kinds.index(kind) for kind in of_score.index]) + (position - (len(scores) - 1) / 2) * width
        axes.bar(x, of_score["mean"], width, yerr=of_score["std"].fillna(0), label=score, capsize=2)
    axes.set_xticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.set(ylabel="average precision", ylim=(0, 1), title="Finding planted errors: mean and deviation over the seeds")
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default=DEMO_SOURCE, help="the demo, or anything that load_squad reads")
    parser.add_argument("--num_examples", type=int, default=300, help="questions, spread over the paragraphs")
    parser.add_argument("--kinds", nargs="+", default=[MIX, *KINDS], choices=[MIX, *KINDS])
    parser.add_argument("--leaky_kinds", nargs="*", default=[MIX, "moved"], choices=[MIX, *KINDS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--num_train_epochs", type=float, default=EMBEDDED_RECIPE["num_train_epochs"])
    parser.add_argument("--only_finished", action="store_true", help="train nothing: report the runs that are there")
    parser.add_argument("--work", type=Path, default=BENCHMARKS / "runs", help="where finished runs are kept")
    parser.add_argument("--results", type=Path, default=BENCHMARKS / "results")
    arguments = parser.parse_args()

    recipe = {**EMBEDDED_RECIPE, "num_train_epochs": arguments.num_train_epochs}
    clean = clean_examples(arguments.dataset, arguments.num_examples)
    wanted = [(kind, FRESH, seed) for seed in arguments.seeds for kind in arguments.kinds]
    wanted += [(kind, LEAKY, seed) for seed in arguments.seeds for kind in arguments.leaky_kinds]
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    name = Path(arguments.dataset).stem
    runs = []
    for kind, folds, seed in wanted:
        examples, errors = plant_errors(clean, kind, SHARE, seed)
        folder = finished_run(
            arguments.work, examples, f"{name}-{kind}", folds, seed, recipe, train=not arguments.only_finished
        )
        if folder is None:
            continue
        runs.append(evaluate(folder, kind, folds, seed, clean, errors))
        of_run = runs[-1]["scores"]
        print(
            f"{kind}, {folds} folds, seed {seed}: AP {of_run[OURS]['average_precision']:.2f}, "
            f"cleanlab {of_run['cleanlab: lowest token']['average_precision']:.2f}",
            flush=True,
        )
        runs_by_kind = sorted(runs, key=lambda run: ([MIX, *KINDS].index(run["kind"]), run["folds"], run["seed"]))
        results = arguments.results / f"label_error_detection_{name}"
        write_file(f"{results}.json", json.dumps(runs_by_kind, indent=1))
        plot(runs_by_kind, Path(f"{results}.png"))
    if runs:
        for table in (table_of(runs_by_kind), summary_of(runs_by_kind)):
            print(table.to_string(float_format="{:.3f}".format), end="\n\n")


if __name__ == "__main__":
    main()
