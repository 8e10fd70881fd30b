"""JSON and JSON Lines of texts and their labelled spans, as Prodigy, spaCy and doccano have them, read as rows.

An entry is an object with a `text` and a list of spans, or spaCy's pair `["text", {"entities": […]}]`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from span_label_errors.data.examples import InvalidRow
from span_label_errors.data.layouts import Question, Values, View
from span_label_errors.data.messages import describe, shorten
from span_label_errors.data.rows import as_text, is_missing, offset, rows_of
from span_label_errors.data.tagged_tables import TITLE_COLUMNS
from span_label_errors.spans.text import char_offset, utf16_length

SPAN_FIELDS = ("spans", "entities", "label", "labels")
_TEXT_FIELDS = ("text", "data")  # doccano's versions 1.4 to 1.6 have the second
_NOT_ACCEPTED = ("reject", "ignore")  # Prodigy's `answer` of an entry
# The names of a mark's start, end and class; doccano has the second.
_NAMES = (("start", "end", "label"), ("start_offset", "end_offset", "label"))
# Under which names of other tools a class would be overlooked.
_OTHER_CLASS_NAMES = ("labels", "type", "class", "tag", "category", "entity_type", "entity_group")
_ENTITIES = "entities"
_DOCCANO_FIELDS = ("label", "labels")
_EMPTY_LIST = [None, None, None]


class Mark(NamedTuple):
    """Where a labelled span has its borders and its class: paths of names and positions within it."""

    start: tuple
    end: tuple
    label: tuple
    text: tuple | None = None  # where its text is, if it has one
    counts_utf16: bool = False  # the borders, as doccano's do; else they count characters


class Entry(NamedTuple):
    """An entry of a document: its text, and the list that its spans are in."""

    fields: dict  # that may have an id and a title
    text: object
    items: object  # the list
    path: tuple  # where the list is: names and positions from the entry on
    marks: list[tuple[int, Mark | None]]  # of each span its position in the list; None if it has another form
    problem: tuple[str, str] | None = None  # what was expected, and found
    if_changed: Mapping[tuple, object] = {}  # what else becomes another value if spans change, and where it is


class SpanLayout(NamedTuple):
    """Where the entries of a document have their texts and spans."""

    entry: Callable[[object], Entry | None]  # None for one that is passed over
    field: str  # the name of the list of spans
    empty_span: object  # without place and class, in the form of a file that has no other; None if there is none
    is_alone: bool = False  # the document is one entry

    def entries(self, document: Any, view: View) -> Sequence:
        """Return the nodes of all entries."""
        items = view.items(document)
        return [document] if self.is_alone or items is None else items


def span_layout_of(document: object) -> SpanLayout | None:
    """Return the layout of a parsed document; None if it is of another form."""
    if _is_pair(document):
        return SpanLayout(_entry_of_pair, _ENTITIES, _EMPTY_LIST, is_alone=True)
    entries = document if isinstance(document, list) else [document]
    if any(_is_pair(entry) for entry in entries):
        return SpanLayout(_entry_of_pair, _ENTITIES, _EMPTY_LIST)
    objects = [entry for entry in entries if isinstance(entry, dict)]
    if any("context" in entry for entry in objects):
        return None
    with_text = [entry for entry in objects if _text_field(entry)]
    of_name = {name: [entry[name] for entry in with_text if isinstance(entry.get(name), list)] for name in SPAN_FIELDS}
    of_name = {name: lists for name, lists in of_name.items() if lists}
    # One without a span says what the form is only if no other has any.
    with_spans = (name for name, lists in of_name.items() if _begins_with_span(next(filter(None, lists), []), name))
    field = next(with_spans, next((name for name, lists in of_name.items() if not any(lists)), None))
    if field is None:
        return None
    empty_span = _EMPTY_LIST if field in _DOCCANO_FIELDS else dict.fromkeys(_NAMES[0])
    return SpanLayout(lambda entry: _entry_of_record(entry, field), field, empty_span)


def rows_of_spans(document: object, layout: SpanLayout) -> list[object]:
    """Return the entries of a document as rows, an `InvalidRow` for one whose spans cannot be read.

    The classes of all spans are columns as soon as one has a class. Entries that Prodigy's users have rejected or
    ignored are passed over.
    """
    questions, problems = [], []
    for index, entry in enumerate(layout.entries(document, Values())):
        read = layout.entry(entry)
        if read is None:
            continue
        node, problem = _node(read)
        questions.append(Question((index,), (node,)))
        problems.append(problem)
    rows = rows_of(questions)
    has_classes = any(label is not None for row in rows for label in row["answers"].get("label", ()))
    for index, problem in enumerate(problems):
        if problem is not None:
            rows[index] = InvalidRow(rows[index], problem)
        elif has_classes:
            # Without this, an entry whose spans have no class at all would pass for one with the class "".
            rows[index]["answers"].setdefault("label", [None] * len(rows[index]["answers"]["text"]))
    return rows


def mark_of(span: object, field: str) -> Mark | None:
    """Return where a span in a list of some name has its borders and class; None if it has another form."""
    if isinstance(span, list):
        # What doccano calls label counts as doccano does, what spaCy calls entities as Python does.
        return Mark((0,), (1,), (2,), counts_utf16=field in _DOCCANO_FIELDS) if len(span) in (2, 3) else None
    if not isinstance(span, dict):
        return None
    names = next((names for names in _NAMES if names[0] in span and names[1] in span), None)
    if names is None:
        return None
    text = ("text",) if isinstance(span.get("text"), str) else None
    return Mark(*((name,) for name in names), text, counts_utf16=names != _NAMES[0])


def _is_pair(entry: object) -> bool:
    is_pair = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], dict)
    return is_pair and isinstance(entry[1].get(_ENTITIES), list)


def _entry_of_pair(entry: object) -> Entry:
    if not _is_pair(entry):
        return Entry({}, "", None, (), [], ('a pair ["text", {"entities": […]}]', describe(entry)))
    text, annotations = entry
    return _entry(annotations, text, annotations[_ENTITIES], (1, _ENTITIES), _ENTITIES)


def _entry_of_record(entry: object, field: str) -> Entry | None:
    if not isinstance(entry, dict):
        return Entry({}, "", None, (), [], ("an object with a 'text' and its spans", describe(entry)))
    if entry.get("answer") in _NOT_ACCEPTED:
        return None
    text_field = _text_field(entry)
    if not text_field:
        found = describe(entry["text"]) if "text" in entry else f"the fields {shorten(str(list(entry)))}"
        return Entry(entry, "", None, (), [], ("a string 'text'", found))
    others = [name for name in SPAN_FIELDS if name != field and _begins_with_span(entry.get(name), name)]
    if (is_missing(entry.get(field)) or entry[field] == []) and others:
        problem = f"spans in {field!r}, as in other entries", f"them in {others[0]!r}"
        return Entry(entry, entry[text_field], None, (), [], problem)
    return _entry(entry, entry[text_field], entry.get(field), (field,), field)


def _entry(fields: dict, text: str, items: object, path: tuple, field: str) -> Entry:
    if is_missing(items):
        return Entry(fields, text, None, path, [])
    if not isinstance(items, list):
        return Entry(fields, text, None, path, [], (f"a list {field!r} of spans", describe(items)))
    marks = [(index, mark_of(item, field)) for index, item in enumerate(items)]
    return Entry(fields, text, items, path, marks)


def _text_field(entry: dict) -> str:
    return next((name for name in _TEXT_FIELDS if isinstance(entry.get(name), str)), "")


def _begins_with_span(items: object, field: str) -> bool:
    """Return whether a value is a list in which a span comes first."""
    if not isinstance(items, list) or not items:
        return False
    return mark_of(items[0], field) is not None and not (isinstance(items[0], list) and isinstance(items[0][0], str))


def _node(entry: Entry) -> tuple[dict, tuple[str, str] | None]:
    """Return an entry as a row of the SQuAD family, and what is wrong with it."""
    fields, text = entry.fields, entry.text
    title = next((fields[name] for name in TITLE_COLUMNS if name in fields), None)
    node = {"id": fields.get("id"), "title": "" if is_missing(title) else as_text(title), "context": text}
    if isinstance(fields.get("question"), str):
        node["question"] = fields["question"]
    answers = []
    for found in [entry.problem] if entry.problem else answers_of(entry):
        if isinstance(found, tuple):
            return {**node, "answers": []}, found
        answers.append(found)
    return {**node, "answers": answers}, None


def answers_of(entry: Entry) -> Iterator[dict | tuple[str, str]]:
    """Yield each span as an answer, or what is wrong with it."""
    for index, mark in entry.marks:
        item = entry.items[index]
        if mark is None:
            yield "a span as [start, end, class], or an object with 'start', 'end' and 'label'", describe(item)
        else:
            yield _answer(entry.text, item, mark)


def _answer(text: str, item: Any, mark: Mark) -> dict | tuple[str, str]:
    start, end = (offset(value_at(item, path)) for path in (mark.start, mark.end))
    label = value_at(item, mark.label)
    other = next((name for name in _OTHER_CLASS_NAMES if isinstance(item, dict) and name in item), None)
    if other and len(mark.label) == 1 and label is None:
        # Read without it, spans of several classes would pass for those of one.
        found = f"{other!r} instead: {describe(item[other])}"
        hint = ' (of Label Studio, take the export "JSON", not "JSON-MIN")' if other == "labels" else " (rename it)"
        return "the class of a span as 'label'", found + hint
    if type(start) is not int or type(end) is not int:
        return "a span with integers as its borders", describe(item)
    if mark.counts_utf16:
        char_start, char_end = char_offset(text, start), char_offset(text, end)
    else:
        char_start, char_end = (at if 0 <= at <= len(text) else None for at in (start, end))
    is_inside = char_start is not None and char_end is not None and char_start < char_end
    given = value_at(item, mark.text) if mark.text else None
    if given is not None and not (is_inside and visible(given) == visible(text[char_start:char_end])):
        return {"text": given, "answer_start": start if char_start is None else char_start, "label": label}
    if not is_inside:
        units = "UTF-16 units" if mark.counts_utf16 else "characters"
        length = utf16_length(text) if mark.counts_utf16 else len(text)
        return f"a span that is not empty, within the text's {length} {units}", describe(item)
    return {"text": text[char_start:char_end], "answer_start": char_start, "label": label}


def visible(text: str) -> str:
    """Return a text without white space, which tools change: Label Studio shows line ends as breaks, or as "\\n"."""
    return "".join(text.replace("\\n", " ").split())


def value_at(value: Any, path: tuple) -> Any:
    """Return what stands at a path of names and positions in a parsed value; None if nothing does."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
