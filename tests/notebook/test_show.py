"""How a context is shown, and which tokens cleanlab finds wrong."""

import html
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from cleanlab.experimental import span_classification
from small_runs import predict

from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.notebook.show import find_token_issues, show_context, token_quality_scores, visible


def test_control_characters_are_made_visible():
    """A terminal obeys them: this would colour, ring, move back and clear."""
    hostile = "\x1b[31mred\x07\x08\x7f\x9b2J\ttab\nline\r é😀"
    assert visible(hostile) == "␛[31mred␇␈␡\ufffd2J\ttab\nline␍ é😀"


# Issues of tokens


@pytest.mark.parametrize("num_examples", [1, 30])
def test_token_issues_are_those_of_cleanlab(num_examples):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 20, num_examples)
    labels = [(rng.random(length) < 0.3).astype(np.int64) for length in lengths]
    pred_probs = [np.clip(0.6 * label + 0.4 * rng.random(len(label)), 0, 1).astype(np.float32) for label in labels]
    for label in labels[::2]:
        label[0] = 1 - label[0]
    found = find_token_issues(labels, pred_probs)
    assert found == span_classification.find_label_issues(labels, pred_probs)
    assert found or num_examples == 1
    assert all(type(number) is int for issue in found for number in issue)


def test_token_quality_is_that_of_cleanlab():
    """Of more examples than are scored at once."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 4, 5003)
    labels = [(rng.random(length) < 0.1).astype(np.int64) for length in lengths]
    pred_probs = [rng.random(length).astype(np.float32) for length in lengths]
    expected, _ = span_classification.get_label_quality_scores(labels, pred_probs)
    assert np.array_equal(token_quality_scores(labels, pred_probs), expected)


# Showing a context


class ShownContext:
    """What is read of a shown context: the texts of its paragraphs, its spans and the names of its tags."""

    def __init__(self, page: str):
        elements = list(ElementTree.fromstring(page).iter())
        self.tags = [element.tag for element in elements]
        self.paragraphs = ["".join(element.itertext()) for element in elements if element.tag == "p"]
        spans = [element for element in elements if element.tag == "span"]
        self.spans = [(span.text or "", span.get("style"), span.get("title")) for span in spans]


def shade_of(style: str) -> float:
    return float(re.match(r"background:rgba\(255,140,0,([0-9.]+)\)", style).group(1))


def test_context_is_shaded_by_probability_and_labels_are_underlined():
    context = " It was  in Rome.\n"
    prediction = predict(context, [[0.9] * 4, [0.1, 0.0, 0.2, 0.4]], [[1, 1, 0, 0], [0, 0, 1, 1]])
    shown = ShownContext(show_context(prediction, context, "Where?", column=1, title="mine").data)
    question, visible, legend = shown.paragraphs
    assert (question, visible) == ("Where?", context)
    assert [text for text, _, _ in shown.spans] == ["It", "was", "in", "Rome."]
    # The highest probability, 0.4, has the full shade.
    assert [shade_of(style) for _, style, _ in shown.spans] == [0.25, 0.0, 0.5, 1.0]
    assert ["border-bottom" in style for _, style, _ in shown.spans] == [False, False, True, True]
    assert [title for _, _, title in shown.spans] == ["P = 0.100", "P = 0.000", "P = 0.200", "P = 0.400"]
    assert legend == "shade: P(token belongs to the answer), full at 0.40; mine"


def test_context_without_any_probability_is_not_shaded():
    prediction = predict("It was", [[1, 1], [0, 0]], [[1, 1], [0, 0]])
    shown = ShownContext(show_context(prediction, "It was", "Where?", column=1).data)
    assert [shade_of(style) for _, style, _ in shown.spans] == [0.0, 0.0]


def test_question_tokens_of_a_prediction_are_not_shown():
    of_context = predict("It was", [[0, 0], [0.2, 0.4]], [[1, 1], [0, 0]])
    whole = SpanPrediction(
        np.concatenate([np.ones((3, 2)), of_context.pred_probs, np.ones((1, 2))]),
        ["[CLS]", "Who", "[SEP]", *of_context.tokens, "[SEP]"],
        np.concatenate([np.ones((3, 2)), of_context.labels, np.ones((1, 2))]),
        char_start=np.array([0, 0, 0, 0, 3, 0]),
        char_end=np.array([0, 3, 0, 2, 6, 0]),
        is_context=np.array([False, False, False, True, True, False]),
    )
    assert show_context(whole, "It was", "Who", 1).data == show_context(of_context, "It was", "Who", 1).data


HOSTILE = "<script>alert(1)</script> \"quoted\" 'single' <img src=x onerror=alert(1)> &amp; </p></div> \u202e"


def test_hostile_text_is_shown_and_not_run():
    words = len(HOSTILE.split())
    prediction = predict(HOSTILE, [[0.5] * words, [0.5] * words], [[0] * words, [1] * words])
    page = show_context(prediction, HOSTILE, f"What is {HOSTILE}?", column=1, title=HOSTILE).data
    shown = ShownContext(page)
    question, visible, legend = shown.paragraphs
    assert visible == HOSTILE
    assert question == f"What is {HOSTILE}?"
    assert legend.endswith(HOSTILE)
    assert set(shown.tags) == {"div", "p", "b", "span"}
    assert shown.tags.count("span") == words
    assert html.escape("<script>") in page


@pytest.mark.parametrize(
    ("char_ranges", "texts"),
    [
        ([(0, 2), (2, 3), (2, 3), (3, 5)], ["ab", "ﬁ", "", "cd"]),
        ([(0, 3), (2, 5)], ["abﬁ", "cd"]),
        ([(0, 5), (1, 2), (4, 5)], ["abﬁcd", "", ""]),
        ([(1, 2), (4, 5)], ["b", "d"]),
    ],
)
def test_character_of_two_tokens_is_shown_once(char_ranges, texts):
    context = "abﬁcd"
    prediction = SpanPrediction(
        np.full((len(char_ranges), 2), 0.5, dtype=np.float32),
        [context[start:end] for start, end in char_ranges],
        np.zeros((len(char_ranges), 2), dtype=np.int64),
        char_start=np.array([start for start, _ in char_ranges]),
        char_end=np.array([end for _, end in char_ranges]),
        is_context=np.ones(len(char_ranges), dtype=bool),
    )
    shown = ShownContext(show_context(prediction, context, "?", column=1).data)
    assert shown.paragraphs[1] == context
    assert [text for text, _, _ in shown.spans] == texts
