"""Folds on real clusters, of Ray and of Dask, which lose a worker while it makes one."""

import json
import os
import signal
import threading
from pathlib import Path

import distributed
import pytest
import ray
from conftest import ROOT, twelve_examples
from fault_runs import LABEL_MAP, made_folds, wait_until
from ray.cluster_utils import Cluster

from span_label_errors.cross_validation import pool as fold_pool
from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.cross_validation.store import lock_file
from spanbert import QA, QATrainer

pytestmark = pytest.mark.slow
# Long enough to be killed in the middle of it.
TRAINING = {"num_train_epochs": 60, "learning_rate": 1e-3, "per_device_train_batch_size": 2}


@pytest.fixture(scope="module", autouse=True)
def modules_for_workers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="module")
def ray_cluster():
    """A Ray cluster of two machines of one core, both played by this one."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        yield f"ray:{cluster.address}"
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def dask_cluster():
    """A Dask cluster of two workers of one thread, in processes of their own."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield f"dask:{cluster.scheduler_address}"


@pytest.fixture(scope="module")
def trainer(tiny_bert) -> QATrainer:
    return QATrainer(QA(tiny_bert, max_length=48, doc_stride=8, precision="float32"), 48, LABEL_MAP)


def run(trainer, folder, **options) -> list[str]:
    lines = []
    out_of_fold_predictions(
        twelve_examples(), trainer, folds_dir=folder, threads_per_fold=1, log=lines.append, **TRAINING, **options
    )
    return lines


@pytest.fixture(scope="module")
def serial(trainer, tmp_path_factory):
    """The folds of a run that makes one after the other, here."""
    folder = tmp_path_factory.mktemp("serial")
    run(trainer, folder)
    return made_folds(folder)


def kill_a_worker(folder: Path, killed: list) -> None:
    """Wait until a fold is being trained, and kill the cluster's process that waits for it."""

    def fold_at_work():
        """A model's folder is there from when its training begins."""
        return next(folder.glob(".fold_*.unfinished/.model.partial"), None)

    wait_until(fold_at_work)
    fold = fold_at_work().parent.name.removeprefix(".").removesuffix(".unfinished")
    process = json.loads(lock_file(folder / fold).read_text())["process"]
    worker = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    assert os.getpid() not in (process, worker)
    os.kill(worker, signal.SIGKILL)
    killed.append((f"fold {fold[5]} (", process))


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_run_goes_on_when_the_cluster_loses_a_worker(trainer, tmp_path, monkeypatch, request, serial, name):
    cluster = request.getfixturevalue(f"{name}_cluster")
    # In this process: none is made here.
    monkeypatch.setattr(fold_pool, "make_in_process", None)
    killed = []
    killer = threading.Thread(target=kill_a_worker, args=[tmp_path, killed])
    killer.start()
    lines = run(trainer, tmp_path, parallel_backend=cluster)
    killer.join()
    assert made_folds(tmp_path) == serial
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(serial)

    ((fold, process),) = killed
    of_fold = [line for line in lines if line.startswith(fold)]
    if name == "ray":
        # Dask's scheduler gives the fold to another worker by itself.
        lost = of_fold.pop(0)
        assert "the ray cluster lost its worker (" in lost and "); starting it again, it resumes from " in lost
    assert f"process {process} on " in of_fold[0]
    assert of_fold[0].endswith("died while it made this fold; resuming")
    assert "trained on 8 examples" in of_fold[1]
    of_others = [line for line in lines if not line.startswith(fold)]
    assert ["trained on 8 examples" in line for line in of_others] == [True, True]
    assert not ray.is_initialized()  # what was connected for the run is not kept


def test_more_cores_than_any_machine_of_a_cluster_has(trainer, tmp_path, ray_cluster):
    with pytest.raises(ValueError) as error:
        out_of_fold_predictions(
            twelve_examples(), trainer, folds_dir=tmp_path, threads_per_fold=2, parallel_backend=ray_cluster
        )
    assert str(error.value) == "threads_per_fold: expected at most the cores of the cluster's largest machine, found 2"


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("ray:127.0.0.1:1", "parallel_backend: expected a Ray cluster at 127.0.0.1:1, found none"),
        ("dask:tcp://127.0.0.1:1", "parallel_backend: expected a Dask scheduler at tcp://127.0.0.1:1, found none"),
        ("dask", "parallel_backend: expected the address of a Dask cluster, found none; give it as 'dask:tcp://HOST"),
    ],
)
def test_cluster_that_is_not_there_is_an_error(trainer, tmp_path, monkeypatch, backend, message):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setitem(distributed.config["distributed"]["comm"]["timeouts"], "connect", "1s")
    with pytest.raises(ConnectionError) as error:
        run(trainer, tmp_path, parallel_backend=backend)
    assert str(error.value).startswith(message)
