"""Plant wrong answers of known kinds in right data, to measure what finds them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from span_label_errors.quality.mistakes import KINDS
from span_label_errors.spans.text import Span, answers_of, normalized_text, overlaps, word_spans

MIX = "mix"


@dataclass(frozen=True)
class PlantedError:
    """A wrong answer that took the place of a right one."""

    example_index: int
    kind: str
    right: Span
    planted: Span


def plant_errors(
    examples: Sequence[dict], kind: str, share: float = 0.1, seed: int = 0
) -> tuple[list[dict], list[PlantedError]]:
    """Replace some right answers by wrong ones.

    Parameters
    ----------
    examples : sequence of dict
        n examples in the SQuAD schema, taken as right.
    kind : str
        A name of `KINDS`, or `"mix"`: each kind in turn.
    share : float
        Part of the n examples that get an error, rounded to a whole number.
    seed : int
        Decides which examples, and which of the possible wrong spans; all are equally likely.

    Returns
    -------
    examples : list of dict
        The same, in order; a changed one is a copy that has its planted answer alone.
    errors : list of PlantedError
        By `example_index`. Fewer than `share * n` if the kind is possible in few examples: then in every
        second of them.

    Raises
    ------
    ValueError
        If `kind` is unknown, `share` not between 0 and 1, or no example can have the error.
    """
    if kind not in (*KINDS, MIX):
        raise ValueError(f"kind: expected one of {[*KINDS, MIX]}, found {kind!r}")
    if not 0 < share < 1:
        raise ValueError(f"share: expected a number between 0 and 1, found {share!r}")
    wanted = round(share * len(examples))
    if not wanted:
        raise ValueError(f"share: expected at least one example, found {share!r} of {len(examples)}")
    rng = np.random.default_rng([seed, *kind.encode()])
    possible = {name: _possible(examples, name) for name in (KINDS if kind == MIX else [kind])}
    errors: dict[int, PlantedError] = {}
    # The rarest kind chooses first: it could not find another example later.
    for position, name in enumerate(sorted(possible, key=lambda name: len(possible[name]))):
        of_kind = (wanted - len(errors)) // (len(possible) - position)
        of_kind = min(of_kind, (len(possible[name]) + 1) // 2)
        free = [example_index for example_index in possible[name] if example_index not in errors]
        for example_index in sorted(rng.permutation(free)[:of_kind].tolist()):
            right, spans = possible[name][example_index]
            planted = spans[rng.integers(len(spans))]
            errors[example_index] = PlantedError(example_index, name, right, planted)
    if not errors:
        raise ValueError(f"kind {kind!r}: expected examples where it is possible, found none of {len(examples)}")
    changed = [
        _with_answer(example, errors[example_index].planted) if example_index in errors else example
        for example_index, example in enumerate(examples)
    ]
    return changed, [errors[example_index] for example_index in sorted(errors)]


def _possible(examples: Sequence[dict], kind: str) -> dict[int, tuple[Span, list[Span]]]:
    """Return the right answer and the possible wrong ones, by example index, where there are some."""
    of_context: dict[str, list[Span]] = {}
    for example in examples:
        of_context.setdefault(normalized_text(example["context"]), []).extend(answers_of(example))
    possible = {}
    for example_index, example in enumerate(examples):
        answers = answers_of(example)
        if answers:
            others = of_context[normalized_text(example["context"])]
            spans = KINDS[kind](example["context"], answers[0], others)
            # With several right answers, what one annotator marked is no error because another marked less.
            spans = [span for span in spans if not any(_same_words(example["context"], span, a) for a in answers)]
            if kind not in ("cut_short", "too_long"):
                spans = [span for span in spans if not any(overlaps(span, answer) for answer in answers)]
            if spans:
                possible[example_index] = (answers[0], spans)
    return possible


def _with_answer(example: dict, span: Span) -> dict:
    answers = {"text": [example["context"][slice(*span)]], "answer_start": [span[0]]}
    if example["answers"].get("label"):
        answers["label"] = example["answers"]["label"][:1]
    return {**example, "answers": answers}


def _same_words(context: str, span: Span, other: Span) -> bool:
    return all(overlaps(word, span) == overlaps(word, other) for word in word_spans(context))
