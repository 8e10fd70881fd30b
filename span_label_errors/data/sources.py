"""Read question-answering data from a file, a folder or the Hub, as rows that nothing has checked yet."""

import json
from collections.abc import Sequence
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
from datasets import Dataset

from span_label_errors.data.hub import asking_hub, local_path
from span_label_errors.files import demo_folder

DEMO_PATH = demo_folder() / "demo-v1.1.json"
DEMO_ERRORS_PATH = DEMO_PATH.with_name("demo-v1.1.errors.json")
DEMO_SOURCE = "demo"

# Short names, and the repositories that hold these data sets on the Hub today.
HUB_ALIASES = {"squad": "rajpurkar/squad", "squad_v2": "rajpurkar/squad_v2"}

COLUMNS = ("id", "title", "context", "question", "answers")
FILE_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")


def read_rows(source: str, num_examples: int | None, revision: str | None = None) -> list[dict]:
    """Read the examples of a source; parameters and errors are those of `squad.load_squad`.

    Folders and data sets on the Hub give the first `num_examples` only, files give all.
    """
    if source == DEMO_SOURCE:
        return _flatten_squad(_parse_json(DEMO_PATH.read_bytes(), str(DEMO_PATH)), source)
    path = local_path(source)
    if path.is_dir():
        return _rows_of_folder(path, num_examples)
    if path.is_file():
        return _rows_of_file(path)
    if path.suffix.lower() in FILE_SUFFIXES or source.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"{source}: no such file or folder. Give the path of a {', '.join(FILE_SUFFIXES)} file, "
            f'"{DEMO_SOURCE}" for the embedded data, or a name on the Hub such as "squad".'
        )
    return _rows_of_hub(source, num_examples, revision)


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


def _rows_of_file(path: Path) -> list[dict]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _flatten_squad(_parse_json(path.read_bytes(), str(path)), str(path))
    if suffix in (".jsonl", ".ndjson"):
        # Split on the newline only: str.splitlines would also cut at U+2028 inside a JSON string.
        lines = path.read_bytes().split(b"\n")
        rows = [
            _parse_json(line, f"{path}, line {line_number}", "; one document on several lines is to be named .json")
            for line_number, line in enumerate(lines, start=1)
            if line.strip()
        ]
        if len(rows) == 1 and isinstance(rows[0], dict) and isinstance(rows[0].get("data"), list):
            raise ValueError(f"{path}: expected one example a line, found the nested SQuAD layout; name it .json")
        return rows
    if suffix == ".parquet":
        return _rows_of_parquet(path)
    raise ValueError(f"{path}: expected a file ending in {', '.join(FILE_SUFFIXES)}, found {suffix!r}")


def _rows_of_parquet(path: Path) -> list[dict]:
    try:
        table = pyarrow.parquet.read_table(path)
        _check_columns(table.column_names, path)
        return table.to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: expected a Parquet file; {error}; write it again") from error


def _rows_of_folder(path: Path, num_examples: int | None) -> list[dict]:
    expected = f"{path}: expected a folder written by Dataset.save_to_disk"
    if not any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        raise ValueError(f"{expected}; found one without dataset_info.json. Give a file's path, or such a folder")
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:
        # The errors for missing and damaged files have no common type.
        found = f"{type(error).__name__}: {error}"
        raise ValueError(f"{expected}, found a damaged one ({found}); write it again") from error
    if isinstance(loaded, datasets.DatasetDict):
        raise ValueError(f"{path}: expected one data set, found the splits {list(loaded)}; name one: {path}/SPLIT")
    _check_columns(loaded.column_names, path)
    return _head(loaded, num_examples)


def _check_columns(found: Sequence[str], source: str | Path) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise ValueError(
            f"{source}: expected the columns {', '.join(COLUMNS)}; found {shown_names(dict.fromkeys(found))}, without "
            f"{', '.join(missing)}; rename or add them"
        )


def _rows_of_hub(source: str, num_examples: int | None, revision: str | None) -> list[dict]:
    name, _, split = source.partition(":")
    repository = HUB_ALIASES.get(name, name)
    with asking_hub(source, f'download the data set elsewhere and pass the file\'s path, use "{DEMO_SOURCE}"'):
        loaded = datasets.load_dataset(  # nosec B615 # the caller chooses the data; no code comes with it
            repository, split=split or "train", revision=revision
        )
    _check_columns(loaded.column_names, source)
    return _head(loaded, num_examples)


def _head(dataset: Dataset, num_examples: int | None) -> list[dict]:
    count = len(dataset) if num_examples is None else min(num_examples, len(dataset))
    return dataset.select(range(count)).to_list()


def _parse_json(content: bytes, where: str, hint: str = "") -> object:
    if content[:4].count(0) or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{where}: expected UTF-8 text, found what looks like UTF-16 or UTF-32; save it as UTF-8")
    try:
        # With -sig, a byte-order mark as Windows tools write it is no part of the text.
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: expected UTF-8 text; {error}; save it as UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"{where}: expected JSON; it is nested too deeply to be read") from error
    except ValueError as error:
        # Not only JSONDecodeError: Python refuses to read a number of some thousand digits.
        hint = "; is it JSON Lines? Then name it .jsonl" if str(error).startswith("Extra data") else hint
        raise ValueError(f"{where}: expected JSON; {error}{hint}") from error


def _flatten_squad(document: object, source: str) -> list[dict]:
    """Turn the nested SQuAD layout into one row a question."""
    rows = []
    articles = _list_at(document, "data", source, "the document")
    for article_index, article in enumerate(articles):
        where = f"data[{article_index}]"
        for paragraph_index, paragraph in enumerate(_list_at(article, "paragraphs", source, where)):
            qas = _list_at(paragraph, "qas", source, f"{where}.paragraphs[{paragraph_index}]")
            shared = {"title": article, "context": paragraph}
            for question in qas:
                row = {name: parent[name] for name, parent in shared.items() if name in parent}
                rows.append({**row, **_flatten_question(question)} if isinstance(question, dict) else question)
    return rows


def _list_at(parent: object, name: str, source: str, where: str) -> list:
    if isinstance(parent, dict) and isinstance(parent.get(name), list):
        return parent[name]
    found = describe(parent) if not isinstance(parent, dict) else f"the fields [{shown_names(parent)}]"
    if isinstance(parent, dict) and name in parent:
        found = f"{name!r} as {describe(parent[name])}"
    example = parent[0] if isinstance(parent, list) and parent else parent
    if isinstance(example, dict) and {"context", "question"} <= set(example):
        found += "; examples that are not nested belong into a .jsonl file, one a line"
    raise ValueError(
        f"{source}: expected the SQuAD layout data[].paragraphs[].qas[], with a list {name!r} in {where}; found {found}"
    )


def _flatten_question(question: dict) -> dict:
    row = {name: question[name] for name in ("id", "question", "answers", "is_impossible") if name in question}
    answers = question.get("answers")
    if isinstance(answers, list) and all(isinstance(answer, dict) for answer in answers):
        row["answers"] = {
            "text": [answer.get("text") for answer in answers],
            "answer_start": [answer.get("answer_start") for answer in answers],
        }
        if any("label" in answer for answer in answers):
            row["answers"]["label"] = [answer.get("label") for answer in answers]
    return row


def describe(value: object) -> str:
    """Return the type and the beginning of a value, for a message."""
    return f"{type(value).__name__} {shorten(repr(value))}"


def shown_names(fields: dict) -> str:
    """Return the names of fields, at most eight of them, for a message."""
    return ", ".join(shorten(repr(name)) for name in list(fields)[:8]) + (", …" if len(fields) > 8 else "")


def shorten(text: str, length: int = 60) -> str:
    """Return a text, or its beginning with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"
