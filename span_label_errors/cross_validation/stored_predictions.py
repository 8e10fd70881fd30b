"""Predictions that lie in the files of folds: written one by one, and read on access."""

import contextlib
import hashlib
import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.spans.alignment import text_pieces

PREDICTIONS_FOLDER = "predictions"
# One entry for each of n examples; for each of their T tokens; for each token of the different tokenized contexts.
_OF_EXAMPLES = ("example_index", "num_tokens", "offsets_start")
_OF_TOKENS, _OF_OFFSETS = ("pred_probs", "labels"), ("char_start", "char_end")
# So many tokens are read before the maps give back the memory of what was read, some ten megabytes.
_TOKENS_AT_ONCE = 2**18


def save_predictions(folder: Path, example_indices: Iterable[int], predictions: Iterable[SpanPrediction]) -> None:
    """Add predictions, of context tokens only, to a fold's folder, holding one of them at a time.

    The offsets of tokens are written once for all examples that have the same.
    """
    start_of: dict[bytes, int] = {}
    rows = []
    with contextlib.ExitStack() as stack:
        (folder / PREDICTIONS_FOLDER).mkdir(exist_ok=True)
        files = {name: stack.enter_context(_ArrayFile(_file_of(folder, name))) for name in (*_OF_TOKENS, *_OF_OFFSETS)}
        for example_index, prediction in zip(example_indices, predictions, strict=True):
            offsets = [np.asarray(getattr(prediction, name), dtype=np.int64) for name in _OF_OFFSETS]
            key = hashlib.sha256(np.concatenate(offsets).tobytes()).digest()
            if key not in start_of:
                start_of[key] = files["char_start"].num_rows
                for name, array in zip(_OF_OFFSETS, offsets, strict=True):
                    files[name].write(array)
            files["pred_probs"].write(prediction.pred_probs)
            files["labels"].write(prediction.labels.astype(np.int8))
            rows.append((example_index, len(offsets[0]), start_of[key]))
    for name, values in zip(_OF_EXAMPLES, np.array(rows, dtype=np.int64).T, strict=True):
        np.save(_file_of(folder, name), values, allow_pickle=False)


def read_predictions(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays that `save_predictions` wrote, mapped from their files; ValueError if they cannot be read."""
    try:
        names = (*_OF_EXAMPLES, *_OF_TOKENS, *_OF_OFFSETS)
        maps = {name: np.load(_file_of(folder, name), mmap_mode="r", allow_pickle=False) for name in names}
        # To cut a part out of a `memmap` itself takes several times as long as out of a plain view of it.
        return {name: array.view(np.ndarray) for name, array in maps.items()}
    except (ValueError, OSError) as error:
        raise ValueError(f"{PREDICTIONS_FOLDER} cannot be read: {error}") from error


def _file_of(folder: Path, name: str) -> Path:
    return folder / PREDICTIONS_FOLDER / f"{name}.npy"


class _ArrayFile:
    """An `.npy` file that grows by rows; used in a `with` statement."""

    def __init__(self, path: Path):
        self.num_rows, self._rows, self._file = 0, None, path.open("wb")

    def write(self, rows: np.ndarray) -> None:
        """Add rows, of the type and shape of the first ones."""
        if self._rows is None:
            self._rows = rows[:0]
            self._write_header()
        self._file.write(np.ascontiguousarray(rows, dtype=self._rows.dtype).data)
        self.num_rows += len(rows)

    def _write_header(self) -> None:
        # NumPy leaves room in it for any number of rows.
        header = np.lib.format.header_data_from_array_1_0(self._rows)
        header["shape"] = (self.num_rows, *self._rows.shape[1:])
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            if self._rows is not None:
                self._file.seek(0)
                self._write_header()


class _Place(NamedTuple):
    """Where a prediction is stored."""

    context: str
    arrays: dict[str, np.ndarray]
    token_start: int
    num_tokens: int
    offsets_start: int


class StoredPredictions(Sequence[SpanPrediction]):
    """Predictions of n examples, each read from its fold's arrays on access; a slice is a list of them.

    The arrays of an item are its own. A pickle or a copy holds all of the content, and needs no file.
    """

    def __init__(self, places: Sequence[_Place]):
        self._places = list(places)
        self._folds = list({id(place.arrays): place.arrays for place in self._places}.values())
        self._num_read = 0
        self._last_texts: tuple[_Place | None, list[str]] = (None, [])

    @classmethod
    def of_fold(cls, contexts: Sequence[str], arrays: dict[str, np.ndarray]) -> "StoredPredictions":
        """Return the predictions of one fold for n contexts.

        The arrays are `num_tokens` of shape (n,), T together; `pred_probs` and `labels` of shape (T, K); `char_start`
        and `char_end`, in which the offsets of an example's tokens begin at `offsets_start`, of shape (n,).
        """
        num_tokens = arrays["num_tokens"].tolist()
        starts = (np.cumsum(num_tokens, dtype=np.int64) - num_tokens).tolist()
        rows = zip(contexts, starts, num_tokens, arrays["offsets_start"].tolist(), strict=True)
        return cls(_Place(context, arrays, *row) for context, *row in rows)

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
        tokens = slice(place.token_start, place.token_start + place.num_tokens)
        offsets = slice(place.offsets_start, place.offsets_start + place.num_tokens)
        prediction = SpanPrediction(
            place.arrays["pred_probs"][tokens].copy(),
            self._texts(place, offsets).copy(),
            place.arrays["labels"][tokens].astype(np.int64),
            char_start=place.arrays["char_start"][offsets].copy(),
            char_end=place.arrays["char_end"][offsets].copy(),
            is_context=np.ones(place.num_tokens, dtype=bool),
        )
        self._num_read += place.num_tokens
        if self._num_read >= _TOKENS_AT_ONCE:
            self._give_back()
        return prediction

    def _texts(self, place: _Place, offsets: slice) -> list[str]:
        """Return the tokens' texts; of questions on one context, which mostly follow each other, they are cut once."""
        last, texts = self._last_texts
        is_same = last is not None and last.arrays is place.arrays and last.offsets_start == place.offsets_start
        # Other contexts may have the same offsets.
        if not is_same or last.context != place.context:
            texts = text_pieces(place.context, *(place.arrays[name][offsets] for name in _OF_OFFSETS))
            self._last_texts = place, texts
        return texts

    def _give_back(self) -> None:
        """Let the system take the memory of what was read; on the next access it is read again."""
        self._num_read = 0
        for arrays in self._folds:
            for array in arrays.values():
                if isinstance(array.base, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
                    array.base.base.madvise(mmap.MADV_DONTNEED)
