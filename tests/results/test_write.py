"""What a run writes."""

import dataclasses
import hashlib
import json
import platform
import shutil
import subprocess
import weakref
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from cleanlab.experimental import span_classification
from conftest import ROOT, make_example, twelve_examples
from dummy_trainer import DummyTrainer, run
from small_runs import LABELS, PARAMETERS, PROBS, five_examples, gather, one_class, predict

from span_label_errors.cross_validation.out_of_fold import OutOfFold
from span_label_errors.cross_validation.store import data_fingerprint
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.results import write as exports
from span_label_errors.results.npz import read_npz
from span_label_errors.results.read import read_outputs
from span_label_errors.results.write import out_of_fold_table, write_outputs


@pytest.fixture
def dataset() -> list[dict]:
    return five_examples()


@pytest.fixture
def out_of_fold(dataset) -> OutOfFold:
    return one_class(dataset)


@pytest.fixture
def two_classes(dataset) -> OutOfFold:
    """Predictions with the span classes PER (column 0) and LOC (column 2)."""
    predictions = [
        predict(example["context"], [probs, [0.5] * len(probs), [prob / 2 for prob in probs]],
                [[1] * len(probs), [0] * len(probs), [i % 2 for i in range(len(probs))]])
        for example, probs in zip(dataset, PROBS, strict=True)
    ]  # fmt: skip
    for example in dataset:
        example["answers"]["label"] = ["LOC"] * len(example["answers"]["text"])
    return gather(dataset, predictions, {"LOC": 2, "O": 1, "PER": 0})


def content_of(folder: Path) -> dict[str, bytes]:
    """Return all that is below a folder, hidden files and folders included."""
    return {str(file.relative_to(folder)): file.read_bytes() if file.is_file() else b"" for file in folder.rglob("*")}


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# The arrays


def test_arrays_have_one_key_an_example_and_hold_no_objects(tmp_path, dataset, out_of_fold):
    paths = write_outputs(tmp_path / "new" / "outputs", dataset, out_of_fold, PARAMETERS, 1.0)
    names = ["labels.npz", "out_of_fold.parquet", "pred_probs.npz", "questions.npz", "tokens.npz", "run.json"]
    assert paths == [tmp_path / "new" / "outputs" / name for name in names]
    assert set(content_of(tmp_path / "new")) == {"outputs", *(f"outputs/{name}" for name in names)}
    arrays = {}
    for name, kind in (("pred_probs", "<f4"), ("labels", "<i8"), ("tokens", "U"), ("questions", "U")):
        with np.load(tmp_path / "new" / "outputs" / f"{name}.npz", allow_pickle=False) as archive:
            assert sorted(archive.files) == ["0", "1", "2", "3", "4"]
            assert all(kind in archive[key].dtype.str for key in archive.files)
            arrays[name] = [archive[str(index)].tolist() for index in range(5)]
    assert arrays == {
        "pred_probs": [np.float32(probs).tolist() for probs in PROBS],
        "labels": LABELS,
        "tokens": [example["context"].split() for example in dataset],
        "questions": [example["question"] for example in dataset],
    }


def test_several_span_classes_have_files_and_columns_of_their_own(tmp_path, dataset, two_classes):
    paths = write_outputs(tmp_path, dataset, two_classes, PARAMETERS, 1.0)
    assert [path.name for path in paths] == [
        "labels_LOC.npz", "labels_PER.npz", "out_of_fold.parquet", "pred_probs_LOC.npz", "pred_probs_PER.npz",
        "questions.npz", "tokens.npz", "run.json",
    ]  # fmt: skip
    table = out_of_fold_table(dataset, two_classes)
    assert table.column_names[-4:] == ["labels_PER", "pred_probs_PER", "labels_LOC", "pred_probs_LOC"]
    assert table["given_label"].to_pylist() == [["LOC"], ["LOC"], [], ["LOC"], ["LOC"]]
    expected = {
        "pred_probs_PER": [np.float32(probs).tolist() for probs in PROBS],
        "pred_probs_LOC": [np.float32([prob / 2 for prob in probs]).tolist() for probs in PROBS],
        "labels_PER": [[1] * 5, [1] * 4, [1] * 3, [1] * 4, [1] * 3],
        "labels_LOC": [[0, 1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0], [0, 1, 0, 1], [0, 1, 0]],
    }
    for name, values in expected.items():
        assert [array.tolist() for array in read_npz(tmp_path / f"{name}.npz")] == values
        assert table[name].to_pylist() == values


def test_answers_that_label_no_tokens_have_columns_where_there_are_some(tmp_path, dataset):
    assert not [name for name in out_of_fold_table(dataset, one_class(dataset)).column_names if "other" in name]
    # Of a second annotator: the same, and a longer answer.
    dataset[1]["answers"] = {
        "text": ["Zürich", "Zürich", "Zürich 😀", "Zürich 😀"], "answer_start": [0] * 4,
    }  # fmt: skip
    dataset[3]["answers"] = {"text": ["He", "He"], "answer_start": [0, 0]}
    write_outputs(tmp_path, dataset, one_class(dataset), PARAMETERS, 1.0)
    table = pa.parquet.read_table(tmp_path / "out_of_fold.parquet")
    assert table.equals(out_of_fold_table(dataset, one_class(dataset)))
    assert table.column_names[4:11] == [
        "given_answer", "given_start", "given_label", "other_answer", "other_start", "other_label", "fold",
    ]  # fmt: skip
    assert table["given_answer"].to_pylist()[1] == ["Zürich"]
    assert table["other_answer"].to_pylist() == [[], ["Zürich 😀"], [], [], []]
    assert table["other_start"].to_pylist()[1] == [0]
    assert table["other_label"].to_pylist()[1] == ["ANS"]
    all_labelled = gather(dataset, one_class(dataset).predictions, one_class(dataset).label_map, answers="all")
    assert "other_answer" not in out_of_fold_table(dataset, all_labelled).column_names


def test_every_annotators_answer_is_given(dataset):
    dataset[1]["answers"] = {
        "text": ["Zürich", "Zürich", "Zürich 😀"], "answer_start": [0] * 3, "annotator": ["ann", "bob", ""],
    }  # fmt: skip
    each = gather(dataset, one_class(dataset).predictions, one_class(dataset).label_map, answers="each")
    table = out_of_fold_table(dataset, each)
    assert table.column_names[4:9] == ["given_answer", "given_start", "given_label", "given_annotator", "fold"]
    assert table["given_answer"].to_pylist()[1] == ["Zürich", "Zürich", "Zürich 😀"]
    assert table["given_annotator"].to_pylist()[1] == ["ann", "bob", ""]
    assert table["given_annotator"].to_pylist()[3] == [""] * len(dataset[3]["answers"]["text"])


# cleanlab


def test_cleanlab_finds_the_wrong_labels_in_the_files(tmp_path, dataset, out_of_fold):
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    pred_probs, labels = read_npz(tmp_path / "pred_probs.npz"), read_npz(tmp_path / "labels.npz")
    # Given "He" (P 0.01) rather than "1922" (P 0.98); the least likely label comes first.
    assert span_classification.find_label_issues(labels, pred_probs) == [(3, 0), (3, 3)]
    scores, _ = span_classification.get_label_quality_scores(labels, pred_probs)
    # The least self-confidence of an example's tokens: P(span) if labelled, else 1 - P(span).
    assert scores == pytest.approx([0.9, 0.95, 0.94, 0.01, 0.92], abs=1e-6)


# The table


class Watched(list):
    """Predictions of which each is made when it is asked for, and who has them still."""

    def __init__(self, predictions):
        super().__init__(predictions)
        self.held, self.most_held = weakref.WeakSet(), 0

    def __getitem__(self, index):
        prediction = dataclasses.replace(super().__getitem__(index))
        self.held.add(prediction)
        self.most_held = max(self.most_held, len(self.held))
        return prediction

    def __iter__(self):
        raise AssertionError("all predictions are asked for at once")


def test_large_table_is_written_part_by_part(tmp_path):
    """Only one part's predictions are there at a time."""
    dataset = [make_example(str(number), f"It is {number}", "What?", str(number)) for number in range(10_003)]
    prediction = [[0.5, 0.5, 0.5], [0.1, 0.2, 0.9]], [[1, 1, 0], [0, 0, 1]]
    predictions = [predict(example["context"], *prediction) for example in dataset]
    watched = Watched(predictions)
    write_outputs(tmp_path, dataset, gather(dataset, watched, {"O": 0, "ANS": 1}), PARAMETERS, 1.0)
    assert watched.most_held == 10_000
    file = pa.parquet.ParquetFile(tmp_path / "out_of_fold.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [10_000, 3]
    assert file.read().equals(out_of_fold_table(dataset, gather(dataset, predictions, {"O": 0, "ANS": 1})))
    assert [len(read_npz(tmp_path / f"{name}.npz")) for name in ("pred_probs", "tokens")] == [10_003] * 2


def test_parts_of_long_contexts_have_fewer_examples(tmp_path):
    """Half a million tokens are enough for a part, however few examples have them."""
    num_tokens = 300_000
    dataset = [make_example(str(number), "w " * num_tokens, "What?", "w") for number in range(3)]
    offsets = np.arange(0, 2 * num_tokens, 2)
    probs, labels = np.zeros((num_tokens, 2), dtype=np.float32), np.zeros((num_tokens, 2), dtype=np.int64)
    is_context = np.ones(num_tokens, dtype=bool)
    one = SpanPrediction(probs, ["w"] * num_tokens, labels, offsets, offsets + 1, is_context)
    watched = Watched([one] * 3)
    write_outputs(tmp_path, dataset, gather(dataset, watched, {"O": 0, "ANS": 1}), PARAMETERS, 1.0)
    assert watched.most_held == 2
    file = pa.parquet.ParquetFile(tmp_path / "out_of_fold.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [2, 1]


def test_table_has_a_row_an_example(tmp_path, dataset, out_of_fold):
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    table = pa.parquet.read_table(tmp_path / "out_of_fold.parquet")
    strings, integers = pa.list_(pa.string()), pa.list_(pa.int64())
    assert {field.name: field.type for field in table.schema} == {
        "id": pa.string(), "title": pa.string(), "question": pa.string(), "context": pa.string(),
        "given_answer": strings, "given_start": integers, "given_label": strings, "fold": pa.int64(),
        "tokens": strings, "char_start": integers, "char_end": integers,
        "labels_ANS": integers, "pred_probs_ANS": pa.list_(pa.float32()),
    }  # fmt: skip
    assert table.select(["id", "title", "question", "context"]).to_pylist() == [
        {name: example[name] for name in ("id", "title", "question", "context")} for example in dataset
    ]
    assert table["given_answer"].to_pylist() == [["not Rome"], ["Zürich"], [], ["He"], ["is"]]
    assert table["given_start"].to_pylist() == [[15], [0], [], [0], [3]]
    assert table["fold"].to_pylist() == [0, 1, 0, 0, 0]
    assert table["labels_ANS"].to_pylist() == LABELS
    assert table.to_pylist()[1] == {
        "id": "b", "title": "Cities", "question": "Where?", "context": "Zürich 😀 is here",
        "given_answer": ["Zürich"], "given_start": [0], "given_label": ["ANS"], "fold": 1,
        "tokens": ["Zürich", "😀", "is", "here"], "char_start": [0, 7, 9, 12], "char_end": [6, 8, 11, 16],
        "labels_ANS": [1, 0, 0, 0], "pred_probs_ANS": np.float32([0.97, 0.04, 0.03, 0.05]).tolist(),
    }  # fmt: skip
    # A question without an answer would leave nothing to infer the types from.
    without = gather([dataset[2]], out_of_fold.predictions[2:3], out_of_fold.label_map)
    write_outputs(tmp_path, [dataset[2]], without, PARAMETERS, 1.0)
    assert pa.parquet.read_schema(tmp_path / "out_of_fold.parquet").equals(table.schema)


@pytest.mark.parametrize(("answers", "given"), [("first", ["It"]), ("all", ["It", "is"])])
def test_table_gives_the_answers_that_label_tokens(dataset, out_of_fold, answers, given):
    example = make_example("e", "It is it", "2nd?", "It", "is")
    table = out_of_fold_table([example], gather(dataset, out_of_fold.predictions[4:], {"O": 0, "ANS": 1}, answers))
    assert table["given_answer"].to_pylist() == [given]


# The record


def test_record_says_what_made_the_files(tmp_path, dataset, out_of_fold, monkeypatch):
    monkeypatch.setattr(exports, "code_commit", lambda: "c0ffee-dirty")
    paths = write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 12.5)
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["parameters"] == PARAMETERS
    assert (record["num_examples"], record["seconds"], record["group_by"]) == (5, 12.5, "context")
    assert (record["label_map"], record["checkpoint_sha256"]) == ({"O": 0, "ANS": 1}, "hash of the checkpoint")
    assert record["data_sha256"] == data_fingerprint(dataset)
    assert record["code"] == {"commit": "c0ffee-dirty", "modules": "hash of the code", "torch": "2.0"}
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["torch"] == version("torch")
    assert record["files"] == {path.name: sha256(path) for path in paths if path.name != "run.json"}
    elsewhere = {"key", "data", "code", "trainer"}  # once for all folds, or in their own records
    assert record["folds"] == [
        {name: value for name, value in report.items() if name not in elsewhere} for report in out_of_fold.reports
    ]
    assert len(record["files"]) == 5


def test_repairs_are_in_the_record_and_in_the_table(tmp_path, dataset, out_of_fold):
    repairs = [["answer 1 of 1: offset 3 to 4"], *[[]] * (len(dataset) - 1)]
    repaired = [{**example, "repairs": done} for example, done in zip(dataset, repairs, strict=True)]
    assert data_fingerprint(repaired) == data_fingerprint(dataset), "what was repaired makes no other fold"
    write_outputs(tmp_path / "repaired", repaired, out_of_fold, {}, 1.0)
    write_outputs(tmp_path / "valid", dataset, out_of_fold, {}, 1.0)
    table, record = read_outputs(tmp_path / "repaired")
    assert [list(done) for done in table.pop("repairs")] == repairs
    assert record["repairs"] == {dataset[0]["id"]: repairs[0]}
    valid_table, valid_record = read_outputs(tmp_path / "valid")
    assert "repairs" not in valid_record
    assert list(valid_table.columns) == list(table.columns)


def test_same_input_gives_the_same_bytes(tmp_path, dataset, out_of_fold):
    for name, seconds in (("one", 1.0), ("two", 2.0)):
        write_outputs(tmp_path / name, dataset, out_of_fold, PARAMETERS, seconds)
    one, two = content_of(tmp_path / "one"), content_of(tmp_path / "two")
    records = [json.loads(content.pop("run.json")) for content in (one, two)]
    assert len(one) == 5
    assert one == two
    assert [record.pop("seconds") for record in records] == [1.0, 2.0]
    assert records[0] == records[1]


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs a clone and git")
def test_code_commit_names_the_clone_and_whether_it_was_changed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def git(*arguments):
        return subprocess.run(("git", *arguments), cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    commit, _, is_dirty = exports.code_commit().partition("-")
    assert commit == git("rev-parse", "HEAD")
    assert is_dirty == ("dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def test_code_commit_without_git_is_none(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert exports.code_commit() is None


# All or nothing


def test_files_of_an_earlier_run_are_removed_and_no_others(tmp_path, dataset, two_classes, out_of_fold):
    folder = tmp_path / "outputs"
    write_outputs(folder, dataset, two_classes, PARAMETERS, 1.0)
    strangers = ["labels_MINE.npz", "notes.txt", "span_categorizer_training.ipynb", ".gitkeep"]
    for name in strangers:
        (folder / name).write_text(name, encoding="utf-8")
    for example in dataset:
        del example["answers"]["label"]
    out_of_fold = gather(dataset, out_of_fold.predictions, out_of_fold.label_map)
    written = write_outputs(folder, dataset, out_of_fold, PARAMETERS, 1.0)
    assert set(content_of(folder)) == {path.name for path in written} | set(strangers)
    assert [(folder / name).read_text(encoding="utf-8") for name in strangers] == strangers


def test_earlier_record_can_name_nothing_but_our_files(tmp_path, dataset, out_of_fold):
    """A record that was tampered with must not make this remove what is not its own."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    kept = [tmp_path / "labels_OUTSIDE.npz", folder / "thesis.txt", folder / "data.npz", folder / "labels_.npz.txt"]
    for file in [*kept, folder / "labels_OLD.npz"]:
        file.write_text("content", encoding="utf-8")
    files = dict.fromkeys(["../labels_OUTSIDE.npz", str(kept[0]), "labels_OLD.npz", *(file.name for file in kept)], "")
    (folder / "run.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    write_outputs(folder, dataset, out_of_fold, PARAMETERS, 1.0)
    assert all(file.read_text(encoding="utf-8") == "content" for file in kept)
    assert not (folder / "labels_OLD.npz").exists()


@pytest.mark.parametrize("record", [b"", b"{", b"{}", b"\xff", b'{"files": 5}', b'{"files": null}', b"[" * 100_000])
def test_earlier_record_that_cannot_be_read_is_replaced(tmp_path, dataset, out_of_fold, record):
    (tmp_path / "run.json").write_bytes(record)
    (tmp_path / "labels_OLD.npz").write_bytes(b"old")
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["num_examples"] == 5
    assert (tmp_path / "labels_OLD.npz").read_bytes() == b"old"


@pytest.mark.parametrize("failing", ["table", "record"])
def test_failure_leaves_the_earlier_files_untouched(tmp_path, dataset, two_classes, out_of_fold, monkeypatch, failing):
    folder = tmp_path / "outputs"
    write_outputs(folder, dataset, two_classes, PARAMETERS, 1.0)
    earlier = content_of(folder)
    for example in dataset:
        del example["answers"]["label"]
    out_of_fold = gather(dataset, out_of_fold.predictions, out_of_fold.label_map)
    parameters = PARAMETERS

    def fail(writer, table):
        Path(writer.where).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    if failing == "table":
        monkeypatch.setattr(pa.parquet.ParquetWriter, "write_table", fail)
    else:
        parameters = {**PARAMETERS, "dataset": Path("no JSON")}
    with pytest.raises((OSError, TypeError), match=r"No space left|not JSON serializable"):
        write_outputs(folder, dataset, out_of_fold, parameters, 1.0)
    assert content_of(folder) == earlier
    assert list(tmp_path.iterdir()) == [folder]


def test_while_files_are_replaced_there_is_no_record(tmp_path, dataset, out_of_fold, monkeypatch):
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    record_is_there, replace = {}, Path.replace

    def watch(self, target):
        record_is_there[Path(target).name] = (tmp_path / "run.json").exists()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    assert len(record_is_there) == 6
    assert not any(record_is_there.values())
    assert list(record_is_there)[-1] == "run.json"


def test_data_that_changed_since_is_refused(tmp_path, dataset, out_of_fold):
    dataset[1]["answers"] = {"text": ["here"], "answer_start": [12]}
    with pytest.raises(ValueError, match="expected the data that out_of_fold was made from, found other data"):
        write_outputs(tmp_path, dataset, out_of_fold, {}, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_outputs_of_a_trainer_of_ones_own_are_written(tmp_path):
    examples = twelve_examples()
    out_of_fold, _ = run(DummyTrainer(), examples, tmp_path / "folds")
    write_outputs(tmp_path / "outputs", examples, out_of_fold, {}, 1.0)
    table, record = read_outputs(tmp_path / "outputs")
    assert table["given_answer"].str[0].tolist() == [example["answers"]["text"][0] for example in examples]
    assert record["checkpoint_sha256"] is None
