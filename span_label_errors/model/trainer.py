"""`QATrainer`: span classification models, each trained afresh from the checkpoint of a `QA`."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import TrainingArguments

from span_label_errors.data.examples import has_questions
from span_label_errors.data.shared_contexts import with_shared_contexts
from span_label_errors.files import check_writable, new_folder
from span_label_errors.model.checkpoints import (
    ANSWERED_QUESTIONS,
    CASE_AS_SEGMENT,
    FROZEN_LAYERS,
    LABEL_MAP_FILE,
    SETTINGS_FILE,
    check_same_labels,
    fingerprint,
    read_seen_contexts,
)
from span_label_errors.model.encoders import has_dropout
from span_label_errors.model.frozen_outputs import FrozenLayers, KeptOutputs
from span_label_errors.model.kernels import choose_attention, choose_packing, choose_products
from span_label_errors.model.network import (
    SpanClassification,
    freeze_layers,
    load_network,
    quiet_transformers,
    start_at_base_rate,
)
from span_label_errors.model.qa import QA
from span_label_errors.model.seen_contexts import SEEN_CONTEXTS_FILE, context_hash
from span_label_errors.model.tokenizer import is_uncased
from span_label_errors.model.tokenizer_coverage import read_shares, warn_if_unreadable
from span_label_errors.model.training_loop import OnStep, check_training_arguments, train_network
from span_label_errors.model.training_states import TrainingStates, tensors_error_as_oserror
from span_label_errors.model.windows import (
    TokenizedExample,
    Window,
    build_windows,
    check_window_size,
    pack_windows,
    pad_windows,
    tokenize_examples,
    training_item,
)
from span_label_errors.spans.alignment import TokenizedText, check_label_map

# Tokens of windows whose frozen layers are computed window by window. Of 20 tokens, that takes almost twice as long.
SHORTEST_ON_AVERAGE = 64


@dataclass(frozen=True)
class TrainingReport:
    """What a call of `QATrainer.train` did."""

    output_dir: Path
    num_windows: int
    num_questions_cut: int  # questions of more than half a window
    seconds: float
    loss_history: list[tuple[float, float]]  # (epoch, mean loss since the last entry)


class QATrainer:
    """Train span classification models, each from the checkpoint that `qa` was made from.

    Parameters
    ----------
    qa : QA
        Names the checkpoint, and gives `doc_stride`, `answers` and `precision`. Its own model is neither used nor
        changed.
    max_seq_length : int
        Tokens of a window. If it is not that of `qa`, windows share at most a third of it.
    label_map : dict
        Name of each class to its column, such as `{"O": 0, "ANS": 1}`.
    """

    def __init__(self, qa: QA, max_seq_length: int, label_map: dict[str, int]):
        self.qa = qa
        self.max_seq_length = max_seq_length
        self.label_map = check_label_map(label_map)
        check_same_labels(qa.checkpoint, self.label_map)
        same_length = max_seq_length == qa.max_length
        self.doc_stride = qa.doc_stride if same_length else min(qa.doc_stride, max_seq_length // 3)
        self.kept_outputs: KeptOutputs | None = None  # within `sharing`
        self.kept_tokens: dict[str, TokenizedText] | None = None
        self.has_warned = False  # that the tokenizer cannot read the data; once is enough
        num_special_tokens = qa.template.num_special_tokens
        check_window_size(max_seq_length, self.doc_stride, qa.checkpoint.max_positions, num_special_tokens)

    def start(self) -> QA:
        """Return the model that training starts from, to predict as it is, with the windows of this trainer.

        Raises
        ------
        ValueError
            If the checkpoint has no head for the classes, or changed since `qa` was made.
        """
        qa = self.qa
        if not qa.has_head:
            raise ValueError(
                f"{qa.model_path}: expected a trained checkpoint, found one without a head for the classes "
                f"{', '.join(self.label_map)}; train folds with num_splits=3, or name a checkpoint that was trained "
                'for them (model_checkpoint="embedded" has O and ANS)'
            )
        self._check_unchanged()
        started = QA(
            qa.model_path, label_map=self.label_map, max_length=self.max_seq_length, doc_stride=self.doc_stride,
            answers=qa.answers, revision=qa.revision, precision=qa.precision,
        )  # fmt: skip
        started.kept_tokens = self.kept_tokens
        return started

    def load(self, output_dir: str | Path) -> QA:
        """Load a model that `train` wrote, to predict with the precision that it was trained with."""
        qa = QA(output_dir, precision=self.qa.precision)
        qa.reads_frozen_outputs, qa.kept_outputs = True, self.kept_outputs
        if qa.tokenizer.backend_tokenizer.to_str() == self.qa.tokenizer.backend_tokenizer.to_str():
            qa.kept_tokens = self.kept_tokens
        return qa

    def train(
        self,
        dataset: Sequence[dict],
        output_dir: str | Path,
        num_train_epochs: float = 3,
        *,
        seed: int = 0,
        head_learning_rate: float | None = None,
        frozen_layers: int = 0,
        dropout: float | None = None,
        on_step: OnStep | None = None,
        states: TrainingStates | None = None,
        **training_arguments,
    ) -> TrainingReport:
        """Train a model from the start checkpoint and save it.

        The same call gives the same weights, bit for bit, on the same CPU and number of threads, however often it was
        interrupted.

        Parameters
        ----------
        dataset : datasets.Dataset or sequence of dict
            In the SQuAD schema.
        output_dir : str or Path
            Gets the weights (safetensors), the tokenizer and the settings, all at once when training has ended:
            `QA(output_dir)` loads it. A model that was there is replaced.
        num_train_epochs : float
        seed : int
            Of the head's weights, dropout and the order of the data.
        head_learning_rate : float, optional
            Highest learning rate of a new head, if not that of the encoder: one that takes only some hundred steps
            needs a much higher one. A head that the checkpoint has takes the encoder's.
        frozen_layers : int
            Keep the embeddings and this many of the lowest layers as they are; 0 trains everything. Segments that show
            the case of words are trained in any case.
        dropout : float, optional
            Instead of the checkpoint's own dropout probabilities.
        on_step : callable, optional
            Called after each step with its number, the number of all steps, and the loss that was last logged or None.
        states : TrainingStates, optional
            Where the state of the training is saved on the way; a call that was interrupted goes on from there. Clear
            them when the model is safe. They are cleared here if the loss or a weight is not finite.
        **training_arguments
            Any other field of `transformers.TrainingArguments` that `training_loop.HONOURED_ARGUMENTS` lists, such as
            `learning_rate`. `per_device_train_batch_size` counts the windows of a batch over all processes
            (`accelerate launch`), so that their number changes no step.

        Returns
        -------
        TrainingReport

        Raises
        ------
        FloatingPointError
            If the loss or a weight is not a finite number.
        FileExistsError
            If `output_dir` holds something that `train` did not write, or the start checkpoint.
        ValueError
            If an argument is wrong, an example cannot be labelled, the processes cannot share a batch, or the start
            checkpoint changed since `qa` was made.
        """
        started = time.perf_counter()
        output_dir, dataset = Path(output_dir), list(with_shared_contexts(dataset))
        self._check_output_dir(output_dir)
        tokenized, arguments, network = prepare_training(
            self, dataset, output_dir, num_train_epochs, seed=seed, head_learning_rate=head_learning_rate,
            frozen_layers=frozen_layers, dropout=dropout, **training_arguments,
        )  # fmt: skip
        windows = build_windows(tokenized, self.qa.template, max_length=self.max_seq_length, doc_stride=self.doc_stride)
        # A window of which no token counts, such as one of spaces only, has no mean loss.
        windows = [window for window in windows if window.owned.any()]

        is_first, nothing = arguments.process_index == 0, contextlib.nullcontext()
        with (
            new_folder(output_dir) if is_first else nothing as folder,
            # Within one epoch, no window is read twice.
            self.sharing(output_dir.parent) if num_train_epochs > 1 and not self.kept_outputs else nothing,
        ):
            frozen = self._frozen_layers(network, arguments, windows)
            packs = arguments.world_size == 1 and choose_packing(network.config, self.qa.device, self.qa.precision)

            def collate(batch: Sequence[Window]) -> dict[str, torch.Tensor]:
                items = [training_item(window, tokenized[window.example_index].labels) for window in batch]
                if packs:
                    return pack_windows(items)
                padded = pad_windows(items, self.qa.template.padding_id, self.qa.padding_multiple)
                return padded if frozen is None else {**padded, "frozen_outputs": frozen.of_batch(items)}

            try:
                loss_history = train_network(
                    network, windows, collate, arguments,
                    head_learning_rate=None if self.qa.has_head else head_learning_rate, on_step=on_step, states=states,
                )  # fmt: skip
            except FloatingPointError:
                # Resumed from its last state, the training would fail again.
                if states is not None and is_first:
                    states.clear()
                raise
            if is_first:
                self._save(network, folder, dataset, 0 if frozen is None else frozen_layers)
        return TrainingReport(
            output_dir=output_dir,
            num_windows=len(windows),
            num_questions_cut=sum(example.num_question_tokens_cut > 0 for example in tokenized),
            seconds=time.perf_counter() - started,
            loss_history=loss_history,
        )

    def _check_output_dir(self, output_dir: Path) -> None:
        if output_dir.resolve() in (self.qa.checkpoint.path, self.qa.checkpoint.reader):
            raise FileExistsError(f"{output_dir}: this is the checkpoint that training starts from; choose another")
        if output_dir.exists() and any(output_dir.iterdir()) and not (output_dir / SETTINGS_FILE).is_file():
            raise FileExistsError(f"{output_dir}: holds files that QATrainer did not write; choose another output_dir")
        check_writable(output_dir.parent)
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        if fingerprint(self.qa.checkpoint) != self.qa.fingerprint:
            raise ValueError(
                f"{self.qa.checkpoint.path}: the checkpoint changed since QA({self.qa.model_path!r}) was made; "
                "make the QA and the QATrainer again"
            )

    @contextlib.contextmanager
    def sharing(self, folder: Path) -> Iterator[None]:
        """Let all trainings inside, and the models that `load` returns, share what is the same for all of them.

        That is the tokens of texts, in memory, and what frozen layers say of windows, on the disk of `folder`.
        """
        before = self.kept_outputs, self.kept_tokens
        with contextlib.closing(KeptOutputs(folder)) as kept:
            self.kept_outputs, self.kept_tokens = kept, {}
            try:
                yield
            finally:
                self.kept_outputs, self.kept_tokens = before

    def _frozen_layers(
        self, network: SpanClassification, arguments: TrainingArguments, windows: Sequence[Window]
    ) -> FrozenLayers | None:
        """Return the layers whose outputs are the same in each epoch; None if there are none, or it does not pay."""
        # Accelerators compute them faster than they could be copied there, and short windows are faster in batches.
        is_on_processor = self.qa.device.type == "cpu"
        is_long_enough = sum(map(len, windows)) >= SHORTEST_ON_AVERAGE * len(windows)
        if not is_on_processor or not is_long_enough or has_dropout(network.config):
            return None
        # In bfloat16, each window by itself would have the weights converted once more.
        if arguments.torch_compile or arguments.fp16 or arguments.bf16:
            return None
        return FrozenLayers.of(network, self.qa.precision, self.kept_outputs)

    def _save(self, network: SpanClassification, folder: Path, dataset: Sequence[dict], frozen_layers: int) -> None:
        with quiet_transformers(), tensors_error_as_oserror(folder):
            network.save_pretrained(folder)
            self.qa.tokenizer.save_pretrained(folder)
        contexts = {context_hash(context) for context in {example["context"] for example in dataset}}
        settings = {"max_length": self.max_seq_length, "doc_stride": self.doc_stride, "answers": self.qa.answers}
        if self.qa.checkpoint.answers_questions:
            settings[ANSWERED_QUESTIONS] = True
        if case_as_segment(self.qa, dataset):
            settings[CASE_AS_SEGMENT] = True
        if frozen_layers:
            settings[FROZEN_LAYERS] = frozen_layers
        for name, content in (
            (LABEL_MAP_FILE, self.label_map),
            (SEEN_CONTEXTS_FILE, sorted(contexts | read_seen_contexts(self.qa.checkpoint))),
            (SETTINGS_FILE, settings),
        ):
            (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def prepare_training(
    trainer: QATrainer,
    dataset: Sequence[dict],
    output_dir: str | Path,
    num_train_epochs: float = 3,
    *,
    seed: int = 0,
    head_learning_rate: float | None = None,
    frozen_layers: int = 0,
    dropout: float | None = None,
    **training_arguments,
) -> tuple[list[TokenizedExample], TrainingArguments, SpanClassification]:
    """Check the arguments of `QATrainer.train`, and return its examples, `TrainingArguments` and new network."""
    if not num_train_epochs > 0:
        raise ValueError(f"num_train_epochs: expected a number above 0, found {num_train_epochs!r}")
    if head_learning_rate is not None and not head_learning_rate > 0:
        raise ValueError(f"head_learning_rate: expected a number above 0 or None, found {head_learning_rate!r}")
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a number from 0 to below 1 or None, found {dropout!r}")
    if not dataset:
        raise ValueError("expected at least one example to train on, found none")
    check_training_arguments(training_arguments)
    qa = trainer.qa
    defaults = {
        "bf16": qa.precision == "bfloat16" and not training_arguments.get("fp16"),
        "train_sampling_strategy": "group_by_length",
        "logging_steps": 0.05,
    }
    arguments = TrainingArguments(
        output_dir=str(output_dir), num_train_epochs=num_train_epochs, seed=seed, data_seed=seed,
        use_cpu=qa.device.type == "cpu", **{**defaults, **training_arguments},
    )  # fmt: skip
    if arguments.per_device_train_batch_size % arguments.world_size:
        raise ValueError(
            f"per_device_train_batch_size: expected a multiple of {arguments.world_size}, the processes that share "
            f"the training, found {arguments.per_device_train_batch_size}"
        )
    reads_case = case_as_segment(qa, dataset)
    tokenized = tokenize_examples(
        qa.tokenizer, dataset, trainer.label_map,
        max_length=trainer.max_seq_length, answers=qa.answers, case_as_segment=reads_case,
        kept=trainer.kept_tokens,
    )  # fmt: skip
    if not trainer.has_warned:
        shares = read_shares(dataset, tokenized, qa.tokenizer.unk_token_id, trainer.label_map, qa.answers)
        trainer.has_warned = warn_if_unreadable(shares, qa.model_path)
    network = load_network(qa.checkpoint, trainer.label_map, seed, dropout, case_as_segment=reads_case)
    precision = "bfloat16" if arguments.bf16 else "float32"
    choose_attention(network.config, qa.device, precision)
    if not arguments.torch_compile:
        choose_products(network, qa.device, precision)
    if not qa.has_head:
        start_at_base_rate(network, np.concatenate([example.labels[example.context.has_text] for example in tokenized]))
    # An untrained second segment is so like the first that the layers would need far more examples to tell them apart.
    freeze_layers(network, frozen_layers, train_segments=reads_case)
    if arguments.activation_checkpointing and not network.supports_gradient_checkpointing:
        raise ValueError(
            f"activation_checkpointing: transformers cannot do it for {qa.checkpoint.model_type}; leave it out, and to "
            "save memory give a smaller per_device_train_batch_size with as many more gradient_accumulation_steps"
        )
    return tokenized, arguments, network


def case_as_segment(qa: QA, dataset: Sequence[dict]) -> bool:
    """Return whether models trained on a data set read a word's capital letter off the second segment.

    They do where the tokenizer makes it a small one, and no question has a use for the segment.
    """
    return not has_questions(dataset) and qa.checkpoint.has_second_segment and is_uncased(qa.tokenizer)
