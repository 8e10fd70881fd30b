"""The words of a context, its candidate spans, and the features of spans that need the text alone.

Several questions are asked about a paragraph, and each is compared with every candidate of it. So these features are
computed once per paragraph.
"""

import itertools
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from span_label_errors.spans.text import Span, cuts_word, sentence_numbers, stem, word_spans

MAX_CANDIDATE_WORDS = 12
# A word's closeness falls to 1 / e over this many words.
_REACH = 8.0
# Of words that a context repeats without end, the nearest places are enough.
_MAX_PLACES = 100


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


class ContextText:
    """The words of a context.

    Attributes
    ----------
    word_start, word_end : ndarray of shape (W,)
        Characters of the words.
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
        Characters of the punctuation marks before white space.
    """

    def __init__(self, context: str, rarity: WordRarity):
        self.context, self.rarity = context, rarity
        # A context without a letter counts as one word.
        words = word_spans(context) or [(0, len(context))]
        self.word_start, self.word_end = np.array(words).T
        self.stems = stems(context) or [stem(context)]
        self._sequences_of, self._sequences = -1, []  # of the word that was looked at last, by length
        self.positions_of: dict[str, list[int]] = {}
        for position, word in enumerate(self.stems):
            self.positions_of.setdefault(word, []).append(position)
        self.rarities = np.array([rarity.of(word) for word in self.stems])
        self.sentence = sentence_numbers(context, self.word_start)
        first_letters = [context[start:].lstrip("$€£¥")[:1] for start, _ in words]
        self.is_name = np.array([letter.isupper() or letter.isdigit() for letter in first_letters])
        gaps = [context[end:start] for (_, end), (start, _) in itertools.pairwise(words)]
        self.follows = np.array([False, *(not gap.strip() for gap in gaps), False])
        self.marks = np.array([match.start() for match in re.finditer(r"[,;:.!?]\s", context)], dtype=np.int64)

    @cached_property
    def candidates(self) -> "TextSpans":
        """Every span of whole words within a sentence, of up to `MAX_CANDIDATE_WORDS` words."""
        position = np.arange(len(self.stems))
        count = np.minimum(np.searchsorted(self.sentence, self.sentence, side="right") - position, MAX_CANDIDATE_WORDS)
        first = np.repeat(position, count)
        last = first + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        return TextSpans(self, self.word_start[first], self.word_end[last])

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

    def other_places(self, word_start: int, word_end: int) -> list[int]:
        """Return the positions where the same sequence of stems begins again, without touching this one."""
        length = word_end - word_start
        return [
            position
            for position in self._same_sequence(word_start, length)
            if position + length <= word_start or position >= word_end
        ]

    def _same_sequence(self, word_start: int, length: int) -> list[int]:
        """Return where the stems that begin at a word stand, itself included; the nearest of many."""
        if self._sequences_of != word_start:
            positions = self.positions_of[self.stems[word_start]]
            here = bisect_left(positions, word_start)
            self._sequences_of = word_start
            self._sequences = [positions[max(0, here - _MAX_PLACES) : here + _MAX_PLACES]]
        # A longer sequence stands only where the shorter one does; spans that begin at a word follow each other.
        while len(self._sequences) < length:
            offset = len(self._sequences)
            next_stem = self.stems[word_start + offset]
            self._sequences.append(
                [
                    position
                    for position in self._sequences[-1]
                    if position + offset < len(self.stems) and self.stems[position + offset] == next_stem
                ]
            )
        return self._sequences[length - 1]


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
        self.word_start, self.word_end = ranges_touched(text.word_start, text.word_end, char_start, char_end)
        self.num_words = self.word_end - self.word_start

    @cached_property
    def pairs(self) -> list[Span]:
        """The spans as (char_start, char_end)."""
        return list(zip(self.char_start.tolist(), self.char_end.tolist(), strict=True))

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
            "num_words": np.log(self.num_words),
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
            "cuts_word": np.array([cuts_word(text.context, span) for span in self.pairs], dtype=bool),
        }

    @cached_property
    def other_places(self) -> tuple[np.ndarray, np.ndarray, "TextSpans"]:
        """Where the words of spans stand again.

        Returns
        -------
        rows : ndarray of shape (R,), int64
            The spans that have another place.
        begins : ndarray of shape (R,), int64
            Where the places of each begin among all places.
        places : TextSpans
        """
        text = self.text
        positions = list(map(text.other_places, self.word_start.tolist(), self.word_end.tolist()))
        counts = np.array([len(of_span) for of_span in positions])
        rows = np.flatnonzero(counts)
        first = np.array([position for of_span in positions for position in of_span], dtype=np.int64)
        last = first + np.repeat(self.num_words, counts) - 1
        places = TextSpans(text, text.word_start[first], text.word_end[last])
        return rows, (np.cumsum(counts) - counts)[rows], places

    def overlap(self, span: Span) -> np.ndarray:
        """Return the word-level F1 of each span with another span, shape (S,)."""
        ends = np.array([span[0]]), np.array([span[1]])
        first, last = ranges_touched(self.text.word_start, self.text.word_end, *ends)
        shared = np.minimum(self.word_end, last) - np.maximum(self.word_start, first)
        return 2 * shared.clip(min=0) / (self.num_words + last - first)
