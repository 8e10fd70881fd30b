"""What speaks for a span as the answer to a question, against values worked out by hand and a slow loop."""

import math

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st
from text_strategies import span_of, word_tokens

from span_label_errors.quality.context import ContextText, TextSpans, WordRarity
from span_label_errors.quality.features import COLUMN, FEATURES, QuestionFeatures
from span_label_errors.spans.text import sentence_numbers, stem, word_spans

FOUR = "aa bb cc dd"
TOKEN_FEATURES = ["lowest_logit", "first_logit", "last_logit", "logit_before", "logit_after"]
OF_NO_ANSWER = ["no_answer", "highest_logit"]
OUTSIDE = -8.0


class GivenRarity:
    """Rarities as a test wants them."""

    def __init__(self, **rarities: float):
        self._rarities = rarities

    def of(self, word: str) -> float:
        return self._rarities.get(word, 0.0)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def read(question: str, context: str, probs=None, rarity=None, tokens=None) -> QuestionFeatures:
    char_start, char_end = word_tokens(context) if tokens is None else np.array(tokens).T
    probs = np.full(len(char_start), 0.5) if probs is None else np.array(probs)
    return QuestionFeatures(question, ContextText(context, rarity or GivenRarity()), char_start, char_end, probs)


def spans_in(reading: QuestionFeatures, *spans: tuple[int, int]) -> TextSpans:
    return TextSpans(reading.text, *np.array(spans).T)


def column(features: np.ndarray, name: str) -> list[float]:
    return pytest.approx(features[:, COLUMN[name]].tolist())


# Tokens


def test_token_features_by_hand():
    reading = read("", FOUR, [sigmoid(logit) for logit in (1, -2, 3, -1)])
    found = reading.of(spans_in(reading, (0, 2), (3, 8), (0, 11), (4, 5), (9, 11)))
    columns = [COLUMN[name] for name in TOKEN_FEATURES]
    assert found[:, columns] == pytest.approx(
        np.array(
            [
                [1, 1, 1, OUTSIDE, -2],
                [-2, -2, 3, 1, -1],
                [-2, 1, -1, OUTSIDE, OUTSIDE],
                [-2, -2, -2, 1, 3],  # a part of a token has what the token has
                [-1, -1, -1, 3, OUTSIDE],
            ]
        )
    )


def test_certain_probabilities_have_finite_logits():
    reading = read("", FOUR, [0.0, 1.0, 0.0, 1.0])
    found = reading.of(spans_in(reading, (0, 2), (3, 5)))
    assert column(found, "first_logit") == [math.log(1e-6 / (1 - 1e-6)), -math.log(1e-6 / (1 - 1e-6))]


def test_expected_f1_is_the_logarithm_of_the_share_of_the_best_span():
    reading = read("", FOUR, [0.1, 0.8, 0.6, 0.1])
    found = reading.of(spans_in(reading, (3, 8), (3, 5), (0, 11)))
    # All probabilities sum to 1.6: 2 * 1.4 / (2 + 1.6) is the best.
    of_two, of_one, of_four = 2.8 / 3.6, 1.6 / 2.6, 3.2 / 5.6
    assert column(found, "expected_f1") == [math.log(f1 / of_two + 1e-6) for f1 in (of_two, of_one, of_four)]


def test_word_without_a_token_is_read_with_the_token_behind_it():
    reading = read("", "Anna met us and left", [sigmoid(1), sigmoid(-1)], tokens=[(0, 4), (12, 15)])
    found = reading.of(spans_in(reading, (0, 4), (5, 8), (9, 11), (12, 15), (16, 20)))
    assert np.isfinite(found).all()
    # There is none behind the last word.
    assert column(found, "first_logit") == [1, -1, -1, -1, -1]


# Question


def test_question_features_by_hand():
    rarity = GivenRarity(anna=3, oslo=1, rome=2, left=0.5)
    context = "Anna left Oslo. He saw Rome and left Oslo"
    reading = read("anna, left oslo left", context, rarity=rarity)
    parts = ["Anna", "left Oslo", "saw", "Rome and left", "Oslo. He"]
    found = reading.of(spans_in(reading, *(span_of(context, part) for part in parts)))
    # The first sentence holds all of the question, the second 1.5 of 4.5; a span of both has the better.
    assert column(found, "sentence_match") == [0, 0, 1.5 / 4.5 - 1, 1.5 / 4.5 - 1, 0]
    # "left" is too common to be held against a span.
    assert column(found, "share_in_question") == [1, 1 / 2, 0, 0, 1 / 2]

    def near(anna, left, oslo):
        return (3 * math.exp(-anna / 8) + 0.5 * math.exp(-left / 8) + math.exp(-oslo / 8)) / 4.5

    # Distances to the nearest "Anna", "left" and "Oslo"; the best word is "Anna".
    best = near(0, 1, 2)
    nearest = [best, near(1, 0, 1), near(4, 3, 2), max(near(5, 2, 3), near(6, 1, 2), near(7, 0, 1)), near(2, 1, 0)]
    assert column(found, "nearness") == [value - best for value in nearest]


def test_overlap_with_the_other_answer_that_shares_most():
    reading = read("", FOUR)
    spans = spans_in(reading, (0, 2), (3, 8), (9, 11))
    found = reading.of(spans, [(0, 5), (6, 8)])
    # Word F1 of "aa" and "bb cc" with "aa bb" is 2/3 and 1/2, with "cc" 0 and 2/3.
    assert column(found, "overlap_with_other_answer") == [2 / 3, 2 / 3, 0]
    assert column(reading.of(spans), "overlap_with_other_answer") == [0, 0, 0]


def test_features_of_the_text_stand_in_their_columns():
    reading = read("", "met Anna Berg, he", rarity=GivenRarity(anna=2, berg=3, he=1))
    spans = spans_in(reading, (4, 13), (5, 13), (0, 17))
    found = reading.of(spans)
    assert set(spans.features) <= set(FEATURES)
    for name, values in spans.features.items():
        assert column(found, name) == values.tolist(), name


# No answer


def test_no_answer_is_read_by_the_likeliest_token():
    reading = read("aa", FOUR, [sigmoid(logit) for logit in (1, -2, 3, -1)], GivenRarity(aa=1))
    found = reading.of_no_answer()
    assert found.shape == (1, len(FEATURES))
    expected = dict.fromkeys(FEATURES, 0.0) | {"no_answer": 1.0, "highest_logit": 3}
    assert found[0] == pytest.approx(list(expected.values()))
    spans = reading.of(spans_in(reading, (0, 2), (3, 11)))
    assert not spans[:, [COLUMN[name] for name in OF_NO_ANSWER]].any()


# Against a slow loop

PIECES = ["Anna", "anna", "met", "the", "1,000", "漢字", "Étoile", "—", ", ", ". ", "。", "performed", "performance"]
CONTEXTS = st.lists(
    st.tuples(st.sampled_from(PIECES), st.sampled_from(["", " "])).map("".join), min_size=1, max_size=12
)
QUESTIONS = st.lists(st.sampled_from(PIECES), max_size=5).map(" ".join)


def slow_question_features(question, context, rarity, span) -> dict[str, float]:
    """Look every word of the question up for every word of the context."""
    words = word_spans(context) or ((0, len(context)),)
    texts = [stem(context[slice(*word)]) for word in words]
    asked = {stem(question[slice(*word)]) for word in word_spans(question)}
    in_all = sum(rarity.of(text) for text in asked) or 1
    touched = [number for number, (start, end) in enumerate(words) if max(start, span[0]) < min(end, span[1])]
    behind = [number for number, (_, end) in enumerate(words) if end > span[0]]
    own = touched or [behind[0] if behind else len(words) - 1]
    sentences = sentence_numbers(context, np.array([start for start, _ in words])).tolist()

    def nearness_at(position):
        total = 0
        for text in asked & set(texts):
            distance = min(abs(position - other) for other in range(len(words)) if texts[other] == text)
            total += rarity.of(text) / in_all * math.exp(-distance / 8)
        return total

    def match_of(sentence):
        there = {text for text, number in zip(texts, sentences, strict=True) if number == sentence}
        return sum(rarity.of(text) for text in there & asked) / in_all

    return {
        "sentence_match": max(match_of(sentences[own[0]]), match_of(sentences[own[-1]]))
        - max(map(match_of, sentences)),
        "nearness": max(map(nearness_at, own)) - max(map(nearness_at, range(len(words)))),
        "share_in_question": sum(texts[at] in asked and rarity.of(texts[at]) > 0.5 for at in own) / len(own),
    }


@cases(150)
@given(CONTEXTS.map("".join), QUESTIONS, st.data())
def test_question_features_agree_with_a_slow_loop(context, question, data):
    start = data.draw(st.integers(0, len(context) - 1))
    span = (start, data.draw(st.integers(start + 1, len(context))))
    rarity = WordRarity([context, "Anna in the city", "the 1817 men"])
    reading = read(question, context, rarity=rarity)
    (found,) = reading.of(spans_in(reading, span))
    assert np.isfinite(found).all()
    expected = slow_question_features(question, context, rarity, span)
    assert {name: found[COLUMN[name]] for name in expected} == pytest.approx(expected)
