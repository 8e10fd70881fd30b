"""Tests of what frozen layers say of windows: computed once, kept, and put in their place."""

import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from families import FAMILIES, make_checkpoint

from span_label_errors.model import trainer as trainer_module
from span_label_errors.model.checkpoints import resolve_checkpoint
from span_label_errors.model.frozen_outputs import FrozenLayers, KeptOutputs
from span_label_errors.model.network import freeze_layers, load_network
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
RECIPE = {"learning_rate": 1e-3, "per_device_train_batch_size": 4, "frozen_layers": 1, "dropout": 0.0}
NOT_A_PART = {"albert", "mpnet", "deberta-v2"}  # layers used several times, or that return more than vectors


def frozen_network(folder, **options):
    network = load_network(resolve_checkpoint(folder), LABEL_MAP, seed=1, dropout=0.0).train()
    freeze_layers(network, 1, **options)
    return network


def items_of(*lengths: int) -> list[dict[str, np.ndarray]]:
    return [{"input_ids": np.arange(5, 5 + length), "token_type_ids": np.zeros(length, int)} for length in lengths]


@pytest.mark.parametrize("family", FAMILIES)
def test_network_says_the_same_above_frozen_outputs(family, tmp_path):
    network = frozen_network(make_checkpoint(tmp_path, family))
    frozen = FrozenLayers.of(network, "float32")
    if family in NOT_A_PART:
        assert frozen is None
        return
    ids, mask = torch.zeros(2, 7, dtype=torch.long), torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    ids[0], ids[1, :4] = torch.arange(5, 12), torch.arange(5, 9)
    outputs = frozen.of_batch(items_of(7, 4))
    assert outputs.shape == (2, 7, network.config.hidden_size)
    assert not outputs[1, 4:].any()
    with torch.no_grad():
        expected, found = (network.encode(ids, mask, torch.zeros_like(ids), given) for given in (None, outputs))
    np.testing.assert_allclose(found[mask.bool()].numpy(), expected[mask.bool()].numpy(), rtol=1e-5, atol=2e-6)


def test_window_has_the_same_bytes_in_every_batch(tiny_bert):
    frozen = FrozenLayers.of(frozen_network(tiny_bert), "float32")
    together = frozen.of_batch(items_of(9, 5, 30))
    for row, length in enumerate((9, 5, 30)):
        assert torch.equal(together[row, :length], frozen.of_batch(items_of(length))[0])


def test_outputs_are_kept_for_equal_weights_only(tiny_bert, tmp_path):
    kept = KeptOutputs(tmp_path)
    network = frozen_network(tiny_bert)
    frozen = FrozenLayers.of(network, "float32", kept)
    before = frozen.of_batch(items_of(6, 8))
    with torch.no_grad():
        network.frozen_layers[0].output.dense.weight.mul_(2)
    # Behind its back: what it kept is found.
    assert torch.equal(frozen.of_batch(items_of(6, 8)), before)
    assert torch.equal(FrozenLayers.of(frozen_network(tiny_bert), "float32", kept).of_batch(items_of(8))[0], before[1])
    for changed in (FrozenLayers.of(network, "float32", kept), FrozenLayers.of(network, "bfloat16", kept)):
        assert not torch.equal(changed.of_batch(items_of(8))[0], before[1])


@pytest.mark.parametrize("limit", ["disk", "file"])
def test_what_finds_no_room_is_computed_again_with_the_same_bytes(limit, tiny_bert, tmp_path, monkeypatch):
    network = frozen_network(tiny_bert)
    first, second = (FrozenLayers.of(network, "float32").of_batch(items_of(length)) for length in (6, 8))
    if limit == "disk":
        # A quarter of what is free is enough for the first, and not for both.
        usage = SimpleNamespace(free=4 * first.nbytes)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    kept = KeptOutputs(tmp_path)
    frozen = FrozenLayers.of(network, "float32", kept)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == "file":
        resource.setrlimit(resource.RLIMIT_FSIZE, (first.nbytes, before[1]))
    try:
        for _ in range(2):
            for length, expected in ((6, first), (8, second)):
                assert torch.equal(frozen.of_batch(items_of(length)), expected)
        assert kept.num_bytes == first.nbytes
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_model_outlives_what_was_shared(tiny_bert, examples, tmp_path, long_enough):
    trainer = QATrainer(QA(tiny_bert), 48, LABEL_MAP)
    with trainer.sharing(tmp_path):
        with trainer.sharing(tmp_path):
            trainer.train(examples, tmp_path / "model", num_train_epochs=1, **RECIPE)
        trainer.train(examples, tmp_path / "model", num_train_epochs=1, **RECIPE)
        assert trainer.kept_outputs.num_bytes > 0
        model = trainer.load(tmp_path / "model")
        expected = model.predict_batch(examples)
    for ours, before in zip(model.predict_batch(examples), expected, strict=True):
        assert np.array_equal(ours.pred_probs, before.pred_probs)


def test_threads_predict_what_one_does(tiny_bert, examples, tmp_path, long_enough):
    model = train(tmp_path / "model", examples, tiny_bert)
    expected = [model.predict(example).pred_probs for example in examples]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(model.predict, examples * 5))
    for ours, alone in zip(found, expected * 5, strict=True):
        assert np.array_equal(ours.pred_probs, alone)


@pytest.mark.parametrize("changes", [{"num_layers": 0}, {"train_segments": True}])
def test_nothing_is_frozen_where_all_or_segments_are_trained(changes, tiny_bert):
    network = load_network(resolve_checkpoint(tiny_bert), LABEL_MAP, seed=1)
    freeze_layers(network, changes.pop("num_layers", 1), **changes)
    assert FrozenLayers.of(network, "float32") is None


@pytest.fixture
def long_enough(monkeypatch):
    """Take the short windows here for long ones."""
    monkeypatch.setattr(trainer_module, "SHORTEST_ON_AVERAGE", 0)


def train(folder, examples, tiny_bert, **changes) -> QA:
    trainer = QATrainer(QA(tiny_bert), 48, LABEL_MAP)
    trainer.train(examples, folder, num_train_epochs=2, seed=3, **{**RECIPE, **changes})
    return trainer.load(folder)


def test_training_and_prediction_above_kept_outputs_are_those_without(
    tiny_bert, examples, tmp_path, monkeypatch, long_enough
):
    found = train(tmp_path / "kept", examples, tiny_bert)
    monkeypatch.setattr(FrozenLayers, "of", classmethod(lambda cls, *arguments: None))
    expected = train(tmp_path / "not kept", examples, tiny_bert)
    for ours, theirs in zip(found.model.parameters(), expected.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(found.predict_batch(examples), expected.predict_batch(examples), strict=True):
        np.testing.assert_allclose(ours.pred_probs, theirs.pred_probs, rtol=0, atol=1e-5)


def test_dropout_in_frozen_layers_is_drawn_in_every_epoch(tiny_bert, examples, tmp_path, monkeypatch, long_enough):
    found = train(tmp_path / "a", examples, tiny_bert, dropout=0.3).model.classifier.weight
    monkeypatch.setattr(FrozenLayers, "of", classmethod(lambda cls, *arguments: None))
    assert torch.equal(train(tmp_path / "b", examples, tiny_bert, dropout=0.3).model.classifier.weight, found)


def test_folds_share_what_frozen_layers_say_and_the_tokens(tiny_bert, examples, tmp_path, long_enough):
    """A second training over the same windows computes no frozen layer, and tokenizes no text."""
    trainer = QATrainer(QA(tiny_bert), 48, LABEL_MAP)
    with trainer.sharing(tmp_path):
        first = trainer.train(examples, tmp_path / "first", num_train_epochs=1, **RECIPE)
        size, texts = trainer.kept_outputs.num_bytes, set(trainer.kept_tokens)
        assert texts == {example[name] for example in examples for name in ("question", "context")}
        assert size > 0
        trainer.train(examples, tmp_path / "second", num_train_epochs=1, **RECIPE)
        trainer.load(tmp_path / "second").predict_batch(examples)
        assert (trainer.kept_outputs.num_bytes, set(trainer.kept_tokens)) == (size, texts)
    trainer.train(examples, tmp_path / "alone", num_train_epochs=1, **RECIPE)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second", "alone")]
    assert weights[0] == weights[1] == weights[2]
    assert first.num_windows >= len(examples)


def test_short_windows_are_computed_in_batches(tiny_bert, examples, tmp_path):
    trainer = QATrainer(QA(tiny_bert), 48, LABEL_MAP)
    with trainer.sharing(tmp_path):
        trainer.train(examples, tmp_path / "model", num_train_epochs=1, **RECIPE)
        assert trainer.kept_outputs.num_bytes == 0
