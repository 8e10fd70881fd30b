"""Label quality of answers: how likely each given one is right, what stands there instead, where to cut the list."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from span_label_errors.quality.answer_model import AnswerModel, TrainingEvidence, parts_of_groups
from span_label_errors.quality.cases import AnswerEvidence, Case, Judged, span_classes_of
from span_label_errors.quality.checks import failed_checks
from span_label_errors.quality.mistakes import MISTAKES
from span_label_errors.quality.reasons import NO_ANSWER, joined, reasons_of_model
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.spans.expected_f1 import best_span, expected_f1_share
from span_label_errors.spans.text import Span

# Fewer answers than this teach nothing about answers.
MIN_ANSWERS = 20
# Shares of the planted mistakes that are looked for among the given answers.
_TAILS = (0.3, 0.4, 0.5)
_SMALLEST = 1e-6
# Of better answers, only failed checks are told.
_SUSPICIOUS = 0.9
# What the text alone shows to be wrong, and by how much that divides the odds of being right.
_CERTAIN_CHECK, _ODDS_DIVISOR = "cut_word", 10.0


class FewAnswersWarning(UserWarning):
    """Too few answers to learn from: probabilities alone decide."""


@dataclass(frozen=True)
class LabelErrors:
    """The examples of a data set, the most suspicious first.

    Attributes
    ----------
    issues : DataFrame
        One row per example, worst first: `rank` (from 1), `index` (of the example in the data set), `id`,
        `label_quality` (0 to 1; the probability that the given answer is right, as far as the estimate of the
        share of wrong ones holds), `is_issue` (the estimated number of wrong ones, and all answers that cut a
        word), `question`, `given_answer` and `given_start` (the answer that is
        judged, the worst of the example's; empty without one), `suggested_answer`, `suggested_start`,
        `suggestion_confidence` (the probability that this span is the one an annotator marks), `checks` (names
        of the checks of the text that fail), `reasons` (up to three, in words, joined by `"; "`: failed checks, and
        what the models hold against an answer of a quality below 0.9) and `fold`. Offsets are characters of the
        context.
    estimated_wrong : int
        How many examples are estimated to be wrong.
    learned : bool
        Whether there were enough answers to learn from; otherwise the probabilities alone decide.
    """

    issues: pd.DataFrame
    estimated_wrong: int
    learned: bool

    def label_quality(self) -> np.ndarray:
        """Return the label quality of the n examples in the order of the data set, shape (n,)."""
        return self.issues.sort_values("index")["label_quality"].to_numpy()


@dataclass(frozen=True)
class _Verdict:
    """What is thought of one judged answer."""

    log_odds: float  # of being right, before the share of wrong ones is known
    suggestion: Span | None
    confidence: float
    reasons: Sequence[str] = ()  # the strongest first


def find_label_errors(
    table: pd.DataFrame, *, seed: int = 0, mistakes: Mapping[str, Callable] = MISTAKES
) -> LabelErrors:
    """Rank examples by how suspicious their given answers are, and suggest other answers.

    What makes an answer suspicious is learned from the data set itself, without a mark of what is wrong: its given
    answers are mostly right, and mistakes of known kinds can be planted in their places. Models that weigh the
    evidence of `span_evidence` (out-of-fold probabilities, words of the question, form of the span) learn to tell the
    two apart, and to choose the given answer among all spans of its context. Each answer is judged by models
    that have learned from other paragraphs only.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` as read by pandas: one row per example, see `exports.out_of_fold_table`.
    seed : int
        Of the planted mistakes. The same table and seed give the same ranking.
    mistakes : mapping
        Kinds of mistake to learn from, as `planted_errors.MISTAKES`: each a function of context, answer span and
        the spans of other answers on the context, that returns wrong spans.

    Returns
    -------
    LabelErrors

    Raises
    ------
    ValueError
        If a column is missing, or labels and probabilities are not as `span_label_quality` wants them.

    Warns
    -----
    FewAnswersWarning
        If mistakes can be planted for fewer than `MIN_ANSWERS` answers, or on one paragraph only. Then
        `label_quality` is `span_label_quality` (with the odds of answers that cut a word divided, as always), and
        the suggestion is the span of the highest expected F1.
    """
    quality = span_label_quality(*_arrays_of(table))
    evidence = AnswerEvidence(table, seed, mistakes)
    training, answers = evidence.training_evidence()
    # An answer in whose place no mistake is possible teaches nothing about mistakes.
    teaching = np.unique(training.mistake_of)
    groups = np.array([evidence.judged[row].group for row in answers[teaching]])
    learned = len(teaching) >= MIN_ANSWERS and len(np.unique(groups)) > 1
    if learned:
        part = _parts(evidence.judged, groups)
        verdicts, share_wrong = _learned_verdicts(evidence, training, answers, part)
        prior = logit(1 - share_wrong)
    else:
        warnings.warn(
            f"expected at least {MIN_ANSWERS} answers on more than one paragraph to learn from, found "
            f"{len(teaching)} on {len(np.unique(groups))}; label_quality comes from the probabilities alone",
            FewAnswersWarning,
            stacklevel=2,
        )
        verdicts, prior = _verdicts_of_probabilities(evidence, table), 0.0
        share_wrong = float((quality < 0.5).mean())

    worst: dict[int, int] = {}
    for row in np.argsort([verdict.log_odds for verdict in verdicts], kind="stable").tolist():
        worst.setdefault(evidence.judged[row].example_index, row)
    rows = [worst[example_index] for example_index in range(len(table))]
    if learned:
        quality = expit(np.array([verdicts[row].log_odds for row in rows]) + prior)
    estimated_wrong = round(share_wrong * len(table))
    judged_and_verdicts = [(evidence.judged[row], verdicts[row]) for row in rows]
    return LabelErrors(_issues(table, quality, judged_and_verdicts, estimated_wrong), estimated_wrong, learned)


def _arrays_of(table: pd.DataFrame) -> tuple[list[np.ndarray], list[np.ndarray]]:
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
    columns = {}
    for kind in ("labels", "pred_probs"):
        of_classes = [table[f"{kind}_{name}"] for name in classes]
        columns[kind] = [_stacked(arrays, i) for i, arrays in enumerate(zip(*of_classes, strict=True))]
    for example_index, (given, char_start) in enumerate(zip(columns["labels"], table["char_start"], strict=True)):
        if len(given) != len(char_start):
            raise ValueError(
                f"example {example_index}: expected {len(char_start)} labels, one a token, found {len(given)}"
            )
    return columns["labels"], columns["pred_probs"]


def _stacked(arrays: Sequence[np.ndarray], example_index: int) -> np.ndarray:
    if len(arrays) == 1:
        return np.asarray(arrays[0])
    try:
        return np.stack([np.asarray(array) for array in arrays], axis=1)
    except ValueError as error:
        raise ValueError(f"example {example_index}: expected equally many tokens for each class; {error}") from error


def _parts(judged: list[Judged], groups_learned: np.ndarray) -> np.ndarray:
    """Return the part that each judged answer belongs to; every part leaves something to learn from in the others."""
    part_of = dict(zip(groups_learned.tolist(), parts_of_groups(groups_learned).tolist(), strict=True))
    num_parts = max(part_of.values()) + 1
    return np.array([part_of.get(one.group, one.group % num_parts) for one in judged], dtype=np.int64)


def _learned_verdicts(
    evidence: AnswerEvidence, training: TrainingEvidence, answers: np.ndarray, part: np.ndarray
) -> tuple[list[_Verdict], float]:
    judged = evidence.judged
    models = [AnswerModel(training, np.flatnonzero(part[answers] != number)) for number in range(int(part.max()) + 1)]
    log_odds, no_answer = np.empty(len(judged)), np.empty((len(judged), 3))
    is_span = np.array([one.span is not None for one in judged])
    suggestions: list[tuple[Span, float]] = [((0, 0), 0.0)] * len(judged)
    reasons = [[NO_ANSWER]] * len(judged)
    for row, case in evidence.cases():
        model = models[part[row]]
        suggestions[row] = _suggestion(model, case)
        if judged[row].span is not None:
            log_odds[row] = model.log_odds(case.given, case.evidence)[0]
            reasons[row] = reasons_of_model(model.explain(case.given[0]))
        # It weighs every candidate, for nothing where every example has an answer.
        if not is_span.all():
            no_answer[row] = _features_of_no_answer(model, case)
    if not is_span.all():
        log_odds[~is_span] = _log_odds_of_no_answer(no_answer, is_span, part)
    of_mistakes = _mistake_log_odds(training, models, part[answers])
    share_wrong = estimated_share_wrong(log_odds[is_span], of_mistakes, training.kinds)
    verdicts = [
        _Verdict(odds, *suggestion, against)
        for odds, suggestion, against in zip(log_odds.tolist(), suggestions, reasons, strict=True)
    ]
    # Neither none nor most of a data set: a prior of 0 would leave nothing to rank by.
    return verdicts, float(np.clip(share_wrong, 0.5 / len(judged), 0.5))


def _suggestion(model: AnswerModel, case: Case) -> tuple[Span, float]:
    probability = model.choice(case.evidence)
    chosen = int(np.argmax(probability))
    return case.candidates[chosen], float(probability[chosen])


def _features_of_no_answer(model: AnswerModel, case: Case) -> np.ndarray:
    """Return what speaks for "no answer": how likely no token is labelled, and how good the best candidate is."""
    none = np.log1p(-case.probs).sum()
    share = expected_f1_share(np.zeros(len(case.probs)), case.probs)
    return np.array([none, np.log(max(share, _SMALLEST)), -model.log_odds(case.evidence, case.evidence).max()])


def _log_odds_of_no_answer(no_answer: np.ndarray, is_span: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Judge examples without an answer: had they one, they would look like the examples that have."""
    log_odds = np.empty(len(no_answer))
    for number in np.unique(part[~is_span]):
        others, held_out = part != number, part == number
        if min(is_span[others].sum(), (~is_span[others]).sum()) < MIN_ANSWERS:
            share = np.exp(no_answer[held_out, 1])
            log_odds[held_out] = logit(share.clip(_SMALLEST, 1 - _SMALLEST))
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
        model.fit(no_answer[others], ~is_span[others])
        log_odds[held_out] = model.decision_function(no_answer[held_out])
    return log_odds[~is_span]


def _mistake_log_odds(training: TrainingEvidence, models: list[AnswerModel], part: np.ndarray) -> np.ndarray:
    log_odds = np.empty(len(training.mistakes))
    # Those of an answer stand together, because its mistakes are planted at once.
    for of_answer in np.split(np.arange(len(log_odds)), np.flatnonzero(np.diff(training.mistake_of)) + 1):
        answer = training.mistake_of[of_answer[0]]
        log_odds[of_answer] = models[part[answer]].log_odds(training.mistakes[of_answer], training.others[answer])
    return log_odds


def estimated_share_wrong(given: np.ndarray, mistakes: np.ndarray, kinds: np.ndarray) -> float:
    """Estimate which share of the given answers is wrong, from how many look like mistakes.

    If half of the planted mistakes score below a threshold, then so should half of the wrong answers: twice the
    share of given answers below it bounds the share of wrong ones (Elkan and Noto, 2008, "Learning classifiers
    from only positive and unlabeled data", for labels of the other sign). Right answers below it make that too
    high, and wrong ones that look better than planted mistakes too low; the mean over some thresholds is taken.
    """
    _, kind_of, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    order = np.argsort(mistakes)
    share_below = np.cumsum(1 / counts[kind_of][order]) / len(counts)
    thresholds = [mistakes[order][np.searchsorted(share_below, tail)] for tail in _TAILS]
    return float(np.mean([(given <= limit).mean() / tail for limit, tail in zip(thresholds, _TAILS, strict=True)]))


def _verdicts_of_probabilities(evidence: AnswerEvidence, table: pd.DataFrame) -> list[_Verdict]:
    verdicts = []
    for judged in evidence.judged:
        example = table.iloc[judged.example_index]
        probs = np.asarray(example[f"pred_probs_{judged.class_name}"], dtype=np.float64)
        labels = np.asarray(example[f"labels_{judged.class_name}"])
        share = np.clip(expected_f1_share(labels, probs), _SMALLEST, 1 - _SMALLEST)
        best = best_span(probs)
        if best is None:
            verdicts.append(_Verdict(float(logit(share)), None, float(np.prod(1 - probs))))
        else:
            span = (int(example["char_start"][best[0]]), int(example["char_end"][best[1] - 1]))
            verdicts.append(_Verdict(float(logit(share)), span, float(probs[slice(*best)].mean())))
    return verdicts


def _issues(
    table: pd.DataFrame, quality: np.ndarray, verdicts: list[tuple[Judged, _Verdict]], estimated_wrong: int
) -> pd.DataFrame:
    contexts = table["context"].tolist()
    given = [judged.span for judged, _ in verdicts]
    suggested = [verdict.suggestion for _, verdict in verdicts]
    checks = [list(dict.fromkeys(check.name for check in failed)) for failed in failed_checks(_examples_of(table))]
    is_certain = np.array([_CERTAIN_CHECK in names for names in checks])
    # Certainty has no odds to divide.
    divided = expit(logit(quality.clip(_SMALLEST, 1 - _SMALLEST)) - np.log(_ODDS_DIVISOR))
    quality = np.where(is_certain, divided, quality)
    reasons = [
        joined(names, verdict.reasons if score < _SUSPICIOUS else ())
        for names, (_, verdict), score in zip(checks, verdicts, quality, strict=True)
    ]
    order = np.argsort(quality, kind="stable")
    rank = np.empty(len(table), dtype=np.int64)
    rank[order] = np.arange(1, len(table) + 1)
    issues = pd.DataFrame(
        {
            "rank": rank,
            "index": np.arange(len(table)),
            "id": table["id"].to_numpy(),
            "label_quality": quality,
            "is_issue": (rank <= estimated_wrong) | is_certain,
            "question": table["question"].to_numpy(),
            "given_answer": [_text(context, span) for context, span in zip(contexts, given, strict=True)],
            "given_start": pd.array([span[0] if span else None for span in given], dtype="Int64"),
            "suggested_answer": [_text(context, span) for context, span in zip(contexts, suggested, strict=True)],
            "suggested_start": pd.array([span[0] if span else None for span in suggested], dtype="Int64"),
            "suggestion_confidence": [verdict.confidence for _, verdict in verdicts],
            "checks": ["; ".join(names) for names in checks],
            "reasons": reasons,
            "fold": table["fold"].to_numpy(),
        }
    )
    return issues.iloc[order].reset_index(drop=True)


def _text(context: str, span: Span | None) -> str:
    return context[slice(*span)] if span else ""


def _examples_of(table: pd.DataFrame) -> list[dict]:
    columns = ("id", "title", "question", "context", "given_answer", "given_start")
    return [
        {
            **{"id": example_id, "title": title, "question": question, "context": context},
            "answers": {"text": list(texts), "answer_start": [int(start) for start in starts]},
        }
        for example_id, title, question, context, texts, starts in zip(*(table[name] for name in columns), strict=True)
    ]
