"""Predictions that lie in the files of folds, and are read on access."""

import mmap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.spans.alignment import text_pieces

# So many tokens are read before the maps give back the memory of what was read, some ten megabytes.
_TOKENS_AT_ONCE = 2**18


class _Place(NamedTuple):
    """Where a prediction is stored."""

    context: str
    arrays: dict[str, np.ndarray]
    token_start: int
    token_end: int


class StoredPredictions(Sequence[SpanPrediction]):
    """Predictions of n examples, each read from its fold's arrays on access; a slice is a list of them.

    The arrays of an item are its own. A pickle or a copy holds all of the content, and needs no file.
    """

    def __init__(self, places: Sequence[_Place]):
        self._places = list(places)
        self._folds = list({id(place.arrays): place.arrays for place in self._places}.values())
        self._num_read = 0

    @classmethod
    def of_fold(cls, contexts: Sequence[str], arrays: dict[str, np.ndarray]) -> "StoredPredictions":
        """Return the predictions of one fold for n contexts.

        The arrays are `num_tokens` of shape (n,), T together; `pred_probs` and `labels` of shape (T, K); `char_start`
        and `char_end` of shape (T,).
        """
        ends = np.cumsum(arrays["num_tokens"], dtype=np.int64)
        starts = ends - arrays["num_tokens"]
        return cls(
            _Place(context, arrays, int(start), int(end))
            for context, start, end in zip(contexts, starts, ends, strict=True)
        )

    @classmethod
    def in_order(
        cls, folds: Sequence["StoredPredictions"], validation_indices: Sequence[Sequence[int]]
    ) -> "StoredPredictions":
        """Return the predictions of all folds in the order of the data set, of which each fold held a part out."""
        places = [place for fold in folds for place in fold._places]
        example_index = np.concatenate(validation_indices)
        return cls(places[position] for position in np.argsort(example_index))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index):
        found = self._places[index]
        return [*map(self._read, found)] if isinstance(index, slice) else self._read(found)

    def __iter__(self) -> Iterator[SpanPrediction]:
        # What a sequence has by default would take an IndexError on the way for its end.
        return map(self._read, self._places)

    def _read(self, place: _Place) -> SpanPrediction:
        tokens = slice(place.token_start, place.token_end)
        names = ("pred_probs", "labels", "char_start", "char_end")
        pred_probs, labels, char_start, char_end = (np.array(place.arrays[name][tokens]) for name in names)
        self._num_read += len(char_start)
        if self._num_read >= _TOKENS_AT_ONCE:
            self._give_back()
        return SpanPrediction(
            pred_probs,
            text_pieces(place.context, char_start, char_end),
            labels,
            char_start=char_start,
            char_end=char_end,
            is_context=np.ones(len(char_start), dtype=bool),
        )

    def _give_back(self) -> None:
        """Let the system take the memory of what was read; on the next access it is read again."""
        self._num_read = 0
        for arrays in self._folds:
            for array in arrays.values():
                if isinstance(array.base, mmap.mmap) and hasattr(array.base, "madvise"):
                    array.base.madvise(mmap.MADV_DONTNEED)
