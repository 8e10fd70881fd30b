"""How annotators go wrong: for each kind of mistake, how likely the right answer would have become the given one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from span_label_errors.quality.checks import CHECKS
from span_label_errors.quality.sites import NO_SPAN, Site

# A distractor attracts with its probability of being right to the power of this: at 0, all places attract alike.
FLATTENING = 0.3
# How often a right answer is marked with a word cut, where few answers of the data cut one.
RIGHT_BUT_CUT = 1e-4
# Of answers that are too long, the share that is not longer than all candidates; chosen by measurement.
_AMONG_CANDIDATES = 0.5
TINY = 1e-12


@dataclass(frozen=True)
class Kind:
    """A kind of mistake."""

    share: float  # of all mistakes, as long as the data say nothing else
    reason: str  # in words, about what is given
    # Of a site and the choice (S,): P(what is given | what is right) for each candidate as the right one, (S,).
    likelihood: Callable[..., np.ndarray]


def _distractor(site: Site, choice: np.ndarray) -> np.ndarray:
    """Something else of the context looked like the answer.

    The place is drawn by the flattened choice from those that share no character with the right answer; how the span
    is marked there, by the choice itself. Places overlap, so that this is a distribution only roughly.
    """
    flat = choice**FLATTENING
    flat /= flat.sum()
    here = site.overlap_given
    place = flat[here].sum() / np.maximum(1 - site.overlapping_mass(flat), TINY)
    return ~here * place * choice[site.given_row] / max(choice[here].sum(), TINY)


def _anywhere(site: Site, choice: np.ndarray) -> np.ndarray:
    """Any span of the context, as long as answers are."""
    return ~site.overlap_given * site.chance


def _swapped(site: Site, choice: np.ndarray) -> np.ndarray:
    """The answer of another question on the context."""
    return ~site.overlap_given * site.chance_of_other_answer


def _cut_short(site: Site, choice: np.ndarray) -> np.ndarray:
    """The right answer without some words at one end."""
    (start, end), (given_start, given_end) = site.spans.T, site.given.span
    more = site.num_words > site.num_words[site.given_row]
    shares_border = (start == given_start) | (end == given_end)
    return (site.contains_given & more & shares_border) / (2 * np.maximum(site.num_words - 1, 1))


def _too_long(site: Site, choice: np.ndarray) -> np.ndarray:
    """Any longer candidate that holds the right answer and two words more; one word is a matter of taste."""
    (start, end), (given_start, given_end), likelihood = site.spans.T, site.given.span, np.zeros(len(choice))
    extra = site.num_words[site.given_row] - site.num_words
    rows = np.flatnonzero((start >= given_start) & (end <= given_end) & (extra >= 2))
    # Most answers are short, and no candidate is shorter by two words.
    if not len(rows):
        return likelihood
    num_longer = ((start <= start[rows, None]) & (end >= end[rows, None])).sum(axis=1) - 1
    likelihood[rows] = _AMONG_CANDIDATES / num_longer
    return likelihood


def _other_place(site: Site, choice: np.ndarray) -> np.ndarray:
    """The same text, where it is not the answer."""
    (start, end), same = site.given.span, np.zeros(len(choice))
    given_text = site.text[start:end].casefold()
    # "No answer" has no text.
    if site.given.span == NO_SPAN or site.text.casefold().count(given_text) < 2:
        return same
    as_long = (site.num_words > 0) & (np.diff(site.spans)[:, 0] == end - start) & ~site.overlap_given
    for row in np.flatnonzero(as_long).tolist():
        same[row] = site.text[slice(*site.spans[row])].casefold() == given_text
    return same / max(same.sum(), 1)


def _inside_word(site: Site, choice: np.ndarray) -> np.ndarray:
    """A part of the right answer that begins or ends inside a word."""
    return site.cuts_word * site.contains_given / (2 * np.diff(site.spans)[:, 0])


KINDS = {
    "distractor": Kind(0.43, "another place answers the question", _distractor),
    "anywhere": Kind(0.10, "does not look like an answer", _anywhere),
    "swapped": Kind(0.15, "answers another question on the context", _swapped),
    "cut_short": Kind(0.12, "probably cut short", _cut_short),
    "too_long": Kind(0.12, "probably too long", _too_long),
    "other_place": Kind(0.05, "the same words elsewhere answer the question", _other_place),
    "inside_word": Kind(0.03, CHECKS["cut_word"], _inside_word),
}


def mistake_likelihoods(site: Site, choice: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Return P(given answer | candidate is right) by each of K kinds of mistake, shape (K, S)."""
    # Where few answers cut a word, nothing but a slip inside one does, and that always does.
    return np.array(
        [
            KINDS[name].likelihood(site, choice) if site.cuts_word == (name == "inside_word") else np.zeros(len(choice))
            for name in kinds
        ]
    ).reshape(len(kinds), len(choice))


def right_likelihoods(site: Site, choice: np.ndarray) -> np.ndarray:
    """Return P(given answer | candidate is right) without a mistake, as one of several annotators, shape (2, S).

    The first row is for the right answer itself, the second for another border: where several people answer, how a span
    is marked in the right place is a matter of taste, and is drawn by the choice.
    """
    likelihoods = np.zeros((2, len(choice)))
    if site.cuts_word:
        likelihoods[0] = RIGHT_BUT_CUT * _inside_word(site, choice)
        return likelihoods
    likelihoods[0, site.given_row] = 1.0
    beside = site.overlap_given.copy()
    beside[site.given_row] = False
    others_there = site.overlapping_mass(choice) - choice
    likelihoods[1, beside] = np.minimum(choice[site.given_row] / np.maximum(others_there[beside], TINY), 1.0)
    return likelihoods


def joint_probabilities(site: Site, choice: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Return P(candidate is right, and the given answer was marked), without and with each kind of mistake.

    Of shape (K + 1, S) for K kinds, names of `KINDS`, and S candidates, whose probabilities of being right are the
    choice (S,). The first row is for no mistake: it is zero but for the given answer.
    """
    joint = np.zeros((len(kinds) + 1, len(choice)))
    joint[1:] = choice * mistake_likelihoods(site, choice, kinds)
    right = RIGHT_BUT_CUT * choice @ _inside_word(site, choice) if site.cuts_word else choice[site.given_row]
    joint[0, site.given_row] = max(right, TINY)
    if site.is_known:
        leave_known(joint, site.right_row)
    return joint


def leave_known(joint: np.ndarray, right_row: int) -> None:
    """Leave of joint probabilities, in place, what a reviewer said is right."""
    joint[:, np.arange(joint.shape[1]) != right_row] = 0.0
    if not joint.any():
        joint[1:, right_row] = TINY  # a mistake of no known kind
