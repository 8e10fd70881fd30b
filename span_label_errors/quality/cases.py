"""Gather the evidence for every given answer of a data set, and for what else could stand in its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from span_label_errors.quality.answer_model import TrainingEvidence
from span_label_errors.quality.context import FEATURES, ContextText, WordRarity
from span_label_errors.quality.features import ContextEvidence
from span_label_errors.quality.mistakes import MISTAKES
from span_label_errors.spans.text import Span, cuts_word, normalized_text, overlaps

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
        self._seed, self._mistakes = seed, mistakes
        classes = span_classes_of(table)
        # Columns are looked up row by row, for which a table is slow.
        wanted = ["question", "context", "char_start", "char_end", *(f"pred_probs_{name}" for name in classes)]
        self._columns = {name: table[name].to_numpy(dtype=object) for name in wanted}
        contexts = self._columns["context"]
        self._rarity = WordRarity(contexts)
        number, distinct = pd.factorize(contexts)
        groups = pd.factorize(np.array([normalized_text(context) for context in distinct], dtype=object))[0][number]
        self.judged: list[Judged] = []
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
        return self._columns["context"][judged.example_index], judged.class_name

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
        given, others = np.empty((len(answers), len(FEATURES))), [np.empty(0)] * len(answers)
        mistakes, mistake_of, kinds = [np.empty((0, len(FEATURES)))], [], []
        for row, context, takers in self._contexts(set(position_of)):
            span, position = self.judged[row].span, position_of[row]
            rng = np.random.default_rng([self._seed, row])
            planted = [
                (kind, wrong)
                for kind, possible in self._mistakes.items()
                for wrong in _sample(
                    possible(context.text.context, span, [taken for taken, _ in takers]), MISTAKES_OF_A_KIND, rng
                )
            ]
            others_here = [other for other in context.text.candidates(MAX_SUGGESTED_WORDS).pairs if other != span]
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
            span, spans = self.judged[row].span, context.text.candidates(MAX_SUGGESTED_WORDS)
            candidates, evidence = spans.pairs, context.of(spans, takers)
            given = np.empty((0, len(FEATURES)))
            if span is not None:
                found = spans.index(span)
                given = context.of([span], takers) if found is None else evidence[[found]]
                if found is None and not cuts_word(context.text.context, span):
                    candidates, evidence = [*candidates, span], np.vstack([evidence, given])
            yield row, Case(given, candidates, evidence, context.probs)

    def _contexts(self, wanted: set[int]) -> Iterator[tuple[int, ContextEvidence, list[tuple[Span, ContextEvidence]]]]:
        """Yield each wanted row of `judged` with its context, and the answers of other questions on it."""
        text = None
        for (context, class_name), together in self._together.items():
            if wanted.isdisjoint(together):
                continue
            # Classes of a paragraph follow each other.
            if text is None or text.context != context:
                text = ContextText(context, self._rarity)
            contexts = self._read(text, class_name, together)
            takers = [(row, (self.judged[row].span, contexts[row])) for row in together if self.judged[row].span]
            for row in together:
                if row in wanted:
                    example_index = self.judged[row].example_index
                    others = [taker for other, taker in takers if self.judged[other].example_index != example_index]
                    yield row, contexts[row], others

    def _read(self, text: ContextText, class_name: str, together: list[int]) -> dict[int, ContextEvidence]:
        of_example: dict[int, list[int]] = {}
        for row in together:
            of_example.setdefault(self.judged[row].example_index, []).append(row)
        contexts = {}
        for example_index, rows in of_example.items():
            names = ("question", "char_start", "char_end", f"pred_probs_{class_name}")
            question, char_start, char_end, probs = (self._columns[name][example_index] for name in names)
            char_start, char_end = np.asarray(char_start), np.asarray(char_end)
            touched = {row: overlaps((char_start, char_end), self.judged[row].span) for row in rows if len(rows) > 1}
            for row in rows:
                of_row = np.array(probs, dtype=np.float64)
                for other in rows:
                    if other != row:
                        # The example's other answers are no rivals of this one.
                        of_row[touched[other] & ~touched[row]] = of_row.min()
                contexts[row] = ContextEvidence(question, text, char_start, char_end, of_row)
        return contexts


def _sample(spans: Sequence[Span], size: int, rng: np.random.Generator) -> list[Span]:
    return [spans[position] for position in sorted(rng.permutation(len(spans))[:size])]
