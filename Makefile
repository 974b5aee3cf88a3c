# Everything runs in .venv, made by uv from uv.lock. Where uv is missing, it is installed below .build first.
PYTHON ?= python3
UV ?= $(shell command -v uv || echo .build/uv/bin/uv)
export UV_PYTHON_DOWNLOADS ?= never
# Without compiled modules, every process that a test starts would compile Airflow first.
unexport PYTHONDONTWRITEBYTECODE
RUN = $(UV) run --frozen --python $(PYTHON)
# The demo needs no tools for development, and takes none away.
RUN_BARE = $(RUN) --no-dev --inexact

.PHONY: help demo demo-label-studio test test-browser test-airflow soak bench format clean

help:
	@echo "make demo                run the main job through Airflow, on sample data"
	@echo "make demo-label-studio   the same with a Label Studio server, to be looked at"
	@echo "make test                run every check that needs no browser"
	@echo "make test-browser        look at Label Studio's pages in Chromium"
	@echo "make test-airflow        run the DAGs in airflow standalone, and fill in their forms in Chromium"
	@echo "make soak MINUTES=30     run the model of the importer for so long, then kill runs at every statement"
	@echo "make bench               run the benchmarks and print a table"
	@echo "make format              format the code"
	@echo "make clean               remove what these made"

demo: $(UV)
	@$(RUN_BARE) python demo/run.py

# The server is that of the tests.
demo-label-studio: $(UV)
	@$(RUN) python demo/label_studio.py

test: $(UV)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) pytest --numprocesses 3 --dist loadgroup

test-browser: $(UV)
	$(RUN) pytest tests/browser

test-airflow: $(UV)
	$(RUN) pytest tests/standalone

MINUTES ?= 5
soak: $(UV)
	@PYTHONPATH=tests $(RUN) python -m model.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
	LABELSYNC_SWEEP=statements $(RUN) pytest --numprocesses 3 tests/sync -k at_every_commit

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
