"""One run at a time where two would write the same."""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

_SECONDS_BETWEEN_TRIES = 0.2


@contextlib.contextmanager
def exclusive(path: str | Path, log: Callable[[str], None]) -> Iterator[bool]:
    """Hold a lock for the length of the block; where another process holds it, say who, and wait.

    The lock is the operating system's, on an open file: it ends with the process that holds it, however that ends, so
    a file that a dead process left behind blocks nobody.

    Parameters
    ----------
    path : str or Path
        The lock file. Its folder must be there.
    log : callable
        Gets one line if this has to wait.

    Yields
    ------
    bool
        Whether it had to wait, so that what the lock protects may have changed.
    """
    path = Path(path)
    lock = FileLock(path, on_acquired=_sign)
    try:
        lock.acquire(timeout=0)
        waited = False
    except Timeout:
        log(f"{path.name}: {_holder(path)} works on this; waiting until it has finished (interrupt to stop waiting)")
        lock.acquire(poll_interval=_SECONDS_BETWEEN_TRIES)
        waited = True
    try:
        yield waited
    finally:
        # While it is still held: who waits for it notices that the file has gone, and makes a new one.
        path.unlink(missing_ok=True)
        lock.release()


def abandoned(path: str | Path) -> str | None:
    """Say who held a lock last, if that process died with it; only meaningful while nobody holds it."""
    return _holder(Path(path)) if Path(path).exists() else None


def _sign(descriptor: int) -> None:
    signature = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(signature).encode(), 0)


def _holder(path: Path) -> str:
    try:
        signature = json.loads(path.read_text(encoding="utf-8"))
        return "process {process} on {host}, since {since},".format_map(signature)
    except (OSError, ValueError, KeyError, TypeError):
        # It holds the lock, but has not signed yet.
        return "another process"
