# Bare `make` lists the targets.
VENV := .venv
PYTHON ?= python3.11
BIN := $(CURDIR)/$(VENV)/bin
PROFILE ?=
PORT ?= 5000
STUDY := $(if $(PROFILE),studies/$(PROFILE),.)
export PATH := $(BIN):$(PATH)
ifdef DATRANSNET_MIRROR # a study's commands run in its own folder
export DATRANSNET_MIRROR := $(abspath $(DATRANSNET_MIRROR))
endif

.DEFAULT_GOAL := help
.PHONY: help setup repro test test-cluster notebooks recompute lint bench ui docs lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/.ready ## make the environment in .venv from requirements.txt

repro: $(VENV)/.ready ## run the whole study; PROFILE=sirst runs it on real images, in studies/sirst
	@$(if $(PROFILE),python -m pipeline profile $(PROFILE),python -m pipeline validate --schema)
	@cd $(STUDY) && dvc repro
	@cd $(STUDY) && python -m pipeline where

test: $(VENV)/.ready ## run the tests
	python -m pytest -n 2 --dist loadgroup

test-cluster: $(VENV)/.ready ## a sweep on three machines that fail (root, iproute2, PostgreSQL; skips where they are missing)
	python -m pytest -m cluster tests/cluster

notebooks: $(VENV)/.ready ## run the notebooks on the finished study
	python -m pytest -m finished tests/pipeline/test_notebooks.py

recompute: $(VENV)/.ready ## every number of the main table again, by other code, from stored scores
	python -m pytest -m finished -s tests/pipeline/test_recomputation.py

lint: $(VENV)/.ready ## check style and types
	ruff check .
	ruff format --check .
	mypy

bench: $(VENV)/.ready ## network, loader, evaluation and sweep against their plain forms; what intervals cover (two hours)
	python -m benchmarks.network
	python -m benchmarks.loader
	python -m benchmarks.evaluation
	python -m benchmarks.coverage
	python -m benchmarks.machinery
	python -m benchmarks.search
	python -m benchmarks.events

ui: $(VENV)/.ready ## compare runs in the MLflow UI on http://127.0.0.1:5000 (PORT=…)
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --host 127.0.0.1 --port $(PORT) \
	  --backend-store-uri sqlite:///$(CURDIR)/mlruns.db --default-artifact-root $(CURDIR)/mlartifacts

docs: $(VENV)/.ready ## write the reference pages and the README's results anew
	python docs/generate.py

lock: ## write requirements.txt anew from pyproject.toml
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/pip install --quiet '.[study,cluster,export,dev]' 'setuptools>=77'
	.lock/bin/pip freeze --all --exclude datransnet --exclude pip | sed 's/+cpu//' > requirements.txt
	rm -rf .lock build

clean: ## remove unfinished runs and the environment; finished runs stay
	-python -m pipeline clean
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
