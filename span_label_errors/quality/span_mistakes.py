"""How annotators who label every span go wrong; as in `mistakes`, for labelled texts, of many sites at once."""

from collections.abc import Sequence

import numpy as np

from span_label_errors.quality.joined_text import offsets
from span_label_errors.quality.mistakes import FLATTENING, RIGHT_BUT_CUT, TINY, Kind, leave_known
from span_label_errors.quality.span_sites import SpanSite


class JoinedSites:
    """The candidates of P sites, one site's behind the other's.

    Attributes
    ----------
    first_row : ndarray of shape (P + 1,)
        The first candidate of each site; and of one behind the last.
    given_row : ndarray of shape (P,)
        The candidate that is given.
    is_span, is_given_span, has_given_class : ndarray of shape (R,), bool
        Of each candidate, whether it is a span, and whether its span and its class are the given ones.
    """

    def __init__(self, sites: Sequence[SpanSite]):
        self.sites = sites
        self.first_row = offsets([len(site.class_index) for site in sites])
        self.given_row = self.first_row[:-1] + [site.given_row for site in sites]
        spans, class_index = (
            np.concatenate([getattr(site, name) for site in sites]) for name in ("spans", "class_index")
        )
        self.is_span = class_index >= 0
        self.is_given_span = self.is_span & (spans == self.of_rows(spans[self.given_row])).all(axis=1)
        self.has_given_class = self.is_span & (class_index == self.of_rows(class_index[self.given_row]))

    def of_rows(self, of_sites: np.ndarray) -> np.ndarray:
        """Return values of the sites for each of their candidates."""
        return np.repeat(of_sites, np.diff(self.first_row), axis=0)

    def sums(self, of_candidates: np.ndarray) -> np.ndarray:
        """Return the sum over the candidates of each site, shape (P,)."""
        # From a zero on, these are the sums of each site alone to the last digit, which does not depend on its company.
        padded = np.zeros(len(of_candidates) + len(self.sites))
        padded[np.arange(len(of_candidates)) + self.of_rows(np.arange(1, len(self.sites) + 1))] = of_candidates
        return np.add.reduceat(padded, self.first_row[:-1] + np.arange(len(self.sites)))

    def log_choice(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        """Return `choice.log_choice` of each site by its weights, shape (R,)."""
        pairs = zip(self.sites, weights, strict=True)
        utility = np.concatenate([site.features @ of_site for site, of_site in pairs])
        utility -= self.of_rows(np.maximum.reduceat(utility, self.first_row[:-1]))
        return utility - self.of_rows(np.log(self.sums(np.exp(utility))))

    def drawn(self, choice: np.ndarray, among: np.ndarray) -> np.ndarray:
        """Return P(the given candidate is drawn) for all candidates among some, by the flattened choice; else 0."""
        flat = choice**FLATTENING * among
        share = flat[self.given_row] / np.maximum(self.sums(flat), TINY)
        return among * self.of_rows(share)


def _wrong_class(sites: JoinedSites, choice: np.ndarray) -> np.ndarray:
    """The right span has another class."""
    num_others = [max(len(site.classes) - 1, 1) for site in sites.sites]
    return (sites.is_given_span & ~sites.has_given_class) / sites.of_rows(np.array(num_others))


def _wrong_border(sites: JoinedSites, choice: np.ndarray) -> np.ndarray:
    """The right span begins or ends elsewhere; the given one is drawn from those that overlap it."""
    return sites.drawn(choice, sites.has_given_class) * ~sites.is_given_span


def _wrong_border_and_class(sites: JoinedSites, choice: np.ndarray) -> np.ndarray:
    """Both are wrong."""
    return sites.drawn(choice, sites.is_span) * (~sites.is_given_span & ~sites.has_given_class)


def _spurious(sites: JoinedSites, choice: np.ndarray) -> np.ndarray:
    """Nothing should be labelled there."""
    return sites.of_rows(sites.drawn(choice, sites.is_span)[sites.given_row]) * ~sites.is_span


def _missing(sites: JoinedSites, choice: np.ndarray) -> np.ndarray:
    """A span was overlooked."""
    return (sites.is_span & sites.of_rows(~sites.is_span[sites.given_row])).astype(np.float64)


SPAN_KINDS = {
    "wrong_class": Kind(0.3, "probably another class", _wrong_class),
    "wrong_border": Kind(0.2, "probably begins or ends elsewhere", _wrong_border),
    "wrong_border_and_class": Kind(0.1, "probably another span of another class", _wrong_border_and_class),
    "spurious": Kind(0.2, "probably nothing to label", _spurious),
    "missing": Kind(0.2, "a span is probably missing", _missing),
}


def span_joint(sites: JoinedSites, choice: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Return P(candidate is right, and what is given was marked), without and with each kind of mistake.

    Of shape (K + 1, R), as `mistakes.joint_probabilities`, site by site.
    """
    joint = np.zeros((len(kinds) + 1, len(choice)))
    for row, name in enumerate(kinds, start=1):
        joint[row] = choice * SPAN_KINDS[name].likelihood(sites, choice)
    how_often = np.array([RIGHT_BUT_CUT if site.cuts_word else 1.0 for site in sites.sites])
    joint[0, sites.given_row] = np.maximum(choice[sites.given_row] * how_often, TINY)
    for number, site in enumerate(sites.sites):
        if site.is_known:
            leave_known(joint[:, slice(*sites.first_row[number : number + 2])], site.right_row)
    return joint
