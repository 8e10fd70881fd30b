"""Out-of-fold probabilities: every example judged by a model that saw neither it nor its paragraph."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from atomic_files import check_writable, new_folder
from fold_store import Fold, code_fingerprint, data_fingerprint, fold_folder, fold_key, load_fold, save_fold
from predictions import SpanPrediction
from progress import ProgressLine, TrainingProgress, bar
from span_metrics import evaluate_predictions
from spanbert import QATrainer, context_hash
from squad import normalized_text
from windows import QuestionCutWarning

GROUP_BY = ("context", "title", "none")


class LeakError(ValueError):
    """Raised when a model would be asked about something that it was trained on."""


@dataclass(frozen=True)
class Split:
    """The examples that one fold trains on and those that it holds out, as indices into the data set."""

    train_indices: np.ndarray
    validation_indices: np.ndarray


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of n examples, in the order of the data set.

    Attributes
    ----------
    predictions : list of SpanPrediction, length n
        Context tokens only.
    fold : ndarray of shape (n,), int64
        Which fold held the example out.
    splits : list of Split
    reports : list of dict
        One per fold: what made it, its metrics on the held-out part, loss history, times.
    label_map : dict
    """

    predictions: list[SpanPrediction]
    fold: np.ndarray
    splits: list[Split]
    reports: list[dict]
    label_map: dict[str, int]

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


def group_labels(examples: Sequence[dict], group_by: str = "context") -> np.ndarray:
    """Number the groups that must not be cut by a split.

    Parameters
    ----------
    examples : sequence of dict
    group_by : {"context", "title", "none"}
        Examples on the same paragraph (see `squad.normalized_text`), of the same article (articles
        that share a paragraph count as one), or none at all.

    Returns
    -------
    ndarray of shape (n,), int64
        Groups are numbered in the order in which they first appear.
    """
    if group_by not in GROUP_BY:
        raise ValueError(f"group_by: expected one of {GROUP_BY}, found {group_by!r}")
    if group_by == "none":
        return np.arange(len(examples))
    paragraphs = _numbered([normalized_text(example["context"]) for example in examples])
    if group_by == "context":
        return paragraphs
    # A paragraph that stands under two titles joins them: it must not be cut either.
    groups = _numbered([normalized_text(example["title"]) for example in examples])
    while True:
        of_paragraph = pd.Series(groups).groupby(paragraphs).transform("min")
        joined = of_paragraph.groupby(groups).transform("min").to_numpy()
        if np.array_equal(joined, groups):
            return _numbered(groups)
        groups = joined


def _numbered(keys: Sequence) -> np.ndarray:
    """Number equal keys alike, in the order in which they first appear."""
    return pd.factorize(np.array(keys, dtype=object))[0].astype(np.int64)


def make_splits(
    examples: Sequence[dict],
    num_splits: int = 3,
    *,
    group_by: str = "context",
    shuffle: bool = True,
    seed: int = 0,
) -> list[Split]:
    """Split examples into folds without cutting a group, and check the result.

    Parameters
    ----------
    examples : sequence of dict
        In the SQuAD schema.
    num_splits : int
        Number of folds, at least 2.
    group_by : {"context", "title", "none"}
        See `group_labels`.
    shuffle : bool
        Whether groups go to folds at random; otherwise in the order of the data.
    seed : int
        Of the shuffling.

    Returns
    -------
    list of Split
        Folds have equal numbers of groups, within one.

    Raises
    ------
    ValueError
        If there are fewer groups than folds.
    """
    if isinstance(num_splits, bool) or not isinstance(num_splits, int) or num_splits < 2:
        raise ValueError(
            f"num_splits: expected an integer of at least 2, found {num_splits!r}; one fold would leave "
            "nothing to train on, or predict what it was trained on"
        )
    if len(examples) < num_splits:
        raise ValueError(f"num_splits: expected at most {len(examples)}, one fold an example, found {num_splits}")
    groups = group_labels(examples, group_by)
    num_groups = int(groups.max()) + 1
    if num_groups < num_splits:
        raise ValueError(
            f"num_splits: expected at most {num_groups}, the number of different values of {group_by!r}, "
            f'found {num_splits}; use fewer folds or another group_by ("context" or "none")'
        )
    folds = KFold(num_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    splits = [
        Split(np.flatnonzero(np.isin(groups, train_groups)), np.flatnonzero(np.isin(groups, held_out_groups)))
        for train_groups, held_out_groups in folds.split(np.arange(num_groups))
    ]
    check_splits(splits, groups)
    return splits


def check_splits(splits: Sequence[Split], groups: np.ndarray) -> None:
    """Check that splits hold every example out exactly once and leak nothing.

    Parameters
    ----------
    splits : sequence of Split
    groups : ndarray of shape (n,)
        Group of each example.

    Raises
    ------
    LeakError
        If a held-out example, or one of its group, is trained on.
    ValueError
        If an example is held out never or more than once, or nothing is trained on.
    """
    num_examples = len(groups)
    times_held_out = np.bincount(np.concatenate([split.validation_indices for split in splits]), minlength=num_examples)
    wrong = np.flatnonzero(times_held_out != 1)
    if len(wrong):
        raise ValueError(
            f"expected every one of {num_examples} examples to be held out once; example {wrong[0]} is held out "
            f"{times_held_out[wrong[0]]} times, and {len(wrong) - 1} more are wrong"
        )
    for fold_index, split in enumerate(splits):
        if not len(split.train_indices) or not len(split.validation_indices):
            raise ValueError(f"fold {fold_index}: expected examples to train on and to hold out, found none")
        both = np.intersect1d(split.train_indices, split.validation_indices)
        if len(both):
            raise LeakError(f"fold {fold_index}: example {both[0]} is held out and trained on ({len(both)} are)")
        both = np.intersect1d(groups[split.train_indices], groups[split.validation_indices])
        if len(both):
            example_index = int(np.flatnonzero(groups == both[0])[0])
            raise LeakError(
                f"fold {fold_index}: the group of example {example_index} is held out and trained on "
                f"({len(both)} groups are)"
            )


def fold_seed(seed: int, fold_index: int) -> int:
    """Derive a fold's seed from the one seed of a run."""
    return int(np.random.SeedSequence([seed, fold_index]).generate_state(1)[0] % 2**31)


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
    and library versions. A finished fold is reused, an unfinished or damaged one is made again, and
    folders of other configurations are left alone.

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

    line = ProgressLine()
    predictions: list[SpanPrediction | None] = [None] * len(examples)
    fold_of_example = np.full(len(examples), -1, dtype=np.int64)
    reports = []
    for fold_index, split in enumerate(splits):
        configuration = {
            **shared,
            "seed": fold_seed(seed, fold_index),
            "train_indices": split.train_indices.tolist(),
            "validation_indices": split.validation_indices.tolist(),
        }
        title = f"fold {fold_index} ({fold_index + 1} of {num_splits})"
        folder = fold_folder(folds_dir, fold_index, num_splits, fold_key(configuration))
        fold = _finished_fold(folder, configuration, examples, title, log)
        if fold is None:
            fold = _make_fold(folder, fold_index, configuration, examples, trainer, title, line)
            line.clear()
            log(f"{title}: {_describe(fold.report)}")
        for example_index, prediction in zip(split.validation_indices, fold.predictions, strict=True):
            predictions[example_index] = prediction
        fold_of_example[split.validation_indices] = fold_index
        reports.append(fold.report)
    return OutOfFold(predictions, fold_of_example, splits, reports, trainer.label_map)


def _finished_fold(
    folder: Path, configuration: dict, examples: list[dict], title: str, log: Callable[[str], None]
) -> Fold | None:
    if not folder.exists():
        return None
    held_out = [examples[i] for i in configuration["validation_indices"]]
    try:
        fold = load_fold(folder, fold_key(configuration), held_out)
    except ValueError as error:
        log(f"{title}: {folder.name} cannot be used, training again ({error})")
        return None
    log(f"{title}: already trained, skipping ({folder.name})")
    return fold


def _make_fold(
    folder: Path,
    fold_index: int,
    configuration: dict,
    examples: list[dict],
    trainer: QATrainer,
    title: str,
    line: ProgressLine,
) -> Fold:
    held_out = [examples[i] for i in configuration["validation_indices"]]
    with new_folder(folder) as work, warnings.catch_warnings():
        # Said once for the whole data set already.
        warnings.simplefilter("ignore", QuestionCutWarning)
        training = trainer.train(
            [examples[i] for i in configuration["train_indices"]],
            work,
            seed=configuration["seed"],
            callbacks=[TrainingProgress(line, title)],
            **configuration["training"],
        )
        started = time.perf_counter()
        # Read back from the files, so that what is predicted is what was saved.
        predictions = trainer.load(work).predict_batch(
            held_out, on_batch=lambda share: line.update(f"{title} · predicting {bar(share)}")
        )
        predictions = [prediction.context_only() for prediction in predictions]
        report = {
            "fold": fold_index,
            "key": fold_key(configuration),
            **configuration,
            "metrics": evaluate_predictions(held_out, predictions, trainer.label_map),
            "loss_history": training.loss_history,
            "num_training_windows": training.num_windows,
            "num_training_questions_cut": training.num_questions_cut,
            "seconds": {"train": training.seconds, "predict": time.perf_counter() - started},
            "folder": folder.name,
        }
        save_fold(work, report, held_out, predictions)
    # Loaded as a later run will load it, so that a resumed run cannot differ.
    return load_fold(folder, report["key"], held_out)


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
