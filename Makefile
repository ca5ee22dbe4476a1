# Each target is one command on a machine that has Python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
AXE := 4.14.1

.PHONY: demo test scenarios install lint docs browser gallery bench fuzz clean help

help:
	@echo "make demo   install, then VGG38 with and without BatchNorm: train, probe, draw (a few minutes)"
	@echo "make test   install with test extras, then the whole suite"
	@echo "make scenarios  what people have of other libraries, with their packages (two minutes)"
	@echo "make lint   lint, types and floors"
	@echo "make docs   the site, into build/docs; a warning is an error"
	@echo "make gallery  the eleven figures of the gallery, measured again (an hour)"
	@echo "make browser  the pages in Chromium, where there is one"
	@echo "make fuzz   10,000 damaged and hostile files of each format (an hour; goes on where it was stopped)"
	@echo "make bench  times and memory against plain PyTorch and other libraries (half an hour, on a quiet machine)"

demo: $(VENV)/.installed
	$(BIN)/landscape study quick

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

scenarios: $(VENV)/.installed-scenarios
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/scenarios "tests/test_documents.py::test_python_of_a_page_runs[docs/doors.md]" -n 2

browser: $(VENV)/.installed-browser $(VENV)/axe.min.js
	LANDSCAPE_AXE=$(abspath $(VENV))/axe.min.js $(BIN)/python -m pytest -m browser tests/browser $(BROWSER)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"

gallery: $(VENV)/.installed
	for script in examples/[a-z]*.py; do case $$script in */shared.py) ;; *) $(BIN)/python $$script --out docs/gallery || exit 1;; esac; done

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

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-scenarios: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[scenarios]'
	touch $@

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
