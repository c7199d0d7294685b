# Every target sets up what it needs: python3, git and the package registries are enough.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

PYTHON := .venv/bin/python
LOCK := pyproject.toml uv.lock .python-version
# A uv that answers, else our own: a shim without a program behind it is no uv.
UV = $(shell if uv --version >/dev/null 2>&1; then echo uv; else echo .tools/bin/uv; fi)
define find_uv
@$(UV) --version >/dev/null 2>&1 || for python in python3 /usr/bin/python3; do \
  echo "installing uv"; rm -rf .tools; \
  $$python -m venv .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check uv && break; done
@$(UV) --version >/dev/null 2>&1 || { echo "make: found no uv and could not install it: install uv or python3-venv" >&2; exit 1; }
endef
.PHONY: help setup backtest test soak check bench format

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: .venv/.develop  ## install everything: runtime, training and development packages

backtest: .venv/.runtime  ## replay the catalog (a synthetic sample where it is empty) and write a report; ARGS="--start ..."
	@$(PYTHON) run_backtest.py $(ARGS)

test: .venv/.develop  ## run all tests; ARGS="-k name"
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

soak: .venv/.develop  ## a hundred times the generated trading sessions, examples never tried before, 2,000 kills, 500 runs of faults, ten days of the market
	@SESSIONS=$${SESSIONS:-1000000} $(PYTHON) -m pytest tests/unit/test_trading_sessions.py --durations=3 $(ARGS)
	@EXAMPLES=new $(PYTHON) -m pytest -n 2 tests/unit --durations=3 $(ARGS)
	@KILLS=$${KILLS:-2000} FAULT_RUNS=$${FAULT_RUNS:-500} $(PYTHON) -m pytest -s tests/faults $(ARGS)
	@$(PYTHON) tests/faults/soak.py --hours $${HOURS:-240} --paced-hours $${PACED_HOURS:-8} --out catalog/soak

check: .venv/.develop  ## lint, formatting, types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

bench: .venv/.develop  ## measure the rows of the performance budget
	@$(PYTHON) -m benchmarks $(ARGS)

format: .venv/.develop  ## format and mend what can be mended
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

# Stamps lie inside the environment, and vanish with it. The runtime alone is enough to replay, and --inexact leaves the packages of `develop` where they are.
.venv/.runtime: $(LOCK)
	$(find_uv)
	@echo "installing the runtime packages"
	@$(UV) sync --frozen --no-dev --inexact --quiet
	@touch $@

.venv/.develop: $(LOCK)
	$(find_uv)
	@echo "installing the runtime, training and development packages (PyTorch is large)"
	@$(UV) sync --frozen --extra train --extra cluster --quiet
	@touch .venv/.runtime $@
