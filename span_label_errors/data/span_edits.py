"""Replace the labelled spans of entries within the text of a file of JSON, and keep every other byte."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.json_places import (
    JsonText,
    colon_at,
    document_of,
    items_at,
    laid_out,
    members_at,
    place_at,
    with_comma,
)
from span_label_errors.data.messages import is_unicode
from span_label_errors.data.span_records import Entry, Mark, SpanLayout, answers_of, mark_of, value_at
from span_label_errors.spans.text import utf16_length

_OF_TOKENS = ("token_start", "token_end")  # Prodigy's: the first and the last token of a span
# What a new span has of another: the names of Label Studio's controls.
_COPIED = ("from_name", "to_name", "type")
_RELATED = ("from_id", "to_id")  # of a relation, as doccano and Label Studio have it
Edit = tuple[int, int, str]  # from where to where the text becomes another


class _Sample(NamedTuple):
    """A span of the file, of whose form a new one is."""

    item: Any
    mark: Mark
    text: str  # as it is written
    ids: set  # of all spans of the file, the numbers and texts among them


def replace_spans(text: str, layout: SpanLayout, new_answers: Mapping[int, Sequence[NewAnswer]]) -> str:
    """Return the text of a file with the spans of some entries replaced.

    A new answer that overlaps one which goes is that span, changed: its further fields stay. Prodigy's `token_start`
    and `token_end` follow where the entry has `tokens` with these borders, and go where it has not. Relations of a span
    that goes, go with it.

    Parameters
    ----------
    text : str
        Content of a file, which is not checked again.
    layout : SpanLayout
    new_answers : mapping of int to sequence of NewAnswer
        By the position of the entry among those that are read.
    """
    nodes = layout.entries(document_of(text), JsonText(text))
    entries = [(start, layout.entry(json.loads(text[start:end]))) for start, end in nodes]
    entries = [(start, entry) for start, entry in entries if entry is not None]
    sample = None
    pieces, copied_to = [], 0
    for index, answers in sorted(new_answers.items()):
        if sample is None and any(isinstance(answer, dict) for answer in answers):
            sample = _sample(text, entries, layout)
        for start, end, new in sorted(_edits(text, *entries[index], answers, sample)):
            pieces += [text[copied_to:start], new]
            copied_to = end
    return "".join([*pieces, text[copied_to:]])


def _edits(text: str, start: int, entry: Entry, answers: Sequence[NewAnswer], sample: _Sample | None) -> Iterator[Edit]:
    """Yield what to put in the place of which stretches of the text, of the entry that starts at `start`."""
    old = list(answers_of(entry))
    changed, new, gone = sorted_out(old, answers)
    items = entry.items or []
    if changed or new or gone:
        for path, value in entry.if_changed.items():
            yield (*place_at(text, start, path), json.dumps(value))
    new_items = [(answer["answer_start"], _new_item(answer, sample, entry)) for answer in new]
    if not items:
        if new:
            yield _first_spans(text, start, entry, [item for _, item in new_items], sample)
        return
    parent_start, list_start = place_at(text, start, entry.path[:-1])[0], place_at(text, start, entry.path)[0]
    places = list(items_at(text, list_start))
    written = {
        entry.marks[at][0]: _changed(text, places[entry.marks[at][0]], entry, at, answer)
        for at, answer in changed.items()
    }
    # A list: an id may be any JSON, which a set cannot hold.
    ids = [items[entry.marks[at][0]]["id"] for at in gone if value_at(items[entry.marks[at][0]], ("id",)) is not None]
    cut = {entry.marks[at][0] for at in gone} | _of_spans(items, ids, ("id", *_RELATED))
    behind = [(char_start, _shown(text, parent_start, list_start, item, sample)) for char_start, item in new_items]
    inserted: dict[int, list[str]] = {}
    for char_start, shown in sorted(behind):
        before = [entry.marks[at][0] for at, answer in enumerate(old) if answer["answer_start"] <= char_start]
        inserted.setdefault(max(before, default=-1), []).append(shown)
    yield _list_edit(text, list_start, places, cut, written, inserted)
    relations = entry.fields.get("relations")
    if isinstance(relations, list) and (of_gone := _of_spans(relations, ids, _RELATED)):
        list_start = place_at(text, start, (*entry.path[:-1], "relations"))[0]
        yield _list_edit(text, list_start, list(items_at(text, list_start)), of_gone, {}, {})


def sorted_out(old: list[dict], answers: Sequence[NewAnswer]) -> tuple[dict[int, dict], list[dict], set[int]]:
    """Return the spans that change, by their positions, those that are new, and the positions of those that go."""
    changed = {answer[0]: answer[1] for answer in answers if isinstance(answer, tuple)}
    gone = set(range(len(old))) - changed.keys() - {answer for answer in answers if isinstance(answer, int)}
    new = []
    for answer in answers:
        if not isinstance(answer, dict):
            continue
        start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
        overlap = {
            at: min(end, old[at]["answer_start"] + len(old[at]["text"])) - max(start, old[at]["answer_start"])
            for at in sorted(gone)
        }
        at = max(overlap, key=overlap.__getitem__, default=None)
        if at is not None and overlap[at] > 0:
            changed[at] = answer
            gone.remove(at)
        else:
            new.append(answer)
    return changed, new, gone


def _of_spans(items: list, ids: list, names: Sequence[str]) -> set[int]:
    """Return the positions of those items that have, under one of some names, the id of a span that goes."""
    return {
        index
        for index, item in enumerate(items)
        if isinstance(item, dict) and any(item.get(name) in ids for name in names)
    }


def _list_edit(
    text: str,
    list_start: int,
    places: list[tuple[int, int]],
    cut: set[int],
    written: Mapping[int, str],
    inserted: Mapping[int, list[str]],
) -> Edit:
    """Return a list with some items cut, some written anew and some inserted behind others, or as the first (-1)."""
    pieces: list[tuple[int | None, str]] = [(None, shown) for shown in inserted.get(-1, [])]
    for index, (start, end) in enumerate(places):
        if index not in cut:
            pieces.append((index, written.get(index, text[start:end])))
        pieces += [(None, shown) for shown in inserted.get(index, [])]
    start, end = list_start + 1, places[-1][1]
    if not pieces:
        return start, text.index("]", end), ""
    lead = text[start : places[0][0]]
    gap = text[places[0][1] : places[1][0]] if len(places) > 1 else "," + (lead or " " * (", " in text[start:end]))
    shown = [pieces[0][1]]
    for (index, _), (other, piece) in itertools.pairwise(pieces):
        is_pair = None not in (index, other) and other == index + 1
        shown += [text[places[index][1] : places[other][0]] if is_pair else gap, piece]
    return places[0][0], end, "".join(shown)


def _has(item: Any, path: tuple) -> bool:
    return path[0] in item if isinstance(item, dict) else path[0] < len(item)


def _changed(text: str, place: tuple[int, int], entry: Entry, at: int, answer: dict) -> str:
    """Return a span with another place and class."""
    written = text[slice(*place)]
    position, mark = entry.marks[at]
    item = entry.items[position]
    edits = []
    for path, value in _values(answer, item, mark, entry.text).items():
        old = value_at(item, path)
        shown = _json_like(value, written, text)
        if path == mark.label and old is None and not _has(item, path):
            # Behind the end, as both forms have it.
            name = "" if isinstance(item, list) else json.dumps(path[0]) + colon_at(written, 0)
            behind = place_at(written, 0, mark.end)[1]
            edits.append((behind, behind, _comma(written) + name + shown))
        elif old != value:
            edits.append((*place_at(written, 0, path), shown))
    if isinstance(item, dict) and (of_tokens := [name for name in _OF_TOKENS if name in item]):
        numbers = _token_span(answer, entry)
        if numbers is not None:
            edits += [
                (*place_at(written, 0, (name,)), str(number))
                for name, number in zip(_OF_TOKENS, numbers, strict=True)
                if name in of_tokens and item[name] != number
            ]
            of_tokens = []
    else:
        of_tokens = []
    for start, end, new in sorted(edits, reverse=True):
        written = written[:start] + new + written[end:]
    for name in of_tokens:
        members = members_at(written, 0)
        ordered = sorted(members.values())
        start, end = with_comma(ordered, ordered.index(members[name]))
        written = written[:start] + written[end:]
    return written


def _values(answer: dict, item: Any, mark: Mark, text: str) -> dict[tuple, object]:
    """Return what stands at which paths of a span, whose place and class are those of an answer."""
    borders = answer["answer_start"], answer["answer_start"] + len(answer["text"])
    if mark.counts_utf16:
        borders = tuple(utf16_length(text[:border]) for border in borders)
    values: dict[tuple, object] = {mark.start: borders[0], mark.end: borders[1]}
    label = answer.get("label")
    if label or (label == "" and value_at(item, mark.label) is not None):
        values[mark.label] = label
    if mark.text:
        values[mark.text] = answer["text"]
    return values


def _token_span(answer: dict, entry: Entry) -> tuple[int, int] | None:
    """Return the first and the last token of an answer; None if it does not begin and end where tokens do."""
    tokens = entry.fields.get("tokens")
    if not isinstance(tokens, list):
        return None
    end = answer["answer_start"] + len(answer["text"])
    first = [number for number, token in enumerate(tokens) if value_at(token, ("start",)) == answer["answer_start"]]
    last = [number for number, token in enumerate(tokens) if value_at(token, ("end",)) == end]
    return (first[0], last[-1]) if first and last else None


# A span that is new


def _sample(text: str, entries: Sequence[tuple[int, Entry]], layout: SpanLayout) -> _Sample:
    spans = [(start, entry, index, mark) for start, entry in entries for index, mark in entry.marks if mark is not None]
    ids = [value_at(entry.items[index], ("id",)) for _, entry, index, _ in spans]
    ids = {value for value in ids if isinstance(value, int | str)}
    if not spans:
        # As the entries themselves are written.
        start, entry = entries[0]
        if layout.empty_span is None:
            raise ValueError(
                "expected at least one labelled span in the file, which shows how others are written; found none. "
                "Label one in the program that the file comes from, and export it again"
            )
        item, entry_text = layout.empty_span, text[slice(*place_at(text, start, entry.path[:-1]))]
        shown = json.dumps(item, indent=1) if "\n" in entry_text else _json_like(item, entry_text, text)
        return _Sample(item, mark_of(item, layout.field), shown, ids)
    start, entry, index, mark = spans[0]
    place = place_at(text, start, (*entry.path, index))
    return _Sample(entry.items[index], mark, text[slice(*place)], ids)


def _new_item(answer: dict, sample: _Sample, entry: Entry) -> Any:
    """Return a span of the sample's form, with those of its fields that are known."""
    new = [None] * len(sample.item) if isinstance(sample.item, list) else {}
    values = _values(answer, sample.item, sample.mark, entry.text)
    if isinstance(new, list):
        for (position,), value in values.items():
            new[position:] = [value, *new[position + 1 :]]
        return new
    tokens = dict(zip(_OF_TOKENS, _token_span(answer, entry) or (), strict=False))
    for name, old in sample.item.items():
        if name == "id" and old is not None:
            new[name] = _new_id(old, sample.ids)
        elif name in _OF_TOKENS and name in tokens:
            new[name] = tokens[name]
        elif name in _COPIED:
            new[name] = old
        else:
            of_name = {path[1:]: value for path, value in values.items() if path[0] == name}
            if of_name:
                new[name] = of_name[()] if () in of_name else _nested(of_name, old)
    if sample.mark.label in values and len(sample.mark.label) == 1:
        new.setdefault(sample.mark.label[0], values[sample.mark.label])
    return new


def _nested(values: Mapping[tuple, object], old: dict) -> dict:
    """Return the `value` of a result of Label Studio, in which the class is in a list."""
    new = {path[0]: [value] if len(path) > 1 else value for path, value in values.items()}
    return {name: new[name] for name in old if name in new}


def _new_id(old: object, ids: set) -> object:
    number = 1 + max((value for value in ids if type(value) is int), default=0)
    new = number if type(old) is int else next(f"new-{n}" for n in itertools.count(1) if f"new-{n}" not in ids)
    ids.add(new)
    return new


def _first_spans(text: str, start: int, entry: Entry, new: list, sample: _Sample) -> Edit:
    """Return the spans of an entry that had none: in its empty list, or behind its text."""
    parent, name = entry.path[:-1], entry.path[-1]
    parent_start = place_at(text, start, parent)[0]
    members = members_at(text, parent_start)
    at = members.get(name)
    place = at.start if at else next(iter(members.values())).start
    if "\n" in sample.text:
        shown = laid_out(text, parent_start, place, new)
    else:
        shown = "[" + _comma(sample.text).join(_json_like(item, sample.text, text) for item in new) + "]"
    if at:
        return at.start, at.end, shown
    ordered = sorted(members.values())
    gaps = [text[one.end : other.name_start] for one, other in itertools.pairwise(ordered)]
    end = ordered[-1].end
    return end, end, (gaps[0] if gaps else ", ") + json.dumps(name) + colon_at(text, parent_start) + shown


def _shown(text: str, parent_start: int, list_start: int, item: Any, sample: _Sample) -> str:
    """Return a span of a list as JSON, on one line if the sample is."""
    if "\n" not in sample.text:
        return _json_like(item, sample.text, text)
    return laid_out(text, parent_start, list_start, [item])[1:-1].strip()


def _json_like(value: object, sample: str, text: str) -> str:
    """Return a value as JSON, with the space between its parts that a sample has."""
    is_ascii = text.removeprefix("\ufeff").isascii() or not is_unicode(json.dumps(value, ensure_ascii=False))
    comma = _comma(sample)
    return json.dumps(value, ensure_ascii=is_ascii, separators=(comma, ":" + comma[1:]))


def _comma(written: str) -> str:
    """Return the comma between the parts of a span, with the space behind it."""
    if written.startswith("{"):
        return "," + colon_at(written, 0)[1:]
    return ", " if re.match(r"\[\s*[^,\s]+\s*, ", written) else ","
