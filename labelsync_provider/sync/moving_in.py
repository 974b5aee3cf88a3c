"""Moving in: entering in the ledger the tasks that a project has, and the ledger does not know.

They are from a ledger that was lost, from a server that had another address, or from another tool.
"""

from labelsync_provider.projects.protocol import Project, StoredTask
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.sync.ledger import BLOB_ROW, Ledger, Reference


def move_in(project: Project, source: Storage, ledger: Ledger, *, by_data: bool) -> int:
    """Enter the tasks that were made from objects in the place of a source; return how many were unknown.

    :param by_data: also those that only hold an object's URI in their data, as Label Studio's own sync makes them. They
        are taken to be of the version that is listed.
    """
    entered = 0
    for page in project.tasks_after(0, with_data=by_data):
        found = []
        for task in page:
            reference = _noted(task, source) or (_held(task, source) if by_data else None)
            if reference:
                found.append((reference, task.id))
        entered += ledger.enter_unknown(found)
    if entered:
        ledger.supersede_older()
    return entered


def _noted(task: StoredTask, source: Storage) -> Reference | None:
    """Return the source reference in a task's `meta`, if it leads to this place."""
    note = task.meta.get("labelsync")
    if not isinstance(note, dict):
        return None
    uri, row, version = note.get("uri"), note.get("row"), note.get("version")
    row = BLOB_ROW if row is None else row
    digest = version if row == BLOB_ROW else note.get("digest")
    path = source.path_of(uri) if isinstance(uri, str) else None
    if path is None or not (isinstance(row, int) and isinstance(version, str) and isinstance(digest, str)):
        return None
    return Reference(path, row, version, digest, row)


def _held(task: StoredTask, source: Storage) -> Reference | None:
    """Return a reference to the object whose URI a task shows; of its version, nothing is known."""
    values = (value for value in task.data.values() if isinstance(value, str))
    path = next(filter(None, map(source.path_of, values)), None)
    return None if path is None else Reference(path, BLOB_ROW, "", "", BLOB_ROW)
