"""Files of JSON and JSON Lines: read as rows that nothing has checked yet, and written again with other answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.json_text import parse_json
from span_label_errors.data.layouts import Values, walk
from span_label_errors.data.rows import rows_of
from span_label_errors.data.span_edits import replace_spans
from span_label_errors.data.span_records import rows_of_spans, span_layout_of
from span_label_errors.data.squad_text import replace_answers
from span_label_errors.data.tagged_json import replace_tags, rows_of_tagged, tag_columns_of

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")


def read_json(path: Path) -> list[object]:
    """Return the rows of a file; it raises ValueError if the file has another layout."""
    document = parse_json(path.read_bytes(), str(path), is_lines=path.suffix.lower() != ".json")
    layout = span_layout_of(document)
    if layout is not None:
        return rows_of_spans(document, layout)
    columns = tag_columns_of(document, str(path))
    if columns is not None:
        return rows_of_tagged(document, columns)
    try:
        return rows_of(walk(document, Values()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_json(source: Path, path: Path, new_answers: Mapping[int, Sequence[NewAnswer]]) -> None:
    """Write a file with the answers of some examples replaced, and every other byte as it was."""
    # Not read_text(), which would make every line end "\n".
    text = source.read_bytes().decode("utf-8")
    document = parse_json(source.read_bytes(), str(source))
    layout = span_layout_of(document)
    if layout is not None:
        replaced = replace_spans(text, layout, new_answers)
    elif (columns := tag_columns_of(document, str(source))) is not None:
        replaced = replace_tags(text, columns, new_answers)
    else:
        replaced = replace_answers(text, new_answers)
    path.write_bytes(replaced.encode("utf-8"))
