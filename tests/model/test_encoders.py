"""Encoders of every family: what is loaded of a checkpoint, what is drawn, trained, saved, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, KINDS, MAX_POSITIONS, kinds_of, make_checkpoint, make_tokenizer
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoModel, AutoModelForTokenClassification

from span_label_errors.model.checkpoints import resolve_checkpoint
from span_label_errors.model.network import freeze_layers, load_network
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
NO_SEGMENTS = {"distilbert", "roberta", "xlm-roberta", "camembert", "mpnet", "deberta-v2", "modernbert", "eurobert"}
CASES = [(family, kind) for family in FAMILIES for kind in kinds_of(family)]
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A bare encoder of each family."""
    root = tmp_path_factory.mktemp("families")
    return {family: make_checkpoint(root / family, family) for family in FAMILIES}


@pytest.fixture
def copied(folders, tmp_path):
    """Copy a family's folder for a test to change."""
    return lambda family: Path(shutil.copytree(folders[family], tmp_path / family))


def change_config(folder: Path, **changes: object) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return folder


def load(folder: Path, **options):
    return load_network(resolve_checkpoint(folder), LABEL_MAP, **{"seed": 1, **options}).eval()


def ids_of(network, length: int) -> torch.Tensor:
    """Some tokens without special ones."""
    return torch.arange(10, 10 + length)[None] % (network.config.vocab_size - 10)


def logits_of(network, ids: torch.Tensor, padding: int = 0) -> torch.Tensor:
    mask = torch.cat([torch.ones_like(ids), torch.zeros(1, padding, dtype=torch.long)], dim=1)
    ids = nn.functional.pad(ids, (0, padding), value=network.config.pad_token_id)
    with torch.no_grad():
        return network(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).logits[:, : mask.sum()]


# --- what is loaded, and what is drawn -----------------------------------------------------------


@pytest.mark.parametrize(("family", "kind"), CASES, ids=lambda name: name)
def test_encoder_is_the_checkpoints_and_the_head_is_drawn_from_the_seed(family, kind, tmp_path):
    """Heads of two labels, some of them named `classifier`, would fit, and are never taken over."""
    folder = make_checkpoint(tmp_path, family, kind, num_labels=2)
    checkpoint = resolve_checkpoint(folder)
    assert (checkpoint.label_map, checkpoint.model_type, checkpoint.max_positions) == (None, family, MAX_POSITIONS)
    assert checkpoint.one_segment == (family in NO_SEGMENTS)
    assert checkpoint.answers_questions == (kind == "question_answering")
    random_state = torch.get_rng_state()
    network = load(folder)
    assert torch.equal(torch.get_rng_state(), random_state)

    expected = AutoModel.from_pretrained(folder).state_dict()
    found = network.base_model.state_dict()
    assert {name for name in set(expected) - set(found) if "pooler" not in name} == set()
    assert [name for name, weights in found.items() if not torch.equal(weights, expected[name])] == []
    with torch.random.fork_rng():
        torch.manual_seed(1)
        head = torch.empty(2, 32).normal_(std=network.config.initializer_range)
    assert torch.equal(network.classifier.weight, head)
    assert not network.classifier.bias.any()


def test_every_kind_of_head_is_tried():
    assert {kind for _, kind in CASES} == set(KINDS)
    assert [family for family in FAMILIES if "question_answering" not in kinds_of(family)] == ["nomic_bert", "eurobert"]


@EVERY_FAMILY
def test_saved_network_loads_as_it_was_and_elsewhere(family, copied, tmp_path):
    """transformers reads the folder as a token classifier, but for ModernBERT, whose own has one layer more."""
    code = {"AutoModel": "own_code.Model"}  # of a class that transformers has itself
    network = load(change_config(copied(family), auto_map=code))
    saved = tmp_path / "saved"
    network.save_pretrained(saved)
    make_tokenizer(family).save_pretrained(saved)
    (saved / "label_map.json").write_text(json.dumps(LABEL_MAP))
    assert "auto_map" not in json.loads((saved / "config.json").read_text())
    assert resolve_checkpoint(saved).label_map == LABEL_MAP
    again = load(saved, seed=2)
    assert type(again) is type(network)
    assert again.one_segment == network.one_segment == (family in NO_SEGMENTS)
    expected, found = network.state_dict(), again.state_dict()
    assert expected.keys() == found.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []

    elsewhere = AutoModelForTokenClassification.from_pretrained(saved).eval()
    assert elsewhere.config.id2label == {0: "O", 1: "ANS"}
    ids = ids_of(network, 9)
    assert torch.equal(logits_of(elsewhere, ids), logits_of(network, ids)) == (family != "modernbert")


# --- what it computes -----------------------------------------------------------------------------


@EVERY_FAMILY
def test_padding_and_segments_change_nothing_that_they_should_not(family, folders):
    network = load(folders[family])
    ids = ids_of(network, 11)
    alone = logits_of(network, ids)
    torch.testing.assert_close(logits_of(network, ids, padding=7), alone, atol=1e-5, rtol=0)
    with torch.no_grad():
        second = network(ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.ones_like(ids)).logits
    assert torch.equal(second, alone) == (family in NO_SEGMENTS)


@EVERY_FAMILY
def test_longest_window_is_one_that_the_encoder_can_read(family, folders, tmp_path):
    """RoBERTa's positions begin behind the padding's index, which some of its checkpoints have at 3."""
    assert logits_of(load(folders[family]), ids_of(load(folders[family]), MAX_POSITIONS)).shape == (1, MAX_POSITIONS, 2)
    if family in ("roberta", "xlm-roberta", "camembert"):
        folder = make_checkpoint(tmp_path, family, pad_token_id=3)
        assert resolve_checkpoint(folder).max_positions == MAX_POSITIONS - 2
        with pytest.raises((IndexError, RuntimeError)):
            logits_of(load(folder), ids_of(load(folder), MAX_POSITIONS - 1))


@EVERY_FAMILY
def test_dropout_replaces_every_dropout_of_the_family(family, folders):
    def probabilities(**options) -> set[float]:
        network = load(folders[family], **options)
        of_modules = {module.p for module in network.modules() if isinstance(module, nn.Dropout)}
        # In attention it may be an argument of the kernel.
        names = ("dropout_prob", "attention_dropout", "dropout_p")
        of_kernels = {getattr(module, name, None) for module in network.modules() for name in names}
        return of_modules | {value for value in of_kernels if isinstance(value, float)}

    assert probabilities(dropout=0.25) == {0.25}
    assert 0.25 not in probabilities()


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_kernels_that_a_configuration_names_are_not_needed(family, name, copied):
    """It names those of its author's machine; DeBERTa has neither of the faster ones."""
    folder = copied(family)
    before = load(folder)
    after = load(change_config(folder, **{name: "flash_attention_2"}))
    ids = ids_of(before, 9)
    assert torch.equal(logits_of(after, ids), logits_of(before, ids))


# --- what is trained ------------------------------------------------------------------------------


@EVERY_FAMILY
def test_frozen_layers_are_frozen_with_all_that_feeds_them(family, folders):
    network = load(folders[family])
    num_layers = resolve_checkpoint(folders[family]).num_layers
    assert num_layers == (1 if family == "albert" else 2)  # ALBERT's layers share the weights of one group
    freeze_layers(network, 0)
    assert all(weights.requires_grad for weights in network.parameters())
    freeze_layers(network, 1)
    trained = {name for name, weights in network.named_parameters() if weights.requires_grad}
    of_upper_layer = {name for name, _ in network.named_parameters() if ".1." in name}
    norm = {"modernbert": {"model.final_norm.weight"}, "eurobert": {"model.norm.weight"}}.get(family, set())
    assert bool(of_upper_layer) == (family != "albert")
    assert trained == of_upper_layer | norm | {"classifier.weight", "classifier.bias"}
    with pytest.raises(ValueError, match=f"frozen_layers: expected 0 to {num_layers}, the layers of the model, found"):
        freeze_layers(network, num_layers + 1)


def test_layers_that_cannot_be_told_are_not_frozen(tmp_path):
    """XLM keeps the parts of its layers in several lists."""
    folder = other_checkpoint(tmp_path, "xlm", **XLM)
    network = load(folder)
    assert resolve_checkpoint(folder).num_layers == 0
    freeze_layers(network, 0)
    with pytest.raises(ValueError, match="expected 0, since it is not known which modules of a xlm are its layers"):
        freeze_layers(network, 1)


# --- what does not fit ----------------------------------------------------------------------------


def inner_size(family: str) -> str:
    return "hidden_dim" if family == "distilbert" else "intermediate_size"


def layers(family: str) -> str:
    return {"distilbert": "n_layers", "albert": "num_hidden_groups"}.get(family, "num_hidden_layers")


@EVERY_FAMILY
def test_weights_of_other_sizes_or_layers_are_refused(family, tmp_path):
    """Without a check, transformers draws what is missing, and leaves out what it has no place for."""
    groups = {"num_hidden_groups": 2} if family == "albert" else {}
    folder = make_checkpoint(tmp_path, family, **groups)
    config = json.loads((folder / "config.json").read_text())
    layer_types = {"layer_types": ["full_attention"] * 3} if "layer_types" in config else {}
    for changes, message in (
        ({inner_size(family): 48}, "expected weights of the sizes in config.json, found others for"),
        ({layers(family): 3} | layer_types, f"expected all weights of the {family} encoder in config.json, found none"),
        ({layers(family): 1} | ({"layer_types": ["full_attention"]} if layer_types else {}),
         "expected weights of the layers in config.json only, found"),
    ):  # fmt: skip
        change_config(folder, **config | changes)
        with pytest.raises(ValueError, match=message):
            load(folder)


@EVERY_FAMILY
def test_half_precision_is_read_in_float32_and_what_is_not_finite_is_refused(family, copied):
    folder = copied(family)
    weights = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    network = load(change_config(folder, dtype="bfloat16"))
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    name = max(weights, key=lambda name: weights[name].numel())
    weights[name].view(-1)[3] = torch.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="expected finite weights, found NaN or infinity in "):
        load(folder)


# --- what is refused ------------------------------------------------------------------------------


def other_checkpoint(folder: Path, model_type: str, **fields: object) -> Path:
    """A tiny model that is none of the twelve families, with BERT's tokenizer."""
    tokenizer = make_tokenizer("bert")
    tokenizer.save_pretrained(folder)
    words = {} if model_type == "vit" else {"vocab_size": len(tokenizer), "pad_token_id": 0}
    config = CONFIG_MAPPING[model_type](**{**words, **fields})
    model = MODEL_MAPPING[type(config)]
    model = model[0] if isinstance(model, tuple) else model
    model(config).save_pretrained(folder)
    return folder


XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 64}
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
LEFT_ONLY = "which reads only what is left of a token; take an encoder"
REFUSED = {
    "gpt2": ({"n_embd": 32, "n_layer": 1, "n_head": 2}, f"found 'gpt2', a decoder, {LEFT_ONLY}"),
    "llama": (SMALL, f"found 'llama', a decoder, {LEFT_ONLY}"),
    "bert": ({**SMALL, "is_decoder": True}, rf"found 'bert', a decoder \(is_decoder\), {LEFT_ONLY}"),
    "t5": ({"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 1, "num_heads": 2}, "found 't5', an encoder-decoder"),
    "bart": (
        {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64},
        "found 'bart', an encoder-decoder",
    ),
    "funnel": (
        {"block_sizes": [1], "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64},
        "found 'funnel', a model without one vector for each token",
    ),
    "vit": (SMALL, "found 'vit', which does not read the tokens of a text"),
    "xmod": ({**SMALL, "languages": ["en_XX"]}, "found 'xmod', which needs the language of each text"),
    "layoutlm": (SMALL, "found 'layoutlm', which needs the place of each token on a page"),
    "lilt": (SMALL, "found 'lilt', which needs the place of each token on a page"),
    "bros": (SMALL, "found 'bros', which needs the place of each token on a page"),
}  # fmt: skip


@pytest.mark.parametrize("model_type", REFUSED)
def test_model_that_is_no_encoder_of_texts_is_refused_by_name(model_type, tmp_path):
    fields, message = REFUSED[model_type]
    folder = other_checkpoint(tmp_path, model_type, **fields)
    with pytest.raises(ValueError, match=rf"config\.json: expected an encoder.* {message}"):
        resolve_checkpoint(folder)


@pytest.mark.parametrize("reads_left_only", [False, True])
def test_model_that_reads_only_one_side_is_found_by_what_it_computes(reads_left_only, tmp_path):
    """Neither name nor class says which of its two ways to read an XLM has."""
    folder = other_checkpoint(tmp_path, "xlm", **XLM, causal=reads_left_only)
    if reads_left_only:
        with pytest.raises(ValueError, match="found a xlm whose tokens see nothing of what follows them, as in"):
            load(folder)
    else:
        assert load(folder).config.model_type == "xlm"


def test_model_whose_vectors_padding_changes_is_found_by_what_it_computes(tmp_path):
    """Its Fourier transform mixes all tokens of a batch's width."""
    folder = other_checkpoint(tmp_path, "fnet", **{**SMALL, "max_position_embeddings": 64})
    with pytest.raises(
        ValueError, match="found a fnet whose vectors padding changes, so that a prediction would depend"
    ):
        load(folder)


def test_model_that_needs_more_than_a_text_is_found_by_what_it_computes(tmp_path):
    fields = {"num_qa_labels": 2, "l_layers": 1, "x_layers": 1, "r_layers": 1, "visual_feat_dim": 8}
    folder = other_checkpoint(tmp_path, "lxmert", **{**SMALL, **fields})
    with pytest.raises(
        ValueError, match="expected an encoder that reads a text by itself, found a lxmert that does not"
    ):
        load(folder)


@pytest.mark.parametrize("model_type", ["my_bert", None, ["bert"]])
def test_code_of_a_checkpoint_is_never_run(model_type, copied, tmp_path):
    trap = "import pathlib\npathlib.Path(__file__).with_name('sprung').touch()\n"
    folder = change_config(
        copied("bert"), model_type=model_type, auto_map={"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    )
    (folder / "code.py").write_text(trap)
    with pytest.raises(ValueError, match=r"whose code lies in its repository and is never run; take an encoder"):
        resolve_checkpoint(folder)
    assert not (folder / "sprung").exists()


def test_configuration_in_the_spelling_of_somebodys_code_is_not_read_as_the_defaults(copied):
    folder = copied("nomic_bert")
    config = json.loads((folder / "config.json").read_text())
    config["n_embd"] = config.pop("hidden_size")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="as save_pretrained writes it, found 'nomic_bert' without hidden_size"):
        resolve_checkpoint(folder)


def test_adapters_and_quantized_weights_are_refused(copied):
    folder = change_config(copied("roberta"), quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ValueError, match=r"found quantized ones \(quantization_config\); take the checkpoint that"):
        resolve_checkpoint(folder)
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"found an adapter \(adapter_config\.json\); .* merge_and_unload\(\)"):
        resolve_checkpoint(folder)


def test_folder_that_holds_the_folder_of_a_model_says_which(copied, tmp_path):
    """Older sentence-transformers keep it in 0_Transformer, trainings in checkpoint-500."""
    (tmp_path / "run").mkdir()
    copied("mpnet").rename(tmp_path / "run" / "0_Transformer")
    with pytest.raises(
        FileNotFoundError,
        match=r"found one in 0_Transformer only; pass the folder of the model itself, such as .*run/0_Transformer$",
    ):
        resolve_checkpoint(tmp_path / "run")


@pytest.mark.parametrize(
    ("family", "names", "found"),
    [
        ("bert", [], "none"),
        ("roberta", ["vocab.json", "merges.txt"], "merges.txt, vocab.json"),
        ("roberta", ["vocab.txt", "bpe.codes"], "bpe.codes, vocab.txt"),
        ("xlm-roberta", ["sentencepiece.bpe.model"], "sentencepiece.bpe.model"),
        ("deberta-v2", ["spm.model"], "spm.model"),
    ],
)
def test_checkpoint_without_tokenizer_json_is_refused(family, names, found, copied):
    """transformers would make a tokenizer of five tokens, or ask for packages."""
    folder = copied(family)
    (folder / "tokenizer.json").unlink()
    for name in names:
        (folder / name).touch()
    with pytest.raises(
        FileNotFoundError, match=rf"expected a tokenizer \(tokenizer.json.*\), found {found}\. If"
    ) as caught:
        resolve_checkpoint(folder)
    assert f"transformers.AutoTokenizer.from_pretrained('{folder}').save_pretrained(FOLDER)" in str(caught.value)


@pytest.mark.parametrize("family", ["bert", "electra", "distilbert", "mpnet", "nomic_bert"])
def test_vocabulary_of_wordpiece_alone_is_a_tokenizer(family, copied):
    folder = copied(family)
    (folder / "tokenizer.json").rename(folder / "vocab.txt")
    assert resolve_checkpoint(folder).max_positions == MAX_POSITIONS


# --- the training ---------------------------------------------------------------------------------


@EVERY_FAMILY
def test_training_changes_every_matrix_and_is_saved(family, folders, examples, tmp_path):
    qa = QA(folders[family], max_length=48, doc_stride=8)
    training = {"learning_rate": 1e-3, "head_learning_rate": 1e-2, "max_steps": 2, "warmup_steps": 0}
    QATrainer(qa, 48, LABEL_MAP).train(examples[:8], tmp_path / "model", per_device_train_batch_size=4, **training)
    trained = QA(tmp_path / "model")
    assert trained.has_head and not qa.has_head
    before, after = qa.model.state_dict(), trained.model.state_dict()
    assert before.keys() == after.keys()
    matrices = {name for name, weights in before.items() if weights.ndim > 1}
    assert {name for name in matrices if torch.equal(before[name], after[name])} == set()


@EVERY_FAMILY
def test_network_is_loaded_and_predicts_in_half_precision(family, folders, examples):
    exact, rounded = (
        QA(folders[family], max_length=48, precision=precision).predict(examples[0]).pred_probs
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(exact - rounded).max() < 0.01


@EVERY_FAMILY
def test_activation_checkpointing_works_or_says_what_to_do_instead(family, folders, examples, tmp_path):
    trainer = QATrainer(QA(folders[family], max_length=48, doc_stride=8), 48, LABEL_MAP)
    training = {"learning_rate": 1e-3, "dropout": 0.0, "max_steps": 1, "warmup_steps": 0}
    if family in ("albert", "mpnet"):
        message = f"activation_checkpointing: transformers cannot do it for {family}; leave it out, and"
        with pytest.raises(ValueError, match=message):
            trainer.train(examples[:4], tmp_path / "model", activation_checkpointing=True, **training)
        return
    for name, checkpointing in (("with", True), ("without", False)):
        trainer.train(examples[:4], tmp_path / name, activation_checkpointing=checkpointing, **training)
    found, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, atol=1e-4, rtol=0)
