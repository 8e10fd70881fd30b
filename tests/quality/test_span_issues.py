"""Label errors of data where every span is labelled: of each span, and of those that are missing."""

import numpy as np
import pandas as pd
import pytest
from answer_tables import CITIES, NAMES, example, touched
from text_strategies import span_of

from span_label_errors.quality.label_errors import FewAnswersWarning, find_label_errors
from span_label_errors.quality.sites import Known
from span_label_errors.quality.span_sites import labels_every_span

CLASSES = ("LOC", "PER")


def sentence(number: int) -> tuple[str, list[tuple[str, str]]]:
    """Return a sentence, and its spans with their classes."""
    who, city = f"{NAMES[number % 18]} Berg", CITIES[number % 15]
    return f"In {city} the mayor met {who} on day {number}.", [("LOC", city), ("PER", who)]


def row(number: int, given: list[tuple[str, str]] | None = None, question: str = "") -> dict:
    """An example whose model sees what is right, with what is given, or else what is right."""
    context, right = sentence(number)
    made = example(number, question, context, None, fold=number % 3)
    del made["pred_probs_ANS"], made["labels_ANS"]
    rng, given = np.random.default_rng(number), right if given is None else given
    made |= {"given_answer": [], "given_start": [], "given_label": []}
    for name in CLASSES:
        sees = np.max([touched(made, span_of(context, text)) for of, text in right if of == name], axis=0)
        high, low = rng.uniform(0.99, 0.9999, len(sees)), rng.uniform(0.0001, 0.001, len(sees))
        made[f"pred_probs_{name}"] = np.where(sees, high, low).astype(np.float32)
        spans = [touched(made, span_of(context, text)) for of, text in given if of == name]
        made[f"labels_{name}"] = np.max(spans, axis=0) if spans else touched(made, None)
    for name, text in given:
        made["given_answer"].append(text)
        made["given_start"].append(context.index(text))
        made["given_label"].append(name)
    return made


# What is given of the sentences that have a mistake, by number.
MISTAKES = {
    4: [("LOC", "Delhi"), ("LOC", "Elena Berg")],  # another class
    9: [("PER", "Lisbon"), ("PER", "Jonas Berg")],  # another class
    17: [("LOC", "Lima"), ("PER", "Simon")],  # cut short
    23: [("PER", "Felix Berg")],  # one is missing
    31: [("LOC", "Rome"), ("PER", "Nils Berg"), ("PER", "mayor")],  # nothing to label
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.DataFrame([row(number, MISTAKES.get(number)) for number in range(45)])


@pytest.fixture(scope="module")
def issues(table) -> pd.DataFrame:
    return find_label_errors(table).issues


def test_rows_are_given_spans_and_places_where_one_may_be_missing(table, issues):
    assert issues.columns.tolist() == [
        "rank", "index", "id", "label_quality", "is_issue", "question", "given_answer", "given_start", "given_label",
        "suggested_answer", "suggested_start", "suggested_label", "suggestion_confidence", "reason", "evidence",
        "checks", "decision", "fold", "place_start", "place_end", "example_quality",
    ]  # fmt: skip
    given = issues[issues["given_label"] != ""]
    of_table = {
        (index, text, start, name)
        for index, of_row in table.iterrows()
        for text, start, name in zip(of_row.given_answer, of_row.given_start, of_row.given_label, strict=True)
    }
    assert set(given[["index", "given_answer", "given_start", "given_label"]].itertuples(index=False)) == of_table
    assert (given["place_start"] == given["given_start"]).all()
    assert (given["place_end"] - given["place_start"] == given["given_answer"].str.len()).all()
    missing = issues[issues["given_label"] == ""]
    assert missing["given_start"].isna().all()
    (of_23,) = missing[missing["index"] == 23].itertuples()
    assert table["context"][23][of_23.place_start : of_23.place_end] == "Madrid"


def test_each_kind_of_mistake_is_found_with_its_suggestion(issues):
    worst = issues.head(5).set_index("index")[["given_answer", "suggested_answer", "suggested_label", "reason"]]
    assert {index: tuple(values) for index, *values in worst.itertuples()} == {
        4: ("Elena Berg", "Elena Berg", "PER", "probably another class"),
        9: ("Lisbon", "Lisbon", "LOC", "probably another class"),
        17: ("Simon", "", "", "probably begins or ends elsewhere"),  # not sure enough to suggest what is right
        23: ("", "Madrid", "LOC", "a span is probably missing"),
        31: ("mayor", "[no answer]", "", "probably nothing to label"),
    }
    assert issues["is_issue"].tolist() == [True] * 4 + [False] * (len(issues) - 4)


def test_evidence_is_about_what_is_given_and_the_text(issues):
    evidence = issues.head(5).set_index("index")["evidence"]
    assert evidence[9] == "the model finds its tokens unlikely; elsewhere this text has another class"
    # Nothing speaks of the words of a span that is not there.
    assert evidence[23] == "the model finds a likely token; elsewhere this text is labelled"
    assert evidence[31].split("; ")[-1] == "it begins in lower case"


def test_quality_of_an_example_is_the_probability_that_nothing_in_it_is_wrong(table):
    found = find_label_errors(table)
    product = found.issues.groupby("index")["label_quality"].prod()
    assert found.label_quality() == pytest.approx(product.to_numpy())
    assert found.issues["example_quality"].to_numpy() == pytest.approx(product[found.issues["index"]].to_numpy())
    assert found.estimated_wrong == pytest.approx((1 - found.issues["label_quality"]).sum())


def test_example_without_a_span_and_without_a_place_has_one_row(table):
    empty = {**row(45, []), "context": "It was late ."}
    rows = [*table.to_dict("records"), empty]
    for name in CLASSES:
        empty[f"pred_probs_{name}"], empty[f"labels_{name}"] = np.full(4, 0.001, np.float32), np.zeros(4, int)
    empty["char_start"], empty["char_end"] = np.array([0, 3, 7, 12]), np.array([2, 6, 11, 13])
    (of_empty,) = find_label_errors(pd.DataFrame(rows)).issues.query("index == 45").itertuples()
    assert (of_empty.given_answer, of_empty.suggested_answer, of_empty.label_quality) == ("", "", 1.0)


def test_data_without_a_span_and_without_a_place_have_rows_but_no_estimate():
    rows = [row(number, []) for number in range(3)]
    for of_example in rows:
        of_example |= {f"pred_probs_{name}": np.full(len(of_example["tokens"]), 0.001, np.float32) for name in CLASSES}
    with pytest.warns(FewAnswersWarning, match="found 0 on 0"):
        found = find_label_errors(pd.DataFrame(rows))
    assert found.issues["label_quality"].tolist() == [1.0, 1.0, 1.0]
    assert found.issues["index"].tolist() == [0, 1, 2]
    assert found.estimated_wrong is None


def test_decision_holds_in_its_place_alone(table):
    context = table["context"][9]
    place = span_of(context, "Lisbon")
    known = {9: Known({"LOC": [place], "PER": [span_of(context, "Jonas Berg")]}, [place])}
    of_9 = find_label_errors(table, known=known).issues.query("index == 9").set_index("given_answer")
    assert of_9.loc["Lisbon", ["decision", "label_quality"]].tolist() == ["corrected", 0.0]
    assert of_9.loc["Jonas Berg", "decision"] == ""
    whole = {9: Known({"LOC": [], "PER": [place, span_of(context, "Jonas Berg")]})}
    of_9 = find_label_errors(table, known=whole).issues.query("index == 9")
    assert set(of_9["decision"]) == {"confirmed"}


def test_what_is_missing_can_be_known(table):
    place = span_of(table["context"][23], "Madrid")
    is_added = {23: Known({"LOC": [place], "PER": [span_of(table["context"][23], "Felix Berg")]}, [place])}
    is_nothing = {23: Known({"LOC": [], "PER": [span_of(table["context"][23], "Felix Berg")]}, [place])}
    for known, decision in ((is_added, "corrected"), (is_nothing, "confirmed")):
        of_place = find_label_errors(table, known=known).issues.query("index == 23 and given_answer == ''")
        assert of_place["decision"].tolist() == [decision]


def test_few_spans_flag_nothing(table):
    with pytest.warns(FewAnswersWarning):
        found = find_label_errors(table.head(12))
    assert found.estimated_wrong is None
    assert not found.issues["is_issue"].any()


# Which data label every span


def test_data_without_questions_or_with_several_classes_label_every_span(table):
    assert labels_every_span(table)
    assert labels_every_span(table.assign(question="Who is it, and where?"))
    one_class = table.drop(columns=["pred_probs_LOC", "labels_LOC"])
    one_class["given_answer"] = [
        [text for text, name in zip(texts, names, strict=True) if name == "PER"]
        for texts, names in zip(table["given_answer"], table["given_label"], strict=True)
    ]
    one_class["given_start"] = [
        [start for start, name in zip(starts, names, strict=True) if name == "PER"]
        for starts, names in zip(table["given_start"], table["given_label"], strict=True)
    ]
    one_class["given_label"] = [["PER"] * len(texts) for texts in one_class["given_answer"]]
    assert labels_every_span(one_class)
    assert not labels_every_span(one_class.assign(question="Who is it?"))


@pytest.mark.parametrize(
    ("several", "num_single", "expected"),
    [
        (["Rome", "Olga"], 4, True),  # one of five
        (["Rome", "Olga"], 5, False),
        (["Rome the", "the mayor"], 0, False),  # two ways to mark one answer
        ([], 3, False),
    ],
)
def test_questions_with_answers_apart_in_a_fifth_of_the_examples_label_every_span(several, num_single, expected):
    context = "In Rome the mayor met Olga"

    def answers(*texts: str) -> dict:
        starts = [context.index(text) for text in texts]
        return {
            "question": "Who?", "context": context, "given_answer": list(texts), "given_start": starts,
            "given_label": ["ANS"] * len(texts), "pred_probs_ANS": [0.5],
        }  # fmt: skip

    # Examples without an answer do not count.
    table = pd.DataFrame([answers(*several), *[answers("Rome")] * num_single, *[answers()] * 9])
    assert labels_every_span(table) == expected
