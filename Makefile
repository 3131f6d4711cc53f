# Headrace: `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.base
STAMP := $(VENV)/.ready
ENGINES := $(VENV)/.engines
SPEECH := $(VENV)/.speech
# Every pin is named, so pip need not work out what each asks for: quicker, and the same for every pip.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
# pip is quiet: so what is about to take minutes is said before. $(1): the pins, $(2): MB once installed.
installing = echo "installing $$(grep -c == $(1)) packages ($(1)), about $(2) MB on disk: it may take a few minutes"

# A test starts hundreds of Python processes: without kept bytecode each compiles all of ours anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup up engines demo test check lint types bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

# What running needs; build.txt is what puts our own package there.
$(BASE): requirements/base.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headrace needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(or $(firstword $(MAKECMDGOALS)),setup)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "could not make a virtual environment: install the venv module of $(PYTHON) (Debian: apt-get install python3-venv)"; exit 1; }
	@$(call installing,requirements/base.txt,340)
	@$(PIP) -r requirements/base.txt -r requirements/build.txt || { echo "could not install the requirements: see the lines above; behind a proxy set HTTPS_PROXY"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . || exit 1
	@touch $(BASE)

# And what testing and measuring need. Both name the same versions, so either may come first.
$(STAMP): requirements/dev.txt $(BASE)
	@$(call installing,requirements/dev.txt,330)
	@$(PIP) -r requirements/dev.txt || { echo "could not install the requirements: see the lines above; behind a proxy set HTTPS_PROXY"; exit 1; }
	@touch $(STAMP)

setup: $(STAMP) ## install all that is needed into .venv, the tools for development too

$(ENGINES): requirements/engines.txt | $(BASE)
	@$(call installing,requirements/engines.txt,560)
	@$(PIP) -r requirements/engines.txt || { echo "could not install the local engines: see the lines above; they need wheels for this platform (Linux, macOS or Windows); behind a proxy set HTTPS_PROXY"; exit 1; }
	@touch $(ENGINES)

$(SPEECH): requirements/speech.txt | $(BASE)
	@$(call installing,requirements/speech.txt,40)
	@$(PIP) -r requirements/speech.txt || { echo "could not install the recordings to try speech on (moonshine-voice): see the lines above; on Linux its wheel needs glibc 2.34 or newer"; exit 1; }
	@touch $(SPEECH)

# With a provider's key nobody needs the engines: then nothing is installed for them.
up: $(BASE) ## serve on 127.0.0.1:8080; without any provider's key, with small models on this machine
	@if $(BIN)/python -m cli.engines; then $(MAKE) --no-print-directory engines || true; fi
	@$(BIN)/headrace up

engines: $(ENGINES) ## install the small models that need no key (260 MB)

demo: $(BASE) $(ENGINES) $(SPEECH) ## the main job end to end, on real input, without a key
	@$(BIN)/python -m cli.demo

test: $(STAMP) $(ENGINES) $(SPEECH) ## all tests
	@scripts/install-redis
	@scripts/install-aimock
	@$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)
	@$(BIN)/mypy

# mypy keeps one core busy for most of a minute: the other one tests meanwhile. What both need is
# installed before: two pips at once in one environment would disturb each other.
check: lint $(ENGINES) $(SPEECH) ## what CI runs
	@$(MAKE) --no-print-directory --jobs=2 types test

bench: $(STAMP) ## measure against the budgets
	@$(BIN)/python -m bench all --json

lock: $(STAMP) ## pin the requirements anew
	@scripts/lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
