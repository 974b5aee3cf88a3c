"""What a project's own storages tell of a source: which object a task was made from, and what was synced."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.projects.protocol import OwnStorage
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.sync.importing.own_sync import OwnSync, mounted_elsewhere, syncable, syncing

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
        (of(storage(), storage(as_blobs=True)), "rows/a.json", "rows/a.json"),
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
    ("own", "modified", "has_imported"),
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
    own: OwnSync, modified: float | str | None, has_imported: bool
) -> None:
    assert own.has_imported("rows/a.json", ObjectInfo("rows/a.json", 1, "1", None, modified)) == has_imported


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
    assert bool(syncing([own._replace(is_syncing=own.synchronizable)], location)) == warns


@pytest.mark.parametrize(("ours", "its"), [("link", "link"), ("link", "real"), ("real", "link"), ("real", "real")])
def test_a_document_root_may_be_a_link_here_or_there(tmp_path: Path, ours: str, its: str) -> None:
    (tmp_path / "real" / "rows").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    location = LocalFiles(f"file://{tmp_path}/{ours}/rows", f"{tmp_path}/{ours}").location
    storage, name = directory(start=f"{tmp_path}/{its}/rows/"), f"{tmp_path}/{its}/rows/a.json"
    own = of(storage, location=location)
    assert syncable([storage], location)
    assert own.path_of(name) == "rows/a.json"
    assert not own.is_elsewhere(name)
    assert own.has_imported("rows/a.json", ObjectInfo("a.json", 1, "1", None, 0))


def test_a_filter_that_cannot_be_read_is_that_of_the_storage() -> None:
    with pytest.raises(Invalid, match=r"source storage 7, s3://b/rows/: .*'\('"):
        of(storage(id=7, regex_filter="("))


@pytest.mark.parametrize("own", [storage(synced_at=None), storage(as_blobs=True), storage(container="s3://other")])
def test_a_filter_that_tells_nothing_of_the_source_may_be_any(own: OwnStorage) -> None:
    assert not of(own._replace(regex_filter="(")).has_imported(
        "rows/a.json", ObjectInfo("rows/a.json", 1, "1", None, 0)
    )


@pytest.mark.parametrize(
    ("imported", "path", "imports"),
    [
        ([], "rows/a.json", True),
        ([], "rows/moved/a.json", False),
        (["/data/rows/sub/b.json"], "rows/moved/a.json", False),
        (["/data/rows/sub/b.json"], "rows/sub/a.json", True),
    ],
)
def test_a_file_was_there_if_its_folder_was(imported: list[str], path: str, imports: bool) -> None:
    """A folder that is moved brings files that keep their time."""
    own = of(directory(), location=FILES)
    for name in imported:
        own.note(name)
    assert own.has_imported(path, ObjectInfo(path, 1, "1", None, (BEGAN - timedelta(hours=1)).timestamp())) == imports


@pytest.mark.parametrize(
    ("own", "location", "elsewhere"),
    [
        (directory(), FILES, False),
        (directory(start="/"), FILES, False),
        (directory(start="/label-studio/data/rows/"), FILES, True),
        (storage(), BUCKET, False),
        (directory(start="/label-studio/data/"), BUCKET, False),
    ],
)
def test_files_outside_the_document_root_may_be_mounted_elsewhere(
    own: OwnStorage, location: Location, elsewhere: bool
) -> None:
    assert bool(mounted_elsewhere([own], location)) == elsewhere
