# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
NATIVE := $(VENV)/.native
DOCS   := $(VENV)/.ready-docs
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-quick docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(NATIVE) ## see what onepass does, on this machine
	$(BIN)/onepass demo

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --max-worker-restart 0

check: $(READY) ## format, lint, types, import contracts, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m pip check

bench: $(NATIVE) ## measure everything (about 20 minutes) and refresh the README's numbers
	$(BIN)/python -m benchmarks run
	$(BIN)/python -m benchmarks table

bench-quick: $(NATIVE) ## a look in under two minutes; nothing to quote
	$(BIN)/python -m benchmarks run --quick

docs: $(DOCS) ## build the site into docs/_build
	@test -f docs/conf.py || { echo 'there is no docs/conf.py to build'; exit 1; }
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean: ## remove builds, caches and the environment
	rm -rf $(VENV) build dist docs/_build .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# `--group` needs pip 25.1
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) -c constraints.txt -e '.[demo,guide]' --group test --group check
	@touch $@

# without a compiler everything works, and small calls take longer
$(NATIVE): $(READY) src/onepass/runtime/native.cpp
	-$(BIN)/onepass build
	@touch $@

$(DOCS): $(READY)
	$(PIP) -c constraints.txt --group docs
	@touch $@
