"""A Hub that does not answer, and names that can be no path."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT
from huggingface_hub import constants
from huggingface_hub.utils import get_session

import hub_access
from hub_access import bounded_hub, local_path

CALLS = {
    "checkpoint": ["from spanbert import QA", "QA('bert-base-cased')"],
    "data set": ["from squad import load_squad", "load_squad('squad')"],
}
SCRIPT = """
import json, sys, time

ended = {}
for name, (imports, call) in json.loads(sys.argv[1]).items():
    exec(imports)
    started = time.perf_counter()
    try:
        eval(call)
    except Exception as error:
        ended[name] = [type(error).__name__, str(error), time.perf_counter() - started]
print(json.dumps(ended))
"""


class Server:
    """Accepts connections, reads requests, and answers the first few with 200, or none at all."""

    def __init__(self, num_answers: int):
        self.num_answers, self.requests, self.connections = num_answers, [], []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:  # closed
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        while received := connection.recv(65536):
            self.requests.append(received.split(b"\r\n")[0].decode())
            if len(self.requests) <= self.num_answers:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        for open_socket in (self.socket, *self.connections):
            open_socket.close()


def ask(num_answers: int, folder: Path, *names: str) -> tuple[dict, list[str]]:
    """Return how calls end that ask such a server with time-outs of a second, and what it was asked."""
    server = Server(num_answers)
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    del environment["HF_HUB_OFFLINE"]
    environment |= {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    environment |= {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    calls = json.dumps({name: CALLS[name] for name in names})
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, calls], cwd=folder, env=environment, capture_output=True, timeout=120, check=True
    )
    server.close()
    return json.loads(run.stdout), server.requests


def test_hub_that_never_answers_ends_with_what_to_do(tmp_path):
    ended, requests = ask(0, tmp_path, *CALLS)
    assert list(ended) == list(CALLS)
    for kind, message, seconds in ended.values():
        assert kind == "ConnectionError"
        assert "TimeoutError: time-out: http://127.0.0.1:" in message
        assert (
            "did not answer within 1 s; if it is only slow, set HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT"
            in message
        )
        assert "set HF_HUB_OFFLINE=1 to use files that are already in the cache" in message
        assert 0.9 < seconds < 5
    assert 'use model_checkpoint="embedded"' in ended["checkpoint"][1]
    assert 'use "demo"' in ended["data set"][1]
    assert requests == ["HEAD / HTTP/1.1"] * 2


@pytest.mark.parametrize(
    ("name", "request_line"),
    [
        # The first without a time-out of the client's own, the second again and again.
        ("checkpoint", "GET /api/models/bert-base-cased/revision/main HTTP/1.1"),
        ("data set", "HEAD /datasets/rajpurkar/squad/resolve/main/README.md HTTP/1.1"),
    ],
)
def test_hub_that_stops_answering_is_given_up(tmp_path, name, request_line):
    ended, requests = ask(1, tmp_path, name)
    kind, message, seconds = ended[name]
    assert kind == "ConnectionError"
    assert "time-out: http://127.0.0.1:" in message
    assert 0.9 < seconds < 12
    assert 1 <= requests.count(request_line) <= 3


# Within this process, where the Hub is offline unless a test says otherwise


@pytest.fixture
def online(monkeypatch):
    """A client that is told nothing, and what it was asked."""
    asked = []
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    session = SimpleNamespace(
        event_hooks={"request": ["own"], "response": []}, head=lambda *a, **k: asked.append((a, k))
    )
    monkeypatch.setattr(hub_access, "get_session", lambda: session)
    return SimpleNamespace(session=session, asked=asked)


def test_hub_is_asked_with_a_timeout_and_the_client_left_as_it_was(online):
    with bounded_hub():
        assert [len(hooks) for hooks in online.session.event_hooks.values()] == [2, 1]
        assert online.session.event_hooks["request"][0] == "own"
    assert online.session.event_hooks == {"request": ["own"], "response": []}
    assert online.asked == [((constants.ENDPOINT,), {"timeout": constants.HF_HUB_ETAG_TIMEOUT})]


def test_client_is_left_as_it_was_after_an_error(online):
    with pytest.raises(KeyError), bounded_hub():
        raise KeyError
    assert online.session.event_hooks == {"request": ["own"], "response": []}


def test_other_errors_of_the_first_question_are_left_to_the_libraries(online):
    def refuse(*args, **options):
        raise ConnectionRefusedError

    online.session.head = refuse
    entered = []
    with bounded_hub():
        entered.append(True)
    assert entered


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_error_that_a_timeout_caused_says_so(online, link):
    error, cause = ValueError("not found"), OSError("read failed")
    setattr(error, link, cause)
    setattr(cause, link, TimeoutError())
    with pytest.raises(TimeoutError, match="did not answer within 10 s") as caught, bounded_hub():
        raise error
    assert caught.value.__cause__ is error


def test_other_errors_stay_as_they_are(online):
    with pytest.raises(ValueError, match="not found"), bounded_hub():
        raise ValueError("not found")


def test_offline_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(hub_access, "get_session", None)
    with bounded_hub():
        pass


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [("GET", None, 20), ("GET", 60, 60), ("HEAD", None, 10), ("HEAD", 60, 10), ("HEAD", 3, 3)],
)
def test_timeouts_of_requests(monkeypatch, method, given, expected):
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 10)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 20)
    request = get_session().build_request(method, "http://localhost", timeout=given)
    hub_access._Patience().before_request(request)
    assert request.extensions["timeout"] == dict.fromkeys(("connect", "read", "write", "pool"), expected)


def test_request_without_an_answer_is_repeated_twice():
    patience = hub_access._Patience()
    request, other = (get_session().build_request("GET", f"http://localhost/{name}") for name in "ab")
    for _ in range(3):
        patience.before_request(request)
    patience.before_request(other)
    with pytest.raises(TimeoutError, match="no answer to 3 requests"):
        patience.before_request(request)
    patience.after_answer(SimpleNamespace(request=request))
    patience.before_request(request)


@pytest.mark.parametrize("name", ["squad", "org/name:split", "./a b.json", "/é/" + "x" * 255, "a/" * 2000])
def test_possible_path(name):
    assert local_path(name) == Path(name)


def test_home_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert local_path("~/a.json") == Path("/somewhere/a.json")


@pytest.mark.parametrize("name", ["", " ", "a\0", "\ud83d", "x" * 256, "é" * 128, "a/" * 2048, "~no-such-user/a"])
def test_impossible_path(name):
    with pytest.raises(ValueError, match="expected"):
        local_path(name)
