"""Learn what the judge's choice starts from, on runs of other data than those that anything is measured on.

    python -m benchmarks.label_errors.choice_prior run/out_of_fold.parquet another/out_of_fold.parquet

Every run weighs the same. All are of questions, or in all of them every span is labelled. Writes
`span_label_errors/quality/choice_prior.json` or `span_choice_prior.json`: for each feature its weight, and how much it
varies.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.quality.choice import PRIOR_FILE, SPAN_PRIOR_FILE, ChoicePrior, fit_choice
from span_label_errors.quality.features import COLUMN, FEATURES
from span_label_errors.quality.posterior import Judge, JudgeRecipe
from span_label_errors.quality.span_features import SPAN_COLUMN, SPAN_FEATURES
from span_label_errors.quality.span_judge import SpanJudge
from span_label_errors.quality.span_sites import labels_every_span

ROUNDS = 3
PENALTY = 0.003
# All spans are compared: the prior is what finds likely ones.
RECIPE = JudgeRecipe(num_candidates=10**6)
# What is known before anything is learned: the model's probabilities count.
FIRST = {"expected_f1": 1.0}
FIRST_OF_SPANS = {"mean_logit": 1.0, "highest_logit": -1.0}
# The features of "no answer", or of "nothing here"; the first of each says that it is.
OF_NOTHING = ("no_answer", "highest_logit")
OF_NOTHING_AMONG_SPANS = ("nothing", "highest_logit", "unlabelled_elsewhere", "unlabelled_in_document")


def learned_prior(tables: list[pd.DataFrame]) -> ChoicePrior:
    """Return the weights of the choice over all tables, and the deviations of the features."""
    if labels_every_span(tables[0]):
        column, first, of_nothing = SPAN_COLUMN, FIRST_OF_SPANS, OF_NOTHING_AMONG_SPANS
    else:
        column, first, of_nothing = COLUMN, FIRST, OF_NOTHING
    weights = np.zeros(len(column))
    for name, weight in first.items():
        weights[column[name]] = weight
    prior = ChoicePrior(weights, np.ones(len(column)))
    for _ in range(ROUNDS):
        judges = [_judge(table, prior) for table in tables]
        alternatives = [features for judge in judges for features in judge.alternatives]
        importance = np.concatenate([judge.importance / len(judge.importance) for judge in judges])
        scale = deviations(np.concatenate(alternatives), column, of_nothing)
        found = fit_choice(alternatives, importance, ChoicePrior(np.zeros(len(column)), scale), PENALTY)
        prior = ChoicePrior(found, scale)
    return prior


def _judge(table: pd.DataFrame, prior: ChoicePrior) -> Judge:
    return SpanJudge(table, prior=prior) if labels_every_span(table) else Judge(table, prior=prior, recipe=RECIPE)


def deviations(features: np.ndarray, column: dict[str, int], of_nothing: tuple[str, ...]) -> np.ndarray:
    """Return how much each feature varies among the rows that it is about; 1 if it does not vary there."""
    is_nothing = features[:, column[of_nothing[0]]] == 1
    found = features[~is_nothing].std(axis=0)
    if is_nothing.any():
        for name in of_nothing[1:]:
            found[column[name]] = features[is_nothing, column[name]].std()
    # A rare mark is as much of a difference as a frequent one.
    return np.where(found > 0, np.maximum(found, 0.1), 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="out_of_fold.parquet of a run each")
    parser.add_argument("--output", type=Path, help="instead of the file of the package")
    arguments = parser.parse_args()
    tables = [pd.read_parquet(path) for path in arguments.tables]
    names, file = (SPAN_FEATURES, SPAN_PRIOR_FILE) if labels_every_span(tables[0]) else (FEATURES, PRIOR_FILE)
    rows = {
        name: {"weight": round(float(weight), 4), "scale": round(float(scale), 4)}
        for name, weight, scale in zip(names, *learned_prior(tables), strict=True)
    }
    write_file(arguments.output or file, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
