# What this project does with make. Each target prepares .venv by itself; git, Python and make are all it needs.
#
#   PYTHON   the interpreters to try for .venv, in order:   make run PYTHON=python3.13
#   ARGS     more arguments for the command behind a target: make test ARGS="-k merge"

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
ARGS ?=

commands := .venv/bin
locked := .venv/.locked
ready := .venv/.ready
parallel := --numprocesses auto --maxprocesses 4

# To bytecode, on all processors, which pip does on one. Without it every process compiles all that it imports wherever
# PYTHONDONTWRITEBYTECODE is set, as containers and CI often do. Packages bring files that are no Python of this version,
# as templates: what cannot be compiled is left out.
compile := $(commands)/python -m compileall -qq -j 0

.PHONY: help run quick test test-slow faults check bench soak notebooks permissions review site screenshots lab app lock diffs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: $(ready) ## run every notebook with every scenario, applied, in one simulated organization
	@RUNBOOK_SANDBOX=$${RUNBOOK_SANDBOX:-private} $(commands)/runbook run all --environment sandbox --apply $(ARGS)

quick: $(ready) ## the tests that need no server, kernel or browser
	@$(commands)/pytest $(parallel) -m unit tests $(ARGS)

test: $(ready) ## run the tests, but for those that take long, and compare every notebook with its stored outputs
	@$(commands)/pytest $(parallel) -m 'not slow' --nbval $(ARGS)

test-slow: $(ready) ## run the other tests: faults at every call, one permission less, all browsers, the site
	@$(commands)/pytest $(parallel) -m slow tests $(ARGS)

faults: $(ready) ## every kind of fault at every call of every way, and every permission missing; the tests take turns
	@RUNBOOK_FAULTS=all $(commands)/pytest $(parallel) tests/faults tests/test_permissions.py tests/kernels $(ARGS)

check: $(ready) ## style, types and import contracts: ruff, mypy, import-linter
	@$(commands)/ruff check
	@$(commands)/ruff format --check
	@$(commands)/mypy
	@$(commands)/lint-imports

bench: $(ready) ## 1,000 and 10,000 buckets against a bare boto3 loop, or ARGS="500 2000"; a batch against plain papermill
	@$(commands)/python -m tests.bench $(ARGS)

soak: $(ready) ## a batch of 300 accounts, killed and gone on with, and one of 1,000 jobs; ARGS="--accounts 20 --jobs 100"
	@$(commands)/python -m tests.soak $(ARGS)

notebooks: $(ready) ## run the notebooks again and store their outputs
	@$(commands)/python -m runbook.review.notebooks $(ARGS)

permissions: $(ready) ## watch which permissions the steps need, and renew their files and the README's tables
	@$(commands)/python -m runbook.review.observed $(ARGS)

review: $(ready) ## what a reviewer has to know; ARGS="--base main": also what changes in meaning since main
	@$(commands)/runbook review $(ARGS)

site: $(ready) ## build the review's site: notebooks, applied examples, outline, permissions; into build/site
	@$(commands)/python -m runbook.review.site $(ARGS)

screenshots: $(ready) ## take the README's pictures of the screen again, with the browser tests
	@$(commands)/pytest -q tests/browser $(ARGS)
	@cp build/screenshots/start.png build/screenshots/planned-1280.png notebooks/pictures/

lab: $(ready) ## open the notebooks in JupyterLab, for this machine only
	@$(commands)/runbook lab $(ARGS)

app: $(ready) ## open the notebooks as pages without code, for this machine only
	@$(commands)/runbook app $(ARGS)

lock: $(ready) ## follow pyproject.toml in requirements.lock; everything to its newest: ARGS=--upgrade
	@$(commands)/uv pip compile pyproject.toml --extra development --output-file requirements.lock --quiet \
	    --universal --python-version 3.11 --generate-hashes --only-binary :all: --no-config --no-emit-index-url \
	    --annotation-style line --custom-compile-command 'make lock' $(ARGS)

diffs: $(ready) ## let git show and merge notebooks cell by cell, in this clone
	@git config diff.jupyternotebook.command '$(commands)/git-nbdiffdriver diff'
	@git config merge.jupyternotebook.name 'notebooks, cell by cell'
	@git config merge.jupyternotebook.driver '$(commands)/git-nbmergedriver merge %O %A %B %L %P'

clean: ## remove .venv and every cache; keeps runs/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# The package itself, where it stands; built with the locked setuptools, so that nothing more is fetched. And the folder
# for evidence: papermill by itself makes none.
$(ready): pyproject.toml $(locked)
	@$(commands)/python -m pip install -qq --disable-pip-version-check --no-compile \
	    --no-deps --no-build-isolation --editable .
	@$(compile) runbook || true
	@mkdir -p runs
	@touch $@

# Exactly what is locked, every file's hash checked; nothing is resolved again.
$(locked): requirements.lock
	@test -x $(commands)/python || { $(choose_python); \
	    echo "Setting up .venv with $$python: once, about a minute"; "$$python" -m venv --clear .venv; }
	@$(commands)/python -m pip install -qq --disable-pip-version-check --no-compile \
	    --no-deps --require-hashes --requirement requirements.lock
	@$(compile) .venv/lib || true
	@touch $@

# Leaves in $python the first of $(PYTHON) that is new enough and can make virtual environments, or says what is missing.
define choose_python
bare=; \
for python in $(PYTHON) ''; do \
    test -n "$$python" || break; \
    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
    "$$python" -c 'import ensurepip, venv' 2>/dev/null && break; \
    bare="$$bare $$python"; \
done; \
if test -z "$$python" && test -n "$$bare"; then \
    echo "Cannot make a virtual environment with$$bare: its modules venv and ensurepip are missing." >&2; \
    echo "On Debian and Ubuntu: apt install python3-venv. Or name another: make PYTHON=..." >&2; exit 1; \
elif test -z "$$python"; then \
    echo "Python 3.11 or newer is needed; none found as: $(PYTHON)." >&2; \
    echo "Install one, or say where it is: make PYTHON=..." >&2; exit 1; \
fi
endef
