"""Data sets of which the right answers are known, and finished runs on them: the demo, planted errors, people's errors.

Runs are named as those of `real.py` and `label_error_detection.py`, so that what these have made is not made again.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.data.sources import DEMO_SOURCE
from span_label_errors.data.squad import load_squad
from span_label_errors.model.qa import PRECISIONS
from span_label_errors.spans.text import Span, answers_of

from . import real
from .label_error_detection import FRESH, LABEL_MAP, SHARE, clean_examples
from .planting import KINDS, MIX, plant_errors
from .real_data import RealData
from .runs import DEFAULT_WAY, RESULTS, TABLE_FILE, WAYS_OF_QUESTIONS, WORK, finished_run, way_of, with_way


@dataclass(frozen=True)
class KnownSet:
    """n examples as they are given, and the right answers of those that somebody has judged."""

    title: str
    run: str  # the beginning of the run's folder
    examples: list[dict]
    right: list[list[Span] | None]  # None where nobody knows

    @property
    def is_measured(self) -> np.ndarray:
        """Whether the right answers of each example are known, shape (n,)."""
        return np.array([right is not None for right in self.right])

    @property
    def is_error(self) -> np.ndarray:
        """Whether the given answers of each example are known to be wrong, shape (n,)."""
        pairs = zip(self.examples, self.right, strict=True)
        return np.array([right is not None and answers_of(example) != right for example, right in pairs])


def demo_set(way: str) -> KnownSet:
    """Return the demo, some answers of which were made wrong by hand."""
    right = [answers_of(example) for example in clean_examples(DEMO_SOURCE, None)]
    return KnownSet("demo", f"demo-{way}", list(load_squad(DEMO_SOURCE)), right)


def planted_set(path: Path, kind: str, num_examples: int | None, way: str, seed: int) -> KnownSet:
    """Return right examples of a file, some of which get an error of this kind."""
    clean = clean_examples(str(path), num_examples)
    examples, _ = plant_errors(clean, kind, SHARE, seed)
    run = f"{with_way(path.stem, way)}-{kind}-{FRESH}"
    return KnownSet(f"{path.name}, planted: {kind}", run, examples, [answers_of(example) for example in clean])


def people_set(path: Path, num_examples: int | None, way: str) -> KnownSet:
    """Return questions that several people answered."""
    data = real.read(path, num_examples)
    if data.kind != "annotators":
        raise ValueError(f"{path}: expected questions that several annotators answered (.json), found {data.kind}")
    return KnownSet(path.name, f"{path.stem}-{way}", data.examples, right_of_annotators(data))


def right_of_annotators(data: RealData) -> list[list[Span] | None]:
    """Return what is right of each example: what the others agree on if the given answer was outvoted.

    The given answer is right if all agree. Elsewhere nobody knows, which is None.
    """
    right: list[list[Span] | None] = [None] * len(data.examples)
    for example_index in np.flatnonzero(data.is_measured).tolist():
        given = answers_of(data.examples[example_index])
        right[example_index] = data.other_answers[example_index][:1] if data.is_error[example_index] else given
    return right


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what chooses the sets, how their probabilities are made, and where runs and results are kept."""
    parser.add_argument("--people", type=Path, nargs="*", default=[], help=".json, questions with several annotators")
    parser.add_argument("--num_people", type=int, help="examples of each, spread through the file; else all")
    parser.add_argument("--planted", type=Path, help="a SQuAD file in which to plant errors")
    parser.add_argument("--kinds", nargs="+", default=[MIX], choices=[MIX, *KINDS], help="of planted errors")
    parser.add_argument("--num_planted", type=int, default=300, help="examples, spread over the paragraphs")
    parser.add_argument("--way", choices=WAYS_OF_QUESTIONS, default=DEFAULT_WAY, help="where models start")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of matrix products")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only_finished", action="store_true", help="train nothing: report the runs that are there")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)


def command_of(module: str, arguments: argparse.Namespace) -> str:
    """Return the command that measures the same, without folders."""
    words = [f"python -m benchmarks.label_errors.{module}"]
    if arguments.people:
        words.append("--people " + " ".join(path.name for path in arguments.people))
    if arguments.num_people is not None:
        words.append(f"--num_people {arguments.num_people}")
    if arguments.planted:
        kinds = " ".join(arguments.kinds)
        words.append(f"--planted {arguments.planted.name} --kinds {kinds} --num_planted {arguments.num_planted}")
    words += [f"--way {arguments.way}", f"--precision {arguments.precision}", f"--seed {arguments.seed}"]
    return " ".join(words)


def finished_tables(arguments: argparse.Namespace) -> Iterator[tuple[KnownSet, pd.DataFrame]]:
    """Yield each set with the table of its run, which is made if it is not there: the demo first."""
    way = arguments.way
    known_sets = [demo_set(way)]
    if arguments.planted:
        known_sets += [
            planted_set(arguments.planted, kind, arguments.num_planted, way, arguments.seed)
            for kind in arguments.kinds
        ]  # fmt: skip
    known_sets += [people_set(path, arguments.num_people, way) for path in arguments.people]
    for known in known_sets:
        folder = finished_run(
            arguments.work, known.examples, known.run, way_of(way), seed=arguments.seed, label_map=LABEL_MAP,
            precision=arguments.precision, train=not arguments.only_finished,
        )  # fmt: skip
        if folder is not None:
            yield known, pd.read_parquet(folder / TABLE_FILE)
