"""Label Studio's own storages through the operators: syncs that are waited for whatever their server says of them."""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import DAG
from killing import patiently
from servers.chaos import running_chaos
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException, TaskDeferred
from labelsync_provider.get_provider_info import get_provider_info
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.label_studio import LabelStudioStorageOperator, LabelStudioSyncOperator
from labelsync_provider.operators.visibility import show_source
from labelsync_provider.triggers.label_studio import LabelStudioSyncTrigger

pytest_plugins = ["servers.label_studio", "servers.label_studio_impatient", "servers.s3"]

IMAGE = '<View><Image name="image" value="$image"/></View>'
SLOW = 3.0
"""Seconds that an object takes where reading is slow; after one without a word, the server may be thought dead."""


def test_provider_info_names_the_triggers() -> None:
    (entry,) = get_provider_info()["triggers"]
    for module in entry["python-modules"]:
        import_module(module)


class Site:
    """A project of a Label Studio server, and a directory below its document root; the connections lead there."""

    def __init__(
        self, server: LabelStudioServer, connect: Callable[..., None], label_config: str | None = None
    ) -> None:
        self.server, self._connect = server, connect
        self.project = server.create_project(**({"label_config": label_config} if label_config else {}))
        self.path = server.document_root / secrets.token_hex(4)
        self.path.mkdir()
        self.uri = f"file://{self.path}"
        self.connect()
        connect("fs_default", conn_type="fs", extra={"path": str(server.document_root)})

    def connect(self, **extra: Any) -> None:
        fields = {"host": self.server.url, "password": self.server.token, "extra": extra}
        self._connect("label_studio_default", conn_type="label_studio", **fields)

    def put(self, name: str, content: Any) -> Path:
        path = self.path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        with self.server.client() as client:
            answer = client.request(method, path, **kwargs).raise_for_status()
        return answer.json() if answer.content else None

    def tasks(self) -> int:
        return int(self.ask("GET", "/api/tasks/", params={"project": self.project})["total"])

    def annotate(self) -> None:
        task = self.ask("POST", "/api/tasks/", json={"project": self.project, "data": {"text": "a"}})
        self.ask("POST", f"/api/tasks/{task['id']}/annotations/", json={"result": []})

    def storage(self, **arguments: Any) -> int:
        arguments = (
            dict[str, Any]({"project": self.project, "storage": self.uri, "allow_static_keys": True}) | arguments
        )
        return LabelStudioStorageOperator(task_id="storage", **arguments).execute({})

    def sync(self, **arguments: Any) -> dict[str, Any]:
        arguments = {"project": self.project, "storage": self.uri, "poll_interval": 0.2, **arguments}
        return LabelStudioSyncOperator(task_id="sync", **arguments).execute({})

    def load(self, **arguments: Any) -> dict[str, Any]:
        arguments = {"project": self.project, "source": self.uri, **arguments}
        return ImportStorageSyncOperator(task_id="load", **arguments).execute({})


@pytest.fixture
def site(label_studio: LabelStudioServer, connections: Any, connect: Callable) -> Site:
    return Site(label_studio, connect)


@contextmanager
def slow_bucket(rclone: S3Server, connect_s3: Callable, *, seconds: float = SLOW, **objects: Any) -> Iterator[str]:
    """Give the URI of a bucket with these task files, each of which takes seconds to be read."""
    bucket = rclone.create_bucket()
    for name, content in objects.items():
        rclone.client().put_object(Bucket=bucket, Key=f"{name}.json", Body=json.dumps(content).encode())
    spoiled: dict[str, Any] = {"slow_down": 0, "reset": 0, "truncate": 0, "delay_request": 1, "delay": seconds}
    with running_chaos(rclone.endpoint, **spoiled, only=lambda method, path: ".json" in path) as slow:
        connect_s3(rclone, extra={"endpoint_url": slow.endpoint})
        yield f"s3://{bucket}"
        slow.wait_until_idle()


class TestStorage:
    def test_is_one_however_often_it_is_asked_for(self, site: Site) -> None:
        assert site.storage() == site.storage(title="Texts")

    def test_is_told_every_parameter(self, site: Site) -> None:
        storage = site.storage(
            title="Texts", regex_filter="a", use_blob_urls=True, recursive_scan=False, synchronizable=False
        )
        there = site.ask("GET", f"/api/storages/localfiles/{storage}")
        wanted = {
            "project": site.project,
            "path": str(site.path),
            "title": "Texts",
            "regex_filter": "a",
            "use_blob_urls": True,
            "recursive_scan": False,
            "synchronizable": False,
        }
        assert {name: there[name] for name in wanted} == wanted

    def test_that_makes_no_sense_is_not_tried_again(self, site: Site) -> None:
        with pytest.raises(AirflowFailException, match="regex_filter"):
            site.storage(regex_filter="(")
        with pytest.raises(AirflowFailException, match=r"does not take it.*does not exist"):
            site.storage(storage=f"{site.uri}/nowhere")

    def test_is_none_of_the_embedded_stores(self, connections: Any) -> None:
        with pytest.raises(AirflowFailException, match=r"label_studio_conn_id='label_studio_default'.*embedded"):
            LabelStudioStorageOperator(task_id="t", project=1, storage=connections.uri).execute({})


class TestSync:
    def test_reports_what_label_studio_did(self, site: Site) -> None:
        site.put("a.json", [{"text": "1"}, {"text": "2"}])
        storage = site.storage()
        report = site.sync()
        assert report | {"seconds": 0} == {
            "storage_id": storage,
            "storage_type": "localfiles",
            "direction": "import",
            "status": "completed",
            "attempts": 1,
            "tasks_created": 2,
            "tasks_existed": 0,
            "seconds": 0,
            "joined": False,
        }
        assert 0 < report["seconds"] < 60
        site.put("b.json", {"text": "3"})
        again = site.sync(storage=str(storage), storage_type="localfiles")
        assert (again["attempts"], again["tasks_created"], again["tasks_existed"]) == (2, 1, 2)

    def test_fails_with_what_label_studio_says_and_forgets_it_then(self, site: Site) -> None:
        site.put("a.json", {"text": "1"})
        bad = site.put("b.txt", "no task")
        storage = site.storage()
        with pytest.raises(AirflowException, match=r"(?s)'failed'.*b\.txt\" is not a JSON") as caught:
            site.sync()
        assert not isinstance(caught.value, AirflowFailException)
        bad.unlink()
        assert site.sync()["status"] == "completed"
        assert "b.txt" in site.ask("GET", f"/api/storages/localfiles/{storage}")["traceback"], "it keeps the old text"

    def test_exports(self, site: Site) -> None:
        site.storage(direction="export")
        site.annotate()
        report = site.sync(direction="export")
        assert (report["status"], report["attempts"], report["annotations"]) == ("completed", 2, 1)

    def test_of_what_cannot_be_synced_says_so(self, site: Site) -> None:
        site.storage(synchronizable=False)
        with pytest.raises(AirflowFailException, match=r"is not synchronizable.*Set synchronizable=True"):
            site.sync()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({}, r"has no import storage at file:///.*LabelStudioStorageOperator"),
            ({"storage": 5}, r"storage_type=None: no type of storage.*s3, gcs, azure, redis, localfiles"),
            ({"storage": 999_999, "storage_type": "s3"}, "there is no such thing"),
            ({"direction": "both"}, "direction='both'"),
            ({"timeout": 0}, "timeout=0: no length of time"),
            ({"poll_interval": "often"}, "poll_interval='often': no length of time"),
            ({"deferrable": "maybe"}, "deferrable='maybe': neither True nor False"),
        ],
    )
    def test_that_makes_no_sense_is_not_tried_again(self, site: Site, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(AirflowFailException, match=said):
            site.sync(**arguments)

    def test_of_another_projects_storage_is_refused(self, site: Site) -> None:
        storage, other = site.storage(), site.server.create_project()
        with pytest.raises(AirflowFailException, match=rf"is one of project {site.project}"):
            site.sync(project=other, storage=storage, storage_type="localfiles")


class TestSlowSync:
    def test_that_outlives_the_request_is_waited_for(self, site: Site, rclone: S3Server, connect_s3: Callable) -> None:
        site.connect(read_timeout=1)
        with slow_bucket(rclone, connect_s3, a=[{"text": "1"}, {"text": "2"}]) as uri:
            site.storage(storage=uri)
            report = site.sync(storage=uri)
        assert (report["attempts"], report["tasks_created"], report["joined"]) == (1, 2, False)
        assert site.tasks() == 2

    def test_that_somebodys_look_calls_failed_is_waited_for(
        self, impatient: LabelStudioServer, connections: Any, connect: Callable, rclone: S3Server, connect_s3: Callable
    ) -> None:
        site = Site(impatient, connect)
        site.connect(read_timeout=1)
        called: list[dict[str, Any]] = []

        def look() -> None:
            # Again and again: how soon the sync begins, and is silent for long enough, depends on the machine's load.
            for _ in patiently("the sync is not called failed"):
                called[:] = site.ask("GET", "/api/storages/s3/", params={"project": site.project})
                if called[0]["status"] == "failed":
                    return

        with slow_bucket(rclone, connect_s3, seconds=1.5 * SLOW, a=[{"text": "1"}, {"text": "2"}]) as uri:
            site.storage(storage=uri)
            somebody = threading.Thread(target=look)
            somebody.start()
            report = site.sync(storage=uri)
            somebody.join()
        assert "last ping time is too old" in called[0]["traceback"]
        assert (called[0]["status"], report["status"]) == ("failed", "completed")
        assert (report["attempts"], report["tasks_created"], site.tasks()) == (1, 2, 2)

    def test_that_is_late_fails_and_the_retry_waits_for_it(
        self, site: Site, rclone: S3Server, connect_s3: Callable
    ) -> None:
        site.connect(read_timeout=0.5)
        with slow_bucket(rclone, connect_s3, a={"text": "1"}) as uri:
            site.storage(storage=uri)
            with pytest.raises(AirflowException, match=r"has not ended within 1 s: its status is 'in_progress'"):
                site.sync(storage=uri, timeout=1)
            report = site.sync(storage=uri)
        assert (report["attempts"], report["joined"], site.tasks()) == (1, True, 1)

    def test_that_was_started_by_somebody_else_is_waited_for(
        self,
        label_studio_postgres: LabelStudioServer,
        connections: Any,
        connect: Callable,
        rclone: S3Server,
        connect_s3: Callable,
    ) -> None:
        site = Site(label_studio_postgres, connect)
        with slow_bucket(rclone, connect_s3, a={"text": "1"}) as uri:
            storage = site.storage(storage=uri)
            where = f"/api/storages/s3/{storage}"
            somebody = threading.Thread(target=site.ask, args=("POST", f"{where}/sync"))
            somebody.start()
            while site.ask("GET", where)["status"] != "in_progress":
                time.sleep(0.1)
            silent = site.ask("POST", f"{where}/sync")
            assert (silent["status"], silent["meta"]["attempts"]) == ("in_progress", 1), "Label Studio does nothing"
            report = site.sync(storage=uri)
            somebody.join()
        assert (report["attempts"], report["joined"], report["tasks_created"]) == (1, True, 1)


class TestDeferring:
    def test_happens_to_what_takes_long(
        self, site: Site, rclone: S3Server, connect_s3: Callable, run_dag: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("labelsync_provider.operators.label_studio.POST_SECONDS", 0.5)
        looked = []
        look = LabelStudioSyncTrigger._look
        monkeypatch.setattr(LabelStudioSyncTrigger, "_look", lambda self: looked.append(self) or look(self))
        with (
            slow_bucket(rclone, connect_s3, a=[{"text": "1"}, {"text": "2"}]) as uri,
            DAG("deferring", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag,
        ):
            put = LabelStudioStorageOperator(task_id="put", project=site.project, storage=uri, allow_static_keys=True)
            put >> LabelStudioSyncOperator(
                task_id="sync", project=site.project, storage=uri, deferrable=True, poll_interval=0.5
            )
            run = run_dag(dag)
        assert run.state == "success"
        report = run.get_task_instance("sync").xcom_pull(task_ids="sync")
        assert (report["status"], report["tasks_created"], report["attempts"]) == ("completed", 2, 1)
        assert looked, "it was the trigger that waited"

    def test_does_not_happen_to_what_is_done(self, site: Site) -> None:
        site.put("a.json", {"text": "1"})
        site.storage()
        assert site.sync(deferrable=True)["tasks_created"] == 1

    def test_keeps_no_secret(self, site: Site, rclone: S3Server, connect_s3: Callable) -> None:
        with slow_bucket(rclone, connect_s3, seconds=2, a={"text": "1"}) as uri:
            storage = site.storage(storage=uri)
            with pytest.raises(TaskDeferred) as caught:
                LabelStudioSyncOperator(
                    task_id="t", project=site.project, storage=uri, deferrable=True, timeout=1
                ).execute({})
            path, kept = caught.value.trigger.serialize()
            assert kept.keys() == {
                "label_studio_conn_id",
                "direction",
                "storage_type",
                "storage_id",
                "attempt",
                "joined",
                "deadline",
                "poll_interval",
            }
            assert site.server.token not in json.dumps(kept)
            module, _, name = path.rpartition(".")
            again = getattr(import_module(module), name)(**kept)
            assert again.serialize() == (path, kept)
            assert (again.storage_id, again.attempt) == (storage, 1)


def event_of(site: Site, *, deadline: float, storage_id: int, attempt: int = 1) -> dict[str, Any]:
    async def first() -> Any:
        arguments = ("label_studio_default", "import", "localfiles", storage_id, attempt, False, deadline, 0.1)
        return await anext(LabelStudioSyncTrigger(*arguments).run())

    return asyncio.run(first()).payload


class TestTrigger:
    def test_tells_of_the_end(self, site: Site) -> None:
        site.put("a.json", {"text": "1"})
        storage = site.storage()
        site.sync()
        event = event_of(site, deadline=time.time() + 60, storage_id=storage)
        assert (event["is_over"], event["state"]["status"], event["state"]["count"]) == (True, "completed", 1)
        assert json.loads(json.dumps(event)) == event

    def test_tells_that_it_is_late(self, site: Site) -> None:
        storage = site.storage()
        event = event_of(site, deadline=time.time() + 0.3, storage_id=storage)
        operator = LabelStudioSyncOperator(task_id="t", project=site.project, storage=site.uri, timeout=7)
        with pytest.raises(AirflowException, match=r"has not ended within 7 s: its status is 'initialized'"):
            operator.execute_complete({}, event)

    def test_tells_what_went_wrong_for_good(self, site: Site) -> None:
        event = event_of(site, deadline=time.time() + 60, storage_id=999_999)
        assert event["retry_may_help"] is False
        operator = LabelStudioSyncOperator(task_id="t", project=site.project, storage=site.uri)
        with pytest.raises(AirflowFailException, match="there is no such thing"):
            operator.execute_complete({}, event)

    def test_looks_again_while_the_server_is_away(self, site: Site, connect: Callable) -> None:
        connect("label_studio_default", conn_type="label_studio", host="http://127.0.0.1:1", password="token")
        started = time.time()
        event = event_of(site, deadline=started + 1, storage_id=1)
        assert event["retry_may_help"] is True
        assert time.time() >= started + 1


class TestWhatAnnotatorsSee:
    @pytest.fixture
    def pictures(self, label_studio: LabelStudioServer, connections: Any, connect: Callable) -> Site:
        return Site(label_studio, connect, IMAGE)

    @pytest.fixture
    def bucket(self, rclone: S3Server, connect_s3: Callable) -> str:
        connect_s3(rclone)
        bucket = rclone.create_bucket()
        rclone.client().put_object(Bucket=bucket, Key="photos/a.jpg", Body=b"a picture")
        return bucket

    def seen(self, site: Site) -> bytes:
        """Return the object of the first task, as a browser gets it."""
        (task,) = site.ask("GET", "/api/tasks/", params={"project": site.project, "fields": "all"})["tasks"]
        with site.server.client() as client:
            redirected = client.get(task["data"]["image"])
        return httpx.get(redirected.headers["Location"], trust_env=False).raise_for_status().content

    def arguments(self, bucket: str) -> dict[str, Any]:
        return {"source": f"s3://{bucket}/photos/", "use_blob_urls": True}

    def storages(self, site: Site) -> list[dict[str, Any]]:
        return site.ask("GET", "/api/storages/s3/", params={"project": site.project})

    def test_is_nothing_without_a_storage_and_a_warning_says_so(
        self, pictures: Site, bucket: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert pictures.load(**self.arguments(bucket))["tasks_created"] == 1
        assert "Annotators will not see the objects" in caplog.text
        assert "register_storage=True" in caplog.text

    def test_is_every_object_with_register_storage(
        self, pictures: Site, bucket: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            pictures.load(**self.arguments(bucket), register_storage=True, allow_static_keys=True, presign_ttl=7)
        assert self.seen(pictures) == b"a picture"
        (there,) = self.storages(pictures)
        assert (there["synchronizable"], there["presign_ttl"], there["presign"]) == (False, 7, True)
        assert "will not see" not in caplog.text

    def test_warns_no_more_once_a_storage_is_there(
        self, pictures: Site, bucket: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        pictures.storage(storage=f"s3://{bucket}", use_blob_urls=True, allow_static_keys=True)
        pictures.load(**self.arguments(bucket))
        assert "will not see" not in caplog.text

    def test_stays_as_it_is_in_a_dry_run(self, pictures: Site, bucket: str) -> None:
        pictures.load(**self.arguments(bucket), register_storage=True, allow_static_keys=True, dry_run=True)
        assert self.storages(pictures) == []

    def test_is_no_matter_for_signed_urls(self, pictures: Site, bucket: str, caplog: pytest.LogCaptureFixture) -> None:
        pictures.load(**self.arguments(bucket), url_mode="signed")
        assert "will not see" not in caplog.text

    def test_is_not_known_to_whom_storages_are_denied(
        self, connect: Callable, http_server: Callable, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = http_server(lambda _: (403, b'{"detail": "You do not have permission"}'))
        connect("label_studio_default", conn_type="label_studio", host=url, password="token")
        uri = "s3://bucket/photos/"
        own = LabelStudioHook().storages_of(1)
        assert own is not None
        show_source(own, 1, S3StorageHook(), uri, uri, registers=False, dry_run=False)
        assert f"Annotators may not see the objects of {uri}" in caplog.text

    def test_is_a_local_file_with_register_storage(self, pictures: Site) -> None:
        pictures.put("a.jpg", "a picture")
        pictures.load(use_blob_urls=True, register_storage=True)
        (task,) = pictures.ask("GET", "/api/tasks/", params={"project": pictures.project, "fields": "all"})["tasks"]
        with pictures.server.client() as client:
            assert client.get(task["data"]["image"]).raise_for_status().content == b"a picture"

    def test_is_no_matter_of_the_embedded_store(self, connections: Any, store: Any, caplog: Any) -> None:
        project = store.create_project("Pets", IMAGE)
        arguments: dict[str, Any] = {"source": connections.uri, "project": project.id, "use_blob_urls": True}
        ImportStorageSyncOperator(task_id="t", **arguments).execute({})
        assert "will not see" not in caplog.text
        for dry_run in (False, True):
            with pytest.raises(AirflowFailException, match=r"register_storage=True.*embedded store.*Leave it out"):
                ImportStorageSyncOperator(task_id="t", **arguments, register_storage=True, dry_run=dry_run).execute({})
