"""How the labels of a data set are to be read, as far as the data themselves say."""

from collections.abc import Sequence

from datasets import Dataset

from span_label_errors.data.examples import has_questions
from span_label_errors.spans.alignment import DEFAULT_LABEL_MAP, OUTSIDE


def labelling_of(dataset: Sequence[dict]) -> dict:
    """Return the `label_map` and the `answers` that suit a data set.

    Parameters
    ----------
    dataset : datasets.Dataset or sequence of dict
        Examples in the SQuAD schema.

    Returns
    -------
    dict
        `label_map`: `O` and the names of the classes that the answers have, in their order; `ANS` where they have
        none. `answers`: `"first"` of the answers to a question, `"all"` spans where there is no question.

    Raises
    ------
    ValueError
        If a span has the class `O`.
    """
    rows = dataset.select_columns(["question", "answers"]) if isinstance(dataset, Dataset) else dataset
    answers = [row["answers"] for row in rows]
    classes = sorted({name for of_row in answers for name in of_row.get("label") or () if name})
    if OUTSIDE in classes:
        raise ValueError(
            f"expected names of span classes as the labels of answers, found {OUTSIDE!r}, which stands for no span; "
            "remove these answers, or rename their class"
        )
    label_map = {name: column for column, name in enumerate((OUTSIDE, *classes))} if classes else DEFAULT_LABEL_MAP
    return {"label_map": label_map, "answers": "first" if has_questions(rows) else "all"}
