"""How long all folds will take, from the training of a few examples."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from span_label_errors.cross_validation.splits import Split


def expected_duration(
    training: Mapping[str, object], splits: Sequence[Split], windows_per_example: float, step_times: Sequence[float]
) -> str:
    """Say how long it takes to make all folds, one after the other; the arguments are those of `expected_seconds`.

    Where nothing is trained, the last two are not used, since there was no short training to take them from.
    """
    num_predicted = sum(len(split.validation_indices) for split in splits)
    if not any(len(split.train_indices) for split in splits):
        return f"nothing is trained: the checkpoint as it is predicts {num_predicted} examples, once"
    seconds = expected_seconds(training, splits, windows_per_example, step_times)
    return f"about {seconds / 60:.1f} minutes to train {len(splits)} folds, one after the other"


def expected_seconds(
    training: Mapping[str, object], splits: Sequence[Split], windows_per_example: float, step_times: Sequence[float]
) -> float:
    """Return how many seconds it takes to train all folds, one after the other.

    Parameters
    ----------
    training : mapping
        The arguments of `QATrainer.train`: they give the number of windows in a step, and that of epochs or steps.
    splits : sequence of Split
    windows_per_example : float
        Above 1 where contexts are longer than a window.
    step_times : sequence of float
        When a short training started and when each of its steps ended, in seconds. The median step counts: the first
        one has to wait for the model.
    """
    windows_of_step = training["per_device_train_batch_size"] * training.get("gradient_accumulation_steps", 1)
    num_steps = 0
    for split in splits:
        steps_of_epoch = math.ceil(len(split.train_indices) * windows_per_example / windows_of_step)
        of_epochs = math.ceil(steps_of_epoch * training["num_train_epochs"])
        num_steps += training["max_steps"] if training.get("max_steps", -1) > 0 else of_epochs
    return num_steps * float(np.median(np.diff(step_times)))
