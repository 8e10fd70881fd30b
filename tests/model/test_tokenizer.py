"""Reading a checkpoint's tokenizer, and the special tokens that it puts around texts."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from families import FAMILIES, make_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from span_label_errors.model.tokenizer import Template, is_uncased, load_tokenizer

QUESTION, CONTEXT = "Who was in the city?", "The man was in Łódź, 1817."


def in_folder(folder: Path, vocab_size: int = 2000) -> SimpleNamespace:
    """A checkpoint, as far as its tokenizer is concerned."""
    return SimpleNamespace(path=folder, vocab_size=vocab_size)


def change_json(file: Path, **changes) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, **changes}), encoding="utf-8")


# Templates


@pytest.mark.parametrize(
    ("family", "before", "between", "behind"),
    [
        ("bert", ["[CLS]"], ["[SEP]"], ["[SEP]"]),
        ("albert", ["[CLS]"], ["[SEP]"], ["[SEP]"]),
        ("deberta-v2", ["[CLS]"], ["[SEP]"], ["[SEP]"]),
        ("modernbert", ["[CLS]"], ["[SEP]"], ["[SEP]"]),
        ("roberta", ["<s>"], ["</s>", "</s>"], ["</s>"]),
        ("xlm-roberta", ["<s>"], ["</s>", "</s>"], ["</s>"]),
        ("camembert", ["<s>"], ["</s>", "</s>"], ["</s>"]),
        ("mpnet", ["<s>"], ["</s>", "</s>"], ["</s>"]),
        ("eurobert", ["<|begin_of_text|>"], ["<|end_of_text|>"], ["<|end_of_text|>"]),
    ],
)
def test_template_by_hand(family, before, between, behind):
    tokenizer = make_tokenizer(family)
    template = Template.of(tokenizer)
    parts = (template.before, template.between, template.behind)
    assert [tokenizer.convert_ids_to_tokens(part) for part in parts] == [before, between, behind]
    assert template.num_special_tokens == len(before) + len(between) + len(behind)
    assert template.padding_id == tokenizer.pad_token_id


@pytest.mark.parametrize("family", FAMILIES)
def test_template_around_texts_is_what_the_tokenizer_itself_makes_of_them(family):
    tokenizer = make_tokenizer(family)
    template = Template.of(tokenizer)
    question, context = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (QUESTION, CONTEXT))
    pair = [*template.before, *question, *template.between, *context, *template.behind]
    assert pair == tokenizer(QUESTION, CONTEXT)["input_ids"]
    alone = [*template.alone.before, *context, *template.alone.behind]
    assert alone == tokenizer(CONTEXT)["input_ids"]


def bare_tokenizer(**special) -> PreTrainedTokenizerFast:
    """A tokenizer of letters that puts nothing around texts."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "</s>": 1, "[SEP]": 2}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@pytest.mark.parametrize(
    ("special", "between"),
    [({"sep_token": "[SEP]"}, 2), ({"eos_token": "</s>"}, 1), ({"sep_token": "[SEP]", "eos_token": "</s>"}, 2)],
)
def test_two_texts_are_separated_where_the_tokenizer_does_not(special, between):
    assert Template.of(bare_tokenizer(**special)) == Template((), (between,), (), 0)


def test_tokenizer_that_cannot_separate_two_texts_is_refused():
    with pytest.raises(ValueError, match="expected a tokenizer that separates two texts"):
        Template.of(bare_tokenizer())


# Files


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_tokenizer_is_read_as_it_was_again_and_again(family, tmp_path):
    text = f"{QUESTION} {CONTEXT} </s> [SEP] ½ 漢字  ``e\u0301"
    tokenizer = make_tokenizer(family)
    expected = tokenizer(QUESTION, text)["input_ids"]
    tokenizer.save_pretrained(tmp_path / "0")
    for number in range(2):
        loaded = load_tokenizer(in_folder(tmp_path / str(number)))
        assert loaded(QUESTION, text)["input_ids"] == expected
        loaded.save_pretrained(tmp_path / str(number + 1))
        assert AutoTokenizer.from_pretrained(tmp_path / str(number + 1))(QUESTION, text)["input_ids"] == expected


def normalized(folder: Path) -> None:
    """Let the tokenizer's file read "ﬁ" as "fi"."""
    change_json(folder / "tokenizer.json", normalizer={"type": "NFKC"})


def cut_into_digits(folder: Path) -> None:
    file = folder / "tokenizer.json"
    words = json.loads(file.read_text(encoding="utf-8"))["pre_tokenizer"]
    digits = {"type": "Digits", "individual_digits": True}
    change_json(file, pre_tokenizer={"type": "Sequence", "pretokenizers": [digits, words]})


def word_pieces(folder: Path) -> None:
    """Put WordPiece under the name of another family's class, as CamemBERTv2 does."""
    vocabulary = {"[UNK]": 0, "cap": 1, "##ital": 2, "c": 3, "[CLS]": 4, "[SEP]": 5}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    change_json(folder / "tokenizer_config.json", tokenizer_class="RobertaTokenizer", **special)


@pytest.mark.parametrize(
    ("family", "change", "text", "expected"),
    [
        ("xlm-roberta", normalized, "ﬁ", ["▁", "f", "i"]),
        ("deberta-v2", normalized, "ﬁ", ["▁", "f", "i"]),
        ("roberta", cut_into_digits, "What 1817", ["What", "Ġ", "1", "8", "1", "7"]),
        ("roberta", word_pieces, "capital c", ["cap", "##ital", "c"]),
        # It is BERT's in name only.
        ("bert", normalized, "ﬁ", ["f", "##i"]),
    ],
    ids=["XLM-R, NFKC", "DeBERTa, NFKC", "RoBERTa, digits", "RoBERTa, WordPiece", "BERT, NFKC"],
)
def test_tokenizer_is_what_its_file_says_whatever_its_class_does(family, change, text, expected, tmp_path):
    make_tokenizer(family).save_pretrained(tmp_path / "given")
    change(tmp_path / "given")
    size = Tokenizer.from_file(str(tmp_path / "given" / "tokenizer.json")).get_vocab_size()
    loaded = load_tokenizer(in_folder(tmp_path / "given", size))
    loaded.save_pretrained(tmp_path / "saved")
    again = load_tokenizer(in_folder(tmp_path / "saved", size))
    by_others = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for tokenizer in (loaded, again, by_others):
        assert tokenizer.tokenize(text) == expected
        assert tokenizer(text, text)["input_ids"] == loaded(text, text)["input_ids"]


def test_cased_bert_is_told_so_by_its_options(tmp_path):
    make_tokenizer("bert", lowercase=False).save_pretrained(tmp_path)
    assert load_tokenizer(in_folder(tmp_path)).tokenize("The city") == ["The", "city"]
    change_json(tmp_path / "tokenizer_config.json", do_lower_case=True)
    assert load_tokenizer(in_folder(tmp_path)).tokenize("The city") == ["the", "city"]


@pytest.mark.parametrize("family", FAMILIES)
def test_tokenizer_is_uncased_if_it_makes_the_same_of_small_and_capital_letters(family):
    assert is_uncased(make_tokenizer(family)) == (
        family in ("bert", "electra", "distilbert", "albert", "mpnet", "nomic_bert")
    )
    assert not is_uncased(make_tokenizer("bert", lowercase=False))


@pytest.mark.parametrize("left", [["vocab.txt"], ["tokenizer_config.json"]])
def test_folder_without_the_file_of_a_tokenizer_is_refused(left, tmp_path):
    make_tokenizer("roberta").save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("<s>\nthe\n", encoding="utf-8")
    for file in tmp_path.iterdir():
        if file.name not in left:
            file.unlink()
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected a tokenizer.* tokenizer\.json"):
        load_tokenizer(in_folder(tmp_path))


def test_tokenizer_without_offsets_is_refused(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CanineTokenizer"}', encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "canine"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected a tokenizer that gives offsets.*found a CanineTokenizer"):
        load_tokenizer(in_folder(tmp_path))


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_vocabulary_larger_than_the_model_is_refused(family, tmp_path):
    make_tokenizer(family).save_pretrained(tmp_path)
    size = len(make_tokenizer(family))
    assert len(load_tokenizer(in_folder(tmp_path, size))) == size
    with pytest.raises(ValueError, match=f"at most {size - 1} tokens, .*found the token id {size - 1}"):
        load_tokenizer(in_folder(tmp_path, size - 1))
