# `make help` lists what can be made. Every target does its own set-up in .venv; see scripts/bootstrap.py.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# First Python that is new enough; override with `make PYTHON=python3.12 ...`.
PYTHON ?= $(or $(shell for p in python3 python3.12 python3.11 python3.13 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done),python3)
POLICY ?= base
ARGS ?=

ENV := source scripts/env.sh &&
SETUP := @$(PYTHON) scripts/bootstrap.py
PYTEST := $(ENV) python -m pytest

.PHONY: help setup sim test lint types unit integration soak format \
	bench-control bench-joystick bench-recorder bench-train figures docs docs-serve test-py38 clean distclean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort \
		| awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## Install and build everything, for running, training and testing
	$(SETUP) dev

sim: ## A simulated robot walks under POLICY=base|residual|finetune (ARGS=--interactive keeps it running)
	$(SETUP) sim
	@$(ENV) python -m aliengo_policy.bringup sim --policy $(POLICY) $(ARGS)

test: lint types ## Everything that CI checks: lint, types, unit and integration tests
	$(PYTEST) $(ARGS)

lint: setup ## Style and docstrings
	$(ENV) ruff check .
	$(ENV) ruff format --check --quiet .

types: setup ## Static types
	$(ENV) mypy

unit: setup ## Tests without processes
	$(PYTEST) -m "not integration" $(ARGS)

integration: setup ## Tests that run the real processes
	$(PYTEST) -m integration $(ARGS)

soak: setup ## Repeat every fault 20 times on the running system (about two hours)
	export ALIENGO_FAULT_REPETITIONS=20 && $(PYTEST) test/faults $(ARGS)

format: setup ## Format the code
	$(ENV) ruff check --fix .
	$(ENV) ruff format .

bench-control: ## Jitter and latency of the running graph
	$(SETUP) sim
	@$(ENV) python -m aliengo_policy.benchmark $(ARGS)

bench-joystick: ## Time from a joystick event to the changed command on the wire (ARGS="--flips 100")
	$(SETUP) sim
	@$(ENV) python -m aliengo_policy.benchmark_joystick_node $(ARGS)

bench-recorder: ## Messages lost and CPU used by the recorder, in 10 minutes (ARGS="--seconds 60")
	$(SETUP) sim
	@$(ENV) python -m aliengo_policy.benchmark_recorder_node $(ARGS)

bench-train: setup ## Environment steps per second of simulation and training
	@$(ENV) python training/scripts/benchmark.py $(ARGS)

figures: setup ## Make the pictures and videos of README and docs from the models
	@$(ENV) python scripts/figures.py $(ARGS)

docs: setup ## Build the documentation site in site/
	$(ENV) mkdocs build --strict

docs-serve: setup ## Serve the documentation on localhost
	$(ENV) mkdocs serve

test-py38: ## Tests of training/ and aliengo_description in Python 3.8, as Isaac Gym needs it
	@scripts/test_py38.sh $(ARGS)

clean: ## Remove build products and caches
	rm -rf build site .mypy_cache .ruff_cache .hypothesis ros2_ws/build ros2_ws/install ros2_ws/log
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove the environments as well
	rm -rf .venv .venv-py38
