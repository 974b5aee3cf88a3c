"""What fsspec opens: a directory of a file system that is somewhere else, SFTP, WebDAV or the Hugging Face Hub.

It is the least that a storage can do. Nothing is signed, and nothing is created exclusively: fsspec has no such call.
So `write(create=True)` looks first, and of two that write one key at once both may succeed. The lease keeps other runs
of this package away, and nobody else.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

from labelsync_provider.errors import AlreadyThere, Invalid, NotFound, Unavailable, Unusable
from labelsync_provider.retry import RETRY_SECONDS, Requests
from labelsync_provider.storages.faults import too_large
from labelsync_provider.storages.fsspec_errors import Meanings, explaining, said
from labelsync_provider.storages.fsspec_listing import Entry, Walk
from labelsync_provider.storages.keys import NO_PATH, listed_key
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import MOST_BYTES, HoldsFiles, ObjectInfo, Page
from labelsync_provider.storages.temporary import is_temporary, temporary_name

PAGE = 1000
READ_AT_ONCE = 1 << 20
CLOCK_SECONDS = 1.05
"""After this, a clock that counts seconds shows another one."""

UNKNOWN = "its {} is not told, so that nothing could tell that it has changed"

T = TypeVar("T")


@dataclass(frozen=True)
class Filesystem:
    """One of fsspec's file systems, and what it does in its own way."""

    connect: Callable[[], Any]
    """Logs in, and returns fsspec's object."""
    versions: Sequence[str]
    """What tells the version of an object among what is told of it: the first of these that is there."""
    by_content: bool = False
    """Whether that is a digest of the content, and no time that may be the same for another one."""
    renames: bool = False
    """Whether an upload that breaks off leaves half a file: it is written under another name, and renamed."""
    unfit: re.Pattern[str] | None = None
    """What it cannot have in a path, as it would take it for something else."""
    meanings: Meanings = field(default_factory=dict)
    """Those of its own errors; those that the system has mean what they say."""


class FsspecStorage(HoldsFiles):
    """The files in a directory, and in those below it. A key is the path below the directory."""

    def __init__(
        self,
        filesystem: Filesystem,
        container: str,
        endpoint: str,
        directory: str,
        *,
        top: str,
        login: str,
        recursive: bool = True,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Open a directory; it is not looked at yet.

        :param container: such as `sftp://`; with the directory it is the storage URI.
        :param endpoint: the server.
        :param directory: below the container, with no slash at its ends.
        :param top: what stands before the directory in a path of fsspec's.
        :param login: the Airflow connection, in words.
        """
        self.location = Location(container, endpoint, f"{directory}/" if directory else "")
        self.uri = f"{container}/{directory}"
        self._filesystem, self._top, self._login = filesystem, top, login
        self._recursive, self._retry_seconds = recursive, retry_seconds
        self.requests = Requests()
        self._connection: Any = None
        self._connecting = Lock()
        self._walk: Walk | None = None
        """The last listing."""

    def check_exists(self) -> None:
        """Make sure that the directory is there; see `MadeByWrites.check_exists`."""
        info = self._standing(self.location.root)
        if info is None or info["type"] != "directory":
            what = "there is no such directory" if info is None else "that is no directory"
            raise NotFound(self._remedied(what))

    def list(self) -> Iterator[Page]:
        """Yield the files in pages, in the order of their keys; see `Storage.list` and `Walk`."""
        uri = f"{self.location.container}/{self.location.root}"
        self._walk = Walk(uri, self._entries, self._object, recursive=self._recursive)
        objects = self._walk.objects()
        while page := list(islice(objects, PAGE)):
            yield page

    def covers(self, key: str) -> bool:
        """Tell whether a key lies in a directory that is listed, and could be."""
        return (self._recursive or "/" not in key) and not (self._walk and self._walk.leaves_out(key))

    def object_uri(self, key: str) -> str:
        """Return the URI of the container with the path behind it, which is nothing that Label Studio could show."""
        return f"{self.location.container}/{self.location.path(key)}"

    def path_of(self, uri: str) -> str | None:
        """Return the path in a URI of this container."""
        before, _, path = uri.partition(f"{self.location.container}/")
        return None if before or not path else path

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return the content of a file; see `Storage.read`."""
        content = self._do(f"read {key}", partial(_start, self._path(key), most + 1))
        if len(content) > most:
            raise too_large(key, most)
        return content

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of a file; see `Storage.read_start`."""
        return self._do(f"read {key}", partial(_start, self._path(key), size))

    def has(self, path: str) -> bool:
        """Tell whether something stands at a path of the container; see `Storage.has`."""
        return self._standing(path) is not None

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write a file; see `Storage.write`.

        :param create: looks whether something is there, and then writes: there is no way to do both at once.
        """
        path = self._path(key)
        if is_temporary(self.file_name(key)):
            raise Invalid(f"{key}: the name is reserved for temporary files. Choose another key.")
        before = self._standing(self.location.path(key))
        if before is not None and create:
            if before.get("size") != len(content) or self.read(key, len(content)) != content:
                raise AlreadyThere(f"{self.object_uri(key)} is there already, with another content.")
            return self._written(key, len(content))
        self._do(f"write {key}", partial(self._put, path, content))
        version = self._written(key, len(content))
        same = before is not None and version == self._object(key, before).version
        if same and not self._filesystem.by_content:
            # Its clock counts seconds, and both were written in one: nothing would tell that the content is another.
            self.requests.stop.sleep(CLOCK_SECONDS)
            self._do(f"write {key}", partial(self._put, path, content))
            version = self._written(key, len(content))
        return version

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files, one by one; see `Storage.delete`."""
        for key, path in [(key, self._path(key)) for key in keys]:
            with suppress(NotFound):
                self._do(f"delete {key}", partial(_delete, path))

    def _path(self, key: str) -> str:
        if NO_PATH(key):
            raise Invalid(
                f"key {key!r} is no path below {self.uri}. Use names joined by '/', without '.', '..' or empty ones."
            )
        return self._fit(self._top + self.location.path(key))

    def _fit(self, path: str) -> str:
        if self._filesystem.unfit and (found := self._filesystem.unfit.search(path)):
            raise Invalid(f"{path}: {found.group()!r} in a name cannot be asked for here. Rename it.")
        return path

    def _entries(self, key: str) -> Sequence[Entry]:
        """Return what is in a directory; of what proves to be a file below it, nothing."""
        path = (self._top + self.location.path(key)).rstrip("/") or self._top
        self._fit(f"{path}/")

        def listed(fs: Any) -> Sequence[Entry]:
            fs.invalidate_cache()  # what it keeps of a listing is neither fresh nor bounded
            return [entry for entry in fs.ls(path, detail=True) if entry["name"].strip("/") != path.strip("/")]

        try:
            return self._do(f"list {key or 'it'}", listed)
        except NotFound:
            standing = None if key else self._standing(self.location.root)
            if standing and standing["type"] != "directory":
                raise Invalid(self._remedied("that is no directory")) from None
            raise

    def _remedied(self, what: str) -> str:
        return f"{self.uri} on {self.location.endpoint}: {what}. Create it, or correct the storage URI."

    def _object(self, key: str, entry: Entry) -> ObjectInfo:
        path = self.location.path(key)
        key, problem = listed_key(key)
        if self._filesystem.unfit and (found := self._filesystem.unfit.search(path)):
            problem = problem or f"{found.group()!r} in its name cannot be asked for here; rename it"
        size, version = entry.get("size"), self._version(entry)
        if entry["type"] != "file":
            problem = problem or "it is no file"
        for name, told in (("size", size), ("version or time of change", version)):
            problem = problem or (UNKNOWN.format(name) if told is None else None)
        changed = next((at for name in ("mtime", "modified") if isinstance(at := entry.get(name), datetime)), None)
        return ObjectInfo(key, size or 0, version or "", problem, changed.timestamp() if changed else None)

    def _version(self, entry: Entry) -> str | None:
        told = next((entry[name] for name in self._filesystem.versions if entry.get(name) is not None), None)
        if told is None:
            return None
        return f"{entry.get('size')}-{told.timestamp() if isinstance(told, datetime) else told}"

    def _standing(self, path: str) -> Entry | None:
        """Return what is told of the file or directory at a path of the container; None if there is none."""

        def looked(fs: Any) -> Entry:
            fs.invalidate_cache()
            found: Entry = fs.info(whole)
            return found

        whole = self._fit((self._top + path).rstrip("/") or self._top)

        try:
            return self._do(f"read {path or 'it'}", looked)
        except NotFound:
            return None

    def _written(self, key: str, size: int) -> str:
        """Return the version of what was written just now.

        :raises Unavailable: it is not there, or not all of it.
        """
        entry = self._standing(self.location.path(key))
        if entry is None or entry.get("size") != size:
            there = "nothing" if entry is None else f"{entry.get('size')} bytes"
            raise Unavailable(f"{self.object_uri(key)}: {size} bytes were written, and {there} is there.")
        info = self._object(key, entry)
        if info.problem:
            raise Invalid(f"{self.object_uri(key)} was written, and could not be listed: {info.problem}.")
        return info.version

    def _put(self, path: str, content: bytes, fs: Any) -> None:
        if not self._filesystem.renames:
            fs.pipe_file(path, content)
            return
        directory, _, name = path.rpartition("/")
        temporary = f"{directory}/{temporary_name(name)}"
        try:
            _write(fs, temporary, content)
        except FileNotFoundError:
            fs.makedirs(directory, exist_ok=True)
            _write(fs, temporary, content)
        fs.mv(temporary, path)

    def _do(self, doing: str, act: Callable[[Any], T]) -> T:
        """Return what is done with fsspec's object; after a failure for the moment, it is done by a new login."""
        return self.requests.repeat(
            doing.partition(" ")[0],
            lambda: act(self._connected()),
            lambda: self._explaining(doing),
            self._retry_seconds,
        )

    def _connected(self) -> Any:
        with self._connecting:
            if self._connection is None:
                try:
                    self._connection = self._filesystem.connect()
                except PermissionError as error:
                    raise Unusable(
                        f"{self.location.endpoint}: cannot log in: {said(error)}. The user name, password or key of "
                        f"{self._login} is not accepted."
                    ) from None
            return self._connection

    @contextmanager
    def _explaining(self, doing: str) -> Iterator[None]:
        """See `explaining`; after a failure for the moment, the next login is a new one."""
        known = {"uri": self.uri, "endpoint": self.location.endpoint, "login": self._login}
        try:
            with explaining(self._filesystem.meanings, doing, **known):
                yield
        except Unavailable:
            self._connection = None
            raise


def _start(path: str, size: int, fs: Any) -> bytes:
    """Return so many bytes of a file, or all of one that has no more."""
    parts, length = [], 0
    with fs.open(path, "rb") as file:
        while length < size and (part := file.read(min(READ_AT_ONCE, size - length))):
            parts.append(part)
            length += len(part)
    return b"".join(parts)


def _delete(path: str, fs: Any) -> None:
    fs.rm_file(path)


def _write(fs: Any, path: str, content: bytes) -> None:
    with fs.open(path, "wb") as file:
        file.write(content)
