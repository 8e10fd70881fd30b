"""Runs that are killed, interrupted, kept from writing, or started twice: nothing is lost, nothing is repeated."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import squad_document, twelve_examples
from fault_runs import (
    NUM_STEPS,
    kill_after,
    log_of,
    pipeline,
    pipeline_that_fails,
    pipeline_that_stops,
    pipeline_that_waits,
    pipeline_with_small_files,
    results,
    run,
    start,
    steps_taken,
    wait_until,
)

# More of them with KILLS=200. The first few are part of the quick tests.
NUM_KILLS = int(os.environ.get("KILLS", "20"))


def some_quick(count: int, quick: int) -> list:
    return [pytest.param(number, marks=[] if number < quick else [pytest.mark.slow]) for number in range(count)]


def prepare(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "squad.json").write_text(json.dumps(squad_document(twelve_examples())), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return prepare(tmp_path / "run")


@pytest.fixture(scope="module")
def undisturbed(tiny_bert, tmp_path_factory):
    """The outputs of a run that nothing happened to, how long it took, and how often it touched a file."""
    assert run(pipeline, prepare(tmp_path_factory.mktemp("first")), tiny_bert) == 0  # the server imports everything
    folder = prepare(tmp_path_factory.mktemp("undisturbed"))
    started = time.monotonic()
    assert run(pipeline_that_stops, folder, tiny_bert, 0, 0) == 0
    seconds = time.monotonic() - started
    assert steps_taken(folder) == NUM_STEPS
    return results(folder / "outputs"), seconds, int((folder / "events.txt").read_text())


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*") if not file.name.startswith("."))


def goes_on(folder: Path, tiny_bert: Path, undisturbed) -> None:
    """Run again, and check that the outputs are those of an undisturbed run and that one step at most was repeated."""
    assert run(pipeline, folder, tiny_bert) == 0
    assert results(folder / "outputs") == undisturbed[0]
    assert NUM_STEPS <= steps_taken(folder) <= NUM_STEPS + 1
    left = [file.name for file in (folder / "folds").iterdir()]
    assert len(left) == 2 and all(name.startswith("fold_") for name in left)


@pytest.mark.parametrize("number", some_quick(NUM_KILLS, 3))
def test_killed_run_goes_on(tiny_bert, folder, undisturbed, number):
    """Half of them die after a random time, half when they touch a file, where it is most dangerous."""
    rng = random.Random(number)
    if number % 2:
        exit_code = kill_after(rng.uniform(0.1, undisturbed[1]), pipeline, folder, tiny_bert)
        assert exit_code in (-signal.SIGKILL, 0)  # it may have been faster this time
    else:
        after_events = rng.randrange(1, undisturbed[2])
        assert run(pipeline_that_stops, folder, tiny_bert, after_events, signal.SIGKILL) == -signal.SIGKILL
    goes_on(folder, tiny_bert, undisturbed)


@pytest.mark.parametrize("number", some_quick(NUM_KILLS // 2, 1))
def test_interrupted_run_goes_on(tiny_bert, folder, undisturbed, number):
    after_events = random.Random(1000 + number).randrange(1, undisturbed[2])
    exit_code = run(pipeline_that_stops, folder, tiny_bert, after_events, signal.SIGINT)
    assert exit_code != 0
    goes_on(folder, tiny_bert, undisturbed)


@pytest.mark.slow
def test_run_that_is_killed_again_and_again_ends(tiny_bert, folder, undisturbed):
    rng = random.Random(7)
    for _ in range(5):
        run(pipeline_that_stops, folder, tiny_bert, rng.randrange(undisturbed[2] // 3, undisturbed[2]), signal.SIGKILL)
    assert run(pipeline, folder, tiny_bert) == 0
    assert results(folder / "outputs") == undisturbed[0]
    assert steps_taken(folder) <= NUM_STEPS + 5


@pytest.mark.slow
def test_fold_that_is_made_after_the_others_is_the_same(tiny_bert, folder, undisturbed):
    """Neither the order of folds nor what the process did before changes a fold."""
    assert run(pipeline, folder, tiny_bert) == 0
    (first,) = (folder / "folds").glob("fold_0_of_2-*")
    shutil.rmtree(first)
    assert run(pipeline, folder, tiny_bert) == 0
    assert results(folder / "outputs") == undisturbed[0]


# --- no room to write -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "most_bytes", [100_000, *(pytest.param(most, marks=pytest.mark.slow) for most in (2_000, 20_000, 150_000, 200_000))]
)
def test_files_that_cannot_grow_stop_a_run_with_a_clear_error(tiny_bert, folder, undisturbed, most_bytes):
    assert run(pipeline_with_small_files, folder, tiny_bert, most_bytes) == 3
    error = (folder / "error.txt").read_text()
    assert "OSError" in error and ("File too large" in error or "os error 27" in error), error
    assert visible(folder / "folds") == []
    assert "fold 0 (1 of 2) is not finished" in error and "run the same again" in error
    goes_on(folder, tiny_bert, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1.5 MB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("taken", [1_000_000, 1_200_000, 1_350_000])
def test_full_disk_keeps_finished_folds_and_shows_no_half_of_one(tiny_bert, small_disk, undisturbed, taken):
    folder = prepare(small_disk / "run")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(taken))
    assert run(pipeline_that_fails, folder, tiny_bert) == 3
    error = (folder / "error.txt").read_text()
    assert "No space left" in error or "free space" in error, error
    filler.unlink()
    assert run(pipeline, folder, tiny_bert) == 0
    assert results(folder / "outputs") == undisturbed[0]


# --- two at once ----------------------------------------------------------------------------------


WAITS = "waiting until it has finished"


def test_two_runs_at_once_do_the_work_once(tiny_bert, folder, undisturbed):
    both = [start(pipeline_that_waits, folder, tiny_bert, outputs, WAITS) for outputs in ("outputs", "others")]
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert results(folder / "outputs") == results(folder / "others") == undisturbed[0]
    assert steps_taken(folder) == NUM_STEPS
    assert any(f"process {process.pid} on " in log_of(folder) for process in both)


@pytest.mark.slow
def test_run_that_waits_goes_on_when_the_other_is_killed(tiny_bert, folder, undisturbed):
    first = start(pipeline_that_waits, folder, tiny_bert, "outputs", "its own death")
    wait_until(lambda: steps_taken(folder))
    second = start(pipeline, folder, tiny_bert, "others")
    wait_until(lambda: WAITS in log_of(folder))
    first.kill()
    second.join(120)
    assert second.exitcode == 0
    assert results(folder / "others") == undisturbed[0]
    assert steps_taken(folder) == NUM_STEPS + 1
    assert log_of(folder).count("died while it made this fold; resuming") == 1
