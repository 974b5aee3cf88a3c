"""A Label Studio server: where a connection leads whose host is its base URL."""

import logging
import ssl
from typing import TYPE_CHECKING

from labelsync_provider.errors import invalid
from labelsync_provider.retry import RETRY_SECONDS, Requests, count_in

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from labelsync_provider.projects.label_studio.client import Client
    from labelsync_provider.projects.label_studio.server import LabelStudioServer
    from labelsync_provider.stop import Stop

TALKATIVE = ("httpx", "httpcore")
"""These log a line for every request."""


class LabelStudioServerHook:
    """Opens a server; see `ProjectStoreHook`. It is logged in to once, until `close`."""

    def __init__(self, connection: "Connection", stop: "Stop") -> None:
        self._connection, self._stop = connection, stop
        self._server: LabelStudioServer | None = None

    def open_store(self, *, read_only: bool = False, retry_seconds: float = RETRY_SECONDS) -> "LabelStudioServer":
        """Open the server; nothing is asked of it yet.

        :param read_only: of no meaning here: what is there is as it is.
        :param retry_seconds: so long a request that may be repeated is.
        :raises Invalid: the connection cannot be used.
        """
        from labelsync_provider.projects.label_studio.server import LabelStudioServer

        self._server = self._server or LabelStudioServer(self._client(retry_seconds))
        return self._server

    def close(self) -> None:
        """Close the connections to the server."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _client(self, retry_seconds: float) -> "Client":
        """Return a client of the server's API."""
        connection, login = self._connection, f"connection {self._connection.conn_id!r}"
        extra = connection.extra_dejson
        if connection.port:
            what = f"{login}: nothing is asked there, as the Server URL names no port"
            raise invalid("port", connection.port, what, "Write it into the Server URL: http(s)://host:port.")
        if not connection.password:
            remedy = "Set its password to a legacy token or a personal access token: Account & Settings shows them."
            raise invalid("password", "", f"{login} has no token", remedy)
        from labelsync_provider.projects.label_studio.client import CONNECT_SECONDS, READ_SECONDS, Client

        for name in TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))
        client = Client(
            connection.host or "",
            connection.password,
            server=extra.get("server"),
            verify=_trusting(extra.get("ca_file"), login),
            connect_seconds=extra.get("connect_timeout") or CONNECT_SECONDS,
            read_seconds=extra.get("read_timeout") or READ_SECONDS,
            retry_seconds=retry_seconds,
        )
        count_in(Requests(self._stop), client)
        return client


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
