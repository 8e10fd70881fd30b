"""What a reader is trained on: one answer a question, and no article that it is measured on."""

import hashlib
from collections.abc import Sequence

from span_label_errors.spans.agreement import most_agreed
from span_label_errors.spans.text import answers_of


def held_out_articles(examples: Sequence[dict], share: float) -> list[bool]:
    """Return for each example whether its article is held out.

    The hash of the title decides, so that an article's part does not depend on what else there is. Where all examples
    have one title, contexts take the place of articles.

    Parameters
    ----------
    examples : sequence of dict
        In the SQuAD schema.
    share : float
        About this part of the articles is held out, from 0 to below 1.
    """
    of = "title" if len({example["title"] for example in examples}) > 1 else "context"
    return [_fraction(example[of]) < share for example in examples]


def _fraction(text: str) -> float:
    """Return a number from 0 to below 1 that a text always has, and texts have evenly."""
    return int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) / 2**32


def with_agreed_answer(example: dict) -> dict:
    """Return an example with the one of its answers that agrees most with the others (see `most_agreed`)."""
    spans = answers_of(example)
    if len(spans) < 2:
        return example
    agreed = most_agreed(spans)
    return {**example, "answers": {name: [values[agreed]] for name, values in example["answers"].items()}}
