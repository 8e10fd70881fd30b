"""Several people's answers to a question: by hand where there is little, and what they say of each other."""

import numpy as np
import pandas as pd
import pytest
from answer_tables import answered_with, example, right_rows
from text_strategies import span_of

from span_label_errors.quality.annotators import AnnotatorsJudge
from span_label_errors.quality.choice import ChoicePrior
from span_label_errors.quality.features import FEATURES
from span_label_errors.quality.posterior import Judge, Judged, JudgeRecipe
from span_label_errors.quality.sites import NO_SPAN, Known, Sites

# Every candidate is as likely as any other, and the shares stay as they are: 0.64 of the answers are right with the
# right border, 0.16 with another one, and 0.2 are wrong.
UNIFORM = ChoicePrior(np.zeros(len(FEATURES)), np.ones(len(FEATURES)))
FIXED = JudgeRecipe(share_wrong=0.2, strength=1e12, kinds=("swapped", "cut_short"))
NAMES = ("ann", "bob", "cy")


def with_annotators(rows: list[dict], names: dict[int, tuple[str, ...]] | None = None) -> pd.DataFrame:
    """A table of a run with every annotator's answers; by row, who they are."""
    names = names or {}
    return pd.DataFrame(
        {**row, "given_annotator": list(names.get(number, [""] * len(row["given_answer"])))}
        for number, row in enumerate(rows)
    )


def four_words(*answers: tuple[str, ...]) -> list[dict]:
    """Questions on one context, which has nine spans of one to three words."""
    context = "red old big house"
    seen = [span_of(context, texts[0]) for texts in answers]
    rows = [example(number, f"{number}?", context, span, span) for number, span in enumerate(seen)]
    return [answered_with(row, *texts) for row, texts in zip(rows, answers, strict=True)]


def judged_of(judge: AnnotatorsJudge) -> dict[tuple[int, str], Judged]:
    """By number of the question and text of the answer, empty for none, what is thought of it."""
    given = {judged.site.given: judged for judged in judge.judged()}
    return {
        (given.example_index, "" if given.span == NO_SPAN else judged.site.text[slice(*given.span)]): judged
        for given, judged in given.items()
    }


THREE = (("red", "red", "old big house"), ("old big house",), ("red old big",))


def test_posterior_by_hand():
    """Of the nine spans, "red old" shares a character with five others, "red old big" with seven.

    Two answered "red", which is right, or drawn as another border of "red old" or "red old big". One answered "old big
    house", one of two answers to other questions: that is swapped if "red" is right, else another border.
    """
    judged = judged_of(AnnotatorsJudge(with_annotators(four_words(*THREE)), recipe=FIXED, prior=UNIFORM))
    weight = {"red": 0.64**2 * 0.2 / 2, "red old": (0.16 / 5) ** 3, "red old big": (0.16 / 7) ** 3}
    total = sum(weight.values())
    red, house = judged[0, "red"], judged[0, "old big house"]
    right = {red.site.text[slice(*span)]: p for span, p in zip(red.site.spans, red.posterior.sum(axis=0), strict=True)}
    assert right == pytest.approx({**dict.fromkeys(right, 0), **{text: w / total for text, w in weight.items()}})
    assert red.quality == pytest.approx(1)
    assert house.quality == pytest.approx((weight["red old"] + weight["red old big"]) / total)
    assert [house.instead.sum(), house.instead.max()] == pytest.approx([weight["red"] / total] * 2)
    assert house.kinds == ("swapped",)  # an answer that is shorter than another is a matter of taste
    assert judged[1, "old big house"].quality > 0.9


def test_an_answer_counts_as_one_of_those_to_its_question():
    """`importance`: of the rows in order, the share of the question's answers times the probability of being right."""
    judge = AnnotatorsJudge(with_annotators(four_words(*THREE)), recipe=FIXED, prior=UNIFORM)
    quality = {key: judged.quality for key, judged in judged_of(judge).items()}
    expected = [2 / 3 * quality[0, "red"], quality[0, "old big house"] / 3]
    expected += [quality[1, "old big house"], quality[2, "red old big"]]
    assert judge.importance == pytest.approx(expected)
    assert judge.num_answers == 3  # questions


def test_who_is_named_has_shares_of_their_own():
    """Drawn to those of all (0.64, 0.16 and 0.2) by 50 answers."""
    judge = AnnotatorsJudge(with_annotators(four_words(*THREE), {0: NAMES}), recipe=FIXED, prior=UNIFORM)
    judged = judged_of(judge)
    assert judge.shares == pytest.approx([0.64, 0.16, 0.2])
    assert list(judge.shares_of) == list(NAMES)
    swapped = judged[0, "old big house"].posterior[1].sum()
    assert judge.shares_of["cy"][2] == pytest.approx((swapped + 50 * 0.2) / 51, abs=1e-4)
    assert judge.shares_of["ann"] == pytest.approx(judge.shares_of["bob"])
    assert judge.shares_of["ann"][2] == pytest.approx(50 * 0.2 / 51, abs=1e-4)


def test_other_borders_of_what_others_say_are_right():
    """The answers themselves teach that borders differ; one answer lies elsewhere."""
    rows = right_rows()
    for number in range(0, 60, 3):
        name = rows[number]["given_answer"][0]
        rows[number] = answered_with(rows[number], name, f"by {name}", f"by {name} in")
    rows[9] = answered_with(rows[9], rows[9]["given_answer"][0], "town", rows[9]["given_answer"][1])
    judge = AnnotatorsJudge(with_annotators(rows))
    qualities = {key: judged.quality for key, judged in judged_of(judge).items()}
    assert min(qualities, key=qualities.get) == (9, "town")
    assert qualities[9, "town"] < 0.1
    assert min(quality for key, quality in qualities.items() if key != (9, "town")) > 0.9
    assert judge.shares[1] > 0.2


@pytest.mark.parametrize(("right", "expected"), [([(0, 3)], [1, 0]), ([(4, 17)], [0, 1]), ([(8, 11)], [0, 0])])
def test_what_a_reviewer_said_is_certain(right, expected):
    """ "red", "old big house", or "big" instead of both."""
    table = with_annotators(four_words(*THREE))
    judged = judged_of(AnnotatorsJudge(table, {0: Known({"ANS": right})}, recipe=FIXED, prior=UNIFORM))
    assert [judged[0, text].quality for text in ("red", "old big house")] == pytest.approx(expected)
    spans = judged[0, "red"].site.spans.tolist()
    assert judged[0, "red"].posterior[:, spans.index([*right[0]])].sum() == pytest.approx(1)


def test_what_a_reviewer_said_is_evidence_on_the_answers_left():
    """Of "red", "red old" and "house", "red old" was confirmed, or "house" was replaced by it."""
    table = with_annotators(four_words(("red", "red old", "house"), ("old big house",), ("red old big",)))
    left = [(0, 3), (0, 7), (12, 17)]
    for known in (Known({"ANS": left}, [(0, 7)]), Known({"ANS": left[:2]}, [(0, 7), (12, 17)])):
        judged = judged_of(AnnotatorsJudge(table, {0: known}, recipe=FIXED, prior=UNIFORM))
        assert [judged[0, text].quality for text in ("red", "red old", "house")] == pytest.approx([1, 1, 0])


def test_nothing_is_right_where_a_reviewer_said_so():
    judged = judged_of(
        AnnotatorsJudge(with_annotators(four_words(*THREE)), {0: Known({})}, recipe=FIXED, prior=UNIFORM)
    )
    assert judged[0, "red"].quality == judged[0, "old big house"].quality == 0


def test_one_answer_to_each_question_is_judged_nearly_as_without_annotators():
    """Questions that nobody answered among them."""
    rows = [answered_with(row) if number % 10 == 0 else row for number, row in enumerate(right_rows())]
    judged, alone = judged_of(AnnotatorsJudge(with_annotators(rows))), judged_of(Judge(pd.DataFrame(rows)))
    assert judged.keys() == alone.keys()
    assert [judged[key].quality for key in alone] == pytest.approx([alone[key].quality for key in alone], abs=0.05)


def test_sites_of_a_questions_answers_have_the_same_candidates_and_features():
    """Answers far apart, a few of the spans near each of which are candidates; what others answered changes nothing."""
    rows = right_rows()
    table = with_annotators([answered_with(rows[0], "rich merchant", "town", "town"), *rows[1:]])
    sites = Sites(table, UNIFORM.weights, num_candidates=12)
    (_, one), (_, other) = sites.of([0, 1])
    np.testing.assert_array_equal(one.spans, other.spans)
    np.testing.assert_array_equal(one.features, other.features)
    assert [tuple(one.spans[one.given_row]), tuple(other.spans[other.given_row])] == [
        span_of(one.text, text) for text in ("rich merchant", "town")
    ]
    alone = Sites(with_annotators(rows), UNIFORM.weights, num_candidates=400)
    ((_, first),) = alone.of([0])
    likeliest = {tuple(span): features for span, features in zip(first.spans.tolist(), first.features, strict=True)}
    for span, features in zip(one.spans.tolist(), one.features, strict=True):
        np.testing.assert_allclose(features, likeliest[tuple(span)])
