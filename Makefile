# Everything runs in .venv, which `make setup` creates and which every other target brings up to date first.

PYTHON ?= python3
# Where torch comes from; empty means pip's own index. For the small CPU build on Linux:
#   make setup TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
TORCH_INDEX_URL ?=
DEMO_DIR ?= demo_output
MINUTES ?= 60
DEVICE ?= cuda

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo app measure test fuzz gpu check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install the package with all development tools

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; install it and run 'make setup PYTHON=/path/to/python3'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is missing; install it (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@echo "setup: creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "setup: installing torch (the largest part; up to some GB unless TORCH_INDEX_URL names a CPU index)"
	@$(BIN)/python -m pip install -qq --constraint constraints.txt \
		$(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch
	@echo "setup: installing sam3dsegment and the development tools"
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo "setup: done; try 'make demo'"

demo: $(STAMP) ## segment a tumor in a synthetic CT; or yours: make demo INPUT=/path/to/dicom CLICK="R A S"
	$(BIN)/sam3dsegment demo $(if $(INPUT),"$(INPUT)") $(if $(CLICK),--click $(CLICK)) --output-dir "$(DEMO_DIR)"

# With a display a window opens; without one, or with OUT=, the tour runs offscreen and writes pictures to OUT.
app: $(STAMP) ## try the Slicer module without Slicer; your image: make app INPUT=/path; pictures: make app OUT=folder
	PYTHONPATH=Testing $(BIN)/python -m Host $(if $(INPUT),--input "$(INPUT)") \
		$(if $(CLICK),--click $(CLICK)) $(if $(OUT),--out "$(OUT)")

measure: $(STAMP) ## measure the Slicer module's speed and memory, in the host
	PYTHONPATH=Testing $(BIN)/python -m Host --measure

test: $(STAMP) ## run the tests
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup

fuzz: $(STAMP) ## throw bad inputs at it for an hour: make fuzz MINUTES=60
	PYTHONPATH=Testing $(BIN)/python -m Fuzz --minutes $(MINUTES)

# STEPS= is a rehearsal, with so many steps of training and the light models alone. PACKED= is what `python -m Gpu pack` made.
gpu: $(STAMP) ## nine minutes on a GPU: tests, speed of every family, training: make gpu PACKED=folder OUT=folder
	PYTHONPATH=Testing:. $(BIN)/python -m Gpu run --device $(DEVICE) --out "$(or $(OUT),gpu_output)" \
		$(if $(PACKED),--packed "$(PACKED)") $(if $(STEPS),--steps $(STEPS))

check: $(STAMP) ## lint, formatting, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## sort imports and format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## remove caches and outputs; delete .venv yourself to start afresh
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache $(DEMO_DIR) app_output gpu_output
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
