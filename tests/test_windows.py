"""Cutting long contexts into windows."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import WORDS, cases, make_example
from hypothesis import assume, given
from hypothesis import strategies as st

from alignment import DEFAULT_LABEL_MAP, TokenizedText
from windows import (
    IGNORED_LABEL,
    QuestionCutWarning,
    TokenizedExample,
    TrainingItems,
    Window,
    WindowCollator,
    build_windows,
    check_window_size,
    max_question_tokens,
    model_inputs,
    owning_window,
    tokenize_examples,
    training_item,
    window_ranges,
)

CLS, SEP, PAD = 101, 102, 7
IDS_ONLY = SimpleNamespace(cls_token_id=CLS, sep_token_id=SEP)  # all that build_windows asks of a tokenizer
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


@st.composite
def sizes(draw, max_tokens: int = 150):
    """Question length, context length, window size and stride that go together."""
    max_length = draw(st.integers(5, 64))
    largest_question = (max_length - 3) // 2
    doc_stride = draw(st.integers(0, max_length - 3 - largest_question - 1))
    return draw(st.integers(0, largest_question)), draw(st.integers(1, max_tokens)), max_length, doc_stride


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


@PROPERTY
@given(st.integers(1, 200), st.integers(1, 40), st.data())
def test_windows_reach_from_the_first_token_to_the_last_and_overlap_by_the_stride(num_tokens, window_size, data):
    doc_stride = data.draw(st.integers(0, window_size - 1))
    ranges = window_ranges(num_tokens, window_size, doc_stride)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == num_tokens
    assert all(end < num_tokens for _, end in ranges[:-1]), "nothing stands behind the last token"
    assert all(end - start == window_size for start, end in ranges[:-1])
    assert 0 < ranges[-1][1] - ranges[-1][0] <= window_size
    overlaps = [end - next_start for (_, end), (next_start, _) in pairwise(ranges)]
    assert overlaps == [doc_stride] * (len(ranges) - 1)


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


@PROPERTY
@given(st.integers(1, 120), st.integers(1, 30), st.data())
def test_owning_window_agrees_with_trying_all_windows(num_tokens, window_size, data):
    ranges = window_ranges(num_tokens, window_size, data.draw(st.integers(0, window_size - 1)))
    expected = []
    for token in range(num_tokens):
        candidates = []
        for window_index, (start, end) in enumerate(ranges):
            if start <= token < end:
                tokens_before, tokens_behind = token - start, end - token - 1
                candidates.append((-min(tokens_before, tokens_behind), window_index))
        expected.append(min(candidates)[1])
    assert owning_window(ranges).tolist() == expected
    assert owning_window(ranges).dtype == np.int64


# build_windows


def test_windows_of_two_examples_by_hand():
    # Windows of 8 tokens: [CLS], one for the question, [SEP], four for the context, [SEP].
    windows = build_windows(
        [tokenized([50], [1, 2, 3, 4, 5, 6]), tokenized([50, 51], [9])], IDS_ONLY, max_length=8, doc_stride=2
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
    (window,) = build_windows([tokenized([], [1, 2, 3, 4, 5])], IDS_ONLY, max_length=8, doc_stride=2)
    assert window.input_ids.tolist() == [CLS, SEP, 1, 2, 3, 4, 5, SEP]
    assert window.context_positions == slice(2, 7)


def test_no_examples_give_no_windows():
    assert build_windows([], IDS_ONLY, max_length=8, doc_stride=2) == []


def test_stride_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="doc_stride: expected 0 to 2 for max_length=8"):
        build_windows([tokenized([50], [1, 2])], IDS_ONLY, max_length=8, doc_stride=3)


@PROPERTY
@given(sizes(), sizes())
def test_every_context_token_is_owned_by_exactly_one_window(size, other):
    num_question, num_context, max_length, doc_stride = size
    examples = [
        tokenized([1] * num_question, list(range(10, 10 + num_context))),
        tokenized([1] * min(other[0], num_question), list(range(500, 500 + other[1]))),
    ]
    windows = build_windows(examples, IDS_ONLY, max_length=max_length, doc_stride=doc_stride)
    times_owned = [np.zeros(len(example.labels), dtype=int) for example in examples]
    for window in windows:
        assert len(window.input_ids) <= max_length
        assert len(window.owned) == window.token_end - window.token_start
        assert window.owned.any()
        context_ids = examples[window.example_index].context.token_ids
        assert window.input_ids[window.context_positions].tolist() == (
            context_ids[window.token_start : window.token_end].tolist()
        )
        times_owned[window.example_index][window.token_start : window.token_end] += window.owned
    for times in times_owned:
        assert (times == 1).all()
    assert [window.example_index for window in windows] == sorted(window.example_index for window in windows)


def assert_like_transformers(tokenizer, question: str, context: str, max_length: int, doc_stride: int) -> int:
    """Compare our windows with those that the tokenizer cuts itself; return how many there are."""
    example = {"id": "a", "question": question, "context": context}
    (ours,) = tokenize_examples(tokenizer, [example], DEFAULT_LABEL_MAP, max_length=max_length)
    windows = build_windows([ours], tokenizer, max_length=max_length, doc_stride=doc_stride)
    reference = tokenizer(
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
    return len(windows)


@PROPERTY
@given(sizes(), st.randoms(use_true_random=False))
def test_windows_are_those_of_transformers(tiny_tokenizer, size, random):
    num_question, num_context, max_length, doc_stride = size
    assume(num_question > 0)  # an empty question is refused
    question = " ".join(random.choices(WHOLE_WORDS, k=num_question))
    context = " ".join(random.choices(WHOLE_WORDS, k=num_context))
    num_windows = assert_like_transformers(tiny_tokenizer, question, context, max_length, doc_stride)
    room = max_length - 3 - num_question
    # Each window but the first adds room - doc_stride tokens.
    assert num_windows == 1 + max(0, -(-(num_context - room) // (room - doc_stride)))


@pytest.mark.parametrize(
    ("max_length", "doc_stride", "num_windows"),
    # 600 words of one token and a question of 7: 384 - 10 = 374 a window, then 246 more each: 2 windows.
    # 128 - 10 = 118, then 118 - 32 = 86 each: 1 + ceil(482 / 86) = 7. 64 - 10 = 54, without overlap: 12.
    [(384, 128, 2), (128, 32, 7), (64, 0, 12)],
)
def test_windows_of_a_long_text_are_those_of_transformers(max_length, doc_stride, num_windows, embedded_tokenizer):
    question = "who was the man in the city"
    context = " ".join(np.random.default_rng(0).choice(["river", "city", "Paris", "1817", ",", "C"], size=600))
    assert assert_like_transformers(embedded_tokenizer, question, context, max_length, doc_stride) == num_windows


# training_item


def test_training_item_by_hand():
    window = Window(0, 2, 5, np.array([CLS, 50, SEP, 3, 4, 5, SEP]), 3, np.array([False, True, True]))
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


@PROPERTY
@given(sizes())
def test_each_label_counts_exactly_once_and_nothing_else_counts(size):
    num_question, num_context, max_length, doc_stride = size
    example = tokenized([1] * num_question, list(range(10, 10 + num_context)))
    windows = build_windows([example], IDS_ONLY, max_length=max_length, doc_stride=doc_stride)
    counted = []
    for window in windows:
        item = training_item(window, example.labels)
        for token_id, token_type, row in zip(*(item[name].tolist() for name in item), strict=True):
            if row != [IGNORED_LABEL, IGNORED_LABEL]:
                # A token with id 10 + i has the label row of token i, and stands in the context.
                assert row == [1000 + token_id - 10, 2000 + token_id - 10]
                assert token_type == 1
                counted.append(token_id)
    assert sorted(counted) == example.context.token_ids.tolist()


def test_training_items_are_those_of_each_window():
    long, short = tokenized([50], [1, 2, 3, 4, 5, 6]), tokenized([50, 51], [9])
    examples = [long, replace(short, labels=short.labels + 5)]
    windows = build_windows(examples, IDS_ONLY, max_length=8, doc_stride=2)
    items = TrainingItems(examples, windows)
    assert len(items) == 3
    for index, example in enumerate([examples[0], examples[0], examples[1]]):
        expected = training_item(windows[index], example.labels)
        assert items[index].keys() == expected.keys()
        assert all(items[index][name].tolist() == array.tolist() for name, array in expected.items())


# WindowCollator


def item_of(length: int, with_labels: bool = True) -> dict[str, np.ndarray]:
    item = {"input_ids": np.arange(1, length + 1), "token_type_ids": np.ones(length, dtype=np.int64)}
    return item | ({"labels": np.full((length, 2), 0.5, dtype=np.float32)} if with_labels else {})


def test_collator_pads_to_the_longest_of_the_batch():
    batch = WindowCollator(PAD)([item_of(2), item_of(4), item_of(1)])
    assert batch["input_ids"].tolist() == [[1, 2, PAD, PAD], [1, 2, 3, 4], [1, PAD, PAD, PAD]]
    assert batch["token_type_ids"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    half, ignored = [0.5, 0.5], [IGNORED_LABEL, IGNORED_LABEL]
    assert batch["labels"].tolist() == [
        [half, half, ignored, ignored],
        [half, half, half, half],
        [half, ignored, ignored, ignored],
    ]
    assert {name: tensor.dtype for name, tensor in batch.items()} == {
        "input_ids": torch.int64,
        "token_type_ids": torch.int64,
        "labels": torch.float32,
        "attention_mask": torch.int64,
    }


def test_collator_does_not_pad_windows_of_one_length():
    batch = WindowCollator(PAD)([item_of(3), item_of(3)])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [1, 2, 3]]
    assert batch["attention_mask"].all()


def test_collator_gives_no_labels_where_there_are_none():
    batch = WindowCollator(PAD)([item_of(2, with_labels=False), item_of(1, with_labels=False)])
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask"}
    assert batch["input_ids"].tolist() == [[1, 2], [1, PAD]]


# check_window_size


@pytest.mark.parametrize(
    # Half of the tokens beside the three special ones are the question's, and one must be new.
    ("max_length", "max_question", "largest_stride"),
    [(5, 1, 0), (6, 1, 1), (8, 2, 2), (64, 30, 30), (384, 190, 190), (512, 254, 254)],
)
def test_stride_must_leave_room_to_advance(max_length, max_question, largest_stride):
    assert max_question_tokens(max_length) == max_question
    check_window_size(max_length, 0)
    check_window_size(max_length, largest_stride, model_max_length=max_length)
    for doc_stride in (largest_stride + 1, -1):
        with pytest.raises(ValueError) as raised:
            check_window_size(max_length, doc_stride)
        message = str(raised.value)
        assert message.startswith(f"doc_stride: expected 0 to {largest_stride} for max_length={max_length} ")
        assert message.endswith(f"found {doc_stride}")


@pytest.mark.parametrize("max_length", [4, 0, -384])
def test_window_must_hold_a_token_of_question_and_context(max_length):
    with pytest.raises(ValueError, match=f"max_length: expected at least 5, found {max_length}"):
        check_window_size(max_length, 0)


def test_window_must_not_be_larger_than_the_positions_of_the_model():
    with pytest.raises(ValueError) as raised:
        check_window_size(65, 8, model_max_length=64)
    assert str(raised.value) == (
        "max_length: expected at most 64, the positions that the model has, found 65; "
        "longer contexts are read in several windows"
    )


# tokenize_examples


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
    (window,) = build_windows([long], tiny_tokenizer, max_length=10, doc_stride=0)
    assert tiny_tokenizer.decode(window.input_ids) == "[CLS] who was the [SEP] in paris [SEP]"


def test_context_is_never_cut_and_its_labels_have_a_row_a_token(tiny_tokenizer):
    context = "the river " * 100 + "Paris"
    (long,) = tokenize_examples(
        tiny_tokenizer, [make_example("a", context, "where", "Paris")], {"ANS": 0, "O": 1}, max_length=10
    )
    assert len(long.context.token_ids) == 201
    assert long.labels.tolist() == [[0, 1]] * 200 + [[1, 0]]


def test_first_answer_counts_unless_all_are_asked_for(tiny_tokenizer):
    examples = [make_example("a", "paris london rome", "where", "paris", "rome")]
    (first,) = tokenize_examples(tiny_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=10)
    (both,) = tokenize_examples(tiny_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=10, answers="all")
    assert first.labels[:, 1].tolist() == [1, 0, 0]
    assert both.labels[:, 1].tolist() == [1, 0, 1]


@pytest.mark.parametrize("answers", [{}, {"answers": None}, {"answers": {"text": [], "answer_start": []}}])
def test_example_without_answers_is_outside_everywhere(answers, tiny_tokenizer):
    examples = [{"id": "a", "context": "paris london", "question": "where", **answers}]
    (tokens,) = tokenize_examples(tiny_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=10)
    assert tokens.labels.tolist() == [[1, 0], [1, 0]]


def test_no_examples_give_nothing(tiny_tokenizer):
    assert tokenize_examples(tiny_tokenizer, [], DEFAULT_LABEL_MAP, max_length=10) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            {"id": "b", "context": "\u200b\u00ad", "question": "where"},
            "expected a context of at least one token, found none",
        ),
        (make_example("b", "in \u200b paris", "where", "\u200b"), "the answer at characters 3 to 4 to cover a token"),
        (
            {
                **make_example("b", "in paris", "where"),
                "answers": {"text": ["in"], "answer_start": [0], "label": ["X"]},
            },
            "expected the label of each answer to be one of ['ANS'], found 'X'",
        ),
    ],
)
def test_error_names_the_example(bad, message, tiny_tokenizer):
    examples = [make_example("a", "in paris", "where", "paris"), bad]
    with pytest.raises(ValueError) as raised:
        tokenize_examples(tiny_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=10)
    assert str(raised.value).startswith("example 1 (id 'b'): ")
    assert message in str(raised.value)


def test_example_that_is_no_object_is_refused(tiny_tokenizer):
    with pytest.raises(
        ValueError, match=r"^example 1 \(id None\): expected an object with the fields context, question;"
    ):
        tokenize_examples(
            tiny_tokenizer, [make_example("a", "in paris", "where"), "text"], DEFAULT_LABEL_MAP, max_length=10
        )


def test_answer_behind_token_384_is_labelled_in_a_window_that_shows_it(embedded_tokenizer):
    # "the" and "city" are one token each, "Paris" and "1817" too: the answer is the tokens 500 and 501.
    context = "the city " * 250 + "Paris 1817 " + "the city " * 50
    examples = [make_example("a", context, "Where and when?", "Paris 1817")]
    tokens = tokenize_examples(embedded_tokenizer, examples, DEFAULT_LABEL_MAP, max_length=384)
    assert np.flatnonzero(tokens[0].labels[:, 1]).tolist() == [500, 501]
    windows = build_windows(tokens, embedded_tokenizer, max_length=384, doc_stride=128)
    # 384 - 3 special tokens - 4 of the question = 377 tokens of context a window; the next starts 249 later.
    assert [(window.token_start, window.token_end) for window in windows] == [(0, 377), (249, 602)]
    labelled_ids = []
    for window in windows:
        item = training_item(window, tokens[0].labels)
        labelled_ids.append(item["input_ids"][item["labels"][:, 1] == 1].tolist())
    assert labelled_ids == [[], embedded_tokenizer.convert_tokens_to_ids(["paris", "1817"])]
