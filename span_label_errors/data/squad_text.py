"""Replace answers within the text of a file of JSON or JSON Lines, and keep every other byte.

So a comparison of the two files shows what was corrected, which reading and writing JSON would hide: it changes layout
and escapes.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence

from span_label_errors.data.answer_forms import NewAnswer, Style, form_of, impossible, style_of, with_answers
from span_label_errors.data.json_places import JsonText, colon_at, document_of, laid_out, members_at, with_comma
from span_label_errors.data.layouts import walk


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
    question, members = _question(text, start), members_at(text, start)
    ordered = sorted(members.values())
    if {"answers", "is_impossible"} <= members.keys() and not answers and style.leaves_out:
        member = ordered.index(members["answers"])
        yield (*with_comma(ordered, member), "")
    elif "answers" in members:
        _, at, end = members["answers"]
        yield at, end, laid_out(text, start, at, with_answers(question, answers, style))
    elif answers:
        # Behind the question, with the space that its members have between them.
        end = members["question"].end
        gaps = [text[one.end : other.name_start] for one, other in itertools.pairwise(ordered)]
        name = (gaps[0] if gaps else ", ") + '"answers"' + colon_at(text, start)
        yield end, end, name + laid_out(text, start, members["question"].start, with_answers(question, answers, style))
    if (is_impossible := impossible(question, answers)) is not None:
        yield *members["is_impossible"][1:], json.dumps(is_impossible)


def _question(text: str, start: int) -> dict:
    """Return what the question that starts at `start` says about its answers."""
    members = members_at(text, start)
    names = [name for name in ("answers", "is_impossible") if name in members]
    return {name: json.loads(text[members[name].start : members[name].end]) for name in names}


def _questions(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each question's object starts and ends, in the order of `load_squad`."""
    return (question.nodes[-1] for question in walk(document_of(text), JsonText(text)))
