"""Tasks that somebody has deleted from the project: when they are looked for, which count, and what is said."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from importing import Importing, some, texts
from model.bucket import Bucket
from model.fake_project import Clock, FakeProject, Process
from model.worlds import EmbeddedWorld, FakeWorld, LabelStudioWorld
from servers.label_studio import LabelStudioServer
from sqlalchemy import Engine, select, update

from labelsync_provider.database import writing
from labelsync_provider.errors import TooManyMissing
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.server import LabelStudioServer as Projects
from labelsync_provider.projects.protocol import StoredTask
from labelsync_provider.sync import Runtime
from labelsync_provider.sync.importing.deleted_by_hand import compared
from labelsync_provider.sync.ledger.records import LiveTask
from labelsync_provider.sync.ledger.tables import ROW, STORAGE

pytest_plugins = ["servers.label_studio"]

HOUR = 3600


class Deleting(Importing):
    """Imports, and a person who deletes tasks; the clock is the runs' own."""

    def __init__(self, world: Any, engine: Engine, clock: Clock) -> None:
        runtime = Runtime(now=clock, renews_leases=False)
        super().__init__(Bucket(), world, engine, runtime)
        self.clock = clock

    def delete(self, *texts: str) -> None:
        for text in texts:
            self.world.delete(self.task(text))

    def sources(self) -> dict[str, tuple[Any, ...]]:
        """Return what is noted of the project's tasks, by where each source begins."""
        noted = select(STORAGE.c.start, STORAGE.c.project_tasks, STORAGE.c.looked_at)
        with self.engine.connect() as connection:
            return {start: tuple(rest) for start, *rest in connection.execute(noted)}

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return sorted(map(tuple, connection.execute(select(ROW))))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(engine: Engine, clock: Clock) -> Deleting:
    run = Deleting(FakeWorld(clock, reuses_ids=True), engine, clock)
    run.put("a.json", texts("1", "2", "3"))
    run.put("b.json", texts("4"))
    run()
    return run


def add_by_hand(run: Deleting) -> None:
    run.world.server.add({"text": "by hand"})  # type: ignore[attr-defined]


def a_day_passes(run: Deleting) -> None:
    run.clock.sleep(25 * HOUR)


def supersede(run: Deleting) -> None:
    """Have one more task stand for the rows of `b.json`; the first is known as superseded."""
    run.put("b.json", texts("four"))
    run(on_changed="add")


def update_what_is_gone(run: Deleting) -> None:
    """Have the ledger know that the task of `b.json` is gone."""
    run.delete("4")
    run.put("b.json", texts("four"))
    run(on_changed="update")


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        ([], 0),
        (["1"], 1),
        (["1", "4"], 2),
        (["1", "2", "3", "4"], 4),
        (["1", add_by_hand], 0),
        (["1", add_by_hand, a_day_passes], 1),
        ([a_day_passes], 0),
        ([lambda run: run.source.delete("a.json"), "1"], 1),
        ([supersede, "4"], 0),
        ([supersede, "four"], 1),
        ([update_what_is_gone, a_day_passes], 0),
        ([lambda run: run.put("c.json", texts("5")), "1"], 1),
        ([lambda run: run.world.annotate(run.task("1")), "1"], 1),
    ],
    ids=[
        "nothing",
        "a task is deleted",
        "tasks of two objects are deleted",
        "all are deleted",
        "one is deleted and another added: the count is the same",
        "the same, and a day passes",
        "a day passes",
        "a task is deleted whose object is gone",
        "a superseded task is deleted",
        "the task that superseded it is deleted",
        "the ledger knows already that it is gone",
        "a task is deleted and an object is new",
        "an annotated task is deleted",
    ],
)
def test_counts(run: Deleting, happens: list[str | Callable[[Deleting], None]], expected: int) -> None:
    for what in happens:
        run.delete(what) if isinstance(what, str) else what(run)
    assert [run(dry_run=dry_run).deleted_by_hand for dry_run in (True, False)] == [expected, expected]


class TestLook:
    def test_is_not_made_without_a_reason(self, run: Deleting, monkeypatch: pytest.MonkeyPatch) -> None:
        run.clock.sleep(23 * HOUR)
        monkeypatch.setattr(FakeProject, "tasks_after", None)
        assert some(run()) == {"unchanged": 4}

    def test_is_made_once_for_what_was_deleted(self, run: Deleting) -> None:
        run.delete("1")
        assert [run().deleted_by_hand for _ in range(2)] == [1, 0]
        a_day_passes(run)
        assert [run().deleted_by_hand for _ in range(2)] == [1, 0]

    def test_is_made_at_once_with_the_ledger_of_an_older_version(self, run: Deleting) -> None:
        run.delete("1")
        with writing(run.engine) as connection:
            connection.execute(update(STORAGE).values(project_tasks=None, looked_at=0))
        assert run().deleted_by_hand == 1

    def test_is_not_made_again_by_a_run_after_one_that_failed(self, run: Deleting) -> None:
        run.delete("1")
        run.source.delete("a.json")
        for deleted in (1, 0):
            with pytest.raises(TooManyMissing, match=r"deleted by hand 1|missing 3") as raised:
                run(on_missing="delete", max_delete=0)
            assert ("deleted by hand" in str(raised.value)) == deleted

    def test_changes_nothing_in_the_ledger(self, run: Deleting) -> None:
        before = run.rows()
        run.delete("1", "2")
        run()
        assert run.rows() == before

    def test_of_a_dry_run_leaves_it_to_the_next_run(self, run: Deleting) -> None:
        before = run.sources()
        run.delete("1")
        run(dry_run=True)
        assert run.sources() == before

    def test_is_spared_where_deleted_tasks_are_restored(self, run: Deleting) -> None:
        run.delete("1")
        report = run(restore_deleted=True)
        assert some(report) == {"unchanged": 3, "new": 1, "tasks_created": 1}
        assert run.sources()[""][0] == 4
        assert some(run()) == {"unchanged": 4}


class TestSeveralSources:
    """Of one project: each has to see what it lost, and none takes the tasks of another for additions."""

    @pytest.fixture
    def run(self, engine: Engine, clock: Clock) -> Deleting:
        run = Deleting(EmbeddedWorld(engine), engine, clock)
        run.put("a/1.json", texts("a1", "a2"))
        run.put("b/1.json", texts("b1"))
        run("a/")
        run("b/")
        return run

    def test_know_how_many_tasks_the_project_has_after_the_last_import(self, run: Deleting) -> None:
        assert {start: noted[0] for start, noted in run.sources().items()} == {"a/": 3, "b/": 3}

    def test_do_not_hide_from_each_other_what_was_deleted(self, run: Deleting) -> None:
        run.delete("a1")
        run.put("b/2.json", texts("b2", "b3"))
        assert [run(prefix).deleted_by_hand for prefix in ("b/", "a/")] == [0, 1]

    def test_do_not_count_what_another_has_deleted(self, run: Deleting, monkeypatch: pytest.MonkeyPatch) -> None:
        run.source.delete("b/1.json")
        run.put("b/2.json", texts("b2"))
        assert run("b/", on_missing="delete").tasks_deleted == 1
        monkeypatch.setattr(EmbeddedProject, "tasks_after", None)
        assert some(run("a/")) == {"unchanged": 2}

    def test_at_one_place_are_looked_at_together(self, run: Deleting) -> None:
        run.put("a/1.jpg", "a picture")
        run("a/", regex_filter=".*jpg", use_blob_urls=True)
        run.delete("a1")
        assert run("a/", regex_filter=".*jpg", use_blob_urls=True).deleted_by_hand == 1


class TestLog:
    def said(self, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
        return [(one.levelname, one.getMessage()) for one in caplog.records if "restore_deleted" in one.getMessage()]

    def test_names_two_objects(self, run: Deleting, caplog: pytest.LogCaptureFixture) -> None:
        run.delete("1", "2", "4")
        with caplog.at_level("INFO"):
            run()
        ((level, said),) = self.said(caplog)
        assert level == "INFO"
        assert "has deleted 3 of 4 tasks from mem://bucket/" in said
        assert "those of a.json and b.json among them" in said

    def test_warns_if_all_are_gone(self, run: Deleting, caplog: pytest.LogCaptureFixture) -> None:
        run.delete("1", "2", "3", "4")
        run()
        ((level, said),) = self.said(caplog)
        assert level == "WARNING"
        assert said.startswith("All tasks from mem://bucket/, 4 of them, are gone from project ")
        assert said.endswith("run once with restore_deleted=True.")

    def test_says_nothing_if_none_is(self, run: Deleting, caplog: pytest.LogCaptureFixture) -> None:
        a_day_passes(run)
        with caplog.at_level("INFO"):
            run()
        assert not self.said(caplog)


@pytest.mark.parametrize(
    ("known", "tasks", "there"),
    [
        ([1, 2, 3], [1, 2, 3], [1, 2, 3]),
        ([1, 2, 3], [], []),
        ([1, 2, 3], [2], [2]),
        ([2], [1, 3], []),
        ([2, 5], [1, 2, 3, 4, 5, 6], [2, 5]),
        ([5, 6], [1, 2], []),
    ],
)
def test_rows_are_compared_with_the_tasks_in_one_go(known: list[int], tasks: list[int], there: list[int]) -> None:
    rows, stored = [LiveTask(task, f"{task}.jpg") for task in known], iter([StoredTask(task, {}, {}) for task in tasks])
    found = compared(rows, stored, lambda uri: uri)
    assert [row.task for row, is_there in found if is_there] == there


@pytest.mark.parametrize(
    ("meta", "is_there"),
    [
        ({"labelsync": {"uri": "s3://bucket/1.jpg"}}, True),
        ({"labelsync": {"uri": "s3://bucket/2.jpg"}}, False),
        ({}, True),
        ({"labelsync": "somebody else's"}, True),
    ],
    ids=["made from the object", "made from another", "without a source reference", "with what is none"],
)
def test_an_id_that_was_given_again_is_another_task(meta: dict[str, Any], is_there: bool) -> None:
    ((_, found),) = compared(
        [LiveTask(7, "1.jpg")], iter([StoredTask(7, meta, {})]), lambda uri: uri.removeprefix("s3://bucket/")
    )
    assert found == is_there


class TestLabelStudio:
    @pytest.fixture
    def run(self, label_studio: LabelStudioServer, engine: Engine, clock: Clock) -> Iterator[Deleting]:
        number = label_studio.create_project()
        projects = Projects(Client(label_studio.url, label_studio.token))
        with label_studio.client() as client:
            world = LabelStudioWorld(client, number, lambda: projects.project(number))
            # Past what the model puts around a project, which hides the requests.
            world.open = lambda _: projects.project(number)  # type: ignore[assignment, method-assign, return-value]
            yield Deleting(world, engine, clock)

    def test_is_seen_by_the_count_of_its_opening(self, run: Deleting) -> None:
        run.put("a.json", texts("1", "2", "3"))
        run()
        assert not run().requests, "the usual run asks for nothing"
        run.delete("2")
        report = run()
        assert some(report) == {"unchanged": 3, "deleted_by_hand": 1}
        assert report.requests == {"GET projects": 1, "GET tasks": 1}
        run.delete("1", "3")
        assert run().deleted_by_hand == 3

    def test_is_not_looked_for_because_another_import_came_first(self, run: Deleting) -> None:
        """Mapped imports open the project at once, and wait for each other."""
        run.put("a/1.json", texts("1", "2"))
        run.put("b/1.json", texts("3"))
        opened = [run.world.open(Process()) for _ in range(2)]
        run.world.open = lambda process: opened.pop()  # type: ignore[method-assign]
        run("a/")
        run("b/")
        assert {start: noted[0] for start, noted in run.sources().items()} == {"a/": 3, "b/": 3}
