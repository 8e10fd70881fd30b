"""Make one fold: train on the other folds' examples, predict its own, keep both."""

import contextlib
import functools
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from span_label_errors.cross_validation.metrics import evaluate_predictions
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
from span_label_errors.files import replace_folder
from span_label_errors.locks import abandoned, exclusive
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.model.qa import QA
from span_label_errors.model.trainer import QATrainer
from span_label_errors.model.training_states import TrainingStates
from span_label_errors.model.windows import QuestionCutWarning
from span_label_errors.progress import TrainingProgress, bar


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
    def title(self) -> str:
        """What the fold is called where people read of it."""
        return f"fold {self.fold_index} ({self.fold_index + 1} of {self.num_splits})"


@dataclass(frozen=True)
class FoldMaking:
    """One fold: found finished, or made as far as it is not.

    Parameters
    ----------
    plan : FoldPlan
    examples : list of dict
        All examples of the data set.
    trainer : QATrainer, or what `fold_trainer` describes
    log : callable
        Gets a line of text about what is done.
    progress : callable
        Gets a text that takes the place of the one before; an empty one at the end.
    before_training : callable
        Called when the fold is about to be trained, or trained on.
    """

    plan: FoldPlan
    examples: list[dict]
    trainer: object
    log: Callable[[str], None]
    progress: Callable[[str], None] = lambda text: None
    before_training: Callable[[], None] = lambda: None

    def fold(self) -> Fold:
        """Return the fold, after waiting for whoever else is making it."""
        folder, unfinished = self.plan.folder, unfinished_folder(self.plan.folder)
        fold = self.finished()
        if fold is not None and not unfinished.exists():
            self.say_found()
            return fold
        died = abandoned(lock_file(folder))
        with exclusive(lock_file(folder), self._say) as has_waited:
            # Whoever held the lock until now may have made this very fold.
            fold, problem = self._look()
            if fold is not None:
                self.say_found()
            else:
                if problem:
                    self._say(f"{folder.name} cannot be used, training again ({problem})")
                if died and not has_waited:
                    self._say(f"{died} began this and died; doing what it had not finished")
                fold = self._make_with_advice()
            if unfinished.exists():
                shutil.rmtree(unfinished)
        return fold

    def finished(self) -> Fold | None:
        """Return the fold if it was made before, and is whole."""
        return self._look()[0]

    def say_found(self) -> None:
        """Log that the fold was there."""
        self._say(f"already trained, skipping ({self.plan.folder.name})")

    def _look(self) -> tuple[Fold | None, str]:
        """Return the fold if it is there and whole, else what is wrong with it, if it is there."""
        if not self.plan.folder.exists():
            return None, ""
        try:
            return load_fold(self.plan.folder, self.plan.key, self.held_out), ""
        except ValueError as error:
            return None, str(error)

    @functools.cached_property
    def held_out(self) -> list[dict]:
        """The examples that the fold predicts."""
        return [self.examples[i] for i in self.plan.configuration["validation_indices"]]

    def train(self, states: TrainingStates) -> dict:
        """Train the fold's model, and return what is reported of that."""
        configuration, unfinished = self.plan.configuration, unfinished_folder(self.plan.folder)
        unfinished.mkdir(parents=True, exist_ok=True)
        ours = {}
        if isinstance(self.trainer, QATrainer):
            ours = {"on_step": TrainingProgress(self.progress, self.plan.title), "states": states}
        started = time.perf_counter()
        with _question_cuts_unsaid():
            report = self.trainer.train(
                [self.examples[i] for i in configuration["train_indices"]],
                unfinished / MODEL_FOLDER,
                seed=configuration["seed"],
                **ours,
                **configuration["training"],
            )
        return {
            "loss_history": getattr(report, "loss_history", []),
            "num_windows": getattr(report, "num_windows", None),
            "num_questions_cut": getattr(report, "num_questions_cut", None),
            "seconds": time.perf_counter() - started,
        }

    def _predict(self) -> list[SpanPrediction]:
        # Read back from the files, so that what is predicted is what was saved.
        model = self.trainer.load(unfinished_folder(self.plan.folder) / MODEL_FOLDER)
        with _question_cuts_unsaid():
            if isinstance(model, QA):
                predicted = model.predictions(
                    self.held_out, on_batch=lambda share: self.progress(f"{self.plan.title} · predicting {bar(share)}")
                )
            else:
                predicted = model.predict_batch(self.held_out)
            return [prediction.context_only() for prediction in predicted]

    def _say(self, text: str) -> None:
        self.log(f"{self.plan.title}: {text}")

    def _make_with_advice(self) -> Fold:
        try:
            return self._make()
        except BaseException as error:
            error.add_note(
                f"{self.plan.title} is not finished. Finished folds, and what was last saved of this one, are kept in "
                f"{self.plan.folder.parent}: run the same again, and it goes on from there."
            )
            raise

    def _make(self) -> Fold:
        plan, held_out = self.plan, self.held_out
        training = self._trained()
        model = unfinished_folder(plan.folder) / MODEL_FOLDER
        started = time.perf_counter()
        predictions = self._predict()
        report = {
            "fold": plan.fold_index,
            "key": plan.key,
            **plan.configuration,
            "metrics": evaluate_predictions(held_out, predictions, self.trainer.label_map),
            "loss_history": training["loss_history"],
            "num_training_windows": training["num_windows"],
            "num_training_questions_cut": training["num_questions_cut"],
            "num_threads": torch.get_num_threads(),
            "seconds": {"train": training["seconds"], "predict": time.perf_counter() - started},
            "folder": plan.folder.name,
        }
        save_fold(model, report, predictions)
        replace_folder(model, plan.folder)
        self.progress("")
        self._say(_describe(report))
        # Loaded as a later run will load it, so that a resumed run cannot differ.
        return load_fold(plan.folder, plan.key, held_out)

    def _trained(self) -> dict:
        """Train the fold's model, as far as that has not been done, and return what is reported of it."""
        unfinished, key = unfinished_folder(self.plan.folder), self.plan.key
        states = TrainingStates(unfinished, key, self._say)
        if (unfinished / TRAINING_FILE).exists():
            try:
                training = load_training(unfinished, key)
            except ValueError as error:
                self._say(f"was interrupted, and its model cannot be used, training again ({error})")
            else:
                self._say("was interrupted after training; goes on with the predictions")
                states.clear()
                return training
        if (unfinished / MODEL_FOLDER).exists():
            # Nothing vouches for it.
            shutil.rmtree(unfinished / MODEL_FOLDER)
        self.before_training()
        training = self.train(states)
        save_training(unfinished, key, training)
        states.clear()
        return training


@contextlib.contextmanager
def _question_cuts_unsaid() -> Iterator[None]:
    """Leave out what was said once for the whole data set already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuestionCutWarning)
        yield


def _describe(report: dict) -> str:
    metrics = [
        f"{class_name}: token AP {_rounded(of_class['average_precision'])} (chance {of_class['base_rate']:.2f}), "
        f"exact match {of_class['exact_match']:.0f} %, F1 {of_class['f1']:.0f} %"
        for class_name, of_class in report["metrics"]["classes"].items()
    ]
    return (
        f"trained on {len(report['train_indices'])} examples in {report['seconds']['train']:.0f} s; on the "
        f"{len(report['validation_indices'])} held out: loss {report['metrics']['loss']:.4f}, {'; '.join(metrics)}"
    )


def _rounded(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
