"""Checks of answers that need no model."""

import json
from collections import Counter

import pytest
from conftest import ROOT, cases, make_example
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.data.squad import load_squad
from span_label_errors.quality.checks import CHECKS, failed_checks
from span_label_errors.spans.text import cuts_word

PROPERTY = cases(100)


def failed_of(context: str, answer: str, question: str = "Which?", start: int | None = None) -> list[str]:
    example = make_example("a", context, question, answer)
    if start is not None:
        example["answers"]["answer_start"] = [start]
    (failed,) = failed_checks([example])
    return failed


def test_right_answers_fail_no_check(examples):
    assert failed_checks(example for example in examples) == [[]] * 12
    assert failed_checks([]) == []


def test_checks_of_all_answers_of_an_example_in_their_order():
    example = make_example("a", "Anna met Bo, then left", "Which?", "Bo,", "Ann", "Bo")
    assert failed_checks([example]) == [["cut_word", "marks_at_edge"]]


# marks_at_edge


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("He met Anna Berg. Then he left.", "Anna Berg."),
        ("He met Anna Berg, then left", "Anna Berg,"),
        ("He met Anna\u00a0 Berg", "Anna\u00a0"),
        ("in Rome - the city", "- the city"),
        ("(macrolides and tetracyclines) work", "(macrolides and tetracyclines"),
        ("the FDA (Food and Drugs) rules", "Food and Drugs)"),
        ("he said “yes, so be it” there", "“yes"),
        ("see lists.of. Then", ".of"),
        ("in mid-1990 there", "-1990"),
        ("वह आया। तब", "वह आया।"),
        ("هو هنا، ثم ذهب", "هنا،"),
        ("彼は言った。", "彼は言った。"),
        ("名物は「りんご」だ", "「りんご"),
        ("האיש (הזקן) הלך", "הזקן)"),
    ],
)
def test_marks_that_are_not_the_answers_own(context, answer):
    assert "marks_at_edge" in failed_of(context, answer)


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("It cost $400m or $.25 or 47% more", "$.25"),
        ("the song \"Say My Name\" or 'Yes'", "'Yes'"),
        ("the FDA (Food and Drugs) rules", "FDA (Food and Drugs)"),
        ("the film Airplane! was", "Airplane!"),
        ("#1 in C# on .NET at -5 degrees", "-5"),
        ("the students' book of '03 was", "students'"),
        ("the brand “ロ「イ」” is", "ロ「イ」"),
        ('אמר "ד"ר כהן" שם', '"ד"ר כהן"'),  # the mark of an abbreviation is no quotation mark
        ("רח׳ הרצל", "רח׳"),
        ("sagte „ja, so sei es“ dort", "„ja, so sei es“"),
        ("كتاب «من أنا؟» قديم", "من أنا؟"),
        ("نحو ٥٠٪ منهم", "٥٠٪"),
        ("（例）〔注〕", "〔注〕"),
        # Full stops of abbreviations and initials.
        ("It is a law of the U.S. Then it ended.", "U.S."),
        ("King Jr. The rest", "King Jr."),
        ("the firm Apple Corp. was sold", "Apple Corp."),  # the sentence goes on
    ],
)
def test_marks_that_are_the_answers_own(context, answer):
    assert failed_of(context, answer) == []


def test_abbreviation_is_learned_from_the_other_contexts():
    example = make_example("a", "He lived in Penn. Then he left.", "Where?", "Penn.")
    assert failed_checks([example])[0] == ["marks_at_edge"]
    others = [make_example(str(number), f"In Penn. {number} men met.", "Who?", "men") for number in range(2)]
    assert failed_checks([example, *others])[0] == []
    # "Rome" ends some sentences, and mostly none: its full stop is no part of it.
    others = [make_example(str(number), f"In Rome {number} men met in Rome. So", "Who?", "men") for number in range(3)]
    example = make_example("a", "He lived in Rome. Then he left.", "Where?", "Rome.")
    assert failed_checks([example, *others])[0] == ["marks_at_edge"]


# cut_word


def test_what_answers_leave_out_by_habit_is_no_cut():
    names = ["Rome", "Oslo", "Lima", "Cairo"]
    examples = [make_example(name, f"in {name}da {name} x", "Where?", name) for name in names]
    examples += [make_example(f"w{number}", f"w{number} left", "Who?", f"w{number}") for number in range(20)]
    examples.append(make_example("cut", "in Viennada x", "Where?", "Vien"))
    assert [names for names in failed_checks(examples) if names] == [["cut_word"]]


# nearer_occurrence

COLDPLAY = (
    "She sang with the band Coldplay on an album of the year before the last one in a studio of the old town. "
    "Then she would perform alongside Coldplay at Super Bowl 50."
)


def test_same_text_nearer_to_the_question():
    assert failed_of(COLDPLAY, "Coldplay", "Who did she perform with at Super Bowl?") == ["nearer_occurrence"]
    assert failed_of(COLDPLAY, "Coldplay", "Who did she perform with?", COLDPLAY.rindex("Coldplay")) == []


@pytest.mark.parametrize(("distance", "is_nearer"), [(5, False), (6, False), (7, True), (20, True)])
def test_nearer_is_twice_as_near(distance, is_nearer):
    """The characters are words. 京 is one from the last 東: exp(-1 / 8) = 0.88, and 0.44 at a distance of 6.5."""
    found = failed_of(f"東{'あ' * (distance - 1)}京東", "東", "京")
    assert found == (["nearer_occurrence"] if is_nearer else [])


def test_other_place_that_is_marked_as_well_is_not_overlooked():
    example = make_example("a", COLDPLAY, "Who did she perform with at Super Bowl?", "Coldplay", "Coldplay at Super")
    example["answers"]["answer_start"][1] = COLDPLAY.rindex("Coldplay")
    assert failed_checks([example]) == [[]]


@pytest.mark.parametrize(
    "question",
    [
        "Which band was on the album?",  # nearer where it is marked
        "Who?",  # no word of it stands in the context
        "Coldplay?",  # the answer's own word stands at both places
    ],
)
def test_same_text_not_nearer_to_the_question(question):
    assert failed_of(COLDPLAY, "Coldplay", question) == []


def test_other_place_must_be_whole_words_apart_from_the_answer():
    filler = " ".join(f"w{number}" for number in range(20))
    assert failed_of(f"six {filler} perform six", "six", "perform?") == ["nearer_occurrence"]
    assert failed_of(f"six {filler} perform sixth", "six", "perform?") == []
    assert failed_of(f"6 {filler} perform 1.6 or 6,000", "6", "perform?") == []
    assert failed_of(f"Six {filler} perform six", "Six", "perform?") == []  # "May" is not "may"
    # What is cut out of a word has no other place.
    assert failed_of(f"sixth {filler} perform six", "six", "perform?") == ["cut_word"]


def test_rare_words_of_the_question_weigh_more():
    filler = " ".join(f"w{number}" for number in range(30))
    context = f"the Rome {filler} Danube Rome"
    assert failed_of(context, "Rome", "the Danube?") == []  # alone, both are as rare
    others = [make_example(str(number), f"the {number}", "?", "the") for number in range(50)]
    example = make_example("a", context, "the Danube?", "Rome")
    assert failed_checks([example, *others])[0] == ["nearer_occurrence"]


# several_sentences


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("He met Anna. Then he left. So", "Anna. Then"),
        ("He met Anna! Then he left? So be it", "He met Anna! Then he left? So"),
        ("東京へ。大阪へ", "東京へ。大阪へ"),
    ],
)
def test_answer_of_several_sentences(context, answer):
    assert failed_of(context, answer) == ["several_sentences"]


@pytest.mark.parametrize(
    "answer",
    [
        "U.S. News", "St. John", "R. J. Rummel", "Prof. Al Hill", "Prosecutor v. Krstic", "approx. half", "1,000.5 men",
        "met “Anna”", "😀",
    ],
)  # fmt: skip
def test_answer_of_one_sentence(answer):
    context = f"He saw {answer} there. Prof. Al Hill and Prof. Bo Hill and Prof. Cy Hill met in Rome"
    assert failed_of(context, answer) == []


# repeated_question


def asked(example_id: str, answer: str | None, context: str = "Marie Curie met Bo in Rome.", question: str = "Who?"):
    return make_example(example_id, context, question, *([answer] if answer else []))


def test_same_question_answered_otherwise():
    rows = [asked("a", "Marie Curie"), asked("b", "Bo"), asked("c", None), asked("d", "Bo", question=" WHO? ")]
    rows.append(asked("e", "Rome", context="  MARIE\n Curie met  Bo in Rome."))  # a spelling of the context
    assert failed_checks([*rows, asked("f", "Bo", question="Whom?")]) == [["repeated_question"]] * 5 + [[]]


@pytest.mark.parametrize(
    "other",
    [
        asked("b", "Marie Curie"),
        asked("b", "Curie"),  # another way to mark the same
        asked("b", "Bo", question="Whom?"),
        asked("b", "Rome", context="Bo met Marie Curie in Rome."),  # another context may answer otherwise
        asked("b", "Curie", context=" " * 20 + "MARIE\n Curie met Bo in Rome."),  # a spelling of the context
    ],
)
def test_same_question_answered_alike(other):
    assert failed_checks([asked("a", "Marie Curie"), other]) == [[], []]


def test_one_annotator_in_common_is_enough():
    several = make_example("a", "Marie Curie met Bo in Rome.", "Who?", "Marie Curie", "Bo")
    assert failed_checks([several, asked("b", "Bo")]) == [[], []]
    assert failed_checks([asked("a", None), asked("b", None)]) == [[], []]
    assert failed_checks([asked("b", "Rome"), several]) == [["repeated_question"]] * 2


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


def test_planted_errors_of_the_demo():
    """Every cut is found, half of the wrong occurrences, and no right answer is named."""
    examples = load_squad(ROOT / "data" / "demo-v1.1.json")
    errors = json.loads((ROOT / "data" / "demo-v1.1.errors.json").read_text(encoding="utf-8"))
    kind_of = {error["id"]: error["kind"] for error in errors}
    found = Counter(
        (name, kind_of.get(example["id"]))
        for example, failed in zip(examples, failed_checks(examples), strict=True)
        for name in failed
    )
    assert found == {("cut_word", "cut_inside_word"): 5, ("nearer_occurrence", "wrong_occurrence"): 2}
