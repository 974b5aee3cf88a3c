"""Which sources a project remembers: those that something came from, and no other."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from labelsync_provider.errors import EmptyListing, Invalid, StoragesOverlap, TooManyQuarantined
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import (
    ExportOptions,
    ExportReport,
    ImportOptions,
    ImportReport,
    export_annotations,
    import_storage,
)

LABELED = Task({"text": "1"}, annotations=[{"result": []}])


@pytest.fixture
def load(project: EmbeddedProject, engine: Engine) -> Callable[..., ImportReport]:
    def load(source: LocalFiles, **options: Any) -> ImportReport:
        return import_storage(source, project, engine, ImportOptions(**options), "a test")

    return load


@pytest.fixture
def save(project: EmbeddedProject, engine: Engine) -> Callable[..., ExportReport]:
    project.import_tasks([LABELED])
    return lambda target: export_annotations(project, target, engine, ExportOptions(), "a test")


def test_that_listed_nothing_can_be_a_target_afterwards(folder: Any, load: Any, save: Any) -> None:
    mistyped = folder("out")
    assert load(mistyped.storage()).listed == 0
    assert save(mistyped.storage()).written == 1


def test_of_which_nothing_was_let_in_can_be_a_target_afterwards(folder: Any, load: Any, save: Any) -> None:
    wrong = folder("out")
    wrong.put("notes.txt", "no task file").rename(wrong.root / "notes.txt")
    wrong.put("a.json", {"text": "1"})
    assert load(wrong.storage(), regex_filter="no such key").matched == 0
    (wrong.path / "a.json").unlink()
    assert save(wrong.storage()).written == 1


def test_refused_because_it_is_a_target_does_not_keep_the_export_out(folder: Any, load: Any, save: Any) -> None:
    target = folder("out")
    assert save(target.storage()).written == 1
    with pytest.raises(StoragesOverlap):
        load(target.storage())
    assert save(target.storage()).unchanged == 1


def test_refused_as_one_from_elsewhere_does_not_keep_the_right_one_out(folder: Any, load: Any) -> None:
    cats, dogs = folder("cats/photos"), folder("dogs/photos")
    cats.put("1.json", {"text": "cat 1"})
    dogs.put("1.json", {"text": "dog 1"})
    right, wrong = (LocalFiles(each.uri, str(each.path.parent)) for each in (cats, dogs))
    assert load(right).new == 1
    for _ in range(2):
        with pytest.raises(Invalid, match="objects of the same names from elsewhere"):
            load(wrong)
        assert load(right).unchanged == 1


def test_elsewhere_that_lists_nothing_does_not_keep_the_right_one_out(folder: Any, load: Any) -> None:
    cats, unmounted = folder("cats/photos"), folder("unmounted/photos")
    cats.put("1.json", {"text": "cat 1"})
    right, wrong = (LocalFiles(each.uri, str(each.path.parent)) for each in (cats, unmounted))
    load(right)
    with pytest.raises((EmptyListing, Invalid)):
        load(wrong)
    assert load(right).unchanged == 1
    unmounted.put("1.json", {"text": "dog 1"})
    with pytest.raises(Invalid, match="objects of the same names from elsewhere"):
        load(wrong)


def test_that_only_a_dry_run_has_seen_is_none(folder: Any, load: Any, save: Any) -> None:
    source = folder("out")
    path = source.put("1.json", {"text": "1"})
    assert load(source.storage(), dry_run=True).new == 1
    path.unlink()
    assert save(source.storage()).written == 1


def test_first_import_from_a_place_that_is_a_target_is_refused_by_a_dry_run_too(
    folder: Any, load: Any, save: Any
) -> None:
    target = folder("out")
    save(target.storage())
    with pytest.raises(StoragesOverlap, match=r"source=.*annotations of project 'Pets' are exported"):
        load(target.storage(), dry_run=True)


def test_that_something_came_from_is_known_though_the_run_failed(folder: Any, load: Any, save: Any) -> None:
    source = folder("in")
    source.put("1.json", {"text": "1"})
    source.put("2.json", "garbage")
    with pytest.raises(TooManyQuarantined):
        load(source.storage(), max_quarantined=0)
    with pytest.raises(StoragesOverlap, match=r"target=.*tasks of project 'Pets' are imported"):
        save(source.storage())


def test_of_another_project_is_none_of_this_one(folder: Any, load: Any, store: EmbeddedStore, engine: Engine) -> None:
    source = folder("in")
    path = source.put("1.json", {"text": "1"})
    load(source.storage())
    path.unlink()
    other = store.create_project("Cars", "<View/>")
    other.import_tasks([LABELED])
    assert export_annotations(other, source.storage(), engine, ExportOptions(), "a test").written == 1
