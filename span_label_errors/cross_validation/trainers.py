"""What cross-validation needs to know about a trainer: the key of its folds, its checks, how to make it elsewhere.

A trainer is anything with a `label_map`, `train(dataset, output_dir, *, seed, **training)` and `load(output_dir)`,
which returns a model with `predict_batch(examples)`. For a `QATrainer`, everything that shapes its models is part of a
fold's key. For any other, its class and its `settings()`, if it has that method, are part of it. Its code is not, so
give it another folder when its code changes.
"""

import contextlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from span_label_errors.imports import heavy_imports

with heavy_imports():
    from transformers import TrainingArguments

    from span_label_errors.model.checkpoints import read_seen_contexts, weight_files
    from span_label_errors.model.embedded import EMBEDDED
    from span_label_errors.model.gpu_memory import memory_of_fold
    from span_label_errors.model.qa import QA
    from span_label_errors.model.trainer import QATrainer, prepare_training


def settings(trainer) -> dict:
    """Return, as JSON, what a trained model depends on besides data, seed and the arguments of `train`."""
    found = {"label_map": trainer.label_map}
    if isinstance(trainer, QATrainer):
        found |= {
            "checkpoint": trainer.qa.fingerprint,
            "max_length": trainer.max_seq_length,
            "doc_stride": trainer.doc_stride,
            "answers": trainer.qa.answers,
            "precision": trainer.qa.precision,
        }
        if trainer.qa.checkpoint.answers_questions:
            found["checkpoint_answers_questions"] = True
        if trainer.qa.case_as_segment:
            found["checkpoint_reads_case_as_segment"] = True
    if not _is_known_elsewhere(trainer):
        found["class"] = f"{type(trainer).__module__}.{type(trainer).__qualname__}"
    if hasattr(trainer, "settings"):
        found |= trainer.settings()
    return found


def description(trainer) -> dict:
    """Return, as JSON, what `from_description` makes the same trainer of, in another process or on another machine.

    Raises TypeError if the trainer or its `QA` is a class of its own: the other process would not know it.
    """
    if not _is_known_elsewhere(trainer):
        raise TypeError(
            "expected a QATrainer and a QA, not classes of your own, for folds in processes of their own, found "
            f"{type(trainer).__name__}; make the folds one after the other, with n_jobs=1"
        )
    names = ("model_path", "label_map", "max_length", "doc_stride", "answers", "seed", "revision", "precision")
    qa = {name: getattr(trainer.qa, name) for name in names}
    if qa["model_path"] not in EMBEDDED and Path(qa["model_path"]).exists():
        # The other process may have another working directory.
        qa["model_path"] = str(Path(qa["model_path"]).absolute())
    return {"qa": qa, "max_seq_length": trainer.max_seq_length, "label_map": trainer.label_map}


def from_description(described: dict) -> QATrainer:
    """Return the trainer that `description` was made of."""
    qa = dict(described["qa"])
    return QATrainer(QA(qa.pop("model_path"), **qa), described["max_seq_length"], described["label_map"])


def sharing(trainer, folder: Path) -> contextlib.AbstractContextManager:
    """Let the folds that are made inside share what is the same for all of them, if the trainer can."""
    return trainer.sharing(folder) if isinstance(trainer, QATrainer) else contextlib.nullcontext()


def num_bytes(trainer) -> int:
    """Return about how much a trained model takes on disk: the size of the weights it starts from, 0 if unknown."""
    if not isinstance(trainer, QATrainer):
        return 0
    return sum(file.stat().st_size for file in weight_files(trainer.qa.checkpoint.path))


def gpu_memory(trainer, training: dict | None) -> int | None:
    """Return about how many bytes of a GPU's memory a fold takes; None if unknown.

    `training` is the arguments of `train`, and None where nothing is trained.
    """
    if not isinstance(trainer, QATrainer):
        return None
    batch_size = (training or {}).get("per_device_train_batch_size", TrainingArguments.per_device_train_batch_size)
    return memory_of_fold(
        trainer.qa.checkpoint, max_length=trainer.max_seq_length, batch_size=batch_size, precision=trainer.qa.precision
    )


def seen_contexts(trainer) -> set[str]:
    """Return the hashes of the contexts that the start checkpoint was trained on, as far as it lists them."""
    return read_seen_contexts(trainer.qa.checkpoint) if isinstance(trainer, QATrainer) else set()


def check_start(trainer) -> None:
    """Raise what keeps a trainer's start checkpoint from predicting as it is, without training."""
    if not isinstance(trainer, QATrainer):
        raise TypeError(
            "num_splits=0: expected a QATrainer, whose checkpoint can predict as it is, found "
            f"{type(trainer).__name__}; train folds with it, such as num_splits=3"
        )
    trainer.start()


def log_new_head(trainer, log: Callable[[str], None]) -> None:
    """Say so if a reader's trained head is left behind, since the classes have other names or columns."""
    if isinstance(trainer, QATrainer) and trainer.qa.checkpoint.reader is not None and not trainer.qa.has_head:
        log(
            f"{trainer.qa.model_path}: its head is for {trainer.qa.checkpoint.label_map}; a new one is trained for "
            f"{trainer.label_map}"
        )


def log_answered_questions(trainer, log: Callable[[str], None]) -> None:
    """Say so if the start checkpoint has learned to answer questions elsewhere: no list tells from which data."""
    if isinstance(trainer, QATrainer) and trainer.qa.checkpoint.answers_questions:
        log(
            f"{trainer.qa.model_path} was trained to answer questions, most likely those of SQuAD. If your data is "
            "SQuAD, or was made from it, these models have seen its answers, and repeat the wrong ones among them: "
            "start from the encoder that this checkpoint was made from"
        )


def check(trainer, examples: Sequence[dict], training: dict) -> None:
    """Raise what can be known to be wrong with data and arguments of `train`, without training."""
    if isinstance(trainer, QATrainer):
        prepare_training(trainer, examples, "unused", **training)
    else:
        inspect.signature(trainer.train).bind(examples, "", seed=0, **training)


def _is_known_elsewhere(trainer) -> bool:
    return type(trainer) is QATrainer and type(trainer.qa) is QA
