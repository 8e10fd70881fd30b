"""Rankings of data whose errors are known."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from span_label_errors.quality.answer_model import AnswerModel
from span_label_errors.quality.candidates import AnswerFeatures
from text_strategies import span_of, word_tokens

from span_label_errors.quality import held_out, label_errors
from span_label_errors.quality.label_errors import (
    FewAnswersWarning,
    LabelErrors,
    estimated_share_wrong,
    find_label_errors,
)
from span_label_errors.quality.mistakes import MISTAKES
from span_label_errors.quality.scores import span_label_quality

# A data set

NAMES = "Anna Bruno Carla David Elena Felix Greta Hugo Irene Jonas Karin Lukas Maria Nils Olga Peter Rosa Simon".split()
CITIES = "Oslo Rome Lima Cairo Delhi Paris Berlin London Madrid Lisbon Vienna Prague Athens Dublin Warsaw".split()
THINGS = "school bridge museum hospital theatre library factory harbour castle".split()
COLUMNS = {
    "rank": "int64", "index": "int64", "id": "str", "label_quality": "float64", "is_issue": "bool",
    "question": "str", "given_answer": "str", "given_start": "Int64", "suggested_answer": "str",
    "suggested_start": "Int64", "suggestion_confidence": "float64", "checks": "str", "reasons": "str", "fold": "int64",
}  # fmt: skip


def paragraph(number: int) -> tuple[str, dict[str, str]]:
    """Return a context, and what the answers to its questions are."""
    who, other = f"{NAMES[number % 18]} Berg", f"{NAMES[(number + 7) % 18]} Lind"
    thing, city, year = THINGS[number % 9], CITIES[number % 15], str(1800 + 7 * number)
    context = (
        f"The old {thing} of {city} was built by {who} in {year}. Later {other} sold it to a rich merchant, "
        "and the people of the town never forgave him for this."
    )
    return context, {"Who built it?": who, "When was it built?": year, "Who sold it?": other}


def touched(row: dict, span: tuple[int, int] | None) -> np.ndarray:
    if span is None:
        return np.zeros(len(row["char_start"]), dtype=np.int64)
    return ((row["char_start"] < span[1]) & (row["char_end"] > span[0])).astype(np.int64)


def answered(row: dict, *spans: tuple[int, int], name: str = "ANS") -> dict:
    """Return a row with other answers of one class; probabilities stay."""
    labels = [touched(row, span) for span in spans]
    return {
        **row,
        "given_answer": [row["context"][slice(*span)] for span in spans],
        "given_start": [span[0] for span in spans],
        "given_label": [name] * len(spans),
        f"labels_{name}": np.max(labels, axis=0) if labels else touched(row, None),
    }


def probs_for(row: dict, span, rng: np.random.Generator) -> np.ndarray:
    """Out-of-fold probabilities of a model that sees a span, and elsewhere not much."""
    is_seen = touched(row, span)
    high, low = rng.uniform(0.6, 0.95, len(is_seen)), rng.uniform(0.01, 0.1, len(is_seen))
    return np.where(is_seen, high, low).astype(np.float32)


def example(number: int, question: str, context: str, seen, *spans) -> dict:
    """A row of a table; `seen` is where the model sees the answer, `spans` what is given."""
    char_start, char_end = word_tokens(context)
    row = {
        "id": f"id-{number}", "title": "Title", "question": question, "context": context, "fold": number % 3,
        "tokens": [context[start:end] for start, end in zip(char_start, char_end, strict=True)],
        "char_start": char_start, "char_end": char_end,
    }  # fmt: skip
    row["pred_probs_ANS"] = probs_for(row, seen, np.random.default_rng(number))
    return answered(row, *spans)


def right_rows(num_paragraphs: int = 20) -> list[dict]:
    """Three answered questions a paragraph, all of them right; the model sees them."""
    rows = []
    for number in range(num_paragraphs):
        context, answers = paragraph(number)
        for question, answer in answers.items():
            span = span_of(context, answer)
            rows.append(example(len(rows), question, context, span, span))
    return rows


MOVED = {4: "town", 19: "rich merchant", 33: "people", 52: "The old"}


@pytest.fixture(scope="module")
def rows():
    rows = right_rows()
    for number, text in MOVED.items():
        rows[number] = answered(rows[number], span_of(rows[number]["context"], text))
    return rows


@pytest.fixture(scope="module")
def found(rows):
    return find_label_errors(pd.DataFrame(rows))


def test_moved_answers_come_first_with_the_right_span_suggested(found, rows):
    assert set(found.issues["index"][:4]) == set(MOVED)
    assert found.issues["is_issue"][:4].all()
    by_index = found.issues.set_index("index").sort_index()
    for kind, expected in [("suggested", right_rows()), ("given", rows)]:
        assert by_index[f"{kind}_answer"].tolist() == [row["given_answer"][0] for row in expected]
        assert by_index[f"{kind}_start"].tolist() == [row["given_start"][0] for row in expected]
    # Clearly worse than the others.
    assert found.issues["label_quality"][3] < found.issues["label_quality"][4] - 0.05
    assert found.learned


def test_only_suspicious_answers_have_reasons(found):
    reasons = found.issues["reasons"]
    assert reasons[:4].str.startswith("looks ").all()
    assert reasons[:4].str.contains("the model finds its tokens unlikely").all()
    assert (reasons[found.issues["label_quality"] >= 0.9] == "").all()


def test_issues_are_as_documented(found, rows):
    issues = found.issues
    assert {name: str(dtype) for name, dtype in issues.dtypes.items()} == COLUMNS
    assert issues.index.tolist() == list(range(60))
    assert issues["rank"].tolist() == list(range(1, 61))
    assert sorted(issues["index"]) == list(range(60))
    assert issues["label_quality"].is_monotonic_increasing
    assert issues["label_quality"].between(0, 1, inclusive="neither").all()
    assert issues["suggestion_confidence"].between(0, 1).all()
    for line in issues.to_dict("records"):
        row = rows[line["index"]]
        assert [line[name] for name in ("id", "question", "fold")] == [row[name] for name in ("id", "question", "fold")]
        for kind in ("given", "suggested"):
            text, start = line[f"{kind}_answer"], line[f"{kind}_start"]
            assert row["context"][start : start + len(text)] == text != ""
    assert (issues["checks"] == "").all()


def test_same_table_and_seed_give_the_same(found, rows):
    table = pd.DataFrame(copy.deepcopy(rows))
    again = find_label_errors(table, seed=0)
    pd.testing.assert_frame_equal(again.issues, found.issues)
    assert again.estimated_wrong == found.estimated_wrong
    pd.testing.assert_frame_equal(table, pd.DataFrame(rows))  # left alone
    other = find_label_errors(table, seed=1).issues
    assert set(other["index"][:4]) == set(MOVED)
    assert other["label_quality"].tolist() != found.issues["label_quality"].tolist()


def test_mistakes_are_those_that_are_passed(rows):
    calls = []

    def watched(*arguments):
        calls.append(arguments)
        return MISTAKES["moved"](*arguments)

    one = find_label_errors(pd.DataFrame(rows), mistakes={"watched": watched})
    assert len(calls) == 60
    assert set(one.issues["index"][:4]) == set(MOVED)


# Where the list is cut


@pytest.fixture
def share(monkeypatch):
    """Sets the estimated share of wrong answers."""
    return lambda value: monkeypatch.setattr(label_errors, "estimated_share_wrong", lambda *_: value)


@pytest.mark.parametrize(
    ("value", "estimated", "used"),
    [(0.0, 0, 0.5 / 24), (1.7, 12, 0.5), (0.06, 1, 0.06), (0.064, 2, 0.064)],
)
def test_estimated_share_is_the_prior_and_cuts_the_list(share, rows, value, estimated, used):
    table = pd.DataFrame(rows[:24])
    share(0.5)
    without_prior = find_label_errors(table).issues
    share(value)
    found = find_label_errors(table)
    assert found.estimated_wrong == estimated
    assert type(found.estimated_wrong) is int
    assert found.issues["is_issue"].tolist() == [rank <= estimated for rank in range(1, 25)]
    assert found.issues["index"].tolist() == without_prior["index"].tolist()
    difference = logit(found.issues["label_quality"]) - logit(without_prior["label_quality"])
    assert difference.to_numpy() == pytest.approx(np.full(24, math.log((1 - used) / used)), abs=1e-6)


def test_cut_words_are_issues_wherever_they_stand(share, rows):
    changed = rows[:24]
    year, name = rows[7]["given_answer"][0], rows[6]["given_answer"][0]
    changed[7] = answered(rows[7], span_of(rows[7]["context"], year[:3]))  # the same token
    changed[6] = answered(rows[6], span_of(rows[6]["context"], f"{name} "))
    share(0.0)
    issues = find_label_errors(pd.DataFrame(changed)).issues.set_index("index")
    assert issues.loc[issues["checks"] != "", "checks"].to_dict() == {7: "cut_word", 6: "marks_at_edge"}
    assert issues.index[issues["is_issue"]].tolist() == [7]
    share(0.2)
    issues = find_label_errors(pd.DataFrame(changed)).issues
    assert set(issues.loc[issues["is_issue"], "index"]) == {*issues["index"][:5], 7}


# The share of wrong answers


def test_share_wrong_by_hand():
    """Below the thresholds, 3, 4 and 5, are 30, 40 and 50 % of the mistakes, and some of ten given answers."""
    mistakes, kinds = np.arange(1.0, 11.0)[::-1], np.array(["moved"] * 10)

    def estimate(*given: float) -> float:
        return estimated_share_wrong(np.array([*given, *[20.0] * (10 - len(given))]), mistakes, kinds)

    assert estimate() == 0
    assert estimate(0.0, 3.5) == pytest.approx((0.1 / 0.3 + 0.2 / 0.4 + 0.2 / 0.5) / 3)
    assert estimate(3.0, 4.0, 5.0) == pytest.approx((0.1 / 0.3 + 0.2 / 0.4 + 0.3 / 0.5) / 3)


def test_kinds_of_mistake_weigh_the_same_in_the_share():
    # Of the kind with 2 mistakes each is a quarter of all: both are below each threshold.
    mistakes, kinds = np.array([1.0, *range(11, 19), 2.0]), np.array(["few", *["many"] * 8, "few"])
    given = np.array([1.5, 5.0, 20.0, 30.0])
    expected = (0.25 / 0.3 + 0.25 / 0.4 + 0.25 / 0.5) / 3
    assert estimated_share_wrong(given, mistakes, kinds) == pytest.approx(expected)


# No paragraph is judged by what was learned from it


def test_models_judge_paragraphs_that_they_have_not_learned_from(monkeypatch, rows):
    models, judged = [], []

    class Watched(AnswerModel):
        def __init__(self, training, learned):
            super().__init__(training, learned)
            self.learned, self.judged = learned, []
            models.append(self)

        def log_odds(self, features, compared):
            self.judged += [*features, *compared]
            return super().log_odds(features, compared)

    monkeypatch.setattr(held_out, "AnswerModel", Watched)
    table = pd.DataFrame([*rows[:50], *(answered(row) for row in rows[50:])])
    find_label_errors(table)

    features = AnswerFeatures(table)
    training, answers = features.training_set()
    paragraph_of = {}  # by features; the probabilities' noise makes them differ
    for row, candidates in features.candidates():
        for values in (*candidates.given, *candidates.features):
            paragraph_of[values.tobytes()] = features.given_answers[row].paragraph
    for values, position in zip(training.mistakes, training.mistake_of, strict=True):
        paragraph_of[values.tobytes()] = features.given_answers[answers[position]].paragraph
    assert len(models) == 5
    for model in models:
        learned = {features.given_answers[answers[row]].paragraph for row in model.learned}
        of_model = {paragraph_of[values.tobytes()] for values in model.judged}
        assert not learned & of_model
        # It has learned from all the others.
        assert learned | of_model >= set(range(17))
        judged += of_model
    assert sorted(judged) == list(range(20))


# Several answers, none, several classes


@pytest.mark.parametrize("order", [1, -1])
def test_worst_of_several_answers_is_shown(rows, order):
    context, right = rows[8]["context"], rows[8]["given_answer"][0]
    spans = [span_of(context, right), span_of(context, "merchant")][::order]
    changed = [*rows[:8], answered(rows[8], *spans), *rows[9:]]
    line = find_label_errors(pd.DataFrame(changed)).issues.set_index("index").loc[8]
    assert (line["given_answer"], line["given_start"]) == ("merchant", context.index("merchant"))
    assert line["rank"] <= 5


def rows_with_unanswerable() -> tuple[list[dict], set[int], set[int]]:
    """Answered and unanswerable questions; three of the first have lost their answer, three of the others got one."""
    rows, lost, invented = right_rows()[:40], {5, 18, 31}, {44, 57, 73}
    for number in range(40):
        context, _ = paragraph(number % 14)
        rows.append(example(40 + number, f"Why number {number}?", context, None))
    rows = [answered(row) if number in lost else row for number, row in enumerate(rows)]
    for number in invented:
        rows[number] = answered(rows[number], span_of(rows[number]["context"], "the people"))
    return rows, lost, invented


def test_lost_and_invented_answers_come_first():
    rows, lost, invented = rows_with_unanswerable()
    found = find_label_errors(pd.DataFrame(rows))
    issues = found.issues
    assert set(issues["index"][:6]) == lost | invented
    unanswered = issues[issues["given_answer"] == ""]
    assert len(unanswered) == 40
    assert unanswered["given_start"].isna().all()
    assert set(unanswered["index"][:3]) == lost
    assert (unanswered["reasons"][:3] == "a span of the context looks like an answer").all()
    right, suggested = right_rows(), issues.set_index("index")["suggested_answer"]
    assert all(suggested[number] == right[number]["given_answer"][0] for number in lost)
    assert issues["label_quality"].between(0, 1, inclusive="neither").all()


def test_few_examples_without_an_answer_are_judged_by_probabilities(share, rows):
    share(0.5)  # a prior of 0
    changed = list(rows)
    for number in (0, 30):
        changed[number] = answered(rows[number])
        changed[number]["pred_probs_ANS"] = np.linspace(0.01, 0.4 - number / 100, len(rows[number]["tokens"]))
    issues = find_label_errors(pd.DataFrame(changed)).issues.set_index("index")
    expected = span_label_quality(
        [changed[number]["labels_ANS"] for number in (0, 30)], [changed[number]["pred_probs_ANS"] for number in (0, 30)]
    )
    assert issues.loc[[0, 30], "label_quality"].to_numpy() == pytest.approx(expected)
    assert expected[0] != pytest.approx(expected[1])


def rows_of_two_classes() -> list[dict]:
    """Who built it (PER) and where (LOC), both in one question; the model sees them."""
    rows, rng = [], np.random.default_rng(0)
    for number in range(24):
        context, answers = paragraph(number)
        spans = {"PER": span_of(context, answers["Who built it?"]), "LOC": span_of(context, CITIES[number % 15])}
        row = example(number, "Who built it, and where?", context, None)
        del row["pred_probs_ANS"], row["labels_ANS"]
        for name, span in spans.items():
            row |= {f"labels_{name}": touched(row, span), f"pred_probs_{name}": probs_for(row, span, rng)}
        row["given_answer"] = [context[slice(*span)] for span in spans.values()]
        row["given_start"], row["given_label"] = [span[0] for span in spans.values()], list(spans)
        rows.append(row)
    return rows


def test_several_classes():
    rows = rows_of_two_classes()
    for number, position, name, text in [(9, 1, "LOC", "town"), (17, 0, "PER", "people")]:
        span = span_of(rows[number]["context"], text)
        rows[number]["given_answer"][position], rows[number]["given_start"][position] = text, span[0]
        rows[number][f"labels_{name}"] = touched(rows[number], span)
    issues = find_label_errors(pd.DataFrame(rows)).issues
    assert len(issues) == 24
    assert set(issues["index"][:2]) == {9, 17}
    worst = issues[:2].set_index("index")
    # The class that is wrong is the one that is shown, and its own probabilities suggest.
    assert worst["given_answer"].to_dict() == {9: "town", 17: "people"}
    assert worst["suggested_answer"].to_dict() == {9: CITIES[9], 17: f"{NAMES[17]} Berg"}


# Too few answers


def few(rows: list[dict]):
    with pytest.warns(FewAnswersWarning) as caught:
        found = find_label_errors(pd.DataFrame(rows))
    (warning,) = caught
    assert warning.filename == __file__  # the line that calls
    assert not found.learned
    return found, str(warning.message)


def test_few_answers_are_scored_by_probabilities(rows):
    rows = [rows[number] for number in (4, 19, 33, 0, 1, 20)]
    rows[4] = answered(rows[4])  # the model sees an answer
    rows[5] = answered(example(20, "Why?", rows[5]["context"], None))  # and none
    rows[5]["pred_probs_ANS"] = np.full(len(rows[5]["tokens"]), 0.01)
    found, message = few(rows)
    assert message.startswith("expected at least 20 answers on more than one paragraph to learn from, found 4 on 4;")
    issues = found.issues.set_index("index").sort_index()
    expected = span_label_quality([row["labels_ANS"] for row in rows], [row["pred_probs_ANS"] for row in rows])
    assert issues["label_quality"].to_numpy() == pytest.approx(expected)
    assert found.estimated_wrong == (expected < 0.5).sum() == 4
    assert issues["is_issue"].tolist() == [True, True, True, False, True, False]
    right = [right_rows()[number]["given_answer"][0] for number in (4, 19, 33, 0, 1)]
    assert issues["suggested_answer"].tolist() == [*right, ""]
    assert issues["suggested_start"].isna().tolist() == [False] * 5 + [True]
    # P that a token of the suggestion is labelled; P that none is.
    probs = rows[3]["pred_probs_ANS"][rows[3]["labels_ANS"] == 1]
    assert issues.loc[3, "suggestion_confidence"] == pytest.approx(probs.mean())
    assert issues.loc[5, "suggestion_confidence"] == pytest.approx(0.99 ** len(rows[5]["tokens"]))


def test_cut_word_divides_the_odds_by_ten(rows):
    start, end = span_of(rows[0]["context"], rows[0]["given_answer"][0])
    row = answered(rows[0], (start, end - 1))  # the same tokens
    row["pred_probs_ANS"] = np.full(len(row["tokens"]), 0.3)
    (before,) = span_label_quality([row["labels_ANS"]], [row["pred_probs_ANS"]])
    (issue,) = few([row])[0].issues.to_dict("records")
    assert issue["label_quality"] / (1 - issue["label_quality"]) == pytest.approx(before / (1 - before) / 10)
    assert (issue["checks"], issue["is_issue"]) == ("cut_word", True)
    assert issue["reasons"] == "the answer begins or ends inside a word or a number"


def test_twenty_answers_on_two_paragraphs_are_enough():
    rows = right_rows(2)
    twenty = [{**rows[number % 6], "question": f"{number}?"} for number in range(20)]
    assert find_label_errors(pd.DataFrame(twenty)).learned
    few(twenty[1:])
    few([*twenty[1:], answered(twenty[0])])
    # All on one paragraph, however many.
    _, message = few([{**rows[number % 3], "question": f"{number}?"} for number in range(30)])
    assert "on more than one paragraph to learn from, found 30 on 1;" in message


# Tables that cannot be used


@pytest.mark.parametrize("name", ["id", "context", "given_label", "char_end", "labels_ANS"])
def test_missing_column_is_named(rows, name):
    with pytest.raises(ValueError, match=rf"found none named \['{name}'\]; run the training notebook"):
        find_label_errors(pd.DataFrame(rows).drop(columns=name))


def test_invalid_arrays_of_a_table_are_named(rows):
    probs, labels = rows[7]["pred_probs_ANS"], rows[7]["labels_ANS"]
    for columns, message in [
        ({"pred_probs_ANS": np.append(probs[:-1], np.nan)}, "example 7: expected pred_probs from 0 to 1, found nan"),
        ({"labels_ANS": labels[:-1]}, f"example 7: expected {len(probs)} labels, one a token, found {len(probs) - 1}"),
        ({"labels_ANS": labels[:0], "pred_probs_ANS": probs[:0], "char_start": labels[:0]}, "example 7: .* one token"),
    ]:
        with pytest.raises(ValueError, match=message):
            find_label_errors(pd.DataFrame([*rows[:7], {**rows[7], **columns}, *rows[8:]]))


# Data that teaches one of the models nothing


def test_answers_that_all_fall_into_one_part():
    unanswered = [answered(row) for row in right_rows(5)[::3] for _ in range(30)][:130]  # four of 30 and one of 10
    rows = [*unanswered, *(row for row in right_rows(7)[15::3] for _ in range(10))]
    assert len(find_label_errors(pd.DataFrame(rows)).issues) == 150


def test_no_mistake_is_possible_anywhere():
    rows = [
        example(number, "Which?", character, (0, 1), (0, 1))
        for number, character in enumerate("東京都大阪府奈良県" * 3)
    ]
    assert len(few(rows)[0].issues) == 27


def test_label_quality_is_given_in_the_order_of_the_data():
    issues = pd.DataFrame({"index": [2, 0, 1], "label_quality": [0.1, 0.2, 0.3]})
    assert LabelErrors(issues, 1, True).label_quality().tolist() == [0.2, 0.3, 0.1]
