"""Aligning answer spans with tokens."""

import unicodedata

import numpy as np
import pytest
from conftest import cases, make_example
from hypothesis import example, given
from hypothesis import strategies as st
from text_strategies import TEXTS, slow_labels

from span_label_errors.spans.alignment import (
    DEFAULT_LABEL_MAP,
    AnswerSpan,
    TokenizedText,
    answer_spans,
    check_label_map,
    span_classes,
    token_labels,
    tokenize_texts,
)

LABEL_MAP = {"PERSON": 0, "O": 1, "CITY": 2, "YEAR": 3}  # O in the middle: nothing may count on column 0
CLASSES = ["PERSON", "CITY", "YEAR"]
PROPERTY = cases(150)


def tokens_of(text: str, *pieces: str) -> TokenizedText:
    """Tokens that cover the given pieces of a text, found from left to right."""
    starts, end = [], 0
    for piece in pieces:
        starts.append(text.index(piece, end))
        end = starts[-1] + len(piece)
    ends = [start + len(piece) for start, piece in zip(starts, pieces, strict=True)]
    return TokenizedText(np.arange(len(pieces)), np.array(starts, dtype=int), np.array(ends, dtype=int))


def answer_tokens(tokenizer, text: str, answer: str) -> list[str]:
    """Return the pieces of the text that an answer labels."""
    (tokens,) = tokenize_texts(tokenizer, [text])
    start = text.index(answer)
    labels = token_labels(tokens, [AnswerSpan("ANS", start, start + len(answer))], DEFAULT_LABEL_MAP)
    return [piece for piece, label in zip(tokens.texts(text), labels[:, 1], strict=True) if label]


# token_labels


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("of 1817", [0, 0, 0, 1, 1, 1]),  # at the last character, two pieces of a word
        ("Paris is capital of 1817", [1, 1, 1, 1, 1, 1]),  # the whole text
        ("81", [0, 0, 0, 0, 1, 1]),  # cut inside a word, across its two pieces "18" and "17"
        ("17", [0, 0, 0, 0, 0, 1]),  # the second piece only
        (" is ", [0, 1, 0, 0, 0, 0]),  # spaces belong to no token; the neighbours stay outside
        ("f 1", [0, 0, 0, 1, 1, 0]),  # the last character of one token and the first of another
    ],
)
def test_tokens_that_share_a_character_with_the_answer_are_labelled(answer, expected):
    text = "Paris is capital of 1817"
    tokens = tokens_of(text, "Paris", "is", "capital", "of", "18", "17")
    start = text.rindex(answer) if answer == "17" else text.index(answer)
    labels = token_labels(tokens, [AnswerSpan("ANS", start, start + len(answer))], DEFAULT_LABEL_MAP)
    assert labels[:, 1].tolist() == expected
    assert labels[:, 0].tolist() == [1 - label for label in expected]
    assert labels.dtype == np.int8


def test_overlapping_classes_both_mark_a_token_and_o_stands_where_no_class_is():
    text = "Marie Curie in Paris"
    tokens = tokens_of(text, "Marie", "Curie", "in", "Paris")
    spans = [
        AnswerSpan("PERSON", 0, 11),
        AnswerSpan("CITY", 6, 7),
        AnswerSpan("CITY", 15, 20),
        AnswerSpan("YEAR", 0, 20),
    ]
    label_map = {"O": 0, "PERSON": 1, "CITY": 2}
    assert token_labels(tokens, spans[:3], label_map).tolist() == [
        [0, 1, 0],  # Marie
        [0, 1, 1],  # Curie, whose "C" is a CITY too
        [1, 0, 0],  # in
        [0, 0, 1],  # Paris
    ]
    # With a class over everything, O is nowhere.
    assert token_labels(tokens, spans, LABEL_MAP)[:, LABEL_MAP["O"]].tolist() == [0, 0, 0, 0]


# With real tokenizers


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        # "Skło" ends in the piece "od" of "Sk", "ł", "od", "ows", "ka".
        ("Marie Skłodowska", "Skło", ["Sk", "ł", "od"]),
        # Accents are stripped by the model and kept in the text; the precomposed é is one character.
        ("Un café noir", "café", ["café"]),
        # A combining accent inside a word is a character of its token; the word is cut into "et" and "ude".
        ("une e\u0301tude", "e\u0301", ["e\u0301t"]),
        # An astral character counts one, as in Python: the offsets behind it do not shift.
        ("😀😀 in Oslo", "Oslo", ["Oslo"]),
        # A zero-width space at the edge of the answer is thrown away, the word is not.
        ("in \u200bOslo now", "\u200bOslo", ["Oslo"]),
    ],
)
def test_words_that_an_answer_labels(text, answer, expected, embedded_tokenizer):
    assert answer_tokens(embedded_tokenizer, text, answer) == expected


def test_texts_of_any_length_are_neither_cut_nor_given_special_tokens(tokenizer):
    texts = ["the " * 1000, "", "the"]
    assert [len(tokens.token_ids) for tokens in tokenize_texts(tokenizer, texts)] == [1000, 0, 1]
    assert tokenize_texts(tokenizer, []) == []


def test_text_without_tokens_has_empty_arrays_of_integers(tokenizer):
    (tokens,) = tokenize_texts(tokenizer, [" \u200b"])
    assert [(array.shape, array.dtype) for array in tokens] == [((0,), np.int32)] * 3
    assert token_labels(tokens, [], DEFAULT_LABEL_MAP).shape == (0, 2)


@PROPERTY
@given(TEXTS)
@example("[SEP]")
@example("a[CLS]b [PAD][MASK] [sep]")
def test_no_text_yields_a_special_token(tokenizer, text):
    special = {
        tokenizer.sep_token_id, tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id,
    }  # fmt: skip
    assert len(special) == 4
    for forged in (text, f"[SEP]{text}", f"{text} [CLS]", text[:3] + "[PAD]" + text[3:]):
        (tokens,) = tokenize_texts(tokenizer, [forged])
        assert special.isdisjoint(tokens.token_ids.tolist())


def visible(text: str) -> str:
    """Letters, numbers, punctuation and symbols as an uncased BERT reads them: decomposed, each in lower case.

    U+FFFD is a symbol that BERT throws away; accents, controls and private-use characters are none.
    """
    kept = [c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c)[0] in "LNPS" and c != "\ufffd"]
    return "".join(c.lower() for c in kept)


@PROPERTY
@given(TEXTS)
@example("0\U000f00000 e\u0301\u0301t\ue000x \ufffd1\ufffd2 한국 नमस्ते")
def test_tokens_are_slices_of_the_text_in_order(tokenizer, text):
    (tokens,) = tokenize_texts(tokenizer, [text])
    starts, ends = tokens.char_start.tolist(), tokens.char_end.tolist()
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    pieces = tokens.texts(text)
    names = tokenizer.convert_ids_to_tokens(tokens.token_ids.tolist())
    assert len(pieces) == len(names) == len(starts)
    for start, end, piece, name in zip(starts, ends, pieces, names, strict=True):
        assert 0 <= start < end <= len(text)
        assert piece == "".join(text[index] for index in range(start, end))
        # The slice holds what the token says; one character may be written as several tokens.
        assert name == tokenizer.unk_token or visible(name.removeprefix("##")) in visible(piece)


RANGES = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@PROPERTY
@given(st.lists(RANGES, max_size=10), st.lists(st.tuples(st.sampled_from(CLASSES), RANGES), max_size=5))
def test_labels_agree_with_the_reference_for_tokens_of_any_offsets(token_ranges, answers):
    starts, ends = np.array(sorted(token_ranges), dtype=int).reshape(-1, 2).T
    tokens = TokenizedText(np.zeros(len(starts), dtype=int), starts, ends)
    spans = [AnswerSpan(class_name, start, end) for class_name, (start, end) in answers]
    covered = {index for start, end in token_ranges for index in range(start, end)}
    if all(covered & set(range(span.char_start, span.char_end)) for span in spans):
        assert token_labels(tokens, spans, LABEL_MAP).tolist() == slow_labels(sorted(token_ranges), spans, LABEL_MAP)
    else:
        with pytest.raises(ValueError, match="to cover a token, found none"):
            token_labels(tokens, spans, LABEL_MAP)


# answer_spans

TEXT = "Marie Curie met Pierre Curie in Paris in 1894 or in Rome in 1894."


def answered(*answers: tuple[str, str, int]) -> dict:
    """An example on TEXT with answers (label, text, start)."""
    labels, texts, starts = ([*column] for column in zip(*answers, strict=True)) if answers else ([], [], [])
    return {"id": "q1", "context": TEXT, "answers": {"text": texts, "answer_start": starts, "label": labels}}


def test_the_first_answer_of_each_class_counts_or_all():
    example = answered(("CITY", "Paris", 32), ("PERSON", "Marie Curie", 0), ("CITY", "Rome", 52), ("YEAR", "1894", 41))
    first = [("CITY", 32, 37), ("PERSON", 0, 11), ("YEAR", 41, 45)]
    assert answer_spans(example, LABEL_MAP) == first
    assert answer_spans(example, LABEL_MAP, "all") == [*first[:2], ("CITY", 52, 56), first[2]]


def test_of_every_annotator_the_answer_that_agrees_most_counts():
    example = answered(
        ("YEAR", "1894", 60), ("CITY", "Rome", 52), ("YEAR", "in 1894", 38), ("YEAR", "1894", 41), ("YEAR", "1894", 41)
    )
    assert answer_spans(example, LABEL_MAP, "each") == [("YEAR", 41, 45), ("CITY", 52, 56)]


@pytest.mark.parametrize("example", [make_example("a", TEXT, "Who?"), answered(), {"id": "a"}, {"answers": None}])
def test_question_without_an_answer_has_no_span(example):
    assert answer_spans(example, LABEL_MAP) == answer_spans(example, LABEL_MAP, "all") == []


@pytest.mark.parametrize("answers", [{}, {"label": [""]}, {"label": ["NAME"]}])
def test_answers_without_a_label_belong_to_the_only_class(answers):
    example = {"id": "a", "context": TEXT, "answers": {"text": ["Marie"], "answer_start": [0], **answers}}
    assert answer_spans(example, {"NAME": 0, "O": 1}) == [("NAME", 0, 5)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Un cafe\u0301 noir", ["Un", "cafe\u0301", "noir"]),  # the accent stands behind its letter, at the word's end
        ("नमस्ते", ["न", "म", "स्", "ते"]),  # virama and vowel sign stay with their letters
        ("a \u0301b", ["a", "b"]),  # a mark behind a space belongs to no token
    ],
)
def test_token_keeps_the_combining_marks_at_its_end(embedded_tokenizer, text, tokens):
    assert tokenize_texts(embedded_tokenizer, [text])[0].texts(text) == tokens


@pytest.mark.parametrize("label", ["RIVER", "city", "O", ""])
def test_label_that_marks_no_span_raises_and_names_the_classes(label):
    with pytest.raises(ValueError) as raised:
        answer_spans(answered(("CITY", "Paris", 32), (label, "Rome", 52)), LABEL_MAP)
    assert str(raised.value) == (
        "expected the label of each answer to be one of ['PERSON', 'CITY', 'YEAR'], "
        f"found {label!r}; pass the label_map that belongs to this data"
    )


# check_label_map


def test_label_map_is_ordered_by_column():
    checked = check_label_map({"YEAR": 2, "O": 1, "CITY": 0})
    assert list(checked.items()) == [("CITY", 0), ("O", 1), ("YEAR", 2)]
    assert span_classes({"YEAR": 2, "O": 1, "CITY": 0}) == ["CITY", "YEAR"]


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (None, "expected a dict such as {'O': 0, 'ANS': 1}"),
        ({"O": 0, 1: 1}, "expected a dict such as {'O': 0, 'ANS': 1}"),
        ({"O": 0}, "expected 'O' and at least one span class"),
        ({"o": 0, "ANS": 1}, "expected 'O' and at least one span class"),
        ({"O": 1, "ANS": 2}, "expected the columns 0 to 1"),
        ({"O": 0, "ANS": 0}, "expected the columns 0 to 1"),
        ({"O": 0, "ANS": True}, "expected the columns 0 to 1"),
        ({"O": 0, "ANS": 1.0}, "expected the columns 0 to 1"),
    ],
)
def test_label_map_that_does_not_number_its_classes(label_map, message):
    with pytest.raises(ValueError) as raised:
        check_label_map(label_map)
    assert str(raised.value) == f"label_map: {message}, found {label_map!r}"


@pytest.mark.parametrize("name", ["A/B", "../A", "-A", " A", "A\n", "A\\B", "e\u0301", "😀"])
def test_name_that_no_file_could_have_is_refused(name):
    with pytest.raises(ValueError) as raised:
        check_label_map({"O": 0, name: 1})
    assert str(raised.value) == (
        f"label_map: expected class names of letters, digits, '_', '-', '.' and spaces, found {name!r}; "
        "a class is part of a file's name, so rename it in the data"
    )


@pytest.mark.parametrize("name", ["A", "_", "7", "A-B.c d_9", "é", "漢字"])
def test_name_of_letters_and_digits_is_accepted(name):
    assert check_label_map({name: 1, "O": 0}) == {"O": 0, name: 1}
