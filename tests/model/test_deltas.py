"""What training has changed: rounded by hand, rebuilt, and refused where it does not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from span_label_errors.model.checkpoints import resolve_checkpoint
from span_label_errors.model.deltas import add_delta, delta_between, packed, unpacked
from span_label_errors.model.network import BertForSpanClassification, load_network

LABEL_MAP = {"O": 0, "ANS": 1}
MATRIX = "bert.encoder.layer.0.output.dense.weight"  # of shape (32, 64): 32 blocks
BIAS, HEAD = "bert.encoder.layer.0.output.dense.bias", "classifier.weight"
HALF_PRECISION = 2**-11  # a number in float16 is off by at most this share of itself
SMALLEST = 2**-24  # number above 0 in float16


def rounded_again(difference: np.ndarray) -> np.ndarray:
    """A slow reference: each block of 64 weights, one weight after the other."""
    flat = [float(weight) for weight in difference.ravel()]
    found = []
    for start in range(0, len(flat), 64):
        block = flat[start : start + 64]
        step = float(np.float16(np.float32(max(abs(weight) for weight in block)) / np.float32(7)))
        for weight in block:
            level = 0 if step == 0 else min(7, max(-7, round(np.float32(weight) / np.float32(step))))
            found.append(level * step)
    return np.array(found, dtype=np.float32).reshape(difference.shape)


# Numbers


def test_block_is_packed_as_by_hand():
    """The largest of 3.5 makes a step of 0.5; levels are stored with 7 added, two a byte, the first in the low bits."""
    difference = torch.zeros(1, 64)
    difference[0, :6] = torch.tensor([3.5, -3.5, 0.5, -1.0, 0.2, 0.3])
    nibbles, scales = packed(difference)
    # Levels 7, -7, 1, -2, 0.4 and 0.6 of a step, then zeros: 14, 0, 8, 5, 7, 8, 7, 7, ...
    assert nibbles.tolist() == [[14, 8 + 5 * 16, 7 + 8 * 16, *[7 + 7 * 16] * 29]]
    assert (nibbles.dtype, scales.dtype, scales.tolist()) == (torch.uint8, torch.float16, [[0.5]])
    assert unpacked(nibbles, scales, torch.Size([1, 64]))[0, :7].tolist() == [3.5, -3.5, 0.5, -1.0, 0.0, 0.5, 0.0]


def test_last_block_may_be_short_and_each_has_its_own_step():
    """5 × 13 weights are a block of 64 and one of 1, whose step is its own seventh."""
    difference = torch.full((5, 13), 7.0)
    difference[4, 12] = -0.875
    nibbles, scales = packed(difference)
    assert (nibbles.shape, scales.tolist()) == ((2, 32), [[1.0], [0.125]])
    assert torch.equal(unpacked(nibbles, scales, difference.shape), difference)


@pytest.mark.parametrize("shape", [(1, 1), (3, 21), (8, 8), (5, 13), (2, 3, 50)])
def test_each_weight_is_off_by_at_most_half_a_step(shape):
    generator = np.random.default_rng(len(shape))
    difference = generator.normal(0, 0.02, shape).astype(np.float32)
    nibbles, scales = packed(torch.from_numpy(difference))
    found = unpacked(nibbles, scales, torch.Size(shape)).numpy()
    np.testing.assert_array_equal(found, rounded_again(difference))
    steps = np.repeat(scales.float().numpy().ravel(), 64)[: difference.size].reshape(shape)
    # A step that float16 rounds down leaves the largest weight a little beyond seven steps.
    assert (np.abs(found - difference) <= steps * max(0.5, 7 * HALF_PRECISION) * 1.0001).all()
    assert np.abs(found - difference).max() > 0 or difference.size == 1


def test_no_difference_stays_none():
    nibbles, scales = packed(torch.zeros(2, 64))
    assert (set(nibbles.ravel().tolist()), scales.tolist()) == ({7 + 7 * 16}, [[0.0], [0.0]])
    assert not unpacked(nibbles, scales, torch.Size([2, 64])).any()


@pytest.mark.parametrize("largest", [1e-30, 3 * SMALLEST, 7 * SMALLEST, 10.4 * SMALLEST])
def test_difference_too_small_for_float16_is_off_by_less_than_its_smallest_numbers(largest):
    """Steps there are multiples of 2^-24, rounded by at most half of it, seven times."""
    difference = torch.linspace(-largest, largest, 64)[None]
    found = unpacked(*packed(difference), difference.shape)
    assert found.isfinite().all()
    assert (found - difference).abs().max() <= 3.5 * SMALLEST * 1.001


@pytest.mark.parametrize("wrong", [1e6, float("inf"), float("nan")])
def test_difference_that_no_step_can_tell_is_refused(wrong):
    difference = torch.zeros(1, 64)
    difference[0, 3] = wrong
    with pytest.raises(ValueError, match="expected differences that a step in float16 can tell, found"):
        packed(difference)


# Networks


@pytest.fixture
def base(tiny_bert) -> BertForSpanClassification:
    return load_network(resolve_checkpoint(tiny_bert), LABEL_MAP, seed=0)


@pytest.fixture
def trained(base, tiny_bert) -> BertForSpanClassification:
    """The tiny BERT with one matrix, one bias and the head changed."""
    network = load_network(resolve_checkpoint(tiny_bert), LABEL_MAP, seed=1)
    generator = torch.Generator().manual_seed(0)
    weights = network.state_dict()
    for name in (MATRIX, BIAS):
        weights[name] += torch.normal(0, 0.01, weights[name].shape, generator=generator)
    return network


@pytest.fixture
def file(base, trained, tmp_path) -> Path:
    save_file(delta_between(base.state_dict(), trained.state_dict()), tmp_path / "delta.safetensors")
    return tmp_path / "delta.safetensors"


def test_delta_holds_the_head_and_what_has_changed_alone(file):
    delta = load_file(file)
    assert {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in delta.items()} == {
        f"{MATRIX}.int4": ((32, 32), "torch.uint8"),
        f"{MATRIX}.scales": ((32, 1), "torch.float16"),
        BIAS: ((32,), "torch.float32"),
        HEAD: ((2, 32), "torch.float32"),
        "classifier.bias": ((2,), "torch.float32"),
    }


def test_delta_gives_the_base_the_weights_of_the_trained_network(base, trained, file):
    expected = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    before = base.state_dict()[MATRIX].clone()
    difference = (expected[MATRIX] - before).numpy()
    add_delta(base, file)
    for name, tensor in base.state_dict().items():
        if name == MATRIX:
            np.testing.assert_array_equal(tensor, before + torch.from_numpy(rounded_again(difference)))
        else:
            assert torch.equal(tensor, expected[name]), name


def test_head_may_be_left_out(base, trained, file):
    head = base.classifier.weight.clone()
    add_delta(base, file, leave_out=("classifier.weight", "classifier.bias"))
    assert torch.equal(base.classifier.weight, head)
    assert torch.equal(base.state_dict()[BIAS], trained.state_dict()[BIAS])


DAMAGE = {
    "another shape": ({HEAD: torch.zeros(3, 32)}, r"that fit .*'classifier.weight'.*shape \(3, 32\)"),
    "another name": ({"bert.encoder.layer.9.bias": torch.zeros(2)}, "that fit .*'bert.encoder.layer.9.bias'"),
    "no scales": ({f"{MATRIX}.scales": None}, rf"that fit .*'{MATRIX}\.int4'"),
    "no levels": ({f"{MATRIX}.int4": None}, rf"that fit .*'{MATRIX}\.scales'"),
    "one scale for all": ({f"{MATRIX}.scales": torch.ones(1, 1).half()}, r"that fit .*levels and scales"),
    "too many blocks": ({f"{MATRIX}.int4": torch.zeros(33, 32, dtype=torch.uint8)}, "that fit .*levels and scales"),
    "too few blocks": ({f"{MATRIX}.int4": torch.zeros(31, 32, dtype=torch.uint8)}, "that fit .*levels and scales"),
    "wider levels": ({f"{MATRIX}.int4": torch.zeros(32, 32, dtype=torch.int32)}, "that fit .*levels and scales"),
    "no head": ({HEAD: None}, r"expected the head .*classifier\.weight.*make the reader again"),
}


@pytest.mark.parametrize(("changes", "message"), DAMAGE.values(), ids=DAMAGE)
def test_delta_of_another_network_is_refused(base, file, changes, message):
    tensors = {**load_file(file), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)
    with pytest.raises(ValueError, match=message) as caught:
        add_delta(base, file)
    assert str(caught.value).startswith(str(file)) and str(caught.value).endswith("make the reader again")


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_file_that_breaks_off_is_refused(base, file, size):
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"expected a complete safetensors file; .*; copy the reader again"):
        add_delta(base, file)
