"""Where a label may be missing in data where every span is labelled."""

from collections.abc import Iterable, Sequence

import numpy as np

from span_label_errors.quality.memory import LabelMemory, key_of
from span_label_errors.spans.text import Span, overlaps, word_spans

# A label may be missing where a word is as likely as this, or is labelled elsewhere more often than not.
_LIKELY = 0.02


def empty_places(
    contexts: Sequence[str],
    tokens: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    answers: Sequence[list[tuple[Span, int]]],
    memory: LabelMemory,
    count: int,
) -> list[list[Span]]:
    """Return the places of each example where a span may be missing: neighbouring likely words without a label.

    Parameters
    ----------
    contexts : sequence of str, length n
    tokens : iterable of (char_start, char_end, probs), length n
        Characters of the C context tokens, of shape (C,), and probabilities of the classes, (C, K).
    answers : sequence of list of (span, class_index), length n
        The given spans.
    memory
        How texts are labelled elsewhere.
    count : int
        Of all examples' words, so many of the likeliest may be missing a label.
    """
    words_of, likely_of, number_of = [], [], []
    for context, (char_start, char_end, probs), spans in zip(contexts, tokens, answers, strict=True):
        words = np.array(word_spans(context), dtype=np.int64).reshape(-1, 2)
        for span, _ in spans:
            words = words[~overlaps(tuple(words.T), span)]
        words_of.append(words)
        likely_of.append(_highest_of_words(words, char_start, char_end, probs.max(axis=1)))
        number_of.append(memory.numbers_of(key_of(context, word) for word in words.tolist()))
    num_words = [len(words) for words in words_of]
    likely, number = np.concatenate(likely_of), np.concatenate(number_of)
    example_index, known = np.repeat(np.arange(len(contexts)), num_words), np.flatnonzero(number >= 0)
    counts = memory.elsewhere(number[known], example_index[known])
    is_mostly_labelled = 2 * counts[:, :-1].sum(axis=1) > counts[:, -1]
    labelled = known[is_mostly_labelled]
    likely[labelled] = np.maximum(likely[labelled], _LIKELY)
    least = max(_LIKELY, np.sort(likely)[-count]) if len(likely) > count else _LIKELY
    places: list[list[Span]] = [[] for _ in contexts]
    chosen = np.flatnonzero(likely >= least)
    chosen_words = np.concatenate(words_of)[chosen].tolist()
    for index, (word_start, word_end) in zip(example_index[chosen].tolist(), chosen_words, strict=True):
        of_example = places[index]
        if of_example and not contexts[index][of_example[-1][1] : word_start].strip():
            of_example[-1] = (of_example[-1][0], word_end)
        else:
            of_example.append((word_start, word_end))
    return places


def _highest_of_words(
    words: np.ndarray, char_start: np.ndarray, char_end: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Return the highest value of the tokens that each of W words touches, shape (W,); 0 for one that touches none."""
    first = np.searchsorted(char_end, words[:, 0], side="right")
    behind = np.searchsorted(char_start, words[:, 1], side="left")
    ranges = np.column_stack([first, np.maximum(first, behind)]).ravel()
    return np.where(first < behind, np.maximum.reduceat(np.append(values, 0.0), ranges)[::2], 0.0)
