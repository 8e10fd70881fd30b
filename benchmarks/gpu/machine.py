"""What is measured on."""

import os
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path

import torch

from .setting import Bench, matrix_rate, synchronize

_COPIED_BYTES = 2**28


def measure(bench: Bench) -> None:
    """Add a row for each property of the machine, and its rates."""
    qa = bench.trainer().qa
    device = qa.device
    for name, value in {**_properties(device), "precision of matrix products": qa.precision}.items():
        bench.rows.add(what=name, value=value)
    of_matrix = f"{bench.size.matrix} × {bench.size.matrix}, random numbers"
    bench.rows.measure(
        2,
        lambda: {"value": matrix_rate(device, bench.size.matrix) / 1e12},
        what=f"matrix product, TFLOP/s, {of_matrix}",
    )
    if device.type == "cuda":
        bench.rows.measure(2, lambda: {"value": _copy_rate(device) / 1e9}, what="copy from pinned memory, GB/s")


def _properties(device: torch.device) -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    cpu = re.search(r"model name\s*: (.+)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.exists() else None
    found: dict[str, object] = {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "threads of torch": torch.get_num_threads(),
        "Python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "tokenizers", "accelerate", "numpy")},
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "GPU": properties.name,
            "memory of the GPU, GiB": properties.total_memory / 2**30,
            "multiprocessors": properties.multi_processor_count,
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
        }
    return found


def _copy_rate(device: torch.device) -> float:
    source = torch.empty(_COPIED_BYTES, dtype=torch.uint8, pin_memory=True)
    source.to(device)
    synchronize()
    started = time.perf_counter()
    source.to(device, non_blocking=True)
    synchronize()
    return _COPIED_BYTES / (time.perf_counter() - started)
