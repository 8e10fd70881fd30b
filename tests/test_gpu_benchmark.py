"""The arithmetic and the rows of the benchmark for a GPU; `slow/test_whole_gpu_benchmark.py` runs it."""

import importlib
import json
import time

import pytest
from conftest import ROOT


def module_of(name: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(f"benchmarks.gpu.{name}")


def test_a_row_is_on_disk_as_soon_as_it_is_measured_and_an_error_or_a_deadline_costs_no_other(tmp_path):
    module, file, in_file = module_of("rows"), tmp_path / "rows.jsonl", []
    rows = module.Rows(file, "steps", deadline=time.time() + 100)

    def second() -> dict:
        in_file.extend(module.read_rows(file))
        return {"ms": 2.0}

    def fails() -> dict:
        raise RuntimeError("no memory")

    assert rows.measure(50, lambda: {"ms": 1.5}, size=8) == {"ms": 1.5}
    rows.measure(50, second, size=16)
    assert in_file == [{"section": "steps", "size": 8, "ms": 1.5}]
    assert rows.measure(50, fails, size=32) is None
    assert rows.measure(150, fails, size=64) is None
    # A run that is cut off in the middle of a line keeps the lines before it.
    file.write_text(file.read_text(encoding="utf-8") + '{"section": "ste', encoding="utf-8")
    *_, failed, skipped = module.read_rows(file)
    assert failed == {"section": "steps", "size": 32, "error": "RuntimeError: no memory"}
    assert list(skipped) == ["section", "size", "skipped"]
    assert skipped["skipped"].endswith("s were left, and it takes about 150 s")


def test_tables_show_what_was_measured_in_the_order_of_the_sections():
    rows = [
        {"section": "b", "size": 4096, "ms": 1.2345, "peak": None},
        {"section": "b", "size": 8, "ms": 12345.6, "same": True},
        {"section": "a", "what": "x|y"},
    ]
    assert module_of("rows").markdown(rows, {"a": "First.", "b": "Second.", "c": "Nothing."}).splitlines() == [
        "## A", "", "First.", "", "| what |", "| --- |", "| x\\|y |", "",
        "## B", "", "Second.", "", "| size | ms | same |", "| --- | --- | --- |", "| 4,096 | 1.23 |  |",
        "| 8 | 12,346 | yes |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("intervals", "seconds"),
    [([(0, 10)], 10), ([(20, 25), (0, 10)], 15), ([(0, 10), (2, 5), (8, 12)], 12), ([(0, 3), (3, 4)], 4)],
)
def test_folds_at_once_are_counted_once(intervals, seconds):
    assert module_of("pipeline").covered_seconds(intervals) == seconds


def test_what_is_brought_along_is_pinned_and_what_is_missing_is_named(monkeypatch):
    bundle = module_of("bundle")
    pins = bundle.pins()
    assert pins["pydantic-core"] == "2.50.4"
    assert {name.lower().replace("_", "-") for name in bundle.BROUGHT} <= pins.keys()
    # The environment of the tests has every package.
    by_name = {row["package"]: row for row in bundle.checked_packages()}
    assert by_name["torchmetrics"] == {
        "package": "torchmetrics", "tested_with": "1.9.0", "found": "1.9.0", "needed": True
    }  # fmt: skip
    version = bundle.version

    def without_pydantic(name: str) -> str:
        if name == "pydantic":
            raise bundle.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(bundle, "version", without_pydantic)
    with pytest.raises(
        ModuleNotFoundError, match=f"found none of pydantic {pins['pydantic']}; .*make gpu-bench-bundle"
    ):
        bundle.checked_packages()


def test_clock_leaves_out_the_first_epoch_and_says_what_it_took_longer():
    seconds = [0.0]
    clock = module_of("steps").StepClock(steps_of_epoch=2, now=lambda: seconds[0])
    # Loading takes 7 s, the first epoch's second step 5, those of two more epochs 2, and to issue those of the last 1.
    for step, seconds[0] in enumerate([7, 12, 14, 16, 18, 20, 21, 22], start=1):
        clock(step, 8, 0.5 if step > 4 else None)
    assert clock.found() == {"ms": 2000, "issue_ms": 1000, "new_shapes_s": 3, "to_first_step_s": 7, "loss": 0.5}


def test_a_section_that_outlasts_the_deadline_is_ended_and_the_tables_are_written(tmp_path, monkeypatch):
    program = module_of("__main__")
    # Its imports alone take longer.
    monkeypatch.setitem(program.PARTS["kernels"], "machine", program.Section("machine", "The machine.", 0))
    monkeypatch.setattr(program.sys, "path", [*program.sys.path])
    words = ["--tiny", "--only", "machine", "--deadline", "1", "--out", tmp_path, "--work", tmp_path / "work"]
    # Of an earlier run, what is not measured again stays.
    earlier = [{"section": name, "ms": 7} for name in ("prediction", "machine")]
    (tmp_path / "gpu_kernels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in earlier), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"1 of \d+ rows hold an error; .*ended at the deadline"):
        program.main(["kernels", *map(str, words)])
    assert "TimeoutError: ended at the deadline" in (tmp_path / "gpu_kernels.md").read_text(encoding="utf-8")
    kept = [json.loads(line) for line in (tmp_path / "gpu_kernels.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row for row in kept if "ms" in row] == earlier[:1]


def test_earlier_results_outlive_a_machine_without_a_gpu_and_a_bundle_what_is_none(tmp_path, monkeypatch):
    program = module_of("__main__")
    monkeypatch.setattr(program.sys, "path", [*program.sys.path])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "gpu_kernels.jsonl").write_text('{"section": "machine"}\n', encoding="utf-8")
    with pytest.raises(RuntimeError, match="expected a GPU that torch can use, found none; --tiny"):
        program.main(["kernels", "--out", str(tmp_path), "--work", str(tmp_path / "work")])
    assert (tmp_path / "gpu_kernels.jsonl").read_text(encoding="utf-8") == '{"section": "machine"}\n'
    with pytest.raises(FileExistsError, match="something else than a bundle"):
        program.main(["prepare", "--bundle", str(tmp_path)])
    assert (tmp_path / "gpu_kernels.jsonl").exists()
