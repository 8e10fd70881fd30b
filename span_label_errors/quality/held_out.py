"""Judge each given answer by a model that has learned from the answers of other paragraphs only."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from span_label_errors.quality.answer_model import AnswerModel, parts_of
from span_label_errors.quality.candidates import AnswerFeatures, Candidates

# Fewer answers than this teach nothing about answers.
MIN_ANSWERS = 20


class JudgedAnswer(NamedTuple):
    """A given answer, what could stand in its place, and the model that has not learned from its paragraph."""

    row: int  # in `AnswerFeatures.given_answers`
    model: AnswerModel
    candidates: Candidates
    choice: np.ndarray  # (S,) the probability that each candidate is the given answer, if one of them is


class HeldOutModels:
    """Models of a data set's answers, each learned from all parts of the paragraphs but one.

    Parameters
    ----------
    features : AnswerFeatures

    Attributes
    ----------
    features
        As given.
    num_answers, num_paragraphs : int
        The answers in whose places mistakes are possible (others teach nothing about mistakes), and their paragraphs.
    training : TrainingSet
        What the models learn from, U given answers among it.
    models : list of AnswerModel
        For each part, the one that has not learned from it. Empty unless `has_enough`, as the following two.
    part : ndarray of shape (N,), int64
        The part of each of the N given answers.
    part_of_training : ndarray of shape (U,), int64
        The part of the answers in `training`.
    """

    def __init__(self, features: AnswerFeatures):
        self.features = features
        self.training, answers = features.training_set()
        paragraphs = np.array([given.paragraph for given in features.given_answers])
        teaching = answers[np.unique(self.training.mistake_of)]
        self.num_answers, self.num_paragraphs = len(teaching), len(np.unique(paragraphs[teaching]))
        self.models: list[AnswerModel] = []
        self.part = self.part_of_training = np.empty(0, dtype=np.int64)
        if self.has_enough:
            self.part = parts_of(paragraphs, paragraphs[teaching])
            self.part_of_training = self.part[answers]
            self.models = [
                AnswerModel(self.training, np.flatnonzero(self.part_of_training != number))
                for number in range(int(self.part.max()) + 1)
            ]

    @property
    def has_enough(self) -> bool:
        """Whether there are at least `MIN_ANSWERS` answers to learn from, on more than one paragraph."""
        return self.num_answers >= MIN_ANSWERS and self.num_paragraphs > 1

    def judged(self) -> Iterator[JudgedAnswer]:
        """Yield every given answer with its candidates, paragraph by paragraph; nothing unless `has_enough`."""
        if self.has_enough:
            for row, candidates in self.features.candidates():
                model = self.models[self.part[row]]
                yield JudgedAnswer(row, model, candidates, model.choice(candidates.features))
