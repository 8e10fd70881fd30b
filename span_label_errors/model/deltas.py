"""What training has changed in the weights of a checkpoint, small enough to ship.

A trained matrix is stored as its difference from the base's, in four bits a weight; every other trained tensor as it
is. That the difference of a fine-tuned model bears so few bits was shown by Liu et al. (2024, "BitDelta", arXiv
2402.10193). A scale for each block of weights keeps outliers apart, as in Dettmers et al. (2021, arXiv 2110.02861).
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from span_label_errors.model.checkpoints import HEAD_TENSORS

_BLOCK = 64  # weights that share a scale
_LARGEST = 7  # of the whole numbers from -7 to 7, which four bits hold
_PACKED, _SCALES = ".int4", ".scales"


def delta_between(base: Mapping[str, torch.Tensor], trained: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return, as tensors for a file, in what the `state_dict` of a trained network differs from that of its base."""
    delta = {}
    for name, weights in trained.items():
        if name in HEAD_TENSORS:
            delta[name] = weights
        elif torch.equal(weights, base[name]):
            continue
        elif weights.ndim < 2:
            delta[name] = weights
        else:
            delta[name + _PACKED], delta[name + _SCALES] = packed(weights - base[name])
    return {name: tensor.cpu().contiguous() for name, tensor in delta.items()}


def add_delta(network: nn.Module, file: Path, leave_out: Collection[str] = ()) -> None:
    """Give a network with the weights of the base those of the trained one.

    Parameters
    ----------
    network : Module
    file : Path
        A safetensors file of what `delta_between` returned.
    leave_out : collection of str
        Tensors that stay as they are: those of a head for other classes.

    Raises
    ------
    ValueError
        If the file is damaged, or is of another network.
    """
    try:
        delta = load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file}: expected a complete safetensors file; {error}; copy the reader again") from error
    if not delta.keys() >= HEAD_TENSORS:
        raise ValueError(
            f"{file}: expected the head of the trained network ({', '.join(sorted(HEAD_TENSORS))}) among the tensors, "
            "found none; make the reader again"
        )
    weights = network.state_dict()
    for stored_name, tensor in delta.items():
        name = stored_name.removesuffix(_PACKED)
        is_read_with_its_levels = stored_name.removesuffix(_SCALES) + _PACKED in delta
        if (stored_name.endswith(_SCALES) and is_read_with_its_levels) or name in leave_out:
            continue
        try:
            if stored_name.endswith(_PACKED):
                tensor = weights[name] + unpacked(tensor, delta[name + _SCALES], weights[name].shape)
            if tensor.shape != weights[name].shape:
                raise ValueError(f"shape {tuple(tensor.shape)}")
            weights[name].copy_(tensor)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{file}: expected tensors that fit the reader's base, found {stored_name!r} ({error!r}); "
                "make the reader again"
            ) from error


def packed(difference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a matrix to 15 levels in each block of 64 weights.

    Returns
    -------
    nibbles : Tensor of shape (blocks, 32), uint8
        Two weights a byte, the first in the low bits; the last block is filled up with zeros.
    scales : Tensor of shape (blocks, 1), float16
        The step between two levels of a block.

    Raises
    ------
    ValueError
        If a difference is too large for a step in float16, or not finite.
    """
    blocks = nn.functional.pad(difference.float().flatten(), (0, -difference.numel() % _BLOCK)).reshape(-1, _BLOCK)
    scales = (blocks.abs().amax(dim=1, keepdim=True) / _LARGEST).half()
    if not scales.isfinite().all():
        raise ValueError(f"expected differences that a step in float16 can tell, found {difference.abs().max().item()}")
    # What is too small for a step in float16 has not changed.
    steps = torch.where(scales > 0, scales.float(), torch.inf)
    levels = ((blocks / steps).round().clamp(-_LARGEST, _LARGEST) + _LARGEST).to(torch.uint8)
    return levels[:, ::2] | levels[:, 1::2] << 4, scales


def unpacked(nibbles: torch.Tensor, scales: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return what `packed` rounded a matrix of this shape to, float32.

    Raises
    ------
    ValueError
        If `packed` makes no such tensors of a matrix of this shape.
    """
    num_blocks = -(-shape.numel() // _BLOCK)
    expected = [((num_blocks, _BLOCK // 2), torch.uint8), ((num_blocks, 1), torch.float16)]
    found = [(tuple(tensor.shape), tensor.dtype) for tensor in (nibbles, scales)]
    if found != expected:
        raise ValueError(f"levels and scales {found} instead of {expected}")
    levels = torch.stack([nibbles & 15, nibbles >> 4], dim=-1).flatten(1)
    return ((levels.float() - _LARGEST) * scales.float()).flatten()[: shape.numel()].reshape(shape)
