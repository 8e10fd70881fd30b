"""Tokenize examples, and read long contexts in overlapping windows.

Each window is `[CLS] question [SEP] part of the context [SEP]`, or `[CLS] part of the context [SEP]` of data
without questions, with the special tokens of the model's own template. Windows overlap by `doc_stride`
context tokens, as in the question-answering example of `transformers`. Every context token that stands for
text is owned by exactly one window, the one that shows it with most context on both sides (the "max context"
rule of the SQuAD script of Devlin et al. 2019, arXiv 1810.04805): its probability is read there, and its label
counts there in training.

In shapes, an example has Q question tokens and C context tokens, a window L tokens, a batch B windows of which the
longest has L tokens, and a label map K classes.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch

from span_label_errors.data.examples import has_questions, problem_of_example, problem_of_mixture
from span_label_errors.model.tokenizer import Template
from span_label_errors.spans.alignment import TokenizedText, answer_spans, token_labels, tokenize_texts
from span_label_errors.spans.text import in_capitalised_words

FEWEST_SPECIAL_TOKENS = 3  # [CLS], [SEP], [SEP]; where a question is followed by two, there are four
IGNORED_LABEL = -100  # of a token that does not count in the loss, as elsewhere in PyTorch


class QuestionCutWarning(UserWarning):
    """Warns that questions are too long for a window and were cut."""


@dataclass(frozen=True)
class TokenizedExample:
    """The tokens of an example's question and context, and their labels."""

    question: TokenizedText  # Q tokens, after cutting; none without a question
    context: TokenizedText  # C tokens, never cut
    labels: np.ndarray  # (C, K) int8
    num_question_tokens_cut: int
    has_question: bool = True
    is_second_segment: np.ndarray | None = None  # (C,) bool, without a question; None: no context token is


@dataclass(frozen=True, slots=True)
class Window:
    """Context tokens `token_start` to `token_end` of an example, with the question, as a model reads them.

    A long context has dozens of windows for each of its questions. So the arrays of a window are made when they are
    asked for.
    """

    example_index: int
    example: TokenizedExample
    template: Template
    token_start: int
    token_end: int
    owned_start: int  # of the context tokens that no window shows with more context on both sides
    owned_end: int

    def __len__(self) -> int:
        """Return L = special tokens + Q + token_end - token_start."""
        return self.context_positions.stop + len(self.template.behind)

    @property
    def context_start(self) -> int:
        """Position in `input_ids` of context token `token_start`."""
        return len(self.template.before) + len(self.example.question.token_ids) + len(self.template.between)

    @property
    def context_positions(self) -> slice:
        """Positions in `input_ids` that hold context tokens."""
        return slice(self.context_start, self.context_start + self.token_end - self.token_start)

    @property
    def input_ids(self) -> np.ndarray:
        """The ids of the tokens, of shape (L,), int64."""
        before, between, behind = (
            np.array(part, np.int64) for part in (self.template.before, self.template.between, self.template.behind)
        )
        question, context = self.example.question.token_ids, self.example.context.token_ids
        return np.concatenate([before, question, between, context[self.token_start : self.token_end], behind])

    @property
    def owned(self) -> np.ndarray:
        """Which context tokens are the window's own, of shape (token_end - token_start,); none without text is."""
        token_index = np.arange(self.token_start, self.token_end)
        is_nearest = (token_index >= self.owned_start) & (token_index < self.owned_end)
        return is_nearest & self.example.context.has_text[self.token_start : self.token_end]


def check_window_size(
    max_length: int,
    doc_stride: int,
    model_max_length: int | None = None,
    num_special_tokens: int = FEWEST_SPECIAL_TOKENS,
) -> None:
    """Raise ValueError if a window is longer than the model's positions, or cannot advance beside a long question.

    `num_special_tokens` is that of the model's template; without a model, the fewest that one has.
    """
    if max_length < num_special_tokens + 2:
        raise ValueError(f"max_length: expected at least {num_special_tokens + 2}, found {max_length}")
    if model_max_length is not None and max_length > model_max_length:
        raise ValueError(
            f"max_length: expected at most {model_max_length}, the positions that the model has, found {max_length}; "
            "longer contexts are read in several windows"
        )
    largest = max_length - num_special_tokens - max_question_tokens(max_length, num_special_tokens) - 1
    if not 0 <= doc_stride <= largest:
        raise ValueError(
            f"doc_stride: expected 0 to {largest} for max_length={max_length} (the overlap must be smaller than the "
            f"half of the window that is kept for the context), found {doc_stride}"
        )


def max_question_tokens(max_length: int, num_special_tokens: int = FEWEST_SPECIAL_TOKENS) -> int:
    """Return how many question tokens a window holds: at most half of it."""
    return (max_length - num_special_tokens) // 2


def tokenize_examples(
    tokenizer,
    examples: Sequence[dict],
    label_map: dict[str, int],
    *,
    max_length: int,
    answers: str = "first",
    first_index: int = 0,
    case_as_segment: bool = False,
    kept: dict[str, TokenizedText] | None = None,
) -> list[TokenizedExample]:
    """Tokenize questions and contexts and label the context tokens.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
    examples : sequence of dict
        In the SQuAD schema; `answers` may be missing.
    label_map : dict
    max_length : int
        Tokens of a window. A question of more than half a window is cut there, with a `QuestionCutWarning` that
        counts such questions; the context is never cut.
    answers : {"first", "all", "each"}
        See `alignment.answer_spans`.
    first_index : int
        Number of the first example, where these are a part of a data set; messages count from it.
    case_as_segment : bool
        Without questions, the tokens of words that begin with a capital letter are the second segment: an uncased
        tokenizer leaves no other sign of them.
    kept : dict, optional
        Texts with their tokens, which are not tokenized again; it gets those that are.

    Raises
    ------
    ValueError
        Names the example that does not fit the schema, or whose context or answer holds no token.
    """
    of_data = has_questions(examples)
    for example_index, example in enumerate(examples, start=first_index):
        problem = problem_of_example(example, required=("context", "question")) or problem_of_mixture(example, of_data)
        if problem is not None:
            example_id = example.get("id") if isinstance(example, dict) else None
            raise ValueError(f"example {example_index} (id {example_id!r}): expected {problem[0]}; found {problem[1]}")
    # Questions on the same paragraph share its tokens.
    tokens_of = {} if kept is None else kept
    texts = dict.fromkeys(example[name] for name in ("question", "context") for example in examples)
    new_texts = [text for text in texts if text not in tokens_of]
    tokens_of.update(zip(new_texts, tokenize_texts(tokenizer, new_texts), strict=True))
    limit = max_question_tokens(max_length, Template.of(tokenizer).num_special_tokens)
    tokenized: list[TokenizedExample] = []
    for example_index, example in enumerate(examples, start=first_index):
        question, context = tokens_of[example["question"]], tokens_of[example["context"]]
        where = f"example {example_index} (id {example.get('id')!r})"
        if not context.has_text.any():
            raise ValueError(f"{where}: expected a context of at least one token, found none")
        try:
            labels = token_labels(context, answer_spans(example, label_map, answers), label_map)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        num_cut = max(0, len(question.token_ids) - limit)
        question = TokenizedText(*(array[:limit] for array in question))
        is_second_segment = None
        if case_as_segment and not of_data:
            is_second_segment = in_capitalised_words(example["context"], context.char_start, context.char_end)
        tokenized.append(TokenizedExample(question, context, labels, num_cut, of_data, is_second_segment))
    cut = [index for index, example in enumerate(tokenized) if example.num_question_tokens_cut]
    if cut:
        warnings.warn(
            f"{len(cut)} of {len(tokenized)} questions are longer than {limit} tokens, half a window of "
            f"max_length={max_length}, and were cut there; the first is example {first_index + cut[0]} "
            f"(id {examples[cut[0]].get('id')!r})",
            QuestionCutWarning,
            stacklevel=2,
        )
    return tokenized


def window_ranges(num_tokens: int, window_size: int, doc_stride: int) -> list[tuple[int, int]]:
    """Return (token_start, token_end) of windows that overlap by `doc_stride`; the last one may be shorter."""
    ranges = []
    token_start = 0
    while True:
        token_end = min(token_start + window_size, num_tokens)
        ranges.append((token_start, token_end))
        if token_end == num_tokens:
            return ranges
        token_start += window_size - doc_stride


def owning_window(ranges: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return for each of C tokens the index of the window with most context on both sides of it, shape (C,), int64.

    Of equal windows, it is the first.
    """
    num_tokens = ranges[-1][1]
    owner = np.zeros(num_tokens, dtype=np.int64)
    most_context = np.full(num_tokens, -1, dtype=np.int64)
    for window_index, (token_start, token_end) in enumerate(ranges):
        token_index = np.arange(token_start, token_end)
        context = np.minimum(token_index - token_start, token_end - 1 - token_index)
        better = context > most_context[token_start:token_end]
        owner[token_start:token_end][better] = window_index
        most_context[token_start:token_end][better] = context[better]
    return owner


def build_windows(
    tokenized: Sequence[TokenizedExample], template: Template, *, max_length: int, doc_stride: int
) -> list[Window]:
    """Cut every example into windows of at most `max_length` tokens, question and special tokens included.

    Neighbouring windows share `doc_stride` context tokens.
    """
    check_window_size(max_length, doc_stride, num_special_tokens=template.num_special_tokens)
    windows, alone = [], template.alone
    for example_index, example in enumerate(tokenized):
        of_example = template if example.has_question else alone
        window_size = max_length - of_example.num_special_tokens - len(example.question.token_ids)
        ranges = window_ranges(len(example.context.token_ids), window_size, doc_stride)
        # The tokens that a window owns are a range.
        owned = np.searchsorted(owning_window(ranges), np.arange(len(ranges) + 1)).tolist()
        windows += [
            Window(example_index, example, of_example, *tokens, *of_window)
            for tokens, of_window in zip(ranges, pairwise(owned), strict=True)
        ]
    return windows


def training_item(window: Window, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return `model_inputs` of a window, and its `labels`, of an example's labels of shape (C, K).

    The window's labels have the shape (L, K), and are `IGNORED_LABEL` at every question, special and not owned token.
    """
    item_labels = np.full((len(window), labels.shape[1]), IGNORED_LABEL, dtype=np.float32)
    window_labels = labels[window.token_start : window.token_end]
    item_labels[window.context_positions] = np.where(window.owned[:, None], window_labels, IGNORED_LABEL)
    return {**model_inputs(window), "labels": item_labels}


def model_inputs(window: Window) -> dict[str, np.ndarray]:
    """Return `input_ids` and `token_type_ids` of a window, both of shape (L,).

    A question is the first segment and its context the second. A context alone is the first, but for the words that are
    marked by the second.
    """
    token_type_ids = np.zeros(len(window), dtype=np.int64)
    if window.example.has_question:
        token_type_ids[window.context_start :] = 1
    elif window.example.is_second_segment is not None:
        token_type_ids[window.context_positions] = window.example.is_second_segment[
            window.token_start : window.token_end
        ]
    return {"input_ids": window.input_ids, "token_type_ids": token_type_ids}


def pad_windows(
    items: Sequence[dict[str, np.ndarray]], pad_token_id: int, multiple: int = 1
) -> dict[str, torch.Tensor]:
    """Return the inputs and labels of a batch of windows as tensors, and the `attention_mask`.

    The shapes are (B, L), and (B, L, K) of labels, where L is the length of the longest window, or the next `multiple`.
    """
    padding = {
        "input_ids": pad_token_id,
        "token_type_ids": 0,  # nosec B105 # the number of a segment
        "labels": IGNORED_LABEL,
    }
    lengths = [len(item["input_ids"]) for item in items]
    longest = math.ceil(max(lengths) / multiple) * multiple
    batch = {}
    for name in items[0]:
        arrays = [item[name] for item in items]
        shape = (len(items), longest, *arrays[0].shape[1:])
        padded = np.full(shape, padding[name], dtype=arrays[0].dtype)
        for row, array in zip(padded, arrays, strict=True):
            row[: len(array)] = array
        batch[name] = torch.from_numpy(padded)
    is_token = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
    return {**batch, "attention_mask": is_token.long()}


def pack_windows(items: Sequence[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Return the inputs and labels of a batch of windows end to end in one row, as tensors, without padding.

    The shapes are (1, T), and (1, T, K) of labels, where T is the sum of the windows' lengths. `position_ids`, (1, T),
    count from each window's beginning, and `window_bounds`, (B + 1,) int32, say where each begins and the last ends.
    """
    lengths = [len(item["input_ids"]) for item in items]
    batch = {name: torch.from_numpy(np.concatenate([item[name] for item in items]))[None] for name in items[0]}
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    return {**batch, "position_ids": positions, "window_bounds": bounds}
