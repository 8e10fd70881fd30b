"""The recipe that this project took the place of, written anew from its description, to compare with.

Every example is padded to 384 tokens, question, special and padding tokens count in the loss, the target of `O` is 0
everywhere, nothing is frozen, and prediction takes one example at a time.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertForTokenClassification, PrinterCallback, Trainer, TrainingArguments, set_seed

from span_label_errors.cross_validation.splits import Split, fold_seed
from span_label_errors.model.network import quiet_transformers

MAX_LENGTH = 384
MOST_POSITIONS = 512
NUM_CLASSES, ANSWER = 2, 1
LEARNING_RATE = 5e-5  # Trainer's default


class Encoded(NamedTuple):
    """`[CLS] question [SEP] context [SEP]` and the padding behind it, L tokens together."""

    inputs: dict[str, np.ndarray]  # each (L,): input_ids, token_type_ids, attention_mask
    targets: np.ndarray  # (L, 2) float32
    is_context: np.ndarray  # (L,) bool
    offsets: np.ndarray  # (L, 2), characters


class Prediction(NamedTuple):
    """What the model says of the C context tokens of an example."""

    pred_probs: np.ndarray  # (C,) float32, P(answer)
    labels: np.ndarray  # (C,) int64
    tokens: list[str]


def encode(tokenizer, example: dict, *, padded: bool, truncated: bool) -> Encoded:
    """Tokenize an example, and mark the tokens that share a character with its first answer."""
    encoded = tokenizer(
        example["question"],
        example["context"],
        padding="max_length" if padded else False,
        truncation=truncated,
        max_length=MAX_LENGTH,
        return_offsets_mapping=True,
        return_token_type_ids=True,
        verbose=False,
    )
    offsets = np.array(encoded["offset_mapping"])
    is_context = np.array([sequence == 1 for sequence in encoded.sequence_ids()])
    targets = np.zeros((len(offsets), NUM_CLASSES), dtype=np.float32)
    for text, char_start in zip(example["answers"]["text"][:1], example["answers"]["answer_start"][:1], strict=True):
        shares = (offsets[:, 0] < char_start + len(text)) & (offsets[:, 1] > char_start)
        targets[is_context & shares, ANSWER] = 1
    inputs = {name: np.array(encoded[name]) for name in ("input_ids", "token_type_ids", "attention_mask")}
    return Encoded(inputs, targets, is_context, offsets)


def training_item(tokenizer, example: dict) -> dict[str, np.ndarray]:
    """Return what the model trains on for one example: all of 384 tokens, padding included."""
    encoded = encode(tokenizer, example, padded=True, truncated=True)
    return {**encoded.inputs, "labels": encoded.targets}


def load_model(folder: Path) -> BertForTokenClassification:
    """Load a checkpoint with its own dropout; a head that it lacks is drawn from the global random state."""
    with quiet_transformers():
        return BertForTokenClassification.from_pretrained(  # nosec B615 # a folder that is here has no revision
            folder, num_labels=NUM_CLASSES, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )


def _loss(outputs, labels: torch.Tensor, num_items_in_batch=None) -> torch.Tensor:
    return binary_cross_entropy_with_logits(outputs.logits.float(), labels)


def train(
    tokenizer,
    examples: Sequence[dict],
    checkpoint: Path,
    folder: Path,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    learning_rate: float = LEARNING_RATE,
    bf16: bool = False,
) -> dict[str, int]:
    """Fine-tune a checkpoint and save it; return the optimizer steps, and the tokens of an epoch without padding."""
    items = [training_item(tokenizer, example) for example in examples]
    set_seed(seed)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        bf16=bf16,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.accelerator.is_available(),
    )
    with quiet_transformers():
        trainer = Trainer(
            model=load_model(checkpoint),
            args=arguments,
            train_dataset=items,
            processing_class=tokenizer,
            # That of a tokenizer would pad again.
            data_collator=_stack,
            compute_loss_func=_loss,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trainer.save_model(str(folder))
    return {
        "steps": trainer.state.global_step,
        "real_tokens": int(sum(item["attention_mask"].sum() for item in items)),
    }


def fits_positions(tokenizer, example: dict) -> bool:
    """Tell whether an example has no more tokens than a BERT has positions; `predict` crashes on longer ones."""
    return len(encode(tokenizer, example, padded=False, truncated=False).inputs["input_ids"]) <= MOST_POSITIONS


def _stack(items: Sequence[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}


@torch.inference_mode()
def predict(
    model: BertForTokenClassification, tokenizer, example: dict, *, padded: bool = True, bf16: bool = False
) -> Prediction:
    """Predict one example, nothing of which is cut.

    Parameters
    ----------
    model : BertForTokenClassification
    tokenizer : transformers.PreTrainedTokenizerFast
    example : dict
    padded : bool
        To 384 tokens; otherwise the example is read at its own length.
    bf16 : bool
        Multiply matrices in bfloat16.
    """
    encoded = encode(tokenizer, example, padded=padded, truncated=False)
    inputs = {name: torch.from_numpy(array)[None].to(model.device) for name, array in encoded.inputs.items()}
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = model(**inputs).logits[0]
    probs = torch.sigmoid(logits.float()).cpu().numpy()[:, ANSWER]
    keep, context = encoded.is_context, example["context"]
    tokens = [context[start:end] for start, end in encoded.offsets[keep].tolist()]
    return Prediction(probs[keep], encoded.targets[keep, ANSWER].astype(np.int64), tokens)


def write_outputs(folder: Path, examples: Sequence[dict], predictions: Sequence[Prediction]) -> None:
    """Write the four files, all at once: one array an example, under its number."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "pred_probs": [prediction.pred_probs for prediction in predictions],
        "labels": [prediction.labels for prediction in predictions],
        "tokens": [np.array(prediction.tokens) for prediction in predictions],
        "questions": [np.array(example["question"]) for example in examples],
    }
    for name, arrays in columns.items():
        np.savez(folder / f"{name}.npz", **{str(index): array for index, array in enumerate(arrays)})


def run_pipeline(
    tokenizer,
    examples: Sequence[dict],
    splits: Sequence[Split],
    checkpoint: Path,
    folder: Path,
    *,
    device: torch.device,
    seed: int,
    bf16: bool = False,
    after_fold: Callable[[], None] = lambda: None,
    **training,
) -> dict:
    """Train a fresh model for each fold, predict what it holds out, gather and write.

    Returns
    -------
    dict
        Seconds of `train`, `predict`, and `gather and write`; `steps`, and `real_tokens` of an epoch, of all folds.
    """
    predictions: list[Prediction | None] = [None] * len(examples)
    seconds, done = {"train": 0.0, "predict": 0.0}, {"steps": 0, "real_tokens": 0}
    for fold_index, split in enumerate(splits):
        started = time.perf_counter()
        held_in = [examples[i] for i in split.train_indices]
        of_fold = folder / f"fold_{fold_index}"
        fold = train(tokenizer, held_in, checkpoint, of_fold, seed=fold_seed(seed, fold_index), bf16=bf16, **training)
        done = {name: total + fold[name] for name, total in done.items()}
        trained = time.perf_counter()
        model = load_model(of_fold).to(device).eval()
        for i in split.validation_indices:
            predictions[i] = predict(model, tokenizer, examples[i], bf16=bf16)
        del model
        seconds["train"] += trained - started
        seconds["predict"] += time.perf_counter() - trained
        after_fold()
    started = time.perf_counter()
    write_outputs(folder / "outputs", examples, predictions)
    seconds["gather and write"] = time.perf_counter() - started
    return {**seconds, **done}
