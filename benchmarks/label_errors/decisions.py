"""Measure what a reviewer's decisions bring: how many errors they find, and how well the rest is judged after them.

    python -m benchmarks.label_errors.decisions --planted train-v1.1-head.json --people squadshifts_new_wiki.json

A reviewer who is always right goes down the list, worst first, and decides ten answers a round. After each round the
answers are judged again with all decisions so far. Beside it stands a reviewer who goes down the first list. Answers of
which nobody knows whether they are right are judged, and skipped. The demo is measured always; finished runs are kept
in `--work`. What was measured, the tables and the plot go to `--results` after each set.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.quality.label_errors import LabelErrors, find_label_errors
from span_label_errors.quality.sites import Known

from .known_sets import KnownSet, add_arguments, command_of, finished_tables
from .measures import AP, AUROC, measured
from .report import markdown_table, number
from .runs import with_way

ROUND = 10
REPORTED = (0, 10, 30, 100)
CLASS = "ANS"


def reviewed(
    table: pd.DataFrame, known: KnownSet, find: Callable[..., LabelErrors] = find_label_errors
) -> list[dict]:  # fmt: skip
    """Review the answers that are known, ten at a time, and return the state before each round and after the last.

    Parameters
    ----------
    table : DataFrame
        Out-of-fold probabilities of n examples.
    known : KnownSet
        The same examples.
    find : callable
        As `find_label_errors`.

    Returns
    -------
    list of dict
        See `state`; the last has as many decisions as `REPORTED` ends with, or as there are known answers.
    """
    undecided, decided, states = known.is_measured, [], []
    first_ranking = first_quality = None
    while True:
        found = find(table, known={index: Known({CLASS: known.right[index]}) for index in decided})
        ranking, quality = found.issues.sort_values("rank")["index"].to_numpy(), found.label_quality()
        if first_ranking is None:
            first_ranking, first_quality = ranking[undecided[ranking]], quality
        states.append(state(quality, first_quality, known.is_error, decided, first_ranking))
        coming = ranking[undecided[ranking]][: min(ROUND, REPORTED[-1] - len(decided))].tolist()
        if not coming:
            return states
        decided += coming
        undecided[coming] = False


def state(
    quality: np.ndarray,
    first_quality: np.ndarray,
    is_error: np.ndarray,
    decided: list[int],
    first_ranking: np.ndarray,
) -> dict:
    """Return what a number of decisions has brought.

    Parameters
    ----------
    quality, first_quality : ndarray of shape (n,)
        Label quality with the decisions so far, and without any.
    is_error : ndarray of shape (n,), bool
    decided : list of int
        Indices of the examples that were decided.
    first_ranking : ndarray of int
        Indices of the examples that are known, by the first quality, worst first.

    Returns
    -------
    dict
        `found` errors among those decided, and `found_by_first_list` among as many of the first list. Of the
        undecided rest that is known: `rest`, `errors_left`, and for the quality with decisions (`now`) and without
        (`at_first`) the number of errors that it expects there (`estimated`), AP and AUROC (None if the rest is all
        right or all wrong).
    """
    rest = first_ranking[~np.isin(first_ranking, decided)]
    is_mixed = 0 < is_error[rest].sum() < len(rest)
    measures = {}
    for name, of_quality in (("now", quality[rest]), ("at_first", first_quality[rest])):
        found = measured(of_quality, is_error[rest]) if is_mixed else {}
        measures[name] = {"estimated": float((1 - of_quality).sum()), AP: found.get(AP), AUROC: found.get(AUROC)}
    return {
        "decisions": len(decided), "found": int(is_error[decided].sum()),
        "found_by_first_list": int(is_error[first_ranking[: len(decided)]].sum()),
        "rest": len(rest), "errors_left": int(is_error[rest].sum()), **measures,
    }  # fmt: skip


def markdown(command: str, sets: list[dict]) -> str:
    """Return the table of what was measured."""
    header = ["set", "decisions", "errors found", "by the first list", "of", "errors left", "estimated", "as at first",
              "AP of the rest", "as at first", "AUROC of the rest", "as at first"]  # fmt: skip
    rows = [
        [of_set["set"], str(of_round["decisions"]), str(of_round["found"]), str(of_round["found_by_first_list"]),
         str(of_set["num_errors"]), str(of_round["errors_left"]),
         *(number(of_round[name]["estimated"], 1) for name in ("now", "at_first")),
         *(number(of_round[name][measure], 3) for measure in (AP, AUROC) for name in ("now", "at_first"))]
        for of_set in sets for of_round in of_set["rounds"]
        if of_round["decisions"] in REPORTED or of_round is of_set["rounds"][-1]
    ]  # fmt: skip
    measured_sets = "; ".join(
        f"{of_set['set']}: {of_set['num_measured']} of {of_set['num_examples']} known, {of_set['num_errors']} wrong, "
        f"{of_set['seconds']:.0f} s"
        for of_set in sets
    )
    return "\n".join([
        "# What a reviewer's decisions bring", "", f"`{command}`", "", f"{measured_sets}.", "",
        *markdown_table(header, rows), "",
        f"Answers are decided worst first, {ROUND} a round, and all are judged again after each round; the first list "
        "is not. The rest: answers that are not decided and of which it is known whether they are right. Estimated: "
        "the sum of 1 − `label_quality` over the rest. As at first: the same of the label quality without decisions, "
        "over the same rest.", "",
    ])  # fmt: skip


def plot(sets: list[dict], path: Path) -> None:
    """Plot, for each set, the errors found and the errors expected in the rest, by the number of decisions."""
    figure, panels = plt.subplots(2, len(sets), figsize=(4.5 * len(sets), 7), layout="constrained", squeeze=False)
    for of_set, (upper, lower) in zip(sets, panels.T, strict=True):
        rounds = of_set["rounds"]
        decisions = np.array([of_round["decisions"] for of_round in rounds])
        upper.plot(decisions, [of_round["found"] for of_round in rounds], "o-", label="judged again each round")
        upper.plot(decisions, [of_round["found_by_first_list"] for of_round in rounds], "s--", label="the first list")
        best = np.minimum(decisions, of_set["num_errors"])
        upper.plot(decisions, best, color="black", linestyle=":", label="all errors first")
        upper.set(title=of_set["set"], ylabel=f"errors found, of {of_set['num_errors']}")
        lower.plot(decisions, [of_round["now"]["estimated"] for of_round in rounds], "o-", label="with decisions")
        at_first = [of_round["at_first"]["estimated"] for of_round in rounds]
        lower.plot(decisions, at_first, "s--", label="without")
        errors_left = [of_round["errors_left"] for of_round in rounds]
        lower.plot(decisions, errors_left, color="black", linestyle=":", label="the truth")
        lower.set(xlabel="decisions", ylabel="errors estimated in the rest")
        for axes in (upper, lower):
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    command, sets = command_of("decisions", arguments), []
    results = arguments.results / with_way("decisions", arguments.way)
    for known, table in finished_tables(arguments):
        started = time.perf_counter()
        rounds = reviewed(table, known)
        sets.append(
            {
                "set": known.title, "num_examples": len(table), "num_measured": int(known.is_measured.sum()),
                "num_errors": int(known.is_error.sum()), "rounds": rounds, "seconds": time.perf_counter() - started,
            }
        )  # fmt: skip
        write_file(f"{results}.json", json.dumps({"command": command, "sets": sets}, indent=1))
        write_file(f"{results}.md", markdown(command, sets))
        plot(sets, Path(f"{results}.png"))
    if sets:
        print(markdown(command, sets))


if __name__ == "__main__":
    main()
