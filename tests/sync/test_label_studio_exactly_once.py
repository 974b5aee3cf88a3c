"""Import into a Label Studio server whose answers come late or never, by runs that are killed: a row is one task."""

import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killing import After, Before, Child, Instant, OnServer, Run, at_each, killed, patiently, paused
from places import Directory
from servers.chaos import Chaos, running_chaos
from servers.label_studio import LabelStudioServer
from sqlalchemy import select, update

from labelsync_provider.database import open_database, writing
from labelsync_provider.errors import Invalid, LeaseLost, Unavailable
from labelsync_provider.projects.label_studio import queries
from labelsync_provider.sync import ImportOptions
from labelsync_provider.sync.importing import applying, reconciling, sending
from labelsync_provider.sync.importing.batch_size import BatchSize
from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import JournalEntry
from labelsync_provider.sync.ledger.tables import JOURNAL, ROW

pytest_plugins = ["servers.label_studio"]

Found = list[dict[str, Any]]

# So many rows in so many batches are enough for what is done to each batch.
FILES, ROWS_IN_A_FILE, BATCHES = 8, 10, 4
BATCH = FILES * ROWS_IN_A_FILE // BATCHES
OPTIONS = ImportOptions(batch_size=BATCH, max_in_flight=2, lease_seconds=0.1)

# Looks for a batch that may have arrived end sooner than those of a run that has time.
LOOKS = (0.0, 0.2, 0.6)
# Seconds. Held back so long, a request comes while it is looked for; or it comes when a test lets it go.
READ, HELD, UNTIL_LET_GO = 1.0, 1.5, 60.0


@pytest.fixture(autouse=True)
def _batches_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done to each batch is counted: none is smaller because of what was done to the one before."""
    monkeypatch.setattr(BatchSize, "after_answer", lambda size, *_: size)
    monkeypatch.setattr(BatchSize, "after_failure", lambda size, *_: size)


def no_faults(chaos: Chaos) -> None:
    chaos.slow_down = chaos.reset = chaos.truncate = chaos.reset_before = 0
    chaos.swallow = chaos.bad_gateway = chaos.delay_request = chaos.delay_answer = 0


def is_import(method: str, path: str) -> bool:
    return method == "POST" and "/import" in path


class Posts:
    """Counts the batches that are posted, and picks some to be spoiled."""

    def __init__(self, spoiled: Callable[[int], bool] = lambda _: True) -> None:
        """Pick by the number of the batch, from 1."""
        self._spoiled, self.count = spoiled, 0

    def __call__(self, method: str, path: str) -> bool:
        if not is_import(method, path):
            return False
        self.count += 1
        return self._spoiled(self.count)


def fill(place: Directory, files: int, rows: int) -> Counter[tuple[str, int, str]]:
    """Write task files with many rows each; return the tasks that they are to become."""
    for file in range(files):
        place.put(f"in/{file:03}.json", [{"text": text_of(file, row)} for row in range(rows)])
    return Counter((f"{f:03}.json", row, text_of(f, row)) for f in range(files) for row in range(rows))


def text_of(file: int, row: int) -> str:
    return f"What a lovely day it is to label row {row} of file {file}."


def found(server: LabelStudioServer, project: int) -> Found:
    """Return the tasks of a project by id, as the server has them."""
    tasks: Found = []
    with server.client() as client:
        for page in itertools.count(1):
            asked: dict[str, Any] = {
                "project": project,
                "page": page,
                "page_size": 1000,
                "include": "id,data,meta,total_annotations",
            }
            answer = client.get("/api/tasks/", params=asked).raise_for_status().json()
            tasks += answer["tasks"]
            if len(tasks) >= answer["total"]:
                return sorted(tasks, key=lambda task: task["id"])
    raise AssertionError


def key_of(task: dict[str, Any]) -> tuple[str, int, str]:
    note = task["meta"]["labelsync"]
    return note["uri"].partition("in/")[2], note["row"], task["data"]["text"]


def annotate(server: LabelStudioServer, task: int) -> None:
    result = [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
    with server.client() as client:
        client.post(f"/api/tasks/{task}/annotations/", json={"result": result}).raise_for_status()


def in_doubt(run: Run) -> list[JournalEntry]:
    """Return the effects of which the ledger does not say that they arrived."""
    engine = open_database(run.database)
    assert run.server
    location = run.place.open(run.prefix).location
    entries = ImportLedger(engine, run.server.open().uri, location, confirm=lambda _: None).journal()
    engine.dispose()
    return entries


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LOOKS_AFTER_SECONDS", LOOKS)
    monkeypatch.setattr(sending, "FAILED_SECONDS", 0.1)


class Project:
    """An empty project, reached through a proxy, and an import of task files into it."""

    def __init__(self, server: LabelStudioServer, chaos: Chaos, directory: Path) -> None:
        self.server, self.chaos = server, chaos
        self.id = server.create_project()
        directory.mkdir()
        self.place = Directory(directory)
        self.run = Run(
            f"sqlite:///{directory}.db",
            self.place,
            "in/",
            OPTIONS,
            server=OnServer(chaos.endpoint, server.token, self.id, read_seconds=READ),
        )

    def tasks(self) -> Counter[tuple[str, int, str]]:
        """Count the live tasks by key, row and text."""
        return Counter(map(key_of, found(self.server, self.id)))

    def text(self, key: str) -> str:
        """Return the text of the one task that was made from an object."""
        (task,) = [task for task in found(self.server, self.id) if key_of(task)[0] == key]
        return str(task["data"]["text"])

    def predictions(self, key: str) -> Found:
        """Return the predictions of that task."""
        (task,) = [task["id"] for task in found(self.server, self.id) if key_of(task)[0] == key]
        with self.server.client() as client:
            answer = client.get("/api/predictions/", params={"task": task}).raise_for_status().json()
            return list(answer)

    def count(self) -> int:
        """Count the live tasks."""
        with self.server.client() as client:
            answer = client.get("/api/tasks/", params={"project": self.id, "page_size": 1, "include": "id"})
            return int(answer.raise_for_status().json()["total"])

    def ids(self, row: tuple[str, int, str]) -> list[int]:
        """Return the tasks made from a row, lowest first."""
        return [task["id"] for task in found(self.server, self.id) if key_of(task) == row]

    def spoil(self, only: Callable[[str, str], bool] = is_import, **shares: float) -> None:
        """Spoil from now on what `only` picks."""
        no_faults(self.chaos)
        self.chaos.only = only
        for name, share in shares.items():
            setattr(self.chaos, name, share)

    def quietly(self) -> Any:
        """Run once more, when nothing is under way and nothing is spoiled."""
        no_faults(self.chaos)
        self.chaos.let_all_go()
        self.chaos.wait_until_idle()
        return self.run.when_free()

    def assert_each_row_is_one_task(self, rows: Counter[tuple[str, int, str]]) -> None:
        """Make sure of it; a run more finds nothing to do."""
        assert self.tasks() == rows
        report = self.quietly()
        assert (report.unchanged, report.new, report.changed, report.missing) == (rows.total(), 0, 0, 0)
        assert (report.tasks_created, report.tasks_deleted, report.quarantined) == (0, 0, 0)
        assert self.count() == rows.total()


@pytest.fixture
def chaos(server: LabelStudioServer) -> Iterator[Chaos]:
    with running_chaos(server.url, slow_down=0, reset=0, truncate=0) as chaos:
        yield chaos


@pytest.fixture
def server(label_studio: LabelStudioServer) -> LabelStudioServer:
    """The server of a test that one database is enough for."""
    return label_studio


on_either_database = pytest.mark.parametrize("server", ["label_studio", "label_studio_postgres"], indirect=True)
on_sqlite = pytest.mark.parametrize("server", ["label_studio"], indirect=True)


@pytest.fixture
def project(server: LabelStudioServer, chaos: Chaos, tmp_path: Path) -> Project:
    return Project(server, chaos, tmp_path / "root")


@pytest.fixture
def rows(project: Project) -> Counter[tuple[str, int, str]]:
    return fill(project.place, FILES, ROWS_IN_A_FILE)


# --- every fault at once ---

# What becomes of one request to import after the other.
FAULTS = ("swallow", None, "bad_gateway", "reset_before", None, "delay_request", "delay_answer", None)


def test_many_batches_through_every_fault(project: Project, chaos: Chaos, caplog: pytest.LogCaptureFixture) -> None:
    rows = fill(project.place, 40, 6)
    gets, faults, posts = itertools.count(), itertools.cycle(FAULTS), 0
    assert project.run.server is not None
    project.run = replace(project.run, server=replace(project.run.server, read_seconds=1.5, retry_seconds=60.0))
    project.run = project.run.with_options(batch_size=15, lease_seconds=60)

    def spoiled(method: str, path: str) -> bool:
        nonlocal posts
        no_faults(chaos)
        fault = None
        if is_import(method, path):
            posts, fault = posts + 1, next(faults)
        elif method == "GET" and next(gets) % 9 == 0:
            fault = "reset"
        if fault:
            setattr(chaos, fault, 1)
        return fault is not None

    chaos.delay = 4.0
    project.spoil(spoiled)
    for run in itertools.count(1):
        # What Airflow would do.
        try:
            project.run.when_free()
            break
        except Unavailable:
            assert run < 5
    seen = replace(chaos)
    project.spoil()
    project.quietly()
    project.assert_each_row_is_one_task(rows)
    doubled = sum(map(int, re.findall(r"arrived after all; (\d+) tasks", caplog.text)))
    looks = caplog.text.count("Read back")
    print(f"{run} runs, {posts} batches posted, {looks} times read back, {doubled} tasks were double, {seen}")
    assert looks >= 8
    assert doubled >= 15
    assert seen.resets - seen.lost >= 2
    assert min(seen.swallowed, seen.bad_gateways, seen.requests_delayed, seen.answers_delayed) >= 2


# --- one fault at a time ---

# Whether the server has done what was asked, when the client does not know.
DONE: dict[str, dict[str, float]] = {
    "swallowed": {"swallow": 1},
    "cut off": {"truncate": 1},
    "a gateway's": {"bad_gateway": 1},
    "held back": {"delay_answer": 1},
}
NOT_DONE: dict[str, dict[str, float]] = {
    "reset": {"reset_before": 1},
    "turned down by a gateway": {"slow_down": 1},
}


class TestOneFault:
    @pytest.fixture
    def server(self, request: pytest.FixtureRequest) -> LabelStudioServer:
        return request.getfixturevalue(request.param)

    @on_sqlite
    @pytest.mark.parametrize("fault", DONE.values(), ids=DONE)
    def test_no_batch_is_sent_again_whose_answer_is(
        self, fault: dict[str, float], project: Project, rows: Counter[Any]
    ) -> None:
        posts = Posts()
        project.spoil(posts, **fault, delay=READ + 0.3)
        report = project.run()
        assert (report.tasks_created, report.new) == (rows.total(), rows.total())
        assert posts.count == BATCHES
        # Whoever repeats a request that was answered may do so within the hour.
        assert [len(entry.effects) for entry in in_doubt(project.run) if entry.doubted_since] == [BATCH] * BATCHES
        project.assert_each_row_is_one_task(rows)

    @on_sqlite
    @pytest.mark.parametrize("fault", NOT_DONE.values(), ids=NOT_DONE)
    def test_every_batch_is_sent_again_whose_request_is(
        self, fault: dict[str, float], project: Project, rows: Counter[Any]
    ) -> None:
        posts = Posts(lambda number: number % 2 == 1)
        project.spoil(posts, **fault)
        report = project.run()
        assert (report.tasks_created, report.new) == (rows.total(), rows.total())
        assert posts.count == 2 * BATCHES
        assert [len(entry.effects) for entry in in_doubt(project.run)] == [BATCH] * BATCHES
        project.assert_each_row_is_one_task(rows)

    @on_sqlite
    def test_a_late_batch_is_found_while_it_is_looked_for(self, project: Project, rows: Counter[Any]) -> None:
        posts = Posts()
        project.spoil(posts, delay_request=1, delay=HELD)
        assert project.run().tasks_created == rows.total()
        assert posts.count == BATCHES
        project.assert_each_row_is_one_task(rows)

    @on_sqlite
    def test_a_batch_that_arrives_later_in_the_run_is_removed_at_its_end(
        self, project: Project, rows: Counter[Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def arrives_first(run: ImportRun) -> None:
            project.chaos.let_all_go()
            project.chaos.wait_until_idle()
            reconciling.deduplicate(run)

        monkeypatch.setattr(applying, "deduplicate", arrives_first)
        project.spoil(Posts(lambda number: number == 1), delay_request=1, delay=UNTIL_LET_GO)
        assert project.run().tasks_created == rows.total()
        assert project.chaos.requests_delayed == 1
        assert caplog.text.count("arrived after all") >= 1
        assert project.tasks() == rows
        project.assert_each_row_is_one_task(rows)

    @on_either_database
    def test_a_batch_that_arrives_after_the_run_is_removed_by_the_next(
        self, project: Project, rows: Counter[Any]
    ) -> None:
        before = late(project, rows)
        project.quietly()
        project.assert_each_row_is_one_task(rows)
        assert [task["id"] for task in found(project.server, project.id)] == before

    @on_sqlite
    def test_of_a_double_task_the_annotated_one_is_kept(self, project: Project, rows: Counter[Any]) -> None:
        late(project, rows)
        doubled = [row for row, times in project.tasks().items() if times == 2]
        (_, late_one), (other_one, _) = project.ids(doubled[3]), project.ids(doubled[5])
        annotate(project.server, late_one)
        annotate(project.server, other_one)
        project.quietly()
        project.assert_each_row_is_one_task(rows)
        assert project.ids(doubled[3]) == [late_one]
        assert project.ids(doubled[5]) == [other_one]

    @on_sqlite
    def test_double_tasks_that_are_both_annotated_stay_and_are_named(
        self, project: Project, rows: Counter[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        late(project, rows)
        row = next(row for row, times in project.tasks().items() if times == 2)
        both = project.ids(row)
        for task in both:
            annotate(project.server, task)
        caplog.clear()
        project.quietly()
        (error,) = {record.getMessage() for record in caplog.records if record.levelno == logging.ERROR}
        assert f"Tasks {both[0]} and {both[1]} were made from the same row of" in error
        assert row[0] in error
        caplog.clear()
        project.quietly()
        assert not [record for record in caplog.records if record.levelno == logging.ERROR], "it is said once"
        assert project.tasks() == rows + Counter([row])

    @on_sqlite
    @pytest.mark.parametrize("fault", ["delay_answer", "delay_request"])
    def test_a_run_killed_while_its_request_is_under_way(
        self, fault: str, project: Project, rows: Counter[Any]
    ) -> None:
        posts = Posts(lambda number: number == 2)
        project.spoil(posts, **{fault: 1}, delay=UNTIL_LET_GO)
        assert project.run.server is not None
        child = Child(replace(project.run, server=replace(project.run.server, read_seconds=60)))
        for _ in patiently("the batch was never held back"):
            if project.chaos.requests_delayed + project.chaos.answers_delayed:
                break
        child.kill()
        assert child.killed
        report = project.run.when_free()
        assert project.chaos.under_way, "the run ended later than the request"
        assert report.tasks_created == 2 * BATCH + BATCH * (fault == "delay_request")
        project.quietly()
        project.assert_each_row_is_one_task(rows)


def late(project: Project, rows: Counter[Any]) -> list[int]:
    """Import; the first batch is held back and arrives when the run has ended. Return the ids that the run knows."""
    project.spoil(Posts(lambda number: number == 1), delay_request=1, delay=UNTIL_LET_GO)
    assert project.run().tasks_created == rows.total()
    project.chaos.let_all_go()
    project.chaos.wait_until_idle()
    assert Counter(project.tasks().values()) == {2: BATCH, 1: 3 * BATCH}
    return [task["id"] for task in found(project.server, project.id)][: rows.total()]


def test_a_batch_of_several_pages_is_found_whole(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 20)
    rows = fill(project.place, 1, 60)
    posts = Posts()
    project.run = project.run.with_options(batch_size=60)
    project.spoil(posts, swallow=1)
    assert project.run().tasks_created == rows.total()
    assert posts.count == 1
    project.assert_each_row_is_one_task(rows)


def test_doubt_ends_after_an_hour(project: Project, rows: Counter[Any]) -> None:
    project.spoil(Posts(lambda number: number == 1), reset_before=1)
    project.run()
    project.quietly()
    assert len(in_doubt(project.run)) == 1
    engine = open_database(project.run.database)
    with writing(engine) as connection:
        connection.execute(update(JOURNAL).values(doubted_since=JOURNAL.c.doubted_since - reconciling.DOUBT_SECONDS))
    engine.dispose()
    project.quietly()
    assert in_doubt(project.run) == []
    project.assert_each_row_is_one_task(rows)


# --- runs that are killed, or paused ---

LABELED = {"type": "choices", "from_name": "choice", "to_name": "text", "value": {"choices": ["good"]}}
SMALL = {
    "1-one.json": {"text": "one"},
    "2-array.json": [{"text": "array 0"}, {"text": "array 1"}, {"text": "array 2"}],
    "3-malformed.json": '{"text": "never ends',
    "4-lines.jsonl": '{"text": "lines 0"}\n[]\n{"text": "lines 2"}\n',
    "5-labeled.json": {
        "data": {"text": "labeled"},
        "annotations": [{"result": [LABELED]}],
        "predictions": [{"result": [LABELED]}, {"result": [LABELED]}],
    },
    "6/below.json": [{"text": "below 0"}, {"image": "no text"}],
}
SMALL_ROWS = Counter(
    [
        ("1-one.json", 0, "one"),
        ("2-array.json", 0, "array 0"),
        ("2-array.json", 1, "array 1"),
        ("2-array.json", 2, "array 2"),
        ("4-lines.jsonl", 0, "lines 0"),
        ("4-lines.jsonl", 2, "lines 2"),
        ("5-labeled.json", 0, "labeled"),
        ("6/below.json", 0, "below 0"),
    ]
)
QUARANTINED = 3

# Three batches. `Ledger.enter` announces a batch and enters the outcome of the last but one; the fourth call enters.
POINTS: list[Instant] = [
    After("Ledger.enter", 1),
    After("TaskApi.change", 1),
    Before("Project.import_tasks", 2),
    After("Project.import_tasks", 2),
    After("Ledger.enter", 3),
    After("Ledger.enter", 4),
]


@pytest.fixture
def small(project: Project) -> Project:
    """A project and an import of `SMALL` in three batches, which nothing disturbs but what is done to the run."""
    for key, content in SMALL.items():
        project.place.put(f"in/{key}", content)
    server = OnServer(project.server.url, project.server.token, project.id)
    project.run = replace(project.run, server=server).with_options(batch_size=3)
    return project


def assert_small_is_in(project: Project) -> None:
    """Make sure that each row is one task with its labels, and that a run more has nothing to do."""
    tasks = found(project.server, project.id)
    assert Counter(map(key_of, tasks)) == SMALL_ROWS
    assert [key_of(task)[0] for task in tasks if task["total_annotations"]] == ["5-labeled.json"]
    report = project.run.when_free()
    assert (report.unchanged, report.new, report.changed, report.missing) == (SMALL_ROWS.total(), 0, 0, 0)
    assert (report.tasks_created, report.tasks_deleted, report.quarantined) == (0, 0, QUARANTINED)
    assert [task["id"] for task in found(project.server, project.id)] == [task["id"] for task in tasks]


@at_each(POINTS)
def test_a_run_killed(point: Instant, small: Project) -> None:
    assert killed(small.run, point)
    small.run.when_free()
    assert_small_is_in(small)


def test_runs_killed_one_after_the_other(small: Project) -> None:
    for point in (
        After("Project.import_tasks", 1),
        Before("Ledger.enter", 1),
        After("Ledger.enter", 1),
        After("Project.tasks_after", 1),
        Before("Project.import_tasks", 1),
    ):
        assert killed(small.run.when_free, point)
    small.run.when_free()
    assert_small_is_in(small)


@pytest.mark.parametrize("number", [1, 2])
def test_a_paused_run_that_wakes_before_it_posts(number: int, small: Project) -> None:
    new = replace(small.run, owner="the new run").with_options(lease_seconds=60)
    with paused(small.run, Before("Project.import_tasks", number)) as child:
        new.when_free()
        child.wake()
        with pytest.raises(LeaseLost, match="another run has taken over"):
            child.result()
    assert small.tasks() == SMALL_ROWS
    assert_small_is_in(small)


# The lease has been confirmed, and the request is about to leave: it comes when another run has long taken over.
@pytest.mark.parametrize("number", [1, 2])
def test_a_paused_run_that_posts_after_another_took_over(number: int, small: Project) -> None:
    new = replace(small.run, owner="the new run").with_options(lease_seconds=60)
    with paused(small.run, After("Lease.check", number)) as child:
        new.when_free()
        assert small.tasks() == SMALL_ROWS
        child.wake()
        with pytest.raises(LeaseLost, match="another run has taken over"):
            child.result()
    assert small.tasks().total() == SMALL_ROWS.total() + 3
    small.run.when_free()
    assert_small_is_in(small)


def test_a_late_task_that_came_with_annotations_goes_as_nobody_has_touched_it(small: Project) -> None:
    new = replace(small.run, owner="the new run").with_options(lease_seconds=60)
    with paused(small.run, After("Lease.check", 3)) as child:
        new.when_free()
        child.wake()
        with pytest.raises(LeaseLost, match="another run has taken over"):
            child.result()
    assert small.tasks().total() > SMALL_ROWS.total()
    small.run.when_free()
    assert small.tasks() == SMALL_ROWS


def test_a_paused_run_that_posts_what_has_changed_since(small: Project) -> None:
    with paused(small.run, After("Lease.check", 1)) as child:
        small.place.put("in/2-array.json", [{"text": "array 0, changed"}])
        new = small.run.with_options(lease_seconds=60)
        new.when_free()
        child.wake()
        with pytest.raises(LeaseLost):
            child.result()
    small.run.when_free()
    expected = Counter({row: 1 for row in SMALL_ROWS if row[0] != "2-array.json"})
    assert small.tasks() == expected + Counter([("2-array.json", 0, "array 0, changed")])


def test_an_update_that_a_paused_run_sends_late_is_put_right_by_the_next(small: Project) -> None:
    small.run.when_free()
    small.place.put("in/1-one.json", {"text": "older"})
    updating = small.run.with_options(on_changed="update")
    with paused(updating, After("Lease.check", 1)) as child:
        small.place.put("in/1-one.json", {"text": "newest"})
        replace(updating, owner="the new run").with_options(lease_seconds=60).when_free()
        assert small.text("1-one.json") == "newest"
        child.wake()
        with pytest.raises(LeaseLost, match="another run has taken over"):
            child.result()
    assert small.text("1-one.json") == "older", "a server cannot refuse the late writer"
    updating.when_free()
    assert small.text("1-one.json") == "newest"
    report = updating.when_free()
    assert (report.unchanged, report.changed, report.tasks_updated) == (SMALL_ROWS.total(), 0, 0)


def test_a_deletion_that_a_paused_run_sends_late_is_put_right_by_the_next(small: Project) -> None:
    small.run.when_free()
    small.place.delete("in/1-one.json")
    deleting = small.run.with_options(on_missing="delete", max_delete=5)
    with paused(deleting, After("Lease.check", 1)) as child:
        small.place.put("in/1-one.json", SMALL["1-one.json"])
        replace(deleting, owner="the new run").with_options(lease_seconds=60).when_free()
        assert small.tasks() == SMALL_ROWS
        child.wake()
        with pytest.raises(LeaseLost, match="another run has taken over"):
            child.result()
    assert small.tasks() == SMALL_ROWS - Counter([("1-one.json", 0, "one")])
    small.run.when_free()
    assert_small_is_in(small)


# --- updates and deletions that were done, and not entered ---

# One file is gone, a row of another has changed, and one has other predictions besides: that is a request for the data,
# one for each prediction, and one to delete.
PREDICTED = {"data": {"text": "predicted"}, "predictions": [{"result": [LABELED], "model_version": "m"}] * 2}
OTHERWISE = [{"result": [LABELED], "score": score, "model_version": "m"} for score in (0.25, 0.75)]
CHANGE_POINTS: list[Instant] = [
    After("Ledger.enter", 1),
    *(After("TaskApi.change", number) for number in (1, 3, 5, 7)),
    After("Ledger.enter", 2),
]


@at_each(CHANGE_POINTS)
def test_a_run_killed_while_it_updates_and_deletes(point: Instant, small: Project) -> None:
    small.place.put("in/7-predicted.json", PREDICTED)
    small.run.when_free()
    small.place.delete("in/1-one.json")
    small.place.put("in/2-array.json", [{"text": "array 0"}, {"text": "array 1, changed"}, {"text": "array 2"}])
    small.place.put("in/7-predicted.json", {"data": {"text": "predicted, changed"}, "predictions": OTHERWISE})
    changing = small.run.with_options(on_changed="update", on_missing="delete", max_delete=1)
    assert killed(changing, point)
    changing.when_free()

    gone = [("1-one.json", 0, "one"), ("2-array.json", 1, "array 1")]
    come = [("2-array.json", 1, "array 1, changed"), ("7-predicted.json", 0, "predicted, changed")]
    rows = SMALL_ROWS - Counter(gone) + Counter(come)
    assert small.tasks() == rows
    assert sorted(item["score"] for item in small.predictions("7-predicted.json")) == [0.25, 0.75]
    report = changing.when_free()
    assert (report.unchanged, report.new, report.changed, report.missing) == (rows.total(), 0, 0, 0)
    assert (report.tasks_created, report.tasks_updated, report.tasks_deleted) == (0, 0, 0)
    assert in_doubt(changing) == [] or all(entry.doubted_since for entry in in_doubt(changing))


# --- one project, and sources of two kinds ---

BLOBS = {"use_blob_urls": True, "data_key": "text"}


def test_a_batch_of_task_files_that_comes_late_is_refused_as_blobs(project: Project, rows: Counter[Any]) -> None:
    before = late(project, rows)
    no_faults(project.chaos)
    with pytest.raises(Invalid, match=f"of {FILES} objects of"):
        project.run.with_options(**BLOBS).when_free()
    again = project.quietly()
    assert (again.unchanged, again.tasks_created, again.tasks_deleted) == (rows.total(), 0, 0)
    assert set(before) <= {task["id"] for task in found(project.server, project.id)}
    assert project.count() == rows.total()


def test_a_run_of_task_files_killed_with_a_run_of_blobs_behind_it(small: Project) -> None:
    assert killed(small.run, After("TaskApi.change", 1))
    with pytest.raises(Invalid, match="which were imported with use_blob_urls=False"):
        small.run.with_options(**BLOBS).when_free()
    before = {task["id"] for task in found(small.server, small.id)}
    small.run.when_free()
    assert before <= {task["id"] for task in found(small.server, small.id)}, "no good task was deleted"
    assert small.tasks() == SMALL_ROWS


# --- ids that are given again, as SQLite does it ---


def remove(project: Project, *tasks: int) -> None:
    """Delete tasks, as a person would."""
    with project.server.client() as client:
        for task in tasks:
            client.delete(f"/api/tasks/{task}/").raise_for_status()


def assert_each_row_leads_to_its_own_task(project: Project) -> None:
    notes = {task["id"]: task["meta"]["labelsync"]["uri"] for task in found(project.server, project.id)}
    engine = open_database(project.run.database)
    with engine.connect() as connection:
        known = connection.execute(select(ROW.c.path, ROW.c.task).where(ROW.c.task.is_not(None))).all()
    engine.dispose()
    assert [(path, task) for path, task in known if task in notes and not notes[task].endswith(f"?d={path}")] == []


def test_an_id_of_a_deleted_task_given_to_one_of_a_killed_run(small: Project) -> None:
    small.run.when_free()
    youngest = found(small.server, small.id)[-1]
    remove(small, youngest["id"])
    small.place.put("in/7-new.json", {"text": "new"})
    assert killed(small.run, After("TaskApi.change", 1))
    assert found(small.server, small.id)[-1]["id"] == youngest["id"], "it was given again"
    report = small.run.when_free()
    assert (report.unchanged, report.tasks_created) == (SMALL_ROWS.total() + 1, 0)
    assert_each_row_leads_to_its_own_task(small)
    assert small.run.with_options(restore_deleted=True).when_free().tasks_created == 1
    assert small.tasks() == SMALL_ROWS + Counter([("7-new.json", 0, "new")])
    assert_each_row_leads_to_its_own_task(small)


def test_ids_of_a_killed_run_given_to_rows_of_another_object(small: Project) -> None:
    assert killed(small.run, After("TaskApi.change", 3))
    newest = [task["id"] for task in found(small.server, small.id)][-2:]
    remove(small, *newest)
    for number in range(3):
        small.place.put(f"beside/{number}.json", {"text": f"beside {number}"})
    beside = replace(small.run, prefix="beside/")
    assert beside.when_free().tasks_created == 3
    assert set(newest) <= {task["id"] for task in found(small.server, small.id)}, "they were given again"
    for run in (small.run, beside, small.run):
        run.when_free()
        assert_each_row_leads_to_its_own_task(small)
    assert beside.with_options(on_missing="delete").when_free().unchanged == 3
    texts = Counter(task["data"]["text"] for task in found(small.server, small.id))
    assert texts == Counter([text for _, _, text in SMALL_ROWS] + [f"beside {number}" for number in range(3)])
