"""Export from a Label Studio server, which is asked for what has changed: the target is in step after every run."""

import json
import random
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from killing import After, Instant, OnServer, Run, at_each, killed
from places import Directory, content
from psycopg.conninfo import make_conninfo
from servers.chaos import Chaos, running_chaos
from servers.label_studio import LabelStudioServer
from servers.postgres import PostgresServer
from sqlalchemy import select, update

from labelsync_provider.database import open_database, writing
from labelsync_provider.errors import UploadsFailed
from labelsync_provider.projects.label_studio import queries
from labelsync_provider.sync import ExportOptions, ExportReport
from labelsync_provider.sync.exporting.changes import OVERLAP, WHOLE_AFTER_SECONDS
from labelsync_provider.sync.ledger.tables import WATERMARK

pytest_plugins = ["servers.label_studio"]

TASKS = 30
OPTIONS = ExportOptions(can_delete_objects=True, max_in_flight=2, batch_size=50, lease_seconds=0.1)


def labeled(choice: str) -> list[dict[str, Any]]:
    return [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}]


class Annotation(NamedTuple):
    """What a person sees of one."""

    id: int
    task: int
    choice: str
    cancelled: bool


class Labeling:
    """A project, and those who work in it: past the package, and past any proxy."""

    def __init__(self, server: LabelStudioServer, client: httpx.Client) -> None:
        self.server, self._client = server, client
        self.id = server.create_project()

    def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(method, path, json=body or None).raise_for_status()
        return answer.json() if answer.content else None

    def add(self, count: int, labels: Callable[[int], list[str]] = lambda _: ["good"]) -> list[int]:
        """Add tasks with annotations; return the tasks."""
        tasks = [
            {
                "data": {"text": f"text {n}"},
                "annotations": [{"result": labeled(choice), "ground_truth": False} for choice in labels(n)],
            }
            for n in range(count)
        ]
        path = f"/api/projects/{self.id}/import?return_task_ids=true"
        return list(self._client.post(path, json=tasks).raise_for_status().json()["task_ids"])

    def annotate(self, task: int, choice: str = "good", *, cancelled: bool = False) -> int:
        body = {"result": labeled(choice), "was_cancelled": cancelled}
        return int(self.ask("POST", f"/api/tasks/{task}/annotations/", **body)["id"])

    def change(self, annotation: int, choice: str) -> None:
        self.ask("PATCH", f"/api/annotations/{annotation}/", result=labeled(choice))

    def remove(self, annotation: int) -> None:
        self.ask("DELETE", f"/api/annotations/{annotation}/")

    def remove_task(self, task: int) -> None:
        self.ask("DELETE", f"/api/tasks/{task}/")

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks with their annotations."""
        asked: dict[str, Any] = {"project": self.id, "page_size": 1000, "fields": "all"}
        return list(self._client.get("/api/tasks/", params=asked).raise_for_status().json()["tasks"])

    def annotations(self) -> list[Annotation]:
        return sorted(_seen(annotation) for task in self.tasks() for annotation in task["annotations"])


def _seen(annotation: dict[str, Any]) -> Annotation:
    task = annotation["task"]
    choice = annotation["result"][0]["value"]["choices"][0]
    return Annotation(
        annotation["id"], task["id"] if isinstance(task, dict) else task, choice, annotation["was_cancelled"]
    )


def _less_its_address(file: tuple[str, bytes]) -> tuple[str, bytes]:
    """Take out of a file where its project is: past the proxy, that is another address."""
    key, content = file
    return key, re.sub(rb'"project":"http[^"]*"', b'"project":""', content)


class Asked:
    """Notes what the package asks for, where a proxy decides what to spoil."""

    def __init__(self) -> None:
        self.full: list[int] = []
        """Tasks that were read in full."""
        self.since: list[str] = []
        """The instants from which on changes were asked for."""
        self.spoiled: Callable[[str, str], bool] = lambda method, path: True

    def __call__(self, method: str, path: str) -> bool:
        asked: dict[str, Any] = parse_qs(urlsplit(path).query)
        query = json.loads(asked.get("query", ["{}"])[0])
        if asked.get("fields") == ["all"]:
            self.full += query["selectedItems"]["included"]
        for item in query.get("filters", {}).get("items", ()):
            if item["filter"] == "filter:tasks:updated_at":
                self.since.append(item["value"])
        return self.spoiled(method, path)


class Export:
    """Exports of one project to one target."""

    def __init__(self, labeling: Labeling, chaos: Chaos, root: Path) -> None:
        self.labeling, self.chaos, self.asked = labeling, chaos, Asked()
        chaos.only = self.asked
        self.place = Directory(root)
        self.root = root
        (root / "out").mkdir(parents=True)
        server = OnServer(chaos.endpoint, labeling.server.token, labeling.id)
        self.run = Run(f"sqlite:///{root}.db", self.place, "out/", OPTIONS, server=server)

    def __call__(self, **options: Any) -> ExportReport:
        """Export; what is asked for is noted anew."""
        self.run = self.run.with_options(**options)
        self.asked.full, self.asked.since = [], []
        report = self.run.when_free()
        assert isinstance(report, ExportReport)
        return report

    def written(self) -> dict[str, bytes]:
        return content(self.place, "out/")

    def assert_in_step(self) -> None:
        """Compare the target with the project."""
        options = self.run.options
        assert isinstance(options, ExportOptions)
        objects = [json.loads(value) for value in self.written().values()]
        found = objects
        if options.layout == "task":
            found = [annotation for task in objects for annotation in task["annotations"]]
        expected = self.labeling.annotations()
        if not options.include_cancelled:
            expected = [annotation for annotation in expected if not annotation.cancelled]
        assert sorted(map(_seen, found)) == expected
        assert len(objects) == len({each.task if options.layout == "task" else each.id for each in expected})

    def assert_nothing_to_do(self) -> None:
        """Make sure that a run more writes nothing, and that a first one to an empty target writes the same."""
        report = self()
        assert (report.written, report.gone, report.deleted, report.failed) == (0, 0, 0, 0)
        assert report.unchanged == len(self.written())
        assert self.run.server is not None
        past_the_proxy = replace(self.run.server, url=self.labeling.server.url)
        name = f"first-{secrets.token_hex(4)}"
        replace(self.run, database=f"{self.run.database}-{name}", prefix=f"{name}/", server=past_the_proxy)()
        written, again = self.written(), content(self.place, f"{name}/")
        assert [*map(_less_its_address, again.items())] == [*map(_less_its_address, written.items())]

    def watermark(self) -> tuple[Any, ...]:
        engine = open_database(self.run.database)
        with engine.connect() as connection:
            row = tuple(connection.execute(select(WATERMARK)).one())
        engine.dispose()
        return row

    def age(self, seconds: float, *names: str) -> None:
        """Let it be so long ago that something happened."""
        engine = open_database(self.run.database)
        with writing(engine) as connection:
            connection.execute(update(WATERMARK).values({name: WATERMARK.c[name] - seconds for name in names}))
        engine.dispose()


@pytest.fixture
def server(label_studio: LabelStudioServer) -> LabelStudioServer:
    """The server of a test that one database is enough for."""
    return label_studio


@pytest.fixture
def labeling(server: LabelStudioServer) -> Iterator[Labeling]:
    """A project with 30 annotated tasks, 35 annotations, and 5 tasks without."""
    with server.client() as client:
        labeling = Labeling(server, client)
        labeling.add(TASKS, lambda n: ["good", "bad"] if n % 6 == 0 else ["good"])
        labeling.add(5, lambda _: [])
        yield labeling


@pytest.fixture
def export(labeling: Labeling, tmp_path: Path) -> Iterator[Export]:
    with running_chaos(labeling.server.url, slow_down=0, reset=0, truncate=0) as chaos:
        yield Export(labeling, chaos, tmp_path / "root")


class TestIncrementally:
    @pytest.mark.parametrize(("layout", "include_cancelled"), [("annotation", False), ("task", True)])
    def test_the_target_is_in_step_whatever_was_done(
        self, layout: str, include_cancelled: bool, labeling: Labeling, export: Export
    ) -> None:
        export(layout=layout, include_cancelled=include_cancelled)
        export.assert_in_step()
        annotations, tasks = labeling.annotations(), labeling.tasks()
        unlabeled = [task["id"] for task in tasks if not task["annotations"]]
        two = [task for task in tasks if len(task["annotations"]) == 2]

        def added() -> set[int]:
            labeling.annotate(unlabeled[0])
            return {unlabeled[0]}

        def added_to_an_annotated_task() -> set[int]:
            labeling.annotate(annotations[3].task, "bad")
            return {annotations[3].task}

        def updated() -> set[int]:
            labeling.change(annotations[10].id, "bad")
            return {annotations[10].task}

        def deleted() -> set[int]:
            labeling.remove(annotations[12].id)
            return {annotations[12].task}

        def one_of_two_deleted() -> set[int]:
            labeling.remove(two[0]["annotations"][0]["id"])
            return {two[0]["id"]}

        def cancelled() -> set[int]:
            labeling.annotate(unlabeled[1], cancelled=True)
            labeling.annotate(annotations[15].task, cancelled=True)
            return {unlabeled[1], annotations[15].task}

        def task_deleted() -> set[int]:
            labeling.remove_task(annotations[20].task)
            return set()

        def one_deleted_and_one_added() -> set[int]:
            labeling.remove(annotations[22].id)
            labeling.annotate(unlabeled[2])
            return {annotations[22].task, unlabeled[2]}

        def task_deleted_and_one_added() -> set[int]:
            labeling.remove_task(annotations[24].task)
            labeling.annotate(unlabeled[3])
            return {unlabeled[3]}

        def deleted_and_added_again() -> set[int]:
            labeling.remove(annotations[26].id)
            labeling.annotate(annotations[26].task, "bad")
            return {annotations[26].task}

        def several_at_once() -> set[int]:
            touched = updated() | added_to_an_annotated_task()
            touched |= set(labeling.add(3))
            labeling.remove_task(two[-1]["id"])
            labeling.remove(annotations[31].id)
            return touched | {annotations[31].task}

        for change in (
            added,
            added_to_an_annotated_task,
            updated,
            deleted,
            one_of_two_deleted,
            cancelled,
            task_deleted,
            one_deleted_and_one_added,
            task_deleted_and_one_added,
            deleted_and_added_again,
            several_at_once,
        ):
            touched = change()
            export()
            full = export.asked.full
            export.assert_in_step()
            if not include_cancelled:
                # A task of which nothing is exported has no object that could tell that it was looked at.
                full = [task for task in full if task != unlabeled[1]]
            assert set(full) <= touched, change.__name__
            assert len(full) == len(set(full)), change.__name__
        export.assert_nothing_to_do()

    def test_more_than_a_page(self, labeling: Labeling, export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queries, "PAGE", 7)
        monkeypatch.setattr(queries, "IDS_IN_A_URL", 4)
        export()
        export.assert_in_step()
        random.seed(1)
        for annotation in random.sample(labeling.annotations(), 15):
            labeling.change(annotation.id, "bad")
        for annotation in random.sample(labeling.annotations(), 9):
            labeling.remove(annotation.id)
        export()
        export.assert_in_step()
        export.assert_nothing_to_do()


class TestTheWatermark:
    def test_is_not_passed_by_a_change_that_is_committed_late(
        self, label_studio_postgres: LabelStudioServer, postgres: PostgresServer, tmp_path: Path
    ) -> None:
        name = postgres.scalar("SELECT datname FROM pg_database WHERE datname LIKE 'label\\_studio\\_%'")
        with (
            label_studio_postgres.client() as client,
            running_chaos(label_studio_postgres.url, slow_down=0, reset=0, truncate=0) as chaos,
            psycopg.connect(make_conninfo(postgres.uri, dbname=name)) as late,
        ):
            labeling = Labeling(label_studio_postgres, client)
            first, second = labeling.add(2)
            export = Export(labeling, chaos, tmp_path / "root")
            export()
            (annotation,) = [each for each in labeling.annotations() if each.task == first]
            result = json.dumps(labeled("bad"))
            late.execute("UPDATE task_completion SET result = %s WHERE id = %s", (result, annotation.id))
            late.execute("UPDATE task SET updated_at = clock_timestamp() WHERE id = %s", (first,))
            labeling.change(next(each.id for each in labeling.annotations() if each.task == second), "bad")
            assert export().written == 1
            late.commit()
            assert export().written == 1
            export.assert_in_step()
            assert export.asked.full == [first]

    def test_overlaps_until_nothing_comes_late_any_more(self, labeling: Labeling, export: Export) -> None:
        export()
        assert export.asked.since == []
        export()
        (overlapping,) = export.asked.since
        export.age(OVERLAP.total_seconds() + 1, "first_seen")
        export()
        export()
        (exact,) = export.asked.since
        newest = max(task["updated_at"] for task in labeling.tasks())
        assert exact == newest
        assert overlapping < exact
        labeling.change(labeling.annotations()[3].id, "bad")
        assert export().written == 1
        export()
        assert export.asked.since[0] < max(task["updated_at"] for task in labeling.tasks())
        export.assert_in_step()

    def test_is_not_trusted_for_more_than_a_day(self, labeling: Labeling, export: Export) -> None:
        export()
        export.age(WHOLE_AFTER_SECONDS + 1, "read_whole")
        export()
        assert export.asked.since == []
        assert len(export.asked.full) == TASKS
        export()
        assert len(export.asked.since) == 1
        assert export.asked.full == []

    @pytest.mark.parametrize("how", ["after a day", "full=True"])
    @pytest.mark.parametrize("layout", ["annotation", "task"])
    def test_passes_changes_without_a_stamp_that_a_look_at_everything_finds(
        self, how: str, layout: str, labeling: Labeling, export: Export
    ) -> None:
        """A prediction moves nothing of its task; in a file of an annotation only their number is told."""
        export(layout=layout)
        task = labeling.annotations()[4].task
        before = {each["id"]: each["updated_at"] for each in labeling.tasks()}
        labeling.ask("POST", "/api/predictions/", task=task, result=labeled("good"), model_version="m")
        if before == {each["id"]: each["updated_at"] for each in labeling.tasks()}:
            assert export().written == 0
        if how == "after a day":
            export.age(WHOLE_AFTER_SECONDS + 1, "read_whole")
        assert export(full=how == "full=True").written == 1
        assert export(full=False).written == 0

    def test_passes_an_upload_that_fails_which_each_run_tries_again_by_itself(
        self, labeling: Labeling, export: Export
    ) -> None:
        export()
        tasks = [labeling.tasks()[n]["id"] for n in (1, 2)]
        new = [labeling.annotate(task, "bad") for task in tasks]
        obstacle = export.root / "out" / f"{new[0]}.json"
        obstacle.mkdir()
        with pytest.raises(UploadsFailed, match=rf"{new[0]}\.json: .* a directory.* failed 1"):
            export()
        export.age(OVERLAP.total_seconds() + 1, "first_seen")
        with pytest.raises(UploadsFailed, match=rf"{new[0]}\.json: .* a directory.* failed 1"):
            export()
        assert export.asked.full == tasks[:1]
        obstacle.rmdir()
        assert export().written == 1
        assert export.asked.full == tasks[:1]
        export.assert_in_step()
        export.assert_nothing_to_do()

    def test_does_not_pass_what_was_changed_on_a_page_that_had_passed(
        self, labeling: Labeling, export: Export, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "PAGE", 7)
        monkeypatch.setattr("labelsync_provider.sync.exporting.changes.OVERLAP", timedelta(0))
        annotations = labeling.annotations()
        pages = iter(range(100))

        def change_two(method: str, path: str) -> bool:
            if "annotations_ids" in path and next(pages) == 2:
                labeling.change(annotations[0].id, "bad")  # of the first page
                labeling.change(annotations[-1].id, "bad")  # of the last
            return True

        export.asked.spoiled = change_two
        export()
        export.asked.spoiled = lambda method, path: True
        export()
        export.assert_in_step()

    def test_does_not_hide_an_object_that_somebody_removed_from_the_target(
        self, labeling: Labeling, export: Export
    ) -> None:
        export()
        annotation = labeling.annotations()[4]
        export.place.delete(f"out/{annotation.id}.json")
        assert export().written == 1
        assert export.asked.full == [annotation.task]
        export.assert_in_step()
        export.assert_nothing_to_do()

    @pytest.mark.parametrize("layout", ["annotation", "task"])
    def test_is_made_again_when_the_ledger_is_lost(self, layout: str, labeling: Labeling, export: Export) -> None:
        export(layout=layout)
        before = export.written()
        labeling.change(labeling.annotations()[3].id, "bad")
        export.run = replace(export.run, database=f"{export.run.database}-new")
        report = export()
        assert (report.written, report.unchanged) == (1, len(before) - 1)
        export.assert_in_step()
        export()
        assert len(export.asked.since) == 1
        export.assert_nothing_to_do()

    def test_is_not_that_of_other_options(self, labeling: Labeling, export: Export) -> None:
        labeling.annotate(labeling.tasks()[3]["id"], cancelled=True)
        for options in (
            {},
            {"include_cancelled": False},
            {"key_template": "by-task/{task_id}/{annotation_id}.json"},
            {"layout": "task", "key_template": None},
        ):
            export(**options)
            assert export.asked.since == []
            export.assert_in_step()
            export.assert_nothing_to_do()


class TestCounters:
    """A server's counters are not the truth."""

    @pytest.mark.parametrize("layout", ["annotation", "task"])
    def test_that_are_wrong_keep_no_annotation_from_being_exported(
        self, layout: str, labeling: Labeling, export: Export, caplog: pytest.LogCaptureFixture
    ) -> None:
        wrong = labeling.annotations()[4].task
        labeling.ask("PATCH", f"/api/tasks/{wrong}/", total_annotations=0)
        counted = "Its counts are wrong"
        report = export(layout=layout)
        export.assert_in_step()
        assert (report.tasks, report.annotated_tasks, report.annotations) == (TASKS + 5, TASKS, 35)
        assert caplog.text.count(counted) == 1
        caplog.clear()
        for _ in range(2):
            report = export()
            assert (report.written, report.annotations) == (0, 35)
            assert len(export.asked.since) == 1, "it does not look at all tasks again"
            assert export.asked.full == []
        assert counted not in caplog.text
        labeling.ask("PATCH", f"/api/tasks/{wrong}/", total_annotations=1)
        export()
        export.assert_in_step()
        export.assert_nothing_to_do()


# In the target stand 35 annotations. Since then two have changed, one is gone, one task with one is gone, two are new.
POINTS: list[Instant] = [
    After("Storage.write", 1),
    After("Ledger.enter_exports", 2),
    After("Ledger.mark_gone", 1),
    After("Storage.delete"),
]


@at_each(POINTS)
def test_a_run_killed(point: Instant, labeling: Labeling, export: Export) -> None:
    export()
    annotations = labeling.annotations()
    labeling.change(annotations[2].id, "bad")
    labeling.change(annotations[9].id, "bad")
    labeling.remove(annotations[11].id)
    labeling.remove_task(annotations[13].task)
    labeling.add(2)
    run = export.run.with_options(max_in_flight=1)
    assert killed(run, point)
    export()
    export.assert_in_step()
    export.assert_nothing_to_do()


def test_every_annotation_is_written_once_through_a_proxy_that_spoils_answers(
    labeling: Labeling, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 25)
    monkeypatch.setattr(queries, "IDS_IN_A_URL", 5)
    labeling.add(120, lambda n: ["good"] * (1 + n % 2))
    chaos = export.chaos
    chaos.bad_gateway = chaos.reset = chaos.truncate = 0.1
    chaos.swallow = 0.05
    report = export()
    assert (report.written, report.unchanged, report.failed) == (35 + 180, 0, 0)
    changed = labeling.annotations()[::10]
    for annotation in changed:
        labeling.change(annotation.id, "bad")
    report = export()
    # Each object tells of its task, and so of the task's other annotation.
    tasks = {annotation.task for annotation in changed}
    assert report.written == sum(annotation.task in tasks for annotation in labeling.annotations())
    assert report.failed == 0
    print(chaos)
    assert min(chaos.bad_gateways, chaos.resets, chaos.truncated, chaos.swallowed) >= 1
    chaos.bad_gateway = chaos.reset = chaos.truncate = chaos.swallow = 0
    export.assert_in_step()
    export.assert_nothing_to_do()
