"""Predictions of folds, read from their files when they are asked for."""

import math
import mmap
import struct
import tokenize
import zipfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from alignment import text_pieces
from predictions import SpanPrediction

# Of a member's header in a zip archive; two lengths at its end say how much more there is before the content.
_LOCAL_HEADER = struct.Struct("<26xHH")
_IS_ENCRYPTED = 1
# So many tokens are read before the map gives back what they took, some ten megabytes.
_TOKENS_AT_ONCE = 2**18
_PER_TOKEN = ("pred_probs", "labels", "char_start", "char_end")


def map_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Map arrays of an archive that `np.savez` wrote: what is not looked at takes no memory.

    Parameters
    ----------
    path : Path
        Must not be made shorter while the arrays are in use; it may be removed or replaced by another file.
    names : sequence of str

    Returns
    -------
    dict
        Each name's array, read-only, and not aligned in memory. All share one map of the file.

    Raises
    ------
    ValueError
        If the file is no such archive, lacks an array, or has one that is compressed, holds Python objects or is not
        of the size that it says.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return {name: _mapped(archive, name, content) for name in names}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, tokenize.TokenError) as error:
        # What the readers of zip archives and of npy headers raise of damaged ones, beside ValueError.
        raise ValueError(str(error)) from error


def _mapped(archive: zipfile.ZipFile, name: str, content: mmap.mmap) -> np.ndarray:
    if f"{name}.npy" not in archive.NameToInfo:
        raise ValueError(f"'{name} is not a file in the archive'")
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _IS_ENCRYPTED:
        raise ValueError(f"expected {name} as np.savez stores it, found it compressed or encrypted")
    if member.header_offset < 0:
        raise ValueError(f"expected {name} after the beginning of the file, found it before")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"expected {name} in version (1, 0) of the npy format, found {version}")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        header_size = file.tell()
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    name_size, extra_size = _LOCAL_HEADER.unpack_from(content, member.header_offset)
    start = member.header_offset + _LOCAL_HEADER.size + name_size + extra_size + header_size
    size = math.prod(shape) * dtype.itemsize
    if header_size + size != member.file_size or start + size > len(content):
        raise ValueError(f"expected {size} bytes of {name}, {shape} {dtype}, found another number in the file")
    return np.ndarray(shape, dtype, content, start, order="F" if is_fortran else "C")


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
        # Copies: a map is not aligned, which compiled code may not bear.
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
        for content in {id(array.base): array.base for array in self._arrays}.values():
            if isinstance(content, mmap.mmap) and hasattr(content, "madvise"):
                content.madvise(mmap.MADV_DONTNEED)


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
