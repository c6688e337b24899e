# `make demo` and `make test` set everything up in .venv; nothing else is touched.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := tests/data/colin27_1x1x4mm.nii.gz

.PHONY: demo test test-all test-slicer lint clean

demo: .venv/core
	$(BIN)/medsr reconstruct $(SAMPLE) -o demo --force
	$(BIN)/medsr report demo/colin27_1x1x4mm_desc-sr.nii.gz --scan $(SAMPLE) --picture demo/before_after.png --force
	@echo
	@echo "The picture:  demo/before_after.png"
	@echo "The report:   demo/colin27_1x1x4mm_desc-sr.html (open it in a browser)"

test: .venv/dev
	$(BIN)/python -m pytest -n 2

test-all: .venv/dev
	$(BIN)/python -m pytest -m "not gpu and not peers and not data"

# what needs packages of 3D Slicer, each in an environment of its own
test-slicer: .venv/dev
	$(BIN)/python pipelines/slicer/environments.py core form
	.venv/slicer/core/bin/python -m pytest -m peers tests/slicer
	.venv/slicer/form/bin/python -m pytest -m peers tests/slicer

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv demo

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/core: .venv/made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --editable . --constraint constraints.txt
	touch $@

.venv/dev: .venv/made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --editable ".[dev]" --constraint constraints.txt
	touch $@
