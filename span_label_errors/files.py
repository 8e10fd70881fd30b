"""Write files and folders whole or not at all, lock them, hash them, and say where relative paths start."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

_PACKAGE = Path(__file__).resolve().parent


def clone_root() -> Path | None:
    """Return the root of the clone of this project that the code runs from; None where pip has installed it."""
    folder = _PACKAGE.parent
    return folder if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file() else None


def project_root() -> Path:
    """Return where relative paths start: the project's root inside a clone, the working directory otherwise."""
    return clone_root() or Path.cwd()


def demo_folder() -> Path:
    """Return the folder of the embedded data, which a wheel has inside the package."""
    root = clone_root()
    return root / "data" if root else _PACKAGE / "demo_data"


def reader_folder() -> Path:
    """Return the folder of the embedded reader, which a wheel has inside the package."""
    root = clone_root()
    return root / "data" / "reader" if root else _PACKAGE / "reader"


def notebooks_folder() -> Path:
    """Return the folder of the notebooks, which a wheel has inside the package."""
    root = clone_root()
    return root / "notebooks" if root else _PACKAGE / "notebooks"


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file; hashed again only when its size or time changed."""
    status = file.stat()
    return _file_sha256(file, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _file_sha256(file: Path, size: int, mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Write a file, text as UTF-8 with its newlines as they are, that gets its name `path` once it is whole.

    Its folder is created if need be. A file that had the name is replaced, or stays as it is if this fails.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = Path(path)
    partial = check_writable(path.parent) / f".{path.name}.partial"
    try:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def partial_folder(path: Path) -> Path:
    """Return a new, empty folder beside `path` to prepare its content in.

    What an earlier, unfinished attempt left there is removed.
    """
    partial = path.with_name(f".{path.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return partial


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that gets its name `path` if the block ends well, and is removed if not.

    A folder that had the name is replaced.
    """
    partial = partial_folder(path)
    try:
        yield partial
        replace_folder(partial, path)
    finally:
        if partial.exists():
            shutil.rmtree(partial)


def replace_folder(finished: Path, path: Path) -> None:
    """Give a folder the name `path`; a folder that had the name is removed."""
    outdated = path.with_name(f".{path.name}.outdated")
    if outdated.exists():
        shutil.rmtree(outdated)
    if path.exists():
        path.rename(outdated)
    finished.rename(path)
    if outdated.exists():
        shutil.rmtree(outdated)


@contextlib.contextmanager
def exclusive(path: str | Path, log: Callable[[str], None]) -> Iterator[str | None]:
    """Hold a lock for the length of the block; if another process holds it, log which one, and wait.

    The lock belongs to the operating system and ends with its process, so a file that a dead process left behind
    blocks nobody.

    Parameters
    ----------
    path : str or Path
        The lock file. Its folder must be there.
    log : callable
        Gets one line if this has to wait.

    Yields
    ------
    str or None
        Which process died while it held the lock, if the last one did.
    """
    path = Path(path)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = _holder(path) or "another process"
        log(f"{path.name}: {holder} works on this; waiting until it has finished (interrupt to stop waiting)")
        lock.acquire(poll_interval=0.2)
    try:
        died = _holder(path)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        path.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": now}))
        yield died
    finally:
        # Removed while the lock is still held: whoever waits notices, and makes a new file.
        path.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str | None:
    """Return which process a lock file names; None if it has not written its name."""
    try:
        return "process {process} on {host} (since {since})".format_map(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
