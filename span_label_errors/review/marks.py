"""What every tool of the reviewers shares: answers, decisions about them, and the examples to review."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

NO_ANSWER = "[no answer]"
ISSUE_COLUMNS = (
    "rank", "index", "id", "label_quality", "is_issue", "question", "given_answer", "given_start", "suggested_answer",
    "suggested_start", "suggestion_confidence", "checks", "fold",
)  # fmt: skip
TABLE_COLUMNS = ("id", "title", "context", "given_answer", "given_start", "given_label")


class Answer(NamedTuple):
    """A span of a context; what a reviewer left open is None."""

    text: str
    char_start: int | None = None
    class_name: str | None = None

    @property
    def span(self) -> tuple[int, int]:
        """`char_start` and `char_end`."""
        return self.char_start, self.char_start + len(self.text)


@dataclass(frozen=True)
class Decision:
    """What a reviewer decided about an example.

    Attributes
    ----------
    id : str
        Of the example.
    given : tuple of Answer
        The answers that the reviewer was asked about, with their offsets; empty for a question without one.
    correct : tuple of Answer
        What is to stand in their place; equal to `given` if it was confirmed, empty if the question has no
        answer.
    """

    id: str
    given: tuple[Answer, ...]
    correct: tuple[Answer, ...]


class RefusedDecisionsError(ValueError):
    """Raised when decisions cannot be used; names all of them.

    Attributes
    ----------
    problems : list of str
        One entry a refused decision.
    """

    def __init__(self, where: str | Path, problems: list[str]):
        self.problems = problems
        super().__init__(
            f"{where}: {len(problems)} decisions cannot be used:\n" + "\n".join(f"  {p}" for p in problems)
        )


# What is to be reviewed


class Review(NamedTuple):
    """An example to review: its row of the issues, and its answers as checked spans of the context."""

    issue: NamedTuple
    title: str
    context: str
    given: list[Answer]
    judged: Answer | None  # the one of `given` that the row is about
    suggested: Answer | None  # without a class where nobody knows it

    @property
    def fields(self) -> dict:
        """What a reviewer should see besides the marked context, as JSON."""
        return {
            "example_index": int(self.issue.index), "title": self.title, "question": self.issue.question,
            "given_answer": self.issue.given_answer, "suggested_answer": self.issue.suggested_answer,
            "label_quality": float(self.issue.label_quality), "checks": self.issue.checks,
        }  # fmt: skip


def worst_reviews(issues: pd.DataFrame, table: pd.DataFrame, worst: int) -> list[Review]:
    """Return the most suspicious examples, worst first.

    Parameters
    ----------
    issues : DataFrame
        One row an example: `rank` (1 is worst), `index` (row number in `table`), `id`, `question`, `label_quality`
        (0 to 1, low is suspicious), `is_issue`, `given_answer` and `given_start` (the answer that is judged; `""` and
        NA for none), `suggested_answer` and `suggested_start` (likewise), `suggestion_confidence` (0 to 1, or NA),
        `checks` (the names of failed checks, joined by `"; "`), `fold`.
    table : DataFrame
        `out_of_fold.parquet`, n examples in data order. Offsets count the characters of the context.
    worst : int
        How many examples; all if there are fewer.

    Raises
    ------
    ValueError
        If `issues` and `table` do not belong together, lack a column or hold what they should not, or if `worst` is
        no number of examples.
    """
    if isinstance(worst, bool) or not isinstance(worst, int) or worst < 1:
        raise ValueError(f"worst: expected an integer of at least 1, found {worst!r}")
    for name, frame, columns in (("issues", issues, ISSUE_COLUMNS), ("table", table, TABLE_COLUMNS)):
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise ValueError(f"{name}: expected the columns {', '.join(columns)}; without {', '.join(missing)}")
    classes = classes_of(table)
    rows = list(issues.sort_values("rank", kind="stable").head(worst).itertuples(index=False))
    for row in rows:
        _check(0 <= row.index < len(table), row, f"an index of 0 to {len(table) - 1}", row.index)
    examples = table[list(TABLE_COLUMNS)].iloc[[row.index for row in rows]].to_dict("records")
    return [_review(row, example, classes) for row, example in zip(rows, examples, strict=True)]


def classes_of(table: pd.DataFrame) -> list[str]:
    """Return the span classes: those that the table has columns for, and those of the given answers."""
    columns = [name.removeprefix("labels_") for name in table.columns if name.startswith("labels_")]
    classes = list(dict.fromkeys([*columns, *(name for names in table["given_label"] for name in names)]))
    if not classes:
        raise ValueError(
            "table: expected columns labels_<class> or given answers, found neither; read all of out_of_fold.parquet"
        )
    return classes


def _review(row: NamedTuple, example: dict, classes: list[str]) -> Review:
    _check(row.id == example["id"], row, f"the id of row {row.index} of the table", example["id"])
    _check(isinstance(row.checks, str), row, "checks to be a text, '' for none", row.checks)
    _check(0 <= row.label_quality <= 1, row, "a label_quality of 0 to 1", row.label_quality)
    confidence = row.suggestion_confidence
    _check(pd.isna(confidence) or 0 <= confidence <= 1, row, "a suggestion_confidence of 0 to 1", confidence)
    columns = [list(example[name]) for name in ("given_answer", "given_start", "given_label")]
    _check(len({*map(len, columns)}) == 1, row, "as many starts and labels as given answers in the table", columns)
    given = [
        _found(row, example["context"], "a given answer", text, start, class_name)
        for text, start, class_name in zip(*columns, strict=True)
    ]
    judged = _answer_of(row, example["context"], "given")
    if judged:
        of_class = [answer for answer in given if answer[:2] == judged[:2]]
        _check(bool(of_class), row, f"the judged answer {judged[:2]} among the given answers of the table", given)
        judged = of_class[0]
    suggested = _answer_of(row, example["context"], "suggested")
    # Of a suggestion for a question without an answer, nobody knows the class if there are several.
    if suggested and (judged or len(classes) == 1):
        suggested = suggested._replace(class_name=judged.class_name if judged else classes[0])
    return Review(row, example["title"], example["context"], given, judged, suggested)


def _answer_of(row: NamedTuple, context: str, kind: str) -> Answer | None:
    answer, start = getattr(row, f"{kind}_answer"), getattr(row, f"{kind}_start")
    _check(isinstance(answer, str), row, f"{kind}_answer to be a text, '' for none", answer)
    _check(bool(answer) != pd.isna(start), row, f"{kind}_answer with {kind}_start, or neither", (answer, start))
    return _found(row, context, f"the {kind} answer", answer, start) if answer else None


def _found(row: NamedTuple, context: str, kind: str, text: str, start: int, class_name: str | None = None) -> Answer:
    found = context[start : start + len(text)] if start >= 0 else ""
    _check(bool(text) and found == text, row, f"{kind} {text!r} at offset {start}", found)
    return Answer(text, int(start), class_name)


def _check(holds: bool, row: NamedTuple, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(
            f"example {row.id!r}: expected {expected}; found {found!r}; take issues and table of the same run"
        )


# What comes back


def marked_answers(
    context: str, marks: list, offset: Callable[[str, int], int] = lambda _, char_offset: char_offset
) -> tuple[Answer, ...]:
    """Return the answers that marks [start, end, class] stand for, in the order of the text."""
    answers = []
    for mark in marks:
        if not isinstance(mark, list) or [type(part) for part in mark] != [int, int, str]:
            raise ValueError(f"expected marks [start, end, class], found {mark!r}")
        char_start, char_end = offset(context, mark[0]), offset(context, mark[1])
        if not 0 <= char_start < char_end <= len(context):
            raise ValueError(f"expected a mark within the {len(context)} characters of the text, found {mark!r}")
        answers.append(Answer(context[char_start:char_end], char_start, mark[2]))
    return tuple(sorted(set(answers), key=lambda answer: (*answer.span, answer.class_name)))


def without_margins(answers: tuple[Answer, ...], given: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Return answers without the white space that a hand with a mouse marks too; given ones as they are."""
    trimmed = []
    for answer in answers:
        text = answer.text.strip()
        if not text:
            raise ValueError(f"expected an answer at {answer.char_start}, found white space only; mark it again")
        start = answer.char_start + answer.text.index(text)
        trimmed.append(answer if answer in given else Answer(text, start, answer.class_name))
    return tuple(dict.fromkeys(trimmed))


def check_fields(row: object, types: dict[str, type], where: str) -> None:
    """Refuse a row of an export that lacks a field."""
    for name, kind in types.items():
        if not isinstance(row, dict) or not isinstance(row.get(name), kind):
            raise ValueError(
                f"{where}: expected the field {name!r} as {kind.__name__}, found {fields_shown(row)}; "
                "import the file that this project wrote, and change nothing but marks"
            )


def fields_shown(row: object) -> str:
    """Return the names of a row's fields, for a message."""
    return f"the fields {list(row)[:12]}" if isinstance(row, dict) else f"{type(row).__name__} {str(row)[:60]!r}"


def parse_json(text: str, where: str | Path) -> object:
    """Return what a text says as JSON.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only JSONDecodeError: Python refuses to read a number of some thousand digits.
        raise ValueError(f"{where}: expected JSON; {error}; export it again") from error
