"""What is imported when: the network where something is trained or predicted, and other heavy libraries on use."""

import ast
import gc
import json
import subprocess
import sys

import pytest
from conftest import ROOT, squad_document, twelve_examples
from small_runs import write_run

from span_label_errors.imports import heavy_imports

HEAVY = ("torch", "transformers", "datasets", "sklearn")


def heavy_after(code: str, *arguments: object) -> list[str]:
    """Return which heavy libraries a fresh process has imported after it ran some code."""
    code += f"\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return ast.literal_eval(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from span_label_errors import load_squad, make_splits", []),
        ("from span_label_errors import find_label_errors, read_outputs, write_review_files, apply_decisions", []),
        ("from span_label_errors.notebook import ReviewParameters, show_answers, source_path", []),
        ("import span_label_errors.commands.audit", []),
        ("from spanbert import QA, QATrainer", ["torch", "transformers"]),
    ],
)
def test_an_import_loads_no_more_than_what_its_names_always_need(code, expected):
    assert heavy_after(code) == expected


def test_a_whole_review_never_loads_the_network(tmp_path):
    source, outputs, dataset = tmp_path / "source.json", tmp_path / "outputs", twelve_examples()
    source.write_text(json.dumps(squad_document(dataset)))
    starts = [(example["answers"]["text"][:1], example["answers"]["answer_start"][:1]) for example in dataset]
    right = [[(start, start + len(text), "ANS") for text, start in zip(*of, strict=True)] for of in starts]
    write_run(outputs, dataset, source, {"O": 0, "ANS": 1}, right)
    code = """
import sys
from pathlib import Path
import pandas as pd
import span_classification_tutorial_utils
from span_label_errors import apply_decisions, find_label_errors, notebook, read_decisions, read_outputs
from span_label_errors import write_review_files
source, outputs = map(Path, sys.argv[1:])
table, run = read_outputs(outputs)
found = find_label_errors(table)
notebook.show_answers(found.issues, table, count=3)
notebook.plot_label_quality(found.issues, 0.5)
write_review_files(outputs, found, table)
reviewed = pd.read_csv(outputs / "label_issues.csv", dtype=str, keep_default_na=False)
reviewed.assign(correct_answer="[no answer]").to_csv(outputs / "reviewed.csv", index=False)
parameters = notebook.ReviewParameters.from_values({"outputs_dir": str(outputs)})
corrected, changed = parameters.corrected_files(str(source))
changes = apply_decisions(str(source), read_decisions(outputs / "reviewed.csv", table), corrected, changed)
assert len(changes) == len(table), changes
"""
    assert not {"torch", "transformers"} & set(heavy_after(code, source, outputs))


def test_garbage_is_collected_again_after_an_import_that_fails():
    with pytest.raises(ImportError), heavy_imports():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_who_has_switched_garbage_collection_off_finds_it_off():
    gc.disable()
    try:
        with heavy_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
