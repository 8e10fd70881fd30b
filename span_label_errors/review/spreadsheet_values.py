"""What spreadsheets make of texts that look like numbers, dates, times or truth values, and of white space.

A spreadsheet that imports `7,102` may save `7102`, and `5-Jan` where `1-5` stood. Whether it has, the data tell: an id
and an offset name an answer, and a context has few texts that can become one cell.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

from span_label_errors.review.answers import Answer, Decision, same_answer
from span_label_errors.spans.text import Span, occurrences, overlaps

REWRITTEN = "a spreadsheet has rewritten it (import the column as text)"

_CURRENCY = "$€£¥"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?P<before>[{_CURRENCY}]?)(?P<digits>[\d.,'’\s]*\d)"
    rf"(?P<exponent>[eE][+-]?\d{{1,3}})?\s?(?P<behind>[{_CURRENCY}%]?)"
)
_GROUPS = re.compile(r"\d{1,3}([.,'’\s])(?:\d{2,3}\1)*\d{3}")
_TIME = re.compile(r"(\d{1,3}):(\d{1,2})(?::(\d{2}))?\s?(?:([ap])\.?m\.?)?", re.IGNORECASE)
_MIDNIGHT = re.compile(r"[T\s]0?0:00(:00)?$")
_ERROR = re.compile(r"#+|#N/A|#[A-Z0/]+[!?]")  # what a cell shows that is too narrow, or no formula
_DATE = re.compile(r"(?:\d+|[^\W\d_]+)(?:[-/.,\s]+(?:\d+|[^\W\d_]+)){1,2}\.?")
_MONTHS = "january february march april may june july august september october november december".split()
# Digits that a spreadsheet keeps of a number: it shows 1.23E+16 with three, and plain ones with at least nine.
_SHORTEST_ROUNDED, _SHORTEST_PLAIN, _EXACT = 3, 9, 15
# Words that a number or a date has at most; "1 234 567" has three.
_MAX_WORDS = 4
_MARGIN = "\"'“”‘’«»()[]{},.;:!?"
_NUMBER_IN_CONTEXT = re.compile(rf"[+\-{_CURRENCY}]?\d(?:[\d.,'’/:-]*\d)?%?")  # also where no space is around it
_BEGINNING = re.compile(
    rf"[{re.escape(_MARGIN)}]*(?:[\d.+\-{_CURRENCY}]|{'|'.join(name[:3] for name in _MONTHS)}|true|false)",
    re.IGNORECASE,
)
# How many places of a text are looked for, and named in a message.
MAX_PLACES, PLACES_SHOWN = 1000, 10


def as_in_data(decision: Decision, index_of: Mapping[str, int], example_at: Callable[[int], dict]) -> Decision:
    """Return a decision with the id and the texts of the data where a spreadsheet has rewritten them.

    Of an id, the index beside it is the witness. What is not certain stays as it is, and fits no example.

    Parameters
    ----------
    decision : Decision
    index_of : mapping
        Example index by id.
    example_at : callable
        Returns an example by its index: its `id`, its `context`, and `answers` as a list of Answer.

    Raises
    ------
    ValueError
        If a correct answer may be one text of the context or another.
    """
    at = decision.example_index
    is_witness = at is not None and at < len(index_of) and is_rewritten(example_at(at)["id"], decision.id)
    index = at if is_witness else index_of.get(decision.id)
    if index is None:
        return decision
    example = example_at(index)
    given = tuple(_as_given(answer, example["answers"]) for answer in decision.given)
    if decision.correct == decision.given:
        return decision._replace(id=example["id"], given=given, correct=given, example_index=None)
    # What a tool has marked stands where it says; beside the index of a table, 5 may be what was 5.0.
    is_cell = at is not None
    near = [answer.span for answer in given] or ([decision.place] if decision.place else [])
    restored = {cell[:2]: answer for cell, answer in zip(decision.given, given, strict=True)}
    correct = (
        restored[answer[:2]]._replace(class_name=answer.class_name)
        if answer[:2] in restored
        else _as_in_context(answer, near, example["context"], is_cell)
        for answer in decision.correct
    )
    return decision._replace(id=example["id"], given=given, correct=tuple(correct), example_index=None)


def _as_given(given: Answer, answers: list[Answer]) -> Answer:
    """Return a given answer with the text, and the class if it has one, that it has in the data."""
    if any(same_answer(answer, given) for answer in answers):
        return given
    found = {
        (answer.text, given.class_name and answer.class_name)
        for answer in answers
        if answer.char_start == given.char_start
        and all(
            one == cell or is_rewritten(one, cell)
            for one, cell in zip(answer[::2], given[::2], strict=True)
            if one and cell
        )
    }
    text, class_name = found.pop() if len(found) == 1 else given[::2]
    return given._replace(text=text, class_name=class_name)


def _as_in_context(correct: Answer, reviewed: list[Span], context: str, is_cell: bool) -> Answer:
    """Return a correct answer with the text and, if need be, the place that it has in the context."""
    text, char_start, _ = correct
    is_there = char_start is not None and context.startswith(text, char_start)
    if is_there and not (is_cell and _cuts_number(text, char_start, context)):
        return correct
    rewritten = [span for span in _rewritten_spans(text, context) if char_start in (None, span[0])]
    if char_start is None and may_be_rewritten(text):
        literal = list(itertools.islice(occurrences(text, context), MAX_PLACES))
        whole = [at for at in literal if not _cuts_number(text, at, context)]
        if (rewritten and whole) or (literal and not rewritten and not whole):
            found = {**dict.fromkeys(whole or literal, text), **{start: context[start:end] for start, end in rewritten}}
            raise _unclear(text, found)
    if not rewritten:
        return correct
    if len(rewritten) > 1:
        # Of several places, the one that overlaps what it replaces.
        near = [span for span in rewritten if any(overlaps(span, other) for other in reviewed)]
        if len(near) != 1:
            raise _unclear(text, {start: context[start:end] for start, end in rewritten})
        rewritten = near
    return correct._replace(text=context[slice(*rewritten[0])], char_start=rewritten[0][0])


def _unclear(text: str, found: dict[int, str]) -> ValueError:
    places = ", ".join(f"{there!r} at {at}" for at, there in list(found.items())[:PLACES_SHOWN])
    return ValueError(
        f"expected one place of the correct answer {text!r}, as it is or before a spreadsheet rewrote it, found "
        f"{places}; fill in correct_start"
    )


def _cuts_number(text: str, char_start: int, context: str) -> bool:
    """Return whether a number that stands in a context is the part of a longer one, as 5 is in 5.0."""
    char_end = char_start + len(text)
    before, behind = context[max(0, char_start - 2) : char_start], context[char_end : char_end + 2]
    longer_before = text[:1].isdigit() and re.search(r"\d$|\d[.,]$", before)
    return bool(longer_before or (text[-1:].isdigit() and re.match(r"\d|[.,]\d", behind)))


def _rewritten_spans(cell: str, context: str) -> list[tuple[int, int]]:
    """Return the spans of a context, other than the cell's own text, that a spreadsheet may save as the cell."""
    if not may_be_rewritten(cell):
        # White space only.
        pattern = r"\s+".join(map(re.escape, cell.split()))
        return [match.span() for match in re.finditer(pattern, context)] if pattern and cell not in context else []
    words = [match.span() for match in re.finditer(r"\S+", context)]
    spans = {match.span() for match in _NUMBER_IN_CONTEXT.finditer(context)}
    for first, (start, _) in enumerate(words):
        if not _BEGINNING.match(context, start):
            continue
        for _, end in words[first : first + _MAX_WORDS]:
            text = context[start:end]
            left = start + len(text) - len(text.lstrip(_MARGIN))
            spans.add((left, max(left, end - len(text) + len(text.rstrip(_MARGIN)))))
    found = {span for span in spans if context[slice(*span)] != cell and _reads_as(context[slice(*span)], cell)}
    # "5 May" within "5 May 1905" is no place of its own.
    literal = itertools.islice(occurrences(cell, context), MAX_PLACES)
    around = found | {(start, start + len(cell)) for start in literal}
    return sorted(
        (start, end)
        for start, end in found
        if not any(first <= start and end <= last and (first, last) != (start, end) for first, last in around)
    )


def may_be_rewritten(text: str) -> bool:
    """Return whether a text looks like a number, a date, a time or a truth value, or like a spreadsheet's error."""
    if any(character.isdigit() for character in text) and not any(character.isalpha() for character in text):
        return True
    return bool(_numbers(text) or _dates(text) or _time(text) or _truth(text) or _ERROR.fullmatch(text))


def is_rewritten(text: str, cell: str) -> bool:
    """Return whether a spreadsheet may save a text as another cell."""
    return text != cell and (text.split() == cell.split() or _reads_as(text, cell))


def _reads_as(text: str, cell: str) -> bool:
    if _truth(text) or _truth(cell):
        return _truth(text) == _truth(cell)
    if not any(character.isdigit() for character in text):
        return False
    return (
        any(_is_number_of(number, other) for number in _numbers(text) for other in _numbers(cell))
        or any(_is_date_of(date, other) for date in _dates(text) for other in _dates(cell, as_saved=True))
        or (_time(text) is not None and _time(text) == _time(cell))
    )


def _truth(text: str) -> str:
    return text.casefold() if text.casefold() in ("true", "false") else ""


# Numbers: (currency, value, whether it has an exponent)


def _numbers(text: str) -> set[tuple[str, Decimal, bool]]:
    """Return what a text reads as where either the point or the comma is the decimal mark."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return set()
    exponent = int((match["exponent"] or "e0")[1:]) - 2 * (match["behind"] == "%")
    currency = match["before"] + match["behind"].replace("%", "")
    found = set()
    for mark in ".,":
        whole, _, fraction = match["digits"].partition(mark)
        is_whole = whole.isdigit() or (fraction and not whole) or _GROUPS.fullmatch(whole)
        if is_whole and (not fraction or fraction.isdigit()):
            digits = re.sub(r"\D", "", whole)
            value = Decimal(f"{match['sign']}{digits or 0}.{fraction or 0}E{exponent}")
            found.add((currency, value, bool(match["exponent"])))
    return found


def _is_number_of(number: tuple[str, Decimal, bool], saved: tuple[str, Decimal, bool]) -> bool:
    """Return whether a number is saved as another: the same value, or its first digits."""
    (currency, value, _), (saved_currency, saved_value, has_exponent) = number, saved
    if currency != saved_currency:
        return False
    if value == saved_value:
        return True
    num_digits = len(saved_value.normalize(Context(prec=1000)).as_tuple().digits)
    if num_digits < (_SHORTEST_ROUNDED if has_exponent else _SHORTEST_PLAIN):
        return False
    if num_digits >= _EXACT and float(value) == float(saved_value):
        return True
    return any(
        Context(prec=num_digits, rounding=rounding).plus(value) == saved_value
        for rounding in (ROUND_HALF_UP, ROUND_DOWN)
    )


# Dates: (year, month, day), of which the year or the day may be None


def _dates(text: str, *, as_saved: bool = False) -> set[tuple[int | None, int, int | None]]:
    """Return the dates that a text may stand for; a spreadsheet saves one with all of its parts, or with a name."""
    text = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", _MIDNIGHT.sub("", text.strip()), flags=re.IGNORECASE)
    if not _DATE.fullmatch(text):
        return set()
    parts = re.findall(r"\d+|[^\W\d_]+", text)
    if any(len(part) > 4 for part in parts if part.isdigit()):
        return set()
    names, numbers = ([p for p in parts if p.isdigit() == is_number] for is_number in (False, True))
    numbers = list(map(int, numbers))
    found: set[tuple[int | None, int, int | None]] = set()
    if names:
        months = [
            number for number, name in enumerate(_MONTHS, start=1)
            if len(names) == 1 and len(names[0]) >= 3 and name.startswith(names[0].lower())
        ]  # fmt: skip
        for month in months:
            if len(numbers) == 1:
                found |= {(None, month, numbers[0]), (numbers[0], month, None)}
            else:
                found |= {(numbers[1], month, numbers[0]), (numbers[0], month, numbers[1])}
    elif len(numbers) == 3:
        one, two, three = numbers
        found = {(three, two, one), (three, one, two), (one, two, three)}
    elif not as_saved:
        one, two = numbers
        found = {(None, two, one), (None, one, two), (two, one, None), (one, two, None)}
    return {(y, m, d) for y, m, d in found if 1 <= m <= 12 and (d is None or 1 <= d <= 31)}


def _is_date_of(date: tuple[int | None, int, int | None], saved: tuple[int | None, int, int | None]) -> bool:
    """Return whether a date is saved as another: a spreadsheet adds a missing year, and the first day of a month."""
    (year, month, day), (saved_year, saved_month, saved_day) = date, saved
    if month != saved_month or (day != saved_day and not (day is None and saved_day == 1)):
        return False
    if year is None or year == saved_year:
        return True
    return saved_year is not None and min(year, saved_year) < 100 and year % 100 == saved_year % 100


def _time(text: str) -> tuple[int, int, int] | None:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in match.groups()[:3])
    if match[4]:
        hour = hour % 12 + 12 * (match[4].lower() == "p")
    return hour, minute, second
