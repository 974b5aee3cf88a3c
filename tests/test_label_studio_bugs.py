"""What goes wrong in Label Studio's own sync goes right here, on a real server and through the operators.

The numbers are those of the bugs in what is known of Label Studio 1.23.2: each test does what makes that bug show, and
its docstring says what Label Studio's own sync does there.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import httpx
import pytest
from servers.label_studio import LabelStudioServer
from servers.redis import RedisServer
from servers.s3 import S3Server
from sqlalchemy import Engine, create_engine, text

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.storages.local_files import LocalFiles

pytest_plugins = ["servers.label_studio", "servers.redis", "servers.s3"]

Json = dict[str, Any]
Connect = Callable[..., None]

GOOD = [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
IMAGE = '<View><Image name="image" value="$image"/></View>'


@dataclass
class Sync:
    """A project of a Label Studio server, and the operators at work on it."""

    server: LabelStudioServer
    project: int
    source: Any
    target: Any

    def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        """Ask the server's API, as anybody would."""
        with self.server.client() as client:
            answer = client.request(method, path, **kwargs).raise_for_status()
        return answer.json() if answer.content else None

    def load(self, context: Json | None = None, **arguments: Any) -> Json:
        """Import from the folder, or from what is given."""
        arguments = {"source": self.source.uri, "project": self.project} | arguments
        return ImportStorageSyncOperator(task_id="load", **arguments).execute(cast(Any, context or {}))

    def save(self, **arguments: Any) -> Json:
        """Export to the folder, or to what is given."""
        arguments = {"target": self.target.uri, "project": self.project} | arguments
        return ExportAnnotationsOperator(task_id="save", **arguments).execute({})

    def tasks(self, project: int | None = None) -> list[Json]:
        """Return all tasks with their annotations and predictions."""
        query = {"project": project or self.project, "fields": "all", "resolve_uri": "false", "page_size": 10_000}
        return self.ask("GET", "/api/tasks/", params=query)["tasks"]

    def texts(self) -> list[str]:
        """Return the texts of all tasks, in order."""
        return sorted(task["data"]["text"] for task in self.tasks())

    def task(self, of: str) -> int:
        """Return the id of the task with a text."""
        (found,) = [task["id"] for task in self.tasks() if task["data"]["text"] == of]
        return found

    def annotate(self, task: int) -> int:
        """Annotate a task; return the annotation's id."""
        return self.ask("POST", f"/api/tasks/{task}/annotations/", json={"result": GOOD})["id"]


@pytest.fixture
def server(label_studio: LabelStudioServer) -> LabelStudioServer:
    """Where one database is enough; a class of tests may choose another."""
    return label_studio


@pytest.fixture
def sync(server: LabelStudioServer, connections: Any, connect: Connect, target: Any) -> Sync:
    """An empty project, the usual connections, and a folder to import from and one to export to."""
    connect("label_studio_default", conn_type="label_studio", host=server.url, password=server.token)
    return Sync(server, server.create_project(), connections, target)


@pytest.fixture
def ledger(sync: Sync, database: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{database}")
    yield engine
    engine.dispose()


def row(what: object, **fields: Any) -> Json:
    return {"data": {"text": str(what)}, **fields}


def lines(*rows: Any) -> str:
    return "\n".join(each if isinstance(each, str) else json.dumps(each) for each in rows)


class TestBug1PartlyBadFile:
    @pytest.mark.parametrize(
        ("content", "mended"),
        [
            (lines(row(1), '{"data": {"text": ', row(3)), lines(row(1), row(2), row(3))),
            ([row(1), 5, row(3)], [row(1), row(2), row(3)]),
        ],
        ids=["lines", "array"],
    )
    def test_good_rows_go_in_and_the_bad_one_when_it_is_mended(self, sync: Sync, content: Any, mended: Any) -> None:
        """Its sync takes the rows before the bad one, and none of this file ever again, though it says "completed"."""
        sync.source.put("a.jsonl", content)
        report = sync.load()
        assert (report["tasks_created"], report["quarantined"]) == (2, 1)
        (failure,) = report["quarantine"]
        assert (failure["key"], failure["row"]) == ("a.jsonl", 1)
        assert sync.texts() == ["1", "3"]

        sync.source.put("a.jsonl", mended)
        report = sync.load()
        assert (report["tasks_created"], report["unchanged"], report["quarantined"]) == (1, 2, 0)
        assert sync.texts() == ["1", "2", "3"]
        assert sync.load()["tasks_created"] == 0

    def test_nothing_of_a_file_that_breaks_off_is_taken_for_the_whole(self, sync: Sync) -> None:
        """Its sync takes what stands before the break, and never the rest."""
        sync.source.put("a.json", '[{"data": {"text": "1"}}, {"data": {"te')
        with pytest.raises(AirflowFailException, match=r"Nothing could be imported.*Such as a\.json"):
            sync.load()
        assert sync.texts() == []
        sync.source.put("a.json", [row(1), row(2)])
        assert sync.load()["tasks_created"] == 2
        assert sync.texts() == ["1", "2"]


class TestBug2FailedUploads:
    @pytest.fixture
    def annotated(self, sync: Sync) -> list[int]:
        """The ids of three annotated tasks."""
        sync.source.put("a.json", [row(number) for number in range(3)])
        sync.load()
        ids = [task["id"] for task in sync.tasks()]
        for task in ids:
            sync.annotate(task)
        return ids

    def test_a_file_that_may_not_be_written_fails_the_task_by_name(
        self,
        sync: Sync,
        annotated: list[int],
        open_folder: Any,
        connect: Connect,
        unprivileged: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Its sync counts every upload, whatever becomes of it, and says "completed"."""
        for task in annotated:
            (open_folder.path / str(task)).mkdir()
            (open_folder.path / str(task)).chmod(0o777)
        closed = annotated[1]
        (open_folder.path / str(closed)).chmod(0o555)
        connect("outside", conn_type="fs", extra={"path": str(open_folder.root)})
        write = LocalFiles.write

        def written(*args: Any, **kwargs: Any) -> str:
            with unprivileged():
                return write(*args, **kwargs)

        monkeypatch.setattr(LocalFiles, "write", written)
        to = {
            "target": open_folder.uri,
            "target_conn_id": "outside",
            "key_template": "{task_id}/{annotation_id}.json",
            # The user is the process's, not a thread's.
            "max_in_flight": 1,
        }
        with pytest.raises(AirflowException, match=rf"1 object could not be written.* 2 were.* {closed}/\d+\.json: "):
            sync.save(**to)
        assert {Path(name).parent.name for name in open_folder.names()} == {str(annotated[0]), str(annotated[2])}

        (open_folder.path / str(closed)).chmod(0o777)
        report = sync.save(**to)
        assert (report["written"], report["unchanged"], report["failed"]) == (1, 2, 0)
        assert len(open_folder.names()) == 3

    def test_an_object_that_s3_refuses_fails_the_task_by_name(
        self, sync: Sync, annotated: list[int], moto: S3Server, connect_s3: Connect, http_server: Callable[..., str]
    ) -> None:
        """Its sync counts every upload, whatever becomes of it, and says "completed"."""
        bucket, refused = moto.create_bucket(), f"/labels/{annotated[1]}.json"
        denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

        def answer(asked: Any) -> tuple[Any, ...]:
            if asked.method == "PUT" and asked.path.endswith(refused):
                return 403, denied
            headers = {name: value for name, value in asked.headers.items() if name.lower() != "content-length"}
            url = moto.endpoint + asked.path
            done = httpx.request(asked.method, url, headers=headers, content=asked.body, trust_env=False)
            kept = {name: done.headers[name] for name in ("etag", "content-type") if name in done.headers}
            return done.status_code, done.content, kept

        def keys() -> set[str]:
            return {item["Key"] for item in moto.client().list_objects_v2(Bucket=bucket).get("Contents", ())}

        connect_s3(moto, extra={"endpoint_url": http_server(answer)})
        to = {"target": f"s3://{bucket}/labels", "layout": "task"}
        with pytest.raises(AirflowException, match=rf"1 object could not be written.* 2 were.*{refused[1:]}.*403"):
            sync.save(**to)
        assert keys() == {f"labels/{annotated[n]}.json" for n in (0, 2)}

        connect_s3(moto)
        report = sync.save(**to)
        assert (report["written"], report["unchanged"], report["failed"]) == (1, 2, 0)
        assert keys() == {f"labels/{task}.json" for task in annotated}


class TestBug3AnnotatedTasks:
    """Its sync leaves out all annotations of a task if it does not like one, and counts the task as annotated."""

    @staticmethod
    def by(**annotator: Any) -> Json:
        return {"result": GOOD, "completed_by": {"first_name": "", "last_name": "", **annotator}}

    def test_an_annotator_who_is_an_object_and_known_stays_who_it_is(self, sync: Sync) -> None:
        sync.source.put("a.json", row(1, annotations=[self.by(id=77, email=sync.server.email)]))
        report = sync.load()
        assert (report["tasks_created"], report["annotators_unknown"], report["quarantined"]) == (1, 0, 0)
        ((task,), me) = sync.tasks(), sync.ask("GET", "/api/current-user/whoami")
        (annotation,) = task["annotations"]
        assert (annotation["completed_by"], annotation["ground_truth"]) == (me["id"], False)
        assert annotation["result"][0]["value"] == GOOD[0]["value"]
        assert (task["is_labeled"], task["total_annotations"]) == (True, 1)

    def test_an_annotator_who_is_unknown_is_counted_and_noted(self, sync: Sync) -> None:
        sync.source.put("a.json", row(1, annotations=[self.by(id=77, email="ann@example.com"), self.by(id=78)]))
        report = sync.load()
        assert (report["tasks_created"], report["annotators_unknown"], report["quarantined"]) == (1, 2, 0)
        (task,) = sync.tasks()
        assert len(task["annotations"]) == task["total_annotations"] == 2
        unknown = task["meta"]["labelsync"]["unknown_annotators"]
        assert [noted["completed_by"]["id"] for noted in unknown] == [77, 78]
        assert [noted["import_id"] for noted in unknown] == [each["import_id"] for each in task["annotations"]]

    def test_an_annotator_who_is_unknown_is_unknown_to_the_next_projects_too(self, sync: Sync) -> None:
        """Two exports and imports later, the token's user has made what they have made, and nothing else."""
        ann, ben = ({"id": 70 + n, "email": f"{name}@example.com"} for n, name in enumerate(("ann", "ben")))
        mine = {"result": GOOD, "completed_by": {"email": sync.server.email}, "id": 5}
        given = [self.by(**ann, was_cancelled=False), mine, {"result": GOOD, "completed_by": ben, "id": 5}]
        sync.source.put("0/a.json", row(1, annotations=given))
        sync.load(source=f"{sync.source.uri}/0")
        sync.annotate(sync.tasks()[0]["id"])
        project = sync.project
        for n in (1, 2):
            folder = f"{sync.target.uri}/{n}"
            assert sync.save(project=project, target=folder, layout="task")["written"] == 1
            (file,) = (name for name in sync.target.names() if name.startswith(f"{n}/"))
            sync.source.put(f"{n}/a.json", sync.target.json(file))
            project = sync.server.create_project()
            report = sync.load(source=f"{sync.source.uri}/{n}", project=project)
            assert (report["tasks_created"], report["annotators_unknown"], report["ignored_keys"]) == (1, 2, 0)
        (task,) = sync.tasks(project)
        who = {each["import_id"]: each["completed_by"]["email"] for each in self.noted(task)}
        said = [who.get(annotation["import_id"]) for annotation in task["annotations"]]
        assert said == ["ann@example.com", None, "ben@example.com", None]

    @staticmethod
    def noted(task: Json) -> list[Json]:
        return task["meta"]["labelsync"]["unknown_annotators"]

    def test_its_own_export_can_be_imported(self, sync: Sync) -> None:
        sync.source.put("a.json", [row(1, predictions=[{"result": GOOD, "score": 0.5}]), row(2)])
        sync.load()
        for task in sync.tasks():
            sync.annotate(task["id"])
        export = f"/api/projects/{sync.project}/exports/"
        in_full = {"annotations__completed_by": {"only_id": False}, "predictions": {"only_id": False}}
        made = sync.ask("POST", export, json={"serialization_options": in_full})
        exported = sync.ask("GET", f"{export}{made['id']}/download")
        assert isinstance(exported[0]["annotations"][0]["completed_by"], dict)

        sync.source.put("second/export.json", exported)
        second = sync.server.create_project()
        report = sync.load(source=f"{sync.source.uri}/second", project=second)
        assert (report["tasks_created"], report["annotators_unknown"], report["quarantined"]) == (2, 0, 0)

        def labels(project: int) -> list[Any]:
            return [
                (
                    task["data"],
                    [(item["result"], item["completed_by"]) for item in task["annotations"]],
                    [(item["result"], item["score"]) for item in task["predictions"]],
                )
                for task in sorted(sync.tasks(project), key=lambda task: task["data"]["text"])
            ]

        assert labels(second) == labels(sync.project)
        assert [len(annotations) for _, annotations, _ in labels(second)] == [1, 1]

    @pytest.mark.parametrize(
        "bad",
        [
            row("bad", predictions=[{"result": ["no object"]}]),
            row("bad", annotations=[{"result": GOOD}, {"result": "no array"}]),
            row("bad", annotations=[{"result": [5]}]),
        ],
        ids=["prediction's result", "annotation", "annotation's result"],
    )
    def test_what_is_invalid_is_named_and_costs_no_other(self, sync: Sync, bad: Json) -> None:
        good = [row(n, predictions=[{"result": GOOD, "score": 0.5}], annotations=[{"result": GOOD}]) for n in (0, 2)]
        sync.source.put("a.json", [good[0], bad, good[1]])
        report = sync.load()
        assert (report["tasks_created"], report["quarantined"]) == (2, 1)
        (failure,) = report["quarantine"]
        assert (failure["key"], failure["row"]) == ("a.json", 1)
        assert "result" in failure["reason"]
        for task in sync.tasks():
            assert (len(task["annotations"]), len(task["predictions"])) == (1, 1)


class TestBug6OneAtATime:
    ROWS, BATCH = 300, 20
    TASK = SimpleNamespace(task_id="first", dag_id="signs", run_id="hourly", try_number=1, map_index=-1)

    @pytest.fixture
    def server(self, any_label_studio: LabelStudioServer) -> LabelStudioServer:
        return any_label_studio

    def test_lookers_and_a_second_run_double_nothing(self, sync: Sync) -> None:
        """Whoever lists the storages makes it take a long sync for a dead one: a second sync imports beside it."""
        folder = sync.server.document_root / f"project-{sync.project}"
        folder.mkdir()
        storages = "/api/storages/localfiles/"
        sync.ask("POST", storages, json={"project": sync.project, "path": str(folder)})
        sync.source.put("large.jsonl", lines(*(row(number) for number in range(self.ROWS))))
        over = threading.Event()

        def look() -> int:
            looks = 0
            while not over.is_set():
                sync.ask("GET", storages, params={"project": sync.project})
                looks += 1
                over.wait(0.05)
            return looks

        with ThreadPoolExecutor(2) as pool:
            slow = {"batch_size": self.BATCH, "min_seconds_between_batches": 0.2}
            first = pool.submit(sync.load, {"ti": self.TASK}, **slow)
            looking = pool.submit(look)
            try:
                while not (first.done() or sync.tasks()):
                    time.sleep(0.05)
                with pytest.raises(AirflowException, match=r"task 'first' of DAG 'signs', run 'hourly'") as refused:
                    sync.load(wait_for_lease=0)
                assert not first.done()
                report = first.result()
            finally:
                over.set()
        assert not isinstance(refused.value, AirflowFailException), "the next try may come through"
        assert looking.result() > 3
        assert report["tasks_created"] == self.ROWS
        assert sync.texts() == sorted(map(str, range(self.ROWS)))
        assert sync.load()["unchanged"] == self.ROWS


class TestBug7ChangesAndDeletions:
    @pytest.fixture(autouse=True)
    def imported(self, sync: Sync) -> None:
        for name in "abc":
            sync.source.put(f"{name}.json", row(name))
        assert sync.load()["tasks_created"] == 3

    def test_a_changed_object_is_reported(self, sync: Sync) -> None:
        """Its sync never notices."""
        sync.source.put("a.json", row("other"))
        for _ in range(2):
            report = sync.load()
            assert (report["changed"], report["tasks_updated"], report["tasks_created"]) == (1, 0, 0)
        assert sync.texts() == ["a", "b", "c"]

    def test_a_changed_object_updates_its_task_unless_somebody_annotated_it(self, sync: Sync) -> None:
        """Its sync never does."""
        ids = {name: sync.task(name) for name in "abc"}
        sync.annotate(ids["b"])
        for name in "ab":
            sync.source.put(f"{name}.json", row(f"other {name}"))
        report = sync.load(on_changed="update")
        assert (report["changed"], report["tasks_updated"], report["tasks_created"]) == (2, 1, 0)
        found = {task["id"]: task["data"]["text"] for task in sync.tasks()}
        assert found == {ids["a"]: "other a", ids["b"]: "b", ids["c"]: "c"}

    def test_a_deleted_object_is_reported_and_its_task_deleted_if_asked_for(self, sync: Sync) -> None:
        """Its sync never notices."""
        sync.annotate(sync.task("b"))
        for name in "ab":
            (sync.source.path / f"{name}.json").unlink()
        report = sync.load()
        assert (report["missing"], report["tasks_deleted"]) == (2, 0)
        assert sync.texts() == ["a", "b", "c"]
        report = sync.load(on_missing="delete")
        assert (report["missing"], report["tasks_deleted"]) == (2, 1)
        assert sync.texts() == ["b", "c"]

    def test_a_deleted_task_stays_away_until_it_is_asked_for(self, sync: Sync) -> None:
        """Its sync brings it back each time."""
        sync.ask("DELETE", f"/api/tasks/{sync.task('b')}/")
        report = sync.load()
        assert (report["tasks_created"], report["unchanged"]) == (0, 3)
        assert sync.texts() == ["a", "c"]
        assert sync.load(restore_deleted=True)["tasks_created"] == 1
        assert sync.texts() == ["a", "b", "c"]

    def test_a_new_ledger_doubles_nothing(self, sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its sync imports everything a second time when a storage is created anew."""
        before = sync.tasks()
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", f"sqlite:///{tmp_path}/new.db")
        sync.source.put("d.json", row("d"))
        report = sync.load()
        assert (report["adopted"], report["tasks_created"]) == (3, 1)
        assert sync.tasks()[:3] == before
        assert sync.texts() == ["a", "b", "c", "d"]


def test_bug_7_what_its_own_sync_has_imported_from_a_bucket_is_adopted(
    sync: Sync, rclone: S3Server, connect_s3: Connect
) -> None:
    """Its sync, from another storage of the same bucket, imports everything a second time."""
    bucket = rclone.create_bucket()
    keys = [f"photos/{name}.jpg" for name in ("a", "b c", "ä#1")]
    for key in keys:
        rclone.client().put_object(Bucket=bucket, Key=key, Body=b"jpg")
    connect_s3(rclone)
    project = sync.server.create_project(label_config=IMAGE)
    at_s3 = {
        "bucket": bucket,
        "prefix": "photos/",
        "s3_endpoint": rclone.endpoint,
        "aws_access_key_id": rclone.access_key,
        "aws_secret_access_key": rclone.secret_key,
        "region_name": rclone.region,
        "use_blob_urls": True,
    }
    storage = sync.ask("POST", "/api/storages/s3/", json={"project": project, **at_s3})
    own = sync.ask("POST", f"/api/storages/s3/{storage['id']}/sync")
    assert (own["status"], own["last_sync_count"]) == ("completed", 3)
    before = [task["id"] for task in sync.tasks(project)]

    rclone.client().put_object(Bucket=bucket, Key="photos/new.jpg", Body=b"jpg")
    blobs: dict[str, Any] = {"source": f"s3://{bucket}/photos/", "project": project, "use_blob_urls": True}
    report = sync.load(**blobs, adopt=True)
    assert (report["adopted"], report["unchanged"], report["tasks_created"]) == (3, 3, 1)
    assert sync.load(**blobs)["unchanged"] == 4
    tasks = sync.tasks(project)
    assert [task["id"] for task in tasks][:3] == before
    assert {task["data"]["image"] for task in tasks} == {f"s3://{bucket}/{key}" for key in [*keys, "photos/new.jpg"]}


def test_bug_7_what_its_own_sync_has_imported_from_a_directory_is_adopted(sync: Sync, connect: Connect) -> None:
    """Its sync, from another storage of the same directory, imports everything a second time."""
    connect("fs_default", conn_type="fs", extra={"path": str(sync.server.document_root)})
    project = sync.server.create_project(label_config=IMAGE)
    folder = sync.server.document_root / f"project {project}"
    (folder / "sub").mkdir(parents=True)
    for name in ("a b.jpg", "sub/ä#1.jpg"):
        (folder / name).write_bytes(b"jpg")
    here = {"project": project, "path": str(folder), "use_blob_urls": True, "recursive_scan": True}
    storage = sync.ask("POST", "/api/storages/localfiles/", json=here)
    own = sync.ask("POST", f"/api/storages/localfiles/{storage['id']}/sync")
    assert (own["status"], own["last_sync_count"]) == ("completed", 2)
    before = sync.tasks(project)

    report = sync.load(source=f"file://{folder}", project=project, use_blob_urls=True, adopt=True)
    assert (report["adopted"], report["unchanged"], report["tasks_created"]) == (2, 2, 0)
    assert sync.tasks(project) == before


class TestBug8OneBadThing:
    BAD: ClassVar[dict[str, Any]] = {
        "broken.json": '{"data": ',
        "latin.json": '{"text": "ä"}'.encode("latin-1"),
        "notes.txt": "no task file",
        "number.json": "5",
        "other.json": {"data": {"image": "the label config asks for a text"}},
        "rows.json": [row("row 0"), {"annotations": []}, row("row 2")],
    }
    ROWS: ClassVar[dict[str, int]] = {"other.json": 0, "rows.json": 1}

    def test_never_stops_the_others_and_is_named(self, sync: Sync, caplog: pytest.LogCaptureFixture) -> None:
        """Its sync ends at the first object it does not like, by the order of names."""
        for name, content in {"a.json": row("first"), **self.BAD, "z.json": row("last")}.items():
            sync.source.put(name, content)
        report = sync.load()
        assert sync.texts() == ["first", "last", "row 0", "row 2"]
        assert report["quarantined"] == len(self.BAD)
        named = {failure["key"]: failure["row"] for failure in report["quarantine"]}
        assert named.keys() == self.BAD.keys()
        assert {key: named[key] for key in self.ROWS} == self.ROWS
        assert all(failure["reason"] for failure in report["quarantine"])
        for name in self.BAD:
            assert name in caplog.text

    def test_leaves_no_error_behind_when_it_is_mended(self, sync: Sync, ledger: Engine) -> None:
        """Its sync shows the old error for ever."""

        def quarantined() -> int:
            with ledger.connect() as connection:
                return connection.scalar(text("SELECT count(*) FROM labelsync_quarantine")) or 0

        for name, content in self.BAD.items():
            sync.source.put(name, content)
        sync.load()
        assert quarantined() == len(self.BAD)
        for name in self.BAD:
            sync.source.put(name, row(name))
        (sync.source.path / "notes.txt").unlink()
        report = sync.load(on_changed="update", on_missing="delete", max_delete=10)
        assert (report["quarantined"], report["quarantine"]) == (0, [])
        assert quarantined() == 0
        assert sync.texts() == sorted(self.BAD.keys() - {"notes.txt"})


class TestBug10Redis:
    @pytest.fixture(autouse=True)
    def connected(self, sync: Sync, valkey: RedisServer, connect_redis: Connect) -> None:
        connect_redis(valkey)

    def test_database_0_can_be_a_source(self, sync: Sync, valkey: RedisServer) -> None:
        """It takes 0 for no database, and cannot connect."""
        valkey.client(0).set("tasks/a", json.dumps(row("a")))
        assert sync.load(source="redis://0/tasks/")["tasks_created"] == 1
        assert sync.texts() == ["a"]

    def test_without_a_path_every_key_is_taken(self, sync: Sync, valkey: RedisServer) -> None:
        """It takes the keys that begin with "None"."""
        for key in ("a", "None of these"):
            valkey.client(1).set(key, json.dumps(row(key)))
        assert sync.load(source="redis://1")["tasks_created"] == 2
        assert sync.texts() == ["None of these", "a"]

    def test_the_filter_is_applied(self, sync: Sync, valkey: RedisServer) -> None:
        """It takes every key."""
        for key in ("tasks/a", "tasks/b", "tasks/task.1"):
            valkey.client(1).set(key, json.dumps(row(key)))
        report = sync.load(source="redis://1/tasks/", regex_filter=r"tasks/(a|task\.)")
        assert (report["listed"], report["matched"], report["tasks_created"]) == (3, 2, 2)
        assert sync.texts() == ["tasks/a", "tasks/task.1"]

    def test_every_key_can_be_a_task(self, sync: Sync, valkey: RedisServer) -> None:
        """It reads every value as JSON, whatever it was told, and ends at the first that is none."""
        for key in ("photos/a.jpg", "photos/b.jpg"):
            valkey.client(1).set(key, b"\xff\xd8")
        report = sync.load(source="redis://1/photos/", use_blob_urls=True)
        assert (report["tasks_created"], report["quarantined"]) == (2, 0)
        assert sync.texts() == ["redis://1/photos/a.jpg", "redis://1/photos/b.jpg"]

    def test_a_key_of_another_type_is_named_and_costs_no_other(self, sync: Sync, valkey: RedisServer) -> None:
        """It ends at the first such key."""
        valkey.client(1).rpush("tasks/a list", 1, 2)
        valkey.client(1).set("tasks/b", json.dumps(row("b")))
        report = sync.load(source="redis://1/tasks/")
        assert (report["tasks_created"], report["quarantined"]) == (1, 1)
        assert report["quarantine"][0]["key"] == "tasks/a list"
        assert "list" in report["quarantine"][0]["reason"]
        assert sync.texts() == ["b"]

    def test_an_export_keeps_to_its_path(self, sync: Sync, valkey: RedisServer) -> None:
        """It writes to the key that is the annotation's number, beside or over whatever is there."""
        valkey.client(1).set("tasks/a", json.dumps(row("a")))
        sync.load(source="redis://1/tasks/")
        annotation = sync.annotate(sync.task("a"))
        valkey.client(2).set(str(annotation), "somebody else's")
        report = sync.save(target="redis://2/labels/")
        assert report["written"] == 1
        assert sorted(valkey.client(2).keys()) == sorted([b"%d" % annotation, b"labels/%d.json" % annotation])
        assert valkey.client(2).get(str(annotation)) == b"somebody else's"
        assert json.loads(valkey.client(2)[f"labels/{annotation}.json"])["result"] == GOOD
