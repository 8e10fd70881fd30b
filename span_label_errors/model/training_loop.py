"""The training loop: which arguments it takes, which windows each step takes, the steps, and how to resume.

`train_network` is the whole of it, from the seed to the last log entry. On one process the same call gives the same
bytes, however often it was interrupted. Several processes (`accelerate launch`, `torchrun`) take the same steps.
"""

import contextlib
import difflib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin, broadcast_object_list
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch.utils.data import DataLoader, Sampler
from transformers import TrainingArguments, enable_full_determinism, get_scheduler, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler

from span_label_errors.model.kernels import compile_layers, is_worth_compiling
from span_label_errors.model.network import SpanClassification, non_finite_weights
from span_label_errors.model.training_states import TrainingState, TrainingStates
from span_label_errors.model.windows import IGNORED_LABEL, Window

OnStep = Callable[[int, int, float | None], None]  # (step, num_steps, loss that was last logged)

_OF_THEIR_OWN_TYPE = {
    "full_determinism", "fp16", "tf32", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "learning_rate", "lr_scheduler_kwargs", "warmup_steps", "optim_args", "weight_decay", "adam_beta1", "adam_beta2",
    "adam_epsilon", "max_grad_norm", "logging_steps",
    "gradient_checkpointing", "activation_checkpointing", "torch_compile", "torch_compile_backend",
}  # fmt: skip
# The fields of TrainingArguments that shape the training here, and their types. Data, places, seed, epochs and
# precision have arguments of their own in `QA` and `QATrainer.train`.
HONOURED_ARGUMENTS = {
    **{known.name: known.type for known in fields(TrainingArguments) if known.name in _OF_THEIR_OWN_TYPE},
    "train_sampling_strategy": Literal["group_by_length", "random", "sequential"],
    "optim": Literal["adamw_torch_fused", "adamw_torch", "adafactor", "sgd", "adagrad", "rmsprop"],
    "lr_scheduler_type": Literal[
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
        "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay",
    ],
}  # fmt: skip


def check_training_arguments(arguments: dict[str, object]) -> None:
    """Raise ValueError for the first argument that is not among `HONOURED_ARGUMENTS`, or not of its type."""
    for name, value in arguments.items():
        if name not in HONOURED_ARGUMENTS:
            nearest = difflib.get_close_matches(str(name), HONOURED_ARGUMENTS, n=1, cutoff=0.8)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(sorted(HONOURED_ARGUMENTS))}"
            raise ValueError(
                f"{name}: expected a field of TrainingArguments that shapes the training, found {value!r}; {hint}"
            )
        try:
            TypeAdapter(HONOURED_ARGUMENTS[name], config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            expected = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise ValueError(f"{name}: expected {expected}, found {value!r}") from error


# --- the windows of each step ---------------------------------------------------------------------


class BatchOrder(Sampler):
    """The windows of each batch of an epoch, by index, from `first_batch` on; the same in every process."""

    def __init__(self, lengths: Sequence[int], args: TrainingArguments):
        self._lengths, self._args = lengths, args
        self.epoch, self.first_batch = 0, 0

    def __len__(self) -> int:
        return math.ceil(len(self._lengths) / self._args.per_device_train_batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._drawn()
        if self._args.world_size > 1:
            # Dropout has moved the processes' random states apart; the first one's order holds.
            (order,) = broadcast_object_list([order])
        size = self._args.per_device_train_batch_size
        for batch_index in range(self.first_batch, len(self)):
            yield order[batch_index * size : (batch_index + 1) * size]

    def _drawn(self) -> list[int]:
        if self._args.train_sampling_strategy == "sequential":
            return list(range(len(self._lengths)))
        if self._args.train_sampling_strategy == "random":
            generator = torch.Generator().manual_seed(self._args.data_seed + self.epoch)
            return torch.randperm(len(self._lengths), generator=generator).tolist()
        # Windows of similar length share a step, which is random otherwise; the longest comes first.
        of_step = self._args.per_device_train_batch_size * self._args.gradient_accumulation_steps
        return list(LengthGroupedSampler(of_step, lengths=self._lengths))


def share_of_process(
    batch: dict[str, torch.Tensor], size: int, process_index: int, num_processes: int
) -> dict[str, torch.Tensor]:
    """Return the rows of a batch of at most `size` windows that a process computes on: as many in every process.

    The last row of a smaller batch is repeated without labels that count.
    """
    rows = torch.arange(size).chunk(num_processes)[process_index]
    num_rows = len(batch["labels"])
    share = {name: tensor[rows.clamp(max=num_rows - 1)] for name, tensor in batch.items()}
    share["labels"][rows >= num_rows] = IGNORED_LABEL
    return share


# --- the steps ------------------------------------------------------------------------------------


def train_network(
    network: SpanClassification,
    windows: Sequence[Window],
    collate: Callable[[Sequence[Window]], dict[str, torch.Tensor]],
    args: TrainingArguments,
    *,
    head_learning_rate: float | None = None,
    on_step: OnStep | None = None,
    states: TrainingStates | None = None,
) -> list[tuple[float, float]]:
    """Train a network in place, from the saved state if there is one.

    `collate` pads the windows of a batch; the other arguments are those of `QATrainer.train`. Of several processes the
    first one saves the states, and all must be able to read them. What dropout draws then depends on their number, and
    is drawn anew after an interruption.

    Returns
    -------
    list of (epoch, mean loss)
        Of each log entry, since the one before.

    Raises
    ------
    FloatingPointError
        If the loss, when it is logged, or a weight is not a finite number.
    """
    (enable_full_determinism if args.full_determinism else set_seed)(args.seed)
    accelerator = Accelerator(
        mixed_precision="bf16" if args.bf16 else "fp16" if args.fp16 else "no",
        dynamo_backend=args.torch_compile_backend if args.torch_compile else "no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # accumulated here, below
    )
    if args.activation_checkpointing:
        network.activation_checkpointing_enable()
    network.to(accelerator.device).train()
    order = BatchOrder([len(window) for window in windows], args)
    on_accelerator = accelerator.device.type != "cpu"
    loader = DataLoader(windows, batch_sampler=order, collate_fn=collate, pin_memory=on_accelerator)
    batches_of_step = args.gradient_accumulation_steps
    steps_of_epoch = math.ceil(len(order) / batches_of_step)
    num_steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * steps_of_epoch)
    logging_steps = math.ceil(args.logging_steps * (num_steps if args.logging_steps < 1 else 1))
    leaves_layers = not (args.torch_compile or args.activation_checkpointing)
    if leaves_layers and is_worth_compiling(network.config, accelerator.device, num_steps):
        compile_layers(network)

    model, optimizer = accelerator.prepare(network, new_optimizer(network, args, head_learning_rate))
    scheduler = get_scheduler(
        args.lr_scheduler_type, optimizer, args.get_warmup_steps(num_steps), num_steps, args.lr_scheduler_kwargs
    )
    run = _Run(network, optimizer, scheduler, accelerator.scaler, torch.zeros((), device=accelerator.device))
    resumed = None
    if states is not None:
        # The first process removes states that are of no use; the others must find only what it has found.
        with accelerator.main_process_first():
            resumed = states.load()
    if resumed is not None:
        run.restore(resumed)

    first_epoch, steps_done = divmod(run.step, steps_of_epoch)
    for epoch in range(first_epoch, math.ceil(num_steps / steps_of_epoch)):
        if resumed is not None:
            # An epoch's order is drawn from the random state of its beginning.
            run.set_rng_state(resumed.tensors, "rng_at_epoch_begin" if steps_done else "rng")
        run.rng_at_epoch_begin = run.rng_state("rng_at_epoch_begin")
        order.epoch, order.first_batch = epoch, steps_done * batches_of_step
        batches = iter(loader)
        for step_of_epoch in range(steps_done, min(steps_of_epoch, num_steps - epoch * steps_of_epoch)):
            of_step = list(itertools.islice(batches, batches_of_step))
            if resumed is not None and steps_done:
                run.set_rng_state(resumed.tensors, "rng")
            resumed = None

            # Each counted label weighs the same, in whichever batch or process it is.
            counted = sum((batch["labels"] != IGNORED_LABEL).sum() for batch in of_step)
            for batch_of_step, batch in enumerate(of_step, start=1):
                if args.world_size > 1:
                    batch = share_of_process(
                        batch, args.per_device_train_batch_size, args.process_index, args.world_size
                    )
                batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in batch.items()}
                # Gradients travel between processes once a step.
                is_last = batch_of_step == len(of_step)
                with contextlib.nullcontext() if is_last else accelerator.no_sync(model):
                    # Processes average their gradients.
                    loss = model(**batch, num_counted=counted).loss * args.world_size
                    accelerator.backward(loss)
                run.loss_since_log += loss.detach()
            if args.max_grad_norm > 0:
                accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm)
            optimizer.step()
            if not accelerator.optimizer_step_was_skipped:
                scheduler.step()
            model.zero_grad()
            run.step += 1

            if run.step % logging_steps == 0:
                batches_done = min((step_of_epoch + 1) * batches_of_step, len(order))
                loss = accelerator.gather(run.loss_since_log).mean().item() / logging_steps
                run.log(epoch + batches_done / len(order), loss, args)
            if states is not None and accelerator.is_main_process and run.step < num_steps and states.is_due():
                states.save(run.step, run.state())
            if on_step is not None:
                on_step(run.step, num_steps, run.loss_history[-1][1] if run.loss_history else None)
        steps_done = 0
    if not_finite := non_finite_weights(network):
        raise FloatingPointError(f"expected finite weights after training, found NaN or infinity in {not_finite}")
    return run.loss_history


def new_optimizer(
    network: SpanClassification, args: TrainingArguments, head_learning_rate: float | None
) -> torch.optim.Optimizer:
    """Return the optimizer that `args` name, with groups for the head and for what does not decay."""
    head = {id(weights) for weights in network.classifier.parameters()}
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for weights in network.parameters():
        if weights.requires_grad:
            # Matrices decay; biases and the weights of norms, which have one dimension, do not.
            groups.setdefault((id(weights) in head, weights.ndim > 1), []).append(weights)
    # Imported on use: it brings `datasets` and pandas, which take 0.3 s and which nothing needs that only predicts.
    from transformers import Trainer

    learning_rates = {False: args.learning_rate, True: head_learning_rate or args.learning_rate}
    optimizer_class, options = Trainer.get_optimizer_cls_and_kwargs(args, network)
    return optimizer_class(
        [
            {"params": weights, "weight_decay": args.weight_decay * decays, "lr": learning_rates[is_head]}
            for (is_head, decays), weights in groups.items()
        ],
        **options,
    )


@dataclass
class _Run:
    """All that the next step of a training depends on."""

    network: SpanClassification
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler | None
    loss_since_log: torch.Tensor  # stays on the device: to read it is to wait for it
    step: int = 0
    loss_history: list[tuple[float, float]] = field(default_factory=list)
    rng_at_epoch_begin: dict[str, torch.Tensor] = field(default_factory=dict)

    def log(self, epoch: float, loss: float, args: TrainingArguments) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"expected a finite loss, found {loss} in epoch {epoch:.2f}; try a learning_rate below "
                f"{args.learning_rate:g}, or warmup_steps"
            )
        self.loss_history.append((epoch, loss))
        self.loss_since_log.zero_()

    def state(self) -> TrainingState:
        optimizer = self.optimizer.state_dict()
        tensors = {
            **{f"model.{name}": weights.detach() for name, weights in self._trained().items()},
            **self.rng_state("rng"),
            **self.rng_at_epoch_begin,
            "loss_since_log": self.loss_since_log,
        }
        numbers = {}
        for index, of_parameter in optimizer["state"].items():
            for name, value in of_parameter.items():
                kept = tensors if isinstance(value, torch.Tensor) else numbers
                kept[f"optimizer.{index}.{name}"] = value
        record = {
            "step": self.step,
            "loss_history": self.loss_history,
            "numbers": numbers,
            "param_groups": optimizer["param_groups"],
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler and self.scaler.state_dict(),
        }
        return TrainingState({name: tensor.contiguous() for name, tensor in tensors.items()}, record)

    def restore(self, state: TrainingState) -> None:
        """Take over all of a state but the random states, which are set later, within the epoch."""
        tensors, record = state
        with torch.no_grad():
            for name, weights in self._trained().items():
                weights.copy_(tensors[f"model.{name}"])
        of_parameters: dict[int, dict[str, object]] = {}
        for path, value in {**tensors, **record["numbers"]}.items():
            if path.startswith("optimizer."):
                _, index, name = path.split(".", 2)
                of_parameters.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": of_parameters, "param_groups": record["param_groups"]})
        self.scheduler.load_state_dict(record["scheduler"])
        if self.scaler is not None:
            self.scaler.load_state_dict(record["scaler"])
        self.loss_since_log.copy_(tensors["loss_since_log"])
        self.step = record["step"]
        self.loss_history = [(epoch, loss) for epoch, loss in record["loss_history"]]

    def rng_state(self, name: str) -> dict[str, torch.Tensor]:
        """Return the random states of the CPU and of the device that is trained on."""
        return {f"{name}.{index}": module.get_rng_state() for index, module in enumerate(self._random_modules())}

    def set_rng_state(self, tensors: dict[str, torch.Tensor], name: str) -> None:
        for index, module in enumerate(self._random_modules()):
            module.set_rng_state(tensors[f"{name}.{index}"])

    def _random_modules(self) -> list:
        device = self.loss_since_log.device
        return [torch] if device.type == "cpu" else [torch, torch.get_device_module(device)]

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {name: weights for name, weights in self.network.named_parameters() if weights.requires_grad}
