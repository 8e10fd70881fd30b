"""Run the pipeline on a data set and keep what it predicted, so that a benchmark trains nothing twice."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.cross_validation.metrics import evaluate_predictions
from span_label_errors.cross_validation.out_of_fold import OutOfFold, out_of_fold_predictions
from span_label_errors.cross_validation.store import code_fingerprint, data_fingerprint, fold_key
from span_label_errors.files import new_folder
from span_label_errors.results.write import out_of_fold_table
from span_label_errors.spans.text import normalized_text
from spanbert import BACKBONE_RECIPE, EMBEDDED_RECIPE, QA, QATrainer

BENCHMARKS = Path(__file__).resolve().parents[1]
WORK, RESULTS = BENCHMARKS / "runs", BENCHMARKS / "results"
TABLE_FILE, RECORD_FILE = "out_of_fold.parquet", "record.json"
Predict = Callable[..., OutOfFold]  # as `out_of_fold_predictions`


@dataclass(frozen=True)
class Way:
    """Where a model starts, and how it is trained on a data set."""

    title: str
    checkpoint: str
    num_splits: int  # 0: no training
    recipe: dict  # arguments of `QATrainer.train`


WAYS = {
    "scratch": Way("from scratch, 3 folds", "embedded-backbone", 3, BACKBONE_RECIPE),
    "as_it_is": Way("reader as it is", "embedded", 0, {}),
    "in_folds": Way("reader in 3 folds", "embedded", 3, EMBEDDED_RECIPE),
    "new_head": Way("reader with a new head in 3 folds", "embedded", 3, BACKBONE_RECIPE),
}
# The reader's head knows one class of spans: for others it cannot predict as it is, and its encoder gets a new head.
WAYS_OF_QUESTIONS, WAYS_OF_ENTITIES = ("scratch", "as_it_is", "in_folds"), ("scratch", "new_head")
DEFAULT_WAY = "in_folds"


def way_of(name: str, num_train_epochs: float | None = None) -> Way:
    """Return a way by its name, with another number of epochs if one is given and the way trains at all."""
    way = WAYS[name]
    if num_train_epochs is None or not way.num_splits:
        return way
    return Way(way.title, way.checkpoint, way.num_splits, {**way.recipe, "num_train_epochs": num_train_epochs})


def with_way(name: str, way: str) -> str:
    """Return the name of a run or result with that of its way, unless that is the default."""
    return name if way == DEFAULT_WAY else f"{name}_{way}"


def spread(examples: list[dict], num_examples: int | None) -> list[int]:
    """Return the indices of whole paragraphs at equal distances through the data, until there are `num_examples`."""
    if num_examples is None or num_examples >= len(examples):
        return list(range(len(examples)))
    paragraphs: dict[str, list[int]] = {}
    for example_index, example in enumerate(examples):
        paragraphs.setdefault(normalized_text(example["context"]), []).append(example_index)
    groups = list(paragraphs.values())
    for count in range(1, len(groups) + 1):
        chosen = [example_index for k in range(count) for example_index in groups[k * len(groups) // count]]
        if len(chosen) >= num_examples:
            break
    return chosen[:num_examples]


def finished_run(
    work: Path,
    examples: list[dict],
    name: str,
    way: Way,
    *,
    seed: int = 0,
    label_map: dict[str, int],
    answers: str = "first",
    precision: str = "auto",
    predict: Predict = out_of_fold_predictions,
    train: bool = True,
) -> Path | None:
    """Return the folder of a run, after making it if need be; None if it may not be made and is not there.

    It holds `out_of_fold.parquet` and `record.json`, and is keyed by the data, the code and everything else that makes
    it.
    """
    qa = QA(way.checkpoint, label_map=label_map, answers=answers, precision=precision)
    trainer = QATrainer(qa, qa.max_length, label_map)
    key = fold_key(
        {"data": data_fingerprint(examples), "trainer": fold_trainer.settings(trainer), "training": way.recipe,
         "seed": seed, "splits": way.num_splits, "predict": predict.__name__, "code": code_fingerprint()}
    )  # fmt: skip
    folder = work / f"{name}-{seed}-{key[:12]}"
    if not train and not folder.exists():
        return None
    # Models are kept until the run is finished, so that it goes on where it was stopped.
    models = folder.with_name(f"{folder.name}.folds")
    if not folder.exists():
        work.mkdir(parents=True, exist_ok=True)
        with new_folder(folder) as partial:
            out_of_fold = predict(
                examples, trainer, num_splits=way.num_splits, seed=seed, folds_dir=models, **way.recipe
            )
            pyarrow.parquet.write_table(out_of_fold_table(examples, out_of_fold), partial / TABLE_FILE)
            record = {
                # Of each fold, so that those of a run that was interrupted count in full.
                "seconds": float(np.sum([list(report["seconds"].values()) for report in out_of_fold.reports])),
                "metrics": [report["metrics"] for report in out_of_fold.reports],
            }
            (partial / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
        if models.exists():
            shutil.rmtree(models)
    return folder


def trained_on(others: list[dict]) -> Predict:
    """Return what predicts a data set with one model, trained on other examples."""

    def predict(
        examples: list[dict], trainer: QATrainer, *, num_splits: int, seed: int, folds_dir: Path, **training
    ) -> OutOfFold:
        started, model = time.perf_counter(), folds_dir / "model"
        folds_dir.mkdir(parents=True, exist_ok=True)
        trainer.train(others, model, seed=seed, **training)
        predictions = [prediction.context_only() for prediction in trainer.load(model).predict_batch(examples)]
        report = {
            "metrics": evaluate_predictions(examples, predictions, trainer.label_map),
            "trainer": fold_trainer.settings(trainer), "seconds": {"train": time.perf_counter() - started},
        }  # fmt: skip
        return OutOfFold(predictions, np.zeros(len(examples), dtype=np.int64), [], [report], trainer.label_map)

    # A part of the run's key.
    predict.__name__ = f"trained_on_{data_fingerprint(others)}"
    return predict


def read_record(folder: Path) -> dict:
    """Return the seconds of a finished run, and the held-out metrics of its folds."""
    return json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
