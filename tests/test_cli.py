"""`airflow labelsync ...`: what it does and says, and what it costs every other command."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from older_airflows import has_commands_of_providers
from sqlalchemy.engine import make_url

from labelsync_provider.cli import migrate_database
from labelsync_provider.database import open_database, schema, writing
from labelsync_provider.database.schema import check_schema

pytest_plugins = ["servers.postgres"]

PRINT_MODULES = "import json, sys; print('\\n' + json.dumps(sorted(sys.modules)));"


def modules_after(code: str) -> list[set[str]]:
    """Return the modules that are there wherever the code prints them."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return [set(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


class TestImport:
    def test_brings_nothing_heavy(self) -> None:
        before, after = modules_after(f"{PRINT_MODULES} import labelsync_provider.cli; {PRINT_MODULES}")
        ours = {name for name in after - before if name.startswith("labelsync_provider")}
        assert ours == {"labelsync_provider", "labelsync_provider.cli"}
        assert not {"airflow", "sqlalchemy", "alembic"} & after

    def test_and_the_commands_bring_nothing_to_airflow(self) -> None:
        code = (
            f"import airflow.cli.cli_config; {PRINT_MODULES}"
            f"from labelsync_provider.cli import get_commands; get_commands(); {PRINT_MODULES}"
        )
        before, after = modules_after(code)
        assert after - before <= {"labelsync_provider", "labelsync_provider.cli"}


class TestMigrate:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        """One that is still to be made."""
        return tmp_path / "labelsync.db"

    @pytest.fixture(autouse=True)
    def configured(self, monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", f"sqlite:///{database}")

    @has_commands_of_providers
    def test_is_a_command_of_airflow(self, database: Path) -> None:
        command = [sys.executable, "-m", "airflow", "labelsync", "db", "migrate"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
        assert done.returncode == 0, done.stderr
        said = f"The tables of labelsync were created in sqlite:///{database}, at revision {schema.NEWEST}."
        assert done.stdout.splitlines()[-1] == said
        assert check_schema(open_database(f"sqlite:///{database}"))

    def test_says_that_nothing_is_to_be_done(self, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
        migrate_database(Namespace())
        capsys.readouterr()
        migrate_database(Namespace())
        said = f"The schema of sqlite:///{database} is at revision {schema.NEWEST} already."
        assert capsys.readouterr().out.splitlines()[-1] == said

    def test_says_from_which_revision_to_which(
        self, database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schema, "ensure_schema", lambda _: "0000")
        migrate_database(Namespace())
        said = f"The schema of sqlite:///{database} was brought from revision 0000 to revision {schema.NEWEST}."
        assert capsys.readouterr().out.splitlines()[-1] == said  # what Airflow logs when it is imported goes before

    def test_shows_no_password(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = make_url(postgres_url).set(password="hunter2").render_as_string(hide_password=False)
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", url)
        migrate_database(Namespace())
        said = capsys.readouterr().out
        assert ":***@" in said
        assert "hunter2" not in said

    def test_says_in_one_sentence_why_it_cannot_be(self, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
        migrate_database(Namespace())
        engine = open_database(f"sqlite:///{database}")
        with writing(engine) as connection:
            connection.exec_driver_sql("UPDATE labelsync_alembic_version SET version_num = '0099'")
        engine.dispose()
        with pytest.raises(SystemExit) as exit:
            migrate_database(Namespace())
        # An exit with a text prints it to stderr, and its code is 1.
        assert str(exit.value.code).startswith(
            f"[labelsync] database sqlite:///{database}: its schema is at revision 0099"
        )

    def test_looks_for_a_connection_in_the_database_of_airflow(
        self,
        airflow_database: None,
        postgres_url: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        from airflow.models import Connection
        from airflow.utils.session import create_session

        url = make_url(postgres_url)
        where: dict[str, Any] = {"host": url.host or url.query.get("host"), "port": url.port, "login": url.username}
        with create_session() as session:
            session.add(Connection("labelsync_stored", "postgres", schema=url.database, **where))  # noqa: AIR311
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", "conn:labelsync_stored")
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")  # taken back behind the test
        migrate_database(Namespace())
        assert "The tables of labelsync were created in postgresql+psycopg://" in capsys.readouterr().out

    def test_says_in_one_sentence_that_there_is_no_database(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", f"sqlite:///{tmp_path}/none/there.db")
        with pytest.raises(SystemExit, match=r"^\[labelsync\] database sqlite:///.*none/there\.db: .*$"):
            migrate_database(Namespace())
