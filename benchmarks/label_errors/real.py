"""Run the real pipeline on labels that people got wrong, and measure how well scores find them.

    python -m benchmarks.label_errors.real path/to/squadshifts_new_wiki.json --num_examples 800

Reads public files as they are published; docs/results.md says where they come from. Questions on contexts that the
reader was trained on are left out. Of entities, sentences and spans are measured; with `--train_on`, one model is
trained on another file, less the sentences that both have. Each way of making the probabilities is one run; finished
runs are kept in `--work` and are not made again. What was measured, the table and the plot go to `--results` after each
run.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.data.squad import load_squad
from span_label_errors.files import write_file
from span_label_errors.model.checkpoints import read_seen_contexts, resolve_checkpoint
from span_label_errors.model.qa import PRECISIONS
from span_label_errors.quality.label_errors import LabelErrors, find_label_errors
from span_label_errors.quality.posterior import Judge
from span_label_errors.spans.text import normalized_text

from . import entities
from .documents import by_title, in_documents, parts_of_documents
from .measures import AP, AUPRC, AUROC, calibration, compared, measured, precision_at, token_average_precision
from .real_data import AGREEING_F1, RealData, answer_words, given_spans, read_real, token_f1, without_contexts_of
from .report import markdown_table, number, with_interval
from .runs import (
    RESULTS,
    TABLE_FILE,
    WAYS,
    WAYS_OF_ENTITIES,
    WAYS_OF_QUESTIONS,
    WORK,
    Way,
    finished_run,
    read_record,
    spread,
    trained_on,
)
from .scores import LOWEST_WORD, OURS, choice_scores, probability_scores, words_of

READER = "embedded"
WAYS_OF_KIND = {
    "annotators": WAYS_OF_QUESTIONS, "explanations": WAYS_OF_QUESTIONS, "entities": WAYS_OF_ENTITIES,
}  # fmt: skip
UNIT = {"annotators": "paragraphs", "explanations": "paragraphs", "entities": "sentences"}


def read(path: Path, num_examples: int | None) -> RealData:
    """Return a file's examples on contexts that the reader has not read, spread through the file."""
    data = read_real(path).without_contexts(read_seen_contexts(resolve_checkpoint(READER)))
    if not data.examples:
        raise ValueError(f"{path}: expected contexts that the reader was not trained on, found {data.num_read} it was")
    data = data.take(spread(data.examples, num_examples))
    errors = int(data.is_error[data.is_measured].sum())
    if not 0 < errors < data.is_measured.sum():
        raise ValueError(
            f"{path}: expected right and wrong labels among those measured, found {errors} wrong of "
            f"{data.is_measured.sum()}; take more examples"
        )
    return data


def read_table(file: Path, data: RealData) -> pd.DataFrame:
    """Return `out_of_fold.parquet` of a run on these examples."""
    table = pd.read_parquet(file)
    if table["context"].tolist() != [example["context"] for example in data.examples]:
        raise ValueError(
            f"{file}: expected the predictions of the {len(data.examples)} examples that are measured, in their order, "
            f"found {len(table)} on other contexts; was it made with other --num_examples?"
        )
    return table


def evaluate(data: RealData, way: Way, table: pd.DataFrame, training_seconds: float | None) -> dict:
    """Measure a finished run."""
    started = time.perf_counter()
    found = find_label_errors(table)
    scoring_seconds = time.perf_counter() - started
    rows, is_error = data.is_measured, data.is_error[data.is_measured]
    scores = {OURS: found.label_quality(), **probability_scores(table)}
    groups = pd.factorize(table["context"].map(normalized_text))[0]
    if data.kind == "entities":
        words = words_of(table)
        scores |= words.sentence_scores(data.is_error)
        given = [given_spans(example) for example in data.examples]
        judged = entities.with_truth(found.issues, given, data.corrected)
        lowest = {LOWEST_WORD: words.lowest_within(judged["index"], judged["span"].map(lambda span: span[:2]))}
        of_spans = entities.measured_spans(judged, given, data.corrected, lowest, groups)
        predicted = entities.predicted_spans(table)
        sides = {"given": given, "corrected": data.corrected}
        figures = {name: entities.entity_figures(predicted, spans) for name, spans in sides.items()}
    else:
        scores |= choice_scores(Judge(table).judged())
        of_spans = figures = None
    scores = {name: score[rows] for name, score in scores.items()}
    intervals, differences = compared(scores, is_error, groups[rows], OURS)
    is_issue = found.issues.groupby("index")["is_issue"].any().to_numpy()
    return {
        "way": way.title, "checkpoint": way.checkpoint, "num_splits": way.num_splits, "recipe": way.recipe,
        "scores": {
            name: {
                **measured(score, is_error), "precision_at_10": precision_at(score, is_error, 10),
                "precision_at_50": precision_at(score, is_error, 50), "intervals": intervals[name],
            }
            for name, score in scores.items()
        },
        "differences": differences, **calibration(scores[OURS], is_error),
        "estimated_wrong_of_all": found.estimated_wrong,
        "flagged": int(is_issue[rows].sum()), "flagged_errors": int(is_issue[rows][is_error].sum()),
        "suggestions": suggestions(found, data) if data.kind == "annotators" else None, "spans": of_spans,
        "entities": figures,
        "token_average_precision": token_average_precision(table),
        "training_seconds": training_seconds, "scoring_seconds": scoring_seconds,
        "scoring_milliseconds_per_example": 1000 * scoring_seconds / len(table),
    }  # fmt: skip


def suggestions(found: LabelErrors, data: RealData) -> dict[str, int]:
    """Return how many answers get a suggestion, how many errors do, and how many of these hit an answer of the others.

    A suggestion is exact if it has the words of such an answer, and close if their token F1 is at least 0.5. Only
    examples that are measured count. All of them have an answer, so that "no answer" is neither.
    """
    issues = found.issues[data.is_measured[found.issues["index"]]]
    issues = issues[issues["suggested_answer"] != ""]
    of_errors = issues[data.is_error[issues["index"]]]
    pairs = [
        [(text, data.examples[index]["context"][slice(*span)]) for span in data.other_answers[index]]
        for index, text, start in zip(
            of_errors["index"], of_errors["suggested_answer"], of_errors["suggested_start"], strict=True
        )
        if not pd.isna(start)
    ]
    return {
        "number": len(issues), "for_errors": len(of_errors),
        "exact": sum(any(answer_words(text) == answer_words(other) for text, other in row) for row in pairs),
        "close": sum(any(token_f1(text, other) >= AGREEING_F1 for text, other in row) for row in pairs),
    }  # fmt: skip


def summary(path: Path, command: str, data: RealData, num_left_out_of_training: int, runs: list[dict]) -> dict:
    """Return what was measured on a file, as it is written."""
    return {
        "file": path.name, "command": command, "kind": data.kind, "num_examples": len(data.examples),
        "num_contexts": len({normalized_text(example["context"]) for example in data.examples}),
        "num_left_out_as_read": data.num_read, "num_left_out_of_training": num_left_out_of_training,
        "num_measured": int(data.is_measured.sum()),
        "num_errors": int(data.is_error[data.is_measured].sum()), "resampled": UNIT[data.kind], "runs": runs,
    }  # fmt: skip


def markdown(found: dict) -> str:
    """Return the tables of what was measured."""
    chance = found["num_errors"] / found["num_measured"]
    lines = [
        f"# Real label errors: {found['file']}", "", f"`{found['command']}`", "",
        f"{found['num_examples']:,} examples on {found['num_contexts']:,} contexts, {found['num_measured']:,} of them "
        f"measured, {found['num_errors']} of those wrong: a random order has an AP of {chance:.3f}. "
        f"{found['num_left_out_as_read']:,} examples were left out because the reader was trained on their contexts. "
        f"{found['num_left_out_of_training']:,} examples of the training file were not trained on because their "
        f"contexts are among those measured. In brackets 95 % bootstrap intervals over {found['resampled']}.", "",
    ]  # fmt: skip
    lines += [*_table_of_scores(found), "", "P at n: precision among as many of the worst as there are errors.", "",
              f"How far {OURS} is above each other score, both on the same resamples:", "",
              *_table_of_differences(found["runs"]), ""]  # fmt: skip
    header = ["way", "token AP of the folds", "training and prediction, s", "scoring", "an example",
              "estimated wrong, of all examples", "sum of 1 − `label_quality`, of those measured", "wrong", "ratio",
              "flagged", "of these wrong", "ECE"]  # fmt: skip
    rows = [
        [run["way"], _token_aps(run), f"{number(run['training_seconds'], 0)}", f"{run['scoring_seconds']:.1f} s",
         f"{run['scoring_milliseconds_per_example']:.1f} ms", number(run["estimated_wrong_of_all"], 1),
         number(run["sum_of_doubt"], 1), str(found["num_errors"]), number(run["sum_of_doubt_by_errors"]),
         str(run["flagged"]), str(run["flagged_errors"]), number(run["expected_calibration_error"], 3)]
        for run in found["runs"]
    ]  # fmt: skip
    lines += [*markdown_table(header, rows), "", "ECE: expected calibration error of `label_quality`, in ten bins.", ""]
    header = ["way", "`label_quality`", "examples", "mean", "share right"]
    rows = [
        [run["way"], f"{of_bin['from']:.1f} to {of_bin['to']:.1f}", str(of_bin["examples"]),
         f"{of_bin['mean_quality']:.2f}", f"{of_bin['share_right']:.2f}"]
        for run in found["runs"] for of_bin in run["reliability"]
    ]  # fmt: skip
    lines += markdown_table(header, rows)
    if found["kind"] == "annotators":
        header = ["way", "suggestions", "for errors", "exactly an answer of the others", "token F1 at least 0.5"]
        rows = [[run["way"], *map(str, run["suggestions"].values())] for run in found["runs"]]
        lines += ["", *markdown_table(header, rows)]
    if found["kind"] == "entities":
        lines += ["", *entities.markdown(found["runs"])]
    return "\n".join([*lines, ""])


def _table_of_scores(found: dict) -> list[str]:
    has_auprc = found["kind"] == "entities"
    measures = (AP, AUPRC, AUROC) if has_auprc else (AP, AUROC)
    rows = [
        [run["way"], name,
         *(with_interval(of_score[measure], of_score["intervals"][measure]) for measure in measures),
         *(number(of_score[name]) for name in ("precision_at_10", "precision_at_50", "precision_at_errors"))]
        for run in found["runs"] for name, of_score in run["scores"].items()
    ]  # fmt: skip
    names = ["AP", "trapezoidal AUPRC", "AUROC"] if has_auprc else ["AP", "AUROC"]
    return markdown_table(["way", "score", *names, "P at 10", "P at 50", "P at n"], rows)


def _table_of_differences(runs: list[dict]) -> list[str]:
    rows = [
        [run["way"], name, *(with_interval(*of_score[measure].values(), sign="+") for measure in (AP, AUROC))]
        for run in runs
        for name, of_score in run["differences"].items()
    ]
    return markdown_table(["way", "score", "AP", "AUROC"], rows)


def _token_aps(run: dict) -> str:
    of_classes = run["token_average_precision"]
    texts = {name: ", ".join(map(number, values)) for name, values in of_classes.items()}
    return "; ".join(f"{name} {text}" if len(texts) > 1 else text for name, text in texts.items())


def plot(found: dict, path: Path) -> None:
    """Plot AP and AUROC of each score with their intervals, a colour a way, and the reliability of `label_quality`."""
    runs, names = found["runs"], list(found["runs"][0]["scores"])
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(15, 1.2 + 0.62 * len(names)), layout="constrained", width_ratios=[2, 2, 1.5]
    )
    height = 0.8 / len(runs)
    for axes, measure in ((left, AP), (middle, AUROC)):
        for position, run in enumerate(runs):
            values = [run["scores"][name][measure] for name in names]
            low, high = np.array([run["scores"][name]["intervals"][measure] for name in names]).T
            y = np.arange(len(names)) + (position - (len(runs) - 1) / 2) * height
            errors = np.maximum([values - low, high - values], 0)
            axes.barh(y, values, 0.9 * height, xerr=errors, label=run["way"], capsize=2, error_kw={"linewidth": 0.8})
        axes.invert_yaxis()
        axes.grid(alpha=0.3, axis="x")
    left.set_yticks(range(len(names)), [name.replace("`", "") for name in names])
    middle.set_yticks([])
    chance = found["num_errors"] / found["num_measured"]
    left.axvline(chance, color="black", linestyle=":", linewidth=1, label="random order")
    left.set(xlabel=f"average precision, 95 % interval over {found['resampled']}", xlim=(0, 1))
    left.set_title(f"{found['file']}: {found['num_errors']} of {found['num_measured']} wrong")
    middle.set(xlabel="AUROC (a random order: 0.5)", xlim=(0.5, 1))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(runs) + 1)
    for color, run in enumerate(runs):
        # Of entities, sentences have a line and given spans a dashed one.
        for style, of_unit in (("o-", run), ("s--", run["spans"] and run["spans"]["given"])):
            bins = [of_bin for of_bin in of_unit["reliability"] if of_bin["examples"] >= 5] if of_unit else []
            x = [of_bin["mean_quality"] for of_bin in bins]
            right.plot(x, [of_bin["share_right"] for of_bin in bins], style, color=f"C{color}")
    right.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1)
    right.set(xlabel="label_quality, mean of a bin", ylabel="share right, bins of 5 or more", xlim=(0, 1), ylim=(0, 1))
    right.set_title("Reliability; dashed: given spans" if found["kind"] == "entities" else "Reliability")
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help=".json (several annotators), .tsv (entities) or .jsonlines (QED)")
    parser.add_argument("--num_examples", type=int, help="examples, whole paragraphs spread through the file; else all")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="else all that the data allows")
    parser.add_argument("--train_on", type=Path, help="of entities: train on this file instead of in folds")
    parser.add_argument("--document_words", type=int, help="of entities: read so many words of a document at once")
    parser.add_argument("--recipe", type=json.loads, default={}, help="arguments of the training, as JSON, that differ")
    parser.add_argument("--table", type=Path, help="measure this out_of_fold.parquet, whatever made it")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of matrix products")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only_finished", action="store_true", help="train nothing: report the runs that are there")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    data = read(arguments.dataset, arguments.num_examples)
    arguments.results.mkdir(parents=True, exist_ok=True)
    stem, predict, num_left_out = arguments.dataset.stem, out_of_fold_predictions, 0
    if (arguments.train_on or arguments.document_words) and data.kind != "entities":
        parser.error(
            f"--train_on, --document_words: expected a data set of entities (.tsv), found {arguments.dataset.name}"
        )
    if arguments.train_on:
        others = list(load_squad(arguments.train_on))
        to_train_on = without_contexts_of(others, data.examples)
        num_left_out = len(others) - len(to_train_on)
        if arguments.document_words:
            to_train_on = [part.example for part in parts_of_documents(to_train_on, arguments.document_words)]
        stem, predict = f"{stem}_trained_elsewhere", trained_on(to_train_on)
    elif data.kind == "entities" and all(example["title"] for example in data.examples):
        predict = by_title
    if arguments.document_words:
        predict = in_documents(predict, arguments.document_words)
    names, runs = arguments.ways or WAYS_OF_KIND[data.kind], []
    if arguments.table:
        names, table = [arguments.table.name], read_table(arguments.table, data)
    for name in names:
        if arguments.table:
            way, seconds = Way(name, "", 0, {}), None
        else:
            way = WAYS[name]
            way = replace(way, recipe={**way.recipe, **arguments.recipe} if way.num_splits else way.recipe)
            if arguments.train_on:
                way = replace(way, title=f"{way.checkpoint}, trained on {arguments.train_on.name}")
            if arguments.document_words:
                way = replace(way, title=f"{way.title}, {arguments.document_words} words of a document at once")
            folder = finished_run(
                arguments.work, data.examples, f"{stem}-{name}", way, seed=arguments.seed, label_map=data.label_map,
                answers=data.answers, precision=arguments.precision, predict=predict,
                train=not arguments.only_finished,
            )  # fmt: skip
            if folder is None:
                continue
            table, seconds = pd.read_parquet(folder / TABLE_FILE), read_record(folder)["seconds"]
        runs.append(evaluate(data, way, table, seconds))
        found = summary(arguments.dataset, command_of(arguments), data, num_left_out, runs)
        results = arguments.results / f"real_{stem}"
        write_file(f"{results}.json", json.dumps(found, indent=1))
        write_file(f"{results}.md", markdown(found))
        plot(found, Path(f"{results}.png"))
    if runs:
        print(markdown(found))


def command_of(arguments: argparse.Namespace) -> str:
    """Return the command that measures the same, without folders."""
    options = {
        "num_examples": arguments.num_examples, "ways": arguments.ways and " ".join(arguments.ways),
        "recipe": arguments.recipe and f"'{json.dumps(arguments.recipe)}'",
        "precision": None if arguments.precision == "auto" else arguments.precision,
        "train_on": arguments.train_on and arguments.train_on.name, "document_words": arguments.document_words,
        "table": arguments.table and arguments.table.name,
    }  # fmt: skip
    words = [f"--{name} {value}" for name, value in options.items() if value]
    return " ".join([f"python -m benchmarks.label_errors.real {arguments.dataset.name}", *words])


if __name__ == "__main__":
    main()
