"""Replace answers within the text of a SQuAD file: every byte that need not change stays as it is.

Reading a file as JSON and writing it again would keep what it says, but not its layout and its escapes; nobody could
see in a comparison of the two files what was corrected.
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
        Of a file that `load_squad` accepts; it is not checked again.
    new_answers : mapping of int to sequence of (int or dict)
        By the position of the question in the file, in the order of `load_squad`: for each answer that is to stand
        there, its position among the old ones, or a new one as `{"text", "answer_start"}`, with a `"label"` where
        the data has span classes.

    Returns
    -------
    str
        The text. `is_impossible` is changed too where it is there and no longer true. Where no answer of a question
        names a class, the label `""` of a new one is left out; where a new one names the first, the others get `""`.
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
    # Columns in place of a list of answers: `load_squad` reads them too, and passes over what is no such column.
    if isinstance(old, dict):
        count = len(old["text"])
        columns = {name: values for name, values in old.items() if isinstance(values, list) and len(values) == count}
        old_entries = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    else:
        columns, old_entries = {}, old
    # Where no answer of a question names its class, a new one must not either: it could only name it "".
    has_labels = any("label" in entry for entry in old_entries)
    entries = [
        old_entries[answer]
        if isinstance(answer, int)
        else {name: value for name, value in answer.items() if name != "label" or has_labels or value}
        for answer in answers
    ]
    if any("label" in entry for entry in entries):
        # Where one answer of a question names its class, all do.
        entries = [entry if "label" in entry else {**entry, "label": ""} for entry in entries]
        columns = columns and {**columns, "label": None}
    new = {**old, **{name: [entry.get(name) for entry in entries] for name in columns}} if columns else entries

    ascii_only = text.isascii()
    separator = ": " if re.match(r'\{\s*"[^"\\]*"\s*: ', text[question_start:end]) else ":"
    before, newline, line = text[question_start:start].rpartition("\n")
    if not newline:
        return json.dumps(new, ensure_ascii=ascii_only, separators=(f",{separator[1:]}", separator))
    # One member a line: the new value is laid out as its neighbours are.
    newline = "\r\n" if before.endswith("\r") else "\n"
    indent = re.match(r"[ \t]*", line)[0]
    before_question = text[max(0, question_start - len(indent)) : question_start]
    outer = before_question[len(before_question.rstrip(" \t")) :]
    step = indent.removeprefix(outer) if indent.startswith(outer) and indent != outer else "  "
    return json.dumps(new, ensure_ascii=ascii_only, indent=step, separators=(",", separator)).replace(
        "\n", newline + indent
    )


# Walking through the text


def _questions(text: str) -> Iterator[int]:
    """Yield where each question's object starts, in the order of `load_squad`."""
    start = 1 if text.startswith("\ufeff") else 0
    document = _members(text, WHITESPACE.match(text, start).end())
    for article in _items(text, document["data"][0]):
        for paragraph in _items(text, _members(text, article)["paragraphs"][0]):
            yield from _items(text, _members(text, paragraph)["qas"][0])


def _members(text: str, start: int) -> dict[str, tuple[int, int]]:
    """Return where the values of the object that starts at `start` stand; of a repeated name, the last, as json does.

    The text has been read as JSON before, so that it need not be checked here.
    """
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
