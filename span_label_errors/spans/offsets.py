"""Which characters of a text each token stands for, from the offsets that its tokenizer gives.

Tokenizers of different kinds mean different things by an offset. Some count the space before a word in; the mark of a
word's beginning has an empty range in some and the range of the next character in others; what a normal form composes
or drops is in no token's range. After `surface_offsets`, all mean the same.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np

WORD_MARK = "▁"  # of SentencePiece, in front of a word
_LATER_JAMO = range(0x1160, 0x1200)  # the vowels and final consonants of Korean syllables
_REPLACEMENT = "\ufffd"


def surface_offsets(
    texts: Sequence[str],
    num_tokens: Sequence[int],
    char_start: np.ndarray,
    char_end: np.ndarray,
    is_word_mark: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets of tokens, so that each is a piece of its text without white space at its ends.

    Each visible character of a text that has a token is in the range of one. A token that stands for no text of its
    own, such as one for a space, gets an empty range behind the token before it.

    Parameters
    ----------
    texts : sequence of str
    num_tokens : sequence of int
        Of each text; T in all.
    char_start, char_end : ndarray of shape (T,), int64
        As a tokenizer gives them, each counted from the beginning of its own text.
    is_word_mark : ndarray of shape (T,), bool
        Which tokens are `WORD_MARK` alone.

    Returns
    -------
    tuple of two ndarrays of shape (T,), int64
        `char_start` and `char_end`, counted in the same way.
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    text_start = np.concatenate([[0], np.cumsum(lengths)])
    # A character behind the last text, so that there is one at each offset.
    codes = np.frombuffer(("".join(texts) + "\1").encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    # NumPy drops U+0000 at the end of a text, so no piece may end with it.
    is_space = _flags(codes, lambda character: character.isspace() or character == "\0")
    offset, text_end = np.repeat(text_start[:-1], num_tokens), np.repeat(text_start[1:], num_tokens)
    start, end = char_start + offset, char_end + offset

    # A word mark was put in, unless the text has one there.
    end = np.where(is_word_mark & (codes[start] != ord(WORD_MARK)), start, end)
    start, end = _without_spaces(start, end, is_space)
    has_text = start < end
    end[has_text] = _with_combining_marks(codes, end[has_text], text_end[has_text])
    _cover_the_rest(codes, is_space, start, end, text_start, np.concatenate([[0], np.cumsum(num_tokens)]))
    _place_the_empty(start, end, has_text, offset)
    return start - offset, end - offset


def _flags(codes: np.ndarray, is_wanted: Callable[[str], bool]) -> np.ndarray:
    """Return which characters, given by their code points, a function is true of; it is asked once of each."""
    table = np.zeros(int(codes.max()) + 1, dtype=bool)
    table[codes] = True
    table[table] = [is_wanted(chr(code)) for code in np.flatnonzero(table).tolist()]
    return table[codes]


def _without_spaces(start: np.ndarray, end: np.ndarray, is_space: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ranges without the white space at their ends; what is nothing else becomes empty."""
    if not is_space.any():
        return start, end
    behind_text = np.concatenate([[0], np.maximum.accumulate(np.where(is_space, 0, np.arange(1, len(is_space) + 1)))])
    start = np.minimum(_next(~is_space)[start], end)
    return start, np.maximum(behind_text[end], start)


def _next(is_wanted: np.ndarray) -> np.ndarray:
    """Return for each place the first one from there on that is wanted; the last place always is."""
    last = len(is_wanted) - 1
    return np.minimum.accumulate(np.where(is_wanted, np.arange(last + 1), last)[::-1])[::-1]


def _with_combining_marks(codes: np.ndarray, end: np.ndarray, text_end: np.ndarray) -> np.ndarray:
    """Return where the characters before `end` really end.

    A tokenizer that strips or composes accents leaves a combining mark at a token's end out of its offsets.
    """
    is_mark = _flags(codes, lambda character: unicodedata.category(character)[0] == "M")
    if not is_mark.any():
        return end
    return np.minimum(_next(~is_mark)[end], text_end)


def _cover_the_rest(
    codes: np.ndarray,
    is_space: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    text_start: np.ndarray,
    first_token: np.ndarray,
) -> None:
    """Extend `start` and `end`, in place, over visible characters that are in no token's range.

    Such a character goes to the token that begins behind it: of "``" read as one quotation mark, only the second is
    counted. If none does, it goes to the token that ends before it, and if none does that either, to the next one. The
    second and third letter of a Korean syllable belong to what is before them. At the end of a text there is only that.
    """
    num_open = np.cumsum(np.bincount(start, minlength=len(codes)) - np.bincount(end, minlength=len(codes)))
    rest = np.flatnonzero((num_open == 0) & ~is_space)
    rest = rest[_flags(codes[rest], _is_visible)]
    if not len(rest):
        return
    with_text = np.flatnonzero(start < end)
    starts, ends = start[with_text].tolist(), end[with_text].tolist()
    text_of = np.searchsorted(text_start, rest, side="right") - 1
    # Of each text, the first of the tokens that have text, and the one behind its last.
    first = np.searchsorted(with_text, first_token[text_of]).tolist()
    behind_last = np.searchsorted(with_text, first_token[text_of + 1]).tolist()
    for character, lowest, highest in zip(rest.tolist(), first, behind_last, strict=True):
        behind = bisect_right(starts, character, lowest, highest)
        before = behind - 1
        if before >= lowest and ends[before] > character:
            continue  # what an earlier one has added covers it
        touches = before >= lowest and ends[before] == character
        is_apart = behind < highest and starts[behind] > character + 1
        is_before = touches and (is_apart or codes[character] in _LATER_JAMO)
        if behind < highest and not is_before:
            starts[behind] = character
        elif before >= lowest:
            ends[before] = character + 1
    start[with_text], end[with_text] = starts, ends


def _is_visible(character: str) -> bool:
    """Return whether a tokenizer that drops a character leaves something out that a reader sees."""
    return unicodedata.category(character)[0] not in "ZCM" and character != _REPLACEMENT


def _place_the_empty(start: np.ndarray, end: np.ndarray, has_text: np.ndarray, text_start: np.ndarray) -> None:
    """Put empty ranges, in place, where all stay in order: behind the token before, or at the text's beginning.

    What is between two tokens of one character is a part of how that character is written (the spaces that NFKC puts
    into "ﷺ"), and stands for it, too.
    """
    if has_text.all():
        return
    behind = np.maximum.accumulate(np.where(has_text, end, text_start))
    next_start = np.minimum.accumulate(np.where(has_text, start, np.iinfo(np.int64).max)[::-1])[::-1]
    within = ~has_text & (next_start < behind)
    before = np.maximum.accumulate(np.where(has_text, np.arange(len(start)), 0))
    end[~has_text] = behind[~has_text]
    start[~has_text] = np.where(within, start[before], behind)[~has_text]
