"""Splits for cross-validation that cut no group, and the checks that nothing leaks through them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from span_label_errors.spans.text import normalized_text, paragraph_numbers

GROUP_BY = ("context", "title", "none")


class LeakError(ValueError):
    """Raised when a model would predict something that it was trained on."""


@dataclass(frozen=True)
class Split:
    """The examples that one fold trains on and those that it holds out, as indices into the data set.

    A fold that trains on none is the way without training: the start checkpoint as it is predicts every example.
    """

    train_indices: np.ndarray
    validation_indices: np.ndarray


def group_labels(examples: Sequence[dict], group_by: str = "context") -> np.ndarray:
    """Number the groups that must not be cut by a split.

    Parameters
    ----------
    examples : sequence of dict
    group_by : {"context", "title", "none"}
        What makes a group: the same paragraph (by `normalized_text`), the same article (articles that share a
        paragraph count as one), or nothing, so that each example is a group.

    Returns
    -------
    ndarray of shape (n,), int64
        In the order in which groups first appear.
    """
    if group_by not in GROUP_BY:
        raise ValueError(f"group_by: expected one of {GROUP_BY}, found {group_by!r}")
    if group_by == "none":
        return np.arange(len(examples))
    paragraphs = np.array(paragraph_numbers(example["context"] for example in examples), dtype=np.int64)
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


def check_num_splits(num_splits: int) -> int:
    """Return a number of folds; raises ValueError if it is neither 0 nor an integer of at least 2."""
    if type(num_splits) is not int or num_splits < 0 or num_splits == 1:
        raise ValueError(
            "num_splits: expected 0, for the checkpoint as it is, or an integer of at least 2 (one fold alone would "
            f"have no examples to train on), found {num_splits!r}"
        )
    return num_splits


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
    examples, group_by
        What `group_labels` makes groups of.
    num_splits : int
        The number of folds; 0 for one fold that holds out every example and trains on none.
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
        If `num_splits` is 1 or no integer, `group_by` is unknown, or there are fewer groups than folds.
    """
    check_num_splits(num_splits)
    groups = group_labels(examples, group_by)
    if num_splits == 0:
        splits = [Split(np.arange(0), np.arange(len(examples)))]
        check_splits(splits, groups)
        return splits
    num_groups = len(np.unique(groups))
    if num_groups < num_splits:
        raise ValueError(
            f"num_splits: expected at most {num_groups}, the number of different values of {group_by!r}, "
            f"found {num_splits}; use {'fewer folds, ' if num_groups > 1 else ''}another group_by, or more examples"
        )
    from sklearn.model_selection import KFold  # 0.3 s, which audits and workers do without: their splits are made

    folds = KFold(num_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    splits = [
        Split(np.flatnonzero(np.isin(groups, train_groups)), np.flatnonzero(np.isin(groups, held_out_groups)))
        for train_groups, held_out_groups in folds.split(np.arange(num_groups))
    ]
    check_splits(splits, groups)
    return splits


def check_splits(splits: Sequence[Split], groups: np.ndarray) -> None:
    """Check that splits hold every example out exactly once and leak nothing.

    `groups`, of shape (n,), has the group of each of the n examples.

    Raises
    ------
    LeakError
        If a held-out example, or one of its group, is trained on.
    ValueError
        If an example is held out never or more than once, a fold holds out nothing, or one of several trains on
        nothing.
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
        # One fold alone has nothing to train on: that is the way without training.
        if not len(split.validation_indices) or (len(splits) > 1 and not len(split.train_indices)):
            raise ValueError(f"fold {fold_index}: expected examples to train on and to hold out, found none")
        # Of an example that is on both sides, the group is.
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
