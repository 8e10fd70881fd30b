"""The `reader` command: a tiny one from a few questions, twice, interrupted, trained on, and refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import make_example, squad_document, twelve_examples
from families import make_checkpoint

from span_label_errors.__main__ import main as run_command
from span_label_errors.commands import reader as command
from span_label_errors.cross_validation.metrics import evaluate_predictions
from span_label_errors.data.diet import held_out_articles
from span_label_errors.model.checkpoints import read_seen_contexts, resolve_checkpoint
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.model.recipes import READER_RECIPE
from span_label_errors.model.seen_contexts import context_hash
from span_label_errors.model.training_states import TrainingStates
from spanbert import QA, QATrainer

RECIPE = "{num_train_epochs: 2, learning_rate: 1.0e-3, per_device_train_batch_size: 4, frozen_layers: 1, dropout: 0.1}"
# SHA-256 puts the three articles at 0.437, 0.726 and 0.003.
SHARE, HELD_OUT = 0.3, "Article 2"
LARGER_SHARE = 0.6  # the first one, too


def write_squad(file: Path, examples: list[dict]) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(squad_document(examples)), encoding="utf-8")
    return file


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def record_of(folder: Path) -> dict:
    return json.loads((folder / "reader.json").read_text(encoding="utf-8"))


def seen_by(folder: Path) -> set[str]:
    return read_seen_contexts(resolve_checkpoint(folder))


def hashes(examples: list[dict]) -> set[str]:
    return {context_hash(example["context"]) for example in examples}


@pytest.fixture
def run(tiny_bert, tmp_path):
    """Run the command as a command line does; the tiny BERT is the start."""

    def run_with(*words: object, start: object = tiny_bert, output: str = "reader", recipe: str = RECIPE) -> int:
        given = ["--start", start, "--max_length", 48, "--recipe", recipe, "--output", tmp_path / output]
        return run_command(["reader", *map(str, [*words, *given])])

    return run_with


@pytest.fixture
def questions(tmp_path) -> Path:
    return write_squad(tmp_path / "questions.json", twelve_examples())


@pytest.fixture(scope="module")
def made(tiny_bert, tmp_path_factory) -> Path:
    """The reader that the tests compare with, of the file and share that they name."""
    folder = tmp_path_factory.mktemp("made")
    file = write_squad(folder / "questions.json", twelve_examples())
    given = ["--start", tiny_bert, "--max_length", 48, "--recipe", RECIPE, "--held_out", SHARE]
    assert run_command(["reader", *map(str, [file, *given, "--output", folder / "reader"])]) == 0
    return folder / "reader"


def test_article_that_the_tests_hold_out():
    examples = twelve_examples()
    held_out = {
        example["title"] for example, held in zip(examples, held_out_articles(examples, SHARE), strict=True) if held
    }
    assert held_out == {HELD_OUT}


# What it makes


def test_reader_says_what_it_has_read_and_how_well_it_reads_the_rest(made, tiny_bert):
    read = [example for example in twelve_examples() if example["title"] != HELD_OUT]
    held_out = [example for example in twelve_examples() if example["title"] == HELD_OUT]
    record = record_of(made)
    assert record["base"] == record["trained_from"] == str(tiny_bert)
    (source,) = record["sources"]
    assert {name: source[name] for name in source if name != "sha256"} == {
        "file": "questions.json", "questions_read": 8, "of_them_unanswerable": 0, "contexts_read": 4,
        "questions_held_out": 4,
    }  # fmt: skip
    assert (record["recipe"]["learning_rate"], record["recipe"]["weight_decay"], record["seed"]) == (1e-3, 0.01, 0)
    assert record["max_length"] == 48 and "torch" in record["code"]
    assert seen_by(made) == hashes(read)
    qa = QA(made)
    predictions = [prediction.context_only() for prediction in qa.predict_batch(held_out)]
    expected = evaluate_predictions(held_out, predictions, qa.label_map)
    assert record["held_out"] == {"questions.json": json.loads(json.dumps(expected))}


def test_reader_over_another_family_has_the_recipe_that_fits_it(run, questions, tmp_path):
    """A third of its two layers is none, so that what `READER_RECIPE` freezes is trained."""
    base = make_checkpoint(tmp_path / "roberta", "roberta")
    assert run(questions, "--held_out", SHARE, start=base, recipe="num_train_epochs: 10") == 0
    assert record_of(tmp_path / "reader")["recipe"] == {**READER_RECIPE, "num_train_epochs": 10, "frozen_layers": 0}
    reader = QA(tmp_path / "reader")
    assert (reader.checkpoint.model_type, reader.has_head) == ("roberta", True)
    before, after = (QA(path).model.state_dict() for path in (base, tmp_path / "reader"))
    name = "roberta.encoder.layer.0.output.dense.weight"
    assert 0 < (after[name] - before[name]).abs().max().item() < 0.1


def test_reader_predicts_as_the_model_that_its_questions_train_within_rounding(made, tiny_bert, tmp_path):
    read = [example for example in twelve_examples() if example["title"] != HELD_OUT]
    trainer = QATrainer(QA(tiny_bert, max_length=48), 48, {"O": 0, "ANS": 1})
    trainer.train(read, tmp_path / "model", seed=0, **record_of(made)["recipe"])
    found, expected, untrained = (
        np.concatenate([prediction.pred_probs for prediction in QA(path).predict_batch(read)])
        for path in (made, tmp_path / "model", tiny_bert)
    )
    assert np.abs(found - expected).max() < 0.01 < 0.1 < np.abs(untrained - expected).max()


def test_same_command_gives_the_same_bytes_again(made, run, questions, tmp_path, capsys):
    for _ in range(2):
        assert run(questions, "--held_out", SHARE) == 0
        assert content_of(tmp_path / "reader") == content_of(made)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["questions.json", "reader"]
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'reader'}: 0.0 MB, to be used as model_checkpoint\nquestions.json: loss " in printed
    assert "ANS: exact match " in printed


@pytest.mark.parametrize(
    ("place", "name", "last_step"),
    [
        (command, "training_progress", 1),  # after the first step
        (QATrainer, "load", 3),  # after the training
        (command, "evaluate_predictions", 3),  # when all but the record is written
    ],
)
def test_interrupted_command_goes_on_and_gives_the_same_bytes(
    made, run, questions, tmp_path, monkeypatch, capsys, place, name, last_step
):
    """Two epochs of eight examples in batches of four; the model itself follows the last step."""

    def stop(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingStates, "is_due", lambda states: True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(place, name, stop)
        run(questions, "--held_out", SHARE)
    assert not (tmp_path / "reader").exists()
    assert run(questions, "--held_out", SHARE) == 0
    assert f"goes on after step {last_step} of its training" in capsys.readouterr().out
    assert content_of(tmp_path / "reader") == content_of(made)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["questions.json", "reader"]


def test_other_seed_gives_another_reader(made, run, questions, tmp_path):
    assert run(questions, "--held_out", SHARE, "--seed", 1) == 0
    assert (tmp_path / "reader" / "delta.safetensors").read_bytes() != (made / "delta.safetensors").read_bytes()


def test_unanswerable_questions_and_one_of_several_answers_are_read(run, tmp_path):
    context = "The man was by the river in Rome."
    examples = [
        make_example("1", context, "Where was the man?", "Rome", "by the river", "by the river"),
        make_example("2", context, "Who was the woman?"),
    ]
    (source,) = command.read_sources([str(write_squad(tmp_path / "q.json", examples))], 0.0)
    assert [example["answers"]["text"] for example in source.read] == [["by the river"], []]
    assert run(tmp_path / "q.json", "--held_out", 0) == 0
    (facts,) = record_of(tmp_path / "reader")["sources"]
    assert (facts["questions_read"], facts["of_them_unanswerable"], facts["contexts_read"]) == (2, 1, 1)


# What is held out


def test_nothing_is_held_out_of_a_share_of_none(run, questions, tmp_path, capsys):
    assert run(questions, "--held_out", 0) == 0
    assert seen_by(tmp_path / "reader") == hashes(twelve_examples())
    assert record_of(tmp_path / "reader")["held_out"] == {"questions.json": None}
    assert capsys.readouterr().out.endswith("questions.json: nothing held out\n")


def test_context_that_is_held_out_of_one_file_is_read_in_none(tmp_path):
    """Another file has the held-out context in another spelling, under a title that is not held out."""
    held_out = [example for example in twelve_examples() if example["title"] == HELD_OUT]
    copy = {**held_out[0], "id": "copy", "title": "Article 0", "context": held_out[0]["context"].replace(" ", "  ")}
    copy["answers"] = {"text": [], "answer_start": []}
    others = [copy, make_example("new", "A book.", "What?", "book", title="Article 1")]
    files = [write_squad(tmp_path / "a.json", twelve_examples()), write_squad(tmp_path / "b.json", others)]
    first, second = command.read_sources([str(file) for file in files], SHARE)
    assert {example["title"] for example in first.read} == {"Article 0", "Article 1"}
    assert [example["id"] for example in second.read] == ["new"]
    assert second.held_out == [] and first.held_out == held_out


def test_everything_held_out_is_refused(run, tmp_path, capsys):
    write_squad(tmp_path / "q.json", [make_example("1", "A book.", "What?", "book")])
    assert run(tmp_path / "q.json", "--held_out", 0.999999) == 1
    assert capsys.readouterr().err == (
        "expected questions to read, found all of them held out; hold out less, or name more files\n"
    )
    assert not (tmp_path / "reader").exists()


# From a reader


def test_reader_trained_from_a_reader_has_the_same_base_and_all_that_both_have_read(made, run, tiny_bert, tmp_path):
    new = [
        make_example(str(n), f"The woman was in Cairo in {n}.", "When?", str(n), title=f"Year {n}") for n in range(9)
    ]
    assert run(write_squad(tmp_path / "new.json", new), "--held_out", 0, start=made) == 0
    record = record_of(tmp_path / "reader")
    assert (record["base"], record["trained_from"]) == (str(tiny_bert), str(made))
    assert record["base_sha256"] == record_of(made)["base_sha256"]
    assert seen_by(tmp_path / "reader") == hashes(new) | seen_by(made)
    assert QA(tmp_path / "reader").has_head

    trainer = QATrainer(QA(made), 48, {"O": 0, "ANS": 1})
    trainer.train(new, tmp_path / "model", seed=0, **record["recipe"])
    found, expected = (
        np.concatenate([prediction.pred_probs for prediction in QA(path).predict_batch(new)])
        for path in (tmp_path / "reader", tmp_path / "model")
    )
    assert np.abs(found - expected).max() < 0.01


def test_what_the_first_reader_has_read_measures_no_second_one(made, run, questions, tmp_path, monkeypatch):
    """A larger share holds out articles that the first one read: they neither measure nor calibrate."""
    calibrated_on = []
    monkeypatch.setattr(
        command, "temperature_of", lambda trained, held_out, show: calibrated_on.extend(held_out) or 1.0
    )
    held_out = [example for example in twelve_examples() if example["title"] == HELD_OUT]
    examples = twelve_examples()
    now = [example for example, held in zip(examples, held_out_articles(examples, LARGER_SHARE), strict=True) if held]
    assert len(held_out) < len(now) < len(examples)
    assert run(questions, "--held_out", LARGER_SHARE, start=made) == 0
    assert [example["id"] for example in calibrated_on] == [example["id"] for example in held_out]
    qa = QA(tmp_path / "reader")
    predictions = [prediction.context_only() for prediction in qa.predict_batch(held_out)]
    expected = json.loads(json.dumps(evaluate_predictions(held_out, predictions, qa.label_map)))
    assert record_of(tmp_path / "reader")["held_out"] == {"questions.json": expected}


# Refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--held_out", 1], "--held_out: expected a share from 0 to below 1, found 1.0"),
        (["--held_out", -0.1], "--held_out: expected a share from 0 to below 1, found -0.1"),
        (["--held_out", "nan"], "--held_out: expected a share from 0 to below 1, found nan"),
        (["--recipe", "2"], "--recipe: expected YAML such as 'num_train_epochs: 2', found '2'"),
        (["--recipe", ""], "--recipe: expected YAML such as 'num_train_epochs: 2', found ''"),
        (["--recipe", "1: 2"], "--recipe: expected YAML such as 'num_train_epochs: 2', found '1: 2'"),
        (["--recipe", "{"], "--recipe: expected YAML such as 'num_train_epochs: 2', found '{'; while parsing"),
        (["--recipe", "seed: 3"], "--recipe: expected arguments that shape the training, found seed; leave it out"),
        (["--recipe", "on_step: 3"], "--recipe: expected arguments that shape the training, found on_step; leave it"),
        (["--recipe", "learning_rates: 1.0e-3"], "learning_rates: expected a field of TrainingArguments that shapes"),
        (["--recipe", "learning_rate: 1e-3"], "learning_rate: expected a valid number, found '1e-3'"),
        (["--recipe", "num_train_epochs: 1e1"], "--recipe: num_train_epochs: expected a number, such as 2 or 1.0e-4"),
        (["--recipe", "num_train_epochs: .inf"], "--recipe: num_train_epochs: expected a number, such as 2 or 1.0e-4"),
        (["--recipe", "num_train_epochs: 0"], "num_train_epochs: expected a number above 0, found 0"),
        (["--recipe", "frozen_layers: 1.5"], "--recipe: frozen_layers: expected a whole number"),
        (["--recipe", "frozen_layers: 3"], "frozen_layers: expected 0 to 2, the layers of the model, found 3"),
        (["--max_length", 65], "max_length"),
        (["--max_length", 0], "max_length"),
        (["--seed", -1], "--seed: expected a whole number from 0 to 4294967295, found -1"),
        (["--seed", 2**32], "--seed: expected a whole number from 0 to 4294967295, found 4294967296"),
        (["--start_revision", "v1"], "--start_revision: expected none, since"),
        (["--start", "./nowhere"], "nowhere: expected the folder of a checkpoint, found nothing there"),
        (["--start", "org/unknown"], "org/unknown: no such file or folder"),
    ],
)
def test_wrong_argument_is_refused_and_nothing_is_written(run, questions, tiny_bert, tmp_path, capsys, given, message):
    words = [questions, "--start", tiny_bert, "--max_length", 48, "--output", tmp_path / "reader", *given]
    assert command.main([str(word) for word in words]) == 1
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["questions.json"]


def test_start_with_a_head_is_refused(run, questions, tiny_reader, capsys):
    assert run(questions, start=tiny_reader) == 1
    assert "--start: expected a checkpoint without a head, or a reader, found" in capsys.readouterr().err


def test_start_whose_base_is_gone_is_refused_by_the_name_of_both(made, run, questions, tmp_path, capsys):
    reader = Path(shutil.copytree(made, tmp_path / "start"))
    record = record_of(reader)
    (reader / "reader.json").write_text(json.dumps({**record, "base": str(tmp_path / "gone")}), encoding="utf-8")
    assert run(questions, start=reader) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'gone'}: expected the folder of a checkpoint, found nothing there" in said
    assert f"{reader / 'reader.json'} names it as the checkpoint that the reader was trained from" in said


FILES = {
    "missing": (lambda folder: [folder / "none.json"], "none.json: expected a file (.json, "),
    "a folder": (lambda folder: [folder], ", found a folder; save other data as one"),
    "a name": (lambda folder: ["squad"], ", found no such file; save other data as one"),
    "no JSON": (lambda folder: [write(folder / "a.json", "{")], "a.json: "),
    "another layout": (lambda folder: [write(folder / "a.json", "[1]")], "a.json: "),
    "wrong answer": (
        lambda folder: [write_squad(folder / "a.json", [{**make_example("1", "A b.", "?"), "answers": {
            "text": ["b"], "answer_start": [0]}}])],
        "a.json: ",
    ),
    "two of one name": (
        lambda folder: [write_squad(folder / name / "a.json", twelve_examples()) for name in ("one", "two")],
        "expected files of different names, found a.json more than once; rename one",
    ),
    "one file twice": (
        lambda folder: [write_squad(folder / "a.json", twelve_examples())] * 2,
        "expected files of different names, found a.json more than once; rename one",
    ),
}  # fmt: skip


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(("files", "message"), FILES.values(), ids=FILES)
def test_file_that_will_not_do_is_refused(run, tmp_path, capsys, files, message):
    assert run(*files(tmp_path)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "reader").exists()


def test_invalid_examples_are_left_out_when_asked(run, tmp_path):
    wrong = {**make_example("1", "A b.", "?"), "answers": {"text": ["b"], "answer_start": [0]}}
    file = write_squad(tmp_path / "a.json", [wrong, *twelve_examples()])
    with pytest.warns(UserWarning, match="1"):
        assert run(file, "--held_out", 0, "--on_invalid", "drop") == 0
    assert record_of(tmp_path / "reader")["sources"][0]["questions_read"] == 12


@pytest.mark.parametrize("what", ["someone's folder", "a reader with a card", "a file"])
def test_nothing_but_a_reader_is_replaced(made, run, questions, tmp_path, capsys, what):
    output = tmp_path / "reader"
    if what == "a file":
        output.write_text("mine", encoding="utf-8")
    else:
        shutil.copytree(made, output) if what == "a reader with a card" else output.mkdir()
        (output / "thesis.md").write_text("mine", encoding="utf-8")
    assert run(questions, "--held_out", SHARE) == 1
    said = capsys.readouterr().err
    assert "found a file; choose another --output" in said if what == "a file" else "found thesis.md; move them" in said
    assert (output if what == "a file" else output / "thesis.md").read_text(encoding="utf-8") == "mine"
    assert not list(tmp_path.glob(".reader*"))


@pytest.mark.parametrize("start", ["reader", "base"])
def test_what_training_starts_from_is_not_replaced(made, tiny_bert, questions, tmp_path, run, capsys, start):
    """Not even the base of a reader."""
    base = Path(shutil.copytree(tiny_bert, tmp_path / "base"))
    reader = Path(shutil.copytree(made, tmp_path / "old"))
    (reader / "reader.json").write_text(json.dumps({**record_of(reader), "base": str(base)}), encoding="utf-8")
    output = {"reader": reader, "base": base}[start]
    before = content_of(output)
    assert run(questions, start=reader, output=output.name) == 1
    assert "this is the checkpoint that training starts from; choose another --output" in capsys.readouterr().err
    assert content_of(output) == before


def test_training_that_diverges_is_reported(run, questions, tmp_path, capsys):
    recipe = "{num_train_epochs: 3, learning_rate: 1.0e+30, max_grad_norm: 0, per_device_train_batch_size: 2}"
    assert run(questions, "--held_out", 0, recipe=recipe) == 1
    assert "finite" in capsys.readouterr().err
    assert not (tmp_path / "reader").exists()


# The temperature


class Predicting:
    """Predicts 0.9 for each of four tokens, of which three are labelled; question tokens say the contrary."""

    label_map = {"O": 0, "ANS": 1}  # noqa: RUF012

    def predictions(self, examples, on_batch):
        probs = np.tile(np.array([0.1, 0.9], dtype=np.float32), (6, 1))
        labels, is_context = np.array([0, 0, 1, 1, 1, 0]), np.array([False, False, True, True, True, True])
        offsets = np.arange(6)
        for _ in examples:
            yield SpanPrediction(
                probs, ["a"] * 6, np.stack([0 * labels, labels], axis=1), offsets, offsets + 1, is_context
            )


def test_temperature_makes_the_held_out_labels_likeliest():
    # log(0.9 / 0.1) = 2 log 3 becomes log(0.75 / 0.25) = log 3.
    assert command.temperature_of(Predicting(), [{}, {}], lambda text: None) == pytest.approx(2, abs=1e-3)


def test_nothing_held_out_leaves_the_logits():
    assert command.temperature_of(Predicting(), [], lambda text: None) == 1


def test_head_is_divided_by_the_temperature(tiny_bert, examples, tmp_path):
    base = QA(tiny_bert, max_length=48)
    QATrainer(base, 48, base.label_map).train(examples, tmp_path / "model", 1, learning_rate=1e-3)
    trained = QA(tmp_path / "model")
    (tmp_path / "reader").mkdir()
    command.save_reader(tmp_path / "reader", trained, base, temperature=2.0)
    halved, head = QA(tmp_path / "reader").model.classifier, trained.model.classifier
    assert (halved.weight * 2).equal(head.weight) and (halved.bias * 2).equal(head.bias)
