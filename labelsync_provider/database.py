"""The database that holds the ledger and the embedded projects: SQLite by default, PostgreSQL when shared."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Dialect, Engine, MetaData, Table, create_engine, event, insert, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import StaticPool

from labelsync_provider.errors import Unavailable, invalid

UPSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
LOCK_WAIT_SECONDS = 60
ROWS_IN_A_STATEMENT = 500

Row = tuple[Any, ...]
T = TypeVar("T")


def open_database(url: str) -> Engine:
    """Open the database at a SQLAlchemy `url`.

    :raises Invalid: the URL is none, or names a database other than SQLite and PostgreSQL.
    :raises Unavailable: the database cannot be reached.
    """
    remedy = "Set [labelsync] database to sqlite:////absolute/path.db or postgresql+psycopg://user@host/name."
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in UPSERTS:
            raise invalid("[labelsync] database", parsed.render_as_string(), "not SQLite or PostgreSQL", remedy)
        # Parameters by position with either driver, so that bulk rows reach it as they are.
        options: dict[str, Any] = (
            {"connect_args": {"timeout": LOCK_WAIT_SECONDS}}
            if parsed.get_backend_name() == "sqlite"
            else {"paramstyle": "format"}
        )
        engine = create_engine(
            parsed,
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
            **options,
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise invalid("[labelsync] database", url.split("@")[-1], str(error), remedy) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        engine.connect().close()
    except OperationalError as error:
        raise Unavailable(f"[labelsync] database {parsed.render_as_string()}: {error.orig}") from error
    return engine


def open_scratch() -> Engine:
    """Open a database of one's own that is gone when it is closed; what outgrows memory goes to a temporary file."""
    # SQLite's name for such a database is the empty one.
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(""), poolclass=StaticPool)
    event.listen(engine, "connect", lambda connection, _record: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    _switch_to_wal(connection)
    # FULL, because a batch is announced here before it is sent to a server elsewhere: after a power cut
    # the announcement must still be there.
    connection.execute("PRAGMA synchronous = FULL")


def _switch_to_wal(connection: Any) -> None:
    # Of several processes that open a new database at once, one switches; the others are told that it is
    # locked at once, whatever the time they are ready to wait.
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: one that has read first would fail instead of waiting.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def writing(engine: Engine) -> AbstractContextManager[Connection]:
    """Begin a transaction that writes; committed at the end of the block, rolled back on an error."""
    return engine.execution_options(writes=True).begin()


def create_tables(engine: Engine, metadata: MetaData) -> None:
    """Create those tables of `metadata` that are not there; two processes may do so at once."""
    if all(inspect(engine).has_table(table.name) for table in metadata.sorted_tables):
        return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236837)")
        metadata.create_all(connection)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert many rows: the values of all columns in the table's order, JSON already encoded.

    They go to the driver as they are, hundreds in a statement: three times as fast as binding each value,
    and while the database works on them, other threads run.
    """
    _execute(connection, _insert_text(connection.dialect, table), rows)


def upsert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert many rows, as `insert_rows`; where the primary key is there already, replace the other columns."""
    _execute(connection, _upsert_text(connection.dialect, table), rows)


def _execute(connection: Connection, text: str, rows: Sequence[Row]) -> None:
    whole = len(rows) // ROWS_IN_A_STATEMENT * ROWS_IN_A_STATEMENT
    for start in range(0, whole, ROWS_IN_A_STATEMENT):
        values = chain.from_iterable(rows[start : start + ROWS_IN_A_STATEMENT])
        connection.exec_driver_sql(_with_many_rows(text), tuple(values))
    if whole < len(rows):
        connection.exec_driver_sql(text, list(rows[whole:]))


@cache
def _with_many_rows(text: str) -> str:
    before, values, after = text.partition("VALUES (")
    end = values and next(n for n in range(len(after)) if after[: n + 1].count(")") > after[:n].count("("))
    row = "(" + after[: int(end) + 1]
    return f"{before}VALUES {', '.join([row] * ROWS_IN_A_STATEMENT)}{after[int(end) + 1 :]}"


@cache
def _insert_text(dialect: Dialect, table: Table) -> str:
    # Named columns make a statement with a placeholder for each, in the table's order.
    return str(insert(table).compile(dialect=dialect, column_keys=table.c.keys()))


@cache
def _upsert_text(dialect: Dialect, table: Table) -> str:
    statement = UPSERTS[dialect.name](table)
    replaced = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    keys = [column.name for column in table.primary_key]
    statement = statement.on_conflict_do_update(index_elements=keys, set_=replaced)
    return str(statement.compile(dialect=dialect, column_keys=table.c.keys()))


def chunks(values: Iterable[T], size: int) -> Iterable[list[T]]:
    """Cut `values` into lists of at most `size`, small enough for the parameters of one statement."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk
