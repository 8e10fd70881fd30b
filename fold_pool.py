"""Make folds one after the other, several at once on this machine, or on a cluster."""

import contextlib
import dataclasses
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

import joblib
import torch

from fold_making import FoldMaking, FoldPlan
from fold_store import Fold, unfinished_folder
from fold_worker import FoldJob, FoldProcesses
from progress import ProgressBoard, ProgressLine
from qa_trainer import QATrainer

BACKENDS = {"ray": "RAY_ADDRESS", "dask": "DASK_SCHEDULER_ADDRESS"}
_MOST_LOST_WORKERS = 3

_Outcome = tuple[list[str], Exception | None]  # what a fold said, and what was raised


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

    def folds(
        self, plans: Sequence[FoldPlan], examples: list[dict], trainer: QATrainer, log: Callable[[str], None]
    ) -> list[Fold]:
        """Return the folds, in the order of their plans; those that are not finished are made.

        Raises
        ------
        Exception
            What the making of a fold raises. Finished folds are kept.
        """
        gpus = _visible_gpus()
        # Without a process of its own, each fold would leave something behind in a GPU's memory.
        is_here = self.n_jobs == 1 or (self.n_jobs is None and not gpus)
        if self.parallel_backend is None and is_here:
            with _threads(self.threads_per_fold):
                return [FoldMaking(plan, examples, trainer, log, ProgressLine()).fold() for plan in plans]

        made = {plan.fold_index: FoldMaking(plan, examples, trainer, log, ProgressLine()).finished() for plan in plans}
        # A run that died at its very end has left the place behind where it made the fold.
        missing = [plan for plan in plans if made[plan.fold_index] is None or unfinished_folder(plan.folder).exists()]
        if missing:
            description = trainer.description()
            with ProgressBoard([plan.progress_file for plan in missing], log) as board:
                if self.parallel_backend is None:
                    self._make_here(missing, description, examples, gpus, board.log)
                else:
                    self._make_on_cluster(missing, description, examples, board.log)
        for plan in missing:
            making = FoldMaking(plan, examples, trainer, _unsaid, ProgressLine())
            made[plan.fold_index] = making.finished()
            if made[plan.fold_index] is None:
                raise FileNotFoundError(
                    f"{plan.folder}: expected the fold that another process has just made, found none that is whole; "
                    "folds_dir must be a folder that all machines share"
                )
        return [made[plan.fold_index] for plan in plans]

    def _make_here(
        self,
        plans: Sequence[FoldPlan],
        trainer: dict,
        examples: list[dict],
        gpus: Sequence[str],
        log: Callable[[str], None],
    ) -> None:
        room = len(gpus) or joblib.cpu_count()
        n_jobs = min(room if self.n_jobs in (None, -1) else self.n_jobs, len(plans))
        # Never more than a serial run would use: OMP_NUM_THREADS and cgroups limit that.
        share = min(max(1, joblib.cpu_count() // n_jobs), torch.get_num_threads())
        places: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for number in range(n_jobs):
            places.put(gpus[number % len(gpus)] if gpus else None)

        with FoldProcesses() as processes:

            def make(plan: FoldPlan) -> None:
                place = places.get()
                try:
                    job = _job(plan, trainer, examples, self.threads_per_fold or share)
                    processes.run(job, log, place)
                finally:
                    places.put(place)

            # Threads are enough to wait for processes.
            joblib.Parallel(n_jobs=n_jobs, backend="threading")(joblib.delayed(make)(plan) for plan in plans)

    def _make_on_cluster(
        self, plans: Sequence[FoldPlan], trainer: dict, examples: list[dict], log: Callable[[str], None]
    ) -> None:
        num_threads = self.threads_per_fold or torch.get_num_threads()
        name, _, address = self.parallel_backend.partition(":")
        over = threading.Event()
        with {"ray": _ray, "dask": _dask}[name](address, num_threads) as (room, run):
            wanted = room if self.n_jobs in (None, -1) else self.n_jobs

            def make(plan: FoldPlan) -> None:
                job = _job(plan, trainer, examples, num_threads)
                for loss in range(1, _MOST_LOST_WORKERS + 1):
                    try:
                        lines, error = run(job)
                        break
                    except _LostWorker as lost:
                        if over.is_set():
                            return
                        if loss == _MOST_LOST_WORKERS:
                            raise RuntimeError(
                                f"{plan.title}: expected the {name} cluster to make it, found that it lost the worker "
                                f"that made it {loss} times, the last time: {lost}. Finished folds, and what was last "
                                "saved of others, are kept"
                            ) from lost
                        log(f"{plan.title}: the {name} cluster lost the worker that made it ({lost}); doing it again")
                for line in lines:
                    log(line)
                if error is not None:
                    raise error

            # Threads are enough to wait. joblib's own backends for clusters would make a fold that is left alone on
            # this machine (Ray), or more at once than n_jobs (Dask).
            try:
                joblib.Parallel(n_jobs=min(wanted, room, len(plans)), backend="threading")(
                    joblib.delayed(make)(plan) for plan in plans
                )
            finally:
                over.set()


def check_n_jobs(value: object) -> str | None:
    """Return what was expected, or None if the value will do."""
    good = value is None or (isinstance(value, int) and not isinstance(value, bool) and (value == -1 or value >= 1))
    return None if good else "an integer of at least 1, -1 for as many as there is room for, or None"


def check_threads(value: object) -> str | None:
    """Return what was expected, or None if the value will do."""
    good = value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
    return None if good else "an integer of at least 1, or None"


def check_backend(value: object) -> str | None:
    """Return what was expected, or None if the value will do."""
    good = value is None or (isinstance(value, str) and value.partition(":")[0] in BACKENDS)
    return None if good else '"ray" or "dask", with or without ":" and the cluster\'s address, or None'


def _job(plan: FoldPlan, trainer: dict, examples: list[dict], num_threads: int) -> FoldJob:
    # Workers have working directories of their own.
    plan = dataclasses.replace(plan, folder=plan.folder.absolute())
    return FoldJob(plan, trainer, examples, num_threads)


class _LostWorker(Exception):
    """Says that a part of the cluster went away with what it was doing."""


def _make_remotely(job: FoldJob) -> _Outcome:
    """Make a fold on a worker of a cluster; return what it said, and what was raised.

    The error is returned, so that it cannot be taken for one of the cluster.
    """
    lines: list[str] = []
    try:
        with FoldProcesses() as processes:
            processes.run(job, lines.append)
    except Exception as error:
        return lines, error
    return lines, None


@contextlib.contextmanager
def _ray(address: str, num_threads: int) -> Iterator[tuple[int, Callable[[FoldJob], _Outcome]]]:
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
        needs = {"num_cpus": num_threads}
        if ray.cluster_resources().get("GPU"):
            needs["num_gpus"] = 1
        names = {"num_cpus": "CPU", "num_gpus": "GPU"}
        room = sum(
            min(int(node["Resources"].get(names[kind], 0) // count) for kind, count in needs.items())
            for node in ray.nodes()
            if node["Alive"]
        )
        if room < 1:
            raise ValueError(
                f"threads_per_fold: expected at most the cores of the cluster's largest machine, found {num_threads}"
            )
        # Ray would do it again unsaid.
        make_remotely = ray.remote(**needs, max_retries=0)(_make_remotely)
        begun = []

        def run(job: FoldJob) -> _Outcome:
            begun.append(make_remotely.remote(job))
            try:
                return ray.get(begun[-1])
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                raise _LostWorker(str(error).partition("\n")[0]) from error

        try:
            yield room, run
        finally:
            for reference in begun:
                ray.cancel(reference, force=True)


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextlib.contextmanager
def _dask(address: str, num_threads: int) -> Iterator[tuple[int, Callable[[FoldJob], _Outcome]]]:
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

        def run(job: FoldJob) -> _Outcome:
            # The scheduler gives it to another worker by itself if one dies, a few times.
            future = client.submit(_make_remotely, job, pure=False)
            begun.append(future)
            try:
                return future.result()
            except (distributed.KilledWorker, distributed.CommClosedError, CancelledError) as error:
                raise _LostWorker(str(error).partition("\n")[0]) from error

        try:
            yield room, run
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


def _unsaid(text: str) -> None:
    pass
