# PYTHON is only used to create the environment; everything else runs inside it.
PYTHON ?= python3
BIN := .venv/bin
TRAINING := span_categorizer_training.ipynb
LABEL_ERRORS := find_label_errors_in_span_classification_dataset.ipynb
# Show what the notebook prints instead of a bar that counts cells.
PAPERMILL := $(BIN)/papermill --no-progress-bar --stdout-file /dev/stdout

# Threads that wait sleep: where neighbours share the cores, waiting threads that spin halve the speed.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: run test test-slow test-all lab squad entities lint mutants clean
.PHONY: gpu-bench gpu-bench-bundle gpu-bench-kernels gpu-bench-pipeline

run: .venv/run.stamp  ## out-of-fold probabilities of the embedded demo, and its label errors
	$(PAPERMILL) notebooks/$(TRAINING) outputs/$(TRAINING)
	$(PAPERMILL) notebooks/$(LABEL_ERRORS) outputs/$(LABEL_ERRORS)

test: .venv/test.stamp  ## everything but what is slow
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-slow: .venv/test.stamp  ## clusters, browsers, kills, whole notebooks, the wheel
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow

test-all: test test-slow  ## everything

lab: .venv/run.stamp  ## JupyterLab on the project
	$(BIN)/jupyter lab --ServerApp.root_dir=. notebooks/$(TRAINING)

squad: .venv/run.stamp  ## the published tutorial's configuration; needs the Hub, or its cache
	$(PAPERMILL) notebooks/$(TRAINING) outputs/squad.ipynb -f notebooks/squad.yaml
	$(PAPERMILL) notebooks/$(LABEL_ERRORS) outputs/squad_label_errors.ipynb -p outputs_dir outputs/squad

entities: .venv/run.stamp  ## the embedded demo of entities: several classes, and no question
	$(PAPERMILL) notebooks/$(TRAINING) outputs/entities.ipynb -f notebooks/entities.yaml
	$(PAPERMILL) notebooks/$(LABEL_ERRORS) outputs/entities_label_errors.ipynb -p outputs_dir outputs/entities

lint: .venv/test.stamp  ## style and formatting
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

# Of one module: make mutants ONLY='span_label_errors.spans.expected_f1*'
mutants: .venv/test.stamp  ## change the code in many ways, and list the changes that no test notices
	$(BIN)/python -m pip install -q mutmut==3.8.1 -c constraints.txt
	ulimit -v 12000000; OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2 $(if $(ONLY),'$(ONLY)')
	$(BIN)/mutmut results

gpu-bench-bundle: .venv/run.stamp  ## into .gpu-bench: what a machine with a GPU and no network lacks
	$(BIN)/python -m benchmarks.gpu prepare

# Where there is no environment of the project, .gpu-bench brings what is missing. With -k, the second part is measured
# even if a row of the first one holds an error.
GPU_PYTHON ?= $(firstword $(wildcard $(BIN)/python) $(PYTHON))

gpu-bench: gpu-bench-kernels gpu-bench-pipeline  ## measure on a GPU, in two parts of at most ten minutes

gpu-bench-kernels:
	$(GPU_PYTHON) -m benchmarks.gpu kernels

gpu-bench-pipeline:
	$(GPU_PYTHON) -m benchmarks.gpu pipeline

clean:  ## remove the environment, trained folds and outputs
	rm -rf .venv
	find folds outputs -mindepth 1 ! -name .gitkeep -delete

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run.stamp: .venv/bin/python requirements.txt constraints.txt pyproject.toml
	$(BIN)/python -m pip install -q -r requirements.txt
	touch $@

.venv/test.stamp: .venv/run.stamp requirements-test.txt
	$(BIN)/python -m pip install -q -r requirements-test.txt
	touch $@
