"""Alignment and windows of arbitrary texts, against slow references."""

import numpy as np
import pytest
from conftest import WORDS, cases
from hypothesis import assume, given
from hypothesis import strategies as st
from text_strategies import (
    HALVES,
    INVISIBLE,
    SETTLED_TEXTS,
    TEXTS,
    examples,
    slow_labels,
    slow_owner,
    slow_spans,
    slow_tokens,
    slow_windows,
    window_sizes,
)

from span_label_errors.model.tokenizer import Template
from span_label_errors.model.windows import (
    IGNORED_LABEL,
    build_windows,
    check_window_size,
    max_question_tokens,
    pad_windows,
    tokenize_examples,
    training_item,
)
from span_label_errors.spans.alignment import span_classes, tokenize_texts

LABEL_MAP = {"O": 0, "ANS": 1}
CLASSES = {"PERSON": 0, "O": 1, "CITY": 2, "YEAR": 3}
ONE_TOKEN_WORDS = [word for word in WORDS if word.isalpha()]

pytestmark = pytest.mark.filterwarnings("ignore::span_label_errors.model.windows.QuestionCutWarning")


def rows_of(tokens) -> list[tuple[int, int, int]]:
    """Return (id, start, end) of each token."""
    return list(zip(*(array.tolist() for array in tokens), strict=True))


# Alignment


@cases(200)
@given(text=SETTLED_TEXTS)
def test_tokens_and_offsets_are_those_of_cutting_character_by_character(tokenizer, vocabulary, text):
    (tokens,) = tokenize_texts(tokenizer, [text])
    assert rows_of(tokens) == slow_tokens(text, vocabulary)


@cases(60)
@given(texts=st.lists(TEXTS, max_size=5))
def test_texts_do_not_touch_each_other(tokenizer, texts):
    together = tokenize_texts(tokenizer, texts)
    assert [rows_of(tokens) for tokens in together] == [rows_of(tokenize_texts(tokenizer, [text])[0]) for text in texts]


@cases(150)
@given(example=examples(SETTLED_TEXTS, span_classes(CLASSES)), choice=st.sampled_from(["first", "all"]))
def test_labels_of_any_classes_are_those_of_each_character(tokenizer, vocabulary, example, choice):
    (tokenized,) = tokenize_examples(tokenizer, [example], CLASSES, max_length=32, answers=choice)
    tokens = slow_tokens(example["context"], vocabulary)
    spans = slow_spans(example["answers"], span_classes(CLASSES), choice)
    assert rows_of(tokenized.context) == tokens
    assert tokenized.labels.tolist() == slow_labels([(start, end) for _, start, end in tokens], spans, CLASSES)


@cases(150)
@given(example=examples())
def test_labelled_tokens_hold_the_answer_and_each_a_part_of_it(tokenizer, example):
    """Of arbitrary Unicode, where no reference knows the tokens."""
    (tokenized,) = tokenize_examples(tokenizer, [example], LABEL_MAP, max_length=32, answers="all")
    context = example["context"]
    answered = {
        index
        for text, start in zip(example["answers"]["text"], example["answers"]["answer_start"], strict=True)
        for index in range(start, start + len(text))
    }
    covered = set()
    for (_, start, end), label in zip(rows_of(tokenized.context), tokenized.labels[:, 1].tolist(), strict=True):
        assert bool(answered & set(range(start, end))) == label
        covered |= set(range(start, end)) if label else set()
    assert {index for index in answered if context[index].isalnum()} <= covered


@cases(60)
@given(context=INVISIBLE)
def test_context_without_a_token_is_refused(tokenizer, vocabulary, context):
    assert slow_tokens(context, vocabulary) == []
    rows = [{"id": "a", "context": "Oslo", "question": "Who"}, {"id": "b", "context": context, "question": "Who"}]
    with pytest.raises(
        ValueError, match=r"^example 1 \(id 'b'\): expected a ('context' that is not|context of at least)"
    ):
        tokenize_examples(tokenizer, rows, LABEL_MAP, max_length=32)


@cases(60)
@given(data=st.data())
def test_answer_without_a_token_is_refused(tokenizer, data):
    before, answer, behind = data.draw(SETTLED_TEXTS), data.draw(INVISIBLE), data.draw(SETTLED_TEXTS)
    assume(answer.strip())
    # Nothing stands beside the answer that a mark in it could belong to.
    context = f"{before} {answer} {behind}Oslo"
    row = {"id": "a", "context": context, "question": "Who"}
    row["answers"] = {"text": [answer], "answer_start": [len(before) + 1]}
    with pytest.raises(ValueError, match=f"characters {len(before) + 1} to {len(before) + 1 + len(answer)} to cover"):
        tokenize_examples(tokenizer, [row], LABEL_MAP, max_length=32)


@cases(150)
@given(example=examples(), halves=st.text(HALVES, min_size=1, max_size=2), data=st.data())
def test_half_of_a_surrogate_pair_is_refused(tiny_tokenizer, example, halves, data):
    """Also two halves that make a pair, as a careless reader of JSON leaves them."""
    name = data.draw(st.sampled_from(["id", "title", "context", "question"]))
    cut = data.draw(st.integers(0, len(example[name])))
    broken = {**example, name: example[name][:cut] + halves + example[name][cut:]}
    with pytest.raises(ValueError, match=rf"^example 1 \(id .*expected '{name}' to be Unicode text; found half"):
        tokenize_examples(tiny_tokenizer, [example, broken], LABEL_MAP, max_length=32)
    start = data.draw(st.integers(0, len(example["context"]) - 1))
    broken = {**example, "answers": {"text": [halves], "answer_start": [start]}}
    with pytest.raises(ValueError, match=r"^example 0 .*expected the answer"):
        tokenize_examples(tiny_tokenizer, [broken], LABEL_MAP, max_length=32)


# Windows


@cases(300)
@given(max_length=st.integers(-2, 70), doc_stride=st.integers(-2, 40), positions=st.none() | st.integers(1, 80))
def test_window_is_accepted_if_every_question_leaves_room_to_advance(max_length, doc_stride, positions):
    rooms = [max_length - 3 - num_question for num_question in range(max(0, max_length - 3) + 1)]
    # Questions take half a window at most.
    rooms = [room for room in rooms if max_length - 3 - room <= room]
    fits = max_length >= 5 and (positions is None or max_length <= positions)
    if fits and doc_stride >= 0 and all(room - doc_stride >= 1 for room in rooms):
        check_window_size(max_length, doc_stride, positions)
        assert max_question_tokens(max_length) == max_length - 3 - min(rooms)
    else:
        with pytest.raises(ValueError, match="doc_stride: expected 0" if fits else "max_length: expected at"):
            check_window_size(max_length, doc_stride, positions)


@cases(300)
@given(size=window_sizes(), data=st.data())
def test_answer_at_a_window_border_counts_once_wherever_it_stands(tiny_tokenizer, size, data):
    max_length, doc_stride = size
    num_question, num_context = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 150))
    question = [data.draw(st.sampled_from(ONE_TOKEN_WORDS))] * num_question
    windows = slow_windows(num_question, num_context, max_length, doc_stride)
    # From a border to a border, or a word beside it; both may be the ends of the context.
    borders = sorted({border for window in windows for border in (window[0], window[-1] + 1)})
    near = st.builds(lambda border, step: border + step, st.sampled_from(borders), st.integers(-1, 1))
    first, last = sorted(min(max(data.draw(near), 0), num_context - 1) for _ in range(2))
    context = [ONE_TOKEN_WORDS[index % len(ONE_TOKEN_WORDS)] for index in range(num_context)]
    starts = [len(" ".join(context[:index])) + (index > 0) for index in range(num_context)]
    # The answer may begin and end inside of a word.
    start = starts[first] + data.draw(st.integers(0, len(context[first]) - 1))
    end = starts[last] + data.draw(st.integers(1, len(context[last])))
    assume(start < end)
    text = " ".join(context)
    answers = {"text": [text[start:end]], "answer_start": [start]}
    example = {"id": "a", "question": " ".join(question), "context": text, "answers": answers}

    tokenized = tokenize_examples(tiny_tokenizer, [example, example], LABEL_MAP, max_length=max_length)
    vocabulary, limit = tiny_tokenizer.get_vocab(), (max_length - 3) // 2
    assert [one.num_question_tokens_cut for one in tokenized] == [max(0, num_question - limit)] * 2
    found = build_windows(tokenized, Template.of(tiny_tokenizer), max_length=max_length, doc_stride=doc_stride)
    assert [(window.example_index, window.token_start, window.token_end) for window in found] == [
        (index, window[0], window[-1] + 1) for index in (0, 1) for window in windows
    ]
    owners = [slow_owner(windows, token) for token in range(num_context)]
    for number, window in enumerate(found):
        shown = windows[number % len(windows)]
        item = training_item(window, tokenized[window.example_index].labels)
        names = ["[CLS]", *question[:limit], "[SEP]", *(context[token] for token in shown), "[SEP]"]
        assert item["input_ids"].tolist() == [vocabulary[name] for name in names]
        before = len(names) - len(shown) - 1
        assert item["token_type_ids"].tolist() == [0] * before + [1] * (len(shown) + 1)
        rows = [
            [int(not first <= token <= last), int(first <= token <= last)]
            if owners[token] == number % len(windows) else [IGNORED_LABEL] * 2
            for token in shown
        ]  # fmt: skip
        assert item["labels"].tolist() == [[IGNORED_LABEL] * 2] * before + rows + [[IGNORED_LABEL] * 2]


# Batching


@cases(200)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=9),
    num_classes=st.integers(0, 4),
    pad=st.integers(0, 9),
    multiple=st.sampled_from([1, 8]),
    random=st.randoms(use_true_random=False),
)
def test_batch_is_its_windows_and_padding(lengths, num_classes, pad, multiple, random):
    items = [
        {
            "input_ids": np.array([random.randrange(pad, 100) for _ in range(length)]),
            "token_type_ids": np.array([random.randrange(2) for _ in range(length)]),
            "labels": np.array([[random.random() for _ in range(num_classes)] for _ in range(length)], np.float32),
        }
        for length in lengths
    ]
    if not num_classes:
        items = [{name: array for name, array in item.items() if name != "labels"} for item in items]
    batch = pad_windows(items, pad, multiple)
    longest = next(length for length in range(max(lengths), 99) if length % multiple == 0)
    assert set(batch) == {*items[0], "attention_mask"}
    padding = {"input_ids": pad, "token_type_ids": 0, "labels": [IGNORED_LABEL] * num_classes}
    for name in items[0]:
        assert batch[name].tolist() == [
            item[name].tolist() + [padding[name]] * (longest - length)
            for item, length in zip(items, lengths, strict=True)
        ]
    assert {name: str(tensor.dtype) for name, tensor in batch.items()} == {
        name: "torch.float32" if name == "labels" else "torch.int64" for name in batch
    }
    assert batch["attention_mask"].tolist() == [[1] * length + [0] * (longest - length) for length in lengths]
