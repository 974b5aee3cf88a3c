"""Directories as sources: one that is not there, and links by which a file can be reached in several ways."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from labelsync_provider.errors import EmptyListing, NotFound
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.sync import ImportOptions, ImportReport, import_storage

Load = Callable[..., ImportReport]


@pytest.fixture
def load(project: EmbeddedProject, engine: Engine) -> Load:
    def load(source: Any, **options: Any) -> ImportReport:
        return import_storage(source.storage(), project, engine, ImportOptions(**options), "a test")

    return load


def test_that_is_not_there_is_an_error_that_names_it(folder: Any, load: Load) -> None:
    missing = folder("photso")
    missing.path.rmdir()
    with pytest.raises(NotFound, match=r"there is no directory .*/photso\. Create it, or correct the storage URI"):
        load(missing)
    assert not missing.path.exists()
    with pytest.raises(NotFound, match="photso"):
        load(missing, dry_run=True)


def test_that_is_empty_is_none(folder: Any, load: Load) -> None:
    assert load(folder("in")).listed == 0


def test_that_is_not_there_any_more_is_an_empty_listing(source: Any, load: Load) -> None:
    source.put("1.json", {"text": "1"})
    load(source)
    shutil.rmtree(source.path)
    with pytest.raises(EmptyListing, match="1 task of 'Pets' came from there"):
        load(source, on_missing="delete")


@pytest.mark.parametrize("on_missing", ["report", "delete"])
def test_new_link_beside_a_known_one_changes_nothing(folder: Any, source: Any, load: Load, on_missing: str) -> None:
    folder("other").put("1.json", {"text": "1"})
    (source.path / "z").symlink_to("../other")
    os.utime(source.path / "z", (1, 1), follow_symlinks=False)
    assert load(source).tasks_created == 1
    (source.path / "b").symlink_to("../other")
    report = load(source, on_missing=on_missing)
    assert (report.unchanged, report.new, report.missing, report.tasks_deleted) == (1, 0, 0, 0)


@pytest.mark.parametrize("on_missing", ["report", "delete"])
def test_inside_another_with_links_between_them_undoes_nothing(
    folder: Any, source: Any, load: Load, on_missing: str
) -> None:
    source.put("1.json", {"text": "1"})
    folder("other").put("2.json", {"text": "2"})
    (source.path / "z").symlink_to("../other")
    whole = folder("")
    assert [load(each, on_missing=on_missing).tasks_created for each in (source, source, whole, whole)] == [2, 0, 1, 0]
    for each in (source, whole, source):
        report = load(each, on_missing=on_missing, max_delete=10)
        assert (report.unchanged, report.new, report.missing, report.tasks_deleted) == (2, 0, 0, 0)


def test_with_a_fifo_has_it_in_quarantine_and_the_others_in(source: Any, load: Load) -> None:
    source.put("1.json", {"text": "1"})
    os.mkfifo(source.path / "pipe.json")
    report = load(source)
    assert (report.tasks_created, report.quarantined) == (1, 1)
    assert str(report.quarantine[0]) == "pipe.json: it is a FIFO, and no file"
