"""Wrong answers of known kinds: what an annotator could have marked by mistake.

Spans are moved, cut and grown by whole words, so that every planted answer labels other tokens than the
right one, whatever the tokenizer.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from span_label_errors.spans.text import Span, cuts_word, is_whole_words, normalized_text, overlaps, word_spans

MAX_EXTRA_WORDS = 8


def moved(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the spans of as many words as the answer that do not touch it or repeat its text."""
    words = word_spans(context)
    length = max(1, len(_words_of(words, answer)))
    spans = [(words[i][0], words[i + length - 1][1]) for i in range(len(words) - length + 1)]
    return _elsewhere(context, spans, answer)


def swapped(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the answers of other questions on the paragraph that do not touch this one or repeat its text."""
    return _elsewhere(context, dict.fromkeys(others), answer)


def cut_short(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the answer without some words at its beginning or its end."""
    words = _words_of(word_spans(context), answer)
    heads = [(words[0][0], word[1]) for word in words[:-1]]
    tails = [(word[0], words[-1][1]) for word in words[1:]]
    return heads + tails


def too_long(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the answer with 2 to `MAX_EXTRA_WORDS` more words, before it, after it or on both sides."""
    words = word_spans(context)
    before = [start for start, end in words if end <= answer[0]]
    after = [end for start, end in words if start >= answer[1]]
    return [
        (before[-num_before] if num_before else answer[0], after[num_after - 1] if num_after else answer[1])
        for num_before in range(min(MAX_EXTRA_WORDS, len(before)) + 1)
        for num_after in range(min(MAX_EXTRA_WORDS, len(after)) + 1)
        if 2 <= num_before + num_after <= MAX_EXTRA_WORDS
    ]


def wrong_occurrence(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return where else the answer's text stands, as whole words."""
    text = re.escape(context[slice(*answer)].strip())
    spans = [match.span(1) for match in re.finditer(f"(?=({text}))", context, re.IGNORECASE)]
    return [span for span in spans if is_whole_words(context, span) and not overlaps(span, answer)]


def cut_inside_word(context: str, answer: Span, others: Sequence[Span] = ()) -> list[Span]:
    """Return the parts of the answer that begin or end inside one of its words or numbers."""
    start, end = answer
    parts = [(start, border) for border in range(start + 1, end)] + [(border, end) for border in range(start + 1, end)]
    return [part for part in parts if cuts_word(context, part)]


# Kinds that label other tokens than the right answer; the last can label the same, where a token is a whole word.
KINDS: dict[str, Callable[..., list[Span]]] = {
    function.__name__: function for function in (moved, swapped, cut_short, too_long, wrong_occurrence)
}
MISTAKES = {**KINDS, "cut_inside_word": cut_inside_word}


def _words_of(words: Sequence[Span], span: Span) -> list[Span]:
    return [word for word in words if overlaps(word, span)]


def _elsewhere(context: str, spans: Iterable[Span], answer: Span) -> list[Span]:
    """Return the spans that do not touch the answer or repeat its text."""
    text = normalized_text(context[slice(*answer)])
    return [span for span in spans if not overlaps(span, answer) and normalized_text(context[slice(*span)]) != text]
