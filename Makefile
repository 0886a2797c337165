# Needs python3 (3.11 or newer) and make; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# One stamp for each set of packages: nothing is installed again until a file that names packages changes.
SERVE := .venv/.installed-serve
DEV := .venv/.installed-dev
# Whole Kubernetes objects: neither kustomizations nor the patches that overlays lay over the base.
OBJECTS = $(filter-out %/kustomization.yaml %.patch.yaml,$(wildcard k8s/base/*.yaml k8s/overlays/*/*.yaml))

.DEFAULT_GOAL := help
.PHONY: help serve test check lint format bundle clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(SERVE) ## start the service on http://127.0.0.1:8000; EMMA_PORT=9000 and the other EMMA_ variables pass through
	@exec $(BIN)/emma serve

test: $(DEV) ## run every test, with the coverage floor
	$(BIN)/pytest --cov

check: lint test ## all that has to pass before a change goes in

lint: $(DEV) ## ruff, mypy, and the linters of the packaging files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.postgresql.yml
	$(BIN)/python .ci/check_kustomize.py k8s
	$(BIN)/kubernetes-validate --strict $(OBJECTS)
	$(BIN)/shellcheck .ci/run benchmarks/*.sh

format: $(DEV) ## format the code and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bundle: $(DEV) ## make the default bundle again: make bundle DATA=path/to/datasets ENCODER=path/or/name
	@test -n "$(DATA)" || { echo "bundle: say where the data sets are: make bundle DATA=path/to/datasets" >&2; exit 2; }
	benchmarks/default_bundle.sh "$(DATA)" "$(or $(ENCODER),sentence-transformers/all-MiniLM-L6-v2)" runs

clean: ## remove caches and build results; .venv stays
	rm -rf build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "EMMA needs Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo 'not there')." >&2; \
	    echo "Name one that is: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(SERVE): pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP_INSTALL) --editable ".[cpu]"
	@touch $@

$(DEV): pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP_INSTALL) --editable ".[cpu,train,bench,dev]"
	@touch $@ $(SERVE)
