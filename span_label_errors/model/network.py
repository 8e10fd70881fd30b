"""The network: an encoder with one independent yes/no output per token and class."""

import contextlib
import functools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import CONFIG_MAPPING, MODEL_MAPPING, BertConfig, PreTrainedConfig
from transformers.modeling_outputs import TokenClassifierOutput

from span_label_errors.model.checkpoints import DELTA_FILE, HEAD_TENSORS, OUR_HEAD, Checkpoint, has_head
from span_label_errors.model.deltas import add_delta
from span_label_errors.model.encoders import (
    TAKE_ANOTHER,
    choose_kernels_here,
    head_dropout,
    layers_of,
    new_encoder,
    segment_embeddings,
    set_dropout,
)
from span_label_errors.model.windows import IGNORED_LABEL

_ONE_AT_A_TIME = threading.RLock()
_MOST_NAMES_SHOWN = 4
_MOST_BY_PADDING = 1e-4  # of the largest number in a vector; rounding gives 1e-7, a convolution over padding 1e-3


class SpanClassification:
    """An encoder with a linear token head, trained with a binary cross-entropy per class.

    A token may belong to several classes, so each class has its own sigmoid. Shapes as in `windows`. `span_class` makes
    a class of it for each family, with the family's own `PreTrainedModel`: that knows how weights are named and which
    attention kernels there are.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
        `num_labels` is K, with the class `O`. With `one_segment`, all tokens are read as the first segment: an
        encoder that was pretrained on single texts has an untrained embedding of the second, or none.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.one_segment = getattr(config, "one_segment", False)
        setattr(self, self.base_model_prefix, new_encoder(config))
        self.dropout = nn.Dropout(head_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        # Layers that training leaves as they are, with what is below them, and the others; `freeze_layers` fills them.
        # Tuples, since a list of modules would be saved with the weights.
        self.frozen_layers: tuple[nn.Module, ...] = ()
        self.layers_above: tuple[nn.Module, ...] = ()
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_counted: torch.Tensor | int | None = None,
        **options: torch.Tensor | None,
    ) -> TokenClassifierOutput:
        """Score every token for every class.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids, **options
            As in `encode`.
        labels : Tensor of shape (B, L, K), float, optional
            0 or 1; `IGNORED_LABEL` where a token does not count.
        num_counted : int or Tensor, optional
            Labels that count in the whole optimizer step; those of this batch by default.

        Returns
        -------
        TokenClassifierOutput
            `logits` of shape (B, L, K); with labels also `loss`, the mean over the labels that count.
        """
        hidden = self.encode(input_ids, attention_mask, token_type_ids, **options)
        logits = self.classifier(self.dropout(hidden))
        loss = None
        if labels is not None:
            counts = labels != IGNORED_LABEL
            losses = binary_cross_entropy_with_logits(logits.float(), labels.clamp(min=0), reduction="none")
            loss = (losses * counts).sum() / (counts.sum() if num_counted is None else num_counted)
        return TokenClassifierOutput(loss=loss, logits=logits)

    def encode(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        frozen_outputs: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        window_bounds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the vectors of the tokens of a batch, of shape (B, L, hidden size).

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids : Tensor of shape (B, L)
        frozen_outputs : Tensor of shape (B, L, hidden size), optional
            What `frozen_layers` say of the batch, so that they need not compute it; see `frozen_outputs.FrozenLayers`.
        position_ids, window_bounds : Tensor, optional
            Of windows end to end, as `windows.pack_windows` makes them; `kernels.choose_packing` prepares the network.
        """
        inputs = {} if self.one_segment else {"token_type_ids": token_type_ids}
        if window_bounds is not None:
            most = self.config.max_position_embeddings
            inputs |= {"position_ids": position_ids, "cu_seq_lens_q": window_bounds, "max_length_q": most}
        passed_over = () if frozen_outputs is None else self.frozen_layers
        with replaced_forward(passed_over, lambda *_, **__: frozen_outputs):
            return self.base_model(input_ids, attention_mask=attention_mask, **inputs)[0]


@contextlib.contextmanager
def replaced_forward(modules: Sequence[nn.Module], forward: Callable) -> Iterator[None]:
    """Let modules do something else for a while, in which no other thread can ask for the same."""
    if not modules:
        yield
        return
    with _ONE_AT_A_TIME:
        for module in modules:
            module.forward = forward
        try:
            yield
        finally:
            for module in modules:
                del module.forward


@functools.cache
def span_class(config_class: type[PreTrainedConfig]) -> type[SpanClassification]:
    """Return the network's class for a family, such as `RobertaForSpanClassification` for `RobertaConfig`."""
    encoder_class = MODEL_MAPPING[config_class]
    family = next(base for base in encoder_class.__mro__[1:] if base.__name__.endswith("PreTrainedModel"))
    name = encoder_class.__name__.removesuffix("Model") + OUR_HEAD
    return type(name, (SpanClassification, family), {"__module__": __name__, "__doc__": SpanClassification.__doc__})


BertForSpanClassification = span_class(BertConfig)


def load_network(
    checkpoint: Checkpoint,
    label_map: dict[str, int],
    seed: int,
    dropout: float | None = None,
    *,
    case_as_segment: bool = False,
) -> SpanClassification:
    """Load the network of a checkpoint in float32.

    A head that is not one of ours is left behind, whatever its shape. A new one is drawn from `seed`, and the global
    random state is left as it was. `dropout` takes the place of the checkpoint's own probabilities. With
    `case_as_segment`, the second segment is read even if the encoder was pretrained on single texts.

    Raises
    ------
    ValueError
        If weights of the encoder are missing (they would silently be random), not finite, or do not fit config.json, or
        if the encoder reads only one side of a token, or padding as well.
    """
    config_class = CONFIG_MAPPING[checkpoint.model_type]
    class_names = {column: name for name, column in label_map.items()}
    config = config_class.from_pretrained(  # nosec B615 # a folder that is here has no revision
        checkpoint.path, local_files_only=True, num_labels=len(label_map), label2id=label_map, id2label=class_names,
        use_cache=False,
    )  # fmt: skip
    choose_kernels_here(config)
    if dropout is not None:
        set_dropout(config, dropout)
    if not checkpoint.has_head_in_weights:
        # Set afterwards: from_pretrained drops names that a configuration does not know.
        config.one_segment = checkpoint.one_segment
    if case_as_segment:
        config.one_segment = False
    # The code that it names is not used, and whoever reads the saved folder shall not be asked to run it.
    vars(config).pop("auto_map", None)
    try:
        with quiet_transformers(), _drawing(seed):
            network, report = span_class(config_class).from_pretrained(
                checkpoint.path, config=config, dtype=torch.float32, use_safetensors=True, local_files_only=True,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{checkpoint.path}: expected config.json to describe the encoder; {type(error).__name__}: {error}"
        ) from error
    _check_loaded(checkpoint, network, report)
    if not checkpoint.has_head_in_weights:
        _draw_head(network, seed)
    if checkpoint.reader is not None:
        leave_out = () if has_head(checkpoint, label_map) else HEAD_TENSORS
        add_delta(network, checkpoint.reader / DELTA_FILE, leave_out)
    not_finite = non_finite_weights(network)
    if not_finite:
        raise ValueError(
            f"{checkpoint.training_folder}: expected finite weights, found NaN or infinity in {not_finite}; "
            "take another checkpoint"
        )
    _check_reads_texts(checkpoint.path, network)
    return network


@contextlib.contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Draw from a seed, and leave the random state as it was: the processor's, so that no GPU is started for it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _check_loaded(checkpoint: Checkpoint, network: SpanClassification, report: dict) -> None:
    """Raise ValueError if transformers has left out weights of the encoder, or drawn some; heads of others may go."""
    not_needed = set() if checkpoint.has_head_in_weights else HEAD_TENSORS
    other_sizes = {name for name, *_ in report["mismatched_keys"]} - not_needed
    if other_sizes:
        raise ValueError(
            f"{checkpoint.path}: expected weights of the sizes in config.json, found others for {_some(other_sizes)}; "
            "take both from the same checkpoint"
        )
    missing = set(report["missing_keys"]) - not_needed
    if missing:
        raise ValueError(
            f"{checkpoint.path}: expected all weights of the {checkpoint.model_type} encoder in config.json, found "
            f"none for {_some(missing)}; take both from the same checkpoint"
        )
    # What is numbered is one of many layers.
    parts = "|".join(re.escape(name) for name, _ in network.base_model.named_children())
    of_layer = re.compile(rf"(?:^|\.)(?:{parts})\.(?:.*\.)?[0-9]+\.")
    unused = {name for name in report["unexpected_keys"] if of_layer.search(name)}
    if unused:
        raise ValueError(
            f"{checkpoint.path}: expected weights of the layers in config.json only, found {_some(unused)}; take both "
            "from the same checkpoint"
        )


def _some(names: set[str]) -> str:
    """Return the first names of a set, and how many more there are."""
    shown = sorted(names)[:_MOST_NAMES_SHOWN]
    return str(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def _draw_head(network: SpanClassification, seed: int) -> None:
    """Draw a new head, as BERT's are: transformers takes over any tensors of the names and shapes of ours."""
    with torch.no_grad(), _drawing(seed):
        nn.init.normal_(network.classifier.weight, std=getattr(network.config, "initializer_range", 0.02))
        nn.init.zeros_(network.classifier.bias)


def _check_reads_texts(path: Path, network: SpanClassification) -> None:
    """Raise ValueError if the vectors of tokens are not what a span classifier needs; two short texts show it.

    A decoder would train, and see nothing of what follows a token. Where padding changes the vectors of other tokens,
    what is predicted would depend on the windows that share a batch.
    """
    found = f"found a {network.config.model_type}"
    ids = torch.linspace(0, network.config.vocab_size - 1, 8).long()
    texts = torch.stack([ids, torch.cat([ids[:1], ids[1:].flip(0)])])
    was_training = network.training
    network.eval()
    try:
        # Whoever loads the network may be about to compute in half precision.
        with torch.no_grad(), torch.autocast("cpu", enabled=False), quiet_transformers():
            vectors = network.base_model(texts, attention_mask=torch.ones_like(texts))[0]
            padded, mask = (nn.functional.pad(tensor, (0, len(ids))) for tensor in (texts, torch.ones_like(texts)))
            vectors_beside_padding = network.base_model(padded, attention_mask=mask)[0][:, : len(ids)]
    except Exception as error:
        # What a model raises that needs more than a text has no common type.
        raise ValueError(
            f"{path}: expected an encoder that reads a text by itself, {found} that does not; "
            f"{type(error).__name__}: {error}; {TAKE_ANOTHER}"
        ) from error
    finally:
        network.train(was_training)
    shapes = [tuple(tensor.shape) for tensor in (vectors, vectors_beside_padding)]
    expected = (*texts.shape, network.config.hidden_size)
    if shapes != [expected] * 2:
        raise ValueError(
            f"{path}: expected an encoder with one vector for each token, of the shape {expected}, {found} with the "
            f"shapes {shapes}; {TAKE_ANOTHER}"
        )
    if torch.equal(vectors[0, 0], vectors[1, 0]):
        raise ValueError(
            f"{path}: expected an encoder, which reads both sides of a token, {found} whose tokens see nothing of what "
            f"follows them, as in a decoder; {TAKE_ANOTHER}"
        )
    if (vectors - vectors_beside_padding).abs().max() > _MOST_BY_PADDING * vectors.abs().max():
        raise ValueError(
            f"{path}: expected an encoder that passes over padding, {found} whose vectors padding changes, so that a "
            f"prediction would depend on the batch; {TAKE_ANOTHER}"
        )


def freeze_layers(network: SpanClassification, num_layers: int, *, train_segments: bool = False) -> None:
    """Exclude the embeddings, all else that feeds the layers, and the lowest `num_layers` of them from training.

    0 excludes nothing. With `train_segments`, the embeddings of segments are trained all the same.
    """
    encoder = network.base_model
    layers = layers_of(encoder)
    if num_layers and not len(layers):
        raise ValueError(
            f"frozen_layers: expected 0, since it is not known which modules of a {network.config.model_type} are its "
            f"layers, found {num_layers}"
        )
    if not 0 <= num_layers <= len(layers):
        raise ValueError(f"frozen_layers: expected 0 to {len(layers)}, the layers of the model, found {num_layers}")
    if num_layers:
        # What feeds the layers has other names in each family, and may be used by several; what stands above them not.
        encoder.requires_grad_(False)
        above = [getattr(encoder, name, None) for name in ("final_norm", "norm")]
        for module in [*layers[num_layers:], *above]:
            if module is not None:
                module.requires_grad_(True)
        if train_segments:
            segment_embeddings(encoder).requires_grad_(True)
    num_unchanged = 0 if train_segments else num_layers
    network.frozen_layers, network.layers_above = tuple(layers[:num_unchanged]), tuple(layers[num_unchanged:])


def start_at_base_rate(network: SpanClassification, labels: np.ndarray) -> None:
    """Let a new head predict each class's share of the labels, of shape (tokens, K), from the first step on.

    Without it, the first epoch is spent on learning that spans are rare (Lin et al. 2017, arXiv 1708.02002,
    section 3.3).
    """
    rate = labels.mean(axis=0).clip(1e-4, 1 - 1e-4)
    with torch.no_grad():
        network.classifier.bias.copy_(torch.from_numpy(np.log(rate / (1 - rate))))


def non_finite_weights(network: SpanClassification) -> str | None:
    """Return the name of the first tensor with a weight that is NaN or infinite."""
    weights = network.named_parameters()
    return next((name for name, tensor in weights if not torch.isfinite(tensor).all()), None)


@contextlib.contextmanager
def quiet_transformers():
    """Silence the load reports and progress bars of transformers; what they report is checked here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
