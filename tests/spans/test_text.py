"""Words and sentences of a text."""

import numpy as np
import pytest
from conftest import cases
from hypothesis import example, given
from hypothesis import strategies as st

from span_label_errors.spans.text import (
    cuts_letter_or_number,
    cuts_word,
    mark_places,
    overlaps,
    sentence_numbers,
    stem,
    word_spans,
)

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
        ("ไทย abc", ["ไท", "ย", "abc"]),
        # Astral letters and symbols.
        ("𝐀𝐁 😀 x", ["𝐀𝐁", "x"]),
        # Digits of any script, and what stands within a number.
        ("१,२५,००० और ١٢٬٥٠٠٫٥، ๑๒,๕๐๐คน", ["१,२५,०००", "और", "١٢٬٥٠٠٫٥", "๑๒,๕๐๐", "ค", "น"]),
        ("１２，５００人、１９９０，１９９１", ["１２，５００", "人", "１９９０", "１９９１"]),
        (
            "12\u00a0500 vuonna\u00a01990, 7\u202f200\u00a0500 \u00a0500",
            ["12\u00a0500", "vuonna", "1990", "7\u202f200\u00a0500", "500"],
        ),
        ("₹500 ₪40 50٪", ["₹500", "₪40", "50٪"]),
        # Hebrew marks an abbreviation before its last letter; elsewhere the same sign is a quotation mark.
        ('ד"ר, קק״ל; ג׳ורג׳ בן־ארי', ['ד"ר', "קק״ל", "ג׳ורג׳", "בן־ארי"]),
        ('ב"הארץ" ו״מעריב״', ["ב", "הארץ", "ו", "מעריב"]),
        # Vowels before and behind their consonant, closed syllables, silent and stacked consonants, in scripts without
        # spaces; katakana, iteration and length marks, small and half-width kana.
        ("เมืองตั้งชื่อน้ำจะ", ["เมือ", "ง", "ตั้ง", "ชื่อ", "น้ำ", "จะ"]),
        ("วันจันทร์", ["วัน", "จัน", "ทร์"]),
        ("ເມືອງ ວັນ", ["ເມືອ", "ງ", "ວັນ"]),
        ("ខ្មែរ မြန်မာ", ["ខ្មែ", "រ", "မြ", "န်", "မာ"]),
        ("ガラス工場のキャベツ", ["ガラス", "工", "場", "の", "キャベツ"]),
        ("佐々木らーめんしゃｶﾞﾗｽ", ["佐々", "木", "らー", "め", "ん", "しゃ", "ｶﾞﾗｽ"]),
        ("アンナ・ベルク", ["アンナ", "ベルク"]),
        ("葛\U000e0100城", ["葛\U000e0100", "城"]),  # a variant of the character
        # Characters without width hold a word together.
        ("می\u200cکنند co\u00adop ක්\u200dරම", ["می\u200cکنند", "co\u00adop", "ක්\u200dරම"]),
        ("Ինչո՞ւ col·lecció", ["Ինչո՞ւ", "col·lecció"]),
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
        # Points and tatweel are seldom written; vowel signs are letters.
        ("אַבְרָהָם", "אברהם"),
        ("مُحَمَّـد", "محمد"),
        ("नमस्ते", "नमस्ते"),
        # A particle behind two syllables does not count.
        ("부산에서", "부산"),
        ("부산", "부산"),
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
        ("यह है। वह था॥ अब", [0, 7, 15], [0, 1, 2]),
        ("هذا؟ نعم. لا", [0, 5, 10], [0, 1, 2]),
        ("Ποιος; Αυτός; Έλα", [0, 7, 14], [0, 1, 2]),
        ("One; Two", [0, 5], [0, 0]),  # Greek only
        ("በ ዓ.ም. በ ተወለደ ። ሥራ", [0, 7, 17], [0, 0, 1]),  # a text with a full stop of its own
        ("डॉ. राम है। डॉ. श्याम", [0, 4, 12, 16], [0, 0, 1, 1]),
        ("ปี พ.ศ. ๒๔๖๐ คน", [0, 3, 8], [0, 0, 0]),  # a script that has none
        ("「はい。」と言う。次", [1, 5, 9], [0, 1, 2]),  # what closes a quotation belongs to the sentence
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
        ("เมือง", "เ"),  # a vowel before its consonant
        ("น้ำมา", "น้ำม"),  # and behind
        ("ตั้งแต่", "ตั้"),  # an open syllable that must be closed
        ("๒๔๖๐ คน", "๒๔"),
        ("１２，５００人", "１２"),
        ("12\u00a0500 henkeä", "12"),
        ("١٢٬٥٠٠", "١٢"),
        ("キャベツ", "キ"),
        ("ラーメン", "ラ"),
        ("می\u200cکنند", "می"),
        ("קק״ל נטעה", "קק"),
        ("שָׁלוֹם", "ש"),
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
        ("ปี๒๔๖๐", "๒๔๖๐"),
        ("サッカーチーム", "サッカー"),  # a compound
        ("１９９０，１９９１年", "１９９０"),
        ("1990\u00a0500", "1990"),
        ('ב"הארץ"', "הארץ"),
        ("Ankara'dan", "Ankara"),
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
    ("text", "borders"),
    [
        ("cafe\u0301s", {4}),
        ("\u0301a", set()),
        ("की", {1}),
        ("1990s", {1, 2, 3}),
        ("1,50", {1, 2, 3}),
        ("น้ำมา", {1, 2, 4}),
        ("ไทย", {1}),
        ("キャラ", {1}),
        ("קק״ל", {2, 3}),
    ],
)
def test_letters_and_numbers_are_cut_where_their_parts_meet(text, borders):
    assert {border for border in range(len(text) + 1) if cuts_letter_or_number(text, border)} == borders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One, two; three. Four", [3, 8, 15]),  # and not the last word
        ("1,000 a.m", []),
        ("一、二，三。", [1, 3, 5]),
        ("１２，５００人", []),
        ("هذا، نعم؟", [3, 8]),
    ],
)
def test_mark_places(text, expected):
    assert mark_places(text).tolist() == expected
