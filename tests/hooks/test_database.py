"""`[labelsync] database`: a connection of Airflow's, a URL, or nothing."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from labelsync_provider.database import engines, open_database
from labelsync_provider.errors import Invalid, NotFound
from labelsync_provider.hooks import database as database_hook
from labelsync_provider.hooks.database import labelsync_database

pytest_plugins = ["servers.postgres"]

SECRET = "a-secret-word"


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda value: monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", value)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The URLs of the databases that are opened, which need not be there."""
    monkeypatch.chdir(tmp_path)  # as SQLite stands in for them, one of their names is taken for a file's
    asked: list[Any] = []
    create_engine = engines.create_engine  # type: ignore[attr-defined]

    def kept(url: Any, **options: Any) -> Any:
        asked.append(url)
        return create_engine("sqlite://")

    monkeypatch.setattr(engines, "create_engine", kept)
    return asked


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        (
            {"conn_type": "postgres", "host": "db.example.com", "schema": "labels", "login": "ann", "password": SECRET},
            f"postgresql+psycopg://ann:{SECRET}@db.example.com/labels",
        ),
        (
            {
                "conn_type": "postgresql",
                "host": "db",
                "port": 5433,
                "schema": "labels",
                "extra": {"sslmode": "prefer"},
            },
            "postgresql+psycopg://db:5433/labels?sslmode=prefer",
        ),
        (
            {"conn_type": "postgres", "host": "db", "schema": "labels", "login": "a@b", "password": "p/w:d#"},
            "postgresql+psycopg://a%40b:p%2Fw%3Ad%23@db/labels",
        ),
        ({"conn_type": "generic", "host": "db", "schema": "labels"}, "postgresql+psycopg://db/labels"),
        (
            {
                "conn_type": "postgres",
                "host": "db",
                "schema": "labels",
                "extra": {
                    "cursor": "dictcursor",
                    "iam": False,
                    "aws_conn_id": "aws",
                    "sqlalchemy_scheme": "postgresql+psycopg2",
                    "sqlalchemy_query": {"sslmode": "prefer"},
                },
            },
            "postgresql+psycopg://db/labels?sslmode=prefer",
        ),
    ],
    ids=[
        "of type Postgres",
        "with a port and TLS",
        "with odd characters",
        "where Airflow offers no type Postgres",
        "with what Airflow's own hook takes for itself",
    ],
)
def test_a_connection_is_opened(
    configured: Callable[[str], None], connect: Callable[..., None], opened: list[Any], fields: Any, url: str
) -> None:
    connect("labelsync_db", **fields)
    configured("conn:labelsync_db")
    labelsync_database()
    assert [one.render_as_string(hide_password=False) for one in opened] == [url]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_of_postgresql_is_opened_by_the_driver_of_the_extra(
    configured: Callable[[str], None], opened: list[Any], scheme: str
) -> None:
    configured(f"{scheme}://ann:{SECRET}@db/labels")
    labelsync_database()
    assert [one.drivername for one in opened] == ["postgresql+psycopg"]


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        (None, NotFound, r"no Airflow connection 'labelsync_db'\. \[labelsync\] database names it: create one of type"),
        ({"conn_type": "mysql"}, Invalid, r"database='conn:labelsync_db': a connection of type 'mysql' leads to no"),
        (
            {"conn_type": "postgres", "host": "db"},
            Invalid,
            r"the connection names no database\. Set its field",
        ),
        ({"conn_type": "sqlite", "host": "/a.db"}, Invalid, r"a SQLite file needs none, sqlite:////absolute/path\.db"),
        (
            {"conn_type": "postgres", "host": "db\n", "schema": "x"},
            Invalid,
            r"'labelsync_db': host begins or ends",
        ),
        (
            {"conn_type": "postgres", "host": "db", "schema": "x", "extra": {"iam": True, "aws_conn_id": "aws"}},
            Invalid,
            r"has iam, by which Airflow's own hook logs in with a token.* or take iam out of this one's extra",
        ),
        (
            {"conn_type": "postgres", "host": "db", "schema": "x", "extra": {"sslmode": ["require"]}},
            Invalid,
            r"sslmode is no text and no number\. Take sslmode out",
        ),
        (
            {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "x", "extra": {"ssl_mode": "require"}},
            Invalid,
            r'invalid connection option "ssl_mode"\. Take what is no option of libpq out of the extra of connection',
        ),
    ],
    ids=[
        "there is none",
        "of another kind",
        "without a database",
        "of a file",
        "with a line break",
        "with a token",
        "with an option that is none",
        "with an option that libpq does not know",
    ],
)
def test_a_connection_that_cannot_be_used_is_named(
    configured: Callable[[str], None], connect: Callable[..., None], fields: Any, error: type[Exception], said: str
) -> None:
    if fields:
        connect("labelsync_db", **fields)
    configured("conn:labelsync_db")
    with pytest.raises(error, match=said):
        labelsync_database()


def test_a_server_is_reached_by_a_connection(
    configured: Callable[[str], None], connect: Callable[..., None], postgres_url: str
) -> None:
    url = make_url(postgres_url)
    where = {"host": url.host or url.query.get("host"), "port": url.port, "login": url.username, "schema": url.database}
    connect("labelsync_db", conn_type="postgres", **where)
    configured("conn:labelsync_db")
    with labelsync_database().connect() as connection:
        assert connection.exec_driver_sql("SELECT current_database()").scalar() == url.database


def test_what_a_command_prints_is_taken_without_its_line_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers_manager import ProvidersManager

    # Airflow 3.1 learns of a provider's options only where its own commands begin.
    ProvidersManager().initialize_providers_configuration()
    monkeypatch.delenv("AIRFLOW__LABELSYNC__DATABASE", raising=False)
    command = f"echo sqlite:///{shlex.quote(str(tmp_path))}/labelsync.db"
    monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE_CMD", command)
    labelsync_database().connect().close()  # that makes the file
    assert os.listdir(tmp_path) == ["labelsync.db"]


def test_nothing_is_a_file_in_the_home_of_airflow(
    configured: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_hook, "AIRFLOW_HOME", str(tmp_path))
    configured(" \n")
    labelsync_database().connect().close()  # that makes the file
    assert os.listdir(tmp_path) == ["labelsync.db"]


def test_no_password_is_shown_of_a_url_that_is_none() -> None:
    with pytest.raises(Invalid) as caught:
        open_database(f"mysql://ann:{SECRET}@db/labels")
    assert SECRET not in str(caught.value)
