"""Replace answers within the text of a file of JSON or JSON Lines, and keep every other byte.

So a comparison of the two files shows what was corrected, which reading and writing JSON would hide: it changes layout
and escapes.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from json.decoder import WHITESPACE, JSONDecoder, scanstring
from typing import NamedTuple

from span_label_errors.data.answer_forms import NewAnswer, Style, form_of, impossible, style_of, with_answers
from span_label_errors.data.layouts import walk
from span_label_errors.data.messages import is_unicode

_Node = tuple[int, int] | list  # where a value starts and ends; the lines of JSON Lines are a list of nodes


class _Member(NamedTuple):
    """Where a member of an object stands."""

    name_start: int
    start: int
    end: int


def replace_answers(text: str, new_answers: Mapping[int, Sequence[NewAnswer]]) -> str:
    """Return the text of a file with the answers of some questions replaced.

    Parameters
    ----------
    text : str
        Content of a file that `load_squad` reads; it is not checked again.
    new_answers : mapping of int to sequence of NewAnswer
        The answers of each changed question, by its position in the order of `load_squad`.

    Returns
    -------
    str
        The text, with answers in the form that they have there. `is_impossible` follows where the question has it. If
        any answer of a question has a label other than `""`, all of its answers get a label.
    """
    if not new_answers:
        return text
    starts = {index: start for index, (start, _) in enumerate(_questions(text)) if index in new_answers}
    style, pieces, copied_to = Style(), [], 0
    if any(not new_answers[index] or not form_of(_question(text, start)) for index, start in starts.items()):
        style = style_of(_question(text, start) for start, _ in _questions(text) if text[start] == "{")
    for index, question_start in starts.items():
        for start, end, new in sorted(_edits(text, question_start, new_answers[index], style)):
            pieces += [text[copied_to:start], new]
            copied_to = end
    return "".join([*pieces, text[copied_to:]])


def _edits(text: str, start: int, answers: Sequence[NewAnswer], style: Style) -> Iterator[tuple[int, int, str]]:
    """Yield what to put in the place of which stretches of the text, of a question that starts at `start`."""
    question, members = _question(text, start), _members(text, start)
    ordered = sorted(members.values())
    if {"answers", "is_impossible"} <= members.keys() and not answers and style.leaves_out:
        member = ordered.index(members["answers"])
        yield (*_with_comma(ordered, member), "")
    elif "answers" in members:
        _, at, end = members["answers"]
        yield at, end, _laid_out(text, start, at, with_answers(question, answers, style))
    elif answers:
        # Behind the question, with the space that its members have between them.
        end = members["question"].end
        gaps = [text[one.end : other.name_start] for one, other in itertools.pairwise(ordered)]
        name = (gaps[0] if gaps else ", ") + '"answers"' + _colon(text, start)
        yield end, end, name + _laid_out(text, start, members["question"].start, with_answers(question, answers, style))
    if (is_impossible := impossible(question, answers)) is not None:
        yield *members["is_impossible"][1:], json.dumps(is_impossible)


def _with_comma(ordered: list[_Member], index: int) -> tuple[int, int]:
    """Return from where to where a member is cut out, with the comma before or behind it."""
    if index:
        return ordered[index - 1].end, ordered[index].end
    return ordered[0].name_start, ordered[1].name_start if len(ordered) > 1 else ordered[0].end


def _question(text: str, start: int) -> dict:
    """Return what the question that starts at `start` says about its answers."""
    members = _members(text, start)
    names = [name for name in ("answers", "is_impossible") if name in members]
    return {name: json.loads(text[members[name].start : members[name].end]) for name in names}


def _laid_out(text: str, question_start: int, start: int, new: object) -> str:
    """Return a value as JSON, laid out as its neighbours are: on one line, or indented."""
    # Half of a surrogate pair can only be written as an escape.
    is_ascii = text.removeprefix("\ufeff").isascii() or not is_unicode(json.dumps(new, ensure_ascii=False))
    layout = {"ensure_ascii": is_ascii}
    colon = _colon(text, question_start)
    before, newline, line = text[question_start:start].rpartition("\n")
    if not newline:
        return json.dumps(new, separators=("," + colon[1:], colon), **layout)
    newline = "\r\n" if before.endswith("\r") else "\n"
    indent = re.match(r"[ \t]*", line)[0]
    outer = re.search(r"[ \t]*$", text[max(0, question_start - len(indent)) : question_start])[0]
    step = indent.removeprefix(outer) if indent != outer else "  "
    return json.dumps(new, indent=step, separators=(",", colon), **layout).replace("\n", newline + indent)


def _colon(text: str, question_start: int) -> str:
    return ": " if re.compile(r'\{\s*"[^"\\]*"\s*: ').match(text, question_start) else ":"


# Walking through the text


class _Text:
    """The view of a text: a node is where a value starts and ends."""

    def __init__(self, text: str):
        self.text = text

    def members(self, node: _Node) -> dict[str, _Node] | None:
        if isinstance(node, list) or self.text[node[0]] != "{":
            return None
        return {name: member[1:] for name, member in _members(self.text, node[0]).items()}

    def items(self, node: _Node) -> list[_Node] | None:
        if isinstance(node, list):
            return node
        return list(_items(self.text, node[0])) if self.text[node[0]] == "[" else None

    def shown(self, node: _Node) -> str:
        return repr(self.text[slice(*node)][:60])


def _questions(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each question's object starts and ends, in the order of `load_squad`."""
    start = WHITESPACE.match(text, 1 if text.startswith("\ufeff") else 0).end()
    decoder = JSONDecoder()
    end = decoder.raw_decode(text, start)[1]
    document: _Node = (start, end)
    gap = WHITESPACE.match(text, end)
    if "\n" in gap[0] and gap.end() < len(text):
        # What follows a whole document is another line.
        document, line_start = [], start
        for line in text[start:].split("\n"):
            if line and not line.isspace():
                at = WHITESPACE.match(text, line_start).end()
                document.append((at, decoder.raw_decode(text, at)[1]))
            line_start += len(line) + 1
    for question in walk(document, _Text(text)):
        yield question.nodes[-1]


def _members(text: str, start: int) -> dict[str, _Member]:
    """Return where the members of the object that starts at `start` stand; of a repeated name, the last, as in json."""
    members = {}
    position = WHITESPACE.match(text, start + 1).end()
    while text[position] != "}":
        name_start = position
        name, position = scanstring(text, position + 1)
        value_start = WHITESPACE.match(text, WHITESPACE.match(text, position).end() + 1).end()
        members[name] = _Member(name_start, value_start, JSONDecoder().raw_decode(text, value_start)[1])
        position = _next(text, members[name].end)
    return members


def _items(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield where each item of the list that starts at `start` starts and ends."""
    position = WHITESPACE.match(text, start + 1).end()
    while text[position] != "]":
        end = JSONDecoder().raw_decode(text, position)[1]
        yield position, end
        position = _next(text, end)


def _next(text: str, value_end: int) -> int:
    """Return where the next member or item starts, or the bracket that closes them."""
    position = WHITESPACE.match(text, value_end).end()
    return WHITESPACE.match(text, position + 1).end() if text[position] == "," else position
