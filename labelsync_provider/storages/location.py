"""Locations: where a storage is, and which paths are in it."""

from dataclasses import dataclass, field

LAST_CODE_POINT = 0x10FFFF
BEFORE_SURROGATES, BEHIND_SURROGATES = 0xD7FF, 0xE000
"""What stands between these two is no character, and in no key."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a storage is.

    A `key` names an object within a storage; the `path` of an object is the same through whichever storage of the
    container it is reached.
    """

    container: str
    """What all storages on the same bucket, database or document root share: `s3://bucket`, `redis://1`, `file://`."""

    endpoint: str
    """Which of the containers of this name it is: a service's address, a server, a document root."""

    root: str = ""
    """`root + key` is the object's path. In a bucket keys are paths; those of files are relative to a directory."""

    prefix: str = ""
    """Every key begins with it. It is empty for files."""

    has_folders: bool = field(default=True, compare=False)
    """Whether folders keep apart what is in it; a database is shared as a whole."""

    @property
    def start(self) -> str:
        """What the path of every object begins with, and the first path that an object may have."""
        return self.root + self.prefix

    @property
    def end(self) -> str | None:
        """The first path behind all that begin with `start`, by code point; None if no path is."""
        start = self.start.rstrip(chr(LAST_CODE_POINT))
        if not start:
            return None
        last = ord(start[-1])
        return start[:-1] + chr(BEHIND_SURROGATES if last == BEFORE_SURROGATES else last + 1)

    @property
    def uri(self) -> str:
        """The storage URI of what begins with the start, as a person writes it."""
        if self.container == "file://":
            return f"file://{self.endpoint.rstrip('/')}/{self.start}"
        return f"{self.container}/{self.start}"

    def path(self, key: str) -> str:
        """Return the path of the object of a key."""
        return self.root + key

    def key(self, path: str) -> str:
        """Return the key of the object at a path below the root."""
        return path.removeprefix(self.root)

    def at_start(self) -> "Location":
        """Return the same location with its start as the root, as the ledger keeps it."""
        return Location(self.container, self.endpoint, root=self.start, has_folders=self.has_folders)

    def is_nested(self, other: "Location") -> bool:
        """Tell whether one of two locations in the same container lies within the other, or is the same."""
        # The document root of local files may be / itself.
        one, two = (f"{location.endpoint.rstrip('/')}/{location.start}" for location in (self, other))
        return _is_nested(one, two)

    def overlaps(self, other: "Location") -> bool:
        """Tell whether source and target, in containers of the same name, share objects."""
        return self.is_nested(other) if self.has_folders else self.endpoint == other.endpoint

    def is_elsewhere(self, other: "Location") -> bool:
        """Tell whether the same paths, at another endpoint, are those of other objects."""
        return self.endpoint != other.endpoint and _is_nested(self.start, other.start)


def _is_nested(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
