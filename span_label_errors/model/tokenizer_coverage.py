"""Whether a tokenizer can read the data: a script that it does not know becomes `[UNK]`, or single letters."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from span_label_errors.model.windows import TokenizedExample
from span_label_errors.spans.alignment import TokenizedText, answer_spans
from span_label_errors.spans.text import overlaps, word_spans

# With the embedded reader, languages in Latin letters stay well below each, noisy data included. Every other script is
# far above one: Thai, Amharic and Chinese are `[UNK]`, Russian, Greek, Arabic, Hebrew and Hindi single letters.
MOST_UNKNOWN, MOST_SPELLED, MOST_WIDENED = 0.1, 0.4, 0.25
FEWEST_ANSWERS = 20  # of fewer, a share says little
ENOUGH_EXAMPLES = 1000  # to measure


class UnreadableDataWarning(UserWarning):
    """Warns that a tokenizer does not know the script of the data, or does not show where its words end."""


class ReadShares(NamedTuple):
    """How much of some examples a tokenizer cannot read."""

    unknown_in_contexts: float  # share of their characters, without white space, that are in tokens for unknown text
    unknown_in_questions: float
    spelled_words: float  # share of the words of contexts that are read letter by letter
    widened_answers: float  # share of answers whose tokens hold more than the answer
    num_answers: int

    @property
    def is_readable(self) -> bool:
        """Whether a model can be expected to learn from the tokens."""
        are_widened = self.num_answers >= FEWEST_ANSWERS and self.widened_answers > MOST_WIDENED
        is_known = max(self.unknown_in_contexts, self.unknown_in_questions) <= MOST_UNKNOWN
        return is_known and self.spelled_words <= MOST_SPELLED and not are_widened


def read_shares(
    examples: Sequence[dict],
    tokenized: Sequence[TokenizedExample],
    unknown_id: int | None,
    label_map: dict[str, int],
    answers: str = "first",
) -> ReadShares:
    """Measure how much of examples their tokens leave out.

    Parameters
    ----------
    examples : sequence of dict
        In the SQuAD schema.
    tokenized : sequence of TokenizedExample
        The same, tokenized.
    unknown_id : int or None
        Id of the token for unknown text; None for a tokenizer that knows all bytes.
    label_map, answers
        See `alignment.answer_spans`.

    Returns
    -------
    ReadShares
        Equal contexts, and equal questions, count once. Of at least twice `ENOUGH_EXAMPLES`, evenly spaced ones
        are measured.
    """
    sample = slice(None, None, max(1, len(examples) // ENOUGH_EXAMPLES))
    examples, tokenized = examples[sample], tokenized[sample]
    contexts = {example["context"]: tokens.context for example, tokens in zip(examples, tokenized, strict=True)}
    questions = {example["question"]: tokens.question for example, tokens in zip(examples, tokenized, strict=True)}
    num_answers = num_widened = 0
    for example, tokens in zip(examples, tokenized, strict=True):
        context = tokens.context
        for span in answer_spans(example, label_map, answers):
            char_range = span.char_start, span.char_end
            covered = overlaps((context.char_start, context.char_end), char_range) & context.has_text
            num_answers += 1
            num_widened += bool(
                context.char_start[covered].min() < span.char_start or context.char_end[covered].max() > span.char_end
            )
    unknown = (_share_unknown(texts.items(), unknown_id) for texts in (contexts, questions))
    return ReadShares(*unknown, _share_spelled(contexts), num_widened / max(1, num_answers), num_answers)


def _share_unknown(texts: Iterable[tuple[str, TokenizedText]], unknown_id: int | None) -> float:
    num_unknown = num_read = 0
    for text, tokens in texts:
        if not len(tokens.token_ids):
            continue
        num_read += _num_visible(text[: tokens.char_end[-1]])  # a question may have been cut
        is_unknown = tokens.token_ids == unknown_id
        pieces = zip(tokens.char_start[is_unknown], tokens.char_end[is_unknown], strict=True)
        num_unknown += sum(_num_visible(text[start:end]) for start, end in pieces)
    return num_unknown / max(1, num_read)


def _share_spelled(tokens_of: Mapping[str, TokenizedText]) -> float:
    """Return the share of words with letters that have several, each of them a token of its own."""
    num_spelled = num_words = 0
    for text, tokens in tokens_of.items():
        starts = np.unique(tokens.char_start[tokens.has_text])
        words = np.array(word_spans(text), dtype=np.int64).reshape(-1, 2)
        num_letters = np.cumsum([0, *map(str.isalpha, text)])[words] @ (-1, 1)
        num_tokens = np.searchsorted(starts, words) @ (-1, 1)
        num_words += int((num_letters > 0).sum())
        num_spelled += int(((num_letters > 1) & (num_tokens >= num_letters)).sum())
    return num_spelled / max(1, num_words)


def _num_visible(text: str) -> int:
    return len("".join(text.split()))


def warn_if_unreadable(shares: ReadShares, model_path: str) -> bool:
    """Warn, with an `UnreadableDataWarning`, of a checkpoint whose tokenizer cannot read the data; return if so.

    `model_path` is what the checkpoint was asked for by.
    """
    if shares.is_readable:
        return False
    warnings.warn(
        f"the tokenizer of {model_path!r} cannot read this data: {shares.unknown_in_contexts:.0%} of the characters of "
        f"the contexts, and {shares.unknown_in_questions:.0%} of those of the questions, are in words that it does not "
        f"know ([UNK]); {shares.spelled_words:.0%} of the words are read letter by letter; and of "
        f"{shares.widened_answers:.0%} of the answers the tokens hold more than the answer. The run goes on, but its "
        "probabilities and issues will mean little. Name a model_checkpoint that reads the "
        'language: one that was trained on many, such as "FacebookAI/xlm-roberta-base", or on this one',
        UnreadableDataWarning,
        stacklevel=3,
    )
    return True
