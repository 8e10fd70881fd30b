"""Replace answers within the text of a SQuAD file, and keep every other byte.

So a comparison of the two files shows what was corrected, which reading and writing JSON would hide: it changes layout
and escapes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from json.decoder import WHITESPACE, JSONDecoder, scanstring


def replace_answers(text: str, new_answers: Mapping[int, Sequence[int | dict]]) -> str:
    """Return the text of a SQuAD file with the answers of some questions replaced.

    Parameters
    ----------
    text : str
        Content of a file that `load_squad` accepts; it is not checked again.
    new_answers : mapping of int to sequence of (int or dict)
        The answers of each changed question, by its position in the order of `load_squad`: an old answer as its
        position, a new one as `{"text", "answer_start"}`, with a `"label"` where the data has span classes.

    Returns
    -------
    str
        The text. `is_impossible` follows where the question has it. If any answer of a question has a label other than
        `""`, all of its answers get a label.
    """
    pieces, copied_to = [], 0
    for question_index, question_start in enumerate(_questions(text)):
        if question_index not in new_answers:
            continue
        answers, members = new_answers[question_index], _members(text, question_start)
        edits = [(*members["answers"], _edited_answers(text, question_start, *members["answers"], answers))]
        if "is_impossible" in members:
            start, end = members["is_impossible"]
            if bool(json.loads(text[start:end])) == bool(answers):
                edits.append((start, end, json.dumps(not answers)))
        for start, end, new in sorted(edits):
            pieces += [text[copied_to:start], new]
            copied_to = end
    return "".join([*pieces, text[copied_to:]])


def _edited_answers(text: str, question_start: int, start: int, end: int, answers: Sequence[int | dict]) -> str:
    old = json.loads(text[start:end])
    # `load_squad` reads columns in place of a list of answers, too, and ignores other fields beside them.
    if isinstance(old, dict):
        count = len(old["text"])
        columns = {name: values for name, values in old.items() if isinstance(values, list) and len(values) == count}
        old_entries = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    else:
        columns, old_entries = {}, old
    # Where the old answers have no label, a new one needs none if it has no class.
    has_labels = any("label" in entry for entry in old_entries)
    entries = [
        old_entries[answer]
        if isinstance(answer, int)
        else {name: value for name, value in answer.items() if name != "label" or has_labels or value}
        for answer in answers
    ]
    if any("label" in entry for entry in entries):
        # `load_squad` wants a label for all answers of a question or for none.
        entries = [entry if "label" in entry else {**entry, "label": ""} for entry in entries]
        columns = columns and {**columns, "label": None}
    new = {**old, **{name: [entry.get(name) for entry in entries] for name in columns}} if columns else entries

    # The new value is laid out as its neighbours are: on one line, or indented.
    layout = {"ensure_ascii": text.isascii()}
    colon = ": " if re.match(r'\{\s*"[^"\\]*"\s*: ', text[question_start:end]) else ":"
    before, newline, line = text[question_start:start].rpartition("\n")
    if not newline:
        return json.dumps(new, separators=("," + colon[1:], colon), **layout)
    newline = "\r\n" if before.endswith("\r") else "\n"
    indent = re.match(r"[ \t]*", line)[0]
    outer = re.search(r"[ \t]*$", text[max(0, question_start - len(indent)) : question_start])[0]
    step = indent.removeprefix(outer) if indent != outer else "  "
    return json.dumps(new, indent=step, separators=(",", colon), **layout).replace("\n", newline + indent)


# Walking through the text


def _questions(text: str) -> Iterator[int]:
    """Yield where each question's object starts, in the order of `load_squad`."""
    start = 1 if text.startswith("\ufeff") else 0
    document = _members(text, WHITESPACE.match(text, start).end())
    for article in _items(text, document["data"][0]):
        for paragraph in _items(text, _members(text, article)["paragraphs"][0]):
            yield from _items(text, _members(text, paragraph)["qas"][0])


def _members(text: str, start: int) -> dict[str, tuple[int, int]]:
    """Return where the values of the object that starts at `start` stand; of a repeated name, the last, as in json."""
    members = {}
    position = WHITESPACE.match(text, start + 1).end()
    while text[position] != "}":
        name, position = scanstring(text, position + 1)
        value_start = WHITESPACE.match(text, WHITESPACE.match(text, position).end() + 1).end()
        members[name] = value_start, JSONDecoder().raw_decode(text, value_start)[1]
        position = _next(text, members[name][1])
    return members


def _items(text: str, start: int) -> Iterator[int]:
    """Yield where each item of the list that starts at `start` starts."""
    position = WHITESPACE.match(text, start + 1).end()
    while text[position] != "]":
        yield position
        position = _next(text, JSONDecoder().raw_decode(text, position)[1])


def _next(text: str, value_end: int) -> int:
    """Return where the next member or item starts, or the bracket that closes them."""
    position = WHITESPACE.match(text, value_end).end()
    return WHITESPACE.match(text, position + 1).end() if text[position] == "," else position
