"""The answers that were given to questions, and the candidates for the right one at each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from span_label_errors.quality.affixes import Affixes
from span_label_errors.quality.context import ContextText, TextSpans, WordRarity, num_words_of
from span_label_errors.quality.features import QuestionFeatures
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, cuts_word, overlaps, paragraph_numbers

# By example index, the right spans of each class.
KnownAnswers = Mapping[int, "Known"]
# Stands for "no answer" among spans: it shares a character with none but itself.
NO_SPAN = (-2, -1)
# Candidates are as long as all but this share of the data's own answers.
_LONGER = 0.02
# No candidate is longer than so many words, or characters where words are short: in some scripts, each letter is one.
_MAX_WORDS, _MAX_CHARACTERS = 60, 300
# Of the many spans of a context, so many of the likeliest are candidates; a quarter as many beside the given answer.
NUM_CANDIDATES = 400


class Known(NamedTuple):
    """What reviewers decided about an example."""

    right: Mapping[str, Sequence[Span]]  # the right spans of the example by class, as after the decisions
    places: Sequence[Span] | None = None  # the characters that were decided about; None: the whole example


class GivenAnswer(NamedTuple):
    """A given answer, or "no answer" for a class that an example has no answer of."""

    example_index: int
    class_name: str
    span: Span  # NO_SPAN for no answer
    paragraph: int  # spellings of a context that differ in case or white space are one paragraph


class DecidedOfEach(NamedTuple):
    """What reviewers decided about several annotators' answers to one question."""

    right: list[Span]  # what they said is right, one of which is; [NO_SPAN] if nothing is
    left: list[Span]  # and, with these, the answers that they let stand


@dataclass(frozen=True)
class Site:
    """A given answer, and S candidates for the right one: itself, likely spans, and "no answer" if the data have it."""

    given: GivenAnswer
    text: str  # the context
    spans: np.ndarray  # (S, 2) int64 characters; `NO_SPAN` for no answer
    features: np.ndarray  # (S, F)
    num_words: np.ndarray  # (S,)
    given_row: int
    right_row: int  # what a reviewer said is right; else the given answer
    is_known: bool  # whether a reviewer said so
    cuts_word: bool  # whether the given answer cuts a word, in data that seldom do
    chance: float  # of the given answer, if any span were marked that is as long as answers are
    chance_of_other_answer: float  # if any of the other questions' answers were marked

    def overlapping_mass(self, mass: np.ndarray) -> np.ndarray:
        """Return, for each candidate, the mass of all that share a character with it, shape (S,), itself included."""
        (by_end, num_before), (by_start, num_not_behind) = self._borders
        before = np.concatenate([[0.0], np.cumsum(mass[by_end])])[num_before]
        not_behind = np.concatenate([[0.0], np.cumsum(mass[by_start])])[num_not_behind]
        return np.maximum(not_behind - before, mass)

    @cached_property
    def _borders(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """The candidates by end, how many of them end before each; by start, and how many do not begin behind it."""
        start, end = self.spans.T
        by_end, by_start = np.argsort(end, kind="stable"), np.argsort(start, kind="stable")
        num_before = np.searchsorted(end[by_end], start, side="right")
        return (by_end, num_before), (by_start, np.searchsorted(start[by_start], end, side="left"))

    @cached_property
    def overlap_given(self) -> np.ndarray:
        """Whether each candidate shares a character with the given answer, shape (S,)."""
        return overlaps(tuple(self.spans.T), self.given.span)

    @cached_property
    def contains_given(self) -> np.ndarray:
        """Whether each candidate is the given answer and more, shape (S,)."""
        (start, end), (given_start, given_end) = self.spans.T, self.given.span
        return (start <= given_start) & (end >= given_end) & (end - start > given_end - given_start)


class _Compared(NamedTuple):
    """What a given answer is compared with."""

    others: set[Span]  # the answers of other questions on the context
    spans: np.ndarray  # as in `Site`
    features: np.ndarray
    num_words: np.ndarray
    row_of: dict[Span, int]  # of those that must be among the candidates


class Sites:
    """The sites of a data set, made context by context when they are needed.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` as read by pandas: one row per example.
    prior : ndarray of shape (F,)
        The weights by which the likeliest candidates are found.

    Attributes
    ----------
    given_answers : list of GivenAnswer, length N
        In the order of the table.
    fold : ndarray of shape (N,)
        The fold of each, whose model predicted the probabilities.
    rarity : WordRarity
    affixes : Affixes
        Of all contexts and given answers.
    judges_each : bool
        Whether the answers of an example are those of several annotators. The sites of their different answers then
        have the same candidates.
    """

    def __init__(self, table: pd.DataFrame, prior: np.ndarray, num_candidates: int = NUM_CANDIDATES):
        self._prior, self._num_candidates, self._classes = prior, num_candidates, span_classes_of(table)
        # Columns are looked up row by row, for which a table is slow.
        wanted = ["question", "context", "char_start", "char_end", *(f"pred_probs_{name}" for name in self._classes)]
        self._columns = {name: table[name].to_numpy(dtype=object) for name in wanted}
        self.rarity = WordRarity(table["context"])
        answers = _answers(table, self._classes)
        self.judges_each = "given_annotator" in table
        paragraphs = paragraph_numbers(table["context"])
        self.given_answers = []
        for (example_index, name), spans in answers.items():
            of_example = [
                GivenAnswer(example_index, name, span, paragraphs[example_index]) for span in spans or [NO_SPAN]
            ]
            self.given_answers += of_example
        self.fold = table["fold"].to_numpy()[[given.example_index for given in self.given_answers]]
        self.right_answers: dict[int, Span] = {}
        self.decided_of_each: dict[tuple[int, str], DecidedOfEach] = {}
        self._answers = answers
        self._latest: tuple[object, _Compared | None] = (None, None)
        self._has_no_answer = {given.class_name for given in self.given_answers if given.span == NO_SPAN}
        placed = [(table["context"].iloc[given.example_index], given.span) for given in self.given_answers]
        placed = [(context, span) for context, span in placed if span != NO_SPAN]
        num_words = [max(1, num_words_of(context, span)) for context, span in placed]
        characters_of_word = sum(end - start for _, (start, end) in placed) / max(sum(num_words), 1)
        longest = max(_MAX_WORDS, int(_MAX_CHARACTERS / max(characters_of_word, 1)))
        self._max_words = int(min(np.quantile(num_words, 1 - _LONGER), longest)) if placed else 1
        self.affixes = Affixes(placed)
        # Each length counts a twentieth of an answer more, so that none is impossible.
        self._longest = max(_MAX_WORDS, self._max_words)
        lengths = np.bincount(np.minimum(num_words, self._longest).astype(int), minlength=self._longest + 1) + 0.05
        self._share_of_length = lengths / lengths.sum()

    def tell(self, known: KnownAnswers) -> None:
        """Let the sites of examples that reviewers have decided on know which answer is right in their place."""
        if self.judges_each:
            for index, (right, places) in known.items():
                for name in self._classes:
                    left = list(right.get(name, ()))
                    decided = [span for span in left if places is None or span in places]
                    self.decided_of_each[index, name] = DecidedOfEach(decided or [NO_SPAN], left)
            return
        for row, (example_index, class_name, given, _) in enumerate(self.given_answers):
            if example_index in known:
                right = known[example_index].right.get(class_name, ())
                here = [span for span in right if span == given] or [span for span in right if overlaps(span, given)]
                self.right_answers[row] = (here or [*right, NO_SPAN])[0]

    def of(self, rows: Iterable[int]) -> Iterator[tuple[int, Site]]:
        """Yield the sites of these rows in `given_answers`, with their rows, context by context."""
        wanted, self._latest = set(rows), (None, None)
        # Not by paragraph: other spellings of it have other offsets.
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, given in enumerate(self.given_answers):
            rows_of[self._columns["context"][given.example_index]].append(row)
        for context, of_context in rows_of.items():
            if not wanted.isdisjoint(of_context):
                text = ContextText(context, self.rarity, self.affixes)
                candidates = text.spans_within_sentences(self._max_words)
                for row in of_context:
                    if row in wanted:
                        yield row, self._site(row, of_context, text, candidates)

    def _site(self, row: int, of_context: list[int], text: ContextText, candidates: TextSpans) -> Site:
        given = self.given_answers[row]
        right = self.right_answers.get(row, given.span)
        is_cut = given.span != NO_SPAN and self.affixes.is_slip(text.context, given.span)
        # Else an answer that cuts a word, but is longer than candidates are, would have nothing to be a part of.
        uncut = _without_cut_words(text.context, given.span) if is_cut else given.span
        question = given[:2] if self.judges_each else row
        if self._latest[0] != question:
            self._latest = question, self._compared(given, [given.span, right, uncut], of_context, text, candidates)
        compared = self._latest[1]
        given_row = compared.row_of[given.span]
        length = int(compared.num_words[given_row])
        return Site(
            given=given,
            text=text.context,
            spans=compared.spans,
            features=compared.features,
            num_words=compared.num_words,
            given_row=given_row,
            right_row=compared.row_of[right],
            is_known=row in self.right_answers,
            cuts_word=is_cut,
            chance=float(self._share_of_length[min(length, self._longest)] / (compared.num_words == length).sum()),
            chance_of_other_answer=(given.span in compared.others) / max(len(compared.others), 1),
        )

    def _compared(
        self, given: GivenAnswer, wanted: list[Span], of_context: list[int], text: ContextText, candidates: TextSpans
    ) -> _Compared:
        """Return what a given answer is compared with; the same for all annotators' answers to a question."""
        own_answers = self._answers[given.example_index, given.class_name]
        others = {self.given_answers[other][:3] for other in of_context}
        others = {
            span for example_index, class_name, span in others
            if example_index != given.example_index and class_name == given.class_name and span != NO_SPAN
        }  # fmt: skip
        wanted = dict.fromkeys([*self._wanted(given, own_answers, text.context), *wanted])
        candidates = candidates.and_those(span for span in wanted if span != NO_SPAN)
        question = self._question_features(given, own_answers, text)
        features = question.of(candidates, others)
        spans, num_words = np.column_stack([candidates.char_start, candidates.char_end]), candidates.num_words
        if given.class_name in self._has_no_answer or NO_SPAN in wanted:
            features = np.vstack([features, question.of_no_answer()])
            spans, num_words = np.vstack([spans, NO_SPAN]), np.append(num_words, 0)
        row_of = {span: len(spans) - 1 if span == NO_SPAN else candidates.row_of(span) for span in wanted}
        near = own_answers if self.judges_each and own_answers else [given.span]
        kept = self._likeliest(features, spans, near, list(row_of.values()))
        return _Compared(
            others=others,
            spans=spans[kept],
            # Feature by feature in memory, as `QuestionFeatures` has them.
            features=features.T[:, kept].T,
            num_words=num_words[kept],
            row_of={span: int(np.searchsorted(kept, row)) for span, row in row_of.items()},
        )

    def _wanted(self, given: GivenAnswer, own_answers: list[Span], context: str) -> list[Span]:
        """Return what must be among the candidates of all of an example's answers."""
        if not self.judges_each:
            return []
        cut = [span for span in own_answers if self.affixes.is_slip(context, span)]
        decided = self.decided_of_each.get((given.example_index, given.class_name))
        right = decided.right if decided else []
        return list(dict.fromkeys([*own_answers, *(_without_cut_words(context, span) for span in cut), *right]))

    def _likeliest(self, features: np.ndarray, spans: np.ndarray, near: list[Span], wanted: list[int]) -> np.ndarray:
        """Return the rows of the candidates to keep, in their order: the likeliest, and those near some spans."""
        utility = features @ self._prior
        is_kept = spans[:, 0] == NO_SPAN[0]
        is_kept[wanted] = True
        is_kept[_highest(utility, self._num_candidates)] = True
        for span in near:
            here = np.flatnonzero(overlaps(tuple(spans.T), span))
            is_kept[here[_highest(utility[here], self._num_candidates // 4)]] = True
        return np.flatnonzero(is_kept)

    def _question_features(self, given: GivenAnswer, own_answers: list[Span], text: ContextText) -> QuestionFeatures:
        names = ("question", "char_start", "char_end", f"pred_probs_{given.class_name}")
        question, char_start, char_end, probs = (self._columns[name][given.example_index] for name in names)
        char_start, char_end, probs = np.asarray(char_start), np.asarray(char_end), np.array(probs, dtype=np.float64)
        # Several labels of an example do not compete: where the others stand, the probabilities of this one are low.
        for answer in own_answers if not self.judges_each else ():
            if answer != given.span:
                touched = overlaps((char_start, char_end), answer) & ~overlaps((char_start, char_end), given.span)
                probs[touched] = probs.min()
        return QuestionFeatures(question, text, char_start, char_end, probs)


def _answers(table: pd.DataFrame, classes: list[str]) -> dict[tuple[int, str], list[Span]]:
    """Return the different given spans of each example and class."""
    answers = {}
    rows = zip(table["given_answer"], table["given_start"], table["given_label"], strict=True)
    for example_index, (texts, starts, names) in enumerate(rows):
        spans = defaultdict(list)
        for text, start, name in zip(texts, starts, names, strict=True):
            spans[name].append((int(start), int(start) + len(text)))
        answers |= {(example_index, name): list(dict.fromkeys(spans[name])) for name in classes}
    return answers


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the highest values; of equal ones, the first."""
    if len(values) <= count:
        return np.arange(len(values))
    # A long context has hundreds of thousands of spans, which need not be sorted.
    least = np.partition(values, -count)[-count]
    higher = np.flatnonzero(values > least)
    return np.append(higher, np.flatnonzero(values == least)[: count - len(higher)])


def _without_cut_words(context: str, span: Span) -> Span:
    """Return a span with the rest of the words that it cuts."""
    start, end = span
    while cuts_word(context, (start, start)):
        start -= 1
    while cuts_word(context, (end, end)):
        end += 1
    return start, end
