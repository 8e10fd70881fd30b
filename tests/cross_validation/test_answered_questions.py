"""A checkpoint that somebody trained to answer questions has probably read SQuAD: that is said, recorded and kept."""

import json

import pytest
from families import make_checkpoint

from span_label_errors import out_of_fold_predictions, write_outputs
from span_label_errors.cross_validation import trainers
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
KEY = "checkpoint_answers_questions"


@pytest.fixture(scope="module")
def answering(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("answering"), "bert", "question_answering")


def made(checkpoint, examples, folder) -> tuple[list[str], dict]:
    """Make folds, and return the log and `run.json`."""
    lines = []
    trainer = QATrainer(QA(checkpoint, max_length=48, doc_stride=8), 48, LABEL_MAP)
    out_of_fold = out_of_fold_predictions(
        examples, trainer, num_splits=2, folds_dir=folder / "folds", log=lines.append, num_train_epochs=1
    )
    write_outputs(folder / "outputs", examples, out_of_fold, {}, 1.0)
    return lines, json.loads((folder / "outputs" / "run.json").read_text(encoding="utf-8"))


def test_head_that_answered_questions_is_said_and_recorded(answering, examples, tmp_path):
    lines, run = made(answering, examples, tmp_path)
    assert lines[0].startswith(f"{answering} was trained to answer questions, most likely those of SQuAD. If your data")
    assert run[KEY] is True


def test_nothing_is_said_or_recorded_of_other_checkpoints(tiny_bert, examples, tmp_path):
    lines, run = made(tiny_bert, examples, tmp_path)
    assert not any("SQuAD" in line for line in lines)
    assert KEY not in run
    assert KEY not in trainers.settings(QATrainer(QA(tiny_bert, max_length=48), 48, LABEL_MAP))


def test_what_is_trained_from_it_keeps_that(answering, tiny_bert, examples, tmp_path):
    for checkpoint, kept in ((answering, True), (tiny_bert, False)):
        trainer = QATrainer(QA(checkpoint, max_length=48, doc_stride=8), 48, LABEL_MAP)
        for start in (trainer, None):  # once from it, and once from what that has given
            trainer = start or QATrainer(QA(tmp_path / "model"), 48, LABEL_MAP)
            trainer.train(examples[:2], tmp_path / ("model" if start else "next"), 1)
        assert QA(tmp_path / "next").checkpoint.answers_questions == kept
        assert trainers.settings(trainer).get(KEY, False) == kept
