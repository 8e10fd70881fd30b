"""Plant wrong answers in right data, such as a person in a hurry gives.

Nothing here comes from `span_label_errors`: what judges answers must not know how the errors were made, so words,
sentences and kinds of error have definitions of their own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Span = tuple[int, int]  # (char_start, char_end), half-open
Weighted = list[tuple[Span, float]]  # possible wrong spans, and how likely each is beside the others
MIX = "mix"

_WORD = re.compile(r"\w+(?:['’.,&/-]\w+)*")
_CLAUSE_END = re.compile(r"[,;:.!?](?=\s|$)|[()]")
_FUNCTION_WORDS = set(
    "and are but for from had has have her his into its not the their then this that was were which with".split()
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


@dataclass(frozen=True)
class PlantedError:
    """A wrong answer that took the place of a right one."""

    example_index: int
    kind: str
    right: Span
    planted: Span


def moved(context: str, answer: Span, others: Sequence[tuple[Span, int]]) -> Weighted:
    """Mark something of the same look elsewhere, rather near than far: a number for a number, a name for a name.

    It has as many words as the answer, or one more or less, in one clause, and words such as "of" neither begin nor
    end it.
    """
    words = _words(context)
    right = [number for number, word in enumerate(words) if _touches(word, answer)] or [0]
    found = []
    for length in {max(1, len(right) - 1), len(right), len(right) + 1}:
        for first in range(len(words) - length + 1):
            span = words[first][0], words[first + length - 1][1]
            in_clause = not _CLAUSE_END.search(context, span[0], span[1])
            has_edges = all(_is_worth_marking(context, word) for word in (words[first], words[first + length - 1]))
            if in_clause and has_edges and not _touches(span, answer):
                words_between = max(first - right[-1], right[0] - first - length + 1) - 1
                found.append((span, 1 / (1 + max(0, words_between))))
    alike = [(span, weight) for span, weight in found if _look(context, span) == _look(context, answer)]
    return [(span, weight) for span, weight in alike or found if not _same_text(context, span, answer)]


def swapped(context: str, answer: Span, others: Sequence[tuple[Span, int]]) -> Weighted:
    """Mark what answers another question on the paragraph, rather one asked just before or after than a distant one."""
    return [(span, 1 / distance) for span, distance in others if not _same_text(context, span, answer)]


def cut_short(context: str, answer: Span, others: Sequence[tuple[Span, int]]) -> Weighted:
    """Let go too early, or begin too late: more often the former, and rather by one word than by many."""
    words = [word for word in _words(context) if _touches(word, answer)]
    heads = [((words[0][0], words[-1 - dropped][1]), 0.7 * 0.5**dropped) for dropped in range(1, len(words))]
    tails = [((words[dropped][0], words[-1][1]), 0.3 * 0.5**dropped) for dropped in range(1, len(words))]
    return heads + tails


def too_long(context: str, answer: Span, others: Sequence[tuple[Span, int]]) -> Weighted:
    """Go on to the end of the clause or for some words, or begin with the clause, or mark the whole sentence."""
    char_start, char_end = answer
    clause, sentence = (_around(context, answer, border) for border in (_CLAUSE_END, _SENTENCE_END))
    found = [((char_start, clause[1]), 3.0), ((clause[0], char_end), 2.0), (clause, 1.0), (sentence, 1.0)]
    words = _words(context)
    found += [((char_start, end), 1.0) for _, end in [word for word in words if word[0] >= char_end][:3]]
    found += [((start, char_end), 0.5) for start, _ in [word for word in words if word[1] <= char_start][-2:]]
    return [(span, weight) for span, weight in found if span[0] <= char_start and span[1] >= char_end]


def wrong_occurrence(context: str, answer: Span, others: Sequence[tuple[Span, int]]) -> Weighted:
    """Mark the same text elsewhere, most often where a search finds it first."""
    text = re.escape(context[slice(*answer)].strip())
    spans = [found.span() for found in re.finditer(rf"(?<!\w){text}(?!\w)", context, re.IGNORECASE)]
    return [(span, 3.0 if number == 0 else 1.0) for number, span in enumerate(spans) if not _touches(span, answer)]


def cut_inside_word(context: str, answer: Span, others: Sequence[tuple[Span, int]]) -> Weighted:
    """Let go of the mouse up to three characters early, or press it up to two characters late."""
    char_start, char_end = answer
    ends = [((char_start, char_end - missing), 2.0) for missing in (1, 2, 3) if char_end - missing > char_start]
    starts = [((char_start + missing, char_end), 1.0) for missing in (1, 2) if char_start + missing < char_end]
    return [
        (span, weight)
        for span, weight in ends + starts
        if all(_is_inside(context, border) for border in span if border not in answer)
    ]


KINDS: dict[str, Callable[[str, Span, Sequence[tuple[Span, int]]], Weighted]] = {
    function.__name__: function for function in (moved, swapped, cut_short, too_long, wrong_occurrence, cut_inside_word)
}


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
        Decides which examples, and by the weights of the kind which of the possible wrong spans.

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
            spans, weights = zip(*possible[name][example_index], strict=True)
            planted = spans[rng.choice(len(spans), p=np.array(weights) / sum(weights))]
            right = _answers(examples[example_index])[0]
            errors[example_index] = PlantedError(example_index, name, right, planted)
    if not errors:
        raise ValueError(f"kind {kind!r}: expected examples where it is possible, found none of {len(examples)}")
    changed = [
        _with_answer(example, errors[example_index].planted) if example_index in errors else example
        for example_index, example in enumerate(examples)
    ]
    return changed, [errors[example_index] for example_index in sorted(errors)]


def _possible(examples: Sequence[dict], kind: str) -> dict[int, Weighted]:
    """Return the possible wrong answers by example index, where there are some."""
    of_context: dict[str, list[int]] = {}
    for example_index, example in enumerate(examples):
        of_context.setdefault(example["context"], []).append(example_index)
    possible = {}
    for example_index, example in enumerate(examples):
        answers, context = _answers(example), example["context"]
        if not answers:
            continue
        others = [
            (span, abs(other - example_index))
            for other in of_context[context]
            if other != example_index
            for span in _answers(examples[other])
        ]
        found = KINDS[kind](context, answers[0], others)
        # With several right answers, what one annotator marked is no error because another marked less.
        if kind == "cut_inside_word":
            found = [(span, weight) for span, weight in found if span not in answers]
        else:
            right = [_words_touched(context, answer) for answer in answers]
            found = [(span, weight) for span, weight in found if _words_touched(context, span) not in [set(), *right]]
        if kind in ("moved", "swapped", "wrong_occurrence"):
            found = [(span, weight) for span, weight in found if not any(_touches(span, answer) for answer in answers)]
        if found:
            possible[example_index] = found
    return possible


def _with_answer(example: dict, span: Span) -> dict:
    answers = {"text": [example["context"][slice(*span)]], "answer_start": [span[0]]}
    if example["answers"].get("label"):
        answers["label"] = example["answers"]["label"][:1]
    return {**example, "answers": answers}


def _answers(example: dict) -> list[Span]:
    answers = example["answers"]
    return [(start, start + len(text)) for text, start in zip(answers["text"], answers["answer_start"], strict=True)]


def _words(text: str) -> list[Span]:
    return [found.span() for found in _WORD.finditer(text)]


def _words_touched(context: str, span: Span) -> set[Span]:
    return {word for word in _words(context) if _touches(word, span)}


def _touches(span: Span, other: Span) -> bool:
    return span[0] < other[1] and other[0] < span[1]


def _same_text(context: str, span: Span, other: Span) -> bool:
    return context[slice(*span)].lower().split() == context[slice(*other)].lower().split()


def _look(context: str, span: Span) -> tuple[bool, bool, bool]:
    """Return whether a span has a digit, and whether its first and its last word begin with a capital letter."""
    text = context[slice(*span)]
    words = text.split() or [""]
    return any(character.isdigit() for character in text), words[0][:1].isupper(), words[-1][:1].isupper()


def _is_worth_marking(context: str, word: Span) -> bool:
    text = context[slice(*word)]
    return text[0].isdigit() or (len(text) > 2 and text.lower() not in _FUNCTION_WORDS)


def _around(context: str, span: Span, border: re.Pattern) -> Span:
    """Return the words from the last border before a span to the next one behind it."""
    start = max((found.end() for found in border.finditer(context, 0, span[0])), default=0)
    following = border.search(context, span[1])
    end = following.start() if following else len(context)
    words = [word for word in _words(context) if start <= word[0] and word[1] <= end]
    return (words[0][0], words[-1][1]) if words else span


def _is_inside(context: str, border: int) -> bool:
    return context[border - 1].isalnum() and context[border].isalnum()
