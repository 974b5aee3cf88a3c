"""Label Studio's own storages of a project: where the API has them, and which of them is the one that is meant.

Source of what is said about them: label-studio 1.23.2, its package `io_storages`.
"""

from typing import Any

from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.storage_types.kind import Direction
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage
from labelsync_provider.projects.naming import StorageType
from labelsync_provider.projects.protocol import Json


def storages_path(direction: Direction, storage_type: StorageType, storage_id: int | None = None) -> str:
    """Return where the API has the storages of a type, or one of them."""
    where = f"/api/storages/{'export/' if direction == 'export' else ''}{storage_type}"
    if storage_id is not None:
        return f"{where}/{storage_id}"
    return where if direction == "export" else f"{where}/"


def list_storages(
    client: Client, project_id: int, direction: Direction, storage_type: StorageType | None = None
) -> list[Json]:
    """Return the storages of a type, or of all types, the oldest first.

    A sync that has shown no life for 25 seconds is marked `failed` by this, though it may go on. Asked for all types,
    Label Studio leaves those out that it cannot list: whether there is a storage, only the list of its type tells.
    """
    everywhere = "/api/storages/" if direction == "import" else "/api/storages/export"
    path = everywhere if storage_type is None else storages_path(direction, storage_type)
    shape: Any = list[shapes.Created] if storage_type else list[shapes.OwnStorage]
    rows: list[Json] = client.get(path, shape, project=project_id)
    return sorted(rows, key=lambda row: int(row["id"]))


def find_storage(client: Client, project_id: int, direction: Direction, wanted: LabelStudioStorage) -> Json | None:
    """Return the oldest storage at a location, if there is one; see `list_storages` for what it does besides."""
    there = list_storages(client, project_id, direction, wanted.type)
    return next((row for row in there if is_at(row, wanted, direction)), None)


def is_at(row: Json, wanted: LabelStudioStorage, direction: Direction) -> bool:
    """Tell whether a storage that the server has told of is at a location."""
    place = wanted.kind.place
    return place(row, direction) == place(wanted.location, direction)
