"""Measure how well one person's wrong answer is found where other people's answers are known, or half of them are.

    python -m benchmarks.label_errors.annotators path/to/squadshifts_new_wiki.json

The data, what counts as wrong and the runs are those of `real`: each question is given one answer, the outvoted one
where there is one. Here the other people's answers come back, all of them or those that a hash of the id draws. What
was measured and the table go to `--results` after each run.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.model.qa import PRECISIONS
from span_label_errors.quality.agreement import annotator_agreement
from span_label_errors.quality.annotators import AnnotatorsJudge
from span_label_errors.quality.posterior import Judge, Judged
from span_label_errors.quality.sites import NO_SPAN
from span_label_errors.spans.agreement import most_agreed
from span_label_errors.spans.text import Span, normalized_text, overlaps

from .measures import AP, AUROC, calibration, compared, expected_calibration_error, measured, reliability
from .real import read
from .real_data import AGREEING_F1, RealData, drawn, token_f1
from .report import markdown_table, number, with_interval
from .runs import RESULTS, TABLE_FILE, WAYS, WORK, finished_run, way_of
from .scores import CHOICE_OVERLAP, MEAN, choice_scores, lowest_of_example, probability_scores

OURS, ALONE = "`label_quality`, the others as evidence", "`label_quality`, without the others"
AGREEMENT, WEIGHTED = "mean token F1 with the others", "weighted mean of model and others (as CROWDLAB weighs)"
KNOWN, HIDDEN = "all known", "half hidden"
DEFAULT_WAYS = ["as_it_is", "in_folds"]


def visible_others(data: RealData, setting: str) -> list[list[Span]]:
    """Return the answers of other people that may be seen; a hash of the id and its number hides half of them."""
    return [
        [span for number, span in enumerate(spans) if setting == KNOWN or drawn(f"{example['id']} {number}", 2)]
        for example, spans in zip(data.examples, data.other_answers, strict=True)
    ]


def with_others(table: pd.DataFrame, others: Sequence[Sequence[Span]]) -> pd.DataFrame:
    """Return the table of a run in which every question has other answers behind the given one."""
    texts = [[context[slice(*span)] for span in spans] for context, spans in zip(table["context"], others, strict=True)]
    return table.assign(
        given_answer=[[*given, *more] for given, more in zip(table["given_answer"], texts, strict=True)],
        given_start=[
            [*given, *(start for start, _ in more)] for given, more in zip(table["given_start"], others, strict=True)
        ],
        given_label=[
            [*given, *[given[0] for _ in more]] for given, more in zip(table["given_label"], others, strict=True)
        ],
        given_annotator=[
            [""] * (len(given) + len(more)) for given, more in zip(table["given_answer"], others, strict=True)
        ],
    )


def agreement_scores(
    data: RealData, others: list[list[Span]], choice_overlap: np.ndarray, model_is_right: np.ndarray
) -> dict[str, np.ndarray]:
    """Return scores of each given answer by how far the others agree with it, of shape (n,).

    Alone, where nobody else is seen, the mean of all stands. Weighted with the model's probability that the right
    answer is where the given one is, as CROWDLAB (arXiv 2210.06812) does: by the agreement of annotators with each
    other, and of the model's best span with the most agreed answer, times the root of the mean number of annotators.
    """
    given = [(span, example["context"]) for example, span in zip(data.examples, _given(data), strict=True)]
    f1 = [
        [token_f1(context[slice(*span)], context[slice(*other)]) for other in more]
        for (span, context), more in zip(given, others, strict=True)
    ]
    every = np.concatenate(f1)
    num_annotators = np.array([1 + len(more) for more in f1])
    of_people, of_model = every.mean(), model_is_right.mean() * np.sqrt(num_annotators.mean())
    return {
        AGREEMENT: np.array([np.mean(values) if values else every.mean() for values in f1]),
        WEIGHTED: np.array(
            [
                (of_model * overlap + of_people * sum(values)) / (of_model + of_people * len(values))
                for overlap, values in zip(choice_overlap, f1, strict=True)
            ]
        ),
    }


def _given(data: RealData) -> list[Span]:
    return [
        (example["answers"]["answer_start"][0], example["answers"]["answer_start"][0] + len(text))
        if (text := "".join(example["answers"]["text"]))
        else NO_SPAN
        for example in data.examples
    ]


def consensus(judged: Sequence[Judged], num_examples: int) -> tuple[list[Span], np.ndarray]:
    """Return the likeliest right answer of each example, and the probability that the right one is where it is."""
    spans, probability = [NO_SPAN] * num_examples, np.zeros(num_examples)
    for of_answer in judged:
        right = of_answer.posterior.sum(axis=0)
        likeliest, index = int(right.argmax()), of_answer.site.given.example_index
        spans[index] = tuple(of_answer.site.spans[likeliest].tolist())
        probability[index] = of_answer.site.overlapping_mass(right)[likeliest]
    return spans, probability


def is_right(data: RealData, spans: list[Span]) -> np.ndarray:
    """Return whether an answer to each question has the place or the words of one that was not outvoted, shape (n,)."""
    found = []
    for example, given, others, wrong, span in zip(
        data.examples, _given(data), data.other_answers, data.is_error, spans, strict=True
    ):
        context, right = example["context"], others if wrong else [given, *others]
        text = context[slice(*span)] if span != NO_SPAN else ""
        found.append(
            any(overlaps(span, other) or token_f1(text, context[slice(*other)]) >= AGREEING_F1 for other in right)
        )
    return np.array(found)


def evaluate(data: RealData, table: pd.DataFrame, setting: str) -> dict:
    """Measure on a finished run what the answers of others that are seen bring."""
    others = visible_others(data, setting)
    seen, rows, num_examples = with_others(table, others), data.is_measured, len(data.examples)
    started = time.perf_counter()
    judge = AnnotatorsJudge(seen)
    judged = list(judge.judged())
    seconds = time.perf_counter() - started
    quality_of = {(of.site.given.example_index, of.site.given.span): of.quality for of in judged}
    alone = list(Judge(table).judged())
    best = [NO_SPAN] * num_examples
    for of in alone:
        best[of.site.given.example_index] = tuple(of.site.spans[int(of.choice.argmax())].tolist())
    index = [of.site.given.example_index for of in alone]
    overlap = choice_scores(alone)[CHOICE_OVERLAP]
    given = _given(data)
    agreed = _most_agreed(seen)
    agrees = np.array([overlaps(span, other) for span, other in zip(best, agreed, strict=True)])
    scores = {
        OURS: np.array([quality_of[index, span] for index, span in enumerate(given)]),
        ALONE: lowest_of_example([of.quality for of in alone], index),
        **agreement_scores(data, others, overlap, agrees),
        MEAN: probability_scores(table)[MEAN],
    }
    is_error = data.is_error[rows]
    scores = {name: score[rows] for name, score in scores.items()}
    groups = pd.factorize(table["context"].map(normalized_text))[0][rows]
    intervals, differences = compared(scores, is_error, groups, OURS)
    every = [
        (quality_of[index, span], bool(data.is_error[index]) and number == 0)
        for index in np.flatnonzero(rows).tolist()
        for number, span in enumerate([given[index], *others[index]])
    ]
    quality, is_wrong = map(np.array, zip(*every, strict=True))
    spans, probability = consensus(judged, num_examples)
    consensus_is_wrong = ~is_right(data, spans)[rows]
    bins = reliability(probability[rows], consensus_is_wrong)
    agreement = annotator_agreement(seen)
    return {
        "others": setting, "num_others": sum(map(len, others)),
        "num_alone": int(sum(not more for more, is_measured in zip(others, rows, strict=True) if is_measured)),
        "scores": {
            name: {**measured(score, is_error), "intervals": intervals[name]} for name, score in scores.items()
        },
        "differences": differences,
        "every_answer": {
            "answers": len(quality), "wrong": int(is_wrong.sum()), **measured(quality, is_wrong),
            "flagged": int((quality < 0.5).sum()), "flagged_wrong": int(is_wrong[quality < 0.5].sum()),
            **calibration(quality, is_wrong),
        },
        "consensus": {
            "wrong": int(consensus_is_wrong.sum()), "sum_of_doubt": float((1 - probability[rows]).sum()),
            "expected_calibration_error": expected_calibration_error(bins), "reliability": bins,
        },
        "most_agreed_wrong": int((~is_right(data, agreed))[rows].sum()),
        "shares": dict(zip(("right", "another border", *judge.kinds), judge.shares.tolist(), strict=True)),
        "agreement": {
            "questions": len(agreement.questions), "f1": agreement.f1, "alpha": agreement.alpha,
            "exact": float(agreement.questions["exact"].mean()),
        },
        "scoring_milliseconds_per_example": 1000 * seconds / num_examples,
    }  # fmt: skip


def _most_agreed(table: pd.DataFrame) -> list[Span]:
    found = []
    for starts, texts in zip(table["given_start"], table["given_answer"], strict=True):
        spans = [(int(start), int(start) + len(text)) for start, text in zip(starts, texts, strict=True)]
        found.append(spans[most_agreed(spans)] if spans else NO_SPAN)
    return found


def markdown(found: dict) -> str:
    """Return the tables of what was measured."""
    runs, chance = found["runs"], found["num_errors"] / found["num_measured"]
    lines = [
        f"# Several annotators: {found['file']}", "", f"`{found['command']}`", "",
        f"{found['num_examples']:,} questions, {found['num_measured']:,} of them measured, of which "
        f"{found['num_errors']} have an outvoted answer, which is the given one: a random order has an AP of "
        f"{chance:.3f}. Where all others are known, their agreement alone says what was outvoted, since that is the "
        "rule. In brackets 95 % bootstrap intervals over paragraphs.", "",
    ]  # fmt: skip
    rows = [
        [run["way"], run["others"], name, with_interval(of[AP], of["intervals"][AP]),
         with_interval(of[AUROC], of["intervals"][AUROC]), number(of["precision_at_errors"])]
        for run in runs for name, of in run["scores"].items()
    ]  # fmt: skip
    lines += [*markdown_table(["way", "others", "score of the given answer", "AP", "AUROC", "P at n"], rows), ""]
    lines += [f"How far {OURS} is above each other score, both on the same resamples:", ""]
    rows = [
        [run["way"], run["others"], name, *(with_interval(*of[measure].values(), sign="+") for measure in (AP, AUROC))]
        for run in runs for name, of in run["differences"].items()
    ]  # fmt: skip
    lines += [*markdown_table(["way", "others", "score", "AP", "AUROC"], rows), "", "Every answer that is seen:", ""]
    rows = [
        [run["way"], run["others"], f"{of['answers']:,}", str(of["wrong"]), number(of[AP], 3), number(of[AUROC], 3),
         str(of["flagged"]), str(of["flagged_wrong"]), number(of["sum_of_doubt"], 1),
         number(of["expected_calibration_error"], 3), f"{run['scoring_milliseconds_per_example']:.1f} ms"]
        for run in runs for of in [run["every_answer"]]
    ]  # fmt: skip
    header = ["way", "others", "answers", "wrong", "AP", "AUROC", "flagged", "of these wrong",
              "sum of 1 − `label_quality`", "ECE", "an example"]  # fmt: skip
    lines += [*markdown_table(header, rows), "", "The consensus answer of the questions measured:", ""]
    rows = [
        [run["way"], run["others"], str(of["wrong"]), str(run["most_agreed_wrong"]), number(of["sum_of_doubt"], 1),
         number(of["expected_calibration_error"], 3), str(run["num_alone"])]
        for run in runs for of in [run["consensus"]]
    ]  # fmt: skip
    header = ["way", "others", "wrong", "most agreed answer wrong", "sum of 1 − probability", "ECE",
              "questions where no other is seen"]  # fmt: skip
    lines += [*markdown_table(header, rows), "", "What was learned of the annotators, and how far they agree:", ""]
    names = list(runs[0]["shares"])
    rows = [
        [run["way"], run["others"], *(number(run["shares"][name], 3) for name in names),
         *(number(run["agreement"][name], 3) for name in ("f1", "exact", "alpha"))]
        for run in runs
    ]  # fmt: skip
    header = ["way", "others", *names, "token F1", "pairs that are equal", "Krippendorff's alpha"]
    return "\n".join([*lines, *markdown_table(header, rows), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help=".json in SQuAD layout, with several annotators")
    parser.add_argument("--num_examples", type=int, help="examples, whole paragraphs spread through the file; else all")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=DEFAULT_WAYS)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of matrix products")
    parser.add_argument("--only_finished", action="store_true", help="train nothing: report the runs that are there")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    data = read(arguments.dataset, arguments.num_examples)
    if data.kind != "annotators":
        parser.error(f"expected a data set of several annotators (.json), found {arguments.dataset.name}")
    arguments.results.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.label_errors.annotators {arguments.dataset.name}"
    command += "" if arguments.num_examples is None else f" --num_examples {arguments.num_examples}"
    command += "" if arguments.ways == DEFAULT_WAYS else f" --ways {' '.join(arguments.ways)}"
    command += "" if arguments.precision == "auto" else f" --precision {arguments.precision}"
    runs, stem = [], arguments.dataset.stem
    for name in arguments.ways:
        folder = finished_run(
            arguments.work, data.examples, f"{stem}-{name}", way_of(name), label_map=data.label_map,
            answers=data.answers, precision=arguments.precision, train=not arguments.only_finished,
        )  # fmt: skip
        if folder is None:
            continue
        table = pd.read_parquet(folder / TABLE_FILE)
        runs += [{"way": WAYS[name].title, **evaluate(data, table, setting)} for setting in (KNOWN, HIDDEN)]
        found = {
            "file": arguments.dataset.name, "command": command, "num_examples": len(data.examples),
            "num_measured": int(data.is_measured.sum()), "num_errors": int(data.is_error[data.is_measured].sum()),
            "runs": runs,
        }  # fmt: skip
        results = arguments.results / f"annotators_{stem}"
        write_file(f"{results}.json", json.dumps(found, indent=1))
        write_file(f"{results}.md", markdown(found))
    if runs:
        print(markdown(found))


if __name__ == "__main__":
    main()
