"""The words of a context, its candidate spans, and the features of spans that need the text alone.

Several questions are asked about a paragraph, and each is compared with every candidate of it. So these features are
computed once per paragraph.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from operator import itemgetter

import numpy as np

from span_label_errors.quality.affixes import NO_AFFIXES, Affixes
from span_label_errors.spans.scripts import CURRENCY
from span_label_errors.spans.text import Span, cuts_word, mark_places, sentence_numbers, stem, word_spans

# A word's closeness falls to 1 / e over this many words.
_REACH = 8.0


class WordRarity:
    """How rare words are: the inverse document frequency of their stems over the different contexts."""

    def __init__(self, contexts: Iterable[str]):
        distinct = set(contexts)
        self._num_contexts = len(distinct)
        self._holding = Counter(word for context in distinct for word in set(stems(context)))

    def of(self, word: str) -> float:
        """Return the smoothed inverse document frequency of a stem; never negative."""
        return max(0.0, math.log((self._num_contexts + 1) / (self._holding[word] + 0.5)))


def stems(text: str) -> list[str]:
    """Return the stems of a text's words, in order."""
    return [stem(text[slice(*word)]) for word in word_spans(text)]


def ranges_touched(
    piece_start: np.ndarray, piece_end: np.ndarray, char_start: np.ndarray, char_end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the half-open ranges of the P pieces of a text (words, tokens) that share a character with each span.

    Pieces have offsets of shape (P,), S spans those of shape (S,), and so have the first and last pieces that are
    returned. A span that touches no piece gets the next one behind it, or the last.
    """
    first = np.searchsorted(piece_end, char_start, side="right").clip(max=len(piece_end) - 1)
    return first, np.maximum(np.searchsorted(piece_start, char_end, side="left"), first + 1)


def num_words_touched(context: str, span: Span) -> int:
    """Return how many words of a context share a character with a span."""
    words = word_spans(context)
    return bisect_left(words, span[1], key=itemgetter(0)) - bisect_right(words, span[0], key=itemgetter(1))


class ContextText:
    """The words of a context.

    Attributes
    ----------
    word_start, word_end : ndarray of shape (W,)
        Characters of the words.
    starts, ends : list of list of int, length W
        Characters at which spans may begin and end in each word: its own, and those beside its affixes.
    stems : list of str, length W
    positions_of : dict
        Positions of the words of each stem, by stem, in the order of the context.
    rarities : ndarray of shape (W,)
    sentence : ndarray of shape (W,)
        Number of each word's sentence.
    is_name : ndarray of shape (W,)
        Whether a word is capitalised or a number.
    follows : ndarray of shape (W + 1,)
        Whether nothing but white space stands between the words i - 1 and i.
    marks : ndarray
        Characters of the punctuation marks between words.
    """

    def __init__(self, context: str, rarity: WordRarity, affixes: Affixes = NO_AFFIXES):
        self.context, self.rarity, self._affixes = context, rarity, affixes
        # A context without a letter counts as one word.
        words = word_spans(context) or [(0, len(context))]
        self.word_start, self.word_end = np.array(words).T
        self.stems = stems(context) or [stem(context)]
        self.starts = [[start + at for at in affixes.starts(context[start:end])] for start, end in words]
        self.ends = [[start + at for at in affixes.ends(context[start:end])] for start, end in words]
        self.positions_of: dict[str, list[int]] = {}
        for position, word in enumerate(self.stems):
            self.positions_of.setdefault(word, []).append(position)
        self.rarities = np.array([rarity.of(word) for word in self.stems])
        self.sentence = sentence_numbers(context, self.word_start)
        first_letters = [context[start:].lstrip(CURRENCY)[:1] for start, _ in words]
        self.is_name = np.array([letter.isupper() or letter.isdigit() for letter in first_letters])
        gaps = [context[end:start] for (_, end), (start, _) in itertools.pairwise(words)]
        self.follows = np.array([False, *(not gap.strip() for gap in gaps), False])
        self.marks = mark_places(context)

    def spans_within_sentences(self, max_words: int) -> "TextSpans":
        """Return every span of up to `max_words` words within a sentence, with and without their affixes."""
        position = np.arange(len(self.stems))
        # The words of each sentence are a range, so are the last words that are possible for a first one.
        behind = np.minimum(np.searchsorted(self.sentence, self.sentence, side="right"), position + max_words)
        count = behind - position
        first = np.repeat(position, count)
        last = first + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        num_starts, num_ends = (np.array([len(places) for places in of_words]) for of_words in (self.starts, self.ends))
        # Every place to begin of the first word with every place to end of the last one.
        of_pair = num_starts[first] * num_ends[last]
        first, last = np.repeat(first, of_pair), np.repeat(last, of_pair)
        number = np.arange(len(first)) - np.repeat(np.cumsum(of_pair) - of_pair, of_pair)
        start_row, end_row = np.divmod(number, num_ends[last])
        char_start = np.concatenate(self.starts)[(np.cumsum(num_starts) - num_starts)[first] + start_row]
        char_end = np.concatenate(self.ends)[(np.cumsum(num_ends) - num_ends)[last] + end_row]
        is_span = char_start < char_end
        return TextSpans(self, char_start[is_span], char_end[is_span])

    def words_touched(self, char_start: np.ndarray, char_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the half-open ranges of the words that share a character with each span, as `ranges_touched`."""
        return ranges_touched(self.word_start, self.word_end, char_start, char_end)

    def cuts_words(self, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
        """Return whether spans begin or end inside a word where answers of the data do not, of the shape of both."""
        cut = np.zeros(len(char_start), dtype=bool)
        if self._affixes.cut_words:
            return cut
        for borders, places in ((char_start, self.starts), (char_end, self.ends)):
            different, which = np.unique(borders, return_inverse=True)
            known = {place for of_word in places for place in of_word}
            inside = [at not in known and cuts_word(self.context, (at, at)) for at in different.tolist()]
            cut |= np.array(inside, dtype=bool)[which]
        return cut

    def nearness(self, weights: dict[str, float]) -> np.ndarray:
        """Return how near the words of a question, as weights by stem, stand to each word of the context, shape (W,).

        It is the weighted mean, over the stems, of the closeness of their nearest word in the context: 1 at the word
        itself, falling exponentially with the distance in words; 0 for a stem that the context lacks.
        """
        total, nearness, position = sum(weights.values()) or 1.0, np.zeros(len(self.stems)), np.arange(len(self.stems))
        for word, positions in self.positions_of.items():
            if word in weights:
                where = np.array([-np.inf, *positions, np.inf])
                behind = np.searchsorted(where, position)
                distance = np.minimum(position - where[behind - 1], where[behind] - position)
                nearness += weights[word] / total * np.exp(-distance / _REACH)
        return nearness


class TextSpans:
    """S spans of a context.

    Attributes
    ----------
    char_start, char_end : ndarray of shape (S,), int64
    word_start, word_end : ndarray of shape (S,)
        Half-open ranges of the words that share a character with each span.
    num_words : ndarray of shape (S,)
    """

    def __init__(self, text: ContextText, char_start: np.ndarray, char_end: np.ndarray):
        self.text, self.char_start, self.char_end = text, char_start, char_end
        self.word_start, self.word_end = text.words_touched(char_start, char_end)
        self.num_words = self.word_end - self.word_start

    def where(self, is_kept: np.ndarray) -> "TextSpans":
        """Return those that a mask of shape (S,) keeps."""
        return TextSpans(self.text, self.char_start[is_kept], self.char_end[is_kept])

    def highest_of_words(self, values: np.ndarray) -> np.ndarray:
        """Return the highest of each span's words, from values of shape (W,)."""
        return np.maximum.reduceat(np.append(values, 0.0), self._word_ranges)[::2]

    def sum_of_words(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each span's words, from values of shape (W,)."""
        return np.add.reduceat(np.append(values, 0.0), self._word_ranges)[::2]

    @cached_property
    def _word_ranges(self) -> np.ndarray:
        return np.column_stack([self.word_start, self.word_end]).ravel()

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """The features that need the text alone, by name, each of shape (S,)."""
        text, word_start, word_end, last = self.text, self.word_start, self.word_end, self.word_end - 1
        rarity = np.concatenate([[0.0], text.rarities, [0.0]])
        is_name = np.concatenate([[False], text.is_name, [False]])
        first_mark = np.append(text.marks, len(text.context))[np.searchsorted(text.marks, self.char_start)]
        return {
            "rarity_of_first_word": text.rarities[word_start],
            "rarity_of_last_word": text.rarities[last],
            "mean_rarity": self.sum_of_words(text.rarities) / self.num_words,
            "rarity_before": rarity[word_start],
            "rarity_after": rarity[word_end + 1],
            "cuts_name_before": text.follows[word_start] & is_name[word_start] & text.is_name[word_start],
            "cuts_name_after": text.follows[word_end] & is_name[word_end + 1] & text.is_name[last],
            "mark_before": ~text.follows[word_start],
            "mark_after": ~text.follows[word_end],
            # The white space behind the mark is within the span as well.
            "mark_inside": first_mark + 1 < self.char_end,
            "share_of_names": self.sum_of_words(text.is_name) / self.num_words,
            "cuts_word": text.cuts_words(self.char_start, self.char_end),
        }

    def highest_word_f1(self, others: "TextSpans") -> np.ndarray:
        """Return the word-level F1 of each span with the one of some others that it fits best, shape (S,)."""
        highest = np.zeros(len(self.num_words))
        # One by one: a long context has hundreds of thousands of spans, and dozens of questions.
        for first, last in zip(others.word_start.tolist(), others.word_end.tolist(), strict=True):
            rows = np.flatnonzero((self.word_start < last) & (self.word_end > first))
            shared = np.minimum(self.word_end[rows], last) - np.maximum(self.word_start[rows], first)
            highest[rows] = np.maximum(highest[rows], 2 * shared / (self.num_words[rows] + last - first))
        return highest
