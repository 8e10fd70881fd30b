"""Make folds one after the other, several at once on this machine, or on a cluster."""

import contextlib
import functools
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

import joblib
import torch

from span_label_errors.cross_validation.make import FoldMaking, FoldPlan
from span_label_errors.cross_validation.store import Fold, unfinished_folder
from span_label_errors.cross_validation.trainers import description
from span_label_errors.cross_validation.workers import FoldJob, FoldProcesses, WorkerDied
from span_label_errors.progress import ProgressLine, ProgressLines

BACKENDS = {"ray": "RAY_ADDRESS", "dask": "DASK_SCHEDULER_ADDRESS"}
MOST_DEATHS = 3

_Said = tuple[list[str], Exception | None]  # what a fold said, and what was raised
# Makes the fold of a job; gets what logs a line, and what shows how far the fold is.
_Run = Callable[[FoldJob, Callable[[str], None], Callable[[str], None]], None]


@dataclass(frozen=True)
class FoldPool:
    """Where folds are made, and how many at once; see `cross_validation.out_of_fold_predictions`.

    Raises
    ------
    ValueError
        If a number is out of range, or the backend is none of `BACKENDS`.
    """

    n_jobs: int | None = None
    threads_per_fold: int | None = None
    parallel_backend: str | None = None

    def __post_init__(self):
        problems = {
            "n_jobs": check_n_jobs(self.n_jobs),
            "threads_per_fold": check_threads(self.threads_per_fold),
            "parallel_backend": check_backend(self.parallel_backend),
        }
        for name, expected in problems.items():
            if expected:
                raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)!r}")

    def folds(self, plans: Sequence[FoldPlan], examples: list[dict], trainer, log: Callable[[str], None]) -> list[Fold]:
        """Return the folds, in the order of their plans; those that are not finished are made.

        Raises
        ------
        TypeError
            If there is a fold to make elsewhere, and the trainer is not one that another process would know.
        Exception
            What the making of a fold raises. Finished folds are kept.
        """
        gpus = _visible_gpus()
        # Without a process of its own, each fold would leave something behind in a GPU's memory.
        is_here = self.n_jobs == 1 or (self.n_jobs is None and not gpus)
        if self.parallel_backend is None and is_here:
            with _threads(self.threads_per_fold):
                return [FoldMaking(plan, examples, trainer, log, ProgressLine().update).fold() for plan in plans]

        made, missing = {}, []
        for plan in plans:
            making = FoldMaking(plan, examples, trainer, log)
            made[plan.fold_index] = making.finished()
            # A run that died at its very end has left the place behind where it made the fold.
            if made[plan.fold_index] is None or unfinished_folder(plan.folder).exists():
                missing.append(plan)
            else:
                making.say_found()
        if missing:
            shown = ProgressLines([plan.title for plan in missing], log)
            try:
                self._make(missing, description(trainer), examples, shown)
            finally:
                shown.clear()
        for plan in missing:
            made[plan.fold_index] = FoldMaking(plan, examples, trainer, log).finished()
            if made[plan.fold_index] is None:
                raise FileNotFoundError(
                    f"{plan.folder}: expected the fold that another process has just made, found none that is whole; "
                    "folds_dir must be a folder that all machines share"
                )
        return [made[plan.fold_index] for plan in plans]

    def _make(self, plans: Sequence[FoldPlan], trainer: dict, examples: list[dict], shown: ProgressLines) -> None:
        name, _, address = (self.parallel_backend or "here").partition(":")
        num_threads, over = self.threads_per_fold or torch.get_num_threads(), threading.Event()
        with {"here": _here, "ray": _ray, "dask": _dask}[name](address, num_threads) as (room, run):
            n_jobs = min(room if self.n_jobs in (None, -1) else self.n_jobs, len(plans))
            if name != "here":
                n_jobs = min(n_jobs, room)
            elif self.threads_per_fold is None:
                # Never more than a serial run would use: OMP_NUM_THREADS and cgroups limit that.
                num_threads = min(num_threads, max(1, joblib.cpu_count() // n_jobs))

            def make(plan: FoldPlan) -> None:
                job, show = FoldJob(plan, trainer, examples, num_threads), functools.partial(shown.update, plan.title)
                until_made(plan.title, lambda: run(job, shown.log, show), shown.log, over.is_set)

            # Threads are enough to wait. joblib's own backends for clusters would make a fold that is left alone on
            # this machine (Ray), or more at once than n_jobs (Dask).
            try:
                joblib.Parallel(n_jobs=n_jobs, backend="threading")(joblib.delayed(make)(plan) for plan in plans)
            finally:
                over.set()


def until_made(title: str, make: Callable, log: Callable[[str], None], is_over: Callable[[], bool]) -> None:
    """Make a fold; when its worker dies, say so and make it again, from its last saved state."""
    for death in range(1, MOST_DEATHS + 1):
        try:
            return make()
        except WorkerDied as died:
            if is_over():
                return None
            if death == MOST_DEATHS:
                raise RuntimeError(
                    f"{title}: expected a worker to make it, found that {MOST_DEATHS} died, the last time {died}. "
                    "Finished folds, and what was last saved of others, are kept. Is there enough memory for as many "
                    "folds at once? Try a smaller n_jobs"
                ) from died
            log(f"{title}: {died}; doing it again")


def check_n_jobs(value: object) -> str | None:
    """Return what was expected, or None if the value will do."""
    good = (type(value) is int and value == -1) or check_threads(value) is None
    return None if good else "an integer of at least 1, -1 for as many as there is room for, or None"


def check_threads(value: object) -> str | None:
    """Return what was expected, or None if the value will do."""
    good = value is None or (type(value) is int and value >= 1)
    return None if good else "an integer of at least 1, or None"


def check_backend(value: object) -> str | None:
    """Return what was expected, or None if the value will do."""
    good = value is None or (isinstance(value, str) and value.partition(":")[0] in BACKENDS)
    return None if good else '"ray" or "dask", with or without ":" and the cluster\'s address, or None'


@contextlib.contextmanager
def _here(address: str, num_threads: int) -> Iterator[tuple[int, _Run]]:
    """Yield how many folds this machine has room for at once, and what makes one in a process of its own."""
    gpus, busy, lock = _visible_gpus(), [], threading.Lock()
    with FoldProcesses() as processes:

        def run(job: FoldJob, log: Callable[[str], None], show: Callable[[str], None]) -> None:
            with lock:
                gpu = min(gpus, key=busy.count, default=None)
                busy.append(gpu)
            try:
                processes.run(job, log, show, gpu)
            finally:
                show("")
                with lock:
                    busy.remove(gpu)

        yield len(gpus) or joblib.cpu_count(), run


def _on_cluster(name: str, make: Callable[[FoldJob], _Said]) -> _Run:
    """Return what makes a fold with a function that has a worker of a cluster call `_make_remotely`."""

    def run(job: FoldJob, log: Callable[[str], None], show: Callable[..., None]) -> None:
        show(f"{job.plan.title} · on the {name} cluster", force=True)
        lines, error = make(job)
        for line in lines:
            log(line)
        if error is not None:
            raise error
        show(f"{job.plan.title} · finished", force=True)

    return run


def _make_remotely(job: FoldJob) -> _Said:
    """Make a fold on a worker of a cluster; an error is returned, so that it cannot be taken for one of the cluster."""
    lines: list[str] = []
    try:
        with FoldProcesses() as processes:
            processes.run(job, lines.append)
    except Exception as error:
        return lines, error
    return lines, None


@contextlib.contextmanager
def _ray(address: str, num_threads: int) -> Iterator[tuple[int, _Run]]:
    """Connect to a Ray cluster, and yield how many folds it has room for at once, and what makes a fold there."""
    import ray

    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            address = address or os.environ.get(BACKENDS["ray"], "auto")
            try:
                _check_reachable(address)
                ray.init(address, log_to_driver=False, logging_level="warning")
            except OSError as error:
                where = "this machine" if address == "auto" else address
                raise ConnectionError(
                    f"parallel_backend: expected a Ray cluster at {where}, found none ({error}); start one with "
                    "`ray start --head`, or give its address as 'ray:ADDRESS'"
                ) from error
            stack.callback(ray.shutdown)
        needs = {"CPU": num_threads} | ({"GPU": 1} if ray.cluster_resources().get("GPU") else {})
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = sum(min(int(node.get(kind, 0) // count) for kind, count in needs.items()) for node in nodes)
        if room < 1:
            raise ValueError(
                f"threads_per_fold: expected at most the cores of the cluster's largest machine, found {num_threads}"
            )
        # Ray would do it again unsaid.
        options = {"num_cpus": num_threads, "num_gpus": needs.get("GPU", 0), "max_retries": 0}
        make_remotely = ray.remote(**options)(_make_remotely)
        begun = []

        def make(job: FoldJob) -> _Said:
            begun.append(make_remotely.remote(job))
            try:
                return ray.get(begun[-1])
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                raise _lost("ray", error) from error

        try:
            yield room, _on_cluster("ray", make)
        finally:
            for reference in begun:
                ray.cancel(reference, force=True)


def _lost(name: str, error: Exception) -> WorkerDied:
    reason = str(error).partition("\n")[0]
    return WorkerDied(f"the {name} cluster lost the worker that made it ({reason})")


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextlib.contextmanager
def _dask(address: str, num_threads: int) -> Iterator[tuple[int, _Run]]:
    """Connect to a Dask cluster, and yield how many folds it has room for at once, and what makes a fold there."""
    import distributed

    with contextlib.ExitStack() as stack:
        try:
            client = distributed.default_client()
        except ValueError:
            address = address or os.environ.get(BACKENDS["dask"], "")
            if not address:
                # Client() would start a cluster of its own on this machine.
                raise ConnectionError(
                    "parallel_backend: expected the address of a Dask cluster, found none; give it as "
                    f"'dask:tcp://HOST:PORT' or in {BACKENDS['dask']}, or make a distributed.Client first"
                ) from None
            try:
                client = stack.enter_context(distributed.Client(address))
            except OSError as error:
                raise ConnectionError(
                    f"parallel_backend: expected a Dask scheduler at {address}, found none ({error}); start one with "
                    "`dask scheduler`, and workers with `dask worker`"
                ) from error
        room = len(client.scheduler_info(n_workers=-1)["workers"])
        if not room:
            raise ConnectionError(f"parallel_backend: expected workers at {client.scheduler.address}, found none")
        begun = []

        def make(job: FoldJob) -> _Said:
            # The scheduler gives it to another worker by itself if one dies, a few times.
            future = client.submit(_make_remotely, job, pure=False)
            begun.append(future)
            try:
                return future.result()
            except (distributed.KilledWorker, distributed.CommClosedError, CancelledError) as error:
                raise _lost("dask", error) from error

        try:
            yield room, _on_cluster("dask", make)
        finally:
            client.cancel(begun)


@contextlib.contextmanager
def _threads(num_threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if not torch.cuda.is_available():
        return []
    named, count = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
    # Those after one that does not exist are not seen.
    return named.split(",")[:count] if named else [str(index) for index in range(count)]
