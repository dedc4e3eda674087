# Every target makes what it needs inside .venv; nothing else on the machine is touched.
# Another interpreter: make sweep PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt

SCALE ?= small
# Files of tests that run at a time: on two cores one waits while the other works
TESTERS ?= 2

# The composed cluster; make up CUDA=1 gives its worker the machine's GPUs
JOB ?= docker/demo.yaml
COMPOSE := docker compose --file docker/compose.yaml $(if $(CUDA),--file docker/compose.cuda.yaml)

.DEFAULT_GOAL := help
.PHONY: help sweep test check format ui bench bench-gpu bench-scaling soak screenshots clean up down submit reproduce-diamonds reproduce-sts-b reproduce-agedb reproduce-imdb-wiki

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

sweep: .venv/installed  ## install, sweep the two-stage method on the diamonds table, print the leaderboard
	@$(BIN)/dirsweep run search_spaces/all.yaml

test: .venv/installed-test  ## run all tests, TESTERS=2 files at a time
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

check: .venv/installed-test  ## lint, format, types, layers; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-test  ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: .venv/installed  ## MLflow's pages of the newest sweep in ./sweeps, or of SWEEP=NAME
	@$(BIN)/dirsweep ui $(SWEEP)

bench: .venv/installed-test  ## measure, as ratios of one run; takes about half an hour
	@status=0; for script in $(filter-out %/gpu.py,$(wildcard tests/benchmarks/*.py)); do echo; echo "$$script"; $(BIN)/python $$script || status=1; done; exit $$status

bench-gpu:  ## the same of a GPU, where there is one; at most eight minutes, installs nothing
	@$(firstword $(wildcard $(BIN)/python) $(PYTHON)) tests/benchmarks/gpu.py

bench-scaling: .venv/installed-test  ## measure 1,000 trials on 16 simulated nodes; the figures of docs/scaling.md, half an hour
	$(BIN)/python tests/benchmarks/scaling/simulate.py docs/scaling/simulated.csv
	$(BIN)/python tests/benchmarks/scaling/alone.py docs/scaling/alone.csv
	$(BIN)/python tests/benchmarks/scaling/draw.py docs/scaling/simulated.csv docs/scaling/alone.csv docs/scaling/scaling.svg

soak: .venv/installed-test  ## 500 trials with something killed every 20 s, about an hour; TRIALS=, EVERY=, WORKERS=, MINUTES=
	$(BIN)/python tests/soak.py $(or $(SOAK),build/soak)

screenshots: .venv/installed-test  ## the README's pictures anew, of the newest sweep of make sweep; needs Chromium
	@$(BIN)/python tests/screenshots.py

reproduce-diamonds: .venv/installed  ## tune the field's methods on diamonds; SCALE=smoke, small or full
	@$(BIN)/dirsweep reproduce diamonds --scale $(SCALE)

reproduce-sts-b: .venv/installed-vectors  ## the same on STS-B-DIR, beside the published table
	@$(BIN)/dirsweep reproduce sts-b --scale $(SCALE)

reproduce-agedb: .venv/installed  ## the same on AgeDB-DIR
	@$(BIN)/dirsweep reproduce agedb --scale $(SCALE)

reproduce-imdb-wiki: .venv/installed  ## the same on IMDB-WIKI-DIR
	@$(BIN)/dirsweep reproduce imdb-wiki --scale $(SCALE)

up:  ## build and start a Ray cluster and MLflow in containers, see docs/docker.md; CUDA=1 for GPUs
	@$(COMPOSE) up --build --detach --wait

down:  ## stop them; what they stored stays
	@$(COMPOSE) down

submit:  ## sweep on the cluster of `make up`; JOB=docker/demo.yaml
	@$(COMPOSE) exec --workdir /srv/project ray-head dirsweep submit $(JOB) --to ray --follow

clean:  ## remove .venv and caches; sweeps and trials stay
	rm -rf .venv build dirsweep.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find dirsweep tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dirsweep needs Python 3.11 or newer: make sweep PYTHON=python3.12")'
	@echo "Installing dirsweep into .venv (once; PyTorch is large, so this takes a few minutes)"
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -e .
	@touch $@

.venv/installed-vectors: .venv/installed
	@$(INSTALL) -e '.[vectors]'
	@touch $@

.venv/installed-test: .venv/installed
	@$(INSTALL) -e '.[test]'
	@touch $@
