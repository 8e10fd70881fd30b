"""Bad input, case by case: what a user calls, and what they are told; the table in the documentation is this one.

`python tests/test_bad_input.py` writes the table anew.
"""
# ruff: noqa: E501 - a row of a table is easier to read on one line

import hashlib
import json
import os
import pickle
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from conftest import ROOT, make_example, squad_document
from datasets import Dataset
from papermill.translators import PythonTranslator
from safetensors.torch import load_file, save_file
from transformers import BertForTokenClassification, BertModel, RobertaConfig, RobertaModel

from corrections import apply_decisions
from decisions import Answer, Decision, RefusedDecisionsError, read_decisions
from exports import read_outputs, read_shards
from fold_store import load_fold
from label_quality import span_label_quality
from parameters import ParameterError, ReviewParameters, TrainingParameters
from span_classification_tutorial_utils import read_npz
from spanbert import QA, QATrainer
from splits import make_splits
from squad import InvalidDatasetError, load_squad
from windows import QuestionCutWarning

DOCUMENT = ROOT / "docs" / "reliability.md"
CONTEXT = "Łódź lies west of Warsaw; Warsaw lies on the Vistula."  # "Warsaw" at 18 and at 26
MILLION = 1_000_000


class Bench(NamedTuple):
    """What a case works with."""

    folder: Path  # empty
    bert: Path  # a checkpoint that may be damaged

    def file(self, name: str, content: object) -> Path:
        """Write bytes, text, or anything else as JSON (one object a line, if that is what the name says)."""
        path = self.folder / name
        if name.endswith(".jsonl") and isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    def load(self, content: object, name: str = "data.jsonl", **options) -> list[dict]:
        return load_squad(self.file(name, content), **options).to_list()

    def training(self, **given: object) -> TrainingParameters:
        """What the first notebook makes of parameters that papermill passes."""
        return TrainingParameters.from_notebook({"In": ["", PythonTranslator.codify(given)], **given})

    def review(self, **given: object) -> ReviewParameters:
        return ReviewParameters.from_notebook({"In": ["", PythonTranslator.codify(given)], **given})

    def config(self, **changes: object) -> QA:
        path = self.bert / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return self.qa()

    def weights(self, change: Callable[[bytes], bytes]) -> QA:
        path = self.bert / "model.safetensors"
        path.write_bytes(change(path.read_bytes()))
        return self.qa()

    def qa(self) -> QA:
        qa = QA(self.bert, max_length=32)
        assert np.isfinite(qa.predict({"question": "What?", "context": "The city is Paris."}).pred_probs).all()
        return qa


class Trap:
    """Unpickles to a call that leaves a file behind."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


class Case(NamedTuple):
    """One input; `said` is in the message of the error or warning ("…" for anything), or says what happens without."""

    name: str
    call: Callable[[Bench], object]
    error: type[Exception] | None
    said: str


# What the cases are made of


def row(**changes: object) -> dict:
    """A valid example but for the changes."""
    return make_example("a", CONTEXT, "Which city lies east of Łódź?", "Warsaw") | changes


def answered(text: object = "Warsaw", answer_start: object = 18, **columns: object) -> dict:
    return row(answers={"text": [text], "answer_start": [answer_start], **columns})


def without(name: str) -> dict:
    return {key: value for key, value in row().items() if key != name}


def nested(*rows: dict) -> dict:
    return squad_document(list(rows or [row()]))


def text_of(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)


def byte_order_mark(bench: Bench) -> None:
    for name, content in (("a.json", text_of(nested())), ("a.jsonl", text_of(row()))):
        assert bench.load(b"\xef\xbb\xbf" + content.encode(), name) == [row()]


def windows_line_ends(bench: Bench) -> None:
    example = make_example("a", "Paris.\r\nRome.\r\nOslo.", "Which?", "Oslo")
    assert example["answers"]["answer_start"] == [15]
    content = json.dumps(nested(example), indent=1).replace("\n", "\r\n")
    assert bench.load(content, "a.json") == [example]
    assert bench.load(json.dumps(example) + "\r\n") == [example]


def other_units(encoding: str, size: int) -> dict:
    context = "Das 😀 schöne Café in Łódź"
    start = len(context[: context.index("Café")].encode(encoding)) // size
    return {"context": context, "answers": {"text": ["Café"], "answer_start": [start]}}


def million_characters(bench: Bench) -> None:
    words = ["river", "city", "Paris", "Łódź", "1817", "😀", "(and)"]
    context = " ".join(words[number * number % len(words)] + str(number) for number in range(MILLION // 8))
    context = (context + " " * MILLION)[: MILLION - 4] + "Oslo"
    assert len(context) == MILLION
    example = make_example("a", context, "Which?", "Oslo")
    started = time.perf_counter()
    loaded = bench.load(text_of(nested(example)), "a.json")
    assert loaded == [example]
    assert time.perf_counter() - started < 5
    (tokenized,) = QATrainer(QA(bench.bert, max_length=32), 32, {"O": 0, "ANS": 1}).tokenize(loaded)
    assert tokenized.context.char_end[-1] == MILLION
    assert tokenized.labels[:, 1].sum() == tokenized.labels[-4:, 1].sum() > 0
    assert time.perf_counter() - started < 60


def one_letter_a_million_times(bench: Bench, text: str) -> None:
    started = time.perf_counter()
    try:
        bench.load([row(context="a" * MILLION, answers={"text": [text], "answer_start": [MILLION - 7]})])
    finally:
        assert time.perf_counter() - started < 10


def nested_id(bench: Bench) -> None:
    # Which depth that is depends on how deep the caller stands; on the way, nothing but ValueError.
    for depth in range(1000, 0, -1):
        nested = f'{{"id":{"[" * depth}{"]" * depth},"title":"","context":"a","question":"b","answers":{{}}}}'
        try:
            bench.load(nested)
        except InvalidDatasetError:
            raise
        except ValueError as error:
            assert "nested too deeply to be read" in str(error)


def no_permission(bench: Bench) -> None:
    # Nothing is forbidden to root, whose test looks with another user's eyes.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    path = folder / "data.json"
    path.write_text(text_of(nested()))
    path.chmod(0)
    was_root = os.geteuid() == 0
    try:
        if was_root:
            os.seteuid(65534)
        load_squad(path)
    finally:
        if was_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def parquet(bench: Bench, table: dict, change: Callable[[bytes], bytes] = bytes, name: str = "a.parquet") -> list[dict]:
    path = bench.folder / name
    path.parent.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(pa.table(table), path, compression="none")
    path.write_bytes(change(path.read_bytes()))
    return load_squad(path).to_list()


def columns(**changes: object) -> dict:
    return {name: [value] for name, value in row().items()} | changes


def saved_folder(bench: Bench, damaged: str = "", content: bytes = b"") -> list[dict]:
    folder = bench.folder / "saved"
    Dataset.from_list([row()]).save_to_disk(folder)
    if damaged:
        (folder / damaged).write_bytes(content)
    return load_squad(folder).to_list()


def folder_named(bench: Bench, name: str) -> None:
    (bench.folder / name).mkdir()
    load_squad(bench.folder / name)


def written_into(bench: Bench, source: str, target: str) -> None:
    read = bench.folder / "read"
    read.mkdir()
    bench.training(**{source: str(read), target: str(read / "results")})


def few_groups(bench: Bench) -> None:
    found = bench.training(num_splits=3)
    make_splits([row(), row(id="b"), row(id="c", context="Rome.")], **found.split_options())


def traps(bench: Bench) -> list[Path]:
    """Put code beside a checkpoint that leaves a file behind if it is run, and name it wherever it could be named."""
    sprung = [bench.folder / name for name in ("imported", "unpickled")]
    (bench.bert / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(sprung[0])!r}).touch()\n"
        "from transformers import BertConfig as Config, BertModel as Model, BertTokenizerFast as Tokenizer\n"
    )
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (bench.bert / name).write_bytes(pickle.dumps(Trap(sprung[1])))
    for name, autos in (
        ("config.json", {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}),
    ):
        path = bench.bert / name
        content = json.loads(path.read_text()) | {"auto_map": autos}
        path.write_text(json.dumps(content))
    return sprung


def code_beside_the_weights(bench: Bench) -> None:
    sprung = traps(bench)
    trainer = QATrainer(bench.qa(), 32, {"O": 0, "ANS": 1})
    trainer.train([make_example("a", "The city is Paris.", "What?", "Paris")], bench.folder / "own", 1)
    QA(bench.folder / "own").predict({"question": "What?", "context": "The city is Paris."})
    assert not any(file.exists() for file in sprung)
    pickle.loads((bench.bert / "pytorch_model.bin").read_bytes())
    exec((bench.bert / "evil.py").read_text())
    assert all(file.exists() for file in sprung), "the traps themselves must work"


def code_in_the_place_of_the_tokenizer(bench: Bench) -> None:
    sprung = traps(bench)
    path = bench.bert / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "Tokenizer"}))
    bench.qa()
    assert not any(file.exists() for file in sprung)


def pickle_in_the_place_of_the_weights(bench: Bench) -> None:
    sprung = traps(bench)[1]
    (bench.bert / "model.safetensors").unlink()
    try:
        bench.qa()
    finally:
        assert not sprung.exists()


def pickle_as_safetensors(bench: Bench) -> None:
    trap = bench.folder / "sprung"
    try:
        bench.weights(lambda _: pickle.dumps(Trap(trap)))
    finally:
        assert not trap.exists()


def shards(bench: Bench, *names: object) -> None:
    (bench.bert / "model.safetensors").rename(bench.bert / "part.safetensors")
    shutil.copy(bench.bert / "part.safetensors", bench.bert.parent / "outside.safetensors")
    weight_map = {str(number): name for number, name in enumerate(names)}
    (bench.bert / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    bench.qa()


def other_architecture(bench: Bench) -> None:
    config = RobertaConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    RobertaModel(config).save_pretrained(bench.bert)
    bench.qa()


def other_head(bench: Bench) -> None:
    BertForTokenClassification.from_pretrained(bench.bert, num_labels=3).save_pretrained(bench.bert)
    bench.qa()


def changed_tensor(bench: Bench, change: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    name = "encoder.layer.1.output.dense.weight"
    tensors = load_file(bench.bert / "model.safetensors")
    tensors[name] = change(tensors[name])
    save_file(
        {key: tensor for key, tensor in tensors.items() if tensor is not None}, bench.bert / "model.safetensors",
        metadata={"format": "pt"},
    )  # fmt: skip
    bench.qa()


def removed(bench: Bench, name: str) -> None:
    (bench.bert / name).unlink()
    bench.qa()


def replaced(bench: Bench, name: str, content: str) -> None:
    (bench.bert / name).write_text(content)
    bench.qa()


def larger_vocabulary(bench: Bench) -> None:
    model = BertModel.from_pretrained(bench.bert, add_pooling_layer=False)
    model.resize_token_embeddings(40)
    model.save_pretrained(bench.bert)
    bench.qa()


def own_checkpoint(bench: Bench, name: str, content: object) -> None:
    trainer = QATrainer(bench.qa(), 32, {"O": 0, "ANS": 1})
    own = bench.folder / "own"
    trainer.train([make_example("a", "The city is Paris.", "What?", "Paris")], own, 1)
    (own / name).write_text(content if isinstance(content, str) else json.dumps(content))
    QATrainer(QA(own), 32, {"O": 0, "ANS": 1}).seen_contexts()


def npz(bench: Bench, content: bytes | None = None, **arrays: np.ndarray) -> None:
    path = bench.folder / "a.npz"
    if content is None:
        np.savez(path, **arrays)
    else:
        path.write_bytes(content)
    read_npz(path)


def npz_with_a_pickle(bench: Bench) -> None:
    trap = bench.folder / "sprung"
    array = np.empty(1, dtype=object)
    array[0] = Trap(trap)
    try:
        npz(bench, **{"0": array})
    finally:
        assert not trap.exists()
    np.load(bench.folder / "a.npz", allow_pickle=True)["0"]


def run_record(bench: Bench, content: object) -> None:
    secret = bench.folder.parent / "secret"
    secret.write_text("secret")
    bench.file("run.json", content)
    read_outputs(bench.folder)


def run_in_shards(bench: Bench, *names: str) -> None:
    for name in names:
        bench.file(name, b"x")
    bench.file("run.json", {"files": dict.fromkeys([*names, "out_of_fold.parquet"], "0")})
    read_shards(bench.folder)


def fold_record(bench: Bench, **changes: object) -> None:
    report = {"key": "k", "files": {"predictions.npz": "0"}, **changes}
    bench.file("fold.json", report)
    bench.file("predictions.npz", b"")
    load_fold(bench.folder, "k", [row()])


def fold_arrays(bench: Bench, save: Callable = np.savez, **changes: np.ndarray) -> None:
    """A fold of one example with two tokens but for the changes, whose record vouches for them."""
    counts = {"example_index": [0], "num_tokens": [2], "char_start": [0, 5], "char_end": [4, 8]}
    arrays = {name: np.array(values) for name, values in counts.items()}
    arrays |= {
        "pred_probs": np.full((2, 2), 0.5, dtype=np.float32),
        "labels": np.zeros((2, 2), dtype=np.int64),
    } | changes
    save(bench.folder / "predictions.npz", **arrays)
    digest = hashlib.sha256((bench.folder / "predictions.npz").read_bytes()).hexdigest()
    record = {"key": "k", "files": {"predictions.npz": digest}, "validation_indices": [0]}
    load_fold(bench.file("fold.json", record).parent, "k", [row()])


def fold_with_a_pickle(bench: Bench) -> None:
    trap = bench.folder / "sprung"
    array = np.empty(2, dtype=object)
    array[0] = Trap(trap)
    try:
        fold_arrays(bench, labels=array)
    finally:
        assert not trap.exists()


def label_studio(bench: Bench, **changes: object) -> list:
    value = {"start": 26, "end": 32, "text": "Warsaw", "labels": ["ANS"], **changes}
    data = {"id": "a", "text": CONTEXT, "given": [[18, 24, "ANS"]]}
    annotation = {"result": [{"from_name": "answer", "value": value}]}
    return read_decisions(bench.file("project.json", [{"data": data, "annotations": [annotation]}]))


def decided(bench: Bench, answer: Answer, **changes: object) -> None:
    decision = Decision("a", (Answer("Warsaw", 18),), (answer,))
    source = bench.file("data.json", nested(row(**changes)))
    apply_decisions(source, [decision], bench.folder / "new.json", bench.folder / "changes.json")


HEADER = "id,given_answer,given_start,correct_answer,correct_start\n"

DATA_FILES = [
    Case("UTF-8 with a byte-order mark", byte_order_mark, None, "works; the mark is no part of the text"),
    Case("line ends CR LF, in the file and in a context", windows_line_ends, None, "works; offsets count both characters"),
    Case("UTF-16", lambda b: b.load(text_of(nested()).encode("utf-16"), "a.json"), ValueError,
         "a.json: expected UTF-8 text, found what looks like UTF-16 or UTF-32; save it as UTF-8"),
    Case("UTF-16 without a byte-order mark", lambda b: b.load(text_of(nested()).encode("utf-16-le"), "a.json"), ValueError,
         "a.json: expected UTF-8 text, found what looks like UTF-16 or UTF-32; save it as UTF-8"),
    Case("JSON Lines in UTF-16", lambda b: b.load(text_of(row()).encode("utf-16")), ValueError,
         "data.jsonl, line 1: expected UTF-8 text, found what looks like UTF-16"),
    Case("Latin-1", lambda b: b.load(text_of(nested(row(title="Café"))).replace("Łódź", "").replace("ź", "")
                                     .encode("latin-1", "ignore"), "a.json"), ValueError,
         "a.json: expected UTF-8 text; 'utf-8' codec can't decode byte 0xe9 in position …; save it as UTF-8"),
    Case("JSON that breaks off", lambda b: b.load(text_of(nested())[:-9], "a.json"), ValueError,
         "a.json: expected JSON; "),
    Case("JSON Lines that break off", lambda b: b.load(json.dumps(row()) + "\n" + json.dumps(row())[:9]), ValueError,
         "data.jsonl, line 2: expected JSON; Unterminated string …"),
    Case("an empty `.json` file", lambda b: b.load(b"", "a.json"), ValueError,
         "a.json: expected JSON; Expecting value: line 1 column 1"),
    Case("an empty `.jsonl` file", lambda b: b.load(b""), ValueError, "data.jsonl: expected at least one example, found none"),
    Case("JSON nested too deeply to be read", lambda b: b.load("[" * 100_000, "a.json"), ValueError,
         "a.json: expected JSON; it is nested too deeply to be read"),
    Case("a number of 5000 digits", lambda b: b.load('{"id": ' + "9" * 5000 + "}"), ValueError,
         "data.jsonl, line 1: expected JSON; Exceeds the limit (4300 digits)"),
    Case("wrong nesting", lambda b: b.load({"data": {"title": "T"}}, "a.json"), ValueError,
         "expected the SQuAD layout data[].paragraphs[].qas[], with a list 'data' in the document; found 'data' as dict"),
    Case("JSON Lines named `.json`", lambda b: b.load(f"{json.dumps(row())}\n{json.dumps(row(id='b'))}\n", "a.json"),
         ValueError, "a.json: expected JSON; Extra data: …; is it JSON Lines? Then name it .jsonl"),
    Case("one line of JSON Lines named `.json`", lambda b: b.load(row(), "a.json"), ValueError,
         "examples that are not nested belong into a .jsonl file, one a line"),
    Case("a list of examples named `.json`", lambda b: b.load([row()], "a.json"), ValueError,
         "examples that are not nested belong into a .jsonl file, one a line"),
    Case("a SQuAD file named `.jsonl`", lambda b: b.load(json.dumps(nested())), ValueError,
         "data.jsonl: expected one example a line, found the nested SQuAD layout; name it .json"),
    Case("a SQuAD file on several lines named `.jsonl`", lambda b: b.load(json.dumps(nested(), indent=1)), ValueError,
         "data.jsonl, line 1: expected JSON; …; one document on several lines is to be named .json"),
    Case("an unknown suffix", lambda b: b.load("id,title\n", "a.csv"), ValueError,
         "a.csv: expected a file ending in .json, .jsonl, .ndjson, .parquet, found '.csv'"),
    Case("a file that is not there", lambda b: load_squad(b.folder / "a.json"), FileNotFoundError,
         'no such file or folder. Give the path of a .json, .jsonl, .ndjson, .parquet file, "demo" for the embedded data'),
    Case("a file that may not be read", no_permission, PermissionError,
         "expected a file or folder that can be read (Permission denied); change its permissions"),
    Case("a folder that is no data set", lambda b: load_squad(b.folder), ValueError,
         "expected a folder written by Dataset.save_to_disk; found one without dataset_info.json"),
    Case("a folder named `data.json`", lambda b: folder_named(b, "data.json"), ValueError,
         "data.json: expected a folder written by Dataset.save_to_disk; found one without dataset_info.json"),
    Case("a saved data set, damaged", lambda b: saved_folder(b, "state.json", b"{}"), ValueError,
         "expected a folder written by Dataset.save_to_disk, found a damaged one (KeyError: '_data_files'); write it again"),
    Case("a saved data set, its data cut short", lambda b: saved_folder(b, "data-00000-of-00001.arrow", b"ARROW1"),
         ValueError, "found a damaged one (ArrowInvalid: …); write it again"),
    Case("Parquet without the columns", lambda b: parquet(b, {"id": ["a"], "text": ["b"]}), ValueError,
         "expected the columns id, title, context, question, answers; found 'id', 'text', without title, context, question, "
         "answers; rename or add them"),
    Case("Parquet that breaks off", lambda b: parquet(b, columns(), lambda content: content[:-30]), ValueError,
         "a.parquet: expected a Parquet file; …; write it again"),
    Case("Parquet with damaged pages", lambda b: parquet(b, columns(), lambda content: content[:4] + b"\xff" * 16 + content[20:]),
         ValueError, "a.parquet: expected a Parquet file; …; write it again"),
    Case("Parquet with text that is no UTF-8", lambda b: parquet(b, columns(title=pa.Array.from_buffers(
         pa.string(), 1, pa.array([b"\xff"]).buffers()))), ValueError,
         "a.parquet: expected a Parquet file; 'utf-8' codec can't decode byte 0xff"),
    Case("Parquet in a folder named `id=5`", lambda b: parquet(b, columns(), name="id=5/a.parquet")[0]["id"] == "a" or 1 / 0,
         None, "works; the name of the folder is no column"),
    Case("a name with a null byte", lambda b: load_squad("a\0b"), ValueError, "expected a path or a name on the Hub, found 'a\\x00b'"),
    Case("a name of 5000 characters", lambda b: load_squad("x" * 5000), ValueError,
         "expected a path or a name on the Hub, found 'xxx…of 5,000 characters"),
    Case("an empty name", lambda b: load_squad(""), ValueError, "expected a path or a name on the Hub, found ''"),
    Case("the home folder of nobody", lambda b: load_squad("~no-such-user/a.json"), ValueError,
         "~no-such-user/a.json: expected the home folder of a user, found none; give the whole path"),
    Case("`num_examples` beyond the data", lambda b: b.load([row()], num_examples=2), ValueError,
         "expected at least num_examples=2 examples, found 1; use num_examples=None to take all of them"),
]  # fmt: skip

EXAMPLES = [
    Case("an offset in UTF-8 bytes", lambda b: b.load([row(**other_units("utf-8", 1))]), InvalidDatasetError,
         "example 0 (id 'a'): expected the answer 'Café' at offset 17; found …offset 17 counts UTF-8 bytes: in characters it is 13"),
    Case("an offset in UTF-16 units", lambda b: b.load([row(**other_units("utf-16-le", 2))]), InvalidDatasetError,
         "example 0 (id 'a'): expected the answer 'Café' at offset 14; found …offset 14 counts UTF-16 units: in characters it is 13"),
    Case("many offsets in UTF-8 bytes", lambda b: b.load([row(**other_units("utf-8", 1), id=str(i)) for i in range(9)]),
         InvalidDatasetError, 'The offsets of 9 of them count UTF-8 bytes; to convert: answer_start = '
         'len(context.encode("utf-8")[:answer_start].decode("utf-8"))'),
    Case("many offsets in UTF-16 units", lambda b: b.load([row(**other_units("utf-16-le", 2), id=str(i)) for i in range(9)]),
         InvalidDatasetError, 'The offsets of 9 of them count UTF-16 units; to convert: answer_start = '
         'len(context.encode("utf-16-le")[: 2 * answer_start].decode("utf-16-le"))'),
    Case("an offset next to the answer", lambda b: b.load([answered("Warsaw", 17)]), InvalidDatasetError,
         "expected the answer 'Warsaw' at offset 17; found ' Warsa' (the text is at offset 18)"),
    Case("an answer that is not in the context", lambda b: b.load([answered("Kraków", 0)]), InvalidDatasetError,
         "expected the answer 'Kraków' at offset 0; found 'Łódź l' (the text is not in the context)"),
    Case("a negative offset", lambda b: b.load([answered("Vistula", -8)]), InvalidDatasetError,
         "expected the answer 'Vistula' at offset -8; found '' (the text is at offset 45)"),
    Case("an offset beyond 2⁶³", lambda b: b.load([answered("Warsaw", 2**63)]), InvalidDatasetError,
         "expected the answer 'Warsaw' at offset 9223372036854775808; found '' (the text is at offset 26)"),
    Case("NaN for an offset", lambda b: b.load([answered("Warsaw", float("nan"))]), InvalidDatasetError,
         "expected an integer 'answer_start'; found float nan"),
    Case("a number as text for an offset", lambda b: b.load([answered("Warsaw", "18")]), InvalidDatasetError,
         "expected an integer 'answer_start'; found str '18'"),
    Case("a fraction for an offset", lambda b: b.load([answered("Warsaw", 18.0)]), InvalidDatasetError,
         "expected an integer 'answer_start'; found float 18.0"),
    Case("`true` for an offset", lambda b: b.load([answered("Warsaw", True)]), InvalidDatasetError,
         "expected an integer 'answer_start'; found bool True"),
    Case("`null` for an answer's text", lambda b: b.load([answered(None, 18)]), InvalidDatasetError,
         "expected an answer text that is not empty; found NoneType None"),
    Case("an answer of white space", lambda b: b.load([answered(" ", 4)]), InvalidDatasetError,
         "expected an answer text that is not empty; found str ' '"),
    Case("more texts than offsets", lambda b: b.load([row(answers={"text": ["Warsaw"], "answer_start": []})]),
         InvalidDatasetError, "expected as many 'answers.answer_start' as 'answers.text' (1); found 0"),
    Case("`null` for the answers", lambda b: b.load([row(answers=None)]), InvalidDatasetError,
         "expected 'answers' with 'text' and 'answer_start'; found NoneType None"),
    Case("`null` for a context", lambda b: b.load([row(context=None)]), InvalidDatasetError,
         "expected 'context' to be a string; found NoneType None"),
    Case("an empty context", lambda b: b.load([row(context=" \n")]), InvalidDatasetError,
         "expected a 'context' that is not empty; found str ' \\n'"),
    Case("a number for an id", lambda b: b.load([row(id=7)]), InvalidDatasetError,
         "example 0 (id '7'): expected 'id' to be a string; found int 7"),
    Case("an id nested as deeply as can just be read", nested_id, InvalidDatasetError,
         "expected 'id' to be a string; found list [[[…"),
    Case("a missing id", lambda b: b.load([without("id")]), InvalidDatasetError,
         "expected the field 'id'; found fields 'title', 'context', 'question', 'answers'"),
    Case("an id twice", lambda b: b.load([row(), row()]), InvalidDatasetError,
         "example 1 (id 'a'): expected a unique id; found the id of example 0 again"),
    Case("half of a surrogate pair in a question", lambda b: b.load([row(question="What is \ud83d?")]), InvalidDatasetError,
         "expected 'question' to be Unicode text; found half of a surrogate pair"),
    Case("half of a surrogate pair in a class", lambda b: b.load([answered(label=["\ud83d"])]), InvalidDatasetError,
         "expected the name of a span class in 'answers.label'; found str '\\ud83d'"),
    Case("a text for `is_impossible`", lambda b: b.load([row(is_impossible="false")]), InvalidDatasetError,
         "expected 'is_impossible' to be true or false; found str 'false'"),
    Case("an answer where `is_impossible` is true", lambda b: b.load([row(is_impossible=True)]), InvalidDatasetError,
         "expected no answer where is_impossible is true; found 1 answers"),
    Case("a thousand fields", lambda b: b.load([{str(i): i for i in range(1000)}]), InvalidDatasetError,
         "expected the field 'id'; found fields '0', '1', '2', '3', '4', '5', '6', '7', …"),
    Case("a context of a million characters", million_characters, None, "works; loads within seconds, tokenizes within a minute"),
    Case("a million times “a”, and an answer of ten not at its offset",
         lambda b: one_letter_a_million_times(b, "a" * 10), InvalidDatasetError, "(the text is at offset 999990)"),
    Case("a million times “a”, and an answer of half a million", lambda b: one_letter_a_million_times(b, "a" * 500_000),
         InvalidDatasetError, "(the text is at offset 500000)"),
    Case("a million times “a”, and an answer that has one other letter in its middle",
         lambda b: one_letter_a_million_times(b, "a" * 250_000 + "b" + "a" * 250_000), InvalidDatasetError,
         "(the text is not in the context)"),
    Case("some invalid examples, with `on_invalid=\"drop\"`", lambda b: b.load([row(), row()], on_invalid="drop"), UserWarning,
         "1 of 2 examples are invalid:…Dropped: 'a' (index 1)."),
]  # fmt: skip

TEXT_HINT = "a text; with papermill give numbers bare, and other values as -y 'name: value'"
PARAMETERS = [
    Case("`-p shuffle true`", lambda b: b.training(shuffle="true"), ParameterError,
         f"shuffle: expected True or False, found 'true' (str, {TEXT_HINT})"),
    Case("`-p num_examples none`", lambda b: b.training(num_examples="none"), ParameterError,
         f"num_examples: expected an integer of at least 2 or None, found 'none' (str, {TEXT_HINT})"),
    Case("`-p label_map \"{'O': 0, 'ANS': 1}\"`", lambda b: b.training(label_map="{'O': 0, 'ANS': 1}"), ParameterError,
         f"label_map: expected a dict, found … (str, {TEXT_HINT})"),
    Case("a text that only looks like a value", lambda b: b.training(training_arguments="{[1]: 2}"), ParameterError,
         "training_arguments: expected a dict, found '{[1]: 2}' (str)"),
    Case("a fraction where a whole number belongs", lambda b: b.training(num_splits=3.0), ParameterError,
         "num_splits: expected an integer of at least 2, found 3.0 (float)"),
    Case("NaN", lambda b: b.training(learning_rate=float("nan")), ParameterError,
         "learning_rate: expected a number above 0, found nan (float)"),
    Case("infinity", lambda b: b.training(num_train_epochs=float("inf")), ParameterError,
         "num_train_epochs: expected a number above 0, found inf (float)"),
    Case("out of range", lambda b: b.training(dropout=1.5), ParameterError,
         "dropout: expected a number of at least 0 and at most 0.99 or None, found 1.5 (float)"),
    Case("a seed that no generator takes", lambda b: b.training(seed=2**32), ParameterError,
         "seed: expected an integer of at least 0 and at most 4294967295, found 4294967296 (int)"),
    Case("an unknown name", lambda b: b.training(epochs=3), ParameterError,
         "epochs: no such parameter; did you mean 'num_train_epochs'?"),
    Case("`trust_remote_code`", lambda b: b.training(trust_remote_code=True), ParameterError,
         "trust_remote_code: no such parameter; "),
    Case("a value of a thousand characters", lambda b: b.training(batch_size="x" * 1000), ParameterError,
         "batch_size: expected an integer of at least 1, found 'xxx…… (str)"),
    Case("half of a surrogate pair", lambda b: b.training(dataset="\ud83d.json"), ParameterError,
         "dataset: expected a text of Unicode characters, found '\\ud83d.json' (str)"),
    Case("a null byte in a path", lambda b: b.training(outputs_dir="out\0put"), ParameterError,
         "outputs_dir: expected a text of Unicode characters, found 'out\\x00put' (str)"),
    Case("a path of 5000 characters", lambda b: b.training(outputs_dir="x" * 5000), ParameterError,
         "outputs_dir: expected a path or a name on the Hub, found 'xxx…of 5,000 characters"),
    Case("the home folder of nobody", lambda b: b.training(folds_dir="~no-such-user/folds"), ParameterError,
         "folds_dir: ~no-such-user/folds: expected the home folder of a user, found none; give the whole path"),
    Case("`doc_stride` too large for `max_length`", lambda b: b.training(max_length=64, doc_stride=40), ParameterError,
         "doc_stride: expected 0 to 30 for max_length=64 "),
    Case("more folds than groups", few_groups, ValueError,
         "num_splits: expected at most 2, the number of different values of 'context', found 3; use fewer folds or another "
         "group_by"),
    Case("a revision of a file", lambda b: b.training(dataset="demo", dataset_revision="v1"), ParameterError,
         "dataset_revision: expected None, since dataset is 'demo' and only what is on the Hub has revisions, found 'v1'"),
    Case("`on_invalid` of another value", lambda b: b.training(on_invalid="skip"), ParameterError,
         "on_invalid: expected one of 'raise', 'drop', found 'skip' (str)"),
    Case("a class whose name is a path", lambda b: b.training(label_map={"O": 0, "../../x": 1}), ParameterError,
         "label_map: expected class names of letters, digits, '_', '-', '.' and spaces"),
    Case("a training argument that has a parameter of its own", lambda b: b.training(training_arguments={"seed": 3}),
         ParameterError, "training_arguments: expected fields that no other parameter sets (not 'seed': use seed)"),
    Case("an unknown training argument", lambda b: b.training(training_arguments={"weight_deacy": 0.1}), ParameterError,
         "expected fields that transformers.TrainingArguments has (not 'weight_deacy'; did you mean 'weight_decay'?)"),
    Case("a training argument given as text", lambda b: b.training(training_arguments={"fp16": "false"}), ParameterError,
         "training_arguments: expected a valid boolean as 'fp16', found "),
    Case("NaN in a training argument", lambda b: b.training(training_arguments={"lr_scheduler_kwargs": {"x": float("nan")}}),
         ParameterError, "training_arguments: expected values that JSON can hold"),
    *(Case(f"the training argument `{name}`", lambda b, name=name, value=value: b.training(training_arguments={name: value}),
           ParameterError, f"training_arguments: expected fields that fit this project (not '{name}': {reason})")
      for name, value, reason in (
          ("push_to_hub", True, "nothing leaves this machine; publish a fold's folder yourself"),
          ("hub_model_id", "me/mine", "nothing leaves this machine; publish a fold's folder yourself"),
          ("hub_token", "hf_x", "nothing leaves this machine; publish a fold's folder yourself"),
          ("trackio_space_id", "me/mine", "nothing leaves this machine; publish a fold's folder yourself"),
          ("report_to", "wandb", "nothing is reported elsewhere; losses and metrics are in run.json"),
          ("save_strategy", "epoch", "each fold is saved once, whole, and starts from model_checkpoint"),
          ("resume_from_checkpoint", "x", "each fold is saved once, whole, and starts from model_checkpoint"),
          ("eval_strategy", "epoch", "a fold is measured when its training has ended"),
          ("label_smoothing_factor", 0.1, "the labels are read as the model's loss needs them"),
          ("deepspeed", "config.json", "a fold is trained by one process"),
      )),
    Case("`outputs_dir` the same as `folds_dir`", lambda b: b.training(folds_dir="x", outputs_dir="./x"), ParameterError,
         "outputs_dir: expected another folder than folds_dir, found '"),
    Case("`outputs_dir` within the data's folder", lambda b: written_into(b, "dataset", "outputs_dir"), ParameterError,
         "outputs_dir: expected a folder outside of dataset, "),
    Case("`folds_dir` within the checkpoint's folder", lambda b: written_into(b, "model_checkpoint", "folds_dir"),
         ParameterError, "folds_dir: expected a folder outside of model_checkpoint, "),
    Case("`decisions` that are not there", lambda b: b.review(decisions="/no/such.csv"), ParameterError,
         "decisions: no such file: /no/such.csv (relative paths start at the project's root)"),
    Case("`worst` as text", lambda b: b.review(worst="10"), ParameterError,
         f"worst: expected an integer of at least 1, found '10' (str, {TEXT_HINT})"),
]  # fmt: skip

CHECKPOINTS = [
    Case("code and pickles beside good weights", code_beside_the_weights, None, "works; nothing of it is run"),
    Case("a tokenizer of a class of its own, in a Python file beside", code_in_the_place_of_the_tokenizer, None,
         "works with the tokenizer's file alone; the code is not run"),
    Case("pickled weights", pickle_in_the_place_of_the_weights, FileNotFoundError,
         "expected the weights as model.safetensors, found ['optimizer.pt', 'pytorch_model.bin', 'training_args.bin']. "
         "Pickled weights are never loaded"),
    Case("a pickle named `model.safetensors`", pickle_as_safetensors, ValueError,
         "model.safetensors: expected a complete safetensors file; …; copy or download it again"),
    Case("safetensors that break off", lambda b: b.weights(lambda content: content[:-1]), ValueError,
         "model.safetensors: expected a complete safetensors file; …; copy or download it again"),
    Case("safetensors with a header of 2⁶⁴ − 1 bytes", lambda b: b.weights(lambda content: b"\xff" * 8 + content[8:]),
         ValueError, "model.safetensors: expected a complete safetensors file; "),
    Case("safetensors whose header is no JSON", lambda b: b.weights(lambda content: content[:8] + b"x" * len(content[8:])),
         ValueError, "model.safetensors: expected a complete safetensors file; "),
    Case("an index of shards that names `../outside.safetensors`", lambda b: shards(b, "../outside.safetensors"), ValueError,
         "model.safetensors.index.json: expected names of safetensors files beside it, found '../outside.safetensors'"),
    Case("an index of shards that names an absolute path", lambda b: shards(b, str(b.bert / "part.safetensors")), ValueError,
         "model.safetensors.index.json: expected names of safetensors files beside it, found '/"),
    Case("an index of shards that names a file that is not there", lambda b: shards(b, "part.safetensors", "no.safetensors"),
         ValueError, "no.safetensors: expected a complete safetensors file; "),
    Case("NaN in the weights", lambda b: changed_tensor(b, lambda tensor: tensor * float("nan")), ValueError,
         "expected finite weights, found NaN or infinity in bert.encoder.layer.1.output.dense.weight"),
    Case("a tensor that is missing", lambda b: changed_tensor(b, lambda tensor: None), ValueError,
         "expected all weights of a BERT encoder, found none for ['bert.encoder.layer.1.output.dense.weight']"),
    Case("another architecture", other_architecture, ValueError,
         "expected a BERT checkpoint (model_type 'bert'), found 'roberta'"),
    Case("a head for other labels", other_head, ValueError,
         "expected a checkpoint without a head, or one that QATrainer wrote; found a head for other labels"),
    Case("no tokenizer", lambda b: removed(b, "tokenizer.json"), FileNotFoundError,
         "expected a tokenizer (tokenizer.json or vocab.txt), found none"),
    Case("a tokenizer that is no JSON", lambda b: replaced(b, "tokenizer.json", "<html>"), ValueError,
         "tokenizer.json: expected a part of the tokenizer as JSON; "),
    Case("an empty tokenizer", lambda b: replaced(b, "tokenizer.json", "{}"), ValueError,
         "expected BERT's tokenizer (tokenizer.json or vocab.txt); "),
    Case("a tokenizer of another model", larger_vocabulary, ValueError,
         "expected a tokenizer of at most 40 tokens, as the model's vocab_size says, found the token id "),
    Case("no configuration", lambda b: removed(b, "config.json"), FileNotFoundError,
         "config.json: expected a model's configuration, found no such file"),
    Case("a configuration that is no object", lambda b: replaced(b, "config.json", '["bert"]'), ValueError,
         "config.json: expected a model's configuration as a JSON object, found list"),
    Case("a configuration nested too deeply", lambda b: replaced(b, "config.json", "[" * 100_000), ValueError,
         "config.json: expected a model's configuration as JSON; maximum recursion depth exceeded"),
    Case("a size given as text", lambda b: b.config(max_position_embeddings="64"), ValueError,
         "config.json: expected a BERT configuration; …max_position_embeddings"),
    Case("a size of nought", lambda b: b.config(num_attention_heads=0), ValueError,
         "config.json: expected num_attention_heads to be at least 1, found 0"),
    Case("fewer layers than there are weights for", lambda b: b.config(num_hidden_layers=1), ValueError,
         "expected weights of the sizes in config.json, {'num_hidden_layers': 1}, found {'num_hidden_layers': 2}; take both "
         "from the same checkpoint"),
    Case("a thousand million layers", lambda b: b.config(num_hidden_layers=10**9), ValueError,
         "expected weights of the sizes in config.json, {'num_hidden_layers': 1000000000}, found {'num_hidden_layers': 2}"),
    Case("other positions than there are weights for", lambda b: b.config(max_position_embeddings=512), ValueError,
         "expected weights of the sizes in config.json, {'max_position_embeddings': 512}, found"),
    Case("a decoder", lambda b: b.config(is_decoder=True), ValueError, "config.json: expected is_decoder to be false, found True"),
    Case("an unknown activation", lambda b: b.config(hidden_act="none"), ValueError,
         "config.json: expected hidden_act to be the name of an activation, found 'none'"),
    Case("a trained model whose settings are damaged", lambda b: own_checkpoint(b, "spanbert.json", {"max_length": 32}),
         ValueError, "spanbert.json: expected max_length, doc_stride, answers as QATrainer writes them, found {'max_length': 32}"),
    Case("a trained model whose list of contexts is damaged", lambda b: own_checkpoint(b, "seen_contexts.json", {"a": 1}),
         ValueError, "seen_contexts.json: expected the hashes of contexts that QATrainer writes as a JSON list, found dict"),
    Case("a trained model whose label map names a path", lambda b: own_checkpoint(b, "label_map.json", {"O": 0, "../x": 1}),
         ValueError, "label_map: expected class names of letters, digits, '_', '-', '.' and spaces, found '../x'"),
    Case("a file in place of a folder", lambda b: QA(b.bert / "config.json"), FileNotFoundError,
         "expected the folder of a checkpoint, found a file"),
    Case("a folder that is not there", lambda b: QA("/no/such/folder"), FileNotFoundError,
         "/no/such/folder: expected the folder of a checkpoint, found nothing there"),
]  # fmt: skip

SAVED = [
    Case("`.npz` with a pickle that would run", npz_with_a_pickle, ValueError,
         "Object arrays cannot be loaded when allow_pickle=False"),
    Case("`.npz` with other keys", lambda b: npz(b, **{"0": np.zeros(1), "2": np.zeros(1)}), ValueError,
         "a.npz: expected the keys '0' to '1', found ['2']"),
    Case("a single array in place of `.npz`", lambda b: npz(b, b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, "
         b"'shape': (0,), }".ljust(128) + b"\n"), ValueError, "a.npz: expected an archive that np.savez wrote"),
    Case("`.npz` that breaks off", lambda b: npz(b, b"PK\x03\x04garbage"), ValueError,
         "a.npz: expected an archive that np.savez wrote"),
    Case("an empty `.npz`", lambda b: npz(b, b""), ValueError, "a.npz: expected an archive that np.savez wrote"),
    Case("`run.json` that lists `../secret`", lambda b: run_record(b, {"files": {
         "../secret": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "out_of_fold.parquet": "0"}}),
         FileNotFoundError, "folder/secret: listed in run.json, but missing; run the training notebook again"),
    Case("`run.json` that lists an absolute path", lambda b: run_record(b, {"files": {
         "/etc/passwd": "0", "out_of_fold.parquet": "0"}}), FileNotFoundError,
         "folder/passwd: listed in run.json, but missing; run the training notebook again"),
    Case("`run.json` nested too deeply", lambda b: run_record(b, "[" * 100_000), ValueError,
         "run.json: expected the record of a run, found "),
    Case("`run.json` that lists no files", lambda b: run_record(b, {"files": ["out_of_fold.parquet"]}), ValueError,
         "run.json: expected the record of a run, found "),
    Case("`run.json` of other files", lambda b: (b.file("out_of_fold.parquet", b"x"),
         run_record(b, {"files": {"out_of_fold.parquet": "0"}})), ValueError,
         "out_of_fold.parquet: expected the file that run.json lists, found other content"),
    Case("`run.json` without shards, where they are read", lambda b: run_in_shards(b), FileNotFoundError,
         "expected the table in shards, found none in run.json; run the training notebook with examples_per_shard"),
    Case("`run.json` that lists one shard of two", lambda b: run_in_shards(b, "out_of_fold-00001-of-00002.parquet"),
         ValueError, "run.json: expected all shards of one table, found ['out_of_fold-00001-of-00002.parquet']; run it again"),
    Case("a shard of other content", lambda b: run_in_shards(b, "out_of_fold-00000-of-00001.parquet"), ValueError,
         "out_of_fold-00000-of-00001.parquet: expected the file that run.json lists, found other content"),
    Case("`fold.json` that lists `../secret`", lambda b: fold_record(b, files={"../secret": "0", "predictions.npz": "0"}),
         ValueError, "fold.json lists ../secret, which is not in the fold's folder"),
    Case("`fold.json` that lists a folder", lambda b: fold_record(b, files={".": "0", "predictions.npz": "0"}), ValueError,
         ". is missing"),
    Case("`fold.json` of other files", lambda b: fold_record(b), ValueError,
         "predictions.npz is damaged: its SHA-256 is not the one in fold.json"),
    Case("a fold whose arrays differ in length", lambda b: fold_arrays(b, labels=np.zeros((3, 2))), ValueError,
         "predictions.npz cannot be read: its arrays differ in length"),
    Case("a fold whose counts are negative", lambda b: fold_arrays(b, num_tokens=np.array([3, -1]), example_index=np.zeros(2)),
         ValueError, "predictions.npz cannot be read: expected counts of tokens and offsets as integers"),
    Case("a fold whose arrays are compressed", lambda b: fold_arrays(b, np.savez_compressed), ValueError,
         "predictions.npz cannot be read: expected example_index as np.savez stores it, found it compressed or encrypted"),
    Case("a fold of other examples", lambda b: fold_arrays(b, example_index=np.array([1])), ValueError,
         "predictions.npz is of other examples than fold.json"),
    Case("a fold with a pickle that would run", fold_with_a_pickle, ValueError,
         "predictions.npz cannot be read: Object arrays cannot be loaded when allow_pickle=False"),
    Case("`fold.json` nested too deeply", lambda b: (b.file("fold.json", "[" * 100_000), load_fold(b.folder, "k", [])),
         ValueError, "fold.json cannot be read: "),
]  # fmt: skip

PROBABILITIES = [
    Case("more labels than probabilities", lambda b: span_label_quality([[0, 1], [1]], [[0.1, 0.9]]), ValueError,
         "expected as many pred_probs as labels (2), found 1"),
    Case("an example with more labels than probabilities", lambda b: span_label_quality([[0, 1]], [[0.1]]), ValueError,
         "example 0: expected pred_probs of the shape of the labels, (2,), found (1,)"),
    Case("NaN for a probability", lambda b: span_label_quality([[0, 1]], [[0.1, float("nan")]]), ValueError,
         "example 0: expected finite pred_probs, found nan at token 1"),
    Case("a probability above 1", lambda b: span_label_quality([[0, 1]], [[0.1, 1.5]]), ValueError,
         "example 0: expected pred_probs from 0 to 1, found 1.5 at token 1"),
    Case("probabilities as texts", lambda b: span_label_quality([[0, 1]], [["0.1", "0.9"]]), ValueError,
         "example 0: expected pred_probs to be numbers, found an array of <U3"),
    Case("a label of 2", lambda b: span_label_quality([[0, 2]], [[0.1, 0.5]]), ValueError,
         "example 0: expected labels of 0 or 1, found 2.0 at token 1"),
    Case("an example without a token", lambda b: span_label_quality([[0], []], [[0.1], []]), ValueError,
         "example 1: expected at least one token and one span class, found (0,)"),
]  # fmt: skip

DECISIONS = [
    Case("a workbook", lambda b: read_decisions(b.file("a.csv", b"PK\x03\x04")), ValueError,
         'expected JSON, JSON Lines or CSV, found an archive; unpack doccano\'s export, and save a workbook as "CSV UTF-8"'),
    Case("a table in UTF-16", lambda b: read_decisions(b.file("a.csv", HEADER.encode("utf-16"))), ValueError,
         "a.csv: expected UTF-8 text; 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte. Save a workbook "
         'as "CSV UTF-8"'),
    Case("a table without the column", lambda b: read_decisions(b.file("a.csv", "id,given_answer,given_start\n")), ValueError,
         "a.csv: expected one column 'correct_answer', found ['id', 'given_answer', 'given_start']; add a column"),
    Case("a row of another length", lambda b: read_decisions(b.file("a.csv", HEADER + "a,b\n")), ValueError,
         "a.csv, row 2: expected 5 cells, found 2; save it as CSV again"),
    Case("an offset of 5000 digits", lambda b: read_decisions(b.file("a.csv", HEADER + f"a,x,{'9' * 5000},y,\n")),
         RefusedDecisionsError, "example 'a' (row 2): Exceeds the limit (4300 digits)"),
    Case("JSON that breaks off", lambda b: read_decisions(b.file("a.json", '[{"data": ')), ValueError,
         "a.json: expected JSON; Expecting value: …; export it again"),
    Case("JSON nested too deeply", lambda b: read_decisions(b.file("a.json", "[" * 100_000)), ValueError,
         "a.json: expected JSON; maximum recursion depth exceeded …; export it again"),
    Case("Label Studio's tasks instead of its export", lambda b: read_decisions(b.file("a.json", [{"data": {}}])), ValueError,
         "a.json, task 1: expected 'data' and 'annotations', found the fields ['data']; export the project in the format"),
    Case("a class given as a text, not as a list", lambda b: label_studio(b, labels="ANS"), RefusedDecisionsError,
         "example 'a': expected marks with a list 'labels' and a text, found {'start': 26"),
    Case("a fraction for an offset of a mark", lambda b: label_studio(b, start=26.0), RefusedDecisionsError,
         "example 'a': expected marks [start, end, class], found [26.0, 32, 'ANS']"),
    Case("a mark beyond the text", lambda b: label_studio(b, end=10**30, text="Warsaw lies"), RefusedDecisionsError,
         "example 'a': expected a mark within the 53 characters of the text, found [26, 1000000000000000000000000000000, 'ANS']"),
    Case("a mark whose text is another", lambda b: label_studio(b, text="Vistula"), RefusedDecisionsError,
         "example 'a': expected the marked text 'Vistula' at 26, found 'Warsaw'; offsets must count characters"),
    Case("a decision about another data set", lambda b: decided(b, Answer("Warsaw", 26), id="z"), RefusedDecisionsError,
         "example 'a': expected the id of one of the 1 examples; is it another data set?"),
    Case("an answer that is not in the context", lambda b: decided(b, Answer("Oslo")), RefusedDecisionsError,
         "example 'a': expected the correct answer 'Oslo' in the context, found it nowhere; copy it from the context"),
    Case("an answer that stands a million times", lambda b: decided(b, Answer("aa"), context=CONTEXT + "a" * MILLION),
         RefusedDecisionsError, "expected one place of the correct answer 'aa', found it at [53, 54, 55, 56, 57, 58, 59, 60, 61, "
         "62] and elsewhere; fill in correct_start"),
]  # fmt: skip

SECTIONS = {
    "Data files": DATA_FILES,
    "Examples": EXAMPLES,
    "Parameters of the notebooks": PARAMETERS,
    "Checkpoints": CHECKPOINTS,
    "Saved files": SAVED,
    "Labels and probabilities": PROBABILITIES,
    "Decisions": DECISIONS,
}
CASES = [(section, case) for section, cases in SECTIONS.items() for case in cases]


def _parameter(section: str, case: Case):
    return pytest.param(case, id=f"{section}: {case.name}")


@pytest.fixture
def bench(tiny_bert, tmp_path) -> Bench:
    folder = tmp_path / "folder"
    folder.mkdir()
    return Bench(folder, Path(shutil.copytree(tiny_bert, tmp_path / "bert")))


@pytest.mark.filterwarnings("ignore", category=QuestionCutWarning)
@pytest.mark.parametrize("case", [_parameter(*case) for case in CASES])
def test_bad_input(case, bench):
    if case.error is None:
        case.call(bench)
        return
    expected = pytest.warns(case.error) if issubclass(case.error, Warning) else pytest.raises(case.error)
    with expected as caught:
        case.call(bench)
    raised = caught[0].message if issubclass(case.error, Warning) else caught.value
    assert type(raised) is case.error
    pattern = ".*".join(re.escape(part) for part in case.said.split("…"))
    assert re.search(pattern, str(raised), re.DOTALL), str(raised)
    assert len(str(raised)) < 3000, "nobody reads more"


def table() -> str:
    """The tables of the documentation."""
    lines = []
    for section, cases in SECTIONS.items():
        lines += ["", f"### {section}", "", "| input | what happens |", "| --- | --- |"]
        for case in cases:
            happens = case.said if case.error is None else f"`{case.error.__name__}`: {case.said.strip(' ;')}"
            lines.append(f"| {_cell(case.name)} | {_cell(happens)} |")
    return "\n".join(lines).strip() + "\n"


def _cell(text: str) -> str:
    """Escape what Markdown would take for more than text, outside of code."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([\\*_<>\[\]|])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces).replace("\n", " ")


def test_there_are_enough_cases_with_names_of_their_own():
    assert len(CASES) >= 45
    for section, cases in SECTIONS.items():
        assert len({case.name for case in cases}) == len(cases), section


def test_documentation_has_these_tables():
    assert table() in DOCUMENT.read_text(encoding="utf-8")


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(text[: text.index("### Data files\n")] + table(), encoding="utf-8")
