"""Progress, overwritten in place: in a notebook, in a terminal, and not at all elsewhere."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from atomic_files import write_file

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
        """Show `text` instead of what was shown before, at most twice a second unless forced."""
        now = time.monotonic()
        if not force and now - self._last_update < MIN_SECONDS_BETWEEN_UPDATES:
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
        if self._is_shown:
            self.update("", force=True)


class ProgressFile:
    """A file that holds the latest text, for a `ProgressBoard` in another process or on another machine."""

    def __init__(self, path: Path):
        self._path = path
        self._last_update = float("-inf")

    def update(self, text: str) -> None:
        """Write `text`, at most twice a second."""
        now = time.monotonic()
        if now - self._last_update >= MIN_SECONDS_BETWEEN_UPDATES:
            self._last_update = now
            write_file(self._path, text)

    def clear(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


class ProgressBoard:
    """Show what several progress files hold, a line each, for the length of a `with` block.

    Parameters
    ----------
    paths : sequence of Path
        Of progress files, which come and go.
    log : callable
        Gets the lines that are to stay.
    """

    def __init__(self, paths: Sequence[Path], log: Callable[[str], None]):
        self._paths, self._log = paths, log
        self._line, self._lock, self._over = ProgressLine(), threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def log(self, text: str) -> None:
        """Log a line, above what is shown; from any thread."""
        with self._lock:
            self._line.clear()
            self._log(text)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()
        self._line.clear()

    def _show(self) -> None:
        while not self._over.wait(MIN_SECONDS_BETWEEN_UPDATES):
            with self._lock:
                self._line.update("\n".join(text for path in self._paths if (text := _text_of(path))), force=True)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        # Not begun, or ended just now.
        return ""


class TrainingProgress:
    """Show step and loss of a training on a progress line, or in a progress file; see `QATrainer.train`, `on_step`."""

    def __init__(self, line: ProgressLine | ProgressFile, title: str):
        self.line, self.title = line, title

    def __call__(self, step: int, num_steps: int, loss: float | None) -> None:
        shown = "" if loss is None else f" · loss {loss:.4f}"
        self.line.update(f"{self.title} · training {bar(step / num_steps)} step {step} of {num_steps}{shown}")


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
