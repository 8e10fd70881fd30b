"""Decisions put into data sets, and everything else left as it was."""

import json
from pathlib import Path

import pytest
from conftest import make_example, squad_document
from decisions_by_hand import CONTEXT, answers_by_id, decision, write_jsonl

from span_label_errors.data import json_files
from span_label_errors.data.sources import DEMO_PATH
from span_label_errors.review.corrections import apply_decisions
from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.marks import RefusedDecisionsError


@pytest.fixture
def paths(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "corrected.json", tmp_path / "changes.json"


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
    with pytest.raises(ValueError, match='answers: expected "first", "all" or "each"'):
        apply_decisions(source, [], *paths, answers="both")


THREE = [("works", 47), ("river Sorn", 22), ("Sorn", 28)]


@pytest.mark.parametrize(
    ("answers", "decisions", "corrected"),
    [
        # Others have given the right answer: nobody gets it in the place of their own.
        ([("works", 47), ("Sorn", 28), ("Sorn", 28)], [decision("a", ("works", 47), "Sorn")], [("Sorn", 28)] * 2),
        # And their forms of it are a matter of taste.
        (THREE, [decision("a", ("works", 47), Answer("Sorn", 28))], [("river Sorn", 22), ("Sorn", 28)]),
        # A correction of a border is none.
        (THREE, [decision("a", ("river Sorn", 22), Answer("Sorn", 28))], [("works", 47), ("Sorn", 28)]),
        # Nobody has given it.
        (THREE, [decision("a", ("Sorn", 28), "town")], [("works", 47), ("town", 10)]),
        # Two rows, about two annotators' answers.
        (THREE, [decision("a", ("Sorn", 28), "town"), decision("a", ("works", 47), "town")], [("town", 10)]),
        (THREE, [decision("a", ("Sorn", 28), Answer("Sorn", 28)), decision("a", ("works", 47), Answer("Sorn", 28))],
         [("river Sorn", 22), ("Sorn", 28)]),
        (THREE, [decision("a", ("works", 47))], []),
    ],
)  # fmt: skip
def test_correction_of_one_of_each_annotators_answers(tmp_path, paths, answers, decisions, corrected):
    for given in (answers, corrected):  # once more, on the corrected data
        columns = dict(zip(("text", "answer_start"), map(list, zip(*given, strict=True)), strict=False))
        example = make_example("a", TOWN, "When?") | ({"answers": columns} if given else {})
        apply_decisions(write_jsonl(tmp_path / "s.jsonl", example), decisions, *paths, answers="each")
        assert answers_by_id(paths[0])["a"] == corrected


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


def test_correct_answer_that_looks_like_the_contexts_is_told_from_it(tmp_path, paths):
    source = write_jsonl(tmp_path / "s.jsonl", make_example("a", "He left the Cafe\u0301.", "Who?", "He"))
    told = r"found it nowhere \(only its Unicode form differs, and it is nowhere else, at 12\); copy it"
    with pytest.raises(RefusedDecisionsError, match=told):
        apply_decisions(source, [decision("a", ("He", 0), "Caf\u00e9")], *paths)


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
    monkeypatch.setattr(json_files, "replace_answers", lambda text, _: text)
    with pytest.raises(RuntimeError, match="reads as other data"):
        apply_decisions(squad_file, [decision("0a", ("Paris", 15), "man")], *paths)
    assert list(squad_file.parent.iterdir()) == [squad_file]
