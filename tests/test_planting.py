"""Errors that the benchmark plants, and those of the demo that are known."""

import ast
import copy
import json
from collections import Counter

import pytest
from conftest import ROOT, cases, make_example
from hypothesis import given
from hypothesis import strategies as st
from label_errors.planting import KINDS, plant_errors
from text_strategies import touched_words

from span_label_errors.data.sources import DEMO_ERRORS_PATH, read_known_errors
from span_label_errors.data.squad import load_squad, validate_examples
from span_label_errors.spans.text import answers_of, cuts_word, word_spans

PROPERTY = cases(60)
WORDS = "Anna met Bruno Carla Rome Oslo 1817 1900 the in and".split()


def article(num_contexts: int) -> list[dict]:
    """Three questions on each context, where every kind of error is possible."""
    made = []
    for number in range(num_contexts):
        context = f"Anna Berg met Bruno in Rome in {1800 + number}. Then Anna Berg left Rome for Oslo with Carla Lind."
        answers = {"who": "Anna Berg", "where": "Rome", "whom": "Carla Lind"}
        made += [make_example(f"{number}-{name}", context, f"{name}?", text) for name, text in answers.items()]
    return made


@pytest.fixture(scope="module")
def examples():
    return article(20)


@pytest.mark.parametrize("kind", [*KINDS, "mix"])
def test_share_seed_and_truth(kind, examples):
    before = copy.deepcopy(examples)
    changed, errors = plant_errors(examples, kind, share=0.2, seed=3)
    assert examples == before
    assert len(errors) == 12
    assert [error.example_index for error in errors] == sorted({error.example_index for error in errors})
    assert validate_examples(changed) == []
    by_index = {error.example_index: error for error in errors}
    for example_index, (old, new) in enumerate(zip(examples, changed, strict=True)):
        if example_index not in by_index:
            assert new == old
            continue
        error = by_index[example_index]
        assert error.kind == kind or kind == "mix"
        assert answers_of(old) == [error.right]
        assert answers_of(new) == [error.planted]
        assert {**new, "answers": old["answers"]} == old
        assert error.planted != error.right
    assert plant_errors(examples, kind, share=0.2, seed=3) == (changed, errors)
    assert plant_errors(examples, kind, share=0.2, seed=4)[1] != errors


def test_what_a_rare_kind_cannot_give_the_others_do():
    # One context repeats an answer, so one wrong occurrence is possible at most.
    examples = [
        make_example(f"q{number}", f"Bruno Lind went to Oslo in {1800 + number} with two men", "who?", "Bruno Lind")
        for number in range(39)
    ]
    examples.append(make_example("last", "Anna Berg met Anna Berg there in 1900", "who?", "Anna Berg"))
    counts = Counter(error.kind for error in plant_errors(examples, "mix", 0.4)[1])
    # No context has two questions: swapped is impossible.
    assert counts == {"wrong_occurrence": 1, "moved": 3, "cut_short": 4, "too_long": 4, "cut_inside_word": 4}


#       0  3    8    13   18       28  30  34    41     46    52   57   62
TEXT = "In May, Anna Berg (a painter) met Bo Lind. In 1817, Anna Berg left."


def test_moved_marks_something_of_the_same_look_in_one_clause_rather_near():
    # By how many words stand between: 5 between "May" and "Bo Lind". No "In", no "Berg (a painter", no "Berg left".
    assert dict(KINDS["moved"](TEXT, (34, 41), [])) == {
        (3, 6): 1 / 6, (8, 12): 1 / 5, (13, 17): 1 / 4, (8, 17): 1 / 4,
        (52, 56): 1 / 3, (57, 61): 1 / 4, (52, 61): 1 / 3,
    }  # fmt: skip
    assert dict(KINDS["moved"]("1900 men, 12 ships", (10, 12), [])) == {(0, 4): 1 / 2, (0, 8): 1}
    # The only number: anything else, but not "and".
    assert dict(KINDS["moved"]("men and 12 ships", (8, 10), [])) == {(0, 3): 1 / 2, (11, 16): 1}


def test_swapped_marks_the_answer_of_a_question_nearby():
    others = [((8, 17), 1), ((46, 50), 3), ((34, 41), 2)]
    assert KINDS["swapped"](TEXT, (52, 61), others) == [((46, 50), 1 / 3), ((34, 41), 1 / 2)]


def test_distance_of_questions_is_counted_in_the_data():
    examples = [
        make_example("far", "Anna met Bo in Rome", "where?", "Rome"),
        make_example("elsewhere", "Oslo is far", "what?", "Oslo"),
        make_example("near", "Anna met Bo in Rome", "whom?", "Bo"),
        make_example("asked", "Anna met Bo in Rome", "who?", "Anna"),
        *(make_example(f"other {number}", "Oslo is far", "what?", "Oslo") for number in range(4)),
    ]
    planted = Counter()
    for seed in range(600):
        for error in plant_errors(examples, "swapped", share=0.25, seed=seed)[1]:
            if error.example_index == 3:
                planted[error.planted] += 1
    # "Bo" is one question away, "Rome" three.
    assert set(planted) == {(9, 11), (15, 19)}
    assert planted[9, 11] / planted.total() == pytest.approx(3 / 4, abs=0.1)


def test_cut_short_drops_last_words_rather_than_first_and_few_rather_than_many():
    assert dict(KINDS["cut_short"]("a b c d", (0, 7), [])) == pytest.approx(
        {(0, 5): 0.35, (0, 3): 0.175, (0, 1): 0.0875, (2, 7): 0.15, (4, 7): 0.075, (6, 7): 0.0375}
    )


def test_too_long_goes_to_the_ends_of_clause_and_sentence_or_some_words_on():
    weights = Counter()
    for span, weight in KINDS["too_long"](TEXT, (34, 36), []):
        weights[span] += weight
    # "met Bo Lind" is the clause; three words follow, two stand before.
    assert weights == {
        (34, 41): 3 + 1, (30, 36): 2 + 0.5, (30, 41): 1, (0, 41): 1, (34, 45): 1, (34, 50): 1, (21, 36): 0.5,
    }  # fmt: skip


def test_wrong_occurrence_is_mostly_the_first():
    assert KINDS["wrong_occurrence"]("Rome, romeo, ROME, Rome", (19, 23), []) == [((0, 4), 3.0), ((13, 17), 1.0)]
    assert KINDS["wrong_occurrence"]("Rome, romeo, ROME, Rome", (0, 4), []) == [((13, 17), 1.0), ((19, 23), 1.0)]


def test_cut_inside_word_lets_go_a_little_early_or_presses_a_little_late():
    assert KINDS["cut_inside_word"]("in Bonn.", (3, 7), []) == [
        ((3, 6), 2.0), ((3, 5), 2.0), ((3, 4), 2.0), ((4, 7), 1.0), ((5, 7), 1.0),
    ]  # fmt: skip
    assert KINDS["cut_inside_word"]("a b", (0, 3), []) == []


def test_spans_are_drawn_by_their_weights():
    # Two ways to cut "Anna Berg", of weights 0.35 and 0.15.
    examples = [example for example in article(2) if example["id"].endswith("who")]
    planted = Counter()
    for seed in range(400):
        (error,) = plant_errors(examples, "cut_short", share=0.5, seed=seed)[1]
        planted[error.example_index, error.planted] += 1
    expected = {(number, span): count for number in (0, 1) for span, count in (((0, 4), 140), ((5, 9), 60))}
    assert set(planted) == set(expected)
    assert max(abs(planted[key] - count) for key, count in expected.items()) < 40  # about four standard deviations


def test_nothing_that_plants_comes_from_what_judges():
    tree = ast.parse((ROOT / "benchmarks" / "label_errors" / "planting.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert names == {"re", "collections.abc", "dataclasses", "numpy"}


def test_label_of_a_span_class_is_kept():
    examples = article(4)
    for example in examples:
        example["answers"]["label"] = ["PERSON"]
    changed, errors = plant_errors(examples, "moved", share=0.25)
    assert len(errors) == 3
    assert all(example["answers"]["label"] == ["PERSON"] for example in changed)


def test_question_without_an_answer_stays_so():
    examples = [make_example("empty", "Anna met Bruno and Anna in Rome.", "why?"), *article(3)]
    for seed in range(10):
        changed, errors = plant_errors(examples, "mix", share=0.5, seed=seed)
        assert changed[0] == examples[0]
        assert all(error.example_index > 0 for error in errors)
    with pytest.raises(ValueError, match="kind 'moved': expected examples where it is possible, found none of 1"):
        plant_errors(examples[:1], "moved", share=0.9)


@pytest.mark.parametrize("kind", ["shuffled", "", "Moved"])
def test_unknown_kind_raises(kind, examples):
    with pytest.raises(ValueError, match=r"kind: expected one of .*'cut_inside_word', 'mix'.*, found"):
        plant_errors(examples, kind)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_share_out_of_range_raises(share, examples):
    with pytest.raises(ValueError, match="share: expected a number between 0 and 1, found"):
        plant_errors(examples, "moved", share)


@st.composite
def data_sets(draw):
    """Small contexts with some answers of whole words each, several for some questions."""
    made = []
    for number in range(draw(st.integers(2, 5))):
        context = " ".join(draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=12))) + "."
        spans = word_spans(context)
        for question in range(draw(st.integers(1, 3))):
            example = make_example(f"{number}-{question}", context, f"question {question}?")
            for _ in range(draw(st.integers(1, 2))):
                first = draw(st.integers(0, len(spans) - 1))
                last = draw(st.integers(first, min(first + 3, len(spans) - 1)))
                example["answers"]["text"].append(context[spans[first][0] : spans[last][1]])
                example["answers"]["answer_start"].append(spans[first][0])
            made.append(example)
    return made


@PROPERTY
@given(data_sets(), st.sampled_from([*KINDS, "mix"]), st.sampled_from([0.3, 0.6, 0.9]), st.integers(0, 3))
def test_planted_answers_are_valid_and_of_their_kind(examples, kind, share, seed):
    try:
        changed, errors = plant_errors(examples, kind, share, seed)
    except ValueError as error:
        assert "found none" in str(error)
        return
    assert len(errors) <= round(share * len(examples))
    assert validate_examples(changed) == []
    for error in errors:
        old, new = examples[error.example_index], changed[error.example_index]
        context, words = old["context"], word_spans(old["context"])
        assert error.right == answers_of(old)[0]
        assert answers_of(new) == [error.planted]
        planted = touched_words(words, error.planted)
        right = touched_words(words, error.right)
        assert planted
        same_text = context[slice(*error.planted)].lower() == context[slice(*error.right)].lower()
        assert same_text == (error.kind == "wrong_occurrence")
        assert cuts_word(context, error.planted) == (error.kind == "cut_inside_word")
        if error.kind == "cut_inside_word":
            assert planted <= right
            assert error.right[0] <= error.planted[0] < error.planted[1] <= error.right[1]
            continue
        assert all(planted != touched_words(words, answer) for answer in answers_of(old))
        if error.kind in ("moved", "swapped", "wrong_occurrence"):
            assert not any(planted & touched_words(words, answer) for answer in answers_of(old))
        if error.kind == "moved":
            assert abs(len(planted) - len(right)) <= 1
        if error.kind == "cut_short":
            assert planted < right
            assert min(planted) == min(right) or max(planted) == max(right)
        if error.kind == "too_long":
            assert planted > right


def test_known_errors_by_the_id_of_their_example(tmp_path):
    entries = [{"id": "b", "kind": "moved"}, {"id": "a", "right_start": 3, "extra": None}]
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "errors.json").write_text(json.dumps(entries), encoding=encoding)
        for path in (tmp_path / "errors.json", str(tmp_path / "errors.json")):
            assert read_known_errors(path) == {"b": entries[0], "a": entries[1]}
    (tmp_path / "errors.json").write_text("[]", encoding="utf-8")
    assert read_known_errors(tmp_path / "errors.json") == {}


def test_known_errors_of_the_demo():
    errors = read_known_errors(DEMO_ERRORS_PATH)
    examples = {example["id"]: example for example in load_squad(ROOT / "data" / "demo-v1.1.json")}
    assert len(errors) == len(json.loads(DEMO_ERRORS_PATH.read_text(encoding="utf-8"))) > 20
    assert set(errors) < set(examples)
    for example_id, error in errors.items():
        context, start = examples[example_id]["context"], error["right_start"]
        assert context[start : start + len(error["right_answer"])] == error["right_answer"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"7", b"null", b'["a"]', b'[{"kind": "moved"}]', b'{"id": "a"}', b"[[]]", b'[{"id": []}]'],
)
def test_other_files_are_no_known_errors(tmp_path, content):
    (tmp_path / "errors.json").write_bytes(content)
    with pytest.raises(ValueError, match='expected a JSON list of objects with an "id", found') as caught:
        read_known_errors(tmp_path / "errors.json")
    assert str(caught.value).startswith(f"{tmp_path / 'errors.json'}: ")
