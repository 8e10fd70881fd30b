"""What a training step takes: the product's own training, on the same batches again and again.

The first epoch meets every shape of a batch for the first time, two are timed, and in a fourth one every step is waited
for, which shows how long the processor takes to issue a step.
"""

import contextlib
import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import torch
from transformers import PreTrainedConfig

from span_label_errors.model.kernels import choose_attention
from span_label_errors.model.training_loop import OnStep

from .setting import SEED, Bench, matrix_rate, num_parameters, synchronize, utilisation, window_lengths

_TIMED = (1, 3)  # epochs, the last one not included
_EPOCHS = 4
# Learns slowly enough for random weights, and as published otherwise.
RECIPE = {"learning_rate": 5e-5, "weight_decay": 0.01}
# What is changed in the product, to see what its choices bring.
_MODEL = "span_label_errors.model"
EAGER, COMPILED = ({f"{_MODEL}.kernels.STEPS_WORTH_COMPILING": num_steps} for num_steps in (10**9, 0))


def _pytorchs_choice(config: PreTrainedConfig, device: torch.device, precision: str) -> None:
    """Leave mask and attention to transformers and PyTorch, in place of `choose_attention`."""
    torch.backends.cuda.enable_cudnn_sdp(True)


def _with_cudnn(config: PreTrainedConfig, device: torch.device, precision: str) -> None:
    """Choose as the product does, but let PyTorch take cuDNN's attention."""
    choose_attention(config, device, precision)
    torch.backends.cuda.enable_cudnn_sdp(True)


_AT_OWN_LENGTH = {f"{_MODEL}.qa.padding_multiple": lambda device, max_positions: 1}
_PYTORCHS_CHOICE = {f"{_MODEL}.trainer.choose_attention": _pytorchs_choice}
_WITH_CUDNN = {f"{_MODEL}.trainer.choose_attention": _with_cudnn}
_PACKED = {f"{_MODEL}.kernels.PACKS_WINDOWS": True}
# Names, changes, and the dropout if not the checkpoint's own: packed windows can have none.
VARIANTS = (
    ("not padded to a multiple", EAGER | _AT_OWN_LENGTH, None),
    ("cuDNN's attention", EAGER | _WITH_CUDNN, None),
    ("PyTorch's choice of mask and attention", EAGER | _PYTORCHS_CHOICE, None),
    ("the same, not padded to a multiple", EAGER | _PYTORCHS_CHOICE | _AT_OWN_LENGTH, None),
    ("no dropout", EAGER, 0.0),
    ("packed, no dropout", EAGER | _PACKED, 0.0),
)


class StepClock:
    """Takes the times of the steps of a training, as its `on_step`; `now` returns seconds."""

    def __init__(self, steps_of_epoch: int, now: Callable[[], float] = time.perf_counter):
        self._steps, self._now = steps_of_epoch, now
        self._started = self._issuing = now()
        self._at_step: dict[int, float] = {}
        self._issued: list[float] = []
        self._loss: float | None = None

    def __call__(self, step: int, num_steps: int, loss: float | None) -> None:
        self._loss = loss
        if step > _TIMED[1] * self._steps:
            self._issued.append(self._now() - self._issuing)
            synchronize()
        elif step == 1 or step % self._steps == 0:
            synchronize()
            self._at_step[step] = self._now()
        self._issuing = self._now()

    def found(self) -> dict[str, float | None]:
        """Return the seconds of a timed step, and the columns of a row."""
        first, last = (epoch * self._steps for epoch in _TIMED)
        seconds = (self._at_step[last] - self._at_step[first]) / (last - first)
        of_first_epoch = self._at_step[self._steps] - self._at_step[1]
        return {
            "ms": 1e3 * seconds,
            "issue_ms": 1e3 * statistics.median(self._issued),
            "new_shapes_s": of_first_epoch - seconds * (self._steps - 1),
            "to_first_step_s": self._at_step[1] - self._started,
            "loss": self._loss,
        }


def measure(bench: Bench) -> None:
    """Add a row for each batch size as the product does it, then for what it could do otherwise."""
    stepping = Stepping(bench)
    for batch_size in bench.size.batch_sizes:
        stepping.measure(batch_size, "eager", EAGER)
    for name, changes, dropout in VARIANTS:
        stepping.measure(bench.size.batch_size, f"eager, {name}", changes, dropout)
    for batch_size in bench.size.compiled_batch_sizes:
        stepping.measure(batch_size, "compiled", COMPILED)
    stepping.measure(bench.size.batch_size, "compiled, packed, no dropout", COMPILED | _PACKED, 0.0)


class Stepping:
    """Examples to make batches of, and the matrix rate beside them."""

    def __init__(self, bench: Bench):
        trainer = bench.trainer()
        self.bench, self.device = bench, trainer.qa.device
        self._parameters = num_parameters(trainer.qa)
        self._pool = bench.pool()
        self._lengths = window_lengths(trainer, self._pool)
        self._rate = matrix_rate(self.device, bench.size.matrix)

    def measure(self, batch_size: int, name: str, changes: dict[str, object], dropout: float | None = None) -> None:
        """Add a row of a training with some of the product's choices changed."""
        self.bench.rows.measure(
            45 if COMPILED.items() <= changes.items() else 12,
            lambda: self._row(batch_size, changes, dropout),
            batch_size=batch_size, variant=name,
        )  # fmt: skip

    def _row(self, batch_size: int, changes: dict[str, object], dropout: float | None) -> dict:
        batches = self.batches(batch_size)
        clock = StepClock(len(batches))
        with changed(changes), fresh_memory() as memory:
            self.train(batches, clock, dropout=dropout)
            peak = memory()
        found, of_step = clock.found(), sum(self.tokens(batches)) / len(batches)
        seconds = found["ms"] / 1e3
        return {
            **found, "tokens": of_step, "tokens_a_second": of_step / seconds,
            "utilisation": utilisation(6, self._parameters, of_step, seconds, self._rate), "peak_GiB": peak,
        }  # fmt: skip

    def batches(self, batch_size: int) -> list[list[int]]:
        """Return the examples of each batch, by index: of similar length, of one window each, in a random order."""
        of_one_window = [index for index, lengths in enumerate(self._lengths) if len(lengths) == 1]
        draw = random.Random(SEED)  # noqa: S311 # nosec B311 # nothing is secret here
        wanted = batch_size * self.bench.size.batches
        chosen = sorted(draw.sample(of_one_window, wanted), key=lambda index: self._lengths[index][0])
        batches = [chosen[first : first + batch_size] for first in range(0, wanted, batch_size)]
        draw.shuffle(batches)
        return batches

    def tokens(self, batches: Sequence[Sequence[int]]) -> list[int]:
        """Return the tokens of each batch that are no padding."""
        return [sum(self._lengths[example_index][0] for example_index in batch) for batch in batches]

    def train(
        self,
        batches: Sequence[Sequence[int]],
        on_step: OnStep,
        *,
        epochs: int = _EPOCHS,
        folder: str | Path | None = None,
        dropout: float | None = None,
    ) -> None:
        """Train on the batches in their order, as the product trains."""
        # A log waits for the device, and a training of usual length has twenty only: here, one an epoch.
        self.bench.trainer().train(
            [self._pool[example_index] for batch in batches for example_index in batch],
            folder or self.bench.work / "trained", epochs, seed=SEED, on_step=on_step, dropout=dropout,
            per_device_train_batch_size=len(batches[0]), train_sampling_strategy="sequential",
            logging_steps=float(len(batches)), **RECIPE,
        )  # fmt: skip


@contextlib.contextmanager
def changed(names: dict[str, object]) -> Iterator[None]:
    """Change what the product's modules call by these names, while something is measured."""
    with contextlib.ExitStack() as stack:
        for name, value in names.items():
            stack.enter_context(patch(name, value))
        yield


@contextlib.contextmanager
def fresh_memory():
    """Forget what was compiled and kept before; yield a function that returns the most GiB taken since, if on a GPU."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield lambda: torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else None
