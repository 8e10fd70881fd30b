"""The windows of each step: drawn as `Trainer` draws them, and the same for one process and for several."""

import numpy as np
import pytest
import torch
from conftest import make_example, twelve_examples
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import Trainer, TrainingArguments

from shared_steps import SharedOrder, WithBlank, length_grouped
from windows import IGNORED_LABEL, TrainingItems, WindowCollator, build_windows, tokenize_examples

LABEL_MAP = {"O": 0, "ANS": 1}


@pytest.fixture(scope="module")
def items(tiny_tokenizer) -> TrainingItems:
    """Windows of 13 examples, of unequal lengths; the shortest is neither the first nor the last."""
    examples = twelve_examples()
    examples.insert(5, make_example("short", "In Paris.", "Where?", "Paris"))
    tokenized = tokenize_examples(tiny_tokenizer, examples, LABEL_MAP, max_length=24)
    return TrainingItems(tokenized, build_windows(tokenized, tiny_tokenizer, max_length=24, doc_stride=3))


# --- the blank ------------------------------------------------------------------------------------


def test_blank_is_the_shortest_window_whose_labels_do_not_count(items):
    lengths = [len(items[index]["input_ids"]) for index in range(len(items))]
    shortest = min(range(len(items)), key=lambda index: lengths[index])
    assert 0 < shortest < len(items) - 1 and items.lengths == lengths
    with_blank = WithBlank(items)
    assert len(with_blank) == len(items) + 1
    for index in range(len(items)):
        for name, array in items[index].items():
            np.testing.assert_array_equal(with_blank[index][name], array)
    blank = with_blank[len(items)]
    assert blank.keys() == items[shortest].keys()
    np.testing.assert_array_equal(blank["input_ids"], items[shortest]["input_ids"])
    np.testing.assert_array_equal(blank["token_type_ids"], items[shortest]["token_type_ids"])
    assert blank["labels"].shape == (lengths[shortest], 2)
    assert set(blank["labels"].ravel().tolist()) == {IGNORED_LABEL}
    # The window that it is made of still counts.
    assert (items[shortest]["labels"] == 1).any()


def test_blank_changes_neither_the_length_nor_the_counted_labels_of_a_batch(items):
    with_blank, collate = WithBlank(items), WindowCollator(0)
    batch, filled = collate([items[0], items[1]]), collate([with_blank[0], with_blank[1], with_blank[len(items)]])
    assert filled["input_ids"].shape == (3, batch["input_ids"].shape[1])
    assert (filled["labels"] != IGNORED_LABEL).sum() == (batch["labels"] != IGNORED_LABEL).sum()


# --- the shared order -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "of_step", "expected"),
    [(5, 2, [*range(5), 5]), (6, 2, [*range(6)]), (5, 4, [*range(5), 5, 5, 5]), (1, 3, [0, 1, 1]), (4, 1, [*range(4)])],
)
def test_order_is_filled_with_blanks_to_whole_steps(monkeypatch, windows, of_step, expected):
    told = []
    monkeypatch.setattr(
        torch.distributed,
        "broadcast_object_list",
        lambda objects, src: told.append((list(objects), src)),
        raising=False,
    )
    order = SharedOrder(SequentialSampler(range(windows)), of_step)
    assert len(order) == len(expected)
    assert list(order) == expected
    assert told == [([list(range(windows))], 0)]


def test_second_process_takes_the_order_of_the_first(monkeypatch):
    """As the first draws 3, 0, 2, 1, 4, and this one would have drawn otherwise."""

    def broadcast(objects, src):
        assert src == 0 and len(objects) == 1
        objects[0] = [3, 0, 2, 1, 4]

    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast, raising=False)
    assert list(SharedOrder(SequentialSampler(range(5)), 4)) == [3, 0, 2, 1, 4, 5, 5, 5]


def test_each_epoch_is_drawn_and_shared_anew(monkeypatch):
    shared = []
    monkeypatch.setattr(
        torch.distributed, "broadcast_object_list", lambda objects, src: shared.append(objects[0]), raising=False
    )
    torch.manual_seed(1)
    order = SharedOrder(length_grouped([3, 9, 4, 1, 7, 5, 2], 2), 2)
    epochs = [list(order), list(order)]
    assert epochs == [[*drawn, 7] for drawn in shared]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(8))


def test_processes_deal_out_the_steps_that_one_would_take(monkeypatch):
    """Batches of one window go to two processes in turn; together they make the steps of two windows of one process."""
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", lambda objects, src: None, raising=False)
    torch.manual_seed(3)
    alone = list(BatchSampler(length_grouped([4, 2, 8, 6, 1], 2), 2, drop_last=False))
    torch.manual_seed(3)
    batches = list(BatchSampler(SharedOrder(length_grouped([4, 2, 8, 6, 1], 2), 2), 1, drop_last=False))
    dealt = [sorted(batches[place][0] for place in (step, step + 1)) for step in range(0, len(batches), 2)]
    assert [sorted(set(step) - {5}) for step in dealt] == [sorted(step) for step in alone]


# --- the order by length ----------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "accumulated"), [(2, 1), (3, 2), (8, 1), (50, 1)])
def test_order_by_length_is_the_one_that_trainer_draws(tmp_path, items, batch_size, accumulated):
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, train_sampling_strategy="group_by_length", report_to="none",
        per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulated,
    )  # fmt: skip
    trainer = Trainer(torch.nn.Linear(1, 1), arguments, train_dataset=items)
    for seed in range(3):
        torch.manual_seed(seed)
        expected = [list(trainer._get_train_sampler()) for _ in range(2)]
        torch.manual_seed(seed)
        found = [list(length_grouped(items.lengths, batch_size * accumulated)) for _ in range(2)]
        assert found == expected
        assert sorted(found[0]) == list(range(len(items)))
