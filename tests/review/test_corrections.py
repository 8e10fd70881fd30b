"""Decisions put into data sets, and everything else left as it was."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_example, squad_document
from datasets import Dataset, load_from_disk
from review_frames import make_frames

from span_label_errors.data import sources, write
from span_label_errors.data.sources import DEMO_PATH
from span_label_errors.data.squad import load_squad
from span_label_errors.review.corrections import apply_decisions
from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.marks import RefusedDecisionsError
from span_label_errors.review.spreadsheet import write_issues_csv

CONTEXT = "He wrote Ulysses in 1922. It came out in 1922."


def decision(example_id: str, given: Answer | tuple | None, *correct: Answer | str) -> Decision:
    """Make a decision about one given answer, or none."""
    given = (Answer(*given),) if given else ()
    return Decision(example_id, given, tuple(Answer(c) if isinstance(c, str) else c for c in correct))


def write_jsonl(path: Path, *examples: dict) -> Path:
    path.write_text("".join(json.dumps(example) + "\n" for example in examples), encoding="utf-8")
    return path


@pytest.fixture
def paths(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "corrected.json", tmp_path / "changes.json"


def answers_by_id(path: Path) -> dict[str, list[tuple]]:
    return {row["id"]: list(zip(*row["answers"].values(), strict=True)) for row in load_squad(path)}


def correct_one(tmp_path, paths, answers: list[tuple], *decisions: Decision, context: str = CONTEXT) -> list[tuple]:
    """Apply decisions to one example `a` with answers (text, start[, label]) and return its answers."""
    columns = dict(zip(("text", "answer_start", "label"), map(list, zip(*answers, strict=True)), strict=False))
    example = make_example("a", context, "When?")
    if answers:
        example["answers"] = columns
    apply_decisions(write_jsonl(tmp_path / "s.jsonl", example), list(decisions), *paths)
    return answers_by_id(paths[0])["a"]


# One example


@pytest.mark.parametrize(
    ("answers", "decisions", "corrected"),
    [
        ([("He", 0)], [decision("a", ("He", 0), "Ulysses")], [("Ulysses", 9)]),
        ([("He", 0)], [decision("a", ("He", 0), Answer("1922", 41))], [("1922", 41)]),
        # Several places, one of which overlaps the given answer.
        ([("in 1922", 38)], [decision("a", ("in 1922", 38), "1922")], [("1922", 41)]),
        ([("He", 0)], [decision("a", ("He", 0))], []),
        ([], [decision("a", None, "Ulysses")], [("Ulysses", 9)]),
        # Only the answer that it is about.
        ([("He", 0), ("1922", 20)], [decision("a", ("1922", 20), "Ulysses")], [("He", 0), ("Ulysses", 9)]),
        # What replaces it stands there already, of another annotator.
        ([("He", 0), ("It", 26)], [decision("a", ("He", 0), "It")], [("It", 26), ("It", 26)]),
        # Another annotator's equal answer is the same answer.
        ([("He", 0), ("He", 0), ("1922", 20)], [decision("a", ("He", 0), "Ulysses")], [("Ulysses", 9), ("1922", 20)]),
        ([("He", 0), ("He", 0)], [decision("a", ("He", 0), "He")], [("He", 0), ("He", 0)]),
        # All marked spans.
        (
            [("He", 0), ("1922", 20), ("It", 26)],
            [Decision("a", (Answer("He", 0), Answer("1922", 20)), (Answer("wrote", 3), Answer("1922", 20)))],
            [("wrote", 3), ("1922", 20), ("It", 26)],
        ),
        # Two decisions that go together, and two that are one.
        (
            [("He", 0), ("It", 26)],
            [decision("a", ("He", 0), "wrote"), decision("a", ("It", 26), "came")],
            [("wrote", 3), ("came", 29)],
        ),
        (
            [("He", 0)],
            [decision("a", ("He", 0), "wrote"), decision("a", ("He", 0, "ANS"), Answer("wrote", 3, "ANS"))],
            [("wrote", 3)],
        ),
    ],
)  # fmt: skip
def test_decisions_replace_the_answers_they_are_about(tmp_path, paths, answers, decisions, corrected):
    assert correct_one(tmp_path, paths, answers, *decisions) == corrected


# Several annotators


TOWN = "Sorn is a town on the river Sorn. It has glass works by the river."
VARIANTS = [("Sorn", 28), ("Sorn", 28), ("river Sorn", 22)]


@pytest.mark.parametrize(
    ("answers", "decisions", "corrected"),
    [
        # Another form of what was wrong, longer or shorter, goes with it.
        (VARIANTS, [decision("a", ("Sorn", 28), "glass works")], [("glass works", 41)]),
        (VARIANTS[::-1], [decision("a", ("river Sorn", 22), "glass works")], [("glass works", 41)]),
        # So does another form of what is right, and what says the same stays.
        (VARIANTS, [decision("a", ("Sorn", 28), "river Sorn")], [("river Sorn", 22), ("river Sorn", 22)]),
        (
            [("town", 10), ("glass", 41), ("glass works", 41)],
            [decision("a", ("town", 10), "glass works")],
            [("glass works", 41), ("glass works", 41)],
        ),
        # The words that were wrong are wrong elsewhere, too; another answer elsewhere may be right.
        (
            [("Sorn", 28), ("Sorn", 0), ("town", 10)],
            [decision("a", ("Sorn", 28), "works")],
            [("works", 47), ("town", 10)],
        ),
        (VARIANTS, [decision("a", ("Sorn", 28), Answer("Sorn", 28))], VARIANTS),
        (VARIANTS, [decision("a", ("Sorn", 28))], []),
        # Two rows about two forms of one answer that say the same.
        (
            VARIANTS,
            [decision("a", ("Sorn", 28), "works"), decision("a", ("river Sorn", 22), "works")],
            [("works", 47)],
        ),
        # A second answer beside one that is right is added once.
        (
            [("Sorn", 28)],
            [decision("a", ("Sorn", 28), Answer("Sorn", 28), Answer("Sorn", 0))],
            [("Sorn", 28), ("Sorn", 0)],
        ),
    ],
)  # fmt: skip
def test_correction_leaves_no_annotators_answer_that_contradicts_it(tmp_path, paths, answers, decisions, corrected):
    assert correct_one(tmp_path, paths, answers, *decisions, context=TOWN) == corrected
    # Once more, on the corrected data.
    assert correct_one(tmp_path, paths, corrected, *decisions, context=TOWN) == corrected


def test_decisions_about_two_forms_of_one_answer_must_agree(tmp_path, paths):
    decisions = [decision("a", ("Sorn", 28), Answer("Sorn", 28)), decision("a", ("river Sorn", 22), "works")]
    with pytest.raises(RefusedDecisionsError, match="go together, found 'Sorn' at 28 and 'works'; keep one of them"):
        correct_one(tmp_path, paths, VARIANTS, *decisions, context=TOWN)
    decisions = [decision("a", ("Sorn", 28), Answer("Sorn", 28), other) for other in ("works", "town")]
    with pytest.raises(RefusedDecisionsError, match="found 'Sorn' at 28, 'works' and 'Sorn' at 28, 'town'; keep one"):
        correct_one(tmp_path, paths, VARIANTS, *decisions, context=TOWN)


def test_spans_of_their_own_stay(tmp_path, paths):
    """Where all answers label tokens, one inside or beside another is none of its forms."""
    example = make_example("a", TOWN, "Who?")
    example["answers"] = {"text": ["Sorn", "river Sorn", "Sorn"], "answer_start": [28, 22, 0]}
    source = write_jsonl(tmp_path / "s.jsonl", example)
    apply_decisions(source, [decision("a", ("Sorn", 28), "works")], *paths, answers="all")
    assert answers_by_id(paths[0])["a"] == [("works", 47), ("river Sorn", 22), ("Sorn", 0)]
    with pytest.raises(ValueError, match='answers: expected "first" or "all"'):
        apply_decisions(source, [], *paths, answers="both")


def test_answers_of_another_class_stay(tmp_path, paths):
    answers = [("Sorn", 28, "NAME"), ("river Sorn", 22, "PLACE"), ("river Sorn", 22, "NAME")]
    of_name = decision("a", ("Sorn", 28, "NAME"), Answer("works", 47, "NAME"))
    # With classes, answers are spans of their own unless the run says otherwise.
    assert correct_one(tmp_path, paths, answers, of_name, context=TOWN) == [("works", 47, "NAME"), *answers[1:]]
    apply_decisions(tmp_path / "s.jsonl", [of_name], *paths, answers="first")
    assert answers_by_id(paths[0])["a"] == [("works", 47, "NAME"), ("river Sorn", 22, "PLACE")]


# Classes


def test_first_answer_of_an_example_has_the_only_class(tmp_path, paths):
    examples = [make_example("a", CONTEXT, "Who?", "He"), make_example("b", CONTEXT, "Who?")]
    examples[0]["answers"]["label"], examples[1]["answers"]["label"] = ["PER"], []
    apply_decisions(write_jsonl(tmp_path / "s.jsonl", *examples), [decision("b", None, "It")], *paths)
    assert answers_by_id(paths[0])["b"] == [("It", 26, "PER")]


def test_last_answer_with_a_class_can_be_removed(tmp_path, paths):
    document = squad_document([make_example(name, CONTEXT, "Who?", "He") for name in "ab"])
    document["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["label"] = "PER"
    (tmp_path / "s.json").write_text(json.dumps(document), encoding="utf-8")
    apply_decisions(tmp_path / "s.json", [decision("a", ("He", 0))], *paths)
    assert answers_by_id(paths[0]) == {"a": [], "b": [("He", 0)]}


def test_classes_are_inherited_matched_and_changed(tmp_path, paths):
    answers = [("He", 0, "PER"), ("He", 0, "WORD")]
    of_class = decision("a", ("He", 0, "WORD"), Answer("wrote", 3, "WORD"))
    assert correct_one(tmp_path, paths, answers, of_class) == [("He", 0, "PER"), ("wrote", 3, "WORD")]
    assert correct_one(tmp_path, paths, answers[:1], decision("a", ("He", 0), "It")) == [("It", 26, "PER")]
    other_class = decision("a", ("He", 0, "PER"), Answer("He", 0, "WORD"))
    assert correct_one(tmp_path, paths, answers[:1], other_class) == [("He", 0, "WORD")]
    with pytest.raises(RefusedDecisionsError, match=r"the class of .*'It', found \['PER', 'WORD'\] to replace"):
        correct_one(tmp_path, paths, answers, decision("a", ("He", 0), "It"))


@pytest.mark.parametrize(
    ("answers", "fulfilled"),
    [
        ([("Ulysses", 9)], decision("a", ("He", 0), "Ulysses")),
        ([("1922", 41)], decision("a", ("1922", 20), Answer("1922", 41))),
        ([("It", 26), ("Ulysses", 9)], decision("a", ("He", 0), "Ulysses")),
        ([], decision("a", ("He", 0))),
        ([("Ulysses", 9)], decision("a", None, "Ulysses")),
        ([("He", 0, "WORD")], decision("a", ("He", 0, "PER"), Answer("He", 0, "WORD"))),
    ],
)
def test_decisions_that_the_data_already_follow_change_nothing(tmp_path, paths, answers, fulfilled):
    assert correct_one(tmp_path, paths, answers, fulfilled) == answers
    assert json.loads(paths[1].read_text(encoding="utf-8")) == []


def test_fulfilled_decision_gives_way_to_a_new_one(tmp_path, paths):
    decisions = [decision("a", ("He", 0), "Ulysses"), decision("a", ("Ulysses", 9))]
    assert correct_one(tmp_path, paths, [("Ulysses", 9)], *decisions) == []


# What is refused


def test_all_refused_decisions_are_named_and_nothing_is_written(tmp_path, paths):
    names = ("a", "b", "c", "d", "e", "f<&\n", "g")
    examples = [*(make_example(name, CONTEXT, "When?", "He") for name in names), make_example("h", CONTEXT, "When?")]
    source = write_jsonl(tmp_path / "s.jsonl", *examples)
    refused = [
        decision("unknown", ("He", 0), "It"),
        decision("a", ("It", 26), "wrote"),
        decision("b", ("He", 0), "Homer"),
        decision("c", ("He", 0), Answer("It", 25)),
        decision("g", ("He", 0), Answer("1922.", -5)),
        decision("d", ("He", 0), "1922"),
        decision("e", ("He", 0), "It"),
        decision("e", ("He", 0), "wrote"),
        decision("f<&\n", None, "It"),
        decision("h", None, "He"),
        decision("h", None, "It"),
    ]
    with pytest.raises(RefusedDecisionsError) as caught:
        apply_decisions(source, [decision("a", ("He", 0), "It"), *refused], *paths)
    assert caught.value.problems == [
        "example 'a': expected 'It' at 26, as it was reviewed, found 'He' at 0; the data has changed "
        "since, review the example again",
        "example 'unknown': expected the id of one of the 8 examples; is it another data set?",
        "example 'b': expected the correct answer 'Homer' in the context, found it nowhere; copy it from the context",
        "example 'c': expected the correct answer 'It' at offset 25, found it at [26]; copy it from the context",
        "example 'g': expected the correct answer '1922.' at offset -5, found it at [20, 41]; copy it from the context",
        "example 'd': expected one place of the correct answer '1922', found it at [20, 41]; fill in correct_start",
        "example 'e': expected decisions that go together, found 'It' and 'wrote'; keep one of them",
        "example 'f<&\\n': expected no answer, as it was reviewed, found 'He' at 0; the data has changed "
        "since, review the example again",
        "example 'h': expected decisions that go together, found 'He' and 'It'; keep one of them",
    ]
    assert list(tmp_path.iterdir()) == [source]


def test_source_is_never_written(tmp_path, squad_file):
    before = squad_file.read_bytes()
    (tmp_path / "link.json").symlink_to(squad_file)
    (tmp_path / "hard.json").hardlink_to(squad_file)
    for name in ("squad.json", "link.json", "hard.json"):
        with pytest.raises(ValueError, match=r"expected another file than the source"):
            apply_decisions(squad_file, [], tmp_path / name, tmp_path / "changes.json")
        with pytest.raises(ValueError, match=r"expected another file than the source"):
            apply_decisions(squad_file, [], tmp_path / "corrected.json", tmp_path / name)
    with pytest.raises(ValueError, match=r"expected two files"):
        apply_decisions(squad_file, [], tmp_path / "x.json", tmp_path / "x.json")
    with pytest.raises(ValueError, match=r"expected a name ending in .json"):
        apply_decisions(squad_file, [], tmp_path / "x.jsonl", tmp_path / "y.json")
    assert squad_file.read_bytes() == before
    with pytest.raises(ValueError, match="expected another file than the source"):
        apply_decisions("demo", [], DEMO_PATH, tmp_path / "changes.json")


def test_file_that_reads_otherwise_gets_no_name(squad_file, paths, monkeypatch):
    monkeypatch.setattr(write, "replace_answers", lambda text, _: text)
    with pytest.raises(RuntimeError, match="reads as other data"):
        apply_decisions(squad_file, [decision("0a", ("Paris", 15), "man")], *paths)
    assert list(squad_file.parent.iterdir()) == [squad_file]


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
    assert (change.kind, change.after) == ("replaced", [{"text": "He", "answer_start": 0, "label": "PER"}])


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
