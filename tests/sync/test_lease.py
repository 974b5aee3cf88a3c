"""One writer: two runs at once, runs that were killed, and runs that were paused past their lease."""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killing import After, Before, Child, Instant, Run, killed, patiently, paused
from places import Directory, content
from servers.postgres import PostgresServer
from sqlalchemy import Engine, inspect, select, text, update

from labelsync_provider.database import open_database, writing
from labelsync_provider.errors import LeaseHeld, LeaseLost
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import ANNOTATION, TASK
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync import ExportOptions, ImportOptions, ImportReport, Owner

pytest_plugins = ["servers.postgres"]

FILES = 6
SHORT, LONG = 0.3, 60.0

IMPORT = ImportOptions(batch_size=2, max_in_flight=2, lease_seconds=SHORT, wait_for_lease=0)
EXPORT = ExportOptions(wait_for_lease=0, batch_size=2, max_in_flight=1, lease_seconds=SHORT)

on_each_import_step = pytest.mark.parametrize(
    "instant",
    [
        Before("Ledger.enter", 1),
        Before("Project.import_tasks", 1),
        Before("Ledger.enter", 2),
        Before("Project.import_tasks", 2),
        Before("Ledger.enter", 4),
    ],
    ids=str,
)
on_each_export_step = pytest.mark.parametrize(
    "instant",
    [
        Before("Ledger.enter_exports", 1),
        Before("Storage.write", 1),
        Before("Ledger.enter_exports", 2),
        Before("Storage.write", 4),
        Before("Ledger.enter_exports", 5),
    ],
    ids=str,
)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def rows(run: Run) -> Counter[str]:
    """Count the tasks by what they say."""
    with opened(run.database) as engine, engine.connect() as connection:
        return Counter(data["text"] for data in connection.scalars(select(TASK.c.data)))


def tables(run: Run) -> dict[str, list[str]]:
    """Return all that stands in the database, but for the lease's time of expiry."""
    with opened(run.database) as engine, engine.connect() as connection:
        names = [name for name in inspect(engine).get_table_names() if name != "labelsync_lease"]
        return {name: sorted(map(str, connection.execute(text(f"SELECT * FROM {name}")))) for name in names}


@pytest.fixture
def old(database_url: str, source: Any) -> Run:
    """An import of `FILES` files, three batches, into a new project."""
    for number in range(FILES):
        source.put(f"{number}.json", {"text": f"file {number}"})
    with opened(database_url) as engine:
        EmbeddedStore(engine).create_project("P", "<View/>")
    return Run(database_url, Directory(source.root), "in/", IMPORT, owner="the old run")


@pytest.fixture
def new(old: Run) -> Run:
    """The same import, as another run."""
    return replace(old, owner="the new run").with_options(lease_seconds=LONG)


@pytest.fixture
def old_export(old: Run, target: Any) -> Run:
    """An export of `FILES` annotations to an empty target."""
    with opened(old.database) as engine:
        labeled = [Task({"text": str(n)}, annotations=[{"result": [{"value": n}]}]) for n in range(FILES)]
        EmbeddedStore(engine).project("P").import_tasks(labeled)
    return replace(old, prefix="out/", options=EXPORT)


@pytest.fixture
def new_export(old_export: Run) -> Run:
    """The same export, as another run."""
    return replace(old_export, owner="the new run").with_options(lease_seconds=LONG)


EACH_ROW_ONCE = Counter(f"file {number}" for number in range(FILES))


class TestTwoRunsAtOnce:
    def test_the_second_says_who_holds_the_lease(self, old: Run, new: Run) -> None:
        with paused(new, Before("Project.import_tasks")) as child:
            with pytest.raises(LeaseHeld, match="the new run"):
                old()
            child.wake()
            assert child.result().tasks_created == FILES
        assert rows(new) == EACH_ROW_ONCE

    def test_the_second_export_says_who_holds_the_lease(self, old_export: Run, new_export: Run) -> None:
        with paused(new_export, Before("Storage.write")) as child:
            with pytest.raises(LeaseHeld, match="the new run"):
                old_export()
            child.wake()
            assert child.result().written == FILES

    def test_started_together_add_nothing_twice(self, new: Run, source: Any) -> None:
        """The second is refused, unless the database made it wait for its turn until the first had ended."""
        source.put("many.json", [{"text": f"row {row}"} for row in range(200)])
        begin = Before("Lease.__enter__")
        first, second = replace(new, owner="the first run"), replace(new, owner="the second run")
        with paused(first, begin) as one, paused(second, begin) as other:
            one.wake()
            other.wake()
            outcomes = [one.outcome(), other.outcome()]
        refused = [outcome.error for outcome in outcomes if outcome.error]
        worked = [outcome.result for outcome in outcomes if isinstance(outcome.result, ImportReport)]
        assert all(isinstance(error, LeaseHeld) for error in refused), refused
        assert sorted(report.tasks_created for report in worked) == [0] * (len(worked) - 1) + [FILES + 200]
        assert rows(new) == EACH_ROW_ONCE + Counter(f"row {row}" for row in range(200))

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    def test_the_very_first_two_too(self, old: Run, new: Run, postgres: PostgresServer) -> None:
        """No row of the lease is there yet that the second could wait for; it waits for the first one's insert."""
        create_tables = replace(new, project="another")
        with opened(new.database) as engine:
            EmbeddedStore(engine).create_project("another", "<View/>")
        create_tables()
        with paused(new, Before("database.do_commit")) as first:
            second = Child(old)
            for _ in patiently("the second run does not wait"):
                if postgres.scalar("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                    break
            first.wake()
            with pytest.raises(LeaseHeld, match="the new run"):
                second.result()
            assert first.result().tasks_created == FILES

    def test_imports_from_two_sources_meet_in_their_project(self, old: Run, new: Run, folder: Any) -> None:
        folder("elsewhere").put("a.json", {"text": "elsewhere"})
        with paused(new, Before("Project.import_tasks")), pytest.raises(LeaseHeld, match="the new run"):
            replace(old, prefix="elsewhere/")()

    def test_imports_of_two_projects_do_not_meet(self, old: Run, new: Run) -> None:
        with opened(old.database) as engine:
            EmbeddedStore(engine).create_project("another", "<View/>")
        with paused(new, Before("Project.import_tasks")) as child:
            assert replace(old, project="another")().tasks_created == FILES
            child.wake()
            assert child.result().tasks_created == FILES


class TestWaiting:
    """For another import into the same project, with `wait_for_lease`."""

    FIRST = Owner("task 'load' of DAG 'pets', run 'r', map index 3, try 1", "load of pets, r, 3")

    def test_goes_on_once_the_other_has_ended_and_names_it_in_the_log(
        self, new: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "labelsync_provider")
        first, waiting = replace(new, owner=self.FIRST), new.with_options(wait_for_lease=60)
        with paused(first, Before("Project.import_tasks")) as child, ThreadPoolExecutor(1) as pool:
            second = pool.submit(waiting)
            for _ in patiently("the second run does not wait"):
                if "Waiting up to 60 s" in caplog.text:
                    break
            assert not second.done()
            child.wake()
            assert child.result().tasks_created == FILES
            assert second.result().unchanged == FILES
        (said,) = [record.getMessage() for record in caplog.records if "Waiting" in record.getMessage()]
        assert "map index 3, try 1 is at it now" in said
        assert rows(new) == EACH_ROW_ONCE

    def test_ends_with_an_error_that_names_the_other_when_the_time_is_over(self, new: Run) -> None:
        with paused(replace(new, owner=self.FIRST), Before("Project.import_tasks")) as child:
            started = time.monotonic()
            with pytest.raises(LeaseHeld, match=r"map index 3, try 1 is at it now"):
                new.with_options(wait_for_lease=0.5)()
            assert time.monotonic() - started > 0.5
            child.wake()
            assert child.result().tasks_created == FILES

    def test_takes_over_from_a_run_that_was_killed_once_its_lease_has_expired(self, old: Run, new: Run) -> None:
        assert killed(old.with_options(lease_seconds=1), Before("Project.import_tasks"))
        assert new.with_options(wait_for_lease=60)().tasks_created == FILES
        assert rows(new) == EACH_ROW_ONCE

    def test_is_an_hour_by_default(self) -> None:
        assert ImportOptions().wait_for_lease == 3600


class TestALaterTry:
    """Of the same task instance: Airflow has given the earlier one up."""

    @staticmethod
    def tries(run: Run) -> list[Run]:
        return [replace(run, owner=Owner(f"the task, try {number}", "the task")) for number in (1, 2)]

    def test_takes_over_at_once_from_one_that_was_killed(self, new: Run, caplog: pytest.LogCaptureFixture) -> None:
        first, second = self.tries(new)
        assert killed(first, After("Project.import_tasks", 2))
        report = second()
        assert "taking over the lease that the task, try 1 left behind" in caplog.text
        assert (report.unchanged, report.new) == (4, FILES - 4)
        assert rows(new) == EACH_ROW_ONCE

    @on_each_import_step
    def test_takes_over_at_once_from_one_that_still_runs_and_writes_no_more(self, instant: Instant, new: Run) -> None:
        first, second = self.tries(new)
        with paused(first, instant) as child:
            second()
            child.wake()
            with pytest.raises(LeaseLost, match=r"another run has taken over"):
                child.result()
        assert rows(new) == EACH_ROW_ONCE
        assert second().unchanged == FILES

    def test_does_not_take_over_from_another_task_instance(self, new: Run) -> None:
        first, _ = self.tries(new)
        mapped = Owner("the task, map index 1, try 2", "the task, map index 1")
        with paused(first, Before("Project.import_tasks")):
            for other in (mapped, Owner("somebody without a task instance")):
                with pytest.raises(LeaseHeld, match="the task, try 1"):
                    replace(new, owner=other)()


class TestAKilledRun:
    def test_holds_its_lease_until_it_expires(self, old: Run, new: Run) -> None:
        old = old.with_options(lease_seconds=2)
        assert killed(old, Before("Project.import_tasks"))
        with pytest.raises(LeaseHeld, match=r"the old run.* expires in \d s"):
            new()
        assert new.when_free().tasks_created == FILES
        assert rows(new) == EACH_ROW_ONCE

    def test_holds_the_lease_of_its_export_until_it_expires(self, old_export: Run, new_export: Run) -> None:
        old_export = old_export.with_options(lease_seconds=2)
        assert killed(old_export, Before("Storage.write"))
        with pytest.raises(LeaseHeld, match=r"the old run.* expires in \d s"):
            new_export()
        assert new_export.when_free().written == FILES


class TestAPausedRun:
    @on_each_import_step
    def test_loses_its_lease_and_writes_no_more(self, instant: Instant, old: Run, new: Run) -> None:
        with paused(old, instant) as child:
            new.when_free()
            assert rows(new) == EACH_ROW_ONCE
            before = tables(new)
            child.wake()
            with pytest.raises(LeaseLost, match=r"another run has taken over"):
                child.result()
        assert tables(new) == before
        report = new()
        assert (report.unchanged, report.new) == (FILES, 0)

    def test_goes_on_when_nobody_took_over(self, old: Run) -> None:
        with paused(old, Before("Project.import_tasks", 2)) as child:
            time.sleep(SHORT)  # nothing tells that a lease has expired, but another run that takes it
            child.wake()
            assert child.result().tasks_created == FILES
        assert rows(old) == EACH_ROW_ONCE

    def test_that_wakes_before_the_new_run_has_fenced_it_off_adds_nothing_twice(self, old: Run, new: Run) -> None:
        with (
            paused(old, Before("Project.import_tasks")) as late,
            paused(new.when_free, Before("Project.fence")) as child,
        ):
            late.wake()
            with pytest.raises(LeaseLost):
                late.result()
            assert rows(new).total() == 2  # its batch arrived, and is not in the ledger
            child.wake()
            report = child.result()
        assert (report.new, report.unchanged) == (FILES - 2, 2)
        assert rows(new) == EACH_ROW_ONCE

    @on_each_export_step
    def test_loses_the_lease_of_its_export_and_enters_no_more(
        self, instant: Instant, old_export: Run, new_export: Run
    ) -> None:
        with paused(old_export, instant) as child:
            new_export.when_free()
            before = tables(new_export)
            child.wake()
            with pytest.raises(LeaseLost, match="another run has taken over"):
                child.result()
        assert tables(new_export) == before
        report = new_export()
        assert report.annotations == FILES
        assert len(content(new_export.place, new_export.prefix)) == FILES

    def test_that_would_create_what_a_newer_run_has_written_does_not_overwrite_it(
        self, old_export: Run, new_export: Run
    ) -> None:
        with paused(old_export, Before("Storage.write")) as child:
            label(new_export, "newer")
            new_export.when_free()
            child.wake()
            with pytest.raises(LeaseLost):
                child.result()
        assert values(new_export) == {"newer"}
        assert new_export().unchanged == FILES

    def test_that_overwrites_a_newer_object_is_put_right_by_the_next_run(
        self, old_export: Run, new_export: Run
    ) -> None:
        new_export()
        label(new_export, "older")
        with paused(old_export, Before("Storage.write")) as child:
            label(new_export, "newer")
            new_export.when_free()
            child.wake()
            with pytest.raises(LeaseLost):
                child.result()
        assert values(new_export) != {"newer"}  # a storage cannot refuse the late writer
        new_export()
        assert values(new_export) == {"newer"}
        assert new_export().unchanged == FILES


def label(run: Run, value: str) -> None:
    with opened(run.database) as engine, writing(engine) as connection:
        connection.execute(update(ANNOTATION).values(result=[{"value": value}]))


def values(run: Run) -> set[Any]:
    return {json.loads(written)["result"][0]["value"] for written in content(run.place, run.prefix).values()}


class TestALongRun:
    def test_renews_its_lease_while_it_works(self, old: Run, new: Run, tmp_path: Path) -> None:
        seconds = 1.0  # long enough for a machine that stalls now and then
        gate = tmp_path / "gate"
        old = old.with_options(lease_seconds=seconds)
        child = Child(old, Before("Project.import_tasks"), gate)
        for _ in patiently("the run did not begin"):
            if gate.with_suffix(".reached").exists():
                break
        deadline = time.monotonic() + 3 * seconds
        while time.monotonic() < deadline:
            with pytest.raises(LeaseHeld, match="the old run"):
                new()
        gate.touch()
        assert child.result().tasks_created == FILES
        assert rows(old) == EACH_ROW_ONCE

    def test_gives_its_lease_back_at_the_end(self, new: Run) -> None:
        new()
        assert replace(new, owner="the next run")().unchanged == FILES

    def test_gives_its_lease_back_when_it_fails(self, new: Run, source: Any) -> None:
        source.put("bad.json", "{")
        failing = new.with_options(max_quarantined=0)
        for _ in range(2):
            with pytest.raises(Exception, match="In quarantine"):
                failing()
