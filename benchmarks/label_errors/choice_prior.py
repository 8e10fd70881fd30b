"""Learn what the judge's choice starts from, on runs of other data than those that anything is measured on.

    python -m benchmarks.label_errors.choice_prior run/out_of_fold.parquet another/out_of_fold.parquet

Every run weighs the same. Writes `span_label_errors/quality/choice_prior.json`: for each feature its weight, and how
much it varies.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.quality.choice import PRIOR_FILE, ChoicePrior, fit_choice
from span_label_errors.quality.features import COLUMN, FEATURES
from span_label_errors.quality.posterior import Judge, JudgeRecipe

ROUNDS = 3
PENALTY = 0.003
# All spans are compared: the prior is what finds likely ones.
RECIPE = JudgeRecipe(num_candidates=10**6)


def learned_prior(tables: list[pd.DataFrame]) -> ChoicePrior:
    """Return the weights of the choice over all tables, and the deviations of the features."""
    weights = np.zeros(len(FEATURES))
    weights[COLUMN["expected_f1"]] = 1.0
    prior = ChoicePrior(weights, np.ones(len(FEATURES)))
    for _ in range(ROUNDS):
        judges = [Judge(table, prior=prior, recipe=RECIPE) for table in tables]
        alternatives = [features for judge in judges for features in judge.alternatives]
        importance = np.concatenate([judge.importance / len(judge.importance) for judge in judges])
        scale = deviations(np.concatenate(alternatives))
        found = fit_choice(alternatives, importance, ChoicePrior(np.zeros(len(FEATURES)), scale), PENALTY)
        prior = ChoicePrior(found, scale)
    return prior


def deviations(features: np.ndarray) -> np.ndarray:
    """Return how much each feature varies among the rows that it is about; 1 if it does not vary there."""
    is_no_answer = features[:, COLUMN["no_answer"]] == 1
    found = features[~is_no_answer].std(axis=0)
    if is_no_answer.any():
        found[COLUMN["highest_logit"]] = features[is_no_answer, COLUMN["highest_logit"]].std()
    # A rare mark is as much of a difference as a frequent one.
    return np.where(found > 0, np.maximum(found, 0.1), 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="out_of_fold.parquet of a run each")
    parser.add_argument("--output", type=Path, default=PRIOR_FILE)
    arguments = parser.parse_args()
    prior = learned_prior([pd.read_parquet(path) for path in arguments.tables])
    rows = {
        name: {"weight": round(float(weight), 4), "scale": round(float(scale), 4)}
        for name, weight, scale in zip(FEATURES, *prior, strict=True)
    }
    write_file(arguments.output, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
