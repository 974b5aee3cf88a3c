"""What is known of a source through Label Studio's own sync, which a project may have been filled by before."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from labelsync_provider.projects.protocol import OwnStorage
from labelsync_provider.regex_filter import RegexFilter
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo

FILES = "file://"


def syncable(storages: Sequence[OwnStorage], location: Location) -> list[OwnStorage]:
    """Return those of the storages on which somebody can press Sync, and that would take objects of a source."""
    start = _root(location) + location.start
    return [
        storage
        for storage in storages
        if storage.synchronizable
        and storage.container == location.container
        and (storage.start.startswith(start) or start.startswith(storage.start))
    ]


def _root(location: Location) -> str:
    """Return what stands before the path of an object where Label Studio names it: it has whole paths of files."""
    return f"{location.endpoint.rstrip('/')}/" if location.container == FILES else ""


class OwnSync:
    """The storages of a project that Label Studio itself syncs, seen from one source."""

    def __init__(self, storages: Sequence[OwnStorage], location: Location, *, as_blobs: bool) -> None:
        """Look at those of the source's container.

        :param as_blobs: whether the import is of blobs: what was synced as task files says nothing of these.
        """
        self._all = storages
        self._here = [(storage, _filter(storage)) for storage in storages if storage.container == location.container]
        self._as_blobs = as_blobs
        self.without_evidence = 0
        """Objects of which it was asked whether they were synced, and that nothing tells it of."""
        self._root = _root(location)

    def path_of(self, name: str) -> str | None:
        """Return the path of the object that a task's `storage_filename` names; None if it may be another place's.

        It tells no bucket: which is meant, only the project's storages say.
        """
        if not name.startswith(self._root):
            return None
        at = [storage for storage in self._all if storage.covers(name)]
        here = [storage for storage, _ in self._here if storage.covers(name) and not storage.as_blobs]
        return name[len(self._root) :] if here and len(here) == len(at) else None

    def is_elsewhere(self, name: str) -> bool:
        """Tell whether only storages in other places have an object of this name."""
        covering = [storage for storage in self._all if storage.covers(name)]
        return bool(covering) and not any(storage.covers(name) for storage, _ in self._here)

    def took(self, path: str, info: ObjectInfo) -> bool:
        """Tell whether the object was there when a sync began that has completed: it was imported then."""
        modified, name = _latest(info), self._root + path
        took = modified is not None and any(
            storage.as_blobs == self._as_blobs
            and storage.synced_at is not None
            and modified < storage.synced_at
            and storage.covers(name)
            and passes.matches(name if storage.container != FILES else name.rpartition("/")[2])
            for storage, passes in self._here
        )
        self.without_evidence += not took
        return took


def _latest(info: ObjectInfo) -> datetime | None:
    """Return the latest instant at which an object may have been written: most listings tell whole seconds."""
    modified = info.modified_at()
    return modified if modified is None or modified.microsecond else modified + timedelta(seconds=1)


def _filter(storage: OwnStorage) -> RegexFilter:
    """Return what its sync lets through: of a bucket by the key, of a directory by the name of a file alone."""
    return RegexFilter(storage.regex_filter)
