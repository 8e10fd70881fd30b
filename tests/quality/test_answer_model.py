"""Models of right answers, against slow loops, closed forms and the formulas written out."""

import math

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from span_label_errors.quality.answer_model import (
    CHOICE_PENALTY,
    CHOICE_SHARE,
    MISTAKE_C,
    NUM_PARTS,
    AnswerModel,
    TrainingEvidence,
    parts_of_groups,
)

PROPERTY = cases(100)


def training_evidence(num_answers: int = 30, num_features: int = 3, seed: int = 0) -> TrainingEvidence:
    """Answers that are high in the first feature, mistakes of two kinds that are low in one of the others."""
    rng = np.random.default_rng(seed)
    high, low = np.eye(num_features)[0], -2 * np.eye(num_features)[1:3]
    given = rng.normal(size=(num_answers, num_features)) + high
    kinds = np.tile(["cut", "cut", "moved"], num_answers)
    mistakes = rng.normal(size=(len(kinds), num_features)) * [3.0, 1.0, 0.5][:num_features] + 5.0
    mistakes += low[(kinds == "moved").astype(int)]
    others = [rng.normal(size=(rng.integers(1, 9), num_features)) for _ in range(num_answers)]
    return TrainingEvidence(given, mistakes, np.repeat(np.arange(num_answers), 3), kinds, others)


def all_rows(evidence: TrainingEvidence) -> np.ndarray:
    return np.arange(len(evidence.given))


# Conditional logit


def slow_log_likelihood(weights, choices) -> float:
    """Mean log-probability of the first row of each choice, one exponential after the other."""
    total = 0.0
    for rows in choices:
        utilities = [sum(w * x for w, x in zip(weights, row, strict=True)) for row in rows]
        total += math.log(math.exp(utilities[0]) / sum(math.exp(utility) for utility in utilities))
    return total / len(choices)


def slow_objective(weights, choices) -> float:
    penalty = CHOICE_PENALTY / 2 * sum(w * w for w in weights)
    return penalty - slow_log_likelihood(weights, choices)


# The model


def written_out(evidence: TrainingEvidence, rows: np.ndarray, spans: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the log-odds of spans as the formulas have them."""
    learned = [position for position, row in enumerate(evidence.mistake_of) if row in set(rows.tolist())]
    mistakes, kinds = evidence.mistakes[learned], evidence.kinds[learned]
    mean, deviation = mistakes.mean(axis=0), np.maximum(mistakes.std(axis=0), evidence.given[rows].std(axis=0))
    given = (evidence.given[rows] - mean) / deviation

    odds_of_kinds = []  # P(given) / P(mistake of the kind), for each span
    for kind in sorted(set(kinds)):
        of_kind = (mistakes[kinds == kind] - mean) / deviation
        model = LogisticRegression(C=MISTAKE_C, max_iter=1000, tol=1e-8)
        model.fit(
            np.concatenate([given, of_kind]),
            [1] * len(given) + [0] * len(of_kind),
            [1.0] * len(given) + [len(given) / len(of_kind)] * len(of_kind),
        )
        probability = model.predict_proba((spans - mean) / deviation)[:, 1]
        odds_of_kinds.append(probability / (1 - probability))
    # P(given) against the mean of what the kinds say: 1 / mean(1 / odds).
    mixture = -np.log(np.mean([1 / odds for odds in odds_of_kinds], axis=0))

    choices = [
        (np.array([evidence.given[row], *evidence.others[row]]) - mean) / deviation for row in rows
    ]  # the chosen one first
    weights = minimize(slow_objective, np.zeros(len(mean)), args=(choices,), method="BFGS").x
    utilities = np.exp((others - mean) / deviation @ weights)
    preference = (spans - mean) / deviation @ weights - np.log(utilities.mean())
    return mixture + CHOICE_SHARE * preference


@pytest.mark.parametrize("rows", [range(30), range(0, 30, 2), [3, 4, 5, 20, 21]])
def test_log_odds_are_the_formulas_written_out(rows):
    evidence, rows = training_evidence(), np.array(rows)
    rng = np.random.default_rng(5)
    spans, others = rng.normal(size=(6, 3)) * 3, rng.normal(size=(11, 3))
    found = AnswerModel(evidence, rows).log_odds(spans, others)
    assert found.shape == (6,)
    assert found == pytest.approx(written_out(evidence, rows, spans, others), abs=5e-3)
    assert np.ptp(found) > 1


def test_equal_numbers_of_given_answers_and_mistakes_are_assumed():
    """Four times the mistakes are no reason to doubt answers more."""
    evidence = training_evidence(60)
    four = TrainingEvidence(
        evidence.given, np.tile(evidence.mistakes, (4, 1)), np.tile(evidence.mistake_of, 4),
        np.tile(evidence.kinds, 4), evidence.others,
    )  # fmt: skip
    rows, spans = all_rows(evidence), evidence.given[:5]
    once = AnswerModel(evidence, rows).log_odds(spans, spans)
    assert AnswerModel(four, rows).log_odds(spans, spans) == pytest.approx(once, abs=1e-3)


def test_one_kind_of_mistake_does_not_excuse_another():
    """A span that looks like one kind alone is doubted, however unlike the other kind it looks."""
    rng = np.random.default_rng(0)
    given = rng.normal(size=(200, 2))
    mistakes = np.concatenate([given - [4, 0], given - [0, 4]])
    evidence = TrainingEvidence(
        given, mistakes, np.tile(np.arange(200), 2), np.repeat(["left", "below"], 200), [given[:5]] * 200
    )
    model = AnswerModel(evidence, all_rows(evidence))
    right, left, below = model.log_odds(np.array([[0.0, 0], [-4, 4], [4, -4]]), np.zeros((1, 2)))
    assert right > 0
    assert left < 0
    assert below < 0
    explained = [model.explain(np.array(span)).kind for span in ([0.0, 0], [-4.0, 4], [4.0, -4])]
    assert explained == [None, "left", "below"]


def with_column(evidence: TrainingEvidence, value: float) -> TrainingEvidence:
    def wider(rows):
        return np.column_stack([rows, np.full(len(rows), value)])

    return TrainingEvidence(
        wider(evidence.given), wider(evidence.mistakes), evidence.mistake_of, evidence.kinds,
        [wider(rows) for rows in evidence.others],
    )  # fmt: skip


@pytest.mark.parametrize("value", [0.0, 7.25, 0.1])
def test_constant_evidence_is_harmless(value):
    evidence = training_evidence()
    rows, spans, others = all_rows(evidence), evidence.given[:4], evidence.others[3]
    narrow = AnswerModel(evidence, rows)
    wide_evidence = with_column(evidence, value)
    wide = AnswerModel(wide_evidence, rows)
    found = wide.log_odds(wide_evidence.given[:4], wide_evidence.others[3])
    assert found == pytest.approx(narrow.log_odds(spans, others), abs=1e-4)
    assert wide.choice(wide_evidence.given[:4]) == pytest.approx(narrow.choice(spans), abs=1e-4)


def test_model_learns_from_its_rows_only():
    evidence, rows = training_evidence(), np.arange(0, 30, 2)
    elsewhere = np.arange(1, 30, 2)
    changed = TrainingEvidence(
        evidence.given.copy(), evidence.mistakes.copy(), evidence.mistake_of, evidence.kinds, list(evidence.others)
    )
    changed.given[elsewhere] = 1e6
    changed.mistakes[np.isin(evidence.mistake_of, elsewhere)] = -1e6
    for row in elsewhere:
        changed.others[row] = np.full((1, 3), 1e6)
    spans, others = evidence.given[elsewhere], evidence.others[1]
    one, two = AnswerModel(evidence, rows), AnswerModel(changed, rows)
    assert one.log_odds(spans, others).tolist() == two.log_odds(spans, others).tolist()
    assert one.choice(spans).tolist() == two.choice(spans).tolist()
    # And from all of them.
    for field in ("given", "mistakes", "others"):
        values = getattr(evidence, field)
        changed = (
            [values[0] + 3, *values[1:]] if field == "others" else values + 3 * (np.arange(len(values)) < 1)[:, None]
        )
        other = AnswerModel(TrainingEvidence(**{**vars(evidence), field: changed}), rows)
        assert other.log_odds(spans, others).tolist() != one.log_odds(spans, others).tolist(), field


def test_explanation_multiplies_the_slope_of_the_log_odds_by_what_is_unusual():
    evidence = training_evidence()
    model = AnswerModel(evidence, all_rows(evidence))
    span, others, step = np.array([0.3, -1.0, 2.0]), evidence.others[0], 1e-5
    nudged = span + step * np.vstack([np.eye(3), -np.eye(3)])
    log_odds = model.log_odds(nudged, others)
    found = model.explain(span)
    assert found.deviation == pytest.approx(span - evidence.given.mean(axis=0))
    assert found.terms == pytest.approx((log_odds[:3] - log_odds[3:]) / step / 2 * found.deviation, rel=1e-4)


# Choice


def test_choice_is_a_softmax_of_utilities():
    evidence = training_evidence()
    model = AnswerModel(evidence, all_rows(evidence))
    spans = evidence.given[:5]
    found = model.choice(spans)
    assert found.sum() == pytest.approx(1)
    deviation = np.maximum(evidence.mistakes.std(axis=0), evidence.given.std(axis=0))
    mean = evidence.mistakes.mean(axis=0)
    choices = [
        (np.vstack([evidence.given[[row]], evidence.others[row]]) - mean) / deviation for row in all_rows(evidence)
    ]
    weights = minimize(slow_objective, np.zeros(3), args=(choices,), method="BFGS").x
    utilities = np.exp((spans - mean) / deviation @ weights)
    assert found == pytest.approx(utilities / utilities.sum(), abs=1e-3)
    assert model.choice(spans[:1]) == pytest.approx([1.0])
    # Leaving one out leaves the ratios of the others.
    assert model.choice(spans[1:]) == pytest.approx(found[1:] / found[1:].sum())


# Parts


@PROPERTY
@given(st.lists(st.integers(-2, 12), min_size=2, max_size=60).filter(lambda groups: len(set(groups)) > 1))
def test_parts_never_cut_a_group(groups):
    part = parts_of_groups(np.array(groups))
    assert part.shape == (len(groups),)
    assert part.dtype == np.int64
    assert len({(group, number) for group, number in zip(groups, part.tolist(), strict=True)}) == len(set(groups))
    assert sorted(set(part.tolist())) == list(range(min(NUM_PARTS, len(set(groups)))))
