"""How much of a GPU's memory making a fold takes: arithmetic, which was not measured on a GPU."""

import json

from span_label_errors.model.checkpoints import Checkpoint
from span_label_errors.model.encoders import encoder_config, encoder_without_weights, has_pytorchs_attention
from span_label_errors.model.qa import TOKENS_OF_BATCH_ON_ACCELERATOR

_OF_LIBRARIES = 2**29  # what CUDA and its libraries take in each process
_MARGIN = 1.3  # for gaps between tensors, and what is not counted here
# The weight, its gradient and AdamW's two averages, of four bytes each.
_PER_PARAMETER = 16
# What a layer keeps of a token for the way back, for each of its hidden units; it is four times as wide between its
# two last matrices. In bfloat16: its input, query, key, value and their mean, as matrices take them (12 bytes), what
# the norms take and give in float32 (16), two more products with the masks of their dropout (6), and, of the wide part,
# what goes into and comes out of GELU (16). float32 needs no copies in bfloat16, but four bytes where it has two.
_PER_HIDDEN_UNIT = {"bfloat16": 50, "float32": 74}
# Attention without a kernel of PyTorch's keeps numbers for each head and each other token of the window as well.
_PER_HEAD_AND_TOKEN = 20


def memory_of_fold(checkpoint: Checkpoint, *, max_length: int, batch_size: int, precision: str) -> int:
    """Return how many bytes of a GPU's memory a process takes to train and predict one fold.

    Parameters
    ----------
    checkpoint : Checkpoint
    max_length : int
        Tokens of a window; all windows of a batch are taken to have as many.
    batch_size : int
        Windows of a batch in training.
    precision : {"bfloat16", "float32"}
        Of matrix products.

    Returns
    -------
    int
        Weights, their gradients and the optimizer's averages, and what all layers keep of a batch in training, or one
        layer of a batch in prediction, whichever is more. Frozen layers need less, which is not counted.
    """
    config_file = checkpoint.path / "config.json"
    config = encoder_config(config_file, json.loads(config_file.read_text(encoding="utf-8")))
    encoder = encoder_without_weights(config_file, config)
    of_layer = _PER_HIDDEN_UNIT[precision] * config.hidden_size
    if not has_pytorchs_attention(encoder):
        of_layer += _PER_HEAD_AND_TOKEN * config.num_attention_heads * max_length
    of_batch = max(batch_size * max_length * config.num_hidden_layers, TOKENS_OF_BATCH_ON_ACCELERATOR) * of_layer
    num_parameters = sum(weights.numel() for weights in encoder.parameters())
    return round(_MARGIN * (_OF_LIBRARIES + _PER_PARAMETER * num_parameters + of_batch))
