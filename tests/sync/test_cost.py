"""What the log says of what a run's requests cost: by presence, so that a storage from outside can have prices too."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.prices import Prices
from labelsync_provider.sync import ExportOptions, ImportOptions, export_annotations, import_storage

PRICES = Prices("a service of the tests", list=500.0, read=250.0, write=500.0, delete=0.0)


class PricedFiles(LocalFiles):
    """Files whose requests cost something."""

    prices: Prices | None = PRICES


class FreeFiles(LocalFiles):
    """Files of a service whose prices are not known."""

    prices: Prices | None = None


@pytest.fixture
def run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    engine = open_database(f"sqlite:///{tmp_path}/labelsync.db")
    project = EmbeddedStore(engine).create_project("Texts", '<View><Text name="text" value="$text"/></View>')
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    target.mkdir()
    (source / "a.json").write_text('{"text": "a"}')

    def run_with(kind: type[LocalFiles], *, exports: bool, **options: Any) -> str:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            if exports:
                export_annotations(project, kind(f"file://{target}", str(target)), engine, ExportOptions(**options), "")
            else:
                import_storage(kind(f"file://{source}", str(source)), project, engine, ImportOptions(**options), "")
        (said,) = (record.getMessage() for record in caplog.records if "requests: " in record.getMessage())
        return said.strip()

    yield run_with
    engine.dispose()


@pytest.mark.parametrize("dry_run", [True, False])
def test_of_a_storage_with_prices_the_log_says_what_the_requests_cost(run: Any, dry_run: bool) -> None:
    said = run(PricedFiles, exports=False, dry_run=dry_run)
    assert said == f"requests: list 1, read 1 (about 0.7500 USD at the list prices of {PRICES.of})"
    assert run(PricedFiles, exports=True, dry_run=dry_run).endswith(f" USD at the list prices of {PRICES.of})")


@pytest.mark.parametrize("kind", [LocalFiles, FreeFiles])
def test_of_others_it_says_nothing(run: Any, kind: type[LocalFiles]) -> None:
    assert run(kind, exports=False) == "requests: list 1, read 1"
    assert "USD" not in run(kind, exports=True)
