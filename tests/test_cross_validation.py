"""Leakage, gathering and the store of finished folds."""

import contextlib
import errno
import hashlib
import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT, make_example, twelve_examples
from transformers import BertModel

import fold_making
import fold_store
from alignment import answer_spans, token_labels, tokenize_texts
from cross_validation import OutOfFold, out_of_fold_predictions
from fold_store import (
    FOLD_FILE,
    MODEL_FOLDER,
    PREDICTIONS_FILE,
    TRAINING_FILE,
    code_fingerprint,
    configuration_of,
    data_fingerprint,
    file_sha256,
    fold_folder,
    fold_key,
    load_fold,
    load_training,
    lock_file,
    read_predictions,
    save_fold,
    save_training,
    unfinished_folder,
)
from predictions import SpanPrediction
from qa_trainer import context_hash
from spanbert import QA, QATrainer, TrainingReport
from splits import LeakError, fold_seed, make_splits

LABEL_MAP = {"O": 0, "ANS": 1}
TRAINING = {"num_train_epochs": 1, "learning_rate": 1e-3}


class DummyTrainer:
    """Knows the words of the answers it trained on, and gives each token P = 0.9 if it is one, else 0.1."""

    label_map = LABEL_MAP

    def __init__(self, tokenizer, seen=()):
        self.tokenizer, self.seen, self.trained_on, self.seeds = tokenizer, set(seen), [], []
        self.qa = SimpleNamespace(model_path="dummy")

    def settings(self):
        return {"checkpoint": "dummy", "answers": "first"}

    def seen_contexts(self):
        return self.seen

    def check(self, examples, **training):
        pass

    def num_bytes(self):
        return 0

    def train(self, examples, output_dir, *, seed, on_step, **training):
        self.trained_on.append([example["id"] for example in examples])
        self.seeds.append(seed)
        words = sorted({word for example in examples for text in example["answers"]["text"] for word in text.split()})
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "words.json").write_text(json.dumps(words))
        return TrainingReport(output_dir, len(examples), 0, 1.0, [(1.0, 0.5)])

    def load(self, folder):
        words = json.loads((folder / "words.json").read_text())
        return SimpleNamespace(predictions=lambda examples, on_batch: [self.predict(e, words) for e in examples])

    def predict(self, example, words) -> SpanPrediction:
        tokens = tokenize_texts(self.tokenizer, [example["context"]])[0]
        texts = tokens.texts(example["context"])
        probs = np.array([[0.1, 0.9] if text in words else [0.9, 0.1] for text in texts], dtype=np.float32)
        labels = token_labels(tokens, answer_spans(example, LABEL_MAP), LABEL_MAP)
        return SpanPrediction(
            probs, texts, labels,
            char_start=tokens.char_start, char_end=tokens.char_end, is_context=np.ones(len(texts), dtype=bool),
        )  # fmt: skip


@pytest.fixture
def dummy(tiny_bert):
    return DummyTrainer(QA(tiny_bert, max_length=48).tokenizer)


def forbid(*args, **kwargs):
    raise AssertionError("nothing must be trained or predicted here")


# --- out-of-fold predictions --------------------------------------------------------------------


@pytest.mark.parametrize("group_by", ["context", "title", "none"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_out_of_fold_predictions_equal_a_naive_loop(dummy, examples, tmp_path, group_by, shuffle):
    options = {"num_splits": 3, "group_by": group_by, "shuffle": shuffle, "seed": 4}
    result = out_of_fold_predictions(examples, dummy, folds_dir=tmp_path, log=lambda line: None, **options)

    for fold, split in enumerate(make_splits(examples, **options)):
        words = {w for i in split.train_indices for text in examples[i]["answers"]["text"] for w in text.split()}
        for index in split.validation_indices:
            expected = dummy.predict(examples[index], words)
            np.testing.assert_array_equal(result.predictions[index].pred_probs, expected.pred_probs)
            np.testing.assert_array_equal(result.predictions[index].labels, expected.labels)
            assert result.predictions[index].tokens == expected.tokens
            assert result.fold[index] == fold


def test_no_model_sees_what_it_predicts(dummy, examples, tmp_path):
    result = out_of_fold_predictions(examples, dummy, folds_dir=tmp_path, log=lambda line: None)
    context_of = {example["id"]: example["context"] for example in examples}
    for fold, trained_on in enumerate(dummy.trained_on):
        held_out = [examples[index] for index in np.flatnonzero(result.fold == fold)]
        assert len(held_out) == 4
        assert not {example["context"] for example in held_out} & {context_of[i] for i in trained_on}
    assert dummy.seeds == [fold_seed(0, fold) for fold in range(3)]


def test_city_is_never_known_to_the_model_that_is_asked_for_it(dummy, examples, tmp_path):
    """Each city is the answer on one paragraph only, so an honest fold cannot know it."""
    result = out_of_fold_predictions(examples, dummy, folds_dir=tmp_path, log=lambda line: None)
    for example, prediction in zip(examples[::2], result.predictions[::2], strict=True):
        city = prediction.tokens.index(example["answers"]["text"][0])
        assert prediction.pred_probs[city, 1] == pytest.approx(0.1)


def test_fold_that_cannot_be_saved_leaves_no_folder(dummy, examples, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fold_making.save_fold", fail)
    with pytest.raises(OSError, match="No space left"):
        out_of_fold_predictions(examples, dummy, folds_dir=tmp_path, log=lambda line: None)
    assert not [name for name in folders(tmp_path) if name.startswith("fold_")]


def test_fold_of_another_seed_on_the_same_split_is_not_used(dummy, examples, tmp_path):
    for seed in (0, 1):
        out_of_fold_predictions(examples, dummy, folds_dir=tmp_path, log=lambda line: None, shuffle=False, seed=seed)
    assert dummy.seeds == [fold_seed(seed, fold) for seed in (0, 1) for fold in range(3)]
    assert len(folders(tmp_path)) == 6


def test_checkpoint_that_has_seen_the_data_is_refused(tiny_bert, examples, tmp_path):
    qa = QA(tiny_bert, max_length=48, doc_stride=8)
    QATrainer(qa, 48, LABEL_MAP).train(examples[:1], tmp_path / "model", 1)
    trainer = QATrainer(QA(tmp_path / "model"), 48, LABEL_MAP)
    with pytest.raises(LeakError, match="was trained on 1 of its contexts"):
        out_of_fold_predictions(examples, trainer, folds_dir=tmp_path / "folds", **TRAINING)
    # Nor does another spelling of the paragraph hide it.
    respelled = [{**example, "context": f"{example['context'].upper()} "} for example in examples]
    for example in respelled:
        example["answers"] = {"text": [], "answer_start": []}
    with pytest.raises(LeakError, match="was trained on 1 of its contexts"):
        out_of_fold_predictions(respelled, trainer, folds_dir=tmp_path / "folds", **TRAINING)
    # What a model has seen is handed down to the models that start from it.
    QATrainer(QA(tmp_path / "model"), 48, LABEL_MAP).train(examples[2:3], tmp_path / "next", 1)
    with pytest.raises(LeakError, match="was trained on 2 of its contexts"):
        trainer = QATrainer(QA(tmp_path / "next"), 48, LABEL_MAP)
        out_of_fold_predictions(examples, trainer, folds_dir=tmp_path / "folds", **TRAINING)


# --- finished, unfinished and foreign folds -----------------------------------------------------


@pytest.fixture
def trainer(tiny_bert):
    return QATrainer(QA(tiny_bert, max_length=48, doc_stride=8), 48, LABEL_MAP)


def run(trainer, examples, folder, **options):
    lines = []
    result = out_of_fold_predictions(examples, trainer, folds_dir=folder, log=lines.append, **{**TRAINING, **options})
    return result, lines


def folders(folder):
    return sorted(path.name for path in folder.iterdir())


def same_predictions(first, second):
    for one, other in zip(first.predictions, second.predictions, strict=True):
        np.testing.assert_array_equal(one.pred_probs, other.pred_probs)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.char_start, other.char_start)
        assert one.tokens == other.tokens


@pytest.fixture(scope="module")
def finished_run(tiny_bert, tmp_path_factory):
    """A whole run, made once: its result and its folder, which tests copy."""
    folder = tmp_path_factory.mktemp("finished")
    trainer = QATrainer(QA(tiny_bert, max_length=48, doc_stride=8), 48, LABEL_MAP)
    return run(trainer, twelve_examples(), folder)[0], folder


@pytest.fixture
def finished(finished_run, tmp_path):
    """The result of a whole run, whose folds are in `tmp_path`."""
    result, folder = finished_run
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return result


def test_second_run_trains_and_predicts_nothing(trainer, examples, tmp_path, monkeypatch, finished):
    monkeypatch.setattr(QATrainer, "train", forbid)
    monkeypatch.setattr(QA, "predictions", forbid)
    second, lines = run(trainer, examples, tmp_path)
    for fold, line in enumerate(lines):
        assert line.startswith(f"fold {fold} ({fold + 1} of 3): already trained, skipping (fold_{fold}_of_3-")
    assert len(lines) == 3
    same_predictions(finished, second)
    assert finished.reports == second.reports


def test_fold_folder_is_a_model(examples, tmp_path, finished):
    folder = tmp_path / finished.reports[finished.fold[0]]["folder"]
    again = QA(folder).predict(examples[0]).context_only()
    np.testing.assert_allclose(again.pred_probs, finished.predictions[0].pred_probs, atol=1e-5)


def test_fold_is_the_model_that_its_examples_train_alone(trainer, examples, tmp_path, finished):
    folder = tmp_path / finished.reports[1]["folder"]
    held_out = finished.splits[1].validation_indices
    rest = [example for index, example in enumerate(examples) if index not in held_out]
    trainer.train(rest, tmp_path / "alone", seed=fold_seed(0, 1), **TRAINING)
    assert (tmp_path / "alone" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_metrics_are_those_of_the_held_out_examples(finished):
    for fold, report in enumerate(finished.reports):
        held_out = [finished.predictions[index] for index in np.flatnonzero(finished.fold == fold)]
        probs = np.concatenate([prediction.pred_probs for prediction in held_out]).astype(np.float64)
        labels = np.concatenate([prediction.labels for prediction in held_out])
        loss = -np.log(np.where(labels == 1, probs, 1 - probs)).mean()
        assert report["metrics"]["loss"] == pytest.approx(loss, rel=1e-6)
        assert report["metrics"]["classes"]["ANS"]["base_rate"] == pytest.approx(labels[:, 1].mean())


def test_stored_predictions_name_their_examples(tmp_path, finished):
    for report, split in zip(finished.reports, finished.splits, strict=True):
        with np.load(tmp_path / report["folder"] / PREDICTIONS_FILE) as stored:
            assert stored["example_index"].tolist() == split.validation_indices.tolist()
            assert stored["num_tokens"].tolist() == [22] * 4


def test_interrupted_run_keeps_finished_folds_and_ends_as_if_undisturbed(
    trainer, examples, tmp_path, monkeypatch, finished
):
    train, calls = QATrainer.train, []

    def die_in_second_fold(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(QATrainer, "train", die_in_second_fold)
        run(trainer, examples, tmp_path / "folds")
    result, lines = run(trainer, examples, tmp_path / "folds")
    assert ["skipping" in line for line in lines] == [True, False, False]
    same_predictions(result, finished)


def test_fold_that_died_while_predicting_is_not_taken_for_finished(trainer, examples, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="nothing must be"):
        patch.setattr(QA, "predictions", forbid)
        run(trainer, examples, tmp_path)
    assert not [name for name in folders(tmp_path) if name.startswith("fold_")]
    _, lines = run(trainer, examples, tmp_path)
    assert lines[0] == "fold 0 (1 of 3): was interrupted after training; goes on with the predictions"
    assert not any("skipping" in line for line in lines)
    assert [name for name in folders(tmp_path) if name.startswith(".")] == []


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda fold: (fold / FOLD_FILE).unlink(), "no fold.json: the fold was not finished"),
        (lambda fold: (fold / FOLD_FILE).write_text("{"), "fold.json cannot be read"),
        (lambda fold: (fold / FOLD_FILE).write_text('{"key": "other"}'), "fold.json is of another configuration"),
        (lambda fold: (fold / PREDICTIONS_FILE).unlink(), "predictions.npz is missing"),
        (lambda fold: flip_a_byte(fold / PREDICTIONS_FILE), "predictions.npz is damaged"),
        (lambda fold: flip_a_byte(fold / "model.safetensors"), "model.safetensors is damaged"),
    ],
)
def test_damaged_fold_alone_is_made_again(trainer, examples, tmp_path, finished, damage, reason):
    damage(tmp_path / finished.reports[1]["folder"])
    second, lines = run(trainer, examples, tmp_path)
    assert "already trained" in lines[0]
    assert "cannot be used, training again" in lines[1]
    assert reason in lines[1]
    assert lines[2].startswith("fold 1 (2 of 3): trained on 8 examples")
    assert "already trained" in lines[3]
    same_predictions(finished, second)


def test_key_counts_beyond_the_part_that_names_the_folder(trainer, examples, tmp_path, finished):
    file, key = tmp_path / finished.reports[1]["folder"] / FOLD_FILE, finished.reports[1]["key"]
    file.write_text(file.read_text().replace(key, key[:12] + "0" * 52))
    _, lines = run(trainer, examples, tmp_path)
    assert "fold.json is of another configuration" in lines[1]


@pytest.mark.parametrize("change", [{"files": None}, {"files": {}}], ids=["no list of files", "empty list"])
def test_fold_without_its_list_of_files_is_made_again(trainer, examples, tmp_path, finished, change):
    folder = tmp_path / finished.reports[1]["folder"]
    report = json.loads((folder / FOLD_FILE).read_text())
    (folder / FOLD_FILE).write_text(json.dumps({**report, **change}))
    (folder / PREDICTIONS_FILE).unlink()
    second, lines = run(trainer, examples, tmp_path)
    assert "cannot be used, training again" in lines[1]
    same_predictions(finished, second)


def changed(examples):
    relabelled = [dict(example) for example in examples]
    relabelled[0] = {**relabelled[0], "answers": {"text": ["The"], "answer_start": [0]}}
    return relabelled


@pytest.mark.parametrize(
    "change",
    [
        lambda trainer, examples: (trainer, changed(examples), {}),
        lambda trainer, examples: (trainer, examples[:11], {}),
        lambda trainer, examples: (trainer, examples, {"seed": 1}),
        lambda trainer, examples: (trainer, examples, {"num_train_epochs": 2}),
        lambda trainer, examples: (trainer, examples, {"learning_rate": 2e-3}),
        lambda trainer, examples: (trainer, examples, {"frozen_layers": 1}),
        lambda trainer, examples: (trainer, examples, {"shuffle": False}),
        lambda trainer, examples: (QATrainer(trainer.qa, 40, LABEL_MAP), examples, {}),
        lambda trainer, examples: (
            QATrainer(QA(trainer.qa.model_path, max_length=48, doc_stride=9), 48, LABEL_MAP),
            examples,
            {},
        ),
    ],
    ids=["label", "data", "seed", "epochs", "learning rate", "frozen", "order", "window", "stride"],
)
def test_fold_of_other_settings_is_neither_used_nor_touched(trainer, examples, tmp_path, finished, change):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other_trainer, other_examples, options = change(trainer, examples)
    _, lines = run(other_trainer, other_examples, tmp_path, **options)
    assert not any("skipping" in line for line in lines)
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(folders(tmp_path)) == 6


@pytest.mark.parametrize("change", ["checkpoint", "label map", "answers"])
@pytest.mark.usefixtures("finished")
def test_fold_of_another_checkpoint_label_map_or_answers_is_not_used(
    tiny_bert, examples, tmp_path, tmp_path_factory, change
):
    folder, answers = tiny_bert, "all" if change == "answers" else "first"
    label_map = {"O": 1, "ANS": 0} if change == "label map" else LABEL_MAP
    if change == "checkpoint":
        folder = shutil.copytree(tiny_bert, tmp_path_factory.mktemp("other"), dirs_exist_ok=True)
        encoder = BertModel.from_pretrained(folder, add_pooling_layer=False)
        encoder.embeddings.word_embeddings.weight.data *= 2
        encoder.save_pretrained(folder)
    qa = QA(folder, label_map=label_map, max_length=48, doc_stride=8, answers=answers)
    _, lines = run(QATrainer(qa, 48, label_map), examples, tmp_path)
    assert not any("skipping" in line for line in lines)
    assert len(folders(tmp_path)) == 6


def test_key_depends_on_each_entry_of_the_configuration(finished):
    names = ["data", "trainer", "training", "code", "seed", "train_indices", "validation_indices"]
    configuration = {name: finished.reports[0][name] for name in names}
    assert fold_key(configuration) == finished.reports[0]["key"]
    for name in names:
        assert fold_key({**configuration, name: None}) != finished.reports[0]["key"], name


@pytest.mark.usefixtures("finished")
def test_changed_code_makes_folds_stale(trainer, examples, tmp_path, monkeypatch):
    """As if this process had been started after the module was edited."""
    edit(monkeypatch, "predictions")
    _, lines = run(trainer, examples, tmp_path)
    assert not any("skipping" in line for line in lines)


def edit(monkeypatch, module):
    monkeypatch.setattr(fold_store, "file_sha256", lambda file: "0" if file.stem == module else file_sha256(file))
    monkeypatch.setattr(fold_store, "_IMPORTED_MODULES", fold_store._hash_of_modules())


@pytest.mark.parametrize(
    "module",
    [
        "alignment",
        "checkpoints",
        "fold_making",
        "predictions",
        "qa",
        "qa_trainer",
        "span_metrics",
        "span_model",
        "splits",
        "training_loop",
        "training_states",
        "windows",
    ],
)
def test_code_fingerprint_changes_with_each_module_that_makes_a_fold(monkeypatch, module):
    before = code_fingerprint()
    edit(monkeypatch, module)
    assert code_fingerprint()["modules"] != before["modules"]


def test_code_fingerprint_names_the_versions_of_libraries():
    names = ("accelerate", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers")
    versions = {name: version(name) for name in names}
    assert {name: found for name, found in code_fingerprint().items() if name != "modules"} == versions


def test_code_that_changed_since_it_was_imported_is_refused(trainer, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(QATrainer, "train", forbid)
    monkeypatch.setattr(fold_store, "file_sha256", lambda file: "edited")
    with pytest.raises(RuntimeError, match="found them changed on disk; restart the kernel"):
        run(trainer, examples, tmp_path)


def test_run_in_another_folder_gives_the_same_bytes(trainer, examples, tmp_path, finished_run):
    first = finished_run[1]
    run(trainer, examples, tmp_path)
    assert folders(first) == folders(tmp_path)
    for fold in folders(first):
        for file in ("model.safetensors", PREDICTIONS_FILE):
            assert (first / fold / file).read_bytes() == (tmp_path / fold / file).read_bytes()


# --- bad input, before anything is trained -------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_splits": 1}, ValueError, "num_splits"),
        ({"num_train_epochs": 0}, ValueError, "num_train_epochs: expected a number above 0, found 0"),
        ({"head_learning_rate": -1.0}, ValueError, "head_learning_rate: expected a number above 0 or None"),
        ({"dropout": 1.0}, ValueError, "dropout: expected a number from 0 to below 1 or None"),
        ({"frozen_layers": 3}, ValueError, "frozen_layers: expected 0 to 2"),
        ({"learning_rat": 1e-3}, TypeError, "learning_rat"),
        ({"lr_scheduler_type": "wobbly"}, ValueError, "wobbly"),
    ],
)
def test_wrong_options_stop_before_training(trainer, examples, tmp_path, monkeypatch, options, error, message):
    monkeypatch.setattr(QATrainer, "train", forbid)
    with pytest.raises(error, match=message):
        run(trainer, examples, tmp_path, **options)


def test_folder_that_cannot_be_written_stops_before_training(trainer, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(QATrainer, "train", forbid)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="expected a folder that can be written"):
        run(trainer, examples, tmp_path / "file" / "folds")


def test_answer_without_a_token_stops_before_training(trainer, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(QATrainer, "train", forbid)
    examples.append(make_example("odd", "Paris\u200b\u200b.", "?", "\u200b"))
    with pytest.raises(ValueError, match=r"example 12 \(id 'odd'\): expected the answer at .* to cover a token"):
        run(trainer, examples, tmp_path)


def test_failing_fold_loses_no_finished_fold(trainer, examples, tmp_path, monkeypatch):
    train, calls = QATrainer.train, []

    def diverge_in_third_fold(self, *args, **kwargs):
        calls.append(args)
        return train(
            self, *args, **{**kwargs, "learning_rate": 1e30 if len(calls) == 3 else 1e-3, "max_grad_norm": 0.0}
        )

    monkeypatch.setattr(QATrainer, "train", diverge_in_third_fold)
    with pytest.raises(FloatingPointError, match="expected a finite"):
        run(trainer, examples, tmp_path, num_train_epochs=5)
    assert len([name for name in folders(tmp_path) if name.startswith("fold_")]) == 2


def test_unanswerable_questions_and_empty_folds_of_a_class(trainer, examples, tmp_path):
    unanswerable = [{**example, "answers": {"text": [], "answer_start": []}} for example in examples]
    result, lines = run(trainer, unanswerable, tmp_path)
    assert all(prediction.labels[:, 1].sum() == 0 for prediction in result.predictions)
    assert "token AP undefined" in lines[0]
    assert result.metrics()["average_precision"].isna().all()


def test_metrics_have_one_row_per_fold(tmp_path, finished):
    metrics = finished.metrics()
    assert metrics["fold"].tolist() == [0, 1, 2]
    assert metrics["examples"].tolist() == [4, 4, 4]
    assert (metrics["class"] == "ANS").all()
    stored = json.loads((tmp_path / finished.reports[2]["folder"] / FOLD_FILE).read_text())
    assert stored["metrics"]["loss"] == metrics["loss"][2]


def test_leftover_of_a_killed_run_is_cleared(trainer, examples, tmp_path, finished):
    """A model that nothing vouches for is not used, whatever it is; nor is one that is half-saved."""
    folder = tmp_path / finished.reports[0]["folder"]
    unfinished = unfinished_folder(folder)
    shutil.copytree(folder, unfinished / ".model.partial")
    folder.rename(unfinished / "model")
    (unfinished / "model" / "spanbert.json").unlink()
    (unfinished / "training.json").write_text(json.dumps({"key": finished.reports[0]["key"], "files": {"a": "0"}}))
    second, lines = run(trainer, examples, tmp_path)
    assert lines[0] == ("fold 0 (1 of 3): was interrupted, and its model cannot be used, training again (a is missing)")
    assert not unfinished.exists()
    same_predictions(finished, second)


# --- what a run says and reports, with a trainer that takes no time -------------------------------


class WatchedTrainer(DummyTrainer):
    """Notes what it is called with; breaks down before the next prediction if it is told to."""

    def __init__(self, tokenizer, seen=()):
        super().__init__(tokenizer, seen)
        self.checked, self.trained_with, self.states, self.shown_by, self.breaks_down = [], [], [], [], False

    def check(self, examples, **training):
        self.checked.append((examples, training))

    def train(self, examples, output_dir, *, seed, on_step, states, **training):
        super().train(examples, output_dir, seed=seed, on_step=on_step)
        self.trained_with.append(training)
        self.states.append(states)
        self.shown_by.append(on_step)
        return TrainingReport(output_dir, 9, 2, 1.5, [(1.0, 0.5)])

    def load(self, folder):
        def predictions(examples, on_batch):
            if self.breaks_down:
                raise KeyboardInterrupt
            on_batch(0.5)
            return model.predictions(examples, on_batch)

        model = super().load(folder)
        return SimpleNamespace(predictions=predictions)


@pytest.fixture
def watched(dummy):
    return WatchedTrainer(dummy.tokenizer)


def quick_run(trainer, examples, folder, **options):
    lines = []
    return out_of_fold_predictions(examples, trainer, folds_dir=folder, log=lines.append, **options), lines


def test_defaults_are_three_shuffled_folds_in_the_folder_folds(watched, examples, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = out_of_fold_predictions(examples, watched)
    assert [split.validation_indices.tolist() for split in result.splits] == [
        [4, 5, 10, 11], [2, 3, 6, 7], [0, 1, 8, 9],
    ]  # fmt: skip
    assert result.fold.tolist() == [2, 2, 1, 1, 0, 0, 1, 1, 2, 2, 0, 0]
    assert (result.label_map, result.group_by, result.fold.dtype) == (LABEL_MAP, "context", np.int64)
    assert watched.seeds == [fold_seed(0, 0), fold_seed(0, 1), fold_seed(0, 2)]
    assert folders(tmp_path / "folds") == [report["folder"] for report in result.reports]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_result_says_what_no_split_cuts(watched, examples, tmp_path):
    result, _ = quick_run(watched, examples, tmp_path, group_by="title")
    assert result.group_by == "title"


def test_report_says_what_made_a_fold_and_how_good_it_is(watched, examples, tmp_path, monkeypatch):
    """By hand: 44 tokens of which 5 are answers that fold 0 has not seen, so all get P = 0.1.

    The best span of equal probabilities is the whole text: 12 words without articles, of which one is right. Its
    precision is 1/12, its recall 1 and its F1 2/13.
    """
    clock = iter([10.0, 12.5, 20.0, 21.0, 30.0, 31.0])
    monkeypatch.setattr("fold_making.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    result, lines = quick_run(watched, examples, tmp_path, shuffle=False, seed=5, epochs=2)
    report = result.reports[0]
    assert report.pop("sha256") == fold_key(report)
    metrics = report.pop("metrics")
    assert metrics["loss"] == pytest.approx((39 * -np.log(0.9) + 5 * -np.log(0.1)) / 44)
    of_class = metrics["classes"]["ANS"]
    assert (of_class["average_precision"], of_class["base_rate"]) == pytest.approx((5 / 44, 5 / 44))
    key = report.pop("key")
    assert report.pop("files").keys() == {"words.json", PREDICTIONS_FILE}
    configuration = {
        "data": data_fingerprint(examples),
        "trainer": {"checkpoint": "dummy", "answers": "first"},
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
        "num_training_questions_cut": 2,
        "num_threads": torch.get_num_threads(),
        "seconds": {"train": 1.5, "predict": 2.5},
        "folder": f"fold_0_of_3-{key[:12]}",
    }
    assert lines[0] == (
        "fold 0 (1 of 3): trained on 8 examples in 2 s; on the 4 held out: loss 0.3550, "
        "ANS: token AP 0.11 (chance 0.11), exact match 0 %, F1 15 %"
    )
    assert watched.checked == [(examples, {"epochs": 2})]
    assert watched.trained_with == [{"epochs": 2}] * 3
    assert quick_run(watched, examples, tmp_path, shuffle=False, seed=5, epochs=2)[1] == [
        f"fold {fold} ({fold + 1} of 3): already trained, skipping ({result.reports[fold]['folder']})"
        for fold in range(3)
    ]


def test_line_about_a_fold_names_each_class():
    of_class = {"base_rate": 0.125, "exact_match": 12.5, "f1": 99.6}
    report = {
        "train_indices": [1, 2],
        "validation_indices": [0],
        "seconds": {"train": 75.4},
        "metrics": {
            "loss": 0.06125,
            "classes": {"A": {"average_precision": 0.5, **of_class}, "B": {"average_precision": None, **of_class}},
        },
    }
    assert fold_making._describe(report) == (
        "trained on 2 examples in 75 s; on the 1 held out: loss 0.0612, A: token AP 0.50 (chance 0.12), exact match "
        "12 %, F1 100 %; B: token AP undefined (chance 0.12), exact match 12 %, F1 100 %"
    )


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


def test_progress_is_shown_on_one_line_for_each_fold(watched, examples, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "fold_pool.ProgressLine",
        lambda: SimpleNamespace(update=shown.append, clear=lambda: shown.append("")),
    )
    quick_run(watched, examples, tmp_path)
    assert shown == [
        text
        for fold in range(3)
        for text in (f"fold {fold} ({fold + 1} of 3) · predicting ██████████░░░░░░░░░░  50%", "")
    ]
    for fold, progress in enumerate(watched.shown_by):
        assert progress.title == f"fold {fold} ({fold + 1} of 3)"
        progress.line.update("training")
    assert shown[6:] == ["training"] * 3


def test_states_of_a_training_are_kept_beside_its_fold_under_its_key(watched, examples, tmp_path):
    result, lines = quick_run(watched, examples, tmp_path)
    for report, states in zip(result.reports, watched.states, strict=True):
        assert (states.folder, states.key) == (tmp_path / f".{report['folder']}.unfinished", report["key"])
    watched.states[1].log("goes on")
    assert lines[-1] == "fold 1 (2 of 3): goes on"


def test_checkpoint_that_has_seen_a_context_is_named(dummy, examples, tmp_path):
    trainer = DummyTrainer(dummy.tokenizer, [context_hash(examples[0]["context"]), context_hash("another")])
    with pytest.raises(LeakError) as error:
        quick_run(trainer, examples, tmp_path)
    assert str(error.value) == (
        "expected a checkpoint that has not seen this data; dummy was trained on 1 of its contexts. "
        "Start from the checkpoint that it was trained from"
    )


def test_space_is_needed_for_the_folds_that_are_not_there(watched, examples, tmp_path, monkeypatch):
    free = [1_499_999_999_999]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: {tmp_path: SimpleNamespace(free=free[0])}[folder])
    monkeypatch.setattr(watched, "num_bytes", lambda: 500_000_000_000)
    with pytest.raises(OSError, match="free space") as error:
        quick_run(watched, examples, tmp_path)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path))
    assert error.value.strerror == (
        "expected at least 1,500,000 MB of free space for the folds' models, found 1,500,000 MB; free some, or choose "
        "another folds_dir"
    )
    assert watched.seeds == []
    free[0] += 1
    result, _ = quick_run(watched, examples, tmp_path)
    shutil.rmtree(tmp_path / result.reports[1]["folder"])
    free[0] = 500_000_000_000
    quick_run(watched, examples, tmp_path)
    assert len(watched.seeds) == 4


def test_run_that_stops_says_where_it_goes_on(watched, examples, tmp_path):
    watched.breaks_down = True
    with pytest.raises(KeyboardInterrupt) as error:
        quick_run(watched, examples, tmp_path)
    assert error.value.__notes__ == [
        "fold 0 (1 of 3) is not finished. Finished folds, and what was last saved of this one, are kept in "
        f"{tmp_path}: run the same again, and it goes on from there."
    ]


def test_fold_that_was_trained_is_not_trained_again(watched, examples, tmp_path):
    watched.breaks_down = True
    with pytest.raises(KeyboardInterrupt):
        quick_run(watched, examples, tmp_path)
    watched.breaks_down = False
    result, lines = quick_run(watched, examples, tmp_path)
    assert lines[0] == "fold 0 (1 of 3): was interrupted after training; goes on with the predictions"
    assert watched.seeds == [fold_seed(0, 0), fold_seed(0, 1), fold_seed(0, 2)]
    report = result.reports[0]
    assert (report["num_training_windows"], report["num_training_questions_cut"]) == (9, 2)
    assert (report["loss_history"], report["seconds"]["train"]) == ([[1.0, 0.5]], 1.5)
    assert folders(tmp_path) == [report["folder"] for report in result.reports]


def test_model_that_nothing_vouches_for_is_trained_anew(watched, examples, tmp_path):
    watched.breaks_down = True
    with pytest.raises(KeyboardInterrupt):
        quick_run(watched, examples, tmp_path)
    watched.breaks_down = False
    (unfinished,) = (folder for folder in tmp_path.iterdir() if folder.is_dir())
    (unfinished / TRAINING_FILE).unlink()
    (unfinished / MODEL_FOLDER / "left").write_text("")
    result, lines = quick_run(watched, examples, tmp_path)
    assert lines[0].startswith("fold 0 (1 of 3): trained on 8 examples in 2 s")
    assert sorted(file.name for file in (tmp_path / result.reports[0]["folder"]).iterdir()) == [
        FOLD_FILE, PREDICTIONS_FILE, "words.json",
    ]  # fmt: skip
    assert watched.seeds == [fold_seed(0, 0), fold_seed(0, 0), fold_seed(0, 1), fold_seed(0, 2)]


def test_state_without_a_model_is_trained_on(watched, examples, tmp_path):
    result, _ = quick_run(watched, examples, tmp_path / "first")
    (tmp_path / "second" / f".{result.reports[0]['folder']}.unfinished").mkdir(parents=True)
    second, lines = quick_run(watched, examples, tmp_path / "second")
    assert lines[0].startswith("fold 0 (1 of 3): trained on 8 examples")
    same_predictions(result, second)


def test_damaged_fold_is_said_once_and_made_again(watched, examples, tmp_path):
    result, _ = quick_run(watched, examples, tmp_path)
    name = result.reports[0]["folder"]
    flip_a_byte(tmp_path / name / "words.json")
    second, lines = quick_run(watched, examples, tmp_path)
    assert lines[0] == (
        f"fold 0 (1 of 3): {name} cannot be used, training again (words.json is damaged: its SHA-256 is not the one in "
        "fold.json)"
    )
    assert lines[1].startswith("fold 0 (1 of 3): trained on 8 examples")
    assert len(lines) == 4
    same_predictions(result, second)


def test_leftover_beside_a_finished_fold_is_removed(watched, examples, tmp_path):
    result, _ = quick_run(watched, examples, tmp_path)
    unfinished = tmp_path / f".{result.reports[1]['folder']}.unfinished"
    (unfinished / MODEL_FOLDER).mkdir(parents=True)
    _, lines = quick_run(watched, examples, tmp_path)
    assert not unfinished.exists()
    assert ["already trained" in line for line in lines] == [True] * 3
    assert len(watched.seeds) == 3


@pytest.mark.parametrize("has_waited", [True, False], ids=["waited for", "made before the lock was taken"])
@pytest.mark.parametrize("is_damaged", [True, False])
def test_fold_that_another_process_has_made_meanwhile_is_used(
    watched, examples, tmp_path, monkeypatch, has_waited, is_damaged
):
    """The other process is played by the lock: when it is taken, the fold is there."""
    result, _ = quick_run(watched, examples, tmp_path / "other")
    first = result.reports[0]["folder"]
    if is_damaged:
        quick_run(watched, examples, tmp_path / "mine")
        flip_a_byte(tmp_path / "mine" / first / "words.json")
    locked, trained = [], len(watched.seeds)

    @contextlib.contextmanager
    def exclusive(path, log):
        locked.append(path.name)
        log("is waited for")
        name = path.name.removeprefix(".").removesuffix(".lock")
        shutil.rmtree(tmp_path / "mine" / name, ignore_errors=True)
        shutil.copytree(tmp_path / "other" / name, tmp_path / "mine" / name)
        yield has_waited

    monkeypatch.setattr("fold_making.exclusive", exclusive)
    second, lines = quick_run(watched, examples, tmp_path / "mine")
    same_predictions(result, second)
    assert lines[int(is_damaged)] == "fold 0 (1 of 3): is waited for"
    if is_damaged and not has_waited:
        # Nobody can have mended it in between: it was there, and nobody held the lock.
        assert len(watched.seeds) == trained + 1
        return
    assert len(watched.seeds) == trained
    assert lines[1 + int(is_damaged)] == f"fold 0 (1 of 3): already trained, skipping ({first})"
    expected = result.reports[:1] if is_damaged else result.reports
    assert locked == [f".{report['folder']}.lock" for report in expected]


# --- the store, file by file ----------------------------------------------------------------------

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_hashes_are_those_of_sorted_json():
    assert data_fingerprint([{"b": 2, "a": "\u00e9"}, {"a": 1}]) == sha256(b'{"a": "\\u00e9", "b": 2}\n{"a": 1}\n')
    assert fold_key({"seed": 1, "code": {"b": 2, "a": None}}) == sha256(b'{"code": {"a": null, "b": 2}, "seed": 1}')


def test_names_of_a_fold():
    folder = fold_folder(Path("folds"), 1, 3, "0123456789abcdef")
    assert folder == Path("folds/fold_1_of_3-0123456789ab")
    assert lock_file(folder) == Path("folds/.fold_1_of_3-0123456789ab.lock")
    assert unfinished_folder(folder) == Path("folds/.fold_1_of_3-0123456789ab.unfinished")


def test_configuration_is_the_part_of_a_report_that_makes_a_fold():
    names = ["data", "trainer", "training", "code", "seed", "train_indices", "validation_indices"]
    report = {name: number for number, name in enumerate([*names, "fold", "key", "metrics", "files"])}
    assert configuration_of(report) == dict(zip(names, range(7), strict=True))


CODE = [
    "alignment.py", "checkpoints.py", "fold_making.py", "predictions.py", "qa.py", "qa_trainer.py",
    "span_metrics.py", "span_model.py", "splits.py", "training_loop.py", "training_states.py",
    "windows.py",
]  # fmt: skip


def test_code_is_hashed_module_by_module(monkeypatch):
    monkeypatch.setattr(fold_store, "file_sha256", lambda file: f"{file.parent.samefile(ROOT)} {file.name};")
    monkeypatch.setattr(fold_store, "_IMPORTED_MODULES", sha256("".join(f"True {name};" for name in CODE).encode()))
    assert code_fingerprint()["modules"] == fold_store._IMPORTED_MODULES
    monkeypatch.setattr(fold_store, "_IMPORTED_MODULES", "of other code")
    with pytest.raises(RuntimeError) as error:
        code_fingerprint()
    assert str(error.value) == (
        f"expected {', '.join(CODE)} as they were imported, found them changed on disk; restart the kernel, so that "
        "folds are made by the code that they are filed under"
    )


@pytest.fixture
def unfinished(tmp_path):
    """An unfinished fold whose model of two files is vouched for."""
    model = tmp_path / ".fold.unfinished" / MODEL_FOLDER
    (model / "part").mkdir(parents=True)
    (model / "weights").write_bytes(b"abc")
    (model / "part" / "more").write_bytes(b"")
    save_training(model.parent, "k", {"note": "Stra\u00dfe"})
    return model.parent


def test_record_of_a_training_holds_the_hashes_of_its_model(unfinished):
    text = (unfinished / TRAINING_FILE).read_text(encoding="utf-8")
    content = {
        "key": "k",
        "training": {"note": "Stra\u00dfe"},
        "files": {"part/more": SHA256_OF_NOTHING, "weights": SHA256_OF_ABC},
    }
    assert json.loads(text) == {**content, "sha256": fold_key(content)}
    assert "Stra\u00dfe" in text  # a person can read it


def test_changed_record_of_a_training_is_refused(unfinished):
    file = unfinished / TRAINING_FILE
    file.write_text(file.read_text(encoding="utf-8").replace("Stra", "Gra"), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"training\.json is damaged: its content is not what its own SHA-256 was taken"
    ):
        load_training(unfinished, "k")


def test_trained_model_is_taken_without_what_stands_beside_it(unfinished):
    for name in (PREDICTIONS_FILE, "part/.weights.partial"):
        (unfinished / MODEL_FOLDER / name).write_bytes(b"left over")
    assert load_training(unfinished, "k") == {"note": "Stra\u00dfe"}
    files = [file for file in (unfinished / MODEL_FOLDER).rglob("*") if file.is_file()]
    assert sorted(file.name for file in files) == ["more", "weights"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no training.json: the fold was not finished"),
        (b"{", "training.json cannot be read: Expecting property name"),
        (b'{"key": "\xff"}', "training.json cannot be read: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "training.json cannot be read: maximum recursion depth exceeded"),
        (b"[]", "training.json is of another configuration"),
        (b'{"files": {}}', "training.json is of another configuration"),
        (b'{"key": "K", "files": {}}', "training.json is of another configuration"),
        (b'{"key": "k"}', "training.json does not list the fold's files"),
        (b'{"key": "k", "files": ["weights"]}', "training.json does not list the fold's files"),
        (b'{"key": "k", "files": {"lost": ""}}', "lost is missing"),
        (b'{"key": "k", "files": {"part": ""}}', "part is missing"),
        (b'{"key": "k", "files": {"weights": ""}}', "weights is damaged: its SHA-256 is not the one in training.json"),
        (
            b'{"key": "k", "files": {"part/../../x": ""}}',
            "training.json lists part/../../x, which is not in the fold's folder",
        ),
        (b'{"key": "k", "files": {"/x": ""}}', "training.json lists /x, which is not in the fold's folder"),
    ],
)
def test_training_that_its_record_does_not_vouch_for_is_refused(unfinished, content, message):
    if content is None:
        (unfinished / TRAINING_FILE).unlink()
    else:
        (unfinished / TRAINING_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_training(unfinished, "k")


def stored_prediction(probs, tokens, labels, char_start, char_end):
    return SpanPrediction(
        np.array(probs, dtype=np.float32), tokens, np.array(labels),
        char_start=np.array(char_start), char_end=np.array(char_end), is_context=np.ones(len(tokens), dtype=bool),
    )  # fmt: skip


@pytest.fixture
def stored(tmp_path):
    """The folder of a fold of two examples, of two tokens and of one, and these examples."""
    examples = [make_example("1", "Stra\u00dfe, na\u00df", "?"), make_example("2", "of Rome", "?")]
    predictions = [
        stored_prediction([[0.75, 0.25], [0.5, 0.5]], ["Stra\u00dfe", "na\u00df"], [[1, 0], [0, 1]], [0, 8], [6, 11]),
        stored_prediction([[0.125, 0.875]], ["Rome"], [[0, 1]], [3], [7]),
    ]
    (tmp_path / "weights").write_bytes(b"abc")
    save_fold(tmp_path, {"key": "k", "validation_indices": [4, 7], "class": "Stra\u00dfe"}, predictions)
    return tmp_path, examples


def test_fold_is_written_with_the_hash_of_every_file(stored):
    folder, _ = stored
    with np.load(folder / PREDICTIONS_FILE) as arrays:
        assert {name: (str(arrays[name].dtype), arrays[name].tolist()) for name in arrays} == {
            "example_index": ("int64", [4, 7]),
            "num_tokens": ("int64", [2, 1]),
            "char_start": ("int64", [0, 8, 3]),
            "char_end": ("int64", [6, 11, 7]),
            "pred_probs": ("float32", [[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]]),
            "labels": ("int64", [[1, 0], [0, 1], [0, 1]]),
        }
    text = (folder / FOLD_FILE).read_text(encoding="utf-8")
    assert text.startswith('{\n "key": "k",\n')
    assert "Stra\u00dfe" in text
    assert json.loads(text)["files"] == {
        "weights": SHA256_OF_ABC, PREDICTIONS_FILE: sha256((folder / PREDICTIONS_FILE).read_bytes()),
    }  # fmt: skip


def test_fold_is_read_as_it_was_written(stored):
    folder, examples = stored
    fold = load_fold(folder, "k", examples)
    assert fold.report == json.loads((folder / FOLD_FILE).read_text(encoding="utf-8"))
    first, second = fold.predictions
    assert (first.tokens, second.tokens) == (["Stra\u00dfe", "na\u00df"], ["Rome"])
    assert (first.pred_probs.tolist(), second.pred_probs.tolist()) == ([[0.75, 0.25], [0.5, 0.5]], [[0.125, 0.875]])
    assert (first.labels.tolist(), second.labels.tolist()) == ([[1, 0], [0, 1]], [[0, 1]])
    assert (first.char_start.tolist(), second.char_start.tolist()) == ([0, 8], [3])
    assert (first.char_end.tolist(), second.char_end.tolist()) == ([6, 11], [7])
    assert (first.is_context.tolist(), second.is_context.tolist()) == ([True, True], [True])
    assert first.is_context.dtype == bool


def rewrite(folder, **changes):
    """Change arrays of a fold, and vouch for the file."""
    with np.load(folder / PREDICTIONS_FILE) as stored:
        arrays = {**stored, **changes}
    np.savez(folder / PREDICTIONS_FILE, **{name: array for name, array in arrays.items() if array is not None})
    vouch(folder)


def vouch(folder, **changes):
    report = json.loads((folder / FOLD_FILE).read_text(encoding="utf-8"))
    report["files"][PREDICTIONS_FILE] = sha256((folder / PREDICTIONS_FILE).read_bytes())
    (folder / FOLD_FILE).write_text(json.dumps({**report, **changes}), encoding="utf-8")


def refusal(folder, examples) -> str:
    with pytest.raises(ValueError, match=r"json|npz") as error:
        load_fold(folder, "k", examples)
    return str(error.value)


def test_fold_of_other_examples_is_refused(stored):
    folder, examples = stored
    assert refusal(folder, examples[:1]) == "predictions.npz is of other examples than fold.json"
    vouch(folder, validation_indices=[4, 8])
    assert refusal(folder, examples) == "predictions.npz is of other examples than fold.json"


def test_fold_that_does_not_list_its_predictions_is_refused(stored):
    folder, examples = stored
    vouch(folder, files={"weights": SHA256_OF_ABC})
    assert refusal(folder, examples) == "fold.json does not list the fold's files"
    vouch(folder, files={"weights": SHA256_OF_NOTHING, PREDICTIONS_FILE: ""})
    assert refusal(folder, examples) == "weights is damaged: its SHA-256 is not the one in fold.json"


@pytest.mark.parametrize("name", ["example_index", "num_tokens", "char_start", "char_end", "pred_probs", "labels"])
def test_arrays_that_do_not_fit_together_are_refused(stored, name):
    folder, examples = stored
    rewrite(folder, **{name: np.ones((5, 2), dtype=np.int64)})
    assert refusal(folder, examples) == "predictions.npz cannot be read: its arrays differ in length"
    rewrite(folder, **{name: None})
    assert refusal(folder, examples).startswith(f"predictions.npz cannot be read: '{name} is not a file")


def test_predictions_that_cannot_be_read_are_refused(stored):
    folder, examples = stored
    rewrite(folder, labels=np.array([{}, {}, {}], dtype=object))  # pickled: reading it could run any code
    assert refusal(folder, examples).startswith("predictions.npz cannot be read: Object arrays cannot be loaded")
    for content in (b"abc", b"PK\x03\x04"):  # no archive, and half of one
        (folder / PREDICTIONS_FILE).write_bytes(content)
        vouch(folder)
        assert refusal(folder, examples).startswith("predictions.npz cannot be read: ")
        with pytest.raises(ValueError, match=r"^predictions.npz cannot be read: "):
            read_predictions(folder)
