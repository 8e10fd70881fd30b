"""The prediction for an example, and how it is put together from the example's windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from span_label_errors.spans.alignment import OUTSIDE

if TYPE_CHECKING:  # it loads torch, which whoever reads predictions does without
    from span_label_errors.model.windows import TokenizedExample, Window

# What a prediction calls the special tokens of whatever model, one row each.
BEGINNING, SEPARATOR = "[CLS]", "[SEP]"
# What a piece of a question is called that would be taken for the separator.
_FORGED = "[UNK]"


@dataclass(frozen=True, eq=False)
class SpanPrediction:
    """A model's prediction for one example: the T tokens of `[CLS] question [SEP] context [SEP]`.

    Without a question they are those of `[CLS] [SEP] context [SEP]`.

    Unpacks as `pred_probs, tokens, labels`, and carries more by name. The context begins at
    `tokens.index("[SEP]") + 1`, whatever a model calls its special tokens and however many it has in one place. Tokens
    that stand for no text, such as one for a space, are left out.

    Attributes
    ----------
    pred_probs : ndarray of shape (T, K), float32
        P(class) of each token; classes are independent, rows do not sum to one. Question and special
        tokens took no part in training: theirs mean nothing.
    tokens : list of str, length T
        The piece of the original text that each token covers; "[UNK]" in place of a question's own "[SEP]".
    labels : ndarray of shape (T, K), int64
        0 or 1, from the example's answers.
    char_start, char_end : ndarray of shape (T,), int64
        Characters that a token covers, in the context or the question; 0 and 0 for a special token.
    is_context : ndarray of shape (T,), bool
        Which tokens are the context's.
    """

    pred_probs: np.ndarray
    tokens: list[str]
    labels: np.ndarray
    char_start: np.ndarray
    char_end: np.ndarray
    is_context: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray | list[str]]:
        return iter((self.pred_probs, self.tokens, self.labels))

    def context_only(self) -> "SpanPrediction":
        """Return the same without question and special tokens."""
        return self.only(self.is_context)

    def only(self, keep: np.ndarray) -> "SpanPrediction":
        """Return the same with those tokens alone for which `keep`, of shape (T,), is true."""
        if keep.all():
            return self
        return SpanPrediction(
            self.pred_probs[keep],
            [*compress(self.tokens, keep.tolist())],
            self.labels[keep],
            self.char_start[keep],
            self.char_end[keep],
            self.is_context[keep],
        )


def join_windows(
    examples: Sequence[dict],
    tokenized: Sequence["TokenizedExample"],
    windows: Sequence["Window"],
    window_probs: Sequence[np.ndarray],
    label_map: dict[str, int],
) -> list[SpanPrediction]:
    """Take each token's probabilities from the window that owns it.

    `[CLS]` and the question have those of the example's first window, the last `[SEP]` those of its last; of several
    special tokens in one place, the last counts. The windows are all those of the examples, in any order;
    `window_probs` holds an array of shape (L, K) for each. Without a question, the first `[SEP]` has those of `[CLS]`.
    """
    probs_of_examples = [
        np.zeros((len(example.question.token_ids) + len(example.context.token_ids) + 3, len(label_map)), np.float32)
        for example in tokenized
    ]
    for window, probs in zip(windows, window_probs, strict=True):
        example, of_example = tokenized[window.example_index], probs_of_examples[window.example_index]
        first_row = len(example.question.token_ids) + 2  # of the context
        owned = np.flatnonzero(window.owned)
        of_example[first_row + window.token_start + owned] = probs[window.context_start + owned]
        if window.token_start == 0:
            question_start = len(window.template.before)
            if question_start:
                of_example[0] = probs[question_start - 1]
            of_example[1 : first_row - 1] = probs[question_start : question_start + len(example.question.token_ids)]
            if window.context_start:
                of_example[first_row - 1] = probs[window.context_start - 1]
        if window.token_end == len(example.labels):
            of_example[-1] = probs[-1]
    # Questions on one context share its tokens.
    texts_of: dict[int, list[str]] = {}
    for example, tokens in zip(examples, tokenized, strict=True):
        if id(tokens.context) not in texts_of:
            texts_of[id(tokens.context)] = tokens.context.texts(example["context"])
    return [
        _lay_out(example, tokens, texts_of[id(tokens.context)], probs, label_map)
        for example, tokens, probs in zip(examples, tokenized, probs_of_examples, strict=True)
    ]


def _lay_out(
    example: dict,
    tokens: "TokenizedExample",
    context_texts: list[str],
    pred_probs: np.ndarray,
    label_map: dict[str, int],
) -> SpanPrediction:
    question, context = tokens.question, tokens.context
    num_question, num_context = len(question.token_ids), len(context.token_ids)
    is_context = np.repeat([False, True, False], [num_question + 2, num_context, 1])
    labels = np.zeros(pred_probs.shape, dtype=np.int64)
    labels[:, label_map[OUTSIDE]] = 1
    labels[is_context] = tokens.labels
    question_texts = [_FORGED if text == SEPARATOR else text for text in question.texts(example["question"])]
    prediction = SpanPrediction(
        pred_probs,
        [BEGINNING, *question_texts, SEPARATOR, *context_texts, SEPARATOR],
        labels,
        char_start=np.concatenate([[0], question.char_start, [0], context.char_start, [0]]),
        char_end=np.concatenate([[0], question.char_end, [0], context.char_end, [0]]),
        is_context=is_context,
    )
    return prediction.only(np.concatenate([[True], question.has_text, [True], context.has_text, [True]]))
