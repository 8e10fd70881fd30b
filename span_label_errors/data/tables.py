"""Tables of questions: read as rows that nothing has checked yet, and written again with other answers.

A table is what a Parquet file, a folder of `datasets` and a data set on the Hub hold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from datasets import Dataset
from datasets.table import InMemoryTable

from span_label_errors.data.answer_forms import NewAnswer, Style, form_of, impossible, style_of, with_answers
from span_label_errors.data.layouts import Question
from span_label_errors.data.messages import shown_names
from span_label_errors.data.rows import rows_of

_ROWS_AT_ONCE = 100
_NEEDED_COLUMNS = ("context", "answers")
# What of a table says what the answers of a question are.
_COLUMNS = ("answers", "is_impossible")


def read_parquet(path: Path) -> list[object]:
    """Return the rows of a Parquet file; it raises ValueError if it is none, or has other columns."""
    try:
        table = pa.parquet.read_table(path)
        _check_columns(table.column_names, path)
        return _rows(table.to_batches(max_chunksize=_ROWS_AT_ONCE))
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: expected a Parquet file; {error}; write it again") from error


def rows_of_dataset(dataset: Dataset, source: str | Path, num_examples: int | None) -> list[object]:
    """Return the first `num_examples` rows of a data set, or all; it raises ValueError if it has other columns."""
    _check_columns(dataset.column_names, source)
    count = len(dataset) if num_examples is None else min(num_examples, len(dataset))
    # As they are stored: a folder may have been saved with a format, such as tensors, or with some of its columns.
    stored = dataset.select(range(count)).with_format("arrow")
    return _rows(stored.iter(batch_size=_ROWS_AT_ONCE))


def write_parquet(source: Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]]) -> None:
    """Write a Parquet file with the answers of some examples replaced, in the same row groups."""
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


def edited_dataset(dataset: Dataset, new_answers: Mapping[int, Sequence[NewAnswer]]) -> Dataset:
    """Return a data set with the answers of some examples replaced."""
    table = dataset.with_format("arrow")[:]
    (edited,) = _edited([table], new_answers, _style([table], new_answers))
    return Dataset(InMemoryTable(edited), info=dataset.info.copy(), split=dataset.split)


def _rows(tables: Iterable[pa.Table | pa.RecordBatch]) -> list[dict]:
    """Return the rows of parts of a table, so that only one part has a copy of a context for every question."""
    of_source = enumerate(chain.from_iterable(table.to_pylist() for table in tables))
    return rows_of(Question((index,), (row,)) for index, row in of_source)


def _check_columns(found: Sequence[str], source: str | Path) -> None:
    missing = [name for name in _NEEDED_COLUMNS if name not in found]
    if missing:
        raise ValueError(
            f"{source}: expected the columns {', '.join(_NEEDED_COLUMNS)}; found {shown_names(dict.fromkeys(found))}, "
            f"without {', '.join(missing)}; rename or add them"
        )


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
