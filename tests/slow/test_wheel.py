"""The wheel, in an empty environment and another folder, is all that is needed."""

import os
import subprocess
import sys
import venv

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

USE = """
import spanbert, span_classification_tutorial_utils, span_label_errors as library
from span_label_errors import notebook
assert all(callable(getattr(library, name)) for name in library.__all__)
assert len(library.load_squad("demo")) == 248
assert spanbert.QA("embedded").max_length == 384
print(library.__file__)
"""


def run(*command, cwd) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of an environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("span_label_errors-*.whl")
    venv.create(folder / "environment", with_pip=True)
    python = folder / "environment" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}[notebooks]", cwd=folder)
    return folder / "environment" / "bin"


def test_everything_is_there(installed, tmp_path):
    where = run(installed / "python", "-c", USE, cwd=tmp_path)
    assert str(installed.parent) in where


def test_notebooks_are_copied_and_use_the_folder_they_are_run_in(installed, tmp_path):
    run(installed / "span-label-errors", "notebooks", tmp_path / "mine", cwd=tmp_path)
    code = "from span_label_errors.files import project_root; print(project_root())"
    assert run(installed / "python", "-c", code, cwd=tmp_path / "mine").strip() == str(tmp_path / "mine")
    assert {file.name for file in (tmp_path / "mine").iterdir()} == {
        "span_categorizer_training.ipynb", "find_label_errors_in_span_classification_dataset.ipynb", "squad.yaml",
    }  # fmt: skip


def test_the_console_script_runs_the_commands(installed, tmp_path):
    for command in ("audit", "fold", "notebooks"):
        assert "usage" in run(installed / "span-label-errors", command, "--help", cwd=tmp_path)
