"""Train one fold with several processes, on several GPUs or machines.

    accelerate launch --multi_gpu --num_processes 2 train_fold.py --fold 0 -f notebooks/squad.yaml -p num_splits 5

The parameters are those of `span_categorizer_training.ipynb`, given as papermill takes them. The processes share each
training step, so the steps are those of one process. The fold is filed as the notebook files it: a run of the notebook
with the same parameters finds it finished.
"""

import argparse
import ast
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import papermill
import torch
import yaml
from accelerate import PartialState

from cross_validation import plan_folds
from fold_making import FoldMaking
from fold_store import unfinished_folder
from parameters import ParameterError, TrainingParameters
from progress import ProgressFile, ProgressLine
from spanbert import QA, QATrainer
from squad import load_squad
from training_states import TrainingStates

NOTEBOOK = Path(__file__).resolve().parent / "notebooks" / "span_categorizer_training.ipynb"
# Processes wait for the first one while it waits for another run on the same fold.
_LONGEST_WAIT = timedelta(days=7)


def read_parameters(files: Sequence[str], given: Sequence[tuple[str, str]]) -> TrainingParameters:
    """Return the notebook's parameters: its defaults, over them those of YAML files, over them single ones.

    Parameters
    ----------
    files : sequence of str
    given : sequence of (name, value)
        Each value a number, or YAML.

    Raises
    ------
    ParameterError
        Names every parameter that is unknown or wrong.
    """
    values = {}
    for file in files:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ParameterError(f"{file}: expected a YAML file of parameters, `name: value` a line, found {content!r}")
        values |= content
    values |= {name: _typed(value) for name, value in given}
    defaults = {
        name: ast.literal_eval(parameter["default"]) for name, parameter in papermill.inspect_notebook(NOTEBOOK).items()
    }
    return TrainingParameters.from_values({**defaults, **values}, list(values))


def _typed(text: str) -> object:
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    # YAML itself takes 1e-3 for a text.
    return yaml.safe_load(text)


def train_fold(parameters: TrainingParameters, fold_index: int) -> None:
    """Make a fold with all processes of the launcher; a finished one is left as it is."""
    if fold_index not in range(parameters.num_splits):
        raise ParameterError(f"--fold: expected 0 to {parameters.num_splits - 1}, found {fold_index}")
    state = PartialState(cpu=not torch.accelerator.is_available())
    examples = list(load_squad(parameters.dataset, parameters.num_examples, on_invalid=parameters.on_invalid))
    qa = QA(
        parameters.model_checkpoint, label_map=parameters.label_map, max_length=parameters.max_length,
        doc_stride=parameters.doc_stride, answers=parameters.answers, seed=parameters.seed,
        precision=parameters.precision,
    )  # fmt: skip
    trainer = QATrainer(qa, parameters.max_length, parameters.label_map)
    plans = plan_folds(
        examples, trainer, folds_dir=parameters.folds_dir, **parameters.split_options(), **parameters.train_options()
    )
    plan, call = plans[fold_index], _Call()
    if state.is_main_process:
        with contextlib.closing(call):
            FoldMaking(plan, examples, trainer, print, ProgressLine(), before_training=call.others).fold()
    elif call.is_heard():
        silent = ProgressFile(unfinished_folder(plan.folder) / f"process_{state.process_index}.txt")
        states = TrainingStates(unfinished_folder(plan.folder), plan.key, lambda line: None)
        FoldMaking(plan, examples, trainer, lambda line: None, silent).train(states)


class _Call:
    """Tells the other processes, once, whether there is anything to train."""

    def __init__(self):
        self._is_made, self._group = False, None
        if torch.distributed.is_initialized():
            # A group of its own, since the first process may have to wait for another run on the same fold.
            self._group = torch.distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)

    def others(self) -> None:
        """Call them to train."""
        self._make(True)

    def close(self) -> None:
        """Let them go, if they were not called."""
        self._make(False)

    def is_heard(self) -> bool:
        """Wait for the call in another process, and return whether there is anything to train."""
        call = [None]
        torch.distributed.broadcast_object_list(call, src=0, group=self._group)
        return call[0]

    def _make(self, is_needed: bool) -> None:
        if not self._is_made and self._group is not None:
            torch.distributed.broadcast_object_list([is_needed], src=0, group=self._group)
        self._is_made = True


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and make the fold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fold", type=int, required=True, help="which fold, from 0")
    parser.add_argument("-f", "--parameters_file", action="append", default=[], help="YAML, as papermill takes it")
    parser.add_argument("-p", "--parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    options = parser.parse_args(arguments)
    try:
        train_fold(read_parameters(options.parameters_file, options.parameters), options.fold)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
