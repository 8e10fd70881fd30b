"""A training that was interrupted ends as if nothing had happened."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from conftest import twelve_examples
from safetensors import safe_open
from transformers import TrainerCallback

import resumable_training
from checkpoints import WEIGHTS_FILE, file_sha256
from resumable_training import FiniteLoss, ResumableTrainer, TrainingState, TrainingStates
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
# 12 examples in batches of 2: six steps an epoch, eighteen in all.
TRAINING = {
    "num_train_epochs": 3, "learning_rate": 1e-3, "head_learning_rate": 1e-2, "warmup_steps": 0.1, "frozen_layers": 1,
    "dropout": 0.2, "per_device_train_batch_size": 2,
}  # fmt: skip
LAST_STEP = 18


class StopAt(TrainerCallback):
    """Interrupt a training when a step begins, as Ctrl-C and the stop button of Jupyter do."""

    def __init__(self, step: int):
        self.step, self.first_step = step, None

    def on_step_begin(self, args, state, control, **kwargs):
        self.first_step = state.global_step if self.first_step is None else self.first_step
        if state.global_step == self.step:
            raise KeyboardInterrupt


def trainer_of(tiny_bert) -> QATrainer:
    return QATrainer(QA(tiny_bert, max_length=48), 48, LABEL_MAP)


def run(tiny_bert, folder, states=None, stop_at=None, **options):
    """Train, and return the report, the hash of the weights and the step that it began with."""
    stop = StopAt(stop_at)
    options = {**TRAINING, **options}
    report = trainer_of(tiny_bert).train(twelve_examples(), folder, seed=3, states=states, callbacks=[stop], **options)
    return report, file_sha256(folder / WEIGHTS_FILE), stop.first_step


class EveryStep(TrainingStates):
    def is_due(self) -> bool:
        return True


def states_in(tmp_path, key="key", log=print) -> TrainingStates:
    return EveryStep(tmp_path / "states", key, log)


def interrupted(tiny_bert, tmp_path, stop_at, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny_bert, tmp_path / "model", states_in(tmp_path), stop_at=stop_at, **options)
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="module")
def undisturbed(tiny_bert, tmp_path_factory):
    return run(tiny_bert, tmp_path_factory.mktemp("undisturbed") / "model")


@pytest.mark.parametrize("stop_at", range(1, LAST_STEP))
def test_training_that_is_interrupted_at_any_step_gives_the_same_bytes(tiny_bert, tmp_path, undisturbed, stop_at):
    interrupted(tiny_bert, tmp_path, stop_at)
    torch.rand(7)  # the next process has another random state
    report, weights, first_step = run(tiny_bert, tmp_path / "model", states_in(tmp_path))
    assert first_step == stop_at  # nothing is repeated
    assert weights == undisturbed[1]
    assert report.loss_history == undisturbed[0].loss_history


def test_training_that_is_interrupted_again_and_again_gives_the_same_bytes(tiny_bert, tmp_path, undisturbed):
    for stop_at in (2, 6, 7, 11, 12, 17):
        interrupted(tiny_bert, tmp_path, stop_at)
    assert run(tiny_bert, tmp_path / "model", states_in(tmp_path))[1:] == (undisturbed[1], 17)


@pytest.mark.parametrize(
    "options",
    [
        {"train_sampling_strategy": "random"},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1},
        {"logging_strategy": "epoch"},
        {"logging_strategy": "steps", "logging_steps": 4},
        {"optim": "sgd", "optim_args": "momentum=0.9"},
        {"optim": "adafactor"},
        {"lr_scheduler_type": "cosine"},
        {"max_steps": 15},
        {"num_train_epochs": 2.5},
    ],
)
@pytest.mark.parametrize("stop_at", [6, 8])
def test_other_arguments_of_trainer_resume_as_well(tiny_bert, tmp_path, options, stop_at):
    whole, weights, _ = run(tiny_bert, tmp_path / "whole", **options)
    interrupted(tiny_bert, tmp_path, stop_at, **options)
    resumed, resumed_weights, first_step = run(tiny_bert, tmp_path / "model", states_in(tmp_path), **options)
    assert (first_step, resumed_weights, resumed.loss_history) == (stop_at, weights, whole.loss_history)


def test_state_between_two_saved_ones_is_repeated_from_the_earlier(tiny_bert, tmp_path, undisturbed, monkeypatch):
    interrupted(tiny_bert, tmp_path, 4)
    monkeypatch.setattr(EveryStep, "is_due", lambda self: False)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_bert, tmp_path / "model", states_in(tmp_path), stop_at=11)
    assert run(tiny_bert, tmp_path / "model", states_in(tmp_path))[1:] == (undisturbed[1], 4)


def saved_steps(tiny_bert, tmp_path, monkeypatch, *callbacks) -> list[int]:
    """Train to the end with these callbacks, and return the steps after which a state was saved."""
    save, steps = EveryStep.save, []
    monkeypatch.setattr(EveryStep, "save", lambda self, step, state: (steps.append(step), save(self, step, state)))
    trainer_of(tiny_bert).train(
        twelve_examples(), tmp_path / "model", seed=3, states=states_in(tmp_path), callbacks=callbacks, **TRAINING
    )
    return steps


def test_state_is_saved_once_after_each_step_but_the_last(tiny_bert, tmp_path, monkeypatch):
    assert saved_steps(tiny_bert, tmp_path, monkeypatch) == list(range(1, LAST_STEP))


def test_no_state_is_saved_of_a_training_that_a_callback_ends(tiny_bert, tmp_path, monkeypatch):
    class EndAfter(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 4
            return control

    assert saved_steps(tiny_bert, tmp_path, monkeypatch, EndAfter()) == [1, 2, 3]


def test_learning_rates_in_the_log_are_those_of_the_steps(tiny_bert, tmp_path):
    """By hand: eighteen steps go down from 0.001 in a line, and steps 6, 12 and 18 have 13, 7 and 1 parts left."""
    logged = []

    class Log(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.extend(value for name, value in logs.items() if name == "learning_rate")

    options = {**TRAINING, "warmup_steps": 0, "logging_strategy": "steps", "logging_steps": 6}
    trainer_of(tiny_bert).train(twelve_examples(), tmp_path / "model", seed=3, callbacks=[Log()], **options)
    assert logged == pytest.approx([0.001 * 13 / 18, 0.001 * 7 / 18, 0.001 / 18])


def test_state_holds_no_pickle_and_no_frozen_weights(tiny_bert, tmp_path):
    interrupted(tiny_bert, tmp_path, 3)
    (file,) = (tmp_path / "states").iterdir()
    with safe_open(file, framework="pt") as stored:
        names = list(stored.keys())
    assert "model.classifier.weight" in names
    assert "model.bert.encoder.layer.1.output.dense.weight" in names
    assert not any("embeddings" in name or "layer.0" in name for name in names)


def test_training_that_is_not_to_be_resumed_is_that_of_trainer(tiny_bert, tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(ResumableTrainer, "fit", ResumableTrainer.train)
    assert run(tiny_bert, tmp_path / "model")[1] == undisturbed[1]


def test_state_of_a_gradient_scaler_is_kept(tiny_bert, tmp_path, monkeypatch):
    """Half precision on a GPU has one, whose scale changes on the way."""
    state_of, kept, loaded = ResumableTrainer._state, [], []

    def with_scaler(self):
        monkeypatch.setattr(self.accelerator, "scaler", SimpleNamespace(state_dict=lambda: {"scale": 2.0}))
        kept.append(state_of(self))
        monkeypatch.setattr(self.accelerator, "scaler", None)
        return kept[-1]

    monkeypatch.setattr(ResumableTrainer, "_state", with_scaler)
    interrupted(tiny_bert, tmp_path, 2)
    assert [state.record["scaler"] for state in kept] == [{"scale": 2.0}] * 2

    trainer = ResumableTrainer.__new__(ResumableTrainer)
    trainer._resumed = kept[-1]
    trainer.accelerator = SimpleNamespace(scaler=SimpleNamespace(load_state_dict=loaded.append))
    trainer._load_scaler(None)  # nothing is resumed
    assert loaded == []
    trainer._load_scaler("folder")
    assert loaded == [{"scale": 2.0}]


# --- random states of devices ---------------------------------------------------------------------


def test_random_states_of_all_gpus_are_kept_and_put_back(monkeypatch):
    put_back = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [torch.tensor([5]), torch.tensor([6])])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", put_back.append)
    states = resumable_training._rng_state("rng", torch.device("cuda"))
    assert {name: states[name].tolist() for name in states if name != "rng.cpu"} == {"rng.0": [5], "rng.1": [6]}
    drawn = torch.rand(3)
    resumable_training._set_rng_state({**states, "rng.2": torch.tensor([7])}, "rng", torch.device("cuda"))
    assert [[state.tolist() for state in of_devices] for of_devices in put_back] == [[[5], [6]]]
    assert torch.equal(torch.rand(3), drawn)


def test_random_state_of_another_device_is_kept_and_put_back(monkeypatch):
    put_back = []
    module = SimpleNamespace(get_rng_state=lambda: torch.tensor([5]), set_rng_state=put_back.append)
    monkeypatch.setattr(torch, "get_device_module", lambda device: {"mps": module}[device.type])
    states = resumable_training._rng_state("at_begin", torch.device("mps"))
    assert states.keys() == {"at_begin.cpu", "at_begin.0"}
    drawn = torch.rand(3)
    resumable_training._set_rng_state(states, "at_begin", torch.device("mps"))
    assert [state.tolist() for state in put_back] == [[5]]
    assert torch.equal(torch.rand(3), drawn)


def test_random_state_of_the_processor_is_all_there_is_without_a_device(monkeypatch):
    monkeypatch.delattr(torch, "get_device_module")
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", None)
    states = resumable_training._rng_state("rng", torch.device("cpu"))
    assert states.keys() == {"rng.cpu"}
    drawn = torch.rand(3)
    resumable_training._set_rng_state(states, "rng", torch.device("cpu"))
    assert torch.equal(torch.rand(3), drawn)


# --- states on disk -------------------------------------------------------------------------------

STATE = TrainingState({"weights": torch.arange(3.0)}, {"loss": 0.25})


def test_state_is_read_as_it_was_written(tmp_path):
    said = []
    states_in(tmp_path).save(7, STATE)
    tensors, record = states_in(tmp_path, log=said.append).load()
    assert tensors["weights"].tolist() == [0.0, 1.0, 2.0]
    assert record == {"loss": 0.25}
    assert len(said) == 1 and "goes on after step 7 of" in said[0]


def test_what_is_said_of_states_names_them(tmp_path):
    said = []
    good, damaged = (states_in(tmp_path / name).save(7, STATE) for name in ("good", "damaged"))
    flipped = bytearray(damaged.read_bytes())
    flipped[-1] ^= 1
    damaged.write_bytes(flipped)
    states_in(tmp_path / "good", log=said.append).load()
    states_in(tmp_path / "damaged", log=said.append).load()
    states_in(tmp_path / "good", key="other", log=said.append).load()
    assert said == [
        "was interrupted; goes on after step 7 of its training",
        f"{damaged.name} is damaged: its SHA-256 is not the one in its name; not used",
        f"{good.name} is of another configuration; not used",
    ]
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_latest_of_several_states_is_the_one_of_the_most_steps(tmp_path):
    """Not the first or the last by name: a run that was killed while it removed the earlier ones left them all."""
    aside = tmp_path / "aside"
    aside.mkdir()
    for step in (9, 10, 11, 2):
        shutil.move(states_in(tmp_path).save(step, TrainingState(STATE.tensors, {"step": step})), aside)
    shutil.copytree(aside, tmp_path / "states", dirs_exist_ok=True)
    assert states_in(tmp_path).load().record == {"step": 11}
    states_in(tmp_path).clear()
    assert list((tmp_path / "states").iterdir()) == []


def test_only_the_latest_state_is_kept(tmp_path):
    for step in (9, 10, 11):
        kept = states_in(tmp_path).save(step, STATE)
    assert [file.name for file in (tmp_path / "states").iterdir()] == [kept.name]


def test_earlier_state_is_used_where_the_later_one_is_damaged(tmp_path):
    saved = states_in(tmp_path).save(9, STATE)
    aside = shutil.copy(saved, tmp_path)
    later = states_in(tmp_path).save(10, TrainingState(STATE.tensors, {"loss": 0.125}))
    shutil.copy(aside, saved)
    content = bytearray(later.read_bytes())
    content[-1] ^= 1
    later.write_bytes(content)
    said = []
    assert states_in(tmp_path, log=said.append).load().record == {"loss": 0.25}
    assert "step_10-" in said[0] and "damaged" in said[0] and "not used" in said[0]
    assert "goes on after step 9" in said[1]
    assert not later.exists()


@pytest.mark.parametrize("size", [0, 5, -1])
def test_truncated_state_is_not_used(tmp_path, size):
    saved = states_in(tmp_path).save(9, STATE)
    saved.write_bytes(saved.read_bytes()[:size])
    said = []
    assert states_in(tmp_path, log=said.append).load() is None
    assert "damaged" in said[0] and len(said) == 1


def test_half_written_state_is_not_used(tmp_path):
    saved = states_in(tmp_path).save(9, STATE)
    saved.rename(tmp_path / "states" / ".step_9.partial")
    assert states_in(tmp_path).load() is None
    assert not list((tmp_path / "states").iterdir())


def test_state_of_another_training_is_not_used(tmp_path):
    states_in(tmp_path, key="other").save(9, STATE)
    said = []
    assert states_in(tmp_path, log=said.append).load() is None
    assert "another configuration" in said[0]


def test_state_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    saved = states_in(tmp_path).save(9, STATE)

    def full(tensors, file, metadata):
        file.write_bytes(b"half")
        raise resumable_training.SafetensorError("No space left on device")

    monkeypatch.setattr(resumable_training, "save_file", full)
    with pytest.raises(OSError, match="No space left") as error:
        states_in(tmp_path).save(10, STATE)
    partial = tmp_path / "states" / ".step_10.partial"
    assert str(error.value) == f"{partial}: expected to write weights there; No space left on device"
    assert list((tmp_path / "states").iterdir()) == [saved]


def test_states_are_saved_as_often_as_their_cost_allows(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(resumable_training.time, "monotonic", lambda: now[0])
    states = TrainingStates(tmp_path / "states", "key", seconds=60)
    now[0] += 59
    assert not states.is_due()
    now[0] += 1
    assert states.is_due()

    def slow(tensors, file, metadata):
        file.write_bytes(b"")
        now[0] += 10

    monkeypatch.setattr(resumable_training, "save_file", slow)
    states.save(1, STATE)
    now[0] += 199  # ten seconds are a twentieth of two hundred
    assert not states.is_due()
    now[0] += 1
    assert states.is_due()


@pytest.mark.parametrize(("seconds", "pause"), [(None, 60), (5, 5), (0, 0)])
def test_first_state_is_saved_after_a_minute_unless_told_otherwise(tmp_path, monkeypatch, seconds, pause):
    now = [100.0]
    monkeypatch.setattr(resumable_training.time, "monotonic", lambda: now[0])
    states = TrainingStates(tmp_path / "states", "key", seconds=seconds)
    now[0] += pause - 0.5
    assert not states.is_due()
    now[0] += 0.5
    assert states.is_due()


def test_training_that_fails_for_good_leaves_no_state(tiny_bert, tmp_path):
    with pytest.raises(FloatingPointError):
        run(tiny_bert, tmp_path / "model", states_in(tmp_path), learning_rate=1e30, head_learning_rate=1e30)
    assert not list((tmp_path / "states").iterdir())


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_loss_that_is_no_number_stops_a_run_with_advice(loss):
    arguments, state = SimpleNamespace(learning_rate=3e-5), SimpleNamespace(epoch=1.25)
    with pytest.raises(FloatingPointError) as error:
        FiniteLoss().on_log(arguments, state, None, logs={"loss": loss})
    assert str(error.value) == (
        f"expected a finite loss, found {loss} in epoch 1.25; try a learning_rate below 3e-05, or warmup_steps"
    )


@pytest.mark.parametrize("logs", [None, {}, {"train_runtime": float("nan")}, {"loss": 1e30}])
def test_log_without_a_loss_or_with_a_finite_one_stops_nothing(logs):
    FiniteLoss().on_log(None, None, None, logs=logs)
