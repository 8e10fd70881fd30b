"""What a run writes, how it is read back, and how a context is shown."""

import copy
import hashlib
import html
import json
import os
import platform
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from cleanlab.experimental import span_classification
from conftest import make_example
from datasets import Dataset

import exports
import span_classification_tutorial_utils
from cross_validation import OutOfFold, Split
from exports import out_of_fold_table, read_outputs, read_shards, shard_files, write_outputs
from fold_store import data_fingerprint
from predictions import SpanPrediction
from span_classification_tutorial_utils import (
    find_token_issues,
    read_npz,
    show_context,
    to_dict,
    token_quality_scores,
    write_npz,
)

PARAMETERS = {"dataset": "demo", "seed": 0, "label_map": {"O": 0, "ANS": 1}, "dropout": None}
# P(span) of each word. Example 3 has its answer where the model sees none, and none where the model is sure.
PROBS = [
    [0.03, 0.02, 0.01, 0.95, 0.9],
    [0.97, 0.04, 0.03, 0.05],
    [0.02, 0.06, 0.01],
    [0.01, 0.02, 0.03, 0.98],
    [0.05, 0.92, 0.03],
]


def words_of(context: str) -> list[tuple[str, int, int]]:
    return [(match.group(), *match.span()) for match in re.finditer(r"\S+", context)]


def predict(context: str, pred_probs: list[list[float]], labels: list[list[int]]) -> SpanPrediction:
    """Return a prediction for the words of a context, of one list a class."""
    words = words_of(context)
    return SpanPrediction(
        np.array(pred_probs, dtype=np.float32).T,
        [word for word, _, _ in words],
        np.array(labels, dtype=np.int64).T,
        char_start=np.array([start for _, start, _ in words]),
        char_end=np.array([end for _, _, end in words]),
        is_context=np.ones(len(words), dtype=bool),
    )


def gather(
    dataset: list[dict], predictions: list[SpanPrediction], label_map: dict, answers: str = "first"
) -> OutOfFold:
    """Return predictions as two folds would give them: example 1 is held out by fold 1, the others by fold 0."""
    num_examples = len(predictions)
    fold = np.array([int(i == 1) for i in range(num_examples)])
    splits = [Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in (0, 1)]
    reports = [
        {
            "fold": k,
            "folder": f"fold_{k}_of_2-0123456789ab",
            "key": "0123456789ab",
            "seed": 100 + k,
            "data": data_fingerprint(dataset),
            "code": {"modules": "hash of the code", "torch": "2.0"},
            "trainer": {"checkpoint": "hash of the checkpoint", "label_map": label_map, "answers": answers},
            "train_indices": split.train_indices.tolist(),
            "validation_indices": split.validation_indices.tolist(),
            "metrics": {"loss": 0.25 + k, "classes": {"ANS": {"average_precision": None, "f1": 50.0}}},
            "loss_history": [[0.5, 0.7], [1.0, 0.3]],
            "num_training_questions_cut": 0,
            "seconds": {"train": 1.5, "predict": 0.5},
        }
        for k, split in enumerate(splits)
    ]
    return OutOfFold(predictions, fold, splits, reports, label_map)


@pytest.fixture
def dataset() -> list[dict]:
    return [
        make_example("a", "The capital is not Rome,", "Which “capital”?", "not Rome", title="Cities"),
        make_example("b", "Zürich 😀 is here", "Where?", "Zürich", title="Cities"),
        make_example("c", "Nothing is said", "Who?", title=""),
        make_example("d", "He wrote Ulysses 1922", "When?", "He"),
        make_example("e", "It is it", "2nd?", "is"),
    ]


@pytest.fixture
def out_of_fold(dataset) -> OutOfFold:
    """Predictions with one span class; the columns do not sum to one, as independent classes do not."""
    labelled = [{3, 4}, {0}, set(), {0}, {1}]
    predictions = []
    for example, probs, answer in zip(dataset, PROBS, labelled, strict=True):
        labels = [int(position in answer) for position in range(len(probs))]
        outside = [0.5 - prob / 2 for prob in probs]
        predictions.append(predict(example["context"], [outside, probs], [[1 - label for label in labels], labels]))
    return gather(dataset, predictions, {"O": 0, "ANS": 1})


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


def test_all_files_are_written_and_named(tmp_path, dataset, out_of_fold):
    paths = write_outputs(tmp_path / "new" / "outputs", dataset, out_of_fold, PARAMETERS, 1.0)
    names = ["labels.npz", "out_of_fold.parquet", "pred_probs.npz", "questions.npz", "tokens.npz", "run.json"]
    assert paths == [tmp_path / "new" / "outputs" / name for name in names]
    assert set(content_of(tmp_path / "new")) == {"outputs", *(f"outputs/{name}" for name in names)}


def test_table_written_in_parts_is_the_table_written_at_once(tmp_path, dataset, two_classes, monkeypatch):
    for name, rows in (("at_once", 5), ("in_parts", 2)):
        monkeypatch.setattr(exports, "_ROWS_AT_ONCE", rows)
        write_outputs(tmp_path / name, dataset, two_classes, PARAMETERS, 1.0)
    files = [pa.parquet.ParquetFile(tmp_path / name / "out_of_fold.parquet") for name in ("at_once", "in_parts")]
    assert [file.num_row_groups for file in files] == [1, 3]
    assert files[0].read().equals(files[1].read())
    assert files[0].read().equals(out_of_fold_table(dataset, two_classes))
    tables = [read_outputs(tmp_path / name)[0] for name in ("at_once", "in_parts")]
    pd.testing.assert_frame_equal(*tables)


def test_part_of_a_table(dataset, out_of_fold):
    whole = out_of_fold_table(dataset, out_of_fold)
    assert out_of_fold_table(dataset, out_of_fold, slice(1, 4)).equals(whole.slice(1, 3))
    assert out_of_fold_table(Dataset.from_list(dataset), out_of_fold).equals(whole)


def test_arrays_have_one_key_an_example_and_hold_no_objects(tmp_path, dataset, out_of_fold):
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    arrays = {}
    for name in ("pred_probs", "labels", "tokens", "questions"):
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as archive:
            assert sorted(archive.files) == ["0", "1", "2", "3", "4"]
            arrays[name] = [archive[str(index)] for index in range(5)]
    for index, (example, probs) in enumerate(zip(dataset, PROBS, strict=True)):
        assert arrays["pred_probs"][index].dtype == np.float32
        assert arrays["pred_probs"][index].tolist() == np.float32(probs).tolist()
        assert arrays["tokens"][index].dtype.kind == "U"
        assert arrays["tokens"][index].tolist() == example["context"].split()
        assert (arrays["questions"][index].dtype.kind, arrays["questions"][index].shape) == ("U", ())
        assert arrays["questions"][index].item() == example["question"]
        assert arrays["labels"][index].dtype == np.int64
    assert [labels.tolist() for labels in arrays["labels"]] == [
        [0, 0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0], [1, 0, 0, 0], [0, 1, 0],
    ]  # fmt: skip


def test_several_span_classes_have_files_of_their_own(tmp_path, dataset, two_classes):
    paths = write_outputs(tmp_path, dataset, two_classes, PARAMETERS, 1.0)
    assert [path.name for path in paths] == [
        "labels_LOC.npz", "labels_PER.npz", "out_of_fold.parquet", "pred_probs_LOC.npz", "pred_probs_PER.npz",
        "questions.npz", "tokens.npz", "run.json",
    ]  # fmt: skip
    for probs, per, loc in zip(
        PROBS, read_npz(tmp_path / "pred_probs_PER.npz"), read_npz(tmp_path / "pred_probs_LOC.npz"), strict=True
    ):
        assert per.tolist() == np.float32(probs).tolist()
        assert loc.tolist() == np.float32([prob / 2 for prob in probs]).tolist()
    assert [labels.tolist() for labels in read_npz(tmp_path / "labels_PER.npz")][1] == [1, 1, 1, 1]
    assert [labels.tolist() for labels in read_npz(tmp_path / "labels_LOC.npz")][1] == [0, 1, 0, 1]


# cleanlab


def test_cleanlab_finds_the_wrong_labels_in_the_files(tmp_path, dataset, out_of_fold, capsys):
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    pred_probs, labels = read_npz(tmp_path / "pred_probs.npz"), read_npz(tmp_path / "labels.npz")
    tokens = read_npz(tmp_path / "tokens.npz")

    issues = span_classification.find_label_issues(labels, pred_probs)
    # Given "He" (P 0.01) rather than "1922" (P 0.98); the least likely label comes first.
    assert [tuple(map(int, issue)) for issue in issues] == [(3, 0), (3, 3)]

    scores, token_scores = span_classification.get_label_quality_scores(labels, pred_probs)
    # The least self-confidence of an example's tokens: P(span) if labelled, else 1 - P(span).
    assert scores == pytest.approx([0.9, 0.95, 0.94, 0.01, 0.92], abs=1e-6)
    assert [len(of_example) for of_example in token_scores] == [len(probs) for probs in PROBS]

    capsys.readouterr()
    span_classification.display_issues(
        issues,
        tokens,
        labels=labels,
        pred_probs=[np.stack([1 - probs, probs], 1) for probs in pred_probs],
        class_names=["O", "ANS"],
    )
    shown = capsys.readouterr().out
    assert "Sentence index: 3, Token index: 0\nToken: He\nGiven label: ANS, predicted label" in shown
    assert "Sentence index: 3, Token index: 3\nToken: 1922\nGiven label: O, predicted label" in shown


def test_cleanlab_finds_nothing_where_labels_and_probabilities_agree(tmp_path, dataset, out_of_fold):
    agreeing = gather(dataset[:3], out_of_fold.predictions[:3], {"O": 0, "ANS": 1})
    write_outputs(tmp_path, dataset[:3], agreeing, PARAMETERS, 1.0)
    pred_probs, labels = read_npz(tmp_path / "pred_probs.npz"), read_npz(tmp_path / "labels.npz")
    assert len(span_classification.find_label_issues(labels, pred_probs)) == 0


# The table


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
    given = [(["not Rome"], [15]), (["Zürich"], [0]), ([], []), (["He"], [0]), (["is"], [3])]
    labels = [[0, 0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0], [1, 0, 0, 0], [0, 1, 0]]
    assert table.to_pylist() == [
        {
            **{name: example[name] for name in ("id", "title", "question", "context")},
            "given_answer": texts,
            "given_start": starts,
            "given_label": ["ANS"] * len(texts),
            "fold": int(example["id"] == "b"),
            "tokens": example["context"].split(),
            "char_start": [start for _, start, _ in words_of(example["context"])],
            "char_end": [end for _, _, end in words_of(example["context"])],
            "labels_ANS": of_tokens,
            "pred_probs_ANS": np.float32(probs).tolist(),
        }
        for example, (texts, starts), of_tokens, probs in zip(dataset, given, labels, PROBS, strict=True)
    ]
    # By hand, so that the helper's offsets are not taken on trust.
    assert table["char_start"][1].as_py() == [0, 7, 9, 12]
    assert table["char_end"][1].as_py() == [6, 8, 11, 16]


def test_table_has_columns_for_each_span_class(dataset, two_classes):
    table = out_of_fold_table(dataset, two_classes)
    assert table.column_names[-4:] == ["labels_PER", "pred_probs_PER", "labels_LOC", "pred_probs_LOC"]
    assert table["pred_probs_PER"][2].as_py() == np.float32(PROBS[2]).tolist()
    assert table["pred_probs_LOC"][2].as_py() == np.float32([0.01, 0.03, 0.005]).tolist()
    assert table["labels_PER"][2].as_py() == [1, 1, 1]
    assert table["labels_LOC"][2].as_py() == [0, 1, 0]
    assert table["given_label"].to_pylist() == [["LOC"], ["LOC"], [], ["LOC"], ["LOC"]]


def test_table_of_questions_without_answers_keeps_its_types(dataset, out_of_fold):
    table = out_of_fold_table([dataset[2]], gather(dataset, out_of_fold.predictions[2:3], {"O": 0, "ANS": 1}))
    assert table.schema.field("given_answer").type == pa.list_(pa.string())
    assert table.schema.field("given_start").type == pa.list_(pa.int64())
    assert table.select(["given_answer", "given_start", "given_label"]).to_pylist() == [
        {"given_answer": [], "given_start": [], "given_label": []}
    ]


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
    libraries = ["cleanlab", "datasets", "numpy", "scikit-learn", "tokenizers", "torch", "torchmetrics", "transformers"]
    shared = {"loss_history": [[0.5, 0.7], [1.0, 0.3]], "num_training_questions_cut": 0}
    assert record == {
        "parameters": PARAMETERS,
        "num_examples": 5,
        "data_sha256": data_fingerprint(dataset),
        "checkpoint_sha256": "hash of the checkpoint",
        "label_map": {"O": 0, "ANS": 1},
        "group_by": "context",
        "code": {"commit": "c0ffee-dirty", "modules": "hash of the code", "torch": "2.0"},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in libraries}},
        "folds": [
            {
                "fold": 0, "folder": "fold_0_of_2-0123456789ab", "seed": 100,
                "train_indices": [1], "validation_indices": [0, 2, 3, 4],
                "metrics": {"loss": 0.25, "classes": {"ANS": {"average_precision": None, "f1": 50.0}}},
                "seconds": {"train": 1.5, "predict": 0.5}, **shared,
            },
            {
                "fold": 1, "folder": "fold_1_of_2-0123456789ab", "seed": 101,
                "train_indices": [0, 2, 3, 4], "validation_indices": [1],
                "metrics": {"loss": 1.25, "classes": {"ANS": {"average_precision": None, "f1": 50.0}}},
                "seconds": {"train": 1.5, "predict": 0.5}, **shared,
            },
        ],
        "seconds": 12.5,
        "files": {path.name: sha256(path) for path in paths if path.name != "run.json"},
    }  # fmt: skip
    assert len(record["files"]) == 5


def test_same_input_gives_the_same_bytes(tmp_path, dataset, out_of_fold):
    for name, seconds in (("one", 1.0), ("two", 2.0)):
        write_outputs(tmp_path / name, dataset, out_of_fold, PARAMETERS, seconds)
    one, two = content_of(tmp_path / "one"), content_of(tmp_path / "two")
    records = [json.loads(content.pop("run.json")) for content in (one, two)]
    assert len(one) == 5
    assert one == two
    assert [record.pop("seconds") for record in records] == [1.0, 2.0]
    assert records[0] == records[1]


def test_control_characters_are_made_visible():
    """A terminal obeys them: this would colour, ring, move back and clear."""
    hostile = "\x1b[31mred\x07\x08\x7f\x9b2J\ttab\nline\r é😀"
    assert span_classification_tutorial_utils.visible(hostile) == "␛[31mred␇␈␡\ufffd2J\ttab\nline␍ é😀"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_code_commit_names_the_checkout_and_whether_it_was_changed(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    module = tmp_path / "exports.py"
    module.write_text("1", encoding="utf-8")
    monkeypatch.setattr(exports, "__file__", str(module))
    assert exports.code_commit() is None

    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        run = subprocess.run(("git", *identity, *arguments), cwd=tmp_path, check=True, capture_output=True, text=True)
        return run.stdout.strip()

    git("init", "-q")
    assert exports.code_commit() is None
    git("add", "exports.py")
    git("commit", "-q", "-m", "first")
    git("tag", "-a", "v1", "-m", "a tag does not replace the commit")
    commit = git("rev-parse", "HEAD")
    assert exports.code_commit() == commit
    module.write_text("2 now", encoding="utf-8")
    assert exports.code_commit() == f"{commit}-dirty"


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


def test_failure_in_an_empty_folder_leaves_it_empty(tmp_path, dataset, out_of_fold):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_outputs(tmp_path, dataset, out_of_fold, {"dataset": Path("no JSON")}, 1.0)
    assert content_of(tmp_path) == {}


def test_while_files_are_replaced_no_record_vouches_for_them(tmp_path, dataset, out_of_fold, monkeypatch):
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


def test_rest_of_a_killed_run_is_removed(tmp_path, dataset, out_of_fold):
    write_outputs(tmp_path / "one", dataset, out_of_fold, PARAMETERS, 1.0)
    rest = tmp_path / "two" / ".files.partial"
    rest.mkdir(parents=True)
    (rest / "half.npz").write_bytes(b"half")
    write_outputs(tmp_path / "two", dataset, out_of_fold, PARAMETERS, 1.0)
    assert content_of(tmp_path / "two") == content_of(tmp_path / "one")


def test_outputs_folder_that_is_a_file_is_refused(tmp_path, dataset, out_of_fold):
    (tmp_path / "outputs").write_text("a file", encoding="utf-8")
    with pytest.raises(OSError, match=r"expected a folder that can be written \(.*\); choose another") as caught:
        write_outputs(tmp_path / "outputs", dataset, out_of_fold, PARAMETERS, 1.0)
    assert caught.value.filename == str(tmp_path / "outputs")
    assert (tmp_path / "outputs").read_text(encoding="utf-8") == "a file"


# Reading back


def test_arrays_come_back_in_order(tmp_path):
    arrays = [np.arange(length, dtype=np.int32) for length in range(12)]
    np.savez(tmp_path / "a.npz", **to_dict(arrays))
    found = read_npz(tmp_path / "a.npz")
    assert [array.tolist() for array in found] == [array.tolist() for array in arrays]
    assert {array.dtype for array in found} == {np.dtype(np.int32)}


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [np.arange(length, dtype=np.float32) for length in range(12)],
        [np.array(["Zürich", "😀"]), np.array("Who?"), np.array([], dtype=np.str_)],
        [np.arange(12).reshape(3, 4)[:, 1], np.asfortranarray(np.ones((2, 3), dtype=np.int64))],
    ],
)
def test_arrays_written_one_by_one_are_the_bytes_of_savez(tmp_path, arrays):
    write_npz(tmp_path / "one_by_one.npz", iter(arrays))
    np.savez(tmp_path / "at_once.npz", **to_dict(arrays))
    assert (tmp_path / "one_by_one.npz").read_bytes() == (tmp_path / "at_once.npz").read_bytes()


def test_arrays_of_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(tmp_path / "a.npz", [np.array([[1], [2, 3]], dtype=object)])


def test_to_dict_keys_items_by_their_index_as_text():
    assert to_dict(["a", [1], None]) == {"0": "a", "1": [1], "2": None}
    assert to_dict([]) == {}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["0", "2"], r"expected the keys '0' to '1', found \['2'\]"),
        (["1"], r"expected the keys '0' to '0', found \['1'\]"),
        (["00"], r"expected the keys '0' to '0', found \['00'\]"),
        (["0", "pred_probs"], r"expected the keys '0' to '1', found \['pred_probs'\]"),
    ],
)
def test_archive_with_other_keys_is_refused(tmp_path, keys, message):
    np.savez(tmp_path / "a.npz", **{key: np.zeros(1) for key in keys})
    with pytest.raises(ValueError, match=message) as caught:
        read_npz(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)


def test_archive_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **{"0": np.array([[1], [2, 3]], dtype=object)})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_npz(tmp_path / "a.npz")


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


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_token_quality_is_that_of_cleanlab(monkeypatch, at_once):
    monkeypatch.setattr(span_classification_tutorial_utils, "_EXAMPLES_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 20, 30)
    labels = [(rng.random(length) < 0.1).astype(np.int64) for length in lengths]
    pred_probs = [rng.random(length).astype(np.float32) for length in lengths]
    expected, _ = span_classification.get_label_quality_scores(labels, pred_probs)
    assert np.array_equal(token_quality_scores(labels, pred_probs), expected)


# Reading a run


@pytest.fixture
def outputs(tmp_path, dataset, out_of_fold) -> Path:
    """Folder of a whole run."""
    write_outputs(tmp_path / "outputs", dataset, out_of_fold, PARAMETERS, 12.5)
    return tmp_path / "outputs"


@pytest.mark.parametrize("kind", [Path, str])
def test_run_comes_back(outputs, dataset, out_of_fold, kind):
    table, record = read_outputs(kind(outputs))
    pd.testing.assert_frame_equal(table, out_of_fold_table(dataset, out_of_fold).to_pandas())
    assert table["given_answer"].map(list).tolist() == [["not Rome"], ["Zürich"], [], ["He"], ["is"]]
    assert table["pred_probs_ANS"][1].dtype == np.float32
    assert table["pred_probs_ANS"][1].tolist() == np.float32(PROBS[1]).tolist()
    assert record == json.loads((outputs / "run.json").read_text(encoding="utf-8"))
    assert (record["parameters"], record["num_examples"], record["seconds"]) == (PARAMETERS, 5, 12.5)


def test_run_of_several_classes_comes_back(tmp_path, dataset, two_classes):
    write_outputs(tmp_path, dataset, two_classes, PARAMETERS, 1.0)
    table, _ = read_outputs(tmp_path)
    assert list(table.columns[-4:]) == ["labels_PER", "pred_probs_PER", "labels_LOC", "pred_probs_LOC"]


def test_files_of_others_beside_a_run_do_not_matter(outputs):
    (outputs / "label_issues.csv").write_text("mine", encoding="utf-8")
    assert len(read_outputs(outputs)[0]) == 5


def test_folder_without_a_run_says_what_to_do(tmp_path, outputs):
    (outputs / "run.json").unlink()
    for folder in (outputs, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"found no run\.json; run the training notebook") as caught:
            read_outputs(folder)
        assert str(caught.value).startswith(f"{folder}: expected the outputs of a run")


NAMES_OF_FILES = ["labels.npz", "out_of_fold.parquet", "pred_probs.npz", "questions.npz", "tokens.npz"]


@pytest.mark.parametrize("name", NAMES_OF_FILES)
def test_missing_file_of_a_run_is_named(outputs, name):
    (outputs / name).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        read_outputs(outputs)
    assert str(caught.value).startswith(f"{outputs / name}: listed in run.json, but missing;")


@pytest.mark.parametrize("name", NAMES_OF_FILES)
def test_file_of_a_run_that_changed_is_named(outputs, name):
    content = bytearray((outputs / name).read_bytes())
    content[len(content) // 2] ^= 1
    (outputs / name).write_bytes(content)
    with pytest.raises(ValueError, match="found other content") as caught:
        read_outputs(outputs)
    assert str(caught.value).startswith(f"{outputs / name}: expected the file that run.json lists")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"7", b'"text"', b"\xff"])
def test_record_that_is_none_is_refused(outputs, content):
    (outputs / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match="expected the record of a run, found") as caught:
        read_outputs(outputs)
    assert str(caught.value).startswith(f"{outputs / 'run.json'}: ")


@pytest.mark.parametrize("files", [["labels.npz"], None, "labels.npz"])
def test_record_whose_files_are_no_list_of_hashes_is_refused(outputs, files):
    (outputs / "run.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    with pytest.raises(ValueError, match="expected the record of a run, found"):
        read_outputs(outputs)


def test_record_that_does_not_list_the_table_is_refused(outputs):
    record = json.loads((outputs / "run.json").read_text(encoding="utf-8"))
    del record["files"]["out_of_fold.parquet"]
    (outputs / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match="expected the record of a run, found"):
        read_outputs(outputs)


def test_record_cannot_name_files_outside_of_the_folder_to_read(tmp_path, outputs):
    (tmp_path / "outside.txt").write_bytes(b"secret")
    record = json.loads((outputs / "run.json").read_text(encoding="utf-8"))
    record["files"]["../outside.txt"] = sha256(tmp_path / "outside.txt")
    (outputs / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(FileNotFoundError) as caught:
        read_outputs(outputs)
    assert str(caught.value).startswith(f"{outputs / 'outside.txt'}: listed in run.json, but missing")


# Shards

# Of five examples: one each, a divisor, others, all at once, and more than there are.
SHARD_SIZES = {1: [1] * 5, 2: [2, 2, 1], 3: [3, 2], 4: [4, 1], 5: [5], 100: [5]}


def names_of_shards(count: int) -> list[str]:
    return [f"out_of_fold-0000{index}-of-0000{count}.parquet" for index in range(count)]


@pytest.mark.parametrize("at_once", [1, 2, 3, 10_000])
@pytest.mark.parametrize(("size", "rows"), SHARD_SIZES.items())
def test_shards_put_together_are_the_table(tmp_path, dataset, two_classes, monkeypatch, size, rows, at_once):
    monkeypatch.setattr(exports, "_ROWS_AT_ONCE", at_once)
    paths = write_outputs(tmp_path, dataset, two_classes, PARAMETERS, 1.0, examples_per_shard=size)
    names = names_of_shards(len(rows))
    assert [path.name for path in paths if "-of-" in path.name] == names
    assert set(content_of(tmp_path)) == {path.name for path in paths}
    whole = pa.parquet.read_table(tmp_path / "out_of_fold.parquet")
    shards = [pa.parquet.read_table(tmp_path / name) for name in names]
    assert [len(shard) for shard in shards] == rows
    assert all(shard.schema.equals(whole.schema, check_metadata=True) for shard in shards)
    assert pa.concat_tables(shards).equals(whole)
    tables = list(read_shards(str(tmp_path)))
    assert [len(table) for table in tables] == rows
    pd.testing.assert_frame_equal(pd.concat(tables), read_outputs(tmp_path)[0])
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert {name: record["files"][name] for name in names} == {name: sha256(tmp_path / name) for name in names}


def test_other_files_are_the_same_with_shards(tmp_path, dataset, out_of_fold):
    for name, size in (("without", None), ("with", 2)):
        write_outputs(tmp_path / name, dataset, out_of_fold, PARAMETERS, 1.0, examples_per_shard=size)
    without, with_shards = content_of(tmp_path / "without"), content_of(tmp_path / "with")
    assert set(with_shards) - set(without) == set(names_of_shards(3))
    records = [json.loads(content.pop("run.json")) for content in (without, with_shards)]
    assert all(with_shards[name] == content for name, content in without.items())
    files = [record.pop("files") for record in records]
    assert records[0] == records[1]
    assert files[0].items() <= files[1].items()


def test_shards_of_an_earlier_run_are_removed_and_no_others(tmp_path, dataset, out_of_fold):
    for size, expected in ((1, 5), (2, 3), (None, 0)):
        if size:
            (tmp_path / "out_of_fold-00001-of-00002.parquet").write_bytes(b"a stranger's")
        write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0, examples_per_shard=size)
        found = sorted(name for name in content_of(tmp_path) if "-of-" in name)
        assert found == sorted([*names_of_shards(expected), "out_of_fold-00001-of-00002.parquet"])
    assert (tmp_path / "out_of_fold-00001-of-00002.parquet").read_bytes() == b"a stranger's"


def test_shards_are_made_from_one_part_at_a_time(tmp_path, dataset, out_of_fold, monkeypatch):
    monkeypatch.setattr(exports, "_ROWS_AT_ONCE", 2)
    asked_for = []

    class Watched(list):
        def __getitem__(self, index):
            asked_for.append(index)
            return super().__getitem__(index)

        def __iter__(self):
            raise AssertionError("all predictions are asked for at once")

    out_of_fold = gather(dataset, out_of_fold.predictions, out_of_fold.label_map)
    object.__setattr__(out_of_fold, "predictions", Watched(out_of_fold.predictions))
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0, examples_per_shard=3)
    assert asked_for == [slice(0, 2), slice(2, 4), slice(4, 6)]


@pytest.mark.parametrize("size", [0, -1, 2.0, "2", True, False])
def test_size_of_a_shard_that_is_none_is_refused(tmp_path, dataset, out_of_fold, size):
    with pytest.raises(
        ValueError, match=r"^examples_per_shard: expected an integer of at least 1, or None for one"
    ) as e:
        write_outputs(tmp_path / "outputs", dataset, out_of_fold, PARAMETERS, 1.0, examples_per_shard=size)
    assert str(e.value).endswith(f"found {size!r}")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def sharded(tmp_path, dataset, out_of_fold) -> Path:
    write_outputs(tmp_path / "sharded", dataset, out_of_fold, PARAMETERS, 1.0, examples_per_shard=2)
    return tmp_path / "sharded"


def test_run_without_shards_says_how_to_make_them(tmp_path, outputs):
    with pytest.raises(FileNotFoundError) as caught:
        read_shards(outputs)
    assert str(caught.value) == (
        f"{outputs}: expected the table in shards, found none in run.json; run the training notebook with "
        "examples_per_shard, or write_outputs(…, examples_per_shard=…)"
    )
    with pytest.raises(FileNotFoundError, match=r"found no run\.json; run the training notebook"):
        read_shards(tmp_path / "nowhere")


@pytest.mark.parametrize("read", [read_shards, read_outputs])
def test_shard_that_is_missing_or_damaged_is_named_before_any_is_read(sharded, read):
    last = sharded / names_of_shards(3)[2]
    content = last.read_bytes()
    last.write_bytes(content[:-1] + b"\0")
    with pytest.raises(ValueError, match="found other content") as caught:
        read(sharded)
    assert str(caught.value).startswith(f"{last}: expected the file that run.json lists")
    last.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        read(sharded)
    assert str(caught.value).startswith(f"{last}: listed in run.json, but missing;")


@pytest.mark.parametrize(
    "names",
    [
        names_of_shards(3)[:2],
        names_of_shards(3)[1:],
        names_of_shards(3)[1:2],
        [*names_of_shards(3), *names_of_shards(2)],
        [*names_of_shards(3), "out_of_fold-00003-of-00003.parquet"],
        ["out_of_fold-000000-of-00001.parquet"],
        ["out_of_fold-00000-of-99999999999.parquet"],
    ],
)
def test_shards_that_are_not_all_of_one_table_are_refused(sharded, names):
    with pytest.raises(ValueError, match=r"^run\.json: expected all shards of one table, found \['out_of_fold-"):
        shard_files(["labels.npz", *names])
    record = json.loads((sharded / "run.json").read_text(encoding="utf-8"))
    record["files"] = {"out_of_fold.parquet": record["files"]["out_of_fold.parquet"], **dict.fromkeys(names, "")}
    (sharded / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^run\.json: expected all shards of one table"):
        read_shards(sharded)


def test_names_of_shards_are_in_the_order_of_the_table():
    # Beyond 99,999 the order of the alphabet is another.
    names = exports._shard_names(100_001)
    assert shard_files([*reversed(names), "out_of_fold.parquet", "out_of_fold-1-of-2.parquet"]) == names
    assert (names[1], names[-1]) == ("out_of_fold-00001-of-100001.parquet", "out_of_fold-100000-of-100001.parquet")
    assert shard_files(["out_of_fold.parquet"]) == []


# Showing a context


class ShownContext(HTMLParser):
    """Read the page again: its paragraphs, its spans, and the tags that it holds."""

    def __init__(self, page: str):
        super().__init__()
        self.paragraphs: list[str] = []
        self.spans: list[tuple[str, str, str]] = []  # text, style, title
        self.tags: list[str] = []
        self._style: list[dict] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "p":
            self.paragraphs.append("")
        if tag == "span":
            attributes = dict(attributes)
            assert set(attributes) == {"style", "title"}
            self.spans.append(("", attributes["style"], attributes["title"]))
            self._style.append(attributes)

    def handle_endtag(self, tag):
        if tag == "span":
            self._style.pop()

    def handle_data(self, data):
        self.paragraphs[-1] += data
        if self._style:
            self.spans[-1] = (self.spans[-1][0] + data, *self.spans[-1][1:])


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


def test_inputs_are_left_as_they_were(tmp_path, dataset, out_of_fold):
    before = copy.deepcopy((dataset, out_of_fold.reports, [p.pred_probs.tolist() for p in out_of_fold.predictions]))
    write_outputs(tmp_path, dataset, out_of_fold, PARAMETERS, 1.0)
    show_context(out_of_fold.predictions[0], dataset[0]["context"], "?", column=1)
    assert before == (dataset, out_of_fold.reports, [p.pred_probs.tolist() for p in out_of_fold.predictions])


def test_data_that_changed_since_is_refused(tmp_path, dataset, out_of_fold):
    dataset[1]["answers"] = {"text": ["here"], "answer_start": [12]}
    with pytest.raises(ValueError, match="expected the data that out_of_fold was made from, found other data"):
        write_outputs(tmp_path, dataset, out_of_fold, {}, 1.0)
    assert list(tmp_path.iterdir()) == []
