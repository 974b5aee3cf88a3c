"""A database that fails in the middle of a run is an error like any other, with the remedy of a retry."""

from pathlib import Path

import pytest
from servers.postgres import PostgresServer
from sqlalchemy import text

from labelsync_provider.database import engines, open_database, writing
from labelsync_provider.errors import Unavailable

pytest_plugins = ["servers.postgres"]


def test_a_database_that_stays_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "LOCK_WAIT_SECONDS", 0.1)
    one, other = (open_database(f"sqlite:///{tmp_path}/labelsync.db") for _ in range(2))
    locked = pytest.raises(Unavailable, match=r"database sqlite:///.*labelsync.db: database is locked")
    with writing(one), locked, writing(other):
        pytest.fail("two are writing")
    with writing(other) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_a_server_that_ends_the_connection(postgres: PostgresServer) -> None:
    engine = open_database(postgres.create_database())
    ended = pytest.raises(Unavailable, match=r"database postgresql.*: terminating connection")
    with ended, writing(engine) as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with writing(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
