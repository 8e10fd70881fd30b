"""One HTML file on which people look through label issues: no server, no network, no script but its own.

Texts of a data set are shown, never trusted: the template escapes each of them, and the page's content security
policy lets only its one script and its one style run, by their hashes.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from span_label_errors.files import write_file
from span_label_errors.review.marks import Review, worst_reviews
from span_label_errors.spans.text import sentence_numbers

# Of the demo's flagged answers, most suggestions of at least this confidence are right, and most others are not.
CONFIDENT_SUGGESTION = 0.6

_TEMPLATES = Path(__file__).resolve().parent
# What a mark in the context can stand for; the names are classes of the style.
_KINDS = {"given": "given answer", "also": "another given answer", "suggested": "suggested answer"}
# Of a context with more characters, only the sentences around the marks are shown; the rest unfolds.
_LONG_CONTEXT = 1000
_SHORTEST_FOLD = 200
# HTML has no way to write these. One character stands for one, so that offsets stay true.
_UNWRITABLE = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], 0xFFFD),
    ord("\r"): "&#13;",  # a bare one would be read as a newline
}
_Marks = dict[str, list[tuple[int, int]]]  # the spans of each kind


def write_review_page(
    path: str | Path,
    issues: pd.DataFrame,
    table: pd.DataFrame,
    *,
    title: str = "Label issues",
    estimate: float | None = None,
    worst: int = 1000,
) -> Path:
    """Write a page to look through label issues in a browser, worst first.

    Parameters
    ----------
    path : str or Path
        The file. It needs nothing beside it and no network; the same input gives the same bytes.
    issues : DataFrame
        As in `marks.worst_reviews`. A column `reasons`, if there is one, says why a row stands where it does. A
        suggestion is shown if its confidence is at least `CONFIDENT_SUGGESTION`.
    table : DataFrame
        `out_of_fold.parquet`.
    title : str
        The page's heading.
    estimate : float, optional
        How many examples are estimated to be labelled wrongly; said in the header.
    worst : int
        How many rows the page gets; it says how many it leaves out.

    Returns
    -------
    Path
        `path`. Until the page is whole, a file that had the name stays as it is.

    Raises
    ------
    ValueError
        If `estimate` is out of range; and what `marks.worst_reviews` raises.
    OSError
        If the file cannot be written.
    """
    if estimate is not None and not 0 <= estimate <= len(table):
        raise ValueError(f"estimate: expected 0 to {len(table)} examples, found {estimate}")
    cards = [_card(review) for review in worst_reviews(issues, table, worst)]
    style, script = ((_TEMPLATES / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=True, finalize=_escaped,
    )  # fmt: skip
    page = environment.get_template("page.html.jinja").render(
        title=title, estimate=estimate, num_examples=len(table), num_issues=int(issues["is_issue"].sum()),
        num_left_out=len(issues) - len(cards), cards=cards, kinds=_KINDS, count=_count,
        folds=sorted(Counter(card["issue"].fold for card in cards).items()),
        checks=sorted(Counter(name for card in cards for name in dict.fromkeys(card["checks"])).items()),
        # Files of this project: the only texts that are not escaped.
        style=Markup(style),  # noqa: S704 # nosec B704 # a file of this project
        script=Markup(script),  # noqa: S704 # nosec B704 # a file of this project
        style_hash=_hash(style), script_hash=_hash(script),
    )  # fmt: skip
    return write_file(path, page)


def _escaped(value: object) -> Markup:
    """Return what a template puts in as HTML that shows it, within an element or an attribute."""
    return value if isinstance(value, Markup) else escape(str(value)).translate(_UNWRITABLE)


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


def _count(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}" + "s" * (round(number) != 1)


def _card(review: Review) -> dict:
    issue = review.issue
    confidence = -1 if pd.isna(issue.suggestion_confidence) else issue.suggestion_confidence
    judged = [review.judged.span] if review.judged else []
    suggested = [review.suggested.span] if review.suggested and confidence >= CONFIDENT_SUGGESTION else []
    # Annotators often agree: one span is one mark.
    also = [span for span in dict.fromkeys(answer.span for answer in review.given) if span not in judged]
    marks = {"given": judged, "also": also, "suggested": suggested}
    notes = [f"confidence {confidence:.2f}"]
    if suggested == judged:
        notes.append("the given answer")
    elif review.judged and review.suggested and review.suggested.text == review.judged.text:
        notes.append("the same text in another place")
    reasons = getattr(issue, "reasons", "")
    return {
        "issue": issue, "title": review.title, "confidence": confidence,
        "checks": [name for name in issue.checks.split("; ") if name],
        "answers": {kind: [review.context[slice(*span)] for span in spans] for kind, spans in marks.items()},
        "has_suggestion": review.suggested is not None, "notes": ", ".join(notes),
        "reasons": reasons if isinstance(reasons, str) else "",
        "stretches": [
            {"text": review.context[start:end], "pieces": _pieces(start, end, marks) if is_shown else None}
            for start, end, is_shown in _stretches(review.context, marks)
        ],
        "context": review.context,
    }  # fmt: skip


def _stretches(context: str, marks: _Marks) -> list[tuple[int, int, bool]]:
    """Cut a context into (start, end, is_shown); sentences with a mark and their neighbours are shown."""
    if len(context) <= _LONG_CONTEXT:
        return [(0, len(context), True)]
    number = sentence_numbers(context, np.arange(len(context)))
    is_shown = np.zeros(number[-1] + 1, dtype=bool)
    for start, end in [span for spans in marks.values() for span in spans] or [(0, 1)]:
        is_shown[max(0, number[start] - 1) : number[end - 1] + 2] = True
    borders = [0, *(np.flatnonzero(np.diff(is_shown[number].astype(int))) + 1).tolist(), len(context)]
    stretches: list[tuple[int, int, bool]] = []
    for start, end in pairwise(borders):
        shown = bool(is_shown[number[start]]) or end - start < _SHORTEST_FOLD
        if stretches and stretches[-1][2] == shown:
            start = stretches.pop()[0]
        stretches.append((start, end, shown))
    return stretches


def _pieces(start: int, end: int, marks: _Marks) -> Sequence[tuple[int, int, list[str], list[str]]]:
    """Cut a stretch wherever a mark begins or ends: (start, end, the kinds of marks that cover it, its edges)."""
    spans = [(kind, *span) for kind, of_kind in marks.items() for span in of_kind]
    pieces = []
    for left, right in pairwise(sorted({start, end} | {at for _, *span in spans for at in span if start < at < end})):
        covering = [span for span in spans if span[1] <= left and right <= span[2]]
        edges = ["starts"] * any(span[1] == left for span in covering)
        edges += ["ends"] * any(span[2] == right for span in covering)
        pieces.append((left, right, list(dict.fromkeys(kind for kind, *_ in covering)), edges))
    return pieces
