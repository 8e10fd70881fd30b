"""Fixtures: a tiny BERT built here, and data small enough to train on in a second."""

import functools
import json
import os
from collections import Counter
from pathlib import Path

# Before anything imports the hub's libraries: no test may wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
# The tiny network's matrices are too small to share among threads, here and in the notebooks' kernels.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import Phase, is_hypothesis_test, settings
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizer

from span_label_errors.model.checkpoints import resolve_checkpoint
from spanbert import QA, QATrainer

# The same cases in every run, so that a failure comes back; the long run looks elsewhere each time.
settings.register_profile("default", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("long", deadline=None, derandomize=False, max_examples=1000)
# For mutation testing, which asks whether a test fails and not for the smallest case.
SEARCH_ONLY = (Phase.explicit, Phase.generate)
settings.register_profile("short", deadline=None, derandomize=True, max_examples=25, phases=SEARCH_ONLY)
settings.load_profile("default")

ROOT = Path(__file__).resolve().parents[1]
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """
    the a in of is was who what when where how many capital river city book man woman and by to on at year
    paris london rome berlin oslo lima cairo delhi notre dame c # . , ? ' - ##s ##ing ##ed
""".split()
CASES_RUN: Counter[str] = Counter()  # by test file


def cases(count: int) -> settings:
    """Return the settings of a test of `count` generated cases: ten times as many with --hypothesis-profile=long."""
    return settings(max_examples=count * settings.default.max_examples // 100)


def pytest_itemcollected(item):
    """Count the cases that a hypothesis test passes."""
    test = getattr(item, "obj", None)
    if not is_hypothesis_test(test) or hasattr(test.hypothesis.inner_test, "__wrapped__"):
        return
    inner_test, file = test.hypothesis.inner_test, item.path.stem

    @functools.wraps(inner_test)
    def counting(*arguments, **keywords):
        inner_test(*arguments, **keywords)
        CASES_RUN[file] += 1

    test.hypothesis.inner_test = counting


def pytest_sessionfinish(session):
    """Hand the counts of a process that runs a part of the tests to the one that started it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cases_run"] = dict(CASES_RUN)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Add the counts of such a process; one that died has none."""
    CASES_RUN.update(getattr(node, "workeroutput", {}).get("cases_run", {}))


def pytest_terminal_summary(terminalreporter):
    """Say how many cases were generated, as counted."""
    if CASES_RUN:
        files = ", ".join(f"{file} {count:,}" for file, count in sorted(CASES_RUN.items()))
        profile = settings.get_current_profile_name()
        terminalreporter.write_line(f"{CASES_RUN.total():,} generated cases passed (profile {profile}): {files}")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """Folder of an untrained BERT: 2 layers, 32 wide, 64 positions, whole words and single characters."""
    folder = tmp_path_factory.mktemp("tiny_bert")
    characters = [chr(code) for code in range(ord("0"), ord("z") + 1) if chr(code).isalnum()]
    characters = sorted({character.lower() for character in characters})
    vocabulary = dict.fromkeys([*SPECIAL_TOKENS, *WORDS, *characters, *(f"##{c}" for c in characters)])
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(vocabulary)}, do_lower_case=True)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, hidden_dropout_prob=0.1,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_reader(tiny_bert, tmp_path_factory) -> Path:
    """Folder of the tiny BERT, trained on two contexts that are not among those of the twelve examples."""
    folder = tmp_path_factory.mktemp("tiny_reader") / "model"
    read = [
        make_example("x", "The river was by the book.", "Where was the river?", "by the book"),
        make_example("y", "Who was in Cairo? A woman.", "Who was in Cairo?", "A woman"),
    ]
    label_map = {"O": 0, "ANS": 1}
    QATrainer(QA(tiny_bert, max_length=48, doc_stride=8), 48, label_map).train(read, folder, 1)
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


@pytest.fixture(scope="session")
def embedded_tokenizer():
    return AutoTokenizer.from_pretrained(resolve_checkpoint("embedded-backbone").path)


@pytest.fixture(scope="session", params=["tiny", "embedded"])
def tokenizer(request):
    """The tokenizer of the tiny model, then that of the embedded backbone."""
    return request.getfixturevalue(f"{request.param}_tokenizer")


@pytest.fixture(scope="session")
def vocabulary(tokenizer) -> dict[str, int]:
    return tokenizer.get_vocab()


def make_example(example_id: str, context: str, question: str, *answers: str, title: str = "Title") -> dict:
    """An example whose answers are labelled where they first occur."""
    return {
        "id": example_id,
        "title": title,
        "context": context,
        "question": question,
        "answers": {"text": list(answers), "answer_start": [context.index(answer) for answer in answers]},
    }


def twelve_examples() -> list[dict]:
    """Twelve questions on six paragraphs of three articles."""
    cities = ["Paris", "London", "Rome", "Berlin", "Oslo", "Lima"]
    made = []
    for number, city in enumerate(cities):
        context = f"The capital is {city}. The man was in the city by the river in the year {1900 + number}."
        title = f"Article {number // 2}"
        made.append(make_example(f"{number}a", context, "What is the capital?", city, title=title))
        made.append(
            make_example(f"{number}b", context, "When was the man in the city?", str(1900 + number), title=title)
        )
    return made


@pytest.fixture
def examples() -> list[dict]:
    """Twelve questions on six paragraphs of three articles."""
    return twelve_examples()


def squad_document(examples: list[dict]) -> dict:
    """Nest examples as a SQuAD file does, a paragraph a context."""
    articles: dict[str, dict[str, list]] = {}
    for example in examples:
        questions = articles.setdefault(example["title"], {}).setdefault(example["context"], [])
        columns = example["answers"]
        answers = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        questions.append({"id": example["id"], "question": example["question"], "answers": answers})
    data = [
        {"title": title, "paragraphs": [{"context": context, "qas": qas} for context, qas in paragraphs.items()]}
        for title, paragraphs in articles.items()
    ]
    return {"version": "1.1", "data": data}


@pytest.fixture
def squad_file(tmp_path, examples) -> Path:
    """The twelve examples as a SQuAD v1.1 file."""
    file = tmp_path / "squad.json"
    file.write_text(json.dumps(squad_document(examples)), encoding="utf-8")
    return file
