"""Adoption: taking tasks that a project already has into the ledger.

They are from a ledger that was lost, from a server that had another address, or from another tool.
"""

from msgspec.structs import replace

from labelsync_provider.projects.protocol import Project, StoredTask
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import Changes, KnownRow, RowState

HIGHEST_POSITION = 2**31 - 1
LONGEST_BYTES = 2000
"""Length of a text that PostgreSQL takes in an index, with room for what stands beside it."""


def adopt(project: Project, source: Storage, ledger: ImportLedger, *, by_data: bool) -> int:
    """Enter the tasks that were made from objects in the container of a source; return how many were unknown.

    :param by_data: also those that only hold an object's URI in their data, as Label Studio's own sync makes them. They
        are taken to be of the version that is listed.
    """
    adopted = 0
    for page in project.tasks_after(0, with_data=by_data):
        noted: set[int | None] = set()
        for blobs in (False, True):
            found = [row for task in page if (row := _noted(task, source, blobs))]
            noted |= {row.task for row in found}
            adopted += _enter(ledger.of(blobs=blobs), found)
        if by_data:
            held = [row for task in page if task.id not in noted and (row := _held(task, source))]
            adopted += _enter(ledger.of(blobs=True), held, only_unknown_objects=True)
    return adopted


def _enter(ledger: ImportLedger, tasks: list[KnownRow], *, only_unknown_objects: bool = False) -> int:
    """Enter those of the tasks that the ledger does not know; return how many these are.

    Of several tasks for one row the youngest stands for it, unless the object has been compared: then what the ledger
    knows is right.

    :param tasks: by ascending id, each with the row that it was made from; their `number` does not count.
    :param only_unknown_objects: whether an object of which any row is known is passed over.
    """
    known_tasks = ledger.known_tasks([row.task for row in tasks if row.task is not None])
    unknown = [row for row in tasks if row.task not in known_tasks]
    paths = sorted({row.path for row in unknown})
    rows = {path: {row.number: row for row in known} for path, known in ledger.rows_of(paths).items()}
    compared = {obj.path for page in ledger.objects_at(paths) for obj in page if obj.version is not None}
    changes, adopted = Changes(), dict[tuple[str, int], KnownRow]()
    for row in unknown:
        known = rows.setdefault(row.path, {})
        if known and only_unknown_objects:
            continue
        row = replace(row, number=max(known, default=-1) + 1)
        live = (other for other in known.values() if other.state == RowState.LIVE)
        same = next((other for other in live if other.position == row.position), None)
        if same and row.path in compared:
            row = replace(row, state=RowState.SUPERSEDED, position=None)
        elif same:
            known[same.number] = same = replace(same, state=RowState.SUPERSEDED, position=None)
            (adopted if (same.path, same.number) in adopted else changes.changed)[same.path, same.number] = same
        known[row.number] = row
        adopted[row.path, row.number] = row
    changes.created = list(adopted.values())
    if changes:
        ledger.enter(changes, reopens=paths)
    return len(adopted)


def _noted(task: StoredTask, source: Storage, blobs: bool) -> KnownRow | None:
    """Return the row in a task's source reference, if it leads to this container."""
    note = task.meta.get("labelsync")
    if not isinstance(note, dict):
        return None
    uri, position, key = note.get("uri"), note.get("row"), note.get("key")
    digest = note.get("version") if blobs else note.get("digest")
    path = source.path_of(uri) if isinstance(uri, str) else None
    if not path or not isinstance(digest, str) or blobs != (position is None):
        return None
    # To Python, true is a number.
    if not (position is None or (type(position) is int and 0 <= position <= HIGHEST_POSITION)):
        return None
    key = key if isinstance(key, str) else None
    if not all(map(_can_be_entered, (path, digest, key or ""))):
        return None
    return KnownRow(path, 0, RowState.LIVE, position or 0, task.id, digest, key)


def _held(task: StoredTask, source: Storage) -> KnownRow | None:
    """Return the row of the object whose URI a task shows; of its version, nothing is known."""
    values = (value for value in task.data.values() if isinstance(value, str))
    path = next(filter(None, map(source.path_of, values)), None)
    if path is None or not _can_be_entered(path):
        return None
    return KnownRow(path, 0, RowState.LIVE, 0, task.id, None, None)


def _can_be_entered(text: str) -> bool:
    """Tell whether every database takes a text in an index: what stands in a task may be anybody's."""
    try:
        return "\0" not in text and len(text.encode()) <= LONGEST_BYTES
    except UnicodeEncodeError:
        return False
