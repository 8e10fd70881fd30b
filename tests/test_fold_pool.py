"""Several folds at once: the bytes of a serial run, each fold where it belongs, and what goes wrong is told."""

import contextlib
import shutil
import threading

import joblib
import pytest
import torch
from conftest import twelve_examples
from fault_runs import LABEL_MAP, made_folds
from test_cross_validation import DummyTrainer

import fold_pool
from cross_validation import out_of_fold_predictions, plan_folds
from fold_making import FoldMaking
from fold_pool import FoldPool
from fold_store import unfinished_folder
from progress import ProgressFile
from spanbert import QA, QATrainer

TRAINING = {"num_train_epochs": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 2}


class Describable(DummyTrainer):
    """A quick trainer that other processes would know."""

    def description(self):
        return {}


@pytest.fixture
def dummy(tiny_bert):
    return Describable(QA(tiny_bert, max_length=48).tokenizer)


class Places:
    """Stands for processes: makes folds in this one, and notes on how many cores and on which GPU."""

    def __init__(self, trainer):
        self.trainer, self.jobs, self.busy, self.most_at_once = trainer, [], [], 0
        self.before = lambda job: None
        self._lock = threading.Lock()

    def run(self, job, log=lambda line: None, gpu=None):
        with self._lock:
            self.jobs.append((job.plan.fold_index, job.num_threads, gpu))
            self.busy.append(gpu)
            self.most_at_once = max(self.most_at_once, len(self.busy))
        try:
            self.before(job)
            FoldMaking(job.plan, job.examples, self.trainer, log, ProgressFile(job.plan.progress_file)).fold()
        finally:
            with self._lock:
                self.busy.remove(gpu)


@pytest.fixture
def places(dummy, monkeypatch):
    made = Places(dummy)
    monkeypatch.setattr("fold_pool.FoldProcesses.run", lambda self, job, log, gpu: made.run(job, log, gpu))
    return made


def run(trainer, folder, **options):
    lines = []
    return out_of_fold_predictions(twelve_examples(), trainer, folds_dir=folder, log=lines.append, **options), lines


# --- processes ------------------------------------------------------------------------------------


def test_two_at_once_give_the_bytes_of_one_after_the_other(tiny_bert, tmp_path, monkeypatch):
    trainer = QATrainer(QA(tiny_bert, max_length=48, doc_stride=8, precision="float32"), 48, LABEL_MAP)
    one, _ = run(trainer, tmp_path / "one", threads_per_fold=1, **TRAINING)
    two, lines = run(trainer, tmp_path / "two", threads_per_fold=1, n_jobs=2, **TRAINING)
    assert made_folds(tmp_path / "one") == made_folds(tmp_path / "two")
    assert sorted(line.partition(" in ")[0] for line in lines) == [
        f"fold {fold} ({fold + 1} of 3): trained on 8 examples" for fold in range(3)
    ]
    assert [report["fold"] for report in two.reports] == [0, 1, 2]
    assert (one.fold == two.fold).all()
    # Nothing is begun for folds that are there.
    monkeypatch.setattr(fold_pool, "FoldProcesses", None)
    again, lines = run(trainer, tmp_path / "two", threads_per_fold=1, n_jobs=2, **TRAINING)
    assert ["already trained, skipping" in line for line in lines] == [True] * 3
    assert again.reports == two.reports


def test_trainer_that_another_process_would_not_know_is_refused(tiny_bert, tmp_path):
    class OwnTrainer(QATrainer):
        pass

    trainer = OwnTrainer(QA(tiny_bert, max_length=48, doc_stride=8), 48, LABEL_MAP)
    with pytest.raises(TypeError) as error:
        run(trainer, tmp_path, n_jobs=2, **TRAINING)
    assert str(error.value) == (
        "expected a QATrainer and a QA for folds in processes of their own, found OwnTrainer and QA; make the folds "
        "one after the other, with n_jobs=1"
    )
    assert list(tmp_path.iterdir()) == []


def test_only_missing_folds_are_made(dummy, tmp_path, places):
    serial, _ = run(dummy, tmp_path)
    folders = [tmp_path / report["folder"] for report in serial.reports]
    shutil.rmtree(folders[1])
    unfinished_folder(folders[2]).mkdir()  # left by a run that died at its very end
    again, _ = run(dummy, tmp_path, n_jobs=2)
    assert sorted(fold for fold, *_ in places.jobs) == [1, 2]
    assert dummy.seeds == [report["seed"] for report in (*serial.reports, serial.reports[1])]
    assert sorted(tmp_path.iterdir()) == sorted(folders)
    for one, other in zip(serial.predictions, again.predictions, strict=True):
        assert one.pred_probs.tolist() == other.pred_probs.tolist()


def test_workers_are_told_whole_paths(dummy, tiny_bert, tmp_path, places, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = []
    places.before = lambda job: folders.append(job.plan.folder)
    run(dummy, "my_folds", n_jobs=2)
    assert sorted(folders) == sorted((tmp_path / "my_folds").glob("fold_*"))

    (tmp_path / "model").symlink_to(tiny_bert)
    described = QATrainer(QA("model", max_length=48), 48, dummy.label_map).description()
    assert described["qa"]["model_path"] == str(tmp_path / "model")
    assert QATrainer(QA("embedded"), 48, dummy.label_map).description()["qa"]["model_path"] == "embedded"


def test_error_of_a_fold_ends_the_run_and_the_others_are_kept(dummy, tmp_path, places):
    """Fold 1 fails when fold 0 is there; by then fold 2 may have begun, and is left alone."""
    first = plan_folds(twelve_examples(), dummy, folds_dir=tmp_path)[0].folder
    over = threading.Event()

    def before(job):
        if job.plan.fold_index == 1:
            wait_for(first.exists)
            raise ValueError("of fold 1")
        if job.plan.fold_index == 2:
            over.wait(30)

    places.before = before
    with pytest.raises(ValueError, match="of fold 1"):
        run(dummy, tmp_path, n_jobs=2)
    over.set()
    assert first.exists()
    places.before = lambda job: None
    places.jobs.clear()
    _, lines = run(dummy, tmp_path, n_jobs=2)
    assert 0 not in [fold for fold, *_ in places.jobs]
    assert lines[0] == f"fold 0 (1 of 3): already trained, skipping ({first.name})"


def wait_for(happened):
    while not happened():
        threading.Event().wait(0.01)


def test_fold_that_is_not_where_it_should_be_is_told(dummy, tmp_path, monkeypatch):
    """As if the other process wrote to another machine's disk."""
    monkeypatch.setattr("fold_pool.FoldProcesses.run", lambda self, job, log, gpu: None)
    folder = plan_folds(twelve_examples(), dummy, folds_dir=tmp_path)[0].folder
    with pytest.raises(FileNotFoundError) as error:
        run(dummy, tmp_path, n_jobs=2)
    assert str(error.value) == (
        f"{folder}: expected the fold that another process has just made, found none that is whole; folds_dir must be "
        "a folder that all machines share"
    )


def test_threads_of_a_serial_run_are_given_back(dummy, tmp_path):
    before = torch.get_num_threads()
    result, _ = run(dummy, tmp_path, threads_per_fold=before + 2)
    assert [report["num_threads"] for report in result.reports] == [before + 2] * 3
    assert torch.get_num_threads() == before


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [2, None, -1])
def test_each_gpu_has_one_fold_at_a_time(dummy, tmp_path, monkeypatch, places, n_jobs):
    """Four folds on two GPUs: each waits until there is one on the other GPU as well."""
    monkeypatch.setattr(fold_pool, "_visible_gpus", lambda: ["GPU-a", "5"])
    both = threading.Barrier(2)
    seen = []

    def before(job):
        both.wait(30)
        seen.append(sorted(places.busy))
        both.wait(30)

    places.before = before
    run(dummy, tmp_path, n_jobs=n_jobs, num_splits=4)
    assert seen == [["5", "GPU-a"]] * 4
    assert sorted(fold for fold, *_ in places.jobs) == [0, 1, 2, 3]
    assert places.most_at_once == 2


def test_more_folds_at_once_than_gpus_share_them(dummy, tmp_path, monkeypatch, places):
    monkeypatch.setattr(fold_pool, "_visible_gpus", lambda: ["0", "1"])
    all_three, seen = threading.Barrier(3), []

    def before(job):
        all_three.wait(30)
        seen.append(sorted(places.busy))
        all_three.wait(30)

    places.before = before
    run(dummy, tmp_path, n_jobs=3)
    assert seen == [["0", "0", "1"]] * 3


def test_one_gpu_has_a_process_as_well(dummy, tmp_path, monkeypatch, places):
    monkeypatch.setattr(fold_pool, "_visible_gpus", lambda: ["0"])
    run(dummy, tmp_path)
    assert [(fold, gpu) for fold, _, gpu in places.jobs] == [(0, "0"), (1, "0"), (2, "0")]
    assert places.most_at_once == 1


def test_one_job_is_this_process_on_a_gpu_too(dummy, tmp_path, monkeypatch, places):
    monkeypatch.setattr(fold_pool, "_visible_gpus", lambda: ["0", "1"])
    monkeypatch.setattr(dummy, "description", None)
    _, lines = run(dummy, tmp_path, n_jobs=1)
    assert places.jobs == []
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("cores", "of_torch", "n_jobs", "threads_per_fold", "expected"),
    [
        (8, 16, 2, None, 4),
        (8, 3, 2, None, 3),
        (8, 16, 3, None, 2),
        (1, 16, 2, None, 1),
        (8, 16, -1, None, 2),  # three folds leave no room for a fourth
        (8, 16, 2, 7, 7),
    ],
)
def test_folds_share_the_cores(
    dummy, tmp_path, monkeypatch, places, cores, of_torch, n_jobs, threads_per_fold, expected
):
    monkeypatch.setattr(fold_pool, "_visible_gpus", lambda: [])
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: of_torch)
    run(dummy, tmp_path, n_jobs=n_jobs, threads_per_fold=threads_per_fold)
    assert sorted(places.jobs) == [(fold, expected, None) for fold in range(3)]


@pytest.mark.parametrize(
    ("is_available", "named", "expected"),
    [
        (False, None, []),
        (False, "0,1", []),
        (True, None, ["0", "1"]),
        (True, "", ["0", "1"]),
        (True, "GPU-a,3", ["GPU-a", "3"]),
        (True, "7", ["7"]),
        (True, "4,2,-1,0", ["4", "2"]),
    ],
)
def test_visible_gpus_are_those_of_the_environment(monkeypatch, is_available, named, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert fold_pool._visible_gpus() == expected


# --- clusters, played ------------------------------------------------------------------------------


class LosingCluster:
    """Stands for a cluster of `room` workers, which loses those that make certain folds, a number of times."""

    def __init__(self, places, room, losses=()):
        self.places, self.room, self.losses, self.is_connected = places, room, dict(losses), False

    @contextlib.contextmanager
    def connect(self, address, num_threads):
        self.address, self.num_threads, self.is_connected = address, num_threads, True
        yield self.room, self.make
        self.is_connected = False

    def make(self, job):
        assert self.is_connected
        if self.losses.get(job.plan.fold_index):
            self.losses[job.plan.fold_index] -= 1
            raise fold_pool._LostWorker("it died")
        lines = [f"{job.plan.title}: begun"]
        try:
            self.places.run(job, lines.append)
        except Exception as error:
            return lines, error
        return lines, None


@pytest.mark.parametrize(
    ("n_jobs", "room", "at_once"), [(None, 2, 2), (-1, 2, 2), (2, 9, 2), (1, 9, 1), (9, 3, 3), (None, 1, 1)]
)
def test_cluster_makes_as_many_at_once_as_it_may(dummy, tmp_path, monkeypatch, n_jobs, room, at_once):
    """One at a time too is made there, and never here."""
    monkeypatch.setattr(fold_pool, "FoldProcesses", None)
    places = Places(dummy)
    full = threading.Barrier(at_once)
    places.before = lambda job: full.wait(30)
    cluster = LosingCluster(places, room)
    monkeypatch.setattr(fold_pool, "_ray", cluster.connect)
    backend = "ray:host:1"
    _, lines = run(dummy, tmp_path, num_splits=6, n_jobs=n_jobs, threads_per_fold=5, parallel_backend=backend)
    assert (cluster.address, cluster.num_threads, cluster.is_connected) == ("host:1", 5, False)
    assert sorted(places.jobs) == [(fold, 5, None) for fold in range(6)]
    assert places.most_at_once == at_once
    for fold in range(6):
        of_fold = [line for line in lines if line.startswith(f"fold {fold} ")]
        assert [line.partition(": ")[2][:7] for line in of_fold[:2]] == ["begun", "trained"]


def test_worker_that_is_lost_is_told_and_its_fold_done_again(dummy, tmp_path, monkeypatch):
    monkeypatch.setattr(fold_pool, "_dask", LosingCluster(Places(dummy), 1, {1: 2}).connect)
    _, lines = run(dummy, tmp_path, parallel_backend="dask", threads_per_fold=1)
    lost = "fold 1 (2 of 3): the dask cluster lost the worker that made it (it died); doing it again"
    assert [line for line in lines if "lost" in line] == [lost, lost]
    assert len(made_folds(tmp_path)) == 3


def test_cluster_that_loses_three_workers_by_one_fold_is_given_up(dummy, tmp_path, monkeypatch):
    monkeypatch.setattr(fold_pool, "_dask", LosingCluster(Places(dummy), 1, {1: 3}).connect)
    with pytest.raises(RuntimeError) as error:
        run(dummy, tmp_path, parallel_backend="dask", threads_per_fold=1)
    assert str(error.value) == (
        "fold 1 (2 of 3): expected the dask cluster to make it, found that it lost the worker that made it 3 times, "
        "the last time: it died. Finished folds, and what was last saved of others, are kept"
    )
    assert [name[:11] for name in made_folds(tmp_path)] == ["fold_0_of_3"]


def test_error_of_a_fold_on_a_cluster_is_raised_after_what_it_said(dummy, tmp_path, monkeypatch):
    places = Places(dummy)

    def before(job):
        if job.plan.fold_index == 1:
            raise FloatingPointError("of fold 1")

    places.before = before
    monkeypatch.setattr(fold_pool, "_ray", LosingCluster(places, 1).connect)
    lines = []
    with pytest.raises(FloatingPointError, match="of fold 1"):
        out_of_fold_predictions(
            twelve_examples(), dummy, folds_dir=tmp_path, log=lines.append, parallel_backend="ray", n_jobs=1
        )
    assert lines[-1] == "fold 1 (2 of 3): begun"
    assert [name[:11] for name in made_folds(tmp_path)] == ["fold_0_of_3"]


# --- parameters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        *[
            ("n_jobs", value, "an integer of at least 1, -1 for as many as there is room for, or None")
            for value in (0, -2, 1.0, True, "2")
        ],
        *[("threads_per_fold", value, "an integer of at least 1, or None") for value in (0, -1, 2.0, True, "2")],
        *[
            ("parallel_backend", value, '"ray" or "dask", with or without ":" and the cluster\'s address, or None')
            for value in ("", "loky", "rayon", "Ray", ":ray", 1)
        ],
    ],
)
def test_wrong_parameter_is_refused(parameter, value, expected):
    with pytest.raises(ValueError) as error:
        FoldPool(**{parameter: value})
    assert str(error.value) == f"{parameter}: expected {expected}, found {value!r}"


@pytest.mark.parametrize(
    "good",
    [
        {},
        *[{"n_jobs": value} for value in (None, -1, 1, 64)],
        *[{"threads_per_fold": value} for value in (None, 1, 64)],
        *[{"parallel_backend": value} for value in (None, "ray", "dask", "ray:auto", "dask:tcp://10.0.0.1:8786")],
    ],
)
def test_good_parameters_are_kept(good):
    assert vars(FoldPool(**good)) == {"n_jobs": None, "threads_per_fold": None, "parallel_backend": None, **good}
