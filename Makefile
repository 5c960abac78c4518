# Every command of the project. `make help` lists them; nothing needs to be installed but Python and git.

export AIRFLOW_HOME := $(CURDIR)/.airflow
# Byte code is what makes Airflow start in seconds.
unexport PYTHONDONTWRITEBYTECODE

# The Python to set up with; empty means the first that fits.
PYTHON ?=
# Passed on to pytest or to the demo: make test ARGS="-k digits".
ARGS ?=

RUN := .venv/bin/python -m

.DEFAULT_GOAL := help
.PHONY: help install test demo up down lint format docs pins clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 16

install: ## set up .venv from the pins (again only if something changed)
	@PYTHON='$(PYTHON)' sh constraints/install .venv

# Apart from the Airflow of `make demo` and `make up`, which may be running.
test: export AIRFLOW_HOME := $(CURDIR)/.airflow/test
test: install ## run the whole suite: core, DAGs, and a real scheduler
	@$(RUN) pytest --numprocesses=logical --maxprocesses=4 --dist=loadscope $(ARGS)

demo: install ## tune a model on a real scheduler, show the result, leave nothing running
	@$(RUN) airflow_hpo.testing.demo run $(ARGS)

up: install ## start Airflow with the DAGs of this checkout, and leave it running
	@$(RUN) airflow_hpo.testing.demo up $(ARGS)

down: install ## stop what `make up` started
	@$(RUN) airflow_hpo.testing.demo down

lint: install ## check style, types and who imports whom
	@code=0; $(RUN) ruff check || code=1; $(RUN) ruff format --check || code=1; \
	$(RUN) mypy || code=1; .venv/bin/lint-imports || code=1; exit $$code

format: install ## put the code in shape
	@$(RUN) ruff check --fix-only --quiet
	@$(RUN) ruff format

docs: install ## build the documentation site into build/site; anything amiss fails
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
	@echo "open build/site/index.html, or: $(RUN) mkdocs serve"

pins: ## write constraints/*.txt anew from pyproject.toml, with the newest versions
	@PYTHON='$(PYTHON)' sh constraints/pins

clean: ## stop Airflow and remove all that these commands made
	@if [ -x .venv/bin/python ]; then $(RUN) airflow_hpo.testing.demo down; fi
	@rm -rf .venv .airflow build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@rm -f .coverage .coverage.*
	@find . -name __pycache__ -prune -exec rm -rf {} +
