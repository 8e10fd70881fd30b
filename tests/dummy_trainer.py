"""A trainer that takes no time, and helpers for runs with it."""

import json
import re
from types import SimpleNamespace

import numpy as np

from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.model.predictions import SpanPrediction

LABEL_MAP = {"O": 0, "ANS": 1}


class DummyTrainer:
    """Knows the words of the answers it trained on, and gives each token P = 0.9 if it is one, else 0.1."""

    label_map = LABEL_MAP

    def __init__(self):
        self.trained_on, self.seeds = [], []

    def train(self, dataset, output_dir, *, seed, epochs=1):
        self.trained_on.append([example["id"] for example in dataset])
        self.seeds.append(seed)
        output_dir.mkdir()
        (output_dir / "words.json").write_text(json.dumps(known_words(dataset)))
        return SimpleNamespace(loss_history=[(1.0, 0.5)], num_windows=9)

    def load(self, output_dir):
        words = json.loads((output_dir / "words.json").read_text())
        return SimpleNamespace(predict_batch=lambda examples: [predicted(example, words) for example in examples])


def known_words(examples) -> list[str]:
    return sorted({word for example in examples for text in example["answers"]["text"] for word in text.split()})


def predicted(example, words) -> SpanPrediction:
    """What a model that knows some words says of an example: of a question token, then of the context's words."""
    found = [*re.finditer(r"\w+", example["context"])]
    texts = ["?", *(match.group() for match in found)]
    answers = " ".join(example["answers"]["text"]).split()
    return SpanPrediction(
        np.array([[0.1, 0.9] if text in words else [0.9, 0.1] for text in texts], dtype=np.float32),
        texts,
        np.array([[0, 1] if text in answers else [1, 0] for text in texts]),
        char_start=np.array([0, *(match.start() for match in found)]),
        char_end=np.array([1, *(match.end() for match in found)]),
        is_context=np.array([False, *[True] * len(found)]),
    )


def run(trainer, examples, folder, **options):
    """Return the out-of-fold predictions, and the lines that were logged."""
    lines = []
    return out_of_fold_predictions(examples, trainer, folds_dir=folder, log=lines.append, **options), lines


def same_predictions(first, second) -> None:
    for one, other in zip(first.predictions, second.predictions, strict=True):
        assert one.tokens == other.tokens
        for name in ("pred_probs", "labels", "char_start", "char_end", "is_context"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
