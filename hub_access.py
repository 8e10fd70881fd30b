"""Reach the Hugging Face Hub, or say within a bounded time that it cannot be reached."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import get_session

# What file systems bear, in bytes: a path, and one name in it.
_LONGEST_PATH, _LONGEST_NAME = 4095, 255
_MOST_TRIES = 3  # of the same request, without an answer


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
def bounded_hub() -> Iterator[None]:
    """Let the block use the Hub, but not wait for ever.

    The libraries ask for lists of files without any time-out, and repeat other requests for minutes.

    Raises
    ------
    TimeoutError
        If the Hub does not answer at all, or an error of the block was caused by a time-out.
    """
    if constants.is_offline_mode():
        yield
        return
    session, patience = get_session(), _Patience()
    hooks = session.event_hooks
    session.event_hooks = {
        "request": [*hooks["request"], patience.before_request],
        "response": [*hooks["response"], patience.after_answer],
    }
    try:
        try:
            session.head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except Exception as error:
            # Of anything but a time-out the libraries make the best: they repeat it, or find the files in the cache.
            if _timed_out(error):
                raise
        yield
    except Exception as error:
        if _timed_out(error):
            raise TimeoutError(
                f"time-out: {constants.ENDPOINT} did not answer within {constants.HF_HUB_ETAG_TIMEOUT} s; if it is "
                "only slow, set HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT to more seconds"
            ) from error
        raise
    finally:
        session.event_hooks = hooks


class _Patience:
    """Hooks of the Hub's client: no request waits for ever, and none is repeated again and again."""

    def __init__(self):
        self.unanswered: Counter[tuple[str, str]] = Counter()

    def before_request(self, request) -> None:
        """Give a request the time-outs that it lacks; one for a file's head gets no longer ones."""
        key = request.method, str(request.url)
        if self.unanswered[key] == _MOST_TRIES:
            raise TimeoutError(f"no answer to {_MOST_TRIES} requests")
        self.unanswered[key] += 1
        is_head = request.method == "HEAD"
        limit = constants.HF_HUB_ETAG_TIMEOUT if is_head else constants.HF_HUB_DOWNLOAD_TIMEOUT
        request.extensions["timeout"] = {
            kind: limit if given is None else min(given, limit) if is_head else given
            for kind, given in request.extensions.get("timeout", {}).items()
        }

    def after_answer(self, response) -> None:
        """Forget how often was asked what is answered now."""
        self.unanswered.pop((response.request.method, str(response.request.url)), None)


def _timed_out(error: BaseException | None) -> bool:
    # The types of time-outs belong to libraries beneath the Hub's client; what they were caused by does not.
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False
