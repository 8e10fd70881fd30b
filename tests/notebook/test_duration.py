"""How long all folds will take."""

import numpy as np
import pytest

from span_label_errors.cross_validation.splits import Split
from span_label_errors.notebook.duration import expected_duration, expected_seconds


@pytest.mark.parametrize(
    ("given", "num_steps"),
    [
        # 10 and 20 examples are 15 and 30 windows, in steps of 8: 2 and 4 steps an epoch.
        ({"num_train_epochs": 3}, 3 * 2 + 3 * 4),
        ({"num_train_epochs": 0.5}, 1 + 2),
        ({"num_train_epochs": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, 18),
        ({"num_train_epochs": 3, "max_steps": 100}, 200),
    ],
)
def test_time_of_all_folds_is_that_of_their_steps(given, num_steps):
    splits = [Split(np.arange(count), np.arange(count, count + 5)) for count in (10, 20)]
    # The median of steps of 5, 0.5 and 0.5 seconds.
    assert (
        expected_seconds({"per_device_train_batch_size": 8, **given}, splits, 1.5, step_times=[10, 15, 15.5, 16])
        == num_steps / 2
    )


def test_duration_is_said_in_words():
    training = {"per_device_train_batch_size": 8, "num_train_epochs": 30}
    splits = [Split(np.arange(16), np.arange(16, 24)), Split(np.arange(8, 24), np.arange(8))]
    # Twice 30 epochs of 2 steps of 2 seconds are 240 seconds.
    assert expected_duration(training, splits, 1.0, [0, 2, 4]) == (
        "about 4.0 minutes to train 2 folds, one after the other"
    )
    untrained = [Split(np.arange(0), np.arange(24))]
    assert expected_duration(training, untrained, 0.0, [0]) == (
        "nothing is trained: the checkpoint as it is predicts 24 examples, once"
    )
