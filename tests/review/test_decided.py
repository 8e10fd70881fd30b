"""What decisions say about the answers of a data set."""

import pandas as pd
import pytest
from answer_tables import answered, answered_with, example
from text_strategies import span_of

from span_label_errors.quality.sites import Known
from span_label_errors.review.decided import Answer, Decision, known_answers

CONTEXT = "Anna met Bo in Rome, and Bo left Anna in Oslo"
ANNA, BO, ROME, OSLO = (span_of(CONTEXT, text) for text in ("Anna", "Bo", "Rome", "Oslo"))


def answer(text: str, occurrence: int = 0, class_name: str | None = None) -> Answer:
    return Answer(text, span_of(CONTEXT, text, occurrence)[0], class_name)


def known_of(given: tuple[str, ...], *decisions: tuple[tuple[Answer, ...], tuple[Answer, ...]]) -> Known | None:
    """The right answers of an example with these given answers, by decisions as (given, correct)."""
    other = example(0, "Who?", "Nobody", None)
    row = answered_with(example(1, "Who?", CONTEXT, None), *given)
    made = [Decision("id-1", *decision) for decision in decisions]
    known = known_answers(pd.DataFrame([other, row]), made)
    assert set(known) <= {1}
    return known.get(1)


@pytest.mark.parametrize(
    ("given", "decision", "expected"),
    [
        (("Anna",), ((answer("Anna"),), (answer("Anna"),)), [ANNA]),
        # Of an earlier round: the data have been corrected since.
        (("Anna",), ((answer("Bo"),), (answer("Anna"),)), [ANNA]),
        (("Anna",), ((), (answer("Anna"),)), [ANNA]),
        ((), ((answer("Bo"),), ()), []),
        ((), ((), ()), []),
        (("Anna",), ((answer("Anna"),), (answer("Bo"),)), [BO]),
        (("Anna",), ((answer("Anna"),), ()), []),
        ((), ((), (answer("Rome"),)), [ROME]),
        # One of several answers was under review; the other one stays.
        (("Anna", "Bo"), ((answer("Anna"),), (answer("Anna"),)), [ANNA, BO]),
        (("Anna", "Bo"), ((answer("Anna"),), (answer("Rome"),)), [BO, ROME]),
        (("Anna", "Bo"), ((answer("Anna"),), ()), []),
        # What stands at one place of the context needs no offset.
        (("Anna",), ((answer("Anna"),), (Answer("Oslo"),)), [OSLO]),
        # Of several places, it is the one that overlaps what it replaces.
        (("Anna met",), ((answer("Anna met"),), (Answer("Anna"),)), [ANNA]),
        (("Anna",), ((answer("Anna", 0, "ANS"),), (answer("Bo", 0, "ANS"),)), [BO]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_decision_by_hand(given, decision, expected):
    assert known_of(given, decision) == Known({"ANS": sorted(expected)})


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        (("Anna",), ((answer("Bo"),), (answer("Rome"),))),  # neither what was replaced, nor what is right
        (("Anna",), ((answer("Anna", 1),), (answer("Rome"),))),  # another place
        (("Anna",), ((answer("Anna"),), (Answer("Bo"),))),  # which of the two?
        (("Anna",), ((answer("Anna"),), (Answer("Peter"),))),  # nowhere
        (("Anna",), ((answer("Anna"),), (Answer("Bo", 10),))),  # not there
        (("Anna",), ((answer("Anna"),), (Answer("Osl", -4),))),  # before the context
        (("Anna",), ((answer("Anna"),), (Answer("", 5),))),  # an answer without text
        # The question had no answer then.
        (("Anna",), ((), ())),
        (("Anna",), ((), (answer("Bo"),))),
        (("Anna",), ((answer("Anna", 0, "PER"),), (answer("Bo", 0, "PER"),))),  # another class
    ],
)
def test_decision_that_does_not_fit_is_named(given, decision):
    with pytest.warns(UserWarning, match=r"1 decisions do not fit these 2 examples, .* first: 'id-1': expected"):
        assert known_of(given, decision) is None


def test_slip_in_a_correct_answer_is_said_and_not_taken_for_another_data_set():
    with pytest.warns(UserWarning) as caught:
        known_of(("Anna",), ((answer("Anna"),), (Answer("Peter"),)))
    assert str(caught[0].message) == (
        "1 decisions do not fit these 2 examples, so they teach nothing, first: 'id-1': expected the correct answer "
        "'Peter' in the context, found it nowhere; copy it from the context"
    )


def test_all_decisions_that_do_not_fit_are_one_warning():
    row = answered_with(example(1, "Who?", CONTEXT, None), "Anna")
    made = [Decision(name, (answer("Anna"),), (answer("Anna"),)) for name in ("lost", "id-1", "gone")]
    expected = "2 decisions do not fit these 1 examples, .* first: 'lost': no example has this id; take decisions"
    with pytest.warns(UserWarning, match=expected) as caught:
        known = known_answers(pd.DataFrame([row]), made)
    assert len(caught) == 1
    assert list(known) == [0]


def test_later_decisions_win():
    first, second = ((answer("Anna"),), (answer("Bo"),)), ((answer("Anna"),), (answer("Anna"),))
    assert known_of(("Anna",), first, second) == Known({"ANS": [ANNA]})
    assert known_of(("Anna",), second, first) == Known({"ANS": [BO]})


@pytest.mark.parametrize(
    ("decisions", "right", "places"),
    [
        # One annotator's answer is right; what that says of the others is the judge's to say.
        ([("Anna", "Anna")], [ANNA, ANNA, BO], [ANNA]),
        ([("Bo", "Bo")], [ANNA, ANNA, BO], [BO]),
        # Another has given what is right.
        ([("Bo", "Anna")], [ANNA, ANNA], [ANNA, BO]),
        ([("Bo", "Anna"), ("Anna", "Anna")], [ANNA, ANNA], [ANNA, BO]),
        ([("Anna", "Anna"), ("Bo", "Anna")], [ANNA, ANNA], [ANNA, BO]),
        ([("Bo", "Rome")], [ANNA, ANNA, ROME], [BO, ROME]),
        ([("Bo", "Rome"), ("Anna", "Rome")], [ROME], [ANNA, BO, ROME]),
        ([("Bo", None)], [], None),
        # Later decisions about an answer win.
        ([("Bo", "Rome"), ("Bo", "Anna")], [ANNA, ANNA], [ANNA, BO]),
        ([("Bo", None), ("Bo", "Bo")], [ANNA, ANNA, BO], [BO]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_decisions_about_several_annotators_answers(decisions, right, places):
    row = answered(example(0, "Who?", CONTEXT, None), ANNA, ANNA, BO) | {"given_annotator": ["", "", ""]}
    made = [
        Decision("id-0", (answer(given),), () if correct is None else (Answer(correct, CONTEXT.index(correct)),))
        for given, correct in decisions
    ]
    (known,) = known_answers(pd.DataFrame([row]), made).values()
    assert known == Known({"ANS": sorted(set(right))}, places if places is None else sorted(places))


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
    known = known_answers(table, [Decision("id-0", (answer("Anna", 0, "PER"),), (answer("Bo"),))])
    assert known == {0: Known({"PER": [BO], "LOC": [ROME]})}


def test_class_that_is_not_known_does_not_fit():
    table = rows_of_classes(("Anna", "PER"), ("Rome", "LOC"))
    with pytest.warns(UserWarning, match="1 decisions do not fit"):
        assert known_answers(table, [Decision("id-0", (), (answer("Bo"),))]) == {}
