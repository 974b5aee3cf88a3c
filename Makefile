# Everything runs in .venv, made by uv from uv.lock. Where uv is missing, it is installed below .build first.
PYTHON ?= python3
UV ?= $(shell command -v uv || echo .build/uv/bin/uv)
export UV_PYTHON_DOWNLOADS ?= never
# Without compiled modules, every process that a test starts would compile Airflow first.
unexport PYTHONDONTWRITEBYTECODE
RUN = $(UV) run --frozen --python $(PYTHON)
# The demo needs no tools for development, and takes none away.
RUN_BARE = $(RUN) --no-dev --inexact

.PHONY: help demo demo-label-studio test test-browser test-airflow test-matrix soak fuzz bench format clean

help:
	@echo "make demo                run the main job through Airflow, on sample data"
	@echo "make demo-label-studio   the same with a Label Studio server, to be looked at"
	@echo "make test                run every check that needs no browser"
	@echo "make test-browser        look at Label Studio's pages in Chromium"
	@echo "make test-airflow        run the DAGs in airflow standalone, and fill in their forms in Chromium"
	@echo "make test-matrix         install the wheel as people do, on several Airflows, and test it there; needs Python 3.12"
	@echo "make soak MINUTES=30     run the models of imports and exports for so long, then kill runs at every statement, and test Label Studio on PostgreSQL"
	@echo "make fuzz SEED=1         import 3,000 hostile objects beside good ones, and print what became of them"
	@echo "make bench               run the benchmarks and print a table"
	@echo "make format              format the code"
	@echo "make clean               remove what these made"

demo: $(UV)
	@$(RUN_BARE) python demo/run.py

# The server is that of the tests.
demo-label-studio: $(UV)
	@$(RUN) python -m demo.label_studio

test: $(UV)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) pytest --numprocesses 4 --dist loadgroup

test-browser: $(UV)
	$(RUN) pytest tests/browser

test-airflow: $(UV)
	$(RUN) pytest tests/standalone

# The pins in constraints/ are of Python 3.12: make test-matrix PYTHON=python3.12 ONLY="lowest"
test-matrix: $(UV)
	@UV=$(abspath $(UV)) $(PYTHON) tests/matrix.py $(if $(ONLY),"$(ONLY)")

MINUTES ?= 5
soak: $(UV)
	@PYTHONPATH=tests $(RUN) python -m model.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
	LABELSYNC_SWEEP=statements $(RUN) pytest --numprocesses 3 tests/sync -k "at_every_commit or killed"
	LABELSYNC_LABEL_STUDIO_ON=postgresql $(RUN) pytest tests -k "label_studio and postgresql"
	LABELSYNC_SWITCH_OVER=300 $(RUN) pytest tests/sync/test_switch_over.py -k TestSwitchOver

CASES ?= 3000
fuzz: $(UV)
	@PYTHONPATH=tests $(RUN) python -m fuzz.fuzz --cases $(CASES) $(if $(SEED),--seed $(SEED))

bench: $(UV)
	@$(RUN) python benchmarks/run.py

format: $(UV)
	$(RUN) ruff check --fix
	$(RUN) ruff format

clean:
	rm -rf .venv .build .demo dist

.build/uv/bin/uv:
	$(PYTHON) -m venv .build/uv
	.build/uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
