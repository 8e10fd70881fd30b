"""Label errors of a data set: how likely each label is right, why it may not be, and what would be right instead."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from span_label_errors.progress import ProgressLine, limited
from span_label_errors.quality.annotators import AnnotatorsJudge
from span_label_errors.quality.issues import NO_ANSWER as NO_ANSWER
from span_label_errors.quality.issues import issues_of
from span_label_errors.quality.posterior import Judge
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.quality.sites import KnownAnswers
from span_label_errors.quality.span_judge import SpanJudge
from span_label_errors.quality.span_sites import labels_every_span
from span_label_errors.quality.verdicts import Row, rows_of_annotators, rows_of_examples, rows_of_spans
from span_label_errors.results.read import span_classes_of

CONFIRMED, CORRECTED = "confirmed", "corrected"
# Fewer answers than this, or one paragraph, say nothing about how many of them are wrong.
MIN_ANSWERS = 50
THRESHOLD = 0.5


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

        Where every span is labelled (see `span_sites.labels_every_span`), one row for each given span and for each
        place where one may be missing, with no `given_answer`; an example with neither has one row. `label_quality` is
        the probability that the span is right, or that nothing is missing. `given_label` and `suggested_label` are
        classes, `place_start` and `place_end` the characters that the row is about, and `example_quality` the
        probability that nothing in the example is wrong.

        With `answers="each"`, one row for each annotator's answer, with the columns of
        `annotators.columns_of_annotators`.
    estimated_wrong : float or None
        How many of the rows are wrong: the sum of 1 - `label_quality`. None if there is too little to learn from.
    """

    issues: pd.DataFrame
    estimated_wrong: float | None

    def label_quality(self) -> np.ndarray:
        """Return the label quality of the n examples in the order of the data set, shape (n,).

        That of an example with several annotators' answers is the quality of the worst one; where every span is
        labelled, it is the probability that nothing in the example is wrong.
        """
        name = "example_quality" if "example_quality" in self.issues else "label_quality"
        return self.issues.groupby("index")[name].min().to_numpy()


def find_label_errors(
    table: pd.DataFrame,
    *,
    threshold: float = THRESHOLD,
    known: KnownAnswers | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
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
    progress : callable or None
        Gets a text that replaces the one before, at most twice a second, and an empty one at the end. None: a notebook
        or a terminal shows it.

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
    progress = progress or ProgressLine().update
    show = limited(progress)
    try:
        # The arrays are small: threads would only wait for each other, and their number would change the last digits.
        with threadpool_limits(1):
            judge, rows = _judged(table, known, seed, show)
    finally:
        progress("")  # before a warning, or an error, comes
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
    try:
        issues = issues_of(table, rows, quality, is_issue, decided, judge.sites, show)
    finally:
        progress("")
    return LabelErrors(issues, float((1 - quality).sum()) if has_enough else None)


def _judged(
    table: pd.DataFrame, known: KnownAnswers | None, seed: int, progress: Callable[[str], None]
) -> tuple[Judge, list[Row]]:
    if "given_annotator" in table:
        if not any(table["question"]):
            raise ValueError(
                'answers="each": expected several people\'s answers to questions, found data without a question, where '
                'each answer is a span of its own; run the training notebook again with answers="all"'
            )
        judge = AnnotatorsJudge(table, known, seed=seed, progress=progress)
        return judge, rows_of_annotators(judge)
    if labels_every_span(table):
        judge = SpanJudge(table, known, seed=seed, progress=progress)
        return judge, rows_of_spans(judge, len(table))
    judge = Judge(table, known, seed=seed, progress=progress)
    return judge, rows_of_examples(judge, len(table))


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
