"""Which spans may be right in a place of a text where every span is labelled."""

import numpy as np

from span_label_errors.quality.context import TextSpans
from span_label_errors.quality.joined_text import JoinedText, offsets
from span_label_errors.quality.sites import NO_SPAN

# Candidates begin and end at most so many words outside of a place.
_REACH = 3


def spans_at_places(
    text: JoinedText, places: np.ndarray, own_spans: np.ndarray, num_given: np.ndarray, max_words: int
) -> tuple[np.ndarray, TextSpans]:
    """Return the spans that overlap places, and no given span but the one that a place is.

    Parameters
    ----------
    text
    places : ndarray of shape (P, 2)
        Characters of the joined text.
    own_spans : ndarray of shape (G, 2)
        All given spans, those of several classes as often as they are given.
    num_given : ndarray of shape (P,)
        How often the place itself is given: 0 where none is.
    max_words : int
        A span may be as long as its place, or as this.

    Returns
    -------
    place : ndarray of shape (S,)
        The position of each span's place.
    spans : TextSpans
        S spans, place by place.
    """
    place_start, place_end = places.T
    first_word = np.searchsorted(text.word_end, place_start, side="right")
    behind = np.searchsorted(text.word_start, place_end, side="left")
    example = text.example_of(place_start)
    # Every place to begin of some words with every place to end of others.
    first_start = text.first_start[np.maximum(first_word - _REACH, text.first_word[example])]
    first_end = text.first_end[first_word]
    num_starts = np.maximum(text.first_start[behind] - first_start, 0)
    num_ends = text.first_end[np.minimum(behind + _REACH, text.first_word[example + 1])] - first_end
    place, number = numbered(num_starts * num_ends)
    start_row, end_row = np.divmod(number, num_ends[place])
    char_start, char_end = text.starts[first_start[place] + start_row], text.ends[first_end[place] + end_row]
    # A given span that neither begins behind a candidate nor ends before it shares a character with it.
    own_start, own_end = np.sort(own_spans, axis=0).T
    num_overlapped = np.searchsorted(own_start, char_end, side="left")
    num_overlapped -= np.searchsorted(own_end, char_start, side="right")
    is_span = (char_start < char_end) & (char_start < place_end[place]) & (char_end > place_start[place])
    is_span &= num_overlapped == num_given[place]
    place, char_start, char_end = place[is_span], char_start[is_span], char_end[is_span]
    word_start, word_end = text.words_touched(char_start, char_end)
    is_short = word_end - word_start <= np.maximum(max_words, behind - first_word)[place]
    return place[is_short], TextSpans(text, char_start[is_short], char_end[is_short])


def with_wanted(place: np.ndarray, spans: TextSpans, wanted: np.ndarray) -> tuple[np.ndarray, TextSpans]:
    """Return the same with a wanted span at each place, of shape (P, 2); `NO_SPAN` is none.

    It stands behind the others, if it is not one of them.
    """
    chars = np.column_stack([spans.char_start, spans.char_end])
    has_wanted = (wanted == NO_SPAN).all(axis=1)
    has_wanted[place[is_wanted(place, spans, wanted)]] = True
    missing = np.flatnonzero(~has_wanted)
    if not len(missing):
        return place, spans
    place, chars = np.concatenate([place, missing]), np.concatenate([chars, wanted[missing]])
    order = np.argsort(place, kind="stable")
    return place[order], TextSpans(spans.text, *chars[order].T)


def is_wanted(place: np.ndarray, spans: TextSpans, wanted: np.ndarray) -> np.ndarray:
    """Return which spans are the wanted ones of their places, shape (S,)."""
    return (spans.char_start == wanted[place, 0]) & (spans.char_end == wanted[place, 1])


def is_highest(place: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Return which of S values, place by place, are the highest of their place; of equal ones, the first."""
    order = np.lexsort((-values, place))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(place)) - np.searchsorted(place, place)
    return rank < count


class Candidates:
    """The candidates at P places: spans as each of K classes, and behind those of a place, nothing.

    Parameters
    ----------
    place : ndarray of shape (S,)
    spans : TextSpans
        S spans, place by place.
    of_spans : ndarray of shape (S, K, F)
        Their features.
    of_nothing : ndarray of shape (P, F)

    Attributes
    ----------
    place, class_index : ndarray of shape (R,)
        Of each candidate, place by place; the class of nothing is -1.
    spans : ndarray of shape (R, 2)
        `NO_SPAN` for nothing.
    features : ndarray of shape (R, F)
    first_row : ndarray of shape (P + 1,)
    """

    def __init__(self, place: np.ndarray, spans: TextSpans, of_spans: np.ndarray, of_nothing: np.ndarray):
        num_spans, num_classes, num_features = of_spans.shape
        num_rows = np.bincount(place, minlength=len(of_nothing)) * num_classes + 1
        self.place, self.first_row = np.repeat(np.arange(len(of_nothing)), num_rows), offsets(num_rows)
        is_span = np.ones(len(self.place), dtype=bool)
        is_span[self.first_row[1:] - 1] = False
        self.class_index = np.full(len(self.place), -1)
        self.class_index[is_span] = np.tile(np.arange(num_classes), num_spans)
        self.spans = np.full((len(self.place), 2), NO_SPAN)
        chars = np.column_stack([spans.char_start, spans.char_end])
        self.spans[is_span] = np.repeat(chars, num_classes, axis=0)
        self.features = np.empty((len(self.place), num_features))
        self.features[is_span] = of_spans.reshape(-1, num_features)
        self.features[~is_span] = of_nothing

    def rows_of(self, spans: np.ndarray, class_index: np.ndarray) -> np.ndarray:
        """Return the row of one candidate of each place among those of the place, by its span and class, shape (P,)."""
        is_one = (self.spans == spans[self.place]).all(axis=1) & (self.class_index == class_index[self.place])
        return np.flatnonzero(is_one) - self.first_row[:-1]


def numbered(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of so many things of each kind which kind it is of, and its number in the kind, from 0."""
    kind = np.repeat(np.arange(len(counts)), counts)
    return kind, np.arange(len(kind)) - np.repeat(np.cumsum(counts) - counts, counts)
