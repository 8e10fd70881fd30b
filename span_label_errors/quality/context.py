"""What the text of a context says of its spans, whatever is asked: words, names, marks, the same words elsewhere.

Several questions are asked about a paragraph, and each is weighed against every span of it. What the text alone says is
therefore worked out once a paragraph.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from span_label_errors.spans.text import Span, is_inside_word, sentence_numbers, stem, word_spans

# What each feature of a span is; and as a reason against an answer, in words, that it is lower or higher than for most
# given answers. Empty where a person would not take that for a reason; features that say the same add up.
FEATURES = {
    # Of the span's tokens, standardised within the context.
    "mean_logit": ("the model finds its tokens unlikely", ""),
    "lowest_logit": ("the model finds its tokens unlikely", ""),
    # Of its first and last token.
    "lowest_edge_logit": ("the model finds its tokens unlikely", ""),
    # Of the tokens just outside.
    "highest_logit_beside": ("", "the model finds a token beside it likely as well"),
    # mean_logit, less that of the best span of the same length elsewhere.
    "margin": ("the model prefers another span", ""),
    # mean_logit, less that of the best other place with the same text.
    "margin_of_occurrence": ("the model prefers another place of the same text", ""),
    # As a share of the best span's.
    "expected_f1": ("the model prefers another span", ""),
    # Share of the question in the span's sentence, less that of the best sentence.
    "sentence_match": ("another sentence holds more words of the question", ""),
    # To words of the question, less that of the nearest word of the context.
    "nearness": ("the words of the question stand nearer to other words", ""),
    # nearness, less that of the best other place with the same text.
    "nearness_of_occurrence": ("the same text stands nearer to the question elsewhere", ""),
    # Of the span's words.
    "share_in_question": ("", "it repeats words of the question"),
    # Logarithm.
    "num_words": ("it is shorter than most answers", "it is longer than most answers"),
    "rarity_of_first_word": ("it begins with a common word", "it begins with a rare word"),
    "rarity_of_last_word": ("it ends with a common word", "it ends with a rare word"),
    "mean_rarity": ("its words are common", "its words are rare"),
    "rarity_before": ("a common word stands before it", "a rare word stands before it"),
    "rarity_after": ("a common word follows it", "a rare word follows it"),
    # A capitalised word or number goes on outside.
    "cuts_name_before": ("", "a name or number begins before it"),
    "cuts_name_after": ("", "a name or number goes on behind it"),
    # Punctuation, or the end of the context.
    "mark_before": ("no punctuation stands before it", "punctuation stands before it"),
    "mark_after": ("no punctuation follows it", "punctuation follows it"),
    "mark_inside": ("", "it has punctuation inside"),
    # Capitalised words and numbers.
    "share_of_names": ("few of its words are names or numbers", "most of its words are names or numbers"),
    # Begins or ends inside a word, of which a check speaks.
    "cuts_word": ("", ""),
    # By another question on the context: the word-level F1 with the closest of their given answers.
    "taken": ("", "looks like the answer of another question"),
    # mean_logit for the question whose answer it is, less that for this one.
    "logit_of_taker": ("", "the model finds it likelier for another question"),
    # The same for nearness and sentence_match together.
    "nearness_of_taker": ("", "it stands nearer to the words of another question"),
}
COLUMN = {name: column for column, name in enumerate(FEATURES)}

# A question's word is felt over about this many words of the context.
_REACH = 8.0


class WordRarity:
    """How rare the words of a collection of contexts are: the logarithm of how few contexts hold them.

    Parameters
    ----------
    contexts : iterable of str
        Equal ones count once.
    """

    def __init__(self, contexts):
        distinct = set(contexts)
        self._num_contexts = len(distinct)
        self._holding = Counter(word for context in distinct for word in set(stems(context)))

    def of(self, word: str) -> float:
        """Return the smoothed inverse document frequency of a stem; never negative."""
        return max(0.0, math.log((self._num_contexts + 1) / (self._holding[word] + 0.5)))


def stems(text: str) -> list[str]:
    """Return the stems of a text's words, in order."""
    return [stem(text[slice(*word)]) for word in word_spans(text)]


class ContextText:
    """What the text of a context says, whatever is asked.

    Parameters
    ----------
    context : str
    rarity : WordRarity

    Attributes
    ----------
    words : list of (char_start, char_end), length W
    sentence : ndarray of shape (W,)
        Number of each word's sentence.
    rarities : ndarray of shape (W,)
    positions_of : dict
        Where the words of each stem stand, by stem.
    """

    def __init__(self, context: str, rarity: WordRarity):
        self.context, self.rarity = context, rarity
        # A context without a letter is one word: then there is nothing to tell its parts apart by.
        self.words = word_spans(context) or [(0, len(context))]
        self.word_start, self.word_end = np.array(self.words).T
        self.stems = stems(context) or [stem(context)]
        self.positions_of: dict[str, list[int]] = {}
        for position, word in enumerate(self.stems):
            self.positions_of.setdefault(word, []).append(position)
        self.rarities = np.array([rarity.of(word) for word in self.stems])
        self.sentence = sentence_numbers(context, self.word_start)
        self.marks = np.array([match.start() for match in re.finditer(r"[,;:.!?]\s", context)], dtype=np.int64)
        first_letters = [context[start:].lstrip("$€£¥")[:1] for start, _ in self.words]
        self.is_name = np.array([letter.isupper() or letter.isdigit() for letter in first_letters])
        gaps = zip(self.word_end[:-1].tolist(), self.word_start[1:].tolist(), strict=True)
        # follows[i]: nothing but white space between the words i - 1 and i.
        self.follows = np.array([False, *(not context[end:start].strip() for end, start in gaps), False])
        self._closeness: dict[str, np.ndarray] = {}
        self._candidates: dict[int, TextSpans] = {}
        self._repeats: dict[int, _Repeats] = {}

    def words_of(self, char_start: np.ndarray, char_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the half-open ranges of the words that share a character with each span."""
        word_start = np.searchsorted(self.word_end, char_start, side="right").clip(max=len(self.words) - 1)
        return word_start, np.maximum(np.searchsorted(self.word_start, char_end, side="left"), word_start + 1)

    def candidates(self, max_words: int) -> "TextSpans":
        """Return every span of whole words within a sentence, of up to `max_words` words."""
        if max_words not in self._candidates:
            position = np.arange(len(self.words))
            count = np.minimum(np.searchsorted(self.sentence, self.sentence, side="right") - position, max_words)
            first = np.repeat(position, count)
            last = first + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
            self._candidates[max_words] = TextSpans(self, self.word_start[first], self.word_end[last])
        return self._candidates[max_words]

    def closeness(self, word: str) -> np.ndarray:
        """Return how close the nearest word of a stem of the context is to each word, shape (W,)."""
        if word not in self._closeness:
            where = np.array([-np.inf, *self.positions_of[word], np.inf])
            position = np.arange(len(self.words))
            behind = np.searchsorted(where, position)
            distance = np.minimum(position - where[behind - 1], where[behind] - position)
            self._closeness[word] = np.exp(-distance / _REACH)
        return self._closeness[word]

    def cuts_word(self, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
        """Return which spans begin or end inside a word."""
        borders, place = np.unique(np.concatenate([char_start, char_end]), return_inverse=True)
        is_inside = np.array([is_inside_word(self.context, border) for border in borders.tolist()], dtype=bool)[place]
        return is_inside[: len(char_start)] | is_inside[len(char_start) :]

    def repeats(self, max_words: int) -> "_Repeats":
        """Return the sequences of up to `max_words` words that stand in the context more than once."""
        if max_words not in self._repeats:
            self._repeats[max_words] = _Repeats(self, max_words)
        return self._repeats[max_words]


class _Repeats:
    """All places of sequences of words that stand in a context more than once, equal ones together, in order.

    Attributes
    ----------
    spans : TextSpans
        R places.
    """

    def __init__(self, text: ContextText, max_words: int):
        self._num_words = len(text.words)
        number_of_word = np.unique(text.stems, return_inverse=True)[1]
        group, groups = number_of_word, []
        for length in range(1, max_words + 1):
            if length > 1:
                group = np.unique(group[:-1] * self._num_words + number_of_word[length - 1 :], return_inverse=True)[1]
            is_repeated = np.bincount(group)[group] > 1
            if not is_repeated.any():
                break
            groups.append(np.pad(np.where(is_repeated, group, -1), (0, length - 1), constant_values=-1))
        # For each length and word, the number of the sequence that begins there; -1 for one that stands there alone.
        self._groups = np.array(groups, dtype=np.int64).reshape(-1, self._num_words)
        length, position = np.nonzero(self._groups >= 0)
        length += 1
        sequence = self._sequence_of(position, length)
        order = np.argsort(sequence, kind="stable")
        self._sequence, position, length = sequence[order], position[order], length[order]
        self._place = self._sequence * (self._num_words + 1) + position
        self.spans = TextSpans(text, text.word_start[position], text.word_end[position + length - 1])

    def _sequence_of(self, position: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Return the numbers of the sequences of words at some places; below 0 where one stands there alone."""
        group = self._groups[length - 1, position]
        return np.where(group >= 0, (length - 1) * self._num_words + group, -1)

    def others_of(self, word_start: np.ndarray, word_end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the other places of sequences of words that do not touch them.

        Returns
        -------
        rows, before, behind : ndarrays
            The rows that have another place; of each, the last place before it and the first behind it, as an
            index into `spans`, or R where there is none.
        """
        length, none = word_end - word_start, len(self._place)
        rows = np.flatnonzero(length <= len(self._groups))
        sequence = self._sequence_of(word_start[rows], length[rows])
        rows, sequence = rows[sequence >= 0], sequence[sequence >= 0]
        first_place = sequence * (self._num_words + 1)
        before = np.searchsorted(self._place, first_place + word_start[rows] - length[rows], side="right") - 1
        behind = np.searchsorted(self._place, first_place + word_end[rows], side="left")
        # A place of another sequence is none of this one.
        sequence_at = np.append(self._sequence, -1)
        before, behind = (np.where(sequence_at[place] == sequence, place, none) for place in (before, behind))
        has_other = (before < none) | (behind < none)
        return rows[has_other], before[has_other], behind[has_other]

    def highest(self, values: np.ndarray, before: np.ndarray, behind: np.ndarray) -> np.ndarray:
        """Return the highest of R values among the places up to `before` and from `behind` on, of one sequence."""
        order = np.argsort(values, kind="stable")
        rank = np.empty(len(values), dtype=np.int64)
        rank[order] = np.arange(len(values))
        # What is added lifts each sequence above those that were passed. Ranks, not values: they lose no digit.
        ascending = self._sequence * len(values)
        descending = ascending[-1] - ascending
        up_to = np.maximum.accumulate(ascending + rank) - ascending
        from_here = np.maximum.accumulate((descending + rank)[::-1])[::-1] - descending
        in_order = values[order]
        return np.maximum(np.append(in_order[up_to], -np.inf)[before], np.append(in_order[from_here], -np.inf)[behind])


class TokenRanges(NamedTuple):
    """Which tokens each of S spans touches, half-open, and the K different numbers of tokens."""

    char_start: np.ndarray  # (C,) of the tokens
    char_end: np.ndarray
    start: np.ndarray  # (S,)
    end: np.ndarray
    lengths: np.ndarray  # (K,)
    which: np.ndarray  # (S,) index into lengths


class TextSpans:
    """Spans of a context, with what the text alone says of them.

    Parameters
    ----------
    text : ContextText
    char_start, char_end : ndarray of shape (S,), int64

    Attributes
    ----------
    word_start, word_end : ndarray of shape (S,)
        Half-open ranges of the words that share a character with each span.
    num_words : ndarray of shape (S,)
    """

    def __init__(self, text: ContextText, char_start: np.ndarray, char_end: np.ndarray):
        self.text, self.char_start, self.char_end = text, char_start, char_end
        self.word_start, self.word_end = text.words_of(char_start, char_end)
        self._word_ranges = np.column_stack([self.word_start, self.word_end]).ravel()
        self.num_words = self.word_end - self.word_start
        self._tokens: TokenRanges | None = None
        self._overlaps: dict[Span, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.char_start)

    def __iter__(self) -> Iterator[Span]:
        return iter(self.pairs)

    @cached_property
    def pairs(self) -> list[Span]:
        """The spans as (char_start, char_end)."""
        return list(zip(self.char_start.tolist(), self.char_end.tolist(), strict=True))

    def index(self, span: Span) -> int | None:
        """Return where a span is; None if it is not among these."""
        found = np.flatnonzero((self.char_start == span[0]) & (self.char_end == span[1]))
        return int(found[0]) if len(found) else None

    def highest_of_words(self, values: np.ndarray) -> np.ndarray:
        """Return the highest of each span's words, from values of shape (W,)."""
        return np.maximum.reduceat(np.append(values, 0.0), self._word_ranges)[::2]

    def sum_of_words(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each span's words, from values of shape (W,)."""
        return np.add.reduceat(np.append(values, 0.0), self._word_ranges)[::2]

    @cached_property
    def evidence(self) -> np.ndarray:
        """What the text says of each span, shape (S, len(FEATURES)); 0 where it takes more than the text."""
        text, word_start, word_end, last = self.text, self.word_start, self.word_end, self.word_end - 1
        rarity = np.concatenate([[0.0], text.rarities, [0.0]])
        is_name = np.concatenate([[False], text.is_name, [False]])
        # The first mark inside that white space follows within the span.
        first_mark = np.append(text.marks, len(text.context))[np.searchsorted(text.marks, self.char_start)]
        known = {
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
            "mark_inside": first_mark + 1 < self.char_end,
            "share_of_names": self.sum_of_words(text.is_name) / self.num_words,
            "cuts_word": text.cuts_word(self.char_start, self.char_end),
        }
        evidence = np.zeros((len(self), len(FEATURES)))
        for name, values in known.items():
            evidence[:, COLUMN[name]] = values
        return evidence

    def overlap(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        """Return which spans share a word with another span, and their word-level F1 with it."""
        if span not in self._overlaps:
            first, last = self.text.words_of(np.array([span[0]]), np.array([span[1]]))
            shared = np.minimum(self.word_end, last) - np.maximum(self.word_start, first)
            rows = np.flatnonzero(shared > 0)
            self._overlaps[span] = rows, 2 * shared[rows] / (self.num_words[rows] + last - first)
        return self._overlaps[span]

    @cached_property
    def repeats(self) -> _Repeats:
        """The places of sequences of words among which other places of these spans are."""
        return self.text.repeats(int(self.num_words.max(initial=1)))

    @cached_property
    def other_places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where else the words of each span stand: see `_Repeats.others_of`."""
        return self.repeats.others_of(self.word_start, self.word_end)

    def tokens(self, char_start: np.ndarray, char_end: np.ndarray) -> TokenRanges:
        """Return which of the tokens with these characters share a character with each span."""
        known = self._tokens
        # Questions on a context have the same tokens of it.
        if known is None or not (
            np.array_equal(known.char_start, char_start) and np.array_equal(known.char_end, char_end)
        ):
            start = np.searchsorted(char_end, self.char_start, side="right").clip(max=len(char_end) - 1)
            end = np.maximum(np.searchsorted(char_start, self.char_end, side="left"), start + 1)
            lengths, which = np.unique(end - start, return_inverse=True)
            self._tokens = TokenRanges(char_start, char_end, start, end, lengths, which)
        return self._tokens
