"""The formats of files: which suffixes they have, who reads them, and who writes them again with other answers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.docbin import DOCBIN_SUFFIX, read_docbin, write_docbin
from span_label_errors.data.json_files import JSON_SUFFIXES, read_json, write_json
from span_label_errors.data.tables import read_parquet, write_parquet
from span_label_errors.data.tagged_files import TAGGED_SUFFIXES, read_tagged, write_tagged

PARQUET_SUFFIX = ".parquet"


class Format(NamedTuple):
    """How files of some suffixes are read and written again."""

    suffixes: tuple[str, ...]  # in lower case, with the dot
    # Returns all examples as rows that nothing has checked yet. Raises ValueError if the file is of another form.
    read: Callable[[Path], list[object]]
    # Writes the source (first) to a path (second) with the answers of some examples replaced, by their positions.
    write: Callable[[Path, Path, Mapping[int, Sequence[NewAnswer]]], None]


FORMATS = (
    Format(JSON_SUFFIXES, read_json, write_json),
    Format((PARQUET_SUFFIX,), read_parquet, write_parquet),
    Format(TAGGED_SUFFIXES, read_tagged, write_tagged),
    Format((DOCBIN_SUFFIX,), read_docbin, write_docbin),
)
FILE_SUFFIXES = tuple(suffix for of_file in FORMATS for suffix in of_file.suffixes)


def format_of(path: Path) -> Format | None:
    """Return the format of a file by its suffix; None if it has another one."""
    return next((of_file for of_file in FORMATS if path.suffix.lower() in of_file.suffixes), None)
