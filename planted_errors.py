"""Wrong answers of known kinds: what an annotator could have marked by mistake.

Spans are moved, cut and grown by whole words, so that every planted answer labels other tokens than the
right one, whatever the tokenizer.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squad import normalized_text
from squad_sources import DEMO_PATH
from words import Span, cuts_word, is_whole_words, word_spans

MAX_EXTRA_WORDS = 8
DEMO_ERRORS_PATH = DEMO_PATH.with_name("demo-v1.1.errors.json")


@dataclass(frozen=True)
class PlantedError:
    """A wrong answer that took the place of a right one."""

    example_index: int
    kind: str
    right: Span
    planted: Span


def moved(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the spans of as many words as the answer that do not touch it or repeat its text."""
    words = word_spans(context)
    length = max(1, len(_words_of(words, answer)))
    spans = [(words[i][0], words[i + length - 1][1]) for i in range(len(words) - length + 1)]
    return _elsewhere(context, spans, answer)


def swapped(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the answers of other questions on the paragraph that do not touch this one or repeat its text."""
    return _elsewhere(context, dict.fromkeys(others), answer)


def cut_short(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the answer without some words at its beginning or its end."""
    words = _words_of(word_spans(context), answer)
    heads = [(words[0][0], word[1]) for word in words[:-1]]
    tails = [(word[0], words[-1][1]) for word in words[1:]]
    return heads + tails


def too_long(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the answer with 2 to `MAX_EXTRA_WORDS` more words, before it, after it or on both sides."""
    words = word_spans(context)
    before = [start for start, end in words if end <= answer[0]]
    after = [end for start, end in words if start >= answer[1]]
    return [
        (before[-num_before] if num_before else answer[0], after[num_after - 1] if num_after else answer[1])
        for num_before in range(min(MAX_EXTRA_WORDS, len(before)) + 1)
        for num_after in range(min(MAX_EXTRA_WORDS, len(after)) + 1)
        if 2 <= num_before + num_after <= MAX_EXTRA_WORDS
    ]


def wrong_occurrence(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return where else the answer's text stands, as whole words."""
    text = re.escape(context[slice(*answer)].strip())
    spans = [match.span(1) for match in re.finditer(f"(?=({text}))", context, re.IGNORECASE)]
    return [span for span in spans if is_whole_words(context, span) and not _overlap(span, answer)]


def cut_inside_word(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the parts of the answer that begin or end inside one of its words or numbers."""
    start, end = answer
    parts = [(start, border) for border in range(start + 1, end)] + [(border, end) for border in range(start + 1, end)]
    return [part for part in parts if cuts_word(context, part)]


# Kinds that label other tokens than the right answer; the last can label the same, where a token is a whole word.
KINDS: dict[str, Callable[..., list[Span]]] = {
    function.__name__: function for function in (moved, swapped, cut_short, too_long, wrong_occurrence)
}
MISTAKES = {**KINDS, "cut_inside_word": cut_inside_word}
MIX = "mix"


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
                spans = [span for span in spans if not any(_overlap(span, answer) for answer in answers)]
            if spans:
                possible[example_index] = (answers[0], spans)
    return possible


def answers_of(example: dict) -> list[Span]:
    """Return the character ranges of an example's given answers."""
    answers = example["answers"]
    return [(start, start + len(text)) for text, start in zip(answers["text"], answers["answer_start"], strict=True)]


def _with_answer(example: dict, span: Span) -> dict:
    answers = {"text": [example["context"][slice(*span)]], "answer_start": [span[0]]}
    if example["answers"].get("label"):
        answers["label"] = example["answers"]["label"][:1]
    return {**example, "answers": answers}


def _words_of(words: Sequence[Span], span: Span) -> list[Span]:
    return [word for word in words if _overlap(word, span)]


def _same_words(context: str, span: Span, other: Span) -> bool:
    words = word_spans(context)
    return _words_of(words, span) == _words_of(words, other)


def _overlap(span: Span, other: Span) -> bool:
    return span[0] < other[1] and other[0] < span[1]


def _elsewhere(context: str, spans: Iterable[Span], answer: Span) -> list[Span]:
    """Return the spans that do not touch the answer or repeat its text."""
    text = normalized_text(context[slice(*answer)])
    return [span for span in spans if not _overlap(span, answer) and normalized_text(context[slice(*span)]) != text]


def read_known_errors(path: str | Path) -> dict[str, dict]:
    """Read a list of known errors, as `data/demo-v1.1.errors.json` is one.

    Returns
    -------
    dict
        Each entry by the `id` of its example.

    Raises
    ------
    ValueError
        If the file is no JSON list of objects with an `id`.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if not isinstance(entries, list):
            raise TypeError(f"a {type(entries).__name__}")
        return {entry["id"]: entry for entry in entries}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f'{path}: expected a JSON list of objects with an "id", found {error!r}') from error
