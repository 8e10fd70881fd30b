"""Readers as checkpoints: found through their base, refused where something does not fit, and trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_example
from safetensors.torch import load_file, save_file

from span_label_errors.commands.reader import save_reader
from span_label_errors.cross_validation.metrics import evaluate_predictions
from span_label_errors.cross_validation.out_of_fold import LeakError, out_of_fold_predictions
from span_label_errors.data.squad import load_squad
from span_label_errors.files import file_sha256
from span_label_errors.model import checkpoints
from span_label_errors.model.checkpoints import fingerprint, read_seen_contexts, resolve_checkpoint
from span_label_errors.model.seen_contexts import context_hash
from spanbert import QA, QATrainer

LABEL_MAP, OTHER_LABEL_MAP = {"O": 0, "ANS": 1}, {"O": 0, "PER": 1, "LOC": 2}
FAST = {"learning_rate": 1e-3, "per_device_train_batch_size": 4}
FILES = {"reader.json", "delta.safetensors", "label_map.json", "seen_contexts.json", "spanbert.json"}


@pytest.fixture
def base(tiny_bert, tmp_path) -> Path:
    """A copy of the tiny BERT that a test may change."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "base"))


@pytest.fixture
def reader(base, tiny_reader, tmp_path) -> Path:
    """What training has changed in the tiny BERT."""
    (tmp_path / "reader").mkdir()
    save_reader(tmp_path / "reader", QA(tiny_reader), QA(base))
    return tmp_path / "reader"


def change_record(reader: Path, **changes: object) -> None:
    record = json.loads((reader / "reader.json").read_text(encoding="utf-8")) | changes
    record = {name: value for name, value in record.items() if value != "left out"}
    (reader / "reader.json").write_text(json.dumps(record), encoding="utf-8")


def list_files(reader: Path) -> None:
    """Let the record list the files as they are."""
    change_record(reader, files={name: file_sha256(reader / name) for name in FILES - {"reader.json"}})


def change_delta(reader: Path, **changes: torch.Tensor) -> None:
    """Change the delta, and the record with it."""
    save_file({**load_file(reader / "delta.safetensors"), **changes}, reader / "delta.safetensors")
    list_files(reader)


# What it is


def test_reader_is_the_trained_model_within_half_a_step(reader, base, tiny_reader):
    assert {file.name for file in reader.iterdir()} == FILES
    found, trained, start = (QA(path).model.state_dict() for path in (reader, tiny_reader, base))
    for name, tensor in trained.items():
        if tensor.ndim < 2 or name.startswith("classifier"):
            assert torch.equal(found[name], tensor), name
        else:
            # A block's step is at most a seventh of the largest difference of all.
            largest = (tensor - start[name]).abs().max()
            assert (found[name] - tensor).abs().max() <= largest / 14 * 1.01 + 1e-7, name
    assert not torch.equal(
        found["bert.encoder.layer.1.output.dense.weight"], start["bert.encoder.layer.1.output.dense.weight"]
    )


def test_reader_has_the_settings_labels_and_contexts_of_its_training_and_the_tokenizer_of_its_base(
    reader, base, tiny_reader
):
    qa, trained = QA(reader), QA(tiny_reader)
    assert (qa.max_length, qa.doc_stride, qa.answers, qa.label_map, qa.has_head) == (48, 8, "first", LABEL_MAP, True)
    assert (qa.checkpoint.path, qa.checkpoint.training_folder) == (base.resolve(), reader.resolve())
    assert read_seen_contexts(qa.checkpoint) == read_seen_contexts(trained.checkpoint)
    assert len(read_seen_contexts(qa.checkpoint)) == 2
    assert qa.tokenizer.get_vocab() == trained.tokenizer.get_vocab()


def test_other_classes_get_the_encoder_of_the_reader_and_a_head_of_the_seed(reader, base):
    qa, own = (QA(reader, label_map=label_map, seed=3) for label_map in (OTHER_LABEL_MAP, None))
    assert (qa.has_head, own.has_head) == (False, True)
    fresh = QA(base, label_map=OTHER_LABEL_MAP, seed=3)
    assert torch.equal(qa.model.classifier.weight, fresh.model.classifier.weight)
    assert not torch.equal(qa.model.classifier.weight, QA(reader, label_map=OTHER_LABEL_MAP).model.classifier.weight)
    encoder, expected = qa.model.bert.state_dict(), own.model.bert.state_dict()
    assert all(torch.equal(encoder[name], tensor) for name, tensor in expected.items())


def test_fingerprint_is_of_base_delta_and_label_map(reader, base, tmp_path):
    before = fingerprint(resolve_checkpoint(reader))
    assert before != fingerprint(resolve_checkpoint(base))
    elsewhere = Path(shutil.copytree(reader, tmp_path / "elsewhere"))
    (elsewhere / "README.md").write_text("A card.", encoding="utf-8")
    assert fingerprint(resolve_checkpoint(elsewhere)) == before
    (elsewhere / "label_map.json").write_text(json.dumps({"O": 1, "ANS": 0}), encoding="utf-8")
    list_files(elsewhere)
    assert fingerprint(resolve_checkpoint(elsewhere)) != before
    change_delta(reader, **{"classifier.bias": torch.zeros(2)})
    assert fingerprint(resolve_checkpoint(reader)) != before


# Refused


def damage_delta(reader: Path) -> None:
    content = bytearray((reader / "delta.safetensors").read_bytes())
    content[-1] ^= 1
    (reader / "delta.safetensors").write_bytes(content)


def damage_base(reader: Path) -> None:
    config = reader.parent / "base" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "layer_norm_eps": 1e-6}), encoding="utf-8")


def name_a_reader_as_base(reader: Path) -> None:
    change_record(reader, base=str(reader))


REFUSED = {
    "damaged delta": (damage_delta, ValueError, r"delta\.safetensors: expected SHA-256 .*, found .*; copy the reader"),
    "changed base": (damage_base, ValueError, r"the base '.*base': expected SHA-256 .*, as .*reader\.json says, found"),
    "itself as base": (name_a_reader_as_base, ValueError, r"expected a base that is a whole .* is a reader"),
    **{
        f"no {name}": (lambda reader, name=name: (reader / name).unlink(), FileNotFoundError, rf"{name}: expected")
        for name in sorted(FILES - {"reader.json"})
    },
    **{
        f"{name} is {value!r}": (
            lambda reader, name=name, value=value: change_record(reader, **{name: value}), ValueError,
            r"reader\.json: expected the texts base and base_sha256, .*make the reader again",
        )
        for name, value in (("base", None), ("base", "left out"), ("base_sha256", 7), ("files", ["a"]), ("files", {}),
                            ("files", "left out"), ("files", dict.fromkeys(sorted(FILES - {"reader.json"}), 7)),
                            ("base_revision", 7))
    },
    "shortened list of what it has read": (
        lambda reader: (reader / "seen_contexts.json").write_text("[]"), ValueError,
        r"seen_contexts\.json: expected SHA-256 .*, as reader\.json says, found .*copy the reader again",
    ),
    "no record": (lambda reader: (reader / "reader.json").write_text("{"), ValueError, "record of a reader as JSON"),
    "a list": (lambda reader: (reader / "reader.json").write_text("[]"), ValueError, "the record .* found list"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_reader_that_is_not_as_it_was_made_is_refused(reader, damage, error, message):
    damage(reader)
    with pytest.raises(error, match=message):
        QA(reader)


def test_base_that_is_gone_is_named_with_the_reader(reader, base):
    shutil.rmtree(base)
    with pytest.raises(FileNotFoundError, match="base: expected the folder of a checkpoint") as caught:
        QA(reader)
    assert caught.value.__notes__ == [
        f"{reader / 'reader.json'} names it as the checkpoint that the reader was trained from"
    ]


def test_base_with_a_head_is_refused(reader, tiny_reader):
    change_record(reader, base=str(tiny_reader))
    with pytest.raises(ValueError, match=r"expected a base without a span head, found .*, which has one"):
        QA(reader)


def test_weights_that_are_not_finite_are_refused_by_the_name_of_the_reader(reader):
    change_delta(reader, **{"classifier.bias": torch.tensor([0.0, float("nan")])})
    with pytest.raises(ValueError, match=r"reader: expected finite weights, found NaN .*classifier\.bias"):
        _ = QA(reader).model


# Trained on


def test_model_trained_from_a_reader_is_whole_and_lists_what_the_reader_has_read(reader, base, examples, tmp_path):
    QATrainer(QA(reader), 48, LABEL_MAP).train(examples, tmp_path / "model", 1, **FAST)
    expected = {context_hash(example["context"]) for example in examples}
    expected |= read_seen_contexts(resolve_checkpoint(reader))
    shutil.rmtree(reader)
    shutil.rmtree(base)
    qa = QA(tmp_path / "model")
    assert (qa.checkpoint.reader, qa.has_head, qa.max_length) == (None, True, 48)
    assert read_seen_contexts(qa.checkpoint) == expected and len(expected) == 8
    assert len(qa.predict(examples[0]).tokens) > 20


def test_training_starts_from_the_weights_of_the_reader(reader, examples, tmp_path):
    QATrainer(QA(reader), 48, LABEL_MAP).train(examples, tmp_path / "model", 1, **{**FAST, "learning_rate": 1e-12})
    start, trained = (QA(path).model.state_dict() for path in (reader, tmp_path / "model"))
    for name, tensor in start.items():
        np.testing.assert_allclose(trained[name], tensor, atol=1e-9, err_msg=name)


def test_rate_of_a_new_head_is_not_that_of_a_head_that_is_there(reader, examples, tmp_path):
    def trained(label_map, head_learning_rate) -> bytes:
        trainer = QATrainer(QA(reader, label_map=label_map), 48, label_map)
        trainer.train(labelled, tmp_path / "model", 1, head_learning_rate=head_learning_rate, **FAST)
        return (tmp_path / "model" / "model.safetensors").read_bytes()

    labelled = examples
    assert trained(LABEL_MAP, 0.1) == trained(LABEL_MAP, None)
    labelled = [
        {**example, "answers": {**example["answers"], "label": ["PER"] * len(example["answers"]["text"])}}
        for example in examples
    ]
    assert trained(OTHER_LABEL_MAP, 0.1) != trained(OTHER_LABEL_MAP, None)


@pytest.mark.parametrize("place", ["reader", "base"])
def test_neither_the_reader_nor_its_base_is_overwritten(reader, base, examples, place):
    before = sorted((file.name, file.stat().st_size) for file in (reader.parent / place).iterdir())
    with pytest.raises(FileExistsError, match="this is the checkpoint that training starts from"):
        QATrainer(QA(reader), 48, LABEL_MAP).train(examples, reader.parent / place, 1, **FAST)
    assert sorted((file.name, file.stat().st_size) for file in (reader.parent / place).iterdir()) == before


def test_reader_that_changes_under_the_trainer_is_noticed(reader, examples, tmp_path):
    trainer = QATrainer(QA(reader), 48, LABEL_MAP)
    change_delta(reader, **{"classifier.bias": torch.zeros(2)})
    with pytest.raises(ValueError, match="the checkpoint changed since"):
        trainer.train(examples, tmp_path / "model", 1, **FAST)


@pytest.mark.parametrize(
    ("label_map", "lines"),
    [({"O": 0, "ANSWER": 1}, 1), (LABEL_MAP, 0)],
)
def test_cross_validation_says_that_a_renamed_class_gets_a_new_head(reader, examples, tmp_path, label_map, lines):
    (name,) = set(label_map) - {"O"}
    for example in examples:
        example["answers"]["label"] = [name] * len(example["answers"]["text"])
    logged = []
    trainer = QATrainer(QA(reader, label_map=label_map, max_length=48, doc_stride=8), 48, label_map)
    out_of_fold_predictions(examples, trainer, num_splits=2, folds_dir=tmp_path / "folds", log=logged.append, **FAST)
    said = [line for line in logged if "its head is for" in line]
    assert len(said) == lines
    assert all(line.endswith(f"for {LABEL_MAP}; a new one is trained for {label_map}") for line in said)


# The embedded one


def test_embedded_reader_finds_answers_that_it_has_not_read():
    """A random order has the base rate, about 0.03."""
    demo = list(load_squad("demo"))[:40]
    qa = QA("embedded")
    seen = read_seen_contexts(qa.checkpoint)
    assert len(seen) > 100 and not seen & {context_hash(example["context"]) for example in demo}
    predictions = [prediction.context_only() for prediction in qa.predict_batch(demo)]
    of_answers = evaluate_predictions(demo, predictions, qa.label_map)["classes"]["ANS"]
    assert of_answers["average_precision"] > 0.4 > 0.1 > of_answers["base_rate"]


@pytest.mark.parametrize("num_splits", [0, 3])
def test_embedded_reader_is_refused_for_data_that_it_has_read(tmp_path, monkeypatch, num_splits):
    example = make_example("1", "The river was by the book.", "Where was the river?", "by the book")
    reader = Path(shutil.copytree(resolve_checkpoint("embedded").training_folder, tmp_path / "reader"))
    read = [*json.loads((reader / "seen_contexts.json").read_text()), context_hash(" the RIVER was\nby the book.")]
    (reader / "seen_contexts.json").write_text(json.dumps(read), encoding="utf-8")
    list_files(reader)
    monkeypatch.setattr(checkpoints, "reader_folder", lambda: reader)
    others = [make_example(str(number), f"In {number}.", "When?", str(number)) for number in range(2, 8)]
    with pytest.raises(LeakError, match=r"embedded was trained on 1 of its contexts.*\"embedded-backbone\""):
        out_of_fold_predictions(
            [example, *others], QATrainer(QA("embedded"), 384, LABEL_MAP), num_splits=num_splits,
            folds_dir=tmp_path / "folds",
        )  # fmt: skip
    assert not (tmp_path / "folds").exists() or not list((tmp_path / "folds").iterdir())
