"""Whether the demo, trained twice on the same device, gives the same bytes, and GPU memory after each fold."""

import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open

from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.cross_validation.splits import make_splits
from span_label_errors.data.squad import load_squad
from span_label_errors.files import file_sha256
from span_label_errors.model.checkpoints import WEIGHTS_FILE
from span_label_errors.model.recipes import recipe_for
from span_label_errors.results.write import write_outputs

from .setting import SEED, Bench
from .steps import fresh_memory

_NUM_SPLITS = 3
_MODELS = ("base", "backbone")
_MOST_NAMES = 3


def measure(bench: Bench) -> None:
    """Add the rows of BERT base by the published recipe, with dropout, and of the backbone by its own, without."""
    for model in _MODELS:
        Demo(bench, model).measure()


class Demo:
    """Trainings of a model on the demo."""

    def __init__(self, bench: Bench, model: str):
        self._bench, self._model = bench, model
        self._trainer = bench.trainer(model)
        self._recipe = recipe_for(self._trainer.qa.checkpoint, has_head=False)
        self._examples = list(load_squad("demo"))[: bench.size.demo]
        self._runs: dict[str, tuple[Path, list[Path]]] = {}

    def measure(self) -> None:
        """Add a row for each run and comparison."""
        self._run("first")
        self._run("again")
        found = self._compare("first", "again")
        self._row("kernels that are not deterministic", 20, self._kernels)
        self._run("one after the other in one process", n_jobs=1)
        self._compare("first", "one after the other in one process")
        if found is not None and not found["same_bytes"]:
            self._run("full_determinism", full_determinism=True)
            self._run("full_determinism again", full_determinism=True)
            self._compare("full_determinism", "full_determinism again")

    def _row(self, what: str, needs_seconds: float, function: Callable[[], dict]) -> dict | None:
        return self._bench.rows.measure(needs_seconds, function, model=self._model, what=what)

    def _run(self, name: str, **options) -> None:
        """Run all folds, and write the arrays; with the memory after each fold if they run in this process."""
        folder = self._bench.work / "twice" / f"{self._model} {name}"
        shutil.rmtree(folder, ignore_errors=True)

        def log(text: str) -> None:
            if ": trained on" in text and torch.cuda.is_available() and "n_jobs" in options:
                allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
                self._bench.rows.add(
                    model=self._model, what=f"memory after {text.partition(':')[0]}", allocated_MiB=allocated / 2**20,
                    reserved_MiB=reserved / 2**20,
                )  # fmt: skip

        def run() -> dict:
            started = time.perf_counter()
            with fresh_memory() as memory:
                out_of_fold = out_of_fold_predictions(
                    self._examples, self._trainer, num_splits=_NUM_SPLITS, seed=SEED, folds_dir=folder / "folds",
                    log=log, **self._recipe, **options,
                )  # fmt: skip
                peak = memory()
            write_outputs(folder, self._examples, out_of_fold, {}, seconds=0.0)
            models = [folder / "folds" / report["folder"] / WEIGHTS_FILE for report in out_of_fold.reports]
            self._runs[name] = folder, models
            return {"seconds": time.perf_counter() - started, "peak_GiB_of_this_process": peak}

        self._row(f"run: {name}", 25, run)

    def _compare(self, one: str, other: str) -> dict | None:
        """Add a row that says whether two runs wrote the same bytes, and return it; None if one of them failed."""
        if one not in self._runs or other not in self._runs:
            return None
        return self._row(f"{one}, and {other}", 0, lambda: compared(self._runs[one], self._runs[other]))

    def _kernels(self) -> dict:
        """Train a fold, and return the kernels that torch names as not deterministic."""
        split = make_splits(self._examples, _NUM_SPLITS, seed=SEED)[0]
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                self._trainer.train(
                    [self._examples[example_index] for example_index in split.train_indices],
                    self._bench.work / "trained", seed=SEED, **{**self._recipe, "num_train_epochs": 1},
                )  # fmt: skip
        finally:
            torch.use_deterministic_algorithms(False)
        # Such as "scatter_add_cuda_kernel does not have a deterministic implementation, but you set …".
        sentences = {str(warning.message).partition(". ")[0][:160] for warning in heard}
        named = sorted(sentence for sentence in sentences if "determinis" in sentence)
        return {"found": "; ".join(named) or "none"}


def compared(one: tuple[Path, list[Path]], other: tuple[Path, list[Path]]) -> dict:
    """Return whether the arrays and the models of two runs have the same bytes, and which tensors differ how much."""
    (outputs, models), (other_outputs, other_models) = one, other
    arrays = sorted(file.name for file in outputs.glob("*.npz"))
    different = [name for name in arrays if file_sha256(outputs / name) != file_sha256(other_outputs / name)]
    differences = {
        f"fold {fold} {name}": difference
        for fold, pair in enumerate(zip(models, other_models, strict=True))
        for name, difference in _differences(*pair).items()
    }
    largest = sorted(differences, key=differences.get, reverse=True)[:_MOST_NAMES]
    return {
        "same_bytes": not different and not differences,
        "different_arrays": ", ".join(different),
        "different_tensors": len(differences),
        "largest_difference": max(differences.values(), default=0.0),
        "found": ", ".join(largest),
    }


def _differences(model: Path, other: Path) -> dict[str, float]:
    """Return the largest difference of each tensor that is not the same in two models."""
    with safe_open(model, framework="pt") as tensors, safe_open(other, framework="pt") as other_tensors:
        pairs = {name: (tensors.get_tensor(name), other_tensors.get_tensor(name)) for name in tensors.keys()}  # noqa: SIM118
        return {name: float((a - b).abs().max()) for name, (a, b) in pairs.items() if not torch.equal(a, b)}
