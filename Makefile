# One word each. `demo` and `test` set up all they need; `make env PIP_ARGS=…` passes options to pip.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: env demo test fuzz soak evaluate style lint check fix

env: $(STAMP)

# done again only when what is to be installed has changed
$(STAMP): pyproject.toml constraints.txt build_kernel.py $(wildcard abpn_cli/engine/native/*.[ch])
	$(PYTHON) -c 'import sys; sys.exit("abpn needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt $(PIP_ARGS) torch
	$(BIN)/python -m pip install --constraint constraints.txt $(PIP_ARGS) --editable '.[dev]'
	@touch $@

demo: env
	$(BIN)/abpn retouch examples/shoot --out done --task cloth
	@echo
	@echo "Look in done/: the same tree as examples/shoot, retouched. Start with done/coral_tshirt.jpg"
	@echo "beside examples/shoot/coral_tshirt.jpg, at 100 %."

# some processes at once, each with whole files of tests; torch's threads, as many again in each, would get in each other's way
test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# damaged photos for every parser; SECONDS=3600 for longer
fuzz: env
	$(BIN)/python tests/fuzz/parsers.py --seconds $(or $(SECONDS),600)

# some minutes: 500 photos in one run, watched for anything that grows
soak: env
	$(BIN)/python benchmarks/soak.py

# the quality tables of BENCHMARKS.md, into out/quality; takes the photos of ../shared/data
evaluate: env
	$(BIN)/python benchmarks/quality.py

# under an hour on two cores: a style learnt from sixty pairs; takes the photos of ../shared/data
style: env
	$(BIN)/python benchmarks/style.py

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

fix: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

