"""Tell paths from names on the Hugging Face Hub, and a Hub that answers from one that does not."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import get_session

# What file systems bear, in bytes: a path, and one name in it.
_LONGEST_PATH, _LONGEST_NAME = 4095, 255


def local_path(name: str) -> Path:
    """Return what may be a path or a name on the Hub as a path, `~` expanded.

    Raises
    ------
    ValueError
        If it can be neither.
    """
    shown = repr(name) if len(name) <= 60 else f"{name[:60]!r}… of {len(name):,} characters"
    try:
        parts = [len(part.encode("utf-8")) for part in name.split("/")]
    except UnicodeEncodeError as error:
        raise ValueError(f"expected a path or a name on the Hub, found half of a surrogate pair in {shown}") from error
    if not name.strip() or "\0" in name or sum(parts) + len(parts) > _LONGEST_PATH or max(parts) > _LONGEST_NAME:
        raise ValueError(f"expected a path or a name on the Hub, found {shown}")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name}: expected the home folder of a user, found none; give the whole path") from error


@contextlib.contextmanager
def asking_hub(name: str, instead: str) -> Iterator[None]:
    """Let a block load something from the Hub, after one question that shows whether the Hub answers at all.

    Whatever else goes wrong is left to the libraries: they find files in the cache without a network, and say what a
    proxy answered. With HF_HUB_OFFLINE=1 nothing is asked.

    Parameters
    ----------
    name : str
        What is loaded.
    instead : str
        What can be done without the Hub, beside using its cache.

    Raises
    ------
    ConnectionError
        If the block raises anything, or no answer comes within HF_HUB_ETAG_TIMEOUT seconds.
    """
    try:
        _check_answer()
        yield
    except Exception as error:
        # An unknown name, a missing split, no network, offline mode and a proxy that refuses have no common type, and
        # some come from libraries beneath the Hub's.
        raise ConnectionError(
            f"{name}: no such file or folder, and could not be loaded from the Hugging Face Hub "
            f"({type(error).__name__}: {error}).\nIf this machine cannot reach the Hub, {instead}, or set "
            "HF_HUB_OFFLINE=1 to use files that are already in the cache."
        ) from error


def _check_answer() -> None:
    if constants.is_offline_mode():
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:
        if _timed_out(error):
            raise TimeoutError(
                f"{constants.ENDPOINT} did not answer within {constants.HF_HUB_ETAG_TIMEOUT} s; if it is only slow, "
                "set HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT to more seconds"
            ) from error


def _timed_out(error: BaseException | None) -> bool:
    # The types of time-outs belong to libraries beneath the Hub's client; what they were caused by does not.
    while error is not None and not isinstance(error, TimeoutError):
        error = error.__cause__ or error.__context__
    return error is not None
