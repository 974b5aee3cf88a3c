"""What is known of a source through Label Studio's own sync, which a project may have been filled by before."""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from labelsync_provider.errors import Invalid
from labelsync_provider.projects.protocol import OwnStorage
from labelsync_provider.regex_filter import RegexFilter
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo

FILES = "file://"


def syncable(storages: Sequence[OwnStorage], location: Location) -> list[OwnStorage]:
    """Return those of the storages on which somebody can press Sync, and that would take objects of a source."""
    return [storage for storage in storages if storage.synchronizable and _meets(storage, location)]


def syncing(storages: Sequence[OwnStorage], location: Location) -> list[OwnStorage]:
    """Return those of the storages that Label Studio is syncing now, and that take objects of a source."""
    return [storage for storage in storages if storage.is_syncing and _meets(storage, location)]


def mounted_elsewhere(storages: Sequence[OwnStorage], location: Location) -> list[OwnStorage]:
    """Return those of local files that are not below the document root of a source: they may be the same files."""
    root = _root(location)
    of_files = [storage for storage in storages if storage.container == FILES == location.container]
    return [one for one in of_files if not (_real_start(one).startswith(root) or root.startswith(_real_start(one)))]


def _meets(storage: OwnStorage, location: Location) -> bool:
    """Tell whether a storage takes objects of a source."""
    ours, its = _root(location) + location.start, _real_start(storage)
    return storage.container == location.container and (its.startswith(ours) or ours.startswith(its))


def _real_start(storage: OwnStorage) -> str:
    """Return its start as a source has its document root: of a directory, symbolic links are resolved."""
    return f"{os.path.realpath(storage.start).rstrip('/')}/" if storage.container == FILES else storage.start


def _root(location: Location) -> str:
    """Return what stands before the path of an object where Label Studio names it: it has whole paths of files."""
    return f"{location.endpoint.rstrip('/')}/" if location.container == FILES else ""


class OwnSync:
    """The storages of a project that Label Studio itself syncs, seen from one source."""

    def __init__(self, storages: Sequence[OwnStorage], location: Location, *, as_blobs: bool) -> None:
        """Look at those of the source's container.

        :param as_blobs: whether the import is of blobs: what was synced as task files says nothing of these.
        """
        self._all, self._root = storages, _root(location)
        self._here = [storage for storage in storages if storage.container == location.container]
        self._real_starts = {storage: _real_start(storage) for storage in self._here}
        synced = [storage for storage in self._here if storage.synced_at and storage.as_blobs == as_blobs]
        self._folders: set[str] = set()
        """Directories below the document root in which a file was imported by a sync."""
        self._synced = [(storage._replace(start=self._real_starts[storage]), _filter(storage)) for storage in synced]

    def path_of(self, name: str) -> str | None:
        """Return the path of the object that a task's `storage_filename` names; None if it may be another place's.

        It tells no bucket: which is meant, only the project's storages say.
        """
        at = [storage for storage in self._all if storage.covers(name) and not storage.as_blobs]
        real = self._real(name)
        if real is None or any(storage not in self._here for storage in at):
            return None
        return real[len(self._root) :] if at and real.startswith(self._root) else None

    def _real(self, name: str) -> str | None:
        """Return a name as this source has it, if a storage of its container has it."""
        covering = next((storage for storage in self._here if storage.covers(name)), None)
        return covering and self._real_starts[covering] + name[len(covering.start) :]

    def note(self, name: str) -> None:
        """Take note that a sync has made a task of an object."""
        if self._root and (real := self._real(name)):
            self._folders.add(_folder(real))

    def is_elsewhere(self, name: str) -> bool:
        """Tell whether only storages in other places have an object of this name."""
        covering = [storage for storage in self._all if storage.covers(name)]
        return bool(covering) and not any(storage.covers(name) for storage in self._here)

    def has_imported(self, path: str, info: ObjectInfo) -> bool:
        """Tell whether the object was there when a sync began that has completed: it was imported then."""
        modified, name = _latest(info), self._root + path
        return modified is not None and any(
            storage.synced_at is not None
            and modified < storage.synced_at
            and storage.covers(name)
            and self._was_there(storage, name)
            and passes.matches(_filtered_part(storage, name))
            for storage, passes in self._synced
        )

    def _was_there(self, storage: OwnStorage, name: str) -> bool:
        """Tell whether the folder of an object is where it was: a file that is moved with it tells nothing of that."""
        return not self._root or _folder(name) == storage.start or _folder(name) in self._folders


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _latest(info: ObjectInfo) -> datetime | None:
    """Return the latest instant at which an object may have been written: most listings tell whole seconds."""
    modified = info.modified_at()
    return modified if modified is None or modified.microsecond else modified + timedelta(seconds=1)


def _filter(storage: OwnStorage) -> RegexFilter:
    """Return what its sync lets through.

    :raises Invalid: `RegexFilter` does not take the storage's expression.
    """
    try:
        return RegexFilter(storage.regex_filter)
    except Invalid as error:
        raise Invalid(
            f"adopt: source storage {storage.id}, {storage.uri}: its File Filter Regex does not tell what was synced. "
            f"{error} Correct it in the project's Settings, Cloud Storage."
        ) from error


def _filtered_part(storage: OwnStorage, name: str) -> str:
    """Return what its filter is matched with: of a bucket the key, of a directory the name of the file alone."""
    return name if storage.container != FILES else name.rpartition("/")[2]
