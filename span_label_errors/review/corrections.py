"""Put reviewers' decisions into a data set, and leave everything else as it was."""

import itertools
import json
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from span_label_errors.data.sources import DEMO_PATH, DEMO_SOURCE
from span_label_errors.data.squad import InvalidDatasetError, InvalidExample, load_squad
from span_label_errors.data.squad_text import replace_answers
from span_label_errors.files import check_writable, partial_folder, write_file
from span_label_errors.review.marks import Answer, Decision, RefusedDecisionsError
from span_label_errors.spans.text import occurrences

_PLACES_SHOWN = 10

_Kept = tuple[int | None, Answer]  # an answer, and its position among those of the source; None for a new one


class Change(NamedTuple):
    """A question whose answers are others than before."""

    id: str
    question: str
    kind: str  # "replaced", "moved" (the same text elsewhere), "no answer", "answer added", "answers changed"
    before: list[dict]  # {"text", "answer_start"}, and "label" where the data has span classes
    after: list[dict]


def apply_decisions(
    source: str | Path, decisions: Sequence[Decision], corrected_path: str | Path, changes_path: str | Path
) -> list[Change]:
    """Write a data set with the decisions put in, and a list of what changed.

    In a SQuAD file, only the `answers` of changed questions are others than in the source, and `is_impossible`
    where it is there and changes; every other byte is the same, those of invalid examples too. A data set of another
    form becomes a new SQuAD file, questions in their order; columns beyond the schema and invalid examples are left
    out. A warning says how many examples are invalid.

    Of an example's answers, those that the decision is about make way for the correct ones; a decision that there
    is no answer removes all. An answer that replaces another has a text, an offset and, where the data has span
    classes, a label; further fields described the old one.

    Parameters
    ----------
    source : str or Path
        What `load_squad` takes.
    decisions : sequence of Decision
        As `read_decisions` gives them, of one file or several.
    corrected_path : str or Path
        A `.json` file; one that is there is replaced, but never the source.
    changes_path : str or Path
        A `.json` file: a list of objects with the fields of `Change`.

    Returns
    -------
    list of Change
        In the order of the data. Confirmed answers are none.

    Raises
    ------
    RefusedDecisionsError
        If a decision does not fit its example: the id is unknown or that of an invalid example, the given answer is
        not among the answers any more, the correct one does not stand in the context or it is not clear where, two
        decisions contradict. All are named, and nothing is written.
    ValueError
        If a path is no `.json` file or is that of another file; and what `load_squad` raises.
    OSError
        If a file cannot be read or written.
    """
    corrected_path, changes_path = Path(corrected_path), Path(changes_path)
    file = DEMO_PATH if str(source) == DEMO_SOURCE else Path(source).expanduser()
    _check_paths(file, corrected_path, changes_path)
    examples, invalid = _read(source)
    with_labels = "label" in examples[0]["answers"]
    corrected = _corrected_answers(str(source), examples, invalid, list(decisions), with_labels)
    for folder in (corrected_path.parent, changes_path.parent):
        check_writable(folder)

    changes, rows = [], []
    for example_index, example in enumerate(examples):
        before = [answer for _, answer in _answers_of(example)]
        after = [answer for _, answer in corrected.get(example_index, _answers_of(example))]
        rows.append({**example, "answers": _as_columns(after, with_labels)})
        if example_index in corrected:
            shown = [[_as_entry(answer, with_labels) for answer in answers] for answers in (before, after)]
            changes.append(Change(example["id"], example["question"], _kind(before, after), *shown))
    is_squad_file = file.is_file() and file.suffix.lower() == ".json"
    if invalid:
        kept = "left as they are" if is_squad_file else f"left out of {corrected_path.name}"
        warnings.warn(f"{source}: {len(invalid)} invalid examples are {kept}, first: {invalid[0]}", stacklevel=2)
    if is_squad_file:
        content = _edited(file, corrected, {problem.example_index for problem in invalid}, with_labels)
    else:
        content = _squad_document(rows, with_labels)

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


def _read(source: str | Path) -> tuple[list[dict], list[InvalidExample]]:
    """Return the valid examples of a data set, and what is wrong with each of the others."""
    try:
        return load_squad(source).to_list(), []
    except InvalidDatasetError as error:
        invalid = error.problems
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `apply_decisions` says what becomes of them
        return load_squad(source, on_invalid="drop").to_list(), invalid


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


def _kind(before: list[Answer], after: list[Answer]) -> str:
    if not after or not before:
        return "answer added" if after else "no answer"
    if len(before) != len(after):
        return "answers changed"
    return "moved" if [a.text for a in before] == [a.text for a in after] else "replaced"


# What the decisions make of the answers


def _corrected_answers(
    source: str, examples: list[dict], invalid: list[InvalidExample], decisions: list[Decision], with_labels: bool
) -> dict[int, list[_Kept]]:
    """Return the new answers of each example that changes, by its index."""
    index_of_id = {example["id"]: example_index for example_index, example in enumerate(examples)}
    invalid_of_id = {problem.id: problem for problem in invalid}
    of_example: dict[str, list[Decision]] = {}
    for decision in decisions:
        of_example.setdefault(decision.id, []).append(decision)
    corrected, problems = {}, []
    for example_id, on_it in of_example.items():
        try:
            if example_id not in index_of_id and example_id in invalid_of_id:
                problem = invalid_of_id[example_id]
                raise ValueError(
                    f"the example is invalid in the data (expected {problem.expected}; found {problem.found}); "
                    "correct it there"
                )
            if example_id not in index_of_id:
                raise ValueError(f"expected the id of one of the {len(examples)} examples; is it another data set?")
            example = examples[index_of_id[example_id]]
            answers = _answers_of(example)
            # Two files, or two rows, that say the same are one decision.
            by_outcome: dict[tuple, Decision] = {}
            for decision in on_it:
                by_outcome.setdefault(tuple(_decided(answers, decision, example["context"], with_labels)), decision)
            _check_agreement(list(by_outcome.values()))
            for decision in by_outcome.values():
                answers = _decided(answers, decision, example["context"], with_labels)
            if answers != _answers_of(example):
                corrected[index_of_id[example_id]] = answers
        except ValueError as error:
            problems.append(f"example {example_id!r}: {error}")
    if problems:
        raise RefusedDecisionsError(source, problems)
    return corrected


def _check_agreement(decisions: list[Decision]) -> None:
    for number, one in enumerate(decisions):
        for other in decisions[number + 1 :]:
            places = [{answer[:2] for answer in decision.given} for decision in (one, other)]
            # Decisions about different answers of one example go together, unless one says that there is none.
            if not places[0] or places[0] & places[1] or not (one.correct and other.correct):
                raise ValueError(
                    f"expected decisions that go together, found {_shown(one.correct)} and {_shown(other.correct)}; "
                    "keep one of them"
                )


def _decided(answers: list[_Kept], decision: Decision, context: str, with_labels: bool) -> list[_Kept]:
    about = [position for position, (_, a) in enumerate(answers) if any(_same(a, g) for g in decision.given)]
    missing = [g for g in decision.given if not any(_same(a, g) for _, a in answers)]
    if missing or (answers and not decision.given):
        raise ValueError(
            f"expected {_shown(missing)}, as it was reviewed, found {_shown(a for _, a in answers)}; "
            "the data has changed since, review the example again"
        )
    if decision.correct == decision.given:
        return answers
    if not decision.correct:
        return []
    replaced = [answers[position][1] for position in about]
    correct = dict.fromkeys(_located(answer, replaced, context, with_labels) for answer in decision.correct)
    outdated = [position for position in about if not any(_same(answers[position][1], c) for c in correct)]
    added = [(None, c) for c in correct if not any(_same(a, c) for a in replaced)]
    at = min(outdated, default=about[-1] + 1 if about else len(answers))
    kept_before = [answers[position] for position in range(at)]
    kept_after = [answers[position] for position in range(at, len(answers)) if position not in outdated]
    return kept_before + added + kept_after


def _same(answer: Answer, other: Answer) -> bool:
    """Return whether two answers are one; a class that either leaves open is none to differ in."""
    return answer[:2] == other[:2] and (not (answer.class_name and other.class_name) or answer[2] == other[2])


def _located(answer: Answer, replaced: list[Answer], context: str, with_labels: bool) -> Answer:
    """Return a correct answer with its offset and, where the data has classes, its class."""
    text, char_start, class_name = answer
    starts = list(itertools.islice(occurrences(text, context), _PLACES_SHOWN + 1))
    places = f"at {starts[:_PLACES_SHOWN]}" + " and elsewhere" * (len(starts) > _PLACES_SHOWN) if starts else "nowhere"
    if char_start is None:
        given_starts = {given.char_start for given in replaced if given.text == text}
        overlapping = {
            start
            for given in replaced
            for start in itertools.islice(
                occurrences(
                    text, context, max(0, given.char_start - len(text) + 1),
                    given.char_start + len(given.text) + len(text) - 1,
                ),
                2,
            )
        }  # fmt: skip
        for candidates in (starts, sorted(overlapping), sorted(given_starts)):
            if len(candidates) == 1:
                char_start = candidates[0]
                break
        else:
            if starts:
                raise ValueError(
                    f"expected one place of the correct answer {text!r}, found it {places}; fill in correct_start"
                )
    if char_start is None or char_start < 0 or not context.startswith(text, char_start):
        place = "in the context" if char_start is None else f"at offset {char_start}"
        raise ValueError(f"expected the correct answer {text!r} {place}, found it {places}; copy it from the context")
    if with_labels and class_name is None:
        classes = {given.class_name for given in replaced}
        if len(classes) != 1:
            raise ValueError(
                f"expected to know the class of the correct answer {text!r}, found {sorted(classes)} to replace; "
                "mark it in Label Studio or doccano"
            )
        class_name = classes.pop()
    return Answer(text, char_start, class_name if with_labels else None)


def _shown(answers: Iterable[Answer]) -> str:
    shown = [f"{a.text!r}" if a.char_start is None else f"{a.text!r} at {a.char_start}" for a in answers]
    return ", ".join(shown) or "no answer"


# Answers in the shapes of the data


def _answers_of(example: dict) -> list[_Kept]:
    columns = example["answers"]
    classes = columns.get("label") or [None] * len(columns["text"])
    return list(enumerate(map(Answer, columns["text"], columns["answer_start"], classes)))


def _as_entry(answer: Answer, with_labels: bool) -> dict:
    entry = {"text": answer.text, "answer_start": answer.char_start}
    return {**entry, "label": answer.class_name} if with_labels else entry


def _as_columns(answers: list[Answer], with_labels: bool) -> dict:
    names = ("text", "answer_start", "label")[: 3 if with_labels else 2]
    return {name: [_as_entry(answer, with_labels)[name] for answer in answers] for name in names}


def _edited(file: Path, corrected: dict[int, list[_Kept]], invalid_indices: set[int], with_labels: bool) -> str:
    """Return the text of a SQuAD file with the answers of some questions replaced."""
    # Examples are counted without the invalid ones, questions of the file with them.
    valid_indices = (question_index for question_index in itertools.count() if question_index not in invalid_indices)
    index_in_file = dict(zip(range(max(corrected, default=-1) + 1), valid_indices, strict=False))
    new_answers = {
        index_in_file[example_index]: [
            _as_entry(answer, with_labels) if position is None else position for position, answer in kept
        ]
        for example_index, kept in corrected.items()
    }
    # Not read_text(), which would make every line end "\n".
    return replace_answers(file.read_bytes().decode("utf-8"), new_answers)


def _squad_document(rows: list[dict], with_labels: bool) -> str:
    """Return examples as a SQuAD file; neighbours of the same title and context share a paragraph."""
    has_impossible = not all(row["answers"]["text"] for row in rows)
    articles: list[dict] = []
    for row in rows:
        if not articles or articles[-1]["title"] != row["title"]:
            articles.append({"title": row["title"], "paragraphs": []})
        paragraphs = articles[-1]["paragraphs"]
        if not paragraphs or paragraphs[-1]["context"] != row["context"]:
            paragraphs.append({"context": row["context"], "qas": []})
        question = {"id": row["id"], "question": row["question"]}
        question["answers"] = [_as_entry(answer, with_labels) for _, answer in _answers_of(row)]
        if has_impossible:
            question["is_impossible"] = not question["answers"]
        paragraphs[-1]["qas"].append(question)
    document = {"version": "v2.0" if has_impossible else "1.1", "data": articles}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
