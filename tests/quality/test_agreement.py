"""How far annotators agree, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from span_label_errors.quality.agreement import annotator_agreement

CONTEXT = "Arvel lies on the river Nera since 1700 or so."  # ten words


def table(*questions: dict[str, str]) -> pd.DataFrame:
    """A table with one row a question: by annotator, the answer; names that are digits stand for no name."""
    return pd.DataFrame(
        {
            "id": f"id-{number}",
            "context": CONTEXT,
            "given_annotator": ["" if name.isdigit() else name for name in answers],
            "given_label": ["ANS"] * len(answers),
            "given_answer": list(answers.values()),
            "given_start": [CONTEXT.index(answer) for answer in answers.values()],
        }
        for number, answers in enumerate(questions)
    )


TWO_QUESTIONS = table(
    {"ann": "Nera", "bob": "river Nera", "cy": "1700"}, {"ann": "1700", "bob": "1700", "cy": "since 1700"}
)


def test_questions():
    found = annotator_agreement(TWO_QUESTIONS).questions
    assert found[["index", "id", "class", "answers"]].to_numpy().tolist() == [
        [0, "id-0", "ANS", 3], [1, "id-1", "ANS", 3],
    ]  # fmt: skip
    # Pairs: 2/3, 0 and 0; then 1, 2/3 and 2/3.
    assert found["f1"].tolist() == pytest.approx([2 / 9, 7 / 9])
    assert found["exact"].tolist() == pytest.approx([0, 1 / 3])
    assert found["outvoted"].tolist() == [1, 0]
    assert annotator_agreement(TWO_QUESTIONS).f1 == pytest.approx(1 / 2)


def test_annotators():
    found = annotator_agreement(TWO_QUESTIONS).annotators.set_index("annotator")
    assert found["answers"].tolist() == [2, 2, 2]
    # ann: (2/3 + 0) / 2 and (1 + 2/3) / 2; bob: the same; cy: 0 and 2/3.
    assert found["f1"].tolist() == pytest.approx([7 / 12, 7 / 12, 1 / 3])
    assert found["outvoted"].tolist() == [0, 0, 1 / 2]
    # Without cy, only "river" is in one answer of two: 2 * 1 * 1 / 1 = 2. Of 2 * 20
    # values, of which 1 + 2 + 1 + 1 = 5 are inside: expected 2 * 5 * 35 / 39.
    assert found.loc["cy", "alpha_without"] == pytest.approx(1 - 2 / (2 * 5 * 35 / 39))


def test_alpha():
    # First question: Nera in two of three answers, river and 1700 in one: each 2 * 2 * 1 / 2 = 2. Second: since in
    # one, 2; 1700 in all, 0. Observed 8. Of 60 values, 2 + 1 + 1 and 1 + 3 are inside: expected 2 * 8 * 52 / 59.
    assert annotator_agreement(TWO_QUESTIONS).alpha == pytest.approx(1 - 8 / (2 * 8 * 52 / 59))


def test_people_without_names_agree_as_well():
    found = annotator_agreement(table({"1": "Nera", "2": "Nera"}, {"1": "1700"}))
    assert found.questions["id"].tolist() == ["id-0"]  # one person alone agrees with nobody
    assert found.annotators.empty
    assert found.alpha == 1.0


def test_two_that_differ_outvote_nobody():
    found = annotator_agreement(table({"1": "Nera", "2": "1700"}, {"1": "Nera", "2": "1700", "3": "Arvel"}))
    assert found.questions["outvoted"].tolist() == [0, 0]


def test_no_answer_twice():
    found = annotator_agreement(table({"1": "Nera"}))
    assert found.questions.empty
    assert np.isnan(found.alpha)
    assert np.isnan(found.f1)


def test_a_table_of_one_answer_a_question_is_refused():
    with pytest.raises(ValueError, match=r'expected the column given_annotator.*answers="each"'):
        annotator_agreement(TWO_QUESTIONS.drop(columns="given_annotator"))
