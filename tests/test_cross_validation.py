"""Splits, leakage, gathering and the store of finished folds."""

import json
import shutil
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_example, twelve_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertModel

import fold_store
from alignment import answer_spans, token_labels, tokenize_texts
from cross_validation import (
    LeakError,
    Split,
    check_splits,
    fold_seed,
    group_labels,
    make_splits,
    out_of_fold_predictions,
)
from fold_store import FOLD_FILE, PREDICTIONS_FILE, code_fingerprint, file_sha256, fold_key
from predictions import SpanPrediction
from spanbert import QA, QATrainer, TrainingReport

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

    def train(self, examples, output_dir, *, seed, callbacks, **training):
        self.trained_on.append([example["id"] for example in examples])
        self.seeds.append(seed)
        words = sorted({word for example in examples for text in example["answers"]["text"] for word in text.split()})
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "words.json").write_text(json.dumps(words))
        return TrainingReport(output_dir, len(examples), 0, 1.0, [(1.0, 0.5)])

    def load(self, folder):
        words = json.loads((folder / "words.json").read_text())
        return SimpleNamespace(predict_batch=lambda examples, on_batch: [self.predict(e, words) for e in examples])

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


# --- splits -------------------------------------------------------------------------------------


def test_groups_are_numbered_in_the_order_of_the_data():
    examples = [
        make_example(str(i), context, "?", title=title)
        for i, (context, title) in enumerate([("b b", "Y"), ("a", "X"), (" B  b\n", "X"), ("c", "Y")])
    ]
    assert group_labels(examples, "context").tolist() == [0, 1, 0, 2]  # white space and case do not tell apart
    titles = [make_example("1", f"context {i}", "?", title=title) for i, title in enumerate(["Y", "X", "x ", "Y"])]
    assert group_labels(titles, "title").tolist() == [0, 1, 1, 0]
    assert group_labels(examples, "none").tolist() == [0, 1, 2, 3]


def test_articles_that_share_a_paragraph_are_one_group():
    """Otherwise the paragraph would be cut: it stands under X and under Y, and Y's other one under Z."""
    rows = [("one", "X"), ("two", "W"), ("ONE ", "Y"), ("three", "Y"), ("three", "Z"), ("four", "W")]
    examples = [make_example(str(i), context, "?", title=title) for i, (context, title) in enumerate(rows)]
    assert group_labels(examples, "title").tolist() == [0, 1, 0, 0, 0, 1]


def test_equivalent_characters_do_not_tell_paragraphs_apart():
    contexts = ["caf\u00e9", "cafe\u0301", "Caf\u00e9\u00a0", "cafe"]
    assert group_labels([make_example("1", context, "?") for context in contexts]).tolist() == [0, 0, 0, 1]


def test_splits_in_order_are_those_of_contiguous_groups(examples):
    splits = make_splits(examples, 3, shuffle=False)
    assert [split.validation_indices.tolist() for split in splits] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert splits[1].train_indices.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


def test_shuffled_splits_depend_on_the_seed_only(examples):
    def held_out(seed):
        return [split.validation_indices.tolist() for split in make_splits(examples, 3, seed=seed)]

    assert held_out(1) == held_out(1)
    assert len({str(held_out(seed)) for seed in range(5)}) > 1


@settings(max_examples=60, deadline=None)
@given(
    contexts=st.lists(st.integers(0, 9), min_size=2, max_size=40),
    num_splits=st.integers(2, 5),
    shuffle=st.booleans(),
    seed=st.integers(0, 100),
)
def test_splits_hold_each_example_out_once_and_cut_no_group(contexts, num_splits, shuffle, seed):
    examples = [make_example(str(i), f"context {context}", "?") for i, context in enumerate(contexts)]
    if len(set(contexts)) < num_splits:
        with pytest.raises(ValueError, match="num_splits: expected at most"):
            make_splits(examples, num_splits, shuffle=shuffle, seed=seed)
        return
    splits = make_splits(examples, num_splits, shuffle=shuffle, seed=seed)
    held_out = [index for split in splits for index in split.validation_indices]
    assert sorted(held_out) == list(range(len(contexts)))
    for split in splits:
        assert set(split.train_indices) == set(range(len(contexts))) - set(split.validation_indices)
        seen = {contexts[index] for index in split.train_indices}
        assert not seen & {contexts[index] for index in split.validation_indices}


@pytest.mark.parametrize(
    ("splits", "error", "message"),
    [
        ([([2, 3], [0, 1]), ([0, 1], [2])], ValueError, "example 3 is held out 0 times"),
        ([([2, 3], [0, 1]), ([0], [1, 2, 3])], ValueError, "example 1 is held out 2 times"),
        ([([2, 3], [0, 1]), ([0, 1, 2], [2, 3])], LeakError, "fold 1: example 2 is held out and trained on"),
        ([([1, 2, 3], [0]), ([0], [1, 2, 3])], LeakError, "fold 0: the group of example 0 is held out and trained on"),
        ([([], [0, 1, 2, 3])], ValueError, "fold 0: expected examples to train on"),
    ],
)
def test_wrong_splits_are_refused(splits, error, message):
    splits = [Split(np.array(train, dtype=int), np.array(held_out, dtype=int)) for train, held_out in splits]
    with pytest.raises(error, match=message):
        check_splits(splits, np.array([0, 0, 1, 1]))


def test_splits_are_checked_before_they_are_used(examples, monkeypatch):
    class LeakyKFold:
        def __init__(self, num_splits, **options):
            self.num_splits = num_splits

        def split(self, groups):
            return [(groups, held_out) for held_out in np.array_split(groups, self.num_splits)]

    monkeypatch.setattr("cross_validation.KFold", LeakyKFold)
    with pytest.raises(LeakError, match="fold 0: example 0 is held out and trained on"):
        make_splits(examples, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_splits": 1}, "num_splits: expected an integer of at least 2, found 1; one fold would leave nothing"),
        ({"num_splits": True}, "num_splits: expected an integer"),
        ({"num_splits": 13}, "num_splits: expected at most 12, one fold an example, found 13"),
        ({"num_splits": 7}, "num_splits: expected at most 6, the number of different values of 'context', found 7"),
        ({"num_splits": 4, "group_by": "title"}, "expected at most 3, the number of different values of 'title'"),
        ({"group_by": "paragraph"}, "group_by: expected one of .*'context', 'title', 'none'.*found 'paragraph'"),
    ],
)
def test_impossible_splits_are_refused(examples, options, message):
    with pytest.raises(ValueError, match=message):
        make_splits(examples, **options)


def test_fold_seeds_differ_and_are_fixed():
    seeds = [fold_seed(seed, fold) for seed in range(10) for fold in range(10)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert fold_seed(0, 0) == fold_seed(0, 0)


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

    monkeypatch.setattr("cross_validation.save_fold", fail)
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
    monkeypatch.setattr(QA, "predict_batch", forbid)
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
        patch.setattr(QA, "predict_batch", forbid)
        run(trainer, examples, tmp_path)
    assert not [name for name in folders(tmp_path) if name.startswith("fold_")]
    _, lines = run(trainer, examples, tmp_path)
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
        "cross_validation",
        "predictions",
        "span_metrics",
        "span_model",
        "spanbert",
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


def test_checkpoints_that_trainer_writes_on_the_way_do_not_stop_a_fold(trainer, examples, tmp_path):
    result, _ = run(trainer, examples, tmp_path, save_strategy="epoch")
    assert len(result.predictions) == 12
    assert not [file for file in tmp_path.rglob("*") if file.suffix in (".pt", ".pth", ".bin", ".pkl")]


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
    folder = tmp_path / finished.reports[0]["folder"]
    leftover = folder.with_name(f".{folder.name}.partial")
    shutil.copytree(folder, leftover)
    shutil.rmtree(folder)
    second, _ = run(trainer, examples, tmp_path)
    assert not leftover.exists()
    same_predictions(finished, second)
