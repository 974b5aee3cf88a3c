"""Label Studio's own storages: created once, whatever happens; and what must be there for objects to be seen."""

import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from servers.chaos import running_chaos
from servers.gcs import GCSServer
from servers.label_studio import LabelStudioServer
from servers.redis import RedisServer
from servers.s3 import S3Server

from labelsync_provider.errors import Invalid, RequestFailed, Stopped, Unavailable
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.doubles import CREATED, REGISTERED
from labelsync_provider.projects.label_studio.project_storages import ProjectStorages
from labelsync_provider.projects.label_studio.storage_options import StorageOptions
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage
from labelsync_provider.projects.label_studio.storages import list_storages
from labelsync_provider.projects.label_studio.storing import put_storage
from labelsync_provider.projects.label_studio.sync_state import SIGN_SECONDS, Storage, SyncFailed, SyncState, report_of
from labelsync_provider.projects.label_studio.syncing import Watch, read_state, start_sync
from labelsync_provider.projects.label_studio.visibility import register
from labelsync_provider.retry import Requests
from labelsync_provider.stop import Stop

pytest_plugins = ["servers.label_studio", "servers.label_studio_impatient", "servers.redis", "servers.s3"]

RESULT = [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]


def why_unseen(client: Client, project: int, source: str) -> str | None:
    return ProjectStorages(client, project).why_unseen(source)


def client_of(server: LabelStudioServer, **how: Any) -> Client:
    return Client(server.url, server.token, **how)


def directory(server: LabelStudioServer, **files: str) -> Path:
    """Return a new directory below the document root, with these JSON files in it."""
    path = server.document_root / secrets.token_hex(4)
    path.mkdir()
    for name, content in files.items():
        (path / f"{name}.json").write_text(content)
    return path


def local(path: Path | str) -> LabelStudioStorage:
    return LabelStudioStorage("localfiles", {"path": str(path)})


def s3(server: S3Server, bucket: str, prefix: str = "", endpoint: str | None = None) -> LabelStudioStorage:
    login = {
        "region_name": server.region,
        "s3_endpoint": endpoint or server.endpoint,
        "aws_access_key_id": server.access_key,
        "aws_secret_access_key": server.secret_key,
        "aws_session_token": None,
    }
    return LabelStudioStorage("s3", {"bucket": bucket, "prefix": prefix}, login)


def redis(server: RedisServer, db: int = 1, path: str = "") -> LabelStudioStorage:
    location = {"host": server.host, "port": str(server.port), "db": db, "path": path}
    return LabelStudioStorage("redis", location, {"password": None})  # type: ignore[arg-type]


def annotated(server: LabelStudioServer, project: int) -> None:
    """Give a project one annotation."""
    with server.client() as client:
        task = client.post("/api/tasks/", json={"project": project, "data": {"text": "a"}}).raise_for_status().json()
        client.post(f"/api/tasks/{task['id']}/annotations/", json={"result": RESULT}).raise_for_status()


def row(server: LabelStudioServer, path: str) -> dict[str, Any]:
    with server.client() as client:
        return dict(client.get(path).raise_for_status().json())


class TestPutting:
    def test_creates_once_and_updates_then(self, any_label_studio: LabelStudioServer) -> None:
        client, project = client_of(any_label_studio), any_label_studio.create_project()
        path = directory(any_label_studio)
        first, created = put_storage(client, project, "import", local(path))
        assert created
        options = StorageOptions(title="Texts", regex_filter="a", recursive_scan=False, synchronizable=False)
        assert put_storage(client, project, "import", local(f"{path}/"), options) == (first, False)
        (there,) = list_storages(client, project, "import", "localfiles")
        wanted = {"title": "Texts", "regex_filter": "a", "recursive_scan": False, "synchronizable": False}
        assert {name: there[name] for name in wanted} == wanted
        assert (there["path"], there["meta"]) == (str(path), {})

    def test_is_what_is_wanted_and_keeps_its_title(self, label_studio: LabelStudioServer) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        wanted = local(directory(label_studio))
        storage, _ = put_storage(client, project, "import", wanted, StorageOptions(title="Texts", regex_filter="a"))
        put_storage(client, project, "import", wanted)
        there = row(label_studio, f"/api/storages/localfiles/{storage}")
        assert (there["title"], there["regex_filter"], there["recursive_scan"]) == ("Texts", None, True)

    def test_calls_it_by_its_uri(self, label_studio: LabelStudioServer) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        path = directory(label_studio)
        storage, _ = put_storage(client, project, "import", local(path))
        assert row(label_studio, f"/api/storages/localfiles/{storage}")["title"] == f"file://{path}"

    def test_syncs_no_import_storage(self, label_studio: LabelStudioServer) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        storage, _ = put_storage(client, project, "import", local(directory(label_studio, a='{"text": "a"}')))
        state = read_state(client, Storage("import", "localfiles", storage))
        assert (state.status, state.attempt) == ("initialized", 0)

    def test_other_directions_locations_and_projects_are_others(self, label_studio: LabelStudioServer) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        wanted = local(directory(label_studio))
        ids = {
            put_storage(client, project, "import", wanted),
            put_storage(client, project, "export", wanted),
            put_storage(client, project, "import", local(directory(label_studio))),
            put_storage(client, label_studio.create_project(), "import", wanted),
        }
        assert len(ids) == 4
        assert {created for _, created in ids} == {True}

    @pytest.mark.parametrize(("description", "left"), [(CREATED, 1), ("by a person", 2)], ids=["ours", "a person's"])
    def test_deletes_what_a_request_that_was_given_up_has_doubled(
        self, label_studio: LabelStudioServer, description: str, left: int
    ) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        wanted = local(directory(label_studio))
        first, _ = put_storage(client, project, "import", wanted)
        late = {**wanted.location, "project": project, "use_blob_urls": True, "description": description}
        client.post("/api/storages/localfiles/", late)
        assert put_storage(client, project, "import", wanted) == (first, False)
        assert len(list_storages(client, project, "import", "localfiles")) == left

    def test_ends_where_it_is_looked_for_when_its_run_is_stopped(self, http_server: Callable) -> None:
        stop, asked = Stop(), []

        def answer(request: Any) -> tuple[int, bytes]:
            asked.append(request.method)
            if request.method == "POST":
                stop.set()
                return 502, b""
            return 200, b"[]"

        client = Client(http_server(answer), "token")
        client.requests = Requests(stop)
        with pytest.raises(Stopped):
            put_storage(client, 1, "import", local("/data"))
        assert asked == ["GET", "POST"]

    def test_by_several_at_once_leaves_one(self, label_studio: LabelStudioServer) -> None:
        project, wanted = label_studio.create_project(), local(directory(label_studio))
        with ThreadPoolExecutor(4) as threads:
            puts = [threads.submit(put_storage, client_of(label_studio), project, "import", wanted) for _ in range(4)]
            ids = {each.result()[0] for each in puts}
        assert len(ids) == 1
        assert len(list_storages(client_of(label_studio), project, "import", "localfiles")) == 1


class TestPuttingS3:
    def test_takes_a_folder_with_and_without_its_slash_for_one(
        self, label_studio: LabelStudioServer, rclone: S3Server
    ) -> None:
        client, project, bucket = client_of(label_studio), label_studio.create_project(), rclone.create_bucket()
        rclone.client().put_object(Bucket=bucket, Key="photos/a.jpg", Body=b"1")
        storage, _ = put_storage(client, project, "import", s3(rclone, bucket, "photos/"))
        options = StorageOptions(presign=False, presign_ttl=60, use_blob_urls=True)
        assert put_storage(client, project, "import", s3(rclone, bucket, "photos"), options) == (storage, False)
        there = row(label_studio, f"/api/storages/s3/{storage}")
        wanted = {"prefix": "photos", "presign": False, "presign_ttl": 60, "recursive_scan": False}
        assert {name: there[name] for name in wanted} == wanted

    def test_without_keys_leaves_those_that_are_there(self, label_studio: LabelStudioServer, rclone: S3Server) -> None:
        client, project, bucket = client_of(label_studio), label_studio.create_project(), rclone.create_bucket()
        wanted = s3(rclone, bucket)
        storage, _ = put_storage(client, project, "import", wanted)
        keyless = replace(wanted, login={name: wanted.login[name] for name in ("region_name", "s3_endpoint")})
        assert put_storage(client, project, "import", keyless) == (storage, False)

    def test_says_that_it_cannot_be_looked_at(self, label_studio: LabelStudioServer, rclone: S3Server) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        with pytest.raises(Unavailable, match=r"cannot look at s3://no-such-bucket: .*that bucket and keys are right"):
            put_storage(client, project, "import", s3(rclone, "no-such-bucket"))
        assert list_storages(client, project, "import", "s3") == []


class TestPuttingRedis:
    def test_updates_it_whole(self, label_studio: LabelStudioServer, valkey: RedisServer) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        storage, created = put_storage(client, project, "import", redis(valkey, path="tasks/"))
        assert created
        wanted, options = redis(valkey, path="tasks/"), StorageOptions(title="Queue")
        assert put_storage(client, project, "import", wanted, options) == (storage, False)
        assert row(label_studio, f"/api/storages/redis/{storage}")["title"] == "Queue"

    def test_without_a_path_imports_every_key(self, label_studio: LabelStudioServer, valkey: RedisServer) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        valkey.client(1).set("a", json.dumps({"text": "a"}))
        storage, _ = put_storage(client, project, "import", redis(valkey))
        assert start_sync(client, project, Storage("import", "redis", storage)).state.count == 1


class TestPuttingGCS:
    def test_creates_once_and_updates_then(self, impatient: LabelStudioServer, gcs: GCSServer) -> None:
        client, project, bucket = client_of(impatient), impatient.create_project(), gcs.create_bucket()
        wanted = LabelStudioStorage("gcs", {"bucket": bucket, "prefix": ""}, {"google_project_id": "p"})
        storage, created = put_storage(client, project, "import", wanted)
        assert created
        assert put_storage(client, project, "import", wanted) == (storage, False)
        assert row(impatient, f"/api/storages/gcs/{storage}")["recursive_scan"] is True


class TestPuttingAzure:
    def test_says_what_label_studio_says(self, label_studio: LabelStudioServer) -> None:
        client, project = client_of(label_studio), label_studio.create_project()
        wanted = LabelStudioStorage("azure", {"container": "c", "prefix": ""})
        with pytest.raises(Invalid, match=r"azure-blob://c.*does not take it.*account name and key must be set"):
            put_storage(client, project, "import", wanted)


class TestPuttingATarget:
    def test_syncs_it(self, label_studio: LabelStudioServer) -> None:
        client, project, path = client_of(label_studio), label_studio.create_project(), directory(label_studio)
        annotated(label_studio, project)
        storage, created = put_storage(client, project, "export", local(path), StorageOptions(can_delete_objects=True))
        assert created
        assert len(list(path.iterdir())) == 1
        assert row(label_studio, f"/api/storages/export/localfiles/{storage}")["can_delete_objects"] is True

    def test_that_takes_too_long_is_looked_up_and_not_repeated(
        self, label_studio: LabelStudioServer, rclone: S3Server
    ) -> None:
        project, bucket = label_studio.create_project(), rclone.create_bucket()
        annotated(label_studio, project)
        delay = {"slow_down": 0, "reset": 0, "truncate": 0, "delay_request": 1, "delay": 3}
        with running_chaos(rclone.endpoint, **delay, only=lambda method, _: method == "PUT") as slow:
            wanted = s3(rclone, bucket, endpoint=slow.endpoint)
            started = time.monotonic()
            client = client_of(label_studio, read_seconds=1)
            storage, created = put_storage(client, project, "export", wanted)
            assert created
            assert time.monotonic() - started < 3, "it was not waited for"
            assert [each["id"] for each in list_storages(client, project, "export", "s3")] == [storage]
            watched = Storage("export", "s3", storage)
            while not Watch(watched, 1).is_over(state := read_state(client, watched)):
                time.sleep(0.1)
        assert (state.status, state.attempt, state.count) == ("completed", 1, 1)

    def test_refuses_a_second_one_of_its_type(self, any_label_studio: LabelStudioServer, rclone: S3Server) -> None:
        client, project = client_of(any_label_studio), any_label_studio.create_project()
        first, second = directory(any_label_studio), directory(any_label_studio)
        storage, _ = put_storage(client, project, "export", local(first))
        with pytest.raises(Invalid, match=rf"already exports to file://{first} \(target storage {storage}\)") as caught:
            put_storage(client, project, "export", local(second))
        assert "ExportAnnotationsOperator" in str(caught.value)
        assert put_storage(client, project, "export", local(first)) == (storage, False)
        _, created = put_storage(client, project, "export", s3(rclone, rclone.create_bucket()))
        assert created, "of another type"


NOWHERE = LabelStudioStorage("redis", {"host": "h", "port": "1", "db": 1, "path": ""})
BUCKET = LabelStudioStorage("gcs", {"bucket": "b", "prefix": ""})


@pytest.mark.parametrize(
    ("wanted", "direction", "options", "said"),
    [
        (BUCKET, "both", {}, "direction='both'"),
        (BUCKET, "import", {"regex_filter": "("}, r"regex_filter='\(': missing \)"),
        (BUCKET, "import", {"presign_ttl": 0}, "presign_ttl=0"),
        (BUCKET, "import", {"presign_ttl": 40_000}, "presign_ttl=40000: too many minutes"),
        (BUCKET, "import", {"presign": "False"}, "presign='False'"),
        (BUCKET, "import", {"recursive_scan": "False"}, "recursive_scan='False'"),
        (BUCKET, "import", {"can_delete_objects": False}, "Label Studio ignores it for an import storage"),
        (BUCKET, "export", {"can_delete_objects": True}, "ignores it for an export storage of type 'gcs'"),
        (BUCKET, "export", {"regex_filter": "a"}, "regex_filter='a': Label Studio ignores it"),
        (BUCKET, "export", {"use_blob_urls": True}, "use_blob_urls=True: Label Studio ignores it"),
        (NOWHERE, "import", {"regex_filter": "a"}, "regex_filter='a': Label Studio ignores it"),
        (NOWHERE, "import", {"recursive_scan": True}, "recursive_scan=True: Label Studio ignores it"),
        (replace(NOWHERE, location={**NOWHERE.location, "path": "a*"}), "import", {}, "takes the path for a pattern"),
        (replace(NOWHERE, location={**NOWHERE.location, "path": "a/"}), "export", {}, "ignores the path"),
    ],
)
def test_refuses_what_makes_no_sense(
    label_studio: LabelStudioServer, wanted: LabelStudioStorage, direction: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        put_storage(client_of(label_studio), 1, direction, wanted, StorageOptions(**options))


class TestVisible:
    def test_needs_a_source_storage_of_the_bucket(self, label_studio: LabelStudioServer, rclone: S3Server) -> None:
        client, project, bucket = client_of(label_studio), label_studio.create_project(), rclone.create_bucket()
        put_storage(client, project, "export", s3(rclone, bucket))
        unseen = why_unseen(client, project, f"s3://{bucket}/photos/")
        assert unseen is not None
        assert f"no source storage for bucket '{bucket}'" in unseen
        assert "register_storage=True" in unseen
        rclone.client().put_object(Bucket=bucket, Key="other/a", Body=b"1")
        put_storage(client, project, "import", s3(rclone, bucket, "other"))
        assert why_unseen(client, project, f"s3://{bucket}/photos/") is None, "whatever the prefix"

    def test_needs_a_source_storage_above_the_directory(self, label_studio: LabelStudioServer) -> None:
        client, project, path = client_of(label_studio), label_studio.create_project(), directory(label_studio)
        (path / "in").mkdir()
        (path / "in-private").mkdir()
        put_storage(client, project, "import", local(path / "in"))
        assert why_unseen(client, project, f"file://{path}/in") is None
        assert why_unseen(client, project, f"file://{path}/in/deeper") is None
        assert "no source storage of local files" in (why_unseen(client, project, f"file://{path}/in-private") or "")

    def test_needs_a_server_that_serves_files(self, http_server: Callable) -> None:
        url = http_server(lambda _: (403, b'{"detail": "Serving local files can be dangerous"}'))
        assert "LOCAL_FILES_SERVING_ENABLED=true" in (why_unseen(Client(url, "token"), 1, "file:///data/in") or "")

    def test_is_never_a_value_of_redis(self, label_studio: LabelStudioServer) -> None:
        assert "resolves no redis:// URIs" in (why_unseen(client_of(label_studio), 1, "redis://1/tasks/") or "")


class TestRegistering:
    def test_makes_the_bucket_visible_once_and_keeps_it_from_being_synced(
        self, label_studio: LabelStudioServer, rclone: S3Server
    ) -> None:
        client, project, bucket = client_of(label_studio), label_studio.create_project(), rclone.create_bucket()
        first = register(client, project, s3(rclone, bucket, "photos"), presign_ttl=5, allow_static_keys=True)
        assert first is not None
        again = {"presign": False, "presign_ttl": 9, "allow_static_keys": True}
        assert register(client, project, s3(rclone, bucket, "scans"), **again) == first  # type: ignore[arg-type]
        (there,) = list_storages(client, project, "import", "s3")
        assert (there["prefix"], there["presign"], there["presign_ttl"]) == ("", False, 9)
        assert why_unseen(client, project, f"s3://{bucket}/photos/") is None
        with pytest.raises(Invalid, match="is not synchronizable"):
            start_sync(client, project, Storage("import", "s3", first))

    def test_leaves_alone_what_a_person_made(self, label_studio: LabelStudioServer, rclone: S3Server) -> None:
        client, project, bucket = client_of(label_studio), label_studio.create_project(), rclone.create_bucket()
        put_storage(client, project, "import", s3(rclone, bucket), StorageOptions(title="Ours", presign_ttl=77))
        before = list_storages(client, project, "import", "s3")
        assert register(client, project, s3(rclone, bucket, "photos")) is None
        assert list_storages(client, project, "import", "s3") == before

    def test_of_a_directory_is_for_what_is_below_it(self, label_studio: LabelStudioServer) -> None:
        client, project, path = client_of(label_studio), label_studio.create_project(), directory(label_studio)
        (path / "deeper").mkdir()
        storage = register(client, project, local(path))
        assert storage is not None
        assert row(label_studio, f"/api/storages/localfiles/{storage}")["description"] == REGISTERED
        assert register(client, project, local(path / "deeper")) is None
        assert register(client, project, local(path)) == storage

    def test_of_redis_says_that_nothing_would_be_seen(self, label_studio: LabelStudioServer) -> None:
        with pytest.raises(Invalid, match=r"register_storage=True: Label Studio shows no objects of redis://h:1/1/"):
            register(client_of(label_studio), 1, NOWHERE)


WATCHED = Storage("import", "localfiles", 1)
STATE = SyncState("completed", 1, 5, 2, None, 1.5, "2026-01-01 00:00:00+00:00", None, "")
GIVEN_UP = replace(STATE, status="failed", traceback="... because the last ping time is too old, ...")


class TestWatching:
    @pytest.mark.parametrize("status", ["completed", "completed_with_errors", "failed"])
    def test_believes_what_ends_this_sync(self, status: str) -> None:
        assert Watch(WATCHED, 1).is_over(replace(STATE, status=status))

    @pytest.mark.parametrize("status", ["initialized", "queued", "in_progress"])
    def test_waits_for_an_end(self, status: str) -> None:
        assert not Watch(WATCHED, 1).is_over(replace(STATE, status=status))

    def test_does_not_believe_what_was_before(self) -> None:
        assert not Watch(WATCHED, 2).is_over(STATE)

    def test_says_when_it_does_not_begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch = Watch(WATCHED, 2)
        monkeypatch.setattr("labelsync_provider.projects.label_studio.syncing.BEGIN_SECONDS", -1.0)
        with pytest.raises(SyncFailed, match=r"has not begun to sync the source storage 1 of type 'localfiles'"):
            watch.is_over(STATE)

    def test_believes_a_death_only_after_a_while_without_a_sign(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looks = [
            (0.0, GIVEN_UP),
            (SIGN_SECONDS - 1, replace(GIVEN_UP, count=6)),
            (SIGN_SECONDS + 1, replace(GIVEN_UP, count=6)),
            (2 * SIGN_SECONDS, replace(GIVEN_UP, count=6)),
        ]
        instants = iter([0.0, *(instant for instant, _ in looks)])
        monkeypatch.setattr("labelsync_provider.projects.label_studio.syncing.time.monotonic", lambda: next(instants))
        watch = Watch(WATCHED, 1)
        seen = [watch.is_over(state) for _, state in looks]
        assert seen == [False, False, False, True]


class TestReporting:
    def test_says_what_was_done(self) -> None:
        assert report_of(WATCHED, STATE, joined=False) == {
            "storage_id": 1,
            "storage_type": "localfiles",
            "direction": "import",
            "status": "completed",
            "attempts": 1,
            "tasks_created": 5,
            "tasks_existed": 2,
            "seconds": 1.5,
            "joined": False,
        }

    def test_fails_with_the_errors_it_was_completed_with(self) -> None:
        state = replace(STATE, status="completed_with_errors", traceback="Validation error for task from a.json")
        with pytest.raises(SyncFailed, match=r"'completed_with_errors'.*task from a\.json"):
            report_of(WATCHED, state, joined=False)

    def test_fails_if_annotations_were_left_out(self) -> None:
        with pytest.raises(SyncFailed, match="dealt with 5 of 6 annotations"):
            report_of(replace(WATCHED, direction="export"), replace(STATE, total=6), joined=False)

    def test_fails_without_blaming_anything_for_a_death(self) -> None:
        with pytest.raises(SyncFailed, match=r"has shown no life for 300 s.*seems to have died"):
            report_of(WATCHED, GIVEN_UP, joined=False)


class TestStarting:
    def test_says_why_label_studio_cannot_look(self, label_studio: LabelStudioServer) -> None:
        client, project, path = client_of(label_studio), label_studio.create_project(), directory(label_studio)
        storage, _ = put_storage(client, project, "import", local(path))
        path.rmdir()
        with pytest.raises(RequestFailed, match=r"did not start to sync the source storage.*does not exist"):
            start_sync(client, project, Storage("import", "localfiles", storage))

    @pytest.mark.parametrize(("age", "joined"), [(0.0, True), (SIGN_SECONDS + 60, False)])
    def test_starts_none_while_one_that_was_given_up_may_live(
        self, http_server: Callable, age: float, joined: bool
    ) -> None:
        asked = []
        ping = datetime.now(UTC) - timedelta(seconds=age)

        def answer(request: Any) -> tuple[int, bytes]:
            asked.append(request.method)
            there = {"project": 1, "synchronizable": True, "status": "failed", "traceback": GIVEN_UP.traceback}
            meta = {"attempts": 3, "time_last_ping": str(ping)}
            if request.method == "POST":
                there, meta = there | {"status": "completed"}, {"attempts": 4}
            return 200, json.dumps({**there, "meta": meta}).encode()

        started = start_sync(Client(http_server(answer), "token"), 1, WATCHED)
        assert started.joined == joined
        assert (started.attempt, asked) == ((3, ["GET"]) if joined else (4, ["GET", "POST"]))
