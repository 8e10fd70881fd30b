"""The wheel, in an empty environment and another folder, is all that is needed."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

USE = """
import spanbert, span_classification_tutorial_utils, span_label_errors as library
from span_label_errors import notebook
assert all(callable(getattr(library, name)) for name in library.__all__)
assert len(library.load_squad("demo")) == 248
qa = spanbert.QA("embedded")
assert qa.has_head and qa.predict(library.load_squad("demo")[0]).pred_probs.shape[1] == 2
print(library.__file__)
"""
NOTEBOOKS = {
    "span_categorizer_training.ipynb",
    "find_label_errors_in_span_classification_dataset.ipynb",
    "squad.yaml",
    "entities.yaml",
}


def run(*command, cwd) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("wheel")
    # Not in the clone: files that an earlier build left there would get into the wheel.
    run(sys.executable, "-c", f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})", cwd=ROOT)
    (source,) = folder.glob("span_label_errors-*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("span_label_errors-*.whl")
    return source, wheel


@pytest.fixture(scope="module")
def installed(packed):
    """The programs of an environment that holds the wheel and what it asks for."""
    folder = packed[1].parent
    venv.create(folder / "environment", with_pip=True)
    python = folder / "environment" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{packed[1]}[notebooks]", cwd=folder)
    return python.parent


@pytest.fixture
def mine(installed, tmp_path):
    """A folder that the notebooks were copied to."""
    run(installed / "span-label-errors", "notebooks", tmp_path / "mine", cwd=tmp_path)
    assert {file.name for file in (tmp_path / "mine").iterdir()} == NOTEBOOKS
    return tmp_path / "mine"


def test_package_holds_the_code_the_demo_the_reader_and_the_notebooks_alone(packed):
    source, wheel = packed
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {file.relative_to(ROOT).as_posix() for file in (ROOT / "span_label_errors").rglob("*.*") if file.is_file()}
    code = {name for name in code if not name.endswith(".pyc")} | {
        "spanbert.py",
        "span_classification_tutorial_utils.py",
    }
    files = ("demo-v1.1.json", "demo-v1.1.errors.json", "demo-entities.jsonl", "demo-entities.errors.json")
    demo = {f"span_label_errors/demo_data/{name}" for name in files}
    reader = {file.name for file in (ROOT / "data" / "reader").iterdir()}
    assert reader >= {"reader.json", "delta.safetensors", "label_map.json", "seen_contexts.json", "spanbert.json"}
    reader = {f"span_label_errors/reader/{name}" for name in reader}
    assert names == code | demo | reader | {f"span_label_errors/notebooks/{name}" for name in NOTEBOOKS}
    with tarfile.open(source) as archive:
        folders = {member.name.split("/")[1] for member in archive if member.name.count("/") > 1}
    assert folders == {"data", "notebooks", "span_label_errors", "span_label_errors.egg-info"}


def test_everything_is_there(installed, tmp_path):
    where = run(installed / "python", "-c", USE, cwd=tmp_path)
    assert str(installed.parent) in where


def test_copied_notebook_writes_beside_itself(installed, mine):
    name = "span_categorizer_training.ipynb"
    given = ("-p", "num_examples", "12", "-p", "num_train_epochs", "1")
    run(installed / "papermill", "--no-progress-bar", name, f"run_{name}", *given, cwd=mine)
    assert json.loads((mine / "outputs" / "run.json").read_text(encoding="utf-8"))["num_examples"] == 12
    assert len([*(mine / "folds").glob("fold_*_of_3-*")]) == 3
    assert {file.name for file in mine.iterdir()} == {*NOTEBOOKS, f"run_{name}", "folds", "outputs"}
    audited = run(installed / "span-label-errors", "audit", cwd=mine)
    assert audited.count("ok ") == 10


def test_the_console_script_runs_the_commands(installed, tmp_path):
    for command in ("audit", "fold", "reader", "notebooks"):
        assert "usage" in run(installed / "span-label-errors", command, "--help", cwd=tmp_path)
