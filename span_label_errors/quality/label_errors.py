"""Label errors of a data set: how likely each label is right, why it may not be, and what would be right instead."""

import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from span_label_errors.quality.checks import CHECKS, failed_checks
from span_label_errors.quality.features import FEATURES
from span_label_errors.quality.mistakes import KINDS
from span_label_errors.quality.posterior import Judge, Judged
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.quality.sites import NO_SPAN, KnownAnswers
from span_label_errors.results.read import span_classes_of

NO_ANSWER = "[no answer]"
CONFIRMED, CORRECTED = "confirmed", "corrected"
# Fewer answers than this, or one paragraph, say nothing about how many of them are wrong.
MIN_ANSWERS = 50
THRESHOLD = 0.5
# A suggestion must be at least this likely.
_DESERVED = 0.5
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
        """Return the label quality of the n examples in the order of the data set, shape (n,)."""
        return self.issues.sort_values("index")["label_quality"].to_numpy()


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
    verdicts: dict[int, dict[str, list[_Verdict]]] = defaultdict(lambda: defaultdict(list))
    # The arrays are small: threads would only wait for each other, and their number would change the last digits.
    with threadpool_limits(1):
        judge = Judge(table, known, seed=seed)
        for judged in judge.judged():
            given = judged.site.given
            verdicts[given.example_index][given.class_name].append(_verdict(judged))
    quality = np.array([_quality(verdicts[index], judge.sites.labels_every_span) for index in range(len(table))])
    worst = [_worst(list(chain(*verdicts[index].values())), quality[index]) for index in range(len(table))]
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
        is_issue &= np.array([verdict.is_certain for verdict in worst])
    # What reviewers decided is certain.
    decided = np.full(len(table), "", dtype=object)
    for index in known or {}:
        quality[index] = round(quality[index])
        decided[index] = CONFIRMED if quality[index] else CORRECTED
    issues = _issues(table, quality, is_issue, worst, decided)
    return LabelErrors(issues, float((1 - quality).sum()) if has_enough else None)


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
    table: pd.DataFrame, quality: np.ndarray, is_issue: np.ndarray, worst: list[_Verdict], decided: np.ndarray
) -> pd.DataFrame:
    contexts = table["context"].tolist()
    examples = [
        {
            "question": row.question,
            "context": row.context,
            "answers": {"text": row.given_answer, "answer_start": row.given_start},
        }
        for row in table.itertuples()
    ]
    checks = failed_checks(examples)
    given, instead = [verdict.given for verdict in worst], [verdict.instead for verdict in worst]
    evidence = [
        dict.fromkeys(
            words for words in (*(CHECKS[name] for name in names), *verdict.evidence) if words != verdict.reason
        )
        for names, verdict in zip(checks, worst, strict=True)
    ]
    issues = pd.DataFrame(
        {
            "index": np.arange(len(table)),
            "id": table["id"].to_numpy(),
            "label_quality": quality,
            "is_issue": is_issue & (decided == ""),
            "question": table["question"].to_numpy(),
            "given_answer": [_text(context, span, "") for context, span in zip(contexts, given, strict=True)],
            "given_start": _starts(given),
            "suggested_answer": [
                _text(context, span, NO_ANSWER) for context, span in zip(contexts, instead, strict=True)
            ],
            "suggested_start": _starts(instead),
            "suggestion_confidence": [verdict.confidence for verdict in worst],
            "reason": [verdict.reason for verdict in worst],
            "evidence": ["; ".join(list(each)[:_MAX_EVIDENCE]) for each in evidence],
            "checks": ["; ".join(names) for names in checks],
            "decision": decided,
            "fold": table["fold"].to_numpy(),
        }
    )
    order = np.lexsort((quality, decided != ""))
    issues = issues.iloc[order].reset_index(drop=True)
    issues.insert(0, "rank", np.arange(1, len(table) + 1))
    return issues


def _text(context: str, span: tuple[int, int] | None, of_no_span: str) -> str:
    if span is None:
        return ""
    return of_no_span if span == NO_SPAN else context[slice(*span)]


def _starts(spans: list[tuple[int, int] | None]) -> pd.arrays.IntegerArray:
    return pd.array([span[0] if span and span != NO_SPAN else None for span in spans], dtype="Int64")
