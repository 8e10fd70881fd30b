"""Every layout and form in which tools write questions and answers, and the examples that they give."""

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Dataset

from span_label_errors.data.layouts import Values, walk
from span_label_errors.data.squad import load_squad

CONTEXT = "Łódź lies west of Warsaw; Warsaw lies on the Vistula."  # "Warsaw" at 18 and at 26, "Vistula" at 45
OTHER = "Oslo lies on a fjord."
WARSAW = {"text": "Warsaw", "answer_start": 18}
VISTULA = {"text": "Vistula", "answer_start": 45}
OSLO = {"text": "Oslo", "answer_start": 0}
COLUMNS_OF_WARSAW = {"text": ["Warsaw"], "answer_start": [18]}
NO_ANSWER = {"text": [], "answer_start": []}

EAST = {"id": "a", "question": "Which city lies east of Łódź?", "answers": [WARSAW]}
RIVER = {"id": "b", "question": "On which river?", "answers": [VISTULA]}
FJORD = {"id": "c", "question": "What lies on a fjord?", "answers": [OSLO]}
PARAGRAPHS = [{"context": CONTEXT, "qas": [EAST, RIVER]}, {"context": OTHER, "qas": [FJORD]}]
ARTICLES = [{"title": "Poland", "paragraphs": PARAGRAPHS[:1]}, {"title": "Norway", "paragraphs": PARAGRAPHS[1:]}]
ROWS = [
    {"title": "Poland", "context": CONTEXT, **EAST},
    {"title": "Poland", "context": CONTEXT, **RIVER},
    {"title": "Norway", "context": OTHER, **FJORD},
]
EXAMPLES = [
    {"id": "a", "title": "Poland", "context": CONTEXT, "question": EAST["question"], "answers": COLUMNS_OF_WARSAW},
    {"id": "b", "title": "Poland", "context": CONTEXT, "question": RIVER["question"],
     "answers": {"text": ["Vistula"], "answer_start": [45]}},
    {"id": "c", "title": "Norway", "context": OTHER, "question": FJORD["question"],
     "answers": {"text": ["Oslo"], "answer_start": [0]}},
]  # fmt: skip


def lines(entries: list) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def load(folder: Path, content: object, name: str = "data.json") -> list[dict]:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")
    return load_squad(folder / name).to_list()


def without(example: dict, *names: str) -> dict:
    return {name: value for name, value in example.items() if name not in names}


def question(**changes: object) -> dict:
    """A row that is `EXAMPLES[0]` but for the changes."""
    return EXAMPLES[0] | changes


# Layouts


@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.ndjson"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"version": "1.1", "data": ARTICLES}, id="SQuAD"),
        pytest.param({"version": "0.1", "data": ROWS}, id="rows under data, as run_qa reads them"),
        pytest.param(ROWS, id="a list of rows"),
        pytest.param(ARTICLES, id="a list of articles"),
        pytest.param(lines(ROWS), id="a row a line"),
        pytest.param(lines(ARTICLES), id="an article a line"),
        pytest.param(
            {"data": [{**ARTICLES[0], "paragraphs": PARAGRAPHS[0]}, {**ARTICLES[1], "paragraphs": PARAGRAPHS[1]}]},
            id="one paragraph as an object",
        ),
        pytest.param(
            {"data": [ARTICLES[0], {**ARTICLES[1], "paragraphs": {"context": OTHER, "qas": FJORD}}]},
            id="one question as an object",
        ),
        pytest.param(
            {"data": [{**PARAGRAPHS[0], "title": "Poland"}, {**PARAGRAPHS[1], "title": "Norway"}]},
            id="paragraphs under data, as KorQuAD 2 has them",
        ),
        pytest.param(
            lines([{**PARAGRAPHS[0], "title": "Poland"}, {**PARAGRAPHS[1], "title": "Norway"}]), id="a paragraph a line"
        ),
    ],
)  # fmt: skip
def test_every_layout_gives_the_same_examples_whatever_the_file_is_called(content, name, tmp_path):
    assert load(tmp_path, content, name) == EXAMPLES


@pytest.mark.parametrize("entry", [ARTICLES[0], {**PARAGRAPHS[0], "title": "Poland"}])
def test_one_entry_is_a_document(entry, tmp_path):
    assert load(tmp_path, entry) == EXAMPLES[:2]
    assert load(tmp_path, ROWS[0]) == EXAMPLES[:1]


def test_other_fields_at_all_levels_are_passed_over(tmp_path):
    """Haystack, CMRC, DRCD and others have ids of articles and paragraphs, and more fields of answers."""
    answer = {**WARSAW, "answer_id": 7, "document_id": 77, "question_id": 1, "answer_end": 24, "answer_category": None}
    asked = {**EAST, "answers": [answer], "plausible_answers": [VISTULA], "is_impossible": False}
    paragraph = {"context": CONTEXT, "qas": [asked], "id": "p", "document_id": 77, "question": "?"}
    article = {"title": "Poland", "paragraphs": [paragraph], "id": "x", "context": "?"}
    assert load(tmp_path, {"version": 1, "data": [article], "qas": []}) == EXAMPLES[:1]


def test_positions_and_nodes_of_the_questions():
    def found(document: object) -> list[tuple]:
        return [(place.position, place.nodes[-1]["id"], len(place.nodes)) for place in walk(document, Values())]

    assert found({"data": ARTICLES}) == [((0, 0, 0), "a", 3), ((0, 0, 1), "b", 3), ((1, 0, 0), "c", 3)]
    assert found(PARAGRAPHS) == [((0, 0), "a", 2), ((0, 1), "b", 2), ((1, 0), "c", 2)]
    assert found(ROWS) == [((0,), "a", 1), ((1,), "b", 1), ((2,), "c", 1)]


# Ids and titles


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1001, "1001"), (0, "0"), (-3, "-3"), (10**30, "1" + 30 * "0"), (1.0, "1"), (float(2**53 - 1), str(2**53 - 1))],
)
def test_number_that_is_an_id_or_a_title_becomes_its_text(given, expected, tmp_path):
    (loaded,) = load(tmp_path, [question(id=given, title=given)])
    assert (loaded["id"], loaded["title"]) == (expected, expected)


@pytest.mark.parametrize("missing", [None, float("nan"), "", " \n"])
def test_missing_id_is_made_of_the_position(missing, tmp_path):
    def with_ids(*ids: object) -> list[dict]:
        return [{**asked, "id": example_id} for asked, example_id in zip((EAST, RIVER, FJORD), ids, strict=True)]

    east, river, fjord = with_ids(missing, "x", missing)
    document = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [east, river]}]},
                         {"paragraphs": [{"context": OTHER, "qas": [without(fjord, "id")]}]}]}  # fmt: skip
    assert [example["id"] for example in load(tmp_path, document)] == ["0-0-0", "x", "1-0-0"]
    rows = [{**row, "id": missing} for row in ROWS]
    assert [example["id"] for example in load(tmp_path, lines(rows))] == ["0", "1", "2"]
    # One that is there already is left to the question that has it.
    rows = [{**row, "id": example_id} for row, example_id in zip(ROWS, ("1", missing, "1-"), strict=True)]
    assert [example["id"] for example in load(tmp_path, rows)] == ["1", "1--", "1-"]


@pytest.mark.parametrize("title", [{}, {"title": None}, {"title": float("nan")}, {"title": ""}])
def test_missing_title_is_empty(title, tmp_path):
    (article, row) = ({**without(entry, "title"), **title} for entry in (ARTICLES[0], ROWS[0]))
    assert [example["title"] for example in load(tmp_path, {"data": [article]})] == ["", ""]
    assert load(tmp_path, [row]) == [question(title="")]


def test_title_that_is_white_space_stays(tmp_path):
    assert load(tmp_path, [question(title=" ")]) == [question(title=" ")]


# Answers


@pytest.mark.parametrize(
    "answers",
    [
        COLUMNS_OF_WARSAW,
        [WARSAW],
        WARSAW,
        {**COLUMNS_OF_WARSAW, "label": None},
        {**COLUMNS_OF_WARSAW, "source": "x"},
        [{**WARSAW, "label": None}],
        {"text": ["Warsaw"], "answer_start": [18.0]},
        {"text": "Warsaw", "answer_start": "18"},
        {"text": "Warsaw", "answer_start": " 18.0 "},
        [{"text": "", "answer_start": -1}, WARSAW],  # one of two annotators found no answer
    ],
)
def test_one_answer_in_every_form(answers, tmp_path):
    assert load(tmp_path, [question(answers=answers, is_impossible=False)]) == [question()]


def test_number_that_is_an_answer_becomes_its_text(tmp_path):
    given = question(context="Founded in 1742.", answers=[{"text": 1742, "answer_start": 11}])
    assert load(tmp_path, [given]) == [given | {"answers": {"text": ["1742"], "answer_start": [11]}}]


def test_answer_without_a_class_beside_one_with_a_class_is_refused(tmp_path):
    answers = [{**WARSAW, "label": "CITY"}, {**VISTULA, "label": None}]
    with pytest.raises(ValueError, match=r"expected the name of a span class in 'answers.label'; found NoneType None"):
        load(tmp_path, [question(answers=answers)])


@pytest.mark.parametrize(
    "given",
    [
        {"answers": []},
        {"answers": {}},
        {"answers": None},
        {"answers": float("nan")},
        {"answers": NO_ANSWER},
        {"answers": {"text": [], "answer_start": None}},
        {"answers": {"text": None, "answer_start": None}},
        {"answers": {"text": [""], "answer_start": [-1]}},
        {"answers": {"text": [None], "answer_start": [None]}},
        {"answers": {"text": "", "answer_start": -1}},
        {"answers": [{"text": "", "answer_start": -1}]},
        {"answers": [{"text": " ", "answer_start": "-1"}, {"text": float("nan")}]},
        {"answers": [{"text": "", "answer_start": 0}], "is_impossible": True},
        {"is_impossible": True},
        {"is_impossible": True, "plausible_answers": [WARSAW], "answer_type": "none"},
        {},
        {"plausible_answers": [WARSAW]},
    ],
)
def test_no_answer_in_every_form(given, tmp_path):
    document = [question(), {**without(question(id="b"), "answers"), **given}]
    assert load(tmp_path, document) == [question(), question(id="b", answers=NO_ANSWER)]


@pytest.mark.parametrize("answers", [[{"text": "", "answer_start": 0}], [{"text": " ", "answer_start": 4}]])
def test_empty_text_at_an_offset_is_no_certain_answer(answers, tmp_path):
    with pytest.raises(ValueError, match="expected an answer text that is not empty"):
        load(tmp_path, [question(answers=answers)])


# Tables


def test_parquet_without_ids_and_titles_and_with_what_tables_make_of_numbers(tmp_path):
    table = pa.table(
        {
            "id": pa.array([1.0, None, float("nan")]),  # pandas makes integers with gaps floats
            "context": [CONTEXT, CONTEXT, OTHER],
            "question": [asked["question"] for asked in (EAST, RIVER, FJORD)],
            "answers": pa.array(
                [{"text": ["Warsaw"], "answer_start": [18]}, None, {"text": ["Oslo"], "answer_start": [0]}],
                pa.struct({"text": pa.list_(pa.large_string()), "answer_start": pa.list_(pa.int32())}),
            ),
            "is_impossible": [0.0, 1.0, float("nan")],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "data.parquet")
    loaded = load_squad(tmp_path / "data.parquet").to_list()
    ids = ["1", "1-", "2"]
    assert loaded == [
        {**example, "id": example_id, "title": "", **({"answers": NO_ANSWER} if index == 1 else {})}
        for index, (example, example_id) in enumerate(zip(EXAMPLES, ids, strict=True))
    ]


@pytest.mark.parametrize("answers", [[[WARSAW], [VISTULA], [OSLO]], [WARSAW, VISTULA, OSLO]])
def test_folder_with_answers_as_structures(answers, tmp_path):
    rows = [
        {**row, "id": index, "answers": given} for index, (row, given) in enumerate(zip(ROWS, answers, strict=True))
    ]
    Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    expected = [{**example, "id": str(index)} for index, example in enumerate(EXAMPLES)]
    assert load_squad(tmp_path / "saved").to_list() == expected
    assert load_squad(tmp_path / "saved", 2).to_list() == expected[:2]


def test_folder_is_read_as_it_is_stored_whatever_format_it_was_saved_with(tmp_path):
    saved = Dataset.from_list(EXAMPLES)
    saved.set_format("numpy", columns=["id", "answers"])
    saved.save_to_disk(str(tmp_path / "saved"))
    assert load_squad(tmp_path / "saved").to_list() == EXAMPLES


# Names on the Hub


class Hub:
    """Data sets by repository, configuration and split; the configuration None is loaded without a name."""

    def __init__(self, configurations: dict[str, list[str]], default: str | None = None):
        self.configurations, self.default = configurations, default
        self.loaded: list[tuple] = []

    def load_dataset(self, repository, name=None, *, split, revision):
        name = name or self.default
        if name not in self.configurations:
            raise ValueError(f"BuilderConfig {name!r} not found.")
        if split.partition("[")[0] not in self.configurations[name]:
            raise ValueError(f"Unknown split {split!r}.")
        self.loaded.append((repository, name, split, revision))
        return Dataset.from_list(EXAMPLES)

    def get_dataset_config_names(self, repository, *, revision):
        return list(self.configurations)

    def get_dataset_split_names(self, repository, name, *, revision):
        return self.configurations[name]


def hub(monkeypatch, configurations: dict[str, list[str]], default: str | None = None) -> Hub:
    made = Hub(configurations, default)
    for name in ("load_dataset", "get_dataset_config_names", "get_dataset_split_names"):
        monkeypatch.setattr(datasets, name, getattr(made, name))
    return made


XQUAD = {"xquad.ar": ["validation"], "xquad.el": ["validation"]}
PARTS = {"default": ["train", "dev"], "plain": ["train", "test"]}


@pytest.mark.parametrize(
    ("source", "configurations", "default", "expected"),
    [
        ("google/xquad:xquad.ar:validation", XQUAD, None, ("google/xquad", "xquad.ar", "validation")),
        ("google/xquad:xquad.ar:validation[:10]", XQUAD, None, ("google/xquad", "xquad.ar", "validation[:10]")),
        ("google/xquad:xquad.el", XQUAD, None, ("google/xquad", "xquad.el", "validation")),  # its only split
        ("a/b:plain", PARTS, "default", ("a/b", "plain", "train")),
        ("a/b:dev", PARTS, "default", ("a/b", "default", "dev")),
        ("a/b", PARTS, "default", ("a/b", "default", "train")),
        ("a/b:plain", {"plain": ["train"], "default": ["plain"]}, "default", ("a/b", "default", "plain")),
        ("a/b", {"one": ["test"]}, "one", ("a/b", "one", "test")),
    ],
)
def test_name_on_the_hub_has_a_configuration_and_a_split(source, configurations, default, expected, monkeypatch):
    made = hub(monkeypatch, configurations, default)
    assert load_squad(source, 2, revision="v1").to_list() == EXAMPLES[:2]
    assert made.loaded == [(*expected, "v1")]


@pytest.mark.parametrize(
    ("source", "configurations", "default", "said"),
    [
        ("a/b:xquad.xx:validation", XQUAD, None, "the configurations are xquad.ar, xquad.el: name one as a/b:CONFIG"),
        ("a/b:validation", XQUAD, None, "the configurations are xquad.ar, xquad.el: name one as a/b:CONFIGURATION:SPL"),
        ("a/b", XQUAD, None, "the configurations are xquad.ar, xquad.el"),
        ("a/b:xquad.ar:train", XQUAD, None, "the splits of a/b:xquad.ar are validation; found 'train'"),
        ("a/b:plain:dev[:9]", PARTS, "default", "the splits of a/b:plain are train, test; found 'dev[:9]'"),
        ("a/b", {"one": ["test", "dev"]}, "one", "the splits of a/b:one are test, dev; found 'train'"),
        ("a/b:c:d:e", XQUAD, None, "expected NAME:CONFIGURATION:SPLIT, found 4 parts"),
    ],
)
def test_message_lists_the_configurations_or_splits_that_there_are(source, configurations, default, said, monkeypatch):
    hub(monkeypatch, configurations, default)
    with pytest.raises(ConnectionError) as caught:
        load_squad(source)
    assert said in str(caught.value)


def test_hub_that_cannot_be_reached_is_not_asked_what_else_was_meant(monkeypatch):
    asked = []

    def ask(name: str):
        def refuse(*_, **__):
            asked.append(name)
            raise ConnectionError("Couldn't reach 'a/b' on the Hub")

        return refuse

    for name in ("load_dataset", "get_dataset_config_names", "get_dataset_split_names"):
        monkeypatch.setattr(datasets, name, ask(name))
    with pytest.raises(ConnectionError, match=r"a/b:plain: .*Couldn't reach"):
        load_squad("a/b:plain")
    assert asked == ["load_dataset"]
