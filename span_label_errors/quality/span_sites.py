"""The places of a data set where every span is labelled: given spans, and where one may be missing."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from span_label_errors.quality.affixes import Affixes
from span_label_errors.quality.context import ContextText, TextSpans, WordRarity, num_words_of
from span_label_errors.quality.joined_text import JoinedText
from span_label_errors.quality.memory import LabelMemory
from span_label_errors.quality.sites import NO_SPAN, KnownAnswers
from span_label_errors.quality.span_candidates import (
    Candidates,
    is_highest,
    is_wanted,
    spans_at_places,
    with_wanted,
)
from span_label_errors.quality.span_features import SpanFeatures
from span_label_errors.quality.span_places import empty_places
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, overlaps, paragraph_numbers

# Candidates are as long as all but this share of the data's own spans, and no longer than so many words.
_LONGER, _MAX_WORDS = 0.005, 30
# Of so many spans at most, in the order of the choice's prior.
NUM_SPANS = 60
# Of each given span, there is at most one word without a label where one may be missing, those that are likeliest.
_PLACES_A_SPAN, _SOME = 1.0, 50
# Of data with questions, the share of labelled examples with answers apart, from which on these are spans.
_SEVERAL = 0.2
# The features of all spans at so many places are held in memory at once.
_SITES_AT_ONCE = 100


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
    rarity : WordRarity
    affixes : Affixes
        Of all contexts and given spans.
    """

    def __init__(self, table: pd.DataFrame, prior: np.ndarray, num_spans: int = NUM_SPANS):
        self._prior, self._num_spans, self.classes = prior, num_spans, span_classes_of(table)
        self._contexts = table["context"].tolist()
        self._tokens = [table[name].to_numpy(dtype=object) for name in ("char_start", "char_end")]
        self._probs = [table[f"pred_probs_{name}"].to_numpy(dtype=object) for name in self.classes]
        self.rarity = WordRarity(self._contexts)
        self._answers = _answers(table, self.classes)
        paragraphs = paragraph_numbers(self._contexts)
        self._memory = LabelMemory(
            self._contexts, table["title"].tolist(), paragraphs, self._answers, len(self.classes)
        )  # fmt: skip
        placed = [
            (context, span) for context, of_one in zip(self._contexts, self._answers, strict=True) for span, _ in of_one
        ]
        self.affixes = Affixes(placed)
        num_words = [num_words_of(*of_one) for of_one in placed]
        self._max_words = int(min(np.ceil(np.quantile(num_words, 1 - _LONGER)), _MAX_WORDS)) if placed else 1
        counts = np.bincount([class_index for of_one in self._answers for _, class_index in of_one],
                             minlength=len(self.classes)) + 1.0  # fmt: skip
        self._share_of_class = counts / counts.sum()
        tokens = map(self._tokens_of, range(len(self._contexts)))
        places = empty_places(
            self._contexts, tokens, self._answers, self._memory, int(_PLACES_A_SPAN * len(placed)) + _SOME
        )
        self.given_answers: list[GivenSpan] = []
        for index, of_one in enumerate(self._answers):
            paragraph = paragraphs[index]
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
        by_example = list(chain.from_iterable(rows_of.values()))
        for first in range(0, len(by_example), _SITES_AT_ONCE):
            at_once = by_example[first : first + _SITES_AT_ONCE]
            yield from zip(at_once, self._sites([self.given_answers[row] for row in at_once]), strict=True)

    def _sites(self, given: list[GivenSpan]) -> Iterator[SpanSite]:
        examples = list(dict.fromkeys(of.example_index for of in given))
        text = JoinedText([ContextText(self._contexts[index], self.rarity, self.affixes) for index in examples])
        tokens = [self._tokens_of(index) for index in examples]
        features = SpanFeatures(text, np.array(examples), tokens, self._memory, self._share_of_class)
        first_char_of = dict(zip(examples, text.first_char.tolist(), strict=False))
        first_char = np.array([first_char_of[of.example_index] for of in given])
        places = _moved([of.place for of in given], first_char)
        is_known, given_items = [self._is_known(of) for of in given], [self._given_item(of) for of in given]
        right_items = [
            (self._right(of) or [(NO_SPAN, -1)])[0] if is_decided else item
            for of, is_decided, item in zip(given, is_known, given_items, strict=True)
        ]
        (given_spans, given_classes), (right_spans, right_classes) = (
            (_moved([span for span, _ in items], first_char), np.array([index for _, index in items]))
            for items in (given_items, right_items)
        )
        place, spans = self._spans_at(text, examples, given, places)
        for wanted in (given_spans, right_spans):
            place, spans = with_wanted(place, spans, wanted)
        of_spans = features.of(spans)
        # As good as its likeliest class.
        utility = (of_spans.reshape(-1, of_spans.shape[2]) @ self._prior).reshape(of_spans.shape[:2]).max(axis=1)
        kept = is_highest(place, utility, self._num_spans)
        for wanted in (given_spans, right_spans):
            kept |= is_wanted(place, spans, wanted)
        candidates = Candidates(place[kept], spans.where(kept), of_spans[kept], features.of_nothing(*places.T))
        given_rows = candidates.rows_of(given_spans, given_classes).tolist()
        right_rows = candidates.rows_of(right_spans, right_classes).tolist()
        all_spans = _moved(candidates.spans, -first_char[candidates.place])
        for number, of in enumerate(given):
            of_place = slice(*candidates.first_row[number : number + 2])
            context = self._contexts[of.example_index]
            yield SpanSite(
                given=of,
                text=context,
                spans=all_spans[of_place],
                classes=self.classes,
                class_index=candidates.class_index[of_place],
                features=candidates.features[of_place],
                given_row=given_rows[number],
                right_row=right_rows[number],
                is_known=is_known[number],
                cuts_word=of.span != NO_SPAN and self.affixes.is_slip(context, of.span),
            )

    def _spans_at(
        self, text: JoinedText, examples: list[int], given: list[GivenSpan], places: np.ndarray
    ) -> tuple[np.ndarray, TextSpans]:
        own = [[span for span, _ in self._answers[index]] for index in examples]
        own_spans = _moved(
            [span for of_one in own for span in of_one], np.repeat(text.first_char[:-1], list(map(len, own)))
        )
        num_given = [sum(span == of.span for span, _ in self._answers[of.example_index]) for of in given]
        return spans_at_places(text, places, own_spans, np.array(num_given), self._max_words)

    def _tokens_of(self, example_index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the characters of an example's C tokens, and the probabilities of the classes, shape (C, K)."""
        char_start, char_end = (np.asarray(of[example_index]) for of in self._tokens)
        probs = np.array([of_class[example_index] for of_class in self._probs], dtype=np.float64)
        return char_start, char_end, probs.T

    def _given_item(self, given: GivenSpan) -> tuple[Span, int]:
        return given.span, self.classes.index(given.class_name) if given.class_name else -1

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
        as_given = self._given_item(given)
        # What is right in the place of another given span is not right here.
        here = [item for item in found if overlaps(item[0], given.place) and (item not in own or item == as_given)]
        return sorted(here, key=lambda item: item != as_given)


def _moved(spans: Sequence[Span], by: np.ndarray) -> np.ndarray:
    """Return spans so many characters further behind, of shape (S, 2); `NO_SPAN` stays."""
    spans = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return np.where(spans == NO_SPAN, NO_SPAN, spans + by[:, None])


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
