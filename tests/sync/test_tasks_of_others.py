"""Tasks that others made and an import has adopted: which they stand for, what is counted, and that they stay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from importing import Importing, texts
from model.bucket import Bucket, BucketStorage
from model.fake_project import Clock, Process
from model.worlds import EmbeddedWorld, FakeWorld
from sqlalchemy import Engine

from labelsync_provider.errors import Unavailable
from labelsync_provider.projects.protocol import OwnStorage, Task
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import Page
from labelsync_provider.sync import ImportOptions, ImportReport, import_storage
from labelsync_provider.sync.importing import applying
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import Changes

SYNCED_AT = datetime(2021, 7, 6, tzinfo=UTC)


class NamedStorage(BucketStorage):
    """A bucket in memory with a name, of which all was written before the own sync began."""

    def __init__(self, objects: dict[str, bytes], name: str) -> None:
        super().__init__(objects, "")
        self.uri = f"mem://{name}/"
        self.location = Location(f"mem://{name}", "memory")

    def list(self) -> Iterator[Page]:
        for page in super().list():
            yield [type(info)(info.key, info.size, info.version, None, 0.0) for info in page]

    def object_uri(self, key: str) -> str:
        return self.uri + key

    def path_of(self, uri: str) -> str | None:
        return uri.removeprefix(self.uri) if uri.startswith(self.uri) else None


@dataclass
class Adopting(Importing):
    """Imports from buckets with names into a project that others have filled."""

    own_storages: Sequence[OwnStorage] = ()
    buckets: dict[str, Bucket] = field(default_factory=dict)

    def __call__(self, prefix: str = "bucket", **options: Any) -> ImportReport:
        source = NamedStorage(self.buckets.setdefault(prefix, Bucket()).objects, prefix)
        project, given = self.world.open(Process()), ImportOptions(**options)
        return import_storage(source, project, self.engine, given, "a test", self.runtime, self.own_storages)

    def fill(self, key: str, content: Any, bucket: str = "bucket") -> None:
        self.source = self.buckets.setdefault(bucket, Bucket())
        self.put(key, content)

    def made(self, text: str, key: str | None = None, **more: str) -> int:
        """Have others make a task, from an object or not; return its id."""
        number: int = self.world.server.add({"text": text, **more}, key)  # type: ignore[attr-defined]
        return number


@pytest.fixture
def run(engine: Engine) -> Adopting:
    return Adopting(Bucket(), FakeWorld(Clock(), reuses_ids=False), engine, own_storages=[own_storage()])


def own_storage(**fields: Any) -> OwnStorage:
    given: dict[str, Any] = {"type": "s3", "id": 1, "container": "mem://bucket", "start": "", "recursive": True}
    given |= {"regex_filter": "", "as_blobs": False, "synchronizable": False, "synced_at": SYNCED_AT}
    return OwnStorage(**given | fields)


@pytest.mark.parametrize(
    ("storage", "options", "refused"),
    [
        ({}, {}, True),
        ({}, {"dry_run": True}, True),
        ({}, {"adopt": False}, False),
        ({"start": "below/"}, {}, True),
        ({"container": "mem://elsewhere"}, {}, False),
        ({"as_blobs": True}, {}, False),
    ],
)
def test_what_is_being_synced_is_adopted_once_that_has_ended(
    run: Adopting, storage: dict[str, Any], options: dict[str, Any], refused: bool
) -> None:
    run.fill("a.json", texts("0", "1"))
    run.made("0", "a.json")
    run.own_storages = [own_storage(**{"is_syncing": True, "synced_at": None} | storage)]
    given = {"adopt": True} | options
    if not refused:
        run(**given)
        return
    with pytest.raises(Unavailable, match=r"source storage 1 of project .*StorageSyncSensor"):
        run(**given)
    run.made("1", "a.json")
    run.own_storages = [own_storage()]
    report = run(adopt=True)
    assert (report.adopted, report.tasks_created) == (2, 0)


@pytest.mark.parametrize("decide", ["edit", "delete"])
def test_what_was_deleted_beside_an_edited_task_stays_away_once_it_is_decided_which_that_is(
    run: Adopting, decide: str
) -> None:
    run.fill("a.json", texts(*"0123"))
    tasks = [run.made(text, "a.json") for text in "0123"]
    run.world.delete(tasks[1])
    run.world.edit(tasks[2], {"text": "by hand"})
    report = run(adopt=True)
    assert (report.quarantined, report.not_restored) == (2, 0)
    if decide == "edit":
        run.world.edit(tasks[2], {"text": "2"})
    else:
        run.world.delete(tasks[2])
    report = run(adopt=True)
    assert (report.quarantined, report.tasks_created) == (0, 0)
    assert [failure.row for failure in report.not_restored_rows] == ([1] if decide == "edit" else [1, 2])
    assert run(restore_deleted=True).tasks_created == report.not_restored


def test_a_task_of_which_it_stays_undecided_which_row_it_is_counts_as_adopted_once(run: Adopting) -> None:
    run.fill("a.json", texts(*"012"))
    for text in ("0", "x", "y"):
        run.made(text, "a.json")
    assert [run(adopt=True).adopted for _ in range(2)] == [3, 0]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("bucket", {}), ("other", {})),
        (("bucket", {"use_blob_urls": True, "regex_filter": ".*jpg"}), ("bucket", {"regex_filter": ".*json"})),
        (("bucket", {"regex_filter": ".*json"}), ("bucket", {"use_blob_urls": True, "regex_filter": ".*jpg"})),
    ],
    ids=["another container", "a row, and not an object", "an object, and not a row"],
)
def test_a_task_that_stands_for_something_is_not_taken_for_anything_else(
    run: Adopting, first: tuple[str, Any], second: tuple[str, Any], dry_run: bool
) -> None:
    run.own_storages = ()
    run.fill("1.jpg", b"a picture")
    for bucket in ("bucket", "other"):
        run.fill("a.json", texts("mem://bucket/1.jpg"), bucket)
    task = run.made("mem://bucket/1.jpg")
    for (bucket, how), adopted in ((first, 1), (second, 0)):
        report = run(bucket, adopt=True, dry_run=dry_run and not adopted, **how)
        assert (report.adopted, report.tasks_created) == (adopted, 1 - adopted)
    run.world.delete(task)
    assert [run(bucket, restore_deleted=True, **how).tasks_created for bucket, how in (first, second)] == [1, dry_run]


@pytest.mark.parametrize("blobs", [False, True], ids=["of a row", "of an object"])
def test_a_task_that_was_updated_is_not_deleted_any_more_than_before(
    run: Adopting, engine: Engine, blobs: bool
) -> None:
    world = run.world = EmbeddedWorld(engine)
    key, uri = ("a.jpg", "mem://bucket/a.jpg") if blobs else ("a.json", "0")
    run.fill(key, b"a picture" if blobs else texts("0"))
    run.fill("b.json", texts("1"))
    # It has more than the URI of an object, or a row's data, in it.
    (task,) = world.open(Process()).import_tasks([Task({"text": uri, **({"note": "by hand"} if blobs else {})})])
    how: dict[str, Any] = {"use_blob_urls": True, "regex_filter": ".*jpg"} if blobs else {}
    assert run(adopt=True, **how).adopted == 1
    run.fill(key, b"another picture" if blobs else texts("zero"))
    assert run(on_changed="update", **how).tasks_updated == 1
    del run.buckets["bucket"].objects[key]
    run.fill("c.jpg", b"a picture")
    assert run(on_missing="delete", max_delete=9, **how).tasks_deleted == 0
    assert task in run.tasks()


def test_says_of_how_many_objects_nothing_tells_what_was_deleted(
    run: Adopting, caplog: pytest.LogCaptureFixture
) -> None:
    run.own_storages = ()
    for key in "abc":
        run.fill(f"{key}.json", texts(key))
        run.made(key)
    run.fill("d.json", texts("d"))
    assert run(adopt=True).new == 1
    assert "of 1 object " in caplog.text


def test_enters_what_is_adopted_a_bounded_number_at_a_time(run: Adopting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "ENTRIES_AT_ONCE", 10)
    entered, enter = [], ImportLedger.enter

    def watched(ledger: ImportLedger, changes: Changes, **how: Any) -> int:
        entered.append(len(changes.created))
        return enter(ledger, changes, **how)

    monkeypatch.setattr(ImportLedger, "enter", watched)
    for n in range(10):
        run.fill(f"{n}.json", texts(*(f"{n}.{row}" for row in range(8))))
        for row in range(8):
            run.made(f"{n}.{row}", f"{n}.json")
    assert run(adopt=True).adopted == 80
    assert max(entered) <= 2 * 8


def test_a_row_that_two_syncs_have_made_is_known_once(run: Adopting, caplog: pytest.LogCaptureFixture) -> None:
    run.fill("a.jsonl", texts("1", "2"))
    for text in "1122":
        run.made(text, "a.jsonl")
    report = run(adopt=True)
    assert (report.adopted, report.adopted_sharing, report.unchanged, report.missing) == (2, 2, 2, 0)
    assert "2 tasks show objects of mem://bucket/, or have the data of rows there" in caplog.text
    again = run()
    assert (again.unchanged, again.missing, again.tasks_created) == (2, 0, 0)


def test_a_row_is_known_where_its_object_is_synced_as_a_file_too(run: Adopting) -> None:
    """Label Studio names the object alike, whichever of its storages has made the task."""
    run.own_storages = [own_storage(), own_storage(id=2, as_blobs=True)]
    run.fill("a.jsonl", texts("1"))
    run.made("edited", "a.jsonl")
    run.made("mem://bucket/a.jsonl", "a.jsonl")
    report = run(adopt=True)
    assert (report.adopted, report.changed, report.new, report.quarantined) == (1, 1, 0, 0)


def test_of_two_tasks_that_show_an_object_the_one_that_is_left_is_restored(run: Adopting) -> None:
    run.own_storages = [own_storage(as_blobs=True)]
    run.fill("a.jpg", "a picture")
    first, second = (run.made("mem://bucket/a.jpg") for _ in range(2))
    report = run(use_blob_urls=True, adopt=True)
    assert (report.adopted, report.adopted_sharing) == (1, 1)
    run.world.delete(first)
    report = run(use_blob_urls=True, adopt=True, restore_deleted=True)
    assert (report.adopted, report.tasks_created) == (1, 0)
    assert set(run.world.snapshot()) == {second}
