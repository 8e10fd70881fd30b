"""Read back what reviewers decided: exports of Label Studio and doccano, and tables filled in by hand.

Inside the project offsets count characters (code points); so do Label Studio's, while doccano's count UTF-16
units. `review_formats` writes what is read here; the names that both must agree on stand here.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

NO_ANSWER = "[no answer]"
# Label Studio's names of the two controls, and what a reviewer chooses with the second.
SPANS, NO_ANSWER_CONTROL = "answer", "no_answer"
NO_ANSWER_CHOICE = "The text does not answer the question"
# What OWASP lists as the beginning of a formula, and its full-width forms, which Excel takes for the same where
# Japanese is set. White space before it is no protection: an import can trim cells.
_FORMULA = r"(?:[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n\0])"
_LIKE_A_FORMULA, _DEFUSED = re.compile(f"'*{_FORMULA}"), re.compile(f"'+{_FORMULA}")


class Answer(NamedTuple):
    """A span of a context; what a reviewer left open is None."""

    text: str
    char_start: int | None = None
    class_name: str | None = None


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


def read_decisions(path: str | Path) -> list[Decision]:
    """Read what reviewers decided.

    Parameters
    ----------
    path : str or Path
        One of

        - Label Studio's export in the format "JSON". Tasks without an annotation, and skipped ones, are no
          decision.
        - doccano's export in JSON Lines, "only approved documents" (one that nobody looked at would read as
          confirmed).
        - the table of issues as CSV, with the right answer filled into a column `correct_answer`: `[no answer]` if
          there is none, nothing if undecided. Where the text stands several times, `correct_start` says which, as
          the character it starts at. Separated by commas, semicolons or tabs, as spreadsheets save it; the
          apostrophe that keeps a text from being a formula (see `defused`) may still be there or not.

    Returns
    -------
    list of Decision
        In the order of the file. White space at the ends of a corrected answer is left out.

    Raises
    ------
    RefusedDecisionsError
        If what was decided about an example is not clear: annotators disagree, nothing is marked, offsets and text
        do not fit. All such examples are named.
    ValueError
        If the file is none of the three.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    content = path.read_bytes()
    if content.startswith(b"PK"):
        raise ValueError(
            f"{path}: expected JSON, JSON Lines or CSV, found an archive; unpack doccano's export, and save a workbook "
            'as "CSV UTF-8"'
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: expected UTF-8 text; {error}. Save a workbook as "CSV UTF-8"') from error
    # No table begins with a bracket: its first cell is the name of a column.
    read = {"[": _label_studio_decisions, "{": _doccano_decisions}.get(text.lstrip()[:1], _csv_decisions)
    decisions, problems = [], []
    for item in read(text, path):
        (problems if isinstance(item, str) else decisions).append(item)
    if problems:
        raise RefusedDecisionsError(path, problems)
    return decisions


def _label_studio_decisions(text: str, path: Path) -> Iterable[Decision | str]:
    """Yield a decision, or what is wrong, of each task that was worked on."""
    for number, task in enumerate(_parse(text, path), start=1):
        if not isinstance(task, dict) or not isinstance(task.get("annotations"), list):
            raise ValueError(
                f"{path}, task {number}: expected 'data' and 'annotations', found {_names(task)}; export the project "
                'in the format "JSON" (not "JSON-MIN")'
            )
        data = task.get("data")
        _check_fields(data, {"id": str, "text": str, "given": list}, f"{path}, task {number}")
        for annotation in task["annotations"]:
            _check_fields(annotation, {"result": list}, f"{path}, an annotation of task {number}")
            for result in annotation["result"]:
                _check_fields(result, {"value": dict}, f"{path}, a result of task {number}")
        done = [annotation for annotation in task["annotations"] if not annotation.get("was_cancelled")]
        try:
            given = _marked(data["text"], data["given"])
            verdicts = {_label_studio_verdict(annotation["result"], data["text"], given) for annotation in done}
            if len(verdicts) > 1:
                raise ValueError(f"expected annotators to agree, found {sorted(verdicts)}; settle it in Label Studio")
            yield from (Decision(data["id"], given, correct) for correct in verdicts)
        except ValueError as error:
            yield f"example {data['id']!r}: {error}"


def _label_studio_verdict(results: list[dict], context: str, given: tuple[Answer, ...]) -> tuple[Answer, ...]:
    marks = [result["value"] for result in results if result.get("from_name") == SPANS]
    chosen = any(result.get("from_name") == NO_ANSWER_CONTROL for result in results)
    if chosen == bool(marks):
        found = f"that choice and {len(marks)} marks" if chosen else "neither"
        raise ValueError(
            f"expected marked answers or the choice {NO_ANSWER_CHOICE!r}, found {found}; annotate it again"
        )
    spans = []
    for mark in marks:
        start, end, names = mark.get("start"), mark.get("end"), mark.get("labels") or [None]
        if not isinstance(names, list) or not isinstance(mark.get("text", ""), str):
            raise ValueError(f"expected marks with a list 'labels' and a text, found {mark}")
        spans += [[start, end, name] for name in names]
        # Line ends are shown as breaks, and come back as something else or not at all.
        for answer in _marked(context, spans[-1:]):
            if _visible(mark.get("text", answer.text)) != _visible(answer.text):
                raise ValueError(
                    f"expected the marked text {mark['text']!r} at {start}, found {answer.text!r}; "
                    "offsets must count characters, and the tasks' texts be those that were imported"
                )
    return _without_margins(_marked(context, spans), given)


def _visible(text: str) -> str:
    return "".join(text.replace("\\n", " ").split())


# doccano


def _doccano_decisions(text: str, path: Path) -> Iterable[Decision | str]:
    # Not splitlines(), which would also cut at U+2028 inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _parse(line, f"{path}, line {number}")
        _check_fields(row, {"id": str, "text": str, "label": list, "given": list}, f"{path}, line {number}")
        try:
            given = _marked(row["text"], row["given"], _char_offset)
            correct = _without_margins(_marked(row["text"], row["label"], _char_offset), given)
            yield Decision(row["id"], given, correct)
        except ValueError as error:
            yield f"example {row['id']!r}: {error}"


def _char_offset(text: str, utf16_offset: int) -> int:
    units = text.encode("utf-16-le")
    if not 0 <= 2 * utf16_offset <= len(units):
        raise ValueError(f"expected an offset of 0 to {len(units) // 2}, found {utf16_offset}; was the text changed?")
    try:
        return len(units[: 2 * utf16_offset].decode("utf-16-le"))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected offsets between characters, found {utf16_offset}, which cuts one in two; they must count UTF-16 "
            'units: leave doccano\'s "Count grapheme clusters as one character" off'
        ) from error


# What both have in common


def _marked(
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
    return tuple(sorted(set(answers), key=lambda answer: (answer.char_start, len(answer.text), answer.class_name)))


def _without_margins(answers: tuple[Answer, ...], given: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Return answers without the white space that a hand with a mouse marks too; given ones as they are."""
    trimmed = []
    for answer in answers:
        text = answer.text.strip()
        if not text:
            raise ValueError(f"expected an answer at {answer.char_start}, found white space only; mark it again")
        start = answer.char_start + answer.text.index(text)
        trimmed.append(answer if answer in given else Answer(text, start, answer.class_name))
    return tuple(dict.fromkeys(trimmed))


def _check_fields(row: object, types: dict[str, type], where: str) -> None:
    for name, kind in types.items():
        if not isinstance(row, dict) or not isinstance(row.get(name), kind):
            raise ValueError(
                f"{where}: expected the field {name!r} as {kind.__name__}, found {_names(row)}; "
                "import the file that this project wrote, and change nothing but marks"
            )


def _names(row: object) -> str:
    return f"the fields {list(row)[:12]}" if isinstance(row, dict) else f"{type(row).__name__} {str(row)[:60]!r}"


def _parse(text: str, where: str | Path) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only JSONDecodeError: Python refuses to read a number of some thousand digits.
        raise ValueError(f"{where}: expected JSON; {error}; export it again") from error


# CSV


def defused(text: str) -> str:
    """Return a text as a cell that no spreadsheet runs as a formula: with an apostrophe before what looks like one.

    A text that already has such an apostrophe gets another, so that `restored` gives every text back as it was.
    """
    return f"'{text}" if _LIKE_A_FORMULA.match(text) else text


def restored(cell: str) -> str:
    """Return the text that `defused` made a cell of."""
    return cell[1:] if _DEFUSED.match(cell) else cell


def _csv_decisions(text: str, path: Path) -> Iterable[Decision | str]:
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}: expected CSV; {error}") from error
    columns = rows[0] if rows else []
    for name in ("id", "given_answer", "given_start", "correct_answer"):
        if columns.count(name) != 1:
            raise ValueError(
                f"{path}: expected one column {name!r}, found {columns[:20]}; add a column correct_answer to the table "
                "of issues and save it as CSV"
            )
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            raise ValueError(
                f"{path}, row {number}: expected {len(columns)} cells, found {len(row)}; save it as CSV again"
            )
        cells = {name: restored(cell) for name, cell in zip(columns, row, strict=True)}
        try:
            yield from _csv_decision(cells)
        except ValueError as error:
            yield f"example {cells['id']!r} (row {number}): {error}"


def _csv_decision(cells: dict[str, str]) -> list[Decision]:
    given_text, correct_text = cells["given_answer"], cells["correct_answer"]
    given_start, correct_start = (_offset_of_cell(cells, name) for name in ("given_start", "correct_start"))
    if not correct_text.strip():
        if correct_start is not None:
            raise ValueError("expected the answer that starts at correct_start, found none; fill in correct_answer too")
        return []
    if bool(given_text) != (given_start is not None):
        raise ValueError(
            f"expected given_answer and given_start as they were written, found {given_text!r} and {given_start}"
        )
    given = (Answer(given_text, given_start),) if given_text else ()
    if correct_text.strip() == NO_ANSWER:
        return [Decision(cells["id"], given, ())]
    if correct_text == given_text and correct_start in (None, given_start):
        return [Decision(cells["id"], given, given)]
    return [Decision(cells["id"], given, (Answer(correct_text.strip(), correct_start),))]


def _offset_of_cell(cells: dict[str, str], name: str) -> int | None:
    cell = cells.get(name, "").strip()
    if not cell:
        return None
    # A column with empty cells becomes one of fractions in many tools: 7 is saved as 7.0.
    if not re.fullmatch(r"[0-9]+([.,]0+)?", cell):
        raise ValueError(f"expected a whole number in {name}, found {cell!r}")
    return int(re.split("[.,]", cell)[0])
