"""How far several people's answers to one question agree."""

from collections import Counter
from collections.abc import Sequence

from span_label_errors.spans.text import Span, normalized_text, word_spans


def most_agreed(spans: Sequence[Span]) -> int:
    """Return the position of the answer that agrees most with the others, the first of equals.

    Two answers agree by the share of characters that they have in common (2 × common / sum of the lengths).
    """
    agreements = [sum(_common_share(span, other) for other in spans) for span in spans]
    return agreements.index(max(agreements))


def _common_share(one: Span, other: Span) -> float:
    common = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return 2 * common / (one[1] - one[0] + other[1] - other[0])


def token_f1(text: str, other: str) -> float:
    """Return the F1 of the words that two answers share, 1 if neither has a word; 0 if one has none.

    As SQuAD's evaluation (Rajpurkar et al. 2016), but for words of any script: case and white space do not count,
    and no list of one language's articles is left out.
    """
    words, other_words = _words(text), _words(other)
    if not words or not other_words:
        return float(words == other_words)
    return 2 * (words & other_words).total() / (words.total() + other_words.total())


def _words(text: str) -> Counter:
    return Counter(normalized_text(text[slice(*word)]) for word in word_spans(text))
