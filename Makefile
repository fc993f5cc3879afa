# One vocabulary for people and CI. `make` alone prints it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.installed
SAMPLES := var/samples
DRAWN := var/drawn
CACHE := var/cache
HOST ?= 127.0.0.1
PORT ?= 8000
PHOTOS ?= $(DRAWN)
# Files in their order, not by the number of their tests: the long ones of tests/acceptance begin first.
PARALLEL ?= --numprocesses 4 --dist loadfile --no-loadscope-reorder --benchmark-disable
# The lock files name every dependency, so nothing else is resolved. uv takes a third of the time, but pip may know an
# index that uv does not.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(1) || $(BIN)/python -m pip install --quiet --no-deps $(1)
COMPILE = $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --quiet \
  --custom-compile-command "make lock"
LOCK = $(COMPILE) pyproject.toml --extra postgres --extra redis

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test check lint format docs lock bench clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(RUNTIME) $(SAMPLES) ## serve sample pictures on 127.0.0.1:8000 (PORT=9000 for another port)
	$(BIN)/imgserve serve $(SAMPLES) --cache $(CACHE) --host $(HOST) --port $(PORT)

# Most tests share the machine, as they mostly wait. Those marked `alone`, which are in tests/acceptance, run after them,
# one at a time.
# Status 5: ARGS selects none of these tests.
test: $(STAMP) ## run the whole test suite; ARGS="-k words" for a part of it
	$(BIN)/python -m pytest -m "not alone" $(PARALLEL) $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m alone $(or $(ARGS),tests/acceptance) || [ $$? -eq 5 ]

check: lint test ## everything that CI checks: lint, then test

lint: $(STAMP) ## check format, rules, types, import layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## write the code as the formatter wants it
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

docs: $(STAMP) ## write the tables of docs/, config.example.yaml and the parameters of the client from the code
	$(BIN)/python -m tests.docs
	$(BIN)/python -m tests.keywords
	$(BIN)/imgserve config example > config.example.yaml

lock: $(STAMP) ## write the lock files from pyproject.toml; ARGS="--upgrade" for newer versions
	$(LOCK) --output-file requirements.lock $(ARGS)
	$(COMPILE) --group build --constraint requirements.lock --output-file requirements-build.lock $(ARGS)
	$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock $(ARGS)

bench: $(STAMP) $(PHOTOS) ## time the parts, and the server beside floors and peers; PHOTOS=folder, ARGS="--quick"
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-storage=benchmarks/baseline --benchmark-compare \
	  -W default::pytest_benchmark.logger.PytestBenchmarkWarning
	$(BIN)/python -m benchmarks $(PHOTOS) $(ARGS)

clean: ## remove everything that make has made, the environment included
	rm -rf $(VENV) var dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks
	find imgserve tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is younger than what it was made from only if the whole installation went through. A new environment is empty,
# and so has no stamp of the development tools either.
$(RUNTIME): pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "imgserve needs Python 3.11 or newer; there is no $(PYTHON) here" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "imgserve needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments here; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet 'uv>=0.9,<1' || echo "uv cannot be installed: continuing with pip, which is slower"
	$(call INSTALL,--require-hashes --requirement requirements.lock)
	$(call INSTALL,--editable .)
	@touch $@

$(STAMP): $(RUNTIME) requirements-dev.lock
	$(call INSTALL,--require-hashes --requirement requirements-dev.lock)
	@touch $@

# Copied under another name and moved, so that an interrupted copy is not mistaken for a whole one. The server writes
# records next to its originals, so it serves a copy and not static/samples.
$(SAMPLES): | $(RUNTIME)
	rm -rf $(SAMPLES).part
	$(BIN)/imgserve samples $(SAMPLES).part
	mv $(SAMPLES).part $(SAMPLES)

# As large as a camera draws them: the benchmark measures with originals of 24 megapixels.
$(DRAWN): | $(STAMP)
	@echo "Drawing large pictures (about half a minute) ..."
	rm -rf $(DRAWN).part
	$(BIN)/python -m benchmarks.samples --scale 1 $(DRAWN).part
	mv $(DRAWN).part $(DRAWN)
