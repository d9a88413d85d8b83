# Everything a newcomer types. `make run` and `make test` do their own set-up.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# The first of these that the machine has; `make PYTHON=…` names another.
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3.13,$(shell command -v $(python))) python3.11)
PROCESSES ?= 3
UV_VERSION := 0.13.9
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := launchday matchmaker dedicated_server meta_service rewards loadtest
UV := $(BIN)/uv pip
FOR := --python $(BIN)/python
SETUP_LOG = "$(VENV)/setup.log"
# pip's warning that it tries again says why; else the last line of the log does.
SETUP_FAILED = { \
  reason=$$(grep -m 1 Retrying $(SETUP_LOG) || grep -v '^\s*$$' $(SETUP_LOG) | tail -n 1 | sed 's/^ *//'); \
  if grep -qiE 'retrying|connect|dns|lookup|resol|network|timed out|certificate' <<<"$$reason"; then hint="check the network"; else hint="mend that"; fi; \
  echo "setup: the packages cannot be installed: $${reason:-no reason was given}: $$hint and run make again (log: $(VENV)/setup.log)" >&2; exit 1; }
# uv keeps what it has downloaded below the home; where that cannot be written, below $(VENV).
UV_CACHE = kept="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$${HOME:-/}/.cache}/uv}"; \
  if ! { mkdir -p "$$kept" && test -w "$$kept"; } 2>/dev/null; then export UV_CACHE_DIR="$$(cd "$(VENV)" && pwd)/uv-cache"; fi;
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup run test pythons check docs bench environments chaos kafka lock clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: $(VENV)/ready  ## create .venv with everything in it, and compile the kernels
	@$(BIN)/launchday compile

# Read from the lock file alone, every file checked against its hash.
$(VENV)/ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "setup: $(PYTHON) is missing: install Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@echo "setup: creating $(VENV) with $(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "setup: $(PYTHON) cannot create $(VENV), as it says above" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) >$(SETUP_LOG) 2>&1 || $(SETUP_FAILED)
	@echo "setup: installing the locked packages (about 150 MB to download, once)"
	@$(UV_CACHE) $(UV) sync $(FOR) --require-hashes --compile-bytecode requirements.lock 2>&1 | tee -a $(SETUP_LOG) || $(SETUP_FAILED)
	@$(UV_CACHE) $(UV) install $(FOR) --no-deps --editable . >>$(SETUP_LOG) 2>&1 || $(SETUP_FAILED)
	@touch $@

run: setup  ## start everything, flood it with 200 bots for about a minute, write a report
	@$(BIN)/launchday run

test: setup  ## run all tests, in three processes: they wait more than they compute
	@$(BIN)/pytest -n $(PROCESSES) --dist worksteal --durations 20

pythons: setup  ## with PYTHON=python3.12 VENV=.venv-3.12: the same packages and the first minutes on another Python
	@$(BIN)/launchday --version
	@$(BIN)/launchday simulate tour
	@$(BIN)/pytest -q tests/launchday/test_settings.py tests/launchday/test_identity.py tests/launchday/test_wheel.py

check: setup  ## format, lint, strict types, import rules, kernel rules, seam rules, terminal rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.kernel_rules
	@$(BIN)/python -m tests.seam_rules
	@$(BIN)/python -m tests.terminal_rules

docs: setup  ## make anew what the documents take from the code
	@$(BIN)/python -m dedicated_server.protocol.document
	@$(BIN)/python -m loadtest.scenario.docs > docs/scenarios.md.new && mv docs/scenarios.md.new docs/scenarios.md
	@RENEW_DOCUMENTS=1 $(BIN)/pytest -q tests/documents/test_walks.py tests/documents/test_operating.py tests/documents/test_modes.py

bench: setup  ## every benchmark, one JSON object a line
	@$(BIN)/launchday bench all --json

environments: setup  ## doctor and a flood on machines that are short of something, or odd: a line each (14 min)
	@$(BIN)/launchday bench environments --json

chaos: setup kafka  ## kill -9 each process of the meta service and of rewards 30 times under load, and stop some; nothing may be lost (33 min)
	@$(BIN)/launchday chaos

kafka: setup  ## what Apache Kafka needs to stand in for the embedded broker
	@$(BIN)/launchday kafka

lock: setup  ## write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 --upgrade --quiet --output-file requirements.lock

clean:  ## remove what setup and runs left: .venv, state, caches
	rm -rf $(VENV) .launchday .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
