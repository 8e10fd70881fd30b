"""Reading a run, and what reading needs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from conftest import make_example
from small_runs import PARAMETERS, PROBS, five_examples, gather, one_class, predict

from span_label_errors.results.read import read_outputs, span_classes_of
from span_label_errors.results.write import out_of_fold_table, write_outputs

NAMES = ["labels.npz", "out_of_fold.parquet", "pred_probs.npz", "questions.npz", "tokens.npz"]


@pytest.fixture
def outputs(tmp_path) -> Path:
    """Folder of a whole run."""
    write_outputs(tmp_path / "outputs", five_examples(), one_class(five_examples()), PARAMETERS, 12.5)
    return tmp_path / "outputs"


@pytest.mark.parametrize("kind", [Path, str])
def test_run_comes_back(outputs, kind):
    table, record = read_outputs(kind(outputs))
    expected = out_of_fold_table(five_examples(), one_class(five_examples())).to_pandas()
    pd.testing.assert_frame_equal(table.astype({"context": "str"}), expected)
    assert table["given_answer"].map(list).tolist() == [["not Rome"], ["Zürich"], [], ["He"], ["is"]]
    assert table["pred_probs_ANS"][1].dtype == np.float32
    assert table["pred_probs_ANS"][1].tolist() == np.float32(PROBS[1]).tolist()
    assert record == json.loads((outputs / "run.json").read_text(encoding="utf-8"))
    assert (record["parameters"], record["num_examples"], record["seconds"]) == (PARAMETERS, 5, 12.5)


def test_rows_of_a_context_share_what_is_its_own(tmp_path):
    contexts = ["It is here", "Is it here", "It is here", "It is here"]
    dataset = [make_example(str(row), context, f"{row}?") for row, context in enumerate(contexts)]
    labels = [[[1, 0, 1], [0, 1, 0]]] * 4
    words = [predict(context, [[row / 8] * 3] * 2, labels[row]) for row, context in enumerate(contexts)]
    # The last one is tokenized otherwise.
    words[3] = predict(contexts[3], [[0.5] * 2] * 2, [[1, 1], [0, 0]], pattern="It|here")
    write_outputs(tmp_path, dataset, gather(dataset, words, {"O": 0, "ANS": 1}), PARAMETERS, 1.0)
    table, _ = read_outputs(tmp_path)
    first, other, again, otherwise = (row for _, row in table.iterrows())
    for name in ("context", "tokens", "char_start", "char_end"):
        assert again[name] is first[name] is not other[name]
    assert first["char_end"].tolist() == [2, 5, 10]
    assert (otherwise["tokens"].tolist(), otherwise["char_start"].tolist()) == (["It", "here"], [0, 6])
    assert other["tokens"].tolist() == ["Is", "it", "here"]
    with pytest.raises(ValueError, match="read-only"):
        first["char_start"][0] = 7
    # What is of a question is its own, and small.
    assert first["labels_ANS"] is not again["labels_ANS"]
    assert (again["labels_ANS"].dtype, again["labels_ANS"].tolist()) == (np.int8, [0, 1, 0])
    assert [row["pred_probs_ANS"].tolist() for row in (first, again)] == [[0, 0, 0], [0.25, 0.25, 0.25]]


def test_folder_without_a_run_says_what_to_do(tmp_path, outputs):
    (outputs / "run.json").unlink()
    for folder in (outputs, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"found no run\.json; run the training notebook") as caught:
            read_outputs(folder)
        assert str(caught.value).startswith(f"{folder}: expected the outputs of a run")


@pytest.mark.parametrize("name", NAMES)
def test_file_of_a_run_that_changed_or_is_missing_is_named(outputs, name):
    content = bytearray((outputs / name).read_bytes())
    content[len(content) // 2] ^= 1
    (outputs / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: expected the file that run.json lists, found other content"):
        read_outputs(outputs)
    (outputs / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: listed in run.json, but missing"):
        read_outputs(outputs)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"7", b"\xff", b'{"files": ["labels.npz"]}', b'{"files": {"labels.npz": "0"}}'],
)
def test_record_that_is_none_or_lists_no_table_is_refused(outputs, content):
    (outputs / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json: expected the record of a run, found"):
        read_outputs(outputs)


def test_table_is_read_in_batches(outputs):
    batches = pyarrow.parquet.ParquetFile(outputs / "out_of_fold.parquet").iter_batches(batch_size=2)
    tables = [batch.to_pandas() for batch in batches]
    assert [len(table) for table in tables] == [2, 2, 1]
    expected = read_outputs(outputs)[0].astype({"context": "str"})
    pd.testing.assert_frame_equal(pd.concat(tables, ignore_index=True), expected)


def test_span_classes_are_those_with_probabilities():
    table = pd.DataFrame(columns=["labels_X", "pred_probs_PER", "tokens", "pred_probs_my_class", "labels_PER"])
    assert span_classes_of(table) == ["PER", "my_class"]
    assert span_classes_of(pd.DataFrame(columns=["labels_ANS"])) == []
