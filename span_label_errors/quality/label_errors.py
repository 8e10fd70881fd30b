"""Label quality of given answers: how likely each is right, what the answer is instead, and where to cut the list."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from span_label_errors.quality.answer_model import AnswerModel
from span_label_errors.quality.candidates import AnswerFeatures, Candidates, GivenAnswer
from span_label_errors.quality.checks import failed_checks
from span_label_errors.quality.held_out import MIN_ANSWERS, HeldOutModels
from span_label_errors.quality.mistakes import MISTAKES
from span_label_errors.quality.reasons import NO_ANSWER, joined, reasons_of_model
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.expected_f1 import best_span, expected_f1_share
from span_label_errors.spans.text import Span

# Shares of the planted mistakes that are looked for among the given answers.
_TAILS = (0.3, 0.4, 0.5)
_SMALLEST = 1e-6
# Of better answers, the reasons are their failed checks only.
_SUSPICIOUS = 0.9
# A check that is certain, and by how much it divides the odds that the answer is right.
_CERTAIN_CHECK, _ODDS_DIVISOR = "cut_word", 10.0


class FewAnswersWarning(UserWarning):
    """Too few answers to learn from, so label quality comes from the probabilities alone."""


@dataclass(frozen=True)
class LabelErrors:
    """The examples of a data set, the most suspicious first.

    Attributes
    ----------
    issues : DataFrame
        One row per example, worst first: `rank` (from 1), `index` (of the example in the data set), `id`,
        `label_quality` (0 to 1; the probability that the given answer is right, as far as the estimate of the
        share of wrong ones holds), `is_issue` (the estimated number of wrong ones, and all answers that cut a
        word), `question`, `given_answer` and `given_start` (the worst of the example's given answers; empty
        without one), `suggested_answer`, `suggested_start`, `suggestion_confidence` (the probability that an
        annotator marks this span), `checks` (names of the checks of the text that fail), `reasons` (up to three,
        in words, joined by `"; "`: failed checks, and what the models hold against an answer of a quality below
        0.9) and `fold`. Offsets are characters of the context.
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
class _AnswerScore:
    """How likely one given answer is right, what it could be instead, and why."""

    log_odds: float  # of being right, before the share of wrong ones is known
    suggestion: Span | None
    confidence: float
    reasons: Sequence[str] = ()  # the strongest first


def find_label_errors(
    table: pd.DataFrame, *, seed: int = 0, mistakes: Mapping[str, Callable] = MISTAKES
) -> LabelErrors:
    """Rank examples by how suspicious their given answers are, and suggest other answers.

    Models learn from the data set itself what makes an answer suspicious. Nobody has marked which answers are wrong,
    but most are right, and mistakes of known kinds can be planted in their places. The models tell given answers
    from planted mistakes, and from the other spans of the context, by the features of `features.FEATURES`:
    out-of-fold probabilities, words of the question, form of the span. Each answer is scored by models that have
    learned from other paragraphs only.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` as read by pandas: one row per example.
    seed : int
        Of the planted mistakes. The same table and seed give the same ranking.
    mistakes : mapping
        Kinds of mistake to learn from, as `mistakes.MISTAKES`: each a function of context, answer span and
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
    quality = _quality_of_probabilities(table)
    models = HeldOutModels(AnswerFeatures(table, seed, mistakes))
    given_answers = models.features.given_answers
    if models.has_enough:
        answer_scores, share_wrong = _score_by_models(models)
    else:
        warnings.warn(
            f"expected at least {MIN_ANSWERS} answers on more than one paragraph to learn from, found "
            f"{models.num_answers} on {models.num_paragraphs}; label_quality comes from the probabilities alone",
            FewAnswersWarning,
            stacklevel=2,
        )
        answer_scores = [_score_by_probabilities(given, table.iloc[given.example_index]) for given in given_answers]
        share_wrong = float((quality < 0.5).mean())

    # The worst answer of each example stands for it.
    worst: dict[int, int] = {}
    for row in np.argsort([answer_score.log_odds for answer_score in answer_scores], kind="stable").tolist():
        worst.setdefault(given_answers[row].example_index, row)
    rows = [worst[example_index] for example_index in range(len(table))]
    given, answer_scores = [given_answers[row].span for row in rows], [answer_scores[row] for row in rows]
    if models.has_enough:
        quality = expit(np.array([answer_score.log_odds for answer_score in answer_scores]) + logit(1 - share_wrong))
    estimated_wrong = round(share_wrong * len(table))
    return LabelErrors(
        _issues(table, quality, given, answer_scores, estimated_wrong), estimated_wrong, models.has_enough
    )


def _quality_of_probabilities(table: pd.DataFrame) -> np.ndarray:
    """Check a table, and return `span_label_quality` of its examples, shape (n,)."""
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
    of_classes = [span_label_quality(list(table[f"labels_{n}"]), list(table[f"pred_probs_{n}"])) for n in classes]
    return np.min(of_classes, axis=0)


def _score_by_models(models: HeldOutModels) -> tuple[list[_AnswerScore], float]:
    """Score each given answer by the model that has learned from the other parts; estimate the share of wrong ones."""
    is_span = np.array([given.span is not None for given in models.features.given_answers])
    log_odds, no_answer = np.empty(len(is_span)), np.empty((len(is_span), 3))
    suggestions: list[tuple[Span, float]] = [((0, 0), 0.0)] * len(is_span)
    reasons = [[NO_ANSWER]] * len(is_span)
    for row, model, candidates, choice in models.judged():
        likeliest = int(np.argmax(choice))
        suggestions[row] = candidates.spans[likeliest], float(choice[likeliest])
        if is_span[row]:
            log_odds[row] = model.log_odds(candidates.given, candidates.features)[0]
            reasons[row] = reasons_of_model(model.explain(candidates.given[0]))
        if not is_span.all():
            no_answer[row] = _features_of_no_answer(model, candidates)
    if not is_span.all():
        log_odds[~is_span] = _log_odds_of_no_answer(no_answer, is_span, models.part)
    share_wrong = estimated_share_wrong(log_odds[is_span], _log_odds_of_mistakes(models), models.training.kinds)
    answer_scores = [
        _AnswerScore(odds, *suggestion, against)
        for odds, suggestion, against in zip(log_odds.tolist(), suggestions, reasons, strict=True)
    ]
    # Neither none nor most of a data set: a prior of 0 would leave nothing to rank by.
    return answer_scores, float(np.clip(share_wrong, 0.5 / len(answer_scores), 0.5))


def _features_of_no_answer(model: AnswerModel, candidates: Candidates) -> np.ndarray:
    """Return what speaks for "no answer": how likely no token is labelled, and how good the best candidate is."""
    none = np.log1p(-candidates.probs).sum()
    share = expected_f1_share(np.zeros(len(candidates.probs)), candidates.probs)
    best = model.log_odds(candidates.features, candidates.features).max()
    return np.array([none, np.log(max(share, _SMALLEST)), -best])


def _log_odds_of_no_answer(no_answer: np.ndarray, is_span: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Score "no answer": where it is wrong, the features look like those of the examples that have an answer."""
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


def _log_odds_of_mistakes(models: HeldOutModels) -> np.ndarray:
    training, log_odds = models.training, np.empty(len(models.training.mistakes))
    for answer in np.unique(training.mistake_of):
        rows = np.flatnonzero(training.mistake_of == answer)
        model = models.models[models.part_of_training[answer]]
        log_odds[rows] = model.log_odds(training.mistakes[rows], training.compared[answer])
    return log_odds


def estimated_share_wrong(given: np.ndarray, mistakes: np.ndarray, kinds: np.ndarray) -> float:
    """Estimate which share of the given answers is wrong, from how many look like mistakes.

    `given` has the log-odds of U answers, shape (U,); `mistakes` and `kinds` have those of M planted mistakes and the
    names of their kinds, shape (M,).

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


def _score_by_probabilities(given: GivenAnswer, example: pd.Series) -> _AnswerScore:
    probs = np.asarray(example[f"pred_probs_{given.class_name}"], dtype=np.float64)
    share = expected_f1_share(np.asarray(example[f"labels_{given.class_name}"]), probs)
    log_odds = float(logit(np.clip(share, _SMALLEST, 1 - _SMALLEST)))
    best = best_span(probs)
    if best is None:
        return _AnswerScore(log_odds, None, float(np.prod(1 - probs)))
    span = (int(example["char_start"][best[0]]), int(example["char_end"][best[1] - 1]))
    return _AnswerScore(log_odds, span, float(probs[slice(*best)].mean()))


def _issues(
    table: pd.DataFrame,
    quality: np.ndarray,
    given: list[Span | None],
    answer_scores: list[_AnswerScore],
    estimated_wrong: int,
) -> pd.DataFrame:
    contexts = table["context"].tolist()
    suggested = [answer_score.suggestion for answer_score in answer_scores]
    examples = [
        {
            "question": row.question,
            "context": row.context,
            "answers": {"text": row.given_answer, "answer_start": row.given_start},
        }
        for row in table.itertuples()
    ]
    checks = failed_checks(examples)
    is_certain = np.array([_CERTAIN_CHECK in names for names in checks])
    # Certainty has no odds to divide.
    divided = expit(logit(quality.clip(_SMALLEST, 1 - _SMALLEST)) - np.log(_ODDS_DIVISOR))
    quality = np.where(is_certain, divided, quality)
    reasons = [
        joined(names, answer_score.reasons if score < _SUSPICIOUS else ())
        for names, answer_score, score in zip(checks, answer_scores, quality, strict=True)
    ]
    issues = pd.DataFrame(
        {
            "index": np.arange(len(table)),
            "id": table["id"].to_numpy(),
            "label_quality": quality,
            "is_issue": is_certain,
            "question": table["question"].to_numpy(),
            "given_answer": [_text(context, span) for context, span in zip(contexts, given, strict=True)],
            "given_start": pd.array([span[0] if span else None for span in given], dtype="Int64"),
            "suggested_answer": [_text(context, span) for context, span in zip(contexts, suggested, strict=True)],
            "suggested_start": pd.array([span[0] if span else None for span in suggested], dtype="Int64"),
            "suggestion_confidence": [answer_score.confidence for answer_score in answer_scores],
            "checks": ["; ".join(names) for names in checks],
            "reasons": reasons,
            "fold": table["fold"].to_numpy(),
        }
    ).sort_values("label_quality", kind="stable", ignore_index=True)
    issues.insert(0, "rank", np.arange(1, len(table) + 1))
    issues["is_issue"] |= issues["rank"] <= estimated_wrong
    return issues


def _text(context: str, span: Span | None) -> str:
    return context[slice(*span)] if span else ""
