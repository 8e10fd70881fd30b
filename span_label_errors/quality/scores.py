"""Label quality by out-of-fold probabilities alone."""

from collections.abc import Iterator, Sequence

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
    return np.array(
        [
            min(expected_f1_share(of_class, probs) for of_class, probs in zip(given.T, predicted.T, strict=True))
            for given, predicted in _checked(labels, pred_probs)
        ]
    )


def _checked(labels: Sequence, pred_probs: Sequence) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Check labels and probabilities, and yield them as arrays of shape (C, K); raises as `span_label_quality`."""
    if len(labels) != len(pred_probs):
        raise ValueError(f"expected as many pred_probs as labels ({len(labels)}), found {len(pred_probs)}")
    num_classes = None
    for example_index, (given, probs) in enumerate(zip(labels, pred_probs, strict=True)):
        given, probs = _numbers(given, "labels", example_index), _numbers(probs, "pred_probs", example_index)
        problem = _problem_of(given, probs)
        if problem:
            raise ValueError(f"example {example_index}: expected {problem[0]}, found {problem[1]}")
        given, probs = given.reshape(len(given), -1), probs.reshape(len(probs), -1)
        num_classes = num_classes or given.shape[1]
        if given.shape[1] != num_classes:
            raise ValueError(
                f"example {example_index}: expected {num_classes} span classes as in example 0, found {given.shape[1]}"
            )
        yield given, probs


def _numbers(values: object, name: str, example_index: int) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"example {example_index}: expected {name} as an array, found rows that differ") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"example {example_index}: expected {name} to be numbers, found an array of {array.dtype}")
    return array.astype(np.float64)


def _problem_of(labels: np.ndarray, probs: np.ndarray) -> tuple[str, str] | None:
    if labels.shape != probs.shape:
        return f"pred_probs of the shape of the labels, {labels.shape}", f"{probs.shape}"
    if probs.ndim not in (1, 2):
        return "arrays of shape (tokens,) or (tokens, span classes)", f"{probs.shape}"
    if not probs.size:
        return "at least one token and one span class", f"{probs.shape}"
    if not np.isfinite(probs).all():
        return "finite pred_probs", f"{probs[~np.isfinite(probs)][0]} at token {np.argwhere(~np.isfinite(probs))[0][0]}"
    out_of_range = (probs < 0) | (probs > 1)
    if out_of_range.any():
        return "pred_probs from 0 to 1", f"{probs[out_of_range][0]} at token {np.argwhere(out_of_range)[0][0]}"
    neither = ~np.isin(labels, (0, 1))
    if neither.any():
        return "labels of 0 or 1", f"{labels[neither][0]} at token {np.argwhere(neither)[0][0]}"
    return None
