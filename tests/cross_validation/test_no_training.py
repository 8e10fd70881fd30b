"""`num_splits=0`: the checkpoint as it is predicts every example, and that is kept as a fold like any other."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_example, twelve_examples
from dummy_trainer import LABEL_MAP, DummyTrainer, run, same_predictions

from span_label_errors.cross_validation.splits import LeakError
from span_label_errors.model.seen_contexts import context_hash
from spanbert import QA, QATrainer

TRAINING = {"num_train_epochs": 1, "learning_rate": 1e-3}
READ = ["The river was by the book.", "Who was in Cairo? A woman."]  # by the tiny reader


def reader(checkpoint, **options) -> QATrainer:
    qa = QA(checkpoint, **{"max_length": 48, "doc_stride": 8, "precision": "float32", **options})
    return QATrainer(qa, qa.max_length, LABEL_MAP)


def predict(checkpoint, folder, examples=None, **options):
    """Return what `run` does, of the twelve examples and without training."""
    return run(reader(checkpoint), examples or twelve_examples(), folder, num_splits=0, **TRAINING, **options)


@pytest.fixture
def never_trained(monkeypatch):
    def fails(*args, **kwargs):
        raise AssertionError("nothing must be trained here")

    monkeypatch.setattr(QATrainer, "train", fails)


@pytest.fixture
def never_predicted(monkeypatch):
    def fails(*args, **kwargs):
        raise AssertionError("nothing must be predicted here")

    monkeypatch.setattr(QA, "predictions", fails)


def test_checkpoint_as_it_is_predicts_every_example(tiny_reader, examples, tmp_path, never_trained):
    result, lines = predict(tiny_reader, tmp_path)
    expected = QA(tiny_reader, precision="float32").predict_batch(examples)
    for found, prediction in zip(result.predictions, expected, strict=True):
        np.testing.assert_array_equal(found.pred_probs, prediction.context_only().pred_probs)
        assert found.tokens == prediction.context_only().tokens
    assert result.fold.tolist() == [0] * 12
    (split,) = result.splits
    assert (split.train_indices.tolist(), split.validation_indices.tolist()) == ([], list(range(12)))
    row = result.metrics().to_dict("records")
    assert [(one["fold"], one["class"], one["examples"], one["train_seconds"]) for one in row] == [(0, "ANS", 12, 0.0)]
    (line,) = lines
    assert line.startswith("prediction without training: the checkpoint as it is predicted 12 examples: loss ")
    assert "; " not in line and ", ANS: exact match " in line


def test_windows_are_those_of_the_trainer(tiny_reader, tmp_path):
    examples = [make_example("long", "the man was in the city " * 12, "who?", "man")]
    trainer = reader(tiny_reader, max_length=20, doc_stride=4)
    result, _ = run(trainer, examples, tmp_path, num_splits=0)
    expected = QA(tiny_reader, max_length=20, doc_stride=4, precision="float32").predict(examples[0]).context_only()
    np.testing.assert_array_equal(result.predictions[0].pred_probs, expected.pred_probs)
    with_larger = QA(tiny_reader, precision="float32").predict(examples[0]).context_only()
    assert not np.array_equal(expected.pred_probs, with_larger.pred_probs)


def test_fold_has_no_weights_and_says_what_predicted_and_what_it_has_read(tiny_reader, tmp_path):
    result, _ = predict(tiny_reader, tmp_path)
    (report,) = result.reports
    (folder,) = tmp_path.iterdir()
    assert folder.name == report["folder"] == f"fold_0_of_1-{report['key'][:12]}"
    arrays = ("char_end", "char_start", "example_index", "labels", "num_tokens", "offsets_start", "pred_probs")
    names = [*(f"predictions/{name}.npy" for name in arrays), "seen_contexts.json"]
    assert sorted(report["files"]) == names
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert found == {*names, "fold.json"}
    seen = json.loads((folder / "seen_contexts.json").read_text())
    assert seen == sorted(context_hash(context) for context in READ)
    assert report["trainer"]["checkpoint"] == QA(tiny_reader).fingerprint
    nothing = (
        "training",
        "seed",
        "train_indices",
        "loss_history",
        "num_training_windows",
        "num_training_questions_cut",
    )
    assert [report[name] for name in nothing] == [None, None, [], [], 0, 0]


@pytest.mark.parametrize(
    "options",
    [{}, {"seed": 3, "group_by": "title", "shuffle": False}, {"learning_rate": 1e-4, "num_train_epochs": 9}],
    ids=["same", "splits", "training"],
)
def test_finished_one_is_used_again_whatever_the_training_would_be(tiny_reader, examples, tmp_path, options):
    first, _ = predict(tiny_reader, tmp_path)
    made = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    second, lines = run(reader(tiny_reader), examples, tmp_path, num_splits=0, **{**TRAINING, **options})
    assert lines == [f"prediction without training: already predicted, skipping ({first.reports[0]['folder']})"]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == made
    same_predictions(first, second)


def test_damaged_one_is_made_again(tiny_reader, tmp_path):
    first, _ = predict(tiny_reader, tmp_path)
    (tmp_path / first.reports[0]["folder"] / "seen_contexts.json").write_text("[]")
    second, lines = predict(tiny_reader, tmp_path)
    assert "cannot be used, predicting again (seen_contexts.json is damaged" in lines[0]
    assert lines[1].startswith("prediction without training: the checkpoint as it is predicted 12 examples")
    same_predictions(first, second)


def test_interrupted_one_leaves_nothing_that_is_used(tiny_reader, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as raised:
        patch.setattr(QA, "predictions", stop)
        predict(tiny_reader, tmp_path)
    assert raised.value.__notes__[0].startswith("prediction without training is not finished.")
    (unfinished,) = tmp_path.iterdir()
    (unfinished / "model" / "left over").write_text("")
    result, _ = predict(tiny_reader, tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == [result.reports[0]["folder"]]
    assert "left over" not in result.reports[0]["files"]


def test_worker_process_predicts_the_same(tiny_reader, tmp_path):
    here, _ = predict(tiny_reader, tmp_path / "here")
    there, lines = predict(tiny_reader, tmp_path / "there", n_jobs=-1, threads_per_fold=1)
    assert lines[0].startswith("prediction without training: the checkpoint as it is predicted 12 examples: loss ")
    assert there.reports[0]["key"] == here.reports[0]["key"]
    same_predictions(here, there)


def test_no_space_is_needed_for_weights(tiny_reader, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    assert len(predict(tiny_reader, tmp_path)[0].predictions) == 12
    with pytest.raises(OSError, match=r"expected at least .* MB of free space for the folds' models"):
        run(reader(tiny_reader), twelve_examples(), tmp_path, num_splits=2, **TRAINING)


# --- refused, before anything is predicted --------------------------------------------------------


def test_checkpoint_that_has_read_a_context_of_the_data_is_refused(tiny_reader, examples, tmp_path, never_predicted):
    examples.append(make_example("read", f" {READ[0].upper()}", "?"))
    with pytest.raises(
        LeakError, match=r"was trained on 1 of its contexts\. .*\"embedded-backbone\" with num_splits=3"
    ):
        predict(tiny_reader, tmp_path, examples)
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_without_a_head_is_refused(tiny_bert, tmp_path, never_predicted):
    with pytest.raises(
        ValueError, match=r"expected a trained checkpoint, found one without a head .* O, ANS; .*num_sp"
    ):
        predict(tiny_bert, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_trainer_of_ones_own_is_refused(examples, tmp_path):
    with pytest.raises(
        TypeError, match=r"num_splits=0: expected a QATrainer, .* found DummyTrainer; train folds with it"
    ):
        run(DummyTrainer(), examples, tmp_path, num_splits=0)


def test_data_and_arguments_that_will_not_do_are_refused(tiny_reader, examples, tmp_path, never_predicted):
    with pytest.raises(ValueError, match=r"did you mean .learning_rate."):
        predict(tiny_reader, tmp_path, learning_rat=1e-3)
    examples.append(make_example("odd", "Paris\u200b\u200b.", "?", "\u200b"))
    with pytest.raises(ValueError, match=r"example 12 \(id 'odd'\): expected the answer at .* to cover a token"):
        predict(tiny_reader, tmp_path, examples)
    assert list(tmp_path.iterdir()) == []


def test_machine_with_a_gpu_predicts_in_a_process_of_its_own(tiny_reader, tmp_path, monkeypatch):
    """This machine only says that it has one: the process finds none, and predicts on the processor."""
    trainer = reader(tiny_reader)  # made before, for the processor
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: SimpleNamespace(total_memory=2**36))
    result, _ = run(trainer, twelve_examples(), tmp_path, num_splits=0, **TRAINING)
    assert len(result.predictions) == 12
