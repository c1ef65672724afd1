# make demo: the main job, from the shipped weights.  make test: every test that this machine can run, on all cores;
# those in tests/alone measure this machine, and run after the others, one by one.
# Both make .venv first. Any other interpreter: make demo PYTHON=/path/to/python3.11
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
PAIR ?= edsr_from_edsr
PYTEST := $(BIN)/python -m pytest

export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help demo test cover quick lint types fence bench gpu board mutate wheel clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: $(VENV)/.compile  ## teacher and student through every stage, from the shipped weights; names the report at the end
	$(BIN)/edgekd run models/$(PAIR) -o runs/$(PAIR)

test: $(VENV)/.dev  ## all tests; those that need a GPU or a board are skipped by name, with the reason
	$(PYTEST) -q -rs --no-fold-skipped -n auto --dist loadfile --no-loadscope-reorder --ignore tests/alone $(COVERAGE)
	$(PYTEST) -q -rs --no-fold-skipped tests/alone $(COVERAGE) $(if $(COVERAGE),--cov-append)

cover: COVERAGE := --cov --cov-report=term:skip-covered
cover: test  ## the same, and which branches no test has taken

quick: $(VENV)/.dev  ## unit tests and fences only, without those that measure
	$(PYTEST) -q -n auto tests/unit tests/fence

lint: $(VENV)/.dev  ## ruff
	$(BIN)/ruff check .

types: $(VENV)/.dev  ## mypy, strict on the package
	$(BIN)/mypy

fence: $(VENV)/.dev  ## imports point down, bare board, sizes, names, documents
	$(BIN)/lint-imports --no-cache
	$(PYTEST) -q tests/fence

bench: $(VENV)/.dev  ## edgekd's own costs: start-up, and a run with nothing to do
	$(BIN)/python benchmarks/cli_startup.py
	$(BIN)/python benchmarks/rerun.py

gpu: $(VENV)/.dev  ## tests that need an NVIDIA GPU
	$(PYTEST) -q -m gpu

board: $(VENV)/.dev  ## tests that need a Jetson
	$(PYTEST) -q -m board

mutate: $(VENV)/.dev  ## changes the code that decides verdicts, and says which change no test has noticed; takes long
	$(PIP) mutmut==3.8.1
	$(BIN)/mutmut run
	$(BIN)/mutmut results

wheel: $(VENV)/.dev  ## dist/: the wheel and the sdist
	$(BIN)/python -m build --no-isolation

clean:  ## everything that a run, a build or a check has left; .venv stays
	rm -rf runs build dist mutants .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find edgekd models tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@echo "making $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV)

# A stamp a set of extras: an install is made once, and again when what it is made of changes.
$(VENV)/.compile: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing edgekd with torch, onnx, onnxruntime and TensorRT-RTX: about 5 GB, a few minutes, once" >&2
	@$(PIP) --editable '.[compile,rtx]'
	@touch $@

$(VENV)/.dev: $(VENV)/.compile
	@echo "installing the tools that test it" >&2
	@$(PIP) --editable '.[compile,rtx,dev]'
	@touch $@
