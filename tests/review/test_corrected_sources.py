"""The corrected data of each kind of source, valid or not, and what stays of it."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_example, squad_document
from datasets import Dataset, load_from_disk
from decisions_by_hand import CONTEXT, answers_by_id, decision, write_jsonl
from review_frames import make_frames

from span_label_errors.data import sources
from span_label_errors.data.sources import DEMO_PATH
from span_label_errors.data.squad import load_squad
from span_label_errors.review.answers import Decision
from span_label_errors.review.corrections import apply_decisions
from span_label_errors.review.decided import Answer
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.spreadsheet import write_issues_csv


@pytest.fixture
def paths(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "corrected.json", tmp_path / "changes.json"


# SQuAD files


def test_demo_changes_in_the_answers_of_the_questions_only(tmp_path, paths):
    errors = json.loads((DEMO_PATH.parent / "demo-v1.1.errors.json").read_text(encoding="utf-8"))
    decisions = [
        decision(error["id"], (error["given_answer"], error["given_start"]),
                 *([Answer(error["right_answer"], error["right_start"])] if error["right_answer"] else []))
        for error in errors
    ]  # fmt: skip
    changes = apply_decisions("demo", decisions, *paths)
    before = DEMO_PATH.read_bytes()
    expected = before.decode()
    for error in errors:
        start = expected.index(f'"id": {json.dumps(error["id"])}')
        end = expected.index("]", start)
        answers = expected[start:end].replace(
            f'"text": {json.dumps(error["given_answer"], ensure_ascii=False)}',
            f'"text": {json.dumps(error["right_answer"], ensure_ascii=False)}',
        ).replace(f'"answer_start": {error["given_start"]}', f'"answer_start": {error["right_start"]}')  # fmt: skip
        expected = expected[:start] + answers + expected[end:]
    assert len(changes) == len(errors) == 26
    assert paths[0].read_bytes() == expected.encode()
    assert apply_decisions("demo", [], tmp_path / "same.json", paths[1]) == []
    assert (tmp_path / "same.json").read_bytes() == before


def test_of_entities_only_the_corrected_spans_differ(tmp_path):
    source = DEMO_PATH.parent / "demo-entities.jsonl"
    given = [("Halden Shipping", 18, "ORGANISATION")], [("Ingrid Halden", 14, "PERSON")]
    correct = [("Halden", 18, "PERSON"), ("May", 84, "DATE")], []
    decisions = [
        Decision(f"entities-01-{number}", *(tuple(Answer(*answer) for answer in side[number - 1]) for side in sides))
        for number, sides in [(1, (given, correct)), (2, (given, correct))]
    ]
    changes = apply_decisions("demo-entities", decisions, tmp_path / "c.jsonl", tmp_path / "changes.json")
    assert [(change.id, change.kind) for change in changes] == [
        ("entities-01-1", "answers changed"),
        ("entities-01-2", "removed"),
    ]
    expected = source.read_text(encoding="utf-8")
    for before, after in [
        ('"end": 33, "label": "ORGANISATION"', '"end": 24, "label": "PERSON"'),
        ('"start": 72, "end": 80, "label": "PLACE"}',
         '"start": 72, "end": 80, "label": "PLACE"}, {"start": 84, "end": 87, "label": "DATE"}'),
        ('[{"start": 14, "end": 27, "label": "PERSON"}]', "[]"),
    ]:  # fmt: skip
        expected = expected.replace(before, after, 1)
    assert (tmp_path / "c.jsonl").read_text(encoding="utf-8") == expected


def test_kept_answers_keep_their_further_fields(tmp_path, paths):
    document = squad_document([make_example("a", CONTEXT, "Who?", "He", "He", "It")])
    answers = document["data"][0]["paragraphs"][0]["qas"][0]["answers"]
    for annotator, answer in enumerate(answers):
        answer["annotator"] = annotator
    (tmp_path / "s.json").write_text(json.dumps(document), encoding="utf-8")
    apply_decisions(tmp_path / "s.json", [decision("a", ("It", 26), "came")], *paths)
    answers[2] = {"text": "came", "answer_start": 29}
    assert json.loads(paths[0].read_text(encoding="utf-8")) == document


def test_changes_are_listed_with_their_kind(tmp_path, paths):
    source = write_jsonl(
        tmp_path / "s.jsonl",
        *(make_example(name, CONTEXT, "When?", *answers) for name, *answers in (
            ("a", "He"), ("b", "1922"), ("c", "He"), ("d",), ("e", "He", "It"), ("f", "He"),
        )),
    )  # fmt: skip
    decisions = [
        decision("f", ("He", 0), Answer("He", 0)), decision("e", ("He", 0), "wrote", "came"), decision("d", None, "It"),
        decision("c", ("He", 0)), decision("b", ("1922", 20), Answer("1922", 41)), decision("a", ("He", 0), "It"),
    ]  # fmt: skip
    changes = apply_decisions(source, decisions, *paths)
    kinds = ["replaced", "moved", "no answer", "answer added", "answers changed"]
    assert [(change.id, change.kind) for change in changes] == list(zip("abcde", kinds, strict=True))
    assert json.loads(paths[1].read_text(encoding="utf-8"))[0] == {
        "id": "a", "question": "When?", "kind": "replaced",
        "before": [{"text": "He", "answer_start": 0}], "after": [{"text": "It", "answer_start": 26}],
    }  # fmt: skip


def test_another_class_in_the_same_place_is_no_move(tmp_path, paths):
    example = make_example("a", CONTEXT, "Who?", "He")
    example["answers"]["label"] = ["ORG"]
    source = write_jsonl(tmp_path / "s.jsonl", example)
    (change,) = apply_decisions(source, [decision("a", ("He", 0, "ORG"), Answer("He", 0, "PER"))], *paths)
    assert (change.kind, change.after) == ("class changed", [{"text": "He", "answer_start": 0, "label": "PER"}])


# Invalid examples


def with_invalid_examples() -> list[dict]:
    """Three valid examples between four that are not: two offsets, an id that came before, an empty question."""
    examples = [make_example(name, CONTEXT, "When?", "He") for name in ("bad", "a", "b", "b", "bad too", "c", "empty")]
    for example_index in (0, 4):
        examples[example_index]["answers"]["answer_start"] = [1]
    examples[6]["question"] = " "
    return examples


DECIDED = [decision("a", ("He", 0), "wrote"), decision("b", ("He", 0)), decision("c", ("He", 0), "It")]


def test_invalid_examples_of_a_squad_file_keep_their_bytes(tmp_path, paths):
    examples = with_invalid_examples()
    before = json.dumps(squad_document(examples), indent=2)
    (tmp_path / "s.json").write_text(before, encoding="utf-8")
    with pytest.warns(UserWarning, match=r"4 invalid examples are left as they are, first: example 0 \(id 'bad'\)"):
        changes = apply_decisions(tmp_path / "s.json", DECIDED, *paths)
    assert [change.id for change in changes] == ["a", "b", "c"]
    examples[1]["answers"] = {"text": ["wrote"], "answer_start": [3]}
    examples[2]["answers"] = {"text": [], "answer_start": []}
    examples[5]["answers"] = {"text": ["It"], "answer_start": [26]}
    assert paths[0].read_bytes() == json.dumps(squad_document(examples), indent=2).encode()


def test_invalid_examples_of_other_forms_stay_as_they_are(tmp_path):
    examples = with_invalid_examples()
    lines = write_jsonl(tmp_path / "s.jsonl", *examples)
    Dataset.from_list(examples).to_parquet(tmp_path / "s.parquet")
    examples[1]["answers"] = {"text": ["wrote"], "answer_start": [3]}
    examples[2]["answers"] = {"text": [], "answer_start": []}
    examples[5]["answers"] = {"text": ["It"], "answer_start": [26]}
    for source in (lines, tmp_path / "s.parquet"):
        corrected = tmp_path / f"corrected{source.suffix}"
        with pytest.warns(UserWarning, match=r"4 invalid examples are left as they are, first: example 0 \(id 'bad'\)"):
            apply_decisions(source, DECIDED, corrected, tmp_path / "changes.json")
    assert (tmp_path / "corrected.jsonl").read_bytes() == write_jsonl(tmp_path / "x", *examples).read_bytes()
    assert Dataset.from_parquet(str(tmp_path / "corrected.parquet")).to_list() == examples


def test_invalid_examples_of_a_table_are_left_out_of_a_squad_file(tmp_path, paths):
    source = tmp_path / "s.parquet"
    Dataset.from_list(with_invalid_examples()).to_parquet(source)
    with pytest.warns(UserWarning, match=r"4 invalid examples are left out of corrected\.json"):
        apply_decisions(source, DECIDED, *paths)
    assert answers_by_id(paths[0]) == {"a": [("wrote", 3)], "b": [], "c": [("It", 26)]}


def test_decisions_about_repaired_examples_apply_to_what_was_read(tmp_path, paths):
    """Undecided ones, and those that are confirmed, stay as they are."""
    examples = with_invalid_examples()[:6]
    for example_index in (0, 4):
        examples[example_index]["answers"] = {
            "text": ["Homer", "It", "He"], "answer_start": [0, 900, 1], "by": ["x", "y", "z"],
        }  # fmt: skip
    document = squad_document(examples)
    (tmp_path / "s.json").write_text(json.dumps(document), encoding="utf-8")
    decisions = [*DECIDED, decision("bad", ("He", 0)), decision("bad too", ("It", 26), "came")]
    with pytest.warns(UserWarning, match="1 invalid examples are left as they are, first: example 3"):
        changes = apply_decisions(tmp_path / "s.json", decisions[:3], *paths, on_invalid="repair")
    assert [change.id for change in changes] == ["a", "b", "c"]
    (questions,) = (p["qas"] for article in document["data"] for p in article["paragraphs"])
    questions[1]["answers"] = [{"text": "wrote", "answer_start": 3}]
    questions[2]["answers"] = []
    questions[5]["answers"] = [{"text": "It", "answer_start": 26}]
    assert json.loads(paths[0].read_text(encoding="utf-8")) == document
    with pytest.warns(UserWarning):
        changes = apply_decisions(tmp_path / "s.json", decisions, *paths, on_invalid="repair")
    assert [change.id for change in changes] == ["bad", "a", "b", "bad too", "c"]
    questions[0]["answers"] = []
    questions[4]["answers"] = [
        {"text": "came", "answer_start": 29}, {"text": "He", "answer_start": 0, "by": "z"},
    ]  # fmt: skip
    assert json.loads(paths[0].read_text(encoding="utf-8")) == document
    with pytest.raises(RefusedDecisionsError, match='on_invalid="repair" mends this'):
        apply_decisions(tmp_path / "s.json", decisions, *paths)
    with pytest.raises(ValueError, match="on_invalid: expected one of"):
        apply_decisions(tmp_path / "s.json", [], *paths, on_invalid="mend")


def test_decision_about_an_invalid_example_is_refused_with_its_reason(tmp_path, paths):
    source = write_jsonl(tmp_path / "s.jsonl", *with_invalid_examples())
    reason = r"'bad too': the example is invalid in the data; correct it there: .* expected the answer 'He' at offset 1"
    with pytest.raises(RefusedDecisionsError, match=reason) as caught:
        apply_decisions(source, [*DECIDED, decision("bad too", ("He", 1), "It")], *paths)
    assert len(caught.value.problems) == 1


# Other sources


def test_data_set_of_the_hub_is_loaded_as_it_was_and_becomes_parquet(tmp_path, monkeypatch):
    """A folder takes the place of the Hub."""
    example = {**make_example("a", CONTEXT, "When?", "He"), "year": 1922}
    loaded = []

    def load(name: str, revision: str | None, instead: str) -> Dataset:
        loaded.append((name, revision))
        return Dataset.from_list([example])

    monkeypatch.setattr(sources, "load_from_hub", load)
    corrected, changes = tmp_path / "corrected.parquet", tmp_path / "changes.json"
    apply_decisions("someone/set", [decision("a", ("He", 0), "It")], corrected, changes, revision="v2")
    assert set(loaded) == {("someone/set", "v2")}
    example["answers"] = {"text": ["It"], "answer_start": [26]}
    assert Dataset.from_parquet(str(corrected)).to_list() == [example]
    with pytest.raises(ValueError, match=r"expected a name ending in \.parquet or \.json; choose another"):
        apply_decisions("someone/set", [], tmp_path / "corrected.jsonl", changes)


def test_folder_becomes_a_folder_that_is_replaced_and_never_the_source(tmp_path):
    source, corrected, changes = tmp_path / "data" / "set", tmp_path / "corrected", tmp_path / "changes.json"
    examples = [make_example(name, CONTEXT, "When?", "He") for name in "ab"]
    Dataset.from_list(examples).save_to_disk(source)
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    for text, start in (("It", 26), ("came", 29)):
        apply_decisions(source, [decision("b", ("He", 0), text)], corrected, changes)
        examples[1]["answers"] = {"text": [text], "answer_start": [start]}
        assert load_from_disk(str(corrected)).to_list() == examples
    assert apply_decisions(corrected, [decision("b", ("came", 29))], tmp_path / "corrected-2", changes)[0].id == "b"
    for path in (source, source / "inside", tmp_path / "data"):
        with pytest.raises(ValueError, match="expected another file than the source"):
            apply_decisions(source, [], path, changes)
    (tmp_path / "work").mkdir()
    with pytest.raises(ValueError, match="expected a new folder, or an earlier data set, found another"):
        apply_decisions(source, [], tmp_path / "work", changes)
    with pytest.raises(ValueError, match="expected two files for the data and the changes"):
        apply_decisions(source, [], corrected, corrected / "changes.json")
    with pytest.raises(ValueError, match=r"ending in nothing, as that of a folder or \.json"):
        apply_decisions(source, [], tmp_path / "corrected.parquet", changes)
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "changes.json", "corrected", "corrected-2", "data", "work",
    ]  # fmt: skip


@pytest.mark.parametrize("ids", [[7, 8], [None, None], [7.0, None]])
def test_ids_that_are_numbers_or_missing_find_their_question(tmp_path, paths, ids):
    examples = [{**make_example("", CONTEXT, "When?", "He"), "id": example_id} for example_id in ids]
    source = write_jsonl(tmp_path / "s.jsonl", *examples)
    read = [row["id"] for row in load_squad(source)]
    apply_decisions(source, [decision(read[1], ("He", 0), "It")], *paths)
    examples[1]["answers"] = {"text": ["It"], "answer_start": [26]}
    assert paths[0].read_bytes() == write_jsonl(tmp_path / "x", *examples).read_bytes()
    assert [row["id"] for row in load_squad(paths[0])] == read


def test_other_sources_become_squad_files_in_order(tmp_path, paths):
    examples = [
        make_example("a", "He wrote.", "Who?", "He"), make_example("b", "It is.", "What?", "It"),
        make_example("c", "He wrote.", "Who 2?", "He"), make_example("d", "He wrote.", "Who 3?", "He", title="Other"),
        make_example("e", "He wrote.", "Who 4?", "He", title="Other"),
    ]  # fmt: skip
    source = tmp_path / "s.parquet"
    pd.DataFrame(examples).to_parquet(source)
    apply_decisions(source, [decision("e", ("He", 0))], *paths)
    document = json.loads(paths[0].read_text(encoding="utf-8"))
    assert document["version"] == "v2.0"
    shape = [[[q["id"] for q in p["qas"]] for p in a["paragraphs"]] for a in document["data"]]
    assert shape == [[["a"], ["b"], ["c"]], [["d", "e"]]]
    assert document["data"][1]["paragraphs"][0]["qas"][1] == {
        "id": "e", "question": "Who 4?", "answers": [], "is_impossible": True,
    }  # fmt: skip
    assert load_squad(paths[0]).to_list() == [
        *examples[:4],
        {**examples[4], "answers": {"text": [], "answer_start": []}},
    ]


# From the reviewer's file to the data


PARTY = "The 😀🎉 party\r\nwas in  Zürich, e\u0301t not in Oslo. =1+1"
HOSTILE_ID = "=x\"<&>'\n"
REVIEWED = [
    make_example(HOSTILE_ID, PARTY, "Where?", "Oslo"),
    make_example("-sum", PARTY, "How many?", "party"),
    make_example("none", PARTY, "Who?", "Oslo"),
    make_example("confirmed", PARTY, "What?", "party"),
    make_example("found", PARTY, "Which?"),
    make_example("rtl", "ולד בירושלים בשנת 1922", "מתי?", "בירושלים"),
]
RIGHT = ["Zürich", "=1+1", "[no answer]", "party", "e\u0301t", "1922"]


def test_what_reviewers_fill_in_gets_into_the_data(tmp_path, paths):
    """The table of issues, saved where cells are separated by semicolons."""
    source = tmp_path / "source.json"
    source.write_text(json.dumps(squad_document(REVIEWED), ensure_ascii=False, indent=2), encoding="utf-8")
    spans = [
        [(start, start + len(text)) for text, start in zip(*example["answers"].values(), strict=True)]
        for example in REVIEWED
    ]
    issues, _ = make_frames(*({**example, "given": given} for example, given in zip(REVIEWED, spans, strict=True)))
    written = write_issues_csv(tmp_path / "issues.csv", issues).read_bytes().decode("utf-8-sig")
    rows, out = list(csv.reader(io.StringIO(written, newline=""))), io.StringIO(newline="")
    # What is typed as a text, '=1+1, is saved without the apostrophe; what was opened with one keeps it.
    csv.writer(out, delimiter=";", lineterminator="\r\n").writerows(
        [*row, cell] for row, cell in zip(rows, ["correct_answer", *RIGHT], strict=True)
    )
    (tmp_path / "issues.csv").write_bytes(out.getvalue().encode("utf-8-sig"))
    changes = apply_decisions(source, read_decisions(tmp_path / "issues.csv"), *paths)
    assert [change.id for change in changes] == [example["id"] for example in REVIEWED if example["id"] != "confirmed"]
    assert answers_by_id(paths[0]) == {
        HOSTILE_ID: [("Zürich", 22)], "-sum": [("=1+1", 47)], "rtl": [("1922", 18)], "none": [],
        "confirmed": [("party", 7)], "found": [("e\u0301t", 30)],
    }  # fmt: skip
    assert [row["question"] for row in load_squad(paths[0])] == [example["question"] for example in REVIEWED]
