"""Archives of one array per example, as the tutorial writes them and cleanlab takes them."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np


def to_dict(nested_list: Sequence) -> dict[str, object]:
    """Return `{"0": nested_list[0], "1": nested_list[1], …}`, as `np.savez` takes it."""
    return {str(index): item for index, item in enumerate(nested_list)}


def write_npz(filepath: str | Path, arrays: Iterable[np.ndarray]) -> None:
    """Write what `np.savez(filepath, **to_dict(arrays))` writes, holding one array at a time.

    Parameters
    ----------
    filepath : str or Path
    arrays : iterable of ndarray
        One for each example; an array of Python objects raises ValueError.
    """
    with NpzWriter(filepath) as writer:
        for array in arrays:
            writer.write(array)


class NpzWriter:
    """Writes an archive as `write_npz` does, one array a call; used in a `with` statement."""

    def __init__(self, filepath: str | Path):
        self._archive, self._count = zipfile.ZipFile(filepath, "w"), 0

    def write(self, array: np.ndarray) -> None:
        """Add the array of the next example; raises ValueError if it holds Python objects."""
        with self._archive.open(f"{self._count}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()


def read_npz(filepath: str | Path, num_arrays: int | None = None) -> list[np.ndarray]:
    """Read what `np.savez(filepath, **to_dict(nested_list))` wrote.

    Parameters
    ----------
    filepath : str or Path
    num_arrays : int, optional
        Read the first so many only. The tokens of long contexts take a megabyte an example.

    Returns
    -------
    list of ndarray
        In the order of the keys `"0"`, `"1"`, …

    Raises
    ------
    ValueError
        If the keys are not these, or an array holds Python objects, which are never unpickled.
    """
    return list(islice(iterate_npz(filepath), num_arrays))


def iterate_npz(filepath: str | Path) -> Iterator[np.ndarray]:
    """Yield what `read_npz` returns, holding one array at a time."""
    if not zipfile.is_zipfile(filepath):
        # numpy would take it for a single array, or for a pickle.
        Path(filepath).stat()  # raises FileNotFoundError if it does not exist
        raise ValueError(f"{filepath}: expected an archive that np.savez wrote, found another or a damaged file")
    with np.load(filepath, allow_pickle=False) as archive:
        keys = [str(index) for index in range(len(archive.files))]
        if set(archive.files) != set(keys):
            unexpected = sorted(set(archive.files) - set(keys))[:5]
            raise ValueError(f"{filepath}: expected the keys '0' to '{len(keys) - 1}', found {unexpected}")
        for key in keys:
            yield archive[key]
