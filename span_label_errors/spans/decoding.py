"""From probabilities of tokens to labelled spans, where several spans of several classes may stand in a text."""

import numpy as np

from span_label_errors.spans.text import begins_word


def decoded_spans(
    text: str, char_start: np.ndarray, char_end: np.ndarray, probs: np.ndarray
) -> list[tuple[int, int, int]]:
    """Return the likeliest spans of a text, in its order.

    The tokens of a word have one class, the one of the highest mean probability, if that is above a half; a token
    outside of words, such as punctuation, has its own. Neighbours of one class are a span, so two spans of one class
    that stand side by side are read as one.

    Parameters
    ----------
    text : str
    char_start, char_end : ndarray of shape (C,)
        Characters of the C tokens.
    probs : ndarray of shape (C, K)
        P(span class) of each.

    Returns
    -------
    list of (class_index, char_start, char_end)
    """
    if not len(char_start):
        return []
    first = np.flatnonzero(begins_word(text, char_start, char_end))
    mean = np.add.reduceat(np.asarray(probs, dtype=np.float64), first) / np.diff(first, append=len(char_start))[:, None]
    class_index = np.where(mean.max(axis=1) > 0.5, mean.argmax(axis=1), -1)
    last = np.append(first[1:], len(char_start)) - 1
    spans: list[tuple[int, int, int]] = []
    before = -1
    for of_unit, start, end in zip(
        class_index.tolist(), char_start[first].tolist(), char_end[last].tolist(), strict=True
    ):
        if of_unit >= 0 and of_unit == before:
            spans[-1] = (of_unit, spans[-1][1], end)
        elif of_unit >= 0:
            spans.append((of_unit, start, end))
        before = of_unit
    return spans
