"""What a reader is trained on: articles held out by their titles, and one answer a question."""

import hashlib

import numpy as np
import pytest
from conftest import make_example

from span_label_errors.data.diet import held_out_articles, with_agreed_answer


def share_of(text: str) -> float:
    """What `sha256sum` prints for a text begins with these digits."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8


def articles(*titles: str) -> list[dict]:
    return [make_example(str(number), f"Context {number}.", "?", title=title) for number, title in enumerate(titles)]


def test_titles_decide_what_is_held_out_whatever_else_there_is():
    titles = [f"Title {number}" for number in range(200)]
    held_out = held_out_articles(articles(*titles), 0.25)
    assert held_out == [share_of(title) < 0.25 for title in titles]
    assert 30 <= sum(held_out) <= 70
    pair = [titles[held_out.index(True)], titles[held_out.index(False)]]
    assert held_out_articles(articles(*pair, *pair), 0.25) == [True, False, True, False]


def test_hash_of_a_title_as_sha256sum_prints_it():
    """`printf abc | sha256sum` begins with ba7816bf, which is 0.7284 of 2^32; with nothing to hash, e3b0c442: 0.889."""
    examples = articles("abc", "")
    shares = (0xBA7816BF / 2**32, 0xBA7816C0 / 2**32, 0.89)
    assert [held_out_articles(examples, share) for share in shares] == [
        [False, False], [True, False], [True, True],
    ]  # fmt: skip


def test_contexts_decide_where_there_is_one_title():
    examples = articles(*["Title"] * 100)
    expected = [share_of(example["context"]) < 0.3 for example in examples]
    assert held_out_articles(examples, 0.3) == expected
    assert 10 <= sum(expected) <= 50


@pytest.mark.parametrize("titles", [("a", "b"), ("a", "a"), ()])
def test_nothing_is_held_out_of_a_share_of_none(titles):
    assert held_out_articles(articles(*titles), 0.0) == [False] * len(titles)


@pytest.mark.parametrize(
    ("answers", "agreed"),
    [
        # "the red house" and "red house" share 9 of 13 and 9 characters: 18 / 22; "the" shares 3: 6 / 16 and 0.
        (["the", "the red house", "red house"], "the red house"),
        # The two that are equal agree wholly: 1, and 18 / 22 with the third.
        (["the red house", "red house", "red house"], "red house"),
        # "red house" shares 3 characters with "red", 6 / 12, and 5 with "house", 10 / 14; these two share none.
        (["red", "red house", "house"], "red house"),
        (["house", "the"], "house"),  # neither agrees with the other: the first
        (["the", "house"], "the"),
        (["red"], "red"),
    ],
)
def test_answer_that_agrees_most_is_taken(answers, agreed):
    example = make_example("1", "In the red house.", "Where?", *answers)
    found = with_agreed_answer(example)
    assert found == {**example, "answers": {"text": [agreed], "answer_start": [example["context"].index(agreed)]}}


def test_answer_that_is_taken_is_that_of_a_slow_reference():
    """Characters in common, one by one, of up to five answers anywhere in a text."""
    rng = np.random.default_rng(0)
    context, chosen = "".join(rng.choice(list("abcdefgh "), 40)), []
    for _ in range(300):
        starts = rng.integers(0, 30, rng.integers(2, 6)).tolist()
        ends = [start + int(rng.integers(1, 10)) for start in starts]
        given = [set(range(*span)) for span in zip(starts, ends, strict=True)]
        agreements = [sum(2 * len(one & other) / (len(one) + len(other)) for other in given) for one in given]
        example = make_example("1", context, "?")
        texts = [context[start:end] for start, end in zip(starts, ends, strict=True)]
        example["answers"] = {"text": texts, "answer_start": starts}
        expected = agreements.index(max(agreements))
        assert with_agreed_answer(example)["answers"] == {"text": [texts[expected]], "answer_start": [starts[expected]]}
        chosen.append(expected)
    assert set(chosen) == {0, 1, 2, 3, 4}


def test_places_decide_and_not_texts():
    """Two of three annotators marked the second "red"."""
    example = make_example("1", "red or red", "?", "red")
    example["answers"] = {"text": ["red"] * 3, "answer_start": [0, 7, 7], "label": ["A", "B", "C"]}
    assert with_agreed_answer(example)["answers"] == {"text": ["red"], "answer_start": [7], "label": ["B"]}


def test_unanswerable_question_stays_as_it_is():
    example = make_example("1", "In the red house.", "Who?")
    assert with_agreed_answer(example) == example
