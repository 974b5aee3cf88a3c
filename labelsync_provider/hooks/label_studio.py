"""The connection that says where projects live: a Label Studio server, or the embedded store."""

import logging
import ssl
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import BaseHook, conf

from labelsync_provider.errors import LabelsyncError, NotFound, invalid
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.storage import TRIAL_SECONDS
from labelsync_provider.retry import RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from labelsync_provider.projects.embedded import EmbeddedProject, EmbeddedStore
    from labelsync_provider.projects.label_studio import LabelStudioProject, LabelStudioServer
    from labelsync_provider.projects.label_studio_client import Client
    from labelsync_provider.projects.protocol import Project

EMBEDDED = "embedded://"
TALKATIVE = ("httpx", "httpcore")
"""These log a line for every request."""


def labelsync_database() -> "Engine":
    """Open the database of the ledger and the embedded store: `[labelsync] database`."""
    from labelsync_provider.database import open_database

    url = conf.get("labelsync", "database", fallback="")
    return open_database(url or f"sqlite:///{Path(AIRFLOW_HOME).absolute()}/labelsync.db")


@contextmanager
def opened_labelsync_database() -> "Iterator[Engine]":
    """Open it for the length of a block."""
    engine = labelsync_database()
    try:
        yield engine
    finally:
        engine.dispose()


class LabelStudioHook(BaseHook):
    """Opens projects.

    :param label_studio_conn_id: the connection. Its host is the base URL of a Label Studio server, with a legacy token
        or a personal access token as password, or `embedded://` for the embedded store. Its extra may hold `ca_file`,
        the path of a CA certificate in PEM, and `connect_timeout` and `read_timeout`, in seconds.
    """

    conn_name_attr = "label_studio_conn_id"
    default_conn_name = "label_studio_default"
    conn_type = "label_studio"
    hook_name = "Label Studio"

    def __init__(self, label_studio_conn_id: str = default_conn_name) -> None:
        super().__init__()
        # A field of a form that is cleared gives none.
        self.label_studio_conn_id = label_studio_conn_id or self.default_conn_name

    def get_project(self, project: int | str, read_only: bool = False) -> "Project":
        """Return a project by its id, or by its exact title.

        :param read_only: leave the schema of the embedded store's database as it is.
        :raises NotFound: there is no such project, or no such connection.
        :raises Invalid: the title is ambiguous, or the connection cannot be used.
        :raises Unusable: no Label Studio answers there, or it does not take the token.
        :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
        """
        return self._open_store(read_only).project(project)

    def find_project(self, project: int | str, read_only: bool = False) -> "Project | None":
        """Return a project as `get_project` does; None if there is none."""
        store = self._open_store(read_only)
        try:
            return store.project(project)
        except NotFound:
            return None

    @contextmanager
    def looking_at(self, project: int | str) -> "Iterator[EmbeddedProject | LabelStudioProject]":
        """Open a project to be looked at, and close what was opened for it; see `get_project` with `read_only`."""
        from labelsync_provider.projects.label_studio import LabelStudioServer

        client = self.get_client()
        if client is not None:
            with closing(client):
                yield LabelStudioServer(client).project(project)
            return
        from labelsync_provider.projects.embedded import EmbeddedStore

        with opened_labelsync_database() as engine:
            yield EmbeddedStore(engine, read_only=True).project(project)

    def create_project(self, title: str, label_config: str, description: str = "") -> "Project":
        """Return the project of that title; create it if there is none.

        :param label_config: XML, or the name of a ready one; see `labelsync_provider.label_configs`.
        :raises Invalid: it is neither; or the store does not take it, or the title.
        """
        from labelsync_provider.projects.label_config import label_config_of

        return self._open_store().create_project(title, label_config_of(label_config), description)

    def get_client(self, retry_seconds: float = RETRY_SECONDS) -> "Client | None":
        """Return a client of the server's API; None for the embedded store, which has none.

        :param retry_seconds: so long a request that may be repeated is.
        """
        missing = (
            "Create it, of type 'Label Studio': its Server URL is http(s)://..., with a token, for a "
            f"Label Studio server or {EMBEDDED} for the embedded store. Nothing is written to a store nobody chose."
        )
        connection = get_connection(self.label_studio_conn_id, missing)
        host, extra = connection.host or "", connection.extra_dejson
        if host == EMBEDDED:
            return None
        login = f"connection {self.label_studio_conn_id!r}"
        if not host.startswith(("http://", "https://")):
            remedy = (
                f"Set its host to the base URL of a Label Studio server, http(s)://..., or to {EMBEDDED} to keep "
                "projects in the embedded store."
            )
            raise invalid("host", host, f"{login} names no store", remedy)
        if not connection.password:
            remedy = "Set its password to a legacy token or a personal access token: Account & Settings shows them."
            raise invalid("password", "", f"{login} has no token", remedy)
        from labelsync_provider.projects.label_studio_client import CONNECT_SECONDS, READ_SECONDS, Client

        for name in TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))
        return Client(
            host,
            connection.password,
            verify=_trusting(extra.get("ca_file"), login),
            connect_seconds=_seconds(extra, "connect_timeout", CONNECT_SECONDS, login),
            read_seconds=_seconds(extra, "read_timeout", READ_SECONDS, login),
            retry_seconds=retry_seconds,
        )

    def test_connection(self) -> tuple[bool, str]:
        """Say where projects live, and whether they can be reached; if not, why."""
        try:
            client = self.get_client(TRIAL_SECONDS)
            if client is None:
                from labelsync_provider.database import without_secrets

                where = without_secrets(labelsync_database().url)
                return True, f"Projects live in the embedded store, in {where}."
            version = client.version()
            user = client.whoami()
        except LabelsyncError as error:
            return False, str(error)
        return True, f"Label Studio {version} at {client.url}; the token is that of {user['email']}."

    def _open_store(self, read_only: bool = False) -> "EmbeddedStore | LabelStudioServer":
        client = self.get_client()
        if client is None:
            from labelsync_provider.projects.embedded import EmbeddedStore

            return EmbeddedStore(labelsync_database(), read_only=read_only)
        from labelsync_provider.projects.label_studio import LabelStudioServer

        return LabelStudioServer(client)


def _seconds(extra: "Mapping[str, Any]", name: str, default: float, login: str) -> float:
    """Return a length of time from the extra of a connection."""
    value = extra.get(name) or default
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise invalid(name, value, f"{login}: no length of time", "Use a number of seconds.")
    return value


def _trusting(ca_file: str | None, login: str) -> ssl.SSLContext | bool:
    """Return how certificates are verified: by the usual authorities, and the one in a file."""
    if not ca_file:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        remedy = "Name a file of certificates in PEM, that the tasks can read."
        raise invalid("ca_file", ca_file, f"{login}: {error.strerror or error}", remedy) from error
    return context
