"""Texts that have broken offsets elsewhere, and slow references for what is made of them."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

# Arbitrary Unicode comes beside these.
PIECES = [
    "Skłodowska", "Notre", "C#", "1817", "the ", "is", " ", "\t\n", "\u00a0", "-", "'s", "…", "“",  # Latin
    "é", "e\u0301", "\u0301", "\u0345", "İ", "ẞ", "ﬁ", "Å", "\u0958",  # composed, combining, changed by lower-casing
    "שָׁלוֹם", "\ufb2c", "القاهرة", "\u202e", "\u200f",  # right to left
    "नमस्ते", "한국", "漢字", "ニホン", "Ἴωνες",  # scripts that are cut or decomposed
    "\u200b", "\u200d", "\ufeff", "\u00ad", "\x00", "\ufffd", "\ue000",  # characters that BERT throws away
    "👩\u200d👩\u200d👧", "🇵🇱", "𝐀", "\U0001d165", "x" * 101,  # astral; longer than a word may be
    "[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]", "[sep]", "##s",  # names of tokens
    "</s>", "<s>", "<pad>", "<mask>", "<unk>", "<|end_of_text|>", "▁", "▁▁",  # those of other tokenizers
    "\u1112\u1161\u11ab\u1100\u116e\u11a8", "\u1160", "½", "１２", "ﷺ", "㎏", "``", "''", "\u3000", "  ",  # composed
]  # fmt: skip
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=40))
HALVES = st.characters(categories=["Cs"])
INVISIBLE = st.text(
    st.sampled_from(" \t\n\u00a0\u3000\u200b\u200d\ufeff\u00ad\u202e\x00\x1f\ufffd\ue000\u0301"), max_size=8
)


def is_settled(character: str) -> bool:
    """Return whether the tokenizer's Unicode tables and Python's agree on a character.

    They are of different ages. A mark that takes room and is reordered (U+1D165) has the offsets of its
    neighbour in the tokenizer.
    """
    category = unicodedata.category(character)
    reordered = unicodedata.combining(character) and category != "Mn"
    return category == unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Cs") and not reordered


SETTLED_TEXTS = st.one_of(
    st.lists(st.sampled_from([piece for piece in PIECES if all(map(is_settled, piece))]), max_size=12).map("".join),
    st.text(st.characters(codec="utf-8").filter(is_settled), max_size=40),
)


@st.composite
def answers_in(draw, text: str) -> tuple[int, int]:
    """Characters of an answer that holds a letter or digit: anywhere, mid-word, at either end, or everything."""
    center = draw(st.sampled_from([index for index, character in enumerate(text) if character.isalnum()]))
    start = draw(st.one_of(st.just(0), st.just(center), st.integers(0, center)))
    end = draw(st.one_of(st.just(len(text)), st.just(center + 1), st.integers(center + 1, len(text))))
    return start, end


@st.composite
def examples(draw, texts: st.SearchStrategy[str] = TEXTS, class_names: Sequence[str] = ()) -> dict:
    """An example whose context and answers hold a letter or digit each."""
    before, behind = draw(texts), draw(texts)
    context = before + draw(st.sampled_from(["Oslo", "é", "漢", "1817", "नमस्ते"])) + behind
    ranges = draw(st.lists(answers_in(context), max_size=3))
    answers = {"text": [context[start:end] for start, end in ranges], "answer_start": [start for start, _ in ranges]}
    if class_names:
        answers["label"] = [draw(st.sampled_from(class_names)) for _ in ranges]
    question = "Who" + draw(texts)
    return {"id": "q", "title": draw(texts), "context": context, "question": question, "answers": answers}


@st.composite
def window_sizes(draw, largest: int = 64) -> tuple[int, int]:
    """A window's number of tokens, and a number that its neighbour may share."""
    max_length = draw(st.integers(5, largest))
    room = max_length - 3 - (max_length - 3) // 2
    return max_length, draw(st.one_of(st.just(0), st.just(room - 1), st.integers(0, room - 1)))


def span_of(text: str, part: str, occurrence: int = 0) -> tuple[int, int]:
    """Return where a part of a text stands."""
    start = -1
    for _ in range(occurrence + 1):
        start = text.index(part, start + 1)
    return start, start + len(part)


def word_tokens(text: str) -> np.ndarray:
    """Return the starts and ends of words and marks, as a tokenizer that cuts at both gives them, shape (2, C)."""
    return np.array([match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]).T


# Slow references: lists and loops, nothing of the project's.

CHINESE = [
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
]  # fmt: skip


def slow_tokens(text: str, vocabulary: dict[str, int], longest_word: int = 100) -> list[tuple[int, int, int]]:
    """Cut text as an uncased BERT does, character by character; return (id, start, end) of each token."""
    characters = []
    for index, character in enumerate(text):
        if character in "\0\ufffd" or (character not in "\t\n\r" and unicodedata.category(character)[0] == "C"):
            continue
        if any(first <= ord(character) <= last for first, last in CHINESE):
            characters += [(" ", index), (character, index), (" ", index)]
            continue
        for part in unicodedata.normalize("NFD", character):
            if unicodedata.category(part) != "Mn":
                characters += [(lower, index) for lower in part.lower()]
    words = [[]]
    for character, index in characters:
        if character.isspace():
            words.append([])
        elif unicodedata.category(character)[0] == "P" or (character.isascii() and not character.isalnum()):
            words += [[(character, index)], []]
        else:
            words[-1].append((character, index))
    tokens = []
    for word in filter(None, words):
        pieces, start = [], 0
        while start < len(word) <= longest_word:
            prefix = "##" if start else ""
            names = {end: prefix + "".join(c for c, _ in word[start:end]) for end in range(start + 1, len(word) + 1)}
            ends = [end for end, name in names.items() if name in vocabulary]
            if not ends:
                break
            pieces.append((vocabulary[names[ends[-1]]], word[start][1], word[ends[-1] - 1][1] + 1))
            start = ends[-1]
        tokens += pieces if start == len(word) else [(vocabulary["[UNK]"], word[0][1], word[-1][1] + 1)]
    # Combining marks behind a token are its own.
    return [(token_id, start, end + marks_at(text, end)) for token_id, start, end in tokens]


def marks_at(text: str, start: int) -> int:
    """Return how many combining marks stand at a place of a text."""
    is_mark = [unicodedata.category(character)[0] == "M" for character in text[start:]]
    return [*is_mark, False].index(False)


def slow_spans(answers: dict, classes: Sequence[str], choice: str) -> list[tuple[str, int, int]]:
    """Return (class, start, end) of the answers that count."""
    names = answers.get("label", [classes[0]] * len(answers["text"]))
    spans = [
        (name, start, start + len(text))
        for name, text, start in zip(names, answers["text"], answers["answer_start"], strict=True)
    ]
    return [
        span for index, span in enumerate(spans)
        if choice == "all" or span[0] not in [earlier[0] for earlier in spans[:index]]
    ]  # fmt: skip


def slow_labels(
    char_ranges: Sequence[tuple[int, int]], spans: Sequence[tuple[str, int, int]], label_map: dict[str, int]
) -> list[list[int]]:
    """Label tokens by the characters that they share with spans."""
    rows = []
    for token_start, token_end in char_ranges:
        row = [0] * len(label_map)
        for name, start, end in spans:
            row[label_map[name]] |= bool(set(range(token_start, token_end)) & set(range(start, end)))
        row[label_map["O"]] = int(not any(row))
        rows.append(row)
    return rows


def slow_windows(num_question: int, num_context: int, max_length: int, doc_stride: int) -> list[list[int]]:
    """Return the context tokens that each window shows beside a question of `num_question` tokens."""
    room = max_length - 3 - min(num_question, (max_length - 3) // 2)
    windows = [list(range(min(room, num_context)))]
    while windows[-1][-1] < num_context - 1:
        shared = windows[-1][room - doc_stride :]
        windows.append([*shared, *range(windows[-1][-1] + 1, num_context)][:room])
    return windows


def slow_owner(windows: Sequence[Sequence[int]], token: int) -> int:
    """Return the window that shows most context on both sides of a token; of equals, the first."""
    room = {
        index: min(window.index(token), len(window) - 1 - window.index(token))
        for index, window in enumerate(windows)
        if token in window
    }
    return max(room, key=room.get)


def touched_words(words: Sequence[tuple[int, int]], span: tuple[int, int]) -> set[int]:
    """Return which words share a character with a span."""
    return {position for position, (start, end) in enumerate(words) if set(range(start, end)) & set(range(*span))}
