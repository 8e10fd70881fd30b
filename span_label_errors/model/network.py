"""The network: BERT with one independent yes/no output per token and class."""

import contextlib

import numpy as np
import torch
import transformers
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput

from span_label_errors.model.checkpoints import DELTA_FILE, HEAD_TENSORS, Checkpoint, has_head
from span_label_errors.model.deltas import add_delta
from span_label_errors.model.windows import IGNORED_LABEL


class BertForSpanClassification(BertPreTrainedModel):
    """BERT with a linear token head, trained with a binary cross-entropy per class.

    A token may belong to several classes, so each class has its own sigmoid. Shapes as in `windows`.

    Parameters
    ----------
    config : transformers.BertConfig
        `num_labels` is K, with the class `O`. With `one_segment`, question and context are both read as the first
        segment: an encoder that was pretrained on single texts has an untrained embedding of the second.
    """

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.one_segment = getattr(config, "one_segment", False)
        self.bert = BertModel(config, add_pooling_layer=False)
        dropout = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_counted: torch.Tensor | int | None = None,
    ) -> TokenClassifierOutput:
        """Score every token for every class.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids : Tensor of shape (B, L)
        labels : Tensor of shape (B, L, K), float, optional
            0 or 1; `IGNORED_LABEL` where a token does not count.
        num_counted : int or Tensor, optional
            Labels that count in the whole optimizer step; those of this batch by default.

        Returns
        -------
        TokenClassifierOutput
            `logits` of shape (B, L, K); with labels also `loss`, the mean over the labels that count.
        """
        segments = None if self.one_segment else token_type_ids
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=segments)[0]
        logits = self.classifier(self.dropout(hidden))
        loss = None
        if labels is not None:
            counts = labels != IGNORED_LABEL
            losses = binary_cross_entropy_with_logits(logits.float(), labels.clamp(min=0), reduction="none")
            loss = (losses * counts).sum() / (counts.sum() if num_counted is None else num_counted)
        return TokenClassifierOutput(loss=loss, logits=logits)


def load_network(
    checkpoint: Checkpoint, label_map: dict[str, int], seed: int, dropout: float | None = None
) -> BertForSpanClassification:
    """Load the network of a checkpoint in float32.

    A head that the checkpoint does not have is drawn from `seed`, and the global random state is left as it was.
    `dropout` takes the place of the checkpoint's own probabilities.

    Raises
    ------
    ValueError
        If weights of the encoder are missing (they would silently be random), not finite, or do not fit config.json.
    """
    class_names = {column: name for name, column in label_map.items()}
    options = {"num_labels": len(label_map), "label2id": label_map, "id2label": class_names, "use_cache": False}
    if dropout is not None:
        names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        options |= dict.fromkeys(names, dropout)
    config = BertConfig.from_pretrained(  # nosec B615 # a folder that is here has no revision
        checkpoint.path, local_files_only=True, **options
    )
    if not checkpoint.has_head_in_weights:
        # Set afterwards: from_pretrained drops names that a configuration does not know.
        config.one_segment = checkpoint.one_segment
    try:
        with quiet_transformers(), torch.random.fork_rng():
            torch.manual_seed(seed)
            network, report = BertForSpanClassification.from_pretrained(
                checkpoint.path, config=config, dtype=torch.float32, use_safetensors=True, local_files_only=True,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{checkpoint.path}: expected config.json to describe the encoder; {type(error).__name__}: {error}"
        ) from error
    other_sizes = sorted(name for name, *_ in report["mismatched_keys"])
    if other_sizes:
        raise ValueError(
            f"{checkpoint.path}: expected weights of the sizes in config.json, found others for {other_sizes}; "
            "take both from the same checkpoint"
        )
    missing = set(report["missing_keys"]) - (set() if checkpoint.has_head_in_weights else HEAD_TENSORS)
    if missing:
        raise ValueError(f"{checkpoint.path}: expected all weights of a BERT encoder, found none for {sorted(missing)}")
    if checkpoint.reader is not None:
        leave_out = () if has_head(checkpoint, label_map) else HEAD_TENSORS
        add_delta(network, checkpoint.reader / DELTA_FILE, leave_out)
    not_finite = non_finite_weights(network)
    if not_finite:
        raise ValueError(
            f"{checkpoint.training_folder}: expected finite weights, found NaN or infinity in {not_finite}; "
            "take another checkpoint"
        )
    return network


def freeze_layers(network: BertForSpanClassification, num_layers: int) -> None:
    """Exclude the embeddings and the lowest `num_layers` layers from training; 0 excludes nothing."""
    layers = network.bert.encoder.layer
    if not 0 <= num_layers <= len(layers):
        raise ValueError(f"frozen_layers: expected 0 to {len(layers)}, the layers of the model, found {num_layers}")
    if num_layers:
        for module in (network.bert.embeddings, *layers[:num_layers]):
            module.requires_grad_(False)


def start_at_base_rate(network: BertForSpanClassification, labels: np.ndarray) -> None:
    """Let a new head predict each class's share of the labels, of shape (tokens, K), from the first step on.

    Without it, the first epoch is spent on learning that spans are rare (Lin et al. 2017, arXiv 1708.02002,
    section 3.3).
    """
    rate = labels.mean(axis=0).clip(1e-4, 1 - 1e-4)
    with torch.no_grad():
        network.classifier.bias.copy_(torch.from_numpy(np.log(rate / (1 - rate))))


def non_finite_weights(network: BertForSpanClassification) -> str | None:
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
