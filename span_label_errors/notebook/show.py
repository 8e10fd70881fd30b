"""Show contexts in a notebook: shaded by probabilities, or with the given and the suggested answer marked."""

import html
from collections.abc import Container
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from IPython.display import HTML

from span_label_errors.review.marks import answers_of_row, shown_others, shown_suggestion, why

if TYPE_CHECKING:
    from span_label_errors.model.predictions import SpanPrediction

# Signs for control characters but tab and newline; C1 ones have no signs of their own.
_CONTROL_SIGNS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}
_GIVEN, _SUGGESTED = "border-bottom:3px solid #1558d6", "background:rgba(255,140,0,0.5)"
_NAMED = {"given": _GIVEN, "suggested": _SUGGESTED}
_OTHER = "border-bottom:2px dotted #666"
# Characters of a long context that are shown before and behind what is marked.
_AROUND_MARKS = 1000


def visible(text: str) -> str:
    """Return a text that is safe to print: control characters, which can steer a terminal, become signs for them."""
    return text.translate(_CONTROL_SIGNS)


def how_predicted(run: dict) -> str:
    """Say in words what predicted the examples of a run, whose `run.json` is given."""
    num_folds = len(run["folds"])
    if any(fold["train_indices"] for fold in run["folds"]):
        return f"each predicted by one of {num_folds} models, trained on the other folds"
    return "all predicted by the checkpoint as it is, without training"


def show_context(
    prediction: "SpanPrediction", context: str, question: str, column: int, title: str = "given answer underlined"
) -> HTML:
    """Show a context shaded by a class's probabilities, the labelled tokens underlined.

    The highest probability has the full shade, so that contexts of a hesitant model can be read as well. Of a long
    context, only what stands around the labelled tokens and the likeliest one is shown.

    Parameters
    ----------
    prediction : SpanPrediction
        Of this example, with or without question tokens.
    context, question : str
        Escaped: text of a data set cannot run in the page.
    column : int
        Column of the span class.
    title : str
        Printed under the context, beside the shading's scale.
    """
    tokens = prediction.context_only()
    probs = tokens.pred_probs[:, column]
    highest = float(probs.max())
    pieces, char_end, is_near = [], 0, True
    for start, end, prob, labelled, stays in zip(
        tokens.char_start, tokens.char_end, probs, tokens.labels[:, column], _near_marks(tokens, column), strict=True
    ):
        if not stays:
            pieces += [" … "] * is_near
            char_end, is_near = max(end, char_end), False
            continue
        # Several tokens can share a character (a decomposed one); its text is shown once.
        start = max(start, char_end)
        pieces.append(html.escape(context[char_end:start]) if is_near else "")
        style = f"background:rgba(255,140,0,{prob / highest if highest else 0:.3f})"
        style += f";{_GIVEN}" if labelled else ""
        pieces.append(f'<span style="{style}" title="P = {prob:.3f}">{html.escape(context[start:end])}</span>')
        char_end, is_near = max(end, char_end), True
    pieces.append(html.escape(context[char_end:]) if is_near else "")
    scale = f"shade: P(token belongs to the answer), full at {highest:.2f}; {title}"
    return HTML(_panel(question, "".join(pieces), html.escape(scale)))


def _near_marks(tokens: "SpanPrediction", column: int) -> np.ndarray:
    """Return which tokens stand near a labelled one or the likeliest one, of shape (tokens,)."""
    is_mark = tokens.labels[:, column] > 0
    is_mark[tokens.pred_probs[:, column].argmax()] = True
    starts, ends = tokens.char_start[is_mark], tokens.char_end[is_mark]
    # The marks are in the order of the text: the last one before a token, and the first one behind it.
    before = np.searchsorted(starts, tokens.char_start, side="right") - 1
    distance_before = np.where(before >= 0, tokens.char_start - ends[before], _AROUND_MARKS + 1)
    behind = np.minimum(before + 1, len(starts) - 1)
    distance_behind = np.where(before + 1 < len(starts), starts[behind] - tokens.char_end, _AROUND_MARKS + 1)
    return np.minimum(distance_before, distance_behind) <= _AROUND_MARKS


def how_many_wrong(estimated_wrong: float | None, num_rows: int) -> str:
    """Say in words how many rows of the issues are wrong, as `LabelErrors.estimated_wrong` has it."""
    if estimated_wrong is None:
        return "too few answers to estimate how many are wrong"
    return f"about {estimated_wrong:.0f} of {num_rows} rows are estimated to be wrong"


def show_answers(issues: pd.DataFrame, table: pd.DataFrame, count: int = 3) -> HTML:
    """Show the worst answers in their contexts: the given one underlined, the suggested one shaded, and why.

    Of a long context, only what stands around the marks is shown. What other annotators answered stands below it. Where
    every span is labelled, a row is about one span or a place; the other spans are underlined by dots, and each has its
    class behind it.

    Parameters
    ----------
    issues : DataFrame
        `LabelErrors.issues`, worst first.
    table : DataFrame
        `out_of_fold.parquet`, of the same examples.
    count : int
    """
    panels = []
    for issue in issues.head(count).to_dict("records"):
        spans = {}
        for kind, style in _NAMED.items():
            if pd.notna(issue[f"{kind}_start"]):
                spans[style] = (issue[f"{kind}_start"], issue[f"{kind}_start"] + len(issue[f"{kind}_answer"]))
        example = table.iloc[issue["index"]]
        classes, labelled = {}, {}
        if "given_label" in issue:
            classes = {kind: f" ({_isolated(issue[f'{kind}_label'])})" for kind in _NAMED if issue[f"{kind}_label"]}
            labelled = {answer.span: answer.class_name for answer in answers_of_row(example)}
        given = _isolated(issue["given_answer"] or _nothing(issue)) + classes.get("given", "")
        caption = f"label quality {issue['label_quality']:.3f}; given: {given}"
        others = issue.get("other_answers") or shown_others(answers_of_row(example, "other") or [])
        if others:
            caption += f"; other annotators: {_isolated(others)}"
        if issue["suggested_answer"]:
            suggested = _isolated(shown_suggestion(issue["suggested_answer"], _nothing(issue)))
            suggested += classes.get("suggested", "")
            caption += f"; suggested: {suggested} (confidence {issue['suggestion_confidence']:.2f})"
        reason = html.escape(why(issue["reason"], issue["evidence"]))
        below = [caption, f"Why: {reason}" if reason else ""]
        heading = f"{issue['rank']}. {issue['question']}".strip()
        panels.append(_panel(heading, _marked(example["context"], spans, labelled), *below))
    return HTML("\n".join(panels))


def worst_answers(issues: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """Return the worst answers as a table by `rank`: label quality, question, given and suggested answer, why.

    A suggestion that the context has no answer reads "no answer", as a given label without one does. Where every span
    is labelled, classes stand beside the spans, and there is no column of questions if there are none.
    """
    nothing = _nothing(issues)
    columns = ["label_quality", "question", "given_answer", "given_label", "suggested_answer", "suggested_label"]
    columns = [name for name in (*columns, "reason", "evidence") if name in issues]
    if "given_label" in issues and not (issues["question"] != "").any():
        columns.remove("question")
    worst = issues.head(count).set_index("rank")[columns]
    return worst.assign(
        given_answer=worst["given_answer"].replace("", nothing),
        suggested_answer=worst["suggested_answer"].map(lambda suggested: shown_suggestion(suggested, nothing)),
    )


def _nothing(issue: Container[str]) -> str:
    """Return how a row, or a table of them, calls that nothing is marked."""
    return "no span" if "given_label" in issue else "no answer"


def compare_rankings(token_quality: np.ndarray, label_quality: np.ndarray) -> str:
    """Say how far two rankings of the same examples agree, by scores of shape (n,); low is suspicious."""
    tenth = max(1, len(token_quality) // 10)
    worst = [set(np.argsort(score, kind="stable")[:tenth].tolist()) for score in (token_quality, label_quality)]
    shared = f"{len(worst[0] & worst[1])} of the worst {tenth} are the same"
    if min(np.ptp(token_quality), np.ptp(label_quality)) == 0:
        return f"{shared}; no rank correlation, since all examples have the same score in one of them"
    correlation = pd.Series(token_quality).corr(pd.Series(label_quality), method="spearman")
    return f"{shared}; rank correlation {correlation:.2f}"


def _marked(context: str, spans: dict[str, tuple[int, int]], labelled: dict[tuple[int, int], str]) -> str:
    """Return a context, or what stands around the spans, as HTML in which each span has its style.

    All labelled spans, by their classes, are shown where they stand there.
    """
    offsets = [offset for span in spans.values() for offset in span] or [0]
    # Cut at spaces.
    first = context.rfind(" ", 0, max(0, min(offsets) - _AROUND_MARKS)) + 1
    last = context.find(" ", max(offsets) + _AROUND_MARKS)
    last = len(context) if last < 0 else last
    pieces = ["… " if first else ""]
    inner = {at for span in labelled for at in span if first < at < last}
    for start, end in pairwise(sorted({first, last, *offsets, *inner})):
        styles = [style for style, span in spans.items() if span[0] <= start and end <= span[1]]
        covering = [span for span in labelled if span[0] <= start and end <= span[1]]
        styles += [_OTHER] * bool(covering and _GIVEN not in styles)
        text = html.escape(context[start:end])
        pieces.append(f'<span style="{";".join(styles)}">{text}</span>' if styles else text)
        names = [labelled[span] for span in covering if span[1] == end]
        pieces += [f'<sub style="font-size:70%"> {_isolated(name)}</sub>' for name in names]
    return "".join([*pieces, " …" if last < len(context) else ""])


def _isolated(text: str) -> str:
    """Return a text as HTML that runs in its own direction and leaves that of what stands around it."""
    return f"<bdi>{html.escape(text)}</bdi>"


def _panel(question: str, context: str, *captions: str) -> str:
    """Return HTML of a question over a context and captions, which are HTML; empty captions are left out.

    Question and context each have their own direction; the captions are English, whatever they quote.
    """
    below = "".join(f'<p dir="ltr" style="color:#666;font-size:85%">{caption}</p>' for caption in captions if caption)
    return (
        # The classes keep Jupyter from setting dollar signs as formulas.
        '<div class="tex2jax_ignore mathjax_ignore" style="max-width:48em;line-height:1.7;font-family:sans-serif">'
        f'<p dir="auto" style="text-align:start"><b>{html.escape(question)}</b></p>'
        f'<p dir="auto" style="text-align:start">{context}</p>{below}</div>'
    )
