"""The storages of the model: a bucket in memory whose version is the content, and files whose version is the mtime."""

import os
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import count
from pathlib import Path

from labelsync_provider.errors import AlreadyThere, NotFound
from labelsync_provider.retry import Requests
from labelsync_provider.storages.faults import too_large
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import MOST_BYTES, ObjectInfo, Page

PAGE = 2
"""Objects in a page of a listing."""


class Bucket:
    """Objects in memory. The same content has the same version, as ETags do."""

    prefixes = ("", "b/", "b", "a.json")

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        self.objects[key] = content

    put_again = put
    """Put what was there before, as it was."""

    def delete(self, key: str) -> None:
        del self.objects[key]

    def rename(self, key: str, to: str) -> None:
        self.objects[to] = self.objects.pop(key)

    def open(self, prefix: str = "") -> "BucketStorage":
        return BucketStorage(self.objects, prefix)


class BucketStorage:
    """A bucket below a prefix; see `Storage`."""

    def __init__(self, objects: dict[str, bytes], prefix: str) -> None:
        self._objects, self.requests = objects, Requests()
        self.uri = f"mem://bucket/{prefix}"
        self.location = Location("mem://bucket", "memory", "", prefix)

    def list(self) -> Iterator[Page]:
        keys = sorted(key for key in self._objects if self.covers(key))
        infos = [ObjectInfo(key, len(self._objects[key]), _version(self._objects[key])) for key in keys]
        for start in range(0, len(infos), PAGE):
            yield infos[start : start + PAGE]

    def covers(self, key: str) -> bool:
        return key.startswith(self.location.prefix)

    def object_uri(self, key: str) -> str:
        return f"mem://bucket/{key}"

    def path_of(self, uri: str) -> str | None:
        return uri.removeprefix("mem://bucket/") if uri.startswith("mem://bucket/") else None

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        if key not in self._objects:
            raise NotFound(f"{key}: there is no such object")
        if len(self._objects[key]) > most:
            raise too_large(key, most)
        return self._objects[key]

    def read_start(self, key: str, size: int) -> bytes:
        return self.read(key)[:size]

    def has(self, path: str) -> bool:
        return path in self._objects

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        self.requests.begin("write")
        if create and self._objects.get(key, content) != content:
            raise AlreadyThere(f"{key}: another object is there")
        self._objects[key] = content
        return _version(content)

    def delete(self, keys: Sequence[str]) -> None:
        self.requests.begin("delete")
        for key in keys:
            self._objects.pop(key, None)

    def file_name(self, key: str) -> str:
        return key.rpartition("/")[2]


class Directory:
    """Files below a document root. Each write is another version, whatever the content."""

    prefixes = ("", "b/")

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mtimes = count(1_700_000_000_000_000_000, 1_000_000_000)
        self._mtime_of: dict[bytes, int] = {}
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        self._write(key, content, next(self._mtimes))

    def put_again(self, key: str, content: bytes) -> None:
        """Put what was there before, as it was: with the mtime of then, as from a backup."""
        self._write(key, content, self._mtime_of[content])

    def delete(self, key: str) -> None:
        self._path(key).unlink()
        del self.objects[key]

    def rename(self, key: str, to: str) -> None:
        self._path(to).parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._path(key), self._path(to))
        self.objects[to] = self.objects.pop(key)

    def open(self, prefix: str = "") -> LocalFiles:
        directory = self._root / "in" / prefix
        directory.mkdir(parents=True, exist_ok=True)
        return LocalFiles(directory.as_uri(), str(self._root))

    def _path(self, key: str) -> Path:
        return self._root / "in" / key

    def _write(self, key: str, content: bytes, mtime: int) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(mtime, mtime))
        self.objects[key], self._mtime_of[content] = content, mtime


def _version(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()
