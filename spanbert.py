"""A thin wrapper around BERT for span classification: `QA` predicts, `QATrainer` trains.

>>> qa = QA()  # the embedded backbone
>>> QATrainer(qa, 384, {"O": 0, "ANS": 1}).train(dataset, "my_model", **EMBEDDED_RECIPE)
>>> pred_probs, tokens, labels = QA("my_model").predict(dataset[0])
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from alignment import DEFAULT_LABEL_MAP, check_answers, check_label_map
from atomic_files import check_writable, new_folder
from checkpoints import (
    EMBEDDED_BACKBONE,
    LABEL_MAP_FILE,
    SEEN_CONTEXTS_FILE,
    SETTINGS_FILE,
    check_same_labels,
    fingerprint,
    load_tokenizer,
    read_seen_contexts,
    read_settings,
    resolve_checkpoint,
    weight_files,
)
from predictions import SpanPrediction, join_windows
from resumable_training import (
    FiniteLoss,
    ResumableTrainer,
    TrainingStates,
    set_head_learning_rate,
    tensors_error_as_oserror,
)
from span_model import (
    BertForSpanClassification,
    check_finite_weights,
    freeze_layers,
    load_network,
    quiet_transformers,
    start_at_base_rate,
)
from squad import normalized_text
from windows import (
    TokenizedExample,
    TrainingItems,
    WindowCollator,
    build_windows,
    check_window_size,
    model_inputs,
    tokenize_examples,
)

__all__ = ["EMBEDDED_RECIPE", "QA", "BertForSpanClassification", "QATrainer", "SpanPrediction", "TrainingReport"]

DEFAULT_MAX_LENGTH = 384
_EXAMPLES_AT_ONCE = 1024
# Arguments of QATrainer.train that were measured to serve the embedded backbone and some hundred
# examples well; those of TrainingArguments alone are meant for larger models and more data.
EMBEDDED_RECIPE = {
    "num_train_epochs": 4,
    "learning_rate": 3e-4,
    "head_learning_rate": 1e-2,
    "warmup_steps": 0.1,
    "per_device_train_batch_size": 8,
    "frozen_layers": 2,
    "dropout": 0.0,
}


class QA:
    """A span classification model with its tokenizer, ready to predict.

    Parameters
    ----------
    model_path : str or Path
        `"embedded"`, the folder of a checkpoint or of something that `QATrainer` wrote, or a name on
        the Hugging Face Hub.
    label_map : dict, optional
        Name of each class to its column; that of the checkpoint, or `{"O": 0, "ANS": 1}`.
    max_length : int, optional
        Tokens of a window; what the model was trained with, or 384 (less if the model has fewer
        positions).
    doc_stride : int, optional
        Context tokens that neighbouring windows share; what the model was trained with, if
        `max_length` is the same, or a third of `max_length`.
    answers : {"first", "all"}, optional
        Which of several answers label tokens; what the model was trained with, or `"first"`.
    seed : int
        Initialises the head of a checkpoint that has none.
    revision : str, optional
        Branch, tag or commit on the Hub.

    Raises
    ------
    FileNotFoundError, ConnectionError, ValueError
        As `checkpoints.resolve_checkpoint`, and if `label_map` is not that of the checkpoint.
    """

    def __init__(
        self,
        model_path: str | Path = EMBEDDED_BACKBONE,
        *,
        label_map: dict[str, int] | None = None,
        max_length: int | None = None,
        doc_stride: int | None = None,
        answers: str | None = None,
        seed: int = 0,
        revision: str | None = None,
    ):
        self.model_path = str(model_path)
        self.checkpoint = resolve_checkpoint(model_path, revision)
        self.fingerprint = fingerprint(self.checkpoint.path)
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
        self.seed = seed
        check_window_size(self.max_length, self.doc_stride, self.checkpoint.max_positions)
        with quiet_transformers():
            self.tokenizer = load_tokenizer(self.checkpoint)
        self._model: BertForSpanClassification | None = None

    @property
    def model(self) -> BertForSpanClassification:
        """The network, on the machine's accelerator if it has one; loaded when first asked for."""
        if self._model is None:
            device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
            self._model = load_network(self.checkpoint, self.label_map, self.seed).to(device).eval()
        return self._model

    def predict(self, example: dict) -> SpanPrediction:
        """Predict one example; see `predict_batch`."""
        return self.predict_batch([example])[0]

    def predict_batch(self, examples: Iterable[dict], batch_size: int = 32, on_batch=None) -> list[SpanPrediction]:
        """Predict examples.

        Windows of similar length share a batch, which is padded to its longest only.

        Parameters
        ----------
        examples : iterable of dict
            In the SQuAD schema; without `answers`, nothing is labelled.
        batch_size : int
            Windows per batch.
        on_batch : callable, optional
            Called with the share of windows done, from 0 to 1, after each batch.

        Returns
        -------
        list of SpanPrediction
            In the order of `examples`; equal to one-at-a-time prediction within 1e-5.
        """
        return list(self.predictions(examples, batch_size, on_batch))

    def predictions(self, examples: Iterable[dict], batch_size: int = 32, on_batch=None) -> Iterator[SpanPrediction]:
        """Predict as `predict_batch`, and yield one prediction after the other, in order.

        Examples are worked on by the thousand, so that what a prediction takes besides its result is not held for all
        examples of a large data set at once.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, found {batch_size}")
        examples = list(examples)
        for chunk_start in range(0, len(examples), _EXAMPLES_AT_ONCE):
            chunk = examples[chunk_start : chunk_start + _EXAMPLES_AT_ONCE]
            before, share = chunk_start / len(examples), len(chunk) / len(examples)
            on_part = on_batch and (lambda done, before=before, share=share: on_batch(before + share * done))
            yield from self._predict_chunk(chunk, chunk_start, batch_size, on_part)

    def _predict_chunk(
        self, examples: list[dict], first_index: int, batch_size: int, on_batch: Callable[[float], None] | None
    ) -> list[SpanPrediction]:
        tokenized = tokenize_examples(
            self.tokenizer, examples, self.label_map,
            max_length=self.max_length, answers=self.answers, first_index=first_index,
        )  # fmt: skip
        windows = build_windows(tokenized, self.tokenizer, max_length=self.max_length, doc_stride=self.doc_stride)
        collate = WindowCollator(self.tokenizer.pad_token_id)
        window_probs: list[np.ndarray] = [np.empty(0)] * len(windows)
        longest_first = sorted(range(len(windows)), key=lambda index: -len(windows[index].input_ids))
        for batch_start in range(0, len(windows), batch_size):
            batch = longest_first[batch_start : batch_start + batch_size]
            probs = self._window_probs(collate([model_inputs(windows[index]) for index in batch]))
            for window_index, padded_probs in zip(batch, probs, strict=True):
                window_probs[window_index] = padded_probs[: len(windows[window_index].input_ids)]
            if on_batch is not None:
                on_batch(min(1.0, (batch_start + batch_size) / len(windows)))
        return join_windows(examples, tokenized, windows, window_probs, self.tokenizer, self.label_map)

    @torch.inference_mode()
    def _window_probs(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        inputs = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
        return torch.sigmoid(self.model(**inputs).logits.float()).cpu().numpy()


@dataclass(frozen=True)
class TrainingReport:
    """What a call of `QATrainer.train` did."""

    output_dir: Path
    num_windows: int
    num_questions_cut: int  # questions of more than half a window
    seconds: float
    loss_history: list[tuple[float, float]] = field(default_factory=list)  # (epoch, mean loss since the last entry)


class QATrainer:
    """Train span classification models, each from the checkpoint that `qa` was made from.

    Parameters
    ----------
    qa : QA
        Names the checkpoint, and gives `doc_stride` and `answers`; its own model is neither used nor
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
        check_window_size(max_seq_length, self.doc_stride, qa.checkpoint.max_positions)

    def settings(self) -> dict:
        """Return what a trained model depends on besides data, seed and the arguments of `train`."""
        return {
            "checkpoint": self.qa.fingerprint,
            "label_map": self.label_map,
            "max_length": self.max_seq_length,
            "doc_stride": self.doc_stride,
            "answers": self.qa.answers,
        }

    def num_bytes(self) -> int:
        """Return the size of the weights that training starts from; about that of the trained ones."""
        return sum(file.stat().st_size for file in weight_files(self.qa.checkpoint.path))

    def load(self, output_dir: str | Path) -> QA:
        """Load a model that `train` wrote."""
        return QA(output_dir)

    def tokenize(self, dataset: Iterable[dict]) -> list[TokenizedExample]:
        """Tokenize and label examples as `train` does; raises what it would raise."""
        return tokenize_examples(
            self.qa.tokenizer, list(dataset), self.label_map, max_length=self.max_seq_length, answers=self.qa.answers
        )

    def check(
        self,
        dataset: Iterable[dict],
        num_train_epochs: float = 3,
        *,
        head_learning_rate: float | None = None,
        frozen_layers: int = 0,
        dropout: float | None = None,
        **training_arguments,
    ) -> None:
        """Raise what can be known to be wrong with data and arguments of `train`, without training."""
        _check_numbers(num_train_epochs, head_learning_rate, dropout)
        self.tokenize(dataset)
        self.training_arguments("unused", num_train_epochs=num_train_epochs, **training_arguments)
        freeze_layers(load_network(self.qa.checkpoint, self.label_map, 0, dropout), frozen_layers)

    def training_arguments(self, output_dir: str | Path, **training_arguments) -> TrainingArguments:
        """Return the arguments of `Trainer`: the given ones over this project's defaults.

        Raises
        ------
        TypeError, ValueError
            If `TrainingArguments` knows no such field, or not such a value.
        """
        defaults = {
            "dataloader_pin_memory": torch.accelerator.is_available(),
            "train_sampling_strategy": "group_by_length",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "logging_steps": 0.05,
            # Trainer hides NaN losses from the log by default; here they must be seen.
            "logging_nan_inf_filter": False,
        }
        return TrainingArguments(output_dir=str(output_dir), **{**defaults, **training_arguments})

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
        callbacks: Sequence[TrainerCallback] = (),
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
            Gets the weights (safetensors), the tokenizer, `label_map.json` and the window settings, all
            at once when training has ended: `QA(output_dir)` loads it. A model that was there is
            replaced.
        num_train_epochs : float
        seed : int
            Of the head's weights, dropout and the order of the data.
        head_learning_rate : float, optional
            Highest learning rate of the head, if not that of the encoder. A new head that may take some
            hundred steps only needs a much higher one than the encoder bears.
        frozen_layers : int
            Keep the embeddings and this many of the lowest layers as they are; 0 trains everything.
        dropout : float, optional
            Instead of the checkpoint's own dropout probabilities.
        callbacks : sequence of transformers.TrainerCallback
        states : TrainingStates, optional
            Where the state of the training is saved on the way; a call that was interrupted goes on from there. It is
            for the caller to clear them when the model is safe; if training fails for good, they are cleared here.
        **training_arguments
            Any other field of `transformers.TrainingArguments`, such as `learning_rate` or
            `per_device_train_batch_size`.

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
            If an example cannot be labelled, or the start checkpoint changed since `qa` was made.
        """
        started = time.perf_counter()
        output_dir, dataset = Path(output_dir), list(dataset)
        _check_numbers(num_train_epochs, head_learning_rate, dropout)
        self._check_output_dir(output_dir)
        tokenized = self.tokenize(dataset)
        windows = build_windows(
            tokenized, self.qa.tokenizer, max_length=self.max_seq_length, doc_stride=self.doc_stride
        )
        if not windows:
            raise ValueError("expected at least one example to train on, found none")

        with new_folder(output_dir) as folder:
            arguments = self.training_arguments(
                folder, num_train_epochs=num_train_epochs, seed=seed, data_seed=seed, **training_arguments
            )
            network = self._new_network(tokenized, seed, frozen_layers, dropout)
            trainer = self._fit(
                network, TrainingItems(tokenized, windows), arguments, head_learning_rate, callbacks, states
            )
            self._save(trainer, folder, dataset)
        return TrainingReport(
            output_dir=output_dir,
            num_windows=len(windows),
            num_questions_cut=sum(example.num_question_tokens_cut > 0 for example in tokenized),
            seconds=time.perf_counter() - started,
            loss_history=[(log["epoch"], log["loss"]) for log in trainer.state.log_history if "loss" in log],
        )

    def _new_network(
        self, tokenized: Sequence[TokenizedExample], seed: int, frozen_layers: int, dropout: float | None
    ) -> BertForSpanClassification:
        network = load_network(self.qa.checkpoint, self.label_map, seed, dropout)
        if self.qa.checkpoint.label_map is None:
            start_at_base_rate(network, np.concatenate([example.labels for example in tokenized]))
        freeze_layers(network, frozen_layers)
        return network

    def _fit(
        self,
        network: BertForSpanClassification,
        items: TrainingItems,
        arguments: TrainingArguments,
        head_learning_rate: float | None,
        callbacks: Sequence[TrainerCallback],
        states: TrainingStates | None,
    ) -> ResumableTrainer:
        with quiet_transformers():
            trainer = ResumableTrainer(
                states=states,
                model=network,
                args=arguments,
                train_dataset=items,
                data_collator=WindowCollator(self.qa.tokenizer.pad_token_id),
                processing_class=self.qa.tokenizer,
                callbacks=[FiniteLoss(), *callbacks],
            )
            # It would print every log entry as a dict; the caller's callbacks show progress.
            trainer.remove_callback(PrinterCallback)
            if head_learning_rate is not None:
                set_head_learning_rate(trainer, head_learning_rate)
            try:
                trainer.fit()
                check_finite_weights(network)
            except FloatingPointError:
                # The same again would end the same.
                if states is not None:
                    states.clear()
                raise
        return trainer

    def seen_contexts(self) -> set[str]:
        """Return the hashes of the contexts that the start checkpoint was trained on, as far as it says."""
        return read_seen_contexts(self.qa.checkpoint)

    def _check_output_dir(self, output_dir: Path) -> None:
        if output_dir.resolve() == self.qa.checkpoint.path:
            raise FileExistsError(f"{output_dir}: this is the checkpoint that training starts from; choose another")
        if output_dir.exists() and any(output_dir.iterdir()) and not (output_dir / SETTINGS_FILE).is_file():
            raise FileExistsError(f"{output_dir}: holds files that QATrainer did not write; choose another output_dir")
        check_writable(output_dir.parent)
        if fingerprint(self.qa.checkpoint.path) != self.qa.fingerprint:
            raise ValueError(
                f"{self.qa.checkpoint.path}: the checkpoint changed since QA({self.qa.model_path!r}) was made; "
                "make the QA and the QATrainer again"
            )

    def _save(self, trainer: ResumableTrainer, folder: Path, dataset: Sequence[dict]) -> None:
        with quiet_transformers(), tensors_error_as_oserror(folder):
            trainer.model.save_pretrained(folder)
            self.qa.tokenizer.save_pretrained(folder)
        seen = sorted({context_hash(example["context"]) for example in dataset} | self.seen_contexts())
        settings = self.settings()
        for name, content in (
            (LABEL_MAP_FILE, self.label_map),
            (SEEN_CONTEXTS_FILE, seen),
            (SETTINGS_FILE, {name: settings[name] for name in ("max_length", "doc_stride", "answers")}),
        ):
            (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        # With save_strategy, Trainer leaves its own checkpoints, which hold pickles; the model is saved above.
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)


def _check_numbers(num_train_epochs: float, head_learning_rate: float | None, dropout: float | None) -> None:
    if not num_train_epochs > 0:
        raise ValueError(f"num_train_epochs: expected a number above 0, found {num_train_epochs!r}")
    if head_learning_rate is not None and not head_learning_rate > 0:
        raise ValueError(f"head_learning_rate: expected a number above 0 or None, found {head_learning_rate!r}")
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a number from 0 to below 1 or None, found {dropout!r}")


def context_hash(context: str) -> str:
    """Return a hash that names a context, in whatever spelling, without holding its text."""
    return hashlib.sha256(normalized_text(context).encode("utf-8", "surrogatepass")).hexdigest()[:32]
