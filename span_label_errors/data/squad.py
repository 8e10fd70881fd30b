"""Load and validate answers to questions, and spans without a question, in the SQuAD schema.

Every source becomes one `datasets.Dataset` with the same features, and every example is checked first.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from span_label_errors.data.examples import COLUMNS, has_questions, problem_of_example, problem_of_mixture
from span_label_errors.data.messages import describe, shorten
from span_label_errors.data.repairs import Repaired, repaired
from span_label_errors.data.shared_contexts import to_dataset
from span_label_errors.data.sources import DEMO_SOURCE, read_rows

if TYPE_CHECKING:
    from datasets import Dataset, Features

ON_INVALID = ("raise", "drop", "repair")
MAX_CASES_SHOWN = 5
_UNIQUE_ID = "a unique id"


def squad_features(with_labels: bool = False, with_repairs: bool = False, with_annotators: bool = False) -> "Features":
    """Return the features of a loaded data set.

    Parameters
    ----------
    with_labels : bool
        Whether each answer carries the name of its span class.
    with_repairs : bool
        Whether each example says what was repaired.
    with_annotators : bool
        Whether each answer carries the name of its annotator.

    Returns
    -------
    datasets.Features
        Explicit, because a slice that holds only unanswerable questions would infer `List(null)`.
    """
    from datasets import Features, List, Value  # 0.2 s, which a review does without

    answers = {"text": List(Value("string")), "answer_start": List(Value("int64"))}
    if with_labels:
        answers["label"] = List(Value("string"))
    if with_annotators:
        answers["annotator"] = List(Value("string"))
    text_columns = {name: Value("string") for name in COLUMNS if name != "answers"}
    repairs = {"repairs": List(Value("string"))} if with_repairs else {}
    return Features({**text_columns, "answers": answers, **repairs})


@dataclass(frozen=True)
class InvalidExample:
    """One reason why one example cannot be used."""

    example_index: int
    id: str
    expected: str
    found: str
    repaired: Repaired | None = None  # if it is certain what is right

    def __str__(self) -> str:
        shown_id = shorten(repr(self.id), 200)
        mends = '; on_invalid="repair" mends this' if self.repaired else ""
        return f"example {self.example_index} (id {shown_id}): expected {self.expected}; found {self.found}{mends}"


class InvalidDatasetError(ValueError):
    """Raised when examples do not fit the SQuAD schema.

    Attributes
    ----------
    problems : list of InvalidExample
        One entry per invalid example, in the order of the data.
    """

    def __init__(self, source: str, problems: list[InvalidExample], num_examples: int):
        self.problems = problems
        num_repairable = sum(problem.repaired is not None for problem in problems)
        ways = ["Correct them"]
        if num_repairable:
            others = " and go on without the others" if num_repairable < len(problems) else ""
            ways.append(f'pass on_invalid="repair" to mend {num_repairable} of them{others}')
        if len(problems) < num_examples:
            ways.append('pass on_invalid="drop" to go on without them')
        super().__init__(f"{_summary(source, problems, num_examples)}\n{', or '.join(ways)}.")


class CheckedExamples(NamedTuple):
    """The examples of a source, valid and invalid."""

    rows: list[dict]  # the valid ones, in order
    example_indices: list[int]  # of the same length: their positions among all
    invalid: list[InvalidExample]
    repaired: dict[int, Repaired]  # by position among all; those of `rows` that were invalid


def load_squad(
    source: str | Path = DEMO_SOURCE,
    num_examples: int | None = None,
    *,
    on_invalid: str = "raise",
    revision: str | None = None,
) -> "Dataset":
    """Load a data set of answers to questions, or of labelled spans without a question.

    Parameters
    ----------
    source : str or Path
        One of

        - `"demo"` or `"demo-entities"`: a data set embedded in this project;
        - a `.json`, `.jsonl` or `.ndjson` file in a layout of SQuAD's family (see `layouts`), of
          texts with spans (see `span_records`), or with `tokens` and `ner_tags`;
        - a `.parquet` file, or a folder written by `Dataset.save_to_disk`, with the columns `context`,
          `question`, `answers`, and `id` and `title` where it has them; or with `tokens` and `ner_tags` (see
          `tagged_tables`);
        - a file with a token and its tag a line, as CoNLL's (`.conll`, `.iob2`, `.tsv`, `.txt` and others of
          `tagged_files.TAGGED_SUFFIXES`);
        - a `.spacy` file of spaCy's DocBin, for whose `doc.ents` the extra `spacy` is needed;
        - a name on the Hugging Face Hub, with a configuration and a split behind colons
          (`"squad"`, `"squad_v2:validation"`, `"google/xquad:xquad.ar:validation"`).
    num_examples : int, optional
        Take the first `num_examples` only; all of them by default.
    on_invalid : {"raise", "drop", "repair"}
        What to do with examples that fail validation. `"drop"` leaves them out and warns how many
        and which they were. `"repair"` first repairs answers where it is certain what is right (see
        `repairs.repaired`), and says what it did.
    revision : str, optional
        Branch, tag or commit of a data set on the Hub; its main branch by default.

    Returns
    -------
    datasets.Dataset
        Columns `id`, `title`, `context`, `question` (strings; that of data without questions is `""`) and
        `answers`, a dict of equally long lists `text`, `answer_start` (character offset in the context) and, where the
        source has them, `label` (span classes) and `annotator` (who gave the answer; `""` where no name stands). A
        question without an answer has empty lists. Where examples were repaired, the column `repairs` lists what was
        done, one sentence for each answer that changed.

    Raises
    ------
    FileNotFoundError
        If `source` names a file or folder that does not exist.
    OSError
        If it cannot be read.
    InvalidDatasetError
        If an example fails validation and `on_invalid` is `"raise"`, or if no valid one is left.
    ConnectionError
        If the Hub cannot be reached and the data set is not in its cache.
    ValueError
        If the source has another shape, or fewer than `num_examples` examples.
    """
    check_on_invalid(on_invalid)
    source = str(source)
    rows, indices, invalid, repaired_at = check_source(
        source, num_examples, repair=on_invalid == "repair", revision=revision
    )
    num_examples = len(rows) + len(invalid)
    if invalid and (on_invalid == "raise" or not rows):
        raise InvalidDatasetError(source, invalid, num_examples)
    if repaired_at:
        lines = [
            f"example {index} (id {shorten(repr(of.row['id']), 200)}): {'; '.join(of.repairs)}"
            for index, of in repaired_at.items()
        ]
        count = f"{source}: {len(lines)} of {num_examples} examples are repaired, see the column 'repairs':"
        warnings.warn(_first_cases(count, lines), stacklevel=2)
    if invalid:
        # All ids, since a short list would hide which examples are missing from the outputs.
        dropped = ", ".join(f"{problem.id!r} (index {problem.example_index})" for problem in invalid)
        warnings.warn(f"{_summary(source, invalid, num_examples)}\nDropped: {dropped}.", stacklevel=2)

    with_labels = any(row["answers"].get("label") is not None for row in rows)
    with_annotators = any("annotator" in row["answers"] for row in rows)
    examples = [_to_schema(row, with_labels, with_annotators) for row in rows]
    if repaired_at:
        for index, example in zip(indices, examples, strict=True):
            example["repairs"] = repaired_at[index].repairs if index in repaired_at else []
    return to_dataset(examples, squad_features(with_labels, bool(repaired_at), with_annotators))


def check_on_invalid(on_invalid: str) -> str:
    """Return `on_invalid` if it is one of `ON_INVALID`: what to do with invalid examples."""
    if on_invalid not in ON_INVALID:
        raise ValueError(f"on_invalid: expected one of {', '.join(map(repr, ON_INVALID))}, found {on_invalid!r}")
    return on_invalid


def check_source(
    source: str | Path, num_examples: int | None = None, *, repair: bool = False, revision: str | None = None
) -> CheckedExamples:
    """Read a source and check its examples.

    Parameters
    ----------
    source, num_examples, revision
        As in `load_squad`, which also says what raises; invalid examples do not.
    repair : bool
        Whether to repair those where it is certain what is right.
    """
    if num_examples is not None and num_examples < 1:
        raise ValueError(f"num_examples: expected at least 1, found {num_examples}")
    source = str(source)
    rows = read_rows(source, num_examples, revision)
    if num_examples is not None and len(rows) < num_examples:
        raise ValueError(
            f"{source}: expected at least num_examples={num_examples} examples, found {len(rows)}; "
            "use num_examples=None to take all of them"
        )
    rows = rows[:num_examples]
    if not rows:
        raise ValueError(f"{source}: expected at least one example, found none")
    problems, repaired_at = validate_examples(rows), {}
    if repair and problems:
        repaired_at = {problem.example_index: problem.repaired for problem in problems if problem.repaired}
        for index, of in repaired_at.items():
            rows[index] = of.row
        # An id that an invalid example had may now be there twice.
        problems = validate_examples(rows)
    invalid_indices = {problem.example_index for problem in problems}
    indices = [index for index in range(len(rows)) if index not in invalid_indices]
    kept_repairs = {index: of for index, of in repaired_at.items() if index not in invalid_indices}
    return CheckedExamples([rows[index] for index in indices], indices, problems, kept_repairs)


def validate_examples(rows: Sequence[dict]) -> list[InvalidExample]:
    """Check examples against the SQuAD schema.

    Parameters
    ----------
    rows : sequence of dict
        Examples as read, of any content. All have a question, or none has.

    Returns
    -------
    list of InvalidExample
        The first problem of each invalid example, in order.
    """
    problems = []
    index_of_id: dict[str, int] = {}
    of_data = has_questions(rows)
    for example_index, row in enumerate(rows):
        example_id = row.get("id") if isinstance(row, dict) else None
        problem = problem_of_example(row) or problem_of_mixture(row, of_data)
        if problem is None and example_id in index_of_id:
            # Whether one of them was a number is no longer known.
            as_number = f' ({example_id} and "{example_id}" are one id)' if example_id.isdecimal() else ""
            problem = (_UNIQUE_ID, f"the id of example {index_of_id[example_id]} again{as_number}")
        if problem is None:
            index_of_id[example_id] = example_index
        else:
            shown_id = example_id if isinstance(example_id, str) else describe(example_id).partition(" ")[2]
            mended = repaired(row) if problem[0] != _UNIQUE_ID else None
            problems.append(InvalidExample(example_index, shown_id, *problem, mended))
    return problems


def _summary(source: str, problems: list[InvalidExample], num_examples: int) -> str:
    return _first_cases(f"{source}: {len(problems)} of {num_examples} examples are invalid:", list(map(str, problems)))


def _first_cases(count: str, lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - MAX_CASES_SHOWN} more"] if len(lines) > MAX_CASES_SHOWN else []
    return "\n".join([count, *(f"  {line}" for line in lines[:MAX_CASES_SHOWN]), *more])


def _to_schema(row: dict, with_labels: bool, with_annotators: bool) -> dict:
    answers = {"text": row["answers"]["text"], "answer_start": row["answers"]["answer_start"]}
    if with_labels:
        # A source that names the class of some answers only would leave the others without one.
        labels = row["answers"].get("label")
        answers["label"] = [""] * len(answers["text"]) if labels is None else labels
    if with_annotators:
        answers["annotator"] = row["answers"].get("annotator") or [""] * len(answers["text"])
    return {**{name: row[name] for name in COLUMNS}, "answers": answers}
