"""What a training step is made of, by torch's profiler: kernels, and where the processor waits for the device."""

import functools
import math

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from .setting import Bench, synchronize
from .steps import COMPILED, EAGER, Stepping, changed

_FIRST, _STEPS = 4, 3  # profiled steps
_MOST_KERNELS = 15
# What PyTorch calls when it launches kernels, and when it waits for the device.
_LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def measure(bench: Bench) -> None:
    """Add rows of an eager and of a compiled step."""
    stepping = Stepping(bench)
    for variant, changes, needs_seconds in (("eager", EAGER, 15), ("compiled", COMPILED, 45)):
        profiled = functools.partial(_profiled, stepping, changes, variant)
        bench.rows.measure(needs_seconds, profiled, variant=variant, what="a step")


def _profiled(stepping: Stepping, changes: dict[str, object], variant: str) -> dict:
    """Add a row for each of the longest kernels, and return that of the whole step."""
    bench = stepping.bench
    on_cuda = stepping.device.type == "cuda"
    profiler = profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])], acc_events=True
    )

    def on_step(step: int, num_steps: int, loss: float | None) -> None:
        if step == _FIRST:
            synchronize()
            profiler.start()
        if step == _FIRST + _STEPS:
            synchronize()
            profiler.stop()

    batches = stepping.batches(bench.size.batch_size)
    with changed(changes):
        stepping.train(batches, on_step, epochs=math.ceil((_FIRST + _STEPS + 1) / len(batches)))
    events = profiler.key_averages()

    def of_step(names: tuple[str, ...]) -> float:
        return sum(event.count for event in events if event.key in names) / _STEPS

    # Operators have the time of their kernels, too.
    kernels = [event for event in events if event.device_type == (DeviceType.CUDA if on_cuda else DeviceType.CPU)]

    def microseconds(event) -> float:
        return event.self_device_time_total if on_cuda else event.self_cpu_time_total

    total = sum(map(microseconds, kernels))
    for event in sorted(kernels, key=microseconds, reverse=True)[:_MOST_KERNELS]:
        bench.rows.add(
                variant=variant, what=event.key[:120], ms=microseconds(event) / 1e3 / _STEPS,
                times=event.count / _STEPS, share=microseconds(event) / total,
            )  # fmt: skip
    return {
        "ms": total / 1e3 / _STEPS, "launches": of_step(_LAUNCHES), "waits": of_step(_WAITS),
        "copies": of_step(("cudaMemcpyAsync",)),
        "operators": sum(event.count for event in events if event.key.startswith("aten::")) / _STEPS,
    }  # fmt: skip
