"""A Hub that does not answer, one that is not there, and names that can be no path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from span_label_errors.data.hub import local_path

# The Hub is a socket that the system accepts connections for, until it is closed; nobody reads from it.
SCRIPT = """
import json, os, socket, sys, time
from pathlib import Path

server = socket.create_server(("127.0.0.1", 0))
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.getsockname()[1]}"

from span_label_errors.model.checkpoints import resolve_checkpoint
from span_label_errors.data.squad import load_squad

def ask(function, name):
    started = time.perf_counter()
    try:
        outcome = ["found", str(function(name).path)]
    except Exception as error:
        outcome = [type(error).__name__, str(error)]
    return [*outcome, time.perf_counter() - started]

silent = [ask(resolve_checkpoint, "org/tiny"), ask(load_squad, "squad")]
server.close()
refused = [ask(resolve_checkpoint, "org/tiny"), ask(resolve_checkpoint, "org/other"), ask(load_squad, "squad")]
print(json.dumps([silent, refused]))
"""


@pytest.fixture(scope="module")
def asked(tiny_bert, tmp_path_factory) -> tuple[list, list]:
    """How calls end that ask a Hub which does not answer, then one which refuses connections; org/tiny is cached."""
    folder = tmp_path_factory.mktemp("hub")
    cached = folder / "hub" / "models--org--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("a" * 40, encoding="utf-8")
    (cached / "snapshots").mkdir()
    (cached / "snapshots" / ("a" * 40)).symlink_to(tiny_bert, target_is_directory=True)
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    del environment["HF_HUB_OFFLINE"]
    environment |= {"HF_HOME": str(folder), "HF_HUB_ETAG_TIMEOUT": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, timeout=120, check=True
    )
    silent, refused = json.loads(run.stdout)
    return silent, refused


def test_hub_that_never_answers_ends_with_what_to_do(asked):
    for kind, message, seconds in asked[0]:
        assert kind == "ConnectionError"
        parts = ["TimeoutError", "within 1 s", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_OFFLINE=1"]
        assert [part for part in parts if part not in message] == []
        assert 0.9 < seconds < 10


def test_hub_that_refuses_is_left_to_the_libraries(asked, tiny_bert):
    """They find what is in the cache, and say of the rest that there is no connection."""
    (found, path, _), *others = asked[1]
    assert (found, Path(path).resolve()) == ("found", tiny_bert.resolve())
    for kind, message, _ in others:
        assert kind == "ConnectionError"
        assert "TimeoutError" not in message
        assert "HF_HUB_OFFLINE=1" in message


@pytest.mark.parametrize("name", ["squad", "org/name:split", "./a b.json", "/é/" + "x" * 255, "a/" * 2000])
def test_possible_path(name):
    assert local_path(name) == Path(name)


def test_home_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert local_path("~/a.json") == Path("/somewhere/a.json")


@pytest.mark.parametrize("name", ["", " ", "a\0", "\ud83d", "x" * 256, "é" * 128, "a/" * 2100, "~no-such-user/a"])
def test_impossible_path(name):
    with pytest.raises(ValueError, match="expected"):
        local_path(name)
