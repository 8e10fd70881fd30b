"""Texts and spans: normal forms, words and sentences, without a list of any language's words."""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np

Span = tuple[int, int]  # (char_start, char_end), half-open

# Thai, Lao, Myanmar, Khmer, kana, Han: nothing there shows where words end, so characters stand for themselves.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
# Accents and vowel signs that are characters of their own go with the letter before them.
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
_LETTER = rf"(?:[^\W{_UNSPACED}][{_MARKS}]*)"
# A word keeps the marks that join its parts ("l'Étoile", "1,000") and those that belong to it ("$40", "47%", "C#").
_WORD = re.compile(rf"[{_UNSPACED}]|[$€£¥]?{_LETTER}+(?:[.,'’\-–]{_LETTER}+)*(?:[%°#]|\+\+)?")
_UNSPACED_LETTER = re.compile(f"[{_UNSPACED}]")
_IN_NUMBER = re.compile(r"\d[.,]\d")
_ONE_LETTER = re.compile(rf"[^\W{_UNSPACED}]")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*\s+|[。！？]")
# Two forms of a word mostly share their beginning: a rough stem for any language with an alphabet.
_STEM_LENGTH = 6


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


# The same few contexts and questions come again and again.
@functools.lru_cache(maxsize=64)
def word_spans(text: str) -> tuple[Span, ...]:
    """Return the character ranges of the words of a text."""
    return tuple(match.span() for match in _WORD.finditer(text))


@functools.lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """Return the beginning of a word, in lower case."""
    return normalized_text(word)[:_STEM_LENGTH]


def sentence_numbers(text: str, char_start: np.ndarray) -> np.ndarray:
    """Return the number of the sentence that each character offset is in, from 0, of the shape of `char_start`.

    Sentences that hold none of the offsets are not counted.
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    # A small letter after the full stop: an abbreviation, no new sentence.
    ends = [end for end in ends if end < len(text) and not text[end].islower()]
    return np.unique(np.searchsorted(ends, char_start, side="right"), return_inverse=True)[1]


def cuts_word(text: str, span: Span) -> bool:
    """Return whether a span begins or ends inside a word or a number.

    The parts of "mid-1990s" or "Bell's" are words; those of "1,000" are not.
    """
    return any(_is_inside_word(text, border) for border in span)


def is_whole_words(text: str, span: Span) -> bool:
    """Return whether a span neither cuts a word nor stands directly beside a letter, digit or underscore."""
    char_start, char_end = span
    beside = text[max(0, char_start - 1) : char_start], text[char_end : char_end + 1]
    return not any(_ONE_LETTER.match(character) for character in beside) and not cuts_word(text, span)


def _is_inside_word(text: str, border: int) -> bool:
    """Return whether the place before the character `border` is inside a word or a number."""
    if not 0 < border < len(text):
        return False
    after = text[border]
    if not after.isascii() and unicodedata.category(after).startswith("M"):
        return True
    letter = border - 1
    while letter > 0 and unicodedata.category(text[letter]).startswith("M"):
        letter -= 1
    before = text[letter]
    if before.isalnum() and after.isalnum():
        return not _UNSPACED_LETTER.search(before + after)
    # The comma or point of a number.
    return any(text[mark] in ".," and _IN_NUMBER.match(text, mark - 1) for mark in (border - 1, border) if mark)
