"""The choice model, against closed forms and a plain loss that is minimised without its gradient."""

import math

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from span_label_errors.quality.choice import ChoicePrior, fit_choice, log_choice, read_prior
from span_label_errors.quality.features import FEATURES


def prior_of(*weights: float, scale=None) -> ChoicePrior:
    return ChoicePrior(np.array(weights), np.ones(len(weights)) if scale is None else np.array(scale))


def random_choices(rng: np.random.Generator, count: int, num_features: int) -> list[np.ndarray]:
    return [rng.normal(size=(rng.integers(1, 7), num_features)) for _ in range(count)]


def slow_loss(weights, choices, importance, prior, penalty) -> float:
    """The loss written out, for weights of features that are not scaled."""
    away = sum(((w - p) * s) ** 2 for w, p, s in zip(weights, prior.weights, prior.scale, strict=True))
    total = penalty / 2 * away
    for rows, count in zip(choices, importance, strict=True):
        utilities = [sum(w * x for w, x in zip(weights, row, strict=True)) for row in rows]
        total -= count * math.log(math.exp(utilities[0]) / sum(map(math.exp, utilities)))
    return total


def test_log_choice_by_hand():
    found = log_choice(np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([math.log(2), math.log(3)]))
    assert np.exp(found) == pytest.approx([2 / 11, 3 / 11, 6 / 11])
    # Large utilities stay finite.
    found = log_choice(np.array([[1000.0], [999.0]]), np.ones(1))
    assert np.exp(found) == pytest.approx([math.e / (math.e + 1), 1 / (math.e + 1)])


@cases(30)
@given(st.integers(0, 2**16), st.integers(1, 12), st.sampled_from([0.3, 1.0, 10.0]))
def test_weights_are_those_of_the_lowest_loss(seed, count, penalty):
    rng = np.random.default_rng(seed)
    choices, importance = random_choices(rng, count, 2), rng.uniform(size=count)
    prior = prior_of(*rng.normal(size=2), scale=rng.uniform(0.5, 2, size=2))
    arguments = choices, importance, prior, penalty
    settings = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000}
    expected = minimize(slow_loss, prior.weights, arguments, method="Nelder-Mead", options=settings)
    assert expected.success
    assert fit_choice(*arguments) == pytest.approx(expected.x, abs=2e-3)


def test_one_feature_in_closed_form():
    """Of ten choices between 1 and 0, seven chose 1: the gradient is `7 - 10 * sigmoid(w) - penalty * (w - prior)`."""
    choices = [np.array([[1.0], [0.0]])] * 7 + [np.array([[0.0], [1.0]])] * 3
    for penalty, before in [(1e-6, 0.0), (2.0, -1.0), (2.0, 3.0)]:
        found = fit_choice(choices, np.ones(10), prior_of(before), penalty)
        expected = brentq(lambda w, p=penalty, b=before: 7 - 10 / (1 + math.exp(-w)) - p * (w - b), -10, 10)
        assert found == pytest.approx([expected], abs=1e-4)
    assert fit_choice(choices, np.ones(10), prior_of(0.0), 1e-6) == pytest.approx([math.log(7 / 3)], abs=1e-4)


def test_penalty_counts_in_units_of_the_scale():
    """A feature of ten times the size, with ten times the scale, has a tenth of the weight."""
    choices = random_choices(np.random.default_rng(1), 20, 2)
    found = fit_choice(choices, np.ones(20), prior_of(0.5, -1.0), 3.0)
    larger = [rows * [1.0, 10.0] for rows in choices]
    assert fit_choice(larger, np.ones(20), prior_of(0.5, -0.1, scale=[1, 10]), 3.0) == pytest.approx(
        found / [1, 10], abs=1e-4
    )


def test_without_choices_it_is_the_prior():
    prior = prior_of(0.5, -2.0, scale=[0.1, 3.0])
    for choices in ([], [np.array([[1.0, 5.0]])] * 3):  # one candidate leaves no choice
        assert fit_choice(choices, np.ones(len(choices)), prior, 1.0) == pytest.approx(prior.weights)


def test_strong_penalty_leaves_the_prior():
    choices = random_choices(np.random.default_rng(2), 50, 2)
    prior = prior_of(0.5, -2.0, scale=[0.1, 3.0])
    weak, strong = (fit_choice(choices, np.ones(50), prior, penalty) for penalty in (1.0, 1e9))
    assert strong == pytest.approx(prior.weights, abs=1e-4)
    assert abs(weak - prior.weights).max() > 0.5


def test_planted_preference_is_recovered():
    rng, planted = np.random.default_rng(3), np.array([1.5, -0.7, 0.0])
    choices = []
    for _ in range(4000):
        rows = rng.normal(size=(8, 3))
        chosen = rng.choice(8, p=np.exp(log_choice(rows, planted)))
        choices.append(np.vstack([rows[chosen], np.delete(rows, chosen, axis=0)]))
    found = fit_choice(choices, np.ones(4000), prior_of(0.0, 0.0, 0.0), 1.0)
    assert found == pytest.approx(planted, abs=0.08)
    # A random part of the alternatives teaches the same, with less to learn from.
    found = fit_choice([rows[:4] for rows in choices], np.ones(4000), prior_of(0.0, 0.0, 0.0), 1.0)
    assert found == pytest.approx(planted, abs=0.12)


def test_importance_counts_answers():
    choices = random_choices(np.random.default_rng(4), 12, 2)
    prior = prior_of(0.2, 0.1)
    importance = np.array([1.0] * 6 + [0.0] * 6)
    without = fit_choice(choices[:6], np.ones(6), prior, 1.0)
    assert fit_choice(choices, importance, prior, 1.0) == pytest.approx(without, abs=1e-4)
    twice = fit_choice([*choices[:6], *choices[:6]], np.ones(12), prior, 1.0)
    assert fit_choice(choices, importance * 2, prior, 1.0) == pytest.approx(twice, abs=1e-4)
    assert abs(twice - without).max() > 0.01


def test_prior_of_the_package_has_a_weight_and_a_scale_for_each_feature():
    prior = read_prior()
    assert prior.weights.shape == prior.scale.shape == (len(FEATURES),)
    assert np.isfinite(prior.weights).all()
    assert (prior.scale > 0).all()
    weight = dict(zip(FEATURES, prior.weights.tolist(), strict=True))
    # Whatever it was learned from: likely tokens and a sentence of the question's words speak for a span.
    assert weight["lowest_logit"] > 0
    assert weight["sentence_match"] > 0
    assert weight["share_in_question"] < 0
