"""What the engine asks of a storage, and nothing more."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class ObjectInfo(NamedTuple):
    """One object as a listing shows it."""

    key: str
    size: int
    """In bytes."""
    version: str
    """Changes whenever the content does: an ETag, a generation, a hash, or size and mtime."""
    problem: str | None = None
    """Why the object can be listed and yet not be read, if so."""


class Storage(Protocol):
    """A place with objects. A new storage is supported when the contract tests pass for it."""

    uri: str
    """The storage URI, without credentials."""

    place: str
    """What all storages on the same bucket, container or document root share."""

    origin: str
    """Which of the places of this name it is: an endpoint, a server, a document root."""

    base: str
    """`base + key` is the object's path in the place, whatever storage it is reached through."""

    def list(self) -> Iterator[list[ObjectInfo]]:
        """Yield the objects in pages of bounded length, in the order of their keys (by code point).

        A place without the prefix or directory of this storage lists nothing.

        :raises NotFound: there is no such place.
        :raises Denied: credentials or permissions do not allow to list, or a part of it.
        :raises Unavailable: the listing broke off; nothing may be concluded from what came before.
        """

    def covers(self, key: str) -> bool:
        """Tell whether `list` would show an object of this key, if there were one."""

    def object_uri(self, key: str) -> str:
        """Return the URI under which Label Studio finds the object."""

    def read(self, key: str) -> bytes:
        """Return the content of an object.

        :raises NotFound: there is no such object (any more).
        :raises Denied: it may not be read.
        :raises Invalid: it is not something that can be read.
        :raises Unavailable: it did not come, or not all of it.
        """

    def write(self, key: str, content: bytes) -> str:
        """Write an object, whole or not at all, and return its version once the storage has confirmed it.

        :raises Invalid: the key leads out of the storage, or cannot be a key.
        :raises Denied: it may not be written.
        :raises Unavailable: it is not certain whether it was written.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error.

        :raises Denied: they may not be deleted.
        :raises Unavailable: it is not certain which were deleted.
        """
