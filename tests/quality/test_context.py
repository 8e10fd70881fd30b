"""The words of a context and its spans, against values worked out by hand and against slow loops."""

import math

import numpy as np
import pytest
from conftest import cases
from hypothesis import example, given
from hypothesis import strategies as st
from text_strategies import TEXTS, span_of, touched_words

from span_label_errors.quality.affixes import NO_AFFIXES, Affixes
from span_label_errors.quality.context import ContextText, TextSpans, WordRarity, ranges_touched
from span_label_errors.spans.text import cuts_word, sentence_numbers, word_spans

PIECES = [
    "Anna",
    "met ",
    "the",
    "al",
    "da ",
    " ",
    "1,000 ",
    "漢字",
    "Étoile",
    "😀",
    "—",
    ", ",
    ". ",
    "! ",
    "。",
    "e\u0301",
]
CONTEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join) | TEXTS.filter(bool)


def text_of(context: str) -> ContextText:
    return ContextText(context, WordRarity([context]))


def spans_in(text: ContextText, *spans: tuple[int, int]) -> TextSpans:
    return TextSpans(text, *np.array(spans).T)


def pairs(spans: TextSpans) -> list[tuple[int, int]]:
    return list(zip(spans.char_start.tolist(), spans.char_end.tolist(), strict=True))


# Rarity


def test_rarity_by_hand():
    rarity = WordRarity(["Rome or Oslo or Rome", "rome and Lima", "Rome and Lima.", "Rome and Lima."])
    # Three contexts: what a context repeats, and an equal context, count once.
    assert rarity.of("rome") == pytest.approx(math.log(4 / 3.5))
    assert rarity.of("lima") == pytest.approx(math.log(4 / 2.5))
    assert rarity.of("oslo") == pytest.approx(math.log(4 / 1.5))
    assert rarity.of("cairo") == pytest.approx(math.log(4 / 0.5))
    assert rarity.of("Rome") == rarity.of("cairo")  # it asks for a stem


# Spans


def test_spans_within_sentences_by_hand():
    context = "Anna met us. He left"
    found = text_of(context).spans_within_sentences(2)
    assert [context[slice(*span)] for span in pairs(found)] == [
        "Anna", "Anna met", "met", "met us", "us", "He", "He left", "left",
    ]  # fmt: skip
    assert found.num_words.tolist() == [1, 2, 1, 2, 1, 1, 2, 1]


# Answers that leave "al" out at the beginning of a word, and "da" at its end, each three times.
HABIT = Affixes(
    [(f"al{name}", (2, len(name) + 2)) for name in ("Anna", "Bruno", "Carla")]
    + [(f"{name}da", (0, len(name))) for name in ("Rome", "Oslo", "Lima")]
)


def test_spans_begin_and_end_beside_affixes():
    context = "alXda yy"
    found = ContextText(context, WordRarity([context]), HABIT).spans_within_sentences(2)
    assert [context[slice(*span)] for span in pairs(found)] == [
        "alXda", "alX", "Xda", "X", "alXda yy", "Xda yy", "yy",
    ]  # fmt: skip
    assert found.num_words.tolist() == [1, 1, 1, 1, 2, 2, 1]
    assert not found.features["cuts_word"].any()
    # What is nothing but affixes has no span inside out.
    found = ContextText("alda", WordRarity([]), HABIT).spans_within_sentences(1)
    assert pairs(found) == [(0, 4), (0, 2), (2, 4)]


@cases(150)
@given(CONTEXTS, st.integers(1, 6), st.booleans())
@example("Anna met " * 10, 6, True)
@example("—", 1, True)
@example("alda alalda", 2, True)
def test_spans_within_sentences_are_those_of_a_slow_loop(context, max_words, has_affixes):
    words = word_spans(context) or ((0, len(context)),)
    sentences = sentence_numbers(context, np.array([start for start, _ in words])).tolist()
    at_start, at_end = (("al",), ("da",)) if has_affixes else ((), ())

    def starts(start, end):
        return [start, *(start + len(affix) for affix in at_start if context[start : end - 1].startswith(affix))]

    def ends(start, end):
        return [end, *(end - len(affix) for affix in at_end if context[start + 1 : end].endswith(affix))]

    expected = [
        (char_start, char_end)
        for first in range(len(words))
        for last in range(first, min(first + max_words, len(words)))
        if sentences[first] == sentences[last]
        for char_start in starts(*words[first])
        for char_end in ends(*words[last])
        if char_start < char_end
    ]
    text = ContextText(context, WordRarity([context]), HABIT if has_affixes else NO_AFFIXES)
    found = text.spans_within_sentences(max_words)
    assert sorted(pairs(found)) == sorted(expected)
    assert len(set(expected)) == len(expected)


@cases(150)
@given(CONTEXTS, st.data())
def test_words_of_a_span_are_those_it_shares_a_character_with(context, data):
    words = word_spans(context) or ((0, len(context)),)
    start = data.draw(st.integers(0, len(context) - 1))
    span = (start, data.draw(st.integers(start + 1, len(context))))
    spans = spans_in(text_of(context), span)
    # A span without one has the next one behind it, or the last.
    behind = [position for position, (_, end) in enumerate(words) if end > start]
    expected = touched_words(words, span) or {behind[0] if behind else len(words) - 1}
    assert set(range(int(spans.word_start[0]), int(spans.word_end[0]))) == expected
    assert spans.num_words.tolist() == [len(expected)]
    values = np.sin(np.arange(len(words)))
    assert spans.words.highest(values) == pytest.approx([max(values[position] for position in expected)])
    assert spans.words.sum(values) == pytest.approx([sum(values[position] for position in expected)])
    assert spans.features["cuts_word"].tolist() == [cuts_word(context, span)]


def test_ranges_touched_by_hand():
    pieces = np.array([0, 4, 8]), np.array([3, 7, 9])
    spans = [(0, 3), (2, 5), (0, 9), (3, 4), (7, 8), (9, 12)]
    first, behind = ranges_touched(*pieces, *np.array(spans).T)
    # Between two pieces, it is the next one; behind all, the last.
    assert list(zip(first.tolist(), behind.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3), (2, 3)]


def test_word_f1_by_hand():
    text = text_of("aa bb cc dd")
    spans = spans_in(text, (0, 2), (0, 5), (6, 8), (0, 11))
    # "bb cc" shares nothing with "aa", one word of 2 + 2 with "aa bb", of 1 + 2 with "cc", two of 4 + 2 with all.
    assert spans.highest_word_f1([(3, 8)]) == pytest.approx([0, 2 / 4, 2 / 3, 4 / 6])
    # Beside it "aa", which all but "cc" share.
    assert spans.highest_word_f1([(3, 8), (0, 2)]) == pytest.approx([1, 2 / 3, 2 / 3, 4 / 6])


# Nearness


def test_nearness_by_hand():
    near = text_of("aa bb cc bb dd").nearness({"aa": 3.0, "bb": 1.0, "zz": 4.0})

    def closeness(distance):
        return math.exp(-distance / 8)

    # The nearest "bb" counts; "zz" is not there, but asked for.
    expected = [
        3 * closeness(0) + closeness(1),
        3 * closeness(1) + closeness(0),
        3 * closeness(2) + closeness(1),
        3 * closeness(3) + closeness(0),
        3 * closeness(4) + closeness(1),
    ]
    assert near == pytest.approx(np.array(expected) / 8)
    assert text_of("aa bb").nearness({}).tolist() == [0, 0]


# The form of a span


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
    found = spans_in(text_of(context), span_of(context, part)).features
    names = ("cuts_name_before", "cuts_name_after", "mark_before", "mark_after", "mark_inside", "cuts_word")
    assert {name for name in names if found[name][0]} == true


@pytest.mark.parametrize("part", ["₹40", "$40", "Anna", "๑๒"])
def test_numbers_are_names_with_and_without_a_currency(part):
    found = spans_in(text_of(f"paid {part} now"), (5, 5 + len(part)), (0, 5 + len(part)))
    assert found.features["share_of_names"].tolist() == [1, 1 / 2]


def test_rarities_and_names_by_hand():
    class Given:
        def of(self, word: str) -> float:
            return {"anna": 3.0, "oslo": 5.0, "left": 1.0}.get(word, 0.0)

    text = ContextText("Anna and Oslo left", Given())
    found = spans_in(text, (0, 8), (9, 18), (0, 18)).features
    assert found["rarity_of_first_word"].tolist() == [3, 5, 3]
    assert found["rarity_of_last_word"].tolist() == [0, 1, 1]
    assert found["mean_rarity"].tolist() == [1.5, 3, 9 / 4]
    # Outside of the context stands nothing.
    assert found["rarity_before"].tolist() == [0, 0, 0]
    assert found["rarity_after"].tolist() == [5, 0, 0]
    assert found["share_of_names"].tolist() == [1 / 2, 1 / 2, 2 / 4]
