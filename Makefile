# make demo and make test need Python 3.11 or newer and nothing else; everything is installed in .venv.

# The newest Python that is at least 3.11; override with: make PYTHON=/path/to/python
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$name; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
OUTPUT ?= demo
# What imports, offers or works around an optional package; the other tests do not know which are there.
PLAIN := $(addprefix tests/test_,plain_installation.py package.py cli.py comparison.py data_readers.py \
	data_writers.py map.py names.py compressor.py codec.py baselines.py parallel_logs.py persistence.py)
# What meets the packages that Isthmus is built on, and the contract that they ask for.
LOWEST := $(addprefix tests/test_,package.py cli.py contract.py comparison.py persistence.py containers.py names.py \
	data_readers.py data_writers.py codec.py baselines.py map.py)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all portable test-plain test-lowest check bench claims clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## create .venv and install Isthmus with everything its development needs

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with the venv module is needed; set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: $(INSTALLED) ## train the notebook's autoencoders on MNIST and write demo/index.html
	$(BIN)/isthmus demo --output $(OUTPUT) --force

test: $(INSTALLED) ## run the fast tests, the doctests and the README
	$(BIN)/python -m pytest -n 2

test-all: .venv/.mlflow ## run all tests, the slow ones too, and those with mlflow
	$(BIN)/python -m pytest -n 2 -m ""

.venv/.mlflow: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt mlflow-skinny
	@touch $@

portable: $(INSTALLED) ## run the fast tests as other processors would, and list what changes its verdict (40 minutes)
	$(BIN)/python tests/portable.py -n 2

test-plain: .venv-plain/.installed ## run the tests of all that meets an optional package, without any of them
	.venv-plain/bin/python -m pytest -p no:cacheprovider $(PLAIN)

.venv-plain/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with the venv module is needed; set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv-plain
	.venv-plain/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable . pytest hypothesis
	@touch $@

test-lowest: .venv-lowest/.installed ## run the tests of all that meets other packages, with the lowest declared versions
	.venv-lowest/bin/python -m pytest -p no:cacheprovider $(LOWEST)

.venv-lowest/.installed: pyproject.toml constraints.txt tests/lowest_versions.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with the venv module is needed; set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python tests/lowest_versions.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[all]" \
		--constraint .venv-lowest/constraints.txt polars pytest hypothesis
	@touch $@

check: $(INSTALLED) ## lint, check formatting, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED) ## time Isthmus beside its peers and write benchmarks/RESULTS.md (5 minutes)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/scaling.py

claims: $(INSTALLED) ## test the claims about autoencoders and write docs/claims.md (35 minutes)
	$(BIN)/python benchmarks/claims.py

clean: ## remove what the other targets made
	rm -rf .venv .venv-plain .venv-lowest $(OUTPUT) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
