"""The examples of a run in one file in `folds_dir`, where every process that makes one of its folds reads them.

A job names the file. So a data set is sent once, however many folds, processes and machines there are. Each line is a
JSON list of two: contexts that were not in the lines before, and examples, whose `context` is a number among all
contexts so far. The file is there while a run needs it.
"""

import contextlib
import fcntl
import functools
import itertools
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from span_label_errors.cross_validation.store import data_fingerprint
from span_label_errors.files import exclusive

# In one line: a JSON decoder keeps the names of fields once a line, and few lines are read faster than many.
_EXAMPLES_OF_LINE = 1000
_AGAIN = "run again, and it is written anew"


@contextlib.contextmanager
def shared_examples(
    folds_dir: Path, fingerprint: str, examples: Sequence[dict], log: Callable[[str], None]
) -> Iterator[Path]:
    """Yield a file with the examples, which is there for the length of the block.

    Runs with the same data, of which `fingerprint` is the `data_fingerprint`, share the file, and the last one removes
    it. Each holds a shared lock on it, which ends with its process. So what a killed run leaves behind is reused, and
    removed, by the next run with these data that makes folds in other processes.
    """
    file = folds_dir / f".examples-{fingerprint[:12]}.jsonl"
    alone = functools.partial(exclusive, file.with_name(f"{file.name}.lock"), log)
    with contextlib.ExitStack() as stack:
        with alone():
            if not file.exists():
                _write(file, examples)
            # For writing: network file systems lock nothing else exclusively.
            held = stack.enter_context(file.open("r+b"))
            fcntl.flock(held, fcntl.LOCK_SH)
        try:
            yield file
        finally:
            # No lock that others share becomes exclusive.
            with alone(), contextlib.suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink(missing_ok=True)


def read_examples(file: Path, fingerprint: str) -> list[dict]:
    """Return the examples of `shared_examples`, equal contexts as the same object.

    Raises
    ------
    FileNotFoundError
        If there is no such file on this machine.
    ValueError
        If the file is damaged, or of other data than `fingerprint` says.
    """
    contexts: list[str] = []
    examples: list[dict] = []
    try:
        with file.open("rb") as lines:
            for line in lines:
                new_contexts, part = json.loads(line)
                contexts += new_contexts
                for example in part:
                    example["context"] = contexts[example["context"]]
                examples += part
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{file}: expected the examples of the run, found no such file on {socket.gethostname()}; folds_dir must "
            "be a folder that all machines share"
        ) from None
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{file}: expected the examples of the run, found it damaged ({error}); {_AGAIN}") from error
    found = data_fingerprint(examples)
    if found != fingerprint:
        raise ValueError(f"{file}: expected examples with the fingerprint {fingerprint}, found {found}; {_AGAIN}")
    return examples


def _write(file: Path, examples: Sequence[dict]) -> None:
    """Write the file, which gets its name once it is whole."""
    partial = file.with_name(f"{file.name}.partial")
    number_of: dict[str, int] = {}
    try:
        with partial.open("w", encoding="ascii") as lines:
            for first_index in range(0, len(examples), _EXAMPLES_OF_LINE):
                part = examples[first_index : first_index + _EXAMPLES_OF_LINE]
                contexts = dict.fromkeys(example["context"] for example in part)
                new_contexts = [context for context in contexts if context not in number_of]
                number_of.update(zip(new_contexts, itertools.count(len(number_of)), strict=False))
                numbered = [{**example, "context": number_of[example["context"]]} for example in part]
                lines.write(json.dumps([new_contexts, numbered]) + "\n")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
