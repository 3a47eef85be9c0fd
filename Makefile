# Five commands: run, test, check, bench, fuzz. Each sets up what it needs; only Python 3.11 or later and make are assumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests

# Where this is set each process compiles all of our code anew, which is more than half of what a start costs.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check bench fuzz lock clean
.DEFAULT_GOAL := run

run: $(VENV)/.installed
	$(BIN)/python manage.py run $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m tests.support.suites $(TESTS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/pytest -q -n 2 -m "not slow and not interop" tests/unit tests/architecture tests/fuzz

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(VENV)/.installed-dev
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -q -n 2 tests/fuzz

# uv is used when it is there, because it is faster; venv and pip do the same.
$(VENV)/.installed: requirements.lock
	.ci/install $(PYTHON) $(VENV) requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock
	.ci/install $(PYTHON) $(VENV) requirements-dev.lock
	@touch $(VENV)/.installed $@

# For whoever changes the dependencies in pyproject.toml; needs uv. No index address goes into the files.
lock:
	uv lock --upgrade
	uv export -q --no-emit-project --no-annotate --no-header --no-default-groups -o requirements.lock
	uv export -q --no-emit-project --no-annotate --no-header --group dev -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis
