"""Local files: a directory below a document root, as Label Studio's local storage has it."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from urllib.parse import quote, unquote

from labelsync_provider.errors import Denied, Invalid, NotFound, invalid
from labelsync_provider.retry import Requests
from labelsync_provider.storages.keys import NO_PATH
from labelsync_provider.storages.local_confined import Confined
from labelsync_provider.storages.local_errors import translated
from labelsync_provider.storages.local_listing import Walk
from labelsync_provider.storages.local_paths import local_path, relative
from labelsync_provider.storages.local_reading import READ, content_of
from labelsync_provider.storages.local_writing import delete_file, write_file
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import MOST_BYTES, HoldsFiles, ObjectInfo, Page
from labelsync_provider.storages.temporary import is_temporary
from labelsync_provider.uris import IS_SERVERS, SERVED, if_wildcard

PAGE = 5000
"""Files of a page."""

UNQUOTED = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
"""Most keys are such, and telling so is faster than quoting them."""


class LocalFiles(HoldsFiles):
    """The files of one directory.

    A key is the path below the directory, with `/`. A version is size and mtime, in bytes and nanoseconds.
    Every path is confined to the document root, symbolic links resolved. Only regular files can be read.
    """

    def __init__(self, uri: str, document_root: str, *, recursive: bool = True, parameter: str = "storage URI") -> None:
        """Open the directory named by `uri`, `file:///dir` or just `/dir`, at or below `document_root`.

        :param parameter: what gave the URI, to be named in errors.
        :raises Invalid: the URI names no absolute local path, or the document root is not absolute.
        :raises Denied: the directory is outside the document root.
        """
        directory = local_path(parameter, uri)
        self._given = f"{parameter}={uri!r}"
        root = os.path.normpath(document_root)
        if not os.path.isabs(root):
            raise invalid("document root", document_root, "not an absolute path", "Set the fs connection's Path.")
        self.uri = "file://" + directory
        self._root = os.path.realpath(root)
        self._confined = Confined(self._root)
        self._walk: Walk | None = None
        """The last listing."""
        self.path = directory
        self._recursive = recursive
        self.requests = Requests()
        # Relative to the document root: a mount that moves changes no identity.
        below = relative(directory, root) or relative(directory, self._root)
        if below is None or not self._confined.holds(os.path.realpath(directory)):
            raise Denied(
                f"{parameter}={uri!r} is outside the document root {root}. Choose a directory below it, or set the "
                "Path of the fs connection to a directory above both."
            )
        self.location = Location("file://", self._root, "" if below == "." else below + "/")
        self._directory_uri = SERVED + quote(self.location.root)

    def check_exists(self) -> None:
        """Make sure that the directory is there; see `MadeByWrites.check_exists`."""
        if os.path.isdir(self.path):
            return
        if os.path.exists(self.path):
            name = re.escape(os.path.basename(self.path))
            raise NotFound(
                f"{self._given}: {self.path} is a file. Name the directory that it is in, "
                f"{os.path.dirname(self.path)}, and choose it by regex_filter={name + '$'!r}."
            )
        remedy = if_wildcard(self._given) or " Create it, or correct the storage URI."
        raise NotFound(f"{self._given}: there is no directory {self.path}.{remedy}")

    def list(self) -> Iterator[Page]:
        """Yield the files in pages, in the order of their keys; see `Storage.list`.

        In the place of a directory that cannot be listed stands one object, with what is wrong with it; a FIFO, a
        socket and a device are such as well.
        """
        self._walk = Walk(self._confined, self.path, recursive=self._recursive)
        objects = self._translating(self._walk.objects())
        while page := list(islice(objects, PAGE)):
            self.requests.begin("list")
            yield page

    def covers(self, key: str) -> bool:
        """Tell whether a key lies in a directory that is listed, and could be, by this key.

        What is behind a link that was not followed may be there: it has another key, or cannot be listed.
        """
        return (self._recursive or "/" not in key) and not (self._walk and self._walk.leaves_out(key))

    def object_uri(self, key: str) -> str:
        """Return the path that Label Studio serves, relative to its `LOCAL_FILES_DOCUMENT_ROOT`.

        Rule: guide "Sync data from external storage", section Local storage.
        """
        return self._directory_uri + (key if UNQUOTED(key) else quote(key))

    def path_of(self, uri: str) -> str | None:
        """Return the path relative to the document root; Label Studio may have put its own address in front."""
        before, served, path = uri.partition(SERVED)
        return unquote(path, errors="surrogateescape") if served and IS_SERVERS(before) else None

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return the content of a file; see `Storage.read`."""
        self.requests.begin("read")
        path = self._path(key)
        with translated(path):
            return content_of(self._confined, path, key, most)

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of a file; see `Storage.read_start`."""
        self.requests.begin("read")
        path = self._path(key)
        with translated(path), open(self._confined.open(path, READ), "rb") as file:
            return file.read(size)

    def has(self, path: str) -> bool:
        """Tell whether something stands at a path below the document root; see `Storage.has`."""
        self.requests.begin("read")
        return os.path.lexists(f"{self._root}/{path}")

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write a file: to a temporary one beside it, synced, then renamed; see `Storage.write`."""
        path = self._path(key)
        if is_temporary(os.path.basename(path)):
            raise Invalid(f"{key}: the name is reserved for temporary files. Choose another key.")
        self.requests.begin("write")
        with translated(path):
            return write_file(self._confined, path, content, create=create)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files, and what a killed write of one left; see `Storage.delete`."""
        for key in keys:
            self.requests.begin("delete")
            path = self._path(key)
            with translated(path):
                delete_file(self._confined, path)

    def _translating(self, objects: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
        with translated(self.path, listing=True):
            yield from objects

    def _path(self, key: str) -> str:
        if NO_PATH(key):
            raise Invalid(
                f"key {key!r} is no path below {self.uri}. Use names joined by '/', without '.', '..' or empty ones."
            )
        return f"{self.path}/{key}"
