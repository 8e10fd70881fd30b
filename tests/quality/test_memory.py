"""How the texts of spans are labelled elsewhere, counted by hand."""

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


@pytest.mark.parametrize(
    ("text", "paragraph", "counts"),
    [
        # Labelled places, persons, and where it stands: twice in 0 and 4, which are one paragraph, once elsewhere.
        ("paris", 1, [2, 1, 6]),
        ("paris", 0, [2, 0, 3]),
        ("paris", 9, [3, 1, 7]),
        ("paris hilton", 0, [0, 1, 1]),
        ("paris hilton", 3, [0, 0, 0]),
        ("big", 9, [0, 0, 0]),  # labelled nowhere
    ],
)
def test_counts_of_other_paragraphs(memory, text, paragraph, counts):
    assert memory.elsewhere(text, paragraph).tolist() == counts


@pytest.mark.parametrize(
    ("title", "paragraph", "counts"),
    [("a", 0, [1, 0, 1]), ("a", 1, [1, 1, 2]), ("b", 2, [0, 0, 3]), ("b", 0, [1, 0, 2])],
)
def test_counts_of_the_same_document(memory, title, paragraph, counts):
    assert memory.in_document("paris", title, paragraph).tolist() == counts


def test_one_document_says_nothing_of_its_own():
    memory = LabelMemory(CONTEXTS, [""] * 5, PARAGRAPHS, ANSWERS, 2)
    assert memory.in_document("paris", "", 1).tolist() == [0, 0, 0]
