"""What reviewers decided, and what that makes of the answers of a data set."""

import itertools
import warnings
from collections.abc import Collection, Iterable

import pandas as pd

from span_label_errors.data.places import certain_place
from span_label_errors.results.read import span_classes_of
from span_label_errors.review.answers import Answer, Decision, same_answer
from span_label_errors.review.marks import answers_of_row
from span_label_errors.review.spreadsheet_values import (
    MAX_PLACES,
    PLACES_SHOWN,
    REWRITTEN,
    as_in_data,
    may_be_rewritten,
)
from span_label_errors.spans.text import Span, occurrences, overlaps


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
        If decisions do not fit an example of the table; they teach nothing. It says why the first one does not.
    """
    index_of = {example_id: index for index, example_id in enumerate(table["id"])}
    classes, known, unfit = span_classes_of(table), {}, []
    answers = "each" if "given_annotator" in table else "all"
    for decision in decisions:
        try:
            restored = as_in_data(decision, index_of, lambda index: example_of(table, index))
            if restored.id not in index_of:
                raise ValueError("no example has this id; take decisions about this data set")
            right = with_decision(example_of(table, index_of[restored.id]), restored, classes, answers)
        except ValueError as error:
            unfit.append(f"{decision.id!r}: {error}")
        else:
            known[index_of[restored.id]] = {
                name: sorted({answer.span for answer in right if answer.class_name == name}) for name in classes
            }
    if unfit:
        warnings.warn(
            f"{len(unfit)} decisions do not fit these {len(table)} examples, so they teach nothing, first: {unfit[0]}",
            stacklevel=2,
        )
    return known


def example_of(table: pd.DataFrame, index: int) -> dict:
    """Return the `id`, the `context` and the `answers` that label tokens of an example of `out_of_fold.parquet`."""
    row = table.iloc[index]
    return {"id": row["id"], "context": row["context"], "answers": answers_of_row(row)}


def with_decision(
    example: dict, decision: Decision, classes: Collection[str | None], answers: str = "all"
) -> list[Answer]:
    """Return the answers of an example as a reviewer has decided.

    Parameters
    ----------
    example : dict
        `context`, and `answers` as a list of Answer.
    decision : Decision
        About this example, with texts as they are in the data.
    classes : collection of (str or None)
        The span classes of the data; None if it has none.
    answers : {"first", "all", "each"}
        As for a run. With "first" and "each", several answers are what several annotators said about one: a correction
        takes the place of those, too, that overlap it, or that overlap or repeat what it replaces. With "each" it adds
        nothing where another annotator has given the correct answer already.

    Returns
    -------
    list of Answer
        The example's own list where the data already follow the decision.

    Raises
    ------
    ValueError
        If the decision does not fit the example, or it is not clear what it means.
    """
    given, context = example["answers"], example["context"]
    if _is_fulfilled(given, decision):
        return given
    missing = [answer for answer in decision.given if not any(same_answer(answer, other) for other in given)]
    if missing or (given and not decision.given):
        starts = {answer.char_start for answer in missing}
        at_start = [answer for answer in given if answer.char_start in starts]
        is_rewritten = any(may_be_rewritten(answer.text) for answer in at_start) or any(
            answer.text.startswith("#") and may_be_rewritten(answer.text) for answer in missing
        )
        reason = "the data has changed since" + f", or {REWRITTEN}" * is_rewritten + ", review the example again"
        raise ValueError(f"expected {shown(missing)}, as it was reviewed, found {shown(given)}; {reason}")
    if decision.correct == decision.given:
        return given
    if not decision.correct:
        return []
    reviewed = [answer for answer in given if any(same_answer(answer, other) for other in decision.given)]
    # Of several places, what is right may also stand where another annotator has given it.
    near = given if answers == "each" else reviewed
    correct = list(dict.fromkeys(_located(answer, near, context, classes) for answer in decision.correct))
    outdated = [answer for answer in reviewed if not any(same_answer(answer, c) for c in correct)]
    new = [answer for answer in correct if not any(same_answer(answer, old) for old in reviewed)]
    if answers == "each":
        new = [answer for answer in new if not any(same_answer(answer, other) for other in given)]
    if answers != "all":
        outdated += [answer for answer in given if answer not in correct and _contradicts(answer, outdated, new)]
    # New answers stand where the first outdated one stood, or at the end.
    at = min(map(given.index, outdated), default=len(given))
    return given[:at] + new + [answer for answer in given[at:] if answer not in outdated]


def _is_fulfilled(answers: list[Answer], decision: Decision) -> bool:
    """Return whether answers are already as a decision corrects them: its answers stand there, the outdated do not."""

    def has(wanted: Answer) -> bool:
        # A reviewer may have left the place open.
        return any(
            same_answer(a if wanted.char_start is not None else a._replace(char_start=None), wanted) for a in answers
        )

    if not decision.correct:
        return not answers
    outdated = [given for given in decision.given if given not in decision.correct]
    return all(map(has, decision.correct)) and not any(map(has, outdated))


def _contradicts(answer: Answer, outdated: list[Answer], new: list[Answer]) -> bool:
    """Return whether an annotator's answer is another form of what was wrong, or of what is right."""
    is_repeated = any(answer[::2] == other[::2] for other in outdated)  # the same text and class
    of_class = [other for other in (*outdated, *new) if other.class_name == answer.class_name]
    return is_repeated or any(overlaps(answer.span, other.span) for other in of_class)


def _located(answer: Answer, replaced: list[Answer], context: str, classes: Collection[str | None]) -> Answer:
    """Return a correct answer with its offset and, where the data has classes, its class."""
    text, char_start, class_name = answer
    starts = list(itertools.islice(occurrences(text, context), MAX_PLACES)) if text else []
    places = f"at {starts[:PLACES_SHOWN]}" + " and elsewhere" * (len(starts) > PLACES_SHOWN) if starts else "nowhere"
    if char_start is None and starts:
        # Of several places, the one that overlaps what it replaces.
        near = [start for start in starts if any(overlaps((start, start + len(text)), old.span) for old in replaced)]
        unique = starts if len(starts) == 1 else near
        if len(unique) != 1:
            raise ValueError(
                f"expected one place of the correct answer {text!r}, found it {places}; fill in correct_start"
            )
        char_start = unique[0]
    if char_start is None or char_start < 0 or not text or not context.startswith(text, char_start):
        place = "in the context" if char_start is None else f"at offset {char_start}"
        if text and not starts and (like := certain_place(text, char_start, context)):
            places += f" ({like.reason}, at {like.char_start})"
        is_rewritten = may_be_rewritten(text) and not starts
        advice = "copy it from the context" + f", unless {REWRITTEN}" * is_rewritten
        raise ValueError(f"expected the correct answer {text!r} {place}, found it {places}; {advice}")
    if None in classes:
        return Answer(text, char_start)
    if class_name is None:
        of_replaced = {old.class_name for old in replaced}
        known = of_replaced or set(classes)
        if len(known) != 1:
            raise ValueError(
                f"expected to know the class of the correct answer {text!r}, found {sorted(of_replaced)} to replace; "
                "mark it in Label Studio or doccano"
            )
        class_name = known.pop()
    return Answer(text, char_start, class_name)


def shown(answers: Iterable[Answer]) -> str:
    """Return answers for a message."""
    texts = [f"{a.text!r}" if a.char_start is None else f"{a.text!r} at {a.char_start}" for a in answers]
    return ", ".join(texts) or "no answer"
