# The two commands to know: `make demo` and `make test`. Both set everything up by themselves.
#
#   PYTHON=python3.12 make setup      use this interpreter (3.11 or newer)
#   TORCH_INDEX=URL make setup        take torch from another index (PyTorch's CPU index saves 3 GB on Linux without a GPU)
#   RUN=runs/other make demo          put the demo's run folder elsewhere

PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$candidate" && break; done)
RUN ?= runs/demo
BIN := .venv/bin
STAMP := .venv/.set-up
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SAMPLE := One morning, Mia put the key in the box. Tom felt sad. Mia went to the park. Tom hid the coin in the bag. Where was the key? In that

# Without these, glibc hands the memory of every training step back to the kernel and asks for it again.
export MALLOC_MMAP_THRESHOLD_ ?= 2147483648
export MALLOC_TRIM_THRESHOLD_ ?= 4294967296

.PHONY: setup test check demo bench docs frozen clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "nlakit needs Python 3.11 or newer and found none under the name '$(or $(PYTHON),python3)'. Install one, then: PYTHON=/path/to/python3.11 make $(or $(MAKECMDGOALS),setup)" >&2; exit 2; }
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "creating .venv" && "$(PYTHON)" -m venv --clear .venv; }
	@echo "installing torch" && $(PIP_INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX) )torch==2.13.0
	@echo "installing nlakit and what it needs" && $(PIP_INSTALL) --editable '.[data,eval,providers,serve,dev]'
	@touch $(STAMP)

# One process a core, each with one thread: the models of the tests are too small to share among threads.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadscope $(TESTS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: setup
	$(BIN)/nlakit run terrarium-quick --out $(RUN)
	@echo
	@echo "$(BIN)/nlakit read --pair $(RUN)/pair '$(SAMPLE)'"
	@$(BIN)/nlakit read --pair $(RUN)/pair '$(SAMPLE)'
	@echo
	@echo "The curves, the measures and a page of readings: $(RUN)/report/report.html"

bench: setup
	$(BIN)/python -m benchmarks --write docs/benchmarks.md

# Rewrites the pages under docs/ that are made from the code; a test fails when they are stale.
docs: setup
	$(BIN)/python -m scripts.docs

# Rewrites the listings of options, settings and public names; read the difference before committing it.
frozen: setup
	$(BIN)/python -m scripts.frozen

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
