"""Batched prediction, gathering, figures and export of arbitrary examples, against slow references."""

import copy
import json
import math
import re
import string
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st
from small_runs import LABEL_MAP, gather
from text_strategies import (
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

from span_classification_tutorial_utils import read_npz
from span_label_errors.cross_validation.metrics import evaluate_predictions
from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.cross_validation.splits import Split
from span_label_errors.model.predictions import SpanPrediction, join_windows
from span_label_errors.model.tokenizer import Template
from span_label_errors.model.windows import build_windows, tokenize_examples
from span_label_errors.results.read import read_outputs
from span_label_errors.results.write import write_outputs
from span_label_errors.spans.expected_f1 import best_span
from span_label_errors.spans.text import normalized_text
from spanbert import QA

SIXTEENTHS = st.integers(0, 16)

pytestmark = pytest.mark.filterwarnings("ignore::span_label_errors.model.windows.QuestionCutWarning")


@pytest.fixture(scope="session")
def tiny_qa(tiny_bert) -> QA:
    qa = QA(tiny_bert)
    with torch.no_grad():
        qa.model.classifier.weight *= 10  # probabilities far apart, so that no mistake stays below the tolerance
    return qa


def with_windows(qa: QA, size: tuple[int, int]) -> QA:
    """Return the same model with windows of another size."""
    qa = copy.copy(qa)
    qa.max_length, qa.doc_stride = size
    return qa


def slow_layout(example: dict, vocabulary: dict[str, int], size: tuple[int, int]):
    """Return the tokens of question and context, and where each token of the laid-out example is read.

    A place is (window, position in the window).
    """
    question = slow_tokens(example["question"], vocabulary)[: (size[0] - 3) // 2]
    context = slow_tokens(example["context"], vocabulary)
    windows = slow_windows(len(question), len(context), *size)
    before = len(question) + 2
    places = [(0, position) for position in range(before)]
    for token in range(len(context)):
        owner = slow_owner(windows, token)
        places.append((owner, before + windows[owner].index(token)))
    places.append((len(windows) - 1, before + len(windows[-1])))
    return question, context, windows, places


# Batching


@cases(60)
@given(
    rows=st.lists(examples(SETTLED_TEXTS), min_size=1, max_size=5),
    size=window_sizes(),
    batch_size=st.integers(1, 9),
)
def test_batched_probabilities_are_those_of_each_window_alone(tiny_qa, rows, size, batch_size):
    qa, vocabulary = with_windows(tiny_qa, size), tiny_qa.tokenizer.get_vocab()
    shares = []
    batched = qa.predict_batch(rows, batch_size, shares.append)
    for example, found in zip(rows, batched, strict=True):
        question, context, windows, places = slow_layout(example, vocabulary, size)
        window_probs = []
        for window in windows:
            ids = [vocabulary["[CLS]"], *(token[0] for token in question), vocabulary["[SEP]"]]
            types = [0] * len(ids) + [1] * (len(window) + 1)
            ids += [*(context[token][0] for token in window), vocabulary["[SEP]"]]
            with torch.inference_mode():
                ids, types = (torch.tensor([numbers], device=qa.model.device) for numbers in (ids, types))
                logits = qa.model(input_ids=ids, token_type_ids=types).logits[0].tolist()
            window_probs.append([[1 / (1 + math.exp(-logit)) for logit in row] for row in logits])
        expected = [window_probs[window][position] for window, position in places]
        np.testing.assert_allclose(found.pred_probs, expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(qa.predict(example).pred_probs, found.pred_probs, rtol=0, atol=1e-5)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


# Gathering


@cases(200)
@given(
    rows=st.lists(examples(SETTLED_TEXTS), min_size=1, max_size=4),
    size=window_sizes(24),
    random=st.randoms(use_true_random=False),
)
def test_joined_windows_are_read_where_each_token_is_shown_best(tiny_tokenizer, rows, size, random):
    vocabulary, template = tiny_tokenizer.get_vocab(), Template.of(tiny_tokenizer)
    tokenized = tokenize_examples(tiny_tokenizer, rows, LABEL_MAP, max_length=size[0])
    windows = build_windows(tokenized, template, max_length=size[0], doc_stride=size[1])
    # Each value names its window and position, exactly in float32.
    values = [
        np.array([[1000 * number + position, -position] for position in range(len(window.input_ids))], np.float32)
        for number, window in enumerate(windows)
    ]
    order = random.sample(range(len(windows)), len(windows))
    joined = join_windows(rows, tokenized, [windows[i] for i in order], [values[i] for i in order], LABEL_MAP)
    first = 0
    for example, found in zip(rows, joined, strict=True):
        question, context, of_example, places = slow_layout(example, vocabulary, size)
        expected = [[1000.0 * (first + window) + position, -position] for window, position in places]
        first += len(of_example)
        assert found.pred_probs.tolist() == expected
        special = [(0, 0)]
        in_question = special + [token[1:] for token in question] + special
        in_context = [token[1:] for token in context]
        assert list(zip(found.char_start.tolist(), found.char_end.tolist(), strict=True)) == (
            in_question + in_context + special
        )
        assert found.tokens == [
            "[CLS]", *(example["question"][start:end] for _, start, end in question), "[SEP]",
            *(example["context"][start:end] for start, end in in_context), "[SEP]",
        ]  # fmt: skip
        assert found.is_context.tolist() == [False] * len(in_question) + [True] * len(in_context) + [False]
        labels = slow_labels(in_context, slow_spans(example["answers"], ["ANS"], "first"), LABEL_MAP)
        assert found.labels.tolist() == [[1, 0]] * len(in_question) + labels + [[1, 0]]
        alone = found.context_only()
        assert alone.pred_probs.tolist() == expected[len(in_question) : -1]
        assert (alone.tokens, alone.labels.tolist()) == (found.tokens[len(in_question) : -1], labels)
    assert first == len(windows)


class RememberingTrainer:
    """Trains on nothing: its model's probabilities name the example and how many examples it was shown."""

    label_map = LABEL_MAP

    def train(self, rows, output_dir, **arguments):
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "seen.json").write_text(json.dumps([example["id"] for example in rows]))

    def load(self, folder):
        seen = json.loads((folder / "seen.json").read_text())
        return SimpleNamespace(predict_batch=lambda rows: [self.predict(example, seen) for example in rows])

    def predict(self, example, seen) -> SpanPrediction:
        assert example["id"] not in seen
        return SpanPrediction(
            # A question token in front: folds keep those of the context.
            np.array([[0, 0], [int(example["id"]) / 64, len(seen) / 64]], np.float32),
            ["Who", example["context"]],
            np.array([[1, 0], [0, 1]]),
            char_start=np.array([0, 0]),
            char_end=np.array([3, len(example["context"])]),
            is_context=np.array([False, True]),
        )


@cases(40)
@given(
    rows=st.lists(examples(SETTLED_TEXTS), min_size=2, max_size=8),
    repeats=st.lists(st.integers(0, 7), max_size=4),
    num_splits=st.integers(2, 4),
    shuffle=st.booleans(),
    seed=st.integers(0, 50),
)
def test_out_of_fold_predictions_come_in_the_order_of_the_data(rows, repeats, num_splits, shuffle, seed):
    rows = [*rows, *(rows[index % len(rows)] for index in repeats)]
    rows = [{**example, "id": str(number)} for number, example in enumerate(rows)]
    paragraphs = [normalized_text(example["context"]) for example in rows]
    with tempfile.TemporaryDirectory() as folder:
        arguments = {"num_splits": num_splits, "shuffle": shuffle, "seed": seed, "folds_dir": folder}
        trainer = RememberingTrainer()
        if len(set(paragraphs)) < num_splits:
            with pytest.raises(ValueError, match="num_splits: expected at most"):
                out_of_fold_predictions(rows, trainer, **arguments)
            return
        found = out_of_fold_predictions(rows, trainer, **arguments, log=lambda line: None)
    assert sorted(set(found.fold.tolist())) == list(range(num_splits))
    for number, (example, prediction) in enumerate(zip(rows, found.predictions, strict=True)):
        fold = found.fold[number]
        same_paragraph = [other for other, text in enumerate(paragraphs) if text == paragraphs[number]]
        assert {int(found.fold[other]) for other in same_paragraph} == {fold}
        num_seen = sum(int(found.fold[other]) != fold for other in range(len(rows)))
        assert prediction.pred_probs.tolist() == [[number / 64, num_seen / 64]]
        assert (prediction.tokens, prediction.labels.tolist()) == ([example["context"]], [[0, 1]])
    assert [report["validation_indices"] for report in found.reports] == [
        [number for number in range(len(rows)) if found.fold[number] == fold] for fold in range(num_splits)
    ]


# Predictions by hand

CLASS_NAMES = st.text("AZaz09_éß漢.- ", min_size=1, max_size=6).filter(
    lambda name: name[0] not in ".- " and name != "O"
)
LABEL_MAPS = st.lists(CLASS_NAMES, min_size=1, max_size=3, unique_by=str.casefold).flatmap(
    lambda names: st.permutations([*names, "O"]).map(lambda order: {name: column for column, name in enumerate(order)})
)


@st.composite
def predicted(draw, min_size: int = 1):
    """A label map, examples, and predictions for the words of their contexts, in sixteenths.

    No token is a NUL character, as BERT throws it away.
    """
    label_map = draw(LABEL_MAPS)
    classes = [name for name in label_map if name != "O"]
    rows = draw(st.lists(examples(TEXTS, classes), min_size=min_size, max_size=5))
    rows = [{**example, "id": f"{example['title']}{number}"} for number, example in enumerate(rows)]
    predictions = []
    for example in rows:
        ranges = [match.span() for match in re.finditer(r"\w+|[^\w\s\0]", example["context"])]
        probs = [[draw(SIXTEENTHS) / 16 for _ in label_map] for _ in ranges]
        of_all = slow_spans(example["answers"], classes, "all")
        if of_all and draw(st.booleans()):
            # Sure of one of the answers, not always of the first.
            name, start, end = draw(st.sampled_from(of_all))
            for row, (token_start, token_end) in zip(probs, ranges, strict=True):
                row[label_map[name]] = (1 + 14 * (token_start < end and start < token_end)) / 16
        spans = slow_spans(example["answers"], classes, "first")
        predictions.append(
            SpanPrediction(
                np.array(probs, np.float32),
                [example["context"][start:end] for start, end in ranges],
                np.array(slow_labels(ranges, spans, label_map), np.int64),
                char_start=np.array([start for start, _ in ranges], np.int64),
                char_end=np.array([end for _, end in ranges], np.int64),
                is_context=np.ones(len(ranges), dtype=bool),
            )
        )
    return label_map, rows, predictions


# Export


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=6,
)


@cases(60)
@given(
    made=predicted(),
    parameters=st.dictionaries(TEXTS, JSON_VALUES, max_size=3),
    folds=st.lists(st.integers(0, 1), min_size=5, max_size=5),
)
def test_written_outputs_come_back(made, parameters, folds):
    label_map, rows, predictions = made
    classes = sorted(set(label_map) - {"O"}, key=label_map.get)
    fold = np.array(folds[: len(rows)])
    splits = [Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in (0, 1)]
    out_of_fold = gather(rows, predictions, label_map, splits=splits)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_outputs(folder, rows, out_of_fold, parameters, 1.5)
        table, record = read_outputs(folder)
        arrays = {path.name: read_npz(path) for path in paths if path.suffix == ".npz"}

    assert record["parameters"] == parameters
    assert (record["label_map"], list(record["label_map"])) == (label_map, list(label_map))
    assert record["num_examples"] == len(rows)
    given_spans = [slow_spans(example["answers"], classes, "first") for example in rows]
    other_spans = [
        [span for span in dict.fromkeys(slow_spans(example["answers"], classes, "all")) if span not in given]
        for example, given in zip(rows, given_spans, strict=True)
    ]
    columns = {"given": given_spans, **({"other": other_spans} if any(other_spans) else {})}
    expected = {column: [example[column] for example in rows] for column in ("id", "title", "question", "context")}
    for kind, spans_of_rows in columns.items():
        expected[f"{kind}_answer"] = [
            [example["context"][start:end] for _, start, end in spans]
            for example, spans in zip(rows, spans_of_rows, strict=True)
        ]
        expected[f"{kind}_start"] = [[start for _, start, _ in spans] for spans in spans_of_rows]
        expected[f"{kind}_label"] = [[name for name, _, _ in spans] for spans in spans_of_rows]
    expected |= {
        "fold": folds[: len(rows)],
        "tokens": [prediction.tokens for prediction in predictions],
        "char_start": [prediction.char_start.tolist() for prediction in predictions],
        "char_end": [prediction.char_end.tolist() for prediction in predictions],
    }
    for class_name in classes:
        for kind, field in (("labels", "labels"), ("pred_probs", "pred_probs")):
            values = [getattr(prediction, field)[:, label_map[class_name]].tolist() for prediction in predictions]
            expected[f"{kind}_{class_name}"] = values
            file = f"{kind}_{class_name}.npz" if len(classes) > 1 else f"{kind}.npz"
            assert [array.tolist() for array in arrays.pop(file)] == values
    assert list(table.columns) == list(expected)
    for column, values in expected.items():
        found = table[column].tolist()
        assert [value.tolist() if isinstance(value, np.ndarray) else value for value in found] == values, column
    assert [array.tolist() for array in arrays.pop("tokens.npz")] == expected["tokens"]
    # Numpy's texts end before their last NUL characters; the table has the question whole.
    assert [array.item() for array in arrays.pop("questions.npz")] == [
        text.rstrip("\0") for text in expected["question"]
    ]
    assert not arrays


# Figures


def slow_squad(predicted_text: str, given_texts: list[str]) -> tuple[float, float]:
    """Return exact match and F1 in percent, after the script of Rajpurkar et al. (2016)."""

    def words(text: str) -> list[str]:
        text = "".join(character for character in text.lower() if character not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    matches, f1s = [], []
    for text in given_texts or [""]:
        given_words, predicted_words = words(text), words(predicted_text)
        common = (Counter(given_words) & Counter(predicted_words)).total()
        matches.append(given_words == predicted_words)
        if not given_words or not predicted_words:
            f1s.append(float(given_words == predicted_words))
        else:
            f1s.append(2 * common / (len(given_words) + len(predicted_words)))
    return 100.0 * max(matches), 100 * max(f1s)


def slow_average_precision(labels: list[int], probs: list[float]) -> float | None:
    """Return the precision at each threshold, weighted by the gain in recall; None without a positive."""
    if not any(labels):
        return None
    total, recall = 0.0, 0.0
    for threshold in sorted(set(probs), reverse=True):
        kept = [label for label, prob in zip(labels, probs, strict=True) if prob >= threshold]
        total += (sum(kept) / sum(labels) - recall) * sum(kept) / len(kept)
        recall = sum(kept) / sum(labels)
    return total


@cases(100)
@given(made=predicted())
def test_figures_are_those_of_their_definitions(made):
    label_map, rows, predictions = made
    found = evaluate_predictions(rows, predictions, label_map)
    classes = sorted(set(label_map) - {"O"}, key=label_map.get)
    assert list(found["classes"]) == classes
    labels = [row for prediction in predictions for row in prediction.labels.tolist()]
    probs = [row for prediction in predictions for row in prediction.pred_probs.tolist()]
    tiny = np.finfo(float).eps
    likelihoods = [
        min(max(prob if label else 1 - prob, tiny), 1 - tiny)
        for label_row, prob_row in zip(labels, probs, strict=True)
        for label, prob in zip(label_row, prob_row, strict=True)
    ]
    assert found["loss"] == pytest.approx(-sum(map(math.log, likelihoods)) / len(likelihoods), rel=1e-6)
    for name in classes:
        column = label_map[name]
        of_class = [row[column] for row in labels]
        squad = []
        for example, prediction in zip(rows, predictions, strict=True):
            span = best_span(prediction.pred_probs[:, column])
            text = ""
            if span is not None:
                text = example["context"][prediction.char_start[span[0]] : prediction.char_end[span[1] - 1]]
            spans = slow_spans(example["answers"], classes, "all")
            squad.append(
                slow_squad(text, [example["context"][start:end] for label, start, end in spans if label == name])
            )
        average_precision = slow_average_precision(of_class, [row[column] for row in probs])
        assert found["classes"][name] == {
            "average_precision": average_precision and pytest.approx(average_precision),
            "base_rate": pytest.approx(sum(of_class) / len(of_class)),
            "exact_match": pytest.approx(sum(match for match, _ in squad) / len(rows)),
            "f1": pytest.approx(sum(f1 for _, f1 in squad) / len(rows)),
        }
