"""Several folds at once: each fold where it belongs, on its share of the machine, and the log says what goes wrong."""

import contextlib
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest
import torch
from conftest import twelve_examples
from dummy_trainer import LABEL_MAP, DummyTrainer, run, same_predictions
from fault_runs import made_folds, wait_until

from span_label_errors.cross_validation import pool as fold_pool
from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.cross_validation.fold_process import plan_of
from span_label_errors.cross_validation.make import FoldMaking
from span_label_errors.cross_validation.out_of_fold import plan_folds
from span_label_errors.cross_validation.pool import FoldPool
from span_label_errors.cross_validation.shared_examples import read_examples
from span_label_errors.cross_validation.splits import make_splits
from span_label_errors.cross_validation.store import unfinished_folder
from span_label_errors.cross_validation.workers import WorkerDied
from spanbert import QA, QATrainer


@pytest.fixture
def dummy(monkeypatch):
    """A quick trainer that other processes, which are played here, know."""
    monkeypatch.setattr(fold_pool, "description", lambda trainer: {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return DummyTrainer()


class Places:
    """Stands for processes or a cluster: makes folds in this process, and notes on how many cores and on which GPU."""

    def __init__(self, trainer, room=None):
        self.trainer, self.room = trainer, room
        self.jobs, self.busy, self.most_at_once = [], [], 0
        self.before = lambda plan: None
        self._lock, self._making = threading.Lock(), threading.Lock()

    def make(self, job, log=lambda line: None, progress=lambda text: None, gpu=None, on_start=None):
        plan = plan_of(job)
        with self._lock:
            self.jobs.append((plan.fold_index, job.num_threads, gpu))
            self.busy.append(gpu)
            self.most_at_once = max(self.most_at_once, len(self.busy))
        try:
            self.before(plan)
            progress("half")
            examples = read_examples(Path(job.examples_file), plan.configuration["data"])
            # Python 3.11 fails now and then (SystemError) where two threads parse the headers of NumPy files at once.
            with self._making:
                FoldMaking(plan, examples, self.trainer, log, progress).fold()
        finally:
            with self._lock:
                self.busy.remove(gpu)

    @contextlib.contextmanager
    def connect(self, backend, num_threads):
        """What a cluster has instead of processes."""
        assert (backend, num_threads) == ("ray:host:1", 5)
        yield self.room, lambda job, log, show: self.make(job, log)


@pytest.fixture
def places(dummy, monkeypatch):
    made = Places(dummy)
    monkeypatch.setattr(fold_pool, "make_in_process", made.make)
    return made


@pytest.fixture
def cluster(dummy, monkeypatch):
    """A cluster; nothing is made here."""
    made = Places(dummy, room=1)
    monkeypatch.setattr(fold_pool, "make_in_process", None)
    monkeypatch.setattr(fold_pool.clusters, "connect", made.connect)
    return made


# --- which folds are made -------------------------------------------------------------------------


def test_trainer_that_another_process_would_not_know_is_refused(tiny_bert, tmp_path):
    class OwnTrainer(QATrainer):
        pass

    trainer = OwnTrainer(QA(tiny_bert, max_length=48, doc_stride=8), 48, LABEL_MAP)
    for unknown, name in ((trainer, "OwnTrainer"), (DummyTrainer(), "DummyTrainer")):
        with pytest.raises(TypeError, match=f"found {name}; make the folds one after the other, with n_jobs=1"):
            run(unknown, twelve_examples(), tmp_path, n_jobs=2)
    assert list(tmp_path.iterdir()) == []


def test_described_trainer_is_made_again(tiny_bert, tmp_path, monkeypatch):
    """In another working directory."""
    (tmp_path / "model").symlink_to(tiny_bert)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        trainer = QATrainer(QA("model", max_length=48, doc_stride=9, answers="all", seed=3), 40, LABEL_MAP)
        described = fold_trainer.description(trainer)
    again = fold_trainer.from_description(described)
    assert fold_trainer.settings(again) == fold_trainer.settings(trainer)
    assert (fold_trainer.description(again), again.qa.seed) == (described, 3)
    for name in ("embedded", "embedded-backbone"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path)
        assert fold_trainer.description(QATrainer(QA(name), 48, LABEL_MAP))["qa"]["model_path"] == name


def test_only_missing_folds_are_made(dummy, tmp_path, places, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serial, _ = run(dummy, twelve_examples(), "folds")
    folders = [tmp_path / "folds" / report["folder"] for report in serial.reports]
    shutil.rmtree(folders[1])
    unfinished_folder(folders[2]).mkdir()  # left by a run that died at its very end
    given = []
    places.before = lambda plan: given.append(plan.folder)
    again, lines = run(dummy, twelve_examples(), "folds", n_jobs=2)
    assert sorted(given) == folders[1:]  # whole paths: workers have working directories of their own
    assert sorted(line[:16] for line in lines) == [f"fold {fold} ({fold + 1} of 3):" for fold in range(3)]
    assert dummy.seeds == [report["seed"] for report in (*serial.reports, serial.reports[1])]
    assert sorted((tmp_path / "folds").iterdir()) == sorted(folders)
    same_predictions(serial, again)


def test_error_of_a_fold_ends_the_run_and_the_others_are_kept(dummy, tmp_path, places):
    """Fold 1 fails when fold 0 is there; by then fold 2 may have begun, and is left alone."""
    examples = twelve_examples()
    first = plan_folds(examples, dummy, make_splits(examples), 0, tmp_path, {})[0].folder
    over = threading.Event()

    def before(plan):
        if plan.fold_index == 1:
            while not first.exists():
                threading.Event().wait(0.01)
            raise ValueError("of fold 1")
        if plan.fold_index == 2:
            over.wait(30)

    places.before = before
    with pytest.raises(ValueError, match="of fold 1"):
        run(dummy, twelve_examples(), tmp_path, n_jobs=2)
    over.set()
    wait_until(lambda: not places.busy)
    places.before = lambda plan: None
    _, lines = run(dummy, twelve_examples(), tmp_path, n_jobs=2)
    assert lines[0] == f"fold 0 (1 of 3): already trained, skipping ({first.name})"


def test_fold_that_is_not_where_it_should_be_is_missed(dummy, tmp_path, monkeypatch):
    """As if the other process wrote to another machine's disk."""
    monkeypatch.setattr(fold_pool, "make_in_process", lambda *arguments: None)
    with pytest.raises(FileNotFoundError, match="folds_dir must be a folder that all machines share"):
        run(dummy, twelve_examples(), tmp_path, n_jobs=2)


# --- where, and how many at once ------------------------------------------------------------------


def test_threads_of_a_serial_run_are_given_back(dummy, tmp_path):
    before = torch.get_num_threads()
    result, _ = run(dummy, twelve_examples(), tmp_path, threads_per_fold=before + 2)
    assert [report["num_threads"] for report in result.reports] == [before + 2] * 3
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("named", "n_jobs", "at_once"),
    [
        ("GPU-a,5", None, ["5", "GPU-a"]),
        ("GPU-a,5", 4, ["5"] * 2 + ["GPU-a"] * 2),
        ("4,2,-1,0", -1, ["2", "4"]),  # those after one that does not exist do not count
        (None, 2, ["0", "1"]),
        ("7", None, ["7"]),
    ],
)
def test_each_gpu_has_its_share_of_the_folds(dummy, tmp_path, monkeypatch, places, named, n_jobs, at_once):
    """Each of four folds waits until there are as many as there may be at once."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    all_there, seen = threading.Barrier(len(at_once)), []

    def before(plan):
        all_there.wait(30)
        seen.append(sorted(places.busy))
        all_there.wait(30)

    places.before = before
    run(dummy, twelve_examples(), tmp_path, n_jobs=n_jobs, num_splits=4)
    assert seen == [at_once] * 4
    assert places.most_at_once == len(at_once)
    # One job is this process, on a GPU too.
    run(dummy, twelve_examples(), tmp_path / "one", n_jobs=1)
    assert len(places.jobs) == 4


@pytest.mark.parametrize(
    ("memories", "cores", "at_once"),
    [
        ([80, 80], 16, ["0"] * 3 + ["1"] * 3),  # however many more would fit
        ([80, 11], 16, ["0"] * 2 + ["1"] * 2),  # on each as many as on the smaller
        ([3, 3], 16, ["0", "1"]),  # tried all the same
        ([80], 2, ["0"] * 2),
    ],
)
def test_gpu_makes_as_many_folds_at_once_as_fit_up_to_three(
    dummy, tmp_path, monkeypatch, places, memories, cores, at_once
):
    monkeypatch.setattr(fold_pool, "gpu_memory", lambda trainer, training: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(memories))
    gpus = [SimpleNamespace(total_memory=memory) for memory in memories]
    monkeypatch.setattr(torch.cuda, "get_device_properties", gpus.__getitem__)
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    all_there, seen = threading.Barrier(len(at_once)), []

    def before(job):
        all_there.wait(30)
        seen.append(sorted(places.busy))
        all_there.wait(30)

    places.before = before
    run(dummy, twelve_examples(), tmp_path, num_splits=len(at_once), group_by="none")
    assert seen == [at_once] * len(at_once)


@pytest.mark.parametrize(
    ("cores", "of_torch", "n_jobs", "threads_per_fold", "expected"),
    [
        (8, 16, 2, None, 4),
        (8, 3, 2, None, 3),
        (1, 16, 2, None, 1),
        (8, 16, -1, None, 2),  # three folds leave no room for a fourth
        (8, 16, 2, 7, 7),
    ],
)
def test_folds_share_the_cores(
    dummy, tmp_path, monkeypatch, places, cores, of_torch, n_jobs, threads_per_fold, expected
):
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: of_torch)
    run(dummy, twelve_examples(), tmp_path, n_jobs=n_jobs, threads_per_fold=threads_per_fold)
    assert sorted(places.jobs) == [(fold, expected, None) for fold in range(3)]


def on_cluster(dummy, folder, **options):
    return run(dummy, twelve_examples(), folder, parallel_backend="ray:host:1", threads_per_fold=5, **options)


@pytest.mark.parametrize(("n_jobs", "room", "at_once"), [(None, 2, 2), (2, 9, 2), (1, 9, 1), (9, 3, 3)])
def test_cluster_makes_as_many_at_once_as_it_may(dummy, tmp_path, cluster, n_jobs, room, at_once):
    cluster.room, full = room, threading.Barrier(at_once)
    cluster.before = lambda plan: full.wait(30)
    _, lines = on_cluster(dummy, tmp_path, num_splits=6, n_jobs=n_jobs)
    assert sorted(cluster.jobs) == [(fold, 5, None) for fold in range(6)]
    assert cluster.most_at_once == at_once
    assert len(lines) == 6


@pytest.mark.parametrize("num_deaths", [2, 3])
def test_fold_whose_worker_dies_is_made_again_until_the_third_time(dummy, tmp_path, cluster, num_deaths):
    deaths = [WorkerDied("its worker is gone")] * num_deaths

    def before(plan):
        if plan.fold_index == 1 and deaths:
            raise deaths.pop()

    cluster.before = before
    if num_deaths == 3:
        with pytest.raises(
            RuntimeError, match=r"fold 1 \(2 of 3\): its worker is gone; given up after 3 workers\. .* n_jobs"
        ):
            on_cluster(dummy, tmp_path)
        assert [name[:11] for name in made_folds(tmp_path)] == ["fold_0_of_3"]
    else:
        _, lines = on_cluster(dummy, tmp_path)
        again = "fold 1 (2 of 3): its worker is gone; starting it again, it resumes from its last saved state"
        assert [line for line in lines if "gone" in line] == [again, again]
        assert len(made_folds(tmp_path)) == 3


@pytest.mark.parametrize(
    ("parameter", "wrong"),
    [
        ("n_jobs", (0, -2, 1.0, True, "2")),
        ("threads_per_fold", (0, -1, 2.0, True, "2")),
        ("parallel_backend", ("", "loky", "rayon", "Ray", ":ray", 1)),
    ],
)
def test_wrong_parameter_is_refused(parameter, wrong):
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{parameter}: expected .*, found {value!r}$"):
            FoldPool(**{parameter: value})
