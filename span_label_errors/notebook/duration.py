"""How long the training of all folds will take, from the training of a few examples."""

import math
import time
from collections.abc import Sequence

import numpy as np

from span_label_errors.cross_validation.splits import Split
from span_label_errors.notebook.settings import TrainingParameters


class StepClock:
    """Measures how long a training step takes: give it to `QATrainer.train` as `on_step`."""

    def __init__(self):
        self._times = [time.perf_counter()]

    def __call__(self, step: int, num_steps: int, loss: float | None) -> None:
        """Note that a step has ended."""
        self._times.append(time.perf_counter())

    def seconds_per_step(self) -> float:
        """Return the median of all steps but the first, which has to wait for the model; of one step, its time."""
        seconds = np.diff(self._times)
        return float(np.median(seconds[1:] if len(seconds) > 1 else seconds))


def expected_seconds(
    parameters: TrainingParameters, splits: Sequence[Split], windows_per_example: float, seconds_per_step: float
) -> float:
    """Return how long it takes to train all folds, one after the other.

    Parameters
    ----------
    parameters : TrainingParameters
        Say how many windows a step takes, and how many epochs or steps there are.
    splits : sequence of Split
    windows_per_example : float
        Above 1 where contexts are longer than a window.
    seconds_per_step : float
    """
    options = parameters.train_options()
    windows_of_step = parameters.batch_size * options.get("gradient_accumulation_steps", 1)
    num_steps = 0
    for split in splits:
        steps_of_epoch = math.ceil(len(split.train_indices) * windows_per_example / windows_of_step)
        of_epochs = math.ceil(steps_of_epoch * parameters.num_train_epochs)
        num_steps += options["max_steps"] if options.get("max_steps", -1) > 0 else of_epochs
    return num_steps * seconds_per_step
