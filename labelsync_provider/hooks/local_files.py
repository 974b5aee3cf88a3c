"""Local files through an Airflow `fs` connection: its Path is the document root."""

import os
from urllib.parse import quote

from airflow.sdk import BaseHook

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import invalid
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.fields import Fields, Kind
from labelsync_provider.hooks.storage import check_recursive_scan
from labelsync_provider.hooks.trial import tried
from labelsync_provider.storages.local_files import LocalFiles

DIRECTORY = Kind(
    lambda value: isinstance(value, str) and value.startswith("/") and "\0" not in value,
    "not an absolute path",
    "Write the directory out, such as /data.",
)
FIELDS: Fields = {"path": DIRECTORY}


class LocalFilesStorageHook(BaseHook):
    """Opens directories below the document root of an `fs` connection.

    :param fs_conn_id: the connection. Its Path is the document root: no path outside it is read or written,
        and the URIs in tasks are relative to it, as to Label Studio's `LOCAL_FILES_DOCUMENT_ROOT`.
    """

    conn_name_attr = "fs_conn_id"
    default_conn_name = "fs_default"
    conn_type = "fs"
    hook_name = "File (path)"
    uri_form = "file:///data/photos"

    def __init__(self, fs_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.fs_conn_id = fs_conn_id

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> LocalFiles:
        """Open a directory to import from.

        :param uri: `file:///directory`.
        :param recursive_scan: None is the guide's rule, which for local files is to walk recursively.
        :raises Invalid: the URI is no absolute local path, or the connection names no document root.
        :raises Denied: the directory is outside the document root.
        :raises NotFound: there is no such connection or directory.
        """
        check_recursive_scan(recursive_scan)
        recursive = recursive_scan is None or bool(recursive_scan)
        storage = LocalFiles(uri, self.document_root(), recursive=recursive, parameter="source")
        storage.check_exists()
        return storage

    def get_target(self, uri: str) -> LocalFiles:
        """Open a directory to export to; it is created by the first write."""
        return LocalFiles(uri, self.document_root(), parameter="target")

    def access(self, uri: str) -> StorageAccess:
        """Return how somebody else reaches the storage, on this machine or another one: by the same path.

        :raises Invalid: the URI is no absolute local path, or the connection names no document root.
        :raises Denied: the directory is outside the document root.
        """
        path = LocalFiles(uri, self.document_root(), parameter="storage").path
        return StorageAccess(uri, f"connection {self.fs_conn_id!r}", path=path)

    def document_root(self) -> str:
        """Return the Path of the connection."""
        remedy = "Create one of type 'File (path)' whose Path is a directory above your files."
        path = get_connection(self.fs_conn_id, remedy, FIELDS).extra_dejson.get("path")
        if not path:
            raise invalid("connection", self.fs_conn_id, "it has no Path, the document root", remedy)
        if os.path.realpath(path) == "/":
            what = (
                f"with this document root, connection {self.fs_conn_id!r} would let whoever starts a run read and "
                "write every file of the machine"
            )
            raise invalid("path", path, what, "Set its Path to a directory above your files, such as /data.")
        return str(path)

    def test_connection(self, uri: str = "", *, target: bool = False) -> tuple[bool, str]:
        """List, read and, for a target, write and remove a probe.

        :param uri: the storage URI; by default the document root.
        """

        def opened() -> LocalFiles:
            where = uri or "file://" + quote(self.document_root())
            return self.get_target(where) if target else self.get_source(where, recursive_scan=False)

        return tried(opened, self.fs_conn_id, target=target)
