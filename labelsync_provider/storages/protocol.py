"""What the engine asks of a storage, and nothing more."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

from msgspec import Struct

from labelsync_provider.storages.location import Location
from labelsync_provider.storages.prices import Prices


class ObjectInfo(Struct, frozen=True, array_like=True, gc=False):
    """One object as a listing shows it. There are millions: the garbage collector leaves them alone."""

    key: str
    size: int
    """In bytes."""
    version: str
    """Changes whenever the content does: an ETag, a generation, a hash, or size and mtime. Empty beside a problem
    only."""
    problem: str | None = None
    """Why the object can be listed and yet not be read, if so."""
    modified: float | str | None = None
    """When it was written: seconds since the epoch, or ISO 8601 as the listing has it, which costs time to read; None
    if nothing tells."""

    def modified_at(self) -> datetime | None:
        """Return when it was written, by the clock of the service."""
        if isinstance(self.modified, str):
            try:
                told = datetime.fromisoformat(self.modified)
            except ValueError:
                return None
            return told if told.tzinfo else told.replace(tzinfo=UTC)
        return None if self.modified is None else datetime.fromtimestamp(self.modified, UTC)


Page = list[ObjectInfo]

MOST_BYTES = 100 * 1024 * 1024
"""Of an object, if whoever reads it does not say."""


class Target(Protocol):
    """What an export asks of a storage."""

    uri: str
    """The storage URI, without credentials."""

    location: Location
    """Where it is."""

    def list(self) -> Iterator[Page]:
        """Yield the objects in pages of bounded length, in the order of their keys (by code point).

        A service that has another order shows it: what is late costs the comparison more, and is not wrong.
        A container without the prefix or directory of this storage lists nothing. A directory that cannot be listed
        is one object with a problem; so is an object whose key no database takes, by another key.

        :raises Unusable: there is no such bucket, or it does not take the credentials.
        :raises Denied: permissions do not allow to list.
        :raises Unavailable: the listing broke off; nothing may be concluded from what came before.
        """

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return the content of an object.

        :param most: bytes that it may have, whatever the listing has said. Not many more are read.
        :param version: as it was listed. Where a request may end at another host, what has another version is read
            again in a way that cannot; without a version, whatever answers is believed.
        :raises TooLarge: it has more.
        :raises NotFound: there is no such object (any more).
        :raises Denied: it may not be read.
        :raises Invalid: it is not something that can be read.
        :raises Unusable: the storage as a whole cannot be used any more.
        :raises Unavailable: it did not come, or not all of it.
        """

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of an object, or all of one that has no more; see `read` for the errors."""

    def has(self, path: str) -> bool:
        """Tell whether an object stands at a path of the container, be it outside of this storage."""

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write an object, whole or not at all, and return its version once the storage has confirmed it.

        :param create: only where no object is; one of the same content is as good as written.
        :raises AlreadyThere: another object is there, and `create` was asked.
        :raises Invalid: the key leads out of the storage, or cannot be a key.
        :raises Denied: it may not be written.
        :raises Unavailable: it is not certain whether it was written.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error.

        :raises Denied: they may not be deleted.
        :raises Unavailable: it is not certain which were deleted.
        """


class Storage(Target, Protocol):
    """A bucket, database or directory with objects. A new storage is supported when the contract tests pass for it."""

    def covers(self, key: str) -> bool:
        """Tell whether `list` would show an object of this key, if there were one.

        Not, if the last one could not list the directory that it is in.
        """

    def object_uri(self, key: str) -> str:
        """Return the URI under which Label Studio finds the object."""

    def path_of(self, uri: str) -> str | None:
        """Return the path of the object that a URI names; None if that is in another container."""


# What only some storages can do is asked for by presence: isinstance(storage, HoldsFiles).


@runtime_checkable
class HoldsFiles(Protocol):
    """A storage whose objects are files; a database holds values, which have no names.

    Those whose keys are paths inherit the name from it.
    """

    def file_name(self, key: str) -> str:
        """Return the name of a file, without the folders that it is in: it tells what may be in it."""
        return key.rpartition("/")[2]


@runtime_checkable
class Priced(Protocol):
    """A storage whose requests cost something."""

    @property
    def prices(self) -> Prices | None:
        """What they cost by the service's price list; None if that is not known."""


@runtime_checkable
class InFileSystem(Protocol):
    """A storage that the operating system reads: mostly from its cache, which is computing, and no waiting."""

    path: str
    """The directory."""


@runtime_checkable
class Signing(Protocol):
    """A storage that hands out signed URLs."""

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Return a URL for each key that reads the object without credentials until its life is over.

        :raises Invalid: the service has no URLs of so long a life.
        :raises Denied: the credentials may not, or cannot, sign.
        """


@runtime_checkable
class MadeByWrites(Protocol):
    """A storage that lists nothing while it is not there, as it is made by the first write; a bucket is not."""

    def check_exists(self) -> None:
        """Make sure that it is there, as a source has to be.

        :raises NotFound: it is not.
        """
