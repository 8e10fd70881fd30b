"""Wrong answers of known kinds."""

import copy
import json
from collections import Counter

import numpy as np
import pytest
from conftest import ROOT, cases, make_example
from hypothesis import given
from hypothesis import strategies as st
from planting import PlantedError, plant_errors

from planted_errors import KINDS, MISTAKES, cut_inside_word, cut_short, moved, swapped, too_long, wrong_occurrence
from squad import load_squad, validate_examples
from squad_sources import DEMO_ERRORS_PATH, read_known_errors
from words import answers_of, cuts_word, word_spans

PROPERTY = cases(60)
#       0    5   9     15  19   24 27   32
TEXT = "Anna met Bruno and Anna in Rome."
WORDS = "Anna met Bruno Carla Rome Oslo 1817 1900 the in and".split()


def span_of(text: str, part: str, occurrence: int = 0) -> tuple[int, int]:
    start = -1
    for _ in range(occurrence + 1):
        start = text.index(part, start + 1)
    return start, start + len(part)


def texts_of(context: str, spans: list[tuple[int, int]]) -> list[str]:
    return [context[slice(*span)] for span in spans]


def touched_words(context: str, span: tuple[int, int]) -> set[int]:
    """Words that share a character with a span, looked at one by one."""
    return {
        position
        for position, (start, end) in enumerate(word_spans(context))
        if set(range(start, end)) & set(range(*span))
    }


# Each kind on a small context


def test_moved_to_as_many_words_elsewhere():
    # Not the other "Anna": it repeats the text.
    assert texts_of(TEXT, moved(TEXT, (0, 4))) == ["met", "Bruno", "and", "in", "Rome"]
    assert texts_of(TEXT, moved(TEXT, span_of(TEXT, "met Bruno"))) == ["and Anna", "Anna in", "in Rome"]
    assert moved(TEXT, span_of(TEXT, "Rome"))[0] == (0, 4)


def test_moved_knows_the_text_in_another_case():
    assert texts_of("rome is not ROME", moved("rome is not ROME", (0, 4))) == ["is", "not"]


def test_moved_from_a_part_of_a_word_leaves_the_whole_word():
    context = "evolutionary steps there"
    assert texts_of(context, moved(context, (0, 9))) == ["steps", "there"]


def test_moved_has_nowhere_to_go():
    assert moved(TEXT, (0, len(TEXT))) == []
    assert moved("Rome, Rome", (0, 4)) == []


def test_swapped_with_answers_that_are_elsewhere_and_read_otherwise():
    rome, bruno, anna = span_of(TEXT, "Rome"), span_of(TEXT, "Bruno"), span_of(TEXT, "Anna", 1)
    others = [rome, bruno, rome, anna, (0, 4), (0, 14)]
    assert swapped(TEXT, (0, 4), others) == [rome, bruno]  # once each; not the other "Anna", not what overlaps
    assert swapped(TEXT, (0, 4)) == []


def test_cut_short_at_either_end_by_whole_words():
    answer = span_of(TEXT, "Bruno and Anna")
    assert texts_of(TEXT, cut_short(TEXT, answer)) == ["Bruno", "Bruno and", "and Anna", "Anna"]
    assert cut_short(TEXT, answer)[-1] == span_of(TEXT, "Anna", 1)
    assert cut_short(TEXT, (0, 4)) == []
    assert cut_short("so — it goes", (3, 4)) == []


def test_too_long_by_two_words_or_more():
    assert texts_of(TEXT, too_long(TEXT, span_of(TEXT, "Anna", 1))) == [
        "Anna in Rome",
        "and Anna in", "and Anna in Rome",
        "Bruno and Anna", "Bruno and Anna in", "Bruno and Anna in Rome",
        "met Bruno and Anna", "met Bruno and Anna in", "met Bruno and Anna in Rome",
        "Anna met Bruno and Anna", "Anna met Bruno and Anna in", "Anna met Bruno and Anna in Rome",
    ]  # fmt: skip
    assert too_long("in Rome", (3, 7)) == []


def test_too_long_by_eight_words_at_most():
    context = " ".join(f"w{number}" for number in range(30))
    spans = too_long(context, span_of(context, "w15"))
    extra = [len(touched_words(context, span)) - 1 for span in spans]
    # n more words can stand before and behind in n + 1 ways.
    assert Counter(extra) == {number: number + 1 for number in range(2, 9)}
    assert len(set(spans)) == len(spans)


def test_too_long_keeps_what_is_not_a_word_at_the_answers_edge():
    context = "He said “yes” to all of it."
    answer = span_of(context, "“yes”")
    assert "“yes” to all" in texts_of(context, too_long(context, answer))
    assert "He said “yes”" in texts_of(context, too_long(context, answer))


def test_wrong_occurrence_as_a_whole_word_in_any_case():
    assert wrong_occurrence(TEXT, (0, 4)) == [(19, 23)]
    assert wrong_occurrence(TEXT, (19, 23)) == [(0, 4)]
    assert wrong_occurrence("Water, waters, underwater, WATER", (0, 5)) == [(27, 32)]
    assert wrong_occurrence("C# is not c#, or C#s", (0, 2)) == [(10, 12)]
    assert wrong_occurrence("a.c or abc, a.c", (0, 3)) == [(12, 15)]  # no pattern: "." is a full stop
    assert wrong_occurrence(TEXT, span_of(TEXT, "Rome")) == []


@pytest.mark.parametrize(("context", "answer"), [("2 of 1,2 or 2.5", (0, 1))])
def test_wrong_occurrence_cuts_no_number(context, answer):
    assert wrong_occurrence(context, answer) == []


def test_wrong_occurrence_without_spaces():
    assert wrong_occurrence("東京は大きい。東京へ行く", (0, 2)) == [(7, 9)]


def test_cut_inside_word_leaves_a_part_that_no_word_ends():
    context = "in 1,000 BC"
    #          0123456789
    assert texts_of(context, cut_inside_word(context, (3, 8))) == [
        "1", "1,", "1,0", "1,00", ",000", "000", "00", "0",
    ]  # fmt: skip
    answer = span_of(TEXT, "in Rome")
    # Not "in", "in ", " Rome" and "Rome": they end where a word does.
    assert texts_of(TEXT, cut_inside_word(TEXT, answer)) == ["i", "in R", "in Ro", "in Rom", "n Rome", "ome", "me", "e"]
    assert cut_inside_word(TEXT, answer)[0] == (answer[0], answer[0] + 1)


def test_cut_inside_word_needs_a_word_of_two_characters():
    assert cut_inside_word("a b c", (0, 3)) == []
    assert cut_inside_word("東京へ", (0, 2)) == []
    assert cut_inside_word("a", (0, 1)) == []


def test_cut_inside_word_of_a_part_of_a_word_leaves_something():
    assert texts_of(TEXT, cut_inside_word(TEXT, (1, 4))) == ["n", "nn", "na", "a"]


def test_cut_inside_word_takes_no_mark_from_its_letter():
    context = "cafe\u0301 noir"
    assert "cafe" in texts_of(context, cut_inside_word(context, (0, 5)))


def test_mistakes_are_the_kinds_and_cut_words():
    assert list(MISTAKES) == [*KINDS, "cut_inside_word"]
    assert MISTAKES["cut_inside_word"] is cut_inside_word
    assert all(MISTAKES[kind] is KINDS[kind] for kind in KINDS)
    # Not planted: a tokenizer may see the same tokens.
    with pytest.raises(ValueError, match="kind: expected one of"):
        plant_errors(article(4), "cut_inside_word")


@pytest.mark.parametrize("kind", MISTAKES)
def test_offsets_count_characters_behind_astral_ones(kind):
    others = [span_of(TEXT, "Rome"), span_of(TEXT, "Bruno")]
    answer = span_of(TEXT, "Anna", 1) if kind != "cut_short" else span_of(TEXT, "Bruno and Anna")
    shifted = [(start + 2, end + 2) for start, end in MISTAKES[kind](TEXT, answer, others)]
    shifted_others = [(start + 2, end + 2) for start, end in others]
    assert shifted
    assert MISTAKES[kind](f"😀 {TEXT}", (answer[0] + 2, answer[1] + 2), shifted_others) == shifted


# plant_errors


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
        others = [answers_of(other)[0] for other in examples if other["context"] == old["context"]]
        assert error.planted in KINDS[error.kind](old["context"], error.right, others)
        assert touched_words(old["context"], error.planted) != touched_words(old["context"], error.right)
    assert plant_errors(examples, kind, share=0.2, seed=3) == (changed, errors)
    assert plant_errors(examples, kind, share=0.2, seed=4)[1] != errors


def test_kinds_of_the_mix_are_equal(examples):
    for share, expected in [(0.25, [3, 3, 3, 3, 3]), (0.2, [2, 2, 2, 3, 3])]:
        counts = Counter(error.kind for error in plant_errors(examples, "mix", share)[1])
        assert sorted(counts.values()) == expected
        assert set(counts) == set(KINDS)


def test_what_a_rare_kind_cannot_give_the_others_do():
    # One context repeats an answer, so one wrong occurrence is possible at most.
    examples = [
        make_example(f"q{number}", f"Bruno Lind went to Oslo in {1800 + number} with two men", "who?", "Bruno Lind")
        for number in range(39)
    ]
    examples.append(make_example("last", "Anna Berg met Anna Berg there in 1900", "who?", "Anna Berg"))
    counts = Counter(error.kind for error in plant_errors(examples, "mix", 0.4)[1])
    # No context has two questions: swapped is impossible.
    assert counts == {"wrong_occurrence": 1, "moved": 5, "cut_short": 5, "too_long": 5}


@pytest.mark.parametrize(("num_contexts", "expected"), [(4, 2), (10, 5), (20, 10)])
def test_never_more_than_half_of_the_possible_ones(num_contexts, expected):
    # Of the three questions of a context, one has an answer of one word: it cannot be cut short.
    examples = [example for example in article(num_contexts) if not example["id"].endswith("whom")]
    changed, errors = plant_errors(examples, "cut_short", share=0.9)
    assert len(errors) == expected
    assert sum(new != old for new, old in zip(changed, examples, strict=True)) == expected


@pytest.mark.parametrize("num_contexts", [1, 3])
def test_a_kind_goes_to_every_second_example_where_it_is_possible(num_contexts):
    examples = [example for example in article(num_contexts) if example["id"].endswith("who")]
    assert len(plant_errors(examples, "cut_short", share=0.99)[1]) == (num_contexts + 1) // 2


def test_every_possible_span_is_equally_likely():
    # The first example: only two ways to cut "Anna Berg".
    examples = [example for example in article(2) if example["id"].endswith("who")]
    planted = Counter()
    for seed in range(400):
        (error,) = plant_errors(examples, "cut_short", share=0.5, seed=seed)[1]
        planted[error.example_index, error.planted] += 1
    assert set(planted) == {(0, (0, 4)), (0, (5, 9)), (1, (0, 4)), (1, (5, 9))}
    assert max(abs(count - 100) for count in planted.values()) < 40  # more than four standard deviations


def test_no_planted_answer_marks_the_words_of_another_annotator():
    context = "the river Danube flows to the sea"
    answered = [make_example(f"q{n}", context, f"{n}?", "the river Danube", "river Danube", "Danube") for n in "ab"]
    planted = {
        context[slice(*error.planted)]
        for seed in range(40)
        for error in plant_errors(answered, "cut_short", share=0.5, seed=seed)[1]
    }
    assert planted == {"the", "the river"}
    for kind in ("moved", "swapped", "wrong_occurrence"):
        apart = [
            make_example("a", "Anna met Bruno. Anna met Carla. Anna left", "who?", "Anna", "Carla"),
            make_example("b", "Anna met Bruno. Anna met Carla. Anna left", "whom?", "Carla"),
            make_example("c", "Anna met Bruno. Anna met Carla. Anna left", "else?", "Bruno"),
        ]
        for seed in range(20):
            for error in plant_errors(apart, kind, share=0.4, seed=seed)[1]:
                start, end = error.planted
                assert not any(
                    start < other_end and other_start < end
                    for other_start, other_end in answers_of(apart[error.example_index])
                )


def test_other_questions_are_known_by_their_context_in_any_spelling():
    first = make_example("a", "Anna met Bruno", "who?", "Anna")
    second = make_example("b", "Anna met Bruno", "whom?", "Bruno")
    assert plant_errors([first, second], "swapped", share=0.5)[1][0].kind == "swapped"
    with pytest.raises(ValueError, match="expected examples where it is possible, found none of 2"):
        plant_errors([first, {**second, "context": "Anna met Bruno again"}], "swapped", share=0.5)


def test_label_of_a_span_class_is_kept():
    examples = article(4)
    for example in examples:
        example["answers"]["label"] = ["PERSON"]
    changed, errors = plant_errors(examples, "moved", share=0.25)
    assert len(errors) == 3
    assert all(example["answers"]["label"] == ["PERSON"] for example in changed)


def test_question_without_an_answer_stays_so():
    examples = [make_example("empty", TEXT, "why?"), *article(3)]
    for seed in range(10):
        changed, errors = plant_errors(examples, "mix", share=0.5, seed=seed)
        assert changed[0] == examples[0]
        assert all(error.example_index > 0 for error in errors)
    with pytest.raises(ValueError, match="kind 'moved': expected examples where it is possible, found none of 1"):
        plant_errors(examples[:1], "moved", share=0.9)


@pytest.mark.parametrize("kind", ["shuffled", "", "Moved"])
def test_unknown_kind_raises(kind, examples):
    with pytest.raises(ValueError, match=r"kind: expected one of .*'wrong_occurrence', 'mix'.*, found"):
        plant_errors(examples, kind)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_share_out_of_range_raises(share, examples):
    with pytest.raises(ValueError, match="share: expected a number between 0 and 1, found"):
        plant_errors(examples, "moved", share)


def test_share_of_no_example_says_so(examples):
    with pytest.raises(ValueError, match="share"):
        plant_errors(examples, "moved", share=0.001)


def test_errors_are_values():
    error = PlantedError(1, "moved", (0, 4), (5, 8))
    assert error == PlantedError(1, "moved", (0, 4), (5, 8))
    with pytest.raises(AttributeError):
        error.kind = "swapped"


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
def test_planted_answers_are_valid_and_label_other_words(examples, kind, share, seed):
    try:
        changed, errors = plant_errors(examples, kind, share, seed)
    except ValueError as error:
        assert "found none" in str(error)
        return
    assert len(errors) <= round(share * len(examples))
    assert validate_examples(changed) == []
    for error in errors:
        old, new = examples[error.example_index], changed[error.example_index]
        context = old["context"]
        assert error.right == answers_of(old)[0]
        assert answers_of(new) == [error.planted]
        planted = touched_words(context, error.planted)
        assert all(planted != touched_words(context, answer) for answer in answers_of(old))
        right = touched_words(context, error.right)
        assert planted
        assert not cuts_word(context, error.planted)
        if error.kind in ("moved", "swapped", "wrong_occurrence"):
            assert not any(planted & touched_words(context, answer) for answer in answers_of(old))
        if error.kind == "moved":
            assert len(planted) == len(right)
        if error.kind == "cut_short":
            assert planted < right
            assert min(planted) == min(right) or max(planted) == max(right)
        if error.kind == "too_long":
            assert planted > right
            assert 2 <= len(planted - right) <= 8
        same_text = context[slice(*error.planted)].lower() == context[slice(*error.right)].lower()
        assert same_text == (error.kind == "wrong_occurrence")


def test_on_the_demo():
    examples = load_squad(ROOT / "data" / "demo-v1.1.json").to_list()
    changed, errors = plant_errors(examples, "mix", seed=1)
    assert len(errors) == 25
    assert validate_examples(changed) == []
    counts = Counter(error.kind for error in errors)
    assert np.ptp(list(counts.values())) == 0


# Known errors


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


@pytest.mark.parametrize("content", ["{}", '""'])
def test_empty_json_that_is_no_list_is_no_known_errors(tmp_path, content):
    (tmp_path / "errors.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="expected a JSON list"):
        read_known_errors(tmp_path / "errors.json")


def test_missing_list_of_known_errors_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_known_errors(tmp_path / "errors.json")
