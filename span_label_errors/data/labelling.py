"""How the labels of a data set are to be read, as far as the data themselves say."""

from collections.abc import Sequence

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
        If answers have the class `O`, which no label map can tell from tokens outside of spans.
    """
    # A `datasets.Dataset` reads all columns of a row, the context among them, if it is not told which.
    has_columns = hasattr(dataset, "select_columns")
    rows = dataset.select_columns(["question", "answers"]) if has_columns else dataset
    answers = [row["answers"] for row in rows]
    classes = sorted({name for of_row in answers for name in of_row.get("label") or () if name})
    if OUTSIDE in classes:
        raise ValueError(
            f"expected classes of spans, found {classes}: {OUTSIDE!r} means that a token is in no span; give the class "
            "another name in the data"
        )
    label_map = {name: column for column, name in enumerate((OUTSIDE, *classes))} if classes else DEFAULT_LABEL_MAP
    return {"label_map": label_map, "answers": "first" if has_questions(rows) else "all"}
