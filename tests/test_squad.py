"""Loading and validating data sets."""

import json
import random
import warnings
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from conftest import ROOT, make_example, squad_document
from datasets import Dataset, DatasetDict, Features, List, Value

from squad import InvalidDatasetError, InvalidExample, load_squad, occurrences, squad_features, validate_examples

SOURCE_KINDS = ["json", "jsonl", "ndjson", "parquet", "folder"]
TEXTS, INTEGERS = List(Value("string")), List(Value("int64"))
FEATURES = Features(
    {
        "id": Value("string"),
        "title": Value("string"),
        "context": Value("string"),
        "question": Value("string"),
        "answers": {"text": TEXTS, "answer_start": INTEGERS},
    }
)
FEATURES_WITH_LABELS = Features({**FEATURES, "answers": {"text": TEXTS, "answer_start": INTEGERS, "label": TEXTS}})
CONTEXT = "Łódź lies west of Warsaw; Warsaw lies on the Vistula."  # "Warsaw" at 18 and at 26


def write_source(kind: str, rows: list[dict], folder: Path) -> Path:
    """Write rows as one kind of source, without help of the module under test."""
    path = folder / f"data.{kind}"
    if kind == "json":
        path.write_text(json.dumps(squad_document(rows)), encoding="utf-8")
    elif kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "folder":
        Dataset.from_list(rows).save_to_disk(str(path))
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(folder: Path, document: object) -> Path:
    path = folder / "data.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def write_questions(folder: Path, *questions: object) -> Path:
    """Write SQuAD questions, nested as they should be, on one paragraph."""
    paragraph = {"context": CONTEXT, "qas": list(questions)}
    return write_json(folder, {"version": "1.1", "data": [{"title": "Cities", "paragraphs": [paragraph]}]})


def question(**changes: object) -> dict:
    """A valid question on `CONTEXT` but for the changes."""
    answers = [{"text": "Warsaw", "answer_start": 18}]
    return {"id": "a", "question": "Which city lies east of Łódź?", "answers": answers} | changes


def row(**changes: object) -> dict:
    """A valid example on `CONTEXT` but for the changes."""
    return make_example("a", CONTEXT, "Which city lies east of Łódź?", "Warsaw") | changes


def without(fields: dict, name: str) -> dict:
    return {key: value for key, value in fields.items() if key != name}


# Sources


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_every_kind_of_source_gives_the_same_examples_and_features(kind, tmp_path, examples):
    loaded = load_squad(write_source(kind, examples, tmp_path))
    assert loaded.to_list() == examples
    assert loaded.features == FEATURES == squad_features()


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_every_kind_of_source_keeps_span_classes(kind, tmp_path):
    rows = [make_example("a", CONTEXT, "Where?", "Łódź", "Warsaw", "the Vistula"), make_example("b", CONTEXT, "Who?")]
    rows[0]["answers"]["label"] = ["CITY", "CITY", "RIVER"]
    rows[1]["answers"]["label"] = []
    if kind == "json":  # the nested layout has nowhere to say that a question without answers has classes
        rows[1] = make_example("b", CONTEXT, "Who?", "Vistula")
        rows[1]["answers"]["label"] = ["RIVER"]
    loaded = load_squad(write_source(kind, rows, tmp_path))
    assert loaded.to_list() == rows
    assert loaded.features == FEATURES_WITH_LABELS == squad_features(with_labels=True)


def test_answers_of_rows_without_classes_get_empty_ones_when_other_rows_have_them(tmp_path):
    rows = [make_example("a", CONTEXT, "Where?", "Łódź", "Warsaw"), make_example("b", CONTEXT, "Which?", "Vistula")]
    rows[1]["answers"]["label"] = ["RIVER"]
    loaded = load_squad(write_source("jsonl", rows, tmp_path))
    assert loaded["answers"][0] == {"text": ["Łódź", "Warsaw"], "answer_start": [0, 18], "label": ["", ""]}
    assert loaded["answers"][1] == {"text": ["Vistula"], "answer_start": [45], "label": ["RIVER"]}


def test_squad_v2_keeps_several_answers_and_questions_without_one(tmp_path):
    answers = [{"text": "Warsaw", "answer_start": 18}, {"text": "Warsaw", "answer_start": 26}]
    plausible = [{"text": "Łódź", "answer_start": 0}]
    path = write_questions(
        tmp_path,
        question(id="many", is_impossible=False, answers=answers),
        question(id="none", is_impossible=True, answers=[], plausible_answers=plausible),
    )
    loaded = load_squad(path)
    assert loaded["id"] == ["many", "none"]
    assert loaded["answers"][:] == [
        {"text": ["Warsaw", "Warsaw"], "answer_start": [18, 26]},
        {"text": [], "answer_start": []},
    ]
    assert loaded.features == FEATURES


def test_demo_is_the_default_and_holds_every_question_of_its_file():
    document = json.loads((ROOT / "data" / "demo-v1.1.json").read_text(encoding="utf-8"))
    expected = [
        (qa["id"], article["title"], paragraph["context"], qa["question"], qa["answers"][0]["text"])
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    loaded = load_squad()
    found = [(*(example[name] for name in list(FEATURES)[:4]), example["answers"]["text"][0]) for example in loaded]
    assert found == expected
    assert load_squad("demo", 2).to_list() == loaded.select([0, 1]).to_list()


def test_articles_with_several_paragraphs_keep_the_order_of_the_file(tmp_path, examples):
    document = squad_document(examples)
    assert [len(article["paragraphs"]) for article in document["data"]] == [2, 2, 2]
    loaded = load_squad(write_json(tmp_path, document))
    assert loaded["id"] == ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b", "5a", "5b"]
    assert loaded["title"][3:5] == ["Article 0", "Article 1"]


def test_offsets_count_characters_and_not_bytes(tmp_path):
    # Four bytes for the emoji and two for each of Ł, ó, ź and é: 11 bytes stand before "café", but 6 characters.
    example = make_example("a", "😀Łódź café", "Où ?", "café")
    assert example["answers"]["answer_start"] == [6]
    assert load_squad(write_source("jsonl", [example], tmp_path)).to_list() == [example]


def test_json_lines_are_cut_at_newlines_only_and_blank_lines_are_passed_over(tmp_path):
    rows = [make_example("a", "One\u2028two\x85three.", "Which?", "two"), make_example("b", CONTEXT, "Which?", "Łódź")]
    path = tmp_path / "data.jsonl"
    lines = [json.dumps(example, ensure_ascii=False) for example in rows]
    path.write_bytes(f"\n{lines[0]}\r\n\r\n{lines[1]}".encode())
    assert load_squad(path).to_list() == rows


def test_suffix_may_be_upper_case(tmp_path, squad_file, examples):
    path = squad_file.rename(tmp_path / "DATA.JSON")
    assert load_squad(path).to_list() == examples


def test_columns_beyond_the_schema_are_left_out(tmp_path):
    path = write_source("jsonl", [row(source="wiki", is_impossible=False)], tmp_path)
    assert load_squad(path).to_list() == [row()]


def test_folder_saved_with_the_sequence_features_of_old_datasets_is_read(tmp_path, examples):
    old = Features(
        {**FEATURES, "answers": datasets.Sequence({"text": Value("string"), "answer_start": Value("int32")})}
    )
    Dataset.from_list(examples, old).save_to_disk(str(tmp_path / "old"))
    loaded = load_squad(tmp_path / "old")
    assert loaded.to_list() == examples
    assert loaded.features == FEATURES


def test_one_split_of_a_saved_dataset_dict_is_named_by_its_folder(tmp_path, examples):
    DatasetDict({"train": Dataset.from_list(examples)}).save_to_disk(str(tmp_path / "splits"))
    assert load_squad(tmp_path / "splits" / "train").to_list() == examples
    with pytest.raises(ValueError, match=r"expected one data set, found the splits \['train'\]; name one: .*/SPLIT"):
        load_squad(tmp_path / "splits")


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_num_examples_takes_the_first_ones(kind, tmp_path, examples):
    path = write_source(kind, examples, tmp_path)
    assert load_squad(path, 3).to_list() == examples[:3]
    assert load_squad(path, 12).to_list() == examples


def test_examples_behind_num_examples_are_not_checked(tmp_path):
    path = write_source("jsonl", [row(), row(id="b", context="")], tmp_path)
    assert load_squad(path, 1)["id"] == ["a"]


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_features_stay_explicit_when_no_question_of_the_slice_has_an_answer(kind, tmp_path):
    rows = [make_example("a", CONTEXT, "Who?"), make_example("b", CONTEXT, "Which?", "Łódź")]
    loaded = load_squad(write_source(kind, rows, tmp_path), 1)
    assert loaded["answers"][:] == [{"text": [], "answer_start": []}]
    assert loaded.features == FEATURES


# The Hub


@pytest.mark.parametrize(
    ("source", "repository", "split"),
    [
        ("squad", "rajpurkar/squad", "train"),
        ("squad_v2", "rajpurkar/squad_v2", "train"),
        ("squad:validation", "rajpurkar/squad", "validation"),
        ("rajpurkar/squad", "rajpurkar/squad", "train"),
        ("someone/data:test[:10]", "someone/data", "test[:10]"),
    ],
)
def test_hub_names_are_mapped_to_repository_and_split(source, repository, split, monkeypatch, examples):
    calls = []

    def load_dataset(*args, **kwargs):
        calls.append((args, kwargs))
        return Dataset.from_list(examples)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load_squad(source, 2).to_list() == examples[:2]
    assert load_squad(source, 2, revision="v1").to_list() == examples[:2]
    assert calls == [((repository,), {"split": split, "revision": revision}) for revision in (None, "v1")]


def test_hub_out_of_reach_names_the_repository_and_what_to_do():
    with pytest.raises(ConnectionError) as raised:
        load_squad("nobody/no-such-data-set")
    message = str(raised.value)
    assert "could not load 'nobody/no-such-data-set' from the Hugging Face Hub" in message
    assert "OfflineModeIsEnabled" in message
    for advice in ("pass the file's path", "set HF_HUB_OFFLINE=1", 'use "demo"'):
        assert advice in message


@pytest.mark.parametrize("cause", [OSError("no route"), ValueError('Unknown split "dev"'), FileNotFoundError("gone")])
def test_the_reason_why_the_hub_failed_is_kept(cause, monkeypatch):
    def load_dataset(*args, **kwargs):
        raise cause

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ConnectionError) as raised:
        load_squad("squad:dev")
    assert f"could not load 'rajpurkar/squad' from the Hugging Face Hub ({type(cause).__name__}: {cause})" in str(
        raised.value
    )
    assert raised.value.__cause__ is cause


# Sources that are not there, or of another shape


@pytest.mark.parametrize("name", ["missing.json", "missing.jsonl", "missing.parquet", "./missing", "/no/such/folder"])
def test_missing_file_says_what_can_be_given(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as raised:
        load_squad(name)
    assert str(raised.value) == (
        f"{name}: no such file or folder. Give the path of a .json, .jsonl, .ndjson, .parquet file, "
        '"demo" for the embedded data, or a name on the Hub such as "squad".'
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{'data': []}", "expected JSON; Expecting property name enclosed in double quotes"),
        ("a.json", b"", "expected JSON; Expecting value: line 1 column 1"),
        ("a.json", b'{"id": 1}\n{"id": 2}\n', "Extra data: line 2 column 1 (char 10); is it JSON Lines? Then name it"),
        ("a.json", '{"data": "é"}'.encode("latin-1"), "expected UTF-8 text; 'utf-8' codec can't decode byte 0xe9"),
        ("a.jsonl", b'\n\n{"id": \n', "a.jsonl, line 3: expected JSON; Expecting value"),
        ("a.jsonl", b'{"id": "\xff"}', "a.jsonl, line 1: expected UTF-8 text; 'utf-8' codec can't decode byte 0xff"),
        ("a.jsonl", b"\n", "a.jsonl: expected at least one example, found none"),
        ("a.parquet", b"id,title\n", "a.parquet: expected a Parquet file; "),
        ("a.parquet", b"", "a.parquet: expected a Parquet file; "),
        ("a.csv", b"id,title\n", "expected a file ending in .json, .jsonl, .ndjson, .parquet, found '.csv'"),
    ],
)
def test_file_that_cannot_be_parsed(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as raised:
        load_squad(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "a list 'data' in the document; found list []"),
        ("text", "a list 'data' in the document; found str 'text'"),
        ({"rows": []}, "a list 'data' in the document; found the fields ['rows']"),
        ({"data": {"title": "T"}}, "a list 'data' in the document; found 'data' as dict {'title': 'T'}"),
        ({"data": ["T"]}, "a list 'paragraphs' in data[0]; found str 'T'"),
        ({"data": [{"paragraphs": []}, {"title": "T"}]}, "a list 'paragraphs' in data[1]; found the fields ['title']"),
        ({"data": [{"paragraphs": None}]}, "a list 'paragraphs' in data[0]; found 'paragraphs' as NoneType None"),
        ({"data": [{"paragraphs": [[]]}]}, "a list 'qas' in data[0].paragraphs[0]; found list []"),
        (
            {"data": [{"paragraphs": [{"qas": []}, {"context": "C"}]}]},
            "a list 'qas' in data[0].paragraphs[1]; found the fields ['context']",
        ),
    ],
)
def test_json_of_another_shape_says_where_the_nesting_breaks(document, message, tmp_path):
    path = write_json(tmp_path, document)
    with pytest.raises(ValueError) as raised:
        load_squad(path)
    assert str(raised.value) == f"{path}: expected the SQuAD layout data[].paragraphs[].qas[], with {message}"


def test_file_without_questions(tmp_path):
    with pytest.raises(ValueError, match=r"data\.json: expected at least one example, found none"):
        load_squad(write_json(tmp_path, {"data": []}))


def test_folder_that_no_dataset_was_saved_in(tmp_path):
    with pytest.raises(ValueError, match=r"expected a folder written by Dataset\.save_to_disk; "):
        load_squad(tmp_path)


# Invalid examples


def first_problem(path: Path) -> str:
    """Load one invalid example and return the line that says what is wrong with it."""
    with pytest.raises(InvalidDatasetError) as raised:
        load_squad(path)
    head, line, advice = str(raised.value).splitlines()
    assert head == f"{path}: 1 of 1 examples are invalid:"
    assert advice == "Correct them."  # dropping them would leave nothing
    return line.strip()


def test_offset_that_does_not_match_shows_id_index_expected_found_and_the_right_offset(tmp_path):
    path = write_questions(
        tmp_path, question(id="ok"), question(id="q7", answers=[{"text": "Warsaw", "answer_start": 17}])
    )
    with pytest.raises(InvalidDatasetError) as raised:
        load_squad(path)
    assert str(raised.value) == (
        f"{path}: 1 of 2 examples are invalid:\n"
        "  example 1 (id 'q7'): expected the answer 'Warsaw' at offset 17; "
        "found ' Warsa' (the text is at offset 18)\n"
        'Correct them, or pass on_invalid="drop" to go on without them.'
    )
    expected, found = "the answer 'Warsaw' at offset 17", "' Warsa' (the text is at offset 18)"
    assert raised.value.problems == [InvalidExample(1, "q7", expected, found)]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {"text": "Kraków", "answer_start": 0},
            "expected the answer 'Kraków' at offset 0; found 'Łódź l' (the text is not in the context)",
        ),
        # Upper and lower case differ.
        (
            {"text": "warsaw", "answer_start": 18},
            "expected the answer 'warsaw' at offset 18; found 'Warsaw' (the text is not in the context)",
        ),
        # The same word with combining accents is another text.
        (
            {"text": "Ło\u0301dz\u0301", "answer_start": 0},
            "expected the answer 'Ło\u0301dz\u0301' at offset 0; found 'Łódź l' (the text is not in the context)",
        ),
        # Python would count a negative offset from the end: CONTEXT[-8:-1] is "Vistula".
        (
            {"text": "Vistula", "answer_start": -8},
            "expected the answer 'Vistula' at offset -8; found '' (the text is at offset 45)",
        ),
        (
            {"text": "Vistula.", "answer_start": 46},
            "expected the answer 'Vistula.' at offset 46; found 'istula.' (the text is at offset 45)",
        ),
        (
            {"text": "Warsaw", "answer_start": 10**30},
            f"expected the answer 'Warsaw' at offset {10**30}; found '' (the text is at offset 26)",
        ),
        ({"text": "Warsaw", "answer_start": "18"}, "expected an integer 'answer_start'; found str '18'"),
        ({"text": "Łódź", "answer_start": False}, "expected an integer 'answer_start'; found bool False"),
        ({"text": "Warsaw", "answer_start": 18.0}, "expected an integer 'answer_start'; found float 18.0"),
        ({"text": "Warsaw"}, "expected an integer 'answer_start'; found NoneType None"),
        ({"text": None, "answer_start": 18}, "expected an answer text that is not empty; found NoneType None"),
        ({"text": 1817, "answer_start": 18}, "expected an answer text that is not empty; found int 1817"),
        ({"text": "", "answer_start": 18}, "expected an answer text that is not empty; found str ''"),
        ({"text": " ", "answer_start": 4}, "expected an answer text that is not empty; found str ' '"),
        ({"answer_start": 18}, "expected an answer text that is not empty; found NoneType None"),
        (
            {"text": "Warsaw", "answer_start": 18, "label": 3},
            "expected the name of a span class in 'answers.label'; found int 3",
        ),
    ],
)
def test_wrong_answer_of_a_squad_file(answer, message, tmp_path):
    path = write_questions(tmp_path, question(answers=[answer]))
    assert first_problem(path) == f"example 0 (id 'a'): {message}"


def test_every_answer_is_checked_and_not_only_the_first(tmp_path):
    answers = [{"text": "Warsaw", "answer_start": 18}, {"text": "Warsaw", "answer_start": 27}]
    assert first_problem(write_questions(tmp_path, question(answers=answers))) == (
        "example 0 (id 'a'): expected the answer 'Warsaw' at offset 27; found 'arsaw ' (the text is at offset 26)"
    )


def test_long_texts_are_shortened_in_the_message(tmp_path):
    line = first_problem(write_questions(tmp_path, question(answers=[{"text": "x" * 500, "answer_start": 0}])))
    assert "'" + "x" * 59 + "…'" in line
    assert "x" * 60 not in line


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            without(question(), "answers"),
            "(id 'a'): expected the field 'answers'; found fields 'title', 'context', 'id', 'question'",
        ),
        (
            without(question(), "id"),
            "(id 'None'): expected the field 'id'; found fields 'title', 'context', 'question', 'answers'",
        ),
        (question(id=7), "(id '7'): expected 'id' to be a string; found int 7"),
        (question(id=""), "(id ''): expected a 'id' that is not empty; found str ''"),
        (question(question=None), "(id 'a'): expected 'question' to be a string; found NoneType None"),
        (question(question=" \n"), "(id 'a'): expected a 'question' that is not empty; found str ' \\n'"),
        (
            question(answers=None),
            "(id 'a'): expected 'answers' with 'text' and 'answer_start'; found NoneType None",
        ),
        (
            question(answers=["Warsaw"]),
            "(id 'a'): expected 'answers' with 'text' and 'answer_start'; found list ['Warsaw']",
        ),
        (
            question(is_impossible=True),
            "(id 'a'): expected no answer where is_impossible is true; found 1 answers",
        ),
        ("What?", "(id 'None'): expected an object with the fields id, title, context, question, answers; "
                  "found str 'What?'"),
    ],
)  # fmt: skip
def test_invalid_question_of_a_squad_file(changed, message, tmp_path):
    assert first_problem(write_questions(tmp_path, changed)) == f"example 0 {message}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (row(context="\t "), "expected a 'context' that is not empty; found str '\\t '"),
        (row(context=["C"]), "expected 'context' to be a string; found list ['C']"),
        (row(title=None), "expected 'title' to be a string; found NoneType None"),
        (
            without(row(), "context"),
            "expected the field 'context'; found fields 'id', 'title', 'question', 'answers'",
        ),
        (row(answers={"text": ["Warsaw"]}), "expected a list 'answers.answer_start'; found only ['text']"),
        (row(answers={"answer_start": [18]}), "expected a list 'answers.text'; found only ['answer_start']"),
        (row(answers={"text": "Warsaw", "answer_start": [18]}), "expected a list 'answers.text'; found str 'Warsaw'"),
        (
            row(answers={"text": ["Warsaw"], "answer_start": [18, 26]}),
            "expected as many 'answers.answer_start' as 'answers.text' (1); found 2",
        ),
        (
            row(answers={"text": ["Warsaw"], "answer_start": [18], "label": []}),
            "expected as many 'answers.label' as 'answers.text' (1); found 0",
        ),
        (
            row(answers={"text": ["Warsaw"], "answer_start": [18], "label": "CITY"}),
            "expected a list 'answers.label'; found str 'CITY'",
        ),
    ],
)
def test_invalid_row_of_json_lines(changed, message, tmp_path):
    assert first_problem(write_source("jsonl", [changed], tmp_path)) == f"example 0 (id 'a'): {message}"


def test_title_may_be_empty(tmp_path):
    assert load_squad(write_source("jsonl", [row(title="")], tmp_path))["title"] == [""]


def test_the_second_of_two_equal_ids_is_invalid_and_the_first_is_named(tmp_path):
    path = write_questions(tmp_path, question(id="x"), question(id="y"), question(id="x"))
    with pytest.raises(InvalidDatasetError) as raised:
        load_squad(path)
    assert [str(problem) for problem in raised.value.problems] == [
        "example 2 (id 'x'): expected a unique id; found the id of example 0 again"
    ]


def test_more_than_five_invalid_examples_show_five_and_the_total(tmp_path):
    rows = [row(id=f"bad{number}", question="") for number in range(7)] + [row(id="good")]
    path = write_source("jsonl", rows, tmp_path)
    with pytest.raises(InvalidDatasetError) as raised:
        load_squad(path)
    lines = str(raised.value).splitlines()
    assert lines[0] == f"{path}: 7 of 8 examples are invalid:"
    assert [line.split(":")[0].strip() for line in lines[1:6]] == [
        f"example {number} (id 'bad{number}')" for number in range(5)
    ]
    assert lines[6] == "  and 2 more"
    assert len(lines) == 8
    assert len(raised.value.problems) == 7


def test_exactly_five_invalid_examples_are_all_shown(tmp_path):
    with pytest.raises(InvalidDatasetError) as raised:
        load_squad(write_source("jsonl", [row(id=f"bad{number}", question="") for number in range(5)], tmp_path))
    assert "id 'bad4'" in str(raised.value)
    assert "more" not in str(raised.value)


def test_validate_examples_finds_nothing_in_valid_ones(examples):
    assert validate_examples(examples) == []


# on_invalid="drop"


def test_drop_keeps_the_rest_and_names_all_that_went(tmp_path):
    rows = [row(id=f"bad{number}", question="") for number in range(7)]
    rows = [row(id="first"), *rows, row(id="last")]
    path = write_source("jsonl", rows, tmp_path)
    with pytest.warns(UserWarning) as caught:
        loaded = load_squad(path, on_invalid="drop")
    assert loaded.to_list() == [rows[0], rows[-1]]
    (warning,) = caught
    message = str(warning.message)
    assert message.startswith(f"{path}: 7 of 9 examples are invalid:\n  example 1 (id 'bad0'): expected a 'question'")
    dropped = ", ".join(f"'bad{number}' (index {number + 1})" for number in range(7))
    assert message.endswith(f"\nDropped: {dropped}.")
    assert Path(warning.filename) == Path(__file__), "the warning points to the caller"


def test_drop_keeps_the_first_of_two_equal_ids(tmp_path):
    rows = [row(question="First?"), row(question="Second?"), row(id="b")]
    with pytest.warns(UserWarning, match=r"Dropped: 'a' \(index 1\)\."):
        loaded = load_squad(write_source("jsonl", rows, tmp_path), on_invalid="drop")
    assert loaded["question"] == ["First?", rows[2]["question"]]


def test_table_that_labels_only_some_answers_has_empty_labels_in_the_others(tmp_path):
    """A column of a table holds None where JSON leaves a field out."""
    answers = {"text": ["Warsaw"], "answer_start": [18]}
    rows = [row(id="a", answers={**answers, "label": ["CITY"]}), row(id="b", answers=answers)]
    for kind in ("jsonl", "parquet"):
        loaded = load_squad(write_source(kind, rows, tmp_path))
        assert [given["label"] for given in loaded["answers"]] == [["CITY"], [""]]


@pytest.mark.parametrize("source", [None, 3, ["squad"]])
def test_source_that_is_no_text_is_refused(source):
    with pytest.raises(TypeError, match="source: expected a text or a Path, found"):
        load_squad(source)


def test_half_of_a_surrogate_pair_is_named(tmp_path):
    path = write_questions(tmp_path, question(id="x", question="What is \ud83d?"), question(id="y"))
    with pytest.raises(InvalidDatasetError, match=r"example 0 \(id 'x'\): expected 'question' to be Unicode text"):
        load_squad(path)


def test_byte_order_mark_is_no_part_of_the_data(squad_file, examples):
    squad_file.write_bytes(b"\xef\xbb\xbf" + squad_file.read_bytes())
    assert load_squad(squad_file).to_list() == examples


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        load_squad(path)


def test_hint_names_the_occurrence_nearest_to_the_offset(tmp_path):
    nowhere = {"text": "Warsaw", "answer_start": 27}
    path = write_questions(tmp_path, question(id="ok"), question(id="q", answers=[nowhere]))
    with pytest.raises(InvalidDatasetError, match=r"the text is at offset 26"):
        load_squad(path)


def test_drop_says_nothing_when_all_are_valid(squad_file, examples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_squad(squad_file, on_invalid="drop").to_list() == examples


def test_drop_raises_when_nothing_is_left(tmp_path):
    path = write_questions(tmp_path, question(id="x", question=""), question(id="y", answers=None))
    with pytest.raises(InvalidDatasetError, match="2 of 2 examples are invalid"):
        load_squad(path, on_invalid="drop")


def test_num_examples_are_counted_before_dropping(tmp_path):
    path = write_questions(tmp_path, question(id="x", question=""), question(id="y"), question(id="z"))
    with pytest.warns(UserWarning, match="1 of 2 examples are invalid"):
        assert load_squad(path, 2, on_invalid="drop")["id"] == ["y"]


# Arguments


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_num_examples_beyond_the_data_says_how_many_there_are(kind, tmp_path, examples):
    path = write_source(kind, examples, tmp_path)
    with pytest.raises(ValueError) as raised:
        load_squad(path, 13)
    assert str(raised.value) == (
        f"{path}: expected at least num_examples=13 examples, found 12; use num_examples=None to take all of them"
    )


@pytest.mark.parametrize("num_examples", [0, -1])
def test_num_examples_below_one(num_examples):
    with pytest.raises(ValueError, match=f"num_examples: expected at least 1, found {num_examples}"):
        load_squad("demo", num_examples)


@pytest.mark.parametrize("num_examples", [True, 2.0, "3"])
def test_num_examples_of_another_type(num_examples):
    with pytest.raises(TypeError, match=f"num_examples: expected an integer or None, found {num_examples!r}"):
        load_squad("demo", num_examples)


@pytest.mark.parametrize("on_invalid", ["ignore", None, True])
def test_on_invalid_of_another_value(on_invalid):
    with pytest.raises(ValueError, match=f'on_invalid: expected "raise" or "drop", found {on_invalid!r}'):
        load_squad("demo", on_invalid=on_invalid)


@pytest.mark.parametrize("seed", range(300))
def test_hint_names_the_nearest_of_all_occurrences(seed):
    rng = random.Random(seed)
    context = "".join(rng.choices("ab", k=rng.randint(1, 12)))
    text = "".join(rng.choices("ab", k=rng.randint(1, 3)))
    offset = rng.randint(-3, 15)
    starts = [start for start in range(len(context)) if context.startswith(text, start)]
    (problem, *_) = [
        *validate_examples([row(context=context, answers={"text": [text], "answer_start": [offset]})]), None,
    ]  # fmt: skip
    if offset in starts:
        assert problem is None
    elif starts:
        nearest = min(starts, key=lambda start: abs(start - offset))
        assert problem.found.endswith(f"(the text is at offset {nearest})")
    else:
        assert problem.found.endswith("(the text is not in the context)")


@pytest.mark.parametrize(("text", "context"), [("aa", "aaaa"), ("ab", "abcab"), ("x", "abc"), ("abc", "ab")])
def test_occurrences_overlap(text, context):
    assert list(occurrences(text, context)) == [i for i in range(len(context)) if context.startswith(text, i)]
    assert list(occurrences(text, context, 1, 3)) == [
        i for i in range(1, len(context)) if context.startswith(text, i) and i + len(text) <= 3
    ]
