"""Trainings side by side on one GPU, as folds at once are: each in a process of its own."""

import functools
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier

from .setting import Bench, synchronize
from .steps import COMPILED, EAGER, Stepping, changed, fresh_memory

_TIMED_EPOCHS = 4  # long enough that a late start of one process does not show
_WAIT_SECONDS = 180  # until the last one is loaded and compiled
_VARIANTS = {"eager": (EAGER, 40), "compiled": (COMPILED, 75)}  # with the seconds that one takes at most
_barrier: Barrier


def measure(bench: Bench) -> None:
    """Add a row for each number of trainings at once."""
    # Made here, once: the processes would all make them.
    bench.checkpoint("base")
    bench.data_file(bench.size.pool)
    for variant, at_once in bench.size.at_once:
        bench.rows.measure(
            _VARIANTS[variant][1],
            functools.partial(_measured, bench, variant, at_once),
            variant=variant, batch_size=bench.size.batch_size, at_once=at_once,
        )  # fmt: skip


def _measured(bench: Bench, variant: str, at_once: int) -> dict:
    # A process that has used CUDA cannot be forked.
    context = multiprocessing.get_context("spawn")
    started = time.perf_counter()
    barrier = context.Barrier(at_once, timeout=_WAIT_SECONDS)
    with ProcessPoolExecutor(at_once, context, initializer=_keep, initargs=(barrier,)) as pool:
        futures = [pool.submit(_one, bench, variant) for _ in range(at_once)]
        found = [future.result() for future in futures]
    return {
        "tokens_a_second": sum(one["tokens"] / one["seconds"] for one in found),
        "ms_of_a_step_each": 1e3 * sum(one["seconds"] / one["steps"] for one in found) / at_once,
        "most_peak_GiB": max((one["peak_GiB"] for one in found if one["peak_GiB"] is not None), default=None),
        "until_all_were_done_s": time.perf_counter() - started,
    }


def _keep(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _one(bench: Bench, variant: str) -> dict:
    """Train, in a process of its own: tokens and seconds from when all of them are ready."""
    try:
        return _train_when_all_are_ready(bench, variant)
    except BaseException:
        # The others would wait for it.
        _barrier.abort()
        raise


def _train_when_all_are_ready(bench: Bench, variant: str) -> dict:
    stepping = Stepping(bench)
    batches = stepping.batches(bench.size.batch_size)
    times: list[float] = []

    def on_step(step: int, num_steps: int, loss: float | None) -> None:
        if step == len(batches):
            synchronize()
            _barrier.wait()
            times.append(time.perf_counter())
        if step == num_steps:
            synchronize()
            times.append(time.perf_counter())

    with (
        tempfile.TemporaryDirectory(dir=bench.work) as folder,
        changed(_VARIANTS[variant][0]),
        fresh_memory() as memory,
    ):
        stepping.train(batches, on_step, epochs=1 + _TIMED_EPOCHS, folder=folder)
        peak = memory()
    ready, done = times
    return {
        "tokens": _TIMED_EPOCHS * sum(stepping.tokens(batches)), "steps": _TIMED_EPOCHS * len(batches),
        "seconds": done - ready, "peak_GiB": peak,
    }  # fmt: skip
