# Two commands for a new machine: `make demo` and `make test`. Both need Python 3.11 or newer, make, and the
# package registry; each makes .venv the first time and is quick when run again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Tests run in one process a core. Which test is in which set is said in docs/architecture.md.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile \
	--durations 5 --durations-min 10

.PHONY: demo test quick sizes test-slow test-all browser lint ci-environment clean

demo: $(VENV)/local.stamp
	$(BIN)/gandt demo --out gandt-demo

test: $(VENV)/dev.stamp
	$(PYTEST) -m "not slow"

# the inner loop: what needs neither a browser nor much time
quick: $(VENV)/dev.stamp
	$(PYTEST) -m "not slow and not medium and not browser"

# measure anew which tests are too long for it
sizes: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python -m pytest -p sizes -m "not slow and not browser"

test-slow: $(VENV)/dev.stamp
	$(PYTEST) -m slow

test-all: test test-slow

# Playwright's own Chromium, into the user's cache: without root, and used before a system's
browser: $(VENV)/dev.stamp
	$(BIN)/python -m playwright install chromium

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint infra/*.yaml

# the optional heavy packages, so that the tests that need them run instead of skipping
ci-environment: $(VENV)/ci.stamp

$(VENV)/ci.stamp: $(VENV)/dev.stamp
	$(PIP) torch openvino crowd-kit pillow-heif ray pycocotools datasets
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gandt needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/local.stamp: setup.py constraints.txt | $(VENV)/bin/python
	@echo "Installing gandt into $(VENV) (once) ..."
	$(PIP) -e ".[local]"
	@touch $@

$(VENV)/dev.stamp: setup.py constraints.txt | $(VENV)/bin/python
	@echo "Installing gandt and what its tests need into $(VENV) (once) ..."
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/local.stamp

clean:
	rm -rf $(VENV) build dist *.egg-info gandt-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
