"""Where the values of a JSON text stand, so that some can be replaced and every other byte stays."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from json.decoder import WHITESPACE, JSONDecoder, scanstring
from typing import NamedTuple

from span_label_errors.data.messages import is_unicode

Node = tuple[int, int] | list  # where a value starts and ends; the lines of JSON Lines are a list of nodes


class Member(NamedTuple):
    """Where a member of an object stands."""

    name_start: int
    start: int
    end: int


class JsonText:
    """The view of a text: a node is where a value starts and ends."""

    def __init__(self, text: str):
        self.text = text

    def members(self, node: Node) -> dict[str, Node] | None:
        """Return the members of an object; None if a node is none."""
        if isinstance(node, list) or self.text[node[0]] != "{":
            return None
        return {name: member[1:] for name, member in members_at(self.text, node[0]).items()}

    def items(self, node: Node) -> list[Node] | None:
        """Return the items of a list; None if a node is none."""
        if isinstance(node, list):
            return node
        return list(items_at(self.text, node[0])) if self.text[node[0]] == "[" else None

    def shown(self, node: Node) -> str:
        """Return the beginning of a value."""
        return repr(self.text[slice(*node)][:60])


def document_of(text: str) -> Node:
    """Return the document that a file has, or of JSON Lines its lines."""
    start = WHITESPACE.match(text, 1 if text.startswith("\ufeff") else 0).end()
    decoder = JSONDecoder()
    end = decoder.raw_decode(text, start)[1]
    document: Node = (start, end)
    gap = WHITESPACE.match(text, end)
    if "\n" in gap[0] and gap.end() < len(text):
        # What follows a whole document is another line.
        document, line_start = [], start
        for line in text[start:].split("\n"):
            if line and not line.isspace():
                at = WHITESPACE.match(text, line_start).end()
                document.append((at, decoder.raw_decode(text, at)[1]))
            line_start += len(line) + 1
    return document


def members_at(text: str, start: int) -> dict[str, Member]:
    """Return where the members of the object that starts at `start` stand; of a repeated name, the last, as in json."""
    members = {}
    position = WHITESPACE.match(text, start + 1).end()
    while text[position] != "}":
        name_start = position
        name, position = scanstring(text, position + 1)
        value_start = WHITESPACE.match(text, WHITESPACE.match(text, position).end() + 1).end()
        members[name] = Member(name_start, value_start, JSONDecoder().raw_decode(text, value_start)[1])
        position = _next(text, members[name].end)
    return members


def items_at(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield where each item of the list that starts at `start` starts and ends."""
    position = WHITESPACE.match(text, start + 1).end()
    while text[position] != "]":
        end = JSONDecoder().raw_decode(text, position)[1]
        yield position, end
        position = _next(text, end)


def place_at(text: str, start: int, path: Iterable[str | int]) -> tuple[int, int]:
    """Return where the value starts and ends that a path of names and positions leads to from the one at `start`."""
    end = JSONDecoder().raw_decode(text, start)[1]
    for step in path:
        if isinstance(step, str):
            _, start, end = members_at(text, start)[step]
        else:
            start, end = next(itertools.islice(items_at(text, start), step, None))
    return start, end


def with_comma(ordered: list[Member], index: int) -> tuple[int, int]:
    """Return from where to where a member is cut out, with the comma before or behind it."""
    if index:
        return ordered[index - 1].end, ordered[index].end
    return ordered[0].name_start, ordered[1].name_start if len(ordered) > 1 else ordered[0].end


def laid_out(text: str, outer_start: int, start: int, new: object) -> str:
    """Return a value as JSON, laid out as the object at `outer_start` is: on one line, or indented."""
    # Half of a surrogate pair can only be written as an escape.
    is_ascii = text.removeprefix("\ufeff").isascii() or not is_unicode(json.dumps(new, ensure_ascii=False))
    layout = {"ensure_ascii": is_ascii}
    colon = colon_at(text, outer_start)
    before, newline, line = text[outer_start:start].rpartition("\n")
    if not newline:
        return json.dumps(new, separators=("," + colon[1:], colon), **layout)
    newline = "\r\n" if before.endswith("\r") else "\n"
    indent = re.match(r"[ \t]*", line)[0]
    outer = re.search(r"[ \t]*$", text[max(0, outer_start - len(indent)) : outer_start])[0]
    step = indent.removeprefix(outer) if indent != outer else "  "
    return json.dumps(new, indent=step, separators=(",", colon), **layout).replace("\n", newline + indent)


def colon_at(text: str, outer_start: int) -> str:
    """Return the colon of an object's first member, with the space behind it."""
    return ": " if re.compile(r'\{\s*"[^"\\]*"\s*: ').match(text, outer_start) else ":"


def _next(text: str, value_end: int) -> int:
    """Return where the next member or item starts, or the bracket that closes them."""
    position = WHITESPACE.match(text, value_end).end()
    return WHITESPACE.match(text, position + 1).end() if text[position] == "," else position
