# Crossbook: `make up` starts the exchange, `make test` is the whole gate. Needs Python 3.11 or later, and make.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/core libs/adapters services/gateway services/matcher services/persister services/fanout twin
PROJECTS := $(addsuffix /pyproject.toml,$(PACKAGES))
SERVICES := gateway matcher persister fanout
INSTALLED := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help up down test check lint types unit bench lock clean

help: ## what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

up: $(INSTALLED) ## start the exchange on this machine (FLAGS="--gateway-port 0 ...")
	@$(BIN)/crossbook up $(FLAGS)

down: $(INSTALLED) ## stop it (FLAGS=--wipe forgets all it knew)
	@$(BIN)/crossbook down $(FLAGS)

test: lint types ## the whole gate: lint, types, imports, all tests
	$(BIN)/pytest

check: lint types unit ## the quick gate: lint, types, imports, unit and property tests

bench: $(INSTALLED) ## measure, and print the table
	@$(BIN)/crossbook bench $(FLAGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)
	$(BIN)/pytest tests/unit tests/property

$(INSTALLED): requirements.lock requirements-uv.lock twin/requirements-ministack.lock $(PROJECTS)
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or later is needed; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
		--only-binary :all: --no-binary localstack-client requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@test -x $(VENV)/ministack/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(VENV)/ministack
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(VENV)/ministack/bin/python --require-hashes --only-binary :all: \
		twin/requirements-ministack.lock
	@touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-package exchange-core --no-emit-package exchange-adapters --custom-compile-command 'make lock'

lock: ## pin all dependencies again (UPGRADE=1 to the newest there are)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --require-hashes -r requirements-uv.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --all-extras --group pyproject.toml:dev $(PROJECTS) -o requirements.lock
	for service in $(SERVICES); do \
		$(COMPILE) -c requirements.lock services/$$service/pyproject.toml -o services/$$service/requirements.lock || exit 1; done
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group twin/pyproject.toml:ministack -o twin/requirements-ministack.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group pyproject.toml:bootstrap -o requirements-uv.lock
	@! grep -nE '://|file:' requirements*.lock twin/requirements*.lock services/*/requirements.lock

clean: ## forget the virtual environment and the tools' caches; the twin's state stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.twin/*' -prune -exec rm -rf {} +
