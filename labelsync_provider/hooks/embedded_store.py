"""The embedded store, in the `[labelsync] database`: where a connection leads whose host is `embedded`."""

from typing import TYPE_CHECKING

from labelsync_provider.hooks.database import labelsync_database
from labelsync_provider.retry import RETRY_SECONDS

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy import Engine

    from labelsync_provider.projects.embedded.store import EmbeddedStore
    from labelsync_provider.stop import Stop


class EmbeddedStoreHook:
    """Opens the embedded store; see `ProjectStoreHook`. Nothing else of the connection counts."""

    def __init__(self, connection: "Connection", stop: "Stop") -> None:
        self._engine: Engine | None = None

    def open_store(self, *, read_only: bool = False, retry_seconds: float = RETRY_SECONDS) -> "EmbeddedStore":
        """Open the store.

        :param read_only: leave the schema of the database as it is.
        :param retry_seconds: of no meaning here: there are no requests.
        :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
        """
        from labelsync_provider.projects.embedded.store import EmbeddedStore

        self._engine = self._engine or labelsync_database()
        return EmbeddedStore(self._engine, read_only=read_only)

    def close(self) -> None:
        """Close the connections to the database."""
        if self._engine is not None:
            self._engine.dispose()
