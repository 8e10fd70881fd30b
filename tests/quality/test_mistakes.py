"""How likely each kind of mistake makes the given answer of a right one, by hand on small sites."""

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st
from text_strategies import span_of

from span_label_errors.quality.features import FEATURES
from span_label_errors.quality.mistakes import FLATTENING, KINDS, joint_probabilities
from span_label_errors.quality.sites import NO_SPAN, GivenAnswer, Site
from span_label_errors.spans.text import word_spans

#       0    5   9     15  19   24 27
TEXT = "Anna met Bruno and anna in Rome"
ALL = tuple(KINDS)


def spans_of(text: str) -> list[tuple[int, int]]:
    """Every span of whole words."""
    words = word_spans(text)
    return [(words[first][0], words[last][1]) for first in range(len(words)) for last in range(first, len(words))]


def site_of(text: str, spans, given, right=None, **known) -> Site:
    """A site of these candidates; spans and answers as texts, ranges or NO_SPAN."""
    spans = [span_of(text, span) if isinstance(span, str) else span for span in spans]
    given = span_of(text, given) if isinstance(given, str) else given
    right = given if right is None else span_of(text, right) if isinstance(right, str) else right
    words = word_spans(text)
    num_words = [sum(start < span[1] and span[0] < end for start, end in words) for span in spans]
    settings = {"cuts_word": False, "is_known": False, "chance": 0.01, "chance_of_other_answer": 0.0} | known
    return Site(
        given=GivenAnswer(0, "ANS", given, 0), text=text, spans=np.array(spans),
        features=np.zeros((len(spans), len(FEATURES))), num_words=np.array(num_words),
        given_row=spans.index(given), right_row=spans.index(right), **settings,
    )  # fmt: skip


def likelihood(kind: str, site: Site, choice=None) -> np.ndarray:
    choice = np.full(len(site.spans), 1 / len(site.spans)) if choice is None else np.array(choice)
    return KINDS[kind].likelihood(site, choice)


def by_text(site: Site, values: np.ndarray) -> dict[str, float]:
    """The values that are not 0, by the text of the candidate."""
    texts = [site.text[slice(*span)] for span in site.spans.tolist()]
    return {text: pytest.approx(value) for text, value in zip(texts, values.tolist(), strict=True) if value}


# Each kind


def test_distractor_by_hand():
    site = site_of(TEXT, ["Anna", "Anna met", "Bruno", "Rome", NO_SPAN], "Anna")
    choice = np.array([0.1, 0.2, 0.3, 0.35, 0.05])
    flat = choice**FLATTENING
    # The place of "Anna" is that of the two; where it is right, the place of another answer is not drawn.
    of_place, in_place = flat[0] + flat[1], 0.1 / (0.1 + 0.2)
    expected = [of_place / (flat.sum() - flat[row]) * in_place for row in (2, 3, 4)]
    assert likelihood("distractor", site, choice) == pytest.approx([0, 0, *expected])


def test_no_answer_as_a_distractor():
    site = site_of(TEXT, ["Anna", "Bruno", NO_SPAN], NO_SPAN)
    flat = np.array([0.2, 0.3, 0.5]) ** FLATTENING
    expected = [flat[2] / (flat[1] + flat[2]), flat[2] / (flat[0] + flat[2]), 0]
    assert likelihood("distractor", site, [0.2, 0.3, 0.5]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "chances"), [("anywhere", {"chance": 0.2}), ("swapped", {"chance_of_other_answer": 0.2})]
)
def test_a_span_that_shares_nothing_with_the_right_one(kind, chances):
    site = site_of(TEXT, ["Anna", "Anna met", "Bruno", NO_SPAN], "Anna", **chances)
    assert likelihood(kind, site).tolist() == [0, 0, 0.2, 0.2]


def test_cut_short_at_either_end():
    site = site_of(TEXT, [*spans_of(TEXT), NO_SPAN], "met Bruno")
    # A span of n words has n - 1 beginnings and n - 1 ends.
    assert by_text(site, likelihood("cut_short", site)) == {
        "Anna met Bruno": 1 / 4, "met Bruno and": 1 / 4, "met Bruno and anna": 1 / 6, "met Bruno and anna in": 1 / 8,
        "met Bruno and anna in Rome": 1 / 10,
    }  # fmt: skip


def test_too_long_on_either_side():
    site = site_of(TEXT, [*spans_of(TEXT), NO_SPAN], "Anna met Bruno")
    # One of the longer candidates that hold the right answer, half of the time; one more word is no mistake.
    longer = {"Anna": 1 * 7 - 1, "met": 2 * 6 - 1, "Bruno": 3 * 5 - 1}  # begins times ends, less the word itself
    expected = {word: 1 / 2 / count for word, count in longer.items()}
    assert by_text(site, likelihood("too_long", site)) == pytest.approx(expected)


def test_other_place_of_the_same_text_in_any_case():
    site = site_of(TEXT, [*spans_of(TEXT), NO_SPAN], "Anna")
    assert by_text(site, likelihood("other_place", site)) == {"anna": 1}
    text = "one and One and ONE, two"
    site = site_of(text, spans_of(text), "One")
    assert by_text(site, likelihood("other_place", site)) == {"one": 1 / 2, "ONE": 1 / 2}
    assert not likelihood("other_place", site_of(text, spans_of(text), "two")).any()


@pytest.mark.parametrize("answer", ["7", NO_SPAN])
def test_no_answer_has_no_text_that_stands_elsewhere(answer):
    """As a range, it would be the last letter but one."""
    site = site_of("He has 7.", ["He", "has", "7", NO_SPAN], answer)
    assert not likelihood("other_place", site).any()


def test_inside_word_of_what_contains_the_answer():
    site = site_of(TEXT, ["nna", "Anna", "Anna met", "met", NO_SPAN], "nna", cuts_word=True)
    assert likelihood("inside_word", site) == pytest.approx([0, 1 / 8, 1 / 16, 0, 0])
    site = site_of(TEXT, ["nna", "Anna", "Anna met", "met", NO_SPAN], "nna")
    assert not likelihood("inside_word", site).any()


@cases(60)
@given(st.integers(2, 9), st.integers(0, 2**16))
def test_what_becomes_of_a_right_answer_is_at_most_certain(num_words, seed):
    rng = np.random.default_rng(seed)
    text = " ".join(rng.choice(["aa", "bb", "cc"], num_words))
    spans = [*spans_of(text), NO_SPAN]
    lengths = np.array([len(text[slice(*span)].split()) if span != NO_SPAN else 0 for span in spans])
    share_of_length = rng.dirichlet(np.ones(num_words + 1))
    total = dict.fromkeys(["anywhere", "swapped", "cut_short", "too_long"], 0)
    others = [spans[row] for row in rng.choice(len(spans), 2, replace=False)]
    for answer, length in zip(spans, lengths, strict=True):
        chances = {
            "chance": share_of_length[length] / (lengths == length).sum(),
            "chance_of_other_answer": (answer in others) / 2,
        }
        site = site_of(text, spans, answer, **chances)
        for kind in total:
            total[kind] = total[kind] + likelihood(kind, site)
    for kind, of_right in total.items():
        assert (of_right <= 1 + 1e-9).all(), kind
    # Whatever has two words or more can be cut short.
    assert total["cut_short"] == pytest.approx((lengths > 1).astype(float))


# Joint probabilities


def test_joint_probabilities_multiply_choice_and_likelihood():
    site = site_of(TEXT, ["Anna", "Anna met", "anna", "Rome", NO_SPAN], "Anna", chance_of_other_answer=0.5)
    choice = np.array([0.3, 0.2, 0.1, 0.25, 0.15])
    joint = joint_probabilities(site, choice, ("other_place", "swapped", "cut_short"))
    expected = [[0.3, 0, 0, 0, 0], [0, 0, 0.1, 0, 0], [0, 0, 0.05, 0.125, 0.075], [0, 0.2 / 2, 0, 0, 0]]
    assert joint == pytest.approx(np.array(expected))


def test_nothing_but_a_slip_cuts_a_word_and_hardly_ever_a_right_answer():
    site = site_of(TEXT, ["nna", "Anna", "Anna met", "Rome"], "nna", cuts_word=True)
    choice = np.array([0.4, 0.3, 0.2, 0.1])
    joint = dict(zip(["right", *ALL], joint_probabilities(site, choice, ALL), strict=True))
    slips = np.array([0, 0.3 / 8, 0.2 / 16, 0])
    assert joint.pop("inside_word") == pytest.approx(slips)
    assert joint.pop("right") == pytest.approx([1e-4 * slips.sum(), 0, 0, 0])
    assert not any(values.any() for values in joint.values())


def test_answer_known_to_be_right_came_of_no_mistake():
    site = site_of(TEXT, ["Anna", "Anna met", "Rome"], "Anna", is_known=True)
    joint = joint_probabilities(site, np.array([0.2, 0.3, 0.5]), ALL)
    assert joint[0] == pytest.approx([0.2, 0, 0])
    assert not joint[1:].any()


def test_known_mistake_is_one_of_the_kinds_that_explain_it():
    spans, choice = ["Anna", "Anna met", "Rome"], np.array([0.2, 0.3, 0.5])
    kinds = ("anywhere", "cut_short")
    joint = joint_probabilities(site_of(TEXT, spans, "Anna", "Anna met", is_known=True), choice, kinds)
    assert joint == pytest.approx(np.array([[0, 0, 0], [0, 0, 0], [0, 0.3 / 2, 0]]))
    joint = joint_probabilities(site_of(TEXT, spans, "Anna", "Rome", is_known=True), choice, kinds)
    assert joint == pytest.approx(np.array([[0, 0, 0], [0, 0, 0.005], [0, 0, 0]]))


def test_known_mistake_of_no_kind_is_any_of_them():
    site = site_of(TEXT, ["Anna", "Anna met", "Rome"], "Anna", "Rome", is_known=True)
    joint = joint_probabilities(site, np.array([0.2, 0.3, 0.5]), ("cut_short", "too_long"))
    assert not joint[:, :2].any()
    assert joint[0, 2] == 0
    assert joint[1, 2] == joint[2, 2] > 0


def test_given_answer_without_any_choice_is_barely_possible():
    joint = joint_probabilities(site_of(TEXT, ["Anna", "Rome"], "Anna"), np.array([0.0, 1.0]), ALL)
    assert 0 < joint[0, 0] < 1e-9
