"""What is said about each label: in words and numbers, from the posterior."""

from collections import defaultdict
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from span_label_errors.quality.annotators import AnnotatorsJudge, columns_of_annotators
from span_label_errors.quality.features import FEATURES
from span_label_errors.quality.mistakes import KINDS
from span_label_errors.quality.posterior import Judge, Judged
from span_label_errors.quality.sites import NO_SPAN, Known
from span_label_errors.quality.span_features import SAID_ALONE, SPAN_COLUMN, SPAN_FEATURES
from span_label_errors.quality.span_judge import SpanJudge
from span_label_errors.quality.span_mistakes import SPAN_KINDS
from span_label_errors.spans.text import Span, overlaps

# A suggestion must be at least this likely.
_DESERVED = 0.5
# Of better labels, nothing is held against them.
_SUSPICIOUS = 0.9
# What does not halve the odds of being right is no evidence.
_WEAKEST = -0.69


@dataclass(frozen=True)
class Verdict:
    """What is said about one given answer or span, or about a place where none is given."""

    quality: float
    given: Span  # NO_SPAN for none
    given_class: str = ""
    instead: Span | None = None
    instead_class: str = ""
    confidence: float = np.nan
    reason: str = ""
    evidence: tuple[str, ...] = ()
    is_certain: bool = False  # the text alone tells


class Row(NamedTuple):
    """A row of the issues."""

    index: int  # of the example
    quality: float
    verdict: Verdict
    of_annotator: dict | None = None  # further columns, where the answers of several annotators are judged
    place: Span | None = None  # where every span is labelled, the characters that the row is about
    example_quality: float | None = None  # there, the probability that nothing in the example is wrong

    def is_in(self, known: Known) -> bool:
        """Return whether a reviewer has decided on what the row is about."""
        if known.places is None:
            return True
        if self.place is not None:
            return any(overlaps(self.place, decided) for decided in known.places)
        if self.of_annotator is None or self.verdict.given in known.places:
            return True
        # A correction may have removed another form of what was wrong; others stand, and are judged by it.
        return not any(self.verdict.given in spans for spans in known.right.values())


def rows_of_examples(judge: Judge, num_examples: int) -> list[Row]:
    """Return what is said about each example: about its worst answer."""
    # Data of several classes label every span: there is one class.
    verdicts: dict[int, list[Verdict]] = defaultdict(list)
    for judged in judge.judged():
        verdicts[judged.site.given.example_index].append(_verdict(judged))
    worst = [_worst(verdicts[index]) for index in range(num_examples)]
    return [Row(index, verdict.quality, verdict) for index, verdict in enumerate(worst)]


def rows_of_annotators(judge: AnnotatorsJudge) -> list[Row]:
    """Return what is said about each annotator's answer, and about each example that nobody answered."""
    rows, unanswered = [], {}
    for judged in judge.judged():
        given = judged.site.given
        verdict = _verdict(judged)
        of_answer = [
            Row(given.example_index, judged.quality, verdict, columns)
            for columns in columns_of_annotators(judge, judged)
        ]
        if given.span != NO_SPAN:
            rows += of_answer
        else:
            # Of several classes, the one that is likeliest to have an answer.
            other = unanswered.setdefault(given.example_index, of_answer[0])
            unanswered[given.example_index] = min(other, *of_answer, key=lambda row: row.quality)
    # A row says nothing of its class, so it could not be decided on beside answers of another one.
    answered = {row.index for row in rows}
    rows += [row for index, row in unanswered.items() if index not in answered]
    return sorted(rows, key=lambda row: row.index)


def rows_of_spans(judge: SpanJudge, num_examples: int) -> list[Row]:
    """Return what is said about each given span, and each place where one may be missing, example by example.

    An example with neither has one row.
    """
    # Verdicts at once: what is judged holds the features of hundreds of candidates.
    of_examples: dict[int, list[tuple[Span, Verdict]]] = defaultdict(list)
    for judged in judge.judged():
        given = judged.site.given
        if judged.quality >= _SUSPICIOUS:
            verdict = Verdict(judged.quality, given.span, given.class_name)
        else:
            verdict = _verdict_on_span(judged)
        of_examples[given.example_index].append((given.place, verdict))
    rows = []
    for index in range(num_examples):
        of_example = sorted(of_examples[index], key=itemgetter(0))
        example_quality = float(np.prod([verdict.quality for _, verdict in of_example]))
        for place, verdict in of_example:
            rows.append(Row(index, verdict.quality, verdict, place=place, example_quality=example_quality))
        if not of_example:
            nothing = Verdict(example_quality, NO_SPAN)
            rows.append(Row(index, example_quality, nothing, place=(0, 0), example_quality=example_quality))
    return rows


def _worst(verdicts: list[Verdict]) -> Verdict:
    """Return what is said about the worst answer of an example: others say the same in other ways."""
    worst = min(verdicts, key=lambda verdict: verdict.quality)
    # Taken over, "no answer" would remove the other answers of the example as well.
    is_one_of_several = sum(verdict.given != NO_SPAN for verdict in verdicts) > 1
    return replace(worst, instead=None, confidence=np.nan) if is_one_of_several and worst.instead == NO_SPAN else worst


def _verdict(judged: Judged) -> Verdict:
    if judged.quality >= _SUSPICIOUS:
        return Verdict(judged.quality, judged.site.given.span)
    site, likeliest = judged.site, int(judged.instead.argmax())
    kind = judged.kinds[int(judged.posterior[1:].sum(axis=1).argmax())]
    if site.given.span == NO_SPAN:
        reason = "a span of the context looks like an answer"
    elif tuple(site.spans[likeliest]) == NO_SPAN:
        reason = "no answer expected"
    else:
        reason = KINDS[kind].reason
    return _said(judged, likeliest, reason, FEATURES)


def _verdict_on_span(judged: Judged) -> Verdict:
    site, of_candidates = judged.site, judged.posterior[1:].sum(axis=1)
    kind = int(of_candidates.argmax())
    # The likeliest of the likeliest kind, so that reason and suggestion say the same.
    likeliest = int(judged.posterior[1 + kind].argmax())
    verdict = _said(judged, likeliest, SPAN_KINDS[judged.kinds[kind]].reason, SPAN_FEATURES)
    if site.class_index[site.given_row] < 0:
        verdict = replace(verdict, evidence=_said_of(site.features[-1]))
    elif site.class_index[likeliest] < 0:
        verdict = replace(verdict, evidence=_said_of(site.features[site.given_row]))
    class_index = site.class_index[likeliest]
    is_suggested = verdict.instead is not None and class_index >= 0
    instead_class = site.classes[class_index] if is_suggested else ""
    return replace(verdict, given_class=site.given.class_name, instead_class=instead_class)


def _said_of(features: np.ndarray) -> tuple[str, ...]:
    """Return what speaks against a span, or against "nothing here", by itself."""
    words = (SPAN_FEATURES[name][int(features[SPAN_COLUMN[name]] > 0)] for name in SAID_ALONE
             if features[SPAN_COLUMN[name]])  # fmt: skip
    return tuple(dict.fromkeys(filter(None, words)))


def _said(judged: Judged, likeliest: int, reason: str, words_of: dict[str, tuple[str, str]]) -> Verdict:
    confidence = float(judged.instead[likeliest])
    is_suggested = confidence >= _DESERVED
    return Verdict(
        quality=judged.quality,
        given=judged.site.given.span,
        instead=tuple(judged.site.spans[likeliest].tolist()) if is_suggested else None,
        confidence=confidence if is_suggested else np.nan,
        reason=reason,
        evidence=_evidence(judged, likeliest, words_of),
        is_certain=judged.site.cuts_word,
    )


def _evidence(judged: Judged, likeliest: int, words_of: dict[str, tuple[str, str]]) -> tuple[str, ...]:
    """Return what makes another candidate likelier than the given one in the choice, strongest first."""
    site = judged.site
    difference = site.features[site.given_row] - site.features[likeliest]
    strength: dict[str, float] = {}
    for words, of_feature, term in zip(words_of.values(), difference, difference * judged.weights, strict=True):
        words_against = words[int(of_feature > 0)]
        if words_against:
            strength[words_against] = strength.get(words_against, 0.0) + float(term)
    return tuple(sorted((words for words in strength if strength[words] <= _WEAKEST), key=strength.get))
