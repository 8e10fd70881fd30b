"""What must not be done with data that others wrote: run it, write where it says, or believe its names."""

import ast
import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from browser import HOSTILE, browse, context_of, needs_browser
from conftest import ROOT, make_example, squad_document
from small_runs import write_run

from span_classification_tutorial_utils import show_context
from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.data.squad import InvalidDatasetError, load_squad
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.quality.label_errors import find_label_errors
from span_label_errors.results.read import read_outputs
from span_label_errors.results.write import write_outputs
from span_label_errors.review.write import write_review_files
from spanbert import QA, QATrainer

SOURCES = [file for where in ("*.py", "*_errors/**/*.py", "benchmarks/**/*.py") for file in sorted(ROOT.glob(where))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def parameters(files):
    return [pytest.param(file, id=str(file.relative_to(ROOT))) for file in files]


# The code


@pytest.fixture(scope="module")
def findings(tmp_path_factory) -> dict[str, list[str]]:
    """What bandit finds, by file; it leaves nothing out but what a comment in the code names."""
    folder = tmp_path_factory.mktemp("cells")
    cells = [folder / f"{notebook.stem}.py" for notebook in NOTEBOOKS]
    for notebook, file in zip(NOTEBOOKS, cells, strict=True):
        file.write_text("\n\n".join(code_cells(notebook)), encoding="utf-8")
    files = [str(file) for file in (*SOURCES, *cells)]
    command = [sys.executable, "-m", "bandit", "-q", "-f", "json", "-r", *files]
    report = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout)
    assert report["errors"] == []
    assert set(report["metrics"]) - {"_totals"} == set(files)
    found = {file: [] for file in files}
    for result in report["results"]:
        found[result["filename"]].append(f"{result['line_number']}: {result['test_id']} {result['issue_text']}")
    return found


def code_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_bandit_finds_nothing(findings):
    assert {file: found for file, found in findings.items() if found} == {}


@pytest.mark.parametrize("file", parameters(SOURCES))
def test_what_bandit_is_not_to_find_is_named_with_a_reason(file):
    for line in file.read_text(encoding="utf-8").splitlines():
        if "nosec" in line:
            assert re.search(r"# nosec B\d{3}(, ?B\d{3})* # \w.{10}", line), line


# What bandit does not look for.
UNPICKLING = {"joblib.load", "yaml.full_load", "yaml.unsafe_load", "torch.hub.load"}
MUST_BE_FALSE = {"trust_remote_code", "allow_pickle"}
NEEDED_OPTIONS = {"np.load": "allow_pickle", "from_pretrained": "local_files_only"}


def dangers(source: str) -> list[str]:
    """Return the calls of a program that could run code of others, as they are written there."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        needed = NEEDED_OPTIONS.get(called) or NEEDED_OPTIONS.get(called.split(".")[-1])
        found += [called] if called in UNPICKLING else []
        found += [f"{name}={options[name]}" for name in options if name in MUST_BE_FALSE and options[name] != "False"]
        found += [f"{called} without {needed}"] if needed and needed not in options else []
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("AutoModel.from_pretrained(x, trust_remote_code=True)",
         ["trust_remote_code=True", "AutoModel.from_pretrained without local_files_only"]),
        ("np.load(x, allow_pickle=flag)", ["allow_pickle=flag"]),
        ("np.load(x)", ["np.load without allow_pickle"]),
        ("joblib.load(x)", ["joblib.load"]),
        ("model.eval(); np.load(x, allow_pickle=False); yaml.safe_load(x); joblib.Parallel()", []),
    ],
)  # fmt: skip
def test_dangers_are_found(source, found):
    assert dangers(source) == found


@pytest.mark.parametrize("file", parameters([*SOURCES, *NOTEBOOKS]))
def test_code_has_none_of_them(file):
    sources = code_cells(file) if file.suffix == ".ipynb" else [file.read_text(encoding="utf-8")]
    assert [danger for source in sources for danger in dangers(source)] == []


@pytest.mark.parametrize("notebook", parameters(NOTEBOOKS))
def test_notebooks_show_no_data_as_html(notebook):
    for source in code_cells(notebook):
        for node in ast.walk(ast.parse(source)):
            called = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
            assert called not in {"HTML", "Javascript", "to_html", "Styler", "display_html"}
            if called == "Markdown":
                assert all(isinstance(argument, ast.Constant) for argument in node.args)
            assert not (isinstance(node, ast.Attribute) and node.attr == "style")


# Data full of tricks

TRICKS = [
    *HOSTILE,
    '=cmd|"/C calc"!A0',
    "+1+cmd",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    "'=1+1",
    "\x1b[31mred\x1b]0;title\x07\x9b1m",
    "null\0byte",
    "javascript:document.title='run'",
    "[click](javascript:document.title='run') ![x](x onerror=document.title=1)",
    r"$\href{javascript:document.title='run'}{x}$ \(x\)",
    "../../outside",
    "/etc/passwd",
    "..\\..\\outside",
    "CON",
    "%2e%2e%2foutside",
    "~root/outside",
    "a" * 300,
    "{{config}} {% x %} #{x}",
    "\u2066\u2067 \u200f\u200b zero\u200dwidth",
]


def tricky_examples() -> list[dict]:
    """Two questions on a context each; all of their texts are tricks, and every trick is an answer."""
    examples = []
    for number, trick in enumerate(TRICKS):
        context = f"{trick} {number} {trick}. The city is Paris {trick}"
        for question, answer in enumerate((trick, "Paris")):
            examples.append(make_example(f"{trick}{number}.{question}", context, f"{trick}?", answer, title=trick))
    return examples


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """The tricks all the way from a file to the files of a review, and the page's folder."""
    around = tmp_path_factory.mktemp("around")
    source, folder = around / "source.json", around / "inside" / "outputs"
    source.write_text(json.dumps(squad_document(tricky_examples())), encoding="utf-8")
    dataset = list(load_squad(source))
    assert dataset == sorted(tricky_examples(), key=lambda example: [e["id"] for e in dataset].index(example["id"]))
    right = [[(example["context"].index("Paris"), example["context"].index("Paris") + 5, "ANS")] for example in dataset]
    write_run(folder, dataset, "source.json", {"O": 0, "ANS": 1}, right)
    table, _ = read_outputs(folder)
    found = find_label_errors(table)
    paths = write_review_files(folder, found, table)
    return around, folder, table, found.issues, {path.name: path for path in paths}


def test_nothing_is_written_outside(reviewed):
    around, folder, _, _, paths = reviewed
    assert {path.name for path in around.iterdir()} == {"source.json", "inside"}
    assert [path.name for path in (around / "inside").iterdir()] == ["outputs"]
    files = {"pred_probs.npz", "labels.npz", "tokens.npz", "questions.npz", "out_of_fold.parquet", "run.json", *paths}
    assert {path.name for path in folder.rglob("*") if not path.name.startswith(".")} == files


@needs_browser
def test_no_script_of_the_data_runs(reviewed):
    _, folder, table, issues, paths = reviewed
    (page,) = browse(folder, [paths["label_issues.html"].name])
    assert page.one("title").text() == "Label issues"
    assert len(page.all("script")) == 1
    assert page.all("img") == page.all("a") == []
    assert page.one("form").all("p")[0].text() == f"{len(table)} of {len(table)} rows", "the page's own script runs"
    # The last of the control characters have no place in HTML, and stand there as pictures of themselves.
    shown = str.maketrans({**{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}, 0x9B: 0xFFFD})
    expected = [table["context"].iloc[index].translate(shown) for index in issues["index"]]
    # Whatever ends a line in the data, HTML reads a newline.
    expected = [text.replace("\r\n", "\n").replace("\r", "\n") for text in expected]
    assert [context_of(card) for card in page.all("article")] == expected


def test_no_cell_is_a_formula(reviewed):
    _, _, table, _, paths = reviewed
    with paths["label_issues.csv"].open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert len(rows) == len(table)
    for row in rows:
        assert len(row) == len(header)
        for cell in row:
            assert not re.match(r"[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n\0]", cell), cell
    assert sum(cell.startswith("'") for row in rows for cell in row) > 20


def test_files_for_tools_hold_the_texts_and_nothing_else(reviewed):
    _, _, table, _, paths = reviewed
    tasks = json.loads(paths["label_studio_tasks.json"].read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in paths["doccano.jsonl"].read_text(encoding="utf-8").split("\n") if line]
    by_id = dict(zip(table["id"], table["context"], strict=True))
    for read in ([task["data"] for task in tasks], lines):
        assert {row["id"]: row["text"] for row in read} == by_id
    config = ElementTree.parse(paths["label_studio_config.xml"]).getroot()
    assert [element.tag for element in config.iter()] == [
        "View", "Header", "Header", "Labels", "Label", "Text", "Choices", "Choice",
    ]  # fmt: skip


class Elements(HTMLParser):
    def __init__(self, source: str):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_what_notebooks_show_is_escaped(reviewed):
    _, _, table, issues, _ = reviewed
    with pd.option_context("display.max_colwidth", None, "display.max_rows", None, "display.max_columns", None):
        tables = [table[["id", "title", "question", "given_answer"]], issues, pd.DataFrame(TRICKS, index=TRICKS).T]
        shown = [frame._repr_html_() for frame in tables]
    for text in TRICKS[:9]:
        tokens = [*text.split()] or [text]
        starts = np.array([text.index(token) for token in tokens])
        ends = starts + [len(token) for token in tokens]
        probs, labels = np.full((len(tokens), 2), 0.5), np.ones((len(tokens), 2), dtype=np.int64)
        prediction = SpanPrediction(
            probs, tokens, labels, char_start=starts, char_end=ends, is_context=np.ones(len(tokens), dtype=bool)
        )
        shown.append(show_context(prediction, text, text, 1, text).data)
    for source in shown:
        elements = Elements(source)
        assert set(elements.tags) <= {"div", "style", "table", "thead", "tbody", "tr", "th", "td", "p", "b", "span"}
        assert not [name for name in elements.attributes if name.startswith("on") or name in ("href", "src")]


@pytest.mark.parametrize("notebook", parameters(NOTEBOOKS))
def test_tables_of_notebooks_set_no_formulas(notebook):
    # A formula can hold a link that runs a script, and a price is none.
    assert 'pd.set_option(\\"display.html.use_mathjax\\", False)' in notebook.read_text(encoding="utf-8")


def test_errors_show_no_control_characters(tmp_path):
    example = make_example("\x1b[2Jid", "\x1b[31mcontext\x07", "\x1b]0;q\x07?", "context")
    example["answers"]["answer_start"] = [1]
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps(example), encoding="utf-8")
    with pytest.raises(InvalidDatasetError, match=r"id '\\x1b\[2Jid'") as caught:
        load_squad(file)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", str(caught.value))


def test_names_of_the_data_are_no_names_of_folders(tiny_bert, tmp_path):
    names = ["../../outside", "/etc/passwd", "..", "a/b", "\0", "con"]
    examples = [
        make_example(f"{name}{number}", f"The city is Paris {number}.", "What?", "Paris", title=name)
        for number, name in enumerate(names)
    ]
    trainer = QATrainer(QA(tiny_bert, max_length=32), 32, {"O": 0, "ANS": 1})
    folder = tmp_path / "inside" / "folds"
    found = out_of_fold_predictions(
        examples, trainer, num_splits=2, group_by="title", folds_dir=folder, log=lambda line: None, num_train_epochs=1
    )
    write_outputs(tmp_path / "inside" / "outputs", examples, found, {"dataset": "x"}, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert {path.name for path in (tmp_path / "inside").iterdir()} == {"folds", "outputs"}
    folders = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert sorted(re.sub("-[0-9a-f]{12}$", "-key", name) for name in folders) == ["fold_0_of_2-key", "fold_1_of_2-key"]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "a\\b", "a\0", "-x", " x", "<b>", "$x$"])
def test_class_names_that_could_be_paths_are_refused(tiny_bert, name):
    with pytest.raises(ValueError, match="label_map: expected class names of letters, digits"):
        QA(tiny_bert, label_map={"O": 0, name: 1}, max_length=32)
