"""The decisions of all rounds of a review, kept beside its outputs: what is known once stays known."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from span_label_errors.files import write_file
from span_label_errors.review.answers import Answer, Decision, answer_entry
from span_label_errors.review.decided import without_replaced
from span_label_errors.review.marks import check_fields

DECISIONS_FILE = "decisions.json"
_ADVICE = "restore the file, or move it away to begin without earlier decisions"


def kept_decisions(
    outputs_dir: str | Path, new: Sequence[Decision] = (), *, ids: Iterable[str] | None = None
) -> list[Decision]:
    """Return the decisions that earlier rounds have kept in `decisions.json`, then new ones.

    A new decision takes the place of an older one about the same answers of an example, or about those that the older
    one put there; one about a whole example, of all older ones about its places.

    Parameters
    ----------
    outputs_dir : str or Path
    new : sequence of Decision
        As `read_decisions` gives them.
    ids : iterable of str, optional
        Those of the data set: older decisions about other examples, of another data set in the same folder, are left
        out.

    Raises
    ------
    ValueError
        If the file is damaged.
    OSError
        If it cannot be read.
    """
    path = Path(outputs_dir) / DECISIONS_FILE
    older = _read(path) if path.exists() else []
    if ids is not None:
        known = set(ids)
        older = [decision for decision in older if decision.id in known]
    new_of_id: dict[str, list[Decision]] = {}
    for decision in new:
        new_of_id.setdefault(decision.id, []).append(decision)
    kept = []
    for old in older:
        left = [old]
        for one in new_of_id.get(old.id, []):
            left = without_replaced(left, one)
        kept += left
    return [*kept, *new]


def keep_decisions(outputs_dir: str | Path, new: Sequence[Decision]) -> list[Decision]:
    """Add new decisions to `decisions.json`, which is replaced as a whole, and return all that it holds.

    Raises
    ------
    ValueError, OSError
        As `kept_decisions`, or if the file cannot be written.
    """
    kept = list(dict.fromkeys(kept_decisions(outputs_dir, new)))
    rows = [
        {
            "id": one.id,
            "given": list(map(answer_entry, one.given)),
            "correct": list(map(answer_entry, one.correct)),
            **({} if one.place is None else {"place": one.place}),
        }
        for one in kept
    ]
    write_file(Path(outputs_dir) / DECISIONS_FILE, json.dumps(rows, indent=1, ensure_ascii=False))
    return kept


def _read(path: Path) -> list[Decision]:
    try:
        rows = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected kept decisions as JSON; {error}; {_ADVICE}") from error
    if not isinstance(rows, list):
        raise ValueError(f"{path}: expected a list of kept decisions, found {type(rows).__name__}; {_ADVICE}")
    decisions = []
    for number, row in enumerate(rows, start=1):
        where = f"{path}, decision {number}"
        check_fields(row, {"id": str, "given": list, "correct": list}, where, _ADVICE)
        given, correct = (tuple(_answer(entry, where) for entry in row[name]) for name in ("given", "correct"))
        if any(answer.char_start is None for answer in given):
            raise ValueError(f"{where}: expected the field 'answer_start' of each given answer as int; {_ADVICE}")
        place = row.get("place")
        if place is not None and not (isinstance(place, list) and list(map(type, place)) == [int, int]):
            raise ValueError(f"{where}: expected 'place' as [char_start, char_end], found {place!r}; {_ADVICE}")
        decisions.append(Decision(row["id"], given, correct, place=place and tuple(place)))
    return decisions


def _answer(entry: object, where: str) -> Answer:
    check_fields(entry, {"text": str}, where, _ADVICE)
    char_start, class_name = entry.get("answer_start"), entry.get("label")
    # A place that the reviewer left open is null.
    if type(char_start) not in (int, type(None)) or not isinstance(class_name, str | None):
        raise ValueError(
            f"{where}: expected 'answer_start' as int or null and 'label' as str, found {entry}; {_ADVICE}"
        )
    return Answer(entry["text"], char_start, class_name)
