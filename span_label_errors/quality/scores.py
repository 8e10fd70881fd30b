"""Label quality by out-of-fold probabilities alone."""

from collections.abc import Sequence

import numpy as np

from span_label_errors.spans.expected_f1 import expected_f1_share


def span_label_quality(labels: Sequence, pred_probs: Sequence) -> np.ndarray:
    """Score given labels by out-of-fold probabilities alone, one score an example.

    The score is the expected token-level F1 of the given labels, as a share of the highest expected F1 that any
    labels would have (see `expected_f1`). So the label as a whole is scored, relative to what the
    model thinks of its own context, and an example without an answer by how likely it is that there is none.

    Parameters
    ----------
    labels : sequence of array_like, length n
        For each example 0 or 1 of shape (C,) for C context tokens, or (C, K) for K span classes.
    pred_probs : sequence of array_like, length n
        P(span class), of the same shapes.

    Returns
    -------
    ndarray of shape (n,), float64
        In [0, 1], low is suspicious. With several span classes, the lowest of their scores.

    Raises
    ------
    ValueError
        If lengths or shapes differ, an example has no token, or a value is no number or out of range; the
        message names the example's index.
    """
    if len(labels) != len(pred_probs):
        raise ValueError(f"expected as many pred_probs as labels ({len(labels)}), found {len(pred_probs)}")
    return np.array(
        [
            min(expected_f1_share(of_class, probs) for of_class, probs in zip(given.T, predicted.T, strict=True))
            for given, predicted in map(_checked, range(len(labels)), labels, pred_probs)
        ]
    )


def _checked(example_index: int, labels: object, pred_probs: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and probabilities of one example as arrays of shape (C, K)."""
    where = f"example {example_index}"
    try:
        labels, probs = np.asarray(labels, dtype=np.float64), np.asarray(pred_probs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected labels and pred_probs to be arrays of numbers; {error}") from error
    if labels.shape != probs.shape or probs.ndim not in (1, 2) or not probs.size:
        raise ValueError(
            f"{where}: expected labels and pred_probs of one shape, (tokens,) or (tokens, span classes), with at least "
            f"one token, found {labels.shape} and {probs.shape}"
        )
    for values, is_valid, expected in (
        (probs, (probs >= 0) & (probs <= 1), "pred_probs from 0 to 1"),
        (labels, np.isin(labels, (0, 1)), "labels of 0 or 1"),
    ):
        if not is_valid.all():
            token = np.argwhere(~is_valid)[0][0]
            raise ValueError(f"{where}: expected {expected}, found {values[~is_valid][0]} at token {token}")
    return labels.reshape(len(labels), -1), probs.reshape(len(probs), -1)
