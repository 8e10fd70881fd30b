"""What decisions say about given answers."""

import pandas as pd
import pytest
from answer_tables import answered, answered_with, example
from text_strategies import span_of

from span_label_errors.quality.sites import NO_SPAN, GivenAnswer
from span_label_errors.review.decided import CONFIRMED, CORRECTED, Answer, Decision, KnownExample, known_examples

CONTEXT = "Anna met Bo in Rome, and Bo left Anna in Oslo"
ANNA, BO, ROME, OSLO = ((span_of(CONTEXT, text), "ANS") for text in ("Anna", "Bo", "Rome", "Oslo"))


def answer(text: str, occurrence: int = 0, class_name: str | None = None) -> Answer:
    return Answer(text, span_of(CONTEXT, text, occurrence)[0], class_name)


def known_of(given: tuple[str, ...], *decisions: tuple[tuple[Answer, ...], tuple[Answer, ...]]) -> KnownExample | None:
    """What decisions, as (given, correct), say about an example with these given answers."""
    other = example(0, "Who?", "Nobody", None)
    row = answered_with(example(1, "Who?", CONTEXT, None), *given)
    made = [Decision("id-1", *decision) for decision in decisions]
    known = known_examples(pd.DataFrame([other, row]), made)
    assert set(known) <= {1}
    return known.get(1)


@pytest.mark.parametrize(
    ("given", "decision", "expected"),
    [
        (("Anna",), ((answer("Anna"),), (answer("Anna"),)), (CONFIRMED, (ANNA,), (ANNA,))),
        # Of an earlier round: the data have been corrected since.
        (("Anna",), ((answer("Bo"),), (answer("Anna"),)), (CONFIRMED, (ANNA,), (ANNA,))),
        (("Anna",), ((), (answer("Anna"),)), (CONFIRMED, (ANNA,), (ANNA,))),
        ((), ((answer("Bo"),), ()), (CONFIRMED, (), ())),
        ((), ((), ()), (CONFIRMED, (), ())),
        (("Anna",), ((answer("Anna"),), (answer("Bo"),)), (CORRECTED, (ANNA,), (BO,))),
        (("Anna",), ((answer("Anna"),), ()), (CORRECTED, (ANNA,), ())),
        ((), ((), (answer("Rome"),)), (CORRECTED, (), (ROME,))),
        # One of several answers was under review; the other one stays.
        (("Anna", "Bo"), ((answer("Anna"),), (answer("Anna"),)), (CONFIRMED, (ANNA, BO), (ANNA, BO))),
        (("Anna", "Bo"), ((answer("Anna"),), (answer("Rome"),)), (CORRECTED, (ANNA, BO), (BO, ROME))),
        (("Anna", "Bo"), ((answer("Anna"),), ()), (CORRECTED, (ANNA, BO), ())),
        # What stands at one place of the context needs no offset.
        (("Anna",), ((answer("Anna"),), (Answer("Oslo"),)), (CORRECTED, (ANNA,), (OSLO,))),
        (("Anna",), ((answer("Anna", 0, "ANS"),), (answer("Bo", 0, "ANS"),)), (CORRECTED, (ANNA,), (BO,))),
    ],
)
@pytest.mark.filterwarnings("error")
def test_decision_by_hand(given, decision, expected):
    assert known_of(given, decision) == KnownExample(*expected)


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        (("Anna",), ((answer("Bo"),), (answer("Rome"),))),  # neither what was replaced, nor what is right
        (("Anna",), ((answer("Anna", 1),), (answer("Rome"),))),  # another place
        (("Anna",), ((answer("Anna"),), (Answer("Bo"),))),  # which of the two?
        (("Anna",), ((answer("Anna"),), (Answer("Peter"),))),  # nowhere
        (("Anna",), ((answer("Anna"),), (Answer("Bo", 10),))),  # not there
        (("Anna",), ((answer("Anna", 0, "PER"),), (answer("Bo", 0, "PER"),))),  # another class
    ],
)
def test_decision_that_does_not_fit_is_named(given, decision):
    with pytest.warns(UserWarning, match=r"1 decisions fit no example of these 2, .* first: 'id-1'; take decisions"):
        assert known_of(given, decision) is None


def test_all_decisions_that_do_not_fit_are_one_warning():
    row = answered_with(example(1, "Who?", CONTEXT, None), "Anna")
    made = [Decision(name, (answer("Anna"),), (answer("Anna"),)) for name in ("lost", "id-1", "gone")]
    with pytest.warns(UserWarning, match="2 decisions fit no example of these 1, .* first: 'lost'") as caught:
        known = known_examples(pd.DataFrame([row]), made)
    assert len(caught) == 1
    assert list(known) == [0]


def test_later_decisions_win():
    first, second = ((answer("Anna"),), (answer("Bo"),)), ((answer("Anna"),), (answer("Anna"),))
    assert known_of(("Anna",), first, second).decision == CONFIRMED
    assert known_of(("Anna",), second, first).decision == CORRECTED


def rows_of_classes(*given: tuple[str, str]) -> pd.DataFrame:
    row = example(0, "Who?", CONTEXT, None)
    del row["pred_probs_ANS"], row["labels_ANS"]
    for name in ("PER", "LOC"):
        spans = [span_of(CONTEXT, text) for text, of_answer in given if of_answer == name]
        part = answered(row, *spans, name=name)
        row[f"labels_{name}"] = row[f"pred_probs_{name}"] = part[f"labels_{name}"]
    row["given_answer"], row["given_label"] = ([pair[position] for pair in given] for position in (0, 1))
    row["given_start"] = [CONTEXT.index(text) for text, _ in given]
    return pd.DataFrame([row])


def test_class_of_a_correct_answer_is_that_of_the_answer_under_review():
    table = rows_of_classes(("Anna", "PER"), ("Rome", "LOC"))
    known = known_examples(table, [Decision("id-0", (answer("Anna", 0, "PER"),), (answer("Bo"),))])
    assert known[0].correct == ((ROME[0], "LOC"), (BO[0], "PER"))


def test_class_that_is_not_known_does_not_fit():
    table = rows_of_classes(("Anna", "PER"), ("Rome", "LOC"))
    with pytest.warns(UserWarning, match="1 decisions fit no example"):
        assert known_examples(table, [Decision("id-0", (), (answer("Bo"),))]) == {}


# What is right in the place of one given answer


def right_in_place_of(span, given: tuple, correct: tuple, class_name: str = "ANS"):
    known = KnownExample(CORRECTED, given, correct)
    return known.right_answer(GivenAnswer(0, class_name, span, 0))


def test_right_answer_in_place_of_the_only_one():
    assert right_in_place_of(ANNA[0], (ANNA,), (BO,)) == BO[0]
    assert right_in_place_of(ANNA[0], (ANNA,), ()) == NO_SPAN
    assert right_in_place_of(NO_SPAN, (), (ROME,)) == ROME[0]
    assert right_in_place_of(ANNA[0], (ANNA,), (ANNA,)) == ANNA[0]
    assert right_in_place_of(NO_SPAN, (), ()) == NO_SPAN


def test_right_answer_in_place_of_one_of_several():
    longer = (span_of(CONTEXT, "Bo in Rome"), "ANS")
    # Anna was wrong, Bo is too short.
    given, correct = (ANNA, BO), (OSLO, longer)
    assert right_in_place_of(BO[0], given, correct) == longer[0]
    assert right_in_place_of(ANNA[0], given, correct) == OSLO[0]
    # Nothing is right instead of Anna: what is right stands where Bo was given.
    assert right_in_place_of(ANNA[0], given, (longer,)) == NO_SPAN
    assert right_in_place_of(BO[0], given, (BO,)) == BO[0]


def test_answers_of_another_class_are_not_right_in_its_place():
    person, place = (ANNA[0], "PER"), (ROME[0], "LOC")
    assert right_in_place_of(OSLO[0], (person, (OSLO[0], "LOC")), (person, place), "LOC") == ROME[0]
    assert right_in_place_of(BO[0], ((BO[0], "PER"),), (place,), "PER") == NO_SPAN
