"""Features of every given answer of a data set and of its candidates, on tables small enough to read."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from span_label_errors.quality.candidates import AnswerFeatures, GivenAnswer
from text_strategies import span_of, word_tokens

from span_label_errors.quality import candidates as candidates_module
from span_label_errors.quality import context as context_module
from span_label_errors.quality.context import ContextText, WordRarity
from span_label_errors.quality.features import COLUMN, FEATURES, QuestionFeatures

#       0    5   9     15 18    24
TEXT = "Anna met Bruno in Rome. Carla left"
OTHER = "Oslo is big"
LONG = " ".join(f"w{number}" for number in range(30))


def row(context: str, question: str, probs=None, **answers: str | list[str]) -> dict:
    """An example; answers by class, each where it first occurs, or as a (char_start, char_end)."""
    made = {"context": context, "question": question, "given_answer": [], "given_start": [], "given_label": []}
    made["char_start"], made["char_end"] = word_tokens(context)
    for name, texts in answers.items():
        for text in [texts] if isinstance(texts, str) else texts:
            start, end = span_of(context, text) if isinstance(text, str) else text
            made["given_answer"].append(context[start:end])
            made["given_start"].append(start)
            made["given_label"].append(name)
        made[f"pred_probs_{name}"] = np.array(probs or np.linspace(0.1, 0.9, len(made["char_start"])), dtype=np.float32)
    return made


def table_of(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame(rows)


# Given answers


def test_every_answer_and_every_class_without_one_is_a_given_answer():
    rows = [
        row(TEXT, "q0", PER=["Anna", "Bruno"], LOC="Rome"),
        row(OTHER, "q1", PER=[], LOC=[]),
        row(TEXT, "q2", LOC=["Rome"], PER=[]),
        row(OTHER, "q3", PER=[], LOC="Oslo"),
    ]
    assert AnswerFeatures(table_of(*rows)).given_answers == [
        GivenAnswer(0, "PER", (0, 4), 0), GivenAnswer(0, "PER", (9, 14), 0), GivenAnswer(0, "LOC", (18, 22), 0),
        GivenAnswer(1, "PER", None, 1), GivenAnswer(1, "LOC", None, 1),
        GivenAnswer(2, "PER", None, 0), GivenAnswer(2, "LOC", (18, 22), 0),
        GivenAnswer(3, "PER", None, 1), GivenAnswer(3, "LOC", (0, 4), 1),
    ]  # fmt: skip


def test_spellings_of_a_paragraph_are_one_paragraph():
    rows = [row(text, "q", ANS=[]) for text in (TEXT, OTHER, TEXT.upper(), f" {TEXT} ", OTHER.replace(" ", "\n"))]
    assert [given.paragraph for given in AnswerFeatures(table_of(*rows)).given_answers] == [0, 1, 0, 0, 1]


# Answers of other questions


def test_answers_of_other_questions_on_the_context_compete():
    competing = {}

    def watched(context, answer, others):
        competing[context, answer] = others
        return []

    rows = [
        row(TEXT, "q0", ANS=["Anna", "Bruno"]),
        row(OTHER, "q1", ANS="Oslo"),
        row(TEXT, "q2", ANS="Rome"),
        row(TEXT, "q3", ANS=[]),
        row(TEXT + " ", "q4", ANS="Carla"),  # other offsets are possible: a context of its own
    ]
    AnswerFeatures(table_of(*rows), mistakes={"watched": watched}).training_set()
    anna, bruno, rome, carla = (span_of(TEXT, text) for text in ("Anna", "Bruno", "Rome", "Carla"))
    assert competing == {
        (TEXT, anna): [rome], (TEXT, bruno): [rome], (OTHER, (0, 4)): [], (TEXT, rome): [anna, bruno],
        (TEXT + " ", carla): [],
    }  # fmt: skip


# Other answers of the example

PROBS = [0.9, 0.1, 0.8, 0.05, 0.3, 0.02, 0.7, 0.2]  # Anna met Bruno in Rome . Carla left


def masked(*tokens: int) -> list[float]:
    return [0.02 if token in tokens else prob for token, prob in enumerate(PROBS)]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["Anna", "Bruno in Rome", "Carla"], [masked(2, 3, 4, 6), masked(0, 6), masked(0, 2, 3, 4)]),
        (["Anna met", "met Bruno"], [masked(2), masked(0)]),  # tokens of the answer itself are kept
        (["Anna", "Anna"], [PROBS, PROBS]),
        ([(9, 11), (12, 16)], [masked(3), PROBS]),  # both cut one token
    ],
)
def test_other_answers_of_an_example_do_not_compete(answers, expected):
    cases = dict(AnswerFeatures(table_of(row(TEXT, "q", PROBS, ANS=answers))).candidates())
    assert np.array([cases[place].probs for place in range(len(answers))]) == pytest.approx(np.array(expected))


# Features, against those of one example read alone


def reference(table: pd.DataFrame, index: int, spans, competing=()) -> np.ndarray:
    """Features of one example that has one answer at most; competing as (span, index)."""
    rarity = WordRarity(table["context"])

    def read(example):
        probs = example["pred_probs_ANS"].astype(np.float64)
        text = ContextText(example["context"], rarity)
        return QuestionFeatures(example["question"], text, example["char_start"], example["char_end"], probs)

    others = [(span, read(table.iloc[other])) for span, other in competing]
    return read(table.iloc[index]).of(spans, others)


@pytest.fixture
def table() -> pd.DataFrame:
    return table_of(
        row(TEXT, "Who met Bruno?", PROBS, ANS="Anna"),
        row(OTHER, "What is big?", ANS="Oslo"),
        row(TEXT, "Where did Anna meet him?", PROBS[::-1], ANS="Rome"),
        row(OTHER, "Who is small?", ANS=[]),
    )


def test_features_are_those_of_the_candidates(table):
    features = AnswerFeatures(table)
    cases = dict(features.candidates())
    assert sorted(cases) == [0, 1, 2, 3]
    anna, rome, oslo = span_of(TEXT, "Anna"), span_of(TEXT, "Rome"), span_of(OTHER, "Oslo")
    for index, given, competing in [
        (0, [anna], [(rome, 2)]), (1, [oslo], []), (2, [rome], [(anna, 0)]), (3, [], [(oslo, 1)]),
    ]:  # fmt: skip
        case = cases[index]
        assert case.given.shape == (len(given), len(FEATURES))
        assert case.features.shape == (len(case.spans), len(FEATURES))
        assert np.array_equal(case.features, reference(table, index, case.spans, competing))
        if given:
            assert np.array_equal(case.given, reference(table, index, given, competing))
            assert np.array_equal(case.given[0], case.features[case.spans.index(given[0])])
    # Spans of whole words within a sentence: 5 words, and 2.
    assert len(cases[0].spans) == 5 * 6 // 2 + 2 * 3 // 2
    assert len(cases[3].spans) == 3 * 4 // 2


def test_training_set_has_the_features_of_its_spans(table):
    calls = []

    def elsewhere(context, answer, others):
        calls.append((context, answer, others))
        return [span for span in [(0, 4), (5, 8)] if span != answer]

    def never(context, answer, others):
        return []

    training, answers = AnswerFeatures(table, mistakes={"elsewhere": elsewhere, "never": never}).training_set()
    anna, rome, oslo = span_of(TEXT, "Anna"), span_of(TEXT, "Rome"), span_of(OTHER, "Oslo")
    assert calls == [(TEXT, anna, [rome]), (TEXT, rome, [anna]), (OTHER, oslo, [])]
    assert answers.tolist() == [0, 1, 2]
    assert answers.dtype == np.int64
    cases = [(0, anna, [(rome, 2)], [(5, 8)]), (1, oslo, [], [(5, 8)]), (2, rome, [(anna, 0)], [(0, 4), (5, 8)])]
    for position, (index, given, competing, wrong) in enumerate(cases):
        assert np.array_equal(training.given[[position]], reference(table, index, [given], competing))
        found = training.mistakes[training.mistake_of == position]
        assert np.array_equal(found, reference(table, index, wrong, competing))
        # Fewer than a hundred: all candidates are compared.
        candidates = dict(AnswerFeatures(table).candidates())[index].spans
        candidates = [span for span in candidates if span != given]
        assert np.array_equal(training.compared[position], reference(table, index, candidates, competing))
    assert Counter(training.mistake_of.tolist()) == {0: 1, 1: 1, 2: 2}
    assert training.kinds.tolist() == ["elsewhere"] * 4
    assert training.mistake_of.dtype == np.int64


def test_training_set_without_mistakes(table):
    training, answers = AnswerFeatures(table, mistakes={}).training_set()
    assert training.mistakes.shape == (0, len(FEATURES))
    assert len(answers) == len(training.given) == len(training.compared) == 3
    assert training.mistake_of.dtype == np.int64


# Limits


def long_rows(num: int) -> pd.DataFrame:
    return table_of(*(row(f"{LONG} c{number}", "q?", ANS=f"w{number + 3}") for number in range(num)))


def test_number_of_answers_learned_is_limited(monkeypatch):
    monkeypatch.setattr(candidates_module, "MAX_ANSWERS_LEARNED", 4)
    rows = long_rows(9)
    for name in ("given_answer", "given_start", "given_label"):
        rows[name] = [[], *rows[name][1:]]
    chosen = []
    for seed in (0, 0, 1):
        features = AnswerFeatures(rows, seed)
        training, answers = features.training_set()
        chosen.append(answers.tolist())
        assert chosen[-1] == sorted(set(chosen[-1]) & set(range(1, 9)))
        candidates = dict(features.candidates())
        assert np.array_equal(training.given, np.concatenate([candidates[row].given for row in answers]))
        assert set(training.mistake_of.tolist()) == set(range(len(training.compared))) == {0, 1, 2, 3}
    assert chosen[0] == chosen[1] != chosen[2]


def test_mistakes_and_compared_spans_are_sampled(monkeypatch):
    monkeypatch.setattr(candidates_module, "MISTAKES_OF_A_KIND", 2)
    monkeypatch.setattr(candidates_module, "SPANS_COMPARED", 5)
    monkeypatch.setattr(context_module, "MAX_CANDIDATE_WORDS", 3)
    of_words = [match.span() for match in re.finditer(r"\w+", LONG)]
    kinds = {"words": lambda *_: of_words, "few": lambda *_: of_words[:1]}
    twins = table_of(row(LONG, "q?", ANS="w3"), row(LONG, "q?", ANS="w3"))

    def sampled(seed: int) -> np.ndarray:
        training, _ = AnswerFeatures(twins, seed, kinds).training_set()
        assert training.kinds.tolist() == ["words", "words", "few"] * 2
        assert training.mistake_of.tolist() == [0, 0, 0, 1, 1, 1]
        assert (training.mistakes[:, COLUMN["num_words"]] == 0).all()
        assert [len(np.unique(others, axis=0)) for others in training.compared] == [5, 5]
        compared = np.array(training.compared)
        assert compared[..., COLUMN["num_words"]].max() <= np.log(3)
        return compared

    first = sampled(0)
    assert np.array_equal(sampled(0), first)
    assert not np.array_equal(sampled(1), first)
    # Every answer has its own random numbers.
    assert not np.array_equal(first[0], first[1])


# Candidates


def candidates_of(context: str, *answers) -> list[list[tuple[int, int]]]:
    cases = dict(AnswerFeatures(table_of(row(context, "q?", ANS=list(answers)))).candidates())
    return [cases[place].spans for place in range(len(answers))]


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
    (case,) = [case for _, case in AnswerFeatures(table_of(row(TEXT, "q?", ANS=[answer]))).candidates()]
    assert case.given[0, COLUMN["cuts_word"]] == 1
