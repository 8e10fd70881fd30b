"""Have folds made by the workers of a running cluster, of Ray or of Dask."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

from span_label_errors.cross_validation.workers import FoldJob, WorkerDied, make_in_process

ADDRESS_VARIABLES = {"ray": "RAY_ADDRESS", "dask": "DASK_SCHEDULER_ADDRESS"}

_Made = tuple[list[str], Exception | None]  # the lines that a fold logged, and what was raised
_Submit = Callable[[FoldJob], _Made]  # has a fold made, or raises WorkerDied


@contextlib.contextmanager
def connect(backend: str, num_threads: int) -> Iterator[tuple[int, Callable]]:
    """Connect to a cluster, "ray" or "dask" with or without ":" and an address, for folds of `num_threads` cores.

    Yields how many folds the cluster can make at once, and a function that makes one there. It gets the FoldJob, what
    logs a line, and what shows progress. It raises WorkerDied, or what was raised there.
    """
    name, _, address = backend.partition(":")
    connect_to = {"ray": _ray, "dask": _dask}[name]
    with connect_to(address or os.environ.get(ADDRESS_VARIABLES[name], ""), num_threads) as (room, submit):

        def run(job: FoldJob, log: Callable[[str], None], show: Callable[[str], None]) -> None:
            show(f"{job.title} · on the {name} cluster")
            lines, error = submit(job)
            for line in lines:
                log(line)
            if error is not None:
                raise error
            show(f"{job.title} · finished")

        yield room, run


def _make(job: FoldJob) -> _Made:
    """Make a fold on a worker; return an error of the fold, so that it cannot be mistaken for one of the cluster."""
    lines: list[str] = []
    try:
        make_in_process(job, lines.append)
    except Exception as error:
        return lines, error
    return lines, None


def _worker_died(name: str, error: Exception) -> WorkerDied:
    return WorkerDied(f"the {name} cluster lost its worker ({str(error).partition(chr(10))[0]})")


@contextlib.contextmanager
def _ray(address: str, num_threads: int) -> Iterator[tuple[int, _Submit]]:
    import ray  # optional, as Dask is

    is_ours, begun = not ray.is_initialized(), []
    if is_ours:
        address = address or "auto"
        try:
            _check_reachable(address)
            ray.init(address, log_to_driver=False, logging_level="warning")
        except OSError as error:
            where = "this machine" if address == "auto" else address
            raise ConnectionError(
                f"parallel_backend: expected a Ray cluster at {where}, found none ({error}); start one with "
                "`ray start --head`, or give its address as 'ray:ADDRESS'"
            ) from error
    try:
        num_gpus = 1 if ray.cluster_resources().get("GPU") else 0
        needs = {"CPU": num_threads} | ({"GPU": 1} if num_gpus else {})
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = sum(min(int(node.get(kind, 0) // count) for kind, count in needs.items()) for node in nodes)
        if room < 1:
            raise ValueError(
                f"threads_per_fold: expected at most the cores of the cluster's largest machine, found {num_threads}"
            )
        # Ray itself would start it again without a line in the log.
        make = ray.remote(num_cpus=num_threads, num_gpus=num_gpus, max_retries=0)(_make)

        def submit(job: FoldJob) -> _Made:
            reference = make.remote(job)
            begun.append(reference)
            try:
                return ray.get(reference)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                raise _worker_died("ray", error) from error

        yield room, submit
    finally:
        for reference in begun:
            ray.cancel(reference, force=True)
        if is_ours:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextlib.contextmanager
def _dask(address: str, num_threads: int) -> Iterator[tuple[int, _Submit]]:
    import distributed

    # `num_threads` plays no part: there is room for one fold on each worker, whatever its cores.
    with contextlib.ExitStack() as stack:
        try:
            client = distributed.default_client()
        except ValueError:
            if not address:
                # Client() would start a cluster of its own on this machine.
                raise ConnectionError(
                    "parallel_backend: expected the address of a Dask cluster, found none; give it as "
                    f"'dask:tcp://HOST:PORT' or in {ADDRESS_VARIABLES['dask']}, or make a distributed.Client first"
                ) from None
            try:
                client = stack.enter_context(distributed.Client(address))
            except OSError as error:
                raise ConnectionError(
                    f"parallel_backend: expected a Dask scheduler at {address}, found none ({error}); start one with "
                    "`dask scheduler`, and workers with `dask worker`"
                ) from error
        room, begun = len(client.scheduler_info(n_workers=-1)["workers"]), []
        if not room:
            raise ConnectionError(f"parallel_backend: expected workers at {client.scheduler.address}, found none")
        stack.callback(client.cancel, begun)

        def submit(job: FoldJob) -> _Made:
            # If a worker dies, the scheduler gives the fold to another one by itself, a few times.
            future = client.submit(_make, job, pure=False)
            begun.append(future)
            try:
                return future.result()
            except (distributed.KilledWorker, distributed.CommClosedError, CancelledError) as error:
                raise _worker_died("dask", error) from error

        yield room, submit
