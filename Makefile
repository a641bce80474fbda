# make demo and make test set up what they need on a machine that has Python 3.11+, git and make.

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed
DOCS := .venv/.installed-docs
RELEASE := .venv/release/bin
# HASHES=cpu or HASHES=cuda: a file is installed only if its SHA-256 is in requirements*.txt; cpu needs an index with torch's CPU build
HASHES ?=
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
HASHED := $(PIP) --require-hashes --no-deps $(addprefix -r requirements,.txt -dev.txt -$(HASHES).txt)
INSTALL := $(if $(HASHES),$(HASHED) && $(PIP) --no-deps --no-build-isolation -e .,$(PIP) -c constraints.txt -e '.[dev]')
# two files at a time, each with a control plane of its own where it needs one; in their own order, the longest come first
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: setup demo check lint test test-all coverage bench docs sbom requirements clean

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Atelier needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(INSTALL)
	@touch $(SETUP)

demo: $(SETUP)  ## the whole job on the embedded pictures, in the workspace demo/
	$(BIN)/atelier encoders pull inception --optional
	$(BIN)/atelier encoders pull alexnet --optional
	$(BIN)/atelier up
	test -d demo || $(BIN)/atelier init demo --from demo
	$(BIN)/atelier retrain --workspace demo
	$(BIN)/atelier stylize sample://photos demo/stylized --model style-model@prod --workspace demo
	$(BIN)/atelier report --workspace demo

check: lint  ## what to run before a commit: style, types and the quick tests, within a minute
	$(BIN)/pytest $(PARALLEL) --quiet --durations=0 --durations-min=5 -m "not slow and not long"

test: $(SETUP)  ## everything but the long kill matrices
	$(BIN)/pytest $(PARALLEL) -m "not slow"

test-all: $(SETUP)
	$(BIN)/pytest $(PARALLEL)

coverage: $(SETUP)  ## which lines the tests run, those of commands and workers too: coverage/index.html
	$(BIN)/pytest $(PARALLEL) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html:coverage

bench: $(SETUP)  ## an idle machine and an hour; benchmarks/monet.py and parity.py want pictures of their own
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/stylize.py
	$(BIN)/python benchmarks/planning.py

lint: $(SETUP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(DOCS)  ## the documentation, into site/index.html; every link is checked, nothing is fetched
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(DOCS): $(SETUP)
	$(PIP) -c constraints.txt -e '.[docs]'
	@touch $(DOCS)

# tools of a release, apart from what they describe
$(RELEASE): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv/release
	$(RELEASE)/pip install --quiet --disable-pip-version-check -c constraints.txt cyclonedx-bom uv
	@touch $(RELEASE)

sbom: $(SETUP) $(RELEASE)  ## every installed package with version, licence and source, as CycloneDX: sbom.json
	$(RELEASE)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json $(BIN)/python

requirements: $(RELEASE)  ## the pins of constraints.txt with the hashes of all their files; after every change of a pin
	$(RELEASE)/python deploy/lock.py $(RELEASE)/uv

clean:  ## stop what the demo started and delete what it made; keep the environment
	-test -x $(BIN)/atelier && $(BIN)/atelier down
	rm -rf demo site coverage .coverage* .bench .mypy_cache .ruff_cache .pytest_cache
