"""How contexts are shown: shaded by probability, and with the given and the suggested answer marked."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from conftest import make_example
from dummy_trainer import predicted
from review_frames import make_span_frames
from small_runs import predict

from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.notebook.show import (
    compare_rankings,
    how_many_wrong,
    how_predicted,
    show_answers,
    show_context,
    visible,
    worst_answers,
)


def test_control_characters_are_made_visible():
    """A terminal obeys them: this would colour, ring, move back and clear."""
    hostile = "\x1b[31mred\x07\x08\x7f\x9b2J\ttab\nline\r é😀"
    assert visible(hostile) == "␛[31mred␇␈␡\ufffd2J\ttab\nline␍ é😀"


def test_what_predicted_is_said_in_words():
    folds = [{"train_indices": [1]}, {"train_indices": [0]}]
    assert how_predicted({"folds": folds}) == "each predicted by one of 2 models, trained on the other folds"
    assert how_predicted({"folds": [{"train_indices": []}]}) == (
        "all predicted by the checkpoint as it is, without training"
    )


def test_estimate_is_said_in_words():
    assert how_many_wrong(21.6, 248) == "about 22 of 248 rows are estimated to be wrong"
    assert how_many_wrong(None, 12) == "too few answers to estimate how many are wrong"


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


def test_long_context_is_cut_around_labels_and_the_likeliest_token():
    words = ["far"] * 1000 + ["Rome"] + ["between"] * 1000 + ["Oslo"] + ["away"] * 1000
    probs, labels = np.zeros(3002), np.zeros(3002, dtype=int)
    probs[2001], labels[1000] = 0.5, 1
    context = " ".join(words)
    prediction = predict(context, [1 - probs, probs], [1 - labels, labels])
    shown = ShownContext(show_context(prediction, context, "Where?", column=1).data)
    # 1,000 characters on each side: 250 of "far ", twice 125 of " between", 200 of " away".
    near = ["far"] * 250 + ["Rome"] + ["between"] * 250 + ["Oslo"] + ["away"] * 200
    assert [text for text, _, _ in shown.spans] == near
    one, other, three = (" ".join(part) for part in (near[:376], near[376:502], near[502:]))
    assert shown.paragraphs[1] == f" … {one} … {other} {three} … "


def test_question_tokens_of_a_prediction_are_not_shown():
    example = make_example("1", "It was Rome", "Where?", "Rome")
    shown = ShownContext(show_context(predicted(example, ["Rome"]), "It was Rome", "Where?", 1).data)
    assert [text for text, _, _ in shown.spans] == ["It", "was", "Rome"]


HOSTILE = "<script>alert(1)</script> \"quoted\" 'single' <img src=x onerror=alert(1)> &amp; </p></div> \u202e"


def test_hostile_text_is_shown_and_not_run():
    words = len(HOSTILE.split())
    prediction = predict(HOSTILE, [[0.5] * words, [0.5] * words], [[0] * words, [1] * words])
    shown = ShownContext(show_context(prediction, HOSTILE, f"What is {HOSTILE}?", column=1, title=HOSTILE).data)
    question, visible, legend = shown.paragraphs
    assert (question, visible) == (f"What is {HOSTILE}?", HOSTILE)
    assert legend.endswith(HOSTILE)
    assert set(shown.tags) == {"div", "p", "b", "span"}


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


# Showing answers


def issues_of(*rows: dict) -> pd.DataFrame:
    nothing = float("nan")
    shared = {"question": "Where?", "reason": "", "evidence": "", "suggested_answer": "", "suggested_start": None}
    shared["suggestion_confidence"] = nothing
    issues = pd.DataFrame([{**shared, "rank": rank, "index": rank - 1, **row} for rank, row in enumerate(rows, 1)])
    return issues.astype({"given_start": "Int64", "suggested_start": "Int64"})


def test_given_answer_is_underlined_and_a_suggestion_shaded():
    issues = issues_of(
        {"label_quality": 0.25, "given_answer": "in Rome", "given_start": 7, "suggested_answer": "Rome",
         "suggested_start": 10, "suggestion_confidence": 0.6, "reason": "probably too long", "evidence": "a; b"},
        {"label_quality": 0.5, "given_answer": "Paris", "given_start": 10, "suggested_answer": "[no answer]",
         "suggestion_confidence": 0.59, "reason": "no answer expected"},
        {"label_quality": 0.75, "given_answer": "", "given_start": None, "suggested_answer": "Oslo",
         "suggested_start": 10, "suggestion_confidence": 0.9},
    )  # fmt: skip
    table = pd.DataFrame({"context": ["It was in Rome.", "It was in Paris.", "It was in Oslo."]})
    shown = ShownContext(f"<all>{show_answers(issues, table, count=3).data}</all>")
    assert shown.paragraphs == [
        "1. Where?", "It was in Rome.", "label quality 0.250; given: in Rome; suggested: Rome (confidence 0.60)",
        "Why: probably too long (a; b)",
        "2. Where?", "It was in Paris.", "label quality 0.500; given: Paris; suggested: no answer (confidence 0.59)",
        "Why: no answer expected",
        "3. Where?", "It was in Oslo.", "label quality 0.750; given: no answer; suggested: Oslo (confidence 0.90)",
    ]  # fmt: skip
    marks = [(text, "border-bottom" in style, "background" in style) for text, style, _ in shown.spans]
    assert marks == [("in ", True, False), ("Rome", True, True), ("Paris", True, False), ("Oslo", False, True)]


def test_answers_of_other_annotators_stand_below():
    table = pd.DataFrame(
        {"context": ["It was in Rome."] * 2, "other_answer": [["Rome", "in Rome", "in Rome"], []],
         "other_start": [[10, 7, 7], []], "other_label": [["ANS"] * 3, []]}
    )  # fmt: skip
    issues = issues_of(*[{"label_quality": 0.25, "given_answer": "Rome", "given_start": 10}] * 2)
    shown = ShownContext(f"<all>{show_answers(issues, table).data}</all>")
    assert shown.paragraphs[2::3] == [
        "label quality 0.250; given: Rome; other annotators: Rome; in Rome", "label quality 0.250; given: Rome"
    ]  # fmt: skip


def test_right_to_left_text_leaves_the_direction_of_the_captions():
    """Else a browser shows "given" at the right of an Arabic answer, and "label quality" at its left."""
    issues = issues_of(
        {"label_quality": 0.5, "question": "أين؟", "given_answer": "روما", "given_start": 5, "suggested_answer": "كان",
         "suggested_start": 0, "suggestion_confidence": 0.6, "reason": "probably too long"}
    )  # fmt: skip
    panel = ElementTree.fromstring(show_answers(issues, pd.DataFrame({"context": ["كان، روما"]})).data)
    assert "dir" not in panel.attrib
    assert [paragraph.get("dir") for paragraph in panel.iter("p")] == ["auto", "auto", "ltr", "ltr"]
    assert [answer.text for answer in panel.iter("bdi")] == ["روما", "كان"]


def test_worst_answers_are_a_table_by_rank():
    issues = issues_of(
        {"label_quality": 0.25, "given_answer": "Paris", "given_start": 10, "suggested_answer": "[no answer]"},
        {"label_quality": 0.5, "given_answer": "", "given_start": None, "suggested_answer": "Oslo",
         "suggested_start": 10, "reason": "cut", "evidence": "a; b"},
        {"label_quality": 0.75, "given_answer": "Rome", "given_start": 10},
    )  # fmt: skip
    assert worst_answers(issues, count=2).to_dict("index") == {
        1: {"label_quality": 0.25, "question": "Where?", "given_answer": "Paris", "suggested_answer": "no answer",
            "reason": "", "evidence": ""},
        2: {"label_quality": 0.5, "question": "Where?", "given_answer": "no answer", "suggested_answer": "Oslo",
            "reason": "cut", "evidence": "a; b"},
    }  # fmt: skip


def test_long_context_is_cut_around_the_marks():
    context = "far " * 1000 + "It was Rome. " + "away " * 1000
    start = context.index("Rome")
    issues = issues_of({"label_quality": 0.5, "given_answer": "Rome", "given_start": start, "suggested_start": None})
    _, text, _ = ShownContext(show_answers(issues, pd.DataFrame({"context": [context]})).data).paragraphs
    assert text.startswith("… far far") and text.endswith("away away …") and "It was Rome. away" in text
    assert 2000 < len(text) < 2030


def test_hostile_answers_are_shown_and_not_run():
    issues = issues_of(
        {"label_quality": 0.5, "given_answer": HOSTILE, "given_start": 2, "suggested_answer": "a", "suggested_start": 0,
         "suggestion_confidence": 1.0, "question": HOSTILE, "reason": HOSTILE, "evidence": HOSTILE}
    )  # fmt: skip
    shown = ShownContext(show_answers(issues, pd.DataFrame({"context": [f"a {HOSTILE}"]})).data)
    assert shown.paragraphs[:2] == [f"1. {HOSTILE}", f"a {HOSTILE}"]
    assert shown.paragraphs[3] == f"Why: {HOSTILE} ({HOSTILE})"
    assert set(shown.tags) == {"div", "p", "b", "span", "bdi"}


def test_rankings_are_compared_by_their_worst_tenth_and_their_order():
    score = np.arange(20) / 20
    swapped = score.copy()
    swapped[[0, 19]] = swapped[[19, 0]]
    assert compare_rankings(score, score) == "2 of the worst 2 are the same; rank correlation 1.00"
    # Two differences of 19 ranks: 1 - 6 * 2 * 19**2 / (20 * (20**2 - 1)).
    assert compare_rankings(score, swapped) == "1 of the worst 2 are the same; rank correlation 0.46"


def test_scores_that_are_all_the_same_have_no_rank_correlation():
    score = np.arange(20) / 20
    expected = "of the worst 2 are the same; no rank correlation, since all examples have the same score in one of them"
    assert compare_rankings(np.ones(20), score) == compare_rankings(score, np.ones(20)) == f"2 {expected}"


# Where every span is labelled


def test_span_of_a_row_is_underlined_and_the_others_by_dots_each_with_its_class():
    rows = [("Acme", ("Acme Ltd", "ORG")), ("Oslo", "[no answer]"), ("Rome", ("Rome", "LOC"))]
    given = [("Anna", "PER"), ("Acme", "LOC"), ("Oslo", "<b>")]
    example = {"context": "Anna joined Acme Ltd in Oslo, then Rome", "given": given, "rows": rows}
    shown = ShownContext(f"<all>{show_answers(*make_span_frames(example, classes=('LOC', 'PER', '<b>'))).data}</all>")
    assert shown.paragraphs == [
        "1.", "Anna PER joined Acme LOC Ltd in Oslo <b>, then Rome",
        "label quality 0.250; given: Acme (LOC); suggested: Acme Ltd (ORG) (confidence 0.75)",
        "2.", "Anna PER joined Acme LOC Ltd in Oslo <b>, then Rome",
        "label quality 0.250; given: Oslo (<b>); suggested: no span (confidence 0.75)",
        "3.", "Anna PER joined Acme LOC Ltd in Oslo <b>, then Rome",
        "label quality 0.250; given: no span; suggested: Rome (LOC) (confidence 0.75)",
    ]  # fmt: skip
    marks = [(text, "3px solid" in style, "dotted" in style, "background" in style) for text, style, _ in shown.spans]
    assert marks[:4] == [
        ("Anna", False, True, False), ("Acme", True, False, True), (" Ltd", False, False, True),
        ("Oslo", False, True, False),
    ]  # fmt: skip


def test_worst_spans_are_a_table_with_their_classes():
    rows = [("Acme", ("Acme", "ORG")), ("Oslo", "[no answer]"), ("Rome", ("Rome", "LOC"))]
    example = {"context": "Acme in Oslo, Rome", "given": [("Acme", "LOC"), ("Oslo", "LOC")], "rows": rows}
    issues, _ = make_span_frames(example)
    found = worst_answers(issues)
    names = ["given_answer", "given_label", "suggested_answer", "suggested_label"]
    assert found[names].to_numpy().tolist() == [
        ["Acme", "LOC", "Acme", "ORG"], ["Oslo", "LOC", "no span", ""], ["no span", "", "Rome", "LOC"],
    ]  # fmt: skip
    assert "question" not in found
    assert "question" in worst_answers(issues.assign(question="Where?"))
