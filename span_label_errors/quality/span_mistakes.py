"""How annotators who label every span go wrong; as in `mistakes`, for labelled texts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from span_label_errors.quality.mistakes import FLATTENING
from span_label_errors.quality.span_sites import SpanSite

_RIGHT_BUT_CUT = 1e-4
_TINY = 1e-12


@dataclass(frozen=True)
class SpanKind:
    """A kind of mistake."""

    share: float  # of all mistakes, as long as the data say nothing else
    reason: str  # in words, about what is given
    # Of a `SpanSite` and the choice (S,): P(what is given | what is right) for each candidate as the right one, (S,).
    likelihood: Callable[[SpanSite, np.ndarray], np.ndarray]


def _wrong_class(site: SpanSite, choice: np.ndarray) -> np.ndarray:
    """The right span has another class."""
    num_classes = site.class_index.max() + 1
    return (_is_given_span(site) & ~_has_given_class(site)) / max(num_classes - 1, 1)


def _wrong_border(site: SpanSite, choice: np.ndarray) -> np.ndarray:
    """The right span begins or ends elsewhere; the given one is drawn from those that overlap it."""
    return _drawn(site, choice, _has_given_class(site)) * ~_is_given_span(site)


def _wrong_border_and_class(site: SpanSite, choice: np.ndarray) -> np.ndarray:
    """Both are wrong."""
    return _drawn(site, choice, site.class_index >= 0) * (~_is_given_span(site) & ~_has_given_class(site))


def _spurious(site: SpanSite, choice: np.ndarray) -> np.ndarray:
    """Nothing should be labelled there."""
    likelihood = np.zeros(len(choice))
    if site.class_index[site.given_row] >= 0:
        likelihood[-1] = _drawn(site, choice, site.class_index >= 0)[site.given_row]
    return likelihood


def _missing(site: SpanSite, choice: np.ndarray) -> np.ndarray:
    """A span was overlooked."""
    return (site.class_index >= 0) * float(site.class_index[site.given_row] < 0)


def _is_given_span(site: SpanSite) -> np.ndarray:
    return (site.spans == site.spans[site.given_row]).all(axis=1) & (site.class_index >= 0)


def _has_given_class(site: SpanSite) -> np.ndarray:
    return (site.class_index == site.class_index[site.given_row]) & (site.class_index >= 0)


def _drawn(site: SpanSite, choice: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return P(the given candidate is drawn) for all candidates among some, by the flattened choice; else 0."""
    flat = choice**FLATTENING * among
    share = flat[site.given_row] / max(flat.sum(), _TINY) if among[site.given_row] else 0.0
    return among * share


SPAN_KINDS = {
    "wrong_class": SpanKind(0.3, "probably another class", _wrong_class),
    "wrong_border": SpanKind(0.2, "probably begins or ends elsewhere", _wrong_border),
    "wrong_border_and_class": SpanKind(0.1, "probably another span of another class", _wrong_border_and_class),
    "spurious": SpanKind(0.2, "probably nothing to label", _spurious),
    "missing": SpanKind(0.2, "a span is probably missing", _missing),
}


def span_joint(site: SpanSite, choice: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Return P(candidate is right, and what is given was marked), without and with each kind of mistake.

    Of shape (K + 1, S), as `mistakes.joint_probabilities`.
    """
    joint = np.zeros((len(kinds) + 1, len(choice)))
    for row, name in enumerate(kinds, start=1):
        joint[row] = choice * SPAN_KINDS[name].likelihood(site, choice)
    right = choice[site.given_row] * (_RIGHT_BUT_CUT if site.cuts_word else 1.0)
    joint[0, site.given_row] = max(right, _TINY)
    if site.is_known:
        joint[:, np.arange(len(choice)) != site.right_row] = 0.0
        if not joint.any():
            joint[1:, site.right_row] = _TINY  # a mistake of no known kind
    return joint
