"""Labels that cleanlab finds wrong, token by token."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from span_label_errors.data.parts import in_parts

# When it is imported, cleanlab 2.9 silences every warning of the process, ours that examples were dropped among them.
with warnings.catch_warnings():
    from cleanlab.experimental.span_classification import display_issues
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

__all__ = ["display_issues", "find_token_issues", "show_token_issues", "token_quality_scores"]

_EXAMPLES_AT_ONCE = 5000


def find_token_issues(labels: Sequence[np.ndarray], pred_probs: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Find what `cleanlab.experimental.span_classification.find_label_issues` finds, in a fraction of its memory.

    That function makes Python objects of every token, gigabytes of them for a data set of SQuAD's size.

    Parameters
    ----------
    labels : sequence of ndarray of shape (C,)
        For each example 0 or 1 of each token.
    pred_probs : sequence of ndarray of shape (C,)
        P(span class).

    Returns
    -------
    list of (example_index, token_index)
        The likeliest issue first.
    """
    given, probs = _of_tokens(labels, pred_probs)
    if given.all():
        # Where every token is labelled there is nothing to confuse, and cleanlab refuses to look.
        return []
    issues = find_label_issues(given, probs, return_indices_ranked_by="self_confidence")
    starts = np.cumsum([0, *map(len, labels)])
    # Behind examples without a token, the last that starts there is the one that has it.
    example_index = np.searchsorted(starts, issues, side="right") - 1
    return list(zip(example_index.tolist(), (issues - starts[example_index]).tolist(), strict=True))


def token_quality_scores(labels: Sequence[np.ndarray], pred_probs: Sequence[np.ndarray]) -> np.ndarray:
    """Score examples as `cleanlab.experimental.span_classification.get_label_quality_scores` does, part by part.

    That function makes Python objects of all tokens at once; an example's score is the lowest of its own tokens.

    Labels and probabilities are as in `find_token_issues`. The scores have the shape (n,); low is suspicious.
    """
    examples = zip(labels, pred_probs, strict=True)
    scores = []
    for part in in_parts(examples, lambda example: len(example[0]), _EXAMPLES_AT_ONCE):
        of_tokens = get_label_quality_scores(*_of_tokens(*zip(*part, strict=True)))
        borders = np.cumsum([len(given) for given, _ in part])[:-1]
        scores += [of_example.min() for of_example in np.split(of_tokens, borders)]
    return np.array(scores)


def _of_tokens(labels: Iterable[np.ndarray], pred_probs: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return label, 0 or 1, and probabilities of both of all T tokens, of shapes (T,) and (T, 2)."""
    probs = np.concatenate([*pred_probs])
    given = np.concatenate([*labels], dtype=np.int8, casting="unsafe")
    return given, np.stack([1 - probs, probs], axis=1)


def show_token_issues(
    issues: Sequence[tuple[int, int]],
    tokens: Sequence[Sequence[str]],
    labels: Sequence[np.ndarray],
    pred_probs: Sequence[np.ndarray],
    *,
    neighbours: int = 6,
) -> pd.DataFrame:
    """Show each issue between its neighbours, where `display_issues` prints whole contexts.

    Parameters
    ----------
    issues : sequence of (example_index, token_index)
    tokens, labels, pred_probs : sequences
        Of all examples; labels and probabilities as in `find_token_issues`.
    neighbours : int
        How many tokens are shown on each side.

    Returns
    -------
    DataFrame
        By issue: `token` in brackets between its neighbours, `label` (0 or 1) and `P(label)`.
    """
    rows = []
    for example_index, token_index in issues:
        of_example = tokens[example_index]
        before = of_example[max(0, token_index - neighbours) : token_index]
        after = of_example[token_index + 1 : token_index + 1 + neighbours]
        label, prob = int(labels[example_index][token_index]), float(pred_probs[example_index][token_index])
        text = " ".join([*before, f"[{of_example[token_index]}]", *after])
        rows.append((text, label, prob if label else 1 - prob))
    index = pd.MultiIndex.from_tuples(issues, names=["example_index", "token_index"]) if rows else None
    return pd.DataFrame(rows, index=index, columns=["token", "label", "P(label)"])
