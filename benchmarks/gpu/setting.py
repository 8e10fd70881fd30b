"""What all sections measure with: sizes, data, models, and how fast the device multiplies matrices."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoTokenizer

from span_label_errors.data.squad import load_squad
from span_label_errors.files import new_folder
from span_label_errors.model.network import load_network
from span_label_errors.model.windows import build_windows, tokenize_examples
from spanbert import QA, QATrainer

from ..synthetic_squad import vocabulary_of, write_squad, write_untrained_bert
from .rows import Rows

LABEL_MAP = {"O": 0, "ANS": 1}
MAX_LENGTH = 384
SEED = 0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    base: dict  # sizes of BERT base, as fields of BertConfig
    backbone: dict  # of the embedded backbone
    pool: int  # examples that batches are drawn from
    batch_sizes: tuple[int, ...]
    batch_size: int  # of what is looked at closely
    compiled_batch_sizes: tuple[int, ...]
    batches: int  # of an epoch of training steps
    at_once: tuple[tuple[str, int], ...]  # trainings: eager or compiled, and how many
    predicted: int  # examples
    matrix: int  # rows and columns
    attention: tuple[int, int, int, int]  # windows, heads, tokens, numbers of a head
    calls: int  # of attention
    examples: int  # of the whole pipeline
    demo: int | None  # examples of the demo; None: all


REAL = Size(
    base={}, backbone={"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}, pool=6000,
    batch_sizes=(32, 2, 8, 64, 128), batch_size=32, compiled_batch_sizes=(32, 64, 8), batches=24,
    at_once=tuple((variant, number) for number in (1, 3, 2) for variant in ("eager", "compiled")), predicted=4096,
    matrix=8192, attention=(32, 12, 184, 64), calls=20, examples=87_599, demo=None,
)  # fmt: skip
_TINY_BERT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
TINY = Size(
    base=_TINY_BERT, backbone=_TINY_BERT, pool=60, batch_sizes=(4, 2), batch_size=4, compiled_batch_sizes=(4,),
    batches=3, at_once=(("compiled", 2),), predicted=12, matrix=64, attention=(2, 2, 32, 8), calls=2, examples=24,
    demo=24,
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Rows to fill, and what they are measured with."""

    rows: Rows
    size: Size
    bundle: Path
    work: Path

    @classmethod
    def of(cls, rows: Rows, bundle: Path, work: Path, *, tiny: bool) -> "Bench":
        """Return the setting of a section; models and data of another size have another folder."""
        return cls(rows, TINY if tiny else REAL, bundle, work / ("tiny" if tiny else "real"))

    @cached_property
    def tokenizer(self):
        """The embedded backbone's, as `prepare` has brought it along."""
        folder = self.bundle / "tokenizer"
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder}: expected a tokenizer; run make gpu-bench-bundle, and bring its folder here"
            )
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder that is here

    def checkpoint(self, name: str) -> Path:
        """Return the folder of a BERT of random weights, of the sizes that `name` has in `Size`."""
        folder = self.work / name
        if not folder.exists():
            with new_folder(folder) as partial:
                write_untrained_bert(partial, self.tokenizer, **getattr(self.size, name))
        return folder

    def trainer(self, name: str = "base") -> QATrainer:
        """Return the trainer of a BERT of random weights."""
        return QATrainer(QA(self.checkpoint(name)), MAX_LENGTH, LABEL_MAP)

    def data_file(self, num_examples: int) -> Path:
        """Return a file of made-up examples of SQuAD's lengths."""
        file = self.work / f"squad-{num_examples}.json"
        if not file.exists():
            self.work.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            write_squad(partial, num_examples, vocabulary_of(self.tokenizer))
            partial.replace(file)
        return file

    def pool(self) -> list[dict]:
        """Return the examples that batches are drawn from."""
        return list(load_squad(self.data_file(self.size.pool)))


def window_lengths(trainer: QATrainer, examples: Sequence[dict]) -> list[list[int]]:
    """Return for each example the tokens of its windows, special tokens included."""
    tokenized = tokenize_examples(trainer.qa.tokenizer, examples, LABEL_MAP, max_length=MAX_LENGTH)
    windows = build_windows(tokenized, trainer.qa.template, max_length=MAX_LENGTH, doc_stride=trainer.doc_stride)
    lengths: list[list[int]] = [[] for _ in examples]
    for window in windows:
        lengths[window.example_index].append(len(window))
    return lengths


def num_parameters(qa: QA) -> int:
    """Return how many parameters a token is multiplied with: all but the embeddings, which are looked up."""
    network = load_network(qa.checkpoint, LABEL_MAP, SEED)
    embeddings = sum(weights.numel() for weights in network.base_model.embeddings.parameters())
    return sum(weights.numel() for weights in network.parameters()) - embeddings


def synchronize() -> None:
    """Wait for all that the device has been told to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matrix_rate(device: torch.device, size: int, products: int = 20) -> float:
    """Return the FLOPs a second of products of square matrices of random numbers: bfloat16 on a GPU, else float32."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    for _ in range(3):
        torch.mm(a, b)
    synchronize()
    started = time.perf_counter()
    for _ in range(products):
        torch.mm(a, b)
    synchronize()
    seconds = time.perf_counter() - started
    if device.type == "cuda":
        # Nothing of this shall count as memory of what is measured next.
        del a, b
        torch.cuda.empty_cache()
    return products * 2 * size**3 / seconds


def utilisation(flops_per_weight: int, parameters: int, tokens: int, seconds: float, rate: float) -> float:
    """Return the share of the matrix rate that was used: 6 FLOPs for each weight and token to train, 2 to predict."""
    return flops_per_weight * parameters * tokens / (seconds * rate)
