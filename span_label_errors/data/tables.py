"""Tables of questions, or of tagged tokens: read as rows that nothing has checked yet, and written again.

A table is what a Parquet file, a folder of `datasets` and a data set on the Hub hold.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.parquet

from span_label_errors.data.answer_forms import NewAnswer, Style, form_of, impossible, style_of, with_answers
from span_label_errors.data.layouts import Question
from span_label_errors.data.messages import shown_names
from span_label_errors.data.rows import rows_of
from span_label_errors.data.tagged_tables import TAG_COLUMNS, TOKEN_COLUMNS, TagColumns

if TYPE_CHECKING:
    from datasets import Dataset

_ROWS_AT_ONCE = 100
_NEEDED_COLUMNS = ("context", "answers")
_Tables = Iterable[pa.Table | pa.RecordBatch]


class Columns(Protocol):
    """The columns of a table that say what the answers of an example are."""

    columns: Sequence[str]

    def learn(self, rows: Iterable[dict]) -> None:
        """Find out from these columns of all rows how the table writes answers."""

    def edited(self, row: dict, answers: Sequence[NewAnswer]) -> dict:
        """Return these columns of a row with other answers; it raises ValueError if they have no room for them."""


class AnswerColumns:
    """Those of a question."""

    def __init__(self, schema: pa.Schema):
        self.columns = [name for name in ("answers", "is_impossible") if name in schema.names]
        self._style = Style()

    def learn(self, rows: Iterable[dict]) -> None:
        """Find the form of answers, and how it is said that there is none."""
        self._style = style_of(rows)

    def edited(self, row: dict, answers: Sequence[NewAnswer]) -> dict:
        """Return a question with other answers."""
        if len(answers) > 1 and (form_of(row) or self._style.form) == "one":
            raise ValueError(
                f"expected at most one answer, which is what the column 'answers' has room for, found {len(answers)}; "
                "write a .json file instead"
            )
        flag = impossible(row, answers)
        edited = row | {"answers": with_answers(row, answers, self._style)}
        return edited if flag is None else edited | {"is_impossible": flag}


def read_parquet(path: Path) -> list[object]:
    """Return the rows of a Parquet file; it raises ValueError if it is none, or has other columns."""
    try:
        table = pa.parquet.read_table(path)
        return _rows(table.schema, lambda: table.to_batches(max_chunksize=_ROWS_AT_ONCE), path)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: expected a Parquet file; {error}; write it again") from error


def rows_of_dataset(dataset: "Dataset", source: str | Path, num_examples: int | None) -> list[object]:
    """Return the first `num_examples` rows of a data set, or all; it raises ValueError if it has other columns."""
    count = len(dataset) if num_examples is None else min(num_examples, len(dataset))
    # As they are stored: a folder may have been saved with a format, such as tensors, or with some of its columns.
    stored = dataset.select(range(count)).with_format("arrow")
    return _rows(dataset.features.arrow_schema, lambda: stored.iter(batch_size=_ROWS_AT_ONCE), source)


def write_parquet(source: Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]]) -> None:
    """Write a Parquet file with the answers of some examples replaced, in the same row groups."""
    with pa.parquet.ParquetFile(source) as file:

        def row_groups(columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
            return (file.read_row_group(number, columns) for number in range(file.num_row_groups))

        columns = _columns(file.schema_arrow, source)
        if new_answers:
            columns.learn(_rows_of(row_groups(columns.columns)))
        options = {
            "compression": file.metadata.row_group(0).column(0).compression.lower().replace("uncompressed", "none"),
            # What older writers called the values of a list.
            "use_compliant_nested_type": not any(".list.item" in column.path for column in file.schema),
        }
        with pa.parquet.ParquetWriter(path, file.schema_arrow, **options) as writer:
            for table in _edited(row_groups(), new_answers, columns):
                writer.write_table(table, max(1, len(table)))


def edited_dataset(dataset: "Dataset", source: str, new_answers: Mapping[int, Sequence[NewAnswer]]) -> "Dataset":
    """Return a data set with the answers of some examples replaced."""
    table = dataset.with_format("arrow")[:]
    columns = _columns(dataset.features.arrow_schema, source)
    columns.learn(_rows_of([table.select(columns.columns)]))
    (edited,) = _edited([table], new_answers, columns)
    from datasets import Dataset  # 0.2 s, which files do without
    from datasets.table import InMemoryTable

    return Dataset(InMemoryTable(edited), info=dataset.info.copy(), split=dataset.split)


def _rows(schema: pa.Schema, tables: Callable[[], _Tables], source: str | Path) -> list[object]:
    """Return the rows of parts of a table, so that only one part has a copy of a context for every question."""
    columns = _columns(schema, source)
    if isinstance(columns, TagColumns):
        columns.learn(_rows_of(table.select(columns.columns) for table in tables()))
        return columns.rows(_rows_of(tables()))
    _check_columns(schema.names, source)
    return rows_of(Question((index,), (row,)) for index, row in enumerate(_rows_of(tables())))


def _rows_of(tables: _Tables) -> Iterator[dict]:
    return chain.from_iterable(table.to_pylist() for table in tables)


def _columns(schema: pa.Schema, source: str | Path) -> AnswerColumns | TagColumns:
    is_of_questions = all(name in schema.names for name in _NEEDED_COLUMNS)
    return (None if is_of_questions else TagColumns.of(schema, str(source))) or AnswerColumns(schema)


def _check_columns(found: Sequence[str], source: str | Path) -> None:
    missing = [name for name in _NEEDED_COLUMNS if name not in found]
    if missing:
        tagged = [name for name in TOKEN_COLUMNS if name in found]
        hint = f". With {tagged[0]!r}, lists of texts, expected one of {', '.join(TAG_COLUMNS)}" if tagged else ""
        raise ValueError(
            f"{source}: expected the columns {', '.join(_NEEDED_COLUMNS)}; found {shown_names(dict.fromkeys(found))}, "
            f"without {', '.join(missing)}; rename or add them{hint}"
        )


def _edited(
    tables: Iterable[pa.Table], new_answers: Mapping[int, Sequence[NewAnswer]], columns: Columns
) -> Iterator[pa.Table]:
    """Yield the tables, whose rows are those of the source one after the other, with their new answers."""
    start = 0
    for table in tables:
        here = [index for index in range(start, start + len(table)) if index in new_answers]
        yield _with_new_answers(table, start, {index: new_answers[index] for index in here}, columns)
        start += len(table)


def _with_new_answers(
    table: pa.Table, start: int, new_answers: Mapping[int, Sequence[NewAnswer]], columns: Columns
) -> pa.Table:
    if not new_answers:
        return table
    rows = table.select(columns.columns).to_pylist()
    for index, answers in new_answers.items():
        try:
            rows[index - start] = columns.edited(rows[index - start], answers)
        except ValueError as error:
            raise ValueError(f"row {index}: {error}") from error
    for name in columns.columns:
        position = table.column_names.index(name)
        field = table.schema.field(name)
        try:
            values = pa.array([row[name] for row in rows], field.type)
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise ValueError(
                f"expected a column {name!r} that has room for the new answers, found the type {field.type} "
                f"({error}); write a .json file instead"
            ) from error
        table = table.set_column(position, field, values)
    return table
