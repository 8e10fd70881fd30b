"""What the notebooks share for saving and showing."""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from IPython.display import HTML

from predictions import SpanPrediction


def to_dict(nested_list: Sequence) -> dict[str, object]:
    """Key the items of a list by their index as text, as `np.savez` takes them.

    Parameters
    ----------
    nested_list : sequence
        One item an example.

    Returns
    -------
    dict
        `{"0": nested_list[0], "1": nested_list[1], …}`
    """
    return {str(index): item for index, item in enumerate(nested_list)}


def read_npz(filepath: str | Path) -> list[np.ndarray]:
    """Read what `np.savez(filepath, **to_dict(nested_list))` wrote.

    Parameters
    ----------
    filepath : str or Path

    Returns
    -------
    list of ndarray
        In the order of the keys `"0"`, `"1"`, …

    Raises
    ------
    ValueError
        If the keys are not these, or an array holds Python objects, which are never unpickled.
    """
    with np.load(filepath, allow_pickle=False) as archive:
        keys = [str(index) for index in range(len(archive.files))]
        if set(archive.files) != set(keys):
            unexpected = sorted(set(archive.files) - set(keys))[:5]
            raise ValueError(f"{filepath}: expected the keys '0' to '{len(keys) - 1}', found {unexpected}")
        return [archive[key] for key in keys]


def show_context(
    prediction: SpanPrediction, context: str, question: str, column: int, title: str = "given answer underlined"
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
