"""Leakage, gathering, and which folds are made, found or made again."""

import errno
import functools
import json
import shutil
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_example, twelve_examples
from dummy_trainer import LABEL_MAP, DummyTrainer, known_words, predicted, run, same_predictions
from filelock import FileLock
from transformers import BertModel

from span_label_errors.cross_validation import store as fold_store
from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.cross_validation.out_of_fold import OutOfFold, out_of_fold_predictions
from span_label_errors.cross_validation.splits import LeakError, fold_seed, make_splits
from span_label_errors.cross_validation.store import (
    FOLD_FILE,
    MODEL_FOLDER,
    TRAINING_FILE,
    code_fingerprint,
    data_fingerprint,
    fold_key,
    lock_file,
    syntax_sha256,
)
from spanbert import QA, QATrainer

TRAINING = {"num_train_epochs": 1, "learning_rate": 1e-3}


@pytest.fixture
def dummy():
    return DummyTrainer()


def bert_trainer(folder, max_length=48, label_map=None, **options) -> QATrainer:
    label_map = label_map or LABEL_MAP
    qa = QA(folder, label_map=label_map, **{"max_length": 48, "doc_stride": 8, "precision": "float32", **options})
    return QATrainer(qa, max_length, label_map)


def folders(folder):
    return sorted(path.name for path in folder.iterdir())


def fails(*args, **kwargs):
    raise AssertionError("nothing must be trained or predicted here")


# --- out-of-fold predictions --------------------------------------------------------------------


@pytest.mark.parametrize("group_by", ["context", "title", "none"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_out_of_fold_predictions_equal_a_naive_loop(dummy, examples, tmp_path, group_by, shuffle):
    options = {"num_splits": 3, "group_by": group_by, "shuffle": shuffle, "seed": 4}
    result, _ = run(dummy, examples, tmp_path, **options)
    assert result.group_by == group_by
    for fold, split in enumerate(make_splits(examples, **options)):
        words = known_words([examples[i] for i in split.train_indices])
        for index in split.validation_indices:
            expected, found = predicted(examples[index], words), result.predictions[index]
            np.testing.assert_array_equal(found.pred_probs, expected.pred_probs[1:])
            np.testing.assert_array_equal(found.labels, expected.labels[1:])
            assert found.tokens == expected.tokens[1:]
            assert result.fold[index] == fold


def test_no_model_sees_what_it_predicts(dummy, examples, tmp_path):
    """Each city is the answer on one paragraph only, so an honest fold cannot know it."""
    result, _ = run(dummy, examples, tmp_path)
    context_of = {example["id"]: example["context"] for example in examples}
    for fold, trained_on in enumerate(dummy.trained_on):
        held_out = [examples[index] for index in np.flatnonzero(result.fold == fold)]
        assert len(held_out) == 4
        assert not {example["context"] for example in held_out} & {context_of[i] for i in trained_on}
    for example, prediction in zip(examples[::2], result.predictions[::2], strict=True):
        city = prediction.tokens.index(example["answers"]["text"][0])
        assert prediction.pred_probs[city, 1] == pytest.approx(0.1)


def test_defaults_are_three_shuffled_folds_in_the_folder_folds(dummy, examples, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = out_of_fold_predictions(examples, dummy)
    assert result.fold.tolist() == [2, 2, 1, 1, 0, 0, 1, 1, 2, 2, 0, 0]
    assert (result.label_map, result.group_by, result.fold.dtype) == (LABEL_MAP, "context", np.int64)
    assert dummy.seeds == [fold_seed(0, 0), fold_seed(0, 1), fold_seed(0, 2)]
    assert folders(tmp_path / "folds") == [report["folder"] for report in result.reports]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_checkpoint_that_has_seen_the_data_is_refused(tiny_bert, examples, tmp_path):
    bert_trainer(tiny_bert).train(examples[:1], tmp_path / "model", **TRAINING)
    # What a model has seen is handed down to the models that start from it.
    bert_trainer(tmp_path / "model").train(examples[2:3], tmp_path / "next", **TRAINING)
    # Nor does another spelling of a paragraph hide it.
    respelled = [
        {**example, "context": f"{example['context'].upper()} ", "answers": {"text": [], "answer_start": []}}
        for example in examples
    ]
    for model, data, count in (("model", examples, 1), ("model", respelled, 1), ("next", examples, 2)):
        with pytest.raises(LeakError, match=f"{tmp_path / model} was trained on {count} of its contexts"):
            run(bert_trainer(tmp_path / model), data, tmp_path / "folds", **TRAINING)


def test_report_says_what_made_a_fold_and_how_good_it_is(dummy, examples, tmp_path):
    """By hand: 4 × 17 tokens, 4 of them answers that fold 0 has not seen, so all get P = 0.1.

    The best span of equal probabilities is the whole text: 12 words without its five articles, one of them right. Its
    precision is 1/12, its recall 1 and its F1 2/13.
    """
    result, lines = run(dummy, examples, tmp_path, shuffle=False, seed=5, epochs=2)
    report = dict(result.reports[0])
    assert report.pop("sha256") == fold_key(report)
    metrics, seconds, key = (report.pop(name) for name in ("metrics", "seconds", "key"))
    assert metrics["loss"] == pytest.approx((64 * -np.log(0.9) + 4 * -np.log(0.1)) / 68)
    of_class = metrics["classes"]["ANS"]
    assert (of_class["average_precision"], of_class["base_rate"]) == pytest.approx((4 / 68, 4 / 68))
    assert (of_class["exact_match"], of_class["f1"]) == pytest.approx((0, 100 * 2 / 13))
    assert min(seconds["train"], seconds["predict"]) > 0
    arrays = ("char_end", "char_start", "example_index", "labels", "num_tokens", "offsets_start", "pred_probs")
    assert sorted(report.pop("files")) == [*(f"predictions/{name}.npy" for name in arrays), "words.json"]
    configuration = {
        "data": data_fingerprint(examples),
        "trainer": {"label_map": LABEL_MAP, "class": "dummy_trainer.DummyTrainer"},
        "training": {"epochs": 2},
        "code": code_fingerprint(),
        "seed": fold_seed(5, 0),
        "train_indices": [4, 5, 6, 7, 8, 9, 10, 11],
        "validation_indices": [0, 1, 2, 3],
    }
    assert key == fold_key(configuration)
    assert report == {
        "fold": 0,
        **configuration,
        "loss_history": [[1.0, 0.5]],
        "num_training_windows": 9,
        "num_training_questions_cut": None,
        "num_threads": torch.get_num_threads(),
        "folder": f"fold_0_of_3-{key[:12]}",
    }
    assert lines[0].startswith("fold 0 (1 of 3): trained on 8 examples in 0 s; on the 4 held out: loss ")
    assert lines[0].endswith("ANS: exact match 0 %, F1 15 %")


def test_metrics_are_a_row_for_each_fold_and_class():
    reports = [
        {
            "fold": fold,
            "validation_indices": [0] * (2 + fold),
            "metrics": {"loss": 0.5 + fold, "classes": {"A": {"f1": 10.0 + fold}, "B": {"f1": 20.0 + fold}}},
            "seconds": {"train": 30.0 + fold, "predict": 40.0},
        }
        for fold in range(2)
    ]
    metrics = OutOfFold([], np.array([]), [], reports, LABEL_MAP).metrics()
    assert list(metrics.columns) == ["fold", "class", "examples", "loss", "f1", "train_seconds"]
    assert metrics.to_numpy().tolist() == [
        [0, "A", 2, 0.5, 10.0, 30.0],
        [0, "B", 2, 0.5, 20.0, 30.0],
        [1, "A", 3, 1.5, 11.0, 31.0],
        [1, "B", 3, 1.5, 21.0, 31.0],
    ]


# --- with models that are trained -----------------------------------------------------------------


def test_fold_is_the_model_that_its_examples_train_alone(tiny_bert, examples, tmp_path):
    trainer = bert_trainer(tiny_bert)
    result, _ = run(trainer, examples, tmp_path / "folds", **TRAINING)
    folder = tmp_path / "folds" / result.reports[1]["folder"]
    held_out = result.splits[1].validation_indices
    rest = [example for index, example in enumerate(examples) if index not in held_out]
    trainer.train(rest, tmp_path / "alone", seed=fold_seed(0, 1), **TRAINING)
    assert (tmp_path / "alone" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    again = QA(folder, precision="float32").predict_batch([examples[index] for index in held_out])
    for index, prediction in zip(held_out, again, strict=True):
        expected = prediction.context_only().pred_probs
        np.testing.assert_array_equal(result.predictions[index].pred_probs, expected)
    assert not [file for file in tmp_path.rglob("*") if file.suffix in (".pt", ".pth", ".bin", ".pkl")]
    assert result.reports[1]["num_training_questions_cut"] == 0
    assert len(result.reports[1]["loss_history"]) > 0


# --- finished, unfinished and damaged folds -------------------------------------------------------


def test_second_run_trains_and_predicts_nothing(dummy, examples, tmp_path, monkeypatch):
    first, _ = run(dummy, examples, tmp_path)
    monkeypatch.setattr(DummyTrainer, "train", lambda self, dataset, output_dir, *, seed: fails())
    monkeypatch.setattr(DummyTrainer, "load", fails)
    (tmp_path / "fold_0_of_3-000000000000").mkdir()  # of another configuration: neither read nor named
    second, lines = run(dummy, examples, tmp_path)
    assert lines == [
        f"fold {fold} ({fold + 1} of 3): already trained, skipping ({report['folder']})"
        for fold, report in enumerate(first.reports)
    ]
    same_predictions(first, second)
    assert first.reports == second.reports


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FloatingPointError("the loss is no number")])
def test_run_that_stops_keeps_finished_folds_and_says_where_it_goes_on(dummy, examples, tmp_path, monkeypatch, error):
    train = DummyTrainer.train

    def stop_in_second_fold(self, *args, seed):
        if len(self.seeds) == 1:
            raise error
        return train(self, *args, seed=seed)

    with monkeypatch.context() as patch, pytest.raises(type(error)) as raised:
        patch.setattr(DummyTrainer, "train", stop_in_second_fold)
        run(dummy, examples, tmp_path / "folds")
    (advice,) = raised.value.__notes__
    assert advice.startswith("fold 1 (2 of 3) is not finished.") and str(tmp_path / "folds") in advice
    result, lines = run(dummy, examples, tmp_path / "folds")
    assert ["skipping" in line for line in lines] == [True, False, False]
    same_predictions(result, run(dummy, examples, tmp_path / "undisturbed")[0])


@pytest.fixture
def trained(dummy, examples, tmp_path, monkeypatch):
    """The folder of a first fold whose model was trained, and then the run died."""
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(DummyTrainer, "load", fails)
        run(dummy, examples, tmp_path)
    (unfinished,) = tmp_path.iterdir()
    return unfinished


def test_fold_that_was_trained_is_not_trained_again(dummy, examples, tmp_path, trained):
    (trained / MODEL_FOLDER / "left over").write_text("")
    result, lines = run(dummy, examples, tmp_path)
    assert lines[0] == "fold 0 (1 of 3): was interrupted after training; resuming with the predictions"
    assert dummy.seeds == [fold_seed(0, 0), fold_seed(0, 1), fold_seed(0, 2)]
    assert (result.reports[0]["num_training_windows"], result.reports[0]["loss_history"]) == (9, [[1.0, 0.5]])
    assert folders(tmp_path) == [report["folder"] for report in result.reports]
    assert "left over" not in result.reports[0]["files"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / TRAINING_FILE).unlink(), "trained on 8 examples"),
        (lambda folder: (folder / MODEL_FOLDER / "words.json").write_text("[]"), "words.json is damaged"),
    ],
)
def test_trained_model_without_a_record_that_fits_is_trained_anew(dummy, examples, tmp_path, trained, damage, said):
    damage(trained)
    result, lines = run(dummy, examples, tmp_path)
    assert said in lines[0]
    assert dummy.seeds == [fold_seed(0, fold) for fold in (0, 0, 1, 2)]
    same_predictions(result, run(dummy, examples, tmp_path / "undisturbed")[0])


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # others may have mapped it
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda fold: (fold / FOLD_FILE).unlink(), "no fold.json: the fold was not finished"),
        (lambda fold: flip_a_byte(fold / "predictions" / "pred_probs.npy"), "predictions/pred_probs.npy is damaged"),
        (lambda fold: flip_a_byte(fold / "words.json"), "words.json is damaged: its SHA-256 is not the one in"),
    ],
)
def test_damaged_fold_alone_is_made_again(dummy, examples, tmp_path, damage, reason):
    first, _ = run(dummy, examples, tmp_path)
    damage(tmp_path / first.reports[1]["folder"])
    second, lines = run(dummy, examples, tmp_path)
    assert ["already trained" in line for line in lines] == [True, False, False, True]
    assert "cannot be used, training again" in lines[1] and reason in lines[1]
    assert lines[2].startswith("fold 1 (2 of 3): trained on 8 examples")
    same_predictions(first, second)


def test_fold_that_another_process_makes_while_this_one_waits_is_used(dummy, examples, tmp_path):
    """As if another process were making fold 0, which is finished when its lock is free."""
    other, _ = run(dummy, examples, tmp_path / "other")
    mine, name = tmp_path / "mine", other.reports[0]["folder"]
    mine.mkdir()
    trained, lines = len(dummy.seeds), []

    def log(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            shutil.copytree(tmp_path / "other" / name, mine / name)
            lock.release()

    lock = FileLock(lock_file(mine / name), thread_local=False)
    lock.acquire()
    result = out_of_fold_predictions(examples, dummy, folds_dir=mine, log=log)
    assert len(dummy.seeds) == trained + 2
    assert lines[1] == f"fold 0 (1 of 3): already trained, skipping ({name})"
    same_predictions(other, result)


# --- what makes a fold stale ----------------------------------------------------------------------


def relabelled(examples):
    return [{**examples[0], "answers": {"text": ["The"], "answer_start": [0]}}, *examples[1:]]


class OtherTrainer(DummyTrainer):
    pass


class TrainerWithSettings(DummyTrainer):
    def settings(self):
        return {"rate": 0.5}


@pytest.mark.parametrize(
    "other",
    [
        {"examples": relabelled(twelve_examples())},
        {"examples": twelve_examples()[:11]},
        {"seed": 1, "shuffle": False},
        {"epochs": 2},
        {"group_by": "none"},
        {"trainer": OtherTrainer()},
        {"trainer": TrainerWithSettings()},
    ],
    ids=["label", "data", "seed", "training", "splits", "class", "settings"],
)
def test_fold_of_another_configuration_is_neither_used_nor_touched(tmp_path, other):
    arguments = {"trainer": DummyTrainer(), "examples": twelve_examples(), "folder": tmp_path}
    run(**arguments, **({"shuffle": False} if "shuffle" in other else {}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    _, lines = run(**{**arguments, **other})
    assert len(lines) == 4 and not any("skipping" in line for line in lines)
    assert lines[0].startswith(f"{tmp_path.name}: finished folds of other data, ") and "are there (3);" in lines[0]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(folders(tmp_path)) == 6


def test_settings_tell_trainers_apart(tiny_bert, tmp_path):
    shutil.copytree(tiny_bert, tmp_path / "other")
    encoder = BertModel.from_pretrained(tmp_path / "other", add_pooling_layer=False)
    encoder.embeddings.word_embeddings.weight.data *= 2
    encoder.save_pretrained(tmp_path / "other")

    class OwnTrainer(QATrainer):
        pass

    same = bert_trainer(tiny_bert)
    trainers = [
        same,
        bert_trainer(tmp_path / "other"),
        bert_trainer(tiny_bert, 40),
        bert_trainer(tiny_bert, doc_stride=9),
        bert_trainer(tiny_bert, answers="all"),
        bert_trainer(tiny_bert, precision="bfloat16"),
        bert_trainer(tiny_bert, label_map={"O": 1, "ANS": 0}),
        OwnTrainer(same.qa, 48, LABEL_MAP),
    ]
    assert len({json.dumps(fold_trainer.settings(trainer), sort_keys=True) for trainer in trainers}) == len(trainers)
    assert fold_trainer.settings(bert_trainer(shutil.copytree(tiny_bert, tmp_path / "same"))) == (
        fold_trainer.settings(same)
    )
    assert fold_trainer.settings(TrainerWithSettings())["rate"] == 0.5


CODE_TEXT = '"""A."""\n\ndef f(x):\n    """B."""\n    return x + 1  # c\n'


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("A.", "Another.", True),
        ('    """B."""\n', "", True),
        ("  # c", "", True),
        ("x + 1", "(x +\n            1)", True),
        ("+ 1", "+ 2", False),
        ("def f", "def g", False),
        ("return x + 1", 'return "A."', False),
    ],
)
def test_hash_of_code_is_of_what_it_does(tmp_path, old, new, is_same):
    hashes = []
    for text in (CODE_TEXT, CODE_TEXT.replace(old, new, 1)):
        (tmp_path / "module.py").write_text(text)
        hashes.append(syntax_sha256([tmp_path / "module.py"]))
    assert CODE_TEXT.replace(old, new, 1) != CODE_TEXT
    assert (hashes[0] == hashes[1]) == is_same


def test_changed_code_is_refused_until_it_is_imported(dummy, examples, tmp_path, monkeypatch):
    """As if a module had been edited: what is on disk no longer has the hash of what was imported."""
    monkeypatch.setattr(fold_store, "syntax_sha256", lambda files: "another")
    with pytest.raises(RuntimeError, match="found them changed on disk; restart the kernel"):
        run(dummy, examples, tmp_path)
    assert dummy.seeds == []


def test_code_fingerprint_names_the_versions_of_libraries():
    names = ("accelerate", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers")
    assert {name: code_fingerprint()[name] for name in names} == {name: version(name) for name in names}


# --- bad input, before anything is trained --------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_splits": 1}, "num_splits"),
        ({"frozen_layers": 3}, "frozen_layers: expected 0 to 2"),
        ({"learning_rat": 1e-3}, "did you mean .learning_rate."),
    ],
)
def test_wrong_options_stop_before_training(tiny_bert, examples, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(bert_trainer(tiny_bert), examples, tmp_path, **{**TRAINING, **options})
    assert folders(tmp_path) == []


def test_answer_without_a_token_stops_before_training(tiny_bert, examples, tmp_path):
    examples.append(make_example("odd", "Paris\u200b\u200b.", "?", "\u200b"))
    with pytest.raises(ValueError, match=r"example 12 \(id 'odd'\): expected the answer at .* to cover a token"):
        run(bert_trainer(tiny_bert), examples, tmp_path, **TRAINING)
    assert folders(tmp_path) == []


def test_wrong_argument_or_folder_of_another_trainer_stops_before_training(dummy, examples, tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'learning_rate'"):
        run(dummy, examples, tmp_path, learning_rate=0.1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="expected a folder that can be written"):
        run(dummy, examples, tmp_path / "file" / "folds")
    assert dummy.seeds == []


def test_space_is_needed_for_the_folds_that_are_not_there(tiny_bert, examples, tmp_path, monkeypatch):
    needed = 3 * (tiny_bert / "model.safetensors").stat().st_size
    free = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    monkeypatch.setattr(QATrainer, "train", functools.wraps(QATrainer.train)(fails))
    with pytest.raises(OSError, match=r"expected at least 0 MB of free space .*; free some") as error:
        run(bert_trainer(tiny_bert), examples, tmp_path, **TRAINING)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path))
    free.free = needed
    with pytest.raises(AssertionError, match="nothing must be trained"):
        run(bert_trainer(tiny_bert), examples, tmp_path, **TRAINING)
