# The commands of the README. Each sets up what it needs, so any may come first.

BUILD ?= build
JOBS ?= $(shell nproc)
PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup configure build demo test test-fast bench bench-full docs clean distclean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: ## install the Debian packages and the Python environment
	@scripts/setup.sh

configure: setup
	@test -f $(BUILD)/build.ninja || cmake --preset release -B $(BUILD)

build: configure ## build the tools into build/bin
	@cmake --build $(BUILD) -j $(JOBS)

demo: build ## compile a real model, link it into a program, and search with it
	@scripts/demo.sh $(BUILD)

test: build ## run every test
	@$(PYTHON) test/run.py --build $(BUILD) --jobs $(JOBS)

test-fast: build ## run the tests that take about a minute together
	@$(PYTHON) test/run.py --build $(BUILD) --jobs $(JOBS) --fast

bench: build ## measure against peers in about 15 minutes; the report goes to build/bench
	@$(PYTHON) bench/run.py --build $(BUILD)

bench-full: build ## measure every shape against every peer; takes hours
	@$(PYTHON) bench/run.py --build $(BUILD) --set full

docs: build ## generate the reference pages into build/docs
	@cmake --build $(BUILD) -j $(JOBS) --target joinery-docs

clean: ## remove what was built
	rm -rf $(BUILD)

distclean: clean ## remove the Python environments too
	rm -rf .venv .venv-bench
