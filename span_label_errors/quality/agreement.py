"""How far annotators agree on the answers of a data set: by question, by annotator, and beyond chance."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from span_label_errors.spans.agreement import token_f1
from span_label_errors.spans.text import Span, overlaps, word_spans

FEWEST_TO_OUTVOTE = 3  # of two, nobody is outvoted


class AnnotatedAnswer(NamedTuple):
    """One annotator's answer."""

    annotator: str  # "" where no name stands
    class_name: str
    span: Span

    def mean_f1(self, context: str, others: list["AnnotatedAnswer"]) -> float:
        """Return the mean token F1 with the answers of others, NaN if there are none."""
        text = context[slice(*self.span)]
        return float(np.mean([token_f1(text, context[slice(*other.span)]) for other in others])) if others else np.nan

    def is_outvoted(self, others: list["AnnotatedAnswer"]) -> bool:
        """Return whether at least two others mark one place, all of them, and this answer is not there."""
        spans = [other.span for other in others]
        return (
            len(spans) >= FEWEST_TO_OUTVOTE - 1
            and not any(overlaps(self.span, span) for span in spans)
            and all(overlaps(*pair) for pair in combinations(spans, 2))
        )


@dataclass(frozen=True)
class AnnotatorAgreement:
    """How far annotators agree.

    Attributes
    ----------
    questions : DataFrame
        One row per question that several people answered (and class, where there are several): `index` of the
        example, `id`, `class`, `answers` (how many), `f1` (mean token F1 of their pairs), `exact` (share of pairs that
        mark the same span) and `outvoted` (how many answers are; see `AnnotatedAnswer.is_outvoted`).
    annotators : DataFrame
        One row per annotator who is named, by name: `annotator`, `answers` (how many to questions that others answered
        too), `f1` (mean token F1 with the others), `outvoted` (share of them), and `alpha_without` (Krippendorff's
        alpha where this annotator's answers are left out: if it rises, they agree with the others less than those among
        themselves).
    alpha : float
        Krippendorff's alpha of the words of the contexts; NaN where it is not defined.
    """

    questions: pd.DataFrame
    annotators: pd.DataFrame
    alpha: float

    @property
    def f1(self) -> float:
        """The mean token F1 over questions, NaN without one."""
        return float(self.questions["f1"].mean())


def annotator_agreement(table: pd.DataFrame) -> AnnotatorAgreement:
    """Measure how far annotators agree.

    Token F1 is not corrected for chance: answers to one question seldom agree by chance, since a context has many
    spans. The corrected figure is Krippendorff's alpha (Krippendorff 2004, "Content Analysis", chapter 11), nominal.
    Its unit is a word of the context, which each annotator of the question has in their answer or not. Whole answers
    as units would have as many categories as spans, so that chance, and with it the correction, would be next to
    nothing. Alpha takes any number of annotators a question, named or not. Since few words are in answers, it is near
    the F1 of words by position (Hripcsak and Rothschild 2005, "Agreement, the F-measure, and reliability in information
    retrieval").

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` of a run with `answers="each"`, as read by pandas: one row per example.

    Returns
    -------
    AnnotatorAgreement

    Raises
    ------
    ValueError
        If the table does not have every annotator's answer.
    """
    if "given_annotator" not in table:
        raise ValueError(
            "expected the column given_annotator, found none: the table has one answer a question; run the training "
            'notebook with answers="each"'
        )
    questions, of_annotator, units = [], defaultdict(list), []
    for index, (example_id, context) in enumerate(zip(table["id"], table["context"], strict=True)):
        for class_name, answers in answers_by_class(table, index).items():
            if len(answers) < 2:
                continue
            units.append((context, answers))
            outvoted = []
            for number, answer in enumerate(answers):
                others = answers[:number] + answers[number + 1 :]
                outvoted.append(answer.is_outvoted(others))
                if answer.annotator:
                    of_annotator[answer.annotator].append((answer.mean_f1(context, others), outvoted[-1]))
            pairs = list(combinations(answers, 2))
            f1 = [one.mean_f1(context, [other]) for one, other in pairs]
            exact = [one.span == other.span for one, other in pairs]
            questions.append(
                (index, example_id, class_name, len(answers), np.mean(f1), np.mean(exact), int(sum(outvoted)))
            )
    annotators = [
        (name, len(found), *np.mean(found, axis=0), krippendorff_alpha(units, lambda other, name=name: other != name))
        for name, found in sorted(of_annotator.items())
    ]
    return AnnotatorAgreement(
        pd.DataFrame(questions, columns=["index", "id", "class", "answers", "f1", "exact", "outvoted"]),
        pd.DataFrame(annotators, columns=["annotator", "answers", "f1", "outvoted", "alpha_without"]),
        krippendorff_alpha(units),
    )


def answers_by_class(table: pd.DataFrame, index: int) -> dict[str, list[AnnotatedAnswer]]:
    """Return every annotator's answers of one row of the table, by class, in their order."""
    row = table.iloc[index]
    of_class: dict[str, list[AnnotatedAnswer]] = {}
    columns = (row[f"given_{part}"] for part in ("annotator", "label", "start", "answer"))
    for annotator, class_name, start, text in zip(*columns, strict=True):
        answer = AnnotatedAnswer(annotator, class_name, (int(start), int(start) + len(text)))
        of_class.setdefault(class_name, []).append(answer)
    return of_class


def krippendorff_alpha(
    questions: list[tuple[str, list[AnnotatedAnswer]]], counts: Callable[[str], bool] = lambda annotator: True
) -> float:
    """Return Krippendorff's alpha of whether words are in an answer; NaN if no two annotators could disagree.

    Parameters
    ----------
    questions : list of (str, list of AnnotatedAnswer)
        The context of each question, and every annotator's answer.
    counts : callable
        Whether the answers of an annotator, by name, count.
    """
    observed, num_inside, total = 0.0, 0, 0
    for inside, num_answers in _words_inside(questions, counts):
        # Of a unit with m values, each of its m (m - 1) ordered pairs weighs 1 / (m - 1).
        observed += float((2 * inside * (num_answers - inside)).sum()) / (num_answers - 1)
        num_inside, total = num_inside + int(inside.sum()), total + num_answers * len(inside)
    expected = 2 * num_inside * (total - num_inside) / (total - 1) if total > 1 else 0.0
    return 1 - observed / expected if expected else np.nan


def _words_inside(
    questions: list[tuple[str, list[AnnotatedAnswer]]], counts: Callable[[str], bool]
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield, for each question, in how many of its answers each word of the context is, and how many answers count."""
    for context, answers in questions:
        spans = [answer.span for answer in answers if counts(answer.annotator)]
        if len(spans) > 1:
            words = tuple(np.array(word_spans(context)).reshape(-1, 2).T)
            yield np.sum([overlaps(words, span) for span in spans], axis=0), len(spans)
