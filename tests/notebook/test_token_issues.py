"""Which tokens cleanlab finds wrong, and how they are shown."""

import numpy as np
import pytest
from cleanlab.experimental import span_classification

from span_label_errors.notebook.token_issues import find_token_issues, show_token_issues, token_quality_scores


@pytest.mark.parametrize("num_examples", [1, 30])
def test_token_issues_are_those_of_cleanlab(num_examples):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 20, num_examples)
    labels = [(rng.random(length) < 0.3).astype(np.int64) for length in lengths]
    pred_probs = [np.clip(0.6 * label + 0.4 * rng.random(len(label)), 0, 1).astype(np.float32) for label in labels]
    for label in labels[::2]:
        label[0] = 1 - label[0]
    found = find_token_issues(labels, pred_probs)
    assert found == span_classification.find_label_issues(labels, pred_probs)
    assert found or num_examples == 1
    assert all(type(number) is int for issue in found for number in issue)


def test_no_token_is_an_issue_where_all_are_labelled():
    assert find_token_issues([np.array([1, 1]), np.array([1])], [np.array([0.9, 0.2]), np.array([0.1])]) == []


def test_token_quality_is_that_of_cleanlab():
    """Of more examples than are scored at once."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 4, 5003)
    labels = [(rng.random(length) < 0.1).astype(np.int64) for length in lengths]
    pred_probs = [rng.random(length).astype(np.float32) for length in lengths]
    expected, _ = span_classification.get_label_quality_scores(labels, pred_probs)
    assert np.array_equal(token_quality_scores(labels, pred_probs), expected)


def test_token_issue_is_shown_between_its_neighbours():
    tokens = [["a"], "It was in <b>Rome</b> in the year 1900".split()]
    labels = [np.array([0]), np.array([0, 0, 1, 1, 0, 0, 0, 0])]
    pred_probs = [np.array([0.5]), np.array([0.75, 0, 0, 0.125, 0, 0, 0, 0])]
    shown = show_token_issues([(1, 3), (1, 0), (0, 0)], tokens, labels, pred_probs, neighbours=2)
    assert shown.to_dict("list") == {
        "token": ["was in [<b>Rome</b>] in the", "[It] was in", "[a]"],
        "label": [1, 0, 0],
        "P(label)": [0.125, 0.25, 0.5],
    }
    assert shown.index.tolist() == [(1, 3), (1, 0), (0, 0)]
    assert "&lt;b&gt;Rome" in shown.to_html()


def test_no_token_issue_is_an_empty_table():
    assert show_token_issues([], [], [], []).shape == (0, 3)
