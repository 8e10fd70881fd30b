"""The published tutorial's way of using the wrapper works unchanged, and comes out leak-free."""

import os

import numpy as np
import pytest
from cleanlab.internal.token_classification_utils import process_token
from datasets import Dataset
from sklearn.model_selection import KFold

from span_classification_tutorial_utils import read_npz, to_dict
from span_label_errors.data.squad import squad_features
from spanbert import QA, QATrainer

NUM_SPLITS = 3
label2id = {"O": 0, "ANS": 1}


@pytest.fixture
def data(examples) -> Dataset:
    return Dataset.from_list(examples, squad_features())


def train_folds(data, folder, checkpoint, skip=()):
    """Make `QA` and one `QATrainer`, loop over KFold's splits, train each fold that has no folder yet."""
    model = QA(checkpoint)
    trainer = QATrainer(model, 60, label2id)
    fold_to_ids = {}
    for fold, (train_ids, val_ids) in enumerate(KFold(n_splits=NUM_SPLITS).split(data)):
        fold_to_ids[fold] = val_ids
        output_dir = os.path.join(folder, f"model_fold_{fold}")  # noqa: PTH118 - as the tutorial writes it
        if not os.path.exists(output_dir) and fold not in skip:  # noqa: PTH110
            trainer.train(data.select(train_ids), output_dir, num_train_epochs=3)
    return fold_to_ids


def test_tutorial_cells_run_unchanged(data, tiny_bert, tmp_path):
    folder = str(tmp_path)
    fold_to_ids = train_folds(data, folder, str(tiny_bert))

    probs, labels, tokens = {}, {}, {}
    for fold, indices in fold_to_ids.items():
        model = QA(os.path.join(folder, f"model_fold_{fold}"))  # noqa: PTH118
        val_ds = data.select(indices)
        for i, index in enumerate(indices):
            probs[index], raw_tokens, labels[index] = model.predict(val_ds[i])
            tokens[index] = [process_token(token, [("#", "")]) for token in raw_tokens]
    for index in range(len(data)):
        end_of_question = tokens[index].index("[SEP]")
        for kept in (probs, labels, tokens):
            kept[index] = kept[index][end_of_question + 1 : -1]
    span_probs = [np.array([row[label2id["ANS"]] for row in probs[index]]) for index in range(len(data))]
    span_labels = [[row[label2id["ANS"]] for row in labels[index]] for index in range(len(data))]
    np.savez(tmp_path / "pred_probs.npz", **to_dict(span_probs))
    np.savez(tmp_path / "labels.npz", **to_dict(span_labels))
    np.savez(tmp_path / "tokens.npz", **to_dict([tokens[index] for index in range(len(data))]))
    np.savez(tmp_path / "questions.npz", **to_dict([example["question"] for example in data]))

    saved_tokens, saved_labels = read_npz(tmp_path / "tokens.npz"), read_npz(tmp_path / "labels.npz")
    assert [len(row) for row in read_npz(tmp_path / "pred_probs.npz")] == [len(row) for row in saved_tokens]
    labelled = [words[is_answer == 1].tolist() for words, is_answer in zip(saved_tokens, saved_labels, strict=True)]
    assert labelled[:4] == [["Paris"], ["1", "9", "0", "0"], ["London"], ["1", "9", "0", "1"]]
    assert read_npz(tmp_path / "questions.npz")[1] == "When was the man in the city?"


def test_tutorial_folds_do_not_leak(data, tiny_bert, tmp_path):
    """A later fold is the same whether or not earlier folds were trained with the same trainer."""
    train_folds(data, tmp_path / "all", tiny_bert)
    train_folds(data, tmp_path / "last_only", tiny_bert, skip=(0, 1))
    for name in ("model.safetensors",):
        in_turn, alone = (tmp_path / run / "model_fold_2" / name for run in ("all", "last_only"))
        assert in_turn.read_bytes() == alone.read_bytes()


def test_training_that_died_leaves_no_folder_to_be_taken_for_a_model(data, tiny_bert, tmp_path, monkeypatch):
    def die(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("torch.optim.AdamW.step", die)
        train_folds(data, tmp_path, tiny_bert)
    assert not (tmp_path / "model_fold_0").exists()
    train_folds(data, tmp_path, tiny_bert)
    assert QA(tmp_path / "model_fold_0").predict(data[0]).tokens[0] == "[CLS]"
