"""What all review tools share: the examples to review, and how their exports are read."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from span_label_errors.quality.label_errors import NO_ANSWER
from span_label_errors.results.read import span_classes_of
from span_label_errors.review.answers import Answer, same_answer
from span_label_errors.spans.text import Span


class RefusedDecisionsError(ValueError):
    """Raised when decisions cannot be used; `problems` has one entry for each of them."""

    def __init__(self, where: str | Path, problems: list[str]):
        self.problems = problems
        super().__init__(
            f"{where}: {len(problems)} decisions cannot be used:\n" + "\n".join(f"  {p}" for p in problems)
        )


# Examples to review


class Review(NamedTuple):
    """A row of the issues to review, and the answers of its example as spans of the context."""

    issue: NamedTuple
    title: str
    context: str
    answers: list[Answer]  # all given ones
    given: Answer | None  # the one that the row is about
    suggested: Answer | None
    others: list[Answer] | None = None  # of other annotators, which label no tokens; None if no example has any

    @property
    def suggests_no_answer(self) -> bool:
        """Whether the suggestion is that the context has no answer."""
        return self.issue.suggested_answer == NO_ANSWER and self.suggested is None

    @property
    def labels_every_span(self) -> bool:
        """Whether the row is about one of all spans of its example, or a place where one may be missing."""
        return hasattr(self.issue, "given_label")

    @property
    def place(self) -> Span | None:
        """The characters that the row is about, if it is about a span or a place."""
        if not self.labels_every_span or self.issue.place_start == self.issue.place_end:
            return None
        return int(self.issue.place_start), int(self.issue.place_end)

    @property
    def mistake(self) -> str:
        """What is wrong with a span if the suggestion is right, in words; empty without a suggestion."""
        if self.suggests_no_answer:
            return "spurious span" if self.given else ""
        if self.suggested is None:
            return ""
        if self.given is None:
            return "missing span"
        if self.given.span == self.suggested.span:
            return "wrong class"
        return "wrong border" + " and class" * (self.given.class_name != self.suggested.class_name)

    @property
    def fields(self) -> dict:
        """What a reviewer should see besides the marked context, as JSON."""
        return {
            "example_index": int(self.issue.index), "title": self.title, "question": self.issue.question,
            "given_answer": self.issue.given_answer, "suggested_answer": self.issue.suggested_answer,
            "label_quality": float(self.issue.label_quality), "reason": self.issue.reason,
            "evidence": self.issue.evidence,
            **({} if self.others is None else {"other_answers": shown_others(self.others)}),
        }  # fmt: skip


def why(reason: str, evidence: str) -> str:
    """Return a reason with the evidence behind it, in words; empty if nothing is held against the answer."""
    return f"{reason} ({evidence})" if reason and evidence else reason or evidence


def shown_others(others: list[Answer]) -> str:
    """Return the answers of other annotators as they are shown."""
    return "; ".join(dict.fromkeys(answer.text for answer in others))


def shown_span(answer: Answer | None) -> str:
    """Return a span with its class as they are shown."""
    return f"{answer.text} ({answer.class_name})" if answer else "no span"


def shown_suggestion(suggested_answer: str, nothing: str = "no answer") -> str:
    """Return a suggested answer as it is shown; empty if there is no suggestion."""
    return nothing if suggested_answer == NO_ANSWER else suggested_answer


def worst_reviews(issues: pd.DataFrame, table: pd.DataFrame, worst: int) -> list[Review]:
    """Return the `worst` most suspicious examples of `LabelErrors.issues`, worst first.

    Raises
    ------
    ValueError
        If the issues were not found in this `table` (`out_of_fold.parquet`).
    """
    ids, classes = table["id"].tolist(), span_classes_of(table)
    reviews = []
    for row in issues.sort_values("rank", kind="stable").head(worst).itertuples(index=False):
        found = ids[row.index : row.index + 1]
        if found != [row.id]:
            raise _mismatch(row, f"this id at index {row.index} of the table", found)
        reviews.append(_review(row, table.iloc[row.index], classes))
    return reviews


def worst_examples(issues: pd.DataFrame, table: pd.DataFrame, worst: int) -> list[list[Review]]:
    """Return the `worst` most suspicious examples, worst first: of each, its rows of the issues, worst first.

    Raises
    ------
    ValueError
        As `worst_reviews`.
    """
    if "given_label" not in issues:
        # Of several people's answers to a question, the worst one.
        issues = issues.sort_values("rank", kind="stable").drop_duplicates("index")
        return [[review] for review in worst_reviews(issues, table, worst)]
    of_example = issues.groupby("index")[["example_quality", "rank"]].min()
    chosen = of_example.sort_values(["example_quality", "rank"], kind="stable").index[:worst]
    rows = issues[issues["index"].isin(chosen)]
    rows_of: dict[int, list[Review]] = {index: [] for index in chosen}
    for review in worst_reviews(rows, table, len(rows)):
        rows_of[review.issue.index].append(review)
    return list(rows_of.values())


def example_fields(reviews: list[Review]) -> dict:
    """Return what a reviewer of a whole example should see besides its marked context, as JSON."""
    first = reviews[0]
    if not first.labels_every_span:
        return first.fields
    question = {"question": first.issue.question} if first.issue.question else {}
    return {
        "example_index": int(first.issue.index), "title": first.title, **question,
        "label_quality": float(first.issue.example_quality), "hint": suspicions(reviews),
    }  # fmt: skip


def suspicions(reviews: list[Review]) -> str:
    """Return in words what is suspicious about the spans of an example."""
    texts = []
    for review in reviews:
        issue, reason = review.issue, why(review.issue.reason, review.issue.evidence)
        if not (issue.suggested_answer or issue.reason):
            continue
        text = shown_span(review.given)
        if issue.suggested_answer:
            text += f" → {shown_span(review.suggested)} ({issue.suggestion_confidence:.0%})"
        elif review.place and not review.given:
            text += f" at {review.context[slice(*review.place)]}"
        texts.append(f"{text}: {reason}" if reason else text)
    return " · ".join(texts)


def _review(row: NamedTuple, example: pd.Series, classes: list[str]) -> Review:
    context = example["context"]
    answers, others = answers_of_row(example), answers_of_row(example, "other")
    given = suggested = None
    # Where every span is labelled, a row is about a span of a class.
    given_label, suggested_label = (getattr(row, f"{name}_label", None) or None for name in ("given", "suggested"))
    if row.given_answer:
        wanted = Answer(row.given_answer, row.given_start, given_label)
        given = next((answer for answer in answers if same_answer(answer, wanted)), None)
        if given is None:
            raise _mismatch(row, f"the answer {row.given_answer!r} at {row.given_start} in the table", answers)
    # That there is no answer is a suggestion without a place.
    if row.suggested_answer and not (row.suggested_answer == NO_ANSWER and pd.isna(row.suggested_start)):
        class_name = suggested_label or (given.class_name if given else classes[0] if len(classes) == 1 else None)
        suggested = Answer(row.suggested_answer, int(row.suggested_start), class_name)
        found = context[slice(*suggested.span)]
        if found != suggested.text:
            raise _mismatch(row, f"the answer {suggested.text!r} at offset {suggested.char_start}", found)
    if hasattr(row, "annotator"):
        # A row is about one of several people's answers.
        others = list(dict.fromkeys(answer for answer in answers if answer != given))
        answers = [given] if given else []
    return Review(row, example["title"], context, answers, given, suggested, others)


def answers_of_row(example: pd.Series, kind: str = "given") -> list[Answer] | None:
    """Return the answers of an example of `out_of_fold.parquet`: those "given", or "other" ones if there is a column.

    The given ones label tokens, the others do not.
    """
    if f"{kind}_answer" not in example:
        return None
    columns = (example[f"{kind}_{part}"] for part in ("answer", "start", "label"))
    return [Answer(text, int(char_start), name) for text, char_start, name in zip(*columns, strict=True)]


def _mismatch(row: NamedTuple, expected: str, found: object) -> ValueError:
    return ValueError(
        f"example {row.id!r}: expected {expected}, found {found!r}; take issues and table of the same run"
    )


# Exports of the tools


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
    return _in_order(answers)


def trimmed(answers: Iterable[Answer], given: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Return answers without the white space at their ends that a mouse marks too; given ones as they are."""
    kept = []
    for answer in answers:
        text = answer.text.strip()
        if not text:
            raise ValueError(f"expected an answer at {answer.char_start}, found white space only; mark it again")
        char_start = answer.char_start + answer.text.index(text)
        kept.append(answer if answer in given else Answer(text, char_start, answer.class_name))
    return _in_order(kept)


def _in_order(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    return tuple(sorted(set(answers), key=lambda answer: (*answer.span, answer.class_name)))


_AS_WRITTEN = "import the file that this project wrote, and change nothing but marks"


def check_fields(row: object, types: dict[str, type], where: str, advice: str = _AS_WRITTEN) -> None:
    """Refuse a row of an export that lacks a field."""
    found = f"the fields {list(row)[:12]}" if isinstance(row, dict) else f"{type(row).__name__} {str(row)[:60]!r}"
    for name, kind in types.items():
        if not isinstance(row, dict) or not isinstance(row.get(name), kind):
            raise ValueError(f"{where}: expected the field {name!r} as {kind.__name__}, found {found}; {advice}")


def parse_json(text: str, where: str | Path) -> object:
    """Parse JSON; the message of a ValueError begins with `where`, a file and, if need be, a line of it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only JSONDecodeError: Python refuses to read a number of some thousand digits.
        raise ValueError(f"{where}: expected JSON; {error}; export it again") from error
