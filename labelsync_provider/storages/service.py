"""What a bucket's service does in its own way; all else is `BucketStorage`'s."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

from obstore.store import ObjectStore

from labelsync_provider.storages.faults import Fault
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import Page


class Service(Protocol):
    """What a bucket's service does in its own way. Its methods raise the service's own `errors`."""

    location: Location
    """Where the bucket is, as a whole."""
    login: str
    """The Airflow connection, in words."""
    longest_life: timedelta
    """Of a signed URL."""
    writes_all: bool
    """Whether it writes every object, and not only those whose keys obstore cannot express."""

    deletes_at_once: int
    """Objects that obstore deletes by one request, whose answer names them; 1 if there are no such requests."""

    @property
    def store(self) -> ObjectStore:
        """The bucket, as obstore reaches it."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its methods raise."""

    def page(self, prefix: str, delimiter: str, token: str | None) -> tuple[Page, str | None]:
        """Return a page of the objects whose keys begin with `prefix`, and the token of the next one, if any.

        :param delimiter: keys that hold it behind the prefix are left out, if it is not empty.
        :param token: of the page; None for the first one.
        """

    def read(self, key: str, most: int) -> tuple[bytes, str]:
        """Return content and version of an object, by a client that follows no redirect.

        :param most: bytes that it may have.
        :raises TooLarge: it has more.
        """

    def write(self, key: str, content: bytes, *, create: bool) -> str:
        """Write an object, by a client that follows no redirect; return its version.

        :param create: only where no object is.
        """

    def delete(self, key: str) -> None:
        """Delete an object; the service's answer to one that is missing may be an error."""

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Return a URL for each key, that reads its object until its life is over.

        :raises Denied: the credentials cannot sign.
        """

    def confirms(self, written: Mapping[str, Any], content: bytes) -> bool:
        """Tell whether what obstore says of a write can be nobody else's answer than the service's."""

    def version(self, meta: Mapping[str, Any]) -> str:
        """Return the version that a listing would show, from what obstore says of an object."""

    def fault(self, error: Exception) -> Fault:
        """Return what one of the service's own errors means."""


@runtime_checkable
class StartsBehind(Protocol):
    """A service that can list from a key on."""

    listers: int
    """Requests of one listing that may be under way at once; its client keeps as many connections."""

    def page_behind(self, prefix: str, delimiter: str, key: str) -> tuple[Page, str | None]:
        """Return the first page of those objects whose keys come behind a key, and the token of the next one.

        :param key: there need be no such object.
        """
