"""Texts and spans: normal forms, words and sentences, without a list of any language's words."""

import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter

import numpy as np

from span_label_errors.spans.scripts import (
    BEHIND,
    FULL_STOPS,
    JOINERS,
    JOINT,
    KATAKANA,
    MARK_BETWEEN,
    SENTENCE_END,
    UNSPACED,
    WORD,
)

Span = tuple[int, int]  # (char_start, char_end), half-open

_WORD, _SENTENCE_END, _MARK_BETWEEN = map(re.compile, (WORD, SENTENCE_END, MARK_BETWEEN))
_JOINT, _OWN_FULL_STOP = re.compile(JOINT), re.compile(f"[{FULL_STOPS}]")
_UNSPACED_LETTER, _WITHIN_KATAKANA = re.compile(f"[{UNSPACED}]"), re.compile(f"[{KATAKANA}](?![{BEHIND}])[{KATAKANA}]")
# Two forms of a word mostly share their beginning: a rough stem for any language with an alphabet. A Hangul syllable
# has two or three letters.
_STEM_LENGTH, _STEM_SYLLABLES = 6, 2


def normalized_text(text: str) -> str:
    """Return the form that all spellings of a text share.

    Spellings differ in case, white space and the choice between equivalent Unicode characters.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def paragraph_numbers(contexts: Iterable[str]) -> list[int]:
    """Number paragraphs in the order in which they first appear: of each context, which one it is a spelling of."""
    number_of: dict[str, int] = {}
    paragraphs: dict[str, int] = {}
    numbers = []
    for context in contexts:
        # Many questions have the same context, which takes time and memory to normalise.
        if context not in number_of:
            number_of[context] = paragraphs.setdefault(normalized_text(context), len(paragraphs))
        numbers.append(number_of[context])
    return numbers


def occurrences(text: str, context: str) -> Iterator[int]:
    """Yield each offset where a text starts in a context, overlapping places included.

    Each step takes time in proportion to the context: take no more than are needed.
    """
    found = context.find(text)
    while found >= 0:
        yield found
        found = context.find(text, found + 1)


def overlaps(span: Span, other: Span) -> bool:
    """Return whether two half-open ranges share a character; element by element where a border is an array."""
    return (span[0] < other[1]) & (other[0] < span[1])


def answers_of(example: dict) -> list[Span]:
    """Return the character ranges of an example's given answers."""
    answers = example["answers"]
    return [(start, start + len(text)) for text, start in zip(answers["text"], answers["answer_start"], strict=True)]


# The same few contexts and questions come again and again; a context of a hundred pages takes a megabyte.
@functools.lru_cache(maxsize=16)
def word_spans(text: str) -> tuple[Span, ...]:
    """Return the character ranges of the words of a text."""
    return tuple(match.span() for match in _WORD.finditer(text))


def begins_word(text: str, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
    """Return which of a text's C tokens are the first of their word, of shape (C,), bool."""
    begins = np.ones(len(char_start), dtype=bool)
    begins[1:] = char_start[1:] >= char_end[:-1]  # several tokens may stand for one character
    touching = 1 + np.flatnonzero(char_start[1:] == char_end[:-1])
    begins[touching] = [not cuts_word(text, (start, start)) for start in char_start[touching].tolist()]
    return begins


def in_capitalised_words(text: str, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
    """Return which of a text's C tokens are in a word that begins with a capital letter, of shape (C,), bool."""
    first = np.flatnonzero(begins_word(text, char_start, char_end))
    initials = [text[start : start + 1] for start in char_start[first].tolist()]
    is_capital = np.array([initial.lower() != initial for initial in initials], dtype=bool)
    return np.repeat(is_capital, np.diff(first, append=len(char_start)))


def mark_places(text: str) -> np.ndarray:
    """Return the characters that are punctuation marks between words: before white space, or of scripts without it."""
    return np.array([match.start() for match in _MARK_BETWEEN.finditer(text)], dtype=np.int64)


@functools.lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """Return the beginning of a word, in lower case, without Hebrew and Arabic points and tatweel, seldom written."""
    normal = normalized_text(word)
    if not normal.isascii():
        normal = "".join(letter for letter in normal if not 10 <= unicodedata.combining(letter) < 36 and letter != "ـ")
    return normal[: _STEM_SYLLABLES if "가" <= normal[:1] <= "힣" else _STEM_LENGTH]


def sentence_numbers(text: str, char_start: np.ndarray) -> np.ndarray:
    """Return the number of the sentence that each character offset is in, from 0, of the shape of `char_start`.

    Sentences that hold none of the offsets are not counted.
    """
    ends = _SENTENCE_END.finditer(text)
    if _OWN_FULL_STOP.search(text):
        ends = (end for end in ends if not end[0].startswith("."))
    # A small letter after the full stop: an abbreviation, no new sentence.
    ends = [end.end() for end in ends if end.end() < len(text) and not text[end.end()].islower()]
    return np.unique(np.searchsorted(ends, char_start, side="right"), return_inverse=True)[1]


def cuts_word(text: str, span: Span) -> bool:
    """Return whether a span begins or ends inside a word or a number.

    The parts of "mid-1990s" or "Bell's" are words; those of "1,000" are not.
    """
    return any(_is_inside_word(text, border) for border in span)


def cuts_letter_or_number(text: str, border: int) -> bool:
    """Return whether the place before the character `border` is inside a number, or a letter and what belongs to it."""
    if not 0 < border < len(text):
        return False
    if _is_mark(text[border]) or any(_JOINT.match(text, mark) for mark in (border - 1, border)):
        return True
    beside = _beside(text, border)
    if beside.isdigit() or not beside.isalnum() or not _UNSPACED_LETTER.search(beside):
        return beside.isdigit()
    # In scripts without spaces, it may be the border of a word. A word in katakana may be a compound.
    words = word_spans(text)
    word_start, _ = words[bisect_right(words, border, key=itemgetter(1))]
    return word_start < border and not _WITHIN_KATAKANA.match(beside)


def _is_inside_word(text: str, border: int) -> bool:
    """Return whether the place before the character `border` is inside a word or a number."""
    if not 0 < border < len(text) or cuts_letter_or_number(text, border):
        return 0 < border < len(text)
    beside = _beside(text, border)
    return beside.isalnum() and not _UNSPACED_LETTER.search(beside)


def _beside(text: str, border: int) -> str:
    """Return the letter before a character, without its marks, and the character."""
    letter = border - 1
    while letter > 0 and _is_mark(text[letter]):
        letter -= 1
    return text[letter] + text[border]


def _is_mark(character: str) -> bool:
    """Return whether a character goes with the letter before it."""
    return not character.isascii() and (unicodedata.category(character)[0] == "M" or character in JOINERS)


def utf16_length(text: str) -> int:
    """Return how many UTF-16 units a text has: what doccano and browsers count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def char_offset(text: str, utf16_offset: int) -> int | None:
    """Return an offset in UTF-16 units in characters; None if it is outside the text or inside a character."""
    units = text.encode("utf-16-le", "surrogatepass")
    if not 0 <= 2 * utf16_offset <= len(units):
        return None
    try:
        return len(units[: 2 * utf16_offset].decode("utf-16-le"))
    except UnicodeDecodeError:
        return None
