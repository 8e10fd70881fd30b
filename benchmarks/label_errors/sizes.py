"""Measure how well held-out answers are found, by number of examples and way of making the probabilities.

    python -m benchmarks.label_errors.sizes train-v1.1-head.json --num_examples 100 300 1483

The data are read as `real.py` reads them: questions (`.json`) or entities (`.tsv`). Finished runs are kept in `--work`
and are not made again. The table goes to `--results` after each run.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.data.squad import load_squad
from span_label_errors.files import write_file
from span_label_errors.model.qa import PRECISIONS
from span_label_errors.spans.alignment import DEFAULT_LABEL_MAP

from .measures import token_average_precision
from .real_data import read_real
from .report import markdown_table, number
from .runs import (
    RESULTS,
    TABLE_FILE,
    WAYS,
    WAYS_OF_ENTITIES,
    WAYS_OF_QUESTIONS,
    WORK,
    finished_run,
    read_record,
    spread,
)


def token_ap(table: pd.DataFrame) -> float:
    """Return the average precision of the out-of-fold tokens of all folds together, the mean of the span classes."""
    return float(np.mean([of_class for (of_class,) in token_average_precision(table.assign(fold=0)).values()]))


def mean_of(name: str, of_classes: list[dict]) -> float:
    """Return the mean of a figure over folds and span classes."""
    return float(np.mean([of_class[name] for of_class in of_classes]))


def markdown(name: str, command: str, rows: list[dict]) -> str:
    """Return the table of what was measured."""
    header = ["examples", "way", "token AP", "exact match, %", "F1, %", "seconds"]
    cells = [
        [f"{row['num_examples']:,}", row["way"], f"{row['token_ap']:.3f}", number(row["exact_match"], 0),
         number(row["f1"], 0), f"{row['seconds']:.0f}"]
        for row in rows
    ]  # fmt: skip
    explained = (
        "Token AP: average precision of the tokens of all folds together (the mean of the classes, if there are "
        "several). Exact match and F1 as SQuAD counts them; of entities, F1 as CoNLL-2003 does. Both are means of "
        "folds and classes. Seconds of training and prediction."
    )
    return "\n".join([f"# Held-out answers found: {name}", "", f"`{command}`", "", *markdown_table(header, cells), "",
                      explained, ""])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help=".json (questions) or .tsv (entities)")
    parser.add_argument("--num_examples", type=int, nargs="+", default=[100, 300, 1500])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="else all that the data allows")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of matrix products")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    path, rows = arguments.dataset, []
    if path.suffix == ".tsv":
        data = read_real(path)
        examples, label_map, answers, ways = data.examples, data.label_map, data.answers, WAYS_OF_ENTITIES
    else:
        examples, label_map, answers = list(load_squad(path)), DEFAULT_LABEL_MAP, "first"
        ways = WAYS_OF_QUESTIONS
    counts = " ".join(map(str, arguments.num_examples))
    command = f"python -m benchmarks.label_errors.sizes {path.name} --num_examples {counts}"
    command += "" if arguments.precision == "auto" else f" --precision {arguments.precision}"
    for count in arguments.num_examples:
        few = [examples[example_index] for example_index in spread(examples, count)]
        for name in arguments.ways or ways:
            folder = finished_run(
                arguments.work, few, f"sizes-{path.stem}-{count}-{name}", WAYS[name], seed=arguments.seed,
                label_map=label_map, answers=answers, precision=arguments.precision,
            )  # fmt: skip
            record = read_record(folder)
            of_classes = [of_class for metrics in record["metrics"] for of_class in metrics["classes"].values()]
            rows.append(
                {
                    "num_examples": len(few), "way": WAYS[name].title,
                    "token_ap": token_ap(pd.read_parquet(folder / TABLE_FILE)),
                    "exact_match": None if path.suffix == ".tsv" else mean_of("exact_match", of_classes),
                    "f1": mean_of("f1", of_classes), "seconds": record["seconds"],
                }
            )  # fmt: skip
            results = arguments.results / f"sizes_{path.stem}"
            write_file(f"{results}.json", json.dumps({"command": command, "rows": rows}, indent=1))
            write_file(f"{results}.md", markdown(path.name, command, rows))
    print(markdown(path.name, command, rows))


if __name__ == "__main__":
    main()
