"""The arithmetic of the throughput benchmark, and its report."""

import statistics
from collections.abc import Sequence
from pathlib import Path

OLDER, OLDER_SHORT = "older recipe", "older recipe, not padded"
OURS, EQUAL_WORK = "ours", "ours, equal work"
TRAINING, PREDICTION = (OLDER, OURS, EQUAL_WORK), (OLDER, OLDER_SHORT, OURS)
STAGES = ("train", "predict", "gather and write")
START_UP = ("interpreter", "imports", "loading", "first batch", "total")


def order_of(pair: int, names: Sequence[str]) -> list[str]:
    """Return who is measured first, second, …: the other way round in every second pair."""
    return list(names) if pair % 2 == 0 else list(reversed(names))


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


def check_equal_work(pieces: dict[str, dict], num_examples: int) -> int:
    """Return the number of optimizer steps, which must be the same of all, as must be what they read.

    Raises
    ------
    ValueError
        If it is not.
    """
    for name in ("steps", "real_tokens"):
        found = {who: piece[name] for who, piece in pieces.items()}
        if len(set(found.values())) != 1:
            raise ValueError(
                f"{num_examples} examples: expected the same {name} of everybody, found {found}; take examples whose "
                "question and context fit into one window"
            )
    return pieces[OLDER]["steps"]


def check_same_held_out(runs: list[dict]) -> None:
    """Raise ValueError if runs of one fold were measured on different tokens or labels."""
    found = {(run["held_out_tokens"], run["base_rate"]) for run in runs}
    if len(found) != 1:
        raise ValueError(
            f"fold {runs[0]['fold']}: expected the same held-out tokens and labels of all recipes, found (tokens, "
            f"share of the answer) {sorted(found)}; take examples that both read whole"
        )


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(pairs: Sequence[dict], older: str = OLDER, ours: str = OURS) -> list[float]:
    """Return how many times as fast ours is, pair by pair."""
    return [pair[older]["seconds"] / pair[ours]["seconds"] for pair in pairs]


def short(value: float) -> str:
    """Write a number with about three digits."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def with_spread(values: Sequence[float]) -> str:
    """Write the median, and least and greatest if there are several."""
    found = spread(values)
    if len(values) == 1:
        return short(found["median"])
    return f"{short(found['median'])} ({short(found['min'])} – {short(found['max'])})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["", *(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _made_with(section: dict) -> list[str]:
    machine = section["machine"]
    settings = ", ".join(f"{name} {value}" for name, value in section["settings"].items())
    return ["", f"`{section['command']}` on {machine['text']}.", "", f"Settings: {settings}.", ""]


def _rate_rows(names: Sequence[str], comparison: dict, stage: str) -> list[list[str]]:
    data, parameters, training = comparison["data"], comparison["parameters"], stage == "train"
    epochs = comparison["settings"]["epochs"] if training else 1
    num_examples, num_tokens = data["examples"] * epochs, data["real_tokens"] * epochs
    rows = []
    for name in names:
        pieces = [pair[stage][name] for pair in comparison["pairs"]]
        seconds = [piece["seconds"] for piece in pieces]
        frozen = parameters["of_frozen_layers"] if name == OURS else 0
        floors = {
            num_frozen: [
                floor_flops(parameters["non_embedding"], num_tokens, num_frozen=num_frozen, training=training)
                / pair["flops_per_second"]
                for pair in comparison["pairs"]
            ]
            for num_frozen in (0, frozen)
        }
        multiples = {
            num_frozen: [taken / floor for taken, floor in zip(seconds, floors[num_frozen], strict=True)]
            for num_frozen in floors
        }
        cells = [
            with_spread([num_examples / taken for taken in seconds]),
            with_spread([num_tokens / taken for taken in seconds]),
            with_spread(seconds),
            with_spread(multiples[0]),
        ]
        if training:
            cells.append(with_spread(multiples[frozen]))
        if comparison["machine"]["device"] == "cuda":
            cells.append(with_spread([100 / multiple for multiple in multiples[0]]))
            cells.append(with_spread([piece["peak_cuda_mib"] for piece in pieces]))
        rows.append([name, *cells, with_spread([piece["peak_mib"] for piece in pieces])])
    return rows


def _rates(names: Sequence[str], comparison: dict, stage: str) -> list[str]:
    header = ["prediction", "examples/s", "real tokens/s", "seconds", "× floor"]
    if stage == "train":
        header = ["training", *header[1:], "× floor of the trained layers' backward pass only"]
    if comparison["machine"]["device"] == "cuda":
        header += ["model FLOP utilisation, %", "peak GPU MiB"]
    return _table([*header, "peak MiB"], _rate_rows(names, comparison, stage))


def _how_it_was_measured(comparison: dict) -> list[str]:
    pairs, data, settings = comparison["pairs"], comparison["data"], comparison["settings"]
    lines = [
        f"{len(pairs)} of {settings['pairs']} pairs and {len(comparison['pipelines'])} of {settings['pipeline_pairs']} "
        "of the whole pipeline are done. Each piece ran in a process of its own; who goes first alternates from pair "
        "to pair. Figures are the median, with least and greatest.", "",
        f"{data['examples']} examples on {data['paragraphs']} paragraphs, {data['real_tokens']:,} tokens that are not "
        f"padding (median {data['median_tokens']:g} an example, longest {data['longest_tokens']}). "
        f"{data['left_out']} of the {data['looked_at']} that these were chosen from do not fit into a window of 384 "
        "and were left out: the older recipe would cut them in training, and the numbers of steps would differ. "
        f"Everybody reads the same tokens, {settings['epochs']} times in training, in batches of "
        f"{settings['batch_size']}, and makes the same number of optimizer steps, as checked in every pair: "
        f"{pairs[0]['steps']}.", "",
        "The clock runs over the call that a user waits for (training: tokenization, loading the weights, all steps, "
        "saving; prediction: tokenization to the last probability). Before it starts, imports are done, tokenizer and, "
        "for prediction, weights are loaded, and one small matrix product has started the device; nothing else is "
        "warmed up.", "",
        f"**{OURS}** trains by `EMBEDDED_RECIPE`: embeddings and the lowest layers frozen, no dropout. "
        f"**{EQUAL_WORK}** freezes nothing and has the checkpoint's dropout, as the older recipe does: what remains is "
        "engineering. The older recipe is padded to 384 tokens, as it was; **not padded** is its prediction at each "
        "example's own length.", "",
    ]  # fmt: skip
    if comparison["machine"]["device"] == "cuda":
        lines += ["All training is in bfloat16 (`bf16=True`), and so is the older recipe's prediction; ours predicts "
                  "as `QA` does.", ""]  # fmt: skip
    return lines


def comparison_report(comparison: dict) -> list[str]:
    """Return the lines about the pairs, the whole pipeline and the start-up."""
    pairs, parameters = comparison["pairs"], comparison["parameters"]
    train, predict = ([pair[stage] for pair in pairs] for stage in ("train", "predict"))
    compared = [
        ("training: ours", ratios(train)),
        ("training: ours, equal work", ratios(train, ours=EQUAL_WORK)),
        ("prediction: ours", ratios(predict)),
        ("prediction: ours, to the older recipe not padded", ratios(predict, older=OLDER_SHORT)),
    ]
    if comparison["pipelines"]:
        compared.append(("whole pipeline: ours", ratios(comparison["pipelines"])))
    rows = [[name, *map(short, spread(values).values()), str(len(values))] for name, values in compared]
    rate = with_spread([pair["flops_per_second"] / 1e9 for pair in pairs])
    lines = [
        "## The older recipe and ours", *_made_with(comparison), *_how_it_was_measured(comparison),
        *_table(["times as fast as the older recipe", "median", "min", "max", "pairs"], rows),
        *_rates(TRAINING, comparison, "train"), *_rates(PREDICTION, comparison, "predict"),
        f"The floor: 6 operations in training and 2 in prediction for each of {parameters['non_embedding']:,} "
        "parameters that are not embeddings and each real token (attention's own products left out), at the rate of a "
        f"product of two matrices of {comparison['matrix']}, measured beside each pair: {rate} GFLOP/s. For the floor "
        f"of the trained layers' backward pass only, the {parameters['of_frozen_layers']:,} parameters of frozen "
        "layers count 2 times, not 6, so that nobody is credited with work that was not done.", "",
    ]  # fmt: skip
    if comparison["pipelines"]:
        lines += _pipelines(comparison)
    if comparison["start_up"]:
        cells = [with_spread([run[part] for run in comparison["start_up"]]) for part in START_UP]
        lines += ["### Start-up", "", "Seconds of a fresh process, from `python` to the end of the first predicted "
                  f"batch ({comparison['start_up'][0]['examples']} examples), ours with the embedded backbone, "
                  f"{len(comparison['start_up'])} times:"]  # fmt: skip
        lines += _table(START_UP, [cells])
    return lines


def _pipelines(comparison: dict) -> list[str]:
    runs = comparison["pipelines"]
    cuda = comparison["machine"]["device"] == "cuda"
    lines = ["### The whole pipeline", "",
             f"Seconds from the checkpoint to the written files: {comparison['settings']['folds']} folds with fresh "
             f"models, {runs[0]['steps']} optimizer steps in all for each recipe, as checked."]  # fmt: skip
    rows = []
    for name in (OLDER, OURS):
        of_name = [run[name] for run in runs]
        cells = [with_spread([run[part] for run in of_name]) for part in ("seconds", *STAGES, "peak_mib")]
        if cuda:
            after = [", ".join(short(mib) for mib in run["cuda_mib_after_folds"]) for run in of_name]
            cells += [with_spread([run["peak_cuda_mib"] for run in of_name]), "; ".join(after)]
        rows.append([name, *cells])
    header = ["", "all", *STAGES, "peak MiB", *(["peak GPU MiB", "GPU MiB after each fold"] if cuda else [])]
    return [*lines, *_table(header, rows)]


def curve_report(curve: dict, picture: str) -> list[str]:
    """Return the lines about the cost against the number of examples."""
    rows = [
        [f"{point['examples']:,}", *(short(point[part]) for part in (*STAGES, "seconds", "peak_mib"))]
        for point in curve["points"]
    ]
    return [
        "## Cost against the number of examples", *_made_with(curve),
        f"{len(curve['points'])} of {len(curve['settings']['sizes'].split())} sizes are done. Seconds of our whole "
        "pipeline, each size in a process of its own:",
        *_table(["examples", *STAGES, "all", "peak MiB"], rows), f"![Seconds against examples]({picture})", "",
    ]  # fmt: skip


def accuracy_report(accuracy: dict) -> list[str]:
    """Return the lines about held-out token-level average precision."""
    runs, folds = accuracy["runs"], range(accuracy["settings"]["folds"])
    rows = []
    for recipe in dict.fromkeys((run["recipe"], run["learning_rate"]) for run in runs):
        of_recipe = {run["fold"]: run for run in runs if (run["recipe"], run["learning_rate"]) == recipe}
        values = [of_recipe[fold]["average_precision"] if fold in of_recipe else None for fold in folds]
        cells = ["–" if value is None else f"{value:.3f}" for value in values]
        mean = f"{statistics.mean(values):.3f}" if None not in values else "–"
        steps = sorted({run["steps"] for run in of_recipe.values()})
        seconds = short(sum(run["seconds"] for run in of_recipe.values()))
        rows.append([recipe[0], f"{recipe[1]:g}", *cells, mean, ", ".join(map(str, steps)), seconds])
    rates = {run["fold"]: f"{run['base_rate']:.3f}" for run in runs}
    rows.append(["chance", "–", *(rates.get(fold, "–") for fold in folds), "–", "–", "–"])
    header = ["recipe", "learning rate", *(f"fold {fold}" for fold in folds), "mean", "steps", "seconds of all folds"]
    return [
        "## Held-out accuracy", *_made_with(accuracy),
        f"{len(runs)} of {accuracy['wanted']} runs are done. Average precision over the context tokens of held-out "
        "examples: fresh folds, the same splits (no paragraph is cut), the same number of epochs.",
        *_table(header, rows),
    ]  # fmt: skip


def markdown(results: dict, picture: str) -> str:
    """Return the report of whatever has been run."""
    lines = ["# Throughput", "", "`benchmarks/throughput.py` measures; each part below says what it was run with.", ""]
    if "comparison" in results:
        lines += comparison_report(results["comparison"])
    if "curve" in results:
        lines += curve_report(results["curve"], picture)
    if "accuracy" in results:
        lines += accuracy_report(results["accuracy"])
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip() + "\n"


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
