"""A database that fails in the middle of a run is an error like any other, with the remedy of a retry."""

import os
from pathlib import Path

import pytest
from servers.postgres import PostgresServer
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from labelsync_provider.database import engines, open_database, writing
from labelsync_provider.database.schema import check_schema
from labelsync_provider.errors import Invalid, NotFound, Unavailable
from labelsync_provider.projects.embedded.store import EmbeddedStore

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


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_file_of_a_new_database_is_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        engine = open_database(f"sqlite:///{tmp_path}/new.db")
        with writing(engine) as connection:
            connection.execute(text("CREATE TABLE t (n INTEGER)"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        engine.dispose()
    finally:
        os.umask(before)
    assert modes.pop("new.db") == 0o600
    assert set(modes.values()) == {0o600}, "what SQLite puts beside it too"


@pytest.mark.parametrize("name", ["new.db", "no directory/new.db"])
def test_whoever_only_reads_creates_no_file(tmp_path: Path, name: str) -> None:
    if "/" in name:
        with pytest.raises(Unavailable, match="unable to open database file"):
            open_database(f"sqlite:///{tmp_path}/{name}")
    else:
        engine = open_database(f"sqlite:///{tmp_path}/{name}")
        assert not check_schema(engine)
        with pytest.raises(NotFound, match="none yet"):
            EmbeddedStore(engine, read_only=True).project("photos")
        engine.dispose()
    assert not list(tmp_path.iterdir())


def test_permissions_of_a_database_that_is_there_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    file.touch(0o640)
    file.chmod(0o640)
    open_database(f"sqlite:///{file}").dispose()
    assert file.stat().st_mode & 0o777 == 0o640


def test_error_of_a_statement_does_not_show_its_parameters(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/x.db")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE t (a TEXT CHECK (a = ''))"))
    with pytest.raises(IntegrityError) as raised, writing(engine) as connection:
        connection.execute(text("INSERT INTO t VALUES (:a)"), {"a": "s3cret"})
    engine.dispose()
    assert "s3cret" not in str(raised.value)


def test_option_that_a_server_does_not_know_is_a_mistake() -> None:
    with pytest.raises(Invalid, match="nope") as raised:
        open_database("postgresql://ann:s3cret@127.0.0.1:1/x?nope=1")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("url", ["postgres//ann:s3cret", "ann:s3cret@db", "mysql://ann:s3cret@db/x?password=s3cret"])
def test_password_in_what_is_no_url_is_not_shown(url: str) -> None:
    with pytest.raises(Invalid) as raised:
        open_database(url)
    assert "s3cret" not in str(raised.value)
