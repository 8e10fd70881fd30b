"""Models of given answers, against slow loops and the formulas written out."""

import math
from dataclasses import replace

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
    TrainingSet,
    parts_of,
)


def training_set(num_answers: int = 30) -> TrainingSet:
    """Answers that are high in the first feature, mistakes of two kinds that are low in one of the others."""
    rng = np.random.default_rng(0)
    given = rng.normal([1, 0, 0], 1, size=(num_answers, 3))
    kinds = np.tile(["cut", "cut", "moved"], num_answers)
    mistakes = rng.normal(size=(len(kinds), 3)) * [3.0, 1.0, 0.5] + 5.0
    mistakes += np.where((kinds == "moved")[:, None], [0, 0, -2], [0, -2, 0])
    compared = [rng.normal(size=(rng.integers(1, 9), 3)) for _ in range(num_answers)]
    return TrainingSet(given, mistakes, np.repeat(np.arange(num_answers), 3), kinds, compared)


def all_rows(training: TrainingSet) -> np.ndarray:
    return np.arange(len(training.given))


def slow_objective(weights, choices) -> float:
    """Loss of a conditional logit; the first row of each choice is the chosen one."""
    total = 0.0
    for rows in choices:
        utilities = [sum(w * x for w, x in zip(weights, row, strict=True)) for row in rows]
        total += math.log(math.exp(utilities[0]) / sum(math.exp(utility) for utility in utilities))
    return CHOICE_PENALTY / 2 * sum(w * w for w in weights) - total / len(choices)


def written_out(training: TrainingSet, rows: np.ndarray, spans: np.ndarray, compared: np.ndarray):
    """Return the log-odds of spans and their probabilities of being chosen, as the formulas have them."""
    learned = [position for position, row in enumerate(training.mistake_of) if row in set(rows.tolist())]
    mistakes, kinds = training.mistakes[learned], training.kinds[learned]
    mean, deviation = mistakes.mean(axis=0), np.maximum(mistakes.std(axis=0), training.given[rows].std(axis=0))

    def standardised(values):
        return (values - mean) / deviation

    given = standardised(training.given[rows])
    odds_of_kinds = []  # P(given) / P(mistake of the kind), for each span
    for kind in sorted(set(kinds)):
        of_kind = standardised(mistakes[kinds == kind])
        model = LogisticRegression(C=MISTAKE_C, max_iter=1000, tol=1e-8)
        model.fit(
            np.concatenate([given, of_kind]),
            [1] * len(given) + [0] * len(of_kind),
            [1.0] * len(given) + [len(given) / len(of_kind)] * len(of_kind),
        )
        probability = model.predict_proba(standardised(spans))[:, 1]
        odds_of_kinds.append(probability / (1 - probability))
    # P(given) against the mean of what the kinds say: 1 / mean(1 / odds).
    mixture = -np.log(np.mean([1 / odds for odds in odds_of_kinds], axis=0))

    choices = [standardised(np.array([training.given[row], *training.compared[row]])) for row in rows]
    weights = minimize(slow_objective, np.zeros(len(mean)), args=(choices,), method="BFGS").x
    utilities = np.exp(standardised(spans) @ weights)
    preference = np.log(utilities / np.exp(standardised(compared) @ weights).mean())
    return mixture + CHOICE_SHARE * preference, utilities / utilities.sum()


@pytest.mark.parametrize("rows", [range(30), range(0, 30, 2), [3, 4, 5, 20, 21]])
def test_model_is_the_formulas_written_out(rows):
    training, rows = training_set(), np.array(rows)
    rng = np.random.default_rng(5)
    spans, compared = rng.normal(size=(6, 3)) * 3, rng.normal(size=(11, 3))
    model = AnswerModel(training, rows)
    log_odds, choice = written_out(training, rows, spans, compared)
    assert model.log_odds(spans, compared) == pytest.approx(log_odds, abs=5e-3)
    assert model.choice(spans) == pytest.approx(choice, abs=1e-3)
    assert np.ptp(log_odds) > 1


def test_one_kind_of_mistake_does_not_excuse_another():
    """A span that looks like one kind alone is doubted, however unlike the other kind it looks."""
    rng = np.random.default_rng(0)
    given = rng.normal(size=(200, 2))
    mistakes = np.concatenate([given - [4, 0], given - [0, 4]])
    training = TrainingSet(
        given, mistakes, np.tile(np.arange(200), 2), np.repeat(["left", "below"], 200), [given[:5]] * 200
    )
    model = AnswerModel(training, all_rows(training))
    right, left, below = model.log_odds(np.array([[0.0, 0], [-4, 4], [4, -4]]), np.zeros((1, 2)))
    assert right > 0
    assert left < 0
    assert below < 0
    explained = [model.explain(np.array(span)).kind for span in ([0.0, 0], [-4.0, 4], [4.0, -4])]
    assert explained == [None, "left", "below"]


def test_constant_feature_is_harmless():
    def wider(rows):
        return np.column_stack([rows, np.full(len(rows), 0.1)])

    training = training_set()
    spans, compared = training.given[:4], training.compared[3]
    wide = replace(
        training,
        given=wider(training.given),
        mistakes=wider(training.mistakes),
        compared=[wider(rows) for rows in training.compared],
    )
    narrow_model, wide_model = AnswerModel(training, all_rows(training)), AnswerModel(wide, all_rows(training))
    found = wide_model.log_odds(wider(spans), wider(compared))
    assert found == pytest.approx(narrow_model.log_odds(spans, compared), abs=1e-4)
    assert wide_model.choice(wider(spans)) == pytest.approx(narrow_model.choice(spans), abs=1e-4)


def test_explanation_multiplies_the_slope_of_the_log_odds_by_what_is_unusual():
    training = training_set()
    model = AnswerModel(training, all_rows(training))
    span, compared, step = np.array([0.3, -1.0, 2.0]), training.compared[0], 1e-5
    nudged = span + step * np.vstack([np.eye(3), -np.eye(3)])
    log_odds = model.log_odds(nudged, compared)
    found = model.explain(span)
    assert found.deviation == pytest.approx(span - training.given.mean(axis=0))
    assert found.terms == pytest.approx((log_odds[:3] - log_odds[3:]) / step / 2 * found.deviation, rel=1e-4)


PARAGRAPHS = st.lists(st.integers(0, 12), min_size=2, max_size=60)


@cases(100)
@given(PARAGRAPHS.filter(lambda learned: len(set(learned)) > 1), st.lists(st.integers(0, 30), max_size=20))
def test_parts_never_cut_a_paragraph(learned, others):
    paragraphs = learned + others
    part = parts_of(np.array(paragraphs), np.array(learned)).tolist()
    assert len(part) == len(paragraphs)
    assert len(set(zip(paragraphs, part, strict=True))) == len(set(paragraphs))
    # Every part leaves something to learn from in the others.
    assert set(part[: len(learned)]) == set(part) == set(range(min(NUM_PARTS, len(set(learned)))))
