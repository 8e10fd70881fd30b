"""Gather the evidence for every given answer of a data set, and for what else could stand in its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from answer_model import TrainingEvidence
from planted_errors import MISTAKES
from span_evidence import EVIDENCE, ContextEvidence, WordRarity
from squad import normalized_text
from words import Span, cuts_word

MAX_SUGGESTED_WORDS = 12
# More answers teach the few weights nothing new, but would have to be held in memory.
MAX_ANSWERS_LEARNED = 5000
MISTAKES_OF_A_KIND = 10
SPANS_COMPARED = 100


@dataclass(frozen=True)
class Judged:
    """A given answer, or a class that an example has no answer of.

    Attributes
    ----------
    example_index : int
    class_name : str
    span : (char_start, char_end) or None
    group : int
        Number of its paragraph.
    """

    example_index: int
    class_name: str
    span: Span | None
    group: int


@dataclass(frozen=True)
class Case:
    """One `Judged` with what speaks for it and against it.

    Attributes
    ----------
    given : ndarray of shape (1, F)
        Evidence for the given answer; without one, shape (0, F).
    candidates : list of (char_start, char_end), length S
        What else could be the answer: spans of whole words, and the given answer unless it cuts a word.
    evidence : ndarray of shape (S, F)
        For the candidates.
    probs : ndarray of shape (C,)
    """

    given: np.ndarray
    candidates: list[Span]
    evidence: np.ndarray
    probs: np.ndarray


def span_classes_of(table: pd.DataFrame) -> list[str]:
    """Return the span classes that a table of out-of-fold predictions has columns of."""
    return [name.removeprefix("pred_probs_") for name in table.columns if name.startswith("pred_probs_")]


class AnswerEvidence:
    """The evidence of a data set, made when it is asked for, paragraph by paragraph.

    Parameters
    ----------
    table : DataFrame
        As `exports.out_of_fold_table` makes it: one row per example.
    seed : int
        Of the choice of mistakes and of spans to compare with.
    mistakes : mapping
        Kinds of mistake, as `planted_errors.MISTAKES`.
    """

    def __init__(self, table: pd.DataFrame, seed: int = 0, mistakes: Mapping[str, Callable] = MISTAKES):
        self._table, self._seed, self._mistakes = table, seed, mistakes
        self._rarity = WordRarity(table["context"])
        groups = pd.factorize(table["context"].map(normalized_text))[0]
        self.judged: list[Judged] = []
        classes = span_classes_of(table)
        rows = zip(groups, table["given_answer"], table["given_start"], table["given_label"], strict=True)
        for example_index, (group, texts, starts, names) in enumerate(rows):
            for class_name in classes:
                spans = [
                    (int(start), int(start) + len(text))
                    for text, start, name in zip(texts, starts, names, strict=True)
                    if name == class_name
                ]
                for span in spans or [None]:
                    self.judged.append(Judged(example_index, class_name, span, int(group)))
        # Judged answers of one class and context stand together, because each is evidence against the others.
        # Other spellings of the paragraph have other offsets, so they stand apart.
        self._together: dict[tuple[str, str], list[int]] = {}
        for row, judged in enumerate(self.judged):
            self._together.setdefault(self._place(judged), []).append(row)

    def _place(self, judged: Judged) -> tuple[str, str]:
        return self._table["context"].iloc[judged.example_index], judged.class_name

    def training_evidence(self) -> tuple[TrainingEvidence, np.ndarray]:
        """Return evidence to learn from, and which of `judged` its U given answers are.

        Returns
        -------
        TrainingEvidence
        ndarray of shape (U,), int64
            All given answers, or a random `MAX_ANSWERS_LEARNED` of them.
        """
        answers = np.array([row for row, judged in enumerate(self.judged) if judged.span is not None], dtype=np.int64)
        if len(answers) > MAX_ANSWERS_LEARNED:
            rng = np.random.default_rng(self._seed)
            answers = np.sort(rng.choice(answers, MAX_ANSWERS_LEARNED, replace=False))
        position_of = {int(row): position for position, row in enumerate(answers)}
        given, others = np.empty((len(answers), len(EVIDENCE))), [np.empty(0)] * len(answers)
        mistakes, mistake_of, kinds = [np.empty((0, len(EVIDENCE)))], [], []
        for row, context, takers in self._contexts(set(position_of)):
            span, position = self.judged[row].span, position_of[row]
            rng = np.random.default_rng([self._seed, row])
            planted = [
                (kind, wrong)
                for kind, possible in self._mistakes.items()
                for wrong in _sample(
                    possible(context.context, span, [taken for taken, _ in takers]), MISTAKES_OF_A_KIND, rng
                )
            ]
            others_here = [other for other in context.candidates(MAX_SUGGESTED_WORDS) if other != span]
            compared = _sample(others_here or [span], SPANS_COMPARED, rng)
            evidence = context.of([span, *(wrong for _, wrong in planted), *compared], takers)
            given[position] = evidence[0]
            mistakes.append(evidence[1 : len(planted) + 1])
            others[position] = evidence[len(planted) + 1 :]
            mistake_of += [position] * len(planted)
            kinds += [kind for kind, _ in planted]
        return (
            TrainingEvidence(
                given, np.concatenate(mistakes), np.array(mistake_of, dtype=np.int64), np.array(kinds), others
            ),
            answers,
        )

    def cases(self) -> Iterator[tuple[int, Case]]:
        """Yield the row in `judged` and the case of each, paragraph by paragraph."""
        for row, context, takers in self._contexts(set(range(len(self.judged)))):
            judged = self.judged[row]
            candidates = context.candidates(MAX_SUGGESTED_WORDS)
            given = [] if judged.span is None else [judged.span]
            for span in given:
                if span not in candidates and not cuts_word(context.context, span):
                    candidates.append(span)
            evidence = context.of([*given, *candidates], takers)
            yield row, Case(evidence[: len(given)], candidates, evidence[len(given) :], context.probs)

    def _contexts(self, wanted: set[int]) -> Iterator[tuple[int, ContextEvidence, list[tuple[Span, ContextEvidence]]]]:
        """Yield each wanted row of `judged` with its context, and the answers of other questions on it."""
        for (_, class_name), together in self._together.items():
            if wanted.isdisjoint(together):
                continue
            contexts = {row: self._context(row, class_name) for row in together}
            for row in together:
                if row in wanted:
                    example_index = self.judged[row].example_index
                    takers = [
                        (self.judged[other].span, contexts[other])
                        for other in together
                        if self.judged[other].example_index != example_index and self.judged[other].span is not None
                    ]
                    yield row, contexts[row], takers

    def _context(self, row: int, class_name: str) -> ContextEvidence:
        judged, example = self.judged[row], self._table.iloc[self.judged[row].example_index]
        probs = np.array(example[f"pred_probs_{class_name}"], dtype=np.float64)
        char_start, char_end = np.asarray(example["char_start"]), np.asarray(example["char_end"])
        for other in self._together[self._place(judged)]:
            span = self.judged[other].span
            if other != row and self.judged[other].example_index == judged.example_index:
                # The example's other answers are no rivals of this one.
                taken = (char_start < span[1]) & (char_end > span[0])
                taken &= ~((char_start < judged.span[1]) & (char_end > judged.span[0]))
                probs[taken] = probs.min()
        return ContextEvidence(example["question"], example["context"], char_start, char_end, probs, self._rarity)


def _sample(spans: Sequence[Span], size: int, rng: np.random.Generator) -> list[Span]:
    return [spans[position] for position in sorted(rng.permutation(len(spans))[:size])]
