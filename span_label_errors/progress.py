"""Progress, overwritten in place: in a notebook, in a terminal, and not at all elsewhere."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_UPDATES = 0.5


class ProgressLine:
    """A line, or several, that show the latest text only.

    A notebook shows it as one output that is replaced, so papermill keeps the last text only. A terminal
    shows it as lines of stderr. Elsewhere it is silent.
    """

    def __init__(self):
        self._display = None
        self._is_shown = False
        self._num_lines = 1

    def update(self, text: str) -> None:
        """Show `text` instead of what was shown before; an empty text clears the line."""
        if not text and not self._is_shown:
            return
        if not self._is_shown:
            self._is_shown, self._display = True, _notebook_display()
        if self._display is not None:
            self._display.update({"text/plain": text}, raw=True)
        elif getattr(sys.stderr, "isatty", bool)():  # of a process without one, it is None
            # A line that wraps could not be overwritten.
            width = shutil.get_terminal_size().columns - 1
            lines = [line[:width] for line in text.split("\n")]
            to_first = f"\033[{self._num_lines - 1}A" if self._num_lines > 1 else ""
            print(f"\r{to_first}\033[J" + "\n".join(lines), end="", file=sys.stderr, flush=True)
            self._num_lines = len(lines)


class ProgressLines:
    """Show the latest text of each of several folds, a line each, in one place, from any thread.

    Parameters
    ----------
    titles : sequence of str
        Of the folds, in the order in which they are shown.
    log : callable
        Gets the lines that are to stay.
    """

    def __init__(self, titles: Sequence[str], log: Callable[[str], None]):
        self._texts, self._log = dict.fromkeys(titles, ""), log
        self._line, self._lock = ProgressLine(), threading.Lock()

    def update(self, title: str, text: str) -> None:
        """Show `text` for a fold instead of what was shown before; nothing if it is empty."""
        with self._lock:
            self._texts[title] = text
            self._line.update("\n".join(filter(None, self._texts.values())))

    def log(self, text: str) -> None:
        """Log a line, above what is shown."""
        with self._lock:
            self._line.update("")
            self._log(text)

    def clear(self) -> None:
        """Show nothing any more."""
        with self._lock:
            self._line.update("")


def limited(show: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that passes its text to `show` at most twice a second, and drops the others."""
    last = float("-inf")

    def show_now_and_then(text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_UPDATES:
            last = now
            show(text)

    return show_now_and_then


def bar(share: float, width: int = 20) -> str:
    """Draw a share from 0 to 1, such as `█████░░░░░  50%`."""
    full = round(share * width)
    return f"{'█' * full}{'░' * (width - full)} {share:4.0%}"


def counted(items: Iterable[T], total: int, title: str, show: Callable[[str], None]) -> Iterator[T]:
    """Yield items, and show before each how many of them are done."""
    for number, item in enumerate(items):
        show(f"{title} {bar(number / total)} {number:,} of {total:,}")
        yield item


def training_progress(title: str, step: int, num_steps: int, loss: float | None) -> str:
    """Say how far a training is; its step, steps and loss are those of `QATrainer.train`'s `on_step`."""
    latest = "" if loss is None else f" · loss {loss:.4f}"
    return f"{title} · training {bar(step / num_steps)} step {step} of {num_steps}{latest}"


def _notebook_display():
    """Return a display handle if this runs in a Jupyter kernel, else None."""
    # IPython is looked up, not imported: where it is not loaded, this is no notebook.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return ipython.display.display({"text/plain": ""}, raw=True, display_id=True)
