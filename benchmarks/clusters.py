"""Measure what a fold costs before it begins: on this machine, on Ray and on Dask, each with room for two at once.

    python benchmarks/clusters.py                       # this version
    python benchmarks/clusters.py --before ../earlier   # and that of another clone, in the same run

Two nodes of each cluster are played by this machine. The data are made up, with SQuAD's lengths, and the model is a
tiny random BERT. A fold is ended as soon as it has begun: what comes then is the same everywhere. Its beginning is
when it takes its lock, and what was measured goes to `--results`/clusters.json and is printed as a table.

Bytes of a job are those that a cluster is sent (pickled), or the process of a fold on this machine (JSON). The worker
is what starts that process: one of the cluster, or the run itself on this machine.
"""

import argparse
import itertools
import json
import os
import pickle  # nosec B403 # to count its bytes
import re
import shutil
import signal
import subprocess  # nosec B404 # runs this program and Dask's alone
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
SQUAD_SIZE = 87_599
BACKENDS = ("this machine", "ray", "dask")
BEFORE, NOW = "before", "now"
NODES = 2
_TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
_TICKS = os.sysconf("SC_CLK_TCK")


# One run, in a process of its own


@contextmanager
def running(backend: str) -> Iterator[str | None]:
    """Run a cluster of two nodes of one core, and yield it as `parallel_backend` names it."""
    with ExitStack() as stack:
        if backend == "ray":
            from ray.cluster_utils import Cluster

            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
            stack.callback(cluster.shutdown)
            for _ in range(NODES - 1):
                cluster.add_node(num_cpus=1)
            yield f"ray:{cluster.address}"
        elif backend == "dask":
            import distributed

            scheduler = stack.enter_context(_dask("scheduler", "--port", "0", "--no-dashboard"))
            address = next(match[0] for line in scheduler.stderr if (match := re.search(r"tcp://[\d.]+:\d+", line)))
            _drain(scheduler)
            for _ in range(NODES):
                _drain(stack.enter_context(_dask("worker", address, "--nthreads", "1", "--no-dashboard")))
            with distributed.Client(address) as client:
                client.wait_for_workers(NODES)
            yield f"dask:{address}"
        else:
            yield None


@contextmanager
def _dask(*command: str) -> Iterator[subprocess.Popen]:
    # The programs are fixed, and so are their arguments.
    process = subprocess.Popen([sys.executable, "-m", "dask", *command], stderr=subprocess.PIPE, text=True)  # noqa: S603 # nosec B603 # fixed commands
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _drain(process: subprocess.Popen) -> None:
    """Read what a process logs, so that it need not wait for that."""
    threading.Thread(target=process.stderr.read, daemon=True).start()


class Watch:
    """Notes when jobs are submitted and when their folds begin, and ends each fold there."""

    def __init__(self, folds_dir: Path):
        self._folds_dir = folds_dir
        self._submitted: list[tuple[object, float]] = []
        self._begun: dict[int, dict] = {}
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the folds that are made inside."""
        from span_label_errors.cross_validation import clusters, pool
        from span_label_errors.cross_validation.workers import WorkerDied

        connect, make_in_process = clusters.connect, pool.make_in_process

        def submitting(make):
            def submit(job, *rest):
                self._submitted.append((job, time.time()))
                with suppress(WorkerDied):
                    make(job, *rest)

            return submit

        @contextmanager
        def watched_connect(*cluster):
            with connect(*cluster) as (room, run):
                yield room, submitting(run)

        clusters.connect, pool.make_in_process = watched_connect, submitting(make_in_process)
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            clusters.connect, pool.make_in_process = connect, make_in_process
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            for lock in self._folds_dir.glob(".fold_*.lock"):
                fold_index = int(lock.name.split("_")[1])
                # Its holder may not have written its name yet.
                with suppress(ValueError):
                    if fold_index not in self._begun:
                        process = json.loads(lock.read_text(encoding="utf-8"))["process"]
                        self._begun[fold_index] = {"begun": lock.stat().st_mtime, **_of_process(process)}
                        os.kill(process, signal.SIGKILL)

    def folds(self, on_cluster: bool) -> list[dict]:
        """Return what was measured of each fold."""
        found = []
        for job, submitted in self._submitted:
            line = job.to_json()
            begun = self._begun[json.loads(line)["plan"]["fold_index"]]
            found.append(
                {
                    "job_bytes": len(pickle.dumps(job)) if on_cluster else len(line),
                    "seconds_to_process": begun["started"] - submitted,
                    "seconds_to_fold": begun["begun"] - submitted,
                    **{name: begun[name] for name in ("cpu_seconds", "peak_mib", "worker_peak_mib")},
                }
            )
        return found


def _of_process(process: int) -> dict:
    """Return when a process started, the CPU seconds that it took, and its and its parent's peak memory."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    parent, user, system, started = (int(fields[index]) for index in (1, 11, 12, 19))
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return {
        "started": booted + started / _TICKS,
        "cpu_seconds": (user + system) / _TICKS,
        "peak_mib": _peak_mib(process),
        "worker_peak_mib": _peak_mib(parent),
    }


def _peak_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def measure(backend: str, data: Path, checkpoint: Path, folds_dir: Path, num_folds: int) -> list[dict]:
    """Begin all folds of a run, and return what was measured of each."""
    from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
    from span_label_errors.data.squad import load_squad
    from spanbert import QA, QATrainer

    dataset, trainer = load_squad(data), QATrainer(QA(checkpoint), 384, {"O": 0, "ANS": 1})
    watch = Watch(folds_dir)
    # None of the folds is there in the end.
    with running(backend) as cluster, watch.watching(), suppress(FileNotFoundError):
        out_of_fold_predictions(
            dataset, trainer, num_splits=num_folds, folds_dir=folds_dir, n_jobs=NODES, threads_per_fold=1,
            parallel_backend=cluster, max_steps=2,
        )  # fmt: skip
    return watch.folds(on_cluster=cluster is not None)


def measure_file(data: Path, folder: Path) -> dict:
    """Return size and CPU seconds of the file that a run writes for its folds."""
    from span_label_errors.cross_validation.shared_examples import read_examples, shared_examples
    from span_label_errors.cross_validation.store import data_fingerprint
    from span_label_errors.data.shared_contexts import with_shared_contexts
    from span_label_errors.data.squad import load_squad

    examples = list(with_shared_contexts(load_squad(data)))
    fingerprint = data_fingerprint(examples)
    folder.mkdir(parents=True, exist_ok=True)
    times = [time.process_time()]
    with shared_examples(folder, fingerprint, examples, print) as file:
        times.append(time.process_time())
        num_bytes = file.stat().st_size
        read_examples(file, fingerprint)
        times.append(time.process_time())
    written, read = (after - before for before, after in itertools.pairwise(times))
    return {"bytes": num_bytes, "write_cpu_seconds": written, "read_and_check_cpu_seconds": read}


# All runs


def start_again(root: Path, *arguments: object) -> None:
    """Run this program in a process of its own, with the package of a clone."""
    environment = {**os.environ, "PYTHONPATH": str(root), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, __file__, *map(str, arguments)]
    # Ray's workers look for modules where the run was started, too.
    subprocess.run(command, check=True, cwd=root, env=environment)  # noqa: S603 # nosec B603 # this program itself


def tables(found: dict) -> list[pd.DataFrame]:
    """Return medians over the folds of each run, with all that a run sends; and what the file takes."""
    rows = []
    for run in found["runs"]:
        medians = pd.DataFrame(run["folds"]).median()
        rows.append(
            {
                "where": run["backend"], "version": run["version"],
                "job, MB": medians["job_bytes"] / 1e6,
                "all jobs, MB": sum(fold["job_bytes"] for fold in run["folds"]) / 1e6,
                "s to its process": medians["seconds_to_process"],
                "s to the fold": medians["seconds_to_fold"],
                "CPU s of its process": medians["cpu_seconds"],
                "peak MiB of its process": medians["peak_mib"],
                "peak MiB of the worker": medians["worker_peak_mib"],
            }
        )  # fmt: skip
    return [pd.DataFrame(rows).set_index(["where", "version"]), pd.Series(found["file"]).to_frame("the file")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a clone of an earlier version, to compare with")
    parser.add_argument("--examples", type=int, default=SQUAD_SIZE)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--work", type=Path, default=HERE / "runs" / "clusters")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    # What this program starts itself with: what to measure, data, checkpoint, folder, and where to write it.
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, *paths = arguments.measure
        data, checkpoint, folder, record = map(Path, paths)
        is_file = what == "file"
        found = measure_file(data, folder) if is_file else measure(what, data, checkpoint, folder, arguments.folds)
        record.write_text(json.dumps(found), encoding="utf-8")
        return

    from synthetic_squad import write_squad, write_untrained_bert

    from span_label_errors.files import write_file

    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    data, checkpoint, folder, record = (work / name for name in ("squad.json", "tiny_bert", "folds", "record.json"))
    write_squad(data, arguments.examples, write_untrained_bert(checkpoint, **_TINY))

    def measured(root: Path, what: str):
        shutil.rmtree(folder, ignore_errors=True)
        start_again(root, "--measure", what, data, checkpoint, folder, record, "--folds", arguments.folds)
        return json.loads(record.read_text(encoding="utf-8"))

    roots = {BEFORE: arguments.before, NOW: HERE.parent}
    found = {"num_examples": arguments.examples, "file": measured(HERE.parent, "file"), "runs": []}
    for backend in arguments.backends:
        for version, root in roots.items():
            if root is not None:
                found["runs"].append(
                    {"backend": backend, "version": version, "folds": measured(root.resolve(), backend)}
                )
                write_file(arguments.results / "clusters.json", json.dumps(found, indent=1))
    for table in tables(found):
        print(table.to_string(float_format="{:,.2f}".format), end="\n\n")


if __name__ == "__main__":
    main()
