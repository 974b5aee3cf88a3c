"""What is asked of a place where projects live, and what only some can do, by presence."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar, runtime_checkable

from labelsync_provider.access import StorageAccess
from labelsync_provider.projects.protocol import OwnStorage

Kept = TypeVar("Kept", covariant=True)
"""The projects of a store."""


class ProjectStore(Protocol[Kept]):
    """Where projects live."""

    uri: str
    """What the `uri` of each of its projects begins with, before `/projects/`: the scheme, and what tells this store
    from all others, such as the address of its server, or the path of its database. The ledger knows projects by it."""

    def project(self, id_or_title: int | str) -> Kept:
        """Return the project with that id, or with exactly that title; a number is the id, where there is one.

        :raises NotFound: there is none.
        :raises Invalid: the title is that of several projects, or a text is the title of one and the id of another.
        """

    def titled(self, title: int | str) -> Kept | None:
        """Return the project with exactly that title, whatever the ids; None if there is none.

        :raises Invalid: several projects have it.
        """

    def check_title(self, title: int | str) -> None:
        """Make sure that a project can have a title.

        :raises Invalid: it cannot.
        """

    def create_project(
        self, title: int | str, label_config: str, description: str = "", confirm: Callable[[], None] | None = None
    ) -> Kept:
        """Return the project of that title; create it if there is none.

        :param label_config: XML.
        :param confirm: called before something is changed; what it raises ends this.
        :raises Invalid: the store does not take the title or the label config.
        """

    def tried(self) -> str:
        """Try whether projects can be reached; return where they live, in a sentence."""


class OwnStorages(Protocol):
    """The source storages that a project has of its own: it shows objects from them, and a sync imports from them."""

    def trying(self, seconds: float) -> AbstractContextManager[None]:
        """For the length of a block, repeat a request for so long."""

    def listed(self) -> list[OwnStorage]:
        """Return them, the oldest first; asked for once, as long as none is changed here."""

    def lock(self, storage: OwnStorage) -> None:
        """See to it that nobody can press Sync on one; annotators see its objects as before."""

    def why_unseen(self, source: str) -> str | None:
        """Return why annotators would not see the objects of a source, and the remedy; None if they would."""

    def serves_files(self) -> bool:
        """Tell whether local files are served at all."""

    def register(
        self, source: StorageAccess, *, presign: bool = True, presign_ttl: int = 15, allow_static_keys: bool = False
    ) -> None:
        """Have annotators see the objects of a source, by a storage that nobody can sync.

        :param presign_ttl: the life of a signed URL, in minutes.
        :raises Invalid: there can be no such storage, or it may not have its keys.
        """

    def would_register(self, source: StorageAccess, *, allow_static_keys: bool = False) -> str:
        """Return what a person calls the storage that `register` would create or update; see there for the errors."""

    def delete_doubles_of_files(self) -> None:
        """Delete the storages of local files that were registered a second time."""


@runtime_checkable
class HasOwnStorages(Protocol):
    """A project store whose projects have storages of their own."""

    def storages_of(self, project_id: int) -> OwnStorages:
        """Return those of a project."""
