"""The `fold` command: make one fold, with one process or with several on several GPUs or machines.

    python -m span_label_errors fold --fold 0 -f mine.yaml
    accelerate launch --multi_gpu --num_processes 2 --module span_label_errors fold --fold 0 -f mine.yaml

The parameters are those of `span_categorizer_training.ipynb`, given as papermill takes them. The processes share each
training step, so the steps are those of one process. The fold is filed as the notebook files it: a run of the notebook
with the same parameters finds it finished. `threads_per_fold` are those of each process.
"""

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import torch
import yaml
from accelerate import PartialState

from span_label_errors.cross_validation.make import FoldMaking
from span_label_errors.cross_validation.out_of_fold import plan_folds
from span_label_errors.cross_validation.splits import make_splits
from span_label_errors.cross_validation.store import unfinished_folder
from span_label_errors.data.squad import load_squad
from span_label_errors.model.qa import QA
from span_label_errors.model.trainer import QATrainer
from span_label_errors.model.training_states import TrainingStates
from span_label_errors.notebook.settings import ParameterError
from span_label_errors.notebook.training_settings import TrainingParameters
from span_label_errors.progress import ProgressLine

# Processes wait for the first one while it waits for another run on the same fold.
_LONGEST_WAIT = timedelta(days=7)


def read_parameters(options: argparse.Namespace) -> TrainingParameters:
    """Return the parameters of a command line; `-y` overrides `-f`, `-p` overrides both, and `-r` all.

    Raises
    ------
    ParameterError
        Names every parameter that is unknown or wrong.
    """
    values = {}
    for file in options.parameters_file:
        try:
            values |= _mapping(Path(file).read_text(encoding="utf-8"), file)
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError(f"{file}: expected a YAML file of parameters; {error}") from error
    for text in options.parameters_yaml:
        values |= _mapping(text, text)
    values |= {name: _typed(text) for name, text in options.parameters}
    return TrainingParameters.from_values(values | dict(options.parameters_raw))


def _mapping(text: str, where: str) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{where}: expected YAML of parameters; {error}") from error
    if content is not None and not isinstance(content, dict):
        raise ParameterError(f"{where}: expected YAML of parameters, `name: value` a line, found {content!r}")
    return content or {}


def _typed(text: str) -> object:
    """Return what papermill's `-p` makes of a text; its own function for that is private."""
    names = {"True": True, "False": False, "None": None}
    if text in names:
        return names[text]
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text


def _broadcast_is_needed(group: object, is_needed: bool = False) -> bool:
    """Return in every process whether the first one found that the fold has to be trained."""
    of_first = [is_needed]
    if group is not None:
        torch.distributed.broadcast_object_list(of_first, src=0, group=group)
    return of_first[0]


def make_fold(parameters: TrainingParameters, fold_index: int) -> None:
    """Make a fold with all processes of the launcher, or with this one; a finished one is left as it is."""
    # Without training, all that there is to make is fold 0.
    last = max(parameters.num_splits, 1) - 1
    if fold_index not in range(last + 1):
        raise ParameterError(f"--fold: expected {f'0 to {last}' if last else '0'}, found {fold_index}")
    state = PartialState(cpu=not torch.accelerator.is_available())
    idle = [name for name in ("n_jobs", "parallel_backend") if getattr(parameters, name) is not None]
    if idle and state.is_main_process:
        print(f"{' and '.join(idle)}: of no effect here, where one fold is made by the processes that were started")
    if parameters.threads_per_fold is not None:
        torch.set_num_threads(parameters.threads_per_fold)
    examples = list(load_squad(**parameters.load_options()))
    parameters = parameters.for_data(examples)
    qa = QA(**parameters.qa_options())
    trainer = QATrainer(qa, parameters.max_length, parameters.label_map)
    splits = make_splits(examples, **parameters.split_options())
    training = parameters.train_options(qa)
    plans = plan_folds(examples, trainer, splits, parameters.seed, parameters.folds_dir, training)
    plan, group = plans[fold_index], None
    if torch.distributed.is_initialized():
        # A group of its own, since the first process may have to wait for another run on the same fold.
        group = torch.distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    if state.is_main_process:
        is_needed = False

        def call_others() -> None:
            nonlocal is_needed
            if not is_needed:
                is_needed = _broadcast_is_needed(group, True)

        try:
            FoldMaking(plan, examples, trainer, print, ProgressLine().update, before_training=call_others).fold()
        finally:
            if not is_needed:
                _broadcast_is_needed(group, False)
    elif _broadcast_is_needed(group):
        states = TrainingStates(unfinished_folder(plan.folder), plan.key, lambda line: None)
        FoldMaking(plan, examples, trainer, lambda line: None).train(states)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the fold that the command line names; return 0, or 2 if a parameter or a file of them is wrong."""
    parser = argparse.ArgumentParser(prog="span-label-errors fold", description=__doc__.partition("\n")[0])
    parser.add_argument("--fold", type=int, required=True, help="which fold, from 0")
    named = {"nargs": 2, "metavar": ("NAME", "VALUE")}
    for flag, name, kind, help_text in (
        ("-f", "--parameters_file", {"metavar": "FILE"}, "a YAML file of parameters"),
        ("-y", "--parameters_yaml", {"metavar": "YAML"}, "parameters as YAML, such as 'num_examples: null'"),
        ("-p", "--parameters", named, "a parameter; numbers, True, False and None are recognised"),
        ("-r", "--parameters_raw", named, "a parameter whose value is a text"),
    ):
        parser.add_argument(flag, name, action="append", default=[], help=help_text, **kind)
    options = parser.parse_args(arguments)
    try:
        make_fold(read_parameters(options), options.fold)
    except ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0
