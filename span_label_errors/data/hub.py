"""Tell paths from names on the Hugging Face Hub, and a Hub that answers from one that does not."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import get_session


def local_path(name: str) -> Path:
    """Return `name`, a path or a name on the Hub, as a path with `~` expanded.

    Raises
    ------
    ValueError
        If it can be neither of them.
    """
    shown = repr(name) if len(name) <= 60 else f"{name[:60]!r}… of {len(name):,} characters"
    try:
        if not name.strip():
            raise ValueError("it is empty")
        path = Path(name).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError, RuntimeError) as error:
        # A null byte, half of a surrogate pair, a name that is too long, or the home folder of nobody.
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"expected a path or a name on the Hub, found {shown}: {reason}") from error
    return path


@contextlib.contextmanager
def asking_hub(name: str, instead: str) -> Iterator[None]:
    """Load something from the Hub in the block, after one request that shows whether the Hub answers at all.

    Without a network, the libraries in the block still find files in the cache. With HF_HUB_OFFLINE=1 there is no
    request.

    Parameters
    ----------
    name : str
        What is loaded.
    instead : str
        What the user can do without the Hub, for the message.

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
