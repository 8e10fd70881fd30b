"""Sentences of tagged tokens as rows of the schema, and answers as spans of tokens again.

The context is the tokens, joined by one space.
"""

from collections.abc import Sequence

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.examples import InvalidRow
from span_label_errors.data.messages import describe, shorten
from span_label_errors.data.tags import OUTSIDE, Scheme, TagError, TaggedSpan, retagged, spans_of


def row_of_tokens(
    example_id: str, title: str, tokens: Sequence[str], tags: Sequence[str], scheme: Scheme, lines: Sequence[int] = ()
) -> dict:
    """Return a sentence as a row; an `InvalidRow` if a tag is none, or does not follow the one before it.

    Parameters
    ----------
    example_id, title : str
    tokens, tags : sequence of str
        One of each for a token.
    scheme : Scheme
    lines : sequence of int
        The line of each token in its file, for messages.
    """
    context, starts = _joined(tokens)
    row = {"id": example_id, "title": title, "context": context, "question": ""}
    try:
        spans = spans_of(tags, scheme)
    except TagError as error:
        at = min(error.position, len(tokens) - 1)
        where = f"in line {lines[at]}" if lines else f"at token {at}"
        if error.position > at:
            where = where.replace("in", "behind", 1).replace("at", "behind", 1)
        found = f"{shorten(error.found)} (token {shorten(repr(tokens[at]))})"
        return InvalidRow(row, (f"{where} the tag {shorten(error.expected, 200)}", found))
    answer_starts = [starts[span.token_start] for span in spans]
    answers = {
        "text": [
            context[start : starts[span.token_end - 1] + len(tokens[span.token_end - 1])]
            for start, span in zip(answer_starts, spans, strict=True)
        ],
        "answer_start": answer_starts,
    }
    if scheme.has_classes:
        answers["label"] = [span.class_name for span in spans]
    return {**row, "answers": answers}


def tags_of_answers(
    tokens: Sequence[str], tags: Sequence[str], answers: Sequence[NewAnswer], scheme: Scheme
) -> list[str]:
    """Return the tags of a sentence whose answers are others; only those of spans that change differ.

    Raises
    ------
    ValueError
        If an answer cannot be written as tags: it begins or ends inside a token, overlaps another, has no class where
        tags name classes, or has one where they do not, or is the neighbour of one of its class in the scheme IO.
    """
    old = spans_of(tags, scheme)
    spans = [old[answer] if isinstance(answer, int) else _span_of(tokens, answer, scheme) for answer in answers]
    return retagged(tags, spans, scheme)


def _joined(tokens: Sequence[str]) -> tuple[str, list[int]]:
    starts, length = [], 0
    for token in tokens:
        starts.append(length)
        length += len(token) + 1
    return " ".join(tokens), starts


def _span_of(tokens: Sequence[str], answer: dict | tuple[int, dict], scheme: Scheme) -> TaggedSpan:
    if isinstance(answer, tuple):
        answer = answer[1]
    _, starts = _joined(tokens)
    char_start = answer["answer_start"]
    char_end = char_start + len(answer["text"])
    ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
    if char_start not in starts or char_end not in ends:
        covered = [t for t, s, e in zip(tokens, starts, ends, strict=True) if s < char_end and e > char_start]
        raise ValueError(
            f"expected an answer that begins and ends where tokens do, found {shorten(answer['text'])!r} at "
            f"{char_start}; the tokens there are {shorten(' '.join(covered))!r}"
        )
    class_name = answer.get("label") or ""
    if scheme.has_classes and (not class_name.strip() or class_name == OUTSIDE):
        raise ValueError(f"expected the name of a class, which a tag needs, found {describe(class_name)}")
    if class_name and not scheme.has_classes:
        raise ValueError(f"expected no class, since the tags of the data name none, found {class_name!r}")
    return TaggedSpan(starts.index(char_start), ends.index(char_end) + 1, class_name)
