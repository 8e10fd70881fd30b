"""How annotators who label every span go wrong; as in `mistakes`, for labelled texts."""

import numpy as np

from span_label_errors.quality.mistakes import FLATTENING, RIGHT_BUT_CUT, TINY, Kind, leave_known
from span_label_errors.quality.span_sites import SpanSite


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
    share = flat[site.given_row] / max(flat.sum(), TINY) if among[site.given_row] else 0.0
    return among * share


SPAN_KINDS = {
    "wrong_class": Kind(0.3, "probably another class", _wrong_class),
    "wrong_border": Kind(0.2, "probably begins or ends elsewhere", _wrong_border),
    "wrong_border_and_class": Kind(0.1, "probably another span of another class", _wrong_border_and_class),
    "spurious": Kind(0.2, "probably nothing to label", _spurious),
    "missing": Kind(0.2, "a span is probably missing", _missing),
}


def span_joint(site: SpanSite, choice: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Return P(candidate is right, and what is given was marked), without and with each kind of mistake.

    Of shape (K + 1, S), as `mistakes.joint_probabilities`.
    """
    joint = np.zeros((len(kinds) + 1, len(choice)))
    for row, name in enumerate(kinds, start=1):
        joint[row] = choice * SPAN_KINDS[name].likelihood(site, choice)
    right = choice[site.given_row] * (RIGHT_BUT_CUT if site.cuts_word else 1.0)
    joint[0, site.given_row] = max(right, TINY)
    if site.is_known:
        leave_known(joint, site.right_row)
    return joint
