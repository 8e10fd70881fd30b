"""What reviewers decided: what is known of a data set, and what several decisions make of one example."""

import itertools
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import pandas as pd

from span_label_errors.quality.sites import Known
from span_label_errors.results.read import span_classes_of
from span_label_errors.review.answers import Answer, Decision, same_answer
from span_label_errors.review.applied import is_fulfilled, replaced, shown, with_decision
from span_label_errors.review.marks import answers_of_row
from span_label_errors.review.spreadsheet_values import as_in_data
from span_label_errors.spans.text import overlaps


def known_answers(table: pd.DataFrame, decisions: Iterable[Decision]) -> dict[int, Known]:
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
        By example index, the right spans of each class, and the places that were decided about.

    Warns
    -----
    UserWarning
        If decisions do not fit an example of the table; they teach nothing. It says why the first one does not.
    """
    index_of = {example_id: index for index, example_id in enumerate(table["id"])}
    classes, fitting, known, unfit = span_classes_of(table), defaultdict(list), {}, []
    answers = "each" if "given_annotator" in table else "all"
    for decision in decisions:
        try:
            restored = as_in_data(decision, index_of, lambda index: example_of(table, index))
            if restored.id not in index_of:
                raise ValueError("no example has this id; take decisions about this data set")
            with_decision(example_of(table, index_of[restored.id]), restored, classes, answers)
        except ValueError as error:
            unfit.append(f"{decision.id!r}: {error}")
        else:
            fitting[index_of[restored.id]].append(restored)
    for index, on_it in fitting.items():
        try:
            known[index] = _known(example_of(table, index), on_it, classes, answers)
        except ValueError as error:
            unfit.append(f"{on_it[-1].id!r}: {error}")
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


def _known(example: dict, decisions: list[Decision], classes: list[str], answers: str) -> Known:
    latest: list[Decision] = []
    for decision in decisions:
        latest = [*without_replaced(latest, decision), decision]
    if answers == "all" and not any(decision.place for decision in latest):
        latest = latest[-1:]
    right = with_decisions(example, latest, classes, answers)
    if new := {answer.class_name for answer in right} - set(classes):
        raise ValueError(f"expected the classes {classes}, found {sorted(new)}; a run on the corrected data knows them")
    spans = {name: sorted({answer.span for answer in right if answer.class_name == name}) for name in classes}
    if answers == "each":
        # About some annotators' answers; a correct one may have been given without its place.
        decided = {answer.span for decision in latest for answer in decision.given}
        correct = {answer[:2] for decision in latest for answer in decision.correct}
        decided |= {a.span for a in right if not correct.isdisjoint([a[:2], (a.text, None)])}
        return Known(spans, sorted(decided) if all(decision.correct for decision in latest) else None)
    if any(decision.place is None for decision in latest):
        return Known(spans)
    # A correction that reaches beyond the place that was reviewed has decided on what it marks.
    marked = {answer.span for decision in latest for answer in decision.correct if answer.char_start is not None}
    return Known(spans, sorted({decision.place for decision in latest} | marked))


# Several decisions about one example


def with_decisions(
    example: dict, decisions: Sequence[Decision], classes: Collection[str | None], answers: str = "all"
) -> list[Answer]:
    """Return the answers of an example as several decisions about it have them, else as `with_decision`.

    Raises
    ------
    ValueError
        If decisions contradict each other; and what `with_decision` raises.
    """
    # Two files, or two rows, that say the same are one decision.
    by_outcome: dict[tuple, Decision] = {}
    for decision in decisions:
        outcome = with_decision(example, decision, classes, answers)
        if outcome is not example["answers"] or decision.correct == decision.given:
            by_outcome.setdefault((tuple(outcome), decision.place), decision)
    for ((after_one, _), one), ((after_other, _), other) in itertools.combinations(by_outcome.items(), 2):
        new = [[answer for answer in after if answer not in example["answers"]] for after in (after_one, after_other)]
        # About two annotators' answers, in the place of which the same is right.
        is_one = answers == "each" and one.correct == other.correct
        if not (is_one or (_go_together(one, other, after_one) and _go_together(other, one, after_other))) or (
            one.place and other.place and any(_is_other_form(a, b) for a, b in itertools.product(*new))
        ):
            raise ValueError(
                f"expected decisions that go together, found {shown(one.correct)} and {shown(other.correct)}; "
                "keep one of them"
            )
    corrected = example["answers"]
    # What was decided about places stands in the whole example, too, where that was decided.
    is_whole = any(decision.place is None for decision in by_outcome.values())
    for (after, place), decision in by_outcome.items():
        if place is None:
            corrected = with_decision({**example, "answers": corrected}, decision, classes, answers)
        elif not is_whole:
            outdated = [answer for answer in example["answers"] if answer not in after]
            new = [answer for answer in after if answer not in [*example["answers"], *corrected]]
            corrected = replaced(corrected, outdated, new, answers)
    return corrected


def _go_together(one: Decision, other: Decision, after_one: Sequence[Answer]) -> bool:
    """Return whether one decision leaves what the other is about, or has decided on it as the other has."""
    if other.place is not None:
        if one.place is None:
            return is_fulfilled(after_one, other)
        if not one.given and not other.given:
            return not overlaps(one.place, other.place)
    elif one.place is not None:
        return True  # the other way round, it is asked above
    are_apart = not any(same_answer(answer, reviewed) for answer in one.given for reviewed in other.given)
    is_left = all(any(same_answer(answer, given) for answer in after_one) for given in other.given)
    return (bool(other.given) or other.place is not None) and are_apart and is_left


def _is_other_form(one: Answer, other: Answer) -> bool:
    return one != other and one.class_name == other.class_name and overlaps(one.span, other.span)


# A decision after another one


def without_replaced(older: Iterable[Decision], new: Decision) -> list[Decision]:
    """Return those of older decisions about an example whose place a new one about it does not take.

    It takes that of those about the same answers, or about those that the older one put there. A decision about a whole
    example stays for what the new one is not about.
    """
    kept = []
    for old in older:
        parts = _by_place(old) if new.place is not None and old.place is None else [old]
        left = [part for part in parts if not _replaces(new, part)]
        kept += [old] if left == parts else left
    return kept


def _by_place(decision: Decision) -> list[Decision]:
    """Return a decision about a whole example as one for each span that was given, and for each that was missing."""
    if any(answer.char_start is None for answer in decision.correct):
        return [decision]
    left = [answer for answer in decision.correct if answer not in decision.given]
    parts = []
    for given in decision.given:
        near = [answer for answer in left if overlaps(answer.span, given.span)]
        correct = (given,) if given in decision.correct else tuple(near[:1])
        left = [answer for answer in left if answer not in correct]
        parts.append(decision._replace(given=(given,), correct=correct, place=given.span))
    return parts + [decision._replace(given=(), correct=(answer,), place=answer.span) for answer in left]


def _replaces(new: Decision, old: Decision) -> bool:
    if new.place is None and old.place is not None:
        return True  # the whole example was decided on anew
    is_same_place = new.place is None or old.place is None or overlaps(new.place, old.place)
    if is_same_place and (not new.given or (new.place is not None and not old.given)):
        # Nothing stood there, or the older decision removed it.
        return not old.given or not old.correct
    is_of_given = any(same_answer(one, other) for one in new.given for other in old.given)
    put_there = [answer for answer in old.correct if answer.char_start is not None]
    # To confirm what the older one put there takes nothing back.
    return is_of_given or (
        new.correct != new.given and any(same_answer(one, other) for one in new.given for other in put_there)
    )
