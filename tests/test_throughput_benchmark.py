"""The throughput benchmark: its arithmetic, the recipe that it compares with, its report, and a tiny whole run."""

import importlib
import json
import math
import shutil

import numpy as np
import pytest
import torch
from conftest import ROOT, make_example, twelve_examples
from transformers import BertConfig

from cross_validation import out_of_fold_predictions
from exports import write_outputs
from span_classification_tutorial_utils import read_npz
from spanbert import EMBEDDED_RECIPE, QA, QATrainer
from splits import fold_seed, make_splits

LABEL_MAP = {"O": 0, "ANS": 1}


def module_of(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def benchmark():
    return module_of("throughput")


@pytest.fixture(scope="module")
def report():
    return module_of("throughput_report")


@pytest.fixture(scope="module")
def pieces():
    return module_of("throughput_pieces")


@pytest.fixture(scope="module")
def older():
    return module_of("older_recipe")


@pytest.fixture(scope="module")
def small_bert(tmp_path_factory):
    """An untrained BERT that reads 384 tokens, with a layer more than the recipe freezes."""
    folder = tmp_path_factory.mktemp("small_bert")
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    module_of("synthetic_squad").write_untrained_bert(folder, **sizes)
    return folder


# Arithmetic


def test_floor_by_hand(report):
    assert report.floor_flops(10, 7) == 6 * 10 * 7
    assert report.floor_flops(10, 7, training=False) == 2 * 10 * 7
    # 4 of 10 parameters are frozen: 2 operations for these, 6 for the other 6.
    assert report.floor_flops(10, 7, num_frozen=4) == (2 * 4 + 6 * 6) * 7


def test_parameters_by_hand(benchmark, small_bert):
    # Query, key, value and output; two of the feed-forward network; two layer norms.
    of_layer = 4 * (16 * 16 + 16) + (16 * 32 + 32) + (32 * 16 + 16) + 2 * (16 + 16)
    head = 16 * 2 + 2
    assert benchmark.parameter_counts(small_bert, 2) == {
        "non_embedding": 3 * of_layer + head,
        "of_frozen_layers": 2 * of_layer,
    }


def test_who_goes_first_alternates(report):
    assert report.order_of(0, ("older", "ours")) == ["older", "ours"]
    assert report.order_of(1, ("older", "ours")) == ["ours", "older"]
    assert report.order_of(2, ("older", "ours", "equal")) == ["older", "ours", "equal"]
    assert report.order_of(3, ("older", "ours", "equal")) == ["equal", "ours", "older"]


def test_ratio_is_taken_within_pairs(report):
    pairs = [
        {report.OLDER: {"seconds": older}, report.OURS: {"seconds": ours}} for older, ours in ((8, 2), (9, 1), (6, 3))
    ]
    assert report.ratios(pairs) == [4, 9, 2]
    assert report.spread(report.ratios(pairs)) == {"median": 4, "min": 2, "max": 9}


@pytest.mark.parametrize("name", ["steps", "real_tokens"])
def test_unequal_work_is_refused(report, name):
    equal = {"steps": 4, "real_tokens": 900}
    assert report.check_equal_work({report.OLDER: equal, report.OURS: equal}, 30) == 4
    with pytest.raises(ValueError, match=f"30 examples: expected the same {name} of everybody, found .*fit into one"):
        report.check_equal_work({report.OLDER: equal, report.OURS: {**equal, name: 5}}, 30)


def test_other_held_out_tokens_are_refused(report):
    run = {"fold": 1, "held_out_tokens": 50, "base_rate": 0.1}
    report.check_same_held_out([run, dict(run)])
    with pytest.raises(ValueError, match="fold 1: expected the same held-out tokens"):
        report.check_same_held_out([run, {**run, "held_out_tokens": 49}])


def test_recipes(pieces):
    spec = {"epochs": 2, "batch_size": 4, "bf16": False, "who": pieces.OURS}
    assert pieces.recipe_of(spec) == {**EMBEDDED_RECIPE, "num_train_epochs": 2, "per_device_train_batch_size": 4}
    equal = pieces.recipe_of({**spec, "who": pieces.EQUAL_WORK, "bf16": True})
    assert (equal["frozen_layers"], equal["dropout"], equal["bf16"]) == (0, None, True)


# The older recipe


def test_older_item_by_hand(older, embedded_tokenizer):
    example = make_example("a", "It is Paris, France.", "Where?", "Paris, France")
    item = older.training_item(embedded_tokenizer, example)
    words = embedded_tokenizer.convert_ids_to_tokens(item["input_ids"])
    assert words[:12] == ["[CLS]", "where", "?", "[SEP]", "it", "is", "paris", ",", "france", ".", "[SEP]", "[PAD]"]
    assert {len(array) for array in item.values()} == {384}
    assert set(words[11:]) == {"[PAD]"}
    np.testing.assert_array_equal(item["attention_mask"], [1] * 11 + [0] * 373)
    np.testing.assert_array_equal(item["token_type_ids"], [0] * 4 + [1] * 7 + [0] * 373)
    # O's target is 0 even where there is no answer, and no token is left out of the loss.
    assert item["labels"].shape == (384, 2)
    assert not item["labels"][:, 0].any()
    np.testing.assert_array_equal(item["labels"][:, 1], [0] * 6 + [1, 1, 1] + [0] * 375)


def test_older_question_is_never_the_answer(older, embedded_tokenizer):
    # "Paris" stands at the same characters of question and context.
    item = older.training_item(embedded_tokenizer, make_example("a", "Paris is old.", "Paris is what?", "Paris"))
    np.testing.assert_array_equal(np.flatnonzero(item["labels"][:, 1]), [6])


def test_older_loss_counts_every_token(older, embedded_tokenizer):
    labels = torch.from_numpy(
        older.training_item(embedded_tokenizer, make_example("a", "Paris.", "Where?", "Paris"))["labels"]
    )
    logits = torch.zeros(1, 384, 2)
    logits[:, -1] = 3.0  # padding, whose target is 0
    outputs = type("Outputs", (), {"logits": logits})
    expected = (766 * math.log(2) + 2 * math.log1p(math.exp(3))) / 768
    assert older._loss(outputs, labels[None]).item() == pytest.approx(expected)


def test_older_training_cuts_and_prediction_does_not(older, embedded_tokenizer):
    example = make_example("a", "river " * 400 + "Paris", "Where?", "Paris")
    item = older.training_item(embedded_tokenizer, example)
    assert len(item["input_ids"]) == 384
    assert not item["labels"].any()
    whole = older.encode(embedded_tokenizer, example, padded=True, truncated=False)
    assert len(whole.targets) == 4 + 401 + 1
    assert whole.targets.sum() == 1
    alone = older.encode(
        embedded_tokenizer, make_example("a", "Paris.", "Where?", "Paris"), padded=False, truncated=False
    )
    assert len(alone.targets) == 7


def test_older_pipeline_writes_what_ours_writes(older, small_bert, tmp_path):
    examples = twelve_examples()
    qa = QA(small_bert)
    trainer = QATrainer(qa, 384, LABEL_MAP)
    training = {"epochs": 2, "batch_size": 4}
    done = older.run_pipeline(
        qa.tokenizer,
        examples,
        make_splits(examples),
        small_bert,
        tmp_path,
        device=torch.device("cpu"),
        seed=0,
        **training,
    )
    lengths = [
        3 + len(example.question.token_ids) + len(example.context.token_ids) for example in trainer.tokenize(examples)
    ]
    assert done["steps"] == 3 * 2 * 2  # folds, epochs, batches of 8 examples
    assert done["real_tokens"] == 2 * sum(lengths)  # everything is trained on in two folds of three
    ours = out_of_fold_predictions(examples, trainer, folds_dir=tmp_path / "folds", log=lambda text: None, max_steps=1)
    write_outputs(tmp_path / "ours", examples, ours, {}, 0.0)
    for name in ("labels", "tokens", "questions", "pred_probs"):
        arrays = [read_npz(folder / f"{name}.npz") for folder in (tmp_path / "outputs", tmp_path / "ours")]
        for of_older, of_ours in zip(*arrays, strict=True):
            assert (of_older.shape, of_older.dtype) == (of_ours.shape, of_ours.dtype)
            if name == "pred_probs":
                assert ((of_older > 0) & (of_older < 1)).all()
            else:
                np.testing.assert_array_equal(of_older, of_ours)


def test_older_training_is_its_seeds(older, small_bert, tmp_path):
    tokenizer, examples = QA(small_bert).tokenizer, twelve_examples()
    for name, seed in (("a", fold_seed(0, 1)), ("b", fold_seed(0, 1)), ("c", fold_seed(0, 0))):
        older.train(tokenizer, examples, small_bert, tmp_path / name, epochs=1, batch_size=12, seed=seed)
    a, b, c = (older.load_model(tmp_path / name).classifier.weight for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_older_folds_start_afresh(older, small_bert, tmp_path, monkeypatch):
    trained = []

    def train(tokenizer, examples, checkpoint, folder, *, seed, **training):
        trained.append((checkpoint, seed))
        shutil.copytree(small_bert, folder)
        return {"steps": 2, "real_tokens": 9}

    monkeypatch.setattr(older, "train", train)
    examples = twelve_examples()
    done = older.run_pipeline(
        QA(small_bert).tokenizer, examples, make_splits(examples), small_bert, tmp_path,
        device=torch.device("cpu"), seed=5,
    )  # fmt: skip
    assert trained == [(small_bert, fold_seed(5, fold)) for fold in range(3)]
    assert (done["steps"], done["real_tokens"]) == (6, 27)


def test_padding_does_not_change_a_prediction(older, small_bert):
    model, tokenizer = older.load_model(small_bert).eval(), QA(small_bert).tokenizer
    example = twelve_examples()[0]
    padded, alone = (older.predict(model, tokenizer, example, padded=padded) for padded in (True, False))
    np.testing.assert_allclose(padded.pred_probs, alone.pred_probs, atol=1e-5)
    assert padded.tokens == alone.tokens
    assert padded.labels.sum() == 1


# The report


def section(device="cpu", **settings):
    return {"command": "python benchmarks/throughput.py", "machine": {"device": device, "text": "two cores"},
            "settings": {"epochs": 2, "batch_size": 8, "folds": 3, **settings}}  # fmt: skip


def comparison(report, device="cpu"):
    def piece(seconds):
        return {"seconds": seconds, "steps": 10, "peak_mib": 700.0, "peak_cuda_mib": 90.0}

    pairs = [
        {
            "flops_per_second": 1000.0,
            "steps": 10,
            "train": {report.OLDER: piece(older), report.OURS: piece(10.0), report.EQUAL_WORK: piece(20.0)},
            "predict": {report.OLDER: piece(8.0), report.OLDER_SHORT: piece(4.0), report.OURS: piece(2.0)},
        }
        for older in (40.0, 60.0, 80.0)
    ]
    stages = {"train": 30.0, "predict": 5.0, "gather and write": 1.0, "cuda_mib_after_folds": [8.0, 8.5, 8.0]}
    pipeline = {report.OLDER: {**piece(90.0), **stages}, report.OURS: {**piece(30.0), **stages}, "steps": 12}
    return {
        **section(device, pairs=5, pipeline_pairs=2),
        "data": {"examples": 40, "paragraphs": 9, "real_tokens": 100, "median_tokens": 2.5, "longest_tokens": 9,
                 "looked_at": 50, "left_out": 3},
        "matrix": "2048 × 2048 (float32)", "parameters": {"non_embedding": 10, "of_frozen_layers": 4},
        "pairs": pairs, "pipelines": [pipeline],
        "start_up": [dict(zip(report.START_UP, (0.1, 2.0, 0.5, 1.0, 3.6), strict=True)) | {"examples": 32}],
    }  # fmt: skip


def test_tables_by_hand(report):
    text = report.markdown({"comparison": comparison(report)}, "curve.png")
    assert "3 of 5 pairs and 1 of 2 of the whole pipeline are done." in text
    assert "| training: ours | 6.00 | 4.00 | 8.00 | 3 |" in text
    assert "| training: ours, equal work | 3.00 | 2.00 | 4.00 | 3 |" in text
    assert "| prediction: ours | 4.00 | 4.00 | 4.00 | 3 |" in text
    assert "| prediction: ours, to the older recipe not padded | 2.00 | 2.00 | 2.00 | 3 |" in text
    assert "| whole pipeline: ours | 3.00 | 3.00 | 3.00 | 1 |" in text
    # 80 examples and 200 tokens in two epochs. The floor is 6 × 10 × 200 / 1000 = 12 s; with 4 parameters frozen,
    # (2 × 4 + 6 × 6) × 200 / 1000 = 8.8 s.
    assert "| ours | 8.00 (8.00 – 8.00) | 20.0 (20.0 – 20.0) | 10.0 (10.0 – 10.0) | 0.83 (0.83 – 0.83) | 1.14 " in text
    equal = (
        "| ours, equal work | 4.00 (4.00 – 4.00) | 10.0 (10.0 – 10.0) | 20.0 (20.0 – 20.0) | 1.67 (1.67 – 1.67) | 1.67 "
    )
    assert equal in text
    assert (
        "| older recipe | 1.33 (1.00 – 2.00) | 3.33 (2.50 – 5.00) | 60.0 (40.0 – 80.0) | 5.00 (3.33 – 6.67) |" in text
    )
    # Prediction: 40 examples, 100 tokens, floor 2 × 10 × 100 / 1000 = 2 s.
    assert "| ours | 20.0 (20.0 – 20.0) | 50.0 (50.0 – 50.0) | 2.00 (2.00 – 2.00) | 1.00 (1.00 – 1.00) | 700 " in text
    assert "| older recipe | 90.0 | 30.0 | 5.00 | 1.00 | 700 |" in text
    assert "| 0.10 | 2.00 | 0.50 | 1.00 | 3.60 |" in text
    assert "utilisation" not in text
    assert "`python benchmarks/throughput.py` on two cores." in text


def test_gpu_columns(report):
    text = report.markdown({"comparison": comparison(report, "cuda")}, "curve.png")
    assert "model FLOP utilisation" in text
    # 12 s of floor in 20 s.
    assert "| 60.0 (60.0 – 60.0) | 90.0 (90.0 – 90.0) | 700 (700 – 700) |" in text
    assert "| ours | 30.0 | 30.0 | 5.00 | 1.00 | 700 | 90.0 | 8.00, 8.50, 8.00 |" in text
    assert "bfloat16" in text


def test_accuracy_table_by_hand(report):
    def run(recipe, rate, fold, value):
        return {"recipe": recipe, "learning_rate": rate, "fold": fold, "average_precision": value, "base_rate": 0.02,
                "steps": 84, "seconds": 10.0}  # fmt: skip

    runs = [run(report.OURS, 3e-4, fold, value) for fold, value in enumerate((0.4, 0.5, 0.6))]
    text = report.markdown(
        {"accuracy": {**section(), "wanted": 9, "runs": [*runs, run(report.OLDER, 5e-5, 0, 0.1)]}}, ""
    )
    assert "4 of 9 runs are done" in text
    assert "| ours | 0.0003 | 0.400 | 0.500 | 0.600 | 0.500 | 84 | 30.0 |" in text
    assert "| older recipe | 5e-05 | 0.100 | – | – | – | 84 | 10.0 |" in text
    assert "| chance | – | 0.020 | 0.020 | 0.020 |" in text


def test_curve_table_and_plot(report, tmp_path):
    points = [
        {
            "examples": size,
            "train": size / 10,
            "predict": 1.0,
            "gather and write": 0.5,
            "seconds": 9.0,
            "peak_mib": 600.0,
        }
        for size in (50, 1000)
    ]
    curve = {**section(sizes="50 1000 2000"), "points": points}
    text = report.markdown({"curve": curve}, "throughput_cpu.png")
    assert "2 of 3 sizes are done" in text
    assert "| 1,000 | 100 | 1.00 | 0.50 | 9.00 | 600 |" in text
    assert "](throughput_cpu.png)" in text
    report.plot_curve(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


# The command line


def test_command_names_no_folder(benchmark):
    words = ["--dataset", "/some/where/squad.json", "--curve", "50", "100", "--work", "/w", "--epochs", "2"]
    assert benchmark.command_of(words) == (
        "python benchmarks/throughput.py --dataset squad.json --epochs 2 --curve 50 100"
    )
    assert benchmark.command_of(["--accuracy"]) == "python benchmarks/throughput.py --accuracy"


@pytest.mark.parametrize("words", [["--pairs", "0"], ["--examples", "-3"], ["--epochs", "x"]])
def test_numbers_below_one_are_refused(benchmark, words, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(words)
    assert "expected an integer of at least 1" in capsys.readouterr().err


def test_missing_gpu_is_said(benchmark, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.device_of("auto") == "cpu"
    with pytest.raises(ValueError, match="--device cuda: expected a GPU"):
        benchmark.device_of("cuda")


def test_random_base_is_bert_base(benchmark, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(benchmark, "write_untrained_bert", lambda folder, **sizes: written.append((folder, sizes)))
    arguments = benchmark.parser().parse_args(["--model", "bert-base-random", "--work", str(tmp_path)])
    assert benchmark.model_of(arguments) == str(tmp_path / "bert-base-random")
    assert [sizes for _, sizes in written] == [{}]
    assert (BertConfig().hidden_size, BertConfig().num_hidden_layers) == (768, 12)
    benchmark.model_of(arguments)
    assert len(written) == 1


@pytest.fixture
def run(benchmark, pieces, small_bert, tmp_path, monkeypatch):
    """Run the benchmark with its pieces in this process: importing everything for each would take most of the time."""
    monkeypatch.setattr(benchmark, "start_again", lambda spec_file, device: pieces.run_piece(spec_file))
    monkeypatch.setattr(benchmark, "MATRICES", {"cpu": (64, "float32")})

    def run(*words):
        folders = ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "results")]
        benchmark.main(["--model", str(small_bert), "--device", "cpu", *folders, *words])
        return json.loads((tmp_path / "results" / "throughput_cpu.json").read_text(encoding="utf-8"))

    return run


def test_whole_run(run, report, pieces, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pieces, "FIRST_BATCH", 2)
    found = run("--examples", "20", "--pairs", "2", "--start-ups", "1")["comparison"]
    assert [pair["order"] for pair in found["pairs"]] == [[*report.TRAINING], [*reversed(report.TRAINING)]]
    assert list(found["pairs"][1]["predict"]) == [*reversed(report.PREDICTION)]
    for pair in found["pairs"]:
        assert {piece["steps"] for piece in pair["train"].values()} == {3} == {pair["steps"]}
        assert {piece["real_tokens"] for piece in pair["train"].values()} == {found["data"]["real_tokens"]}
        assert {piece["predicted"] for piece in pair["predict"].values()} == {20}
        for piece in (*pair["train"].values(), *pair["predict"].values()):
            assert piece["seconds"] > 0
            assert piece["peak_mib"] > 100
    assert found["data"]["longest_tokens"] <= 384
    pipeline = found["pipelines"][0]
    assert pipeline[report.OLDER]["steps"] == pipeline[report.OURS]["steps"] == pipeline["steps"]
    for who in (report.OLDER, report.OURS):
        assert sum(pipeline[who][stage] for stage in report.STAGES) <= pipeline[who]["seconds"] + 1e-6
        assert all(pipeline[who][stage] > 0 for stage in report.STAGES)
    start_up = found["start_up"][0]
    assert sum(start_up[part] for part in report.START_UP[:-1]) == pytest.approx(start_up["total"])

    text = (tmp_path / "results" / "throughput_cpu.md").read_text(encoding="utf-8")
    assert "2 of 2 pairs and 1 of 1 of the whole pipeline are done." in text
    assert text in capsys.readouterr().out
    for file in (tmp_path / "results").iterdir():
        assert str(tmp_path) not in file.read_text(encoding="utf-8")
    assert list((tmp_path / "work").iterdir()) == []  # models are removed


def test_curve_and_accuracy_are_parts_of_one_report(run, benchmark, tmp_path, monkeypatch):
    found = run("--curve", "16", "24", "--epochs", "1")
    assert [point["examples"] for point in found["curve"]["points"]] == [16, 24]
    assert (tmp_path / "results" / "throughput_cpu.png").is_file()

    file = tmp_path / "data.jsonl"
    file.write_text("\n".join(map(json.dumps, twelve_examples())), encoding="utf-8")
    found = run("--accuracy", "--epochs", "1", "--dataset", str(file))
    runs = found["accuracy"]["runs"]
    assert len(found["curve"]["points"]) == 2
    assert [(run["recipe"], run["learning_rate"], run["fold"]) for run in runs] == [
        (recipe, rate, fold)
        for fold in range(3)
        for recipe, rate in ((benchmark.OURS, 3e-4), (benchmark.OLDER, 5e-5), (benchmark.OLDER, 3e-4))
    ]
    assert {run["held_out"] for run in runs} == {4}
    assert all(0 < run["average_precision"] <= 1 for run in runs)
    assert len({run["average_precision"] for run in runs if run["fold"] == 0}) > 1
    assert "9 of 9 runs" in (tmp_path / "results" / "throughput_cpu.md").read_text(encoding="utf-8")

    monkeypatch.setattr(benchmark.Pieces, "measure", None)  # nothing is run again
    assert run("--accuracy", "--epochs", "1", "--dataset", str(file))["accuracy"]["runs"] == runs


def test_too_few_that_fit(run, small_bert, tmp_path):
    long = [{**example, "context": example["context"] + " river" * 400} for example in twelve_examples()]
    file = tmp_path / "data.jsonl"
    file.write_text("\n".join(map(json.dumps, long)), encoding="utf-8")
    with pytest.raises(ValueError, match=r"--examples: expected at least 12 examples .* found 0; ask for fewer"):
        run("--examples", "12", "--dataset", str(file))


def test_piece_runs_in_a_process_of_its_own(benchmark, tmp_path):
    shared = {"matrix": (32, "float32"), "bf16": False}
    found = benchmark.Pieces(tmp_path, "cpu", shared).measure("matrix", [])
    assert found["flops_per_second"] > 0
