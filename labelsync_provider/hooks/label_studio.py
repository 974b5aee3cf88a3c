"""The connection that says where projects live: a Label Studio server, or the embedded store."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import BaseHook, conf

from labelsync_provider.errors import Invalid, LabelsyncError, invalid
from labelsync_provider.hooks.connections import get_connection

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from labelsync_provider.projects.embedded import EmbeddedStore
    from labelsync_provider.projects.protocol import Project

EMBEDDED = "embedded://"


def labelsync_database() -> "Engine":
    """Open the database of the ledger and the embedded store: `[labelsync] database`."""
    from labelsync_provider.database import open_database

    url = conf.get("labelsync", "database", fallback="")
    return open_database(url or f"sqlite:///{Path(AIRFLOW_HOME).absolute()}/labelsync.db")


class LabelStudioHook(BaseHook):
    """Opens projects.

    :param label_studio_conn_id: the connection. Its host is `embedded://` for the embedded store.
    """

    conn_name_attr = "label_studio_conn_id"
    default_conn_name = "label_studio_default"
    conn_type = "label_studio"
    hook_name = "Label Studio"

    def __init__(self, label_studio_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.label_studio_conn_id = label_studio_conn_id

    def get_project(self, project: int | str) -> "Project":
        """Return a project by its id, or by its exact title.

        :raises NotFound: there is no such project, or no such connection.
        :raises Invalid: the title is ambiguous, or the connection cannot be used.
        """
        return self._store.project(project)

    def create_project(self, title: str, label_config: str, description: str = "") -> "Project":
        """Return the project of that title; create it if there is none."""
        return self._store.create_project(title, label_config, description)

    def test_connection(self) -> tuple[bool, str]:
        """Open the store."""
        try:
            self._check_host()
            engine = labelsync_database()
        except LabelsyncError as error:
            return False, str(error)
        return True, f"Projects live in the embedded store, in {engine.url.render_as_string()}."

    @cached_property
    def _store(self) -> "EmbeddedStore":
        from labelsync_provider.projects.embedded import EmbeddedStore

        self._check_host()
        return EmbeddedStore(labelsync_database())

    def _check_host(self) -> None:
        remedy = (
            f"Set its host to {EMBEDDED} to keep projects in the embedded store; a Label Studio server, "
            "http(s)://..., comes with a later release."
        )
        missing = (
            "Create it, of type 'Label Studio': its host says where projects live, http(s)://... with a token for a "
            f"Label Studio server or {EMBEDDED} for the embedded store. Nothing is written to a store nobody chose."
        )
        host = get_connection(self.label_studio_conn_id, missing).host or ""
        if host.startswith(("http://", "https://")):
            raise Invalid(f"Connection {self.label_studio_conn_id!r}: {host} is a server. {remedy}")
        if host != EMBEDDED:
            raise invalid("host", host, f"connection {self.label_studio_conn_id!r} names no store", remedy)
