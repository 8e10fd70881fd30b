"""The benchmarks on a few examples, and their arithmetic; what they measured is in benchmarks/results."""

import importlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, make_example, squad_document, twelve_examples

from span_label_errors.data.squad import load_squad
from span_label_errors.quality.sites import NO_SPAN, GivenAnswer

# Thirty answers are enough to see that everything is measured.
few_answers = pytest.mark.filterwarnings("ignore::span_label_errors.quality.label_errors.FewAnswersWarning")
# And a tokenizer that spells most words.
pytestmark = pytest.mark.filterwarnings("ignore::span_label_errors.model.tokenizer_coverage.UnreadableDataWarning")


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
    assert "scoring of an example" in capsys.readouterr().out
    monkeypatch.setattr(benchmark.QATrainer, "train", None)  # finished runs are not trained again
    run_main(benchmark, monkeypatch, *run, "--leaky_kinds", *folders)


NAMES = "Carla David Elena Felix Greta Hugo Irene Jonas Karin Lukas Maria Nils Olga Peter Rosa".split()


@few_answers
def test_real_label_errors(tiny_bert, tmp_path, monkeypatch, capsys):
    examples = []
    for number, name in enumerate(NAMES):
        context = f"Anna Berg met Bo Lind in {1800 + number}. Then {name} Dahl left Rome for Oslo."
        whom = ["Bo Lind", "Bo Lind", "Rome"] if number % 3 == 0 else ["Bo Lind", "Lind", "Bo Lind"]
        examples.append(make_example(f"{number}a", context, "Whom did Anna Berg meet?", *whom))
        examples.append(make_example(f"{number}b", context, "Who left?", *[f"{name} Dahl"] * 2))
    file = tmp_path / "questions.json"
    file.write_text(json.dumps(squad_document(examples)), encoding="utf-8")
    modules = (module_of(f"label_errors.{name}") for name in ("real", "measures", "runs", "scores"))
    benchmark, measures, runs, scores = modules
    monkeypatch.setitem(runs.WAYS, "scratch", runs.Way("tiny", str(tiny_bert), 3, {"learning_rate": 1e-3}))
    monkeypatch.setattr(measures, "NUM_RESAMPLES", 20)
    folders = ["--work", tmp_path / "work", "--results", tmp_path, "--ways", "scratch"]
    folders += ["--recipe", '{"num_train_epochs": 1.0}']
    run_main(benchmark, monkeypatch, file, *folders)
    found = json.loads((tmp_path / "real_questions.json").read_text(encoding="utf-8"))
    # Two answers outvote nobody, so the second question of each paragraph is not measured.
    counts = ("num_examples", "num_contexts", "num_measured", "num_errors", "num_left_out_as_read", "file")
    assert [found[name] for name in counts] == [30, 15, 15, 5, 0, "questions.json"]
    (run,) = found["runs"]
    assert run["recipe"] == {"learning_rate": 1e-3, "num_train_epochs": 1.0}
    names = [scores.LOWEST_TOKEN, scores.SOFTMIN, scores.MEAN, scores.EXPECTED_F1, scores.CHOICE_F1,
             scores.CHOICE_OVERLAP]  # fmt: skip
    assert list(run["scores"]) == [scores.OURS, *names]
    for of_score in run["scores"].values():
        for low, high in of_score["intervals"].values():
            assert 0 <= low <= high <= 1
        assert of_score["precision_at_50"] is None
    assert list(run["differences"]) == names
    ours = run["scores"][scores.OURS]
    for name, difference in run["differences"].items():
        for measure in ("average_precision", "auroc"):
            expected = ours[measure] - run["scores"][name][measure]
            assert difference[measure]["difference"] == pytest.approx(expected)
    assert run["sum_of_doubt_by_errors"] == pytest.approx(run["sum_of_doubt"] / 5)
    milliseconds = 1000 * run["scoring_seconds"] / 30
    assert run["scoring_milliseconds_per_example"] == pytest.approx(milliseconds)
    assert sum(of_bin["examples"] for of_bin in run["reliability"]) == 15
    assert list(run["suggestions"]) == ["number", "for_errors", "exact", "close"]
    assert len(run["token_average_precision"]["ANS"]) == 3
    text = (tmp_path / "real_questions.md").read_text(encoding="utf-8")
    assert "15 of them measured, 5 of those wrong: a random order has an AP of 0.333" in text
    assert text in capsys.readouterr().out
    assert (tmp_path / "real_questions.png").is_file()

    monkeypatch.setattr(runs.QATrainer, "train", None)  # finished runs are not trained again
    run_main(benchmark, monkeypatch, file, *folders)


@pytest.mark.parametrize(
    "answers", [["Bo", "Bo", "Bo"], ["Bo", "Bo", "Anna"], ["Bo"]], ids=["no error", "no right one", "none measured"]
)
def test_real_data_needs_right_and_wrong_labels(tmp_path, answers):
    file = tmp_path / "questions.json"
    examples = [make_example("a", "Anna met Bo.", "whom?", *answers)]
    file.write_text(json.dumps(squad_document(examples)), encoding="utf-8")
    with pytest.raises(ValueError, match="expected right and wrong labels among those measured, found"):
        module_of("label_errors.real").read(file, None)


def test_number_of_epochs_changes_only_ways_that_train(monkeypatch):
    runs = module_of("label_errors.runs")
    monkeypatch.setitem(runs.WAYS, "scratch", runs.Way("tiny", "folder", 3, {"dropout": 0.0}))
    assert runs.way_of("scratch", 2.0).recipe == {"dropout": 0.0, "num_train_epochs": 2.0}
    assert runs.way_of("scratch").recipe == {"dropout": 0.0}
    untrained = runs.way_of("as_it_is", 2.0)
    assert (untrained.num_splits, untrained.recipe, untrained.checkpoint) == (0, {}, "embedded")


def test_whole_paragraphs_are_spread_through_the_file():
    examples = [make_example(f"{context}{number}", context, "?") for context in "ABCDEF" for number in range(2)]
    spread = module_of("label_errors.runs").spread
    assert spread(examples, 4) == [0, 1, 6, 7]
    assert spread(examples, 5) == [0, 1, 4, 5, 8]
    assert spread(examples, 12) == spread(examples, None) == list(range(12))


def test_measures_of_a_ranking_by_hand():
    is_error = np.isin(np.arange(10), [1, 2])  # first and third of the worst
    score = np.array([0.9, 0.1, 0.3, 0.2, 0.8, 0.7, 0.6, 0.5, 0.4, 0.95])
    assert module_of("label_errors.label_error_detection").measured(score, is_error) == {
        "average_precision": pytest.approx((1 / 1 + 2 / 3) / 2), "auroc": pytest.approx(15 / 16),
        "trapezoidal_auprc": pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2),
        "precision_at_errors": 0.5, "recall_in_worst_tenth": 0.5,
    }  # fmt: skip


def test_measures_of_a_label_quality_by_hand():
    measures = module_of("label_errors.measures")
    quality, is_error = np.array([0.05, 0.15, 0.11, 0.95, 1.0]), np.array([True, True, False, False, False])
    bins = measures.reliability(quality, is_error)
    assert bins == [
        {"from": 0.0, "to": 0.1, "examples": 1, "mean_quality": 0.05, "share_right": 0.0},
        {"from": 0.1, "to": 0.2, "examples": 2, "mean_quality": pytest.approx(0.13), "share_right": 0.5},
        {"from": 0.9, "to": 1.0, "examples": 2, "mean_quality": pytest.approx(0.975), "share_right": 1.0},
    ]
    assert measures.expected_calibration_error(bins) == pytest.approx((0.05 + 2 * 0.37 + 2 * 0.025) / 5)
    assert [measures.precision_at(quality, is_error, count) for count in (1, 2, 3, 6)] == [
        1, 1 / 2, pytest.approx(2 / 3), None,
    ]  # fmt: skip
    # Precision and recall, from the worst: (1, 1/2), (1/2, 1/2), (2/3, 1); and (1, 0) for none.
    expected = 1 / 2 * 1 + 1 / 2 * (1 / 2 + 2 / 3) / 2
    assert measures.trapezoidal_auprc(quality, is_error) == pytest.approx(expected)
    found = measures.calibration(quality, is_error)
    assert (found["reliability"], found["expected_calibration_error"]) == (bins, pytest.approx(0.84 / 5))
    # Doubts of 0.95, 0.85, 0.89, 0.05 and 0, for two errors.
    assert (found["sum_of_doubt"], found["sum_of_doubt_by_errors"]) == (pytest.approx(2.74), pytest.approx(1.37))


def test_scores_by_the_choice_by_hand():
    scores = module_of("label_errors.scores")
    np.testing.assert_allclose(
        scores.character_f1((2, 6), [(0, 2), (0, 4), (2, 6), (3, 5), (5, 9)]), [0, 4 / 8, 1, 4 / 6, 2 / 8]
    )

    def judged(example_index, given, spans, choice):
        site = SimpleNamespace(given=GivenAnswer(example_index, "ANS", given, 0), spans=np.array(spans))
        return SimpleNamespace(site=site, choice=np.array(choice))

    found = scores.choice_scores([
        judged(1, (2, 6), [(2, 6), (0, 4), (6, 8), NO_SPAN], [0.2, 0.1, 0.4, 0.3]),
        judged(0, (0, 4), [(0, 4), (8, 9)], [0.9, 0.1]),
        judged(1, NO_SPAN, [(2, 6), NO_SPAN], [0.6, 0.4]),
        judged(2, NO_SPAN, [(2, 6), NO_SPAN], [0.2, 0.8]),
    ])  # fmt: skip
    # The lowest of an example's given answers: of example 1, the first; of "no answer", how likely there is none.
    np.testing.assert_allclose(found[scores.CHOICE_F1], [0.9, 0.2 + 0.1 * 4 / 8, 0.8])
    np.testing.assert_allclose(found[scores.CHOICE_OVERLAP], [0.9, 0.2 + 0.1, 0.8])


def test_bootstrap_draws_whole_groups():
    measures = module_of("label_errors.measures")
    is_error, groups = np.array([True, False, True, True, False]), np.array([7, 7, 9, 9, 4])
    samples = measures.resampled(is_error, groups, seed=1)
    assert samples.shape == (1000, 5)
    assert np.array_equal(samples, measures.resampled(is_error, groups, seed=1))
    assert (samples[:, 0] == samples[:, 1]).all()
    assert (samples[:, 2] == samples[:, 3]).all()
    assert (samples[:, [0, 2, 4]].sum(axis=1) == 3).all()  # as many groups as there are
    # Three times the group of errors, or of right labels, measures nothing and is drawn again.
    assert samples.max(axis=0).tolist() == [3, 3, 2, 2, 2]
    # Of 27 ways to draw three times, the 25 others draw the first group 27 times in all.
    assert samples[:, 0].mean() == pytest.approx(27 / 25, abs=0.1)


def test_measures_of_resamples_by_hand():
    measures = module_of("label_errors.measures")
    is_error = np.array([True, False, False, True])
    score = np.array([0.1, 0.2, 0.4, 0.4])
    found = measures.weighted_measures(score, is_error, np.array([[1, 1, 1, 1], [2, 1, 0, 1], [0, 2, 1, 3]]))
    # Found in the order: error; right one; then one of each at once.
    expected = [(1 + 2 / 4) / 2, (2 * 1 + 1 * 3 / 4) / 3, 3 / 6]
    np.testing.assert_allclose(found["average_precision"], expected)
    # From a precision of 1 where nothing is found yet, to 1/1, 1/2 and 2/4; 2/2, 2/3 and 3/4; 0/2 and 3/6.
    expected = [1 / 2 + 1 / 2 * (1 / 2 + 2 / 4) / 2, 2 / 3 + 1 / 3 * (2 / 3 + 3 / 4) / 2, (0 + 3 / 6) / 2]
    np.testing.assert_allclose(found["trapezoidal_auprc"], expected)
    # Of all pairs of an error and a right one, those in order and half of those at once.
    np.testing.assert_allclose(found["auroc"], [(2 + 0.5) / 4, 2 / 3, (0 + 3 * 0.5) / 9])


def test_scores_are_compared_on_the_same_resamples(monkeypatch):
    measures = module_of("label_errors.measures")
    monkeypatch.setattr(measures, "NUM_RESAMPLES", 50)
    is_error = np.array([True, False, False, True, False, True])
    ours = np.array([0.1, 0.2, 0.7, 0.8, 0.5, 0.3])
    scores = {"ours": ours, "the same order": ours / 2, "reversed": -ours}
    intervals, differences = measures.compared(scores, is_error, np.arange(6), "ours")
    assert intervals["ours"] == intervals["the same order"]
    (low, high), (other_low, other_high) = intervals["ours"]["auroc"], intervals["reversed"]["auroc"]
    assert low < high
    # A reversed order has the pairs that ours has not.
    assert (other_low, other_high) == (pytest.approx(1 - high), pytest.approx(1 - low))
    assert list(differences) == ["the same order", "reversed"]
    # Not the difference of two intervals: a score is never better than itself.
    assert differences["the same order"]["auroc"] == {"difference": 0, "interval": (0, 0)}
    # Of nine pairs, five are in order: 0.1 before all three, 0.3 before two, 0.8 before none.
    found = differences["reversed"]["auroc"]
    assert found["difference"] == pytest.approx(5 / 9 - 4 / 9)
    assert found["interval"] == (pytest.approx(2 * low - 1), pytest.approx(2 * high - 1))
    # In order: error, right, error, right, right, error; reversed: error, right, right, error, right, error.
    expected = (1 + 2 / 3 + 3 / 6) / 3 - (1 + 2 / 4 + 3 / 6) / 3
    assert differences["reversed"]["average_precision"]["difference"] == pytest.approx(expected)


def test_numbers_in_tables():
    report = module_of("label_errors.report")
    assert [report.number(value) for value in (None, float("nan"), 0.126)] == ["–", "–", "0.13"]
    assert report.with_interval(0.5, (0.25, 0.75)) == "0.500 (0.250 to 0.750)"
    assert report.with_interval(0.5, (-0.25, 0.75), sign="+") == "+0.500 (-0.250 to +0.750)"


@pytest.mark.slow
def test_load(tmp_path, monkeypatch):
    benchmark = module_of("load")
    # The same steps in this process: importing everything four times more would take most of the time.
    monkeypatch.setattr(benchmark, "start_again", lambda *words: run_main(benchmark, monkeypatch, *words))
    run_main(benchmark, monkeypatch, "--sizes", 40, "--work", tmp_path / "work", "--results", tmp_path)
    runs = json.loads((tmp_path / "load.json").read_text(encoding="utf-8"))
    assert [run["num_examples"] for run in runs] == [40]
    assert len(load_squad(tmp_path / "work" / "squad-40.json")) == 40
    for notebook in benchmark.NOTEBOOKS:
        assert min(stage["wall_seconds"] for stage in runs[0][notebook]["stages"].values()) > 0
        assert runs[0][notebook]["baseline_mib"] <= runs[0][notebook]["peak_mib"]
    assert {"pred_probs.npz", "out_of_fold.parquet", "label_issues.html", "corrected.json"} < set(runs[0]["files"])
    assert "| read and apply decisions |" in (tmp_path / "load.md").read_text(encoding="utf-8")


def test_tables_of_load():
    stage = {"cpu_seconds": 1.5, "wall_seconds": 3.0, "peak_mib": 300.0}
    notebook = {"stages": {"read": stage}, "baseline_mib": 100.0, "peak_mib": 300.0, "cpu_seconds": 2.5}
    small = {"num_examples": 1000, "training": notebook, "label errors": notebook, "files": {"a.npz": 2**20}}
    large = {"num_examples": 5000, **{name: {**notebook, "peak_mib": 500.0} for name in ("training", "label errors")}}
    lines = module_of("load").markdown([small, {**large, "files": {"a.npz": 3 * 2**20}}]).splitlines()
    assert lines.count("| read | 1.5 | 1.5 | 0.30 | 3 | 300 |") == 2
    assert "| **all of the training notebook** | 2.5 | 2.5 | 0.50 | 3 | 500 |" in lines
    # 200 MiB of 1,000 examples, 400 of 5,000, and 200 more for 4,000 more.
    assert "| training | 1,000 | 100 | 300 | 204.8 | – |" in lines
    assert "| training | 5,000 | 100 | 500 | 81.9 | 51.2 |" in lines
    assert "| a.npz | 3.0 | 1,049 / 629 |" in lines


@pytest.mark.slow
@few_answers
def test_long_contexts(tmp_path, monkeypatch, capsys):
    benchmark = module_of("long_contexts")
    monkeypatch.setattr(benchmark, "start_again", lambda *words: run_main(benchmark, monkeypatch, *words))
    folders = ["--work", tmp_path / "work", "--results", tmp_path]
    run_main(benchmark, monkeypatch, "--shapes", "1x2", "2x1", "2x2", *folders)
    runs = json.loads((tmp_path / "long_contexts.json").read_text(encoding="utf-8"))
    assert [(run["contexts"], run["questions"]) for run in runs] == [(1, 2), (2, 2), (2, 4)]
    dataset = load_squad(tmp_path / "work" / "contracts-2x2.json")
    assert [len(context.split()) >= 12_100 for context in dataset["context"]] == [True] * 4
    assert dataset["question"][:2] == dataset["question"][2:]
    stages, files = benchmark.tables(runs)
    assert [*stages.index.get_level_values("stage")][3:6] == ["train", "predict", "write_outputs"]
    assert stages["wall s of the last"].min() > 0
    assert {"pred_probs.npz", "out_of_fold.parquet", "label_issues.html"} < set(files.index)
    assert "4 examples, each once" in capsys.readouterr().out


@pytest.mark.slow
def test_clusters(tmp_path, monkeypatch):
    benchmark = module_of("clusters")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(benchmark, "start_again", lambda root, *words: run_main(benchmark, monkeypatch, *words))
    run_main(benchmark, monkeypatch, "--examples", 40, "--folds", 2, "--work", tmp_path / "work", "--results", tmp_path)
    found = json.loads((tmp_path / "clusters.json").read_text(encoding="utf-8"))
    assert [(run["backend"], run["version"]) for run in found["runs"]] == [
        (backend, "now") for backend in ("this machine", "ray", "dask")
    ]
    for run in found["runs"]:
        assert len(run["folds"]) == 2
        for fold in run["folds"]:
            # When a process started is known to a hundredth of a second.
            assert -0.02 < fold.pop("seconds_to_process") < fold["seconds_to_fold"]
            assert min(fold.values()) > 0
    assert list(tmp_path.glob("work/folds/fold_*")) == []


def test_clusters_table_by_hand():
    def fold(value: float) -> dict:
        names = ("seconds_to_process", "seconds_to_fold", "cpu_seconds", "peak_mib", "worker_peak_mib")
        return {"job_bytes": 1e6 * value, **dict.fromkeys(names, value)}

    run = {"backend": "ray", "version": "now", "folds": [fold(1), fold(2), fold(6)]}
    table, file = module_of("clusters").tables({"runs": [run], "file": {"bytes": 7}})
    assert table.loc[("ray", "now")].tolist() == [2, 9, 2, 2, 2, 2, 2]
    assert file.loc["bytes", "the file"] == 7


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
        {
            "flops_per_second": 1000.0,
            "fastest_flops_per_second": 1500.0,
            "train": {"older recipe": piece(older), "ours": piece(10.0)},
            "predict": {},
        }
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
    assert ours["x fastest floor"] == pytest.approx(10 / (6 * 10 * 200 / 1500))
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
