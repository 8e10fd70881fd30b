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
from typing import NamedTuple

import jinja2
import numpy as np
import pandas as pd

from span_label_errors.files import write_file
from span_label_errors.quality.label_errors import CORRECTED
from span_label_errors.results.read import span_classes_of
from span_label_errors.review.colours import COLOURS, colour_number
from span_label_errors.review.marks import Review, worst_reviews
from span_label_errors.spans.text import Span, sentence_numbers, utf16_length, word_spans

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


class _Mark(NamedTuple):
    kind: str  # "given", "also" (another given answer), "suggested", "place" (where a span may be missing)
    span: Span
    class_name: str | None = None  # where every span is labelled


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
    classes, labels_every_span = span_classes_of(table), "given_label" in issues
    colour_of = {name: colour_number(name, classes) for name in classes} if labels_every_span else {}
    cards = [_card(review, colour_of) | {"shared": number_of.get(review.context)} for review in reviews]
    style, script = ((_TEMPLATES / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    style += _style_of_classes() if labels_every_span else ""
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
        labels_every_span=labels_every_span, has_questions=bool((issues["question"] != "").any()), colour_of=colour_of,
        classes=sorted(Counter(name for card in cards for name in card["classes"]).items()),
        mistakes=sorted(Counter(card["mistake"] for card in cards if card["mistake"]).items()),
        style=style, script=script, style_hash=_hash(style), script_hash=_hash(script),
    )  # fmt: skip
    return write_file(path, page)


def _writable(value: object) -> object:
    return value.translate(_UNWRITABLE) if isinstance(value, str) else value


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


def _style_of_classes() -> str:
    """Return the style of marks of span classes, in the colours that Label Studio gets as well."""
    style = (_TEMPLATES / "page_classes.css").read_text(encoding="utf-8")
    dark = "".join(f"--c{number}: color-mix(in srgb, {colour} 45%, white);" for number, colour in enumerate(COLOURS))
    light = "".join(f"--c{number}: {colour};" for number, colour in enumerate(COLOURS))
    rules = f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    for number in range(len(COLOURS)):
        tint = f"color-mix(in srgb, var(--c{number}) 22%, var(--card))"
        rules += "".join(
            f".{kind[0]}{number} {{ --{kind}: var(--c{number}); --{kind}-tint: {tint}; }}\n"
            for kind in ("given", "also", "suggested")
        )
    return style + rules


def _card(review: Review, colour_of: dict[str, int]) -> dict:
    issue, given, suggested = review.issue, review.given, review.suggested
    confidence = -1 if pd.isna(issue.suggestion_confidence) else issue.suggestion_confidence
    marks = _marks(review)
    given_texts, also_texts, suggested_texts = (
        [review.context[slice(*mark.span)] for mark in marks if mark.kind == kind]
        for kind in ("given", "also", "suggested")
    )
    labels_every_span = review.labels_every_span
    classes = [answer.class_name for answer in (given, suggested) if answer and labels_every_span]
    is_corrected = issue.decision == CORRECTED
    note = "as decided" if is_corrected else f"confidence {confidence:.2f}"
    if given and suggested and given.text == suggested.text and not labels_every_span:
        note += ", the given answer" if given.span == suggested.span else ", the same text in another place"
    return {
        "issue": issue, "title": review.title, "context": review.context, "confidence": confidence, "note": note,
        "checks": [name for name in issue.checks.split("; ") if name], "is_corrected": is_corrected,
        "suggests_no_answer": review.suggests_no_answer,
        "answers": {"given": given_texts, "also": also_texts, "suggested": suggested_texts},
        "classes": list(dict.fromkeys(classes)), "mistake": review.mistake if labels_every_span else "",
        "class_of": {"given": given and given.class_name, "suggested": suggested and suggested.class_name},
        "place": review.context[slice(*review.place)] if review.place and not given else "",
        "stretches": [
            {
                "start": start,
                "end": end,
                "num_words": len(word_spans(review.context[start:end])),
                "units": [_units_in_browser(review.context[:border]) for border in (start, end)],
                "pieces": _pieces(review.context, start, end, marks, colour_of) if is_shown else None,
            }
            for start, end, is_shown in _stretches(review.context, marks, labels_every_span)
        ],
    }  # fmt: skip


def _marks(review: Review) -> list[_Mark]:
    given, suggested = review.given, review.suggested
    if review.labels_every_span:
        also = [_Mark("also", answer.span, answer.class_name) for answer in review.answers if answer != given]
        place = [] if given or suggested or not review.place else [_Mark("place", review.place)]
        named = [(kind, answer) for kind, answer in (("given", given), ("suggested", suggested)) if answer]
        return [*also, *place, *(_Mark(kind, answer.span, answer.class_name) for kind, answer in named)]
    also = dict.fromkeys(answer.span for answer in (*review.answers, *(review.others or [])))
    return [
        *([_Mark("given", given.span)] if given else []),
        # Annotators often agree: one span is one mark.
        *(_Mark("also", span) for span in also if not given or span != given.span),
        *([_Mark("suggested", suggested.span)] if suggested else []),
    ]


def _units_in_browser(text: str) -> int:
    """Return the length of a text to JavaScript: in UTF-16 units, and a page has one character for a line end."""
    return utf16_length(text.replace("\r\n", "\n"))


def _stretches(context: str, marks: list[_Mark], labels_every_span: bool) -> list[tuple[int, int, bool]]:
    """Cut a context into (start, end, is_shown); sentences with a mark and their neighbours are shown.

    Where every span is labelled, other spans than those that the row is about unfold nothing.
    """
    if len(context) <= _LONG_CONTEXT:
        return [(0, len(context), True)]
    number = sentence_numbers(context, np.arange(len(context)))
    is_shown = np.zeros(number[-1] + 1, dtype=bool)
    wanted = [mark.span for mark in marks if mark.kind != "also" or not labels_every_span]
    for start, end in wanted or [(0, 1)]:
        is_shown[max(0, number[start] - 1) : number[end - 1] + 2] = True
    borders = [0, *(np.flatnonzero(np.diff(is_shown[number].astype(int))) + 1).tolist(), len(context)]
    return [(start, end, bool(is_shown[number[start]])) for start, end in pairwise(borders)]


def _pieces(context: str, start: int, end: int, marks: list[_Mark], colour_of: dict[str, int]) -> list[tuple]:
    """Cut a stretch wherever a mark begins or ends.

    A piece is (start, end, the kinds of marks that cover it, its edges and colours, the classes of marks that end with
    it, in words). In a context with right-to-left letters, the directions of a piece stand with its edges.
    """
    is_right_to_left = "rtl" in _direction(context)
    pieces = []
    for left, right in pairwise(sorted({start, end} | {at for mark in marks for at in mark.span if start < at < end})):
        covering = [mark for mark in marks if mark.span[0] <= left and right <= mark.span[1]]
        edges = ["starts"] * any(mark.span[0] == left for mark in covering)
        edges += ["ends"] * any(mark.span[1] == right for mark in covering)
        edges += _direction(context[left:right]) if is_right_to_left else []
        edges += [f"{mark.kind[0]}{colour_of[mark.class_name]}" for mark in covering if mark.class_name in colour_of]
        ending = [mark for mark in covering if mark.class_name and mark.span[1] == right]
        names = [f"→ {mark.class_name}" if mark.kind == "suggested" else mark.class_name for mark in ending]
        names = names[:1] if len({mark.class_name for mark in ending}) == 1 else names
        kinds = list(dict.fromkeys(mark.kind for mark in covering))
        pieces.append((left, right, kinds, list(dict.fromkeys(edges)), " ".join(names)))
    return pieces


def _direction(text: str) -> list[str]:
    """Return in which directions its letters and numbers run: "ltr", "rtl"."""
    classes = {unicodedata.bidirectional(character) for character in text}
    return ["ltr"] * bool(classes & {"L", "EN", "AN"}) + ["rtl"] * bool(classes & {"R", "AL"})
