# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TOOLS  := $(VENV)/.ready-tools
OLDEST := .venv-lowest
READY_OLDEST := $(OLDEST)/.ready
PARALLEL := -n $(JOBS) --dist loadfile --max-worker-restart 0
INSTALL := -m pip install --quiet --disable-pip-version-check
PIP    := $(BIN)/python $(INSTALL)
# the tests that call a dependency
CALLING := tests/cli tests/test_functional.py tests/guide \
	tests/runtime/cpu/test_disk.py tests/runtime/cpu/test_compiler.py \
	tests/runtime/cpu/vectormath

# Python keeps what it compiles, or would compile it again at every start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo native test test-all test-lowest check bench bench-quick clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: native ## see what onepass does, on this machine
	$(BIN)/onepass demo

test: $(TOOLS) ## run the tests, without those that take long
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow'

test-all: $(TOOLS) ## run all tests: mutants, every option against torch, every property
	$(BIN)/python -m pytest $(PARALLEL)

# what old packages stand on may call them deprecated
test-lowest: $(READY_OLDEST) ## run the tests that call dependencies, with the oldest allowed
	$(OLDEST)/bin/python -m pytest $(PARALLEL) -m 'not slow' -W ignore::DeprecationWarning \
		$(CALLING)

check: $(TOOLS) ## format, lint, types, import contracts, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m pip check

bench: native ## measure everything (about 20 minutes) and refresh the README's numbers
	$(BIN)/python -m benchmarks run
	$(BIN)/python -m benchmarks table

bench-quick: native ## a look in under two minutes; nothing to quote
	$(BIN)/python -m benchmarks run --quick

clean: ## remove builds, caches and the environment
	rm -rf $(VENV) $(OLDEST) build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --no-compile: Python compiles what is imported, a third of what is installed
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile -c constraints.txt -e '.[demo,guide]'
	@touch $@

# `--group` needs pip 25.1
$(TOOLS): $(READY)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) -c constraints.txt --group test --group check
	@touch $@

$(READY_OLDEST): pyproject.toml constraints.txt constraints-lowest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(INSTALL) --no-compile -c constraints-lowest.txt -e '.[demo,guide]'
	$(OLDEST)/bin/python $(INSTALL) -c constraints.txt hypothesis pytest pytest-xdist
	@touch $@

# Asked each time, for the cache may be another one or empty. Without a compiler everything works,
# and small calls take longer.
native: $(READY)
	-$(BIN)/onepass build
