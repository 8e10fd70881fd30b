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


def make_span_frames(
    *examples: dict, classes: tuple[str, ...] = ("LOC", "ORG", "PER")
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return issues and a table of data where every span is labelled; the rows are ranked in their order.

    An example has a context, `given`, a list of (text, class), and `rows`, a list of (given text or place, suggestion)
    and maybe other columns of its row. A text that is not given is a place where a span may be missing, and an empty
    one is no place. A suggestion is (text, class), `NO_ANSWER` or None. Of a text, its first place is meant.
    """
    issues, table = [], []
    for number, example in enumerate(examples):
        context, given = example["context"], example.get("given", [])
        shared = {"id": example.get("id", f"s{number}"), "question": example.get("question", ""), "fold": 0}
        class_of = dict(given)
        table.append({
            **shared, "title": example.get("title", "document 1"), "context": context,
            "given_answer": list(class_of), "given_start": [context.index(text) for text in class_of],
            "given_label": list(class_of.values()), **{f"pred_probs_{name}": 0 for name in classes},
        })  # fmt: skip
        for about, suggestion, *columns in example["rows"]:
            is_given, none = about in class_of, suggestion in (NO_ANSWER, None)
            issues.append({
                "rank": len(issues) + 1, "index": number, "id": shared["id"], "label_quality": 0.25, "is_issue": True,
                "question": shared["question"], "given_answer": about if is_given else "",
                "given_start": context.index(about) if is_given else None, "given_label": class_of.get(about, ""),
                "suggested_answer": (suggestion or "") if none else suggestion[0],
                "suggested_start": None if none else context.index(suggestion[0]),
                "suggested_label": "" if none else suggestion[1],
                "suggestion_confidence": 0.75 if suggestion else float("nan"), "reason": "", "evidence": "",
                "checks": "", "decision": "", "fold": 0,
                "place_start": context.index(about), "place_end": context.index(about) + len(about),
                "example_quality": example.get("example_quality", 0.125), **dict(*columns),
            })  # fmt: skip
    offsets = dict.fromkeys(["given_start", "suggested_start", "place_start", "place_end"], "Int64")
    return pd.DataFrame(issues).astype(offsets), pd.DataFrame(table)
