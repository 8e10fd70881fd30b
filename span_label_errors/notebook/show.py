"""Show what a notebook is about: a context shaded by its probabilities, and the tokens that cleanlab finds wrong."""

import html
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from IPython.display import HTML

if TYPE_CHECKING:
    from span_label_errors.model.predictions import SpanPrediction

# When it is imported, cleanlab 2.9 silences every warning of the process, ours that examples were dropped among them.
with warnings.catch_warnings():
    from cleanlab.experimental.span_classification import display_issues, get_label_quality_scores
    from cleanlab.filter import find_label_issues

__all__ = ["display_issues", "find_token_issues", "show_context", "token_quality_scores", "visible"]

_EXAMPLES_AT_ONCE = 5000

# Signs for control characters but tab and newline; C1 ones have no signs of their own.
_CONTROL_SIGNS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


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
    probs = np.concatenate(pred_probs)
    issues = find_label_issues(
        np.concatenate(labels), np.stack([1 - probs, probs], axis=1), return_indices_ranked_by="self_confidence"
    )
    starts = np.cumsum([0, *map(len, labels)])
    # Behind examples without a token, the last that starts there is the one that has it.
    example_index = np.searchsorted(starts, issues, side="right") - 1
    return list(zip(example_index.tolist(), (issues - starts[example_index]).tolist(), strict=True))


def token_quality_scores(labels: Sequence[np.ndarray], pred_probs: Sequence[np.ndarray]) -> np.ndarray:
    """Score examples as `cleanlab.experimental.span_classification.get_label_quality_scores` does, part by part.

    An example's score is that of its worst token and depends on no other example; for all at once, that function
    takes gigabytes too.

    Parameters
    ----------
    labels, pred_probs : sequences
        As in `find_token_issues`.

    Returns
    -------
    ndarray of shape (n,)
        Low is suspicious.
    """
    parts = [slice(start, start + _EXAMPLES_AT_ONCE) for start in range(0, len(labels), _EXAMPLES_AT_ONCE)]
    return np.concatenate([get_label_quality_scores(labels[part], pred_probs[part])[0] for part in parts])


def visible(text: str) -> str:
    """Return a text that is safe to print: control characters, which can steer a terminal, become signs for them."""
    return text.translate(_CONTROL_SIGNS)


def show_context(
    prediction: "SpanPrediction", context: str, question: str, column: int, title: str = "given answer underlined"
) -> HTML:
    """Show a context shaded by a class's probabilities, the labelled tokens underlined.

    Parameters
    ----------
    prediction : SpanPrediction
        Of this example, with or without question tokens.
    context, question : str
        Escaped: text of a data set cannot run in the page.
    column : int
        Column of the span class.
    title : str
        Said under the context, beside the shading's scale.

    Returns
    -------
    IPython.display.HTML
        The highest probability of the context has the full shade, so that contexts of a hesitant model
        can be read as well.
    """
    tokens = prediction.context_only()
    probs = tokens.pred_probs[:, column]
    highest = float(probs.max())
    pieces, char_end = [], 0
    for start, end, prob, labelled in zip(
        tokens.char_start, tokens.char_end, probs, tokens.labels[:, column], strict=True
    ):
        # Several tokens can share a character (a decomposed one); its text is shown once.
        start = max(start, char_end)
        pieces.append(html.escape(context[char_end:start]))
        style = f"background:rgba(255,140,0,{prob / highest if highest else 0:.3f})"
        style += ";border-bottom:3px solid #1558d6" if labelled else ""
        pieces.append(f'<span style="{style}" title="P = {prob:.3f}">{html.escape(context[start:end])}</span>')
        char_end = max(end, char_end)
    pieces.append(html.escape(context[char_end:]))
    return HTML(
        # The classes keep Jupyter from setting dollar signs as formulas.
        '<div dir="auto" class="tex2jax_ignore mathjax_ignore" '
        'style="max-width:48em;line-height:1.7;font-family:sans-serif">'
        f"<p><b>{html.escape(question)}</b></p><p>{''.join(pieces)}</p>"
        f'<p style="color:#666;font-size:85%">shade: P(token belongs to the answer), full at {highest:.2f}; '
        f"{html.escape(title)}</p></div>"
    )
