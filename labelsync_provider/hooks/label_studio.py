"""The connection that says where projects live: a Label Studio server, or the embedded store."""

import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import BaseHook, conf

from labelsync_provider.errors import LabelsyncError, invalid
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.storage import TRIAL_SECONDS
from labelsync_provider.retry import RETRY_SECONDS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from labelsync_provider.projects.embedded import EmbeddedStore
    from labelsync_provider.projects.label_studio import LabelStudioServer
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


class LabelStudioHook(BaseHook):
    """Opens projects.

    :param label_studio_conn_id: the connection. Its host is the base URL of a Label Studio server, with a legacy token
        or a personal access token as password, or `embedded://` for the embedded store. Its extra may hold `ca_file`,
        the path of a CA certificate in PEM, and `read_timeout`, in seconds.
    """

    conn_name_attr = "label_studio_conn_id"
    default_conn_name = "label_studio_default"
    conn_type = "label_studio"
    hook_name = "Label Studio"

    def __init__(self, label_studio_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.label_studio_conn_id = label_studio_conn_id

    def get_project(self, project: int | str, read_only: bool = False) -> "Project":
        """Return a project by its id, or by its exact title.

        :param read_only: leave the schema of the embedded store's database as it is.
        :raises NotFound: there is no such project, or no such connection.
        :raises Invalid: the title is ambiguous, or the connection cannot be used.
        :raises Unusable: no Label Studio answers there, or it does not take the token.
        :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
        """
        return self._open_store(read_only).project(project)

    def create_project(self, title: str, label_config: str, description: str = "") -> "Project":
        """Return the project of that title; create it if there is none."""
        return self._open_store().create_project(title, label_config, description)

    def get_client(self, retry_seconds: float = RETRY_SECONDS) -> "Client | None":
        """Return a client of the server's API; None for the embedded store, which has none.

        :param retry_seconds: so long a request that may be repeated is.
        """
        missing = (
            "Create it, of type 'Label Studio': its host says where projects live, http(s)://... with a token for a "
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
        from labelsync_provider.projects.label_studio_client import READ_SECONDS, Client

        for name in TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))
        read_seconds = extra.get("read_timeout") or READ_SECONDS
        if not isinstance(read_seconds, int | float) or read_seconds <= 0:
            raise invalid("read_timeout", read_seconds, f"{login}: no length of time", "Use a number of seconds.")
        return Client(
            host,
            connection.password,
            verify=_trusting(extra.get("ca_file"), login),
            read_seconds=read_seconds,
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
            user = client.get("/api/current-user/whoami")
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
