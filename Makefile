# `make demo` and `make test` do all their set-up by themselves: they need Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint clean

help:
	@echo "make demo    install, fetch real BERT weights, train an adapter, use it (a few minutes)"
	@echo "make test    install and run the whole test suite"
	@echo "make lint    install and run ruff and mypy"
	@echo "make clean   remove the virtual environment, caches and results"

# One virtual environment; a stamp for each set of dependencies that has been installed into it.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "minibert needs Python 3.11 or newer; set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-%: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(VENV)/installed-cli
	$(BIN)/minibert demo

# The weights are fetched when they can be; what needs them skips without them, or fails where
# MINIBERT_REQUIRE_DATA=1 is set. Two tests at a time, one BLAS thread each.
test: $(VENV)/installed-test
	-$(BIN)/minibert fetch minilm
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) runs .pytest_cache .hypothesis .mypy_cache .ruff_cache
