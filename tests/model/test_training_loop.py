"""Training: its steps worked out by hand, and a run that was interrupted or shared ends as if it had not been."""

import shutil
import time
from types import SimpleNamespace

import pytest
import torch
from accelerate import debug_launcher
from conftest import make_example, twelve_examples
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch.nn.functional import binary_cross_entropy_with_logits

from span_label_errors.model import training_states
from span_label_errors.model.checkpoints import WEIGHTS_FILE, file_sha256
from span_label_errors.model.network import load_network
from span_label_errors.model.training_loop import BatchOrder, check_training_arguments, share_of_process
from span_label_errors.model.training_states import TrainingState, TrainingStates
from span_label_errors.model.windows import IGNORED_LABEL, build_windows, tokenize_examples, training_item
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
# 12 examples in batches of 2: six steps an epoch, eighteen in all.
TRAINING = {
    "num_train_epochs": 3, "learning_rate": 1e-3, "head_learning_rate": 1e-2, "warmup_steps": 0.1, "frozen_layers": 1,
    "dropout": 0.2, "per_device_train_batch_size": 2,
}  # fmt: skip
LAST_STEP = 18


class EveryStep(TrainingStates):
    def is_due(self) -> bool:
        return True


def states_in(tmp_path, key="key", log=print) -> TrainingStates:
    return EveryStep(tmp_path / "states", key, log)


def trainer_of(tiny_bert, precision="float32") -> QATrainer:
    return QATrainer(QA(tiny_bert, max_length=48, doc_stride=8, precision=precision), 48, LABEL_MAP)


def run(tiny_bert, folder, states=None, stop_after=None, **options):
    """Train; return the hash of the weights, the losses and the first step; Ctrl-C comes after a step."""
    steps = []

    def on_step(step, num_steps, loss):
        steps.append(step)
        if step == stop_after:
            raise KeyboardInterrupt

    trainer = trainer_of(tiny_bert, options.pop("precision", "float32"))
    options = {**TRAINING, **options}
    report = trainer.train(twelve_examples(), folder, seed=3, states=states, on_step=on_step, **options)
    return file_sha256(folder / WEIGHTS_FILE), report.loss_history, steps[0]


def interrupted(tiny_bert, tmp_path, stop_after, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny_bert, tmp_path / "model", states_in(tmp_path), stop_after, **options)
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="module")
def undisturbed(tiny_bert, tmp_path_factory):
    return run(tiny_bert, tmp_path_factory.mktemp("undisturbed") / "model")


# --- the steps ------------------------------------------------------------------------------------


def test_steps_are_those_of_plain_torch(tiny_bert, tmp_path):
    """Written out window by window, without padding: two batches of two a step, clipping, decay, warmup, head."""
    trainer = trainer_of(tiny_bert)
    # Windows of unequal length: a mean of means would be another loss. The last one fills neither batch nor step.
    examples = [*twelve_examples()[:3], make_example("x", "In Paris.", "Where?", "Paris"), twelve_examples()[5]]
    report = trainer.train(
        examples, tmp_path / "model", 2, seed=3, learning_rate=1e-2, head_learning_rate=1e-1, weight_decay=0.5,
        max_grad_norm=0.05, warmup_steps=1, dropout=0.0, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        train_sampling_strategy="sequential", logging_steps=1, optim="adamw_torch",
    )  # fmt: skip

    tokenized = tokenize_examples(trainer.qa.tokenizer, examples, LABEL_MAP, max_length=48)
    windows = build_windows(tokenized, trainer.qa.template, max_length=48, doc_stride=8)
    items = [training_item(window, tokenized[window.example_index].labels) for window in windows]
    assert len(items) == 5
    network = load_network(trainer.qa.checkpoint, LABEL_MAP, seed=3, dropout=0.0)
    labels = torch.cat([torch.from_numpy(example.labels) for example in tokenized]).float()
    with torch.no_grad():
        network.classifier.bias.copy_(labels.mean(0).logit())
    matrices, vectors = ([p for p in network.bert.parameters() if (p.ndim > 1) == wide] for wide in (True, False))
    groups = [
        {"params": matrices, "lr": 1e-2, "weight_decay": 0.5},
        {"params": vectors, "lr": 1e-2, "weight_decay": 0.0},
        {"params": [network.classifier.weight], "lr": 1e-1, "weight_decay": 0.5},
        {"params": [network.classifier.bias], "lr": 1e-1, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    highest, losses, norms = [group["lr"] for group in groups], [], []
    # By hand: four steps, of which the first warms up from 0 and the others go down from the highest rate in a line.
    for share, step in zip([0, 1, 2 / 3, 1 / 3], [items[:4], items[4:]] * 2, strict=True):
        for group, rate in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = rate * share
        total, num_counted = 0.0, 0
        for item in step:
            ids, types, wanted = (torch.from_numpy(item[name]) for name in ("input_ids", "token_type_ids", "labels"))
            logits, counts = network(ids[None], token_type_ids=types[None]).logits[0], wanted != IGNORED_LABEL
            total = total + binary_cross_entropy_with_logits(logits[counts], wanted[counts], reduction="sum")
            num_counted += int(counts.sum())
        losses.append((total / num_counted).item())
        optimizer.zero_grad()
        (total / num_counted).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(network.parameters(), 0.05).item())
        optimizer.step()

    assert min(norms) > 0.05
    assert [epoch for epoch, _ in report.loss_history] == pytest.approx([2 / 3, 1, 5 / 3, 2])
    assert [loss for _, loss in report.loss_history] == pytest.approx(losses, rel=1e-4)
    found = load_file(tmp_path / "model" / WEIGHTS_FILE)
    for name, weights in network.named_parameters():
        torch.testing.assert_close(
            found[name], weights.detach(), atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"logging_steps": 4}, [4 / 6, 8 / 6, 2, 16 / 6]),
        ({"logging_steps": 0.3}, [1, 2, 3]),  # 5.4 steps, that is six
        ({"logging_steps": 7}, [7 / 6, 14 / 6]),
    ],
)
def test_mean_loss_is_logged_when_it_is_asked_for(tiny_bert, tmp_path, undisturbed, options, epochs):
    weights, history, _ = run(tiny_bert, tmp_path / "model", **options)
    assert [epoch for epoch, _ in history] == pytest.approx(epochs)
    assert weights == undisturbed[0]
    every_step, done = [loss for _, loss in undisturbed[1]], 0
    for epoch, loss in history:
        since, done = every_step[done : round(epoch * 6)], round(epoch * 6)
        assert loss == pytest.approx(sum(since) / len(since), rel=1e-5)


def test_each_step_is_told_with_the_loss_that_was_logged_last(tiny_bert, tmp_path):
    told = []
    report = trainer_of(tiny_bert).train(
        twelve_examples(), tmp_path / "model", seed=3, on_step=lambda *step: told.append(step),
        **{**TRAINING, "max_steps": 5, "logging_steps": 2},
    )  # fmt: skip
    first, second = (loss for _, loss in report.loss_history)
    assert told == [(1, 5, None), (2, 5, first), (3, 5, first), (4, 5, second), (5, 5, second)]


# --- the windows of each step ---------------------------------------------------------------------


def order_of(lengths: list[int], size: int, strategy: str) -> BatchOrder:
    return BatchOrder(
        lengths,
        SimpleNamespace(
            per_device_train_batch_size=size, gradient_accumulation_steps=1, train_sampling_strategy=strategy,
            data_seed=1, world_size=1,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_each_epoch_takes_every_window_once_in_an_order_that_can_be_resumed(strategy):
    order, epochs = order_of([3, 9, 4, 1, 7, 5, 2, 8, 6, 10], 4, strategy), []
    for order.epoch in (0, 1):
        found = []
        for order.first_batch in (0, 2):
            torch.manual_seed(order.epoch)
            found.append(list(order))
        assert [len(batch) for batch in found[0]] == [4, 4, 2]
        assert sorted(index for batch in found[0] for index in batch) == list(range(10))
        assert found[1] == found[0][2:]
        epochs.append(found[0])
    assert (epochs[0] == epochs[1]) == (strategy == "sequential")


def test_windows_of_similar_length_share_a_step():
    lengths = [10 * (index % 8) + 1 for index in range(40)]
    steps = [[lengths[index] for index in batch] for batch in order_of(lengths, 5, "group_by_length")]
    assert max(steps[0]) == 71
    # Sorted whole among twenty at a time; in a random order a step would span about 60.
    assert sum(max(step) - min(step) for step in steps) / len(steps) < 30


def test_processes_share_a_batch_evenly():
    batch = {"input_ids": torch.tensor([[1], [2], [3]]), "labels": torch.tensor([[0.0], [1.0], [0.0]])}
    first, second = (share_of_process(batch, 4, process_index, 2) for process_index in (0, 1))
    assert (first["input_ids"].tolist(), first["labels"].tolist()) == ([[1], [2]], [[0.0], [1.0]])
    assert (second["input_ids"].tolist(), second["labels"].tolist()) == ([[3], [3]], [[0.0], [IGNORED_LABEL]])


# Without Adam, which makes much of a gradient's sign where it is almost nothing.
SHARED = {**TRAINING, "dropout": 0.0, "per_device_train_batch_size": 4, "optim": "sgd", "learning_rate": 0.3}


def train_shared(tiny_bert, tmp_path, examples) -> None:
    """What each of two processes does: train, be interrupted, and go on; the second draws numbers of its own."""
    trainer, is_second = trainer_of(tiny_bert), torch.distributed.get_rank() == 1

    def on_step(step, num_steps, loss):
        torch.rand(int(is_second))
        if step == stop_after:
            torch.distributed.barrier()
            raise KeyboardInterrupt

    for stop_after in (0, 5, 0):
        states = states_in(tmp_path) if stop_after or (tmp_path / "states").exists() else None
        try:
            trainer.train(examples, tmp_path / "two", seed=3, on_step=on_step, states=states, **SHARED)
        except KeyboardInterrupt:
            assert stop_after
        else:
            torch.distributed.barrier()
            if not is_second:
                (tmp_path / "two").rename(tmp_path / ("resumed" if states else "undisturbed"))
        torch.distributed.barrier()


def test_two_processes_take_the_steps_of_one(tiny_bert, tmp_path):
    examples = [*twelve_examples(), make_example("x", "In Paris.", "Where?", "Paris")]
    debug_launcher(train_shared, (tiny_bert, tmp_path, examples), num_processes=2)
    trainer_of(tiny_bert).train(examples, tmp_path / "one", seed=3, **SHARED)
    one, two = (load_file(tmp_path / name / WEIGHTS_FILE) for name in ("one", "undisturbed"))
    start = load_network(trainer_of(tiny_bert).qa.checkpoint, LABEL_MAP, seed=3).state_dict()
    assert max((one[name] - start[name]).abs().max().item() for name in one) > 0.1
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    assert file_sha256(tmp_path / "resumed" / WEIGHTS_FILE) == file_sha256(tmp_path / "undisturbed" / WEIGHTS_FILE)


# --- interrupted ----------------------------------------------------------------------------------


def test_training_that_is_interrupted_after_each_step_gives_the_same_bytes(tiny_bert, tmp_path, undisturbed):
    for stop_after in range(1, LAST_STEP):
        interrupted(tiny_bert, tmp_path, stop_after)
        torch.rand(7)  # the next process has another random state
    assert run(tiny_bert, tmp_path / "model", states_in(tmp_path)) == (*undisturbed[:2], LAST_STEP)
    (last,) = (tmp_path / "states").iterdir()  # the model itself follows the last step
    assert last.name.startswith(f"step_{LAST_STEP - 1}-")


@pytest.mark.parametrize(
    "options",
    [
        {"train_sampling_strategy": "random"},
        {"gradient_accumulation_steps": 5, "per_device_train_batch_size": 1, "weight_decay": 0.3},
        {"logging_steps": 5},
        {"optim": "sgd", "optim_args": "momentum=0.9"},
        {"optim": "adafactor"},
        {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
        {"max_steps": 15},
        {"num_train_epochs": 2.5},
        {"precision": "bfloat16"},
    ],
)
def test_other_arguments_resume_as_well(tiny_bert, tmp_path, options):
    whole = run(tiny_bert, tmp_path / "whole", **options)
    interrupted(tiny_bert, tmp_path, 8, **options)
    # No step is repeated.
    assert run(tiny_bert, tmp_path / "model", states_in(tmp_path), **options) == (*whole[:2], 9)


def test_steps_after_the_last_saved_state_are_repeated(tiny_bert, tmp_path, undisturbed):
    interrupted(tiny_bert, tmp_path, 4)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_bert, tmp_path / "model", TrainingStates(tmp_path / "states", "key", seconds=3600), 11)
    assert run(tiny_bert, tmp_path / "model", states_in(tmp_path)) == (*undisturbed[:2], 5)


def test_state_holds_no_pickle_and_no_frozen_weights(tiny_bert, tmp_path):
    interrupted(tiny_bert, tmp_path, 3)
    (file,) = (tmp_path / "states").iterdir()
    with safe_open(file, framework="pt") as stored:
        names = list(stored.keys())
    assert {"model.classifier.weight", "model.bert.encoder.layer.1.output.dense.weight"} <= set(names)
    assert not any("embeddings" in name or "layer.0" in name for name in names)


# --- the saved states -----------------------------------------------------------------------------

STATE = TrainingState({"weights": torch.arange(3.0)}, {"loss": 0.25})


def test_latest_of_several_states_is_the_one_of_the_most_steps(tmp_path):
    """Not the first or the last by name: a run that was killed while it removed the earlier ones left them all."""
    for step in (9, 10, 11, 2):
        saved = states_in(tmp_path).save(step, TrainingState(STATE.tensors, {"step": step}))
        assert list(saved.parent.iterdir()) == [saved]
        shutil.move(saved, tmp_path)
    for file in tmp_path.glob("step_*"):
        shutil.move(file, tmp_path / "states")
    assert states_in(tmp_path).load().record == {"step": 11}
    states_in(tmp_path).clear()
    assert not list((tmp_path / "states").iterdir())


@pytest.mark.parametrize("size", [0, 5, -1, None])
def test_earlier_state_is_used_where_the_later_one_is_damaged(tmp_path, size):
    saved = states_in(tmp_path).save(9, STATE)
    aside = shutil.copy(saved, tmp_path)
    later = states_in(tmp_path).save(10, TrainingState(STATE.tensors, {"loss": 0.125}))
    shutil.copy(aside, saved)
    content = bytearray(later.read_bytes())
    content[-1] ^= 1
    later.write_bytes(content[:size])
    said = []
    assert states_in(tmp_path, log=said.append).load().record == {"loss": 0.25}
    assert "step_10-" in said[0] and "damaged" in said[0] and "not used" in said[0]
    assert "goes on after step 9" in said[1]
    assert not later.exists()


def test_half_written_state_and_that_of_another_training_are_not_used(tmp_path):
    saved = states_in(tmp_path, key="other").save(9, STATE)
    shutil.copy(saved, saved.with_name(".step_9.partial"))
    said = []
    assert states_in(tmp_path, log=said.append).load() is None
    assert "another configuration" in said[0]
    assert not list((tmp_path / "states").iterdir())


def test_state_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    saved = states_in(tmp_path).save(9, STATE)

    def full(tensors, file, metadata):
        file.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(training_states, "save_file", full)
    with pytest.raises(OSError, match=r"step_10.* expected to write weights there; No space left"):
        states_in(tmp_path).save(10, STATE)
    assert list((tmp_path / "states").iterdir()) == [saved]


def test_states_are_saved_as_often_as_their_time_and_cost_allow(tmp_path):
    assert not TrainingStates(tmp_path / "states", "key").is_due()  # a minute has not passed
    assert not TrainingStates(tmp_path / "states", "key", seconds=3600).is_due()
    states = TrainingStates(tmp_path / "states", "key", seconds=0)
    assert states.is_due()
    started = time.monotonic()
    states.save(1, TrainingState({"weights": torch.zeros(200_000)}, {}))
    longest = time.monotonic() - started
    assert not states.is_due()  # saving may take a twentieth of the time
    time.sleep(20 * longest)
    assert states.is_due()


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"logging_steps": 100}])
def test_training_that_diverges_leaves_neither_model_nor_state(tiny_bert, tmp_path, options):
    message = "finite weights after training" if options else r"finite loss, found nan in epoch .*below 1e\+30"
    with pytest.raises(FloatingPointError, match=message):
        run(tiny_bert, tmp_path / "model", states_in(tmp_path), learning_rate=1e30, max_grad_norm=0.0, **options)
    assert not list((tmp_path / "states").iterdir()) and not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"save_steps": 5}, "save_steps: expected a field .* that shapes the training, found 5; known are activation_"),
        ({"weight_deacy": 0.1}, "weight_deacy: expected .*, found 0.1; did you mean 'weight_decay'?"),
        ({"fp16": "false"}, "fp16: expected a valid boolean, found 'false'"),
        ({"optim": "lomo"}, "optim: expected 'adamw_torch_fused', .* or 'rmsprop', found 'lomo'"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "lr_scheduler_type: expected 'linear', "),
        ({"train_sampling_strategy": "batch_rebalance"}, "train_sampling_strategy: expected 'group_by_length', "),
    ],
)
def test_argument_that_would_be_without_effect_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_training_arguments({"weight_decay": 0.3, "optim": "sgd", "tf32": None, **arguments})
