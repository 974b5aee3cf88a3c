"""Rehearsal: a target to which a dry run does nothing."""

from collections.abc import Iterator, Sequence

from labelsync_provider.storages.protocol import MOST_BYTES, Page, Priced, Target

REHEARSED = "rehearsed"
"""The version of what would have been written."""


class RehearsedTarget:
    """A target as it is, but for writes and deletions, which are only foretold; see `Target`.

    What only the storage itself can refuse is not foretold.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.uri, self.location = target.uri, target.location
        self.prices = target.prices if isinstance(target, Priced) else None

    def list(self) -> Iterator[Page]:
        """Yield the objects in pages."""
        return self._target.list()

    def has(self, path: str) -> bool:
        """Tell whether an object stands at a path of the container."""
        return self._target.has(path)

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return the content of an object."""
        return self._target.read(key, most, version)

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of an object."""
        return self._target.read_start(key, size)

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write nothing; return the version that it would have."""
        return REHEARSED

    def delete(self, keys: Sequence[str]) -> None:
        """Delete nothing."""
