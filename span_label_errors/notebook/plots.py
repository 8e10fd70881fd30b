"""The pictures of the notebooks."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score

from span_label_errors.data.parts import in_parts

if TYPE_CHECKING:  # it loads torch, which the pictures do not need
    from span_label_errors.cross_validation.out_of_fold import OutOfFold

_EXAMPLES_AT_ONCE = 1000


def plot_losses(out_of_fold: "OutOfFold") -> Figure:
    """Plot each fold's training loss by epoch, and its loss on the held-out examples at the end.

    If no fold has a loss by epoch, the figure says so instead.
    """
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    if not any(report["loss_history"] for report in out_of_fold.reports):
        is_trained = any(report["train_indices"] for report in out_of_fold.reports)
        reason = (
            "The training has logged no loss" if is_trained else "Nothing was trained, so there is no loss by epoch"
        )
        axes.text(0.5, 0.5, f"{reason}.", ha="center", va="center")
        axes.set_axis_off()
        return figure
    for report in out_of_fold.reports:
        # Empty if logging_steps exceeds the number of steps, or the trainer reports no losses.
        epochs, losses = np.reshape(report["loss_history"], (-1, 2)).T
        last_epoch = epochs[-1] if len(epochs) else 0.0
        (line,) = axes.plot(epochs, losses, marker=".", label=f"fold {report['fold']}, training")
        axes.plot(
            last_epoch, report["metrics"]["loss"], marker="D", linestyle="", color=line.get_color(),
            label=f"fold {report['fold']}, held out",
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel="binary cross-entropy", yscale="log", title="Loss per fold")
    axes.legend(ncols=2, fontsize="small")
    axes.grid(alpha=0.3, which="both")
    return figure


def plot_probabilities(out_of_fold: "OutOfFold", class_name: str) -> Figure:
    """Plot how the P(class) of held-out examples is distributed over labelled and over other tokens."""
    column = out_of_fold.label_map[class_name]
    # Predictions are read from disk on access. They are counted in parts, and not held.
    lowest = min(prediction.pred_probs[:, column].min() for prediction in out_of_fold.predictions)
    bins = np.logspace(np.log10(max(lowest, 1e-6)), 0, 50)
    counts = np.zeros((2, len(bins) - 1))
    for part in in_parts(out_of_fold.predictions, lambda prediction: len(prediction.labels), _EXAMPLES_AT_ONCE):
        probs = np.concatenate([prediction.pred_probs[:, column] for prediction in part]).clip(bins[0])
        labels = np.concatenate([prediction.labels[:, column] for prediction in part])
        counts += [np.histogram(probs[labels == value], bins)[0] for value in (0, 1)]
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    names = (("other tokens", "tab:gray"), (f"tokens labelled {class_name}", "tab:orange"))
    for of_group, (name, color) in zip(counts, names, strict=True):
        total = of_group.sum()
        # Weights make each group sum to one: labelled tokens are few, and counts would hide them.
        axes.hist(
            bins[:-1], bins, weights=of_group / max(total, 1), alpha=0.6, color=color, label=f"{name} ({total:,.0f})"
        )
    axes.set(xscale="log", xlabel=f"P({class_name})", ylabel="share of the tokens",
             title="A useful model puts labelled tokens to the right")  # fmt: skip
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def plot_label_quality(issues: pd.DataFrame, threshold: float) -> Figure:
    """Plot how the label quality of `LabelErrors.issues` is distributed, and the threshold below which it is an issue.

    What reviewers have decided on is left out: its quality is 0 or 1.
    """
    issues = issues[issues["decision"] == ""]
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    bins = np.linspace(0, 1, 41)
    quality = [issues.loc[issues["is_issue"] == value, "label_quality"] for value in (True, False)]
    names = [f"{name} ({len(chosen):,})" for name, chosen in zip(("issues", "others"), quality, strict=True)]
    axes.hist(quality, bins, stacked=True, color=["tab:red", "tab:gray"], label=names)
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label="threshold")
    # Good labels are many, and what matters are the few others.
    counted = "spans, and places without one" if "given_label" in issues else "examples"
    axes.set(yscale="log", xlabel="label quality", ylabel=counted, title="Low is suspicious")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def plot_rankings(scores: dict[str, np.ndarray], is_error: np.ndarray) -> Figure:
    """Plot precision and recall along rankings of the same n examples, whose errors are known.

    Each score has the shape (n,), low is suspicious; of `is_error`, of the same shape, at least one is true.
    """
    figure, both = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained", sharex=True)
    checked = np.arange(1, len(is_error) + 1)
    for name, score in scores.items():
        found = np.cumsum(is_error[np.argsort(score, kind="stable")])
        for axes, values in zip(both, (found / checked, found / found[-1]), strict=True):
            axes.plot(checked, values, label=f"{name}, AP {average_precision_score(is_error, -score):.2f}")
    both[0].axhline(is_error.mean(), color="gray", linestyle=":", label="any order")
    both[1].plot(checked, checked / len(checked), color="gray", linestyle=":", label="any order")
    for axes, name in zip(
        both, ("precision: share of errors among them", "recall: share of the errors found"), strict=True
    ):
        axes.axvline(is_error.sum(), color="black", linestyle="--", linewidth=1)
        axes.set(xlabel="examples checked, worst first", title=name, ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    both[0].legend(fontsize="small")
    return figure
