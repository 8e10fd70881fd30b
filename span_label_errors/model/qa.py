"""`QA`: a span classification model with its tokenizer, ready to predict."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from span_label_errors.data.parts import in_parts
from span_label_errors.data.shared_contexts import with_shared_contexts
from span_label_errors.model.checkpoints import (
    CASE_AS_SEGMENT,
    FROZEN_LAYERS,
    check_same_labels,
    fingerprint,
    has_head,
    read_settings,
    resolve_checkpoint,
)
from span_label_errors.model.embedded import EMBEDDED_READER
from span_label_errors.model.frozen_outputs import FrozenLayers, KeptOutputs
from span_label_errors.model.kernels import choose_attention, choose_products, padding_multiple
from span_label_errors.model.network import SpanClassification, freeze_layers, load_network, quiet_transformers
from span_label_errors.model.predictions import SpanPrediction, join_windows
from span_label_errors.model.tokenizer import Template, load_tokenizer
from span_label_errors.model.windows import (
    TokenizedExample,
    Window,
    build_windows,
    check_window_size,
    model_inputs,
    pad_windows,
    tokenize_examples,
)
from span_label_errors.spans.alignment import DEFAULT_LABEL_MAP, TokenizedText, check_answers, check_label_map

DEFAULT_MAX_LENGTH = 384
PRECISIONS = ("auto", "float32", "bfloat16")
_EXAMPLES_AT_ONCE = 1024
# Padded tokens of a batch. More would not fit a processor's caches; fewer would leave an accelerator idle.
_TOKENS_OF_BATCH, TOKENS_OF_BATCH_ON_ACCELERATOR = 2048, 65_536
# Of padded tokens in a batch, each with each of its window: attention may hold a number for each, layer after layer.
# Windows of up to 384 tokens stay below.
_PAIRS_OF_BATCH_ON_ACCELERATOR = 384 * TOKENS_OF_BATCH_ON_ACCELERATOR
OnBatch = Callable[[float], None]  # gets the share of windows done


class QA:
    """A span classification model with its tokenizer, ready to predict.

    Parameters
    ----------
    model_path : str or Path
        `"embedded"` (a model that has learned to read English), `"embedded-backbone"` (the encoder below it), the
        folder of a checkpoint, of a reader or of something that `QATrainer` wrote, or a name on the Hugging Face Hub.
    label_map : dict, optional
        Name of each class to its column; that of the checkpoint, or `{"O": 0, "ANS": 1}`. For other classes than a
        reader's own, its encoder gets a new head.
    max_length : int, optional
        Tokens of a window; what the model was trained with, or 384 (less if the model has fewer
        positions).
    doc_stride : int, optional
        Context tokens that neighbouring windows share; what the model was trained with, if
        `max_length` is the same, or a third of `max_length`.
    answers : {"first", "all", "each"}, optional
        Which of several answers label tokens; what the model was trained with, or `"first"`.
    seed : int
        Initialises a head that the checkpoint does not have.
    revision : str, optional
        Branch, tag or commit on the Hub.
    precision : {"auto", "float32", "bfloat16"}
        Of matrix products; weights are float32, and so is attention on a processor. `"auto"` is bfloat16 on a GPU
        that has it, else float32.

    Raises
    ------
    FileNotFoundError, ConnectionError, ValueError
        As `checkpoints.resolve_checkpoint`, and if `label_map` is not that of the checkpoint.
    """

    def __init__(
        self,
        model_path: str | Path = EMBEDDED_READER,
        *,
        label_map: dict[str, int] | None = None,
        max_length: int | None = None,
        doc_stride: int | None = None,
        answers: str | None = None,
        seed: int = 0,
        revision: str | None = None,
        precision: str = "auto",
    ):
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(map(repr, PRECISIONS))}, found {precision!r}")
        self.model_path, self.revision = str(model_path), revision
        self.checkpoint = resolve_checkpoint(model_path, revision)
        self.fingerprint = fingerprint(self.checkpoint)
        if label_map is None:
            label_map = self.checkpoint.label_map or DEFAULT_LABEL_MAP
        self.label_map = check_label_map(label_map)
        check_same_labels(self.checkpoint, self.label_map)
        saved = read_settings(self.checkpoint)
        default_length = min(DEFAULT_MAX_LENGTH, self.checkpoint.max_positions)
        self.max_length = saved.get("max_length", default_length) if max_length is None else max_length
        if doc_stride is None:
            same_length = saved.get("max_length") == self.max_length
            doc_stride = saved["doc_stride"] if same_length else self.max_length // 3
        self.doc_stride = doc_stride
        self.answers = check_answers(saved.get("answers", "first") if answers is None else answers)
        self.case_as_segment = saved.get(CASE_AS_SEGMENT, False)
        self.num_frozen_layers = saved.get(FROZEN_LAYERS, 0)
        self.seed = seed
        self.device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        if precision == "auto":
            has_bfloat16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bfloat16" if has_bfloat16 else "float32"
        self.precision = precision
        self.padding_multiple = padding_multiple(self.device, self.checkpoint.max_positions)
        with quiet_transformers():
            self.tokenizer = load_tokenizer(self.checkpoint)
        self.template = Template.of(self.tokenizer)
        num_special_tokens = self.template.num_special_tokens
        check_window_size(self.max_length, self.doc_stride, self.checkpoint.max_positions, num_special_tokens)
        self._model: SpanClassification | None = None
        self._frozen: FrozenLayers | None = None
        # Set by a `QATrainer` on the models that it loads, before they predict.
        self.reads_frozen_outputs = False  # window by window, as in training
        self.kept_outputs: KeptOutputs | None = None
        self.kept_tokens: dict[str, TokenizedText] | None = None

    @property
    def has_head(self) -> bool:
        """Whether the checkpoint was trained for the classes of `label_map`, so that it can predict them as it is."""
        return has_head(self.checkpoint, self.label_map)

    @property
    def model(self) -> SpanClassification:
        """The network, on the machine's accelerator if it has one; loaded on first use."""
        if self._model is None:
            network = load_network(
                self.checkpoint, self.label_map, self.seed, case_as_segment=self.case_as_segment
            )  # fmt: skip
            choose_attention(network.config, self.device, self.precision)
            choose_products(network, self.device, self.precision)
            self._model = network.to(self.device).eval()
            if self.reads_frozen_outputs and self.device.type == "cpu":
                freeze_layers(network, self.num_frozen_layers)
                self._frozen = FrozenLayers.of(self._model, self.precision, self.kept_outputs)
        return self._model

    def predict(self, example: dict) -> SpanPrediction:
        """Predict one example; see `predict_batch`."""
        return self.predict_batch([example])[0]

    def predict_batch(
        self, examples: Iterable[dict], batch_size: int | None = None, on_batch: OnBatch | None = None
    ) -> list[SpanPrediction]:
        """Predict examples.

        Windows of similar length share a batch, which is padded to its longest only.

        Parameters
        ----------
        examples : iterable of dict
            In the SQuAD schema; without `answers`, nothing is labelled.
        batch_size : int, optional
            Windows per batch; by default as many as the device works on best, which depends on their length.
        on_batch : callable, optional
            Called with the share of windows done, from 0 to 1, after each batch.

        Returns
        -------
        list of SpanPrediction
            In the order of `examples`; in float32 equal to one-at-a-time prediction within 1e-5.
        """
        return list(self.predictions(examples, batch_size, on_batch))

    def predictions(
        self, examples: Iterable[dict], batch_size: int | None = None, on_batch: OnBatch | None = None
    ) -> Iterator[SpanPrediction]:
        """Yield what `predict_batch` returns, one prediction after the other.

        Windows and their probabilities are held for a thousand examples at once, and of long contexts for fewer,
        however large the data set is.
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, or None, found {batch_size}")
        examples, num_predicted = list(with_shared_contexts(examples)), 0
        # While a GPU computes one part, the processor finishes the one before.
        parts_begun, most_begun = deque(), int(self.device.type == "cuda")
        for part in in_parts(self._tokenized(examples), lambda pair: len(pair[1].labels), _EXAMPLES_AT_ONCE):
            examples_of_part, tokenized = zip(*part, strict=True)
            windows = build_windows(tokenized, self.template, max_length=self.max_length, doc_stride=self.doc_stride)
            probs: list[tuple[list[int], torch.Tensor]] = []
            num_done = 0
            lengths = [len(window) for window in windows]
            for batch in batches(lengths, batch_size, on_accelerator=self.device.type != "cpu"):
                probs.append((batch, self._window_probs([windows[window_index] for window_index in batch])))
                num_done += len(batch)
                if on_batch is not None:
                    on_batch((num_predicted + len(part) * (num_done / len(windows))) / len(examples))
            num_predicted += len(part)
            are_there = torch.Event(self.device) if most_begun else None
            if are_there is not None:
                are_there.record()
            parts_begun.append(_BegunPart(examples_of_part, tokenized, windows, probs, are_there))
            if len(parts_begun) > most_begun:
                yield from parts_begun.popleft().predictions(self.label_map)
        for part in parts_begun:
            yield from part.predictions(self.label_map)

    def _tokenized(self, examples: Sequence[dict]) -> Iterator[tuple[dict, TokenizedExample]]:
        """Yield each example with its tokens, a thousand of which are held at once."""
        for first_index in range(0, len(examples), _EXAMPLES_AT_ONCE):
            chunk = examples[first_index : first_index + _EXAMPLES_AT_ONCE]
            tokenized = tokenize_examples(
                self.tokenizer, chunk, self.label_map,
                max_length=self.max_length, answers=self.answers, first_index=first_index,
                case_as_segment=self.case_as_segment, kept=self.kept_tokens,
            )  # fmt: skip
            yield from zip(chunk, tokenized, strict=True)

    @torch.inference_mode()
    def _window_probs(self, windows: Sequence[Window]) -> torch.Tensor:
        """Return the probabilities of a batch of windows, of shape (B, L, K); a GPU may still be computing them."""
        model, items = self.model, [model_inputs(window) for window in windows]
        batch = pad_windows(items, self.template.padding_id, self.padding_multiple)
        if self._frozen is not None:
            batch["frozen_outputs"] = self._frozen.of_batch(items)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            # Of memory that stays in its place, the GPU makes its copy by itself.
            batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
        inputs = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits = model(**inputs).logits
        return torch.sigmoid(logits.float()).to("cpu", non_blocking=on_gpu)


@dataclass(frozen=True)
class _BegunPart:
    """Some of the examples that are predicted, and the probabilities of their windows by batch."""

    examples: Sequence[dict]
    tokenized: Sequence[TokenizedExample]
    windows: Sequence[Window]
    probs: list[tuple[list[int], torch.Tensor]]  # the windows of a batch by index, and what has the shape (B, L, K)
    are_there: torch.Event | None  # on a GPU, comes when the probabilities are here

    def predictions(self, label_map: dict[str, int]) -> Iterator[SpanPrediction]:
        if self.are_there is not None:
            self.are_there.synchronize()
        window_probs: list[np.ndarray] = [np.empty(0)] * len(self.windows)
        for batch, probs in self.probs:
            for window_index, padded_probs in zip(batch, probs.numpy(), strict=True):
                window_probs[window_index] = padded_probs[: len(self.windows[window_index])]
        return join_windows(self.examples, self.tokenized, self.windows, window_probs, label_map)


def batches(lengths: Sequence[int], batch_size: int | None = None, *, on_accelerator: bool) -> Iterator[list[int]]:
    """Yield the indices of the windows of each batch, the longest windows first.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each window.
    batch_size : int, optional
        Windows of a batch; by default as many as the device works on best.
    on_accelerator : bool
        Whether the device is one, with caches and memory of its own.
    """
    longest_first = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while longest_first:
        longest = lengths[longest_first[0]]
        most_tokens = _TOKENS_OF_BATCH
        if on_accelerator:
            most_tokens = min(TOKENS_OF_BATCH_ON_ACCELERATOR, _PAIRS_OF_BATCH_ON_ACCELERATOR // longest)
        size = batch_size or max(1, most_tokens // longest)
        yield longest_first[:size]
        del longest_first[:size]
