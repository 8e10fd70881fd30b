"""Splits that cut no group, and the checks that nothing leaks through them."""

import re

import numpy as np
import pytest
from conftest import cases, make_example
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.cross_validation.splits import (
    LeakError,
    Split,
    check_splits,
    fold_seed,
    group_labels,
    make_splits,
)


def test_groups_are_numbered_in_the_order_of_the_data():
    examples = [
        make_example(str(i), context, "?", title=title)
        for i, (context, title) in enumerate([("b b", "Y"), ("a", "X"), (" B  b\n", "X"), ("c", "Y")])
    ]
    assert group_labels(examples, "context").tolist() == [0, 1, 0, 2]  # white space and case do not tell apart
    titles = [make_example("1", f"context {i}", "?", title=title) for i, title in enumerate(["Y", "X", "x ", "Y"])]
    assert group_labels(titles, "title").tolist() == [0, 1, 1, 0]
    assert group_labels(examples, "none").tolist() == [0, 1, 2, 3]


def test_articles_that_share_a_paragraph_are_one_group():
    """Otherwise the paragraph would be cut: it stands under X and under Y, and Y's other one under Z."""
    rows = [("one", "X"), ("two", "W"), ("ONE ", "Y"), ("three", "Y"), ("three", "Z"), ("four", "W")]
    examples = [make_example(str(i), context, "?", title=title) for i, (context, title) in enumerate(rows)]
    assert group_labels(examples, "title").tolist() == [0, 1, 0, 0, 0, 1]


def test_equivalent_characters_do_not_tell_paragraphs_apart():
    contexts = ["caf\u00e9", "cafe\u0301", "Caf\u00e9\u00a0", "cafe"]
    assert group_labels([make_example("1", context, "?") for context in contexts]).tolist() == [0, 0, 0, 1]


def test_final_null_character_tells_paragraphs_apart():
    """NumPy's own texts lose it."""
    examples = [make_example("1", context, "?") for context in ("rome", "rome\0", "rome")]
    assert group_labels(examples).tolist() == [0, 1, 0]


def test_splits_in_order_are_those_of_contiguous_groups(examples):
    splits = make_splits(examples, 3, shuffle=False)
    assert [split.validation_indices.tolist() for split in splits] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert splits[1].train_indices.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


def test_defaults_are_three_shuffled_folds_of_whole_paragraphs(examples):
    """The generator of seed 0 puts six paragraphs in the order 5 2 1 3 0 4, that of seed 1 in 2 1 4 0 3 5."""
    held_out = [split.validation_indices.tolist() for split in make_splits(examples)]
    assert held_out == [[4, 5, 10, 11], [2, 3, 6, 7], [0, 1, 8, 9]]
    held_out = [split.validation_indices.tolist() for split in make_splits(examples, seed=1)]
    assert held_out == [[2, 3, 4, 5], [0, 1, 8, 9], [6, 7, 10, 11]]


@cases(60)
@given(
    contexts=st.lists(st.integers(0, 9), min_size=2, max_size=40),
    num_splits=st.integers(2, 5),
    shuffle=st.booleans(),
    seed=st.integers(0, 100),
)
def test_splits_hold_each_example_out_once_and_cut_no_group(contexts, num_splits, shuffle, seed):
    examples = [make_example(str(i), f"context {context}", "?") for i, context in enumerate(contexts)]
    if len(set(contexts)) < num_splits:
        with pytest.raises(ValueError, match="num_splits: expected at most"):
            make_splits(examples, num_splits, shuffle=shuffle, seed=seed)
        return
    splits = make_splits(examples, num_splits, shuffle=shuffle, seed=seed)
    held_out = [index for split in splits for index in split.validation_indices]
    assert sorted(held_out) == list(range(len(contexts)))
    for split in splits:
        assert set(split.train_indices) == set(range(len(contexts))) - set(split.validation_indices)
        seen = {contexts[index] for index in split.train_indices}
        assert not seen & {contexts[index] for index in split.validation_indices}


@pytest.mark.parametrize(
    ("splits", "error", "message"),
    [
        (
            [([2, 3], [0, 1]), ([0], [1, 2])],
            ValueError,
            "expected every one of 4 examples to be held out once; example 1 is held out 2 times, and 1 more are wrong",
        ),
        ([([2, 3], [0, 1]), ([0, 1, 2], [2, 3])], LeakError, "fold 1: the group of example 2 is held out and"),
        (
            [([0, 3], [1, 2]), ([1, 2], [0, 3])],
            LeakError,
            "fold 0: the group of example 0 is held out and trained on (2 groups are)",
        ),
        ([([2, 3], [0, 1]), ([0, 1], [2, 3]), ([0], [])], ValueError, "fold 2: expected examples to train on and to"),
        ([([], [0, 1, 2]), ([0, 1], [3])], ValueError, "fold 0: expected examples to train on"),
        ([([0], [0, 1, 2, 3])], LeakError, "fold 0: the group of example 0 is held out and trained on"),
    ],
)
def test_wrong_splits_are_refused(splits, error, message):
    splits = [Split(np.array(train, dtype=int), np.array(held_out, dtype=int)) for train, held_out in splits]
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        check_splits(splits, np.array([0, 0, 1, 1]))


@pytest.mark.parametrize("options", [{}, {"group_by": "title", "shuffle": False, "seed": 3}])
def test_no_splits_are_one_that_trains_on_nothing_and_holds_out_everything(examples, options):
    (split,) = make_splits(examples, 0, **options)
    assert (split.train_indices.tolist(), split.train_indices.dtype) == ([], np.int64)
    assert split.validation_indices.tolist() == list(range(12))


def test_no_splits_of_nothing_are_refused():
    with pytest.raises(ValueError, match="fold 0: expected examples to train on and to hold out, found none"):
        make_splits([], 0)


def test_splits_are_checked_before_they_are_used(examples, monkeypatch):
    class LeakyKFold:
        def __init__(self, num_splits, **options):
            self.num_splits = num_splits

        def split(self, groups):
            return [(groups, held_out) for held_out in np.array_split(groups, self.num_splits)]

    monkeypatch.setattr("sklearn.model_selection.KFold", LeakyKFold)
    with pytest.raises(LeakError, match="fold 0: the group of example 0 is held out and trained on"):
        make_splits(examples, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_splits": 1}, r"num_splits: expected 0, .* at least 2 \(one fold alone would have no .*, found 1$"),
        ({"num_splits": True}, "num_splits: expected 0, .* or an integer of at least 2 .*, found True$"),
        ({"num_splits": -1}, "num_splits: expected 0, .* or an integer of at least 2 .*, found -1$"),
        ({"num_splits": 0, "group_by": "paragraph"}, "group_by: expected one of .*'context', 'title', 'none'"),
        ({"num_splits": 7}, "num_splits: expected at most 6, the number of different values of 'context', found 7"),
        ({"num_splits": 4, "group_by": "title"}, "expected at most 3, the number of different values of 'title'"),
        ({"group_by": "paragraph"}, "group_by: expected one of .*'context', 'title', 'none'.*found 'paragraph'"),
    ],
)
def test_impossible_splits_are_refused(examples, options, message):
    with pytest.raises(ValueError, match=message):
        make_splits(examples, **options)


def test_fold_seeds_differ_and_stay_what_they_are():
    """Another seed would make every fold that was kept stale."""
    assert [fold_seed(0, 0), fold_seed(0, 1), fold_seed(1, 0)] == [821328062, 1817441348, 1835504127]
    assert len({fold_seed(seed, fold) for seed in range(10) for fold in range(10)}) == 100
