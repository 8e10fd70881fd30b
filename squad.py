"""Load and validate extractive question-answering data in the SQuAD schema.

Every source (the embedded demo, a SQuAD JSON file, JSON Lines, Parquet, a folder saved by `datasets`,
the Hugging Face Hub) becomes one `datasets.Dataset` with the same explicit features, and every example
is checked before anything is computed from it.
"""

import json
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import datasets
from datasets import Dataset, Features, List, Value

DEMO_PATH = Path(__file__).resolve().parent / "data" / "demo-v1.1.json"
DEMO_SOURCE = "demo"

# Short names that people type, and the repositories that hold them on the Hub today.
HUB_ALIASES = {"squad": "rajpurkar/squad", "squad_v2": "rajpurkar/squad_v2"}

COLUMNS = ("id", "title", "context", "question", "answers")
MAX_CASES_SHOWN = 5
FILE_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")


def squad_features(with_labels: bool = False) -> Features:
    """Return the features of a loaded data set.

    Parameters
    ----------
    with_labels : bool
        Whether each answer carries the name of its span class.

    Returns
    -------
    datasets.Features
        Explicit, because a slice that holds only unanswerable questions would infer `List(null)`.
    """
    answers = {"text": List(Value("string")), "answer_start": List(Value("int64"))}
    if with_labels:
        answers["label"] = List(Value("string"))
    text_columns = {name: Value("string") for name in COLUMNS if name != "answers"}
    return Features({**text_columns, "answers": answers})


@dataclass(frozen=True)
class InvalidExample:
    """One reason why one example cannot be used."""

    example_index: int
    id: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"example {self.example_index} (id {self.id!r}): expected {self.expected}; found {self.found}"


class InvalidDatasetError(ValueError):
    """Raised when examples do not fit the SQuAD schema.

    Attributes
    ----------
    problems : list of InvalidExample
        One entry per invalid example, in the order of the data.
    """

    def __init__(self, source: str, problems: list[InvalidExample], num_examples: int):
        self.problems = problems
        advice = "Correct them"
        if len(problems) < num_examples:
            advice += ', or pass on_invalid="drop" to go on without them'
        super().__init__(f"{_summary(source, problems, num_examples)}\n{advice}.")


def load_squad(
    source: str | Path = DEMO_SOURCE,
    num_examples: int | None = None,
    *,
    on_invalid: str = "raise",
) -> Dataset:
    """Load an extractive question-answering data set.

    Parameters
    ----------
    source : str or Path
        One of

        - `"demo"`: the data set embedded in this project;
        - a `.json` file in SQuAD v1.1 or v2.0 layout;
        - a `.jsonl` or `.ndjson` file, a `.parquet` file, or a folder written by
          `Dataset.save_to_disk`, with the columns `id`, `title`, `context`, `question`, `answers`;
        - a name on the Hugging Face Hub, with an optional split behind a colon
          (`"squad"`, `"squad_v2:validation"`); the split is `train` unless named.
    num_examples : int, optional
        Take the first `num_examples` only; all of them by default.
    on_invalid : {"raise", "drop"}
        What to do with examples that fail validation. `"drop"` leaves them out and warns how many
        and which they were.

    Returns
    -------
    datasets.Dataset
        Columns `id`, `title`, `context`, `question` (strings) and `answers`, a dict of equally long
        lists `text`, `answer_start` (character offset in the context) and, where the source has span
        classes, `label`. A question without an answer has empty lists.

    Raises
    ------
    FileNotFoundError
        If `source` names a file or folder that does not exist.
    InvalidDatasetError
        If an example fails validation and `on_invalid` is `"raise"`, or if none is left.
    ConnectionError
        If the Hub cannot be reached and the data set is not in its cache.
    TypeError
        If `source` is no text or path, or `num_examples` no integer.
    ValueError
        If the source has another shape, or fewer than `num_examples` examples.
    """
    if not isinstance(source, str | Path):
        raise TypeError(f"source: expected a text or a Path, found {type(source).__name__}")
    if on_invalid not in ("raise", "drop"):
        raise ValueError(f'on_invalid: expected "raise" or "drop", found {on_invalid!r}')
    if num_examples is not None and (isinstance(num_examples, bool) or not isinstance(num_examples, int)):
        raise TypeError(f"num_examples: expected an integer or None, found {num_examples!r}")
    if num_examples is not None and num_examples < 1:
        raise ValueError(f"num_examples: expected at least 1, found {num_examples}")

    source = str(source)
    rows = _read_rows(source, num_examples)
    if num_examples is not None and len(rows) < num_examples:
        raise ValueError(
            f"{source}: expected at least num_examples={num_examples} examples, found {len(rows)}; "
            "use num_examples=None to take all of them"
        )
    rows = rows[:num_examples]
    if not rows:
        raise ValueError(f"{source}: expected at least one example, found none")

    problems = validate_examples(rows)
    if problems and (on_invalid == "raise" or len(problems) == len(rows)):
        raise InvalidDatasetError(source, problems, len(rows))
    if problems:
        # Every id is named here: a short list would hide which examples are missing from the outputs.
        dropped = ", ".join(f"{problem.id!r} (index {problem.example_index})" for problem in problems)
        warnings.warn(f"{_summary(source, problems, len(rows))}\nDropped: {dropped}.", stacklevel=2)
        invalid_indices = {problem.example_index for problem in problems}
        rows = [row for example_index, row in enumerate(rows) if example_index not in invalid_indices]

    with_labels = any(row["answers"].get("label") is not None for row in rows)
    return Dataset.from_list([_to_schema(row, with_labels) for row in rows], squad_features(with_labels))


def normalized_text(text: str) -> str:
    """Return what two spellings of the same text have in common.

    Case, white space and the choice between equivalent Unicode characters do not tell texts apart.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def validate_examples(rows: Iterable[dict]) -> list[InvalidExample]:
    """Check examples against the SQuAD schema.

    Parameters
    ----------
    rows : iterable of dict
        Examples as read, of any content.

    Returns
    -------
    list of InvalidExample
        The first problem of each invalid example, in order; empty if all are valid.
    """
    problems = []
    index_of_id: dict[str, int] = {}
    for example_index, row in enumerate(rows):
        example_id = row.get("id") if isinstance(row, dict) else None
        problem = problem_of_example(row)
        if problem is None and example_id in index_of_id:
            problem = ("a unique id", f"the id of example {index_of_id[example_id]} again")
        if problem is None:
            index_of_id[example_id] = example_index
        else:
            problems.append(InvalidExample(example_index, str(example_id), *problem))
    return problems


def _summary(source: str, problems: list[InvalidExample], num_examples: int) -> str:
    shown = "\n".join(f"  {problem}" for problem in problems[:MAX_CASES_SHOWN])
    more = len(problems) - MAX_CASES_SHOWN
    return f"{source}: {len(problems)} of {num_examples} examples are invalid:\n{shown}" + (
        f"\n  and {more} more" if more > 0 else ""
    )


def problem_of_example(row: object, required: Sequence[str] = COLUMNS) -> tuple[str, str] | None:
    """Find what is wrong with one example.

    Parameters
    ----------
    row : object
        An example as read.
    required : sequence of str
        Columns that must be there; others of the schema are checked where they are.

    Returns
    -------
    (expected, found) or None
        Of the first problem.
    """
    if not isinstance(row, dict):
        return "an object with the fields " + ", ".join(required), _describe(row)
    for name in required:
        if name not in row:
            return f"the field {name!r}", "fields " + ", ".join(map(repr, row))
    for name in ("id", "title", "context", "question"):
        if name not in row:
            continue
        if not isinstance(row[name], str):
            return f"{name!r} to be a string", _describe(row[name])
        if name != "title" and not row[name].strip():
            return f"a {name!r} that is not empty", _describe(row[name])
        if not _is_unicode(row[name]):
            return f"{name!r} to be Unicode text", f"half of a surrogate pair in {_describe(row[name])}"
    if row.get("answers") is None and "answers" not in required:
        return None
    problem = _problem_of_answers(row["answers"], row["context"])
    if problem is None and row.get("is_impossible") and row["answers"]["text"]:
        problem = ("no answer where is_impossible is true", f"{len(row['answers']['text'])} answers")
    return problem


def _problem_of_answers(answers: object, context: str) -> tuple[str, str] | None:
    if not isinstance(answers, dict):
        return "'answers' with 'text' and 'answer_start'", _describe(answers)
    labels = answers.get("label")  # a table that labels only some answers has None in the other rows
    for name in ("text", "answer_start", *(["label"] if labels is not None else [])):
        if not isinstance(answers.get(name), list):
            found = _describe(answers[name]) if name in answers else f"only {list(answers)}"
            return f"a list 'answers.{name}'", found
        if len(answers[name]) != len(answers["text"]):
            return (
                f"as many 'answers.{name}' as 'answers.text' ({len(answers['text'])})",
                f"{len(answers[name])}",
            )
    for text, char_start in zip(answers["text"], answers["answer_start"], strict=True):
        if not isinstance(text, str) or not text.strip():
            return "an answer text that is not empty", _describe(text)
        if isinstance(char_start, bool) or not isinstance(char_start, Integral):
            return "an integer 'answer_start'", _describe(char_start)
        found_text = context[char_start : char_start + len(text)] if char_start >= 0 else ""
        if found_text != text:
            return (
                f"the answer {_shorten(text)!r} at offset {char_start}",
                f"{_shorten(found_text)!r}{_where_else(text, char_start, context)}",
            )
    for label in labels or []:
        if not isinstance(label, str):
            return "the name of a span class in 'answers.label'", _describe(label)
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _where_else(text: str, char_start: int, context: str) -> str:
    found_starts = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)]
    if not found_starts:
        return " (the text is not in the context)"
    nearest = min(found_starts, key=lambda found: abs(found - char_start))
    return f" (the text is at offset {nearest})"


def _describe(value: object) -> str:
    return f"{type(value).__name__} {_shorten(repr(value))}"


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _to_schema(row: dict, with_labels: bool) -> dict:
    answers = {"text": row["answers"]["text"], "answer_start": row["answers"]["answer_start"]}
    if with_labels:
        # A source that names the class of some answers only would leave the others without one.
        labels = row["answers"].get("label")
        answers["label"] = [""] * len(answers["text"]) if labels is None else labels
    return {**{name: row[name] for name in COLUMNS}, "answers": answers}


def _read_rows(source: str, num_examples: int | None) -> list[dict]:
    """Read examples as they are, in the columns of the schema where the source has them."""
    if source == DEMO_SOURCE:
        return _flatten_squad(_parse_json(DEMO_PATH.read_bytes(), str(DEMO_PATH)), source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _rows_of_folder(path, num_examples)
    if path.is_file():
        return _rows_of_file(path)
    if path.suffix.lower() in FILE_SUFFIXES or source.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"{source}: no such file or folder. Give the path of a {', '.join(FILE_SUFFIXES)} file, "
            f'"{DEMO_SOURCE}" for the embedded data, or a name on the Hub such as "squad".'
        )
    return _rows_of_hub(source, num_examples)


def _rows_of_file(path: Path) -> list[dict]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _flatten_squad(_parse_json(path.read_bytes(), str(path)), str(path))
    if suffix in (".jsonl", ".ndjson"):
        # Split on the newline only: str.splitlines would also cut at U+2028 inside a JSON string.
        lines = path.read_bytes().split(b"\n")
        return [
            _parse_json(line, f"{path}, line {line_number}")
            for line_number, line in enumerate(lines, start=1)
            if line.strip()
        ]
    if suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.read_table(path).to_pylist()
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{path}: expected a Parquet file; {error}") from error
    raise ValueError(f"{path}: expected a file ending in {', '.join(FILE_SUFFIXES)}, found {suffix!r}")


def _rows_of_folder(path: Path, num_examples: int | None) -> list[dict]:
    try:
        loaded = datasets.load_from_disk(str(path))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: expected a folder written by Dataset.save_to_disk; {error}") from error
    if isinstance(loaded, datasets.DatasetDict):
        raise ValueError(f"{path}: expected one data set, found the splits {list(loaded)}; name one: {path}/SPLIT")
    return _head(loaded, num_examples)


def _rows_of_hub(source: str, num_examples: int | None) -> list[dict]:
    name, _, split = source.partition(":")
    repository = HUB_ALIASES.get(name, name)
    try:
        loaded = datasets.load_dataset(repository, split=split or "train")
    except Exception as error:
        # An unknown name, a missing split, no network, offline mode and a proxy that refuses have no
        # common type; the reason is kept, and what can be done without the Hub is added.
        raise ConnectionError(
            f"{source}: no such file or folder, and could not load {repository!r} from the Hugging Face Hub "
            f"({type(error).__name__}: {error}).\n"
            "If this machine cannot reach the Hub, download the data set on one that can and pass the file's path, "
            f'set HF_HUB_OFFLINE=1 to use files that are already in the cache, or use "{DEMO_SOURCE}".'
        ) from error
    return _head(loaded, num_examples)


def _head(dataset: Dataset, num_examples: int | None) -> list[dict]:
    count = len(dataset) if num_examples is None else min(num_examples, len(dataset))
    return dataset.select(range(count)).to_list()


def _parse_json(content: bytes, where: str) -> object:
    try:
        # With -sig, a byte-order mark as Windows tools write it is no part of the text.
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: expected UTF-8 text; {error}") from error
    except RecursionError as error:
        raise ValueError(f"{where}: expected JSON; it is nested too deeply to be read") from error
    except json.JSONDecodeError as error:
        hint = "; is it JSON Lines? Then name it .jsonl" if error.msg == "Extra data" else ""
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
    found = _describe(parent) if not isinstance(parent, dict) else f"the fields {list(parent)[:8]}"
    if isinstance(parent, dict) and name in parent:
        found = f"{name!r} as {_describe(parent[name])}"
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
