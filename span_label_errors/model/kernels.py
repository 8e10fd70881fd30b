"""Which kernels compute attention, on the device and in the precision that a network runs in."""

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig

_PYTORCHS, _IN_FLOAT32 = "sdpa", "sdpa_in_float32"  # names of attention in transformers


def _attention_in_float32(module, query, key, value, attention_mask, **options):
    """PyTorch's attention in float32, whatever the matrix products around it are in; arguments as of any other."""
    pytorchs = AttentionInterface()[_PYTORCHS]
    with torch.autocast(query.device.type, enabled=False):
        return pytorchs(module, query.float(), key.float(), value.float(), attention_mask, **options)


AttentionInterface.register(_IN_FLOAT32, _attention_in_float32)
AttentionMaskInterface.register(_IN_FLOAT32, AttentionMaskInterface()[_PYTORCHS])


def choose_kernels_here(config: PreTrainedConfig) -> None:
    """Forget which attention kernels a configuration names: those of its author's GPU may not be here."""
    config._attn_implementation = None


def choose_attention(config: PreTrainedConfig, device: torch.device, precision: str) -> None:
    """Choose the attention of a network, of which this is the configuration, for a device and a precision.

    Backwards, PyTorch's attention takes a processor more than twice as long in bfloat16 as in float32. So with
    bfloat16 it stays in float32 there, which rounds less as well. Families with an attention of their own keep it. The
    choice is not saved with the network.
    """
    if device.type == "cpu" and precision == "bfloat16" and config._attn_implementation == _PYTORCHS:
        config._attn_implementation = _IN_FLOAT32
