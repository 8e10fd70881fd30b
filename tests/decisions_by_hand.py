"""Decisions made by hand, about examples of one context."""

import json
from pathlib import Path

from span_label_errors.data.squad import load_squad
from span_label_errors.review.answers import Answer, Decision

CONTEXT = "He wrote Ulysses in 1922. It came out in 1922."


def decision(example_id: str, given: Answer | tuple | None, *correct: Answer | str) -> Decision:
    """Make a decision about one given answer, or none."""
    given = (Answer(*given),) if given else ()
    return Decision(example_id, given, tuple(Answer(c) if isinstance(c, str) else c for c in correct))


def write_jsonl(path: Path, *examples: dict) -> Path:
    """Write examples, one a line, and return the file."""
    path.write_text("".join(json.dumps(example) + "\n" for example in examples), encoding="utf-8")
    return path


def answers_by_id(path: Path) -> dict[str, list[tuple]]:
    """The answers of each example of a file, as tuples (text, answer_start[, label])."""
    return {row["id"]: list(zip(*row["answers"].values(), strict=True)) for row in load_squad(path)}
