"""Real SQuAD, where slices of it stand beside the project; they are not part of the repository."""

import numpy as np
import pytest
from conftest import ROOT

from span_label_errors.data.squad import load_squad
from span_label_errors.model.windows import build_windows, tokenize_examples
from span_label_errors.spans.alignment import DEFAULT_LABEL_MAP
from spanbert import QA

FOLDER = ROOT.parent / "shared" / "squad"
TRAIN = FOLDER / "train-v1.1-head.json"

pytestmark = pytest.mark.skipif(
    not TRAIN.is_file(),
    reason="needs slices of SQuAD in ../shared/squad, not part of this project",
)


@pytest.fixture(scope="module")
def train():
    return load_squad(TRAIN)


def test_first_example_is_the_tutorials(train):
    assert len(train) == 1483
    assert train[0]["question"] == "To whom did the Virgin Mary allegedly appear in 1858 in Lourdes France?"
    assert train[0]["answers"] == {"text": ["Saint Bernadette Soubirous"], "answer_start": [515]}


def test_labelled_tokens_are_the_answers(train):
    """Joined without spaces, the labelled pieces are the answer, but for three answers cut inside a word."""
    qa = QA()
    tokenized = tokenize_examples(qa.tokenizer, train.to_list(), DEFAULT_LABEL_MAP, max_length=384)
    other = []
    for example, tokens in zip(train, tokenized, strict=True):
        texts = np.array(tokens.context.texts(example["context"]), dtype=object)
        labelled = "".join(texts[tokens.labels[:, 1] == 1])
        if labelled != "".join(example["answers"]["text"][0].split()):
            other.append(example["answers"]["text"][0])
    assert len(other) <= 3, other
    windows = build_windows(tokenized, qa.template, max_length=384, doc_stride=128)
    assert sum(window.owned.sum() for window in windows) == sum(len(tokens.context.token_ids) for tokens in tokenized)
