.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPS := $(VENV)/.installed-dev

# Nothing that runs from this checkout reports to anyone, and nothing reads a profile of the user's.
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## Show what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

.PHONY: install
install: $(INSTALLED) ## Set up .venv with what runs: requirements.lock

.PHONY: install-dev
install-dev: $(DEVELOPS) ## Set up .venv with what runs and what develops: requirements-dev.lock

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Laurel needs Python 3.11 or newer; set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
endef

$(INSTALLED): requirements.lock
	$(install)
	@touch $@

# It holds what runs as well, at the same versions.
$(DEVELOPS): requirements-dev.lock
	$(install)
	@touch $(INSTALLED) $@

.PHONY: demo
demo: $(INSTALLED) ## Issue an invented platform's badges to a stand-in of Credly and show what happened
	@$(BIN)/python -m demo

.PHONY: up
up: $(INSTALLED) ## Start Prefect with its UI, the stand-in and a worker; runs until Ctrl-C
	@$(BIN)/python -m demo.up

.PHONY: start
start: $(INSTALLED) ## Start Prefect with its UI, the schedule and a worker for the platform in .env; runs until Ctrl-C
	@$(BIN)/python -m scripts.start

.PHONY: bench
bench: $(DEVELOPS) ## Measure beside the kept result in five minutes; BENCH=drain,pace or BENCH=all: at length, see bench/README.md
	@$(BIN)/python -m bench

.PHONY: test
test: check ## Check, then run every test
	@scripts/chromium.sh
	@scripts/mariadb.sh
	$(BIN)/python -m scripts.run_tests

.PHONY: coverage
coverage: $(DEVELOPS) ## Run every test with coverage and hold its floors, as CI does
	$(BIN)/python -m scripts.run_tests --cov

.PHONY: quick
quick: $(DEVELOPS) ## The tests that take seconds: unit and contract
	$(BIN)/python -m scripts.run_tests tests/unit tests/contract

.PHONY: sandbox
sandbox: $(DEVELOPS) ## Put the open questions to Credly's sandbox; ONLY="limit filters" chooses, see docs/reference/credly-api.md
	@$(BIN)/python -m scripts.sandbox $(if $(ONLY),--only $(ONLY))

.PHONY: soak
soak: $(DEVELOPS) ## Try to break the promise of one badge, for MINUTES=10 from a SEED; UNATTENDED=1: by the schedule alone
	$(BIN)/python -m tests.support.soak$(if $(UNATTENDED),_unattended) --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(AWARDS),--awards $(AWARDS))

.PHONY: audit-dependencies
audit-dependencies: $(DEVELOPS) ## Compare both locks with known vulnerabilities (needs the internet)
	$(BIN)/pip-audit --requirement requirements-dev.lock --no-deps --disable-pip

.PHONY: check
check: $(DEVELOPS) ## Lint, types, architecture, size, words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m scripts.size_budget
	$(BIN)/python -m scripts.words

.PHONY: lint
lint: check ## The same as check

.PHONY: fix
fix: $(DEVELOPS) ## Fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: $(INSTALLED) ## Remove what `make demo` left (.laurel), unless a ledger in use is there; the installation stays
	@[ ! -e .laurel ] || $(BIN)/python -m demo.leftovers
