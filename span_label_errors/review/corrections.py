"""Put reviewers' decisions into a data set, and leave everything else as it was."""

import itertools
import json
import shutil
import warnings
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from span_label_errors.data.sources import DEMO_PATH, DEMO_SOURCE
from span_label_errors.data.squad import InvalidDatasetError, InvalidExample, load_squad
from span_label_errors.data.squad_text import replace_answers
from span_label_errors.files import check_writable, partial_folder, write_file
from span_label_errors.review.answers import Answer, Decision, answer_entry, same_answer
from span_label_errors.review.decided import shown, with_decision
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.rewritten import REWRITTEN, as_in_data, may_be_rewritten
from span_label_errors.spans.alignment import check_answers


class Change(NamedTuple):
    """A question whose answers change."""

    id: str
    question: str
    kind: str  # "replaced", "moved" (the same text elsewhere), "no answer", "answer added", "answers changed"
    before: list[dict]  # {"text", "answer_start"}, and "label" where the data has span classes
    after: list[dict]


def apply_decisions(
    source: str | Path,
    decisions: Sequence[Decision],
    corrected_path: str | Path,
    changes_path: str | Path,
    *,
    answers: str = "first",
    revision: str | None = None,
) -> list[Change]:
    """Write a corrected data set, and a list of what changed.

    In a SQuAD file, only the `answers` of changed questions differ from the source, and `is_impossible` where it is
    there; every other byte is the same, those of invalid examples too. A data set of another form becomes a new SQuAD
    file with its valid examples in order. A warning says how many examples are invalid.

    A decision replaces the answers that were under review; "no answer" removes all answers of the example. Where
    several annotators answered, their other answers go as well if they contradict it: see `answers`.

    Parameters
    ----------
    source, revision
        As in `load_squad`.
    decisions : sequence of Decision
        As `read_decisions` gives them, of one file or several.
    corrected_path, changes_path : str or Path
        Two `.json` files: the data set, and a list of objects with the fields of `Change`. They are replaced if they
        are there; neither may be the source.
    answers : {"first", "all"}
        As for the run that was reviewed. With "first", several answers of a class are what annotators said about one:
        a correction takes the place of those, too, that overlap it, or that overlap or repeat what it replaces. With
        "all" they are spans of their own, and it replaces only those that were under review.

    Returns
    -------
    list of Change
        In the order of the data, without confirmed answers.

    Raises
    ------
    RefusedDecisionsError
        If decisions contradict each other or do not fit their examples. All of them are named, and nothing is written.
    ValueError, OSError
        If a path is no `.json` file, is that of another file, or cannot be written; and what `load_squad` raises.
    """
    check_answers(answers)
    corrected_path, changes_path = Path(corrected_path), Path(changes_path)
    file = DEMO_PATH if str(source) == DEMO_SOURCE else Path(source).expanduser()
    _check_paths(file, corrected_path, changes_path)
    examples, invalid = _read(source, revision)
    corrected = _corrected_answers(str(source), examples, invalid, decisions, answers)
    for folder in (corrected_path.parent, changes_path.parent):
        check_writable(folder)

    rows = [
        {**example, "answers": corrected.get(example_index, example["answers"])}
        for example_index, example in enumerate(examples)
    ]
    is_squad_file = file.is_file() and file.suffix.lower() == ".json"
    if invalid:
        kept = "left as they are" if is_squad_file else f"left out of {corrected_path.name}"
        warnings.warn(f"{source}: {len(invalid)} invalid examples are {kept}, first: {invalid[0]}", stacklevel=2)
    content = _edited(file, examples, corrected, invalid) if is_squad_file else _squad_document(rows)
    changes = [_change(examples[example_index], answers) for example_index, answers in sorted(corrected.items())]

    staging = partial_folder(corrected_path)
    try:
        staged = staging / "corrected.json"
        staged.write_bytes(content.encode("utf-8"))
        if _read(staged) != (rows, invalid if is_squad_file else []):
            raise RuntimeError(f"{source}: the corrected file reads as other data than it should; please report this")
        write_file(changes_path, json.dumps([change._asdict() for change in changes], indent=1, ensure_ascii=False))
        staged.replace(corrected_path)
    finally:
        shutil.rmtree(staging)
    return changes


def _read(source: str | Path, revision: str | None = None) -> tuple[list[dict], list[InvalidExample]]:
    """Return the valid examples, their `answers` as a list of Answer, and what is wrong with each of the others."""
    try:
        dataset, invalid = load_squad(source, revision=revision), []
    except InvalidDatasetError as error:
        invalid = error.problems
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `apply_decisions` warns about the invalid examples itself
            dataset = load_squad(source, on_invalid="drop", revision=revision)
    examples = []
    for example in dataset:
        columns = example["answers"]
        classes = columns.get("label") or [None] * len(columns["text"])
        examples.append({**example, "answers": list(map(Answer, columns["text"], columns["answer_start"], classes))})
    return examples, invalid


def _check_paths(source: Path, corrected_path: Path, changes_path: Path) -> None:
    for path in (corrected_path, changes_path):
        if path.suffix.lower() != ".json":
            raise ValueError(f"{path}: expected a name ending in .json; choose another")
        # A hard link, or another spelling of the same path, is the same file.
        if source.exists() and (path.resolve() == source.resolve() or (path.exists() and path.samefile(source))):
            raise ValueError(
                f"{path}: expected another file than the source, which stays as it is; choose another name"
            )
    if corrected_path.resolve() == changes_path.resolve():
        raise ValueError(f"{corrected_path}: expected two files for the data and the changes, found one name")


def _change(example: dict, after: list[Answer]) -> Change:
    before = example["answers"]
    if not after:
        kind = "no answer"
    elif not before:
        kind = "answer added"
    elif len(before) != len(after):
        kind = "answers changed"
    else:
        is_text_kept = [a.text for a in before] == [a.text for a in after]
        is_place_kept = [a.char_start for a in before] == [a.char_start for a in after]
        kind = "moved" if is_text_kept and not is_place_kept else "replaced"
    return Change(
        example["id"], example["question"], kind, *([answer_entry(a) for a in side] for side in (before, after))
    )


# From decisions to answers


def _corrected_answers(
    source: str, examples: list[dict], invalid: list[InvalidExample], decisions: Sequence[Decision], answers: str
) -> dict[int, list[Answer]]:
    """Return the new answers of each example that changes, by its index."""
    index_of_id = {example["id"]: example_index for example_index, example in enumerate(examples)}
    invalid_of_id = {problem.id: problem for problem in invalid}
    classes = {answer.class_name for example in examples for answer in example["answers"]} or {None}
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
            after = _with_decisions(example, on_it, classes, answers)
            if after != example["answers"]:
                corrected[index_of_id[example_id]] = after
        except ValueError as error:
            problems.append(f"example {example_id!r}: {error}")
    if problems:
        raise RefusedDecisionsError(source, problems)
    return corrected


def _with_decisions(example: dict, decisions: list[Decision], classes: set[str | None], answers: str) -> list[Answer]:
    # Two files, or two rows, that say the same are one decision.
    by_outcome: dict[tuple, Decision] = {}
    for decision in decisions:
        outcome = with_decision(example, decision, classes, answers)
        if outcome is not example["answers"] or decision.correct == decision.given:
            by_outcome.setdefault(tuple(outcome), decision)
    for (after_one, one), (after_other, other) in itertools.combinations(by_outcome.items(), 2):
        if not (_go_together(one, other, after_one) and _go_together(other, one, after_other)):
            raise ValueError(
                f"expected decisions that go together, found {shown(one.correct)} and {shown(other.correct)}; "
                "keep one of them"
            )
    corrected = example["answers"]
    for decision in by_outcome.values():
        corrected = with_decision({**example, "answers": corrected}, decision, classes, answers)
    return corrected


def _go_together(one: Decision, other: Decision, after_one: Sequence[Answer]) -> bool:
    """Return whether decisions are about different answers, and one leaves what the other is about."""
    are_apart = not {answer[:2] for answer in one.given} & {answer[:2] for answer in other.given}
    return bool(other.given) and are_apart and all(any(same_answer(a, g) for a in after_one) for g in other.given)


# From answers to a SQuAD file


def _edited(file: Path, examples: list[dict], corrected: dict[int, list[Answer]], invalid: list[InvalidExample]) -> str:
    """Return the text of a SQuAD file with the answers of some questions replaced."""
    # Examples are counted without the invalid ones, questions of the file with them.
    invalid_indices = {problem.example_index for problem in invalid}
    num_questions = len(examples) + len(invalid)
    question_indices = [index for index in range(num_questions) if index not in invalid_indices]
    new_answers = {}
    for example_index, after in corrected.items():
        old = dict(enumerate(examples[example_index]["answers"]))
        entries: list[int | dict] = []
        for answer in after:
            position = next((position for position, kept in old.items() if kept == answer), None)
            entries.append(answer_entry(answer) if position is None else position)
            old.pop(position, None)
        new_answers[question_indices[example_index]] = entries
    # Not read_text(), which would make every line end "\n".
    return replace_answers(file.read_bytes().decode("utf-8"), new_answers)


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
