"""Issues and the table they were found in, made by hand."""

import pandas as pd

from span_label_errors.quality.label_errors import NO_ANSWER

# The emoji are one character each, and two UTF-16 units.
PARTY = "The 😀🎉 party\r\nwas in  Zürich, e\u0301t not in Oslo. It ended in Oslo."
HOSTILE_ID = '<b>"x"&\'$id,;\n[]{}'


def make_frames(*examples: dict, classes: tuple[str, ...] = ("ANS",)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return issues, ranked in the order of the examples, and a table in the opposite order.

    An example has a context; `given`, a list of (start, end[, class]), of which the first is under review; `suggested`,
    (start, end) or `NO_ANSWER`; and other columns of `issues` by their names. Without a suggestion, its confidence is
    NaN.
    """
    issues, table = [], []
    for number, example in enumerate(examples):
        context = example["context"]
        given = [(*span, classes[0])[:3] for span in example.get("given", [])]
        shared = {"id": example.get("id", f"q{number}"), "question": example.get("question", "Why?"), "fold": 0}
        table.append({
            **shared, "title": example.get("title", "Title"), "context": context,
            "given_answer": [context[start:end] for start, end, _ in given],
            "given_start": [start for start, _, _ in given], "given_label": [name for _, _, name in given],
            **{f"pred_probs_{name}": 0 for name in classes},
        })  # fmt: skip
        row = {
            "rank": number + 1, "index": len(examples) - 1 - number, **shared, "label_quality": 0.25, "is_issue": True,
            "suggestion_confidence": 0.75 if example.get("suggested") else float("nan"),
            "reason": "", "evidence": "", "checks": "", "decision": "",
        }  # fmt: skip
        suggested = example.get("suggested")
        no_answer = suggested == NO_ANSWER
        for name, span in (("given", given[0] if given else None), ("suggested", None if no_answer else suggested)):
            row |= {f"{name}_answer": context[slice(*span[:2])] if span else "", f"{name}_start": span and span[0]}
        row |= {"suggested_answer": NO_ANSWER} if no_answer else {}
        issues.append(row | {name: example[name] for name in row if name in example})
    starts = dict.fromkeys(["given_start", "suggested_start"], "Int64")
    return pd.DataFrame(issues).astype(starts), pd.DataFrame(table[::-1])


def three_reviews() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A wrong answer behind emoji, a question without an answer, and an answer without a suggestion."""
    return make_frames(
        {
            "id": HOSTILE_ID,
            "context": PARTY,
            "given": [(41, 45)],
            "suggested": (22, 28),
            "reason": "answers another question",
            "evidence": "far away; too long",
        },
        {"id": "none", "context": "Nothing 😀 here", "suggested": (10, 14)},
        {"id": "plain", "context": "He wrote Ulysses in 1922", "given": [(0, 2)]},
    )
