"""Sources written again in the form that they have, with the answers of some examples replaced."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import make_example
from datasets import Dataset, Features, List, Value, load_from_disk

from span_label_errors.data.squad import load_squad
from span_label_errors.data.write import suffix_of, write_with_answers

CONTEXT = "He wrote Ulysses in 1922. It came out in 1922."
IT, HE = {"text": "It", "answer_start": 26}, {"text": "He", "answer_start": 0}
ROW = f'"context": "{CONTEXT}", "question": "When?", "id": '


def rewritten(tmp_path: Path, text: str, new_answers: dict, name: str = "s.json") -> str:
    (tmp_path / name).write_bytes(text.encode())
    write_with_answers(tmp_path / name, tmp_path / "new", new_answers)
    return (tmp_path / "new").read_bytes().decode()


# JSON

FIRST = '{"text": "He", "answer_start": 0}'
LAID_OUT = '{"text": "It", "answer_start": 26}'
LAYOUTS = {
    "flat": '{"data": [{%s1, "answers": []}, {%s2, "answers": [%s]}], "x": 1}',
    "a list of rows": '[{%s"a", "answers": []},\n {%s"b", "answers": [%s]}]\n',
    "lines of rows": '{%s"a", "answers": []}\r\n\r\n{%s"b", "answers": [%s]}\r\n',
    "one paragraph": '{"context": "%s", "qas": [{"question": "%s", "answers": []}, {"question": "b", "answers":[%s]}]}',
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["s.json", "s.jsonl"])
def test_every_byte_but_the_answers_stays(tmp_path, layout, name):
    rows = (CONTEXT, "a") if layout == "one paragraph" else (ROW, ROW)
    before = LAYOUTS[layout] % (*rows, FIRST)
    assert rewritten(tmp_path, before, {1: [IT]}, name) == LAYOUTS[layout] % (*rows, LAID_OUT)
    assert rewritten(tmp_path, before, {}, name) == before


def test_objects_in_the_place_of_lists_and_articles_a_line(tmp_path):
    article = '{"paragraphs": {"context": "%s", "qas": {"question": "%s?", "answers": [%s]}}, "title": null}'
    before = "\ufeff" + "\n".join(article % (CONTEXT, name, FIRST) for name in "abc")
    expected = before.replace(article % (CONTEXT, "b", FIRST), article % (CONTEXT, "b", LAID_OUT))
    assert rewritten(tmp_path, before, {1: [IT]}, "s.jsonl") == expected
    as_list, expected = (f"[{text[1:]}]".replace("\n", ",") for text in (before, expected))
    assert rewritten(tmp_path, as_list, {1: [IT]}) == expected


# The forms of answers

FORMS = [
    # One object.
    ('{"text": "He", "answer_start": 0, "x": 5}', [IT], LAID_OUT),
    ('{"text": "He", "answer_start": 0, "x": 5}', [0], '{"text": "He", "answer_start": 0, "x": 5}'),
    (FIRST, [0, IT], f"[{FIRST}, {LAID_OUT}]"),
    ('{"text": "He", "answer_start": 0}', [], '{"text": "", "answer_start": -1}'),
    # Columns.
    ('{"answer_start": ["0"], "text": ["He"]}', [0, IT], '{"answer_start": ["0", 26], "text": ["He", "It"]}'),
    ('{"answer_start": [0], "text": ["He"], "n": 1}', [], '{"answer_start": [], "text": [], "n": 1}'),
    # A kept answer with another offset.
    ('[{"text": "He", "answer_start": 1, "by": 7}]', [(0, HE)], '[{"text": "He", "answer_start": 0, "by": 7}]'),
    # What says that there is no answer is none.
    (f'[{{"text": "", "answer_start": -1}}, {FIRST}]', [0], f"[{FIRST}]"),
    ('[{"text": null, "answer_start": null}]', [IT], f"[{LAID_OUT}]"),
    ('[{"text": "", "answer_start": -1}]', [], '[{"text": "", "answer_start": -1}]'),
    ("null", [IT], f"[{LAID_OUT}]"),
    ("{}", [IT], f"[{LAID_OUT}]"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new_answers", "new"), FORMS)
def test_answers_keep_their_form(tmp_path, old, new_answers, new):
    question = '{"data": [{%s"a", "answers": %s}]}'
    assert rewritten(tmp_path, question % (ROW, old), {0: new_answers}) == question % (ROW, new)


NO_ANSWERS = [
    ('"answers": [], "is_impossible": true', '"answers": [], "is_impossible": true'),
    (
        '"answers": [{"text": "", "answer_start": -1, "id": 3}], "is_impossible": true',
        '"answers": [{"text": "", "answer_start": -1}], "is_impossible": true',
    ),
    ('"answers": null, "is_impossible": true', '"answers": null, "is_impossible": true'),
    ('"is_impossible": true', '"is_impossible": true'),
    (
        '"answers": {"text": [""], "answer_start": [-1]}',
        '"answers": [{"text": "", "answer_start": -1}], "is_impossible": true',
    ),
    # Only with `is_impossible` is a text without letters at 0 no answer.
    (
        '"answers": [{"text": "", "answer_start": 0}], "is_impossible": true',
        '"answers": [{"text": "", "answer_start": 0}], "is_impossible": true',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("unanswered", "expected"), NO_ANSWERS)
def test_that_there_is_no_answer_is_written_as_the_file_does(tmp_path, unanswered, expected):
    answered = f'"answers": [{FIRST}], "is_impossible": false'
    file = '{"data": [{%s"a", %s}, {%s"b", %s}]}'
    text = rewritten(tmp_path, file % (ROW, answered, ROW, unanswered), {0: []})
    assert text == file % (ROW, expected, ROW, unanswered)
    (tmp_path / "new.json").write_text(text, encoding="utf-8")
    assert [row["answers"]["text"] for row in load_squad(tmp_path / "new.json")] == [[], []]


def test_invalid_questions_say_nothing_of_how_answers_are_written(tmp_path):
    invalid = ["5", '{"answers": "Paris"}', '{"answer_text": "Paris"}', '{"answers": ["Paris"]}']
    columns = '{"text": ["He"], "answer_start": [0]}'
    file = '{"data": [%s, {%s"a", "answers": null}, {%s"b", "answers": %s}, {%s"c", "answers": []}]}'
    for other in invalid:
        before = file % (other, ROW, ROW, columns, ROW)
        assert rewritten(tmp_path, before, {2: []}) == file % (other, ROW, ROW, "null", ROW)
        answered = rewritten(tmp_path, before.replace("[]", "{}"), {3: [IT]})
        assert answered.endswith('"c", "answers": {"text": ["It"], "answer_start": [26]}}]}')


def test_question_without_a_flag_is_not_made_invalid(tmp_path):
    other = '"answers": [{"text": "", "answer_start": 0}], "is_impossible": true'
    file = '{"data": [{%s"a", "answers": [%s]}, {%s"b", ' + other + "}]}"
    text = rewritten(tmp_path, file % (ROW, FIRST, ROW), {0: []})
    assert text == (file % (ROW, FIRST, ROW)).replace(f"[{FIRST}]", "[]")
    file = '{"data": [{%s"a", "answers": [%s], "answer_type": 1}, {%s"b", "is_impossible": true}]}'
    text = rewritten(tmp_path, file % (ROW, FIRST, ROW), {0: []})
    assert text == (file % (ROW, FIRST, ROW)).replace(f"[{FIRST}]", "null")


def test_first_answers_of_a_question_without_the_field_stand_behind_it(tmp_path):
    before = """{"data": [
  {
    "context": "CTX",
    "question": "When?",
    "is_impossible": true
  },
  {
    "context": "CTX",
    "question": "Who?",
    "answers": {"text": ["He"], "answer_start": [0]},
    "is_impossible": false
  }
]}""".replace("CTX", CONTEXT)
    answers = """{
      "text": [
        "It"
      ],
      "answer_start": [
        26
      ]
    }"""
    after = before.replace(
        '"When?",\n    "is_impossible": true', f'"When?",\n    "answers": {answers},\n    "is_impossible": false'
    )
    assert rewritten(tmp_path, before, {0: [IT]}) == after
    one_line = f'[{{"is_impossible":true,"context":"{CONTEXT}","question":"?"}}]'
    new = ',"answers":[{"text":"It","answer_start":26}]}]'
    assert rewritten(tmp_path, one_line, {0: [IT]}) == one_line.replace("true", "false").replace("}]", new)


# Tables


def rows_of_table() -> list[dict]:
    return [
        {"year": 1900 + number, **make_example(name, CONTEXT, "When?", *answers), "is_impossible": not answers}
        for number, (name, *answers) in enumerate((("a", "He"), ("b", "He"), ("c",), ("d", "It", "1922"), ("e", "He")))
    ]


@pytest.mark.parametrize("compliant", [True, False])
def test_parquet_keeps_columns_types_metadata_and_row_groups(tmp_path, compliant):
    answers = pa.struct([("answer_start", pa.list_(pa.int32())), ("text", pa.large_list(pa.large_string()))])
    schema = pa.schema(
        [
            pa.field("is_impossible", pa.int8()), pa.field("year", pa.uint16(), metadata={"unit": "a"}),
            pa.field("answers", answers), *((name, pa.string()) for name in ("id", "title", "context", "question")),
        ],
        metadata={"huggingface": "x", "mine": "y"},
    )  # fmt: skip
    rows = [row | {"is_impossible": int(row["is_impossible"])} for row in rows_of_table()]
    pa.parquet.write_table(
        pa.Table.from_pylist(rows, schema), tmp_path / "s.parquet", row_group_size=2, compression="gzip",
        use_compliant_nested_type=compliant,
    )  # fmt: skip
    table = pa.parquet.read_table(tmp_path / "s.parquet")
    write_with_answers(tmp_path / "s.parquet", tmp_path / "new", {2: [IT], 3: [1], 4: []})
    with pa.parquet.ParquetFile(tmp_path / "new") as file:
        assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [2, 2, 1]
        assert file.metadata.row_group(0).column(0).compression == "GZIP"
        found = file.read()
    assert found.schema.equals(table.schema, check_metadata=True)
    kept = ["year", "id", "title", "context", "question"]
    assert found.select(kept).equals(table.select(kept))
    assert found["answers"].to_pylist() == [
        {"answer_start": [0], "text": ["He"]}, {"answer_start": [0], "text": ["He"]},
        {"answer_start": [26], "text": ["It"]}, {"answer_start": [20], "text": ["1922"]},
        {"answer_start": [], "text": []},
    ]  # fmt: skip
    assert found["is_impossible"].to_pylist() == [0, 0, 0, 0, 1]


def test_folder_keeps_columns_and_features(tmp_path):
    features = Features(
        {
            "id": Value("int16"), "question": Value("large_string"), "context": Value("string"),
            "answers": List({"text": Value("string"), "answer_start": Value("int32"), "by": Value("string")}),
        }
    )  # fmt: skip
    rows = [
        {"id": number, "question": "?", "context": CONTEXT, "answers": [{**answer, "by": "me"} for answer in given]}
        for number, given in enumerate(([HE], [HE, IT], []))
    ]
    Dataset.from_list(rows, features).save_to_disk(tmp_path / "s")
    before = {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    write_with_answers(tmp_path / "s", tmp_path / "new", {0: [], 1: [IT, 0], 2: [HE]})
    found = load_from_disk(str(tmp_path / "new"))
    assert found.features == features
    rows[0]["answers"], rows[2]["answers"] = [], [{**HE, "by": None}]
    rows[1]["answers"] = [{**IT, "by": None}, {**HE, "by": "me"}]
    assert found.to_list() == rows
    assert {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()} == before


def test_column_of_one_answer_has_room_for_no_more(tmp_path):
    rows = [{"context": CONTEXT, "question": "?", "answers": answer} for answer in (HE, None)]
    source = tmp_path / "s.parquet"
    pa.parquet.write_table(pa.Table.from_pylist(rows), source)
    write_with_answers(source, tmp_path / "new", {0: [], 1: [IT]})
    assert pa.parquet.read_table(tmp_path / "new")["answers"].to_pylist() == [None, IT]
    with pytest.raises(
        ValueError, match=r"row 1: .* at most one answer, .* has room for, found 2; write a \.json file"
    ):
        write_with_answers(source, tmp_path / "new", {1: [HE, IT]})


@pytest.mark.parametrize("offsets", [pa.string(), pa.uint8(), pa.null()])
def test_column_without_room_for_the_offset_is_named(tmp_path, offsets):
    context = "x" * 300 + CONTEXT
    kind = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(offsets))])
    answers = pa.array([{"text": [], "answer_start": []}], kind)
    source = tmp_path / "s.parquet"
    pa.parquet.write_table(pa.table({"context": [context], "question": ["?"], "answers": answers}), source)
    with pytest.raises(ValueError, match=r"column 'answers' that has room .* found the type .*; write a \.json file"):
        write_with_answers(source, tmp_path / "new", {0: [{"text": "He", "answer_start": 300}]})


def test_name_ends_as_that_of_the_source(tmp_path):
    names = [tmp_path / "a.JSON", tmp_path / "b.ndjson", tmp_path / "c.parquet", tmp_path, "demo", "someone/set:test"]
    assert list(map(suffix_of, names)) == [".json", ".ndjson", ".parquet", "", ".json", ".parquet"]
