"""What a model says of an example, and how it is put together from the example's windows."""

import pickle

import numpy as np
import pytest
from conftest import make_example
from transformers import AutoTokenizer

from span_label_errors.model.predictions import SpanPrediction, join_windows
from span_label_errors.model.tokenizer import Template
from span_label_errors.model.windows import build_windows, tokenize_examples

LABEL_MAP = {"O": 0, "ANS": 1}


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
    (prediction,) = join_windows([example], tokenized, windows, window_probs, template, LABEL_MAP)
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
