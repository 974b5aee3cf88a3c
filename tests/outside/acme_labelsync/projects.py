"""Where a connection leads whose host is `acme://...`: the projects of Acme's, in an embedded store of its own."""

from pathlib import Path
from typing import Any

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.store import EmbeddedStore


class AcmeProjects:
    """What labelsync asks of a hook of a project store, and nothing more."""

    def __init__(self, connection: Any, stop: Any) -> None:
        self._directory = Path(connection.host.removeprefix("acme://"))

    def open_store(self, *, read_only: bool = False, retry_seconds: float = 60) -> EmbeddedStore:
        database = open_database(f"sqlite:///{self._directory}/acme.db")
        return EmbeddedStore(database, read_only=read_only, uri=f"acme://{self._directory}")

    def close(self) -> None:
        """Close nothing: what is open is let go with the store."""
