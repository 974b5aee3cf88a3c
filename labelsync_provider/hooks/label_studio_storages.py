"""Label Studio's own storages, as DAG authors name them: by a storage URI and a connection, or by an id."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from labelsync_provider.errors import NotFound, invalid
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.storage import access_to, storage_hook
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.server import LabelStudioServer
from labelsync_provider.projects.label_studio.storage_types.kind import Direction
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage, told_of
from labelsync_provider.projects.label_studio.storages import find_storage
from labelsync_provider.projects.label_studio.sync_state import Storage
from labelsync_provider.projects.naming import StorageType, is_id
from labelsync_provider.stop import Stop


@contextmanager
def opened_server(
    label_studio_conn_id: str, project: int | str, stop: Stop | None = None
) -> Iterator[tuple[Client, int]]:
    """Give a client of the server, for the length of a block, and the project's id.

    :param stop: ends what the client does.
    :raises Invalid: the connection leads to the embedded store, which has no storages of its own.
    :raises NotFound: there is no such project.
    """
    with closing(LabelStudioHook(label_studio_conn_id, stop)) as hook:
        store = hook.open_store()
        if not isinstance(store, LabelStudioServer):
            what = "it leads to the embedded store, which has no storages of its own"
            remedy = "Import with ImportStorageSyncOperator and export with ExportAnnotationsOperator, which need none."
            raise invalid("label_studio_conn_id", label_studio_conn_id, what, remedy)
        yield store.client, store.project(project).id


def label_studio_storage(uri: str, storage_conn_id: str | None) -> LabelStudioStorage:
    """Return what Label Studio is to be told of a storage, to reach it itself.

    :raises Invalid: Label Studio knows no such storages, or cannot log in as the connection does.
    """
    return told_of(access_to(storage_hook("storage", uri, storage_conn_id), uri))


def find_own_storage(
    client: Client,
    project_id: int,
    direction: Direction,
    storage: int | str,
    storage_type: StorageType | None,
    storage_conn_id: str | None,
) -> Storage:
    """Return the storage that is meant. To find one by its URI, those of the project are listed, see `find_storage`.

    :raises NotFound: the project has none at the URI.
    """
    uri = str(storage)
    if is_id(uri) and storage_type is not None:
        return Storage(direction, storage_type, int(uri))
    wanted = label_studio_storage(uri, storage_conn_id)
    row = find_storage(client, project_id, direction, wanted)
    if row is None:
        raise NotFound(
            f"storage={uri!r}: project {project_id} has no {direction} storage at {wanted.uri}. Create it "
            "with LabelStudioStorageOperator, or correct the storage URI."
        )
    return Storage(direction, wanted.type, row["id"])
