"""What the pictures show."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from review_frames import make_span_frames

from span_label_errors.notebook.plots import plot_label_quality, plot_losses, plot_probabilities, plot_rankings


@pytest.fixture
def closed():
    yield
    plt.close("all")


def bars_of(container) -> dict[float, float]:
    """Heights by the left edge, where there is something."""
    return {round(bar.get_x(), 3): bar.get_height() for bar in container if bar.get_height()}


def test_plot_of_losses(closed):
    histories = [[[1.0, 0.5], [2.0, 0.25]], []]  # the second fold has logged nothing
    reports = [
        {"fold": fold, "train_indices": [2], "loss_history": history, "metrics": {"loss": 0.75}}
        for fold, history in enumerate(histories)
    ]
    (axes,) = plot_losses(SimpleNamespace(reports=reports)).axes
    drawn = {line.get_label(): [list(line.get_xdata()), list(line.get_ydata())] for line in axes.lines}
    assert drawn == {
        "fold 0, training": [[1.0, 2.0], [0.5, 0.25]],
        "fold 0, held out": [[2.0], [0.75]],
        "fold 1, training": [[], []],
        "fold 1, held out": [[0.0], [0.75]],
    }


@pytest.mark.parametrize(
    ("train_indices", "text"),
    [([], "Nothing was trained, so there is no loss by epoch."), ([2], "The training has logged no loss.")],
)
def test_plot_of_no_losses_says_so(closed, train_indices, text):
    report = {"fold": 0, "train_indices": train_indices, "loss_history": [], "metrics": {"loss": 0.75}}
    (axes,) = plot_losses(SimpleNamespace(reports=[report])).axes
    assert [found.get_text() for found in axes.texts] == [text]
    assert (len(axes.lines), axes.axison) == (0, False)


def test_plot_of_probabilities(closed):
    # Fifty borders from 0.01 to 1, of which each is 10 ** (2 / 49) = 1.098 times the one before.
    probs, labels = [[0.01, 0.0101, 1.0], [0.5, 0.01]], [[0, 1, 1], [1, 0]]
    predictions = [
        SimpleNamespace(
            pred_probs=np.array([of_one, np.zeros(len(of_one))], dtype=np.float32).T,
            labels=np.array([marks, np.zeros(len(marks))], dtype=np.int64).T,
        )
        for of_one, marks in zip(probs, labels, strict=True)
    ]
    (axes,) = plot_probabilities(SimpleNamespace(predictions=predictions, label_map={"X": 0, "O": 1}), "X").axes
    others, labelled = axes.containers
    assert axes.get_legend_handles_labels()[1] == ["other tokens (2)", "tokens labelled X (3)"]
    assert bars_of(others) == {0.01: 1}
    # 41 steps above 0.01 is 0.4715, 42 are 0.518.
    assert bars_of(labelled) == pytest.approx({0.01: 1 / 3, 0.471: 1 / 3, 0.91: 1 / 3})


def test_plot_of_label_quality(closed):
    # Nobody needs to look at the last two again.
    issues = pd.DataFrame({
        "label_quality": [0.01, 0.26, 0.51, 0.94, 0.0, 1.0], "is_issue": [True, True, False, False, False, False],
        "decision": ["", "", "", "", "corrected", "confirmed"],
    })  # fmt: skip
    (axes,) = plot_label_quality(issues, 0.4).axes
    red, gray = axes.containers
    assert bars_of(red) == {0.0: 1, 0.25: 1}
    assert bars_of(gray) == {0.5: 1, 0.925: 1}
    (cut,) = axes.lines
    assert list(cut.get_xdata()) == [0.4, 0.4]
    assert (cut.get_label(), axes.get_yscale()) == ("threshold", "log")


def test_plot_of_rankings(closed):
    is_error = np.array([True, False, True, False, False])
    scores = {"good": np.array([0.1, 0.5, 0.2, 0.6, 0.7]), "bad": np.array([0.2, 0.1, 0.9, 0.3, 0.4])}
    figure = plot_rankings(scores, is_error)
    precision, recall = figure.axes
    # Worst first, "bad" finds the errors second and last: an average precision of (1/2 + 2/5) / 2.
    drawn = {line.get_label(): list(line.get_ydata()) for line in precision.lines}
    assert drawn["good, AP 1.00"] == pytest.approx([1, 1, 2 / 3, 2 / 4, 2 / 5])
    assert drawn["bad, AP 0.45"] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4, 2 / 5])
    drawn = {line.get_label(): list(line.get_ydata()) for line in recall.lines}
    assert drawn["good, AP 1.00"] == pytest.approx([1 / 2, 1, 1, 1, 1])
    assert drawn["bad, AP 0.45"] == pytest.approx([0, 1 / 2, 1 / 2, 1 / 2, 1])
    assert drawn["any order"] == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5, 1])
    assert list(recall.lines[-1].get_xdata()) == [2, 2]  # as many as there are errors


def test_quality_of_spans_counts_spans(closed):
    issues, _ = make_span_frames({"context": "Oslo", "given": [("Oslo", "LOC")], "rows": [("Oslo", None)]})
    assert plot_label_quality(issues, 0.5).axes[0].get_ylabel() == "spans, and places without one"
