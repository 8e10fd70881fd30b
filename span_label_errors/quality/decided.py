"""What reviewers decided, and what that says about a data set's given answers."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from span_label_errors.quality.sites import NO_SPAN, GivenAnswer
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, overlaps

NO_ANSWER = "[no answer]"
CONFIRMED, CORRECTED = "confirmed", "corrected"


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


@dataclass(frozen=True)
class KnownExample:
    """An example that a reviewer has decided on."""

    decision: str  # CONFIRMED or CORRECTED
    given: tuple[tuple[Span, str], ...]  # (span, class) of its given answers
    correct: tuple[tuple[Span, str], ...]  # and of the right ones

    def right_answer(self, given: GivenAnswer) -> Span:
        """Return what is right in the place of a given answer, `NO_SPAN` if nothing is."""
        correct = [span for span, name in self.correct if name == given.class_name]
        if given.span in correct:
            return given.span
        others = [span for span, name in self.given if name == given.class_name and span != given.span]
        # What is right in the place of another given answer is not right here.
        left = [span for span in correct if not any(overlaps(span, other) for other in others)]
        return next((span for span in left if overlaps(span, given.span)), left[0] if left else NO_SPAN)


def known_examples(table: pd.DataFrame, decisions: Iterable[Decision]) -> dict[int, KnownExample]:
    """Return what decisions say about the examples of a table, by example index; later ones win.

    An example whose given answers are what a decision made of them is known to be right, and one whose given answers
    are those that a decision replaced is known to be wrong.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet`.
    decisions : iterable of Decision

    Warns
    -----
    UserWarning
        If decisions fit no example of the table; they teach nothing.
    """
    index_of = {example_id: index for index, example_id in enumerate(table["id"])}
    known, unfit = {}, []
    for decision in decisions:
        index = index_of.get(decision.id)
        found = None if index is None else _known(table, index, decision)
        if found is None:
            unfit.append(decision.id)
        else:
            known[index] = found
    if unfit:
        warnings.warn(
            f"{len(unfit)} decisions fit no example of these {len(table)}, so they teach nothing, first: {unfit[0]!r}; "
            "take decisions about this data set",
            stacklevel=2,
        )
    return known


def _known(table: pd.DataFrame, index: int, decision: Decision) -> KnownExample | None:
    columns = (table[name].iloc[index] for name in ("given_answer", "given_start", "given_label"))
    given = [((int(start), int(start) + len(text)), name) for text, start, name in zip(*columns, strict=True)]
    classes, context = {name for _, name in given} or set(span_classes_of(table)), table["context"].iloc[index]
    under_review = _spans(decision.given, classes, context)
    if under_review is None:
        return None
    correct = _spans(decision.correct, {name for _, name in under_review} or classes, context)
    if correct is None:
        return None
    if correct == set(given) or (correct and correct <= set(given) and not under_review - correct):
        return KnownExample(CONFIRMED, tuple(given), tuple(given))
    if under_review <= set(given):
        right = [answer for answer in given if answer not in under_review] if decision.correct else []
        return KnownExample(CORRECTED, tuple(given), (*right, *sorted(correct)))
    return None


def _spans(answers: Iterable[Answer], classes: set[str], context: str) -> set[tuple[Span, str]] | None:
    """Return answers as (span, class), or None if one has no place in the context, or none of several classes."""
    only_class = next(iter(classes)) if len(classes) == 1 else None
    found = set()
    for answer in answers:
        char_start = answer.char_start
        if char_start is None:
            char_start = context.find(answer.text)
            if char_start < 0 or context.find(answer.text, char_start + 1) >= 0:
                return None
        span = (char_start, char_start + len(answer.text))
        name = answer.class_name or only_class
        if context[slice(*span)] != answer.text or name is None:
            return None
        found.add((span, name))
    return found
