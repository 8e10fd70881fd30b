"""The tokenizer of a checkpoint, read as its file describes it, and how it frames a question and a context."""

import string
from dataclasses import dataclass, replace

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from span_label_errors.model.checkpoints import Checkpoint

_TOKENIZER_FILE = "tokenizer.json"
_SMALL_LETTERS = " ".join(string.ascii_lowercase)
_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class Template:
    """The ids of the special tokens that a model reads around a question and a context, or a context alone.

    `[CLS] question [SEP] context [SEP]` and `[CLS] context [SEP]` for BERT, `<s> question </s></s> context </s>` and
    `<s> context </s>` for RoBERTa.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    behind: tuple[int, ...]
    padding_id: int = 0  # any will do: what is padded is masked
    before_alone: tuple[int, ...] = ()  # of a context without a question
    behind_alone: tuple[int, ...] = ()

    @property
    def num_special_tokens(self) -> int:
        """Return how many tokens of a window are neither the question's nor the context's."""
        return len(self.before) + len(self.between) + len(self.behind)

    @property
    def alone(self) -> "Template":
        """The template of a context without a question."""
        return replace(self, before=self.before_alone, between=(), behind=self.behind_alone)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "Template":
        """Read the template off what a tokenizer makes of a pair of texts.

        Raises ValueError if it puts nothing between two texts, and has no token that could stand there.
        """
        before, between, behind = _special_parts(tokenizer, "a", "a")
        if not between:
            separators = (tokenizer.sep_token_id, tokenizer.eos_token_id)
            between = tuple(token_id for token_id in separators if token_id is not None)[:1]
            if not between:
                raise ValueError(
                    f"expected a tokenizer that separates two texts, or has a sep_token or an eos_token, found a "
                    f"{type(tokenizer).__name__} with neither; take the checkpoint of an encoder"
                )
        padding_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return cls(before, between, behind, padding_id, *_special_parts(tokenizer, "a"))


def _special_parts(tokenizer: PreTrainedTokenizerFast, *texts: str) -> list[tuple[int, ...]]:
    """Return the ids of the special tokens before, between and behind one text or two."""
    encoded = tokenizer(*texts)
    parts: list[list[int]] = [[] for _ in range(len(texts) + 1)]
    num_begun = 0
    for token_id, text_index in zip(encoded["input_ids"], encoded.sequence_ids(0), strict=True):
        if text_index is None:
            parts[num_begun].append(token_id)
        else:
            num_begun = text_index + 1
    return [tuple(part) for part in parts]


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a checkpoint; no code of it is run.

    `AutoTokenizer` builds what its class says and drops what tokenizer.json says otherwise, the kind of model
    included. Here the file counts; of a BERT-like one, the options of tokenizer_config.json do, as ever.

    Raises
    ------
    ValueError
        If the files are damaged, do not fit the model, or are none that offsets can be had from.
    """
    path = checkpoint.path
    try:
        tokenizer = AutoTokenizer.from_pretrained(  # nosec B615 # a folder that is here has no revision
            path, local_files_only=True, trust_remote_code=False
        )
        file = path / _TOKENIZER_FILE
        written = Tokenizer.from_file(str(file)) if file.is_file() else None
    except Exception as error:
        # What it raises for a damaged file has no common type.
        raise ValueError(
            f"{path}: expected a tokenizer that can be read ({_TOKENIZER_FILE} or vocab.txt); {type(error).__name__}: "
            f"{error}; take it from the same checkpoint again"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(
            f"{path}: expected a tokenizer that gives offsets ({_TOKENIZER_FILE}), found a {type(tokenizer).__name__}; "
            "take a checkpoint with that file"
        )
    if written is None and not _is_like_bert(tokenizer.backend_tokenizer):
        raise ValueError(
            f"{path}: expected a tokenizer as {_TOKENIZER_FILE}, found none. Where sentencepiece and tiktoken are "
            "installed, AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER) writes it; copy it here"
        )
    if written is not None and not (_is_like_bert(tokenizer.backend_tokenizer) and _is_like_bert(written)):
        names = {name: getattr(tokenizer, name) for name in _SPECIAL_NAMES}
        # A name that the file does not know, such as a default of the class, would become a token that no model has.
        known = {name: token for name, token in names.items() if token and written.token_to_id(token) is not None}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=written, **known)
    largest = max(tokenizer.get_vocab().values())
    if largest >= checkpoint.vocab_size:
        raise ValueError(
            f"{path}: expected a tokenizer of at most {checkpoint.vocab_size} tokens, as the model's vocab_size says, "
            f"found the token id {largest}; take both from the same checkpoint"
        )
    return tokenizer


def is_uncased(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Return whether a tokenizer reads capital letters as small ones."""
    small, capital = (tokenizer(letters)["input_ids"] for letters in (_SMALL_LETTERS, _SMALL_LETTERS.upper()))
    # One that knows no letter of either kind makes the same of both.
    return small == capital and not set(small) <= set(tokenizer.all_special_ids)


def _is_like_bert(tokenizer: Tokenizer) -> bool:
    parts = (tokenizer.model, tokenizer.normalizer, tokenizer.pre_tokenizer)
    return all(map(isinstance, parts, (WordPiece, BertNormalizer, BertPreTokenizer)))
