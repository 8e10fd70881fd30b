"""Cutting long contexts into windows."""

import numpy as np
import pytest
from conftest import WORDS, cases, make_example
from families import make_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from text_strategies import window_sizes

from span_label_errors.model.tokenizer import Template
from span_label_errors.model.windows import (
    IGNORED_LABEL,
    QuestionCutWarning,
    TokenizedExample,
    Window,
    build_windows,
    model_inputs,
    owning_window,
    tokenize_examples,
    training_item,
    window_ranges,
)
from span_label_errors.spans.alignment import DEFAULT_LABEL_MAP, TokenizedText

CLS, SEP, PAD = 101, 102, 7
BERT = Template((CLS,), (SEP,), (SEP,), PAD)
WHOLE_WORDS = [word for word in WORDS if word.isalpha()]
PROPERTY = cases(200)


def text_of_ids(*ids: int) -> TokenizedText:
    """Tokens of one character each."""
    count = len(ids)
    return TokenizedText(np.array(ids, dtype=np.int64), np.arange(count), np.arange(1, count + 1))


def tokenized(question_ids: list[int], context_ids: list[int]) -> TokenizedExample:
    """An example whose token i has the label row (1000 + i, 2000 + i), to be told apart from any other."""
    count = len(context_ids)
    labels = np.stack([1000 + np.arange(count), 2000 + np.arange(count)], axis=1)
    return TokenizedExample(text_of_ids(*question_ids), text_of_ids(*context_ids), labels, 0)


# window_ranges and owning_window


@pytest.mark.parametrize(
    ("num_tokens", "window_size", "doc_stride", "expected"),
    [
        (3, 4, 1, [(0, 3)]),  # shorter than a window
        (4, 4, 3, [(0, 4)]),  # as long as a window: no second one
        (5, 4, 0, [(0, 4), (4, 5)]),  # no overlap
        (8, 4, 0, [(0, 4), (4, 8)]),
        (6, 4, 2, [(0, 4), (2, 6)]),  # the second window ends with the text: no third
        (7, 4, 2, [(0, 4), (2, 6), (4, 7)]),  # the last window is shorter
        (4, 2, 1, [(0, 2), (1, 3), (2, 4)]),
        (3, 1, 0, [(0, 1), (1, 2), (2, 3)]),  # windows of one token
    ],
)
def test_windows_of_a_text(num_tokens, window_size, doc_stride, expected):
    assert window_ranges(num_tokens, window_size, doc_stride) == expected


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([(0, 3)], [0, 0, 0]),
        # Context on the smaller side is 0 1 1 0 in each: token 2 is 1 against 0, token 3 is 0 against 1.
        ([(0, 4), (2, 6)], [0, 0, 0, 1, 1, 1]),
        # The middle token of the overlap 2 3 4 is as good in both, 1 against 1: the earlier window owns it.
        ([(0, 5), (2, 7)], [0, 0, 0, 0, 1, 1, 1]),
        # 0 1 2 1 0, then 0 1 0 from token 3 on: token 3 is 1 against 0, token 4 is 0 against 1.
        ([(0, 5), (3, 6)], [0, 0, 0, 0, 1, 1]),
        # No overlap.
        ([(0, 2), (2, 4), (4, 5)], [0, 0, 1, 1, 2]),
        # Three windows show token 2: 0 1 0 gives 0, then 1, then 0.
        ([(0, 3), (1, 4), (2, 5)], [0, 0, 1, 2, 2]),
    ],
)
def test_window_with_most_context_on_both_sides_owns_a_token(ranges, expected):
    assert owning_window(ranges).tolist() == expected


# build_windows


def test_windows_of_two_examples_by_hand():
    # Windows of 8 tokens: [CLS], one for the question, [SEP], four for the context, [SEP].
    windows = build_windows(
        [tokenized([50], [1, 2, 3, 4, 5, 6]), tokenized([50, 51], [9])], BERT, max_length=8, doc_stride=2
    )
    assert [window.input_ids.tolist() for window in windows] == [
        [CLS, 50, SEP, 1, 2, 3, 4, SEP],
        [CLS, 50, SEP, 3, 4, 5, 6, SEP],
        [CLS, 50, 51, SEP, 9, SEP],
    ]
    assert [window.example_index for window in windows] == [0, 0, 1]
    assert [(window.token_start, window.token_end) for window in windows] == [(0, 4), (2, 6), (0, 1)]
    assert [window.context_start for window in windows] == [3, 3, 4]
    assert [window.context_positions for window in windows] == [slice(3, 7), slice(3, 7), slice(4, 5)]
    assert [window.owned.tolist() for window in windows] == [
        [True, True, True, False],
        [False, True, True, True],
        [True],
    ]


def test_question_without_tokens_leaves_its_room_to_the_context():
    (window,) = build_windows([tokenized([], [1, 2, 3, 4, 5])], BERT, max_length=8, doc_stride=2)
    assert window.input_ids.tolist() == [CLS, SEP, 1, 2, 3, 4, 5, SEP]
    assert window.context_positions == slice(2, 7)


@PROPERTY
@given(window_sizes(), st.integers(1, 30), st.integers(1, 150), st.randoms(use_true_random=False))
def test_windows_are_those_that_the_tokenizer_cuts_itself(tiny_tokenizer, size, num_question, num_context, random):
    max_length, doc_stride = size
    num_question = min(num_question, (max_length - 3) // 2)
    question = " ".join(random.choices(WHOLE_WORDS, k=num_question))
    context = " ".join(random.choices(WHOLE_WORDS, k=num_context))
    example = {"id": "a", "question": question, "context": context}
    (ours,) = tokenize_examples(tiny_tokenizer, [example], DEFAULT_LABEL_MAP, max_length=max_length)
    windows = build_windows([ours], Template.of(tiny_tokenizer), max_length=max_length, doc_stride=doc_stride)
    reference = tiny_tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=max_length,
        stride=doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert [window.input_ids.tolist() for window in windows] == reference["input_ids"]
    assert [model_inputs(window)["token_type_ids"].tolist() for window in windows] == reference["token_type_ids"]
    for window, offsets in zip(windows, reference["offset_mapping"], strict=True):
        in_window = slice(window.token_start, window.token_end)
        starts, ends = ours.context.char_start[in_window], ours.context.char_end[in_window]
        assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == offsets[window.context_positions]
    room = max_length - 3 - num_question
    # Each window but the first adds room - doc_stride tokens.
    assert len(windows) == 1 + max(0, -(-(num_context - room) // (room - doc_stride)))


# training_item


def test_training_item_by_hand():
    window = Window(0, tokenized([50], [1, 2, 3, 4, 5, 6]), BERT, 2, 5, owned_start=3, owned_end=5)
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [1, 0]])
    item = training_item(window, labels)
    ignored = [IGNORED_LABEL, IGNORED_LABEL]
    # Context token 2 is not owned, 3 and 4 are; all others are question or special tokens.
    assert item["labels"].tolist() == [ignored, ignored, ignored, ignored, [0, 1], [1, 0], ignored]
    assert item["labels"].dtype == np.float32
    assert item["input_ids"].tolist() == [CLS, 50, SEP, 3, 4, 5, SEP]
    assert item["token_type_ids"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert set(item) == {"input_ids", "token_type_ids", "labels"}
    assert set(model_inputs(window)) == {"input_ids", "token_type_ids"}


# tokenize_examples


@pytest.mark.parametrize(
    ("context", "tokens", "expected"),
    [
        ("Major AN access May", ["Major", "AN", "access", "May"], [1, 1, 0, 1]),
        # Pieces are of the word's case, whatever their own letters are.
        ("Rivering riverING", ["River", "ing", "river", "ING"], [1, 1, 0, 0]),
        ("iPhone ÉCOLE E\u0301cole", ["iPhone", "ÉCOLE", "E\u0301cole"], [0, 1, 1]),
        ("(Paris) 1900 #", ["(", "Paris", ")", "1900", "#"], [0, 1, 0, 0, 0]),
        ("U.S. - 3M", ["U", ".", "S", ".", "-", "3", "M"], [1, 0, 1, 0, 0, 0, 0]),
        ("Notre-Dame's", ["Notre", "-", "Dame", "'", "s"], [1, 0, 1, 0, 0]),
        ("Москва река", [*"Москваре", "ка"], [1] * 6 + [0] * 3),
        # Scripts without capitals.
        ("東京 مدنها", [*"東京مدنها"], [0] * 7),
    ],
    ids=["words", "pieces", "accents", "marks", "numbers", "parts", "Cyrillic", "without capitals"],
)  # fmt: skip
def test_words_with_a_capital_are_the_second_segment(embedded_tokenizer, context, tokens, expected):
    example = {"id": "a", "question": "", "context": context}
    for case_as_segment in (True, False):
        (ours,) = tokenize_examples(
            embedded_tokenizer, [example], DEFAULT_LABEL_MAP, max_length=64, case_as_segment=case_as_segment
        )
        assert ours.context.texts(context) == tokens
        (window,) = build_windows([ours], Template.of(embedded_tokenizer), max_length=64, doc_stride=0)
        in_context = expected if case_as_segment else [0] * len(expected)
        assert model_inputs(window)["token_type_ids"].tolist() == [0, *in_context, 0]


def test_each_window_shows_the_case_of_its_own_tokens(tiny_tokenizer):
    example = {"id": "a", "question": "", "context": "the City of paris In rome"}
    tokens = tokenize_examples(tiny_tokenizer, [example], DEFAULT_LABEL_MAP, max_length=6, case_as_segment=True)
    windows = build_windows(tokens, Template.of(tiny_tokenizer), max_length=6, doc_stride=1)
    segments = [model_inputs(window)["token_type_ids"].tolist() for window in windows]
    # By hand: the City of paris, paris In rome.
    assert segments == [[0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]


def test_context_of_a_question_is_the_second_segment_whatever_its_case(tiny_tokenizer):
    example = {"id": "a", "question": "Where", "context": "in Paris"}
    tokens = tokenize_examples(tiny_tokenizer, [example], DEFAULT_LABEL_MAP, max_length=10, case_as_segment=True)
    (window,) = build_windows(tokens, Template.of(tiny_tokenizer), max_length=10, doc_stride=0)
    assert model_inputs(window)["token_type_ids"].tolist() == [0, 0, 0, 1, 1, 1]


def test_question_of_more_than_half_a_window_is_cut_and_counted(tiny_tokenizer):
    # A window of 10 has room for 7 tokens beside the special ones, 3 of them for the question.
    examples = [
        make_example("long", "in paris", "who was the man in the city", "paris"),
        make_example("fits", "in paris", "who was the", "paris"),
    ]
    with pytest.warns(QuestionCutWarning, match=r"1 of 2 questions are longer than 3 tokens.* example 0 \(id 'long'\)"):
        long, fits = tokenize_examples(tiny_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=10)
    expected = tiny_tokenizer.convert_tokens_to_ids(["who", "was", "the"])
    assert long.question.token_ids.tolist() == fits.question.token_ids.tolist() == expected
    assert long.question.texts(examples[0]["question"]) == ["who", "was", "the"]
    assert (long.num_question_tokens_cut, fits.num_question_tokens_cut) == (4, 0)
    (window,) = build_windows([long], Template.of(tiny_tokenizer), max_length=10, doc_stride=0)
    assert tiny_tokenizer.decode(window.input_ids) == "[CLS] who was the [SEP] in paris [SEP]"


def test_question_has_half_of_what_the_special_tokens_of_the_model_leave():
    """In a window of 9, RoBERTa's four special tokens leave 5, of which a question has 2; BERT's three leave it 3."""
    example = make_example("a", "the city", "the capital the capital", "city")
    for family, num_tokens in (("roberta", 2), ("bert", 3)):
        with pytest.warns(QuestionCutWarning, match=f"longer than {num_tokens} tokens"):
            (cut,) = tokenize_examples(make_tokenizer(family), [example], DEFAULT_LABEL_MAP, max_length=9)
        assert len(cut.question.token_ids) == num_tokens


def test_context_is_never_cut_and_its_labels_have_a_row_a_token(tiny_tokenizer):
    context = "the river " * 100 + "Paris"
    (long,) = tokenize_examples(
        tiny_tokenizer, [make_example("a", context, "where", "Paris")], {"ANS": 0, "O": 1}, max_length=10
    )
    assert len(long.context.token_ids) == 201
    assert long.labels.tolist() == [[0, 1]] * 200 + [[1, 0]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (make_example("b", "in paris", "where") | {"answers": {"text": ["in"], "answer_start": [0], "label": ["X"]}},
         r"\(id 'b'\): expected the label of each answer to be one of \['ANS'\], found 'X'"),
        (make_example("b", "in paris", ""),
         r"\(id 'b'\): expected a 'question' that is not empty, or none in all examples"),
        ("text", r"\(id None\): expected an object with the fields context, question;"),
    ],
)  # fmt: skip
def test_error_names_the_example_of_the_data_set(bad, message, tiny_tokenizer):
    examples = [make_example("a", "in paris", "where", "paris"), bad]
    with pytest.raises(ValueError, match=f"^example 6 {message}"):
        tokenize_examples(tiny_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=10, first_index=5)


def test_no_examples_give_nothing(tiny_tokenizer):
    assert tokenize_examples(tiny_tokenizer, [], DEFAULT_LABEL_MAP, max_length=10) == []
    assert build_windows([], BERT, max_length=10, doc_stride=2) == []


def test_answer_behind_token_384_is_labelled_in_a_window_that_shows_it(embedded_tokenizer):
    # "the" and "city" are one token each, "Paris" and "1817" too: the answer is the tokens 500 and 501.
    context = "the city " * 250 + "Paris 1817 " + "the city " * 50
    examples = [make_example("a", context, "Where and when?", "Paris 1817")]
    tokens = tokenize_examples(embedded_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=384)
    assert np.flatnonzero(tokens[0].labels[:, 1]).tolist() == [500, 501]
    windows = build_windows(tokens, Template.of(embedded_tokenizer), max_length=384, doc_stride=128)
    # 384 - 3 special tokens - 4 of the question = 377 tokens of context a window; the next starts 249 later.
    assert [(window.token_start, window.token_end) for window in windows] == [(0, 377), (249, 602)]
    labelled_ids = []
    for window in windows:
        item = training_item(window, tokens[0].labels)
        labelled_ids.append(item["input_ids"][item["labels"][:, 1] == 1].tolist())
    assert labelled_ids == [[], embedded_tokenizer.convert_tokens_to_ids(["paris", "1817"])]
