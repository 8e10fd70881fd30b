"""What speaks for a span, against values worked out by hand and against slow loops."""

import itertools
import math

import numpy as np
import pytest
from conftest import cases
from hypothesis import example, given, settings
from hypothesis import strategies as st
from text_strategies import span_of, word_tokens

from span_label_errors.quality.context import ContextText, WordRarity
from span_label_errors.quality.features import COLUMN, FEATURES, QuestionFeatures
from span_label_errors.spans.text import cuts_word, sentence_numbers, stem, word_spans

PROPERTY = cases(150)


class GivenRarity:
    """Rarities as a test wants them."""

    def __init__(self, **rarities: float):
        self._rarities = rarities

    def of(self, word: str) -> float:
        return self._rarities.get(word, 0.0)


def tokens_of(text: str) -> list[tuple[int, int]]:
    return list(zip(*word_tokens(text).tolist(), strict=True))


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def read_context(question, context, probs=None, rarity=None) -> QuestionFeatures:
    char_start, char_end = np.array(tokens_of(context)).T
    probs = [0.5] * len(char_start) if probs is None else probs
    text = ContextText(context, rarity or WordRarity([context]))
    return QuestionFeatures(question, text, char_start, char_end, probs)


def features_of(question, context, spans, probs=None, rarity=None, competing=()) -> list[dict[str, float]]:
    """Features by name; competing as (span, question, probs)."""
    others = [(span, read_context(asked, context, of_other, rarity)) for span, asked, of_other in competing]
    values = read_context(question, context, probs, rarity).of(spans, others)
    assert np.isfinite(values).all()
    return [dict(zip(FEATURES, row, strict=True)) for row in values]


# WordRarity


def test_rarity_by_hand():
    rarity = WordRarity(["Rome or Oslo or Rome", "rome and Lima", "Rome and Lima.", "Rome and Lima."])
    # Three contexts: what a context repeats, and an equal context, count once.
    assert rarity.of("rome") == pytest.approx(math.log(4 / 3.5))
    assert rarity.of("lima") == pytest.approx(math.log(4 / 2.5))
    assert rarity.of("oslo") == pytest.approx(math.log(4 / 1.5))
    assert rarity.of("cairo") == pytest.approx(math.log(4 / 0.5))
    assert rarity.of("Rome") == rarity.of("cairo")  # it asks for a stem


# By hand: the form of a span


@pytest.mark.parametrize(
    ("context", "part", "true"),
    [
        ("met Anna Berg there", "Berg", {"cuts_name_before"}),
        ("met Anna Berg there", "met Anna", {"cuts_name_after", "mark_before"}),  # the context begins there
        ("on 7 November 1867", "November", {"cuts_name_before", "cuts_name_after"}),
        ("on 7 November 1867", "1867", {"cuts_name_before", "mark_after"}),
        ("paid $40 and $1,000 there", "$40", set()),
        ("met Anna, Berg there", "Anna", {"mark_after"}),
        ("met Anna, Berg there", "Anna, Berg", {"mark_inside"}),
        ("met “Anna Berg” there", "“Anna Berg”", {"mark_before", "mark_after"}),
        ("about 1,000.5 men", "1,000.5", set()),  # no mark: a number
        ("met Anna: she", "Anna:", {"mark_after"}),  # at the edge, not inside
        ("met Anna: she", "Anna: ", {"mark_after", "mark_inside"}),
        ("met Anna: she", "nna", {"mark_after", "cuts_word"}),
    ],
)
def test_form_by_hand(context, part, true):
    (found,) = features_of("", context, [span_of(context, part)])
    names = ("cuts_name_before", "cuts_name_after", "mark_before", "mark_after", "mark_inside", "cuts_word")
    assert {name for name in names if found[name]} == true


# By hand: answers of other questions

FOUR = "aa bb cc dd"
HIGH, LOW = sigmoid(1), sigmoid(-1)  # logits 1 and -1: of mean 0 and deviation 1 already


def test_competing_question_by_hand():
    rarity = GivenRarity(bb=1, dd=1)
    competing = [((0, 5), "dd", [HIGH, HIGH, LOW, LOW]), ((0, 2), "bb", [LOW, HIGH, LOW, HIGH])]
    spans = [(0, 2), (0, 5), (6, 8)]
    found = features_of("dd", FOUR, spans, [HIGH, LOW, LOW, HIGH], rarity, competing)
    # "aa" is the second competing answer, "aa bb" the first; "cc" is none.
    assert [each["overlap_with_competing_answer"] for each in found] == [1, 1, 0]
    # "aa" has a logit of -1 for its question, 1 for this one; "aa bb" 1 and 0.
    assert [each["logit_for_competing_question"] for each in found] == pytest.approx([-1 - 1, 1 - 0, 0])
    # "aa" is 1 from "bb" and 3 from "dd"; the question of "aa bb" is the same as this one.
    nearer = math.exp(-1 / 8) - math.exp(-3 / 8)
    assert [each["nearness_to_competing_question"] for each in found] == pytest.approx([nearer, 0, 0])


def test_competing_question_has_tokens_of_its_own():
    """Another table row can have the context in other tokens."""
    text = ContextText(FOUR, GivenRarity())
    words, halves = np.array([(0, 2), (3, 5), (6, 8), (9, 11)]).T, np.array([(0, 5), (6, 11)]).T
    question = QuestionFeatures("", text, *words, [HIGH, LOW, HIGH, LOW])
    other = QuestionFeatures("", text, *halves, [LOW, HIGH])
    found = question.of([(0, 2), (3, 5), (6, 8), (9, 11)], [((0, 11), other)])
    assert found[:, COLUMN["mean_logit"]] == pytest.approx([1, -1, 1, -1])
    assert found[:, COLUMN["logit_for_competing_question"]] == pytest.approx([-1 - 1, -1 + 1, 1 - 1, 1 + 1])


# Contexts with next to nothing in them


def test_word_without_a_token_is_read_with_the_token_behind_it():
    text = ContextText("Anna met us and left", GivenRarity())
    read = QuestionFeatures("", text, np.array([0, 12]), np.array([4, 15]), [HIGH, LOW])
    found = read.of([(0, 4), (5, 8), (9, 11), (12, 15), (16, 20)])
    assert np.isfinite(found).all()
    # There is none behind the last word.
    assert found[:, COLUMN["mean_logit"]] == pytest.approx([1, -1, -1, -1, -1])


# Against slow loops


def slow_touched(pieces, span) -> list[int]:
    """Positions of the words or tokens that share a character with a span; else of the next one, or of the last."""
    touched = [position for position, (start, end) in enumerate(pieces) if max(start, span[0]) < min(end, span[1])]
    behind = [position for position, (_, end) in enumerate(pieces) if end > span[0]]
    return touched or [behind[0] if behind else len(pieces) - 1]


def slow_features(question, context, tokens, probs, rarity, span, competing=()) -> dict[str, float]:
    """Every feature of one span, looked up word by word and token by token."""
    inside = slow_touched(tokens, span)
    probs = [min(max(prob, 1e-6), 1 - 1e-6) for prob in probs]
    logits = [math.log(prob) - math.log(1 - prob) for prob in probs]
    mean = sum(logits) / len(logits)
    deviation = math.sqrt(sum((logit - mean) ** 2 for logit in logits) / len(logits))
    logits = [(logit - mean) / (deviation + 1e-9) for logit in logits]

    def mean_of(positions):
        return sum(logits[position] for position in positions) / len(positions)

    def f1_of(positions):
        return 2 * sum(probs[position] for position in positions) / (len(positions) + sum(probs))

    everywhere = range(len(tokens))
    of_length = [range(start, start + len(inside)) for start in everywhere if start + len(inside) <= len(tokens)]
    elsewhere = [mean_of(other) for other in of_length if not set(other) & set(inside)]
    any_span = [range(start, end) for start in everywhere for end in range(start + 1, min(start + 30, len(tokens)) + 1)]
    beside = [logits[position] for position in (inside[0] - 1, inside[-1] + 1) if 0 <= position < len(tokens)]

    words = word_spans(context) or [(0, len(context))]
    texts = [stem(context[start:end]) for start, end in words]
    own = slow_touched(words, span)
    rarities = [rarity.of(text) for text in texts]
    asked = {stem(question[start:end]) for start, end in word_spans(question)}
    in_all = sum(rarity.of(text) for text in asked) or 1

    def nearness_at(position):
        total = 0
        for text in asked:
            distances = [abs(position - other) for other in range(len(words)) if texts[other] == text]
            if distances:
                total += rarity.of(text) / in_all * math.exp(-min(distances) / 8)
        return total

    sentences = sentence_numbers(context, np.array([start for start, _ in words])).tolist()

    def match_of(sentence):
        there = {text for text, number in zip(texts, sentences, strict=True) if number == sentence}
        return sum(rarity.of(text) for text in there & asked) / in_all

    def is_name(position):
        letters = context[words[position][0] :].lstrip("$€£¥")
        return letters[:1].isupper() or letters[:1].isdigit()

    def goes_on(left):
        """Whether only white space stands between a word and the next."""
        return 0 <= left < len(words) - 1 and not context[words[left][1] : words[left + 1][0]].strip()

    nearness = max(nearness_at(position) for position in own)
    margin_of_occurrence = nearness_of_occurrence = 0
    others = []
    for start in range(len(words) - len(own) + 1):
        other = list(range(start, start + len(own)))
        is_same_text = [texts[position] for position in other] == [texts[position] for position in own]
        if is_same_text and not set(other) & set(own):
            others.append(other)
    if others:
        places = [(words[other[0]][0], words[other[-1]][1]) for other in others]
        means = [mean_of(slow_touched(tokens, place)) for place in places]
        margin_of_occurrence = mean_of(inside) - max(means)
        nearness_of_occurrence = nearness - max(nearness_at(position) for other in others for position in other)
    sentence_match = max(match_of(sentences[own[0]]), match_of(sentences[own[-1]])) - max(map(match_of, sentences))
    nearness_to_best = nearness - max(nearness_at(position) for position in range(len(words)))
    overlap = logit_of_other = nearness_of_other = 0
    for other_answer, other_question, other_probs in competing:
        theirs = slow_touched(words, other_answer)
        shared = 2 * len(set(theirs) & set(own)) / (len(theirs) + len(own))
        if shared > overlap:
            for_other = slow_features(other_question, context, tokens, other_probs, rarity, span)
            overlap = shared
            logit_of_other = for_other["mean_logit"] - mean_of(inside)
            nearness_of_other = for_other["nearness"] + for_other["sentence_match"] - nearness_to_best - sentence_match
    text = context[span[0] : span[1]]
    return {
        "mean_logit": mean_of(inside),
        "lowest_logit": min(logits[position] for position in inside),
        "lowest_edge_logit": min(logits[inside[0]], logits[inside[-1]]),
        "highest_logit_beside": max(beside) if beside else min(logits),
        "margin": mean_of(inside) - (max(elsewhere) if elsewhere else 0),
        "margin_of_occurrence": margin_of_occurrence,
        "expected_f1": f1_of(inside) / max(f1_of(other) for other in any_span),
        "sentence_match": sentence_match,
        "nearness": nearness_to_best,
        "nearness_of_occurrence": nearness_of_occurrence,
        "share_in_question": sum(texts[p] in asked and rarities[p] > 0.5 for p in own) / len(own),
        "num_words": math.log(len(own)),
        "rarity_of_first_word": rarities[own[0]],
        "rarity_of_last_word": rarities[own[-1]],
        "mean_rarity": sum(rarities[position] for position in own) / len(own),
        "rarity_before": rarities[own[0] - 1] if own[0] > 0 else 0,
        "rarity_after": rarities[own[-1] + 1] if own[-1] < len(words) - 1 else 0,
        "cuts_name_before": goes_on(own[0] - 1) and is_name(own[0] - 1) and is_name(own[0]),
        "cuts_name_after": goes_on(own[-1]) and is_name(own[-1]) and is_name(own[-1] + 1),
        "mark_before": not goes_on(own[0] - 1),
        "mark_after": not goes_on(own[-1]),
        "mark_inside": any(a in ",;:.!?" and b.isspace() for a, b in itertools.pairwise(text)),
        "share_of_names": sum(is_name(position) for position in own) / len(own),
        "cuts_word": cuts_word(context, span),
        "overlap_with_competing_answer": overlap,
        "logit_for_competing_question": logit_of_other,
        "nearness_to_competing_question": nearness_of_other,
    }


PIECES = [
    "Anna", "anna", "Berg", "met", "the", "in", "Oslo", "1817", "1,000", "$40", "mid-1990s", "C#", "performed",
    "performance", "漢字", "ไทย", "Étoile", "😀", "—", "(", ")", ", ", ". ", "! ", "? ", "。", "“", "”", "-",
]  # fmt: skip
CONTEXTS = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(["", " ", " "])).map("".join), min_size=1).map(
    "".join
)
QUESTIONS = st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join)


@st.composite
def spans_of(draw, tokens):
    """From a character of a token to one of a later token."""
    first, last = sorted(draw(st.tuples(*[st.integers(0, len(tokens) - 1)] * 2)))
    start = draw(st.integers(tokens[first][0], tokens[first][1] - 1))
    return start, draw(st.integers(max(start, tokens[last][0]) + 1, tokens[last][1]))


@settings(PROPERTY)
@given(CONTEXTS, QUESTIONS, st.data())
@example("Anna", "Anna", None)
@example("—", "", None)
@example("😀😀", "Anna", None)
@example(" ".join(["Anna met"] * 40), "met", None)
def test_features_agree_with_slow_loops(context, question, data):
    tokens = tokens_of(context)
    competing = []
    if data is None:
        probs = [(7 * number % 10 + 0.5) / 11 for number in range(len(tokens))]
        spans = [tokens[0], (tokens[0][0], tokens[-1][1])]
    else:
        probabilities = st.sampled_from([0.0, 1.0, 0.5]) | st.floats(0, 1)
        probs_of_context = st.lists(probabilities, min_size=len(tokens), max_size=len(tokens))
        probs = data.draw(probs_of_context)
        spans = data.draw(st.lists(spans_of(tokens), min_size=1, max_size=4))
        competing = data.draw(st.lists(st.tuples(spans_of(tokens), QUESTIONS, probs_of_context), max_size=3))
    rarity = WordRarity([context, "Anna in the city", "the 1817 men"])
    for span, found in zip(spans, features_of(question, context, spans, probs, rarity, competing), strict=True):
        expected = slow_features(question, context, tokens, probs, rarity, span, competing)
        assert set(expected) == set(FEATURES)
        for name in FEATURES:
            assert found[name] == pytest.approx(float(expected[name]), rel=1e-5, abs=1e-5), name


@settings(PROPERTY)
@given(CONTEXTS)
@example(" ".join(["Anna met"] * 10))
def test_candidates_are_the_spans_of_up_to_twelve_whole_words_within_a_sentence(context):
    words = word_spans(context) or [(0, len(context))]
    sentences = sentence_numbers(context, np.array([start for start, _ in words])).tolist()
    question = read_context("", context)
    expected = []
    for first in range(len(words)):
        for num_words in range(1, 13):
            covered = sentences[first : first + num_words]
            if len(covered) == num_words and len(set(covered)) == 1:
                expected.append((words[first][0], words[first + num_words - 1][1]))
    found = question.text.candidates
    assert found.pairs == expected
    assert np.isfinite(question.of(found)).all()
    assert np.array_equal(question.of(found), question.of(expected))


def test_sequence_of_words_begins_again_where_it_does_not_touch_itself():
    text = ContextText("a b a b a c", GivenRarity())
    assert [text.other_places(0, length) for length in (1, 2, 3, 4)] == [[2, 4], [2], [], []]
    assert text.other_places(2, 4) == [0]
    assert text.other_places(5, 6) == []
    # The hundred nearest on either side are enough.
    assert ContextText("a " * 500, GivenRarity()).other_places(250, 251) == [*range(150, 250), *range(251, 350)]
