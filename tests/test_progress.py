"""Progress: a line that is overwritten, and a line for each of several folds."""

import io
import os
import sys
import time
import types
from types import SimpleNamespace

import pytest

from span_label_errors import progress
from span_label_errors.progress import ProgressLine, ProgressLines, bar, counted, limited


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown_on_terminal(monkeypatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.mark.parametrize(
    ("share", "width", "drawn"),
    [
        (0, 20, "░░░░░░░░░░░░░░░░░░░░   0%"),
        (1 / 3, 20, "███████░░░░░░░░░░░░░  33%"),
        (1, 20, "████████████████████ 100%"),
        (0.5, 4, "██░░  50%"),
    ],
)
def test_bar_draws_a_share(share, width, drawn):
    assert bar(share, width) == drawn


def test_counted_items_come_with_a_bar_of_those_before():
    shown = []
    assert list(counted("abcd", 4, "reading", shown.append)) == ["a", "b", "c", "d"]
    assert shown[0] == f"reading {bar(0)} 0 of 4"
    assert shown[3] == f"reading {bar(0.75)} 3 of 4"
    next(counted([1], 87_599, "reading", shown.append))
    assert shown[4:] == [f"reading {bar(0)} 0 of 87,599"]


def test_progress_is_silent_without_terminal_and_notebook(capfd):
    line = ProgressLine()
    line.update("one")
    line.update("")
    assert capfd.readouterr() == ("", "")


def test_progress_is_silent_where_there_is_no_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    line = ProgressLine()
    line.update("half")
    line.update("")


def test_progress_overwrites_its_line_on_a_terminal(monkeypatch, capsys):
    terminal = shown_on_terminal(monkeypatch)
    line = ProgressLine()
    for text in ("", "one", "two", ""):  # at first, nothing is there to be cleared
        line.update(text)
    assert terminal.getvalue() == "\r\033[Jone\r\033[Jtwo\r\033[J"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("shell", "is_notebook"), [("kernel", True), ("terminal", False), (None, False)])
def test_progress_replaces_one_output_of_a_notebook(monkeypatch, capfd, shell, is_notebook):
    shown = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))
    ipython = types.ModuleType("IPython")
    shells = {"kernel": SimpleNamespace(kernel=object()), "terminal": SimpleNamespace(), None: None}
    ipython.get_ipython = lambda: shells[shell]
    ipython.display = SimpleNamespace(display=lambda *arguments, display_id, raw: handle)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    line = ProgressLine()
    line.update("one")
    line.update("end")
    assert shown == (["one", "end"] if is_notebook else [])
    assert capfd.readouterr() == ("", "")


def test_what_comes_too_soon_is_not_shown():
    shown = []
    show = limited(shown.append)
    for text in ("first", "too soon"):
        show(text)
    time.sleep(progress.SECONDS_BETWEEN_UPDATES)
    show("later")
    assert shown == ["first", "later"]


def test_several_lines_are_overwritten_together(monkeypatch):
    """Before each text the cursor goes up to the first line that is shown, and all below it is erased."""
    terminal = shown_on_terminal(monkeypatch)
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((6, 24)))
    line = ProgressLine()
    for text in ("fold 0\nfold 1 is long\ntwo", "one", "a\nb"):
        line.update(text)
    line.update("")
    line.update("end")
    assert terminal.getvalue() == (
        "\r\033[Jfold \nfold \ntwo"
        "\r\033[2A\033[Jone"
        "\r\033[Ja\nb"
        "\r\033[1A\033[J"
        "\r\033[Jend"
    )  # fmt: skip


def test_folds_have_a_line_each_in_their_order(monkeypatch):
    """A line that stays is printed where nothing is shown."""
    terminal = shown_on_terminal(monkeypatch)
    shown = ProgressLines(["fold 0", "fold 1"], lambda text: terminal.write(f"{text}\n"))
    shown.log("begun")
    shown.update("fold 1", "second")
    shown.update("fold 0", "first")
    shown.log("fold 0: done")
    shown.update("fold 0", "")
    shown.clear()
    assert terminal.getvalue() == (
        "begun\n\r\033[Jsecond\r\033[Jfirst\nsecond\r\033[1A\033[Jfold 0: done\n\r\033[Jsecond\r\033[J"
    )
