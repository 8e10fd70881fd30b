"""The places of a data set where every span is labelled: given spans, and where one may be missing."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from span_label_errors.quality.affixes import Affixes
from span_label_errors.quality.context import ContextText, TextSpans, WordRarity
from span_label_errors.quality.memory import LabelMemory, key_of
from span_label_errors.quality.sites import NO_SPAN, KnownAnswers
from span_label_errors.quality.span_features import Place, SpanFeatures
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, overlaps, paragraph_numbers, word_spans

# Candidates are as long as all but this share of the data's own spans, and no longer than so many words.
_LONGER, _MAX_WORDS = 0.005, 30
# Candidates begin and end at most so many words outside of a place.
_REACH = 3
# Of so many spans at most, in the order of the choice's prior.
NUM_SPANS = 60
# A span may be missing where a word is as likely as this, or is labelled elsewhere more often than not.
_LIKELY = 0.02
# There are at most so many such words for each given span, those that are likeliest.
_PLACES_A_SPAN, _SOME = 1.0, 50
# Of data with questions, the share of labelled examples with answers apart, from which on these are spans.
_SEVERAL = 0.2


class GivenSpan(NamedTuple):
    """A given span, or a place where none is given."""

    example_index: int
    class_name: str  # "" where none is given
    span: Span  # NO_SPAN where none is given
    paragraph: int  # as in `sites.GivenAnswer`
    place: Span  # the characters that it is about


@dataclass(frozen=True)
class SpanSite:
    """A given span or an empty place, and S candidates for what is right there: (span, class) pairs, and nothing."""

    given: GivenSpan
    text: str  # the context
    spans: np.ndarray  # (S, 2) int64 characters; `NO_SPAN` for nothing, which is the last
    classes: list[str]  # the K classes
    class_index: np.ndarray  # (S,) into them; -1 for nothing
    features: np.ndarray  # (S, F)
    given_row: int
    right_row: int  # what a reviewer said is right; else the given one
    is_known: bool  # whether a reviewer said so
    cuts_word: bool  # whether the given span cuts a word, in data that seldom do


class SpanSites:
    """The sites of a data set where every span is labelled, made context by context when they are needed.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` as read by pandas: one row per example.
    prior : ndarray of shape (F,)
        The weights by which the likeliest candidates are found.
    num_spans : int
        How many of the likeliest spans of a place are candidates, each of every class.

    Attributes
    ----------
    classes : list of str
        The K classes.
    given_answers : list of GivenSpan, length N
        Example by example: its given spans, and the places where one may be missing.
    fold : ndarray of shape (N,)
        The fold of each, whose model predicted the probabilities.
    """

    def __init__(self, table: pd.DataFrame, prior: np.ndarray, num_spans: int = NUM_SPANS):
        self._prior, self._num_spans, self.classes = prior, num_spans, span_classes_of(table)
        self._contexts, self._titles = table["context"].tolist(), table["title"].tolist()
        self._tokens = {name: table[name].to_numpy(dtype=object) for name in ("char_start", "char_end")}
        self._probs = [table[f"pred_probs_{name}"].to_numpy(dtype=object) for name in self.classes]
        self._rarity = WordRarity(self._contexts)
        self._paragraphs = paragraph_numbers(self._contexts)
        self._answers = _answers(table, self.classes)
        self._memory = LabelMemory(self._contexts, self._titles, self._paragraphs, self._answers, len(self.classes))
        placed = [
            (context, span) for context, of_one in zip(self._contexts, self._answers, strict=True) for span, _ in of_one
        ]
        self._affixes = Affixes(placed)
        num_words = [sum(overlaps(word, span) for word in word_spans(context)) for context, span in placed]
        self._max_words = int(min(np.ceil(np.quantile(num_words, 1 - _LONGER)), _MAX_WORDS)) if placed else 1
        counts = np.bincount([class_index for of_one in self._answers for _, class_index in of_one],
                             minlength=len(self.classes)) + 1.0  # fmt: skip
        self._share_of_class = counts / counts.sum()
        self.given_answers: list[GivenSpan] = []
        places = self._empty_places(int(_PLACES_A_SPAN * len(placed)) + _SOME)
        for index, of_one in enumerate(self._answers):
            paragraph = self._paragraphs[index]
            given = [GivenSpan(index, self.classes[k], span, paragraph, span) for span, k in of_one]
            given += [GivenSpan(index, "", NO_SPAN, paragraph, place) for place in places[index]]
            self.given_answers += sorted(given, key=lambda of: of.place)
        self.fold = table["fold"].to_numpy()[[given.example_index for given in self.given_answers]]
        self._known: KnownAnswers = {}

    def tell(self, known: KnownAnswers) -> None:
        """Let the sites of places that reviewers have decided on know what is right there."""
        self._known = known

    def of(self, rows: Iterable[int]) -> Iterator[tuple[int, SpanSite]]:
        """Yield the sites of these rows in `given_answers`, with their rows, example by example."""
        rows_of: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            rows_of[self.given_answers[row].example_index].append(row)
        for example_index, of_example in rows_of.items():
            text = ContextText(self._contexts[example_index], self._rarity, self._affixes)
            features = SpanFeatures(
                text, *(np.asarray(of[example_index]) for of in self._tokens.values()), self._probs_of(example_index),
                self._memory, Place(self._titles[example_index], self._paragraphs[example_index]),
                self._share_of_class,
            )  # fmt: skip
            for row in of_example:
                yield row, self._site(self.given_answers[row], text, features)

    def _probs_of(self, example_index: int) -> np.ndarray:
        return np.column_stack([np.asarray(of_class[example_index], dtype=np.float64) for of_class in self._probs])

    def _site(self, given: GivenSpan, text: ContextText, features: SpanFeatures) -> SpanSite:
        own = self._answers[given.example_index]
        right = self._right(given)
        wanted = [given.span] * (given.span != NO_SPAN) + [span for span, _ in right[:1]]
        spans = self._candidates(given, [span for span, _ in own], wanted, text)
        of_spans = features.of(spans)
        num_classes = len(self.classes)
        chars = np.column_stack([spans.char_start, spans.char_end])
        is_wanted = np.array([tuple(span) in wanted for span in chars.tolist()])
        # As good as its likeliest class.
        utility = (of_spans @ self._prior).reshape(-1, num_classes).max(axis=1)
        kept = np.flatnonzero(is_wanted | (np.argsort(np.argsort(-utility, kind="stable")) < self._num_spans))
        of_kept = of_spans.reshape(-1, num_classes, of_spans.shape[1])[kept].reshape(-1, of_spans.shape[1])
        all_spans = np.vstack([np.repeat(chars[kept], num_classes, axis=0), NO_SPAN])
        class_index = np.append(np.tile(np.arange(num_classes), len(kept)), -1)

        def row_of(span: Span, index: int) -> int:
            return int(np.flatnonzero((all_spans == span).all(axis=1) & (class_index == index))[0])

        given_row = len(class_index) - 1
        if given.span != NO_SPAN:
            given_row = row_of(given.span, self.classes.index(given.class_name))
        is_known = self._is_known(given)
        right_row = (row_of(*right[0]) if right else len(class_index) - 1) if is_known else given_row
        return SpanSite(
            given=given,
            text=text.context,
            spans=all_spans,
            classes=self.classes,
            class_index=class_index,
            features=np.vstack([of_kept, features.of_nothing(*given.place)]),
            given_row=given_row,
            right_row=right_row,
            is_known=is_known,
            cuts_word=given.span != NO_SPAN and self._affixes.is_slip(text.context, given.span),
        )

    def _is_known(self, given: GivenSpan) -> bool:
        if given.example_index not in self._known:
            return False
        places = self._known[given.example_index].places
        return places is None or any(overlaps(given.place, place) for place in places)

    def _right(self, given: GivenSpan) -> list[tuple[Span, int]]:
        """Return what a reviewer said is right in a place, as spans with their classes, the given one first."""
        if not self._is_known(given):
            return []
        right = self._known[given.example_index].right
        found = [(span, k) for k, name in enumerate(self.classes) for span in right.get(name, ())]
        own = {(span, k) for span, k in self._answers[given.example_index]}
        as_given = (given.span, self.classes.index(given.class_name)) if given.class_name else None
        # What is right in the place of another given span is not right here.
        here = [item for item in found if overlaps(item[0], given.place) and (item not in own or item == as_given)]
        return sorted(here, key=lambda item: item != as_given)

    def _candidates(self, given: GivenSpan, own: list[Span], wanted: list[Span], text: ContextText) -> TextSpans:
        """Return the spans that overlap a place and no other given span, and those that are wanted."""
        start, end = given.place
        first = int(np.searchsorted(text.word_end, start, side="right"))
        last = int(np.searchsorted(text.word_start, end, side="left"))
        others = [span for span in own if span != given.span]
        starts = np.array([at for of_word in text.starts[max(0, first - _REACH) : last] for at in of_word])
        ends = np.array([at for of_word in text.ends[first : last + _REACH] for at in of_word])
        char_start, char_end = (grid.ravel() for grid in np.meshgrid(starts, ends, indexing="ij"))
        is_span = (char_start < char_end) & (char_start < end) & (char_end > start)
        for span in others:
            is_span &= ~overlaps((char_start, char_end), span)
        spans = TextSpans(text, char_start[is_span], char_end[is_span])
        longest = max(self._max_words, last - first)
        chosen = spans.num_words <= longest
        pairs = dict.fromkeys(zip(spans.char_start[chosen].tolist(), spans.char_end[chosen].tolist(), strict=True))
        pairs = np.array([*pairs, *(span for span in wanted if span not in pairs)]).reshape(-1, 2)
        return TextSpans(text, *pairs.T)

    def _empty_places(self, count: int) -> list[list[Span]]:
        """Return the places of each example where a span may be missing: neighbouring likely words without a label.

        Of all examples' words, the `count` likeliest may be missing a label.
        """
        words_of, likely_of = [], []
        for index, context in enumerate(self._contexts):
            words = np.array(word_spans(context), dtype=np.int64).reshape(-1, 2)
            for span, _ in self._answers[index]:
                words = words[~overlaps(tuple(words.T), span)]
            start, end = (np.asarray(of[index]) for of in self._tokens.values())
            highest = self._probs_of(index).max(axis=1)
            touched = [(start < word_end) & (end > word_start) for word_start, word_end in words.tolist()]
            likely = np.array([highest[of_word].max(initial=0.0) for of_word in touched])
            for number, word in enumerate(words.tolist()):
                counts = self._memory.elsewhere(key_of(context, word), self._paragraphs[index])
                if 2 * counts[:-1].sum() > counts[-1]:
                    likely[number] = max(likely[number], _LIKELY)
            words_of.append(words)
            likely_of.append(likely)
        of_all = np.concatenate(likely_of) if likely_of else np.zeros(0)
        least = max(_LIKELY, np.sort(of_all)[-count]) if len(of_all) > count else _LIKELY
        places = []
        for context, words, likely in zip(self._contexts, words_of, likely_of, strict=True):
            of_example: list[Span] = []
            for word_start, word_end in words[likely >= least].tolist():
                if of_example and not context[of_example[-1][1] : word_start].strip():
                    of_example[-1] = (of_example[-1][0], word_end)
                else:
                    of_example.append((word_start, word_end))
            places.append(of_example)
        return places


def labels_every_span(table: pd.DataFrame) -> bool:
    """Return whether the labels of a table mark every span of their kind, rather than answer questions.

    So it is without questions, with several span classes, and where many labelled examples have two answers that share
    no character; but not where the answers of an example are those of several annotators.
    """
    if "given_annotator" in table:
        return False
    if len(span_classes_of(table)) > 1 or not any(table["question"]):
        return True
    spans = [[span for span, _ in of_one] for of_one in _answers(table, span_classes_of(table)) if of_one]
    apart = [not all(overlaps(*pair) for pair in combinations(of_one, 2)) for of_one in spans]
    return bool(apart) and float(np.mean(apart)) >= _SEVERAL


def _answers(table: pd.DataFrame, classes: list[str]) -> list[list[tuple[Span, int]]]:
    """Return the different given spans of each example, with the indices of their classes."""
    columns = (table[name] for name in ("given_answer", "given_start", "given_label"))
    return [
        list(dict.fromkeys(
            ((int(start), int(start) + len(text)), classes.index(name))
            for text, start, name in zip(texts, starts, names, strict=True)
        ))
        for texts, starts, names in zip(*columns, strict=True)
    ]  # fmt: skip
