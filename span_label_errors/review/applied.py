"""What a decision makes of the answers of its example."""

import itertools
from collections.abc import Collection, Iterable
from operator import attrgetter

from span_label_errors.data.places import certain_place
from span_label_errors.review.answers import Answer, Decision, same_answer
from span_label_errors.review.spreadsheet_values import MAX_PLACES, PLACES_SHOWN, REWRITTEN, may_be_rewritten
from span_label_errors.spans.text import occurrences, overlaps


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
    if is_fulfilled(given, decision):
        return given
    missing = [answer for answer in decision.given if not any(same_answer(answer, other) for other in given)]
    there = [answer for answer in given if decision.place is None or overlaps(answer.span, decision.place)]
    if missing or (there and not decision.given):
        starts = {answer.char_start for answer in missing}
        at_start = [answer for answer in given if answer.char_start in starts]
        is_rewritten = any(may_be_rewritten(answer.text) for answer in at_start) or any(
            answer.text.startswith("#") and may_be_rewritten(answer.text) for answer in missing
        )
        reason = "the data has changed since" + f", or {REWRITTEN}" * is_rewritten + ", review the example again"
        raise ValueError(f"expected {shown(missing)}, as it was reviewed, found {shown(there)}; {reason}")
    if decision.correct == decision.given:
        return given
    if not decision.correct and decision.place is None:
        return []
    reviewed = [answer for answer in given if any(same_answer(answer, other) for other in decision.given)]
    # Of several places, what is right may also stand where another annotator has given it.
    near = given if answers == "each" else reviewed
    correct = list(dict.fromkeys(_located(answer, decision, near, context, classes) for answer in decision.correct))
    outdated = [answer for answer in reviewed if not any(same_answer(answer, c) for c in correct)]
    kept = reviewed if decision.place is None and answers != "each" else given
    new = [answer for answer in correct if not any(same_answer(answer, old) for old in kept)]
    if answers != "all":
        outdated += [answer for answer in given if answer not in correct and _contradicts(answer, outdated, new)]
    return replaced(given, outdated, new, answers)


def replaced(given: list[Answer], outdated: list[Answer], new: list[Answer], answers: str) -> list[Answer]:
    """Return answers with new ones where the first outdated one stood, or at the end.

    Spans of their own stay in the order of the text.
    """
    at = min((given.index(answer) for answer in outdated if answer in given), default=len(given))
    after = given[:at] + new + [answer for answer in given[at:] if answer not in outdated]
    in_order = attrgetter("span")
    return sorted(after, key=in_order) if answers == "all" and given == sorted(given, key=in_order) else after


def is_fulfilled(answers: list[Answer], decision: Decision) -> bool:
    """Return whether answers are already as a decision corrects them: its answers stand there, the outdated do not."""

    def has(wanted: Answer) -> bool:
        # A reviewer may have left the place open.
        return any(
            same_answer(a if wanted.char_start is not None else a._replace(char_start=None), wanted) for a in answers
        )

    if not decision.correct:
        if decision.place is None:
            return not answers
        # What reaches into the place from beside it was not what stood, or was missing, there.
        return not any(map(has, decision.given)) and all(answer.span != decision.place for answer in answers)
    outdated = [given for given in decision.given if given not in decision.correct]
    return all(map(has, decision.correct)) and not any(map(has, outdated))


def _contradicts(answer: Answer, outdated: list[Answer], new: list[Answer]) -> bool:
    """Return whether an annotator's answer is another form of what was wrong, or of what is right."""
    is_repeated = any(answer[::2] == other[::2] for other in outdated)  # the same text and class
    of_class = [other for other in (*outdated, *new) if other.class_name == answer.class_name]
    return is_repeated or any(overlaps(answer.span, other.span) for other in of_class)


def _located(
    answer: Answer, decision: Decision, replaced: list[Answer], context: str, classes: Collection[str | None]
) -> Answer:
    """Return a correct answer with its offset and, where the data has classes, its class."""
    text, char_start, class_name = answer
    starts = list(itertools.islice(occurrences(text, context), MAX_PLACES)) if text else []
    places = f"at {starts[:PLACES_SHOWN]}" + " and elsewhere" * (len(starts) > PLACES_SHOWN) if starts else "nowhere"
    if char_start is None and starts:
        # Of several places, the one that overlaps what it replaces.
        reviewed = [old.span for old in replaced] or ([decision.place] if decision.place else [])
        near = [start for start in starts if any(overlaps((start, start + len(text)), span) for span in reviewed)]
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
                f"fill in correct_label with one of {sorted(classes)}, or mark it in Label Studio or doccano"
            )
        class_name = known.pop()
    return Answer(text, char_start, class_name)


def shown(answers: Iterable[Answer]) -> str:
    """Return answers for a message."""
    texts = [f"{a.text!r}" if a.char_start is None else f"{a.text!r} at {a.char_start}" for a in answers]
    return ", ".join(texts) or "no answer"
