"""The `reader` command: train a model that reads, from question-answering data that you name.

    python -m span_label_errors reader train.json more.json --output my_reader

A reader is trained once, on right answers, and then judges other data: as it is (`num_splits=0`), or as the start of
the folds. `model_checkpoint` and `QA` take its folder. It holds what training has changed in the base, and
`reader.json`: files, recipe, versions, and how well it reads the articles that were held out.

Run again after an interruption, the command goes on from the last saved state. On one machine the same command gives
the same bytes.
"""

import argparse
import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from safetensors.torch import save_file
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, logit

from span_label_errors.cross_validation import trainers
from span_label_errors.cross_validation.metrics import described, evaluate_predictions
from span_label_errors.cross_validation.store import (
    code_fingerprint,
    data_fingerprint,
    fold_key,
    lock_file,
    unfinished_folder,
)
from span_label_errors.data.diet import held_out_articles, with_agreed_answer
from span_label_errors.data.formats import FILE_SUFFIXES
from span_label_errors.data.hub import local_path
from span_label_errors.data.squad import ON_INVALID, load_squad
from span_label_errors.files import check_writable, exclusive, file_sha256, new_folder
from span_label_errors.model.checkpoints import (
    DELTA_FILE,
    FILES_OF_READER,
    HEAD_TENSORS,
    READER_FILE,
    read_reader,
    read_seen_contexts,
)
from span_label_errors.model.deltas import delta_between
from span_label_errors.model.embedded import EMBEDDED, EMBEDDED_BACKBONE
from span_label_errors.model.qa import PRECISIONS, QA
from span_label_errors.model.recipes import READER_RECIPE, reader_recipe_for
from span_label_errors.model.seen_contexts import context_hash
from span_label_errors.model.trainer import QATrainer
from span_label_errors.model.training_states import TrainingStates
from span_label_errors.notebook.settings import source_path
from span_label_errors.progress import ProgressLine, bar, limited, training_progress
from span_label_errors.spans.alignment import span_classes

_RECIPE_NUMBERS = {
    "num_train_epochs": int | float, "head_learning_rate": int | float | None, "frozen_layers": int,
    "dropout": int | float | None,
}  # fmt: skip
_TEMPERATURES = (0.25, 4.0)
_SMALLEST = 1e-6
_NOT_OF_A_RECIPE = ("dataset", "output_dir", "seed", "on_step", "states")


@dataclass(frozen=True)
class Source:
    """A file of the diet, in two parts: what is read, and what is held out to measure on."""

    file: Path
    read: list[dict]
    held_out: list[dict]

    def facts(self) -> dict:
        """Return what `reader.json` says of the file."""
        answered = sum(bool(example["answers"]["text"]) for example in self.read)
        return {
            "file": self.file.name,
            "sha256": file_sha256(self.file),
            "questions_read": len(self.read),
            "of_them_unanswerable": len(self.read) - answered,
            "contexts_read": len({example["context"] for example in self.read}),
            "questions_held_out": len(self.held_out),
        }


def read_sources(files: Sequence[str], share_held_out: float, on_invalid: str = "raise") -> list[Source]:
    """Load files, hold articles out, and leave out of what is read every context that is held out in any file.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_squad`, and if something is no file, or two files have one name, by which `reader.json` tells them
        apart.
    """
    paths = [local_path(file) for file in files]
    for path in paths:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise FileNotFoundError(
                f"{path}: expected a file ({', '.join(FILE_SUFFIXES)}), found {found}; save other data as one, such as "
                'load_squad("squad").to_json("squad.jsonl")'
            )
        if [other.name for other in paths].count(path.name) > 1:
            raise ValueError(f"expected files of different names, found {path.name} more than once; rename one")
    loaded = [list(load_squad(file, on_invalid=on_invalid)) for file in files]
    is_held_out = [held_out_articles(examples, share_held_out) for examples in loaded]
    held_out = [
        [example for example, held in zip(examples, of_file, strict=True) if held]
        for examples, of_file in zip(loaded, is_held_out, strict=True)
    ]
    unread = {context_hash(example["context"]) for examples in held_out for example in examples}
    return [
        Source(
            path,
            [with_agreed_answer(example) for example in examples if context_hash(example["context"]) not in unread],
            of_file,
        )
        for path, examples, of_file in zip(paths, loaded, held_out, strict=True)
    ]


def make_reader(
    sources: Sequence[Source], output: Path, base: QA, start: QA, *, seed: int = 0, recipe: dict = READER_RECIPE
) -> dict:
    """Train a reader, write its folder, and return the content of its `reader.json`.

    Parameters
    ----------
    sources : sequence of Source
    output : Path
        Gets the reader. States of an unfinished training lie beside it.
    base : QA
        The checkpoint without a head whose weights the reader is stored against.
    start : QA
        What training starts from: the same, or a reader that was made from it.
    seed : int
    recipe : dict
        Arguments of `QATrainer.train`.

    Raises
    ------
    FileExistsError
        If `output` holds anything but a reader, or what training starts from.
    FloatingPointError, OSError, ValueError
        As `QATrainer.train`, and if nothing is left to read.
    """
    _check_output(output, start)
    examples = [example for source in sources for example in source.read]
    if not examples:
        raise ValueError("expected questions to read, found all of them held out; hold out less, or name more files")
    trainer = QATrainer(start, start.max_length, start.label_map)
    # One example shows whether the arguments will do, before anything is written.
    trainers.check(trainer, examples[:1], recipe)
    facts = {
        "trained_from": start.model_path,
        "sources": [source.facts() for source in sources],
        "recipe": recipe,
        "seed": seed,
        "precision": start.precision,
        "max_length": start.max_length,
        "code": code_fingerprint(),
    }
    key = fold_key({**facts, "data": data_fingerprint(examples), "trainer": trainers.settings(trainer)})
    check_writable(output.parent)
    unfinished, progress = unfinished_folder(output), ProgressLine()
    show = limited(progress.update)
    with exclusive(lock_file(output), print):
        states = TrainingStates(unfinished, key, print)
        report = trainer.train(
            examples, unfinished / "model", seed=seed, states=states, **recipe,
            on_step=lambda *step: show(training_progress("reader", *step)),
        )  # fmt: skip
        trained = trainer.load(report.output_dir)
        unread = [example for source in sources for example in _unread(trained, source)]
        temperature = temperature_of(trained, unread, show)
        with new_folder(output) as folder:
            record = save_reader(folder, trained, base, temperature)
            record |= {**facts, "temperature": temperature, "loss_history": report.loss_history}
            # Read back from the files, so that what is measured is what was written.
            reader = QA(folder, precision=start.precision)
            record["held_out"] = {source.file.name: _measured(reader, source, show) for source in sources}
            _write_record(folder, record)
        progress.update("")
        shutil.rmtree(unfinished)
    return record


def _check_output(output: Path, start: QA) -> None:
    """Raise FileExistsError if a reader must not take the place of what is there."""
    if output.resolve() in (start.checkpoint.path, start.checkpoint.reader):
        raise FileExistsError(f"{output}: this is the checkpoint that training starts from; choose another --output")
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"{output}: expected a folder, or nothing there, found a file; choose another --output")
    others = (
        sorted({file.name for file in output.iterdir()} - {READER_FILE, *FILES_OF_READER}) if output.exists() else []
    )
    if others:
        raise FileExistsError(
            f"{output}: expected an empty folder or a reader, which would be replaced, found {', '.join(others[:5])}; "
            "move them away, or choose another --output"
        )


def temperature_of(trained: QA, held_out: Sequence[dict], show: Callable[[str], None]) -> float:
    """Return by what to divide the logits of a model, so that its probabilities on what was held out are likeliest.

    A model that was trained on many questions is too sure of itself; see Guo et al. (2017, "On Calibration of Modern
    Neural Networks", arXiv 1706.04599). It is 1 if nothing was held out.
    """
    if not held_out:
        return 1.0
    predicted = trained.predictions(held_out, on_batch=lambda share: show(f"calibrating · {bar(share)}"))
    contexts = [prediction.context_only() for prediction in predicted]
    # Span classes only: O is never labelled.
    columns = [trained.label_map[name] for name in span_classes(trained.label_map)]
    probs = np.concatenate([context.pred_probs[:, columns] for context in contexts]).astype(np.float64)
    labels = np.concatenate([context.labels[:, columns] for context in contexts])
    logits = logit(probs.clip(_SMALLEST, 1 - _SMALLEST))

    def loss(temperature: float) -> float:
        return -log_expit(np.where(labels, logits, -logits) / temperature).mean()

    return round(float(minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x), 4)


def save_reader(folder: Path, trained: QA, base: QA, temperature: float = 1.0) -> dict:
    """Write what training has changed in the weights of a base to an empty folder.

    The head is divided by `temperature`, and with it all logits.

    Returns
    -------
    dict
        The content of `reader.json` that loading needs.
    """
    delta = delta_between(base.model.state_dict(), trained.model.state_dict())
    save_file(delta | {name: delta[name] / temperature for name in HEAD_TENSORS}, folder / DELTA_FILE)
    for name in FILES_OF_READER:
        if name != DELTA_FILE:
            shutil.copyfile(trained.checkpoint.path / name, folder / name)
    record = {
        "base": base.model_path,
        "base_revision": base.revision,
        "base_sha256": base.fingerprint,
        "files": {name: file_sha256(folder / name) for name in FILES_OF_READER},
    }
    _write_record(folder, record)
    return record


def _write_record(folder: Path, record: dict) -> None:
    (folder / READER_FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _unread(model: QA, source: Source) -> list[dict]:
    """Return what was held out of a file, without what a reader that training started from has read."""
    seen = read_seen_contexts(model.checkpoint)
    return [example for example in source.held_out if context_hash(example["context"]) not in seen]


def _measured(reader: QA, source: Source, show: Callable[[str], None]) -> dict | None:
    """Return how well a reader finds the answers that were held out of a file; None if none were."""
    unread = _unread(reader, source)
    if not unread:
        return None
    predicted = reader.predictions(unread, on_batch=lambda share: show(f"{source.file.name} · {bar(share)}"))
    predictions = [prediction.context_only() for prediction in predicted]
    return evaluate_predictions(unread, predictions, reader.label_map)


def _base_of(start: QA) -> QA:
    """Return the checkpoint without a head that a training starts from, through a reader or not."""
    if start.checkpoint.reader is not None:
        record = read_reader(start.checkpoint.reader)
        return QA(record["base"], revision=record["base_revision"])
    if start.has_head:
        raise ValueError(
            f"--start: expected a checkpoint without a head, or a reader, found {start.model_path!r}, a model that "
            "QATrainer trained; name the checkpoint that it was trained from"
        )
    return start


def _recipe(text: str, base: QA) -> dict:
    """Return the recipe of a reader over a base, with what a command line changes in it."""
    try:
        changes = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--recipe: expected YAML such as 'num_train_epochs: 2', found {text!r}; {error}") from error
    if not isinstance(changes, dict) or not all(isinstance(name, str) for name in changes):
        raise ValueError(f"--recipe: expected YAML such as 'num_train_epochs: 2', found {text!r}")
    for name, value in changes.items():
        if name in _NOT_OF_A_RECIPE:
            raise ValueError(f"--recipe: expected arguments that shape the training, found {name}; leave it out")
        kind = _RECIPE_NUMBERS.get(name, object)
        if not isinstance(value, kind) or value in (math.inf, -math.inf):
            expected = "a whole number" if kind is int else "a number, such as 2 or 1.0e-4"
            raise ValueError(f"--recipe: {name}: expected {expected}, found {value!r}")
    return {**reader_recipe_for(base.checkpoint), **changes}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the reader that the command line names; return 0, or 1 if its arguments or files will not do."""
    parser = argparse.ArgumentParser(prog="span-label-errors reader", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "sources", nargs="+", metavar="FILE", help="right answers to learn from, as load_squad reads them"
    )
    parser.add_argument("--output", required=True, help="the folder that gets the reader")
    parser.add_argument(
        "--start", default=EMBEDDED_BACKBONE, help="a checkpoint without a head, or a reader to train on"
    )
    parser.add_argument("--start_revision", help="branch, tag or commit of it on the Hub")
    parser.add_argument("--max_length", type=int, help="tokens of a window, question included")
    parser.add_argument("--held_out", type=float, default=0.1, help="about this share of articles is not read")
    parser.add_argument("--recipe", default="{}", metavar="YAML", help="other arguments of QATrainer.train")
    parser.add_argument("--on_invalid", choices=ON_INVALID, default="raise", help="what to do with invalid examples")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of matrix products")
    parser.add_argument("--seed", type=int, default=0, help="everything random is derived from it")
    options = parser.parse_args(arguments)
    try:
        if not 0 <= options.held_out < 1:
            raise ValueError(f"--held_out: expected a share from 0 to below 1, found {options.held_out}")
        if not 0 <= options.seed < 2**32:
            raise ValueError(f"--seed: expected a whole number from 0 to {2**32 - 1}, found {options.seed}")
        start_path = source_path(options.start)
        if options.start_revision is not None and (start_path in EMBEDDED or Path(start_path).is_absolute()):
            raise ValueError(
                f"--start_revision: expected none, since {options.start} is not on the Hub, found "
                f"{options.start_revision}; leave it out"
            )
        sources = read_sources(options.sources, options.held_out, options.on_invalid)
        start = QA(
            start_path, revision=options.start_revision, max_length=options.max_length,
            seed=options.seed, precision=options.precision,
        )  # fmt: skip
        output, base = Path(options.output).absolute(), _base_of(start)
        recipe = _recipe(options.recipe, base)
        record = make_reader(sources, output, base, start, seed=options.seed, recipe=recipe)
    except (FloatingPointError, ValueError, OSError) as error:
        print("\n".join([str(error), *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1
    print(f"{options.output}: {(output / DELTA_FILE).stat().st_size / 1e6:.1f} MB, to be used as model_checkpoint")
    for name, metrics in record["held_out"].items():
        print(f"{name}: {described(metrics) if metrics else 'nothing held out'}")
    return 0
