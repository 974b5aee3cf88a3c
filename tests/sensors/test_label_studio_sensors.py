"""Sensors over a real Label Studio: how far its annotators are, and how a sync of its own has ended."""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.chaos import running_chaos
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server

from labelsync_provider.airflow_compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.label_studio import LabelStudioStorageOperator
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.sensors.label_studio import StorageSyncSensor
from labelsync_provider.sensors.project import LabelingProgressSensor
from labelsync_provider.triggers.label_studio import StorageSyncTrigger

pytest_plugins = ["servers.label_studio", "servers.s3"]

RESULT = [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]


class Site:
    """A project of a Label Studio server; the connections lead there."""

    def __init__(self, server: LabelStudioServer, connect: Callable[..., None], title: str) -> None:
        self.server, self.title = server, title
        self.project = server.create_project(title)
        connect("label_studio_default", conn_type="label_studio", host=server.url, password=server.token)

    def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        with self.server.client() as client:
            return client.request(method, path, **kwargs).raise_for_status().json()

    def add_tasks(self, count: int) -> list[int]:
        tasks = [{"text": str(n)} for n in range(count)]
        answer = self.ask("POST", f"/api/projects/{self.project}/import?return_task_ids=true", json=tasks)
        return list(answer["task_ids"])

    def annotate(self, task: int, **fields: Any) -> int:
        return int(self.ask("POST", f"/api/tasks/{task}/annotations/", json={"result": RESULT} | fields)["id"])


@pytest.fixture
def site(label_studio: LabelStudioServer, connections: Any, connect: Callable) -> Site:
    return Site(label_studio, connect, f"Pets {secrets.token_hex(4)}")


def found(sensor: Any) -> Any:
    """Look once; return what was found, if it is enough."""
    sensor.timeout = 0
    try:
        return sensor.execute({})
    except AirflowSensorTimeout:
        return None


def event_of(deferral: TaskDeferred) -> dict[str, Any]:
    async def first() -> Any:
        return (await anext(deferral.trigger.run())).payload

    return asyncio.run(first())


class TestProgress:
    @pytest.fixture
    def tasks(self, site: Site) -> list[int]:
        return site.add_tasks(5)

    def wait(self, site: Site, **arguments: Any) -> Any:
        return found(LabelingProgressSensor(task_id="wait", **{"project": site.project} | arguments))

    def test_is_that_of_label_studio(self, site: Site, tasks: list[int]) -> None:
        for task in tasks[:2]:
            site.annotate(task)
        site.annotate(tasks[2], was_cancelled=True)
        assert self.wait(site, min_annotated=2, min_share=0.4) == {"tasks": 5, "annotated": 2, "share": 0.4}
        assert self.wait(site, min_annotated=3) is None
        shown = site.ask("GET", f"/api/projects/{site.project}/")
        assert (shown["finished_task_number"], shown["task_number"]) == (2, 5)

    def test_needs_as_many_annotators_as_the_project_wants(self, site: Site, tasks: list[int]) -> None:
        site.ask("PATCH", f"/api/projects/{site.project}/", json={"maximum_annotations": 2})
        site.annotate(tasks[0])
        assert self.wait(site, min_annotated=1) is None
        site.ask("PATCH", f"/api/projects/{site.project}/", json={"maximum_annotations": 1})
        assert self.wait(site, min_annotated=1) is not None

    def test_of_a_project_without_tasks_is_none(self, site: Site) -> None:
        assert self.wait(site, min_share=0.01) is None

    def test_is_what_was_annotated_or_changed_since_the_last_export(
        self, site: Site, tasks: list[int], target: Any
    ) -> None:
        wanted = {"target": target.uri}

        def export() -> None:
            ExportAnnotationsOperator(task_id="labels", project=site.project, target=target.uri).execute({})

        annotation = site.annotate(tasks[0])
        assert self.wait(site, min_new=1, **wanted) == {"new": 1}
        export()
        assert self.wait(site, min_new=1, **wanted) is None
        site.annotate(tasks[1])
        site.annotate(tasks[2], was_cancelled=True)
        assert self.wait(site, min_new=2, **wanted) is None
        site.ask("PATCH", f"/api/annotations/{annotation}/", json={"result": []})
        assert self.wait(site, min_new=2, **wanted) == {"new": 2}
        export()
        assert self.wait(site, min_new=1, **wanted) is None

    def test_costs_one_request_a_look(self, site: Site, tasks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        asked, ask = list[str](), Client.ask

        def counting(client: Client, method: Any, path: str, **kwargs: Any) -> Any:
            asked.append(f"{method} {path} {kwargs['params'].get('include')}")
            return ask(client, method, path, **kwargs)

        monkeypatch.setattr(Client, "ask", counting)
        sensor = LabelingProgressSensor(
            task_id="wait", project=site.title, min_annotated=1, poke_interval=0.1, deferrable=True
        )
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute({})
        # The first look finds the project by its title.
        asked.clear()
        site.annotate(tasks[0])
        event = event_of(caught.value)
        assert sensor.execute_complete({}, event) == {"tasks": 5, "annotated": 1, "share": 0.2}
        (look,) = asked
        assert look.startswith(f"GET /api/projects/{site.project}/ id,title,")
        assert site.server.token not in json.dumps(caught.value.trigger.serialize())


class TestSync:
    @pytest.fixture
    def uri(self, site: Site, connect: Callable) -> str:
        """A directory that Label Studio reads."""
        root = site.server.document_root
        connect("fs_default", conn_type="fs", extra={"path": str(root)})
        directory = root / secrets.token_hex(4)
        directory.mkdir()
        (directory / "a.json").write_text(json.dumps([{"text": "1"}, {"text": "2"}]))
        return f"file://{directory}"

    def storage(self, site: Site, uri: str) -> int:
        storage = LabelStudioStorageOperator(
            task_id="storage", project=site.project, storage=uri, allow_static_keys=True
        )
        return storage.execute({})

    def sync(self, site: Site, storage: int, kind: str = "localfiles") -> None:
        site.ask("POST", f"/api/storages/{kind}/{storage}/sync")

    def sensor(self, site: Site, uri: Any, **arguments: Any) -> StorageSyncSensor:
        arguments = {"project": site.project, "storage": uri, "poke_interval": 0.2} | arguments
        return StorageSyncSensor(task_id="wait", **arguments)

    def test_that_has_ended_is_told_with_its_counts(self, site: Site, uri: str) -> None:
        storage = self.storage(site, uri)
        assert found(self.sensor(site, uri)) is None, "it was never synced"
        self.sync(site, storage)
        for named in ({}, {"storage": str(storage), "storage_type": "localfiles"}):
            report = found(self.sensor(site, uri, **named))
            assert report.pop("seconds") > 0
            assert report == {
                "storage_id": storage,
                "storage_type": "localfiles",
                "direction": "import",
                "status": "completed",
                "attempts": 1,
                "tasks_created": 2,
                "tasks_existed": 0,
            }

    def test_that_failed_fails_with_what_label_studio_says_or_is_skipped(self, site: Site, uri: str) -> None:
        (site.server.document_root / uri.rpartition("/")[2] / "b.txt").write_text("no task")
        self.sync(site, self.storage(site, uri))
        for how in ({}, {"deferrable": True}):
            with pytest.raises(AirflowFailException, match=r"(?s)'failed'.*b\.txt\" is not a JSON"):
                self.sensor(site, uri, **how).execute({})
            with pytest.raises(AirflowSkipException):
                self.sensor(site, uri, soft_fail=True, **how).execute({})

    @pytest.fixture
    def slow(self, rclone: S3Server, connect_s3: Callable, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """A bucket with a task file that cannot be read before the sensor has looked once."""
        looked, look = threading.Event(), StorageSyncTrigger._look

        def looking(trigger: StorageSyncTrigger) -> Any:
            found = look(trigger)
            looked.set()
            return found

        monkeypatch.setattr(StorageSyncTrigger, "_look", looking)

        def held_up(method: str, path: str) -> bool:
            return ".json" in path and not looked.wait(30)

        bucket = rclone.create_bucket()
        rclone.client().put_object(Bucket=bucket, Key="a.json", Body=json.dumps({"text": "1"}).encode())
        spoiled = {"slow_down": 0, "reset": 0, "truncate": 0, "delay_request": 0, "delay": 0}
        with running_chaos(rclone.endpoint, **spoiled, only=held_up) as chaos:
            connect_s3(rclone, extra={"endpoint_url": chaos.endpoint})
            yield f"s3://{bucket}"
            chaos.wait_until_idle()

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_that_goes_on_is_waited_for(
        self, site: Site, slow: str, deferrable: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        storage = self.storage(site, slow)
        somebody = threading.Thread(target=self.sync, args=(site, storage, "s3"))
        somebody.start()
        while site.ask("GET", f"/api/storages/s3/{storage}")["status"] != "in_progress":
            time.sleep(0.05)
        sensor = self.sensor(site, slow, deferrable=deferrable)
        if deferrable:
            with pytest.raises(TaskDeferred) as caught:
                sensor.execute({})
            report = sensor.execute_complete({}, event_of(caught.value))
        else:
            report = sensor.execute({})
        somebody.join()
        assert (report["status"], report["tasks_created"], report["attempts"]) == ("completed", 1, 1)
        assert f"source storage {storage} of type 's3': in_progress, 0 tasks so far" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({}, r"has no import storage at file:///.*LabelStudioStorageOperator"),
            ({"storage": 5}, r"storage_type=None: no type of storage"),
            ({"storage": 999_999, "storage_type": "s3"}, "there is no such thing"),
            ({"direction": "both"}, "direction='both'"),
        ],
        ids=str,
    )
    def test_of_what_is_not_there_fails_at_once(
        self, site: Site, uri: str, arguments: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(AirflowFailException, match=said):
            self.sensor(site, uri, **arguments).execute({})

    def test_of_another_projects_storage_is_refused(self, site: Site, uri: str) -> None:
        storage, other = self.storage(site, uri), site.server.create_project()
        with pytest.raises(AirflowFailException, match=rf"is one of project {site.project}"):
            self.sensor(site, storage, storage_type="localfiles", project=other).execute({})


def test_the_embedded_store_has_no_sync(connections: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"label_studio_conn_id='label_studio_default'.*embedded"):
        StorageSyncSensor(task_id="wait", project=1, storage=connections.uri).execute({})
