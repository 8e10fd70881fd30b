"""Which kernels compute attention: in which precision, with the same results, and without a trace in what is saved."""

import pytest
import torch
from conftest import twelve_examples
from families import FAMILIES, make_checkpoint
from torch.nn import functional

from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
OWN_ATTENTION = ("mpnet", "deberta-v2")  # written out, with their relative positions


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("families")
    return {family: make_checkpoint(root / family, family) for family in FAMILIES}


@pytest.fixture
def attention_dtypes(monkeypatch) -> set:
    """The types of numbers that PyTorch's attention is called with, and whether autocast would change them."""
    seen, pytorchs = set(), functional.scaled_dot_product_attention

    def attention(query, key, value, **options):
        seen.add((query.dtype, key.dtype, value.dtype, torch.is_autocast_enabled("cpu")))
        return pytorchs(query, key, value, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)
    return seen


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is so on a processor")
@EVERY_FAMILY
def test_attention_stays_in_float32_beside_bfloat16_in_training_and_prediction(
    family, folders, attention_dtypes, tmp_path
):
    expected = set() if family in OWN_ATTENTION else {(torch.float32,) * 3 + (False,)}
    for precision in ("bfloat16", "float32"):
        qa = QA(folders[family], max_length=48, doc_stride=8, precision=precision)
        trainer = QATrainer(qa, 48, LABEL_MAP)
        trainer.train(twelve_examples()[:4], tmp_path / precision, max_steps=1, learning_rate=1e-3, warmup_steps=0)
        assert attention_dtypes == expected
        attention_dtypes.clear()
        trainer.load(tmp_path / precision).predict_batch(twelve_examples())
        assert attention_dtypes == expected
        attention_dtypes.clear()
    assert (tmp_path / "bfloat16" / "config.json").read_text() == (tmp_path / "float32" / "config.json").read_text()
