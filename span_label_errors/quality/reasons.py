"""Say in words why an answer is suspicious."""

from collections.abc import Iterable

from span_label_errors.quality.answer_model import Explanation
from span_label_errors.quality.checks import CHECKS
from span_label_errors.quality.features import FEATURES

MAX_REASONS = 3
NO_ANSWER = "a span of the context looks like an answer"
# What does not halve the odds of being right is no reason.
_WEAKEST = -0.69

KINDS_IN_WORDS = {
    "moved": "looks moved to another place",
    "swapped": "looks like the answer of another question",
    "cut_short": "looks cut short",
    "too_long": "looks too long",
    "wrong_occurrence": "looks like the wrong one of several places",
    "cut_inside_word": CHECKS["cut_word"],
}


def reasons_of_model(explanation: Explanation) -> list[str]:
    """Return what speaks against an answer: the kind of mistake that it looks like, then features, strongest first."""
    strength: dict[str, float] = {}
    for words, deviation, term in zip(FEATURES.values(), explanation.deviation, explanation.terms, strict=True):
        reason = words[int(deviation > 0)]
        if reason:
            strength[reason] = strength.get(reason, 0.0) + term
    kind = explanation.kind
    looks = [] if kind is None else [KINDS_IN_WORDS.get(kind, f"looks like the mistake {kind!r}")]
    return looks + sorted((reason for reason in strength if strength[reason] <= _WEAKEST), key=strength.get)


def joined(failed: Iterable[str], of_model: Iterable[str] = ()) -> str:
    """Return up to `MAX_REASONS` reasons as one text: failed checks, by name, and then those of the model."""
    different = dict.fromkeys([*(CHECKS[name] for name in failed), *of_model])
    return "; ".join(list(different)[:MAX_REASONS])
