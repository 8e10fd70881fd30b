"""Measure what each part of the judge brings: with and without it, on the same probabilities.

    python -m benchmarks.label_errors.parts --planted train-v1.1-head.json --people squadshifts_new_wiki.json

The demo is measured always; finished runs are kept in `--work` and are not made again. What was measured and the table
go to `--results` after each set.
"""

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.quality.posterior import Judge, JudgeRecipe
from span_label_errors.spans.text import normalized_text

from .known_sets import KnownSet, add_arguments, command_of, finished_tables
from .measures import AP, AUROC, calibration, compared, measured
from .report import markdown_table, number, with_interval
from .runs import with_way
from .scores import lowest_of_example

AS_IT_IS = "as it is"
# What differs from `JudgeRecipe()`; each kind of mistake left out comes on top.
VARIANTS: dict[str, dict] = {
    AS_IT_IS: {},
    "choice as elsewhere, not fitted": {"penalty": 1e6},
    "choice hardly held to what was learned elsewhere": {"penalty": 0.1},
    "choice fitted once, all answers taken for right": {"rounds": 1},
    "shares as assumed, not fitted": {"strength": 1e6},
    "shares fitted, nothing assumed": {"strength": 1.0},
}


def recipes() -> dict[str, JudgeRecipe]:
    """Return the recipe of each variant."""
    as_it_is = JudgeRecipe()
    without = {
        f"without {kind}": {"kinds": tuple(other for other in as_it_is.kinds if other != kind)}
        for kind in as_it_is.kinds
    }
    return {name: replace(as_it_is, **changes) for name, changes in (VARIANTS | without).items()}


def label_quality(table: pd.DataFrame, recipe: JudgeRecipe) -> np.ndarray:
    """Return the quality of each example by a recipe, shape (n,): that of its worst given answer."""
    judged = [(found.quality, found.site.given.example_index) for found in Judge(table, recipe=recipe).judged()]
    return lowest_of_example(*map(list, zip(*judged, strict=True)))


def evaluate(table: pd.DataFrame, known: KnownSet, variants: dict[str, JudgeRecipe]) -> dict:
    """Measure each variant, the first of which is the judge as it is, on the examples that are known."""
    rows, is_error = known.is_measured, known.is_error[known.is_measured]
    groups = pd.factorize(table["context"].map(normalized_text))[0][rows]
    quality, seconds = {}, {}
    for name, recipe in variants.items():
        started = time.perf_counter()
        quality[name] = label_quality(table, recipe)[rows]
        seconds[name] = time.perf_counter() - started
    intervals, brought = compared(quality, is_error, groups, AS_IT_IS)
    return {
        "set": known.title, "num_examples": len(table), "num_measured": len(is_error),
        "num_errors": int(is_error.sum()),
        "variants": {
            name: {
                **measured(of_variant, is_error), "intervals": intervals[name], "brought": brought.get(name),
                **calibration(of_variant, is_error), "seconds": seconds[name],
            }
            for name, of_variant in quality.items()
        },
    }  # fmt: skip


def markdown(command: str, sets: list[dict]) -> str:
    """Return the table of what was measured."""
    header = ["set", "judge", "AP", "the part brings", "AUROC", "the part brings", "ECE", "sum of 1 − `label_quality`",
              "wrong", "ratio", "seconds"]  # fmt: skip
    rows = []
    for of_set in sets:
        for name, of_variant in of_set["variants"].items():
            measures = []
            for measure in (AP, AUROC):
                brought = of_variant["brought"] and with_interval(*of_variant["brought"][measure].values(), sign="+")
                measures += [number(of_variant[measure], 3), brought or "–"]
            rows.append(
                [of_set["set"], name, *measures, number(of_variant["expected_calibration_error"], 3),
                 number(of_variant["sum_of_doubt"], 1), str(of_set["num_errors"]),
                 number(of_variant["sum_of_doubt_by_errors"]), number(of_variant["seconds"], 1)]
            )  # fmt: skip
    measured_sets = "; ".join(
        f"{of_set['set']}: {of_set['num_examples']} examples, {of_set['num_measured']} measured, "
        f"{of_set['num_errors']} wrong"
        for of_set in sets
    )
    return "\n".join([
        "# What each part of the judge brings", "", f"`{command}`", "", f"{measured_sets}.", "",
        *markdown_table(header, rows), "",
        "The part brings: the measure of the judge as it is, less that of the judge without the part, with the 95 % "
        "bootstrap interval over paragraphs of this difference. ECE: expected calibration error, in ten bins.", "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    command, sets = command_of("parts", arguments), []
    results = arguments.results / with_way("parts", arguments.way)
    for known, table in finished_tables(arguments):
        sets.append(evaluate(table, known, recipes()))
        write_file(f"{results}.json", json.dumps({"command": command, "sets": sets}, indent=1))
        write_file(f"{results}.md", markdown(command, sets))
    if sets:
        print(markdown(command, sets))


if __name__ == "__main__":
    main()
