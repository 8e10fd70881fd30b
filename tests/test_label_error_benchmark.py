"""The benchmark's own arithmetic; what it measures is in benchmarks/results."""

import importlib.util
import json
from argparse import Namespace

import numpy as np
import pytest
from conftest import ROOT, make_example, twelve_examples

from spanbert import QA, QATrainer
from squad import load_squad
from squad_sources import DEMO_ERRORS_PATH, read_known_errors


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", ROOT / "benchmarks" / "label_error_detection.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_measures_of_a_ranking_by_hand(benchmark):
    score = np.array([0.9, 0.1, 0.3, 0.2, 0.8, 0.7, 0.6, 0.5, 0.4, 0.95])
    is_error = np.zeros(10, dtype=bool)
    is_error[[1, 2]] = True  # first and third of the worst
    measured = benchmark.measured(score, is_error)
    assert measured["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert measured["auroc"] == pytest.approx(15 / 16)
    assert measured["precision_at_errors"] == 0.5
    assert measured["recall_in_worst_tenth"] == 0.5


def test_examples_are_spread_by_whole_paragraphs(benchmark):
    examples = [make_example(f"{p}{q}", f"Paragraph {p} a b.", f"{q}?", "a") for p in range(6) for q in "xy"]
    assert [example["id"] for example in benchmark.spread(examples, 6)] == ["0x", "0y", "2x", "2y", "4x", "4y"]
    assert [example["id"] for example in benchmark.spread(examples, 5)] == ["0x", "0y", "2x", "2y", "4x"]
    assert benchmark.spread(examples, 12) == benchmark.spread(examples, None) == examples


def test_demo_is_mended(benchmark):
    known = read_known_errors(DEMO_ERRORS_PATH)
    before, after = list(load_squad("demo")), benchmark.clean_examples("demo", None)
    changed = {new["id"] for old, new in zip(before, after, strict=True) if old != new}
    assert changed == set(known)
    for example in after:
        if example["id"] in known:
            assert example["answers"]["text"] == [known[example["id"]]["right_answer"]]


def test_leaky_folds_carry_one_model_through(benchmark, tiny_bert, tmp_path, monkeypatch):
    started_from = []
    train = QATrainer.train

    def spy(self, dataset, output_dir, **arguments):
        started_from.append(self.qa.model_path)
        return train(self, dataset, output_dir, **arguments)

    monkeypatch.setattr(QATrainer, "train", spy)
    trainer = QATrainer(QA(tiny_bert), 48, {"O": 0, "ANS": 1})
    examples = twelve_examples()
    folds = tmp_path / "folds"
    found = benchmark.leaky_predictions(examples, trainer, num_splits=3, seed=0, folds_dir=folds, num_train_epochs=1)
    assert started_from == [str(tiny_bert), str(folds / "0"), str(folds / "1")]
    assert len(found.predictions) == 12
    assert sorted(np.bincount(found.fold)) == [4, 4, 4]


def test_report_has_mean_and_deviation(benchmark, tmp_path):
    def run(seed, value):
        values = dict.fromkeys(benchmark.METRICS, value)
        return {
            "kind": "moved", "folds": "fresh", "seed": seed, "num_examples": 20, "num_errors": 2,
            "scores": {"cleanlab: lowest token": values, benchmark.OURS: dict.fromkeys(values, value / 2)},
            "estimated_wrong": 3, "suggestion_is_right": 0.5, "loss": [0.1, 0.3], "token_average_precision": [0.2, 0.4],
            "training_seconds": 60.0, "scoring_seconds": 2.0,
            "errors": [benchmark.PlantedError(0, "moved", (0, 1), (2, 3))],
        }  # fmt: skip

    report = benchmark.markdown([run(0, 0.4), run(1, 0.6)], Namespace(dataset="some/squad.json"))
    assert "| moved | 2 | fresh | cleanlab: lowest token | 0.50 ± 0.14 |" in report
    assert f"| moved | 2 | fresh | {benchmark.OURS} | 0.25 ± 0.07 |" in report
    assert "| moved | fresh | 2 | 0.200 | 0.30 | 3, 3 | 50% |" in report
    assert "squad.json` --num_examples" not in report
    assert "| 0.40 |" in benchmark.markdown([run(0, 0.4)], Namespace(dataset="demo"))
    benchmark.plot([run(0, 0.4), run(1, 0.6)], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert json.dumps(benchmark.measured(np.array([0.1, 0.9]), np.array([True, False])))
