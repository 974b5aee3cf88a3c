"""What there is to know of a type of Label Studio's own storages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from labelsync_provider.access import StorageAccess
from labelsync_provider.projects.naming import StorageType

Direction = Literal["import", "export"]
Fields = Mapping[str, object]
"""Of a storage, as the API has them."""
Location = dict[str, str | int]
"""The fields that tell a storage from others."""
Login = dict[str, str | None]
"""The fields with which Label Studio logs in: keys, endpoint, region."""


def no_problem(fields: Fields, direction: Direction) -> None:
    """Return None: whatever location there is will do; see `Kind.problem`."""


@dataclass(frozen=True)
class Kind:
    """A type of storages."""

    type: StorageType
    scheme: str
    """Of the storage URIs that become storages of this type."""
    told: Callable[[StorageAccess], tuple[Location, Login]]
    """Returns where the storage is and how Label Studio is to log in; Invalid, if it cannot."""
    place: Callable[[Fields, Direction], tuple[str, ...]]
    """Returns what tells a storage from others, with what Label Studio takes for an empty field."""
    uri: Callable[[Fields], str]
    """Returns what a person calls a storage."""
    start: Callable[[Fields], tuple[str, str]]
    """Returns `container` and `start` of a source storage, as `OwnStorage` has them."""
    shows: Callable[[Fields, Fields], bool] | None
    """Tells whether a source storage shows the objects of another location; None if no storage of this type does."""
    problem: Callable[[Fields, Direction], tuple[str, str] | None] = no_problem
    """Returns why Label Studio would take a location and do something else there, and the remedy."""
    container: str = ""
    """The field that names a bucket; empty for a type without."""
    selects: bool = True
    """Whether a source storage takes `regex_filter`, `use_blob_urls` and `recursive_scan`."""
    presigns: bool = False
    """Whether a source storage takes `presign` and `presign_ttl`."""
    deletes: bool = False
    """Whether a target storage takes `can_delete_objects`."""


def text(fields: Fields, name: str, default: str = "") -> str:
    """Return a field as a text; Label Studio takes null and an empty one for its default."""
    value = fields.get(name)
    return default if value in (None, "") else str(value)
