"""Which of PyTorch's kernels of attention is fastest, with and without a mask, and what a new shape costs."""

import functools
import time
from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from .setting import Bench, synchronize

_DROPOUT = 0.1
_REFUSED = "No available kernel"  # as PyTorch says it
_SHORTER = (8, 16, 24)  # by so many tokens, a length is another one
# Flash attention takes no mask.
_MASKS = {
    "CUDNN_ATTENTION": (True, False), "EFFICIENT_ATTENTION": (True, False), "FLASH_ATTENTION": (False,),
    "MATH": (True, False),
}  # fmt: skip


def measure(bench: Bench) -> None:
    """Add a row for each kernel, with and without a mask, and for the kernel that PyTorch chooses."""
    device = bench.trainer().qa.device
    # A processor has no others.
    kernels = _MASKS if device.type == "cuda" else {"MATH": (True, False)}
    for name, masks in kernels.items():
        for masked in masks:
            bench.rows.measure(
                5, functools.partial(_with_kernel, bench, device, name, masked), kernel=name, mask=masked
            )
    # Last: a kernel prepares itself once for a shape, and this may be one of the above.
    for masked in (True, False):
        bench.rows.measure(
            5, functools.partial(_measured, bench, device, masked), kernel="PyTorch's choice", mask=masked
        )  # fmt: skip


def _with_kernel(bench: Bench, device: torch.device, name: str, masked: bool) -> dict:
    with sdpa_kernel([getattr(SDPBackend, name)]):
        try:
            return _measured(bench, device, masked)
        except RuntimeError as error:
            # Which kernels there are for what is a finding, too.
            if _REFUSED not in str(error):
                raise
            return {"refused": True}


def _measured(bench: Bench, device: torch.device, masked: bool) -> dict:
    length = bench.size.attention[2]
    first = _milliseconds(_call(bench, device, length, masked))
    new = [_milliseconds(_call(bench, device, length - less, masked)) for less in _SHORTER]
    call = _call(bench, device, length, masked)
    for _ in range(3):
        call()
    return {
        "ms": _milliseconds(call, bench.size.calls), "first_call_ms": first,
        "first_call_of_another_length_ms": sum(new) / len(new),
    }  # fmt: skip


def _call(bench: Bench, device: torch.device, length: int, masked: bool) -> Callable[[], None]:
    windows, heads, _, width = bench.size.attention
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    query, key, value = (
        torch.randn(windows, heads, length, width, device=device, dtype=dtype, requires_grad=True) for _ in range(3)
    )
    mask = None
    if masked:
        mask = torch.ones(windows, 1, length, length, dtype=torch.bool, device=device)
        mask[:, :, :, -2:] = False

    def call() -> None:
        scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=_DROPOUT).sum().backward()

    return call


def _milliseconds(call: Callable[[], None], calls: int = 1) -> float:
    synchronize()
    started = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize()
    return 1e3 * (time.perf_counter() - started) / calls
