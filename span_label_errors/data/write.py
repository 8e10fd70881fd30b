"""Write a source again, in the form that it has, with the answers of some examples replaced and all else kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.formats import FILE_SUFFIXES, PARQUET_SUFFIX, format_of
from span_label_errors.data.hub import local_path
from span_label_errors.data.sources import DEMOS, load_dataset, local_source
from span_label_errors.data.tables import edited_dataset


def suffix_of(source: str | Path) -> str:
    """Return how the name of a source ends if it is written again: that of a file, `.parquet` for the Hub.

    A folder's name ends in nothing.
    """
    path = DEMOS.get(str(source)) or local_path(str(source))
    ending = path.suffix.lower()
    return "" if path.is_dir() else ending if ending in FILE_SUFFIXES else PARQUET_SUFFIX


def write_with_answers(
    source: str | Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]], *, revision: str | None = None
) -> None:
    """Write a source with the answers of some examples replaced.

    Of JSON, JSON Lines and files with a tag a line, every other byte stays; of a DocBin, all but the entities. Of a
    table, all other columns stay, with their types, order and metadata: Parquet becomes Parquet of the same row groups,
    a folder a folder, a data set on the Hub Parquet.

    Parameters
    ----------
    source, revision
        As in `load_squad`, which has read it.
    path : Path
        A file, or a folder that is not there yet.
    new_answers : mapping of int to sequence of NewAnswer
        By the example's position among all of the source.

    Raises
    ------
    ValueError
        If the form of the source cannot hold the new answers: the type of a table's column, tokens that an answer does
        not begin and end with.
    OSError
        If it cannot be written.
    """
    file = local_source(str(source))
    if file is not None and file.is_file():
        format_of(file).write(file, path, new_answers)
        return
    dataset = edited_dataset(load_dataset(str(source), revision), str(source), new_answers)
    if file is None:
        dataset.to_parquet(path)
    else:
        dataset.save_to_disk(path)
