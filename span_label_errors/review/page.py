"""The review page: one HTML file with its own style and script, which needs no server and no network.

The template escapes every text of the data set. The page's content security policy names the hashes of its one script
and its one style, and allows nothing else to run.
"""

import base64
import hashlib
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.quality.label_errors import CORRECTED
from span_label_errors.review.marks import Review, utf16_length, worst_reviews
from span_label_errors.spans.text import Span, sentence_numbers, word_spans

_TEMPLATES = Path(__file__).resolve().parent
# Of a context with more characters, only the sentences around the marks are shown; the rest unfolds.
_LONG_CONTEXT = 1000
# One with more stands once on the page, for all of its rows: contracts have many questions and a hundred pages.
_SHARED_CONTEXT = 10_000
# HTML has no way to write these characters. One stands for one.
_UNWRITABLE = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}
_Marks = dict[str, list[Span]]  # the spans of each kind: "given", "also" (another given answer), "suggested"


def write_review_page(
    path: str | Path, issues: pd.DataFrame, table: pd.DataFrame, *, estimate: float | None = None, worst: int = 1000
) -> Path:
    """Write a page to look through label issues in a browser, worst first. The same input gives the same bytes.

    The header shows `estimate`, how many examples are estimated to be labelled wrongly; None if that is not known. For
    the other parameters see `marks.worst_reviews`.
    """
    reviews = worst_reviews(issues, table, worst)
    shared = list(dict.fromkeys(review.context for review in reviews if len(review.context) > _SHARED_CONTEXT))
    number_of = {context: number for number, context in enumerate(shared)}
    cards = [_card(review) | {"shared": number_of.get(review.context)} for review in reviews]
    style, script = ((_TEMPLATES / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=True, finalize=_writable,
    )  # fmt: skip
    page = environment.get_template("page.html.jinja").render(
        estimate=estimate, num_examples=len(table), num_issues=int(issues["is_issue"].sum()),
        num_decided=int((issues["decision"] != "").sum()), num_corrected=int((issues["decision"] == CORRECTED).sum()),
        num_left_out=len(issues) - len(cards), cards=cards, shared_contexts=shared,
        folds=sorted(Counter(card["issue"].fold for card in cards).items()),
        checks=sorted(Counter(name for card in cards for name in card["checks"]).items()),
        style=style, script=script, style_hash=_hash(style), script_hash=_hash(script),
    )  # fmt: skip
    return write_file(path, page)


def _writable(value: object) -> object:
    return value.translate(_UNWRITABLE) if isinstance(value, str) else value


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


def _card(review: Review) -> dict:
    issue, given, suggested = review.issue, review.given, review.suggested
    confidence = -1 if pd.isna(issue.suggestion_confidence) else issue.suggestion_confidence
    also = [answer.span for answer in (*review.answers, *(review.others or []))]
    marks: _Marks = {
        "given": [given.span] if given else [],
        # Annotators often agree: one span is one mark.
        "also": [span for span in dict.fromkeys(also) if not given or span != given.span],
        "suggested": [suggested.span] if suggested else [],
    }
    is_corrected = issue.decision == CORRECTED
    note = "as decided" if is_corrected else f"confidence {confidence:.2f}"
    if given and suggested and given.text == suggested.text:
        note += ", the given answer" if given.span == suggested.span else ", the same text in another place"
    return {
        "issue": issue, "title": review.title, "context": review.context, "confidence": confidence, "note": note,
        "checks": [name for name in issue.checks.split("; ") if name], "is_corrected": is_corrected,
        "suggests_no_answer": review.suggests_no_answer,
        "answers": {kind: [review.context[slice(*span)] for span in spans] for kind, spans in marks.items()},
        "stretches": [
            {
                "start": start,
                "end": end,
                "num_words": len(word_spans(review.context[start:end])),
                "units": [_units_in_browser(review.context[:border]) for border in (start, end)],
                "pieces": _pieces(review.context, start, end, marks) if is_shown else None,
            }
            for start, end, is_shown in _stretches(review.context, marks)
        ],
    }  # fmt: skip


def _units_in_browser(text: str) -> int:
    """Return the length of a text to JavaScript: in UTF-16 units, and a page has one character for a line end."""
    return utf16_length(text.replace("\r\n", "\n"))


def _stretches(context: str, marks: _Marks) -> list[tuple[int, int, bool]]:
    """Cut a context into (start, end, is_shown); sentences with a mark and their neighbours are shown."""
    if len(context) <= _LONG_CONTEXT:
        return [(0, len(context), True)]
    number = sentence_numbers(context, np.arange(len(context)))
    is_shown = np.zeros(number[-1] + 1, dtype=bool)
    for start, end in [span for spans in marks.values() for span in spans] or [(0, 1)]:
        is_shown[max(0, number[start] - 1) : number[end - 1] + 2] = True
    borders = [0, *(np.flatnonzero(np.diff(is_shown[number].astype(int))) + 1).tolist(), len(context)]
    return [(start, end, bool(is_shown[number[start]])) for start, end in pairwise(borders)]


def _pieces(context: str, start: int, end: int, marks: _Marks) -> list[tuple[int, int, list[str], list[str]]]:
    """Cut a stretch wherever a mark begins or ends: (start, end, the kinds of marks that cover it, its edges).

    In a context with right-to-left letters, the directions of a piece stand with its edges.
    """
    spans = [(kind, *span) for kind, of_kind in marks.items() for span in of_kind]
    is_right_to_left = "rtl" in _direction(context)
    pieces = []
    for left, right in pairwise(sorted({start, end} | {at for _, *span in spans for at in span if start < at < end})):
        covering = [span for span in spans if span[1] <= left and right <= span[2]]
        edges = ["starts"] * any(span[1] == left for span in covering)
        edges += ["ends"] * any(span[2] == right for span in covering)
        edges += _direction(context[left:right]) if is_right_to_left else []
        pieces.append((left, right, list(dict.fromkeys(kind for kind, *_ in covering)), edges))
    return pieces


def _direction(text: str) -> list[str]:
    """Return in which directions its letters and numbers run: "ltr", "rtl"."""
    classes = {unicodedata.bidirectional(character) for character in text}
    return ["ltr"] * bool(classes & {"L", "EN", "AN"}) + ["rtl"] * bool(classes & {"R", "AL"})
