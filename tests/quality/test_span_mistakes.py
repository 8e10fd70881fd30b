"""How likely each kind of mistake makes what is given of what is right, by hand on small sites."""

from dataclasses import replace

import numpy as np
import pytest

from span_label_errors.quality.choice import log_choice
from span_label_errors.quality.mistakes import FLATTENING
from span_label_errors.quality.sites import NO_SPAN
from span_label_errors.quality.span_features import SPAN_FEATURES
from span_label_errors.quality.span_mistakes import SPAN_KINDS, JoinedSites, span_joint
from span_label_errors.quality.span_sites import GivenSpan, SpanSite

TEXT = "Anna Berg left"
CLASSES = ["LOC", "ORG", "PER"]
SPANS = [(0, 4), (0, 9)]  # Anna, Anna Berg
# Anna as each class, Anna Berg as each class, nothing.
CHOICE = np.array([0.05, 0.1, 0.2, 0.05, 0.1, 0.4, 0.1])
FLAT = CHOICE**FLATTENING
ALL = tuple(SPAN_KINDS)


def site_of(row: int, **known) -> SpanSite:
    """A site at which the candidate of a row is given."""
    spans = np.array([*np.repeat(SPANS, 3, axis=0).tolist(), NO_SPAN])
    class_index = np.array([0, 1, 2, 0, 1, 2, -1])
    span = tuple(spans[row].tolist())
    given = GivenSpan(0, CLASSES[class_index[row]] if row < 6 else "", span, 0, span if row < 6 else (0, 9))
    settings = {"is_known": False, "cuts_word": False, "right_row": row} | known
    return SpanSite(
        given=given, text=TEXT, spans=spans, classes=CLASSES, class_index=class_index,
        features=np.zeros((7, len(SPAN_FEATURES))), given_row=row, **settings,
    )  # fmt: skip


def likelihood(kind: str, row: int) -> list[float]:
    return SPAN_KINDS[kind].likelihood(JoinedSites([site_of(row)]), CHOICE).tolist()


def joint_of(*sites: SpanSite) -> np.ndarray:
    return span_joint(JoinedSites(sites), np.tile(CHOICE, len(sites)), ALL)


def test_a_wrong_class_is_any_of_the_others():
    assert likelihood("wrong_class", 2) == [0.5, 0.5, 0, 0, 0, 0, 0]
    assert likelihood("wrong_class", 6) == [0] * 7


def test_a_wrong_border_is_drawn_from_the_spans_of_the_class():
    drawn = FLAT[2] / (FLAT[2] + FLAT[5])
    assert likelihood("wrong_border", 2) == pytest.approx([0, 0, 0, 0, 0, drawn, 0])
    assert likelihood("wrong_border", 6) == [0] * 7


def test_a_span_of_another_class_is_drawn_from_all():
    drawn = FLAT[2] / FLAT[:6].sum()
    assert likelihood("wrong_border_and_class", 2) == pytest.approx([0, 0, 0, drawn, drawn, 0, 0])


def test_a_spurious_span_is_drawn_from_all():
    assert likelihood("spurious", 2) == pytest.approx([0] * 6 + [FLAT[2] / FLAT[:6].sum()])
    assert likelihood("spurious", 6) == [0] * 7


def test_any_span_can_be_missing_where_none_is_given():
    assert likelihood("missing", 6) == [1] * 6 + [0]
    assert likelihood("missing", 2) == [0] * 7


def test_joint_probabilities_are_those_of_the_choice_and_the_kinds():
    site = site_of(2)
    joint = joint_of(site)
    assert joint[0].tolist() == [0, 0, 0.2, 0, 0, 0, 0]
    for row, name in enumerate(ALL, start=1):
        assert joint[row] == pytest.approx(CHOICE * likelihood(name, 2))
    # A word that is cut is hardly ever right.
    assert joint_of(site_of(2, cuts_word=True))[0, 2] == pytest.approx(0.2e-4)


def test_what_a_reviewer_said_is_all_that_is_right():
    confirmed = joint_of(site_of(2, is_known=True, right_row=2))
    assert confirmed[0, 2] > 0
    assert not np.delete(confirmed, 2, axis=1).any()
    corrected = joint_of(site_of(2, is_known=True, right_row=5))
    assert not np.delete(corrected, 5, axis=1).any()
    assert corrected[1 + ALL.index("wrong_border"), 5] > 0
    # That nothing is missing where nothing is given is known as well.
    nothing = joint_of(site_of(6, is_known=True, right_row=6))
    assert (nothing[0, 6], nothing[1:].any()) == (pytest.approx(0.1), False)


def test_sites_that_are_joined_are_those_of_each_alone():
    sites = [site_of(6), site_of(2, is_known=True, right_row=5), site_of(2), site_of(0, cuts_word=True)]
    assert joint_of(*sites) == pytest.approx(np.hstack([joint_of(site) for site in sites]))


def test_choice_of_joined_sites_is_that_of_each_by_its_weights():
    rng, sites = np.random.default_rng(0), [site_of(6), site_of(2)]
    weights = rng.normal(size=(2, len(SPAN_FEATURES)))
    sites = [replace(site, features=rng.normal(size=site.features.shape)) for site in sites]
    of_each = [log_choice(site.features, of_site) for site, of_site in zip(sites, weights, strict=True)]
    assert JoinedSites(sites).log_choice(weights) == pytest.approx(np.concatenate(of_each))
