"""The load benchmark: its data, its arithmetic, and all of its stages on a few questions."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from squad import load_squad
from words import word_spans

VOCABULARY = ["[PAD]", "##ing", "the", "of", "in", *(f"{a}{b}{c}" for a in "bdgkl" for b in "aeiou" for c in "mnprs")]


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("load")


@pytest.fixture(scope="module")
def synthetic(benchmark):
    return sys.modules["synthetic_squad"]


def test_made_up_data_has_the_lengths_of_squad(synthetic, tmp_path):
    synthetic.write_squad(tmp_path / "squad.json", 3000, VOCABULARY)
    examples = load_squad(tmp_path / "squad.json").to_list()  # every answer stands at its offset
    assert len(examples) == 3000
    contexts = list(dict.fromkeys(example["context"] for example in examples))
    assert 3000 / len(contexts) == pytest.approx(4.6, rel=0.1)
    assert len({example["title"] for example in examples}) == pytest.approx(len(contexts) / 43, abs=1)
    of_contexts = [len(word_spans(context)) for context in contexts]
    assert 100 <= np.median(of_contexts) <= 120
    assert 250 <= np.percentile(of_contexts, 99) <= 400
    answers = [len(word_spans(example["answers"]["text"][0])) for example in examples]
    assert np.median(answers) == 2
    assert 15 < max(answers) <= 41
    assert np.median([len(word_spans(example["question"])) for example in examples]) == pytest.approx(10, abs=1)


def test_smaller_data_is_the_beginning_of_larger(synthetic, tmp_path):
    for size in (50, 200):
        synthetic.write_squad(tmp_path / f"{size}.json", size, VOCABULARY)
    small, large = (load_squad(tmp_path / f"{size}.json").to_list() for size in (50, 200))
    assert small == large[:50]


def test_another_seed_makes_other_data(synthetic):
    texts = [synthetic.TextMaker(VOCABULARY, seed).context() for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def run_of(benchmark, size: int, cpu_seconds: float, peak_mib: float) -> dict:
    stage = {"wall_seconds": 2 * cpu_seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib, "mib_after": 500.0}
    return {
        "num_examples": size,
        "files": {"run.json": 10 * size},
        **{
            notebook: {"stages": {f"{notebook} stage": stage}, "baseline_mib": 400.0, "peak_mib": peak_mib}
            for notebook in benchmark.NOTEBOOKS
        },
    }


def test_report_by_hand(benchmark):
    small, large = run_of(benchmark, 1000, 3.0, 500.0), run_of(benchmark, 2000, 9.0, 700.0)
    assert benchmark.cpu_per_thousand(small) == {"training stage": 3.0, "label errors stage": 3.0, "all": 6.0}
    assert benchmark.memory_of(small, "training") == pytest.approx(1024 * 100 / 1000)
    assert benchmark.memory_of(large, "training", small) == pytest.approx(1024 * 200 / 1000)
    report = benchmark.markdown([small, large])
    assert "| training stage | 3.00 | 4.50 | 1.50 | 18 | 700 |" in report
    assert "| all | 6.00 | 9.00 | 1.50 | 36 | 700 |" in report
    assert "| training | 1,000 | 400 | 500 | 102.4 | – |" in report
    assert "| label errors | 2,000 | 400 | 700 | 153.6 | 204.8 |" in report
    assert "| run.json | 0.0 | 10 / 10 |" in report
    assert "Peak memory 0.68 GiB, below the limit of 4 GiB." in report
    assert "above the limit" in benchmark.markdown([run_of(benchmark, 1000, 1.0, 4097.0)])


def test_all_stages_on_a_few_questions(benchmark, tmp_path, monkeypatch, capsys):
    def go_on_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["load.py", *arguments])
        benchmark.main()

    # The same steps in this process: importing everything four times more would take most of the time.
    monkeypatch.setattr(benchmark, "start_again", go_on_here)
    work, results = tmp_path / "work", tmp_path / "results"
    monkeypatch.setattr(sys, "argv", ["load.py", "--sizes", "60", "40", "--work", str(work), "--results", str(results)])
    benchmark.main()

    runs = json.loads((results / "load.json").read_text(encoding="utf-8"))
    assert [run["num_examples"] for run in runs] == [40, 60]
    stages = benchmark.stages_of(runs[1])
    assert {"load_squad", "out_of_fold_predictions", "write_outputs", "find_label_errors"} < set(stages)
    for stage in stages.values():
        assert stage["cpu_seconds"] >= 0
        assert 0 < stage["mib_after"] <= stage["peak_mib"]
    files = {"pred_probs.npz", "out_of_fold.parquet", "label_issues.html", "label_issues.csv", "corrected.json"}
    assert files < set(runs[1]["files"])
    report = (results / "load.md").read_text(encoding="utf-8")
    assert report.startswith("# Time and memory at SQuAD's size\n")
    assert report in capsys.readouterr().out
    changes = json.loads((work / "outputs-60" / "changes.json").read_text(encoding="utf-8"))
    # A suggestion can be the given answer, which is then confirmed.
    assert 0 < len(changes) <= benchmark.DECISIONS
    assert not (Path(work) / "outputs-60" / "measured.json").exists()
