"""How the texts of spans are labelled elsewhere, counted by hand."""

import numpy as np
import pytest

from span_label_errors.quality.memory import LabelMemory, key_of

CONTEXTS = ["Paris met Paris", "paris is big", "PARIS , Texas", "Paris  Hilton left", "Paris met Paris"]
TITLES = ["a", "a", "b", "b", "b"]
PARAGRAPHS = [0, 1, 2, 3, 0]
PLACE, PERSON = 0, 1
ANSWERS = [
    [((0, 5), PERSON), ((10, 15), PLACE)],
    [((0, 5), PLACE)],
    [((0, 5), PLACE), ((8, 13), PLACE)],
    [((0, 13), PERSON)],
    [],
]


@pytest.fixture
def memory() -> LabelMemory:
    return LabelMemory(CONTEXTS, TITLES, PARAGRAPHS, ANSWERS, 2)


def test_texts_are_one_whatever_their_case_and_white_space():
    assert key_of("In Paris  Hilton", (3, 16)) == "paris hilton"


def counts_of(counts, memory: LabelMemory, text: str, example_index: int) -> list[int]:
    (of_text,) = counts(memory.numbers_of([text]), np.array([example_index]))
    return of_text.tolist()


@pytest.mark.parametrize(
    ("text", "example_index", "counts"),
    [
        # Labelled places, persons, and where it stands: twice in 0 and 4, which are one paragraph, once elsewhere.
        ("paris", 1, [2, 1, 6]),
        ("paris", 0, [2, 0, 3]),
        ("paris", 4, [2, 0, 3]),
        ("paris hilton", 0, [0, 1, 1]),
        ("paris hilton", 3, [0, 0, 0]),
        ("big", 0, [0, 0, 0]),  # labelled nowhere
    ],
)
def test_counts_of_other_paragraphs(memory, text, example_index, counts):
    assert counts_of(memory.elsewhere, memory, text, example_index) == counts


@pytest.mark.parametrize(("example_index", "counts"), [(0, [1, 0, 1]), (1, [1, 1, 2]), (2, [0, 0, 3]), (4, [1, 0, 2])])
def test_counts_of_the_same_document(memory, example_index, counts):
    assert counts_of(memory.in_document, memory, "paris", example_index) == counts
    assert counts_of(memory.in_document, memory, "big", example_index) == [0, 0, 0]


def test_one_document_says_nothing_of_its_own():
    memory = LabelMemory(CONTEXTS, [""] * 5, PARAGRAPHS, ANSWERS, 2)
    assert counts_of(memory.in_document, memory, "paris", 1) == [0, 0, 0]


def test_texts_of_many_words_are_counted_where_they_stand():
    """ "U.S./UK" is three words without a space; a text that begins like another one is none of it."""
    contexts = ["the U.S./UK deal", "a U.S./UK  talk, U.S./", "Parisian"]
    memory = LabelMemory(contexts, ["a", "b", "c"], [0, 1, 2], [[((4, 11), PLACE)], [], [((0, 8), PERSON)]], 2)
    assert counts_of(memory.elsewhere, memory, "u.s./uk", 2) == [1, 0, 2]
    assert counts_of(memory.elsewhere, memory, "paris", 0) == [0, 0, 0]
