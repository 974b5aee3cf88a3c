"""The source storages that a project has of its own, as an import sees them: what it may have been synced from.

Source of what is said about them: label-studio 1.23.2, its package `io_storages`.
"""

from datetime import datetime

from labelsync_provider.errors import invalid
from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.answers import Refused
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.storage_types.registry import KINDS
from labelsync_provider.projects.label_studio.storages import storages_path
from labelsync_provider.projects.label_studio.sync_state import IN_PROGRESS
from labelsync_provider.projects.protocol import Json, OwnStorage

KEPT = (
    *("bucket", "container", "prefix", "host", "port", "db", "path"),
    *("regex_filter", "use_blob_urls", "recursive_scan"),
)
"""Fields that tell where a storage is, and what it takes."""


def lock(client: Client, storage: OwnStorage) -> None:
    """See to it that nobody can press Sync on a storage; annotators see its objects as before."""
    path = storages_path("import", storage.type, storage.id)
    row = client.get(path, shapes.Created)
    # Of some types, Label Studio checks a PATCH as if what is not in it were empty.
    body = {name: row[name] for name in KEPT if name in row} | {"synchronizable": False}
    try:
        client.ask("PATCH", path, body=body)
    except Refused as error:
        remedy = "Correct what it names, or delete the storage in the project's Settings, Cloud Storage."
        what = f"Label Studio does not lock source storage {storage.id}, {storage.uri}: {error}".rstrip(".")
        raise invalid("lock_own_sync", True, what, remedy) from error


def own_storage(row: Json) -> OwnStorage:
    """Return a source storage as an import sees it, from what a list of all types tells of it."""
    kind = KINDS[row["type"]]
    container, start = kind.start(row)
    return OwnStorage(
        row["type"],
        row["id"],
        container,
        start,
        recursive=not kind.selects or bool(row.get("recursive_scan")),
        regex_filter=str(row.get("regex_filter") or ""),
        as_blobs=bool(row.get("use_blob_urls")),
        synchronizable=row.get("synchronizable") is not False,
        synced_at=_synced_at(row),
        is_syncing=row.get("status") in IN_PROGRESS,
    )


def _synced_at(row: Json) -> datetime | None:
    """Return when the last sync began, if it has completed.

    What was there then was imported. `completed_with_errors` says that some was not.
    """
    if row.get("status") != "completed":
        return None
    try:
        began = datetime.fromisoformat((row.get("meta") or {})["time_in_progress"])
    except (KeyError, TypeError, ValueError):
        return None
    return began if began.tzinfo else None
