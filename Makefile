# `make demo` runs the main job, `make test` passes the tests; `make help` lists the rest.
# Each says what it does, can be run again, and goes on from what is there.

PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := var/demo
# What a venv is made of; a change here makes it anew.
PINS := pyproject.toml constraints.txt

# Some shells set it; without bytecode every command of ours starts several times slower.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo clean-demo test test-full lint chaos bench packages packages-test collections clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: packages $(VENV)/.demo collections ## set up a whole cloud on this machine and boot a server
	@$(BIN)/python -m lab.demo up --dir $(DEMO)

clean-demo: ## take the demo down: processes, namespaces, interfaces, files
	@$(PYTHON) -m lab.demo down --dir $(DEMO)

test: packages-test $(VENV)/.dev collections ## checks and tests, under half an hour on two cores
	@$(BIN)/python -m tools.run_tests

test-full: packages-test $(VENV)/.dev collections ## every case on real guests
	@$(BIN)/python -m tools.run_tests --full

lint: $(VENV)/.dev collections ## the checks alone
	@$(BIN)/python -m tools.run_tests --only lint

chaos: packages-test $(VENV)/.dev collections ## kill at random under load; writes var/chaos/report.json
	@$(BIN)/python -m lab.chaos $(CHAOS)

bench: packages-test $(VENV)/.dev collections ## measure; writes bench/results/
	@$(BIN)/python -m bench

packages:
	@$(PYTHON) -V >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq python3; }
	@$(PYTHON) -m lab packages host lab guest controller

packages-test: packages
	@$(PYTHON) -m lab packages test

$(VENV)/bin/uv: | packages
	@echo "==> virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt uv

$(VENV)/.demo: $(PINS) | $(VENV)/bin/uv
	@echo "==> Python packages: controller and clients"
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[clients]'
	@touch $@

$(VENV)/.dev: $(PINS) | $(VENV)/bin/uv
	@echo "==> Python packages: controller, clients and the tools of the tests"
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[clients,dev]'
	@touch $@ $(VENV)/.demo

collections: | $(VENV)/.demo
	@$(BIN)/python -m tools.install_collections

clean: clean-demo ## take everything down and remove what was made here
	rm -rf var .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
