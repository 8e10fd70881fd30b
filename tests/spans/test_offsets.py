"""Pieces of texts that the tokenizers of twelve families stand for."""

import unicodedata

import numpy as np
import pytest
from conftest import cases
from families import FAMILIES, make_tokenizer
from hypothesis import example, given
from text_strategies import TEXTS
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from span_label_errors.spans.alignment import DEFAULT_LABEL_MAP, AnswerSpan, token_labels, tokenize_texts
from span_label_errors.spans.offsets import surface_offsets

BYTE_LEVEL = ("roberta", "modernbert", "eurobert", "roberta, NFKC")
# The characters that ByteLevel writes bytes as.
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTE_OF = {chr(byte): byte for byte in PRINTABLE} | {
    chr(0x100 + number): byte for number, byte in enumerate(b for b in range(256) if b not in PRINTABLE)
}


def with_nfkc(family: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a family, with a normal form that writes one character as several, spaces among them."""
    tokenizer = Tokenizer.from_str(make_tokenizer(family).backend_tokenizer.to_str())
    tokenizer.normalizer = normalizers.NFKC()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", pad_token="<pad>")


TOKENIZERS = {family: make_tokenizer(family) for family in FAMILIES if family not in ("electra", "distilbert")} | {
    f"{family}, NFKC": with_nfkc(family) for family in ("roberta", "xlm-roberta")
}
# All families that are like BERT have BERT's tokenizer.
every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)


def pieces(name: str, text: str) -> list[str]:
    """Return the pieces of a text that tokens stand for, without the tokens that stand for none."""
    (tokens,) = tokenize_texts(TOKENIZERS[name], [text])
    return [piece for piece in tokens.texts(text) if piece]


def is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" and character != "\ufffd"


def letters(text: str) -> str:
    """The visible characters of a text in lower case and simplest form."""
    simple = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).lower())
    return "".join(filter(is_visible, simple)).replace("``", '"').replace("''", '"')


def said(name: str, token: str) -> str:
    """What a token of the vocabulary says, without the marks of its place in a word."""
    if name in BYTE_LEVEL:
        return bytes(BYTE_OF.get(character, ord(" ")) for character in token).decode(errors="ignore")
    return token.removeprefix("##").replace("▁", "")


@every_tokenizer
@cases(100)
@given(text=TEXTS)
@example("▁")
@example(" \u0301a")
@example("ﷺ ﷺ")
def test_pieces_are_in_order_whole_and_hold_what_their_tokens_say(name, text):
    tokenizer = TOKENIZERS[name]
    (tokens,) = tokenize_texts(tokenizer, [text])
    starts, ends = tokens.char_start.tolist(), tokens.char_end.tolist()
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    covered = set()
    rows = zip(tokenizer.convert_ids_to_tokens(tokens.token_ids), starts, ends, tokens.has_text, strict=True)
    for token, start, end, has_text in rows:
        piece = text[start:end]
        assert 0 <= start <= end <= len(text)
        assert has_text == (start < end)
        assert piece == piece.strip()
        covered |= set(range(start, end))
        if token == tokenizer.unk_token:
            # What no vocabulary has may be white space.
            assert has_text or any(character.isspace() or character == "\0" for character in text)
        else:
            # Of the bytes of a character that several tokens have, nothing can be said.
            assert letters(said(name, token)) in letters(piece)
    visible = {index for index, character in enumerate(text) if is_visible(character)}
    if len(starts):
        assert visible <= covered
    else:
        assert not visible


@every_tokenizer
@cases(40)
@given(text=TEXTS)
def test_every_visible_character_can_be_an_answer(name, text):
    (tokens,) = tokenize_texts(TOKENIZERS[name], [text])
    for index in filter(lambda index: is_visible(text[index]), range(len(text))):
        labels = token_labels(tokens, [AnswerSpan("ANS", index, index + 1)], DEFAULT_LABEL_MAP)
        labelled = np.flatnonzero(labels[:, 1])
        assert len(labelled)
        assert all(tokens.char_start[i] <= index < tokens.char_end[i] for i in labelled)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # A lone space, whose token has no range, the next character's, or its own.
        ("roberta", "the  city", ["the", "city"]),
        ("modernbert", "the  city\n", ["the", "city"]),
        ("xlm-roberta", "  ½", ["½"]),
        ("deberta-v2", "a  ½", ["a", "½"]),
        # The space before a word is not the word's.
        ("modernbert", "the city", ["the", "city"]),
        ("deberta-v2", "the city", ["the", "city"]),
        # A mark that the text itself has is a piece of it.
        ("xlm-roberta", "▁", ["▁"]),
        # NumPy would drop U+0000 at the end of a piece.
        ("xlm-roberta", "a \0 b", ["a", "b"]),
        ("roberta", "a\0", ["a"]),
        # Three bytes, one character.
        ("roberta", "½ ½", ["½", "½", "½", "½"]),
        # Of a Korean syllable in three letters, the normal form counts only the first.
        ("modernbert", "\u1112\u1161\u11ab", ["\u1112\u1161\u11ab"]),
        ("deberta-v2", "\u1112\u1161\u11ab", ["\u1112\u1161\u11ab"]),
        # Two marks that are read as one, of which the second is counted; the letter before it has nothing of them.
        ("albert", "a``b", ["a", "``", "b"]),
        # Spaces within a character are a part of it.
        ("albert", "ﷺ", ["ﷺ"] * 18),
    ],
)  # fmt: skip
def test_pieces_by_hand(name, text, expected):
    assert pieces(name, text) == expected


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        # A tilde that the tokenizer drops goes to the token behind it, if that begins there,
        ("ab~cd", [(0, 2), (3, 5)], [(0, 2), (2, 5)]),
        # else to the one before it, if that ends there,
        ("ab~ cd", [(0, 2), (4, 6)], [(0, 3), (4, 6)]),
        ("ab~~ cd", [(0, 2), (5, 7)], [(0, 4), (5, 7)]),
        ("ab~~cd", [(0, 2), (4, 6)], [(0, 3), (3, 6)]),
        # else to the one behind it,
        ("ab ~ cd", [(0, 2), (5, 7)], [(0, 2), (3, 7)]),
        ("~ cd", [(2, 4)], [(0, 4)]),
        # and at the end to the last.
        ("ab ~~ ~", [(0, 2)], [(0, 7)]),
        # A vowel of Korean belongs to what is before it. Nothing covers what BERT and others drop: "\ufffd", controls.
        ("\u1112\u1161\u1100", [(0, 1), (2, 3)], [(0, 2), (2, 3)]),
        ("a\ufffdb \x00", [(0, 1), (2, 3)], [(0, 1), (2, 3)]),
        # Of two tokens of one character, the first or last takes what is beside them.
        ("~é~", [(1, 2), (1, 2)], [(0, 2), (1, 3)]),
        # An empty range lies behind the token before it, and at the beginning of the text if there is none.
        (" ab  cd", [(1, 1), (1, 3), (4, 4), (5, 7)], [(0, 0), (1, 3), (3, 3), (5, 7)]),
        ("~", [(0, 0)], [(0, 0)]),
    ],
)
def test_offsets_by_hand(text, given, expected):
    """Between two other texts, which must not matter."""
    texts, ranges = ["x~", text, "~y"], [(0, 1), *given, (1, 2)]
    starts, ends = np.array(ranges).T
    starts, ends = surface_offsets(texts, [1, len(given), 1], starts, ends, np.zeros(len(ranges), dtype=bool))
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == [(0, 2), *expected, (0, 2)]


def test_token_between_two_others_that_stands_for_no_text_is_never_labelled():
    text = "the   city"
    (tokens,) = tokenize_texts(TOKENIZERS["roberta"], [text])
    assert tokens.texts(text) == ["the", "", "", "city"]
    labels = token_labels(tokens, [AnswerSpan("ANS", 0, len(text))], DEFAULT_LABEL_MAP)
    assert labels.tolist() == [[0, 1], [1, 0], [1, 0], [0, 1]]
    with pytest.raises(ValueError, match="characters 3 to 6 to cover a token, found none"):
        token_labels(tokens, [AnswerSpan("ANS", 3, 6)], DEFAULT_LABEL_MAP)


@every_tokenizer
def test_no_text_yields_a_special_token(name):
    tokenizer = TOKENIZERS[name]
    special = {*tokenizer.all_special_ids, *tokenizer("", "")["input_ids"]} - {tokenizer.unk_token_id}
    assert len(special) >= 2
    names = tokenizer.convert_ids_to_tokens(sorted(special))
    texts = [*names, " ".join(names), "".join(names), f"x{names[0]}y {names[-1]}."]
    for text, tokens in zip(texts, tokenize_texts(tokenizer, texts), strict=True):
        assert special.isdisjoint(tokens.token_ids.tolist())
        # What stands for it is visible all the same.
        assert "".join(sorted(set("".join(tokens.texts(text))))) == "".join(sorted(set(text) - {" "}))


def test_without_an_unknown_token_a_forged_one_is_left_out():
    tokenizer = Tokenizer.from_str(make_tokenizer("xlm-roberta").backend_tokenizer.to_str())
    without_unknown = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")
    before, (tokens,) = (
        tokenize_texts(without_unknown, ["the city"]),
        tokenize_texts(without_unknown, ["the </s> city"]),
    )
    assert [t for t in tokens.token_ids.tolist() if tokenizer.id_to_token(t) != "▁"] == before[0].token_ids.tolist()
    assert tokens.texts("the </s> city") == ["the", "", "</s> city"]


def test_texts_do_not_touch_each_other():
    texts = ["``", "", " a", "\u0301b", "½", "``", "▁", "x\u11ab", "\u11aby", ""]
    for tokenizer in TOKENIZERS.values():
        together = tokenize_texts(tokenizer, texts)
        for text, tokens in zip(texts, together, strict=True):
            alone = tokenize_texts(tokenizer, [text])[0]
            assert [array.tolist() for array in tokens] == [array.tolist() for array in alone]


def test_thousands_of_texts_have_the_tokens_of_each_in_their_order():
    """They are tokenized part by part."""
    texts = [f"y {number} x" for number in range(2001)]
    found = tokenize_texts(TOKENIZERS["bert"], texts)
    assert ["".join(tokens.texts(text)) for text, tokens in zip(texts, found, strict=True)] == [
        f"y{number}x" for number in range(2001)
    ]
