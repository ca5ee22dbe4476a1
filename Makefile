# Each target is one command on a machine that has Python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
AXE := 4.14.1

.PHONY: demo test install lint browser bench fuzz clean help

help:
	@echo "make demo   install, then VGG38 with and without BatchNorm: train, probe, draw (a few minutes)"
	@echo "make test   install with test extras, then the whole suite"
	@echo "make lint   lint, types and floors"
	@echo "make browser  the pages in Chromium, where there is one"
	@echo "make fuzz   10,000 damaged and hostile files of each format (an hour; goes on where it was stopped)"
	@echo "make bench  times and memory against plain PyTorch and other libraries (half an hour, on a quiet machine)"

demo: $(VENV)/.installed
	$(BIN)/landscape study quick

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

browser: $(VENV)/.installed-browser $(VENV)/axe.min.js
	LANDSCAPE_AXE=$(abspath $(VENV))/axe.min.js $(BIN)/python -m pytest -m browser tests/browser

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.run $(BENCH)

fuzz: $(VENV)/.installed-dev
	cd tests && $(abspath $(BIN))/python -m fuzz

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-browser: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[browser]'
	touch $@ $(VENV)/.installed

# What checks a page for people who do not see it; without npm an empty file, and that test is skipped.
$(VENV)/axe.min.js: | $(VENV)/bin/python
	cd $(VENV) && (npm pack --silent axe-core@$(AXE) >/dev/null && tar xzf axe-core-$(AXE).tgz --strip-components=1 package/axe.min.js) || touch axe.min.js

# The other libraries may not be had everywhere; their rows then say so.
$(VENV)/.installed-bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]' || $(BIN)/python -m pip install --quiet --editable .
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info
