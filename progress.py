"""One line of progress, overwritten in place: in a notebook, in a terminal, and not at all elsewhere."""

import sys
import time

from transformers import TrainerCallback

MIN_SECONDS_BETWEEN_UPDATES = 0.5


class ProgressLine:
    """A line that shows the latest text only.

    In a notebook it is one output that is replaced, so that a notebook executed by papermill keeps the
    last text and is not flooded; on a terminal it is a line of stderr. Where neither is, it is silent.
    """

    def __init__(self):
        self._display = _notebook_display()
        self._last_update = float("-inf")

    def update(self, text: str, *, force: bool = False) -> None:
        """Show `text` instead of what was shown before, at most twice a second unless forced."""
        now = time.monotonic()
        if not force and now - self._last_update < MIN_SECONDS_BETWEEN_UPDATES:
            return
        self._last_update = now
        if self._display is not None:
            self._display.update({"text/plain": text}, raw=True)
        elif sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Empty the line, so that what is printed next stands alone."""
        self.update("", force=True)


class TrainingProgress(TrainerCallback):
    """Show epoch, step and loss of a `Trainer` on a progress line."""

    def __init__(self, line: ProgressLine, title: str):
        self.line, self.title, self.loss = line, title, ""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "loss" in logs:
            self.loss = f" · loss {logs['loss']:.4f}"

    def on_step_end(self, args, state, control, **kwargs):
        done = bar(state.global_step / state.max_steps)
        self.line.update(f"{self.title} · training {done} step {state.global_step} of {state.max_steps}{self.loss}")


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
