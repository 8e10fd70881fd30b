"""The pictures of the notebooks."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from cross_validation import OutOfFold


def plot_losses(out_of_fold: OutOfFold) -> Figure:
    """Plot each fold's training loss by epoch, and its loss on the held-out examples at the end."""
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for report in out_of_fold.reports:
        # Empty if the run was told to log nothing.
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


def plot_probabilities(out_of_fold: OutOfFold, class_name: str) -> Figure:
    """Plot how the out-of-fold P(class) is distributed over labelled and over other tokens."""
    column = out_of_fold.label_map[class_name]
    probs = np.concatenate([prediction.pred_probs[:, column] for prediction in out_of_fold.predictions])
    labels = np.concatenate([prediction.labels[:, column] for prediction in out_of_fold.predictions])
    bins = np.logspace(np.log10(max(probs.min(), 1e-6)), 0, 50)
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for value, name, color in ((0, "other tokens", "tab:gray"), (1, f"tokens labelled {class_name}", "tab:orange")):
        chosen = probs[labels == value]
        # Weights make each group sum to one: labelled tokens are few, and counts would hide them.
        axes.hist(
            chosen.clip(bins[0]), bins, weights=np.full(len(chosen), 1 / max(len(chosen), 1)),
            alpha=0.6, color=color, label=f"{name} ({len(chosen):,})",
        )  # fmt: skip
    axes.set(xscale="log", xlabel=f"out-of-fold P({class_name})", ylabel="share of the tokens",
             title="A useful model puts labelled tokens to the right")  # fmt: skip
    axes.legend()
    axes.grid(alpha=0.3)
    return figure
