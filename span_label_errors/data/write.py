"""Write a source again, in the form that it has, with the answers of some examples replaced and all else kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from datasets import Dataset
from datasets.table import InMemoryTable

from span_label_errors.data.answer_forms import NewAnswer, Style, form_of, impossible, style_of, with_answers
from span_label_errors.data.hub import local_path
from span_label_errors.data.sources import (
    DEMO_PATH,
    DEMO_SOURCE,
    FILE_SUFFIXES,
    JSON_SUFFIXES,
    load_dataset,
    local_source,
)
from span_label_errors.data.squad_text import replace_answers

PARQUET_SUFFIX = ".parquet"
# What of a table says what the answers of a question are.
_COLUMNS = ("answers", "is_impossible")


def suffix_of(source: str | Path) -> str:
    """Return how the name of a source ends if it is written again: that of a file, `.parquet` for the Hub.

    A folder's name ends in nothing.
    """
    path = DEMO_PATH if str(source) == DEMO_SOURCE else local_path(str(source))
    ending = path.suffix.lower()
    return "" if path.is_dir() else ending if ending in FILE_SUFFIXES else PARQUET_SUFFIX


def write_with_answers(
    source: str | Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]], *, revision: str | None = None
) -> None:
    """Write a source with the answers of some examples replaced.

    Of JSON and JSON Lines, every other byte stays. Of a table, all other columns stay, with their types, order and
    metadata: Parquet becomes Parquet of the same row groups, a folder a folder, a data set on the Hub Parquet.

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
        If the answers of a table have a type that cannot hold the new ones.
    OSError
        If it cannot be written.
    """
    file = local_source(str(source))
    suffix = suffix_of(source)
    if suffix in JSON_SUFFIXES:
        # Not read_text(), which would make every line end "\n".
        path.write_bytes(replace_answers(file.read_bytes().decode("utf-8"), new_answers).encode("utf-8"))
    elif file is not None and file.is_file():
        _write_parquet(file, path, new_answers)
    else:
        dataset = _edited_dataset(load_dataset(str(source), revision), new_answers)
        if file is None:
            dataset.to_parquet(path)
        else:
            dataset.save_to_disk(path)


def _write_parquet(source: Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]]) -> None:
    with pa.parquet.ParquetFile(source) as file:

        def row_groups(columns: list[str] | None = None) -> Iterator[pa.Table]:
            return (file.read_row_group(number, columns) for number in range(file.num_row_groups))

        names = [name for name in _COLUMNS if name in file.schema_arrow.names]
        style = _style(row_groups(names), new_answers)
        options = {
            "compression": file.metadata.row_group(0).column(0).compression.lower().replace("uncompressed", "none"),
            # What older writers called the values of a list.
            "use_compliant_nested_type": not any(".list.item" in column.path for column in file.schema),
        }
        with pa.parquet.ParquetWriter(path, file.schema_arrow, **options) as writer:
            for table in _edited(row_groups(), new_answers, style):
                writer.write_table(table, max(1, len(table)))


def _edited_dataset(dataset: Dataset, new_answers: Mapping[int, Sequence[NewAnswer]]) -> Dataset:
    table = dataset.with_format("arrow")[:]
    (edited,) = _edited([table], new_answers, _style([table], new_answers))
    return Dataset(InMemoryTable(edited), info=dataset.info.copy(), split=dataset.split)


def _style(tables: Iterable[pa.Table], new_answers: Mapping[int, Sequence[NewAnswer]]) -> Style:
    if not new_answers:
        return Style()
    return style_of(question for table in tables for question in _questions(table))


def _questions(table: pa.Table) -> list[dict]:
    return table.select([name for name in _COLUMNS if name in table.column_names]).to_pylist()


def _edited(
    tables: Iterable[pa.Table], new_answers: Mapping[int, Sequence[NewAnswer]], style: Style
) -> Iterator[pa.Table]:
    """Yield the tables, whose rows are those of the source one after the other, with their new answers."""
    start = 0
    for table in tables:
        here = [index for index in range(start, start + len(table)) if index in new_answers]
        yield _with_new_answers(table, {index - start: new_answers[index] for index in here}, style)
        start += len(table)


def _with_new_answers(table: pa.Table, new_answers: Mapping[int, Sequence[NewAnswer]], style: Style) -> pa.Table:
    if not new_answers:
        return table
    questions = _questions(table)
    for row, answers in new_answers.items():
        question = questions[row]
        if len(answers) > 1 and (form_of(question) or style.form) == "one":
            raise ValueError(
                f"expected at most one answer, which is what the column 'answers' of row {row} has room for, found "
                f"{len(answers)}; write a .json file instead"
            )
        flag = impossible(question, answers)
        questions[row] = question | {"answers": with_answers(question, answers, style)}
        if flag is not None:
            questions[row]["is_impossible"] = flag
    for name in _COLUMNS:
        if name in table.column_names:
            position = table.column_names.index(name)
            field = table.schema.field(name)
            try:
                values = pa.array([question[name] for question in questions], field.type)
            except (pa.ArrowException, TypeError, OverflowError) as error:
                raise ValueError(
                    f"expected a column {name!r} that has room for the new answers, found the type {field.type} "
                    f"({error}); write a .json file instead"
                ) from error
            table = table.set_column(position, field, values)
    return table
