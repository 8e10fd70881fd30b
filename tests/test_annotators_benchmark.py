"""What other people's answers bring: what is seen of them, and how consensus answers are measured."""

import numpy as np
import pandas as pd
from answer_tables import answered, right_rows
from conftest import make_example
from label_errors.annotators import (
    AGREEMENT,
    HIDDEN,
    KNOWN,
    OURS,
    WEIGHTED,
    agreement_scores,
    evaluate,
    is_right,
    visible_others,
    with_others,
)
from label_errors.real_data import RealData, drawn
from text_strategies import span_of

CONTEXT = "Anna met Bruno in Rome"
ANNA, BRUNO, MET_BRUNO, ROME = (span_of(CONTEXT, text) for text in ("Anna", "Bruno", "met Bruno", "Rome"))


def data_of(examples: list[dict], others: list[list], wrong: list[bool]) -> RealData:
    measured = np.ones(len(examples), dtype=bool)
    return RealData("annotators", examples, np.array(wrong), measured, others, {"O": 0, "ANS": 1}, "first")


DATA = data_of(
    [make_example("a", CONTEXT, "who?", "Anna"), make_example("b", CONTEXT, "whom?", "Bruno")],
    [[BRUNO, MET_BRUNO], [MET_BRUNO]], [True, False],
)  # fmt: skip


def test_a_hash_of_the_id_and_its_number_hides_half():
    assert visible_others(DATA, KNOWN) == DATA.other_answers
    expected = [[span for span, key in zip(spans, keys, strict=True) if drawn(key, 2)]
                for spans, keys in zip(DATA.other_answers, (("a 0", "a 1"), ("b 0",)), strict=True)]  # fmt: skip
    assert visible_others(DATA, HIDDEN) == expected
    many = data_of([make_example(f"{number}", CONTEXT, "?", "Anna") for number in range(200)], [[ROME]] * 200, [False])
    assert 70 < sum(map(len, visible_others(many, HIDDEN))) < 130


def test_other_answers_stand_behind_the_given_one():
    rows = right_rows(1)
    others = [[span_of(rows[0]["context"], "town")], [], []]
    table = with_others(pd.DataFrame(answered(row, (4, 7)) for row in rows), others)
    assert list(table["given_answer"][0]) == [rows[0]["context"][4:7], "town"]
    assert list(table["given_start"][0]) == [4, others[0][0][0]]
    assert table["given_annotator"].tolist() == [["", ""], [""], [""]]


def test_agreement_by_hand():
    # F1 of "Anna" is 0 with both; of "Bruno" and "met Bruno" 2/3. Mean of all: 2/9.
    scores = agreement_scores(DATA, [[BRUNO, MET_BRUNO], [MET_BRUNO]], np.array([0.1, 0.8]), np.array([False, True]))
    assert scores[AGREEMENT].tolist() == [0, 2 / 3]
    people, model = 2 / 9, 1 / 2 * np.sqrt(5 / 2)
    np.testing.assert_allclose(
        scores[WEIGHTED],
        [model * 0.1 / (model + 2 * people), (model * 0.8 + people * 2 / 3) / (model + people)],
    )
    alone = agreement_scores(DATA, [[], [MET_BRUNO]], np.array([0.1, 0.8]), np.array([False, True]))
    assert alone[AGREEMENT].tolist() == [2 / 3, 2 / 3]


def test_consensus_is_right_where_or_as_those_that_were_not_outvoted():
    assert is_right(DATA, [ANNA, MET_BRUNO]).tolist() == [False, True]
    assert is_right(DATA, [span_of(CONTEXT, "Anna met Bruno"), ROME]).tolist() == [True, False]


def test_measures_of_a_run():
    """Twenty questions have two others, who say something else of one of them."""
    rows, others = right_rows(), [[] for _ in range(60)]
    for number in range(0, 60, 3):
        name = span_of(rows[number]["context"], rows[number]["given_answer"][0])
        others[number] = [name, (name[0] - 3, name[1])]
    rows[9] = answered(rows[9], span_of(rows[9]["context"], "town"))
    examples = [
        {**row, "answers": {"text": row["given_answer"], "answer_start": row["given_start"]}} for row in rows
    ]  # fmt: skip
    found = evaluate(data_of(examples, others, [number == 9 for number in range(60)]), pd.DataFrame(rows), KNOWN)
    assert found["scores"][OURS]["average_precision"] == 1
    assert found["every_answer"]["answers"] == 100
    assert found["every_answer"]["wrong"] == found["every_answer"]["flagged_wrong"] == 1
    assert found["consensus"]["wrong"] == found["most_agreed_wrong"] == 0
    assert found["num_alone"] == 40
    assert found["agreement"]["questions"] == 20
