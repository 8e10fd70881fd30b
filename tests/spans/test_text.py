"""Words and sentences of a text."""

import numpy as np
import pytest
from conftest import cases
from hypothesis import example, given
from hypothesis import strategies as st

from span_label_errors.spans.text import cuts_word, is_whole_words, overlaps, sentence_numbers, stem, word_spans

PROPERTY = cases(150)
# Letters with and without case, digits, joining marks, ends of sentences, characters without spaces between words.
TEXTS = st.text("aeZé9051ßΩж한عא$€%#+°.,'’-–!?\"”)( \n\u00a0_—“漢字のไทย。！𝐀😀", max_size=30)


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in word_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  — … !", []),
        ("In Rome, then Oslo.", ["In", "Rome", "then", "Oslo"]),
        # Marks that join the parts of a word, and marks that only stand beside one.
        ("l'Étoile d’Or mid-1990s 1817–1820", ["l'Étoile", "d’Or", "mid-1990s", "1817–1820"]),
        ("'tis the students' pre- and post-war", ["tis", "the", "students", "pre", "and", "post-war"]),
        ("1,000 or 8,848.86, not 1, 2", ["1,000", "or", "8,848.86", "not", "1", "2"]),
        ("and/or one—two three…four", ["and", "or", "one", "two", "three", "four"]),
        # Signs that belong to a word.
        ("$40 or €5 or £1,000", ["$40", "or", "€5", "or", "£1,000"]),
        ("#1 is 50 % + more", ["1", "is", "50", "more"]),
        # Other alphabets with spaces between words.
        ("Нева в Ἴωνες القاهرة שלום 한국 사람", ["Нева", "в", "Ἴωνες", "القاهرة", "שלום", "한국", "사람"]),
        # None between words: a character for a word; what is written in another script beside them stays whole.
        ("漢字のBERT、2012年", ["漢", "字", "の", "BERT", "2012", "年"]),
        ("ไทย abc", ["ไ", "ท", "ย", "abc"]),
        # Astral letters and symbols.
        ("𝐀𝐁 😀 x", ["𝐀𝐁", "x"]),
    ],
)
def test_words(text, expected):
    assert words_of(text) == expected


@pytest.mark.parametrize("word", ["e\u0301tude", "cafe\u0301", "नमस्ते", "שָׁלוֹם"])
def test_combining_marks_belong_to_their_word(word):
    assert words_of(f"one {word} two") == ["one", word, "two"]


@PROPERTY
@given(TEXTS)
@example("a-'b")
@example("$$5%%")
def test_words_are_in_order_and_hold_every_letter_and_digit(text):
    spans = word_spans(text)
    borders = [border for span in spans for border in span]
    assert borders == sorted(borders)
    assert all(start < end for start, end in spans)
    covered = {position for start, end in spans for position in range(start, end)}
    assert {position for position, character in enumerate(text) if character.isalnum()} <= covered
    assert not any(text[position].isspace() for position in covered)
    assert all(any(character.isalnum() or character == "_" for character in word) for word in words_of(text))


@PROPERTY
@given(TEXTS, TEXTS)
def test_space_separates_words(left, right):
    shift = len(left) + 1
    shifted = [(start + shift, end + shift) for start, end in word_spans(right)]
    assert word_spans(f"{left} {right}") == (*word_spans(left), *shifted)


# stem


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", ""),
        ("STRAẞE", "strass"),  # the folded form is longer than the word
        ("e\u0301tudes", "études"),  # six letters, however they are written
        ("Նապոլեոն", "նապոլե"),
        ("漢", "漢"),
    ],
)
def test_stem(word, expected):
    assert stem(word) == expected


@PROPERTY
@given(st.text(max_size=12))
def test_stem_is_short_and_the_same_for_longer_words(word):
    assert len(stem(word)) <= 6
    assert stem(f"letters{word}") == "letter"


# sentence_numbers


@pytest.mark.parametrize(
    ("text", "starts", "expected"),
    [
        ("One. Two! Three? Four", [0, 5, 10, 17], [0, 1, 2, 3]),
        ("One. Two", [0, 3, 4, 5, 7], [0, 0, 0, 1, 1]),  # the space between them belongs to the first
        ("He said “No.” Then he left.", [0, 9, 14], [0, 0, 1]),
        ("(It rained.) [So it did.]  We left.", [1, 14, 27], [0, 1, 2]),
        ("Approx. half of it. All", [0, 8, 20], [0, 0, 1]),  # a small letter goes on
        ("The U.S. Army", [0, 4, 9], [0, 0, 1]),  # as written here, a capital begins a sentence
        ("一。二！三？四", [0, 1, 2, 4, 6], [0, 0, 1, 2, 3]),
        ("One. Two. Three", [10, 0], [1, 0]),  # counts only sentences of the characters, in any order
    ],
)
def test_sentence_numbers(text, starts, expected):
    assert sentence_numbers(text, np.array(starts, dtype=int)).tolist() == expected


@PROPERTY
@given(TEXTS)
def test_sentence_numbers_rise_one_by_one(text):
    starts = np.array([start for start, _ in word_spans(text)], dtype=int)
    numbers = sentence_numbers(text, starts)
    assert numbers.shape == starts.shape
    assert set(np.diff(numbers, prepend=0).tolist()) <= {0, 1}


# cuts_word


def cuts(text: str, span: str) -> bool:
    start = text.index(span)
    return cuts_word(text, (start, start + len(span)))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("the sixth", "six"),
        ("about 2,850 km", "2,85"),
        ("about 2,850 km", "850"),
        ("the carbon-14 there", "carbon-1"),
        ("cafe\u0301 noir", "cafe"),  # the accent is left outside
        ("नमस्ते", "नमस"),  # so is the virama
        ("2012年", "20"),  # a number between characters without spaces
        ("ก็", "ก"),
    ],
)
def test_span_that_cuts(text, span):
    assert cuts(text, span)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("the mid-1990s", "1990s"),
        ("Bell's phone", "Bell"),
        ("in 1990, 2000 or 2010.", "2010."),
        ("$40 and 47%", "40"),
        ("snake_case", "snake"),
        ("Un cafe\u0301 noir", "cafe\u0301"),
        ("漢字の", "字"),
        ("😀Oslo😀", "Oslo"),
        ("", ""),
    ],
)
def test_span_that_does_not_cut(text, span):
    assert not cuts(text, span)


@PROPERTY
@given(TEXTS, st.data())
def test_borders_count_one_by_one_and_ends_of_the_text_cut_nothing(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    at_start, at_end = cuts_word(text, (start, len(text))), cuts_word(text, (0, end))
    assert cuts_word(text, (start, end)) == (at_start or at_end)
    assert not cuts_word(text, (0, len(text)))


def test_spans_overlap_where_they_share_a_character():
    others = [(0, 2), (0, 3), (2, 3), (3, 5), (4, 9), (5, 7), (0, 9)]
    expected = [False, True, True, True, True, False, True]
    assert [overlaps((2, 5), other) for other in others] == expected
    assert [overlaps(other, (2, 5)) for other in others] == expected
    assert overlaps(np.array(others).T, (2, 5)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "span", "is_whole"),
    [
        ("ab cd", (0, 2), True),
        ("ab cd", (3, 5), True),
        ("ab cd", (1, 2), False),  # inside a word
        ("_ab cd", (1, 3), False),  # an underscore is no border
        ("ab_ cd", (0, 2), False),
        ("(ab)", (1, 3), True),
    ],
)
def test_whole_words_have_no_letter_beside_them(text, span, is_whole):
    assert is_whole_words(text, span) == is_whole
