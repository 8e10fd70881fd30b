"""Load and validate extractive question-answering data in the SQuAD schema.

Every source becomes one `datasets.Dataset` with the same features, and every example is checked first.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from datasets import Dataset, Features, List, Value

from span_label_errors.data.messages import describe, shorten, shown_names
from span_label_errors.data.sources import COLUMNS, DEMO_SOURCE, read_rows

MAX_CASES_SHOWN = 5

# What other programs count in offsets: its encoding, bytes of a unit, and how to convert an offset.
_OTHER_UNITS = {
    "UTF-8 bytes": ("utf-8", 1, 'len(context.encode("utf-8")[:answer_start].decode("utf-8"))'),
    "UTF-16 units": ("utf-16-le", 2, 'len(context.encode("utf-16-le")[: 2 * answer_start].decode("utf-16-le"))'),
}


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
        shown_id = shorten(repr(self.id), 200)
        return f"example {self.example_index} (id {shown_id}): expected {self.expected}; found {self.found}"


class InvalidDatasetError(ValueError):
    """Raised when examples do not fit the SQuAD schema.

    Attributes
    ----------
    problems : list of InvalidExample
        One entry per invalid example, in the order of the data.
    """

    def __init__(self, source: str, problems: list[InvalidExample], num_examples: int):
        self.problems = problems
        others = ', or pass on_invalid="drop" to go on without them' if len(problems) < num_examples else ""
        super().__init__(f"{_summary(source, problems, num_examples)}\nCorrect them{others}.")


def load_squad(
    source: str | Path = DEMO_SOURCE,
    num_examples: int | None = None,
    *,
    on_invalid: str = "raise",
    revision: str | None = None,
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
    revision : str, optional
        Branch, tag or commit of a data set on the Hub; its main branch by default.

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
    OSError
        If it cannot be read.
    InvalidDatasetError
        If an example fails validation and `on_invalid` is `"raise"`, or if none is left.
    ConnectionError
        If the Hub cannot be reached and the data set is not in its cache.
    ValueError
        If the source has another shape, or fewer than `num_examples` examples.
    """
    if on_invalid not in ("raise", "drop"):
        raise ValueError(f'on_invalid: expected "raise" or "drop", found {on_invalid!r}')
    if num_examples is not None and num_examples < 1:
        raise ValueError(f"num_examples: expected at least 1, found {num_examples}")

    source = str(source)
    rows = read_rows(source, num_examples, revision)
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
        # All ids, since a short list would hide which examples are missing from the outputs.
        dropped = ", ".join(f"{problem.id!r} (index {problem.example_index})" for problem in problems)
        warnings.warn(f"{_summary(source, problems, len(rows))}\nDropped: {dropped}.", stacklevel=2)
        invalid_indices = {problem.example_index for problem in problems}
        rows = [row for example_index, row in enumerate(rows) if example_index not in invalid_indices]

    with_labels = any(row["answers"].get("label") is not None for row in rows)
    return Dataset.from_list([_to_schema(row, with_labels) for row in rows], squad_features(with_labels))


def validate_examples(rows: Iterable[dict]) -> list[InvalidExample]:
    """Check examples against the SQuAD schema.

    Parameters
    ----------
    rows : iterable of dict
        Examples as read, of any content.

    Returns
    -------
    list of InvalidExample
        The first problem of each invalid example, in order.
    """
    problems = []
    index_of_id: dict[str, int] = {}
    for example_index, row in enumerate(rows):
        example_id = row.get("id") if isinstance(row, dict) else None
        problem = problem_of_example(row)
        if problem is None and example_id in index_of_id:
            # Whether one of them was a number is no longer known.
            as_number = f' ({example_id} and "{example_id}" are one id)' if example_id.isdecimal() else ""
            problem = ("a unique id", f"the id of example {index_of_id[example_id]} again{as_number}")
        if problem is None:
            index_of_id[example_id] = example_index
        else:
            shown_id = example_id if isinstance(example_id, str) else describe(example_id).partition(" ")[2]
            problems.append(InvalidExample(example_index, shown_id, *problem))
    return problems


def _summary(source: str, problems: list[InvalidExample], num_examples: int) -> str:
    lines = [f"{source}: {len(problems)} of {num_examples} examples are invalid:"]
    lines += [f"  {problem}" for problem in problems[:MAX_CASES_SHOWN]]
    if len(problems) > MAX_CASES_SHOWN:
        lines.append(f"  and {len(problems) - MAX_CASES_SHOWN} more")
    return "\n".join(lines)


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
        return "an object with the fields " + ", ".join(required), describe(row)
    for name in required:
        if name not in row:
            return f"the field {name!r}", "fields " + shown_names(row)
    for name in ("id", "title", "context", "question"):
        if name not in row:
            continue
        if not isinstance(row[name], str):
            return f"{name!r} to be a string", describe(row[name])
        if name != "title" and not row[name].strip():
            return f"a {name!r} that is not empty", describe(row[name])
        if not _is_unicode(row[name]):
            return f"{name!r} to be Unicode text", f"half of a surrogate pair in {describe(row[name])}"
    if row.get("answers") is None and "answers" not in required:
        return None
    problem = _problem_of_answers(row["answers"], row["context"])
    if problem is None and row.get("is_impossible") not in (None, False, True):
        return "'is_impossible' to be true or false", describe(row["is_impossible"])
    if problem is None and row.get("is_impossible") and row["answers"]["text"]:
        problem = ("no answer where is_impossible is true", f"{len(row['answers']['text'])} answers")
    return problem


def _problem_of_answers(answers: object, context: str) -> tuple[str, str] | None:
    if not isinstance(answers, dict):
        return "'answers' with 'text' and 'answer_start'", describe(answers)
    labels = answers.get("label")  # a table that labels only some answers has None in the other rows
    for name in ("text", "answer_start", *(["label"] if labels is not None else [])):
        if not isinstance(answers.get(name), list):
            found = describe(answers[name]) if name in answers else f"only [{shown_names(answers)}]"
            return f"a list 'answers.{name}'", found
        if len(answers[name]) != len(answers["text"]):
            return f"as many 'answers.{name}' as 'answers.text' ({len(answers['text'])})", str(len(answers[name]))
    for text, char_start in zip(answers["text"], answers["answer_start"], strict=True):
        if not isinstance(text, str) or not text.strip():
            return "an answer text that is not empty", describe(text)
        if isinstance(char_start, bool) or not isinstance(char_start, Integral):
            return "an integer 'answer_start'", describe(char_start)
        found_text = context[char_start : char_start + len(text)] if char_start >= 0 else ""
        if found_text != text:
            return (
                f"the answer {shorten(text)!r} at offset {shorten(str(char_start))}",
                f"{shorten(found_text)!r} ({_hint(text, char_start, context)})",
            )
    for label in labels or []:
        if not isinstance(label, str) or not _is_unicode(label):
            return "the name of a span class in 'answers.label'", describe(label)
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _hint(text: str, char_start: int, context: str) -> str:
    """Say where the answer is, and what its offset may count instead of characters."""
    for unit, (encoding, size, conversion) in _OTHER_UNITS.items():
        encoded = b"" if context.isascii() else context.encode(encoding)
        if not 0 <= size * char_start <= len(encoded):
            continue
        # Inside a character, an offset does not count this unit: then the text has a replacement character.
        counted = encoded[: size * char_start].decode(encoding, "replace")
        if context.startswith(counted + text) and len(counted) != char_start:
            return f"offset {char_start} counts {unit}; in characters it is {len(counted)} = {conversion}"
    nearest = _nearest(text, char_start, context)
    return "the text is not in the context" if nearest is None else f"the text is at offset {nearest}"


def _nearest(text: str, char_start: int, context: str) -> int | None:
    # In texts that repeat themselves str.find takes linear time, str.rfind does not: so search backwards in reverse.
    behind = context.find(text, min(max(char_start, 0), len(context)))
    before = context[::-1].find(text[::-1], max(0, len(context) - len(text) - max(char_start, 0)))
    found_starts = [len(context) - len(text) - before] if before >= 0 else []
    found_starts += [behind] if behind >= 0 else []
    return min(found_starts, key=lambda found: abs(found - char_start), default=None)


def _to_schema(row: dict, with_labels: bool) -> dict:
    answers = {"text": row["answers"]["text"], "answer_start": row["answers"]["answer_start"]}
    if with_labels:
        # A source that names the class of some answers only would leave the others without one.
        labels = row["answers"].get("label")
        answers["label"] = [""] * len(answers["text"]) if labels is None else labels
    return {**{name: row[name] for name in COLUMNS}, "answers": answers}
