# `make demo` and `make test` do all their set-up by themselves: they need Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint lock mutants faults tutorials thumbnails reproduce bench exchange-goldens compare docs docs-test linkcheck clean

help:
	@echo "make demo    install, fetch real BERT weights, train an adapter, use it (two minutes)"
	@echo "make test    install and run the whole test suite"
	@echo "make lint    install and run ruff and mypy"
	@echo "make mutants change the code in every small way: does a test fail? (ARGS=ops: in one module;"
	@echo "             an hour or so for all; goes on where it was stopped)"
	@echo "make faults  kill it, fill the disk, feed it what is damaged (ARGS='kills hub': a part; an"
	@echo "             hour for all; goes on where it was stopped)"
	@echo "make tutorials  run all tutorials; their pictures go to runs/tutorials (ten minutes)"
	@echo "make reproduce  the paper's tables, figures and claims (ARGS='--budget full': in hours)"
	@echo "make bench   measure this project on this machine (20 minutes; ARGS=... for a part)"
	@echo "make exchange-goldens  adapters of AdapterHub, PEFT and transformers for the tests, and what"
	@echo "             these libraries make of ours (installs them apart; two minutes)"
	@echo "make compare measure it against torch, AdapterHub and ONNX Runtime, which it installs"
	@echo "             apart (an hour and more; ARGS=--quick: some minutes)"
	@echo "make docs    the site, tutorials run, in docs/_build/html (some minutes the first time;"
	@echo "             MINIBERT_DOCS_RUN=0: without running them, two minutes)"
	@echo "make docs-test look at the site in a browser; make linkcheck asks for every address in it"
	@echo "make clean   remove the virtual environments, caches and results"

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
# MINIBERT_REQUIRE_DATA=1 is set. Two files at a time, one BLAS thread each; those of the classroom,
# which take longest, come first.
test: $(VENV)/installed-test
	-$(BIN)/minibert fetch minilm
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What CI installs, pinned by hash: for its Python and machine, from pyproject.toml; and what builds
# the package (hatchling needs editables for --editable).
lock: $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet uv
	printf '%s\n' hatchling editables \
		| $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
			--python-version 3.11 --python-platform x86_64-manylinux_2_28 \
			--extra browser --extra lint --output-file .ci/requirements.lock pyproject.toml -

# What is known is in .mutants, so it goes on where it was stopped, and a module is tried again only
# when it or its tests have changed. ARGS='ops optim' chooses.
mutants: $(VENV)/installed-mutants
	$(BIN)/python -m pytest tests/product/test_mutants.py
	$(BIN)/python mutants/run.py $(ARGS)

# What is known is in .faults. ARGS chooses campaigns, or their size: 'signals disk', '--trials 50'.
faults: $(VENV)/installed-test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/faults/run.py $(ARGS)

tutorials: $(VENV)/installed-cli
	@for tutorial in tutorials/[0-9]*.py; do \
		echo "== $$tutorial"; $(BIN)/python $$tutorial || exit 1; done

# The small pictures of the site's index, which git keeps: from what `make tutorials` has drawn.
thumbnails: $(VENV)/installed-docs
	$(BIN)/python docs/thumbnails.py runs/tutorials

reproduce: $(VENV)/installed-cli
	$(BIN)/minibert fetch minilm
	$(BIN)/minibert reproduce $(ARGS)

bench: $(VENV)/installed-cli
	$(BIN)/python benchmarks/bench.py $(ARGS)

# The peers are never in one environment with this project: AdapterHub's package is called
# `adapters` too. torch comes first and alone; on Linux pip's default build brings gigabytes for
# graphics cards, so set TORCH_INDEX to torch's index of builds for the processor alone, or let pip
# know of one.
PEERS ?= .venv-compare
TORCH_INDEX ?=

$(PEERS)/installed: benchmarks/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $$(grep ^torch== $<)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

compare: $(VENV)/installed-cli $(PEERS)/installed
	$(BIN)/minibert fetch minilm
	$(BIN)/python benchmarks/compare.py --peer $(PEERS)/bin/python $(ARGS)

# What other libraries save for the tests to read, and what they make of what we export. Run as files
# and without PYTHONPATH: AdapterHub's package and this project's folder have one name.
GOLDENS ?= .venv-goldens
THEIRS := env -u PYTHONPATH $(GOLDENS)/bin/python

$(GOLDENS)/installed: tests/goldens/requirements.txt
	$(PYTHON) -m venv $(GOLDENS)
	$(GOLDENS)/bin/python -m pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $$(grep ^torch== $<)
	$(GOLDENS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

exchange-goldens: $(VENV)/installed-cli $(GOLDENS)/installed
	$(THEIRS) tests/goldens/exchange_goldens.py make
	rm -rf runs/exchange
	$(BIN)/python tests/goldens/export_with_minibert.py runs/exchange
	$(THEIRS) tests/goldens/exchange_goldens.py check runs/exchange \
		> tests/goldens/exchange/checked.md
	cat tests/goldens/exchange/checked.md

# Pages are gathered first (docs/stage.py), then built; what has not changed is not run again. A
# warning is an error, and so is a reference that leads nowhere.
SPHINX := $(BIN)/python -m sphinx -c docs -d docs/_build/doctrees -n -W --keep-going

docs: $(VENV)/installed-docs
	-$(BIN)/minibert fetch minilm
	$(BIN)/python docs/stage.py
	$(SPHINX) docs/_build/source docs/_build/html

# Needs Chromium or Chrome: Debian's `chromium`, or `$(BIN)/playwright install chromium`.
docs-test: $(VENV)/installed-browser docs
	MINIBERT_REQUIRE_BROWSER=1 $(BIN)/python -m pytest --numprocesses 2 tests/classroom/test_site.py \
		tests/classroom/test_site_in_a_browser.py $(ARGS)

linkcheck: $(VENV)/installed-docs
	$(BIN)/python docs/stage.py
	MINIBERT_DOCS_RUN=0 $(SPHINX) -b linkcheck docs/_build/source docs/_build/linkcheck

clean:
	rm -rf $(VENV) $(PEERS) .mutants .faults runs docs/_build .pytest_cache .hypothesis .mypy_cache .ruff_cache
