# One vocabulary for people and CI. `make` alone prints it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SAMPLES := var/samples
CACHE := var/cache
HOST ?= 127.0.0.1
PORT ?= 8000
PHOTOS ?= $(SAMPLES)
# The tests of whole servers have the machine for themselves. Status 5: there is none of what ARGS names among them.
PARALLEL ?= --numprocesses 2 --dist loadfile --benchmark-disable

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test check lint format docs bench clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(STAMP) $(SAMPLES) ## serve sample pictures on 127.0.0.1:8000 (PORT=9000 for another port)
	$(BIN)/imgserve serve $(SAMPLES) --cache $(CACHE) --host $(HOST) --port $(PORT)

test: $(STAMP) ## run the whole test suite; ARGS="-k words" for a part of it
	$(BIN)/python -m pytest tests/acceptance $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest tests/unit tests/integration $(PARALLEL) $(ARGS) || [ $$? -eq 5 ]

check: lint test ## everything that CI checks: lint, then test

lint: $(STAMP) ## check format, rules, types, import layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## write the code as the formatter wants it
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

docs: $(STAMP) ## write the tables of USAGE.md, config.example.yaml and the client's parameters from the code
	$(BIN)/python -m tests.docs
	$(BIN)/python -m tests.keywords
	$(BIN)/imgserve config example > config.example.yaml

bench: $(STAMP) $(SAMPLES) ## time the parts, and the server beside floors and peers; PHOTOS=folder, ARGS="--quick"
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-storage=benchmarks/baseline --benchmark-compare \
	  -W default::pytest_benchmark.logger.PytestBenchmarkWarning
	$(BIN)/python -m benchmarks $(PHOTOS) $(ARGS)

clean: ## remove everything that make has made, the environment included
	rm -rf $(VENV) var dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks
	find imgserve tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is younger than pyproject.toml only where the last installation went through.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "imgserve needs Python 3.11 or newer; there is no $(PYTHON) here" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "imgserve needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

# Drawn beside and moved, so that an interrupted drawing is not taken for a whole one.
$(SAMPLES): | $(STAMP)
	@echo "Drawing sample pictures (about half a minute) ..."
	rm -rf $(SAMPLES).part
	$(BIN)/imgserve samples $(SAMPLES).part
	mv $(SAMPLES).part $(SAMPLES)
