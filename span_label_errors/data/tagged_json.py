"""JSON and JSON Lines of tagged tokens: a list of tokens and a list of their tags in each entry."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.json_places import JsonText, document_of, items_at, members_at
from span_label_errors.data.layouts import Values, View
from span_label_errors.data.tagged_tables import TagColumns


def tag_columns_of(document: object, where: str) -> TagColumns | None:
    """Return the fields of tokens and tags of a parsed document; None if it is of another form.

    Raises
    ------
    ValueError
        If tags are numbers, or of no scheme that is known.
    """
    entries = [entry for entry in _entries(document, Values()) if isinstance(entry, dict)]
    columns = None if any("context" in entry for entry in entries) else TagColumns.of_entries(entries, where)
    if columns is not None:
        columns.learn(entries)
    return columns


def rows_of_tagged(document: object, columns: TagColumns) -> list[object]:
    """Return the entries of a document as rows; what is no object, as it is."""
    return columns.rows(_entries(document, Values()))


def replace_tags(text: str, columns: TagColumns, new_answers: Mapping[int, Sequence[NewAnswer]]) -> str:
    """Return the text of a file with the answers of some entries replaced; every byte but changed tags stays.

    Raises
    ------
    ValueError
        If answers cannot be written as tags.
    """
    is_ascii = text.removeprefix("\ufeff").isascii()
    pieces, copied_to = [], 0
    for index, (start, end) in enumerate(_entries(document_of(text), JsonText(text))):
        if index not in new_answers:
            continue
        tags = columns.columns[1]
        row = json.loads(text[start:end])
        try:
            new_tags = columns.edited(row, new_answers[index])[tags]
        except ValueError as error:
            raise ValueError(f"entry {index}: {error}") from error
        places = items_at(text, members_at(text, start)[tags].start)
        for (tag_start, tag_end), tag, new_tag in zip(places, row[tags], new_tags, strict=True):
            if tag != new_tag:
                pieces += [text[copied_to:tag_start], json.dumps(new_tag, ensure_ascii=is_ascii)]
                copied_to = tag_end
    return "".join([*pieces, text[copied_to:]])


def _entries(document: Any, view: View) -> Sequence:
    """Return the items of a list, or what stands alone as one of them."""
    items = view.items(document)
    return [document] if items is None else items
