"""Tables of answers as a run writes them, made by hand: what is right, and what the model sees, is known."""

import numpy as np
from text_strategies import span_of, word_tokens

NAMES = "Anna Bruno Carla David Elena Felix Greta Hugo Irene Jonas Karin Lukas Maria Nils Olga Peter Rosa Simon".split()
CITIES = "Oslo Rome Lima Cairo Delhi Paris Berlin London Madrid Lisbon Vienna Prague Athens Dublin Warsaw".split()
THINGS = "school bridge museum hospital theatre library factory harbour castle".split()
# Wrong answers of `right_rows`, by row.
MOVED = {4: "town", 19: "rich merchant", 33: "people", 52: "The old"}


def paragraph(number: int) -> tuple[str, dict[str, str]]:
    """Return a context, and what the answers to its questions are."""
    who, other = f"{NAMES[number % 18]} Berg", f"{NAMES[(number + 7) % 18]} Lind"
    thing, city, year = THINGS[number % 9], CITIES[number % 15], str(1800 + 7 * number)
    context = (
        f"The old {thing} of {city} was built by {who} in {year}. Later {other} sold it to a rich merchant, "
        "and the people of the town never forgave him for this."
    )
    return context, {"Who built it?": who, "When was it built?": year, "Who sold it?": other}


def touched(row: dict, span: tuple[int, int] | None) -> np.ndarray:
    """Return 1 for the tokens that share a character with a span, 0 for others."""
    if span is None:
        return np.zeros(len(row["char_start"]), dtype=np.int64)
    return ((row["char_start"] < span[1]) & (row["char_end"] > span[0])).astype(np.int64)


def answered(row: dict, *spans: tuple[int, int], name: str = "ANS") -> dict:
    """Return a row with other answers of one class; probabilities stay."""
    labels = [touched(row, span) for span in spans]
    return {
        **row,
        "given_answer": [row["context"][slice(*span)] for span in spans],
        "given_start": [span[0] for span in spans],
        "given_label": [name] * len(spans),
        f"labels_{name}": np.max(labels, axis=0) if labels else touched(row, None),
    }


def answered_with(row: dict, *texts: str) -> dict:
    """Return a row with other answers, each where its text first stands."""
    return answered(row, *(span_of(row["context"], text) for text in texts))


def probs_for(row: dict, span: tuple[int, int] | None, rng: np.random.Generator) -> np.ndarray:
    """Out-of-fold probabilities of a model that sees a span, and elsewhere not much."""
    is_seen = touched(row, span)
    high, low = rng.uniform(0.6, 0.95, len(is_seen)), rng.uniform(0.01, 0.1, len(is_seen))
    return np.where(is_seen, high, low).astype(np.float32)


def example(number: int, question: str, context: str, seen, *spans, fold: int = 0, tokens=None) -> dict:
    """A row of a table; `seen` is where the model sees the answer, `spans` what is given; tokens are mostly words."""
    char_start, char_end = word_tokens(context) if tokens is None else tokens
    row = {
        "id": f"id-{number}", "title": "Title", "question": question, "context": context, "fold": fold,
        "tokens": [context[start:end] for start, end in zip(char_start, char_end, strict=True)],
        "char_start": char_start, "char_end": char_end,
    }  # fmt: skip
    row["pred_probs_ANS"] = probs_for(row, seen, np.random.default_rng(number))
    return answered(row, *spans)


def right_rows(num_paragraphs: int = 20, num_folds: int = 3) -> list[dict]:
    """Three answered questions a paragraph, all of them right; the model sees them."""
    rows = []
    for number in range(num_paragraphs):
        context, answers = paragraph(number)
        for question, answer in answers.items():
            span = span_of(context, answer)
            rows.append(example(len(rows), question, context, span, span, fold=number % num_folds))
    return rows


def moved_rows() -> list[dict]:
    """`right_rows` with the wrong answers of `MOVED`."""
    return [answered_with(row, MOVED[number]) if number in MOVED else row for number, row in enumerate(right_rows())]
