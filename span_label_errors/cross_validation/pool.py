"""Make folds one after the other, several at once on this machine, or on a cluster."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import torch

from span_label_errors.cross_validation import clusters
from span_label_errors.cross_validation.fold_process import job_of
from span_label_errors.cross_validation.make import FoldMaking, FoldPlan
from span_label_errors.cross_validation.shared_examples import shared_examples
from span_label_errors.cross_validation.store import Fold
from span_label_errors.cross_validation.trainers import description, gpu_memory
from span_label_errors.cross_validation.workers import FoldJob, WorkerDied, make_in_process
from span_label_errors.progress import ProgressLine, ProgressLines

MOST_DEATHS = 3
# More folds at once on a GPU would hardly make it faster: three hide what each of them waits for.
MOST_FOLDS_ON_A_GPU = 3


@dataclass(frozen=True)
class FoldPool:
    """Where folds are made, and how many at once; see `out_of_fold.out_of_fold_predictions`."""

    n_jobs: int | None = None
    threads_per_fold: int | None = None
    parallel_backend: str | None = None

    def __post_init__(self):
        def check(name: str, expected: str, is_right: Callable[[object], bool]) -> None:
            value = getattr(self, name)
            if value is not None and not is_right(value):
                raise ValueError(f"{name}: expected {expected}, or None, found {value!r}")

        n_jobs = "an integer of at least 1, -1 for as many as there is room for"
        check("n_jobs", n_jobs, lambda value: type(value) is int and (value >= 1 or value == -1))
        check("threads_per_fold", "an integer of at least 1", lambda value: type(value) is int and value >= 1)
        backends = '"ray" or "dask", with or without ":" and the cluster\'s address'
        check("parallel_backend", backends, lambda value: str(value).partition(":")[0] in clusters.ADDRESS_VARIABLES)

    def folds(self, plans: Sequence[FoldPlan], examples: list[dict], trainer, log: Callable[[str], None]) -> list[Fold]:
        """Return the folds, in the order of their plans; those that are not finished are made.

        Raises TypeError if there is a fold to make elsewhere, and another process could not make the same trainer.
        What the making of a fold raises is a RuntimeError if that was in another process. Finished folds are kept.
        """
        # On a GPU, a fold in this process would leave some of the GPU's memory taken.
        is_here = self.n_jobs == 1 or (self.n_jobs is None and not _visible_gpus())
        if self.parallel_backend is None and is_here:
            before = torch.get_num_threads()
            torch.set_num_threads(self.threads_per_fold or before)
            try:
                return [FoldMaking(plan, examples, trainer, log, ProgressLine().update).fold() for plan in plans]
            finally:
                torch.set_num_threads(before)

        makings = [FoldMaking(plan, examples, trainer, log) for plan in plans]
        folds = [making.fold() if making.finished() else None for making in makings]
        missing = [plan for plan, fold in zip(plans, folds, strict=True) if fold is None]
        if missing:
            shown = ProgressLines([plan.title for plan in missing], log)
            memory_of_fold = functools.partial(gpu_memory, trainer, missing[0].configuration["training"])
            try:
                folds_dir, fingerprint = missing[0].folder.parent, missing[0].configuration["data"]
                described = description(trainer)
                with shared_examples(folds_dir, fingerprint, examples, log) as file:
                    self._make(missing, described, file, shown, memory_of_fold)
            finally:
                shown.clear()
        for plan, making in zip(plans, makings, strict=True):
            fold = folds[plan.fold_index] = folds[plan.fold_index] or making.finished()
            if fold is None:
                raise FileNotFoundError(
                    f"{plan.folder}: expected the fold that another process has just made, found none that is whole; "
                    "folds_dir must be a folder that all machines share"
                )
        return folds

    def _make(
        self,
        plans: Sequence[FoldPlan],
        trainer: dict,
        examples_file: Path,
        shown: ProgressLines,
        memory_of_fold: Callable[[], int | None],
    ) -> None:
        num_threads, over = self.threads_per_fold or torch.get_num_threads(), threading.Event()
        is_cluster = self.parallel_backend is not None
        if is_cluster:
            place = clusters.connect(self.parallel_backend, num_threads)
        else:
            place = _this_machine(over, memory_of_fold)
        with place as (room, run):
            n_jobs = min(room if self.n_jobs in (None, -1) else self.n_jobs, len(plans))
            if is_cluster:
                n_jobs = min(n_jobs, room)
            elif self.threads_per_fold is None:
                # Never more than a serial run would use: OMP_NUM_THREADS and cgroups limit that.
                num_threads = min(num_threads, max(1, joblib.cpu_count() // n_jobs))

            def make(plan: FoldPlan) -> None:
                job = job_of(plan, trainer, examples_file, num_threads)
                show = functools.partial(shown.update, plan.title)
                for death in range(1, MOST_DEATHS + 1):
                    try:
                        return run(job, shown.log, show)
                    except WorkerDied as died:
                        if over.is_set():
                            return None
                        if death == MOST_DEATHS:
                            raise RuntimeError(
                                f"{plan.title}: {died}; given up after {MOST_DEATHS} workers. Finished folds, and what "
                                "was last saved of others, are kept. Is there enough memory for as many folds at once? "
                                "Try a smaller n_jobs"
                            ) from died
                        shown.log(f"{plan.title}: {died}; starting it again, it resumes from its last saved state")

            # Threads are enough to wait. joblib's own backends for clusters would make a single fold on this machine
            # (Ray), or more at once than n_jobs (Dask).
            try:
                joblib.Parallel(n_jobs=n_jobs, backend="threading")(joblib.delayed(make)(plan) for plan in plans)
            finally:
                over.set()


@contextlib.contextmanager
def _this_machine(over: threading.Event, memory_of_fold: Callable[[], int | None]) -> Iterator[tuple[int, Callable]]:
    """Yield room and run, as `clusters.connect` does, of processes on this machine, which end with the block."""
    gpus, busy, lock, processes = _visible_gpus(), [], threading.Lock(), []

    def on_start(process) -> None:
        processes.append(process)
        if over.is_set():
            process.kill()

    def run(job: FoldJob, log: Callable[[str], None], show: Callable[[str], None]) -> None:
        with lock:
            gpu = min(gpus, key=busy.count, default=None)
            busy.append(gpu)
        try:
            make_in_process(job, log, show, gpu, on_start)
        finally:
            show("")
            with lock:
                busy.remove(gpu)

    try:
        yield len(gpus) * _folds_on_a_gpu(memory_of_fold()) if gpus else joblib.cpu_count(), run
    finally:
        for process in processes:
            process.kill()


def _folds_on_a_gpu(memory_of_fold: int | None) -> int:
    """Return how many folds at once fit into the smallest GPU's memory, up to a few; one if it is not known."""
    if memory_of_fold is None:
        return 1
    smallest = min(torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count()))
    return max(1, min(MOST_FOLDS_ON_A_GPU, joblib.cpu_count(), smallest // memory_of_fold))


def _visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if not torch.cuda.is_available():
        return []
    named, count = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
    # CUDA ignores those after one that does not exist.
    return named.split(",")[:count] if named else [str(index) for index in range(count)]
