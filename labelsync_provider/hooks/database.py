"""The database of the ledger and the embedded store: what `[labelsync] database` in Airflow's configuration names."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import AIRFLOW_HOME

from labelsync_provider.airflow_compat import conf
from labelsync_provider.errors import invalid
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.fields import PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine

OPTION = "[labelsync] database"
CONNECTION = "conn:"
"""What stands before the id of a connection."""
POSTGRES_TYPES = ("postgres", "postgresql", "generic")
"""Airflow offers the first only where its own provider for PostgreSQL is installed, which is not needed here."""
DRIVER = "postgresql+psycopg"


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
        return open_database(_url_of(named.removeprefix(CONNECTION).strip()))
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

    # What it says beside the fields, such as sslmode, is libpq's, which psycopg speaks.
    asked = {name: str(value) for name, value in connection.extra_dejson.items() if not isinstance(value, dict | list)}
    return URL.create(
        DRIVER, connection.login, connection.password, connection.host, connection.port, connection.schema, asked
    )
