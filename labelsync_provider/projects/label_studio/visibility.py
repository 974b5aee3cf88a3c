"""Whether annotators see the objects of a source, and the storage of Label Studio's own that has them see these.

Rule: guide "Sync data from external storage": Label Studio shows `s3://bucket/key` if the project has an import storage
for that bucket, whatever its prefix; and a local file if one has a directory above it.
"""

import logging
from collections.abc import Callable, Sequence

from labelsync_provider.errors import Denied, NotFound, invalid
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.doubles import REGISTERED
from labelsync_provider.projects.label_studio.static_keys import check_handover
from labelsync_provider.projects.label_studio.storage_options import StorageOptions
from labelsync_provider.projects.label_studio.storage_types.local_files import KIND as LOCAL_FILES
from labelsync_provider.projects.label_studio.storage_types.registry import BY_SCHEME, LabelStudioStorage
from labelsync_provider.projects.label_studio.storages import is_at, list_storages
from labelsync_provider.projects.label_studio.storing import put_storage
from labelsync_provider.projects.protocol import Json

log = logging.getLogger(__name__)

NEVER_THERE = "labelsync-provider/is-any-file-served"


def why_unseen(client: Client, project_id: int, source: str, storages: Callable[[], Sequence[Json]]) -> str | None:
    """Return why annotators would not see the objects of a source, and the remedy; None if they would.

    :param source: the storage's URI; that of a local directory not percent-encoded.
    :param storages: returns the source storages of the project, as the server tells of them; asked if it depends on
        them.
    """
    scheme, _, rest = source.partition("://")
    kind = BY_SCHEME.get(scheme)
    if kind is None or kind.shows is None:
        return (
            f"Label Studio cannot show objects of {source}: it resolves no {scheme}:// URIs. Import task files, "
            "use_blob_urls=False, or keep the objects in a bucket."
        )
    if kind is LOCAL_FILES and not serves_files(client):
        return (
            f"Annotators will not see the files of {rest}: Label Studio serves no local files. Set its "
            "LOCAL_FILES_SERVING_ENABLED=true and its LOCAL_FILES_DOCUMENT_ROOT to the Path of the fs connection, and "
            "restart it."
        )
    location = {"path": rest} if kind is LOCAL_FILES else {kind.container: rest.partition("/")[0]}
    if any(kind.shows(row, location) for row in storages() if row["type"] == kind.type):
        return None
    if kind is LOCAL_FILES:
        return (
            f"Annotators will not see the files of {rest}: project {project_id} has no source storage of local files "
            "with this directory or one above it. Pass register_storage=True, or create one by hand in the project's "
            "Settings, Cloud Storage; it need not be synced."
        )
    name = kind.container
    return (
        f"Annotators will not see the objects of {source}: project {project_id} has no source storage for {name} "
        f"{location[name]!r}. Pass register_storage=True, and allow_static_keys=True if the connection holds keys: "
        f"Label Studio then reads the {name} with them for whoever may open the project; or create one by hand in the "
        "project's Settings, Cloud Storage; it need not be synced."
    )


def register(
    client: Client,
    project_id: int,
    wanted: LabelStudioStorage,
    *,
    presign: bool = True,
    presign_ttl: int = 15,
    allow_static_keys: bool = False,
) -> int | None:
    """Have annotators see the objects of a storage; return the id of the storage that was created or updated for it.

    It cannot be synced, so that nobody imports everything a second time, and is for the whole bucket, as Label Studio
    has it. What a person made, and shows the objects, is left alone; then None is returned.

    :param presign: hand out signed URLs; else Label Studio passes the bytes through.
    :param presign_ttl: the life of a signed URL, in minutes.
    :param allow_static_keys: Label Studio may be handed keys; see `check_handover`.
    :raises Invalid: Label Studio does not take it, or can show no objects of such a storage, or may not have its keys.
    :raises Unavailable: see `put_storage`.
    """
    shows = wanted.kind.shows
    if shows is None:
        remedy = "Leave register_storage out, and import task files: use_blob_urls=False."
        raise invalid("register_storage", True, f"Label Studio shows no objects of {wanted.uri}", remedy)
    if wanted.kind.container:
        wanted = LabelStudioStorage(wanted.type, {**wanted.location, "prefix": ""}, wanted.login)
    there = list_storages(client, project_id, "import", wanted.type)
    shown_by = [row for row in there if shows(row, wanted.location)]
    ours = [row for row in shown_by if row.get("description") == REGISTERED and is_at(row, wanted, "import")]
    if shown_by and not ours:
        return None
    check_handover(wanted.uri, wanted.login, client.url, allowed=allow_static_keys)
    options = StorageOptions(
        use_blob_urls=True,
        recursive_scan=True,
        presign=presign,
        presign_ttl=presign_ttl,
        synchronizable=False,
    )
    storage_id, created = put_storage(client, project_id, "import", wanted, options, REGISTERED)
    if created:
        log.info("Registered %s as source storage %d of project %d.", wanted.uri, storage_id, project_id)
    return storage_id


def serves_files(client: Client) -> bool:
    """Tell whether Label Studio serves local files at all."""
    try:
        client.get("/data/local-files/", d=NEVER_THERE)
    except Denied:
        return False
    except NotFound:
        return True  # it serves files, and has not this one
    return True
