"""Objects in memory: all that `labelsync_provider.storages.protocol` asks of a storage."""

import zlib
from collections.abc import Iterator, Sequence

from labelsync_provider.errors import AlreadyThere, NotFound, TooLarge
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import MOST_BYTES, ObjectInfo, Page

PAGE = 2
OBJECTS: dict[str, bytes] = {}
"""By path: `shelf/key`."""


class Shelf:
    """The objects on one shelf."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        shelf = self.uri.partition("://")[2]
        self.location = Location(f"acme://{shelf}", "acme")
        self._top = f"{shelf}/"

    def list(self) -> Iterator[Page]:
        paths = sorted(path for path in OBJECTS if path.startswith(self._top))
        for start in range(0, len(paths), PAGE):
            yield [self._info(path) for path in paths[start : start + PAGE]]

    def _info(self, path: str) -> ObjectInfo:
        content = OBJECTS[path]
        return ObjectInfo(path.removeprefix(self._top), len(content), str(zlib.crc32(content)))

    def covers(self, key: str) -> bool:
        return True

    def object_uri(self, key: str) -> str:
        return f"{self.uri}/{key}"

    def file_name(self, key: str) -> str:
        return key.rpartition("/")[2]

    def path_of(self, uri: str) -> str | None:
        return uri.removeprefix(f"{self.uri}/") if uri.startswith(f"{self.uri}/") else None

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        content = OBJECTS.get(self._top + key)
        if content is None:
            raise NotFound(f"{self.object_uri(key)}: there is no such object.")
        if len(content) > most:
            raise TooLarge(f"{key}: more than {most:,} bytes.")
        return content

    def read_start(self, key: str, size: int) -> bytes:
        return self.read(key)[:size]

    def has(self, path: str) -> bool:
        return self._top + path in OBJECTS

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        standing = OBJECTS.setdefault(self._top + key, content)
        if create and standing != content:
            raise AlreadyThere(f"{self.object_uri(key)} is there already, with another content.")
        OBJECTS[self._top + key] = content
        return self._info(self._top + key).version

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            OBJECTS.pop(self._top + key, None)
