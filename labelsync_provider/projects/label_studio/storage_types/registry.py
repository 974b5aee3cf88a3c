"""Which type a storage is of to Label Studio, and what it is told of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import Invalid, invalid
from labelsync_provider.projects.label_studio.storage_types.kind import Kind
from labelsync_provider.projects.naming import StorageType


def _kinds() -> Iterator[Kind]:
    """Yield the kind that each module beside this one has; one that shows what several share has none."""
    for name in sorted(found.name for found in iter_modules([str(Path(__file__).parent)])):
        if kind := getattr(import_module(f"{__package__}.{name}"), "KIND", None):
            yield kind


KINDS: Mapping[str, Kind] = {kind.type: kind for kind in _kinds()}
"""By Label Studio's word for the service."""
BY_SCHEME: Mapping[str, Kind] = {kind.scheme: kind for kind in KINDS.values()}


@dataclass(frozen=True)
class LabelStudioStorage:
    """A storage as Label Studio knows it.

    :param type: Label Studio's word for the service.
    :param location: the fields that tell it from others: `bucket` and `prefix`; `container` and `prefix`; `host`,
        `port`, `db` and `path`; or `path`. A prefix is a folder, whether it ends in `/` or not.
    :param login: the other fields: keys, endpoint, region. What is not named here stays as it is in a storage that is
        there already.
    """

    type: StorageType
    location: Mapping[str, str | int]
    login: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> Kind:
        """What there is to know of its type."""
        return KINDS[self.type]

    @property
    def uri(self) -> str:
        """What a person calls it, host included."""
        return self.kind.uri(self.location)


def told_of(access: StorageAccess) -> LabelStudioStorage:
    """Return what Label Studio is told, to reach the same storage itself.

    To Label Studio, a prefix is a folder: `2024-05` does not mean what begins so.

    :raises Invalid: it has no storages of the kind, or cannot log in as the connection does.
    """
    scheme = "file" if access.uri.startswith("/") else access.uri.partition("://")[0]
    kind = BY_SCHEME.get(scheme)
    if kind is None:
        raise not_known(access.uri, scheme)
    location, login = kind.told(access)
    return LabelStudioStorage(kind.type, location, login)


def not_known(uri: str, scheme: str) -> Invalid:
    """Return the error for a storage of a kind that Label Studio has not."""
    remedy = (
        f"It has storages at {', '.join(f'{known}://' for known in BY_SCHEME)}. Import from this one with "
        "ImportStorageSyncOperator and export to it with ExportAnnotationsOperator, which need no such storage."
    )
    return invalid("storage", uri, f"Label Studio has no storages at {scheme}://", remedy)
