"""The source storages that a project of a server has of its own: listed once, as long as none is changed here."""

from collections.abc import Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from labelsync_provider.access import StorageAccess
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.doubles import delete_doubles
from labelsync_provider.projects.label_studio.own_storages import lock, own_storage
from labelsync_provider.projects.label_studio.static_keys import check_handover
from labelsync_provider.projects.label_studio.storage_types.local_files import KIND as LOCAL_FILES
from labelsync_provider.projects.label_studio.storage_types.registry import KINDS, told_of
from labelsync_provider.projects.label_studio.storages import list_storages
from labelsync_provider.projects.label_studio.visibility import register, serves_files, why_unseen
from labelsync_provider.projects.protocol import Json, OwnStorage

if TYPE_CHECKING:
    from collections.abc import Iterator


class ProjectStorages:
    """See `OwnStorages`."""

    def __init__(self, client: Client, project_id: int) -> None:
        self._client, self._project_id = client, project_id

    @cached_property
    def _rows(self) -> Sequence[Json]:
        return list_storages(self._client, self._project_id, "import")

    @contextmanager
    def trying(self, seconds: float) -> "Iterator[None]":
        """For the length of a block, repeat a request for so long."""
        client, self._client = self._client, self._client.trying(seconds)
        try:
            yield
        finally:
            self._client = client

    def listed(self) -> list[OwnStorage]:
        """Return the storages, of all types, the oldest first."""
        return [own_storage(row) for row in self._rows if row["type"] in KINDS]

    def lock(self, storage: OwnStorage) -> None:
        """See to it that nobody can press Sync on a storage; annotators see its objects as before."""
        self._forget()
        lock(self._client, storage)

    def why_unseen(self, source: str) -> str | None:
        """Return why annotators would not see the objects of a source, and the remedy; None if they would.

        :param source: the storage's URI; that of a local directory not percent-encoded.
        """
        return why_unseen(self._client, self._project_id, source, lambda: self._rows)

    def serves_files(self) -> bool:
        """Tell whether local files are served at all."""
        return serves_files(self._client)

    def register(
        self, source: StorageAccess, *, presign: bool = True, presign_ttl: int = 15, allow_static_keys: bool = False
    ) -> None:
        """Have annotators see the objects of a source; see `visibility.register`."""
        self._forget()
        register(
            self._client,
            self._project_id,
            told_of(source),
            presign=presign,
            presign_ttl=presign_ttl,
            allow_static_keys=allow_static_keys,
        )

    def would_register(self, source: StorageAccess, *, allow_static_keys: bool = False) -> str:
        """Return what a person calls the storage that `register` would create or update.

        :raises Invalid: there can be no such storage, or it may not have its keys.
        """
        wanted = told_of(source)
        check_handover(wanted.uri, wanted.login, self._client.url, allowed=allow_static_keys)
        return wanted.uri

    def delete_doubles_of_files(self) -> None:
        """Delete the storages of local files that were registered here a second time."""
        if delete_doubles(self._client, LOCAL_FILES, [row for row in self._rows if row["type"] == LOCAL_FILES.type]):
            self._forget()

    def _forget(self) -> None:
        """Ask anew for the list, the next time that it is needed: what is in it is about to change."""
        self.__dict__.pop("_rows", None)
