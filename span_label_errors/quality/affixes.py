"""What the data's own answers leave of a word outside: particles, prefixes and clitics that are written with it."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from span_label_errors.spans.text import Span, cuts_letter_or_number, cuts_word, word_spans

# If more of the given answers cut a word, that is how the data are, and no mistake.
FEW_CUT_WORDS = 0.2
# So many answers, and this share of them, must do the same before it is a habit of the data.
_HABIT, _HABIT_SHARE = 3, 0.005


class Affixes:
    """The beginnings and ends of words that the given answers of a data set leave out.

    They are learned from the answers themselves. What three different answers leave outside is an affix if fewer
    answers hold it, as the "에서" in "부산에서"; or if this is so among answers whose word is a word without it (of
    "בית", "ב" is a part). What a slip leaves outside is no affix, because other answers hold such letters.

    Parameters
    ----------
    answers : iterable of (str, (int, int))
        A context, and the characters of a given answer in it.

    Attributes
    ----------
    at_start, at_end : frozenset of str
        The affixes.
    cut_words : bool
        Whether so many answers cut a word that it is the way of the data.
    """

    def __init__(self, answers: Iterable[tuple[str, Span]] = ()):
        answers = list(answers)
        contexts = list(dict.fromkeys(context for context, _ in answers))
        edges = list(zip(*(_edges(*answer) for answer in answers), strict=True)) or [(), ()]
        self.cut_words = False
        habit = max(_HABIT, _HABIT_SHARE * len(answers))
        self.at_start, self.at_end = (_left_out(of_side, contexts, habit) for of_side in edges)
        cut = [answer for answer in answers if cuts_word(*answer)]
        num_slips = sum(self.is_slip(*answer) for answer in cut)
        most = max(num_slips, len(cut) - num_slips)
        self.cut_words = most >= _HABIT and most > FEW_CUT_WORDS * len(answers)
        if self.cut_words:
            self.at_start, self.at_end = (_left_out(of_side, contexts, 1) for of_side in edges)

    def starts(self, word: str) -> list[int]:
        """Return the characters of a word at which a span may begin: the first, and those behind an affix."""
        inner = range(1, len(word)) if self.at_start else ()
        return [0, *(at for at in inner if word[:at] in self.at_start and not cuts_letter_or_number(word, at))]

    def ends(self, word: str) -> list[int]:
        """Return the characters of a word before which a span may end: the one behind it, and those with an affix."""
        inner = range(1, len(word)) if self.at_end else ()
        return [len(word), *(at for at in inner if word[at:] in self.at_end and not cuts_letter_or_number(word, at))]

    def is_slip(self, context: str, span: Span) -> bool:
        """Return whether a span cuts a word or number where the answers of the data do not."""
        if self.cut_words or not cuts_word(context, span):
            return False
        if any(cuts_letter_or_number(context, at) for at in span):
            return True
        first, last = _edges(context, span)
        is_slip_at = first.at not in self.starts(first.word), last.at not in self.ends(last.word)
        return any(slip and cuts_word(context, (at, at)) for slip, at in zip(is_slip_at, span, strict=True))


class _Edge(NamedTuple):
    """One end of an answer: the word there, and the character of the word before which the answer begins or ends."""

    word: str
    at: int
    is_start: bool
    answer: str

    def rest(self, at: int) -> tuple[str, str]:
        """Return what an answer that begins or ends there leaves outside of the word, and what it holds."""
        before, after = self.word[:at], self.word[at:]
        return (before, after) if self.is_start else (after, before)


def _edges(context: str, span: Span) -> tuple[_Edge, _Edge]:
    (start, end), words = span, word_spans(context) or (span,)
    first = words[min(bisect_right(words, start, key=itemgetter(1)), len(words) - 1)]
    last = words[max(bisect_left(words, end, key=itemgetter(0)) - 1, 0)]
    return (
        _Edge(context[slice(*first)], max(start - first[0], 0), True, context[start:end]),
        _Edge(context[slice(*last)], min(end, last[1]) - last[0], False, context[start:end]),
    )


def _left_out(edges: Sequence[_Edge], contexts: Sequence[str], habit: float) -> frozenset[str]:
    """Return what the answers leave outside at this end by habit."""
    # By what is left outside or could be: the answers, each with the rest of its word.
    left: dict[str, dict[str, str]] = defaultdict(dict)
    held: dict[str, dict[str, str]] = defaultdict(dict)
    # Where another answer holds the whole word, what is left out is a part of it.
    whole = {edge.word for edge in edges if not edge.rest(edge.at)[0]}
    for edge in edges:
        rest, inside = edge.rest(edge.at)
        if rest and edge.word not in whole and not cuts_letter_or_number(edge.word, edge.at):
            left[rest][edge.answer] = inside
    if not left:
        return frozenset()
    words = {context[slice(*word)] for context in contexts for word in word_spans(context)}
    for edge in edges:
        for at in range(1, 0 if edge.rest(edge.at)[0] else len(edge.word)):
            rest, inside = edge.rest(at)
            if rest in left:
                held[rest][edge.answer] = inside

    def is_habit(rest: str, counts: Callable[[str], bool]) -> bool:
        num_left, num_held = (sum(map(counts, answers[rest].values())) for answers in (left, held))
        return num_left >= habit and num_left > num_held

    return frozenset(rest for rest in left if is_habit(rest, bool) or is_habit(rest, words.__contains__))


NO_AFFIXES = Affixes()
