# Every target sets up what it needs: .venv/ from requirements.txt, rebuilt when that file changes.

PYTHON ?= python3
VENV   := .venv
STAMP  := $(VENV)/.requirements
PY     := $(VENV)/bin/python
JOBS   ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# GRID is a name in grids/ or a file of one's own; SET and ONLY hold one or several words.
CONFIG = $(if $(findstring /,$(GRID))$(filter %.yaml %.yml,$(GRID)),$(GRID),grids/$(GRID).yaml)
RUN = MDCORE_BY_MAKE=1 $(PY) -m mdcore.run_grid --config "$(CONFIG)" --tag "$(TAG)" --jobs $(JOBS) \
      $(foreach word,$(SET),--set '$(word)') $(foreach word,$(ONLY),--only '$(word)') $(ARGS)
# STYLE: what the figures show and how they look; the file beside the grid, where there is one.
STYLE ?= $(wildcard $(CONFIG:.yaml=.style.yaml))
ANALYSE = MDCORE_BY_MAKE=1 $(PY) -m mdcore.run_analysis --tag "$(TAG)" $(if $(STYLE),--style "$(STYLE)")

# What is missing is told before anything is set up.
NEEDED := $(if $(filter grid plan paper,$(MAKECMDGOALS)),GRID TAG,$(if $(filter analysis paper-pdf bundle,$(MAKECMDGOALS)),TAG)$(if $(filter compare,$(MAKECMDGOALS)),TAGS))
MISSING := $(strip $(foreach name,$(NEEDED),$(if $($(name)),,$(name))))
ifneq ($(MISSING),)
$(error $(MISSING) missing. Example: make $(firstword $(MAKECMDGOALS)) $(if $(filter GRID,$(NEEDED)),GRID=mnist_pairs )$(if $(filter TAGS,$(NEEDED)),TAGS="first second",TAG=first) (GRID: a file of grids/; TAG: the name of the run))
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-all chaos fuzz mutants lint grid plan analysis paper paper-pdf bundle reproduce compare bench verify schema lab

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  GRID=name TAG=name JOBS=n   SET='epochs=500 depth=3'   ONLY='depth=2,potential=lp'   ARGS='further flags'"

setup: $(STAMP)  ## build .venv/ from requirements.txt; every target does it when needed

demo: $(STAMP)  ## set-up, the quick_debug grid and its analysis; prints where the report is
	@$(MAKE) --no-print-directory paper GRID=quick_debug TAG=$(or $(TAG),demo)

test: $(STAMP)  ## set-up and the tests
	$(PY) -m pytest -q -n logical --dist loadfile --no-loadscope-reorder -m "not slow"

# Files that start processes, train for long or draw at random: each costs more than about 10 s.
LONG := commands runner library chaos bench verification mutants store/test_garbage.py store/test_drafts.py \
        config/test_spec_fuzz.py config/test_names.py problems/test_references.py math/test_certificate.py \
        $(addprefix math/engine/test_,captured.py compiled.py engine.py active_set.py) \
        $(addprefix analysis/,figures tables/test_tables.py tables/test_norms.py) \
        $(addprefix analysis/report/test_,methods.py report.py report_verdicts.py)

test-fast: $(STAMP)  ## the tests of the mathematics, the grid files and the analysis that take no time
	$(PY) -m pytest -q -n logical --dist loadfile --no-loadscope-reorder -m "not slow" $(addprefix --ignore=tests/,$(LONG))

test-all: $(STAMP)  ## all tests, the slow ones too
	$(PY) -m pytest -q -n logical --dist loadfile --no-loadscope-reorder

chaos: $(STAMP)  ## a grid, and analyses of it, under seeded faults (SEED, FAULTS of the grid, 80 of analyses)
	@$(PY) tests/chaos/analysis_faults.py --seed $(or $(SEED),0)
	@$(PY) tests/chaos/chaos.py --seed $(or $(SEED),0) --faults $(or $(FAULTS),36)

fuzz: $(STAMP)  ## every kind of file that a run leaves, damaged at random: no number changes in silence (SEED, TRIALS)
	@$(PY) tests/chaos/fuzz.py --seed $(or $(SEED),0) --trials $(or $(TRIALS),2000)

mutants: $(STAMP)  ## small bugs planted one at a time: do the tests notice? (SAMPLE, 0 for all; SEED; MODULES; AGAIN=1)
	@$(PY) tests/mutants/mutants.py --sample $(or $(SAMPLE),100) --seed $(or $(SEED),0) --only '$(MODULES)' --jobs $(JOBS) \
	  $(if $(AGAIN),--again)

lint: $(STAMP)  ## style, format and types of the sources
	$(PY) -m ruff check .
	$(PY) -m ruff format --check mdcore tests
	$(PY) -m mypy

grid: $(STAMP)  ## run or resume a grid (GRID, TAG)
	@$(RUN)

plan: $(STAMP)  ## what a grid would run, what is done or stale, and why; runs nothing (GRID, TAG)
	@$(RUN) --dry_run

analysis: $(STAMP)  ## tables, figures and report of a run (TAG, STYLE)
	@$(ANALYSE)

paper-pdf: $(STAMP)  ## the Results section of an analysed run as PDF, with latexmk or tectonic (TAG)
	@$(PY) -m mdcore.run_paper --tag "$(TAG)"

paper: $(STAMP)  ## grid, then analysis (GRID, TAG)
	@$(RUN); status=$$?; [ $$status -le 1 ] || exit $$status; $(ANALYSE) && exit $$status

bundle: $(STAMP)  ## one archive that reproduces an analysed run elsewhere (TAG, ARGS="--leave_out data.csv")
	@$(PY) -m mdcore.run_bundle --tag "$(TAG)" $(ARGS)

reproduce: $(STAMP)  ## in an unpacked bundle: check it, train the quickest condition (ALL=1: all), analyse, compare
	@$(PY) -m mdcore.run_bundle --reproduce . $(if $(ALL),--all)

bench: $(STAMP)  ## the performance report; QUICK=1 ends in two minutes
	@$(PY) -m mdcore.run_bench $(if $(QUICK),--quick)

verify: $(STAMP)  ## the theorem suite: claim, expected, measured, pass or fail; QUICK=1: one seed each
	@$(PY) -m mdcore.run_verify --jobs $(JOBS) $(if $(QUICK),--quick)

compare: $(STAMP)  ## what changed between two runs, condition by condition (TAGS="a b")
	@$(PY) -m mdcore.run_compare --tags $(TAGS)

schema: $(STAMP)  ## grids/grid.schema.json: with it editors complete and check grid files
	@$(PY) -m mdcore.config.json_schema grids/grid.schema.json && echo grids/grid.schema.json

lab: $(STAMP)  ## JupyterLab on notebooks/
	@$(PY) -m jupyterlab --notebook-dir notebooks

$(STAMP): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is not. Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	  exit 2; }
	@echo "set-up: the packages of requirements.txt go into $(VENV)/, once; a few minutes"
	$(PYTHON) -m venv --clear $(VENV)
	@date +%s > $(VENV)/began
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(PY) -c 'import os, sysconfig; open(sysconfig.get_path("purelib") + "/mdcore.pth", "w").write(os.getcwd() + "\n")'
	@echo "set-up took $$(($$(date +%s) - $$(cat $(VENV)/began))) s"
	@touch $@
