"""Storages of Label Studio's own that are there twice: the oldest stays, of those that were made here.

The server may carry out a request that was given up long ago, by a run that was stopped or killed, beside that of the
next run; and two runs may ask at once.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress

from labelsync_provider.errors import NotFound
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.storage_types.kind import Direction, Kind
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage
from labelsync_provider.projects.label_studio.storages import find_storage, storages_path
from labelsync_provider.projects.naming import StorageType
from labelsync_provider.projects.protocol import Json

log = logging.getLogger(__name__)

REGISTERED = (
    "Registered by labelsync-provider, so that annotators see what it imports. Do not sync: it would import twice."
)
"""The description of such a storage; what a person made has another one, and is left alone."""
CREATED = "Created by labelsync-provider."
"""That of other new storages: of several at one place, it tells those that came of one request."""


def delete_doubles(client: Client, kind: Kind, rows: Sequence[Json]) -> bool:
    """Delete those of the source storages of a type that are there beside one of the same place, and were made here.

    :return: whether there was any.
    """
    at_places: dict[tuple[str, ...], list[Json]] = {}
    for row in rows:
        at_places.setdefault(kind.place(row, "import"), []).append(row)
    deleted = [delete_doubles_of(client, "import", kind.type, at_place) for at_place in at_places.values()]
    return any(deleted)


def delete_doubles_of(client: Client, direction: Direction, storage_type: StorageType, rows: Sequence[Json]) -> bool:
    """Keep the oldest of the storages of one place that were made here; what a person made stays beside it.

    :return: whether one was deleted.
    """
    deleted = False
    for mark in (CREATED, REGISTERED):
        first, *doubles = [row["id"] for row in rows if row.get("description") == mark] or [None]
        for double in doubles:
            with suppress(NotFound):  # somebody else was as quick
                client.ask("DELETE", storages_path(direction, storage_type, double))
            log.info("Deleted %s storage %d, the double of storage %d.", direction, double, first)
            deleted = True
    return deleted


def without_double(
    client: Client, project_id: int, direction: Direction, wanted: LabelStudioStorage, created: int
) -> tuple[int, bool]:
    """Take back what was created, if somebody else created the same a moment before."""
    first = find_storage(client, project_id, direction, wanted)
    if first is None or first["id"] >= created:
        return created, True
    with suppress(NotFound):
        client.ask("DELETE", storages_path(direction, wanted.type, created))
    return int(first["id"]), False
