"""Label Studio's own storages of a project: creating and updating them, and what must be there for objects to be seen.

Source of what is said about them: label-studio 1.23.2, its package `io_storages`.
"""

import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from labelsync_provider.errors import (
    Denied,
    Invalid,
    NotFound,
    RequestFailed,
    Unavailable,
    check_flags,
    check_whole_numbers,
    invalid,
)
from labelsync_provider.projects.label_studio import shapes as shapes
from labelsync_provider.projects.label_studio.client import Client, NotSent, Refused
from labelsync_provider.projects.label_studio.keys import check_handover, keys_in
from labelsync_provider.projects.naming import StorageType
from labelsync_provider.projects.protocol import Json
from labelsync_provider.regex_filter import check_regex_filter

log = logging.getLogger(__name__)

Direction = Literal["import", "export"]

TYPES: tuple[StorageType, ...] = ("s3", "gcs", "azure", "redis", "localfiles")
BUCKETS = ("s3", "gcs", "azure")
DELETING = ("s3", "localfiles")
"""Of the other types, Label Studio ignores `can_delete_objects`."""

LONGEST_PRESIGN_TTL = 32_767
"""Minutes: a small integer, where Label Studio keeps its tables in PostgreSQL."""

LONGEST_TITLE = 256

APPEARING_SECONDS = 30.0
"""Time for which a storage is looked for whose creation was not answered."""
LOOK_SECONDS = 1.0

REGISTERED = (
    "Registered by labelsync-provider, so that annotators see what it imports. Do not sync: it would import twice."
)
"""The description of such a storage; what a person made has another one, and is left alone."""
CREATED = "Created by labelsync-provider."
"""That of other new storages: of several at one place, it tells those that came of one request."""

SCHEMES: Mapping[str, tuple[StorageType, str]] = {
    "s3": ("s3", "bucket"),
    "gs": ("gcs", "bucket"),
    "azure-blob": ("azure", "container"),
}
NEVER_THERE = "labelsync-provider/is-any-file-served"


@dataclass(frozen=True)
class LabelStudioStorage:
    """A storage as Label Studio knows it.

    :param type: Label Studio's word for the service.
    :param location: the fields that tell it from others: `bucket` and `prefix`; `container` and `prefix`; `host`,
        `port`, `db` and `path`; or `path`. A prefix is a folder, whether it ends in `/` or not.
    :param login: the other fields: keys, endpoint, region. What is not named here stays as it is in a storage that is
        there already.
    """

    type: StorageType
    location: Mapping[str, str | int]
    login: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    @property
    def uri(self) -> str:
        """What a person calls it, host included."""
        return uri_of(self.type, self.location)


@dataclass(frozen=True)
class StorageOptions:
    """How Label Studio is to use a storage. Names and meaning are Label Studio's, unless said here.

    :param title: by default the storage's URI; that of a storage which is there already stays.
    :param recursive_scan: None is the guide's rule: a local directory is walked recursively, a bucket without a
        prefix is scanned whole, with a prefix its sub-folders are not.
    :param presign_ttl: the life of a signed URL, in minutes.
    """

    title: str | None = None
    description: str | None = None
    regex_filter: str | None = None
    use_blob_urls: bool = False
    recursive_scan: bool | None = None
    presign: bool = True
    presign_ttl: int = 15
    can_delete_objects: bool | None = None
    synchronizable: bool = True


def uri_of(storage_type: StorageType, fields: Mapping[str, object]) -> str:
    """Return what a person calls a storage.

    :param fields: as the API has them.
    """
    if storage_type == "redis":
        host, port, db, path = _location(storage_type, fields)
        return f"redis://{host}:{port}/{db}/{path}"
    if storage_type == "localfiles":
        return f"file://{fields.get('path') or ''}"
    scheme = next(scheme for scheme, (of_type, _) in SCHEMES.items() if of_type == storage_type)
    bucket, prefix = _location(storage_type, fields)
    return f"{scheme}://{bucket}/{prefix}".rstrip("/")


def storages_path(direction: Direction, storage_type: StorageType, storage_id: int | None = None) -> str:
    """Return where the API has the storages of a type, or one of them."""
    where = f"/api/storages/{'export/' if direction == 'export' else ''}{storage_type}"
    if storage_id is not None:
        return f"{where}/{storage_id}"
    return where if direction == "export" else f"{where}/"


def list_storages(client: Client, project_id: int, direction: Direction, storage_type: StorageType) -> list[Json]:
    """Return the storages of a type, the oldest first.

    A sync that has shown no life for 25 seconds is marked `failed` by this, though it may go on.
    """
    rows: list[Json] = client.get(storages_path(direction, storage_type), list[shapes.Created], project=project_id)
    return sorted(rows, key=lambda row: int(row["id"]))


def find_storage(client: Client, project_id: int, direction: Direction, wanted: LabelStudioStorage) -> Json | None:
    """Return the oldest storage at a location, if there is one; see `list_storages` for what it does besides."""
    there = list_storages(client, project_id, direction, wanted.type)
    return next((row for row in there if _is_at(row, wanted, direction)), None)


def put_storage(
    client: Client,
    project_id: int,
    direction: Direction,
    wanted: LabelStudioStorage,
    options: StorageOptions | None = None,
) -> tuple[int, bool]:
    """Create a storage, or update the one that is at this location; return its id, and whether it was created.

    An import storage is not synced by this. Of an export storage, Label Studio syncs a new one before it answers, as
    long as its SYNC_ON_TARGET_STORAGE_CREATION is true.

    :raises Invalid: Label Studio does not take it, would ignore a part of it, or would break with it.
    :raises Unavailable: Label Studio cannot look at the storage; where it has an endpoint of its own, it does not say
        why. Or it is not certain whether the storage was created.
    """
    options = options or StorageOptions()
    _check(wanted, direction, options)
    client.hide(keys_in(wanted.login))
    there = list_storages(client, project_id, direction, wanted.type)
    found = [row for row in there if _is_at(row, wanted, direction)]
    fields = {"project": project_id, **_fields(wanted, direction, options)}
    if found:
        _delete_doubles(client, direction, wanted.type, found)
        _update(client, direction, wanted, found[0]["id"], fields)
        return int(found[0]["id"]), False
    if there and direction == "export":
        raise _second_target(wanted, there[0], project_id)
    created = _create(client, project_id, direction, wanted, fields)
    return _without_double(client, project_id, direction, wanted, created)


# --- what annotators see ---


def visible(client: Client, project_id: int, source: str) -> str | None:
    """Return why annotators would not see the objects of a source, and the remedy; None if they would.

    Rule: guide "Sync data from external storage": Label Studio shows `s3://bucket/key` if the project has an import
    storage for that bucket, whatever its prefix; and a local file if one has a directory above it.

    :param source: the storage's URI; that of a local directory not percent-encoded.
    """
    scheme, _, rest = source.partition("://")
    if scheme == "file":
        return _unseen_files(client, project_id, rest)
    if scheme not in SCHEMES:
        return (
            f"Label Studio cannot show objects of {source}: it resolves no {scheme}:// URIs. Import task files, "
            "use_blob_urls=False, or keep the objects in a bucket."
        )
    storage_type, name = SCHEMES[scheme]
    bucket = rest.partition("/")[0]
    if any(row.get(name) == bucket for row in list_storages(client, project_id, "import", storage_type)):
        return None
    return (
        f"Annotators will not see the objects of {source}: project {project_id} has no source storage for {name} "
        f"{bucket!r}. Pass register_storage=True, and allow_static_keys=True if the connection holds keys: Label "
        f"Studio then reads the {name} with them "
        "for whoever may open the project; or create one by hand in the project's Settings, Cloud Storage; it need not "
        "be synced."
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
    if wanted.type == "redis":
        remedy = "Leave register_storage out, and import task files: use_blob_urls=False."
        raise invalid("register_storage", True, f"Label Studio shows no objects of {wanted.uri}", remedy)
    if wanted.type != "localfiles":
        wanted = LabelStudioStorage(wanted.type, {**wanted.location, "prefix": ""}, wanted.login)
    visible_by = [row for row in list_storages(client, project_id, "import", wanted.type) if _shows(row, wanted)]
    if visible_by and not any(
        row.get("description") == REGISTERED and _is_at(row, wanted, "import") for row in visible_by
    ):
        return None
    check_handover(wanted.uri, wanted.login, client.url, allowed=allow_static_keys)
    options = StorageOptions(
        description=REGISTERED,
        use_blob_urls=True,
        recursive_scan=True,
        presign=presign,
        presign_ttl=presign_ttl,
        synchronizable=False,
    )
    storage_id, created = put_storage(client, project_id, "import", wanted, options)
    if created:
        log.info("Registered %s as source storage %d of project %d.", wanted.uri, storage_id, project_id)
    return storage_id


def _shows(row: Json, wanted: LabelStudioStorage) -> bool:
    if wanted.type == "localfiles":
        return _is_below(str(wanted.location["path"]), row.get("path"))
    name = "container" if wanted.type == "azure" else "bucket"
    return bool(row.get(name) == wanted.location[name])


def serves_files(client: Client) -> bool:
    """Tell whether Label Studio serves local files at all."""
    try:
        client.get("/data/local-files/", d=NEVER_THERE)
    except Denied:
        return False
    except NotFound:
        return True  # it serves files, and has not this one
    return True


def _unseen_files(client: Client, project_id: int, directory: str) -> str | None:
    if not serves_files(client):
        return (
            f"Annotators will not see the files of {directory}: Label Studio serves no local files. Set its "
            "LOCAL_FILES_SERVING_ENABLED=true and its LOCAL_FILES_DOCUMENT_ROOT to the Path of the fs connection, and "
            "restart it."
        )
    rows = list_storages(client, project_id, "import", "localfiles")
    if any(_is_below(directory, row.get("path")) for row in rows):
        return None
    return (
        f"Annotators will not see the files of {directory}: project {project_id} has no source storage of local files "
        "with this directory or one above it. Pass register_storage=True, or create one by hand in the project's "
        "Settings, Cloud Storage; it need not be synced."
    )


def _is_below(directory: str, path: str | None) -> bool:
    if not path:
        return False
    inside, above = os.path.normpath(directory), os.path.normpath(path)
    return inside == above or inside.startswith(above.rstrip("/") + "/")


# --- creating and updating ---


def _location(storage_type: StorageType, fields: Mapping[str, object]) -> tuple[str, ...]:
    """Return what tells a storage from others, with what Label Studio takes for an empty field."""

    def text(name: str, default: str = "") -> str:
        value = fields.get(name)
        return default if value in (None, "") else str(value)

    if storage_type == "redis":
        return text("host", "localhost"), text("port", "6379"), text("db"), text("path")
    if storage_type == "localfiles":
        return (os.path.normpath(text("path").strip()),)
    return text("container" if storage_type == "azure" else "bucket"), text("prefix").rstrip("/")


def _is_at(row: Json, wanted: LabelStudioStorage, direction: Direction) -> bool:
    there, here = _location(wanted.type, row), _location(wanted.type, wanted.location)
    if wanted.type == "redis" and direction == "export":
        return there[:-1] == here[:-1]  # Label Studio writes beside the path, not below it
    return there == here


def _check(wanted: LabelStudioStorage, direction: Direction, options: StorageOptions) -> None:
    """Refuse what makes no sense, and what Label Studio would take and ignore.

    :raises Invalid: there is such an option.
    """
    if direction not in ("import", "export"):
        raise invalid("direction", direction, "no direction", 'Use "import" or "export".')
    check_flags(options, "use_blob_urls", "presign", "synchronizable")
    check_whole_numbers(options, presign_ttl=1)
    if options.presign_ttl > LONGEST_PRESIGN_TTL:
        raise invalid("presign_ttl", options.presign_ttl, "too many minutes", f"Use at most {LONGEST_PRESIGN_TTL}.")
    if options.recursive_scan not in (None, True, False):
        raise invalid("recursive_scan", options.recursive_scan, "no such choice", "Use True, False or None.")
    if options.can_delete_objects not in (None, True, False):
        raise invalid("can_delete_objects", options.can_delete_objects, "no such choice", "Use True, False or None.")
    check_regex_filter(options.regex_filter)
    ignored = _ignored(wanted.type, direction, options)
    if ignored:
        value = getattr(options, ignored)
        what = f"Label Studio ignores it for an {direction} storage of type {wanted.type!r}"
        raise invalid(ignored, value, what, "Leave it out.")
    if direction == "export" and wanted.type == "redis" and wanted.location["path"]:
        what = "Label Studio ignores the path: it writes each annotation to the key that is its id"
        raise invalid("storage", wanted.uri, what, "Leave the path out, and use a database that holds nothing else.")
    if direction == "import" and wanted.type == "redis" and re.search(r"[*?\[\]\\]", str(wanted.location["path"])):
        what = "Label Studio takes the path for a pattern, in which * ? [ ] and \\ mean something else"
        raise invalid("storage", wanted.uri, what, "Use a path without them.")


def _ignored(storage_type: StorageType, direction: Direction, options: StorageOptions) -> str | None:
    if direction == "import":
        if options.can_delete_objects is not None:
            return "can_delete_objects"
        if storage_type != "redis":
            return None
    elif options.can_delete_objects and storage_type not in DELETING:
        return "can_delete_objects"
    if options.regex_filter:
        return "regex_filter"
    if options.use_blob_urls:
        return "use_blob_urls"
    return "recursive_scan" if options.recursive_scan is not None else None


def _fields(wanted: LabelStudioStorage, direction: Direction, options: StorageOptions) -> Json:
    """Return the full set of fields: of some types, Label Studio checks a PATCH as if the others were empty."""
    location = dict(wanted.location)
    if "prefix" in location:
        # With a slash at its end, exports would go to `prefix//`.
        location["prefix"] = str(location["prefix"]).rstrip("/")
    fields: Json = {**location, **wanted.login, "synchronizable": options.synchronizable}
    fields |= {name: value for name in ("title", "description") if (value := getattr(options, name)) is not None}
    if direction == "export":
        return {**fields, "can_delete_objects": options.can_delete_objects}
    fields |= {"regex_filter": options.regex_filter, "use_blob_urls": options.use_blob_urls}
    if wanted.type != "redis":
        by_the_guide = wanted.type == "localfiles" or not location["prefix"]
        fields["recursive_scan"] = by_the_guide if options.recursive_scan is None else options.recursive_scan
    if wanted.type in BUCKETS:
        fields |= {"presign": options.presign, "presign_ttl": options.presign_ttl}
    return fields


def _update(client: Client, direction: Direction, wanted: LabelStudioStorage, storage_id: int, fields: Json) -> None:
    try:
        client.ask("PATCH", storages_path(direction, wanted.type, storage_id), body=fields)
    except Refused as error:
        raise _not_taken(wanted, error) from error
    except RequestFailed as error:
        raise _not_looked_at(wanted, error) from error


def _create(client: Client, project_id: int, direction: Direction, wanted: LabelStudioStorage, fields: Json) -> int:
    """Create a storage; a request that was not answered is not repeated, but its effect looked for."""
    try:
        new = {"title": wanted.uri[:LONGEST_TITLE], "description": CREATED, **fields}
        answer = client.post(storages_path(direction, wanted.type), new, shapes.Created)
        return int(answer["id"])
    except Refused as error:
        raise _not_taken(wanted, error) from error
    except NotSent:
        raise
    except Unavailable as error:
        seconds = 0.0 if isinstance(error, RequestFailed) else APPEARING_SECONDS
        found = _appeared(client, project_id, direction, wanted, seconds)
        if found is not None:
            log.info("Label Studio created the storage for %s, though: %s", wanted.uri, error)
            return found
        if isinstance(error, RequestFailed):
            raise _not_looked_at(wanted, error) from error
        raise


def _appeared(
    client: Client, project_id: int, direction: Direction, wanted: LabelStudioStorage, seconds: float
) -> int | None:
    deadline = time.monotonic() + seconds
    while (found := find_storage(client, project_id, direction, wanted)) is None:
        if time.monotonic() >= deadline:
            return None
        client.requests.stop.sleep(LOOK_SECONDS)
    return int(found["id"])


def delete_doubles(client: Client, project_id: int, storage_type: StorageType) -> None:
    """Delete the import storages that are there beside one of the same place, and were registered here.

    The server may carry out a request that was given up long ago, by a run that was stopped or killed, beside that of
    the next run.
    """
    rows = list_storages(client, project_id, "import", storage_type)
    for place in {_location(storage_type, row) for row in rows}:
        at_place = [row for row in rows if _location(storage_type, row) == place]
        _delete_doubles(client, "import", storage_type, at_place)


def _delete_doubles(client: Client, direction: Direction, storage_type: StorageType, rows: Sequence[Json]) -> None:
    """Keep the oldest of the storages of one place that were made here; what a person made stays beside it."""
    for mark in (CREATED, REGISTERED):
        first, *doubles = [row["id"] for row in rows if row.get("description") == mark] or [None]
        for double in doubles:
            with suppress(NotFound):  # somebody else was as quick
                client.ask("DELETE", storages_path(direction, storage_type, double))
            log.info("Deleted %s storage %d, the double of storage %d.", direction, double, first)


def _without_double(
    client: Client, project_id: int, direction: Direction, wanted: LabelStudioStorage, created: int
) -> tuple[int, bool]:
    """Take back what was created, if somebody else created the same a moment before."""
    first = find_storage(client, project_id, direction, wanted)
    if first is None or first["id"] >= created:
        return created, True
    with suppress(NotFound):
        client.ask("DELETE", storages_path(direction, wanted.type, created))
    return int(first["id"]), False


def _second_target(wanted: LabelStudioStorage, there: Json, project_id: int) -> Invalid:
    what = (
        f"project {project_id} already exports to {uri_of(wanted.type, there)} (target storage {there['id']}), and "
        f"with two target storages of type {wanted.type!r} Label Studio on PostgreSQL fails every annotation"
    )
    remedy = "Delete the other one in Label Studio first, or write this one with ExportAnnotationsOperator."
    return invalid("storage", wanted.uri, what, remedy)


def _not_taken(wanted: LabelStudioStorage, error: Refused) -> Invalid:
    remedy = (
        "Correct what it names. It looks from its own machine, with the keys of the connection or, where that has "
        "none, with its own; below the prefix of a source it expects at least one object."
    )
    return invalid("storage", wanted.uri, f"Label Studio does not take it: {error}".rstrip("."), remedy)


def _not_looked_at(wanted: LabelStudioStorage, error: RequestFailed) -> Unavailable:
    return Unavailable(
        f"Label Studio cannot look at {wanted.uri}: {error} Of an endpoint that is not a known cloud's it does not say "
        "why: check that it reaches it from its own machine, that bucket and keys are right, and that a source has at "
        "least one object below its prefix."
    )
