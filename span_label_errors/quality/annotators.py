"""Several annotators' answers to one question: each judged, with the answers of the others as evidence."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from span_label_errors.quality.agreement import AnnotatedAnswer, answers_by_class
from span_label_errors.quality.choice import log_choice
from span_label_errors.quality.joined_text import offsets
from span_label_errors.quality.mistakes import KINDS, mistake_likelihoods, right_likelihoods
from span_label_errors.quality.posterior import MAX_LEARNED, Judge, Judged
from span_label_errors.quality.sites import NO_SPAN, Site

# Where several people answer, they set the borders of a right answer in many ways.
MATTERS_OF_TASTE = ("cut_short", "too_long")
# As far as the data say nothing else, the share of right answers that have another border than the right one.
_SHARE_OF_OTHER_BORDERS = 0.2
# The shares of an annotator who is named are drawn to those of all, with the weight of so many answers.
_STRENGTH_OF_ALL = 50.0
# Columns of the issues that rows about annotators' answers have.
ANSWER_COLUMNS = ("annotator", "other_answers", "agreement")
CONSENSUS_COLUMNS = ("consensus_answer", "consensus_start", "consensus_probability")
_MAX_STEPS, _TOLERANCE = 50, 1e-5
_SMALLEST = 1e-300
_UNKNOWN_MISTAKE = 1e-12


class _Question(NamedTuple):
    """A question, or a class of an example, and who answered it."""

    sites: dict[int, Site]  # of its different answers, by row; all have the same candidates
    answers: Counter  # of (annotator, row)

    @property
    def first_row(self) -> int:
        """The row of the first answer."""
        return next(iter(self.sites))


class _Evidence(NamedTuple):
    """How likely the M different answers of a question's annotators are, whichever of its S candidates is right."""

    annotators: list[str]  # of each answer
    rows: list[int]
    counts: np.ndarray  # (M,) how often it was given
    log_choice: np.ndarray  # (S,) -inf for what is not right
    likelihoods: np.ndarray  # (D, K + 2, S) of each of D rows, P(answer | candidate is right) of each way to answer
    likelihood_of: list[int]  # (M,) into them

    def posterior(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return P(candidate is right | all answers), and P(answer | candidate is right), shapes (S,) and (M, S).

        Parameters
        ----------
        shares : ndarray of shape (M, K + 2)
            Of the annotator who gave each answer.
        """
        answered = np.maximum((shares[:, None] @ self.likelihoods[self.likelihood_of])[:, 0], _SMALLEST)
        log_posterior = self.log_choice + self.counts @ np.log(answered)
        posterior = np.exp(log_posterior - log_posterior.max())
        return posterior / posterior.sum(), answered

    def of_ways(self, shares: np.ndarray) -> np.ndarray:
        """Return P(this answer was given in this way | all answers), shape (M, K + 2)."""
        posterior, answered = self.posterior(shares)
        return shares * (self.likelihoods[self.likelihood_of] @ (posterior / answered)[:, :, None])[:, :, 0]


class AnnotatorsJudge(Judge):
    """Learns from a data set with several people's answers, and judges each of them by all.

    The right answer r of a question is unknown, and the M annotators answer independently of each other, given r:

        P(r | all answers) ∝ p(r) Π_m [s_0 1(g_m = r) + s_b P_b(g_m | r) + Σ_k s_k P_k(g_m | r)],

    with the choice p, the kinds of mistakes k as for one answer, and another border b, which is right: an answer that
    shares a character with r, drawn by p. In its place the kinds `MATTERS_OF_TASTE` are no mistakes. So an answer is
    right if the right one is where it is.

    This is the model of Dawid and Skene (1979), "Maximum likelihood estimation of observer error-rates using the EM
    algorithm", with p in the place of the shares of classes. So the model counts as much as it is sure. CROWDLAB (Goh,
    Tkachenko and Mueller 2022, arXiv 2210.06812) takes a weighted mean of a classifier's and the annotators' votes
    instead, with weights by their agreement. EM finds the shares s under the Dirichlet prior of `Judge`; annotators who
    are named have their own, under a prior of 50 answers with the shares of all. The choice learns each answer with the
    weight 1 / M, so that five people are not five times the evidence.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet` of a run with `answers="each"`.
    known, seed, recipe, prior
        As for `Judge`.

    Attributes
    ----------
    shares : ndarray of shape (K + 2,)
        Of all annotators: the share of right answers with the right border, with another one, and of each kind of
        mistake.
    shares_of : dict
        The same by annotator, for those who are named.
    kinds : tuple of str
        The K kinds of mistakes.
    given : dict
        By example index and class, every annotator's answer.
    """

    def __init__(self, table: pd.DataFrame, known=None, *, seed: int = 0, recipe=None, prior=None):
        # By example and class, every annotator's answer.
        self.given = {
            (index, class_name): answers
            for index in range(len(table))
            for class_name, answers in answers_by_class(table, index).items()
        }
        self.shares_of: dict[str, np.ndarray] = {}
        super().__init__(table, known, seed=seed, recipe=recipe, prior=prior)
        answered = [given for given in self.sites.given_answers if given.span != NO_SPAN]
        self.num_answers = len({given[:2] for given in answered})

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(name for name in self.recipe.kinds if name not in MATTERS_OF_TASTE)

    def judged(self) -> Iterator[Judged]:
        """Yield what is thought of every different answer, context by context.

        The posterior of all answers of an example, summed over kinds, is one: that of the right answer.
        """
        unknown = [row for row in range(len(self.sites.given_answers)) if row not in self.learned]
        for question in self._questions(chain(self.learned.items(), self.sites.of(unknown))):
            evidence = self._evidence(question)
            shares = np.array([self.shares_of.get(annotator, self.shares) for annotator in evidence.annotators])
            right, answered = evidence.posterior(shares)
            position_of = {row: position for position, row in enumerate(evidence.rows)}
            for row, site in question.sites.items():
                position = position_of[row]
                ways = shares[position][:, None] * evidence.likelihoods[evidence.likelihood_of[position]]
                posterior = right * ways / answered[position]
                posterior = np.vstack([posterior[:2].sum(axis=0), posterior[2:]])
                choice = np.exp(evidence.log_choice)
                yield Judged(row, site, choice, posterior, self.kinds, self.weights[self.model_of[row]])

    def _sample(self, rng: np.random.Generator) -> np.ndarray:
        """Return the rows of all answers of the questions to learn from."""
        question_of = {}
        number = [question_of.setdefault(given[:2], len(question_of)) for given in self.sites.given_answers]
        count = int(MAX_LEARNED * len(question_of) / max(len(number), 1))
        chosen = np.arange(len(question_of))
        if len(number) > MAX_LEARNED:
            chosen = rng.choice(chosen, count, replace=False)
        return np.flatnonzero(np.isin(number, chosen))

    def _weights_of_learned(self) -> np.ndarray:
        weights = {}
        for question in self._questions(self.learned.items()):
            for (_, row), count in question.answers.items():
                weights[row] = weights.get(row, 0.0) + count / question.answers.total()
        return np.array([weights[row] for row in self.learned])

    def _first_shares(self) -> np.ndarray:
        shares, wrong = np.array([KINDS[name].share for name in self.kinds]), self.recipe.share_wrong
        right = (1 - wrong) * np.array([1 - _SHARE_OF_OTHER_BORDERS, _SHARE_OF_OTHER_BORDERS])
        return np.concatenate([right, wrong * shares / shares.sum()])

    def _fit_shares(self) -> np.ndarray:
        questions = [self._evidence(question) for question in self._questions(self.learned.items())]
        prior, strength = self._first_shares(), self.recipe.strength
        borders = offsets([len(evidence.rows) for evidence in questions])
        count = np.concatenate([evidence.counts for evidence in questions])
        number_of: dict[str, int] = {}
        number = np.array([
            number_of.setdefault(name, len(number_of)) for evidence in questions for name in evidence.annotators
        ])  # fmt: skip
        for _ in range(_MAX_STEPS):
            before = self.shares
            shares = np.array([self.shares_of.get(name, self.shares) for name in number_of])[number]
            of_questions = zip(questions, np.split(shares, borders[1:-1]), strict=True)
            of_ways = np.concatenate([evidence.of_ways(of_answers) for evidence, of_answers in of_questions])
            counts = np.zeros((len(number_of), len(prior)))
            np.add.at(counts, number, count[:, None] * of_ways)
            total = counts.sum(axis=0)
            self.shares = (total + strength * prior) / (total.sum() + strength)
            self.shares_of = {
                name: (of_name + _STRENGTH_OF_ALL * self.shares) / (of_name.sum() + _STRENGTH_OF_ALL)
                for name, of_name in zip(number_of, counts, strict=True) if name
            }  # fmt: skip
            if np.abs(self.shares - before).max() < _TOLERANCE:
                break
        rows = [row for evidence in questions for row in evidence.rows]
        right = dict(zip(rows, of_ways[:, :2].sum(axis=1).tolist(), strict=True))
        return np.array([right[row] for row in self.learned])

    def _questions(self, sites: Iterable[tuple[int, Site]]) -> Iterator[_Question]:
        for (index, class_name, *_), group in groupby(sites, key=lambda item: item[1].given[:2]):
            of_rows = dict(group)
            row_of = {site.given.span: row for row, site in of_rows.items()}
            given = self.given.get((index, class_name), [AnnotatedAnswer("", class_name, NO_SPAN)])
            yield _Question(of_rows, Counter((answer.annotator, row_of[answer.span]) for answer in given))

    def _evidence(self, question: _Question) -> _Evidence:
        first = question.sites[question.first_row]
        choice = np.exp(log_choice(first.features, self.weights[self.model_of[question.first_row]]))
        likelihoods = np.empty((len(question.sites), len(self.kinds) + 2, len(choice)))
        for of_row, site in zip(likelihoods, question.sites.values(), strict=True):
            of_row[:2] = right_likelihoods(site, choice)
            # By a mistake of no known kind any answer can come of any, or two answers might exclude each other.
            of_row[2:] = np.maximum(mistake_likelihoods(site, choice, self.kinds), _UNKNOWN_MISTAKE)
        decided = self.sites.decided_of_each.get(first.given[:2])
        if decided is not None:
            # Of what a reviewer said is right, each is; what was removed is not.
            is_right = np.array([tuple(span) in decided.right for span in first.spans.tolist()])
            choice = np.where(is_right, choice, 0.0)
            choice = choice / choice.sum() if choice.any() else is_right / is_right.sum()
            for of_row, site in zip(likelihoods, question.sites.values(), strict=True):
                if is_right[site.given_row]:
                    of_row[0], of_row[1:] = is_right, 0.0
                elif site.given.span not in decided.left:
                    of_row[:2] = 0.0
        annotators, rows = zip(*question.answers, strict=True)
        log_of_choice = np.where(choice > 0, np.log(np.maximum(choice, _SMALLEST)), -np.inf)
        number_of = {row: number for number, row in enumerate(question.sites)}
        return _Evidence(
            list(annotators), list(rows), np.array(list(question.answers.values()), dtype=np.float64), log_of_choice,
            likelihoods, [number_of[row] for row in rows],
        )  # fmt: skip


def columns_of_annotators(judge: AnnotatorsJudge, judged: Judged) -> list[dict]:
    """Return what the issues say of an answer beside its quality, for each annotator who gave it.

    `annotator`; `other_answers` of the others, joined by `"; "`; `agreement`, the mean token F1 with them; and of all
    answers together, `consensus_answer` and `consensus_start` (the likeliest right answer; empty for none), and
    `consensus_probability` (that the right answer is where this one is).
    """
    site, answers = judged.site, judge.given.get(judged.site.given[:2], [])
    right = judged.posterior.sum(axis=0)
    likeliest = int(right.argmax())
    span = tuple(site.spans[likeliest].tolist())
    consensus = dict(zip(CONSENSUS_COLUMNS, (
        "" if span == NO_SPAN else site.text[slice(*span)], None if span == NO_SPAN else span[0],
        float(site.overlapping_mass(right)[likeliest]),
    ), strict=True))  # fmt: skip
    rows = []
    for number, answer in enumerate(answers):
        if answer.span == site.given.span:
            others = answers[:number] + answers[number + 1 :]
            texts = "; ".join(site.text[slice(*other.span)] for other in others)
            of_answer = (answer.annotator, texts, answer.mean_f1(site.text, others))
            rows.append(dict(zip(ANSWER_COLUMNS, of_answer, strict=True)) | consensus)
    return rows or [dict(zip(ANSWER_COLUMNS, ("", "", np.nan), strict=True)) | consensus]
