"""Bad input, kind by kind: what a user gives, and the error that says what is wrong with it."""
# ruff: noqa: E501 - a row of a table is easier to read on one line

import hashlib
import json
import pickle
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import make_example, squad_document
from datasets import Dataset
from papermill.translators import PythonTranslator
from safetensors.torch import load_file, save_file
from transformers import BertModel

from span_classification_tutorial_utils import read_npz
from span_label_errors.cross_validation.splits import make_splits
from span_label_errors.cross_validation.store import fold_key, load_fold
from span_label_errors.cross_validation.trainers import seen_contexts
from span_label_errors.data.squad import InvalidDatasetError, load_squad
from span_label_errors.model.windows import tokenize_examples
from span_label_errors.notebook.settings import ParameterError
from span_label_errors.notebook.training_settings import TrainingParameters
from span_label_errors.quality.scores import span_label_quality
from span_label_errors.results.read import read_outputs
from span_label_errors.review.corrections import apply_decisions
from span_label_errors.review.decided import Answer, Decision
from span_label_errors.review.decisions import read_decisions
from span_label_errors.review.marks import RefusedDecisionsError
from spanbert import QA, QATrainer

CONTEXT = "Łódź lies west of Warsaw; Warsaw lies on the Vistula."  # "Warsaw" at 18 and at 26
LONG = "The council met in the old hall by the low river every Monday at nine o'clock in the morning until 1911."
MILLION = 1_000_000
DEEP = "[" * 100_000
LABEL_MAP = {"O": 0, "ANS": 1}
PARIS = make_example("a", "The city is Paris.", "What?", "Paris")

# What the cases are made of.


def written(folder: Path, name: str, content: object) -> Path:
    """Write bytes, text, or anything else as JSON (one object a line, if that is what the name says)."""
    if name.endswith(".jsonl") and isinstance(content, list):
        content = "\n".join(map(json.dumps, content))
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return folder / name


def row(**changes: object) -> dict:
    """A valid example but for the changes."""
    return make_example("a", CONTEXT, "Which city lies east of Łódź?", "Warsaw") | changes


def answered(text: object = "Warsaw", answer_start: object = 18, **columns: object) -> dict:
    return row(answers={"text": [text], "answer_start": [answer_start], **columns})


def other_units(encoding: str, size: int) -> dict:
    """An answer whose offset counts what another program counts."""
    context = "Das 😀 schöne Café in Łódź"
    start = len(context[: context.index("Café")].encode(encoding)) // size
    return {"context": context, "answers": {"text": ["Café"], "answer_start": [start]}}


def label_studio(**changes: object) -> list[dict]:
    """Label Studio's export of one task but for the changes of its mark."""
    value = {"start": 26, "end": 32, "text": "Warsaw", "labels": ["ANS"], **changes}
    data = {"id": "a", "text": CONTEXT, "given": [[18, 24, "ANS"]]}
    return [{"data": data, "annotations": [{"result": [{"from_name": "answer", "value": value}]}]}]


class Trap:
    """Unpickles to a call that leaves a file behind."""

    def __init__(self, folder: Path):
        self.file = folder / "sprung"

    def __reduce__(self):
        return Path.touch, (self.file,)


def trapped(folder: Path, size: int) -> np.ndarray:
    array = np.empty(size, dtype=object)
    array[0] = Trap(folder)
    return array


# What a user does with a folder: `load("a.json", b"")` is a function of that folder.


def later(function):
    return lambda *arguments, **keywords: lambda folder: function(folder, *arguments, **keywords)


@later
def load(tmp, name, content, **options):
    return load_squad(written(tmp, name, content), **options)


@later
def empty_folder(tmp, name):
    (tmp / name).mkdir()
    load_squad(tmp / name)


@later
def saved(tmp, damaged, content):
    Dataset.from_list([row()]).save_to_disk(tmp)
    written(tmp, damaged, content)
    load_squad(tmp)


@later
def parquet(tmp, table, damage=bytes):
    pyarrow.parquet.write_table(pa.table(table), tmp / "a.parquet", compression="none")
    load_squad(written(tmp, "a.parquet", damage((tmp / "a.parquet").read_bytes())))


def equal_letters(answer: str):
    return load("a.jsonl", [row(context="a" * MILLION, answers={"text": [answer], "answer_start": [MILLION - 7]})])


@later
def training(tmp, given):
    """Take parameters as the notebook does when papermill passes them."""
    TrainingParameters.from_notebook({"In": ["", PythonTranslator.codify(given)], **given})


@later
def checkpoint(tmp, damage):
    damage(tmp / "bert")
    QA(tmp / "bert", max_length=32).predict(PARIS)


@later
def config(bert, name="config.json", **fields):
    written(bert, name, {**json.loads((bert / name).read_text()), **fields})


@later
def edit(bert, name, change):
    """Change the bytes of a file, or remove it."""
    content = change((bert / name).read_bytes())
    (bert / name).unlink()
    if content is not None:
        written(bert, name, content)


@later
def tensor(bert, change):
    """Change a tensor, or leave it out."""
    name, tensors = "encoder.layer.1.output.dense.weight", load_file(bert / "model.safetensors")
    tensors[name] = change(tensors[name])
    kept = {key: value for key, value in tensors.items() if value is not None}
    save_file(kept, bert / "model.safetensors", metadata={"format": "pt"})


@later
def index(bert, *names):
    """Put weights into a shard, and list these names in the index; BERT is the checkpoint's folder."""
    (bert / "model.safetensors").rename(bert / "part.safetensors")
    shutil.copy(bert / "part.safetensors", bert.parent / "outside.safetensors")
    weight_map = {str(number): name.replace("BERT", str(bert)) for number, name in enumerate(names)}
    written(bert, "model.safetensors.index.json", {"weight_map": weight_map})


def small_vocabulary(bert: Path) -> None:
    model = BertModel.from_pretrained(bert, add_pooling_layer=False)
    model.resize_token_embeddings(40)
    model.save_pretrained(bert)


def pickles(bert: Path, *names: str) -> None:
    (bert / "model.safetensors").unlink()
    for name in names:
        (bert / name).write_bytes(pickle.dumps(Trap(bert.parent)))


@later
def trained(tmp, name, content):
    QATrainer(QA(tmp / "bert", max_length=32), 32, LABEL_MAP).train([PARIS], tmp / "own", 1)
    written(tmp / "own", name, content)
    seen_contexts(QATrainer(QA(tmp / "own"), 32, LABEL_MAP))


@later
def npz(tmp, content=None, **arrays):
    np.savez(tmp / "a.npz", **arrays)
    read_npz(tmp / "a.npz" if content is None else written(tmp, "a.npz", content))


@later
def run(tmp, record):
    written(tmp, "secret", "secret")
    written(tmp / "run", "out_of_fold.parquet", b"x")
    written(tmp / "run", "run.json", record)
    read_outputs(tmp / "run")


@later
def fold(tmp, record=None, **changes):
    """Load a fold of one example with two tokens but for the changes, with a record that fits them."""
    arrays = {"example_index": [0], "num_tokens": [2], "offsets_start": [0], "char_start": [0, 5], "char_end": [4, 8]}
    arrays |= {"pred_probs": np.full((2, 2), 0.5, dtype=np.float32), "labels": np.zeros((2, 2), dtype=np.int64)}
    (tmp / "predictions").mkdir()
    files = {}
    for name, values in (arrays | changes).items():
        file = f"predictions/{name}.npy"
        np.save(tmp / file, np.array(values), allow_pickle=True)
        files[file] = hashlib.sha256((tmp / file).read_bytes()).hexdigest()
    fitting = {"key": "k", "files": files, "validation_indices": [0]}
    if isinstance(record, dict):
        fitting |= {"files": record | dict.fromkeys(files, "0")}
    is_text = record is not None and not isinstance(record, dict)
    written(tmp, "fold.json", record if is_text else {**fitting, "sha256": fold_key(fitting)})
    load_fold(tmp, "k", [row()])


@later
def decisions(tmp, name, content):
    read_decisions(written(tmp, name, content))


@later
def decided(tmp, answer, **changes):
    source = written(tmp, "data.json", squad_document([row(**changes)]))
    apply_decisions(source, [Decision("a", (Answer("Warsaw", 18),), (answer,))], tmp / "new.json", tmp / "changes.json")


NESTED = json.dumps(squad_document([row()]), ensure_ascii=False)
COLUMNS = {name: [value] for name, value in row().items()}
NO_UTF_8 = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
BYTES, UTF_16 = other_units("utf-8", 1), other_units("utf-16-le", 2)
SINGLE_ARRAY = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }".ljust(128) + b"\n"
SECRET = {"../secret": hashlib.sha256(b"secret").hexdigest(), "out_of_fold.parquet": "0"}
HEADER = "id,given_answer,given_start,correct_answer,correct_start\n"

# The name of each case, what a user does, the error, and its words ("…" stands for anything). Of the notebooks'
# parameters, hostile values only: test_settings.py has the rest.
CASES = [
    ("file: UTF-16", load("a.json", NESTED.encode("utf-16")), ValueError, "a.json: expected UTF-8 text, found what looks like UTF-16"),
    ("file: Latin-1", load("a.json", '{"title": "Café"}'.encode("latin-1")), ValueError, "a.json: expected UTF-8 text; …byte 0xe9"),
    ("file: JSON that breaks off", load("a.json", NESTED[:-9]), ValueError, "a.json: expected JSON; "),
    ("file: JSON Lines that break off", load("a.jsonl", json.dumps(row()) + "\n" + json.dumps(row())[:9]), ValueError, "a.jsonl, line 2: expected JSON; Unterminated string"),
    ("file: empty .jsonl", load("a.jsonl", b""), ValueError, "a.jsonl: expected at least one example, found none"),
    ("file: JSON nested too deeply", load("a.json", DEEP), ValueError, "a.json: expected JSON; it is nested too deeply"),
    ("file: a number of 5000 digits", load("a.jsonl", '{"id": ' + "9" * 5000 + "}"), ValueError, "a.jsonl, line 1: expected JSON; Exceeds the limit (4300 digits)"),
    ("file: wrong nesting", load("a.json", {"data": {"title": "T"}}), ValueError, "a.json: expected articles, paragraphs or rows in {\"data\": […]}, in a list, or one a line; found 'data' as dict"),
    ("file: splits in one document", load("a.json", {"version": 1, "train": [row()], "test": [row()]}), ValueError, "found the fields ['version', 'train', 'test']; if 'train', 'test' are splits, make each of them a file"),
    ("file: rows among articles", load("a.json", [*squad_document([row()])["data"], row()]), ValueError, "a.json: expected entries of one kind; found that document[1] is row and document[0] is article; put them into two files"),
    ("file: JSON and more", load("a.json", f"{json.dumps(row())}\n}}"), ValueError, "a.json, line 2: expected JSON; Expecting value"),
    ("file: no question with answers", load("a.json", [{"context": CONTEXT, "question": "Where?"}]), ValueError, "a.json: expected 'answers' in the questions, found none in all 1 of them; the first has the fields ['context', 'question']"),
    ("file: an unknown suffix", load("a.csv", "id,title\n"), ValueError, "a.csv: expected a file ending in .json, .jsonl, .ndjson, .parquet, .conll, …, found '.csv'"),
    ("file: packed", load("a.json.gz", b"\x1f\x8b"), ValueError, "found '.gz'; unpack it first (gunzip a.json.gz)"),
    ("name: not there", lambda tmp: load_squad("/no/such/a.json"), FileNotFoundError, "no such file or folder. Give the path of a .json, .jsonl"),
    ("name: a null byte", lambda tmp: load_squad("a\0b"), ValueError, "expected a path or a name on the Hub, found 'a\\x00b'"),
    ("name: 5000 characters", lambda tmp: load_squad("x" * 5000), ValueError, "expected a path or a name on the Hub, found 'xxx…of 5,000 characters"),
    ("name: empty", lambda tmp: load_squad(""), ValueError, "expected a path or a name on the Hub, found ''"),
    ("name: the home folder of nobody", lambda tmp: load_squad("~no-such-user/a.json"), ValueError, "expected a path or a name on the Hub, found '~no-such-user/a.json': Could not determine home directory"),
    ("folder: no data set", empty_folder("data"), ValueError, "expected a folder written by Dataset.save_to_disk; found one without dataset_info.json"),
    ("saved data set: state", saved("state.json", b"{}"), ValueError, "found a damaged one (KeyError: '_data_files'); write it again"),
    ("saved data set: data cut short", saved("data-00000-of-00001.arrow", b"ARROW1"), ValueError, "found a damaged one (ArrowInvalid: …); write it again"),
    ("Parquet: other columns", parquet({"id": ["a"], "text": ["b"]}), ValueError, "expected the columns context, answers; found 'id', 'text', without context, answers; rename or add them"),
    ("Parquet: breaks off", parquet(COLUMNS, lambda content: content[:-30]), ValueError, "a.parquet: expected a Parquet file; …; write it again"),
    ("Parquet: damaged pages", parquet(COLUMNS, lambda content: content[:4] + b"\xff" * 16 + content[20:]), ValueError, "a.parquet: expected a Parquet file; …; write it again"),
    ("Parquet: text that is no UTF-8", parquet(COLUMNS | {"title": NO_UTF_8}), ValueError, "a.parquet: expected a Parquet file; 'utf-8' codec can't decode byte 0xff"),
    ("more examples wanted than there are", load("a.jsonl", [row()], num_examples=2), ValueError, "expected at least num_examples=2 examples, found 1; use num_examples=None"),
    ("example: an offset in UTF-8 bytes", load("a.jsonl", [row(**BYTES)]), InvalidDatasetError, "example 0 (id 'a'): expected the answer 'Café' at offset 17; …counts UTF-8 bytes; in characters it is 13 = len(context.encode(\"utf-8\")[:answer_start].decode(\"utf-8\"))"),
    ("example: an offset in UTF-16 units", load("a.jsonl", [row(**UTF_16)]), InvalidDatasetError, "example 0 (id 'a'): expected the answer 'Café' at offset 14; …counts UTF-16 units; in characters it is 13 = len(context.encode(\"utf-16-le\")[: 2 * answer_start].decode(\"utf-16-le\"))"),
    ("example: an offset next to the answer", load("a.jsonl", [answered("Warsaw", 17)]), InvalidDatasetError, "at offset 17; found ' Warsa' (the text is at offset 18 and elsewhere)"),
    ("example: an answer that is not in the context", load("a.jsonl", [answered("Kraków", 0)]), InvalidDatasetError, "at offset 0; found 'Łódź l' (the text is not in the context; from character 0: expected U+004B LATIN CAPITAL LETTER K, found U+0141 LATIN CAPITAL LETTER L WITH STROKE)"),
    ("example: an answer in another Unicode form", load("a.jsonl", [answered("Łódź".replace("ó", "o\u0301").replace("ź", "z\u0301"), 0)]), InvalidDatasetError, "at offset 0; found 'Łódź l' (at offset 0 only its Unicode form differs: NFD in the answer, NFC in the context; from character 1: expected U+006F LATIN SMALL LETTER O, found U+00F3 LATIN SMALL LETTER O WITH ACUTE); on_invalid=\"repair\" mends this"),
    ("example: an answer that differs behind what is shown of its beginning", load("a.jsonl", [row(context=LONG, answers={"text": [LONG[4:79].replace("nine o'", "nine\u00a0o'")], "answer_start": [4]})]), InvalidDatasetError, "expected the answer \"…low river every Monday at nine\\xa0o'clock i\" at offset 4; found \"…low river every Monday at nine o'clock i\" (at offset 4 only white space differs; from character 65: expected U+00A0 NO-BREAK SPACE, found U+0020 SPACE); on_invalid"),
    ("example: an answer with the space before it", load("a.jsonl", [answered(" Warsaw", 18)]), InvalidDatasetError, "(at offset 18 only white space at its ends differs; from character 0: expected U+0020 SPACE, found U+0057 LATIN CAPITAL LETTER W)"),
    ("example: a negative offset", load("a.jsonl", [answered("Vistula", -8)]), InvalidDatasetError, "at offset -8; found '' (the text is at offset 45)"),
    ("example: an offset beyond 2⁶³", load("a.jsonl", [answered("Warsaw", 2**63)]), InvalidDatasetError, "at offset 9223372036854775808; found '' (the text is at offset 26 and elsewhere)"),
    ("example: a fraction for an offset", load("a.jsonl", [answered("Warsaw", 18.5)]), InvalidDatasetError, "expected an integer 'answer_start'; found float 18.5"),
    ("example: words for an offset", load("a.jsonl", [answered("Warsaw", "1_8")]), InvalidDatasetError, "expected an integer 'answer_start'; found str '1_8'"),
    ("example: null for an answer's text", load("a.jsonl", [answered(None, 18)]), InvalidDatasetError, "expected an answer text that is not empty; found NoneType"),
    ("example: an answer of white space", load("a.jsonl", [answered(" ", 4)]), InvalidDatasetError, "expected an answer text that is not empty; found str ' '"),
    ("example: more texts than offsets", load("a.jsonl", [row(answers={"text": ["Warsaw"], "answer_start": []})]), InvalidDatasetError, "expected as many 'answers.answer_start' as 'answers.text' (1); found 0"),
    ("example: answers without offsets", load("a.jsonl", [row(answers=["Warsaw"])]), InvalidDatasetError, "expected 'answers' with 'text' and 'answer_start'; found list ['Warsaw']"),
    ("example: an empty context", load("a.jsonl", [row(context=" \n")]), InvalidDatasetError, "expected a 'context' that is not empty; found str ' \\n'"),
    ("example: a fraction for an id", load("a.jsonl", [row(id=7.5)]), InvalidDatasetError, "example 0 (id '7.5'): expected 'id' to be a string; found float 7.5"),
    ("example: a float for an id that may stand for several", load("a.jsonl", [row(id=2.0**53)]), InvalidDatasetError, "expected 'id' to be a string; found float 9007199254740992.0"),
    ("example: a truth value for an id", load("a.jsonl", [row(id=True)]), InvalidDatasetError, "example 0 (id 'True'): expected 'id' to be a string; found bool True"),
    ("example: answers under another name", load("a.jsonl", [row(), {"id": "b", "context": CONTEXT, "question": "Which?", "answer": "Warsaw"}]), InvalidDatasetError, "example 1 (id 'b'): expected the field 'answers'; found fields 'id', 'context', 'question', 'answer'"),
    ("example: an id twice", load("a.jsonl", [row(), row()]), InvalidDatasetError, "example 1 (id 'a'): expected a unique id; found the id of example 0 again"),
    ("example: an id as a number and as text", load("a.jsonl", [row(id=1), row(id="1")]), InvalidDatasetError, "example 1 (id '1'): expected a unique id; found the id of example 0 again (1 and \"1\" are one id)"),
    ("example: half of a surrogate pair in a question", load("a.jsonl", [row(question="What is \ud83d?")]), InvalidDatasetError, "expected 'question' to be Unicode text; found half of a surrogate pair"),
    ("example: half of a surrogate pair in a class", load("a.jsonl", [answered(label=["\ud83d"])]), InvalidDatasetError, "expected the name of a span class in 'answers.label'; found str '\\ud83d'"),
    ("example: text for is_impossible", load("a.jsonl", [row(is_impossible="false")]), InvalidDatasetError, "expected 'is_impossible' to be true or false; found str 'false'"),
    ("example: an answer where is_impossible is true", load("a.jsonl", [row(is_impossible=True)]), InvalidDatasetError, "expected no answer where is_impossible is true; found 1 answers"),
    ("example: a thousand fields", load("a.jsonl", [row(), {str(i): i for i in range(1000)}]), InvalidDatasetError, "example 1 (id '1'): expected the field 'context'; found fields "),
    ("a million equal letters: ten of them", equal_letters("a" * 10), InvalidDatasetError, "(the text is at offset 999990 and elsewhere)"),
    ("a million equal letters: half of them", equal_letters("a" * 500_000), InvalidDatasetError, "(the text is at offset 500000 and elsewhere)"),
    ("a million equal letters: another in the middle", equal_letters("a" * 250_000 + "b" + "a" * 250_000), InvalidDatasetError, "(the text is not in the context; from character 7: expected U+0061 LATIN SMALL LETTER A, found the end)"),
    ("parameter: an unknown name", training({"epochs": 3}), ParameterError, "epochs…num_train_epochs"),
    ("parameter: trust_remote_code", training({"trust_remote_code": True}), ParameterError, "trust_remote_code"),
    ("parameter: a value of ten thousand characters", training({"batch_size": "x" * 10_000}), ParameterError, "batch_size…'xxx"),
    ("parameter: half of a surrogate pair", training({"dataset": "\ud83d.json"}), ParameterError, "dataset…'\\ud83d.json'"),
    ("parameter: a null byte in a path", training({"outputs_dir": "out\0put"}), ParameterError, "outputs_dir…'out\\x00put'"),
    ("parameter: a path of 5000 characters", training({"outputs_dir": "x" * 5000}), ParameterError, "outputs_dir…'xxx"),
    ("parameter: the home folder of nobody", training({"folds_dir": "~no-such-user/folds"}), ParameterError, "folds_dir…~no-such-user/folds"),
    ("parameter: a class whose name is a path", training({"label_map": {"O": 0, "../../x": 1}}), ParameterError, "label_map…'../../x'"),
    ("parameter: a training argument that publishes", training({"training_arguments": {"push_to_hub": True}}), ParameterError, "training_arguments: push_to_hub"),
    ("more folds than groups", lambda tmp: make_splits([row(), row(id="b"), row(id="c", context="Rome.")], 3), ValueError, "num_splits: expected at most 2, the number of different values of 'context', found 3"),
    ("checkpoint: pickled weights", checkpoint(lambda bert: pickles(bert, "pytorch_model.bin", "training_args.bin")), FileNotFoundError, "found ['pytorch_model.bin', 'training_args.bin']. Pickled weights are never loaded"),
    ("checkpoint: a pickle named model.safetensors", checkpoint(lambda bert: pickles(bert, "model.safetensors")), ValueError, "model.safetensors: expected a complete safetensors file; …; copy or download it again"),
    ("checkpoint: a header of 2⁶⁴ − 1 bytes", checkpoint(edit("model.safetensors", lambda content: b"\xff" * 8 + content[8:])), ValueError, "model.safetensors: expected a complete safetensors file; "),
    ("checkpoint: a header that is no JSON", checkpoint(edit("model.safetensors", lambda content: content[:8] + b"x" * len(content[8:]))), ValueError, "model.safetensors: expected a complete safetensors file; "),
    ("checkpoint: an index that names ../outside.safetensors", checkpoint(index("../outside.safetensors")), ValueError, "index.json: expected names of safetensors files beside it, found '../outside.safetensors'"),
    ("checkpoint: an index that names an absolute path", checkpoint(index("BERT/part.safetensors")), ValueError, "index.json: expected names of safetensors files beside it, found '/"),
    ("checkpoint: an index that names a file that is not there", checkpoint(index("part.safetensors", "no.safetensors")), ValueError, "no.safetensors: expected a complete safetensors file; "),
    ("checkpoint: NaN in the weights", checkpoint(tensor(lambda values: values * float("nan"))), ValueError, "expected finite weights, found NaN or infinity in bert.encoder.layer.1.output.dense.weight"),
    ("checkpoint: a tensor that is missing", checkpoint(tensor(lambda values: None)), ValueError, "expected all weights of the bert encoder in config.json, found none for ['bert.encoder.layer.1.output.dense.weight']"),
    ("checkpoint: another architecture", checkpoint(config(model_type="distilbert")), ValueError, "expected all weights of the distilbert encoder in config.json, found none for ['distilbert."),
    ("checkpoint: no tokenizer", checkpoint(edit("tokenizer.json", lambda content: None)), FileNotFoundError, "expected a tokenizer (tokenizer.json or vocab.txt), found none"),
    ("checkpoint: a tokenizer that is no JSON", checkpoint(edit("tokenizer.json", lambda content: "<html>")), ValueError, "expected a tokenizer that can be read (tokenizer.json or vocab.txt); …; take it from the same checkpoint again"),
    ("checkpoint: an empty tokenizer", checkpoint(edit("tokenizer.json", lambda content: "{}")), ValueError, "expected a tokenizer that can be read (tokenizer.json or vocab.txt); …; take it from the same checkpoint again"),
    ("checkpoint: a tokenizer of another model", checkpoint(small_vocabulary), ValueError, "expected a tokenizer of at most 40 tokens, …found the token id "),
    ("checkpoint: no configuration", checkpoint(edit("config.json", lambda content: None)), FileNotFoundError, "config.json: expected a model's configuration, found no such file"),
    ("checkpoint: a configuration that is no object", checkpoint(edit("config.json", lambda content: '["bert"]')), ValueError, "config.json: expected a model's configuration as a JSON object, found list"),
    ("checkpoint: a configuration nested too deeply", checkpoint(edit("config.json", lambda content: DEEP)), ValueError, "config.json: expected a model's configuration as JSON; maximum recursion depth exceeded"),
    ("checkpoint: a size given as text", checkpoint(config(max_position_embeddings="64")), ValueError, "config.json: expected a bert configuration; …max_position_embeddings"),
    ("checkpoint: a size of nought", checkpoint(config(num_attention_heads=0)), ValueError, "config.json: expected the configuration of an encoder; ZeroDivisionError: "),
    ("checkpoint: fewer layers than there are weights for", checkpoint(config(num_hidden_layers=1)), ValueError, "expected weights of the layers in config.json only, found ['encoder.layer.1.…and 12 more; take both"),
    ("checkpoint: a thousand million layers", checkpoint(config(num_hidden_layers=10**9)), ValueError, "expected weights of 1000000000 layers, as config.json says, found 37 tensors"),
    ("checkpoint: other positions than there are weights for", checkpoint(config(max_position_embeddings=512)), ValueError, "expected weights of the sizes in config.json, found others for ['bert.embeddings.position_embeddings.weight']"),
    ("checkpoint: a decoder", checkpoint(config(is_decoder=True)), ValueError, "config.json: expected an encoder, found 'bert', a decoder (is_decoder), which reads only what is left of a token"),
    ("checkpoint: an unknown activation", checkpoint(config(hidden_act="none")), ValueError, "config.json: expected the configuration of an encoder; KeyError: 'none'"),
    ("checkpoint: a file", lambda tmp: QA(tmp / "bert" / "config.json"), FileNotFoundError, "expected the folder of a checkpoint, found a file"),
    ("checkpoint: not there", lambda tmp: QA("/no/such/folder"), FileNotFoundError, "/no/such/folder: expected the folder of a checkpoint, found nothing there"),
    ("trained model: damaged settings", trained("spanbert.json", {"max_length": 32}), ValueError, "spanbert.json: expected max_length, doc_stride, answers as QATrainer writes them, found {'max_length': 32}"),
    ("trained model: damaged list of contexts", trained("seen_contexts.json", {"a": 1}), ValueError, "seen_contexts.json: expected the hashes of contexts that QATrainer writes as a JSON list, found dict"),
    ("trained model: a class that names a path", trained("label_map.json", {"O": 0, "../x": 1}), ValueError, "label_map: expected class names of letters, digits, '_', '-', '.' and spaces, found '../x'"),
    ("npz: a single array", npz(SINGLE_ARRAY), ValueError, "a.npz: expected an archive that np.savez wrote"),
    ("npz: breaks off", npz(b"PK\x03\x04garbage"), ValueError, "a.npz: expected an archive that np.savez wrote"),
    ("npz: a pickle that would run", lambda tmp: npz(**{"0": trapped(tmp, 1)})(tmp), ValueError, "Object arrays cannot be loaded when allow_pickle=False"),
    ("run.json: lists ../secret", run({"files": SECRET}), FileNotFoundError, "run/secret: listed in run.json, but missing"),
    ("run.json: lists an absolute path", run({"files": {"/etc/passwd": "0", "out_of_fold.parquet": "0"}}), FileNotFoundError, "run/passwd: listed in run.json, but missing"),
    ("run.json: nested too deeply", run(DEEP), ValueError, "run.json: expected the record of a run, found "),
    ("fold.json: lists ../secret", fold({"../secret": "0"}), ValueError, "fold.json lists ../secret, which is not in the fold's folder"),
    ("fold.json: lists a folder", fold({".": "0"}), ValueError, ". is missing"),
    ("fold.json: of other files", fold({}), ValueError, "predictions/example_index.npy is damaged: its SHA-256 is not the one in fold.json"),
    ("fold.json: nested too deeply", fold(DEEP), ValueError, "fold.json cannot be read: "),
    ("fold: of other examples", fold(example_index=[1]), ValueError, "predictions are of other examples than fold.json"),
    ("fold: a pickle that would run", lambda tmp: fold(labels=trapped(tmp, 2))(tmp), ValueError, "predictions cannot be read: Array can't be memory-mapped: Python objects in dtype."),
    ("probabilities: NaN", lambda tmp: span_label_quality([[0, 1]], [[0.1, float("nan")]]), ValueError, "example 0: expected pred_probs from 0 to 1, found nan at token 1"),
    ("decisions: a workbook", decisions("a.csv", b"PK\x03\x04"), ValueError, "expected JSON, JSON Lines or CSV, found an archive"),
    ("decisions: a table in UTF-16", decisions("a.csv", HEADER.encode("utf-16")), ValueError, 'a.csv: expected UTF-8 text; …Save a workbook as "CSV UTF-8"'),
    ("decisions: a table without the column", decisions("a.csv", "id,given_answer,given_start\n"), ValueError, "a.csv: expected one column 'correct_answer', found ['id', 'given_answer', 'given_start']"),
    ("decisions: a row of another length", decisions("a.csv", HEADER + "a,b\n"), ValueError, "a.csv, row 2: expected 5 cells, found 2"),
    ("decisions: an offset of 5000 digits", decisions("a.csv", HEADER + f"a,x,{'9' * 5000},y,\n"), RefusedDecisionsError, "example 'a' (row 2): Exceeds the limit (4300 digits)"),
    ("decisions: JSON that breaks off", decisions("a.json", '[{"data": '), ValueError, "a.json: expected JSON; Expecting value: …; export it again"),
    ("decisions: JSON nested too deeply", decisions("a.json", DEEP), ValueError, "a.json: expected JSON; maximum recursion depth exceeded"),
    ("decisions: Label Studio's tasks instead of its export", decisions("a.json", [{"data": {}}]), ValueError, "a.json, task 1: expected the field 'annotations' as list, found the fields ['data']; export"),
    ("decisions: a class as text, not as a list", decisions("a.json", label_studio(labels="ANS")), RefusedDecisionsError, "example 'a': expected marks with a list 'labels' and a text, found {'start': 26"),
    ("decisions: a fraction for an offset", decisions("a.json", label_studio(start=26.0)), RefusedDecisionsError, "example 'a': expected marks [start, end, class], found [26.0, 32, 'ANS']"),
    ("decisions: a mark beyond the text", decisions("a.json", label_studio(end=10**30, text="Warsaw lies")), RefusedDecisionsError, "example 'a': expected a mark within the 53 characters of the text, found [26, 1000000000"),
    ("decisions: a mark whose text is another", decisions("a.json", label_studio(text="Vistula")), RefusedDecisionsError, "example 'a': expected the marked text 'Vistula' at 26, found 'Warsaw'"),
    ("decision: another data set", decided(Answer("Warsaw", 26), id="z"), RefusedDecisionsError, "example 'a': expected the id of one of the 1 examples"),
    ("decision: not in the context", decided(Answer("Oslo")), RefusedDecisionsError, "example 'a': expected the correct answer 'Oslo' in the context, found it nowhere"),
    ("decision: in a million places", decided(Answer("aa"), context=CONTEXT + "a" * MILLION), RefusedDecisionsError, "found it at [53, 54, 55, 56, 57, 58, 59, 60, 61, 62] and elsewhere; fill in correct_start"),
]  # fmt: skip


@pytest.fixture
def bert(tiny_bert, tmp_path) -> Path:
    """A checkpoint that may be damaged."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "bert"))


@pytest.mark.parametrize(("call", "error", "said"), [pytest.param(*case, id=name) for name, *case in CASES])
def test_error_says_what_is_wrong(call, error, said, bert, tmp_path):
    started = time.perf_counter()
    with pytest.raises(error) as caught:
        call(tmp_path)
    message = str(caught.value)
    assert type(caught.value) is error, message
    assert re.search(".*".join(map(re.escape, said.split("…"))), message, re.DOTALL), message
    assert len(message) < 3000, "nobody reads more"
    assert time.perf_counter() - started < 10
    assert not (tmp_path / "sprung").exists(), "a pickle was loaded"


def test_id_nested_as_deeply_as_can_just_be_read(tmp_path):
    # Which depth that is depends on how deep the caller stands; on the way, nothing but ValueError.
    for depth in range(1000, 0, -1):
        nested = f'{{"id":{"[" * depth}{"]" * depth},"title":"","context":"a","question":"b","answers":{{}}}}'
        with pytest.raises(ValueError) as caught:
            load("a.jsonl", nested)(tmp_path)
        if isinstance(caught.value, InvalidDatasetError):
            break
        assert "nested too deeply to be read" in str(caught.value)
    assert "expected 'id' to be a string; found list [[[" in str(caught.value)


def test_code_beside_good_weights_is_never_run(bert, tmp_path):
    code = (
        f"import pathlib\npathlib.Path({str(tmp_path / 'imported')!r}).touch()\n"
        "from transformers import BertConfig as Config, BertModel as Model, BertTokenizerFast as Tokenizer\n"
    )
    written(bert, "evil.py", code)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (bert / name).write_bytes(pickle.dumps(Trap(tmp_path)))
    config(auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})(bert)
    config("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]})(bert)
    QATrainer(QA(bert, max_length=32), 32, LABEL_MAP).train([PARIS], tmp_path / "own", 1)
    # A tokenizer of a class of its own is read from its file alone.
    config("tokenizer_config.json", tokenizer_class="Tokenizer")(bert)
    for checkpoint in (bert, tmp_path / "own"):
        assert np.isfinite(QA(checkpoint, max_length=32).predict(PARIS).pred_probs).all()
    assert not {"imported", "sprung"} & {path.name for path in tmp_path.iterdir()}
    pickle.loads((bert / "pytorch_model.bin").read_bytes())
    exec(code)
    assert {"imported", "sprung"} < {path.name for path in tmp_path.iterdir()}, "the traps themselves must work"


# What is unusual, and works


def test_byte_order_mark_is_no_part_of_the_text(tmp_path):
    for name, content in (("a.json", NESTED), ("a.jsonl", json.dumps(row()))):
        assert load(name, b"\xef\xbb\xbf" + content.encode())(tmp_path).to_list() == [row()]


def test_offsets_count_both_characters_of_windows_line_ends(tmp_path):
    example = make_example("a", "Paris.\r\nRome.\r\nOslo.", "Which?", "Oslo")
    assert example["answers"]["answer_start"] == [15]
    nested = json.dumps(squad_document([example]), indent=1).replace("\n", "\r\n")
    for name, content in (("a.json", nested), ("a.jsonl", json.dumps(example) + "\r\n")):
        assert load(name, content)(tmp_path).to_list() == [example]


def test_name_of_the_folder_is_no_column_of_parquet(tmp_path):
    (tmp_path / "id=5").mkdir()
    pyarrow.parquet.write_table(pa.table(COLUMNS), tmp_path / "id=5" / "a.parquet")
    assert load_squad(tmp_path / "id=5" / "a.parquet")["id"] == ["a"]


def test_context_of_a_million_characters(bert, tmp_path):
    words = ["river", "city", "Paris", "Łódź", "1817", "😀", "(and)"]
    context = " ".join(words[number * number % len(words)] + str(number) for number in range(MILLION // 8))
    example = make_example("a", (context + " " * MILLION)[: MILLION - 4] + "Oslo", "Which?", "Oslo")
    started = time.perf_counter()
    loaded = load("a.json", squad_document([example]))(tmp_path).to_list()
    assert loaded == [example]
    assert time.perf_counter() - started < 5
    (tokenized,) = tokenize_examples(QA(bert).tokenizer, loaded, LABEL_MAP, max_length=32)
    assert tokenized.context.char_end[-1] == MILLION
    assert tokenized.labels[:, 1].sum() == tokenized.labels[-4:, 1].sum() > 0
    assert time.perf_counter() - started < 60
