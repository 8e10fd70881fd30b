"""Put reviewers' decisions into a data set, and leave everything else as it was."""

import itertools
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from span_label_errors.data.answer_forms import NewAnswer
from span_label_errors.data.examples import COLUMNS, has_questions
from span_label_errors.data.formats import FILE_SUFFIXES
from span_label_errors.data.json_files import JSON_SUFFIXES
from span_label_errors.data.sources import local_source
from span_label_errors.data.squad import (
    CheckedExamples,
    InvalidDatasetError,
    InvalidExample,
    check_on_invalid,
    check_source,
)
from span_label_errors.data.write import suffix_of, write_with_answers
from span_label_errors.files import check_writable, partial_folder, replace_folder, write_file
from span_label_errors.review.answers import Answer, Decision, answer_entry
from span_label_errors.review.decided import with_decisions
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.spreadsheet_values import REWRITTEN, as_in_data, may_be_rewritten
from span_label_errors.spans.alignment import check_answers


class Change(NamedTuple):
    """An example whose answers change."""

    id: str
    question: str
    # "replaced", "moved" (the same text elsewhere), "class changed", "removed" or "added" (the others stay), of a
    # question "no answer" or "answer added" (the first one), "answers changed" (all else)
    kind: str
    before: list[dict]  # {"text", "answer_start"}, and "label" where the data has span classes
    after: list[dict]


def apply_decisions(
    source: str | Path,
    decisions: Sequence[Decision],
    corrected_path: str | Path,
    changes_path: str | Path,
    *,
    answers: str | None = None,
    on_invalid: str = "drop",
    revision: str | None = None,
) -> list[Change]:
    """Write a corrected data set, and a list of what changed.

    The data set keeps its form, and only the `answers` of changed questions differ from the source, and their
    `is_impossible` where it is there. Of JSON and JSON Lines every other byte is the same, those of invalid examples
    too. Of Parquet and a folder all other columns are, with types and metadata. A data set on the Hub becomes Parquet.
    Answers are written in the form that they have in the source, and so is that there is none. A warning says how many
    examples are invalid.

    A decision replaces the answers that were under review; "no answer" removes all answers of the example, or the one
    that it is about where every span is labelled. Where several annotators answered, their other answers go as well if
    they contradict it: see `answers`.

    Parameters
    ----------
    source, revision
        As in `load_squad`.
    decisions : sequence of Decision
        As `read_decisions` gives them, of one file or several.
    corrected_path : str or Path
        The data set: a file whose name ends as the source's does, or in `.json` for JSON Lines; a `.parquet` file for
        the Hub; a folder for a folder. A `.json` file for a table is a new SQuAD file, without invalid examples. What
        is there is replaced; it may not be the source.
    changes_path : str or Path
        A `.json` file: a list of objects with the fields of `Change`. As with the data set, it is replaced.
    answers : {"first", "all", "each"}, optional
        As for the run that was reviewed. With "first", several answers of a class are what annotators said about one:
        a correction takes the place of those, too, that overlap it, or that overlap or repeat what it replaces; with
        "each" likewise, but it adds nothing where another annotator has given the correct answer. With "all" they are
        spans of their own, and it replaces only those that were under review. By default, answers with a `label`, or
        without a question, are spans of their own.
    on_invalid : {"raise", "drop", "repair"}
        As for that run. With "repair", decisions about repaired examples apply to what was read. An example that is not
        changed stays as it is in the source.

    Returns
    -------
    list of Change
        In the order of the data, without confirmed answers.

    Raises
    ------
    RefusedDecisionsError
        If decisions contradict each other or do not fit their examples. All of them are named, and nothing is written.
    ValueError, OSError
        If a path has another ending, is that of another file, or cannot be written; and what `load_squad` raises.
    """
    if answers is not None:
        check_answers(answers)
    corrected_path, changes_path = Path(corrected_path), Path(changes_path)
    suffix = suffix_of(source)
    _check_paths(local_source(str(source)), suffix, corrected_path, changes_path)
    is_repair = check_on_invalid(on_invalid) == "repair"
    checked = check_source(source, repair=is_repair, revision=revision)
    if not checked.rows:
        raise InvalidDatasetError(str(source), checked.invalid, len(checked.invalid))
    examples, invalid = _examples(checked.rows), checked.invalid
    corrected = _corrected_answers(str(source), examples, invalid, decisions, answers)
    for folder in (corrected_path.parent, changes_path.parent):
        check_writable(folder)

    rows = [
        {**example, "answers": corrected[example_index]} if example_index in corrected else example
        for example_index, example in enumerate(examples)
    ]
    is_converted = corrected_path.suffix.lower() == ".json" and suffix not in JSON_SUFFIXES
    if invalid:
        kept = f"left out of {corrected_path.name}" if is_converted else "left as they are"
        warnings.warn(f"{source}: {len(invalid)} invalid examples are {kept}, first: {invalid[0]}", stacklevel=2)
    changes = [_change(examples[example_index], after) for example_index, after in sorted(corrected.items())]

    staging = partial_folder(corrected_path)
    try:
        staged = staging / f"corrected{corrected_path.suffix.lower()}"
        if is_converted:
            staged.write_bytes(_squad_document(rows).encode("utf-8"))
        else:
            write_with_answers(source, staged, _new_answers(checked, examples, corrected), revision=revision)
        found = check_source(staged, repair=is_repair)
        if not _is_same(_examples(found.rows), rows) or found.invalid != ([] if is_converted else invalid):
            raise RuntimeError(f"{source}: the corrected data reads as other data than it should; please report this")
        write_file(changes_path, json.dumps([change._asdict() for change in changes], indent=1, ensure_ascii=False))
        (replace_folder if staged.is_dir() else os.replace)(staged, corrected_path)
    finally:
        shutil.rmtree(staging)
    return changes


def _examples(rows: list[dict]) -> list[dict]:
    """Return examples with their `answers` as a list of Answer; where one has a class, the others have `""`."""
    with_labels = any(row["answers"].get("label") is not None for row in rows)
    examples = []
    for row in rows:
        columns = row["answers"]
        classes = columns.get("label") or ["" if with_labels else None] * len(columns["text"])
        answers = list(map(Answer, columns["text"], columns["answer_start"], classes))
        examples.append({**{name: row[name] for name in COLUMNS}, "answers": answers})
    return examples


def _is_same(examples: list[dict], expected: list[dict]) -> bool:
    def content(example: dict) -> dict:
        # Without any class left, the others have none either. Tags have no order but that of their tokens.
        answers = [answer._replace(class_name=answer.class_name or None) for answer in example["answers"]]
        if not example["question"]:
            answers.sort(key=lambda answer: (answer.char_start, answer.text, answer.class_name or ""))
        return {**example, "answers": answers}

    return len(examples) == len(expected) and all(
        content(one) == content(other) for one, other in zip(examples, expected, strict=True)
    )


def _check_paths(source: Path | None, suffix: str, corrected_path: Path, changes_path: Path) -> None:
    for path, endings in ((corrected_path, dict.fromkeys((suffix, ".json"))), (changes_path, [".json"])):
        ending = path.suffix.lower()
        if ending not in endings and ("" not in endings or ending in FILE_SUFFIXES):
            shown_endings = " or ".join(ending or "nothing, as that of a folder" for ending in endings)
            raise ValueError(f"{path}: expected a name ending in {shown_endings}; choose another")
        if source is not None and _shares_place(path, source):
            raise ValueError(
                f"{path}: expected another file than the source, which stays as it is; choose another name"
            )
    if changes_path.resolve().is_relative_to(corrected_path.resolve()):
        raise ValueError(f"{corrected_path}: expected two files for the data and the changes, found one place")
    is_folder = not suffix and corrected_path.suffix.lower() != ".json"
    if is_folder and corrected_path.exists() and not (corrected_path / "dataset_info.json").is_file():
        raise ValueError(
            f"{corrected_path}: expected a new folder, or an earlier data set, found another; choose another"
        )


def _shares_place(path: Path, source: Path) -> bool:
    """Return whether a path is that of the source, by a link or another spelling, inside of it, or around it."""
    one, other = path.resolve(), source.resolve()
    return one.is_relative_to(other) or other.is_relative_to(one) or (path.exists() and path.samefile(source))


def _change(example: dict, after: list[Answer]) -> Change:
    before = example["answers"]
    if example["question"] and not (before and after):
        kind = "answer added" if after else "no answer"
    elif set(after) < set(before):
        kind = "removed"
    elif set(before) < set(after):
        kind = "added"
    elif len(before) != len(after):
        kind = "answers changed"
    elif [answer.span for answer in before] == [answer.span for answer in after]:
        kind = "class changed"
    else:
        kind = "moved" if [a.text for a in before] == [a.text for a in after] else "replaced"
    return Change(
        example["id"], example["question"], kind, *([answer_entry(a) for a in side] for side in (before, after))
    )


# From decisions to answers


def _corrected_answers(
    source: str, examples: list[dict], invalid: list[InvalidExample], decisions: Sequence[Decision], answers: str | None
) -> dict[int, list[Answer]]:
    """Return the new answers of each example that changes, by its index."""
    index_of_id = {example["id"]: example_index for example_index, example in enumerate(examples)}
    invalid_of_id = {problem.id: problem for problem in invalid}
    classes = {answer.class_name for example in examples for answer in example["answers"]} or {None}
    answers = answers or ("first" if None in classes and has_questions(examples) else "all")
    of_example: dict[str, list[Decision]] = {}
    corrected, problems = {}, []
    for decision in decisions:
        try:
            restored = as_in_data(decision, index_of_id, examples.__getitem__)
            of_example.setdefault(restored.id, []).append(restored)
        except ValueError as error:
            problems.append(f"example {decision.id!r}: {error}")
    for example_id, on_it in of_example.items():
        try:
            if example_id in invalid_of_id and example_id not in index_of_id:
                raise ValueError(f"the example is invalid in the data; correct it there: {invalid_of_id[example_id]}")
            if example_id not in index_of_id:
                hint = f", or {REWRITTEN}" if may_be_rewritten(example_id) else ""
                raise ValueError(
                    f"expected the id of one of the {len(examples)} examples; is it another data set{hint}?"
                )
            example = examples[index_of_id[example_id]]
            after = with_decisions(example, on_it, classes, answers)
            if after != example["answers"]:
                corrected[index_of_id[example_id]] = after
        except ValueError as error:
            problems.append(f"example {example_id!r}: {error}")
    if problems:
        raise RefusedDecisionsError(source, problems)
    return corrected


# From answers to a file


def _new_answers(
    checked: CheckedExamples, examples: list[dict], corrected: dict[int, list[Answer]]
) -> dict[int, list[NewAnswer]]:
    """Return the new answers by the position of the example in the source, with those that stay as their positions."""
    new_answers = {}
    for example_index, after in corrected.items():
        position = checked.example_indices[example_index]
        before = examples[example_index]["answers"]
        repaired = checked.repaired.get(position)
        kept_at = repaired.kept if repaired else range(len(before))
        old = dict(zip(kept_at, before, strict=True))
        entries: list[NewAnswer] = []
        for answer in after:
            at = next((at for at, kept in old.items() if kept == answer), None)
            old.pop(at, None)
            # A repaired answer is written as it was read.
            entries.append(answer_entry(answer) if at is None else (at, answer_entry(answer)) if repaired else at)
        new_answers[position] = entries
    return new_answers


def _squad_document(rows: list[dict]) -> str:
    """Return examples as a SQuAD file; neighbours of the same title and context share a paragraph."""
    has_impossible = not all(row["answers"] for row in rows)
    articles = []
    for title, of_title in itertools.groupby(rows, itemgetter("title")):
        paragraphs = []
        for context, of_context in itertools.groupby(of_title, itemgetter("context")):
            questions = []
            for row in of_context:
                answers = [answer_entry(answer) for answer in row["answers"]]
                impossible = {"is_impossible": not answers} if has_impossible else {}
                questions.append({"id": row["id"], "question": row["question"], "answers": answers, **impossible})
            paragraphs.append({"context": context, "qas": questions})
        articles.append({"title": title, "paragraphs": paragraphs})
    document = {"version": "v2.0" if has_impossible else "1.1", "data": articles}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
