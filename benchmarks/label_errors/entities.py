"""Measure how well wrong and missed entities are found, span by span, where somebody has corrected them.

A given span is wrong if no corrected span has its borders and class. A corrected span that shares no character with any
given span is missed.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pandas as pd

from span_label_errors.quality.label_errors import NO_ANSWER
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.decoding import decoded_spans
from span_label_errors.spans.text import overlaps

from .measures import AP, AUPRC, AUROC, calibration, compared, is_mixed, measured
from .real_data import EntitySpan
from .report import markdown_table, number, with_interval
from .scores import OURS

NUMBERS_OF_ROWS = (50, 100, 200)
# What is done to a span to correct it.
KINDS = ("other class", "other border", "other class and border", "removed", "added")
ALL = "all"  # classes
_NOTHING: EntitySpan = (0, 0, NO_ANSWER)


def overlapping(span: EntitySpan, others: Sequence[EntitySpan]) -> list[EntitySpan]:
    """Return those of the other spans that share a character with a span, of whatever class."""
    return [other for other in others if overlaps(span[:2], other[:2])]


def missed_spans(given: Sequence[EntitySpan], corrected: Sequence[EntitySpan]) -> list[EntitySpan]:
    """Return the corrected spans that share no character with a given one."""
    return [span for span in corrected if not overlapping(span, given)]


def correction_of(span: EntitySpan, corrected: Sequence[EntitySpan]) -> str:
    """Return which of `KINDS` corrects a wrong span."""
    right = overlapping(span, corrected)
    if not right:
        return "removed"
    if any(other[:2] == span[:2] for other in right):
        return "other class"
    return "other border" if any(other[2] == span[2] for other in right) else "other class and border"


def with_truth(
    issues: pd.DataFrame, given: Sequence[Sequence[EntitySpan]], corrected: Sequence[Sequence[EntitySpan]]
) -> pd.DataFrame:
    """Add to the rows of `issues` what is known of them.

    Parameters
    ----------
    issues : DataFrame
        As of `find_label_errors`, one row for each given span, and for each place where one may be missing.
    given, corrected : sequence of sequence of (char_start, char_end, class)
        The spans of each of n examples.

    Returns
    -------
    DataFrame
        The rows that are about a span or a place, in their order, with the columns `span` (of a place without a
        class), `is_given`, `is_error` (the given span is wrong, or a missed one overlaps the place), `right` (the
        corrected spans that overlap a given one, or the missed ones that overlap a place) and `suggested` (a span,
        "[no answer]" as such, or None).

    Raises
    ------
    ValueError
        If the rows about given spans are not the given spans, each once.
    """
    rows = issues[issues["place_start"] < issues["place_end"]].copy()
    rows["span"] = list(zip(rows["place_start"], rows["place_end"], rows["given_label"], strict=True))
    rows["is_given"] = rows["given_answer"] != ""
    found = sorted(zip(rows["index"][rows["is_given"]], rows["span"][rows["is_given"]], strict=True))
    expected = sorted((index, span) for index, spans in enumerate(given) for span in spans)
    if found != expected:
        raise ValueError(
            f"expected one row for each of {len(expected)} given spans, found {len(found)}, of which "
            f"{len(set(found) & set(expected))} are about given spans; was the table made from other data?"
        )
    missed = [missed_spans(*spans) for spans in zip(given, corrected, strict=True)]
    pairs = list(zip(rows["index"], rows["span"], rows["is_given"], strict=True))
    rows["right"] = [
        overlapping(span, (corrected if is_given else missed)[index]) for index, span, is_given in pairs
    ]  # fmt: skip
    rows["is_error"] = [
        span not in right if is_given else bool(right)
        for (_, span, is_given), right in zip(pairs, rows["right"], strict=True)
    ]
    rows["suggested"] = [
        _suggested(*of_row)
        for of_row in zip(rows["suggested_answer"], rows["suggested_start"], rows["suggested_label"], strict=True)
    ]
    return rows


def _suggested(text: str, start: int, label: str) -> EntitySpan | None:
    if text in ("", NO_ANSWER):
        return _NOTHING if text else None
    return int(start), int(start) + len(text), label


def measured_spans(
    rows: pd.DataFrame,
    given: Sequence[Sequence[EntitySpan]],
    corrected: Sequence[Sequence[EntitySpan]],
    scores: dict[str, np.ndarray],
    groups: np.ndarray,
) -> dict:
    """Measure how well wrong given spans and missed ones are found, apart, and what is suggested for them.

    Parameters
    ----------
    rows : DataFrame
        As of `with_truth`.
    given, corrected : sequence of sequence of (char_start, char_end, class)
        The spans of each of n examples.
    scores : dict
        Other scores of the R rows, each of shape (R,), which `label_quality` is compared with.
    groups : ndarray of shape (n,)
        The number of each example's context, which are resampled whole.

    Returns
    -------
    dict
        `given` and `missed`, each with `rows`, `errors`, `scores` (None if all rows are right, or all wrong),
        `differences` and what `calibration` returns. Of the missed ones also `spans`, and of each score in `recall`
        how many of them the worst rows about places overlap, by number of rows and of all. `suggestions`; see there.
    """
    missed = [missed_spans(*spans) for spans in zip(given, corrected, strict=True)]
    scores, found = {OURS: rows["label_quality"].to_numpy(), **scores}, {}
    for name, chosen in (("given", rows["is_given"].to_numpy()), ("missed", ~rows["is_given"].to_numpy())):
        of_rows = {score: values[chosen] for score, values in scores.items()}
        is_error = rows["is_error"].to_numpy()[chosen]
        found[name] = {
            "rows": int(chosen.sum()), "errors": int(is_error.sum()), "scores": None, "differences": None,
            **calibration(of_rows[OURS], is_error),
        }  # fmt: skip
        if is_mixed(is_error):
            intervals, differences = compared(of_rows, is_error, groups[rows["index"].to_numpy()[chosen]], OURS)
            found[name]["scores"] = {
                score: {**measured(values, is_error), "intervals": intervals[score]}
                for score, values in of_rows.items()
            }
            found[name]["differences"] = differences
    places = rows[~rows["is_given"]]
    found["missed"]["spans"] = sum(map(len, missed))
    found["missed"]["recall"] = {
        score: recall_of_missed(places, values[~rows["is_given"].to_numpy()]) for score, values in scores.items()
    }
    return {**found, "suggestions": suggestions(rows, missed)}


def predicted_spans(table: pd.DataFrame) -> list[list[EntitySpan]]:
    """Return the likeliest spans of each of the n sentences of `out_of_fold.parquet`."""
    classes = span_classes_of(table)
    found = []
    for row in table.to_dict("records"):
        probs = np.column_stack([row[f"pred_probs_{name}"] for name in classes])
        spans = decoded_spans(row["context"], np.asarray(row["char_start"]), np.asarray(row["char_end"]), probs)
        found.append([(start, end, classes[class_index]) for class_index, start, end in spans])
    return found


def entity_figures(
    predicted: Sequence[Sequence[EntitySpan]], right: Sequence[Sequence[EntitySpan]]
) -> dict[str, dict[str, float]]:
    """Return precision, recall and F1 of spans with the right borders and class, by class and of all classes together.

    As CoNLL-2003 evaluates (Tjong Kim Sang and De Meulder 2003). 0 where there is nothing to divide by.
    """
    columns = [[(index, span) for index, spans in enumerate(of) for span in spans] for of in (predicted, right)]
    figures = {}
    for name in [*sorted({span[2] for _, span in chain(*columns)}), ALL]:
        found, expected = ({key for key in of if name in (key[1][2], ALL)} for of in columns)
        num_right = len(found & expected)
        figures[name] = {
            "precision": num_right / max(len(found), 1), "recall": num_right / max(len(expected), 1),
            "f1": 2 * num_right / max(len(found) + len(expected), 1),
        }  # fmt: skip
    return figures


def recall_of_missed(places: pd.DataFrame, score: np.ndarray) -> dict[str, int | None]:
    """Return how many missed spans the k worst rows about places overlap, for each of `NUMBERS_OF_ROWS` and for all.

    None where there are fewer than k rows.
    """
    worst_first = places.iloc[np.argsort(score, kind="stable")]
    first_row: dict[tuple[int, EntitySpan], int] = {}
    for row, (index, right) in enumerate(zip(worst_first["index"], worst_first["right"], strict=True)):
        for span in right:
            first_row.setdefault((index, span), row)
    ranks = np.array(list(first_row.values()))
    found = {
        str(count): int((ranks < count).sum()) if count <= len(places) else None for count in NUMBERS_OF_ROWS
    }  # fmt: skip
    return {**found, "all": len(ranks)}


def suggestions(rows: pd.DataFrame, missed: Sequence[Sequence[EntitySpan]]) -> dict[str, dict[str, int]]:
    """Return how often the suggestion is the correction, by `KINDS`.

    Returns
    -------
    dict
        Of each kind `errors`, `suggested` (that have a suggestion), `exact` (a corrected span with its borders and
        class, or no span if there is none), `class` and `borders` (a corrected span with this part). A missed span
        counts once, for all rows about places that overlap it. `none needed`: rows that are right, and of these the
        suggested ones.
    """
    found = {kind: dict.fromkeys(("errors", "suggested", "exact", "class", "borders"), 0) for kind in KINDS}
    for row in rows[rows["is_given"] & rows["is_error"]].itertuples():
        kind = correction_of(row.span, row.right)
        _count(found[kind], [row.suggested], row.right or [_NOTHING])
    places = rows[~rows["is_given"]]
    of_index = {index: list(zip(of["span"], of["suggested"], strict=True)) for index, of in places.groupby("index")}
    for index, spans in enumerate(missed):
        for span in spans:
            here = [suggested for place, suggested in of_index.get(index, []) if overlapping(place, [span])]
            _count(found["added"], here, [span])
    right = rows[~rows["is_error"]]
    return {**found, "none needed": {"rows": len(right), "suggested": int(right["suggested"].notna().sum())}}


def _count(counts: dict[str, int], suggested: Sequence[EntitySpan | None], right: Sequence[EntitySpan]) -> None:
    suggested = [span for span in suggested if span is not None]
    counts["errors"] += 1
    counts["suggested"] += bool(suggested)
    for name, part in (("exact", slice(3)), ("class", slice(2, 3)), ("borders", slice(2))):
        counts[name] += any(span[part] == other[part] for span in suggested for other in right)


def markdown(runs: Sequence[dict]) -> list[str]:
    """Return the tables of what was measured of spans."""
    spans = {run["way"]: run["spans"] for run in runs}
    titles = {"given": "wrong given spans, among all given ones", "missed": "places where a span was missed"}
    header = ["way", "what is found", "score", "AP", "trapezoidal AUPRC", "AUROC", "P at n"]
    rows = [
        [way, titles[name], score,
         *(with_interval(of_score[measure], of_score["intervals"][measure]) for measure in (AP, AUPRC, AUROC)),
         number(of_score["precision_at_errors"])]
        for way, found in spans.items() for name in titles for score, of_score in (found[name]["scores"] or {}).items()
    ]  # fmt: skip
    lines = [
        "## Spans", "",
        "A given span is wrong if no corrected span has its borders and class. A span was missed if it shares no "
        "character with a given one. Places: where the judge looked for one; both scores are of the same places.", "",
        *markdown_table(header, rows), "",
    ]  # fmt: skip
    header = ["way", "rows", "number", "wrong", "sum of 1 − `label_quality`", "ratio", "ECE"]
    rows = [
        [way, titles[name], f"{of_rows['rows']:,}", str(of_rows["errors"]), number(of_rows["sum_of_doubt"], 1),
         number(of_rows["sum_of_doubt_by_errors"]), number(of_rows["expected_calibration_error"], 3)]
        for way, found in spans.items() for name in titles for of_rows in [found[name]]
    ]  # fmt: skip
    lines += [*markdown_table(header, rows), "", "Missed spans that the worst places overlap:", ""]
    header = ["way", "score", "missed", *(f"in the {count} worst" for count in NUMBERS_OF_ROWS), "in any"]
    rows = [
        [way, score, str(found["missed"]["spans"]), *(number(count, 0) for count in recall.values())]
        for way, found in spans.items() for score, recall in found["missed"]["recall"].items()
    ]  # fmt: skip
    lines += [*markdown_table(header, rows), "", "Suggestions, by what corrects a span:", ""]
    header = ["way", "correction", "spans", "with a suggestion", "exactly right", "class right", "borders right"]
    rows = [
        [way, kind, *map(str, found["suggestions"][kind].values())] for way, found in spans.items() for kind in KINDS
    ]
    needless = "; ".join(
        f"{way}: {of['suggested']} of {of['rows']:,}"
        for way, found in spans.items() for of in [found["suggestions"]["none needed"]]
    )  # fmt: skip
    lines += [*markdown_table(header, rows), "", f"Right rows that got a suggestion: {needless}.", ""]
    header = [
        "way",
        "class",
        *(f"{name}, {of}" for of in ("given", "corrected") for name in ("precision", "recall", "F1")),
    ]
    rows = [
        [run["way"], name, *(f"{100 * value:.1f} %" for of in ("given", "corrected")
                             for value in run["entities"][of][name].values())]
        for run in runs for name in run["entities"]["corrected"]
    ]  # fmt: skip
    return [
        *lines,
        "The predicted spans, beside the given ones and the corrected ones:",
        "",
        *markdown_table(header, rows),
    ]
