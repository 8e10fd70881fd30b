"""Read data sets from a file, a folder or the Hub, as rows that nothing has checked yet."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from span_label_errors.data.formats import FILE_SUFFIXES, format_of
from span_label_errors.data.hub import local_path
from span_label_errors.data.hub_data import load_from_hub
from span_label_errors.data.messages import shown_names
from span_label_errors.data.tables import rows_of_dataset
from span_label_errors.files import demo_folder

if TYPE_CHECKING:
    from datasets import Dataset

DEMO_SOURCE = "demo"
DEMOS = {DEMO_SOURCE: demo_folder() / "demo-v1.1.json", "demo-entities": demo_folder() / "demo-entities.jsonl"}
# The errors that were planted in them.
DEMO_ERRORS = {source: path.with_suffix(".errors.json") for source, path in DEMOS.items()}
DEMO_PATH, DEMO_ERRORS_PATH = DEMOS[DEMO_SOURCE], DEMO_ERRORS[DEMO_SOURCE]


def read_rows(source: str, num_examples: int | None, revision: str | None = None) -> list[object]:
    """Read the examples of a source; parameters and errors are those of `squad.load_squad`.

    Folders and data sets on the Hub give the first `num_examples` only, files give all.
    """
    path = local_source(source)
    if path is None or path.is_dir():
        return rows_of_dataset(load_dataset(source, revision), source, num_examples)
    return _rows_of_file(path)


def local_source(source: str) -> Path | None:
    """Return the file or the folder that a source names; None if it is a name on the Hub.

    Raises
    ------
    FileNotFoundError
        If it is a path, and nothing is there.
    """
    if source in DEMOS:
        return DEMOS[source]
    path = local_path(source)
    if path.is_dir() or path.is_file():
        return path
    if path.suffix.lower() in FILE_SUFFIXES or source.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"{source}: no such file or folder. Give the path of a {', '.join(FILE_SUFFIXES)} file, "
            f'"{DEMO_SOURCE}" for the embedded data, or a name on the Hub such as "squad".'
        )
    return None


def load_dataset(source: str, revision: str | None = None) -> "Dataset":
    """Load a folder that `Dataset.save_to_disk` wrote, or a data set on the Hub, with all its columns.

    Raises
    ------
    ValueError
        If the folder is another one, is damaged, or holds several splits.
    ConnectionError
        As `load_from_hub`.
    """
    path = local_source(source)
    if path is not None:
        return _load_folder(path)
    instead = f'download the data set elsewhere and pass the file\'s path, use "{DEMO_SOURCE}"'
    return load_from_hub(source, revision, instead)


def read_known_errors(path: str | Path) -> dict[str, dict]:
    """Read a list of known errors, such as `data/demo-v1.1.errors.json`.

    Returns
    -------
    dict
        Each entry by the `id` of its example.

    Raises
    ------
    ValueError
        If the file is no JSON list of objects with an `id`.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if not isinstance(entries, list):
            raise TypeError(f"a {type(entries).__name__}")
        return {entry["id"]: entry for entry in entries}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f'{path}: expected a JSON list of objects with an "id", found {error!r}') from error


def _rows_of_file(path: Path) -> list[object]:
    of_file = format_of(path)
    if of_file is not None:
        return of_file.read(path)
    suffix = path.suffix.lower()
    hint = f"unpack it first (gunzip {path.name})" if suffix == ".gz" else "convert it to one of them"
    raise ValueError(f"{path}: expected a file ending in {', '.join(FILE_SUFFIXES)}, found {suffix!r}; {hint}")


def _load_folder(path: Path) -> "Dataset":
    import datasets  # 0.2 s, which files do without

    expected = f"{path}: expected a folder written by Dataset.save_to_disk"
    if not any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        files = sorted(file.name for file in path.iterdir() if file.suffix.lower() in FILE_SUFFIXES)
        found = f", with {shown_names(files)}" if files else ""
        raise ValueError(
            f"{expected}; found one without dataset_info.json{found}. Give a file's path, or such a folder"
        )
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:
        # The errors for missing and damaged files have no common type.
        found = f"{type(error).__name__}: {error}"
        raise ValueError(f"{expected}, found a damaged one ({found}); write it again") from error
    if isinstance(loaded, datasets.DatasetDict):
        raise ValueError(f"{path}: expected one data set, found the splits {list(loaded)}; name one: {path}/SPLIT")
    return loaded
