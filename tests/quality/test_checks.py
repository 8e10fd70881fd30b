"""Checks of answers that need no model."""

import json
import math
from collections import Counter

import pytest
from conftest import ROOT, cases, make_example
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.data.squad import load_squad
from span_label_errors.quality.checks import CHECKS, FailedCheck, failed_checks
from span_label_errors.spans.text import cuts_word

PROPERTY = cases(100)


def failed_of(context: str, answer: str, question: str = "Which?", start: int | None = None) -> dict[str, str]:
    """The details of one answer's failed checks, by name."""
    example = make_example("a", context, question, answer)
    if start is not None:
        example["answers"]["answer_start"] = [start]
    (failed,) = failed_checks([example])
    assert all(check.answer_index == 0 for check in failed)
    return {check.name: check.detail for check in failed}


def test_right_answers_fail_no_check(examples):
    assert failed_checks(examples) == [[]] * 12
    assert failed_checks([]) == []
    assert failed_checks(example for example in examples[:2]) == [[], []]


def test_check_is_printed_in_one_line():
    (check,) = failed_checks([make_example("a", "a\nb,\nc", "Which?", "b,\n")])[0]
    assert check == FailedCheck("marks_at_edge", 0, r"a space at an edge of 'b,\n'")
    assert str(check) == r"marks_at_edge: a space at an edge of 'b,\n'"


# cut_word


@pytest.mark.parametrize(
    ("context", "answer", "detail"),
    [
        ("in the sixth year", "six", "'six' is a part of 'sixth'"),
        ("about 2,850 km", "2,85", "'2,85' is a part of '2,850'"),
        ("the 1990s were", "990", "'990' is a part of '1990s'"),
        ("a 😀sixth😀 there", "😀six", "'😀six' is a part of '😀sixth'"),
        ("in 漢1990s字 there", "990s", "'990s' is a part of '1990s'"),
        ("un cafe\u0301 noir", "cafe", "the border cuts a character"),
        ("a 😀\u0301 there", "😀", "the border cuts a character"),
    ],
)
def test_answer_that_cuts_a_word(context, answer, detail):
    found = failed_of(context, answer)
    assert set(found) == {"cut_word"}
    # What the whole word is where an accent is a character of its own, is for `words` to say.
    assert found["cut_word"] == detail or "cafe" in context


@pytest.mark.parametrize("answer", ["1990s", "mid", "Bell", "Bell's", "漢", "U.S.", "47", "$40"])
def test_answer_that_cuts_no_word(answer):
    assert failed_of("the mid-1990s of Bell's 漢字 in the U.S. at 47% or $40 more", answer) == {}


# marks_at_edge


@pytest.mark.parametrize(
    ("context", "answer", "where"),
    [
        ("He met Anna Berg. Then he left.", "Anna Berg.", "'.' at the end"),
        ("He met Anna Berg, then left", "Anna Berg,", "',' at the end"),
        ("He met Anna Berg", " Anna Berg", "a space at an edge"),
        ("He met Anna\u00a0 Berg", "Anna\u00a0", "a space at an edge"),
        ("in Rome - the city", "- the city", "'-' at the beginning"),
        ("(macrolides and tetracyclines) work", "(macrolides and tetracyclines", "'(' at the beginning"),
        ("the FDA (Food and Drugs) rules", "Food and Drugs)", "')' at the end"),
        ("he said “yes, so be it” there", "“yes", "'“' at the beginning"),
        ('the song "Say My Name" won', 'Say My Name"', "'\"' at the end"),
        ("京都。東京", "京都。", "'。' at the end"),
        ("it was 1990. Then", "1990.", "'.' at the end"),
        ("see lists.of. Then", ".of", "'.' at the beginning"),
        ("in mid-1990 there", "-1990", "'-' at the beginning"),
    ],
)
def test_marks_that_are_not_the_answers_own(context, answer, where):
    assert failed_of(context, answer)["marks_at_edge"].startswith(where)


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("It cost $400m or $.25 or 47% more", "$400m"),
        ("It cost $400m or $.25 or 47% more", "$.25"),
        ("the song \"Say My Name\" or 'Yes'", '"Say My Name"'),
        ("the song \"Say My Name\" or 'Yes'", "'Yes'"),
        ("dies ist „so“ und »da«", "„so“"),
        ('he sang "Yes" and "No" there', '"Yes" and "No"'),
        ("the FDA (Food and Drugs) rules", "FDA (Food and Drugs)"),
        ("the film Airplane! was", "Airplane!"),
        ("#1 in C# on .NET at -5 degrees", "#1"),
        ("#1 in C# on .NET at -5 degrees", "-5"),
        ("the students' book of '03 was", "students'"),
        ("the brand “ロ「イ」” is", "ロ「イ」"),
        # Full stops of abbreviations and initials.
        ("It is a law of the U.S. Then it ended.", "U.S."),
        ("It began at 5 a.m. The rest slept.", "5 a.m."),
        ("He met Jay Z. They sang.", "Jay Z."),
        ("King Jr. The rest", "King Jr."),
        ("the firm Apple Corp. was sold", "Apple Corp."),  # the sentence goes on
    ],
)
def test_marks_that_are_the_answers_own(context, answer):
    assert failed_of(context, answer) == {}


def test_abbreviation_is_learned_from_the_other_contexts():
    example = make_example("a", "He lived in Penn. Then he left.", "Where?", "Penn.")
    assert [check.name for check in failed_checks([example])[0]] == ["marks_at_edge"]
    others = [make_example(str(number), f"In Penn. {number} men met.", "Who?", "men") for number in range(2)]
    assert failed_checks([example, *others])[0] == []
    # "Rome" ends some sentences, and mostly none: its full stop is no part of it.
    others = [make_example(str(number), f"In Rome {number} men met in Rome. So", "Who?", "men") for number in range(3)]
    example = make_example("a", "He lived in Rome. Then he left.", "Where?", "Rome.")
    assert [check.name for check in failed_checks([example, *others])[0]] == ["marks_at_edge"]


# nearer_occurrence

COLDPLAY = (
    "She sang with the band Coldplay on an album of the year before the last one in a studio of the old town. "
    "Then she would perform alongside Coldplay at Super Bowl 50."
)


def test_same_text_nearer_to_the_question():
    found = failed_of(COLDPLAY, "Coldplay", "Who did she perform with at Super Bowl?")
    assert set(found) == {"nearer_occurrence"}
    # Two words of the question stand nowhere; those that do stand in one context of one. In words from the answer:
    there, nowhere = math.log(2 / 1.5), math.log(2 / 0.5)
    first, second = (
        sum(there * math.exp(-distance / 8) for distance in distances) / (6 * there + 2 * nowhere)
        for distances in ([5, 21, 3, 24, 25, 26], [4, 2, 26, 1, 2, 3])  # she, perform, with, at, super, bowl
    )
    assert found["nearer_occurrence"] == (
        f"'Coldplay' is marked at 23; at {COLDPLAY.rindex('Coldplay')} it is nearer to the question "
        f"({second:.2f}, here {first:.2f})"
    )
    assert failed_of(COLDPLAY, "Coldplay", "Who did she perform with?", COLDPLAY.rindex("Coldplay")) == {}


def test_other_place_that_is_marked_as_well_is_not_overlooked():
    example = make_example("a", COLDPLAY, "Who did she perform with at Super Bowl?", "Coldplay", "Coldplay at Super")
    example["answers"]["answer_start"][1] = COLDPLAY.rindex("Coldplay")
    assert failed_checks([example]) == [[]]


@pytest.mark.parametrize(
    "question",
    [
        "Which band was on the album?",  # nearer where it is marked
        "Who?",  # no word of it stands in the context
        "",
        "Coldplay?",  # the answer's own word stands at both places
    ],
)
def test_same_text_not_nearer_to_the_question(question):
    assert failed_of(COLDPLAY, "Coldplay", question) == {}


def test_other_place_must_be_whole_words_apart_from_the_answer():
    filler = " ".join(f"w{number}" for number in range(20))
    assert set(failed_of(f"six {filler} perform six", "six", "perform?")) == {"nearer_occurrence"}
    # The answer's own word in the question stands at both places, and counts at neither.
    assert set(failed_of(f"six {filler} perform six", "six", "six perform?")) == {"nearer_occurrence"}
    assert failed_of(f"six {filler} perform sixth", "six", "perform?") == {}
    assert failed_of(f"6 {filler} perform 1.6 or 6,000", "6", "perform?") == {}
    assert failed_of(f"Six {filler} perform six", "Six", "perform?") == {}  # "May" is not "may"
    # What is cut out of a word has no other place.
    assert set(failed_of(f"sixth {filler} perform six", "six", "perform?")) == {"cut_word"}


def test_nearness_without_spaces_by_hand():
    # The characters are words. 京 is the 22nd, one from the last 東 and 21 from the first.
    found = failed_of(f"東{'あ' * 20}京東", "東", "京")
    assert found == {
        "nearer_occurrence": "'東' is marked at 0; at 22 it is nearer to the question "
        f"({math.exp(-1 / 8):.2f}, here {math.exp(-21 / 8):.2f})"
    }


def test_rare_words_of_the_question_weigh_more():
    filler = " ".join(f"w{number}" for number in range(30))
    context = f"the Rome {filler} Danube Rome"
    assert failed_of(context, "Rome", "the Danube?") == {}  # alone, both are as rare
    others = [make_example(str(number), f"the {number}", "?", "the") for number in range(50)]
    example = make_example("a", context, "the Danube?", "Rome")
    assert [check.name for check in failed_checks([example, *others])[0]] == ["nearer_occurrence"]


# several_sentences


@pytest.mark.parametrize(
    ("context", "answer", "detail"),
    [
        ("He met Anna. Then he left. So", "Anna. Then", "2 sentences; the first ends at 11"),
        ("He met Anna! Then he left? So be it", "He met Anna! Then he left? So", "3 sentences; the first ends at 11"),
        ("東京へ。大阪へ", "東京へ。大阪へ", "2 sentences; the first ends at 3"),
    ],
)
def test_answer_of_several_sentences(context, answer, detail):
    assert failed_of(context, answer) == {"several_sentences": detail}


@pytest.mark.parametrize(
    "answer",
    [
        "U.S. News", "St. John", "R. J. Rummel", "Prof. Al Hill", "Prosecutor v. Krstic", "approx. half", "1,000.5 men",
        "met “Anna”", "😀",
    ],
)  # fmt: skip
def test_answer_of_one_sentence(answer):
    context = f"He saw {answer} there. Prof. Al Hill and Prof. Bo Hill and Prof. Cy Hill met in Rome"
    assert failed_of(context, answer) == {}


# repeated_question


def asked(example_id: str, answer: str | None, context: str = "Marie Curie met Bo in Rome.", question: str = "Who?"):
    return make_example(example_id, context, question, *([answer] if answer else []))


def test_same_question_answered_otherwise():
    first, second, third = failed_checks([asked("a", "Marie Curie"), asked("b", "Bo"), asked("c", None)])
    assert first == [
        FailedCheck("repeated_question", None, "b is answered by 'Bo' at 16; c is answered by nothing"),
    ]
    assert second[0].detail == "a is answered by 'Marie Curie' at 0; c is answered by nothing"
    assert third[0].detail == "a is answered by 'Marie Curie' at 0; b is answered by 'Bo' at 16"


@pytest.mark.parametrize(
    "other",
    [
        asked("b", "Marie Curie"),
        asked("b", "Curie"),  # another way to mark the same
        asked("b", "Bo", question="Whom?"),
        asked("b", "Rome", context="Bo met Marie Curie in Rome."),  # another context may answer otherwise
        asked("b", "Curie", context="MARIE  Curie met Bo in Rome."),
    ],
)
def test_same_question_answered_alike(other):
    assert failed_checks([asked("a", "Marie Curie"), other]) == [[], []]


def test_each_other_answer_is_named_once():
    rows = [asked("a", "Marie Curie"), asked("b", "Bo"), asked("c", "Bo"), asked("d", "Rome")]
    details = [[check.detail for check in failed] for failed in failed_checks(rows)]
    assert details[0] == ["b is answered by 'Bo' at 16; d is answered by 'Rome' at 22"]
    assert details[1] == details[2] == ["a is answered by 'Marie Curie' at 0; d is answered by 'Rome' at 22"]


def test_one_annotator_in_common_is_enough():
    several = make_example("a", "Marie Curie met Bo in Rome.", "Who?", "Marie Curie", "Bo")
    assert failed_checks([several, asked("b", "Bo")]) == [[], []]
    assert failed_checks([asked("a", None), asked("b", None)]) == [[], []]
    ((check,), _) = failed_checks([asked("b", "Rome"), several])
    assert check.detail == "a is answered by 'Marie Curie' at 0 or 'Bo' at 16"


# On data

CONTEXTS = st.lists(
    st.sampled_from(
        ["Anna", "Berg,", "Rome.", "“yes”", "1,000", "U.S.", "漢字。", "😀", "(so)", "e\u0301t", "\n", "-"]
    ),
    min_size=1,
).map(" ".join)


@PROPERTY
@given(CONTEXTS.filter(str.strip), st.data())
def test_any_valid_answer_can_be_checked(context, data):
    starts = [position for position, character in enumerate(context) if not character.isspace()]
    start = data.draw(st.sampled_from(starts))
    end = data.draw(st.integers(start + 1, len(context)))
    found = failed_of(context, context[start:end], "Where is Anna Berg?", start)
    assert set(found) <= set(CHECKS)
    assert ("cut_word" in found) == cuts_word(context, (start, end))
    assert all(detail and "\n" not in detail for detail in found.values())


def test_planted_errors_of_the_demo():
    """Every cut is found, half of the wrong occurrences, and no right answer is named."""
    examples = load_squad(ROOT / "data" / "demo-v1.1.json")
    errors = json.loads((ROOT / "data" / "demo-v1.1.errors.json").read_text(encoding="utf-8"))
    kind_of = {error["id"]: error["kind"] for error in errors}
    found = Counter(
        (check.name, kind_of.get(example["id"]))
        for example, failed in zip(examples, failed_checks(examples), strict=True)
        for check in failed
    )
    assert found == {("cut_word", "cut_inside_word"): 5, ("nearer_occurrence", "wrong_occurrence"): 2}
