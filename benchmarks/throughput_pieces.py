"""What the throughput benchmark measures, one piece in a process of its own.

    python benchmarks/throughput_pieces.py piece.json

The file says what to do, and gets what was found. Modules are imported where they are needed: neither recipe's memory
shall hold what only the other one imports, nor the start-up what it does not need.
"""

import itertools
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

OLDER, OLDER_SHORT = "older recipe", "older recipe, not padded"
OURS, EQUAL_WORK = "ours", "ours, equal work"
START_UP = ("interpreter", "imports", "loading", "first batch", "total")
LABEL_MAP = {"O": 0, "ANS": 1}
MAX_LENGTH, NUM_SPLITS, SEED = 384, 3, 0
FIRST_BATCH = 32
MATRIX_PRODUCTS = 10


@contextmanager
def clock() -> Iterator[dict]:
    """Measure what is done inside: seconds, and the peak memory of this process up to its end."""
    import torch

    # A device, and its matrix library, start with their first work: no recipe's doing.
    _square_product(64, "float32")
    on_cuda = torch.cuda.is_available()
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    found: dict[str, float] = {}
    started = _now()
    yield found
    found["seconds"] = _now() - started
    # ru_maxrss would begin with what the parent held when it started this process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found["peak_mib"] = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
    if on_cuda:
        found["peak_cuda_mib"] = torch.cuda.max_memory_allocated() / 2**20


def _now() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _square_product(size: int, dtype: str) -> Callable[[], None]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.rand(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    torch.mm(a, b)
    return lambda: torch.mm(a, b)


def matrix_piece(spec: dict) -> dict:
    """Measure how fast a large matrix product is, as PyTorch makes it and by the faster of its libraries."""
    size, dtype = spec["matrix"]
    pytorchs = _flops_per_second(_square_product(size, dtype), size)
    if dtype != "float32":
        return {"flops_per_second": pytorchs, "fastest_flops_per_second": pytorchs}
    by_onednn = _flops_per_second(_square_product_by_onednn(size), size)
    return {"flops_per_second": pytorchs, "fastest_flops_per_second": max(pytorchs, by_onednn)}


def _square_product_by_onednn(size: int) -> Callable[[], None]:
    import torch

    a, b = torch.rand(size, size).to_mkldnn(), torch.rand(size, size)
    return lambda: torch.ops.aten.mkldnn_linear(a, b)


def _flops_per_second(multiply: Callable[[], None], size: int) -> float:
    """Return the rate of a product of two square matrices: the best of several."""
    times = []
    for _ in range(MATRIX_PRODUCTS):
        started = _now()
        multiply()
        times.append(_now() - started)
    return 2 * size**3 / min(times)


def recipe_of(spec: dict) -> dict:
    """Return the arguments of `QATrainer.train`."""
    from spanbert import BACKBONE_RECIPE

    recipe = {
        **BACKBONE_RECIPE, "num_train_epochs": spec["epochs"], "per_device_train_batch_size": spec["batch_size"]
    }  # fmt: skip
    if spec.get("who") == EQUAL_WORK:
        recipe |= {"frozen_layers": 0, "dropout": None}
    return recipe


def _older(spec: dict) -> tuple:
    """Return the older recipe's tokenizer, its checkpoint's folder, and its arguments."""
    from span_label_errors.model.checkpoints import resolve_checkpoint
    from span_label_errors.model.tokenizer import load_tokenizer

    checkpoint = resolve_checkpoint(spec["model"])
    training = {name: spec[name] for name in ("epochs", "batch_size", "bf16", "learning_rate") if name in spec}
    return load_tokenizer(checkpoint), checkpoint.path, training


def our_trainer(spec: dict):
    """Return the `QATrainer` that everything of ours is measured with."""
    from spanbert import QA, QATrainer

    return QATrainer(QA(spec["model"], precision=spec["precision"]), MAX_LENGTH, LABEL_MAP)


def num_tokens(trainer, examples: list[dict]) -> list[int]:
    """Return how many tokens each example has, question and special tokens included."""
    from span_label_errors.model.windows import tokenize_examples

    tokenized = tokenize_examples(trainer.qa.tokenizer, examples, LABEL_MAP, max_length=MAX_LENGTH)
    return [len(example.question.token_ids) + len(example.context.token_ids) + 3 for example in tokenized]


def _train(spec: dict, examples: list[dict], folder: Path) -> dict:
    if spec["who"] == OLDER:
        import older_recipe

        tokenizer, checkpoint, training = _older(spec)
        with clock() as found:
            done = older_recipe.train(tokenizer, examples, checkpoint, folder, seed=spec["seed"], **training)
        return {**found, **done}

    trainer, steps = our_trainer(spec), []
    with clock() as found:
        trainer.train(
            examples, folder, seed=spec["seed"], on_step=lambda step, *_: steps.append(step), **recipe_of(spec)
        )
    return {**found, "steps": len(steps), "real_tokens": sum(num_tokens(trainer, examples))}


def train_piece(spec: dict) -> dict:
    """Measure one training."""
    return _train({**spec, "seed": SEED}, read_json(spec["data"]), Path(spec["folder"]) / "model")


def predict_piece(spec: dict) -> dict:
    """Measure the prediction of all examples; speed does not ask what the weights have learned."""
    examples = read_json(spec["data"])
    if spec["who"] == OURS:
        from spanbert import QA

        qa = QA(spec["model"], precision=spec["precision"])
        qa.model.eval()
        with clock() as found:
            found["predicted"] = sum(1 for _ in qa.predictions(examples))
        return found
    import older_recipe

    tokenizer, checkpoint, _ = _older(spec)
    model, padded = older_recipe.load_model(checkpoint).to(_device()).eval(), spec["who"] == OLDER
    with clock() as found:
        for example in examples:
            older_recipe.predict(model, tokenizer, example, padded=padded, bf16=spec["bf16"])
        found["predicted"] = len(examples)
    return found


def _device():
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pipeline_piece(spec: dict) -> dict:
    """Measure everything from the checkpoint to the written files."""
    import torch

    from span_label_errors.cross_validation.splits import make_splits

    examples, folder, after_folds = read_json(spec["data"]), Path(spec["folder"]), []

    def after_fold(*_) -> None:
        if torch.cuda.is_available():
            after_folds.append(torch.cuda.memory_allocated() / 2**20)

    if spec["who"] == OLDER:
        import older_recipe

        with clock() as found:
            tokenizer, checkpoint, training = _older(spec)
            splits = make_splits(examples, NUM_SPLITS, seed=SEED)
            found |= older_recipe.run_pipeline(
                tokenizer, examples, splits, checkpoint, folder,
                device=_device(), seed=SEED, after_fold=after_fold, **training,
            )  # fmt: skip
    else:
        from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
        from span_label_errors.results.write import write_outputs

        with clock() as found:
            trainer = our_trainer(spec)
            out_of_fold = out_of_fold_predictions(
                examples, trainer, num_splits=NUM_SPLITS, seed=SEED, folds_dir=folder / "folds", log=after_fold,
                **recipe_of(spec),
            )  # fmt: skip
            write_outputs(folder / "outputs", examples, out_of_fold, {}, seconds=0.0)
        lengths = num_tokens(trainer, examples)
        reports = out_of_fold.reports
        found |= {stage: sum(report["seconds"][stage] for report in reports) for stage in ("train", "predict")}
        found["gather and write"] = found["seconds"] - found["train"] - found["predict"]
        found["steps"] = spec["epochs"] * sum(
            math.ceil(report["num_training_windows"] / spec["batch_size"]) for report in reports
        )
        found["real_tokens"] = sum(lengths[i] for report in reports for i in report["train_indices"])
    return {**found, "cuda_mib_after_folds": after_folds}


def start_up_piece(spec: dict) -> dict:
    """Measure how long a user waits for the first predicted batch, from when the process was started."""
    marks = [spec["started"], time.monotonic()]
    from spanbert import QA

    marks.append(time.monotonic())
    qa = QA()
    qa.model.eval()
    marks.append(time.monotonic())
    examples = read_json(spec["data"])[:FIRST_BATCH]
    qa.predict_batch(examples, batch_size=FIRST_BATCH)
    marks.append(time.monotonic())
    parts = [end - start for start, end in itertools.pairwise(marks)]
    return {**dict(zip(START_UP, [*parts, marks[-1] - marks[0]], strict=True)), "examples": len(examples)}


def accuracy_piece(spec: dict) -> dict:
    """Train one fold, and measure the average precision over the context tokens that it holds out."""
    import numpy as np
    import older_recipe
    from sklearn.metrics import average_precision_score

    from span_label_errors.cross_validation.splits import fold_seed, make_splits
    from spanbert import QA

    examples, folder = read_json(spec["data"]), Path(spec["folder"]) / "model"
    split = make_splits(examples, NUM_SPLITS, seed=SEED)[spec["fold"]]
    held_in, held_out = ([examples[i] for i in indices] for indices in (split.train_indices, split.validation_indices))
    found = _train({**spec, "seed": fold_seed(SEED, spec["fold"])}, held_in, folder)
    tokenizer = _older(spec)[0]
    # The older recipe crashes on the others, so both are measured without them.
    fitting = [example for example in held_out if older_recipe.fits_positions(tokenizer, example)]
    too_long, held_out = len(held_out) - len(fitting), fitting
    if spec["who"] == OLDER:
        model = older_recipe.load_model(folder).to(_device()).eval()
        predictions = [older_recipe.predict(model, tokenizer, example, bf16=spec["bf16"]) for example in held_out]
        probs, labels = ([getattr(p, name) for p in predictions] for name in ("pred_probs", "labels"))
    else:
        predictions = [
            prediction.context_only() for prediction in QA(folder, precision=spec["precision"]).predictions(held_out)
        ]
        probs, labels = (
            [getattr(p, name)[:, LABEL_MAP["ANS"]] for p in predictions] for name in ("pred_probs", "labels")
        )
    labels = np.concatenate(labels)
    return {
        **found, "average_precision": float(average_precision_score(labels, np.concatenate(probs))),
        "base_rate": float(labels.mean()), "held_out_tokens": len(labels), "held_out": len(held_out),
        "too_long": too_long,
    }  # fmt: skip


PIECES = {
    "matrix": matrix_piece, "train": train_piece, "predict": predict_piece, "pipeline": pipeline_piece,
    "start_up": start_up_piece, "accuracy": accuracy_piece,
}  # fmt: skip


def read_json(path: str | Path):
    """Return what a JSON file holds."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def run_piece(spec_file: Path) -> None:
    """Do what a file tells, and write into it what was found."""
    spec = read_json(spec_file)
    spec_file.write_text(json.dumps({"found": PIECES[spec["piece"]](spec)}), encoding="utf-8")


if __name__ == "__main__":
    run_piece(Path(sys.argv[1]))
