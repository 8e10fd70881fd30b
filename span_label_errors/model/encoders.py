"""What is particular to families of encoders: which can be used, and where they keep layers, positions and dropout."""

import inspect
import re
from pathlib import Path

import torch
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

TAKE_ANOTHER = "take an encoder, such as BERT, ELECTRA, RoBERTa, XLM-R, DeBERTa or ModernBERT"
_BOXES = "the place of each token on a page"
_NEEDS_MORE_THAN_TEXT = {
    **dict.fromkeys(("bros", "layoutlm", "layoutlmv2", "layoutlmv3", "lilt"), _BOXES),
    "tapas": "the cells of a table",
    "xmod": "the language of each text",
}
_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers")
# Language models that read both sides, though transformers knows them as generators only.
_READ_BOTH_SIDES = ("bert-generation", "xlnet")
_POSITIONS_IF_UNKNOWN = 512  # what an encoder without positions of its own, such as XLNet, was mostly trained on


def encoder_config(file: Path, content: dict) -> PreTrainedConfig:
    """Return the configuration of a checkpoint, of which `file` holds `content`. No code of it is run.

    Raises
    ------
    ValueError
        If it describes anything but an encoder of texts that transformers has the code of.
    """
    model_type = content.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        found = f"{file}: expected a model_type that transformers has the code of, found {model_type!r}"
        if "auto_map" in content:
            raise ValueError(f"{found}, whose code lies in its repository and is never run; {TAKE_ANOTHER}")
        raise ValueError(f"{found}; {TAKE_ANOTHER}")
    if "quantization_config" in content:
        raise ValueError(
            f"{file}: expected weights as they were trained, found quantized ones (quantization_config); take the "
            "checkpoint that they were made from"
        )
    config_class = CONFIG_MAPPING[model_type]
    needs = _NEEDS_MORE_THAN_TEXT.get(model_type)
    if needs is not None:
        raise ValueError(
            f"{file}: expected an encoder of texts, found {model_type!r}, which needs {needs}; {TAKE_ANOTHER}"
        )
    # A configuration in the spelling of somebody's own code would be read as the family's defaults.
    names = {"hidden_size", config_class.attribute_map.get("hidden_size")}
    if not names & content.keys():
        raise ValueError(
            f"{file}: expected the configuration of an encoder as save_pretrained writes it, found {model_type!r} "
            "without hidden_size; take a revision that has it, or another encoder"
        )
    try:
        config = config_class.from_dict(content)
    except Exception as error:
        # What it raises for a field of the wrong type has no common type.
        raise ValueError(f"{file}: expected a {model_type} configuration; {type(error).__name__}: {error}") from error
    _check_kind(file, config)
    choose_kernels_here(config)
    return config


def choose_kernels_here(config: PreTrainedConfig) -> None:
    """Forget which attention kernels a configuration names: those of its author's GPU may not be here."""
    config._attn_implementation = None


def has_pytorchs_attention(encoder: PreTrainedModel) -> bool:
    """Return whether an encoder computes attention with PyTorch's kernels, and not with matrix products of its own."""
    return encoder.config._attn_implementation == "sdpa"


def _check_kind(file: Path, config: PreTrainedConfig) -> None:
    model_type = config.model_type
    if config.is_encoder_decoder:
        problem = "an encoder-decoder, which answers by writing texts and gives the tokens no classes"
    elif getattr(config, "is_decoder", False):
        problem = "a decoder (is_decoder), which reads only what is left of a token"
    elif _is_generator(config):
        problem = "a decoder, which reads only what is left of a token"
    elif not all(isinstance(getattr(config, name, None), int) for name in _SIZES):
        problem = "which does not read the tokens of a text"
    elif not isinstance(MODEL_MAPPING.get(type(config), None), type):
        problem = "a model without one vector for each token"
    else:
        return
    raise ValueError(f"{file}: expected an encoder, found {model_type!r}, {problem}; {TAKE_ANOTHER}")


def _is_generator(config: PreTrainedConfig) -> bool:
    """Whether transformers knows a model only as one that continues texts; what it reads is checked when it is loaded.

    A few generators were trained on to read both sides, and say so.
    """
    is_known_as_one = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys() - MODEL_FOR_MASKED_LM_MAPPING_NAMES
    reads_both_sides = getattr(config, "use_bidirectional_attention", False) or config.model_type in _READ_BOTH_SIDES
    return is_known_as_one and not reads_both_sides


def new_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Return an untrained encoder, without the pooler of those that have one: nothing here would train it."""
    encoder_class = MODEL_MAPPING[type(config)]
    has_pooler = "add_pooling_layer" in inspect.signature(encoder_class).parameters
    return encoder_class(config, **({"add_pooling_layer": False} if has_pooler else {}))


def encoder_without_weights(file: Path, config: PreTrainedConfig) -> PreTrainedModel:
    """Return the modules that a configuration describes, on a device without memory; `file` is what it was read from.

    Raises
    ------
    ValueError
        If the modules cannot be made.
    """
    try:
        with torch.device("meta"):
            return new_encoder(config)
    except Exception as error:
        # What it raises for a number that does not fit another has no common type.
        raise ValueError(
            f"{file}: expected the configuration of an encoder; {type(error).__name__}: {error}"
        ) from error


def num_layers_of(config: PreTrainedConfig) -> int:
    """Return how many layers a configuration says there are; ALBERT uses each of its groups several times as one."""
    return getattr(config, "num_hidden_groups", None) or config.num_hidden_layers


def layers_of(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the layers from the lowest up; none if it is not known which modules they are.

    They are the one list of modules that is not part of another, and as long as the configuration says.
    """
    lists = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.ModuleList)}
    outermost = [module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
    found = [module for module in outermost if len(module) == num_layers_of(encoder.config)]
    return found[0] if len(found) == 1 else nn.ModuleList()


def max_positions(encoder: PreTrainedModel) -> int:
    """Return how many tokens an encoder has positions for.

    Some count their positions from behind the padding's index, so that the first ones are never used.
    """
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(getattr(module, "weight", None), torch.Tensor):
            padding = getattr(module, "padding_idx", None)
            return len(module.weight) - (0 if padding is None else padding + 1)
    in_config = getattr(encoder.config, "max_position_embeddings", 0)
    return in_config if in_config > 0 else _POSITIONS_IF_UNKNOWN


def has_segments(config: PreTrainedConfig) -> bool:
    """Return whether an encoder has an embedding for the second of two texts; tokenizers are wrong about it."""
    return (getattr(config, "type_vocab_size", 0) or 0) >= 2


def segment_embeddings(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the embeddings of segments, those of an encoder that `has_segments`."""
    named = encoder.named_modules()
    return nn.ModuleList(module for name, module in named if name.endswith("token_type_embeddings"))


def head_dropout(config: PreTrainedConfig) -> float:
    """Return the dropout probability in front of a token classifier, by whichever name the family has it."""
    names = ("classifier_dropout", "classifier_dropout_prob", "hidden_dropout_prob", "dropout")
    found = [getattr(config, name, None) for name in names]
    return next((value for value in found if value is not None), 0.0)


def set_dropout(config: PreTrainedConfig, dropout: float) -> None:
    """Set every dropout probability of a configuration, whatever the family calls them, and that of the head."""
    config.classifier_dropout = dropout
    for name in _dropout_probabilities(config):
        setattr(config, name, dropout)


def has_dropout(config: PreTrainedConfig) -> bool:
    """Return whether any dropout probability of a configuration is above 0."""
    return any(getattr(config, name) for name in _dropout_probabilities(config))


def _dropout_probabilities(config: PreTrainedConfig) -> list[str]:
    # ESM's token_dropout is a yes or no.
    return [
        name
        for name, value in config.to_dict().items()
        if re.fullmatch(r"(\w+_)?dropout(_prob)?", name) and not isinstance(value, bool)
    ]
