"""The list of label errors: rankings of data whose errors are known, and what each column says."""

import copy

import numpy as np
import pandas as pd
import pytest
from answer_tables import (
    MOVED,
    answered,
    answered_with,
    example,
    moved_rows,
    paragraph,
    right_rows,
    touched,
)
from text_strategies import span_of

from span_label_errors.quality.label_errors import NO_ANSWER, FewAnswersWarning, LabelErrors, find_label_errors
from span_label_errors.quality.sites import Known

COLUMNS = {
    "rank": "int64", "index": "int64", "id": "str", "label_quality": "float64", "is_issue": "bool",
    "question": "str", "given_answer": "str", "given_start": "Int64", "suggested_answer": "str",
    "suggested_start": "Int64", "suggestion_confidence": "float64", "reason": "str", "evidence": "str", "checks": "str",
    "decision": "str", "fold": "int64",
}  # fmt: skip


def by_index(rows: list[dict], **options) -> pd.DataFrame:
    return find_label_errors(pd.DataFrame(rows), **options).issues.set_index("index").sort_index()


@pytest.fixture(scope="module")
def rows():
    return moved_rows()


@pytest.fixture(scope="module")
def found(rows):
    return find_label_errors(pd.DataFrame(rows))


def test_moved_answers_come_first_by_far(found):
    assert set(found.issues["index"][:4]) == set(MOVED)
    assert found.issues["label_quality"][3] < 0.7
    assert found.issues["label_quality"][4] > 0.99


def test_issues_are_as_documented(found, rows):
    issues = found.issues
    assert {name: str(dtype) for name, dtype in issues.dtypes.items()} == COLUMNS
    assert issues.index.tolist() == list(range(60))
    assert issues["rank"].tolist() == list(range(1, 61))
    assert sorted(issues["index"]) == list(range(60))
    assert issues["label_quality"].is_monotonic_increasing
    assert issues["label_quality"].between(0, 1, inclusive="neither").all()
    assert (issues["is_issue"] == (issues["label_quality"] < 0.5)).all()
    assert issues["is_issue"].any()
    for line in issues.to_dict("records"):
        row = rows[line["index"]]
        assert [line[name] for name in ("id", "question", "fold")] == [row[name] for name in ("id", "question", "fold")]
        assert [line["given_answer"]] == row["given_answer"]
        assert [line["given_start"]] == row["given_start"]
    assert (issues["checks"] == "").all()
    assert (issues["decision"] == "").all()


def test_estimate_is_the_sum_of_what_is_missing_to_the_qualities(found):
    assert found.estimated_wrong == pytest.approx((1 - found.issues["label_quality"]).sum())
    # Not far from the four, of which two are likely enough and two half so.
    assert 2 < found.estimated_wrong < 4


def test_suggestions_stand_where_they_are_likely(found):
    """Where they stand they are right, and are no likelier than the given answer is wrong."""
    issues, right = found.issues, right_rows()
    has_one = issues["suggested_answer"] != ""
    assert set(issues.loc[has_one, "index"]) == {4, 19}
    for line in issues[has_one].to_dict("records"):
        row = right[line["index"]]
        assert ([line["suggested_answer"]], [line["suggested_start"]]) == (row["given_answer"], row["given_start"])
        assert 0.5 <= line["suggestion_confidence"] <= 1 - line["label_quality"]
    assert issues.loc[~has_one, ["suggested_start", "suggestion_confidence"]].isna().all(axis=None)


def test_threshold_cuts_the_list_and_nothing_else(found, rows):
    quality = found.issues["label_quality"]
    for threshold, num_issues in [(0, 0), (quality[1], 1), (quality[3] + 0.01, 4), (1, 60)]:
        other = find_label_errors(pd.DataFrame(rows), threshold=threshold)
        assert other.issues["is_issue"].tolist() == [rank <= num_issues for rank in range(1, 61)]
        assert other.estimated_wrong == found.estimated_wrong
        pd.testing.assert_frame_equal(other.issues.drop(columns="is_issue"), found.issues.drop(columns="is_issue"))


def test_same_table_and_seed_give_the_same(found, rows):
    table = pd.DataFrame(copy.deepcopy(rows))
    again = find_label_errors(table, seed=0)
    pd.testing.assert_frame_equal(again.issues, found.issues, check_exact=True)
    assert again.estimated_wrong == found.estimated_wrong
    pd.testing.assert_frame_equal(table, pd.DataFrame(rows))  # left alone
    other = find_label_errors(table, seed=1).issues
    assert set(other["index"][:4]) == set(MOVED)


def test_progress_is_shown_and_cleared_at_the_end(rows):
    shown = []
    find_label_errors(pd.DataFrame(rows), progress=shown.append)
    # At most twice a second: only the first is sure to be shown.
    assert shown[0] == "answers to learn from ░░░░░░░░░░░░░░░░░░░░   0% 0 of 60"
    assert shown[-1] == ""


def test_label_quality_is_given_in_the_order_of_the_data():
    issues = pd.DataFrame({"index": [2, 0, 1], "label_quality": [0.1, 0.2, 0.3]})
    assert LabelErrors(issues, 1.0).label_quality().tolist() == [0.2, 0.3, 0.1]


# What reviewers have decided


def test_decided_examples_are_known_and_stand_last(rows):
    right = right_rows()[19]
    known = {
        19: Known({"ANS": [span_of(right["context"], right["given_answer"][0])]}),
        33: Known({"ANS": [span_of(rows[33]["context"], "people")]}),  # as it is given
        7: Known({"ANS": []}),
    }
    found = find_label_errors(pd.DataFrame(rows), known=known)
    issues = found.issues
    assert issues["rank"].tolist() == list(range(1, 61))
    assert issues["label_quality"][:57].is_monotonic_increasing
    assert (issues["decision"][:57] == "").all()
    last = issues[57:].set_index("index")
    assert last["decision"].to_dict() == {19: "corrected", 7: "corrected", 33: "confirmed"}
    assert last["label_quality"].to_dict() == {19: 0, 7: 0, 33: 1}
    assert not last["is_issue"].any()
    assert found.estimated_wrong == pytest.approx((1 - issues["label_quality"]).sum())
    # What is right was told, and is what the list says.
    assert last["suggested_answer"].to_dict() == {19: right["given_answer"][0], 7: NO_ANSWER, 33: ""}
    assert last["suggestion_confidence"].fillna(0).to_dict() == pytest.approx({19: 1, 7: 1, 33: 0})


def test_decisions_teach(found, rows):
    """If the first two are wrong, the others are likelier to be wrong than if the first two are right."""
    first = found.issues["index"][:2].tolist()
    wrong, right = (
        by_index(rows, known={
            number: Known({"ANS": [span_of(rows[number]["context"], of_rows[number]["given_answer"][0])]})
            for number in first
        })
        for of_rows in (right_rows(), rows)
    )  # fmt: skip
    others = sorted(set(MOVED) - set(first))
    assert (wrong.loc[others, "label_quality"] < right.loc[others, "label_quality"]).all()


# Too few answers


def few(rows: list[dict]) -> tuple[LabelErrors, str]:
    with pytest.warns(FewAnswersWarning) as caught:
        found = find_label_errors(pd.DataFrame(rows))
    (warning,) = caught
    assert warning.filename == __file__  # the line that calls
    assert found.estimated_wrong is None
    return found, str(warning.message)


def test_too_few_answers_are_ranked_and_none_is_estimated_or_flagged():
    rows = right_rows(4)
    rows[4] = answered_with(rows[4], "town")
    found, message = few(rows)
    assert message.startswith("expected at least 50 answers on more than one paragraph to learn from, found 12 on 4:")
    assert "check the ranking from the top, or judge these examples together with others" in message
    assert found.issues["index"][0] == 4
    assert found.issues["label_quality"][0] < 0.5
    assert not found.issues["is_issue"].any()


def test_certain_issues_are_flagged_however_few():
    rows = right_rows(4)
    year = rows[4]["given_answer"][0]
    rows[4] = answered_with(rows[4], year[:3])
    (issue, *_) = few(rows)[0].issues.to_dict("records")
    assert (issue["index"], issue["is_issue"], issue["checks"]) == (4, True, "cut_word")
    assert issue["label_quality"] < 0.3
    assert issue["suggested_answer"] == year


def test_fifty_answers_on_two_paragraphs_are_enough():
    rows = right_rows(2)
    fifty = [{**rows[number % 6], "question": f"{number}?"} for number in range(50)]
    assert find_label_errors(pd.DataFrame(fifty)).estimated_wrong is not None
    few(fifty[1:])
    # An example without an answer is none to learn from.
    assert "found 49 on 2:" in few([*fifty[1:], answered(fifty[0])])[1]
    # All on one paragraph, however many.
    one = [{**rows[number % 3], "question": f"{number}?"} for number in range(60)]
    assert "on more than one paragraph to learn from, found 60 on 1:" in few(one)[1]


# Examples without an answer


LOST, INVENTED = [5, 18, 31], [64, 77, 93]


def surely(row: dict, *texts: str) -> dict:
    """Return a row in which the model is sure of some texts and of nothing else."""
    seen = np.max([touched(row, span_of(row["context"], text)) for text in texts], axis=0)
    return {**row, "pred_probs_ANS": np.where(seen, 0.9999, 0.0001)}


@pytest.fixture(scope="module")
def with_unanswerable():
    """Answered and unanswerable questions; three of the first have lost their answer, three of the others got one."""
    rows = right_rows()
    for number in LOST:
        rows[number] = answered(surely(rows[number], *rows[number]["given_answer"]))
    for number in range(40):
        context, _ = paragraph(number % 14)
        rows.append(example(60 + number, f"Why number {number}?", context, None, fold=number % 14 % 3))
    for number in INVENTED:
        rows[number] = answered_with(rows[number], "the people")
    return by_index(rows)


def test_lost_and_invented_answers_come_first(with_unanswerable):
    assert set(with_unanswerable.index[with_unanswerable["rank"] <= 6]) == {*LOST, *INVENTED}
    assert with_unanswerable["label_quality"].between(0, 1, inclusive="neither").all()


def test_lost_answers_are_suggested(with_unanswerable):
    lines, right = with_unanswerable.loc[LOST], right_rows()
    assert (lines["given_answer"] == "").all()
    assert lines["given_start"].isna().all()
    assert (lines["reason"] == "a span of the context looks like an answer").all()
    for kind in ("answer", "start"):
        assert lines[f"suggested_{kind}"].tolist() == [right[number][f"given_{kind}"][0] for number in LOST]


def test_no_answer_is_suggested_for_invented_ones(with_unanswerable):
    lines = with_unanswerable.loc[INVENTED]
    assert (lines["reason"] == "no answer expected").all()
    assert lines["suggested_answer"].tolist() == [NO_ANSWER] * 3
    assert lines["suggested_start"].isna().all()
    assert (lines["suggestion_confidence"] >= 0.5).all()


def test_no_answer_is_not_suggested_where_all_have_one(rows):
    silent = {**rows[8], "pred_probs_ANS": np.full_like(rows[8]["pred_probs_ANS"], 0.001)}
    issues = by_index([*rows[:8], silent, *rows[9:]])
    assert NO_ANSWER not in issues["suggested_answer"].tolist()


# Several answers, several classes


@pytest.mark.parametrize("order", [1, -1])
def test_worst_of_several_answers_is_shown(rows, order):
    texts = [rows[7]["given_answer"][0], "merchant"][::order]
    line = by_index([*rows[:7], answered_with(rows[7], *texts), *rows[8:]]).loc[7]
    assert (line["given_answer"], line["given_start"]) == ("merchant", rows[7]["context"].index("merchant"))
    assert line["rank"] <= 5


# Tables that cannot be used


@pytest.mark.parametrize("name", ["id", "context", "given_label", "char_end", "labels_ANS"])
def test_missing_column_is_named(rows, name):
    with pytest.raises(ValueError, match=rf"found none named \['{name}'\]; run the training notebook"):
        find_label_errors(pd.DataFrame(rows).drop(columns=name))


def test_table_without_examples_or_probabilities_is_named(rows):
    table = pd.DataFrame(rows)
    with pytest.raises(ValueError, match="expected at least one example, found none"):
        find_label_errors(table[:0])
    with pytest.raises(ValueError, match="found none named pred_probs_<class>; run the training notebook"):
        find_label_errors(table.drop(columns="pred_probs_ANS"))


def test_invalid_arrays_of_a_table_are_named(rows):
    probs, labels = rows[7]["pred_probs_ANS"], rows[7]["labels_ANS"]
    for columns, message in [
        ({"pred_probs_ANS": np.append(probs[:-1], np.nan)}, "example 7: expected pred_probs from 0 to 1, found nan"),
        ({"labels_ANS": labels[:-1]}, f"example 7: expected {len(probs)} labels, one a token, found {len(probs) - 1}"),
        ({"char_start": labels[:-1]}, f"example 7: expected {len(probs) - 1} labels, one a token, found {len(probs)}"),
        ({"labels_ANS": labels[:0], "pred_probs_ANS": probs[:0], "char_start": labels[:0]}, "example 7: .* one token"),
    ]:
        with pytest.raises(ValueError, match=message):
            find_label_errors(pd.DataFrame([*rows[:7], {**rows[7], **columns}, *rows[8:]]))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_that_is_no_probability_is_named(rows, threshold):
    with pytest.raises(ValueError, match=f"expected a threshold from 0 to 1, found {threshold}"):
        find_label_errors(pd.DataFrame(rows), threshold=threshold)


# Data that teach nothing


def test_context_of_one_candidate():
    rows = [
        example(number, "Which?", character, (0, 1), (0, 1))
        for number, character in enumerate("東京都大阪府奈良県" * 3)
    ]
    assert len(few(rows)[0].issues) == 27


def test_no_answers_at_all():
    rows = [answered(row) for row in right_rows(5)]
    found, message = few(rows)
    assert "found 0 on 0:" in message
    assert (found.issues["given_answer"] == "").all()
    assert not found.issues["is_issue"].any()
