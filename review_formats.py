"""Hand suspicious examples to a person who reviews them; `decisions` reads back what was decided.

Three ways: Label Studio, doccano, and a spreadsheet. Inside the project offsets count characters (code
points); so do Label Studio's, while doccano's count UTF-16 units.
"""

import csv
import io
import json
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree  # nosec B405 # writes XML, and reads none

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from atomic_files import write_file
from decisions import NO_ANSWER, NO_ANSWER_CHOICE, NO_ANSWER_CONTROL, SPANS, defused

_CONTEXT = "context"  # Label Studio's name of what is marked


class _Span(NamedTuple):
    char_start: int
    char_end: int
    class_name: str


class _Review(NamedTuple):
    """One row of the issues, with the spans to mark."""

    issue: NamedTuple
    title: str
    context: str
    given: list[_Span]
    suggested: list[_Span]

    @property
    def fields(self) -> dict:
        """What a reviewer should see, besides the marked context."""
        return {
            "example_index": int(self.issue.index), "title": self.title, "question": self.issue.question,
            "given_answer": self.issue.given_answer, "suggested_answer": self.issue.suggested_answer,
            "label_quality": float(self.issue.label_quality), "checks": self.issue.checks,
        }  # fmt: skip


def write_label_studio(
    tasks_path: str | Path, config_path: str | Path, issues: pd.DataFrame, table: pd.DataFrame, worst: int = 100
) -> list[dict]:
    """Write the most suspicious examples as tasks for Label Studio, and the project's labelling configuration.

    A reviewer starts from the given answers, marked, and submits what is right: the marks as they are, others,
    or the choice that there is no answer. The model's suggestion is named above the text, and marked in a
    prediction of its own, which Label Studio does not start from: agreeing with the model must take an effort.

    Parameters
    ----------
    tasks_path, config_path : str or Path
        The JSON file to import, and the XML to paste under Settings, Labeling Interface, Code.
    issues : DataFrame
        One row per example, worst first.
    table : DataFrame
        Of `out_of_fold.parquet`, n examples in data order.
    worst : int
        How many examples to write; all if there are fewer.

    Returns
    -------
    list of dict
        The tasks. The prediction `"given"` has the label quality for its score, so that "Prediction score" sorts
        tasks by it.

    Raises
    ------
    ValueError
        If `issues` and `table` do not belong together, or `worst` is no number of examples.
    OSError
        If a file cannot be written.
    """
    tasks = [_label_studio_task(review) for review in _reviews(issues, table, worst)]
    write_file(config_path, _label_studio_config(_classes(table)))
    write_file(tasks_path, json.dumps(tasks, indent=1, ensure_ascii=False))
    return tasks


def write_doccano(path: str | Path, issues: pd.DataFrame, table: pd.DataFrame, worst: int = 100) -> list[dict]:
    """Write the most suspicious examples as JSON Lines for a doccano project of the kind "sequence labeling".

    The project must leave "Count grapheme clusters as one character" off and, if answers overlap, allow that. A
    text whose marks are removed says that the question has no answer.

    Parameters
    ----------
    path : str or Path
    issues, table, worst
        As in `write_label_studio`.

    Returns
    -------
    list of dict
        The lines, with offsets in UTF-16 units.

    Raises
    ------
    ValueError
        If `issues` and `table` do not belong together, or `worst` is no number of examples.
    OSError
        If the file cannot be written.
    """
    lines = []
    for review in _reviews(issues, table, worst):
        marks = [
            [_utf16_offset(review.context, char) for char in span[:2]] + [span.class_name] for span in review.given
        ]
        # `given` comes back as it is, so that a changed mark can be told from a given one. No field is ever
        # missing: doccano's tables would make it NaN.
        lines.append({"id": review.issue.id, "text": review.context, "label": marks, **review.fields, "given": marks})
    write_file(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return lines


def write_issues_csv(path: str | Path, issues: pd.DataFrame) -> Path:
    """Write issues as a table for a spreadsheet, with all their columns in their order.

    Whoever reviews it adds a column `correct_answer`, and `read_decisions` reads what is filled in there.

    Parameters
    ----------
    path : str or Path
    issues : DataFrame
        Its cells are texts, numbers, truth values or NA.

    Returns
    -------
    Path
        `path`: UTF-8 with a byte order mark, without which Excel takes it for something else; cells separated by
        commas, lines by CR LF; NA is an empty cell. Numbers read back equal. A text that a spreadsheet would run as
        a formula has an apostrophe before it (see `decisions.defused`).

    Raises
    ------
    OSError
        If it cannot be written.
    """
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(issues.columns)
    writer.writerows([_cell(value) for value in row] for row in issues.itertuples(index=False, name=None))
    return write_file(path, lines.getvalue().encode("utf-8-sig"))


def write_issues_parquet(path: str | Path, issues: pd.DataFrame) -> Path:
    """Write issues as a Parquet file that pandas reads back as the same frame, without its index.

    Parameters
    ----------
    path : str or Path
    issues : DataFrame

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    content = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pandas(issues, preserve_index=False), content)
    return write_file(path, content.getvalue())


def _reviews(issues: pd.DataFrame, table: pd.DataFrame, worst: int) -> list[_Review]:
    if isinstance(worst, bool) or not isinstance(worst, int) or worst < 1:
        raise ValueError(f"worst: expected an integer of at least 1, found {worst!r}")
    classes, reviews = _classes(table), []
    for issue in issues.sort_values("rank").head(worst).itertuples(index=False):
        if not 0 <= issue.index < len(table) or table["id"].iloc[issue.index] != issue.id:
            raise ValueError(
                f"expected example {issue.id!r} in row {issue.index} of the table, found another there; "
                "take issues and table of the same run"
            )
        example = table.iloc[issue.index]
        given = [
            _Span(int(char_start), int(char_start) + len(text), class_name)
            for text, char_start, class_name in zip(
                example["given_answer"], example["given_start"], example["given_label"], strict=True
            )
        ]
        judged = []
        if issue.given_answer:
            judged = [
                span for span in given
                if (span.char_start, example["context"][span.char_start : span.char_end])
                == (issue.given_start, issue.given_answer)
            ]  # fmt: skip
            if not judged:
                raise ValueError(
                    f"example {issue.id!r}: expected the judged answer {issue.given_answer!r} at {issue.given_start} "
                    f"among the given answers, found {given}; take issues and table of the same run"
                )
        suggested = []
        # Of a suggestion for a question without an answer, nobody knows the class if there are several.
        if issue.suggested_answer and (judged or len(classes) == 1):
            char_start = int(issue.suggested_start)
            if not example["context"].startswith(issue.suggested_answer, char_start):
                raise ValueError(
                    f"example {issue.id!r}: expected the suggested answer {issue.suggested_answer!r} at {char_start}, "
                    "found another text there; take issues and table of the same run"
                )
            class_name = judged[0].class_name if judged else classes[0]
            suggested = [_Span(char_start, char_start + len(issue.suggested_answer), class_name)]
        reviews.append(_Review(issue, example["title"], example["context"], given, suggested))
    return reviews


def _classes(table: pd.DataFrame) -> list[str]:
    """Return the span classes: those that the table has columns for, and those of the given answers."""
    columns = [name.removeprefix("labels_") for name in table.columns if name.startswith("labels_")]
    classes = list(dict.fromkeys([*columns, *(name for names in table["given_label"] for name in names)]))
    if not classes:
        raise ValueError(
            "table: expected columns labels_<class> or given answers, found neither; read all of out_of_fold.parquet"
        )
    return classes


# Writing for Label Studio


def _label_studio_task(review: _Review) -> dict:
    issue = review.issue
    hint = f"Given: {issue.given_answer or NO_ANSWER}"
    if issue.suggested_answer:
        hint += f" · suggested: {issue.suggested_answer} ({issue.suggestion_confidence:.0%})"
    if issue.checks:
        hint += f" · {issue.checks}"
    given = [*review.given] or [NO_ANSWER_CHOICE]
    predictions = [_prediction(review, "given", given, issue.label_quality)]
    if review.suggested:
        # Label Studio starts a reviewer from the version that comes last in the file.
        predictions.insert(0, _prediction(review, "suggested", review.suggested, issue.suggestion_confidence))
    data = {"id": issue.id, "text": review.context, **review.fields, "hint": hint, "given": [*map(list, review.given)]}
    return {"data": data, "predictions": predictions}


def _prediction(review: _Review, model_version: str, marks: list, score: float) -> dict:
    result = []
    for number, mark in enumerate(marks):
        control, kind = (SPANS, "labels") if isinstance(mark, _Span) else (NO_ANSWER_CONTROL, "choices")
        value = {"choices": [mark]}
        if isinstance(mark, _Span):
            start, end, class_name = mark
            value = {"start": start, "end": end, "text": review.context[start:end], "labels": [class_name]}
        result.append(
            {"id": f"{model_version}{number}", "from_name": control, "to_name": _CONTEXT, "type": kind, "value": value}
        )
    return {"model_version": model_version, "score": float(score), "result": result}


def _label_studio_config(classes: list[str]) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value="$question", size="3")
    ElementTree.SubElement(view, "Header", value="$hint", size="5")
    labels = ElementTree.SubElement(view, "Labels", name=SPANS, toName=_CONTEXT)
    for class_name in classes:
        ElementTree.SubElement(labels, "Label", value=class_name)
    # Where Label Studio runs in its secure mode, a text would be taken for an address unless this says otherwise.
    ElementTree.SubElement(view, "Text", name=_CONTEXT, value="$text", valueType="text", saveTextResult="yes")
    choices = ElementTree.SubElement(view, "Choices", name=NO_ANSWER_CONTROL, toName=_CONTEXT, choice="single")
    ElementTree.SubElement(choices, "Choice", value=NO_ANSWER_CHOICE)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


# Writing for doccano


def _utf16_offset(text: str, char_offset: int) -> int:
    return len(text[:char_offset].encode("utf-16-le")) // 2


# Writing tables


def _cell(value: object) -> str:
    if isinstance(value, str):
        return defused(value)
    if pd.isna(value):
        return ""
    # The shortest digits that read back as the same number; NumPy's own repr would name its type too.
    return repr(value.item() if isinstance(value, np.generic) else value)
