"""What reviewers decided, and what that says about the answers of a data set."""

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, occurrences, overlaps


class Answer(NamedTuple):
    """A span of a context; what a reviewer left open is None."""

    text: str
    char_start: int | None = None
    class_name: str | None = None

    @property
    def span(self) -> tuple[int, int]:
        """`char_start` and `char_end`."""
        return self.char_start, self.char_start + len(self.text)


class Decision(NamedTuple):
    """What a reviewer decided about an example."""

    id: str
    given: tuple[Answer, ...]  # the answers under review, with their offsets; empty for a question without one
    correct: tuple[Answer, ...]  # what replaces them: `given` itself if confirmed, nothing for no answer


def known_answers(table: pd.DataFrame, decisions: Iterable[Decision]) -> dict[int, dict[str, list[Span]]]:
    """Return the right answers of the examples of a table that reviewers have decided on; later decisions win.

    A decision fits an example that still has the answers that were under review, or already the correct ones.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet`.
    decisions : iterable of Decision

    Returns
    -------
    dict
        By example index, the right spans of each class.

    Warns
    -----
    UserWarning
        If decisions fit no example of the table; they teach nothing.
    """
    index_of = {example_id: index for index, example_id in enumerate(table["id"])}
    classes, known, unfit = span_classes_of(table), {}, []
    for decision in decisions:
        index = index_of.get(decision.id)
        right = None if index is None else _right_answers(table.iloc[index], decision, classes)
        if right is None:
            unfit.append(decision.id)
        else:
            known[index] = {name: sorted(span for span, of_span in right if of_span == name) for name in classes}
    if unfit:
        warnings.warn(
            f"{len(unfit)} decisions fit no example of these {len(table)}, so they teach nothing, first: {unfit[0]!r}; "
            "take decisions about this data set",
            stacklevel=2,
        )
    return known


def _right_answers(example: pd.Series, decision: Decision, classes: list[str]) -> set[tuple[Span, str]] | None:
    columns = (example[name] for name in ("given_answer", "given_start", "given_label"))
    given = {(Answer(text, int(start)).span, name) for text, start, name in zip(*columns, strict=True)}
    # A spreadsheet names no class: it is that of what was under review, or the only one.
    names = {answer.class_name for answer in decision.given} - {None} or {name for _, name in given} or set(classes)
    only_name = names.pop() if len(names) == 1 else None
    reviewed = [answer.span for answer in decision.given if answer.char_start is not None]
    sides = [
        [_placed(answer, example["context"], only_name, reviewed) for answer in side]
        for side in (decision.given, decision.correct)
    ]
    if None in sides[0] + sides[1]:
        return None
    under_review, correct = map(set, sides)
    if under_review <= given and bool(under_review) == bool(given):
        return (given - under_review) | correct if correct else set()
    return given if correct <= given and bool(correct) == bool(given) else None


def _placed(answer: Answer, context: str, only_name: str | None, reviewed: list[Span]) -> tuple[Span, str] | None:
    """Return where an answer stands and its class, None if that is not clear."""
    if answer.char_start is None:
        places = list(occurrences(answer.text, context))
        if len(places) > 1:
            # As in the corrected data set: the one that overlaps what it replaces.
            length = len(answer.text)
            places = [at for at in places if any(overlaps((at, at + length), span) for span in reviewed)]
        if len(places) != 1:
            return None
        answer = answer._replace(char_start=places[0])
    name = answer.class_name or only_name
    # A place before the context would count from its end.
    is_there = answer.text and answer.char_start >= 0 and context[slice(*answer.span)] == answer.text
    return (answer.span, name) if name and is_there else None
