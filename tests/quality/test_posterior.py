"""The posterior: by hand where there is little, and who learns from whom."""

import math

import numpy as np
import pandas as pd
import pytest
from answer_tables import MOVED, answered, answered_with, example, moved_rows, right_rows
from text_strategies import span_of

from span_label_errors.quality import posterior
from span_label_errors.quality.choice import ChoicePrior
from span_label_errors.quality.features import FEATURES
from span_label_errors.quality.posterior import Judge, Judged, JudgeRecipe, fitted_shares
from span_label_errors.quality.sites import Known

# Shares of mistakes


def test_shares_by_hand():
    """The likelihood is (1 - s + 4 s)(1 - s); its highest is where 2 = 6 s."""
    evidence = np.array([[1.0, 4.0], [1.0, 0.0]])
    assert fitted_shares(evidence, np.array([0.5, 0.5]), 0.0) == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize(("strength", "expected"), [(0.0, 3 / 4), (4.0, 5 / 8), (1e12, 1 / 2)])
def test_prior_counts_as_many_answers_as_its_strength(strength, expected):
    """Three answers are right and one is wrong for certain; of four more, half are right."""
    evidence = np.array([[2.0, 0.0]] * 3 + [[0.0, 0.1]])
    shares = fitted_shares(evidence, np.array([0.5, 0.5]), strength)
    assert shares == pytest.approx([expected, 1 - expected])


def test_answers_that_say_nothing_leave_the_prior():
    prior = np.array([0.9, 0.06, 0.04])
    assert fitted_shares(np.full((5, 3), 0.2), prior, 10.0) == pytest.approx(prior)
    assert fitted_shares(np.zeros((0, 3)), prior, 10.0) == pytest.approx(prior)


# Quality by hand

# Every candidate is as likely as any other, and the shares stay as they are.
UNIFORM = ChoicePrior(np.zeros(len(FEATURES)), np.ones(len(FEATURES)))
FIXED = {"share_wrong": 0.2, "strength": 1e12}


def four_words(*answers: str) -> pd.DataFrame:
    """Questions on one context, which has nine spans of one to three words."""
    context = "red old big house"
    spans = [span_of(context, answer) for answer in answers]
    return pd.DataFrame([example(number, f"{number}?", context, span, span) for number, span in enumerate(spans)])


def judged_of(table: pd.DataFrame, *kinds: str, known: dict | None = None) -> list[Judged]:
    found = list(Judge(table, known, recipe=JudgeRecipe(kinds=kinds, **FIXED), prior=UNIFORM).judged())
    return sorted(found, key=lambda judged: judged.row)


def probability_instead(judged: Judged) -> dict[str, float]:
    texts = [judged.site.text[slice(*span)] for span in judged.site.spans.tolist()]
    return {text: value for text, value in zip(texts, judged.instead.tolist(), strict=True) if value}


def test_quality_of_an_answer_that_may_be_cut_short():
    """Cut at one of two ends: "red" is one of 2 * 1 ways to cut "red old", and of 2 * 2 to cut "red old big"."""
    red, house, _ = judged_of(four_words("red", "old big house", "red old big"), "cut_short")
    assert red.choice == pytest.approx(np.full(9, 1 / 9))
    total = 0.8 + 0.2 * (1 / 2 + 1 / 4)
    assert red.quality == pytest.approx(0.8 / total)
    assert probability_instead(red) == pytest.approx({"red old": 0.1 / total, "red old big": 0.05 / total})
    assert house.quality == pytest.approx(1)
    assert probability_instead(house) == {}


def test_quality_with_two_kinds_of_mistakes():
    """Of equal shares. Half of the answers that are too long are among the candidates that hold the right one.

    "old" and "big" have four of them, and "house" has two.
    """
    red, house, _ = judged_of(four_words("red", "old big house", "red old big"), "cut_short", "too_long")
    assert red.quality == pytest.approx(0.8 / (0.8 + 0.1 * (1 / 2 + 1 / 4)))
    total = 0.8 + 0.1 * (1 / 4 + 1 / 4 + 1 / 2) / 2
    assert house.posterior.sum(axis=1) == pytest.approx(np.array([0.8, 0, total - 0.8]) / total, abs=1e-12)
    assert probability_instead(house) == pytest.approx({
        "old": 0.0125 / total, "big": 0.0125 / total, "house": 0.025 / total
    })  # fmt: skip


def test_likelier_candidates_are_likelier_instead():
    """The context's end counts as a mark: a span that ends there is twice as likely as another."""
    weights = UNIFORM.weights.copy()
    weights[list(FEATURES).index("mark_after")] = math.log(2)
    table = four_words("old big", "old big house", "red old big")
    judge = Judge(table, recipe=JudgeRecipe(kinds=("cut_short",), **FIXED), prior=UNIFORM._replace(weights=weights))
    (old_big, *_) = sorted(judge.judged(), key=lambda judged: judged.row)
    assert sorted(old_big.choice) == pytest.approx([1 / 12] * 6 + [2 / 12] * 3)
    total = 0.8 + 0.2 * (1 / 4 + 2 / 4)
    assert old_big.quality == pytest.approx(0.8 / total)
    assert probability_instead(old_big) == pytest.approx({"red old big": 0.05 / total, "old big house": 0.1 / total})


def test_what_a_reviewer_said_is_certain():
    table = four_words("red", "old big house", "red old big")
    (confirmed, *_) = judged_of(table, "cut_short", known={0: Known({"ANS": [(0, 3)]})})
    assert confirmed.quality == 1
    # Of a mistake that no kind explains as well: nothing that is long has become "red" by words too many.
    for kind in ("cut_short", "too_long"):
        (corrected, *_) = judged_of(table, kind, known={0: Known({"ANS": [(0, 7)]})})
        assert corrected.quality == 0
        assert probability_instead(corrected) == {"red old": 1}


def test_right_answer_is_right_in_the_place_of_each_way_to_give_it():
    """Two people gave "red old" and "red"; the second is right."""
    table = four_words("red", "old big house", "red old big")
    table = pd.DataFrame(
        [answered(row, (0, 7), (0, 3)) if row["id"] == "id-0" else row for row in table.to_dict("records")]
    )
    longer, right, *_ = judged_of(table, "too_long", known={0: Known({"ANS": [(0, 3)]})})
    assert (longer.quality, right.quality) == (0, 1)
    assert probability_instead(longer) == {"red": 1}


# What is learned from the data


def judge_of(rows: list[dict], **recipe) -> Judge:
    return Judge(pd.DataFrame(rows), recipe=JudgeRecipe(**recipe))


def test_each_posterior_sums_to_one():
    judge = judge_of(moved_rows())
    found = list(judge.judged())
    assert sorted(judged.row for judged in found) == list(range(60))
    for judged in found:
        num_candidates = len(judged.site.spans)
        assert judged.posterior.shape == (len(judged.kinds) + 1, num_candidates)
        assert [judged.choice.sum(), judged.posterior.sum()] == pytest.approx([1, 1])
        # Without a mistake, what is right is what was given.
        assert np.flatnonzero(judged.posterior[0]).tolist() == [judged.site.given_row]
        assert judged.quality == pytest.approx(1 - judged.instead.sum())
    assert judge.shares.sum() == pytest.approx(1)


def weights_of(rows: list[dict]) -> dict[int, bytes]:
    """The weights of the model that judges each row, as they are before any posterior is known."""
    return {judged.row: judged.weights.tobytes() for judged in judge_of(rows, rounds=1).judged()}


@pytest.fixture(scope="module")
def weights_before():
    return weights_of(right_rows())


CHANGES = {
    "answer": lambda row: answered_with(row, "the town"),  # as long
    "probabilities": lambda row: {**row, "pred_probs_ANS": row["pred_probs_ANS"][::-1]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_models_judge_no_paragraph_that_they_have_learned_from(change, weights_before):
    """And of other folds nothing is learned, whose networks have trained on the answers that are judged."""
    rows, by_model = right_rows(), {}
    for row, weights in weights_before.items():
        by_model.setdefault(weights, set()).add(row // 3)
    assert len(by_model) == 15  # five parts of three folds
    for number in (0, 31, 59):
        paragraph, fold = number // 3, number // 3 % 3
        after = weights_of([*rows[:number], change(rows[number]), *rows[number + 1 :]])
        changed = {row // 3 for row in after if after[row] != weights_before[row]}
        (own_part,) = (part for part in by_model.values() if paragraph in part)
        assert changed == {other for other in range(20) if other % 3 == fold} - own_part


def test_fold_of_one_paragraph_is_judged_by_the_prior():
    judge = judge_of(right_rows(4, num_folds=4))
    prior = posterior.read_prior().weights.tolist()
    assert [judged.weights.tolist() for judged in judge.judged()] == [prior] * 12


def test_wrong_answers_teach_little_and_corrected_ones_what_is_right():
    rows = moved_rows()
    importance = judge_of(rows).importance
    assert set(np.argsort(importance)[:4]) == set(MOVED)
    assert np.sort(importance)[4] > 0.99
    known = {
        number: Known({"ANS": [span_of(row["context"], row["given_answer"][0])]})
        for number, row in enumerate(right_rows())
        if number in MOVED
    }
    judge = Judge(pd.DataFrame(rows), known)
    assert (judge.importance > 0.99).all()
    assert {judged.row: judged.quality for judged in judge.judged() if judged.quality < 0.9} == dict.fromkeys(MOVED, 0)


def test_share_of_right_answers_follows_the_data():
    """The prior says 6 % wrong, for as much as 300 answers."""
    right, moved = judge_of(right_rows()).shares[0], judge_of(moved_rows()).shares[0]
    assert right > moved
    assert right == pytest.approx((60 + 300 * 0.94) / 360, abs=0.005)
    assert moved == pytest.approx((56 + 300 * 0.94) / 360, abs=0.005)


def test_all_are_judged_however_many_are_learned_from(monkeypatch):
    monkeypatch.setattr(posterior, "MAX_LEARNED", 40)
    judge = judge_of(moved_rows())
    assert len(judge.importance) == 40
    quality = {judged.row: judged.quality for judged in judge.judged()}
    assert sorted(quality) == list(range(60))
    assert set(sorted(quality, key=quality.get)[:4]) == set(MOVED)


def test_order_of_the_rows_does_not_matter():
    """Each fold has one paragraph, so that no part depends on the order."""
    rows = [{**row, "fold": number // 3} for number, row in enumerate(moved_rows())]
    forth, back = judge_of(rows), judge_of(rows[::-1])
    assert forth.shares == pytest.approx(back.shares, abs=1e-9)
    expected = {judged.row: judged.quality for judged in forth.judged()}
    assert {59 - judged.row: judged.quality for judged in back.judged()} == pytest.approx(expected, abs=1e-9)
