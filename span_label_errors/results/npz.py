"""Archives of one array per example, as the tutorial writes them and cleanlab takes them."""

import functools
import io
import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

_HEADER_LENGTH_END = 10  # bytes: of version 1.0 of the format, the length of the header stands in the last two


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
        content = _content(np.asanyarray(array))
        with self._archive.open(f"{self._count}.npy", "w", force_zip64=True) as member:
            member.write(content)
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
    with zipfile.ZipFile(filepath) as archive:
        names = archive.namelist()
        keys = [str(index) for index in range(len(names))]
        name_of = {name.removesuffix(".npy"): name for name in names}
        if name_of.keys() != set(keys):
            unexpected = sorted(name_of.keys() - set(keys))[:5]
            raise ValueError(f"{filepath}: expected the keys '0' to '{len(keys) - 1}', found {unexpected}")
        for key in keys:
            yield _array(archive.read(name_of[key]))


# NumPy makes and parses the header of each array anew, which takes longer than all else about a small one. The arrays
# of a data set have a few hundred different headers.


def _content(array: np.ndarray) -> bytes:
    """Return what `np.save` writes for an array; raises ValueError if it holds Python objects."""
    if array.dtype.hasobject:
        raise ValueError("expected arrays of numbers or texts, found one of Python objects; allow_pickle is False")
    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return _header(array.dtype, array.shape, is_fortran) + array.tobytes("F" if is_fortran else "C")


@functools.lru_cache(maxsize=4096)
def _header(dtype: np.dtype, shape: tuple[int, ...], is_fortran: bool) -> bytes:
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": is_fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def _array(content: bytes) -> np.ndarray:
    """Return the array that `np.save` wrote as these bytes."""
    start = _HEADER_LENGTH_END + int.from_bytes(content[_HEADER_LENGTH_END - 2 : _HEADER_LENGTH_END], "little")
    layout = _layout(content[:start])
    if layout is not None and len(content) == start + layout[1].itemsize * math.prod(layout[0]):
        return np.ndarray(*layout, buffer=content, offset=start).copy()
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


@functools.lru_cache(maxsize=4096)
def _layout(header: bytes) -> tuple[tuple[int, ...], np.dtype] | None:
    """Return shape and type of an array of numbers or texts in the order of C, None of another."""
    file = io.BytesIO(header)
    if np.lib.format.read_magic(file) != (1, 0):
        return None
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    return None if is_fortran or dtype.hasobject else (shape, dtype)
