"""What holds for every notebook as it is committed."""

import nbformat
import papermill
import pytest
from conftest import ROOT

from parameters import ReviewParameters, TrainingParameters

PARAMETERS_OF = {
    "span_categorizer_training.ipynb": TrainingParameters,
    "find_label_errors_in_span_classification_dataset.ipynb": ReviewParameters,
}


@pytest.fixture(params=PARAMETERS_OF)
def name(request) -> str:
    return request.param


@pytest.fixture
def notebook(name) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "notebooks" / name, as_version=4)


def test_every_notebook_is_tested():
    assert {file.name for file in (ROOT / "notebooks").glob("*.ipynb")} == set(PARAMETERS_OF)


def test_it_has_no_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
    assert len(notebook.cells) > 20


def test_it_is_valid_and_its_cells_fit_on_a_screen(notebook):
    nbformat.validate(notebook)
    assert max(cell.source.count("\n") for cell in notebook.cells) < 30


def test_exactly_one_cell_is_tagged_parameters(notebook):
    assert [("parameters" in cell.metadata.get("tags", [])) for cell in notebook.cells].count(True) == 1


def test_papermill_lists_every_parameter_with_type_and_help(name):
    listed = papermill.inspect_notebook(ROOT / "notebooks" / name)
    assert list(listed) == list(PARAMETERS_OF[name].__dataclass_fields__)
    for parameter in listed.values():
        assert parameter["inferred_type_name"] not in ("", "None"), parameter
        assert len(parameter["help"]) > 10, parameter
