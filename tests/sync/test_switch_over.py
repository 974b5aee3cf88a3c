"""The switch-over: a project that Label Studio's own sync has filled, and people have worked in, is adopted.

One story is told with each kind of server and storage, and looked at from all sides; what is special is told by itself.
"""

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from places import Directory, Place, S3Place
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.projects.label_studio import LabelStudioServer as Projects
from labelsync_provider.projects.label_studio_client import Client
from labelsync_provider.projects.label_studio_own_storages import own_storages
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync import ImportOptions, ImportReport, import_storage

pytest_plugins = ["servers.label_studio", "servers.s3"]

SIZE = int(os.environ.get("LABELSYNC_SWITCH_OVER", "30"))
"""Blobs, and as many rows: `make soak` takes 300, and each story then a minute and a half."""

Json = dict[str, Any]
Tasks = dict[int, Json]

RESULT = [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
NUMBERS = ("1", "1.0", "-0.0", "0.1", "1e2", "1E-7", "1e21", "123456789012345678", "0.30000000000000004", "1.50")
WORK = {"annotations": [{"result": RESULT}], "predictions": [{"result": RESULT, "score": 0.5}]}


@dataclass
class Site:
    """A project of a Label Studio server, a place that the server reads too, and a ledger."""

    server: LabelStudioServer
    project: int
    place: Place
    top: str
    """What all keys begin with: a document root is shared by many tests, a bucket is not."""
    engine: Engine

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Ask the server's API, as anybody would."""
        with self.server.client() as client:
            answer = client.request(method, path, **given).raise_for_status()
        return answer.json() if answer.content else None

    def put(self, key: str, content: Any) -> None:
        self.place.put(self.top + key, content)

    def own_storage(self, prefix: str, **fields: Any) -> str:
        """Add a storage of its own to the project, as its settings page does, and sync it; return its path."""
        api, where = storage_fields(self.place, self.top + prefix)
        given = {"project": self.project, "use_blob_urls": False, "recursive_scan": False, **where, **fields}
        path = f"/api/storages/{api}/{self.ask('POST', f'/api/storages/{api}/', json=given)['id']}"
        self.sync(path)
        return path

    def sync(self, storage: str) -> Json:
        """Press Sync; the answer comes when it is over."""
        return self.ask("POST", f"{storage}/sync")

    def run(self, prefix: str, *, recursive: bool = True, **options: Any) -> ImportReport:
        """Import what is below a prefix, which says what it is."""
        blobs = {"use_blob_urls": prefix.startswith("photos")}
        with closing(Client(self.server.url, self.server.token)) as client:
            storage, project = self.place.open(self.top + prefix), Projects(client).project(self.project)
            storage = storage if recursive else self.place.open(self.top + prefix, recursive=False)
            own = own_storages(client, self.project)
            given = ImportOptions(**{**blobs, **options})
            return import_storage(storage, project, self.engine, given, "the run of this test", own_storages=own)

    def tasks(self) -> Tasks:
        """Return what the project has, by id: all that an import could change of a task, and what people made of it."""
        asked = {"project": self.project, "fields": "all", "resolve_uri": "false", "page_size": 10_000}
        return {
            task["id"]: {name: task[name] for name in ("data", "meta", "updated_at")}
            | {kind: [(one["id"], one["result"]) for one in task[kind]] for kind in ("annotations", "predictions")}
            for task in self.ask("GET", "/api/tasks", params=asked)["tasks"]
        }

    def texts(self) -> Counter[str]:
        """Return what the tasks show, the URI of a blob by its key."""
        return Counter(short(task["data"]["text"]) for task in self.tasks().values())

    def of(self, *texts: str) -> list[int]:
        """Return the first task of each text."""
        shown = {short(task["data"]["text"]): number for number, task in sorted(self.tasks().items(), reverse=True)}
        return [shown[text] for text in texts]

    def delete(self, *texts: str) -> None:
        for number in self.of(*texts):
            self.ask("DELETE", f"/api/tasks/{number}/")

    def edit(self, **texts: str) -> None:
        """Write another text into the data of tasks."""
        for number, text in zip(self.of(*texts), texts.values(), strict=True):
            self.ask("PATCH", f"/api/tasks/{number}/", json={"data": {"text": text}})

    def add(self, data: Json, meta: Json | None = None) -> None:
        """Add a task, as another tool would."""
        with closing(Client(self.server.url, self.server.token)) as client:
            (added,) = Projects(client).project(self.project).import_tasks([Task(data, meta or {})])
        assert isinstance(added, int), added

    def uri(self, key: str) -> str:
        folder, _, name = (self.top + key).rpartition("/")
        storage = self.place.open(f"{folder}/")
        return storage.object_uri(name if isinstance(self.place, Directory) else self.top + key)


def storage_fields(place: Place, prefix: str) -> tuple[str, Json]:
    """Return what the API calls a storage of a place, and the fields that say where it is."""
    if isinstance(place, Directory):
        return "localfiles", {"path": str(place.root / prefix)}
    assert isinstance(place, S3Place)
    server = place.server
    keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
    at = {"s3_endpoint": server.endpoint, "region_name": server.region}
    return "s3", {"bucket": place.bucket, "prefix": prefix, **at, **keys}


def short(text: str) -> str:
    """Return the name of the file that a text is the URI of; another text as it is."""
    return text.rpartition("/")[2]


def named(failures: list[Any]) -> set[tuple[str, int | None]]:
    return {(short(failure.key), failure.row) for failure in failures}


def rows_of(*texts: str, **beside: Any) -> list[Json]:
    return [{"data": {"text": text}, **beside} for text in texts]


def content(name: str, rows: list[Json]) -> Any:
    """Return a task file: JSON lines, or an array, or an object by itself."""
    if name.endswith(".jsonl"):
        return "\n".join(map(json.dumps, rows))
    return rows[0] if name.startswith("single") else rows


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory, rclone: S3Server) -> Iterator[Callable[..., Site]]:
    """Make a site with an empty project, an empty place and an empty ledger."""
    engines = []

    def open_site(server: LabelStudioServer, kind: str) -> Site:
        place = Directory(server.document_root) if kind == "files" else S3Place(rclone, rclone.create_bucket())
        engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/labelsync.db")
        engines.append(engine)
        top = f"{secrets.token_hex(8)}/" if kind == "files" else ""
        return Site(server, server.create_project(), place, top, engine)

    yield open_site
    for engine in engines:
        engine.dispose()


# --- the story ---


@dataclass
class Filled:
    """What stands in the place, and what people have done to the tasks of it."""

    photos: list[str]
    files: dict[str, list[Json]]
    deleted_photos: list[str]
    deleted_rows: list[str]
    not_restored_rows: set[tuple[str, int]]
    """The rows that are taken for those deleted: of equal ones, the last."""
    edited: dict[str, str]
    annotated: list[str]


def filled(size: int) -> Filled:
    """Decide on a place with so many blobs and rows, and on what people do."""
    photos = [f"{n:04}.jpg" for n in range(size)]
    long = size // 4
    files = {
        "array.json": [{"text": f"array {n}"} for n in range(long)],
        "lines.jsonl": [row for n in range(long) for row in rows_of(f"line {n}", **(WORK if n % 3 == 0 else {}))],
        "equal.json": rows_of("same", "same", "like", "like", "other"),
        "one.json": rows_of("one 0", "one 1", "one 2"),
        "two.jsonl": rows_of("two 0", "two 1", "two 2", "two 3"),
    }
    rest = size - sum(map(len, files.values()))
    # The first is equal to a row of another file.
    files |= {f"single-{n}.json": rows_of(f"single {n}" if n else "array 0") for n in range(rest)}
    middle = range(1, 1 + max(1, size // 30 - 3))
    return Filled(
        photos,
        files,
        deleted_photos=photos[5 : 5 + size // 15],
        deleted_rows=[*(f"array {n}" for n in middle), "line 2", "same", "single 2"],
        not_restored_rows={*(("array.json", n) for n in middle), ("lines.jsonl", 2), ("equal.json", 1)}
        | {("single-2.json", 0)},
        edited={"one 1": "one, by hand", "two 1": "two, by hand", "two 2": "too, by hand"},
        annotated=[photos[0], photos[-1], "array 0", "line 1", "other"],
    )


@dataclass
class Story:
    """What was there at the end of each part, and what the runs have reported."""

    there: Filled
    photos: ImportReport
    rows: ImportReport
    again: list[ImportReport]
    later: list[ImportReport]
    restored: list[ImportReport]
    pressed: list[Json]
    """What Label Studio tells of its own syncs at the end, of photos and of rows."""
    adopted_again: list[ImportReport]
    tasks: dict[str, Tasks]

    def new(self, part: str, before: str) -> Counter[str]:
        """Return the texts of the tasks that a part has brought."""
        brought = self.tasks[part].keys() - self.tasks[before].keys()
        return Counter(short(self.tasks[part][number]["data"]["text"]) for number in brought)

    def kept(self, part: str, before: str) -> bool:
        """Tell whether every task of an earlier part is there as it was."""
        return {number: self.tasks[part].get(number) for number in self.tasks[before]} == self.tasks[before]


@pytest.fixture(scope="module", params=["label_studio", "label_studio_postgres"])
def server(request: pytest.FixtureRequest) -> LabelStudioServer:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=["files", "bucket"])
def story(request: pytest.FixtureRequest, server: LabelStudioServer, open_site: Callable[..., Site]) -> Story:
    """Fill a project by its own sync, have people work in it, and switch over."""
    site, there = open_site(server, request.param), filled(SIZE)
    for name in there.photos:
        site.put(f"photos/{name}", "a picture")
    for name, rows in there.files.items():
        site.put(f"rows/{name}", content(name, rows))
    storages = [site.own_storage("photos/", use_blob_urls=True), site.own_storage("rows/")]

    for number in site.of(*there.annotated):
        site.ask("POST", f"/api/tasks/{number}/annotations/", json={"result": RESULT})
    site.delete(*there.deleted_photos, *there.deleted_rows)
    site.edit(**there.edited)
    tasks = {"own": site.tasks()}

    def told(part: str, **options: Any) -> list[ImportReport]:
        reports = [site.run("photos/", **options), site.run("rows/", **options)]
        tasks[part] = site.tasks()
        return reports

    photos, rows = told("adopted", adopt=True)
    again = told("again")
    site.put("photos/new.jpg", "a new picture")
    site.put("rows/new.json", rows_of("new 0", "new 1"))
    site.put("rows/array.json", [*there.files["array.json"], {"text": "a new row"}])
    later = told("later")
    restored = told("restored", restore_deleted=True)
    pressed = [site.sync(storage) for storage in storages]
    tasks["pressed"] = site.tasks()
    return Story(there, photos, rows, again, later, restored, pressed, told("adopted again", adopt=True), tasks)


class TestSwitchOver:
    def test_adopts_every_blob_and_row(self, story: Story) -> None:
        there, size = story.there, len(story.there.photos)
        assert (story.photos.adopted, story.photos.adopted_sharing) == (size - len(there.deleted_photos), 0)
        assert (story.rows.adopted, story.rows.adopted_sharing) == (size - len(there.deleted_rows), 0)
        assert (story.photos.missing, story.rows.missing) == (0, 0)

    def test_doubles_nothing_and_touches_no_task(self, story: Story) -> None:
        assert (story.photos.tasks_created, story.rows.tasks_created) == (0, 0)
        assert story.tasks["adopted"] == story.tasks["own"]

    def test_names_what_a_person_deleted_and_does_not_restore_it(self, story: Story) -> None:
        there, photos, rows = story.there, story.photos, story.rows
        assert (photos.not_restored, rows.not_restored) == (len(there.deleted_photos), len(there.deleted_rows))
        assert named(story.photos.not_restored_rows) == {(name, None) for name in there.deleted_photos[:20]}
        assert named(story.rows.not_restored_rows) == there.not_restored_rows

    def test_pairs_the_one_edited_task_of_a_file_as_changed(self, story: Story) -> None:
        assert (story.photos.changed, story.rows.changed) == (0, 1)

    def test_names_the_rows_that_may_be_either_of_two_edited_tasks(self, story: Story) -> None:
        assert (story.photos.quarantined, story.rows.quarantined) == (0, 2)
        assert named(story.rows.quarantine) == {("two.jsonl", 1), ("two.jsonl", 2)}

    def test_has_nothing_left_to_do_afterwards(self, story: Story) -> None:
        assert [(report.new, report.tasks_created, report.adopted) for report in story.again] == [(0, 0, 0)] * 2
        assert story.tasks["again"] == story.tasks["own"]

    def test_takes_from_then_on_what_is_new_and_nothing_else(self, story: Story) -> None:
        assert [report.tasks_created for report in story.later] == [1, 3]
        assert story.new("later", "again") == Counter(["new.jpg", "new 0", "new 1", "a new row"])
        assert story.kept("later", "own")

    def test_restores_exactly_what_was_deleted_when_asked(self, story: Story) -> None:
        assert story.new("restored", "later") == Counter([*story.there.deleted_photos, *story.there.deleted_rows])
        assert story.kept("restored", "later")

    def test_cannot_keep_a_press_of_sync_from_doubling_what_it_has_no_link_to(self, story: Story) -> None:
        brought = [*story.there.deleted_photos, "new.jpg", "single 2", "new 0", "new 1"]
        assert story.new("pressed", "restored") == Counter(brought)
        assert sum(own["last_sync_count"] for own in story.pressed) == len(brought)

    def test_counts_what_was_doubled_so_and_leaves_it_alone(self, story: Story) -> None:
        photos, rows = story.adopted_again
        assert photos.adopted_sharing == len(story.there.deleted_photos) + 1
        assert (photos.tasks_created, photos.tasks_deleted, rows.tasks_created, rows.tasks_deleted) == (0, 0, 0, 0)
        assert story.tasks["adopted again"] == story.tasks["pressed"]


# --- what is special, on one server and with files, unless it is about buckets ---


@pytest.fixture
def site(label_studio: LabelStudioServer, open_site: Callable[..., Site]) -> Site:
    return open_site(label_studio, "files")


@pytest.fixture
def bucket(label_studio: LabelStudioServer, open_site: Callable[..., Site]) -> Site:
    return open_site(label_studio, "bucket")


@pytest.fixture(params=["files", "bucket"])
def either(request: pytest.FixtureRequest, label_studio: LabelStudioServer, open_site: Callable[..., Site]) -> Site:
    return open_site(label_studio, request.param)


def counted(report: ImportReport) -> tuple[int, int, int]:
    return report.adopted, report.not_restored, report.tasks_created


class TestEvidence:
    """What has no task was deleted by a person only if the own sync has certainly made one of it."""

    def test_is_none_for_the_rows_at_the_end_of_a_file_as_its_sync_may_have_ended_there(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.put("rows/a.json", rows_of(*"0123"))
        site.own_storage("rows/")
        site.delete("2", "3")
        assert counted(site.run("rows/", adopt=True)) == (2, 0, 2)
        assert site.texts() == Counter("0123")
        assert "a.json" in caplog.text

    def test_is_none_once_the_storage_is_deleted(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        site.put("photos/0.jpg", "a picture")
        site.put("photos/1.jpg", "a picture")
        site.put("rows/a.json", rows_of("0", "1", "2"))
        storages = [site.own_storage("photos/", use_blob_urls=True), site.own_storage("rows/")]
        site.delete("0.jpg", "1")
        for storage in storages:
            site.ask("DELETE", storage)
        assert counted(site.run("photos/", adopt=True)) == (1, 0, 1)
        assert counted(site.run("rows/", adopt=True)) == (2, 0, 1)
        assert site.texts() == Counter(["0.jpg", "1.jpg", "0", "1", "2"])
        assert "deleted" in caplog.text

    def test_is_none_if_the_last_sync_failed(self, site: Site) -> None:
        site.put("rows/a.json", rows_of("0", "1", "2"))
        site.put("rows/b.json", rows_of("3"))
        storage = site.own_storage("rows/")
        site.delete("1", "3")
        site.put("rows/0.json", '{"text": ')
        assert site.sync(storage)["status"] == "failed"
        assert counted(site.run("rows/", adopt=True)) == (2, 0, 2)

    def test_is_none_for_what_was_written_after_the_last_sync(self, either: Site) -> None:
        either.put("photos/0.jpg", "a picture")
        either.own_storage("photos/", use_blob_urls=True)
        either.put("photos/1.jpg", "a picture")
        assert counted(either.run("photos/", adopt=True)) == (1, 0, 1)

    def test_is_none_for_what_was_written_while_the_last_sync_went_on(self, site: Site) -> None:
        site.put("rows/a.json", rows_of("0"))
        storage = site.own_storage("rows/")
        site.put("rows/b.json", rows_of("1"))
        there = site.ask("GET", storage)
        site.ask("PATCH", storage, json={**there, "last_sync": "2999-01-01T00:00:00Z"})
        assert counted(site.run("rows/", adopt=True)) == (1, 0, 1)

    @pytest.mark.parametrize(
        ("fields", "unseen"),
        [({"regex_filter": ".*[.]jpg"}, "1.png"), ({"recursive_scan": False}, "below/1.jpg")],
        ids=["its filter", "its recursion"],
    )
    def test_is_none_for_what_the_own_storage_leaves_out(self, either: Site, fields: Json, unseen: str) -> None:
        either.put("photos/0.jpg", "a picture")
        either.put(f"photos/{unseen}", "a picture")
        either.own_storage("photos/", use_blob_urls=True, **fields)
        assert counted(either.run("photos/", adopt=True)) == (1, 0, 1)


class TestPairing:
    def test_goes_by_equal_data_alone_once_the_storage_is_deleted(self, site: Site) -> None:
        site.put("rows/a.json", rows_of("same", "same", "0"))
        site.put("rows/b.json", rows_of("same"))
        site.ask("DELETE", site.own_storage("rows/"))
        assert counted(site.run("rows/", adopt=True)) == (4, 0, 0)
        assert site.run("rows/").unchanged == 4

    def test_goes_by_what_json_says_and_not_by_how_it_is_written(
        self, server: LabelStudioServer, open_site: Callable[..., Site]
    ) -> None:
        """Label Studio's tables, and its two ways to read a file, write numbers in other ways than the file does."""
        site = open_site(server, "files")
        for n, number in enumerate(NUMBERS):
            row = f'{{"text": "{n}", "more": {{"b": [null, {number}], "a": "\\u00e4\\ud83d\\ude00"}}}}'
            site.put(f"rows/{n}-array.json", f"[{row}, {row}]")
            site.put(f"rows/{n}-line.jsonl", f"{row}\n{row}")
        site.own_storage("rows/")
        size = 4 * len(NUMBERS)
        report = site.run("rows/", adopt=True)
        assert (report.adopted, report.unchanged, named(report.quarantine)) == (size, size, set())
        assert site.run("rows/").unchanged == size

    def test_names_the_rows_of_a_file_of_which_one_was_edited_and_one_deleted(self, site: Site) -> None:
        site.put("rows/a.json", rows_of(*"0123"))
        site.own_storage("rows/")
        site.edit(**{"1": "by hand"})
        site.delete("2")
        report = site.run("rows/", adopt=True)
        assert counted(report) == (3, 0, 0)
        assert named(report.quarantine) == {("a.json", 1), ("a.json", 2)}

    def test_of_what_was_undecided_is_done_once_people_have_made_it_plain(self, site: Site) -> None:
        site.put("rows/a.json", rows_of(*"0123"))
        site.own_storage("rows/")
        edited = site.of("1", "2")
        site.edit(**{"1": "by hand", "2": "too"})
        assert counted(site.run("rows/", adopt=True)) == (4, 0, 0)
        site.ask("PATCH", f"/api/tasks/{edited[1]}/", json={"data": {"text": "2"}})
        before = site.tasks()
        report = site.run("rows/", adopt=True)
        assert (report.unchanged, report.changed, report.quarantined, report.tasks_created) == (3, 1, 0, 0)
        report = site.run("rows/", on_changed="update")
        assert (report.changed, report.tasks_updated) == (1, 1)
        assert site.tasks().keys() == before.keys()
        assert site.texts() == Counter("0123")

    def test_leaves_tasks_of_the_same_key_in_another_bucket_to_that(self, bucket: Site, rclone: S3Server) -> None:
        first, second = bucket.place, S3Place(rclone, rclone.create_bucket())
        for place, text in ((first, "first"), (second, "second")):
            bucket.place = place
            bucket.put("rows/a.json", rows_of(text))
            bucket.own_storage("rows/")
        for place in (first, second):
            bucket.place = place
            assert counted(bucket.run("rows/", adopt=True)) == (1, 0, 0)
            assert bucket.run("rows/").changed == 0


class TestTakesTheSourcesTasksOnly:
    @pytest.mark.parametrize(
        "how",
        [
            {"prefix": "photos/a/"},
            {"prefix": "photos/", "recursive": False},
            {"prefix": "photos/", "regex_filter": ".*[.]jpg"},
        ],
        ids=["prefix", "recursion", "filter"],
    )
    def test_and_a_later_run_on_the_rest_takes_the_others(self, bucket: Site, how: Json) -> None:
        others = {"photos/a/": "photos/0.jpg", "photos/": "photos/a/1.png"}[how["prefix"]]
        own = "photos/a/0.jpg" if how["prefix"] == "photos/a/" else "photos/0.jpg"
        for key in (own, others):
            bucket.put(key, "a picture")
        bucket.own_storage("photos/", use_blob_urls=True, recursive_scan=True)
        assert counted(bucket.run(adopt=True, **how)) == (1, 0, 0)
        assert counted(bucket.run("photos/", adopt=True)) == (1, 0, 0)

    def test_and_no_task_with_a_reference_to_another_place(self, site: Site) -> None:
        for key in ("photos/0.jpg", "elsewhere/0.jpg"):
            site.put(key, "a picture")
        site.run("elsewhere/", use_blob_urls=True)
        (made,) = site.tasks().values()
        site.delete("0.jpg")
        site.add({"text": site.uri("photos/0.jpg")}, meta=made["meta"])
        assert counted(site.run("photos/", adopt=True)) == (0, 0, 1)

    def test_and_no_task_with_the_uri_in_another_key_than_the_data_key(self, site: Site) -> None:
        site.put("photos/0.jpg", "a picture")
        site.add({"text": "compare with", "other": site.uri("photos/0.jpg")})
        assert counted(site.run("photos/", adopt=True)) == (0, 0, 1)

    def test_and_deletes_none_that_holds_more_than_the_uri(self, site: Site) -> None:
        for name in ("0.jpg", "1.jpg"):
            site.put(f"photos/{name}", "a picture")
            site.add({"text": site.uri(f"photos/{name}"), **({"note": "by hand"} if name == "0.jpg" else {})})
        site.put("photos/2.jpg", "a picture")
        site.run("photos/", adopt=True)
        site.place.delete(*(f"{site.top}photos/{name}" for name in ("0.jpg", "1.jpg")))
        report = site.run("photos/", on_missing="delete", max_delete=5)
        assert (report.missing, report.tasks_deleted) == (2, 1)
        assert site.texts() == Counter(["0.jpg", "2.jpg"])


def test_a_dry_run_of_adoption_reports_the_same_and_enters_nothing(site: Site) -> None:
    site.put("rows/a.json", rows_of(*"0123"))
    site.own_storage("rows/")
    site.delete("1")
    assert [counted(site.run("rows/", adopt=True, dry_run=True)) for _ in range(2)] == [(3, 1, 0)] * 2
    assert counted(site.run("rows/", adopt=True)) == (3, 1, 0)


def warnings_of_sync(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was warned of that a press of Sync would do."""
    warnings = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    return [warning for warning in warnings if "Sync" in warning]


class TestOwnStorageOnTheSamePlace:
    """Whoever presses Sync on it once more, doubles what is imported from now on."""

    def test_is_warned_of_while_it_can_be_synced(self, either: Site, caplog: pytest.LogCaptureFixture) -> None:
        either.put("photos/0.jpg", "a picture")
        storage = either.own_storage("photos/", use_blob_urls=True)
        either.run("photos/", adopt=True)
        (warning,) = warnings_of_sync(caplog)
        assert re.search(rf"\b{storage.rpartition('/')[2]}\b", warning)

    def test_is_not_warned_of_elsewhere_or_locked(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        for key in ("photos/0.jpg", "photos-2/0.jpg"):
            site.put(key, "a picture")
        site.own_storage("photos-2/", use_blob_urls=True)
        locked = site.own_storage("photos/", use_blob_urls=True)
        site.ask("PATCH", locked, json={**site.ask("GET", locked), "synchronizable": False})
        site.run("photos/", adopt=True)
        assert warnings_of_sync(caplog) == []

    @pytest.mark.parametrize("lock", [True, False])
    def test_can_be_locked_by_the_operator(
        self, either: Site, lock: bool, connect: Callable, connect_s3: Callable, connections: Any, rclone: S3Server
    ) -> None:
        connect("label_studio_default", conn_type="label_studio", host=either.server.url, password=either.server.token)
        connect("fs_default", conn_type="fs", extra={"path": str(either.server.document_root)})
        connect_s3(rclone)
        for name in ("0.jpg", "1.jpg"):
            either.put(f"photos/{name}", "a picture")
        storage = either.own_storage("photos/", use_blob_urls=True)
        either.delete("0.jpg")
        operator = ImportStorageSyncOperator(
            task_id="load",
            source=either.place.open(f"{either.top}photos/").uri,
            project=either.project,
            use_blob_urls=True,
            adopt=True,
            register_storage=True,
            allow_static_keys=True,
            lock_own_sync=lock,
        )
        report = operator.execute({})
        assert (report["adopted"], report["not_restored"], report["tasks_created"]) == (1, 1, 0)
        with either.server.client() as client:
            pressed = client.post(f"{storage}/sync")
        assert (pressed.status_code, either.texts()["0.jpg"]) == ((400, 0) if lock else (200, 1))
