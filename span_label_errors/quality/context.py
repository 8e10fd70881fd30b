"""The words of a context, its candidate spans, and the features of spans that need the text alone.

Several questions are asked about a paragraph, and each is compared with every candidate of it. So these features are
computed once per paragraph.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from operator import itemgetter

import numpy as np

from span_label_errors.quality.affixes import NO_AFFIXES, Affixes
from span_label_errors.spans.scripts import CURRENCY
from span_label_errors.spans.text import Span, cuts_word, mark_places, sentence_numbers, stem, word_spans

# The features of a span that need the text alone; `features.FEATURES` says what each is.
TEXT_FEATURES = (
    "rarity_of_first_word", "rarity_of_last_word", "mean_rarity", "rarity_before", "rarity_after", "cuts_name_before",
    "cuts_name_after", "mark_before", "mark_after", "mark_inside", "share_of_names", "cuts_word",
)  # fmt: skip
# A word's closeness falls to 1 / e over this many words.
_REACH = 8.0


class WordRarity:
    """How rare words are: the inverse document frequency of their stems over the different contexts."""

    def __init__(self, contexts: Iterable[str]):
        distinct, num_holding = set(contexts), Counter()
        for context in distinct:
            num_holding.update(set(stems(context)))

        def rarity(num_holding: int) -> float:
            return max(0.0, math.log((len(distinct) + 1) / (num_holding + 0.5)))

        self._of = {word: rarity(count) for word, count in num_holding.items()}
        self._of_others = rarity(0)

    def of(self, word: str) -> float:
        """Return the smoothed inverse document frequency of a stem; never negative."""
        return self._of.get(word, self._of_others)


def stems(text: str) -> list[str]:
    """Return the stems of a text's words, in order."""
    return [stem(text[slice(*word)]) for word in word_spans(text)]


def num_words_of(context: str, span: Span) -> int:
    """Return how many words of a context share a character with a span."""
    (start, end), words = span, word_spans(context)
    return bisect_left(words, end, key=itemgetter(0)) - bisect_right(words, start, key=itemgetter(1))


class Ranges:
    """S half-open ranges of the P pieces of a text: words, or tokens. None is empty."""

    def __init__(self, start: np.ndarray, end: np.ndarray):
        self.start, self.end = start, end

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.start, self.end))

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of each range, shape (S,), of values of shape (P,)."""
        sums = np.concatenate([[0.0], np.cumsum(values)])
        return sums[self.end] - sums[self.start]

    def highest(self, values: np.ndarray) -> np.ndarray:
        """Return the highest value of each range, shape (S,), of values of shape (P,).

        It is that of two ranges which overlap and are as long as a power of two. The highest values of all such ranges
        are a small table, where a range has a place for each of its pieces (Bender and Farach-Colton 2000, "The LCA
        problem revisited").
        """
        power, (first, second) = self._powers
        highest = np.empty((power + 1, len(values)))
        highest[0] = values
        for row in range(power):
            half = 2**row
            highest[row + 1] = highest[row]
            np.maximum(highest[row, :-half], highest[row, half:], out=highest[row + 1, :-half])
        return np.maximum(highest[first], highest[second])

    @cached_property
    def _powers(self) -> tuple[int, tuple[tuple[np.ndarray, np.ndarray], ...]]:
        """The highest power of two in use, and row and column of both ranges in a table with a row for each power."""
        power = np.frexp(self.end - self.start)[1] - 1
        return int(power.max(initial=0)), ((power, self.start), (power, self.end - 2**power))


def ranges_touched(
    piece_start: np.ndarray, piece_end: np.ndarray, char_start: np.ndarray, char_end: np.ndarray
) -> Ranges:
    """Return the pieces of a text (words, tokens) that share a character with each of S spans.

    P pieces have offsets of shape (P,), the spans those of shape (S,). A span that touches no piece gets the next one
    behind it, or the last.
    """
    start = np.searchsorted(piece_end, char_start, side="right").clip(max=len(piece_end) - 1)
    return Ranges(start, np.maximum(np.searchsorted(piece_start, char_end, side="left"), start + 1))


class ContextText:
    """The words of a context.

    Attributes
    ----------
    word_start, word_end : ndarray of shape (W,)
        Characters of the words.
    starts, ends : list of list of int, length W
        Characters at which spans may begin and end in each word: its own, and those beside its affixes.
    stems : list of str, length W
    rarities : ndarray of shape (W,)
    sentence : ndarray of shape (W,)
        Number of each word's sentence.
    first_of_sentence : ndarray
        Positions of the words that sentences begin with.
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
        self._words = [context[start:end] for start, end in words]
        self.stems = [stem(word) for word in self._words]
        number_of: dict[str, int] = {}
        self._stem_number = np.array([number_of.setdefault(word, len(number_of)) for word in self.stems])
        self._number_of_stem = number_of

    @cached_property
    def starts(self) -> list[list[int]]:
        own = self.word_start.tolist()
        return self._places(self._affixes.starts) if self._affixes.at_start else [[start] for start in own]

    @cached_property
    def ends(self) -> list[list[int]]:
        own = self.word_end.tolist()
        return self._places(self._affixes.ends) if self._affixes.at_end else [[end] for end in own]

    @cached_property
    def rarities(self) -> np.ndarray:
        return np.array([self.rarity.of(word) for word in self.stems])

    @cached_property
    def sentence(self) -> np.ndarray:
        return sentence_numbers(self.context, self.word_start)

    @cached_property
    def first_of_sentence(self) -> np.ndarray:
        return np.flatnonzero(np.diff(self.sentence, prepend=-1))

    @cached_property
    def is_name(self) -> np.ndarray:
        first_letters = [word.lstrip(CURRENCY)[:1] for word in self._words]
        return np.array([letter.isupper() or letter.isdigit() for letter in first_letters])

    @cached_property
    def follows(self) -> np.ndarray:
        gaps = zip(self.word_end[:-1].tolist(), self.word_start[1:].tolist(), strict=True)
        return np.array([False, *(not self.context[end:start].strip() for end, start in gaps), False])

    @cached_property
    def marks(self) -> np.ndarray:
        return mark_places(self.context)

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
        starts, ends = (np.array(list(itertools.chain(*of_words))) for of_words in (self.starts, self.ends))
        char_start = starts[(np.cumsum(num_starts) - num_starts)[first] + start_row]
        char_end = ends[(np.cumsum(num_ends) - num_ends)[last] + end_row]
        is_span = char_start < char_end
        return TextSpans(self, char_start[is_span], char_end[is_span])

    def words_touched(self, char_start: np.ndarray, char_end: np.ndarray) -> Ranges:
        """Return the words that share a character with each span, as `ranges_touched` does."""
        return ranges_touched(self.word_start, self.word_end, char_start, char_end)

    def cuts_words(self, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
        """Return whether spans begin or end inside a word where answers of the data do not, of the shape of both."""
        cut = np.zeros(len(char_start), dtype=bool)
        if self._affixes.cut_words:
            return cut
        for borders, places in ((char_start, self.starts), (char_end, self.ends)):
            is_place = np.zeros(len(self.context) + 1, dtype=bool)
            is_place[list(itertools.chain(*places))] = True
            others = np.unique(borders[~is_place[borders]])
            cut |= np.isin(borders, [at for at in others.tolist() if cuts_word(self.context, (at, at))])
        return cut

    def places_of(self, words: Iterable[str]) -> np.ndarray:
        """Return which words of the context have each of K stems, shape (K, W), bool."""
        numbers = np.array([self._number_of_stem.get(word, -1) for word in words], dtype=np.int64)
        return self._stem_number == numbers[:, None]

    def nearness(self, weights: dict[str, float]) -> np.ndarray:
        """Return how near the words of a question, as weights by stem, stand to each word of the context, shape (W,).

        It is the weighted mean, over the stems, of the closeness of their nearest word in the context: 1 at the word
        itself, falling exponentially with the distance in words; 0 for a stem that the context lacks.
        """
        total, found = sum(weights.values()) or 1.0, [word for word in weights if word in self._number_of_stem]
        places, position = self.places_of(found), np.arange(len(self.stems))
        before = np.maximum.accumulate(np.where(places, position, -np.inf), axis=1)
        behind = np.minimum.accumulate(np.where(places, position, np.inf)[:, ::-1], axis=1)[:, ::-1]
        closeness = np.exp(np.maximum(before - position, position - behind) / _REACH)
        return np.array([weights[word] / total for word in found]) @ closeness

    def _places(self, within: Callable[[str], list[int]]) -> list[list[int]]:
        """Return characters of the context in each word, from those of the word."""
        starts = self.word_start.tolist()
        return [[start + at for at in within(word)] for start, word in zip(starts, self._words, strict=True)]


class TextSpans:
    """S spans of a context.

    Attributes
    ----------
    char_start, char_end : ndarray of shape (S,), int64
    words : Ranges
        The words that share a character with each span.
    word_start, word_end : ndarray of shape (S,)
        Their borders.
    num_words : ndarray of shape (S,)
    """

    def __init__(self, text: ContextText, char_start: np.ndarray, char_end: np.ndarray):
        self.text, self.char_start, self.char_end = text, char_start, char_end
        self.words = text.words_touched(char_start, char_end)
        self.word_start, self.word_end = self.words.start, self.words.end
        self.num_words = self.word_end - self.word_start
        self._word_f1_of: dict[Span, tuple[np.ndarray, np.ndarray]] = {}
        self._token_offsets: tuple[np.ndarray, ...] = ()

    def where(self, is_kept: np.ndarray) -> "TextSpans":
        """Return those that a mask of shape (S,) keeps."""
        return TextSpans(self.text, self.char_start[is_kept], self.char_end[is_kept])

    def row_of(self, span: Span) -> int | None:
        """Return which of the spans one is, None if it is none of them."""
        rows = np.flatnonzero((self.char_start == span[0]) & (self.char_end == span[1]))
        return int(rows[0]) if len(rows) else None

    def and_those(self, others: Iterable[Span]) -> "TextSpans":
        """Return these spans and, behind them, those of some others that are not among them."""
        missing = [span for span in others if self.row_of(span) is None]
        if not missing:
            return self
        char_start, char_end = np.array(missing).T
        return TextSpans(self.text, np.append(self.char_start, char_start), np.append(self.char_end, char_end))

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
            "mean_rarity": self.words.sum(text.rarities) / self.num_words,
            "rarity_before": rarity[word_start],
            "rarity_after": rarity[word_end + 1],
            "cuts_name_before": text.follows[word_start] & is_name[word_start] & text.is_name[word_start],
            "cuts_name_after": text.follows[word_end] & is_name[word_end + 1] & text.is_name[last],
            "mark_before": ~text.follows[word_start],
            "mark_after": ~text.follows[word_end],
            # The white space behind the mark is within the span as well.
            "mark_inside": first_mark + 1 < self.char_end,
            "share_of_names": self.words.sum(text.is_name) / self.num_words,
            "cuts_word": text.cuts_words(self.char_start, self.char_end),
        }

    @cached_property
    def stacked_features(self) -> np.ndarray:
        """The same, of shape (len(TEXT_FEATURES), S)."""
        return np.array([self.features[name] for name in TEXT_FEATURES], dtype=np.float64)

    def highest_word_f1(self, others: Iterable[Span]) -> np.ndarray:
        """Return the word-level F1 of each span with the one of some others that it fits best, shape (S,)."""
        highest = np.zeros(len(self.num_words))
        # One by one: a long context has hundreds of thousands of spans, and dozens of questions.
        for other in others:
            rows, f1 = self._word_f1(other)
            highest[rows] = np.maximum(highest[rows], f1)
        return highest

    def _word_f1(self, other: Span) -> tuple[np.ndarray, np.ndarray]:
        """Return which spans share a word with another one, and the word-level F1 of each."""
        # A given answer is compared by all other questions on the context.
        if other not in self._word_f1_of:
            (first,), (last,) = TextSpans(self.text, *np.array([other]).T).words
            rows = np.flatnonzero((self.word_start < last) & (self.word_end > first))
            shared = np.minimum(self.word_end[rows], last) - np.maximum(self.word_start[rows], first)
            self._word_f1_of[other] = rows, 2 * shared / (self.num_words[rows] + last - first)
        return self._word_f1_of[other]

    def tokens(self, char_start: np.ndarray, char_end: np.ndarray) -> "Ranges":
        """Return the tokens that share a character with each span, by the characters of each token."""
        # All questions on a context have the same tokens.
        if not self._token_offsets or not all(map(np.array_equal, self._token_offsets, (char_start, char_end))):
            self._token_offsets = char_start, char_end
            self._tokens = ranges_touched(char_start, char_end, self.char_start, self.char_end)
        return self._tokens
