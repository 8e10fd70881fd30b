"""A lock is held by one process at a time, and says by whom."""

import json
import os
import socket
import threading

from fault_runs import PROCESSES

from span_label_errors.locks import abandoned, exclusive


def hold(path, is_held, may_end) -> None:
    with exclusive(path, print):
        is_held.set()
        may_end.wait(60)


def other_process(path):
    is_held, may_end = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(path, is_held, may_end))
    process.start()
    assert is_held.wait(60)
    return process, may_end


def test_free_lock_is_taken_at_once_and_signed(tmp_path):
    said = []
    with exclusive(tmp_path / "lock", said.append) as has_waited:
        assert not has_waited
        signature = json.loads((tmp_path / "lock").read_text())
        assert (signature["process"], signature["host"]) == (os.getpid(), socket.gethostname())
    assert said == []
    assert list(tmp_path.iterdir()) == []


def test_lock_of_another_process_is_waited_for(tmp_path):
    process, may_end = other_process(tmp_path / "lock")
    said, events = [], []

    def say(line: str) -> None:
        said.append(line)
        events.append("waits")
        threading.Timer(0.3, lambda: (events.append("ends"), may_end.set())).start()

    with exclusive(tmp_path / "lock", say) as has_waited:
        events.append("works")
    assert has_waited
    assert events == ["waits", "ends", "works"]
    assert said[0].startswith(f"lock: process {process.pid} on {socket.gethostname()}, since 20")
    process.join()


def test_lock_is_free_again_after_an_error(tmp_path):
    for _ in range(2):
        try:
            with exclusive(tmp_path / "lock", print) as has_waited:
                assert not has_waited
                raise ValueError
        except ValueError:
            pass


def test_holder_that_has_not_signed_is_another_process(tmp_path):
    process, may_end = other_process(tmp_path / "lock")
    (tmp_path / "lock").write_text("")
    said = []
    threading.Timer(0.2, may_end.set).start()
    with exclusive(tmp_path / "lock", said.append):
        pass
    assert said[0].startswith("lock: another process works on this; waiting")
    process.join()


def test_lock_of_a_killed_process_blocks_nobody_and_says_who_died_with_it(tmp_path):
    assert abandoned(tmp_path / "lock") is None
    process, _ = other_process(tmp_path / "lock")
    process.kill()
    process.join()
    assert abandoned(tmp_path / "lock").startswith(f"process {process.pid} on {socket.gethostname()}, since 20")
    with exclusive(tmp_path / "lock", print) as has_waited:
        assert not has_waited
        assert json.loads((tmp_path / "lock").read_text())["process"] == os.getpid()
    assert abandoned(tmp_path / "lock") is None
    # It died before it had signed.
    (tmp_path / "lock").write_text("")
    assert abandoned(str(tmp_path / "lock")) == "another process"
