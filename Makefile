# Everything a newcomer needs: make run, make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# pip reports each package as it comes; nothing is hidden during the long first install.
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_STAMP := $(VENV)/.run-installed
DEV_STAMP := $(VENV)/.dev-installed
# A change of these is built by the next install.
KERNEL := hatch_build.py $(wildcard collectors/kernel/*.c collectors/kernel/*.h)
STATIC := static/dist/echarts.min.js
# Processes that share the tests, file by file (0: none but this one); each starts a store and loads models, about 3 GB.
WORKERS ?= 0

.PHONY: help run demo test lint types imports check static browser screenshots wheel sbom audit clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: $(RUN_STAMP) $(STATIC)  ## start Heliograph; Ctrl-C stops it
	@exec $(BIN)/heliograph up $(ARGS)

demo: $(RUN_STAMP)  ## send realistic demo traffic to the running platform
	@exec $(BIN)/heliograph demo $(ARGS)

test: $(DEV_STAMP) $(STATIC) browser  ## run every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(DEV_STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP)  ## mypy, strict
	$(BIN)/mypy

imports: $(DEV_STAMP)  ## import-linter: imports point down
	$(BIN)/lint-imports

check: lint types imports test  ## all of the above

static: $(STATIC)  ## build what the browser loads

# Only where it can be had without asking: as root on Debian. Elsewhere the browser tests say why they are skipped.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing Chromium for the browser tests" && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	echo "No Chromium here: the browser tests will be skipped."

screenshots: $(DEV_STAMP) $(STATIC) browser  ## make docs/screenshots from a running platform with demo data
	$(BIN)/python docs/screenshots.py

wheel: $(RUN_STAMP)  ## build a wheel in dist/, with the compiled kernel where a C compiler is
	$(PIP) wheel --no-deps --wheel-dir dist .

sbom: $(RUN_STAMP)  ## write dist/sbom.cdx.json: what an installation is made of (CycloneDX)
	@mkdir -p dist && $(BIN)/heliograph sbom > dist/sbom.cdx.json && echo "dist/sbom.cdx.json"

audit: $(RUN_STAMP)  ## ask the OSV service whether an installed package has a known vulnerability
	@$(PYTHON) .ci/audit.py

clean:  ## remove what was built, not the data
	rm -rf $(VENV) node_modules static/dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@echo "[1/3] Creating the virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Heliograph needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian: apt-get install python3-venv"; exit 1; }

$(RUN_STAMP): $(VENV)/bin/python pyproject.toml $(KERNEL)
	@echo "[2/3] Installing the server and the evaluators: about 2 GB, some minutes the first time"
	$(PIP) install -e '.[server,evaluators]'
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) pyproject.toml
	@echo "Installing what the tests need"
	$(PIP) install -e '.[server,evaluators,gpu,dev]'
	@touch $@

$(STATIC): $(RUN_STAMP) package-lock.json
	@echo "[3/3] Fetching the chart library by its lock file"
	$(BIN)/python -m heliograph.static_build
