"""Both notebooks without training: they run, say what they do, and the audit proves the result."""

import json

import nbformat
import papermill
import pytest
from conftest import ROOT
from papermill.exceptions import PapermillExecutionError

from span_label_errors.commands.audit import audit

pytestmark = pytest.mark.slow
TRAINING, REVIEW = "span_categorizer_training", "find_label_errors_in_span_classification_dataset"


def execute(name: str, folder, **arguments) -> str:
    """Run a notebook and return the texts that it showed."""
    notebook = papermill.execute_notebook(
        ROOT / "notebooks" / f"{name}.ipynb", folder / f"{name}.ipynb", arguments, progress_bar=False, cwd=folder
    )
    outputs: list[nbformat.NotebookNode] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.fixture
def arguments(squad_file, tmp_path) -> dict:
    folders = {name: str(tmp_path / name) for name in ("folds_dir", "outputs_dir")}
    return {"dataset": str(squad_file), "num_splits": 0, "max_length": 48, "doc_stride": 8, **folders}


def test_notebooks_say_what_was_done_and_the_audit_proves_it(arguments, tiny_reader, tmp_path):
    arguments["model_checkpoint"] = str(tiny_reader)
    shown = execute(TRAINING, tmp_path, **arguments)
    assert "nothing is trained: the checkpoint as it is predicts 12 examples, once" in shown
    assert "prediction without training: the checkpoint as it is predicted 12 examples: loss " in shown
    record = json.loads((tmp_path / "outputs_dir" / "run.json").read_text())
    assert record["parameters"]["num_splits"] == 0
    (fold,) = record["folds"]
    assert (fold["training"], fold["train_indices"], fold["validation_indices"]) == (None, [], list(range(12)))
    assert [path.name for path in (tmp_path / "folds_dir").iterdir()] == [fold["folder"]]

    shown = execute(REVIEW, tmp_path, outputs_dir=arguments["outputs_dir"])
    assert "all predicted by the checkpoint as it is, without training" in shown
    statements = list(audit(tmp_path / "outputs_dir", tmp_path / "folds_dir"))
    assert "nothing was trained: one checkpoint predicted each example once" in statements
    assert "6 files of the review are of this run; its answers stand where it says" in statements


def test_checkpoint_without_a_head_stops_the_run_and_says_what_to_do(arguments, tiny_bert, tmp_path):
    with pytest.raises(PapermillExecutionError, match=r"found one without a head for the classes .*num_splits=3"):
        execute(TRAINING, tmp_path, **arguments, model_checkpoint=str(tiny_bert))
    assert list((tmp_path / "folds_dir").iterdir()) == []
