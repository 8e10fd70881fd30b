"""The audit finds each thing that can be wrong with a run, and nothing wrong with one that is right."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from conftest import ROOT, make_example, twelve_examples

from span_label_errors.commands.audit import AuditError, audit, main
from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.cross_validation.store import (
    FOLD_FILE,
    configuration_of,
    fold_folder,
    fold_key,
    load_fold,
    save_fold,
)
from span_label_errors.cross_validation.stored_predictions import save_predictions
from span_label_errors.files import file_sha256
from span_label_errors.model.seen_contexts import SEEN_CONTEXTS_FILE, context_hash
from span_label_errors.quality.label_errors import FewAnswersWarning, find_label_errors
from span_label_errors.results.npz import read_npz, write_npz
from span_label_errors.results.read import TABLE_FILE, read_outputs
from span_label_errors.results.write import write_outputs
from span_label_errors.review.write import write_review_files
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
ARRAYS = ["pred_probs", "labels", "tokens", "questions"]


def make_run(
    folder: Path, tiny_bert: Path, dataset=None, label_map=LABEL_MAP, answers: str = "first", **options
) -> Path:
    """Train folds and write outputs, by default of the twelve examples; return the folder that holds both."""
    dataset = twelve_examples() if dataset is None else dataset
    qa = QA(tiny_bert, label_map=label_map, max_length=48, doc_stride=8, answers=answers)
    trainer = QATrainer(qa, 48, label_map)
    out_of_fold = out_of_fold_predictions(
        dataset, trainer, folds_dir=folder / "folds", log=lambda line: None, num_train_epochs=1, **options
    )
    write_outputs(folder / "outputs", dataset, out_of_fold, {"seed": options.get("seed", 0)}, seconds=1.0)
    return folder


def found_wrong(run: Path) -> str:
    """Return what the audit finds wrong with a run that `make_run` made."""
    with pytest.raises(AuditError) as caught:
        list(audit(run / "outputs"))
    return str(caught.value)


@pytest.fixture(scope="module")
def whole(tiny_bert, tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole"), tiny_bert)


@pytest.fixture(scope="module")
def whole_without_training(tiny_reader, tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("without_training"), tiny_reader, num_splits=0, group_by="none")


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "run")


# Changes that whoever makes them hides by bringing the hashes up to date


def change_record(run: Path, change) -> None:
    file = run / "outputs" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    change(record)
    file.write_text(json.dumps(record), encoding="utf-8")


def seal_outputs(run: Path) -> None:
    outputs = run / "outputs"
    change_record(run, lambda record: record["files"].update({n: file_sha256(outputs / n) for n in record["files"]}))


def change_table(run: Path, change) -> None:
    file = run / "outputs" / TABLE_FILE
    table = pyarrow.parquet.read_table(file).to_pandas()
    changed = change(table)
    (table if changed is None else changed).to_parquet(file)
    seal_outputs(run)


def change_cells(run: Path, column: str, change, example_index: int = 4) -> None:
    def in_table(table: pd.DataFrame) -> None:
        cells = [np.array(cell) for cell in table[column]]
        cells[example_index] = change(cells[example_index])
        table[column] = cells

    change_table(run, in_table)


def change_arrays(run: Path, name: str, change) -> None:
    file = run / "outputs" / f"{name}.npz"
    write_npz(file, change(read_npz(file)))
    seal_outputs(run)


def fold_of(run: Path, fold_index: int = 1) -> Path:
    (folder,) = (run / "folds").glob(f"fold_{fold_index}_of_*")
    return folder


def change_fold(run: Path, change, fold_index: int = 1) -> None:
    """Save a fold with a change of its report, files or predictions, and with the key, name and hashes for it."""
    folder = fold_of(run, fold_index)
    report = json.loads((folder / FOLD_FILE).read_text(encoding="utf-8"))
    examples = twelve_examples()
    held_out = [examples[example_index] for example_index in report["validation_indices"]]
    predictions = list(load_fold(folder, report["key"], held_out).predictions)
    change(report, folder, predictions)
    report["key"] = fold_key(configuration_of(report))
    save_predictions(folder, report["validation_indices"], predictions)
    save_fold(folder, report)
    num_folds = int(folder.name.partition("-")[0].rpartition("_")[2])
    renamed = folder.rename(fold_folder(run / "folds", fold_index, num_folds, report["key"]))
    change_record(run, lambda record: record["folds"][fold_index].update(folder=renamed.name))


def change_predictions(run: Path, name: str, change, fold_index: int = 1) -> None:
    def of_fold(report: dict, folder: Path, predictions: list) -> None:
        for prediction in predictions:
            array = getattr(prediction, name)
            array[:] = change(array)

    change_fold(run, of_fold, fold_index)


def at(position: int, value) -> object:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[position] = value(array[position])
        return array

    return change


# A run that is right


def test_run_that_is_right_is_proven_so(whole):
    statements = list(audit(whole / "outputs"))
    assert statements[0] == "5 files are those that run.json lists, by SHA-256"
    assert statements[1] == "12 examples, each once"
    assert statements[2].startswith("264 tokens are pieces of their contexts")
    assert statements[3] == "the labels mark the tokens of 12 given answers, and no others"
    assert statements[6] == "3 folds hold each example out once, and no context is on both sides of a split"
    assert statements[8].startswith("no model was ever trained on a context that it predicts")
    assert statements[9:] == ["there is no review of this run yet"]


def test_run_of_several_classes_without_grouping_is_proven_right(tiny_bert, tmp_path):
    dataset = [
        {**example, "answers": {**example["answers"], "label": ["CITY" if index % 2 else "YEAR"]}}
        for index, example in enumerate(twelve_examples())
    ]
    dataset.append({**make_example("none", "The man was in Paris.", "Who?"), "title": ""})
    label_map = {"CITY": 0, "O": 1, "YEAR": 2}
    run = make_run(tmp_path, tiny_bert, dataset, label_map, group_by="none", seed=4)
    statements = list(audit(run / "outputs"))
    assert statements[0].startswith("7 files")
    assert "no example is on both sides" in statements[6]
    assert "with group_by none, contexts are shared" in statements[8]


def test_characters_that_a_tokenizer_drops_are_no_loss(tiny_bert, tmp_path):
    dataset = twelve_examples()
    context = "\u200bThe\u00a0capital\u200d is \ufffd\x07 Pa\u0301ris\u3000.\u0301\n"
    dataset[0] = make_example("odd", context, "What is it?", "Pa\u0301ris")
    assert len(list(audit(make_run(tmp_path, tiny_bert, dataset) / "outputs"))) == 10


def test_command_says_what_holds_and_what_does_not(run, capsys):
    assert main([str(run / "outputs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and all(line.startswith("ok     ") for line in lines)
    change_cells(run, "pred_probs_ANS", at(0, lambda value: np.float32("nan")))
    assert main([str(run / "outputs")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("WRONG  example 4 (id '2a'): expected probabilities from 0 to 1, found [nan]")
    assert [line.split()[0] for line in lines] == ["ok"] * 4 + ["WRONG"]


def test_folds_may_lie_elsewhere(run):
    (run / "folds").rename(run / "elsewhere")
    assert "name the folder of the run's folds with --folds" in found_wrong(run)
    assert main([str(run / "outputs"), "--folds", str(run / "elsewhere")]) == 0


def test_module_is_a_command(tmp_path):
    command = [sys.executable, "-m", "span_label_errors", "audit", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"WRONG  {tmp_path}: expected the outputs of a run, found no run.json")


# Each thing that can be wrong


def test_changed_file_is_found(run):
    (run / "outputs" / "labels.npz").write_bytes(b"other")
    assert "labels.npz: expected the file that run.json lists, found other content" in found_wrong(run)


def drop(record: dict, name: str) -> None:
    del record["files"][name]


WRONG = {
    "a file that is not listed": (lambda run: change_record(run, lambda record: drop(record, "tokens.npz")),
        "run.json: expected to list .*'tokens.npz'"),
    "a file of another run": (
        lambda run: shutil.copy(run / "outputs" / "labels.npz", run / "outputs" / "labels_PER.npz"),
        r"expected only files of this run, found \['labels_PER.npz'\] of another"),
    "an example that is lost": (lambda run: change_table(run, lambda table: table.drop(index=3)),
        "expected 12 examples, found 11"),
    "an id that stands twice": (
        lambda run: change_table(run, lambda table: table.assign(id=[*table["id"][:-1], table["id"][0]])),
        r"expected unique ids, found example 11 \(id '0a'\) again"),
    "a token of another text": (lambda run: change_cells(run, "tokens", at(3, lambda value: "Oslo")),
        r"example 4 \(id '2a'\): expected token 3 to be 'Rome', found 'Oslo'"),
    "offsets that are not in order": (
        lambda run: change_cells(run, "char_start", lambda cells: cells[[1, 0, *range(2, len(cells))]]),
        r"example 4 \(id '2a'\): offsets are not in order"),
    "a token that is lost": (
        lambda run: [
            change_cells(run, column, lambda cells: np.delete(cells, 3))
            for column in ("tokens", "char_start", "char_end", "labels_ANS", "pred_probs_ANS")
        ],
        r"example 4 \(id '2a'\): expected a token over character 15, 'R', found none",
    ),
    "an answer at another place": (lambda run: change_cells(run, "given_start", lambda cells: cells + 1),
        r"example 4 \(id '2a'\): expected the answer 'Rome' at character 16, found 'ome\.'"),
    "a label that is shifted": (lambda run: change_cells(run, "labels_ANS", lambda cells: np.roll(cells, 1)),
        r"example 4 \(id '2a'\): expected the labels of ANS to mark .*\(15, 19\).* found marks at tokens \[4\]"),
    "a probability above 1": (lambda run: change_cells(run, "pred_probs_ANS", at(2, lambda value: 1.001)),
        r"example 4 \(id '2a'\): expected probabilities from 0 to 1, found \[1\.001"),
    "fewer probabilities than tokens": (lambda run: change_cells(run, "pred_probs_ANS", lambda cells: cells[:-1]),
        r"example 4 \(id '2a'\): expected 22 probabilities, found 21"),
    "an array that is lost": (lambda run: change_arrays(run, "labels", lambda arrays: arrays[:-1]),
        "labels.npz: expected 12 arrays, found 11"),
    "an example that is held out twice": (
        lambda run: change_record(run, lambda record: record["folds"][0]["validation_indices"].append(
            record["folds"][1]["validation_indices"][0])),
        "is held out 2 times",
    ),
    "an example that is trained on and held out": (
        lambda run: change_record(run, lambda record: record["folds"][2]["train_indices"].append(
            record["folds"][2]["validation_indices"][0])),
        "fold 2: the group of example .* is held out and trained on",
    ),
    "a paragraph on both sides of a split": (
        lambda run: change_record(run, lambda record: record.update(group_by="title")),
        "fold 0: the group of example .* is held out and trained on"),
    "an example in another fold than it says": (
        lambda run: change_table(run, lambda table: table.assign(fold=(table["fold"] + (table.index == 0)) % 3)),
        r"example 0 \(id '0a'\): expected fold \d, which held it out"),
    "a seed that is not derived": (lambda run: change_record(run, lambda record: record["folds"][1].update(seed=1)),
        "expected the seeds of the folds to be derived from 0"),
    "folds in another order": (lambda run: change_record(run, lambda record: record["folds"].reverse()),
        "expected fold 0, found fold 2"),
    "a fold without its report": (lambda run: (fold_of(run) / FOLD_FILE).unlink(), "fold 1 .*No such file"),
    "weights that were changed": (lambda run: (fold_of(run) / "model.safetensors").write_bytes(b"other"),
        "fold 1 .*model.safetensors is damaged"),
    "a fold of other data": (lambda run: change_fold(run, lambda report, *_: report.update(data="0" * 64)),
        "fold 1 .*expected a fold of this data, found other data"),
    "a fold of another training part": (lambda run: change_fold(run, lambda report, *_: report["train_indices"].pop()),
        "fold 1 .*expected the train_indices of run.json, found others"),
    "a configuration under another name": (
        lambda run: (
            change_record(run, lambda record: record["folds"][1].update(folder="fold_1_of_3-000000000000")),
            fold_of(run).rename(run / "folds" / "fold_1_of_3-000000000000"),
        ),
        "fold 1 .*expected its configuration under the name fold_1_of_3-",
    ),
    "a report with another configuration than its key": (
        lambda run: (fold_of(run) / FOLD_FILE).write_text(
            (fold_of(run) / FOLD_FILE).read_text().replace('"num_train_epochs": 1', '"num_train_epochs": 2')),
        "fold 1 .*fold.json is of another configuration",
    ),
    "a fold's metric that was changed": (
        lambda run: (fold_of(run) / FOLD_FILE).write_text(
            re.sub(r'"loss": [0-9.]+', '"loss": 0.01', (fold_of(run) / FOLD_FILE).read_text())),
        "fold 1 .*fold.json is damaged: its SHA-256 is not the one of its content",
    ),
    "a probability that the fold did not predict": (
        lambda run: change_predictions(run, "pred_probs", lambda array: array[::-1]),
        "fold 1 .*expected the pred_probs_ANS of out_of_fold.parquet to be what it predicted"),
    "a fold of another checkpoint": (
        lambda run: change_record(run, lambda record: record.update(checkpoint_sha256="0" * 64)),
        "fold 0 .*expected a fold from the checkpoint of run.json, found another"),
    "a fold that was trained in another way": (
        lambda run: change_record(run, lambda record: record["folds"][1].update(training=None)),
        "fold 1 .*expected the training of run.json, found others"),
    "a model that is not said to have seen its training part": (
        lambda run: change_fold(run, lambda report, folder, _: (folder / SEEN_CONTEXTS_FILE).write_text("[]")),
        "seen_contexts.json: expected the contexts of all 8 training examples"),
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG)
def test_wrong_thing_is_found(run, change):
    damage, message = WRONG[change]
    damage(run)
    with pytest.raises(AuditError, match=message):
        list(audit(run / "outputs"))


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_two_examples_that_changed_places_are_found(run, name):
    change_arrays(run, name, lambda arrays: [arrays[1], arrays[2], arrays[0], *arrays[3:]])
    assert f"{name}.npz: expected under '" in found_wrong(run)


def test_model_that_has_seen_what_it_predicts_is_found(run, tiny_bert):
    """The older recipe's leak: the split is clean, but the model has been trained on everything before."""
    qa = QA(tiny_bert, max_length=48, doc_stride=8)

    def leak(report: dict, folder: Path, predictions: list) -> None:
        QATrainer(qa, 48, LABEL_MAP).train(twelve_examples(), run / "leaky", 1)
        shutil.copytree(run / "leaky", folder, dirs_exist_ok=True)

    change_fold(run, leak)
    assert "fold 1: the model was trained on the context of example" in found_wrong(run)


# A run without training


def test_run_without_training_is_proven_right(whole_without_training):
    statements = list(audit(whole_without_training / "outputs"))
    assert statements[6] == "nothing was trained: one checkpoint predicted each example once"
    assert statements[7] == (
        "the fold in folds/ is whole, and the probabilities are those that the checkpoint predicted"
    )
    assert statements[8] == (
        "of the 2 contexts that the checkpoint lists as read, none is in the data, in whatever spelling"
    )


def test_checkpoint_that_lists_nothing_is_said_to_prove_nothing(tiny_reader, tmp_path):
    silent = shutil.copytree(tiny_reader, tmp_path / "silent")
    (silent / SEEN_CONTEXTS_FILE).unlink()
    statements = list(audit(make_run(tmp_path, silent, num_splits=0) / "outputs"))
    assert statements[8] == (
        "the checkpoint lists no context that it has read, so whether it has read the data cannot be seen"
    )


def list_as_read(report: dict, folder: Path, predictions: list) -> None:
    (folder / SEEN_CONTEXTS_FILE).write_text(json.dumps([context_hash(twelve_examples()[4]["context"].upper())]))


def claim_to_have_trained(report: dict, folder: Path, predictions: list) -> None:
    report["train_indices"] = [0, 1]


WRONG_WITHOUT_TRAINING = {
    "a context of the data that the checkpoint has read": (lambda run: change_fold(run, list_as_read, 0),
        r"expected a checkpoint that has not read the context of example 4 \(id '2a'\)"),
    "a probability that the checkpoint did not predict": (
        lambda run: change_cells(run, "pred_probs_ANS", lambda cells: cells[::-1]),
        "pred_probs.npz: expected under '4' what out_of_fold.parquet has for it"),
    "probabilities that the checkpoint did not predict": (
        lambda run: change_predictions(run, "pred_probs", lambda array: array[::-1], fold_index=0),
        "fold 0 .*expected the pred_probs_ANS of out_of_fold.parquet to be what it predicted"),
    "a fold that claims to have trained": (lambda run: change_fold(run, claim_to_have_trained, 0),
        "fold 0 .*expected the train_indices of run.json, found others"),
    "a record that claims to have trained": (
        lambda run: change_record(run, lambda record: record["folds"][0].update(train_indices=[0, 1])),
        "fold 0: the group of example 0 is held out and trained on"),
    "a seed of a training": (lambda run: change_record(run, lambda record: record["folds"][0].update(seed=1)),
        "run.json: expected no seed without training, found 1"),
    "another number of splits": (
        lambda run: change_record(run, lambda record: record["parameters"].update(num_splits=3)),
        "run.json: expected 0 as num_splits, as its folds are, found 3"),
    "a record of an older version": (lambda run: change_record(run, lambda record: record["folds"][0].pop("training")),
        r"found one of another form \(KeyError\(.training.\)\); if an older .*, run the training notebook again"),
    "weights of its own": (
        lambda run: change_fold(
            run, lambda report, folder, predictions: (folder / "model.safetensors").write_bytes(b""), 0),
        r"expected no weights, since nothing was trained, found \['model.safetensors'\]"),
    "an example that was not predicted": (
        lambda run: change_record(run, lambda record: record["folds"][0]["validation_indices"].pop()),
        "expected every one of 12 examples to be held out once; example 11 is held out 0 times"),
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG_WITHOUT_TRAINING)
def test_wrong_thing_without_training_is_found(whole_without_training, tmp_path, change):
    damage, message = WRONG_WITHOUT_TRAINING[change]
    run = shutil.copytree(whole_without_training, tmp_path / "run")
    damage(run)
    with pytest.raises(AuditError, match=message):
        list(audit(run / "outputs"))


# Records


@pytest.mark.parametrize("name", ["label_map", "num_examples", "group_by", "folds", "data_sha256"])
def test_record_that_lacks_something_is_found(run, name):
    change_record(run, lambda record: record.pop(name))
    assert name in found_wrong(run)


def test_record_of_another_form_is_found(run):
    change_record(run, lambda record: record.update(parameters=["folds"]))
    assert "found one of another form (AttributeError" in found_wrong(run)


# The review of a run


@pytest.fixture
def reviewed(run) -> Path:
    return review(run)


def review(run: Path) -> Path:
    table, _ = read_outputs(run / "outputs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewAnswersWarning)
        found = find_label_errors(table)
    write_review_files(run / "outputs", found, table)
    return run


def change_review(run: Path, change) -> None:
    file = run / "outputs" / "label_issues.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def test_review_of_the_run_is_proven_so(reviewed):
    (reviewed / "outputs" / "label_issues.csv").write_bytes(b"filled in")
    statement = list(audit(reviewed / "outputs"))[-1]
    assert statement == "6 files of the review are of this run; its answers stand where it says"


def test_run_and_review_of_every_annotators_answer_are_proven_right(tiny_reader, tmp_path):
    dataset = twelve_examples()
    for example in dataset[:5]:  # the last character is another border, and the second of two such answers agrees most
        answers = example["answers"]
        text, start = answers["text"][0], answers["answer_start"][0]
        answers.update(text=[text[:-1], text, text], answer_start=[start] * 3, annotator=["ann", "bob", "cy"])
    for example in dataset[5:]:
        example["answers"]["annotator"] = [""] * len(example["answers"]["text"])
    run = review(make_run(tmp_path, tiny_reader, dataset, num_splits=0, answers="each"))
    statements = list(audit(run / "outputs"))
    assert statements[3].endswith("given answers, and no others, of each example those that agree most with the others")
    assert statements[-1] == "6 files of the review are of this run; its answers stand where it says"
    file = run / "outputs" / "label_issues.parquet"
    pd.read_parquet(file).drop(index=0).to_parquet(file)
    change_review(run, lambda record: record["files"].update({file.name: file_sha256(file)}))
    assert "expected all examples in ranks" in found_wrong(run)


@pytest.fixture(scope="module")
def whole_of_spans(tiny_bert, tmp_path_factory) -> Path:
    dataset = [{**example, "question": ""} for example in twelve_examples()]
    dataset[2]["answers"] = {"text": [], "answer_start": []}
    (whole,), (start,) = (dataset[3]["answers"][name] for name in ("text", "answer_start"))
    dataset[3]["answers"] = {"text": [whole, whole[:1]], "answer_start": [start, start]}  # one inside the other
    return review(make_run(tmp_path_factory.mktemp("spans"), tiny_bert, dataset, answers="all"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda issues: issues, ""),
        (lambda issues: issues[issues["given_answer"] == ""], "expected each given span once"),
        (lambda issues: pd.concat([issues, issues]), "expected each given span once"),
        (lambda issues: issues[issues["given_answer"] != ""], "expected a row of each example"),
        (lambda issues: issues.iloc[::-1], "expected all examples in ranks"),
    ],
)
def test_rows_that_are_not_of_the_runs_spans_are_found(whole_of_spans, tmp_path, change, message):
    run = shutil.copytree(whole_of_spans, tmp_path / "run")
    file = run / "outputs" / "label_issues.parquet"
    change(pd.read_parquet(file)).to_parquet(file)
    change_review(run, lambda record: record["files"].update({file.name: file_sha256(file)}))
    if message:
        assert message in found_wrong(run)
    else:
        assert list(audit(run / "outputs"))[-1].endswith("its answers stand where it says")


def test_review_of_another_run_is_found(reviewed):
    change_review(reviewed, lambda record: record.update({TABLE_FILE: "0" * 64}))
    assert "expected a review of this run, found one of another; run the second notebook again" in found_wrong(reviewed)


def test_changed_file_of_the_review_is_found(reviewed):
    (reviewed / "outputs" / "label_studio_tasks.json").write_bytes(b"[]")
    assert "label_studio_tasks.json: expected the file that label_issues.json lists" in found_wrong(reviewed)


def with_cell(issues: pd.DataFrame, column: str, value) -> pd.DataFrame:
    changed = issues.copy()
    changed.loc[changed.index[3], column] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda issues: issues.iloc[:-1], "expected all examples in ranks"),
        (lambda issues: with_cell(issues, "index", issues["index"].iloc[0]), "expected each example once, or"),
        (lambda issues: with_cell(issues, "label_quality", 1.5), "expected label qualities from 0 to 1"),
        (lambda issues: with_cell(issues, "id", "other"), "example 'other': expected this id"),
    ],
)
def test_issues_that_are_not_of_the_run_are_found(reviewed, change, message):
    """Only the table is written: the page would refuse most of it."""
    file = reviewed / "outputs" / "label_issues.parquet"
    change(pd.read_parquet(file)).to_parquet(file)
    change_review(reviewed, lambda record: record["files"].update({file.name: file_sha256(file)}))
    assert message in found_wrong(reviewed)


def test_record_of_another_kind_is_found(reviewed):
    (reviewed / "outputs" / "label_issues.json").write_text("[]")
    assert "files of a run, found one of another form (TypeError" in found_wrong(reviewed)
