"""The same training steps for one process and for several: which windows each step takes, and in what order."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler

from windows import IGNORED_LABEL


def length_grouped(lengths: Sequence[int], windows_of_step: int) -> Sampler:
    """Return the order in which windows of similar length share a step, random otherwise.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each window.
    windows_of_step : int
        Windows of an optimizer step, over all processes and accumulated batches.
    """
    return LengthGroupedSampler(windows_of_step, lengths=list(lengths))


class WithBlank(Dataset):
    """A data set with one item more, at its end, whose labels do not count.

    It fills the last step of an epoch, so that every process has its batch; `accelerate` would repeat windows of the
    epoch's beginning instead, and train on them twice.
    """

    def __init__(self, items: Dataset):
        self._items = items
        shortest = dict(items[int(np.argmin(items.lengths))])
        self._blank = {**shortest, "labels": np.full_like(shortest["labels"], IGNORED_LABEL)}

    def __len__(self) -> int:
        return len(self._items) + 1

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self._blank if index == len(self._items) else self._items[index]


class SharedOrder(Sampler):
    """The order that the first process draws, for all processes, filled up with blanks to whole steps.

    Batches are dealt out to the processes in turn, so a step of N processes takes the windows that one process would
    have taken.

    Parameters
    ----------
    sampler : Sampler
        Of n windows.
    windows_of_step : int
        Of a batch, over all processes.
    """

    def __init__(self, sampler: Sampler, windows_of_step: int):
        self._sampler, self._windows_of_step = sampler, windows_of_step

    def __len__(self) -> int:
        return math.ceil(len(self._sampler) / self._windows_of_step) * self._windows_of_step

    def __iter__(self) -> Iterator[int]:
        order = list(self._sampler)
        blank = len(order)
        # Dropout has moved the processes' random states apart.
        shared = [order]
        torch.distributed.broadcast_object_list(shared, src=0)
        yield from shared[0]
        yield from [blank] * (len(self) - len(order))
