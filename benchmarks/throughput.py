"""Compare training, prediction and the whole pipeline with the older recipe, and with what the machine could do.

    python benchmarks/throughput.py                          # alternating pairs, the whole pipeline, start-up
    python benchmarks/throughput.py --curve 50 100 200 400   # cost against the number of examples
    python benchmarks/throughput.py --accuracy               # held-out accuracy of both, on the demo

Every measured piece runs in a process of its own (`throughput_pieces.py`), and who goes first alternates from pair to
pair. Each of the three commands brings its own part of `--results`/throughput_*.json up to date after each piece, and
prints its tables.

What is compared: the older recipe pads every example to 384 tokens and predicts one at a time ("not padded": at its own
length). Ours trains by `BACKBONE_RECIPE`, embeddings and lowest layers frozen, no dropout; "equal work" freezes nothing
and has the checkpoint's dropout. All read the same examples, which fit into one window, and make the same number of
optimizer steps. The clock runs over the call that a user waits for; imports, the tokenizer and, for prediction, the
weights are loaded before it starts.

"x floor" is the time against 6 floating-point operations (2 in prediction) for each parameter that is no embedding and
each token that is no padding, at the rate of a large matrix product measured beside the pair; "x floor of trained"
counts 2 for the parameters of frozen layers, and "x fastest floor" takes the rate of the faster of PyTorch's libraries.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from label_errors.runs import spread
from synthetic_squad import vocabulary_of, write_squad, write_untrained_bert
from throughput_pieces import (
    EQUAL_WORK,
    LABEL_MAP,
    MAX_LENGTH,
    NUM_SPLITS,
    OLDER,
    OLDER_SHORT,
    OURS,
    SEED,
    num_tokens,
    our_trainer,
    read_json,
)
from transformers import BertConfig, BertForTokenClassification

from span_label_errors.data.sources import DEMO_SOURCE
from span_label_errors.data.squad import load_squad
from span_label_errors.files import new_folder, write_file
from span_label_errors.model.qa import PRECISIONS
from spanbert import BACKBONE_RECIPE

HERE = Path(__file__).resolve().parent
SYNTHETIC, RANDOM_BASE = "synthetic", "bert-base-random"
OLDER_LEARNING_RATES = (5e-5, BACKBONE_RECIPE["learning_rate"])
MATRICES = {"cpu": (2048, "float32"), "cuda": (8192, "bfloat16")}
TRAINING, PREDICTION = (OLDER, OURS, EQUAL_WORK), (OLDER, OLDER_SHORT, OURS)
STAGES = ("train", "predict", "gather and write")


# What is run


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
        print(f"{piece} {named}: {found.get('seconds', 0):.2f} s", file=sys.stderr, flush=True)
        return found


def start_again(spec_file: Path, device: str) -> None:
    """Run a piece in a process of its own, which sees no GPU if none is asked for."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else None
    command = [sys.executable, str(HERE / "throughput_pieces.py"), str(spec_file)]
    subprocess.run(command, check=True, env=environment)  # noqa: S603 # nosec B603 # this program's own pieces


def order_of(pair: int, names: Sequence[str]) -> list[str]:
    """Return who is measured first, second, …: the other way round in every second pair."""
    return list(names) if pair % 2 == 0 else list(reversed(names))


def examples_of(arguments: argparse.Namespace, tokenizer, count: int) -> list[dict]:
    """Return examples of the data set, spread over its paragraphs, or as many made-up ones."""
    if arguments.dataset != SYNTHETIC:
        examples = list(load_squad(arguments.dataset))
        return [examples[example_index] for example_index in spread(examples, count)]
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        write_squad(Path(folder) / "squad.json", count, vocabulary_of(tokenizer))
        return list(load_squad(Path(folder) / "squad.json"))


def fitting(arguments: argparse.Namespace, trainer) -> tuple[list[dict], dict]:
    """Return examples that fit into one window, and what is to be said of them."""
    looked_at = examples_of(arguments, trainer.qa.tokenizer, 4 * arguments.examples)
    lengths = num_tokens(trainer, looked_at)
    fit = [example for example, length in zip(looked_at, lengths, strict=True) if length <= MAX_LENGTH]
    if len(fit) < arguments.examples:
        raise ValueError(
            f"--examples: expected at least {arguments.examples} examples of {arguments.dataset} that fit into "
            f"{MAX_LENGTH} tokens, found {len(fit)}; ask for fewer"
        )
    examples = [fit[example_index] for example_index in spread(fit, arguments.examples)]
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


def check_equal(pieces: dict[str, dict], *names: str) -> None:
    """Raise ValueError unless everybody did the same work, or was measured on the same tokens."""
    for name in names:
        found = {who: piece[name] for who, piece in pieces.items()}
        if len(set(found.values())) != 1:
            raise ValueError(
                f"expected the same {name} of everybody, found {found}; take examples whose question and context fit "
                "into one window"
            )


def compare(arguments: argparse.Namespace, pieces: Pieces, save: Callable[[dict], None]) -> None:
    """Measure alternating pairs, the whole pipeline, and the start-up."""
    trainer = our_trainer(pieces.shared)
    examples, data = fitting(arguments, trainer)
    found = {
        "data": data, "parameters": parameter_counts(trainer.qa.checkpoint.path, BACKBONE_RECIPE["frozen_layers"]),
        "matrix": "{0} × {0} ({1})".format(*MATRICES[pieces.device]), "pairs": [], "pipelines": [], "start_up": [],
    }  # fmt: skip
    for number in range(arguments.pairs):
        pair = {"order": order_of(number, TRAINING), **pieces.measure("matrix", [])}
        for stage, names in (("train", TRAINING), ("predict", PREDICTION)):
            pair[stage] = {who: pieces.measure(stage, examples, who=who) for who in order_of(number, names)}
        check_equal(pair["train"], "steps", "real_tokens")
        found["pairs"].append(pair)
        save(found)
    for number in range(arguments.pipeline_pairs):
        run = {who: pieces.measure("pipeline", examples, who=who) for who in order_of(number, (OLDER, OURS))}
        check_equal(run, "steps", "real_tokens")
        found["pipelines"].append(run)
        save(found)
    for _ in range(arguments.start_ups):
        found["start_up"].append(pieces.measure("start_up", examples))
        save(found)


def measure_curve(arguments: argparse.Namespace, pieces: Pieces, save: Callable[[dict], None]) -> None:
    """Measure our whole pipeline at several sizes."""
    tokenizer, points = our_trainer(pieces.shared).qa.tokenizer, []
    for size in arguments.curve:
        examples = examples_of(arguments, tokenizer, size)
        points.append({"examples": len(examples), **pieces.measure("pipeline", examples, who=OURS)})
        save({"points": points})


def measure_accuracy(arguments: argparse.Namespace, pieces: Pieces, save: Callable[[dict], None]) -> None:
    """Measure both recipes on held-out examples."""
    examples, runs = list(load_squad(arguments.dataset)), []
    recipes = [(OURS, BACKBONE_RECIPE["learning_rate"]), *((OLDER, rate) for rate in OLDER_LEARNING_RATES)]
    for fold in range(NUM_SPLITS):
        of_fold = {}
        for who, rate in recipes:
            run = pieces.measure("accuracy", examples, who=who, learning_rate=rate, fold=fold)
            of_fold[f"{who} {rate:g}"] = run
            check_equal(of_fold, "held_out_tokens", "base_rate")
            runs.append({"recipe": who, "learning_rate": rate, "fold": fold, **run})
            save({"runs": runs})


# Tables


def floor_flops(num_parameters: int, num_tokens: int, *, num_frozen: int = 0, training: bool = True) -> int:
    """Return the floating-point operations that no implementation can avoid, attention's own left out.

    Parameters
    ----------
    num_parameters : int
        Without embeddings, which are looked up.
    num_tokens : int
        Without padding.
    num_frozen : int
        Of these parameters, those that take no backward pass.
    training : bool
        Forward is a multiplication and an addition for each parameter and token, backward twice as much.
    """
    backward = 4 * (num_parameters - num_frozen) * num_tokens if training else 0
    return 2 * num_parameters * num_tokens + backward


def measurements(comparison: dict) -> pd.DataFrame:
    """Return a row for each measured piece of the pairs and of the whole pipeline."""
    data, parameters, rows = comparison["data"], comparison["parameters"], []
    for number, pair in enumerate(comparison["pairs"]):
        for stage in ("train", "predict"):
            times = comparison["settings"]["epochs"] if stage == "train" else 1
            for who, piece in pair[stage].items():
                seconds, tokens = piece["seconds"], data["real_tokens"] * times
                frozen = parameters["of_frozen_layers"] if who == OURS else 0
                flops, flops_of_trained = (
                    floor_flops(parameters["non_embedding"], tokens, num_frozen=number, training=stage == "train")
                    for number in (0, frozen)
                )
                rate, fastest_rate = pair["flops_per_second"], pair["fastest_flops_per_second"]
                rows.append({
                    "stage": stage, "who": who, "pair": number, "seconds": seconds,
                    "examples/s": data["examples"] * times / seconds, "real tokens/s": tokens / seconds,
                    "x floor": seconds * rate / flops, "x floor of trained": seconds * rate / flops_of_trained,
                    "x fastest floor": seconds * fastest_rate / flops,
                    "peak MiB": piece["peak_mib"], "peak GPU MiB": piece.get("peak_cuda_mib"),
                })  # fmt: skip
    for number, run in enumerate(comparison["pipelines"]):
        for who in (OLDER, OURS):
            piece = run[who]
            rows.append({
                "stage": "pipeline", "who": who, "pair": number, "seconds": piece["seconds"],
                **{f"seconds of {stage}": piece[stage] for stage in STAGES},
                "peak MiB": piece["peak_mib"], "peak GPU MiB": piece.get("peak_cuda_mib"),
            })  # fmt: skip
    return pd.DataFrame(rows)


def times_as_fast(measured: pd.DataFrame) -> pd.DataFrame:
    """Return how many times as fast ours is, taken within pairs."""
    seconds = measured.pivot_table(index="pair", columns=["stage", "who"], values="seconds")
    ratios = {
        (stage, f"{who} to {older}"): seconds[stage, older] / seconds[stage, who]
        for stage, who in seconds.columns
        for older in (OLDER, OLDER_SHORT)
        if who in (OURS, EQUAL_WORK) and (stage, older) in seconds.columns
    }
    return pd.DataFrame(ratios).agg(["median", "min", "max", "count"]).T


def tables(results: dict) -> list[pd.DataFrame]:
    """Return the tables of whatever has been run."""
    found = []
    if "comparison" in results:
        measured = measurements(results["comparison"])
        of_all = measured.drop(columns="pair").groupby(["stage", "who"], sort=False).agg(["median", "min", "max"])
        found += [times_as_fast(measured), of_all.T.dropna(how="all")]
        found.append(pd.DataFrame(results["comparison"]["start_up"]).agg(["median", "min", "max"]))
    if "curve" in results:
        found.append(pd.DataFrame(results["curve"]["points"])[["examples", *STAGES, "seconds", "peak_mib"]])
    if "accuracy" in results:
        runs = pd.DataFrame(results["accuracy"]["runs"])
        by_fold = runs.pivot_table(index=["recipe", "learning_rate"], columns="fold", values="average_precision")
        of_recipe = runs.groupby(["recipe", "learning_rate"])
        found.append(by_fold.assign(mean=by_fold.mean(axis=1, skipna=False), seconds=of_recipe["seconds"].sum()))
        found.append(runs.groupby("fold")[["base_rate", "held_out_tokens"]].first())
    return found


def plot_curve(curve: dict, path: Path) -> None:
    """Plot seconds of each stage against the number of examples, both on logarithmic axes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    sizes = [point["examples"] for point in curve["points"]]
    for stage in STAGES:
        axes.loglog(sizes, [point[stage] for point in curve["points"]], marker="o", label=stage)
    axes.set(xlabel="examples", ylabel="seconds", title=f"Whole pipeline, {curve['settings']['folds']} folds")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


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


def model_of(arguments: argparse.Namespace) -> str:
    """Return what `QA` is to load."""
    if arguments.model != RANDOM_BASE:
        return arguments.model
    folder = arguments.work / RANDOM_BASE
    if not folder.exists():
        with new_folder(folder) as partial:
            write_untrained_bert(partial)
    return str(folder)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--dataset", help="anything that load_squad reads; made up, or the demo for --accuracy")
    made.add_argument("--examples", type=int, default=64, help="of each pair")
    made.add_argument("--epochs", type=int, help="1, or the recipe's for --curve and --accuracy")
    made.add_argument("--pairs", type=int, default=5)
    made.add_argument("--pipeline-pairs", type=int, default=1)
    made.add_argument("--start-ups", type=int, default=5)
    made.add_argument(
        "--model",
        default="embedded-backbone",
        help=f"a checkpoint, or {RANDOM_BASE}: its speed is the same",
    )
    made.add_argument("--batch-size", type=int, default=8)
    made.add_argument("--precision", choices=PRECISIONS, default="auto", help="of ours; see QA")
    made.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--curve", nargs="+", type=int, metavar="SIZE", help="sizes of our whole pipeline")
    made.add_argument("--accuracy", action="store_true", help="measure the held-out accuracy of both recipes")
    made.add_argument("--work", type=Path, default=HERE / "runs" / "throughput", help="where models go")
    made.add_argument("--results", type=Path, default=HERE / "results")
    return made


def main(words: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: expected a GPU that torch can use, found none; use --device cpu")
    part = "accuracy" if arguments.accuracy else "curve" if arguments.curve else "comparison"
    if arguments.dataset is None:
        arguments.dataset = DEMO_SOURCE if part == "accuracy" else SYNTHETIC
    if arguments.epochs is None:
        arguments.epochs = 1 if part == "comparison" else BACKBONE_RECIPE["num_train_epochs"]
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    told = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "precision")}
    on_cuda = arguments.device == "cuda"
    shared = {**told, "model": model_of(arguments), "bf16": on_cuda, "matrix": MATRICES[arguments.device]}
    about = {
        # Without this machine's folders.
        "command": " ".join(["python benchmarks/throughput.py", *(Path(word).name for word in words)]),
        "machine": machine(arguments.device),
        "settings": {"dataset": Path(arguments.dataset).name, "model": Path(arguments.model).name, **told,
                     "folds": NUM_SPLITS, "seed": SEED},
    }  # fmt: skip
    file = arguments.results / f"throughput_{arguments.device}.json"

    def save(found: dict) -> None:
        results = read_json(file) if file.exists() else {}
        write_file(file, json.dumps({**results, part: {**about, **found}}, indent=1))

    measure = {"comparison": compare, "curve": measure_curve, "accuracy": measure_accuracy}[part]
    measure(arguments, Pieces(arguments.work, arguments.device, shared), save)
    results = read_json(file)
    if part == "curve":
        plot_curve(results[part], file.with_suffix(".png"))
    for table in tables({part: results[part]}):
        print(table.to_string(float_format="{:,.2f}".format), end="\n\n")


if __name__ == "__main__":
    main()
