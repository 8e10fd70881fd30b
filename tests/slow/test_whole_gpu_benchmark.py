"""The benchmark for a GPU, whole, with a tiny model on a processor: every section measures, and nothing fails."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "benchmarks.gpu", *map(str, words)], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """What `prepare` fills, but for the wheels: no test may reach a network."""
    folder = tmp_path_factory.mktemp("gpu") / "bundle"
    run("prepare", "--no-wheels", "--bundle", folder)
    return folder


def rows_of(part: str, bundle, tmp_path) -> dict[str, list[dict]]:
    """Run a part, check that it wrote the same everywhere and that nothing failed, and return the rows by section."""
    run(part, "--tiny", "--bundle", bundle, "--out", tmp_path, "--work", bundle.parent / "work")
    rows = json.loads((tmp_path / f"gpu_{part}.json").read_text(encoding="utf-8"))
    lines = (tmp_path / f"gpu_{part}.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert [row for row in rows if "error" in row or "skipped" in row] == []
    by_section: dict[str, list[dict]] = {}
    for row in rows:
        by_section.setdefault(row["section"], []).append(row)
    titles = [line for line in (tmp_path / f"gpu_{part}.md").read_text(encoding="utf-8").splitlines() if "##" in line]
    assert sorted(titles) == sorted(f"## {name.capitalize()}" for name in by_section)
    return by_section


def test_kernels(bundle, tmp_path):
    found = rows_of("kernels", bundle, tmp_path)
    sections = ["machine", "attention", "training steps", "inside a step", "prediction", "folds at once"]
    assert [row["name"] for row in found["sections"]] == sections
    assert found.keys() == {"packages", "sections", *sections}
    assert {row["what"] for row in found["machine"]} > {"torch", "matrix product, TFLOP/s, 64 × 64, random numbers"}
    assert [(row["kernel"], row["mask"]) for row in found["attention"]] == [
        ("MATH", True), ("MATH", False), ("PyTorch's choice", True), ("PyTorch's choice", False)
    ]  # fmt: skip
    steps = found["training steps"]
    assert [row["batch_size"] for row in steps] == [4, 2, *[4] * 8]
    for row in steps:
        # The same twelve windows, or six of them, in three batches.
        assert row["tokens_a_second"] == pytest.approx(row["tokens"] / (row["ms"] / 1e3))
        assert 0 < row["utilisation"] < 1
    # What only a GPU does otherwise leaves a processor's training as it is, with and without dropout.
    assert len({row["loss"] for row in steps if row["batch_size"] == 4}) == 2
    assert [row["what"] for row in found["inside a step"]].count("a step") == 2
    assert [row["examples"] for row in found["prediction"]] == [12, 12]
    assert [(row["variant"], row["at_once"]) for row in found["folds at once"]] == [("compiled", 2)]


def test_pipeline(bundle, tmp_path):
    found = rows_of("pipeline", bundle, tmp_path)
    assert [row["name"] for row in found["sections"]] == ["pipeline", "twice"]
    stages = {row["stage"]: row for row in found["pipeline"]}
    everything = stages["all, from the data file to the arrays"]
    assert everything["examples"] == 24
    folds = [row for row in found["pipeline"] if row["stage"] == "a fold"]
    assert [row["fold"] for row in folds] == [0, 1, 2]
    # Every example is trained on in two folds, three times.
    assert stages["while any fold trains"]["trained_tokens"] == sum(row["trained_tokens"] for row in folds)
    assert sum(row["seconds"] for row in folds) < stages["folds"]["seconds"] < everything["seconds"]
    compared = [row for row in found["twice"] if "same_bytes" in row]
    assert [(row["model"], row["what"]) for row in compared] == [
        (model, f"first, and {other}")
        for model in ("base", "backbone")
        for other in ("again", "one after the other in one process")
    ]
    assert all(row["same_bytes"] and not row["different_tensors"] for row in compared)
