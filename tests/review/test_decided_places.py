"""What decisions about single places say, where every span of a data set is labelled."""

import pandas as pd
import pytest
from answer_tables import answered, example
from conftest import cases
from hypothesis import given, settings
from hypothesis import strategies as st

from span_label_errors.quality.sites import Known
from span_label_errors.review.answers import Answer, Decision
from span_label_errors.review.decided import known_answers, with_decisions, without_replaced

CONTEXT = "Anna of Acme met Bo Lind in Rome, Oslo and Lima"
CLASSES = ("LOC", "ORG", "PER")


def span(text: str, class_name: str | None = None) -> Answer:
    return Answer(text, CONTEXT.index(text), class_name)


ANNA, ACME, BO, ROME, OSLO = (
    span(text, name)
    for text, name in (("Anna", "PER"), ("Acme", "LOC"), ("Bo", "PER"), ("Rome", "LOC"), ("Oslo", "LOC"))
)
GIVEN = [ANNA, ACME, BO, ROME, OSLO]
BO_LIND, BOTH, LIMA = span("Bo Lind", "PER"), span("Rome, Oslo", "LOC"), span("Lima", "LOC")


def about(given: Answer | str, *correct: Answer) -> Decision:
    """A decision about a given span, or about a place where nothing is marked."""
    is_given = isinstance(given, Answer)
    place = given.span if is_given else span(given).span
    return Decision("id-0", (given,) if is_given else (), correct, place=place)


def decided(*decisions: Decision, given: list[Answer] = GIVEN) -> list[Answer]:
    example = {"id": "id-0", "context": CONTEXT, "answers": given}
    return with_decisions(example, list(decisions), CLASSES)


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([about(ACME, ACME)], GIVEN),
        ([about(ACME, span("Acme", "ORG"))], [ANNA, span("Acme", "ORG"), BO, ROME, OSLO]),
        ([about(BO, span("Bo Lind"))], [ANNA, ACME, span("Bo Lind", "PER"), ROME, OSLO]),
        ([about(ACME)], [ANNA, BO, ROME, OSLO]),
        ([about("Lima", span("Lima", "LOC"))], [*GIVEN, span("Lima", "LOC")]),
        # A span that was missing stands where it does in the text.
        ([about("met", span("met", "ORG"))], [ANNA, ACME, span("met", "ORG"), BO, ROME, OSLO]),
        ([about("Lima")], GIVEN),
        # Several decisions about one example, in any order.
        (
            [about("Lima", span("Lima", "LOC")), about(ROME), about(ACME, span("Acme", "ORG")), about(ANNA, ANNA)],
            [ANNA, span("Acme", "ORG"), BO, OSLO, span("Lima", "LOC")],
        ),
        # Two spans that are one: one becomes both, and the other goes, or is said to be the same.
        ([about(ROME, BOTH), about(OSLO)], [ANNA, ACME, BO, BOTH]),
        ([about(ROME, BOTH), about(","), about(OSLO)], [ANNA, ACME, BO, BOTH]),
        ([about(ROME, BOTH), about(OSLO, BOTH)], [ANNA, ACME, BO, BOTH]),
        # The same said twice, once with the place left open.
        ([about(BO, Answer("Bo Lind")), about(BO, BO_LIND)], [ANNA, ACME, BO_LIND, ROME, OSLO]),
        # A whole example, and a row of it that says the same.
        (
            [Decision("id-0", tuple(GIVEN), (ANNA, BO, ROME, LIMA)), about(ACME), about("Lima", LIMA)],
            [ANNA, BO, ROME, LIMA],
        ),
    ],
)  # fmt: skip
def test_decisions_about_places_leave_the_other_spans(decisions, expected):
    assert decided(*decisions) == expected
    assert decided(*reversed(decisions)) == expected
    # The data already follow them.
    assert decided(*decisions, given=expected) == expected


def test_adjacent_spans_of_one_class_stay_two():
    beside = [span("Anna", "PER"), Answer(" of", 4, "PER")]
    assert decided(about(beside[0], beside[0]), about(beside[1], beside[1]), given=beside) == beside
    assert decided(about(beside[1], Answer(" of Acme", 4, "PER")), given=beside) == [ANNA, Answer(" of Acme", 4, "PER")]


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([about(ACME, span("Acme", "ORG")), about(ACME)], "go together, found 'Acme' at 8 and no answer"),
        ([about("Lima", span("Lima", "LOC")), about("Lima")], "go together, found 'Lima' at 43 and no answer"),
        ([about(BO, span("Bo Lind", "PER")), about("Lind", span("Lind", "PER"))], "go together"),
        (
            [Decision("id-0", tuple(GIVEN), tuple(GIVEN)), about(ACME)],
            "go together, found .* and no answer; keep one of them",
        ),
        ([Decision("id-0", tuple(GIVEN), tuple(GIVEN)), about("Lima", span("Lima", "LOC"))], "go together"),
    ],
)
def test_decisions_that_contradict_each_other_are_refused(decisions, message):
    for ordered in (decisions, decisions[::-1]):
        with pytest.raises(ValueError, match="go together"):
            decided(*ordered)
    with pytest.raises(ValueError, match=message):
        decided(*decisions)


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (about(span("Lima", "LOC"), span("Lima", "ORG")), "expected 'Lima' at 43, as it was reviewed, found no answer"),
        (about("Acme"), "expected no answer, as it was reviewed, found 'Acme' at 8; the data has changed since"),
        (about("Acme met", span("met", "ORG")), "expected no answer, as it was reviewed, found 'Acme' at 8"),
        (about("Lima", span("Lima")), r"fill in correct_label with one of \['LOC', 'ORG', 'PER'\]"),
    ],
)
def test_decision_that_does_not_fit_says_why(decision, message):
    with pytest.raises(ValueError, match=message):
        decided(decision)


def test_span_that_reaches_into_a_place_is_not_the_one_that_was_not_there():
    """In the corrected data, too: "Rome" is "Rome, Oslo" now, and no span of its own is missing behind it."""
    longer = [ANNA, span("Rome, Oslo", "LOC")]
    assert decided(about(", Oslo"), about(OSLO), about(ROME, longer[1]), given=longer) == longer
    with pytest.raises(ValueError, match="expected no answer, as it was reviewed, found 'Rome, Oslo' at 28; the data"):
        decided(about("Rome, Oslo"), given=longer)


# What is known by them


def table_of(*answers: Answer) -> pd.DataFrame:
    row = example(0, "", CONTEXT, None)
    for name in CLASSES:
        part = answered(row, *(span.span for span in answers if span.class_name == name), name=name)
        row = row | {f"labels_{name}": part[f"labels_{name}"], f"pred_probs_{name}": row["pred_probs_ANS"]}
    del row["pred_probs_ANS"], row["labels_ANS"]
    columns = (("given_answer", 0), ("given_start", 1), ("given_label", 2))
    return pd.DataFrame([row | {name: [answer[at] for answer in answers] for name, at in columns}])


def test_known_spans_are_those_after_all_decisions_and_the_places_those_decided_about():
    made = [
        about(ACME, span("Acme", "ORG")),
        about(BO, span("Bo Lind")),
        about("Lima"),
        about("met", span("met", "ORG")),
    ]
    (known,) = known_answers(table_of(*GIVEN), made).values()
    assert known.right == {
        "LOC": [ROME.span, OSLO.span], "ORG": [ACME.span, span("met").span], "PER": [ANNA.span, BO_LIND.span],
    }  # fmt: skip
    # What the new border reaches has been decided as well.
    assert known.places == [ACME.span, span("met").span, BO.span, BO_LIND.span, LIMA.span]


def test_decision_about_a_whole_example_knows_all_of_it():
    whole = Decision("id-0", tuple(GIVEN), (ANNA,))
    expected = {0: Known({"LOC": [], "ORG": [], "PER": [ANNA.span]})}
    assert known_answers(table_of(*GIVEN), [about(ROME, ROME), whole]) == expected


def test_later_decision_about_the_same_place_wins_and_the_others_stay():
    made = [about(ACME), about(ROME), about(ACME, span("Acme", "ORG"))]
    (known,) = known_answers(table_of(*GIVEN), made).values()
    assert known.right == {"LOC": [OSLO.span], "ORG": [ACME.span], "PER": [ANNA.span, BO.span]}


def test_class_that_the_run_does_not_have_teaches_nothing():
    with pytest.warns(UserWarning, match=r"1 decisions do not fit .* found \['MISC'\]; a run on the corrected data"):
        assert known_answers(table_of(*GIVEN), [about(ACME, span("Acme", "MISC"))]) == {}


# A decision after another one

WHOLE = Decision("id-0", (ANNA, BO, ROME), (ANNA, span("Bo Lind", "PER"), span("Lima", "LOC")))


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        (about(ACME, span("Acme", "ORG")), about(ACME), []),
        (about(ACME, span("Acme", "ORG")), about(span("Acme", "ORG"), ACME), []),
        (about(ACME), about(ROME), [about(ACME)]),
        (about("Lima"), about("Lima", LIMA), []),
        (about("Lima", LIMA), about(LIMA), []),
        (about("Lima"), about("met"), [about("Lima")]),
        # The span that was missing at one place, and what stands at another.
        (about("Lima", LIMA), about(ROME), [about("Lima", LIMA)]),
        # What was removed is missing after all.
        (about(ROME), about("Rome", ROME), []),
        # A whole example after one of its places, and the other way round: what the new one is not about stays.
        (about(ACME), Decision("id-0", (ANNA,), (ANNA,)), []),
        (WHOLE, about(BO, BO), [about(ANNA, ANNA), about(ROME), about("Lima", LIMA)]),
        (WHOLE, about(span("Bo Lind", "PER")), [about(ANNA, ANNA), about(ROME), about("Lima", LIMA)]),
        (WHOLE, about(LIMA), [about(ANNA, ANNA), about(BO, span("Bo Lind", "PER")), about(ROME)]),
        (WHOLE, about("met"), [WHOLE]),
    ],
)
def test_new_decision_takes_the_place_of_old_ones_about_the_same(old, new, left):
    assert without_replaced([old], new) == left


# Any spans and decisions, with what they come to worked out word by word


@st.composite
def decided_words(draw) -> tuple[str, list[Answer], list[Decision], list[Answer]]:
    """A context, its given spans, decisions about some of them and about free places, and the right spans."""
    words = [f"w{number}" for number in range(draw(st.integers(1, 8)))]
    starts = [3 * number for number in range(len(words))]
    context, given, decisions, right = " ".join(words), [], [], []
    number = 0
    while number < len(words):
        size = draw(st.integers(1, min(3, len(words) - number)))
        text, at = context[starts[number] : starts[number] + 3 * size - 1], starts[number]
        answer = Answer(text, at, draw(st.sampled_from(CLASSES)))
        other = answer._replace(class_name=draw(st.sampled_from(CLASSES)))
        if draw(st.booleans()):
            given.append(answer)
            correct = draw(st.sampled_from([None, (), (answer,), (other,), (other._replace(text=text[:2]),)]))
            if correct is not None:
                decisions.append(Decision("id-0", (answer,), correct, place=answer.span))
            right += (answer,) if correct is None else correct
        else:
            correct = draw(st.sampled_from([None, (), (answer,)]))
            if correct is not None:
                decisions.append(Decision("id-0", (), correct, place=answer.span))
            right += correct or ()
        number += size
    return context, given, draw(st.permutations(decisions)), right


@settings(cases(150))
@given(case=decided_words())
def test_any_decisions_about_places_come_to_the_same_as_word_by_word(case):
    context, given_spans, decisions, right = case
    example = {"id": "id-0", "context": context, "answers": given_spans}
    assert with_decisions(example, decisions, CLASSES) == right
    # Once more, on the corrected data; and one after another.
    assert with_decisions(example | {"answers": right}, decisions, CLASSES) == right
    one_by_one = given_spans
    for decision in decisions:
        one_by_one = with_decisions(example | {"answers": one_by_one}, [decision], CLASSES)
    assert one_by_one == right
