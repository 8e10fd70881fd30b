"""Which kernels a network runs: those of attention and matrix products, and its layers compiled into few.

Nothing of this is saved with a network, and none of it changes its results but by rounding. What an accelerator takes
is chosen so that the processor need not wait for it within a step, and can prepare the next one.
"""

import functools
import importlib
import importlib.util
import os
import platform
import shutil
import sysconfig
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel

from span_label_errors.model.encoders import has_dropout, layers_of

# Training steps from which compiling pays: it takes 20 to 40 seconds (an estimate: it was not measured on a GPU).
STEPS_WORTH_COMPILING = 2000
# What the masked kernels of attention want the length of a padded batch to be a multiple of; else they copy the mask.
_MULTIPLE_ON_ACCELERATOR = 8
# Whether training puts the windows of a batch end to end where it can, instead of padding them. Off until
# benchmarks/gpu has shown that it pays.
PACKS_WINDOWS = False
# Families whose positions begin at 0, and whose layers see whole windows with as many keys as queries.
_FAMILIES_THAT_PACK = ("bert", "electra", "distilbert", "albert", "nomic_bert")
_PYTORCHS, _IN_FLOAT32, _ALWAYS_MASKED, _PACKED = "sdpa", "sdpa_in_float32", "sdpa_always_masked", "varlen_packed"


def _attention_in_float32(module, query, key, value, attention_mask, **options):
    """PyTorch's attention in float32, whatever the matrix products around it are in; arguments as of any other."""
    pytorchs = AttentionInterface()[_PYTORCHS]
    with torch.autocast(query.device.type, enabled=False):
        return pytorchs(module, query.float(), key.float(), value.float(), attention_mask, **options)


def _mask_of_any_batch(**options):
    """The mask, also of a batch without padding: the processor would have to wait for the accelerator to see that."""
    return AttentionMaskInterface()[_PYTORCHS](**{**options, "allow_is_bidirectional_skip": False})


def _attention_of_packed(module, query, key, value, attention_mask, *, cu_seq_lens_q, max_length_q, **_):
    """Attention within each of the windows that stand end to end in the only row of a batch."""
    if query.device.type != "cuda":
        windows = [slice(start, end) for start, end in pairwise(cu_seq_lens_q.tolist())]
        parts = [(query[:, :, window], key[:, :, window], value[:, :, window]) for window in windows]
        return torch.cat([functional.scaled_dot_product_attention(*part) for part in parts], 2).transpose(1, 2), None
    bounds, most = (cu_seq_lens_q, cu_seq_lens_q), (max_length_q, max_length_q)
    varlen_attn = torch.nn.attention.varlen.varlen_attn
    return varlen_attn(*(tensor[0].transpose(0, 1) for tensor in (query, key, value)), *bounds, *most)[None], None


AttentionInterface.register(_IN_FLOAT32, _attention_in_float32)
AttentionMaskInterface.register(_IN_FLOAT32, AttentionMaskInterface()[_PYTORCHS])
AttentionInterface.register(_ALWAYS_MASKED, AttentionInterface()[_PYTORCHS])
AttentionMaskInterface.register(_ALWAYS_MASKED, _mask_of_any_batch)
AttentionInterface.register(_PACKED, _attention_of_packed)
AttentionMaskInterface.register(_PACKED, lambda **_: None)


def choose_attention(config: PreTrainedConfig, device: torch.device, precision: str) -> None:
    """Choose the attention of a network, of which this is the configuration, for a device and a precision.

    Families that do not use PyTorch's attention keep their own. On a processor, PyTorch's takes more than twice as long
    backwards in bfloat16 as in float32, so it stays in float32 there, which rounds less as well. cuDNN's, which PyTorch
    prefers on some GPUs, prepares itself for each new shape of a batch, and windows of many lengths have hundreds.
    """
    if config._attn_implementation == _PYTORCHS:
        if device.type != "cpu":
            config._attn_implementation = _ALWAYS_MASKED
        elif precision == "bfloat16":
            config._attn_implementation = _IN_FLOAT32
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)


def choose_packing(config: PreTrainedConfig, device: torch.device, precision: str) -> bool:
    """Let a network take windows end to end, if it can and `PACKS_WINDOWS` says so, and return whether it does.

    The kernel computes in bfloat16 and knows no dropout.
    """
    fits = config.model_type in _FAMILIES_THAT_PACK and not has_dropout(config)
    if not (PACKS_WINDOWS and fits and device.type == "cuda" and precision == "bfloat16"):
        return False
    importlib.import_module("torch.nn.attention.varlen")  # takes seconds
    config._attn_implementation = _PACKED
    return True


def choose_products(network: PreTrainedModel, device: torch.device, precision: str) -> None:
    """Let the linear layers of a network's encoder multiply by oneDNN where that is faster than PyTorch's choice.

    On processors, PyTorch multiplies in float32 by MKL. On AMD's, that does without AVX-512: a core of EPYC's fifth
    generation makes 100 GFLOP/s by MKL and 210 by oneDNN, which PyTorch has as well.
    """
    if device.type == "cpu" and precision == "float32" and _is_amd_with_avx512():
        for module in network.base_model.modules():
            if type(module) is nn.Linear:
                module.forward = functools.partial(_multiply_by_onednn, module)


def _multiply_by_onednn(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    return _LinearByOnednn.apply(inputs, layer.weight, layer.bias)


class _LinearByOnednn(torch.autograd.Function):
    """PyTorch's own, but it keeps the inputs for the backward pass as they are, not once more in oneDNN's layout."""

    @staticmethod
    def forward(context, inputs, weight, bias):
        context.save_for_backward(inputs, weight)
        context.has_bias = bias is not None
        return torch.ops.aten.mkldnn_linear(inputs.to_mkldnn(), weight, bias).to_dense()

    @staticmethod
    def backward(context, of_outputs):
        (inputs, weight), of_outputs = context.saved_tensors, of_outputs.to_mkldnn()
        of_inputs = of_weight = of_bias = None
        if context.needs_input_grad[0]:
            of_inputs = torch.ops.aten.mkldnn_linear_backward_input(inputs.shape, of_outputs, weight).to_dense()
        if context.needs_input_grad[1]:
            of_weight, of_bias = torch.ops.aten.mkldnn_linear_backward_weights(
                of_outputs, inputs.to_mkldnn(), weight, context.has_bias
            )
        return of_inputs, of_weight, of_bias if context.has_bias else None


@functools.cache
def _is_amd_with_avx512() -> bool:
    file = Path("/proc/cpuinfo")
    described = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else platform.processor()
    return "AuthenticAMD" in described and torch.backends.cpu.get_cpu_capability() == "AVX512"


def padding_multiple(device: torch.device, max_positions: int) -> int:
    """Return what the length of a padded batch shall be a multiple of, for a model of so many positions."""
    # Padding has positions as well, and there may be none behind the last token.
    fits = max_positions % _MULTIPLE_ON_ACCELERATOR == 0
    return _MULTIPLE_ON_ACCELERATOR if device.type != "cpu" and fits else 1


def is_worth_compiling(config: PreTrainedConfig, device: torch.device, num_steps: int) -> bool:
    """Return whether a training of so many steps is faster with compiled layers, on a machine that can compile them.

    That needs Triton, a C compiler and Python's headers.
    """
    if (
        device.type != "cuda"
        or num_steps < STEPS_WORTH_COMPILING
        or config._attn_implementation not in (_ALWAYS_MASKED, _PACKED)
    ):
        return False
    has_compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    has_headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    return bool(has_compiler) and has_headers and importlib.util.find_spec("triton") is not None


def compile_layers(network: PreTrainedModel, backend: str = "inductor") -> None:
    """Let each layer run as few kernels, compiled when it is first called, for batches of any size.

    In place: weights keep their names.
    """
    for layer in layers_of(network.base_model):
        layer.compile(dynamic=True, backend=backend)
