"""How much of a GPU's memory a fold takes: the sum of its parts, worked out by hand."""

import pytest
from families import make_checkpoint, make_tokenizer

from span_label_errors.model.checkpoints import resolve_checkpoint
from span_label_errors.model.gpu_memory import memory_of_fold

BASE = {
    "hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 3072,
    "max_position_embeddings": 512,
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint_of(tmp_path_factory):
    """Two layers as wide as those of a BERT base."""
    root = tmp_path_factory.mktemp("families")
    return lambda family: resolve_checkpoint(make_checkpoint(root / family, family, **BASE))


def memory(checkpoint, **options) -> int:
    return memory_of_fold(checkpoint, **{"max_length": 384, "batch_size": 128, "precision": "bfloat16", **options})


def test_memory_is_that_of_libraries_weights_and_what_layers_keep_of_a_batch(checkpoint_of):
    """128 windows of 384 tokens in two layers are 98,304 tokens; 32 are fewer than a batch of prediction's 65,536."""
    checkpoint = checkpoint_of("bert")
    # Matrices and their biases, and two norms; embeddings of words, positions and segments, and their norm.
    of_layer = 4 * 768 * 768 + 2 * 768 * 3072 + 4 * 768 + 3072 + 768 + 4 * 768
    num_parameters = 2 * of_layer + (len(make_tokenizer("bert")) + 512 + 2 + 2) * 768
    fixed = 2**29 + 16 * num_parameters
    assert memory(checkpoint) == round(1.3 * (fixed + 98_304 * 50 * 768))
    assert memory(checkpoint, batch_size=32) == round(1.3 * (fixed + 65_536 * 50 * 768))
    assert memory(checkpoint, precision="float32") == round(1.3 * (fixed + 98_304 * 74 * 768))
    assert memory(checkpoint, max_length=192, batch_size=256) == memory(checkpoint)


def test_attention_without_a_kernel_keeps_a_number_for_each_pair_of_tokens(checkpoint_of):
    """DeBERTa: 98,304 tokens, each with 12 heads, 384 tokens of its window, and 20 bytes."""
    deberta, longer = (memory(checkpoint_of("deberta-v2"), max_length=length, batch_size=size) for length, size in
                       ((384, 128), (512, 96)))  # fmt: skip
    assert longer - deberta == pytest.approx(1.3 * 98_304 * 12 * (512 - 384) * 20, abs=1)
    bert = checkpoint_of("bert")
    assert memory(bert, max_length=512, batch_size=96) == memory(bert)
