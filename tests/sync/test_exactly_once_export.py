"""An export that is killed, wherever that may be, and run again: every annotation is exactly one object, whole."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest
from killing import (
    After,
    Before,
    Instant,
    Run,
    at_each,
    at_once,
    copy_database,
    killed,
    killed_at_every_commit,
    killed_at_random_instants,
)
from places import Directory, content
from sqlalchemy import delete, update

from labelsync_provider.database import open_database, writing
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import ANNOTATION
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync import ExportOptions

pytest_plugins = ["servers.postgres", "servers.redis", "servers.s3"]

RANDOM_INSTANTS = {"local files": 2, "S3": 1, "Redis": 1}
MANY = 200

# One writer at a time: what happens before what is then the same in each run.
OPTIONS = ExportOptions(batch_size=3, max_in_flight=1, can_delete_objects=True, lease_seconds=0.1)
# In the target stand annotations 1 to 6. Since then 2 and 5 have changed, 6 is gone, 7 to 9 are new: five are to be
# written, in two batches, and one is to be deleted.
POINTS: dict[str, Instant] = {
    "the lease is taken": After("Lease.__enter__"),
    "the ledger knows the target": After("Ledger.enter_target"),
    "the first page of the target is listed": Before("Storage.list"),
    "the target is looked at": After("Storage.list"),
    "the annotations are read": Before("Project.annotated_tasks"),
    "the first batch is about to be announced": Before("Ledger.enter_exports", 1),
    "the first batch is announced": After("Ledger.enter_exports", 1),
    "the first object is about to be written": Before("Storage.write"),
    "the temporary file is empty": Before("local_writing._written", 1),
    "the temporary file is not synced": Before("os.fsync", 1),
    "the temporary file is synced": After("os.fsync", 1),
    "the temporary file is about to be renamed": Before("os.replace", 1),
    "the temporary file is renamed": After("os.replace", 1),
    "the directory is synced": After("os.fsync", 2),
    "the temporary file of a new object is about to get its name": Before("os.link", 1),
    "the temporary file of a new object has both names": After("os.link", 1),
    "the first object is written": After("Storage.write", 1),
    "the whole batch is written": After("Storage.write", 3),
    "the first batch is about to be entered": Before("Ledger.enter_exports", 2),
    "the first batch is entered and not committed": After("ledger.upsert_rows", 2),
    "the first batch is entered": After("Ledger.enter_exports", 2),
    "the last batch is written": After("Storage.write", 5),
    "the last batch is entered": After("Ledger.enter_exports", 4),
    "the run is about to make sure that it may delete": Before("Lease.check"),
    "the object to be deleted is still there": Before("Storage.delete"),
    "the object is deleted and not forgotten": After("Storage.delete"),
    "the object is deleted and forgotten": After("Ledger.enter_exports", 5),
    "the lease is about to be given back": Before("Lease.__exit__"),
    "the lease is given back": After("Lease.__exit__"),
}
# Where a run to a bucket or a database may leave something else behind than one to a directory: an object is written in
# one request.
POINTS_OF_A_BUCKET = {
    name: POINTS[name]
    for name in (
        "the first batch is announced",
        "the first object is written",
        "the whole batch is written",
        "the last batch is entered",
        "the object is deleted and not forgotten",
    )
}


@contextmanager
def opened(run: Run) -> Iterator[EmbeddedProject]:
    engine = open_database(run.database)
    try:
        yield EmbeddedStore(engine).project(run.project)
    finally:
        engine.dispose()


def annotate(run: Run, texts: list[str]) -> None:
    """Add a task with an annotation for each text."""
    with opened(run) as project:
        project.import_tasks([Task({"text": text}, annotations=[{"result": [{"value": text}]}]) for text in texts])


def change(run: Run, *, changed: Sequence[int] = (), gone: Sequence[int] = ()) -> None:
    """Change what annotations say, and delete others."""
    engine = open_database(run.database)
    with writing(engine) as connection:
        connection.execute(update(ANNOTATION).where(ANNOTATION.c.id.in_(changed)).values(result=[{"value": "changed"}]))
        connection.execute(delete(ANNOTATION).where(ANNOTATION.c.id.in_(gone)))
    engine.dispose()


def written(run: Run) -> dict[str, bytes]:
    """Return all objects of the target, whatever their names."""
    return content(run.place, run.prefix)


def versions(run: Run) -> dict[str, str]:
    return {info.key: info.version for page in run.place.open(run.prefix).list() for info in page}


def copied(run: Run, name: object) -> Run:
    """The same run on a copy of its SQLite database, and of its document root."""
    assert isinstance(run.place, Directory)
    return replace(copy_database(run, name), place=run.place.copied(name))


def beside(run: Run, name: object) -> Run:
    """The same run on a copy of its SQLite database, to an empty target in the same place."""
    return replace(copy_database(run, name), prefix=f"out-{name}/")


def assert_each_annotation_is_one_object(run: Run, ids: Sequence[int]) -> None:
    """Compare the target with what an undisturbed export writes to an empty one."""
    undisturbed = replace(run, prefix="undisturbed/")
    assert undisturbed().written == len(ids)
    assert written(run) == written(undisturbed)
    assert sorted(written(run)) == sorted(f"{number}.json" for number in ids)


def assert_each_is_whole(left: dict[str, bytes], before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """An object that a killed run left is the old one or the new one, and nothing between them."""
    objects = {name: found for name, found in left.items() if not name.startswith(".labelsync-")}
    assert all(found in (before.get(name), after.get(name)) for name, found in objects.items())


def assert_nothing_is_left_to_do(run: Run, annotations: int) -> None:
    before = versions(run)
    report = run()
    assert (report.annotations, report.unchanged, report.written) == (annotations, annotations, 0)
    assert (report.gone, report.deleted, report.failed) == (0, 0, 0)
    assert versions(run) == before


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
in_a_bucket = pytest.mark.parametrize("place", ["S3"], indirect=True)


@pytest.fixture
def first_run(database_url: str, place: Any) -> Run:
    """The first export of a new project with six annotations."""
    engine = open_database(database_url)
    EmbeddedStore(engine).create_project("P", "<View/>")
    engine.dispose()
    run = Run(database_url, place, "out/", OPTIONS)
    annotate(run, [f"text {number}" for number in range(1, 7)])
    return run


@pytest.fixture
def run(first_run: Run) -> Run:
    """The second export, of a project that has changed since the first."""
    first_run()
    annotate(first_run, ["text 7", "text 8", "text 9"])
    change(first_run, changed=[2, 5], gone=[6])
    return first_run


NOW_THERE = [1, 2, 3, 4, 5, 7, 8, 9]


@on_sqlite
@at_each(POINTS)
def test_a_run_killed_when(point: Instant, run: Run) -> None:
    assert_made_up_for(run, point)


@on_sqlite
@in_a_bucket
@at_each(POINTS_OF_A_BUCKET)
def test_a_run_to_a_bucket_killed_when(point: Instant, run: Run) -> None:
    assert_made_up_for(run, point)


def assert_made_up_for(run: Run, point: Instant) -> None:
    before = written(run)
    assert killed(run, point)
    left = written(run)
    run.when_free()
    assert_each_annotation_is_one_object(run, NOW_THERE)
    assert_each_is_whole(left, before, written(run))
    assert_nothing_is_left_to_do(run, len(NOW_THERE))


@on_sqlite
def test_a_run_killed_at_every_commit(run: Run) -> None:
    runs = killed_at_every_commit(run, copied)
    at_once(Run.when_free, runs)
    assert_each_annotation_is_one_object(runs[0], NOW_THERE)
    assert [written(each) for each in runs] == [written(runs[0])] * len(runs)
    at_once(assert_nothing_is_left_to_do, runs, repeat(len(NOW_THERE)))


@on_sqlite
def test_the_second_run_killed_at_every_commit_too(first_run: Run) -> None:
    assert killed(first_run, After("Storage.write", 5))
    runs = killed_at_every_commit(first_run, copied)
    at_once(Run.when_free, runs)
    assert_each_annotation_is_one_object(runs[0], range(1, 7))
    assert [written(each) for each in runs] == [written(runs[0])] * len(runs)
    at_once(assert_nothing_is_left_to_do, runs, repeat(6))


def test_the_second_run_killed_while_it_identifies_what_the_first_wrote(first_run: Run) -> None:
    assert killed(first_run, After("Storage.write", 3))
    first_run = replace(first_run, owner="the second run")
    for point in (Before("Storage.read"), After("Storage.read", 3), Before("Ledger.enter_exports")):
        assert killed(first_run.when_free, point)
    first_run.when_free()
    assert_each_annotation_is_one_object(first_run, range(1, 7))
    assert_nothing_is_left_to_do(first_run, 6)


def test_what_the_killed_run_wrote_is_recognized_and_not_written_again(first_run: Run) -> None:
    assert killed(first_run, After("Storage.write", 4))
    report = first_run.when_free()
    assert (report.unchanged, report.written) == (4, 2)


def test_an_annotation_changed_after_its_object_was_written(first_run: Run) -> None:
    assert killed(first_run, After("Storage.write", 2))
    change(first_run, changed=[1, 2])
    first_run.when_free()
    assert_each_annotation_is_one_object(first_run, range(1, 7))
    assert_nothing_is_left_to_do(first_run, 6)


def test_an_annotation_deleted_after_its_object_was_written(first_run: Run) -> None:
    assert killed(first_run, After("Storage.write", 2))
    change(first_run, gone=[1])
    first_run.when_free()
    assert_each_annotation_is_one_object(first_run, range(2, 7))
    assert_nothing_is_left_to_do(first_run, 5)


@on_sqlite
@pytest.mark.parametrize(("place", "instants"), RANDOM_INSTANTS.items(), ids=RANDOM_INSTANTS, indirect=["place"])
def test_a_run_killed_at_random_instants(first_run: Run, instants: int) -> None:
    seed = random.randrange(1 << 32)
    annotate(first_run, [f"text {number}" for number in range(7, MANY + 1)])
    first_run = first_run.with_options(batch_size=25)
    undisturbed = beside(first_run, "undisturbed")
    undisturbed()

    def share_done(run: Run) -> float:
        return len(run.place.keys(run.prefix)) / MANY

    runs = killed_at_random_instants(lambda number: beside(first_run, number), instants, seed, share_done)
    at_once(Run.when_free, runs)
    expected = written(undisturbed)
    assert len(expected) == MANY
    for each in runs:
        assert written(each) == expected, f"seed {seed}"
        assert_nothing_is_left_to_do(each, MANY)
