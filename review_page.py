"""One HTML file on which people look through label issues: no server, no network, no script but its own.

Texts of a data set are shown, never trusted: each is escaped where it is put in, and the page's content security
policy lets only the script and the style of `review_page_assets` run, by their hashes.
"""

import base64
import hashlib
import html
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from atomic_files import write_file
from review_page_assets import SCRIPT, STYLE
from words import sentence_numbers

ISSUE_COLUMNS = (
    "rank", "index", "id", "label_quality", "is_issue", "given_answer", "given_start", "suggested_answer",
    "suggested_start", "suggestion_confidence", "checks", "fold",
)  # fmt: skip
TABLE_COLUMNS = ("id", "title", "question", "context", "given_answer", "given_start")

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


class _Mark(NamedTuple):
    kind: str  # of _KINDS
    char_start: int
    char_end: int


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
        One row an example: `rank` (1 is worst), `index` (row number in `table`), `id`, `label_quality`
        (0 to 1, low is suspicious), `is_issue`, `given_answer` and `given_start` (the answer that is judged;
        `""` and NA for none), `suggested_answer` and `suggested_start` (likewise), `suggestion_confidence`
        (0 to 1, or NA), `checks` (the names of failed checks, joined by `"; "`), `fold`.
    table : DataFrame
        What `exports.out_of_fold_table` makes: `id`, `title`, `question`, `context`, and `given_answer` and
        `given_start` as lists. Offsets count the characters of the context.
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
        If a column is missing or an option out of range; if `issues` and `table` do not belong together; if
        answers and offsets are not equally many; or if the text of an answer does not stand at its offset. What is
        wrong with an example is said with its id.
    OSError
        If the file cannot be written.
    """
    for name, frame, columns in (("issues", issues, ISSUE_COLUMNS), ("table", table, TABLE_COLUMNS)):
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise ValueError(f"{name}: expected the columns {', '.join(columns)}; without {', '.join(missing)}")
    if worst < 1:
        raise ValueError(f"worst: expected at least 1 row, found {worst}")
    if estimate is not None and not 0 <= estimate <= len(table):
        raise ValueError(f"estimate: expected 0 to {len(table)} examples, found {estimate}")
    rows = issues.sort_values("rank", kind="stable").head(worst).to_dict("records")
    for row in rows:
        _check(row["index"] in range(len(table)), row, f"an index of 0 to {len(table) - 1}", row["index"])
    examples = table.iloc[[row["index"] for row in rows]].to_dict("records")
    cards = [_card(row, example) for row, example in zip(rows, examples, strict=True)]
    page = _page(title, _summary(issues, len(table), len(rows), estimate), _controls(rows), cards)
    return write_file(path, page)


def _check(holds: bool, row: dict, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"example (id {row['id']!r}): expected {expected}; found {found!r}")


def _text(text: object) -> str:
    """Return a text as HTML that shows it, within an element or an attribute."""
    return html.escape(str(text), quote=True).translate(_UNWRITABLE)


def _marks_of(row: dict, example: dict) -> list[_Mark]:
    """Return the checked spans of an example: the judged answer, the suggested one, then the other given ones."""
    context = example["context"]
    spans = []
    for name in ("given", "suggested"):
        answer, start = row[f"{name}_answer"], row[f"{name}_start"]
        _check(isinstance(answer, str), row, f"{name}_answer to be a text, '' for none", answer)
        _check(bool(answer) != pd.isna(start), row, f"{name}_answer with {name}_start, or neither", (answer, start))
        if answer:
            spans.append((name, answer, int(start)))
    answers, starts = list(example["given_answer"]), list(example["given_start"])
    _check(len(answers) == len(starts), row, "as many given_start as given_answer in the table", (answers, starts))
    for answer, start in zip(answers, starts, strict=True):
        spans.append(("also", answer, int(start)))
    marks = []
    for kind, answer, start in spans:
        found = context[start : start + len(answer)] if start >= 0 else ""
        _check(bool(answer) and found == answer, row, f"{_KINDS[kind]} {answer!r} at offset {start}", found)
        marks.append(_Mark(kind, start, start + len(answer)))
    judged = [mark[1:] for mark in marks if mark.kind == "given"]
    given = [mark[1:] for mark in marks if mark.kind == "also"]
    _check(set(judged) <= set(given), row, "the judged answer among the table's given answers", given)
    # Annotators often agree: one span is one mark.
    return list(dict.fromkeys(mark for mark in marks if mark.kind != "also" or mark[1:] not in judged))


def _card(row: dict, example: dict) -> str:
    _check(row["id"] == example["id"], row, f"the id of row {row['index']} of the table", example["id"])
    _check(isinstance(row["checks"], str), row, "checks to be a text, '' for none", row["checks"])
    quality, confidence = row["label_quality"], row["suggestion_confidence"]
    _check(0 <= quality <= 1, row, "a label_quality of 0 to 1", quality)
    _check(pd.isna(confidence) or 0 <= confidence <= 1, row, "a suggestion_confidence of 0 to 1", confidence)
    marks = _marks_of(row, example)
    checks = "".join(f"<li>{_text(name)}</li>" for name in _checks_of(row))
    return f"""
<article data-rank="{row["rank"]:d}" data-quality="{quality:.3f}" data-issue="{row["is_issue"]:d}"
 data-confidence="{-1 if pd.isna(confidence) else confidence:.3f}" data-fold="{row["fold"]:d}">
<div class="facts"><b class="rank">{row["rank"]:,d}</b> <span>label quality {quality:.3f}</span>
<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="10"/>\
<rect width="{100 * quality:.1f}" height="10"/></svg>
<span class="badge">{"issue" if row["is_issue"] else "not flagged"}</span> <ul class="checks">{checks}</ul>
<span class="last"><bdi class="text title">{_text(example["title"])}</bdi> · <bdi class="text id">{_text(row["id"])}\
</bdi> · fold {row["fold"]:d}</span></div>
<h2 class="text question" dir="auto">{_text(example["question"])}</h2>
<div class="context" dir="auto">{"".join(_context(example["context"], marks))}</div>
<dl>{_answers(example["context"], marks, confidence)}</dl>
</article>"""


def _checks_of(row: dict) -> list[str]:
    return [name for name in row["checks"].split("; ") if name]


def _answers(context: str, marks: Sequence[_Mark], confidence: float) -> str:
    """Return the lines that say which answers are given and suggested."""
    spans = {kind: [mark[1:] for mark in marks if mark.kind == kind] for kind in _KINDS}
    texts = {kind: [context[start:end] for start, end in spans[kind]] for kind in _KINDS}
    shown = {
        kind: ", ".join(f'<mark class="{kind}"><bdi class="text">{_text(text)}</bdi></mark>' for text in texts[kind])
        for kind in _KINDS
    }
    notes = [] if pd.isna(confidence) else [f"confidence {confidence:.2f}"]
    if spans["suggested"] and spans["suggested"] == spans["given"]:
        notes.append("the given answer")
    elif texts["suggested"] and texts["suggested"] == texts["given"]:
        notes.append("the same text in another place")
    note = f' <span class="note">({", ".join(notes)})</span>' if notes else ""
    also = f"<dt>also given</dt><dd>{shown['also']}</dd>" if shown["also"] else ""
    return (
        f"<dt>given</dt><dd>{shown['given'] or 'no answer'}</dd>{also}"
        f"<dt>suggested</dt><dd>{shown['suggested'] or 'none'}{note}</dd>"
    )


def _context(context: str, marks: Sequence[_Mark]) -> Iterator[str]:
    """Yield the pieces of a context: what is shown with its marks, and what unfolds."""
    for start, end, is_shown in _stretches(context, marks):
        if is_shown:
            yield f'<div class="text">{"".join(_marked(context, start, end, marks))}</div>'
        else:
            folded = context[start:end]
            yield (
                # The summary's language must not decide the direction of the context.
                f'<details><summary dir="ltr">… {_count(len(folded.split()), "more word")}</summary>'
                f'<div class="text">{_text(folded)}</div></details>'
            )


def _stretches(context: str, marks: Sequence[_Mark]) -> list[tuple[int, int, bool]]:
    """Cut a context into (start, end, is_shown); sentences with a mark and their neighbours are shown."""
    if len(context) <= _LONG_CONTEXT:
        return [(0, len(context), True)]
    number = sentence_numbers(context, np.arange(len(context)))
    is_shown = np.zeros(number[-1] + 1, dtype=bool)
    for start, end in [mark[1:] for mark in marks] or [(0, 1)]:
        is_shown[max(0, number[start] - 1) : number[end - 1] + 2] = True
    borders = [0, *(np.flatnonzero(np.diff(is_shown[number].astype(int))) + 1).tolist(), len(context)]
    stretches: list[tuple[int, int, bool]] = []
    for start, end in pairwise(borders):
        shown = bool(is_shown[number[start]]) or end - start < _SHORTEST_FOLD
        if stretches and stretches[-1][2] == shown:
            start = stretches.pop()[0]
        stretches.append((start, end, shown))
    return stretches


def _marked(context: str, start: int, end: int, marks: Sequence[_Mark]) -> Iterator[str]:
    """Yield a stretch of a context, cut wherever a mark begins or ends; a piece carries all marks that cover it."""
    borders = sorted({start, end} | {border for mark in marks for border in mark[1:] if start < border < end})
    for left, right in pairwise(borders):
        covering = [mark for mark in marks if mark.char_start <= left and right <= mark.char_end]
        kinds = [kind for kind in _KINDS if any(mark.kind == kind for mark in covering)]
        piece = _text(context[left:right])
        if kinds:
            edges = ["starts"] * any(mark.char_start == left for mark in covering)
            edges += ["ends"] * any(mark.char_end == right for mark in covering)
            title = ", ".join(_KINDS[kind] for kind in kinds)
            piece = f'<mark class="{" ".join(kinds + edges)}" title="{title}">{piece}</mark>'
        yield piece


def _count(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}" + "s" * (round(number) != 1)


def _summary(issues: pd.DataFrame, num_examples: int, num_rows: int, estimate: float | None) -> str:
    flagged = _count(int(issues["is_issue"].sum()), "issue")
    said = f"{_count(num_examples, 'example')}, {flagged} found"
    said += "." if estimate is None else f"; about {_count(estimate, 'wrong label')} estimated."
    left_out = len(issues) - num_rows
    said += f" {_count(num_rows, 'row')} on this page, worst first"
    return said + (f"; the other {left_out:,} are in <code>label_issues.csv</code>." if left_out else ".")


def _controls(rows: Sequence[dict]) -> str:
    def options(counted: Counter, word: str) -> str:
        return f'<option value="">{word}</option>' + "".join(
            f'<option value="{_text(value)}">{_text(value)} ({number:,})</option>'
            for value, number in sorted(counted.items())
        )

    folds = options(Counter(int(row["fold"]) for row in rows), "all")
    checks = options(Counter(name for row in rows for name in set(_checks_of(row))), "any or none")
    return f"""<form id="controls" role="search" autocomplete="off" hidden>
<label>search question, context, answers, id <input type="search" name="q"></label>
<label><input type="checkbox" name="only" value="issues"> only issues</label>
<label>fold <select name="fold">{folds}</select></label>
<label>failed check <select name="check">{checks}</select></label>
<label>quality at least <input type="number" name="min" min="0" max="1" step="any" placeholder="0"></label>
<label>at most <input type="number" name="max" min="0" max="1" step="any" placeholder="1"></label>
<label>sort by <select name="sort"><option value="rank">rank</option>
<option value="quality">lowest quality</option>
<option value="-quality">highest quality</option>
<option value="-confidence">highest confidence</option><option value="id">id</option>
<option value="fold">fold</option></select></label>
<button type="button" id="clear">clear</button>
<p id="count" role="status"></p></form>"""


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


def _page(title: str, summary: str, controls: str, cards: Sequence[str]) -> str:
    policy = (
        f"default-src 'none'; script-src '{_hash(SCRIPT)}'; style-src '{_hash(STYLE)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{_text(title)}</h1>
<p>{summary}</p>
<p>Marks: <mark class="given">given answer</mark> solid line below,
<mark class="suggested">suggested answer</mark> dashed line above, <mark class="given suggested">both</mark>,
<mark class="also">other given answers</mark> dotted below.</p>
</header>
{controls}
<main id="rows">{"".join(cards)}</main>
<p id="nothing" hidden>Nothing matches these filters.</p>
<script>{SCRIPT}</script>
</body>
</html>
"""
