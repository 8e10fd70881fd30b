"""Loading and validating data sets."""

import json
import random
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from conftest import ROOT, make_example, squad_document
from datasets import Dataset, DatasetDict, Features, List, Value

from span_label_errors.data.squad import InvalidDatasetError, load_squad, squad_features, validate_examples
from span_label_errors.spans.text import occurrences

SOURCE_KINDS = ["json", "jsonl", "ndjson", "parquet", "folder"]
TEXT, TEXTS, INTEGERS = Value("string"), List(Value("string")), List(Value("int64"))
ANSWERS = {"text": TEXTS, "answer_start": INTEGERS}
FEATURES = Features({"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS})
FEATURES_WITH_LABELS = Features({**FEATURES, "answers": {**ANSWERS, "label": TEXTS}})
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


def row(**changes: object) -> dict:
    """A valid example on `CONTEXT` but for the changes."""
    return make_example("a", CONTEXT, "Which city lies east of Łódź?", "Warsaw") | changes


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


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_every_kind_of_source_keeps_who_answered(kind, tmp_path):
    rows = [make_example("a", CONTEXT, "Where?", "Łódź", "Warsaw"), make_example("b", CONTEXT, "Who?", "Łódź")]
    rows[0]["answers"]["annotator"] = ["ann", "7"]
    rows[1]["answers"]["annotator"] = ["ann"]
    loaded = load_squad(write_source(kind, rows, tmp_path))
    assert loaded.to_list() == rows
    assert loaded.features == squad_features(with_annotators=True)


def test_annotators_that_are_no_names_are_unnamed(tmp_path):
    names = [{"annotator": 7}, {"annotator": None}, {}, {"annotator": {"id": 7}}]
    answers = [{"text": "Warsaw", "answer_start": 18, **name} for name in names]
    rows = [row(answers=answers), row(id="b", answers={**row()["answers"], "annotator": "of all"}), row(id="c")]
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    loaded = load_squad(tmp_path / "a.json")
    assert [example["answers"]["annotator"] for example in loaded] == [["7", "", "", ""], [""], [""]]
    (tmp_path / "b.json").write_text(json.dumps(rows[1:]), encoding="utf-8")
    assert "annotator" not in load_squad(tmp_path / "b.json")[0]["answers"]


def test_squad_v2_keeps_several_answers_and_questions_without_one(tmp_path):
    answers = [{"text": "Warsaw", "answer_start": 18}, {"text": "Warsaw", "answer_start": 26}]
    plausible = [{"text": "Łódź", "answer_start": 0}]
    questions = [
        {"id": "many", "question": "Where?", "is_impossible": False, "answers": answers},
        {"id": "none", "question": "Who?", "is_impossible": True, "answers": [], "plausible_answers": plausible},
    ]
    document = {"version": "v2.0", "data": [{"title": "", "paragraphs": [{"context": CONTEXT, "qas": questions}]}]}
    path = tmp_path / "data.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    loaded = load_squad(path)
    assert loaded["id"] == ["many", "none"]
    assert loaded["answers"][:] == [
        {"text": ["Warsaw", "Warsaw"], "answer_start": [18, 26]},
        {"text": [], "answer_start": []},
    ]


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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Four bytes for the emoji and two for each of Ł, ó, ź and é: 11 bytes stand before "café", but 6 characters.
        (row(context="😀Łódź café", answers={"text": ["café"], "answer_start": [6]}), {}),
        (row(title=""), {}),
        (row(source="wiki", is_impossible=False), row()),  # columns beyond the schema are left out
    ],
)
def test_valid_rows_come_back(given, expected, tmp_path):
    path = write_source("jsonl", [given], tmp_path)
    assert load_squad(path.rename(tmp_path / "DATA.JSONL")).to_list() == [expected or given]


def test_json_lines_are_cut_at_newlines_only_and_blank_lines_are_passed_over(tmp_path):
    rows = [make_example("a", "One\u2028two\x85three.", "Which?", "two"), make_example("b", CONTEXT, "Which?", "Łódź")]
    path = tmp_path / "data.jsonl"
    lines = [json.dumps(example, ensure_ascii=False) for example in rows]
    path.write_bytes(f"\n{lines[0]}\r\n\r\n{lines[1]}".encode())
    assert load_squad(path).to_list() == rows


def test_one_split_of_a_saved_dataset_dict_is_named_by_its_folder(tmp_path, examples):
    DatasetDict({"train": Dataset.from_list(examples)}).save_to_disk(str(tmp_path / "splits"))
    assert load_squad(tmp_path / "splits" / "train").to_list() == examples
    with pytest.raises(ValueError, match=r"expected one data set, found the splits \['train'\]; name one: .*/SPLIT"):
        load_squad(tmp_path / "splits")


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_num_examples_takes_the_first_ones(kind, tmp_path):
    """Those behind are not checked, and the features are the same where no question of the slice has an answer."""
    rows = [make_example("a", CONTEXT, "Who?"), row(id="b"), row(id="c", question="")]
    path = write_source(kind, rows, tmp_path)
    for num_examples in (1, 2):
        loaded = load_squad(path, num_examples)
        assert loaded.to_list() == rows[:num_examples]
        assert loaded.features == FEATURES


# The Hub


@pytest.mark.parametrize(
    ("source", "repository", "split"),
    [
        ("squad", "rajpurkar/squad", "train"),
        ("squad:validation", "rajpurkar/squad", "validation"),
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


def test_the_reason_why_the_hub_failed_is_kept(monkeypatch):
    def load_dataset(*args, **kwargs):
        raise ValueError("Unknown split")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ConnectionError, match=r"squad:dev: .*ValueError: Unknown split"):
        load_squad("squad:dev")


# Sources that are not there, or of another shape


@pytest.mark.parametrize("name", ["missing.json", "missing.parquet", "./missing", "/no/such/folder"])
def test_missing_file_is_not_looked_up_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        load_squad(name)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("T", "articles, paragraphs or rows in {\"data\": […]}, in a list, or one a line; found str 'T'"),
        (
            {"id": {"0": "a"}, "context": {"0": "C"}},
            "a table of columns ['id', 'context']; write it row by row, with to_json(orient=\"records\") in pandas",
        ),
        ({"question": ["Q", "R"], "answers": [{}, {}]}, "a table of columns ['question', 'answers']"),
        ({"data": [{"paragraphs": []}, "T"]}, "a list 'paragraphs' in data[1]; found str 'T'"),
        ({"data": [{"paragraphs": None}]}, "a list 'paragraphs' in data[0]; found 'paragraphs' as NoneType None"),
        (
            {"data": [{"paragraphs": [{"qas": []}, {"context": "C"}]}]},
            "a list 'qas' in data[0].paragraphs[1]; found the fields ['context']",
        ),
    ],
)
def test_json_of_another_shape_says_where_the_nesting_breaks(document, message, tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError) as raised:
        load_squad(path)
    assert message in str(raised.value)


# Invalid examples


@pytest.mark.parametrize(
    ("changed", "expected", "found"),
    [
        ({"text": "warsaw"}, "the answer 'warsaw' at offset 18", "(the text is not in the context; "),  # case counts
        ({"text": "Lódź"}, "the answer 'Lódź' at offset 18", "(the text is not in the context; "),  # and so do letters
        ({"text": "x" * 500}, "'" + "x" * 59 + "…' at offset 18", "(the text is not in the context; "),
        ({"label": 3}, "the name of a span class in 'answers.label'", "int 3"),
        ({"label": "O"}, "the name of a span class in 'answers.label', not that of what is outside, 'O'", "'O'"),
    ],
)
def test_every_answer_is_checked(changed, expected, found):
    good = {"text": "Warsaw", "answer_start": 18, "label": "CITY"}
    answers = {name: [good[name], (good | changed)[name]] for name in good}
    (problem,) = validate_examples([row(answers=answers)])
    assert expected in problem.expected
    assert found in problem.found
    assert "x" * 60 not in str(problem)


@pytest.mark.parametrize(
    ("changed", "expected", "found"),
    [
        ("What?", "an object with the fields id, title, context, question, answers", "str 'What?'"),
        (row(answers=["Warsaw"]), "'answers' with 'text' and 'answer_start'", "list ['Warsaw']"),
        (row(answers={"text": ["Warsaw"]}), "a list 'answers.answer_start'", "only ['text']"),
        (row(answers={"text": ["Warsaw"], "answer_start": [18], "label": []}),
         "as many 'answers.label' as 'answers.text' (1)", "0"),
    ],
)  # fmt: skip
def test_example_of_another_form_is_invalid(changed, expected, found):
    (problem,) = validate_examples([row(id="good"), changed])
    assert (problem.example_index, problem.expected, problem.found) == (1, expected, found)


def test_first_five_invalid_examples_are_shown_and_all_are_listed(tmp_path):
    rows = [row(id=f"bad{number}", question="") for number in range(7)] + [row(id="good")]
    with pytest.raises(InvalidDatasetError) as raised:
        load_squad(write_source("jsonl", rows, tmp_path))
    assert [problem.id for problem in raised.value.problems] == [f"bad{number}" for number in range(7)]
    assert "7 of 8" in str(raised.value)
    assert [f"bad{number}" in str(raised.value) for number in range(7)] == [True] * 5 + [False] * 2
    assert 'on_invalid="drop"' in str(raised.value)


# Without questions


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("left_out", [{}, {"question": None}, {"question": ""}])
def test_data_without_questions_have_empty_ones(suffix, left_out, tmp_path):
    rows = [{**row(id=name), "question": ""} for name in "ab"]
    written = [{**{name: of_row[name] for name in of_row if name != "question"}, **left_out} for of_row in rows]
    assert load_squad(write_source(suffix, written, tmp_path)).to_list() == rows


@pytest.mark.parametrize(
    ("without", "found"),
    [({"question": ""}, "a 'question' that is not empty, or none in all examples; found str ''"), ({}, "'question'")],
)
def test_mixture_of_data_with_and_without_questions_is_refused(without, found, tmp_path):
    second = {**{name: value for name, value in row(id="b").items() if name != "question"}, **without}
    with pytest.raises(InvalidDatasetError) as caught:
        load_squad(write_source("jsonl", [row(), second], tmp_path))
    assert "1 of 2 examples are invalid" in str(caught.value)
    assert found in str(caught.value)
    assert "repair" not in str(caught.value)


# on_invalid="drop"


def test_drop_keeps_the_rest_and_names_all_that_went(tmp_path):
    rows = [row(id=f"bad{number}", question="") for number in range(7)]
    rows = [row(id="first"), *rows, row(id="last")]
    path = write_source("jsonl", rows, tmp_path)
    with pytest.warns(UserWarning) as caught:
        loaded = load_squad(path, on_invalid="drop")
    assert loaded.to_list() == [rows[0], rows[-1]]
    (warning,) = caught
    assert "7 of 9" in str(warning.message)
    assert all(f"'bad{number}' (index {number + 1})" in str(warning.message) for number in range(7))
    assert Path(warning.filename) == Path(__file__), "the warning points to the caller"
    with pytest.raises(InvalidDatasetError, match="1 of 1 examples are invalid"):
        load_squad(write_source("jsonl", [row(question=" ")], tmp_path), on_invalid="drop")


def test_table_that_labels_only_some_answers_has_empty_labels_in_the_others(tmp_path):
    """A column of a table holds None where JSON leaves a field out."""
    answers = {"text": ["Warsaw"], "answer_start": [18]}
    rows = [row(id="a", answers={**answers, "label": ["CITY"]}), row(id="b", answers=answers)]
    for kind in ("jsonl", "parquet"):
        loaded = load_squad(write_source(kind, rows, tmp_path))
        assert [given["label"] for given in loaded["answers"]] == [["CITY"], [""]]


def test_num_examples_are_counted_before_dropping(tmp_path):
    path = write_source("jsonl", [row(id="x", question=""), row(id="y"), row(id="z")], tmp_path)
    with pytest.warns(UserWarning, match="1 of 2 examples are invalid"):
        assert load_squad(path, 2, on_invalid="drop")["id"] == ["y"]


@pytest.mark.parametrize("arguments", [{"num_examples": 0}, {"on_invalid": "ignore"}])
def test_argument_out_of_range_is_named(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))}: expected"):
        load_squad(**arguments)


def test_hint_names_the_nearest_of_all_occurrences():
    rng = random.Random(0)
    for _ in range(300):
        context = "".join(rng.choices("ab", k=rng.randint(1, 12)))
        text = "".join(rng.choices("ab", k=rng.randint(1, 3)))
        offset = rng.randint(-3, 15)
        starts = [start for start in range(len(context)) if context.startswith(text, start)]
        problems = validate_examples([row(context=context, answers={"text": [text], "answer_start": [offset]})])
        nearest = min(starts, key=lambda start: abs(start - offset), default=None)
        hint = "(the text is not in the context" if nearest is None else f"(the text is at offset {nearest}"
        hint += ")" if len(starts) == 1 else " and elsewhere)" if starts else ""
        assert [hint in problem.found for problem in problems] == [True] * (offset not in starts)


@pytest.mark.parametrize(("text", "context"), [("aa", "aaaa"), ("ab", "abcab"), ("x", "abc"), ("abc", "ab")])
def test_occurrences_overlap(text, context):
    assert list(occurrences(text, context)) == [i for i in range(len(context)) if context.startswith(text, i)]
