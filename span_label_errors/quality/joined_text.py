"""Several contexts as one text, so that what is computed for a span is computed for those of all of them at once."""

from collections.abc import Sequence

import numpy as np

from span_label_errors.quality.context import ContextText, Ranges, ranges_touched


class JoinedText:
    """The E contexts of a few examples, one behind the other with a line break between them.

    A character of an example is `first_char` further behind in the joined text. No span goes over the end of a context.

    Attributes
    ----------
    context : str
        All of them.
    first_char, first_word : ndarray of shape (E + 1,)
        The first character and word of each context; and of one behind the last.
    word_start, word_end, rarities, is_name, follows, marks : ndarray
        As in `ContextText`.
    begins_sentence : ndarray of shape (W,)
        Whether each word is the first one of a sentence.
    starts, ends : ndarray
        The characters at which spans may begin and end.
    first_start, first_end : ndarray of shape (W + 1,)
        The position of the first of them that belongs to each word.
    """

    def __init__(self, texts: Sequence[ContextText]):
        self._texts = texts
        self.context = "\n".join(text.context for text in texts)
        self.first_char = offsets([len(text.context) + 1 for text in texts])
        self.first_word = offsets([len(text.word_start) for text in texts])
        self.word_start = self.characters([text.word_start for text in texts])
        self.word_end = self.characters([text.word_end for text in texts])
        self.marks = self.characters([text.marks for text in texts])
        self.rarities = np.concatenate([text.rarities for text in texts])
        self.is_name = np.concatenate([text.is_name for text in texts])
        # A context's last word is followed by nothing, and so nothing stands before its first.
        self.follows = np.append(np.concatenate([text.follows[:-1] for text in texts]), False)
        self.begins_sentence = np.concatenate([np.diff(text.sentence, prepend=-1) != 0 for text in texts])
        self.starts, self.first_start = self._places([text.starts for text in texts])
        self.ends, self.first_end = self._places([text.ends for text in texts])

    def words_touched(self, char_start: np.ndarray, char_end: np.ndarray) -> "JoinedRanges":
        """Return the words that share a character with each of S spans, as `ContextText` does."""
        return self.touched(self.word_start, self.word_end, self.first_word, char_start, char_end)

    def touched(
        self,
        piece_start: np.ndarray,
        piece_end: np.ndarray,
        first_piece: np.ndarray,
        char_start: np.ndarray,
        char_end: np.ndarray,
    ) -> "JoinedRanges":
        """Return `ranges_touched` of pieces, of which `first_piece` of shape (E + 1,) are the first of a context."""
        first, behind = ranges_touched(piece_start, piece_end, char_start, char_end)
        example = self.example_of(char_start)
        behind_context = first_piece[example + 1]
        return JoinedRanges(
            np.minimum(first, behind_context - 1), np.minimum(behind, behind_context), example, first_piece
        )

    def example_of(self, char_start: np.ndarray) -> np.ndarray:
        """Return the position of the context that characters are in."""
        return np.searchsorted(self.first_char, char_start, side="right") - 1

    def cuts_words(self, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
        """Return whether spans begin or end inside a word where answers of the data do not, as `ContextText`."""
        cut = ~(np.isin(char_start, self.starts) & np.isin(char_end, self.ends))
        # Seldom: a candidate begins and ends where spans may.
        for row in np.flatnonzero(cut).tolist():
            example = int(self.example_of(char_start[row]))
            span = np.array([[char_start[row]], [char_end[row]]]) - self.first_char[example]
            cut[row] = self._texts[example].cuts_words(*span)[0]
        return cut

    def characters(self, of_contexts: Sequence[np.ndarray]) -> np.ndarray:
        """Return characters of each context as those of the joined text, one context's behind the other's."""
        lengths = [len(of_context) for of_context in of_contexts]
        return np.concatenate(of_contexts) + np.repeat(self.first_char[:-1], lengths)

    def _places(self, of_contexts: Sequence[list[list[int]]]) -> tuple[np.ndarray, np.ndarray]:
        places = [np.array([at for of_word in of_context for at in of_word]) for of_context in of_contexts]
        return self.characters(places), offsets([len(of_word) for of_context in of_contexts for of_word in of_context])


class JoinedRanges(Ranges):
    """S ranges of pieces, each within one of E contexts, of shape (S,), whose pieces begin at `first_piece`."""

    def __init__(self, start: np.ndarray, end: np.ndarray, example: np.ndarray, first_piece: np.ndarray):
        super().__init__(start, end)
        self.example, self._first_piece = example, first_piece

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of each range, shape (S, ...), of values of shape (P, ...)."""
        # Added up context by context: what stands beside one in the joined text may not change its last digits.
        sums, zero = [], np.zeros((1, *values.shape[1:]))
        for of_context in np.split(values, self._first_piece[1:-1]):
            sums += [zero, np.cumsum(of_context, axis=0)]
        sums = np.concatenate(sums)
        return sums[self.end + self.example] - sums[self.start + self.example]


def offsets(lengths: Sequence[int]) -> np.ndarray:
    """Return where parts of these lengths begin, one behind the other, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
