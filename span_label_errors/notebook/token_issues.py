"""Labels that cleanlab finds wrong, token by token."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from span_label_errors.data.parts import in_parts

# When it is imported, cleanlab 2.9 silences every warning of the process, ours that examples were dropped among them.
with warnings.catch_warnings():
    from cleanlab.experimental.span_classification import display_issues, get_label_quality_scores
    from cleanlab.filter import find_label_issues

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
    probs, given = np.concatenate(pred_probs), np.concatenate(labels)
    if given.all():
        # Where every token is labelled there is nothing to confuse, and cleanlab refuses to look.
        return []
    issues = find_label_issues(given, np.stack([1 - probs, probs], axis=1), return_indices_ranked_by="self_confidence")
    starts = np.cumsum([0, *map(len, labels)])
    # Behind examples without a token, the last that starts there is the one that has it.
    example_index = np.searchsorted(starts, issues, side="right") - 1
    return list(zip(example_index.tolist(), (issues - starts[example_index]).tolist(), strict=True))


def token_quality_scores(labels: Sequence[np.ndarray], pred_probs: Sequence[np.ndarray]) -> np.ndarray:
    """Score examples as `cleanlab.experimental.span_classification.get_label_quality_scores` does, part by part.

    That function makes Python objects of all tokens at once; an example's score depends on its own tokens only.

    Labels and probabilities are as in `find_token_issues`. The scores have the shape (n,); low is suspicious.
    """
    examples = zip(labels, pred_probs, strict=True)
    parts = in_parts(examples, lambda example: len(example[0]), _EXAMPLES_AT_ONCE)
    return np.concatenate([get_label_quality_scores(*map(list, zip(*part, strict=True)))[0] for part in parts])


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
