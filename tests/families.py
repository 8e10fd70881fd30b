"""Tiny checkpoints of the families of encoders, each with a tokenizer of its family's kind, as their folders have them.

The tokenizers are trained on a few lines of several scripts, so that each cuts some words and knows others whole. The
models are untrained, and read windows of 64 tokens.
"""

import functools
import tempfile
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AlbertTokenizer,
    BertTokenizer,
    CamembertTokenizer,
    DebertaV2Tokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

FAMILIES = (
    "bert", "electra", "distilbert", "albert", "roberta", "xlm-roberta", "camembert", "mpnet", "deberta-v2",
    "modernbert", "nomic_bert", "eurobert",
)  # fmt: skip
HEADS = {
    "encoder": MODEL_MAPPING,
    "question_answering": MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    "token_classification": MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    "masked_lm": MODEL_FOR_MASKED_LM_MAPPING,
}
KINDS = tuple(HEADS)
MAX_POSITIONS = 64
TEXT = """
The capital of France is Paris. What is the capital? The man was in the city by the river in the year 1900.
When was the woman in London, Rome, Berlin, Oslo or Lima? Who wrote the book in 1817, and where did he live?
Marie Skłodowska was born in Warszawa; her café noir was a naïve résumé. Die Straße führt über die Brücke.
In the city of Zürich the man was by the river. It's not about C# or 1,431 books - it is about the "capital".
Москва — столица России. Река течёт через город. Η Αθήνα είναι η πρωτεύουσα της Ελλάδας.
القاهرة هي عاصمة مصر وأكبر مدنها. ירושלים היא עיר עתיקה. दिल्ली भारत की राजधानी है। नमस्ते
东京是日本的首都。東京は日本の首都です。서울은 대한민국의 수도이다. 한국 กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย
Thành phố Hà Nội là thủ đô của Việt Nam. İstanbul büyük bir şehirdir. Ää on pitkä vokaali.
""".strip().splitlines()
# Words of the texts that tests train on, so that these have few tokens.
TEXT += ["capital", "city", "river", "year", "man", "the", "was", "The", "What", "When"] * 20


def kinds_of(family: str) -> tuple[str, ...]:
    """Return which of `KINDS` transformers has a class for."""
    config_class = CONFIG_MAPPING[family]
    return tuple(kind for kind, classes in HEADS.items() if config_class in classes)


# Pieces are learned by BPE for all: its trainer finds the same ones in every process, unlike those of WordPiece and
# Unigram.


def _pieces(normalizer, pre_tokenizer) -> list[str]:
    """Return characters and frequent parts of the words of the text, in the order in which they were found."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=350, show_progress=False))
    return sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)


def _wordpiece(special: list[str], lowercase: bool) -> dict[str, int]:
    pieces = _pieces(normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer())
    names = special + pieces + [f"##{piece}" for piece in pieces]
    return {name: token_id for token_id, name in enumerate(names)}


def _unigram(first: list[str], last: list[str], normalizer) -> list[tuple[str, float]]:
    """Return pieces with their scores; in the vocabularies of SentencePiece, special tokens are pieces of score 0."""
    pieces = _pieces(normalizer, pre_tokenizers.Metaspace())
    # Each piece costs something, so that few are taken; the later ones, which are rarer, cost more.
    scored = [(piece, -1 - index / 100) for index, piece in enumerate(pieces)]
    return [(name, 0.0) for name in first] + scored + [(name, 0.0) for name in last]


def _byte_bpe(pre_tokenizer, special: list[str]) -> models.BPE:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=450, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer.model


def _bert(lowercase: bool = True) -> PreTrainedTokenizerFast:
    vocabulary = _wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lowercase)
    return BertTokenizer(vocab=vocabulary, do_lower_case=lowercase)


def _mpnet() -> PreTrainedTokenizerFast:
    return MPNetTokenizer(vocab=_wordpiece(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"], lowercase=True))


def _roberta() -> PreTrainedTokenizerFast:
    model = _byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = model.save(folder)
        return RobertaTokenizer(vocab=vocabulary, merges=merges)


def _xlm_roberta() -> PreTrainedTokenizerFast:
    return XLMRobertaTokenizer(vocab=_unigram(["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"], normalizers.NFC()))


def _camembert() -> PreTrainedTokenizerFast:
    first = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
    return CamembertTokenizer(vocab=_unigram(first, ["<mask>"], normalizers.NFC()))


def _albert() -> PreTrainedTokenizerFast:
    normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    return AlbertTokenizer(vocab=_unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], [], normalizer))


def _deberta_v2() -> PreTrainedTokenizerFast:
    vocabulary = _unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], ["[MASK]"], normalizers.NFC())
    return DebertaV2Tokenizer(vocab=vocabulary, unk_id=3)


def _modernbert() -> PreTrainedTokenizerFast:
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(_byte_bpe(pre_tokenizer, special))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFC(), pre_tokenizer
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens([AddedToken(" " * count, normalized=False) for count in range(4, 1, -1)])  # for source code
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    # Offsets are not trimmed: a token's range begins with the space before the word.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
        mask_token="[MASK]",
    )  # fmt: skip


def _eurobert() -> PreTrainedTokenizerFast:
    bos, eos, pad, mask = "<|begin_of_text|>", "<|end_of_text|>", "<|pad|>", "<|mask|>"
    words = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    )
    pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(words, behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer = Tokenizer(_byte_bpe(pre_tokenizer, []))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens([bos, eos, pad, mask])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(
            single=f"{bos} $A {eos}",
            pair=f"{bos} $A {eos} $B:1 {eos}:1",
            special_tokens=[(name, tokenizer.token_to_id(name)) for name in (bos, eos)],
        ),
    ])  # fmt: skip
    # It has neither a [CLS] nor a [SEP], nor an unknown token: it knows all bytes.
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=pad, mask_token=mask
    )


TOKENIZERS = {
    "albert": _albert, "roberta": _roberta, "xlm-roberta": _xlm_roberta, "camembert": _camembert, "mpnet": _mpnet,
    "deberta-v2": _deberta_v2, "modernbert": _modernbert, "eurobert": _eurobert,
}  # fmt: skip


@functools.cache
def make_tokenizer(family: str, lowercase: bool = True) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a family, made once a process; without `lowercase`, a BERT-like one keeps the case."""
    if family in TOKENIZERS:
        return TOKENIZERS[family]()
    return _bert(lowercase)


# What differs from the family's published models, beside the sizes that `make_checkpoint` gives to all.
CONFIGS = {
    "electra": {"embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "albert": {"embedding_size": 16, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
    "camembert": {"type_vocab_size": 1},
    "deberta-v2": {
        "relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0,
    },
    "modernbert": {"local_attention": 16, "layer_types": ["full_attention", "sliding_attention"]},
    "eurobert": {"num_key_value_heads": 2},
}  # fmt: skip
# Their positions are counted from behind the padding's, 1 here as in their published models.
_POSITIONS_BEHIND_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")


def make_checkpoint(folder: Path, family: str, kind: str = "encoder", **config) -> Path:
    """Save an untrained model of a family with its tokenizer: 2 layers, 32 wide, 2 heads, windows of 64 tokens.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    family : str
        One of `FAMILIES`.
    kind : str
        One of `kinds_of(family)`: what stands above the encoder.
    **config
        Fields of the family's configuration, over those chosen here.

    Returns
    -------
    Path
        The folder.
    """
    tokenizer = make_tokenizer(family)
    fields = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    if family == "distilbert":
        fields = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if family == "modernbert":
        fields |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    if family == "eurobert":
        fields["mask_token_id"] = tokenizer.mask_token_id
    behind_padding = tokenizer.pad_token_id + 1 if family in _POSITIONS_BEHIND_PADDING else 0
    fields |= {"max_position_embeddings": MAX_POSITIONS + behind_padding, **CONFIGS.get(family, {}), **config}
    configuration = CONFIG_MAPPING[family](**fields)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        HEADS[kind][type(configuration)](configuration).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)
