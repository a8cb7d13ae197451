# Bare `make` lists the targets. Paths may hold anything a shell or make would take apart: recipes name the environment
# from here (.venv/bin/…), and what a person gives them is quoted.
VENV := .venv
PYTHON ?= python3.11
PROFILE ?=
PORT ?= 5000
quoted = '$(subst ','\'',$(1))'
STUDY := $(if $(PROFILE),studies/$(PROFILE),.)
# DVC, too, reads names as UTF-8 in any locale.
export PYTHONUTF8 ?= 1
export PATH := $(CURDIR)/$(VENV)/bin:$(value PATH)
ifdef DATRANSNET_MIRROR # a study's commands run in its own folder; `abspath` would take a path apart at its spaces
given := $(if $(filter command,$(origin DATRANSNET_MIRROR)),$(DATRANSNET_MIRROR),$(value DATRANSNET_MIRROR))
override export DATRANSNET_MIRROR := $(if $(filter /%,$(firstword $(given))),,$(CURDIR)/)$(given)
endif

# DVC wants a repository, or to be told that there is none: a download has none, or lies in one that ignores it.
WITHOUT_GIT = d="$$PWD"; until [ -e "$$d/.git" ] || [ -z "$$d" ]; do d="$${d%/*}"; done; \
  if [ -z "$$d" ] || git check-ignore --quiet . 2>/dev/null; then $(VENV)/bin/python -m dvc config --local core.no_scm true; fi

.DEFAULT_GOAL := help
.PHONY: help setup repro test test-faults test-cluster test-slurm test-exports test-oldest check notebooks recompute lint bench ui ui-search docs lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements.txt pyproject.toml
	$(call quoted,$(PYTHON)) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(WITHOUT_GIT)
	@touch $@

setup: $(VENV)/.ready ## make the environment in .venv from requirements.txt

repro: $(VENV)/.ready ## run the whole study; PROFILE=sirst runs it on real images, in studies/sirst
	@$(if $(PROFILE),python -m pipeline profile $(call quoted,$(PROFILE)),python -m pipeline validate --schema)
	@cd $(call quoted,$(STUDY)) && python -m dvc repro
	@cd $(call quoted,$(STUDY)) && python -m pipeline where

test: $(VENV)/.ready ## run the tests
	python -m pytest -n 2 --dist loadgroup

test-faults: $(VENV)/.ready ## studies that are killed, cut off, or run in odd places (15 minutes)
	python -m pytest -n 2 --dist loadgroup -m faults tests

test-cluster: $(VENV)/.ready ## a sweep on three machines that fail (root, iproute2, PostgreSQL; skips where they are missing)
	python -m pytest -m cluster tests/cluster

notebooks: $(VENV)/.ready ## run the notebooks on the finished study
	python -m pytest -m finished tests/pipeline/test_notebooks.py

recompute: $(VENV)/.ready ## every number of the main table again, by other code, from stored scores
	python -m pytest -m finished -s tests/pipeline/test_recomputation.py

test-slurm: $(VENV)/.ready ## workers under a real Slurm on three machines (root, iproute2, slurmctld, slurmd, munge; skips without)
	python -m pytest -m slurm tests/cluster

test-exports: $(VENV)/.ready ## the metadata of an exported study by their formats' own validators, in .validators (two minutes)
	$(call quoted,$(PYTHON)) -m venv .validators
	.validators/bin/python -m pip install --quiet "mlcroissant==1.1.1" "roc-validator==0.13.0" "rocrate==0.11.0"
	python -m pytest -m validators tests/pipeline/publishing

test-oldest: ## the library's tests on the oldest versions that it allows, in .oldest (ten minutes, 5 GB)
	rm -rf .oldest && $(call quoted,$(PYTHON)) -m venv .oldest
	.oldest/bin/python -m pip install --quiet uv
	.oldest/bin/uv pip compile --quiet --resolution lowest-direct pyproject.toml --output-file .oldest/oldest.txt
	.oldest/bin/uv pip install --quiet --python .oldest/bin/python --requirement .oldest/oldest.txt
	.oldest/bin/uv pip install --quiet --python .oldest/bin/python --constraint .oldest/oldest.txt \
	  pytest pytest-timeout pytest-xdist hypothesis scikit-image scikit-learn
	.oldest/bin/python -m pytest -n 2 -p no:cacheprovider tests/datransnet datransnet

check: export DATRANSNET_RUNS ?= 40
check: lint test test-faults test-cluster ## all that a change must pass (50 minutes): lint, tests, the study and its numbers again
	$(MAKE) repro recompute notebooks

lint: $(VENV)/.ready ## check style and types
	python -m ruff check .
	python -m ruff format --check .
	python -m mypy

bench: $(VENV)/.ready ## network, loader, evaluation and sweep against their plain forms; what intervals cover (two hours)
	python -m benchmarks.network
	python -m benchmarks.networks
	python -m benchmarks.inference
	python -m benchmarks.loader
	python -m benchmarks.evaluation
	python -m benchmarks.coverage
	python -m benchmarks.machinery
	python -m benchmarks.search
	python -m benchmarks.events

ui: $(VENV)/.ready ## compare runs in the MLflow UI on http://127.0.0.1:5000 (PORT=…)
	@python -m pipeline ui --port $(call quoted,$(PORT))

ui-search: $(VENV)/.ready ## look at searches in Optuna's dashboard on http://127.0.0.1:5000 (PORT=…)
	@python -m pipeline ui --search --port $(call quoted,$(PORT))

docs: $(VENV)/.ready ## write the reference pages and the README's results anew
	python docs/generate.py

# pip pins the newest releases that its own Python can run: write the file with an early 3.11 (PYTHON=…), so that all can install.
lock: ## write requirements.txt anew from pyproject.toml
	rm -rf .lock && $(call quoted,$(PYTHON)) -m venv .lock
	.lock/bin/python -m pip install --quiet '.[study,cluster,export,dev]' 'setuptools>=77'
	.lock/bin/python -m pip freeze --all --exclude datransnet --exclude pip | sed 's/+cpu//' > requirements.txt
	rm -rf .lock build

clean: ## remove unfinished runs and the environment that setup made; finished runs stay
	-python -m pipeline clean
	@if [ -e $(VENV)/.ready ]; then rm -rf $(VENV); elif [ -e $(VENV) ]; then echo '$(VENV) was not made by `make setup`: kept'; fi
	rm -rf .oldest .validators .pytest_cache .mypy_cache .ruff_cache .hypothesis
