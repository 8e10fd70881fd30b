"""The prediction for an example, and how it is put together from the example's windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from span_label_errors.model.windows import TokenizedExample, Window
from span_label_errors.spans.alignment import OUTSIDE


@dataclass(frozen=True, eq=False)
class SpanPrediction:
    """A model's prediction for one example: the T tokens of `[CLS] question [SEP] context [SEP]`.

    Unpacks as `pred_probs, tokens, labels`, and carries more by name.

    Attributes
    ----------
    pred_probs : ndarray of shape (T, K), float32
        P(class) of each token; classes are independent, rows do not sum to one. Question and special
        tokens took no part in training: theirs mean nothing.
    tokens : list of str, length T
        The piece of the original text that each token covers.
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
        keep = self.is_context
        return SpanPrediction(
            self.pred_probs[keep],
            [token for token, is_kept in zip(self.tokens, keep, strict=True) if is_kept],
            self.labels[keep],
            self.char_start[keep],
            self.char_end[keep],
            self.is_context[keep],
        )


def join_windows(
    examples: Sequence[dict],
    tokenized: Sequence[TokenizedExample],
    windows: Sequence[Window],
    window_probs: Sequence[np.ndarray],
    tokenizer,
    label_map: dict[str, int],
) -> list[SpanPrediction]:
    """Take each token's probabilities from the window that owns it.

    `[CLS]` and the question have those of the example's first window, the last `[SEP]` those of its last. The windows
    are all those of the examples, in any order; `window_probs` holds an array of shape (L, K) for each.
    """
    probs_of_examples = [
        np.empty((len(example.question.token_ids) + len(example.context.token_ids) + 3, len(label_map)), np.float32)
        for example in tokenized
    ]
    for window, probs in zip(windows, window_probs, strict=True):
        of_example = probs_of_examples[window.example_index]
        owned = window.context_start + np.flatnonzero(window.owned)
        of_example[window.token_start + owned] = probs[owned]
        if window.token_start == 0:
            of_example[: window.context_start] = probs[: window.context_start]
        if window.token_end == len(tokenized[window.example_index].labels):
            of_example[-1] = probs[-1]
    return [
        _lay_out(example, tokens, probs, tokenizer, label_map)
        for example, tokens, probs in zip(examples, tokenized, probs_of_examples, strict=True)
    ]


def _lay_out(
    example: dict, tokens: TokenizedExample, pred_probs: np.ndarray, tokenizer, label_map: dict[str, int]
) -> SpanPrediction:
    question, context = tokens.question, tokens.context
    is_context = np.zeros(len(pred_probs), dtype=bool)
    is_context[len(question.token_ids) + 2 : -1] = True
    labels = np.zeros(pred_probs.shape, dtype=np.int64)
    labels[:, label_map[OUTSIDE]] = 1
    labels[is_context] = tokens.labels
    question_texts, context_texts = question.texts(example["question"]), context.texts(example["context"])
    return SpanPrediction(
        pred_probs,
        [tokenizer.cls_token, *question_texts, tokenizer.sep_token, *context_texts, tokenizer.sep_token],
        labels,
        char_start=np.concatenate([[0], question.char_start, [0], context.char_start, [0]]),
        char_end=np.concatenate([[0], question.char_end, [0], context.char_end, [0]]),
        is_context=is_context,
    )
