"""Tables with a list of tokens and a list of their tags in each row: token classification, as `datasets` has it."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.examples import InvalidRow
from span_label_errors.data.messages import describe, is_unicode, shown_names
from span_label_errors.data.rows import as_text, given_id, is_missing, make_ids
from span_label_errors.data.tagged_rows import row_of_tokens, tags_of_answers
from span_label_errors.data.tags import Scheme, scheme_of

TOKEN_COLUMNS = ("tokens", "words", "token")
TAG_COLUMNS = ("ner_tags", "tags", "ner", "ner_labels", "bio_tags", "iob_tags", "entity_tags", "labels", "label")
TITLE_COLUMNS = ("title", "document_id", "doc_id")


class TagColumns:
    """The columns of tokens and tags of a table.

    Attributes
    ----------
    columns : list of str
        Those that say what the spans of a row are.
    """

    def __init__(self, source: str, tokens: str, tags: str, names: Sequence[str] | None):
        self._source = source
        self.columns = [tokens, tags]
        self._names = names  # of the tags, where the column has their numbers
        self._scheme = Scheme("IO")

    @staticmethod
    def of(schema: pa.Schema, source: str) -> "TagColumns | None":
        """Return the columns of a table, the first of `TAG_COLUMNS` that has tags; None if it has none.

        Raises
        ------
        ValueError
            If tags are numbers, and nothing says which tags they stand for.
        """
        kinds = {name: _kind_of_column(schema, name) for name in (*TOKEN_COLUMNS, *TAG_COLUMNS)}
        names = {name: _class_names(schema, name) for name in TAG_COLUMNS if kinds[name] == "numbers"}
        mend = 'name them with dataset.cast_column("{name}", List(ClassLabel(names=["O", "B-PER", …])))'
        return _chosen(source, kinds, names, mend)

    @staticmethod
    def of_entries(entries: Sequence[dict], source: str) -> "TagColumns | None":
        """Return the fields of the entries of a file of JSON, by the same rules."""
        kinds = {name: _kind_of_field(entries, name) for name in (*TOKEN_COLUMNS, *TAG_COLUMNS)}
        return _chosen(source, kinds, {}, "write texts, or save the data set with to_parquet, which keeps the names")

    def learn(self, rows: Iterable[dict]) -> None:
        """Find the scheme that the tags of all rows follow.

        Raises
        ------
        ValueError
            If there is none; the message says what was found.
        """
        sequences = [tags for row in rows if isinstance(tags := self._tags(row), list)]
        try:
            self._scheme = scheme_of(sequences, self._names or ())
        except ValueError as error:
            raise ValueError(f"{self._source}: in {self.columns[1]!r} {error}") from error

    def rows(self, rows: Iterable[object]) -> list[object]:
        """Return the rows of the table in the schema; what is no object, as it is.

        A row that has no tag for each token is an `InvalidRow`. An id that is missing is made of the row's position.
        """
        read = [self._row(row) if isinstance(row, dict) else row for row in rows]
        make_ids(((row, (at,)) for at, row in enumerate(read) if isinstance(row, dict) and row["id"] is None), read)
        return read

    def _row(self, row: dict) -> dict:
        title = next((row[name] for name in TITLE_COLUMNS if name in row), None)
        fields = {"id": given_id(row), "title": "" if is_missing(title) else as_text(title)}
        tokens, tags = row.get(self.columns[0]), self._tags(row)
        if isinstance(tags, InvalidRow):
            return InvalidRow(fields, tags.problem)
        if not isinstance(tokens, list) or len(tokens) != len(tags):
            found = f"{len(tokens)}" if isinstance(tokens, list) else describe(tokens)
            return InvalidRow(fields, (f"as many {self.columns[0]!r} as {self.columns[1]!r} ({len(tags)})", found))
        strange = next((token for token in tokens if not isinstance(token, str) or not is_unicode(token)), "")
        if strange != "":
            return InvalidRow(fields, (f"tokens of Unicode text in {self.columns[0]!r}", describe(strange)))
        return row_of_tokens(fields["id"], fields["title"], tokens, tags, self._scheme)

    def edited(self, row: dict, answers: Sequence[NewAnswer]) -> dict:
        """Return a row of the table with the tags of other answers.

        Raises
        ------
        ValueError
            If answers cannot be written as tags.
        """
        tokens, tags = self.columns
        new = tags_of_answers(row[tokens], self._tags(row), answers, self._scheme)
        if self._names is None:
            return {**row, tags: new}
        unknown = [tag for tag in new if tag not in self._names]
        if unknown:
            raise ValueError(
                f"expected one of the {len(self._names)} tags that the column {tags!r} has names for "
                f"({shown_names(self._names)}), found {unknown[0]!r}; add it to the names of its ClassLabel"
            )
        return {**row, tags: [self._names.index(tag) for tag in new]}

    def _tags(self, row: dict) -> list[str] | InvalidRow:
        values = row.get(self.columns[1])
        if not isinstance(values, list):
            return InvalidRow({}, (f"a list of tags in {self.columns[1]!r}", describe(values)))
        names = self._names
        for value in values:
            if not (isinstance(value, str) if names is None else isinstance(value, int) and 0 <= value < len(names)):
                expected = "a tag" if names is None else f"a number from 0 to {len(names) - 1}"
                return InvalidRow({}, (f"{expected} for each token in {self.columns[1]!r}", describe(value)))
        return values if names is None else [names[value] for value in values]


def _chosen(source: str, kinds: dict[str, str], names_of: dict[str, list[str] | None], mend: str) -> TagColumns | None:
    """Return those of some columns, of each of which is known whether it has lists of "texts" or of "numbers"."""
    tokens = next((name for name in TOKEN_COLUMNS if kinds[name] == "texts"), None)
    if tokens is None:
        return None
    for name in TAG_COLUMNS:
        if kinds[name] == "texts" or names_of.get(name):
            return TagColumns(source, tokens, name, names_of.get(name))
    numbered = next((name for name in TAG_COLUMNS if kinds[name] == "numbers"), None)
    if numbered is None:
        return None
    raise ValueError(
        f"{source}: expected {numbered!r} to say which tags its numbers stand for, found numbers without names; "
        f"{mend.format(name=numbered)}"
    )


def _kind_of_column(schema: pa.Schema, name: str) -> str:
    if schema.get_field_index(name) < 0:
        return ""
    kind = schema.field(name).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return ""
    value = kind.value_type
    is_text = pa.types.is_string(value) or pa.types.is_large_string(value)
    return "texts" if is_text else "numbers" if pa.types.is_integer(value) else ""


def _kind_of_field(entries: Sequence[dict], name: str) -> str:
    values = next((entry[name] for entry in entries if entry.get(name)), None)
    if not isinstance(values, list):
        return ""
    return "texts" if isinstance(values[0], str) else "numbers" if type(values[0]) is int else ""


def _class_names(schema: pa.Schema, name: str) -> list[str] | None:
    """Return the names that the metadata of `datasets` has for the numbers of a column; None without."""
    if b"huggingface" not in (schema.metadata or {}):
        return None
    from datasets import ClassLabel, Features  # 0.2 s, which other tables do without

    try:
        of_column = Features.from_arrow_schema(schema)[name]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # metadata of another program under this name
    feature = getattr(of_column, "feature", None)
    return list(feature.names) if isinstance(feature, ClassLabel) and feature.names else None
