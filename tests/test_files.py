"""Files and folders that are whole or not there, locks, hashes, and where relative paths start."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest
from conftest import ROOT
from fault_runs import PROCESSES

from span_label_errors import files
from span_label_errors.files import (
    check_writable,
    clone_root,
    exclusive,
    file_sha256,
    new_folder,
    partial_folder,
    project_root,
)


def test_file_is_hashed_again_when_size_or_time_changed(tmp_path):
    file = tmp_path / "file"
    for content, time in ((b"one", 1), (b"two", 2), (b"longer", 2)):
        file.write_bytes(content)
        os.utime(file, (time, time))
        assert file_sha256(file) == hashlib.sha256(content).hexdigest()


def test_relative_paths_start_at_the_root_of_a_clone_or_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert clone_root() == project_root() == ROOT
    (tmp_path / "installed" / "package").mkdir(parents=True)
    shutil.copy(files.__file__, tmp_path / "installed" / "package")
    code = "import sys; sys.path.append('installed'); from package.files import *; print(clone_root(), project_root())"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["None", str(tmp_path)]


# --- folders written whole ------------------------------------------------------------------------


@pytest.mark.parametrize("old", [None, "old"])
def test_folder_of_a_failed_block_is_removed_and_an_old_one_kept(tmp_path, old):
    path = tmp_path / "model"
    if old is not None:
        path.mkdir()
        (path / "file").write_text(old)
    with pytest.raises(KeyboardInterrupt), new_folder(path) as folder:
        (folder / "file").write_text("half")
        raise KeyboardInterrupt
    found = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")}
    assert found == (set() if old is None else {"model", "model/file"})
    assert old is None or (path / "file").read_text() == old


def test_partial_folder_is_empty_and_beside_its_place(tmp_path):
    partial = partial_folder(tmp_path / "new" / "model")
    assert (partial.parent, list(partial.iterdir())) == (tmp_path / "new", [])
    (partial / "half").mkdir()
    assert partial_folder(tmp_path / "new" / "model") == partial
    assert list(partial.iterdir()) == []


def test_finished_folder_replaces_what_has_its_name(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    for name in ("old", "both"):
        (path / name).write_text("old")
    # What a killed run left under the other name does not stand in the way.
    (tmp_path / ".model.outdated" / "deep").mkdir(parents=True)
    with new_folder(path) as folder:
        for name in ("new", "both"):
            (folder / name).write_text("new")
        assert not (path / "new").exists()
    assert {file.name: file.read_text() for file in path.iterdir()} == {"new": "new", "both": "new"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("below", "error", "reason"),
    [(".", FileExistsError, "File exists"), ("sub", NotADirectoryError, "Not a directory")],
)
def test_folder_that_cannot_be_written_is_named(tmp_path, below, error, reason):
    (tmp_path / "file").write_text("text")
    folder = tmp_path / "file" / below
    with pytest.raises(error) as caught:
        check_writable(folder)
    assert caught.value.strerror == f"expected a folder that can be written ({reason}); choose another"
    assert str(caught.value).endswith(f"choose another: '{folder}'")


# --- locks ----------------------------------------------------------------------------------------


def hold(path, is_held, may_end) -> None:
    with exclusive(path, print):
        is_held.set()
        may_end.wait(60)


def other_process(path):
    """Start a process that holds a lock until the event that is returned."""
    is_held, may_end = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(path, is_held, may_end))
    process.start()
    assert is_held.wait(60)
    return process, may_end


def test_free_lock_is_taken_at_once_and_names_its_process(tmp_path):
    lines = []
    for _ in range(2):
        with pytest.raises(ValueError, match="in the block"), exclusive(tmp_path / "lock", lines.append) as died:
            content = json.loads((tmp_path / "lock").read_text())
            assert (content["process"], content["host"]) == (os.getpid(), socket.gethostname())
            assert died is None
            raise ValueError("in the block")
        assert list(tmp_path.iterdir()) == []
    assert lines == []


@pytest.mark.parametrize("has_name", [True, False])
def test_lock_of_another_process_is_waited_for(tmp_path, has_name):
    process, may_end = other_process(tmp_path / "lock")
    if not has_name:
        (tmp_path / "lock").write_text("")
    lines, events = [], []

    def log(line: str) -> None:
        lines.append(line)
        events.append("waits")
        threading.Timer(0.3, lambda: (events.append("ends"), may_end.set())).start()

    with exclusive(tmp_path / "lock", log) as died:
        events.append("works")
    assert died is None
    assert events == ["waits", "ends", "works"]
    holder = f"process {process.pid} on {socket.gethostname()} (since 20" if has_name else "another process works"
    assert lines[0].startswith(f"lock: {holder}")
    process.join()


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_lock_of_a_killed_process_is_free_and_names_it(tmp_path, is_waited_for):
    process, _ = other_process(tmp_path / "lock")
    if not is_waited_for:
        process.kill()
        process.join()
    with exclusive(tmp_path / "lock", lambda line: process.kill()) as died:
        assert died.startswith(f"process {process.pid} on {socket.gethostname()} (since 20")
        assert json.loads((tmp_path / "lock").read_text())["process"] == os.getpid()
    with exclusive(tmp_path / "lock", print) as died:
        assert died is None
    process.join()
