"""What speaks for a span of the context as the answer: the model's probabilities, the question's words, its form.

Every piece of evidence is a number that needs no list of words of a language: rare words are told from common ones by
counting the contexts of the data set that hold them.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from words import Span, is_inside_word, sentence_numbers, stem, word_spans

EVIDENCE = (
    "mean_logit",  # of the span's tokens, standardised within the context
    "lowest_logit",
    "lowest_edge_logit",  # of its first and last token
    "highest_logit_beside",  # of the tokens just outside
    "margin",  # mean_logit, less that of the best span of the same length elsewhere
    "margin_of_occurrence",  # mean_logit, less that of the best other place with the same text
    "expected_f1",  # as a share of the best span's
    "sentence_match",  # share of the question in the span's sentence, less that of the best sentence
    "nearness",  # to words of the question, less that of the nearest word of the context
    "nearness_of_occurrence",  # nearness, less that of the best other place with the same text
    "share_in_question",  # of the span's words
    "num_words",  # logarithm
    "rarity_of_first_word", "rarity_of_last_word", "mean_rarity", "rarity_before", "rarity_after",
    "cuts_name_before", "cuts_name_after",  # a capitalised word or number goes on outside
    "mark_before", "mark_after",  # punctuation, or the end of the context
    "mark_inside",
    "share_of_names",  # capitalised words and numbers
    "cuts_word",  # begins or ends inside a word
    "taken",  # by another question on the context: the word-level F1 with the closest of their given answers
    "logit_of_taker",  # mean_logit for the question whose answer it is, less that for this one
    "nearness_of_taker",  # the same for nearness and sentence_match together
)  # fmt: skip

# A question's word is felt over about this many words of the context.
_REACH = 8.0
_LONGEST_BEST_SPAN = 30


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


class ContextEvidence:
    """The evidence for any span of one example's context.

    Parameters
    ----------
    question, context : str
    char_start, char_end : ndarray of shape (C,)
        Characters of the C context tokens.
    probs : ndarray of shape (C,)
        Out-of-fold P(span class) of each.
    rarity : WordRarity
    """

    def __init__(self, question, context, char_start, char_end, probs, rarity: WordRarity):
        self.context = context
        self._char_start, self._char_end = np.asarray(char_start), np.asarray(char_end)
        probs = self.probs = np.clip(np.asarray(probs, dtype=np.float64), 1e-6, 1 - 1e-6)
        logits = np.log(probs / (1 - probs))
        self._logits = (logits - logits.mean()) / (logits.std() + 1e-9)
        self._sum_of_probs = np.concatenate([[0.0], np.cumsum(probs)])
        self._sum_of_logits = np.concatenate([[0.0], np.cumsum(self._logits)])
        longest = min(_LONGEST_BEST_SPAN, len(probs))
        self._best_f1 = max(
            self._expected_f1(np.arange(len(probs) - length + 1), length).max() for length in range(1, longest + 1)
        )
        self._read_words(question, rarity)

    def _expected_f1(self, token_start: np.ndarray, length: np.ndarray | int) -> np.ndarray:
        of_span = self._sum_of_probs[token_start + length] - self._sum_of_probs[token_start]
        return 2 * of_span / (length + self._sum_of_probs[-1])

    def _read_words(self, question: str, rarity: WordRarity) -> None:
        context = self.context
        # A context without a letter is one word: then there is nothing to tell its parts apart by.
        self.words = word_spans(context) or [(0, len(context))]
        self._word_start, self._word_end = np.array(self.words).T
        self._stems = stems(context) or [stem(context)]
        self._rarity = np.array([rarity.of(word) for word in self._stems])
        asked = {word: rarity.of(word) for word in stems(question)}
        total = sum(asked.values()) or 1.0
        is_asked = np.array([word in asked for word in self._stems])
        self._is_asked = is_asked & (self._rarity > 0.5)

        positions = np.arange(len(self.words))
        self._nearness = np.zeros(len(self.words))
        of_stem: dict[str, list[int]] = {}
        for position in positions[is_asked]:
            of_stem.setdefault(self._stems[position], []).append(position)
        for word, where in of_stem.items():
            distance = np.abs(positions[:, None] - np.array(where)).min(axis=1)
            self._nearness += asked[word] / total * np.exp(-distance / _REACH)

        self._marks = np.array([match.start() for match in re.finditer(r"[,;:.!?]\s", context)], dtype=np.int64)
        self._sentence = sentence_numbers(context, self._word_start)
        found = [{} for _ in range(self._sentence[-1] + 1)]
        for position in positions[is_asked]:
            found[self._sentence[position]][self._stems[position]] = asked[self._stems[position]]
        self._sentence_match = np.array([sum(of_sentence.values()) / total for of_sentence in found])

        first_letters = [context[start:].lstrip("$€£¥")[:1] for start, _ in self.words]
        self._is_name = np.array([letter.isupper() or letter.isdigit() for letter in first_letters])
        gaps = zip(self._word_end[:-1], self._word_start[1:], strict=True)
        # follows[i]: nothing but white space between the words i - 1 and i.
        self._follows = np.array([False, *(not context[end:start].strip() for end, start in gaps), False])

    def of(self, spans: Sequence[Span], takers: Sequence[tuple[Span, "ContextEvidence"]] = ()) -> np.ndarray:
        """Return the evidence for spans.

        Parameters
        ----------
        spans : sequence of (char_start, char_end)
            S ranges of characters, each of at least one token.
        takers : sequence of (span, ContextEvidence)
            The given answers of other questions on the same context, and the evidence for those questions.

        Returns
        -------
        ndarray of shape (S, len(EVIDENCE)), float64
        """
        char_start, char_end = np.array(spans, dtype=np.int64).reshape(-1, 2).T
        token_start, token_end = self.tokens_of(char_start, char_end)
        word_start, word_end = self._words_of(char_start, char_end)
        of_tokens = self._evidence_of_tokens(token_start, token_end)
        of_words = self._evidence_of_words(word_start, word_end)
        evidence = {**of_tokens, **of_words}
        evidence |= self._against_other_occurrences(word_start, word_end, evidence)
        evidence |= self._against_takers(char_start, char_end, takers)
        # The first mark inside that white space follows within the span.
        first_mark = np.append(self._marks, len(self.context))[np.searchsorted(self._marks, char_start)]
        evidence["mark_inside"] = first_mark + 1 < char_end
        borders, place = np.unique(np.column_stack([char_start, char_end]), return_inverse=True)
        is_cut = np.array([is_inside_word(self.context, int(border)) for border in borders])
        evidence["cuts_word"] = is_cut[place.reshape(-1, 2)].any(axis=1)
        return np.column_stack([np.asarray(evidence[name], dtype=np.float64) for name in EVIDENCE])

    def tokens_of(self, char_start: np.ndarray, char_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the half-open ranges of the tokens that share a character with each span."""
        token_start = np.searchsorted(self._char_end, char_start, side="right").clip(max=len(self._char_end) - 1)
        return token_start, np.maximum(np.searchsorted(self._char_start, char_end, side="left"), token_start + 1)

    def _words_of(self, char_start: np.ndarray, char_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        word_start = np.searchsorted(self._word_end, char_start, side="right").clip(max=len(self.words) - 1)
        return word_start, np.maximum(np.searchsorted(self._word_start, char_end, side="left"), word_start + 1)

    def _evidence_of_tokens(self, token_start: np.ndarray, token_end: np.ndarray) -> dict[str, np.ndarray]:
        logits, length = self._logits, token_end - token_start
        beside = np.concatenate([[-np.inf], logits, [-np.inf]])
        highest_beside = np.maximum(beside[token_start], beside[token_end + 1])
        mean_logit = (self._sum_of_logits[token_end] - self._sum_of_logits[token_start]) / length
        ranges = np.column_stack([token_start, token_end]).ravel()
        return {
            "mean_logit": mean_logit,
            "lowest_logit": np.minimum.reduceat(np.append(logits, np.inf), ranges)[::2],
            "lowest_edge_logit": np.minimum(logits[token_start], logits[token_end - 1]),
            # A span that is the whole context has nothing beside it.
            "highest_logit_beside": np.where(np.isfinite(highest_beside), highest_beside, logits.min()),
            "margin": mean_logit - self._best_elsewhere(token_start, token_end),
            "expected_f1": self._expected_f1(token_start, length) / self._best_f1,
        }

    def _best_elsewhere(self, token_start: np.ndarray, token_end: np.ndarray) -> np.ndarray:
        """Return the highest mean logit of a span of the same length that shares no token."""
        best = np.empty(len(token_start))
        length_of = token_end - token_start
        for length in np.unique(length_of):
            means = (self._sum_of_logits[length:] - self._sum_of_logits[:-length]) / length
            up_to = np.concatenate([[-np.inf], np.maximum.accumulate(means)])
            from_here = np.append(np.maximum.accumulate(means[::-1])[::-1], -np.inf)
            chosen = length_of == length
            before = up_to[(token_start[chosen] - length + 1).clip(min=0)]
            after = from_here[np.minimum(token_end[chosen], len(means))]
            best[chosen] = np.maximum(before, after)
        return np.where(np.isfinite(best), best, 0.0)

    def _evidence_of_words(self, word_start: np.ndarray, word_end: np.ndarray) -> dict[str, np.ndarray]:
        ranges = np.column_stack([word_start, word_end]).ravel()
        num_words, last = word_end - word_start, word_end - 1

        def total(values):
            return np.add.reduceat(np.append(values, 0.0), ranges)[::2]

        nearness = np.maximum.reduceat(np.append(self._nearness, 0.0), ranges)[::2]
        sentence_match = np.maximum(
            self._sentence_match[self._sentence[word_start]], self._sentence_match[self._sentence[last]]
        )
        rarity = np.concatenate([[0.0], self._rarity, [0.0]])
        is_name = np.concatenate([[False], self._is_name, [False]])
        return {
            "sentence_match": sentence_match - self._sentence_match.max(),
            "nearness": nearness - self._nearness.max(),
            "share_in_question": total(self._is_asked) / num_words,
            "num_words": np.log(num_words),
            "rarity_of_first_word": self._rarity[word_start],
            "rarity_of_last_word": self._rarity[last],
            "mean_rarity": total(self._rarity) / num_words,
            "rarity_before": rarity[word_start],
            "rarity_after": rarity[word_end + 1],
            "cuts_name_before": self._follows[word_start] & is_name[word_start] & self._is_name[word_start],
            "cuts_name_after": self._follows[word_end] & is_name[word_end + 1] & self._is_name[last],
            "mark_before": ~self._follows[word_start],
            "mark_after": ~self._follows[word_end],
            "share_of_names": total(self._is_name) / num_words,
        }

    def _against_other_occurrences(
        self, word_start: np.ndarray, word_end: np.ndarray, evidence: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Compare spans with the other places where the same words stand; 0 where there is none."""
        against = {name: np.zeros(len(word_start)) for name in ("margin_of_occurrence", "nearness_of_occurrence")}
        places_of_length: dict[int, dict[tuple, list[int]]] = {}
        for row, (start, end) in enumerate(zip(word_start, word_end, strict=True)):
            length = int(end - start)
            if length not in places_of_length:
                places: dict[tuple, list[int]] = {}
                for position in range(len(self.words) - length + 1):
                    places.setdefault(tuple(self._stems[position : position + length]), []).append(position)
                places_of_length[length] = places
            same = places_of_length[length][tuple(self._stems[start:end])]
            others = np.array([position for position in same if position >= end or position + length <= start])
            if len(others):
                best = self._mean_logit(self._word_start[others], self._word_end[others + length - 1]).max()
                nearest = max(self._nearness[position : position + length].max() for position in others)
                against["margin_of_occurrence"][row] = evidence["mean_logit"][row] - best
                against["nearness_of_occurrence"][row] = evidence["nearness"][row] + self._nearness.max() - nearest
        return against

    def _against_takers(
        self, char_start: np.ndarray, char_end: np.ndarray, takers: Sequence[tuple[Span, "ContextEvidence"]]
    ) -> dict[str, np.ndarray]:
        """Compare spans, as answers to this question, with the same as answers to the questions they belong to."""
        names = ("taken", "logit_of_taker", "nearness_of_taker")
        against = {name: np.zeros(len(char_start)) for name in names}
        word_start, word_end = self._words_of(char_start, char_end)
        for (taker_start, taker_end), taker in takers:
            first, last = self._words_of(np.array([taker_start]), np.array([taker_end]))
            shared = (np.minimum(word_end, last) - np.maximum(word_start, first)).clip(min=0)
            overlap = 2 * shared / (word_end - word_start + last - first)
            closer = np.flatnonzero(overlap > against["taken"])
            if len(closer):
                against["taken"][closer] = overlap[closer]
                start, end = char_start[closer], char_end[closer]
                against["logit_of_taker"][closer] = taker._mean_logit(start, end) - self._mean_logit(start, end)
                against["nearness_of_taker"][closer] = taker._claim(start, end) - self._claim(start, end)
        return against

    def _mean_logit(self, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
        token_start, token_end = self.tokens_of(char_start, char_end)
        return (self._sum_of_logits[token_end] - self._sum_of_logits[token_start]) / (token_end - token_start)

    def _claim(self, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
        of_words = self._evidence_of_words(*self._words_of(char_start, char_end))
        return of_words["nearness"] + of_words["sentence_match"]

    def candidates(self, max_words: int) -> list[Span]:
        """Return every span of whole words within a sentence, of up to `max_words` words."""
        return [
            (self.words[first][0], self.words[last][1])
            for first in range(len(self.words))
            for last in range(first, min(first + max_words, len(self.words)))
            if self._sentence[first] == self._sentence[last]
        ]
