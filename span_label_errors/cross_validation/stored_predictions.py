"""Predictions of folds, read from their files when they are asked for."""

import mmap
import tokenize
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.spans.alignment import text_pieces

# So many tokens are read before the map gives back what they took, some ten megabytes.
_TOKENS_AT_ONCE = 2**18
_PER_TOKEN = ("pred_probs", "labels", "char_start", "char_end")


def map_arrays(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Map arrays that `np.save` wrote: what is not looked at takes no memory.

    Parameters
    ----------
    files : mapping of str to Path
        Must not be made shorter while the arrays are in use; they may be removed or replaced by other files.

    Returns
    -------
    dict
        Each name's array, read-only.

    Raises
    ------
    ValueError
        If a file is missing, is no such array, holds Python objects, or is shorter than it says.
    """
    return {name: _mapped(file) for name, file in files.items()}


def _mapped(file: Path) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            return np.lib.format.open_memmap(file, mode="r")
    except (ValueError, OSError, EOFError, OverflowError, RecursionError, tokenize.TokenError) as error:
        # What the reader raises of damaged headers has no common type.
        raise ValueError(f"{file.name}: {error}") from error


class _OnDemand(Sequence[SpanPrediction]):
    """A sequence that makes each item when it is asked for; a slice is a list of items."""

    @abstractmethod
    def _made(self, position: int) -> SpanPrediction:
        """Return the item at a position from 0."""

    def __getitem__(self, index):
        positions = range(len(self))[index]
        return [*map(self._made, positions)] if isinstance(positions, range) else self._made(positions)

    def __iter__(self) -> Iterator[SpanPrediction]:
        # What a sequence has by default would take an IndexError on the way for its end.
        return map(self._made, range(len(self)))


class StoredPredictions(_OnDemand):
    """The predictions of n examples, each made from arrays of all tokens when it is asked for.

    The arrays of an item are its own. What is pickled or copied holds all of the content, and needs no file.

    Parameters
    ----------
    contexts : sequence of str, length n
    num_tokens : ndarray of shape (n,), int64
        Of each context; T together.
    arrays : dict
        `pred_probs` and `labels` of shape (T, K), `char_start` and `char_end` of shape (T,).
    """

    def __init__(self, contexts: Sequence[str], num_tokens: np.ndarray, arrays: dict[str, np.ndarray]):
        # Questions share contexts, and whoever read them may have made a text of its own for each.
        once: dict[str, str] = {}
        self._contexts = [once.setdefault(context, context) for context in contexts]
        self._boundaries = np.concatenate([[0], np.cumsum(num_tokens, dtype=np.int64)])
        self._arrays = tuple(arrays[name] for name in _PER_TOKEN)
        self._num_read = 0

    def __len__(self) -> int:
        return len(self._contexts)

    def _made(self, position: int) -> SpanPrediction:
        tokens = slice(self._boundaries[position], self._boundaries[position + 1])
        pred_probs, labels, char_start, char_end = (np.array(array[tokens]) for array in self._arrays)
        self._num_read += len(char_start)
        if self._num_read >= _TOKENS_AT_ONCE:
            self._give_back()
        return SpanPrediction(
            pred_probs,
            text_pieces(self._contexts[position], char_start, char_end),
            labels,
            char_start=char_start,
            char_end=char_end,
            is_context=np.ones(len(char_start), dtype=bool),
        )

    def _give_back(self) -> None:
        """Let the system take the memory of what was read; it is there again when it is looked at."""
        self._num_read = 0
        for array in self._arrays:
            if isinstance(array.base, mmap.mmap) and hasattr(array.base, "madvise"):
                array.base.madvise(mmap.MADV_DONTNEED)


class GatheredPredictions(_OnDemand):
    """The predictions of folds in the order of the data set.

    Parameters
    ----------
    predictions : sequence of sequences of SpanPrediction
        Of each fold.
    validation_indices : sequence of ndarray
        For each fold, which of the n examples they are of; each example is of one fold.

    Raises
    ------
    ValueError
        If an example is of no fold or of several.
    """

    def __init__(self, predictions: Sequence[Sequence[SpanPrediction]], validation_indices: Sequence[np.ndarray]):
        self._of_folds = list(predictions)
        indices = np.concatenate(validation_indices)
        lengths = [len(of_fold) for of_fold in self._of_folds]
        same_lengths = lengths == [len(of_fold) for of_fold in validation_indices]
        if not same_lengths or not np.array_equal(np.sort(indices), np.arange(len(indices))):
            raise ValueError("expected each example to be held out by one fold, found one that is not")
        self._fold, self._position = np.empty((2, len(indices)), dtype=np.int64)
        self._fold[indices] = np.repeat(np.arange(len(lengths)), lengths)
        self._position[indices] = np.concatenate([np.arange(length) for length in lengths])

    def __len__(self) -> int:
        return len(self._fold)

    def _made(self, position: int) -> SpanPrediction:
        return self._of_folds[self._fold[position]][self._position[position]]
