"""The table of label issues: a row for everything that is said."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from span_label_errors.quality.annotators import ANSWER_COLUMNS, CONSENSUS_COLUMNS
from span_label_errors.quality.checks import CHECKS, answered_otherwise, failed_checks
from span_label_errors.quality.sites import NO_SPAN, Sites
from span_label_errors.quality.span_sites import SpanSites
from span_label_errors.quality.verdicts import Row

NO_ANSWER = "[no answer]"
# The check that compares examples.
_OF_QUESTION = "repeated_question"
# The checks that say something about a span that answers no question.
_OF_SPANS = ("cut_word", "marks_at_edge", "several_sentences")
_MAX_EVIDENCE = 3


def issues_of(
    table: pd.DataFrame,
    rows: list[Row],
    quality: np.ndarray,
    is_issue: np.ndarray,
    decided: np.ndarray,
    sites: Sites | SpanSites,
) -> pd.DataFrame:
    """Return `LabelErrors.issues`: what nobody has decided on first, the lowest quality first.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet`, which the N rows are about.
    rows : list of Row, length N, at least 1
    quality : ndarray of shape (N,)
        Of each row, with 0 or 1 where a reviewer has decided.
    is_issue : ndarray of shape (N,), bool
    decided : ndarray of shape (N,), object
        `"confirmed"`, `"corrected"`, or `""` where nobody has decided.
    sites : Sites or SpanSites
        What was judged.
    """
    index, verdicts = np.array([row.index for row in rows]), [row.verdict for row in rows]
    contexts, is_of_spans = table["context"].to_numpy()[index], rows[0].place is not None
    given, instead = [verdict.given for verdict in verdicts], [verdict.instead for verdict in verdicts]
    checks = _checks(table, rows, sites)
    evidence = [
        dict.fromkeys(
            words for words in (*(CHECKS[name] for name in names), *verdict.evidence) if words != verdict.reason
        )
        for names, verdict in zip(checks, verdicts, strict=True)
    ]
    issues = pd.DataFrame(
        {
            "index": index,
            "id": table["id"].to_numpy()[index],
            "label_quality": quality,
            "is_issue": is_issue & (decided == ""),
            "question": table["question"].to_numpy()[index],
            "given_answer": [_text(context, span, "") for context, span in zip(contexts, given, strict=True)],
            "given_start": _starts(given),
            **({"given_label": [verdict.given_class for verdict in verdicts]} if is_of_spans else {}),
            **_of_annotators(rows, ANSWER_COLUMNS),
            "suggested_answer": [
                _text(context, span, NO_ANSWER) for context, span in zip(contexts, instead, strict=True)
            ],
            "suggested_start": _starts(instead),
            **({"suggested_label": [verdict.instead_class for verdict in verdicts]} if is_of_spans else {}),
            "suggestion_confidence": [verdict.confidence for verdict in verdicts],
            **_of_annotators(rows, CONSENSUS_COLUMNS),
            "reason": [verdict.reason for verdict in verdicts],
            "evidence": ["; ".join(list(each)[:_MAX_EVIDENCE]) for each in evidence],
            "checks": ["; ".join(names) for names in checks],
            "decision": decided,
            "fold": table["fold"].to_numpy()[index],
            **(_of_places(rows) if is_of_spans else {}),
        }
    )
    order = np.lexsort((quality, decided != ""))
    issues = issues.iloc[order].reset_index(drop=True)
    issues.insert(0, "rank", np.arange(1, len(issues) + 1))
    return issues


def _of_places(rows: list[Row]) -> dict[str, Sequence]:
    """Return the columns that rows about spans have."""
    place_start, place_end = zip(*(row.place for row in rows), strict=True)
    quality = [row.example_quality for row in rows]
    return {"place_start": place_start, "place_end": place_end, "example_quality": quality}


def _of_annotators(rows: list[Row], names: Sequence[str]) -> dict[str, Sequence]:
    """Return columns that rows about annotators' answers have."""
    if rows[0].of_annotator is None:
        return {}
    columns = {name: [row.of_annotator[name] for row in rows] for name in names}
    return {name: pd.array(column, dtype="Int64") if name.endswith("_start") else column
            for name, column in columns.items()}  # fmt: skip


def _checks(table: pd.DataFrame, rows: list[Row], sites: Sites | SpanSites) -> list[list[str]]:
    """Return the names of the checks that each row's example fails; of one of several answers or spans, that one."""
    examples = [
        {
            "question": row.question,
            "context": row.context,
            "answers": {"text": row.given_answer, "answer_start": row.given_start},
        }
        for row in table.itertuples()
    ]
    if rows[0].of_annotator is None and rows[0].place is None:
        of_examples = failed_checks(examples, sites.rarity, sites.affixes)
        return [of_examples[row.index] for row in rows]
    alone = []
    for index, _, verdict, *_ in rows:
        spans = [span for span in [verdict.given] if span != NO_SPAN]
        texts = [examples[index]["context"][slice(*span)] for span in spans]
        alone.append({**examples[index], "answers": {"text": texts, "answer_start": [start for start, _ in spans]}})
    if rows[0].place is not None:
        of_spans = failed_checks(alone, sites.rarity, sites.affixes, compares=False)
        return [[name for name in of_span if name in _OF_SPANS] for of_span in of_spans]
    # The answers of several people to a question are no question that is asked again.
    asked_again, of_answers = answered_otherwise(examples), failed_checks(alone, sites.rarity, compares=False)
    return [
        [*of_answer, *([_OF_QUESTION] if row.index in asked_again else [])]
        for row, of_answer in zip(rows, of_answers, strict=True)
    ]


def _text(context: str, span: tuple[int, int] | None, of_no_span: str) -> str:
    if span is None:
        return ""
    return of_no_span if span == NO_SPAN else context[slice(*span)]


def _starts(spans: list[tuple[int, int] | None]) -> pd.arrays.IntegerArray:
    return pd.array([span[0] if span and span != NO_SPAN else None for span in spans], dtype="Int64")
