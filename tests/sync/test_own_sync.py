"""What a project's own storages tell of a source: which object a task was made from, and what was synced."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labelsync_provider.projects.protocol import OwnStorage
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.sync.importing.own_sync import OwnSync, syncable

BEGAN = datetime(2026, 11, 1, 12, 0, 0, 900_000, tzinfo=UTC)
BUCKET = Location("s3://b", "aws", prefix="rows/")
FILES = Location("file://", "/data", root="rows/")


def storage(**fields: Any) -> OwnStorage:
    given: dict[str, Any] = {"type": "s3", "id": 1, "container": "s3://b", "start": "rows/", "recursive": True}
    given |= {"regex_filter": "", "as_blobs": False, "synchronizable": True, "synced_at": BEGAN}
    return OwnStorage(**given | fields)


def directory(**fields: Any) -> OwnStorage:
    return storage(**{"type": "localfiles", "container": "file://", "start": "/data/rows/"} | fields)


def of(*storages: OwnStorage, location: Location = BUCKET, as_blobs: bool = False) -> OwnSync:
    return OwnSync(storages, location, as_blobs=as_blobs)


@pytest.mark.parametrize(
    ("own", "name", "path"),
    [
        (of(storage()), "rows/a.json", "rows/a.json"),
        (of(storage(start="")), "rows/a.json", "rows/a.json"),
        (of(storage()), "photos/a.json", None),
        (of(storage(recursive=False)), "rows/sub/a.json", None),
        (of(storage(as_blobs=True)), "rows/a.json", None),
        (of(), "rows/a.json", None),
        (of(storage(), storage(container="s3://other")), "rows/a.json", None),
        (of(storage(), storage(container="s3://other", start="photos/")), "rows/a.json", "rows/a.json"),
        (of(directory(), location=FILES), "/data/rows/a.json", "rows/a.json"),
        (of(directory(), location=FILES), "/other/rows/a.json", None),
    ],
)
def test_a_name_leads_to_a_path_where_only_storages_of_the_source_can_be_meant(
    own: OwnSync, name: str, path: str | None
) -> None:
    assert own.path_of(name) == path


@pytest.mark.parametrize(
    ("own", "elsewhere"),
    [
        (of(storage()), False),
        (of(storage(container="s3://other")), True),
        (of(storage(), storage(container="s3://other")), False),
        (of(), False),
    ],
)
def test_what_only_other_places_have_is_theirs(own: OwnSync, elsewhere: bool) -> None:
    assert own.is_elsewhere("rows/a.json") == elsewhere


@pytest.mark.parametrize(
    ("own", "modified", "took"),
    [
        (of(storage()), "2026-11-01T12:00:00.899Z", True),
        (of(storage()), "2026-11-01T12:00:00.901Z", False),
        # A listing of whole seconds: it may have been written behind the beginning of the sync.
        (of(storage()), "2026-11-01T12:00:00.000Z", False),
        (of(storage()), "2026-11-01T11:59:59.000Z", True),
        (of(storage()), (BEGAN - timedelta(hours=1)).timestamp(), True),
        (of(storage()), None, False),
        (of(storage()), "yesterday", False),
        (of(storage(synced_at=None)), "2026-11-01T11:00:00.000Z", False),
        (of(storage(), as_blobs=True), "2026-11-01T11:00:00.000Z", False),
        (of(storage(as_blobs=True), as_blobs=True), "2026-11-01T11:00:00.000Z", True),
        (of(storage(container="s3://other")), "2026-11-01T11:00:00.000Z", False),
        (of(storage(start="rows/sub/")), "2026-11-01T11:00:00.000Z", False),
        (of(storage(regex_filter=".*csv")), "2026-11-01T11:00:00.000Z", False),
        (of(storage(regex_filter="rows/.*json")), "2026-11-01T11:00:00.000Z", True),
        # Of local files, Label Studio matches the name alone.
        (of(directory(regex_filter="rows/"), location=FILES), "2026-11-01T11:00:00.000Z", False),
        (of(directory(regex_filter="a"), location=FILES), "2026-11-01T11:00:00.000Z", True),
    ],
)
def test_was_synced_what_was_there_when_a_sync_began_that_has_completed(
    own: OwnSync, modified: float | str | None, took: bool
) -> None:
    assert own.took("rows/a.json", ObjectInfo("rows/a.json", 1, "1", None, modified)) == took


@pytest.mark.parametrize(
    ("own", "location", "warns"),
    [
        (storage(), BUCKET, True),
        (storage(start=""), BUCKET, True),
        (storage(start="rows/sub/"), BUCKET, True),
        (storage(start="photos/"), BUCKET, False),
        (storage(synchronizable=False), BUCKET, False),
        (storage(container="s3://other"), BUCKET, False),
        (directory(), FILES, True),
        (directory(start="/data/photos/"), FILES, False),
    ],
)
def test_somebody_can_press_sync_where_it_would_take_objects_of_the_source(
    own: OwnStorage, location: Location, warns: bool
) -> None:
    assert bool(syncable([own], location)) == warns
