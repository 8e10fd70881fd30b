"""The saved state of an unfinished training: one safetensors file without pickle, which is whole or not used."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from span_label_errors.files import check_writable, file_sha256

_MOST_TIME_FOR_STATES = 0.05  # of the training's


class TrainingState(NamedTuple):
    """What a saved state holds."""

    tensors: dict[str, torch.Tensor]
    record: dict  # JSON


class TrainingStates:
    """The saved states of one unfinished training, in a folder of its own.

    A file gets its name, with its SHA-256, once it is whole.

    Parameters
    ----------
    folder : Path
    key : str
        Of everything that shapes the training: data, settings, seed, code. A state of another key is never used.
    log : callable
        Gets a line about a state that is used, or cannot be used.
    seconds : float
        Between two states, which is the most work that a run loses when it dies. A state that takes long to save is
        saved less often.
    """

    def __init__(self, folder: Path, key: str, log: Callable[[str], None] = print, seconds: float = 60.0):
        self.folder, self.key, self.log, self._seconds = folder, key, log, seconds
        self._last_saved, self._seconds_to_save = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """Return whether it is time to save the state again."""
        pause = max(self._seconds, self._seconds_to_save / _MOST_TIME_FOR_STATES)
        return time.monotonic() - self._last_saved >= pause

    def save(self, step: int, state: TrainingState) -> Path:
        """Save the state after a step, then remove the earlier ones, which stay if this raises OSError."""
        started = time.monotonic()
        partial = check_writable(self.folder) / f".step_{step}.partial"
        try:
            metadata = {"key": self.key, "record": json.dumps(state.record)}
            with tensors_error_as_oserror(partial):
                save_file(state.tensors, partial, metadata)
            saved = partial.rename(self.folder / f"step_{step}-{file_sha256(partial)}.safetensors")
        finally:
            partial.unlink(missing_ok=True)
        for file in self._files():
            if file != saved:
                file.unlink()
        self._last_saved = time.monotonic()
        self._seconds_to_save = self._last_saved - started
        return saved

    def load(self) -> TrainingState | None:
        """Return the latest state that is whole and of this key, or None; remove later ones, which are not."""
        for half_written in self.folder.glob(".step_*.partial"):
            half_written.unlink()
        for file in self._files():
            if file_sha256(file) != file.stem.rpartition("-")[2]:
                problem = "is damaged: its SHA-256 is not the one in its name"
            else:
                with safe_open(file, framework="pt") as stored:
                    metadata = stored.metadata()
                    if metadata["key"] == self.key:
                        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
                        self.log(f"was interrupted; goes on after step {_step(file)} of its training")
                        return TrainingState(tensors, json.loads(metadata["record"]))
                problem = "is of another configuration"
            self.log(f"{file.name} {problem}; not used")
            file.unlink()
        return None

    def clear(self) -> None:
        """Remove all states."""
        for file in self._files():
            file.unlink()

    def _files(self) -> list[Path]:
        """Return the files of states, the latest first."""
        return sorted(self.folder.glob("step_*.safetensors"), key=_step, reverse=True)


def _step(file: Path) -> int:
    return int(file.stem.partition("-")[0].removeprefix("step_"))


@contextlib.contextmanager
def tensors_error_as_oserror(path: Path) -> Iterator[None]:
    """Raise OSError where safetensors, which has an error of its own, could not write."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path}: expected to write weights there; {error}") from error
