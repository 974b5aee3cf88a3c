"""Creates one of Label Studio's own storages, or updates the one that is at its location.

Source of what is said about them: label-studio 1.23.2, its package `io_storages`.
"""

import logging
import time

from labelsync_provider.errors import Invalid, RequestFailed, Unavailable, invalid
from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.answers import NotSent, Refused
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.doubles import CREATED, delete_doubles_of, without_double
from labelsync_provider.projects.label_studio.static_keys import keys_in
from labelsync_provider.projects.label_studio.storage_options import StorageOptions, check_options, fields_of
from labelsync_provider.projects.label_studio.storage_types.kind import Direction
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage
from labelsync_provider.projects.label_studio.storages import find_storage, is_at, list_storages, storages_path
from labelsync_provider.projects.protocol import Json

log = logging.getLogger(__name__)

LONGEST_TITLE = 256

APPEARING_SECONDS = 30.0
"""Time for which a storage is looked for whose creation was not answered."""
LOOK_SECONDS = 1.0


def put_storage(
    client: Client,
    project_id: int,
    direction: Direction,
    wanted: LabelStudioStorage,
    options: StorageOptions | None = None,
    description: str | None = None,
) -> tuple[int, bool]:
    """Create a storage, or update the one that is at this location; return its id, and whether it was created.

    An import storage is not synced by this. Of an export storage, Label Studio syncs a new one before it answers, as
    long as its SYNC_ON_TARGET_STORAGE_CREATION is true.

    :param description: by default that of a storage which is there already stays.
    :raises Invalid: Label Studio does not take it, would ignore a part of it, or would break with it.
    :raises Unavailable: Label Studio cannot look at the storage; where it has an endpoint of its own, it does not say
        why. Or it is not certain whether the storage was created.
    """
    options = options or StorageOptions()
    check_options(wanted, direction, options)
    client.hide(keys_in(wanted.login))
    there = list_storages(client, project_id, direction, wanted.type)
    found = [row for row in there if is_at(row, wanted, direction)]
    fields = {"project": project_id, **fields_of(wanted, direction, options)}
    if description is not None:
        fields["description"] = description
    if found:
        delete_doubles_of(client, direction, wanted.type, found)
        _update(client, direction, wanted, found[0]["id"], fields)
        return int(found[0]["id"]), False
    if there and direction == "export":
        raise _second_target(wanted, there[0], project_id)
    created = _create(client, project_id, direction, wanted, fields)
    return without_double(client, project_id, direction, wanted, created)


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


def _second_target(wanted: LabelStudioStorage, there: Json, project_id: int) -> Invalid:
    what = (
        f"project {project_id} already exports to {wanted.kind.uri(there)} (target storage {there['id']}), and "
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
