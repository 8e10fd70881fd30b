"""Evidence for every given answer of a data set, on tables small enough to read."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from span_label_errors.quality import cases as answer_evidence
from span_label_errors.quality.cases import AnswerEvidence, Judged, span_classes_of
from span_label_errors.quality.context import COLUMN, FEATURES, ContextText, WordRarity
from span_label_errors.quality.features import ContextEvidence

#       0    5   9     15 18    24
TEXT = "Anna met Bruno in Rome. Carla left"
OTHER = "Oslo is big"
LONG = " ".join(f"w{number}" for number in range(30))


def row(context: str, question: str, probs=None, **answers: str | list[str]) -> dict:
    """An example; answers by class, each where it first occurs, or as a (char_start, char_end)."""
    tokens = [match.span() for match in re.finditer(r"\w+|[^\w\s]", context)]
    made = {"context": context, "question": question, "given_answer": [], "given_start": [], "given_label": []}
    made["char_start"], made["char_end"] = np.array(tokens).T
    for name, texts in answers.items():
        for text in [texts] if isinstance(texts, str) else texts:
            start, end = (context.index(text), context.index(text) + len(text)) if isinstance(text, str) else text
            made["given_answer"].append(context[start:end])
            made["given_start"].append(start)
            made["given_label"].append(name)
        made[f"pred_probs_{name}"] = np.array(probs or np.linspace(0.1, 0.9, len(tokens)), dtype=np.float32)
    return made


def table_of(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame(rows)


def span_of(context: str, text: str) -> tuple[int, int]:
    return context.index(text), context.index(text) + len(text)


@pytest.fixture
def watched(monkeypatch):
    """The contexts that are read, and what each is asked: (question, probs), (question, spans, takers)."""

    class Watched(ContextEvidence):
        made, asked = [], []

        def __init__(self, question, text, char_start, char_end, probs):
            super().__init__(question, text, char_start, char_end, probs)
            self.question = question
            self.made.append((question, text.context, self.probs.round(6).tolist()))

        def of(self, spans, takers=()):
            self.asked.append((self.question, list(spans), [(span, taker.question) for span, taker in takers]))
            return super().of(spans, takers)

    monkeypatch.setattr(answer_evidence, "ContextEvidence", Watched)
    return Watched


# What is judged


def test_span_classes_are_those_with_probabilities():
    table = pd.DataFrame(columns=["labels_X", "pred_probs_PER", "tokens", "pred_probs_my_class", "labels_PER"])
    assert span_classes_of(table) == ["PER", "my_class"]
    assert span_classes_of(pd.DataFrame(columns=["labels_ANS"])) == []


def test_every_answer_is_judged_and_every_class_without_one():
    rows = [
        row(TEXT, "q0", PER=["Anna", "Bruno"], LOC="Rome"),
        row(OTHER, "q1", PER=[], LOC=[]),
        row(TEXT, "q2", LOC=["Rome"], PER=[]),
        row(OTHER, "q3", PER=[], LOC="Oslo"),
    ]
    assert AnswerEvidence(table_of(*rows)).judged == [
        Judged(0, "PER", (0, 4), 0), Judged(0, "PER", (9, 14), 0), Judged(0, "LOC", (18, 22), 0),
        Judged(1, "PER", None, 1), Judged(1, "LOC", None, 1),
        Judged(2, "PER", None, 0), Judged(2, "LOC", (18, 22), 0),
        Judged(3, "PER", None, 1), Judged(3, "LOC", (0, 4), 1),
    ]  # fmt: skip


def test_spellings_of_a_paragraph_are_one_group():
    rows = [row(text, "q", ANS=[]) for text in (TEXT, OTHER, TEXT.upper(), f" {TEXT} ", OTHER.replace(" ", "\n"))]
    assert [judged.group for judged in AnswerEvidence(table_of(*rows)).judged] == [0, 1, 0, 0, 1]


# Answers of other questions


def takers_of(watched, table: pd.DataFrame) -> dict[str, list]:
    list(AnswerEvidence(table).cases())
    return {question: takers for question, _, takers in watched.asked}


def test_takers_are_answers_of_other_questions_on_the_context(watched):
    rows = [
        row(TEXT, "q0", ANS=["Anna", "Bruno"]),
        row(OTHER, "q1", ANS="Oslo"),
        row(TEXT, "q2", ANS="Rome"),
        row(TEXT, "q3", ANS=[]),
        row(TEXT + " ", "q4", ANS="Carla"),  # other offsets are possible: a context of its own
    ]
    anna, bruno, rome = (
        (span_of(TEXT, text), name) for text, name in (("Anna", "q0"), ("Bruno", "q0"), ("Rome", "q2"))
    )
    assert takers_of(watched, table_of(*rows)) == {
        "q0": [rome], "q1": [], "q2": [anna, bruno], "q3": [anna, bruno, rome], "q4": [],
    }  # fmt: skip
    assert len(watched.asked) == 6


# Other answers of the example


def probs_of(watched, *rows: dict) -> list[list[float]]:
    list(AnswerEvidence(table_of(*rows)).cases())
    return [probs for _, _, probs in watched.made]


PROBS = [0.9, 0.1, 0.8, 0.05, 0.3, 0.02, 0.7, 0.2]  # Anna met Bruno in Rome . Carla left


def masked(*tokens: int) -> list[float]:
    return [0.02 if token in tokens else prob for token, prob in enumerate(PROBS)]


def test_other_answers_of_an_example_are_no_rivals(watched):
    probs = probs_of(watched, row(TEXT, "q", PROBS, ANS=["Anna", "Bruno in Rome", "Carla"]))
    assert probs == [masked(2, 3, 4, 6), masked(0, 6), masked(0, 2, 3, 4)]


def test_tokens_of_the_answer_itself_are_kept(watched):
    probs = probs_of(watched, row(TEXT, "q", PROBS, ANS=["Anna met", "met Bruno"]))
    assert probs == [masked(2), masked(0)]
    watched.made.clear()
    # Equal answers, and a token that both cut.
    assert probs_of(watched, row(TEXT, "q", PROBS, ANS=["Anna", "Anna"])) == [PROBS, PROBS]
    watched.made.clear()
    assert probs_of(watched, row(TEXT, "q", PROBS, ANS=[(9, 11), (12, 16)])) == [masked(3), PROBS]


# Evidence against a slow reference


def reference(table: pd.DataFrame, index: int, spans, takers=()) -> np.ndarray:
    """Evidence of one example that has one answer at most; takers as (span, index)."""
    rarity = WordRarity(table["context"])

    def read(example):
        probs = example["pred_probs_ANS"].astype(np.float64)
        text = ContextText(example["context"], rarity)
        return ContextEvidence(example["question"], text, example["char_start"], example["char_end"], probs)

    others = [(span, read(table.iloc[other])) for span, other in takers]
    return read(table.iloc[index]).of(spans, others)


@pytest.fixture
def table() -> pd.DataFrame:
    return table_of(
        row(TEXT, "Who met Bruno?", PROBS, ANS="Anna"),
        row(OTHER, "What is big?", ANS="Oslo"),
        row(TEXT, "Where did Anna meet him?", PROBS[::-1], ANS="Rome"),
        row(OTHER, "Who is small?", ANS=[]),
    )


def test_cases_have_the_evidence_of_their_candidates(table):
    evidence = AnswerEvidence(table)
    cases = dict(evidence.cases())
    assert sorted(cases) == [0, 1, 2, 3]
    anna, rome, oslo = span_of(TEXT, "Anna"), span_of(TEXT, "Rome"), span_of(OTHER, "Oslo")
    for index, given, takers in [
        (0, [anna], [(rome, 2)]), (1, [oslo], []), (2, [rome], [(anna, 0)]), (3, [], [(oslo, 1)]),
    ]:  # fmt: skip
        case = cases[index]
        assert case.given.shape == (len(given), len(FEATURES))
        assert case.evidence.shape == (len(case.candidates), len(FEATURES))
        assert np.array_equal(case.evidence, reference(table, index, case.candidates, takers))
        if given:
            assert np.array_equal(case.given, reference(table, index, given, takers))
            assert np.array_equal(case.given[0], case.evidence[case.candidates.index(given[0])])
    # Spans of whole words within a sentence: 5 words, and 2.
    assert len(cases[0].candidates) == 5 * 6 // 2 + 2 * 3 // 2
    assert len(cases[3].candidates) == 3 * 4 // 2


def test_training_evidence_is_that_of_the_spans(table):
    asked = []

    def elsewhere(context, answer, others):
        asked.append((context, answer, others))
        return [span for span in [(0, 4), (5, 8)] if span != answer]

    def never(context, answer, others):
        return []

    training, answers = AnswerEvidence(table, mistakes={"elsewhere": elsewhere, "never": never}).training_evidence()
    anna, rome, oslo = span_of(TEXT, "Anna"), span_of(TEXT, "Rome"), span_of(OTHER, "Oslo")
    assert asked == [(TEXT, anna, [rome]), (TEXT, rome, [anna]), (OTHER, oslo, [])]
    assert answers.tolist() == [0, 1, 2]
    assert answers.dtype == np.int64
    cases = [(0, anna, [(rome, 2)], [(5, 8)]), (1, oslo, [], [(5, 8)]), (2, rome, [(anna, 0)], [(0, 4), (5, 8)])]
    for position, (index, given, takers, wrong) in enumerate(cases):
        assert np.array_equal(training.given[[position]], reference(table, index, [given], takers))
        found = training.mistakes[training.mistake_of == position]
        assert np.array_equal(found, reference(table, index, wrong, takers))
        # Fewer than a hundred: all candidates are compared.
        candidates = dict(AnswerEvidence(table).cases())[index].candidates
        candidates = [span for span in candidates if span != given]
        assert np.array_equal(training.others[position], reference(table, index, candidates, takers))
    assert Counter(training.mistake_of.tolist()) == {0: 1, 1: 1, 2: 2}
    assert training.kinds.tolist() == ["elsewhere"] * 4
    assert training.mistake_of.dtype == np.int64


def test_training_evidence_without_mistakes(table):
    training, answers = AnswerEvidence(table, mistakes={}).training_evidence()
    assert training.mistakes.shape == (0, len(FEATURES))
    assert len(answers) == len(training.given) == len(training.others) == 3
    assert training.mistake_of.dtype == np.int64


# Limits


def long_rows(num: int) -> pd.DataFrame:
    return table_of(*(row(f"{LONG} c{number}", "q?", ANS=f"w{number + 3}") for number in range(num)))


def test_number_of_answers_learned_is_limited(monkeypatch):
    monkeypatch.setattr(answer_evidence, "MAX_ANSWERS_LEARNED", 4)
    rows = long_rows(9)
    for name in ("given_answer", "given_start", "given_label"):
        rows[name] = [[], *rows[name][1:]]
    chosen = {}
    for seed in range(8):
        evidence = AnswerEvidence(rows, seed)
        training, answers = evidence.training_evidence()
        chosen[seed] = answers.tolist()
        assert len(set(chosen[seed])) == 4
        assert chosen[seed] == sorted(chosen[seed])
        assert set(chosen[seed]) <= set(range(1, 9))
        cases = dict(evidence.cases())
        assert np.array_equal(training.given, np.concatenate([cases[place].given for place in answers]))
        assert set(training.mistake_of.tolist()) == {0, 1, 2, 3}
        assert len(training.others) == 4
        assert AnswerEvidence(rows, seed).training_evidence()[1].tolist() == chosen[seed]
    assert len({tuple(answers) for answers in chosen.values()}) > 1
    monkeypatch.setattr(answer_evidence, "MAX_ANSWERS_LEARNED", 8)
    assert AnswerEvidence(rows).training_evidence()[1].tolist() == list(range(1, 9))


def test_mistakes_and_compared_spans_are_sampled(monkeypatch, watched):
    monkeypatch.setattr(answer_evidence, "MISTAKES_OF_A_KIND", 2)
    monkeypatch.setattr(answer_evidence, "SPANS_COMPARED", 5)
    monkeypatch.setattr(answer_evidence, "MAX_SUGGESTED_WORDS", 3)
    of_words = [match.span() for match in re.finditer(r"\w+", LONG)]
    kinds = {"words": lambda *_: of_words, "few": lambda *_: of_words[:1]}

    def spans(seed: int) -> list[list[tuple[int, int]]]:
        watched.asked.clear()
        training, _ = AnswerEvidence(long_rows(2), seed, kinds).training_evidence()
        assert training.kinds.tolist() == ["words", "words", "few"] * 2
        assert training.mistake_of.tolist() == [0, 0, 0, 1, 1, 1]
        assert [len(others) for others in training.others] == [5, 5]
        return [asked for _, asked, _ in watched.asked]

    first = spans(0)
    for given, (answer, one, two, few, *compared) in zip(("w3", "w4"), first, strict=True):
        assert answer == span_of(LONG, given)
        assert {one, two} < set(of_words)
        assert one < two  # in their order
        assert few == of_words[0]
        assert len(set(compared)) == 5
        assert all(1 <= LONG[slice(*span)].count("w") <= 3 for span in compared)
    assert spans(0) == first
    assert spans(1) != first
    # Every answer has its own random numbers.
    assert first[0][1:] != first[1][1:]


# Candidates


def candidates_of(context: str, *answers) -> list[list[tuple[int, int]]]:
    cases = dict(AnswerEvidence(table_of(row(context, "q?", ANS=list(answers)))).cases())
    return [cases[place].candidates for place in range(len(answers))]


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        (LONG, span_of(LONG, LONG[:57])),  # more than twelve words
        (TEXT, span_of(TEXT, "Rome. Carla")),  # over the end of a sentence
        (TEXT, span_of(TEXT, "Rome.")),  # with a mark
    ],
)
def test_given_answer_is_a_candidate_once_where_no_other_is_like_it(context, answer):
    (found,) = candidates_of(context, answer)
    (plain,) = candidates_of(context, context.split()[0])
    assert found == [*plain, answer]


@pytest.mark.parametrize("answer", [(0, 3), (1, 4), (6, 14)])
def test_given_answer_that_cuts_a_word_is_no_candidate(answer):
    (found,) = candidates_of(TEXT, answer)
    assert answer not in found
    (case,) = [case for _, case in AnswerEvidence(table_of(row(TEXT, "q?", ANS=[answer]))).cases()]
    assert case.given[0, COLUMN["cuts_word"]] == 1
