"""The expected token-level F1 of spans and labels, from token probabilities alone.

After the plug-in rule of Jansche (2007), "A maximum expected utility framework for binary sequence labeling": the ratio
of the expectations stands for the expected ratio, `2 * sum(p of the marked tokens) / (marked tokens + sum(p))`.
Marking nothing is right with the probability that no token is labelled, taking tokens as independent.
"""

import numpy as np

MAX_ANSWER_TOKENS = 30


def expected_f1(
    sum_of_probs: float | np.ndarray, num_tokens: int | np.ndarray, total: float | np.ndarray
) -> float | np.ndarray:
    """Return the expected F1 of marking some tokens, element by element where an argument is an array.

    `sum_of_probs` is the sum of P(span class) over the `num_tokens` marked tokens, `total` that over the whole context.
    """
    return 2 * sum_of_probs / (num_tokens + total)


def range_sums(cumulative: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the sums of all ranges of K lengths that begin at one of C values, shape (K, C); -inf beyond the end.

    `cumulative`, of shape (C + 1,), has the cumulative sums of the values, and begins with 0.
    """
    num = len(cumulative) - 1
    padded = np.concatenate([cumulative, np.full(int(lengths.max(initial=0)), -np.inf)])
    return padded[np.arange(num) + lengths[:, None]] - cumulative[:-1]


def expected_f1_of_spans(probs: np.ndarray, max_tokens: int = MAX_ANSWER_TOKENS) -> np.ndarray:
    """Return the expected F1 of every span of up to `max_tokens` tokens; `probs` as in `best_span`.

    Returns
    -------
    ndarray of shape (L, C)
        In row i, of the spans of i + 1 tokens that begin at each token; -inf where the context is too short.
    """
    cumulative = np.concatenate([[0.0], np.cumsum(probs)])
    lengths = np.arange(1, min(max_tokens, len(probs)) + 1)
    return expected_f1(range_sums(cumulative, lengths), lengths[:, None], cumulative[-1])


def best_span(probs: np.ndarray, max_tokens: int = MAX_ANSWER_TOKENS) -> tuple[int, int] | None:
    """Return the span of the highest expected F1.

    It needs no threshold, so it also serves a model whose probabilities are all low.

    Parameters
    ----------
    probs : ndarray of shape (C,)
        P(span class) of each context token.
    max_tokens : int
        Longest span considered.

    Returns
    -------
    (token_start, token_end) or None
        Half-open. None unless a span's expected F1 is higher than that of "no answer". Of equally good spans, the
        shortest and then the first.
    """
    probs = np.asarray(probs, dtype=np.float64)
    f1 = expected_f1_of_spans(probs, max_tokens).round(12)  # differences of sums are not exact, and ties must stay ties
    if not f1.size or f1.max() <= np.prod(1.0 - probs):
        return None
    row, token_start = divmod(int(f1.argmax()), len(probs))
    return token_start, token_start + row + 1


def expected_f1_share(labels: np.ndarray, probs: np.ndarray) -> float:
    """Return the expected F1 of labels as a share of the best that any labels have: the k likeliest tokens, or none.

    Parameters
    ----------
    labels, probs : ndarray of shape (C,)
        0 or 1, and P(span class); C at least 1.

    Returns
    -------
    float
        In [0, 1].
    """
    total = probs.sum()
    highest_first = np.sort(probs)[::-1].cumsum()
    none = float(np.prod(1 - probs))
    best = max(none, float(expected_f1(highest_first, np.arange(1, len(probs) + 1), total).max()))
    given = expected_f1(probs[labels == 1].sum(), labels.sum(), total) if labels.any() else none
    # Sums of the same numbers in another order may differ in the last digit.
    return min(1.0, given / best)
