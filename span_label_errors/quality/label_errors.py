"""Label errors of a data set: how likely each label is right, why it may not be, and what would be right instead."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from span_label_errors.quality.annotators import (
    ANSWER_COLUMNS,
    CONSENSUS_COLUMNS,
    AnnotatorsJudge,
    columns_of_annotators,
)
from span_label_errors.quality.checks import CHECKS, failed_checks
from span_label_errors.quality.features import FEATURES
from span_label_errors.quality.mistakes import KINDS
from span_label_errors.quality.posterior import Judge, Judged
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.quality.sites import NO_SPAN, Known, KnownAnswers
from span_label_errors.results.read import span_classes_of

NO_ANSWER = "[no answer]"
CONFIRMED, CORRECTED = "confirmed", "corrected"
# Fewer answers than this, or one paragraph, say nothing about how many of them are wrong.
MIN_ANSWERS = 50
THRESHOLD = 0.5
# A suggestion must be at least this likely.
_DESERVED = 0.5
# The check that compares examples.
_OF_QUESTION = "repeated_question"
# Of better labels, nothing is held against them.
_SUSPICIOUS = 0.9
_MAX_EVIDENCE = 3
# What does not halve the odds of being right is no evidence.
_WEAKEST = -0.69


class FewAnswersWarning(UserWarning):
    """Too few answers to learn from: the ranking is what was learned elsewhere, and nothing is estimated."""


@dataclass(frozen=True)
class LabelErrors:
    """The examples of a data set, the most suspicious first.

    Attributes
    ----------
    issues : DataFrame
        One row per example, worst first, those that reviewers have decided on last: `rank` (from 1), `index` (of the
        example in the data set), `id`, `label_quality` (0 to 1: the probability that the given label is right),
        `is_issue` (whether that is below the threshold, and nobody has decided), `question`, `given_answer` and
        `given_start` (the worst of the example's given answers; empty without one), `suggested_answer`,
        `suggested_start` and `suggestion_confidence` (what is right instead, with its probability, where that is high
        enough; `"[no answer]"` if nothing is), `reason` (of a quality below 0.9: the likeliest mistake, in
        words), `evidence` (failed checks, and what speaks for another answer, joined by `"; "`), `checks` (names of
        the checks of the text that fail), `decision` (`"confirmed"`, `"corrected"` or empty) and `fold`. Offsets are
        characters of the context.
    estimated_wrong : float or None
        How many examples are wrong: the sum of 1 - `label_quality`. None if there is too little to learn from.
    """

    issues: pd.DataFrame
    estimated_wrong: float | None

    def label_quality(self) -> np.ndarray:
        """Return the label quality of the n examples in the order of the data set, shape (n,).

        That of an example with several annotators' answers is the quality of the worst one.
        """
        return self.issues.groupby("index")["label_quality"].min().to_numpy()


@dataclass(frozen=True)
class _Verdict:
    """What is said about one given answer."""

    quality: float
    given: tuple[int, int]
    instead: tuple[int, int] | None = None
    confidence: float = np.nan
    reason: str = ""
    evidence: tuple[str, ...] = ()
    is_certain: bool = False  # the text alone tells


class _Row(NamedTuple):
    """A row of the issues."""

    index: int  # of the example
    quality: float
    verdict: _Verdict
    of_annotator: dict | None = None  # further columns, where the answers of several annotators are judged

    def is_in(self, known: Known) -> bool:
        """Return whether a reviewer has decided on what the row is about."""
        if self.of_annotator is None or known.places is None or self.verdict.given in known.places:
            return True
        # A correction may have removed another form of what was wrong; others stand, and are judged by it.
        return not any(self.verdict.given in spans for spans in known.right.values())


def find_label_errors(
    table: pd.DataFrame, *, threshold: float = THRESHOLD, known: KnownAnswers | None = None, seed: int = 0
) -> LabelErrors:
    """Rank examples by how likely their given labels are right, with a reason and a suggestion where they are not.

    Everything follows from one posterior; `span_label_errors.quality` explains it. It learns from the data set itself.
    Each answer is judged by what was learned from other paragraphs of its fold only.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` as read by pandas: one row per example.
    threshold : float
        Labels of a lower quality are issues.
    known : mapping or None
        By example index, the right spans of each class, where reviewers have decided; `known_answers` makes it of
        their decisions.
    seed : int
        Of what is drawn at random. The same table and seed give the same ranking.

    Returns
    -------
    LabelErrors

    Raises
    ------
    ValueError
        If a column is missing, labels and probabilities are not as `span_label_quality` wants them, or the threshold is
        not between 0 and 1.

    Warns
    -----
    FewAnswersWarning
        If there are fewer than `MIN_ANSWERS` answers, or one paragraph only. Then nothing is estimated, and an issue is
        only what the text alone tells: an answer that begins or ends inside a word.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold from 0 to 1, found {threshold}")
    _check(table)
    # The arrays are small: threads would only wait for each other, and their number would change the last digits.
    with threadpool_limits(1):
        judge = (AnnotatorsJudge if "given_annotator" in table else Judge)(table, known, seed=seed)
        rows = _rows_of_annotators(table, judge) if isinstance(judge, AnnotatorsJudge) else _rows(table, judge)
    quality = np.array([row.quality for row in rows])
    has_enough = judge.num_answers >= MIN_ANSWERS and judge.num_paragraphs > 1
    is_issue = quality < threshold
    if not has_enough:
        warnings.warn(
            f"expected at least {MIN_ANSWERS} answers on more than one paragraph to learn from, found "
            f"{judge.num_answers} on {judge.num_paragraphs}: the number of wrong ones is not estimated, and only "
            "certain issues are flagged; check the ranking from the top, or judge these examples together with others",
            FewAnswersWarning,
            stacklevel=2,
        )
        is_issue &= np.array([row.verdict.is_certain for row in rows])
    # What reviewers decided is certain.
    decided = np.full(len(rows), "", dtype=object)
    for number, row in enumerate(rows):
        if row.index in (known or {}) and row.is_in(known[row.index]):
            quality[number] = round(quality[number])
            decided[number] = CONFIRMED if quality[number] else CORRECTED
    issues = _issues(table, rows, quality, is_issue, decided)
    return LabelErrors(issues, float((1 - quality).sum()) if has_enough else None)


def _rows(table: pd.DataFrame, judge: Judge) -> list[_Row]:
    """Return what is said about each example."""
    verdicts: dict[int, dict[str, list[_Verdict]]] = defaultdict(lambda: defaultdict(list))
    for judged in judge.judged():
        given = judged.site.given
        verdicts[given.example_index][given.class_name].append(_verdict(judged))
    quality = [_quality(verdicts[index], judge.sites.labels_every_span) for index in range(len(table))]
    worst = [_worst(list(chain(*verdicts[index].values())), quality[index]) for index in range(len(table))]
    return list(map(_Row, range(len(table)), quality, worst))


def _rows_of_annotators(table: pd.DataFrame, judge: AnnotatorsJudge) -> list[_Row]:
    """Return what is said about each annotator's answer, and about each question that nobody answered."""
    rows = []
    for judged in judge.judged():
        verdict = _worst([_verdict(judged)], judged.quality)
        rows += [
            _Row(judged.site.given.example_index, judged.quality, verdict, columns)
            for columns in columns_of_annotators(judge, judged)
        ]
    return sorted(rows, key=lambda row: row.index)


def _check(table: pd.DataFrame) -> None:
    classes = span_classes_of(table)
    needed = ["id", "title", "question", "context", "given_answer", "given_start", "given_label", "fold", "char_start"]
    needed += ["char_end", *(f"labels_{name}" for name in classes)]
    missing = [name for name in needed if name not in table.columns]
    if missing or not classes:
        raise ValueError(
            f"expected the columns of out_of_fold.parquet, found none named {missing or 'pred_probs_<class>'}; "
            "run the training notebook to write it"
        )
    if not len(table):
        raise ValueError("expected at least one example, found none")
    for name in classes:
        for row, (labels, tokens) in enumerate(zip(table[f"labels_{name}"], table["char_start"], strict=True)):
            if len(labels) != len(tokens):
                raise ValueError(f"example {row}: expected {len(tokens)} labels, one a token, found {len(labels)}")
        span_label_quality(list(table[f"labels_{name}"]), list(table[f"pred_probs_{name}"]))  # raises on bad values


def _quality(verdicts: dict[str, list[_Verdict]], labels_every_span: dict[str, bool]) -> float:
    """Return the probability that an example's label is right, from those of its given answers.

    Where every span is labelled, all of them must be right. Other answers of one example say the same in other ways.
    """
    of_classes = [
        np.prod([verdict.quality for verdict in of_class])
        if labels_every_span[name]
        else min(verdict.quality for verdict in of_class)
        for name, of_class in verdicts.items()
    ]
    return float(np.prod(of_classes))


def _worst(verdicts: list[_Verdict], quality_of_example: float) -> _Verdict:
    worst = min(verdicts, key=lambda verdict: verdict.quality)
    if quality_of_example >= _SUSPICIOUS:
        return _Verdict(worst.quality, worst.given)
    # Taken over, "no answer" would remove the other answers of the example as well.
    is_one_of_several = sum(verdict.given != NO_SPAN for verdict in verdicts) > 1
    return replace(worst, instead=None, confidence=np.nan) if is_one_of_several and worst.instead == NO_SPAN else worst


def _verdict(judged: Judged) -> _Verdict:
    site, quality, instead = judged.site, judged.quality, judged.instead
    likeliest = int(instead.argmax())
    of_kinds = judged.posterior[1:].sum(axis=1)
    confidence = float(instead[likeliest])
    return _Verdict(
        quality=quality,
        given=site.given.span,
        instead=tuple(site.spans[likeliest].tolist()) if confidence >= _DESERVED else None,
        confidence=confidence if confidence >= _DESERVED else np.nan,
        reason=_reason(judged, judged.kinds[int(of_kinds.argmax())], likeliest),
        evidence=_evidence(judged, likeliest),
        is_certain=site.cuts_word,
    )


def _reason(judged: Judged, kind: str, likeliest: int) -> str:
    if judged.site.given.span == NO_SPAN:
        return "a span of the context looks like an answer"
    if tuple(judged.site.spans[likeliest]) == NO_SPAN:
        return "no answer expected"
    return KINDS[kind].reason


def _evidence(judged: Judged, likeliest: int) -> tuple[str, ...]:
    """Return what makes another candidate likelier than the given answer in the choice, strongest first."""
    site = judged.site
    difference = site.features[site.given_row] - site.features[likeliest]
    strength: dict[str, float] = {}
    for words, of_feature, term in zip(FEATURES.values(), difference, difference * judged.weights, strict=True):
        words_against = words[int(of_feature > 0)]
        if words_against:
            strength[words_against] = strength.get(words_against, 0.0) + float(term)
    return tuple(sorted((words for words in strength if strength[words] <= _WEAKEST), key=strength.get))


def _issues(
    table: pd.DataFrame, rows: list[_Row], quality: np.ndarray, is_issue: np.ndarray, decided: np.ndarray
) -> pd.DataFrame:
    index, verdicts = np.array([row.index for row in rows]), [row.verdict for row in rows]
    contexts = table["context"].to_numpy()[index]
    given, instead = [verdict.given for verdict in verdicts], [verdict.instead for verdict in verdicts]
    checks = _checks(table, rows)
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
            **_of_annotators(rows, ANSWER_COLUMNS),
            "suggested_answer": [
                _text(context, span, NO_ANSWER) for context, span in zip(contexts, instead, strict=True)
            ],
            "suggested_start": _starts(instead),
            "suggestion_confidence": [verdict.confidence for verdict in verdicts],
            **_of_annotators(rows, CONSENSUS_COLUMNS),
            "reason": [verdict.reason for verdict in verdicts],
            "evidence": ["; ".join(list(each)[:_MAX_EVIDENCE]) for each in evidence],
            "checks": ["; ".join(names) for names in checks],
            "decision": decided,
            "fold": table["fold"].to_numpy()[index],
        }
    )
    order = np.lexsort((quality, decided != ""))
    issues = issues.iloc[order].reset_index(drop=True)
    issues.insert(0, "rank", np.arange(1, len(issues) + 1))
    return issues


def _of_annotators(rows: list[_Row], names: Sequence[str]) -> dict[str, Sequence]:
    """Return columns that rows about annotators' answers have."""
    if rows[0].of_annotator is None:
        return {}
    columns = {name: [row.of_annotator[name] for row in rows] for name in names}
    return {name: pd.array(column, dtype="Int64") if name.endswith("_start") else column
            for name, column in columns.items()}  # fmt: skip


def _checks(table: pd.DataFrame, rows: list[_Row]) -> list[list[str]]:
    """Return the names of the checks that each row's example fails, or of annotators' answers, that answer."""
    examples = [
        {
            "question": row.question,
            "context": row.context,
            "answers": {"text": row.given_answer, "answer_start": row.given_start},
        }
        for row in table.itertuples()
    ]
    of_examples = failed_checks(examples)
    if rows[0].of_annotator is None:
        return [of_examples[row.index] for row in rows]
    alone = []
    for index, _, verdict, _ in rows:
        spans = [span for span in [verdict.given] if span != NO_SPAN]
        texts = [examples[index]["context"][slice(*span)] for span in spans]
        alone.append({**examples[index], "answers": {"text": texts, "answer_start": [start for start, _ in spans]}})
    # The answers of several people to a question are no question that is asked again.
    return [
        [name for name in CHECKS if name in (of_examples[row.index] if name == _OF_QUESTION else of_answer)]
        for row, of_answer in zip(rows, failed_checks(alone), strict=True)
    ]


def _text(context: str, span: tuple[int, int] | None, of_no_span: str) -> str:
    if span is None:
        return ""
    return of_no_span if span == NO_SPAN else context[slice(*span)]


def _starts(spans: list[tuple[int, int] | None]) -> pd.arrays.IntegerArray:
    return pd.array([span[0] if span and span != NO_SPAN else None for span in spans], dtype="Int64")
