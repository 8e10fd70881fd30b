"""Every family from end to end: folds, outputs and their audit, and predictions of long and of strange texts."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import make_example, twelve_examples
from families import FAMILIES, MAX_POSITIONS, kinds_of, make_checkpoint

from span_label_errors.commands.audit import audit
from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.model.trainer import prepare_training
from span_label_errors.results.write import write_outputs
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
# The tiny tokenizers know few of the strange characters.
pytestmark = pytest.mark.filterwarnings("ignore::span_label_errors.model.tokenizer_coverage.UnreadableDataWarning")
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
KOREAN = "\u1112\u1161\u11ab\u1100\u116e\u11a8"  # 한국, letter by letter
FAMILY_OF_EMOJI = "👩\u200d👩\u200d👧"
STRANGE = [
    f"Ce\u0301cile  met ``Anna'' ▁ at 10 ½ km in {KOREAN} ﬁn </s> [SEP] ok. The river was by\u00a0the city.",
    f"In 東京 \n\n  the {FAMILY_OF_EMOJI} man  was \u200b here ﷺ and <pad> ate 1,431 ﬁgs\t\tin 1817. {'x' * 120}",
]
LONG = {"id": "a", "question": "When?", "context": "The man was in the city by the river in the year 1900. " * 8}


def strange_examples() -> list[dict]:
    return [
        make_example("s0", STRANGE[0], "Who [SEP] met </s>?", "Anna"),
        make_example("s1", STRANGE[0], "Where?", KOREAN),
        make_example("s2", STRANGE[1], "When <pad> ``?", "1817"),
        make_example("s3", STRANGE[1], "Who?", FAMILY_OF_EMOJI),
    ]


# Each with one of its kinds of checkpoints.
@pytest.mark.parametrize(
    ("family", "kind"), [(family, kinds_of(family)[i % len(kinds_of(family))]) for i, family in enumerate(FAMILIES)]
)
def test_run_of_every_family_passes_the_audit(family, kind, tmp_path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint", family, kind)
    examples = twelve_examples() + strange_examples()
    trainer = QATrainer(QA(checkpoint, max_length=48, doc_stride=12), 48, LABEL_MAP)
    folds = out_of_fold_predictions(
        examples, trainer, num_splits=2, folds_dir=tmp_path / "folds", n_jobs=1, log=lambda text: None,
        num_train_epochs=1, learning_rate=1e-3,
    )  # fmt: skip
    for example, prediction in zip(examples, folds.predictions, strict=True):
        (answer,) = example["answers"]["text"]
        labelled = [token for token, label in zip(prediction.tokens, prediction.labels[:, 1], strict=True) if label]
        # A character of several tokens is the piece of each.
        assert set("".join(labelled)) >= set(answer) - set(" \u200d")
    write_outputs(tmp_path / "outputs", examples, folds, {"seed": 0}, seconds=1.0)
    statements = list(audit(tmp_path / "outputs", tmp_path / "folds"))
    assert len(statements) == 10
    assert any(re.search("cover every visible character", statement) for statement in statements)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {family: make_checkpoint(root / family, family) for family in FAMILIES}


@EVERY_FAMILY
def test_prediction_of_many_is_that_of_each_and_its_context_begins_behind_the_separator(family, folders):
    qa = QA(folders[family], max_length=40, doc_stride=10)
    examples = twelve_examples() + strange_examples()
    for example, prediction in zip(examples, qa.predict_batch(examples), strict=True):
        np.testing.assert_allclose(qa.predict(example).pred_probs, prediction.pred_probs, rtol=0, atol=1e-5)
        tokens = prediction.tokens
        context_start = tokens.index("[SEP]") + 1
        assert np.flatnonzero(prediction.is_context).tolist() == list(range(context_start, len(tokens) - 1))
        rows = zip(tokens, prediction.char_start, prediction.char_end, prediction.is_context, strict=True)
        assert all(
            token == example["context"][start:end] == token.strip() for token, start, end, is_in in rows if is_in
        )


@EVERY_FAMILY
def test_window_is_as_long_as_the_positions_at_most(family, folders):
    """A window of one more token would fail inside the network, on a GPU beyond repair."""
    qa = QA(folders[family], max_length=MAX_POSITIONS)
    assert "".join(qa.predict(LONG).context_only().tokens) == LONG["context"].replace(" ", "")
    with pytest.raises(ValueError, match=f"max_length: expected at most {MAX_POSITIONS}, the positions that the model"):
        QA(folders[family], max_length=MAX_POSITIONS + 1)


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert"])
def test_padding_with_another_index_leaves_fewer_positions(family, tmp_path):
    """Of rinna's RoBERTa, the padding has the index 3."""
    checkpoint = make_checkpoint(tmp_path, family, pad_token_id=3)
    qa = QA(checkpoint, max_length=MAX_POSITIONS - 2)
    assert "".join(qa.predict(LONG).context_only().tokens) == LONG["context"].replace(" ", "")
    with pytest.raises(ValueError, match=f"max_length: expected at most {MAX_POSITIONS - 2}"):
        QA(checkpoint, max_length=MAX_POSITIONS - 1)


@pytest.mark.filterwarnings("ignore::span_label_errors.model.windows.QuestionCutWarning")
def test_window_must_hold_a_question_and_a_context_beside_the_special_tokens_of_the_model(folders):
    """BERT has three special tokens in a window, RoBERTa four."""
    example = {"id": "a", "question": "When?", "context": "the city"}
    assert QA(folders["bert"], max_length=5, doc_stride=0).predict(example).tokens[-1] == "[SEP]"
    with pytest.raises(ValueError, match="max_length: expected at least 6, found 5"):
        QA(folders["roberta"], max_length=5, doc_stride=0)
    assert QA(folders["roberta"], max_length=6, doc_stride=0).predict(example).tokens[-1] == "[SEP]"
    # In a window of 10, a question may have 3 tokens of either: 4 are left for a context in BERT, 3 in RoBERTa.
    QA(folders["bert"], max_length=10, doc_stride=3)
    with pytest.raises(ValueError, match="doc_stride: expected 0 to 2 for max_length=10"):
        QA(folders["roberta"], max_length=10, doc_stride=3)


def test_tokens_that_stand_for_no_text_teach_nothing(tmp_path):
    """EuroBERT has two tokens for a no-break space. Whole windows of them would have a loss of 0 / 0."""
    trainer = QATrainer(QA(make_checkpoint(tmp_path / "checkpoint", "eurobert"), max_length=24), 24, LABEL_MAP)
    examples = [make_example("a", "the" + "\u00a0" * 100 + "capital", "the", "capital")]
    # Of the two tokens that have text, one is an answer's: the odds are even.
    _, _, network = prepare_training(trainer, examples, tmp_path / "model")
    assert network.classifier.bias.tolist() == pytest.approx([0, 0], abs=1e-6)
    report = trainer.train(examples, tmp_path / "model", 1, per_device_train_batch_size=1)
    assert report.num_windows == 2
    (prediction,) = trainer.load(tmp_path / "model").predict_batch(examples)
    assert prediction.tokens == ["[CLS]", "the", "[SEP]", "the", "capital", "[SEP]"]
    assert prediction.labels[:, 1].tolist() == [0, 0, 0, 0, 1, 0]


def test_tokenizer_without_special_tokens_around_texts_gives_markers_all_the_same(tmp_path):
    """GPT-like templates put nothing around texts; a separator between question and context is put in."""
    file = make_checkpoint(tmp_path, "roberta") / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(
        json.dumps(
            {
                **content,
                "post_processor": {
                    "type": "ByteLevel",
                    "trim_offsets": True,
                    "add_prefix_space": False,
                    "use_regex": True,
                },
            }
        ),
        encoding="utf-8",
    )
    prediction = QA(tmp_path).predict(make_example("a", "the city", "the capital", "city"))
    assert prediction.tokens == ["[CLS]", "the", "capital", "[SEP]", "the", "city", "[SEP]"]
    assert prediction.pred_probs[0].tolist() == [0, 0]  # no token stands for it
