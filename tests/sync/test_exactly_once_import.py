"""An import that is killed, wherever that may be, and run again: every row of the source is exactly one task."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from killing import (
    After,
    Before,
    Child,
    Instant,
    Run,
    at_each,
    at_once,
    copy_database,
    killed,
    killed_at_every_commit,
    killed_at_random_instants,
    threads_of_the_server,
)
from sqlalchemy import Engine, func, select

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import ANNOTATION, PREDICTION, TASK
from labelsync_provider.storages.location import Location
from labelsync_provider.sync import ImportOptions
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import JournalEntry

pytest_plugins = ["servers.postgres", "servers.redis", "servers.s3"]

LABELS = "<View><Text name='text' value='$text'/></View>"
RANDOM_INSTANTS = {"local files": 2, "S3": 1, "Redis": 1}
MANY = 80

# What a killed run leaves behind is soon free again.
OPTIONS = ImportOptions(batch_size=3, max_in_flight=2, lease_seconds=0.1)
LABELED = {"result": [{"value": {"text": ["yes"]}}]}
FILES = {
    "1-one.json": {"text": "one"},
    "2-array.json": [{"text": "array 0"}, {"text": "array 1"}, {"text": "array 2"}],
    "3-malformed.json": '{"text": "never ends',
    "4-lines.jsonl": '{"text": "lines 0"}\n[]\n{"text": "lines 2"}\n',
    "5-labeled.json": {"data": {"text": "labeled"}, "annotations": [LABELED], "predictions": [LABELED, LABELED]},
    "6/below.json": [{"text": "below 0"}, {"image": "no text"}],
}
ROWS = {
    ("1-one.json", 0): "one",
    ("2-array.json", 0): "array 0",
    ("2-array.json", 1): "array 1",
    ("2-array.json", 2): "array 2",
    ("4-lines.jsonl", 0): "lines 0",
    ("4-lines.jsonl", 2): "lines 2",
    ("5-labeled.json", 0): "labeled",
    ("6/below.json", 0): "below 0",
}
QUARANTINE = [("3-malformed.json", None), ("4-lines.jsonl", 1), ("6/below.json", 1)]

# Three batches. `Ledger.enter` enters the outcome of a batch and announces the next one; the fourth call only enters.
POINTS: dict[str, Instant] = {
    "the lease is taken": After("Lease.__enter__"),
    "the project knows the fencing number": After("Project.fence"),
    "the first page is listed": Before("Storage.list"),
    "an object is about to be read": Before("Storage.read", 2),
    "an object is read": After("Storage.read", 2),
    "the ledger knows the source": After("Ledger.enter_source"),
    "the first batch is about to be announced": Before("Ledger.enter", 1),
    "the first batch is announced and not committed": After("ledger.enter_changes", 1),
    "the first batch is announced and not sent": After("Ledger.enter", 1),
    "the first batch is sent and not committed": After("embedded.insert_rows", 1),
    "the first batch is in the project and not in the ledger": After("Project.import_tasks", 1),
    "the first batch is entered and not committed": After("ledger.enter_changes", 2),
    "the first batch is entered and the second announced": After("Ledger.enter", 2),
    "the second batch is about to be sent": Before("Project.import_tasks", 2),
    "the second batch is in the project and not in the ledger": After("Project.import_tasks", 2),
    "the listing has ended": After("Storage.list"),
    "the last batch is announced and not sent": After("Ledger.enter", 3),
    "the last batch is in the project and not in the ledger": After("Project.import_tasks", 3),
    "the last batch is about to be entered": Before("Ledger.enter", 4),
    "the last batch is entered and not committed": After("ledger.enter_changes", 4),
    "the last batch is entered": After("Ledger.enter", 4),
    "the lease is about to be given back": Before("Lease.__exit__"),
    "the lease is given back": After("Lease.__exit__"),
}


@dataclass(frozen=True)
class Database:
    """What stands in a database after an import."""

    engine: Engine
    project: EmbeddedProject
    location: Location

    def tasks(self) -> Counter[tuple[str, int, str]]:
        """Count the tasks by key, row and text."""
        with self.engine.connect() as connection:
            found = connection.execute(select(TASK.c.data, TASK.c.meta).where(TASK.c.project == self.project.id))
            return Counter((_key(meta), meta["labelsync"]["row"], data["text"]) for data, meta in found)

    def labels(self) -> tuple[int, int]:
        """Count the annotations and the predictions."""
        of_project = select(TASK.c.id).where(TASK.c.project == self.project.id)
        with self.engine.connect() as connection:
            annotations, predictions = (
                connection.scalar(select(func.count()).select_from(table).where(table.c.task.in_(of_project)))
                for table in (ANNOTATION, PREDICTION)
            )
        return annotations or 0, predictions or 0

    def journal(self) -> list[JournalEntry]:
        """Return the effects of which the outcome is not known."""
        return ImportLedger(self.engine, self.project.uri, self.location, confirm=lambda _: None).journal()


@contextmanager
def opened(run: Run) -> Iterator[Database]:
    engine = open_database(run.database)
    try:
        yield Database(engine, EmbeddedStore(engine).project(run.project), run.place.open(run.prefix).location)
    finally:
        engine.dispose()


def create_project(url: str, title: str = "P") -> None:
    engine = open_database(url)
    EmbeddedStore(engine).create_project(title, LABELS)
    engine.dispose()


def copied(run: Run, name: object) -> Run:
    """The same run on a state of its own: a copy of the SQLite database, or an empty project in PostgreSQL's."""
    if run.database.startswith("sqlite"):
        return copy_database(run, name)
    title = f"P {name}"
    create_project(run.database, title)
    return replace(run, project=title)


def _key(meta: dict[str, Any]) -> str:
    return str(meta["labelsync"]["uri"]).partition("in/")[2]


def tasks_of(rows: dict[tuple[str, int], str]) -> Counter[tuple[str, int, str]]:
    return Counter((*row, text) for row, text in rows.items())


def assert_each_row_is_one_task(run: Run) -> None:
    with opened(run) as database:
        assert database.tasks() == tasks_of(ROWS)
        assert database.labels() == (1, 2)
        assert database.journal() == []


def assert_nothing_is_left_to_do(run: Run) -> None:
    report = run()
    assert (report.unchanged, report.new, report.changed, report.missing) == (len(ROWS), 0, 0, 0)
    assert (report.tasks_created, report.tasks_updated, report.tasks_deleted) == (0, 0, 0)
    prefix = run.place.open(run.prefix).location.prefix
    assert [(failure.key.removeprefix(prefix), failure.row) for failure in report.quarantine] == QUARANTINE
    assert report.quarantined == len(QUARANTINE)


@pytest.fixture
def run(database_url: str, place: Any) -> Run:
    """An import of `FILES` into a new project."""
    for key, content in FILES.items():
        place.put(f"in/{key}", content)
    create_project(database_url)
    return Run(database_url, place, "in/", OPTIONS)


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_process_that_forks_the_runs_has_no_thread_that_they_would_lack() -> None:
    assert Child(threads_of_the_server).result() == 1


@on_sqlite
@at_each(POINTS)
def test_a_run_killed_when(point: Instant, run: Run) -> None:
    assert killed(run, point)
    run.when_free()
    assert_each_row_is_one_task(run)
    assert_nothing_is_left_to_do(run)


@on_sqlite
def test_a_run_killed_at_every_commit(run: Run) -> None:
    runs = killed_at_every_commit(run, copied)
    at_once(Run.when_free, runs)
    at_once(assert_each_row_is_one_task, runs)
    at_once(assert_nothing_is_left_to_do, runs)


@on_sqlite
def test_the_second_run_killed_at_every_commit_too(run: Run) -> None:
    assert killed(run, After("Project.import_tasks", 2))
    runs = killed_at_every_commit(run, copied)
    at_once(Run.when_free, runs)
    at_once(assert_each_row_is_one_task, runs)
    at_once(assert_nothing_is_left_to_do, runs)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_runs_on_postgresql_killed_one_after_the_other(run: Run) -> None:
    for point in (
        After("Ledger.enter", 1),
        After("ledger.enter_changes", 1),
        After("Project.import_tasks", 1),
        After("ledger.enter_changes", 2),
        Before("Lease.__exit__"),
    ):
        assert killed(run.when_free, point)
    run.when_free()
    assert_each_row_is_one_task(run)
    assert_nothing_is_left_to_do(run)


@on_sqlite
@pytest.mark.parametrize("on_changed", ["update", "add"])
def test_a_run_with_changed_and_missing_rows_killed_at_every_commit(on_changed: Any, run: Run) -> None:
    run()
    run.place.delete("in/1-one.json")
    run.place.put("in/2-array.json", [{"text": "array 0"}, {"text": "array 1, changed"}, {"text": "array 2"}])
    run.place.put("in/3-malformed.json", {"text": "mended"})
    run.place.put("in/7-new.json", {"text": "new"})
    run = run.with_options(on_changed=on_changed, on_missing="delete", max_delete=1)

    rows = ROWS | {("2-array.json", 1): "array 1, changed", ("3-malformed.json", 0): "mended", ("7-new.json", 0): "new"}
    del rows["1-one.json", 0]
    tasks = tasks_of(rows)
    if on_changed == "add":
        tasks["2-array.json", 1, "array 1"] = 1  # the task of the older version stays

    runs = killed_at_every_commit(run, copied)
    at_once(Run.when_free, runs)
    for each in runs:
        with opened(each) as database:
            assert database.tasks() == tasks
            assert database.journal() == []
        report = each()
        assert (report.unchanged, report.new, report.changed, report.missing) == (len(rows), 0, 0, 0)
        assert (report.tasks_created, report.tasks_updated, report.tasks_deleted) == (0, 0, 0)
        assert report.quarantined == 2


@on_sqlite
@pytest.mark.parametrize(("place", "instants"), RANDOM_INSTANTS.items(), ids=RANDOM_INSTANTS, indirect=["place"])
def test_a_run_killed_at_random_instants(run: Run, instants: int) -> None:
    seed = random.randrange(1 << 32)
    for file in range(MANY):
        run.place.put(f"in/many/{file:03}.json", [{"text": f"{file}/{row}"} for row in range(10)])
    expected = tasks_of(ROWS | {(f"many/{f:03}.json", row): f"{f}/{row}" for f in range(MANY) for row in range(10)})
    run = run.with_options(batch_size=25)

    def share_done(run: Run) -> float:
        with opened(run) as database:
            return database.tasks().total() / expected.total()

    runs = killed_at_random_instants(lambda number: copied(run, number), instants, seed, share_done)
    at_once(Run.when_free, runs)
    for each in runs:
        with opened(each) as database:
            assert database.tasks() == expected, f"seed {seed}"
            assert database.journal() == [], f"seed {seed}"
        report = each()
        assert (report.unchanged, report.new) == (expected.total(), 0), f"seed {seed}"
        assert report.quarantined == len(QUARANTINE), f"seed {seed}"
