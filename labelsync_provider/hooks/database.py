"""The database of the ledger and the embedded store: what `[labelsync] database` in Airflow's configuration names."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import AIRFLOW_HOME

from labelsync_provider.airflow_compat import conf
from labelsync_provider.errors import invalid
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.fields import PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL, Engine

OPTION = "[labelsync] database"
CONNECTION = "conn:"
"""What stands before the id of a connection."""
POSTGRES_TYPES = ("postgres", "postgresql", "generic")
"""Airflow offers the first only where its own provider for PostgreSQL is installed, which is not needed here."""
DRIVER = "postgresql+psycopg"
TOKENS = ("iam", "redshift", "redshift-serverless")
"""Of the extra, what has Airflow's own hook for PostgreSQL log in with a token."""
AIRFLOWS = ("aws_conn_id", "azure_conn_id", "cluster-identifier", "workgroup-name", "cursor", "sqlalchemy_scheme")
"""What else that hook takes for itself: whom it asks for the token, how it reads rows. None changes the database."""


def labelsync_database() -> "Engine":
    """Open the database of the ledger and the embedded store.

    :raises Invalid: the option names no SQLite and no PostgreSQL, or a connection that leads to none.
    :raises NotFound: there is no such connection.
    :raises Unavailable: the database cannot be reached.
    """
    from labelsync_provider.database import open_database

    # A command whose output is the value, AIRFLOW__LABELSYNC__DATABASE_CMD, ends it with a line break.
    named = conf.get("labelsync", "database", fallback="").strip()
    if named.startswith(CONNECTION):
        conn_id = named.removeprefix(CONNECTION).strip()
        return open_database(_url_of(conn_id), f"the extra of connection {conn_id!r}")
    return open_database(named or f"sqlite:///{Path(AIRFLOW_HOME).absolute()}/labelsync.db")


@contextmanager
def opened_labelsync_database() -> "Iterator[Engine]":
    """Open it for the length of a block."""
    engine = labelsync_database()
    try:
        yield engine
    finally:
        engine.dispose()


def _url_of(conn_id: str) -> "URL":
    """Return what a connection to PostgreSQL says, as SQLAlchemy names a database."""
    kind = "of type 'Postgres', or 'Generic' where Airflow does not offer that"
    connection = get_connection(conn_id, f"{OPTION} names it: create one {kind}.", {"port": PORT})
    named = CONNECTION + conn_id
    if connection.conn_type not in POSTGRES_TYPES:
        what = f"a connection of type {connection.conn_type!r} leads to no PostgreSQL"
        remedy = f"Name one {kind}; a SQLite file needs none, sqlite:////absolute/path.db."
        raise invalid(OPTION, named, what, remedy)
    if not connection.schema:
        remedy = "Set its field Schema (Database, if its type is 'Postgres') to the name of the database."
        raise invalid(OPTION, named, "the connection names no database", remedy)
    from sqlalchemy import URL

    return URL.create(
        DRIVER,
        connection.login,
        connection.password,
        connection.host,
        connection.port,
        connection.schema,
        _options_of(connection.extra_dejson, named),
    )


def _options_of(extra: "Mapping[str, Any]", named: str) -> dict[str, str]:
    """Return what a connection says beside its fields, such as sslmode: libpq's options, which psycopg speaks.

    :raises Invalid: it is to log in with a token, or an option is none.
    """
    if token := next((name for name in TOKENS if extra.get(name)), None):
        what = (
            f"the extra of the connection has {token}, by which Airflow's own hook logs in with a token of AWS or Azure"
        )
        remedy = f"Name a connection with login and password, or take {token} out of this one's extra."
        raise invalid(OPTION, named, what, remedy)
    given = {name: value for name, value in extra.items() if name not in (*TOKENS, *AIRFLOWS)}
    # Airflow's own hook puts this into its URL in the same way.
    query = given.pop("sqlalchemy_query", {})
    options = given | query if isinstance(query, dict) else {"sqlalchemy_query": query}
    if wrong := [name for name, value in options.items() if isinstance(value, dict | list)]:
        what = f"in the extra of the connection, {wrong[0]} is no text and no number"
        raise invalid(OPTION, named, what, f"Take {wrong[0]} out there: libpq has no such options.")
    return {name: str(value) for name, value in options.items()}
