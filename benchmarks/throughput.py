"""Compare training, prediction and the whole pipeline with the older recipe, and with what the machine could do.

    python benchmarks/throughput.py                          # alternating pairs, the whole pipeline, start-up
    python benchmarks/throughput.py --curve 50 100 200 400   # cost against the number of examples
    python benchmarks/throughput.py --accuracy               # held-out accuracy of both, on the demo

Every measured piece runs in a process of its own. Each of the three commands brings its own part of the report in
`--results` up to date, also when only some of its runs are finished; runs of `--accuracy` are kept in `--work` and not
made again.
"""

import argparse
import json
import os
import platform
import re
import subprocess  # nosec B404 # runs the pieces of this program alone
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from label_error_detection import spread
from synthetic_squad import vocabulary_of, write_squad, write_untrained_bert
from throughput_pieces import LABEL_MAP, MAX_LENGTH, NUM_SPLITS, SEED, num_tokens, our_trainer, read_json
from throughput_report import (
    OLDER,
    OURS,
    PREDICTION,
    TRAINING,
    check_equal_work,
    check_same_held_out,
    markdown,
    order_of,
    plot_curve,
)
from transformers import BertConfig, BertForTokenClassification

import fold_trainer
from atomic_files import new_folder, write_file
from fold_store import code_fingerprint, data_fingerprint, fold_key
from qa import PRECISIONS
from spanbert import EMBEDDED_RECIPE
from squad import load_squad
from squad_sources import DEMO_SOURCE

HERE = Path(__file__).resolve().parent
SYNTHETIC, RANDOM_BASE = "synthetic", "bert-base-random"
OLDER_LEARNING_RATES = (5e-5, EMBEDDED_RECIPE["learning_rate"])
MATRICES = {"cpu": (2048, "float32"), "cuda": (8192, "bfloat16")}


# Pieces, each in a process of its own


def start_again(spec_file: Path, device: str) -> None:
    """Run a piece in a process of its own, which sees no GPU if none is asked for."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else None
    command = [sys.executable, str(HERE / "throughput_pieces.py"), str(spec_file)]
    subprocess.run(command, check=True, env=environment)  # noqa: S603 # nosec B603 # this program's own pieces


@dataclass(frozen=True)
class Pieces:
    """Runs pieces that share some of what they are told, in a folder that is removed afterwards."""

    work: Path
    device: str
    shared: dict

    def measure(self, piece: str, examples: list[dict], **spec) -> dict:
        """Run a piece, and return what it found."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            data, spec_file = Path(folder) / "data.json", Path(folder) / "piece.json"
            data.write_text(json.dumps(examples), encoding="utf-8")
            spec = {**self.shared, "piece": piece, "data": str(data), "folder": folder, **spec}
            spec_file.write_text(json.dumps({**spec, "started": time.monotonic()}), encoding="utf-8")
            start_again(spec_file, self.device)
            found = read_json(spec_file)["found"]
        named = ", ".join(f"{name} {spec[name]}" for name in ("who", "learning_rate", "fold") if name in spec)
        seconds = f": {found['seconds']:.2f} s" if "seconds" in found else ""
        print(f"{piece} {named}{seconds}", file=sys.stderr, flush=True)
        return found


# What is run


def examples_of(arguments: argparse.Namespace, tokenizer, count: int) -> list[dict]:
    """Return examples of the data set, spread over its paragraphs, or as many made-up ones."""
    if arguments.dataset != SYNTHETIC:
        return spread(list(load_squad(arguments.dataset)), count)
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        write_squad(Path(folder) / "squad.json", count, vocabulary_of(tokenizer))
        return list(load_squad(Path(folder) / "squad.json"))


def fitting(arguments: argparse.Namespace, trainer) -> tuple[list[dict], dict]:
    """Return examples that fit into one window, and what is to be said of them."""
    looked_at = examples_of(arguments, trainer.qa.tokenizer, 4 * arguments.examples)
    fit = [
        example
        for example, length in zip(looked_at, num_tokens(trainer, looked_at), strict=True)
        if length <= MAX_LENGTH
    ]
    if len(fit) < arguments.examples:
        raise ValueError(
            f"--examples: expected at least {arguments.examples} examples of {arguments.dataset} that fit into "
            f"{MAX_LENGTH} tokens, found {len(fit)}; ask for fewer"
        )
    examples = spread(fit, arguments.examples)
    lengths = num_tokens(trainer, examples)
    return examples, {
        "examples": len(examples), "paragraphs": len({example["context"] for example in examples}),
        "real_tokens": sum(lengths), "median_tokens": float(np.median(lengths)), "longest_tokens": max(lengths),
        "looked_at": len(looked_at), "left_out": len(looked_at) - len(fit),
    }  # fmt: skip


def parameter_counts(checkpoint: Path, num_frozen_layers: int) -> dict[str, int]:
    """Return the number of parameters without embeddings, and how many of them belong to frozen layers."""
    config = BertConfig.from_pretrained(  # nosec B615 # a folder that is here has no revision
        checkpoint, num_labels=len(LABEL_MAP), local_files_only=True
    )
    with torch.device("meta"):
        network = BertForTokenClassification(config)
    frozen = network.bert.encoder.layer[:num_frozen_layers]
    embeddings = sum(weights.numel() for weights in network.bert.embeddings.parameters())
    return {
        "non_embedding": sum(weights.numel() for weights in network.parameters()) - embeddings,
        "of_frozen_layers": sum(weights.numel() for weights in frozen.parameters()),
    }


def model_of(arguments: argparse.Namespace) -> str:
    """Return what `QA` is to load."""
    if arguments.model != RANDOM_BASE:
        return arguments.model
    folder = arguments.work / RANDOM_BASE
    if not folder.exists():
        with new_folder(folder) as partial:
            write_untrained_bert(partial)
    return str(folder)


def settings_of(arguments: argparse.Namespace) -> dict:
    """Return what a report has to say of any part, without this machine's folders."""
    return {
        "dataset": Path(arguments.dataset).name, "model": Path(arguments.model).name, "epochs": arguments.epochs,
        "batch_size": arguments.batch_size, "precision": arguments.precision, "folds": NUM_SPLITS, "seed": SEED,
    }  # fmt: skip


def compare(arguments: argparse.Namespace, pieces: Pieces, save: Callable[[dict], None]) -> None:
    """Measure alternating pairs, the whole pipeline, and the start-up."""
    trainer = our_trainer(pieces.shared)
    examples, data = fitting(arguments, trainer)
    size, dtype = MATRICES[pieces.device]
    found = {
        "settings": {
            **settings_of(arguments), "examples": len(examples), "pairs": arguments.pairs,
            "pipeline_pairs": arguments.pipeline_pairs,
        },
        "data": data, "matrix": f"{size} × {size} ({dtype})",
        "parameters": parameter_counts(trainer.qa.checkpoint.path, EMBEDDED_RECIPE["frozen_layers"]),
        "pairs": [], "pipelines": [], "start_up": [],
    }  # fmt: skip
    for number in range(arguments.pairs):
        pair = {"order": order_of(number, TRAINING), **pieces.measure("matrix", [])}
        for stage, names in (("train", TRAINING), ("predict", PREDICTION)):
            pair[stage] = {who: pieces.measure(stage, examples, who=who) for who in order_of(number, names)}
        found["pairs"].append({**pair, "steps": check_equal_work(pair["train"], len(examples))})
        save(found)
    for number in range(arguments.pipeline_pairs):
        order = order_of(number, (OLDER, OURS))
        run = {who: pieces.measure("pipeline", examples, who=who) for who in order}
        found["pipelines"].append({"order": order, **run, "steps": check_equal_work(run, len(examples))})
        save(found)
    for _ in range(arguments.start_ups):
        found["start_up"].append(pieces.measure("start_up", examples))
        save(found)


def measure_curve(arguments: argparse.Namespace, pieces: Pieces, save: Callable[[dict], None]) -> None:
    """Measure our whole pipeline at several sizes."""
    tokenizer = our_trainer(pieces.shared).qa.tokenizer
    settings = {**settings_of(arguments), "sizes": " ".join(map(str, arguments.curve))}
    points = []
    for size in arguments.curve:
        examples = examples_of(arguments, tokenizer, size)
        points.append({"examples": len(examples), **pieces.measure("pipeline", examples, who=OURS)})
        save({"settings": settings, "points": points})


def measure_accuracy(arguments: argparse.Namespace, pieces: Pieces, save: Callable[[dict], None]) -> None:
    """Measure both recipes on held-out examples, but for runs that are there."""
    examples = list(load_squad(arguments.dataset))
    trainer = our_trainer(pieces.shared)
    recipes = [(OURS, EMBEDDED_RECIPE["learning_rate"]), *((OLDER, rate) for rate in OLDER_LEARNING_RATES)]
    wanted = [(who, rate, fold) for fold in range(NUM_SPLITS) for who, rate in recipes]
    settings = {**settings_of(arguments), "examples": len(examples)}
    runs = []
    for who, rate, fold in wanted:
        made_of = {
            **settings, "who": who, "learning_rate": rate, "fold": fold, "device": pieces.device,
            "data": data_fingerprint(examples), "trainer": fold_trainer.settings(trainer), "code": code_fingerprint(),
            "recipe": EMBEDDED_RECIPE, "older": (HERE / "older_recipe.py").read_text(encoding="utf-8"),
        }  # fmt: skip
        name = f"accuracy-{who.replace(' ', '_')}-{rate:g}-fold_{fold}-{fold_key(made_of)[:12]}.json"
        kept = arguments.work / name
        if not kept.exists():
            run = pieces.measure("accuracy", examples, who=who, learning_rate=rate, fold=fold)
            write_file(kept, json.dumps({"recipe": who, "learning_rate": rate, "fold": fold, **run}, indent=1))
        runs.append(read_json(kept))
        check_same_held_out([run for run in runs if run["fold"] == fold])
        save({"settings": settings, "wanted": len(wanted), "runs": runs})


# Command line


def machine(device: str) -> dict:
    """Return the machine in words, without its name."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.exists() else None
    words = [
        model[1] if model else platform.machine(), f"{os.cpu_count()} cores", f"{torch.get_num_threads()} threads",
        *([torch.cuda.get_device_name()] if device == "cuda" else []),
        f"Python {platform.python_version()}", f"torch {version('torch')}", f"transformers {version('transformers')}",
    ]  # fmt: skip
    return {"device": device, "text": ", ".join(words)}


def device_of(wanted: str) -> str:
    """Return "cuda" or "cpu"."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: expected a GPU that torch can use, found none; use --device cpu")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def positive(text: str) -> int:
    """Return a number of the command line that must be at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, found {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--dataset", help="anything that load_squad reads; made up, or the demo for --accuracy")
    made.add_argument("--examples", type=positive, default=64, help="of each pair")
    made.add_argument("--epochs", type=positive, help="1, or the recipe's for --curve and --accuracy")
    made.add_argument("--pairs", type=positive, default=5)
    made.add_argument("--pipeline-pairs", type=int, default=1)
    made.add_argument("--start-ups", type=int, default=5)
    made.add_argument(
        "--model", default="embedded", help=f"embedded, a folder, or {RANDOM_BASE}: its speed is the same"
    )
    made.add_argument("--batch-size", type=positive, default=8)
    made.add_argument("--precision", choices=PRECISIONS, default="auto", help="of ours; see QA")
    made.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
    made.add_argument("--curve", nargs="+", type=positive, metavar="SIZE", help="sizes of our whole pipeline")
    made.add_argument("--accuracy", action="store_true", help="measure the held-out accuracy of both recipes")
    made.add_argument("--work", type=Path, default=HERE / "runs" / "throughput", help="where models and runs go")
    made.add_argument("--results", type=Path, default=HERE / "results")
    return made


def command_of(words: list[str]) -> str:
    """Return the command as another would type it, without this machine's folders."""
    arguments = parser().parse_args(words)
    shown = []
    for name, value in vars(arguments).items():
        if name not in ("work", "results") and value != parser().get_default(name):
            values = [] if value is True else value if isinstance(value, list) else [value]
            shown += [f"--{name.replace('_', '-')}", *(Path(str(item)).name for item in values)]
    return " ".join(["python benchmarks/throughput.py", *shown])


def main(words: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words)
    device = device_of(arguments.device)
    part = "accuracy" if arguments.accuracy else "curve" if arguments.curve else "comparison"
    if arguments.dataset is None:
        arguments.dataset = DEMO_SOURCE if part == "accuracy" else SYNTHETIC
    if arguments.epochs is None:
        arguments.epochs = 1 if part == "comparison" else EMBEDDED_RECIPE["num_train_epochs"]
    arguments.work.mkdir(parents=True, exist_ok=True)
    pieces = Pieces(
        arguments.work,
        device,
        {
            "model": model_of(arguments), "epochs": arguments.epochs, "batch_size": arguments.batch_size,
            "bf16": device == "cuda", "precision": arguments.precision, "matrix": MATRICES[device],
        },
    )  # fmt: skip
    about = {"command": command_of(words), "machine": machine(device)}
    files = arguments.results / f"throughput_{device}"

    def save(found: dict) -> None:
        results = read_json(f"{files}.json") if Path(f"{files}.json").exists() else {}
        results[part] = {**about, **found}
        write_file(f"{files}.json", json.dumps(results, indent=1))
        write_file(f"{files}.md", markdown(results, f"{files.name}.png"))
        if part == "curve":
            plot_curve(results[part], Path(f"{files}.png"))

    {"comparison": compare, "curve": measure_curve, "accuracy": measure_accuracy}[part](arguments, pieces, save)
    print(Path(f"{files}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
