"""Progress: a line that is overwritten, a file that another process reads, and a board of several."""

import io
import os
import sys
import threading
import types
from types import SimpleNamespace

import pytest

import progress
from progress import ProgressBoard, ProgressFile, ProgressLine, TrainingProgress, bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (0, "░░░░░░░░░░░░░░░░░░░░   0%"),
        (0.25, "█████░░░░░░░░░░░░░░░  25%"),
        (1 / 3, "███████░░░░░░░░░░░░░  33%"),
        (1, "████████████████████ 100%"),
    ],
)
def test_bar_draws_a_share(share, drawn):
    assert bar(share) == drawn


def test_bar_has_the_width_asked_for():
    assert bar(0.5, width=4) == "██░░  50%"


def test_progress_is_silent_without_terminal_and_notebook(capfd):
    line = ProgressLine()
    line.update("one")
    line.update("two", force=True)
    line.update("end", force=True)
    assert capfd.readouterr() == ("", "")


def test_progress_overwrites_its_line_on_a_terminal(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = ProgressLine()
    line.update("one")
    line.update("two", force=True)
    line.clear()
    assert terminal.getvalue() == "\r\033[Jone\r\033[Jtwo\r\033[J"
    assert capsys.readouterr().out == ""


def test_progress_is_shown_twice_a_second_at_most(monkeypatch):
    terminal, clock = Terminal(), SimpleNamespace(now=100.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    line = ProgressLine()
    for now in (100.0, 100.4, 100.6, 101.0, 101.1):
        clock.now = now
        line.update(f"{now}")
    line.update("end", force=True)
    assert terminal.getvalue().split("\r\033[J") == ["", "100.0", "100.6", "101.1", "end"]


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
    line.update("end", force=True)
    assert shown == (["one", "end"] if is_notebook else [])
    assert capfd.readouterr() == ("", "")


def test_training_progress_shows_step_and_latest_loss(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = TrainingProgress(ProgressLine(), "fold 1 of 3")
    shown(1, 4, None)
    monkeypatch.setattr(progress, "MIN_SECONDS_BETWEEN_UPDATES", 0)
    shown(4, 4, 0.5)
    assert terminal.getvalue().split("\r\033[J")[1:] == [
        "fold 1 of 3 · training █████░░░░░░░░░░░░░░░  25% step 1 of 4",
        "fold 1 of 3 · training ████████████████████ 100% step 4 of 4 · loss 0.5000",
    ]


def test_several_lines_are_overwritten_together(monkeypatch):
    """Before each text the cursor goes up to the first line that is shown, and all below it is erased."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((6, 24)))
    line = ProgressLine()
    for text in ("fold 0\nfold 1 is long\ntwo", "one", "a\nb"):
        line.update(text, force=True)
    line.clear()
    line.update("end", force=True)
    assert terminal.getvalue() == (
        "\r\033[Jfold \nfold \ntwo"
        "\r\033[2A\033[Jone"
        "\r\033[Ja\nb"
        "\r\033[1A\033[J"
        "\r\033[Jend"
    )  # fmt: skip


def test_line_that_was_never_shown_is_not_cleared(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    ProgressLine().clear()
    assert terminal.getvalue() == ""


# Files and the board


def test_progress_file_is_written_twice_a_second_at_most(tmp_path, monkeypatch):
    clock, found = SimpleNamespace(now=100.0), []
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    file = ProgressFile(tmp_path / "fold" / "progress.txt")
    for now in (100.0, 100.4, 100.6, 101.0, 101.1):
        clock.now = now
        file.update(f"{now} █")
        found.append((tmp_path / "fold" / "progress.txt").read_text(encoding="utf-8"))
    assert found == ["100.0 █", "100.0 █", "100.6 █", "100.6 █", "101.1 █"]


def test_progress_file_is_removed_and_need_not_be_there(tmp_path):
    file = ProgressFile(tmp_path / "progress.txt")
    file.clear()
    file.update("one")
    assert [path.name for path in tmp_path.iterdir()] == ["progress.txt"]
    file.clear()
    assert list(tmp_path.iterdir()) == []


class Shown:
    """Stands for the line of a board: keeps what it shows, and lets a test wait for the next text."""

    def __init__(self):
        self.texts, self._changed = [], threading.Condition()

    def update(self, text, *, force=False):
        assert force
        with self._changed:
            self.texts.append(text)
            self._changed.notify_all()

    def clear(self):
        with self._changed:
            self.texts.append("(cleared)")

    def wait_for(self, text):
        """Wait until `text` is what was shown last."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.texts[-1:] == [text], timeout=30), self.texts[-5:]


@pytest.fixture
def shown(monkeypatch):
    line = Shown()
    monkeypatch.setattr(progress, "ProgressLine", lambda: line)
    monkeypatch.setattr(progress, "MIN_SECONDS_BETWEEN_UPDATES", 0.01)
    return line


def test_board_shows_files_in_their_order_as_they_come_and_go(tmp_path, shown):
    files = [tmp_path / name for name in ("b", "a", "c")]
    threads = threading.active_count()
    with ProgressBoard(files, print):
        shown.wait_for("")
        files[1].write_text("second █", encoding="utf-8")
        shown.wait_for("second █")
        files[2].write_text("third")
        files[0].write_text("first")
        shown.wait_for("first\nsecond █\nthird")
        files[1].unlink()
        shown.wait_for("first\nthird")
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads
    assert shown.texts[-1] == "(cleared)"


def test_board_clears_what_it_shows_before_a_line_is_logged(tmp_path, shown):
    (tmp_path / "file").write_text("at work")
    with ProgressBoard([tmp_path / "file"], lambda text: shown.texts.append(f"log: {text}")) as board:
        shown.wait_for("at work")
        board.log("done")
        shown.wait_for("at work")
    place = shown.texts.index("log: done")
    assert shown.texts[place - 1] == "(cleared)"
    assert set(shown.texts[place + 1 : -1]) == {"at work"}


def test_board_ends_when_the_block_fails(tmp_path, shown):
    threads = threading.active_count()
    with pytest.raises(ValueError, match="a fold"), ProgressBoard([tmp_path / "file"], print):
        raise ValueError("a fold")
    assert threading.active_count() == threads
    assert shown.texts[-1] == "(cleared)"
