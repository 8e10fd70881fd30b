"""Write files and folders whole or not at all: under another name first, then renamed."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def check_writable(folder: str | Path) -> Path:
    """Create a folder if need be and check that files can be written there.

    Raises
    ------
    OSError
        If not; the message says which folder and what to do.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(
            error.errno, f"expected a folder that can be written ({error.strerror}); choose another", str(folder)
        ) from error
    return folder


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(temporary_path)` write a file, then give it its name."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def partial_folder(path: Path) -> Path:
    """Return a new, empty folder beside `path` to prepare its content in.

    What an earlier, unfinished attempt left there is removed.
    """
    partial = path.with_name(f".{path.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return partial


def finish_folder(partial: Path, path: Path) -> None:
    """Give a prepared folder its name; a folder that has the name already is replaced."""
    outdated = path.with_name(f".{path.name}.outdated")
    if outdated.exists():
        shutil.rmtree(outdated)
    if path.exists():
        path.rename(outdated)
    partial.rename(path)
    if outdated.exists():
        shutil.rmtree(outdated)
