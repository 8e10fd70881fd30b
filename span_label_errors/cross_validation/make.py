"""Make one fold: train on the other folds' examples, predict its own, keep both."""

import functools
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from span_label_errors.cross_validation import trainers
from span_label_errors.cross_validation.metrics import described, evaluate_predictions
from span_label_errors.cross_validation.store import (
    MODEL_FOLDER,
    TRAINING_FILE,
    Fold,
    fold_key,
    load_fold,
    load_training,
    lock_file,
    save_fold,
    save_training,
    unfinished_folder,
)
from span_label_errors.cross_validation.stored_predictions import (
    StoredPredictions,
    read_predictions,
    save_predictions,
)
from span_label_errors.files import exclusive, replace_folder, write_file
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.model.qa import QA
from span_label_errors.model.seen_contexts import SEEN_CONTEXTS_FILE
from span_label_errors.model.tokenizer_coverage import UnreadableDataWarning
from span_label_errors.model.trainer import QATrainer
from span_label_errors.model.training_states import TrainingStates
from span_label_errors.model.windows import QuestionCutWarning
from span_label_errors.progress import bar, limited, training_progress


@dataclass(frozen=True)
class FoldPlan:
    """One fold, before it is made: where it belongs, and everything that makes it."""

    folder: Path
    fold_index: int
    num_splits: int
    configuration: dict  # JSON; what the fold's key is made of

    @functools.cached_property
    def key(self) -> str:
        """What the fold is filed under."""
        return fold_key(self.configuration)

    @property
    def is_trained(self) -> bool:
        """Whether a model is trained; if not, the start checkpoint as it is predicts."""
        return bool(self.configuration["train_indices"])

    @property
    def title(self) -> str:
        """What the fold is called in the log."""
        if not self.is_trained:
            return "prediction without training"
        return f"fold {self.fold_index} ({self.fold_index + 1} of {self.num_splits})"


@dataclass(frozen=True)
class FoldMaking:
    """The making of one fold; what an earlier run has finished of it is reused."""

    plan: FoldPlan
    examples: list[dict]  # of the whole data set
    trainer: object  # a QATrainer, or another that `trainers` describes
    log: Callable[[str], None]  # gets a line of text about what is done
    progress: Callable[[str], None] = lambda text: None  # gets a text that replaces the one before
    before_training: Callable[[], None] = lambda: None  # called when the fold is about to be trained

    def fold(self) -> Fold:
        """Return the fold; if another process is making it, wait for that."""
        folder = self.plan.folder
        with exclusive(lock_file(folder), self._log) as died:
            # Looked for under the lock: whoever held it until now may have made this very fold.
            fold, problem = self._find()
            done, doing = ("trained", "training") if self.plan.is_trained else ("predicted", "predicting")
            if fold is not None:
                self._log(f"already {done}, skipping ({folder.name})")
            else:
                if problem:
                    self._log(f"{folder.name} cannot be used, {doing} again ({problem})")
                if died:
                    self._log(f"{died} died while it made this fold; resuming")
                with warnings.catch_warnings():
                    # `plan_folds` has warned for the whole data set.
                    for category in (QuestionCutWarning, UnreadableDataWarning):
                        warnings.simplefilter("ignore", category)
                    fold = self._make()
            if self._unfinished.exists():
                shutil.rmtree(self._unfinished)
        return fold

    def finished(self) -> Fold | None:
        """Return the fold if it is there, whole, and nothing is left to tidy up."""
        return None if self._unfinished.exists() else self._find()[0]

    def train(self, states: TrainingStates) -> dict:
        """Train the fold's model, and return what `fold.json` reports about the training."""
        configuration = self.plan.configuration
        self._unfinished.mkdir(parents=True, exist_ok=True)
        options = {"on_step": self._show_step, "states": states} if isinstance(self.trainer, QATrainer) else {}
        started = time.perf_counter()
        report = self.trainer.train(
            [self.examples[i] for i in configuration["train_indices"]],
            self._unfinished / MODEL_FOLDER,
            seed=configuration["seed"],
            **options,
            **configuration["training"],
        )
        return {
            "loss_history": getattr(report, "loss_history", []),
            "num_training_windows": getattr(report, "num_windows", None),
            "num_training_questions_cut": getattr(report, "num_questions_cut", None),
            "seconds": {"train": time.perf_counter() - started},
        }

    @property
    def _unfinished(self) -> Path:
        return unfinished_folder(self.plan.folder)

    @functools.cached_property
    def _held_out(self) -> list[dict]:
        return [self.examples[i] for i in self.plan.configuration["validation_indices"]]

    def _log(self, text: str) -> None:
        self.log(f"{self.plan.title}: {text}")

    @functools.cached_property
    def _show(self) -> Callable[[str], None]:
        return limited(self.progress)

    def _show_step(self, step: int, num_steps: int, loss: float | None) -> None:
        self._show(training_progress(self.plan.title, step, num_steps, loss))

    def _show_predicted(self, share: float) -> None:
        self._show(f"{self.plan.title} · predicting {bar(share)}")

    def _find(self) -> tuple[Fold | None, str]:
        """Return the fold if it is there and whole, and else what is wrong with it."""
        if not self.plan.folder.exists():
            return None, ""
        try:
            return load_fold(self.plan.folder, self.plan.key, self._held_out), ""
        except ValueError as error:
            return None, str(error)

    def _make(self) -> Fold:
        plan, model = self.plan, self._unfinished / MODEL_FOLDER
        try:
            training = self._trained() if plan.is_trained else self._not_trained()
            started = time.perf_counter()
            save_predictions(model, plan.configuration["validation_indices"], self._predictions())
            # Mapped from their files: those of a large fold need not be in memory.
            contexts = [example["context"] for example in self._held_out]
            stored = StoredPredictions.of_fold(contexts, read_predictions(model))
            report = {
                "fold": plan.fold_index,
                "key": plan.key,
                **plan.configuration,
                "metrics": evaluate_predictions(self._held_out, stored, self.trainer.label_map),
                **training,
                "num_threads": torch.get_num_threads(),
                "folder": plan.folder.name,
            }
            report["seconds"]["predict"] = time.perf_counter() - started
            save_fold(model, report)
            replace_folder(model, plan.folder)
        except BaseException as error:
            error.add_note(
                f"{plan.title} is not finished. Finished folds, and what was last saved of this one, are kept in "
                f"{plan.folder.parent}: run the same again, and it resumes from there."
            )
            raise
        self.progress("")
        self._log(_describe(report))
        # Loaded as a later run will load it, so that a resumed run cannot differ.
        return load_fold(plan.folder, plan.key, self._held_out)

    def _trained(self) -> dict:
        """Return what `train` reports; train only if no earlier run has finished that."""
        unfinished, key = self._unfinished, self.plan.key
        states, training = TrainingStates(unfinished, key, self._log), None
        if (unfinished / TRAINING_FILE).exists():
            try:
                training = load_training(unfinished, key)
                self._log("was interrupted after training; resuming with the predictions")
            except ValueError as error:
                self._log(f"was interrupted, and its model cannot be used, training again ({error})")
        if training is None:
            if (unfinished / MODEL_FOLDER).exists():
                # A model without a record may be anything.
                shutil.rmtree(unfinished / MODEL_FOLDER)
            self.before_training()
            training = self.train(states)
            save_training(unfinished, key, training)
        states.clear()
        return training

    def _not_trained(self) -> dict:
        """Write what the checkpoint has read, and report what `train` would have; weights stay where they are."""
        if self._unfinished.exists():
            shutil.rmtree(self._unfinished)
        seen = sorted(trainers.seen_contexts(self.trainer))
        write_file(self._unfinished / MODEL_FOLDER / SEEN_CONTEXTS_FILE, json.dumps(seen, indent=1))
        nothing = {"num_training_windows": 0, "num_training_questions_cut": 0, "seconds": {"train": 0.0}}
        return {"loss_history": [], **nothing}

    def _predictions(self) -> Iterator[SpanPrediction]:
        # Read back from the files, so that what is predicted is what was saved.
        trained = self._unfinished / MODEL_FOLDER
        model = self.trainer.load(trained) if self.plan.is_trained else self.trainer.start()
        if isinstance(model, QA):
            predicted = model.predictions(self._held_out, on_batch=self._show_predicted)
        else:
            predicted = model.predict_batch(self._held_out)
        return (prediction.context_only() for prediction in predicted)


def _describe(report: dict) -> str:
    found = described(report["metrics"])
    num_predicted = len(report["validation_indices"])
    if not report["train_indices"]:
        return f"the checkpoint as it is predicted {num_predicted} examples: {found}"
    return (
        f"trained on {len(report['train_indices'])} examples in {report['seconds']['train']:.0f} s; on the "
        f"{num_predicted} held out: {found}"
    )
