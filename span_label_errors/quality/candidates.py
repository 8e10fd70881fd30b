"""The given answers of a data set and the candidates in their places, with the features of both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from span_label_errors.quality.answer_model import TrainingSet
from span_label_errors.quality.context import ContextText, WordRarity
from span_label_errors.quality.features import FEATURES, QuestionFeatures
from span_label_errors.quality.mistakes import MISTAKES
from span_label_errors.results.read import span_classes_of
from span_label_errors.spans.text import Span, cuts_word, normalized_text, overlaps

# More answers teach the few weights nothing new, but would have to be held in memory.
MAX_ANSWERS_LEARNED = 5000
MISTAKES_OF_A_KIND = 10
SPANS_COMPARED = 100


@dataclass(frozen=True)
class GivenAnswer:
    """A given answer, or "no answer" for a class that an example has no answer of."""

    example_index: int
    class_name: str
    span: Span | None  # None for no answer
    paragraph: int  # spellings of a context that differ in case or white space are one paragraph


@dataclass(frozen=True)
class Candidates:
    """What could be the answer in the place of one `GivenAnswer`."""

    spans: list[Span]  # S spans of whole words, and the given answer unless it cuts a word
    features: np.ndarray  # (S, F)
    given: np.ndarray  # (1, F) features of the given answer; (0, F) for no answer
    probs: np.ndarray  # (C,) P(span class) of the context tokens


class AnswerFeatures:
    """The features of a data set's answers, computed paragraph by paragraph when they are needed.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` as read by pandas: one row per example.
    seed, mistakes
        As for `find_label_errors`.

    Attributes
    ----------
    given_answers : list of GivenAnswer
    """

    def __init__(self, table: pd.DataFrame, seed: int = 0, mistakes: Mapping[str, Callable] = MISTAKES):
        self._seed, self._mistakes = seed, mistakes
        classes = span_classes_of(table)
        # Columns are looked up row by row, for which a table is slow.
        wanted = ["question", "context", "char_start", "char_end", *(f"pred_probs_{name}" for name in classes)]
        self._columns = {name: table[name].to_numpy(dtype=object) for name in wanted}
        self._rarity = WordRarity(table["context"])
        paragraphs = pd.factorize(table["context"].map(normalized_text))[0]
        self.given_answers: list[GivenAnswer] = []
        rows = zip(paragraphs.tolist(), table["given_answer"], table["given_start"], table["given_label"], strict=True)
        for example_index, (paragraph, texts, starts, names) in enumerate(rows):
            for class_name in classes:
                spans = [
                    (int(start), int(start) + len(text))
                    for text, start, name in zip(texts, starts, names, strict=True)
                    if name == class_name
                ]
                self.given_answers += [
                    GivenAnswer(example_index, class_name, span, paragraph) for span in spans or [None]
                ]

    def training_set(self) -> tuple[TrainingSet, np.ndarray]:
        """Return what to learn from, and the rows of its U answers in `given_answers`, shape (U,).

        U is `MAX_ANSWERS_LEARNED` at most; of more answers, a random part is taken.
        """
        answers = np.flatnonzero([given.span is not None for given in self.given_answers])
        if len(answers) > MAX_ANSWERS_LEARNED:
            rng = np.random.default_rng(self._seed)
            answers = np.sort(rng.choice(answers, MAX_ANSWERS_LEARNED, replace=False))
        position_of = {row: position for position, row in enumerate(answers.tolist())}
        given, compared = np.empty((len(answers), len(FEATURES))), [np.empty(0)] * len(answers)
        mistakes, mistake_of, kinds = [np.empty((0, len(FEATURES)))], [], []
        for row, question, competing in self._questions(set(position_of)):
            span, text = self.given_answers[row].span, question.text
            rng = np.random.default_rng([self._seed, row])
            wrong_spans = []
            for kind, possible in self._mistakes.items():
                found = possible(text.context, span, [answer for answer, _ in competing])
                found = _sample(found, MISTAKES_OF_A_KIND, rng)
                wrong_spans += found
                kinds += [kind] * len(found)
            other_spans = [other for other in text.candidates.pairs if other != span]
            other_spans = _sample(other_spans or [span], SPANS_COMPARED, rng)
            features = question.of([span, *wrong_spans, *other_spans], competing)
            given[position_of[row]] = features[0]
            mistakes.append(features[1 : len(wrong_spans) + 1])
            mistake_of += [position_of[row]] * len(wrong_spans)
            compared[position_of[row]] = features[len(wrong_spans) + 1 :]
        of_mistakes = np.concatenate(mistakes), np.array(mistake_of, dtype=np.int64), np.array(kinds)
        return TrainingSet(given, *of_mistakes, compared), answers

    def candidates(self) -> Iterator[tuple[int, Candidates]]:
        """Yield the row in `given_answers` and the candidates of each, paragraph by paragraph."""
        for row, question, competing in self._questions(set(range(len(self.given_answers)))):
            span, text = self.given_answers[row].span, question.text
            spans, features = text.candidates.pairs, question.of(text.candidates, competing)
            if span is None:
                given = np.empty((0, len(FEATURES)))
            elif span in spans:
                given = features[[spans.index(span)]]
            else:
                given = question.of([span], competing)
                if not cuts_word(text.context, span):
                    spans, features = [*spans, span], np.vstack([features, given])
            yield row, Candidates(spans, features, given, question.probs)

    def _questions(
        self, wanted: set[int]
    ) -> Iterator[tuple[int, QuestionFeatures, list[tuple[Span, QuestionFeatures]]]]:
        """Yield each wanted row of `given_answers` with its features, and the answers of competing questions."""
        # Not by paragraph: other spellings of it have other offsets.
        rows_of: dict[str, list[int]] = {}
        for row, given in enumerate(self.given_answers):
            rows_of.setdefault(self._columns["context"][given.example_index], []).append(row)
        for context, rows in rows_of.items():
            if wanted.isdisjoint(rows):
                continue
            text = ContextText(context, self._rarity)
            questions = {row: self._question_features(row, rows, text) for row in rows}
            for row in rows:
                if row not in wanted:
                    continue
                given, competing = self.given_answers[row], []
                for other_row in rows:
                    other = self.given_answers[other_row]
                    is_other_question = other.example_index != given.example_index
                    if other.span and is_other_question and other.class_name == given.class_name:
                        competing.append((other.span, questions[other_row]))
                yield row, questions[row], competing

    def _question_features(self, row: int, rows_of_context: list[int], text: ContextText) -> QuestionFeatures:
        given = self.given_answers[row]
        names = ("question", "char_start", "char_end", f"pred_probs_{given.class_name}")
        question, char_start, char_end, probs = (self._columns[name][given.example_index] for name in names)
        char_start, char_end, probs = np.asarray(char_start), np.asarray(char_end), np.array(probs, dtype=np.float64)
        # Several answers of an example do not compete: where the others stand, the probabilities of this one are low.
        for other_row in rows_of_context:
            other = self.given_answers[other_row]
            same = (other.example_index, other.class_name) == (given.example_index, given.class_name)
            if same and other_row != row:
                touched = overlaps((char_start, char_end), other.span) & ~overlaps((char_start, char_end), given.span)
                probs[touched] = probs.min()
        return QuestionFeatures(question, text, char_start, char_end, probs)


def _sample(spans: Sequence[Span], size: int, rng: np.random.Generator) -> list[Span]:
    return [spans[position] for position in sorted(rng.permutation(len(spans))[:size])]
