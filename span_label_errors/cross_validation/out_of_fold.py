"""Out-of-fold probabilities: every example is predicted by a model that saw neither it nor its paragraph."""

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from span_label_errors.cross_validation import trainers
from span_label_errors.cross_validation.make import FoldPlan
from span_label_errors.cross_validation.pool import FoldPool
from span_label_errors.cross_validation.splits import LeakError, Split, fold_seed, make_splits
from span_label_errors.cross_validation.store import (
    code_fingerprint,
    data_fingerprint,
    finished_folders,
    fold_folder,
    fold_key,
)
from span_label_errors.cross_validation.stored_predictions import StoredPredictions
from span_label_errors.data.shared_contexts import with_shared_contexts
from span_label_errors.files import check_writable
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.model.seen_contexts import context_hash


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of n examples, in the order of the data set."""

    predictions: Sequence[SpanPrediction]  # of the context tokens only; each is read from its fold when it is needed
    fold: np.ndarray  # of shape (n,), int64: which fold held the example out
    splits: list[Split]
    reports: list[dict]  # for each fold: what made it, its metrics on the held-out part, loss history, times
    label_map: dict[str, int]
    group_by: str = "context"  # what no split cuts; see `splits.group_labels`

    def metrics(self) -> pd.DataFrame:
        """Return the held-out metrics, one row for each fold and span class; without training there is one fold."""
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
    trainer,
    *,
    num_splits: int = 3,
    group_by: str = "context",
    shuffle: bool = True,
    seed: int = 0,
    folds_dir: str | Path = "folds",
    n_jobs: int | None = None,
    threads_per_fold: int | None = None,
    parallel_backend: str | None = None,
    log: Callable[[str], None] = print,
    **training,
) -> OutOfFold:
    """Predict every example with a model that saw neither it nor its group in training.

    For each fold a new model starts from the trainer's checkpoint, trains on the other folds' examples only, and
    predicts the fold's examples. With `num_splits=0` nothing is trained: the checkpoint as it is predicts every
    example, and this is kept as one fold without weights.

    Splits are checked before the first fit. Three things would break the guarantee: a checkpoint that was trained on
    this data before (one that `QATrainer` wrote is recognised and refused; one from elsewhere cannot be), a paragraph
    that was reworded, so that its two forms are two groups, or `group_by="none"` where paragraphs have several
    questions.

    A fold's folder is keyed by everything that made it: data, split, checkpoint, settings, seed, code
    and library versions. A finished fold is reused. One that was interrupted resumes from its last saved state, so
    about a minute of training is repeated at most. A damaged one is made again. Folders of other configurations are
    left alone; if folds are missing, the log says how many of those there are. If another process is making a fold,
    this one waits for it.

    Parameters
    ----------
    dataset : datasets.Dataset
        n examples in the SQuAD schema.
    trainer : QATrainer, or another
        See `trainers`; another than a QATrainer works in this process only.
    num_splits, group_by, shuffle
        See `make_splits`; of 0 splits, the others shape nothing.
    seed : int
        The one seed: of the splits, and through `fold_seed` of each fold's training.
    folds_dir : str or Path
        Where folds are kept; on a cluster, a folder that all its machines share.
    n_jobs : int, optional
        Folds at once, each in a process of its own; -1 for as many as there is room for, 1 for one after the other in
        this process. By default 1, or as many on each GPU as its memory holds, up to three, or as many as the cluster
        has room for. The bytes are those of a serial run with as many threads.
    threads_per_fold : int, optional
        Cores that a fold computes on; by default its share of this machine's, and on a cluster what a serial run here
        would use.
    parallel_backend : str, optional
        A cluster that is running: "ray" or "dask", found through the RAY_ADDRESS or DASK_SCHEDULER_ADDRESS variable of
        the environment, or with its address, such as "dask:tcp://10.0.0.1:8786".
    log : callable
        Gets a line of text for each fold.
    **training
        Passed to `trainer.train`, such as `num_train_epochs` and `learning_rate`; with `num_splits=0` they are checked
        and shape nothing.

    Returns
    -------
    OutOfFold

    Raises
    ------
    LeakError
        If the trainer's checkpoint was trained on a context of `dataset`.
    ValueError, TypeError, OSError
        If data, parameters or folders will not do, or if `num_splits` is 0 and the checkpoint has no head for the
        classes or `trainer` is no QATrainer; known before anything is trained or predicted.
    """
    pool = FoldPool(n_jobs, threads_per_fold, parallel_backend)
    examples = list(with_shared_contexts(dataset))
    splits = make_splits(examples, num_splits, group_by=group_by, shuffle=shuffle, seed=seed)
    with trainers.sharing(trainer, check_writable(folds_dir)):
        plans = plan_folds(examples, trainer, splits, seed, folds_dir, training)
        trainers.log_new_head(trainer, log)
        trainers.log_answered_questions(trainer, log)
        _log_unused_folds(plans, log)
        folds = pool.folds(plans, examples, trainer, log)
    fold_of_example = np.full(len(examples), -1, dtype=np.int64)
    for fold_index, split in enumerate(splits):
        fold_of_example[split.validation_indices] = fold_index
    held_out = [split.validation_indices for split in splits]
    predictions = StoredPredictions.in_order([fold.predictions for fold in folds], held_out)
    reports = [fold.report for fold in folds]
    return OutOfFold(predictions, fold_of_example, splits, reports, trainer.label_map, group_by)


def plan_folds(
    examples: Sequence[dict], trainer, splits: Sequence[Split], seed: int, folds_dir: str | Path, training: dict
) -> list[FoldPlan]:
    """Plan a fold for each split, and raise what can be known to be wrong before one is made.

    The parameters are those of `out_of_fold_predictions`, with the arguments of `trainer.train` as `training`.
    """
    seen = trainers.seen_contexts(trainer) & {
        context_hash(context) for context in {example["context"] for example in examples}
    }
    if seen:
        raise LeakError(
            f"expected a checkpoint that has not seen this data; {trainer.qa.model_path} was trained on {len(seen)} "
            "of its contexts. Train folds from one that has not: the checkpoint that it was trained from, or "
            'model_checkpoint="embedded-backbone" with num_splits=3'
        )
    is_trained = any(len(split.train_indices) for split in splits)
    if not is_trained:
        trainers.check_start(trainer)
    trainers.check(trainer, examples, training)
    # Workers have working directories of their own.
    folds_dir = check_writable(folds_dir).absolute()
    shared = {
        "data": data_fingerprint(examples),
        "trainer": trainers.settings(trainer),
        # Where nothing is trained, no argument of the training, nor the seed, may make the prediction another.
        "training": training if is_trained else None,
        "code": code_fingerprint(),
    }
    plans = []
    for fold_index, split in enumerate(splits):
        configuration = {
            **shared,
            "seed": fold_seed(seed, fold_index) if is_trained else None,
            "train_indices": split.train_indices.tolist(),
            "validation_indices": split.validation_indices.tolist(),
        }
        folder = fold_folder(folds_dir, fold_index, len(splits), fold_key(configuration))
        plans.append(FoldPlan(folder, fold_index, len(splits), configuration))
    needed = sum(plan.is_trained and not plan.folder.exists() for plan in plans) * trainers.num_bytes(trainer)
    free = shutil.disk_usage(folds_dir).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"expected at least {needed / 1e6:,.0f} MB of free space for the folds' models, found "
            f"{free / 1e6:,.0f} MB; free some, or choose another folds_dir",
            str(folds_dir),
        )
    return plans


def _log_unused_folds(plans: Sequence[FoldPlan], log: Callable[[str], None]) -> None:
    """If a fold is missing, say how many finished ones cannot be used: an update may have made all of them stale."""
    folders = {plan.folder for plan in plans}
    folds_dir = plans[0].folder.parent
    finished = finished_folders(folds_dir)
    unused = finished - folders
    if unused and not folders <= finished:
        log(
            f"{folds_dir.name}: finished folds of other data, settings, code or library versions are there "
            f"({len(unused)}); they stay as they are and are not used"
        )
