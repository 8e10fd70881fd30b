"""Progress, overwritten in place: in a notebook, in a terminal, and not at all elsewhere."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence

MIN_SECONDS_BETWEEN_UPDATES = 0.5


class ProgressLine:
    """A line, or several, that show the latest text only.

    In a notebook it is one output that is replaced, so that a notebook executed by papermill keeps the
    last text and is not flooded; on a terminal they are lines of stderr. Where neither is, it is silent.
    """

    def __init__(self):
        self._display = None
        self._is_shown = False
        self._last_update = float("-inf")
        self._lines_shown = 1

    def update(self, text: str, *, force: bool = False) -> None:
        """Show `text` instead of what was shown before, at most twice a second unless forced; an empty one at once."""
        now = time.monotonic()
        if text and not force and now - self._last_update < MIN_SECONDS_BETWEEN_UPDATES:
            return
        if not text and not self._is_shown:
            return
        self._last_update = now
        if not self._is_shown:
            self._is_shown, self._display = True, _notebook_display()
        if self._display is not None:
            self._display.update({"text/plain": text}, raw=True)
        elif sys.stderr.isatty():
            # A line that wraps could not be overwritten.
            width = shutil.get_terminal_size().columns - 1
            lines = [line[:width] for line in text.split("\n")]
            to_first = f"\033[{self._lines_shown - 1}A" if self._lines_shown > 1 else ""
            print(f"\r{to_first}\033[J" + "\n".join(lines), end="", file=sys.stderr, flush=True)
            self._lines_shown = len(lines)

    def clear(self) -> None:
        """Empty the line, so that what is printed next stands alone."""
        self.update("")


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

    def update(self, title: str, text: str, *, force: bool = False) -> None:
        """Show `text` for a fold instead of what was shown before; nothing if it is empty."""
        with self._lock:
            self._texts[title] = text
            self._line.update("\n".join(filter(None, self._texts.values())), force=force)

    def log(self, text: str) -> None:
        """Log a line, above what is shown."""
        with self._lock:
            self._line.clear()
            self._log(text)

    def clear(self) -> None:
        """Show nothing any more."""
        with self._lock:
            self._line.clear()


class TrainingProgress:
    """Show step and loss of a training with a function that gets a text; see `QATrainer.train`, `on_step`."""

    def __init__(self, show: Callable[[str], None], title: str):
        self.show, self.title = show, title

    def __call__(self, step: int, num_steps: int, loss: float | None) -> None:
        shown = "" if loss is None else f" · loss {loss:.4f}"
        self.show(f"{self.title} · training {bar(step / num_steps)} step {step} of {num_steps}{shown}")


def bar(share: float, width: int = 20) -> str:
    """Draw a share from 0 to 1, such as `█████░░░░░  50%`."""
    full = round(share * width)
    return f"{'█' * full}{'░' * (width - full)} {share:4.0%}"


def _notebook_display():
    """Return a display handle if this runs in a Jupyter kernel, else None."""
    # IPython is looked up, not imported: where it is not loaded, this is no notebook.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return ipython.display.display({"text/plain": ""}, raw=True, display_id=True)
