"""The whole pipeline, from a data file to the arrays, as a user runs it: seconds by stage, utilisation, GPU memory."""

import math
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from span_label_errors.cross_validation.out_of_fold import OutOfFold, out_of_fold_predictions
from span_label_errors.data.squad import load_squad
from span_label_errors.results.write import write_outputs

from .setting import SEED, Bench, matrix_rate, num_parameters, utilisation, window_lengths
from .steps import RECIPE

_NUM_SPLITS, _NUM_EPOCHS = 3, 3
_SECONDS_BETWEEN_LOOKS = 0.5
_ARRAYS = ("pred_probs", "labels", "tokens", "questions")


class Watch:
    """Takes the seconds of stages, notes when folds are done, and looks at the GPU's memory all the while."""

    def __init__(self, bench: Bench):
        self._bench = bench
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._started = time.perf_counter()
        self._most_gib: float | None = None
        self.stages: dict[str, float] = {}
        self.ended: dict[int, float] = {}  # of each fold: seconds after the start

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._over.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.perf_counter() - self._started

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside, and add its row."""
        started = self.seconds
        yield
        self.stages[name] = self.seconds - started
        self._bench.rows.add(stage=name, seconds=self.stages[name], **self.memory())

    def log(self, text: str) -> None:
        """Add a row of what the run says, and note which fold is done."""
        done = re.match(r"fold (\d+) .*: trained on", text)
        if done:
            self.ended[int(done[1])] = self.seconds
        self._bench.rows.add(stage=f"log at {self.seconds:.0f} s: {text}", **self.memory())

    def memory(self) -> dict[str, float | None]:
        """Return the memory of the GPU that is taken by all processes, now and at most."""
        return {"GPU_GiB": taken_gib(), "most_GPU_GiB": self._most_gib}

    def _look(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            taken = taken_gib()
            if taken is not None:
                self._most_gib = max(taken, self._most_gib or 0)


def measure(bench: Bench) -> None:
    """Add a row for each stage and fold, and for the whole."""
    # Before the clock runs: a user has data and model.
    data, checkpoint = bench.data_file(bench.size.examples), bench.checkpoint("base")
    qa = bench.trainer().qa
    parameters, rate = num_parameters(qa), matrix_rate(qa.device, bench.size.matrix)
    # Gives its memory on the GPU back.
    del qa
    folder = bench.work / "pipeline"
    shutil.rmtree(folder, ignore_errors=True)
    with Watch(bench) as watch:
        with watch.stage("read the data file"):
            examples = list(load_squad(data))
        with watch.stage("find model and tokenizer"):
            trainer = bench.trainer()
        folds_begin = watch.seconds
        with watch.stage("folds"):
            out_of_fold = out_of_fold_predictions(
                examples, trainer, num_splits=_NUM_SPLITS, seed=SEED, folds_dir=folder / "folds", log=watch.log,
                num_train_epochs=_NUM_EPOCHS, per_device_train_batch_size=bench.size.batch_size, **RECIPE,
            )  # fmt: skip
        with watch.stage("write"):
            files = write_outputs(folder / "outputs", examples, out_of_fold, {"model": checkpoint.name}, seconds=0.0)
        seconds = watch.seconds
    missing = {f"{name}.npz" for name in _ARRAYS} - {file.name for file in files}
    if missing:
        raise FileNotFoundError(f"expected the arrays of a whole run in {folder / 'outputs'}, found no {missing}")
    tokens = [sum(lengths) for lengths in window_lengths(trainer, examples)]
    folds = folds_of(out_of_fold, tokens, watch.ended, bench.size.batch_size)
    for fold in folds:
        bench.rows.add(
            stage="a fold", seconds=fold["train_s"] + fold["predict_s"], **fold,
            utilisation=utilisation(6, parameters, fold["trained_tokens"], fold["train_s"], rate),
        )  # fmt: skip
    trained_tokens = sum(fold["trained_tokens"] for fold in folds)
    training = covered_seconds([(fold["begins_at_s"], fold["begins_at_s"] + fold["train_s"]) for fold in folds])
    bench.rows.add(
        stage="until a fold trains", seconds=min(fold["begins_at_s"] for fold in folds) - folds_begin,
    )  # fmt: skip
    bench.rows.add(
        stage="while any fold trains", seconds=training, trained_tokens=trained_tokens,
        utilisation=utilisation(6, parameters, trained_tokens, training, rate),
    )  # fmt: skip
    # Predicting takes a third of the operations.
    as_trained = trained_tokens + sum(tokens) // 3
    bench.rows.add(
        stage="all, from the data file to the arrays", seconds=seconds, examples=len(examples),
        utilisation=utilisation(6, parameters, as_trained, seconds, rate), most_GPU_GiB=watch.memory()["most_GPU_GiB"],
    )  # fmt: skip


def folds_of(
    out_of_fold: OutOfFold, tokens: Sequence[int], ended: dict[int, float], batch_size: int
) -> list[dict[str, float]]:
    """Return what each fold did; `tokens` are those of each example, `ended` says when each fold ended, in seconds."""
    return [
        {
            "fold": report["fold"],
            "train_s": report["seconds"]["train"],
            "predict_s": report["seconds"]["predict"],
            "begins_at_s": ended[report["fold"]] - report["seconds"]["train"] - report["seconds"]["predict"],
            "steps": _NUM_EPOCHS * math.ceil(report["num_training_windows"] / batch_size),
            "trained_tokens": _NUM_EPOCHS * sum(tokens[example_index] for example_index in report["train_indices"]),
            "last_loss": report["loss_history"][-1][1],
        }
        for report in out_of_fold.reports
    ]


def covered_seconds(intervals: Sequence[tuple[float, float]]) -> float:
    """Return how long at least one of the intervals (begin, end) lasts."""
    covered, until = 0.0, -math.inf
    for begin, end in sorted(intervals):
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered


def taken_gib() -> float | None:
    """Return the memory of the GPU that is taken, by all processes; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**30
