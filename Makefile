# Every target installs what it needs into .venv by itself, from locks with hashes; the second time it is quick.
PYTHON ?= python3
ARGS   ?=
WORKERS ?= 3 # test processes: many tests wait for servers and leases, so a few more than cores pay
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# One stamp a set of requirements. The first one names the Python that made the environment, so that
# `make test PYTHON=python3.12` makes a new one instead of quietly running the old.
MADE := $(VENV)/.made-by-$(notdir $(PYTHON))
RUN  := $(VENV)/.run
DEMO := $(VENV)/.demo
DEV  := $(VENV)/.dev
UV   := $(VENV)/.uv/bin/uv
PEERS := $(VENV)/.peers

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test coverage lint format docs bench bench-cluster bench-listing bench-search bench-growth bench-pages bench-pair bench-peers profile screenshots soak lock clean

help: ## show this list
	@echo 'make TARGET [ARGS="…"] [PYTHON=python3.12]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

install: $(RUN) ## install Trailhook as it runs in production; then: .venv/bin/trailhook serve

demo: $(DEMO) ## run a simulated AWS account, a receiver and the product; ARGS="--seconds 20" ends by itself
	$(BIN)/trailhook demo $(ARGS)

test: $(DEV) ## run the whole suite; ARGS="tests/unit -k guard" runs a part
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

coverage: $(DEV) ## the same, and tell which branches no test takes
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report=term:skip-covered $(ARGS)

soak: $(DEV) ## run the tests that take minutes and are left out of `make test`
	$(BIN)/pytest -m soak $(ARGS)

lint: $(DEV) ## check style, types and the locks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@! grep -nE '://|^-' requirements/*.txt || { echo 'requirements/ must name no host and no option' >&2; exit 1; }

format: $(DEV) ## format the code and fix what can be fixed by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The servers that benchmarks start are found by the tests' own support.
BENCH := PYTHONPATH=tests $(BIN)/python -m

bench: $(DEV) ## measure how fast the product forwards, against the floor; FULL=1 takes four times as much
	$(BENCH) bench.run $(if $(FULL),--full) $(ARGS)

bench-peers: $(DEV) $(PEERS)/.made ## the same for other forwarders, in an environment of their own
	$(BENCH) bench.run --peers --only busy --only typical --engine sqlite --keep peers $(ARGS)

bench-pair: $(DEV) ## measure another checkout and this one at the same time, for their ratio: BEFORE=DIR ARGS="--only busy"
	$(BENCH) bench.pair $(BEFORE) $(ARGS)

bench-growth: $(DEV) ## measure what grows with the ledger, the bucket, the outbox, the sources; FULL=1 goes to 50 M keys
	$(BENCH) bench.growth $(if $(FULL),--full) $(ARGS)

bench-cluster: $(DEV) ## measure 1, 2 and 4 sources on 1 and 2 workers, over MongoDB and Valkey
	$(BENCH) bench.cluster

bench-search: $(DEV) ## measure searching a million stored events, on SQLite and MongoDB
	$(BENCH) bench.search $(ARGS)

bench-pages: $(DEV) ## measure the dashboard with 1,000 sources and 100,000 deliveries; the browser's part where there is Chromium
	$(BENCH) bench.pages $(ARGS)

bench-listing: $(DEV) ## count what finding log files costs: requests, memory and dollars
	$(BENCH) bench.listing

profile: $(DEV) ## find out where the time goes, by stage; ARGS="quiet single" names the shapes
	$(BENCH) bench.profile $(ARGS)

# A name that something asks for with an extra is locked with it: pip takes `coverage` and `coverage[toml]` for two, and
# without a pin for the second refuses its newest release as soon as there is one.
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --no-strip-extras

docs: $(DEV) ## make the documents into a site, docs/_build/index.html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -b html docs docs/_build

screenshots: $(DEV) ## take docs/images anew, with Chromium; ARGS="--only overview" takes some
	$(BIN)/python docs/screenshots.py $(ARGS)

lock: $(UV) ## write requirements/ anew from pyproject.toml; ARGS=--upgrade takes newer versions
	$(LOCK) pyproject.toml --all-extras -o requirements/dev.txt $(ARGS)
	$(LOCK) pyproject.toml --extra build --extra demo -c requirements/dev.txt -o requirements/demo.txt
	$(LOCK) pyproject.toml --extra build -c requirements/demo.txt -o requirements/run.txt
	$(LOCK) bench/peers/requirements.in -o requirements/peers.txt $(ARGS)

clean: ## remove .venv and everything else that can be made again
	rm -rf $(VENV) dist docs/_build docs/reference .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Trailhook needs Python 3.11 or newer and "$(PYTHON)" is not. Name another: make PYTHON=python3.12 …' >&2; \
	  exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Apart from the locked sets: what makes the locks must not need one that is whole.
$(UV): $(MADE)
	$(PYTHON) -m venv --clear $(VENV)/.uv
	$(VENV)/.uv/bin/python -m pip --disable-pip-version-check --quiet install 'uv>=0.13,<1'
	@touch $@

$(PEERS)/.made: requirements/peers.txt $(MADE)
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r $<
	@touch $@

$(RUN): requirements/run.txt pyproject.toml $(MADE)
$(DEMO): requirements/demo.txt pyproject.toml $(MADE)
$(DEV): requirements/dev.txt pyproject.toml $(MADE)
$(RUN) $(DEMO) $(DEV):
	$(PIP) install --require-hashes --only-binary :all: -r $<
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
