"""Out-of-fold probabilities: every example judged by a model that saw neither it nor its paragraph."""

import contextlib
import errno
import functools
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from atomic_files import check_writable, replace_folder
from fold_store import (
    MODEL_FOLDER,
    TRAINING_FILE,
    Fold,
    code_fingerprint,
    data_fingerprint,
    fold_folder,
    fold_key,
    load_fold,
    load_training,
    lock_file,
    save_fold,
    save_training,
    unfinished_folder,
)
from locks import exclusive
from predictions import SpanPrediction
from progress import ProgressLine, TrainingProgress, bar
from resumable_training import TrainingStates
from span_metrics import evaluate_predictions
from spanbert import QATrainer, context_hash
from splits import LeakError, Split, fold_seed, make_splits
from stored_predictions import GatheredPredictions
from windows import QuestionCutWarning


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of n examples, in the order of the data set.

    Attributes
    ----------
    predictions : sequence of SpanPrediction, length n
        Context tokens only. Each is read from its fold when it is asked for; a slice is a list of them.
    fold : ndarray of shape (n,), int64
        Which fold held the example out.
    splits : list of Split
    reports : list of dict
        One per fold: what made it, its metrics on the held-out part, loss history, times.
    label_map : dict
    group_by : str
        What no split cuts; see `splits.group_labels`.
    """

    predictions: Sequence[SpanPrediction]
    fold: np.ndarray
    splits: list[Split]
    reports: list[dict]
    label_map: dict[str, int]
    group_by: str = "context"

    def metrics(self) -> pd.DataFrame:
        """Return the held-out metrics, one row for each fold and span class."""
        return pd.DataFrame(
            {
                "fold": report["fold"],
                "class": class_name,
                "examples": len(report["validation_indices"]),
                "loss": report["metrics"]["loss"],
                **of_class,
                "train_seconds": report["seconds"]["train"],
            }
            for report in self.reports
            for class_name, of_class in report["metrics"]["classes"].items()
        )


def out_of_fold_predictions(
    dataset: Sequence[dict],
    trainer: QATrainer,
    *,
    num_splits: int = 3,
    group_by: str = "context",
    shuffle: bool = True,
    seed: int = 0,
    folds_dir: str | Path = "folds",
    log: Callable[[str], None] = print,
    **training,
) -> OutOfFold:
    """Predict every example with a model that saw neither it nor its group in training.

    The guarantee: for each fold a new model starts from the trainer's checkpoint, trains on the
    other folds' examples only, and predicts the fold's examples; splits are checked before the first
    fit. What would break it: a checkpoint that has already been trained on this data (one that
    `QATrainer` wrote is recognised and refused; one from elsewhere cannot be), a paragraph
    that was reworded, so that its two forms are two groups, or `group_by="none"` where paragraphs have
    several questions.

    A fold's folder is keyed by everything that made it: data, split, checkpoint, settings, seed, code
    and library versions. A finished fold is reused, one that was interrupted goes on where its state was last saved
    (at most about a minute of training is repeated), a damaged one is made again, and folders of other configurations
    are left alone. A fold that another process is making is waited for.

    Parameters
    ----------
    dataset : datasets.Dataset
        n examples in the SQuAD schema.
    trainer : QATrainer
    num_splits, group_by, shuffle
        See `make_splits`.
    seed : int
        The one seed: of the splits, and through `fold_seed` of each fold's training.
    folds_dir : str or Path
        Where folds are kept.
    log : callable
        Gets a line of text for each fold.
    **training
        Passed to `trainer.train`, such as `num_train_epochs` and `learning_rate`.

    Returns
    -------
    OutOfFold

    Raises
    ------
    LeakError
        If the trainer's checkpoint was trained on a context of `dataset`.
    ValueError, TypeError, OSError
        If data, parameters or folders will not do; known before anything is trained.
    """
    examples = list(dataset)
    splits = make_splits(examples, num_splits, group_by=group_by, shuffle=shuffle, seed=seed)
    seen = trainer.seen_contexts() & {context_hash(example["context"]) for example in examples}
    if seen:
        raise LeakError(
            f"expected a checkpoint that has not seen this data; {trainer.qa.model_path} was trained on {len(seen)} "
            "of its contexts. Start from the checkpoint that it was trained from"
        )
    trainer.check(examples, **training)
    folds_dir = check_writable(folds_dir)
    shared = {
        "data": data_fingerprint(examples),
        "trainer": trainer.settings(),
        "training": training,
        "code": code_fingerprint(),
    }

    configurations = [
        {
            **shared,
            "seed": fold_seed(seed, fold_index),
            "train_indices": split.train_indices.tolist(),
            "validation_indices": split.validation_indices.tolist(),
        }
        for fold_index, split in enumerate(splits)
    ]
    folders = [
        fold_folder(folds_dir, fold_index, num_splits, fold_key(configuration))
        for fold_index, configuration in enumerate(configurations)
    ]
    _check_free_space(folds_dir, sum(not folder.exists() for folder in folders) * trainer.num_bytes())

    fold_of_example = np.full(len(examples), -1, dtype=np.int64)
    reports, of_folds = [], []
    for fold_index, (split, folder, configuration) in enumerate(zip(splits, folders, configurations, strict=True)):
        title = f"fold {fold_index} ({fold_index + 1} of {num_splits})"
        fold = _FoldMaking(folder, fold_index, configuration, examples, trainer, title, log).fold()
        of_folds.append(fold.predictions)
        fold_of_example[split.validation_indices] = fold_index
        reports.append(fold.report)
    predictions = GatheredPredictions(of_folds, [split.validation_indices for split in splits])
    return OutOfFold(predictions, fold_of_example, splits, reports, trainer.label_map, group_by)


def _check_free_space(folds_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(folds_dir).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"expected at least {needed / 1e6:,.0f} MB of free space for the folds' models, found "
            f"{free / 1e6:,.0f} MB; free some, or choose another folds_dir",
            str(folds_dir),
        )


@dataclass(frozen=True)
class _FoldMaking:
    """One fold: found finished, or made as far as it is not."""

    folder: Path
    fold_index: int
    configuration: dict
    examples: list[dict]
    trainer: QATrainer
    title: str
    log: Callable[[str], None]

    def fold(self) -> Fold:
        """Return the fold, after waiting for whoever else is making it."""
        is_there, unfinished = self.folder.exists(), unfinished_folder(self.folder)
        fold = self._finished()
        if fold is None or unfinished.exists():
            with exclusive(lock_file(self.folder), self._say) as has_waited:
                if fold is None and (has_waited or not is_there):
                    # Who held the lock was making this very fold.
                    fold = self._finished()
                if fold is None:
                    fold = self._make_with_advice()
                if unfinished.exists():
                    shutil.rmtree(unfinished)
        return fold

    def _say(self, text: str) -> None:
        self.log(f"{self.title}: {text}")

    @functools.cached_property
    def key(self) -> str:
        return fold_key(self.configuration)

    @functools.cached_property
    def held_out(self) -> list[dict]:
        return [self.examples[i] for i in self.configuration["validation_indices"]]

    def _finished(self) -> Fold | None:
        if not self.folder.exists():
            return None
        try:
            fold = load_fold(self.folder, self.key, self.held_out)
        except ValueError as error:
            self._say(f"{self.folder.name} cannot be used, training again ({error})")
            return None
        self._say(f"already trained, skipping ({self.folder.name})")
        return fold

    def _make_with_advice(self) -> Fold:
        try:
            return self._make()
        except BaseException as error:
            error.add_note(
                f"{self.title} is not finished. Finished folds, and what was last saved of this one, are kept in "
                f"{self.folder.parent}: run the same again, and it goes on from there."
            )
            raise

    def _make(self) -> Fold:
        line, unfinished, held_out = ProgressLine(), unfinished_folder(self.folder), self.held_out
        training, model = self._trained(unfinished, line), unfinished / MODEL_FOLDER
        started = time.perf_counter()
        with _question_cuts_unsaid():
            # Read back from the files, so that what is predicted is what was saved.
            predicted = self.trainer.load(model).predictions(
                held_out, on_batch=lambda share: line.update(f"{self.title} · predicting {bar(share)}")
            )
            predictions = [prediction.context_only() for prediction in predicted]
        report = {
            "fold": self.fold_index,
            "key": self.key,
            **self.configuration,
            "metrics": evaluate_predictions(held_out, predictions, self.trainer.label_map),
            "loss_history": training["loss_history"],
            "num_training_windows": training["num_windows"],
            "num_training_questions_cut": training["num_questions_cut"],
            "seconds": {"train": training["seconds"], "predict": time.perf_counter() - started},
            "folder": self.folder.name,
        }
        save_fold(model, report, predictions)
        replace_folder(model, self.folder)
        line.clear()
        self._say(_describe(report))
        # Loaded as a later run will load it, so that a resumed run cannot differ.
        return load_fold(self.folder, self.key, held_out)

    def _trained(self, unfinished: Path, line: ProgressLine) -> dict:
        """Train the fold's model, as far as that has not been done, and return what is reported of it."""
        states = TrainingStates(unfinished, self.key, self._say)
        if (unfinished / TRAINING_FILE).exists():
            try:
                training = load_training(unfinished, self.key)
            except ValueError as error:
                self._say(f"was interrupted, and its model cannot be used, training again ({error})")
            else:
                self._say("was interrupted after training; goes on with the predictions")
                states.clear()
                return training
        if (unfinished / MODEL_FOLDER).exists():
            # Nothing vouches for it.
            shutil.rmtree(unfinished / MODEL_FOLDER)
        with _question_cuts_unsaid():
            report = self.trainer.train(
                [self.examples[i] for i in self.configuration["train_indices"]],
                unfinished / MODEL_FOLDER,
                seed=self.configuration["seed"],
                callbacks=[TrainingProgress(line, self.title)],
                states=states,
                **self.configuration["training"],
            )
        training = {
            name: getattr(report, name) for name in ("loss_history", "num_windows", "num_questions_cut", "seconds")
        }
        save_training(unfinished, self.key, training)
        states.clear()
        return training


@contextlib.contextmanager
def _question_cuts_unsaid() -> Iterator[None]:
    """Leave out what was said once for the whole data set already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuestionCutWarning)
        yield


def _describe(report: dict) -> str:
    metrics = [
        f"{class_name}: token AP {_rounded(of_class['average_precision'])} (chance {of_class['base_rate']:.2f}), "
        f"exact match {of_class['exact_match']:.0f} %, F1 {of_class['f1']:.0f} %"
        for class_name, of_class in report["metrics"]["classes"].items()
    ]
    return (
        f"trained on {len(report['train_indices'])} examples in {report['seconds']['train']:.0f} s; on the "
        f"{len(report['validation_indices'])} held out: loss {report['metrics']['loss']:.4f}, {'; '.join(metrics)}"
    )


def _rounded(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
