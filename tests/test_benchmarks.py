"""The benchmarks on a few examples, and their arithmetic; what they measured is in benchmarks/results."""

import importlib
import json
import sys

import numpy as np
import pytest
from conftest import ROOT, make_example, twelve_examples

from span_label_errors.data.squad import load_squad


def module_of(name: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module(name)


def run_main(benchmark, monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [f"{benchmark.__name__}.py", *map(str, words)])
    benchmark.main()


@pytest.mark.slow
def test_label_errors(tmp_path, monkeypatch, capsys):
    benchmark = module_of("label_errors.label_error_detection")
    folders = ["--work", tmp_path / "work", "--results", tmp_path]
    run = ["--num_examples", 20, "--num_train_epochs", 1, "--kinds", "moved", "--leaky_kinds", "moved", "--seeds", 0]
    run_main(benchmark, monkeypatch, *run, *folders)
    fresh, leaky = json.loads((tmp_path / "label_error_detection_demo.json").read_text(encoding="utf-8"))
    assert (fresh["folds"], leaky["folds"], fresh["num_examples"], fresh["num_errors"]) == ("fresh", "leaky", 20, 2)
    assert (tmp_path / "label_error_detection_demo.png").is_file()
    assert "ours, never shown this kind" in capsys.readouterr().out
    monkeypatch.setattr(benchmark, "out_of_fold_predictions", None)  # finished runs are not trained again
    run_main(benchmark, monkeypatch, *run, "--leaky_kinds", *folders)


def test_measures_of_a_ranking_by_hand():
    is_error = np.isin(np.arange(10), [1, 2])  # first and third of the worst
    score = np.array([0.9, 0.1, 0.3, 0.2, 0.8, 0.7, 0.6, 0.5, 0.4, 0.95])
    assert module_of("label_errors.label_error_detection").measured(score, is_error) == {
        "average_precision": pytest.approx((1 / 1 + 2 / 3) / 2), "auroc": pytest.approx(15 / 16),
        "precision_at_errors": 0.5, "recall_in_worst_tenth": 0.5,
    }  # fmt: skip


@pytest.mark.slow
def test_load(tmp_path, monkeypatch, capsys):
    benchmark = module_of("load")
    # The same steps in this process: importing everything four times more would take most of the time.
    monkeypatch.setattr(benchmark, "start_again", lambda *words: run_main(benchmark, monkeypatch, *words))
    run_main(benchmark, monkeypatch, "--sizes", 40, "--work", tmp_path / "work", "--results", tmp_path)
    runs = json.loads((tmp_path / "load.json").read_text(encoding="utf-8"))
    assert [run["num_examples"] for run in runs] == [40]
    assert len(load_squad(tmp_path / "work" / "squad-40.json")) == 40
    stages, memory, files = benchmark.tables(runs)
    assert stages["wall s"].to_numpy().min() > 0
    assert (memory["after imports, MiB"] <= memory["peak, MiB"]).all()
    assert {"pred_probs.npz", "out_of_fold.parquet", "label_issues.html", "corrected.json"} < set(files.index)
    assert "read and apply decisions" in capsys.readouterr().out


@pytest.fixture
def throughput(tmp_path, monkeypatch):
    """Run the benchmark with its pieces in this process, and return a part of what it found."""
    benchmark, pieces, _ = map(module_of, ("throughput", "throughput_pieces", "older_recipe"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    module_of("synthetic_squad").write_untrained_bert(tmp_path / "bert", **sizes)
    monkeypatch.setattr(benchmark, "start_again", lambda spec_file, device: pieces.run_piece(spec_file))
    monkeypatch.setattr(benchmark, "MATRICES", {"cpu": (64, "float32")})
    folders = ["--work", tmp_path / "work", "--results", tmp_path, "--model", tmp_path / "bert", "--device", "cpu"]

    def run(part: str, *words: object) -> dict:
        benchmark.main([*map(str, folders), *map(str, words)])
        return json.loads((tmp_path / "throughput_cpu.json").read_text(encoding="utf-8"))[part]

    return run


@pytest.mark.slow
def test_throughput_of_pairs(throughput, tmp_path, capsys):
    found = throughput("comparison", "--examples", 12, "--pairs", 2, "--start-ups", 1)
    orders = [["older recipe", "ours", "ours, equal work"], ["ours, equal work", "ours", "older recipe"]]
    assert [pair["order"] for pair in found["pairs"]] == [list(pair["train"]) for pair in found["pairs"]] == orders
    # 12 examples in batches of 8.
    assert {piece["steps"] for pair in found["pairs"] for piece in pair["train"].values()} == {2}
    assert {piece["predicted"] for pair in found["pairs"] for piece in pair["predict"].values()} == {12}
    assert "ours, equal work to older recipe" in capsys.readouterr().out
    assert str(tmp_path) not in json.dumps(found)
    assert list((tmp_path / "work").iterdir()) == []  # models are removed


@pytest.mark.slow
def test_throughput_curve_and_accuracy(throughput, tmp_path):
    found = throughput("curve", "--curve", 16, 24, "--epochs", 1)
    assert [point["examples"] for point in found["points"]] == [16, 24]
    assert (tmp_path / "throughput_cpu.png").is_file()
    file = tmp_path / "data.jsonl"
    file.write_text("\n".join(map(json.dumps, twelve_examples())), encoding="utf-8")
    runs = throughput("accuracy", "--accuracy", "--epochs", 1, "--dataset", file)["runs"]
    assert [(run["fold"], run["learning_rate"], run["held_out"]) for run in runs] == [
        (fold, rate, 4) for fold in range(3) for rate in (3e-4, 5e-5, 3e-4)
    ]


def test_throughput_by_hand():
    benchmark = module_of("throughput")

    def piece(seconds: float) -> dict:
        return {"seconds": seconds, "peak_mib": 700.0}

    pairs = [
        {"flops_per_second": 1000.0, "train": {"older recipe": piece(older), "ours": piece(10.0)}, "predict": {}}
        for older in (40.0, 60.0, 90.0)
    ]
    measured = benchmark.measurements({
        "data": {"examples": 40, "real_tokens": 100}, "parameters": {"non_embedding": 10, "of_frozen_layers": 4},
        "settings": {"epochs": 2}, "pairs": pairs, "pipelines": [],
    })  # fmt: skip
    assert benchmark.times_as_fast(measured).loc["train", "ours to older recipe"].tolist() == [6, 4, 9, 3]
    ours = measured[measured["who"] == "ours"].iloc[0]
    # 80 examples and 200 tokens in two epochs, at 6 operations for each of 10 parameters, or 2 for 4 of them.
    assert ours[["examples/s", "real tokens/s"]].tolist() == [8, 20]
    assert ours["x floor"] == pytest.approx(10 / (6 * 10 * 200 / 1000))
    assert ours["x floor of trained"] == pytest.approx(10 / ((2 * 4 + 6 * 6) * 200 / 1000))
    runs = [{"recipe": "ours", "learning_rate": 3e-4, "fold": fold, "average_precision": value, "seconds": 10.0,
             "base_rate": 0.02, "held_out_tokens": 9} for fold, value in enumerate((0.4, 0.6))]  # fmt: skip
    accuracy, chance = benchmark.tables({"accuracy": {"runs": runs}})
    assert accuracy.to_numpy().tolist() == [[0.4, 0.6, 0.5, 20]]
    assert chance["base_rate"].tolist() == [0.02, 0.02]
    with pytest.raises(ValueError, match="expected the same steps of everybody"):
        benchmark.check_equal({"older recipe": {"steps": 3}, "ours": {"steps": 4}}, "steps")


def test_older_recipe_trains_on_every_token(embedded_tokenizer):
    example = make_example("a", "It is Paris, France.", "Where?", "Paris, France")
    item = module_of("older_recipe").training_item(embedded_tokenizer, example)
    words = embedded_tokenizer.convert_ids_to_tokens(item["input_ids"])
    assert words[:11] == ["[CLS]", "where", "?", "[SEP]", "it", "is", "paris", ",", "france", ".", "[SEP]"]
    assert set(words[11:]) == {"[PAD]"}
    # O's target is 0 even where there is no answer, and no token is left out of the loss.
    np.testing.assert_array_equal(item["labels"][:, 0], np.zeros(384))
    np.testing.assert_array_equal(np.flatnonzero(item["labels"][:, 1]), [6, 7, 8])
