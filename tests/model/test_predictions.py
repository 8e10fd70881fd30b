"""What a model says of an example, and how it is put together from the example's windows."""

import pickle

import numpy as np
import pytest
from conftest import cases, make_example
from families import FAMILIES, make_tokenizer
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from span_label_errors.model.predictions import SpanPrediction, join_windows
from span_label_errors.model.tokenizer import Template
from span_label_errors.model.windows import build_windows, model_inputs, tokenize_examples

LABEL_MAP = {"O": 0, "ANS": 1}
WORDS = ["the  city", "Łódź", "1817\n\n", "capital", "½", "한국", "\u00a0river"]


@pytest.fixture
def prediction() -> SpanPrediction:
    """For "Who" and "Ann met"."""
    return SpanPrediction(
        np.array([[0.9, 0.1]] * 3 + [[0.75, 0.25], [0.5, 0.5], [0.9, 0.1]], dtype=np.float32),
        ["[CLS]", "Who", "[SEP]", "Ann", "met", "[SEP]"],
        np.array([[1, 0]] * 4 + [[0, 1], [1, 0]]),
        char_start=np.array([0, 0, 0, 0, 4, 0]),
        char_end=np.array([0, 3, 0, 3, 7, 0]),
        is_context=np.array([False, False, False, True, True, False]),
    )


def test_context_only_unpacks_into_three(prediction):
    context = prediction.context_only()
    pred_probs, tokens, labels = context
    assert pred_probs.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert tokens == ["Ann", "met"]
    assert labels.tolist() == [[1, 0], [0, 1]]
    assert (context.char_start.tolist(), context.char_end.tolist()) == ([0, 4], [3, 7])
    assert context.is_context.tolist() == [True, True]


def test_prediction_survives_pickle(prediction):
    again = pickle.loads(pickle.dumps(prediction))
    assert (type(again), again.tokens) == (SpanPrediction, prediction.tokens)
    for name in ("pred_probs", "labels", "char_start", "char_end", "is_context"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prediction, name), strict=True)


def test_joined_prediction_gives_text_offsets_and_labels(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    example = make_example("a", "Oslo is  The capital.", "Where is it?", "The capital")
    template = Template.of(tokenizer)
    tokenized = tokenize_examples(tokenizer, [example], LABEL_MAP, max_length=32)
    windows = build_windows(tokenized, template, max_length=32, doc_stride=4)
    window_probs = [np.zeros((len(window.input_ids), 2), dtype=np.float32) for window in windows]
    (prediction,) = join_windows([example], tokenized, windows, window_probs, LABEL_MAP)
    # "it" is not in the vocabulary and has the pieces "i" and "t".
    rows = [
        ("[CLS]", 0, 0, 0), ("Where", 0, 5, 0), ("is", 6, 8, 0), ("i", 9, 10, 0), ("t", 10, 11, 0), ("?", 11, 12, 0),
        ("[SEP]", 0, 0, 0), ("Oslo", 0, 4, 0), ("is", 5, 7, 0), ("The", 9, 12, 1), ("capital", 13, 20, 1),
        (".", 20, 21, 0), ("[SEP]", 0, 0, 0),
    ]  # fmt: skip
    found = zip(prediction.tokens, prediction.char_start, prediction.char_end, prediction.labels[:, 1], strict=True)
    assert list(found) == rows
    assert (prediction.labels.sum(axis=1) == 1).all()
    assert {array.dtype for array in (prediction.labels, prediction.char_start, prediction.char_end)} == {
        np.dtype(np.int64)
    }


# Every family


@pytest.mark.parametrize("family", FAMILIES)
@cases(15)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=25),
    max_length=st.integers(16, 40),
    stride=st.integers(0, 4),
)  # fmt: skip
def test_each_token_is_read_in_the_window_of_the_tokenizers_own_that_shows_it_best(family, words, max_length, stride):
    tokenizer, template = make_tokenizer(family), Template.of(make_tokenizer(family))
    example = {"id": "a", "question": "Who  was?", "context": " ".join(words)}
    tokenized = tokenize_examples(tokenizer, [example], LABEL_MAP, max_length=max_length)
    assume(not tokenized[0].num_question_tokens_cut)
    windows = build_windows(tokenized, template, max_length=max_length, doc_stride=stride)
    reference = tokenizer(
        example["question"], example["context"], truncation="only_second", max_length=max_length, stride=stride,
        return_overflowing_tokens=True,
    )  # fmt: skip
    assert [window.input_ids.tolist() for window in windows] == reference["input_ids"]
    # Each value names its window and position.
    values = [[[1000 * i + j, -j] for j in range(len(ids))] for i, ids in enumerate(reference["input_ids"])]
    arrays = [np.array(rows, dtype=np.float32) for rows in values]
    (prediction,) = join_windows([example], tokenized, windows, arrays, LABEL_MAP)

    # The reference: lists of the places where each window shows question and context.
    places = [[[j for j, part in enumerate(reference.sequence_ids(i)) if part == k] for k in (0, 1)]
              for i in range(len(values))]  # fmt: skip
    question, context = tokenized[0].question, tokenized[0].context
    expected = [values[0][places[0][0][0] - 1]]
    expected += [values[0][j] for j, has_text in zip(places[0][0], question.has_text, strict=True) if has_text]
    expected += [values[0][places[0][1][0] - 1]]
    shown = {}  # of each context token: (context on its smaller side, earlier windows first, value)
    first = 0
    for i, (_, of_context) in enumerate(places):
        for number, j in enumerate(of_context):
            room = min(number, len(of_context) - 1 - number)
            shown.setdefault(first + number, []).append((room, -i, values[i][j]))
        first += len(of_context) - stride
    expected += [max(shown[token])[2] for token in np.flatnonzero(context.has_text).tolist()]
    assert prediction.pred_probs.tolist() == [*expected, values[-1][-1]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "question", ["When [SEP]?", "[CLS] [SEP]", "a</s></s>b <pad> <s>", "<|end_of_text|> ▁[SEP]▁ [SEP]"]
)
def test_context_begins_behind_the_first_separator_whatever_the_question_holds(family, question):
    tokenizer, template = make_tokenizer(family), Template.of(make_tokenizer(family))
    example = make_example("a", "The  [SEP] city\n\nis </s>", question, "city")
    tokenized = tokenize_examples(tokenizer, [example], LABEL_MAP, max_length=128)
    windows = build_windows(tokenized, template, max_length=128, doc_stride=4)
    window_probs = [np.zeros((len(window.input_ids), 2), dtype=np.float32) for window in windows]
    (prediction,) = join_windows([example], tokenized, windows, window_probs, LABEL_MAP)
    tokens = prediction.tokens
    context_start = tokens.index("[SEP]") + 1
    assert np.flatnonzero(prediction.is_context).tolist() == list(range(context_start, len(tokens) - 1))
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert "".join(tokens[context_start:-1]) == "The[SEP]cityis</s>"
    for index in range(1, context_start - 1):
        token, start, end = tokens[index], prediction.char_start[index], prediction.char_end[index]
        assert token == question[start:end] or (token, question[start:end]) == ("[UNK]", "[SEP]")
    assert all(token == token.strip() != "" for token in tokens)
    labelled = [token for token, label in zip(tokens, prediction.labels[:, 1], strict=True) if label]
    assert "".join(labelled) == "city"
    lengths = {len(values) for values in vars(prediction).values()}
    assert lengths == {len(tokens)}


@pytest.mark.parametrize("family", FAMILIES)
def test_context_without_a_question_is_read_alone_in_the_first_segment(family):
    tokenizer = make_tokenizer(family)
    example = make_example("a", "The  city\n\nis", "", "city")
    tokenized = tokenize_examples(tokenizer, [example], LABEL_MAP, max_length=128)
    (window,) = build_windows(tokenized, Template.of(tokenizer), max_length=128, doc_stride=4)
    assert window.input_ids.tolist() == tokenizer(example["context"])["input_ids"]
    assert model_inputs(window)["token_type_ids"].tolist() == [0] * len(window)
    window_probs = np.arange(2 * len(window), dtype=np.float32).reshape(-1, 2)
    (prediction,) = join_windows([example], tokenized, [window], [window_probs], LABEL_MAP)
    tokens = prediction.tokens
    assert (tokens[:2], tokens[-1]) == (["[CLS]", "[SEP]"], "[SEP]")
    assert "".join(tokens[2:-1]) == "Thecityis"
    assert prediction.is_context.tolist() == [False, False, *[True] * (len(tokens) - 3), False]
    of_context = window_probs[window.context_positions][tokenized[0].context.has_text]
    assert prediction.pred_probs[2:-1].tolist() == of_context.tolist()


def test_piece_of_a_question_that_reads_like_the_separator_is_called_unknown():
    tokenizer, template = make_tokenizer("deberta-v2"), Template.of(make_tokenizer("deberta-v2"))
    example = {"id": "a", "question": "the [SEP]?", "context": "the [SEP] city"}
    tokenized = tokenize_examples(tokenizer, [example], LABEL_MAP, max_length=32)
    windows = build_windows(tokenized, template, max_length=32, doc_stride=4)
    window_probs = [np.zeros((len(windows[0].input_ids), 2), dtype=np.float32)]
    (prediction,) = join_windows([example], tokenized, windows, window_probs, LABEL_MAP)
    assert prediction.tokens == ["[CLS]", "the", "[UNK]", "?", "[SEP]", "the", "[SEP]", "city", "[SEP]"]
    assert prediction.char_start.tolist() == [0, 0, 4, 9, 0, 0, 4, 10, 0]
    assert prediction.char_end.tolist() == [0, 3, 9, 10, 0, 3, 9, 14, 0]
    assert np.flatnonzero(prediction.is_context).tolist() == [5, 6, 7]
