"""How far annotators agree on the answers of a data set: by question, by annotator, and beyond chance."""

from collections import defaultdict
from collections.abc import Iterator
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
            units.append(_Unit([answer.annotator for answer in answers], _words_inside(context, answers)))
            outvoted = [answer.is_outvoted(others) for answer, others in _each_with_others(answers)]
            f1 = _f1_of_pairs(context, answers)
            for number, answer in enumerate(answers):
                if answer.annotator:
                    mean_f1 = np.mean(np.delete(f1[number], number))
                    of_annotator[answer.annotator].append((mean_f1, outvoted[number]))
            pairs = np.triu_indices(len(answers), 1)
            exact = [answers[one].span == answers[other].span for one, other in zip(*pairs, strict=True)]
            questions.append(
                (index, example_id, class_name, len(answers), np.mean(f1[pairs]), np.mean(exact), int(sum(outvoted)))
            )
    annotators = [
        (name, len(found), *np.mean(found, axis=0), _krippendorff_alpha([unit.without(name) for unit in units]))
        for name, found in sorted(of_annotator.items())
    ]
    return AnnotatorAgreement(
        pd.DataFrame(questions, columns=["index", "id", "class", "answers", "f1", "exact", "outvoted"]),
        pd.DataFrame(annotators, columns=["annotator", "answers", "f1", "outvoted", "alpha_without"]),
        _krippendorff_alpha(units),
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


class _Unit(NamedTuple):
    """The answers to one question."""

    annotators: list[str]  # of each of M answers
    is_inside: np.ndarray  # (M, W), bool, whether each word of the context is in each answer

    def without(self, annotator: str) -> "_Unit":
        """Return the same without the answers of an annotator."""
        if annotator not in self.annotators:
            return self
        kept = [number for number, name in enumerate(self.annotators) if name != annotator]
        return _Unit([self.annotators[number] for number in kept], self.is_inside[kept])


def _krippendorff_alpha(units: list[_Unit]) -> float:
    """Return Krippendorff's alpha of whether words are in an answer; NaN if no two annotators could disagree."""
    observed, num_inside, total = 0.0, 0, 0
    for _, is_inside in units:
        num_answers, num_words = is_inside.shape
        if num_answers > 1:
            inside = is_inside.sum(axis=0)
            # Of a unit with m values, each of its m (m - 1) ordered pairs weighs 1 / (m - 1).
            observed += float((2 * inside * (num_answers - inside)).sum()) / (num_answers - 1)
            num_inside, total = num_inside + int(inside.sum()), total + num_answers * num_words
    expected = 2 * num_inside * (total - num_inside) / (total - 1) if total > 1 else 0.0
    return 1 - observed / expected if expected else np.nan


def _words_inside(context: str, answers: list[AnnotatedAnswer]) -> np.ndarray:
    """Return whether each of W words of the context is in each of M answers, shape (M, W)."""
    words = np.array(word_spans(context)).reshape(-1, 2)
    start, end = np.array([answer.span for answer in answers]).T[:, :, None]
    return overlaps(tuple(words.T), (start, end))


def _f1_of_pairs(context: str, answers: list[AnnotatedAnswer]) -> np.ndarray:
    """Return the token F1 of each of M answers with each, shape (M, M)."""
    texts, f1 = [context[slice(*answer.span)] for answer in answers], np.ones((len(answers), len(answers)))
    for one, other in combinations(range(len(answers)), 2):
        if texts[one] != texts[other]:
            f1[one, other] = f1[other, one] = token_f1(texts[one], texts[other])
    return f1


def _each_with_others(answers: list[AnnotatedAnswer]) -> Iterator[tuple[AnnotatedAnswer, list[AnnotatedAnswer]]]:
    for number, answer in enumerate(answers):
        yield answer, answers[:number] + answers[number + 1 :]
