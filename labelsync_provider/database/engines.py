"""How databases are opened, and transactions that write begun."""

import os
import sqlite3
import time
from contextlib import AbstractContextManager, suppress
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, ProgrammingError
from sqlalchemy.pool import StaticPool

from labelsync_provider.database.statements import UPSERTS
from labelsync_provider.errors import Unavailable, invalid

LOCK_WAIT_SECONDS = 60


SECRETS = ("password", "sslpassword", "oauth_client_secret")
"""Options of libpq that are not shown."""
PSYCOPG = "postgresql+psycopg"
"""What the package's extra installs; SQLAlchemy 2.0 means another driver by `postgresql://`, and none by `postgres://`."""


def open_database(url: str | URL, options_in: str = "the URL") -> Engine:
    """Open the database at a SQLAlchemy `url`.

    :param options_in: where its options stand, in words.
    :raises Invalid: the URL is none, or names a database other than SQLite and PostgreSQL.
    :raises Unavailable: the database cannot be reached. Whatever uses the engine raises it too, for what SQLAlchemy
        calls an operational error.
    """
    remedy = (
        "Set [labelsync] database to conn: and the id of a connection, to sqlite:////absolute/path.db, or to "
        "postgresql+psycopg://host/name."
    )
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername=PSYCOPG)
        if parsed.get_backend_name() not in UPSERTS:
            raise invalid("[labelsync] database", shown_url(parsed), "not SQLite or PostgreSQL", remedy)
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
            # They would stand in the error of a statement that fails: what is in tasks and annotations.
            hide_parameters=True,
            **options,
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        # Older versions of SQLAlchemy repeat the text, which may have a password in it, and no place for it.
        said = str(error).replace(str(url), _shown(url))
        raise invalid("[labelsync] database", _shown(url), said, remedy) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", lambda *_: _create_private(parsed))
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        # A file that is not there yet is created by whoever writes, if there is a directory for it.
        if not (is_absent(engine) and os.path.isdir(os.path.dirname(os.path.abspath(parsed.database or "")))):
            engine.connect().close()
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())  # psycopg says it in several lines
        if isinstance(error, ProgrammingError):  # an option that libpq does not know
            wrong = f"Take what is no option of libpq out of {options_in}."
            raise invalid("[labelsync] database", shown_url(parsed), said, wrong) from None
        raise Unavailable(f"[labelsync] database {shown_url(parsed)}: {said}") from error
    event.listen(engine, "handle_error", _say_what_failed)
    return engine


def _say_what_failed(context: ExceptionContext) -> Unavailable | None:
    # Locked for longer than anyone waits, a full disk, a server that went away: in the middle of a run, a cause that
    # may pass, and an error like any other.
    error = context.sqlalchemy_exception
    if not isinstance(error, OperationalError) or context.engine is None:
        return None
    said = " ".join(str(error.orig).split())
    return Unavailable(f"[labelsync] database {shown_url(context.engine.url)}: {said}")


def _shown(url: str | URL) -> str:
    """Return what was given for a URL and may be none, so that nobody knows where a password stands in it."""
    return str(url).partition("@")[2] or str(url).partition(":")[0]


def shown_url(url: URL) -> str:
    """Return a database's URL as it may be shown."""
    return url.difference_update_query(SECRETS).render_as_string()


def open_scratch() -> Engine:
    """Open a database of one's own that is gone when it is closed; what outgrows memory goes to a temporary file."""
    # SQLite's name for such a database is the empty one.
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(""), poolclass=StaticPool, hide_parameters=True)
    event.listen(engine, "connect", lambda connection, _record: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def is_absent(engine: Engine) -> bool:
    """Tell whether a database is a file that nobody has written to yet, which to connect would create."""
    path = _file_of(engine.url)
    return path is not None and not os.path.exists(path)


def _file_of(url: URL) -> str | None:
    """Return the path of the file that a URL of SQLite names, if it names one."""
    path = url.database
    is_file = url.get_backend_name() == "sqlite" and path and path != ":memory:" and "uri" not in url.query
    return path if is_file else None


def _create_private(url: URL) -> None:
    """Create the file of a new database for its owner alone; SQLite gives those beside it the same permissions."""
    if path := _file_of(url):
        with suppress(OSError):  # it is there, or SQLite says what is wrong with the path
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    # Of a new database; one that is there keeps its own. An import writes into many pages at once, of which the system
    # is called for each: with half as many of 8 KiB instead of 4, one of 100,000 objects takes a tenth less.
    connection.execute("PRAGMA page_size = 8192")
    _switch_to_wal(connection)
    # FULL, because a batch is announced here before it is sent to a server elsewhere: after a power cut
    # the announcement must still be there.
    connection.execute("PRAGMA synchronous = FULL")
    # 16 MiB instead of 2: an import writes into a dozen trees at once, which would be read again and again.
    connection.execute("PRAGMA cache_size = -16384")


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
