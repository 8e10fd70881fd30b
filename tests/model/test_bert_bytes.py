"""That BERT stays as it was when it was the only family: what is drawn, trained and saved, down to the bytes.

A plain copy of the class that knew only BERT says so on any machine. What it once wrote is pinned.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import twelve_examples
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput

from span_label_errors.model import trainer as trainer_module
from span_label_errors.model.checkpoints import resolve_checkpoint
from span_label_errors.model.network import load_network
from span_label_errors.model.windows import IGNORED_LABEL
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
TRAINING = {
    "num_train_epochs": 2, "seed": 3, "learning_rate": 1e-3, "head_learning_rate": 1e-2, "warmup_steps": 0.1,
    "frozen_layers": 1, "weight_decay": 0.01, "per_device_train_batch_size": 4,
}  # fmt: skip


class BertForSpanClassification(BertPreTrainedModel):
    """BERT with a token head, as it was before there were families."""

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None, num_counted=None):
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)[0]
        logits = self.classifier(self.dropout(hidden))
        loss = None
        if labels is not None:
            counts = labels != IGNORED_LABEL
            losses = binary_cross_entropy_with_logits(logits.float(), labels.clamp(min=0), reduction="none")
            loss = (losses * counts).sum() / num_counted
        return TokenClassifierOutput(loss=loss, logits=logits)


def plain_network(checkpoint, label_map, seed, dropout=None, *, case_as_segment=False):
    assert dropout is None and not case_as_segment
    names = {column: name for name, column in label_map.items()}
    config = BertConfig.from_pretrained(
        checkpoint.path, num_labels=len(label_map), label2id=label_map, id2label=names, use_cache=False
    )
    config.one_segment = False
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForSpanClassification.from_pretrained(checkpoint.path, config=config, dtype=torch.float32)


@pytest.fixture(scope="module")
def exact_bert(tiny_bert, tmp_path_factory) -> Path:
    """The tiny BERT, its weights those that any machine makes, under the names that BERT has below a head."""
    folder = Path(shutil.copytree(tiny_bert, tmp_path_factory.mktemp("exact") / "bert"))
    weights, rng = {}, np.random.default_rng(0)
    for name, tensor in sorted(load_file(folder / "model.safetensors").items()):
        drawn = torch.from_numpy(rng.integers(-40, 41, tuple(tensor.shape))).float() / 1024
        weights[f"bert.{name}"] = drawn + 1 if name.endswith("LayerNorm.weight") else drawn
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def trained(exact_bert, tmp_path_factory) -> Path:
    return train(exact_bert, tmp_path_factory.mktemp("trained") / "model")


def train(checkpoint: Path, folder: Path) -> Path:
    QATrainer(QA(checkpoint, max_length=48, doc_stride=8), 48, LABEL_MAP).train(twelve_examples(), folder, **TRAINING)
    return folder


def sha256(file: Path) -> str:
    """Return the hash of a text, without the line that says which version wrote it."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return hashlib.sha256("\n".join(line for line in lines if "transformers_version" not in line).encode()).hexdigest()


def test_training_gives_the_bytes_of_a_class_for_bert_only(exact_bert, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "load_network", plain_network)
    plain = train(exact_bert, tmp_path / "plain")
    names = sorted(file.name for file in plain.iterdir())
    assert names == sorted(file.name for file in trained.iterdir())
    assert {name for name in names if (plain / name).read_bytes() != (trained / name).read_bytes()} == set()
    start = load_file(exact_bert / "model.safetensors")
    assert not torch.equal(start["bert.encoder.layer.1.output.dense.weight"], weight(trained, "1.output.dense.weight"))


def weight(folder: Path, name: str) -> torch.Tensor:
    return load_file(folder / "model.safetensors")[f"bert.encoder.layer.{name}"]


def test_start_is_what_the_class_for_bert_only_drew_and_saved(exact_bert, tmp_path):
    load_network(resolve_checkpoint(exact_bert), LABEL_MAP, seed=3).save_pretrained(tmp_path)
    assert sha256(tmp_path / "config.json") == "015a0c17cbcee67389fa390526ce57462872feb3ed1fd7c80fe31f6aea0d2ecc"
    weights = load_file(tmp_path / "model.safetensors")
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if name.startswith("bert.")):
        digest.update(name.encode() + weights[name].numpy().tobytes())
    assert digest.hexdigest() == "84ae706cf486d1c26cd8050428853789b07b3bf0fe963f672a1e86f89669eba8"
    # The generator of torch may round the last bit otherwise on another processor.
    drawn = weights["classifier.weight"]
    np.testing.assert_allclose(drawn[0, :4], [-0.0015329, 0.0071976, -0.0156403, 0.0014306], atol=1e-6)
    assert drawn.abs().sum().item() == pytest.approx(0.9312296, abs=1e-5)
    assert not weights["classifier.bias"].any()


def test_trained_folder_is_what_the_class_for_bert_only_wrote(trained):
    expected = {
        "config.json": "015a0c17cbcee67389fa390526ce57462872feb3ed1fd7c80fe31f6aea0d2ecc",
        "label_map.json": "d7b7cf5838b303a154f8afbbaf7d92baa1deee296419234607f05d2533da1287",
        "seen_contexts.json": "4e077633bef32d8847eafa99c47f37193f43ac58993927fcbb61f1781bc657db",
        "spanbert.json": "8660f0214f3e1146bff8ab8d4517342f31a95b6e6dea199b62059169a5f44497",
        "tokenizer.json": "c0235bda69c21145a5fcebb7e55021d9c8210527763d31c93727a46159b29dcc",
        "tokenizer_config.json": "f3fe8c4fdc1af572bab5db00a70c3af3635bd0eba895f12f8187d2c456f23397",
    }
    assert {file.name: sha256(file) for file in trained.iterdir() if file.suffix == ".json"} == expected
    head = load_file(trained / "model.safetensors")
    np.testing.assert_allclose(head["classifier.bias"], [2.0474463, -2.0565302], atol=1e-5)
    for found, values in (
        (head["classifier.weight"], [-0.0207367, -0.0172736, -0.0293671, 0.0207548]),
        (weight(trained, "1.attention.self.query.weight"), [-0.0199064, 0.0337054, -0.0009967, -0.0194577]),
        (weight(trained, "1.output.LayerNorm.bias"), [0.0061523, -0.0285445, 0.038873, -0.0235591]),
        (weight(trained, "0.output.LayerNorm.bias"), [-17 / 1024]),  # frozen
    ):
        np.testing.assert_allclose(found.flatten()[: len(values)], values, atol=1e-5)
