"""Training that may be killed at any moment: it goes on from where its state was last saved, to the same bytes.

`Trainer` can resume too, but from files that hold pickles, with another order of the data than an undisturbed run
(its grouping by length draws from the global random state), and with other losses in its log. Here the state is one
safetensors file, which holds all that the next step depends on.
"""

import contextlib
import dataclasses
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME

from atomic_files import check_writable
from checkpoints import file_sha256
from shared_steps import SharedOrder, WithBlank, length_grouped

# What is lost when a run dies. A state that takes long to write is written less often.
SECONDS_BETWEEN_STATES = 60.0
_MOST_TIME_FOR_STATES = 0.05


class TrainingState(NamedTuple):
    """What a saved state holds."""

    tensors: dict[str, torch.Tensor]
    record: dict  # JSON


class TrainingStates:
    """The saved state of one unfinished training, in a folder of its own.

    A state's file carries its SHA-256 in its name, which it gets once it is whole; a damaged one is never used.

    Parameters
    ----------
    folder : str or Path
    key : str
        Of everything that shapes the training: data, settings, seed, code. A state of another key is never used.
    log : callable
        Gets a line about a state that is used, or cannot be used.
    seconds : float
        Between two states.
    """

    def __init__(self, folder: str | Path, key: str, log: Callable[[str], None] = print, seconds: float | None = None):
        self.folder, self.key, self.log = Path(folder), key, log
        self._seconds = SECONDS_BETWEEN_STATES if seconds is None else seconds
        self._last_saved, self._seconds_to_save = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """Tell whether it is time to save the state again."""
        pause = max(self._seconds, self._seconds_to_save / _MOST_TIME_FOR_STATES)
        return time.monotonic() - self._last_saved >= pause

    def save(self, step: int, state: TrainingState) -> Path:
        """Save the state after a step; those of earlier steps are removed once it is whole.

        Raises
        ------
        OSError
            If it cannot be written; the earlier state stays.
        """
        started = time.monotonic()
        partial = check_writable(self.folder) / f".step_{step}.partial"
        try:
            metadata = {"key": self.key, "record": json.dumps(state.record)}
            with tensors_error_as_oserror(partial):
                save_file(state.tensors, partial, metadata)
            saved = partial.rename(self.folder / f"step_{step}-{file_sha256(partial)}.safetensors")
        finally:
            partial.unlink(missing_ok=True)
        for file in self._files():
            if file != saved:
                file.unlink()
        self._last_saved = time.monotonic()
        self._seconds_to_save = self._last_saved - started
        return saved

    def load(self) -> TrainingState | None:
        """Return the latest state that is whole and of this key, or None; the others are removed."""
        for half_written in self.folder.glob(".step_*.partial"):
            half_written.unlink()
        for file in self._files():
            if file_sha256(file) != file.stem.rpartition("-")[2]:
                problem = "is damaged: its SHA-256 is not the one in its name"
            else:
                with safe_open(file, framework="pt") as stored:
                    metadata = stored.metadata()
                    if metadata["key"] == self.key:
                        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
                        self.log(f"was interrupted; goes on after step {_step(file)} of its training")
                        return TrainingState(tensors, json.loads(metadata["record"]))
                problem = "is of another configuration"
            self.log(f"{file.name} {problem}; not used")
            file.unlink()
        return None

    def clear(self) -> None:
        """Remove all states."""
        for file in self._files():
            file.unlink()

    def _files(self) -> list[Path]:
        """Return the files of states, the latest first."""
        return sorted(self.folder.glob("step_*.safetensors"), key=_step, reverse=True)


def _step(file: Path) -> int:
    return int(file.stem.partition("-")[0].removeprefix("step_"))


@contextlib.contextmanager
def tensors_error_as_oserror(path: Path) -> Iterator[None]:
    """Raise OSError where safetensors, which has an error of its own, could not write."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path}: expected to write weights there; {error}") from error


class ResumableTrainer(Trainer):
    """A `Trainer` that saves its state as safetensors and goes on from there, bit for bit.

    Several processes that share a training (those of `accelerate launch` or `torchrun`) take the steps that one
    process would take; the first of them saves the state, and all of them must be able to read it. What dropout draws
    then depends on their number, and after an interruption is drawn anew.

    Parameters
    ----------
    train_dataset : TrainingItems
    states : TrainingStates, optional
        Without it, nothing is saved on the way.
    **arguments
        Those of `transformers.Trainer`.
    """

    def __init__(self, *, args, train_dataset: Dataset, states: TrainingStates | None = None, **arguments):
        self._lengths = train_dataset.lengths
        if args.world_size > 1:
            train_dataset = WithBlank(train_dataset)
        super().__init__(args=args, train_dataset=train_dataset, **arguments)
        self._states = states
        self._resumed: TrainingState | None = None
        self._rng_at_epoch_begin: dict[str, torch.Tensor] = {}

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        windows_of_step = self.args.train_batch_size * self.args.world_size
        if self.args.train_sampling_strategy == "group_by_length":
            sampler = length_grouped(self._lengths, windows_of_step * self.args.gradient_accumulation_steps)
        else:
            windows = range(len(self._lengths)) if self.args.world_size > 1 else train_dataset
            sampler = super()._get_train_sampler(windows)
        return SharedOrder(sampler, windows_of_step) if self.args.world_size > 1 else sampler

    def fit(self) -> None:
        """Train from the saved state if there is one, else from the start."""
        if self._states is not None:
            # The first process removes states that are of no use; the others must find only what it has found.
            with self.args.main_process_first(local=False):
                self._resumed = self._states.load()
        if self._resumed is None:
            self.train()
            return
        # Trainer reads its own state from a folder; everything else comes from `self._resumed`.
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / TRAINER_STATE_NAME).write_text(json.dumps(self._resumed.record["trainer"]))
            self.train(resume_from_checkpoint=folder)

    def _run_epoch(self, **arguments) -> None:
        if self._resumed is not None and arguments["epoch"] == arguments["epochs_trained"]:
            # The batches of an epoch are drawn at its beginning, from the random state of that moment.
            in_epoch = arguments["steps_trained_in_current_epoch"] > 0
            _set_rng_state(self._resumed.tensors, "rng_at_epoch_begin" if in_epoch else "rng", self.args.device)
            self._restore_loss(self._resumed.record["loss"])
        self._rng_at_epoch_begin = _rng_state("rng_at_epoch_begin", self.args.device)
        super()._run_epoch(**arguments)
        self._save_state_if_due()

    def _maybe_log_save_evaluate(self, *arguments, **named) -> None:
        super()._maybe_log_save_evaluate(*arguments, **named)
        # At an epoch's last step this is called again when the epoch has ended, and only then is all of it done.
        if not float(self.state.epoch).is_integer():
            self._save_state_if_due()

    def _save_state_if_due(self) -> None:
        is_over = self.state.global_step >= self.state.max_steps or self.control.should_training_stop
        is_first = self.args.process_index == 0
        if self._states is not None and is_first and not is_over and self._states.is_due():
            self._states.save(self.state.global_step, self._state())

    def _state(self) -> TrainingState:
        optimizer = self.optimizer.state_dict()
        tensors = {
            **{f"model.{name}": weights.detach() for name, weights in _trained(self.model).items()},
            **_rng_state("rng", self.args.device),
            **self._rng_at_epoch_begin,
        }
        numbers = {}
        for index, of_parameter in optimizer["state"].items():
            for name, value in of_parameter.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
                else:
                    numbers[f"{index}.{name}"] = value
        scaler = self.accelerator.scaler
        record = {
            "trainer": dataclasses.asdict(self.state),
            "loss": {
                "since_last_log": self._tr_loss.item(),
                "before": self._total_loss_scalar,
                "last_logged": self._globalstep_last_logged,
            },
            "optimizer": {"numbers": numbers, "param_groups": optimizer["param_groups"]},
            "scheduler": self.lr_scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        return TrainingState({name: tensor.contiguous() for name, tensor in tensors.items()}, record)

    def _restore_loss(self, loss: dict) -> None:
        self._tr_loss.fill_(loss["since_last_log"])
        self._total_loss_scalar, self._globalstep_last_logged = loss["before"], loss["last_logged"]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        with torch.no_grad():
            for name, weights in _trained(self.model).items():
                weights.copy_(self._resumed.tensors[f"model.{name}"])

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        record, of_parameters = self._resumed.record, {}
        numbers = {f"optimizer.{name}": value for name, value in record["optimizer"]["numbers"].items()}
        for path, value in {**self._resumed.tensors, **numbers}.items():
            kind, _, place = path.partition(".")
            if kind == "optimizer":
                index, _, name = place.partition(".")
                of_parameters.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": of_parameters, "param_groups": record["optimizer"]["param_groups"]})
        self.lr_scheduler.load_state_dict(record["scheduler"])

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self._resumed.record["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(self._resumed.record["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            _set_rng_state(self._resumed.tensors, "rng", self.args.device)


def _trained(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: weights for name, weights in model.named_parameters() if weights.requires_grad}


def _rng_state(name: str, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the random states of the processor and of the devices that are trained on."""
    states = {f"{name}.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states |= {f"{name}.{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    elif device.type != "cpu":
        states[f"{name}.0"] = torch.get_device_module(device).get_rng_state()
    return states


def _set_rng_state(tensors: dict[str, torch.Tensor], name: str, device: torch.device) -> None:
    torch.set_rng_state(tensors[f"{name}.cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state_all([tensors[f"{name}.{index}"] for index in range(torch.cuda.device_count())])
    elif device.type != "cpu":
        torch.get_device_module(device).set_rng_state(tensors[f"{name}.0"])


class FiniteLoss(TrainerCallback):
    """Stop a run whose loss is no number, instead of training on for nothing."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"expected a finite loss, found {loss} in epoch {state.epoch:.2f}; try a learning_rate below "
                f"{args.learning_rate:g}, or warmup_steps"
            )


def set_head_learning_rate(trainer: Trainer, learning_rate: float) -> None:
    """Move the head's parameters into groups of their own, before the scheduler reads the learning rates."""
    optimizer = trainer.create_optimizer()
    head = {id(parameter) for parameter in trainer.model.classifier.parameters()}
    for group in list(optimizer.param_groups):
        of_head = [parameter for parameter in group["params"] if id(parameter) in head]
        if of_head:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in head]
            optimizer.add_param_group({**group, "params": of_head, "lr": learning_rate})
