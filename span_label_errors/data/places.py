"""Find where an answer stands in its context when its offset or its text is not quite right.

Only certain places count: an offset in another unit, a text that is there once and no part of a number, or a text that
differs from the context's in white space or in its Unicode form alone (Unicode Standard Annex 15).
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from span_label_errors.spans.text import Span, cuts_letter_or_number, cuts_word, occurrences

# What other programs count in offsets: its encoding, bytes of a unit, and how to convert an offset.
_OTHER_UNITS = {
    "UTF-8 bytes": ("utf-8", 1, 'len(context.encode("utf-8")[:answer_start].decode("utf-8"))'),
    "UTF-16 units": ("utf-16-le", 2, 'len(context.encode("utf-16-le")[: 2 * answer_start].decode("utf-16-le"))'),
}
# What alone may differ, from the strictest comparison on, the Unicode form that is compared, and whether a run of white
# space counts as one space. White space at the answer's ends never counts.
_COMPARISONS = (
    ("only white space at its ends differs", None, False),
    ("only its Unicode form differs", "NFD", False),
    ("only white space differs", "NFD", True),
    ("only white space or compatibility characters differ", "NFKD", True),
)
_RAISED = ("<super>", "<sub>", "<fraction>")
_MAX_HITS = 1000
_PLAIN = re.compile(r"[!-~]+(?![^\x00-\x7f])")  # ASCII that no combining mark follows


class Place(NamedTuple):
    """Where an answer certainly stands."""

    char_start: int
    char_end: int
    reason: str  # how this is known


# Whoever repairs an answer has asked for the message about it before.
@functools.lru_cache(maxsize=16)
def certain_place(text: str, char_start: int | None, context: str) -> Place | None:
    """Return where an answer that is not at its offset certainly stands; None if it could be elsewhere, or is nowhere.

    Parameters
    ----------
    text : str
        The answer, not empty.
    char_start : int or None
        Its offset, if it has one.
    context : str
    """
    if not text.strip():
        return None
    here = None if char_start is None else _place_at(text, char_start, context)
    exact = list(itertools.islice(occurrences(text, context), 2))
    if not exact and here:
        return here
    if exact:
        if here:
            # It could be here, or where its text is, unless that is around this place.
            around = here.char_start - len(text) + len(text.lstrip())
            return here if around >= 0 and context.startswith(text, around) else None
        counted = set() if char_start is None else {place for place, _ in in_other_units(text, char_start, context)}
        if len(counted) == 1:
            return counted.pop()
        span = exact[0], exact[0] + len(text)
        is_certain = len(exact) == 1 and not _is_mark(context[span[1] : span[1] + 1]) and not _is_part(span, context)
        return Place(*span, "the text is nowhere else") if is_certain else None
    is_plain = text.isascii() and context.isascii()
    for what, form, collapsed in _COMPARISONS:
        if is_plain and form and not collapsed:
            continue  # ASCII has one Unicode form
        spans = list(itertools.islice(_spans(text, context, form, collapsed), 2))
        if spans:
            is_certain = len(spans) == 1 and not _is_part(spans[0], context) and not _has_raised(spans[0], context)
            return Place(*spans[0], f"{what}, and it is nowhere else") if is_certain else None
    return None


def in_other_units(text: str, char_start: int, context: str) -> Iterator[tuple[Place, str]]:
    """Yield where the offset of an answer points to if it counts something else, and how to convert it."""
    for unit, (encoding, size, conversion) in _OTHER_UNITS.items():
        encoded = b"" if context.isascii() else context.encode(encoding)
        if not 0 <= size * char_start <= len(encoded):
            continue
        # Inside a character, an offset does not count this unit: then the text has a replacement character.
        counted = encoded[: size * char_start].decode(encoding, "replace")
        if context.startswith(counted + text) and len(counted) != char_start:
            place = Place(len(counted), len(counted) + len(text), f"offset {char_start} counts {unit}")
            yield place, conversion


def nearest_start(text: str, char_start: int, context: str) -> int | None:
    """Return the offset nearest to `char_start` at which a text stands; None if it is nowhere."""
    # In texts that repeat themselves str.find takes linear time, str.rfind does not: so search backwards in reverse.
    behind = context.find(text, min(max(char_start, 0), len(context)))
    before = context[::-1].find(text[::-1], max(0, len(context) - len(text) - max(char_start, 0)))
    found_starts = [len(context) - len(text) - before] if before >= 0 else []
    found_starts += [behind] if behind >= 0 else []
    return min(found_starts, key=lambda found: abs(found - char_start), default=None)


def _place_at(text: str, char_start: int, context: str) -> Place | None:
    """Return the place at an offset whose text differs in nothing that counts; None if there is none, or two."""
    starts = {char_start, char_start + len(text) - len(text.lstrip())}
    for what, form, collapsed in _COMPARISONS:
        spans = {span for start in starts if (span := _span_at(text, start, context, form, collapsed))}
        if spans:
            return Place(*spans.pop(), what) if len(spans) == 1 else None
    return None


def _span_at(text: str, char_start: int, context: str, form: str | None, collapsed: bool) -> Span | None:
    """Return the span at an offset that equals a text in a comparison."""
    if not 0 <= char_start < len(context) or _is_mark(context[char_start]):
        return None
    wanted, _ = _loosened(text.strip(), form, collapsed)
    # White space, and marks that are characters of their own, may make the context's text longer.
    loose, char_of = _loosened(context[char_start : char_start + 4 * len(text) + 64], form, collapsed)
    length = char_of.get(len(wanted)) if loose.startswith(wanted) else None
    return None if length is None else (char_start, char_start + length)


def _spans(text: str, context: str, form: str | None, collapsed: bool) -> Iterator[Span]:
    """Yield the spans that equal a text in a comparison, without those that would cut a character."""
    wanted, _ = _loosened(text.strip(), form, collapsed)
    loose, char_of = _loosened(context, form, collapsed)
    for start in itertools.islice(occurrences(wanted, loose), _MAX_HITS):
        span = char_of.get(start), char_of.get(start + len(wanted))
        if None not in span:
            yield span


def _loosened(text: str, form: str | None, collapsed: bool) -> tuple[str, dict[int, int]]:
    """Return a text for a comparison, and the offset in `text` of each place in it that cuts no character.

    A character with its combining marks is normalised as one.
    """
    pieces, char_of, length, start = [], {}, 0, 0
    while start < len(text):
        end = start + 1
        if plain := _PLAIN.match(text, start):
            end, piece = plain.end(), plain[0]
            char_of.update(zip(range(length, length + end - start), range(start, end), strict=True))
        elif collapsed and text[start].isspace():
            while end < len(text) and text[end].isspace():
                end += 1
            piece = " "
        else:
            while form and end < len(text) and _is_mark(text[end]):
                end += 1
            piece = unicodedata.normalize(form, text[start:end]) if form else text[start:end]
        char_of[length] = start
        pieces.append(piece)
        length, start = length + len(piece), end
    char_of[length] = len(text)
    return "".join(pieces), char_of


def _is_part(span: Span, context: str) -> bool:
    """Return whether a span cuts a number, or begins and ends inside words: its text may stand there by chance."""
    return any(cuts_letter_or_number(context, border) for border in span) or all(
        cuts_word(context, (border, border)) for border in span
    )


def _has_raised(span: Span, context: str) -> bool:
    """Return whether a span has digits or letters that are raised or lowered, as in "km²", or a fraction."""
    return any(unicodedata.decomposition(letter).startswith(_RAISED) for letter in context[slice(*span)])


def _is_mark(character: str) -> bool:
    """Return whether a character combines with the one before it: a mark, as it is or taken apart, or a Korean vowel.

    The end of a text, an empty string, does not.
    """
    if character.isascii():
        return False
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.combining(first) > 0 or "\u1160" <= first <= "\u11ff"
