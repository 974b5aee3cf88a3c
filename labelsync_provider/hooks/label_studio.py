"""The connection that says where projects live: a Label Studio server, or the embedded store."""

from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import BaseHook

from labelsync_provider.errors import LabelsyncError, Unusable, invalid
from labelsync_provider.get_provider_info import LABEL_STUDIO_FORM as FORM
from labelsync_provider.hooks.connections import get_connection, nameless
from labelsync_provider.hooks.fields import FILE, NAME, SECONDS, Fields
from labelsync_provider.hooks.installed import PROJECTS, installed_schemes, is_ours, offered
from labelsync_provider.hooks.outside import shown, told
from labelsync_provider.hooks.trial import TRIAL_SECONDS
from labelsync_provider.retry import RETRY_SECONDS
from labelsync_provider.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import Connection

    from labelsync_provider.projects.planned import PlannedProject
    from labelsync_provider.projects.protocol import StoredProject
    from labelsync_provider.projects.stores import OwnStorages, ProjectStore

EMBEDDED = ("embedded", "embedded://")
"""Hosts that mean the embedded store. The second one is empty after a round trip through a connection's URI."""
CA_FILE = FILE._replace(remedy="Name a file of certificates in PEM, that the tasks can read.")
FIELDS: Fields = {"server": NAME, "ca_file": CA_FILE, "connect_timeout": SECONDS, "read_timeout": SECONDS}
"""All that the extra can hold."""


class ProjectStoreHook(Protocol):
    """Opens a store of projects. It is made with the connection that leads there, and with what ends a run."""

    def open_store(
        self, *, read_only: bool = False, retry_seconds: float = RETRY_SECONDS
    ) -> "ProjectStore[StoredProject]":
        """Open the store; see `LabelStudioHook.open_store`."""

    def close(self) -> None:
        """Close what was opened."""


class LabelStudioHook(BaseHook):
    """Opens projects. Whoever is done with it closes it.

    :param label_studio_conn_id: the connection. Its host is the base URL of a Label Studio server, with a legacy token
        or a personal access token as password, or `embedded` for the embedded store. Its extra may hold `server`, the
        name by which the server is known, which is its base URL by default; `ca_file`, the path of a CA certificate in
        PEM; and `connect_timeout` and `read_timeout`, in seconds.
    :param stop: ends what is asked for here, and all that clients and projects of this hook do: they begin no request
        any more.
    """

    conn_name_attr = "label_studio_conn_id"
    default_conn_name = "label_studio_default"
    conn_type = "label_studio"
    hook_name = "Label Studio"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what the metadata say of the connection form: Airflow 3.1 asks the hook for it."""
        return {name.replace("-", "_"): value for name, value in FORM["ui-field-behaviour"].items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields that the metadata add to the connection form: Airflow 3.1 asks the hook for them."""
        from wtforms import IntegerField, StringField

        return {
            name: (IntegerField if "number" in field["schema"]["type"] else StringField)(
                field["label"], description=field["description"]
            )
            for name, field in FORM["conn-fields"].items()
        }

    def __init__(self, label_studio_conn_id: str = default_conn_name, stop: Stop | None = None) -> None:
        super().__init__()
        # A field of a form that is cleared gives none.
        self.label_studio_conn_id = label_studio_conn_id or self.default_conn_name
        self.stop = stop or Stop()

    def open_store(
        self, *, read_only: bool = False, retry_seconds: float = RETRY_SECONDS
    ) -> "ProjectStore[StoredProject]":
        """Return the store that the connection leads to. A server is logged in to once, until `close`.

        :param read_only: leave the schema of the embedded store's database as it is.
        :param retry_seconds: so long a request to a server that may be repeated is.
        :raises NotFound: there is no such connection.
        :raises Invalid: the connection cannot be used.
        :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
        """
        opener = self._store
        if is_ours(type(opener)):
            return opener.open_store(read_only=read_only, retry_seconds=retry_seconds)
        name = f"{type(opener).__module__}.{type(opener).__qualname__}"
        with told(name, "open_store()"):
            store = opener.open_store(read_only=read_only, retry_seconds=retry_seconds)
        _refuse_other_stores(store, name)
        return store

    def close(self) -> None:
        """Close what was opened."""
        if store := self.__dict__.pop("_store", None):
            store.close()

    @contextmanager
    def looking(self) -> "Iterator[ProjectStore[StoredProject]]":
        """Open the store to be looked at, for the length of a block; see `open_store` with `read_only`."""
        with closing(self):
            yield self.open_store(read_only=True)

    def get_project(self, project: int | str, read_only: bool = False) -> "StoredProject":
        """Return a project by its id, or by its exact title; see `open_store`.

        :raises NotFound: there is no such project, or no such connection.
        :raises Invalid: the title is ambiguous, or the connection cannot be used.
        :raises Unusable: no Label Studio answers there, or it does not take the token.
        """
        return self.open_store(read_only=read_only).project(project)

    def storages_of(self, project_id: int) -> "OwnStorages | None":
        """Return the storages that a project has of its own; None if it lives where projects have none."""
        from labelsync_provider.projects.stores import HasOwnStorages

        store = self.open_store(read_only=True)
        return store.storages_of(project_id) if isinstance(store, HasOwnStorages) else None

    def find_titled(self, title: int | str) -> "StoredProject | None":
        """Return the project with exactly that title, whatever the ids; None if there is none.

        :raises Invalid: several projects have it.
        """
        return self.open_store().titled(title)

    def plan_project(self, project: int | str, label_config: str) -> "PlannedProject":
        """Return a project that is not there as it would be created.

        :param label_config: XML, or the name of a ready one; see `labelsync_provider.label_configs`.
        :raises Invalid: it is named by an id, or cannot have this title; or the label config is none.
        """
        from labelsync_provider.projects.label_config import label_config_of
        from labelsync_provider.projects.naming import is_id, title_of
        from labelsync_provider.projects.planned import PlannedProject

        label_config = label_config_of(label_config, "create_if_missing")
        if is_id(project):
            what = "there is no project with this id, and only a title says what is to be created"
            remedy = "Correct the id, or give the title that the new project is to have."
            raise invalid("project", project, what, remedy)
        title = title_of(project, "project")
        self.open_store(read_only=True).check_title(title)
        return PlannedProject(title, label_config)

    def create_project(
        self, title: int | str, label_config: str, description: str = "", confirm: "Callable[[], None] | None" = None
    ) -> "StoredProject":
        """Return the project of that title; create it if there is none.

        :param label_config: XML, or the name of a ready one; see `labelsync_provider.label_configs`.
        :param confirm: called right before each request that changes something; what it raises ends this.
        :raises Invalid: it is neither; or the store does not take it, or the title.
        """
        from labelsync_provider.projects.label_config import label_config_of

        return self.open_store().create_project(title, label_config_of(label_config), description, confirm)

    def test_connection(self) -> tuple[bool, str]:
        """Say where projects live, and whether they can be reached; if not, why."""
        try:
            with closing(self):
                return True, self.open_store(read_only=True, retry_seconds=TRIAL_SECONDS).tried()
        except LabelsyncError as error:
            return False, nameless(str(error), self.label_studio_conn_id)

    @cached_property
    def _connection(self) -> "Connection":
        missing = (
            "Create it, of type 'Label Studio': its Server URL is http(s)://..., with a token, for a "
            f"Label Studio server or {EMBEDDED[0]} for the embedded store. Nothing is written to a store nobody chose."
        )
        connection = get_connection(self.label_studio_conn_id, missing, FIELDS)
        if unknown := sorted(connection.extra_dejson.keys() - FIELDS.keys()):
            what = f"connection {self.label_studio_conn_id!r}: its extra knows no {unknown[0]}"
            raise invalid("extra", unknown, what, f"It can hold {', '.join(FIELDS)}. Take anything else out.")
        return connection

    @cached_property
    def _store(self) -> "ProjectStoreHook":
        """What opens the store: that of the scheme of the host."""
        connection = self._connection
        host = connection.host or ""
        scheme = EMBEDDED[0] if host in EMBEDDED else host.rpartition("://")[0]
        found = offered(PROJECTS, scheme) if scheme != EMBEDDED[0] or host in EMBEDDED else None
        if found is None:
            remedy = (
                f"Set its host to the base URL of a Label Studio server, http(s)://..., or to {EMBEDDED[0]} to keep "
                f"projects in the embedded store; {EMBEDDED[1]} is emptied where a connection is kept as a URI. "
                f"What is installed are stores for {', '.join(installed_schemes(PROJECTS))}."
            )
            raise invalid("host", host, f"connection {self.label_studio_conn_id!r} names no store", remedy)
        opener: ProjectStoreHook = found(connection, self.stop)
        return opener


def _refuse_other_stores(store: "ProjectStore[StoredProject]", opener: str) -> None:
    """Make sure that what another package opens is a store, and not known by the name of the embedded store.

    :raises Unusable: it is none.
    :raises Invalid: it is; the ledger would take the projects of one for those of the other.
    """
    from labelsync_provider.projects.embedded.project import EMBEDDED_STORE

    if not isinstance(getattr(store, "uri", None), str):
        raise Unusable(
            f"{opener}: open_store() returned {shown(store)}, and no store of projects. Correct the package."
        )
    if store.uri.rstrip("/") == EMBEDDED_STORE.rstrip("/"):
        what = f"{opener} opens a store with the URI of the embedded store"
        remedy = (
            "Correct the package: each store has a URI of its own, such as EmbeddedStore(engine, uri='acme://shelf')."
        )
        raise invalid("uri", store.uri, what, remedy)
