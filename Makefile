# Every target sets itself up: the first one to run makes .venv from requirements.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-full lint docs bench gpu-check-record gpu-check clean

demo: $(READY)
	$(BIN)/maskrt demo

test: $(READY)
	$(BIN)/pytest -m "not full and not gpu" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test-full: $(READY)
	$(BIN)/pytest -m "not gpu"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site, in out/site; a link that leads nowhere is an error (under --quiet it would
# not be counted). Python 3.11 and later.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(READY)
	$(BIN)/python -m benchmarks.mask_rcnn
	$(BIN)/python -m benchmarks.int8
	$(BIN)/python -m benchmarks.paste_encode
	$(BIN)/python -m benchmarks.preprocess_rules

# Models, inputs and PyTorch's answers for gpu-check, made anywhere: make gpu-check-record CHECKPOINTS="a.pt b.pt"
BUNDLE ?= out/gpu-check
gpu-check-record: $(READY)
	$(BIN)/python -m benchmarks.gpu_check.record $(CHECKPOINTS) $(if $(IMAGES),--images $(IMAGES)) -o $(BUNDLE)

# With the Python that has TensorRT, which need not have PyTorch: make gpu-check PYTHON=/opt/trt/bin/python
gpu-check:
	$(PYTHON) -m benchmarks.gpu_check.check $(BUNDLE)

clean:
	rm -rf $(VENV) out build *.egg-info

# Idempotent: rebuilt only when what is to be installed changes; the stamp is written last.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else f"maskrt needs Python 3.10 to 3.13, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@# A venv that once failed half-way has a python and no pip.
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $(READY)
