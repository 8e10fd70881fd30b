"""Which kernels a network runs: where which attention, with the same results, and without a trace in what is saved."""

import contextlib
import math
import shutil
import sysconfig
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import make_example, twelve_examples
from families import FAMILIES, make_checkpoint
from safetensors.torch import load_file
from torch.nn import functional
from torch.profiler import profile

from span_label_errors.model import kernels, trainer, training_loop
from span_label_errors.model.checkpoints import resolve_checkpoint
from span_label_errors.model.kernels import (
    STEPS_WORTH_COMPILING,
    choose_attention,
    choose_packing,
    choose_products,
    compile_layers,
    is_worth_compiling,
    padding_multiple,
)
from span_label_errors.model.network import freeze_layers, load_network
from span_label_errors.model.training_states import TrainingStates
from span_label_errors.model.windows import IGNORED_LABEL, pack_windows, pad_windows
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
OWN_ATTENTION = ("mpnet", "deberta-v2")  # written out, with their relative positions
CPU, GPU = torch.device("cpu"), torch.device("cuda")
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("families")
    return {family: make_checkpoint(root / family, family) for family in FAMILIES}


@pytest.fixture(autouse=True)
def cudnns_attention():
    """Whether PyTorch takes cuDNN's is a switch of the whole process."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.fixture
def attention_dtypes(monkeypatch) -> set:
    """The types of numbers that PyTorch's attention is called with, and whether autocast would change them."""
    seen, pytorchs = set(), functional.scaled_dot_product_attention

    def attention(query, key, value, **options):
        seen.add((query.dtype, key.dtype, value.dtype, torch.is_autocast_enabled("cpu")))
        return pytorchs(query, key, value, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)
    return seen


def load(folder, device=CPU, **options):
    network = load_network(resolve_checkpoint(folder), LABEL_MAP, seed=1, **options).eval()
    choose_attention(network.config, device, "float32")
    return network


def batch_of(network, *lengths: int, width: int | None = None) -> dict[str, torch.Tensor]:
    """Windows of some tokens, none of them special, padded to a width; every third token that is there is labelled."""
    width = width or max(lengths)
    is_token = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    token_index = torch.arange(width).expand(len(lengths), -1)
    ids = torch.where(is_token, 10 + token_index % (network.config.vocab_size - 10), network.config.pad_token_id)
    labels = torch.stack([token_index % 3 > 0, token_index % 3 == 0], dim=-1).float()
    return {
        "input_ids": ids, "attention_mask": is_token.long(), "token_type_ids": torch.zeros_like(ids),
        "labels": labels.masked_fill(~is_token[..., None], IGNORED_LABEL),
    }  # fmt: skip


def gradients_of(network, batch) -> dict[str, torch.Tensor]:
    network.zero_grad()
    network(**batch).loss.backward()
    return {name: weights.grad for name, weights in network.named_parameters() if weights.grad is not None}


# --- attention ------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is so on a processor")
@EVERY_FAMILY
def test_attention_stays_in_float32_beside_bfloat16_in_training_and_prediction(
    family, folders, attention_dtypes, tmp_path
):
    expected = set() if family in OWN_ATTENTION else {(torch.float32,) * 3 + (False,)}
    for precision in ("bfloat16", "float32"):
        qa = QA(folders[family], max_length=48, doc_stride=8, precision=precision)
        of_qa = QATrainer(qa, 48, LABEL_MAP)
        of_qa.train(twelve_examples()[:4], tmp_path / precision, max_steps=1, learning_rate=1e-3, warmup_steps=0)
        assert attention_dtypes == expected
        attention_dtypes.clear()
        of_qa.load(tmp_path / precision).predict_batch(twelve_examples())
        assert attention_dtypes == expected
        attention_dtypes.clear()
    assert (tmp_path / "bfloat16" / "config.json").read_text() == (tmp_path / "float32" / "config.json").read_text()


@contextlib.contextmanager
def counted_waits() -> Iterator[list[int]]:
    """Count how often a number is read, for which a processor would wait if an accelerator computed it."""
    found: list[int] = []
    with profile() as seen:
        yield found
    found.append(sum(event.count for event in seen.key_averages() if event.key == "aten::_local_scalar_dense"))


@EVERY_FAMILY
def test_attention_on_an_accelerator_gives_the_same_without_looking_for_padding(family, folders):
    here, there = load(folders[family]), load(folders[family], GPU)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    for lengths in ((12, 12), (12, 7, 30)):
        batch = batch_of(here, *lengths)
        is_token = batch["attention_mask"].bool()
        with torch.no_grad(), counted_waits() as waits_here:
            expected = here(**batch).logits
        with torch.no_grad(), counted_waits() as waits_there:
            found = there(**batch).logits
        torch.testing.assert_close(found[is_token], expected[is_token], atol=1e-6, rtol=0)
        if family not in OWN_ATTENTION:
            assert waits_here > waits_there == [0]


def test_step_on_an_accelerator_reads_no_number_but_the_loss_that_is_logged(folders, tmp_path, monkeypatch):
    """Six steps of one epoch, logged once, read as many numbers as two. (AdamW reads some only on a processor.)"""
    monkeypatch.setattr(trainer, "choose_attention", lambda config, *_: choose_attention(config, GPU, "float32"))
    waits = []
    for steps in (2, 6):
        with counted_waits() as waits_of_training:
            QATrainer(QA(folders["bert"], max_length=48, doc_stride=8), 48, LABEL_MAP).train(
                twelve_examples(), tmp_path / str(steps), max_steps=steps, logging_steps=steps,
                per_device_train_batch_size=2, learning_rate=1e-3, warmup_steps=0, optim="sgd",
            )  # fmt: skip
        waits += waits_of_training
    assert waits[0] == waits[1] > 0


@pytest.mark.parametrize(
    ("device", "max_positions", "multiple"), [(CPU, 512, 1), (GPU, 512, 8), (GPU, 509, 1), (torch.device("mps"), 64, 8)]
)
def test_batches_of_an_accelerator_are_padded_as_far_as_there_are_positions(device, max_positions, multiple):
    assert padding_multiple(device, max_positions) == multiple


# --- compiled layers ------------------------------------------------------------------------------


@pytest.fixture
def compiler():
    """What stands for the compiler, and the graphs that it was given."""
    torch.compiler.reset()
    graphs = []

    def compile_graph(graph, inputs):
        graphs.append(graph)
        return graph.forward

    yield compile_graph, graphs
    torch.compiler.reset()


# The other families with PyTorch's attention differ from BERT in embeddings only, or share their code with these.
@pytest.mark.parametrize(
    ("family", "frozen_layers"), [("bert", 1), ("distilbert", 0), ("modernbert", 0), ("eurobert", 0)]
)
def test_compiled_layers_are_compiled_once_for_all_lengths_and_compute_the_same(
    family, frozen_layers, folders, compiler
):
    compile_graph, graphs = compiler
    plain, compiled = (load(folders[family], GPU, dropout=0.0).train() for _ in range(2))
    names = list(compiled.state_dict())
    for network in (plain, compiled):
        freeze_layers(network, frozen_layers)
    compile_layers(compiled, compile_graph)
    assert list(compiled.state_dict()) == names
    num_graphs = []
    for lengths in ((20, 13), (32, 30, 9), (48, 47)):
        batch = batch_of(plain, *lengths, width=math.ceil(max(lengths) / 8) * 8)
        expected, found = (gradients_of(network, batch) for network in (plain, compiled))
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)
        num_graphs.append(len(graphs))
    assert num_graphs[0] == num_graphs[2] > 0


def test_compiled_training_goes_on_after_an_interruption_and_is_saved_as_any_other(
    folders, tmp_path, monkeypatch, compiler
):
    class EveryStep(TrainingStates):
        def is_due(self) -> bool:
            return True

    def stop(step, num_steps, loss):
        if step == 2:
            raise KeyboardInterrupt

    def train(name: str, **options) -> dict[str, torch.Tensor]:
        QATrainer(QA(folders["bert"], max_length=48, doc_stride=8), 48, LABEL_MAP).train(
            twelve_examples(), tmp_path / name, max_steps=4, per_device_train_batch_size=2, learning_rate=1e-3,
            warmup_steps=0, dropout=0.1, **options,
        )  # fmt: skip
        return load_file(tmp_path / name / "model.safetensors")

    names = train("plain").keys()
    monkeypatch.setattr(training_loop, "is_worth_compiling", lambda *_: True)
    monkeypatch.setattr(training_loop, "compile_layers", lambda network: compile_layers(network, compiler[0]))
    whole = train("compiled")
    assert compiler[1]
    assert whole.keys() == names
    with pytest.raises(KeyboardInterrupt):
        train("resumed", states=EveryStep(tmp_path / "states", "key", print), on_step=stop)
    lines: list[str] = []
    resumed = train("resumed", states=EveryStep(tmp_path / "states", "key", lines.append))
    assert "step 2" in lines[0]
    assert {name for name in whole if not torch.equal(resumed[name], whole[name])} == set()


def test_layers_are_compiled_for_long_trainings_on_gpus_of_machines_that_can(folders, tmp_path, monkeypatch):
    bert, deberta = (load(folders[family], GPU).config for family in ("bert", "deberta-v2"))
    headers, steps = tmp_path / "include", STEPS_WORTH_COMPILING
    headers.mkdir()
    (headers / "Python.h").touch()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(headers))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert is_worth_compiling(bert, GPU, steps)
    assert not is_worth_compiling(bert, GPU, steps - 1)
    assert not is_worth_compiling(bert, CPU, steps)
    assert not is_worth_compiling(deberta, GPU, steps)
    (headers / "Python.h").unlink()
    assert not is_worth_compiling(bert, GPU, steps)
    (headers / "Python.h").touch()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not is_worth_compiling(bert, GPU, steps)
    monkeypatch.setenv("CC", "tcc")
    assert is_worth_compiling(bert, GPU, steps)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not is_worth_compiling(bert, GPU, steps)


# --- packed windows -------------------------------------------------------------------------------


def windows_of(network, *lengths: int) -> list[dict]:
    """Windows of two segments as `training_item` makes them, of tokens and labels that are drawn."""
    random = np.random.default_rng(0)
    return [
        {
            "input_ids": random.integers(10, network.config.vocab_size, length),
            "token_type_ids": (np.arange(length) > length // 2).astype(np.int64),
            "labels": random.choice([0, 1, IGNORED_LABEL], (length, 2)).astype(np.float32),
        }
        for length in lengths
    ]


@pytest.mark.parametrize("family", ["bert", "electra", "distilbert", "albert", "nomic_bert"])
def test_packed_windows_have_the_vectors_loss_and_gradients_of_padded_ones(family, folders, monkeypatch):
    monkeypatch.setattr(kernels, "PACKS_WINDOWS", True)
    padded, packed = (load(folders[family], dropout=0.0).train() for _ in range(2))
    assert choose_packing(packed.config, GPU, "bfloat16")
    lengths = (20, 33, 7)
    items = windows_of(padded, *lengths)
    expected = padded(**pad_windows(items, padded.config.pad_token_id))
    found = packed(**pack_windows(items))
    rows = [logits[:length] for logits, length in zip(expected.logits, lengths, strict=True)]
    torch.testing.assert_close(found.logits[0], torch.cat(rows), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.loss, expected.loss)
    expected.loss.backward()
    found.loss.backward()
    for (name, weights), (_, others) in zip(padded.named_parameters(), packed.named_parameters(), strict=True):
        torch.testing.assert_close(others.grad, weights.grad, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("family", "dropout", "device", "precision", "is_on"),
    [
        ("bert", 0.0, GPU, "bfloat16", False),
        ("bert", 0.1, GPU, "bfloat16", True),  # the kernel knows no dropout
        ("bert", 0.0, CPU, "bfloat16", True),
        ("bert", 0.0, GPU, "float32", True),
        ("roberta", 0.0, GPU, "bfloat16", True),  # its positions begin behind the padding's
        ("modernbert", 0.0, GPU, "bfloat16", True),  # some of its layers see a part of a window
        ("deberta-v2", 0.0, GPU, "bfloat16", True),
    ],
)
def test_windows_are_padded_where_packing_is_off_or_cannot_be(
    family, dropout, device, precision, is_on, folders, monkeypatch
):
    monkeypatch.setattr(kernels, "PACKS_WINDOWS", is_on)
    config = load(folders[family], dropout=dropout).config
    assert not choose_packing(config, device, precision)


def test_training_on_packed_windows_has_the_weights_of_padded_ones(folders, tmp_path, monkeypatch):
    trained, packed = {}, []
    monkeypatch.setattr(trainer, "choose_packing", lambda config, *_: choose_packing(config, GPU, "bfloat16"))
    monkeypatch.setattr(trainer, "pack_windows", lambda items: packed.append(len(items)) or pack_windows(items))
    for name, packs in (("padded", False), ("packed", True)):
        monkeypatch.setattr(kernels, "PACKS_WINDOWS", packs)
        QATrainer(QA(folders["bert"], max_length=48, doc_stride=8), 48, LABEL_MAP).train(
            [*twelve_examples(), make_example("x", "In Paris.", "Where?", "Paris")], tmp_path / name, dropout=0.0,
            max_steps=6, per_device_train_batch_size=3, learning_rate=0.1, warmup_steps=0, optim="sgd",
        )  # fmt: skip
        trained[name] = load_file(tmp_path / name / "model.safetensors")
    for name, weights in trained["padded"].items():
        torch.testing.assert_close(trained["packed"][name], weights, atol=1e-5, rtol=0)
    assert packed == [3, 3, 3, 3, 1, 3]


# --- matrix products ------------------------------------------------------------------------------


@pytest.fixture
def is_amd(monkeypatch):
    """Say whether this is a processor of AMD with AVX-512."""
    return lambda value: monkeypatch.setattr(kernels, "_is_amd_with_avx512", lambda: value)


@EVERY_FAMILY
def test_products_by_onednn_are_those_of_linear_layers_and_so_are_their_gradients(family, folders, is_amd):
    is_amd(True)
    found = {}
    for by_onednn in (False, True):
        network = load_network(resolve_checkpoint(folders[family]), LABEL_MAP, seed=1, dropout=0.0)
        if by_onednn:
            choose_products(network, CPU, "float32")
        ids = torch.arange(10, 26).reshape(2, 8)
        with profile() as profiled:
            output = network.encode(ids, torch.ones_like(ids), torch.zeros_like(ids))
        assert by_onednn == any("mkldnn_linear" in event.name for event in profiled.events())
        output.square().sum().backward()
        gradients = {name: weights.grad for name, weights in network.base_model.named_parameters()}
        found[by_onednn] = {"output": output.detach(), **{name: of for name, of in gradients.items() if of is not None}}
    assert found[True].keys() == found[False].keys()
    for name, expected in found[False].items():
        scale = expected.abs().max().item() + 1e-6
        torch.testing.assert_close(found[True][name], expected, rtol=0, atol=1e-4 * scale, msg=name)


@pytest.mark.parametrize(
    ("amd", "device", "precision"), [(False, CPU, "float32"), (True, GPU, "float32"), (True, CPU, "bfloat16")]
)
def test_products_stay_where_pytorchs_choice_is_as_fast(amd, device, precision, folders, is_amd):
    is_amd(amd)
    network = load_network(resolve_checkpoint(folders["bert"]), LABEL_MAP, seed=1)
    choose_products(network, device, precision)
    assert not any("forward" in vars(module) for module in network.modules())
