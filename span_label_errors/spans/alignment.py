"""Align answer spans, which count characters, with tokens.

All offsets are half-open character ranges of the original text: a token is the piece `text[char_start:char_end]`,
whatever the tokenizer did to it (lower-casing, stripped accents, `[UNK]`). A token that stands for no text, such as one
for a space, has an empty range.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from span_label_errors.spans.agreement import most_agreed
from span_label_errors.spans.offsets import WORD_MARK, surface_offsets
from span_label_errors.spans.text import overlaps

OUTSIDE = "O"
DEFAULT_LABEL_MAP = {OUTSIDE: 0, "ANS": 1}
ANSWERS = ("first", "all", "each")
_TEXTS_AT_ONCE = 1000


class AnswerSpan(NamedTuple):
    """A labelled span of the context, `context[char_start:char_end]`."""

    class_name: str
    char_start: int
    char_end: int


class TokenizedText(NamedTuple):
    """The tokens of one text; three arrays of the same length T."""

    token_ids: np.ndarray  # (T,) int32, in the tokenizer's vocabulary
    char_start: np.ndarray  # (T,) int32
    char_end: np.ndarray  # (T,) int32

    @property
    def has_text(self) -> np.ndarray:
        """Which tokens stand for a piece of the text, (T,) bool."""
        return self.char_start < self.char_end

    def texts(self, text: str) -> list[str]:
        """Return the T pieces of the original text that the tokens cover."""
        return text_pieces(text, self.char_start, self.char_end)


def text_pieces(text: str, char_start: np.ndarray, char_end: np.ndarray) -> list[str]:
    """Return the T pieces `text[char_start[i]:char_end[i]]`, from offsets of shape (T,)."""
    # Most tokens of a data set are the same few thousand words: kept once, they take a tenth of the memory.
    return [sys.intern(text[start:end]) for start, end in zip(char_start.tolist(), char_end.tolist(), strict=True)]


def check_label_map(label_map: dict[str, int]) -> dict[str, int]:
    """Check that a label map numbers its classes 0 … K-1 and has the class `O`.

    Parameters
    ----------
    label_map : dict
        Name of each class to its column, such as `{"O": 0, "ANS": 1}`.

    Returns
    -------
    dict
        The same map, ordered by column.

    Raises
    ------
    ValueError
        If `O` or a span class is missing, the columns are not 0 … K-1, or a name could not be part of
        a file's name.
    """
    if not isinstance(label_map, dict) or not all(isinstance(name, str) and name for name in label_map):
        raise ValueError(f"label_map: expected a dict such as {DEFAULT_LABEL_MAP}, found {label_map!r}")
    for name in label_map:
        # Classes become columns of tables and parts of file names.
        if not re.fullmatch(r"\w[\w .-]*", name):
            raise ValueError(
                f"label_map: expected class names of letters, digits, '_', '-', '.' and spaces, found {name!r}; "
                "a class is part of a file's name, so rename it in the data"
            )
    if OUTSIDE not in label_map or len(label_map) < 2:
        raise ValueError(f"label_map: expected {OUTSIDE!r} and at least one span class, found {label_map!r}")
    columns = list(label_map.values())
    # `True` and `1.0` equal 1.
    if {type(column) for column in columns} != {int} or sorted(columns) != list(range(len(columns))):
        raise ValueError(f"label_map: expected the columns 0 to {len(columns) - 1}, found {label_map!r}")
    return dict(sorted(label_map.items(), key=lambda item: item[1]))


def check_answers(answers: str) -> str:
    """Return `answers` if it is one of `ANSWERS`: which of several answers label tokens."""
    if answers not in ANSWERS:
        raise ValueError(f'answers: expected "first", "all" or "each", found {answers!r}')
    return answers


def span_classes(label_map: dict[str, int]) -> list[str]:
    """Return the names of the classes that mark spans: all but `O`, by column. The map is not checked again."""
    return sorted(label_map.keys() - {OUTSIDE}, key=label_map.__getitem__)


def tokenize_texts(tokenizer, texts: Sequence[str]) -> list[TokenizedText]:
    """Tokenize texts, keeping for each token the characters it covers.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
        Gives offsets; a text is neither truncated nor given special tokens.
    texts : sequence of str

    Returns
    -------
    list of TokenizedText
        One per text.
    """
    # What a tokenizer returns takes twenty times the memory of the arrays.
    parts = (texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE))
    return [tokens for part in parts for tokens in _tokenize_at_once(tokenizer, part)]


def _tokenize_at_once(tokenizer, texts: Sequence[str]) -> list[TokenizedText]:
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        truncation=False,
        # A text that happens to contain "[SEP]" must not be able to forge a separator (see `_special_ids`).
        split_special_tokens=True,
        # Texts longer than the model are cut into windows later; the warning would mislead.
        verbose=False,
    )
    token_ids = _flat(encoded["input_ids"])
    char_start, char_end = _flat(pair for of_text in encoded["offset_mapping"] for pair in of_text).reshape(-1, 2).T
    text_index = np.repeat(np.arange(len(texts)), [len(of_text) for of_text in encoded["input_ids"]])
    is_forged = np.isin(token_ids, _special_ids(tokenizer))
    if tokenizer.unk_token_id is not None:
        token_ids[is_forged] = tokenizer.unk_token_id
    elif is_forged.any():
        token_ids, char_start, char_end, text_index = (
            array[~is_forged] for array in (token_ids, char_start, char_end, text_index)
        )
    num_tokens = np.bincount(text_index, minlength=len(texts))
    is_word_mark = token_ids == tokenizer.backend_tokenizer.token_to_id(WORD_MARK)
    char_start, char_end = surface_offsets(texts, num_tokens, char_start, char_end, is_word_mark)
    borders = np.cumsum(num_tokens)[:-1]
    # Half the memory: the tokens of a whole data set may be kept.
    arrays = (np.split(array.astype(np.int32), borders) for array in (token_ids, char_start, char_end))
    return [TokenizedText(*of_text) for of_text in zip(*arrays, strict=True)]


def _flat(rows: Iterable[Iterable[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), dtype=np.int64)


def _special_ids(tokenizer) -> list[int]:
    """Return the ids that no text may have: in vocabularies of SentencePiece, special tokens are ordinary pieces."""
    ids = {*tokenizer.all_special_ids, *tokenizer("", "")["input_ids"]}
    return sorted(ids - {tokenizer.unk_token_id})


def answer_spans(example: dict, label_map: dict[str, int], answers: str = "first") -> list[AnswerSpan]:
    """Return the spans that an example's answers label.

    Parameters
    ----------
    example : dict
        An example in the SQuAD schema. Without `answers` it has no span.
    label_map : dict
        Its span classes are the names that `answers["label"]` may hold. Answers without a label belong to the only
        span class.
    answers : {"first", "all", "each"}
        Which of several answers of a class count. SQuAD's are the work of several annotators on one question: with
        "each", every one of them is judged, and the one that agrees most with the others counts (see `most_agreed`).

    Returns
    -------
    list of AnswerSpan

    Raises
    ------
    ValueError
        If an answer names no class of the label map.
    """
    check_answers(answers)
    given = example.get("answers") or {"text": [], "answer_start": []}
    classes = span_classes(label_map)
    class_names = given.get("label") or [""] * len(given["text"])
    spans = []
    for text, char_start, class_name in zip(given["text"], given["answer_start"], class_names, strict=True):
        if not class_name and len(classes) == 1:
            class_name = classes[0]
        if class_name not in classes:
            raise ValueError(
                f"expected the label of each answer to be one of {classes}, "
                f"found {class_name!r}; pass the label_map that belongs to this data"
            )
        spans.append(AnswerSpan(class_name, char_start, char_start + len(text)))
    return labelling_spans(spans, answers)


def labelling_spans(spans: list[AnswerSpan], answers: str) -> list[AnswerSpan]:
    """Return those of an example's spans that label tokens; `answers` is that of `answer_spans`."""
    if answers == "all":
        return spans
    of_class: dict[str, list[AnswerSpan]] = {}
    for span in spans:
        of_class.setdefault(span.class_name, []).append(span)
    return [
        several[most_agreed([span[1:] for span in several]) if answers == "each" else 0]
        for several in of_class.values()
    ]


def token_labels(tokens: TokenizedText, spans: Sequence[AnswerSpan], label_map: dict[str, int]) -> np.ndarray:
    """Mark the tokens that share a character with a span.

    Parameters
    ----------
    tokens : TokenizedText
        T tokens.
    spans : sequence of AnswerSpan
    label_map : dict
        K classes.

    Returns
    -------
    ndarray of shape (T, K), int8
        0 or 1. Spans of different classes may overlap; `O` is 1 where no span class is.

    Raises
    ------
    ValueError
        If a span covers no token (an answer of invisible characters only).
    """
    labels = np.zeros((len(tokens.token_ids), len(label_map)), dtype=np.int8)
    for span in spans:
        covered = overlaps((tokens.char_start, tokens.char_end), (span.char_start, span.char_end)) & tokens.has_text
        if not covered.any():
            raise ValueError(
                f"expected the answer at characters {span.char_start} to {span.char_end} to cover a token, "
                "found none: it holds no character that the tokenizer keeps; correct the answer, or leave it out"
            )
        labels[covered, label_map[span.class_name]] = 1
    labels[:, label_map[OUTSIDE]] = ~labels.any(axis=1)
    return labels
