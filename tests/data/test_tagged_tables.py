"""Tables of tagged tokens, read as rows and written again."""

from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value, load_from_disk

from span_label_errors.data.examples import problem_of_example
from span_label_errors.data.sources import read_rows
from span_label_errors.data.write import write_with_answers

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
FEATURES = Features(
    {
        "id": Value("string"), "ner_tags": List(ClassLabel(names=NAMES)), "tokens": List(Value("string")),
        "pos_tags": List(ClassLabel(names=["N", "V"])), "document_id": Value("int32"),
    }
)  # fmt: skip
ROWS = [
    {"id": "a", "ner_tags": [1, 2, 0], "tokens": ["Ann", "Lee", "ran"], "pos_tags": [0, 0, 1], "document_id": 7},
    {"id": "b", "ner_tags": [0, 3], "tokens": ["in", "Bonn"], "pos_tags": [1, 0], "document_id": 8},
]
READ = [
    {
        "id": "a", "title": "7", "context": "Ann Lee ran", "question": "",
        "answers": {"text": ["Ann Lee"], "answer_start": [0], "label": ["PER"]},
    },
    {
        "id": "b", "title": "8", "context": "in Bonn", "question": "",
        "answers": {"text": ["Bonn"], "answer_start": [3], "label": ["LOC"]},
    },
]  # fmt: skip
IN = {"text": "in", "answer_start": 0, "label": "PER"}


def folder(tmp_path: Path) -> Path:
    Dataset.from_list(ROWS, FEATURES).save_to_disk(tmp_path / "s")
    return tmp_path / "s"


def parquet(tmp_path: Path, rows: list[dict] = ROWS, schema: pa.Schema | None = FEATURES.arrow_schema) -> Path:
    pa.parquet.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "s.parquet", row_group_size=1)
    return tmp_path / "s.parquet"


def test_numbers_with_names_are_read(tmp_path):
    assert read_rows(str(folder(tmp_path)), None) == READ
    assert read_rows(str(folder(tmp_path)), 1) == READ[:1]
    assert read_rows(str(parquet(tmp_path)), None) == READ


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string())])
def test_texts_are_read_and_an_id_is_made_of_the_position(tmp_path, kind):
    rows = [{"tags": [NAMES[tag] for tag in row["ner_tags"]], "words": row["tokens"]} for row in ROWS]
    found = read_rows(str(parquet(tmp_path, rows, pa.schema({"tags": kind, "words": kind}))), None)
    assert found == [{**row, "id": str(index), "title": ""} for index, row in enumerate(READ)]


def test_folder_keeps_all_but_the_changed_tags(tmp_path):
    source = folder(tmp_path)
    write_with_answers(source, tmp_path / "new", {1: [0, IN]})
    found = load_from_disk(str(tmp_path / "new"))
    assert found.features == FEATURES
    assert found.to_list() == [ROWS[0], {**ROWS[1], "ner_tags": [1, 3]}]
    assert load_from_disk(str(source)).to_list() == ROWS


def test_parquet_keeps_all_but_the_changed_tags(tmp_path):
    source = parquet(tmp_path)
    write_with_answers(source, tmp_path / "new", {0: [], 1: [0]})
    with pa.parquet.ParquetFile(tmp_path / "new") as file:
        assert file.num_row_groups == 2
        found = file.read()
    assert found.schema.equals(pa.parquet.read_schema(source), check_metadata=True)
    assert Features.from_arrow_schema(found.schema) == FEATURES
    assert found.to_pylist() == [{**ROWS[0], "ner_tags": [0, 0, 0]}, ROWS[1]]


def test_set_on_the_hub_becomes_parquet_with_the_names(tmp_path, monkeypatch):
    made = Dataset.from_list(ROWS, FEATURES)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **_: {"someone/ner": made}[name])
    assert read_rows("someone/ner:test", 1) == READ[:1]
    write_with_answers("someone/ner:test", tmp_path / "new.parquet", {1: [0, IN]})
    assert read_rows(str(tmp_path / "new.parquet"), None)[1]["answers"]["text"] == ["in", "Bonn"]
    found = pa.parquet.read_table(tmp_path / "new.parquet")
    assert Features.from_arrow_schema(found.schema) == FEATURES
    assert found.to_pylist() == [ROWS[0], {**ROWS[1], "ner_tags": [1, 3]}]


def test_folder_that_was_filtered_and_formatted(tmp_path):
    made = Dataset.from_list([{**ROWS[0], "id": "x"}, *ROWS], FEATURES).select([1, 2])
    made.with_format("numpy", columns=["ner_tags"]).save_to_disk(tmp_path / "s")
    assert read_rows(str(tmp_path / "s"), None) == READ
    write_with_answers(tmp_path / "s", tmp_path / "new", {1: []})
    tags = load_from_disk(str(tmp_path / "new")).with_format(None)["ner_tags"]
    assert list(tags) == [[1, 2, 0], [0, 0]]


def test_texts_are_written_as_texts_in_the_scheme_of_all_rows(tmp_path):
    rows = [{"tokens": ["a", "b"], "ner_tags": tags} for tags in (["I-X", "B-X"], ["O", "O"], None)]
    source = parquet(tmp_path, rows, None)
    write_with_answers(source, tmp_path / "new", {1: [{"text": "a b", "answer_start": 0, "label": "Y"}]})
    tags = pa.parquet.read_table(tmp_path / "new")["ner_tags"].to_pylist()
    assert tags == [["I-X", "B-X"], ["I-Y", "I-Y"], None]


def test_tag_without_a_name_is_refused(tmp_path):
    message = (
        r"row 1: expected one of the 5 tags that the column 'ner_tags' has names for \('O', .*\), found 'B-ORG'; "
        "add it to the names of its ClassLabel"
    )
    with pytest.raises(ValueError, match=message):
        write_with_answers(folder(tmp_path), tmp_path / "new", {1: [{**IN, "label": "ORG"}]})


def test_numbers_without_names_are_refused(tmp_path):
    message = (
        r"s\.parquet: expected 'ner_tags' to say which tags its numbers stand for, found numbers "
        r'without names; name them with dataset\.cast_column\("ner_tags", List\(ClassLabel\(names='
    )
    for metadata in (None, {"huggingface": "x"}, {"huggingface": '{"info": {"features": {}}}'}):
        schema = FEATURES.arrow_schema.with_metadata(metadata)
        with pytest.raises(ValueError, match=message):
            read_rows(str(parquet(tmp_path, ROWS, schema)), None)


def test_tokens_without_tags_are_refused(tmp_path):
    rows = [{"tokens": ["a"], "entities": ["O"]}]
    message = r"without context, answers; .* With 'tokens', lists of texts, expected one of ner_tags, tags"
    with pytest.raises(ValueError, match=message):
        read_rows(str(parquet(tmp_path, rows, None)), None)
    rows = [{"tokens": ["a"], "tags": ["NN"]}]
    with pytest.raises(ValueError, match=r"s\.parquet: in 'tags' expected tags such as O, .* found 'NN'"):
        read_rows(str(parquet(tmp_path, rows, None)), None)


INVALID = [
    ({"tokens": ["a"]}, "as many 'tokens' as 'ner_tags' (2)", "1"),
    ({"tokens": None}, "as many 'tokens' as 'ner_tags' (2)", "NoneType None"),
    ({"tokens": ["a", None]}, "tokens of Unicode text in 'tokens'", "NoneType None"),
    ({"ner_tags": None}, "a list of tags in 'ner_tags'", "NoneType None"),
    ({"ner_tags": [0, -100]}, "a number from 0 to 4 for each token in 'ner_tags'", "int -100"),
    ({"ner_tags": [5, 0]}, "a number from 0 to 4 for each token in 'ner_tags'", "int 5"),
]


@pytest.mark.parametrize(("change", "expected", "found"), INVALID)
def test_invalid_row_is_named(tmp_path, change, expected, found):
    rows = read_rows(str(parquet(tmp_path, [ROWS[0], {**ROWS[1], **change}])), None)
    assert rows[0] == READ[0]
    assert (rows[1]["id"], problem_of_example(rows[1])) == ("b", (expected, found))


def test_questions_come_before_tokens(tmp_path):
    row = {"context": "Ann", "question": "Who?", "answers": {"text": ["Ann"], "answer_start": [0]}}
    (found,) = read_rows(str(parquet(tmp_path, [{**row, "tokens": ["Ann"], "ner_tags": ["O"]}], None)), None)
    assert (found["question"], found["answers"]) == ("Who?", row["answers"])
