"""Checks of the given answers that need no model: each is a reason, by name, to look at an answer again.

They read the text only, without a list of any language's words. They are made for few false alarms, not to find every
error.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from span_label_errors.quality.affixes import Affixes
from span_label_errors.quality.context import ContextText, TextSpans, WordRarity, stems
from span_label_errors.spans.text import (
    Span,
    answers_of,
    cuts_word,
    normalized_text,
    overlaps,
    paragraph_numbers,
    sentence_numbers,
    word_spans,
)

CHECKS = {
    "cut_word": "begins or ends inside a word or a number",
    "marks_at_edge": "begins or ends with a space or punctuation that is not its own",
    "nearer_occurrence": "the same text stands elsewhere in the context as well, clearly nearer to the question",
    "several_sentences": "goes over the end of a sentence",
    "repeated_question": "the same question is asked again about the same context and answered otherwise",
}

# Read off SQuAD: above these, nearly every other place was the one that answers the question.
_CLEARLY_NEARER = 0.1
_TIMES_NEARER = 2.0

_DOUBLE_QUOTES = '"“”„‟«»＂〝〞〟״'
_PAIRS = "() [] {} （） ［］ ｛｝ 「」 『』 ｢｣ 《》 〈〉 【】 〔〕 〖〗 ‹› ⟨⟩ ﴿﴾ ༼༽"
_CLOSING_OF = dict(_PAIRS.split())
_BRACKETS = {mark: pair for pair in _CLOSING_OF.items() for mark in pair}
# "#1", "@home", "&c", "§ 5", "¿Qué?", "'tis", "/etc", "*nix"; "47%", "5′", "A*", "Jobs'", "Yahoo!", "Who's Who?".
_OWN_AT_START, _OWN_AT_END = "#@&§¶¿¡'’‘/*＃＠＆", "%‰′″#*'’!?！？…٪؟％׳॰"
_NO_SENTENCE_BEGINS = re.compile(r"\.(?:[,;:]|\s+(?P<letter>\w))")


def failed_checks(
    examples: Iterable[dict],
    rarity: WordRarity | None = None,
    affixes: Affixes | None = None,
    *,
    compares: bool = True,
) -> list[list[str]]:
    """Check the given answers of a data set.

    Parameters
    ----------
    examples : iterable of dict
        n valid examples in the SQuAD schema. What is an abbreviation is learned from their contexts.
    rarity, affixes : WordRarity, Affixes
        Which words are rare in their contexts, and what their answers leave of words, where that is known already.
    compares : bool
        Whether two examples with one question and context are a question that is asked again.

    Returns
    -------
    list of list of str
        For each of the n examples, the names of the checks that one of its answers fails, in the order of `CHECKS`.
    """
    examples = list(examples)
    contexts = list(dict.fromkeys(example["context"] for example in examples))
    rarity, abbreviations = rarity or WordRarity(contexts), _Abbreviations(contexts)
    affixes = affixes or Affixes((example["context"], answer) for example in examples for answer in answers_of(example))
    asked_again = answered_otherwise(examples) if compares else set()
    failed = []
    for example_index, example in enumerate(examples):
        context, answers = example["context"], answers_of(example)
        fails = {
            "cut_word": any(affixes.is_slip(context, answer) for answer in answers),
            "marks_at_edge": any(_has_marks_at_edge(context, answer, abbreviations) for answer in answers),
            "nearer_occurrence": any(_has_nearer_occurrence(example, answer, answers, rarity) for answer in answers),
            "several_sentences": any(_has_several_sentences(context, answer, abbreviations) for answer in answers),
            "repeated_question": example_index in asked_again,
        }
        failed.append([name for name in CHECKS if fails[name]])
    return failed


class _Abbreviations:
    """The words of a collection of texts whose full stop is their own."""

    def __init__(self, texts: Iterable[str]):
        self._count, self._stopped, self._going_on = Counter(), Counter(), Counter()
        for text in texts:
            for start, end in word_spans(text):
                word = text[start:end]
                self._count[word] += 1
                if text.startswith(".", end):
                    self._stopped[word] += 1
                    follows = _NO_SENTENCE_BEGINS.match(text, end)
                    letter = follows["letter"] if follows else "."
                    self._going_on[word] += letter is None or letter.islower() or letter.isdigit()

    def __contains__(self, word: str) -> bool:
        if any(character.isdigit() for character in word) or not self._stopped[word]:
            return False
        # "U.S", "a.m"; the initials of a name. A character of a script without capitals is no initial.
        if "." in word or (len(word) == 1 and word.lower() != word.upper()):
            return True
        if 2 * self._going_on[word] >= self._stopped[word]:
            return True
        # "St" and "Gen" stand before capitals, but never without their full stop.
        seldom_without = self._stopped[word] >= 0.9 * self._count[word]
        long_known = self._stopped[word] >= 3 and len(word) <= 5
        return seldom_without and (long_known or (len(word) <= 3 and word[0].isupper()))


def _has_marks_at_edge(context: str, answer: Span, abbreviations: _Abbreviations) -> bool:
    text = context[slice(*answer)]
    if text != text.strip():
        return True
    first, last = text[0], text[-1]
    before = context[: answer[0]][-1:]
    # ".NET" and "-5", but not the full stop or the hyphen between two words.
    is_sign = first in ".-–" and text[1:2].isalnum() and not before.isalnum()
    if _is_mark(first, text) and first not in _OWN_AT_START and not is_sign:
        return True
    words = word_spans(text)
    is_own_stop = last == "." and words and words[-1][1] == len(text) - 1 and text[slice(*words[-1])] in abbreviations
    return _is_mark(last, text) and last not in _OWN_AT_END and not is_own_stop


def _is_mark(mark: str, text: str) -> bool:
    """Return whether a character is punctuation that does not belong to its text; a pair of marks does."""
    if mark in _DOUBLE_QUOTES:
        # Within a word of Hebrew, they mark an abbreviation.
        own = sum(mark in _DOUBLE_QUOTES for start, end in word_spans(text) for mark in text[start:end])
        return (sum(text.count(quote) for quote in _DOUBLE_QUOTES) - own) % 2 == 1
    if mark in _BRACKETS:
        opening, closing = _BRACKETS[mark]
        return text.count(opening) != text.count(closing)
    return unicodedata.category(mark).startswith("P")


def _has_nearer_occurrence(example: dict, answer: Span, answers: Sequence[Span], rarity: WordRarity) -> bool:
    context, text = example["context"], example["context"][slice(*answer)]
    if not example["question"] or cuts_word(context, answer):
        return False
    if context.count(text) == 1:
        return False
    others = [match.span() for match in re.finditer(re.escape(text), context)]
    # A place that is a given answer as well is not overlooked.
    others = [other for other in others if not _overlap_any(other, answers) and not cuts_word(context, other)]
    if not others:
        return False
    own = set(stems(text))  # these stand at every occurrence
    weights = {word: rarity.of(word) for word in stems(example["question"]) if word not in own}
    places = TextSpans(ContextText(context, rarity), *np.array([answer, *others]).T)
    given, *elsewhere = places.words.highest(places.text.nearness(weights))
    return max(elsewhere) >= max(given + _CLEARLY_NEARER, _TIMES_NEARER * given)


def _has_several_sentences(context: str, answer: Span, abbreviations: _Abbreviations) -> bool:
    words = [(answer[0] + start, answer[0] + end) for start, end in word_spans(context[slice(*answer)])]
    if len(words) < 2:
        return False
    numbers = sentence_numbers(context, np.array([start for start, _ in words], dtype=np.int64))
    last_words = [words[position] for position in np.flatnonzero(np.diff(numbers))]
    # The number of a sentence changes behind the full stop of "St." or "J." as well.
    return not all(context.startswith(".", end) and context[start:end] in abbreviations for start, end in last_words)


def answered_otherwise(examples: Sequence[dict]) -> set[int]:
    """Return the indices of examples whose question and context stand in another example with another answer.

    Spellings that differ in case or white space are one context. Another context may rightly answer the same question
    otherwise ("When was he born?").
    """
    repeated: dict[tuple[int, str], list[int]] = defaultdict(list)
    paragraphs = paragraph_numbers(example["context"] for example in examples)
    for example_index, (example, paragraph) in enumerate(zip(examples, paragraphs, strict=True)):
        repeated[paragraph, normalized_text(example["question"])].append(example_index)
    found = set()
    for same in repeated.values():
        if len(same) > 1:
            places = {example_index: _places(examples[example_index]) for example_index in same}
            different = set(places.values())
            found |= {index for index in same if not all(_agree(places[index], others) for others in different)}
    return found


def _places(example: dict) -> tuple[Span, ...]:
    """Return the answers' ranges in the normalised context without white space: the same for all of its spellings."""

    def place(border: int) -> int:
        return len(normalized_text(example["context"][:border]).replace(" ", ""))

    return tuple((place(start), place(end)) for start, end in answers_of(example))


def _agree(answers: Sequence[Span], others: Sequence[Span]) -> bool:
    # "Curie" and "Marie Curie" are two ways to mark one answer; two questions without an answer agree.
    return (not answers and not others) or any(_overlap_any(answer, others) for answer in answers)


def _overlap_any(span: Span, others: Sequence[Span]) -> bool:
    return any(overlaps(span, other) for other in others)
