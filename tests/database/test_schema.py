"""The schema's version: the revisions, who runs them when, and what is refused."""

import json
import logging
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from database.upgrading import PROCESSES, described
from sqlalchemy import Engine, event, inspect, text

from labelsync_provider.database import open_database, schema, writing
from labelsync_provider.database.schema import check_schema, confirm_schema, ensure_schema
from labelsync_provider.errors import SchemaOutdated, Unavailable
from labelsync_provider.projects.embedded.tables import METADATA as EMBEDDED_STORE
from labelsync_provider.sync.ledger.tables import METADATA as LEDGER

pytest_plugins = ["servers.postgres"]

NEWEST = schema.NEWEST
NEXT = f"{int(NEWEST) + 1:04}"
NEXT_REVISION = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{NEXT}", "{NEWEST}"

def upgrade():
    op.add_column("labelsync_lease", sa.Column("note", sa.Text))
    op.execute("UPDATE labelsync_lease SET note = owner")
    op.create_table("labelsync_second", sa.Column("id", sa.Integer, primary_key=True))
    with op.batch_alter_table("labelsync_watermark") as batch:  # on SQLite, the table is copied
        batch.alter_column("settings", nullable=True)
    op.drop_table("labelsync_quarantine")
"""


@pytest.fixture
def opened(database_url: str) -> Iterator[Callable[[], Engine]]:
    """Open the database, empty at first, as a process of its own would; on SQLite and on PostgreSQL."""
    engines = []

    def opened() -> Engine:
        engines.append(open_database(database_url))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.dispose()


@pytest.fixture
def release_second_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let there be a revision after the newest, as in a later version of the package."""

    def release_second_revision() -> None:
        migrations = tmp_path / "100 % migrations"
        shutil.copytree(schema.MIGRATIONS, migrations)
        (migrations / "versions" / f"{NEXT}_next.py").write_text(NEXT_REVISION)
        monkeypatch.setattr(schema, "MIGRATIONS", migrations)
        monkeypatch.setattr(schema, "NEWEST", NEXT)

    return release_second_revision


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LEASE_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(schema, "POLL_SECONDS", 0.01)


def in_processes(what: str, url: str) -> Any:
    script = Path(__file__).with_name("upgrading.py")
    command = [sys.executable, str(script), what, url, str(schema.MIGRATIONS), str(schema.NEWEST)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def take_lease(engine: Engine, seconds: float) -> None:
    values = {"until": time.time() + seconds}
    with writing(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO labelsync_lease (resource, owner, token, expires_at)"
                " VALUES ('project 7 from s3://pets', 'DAG nightly, task import', 1, :until)"
            ),
            values,
        )


def revision(engine: Engine) -> str:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT version_num FROM labelsync_alembic_version"))


def test_newest_is_the_last_of_the_revisions() -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    assert scripts.get_heads() == [schema.NEWEST]
    files = [Path(script.path).name for script in scripts.walk_revisions()]
    assert all(re.fullmatch(r"\d{4}_\w+\.py", name) for name in files), files


def test_revisions_make_the_tables_that_the_code_works_with(opened: Callable[[], Engine]) -> None:
    engine = opened()
    ensure_schema(engine)
    upgraded = [row for row in described(engine) if not any("alembic" in str(value) for value in row)]
    names = [*LEDGER.tables, *EMBEDDED_STORE.tables]
    with writing(engine) as connection:
        for name in [*names, "labelsync_alembic_version"]:
            cascade = " CASCADE" if engine.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP TABLE {name}{cascade}"))
        LEDGER.create_all(connection)
        EMBEDDED_STORE.create_all(connection)
    assert upgraded == described(engine)
    assert {name for name in names if re.search(rf"\b{name}\b", str(upgraded))} == set(names)


def test_paths_are_sorted_by_code_point(opened: Callable[[], Engine]) -> None:
    engine = opened()
    ensure_schema(engine)
    if engine.dialect.name == "postgresql":
        collations = {tuple(row[:2]): row[4] for row in described(engine) if len(row) == 6}
        of_paths = {collation for (_, column), collation in collations.items() if column in ("path", "start")}
        assert of_paths == {"C"}


class TestFirstUse:
    def test_creates_the_tables(self, opened: Callable[[], Engine]) -> None:
        engine = opened()
        assert check_schema(engine) is False
        assert inspect(engine).get_table_names() == [], "a look creates nothing"
        assert ensure_schema(engine) is None
        assert check_schema(engine) is True
        assert revision(engine) == schema.NEWEST

    def test_is_found_by_the_next(self, opened: Callable[[], Engine]) -> None:
        ensure_schema(opened())
        assert ensure_schema(opened()) == schema.NEWEST
        assert check_schema(opened()) is True

    def test_leaves_the_tables_of_others_alone(self, opened: Callable[[], Engine]) -> None:
        engine = opened()
        with writing(engine) as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('of Airflow')"))
            connection.execute(text("CREATE TABLE dag (dag_id TEXT)"))
        assert check_schema(engine) is False
        ensure_schema(engine)
        with engine.connect() as connection:
            assert connection.scalars(text("SELECT * FROM alembic_version")).all() == ["of Airflow"]
        others = [name for name in inspect(engine).get_table_names() if not name.startswith("labelsync_")]
        assert sorted(others) == ["alembic_version", "dag"]

    def test_is_one_process_doing_it_while_the_others_wait(self, database_url: str) -> None:
        assert sorted(in_processes("side_by_side", database_url)) == [0] * (PROCESSES - 1) + [1]

    def test_leaves_logging_as_it_is(self, opened: Callable[[], Engine]) -> None:
        def settings() -> tuple[Any, ...]:
            root = logging.getLogger()
            names = ("alembic", "sqlalchemy", "labelsync_provider", "airflow.task")
            levels = [(logging.getLogger(name).level, logging.getLogger(name).disabled) for name in names]
            return root.level, list(root.handlers), levels

        before = settings()
        ensure_schema(opened())
        assert settings() == before


class TestWhenThereIsNothingToDo:
    def test_it_costs_two_small_queries_and_then_none(self, opened: Callable[[], Engine]) -> None:
        ensure_schema(opened())
        engine = opened()
        statements: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
        ensure_schema(engine)
        assert len([statement for statement in statements if statement != "BEGIN"]) == 2
        statements.clear()
        ensure_schema(engine)
        check_schema(engine)
        assert statements == []

    def test_alembic_is_not_imported(self, opened: Callable[[], Engine], database_url: str) -> None:
        ensure_schema(opened())
        code = (
            "import sys; from labelsync_provider.database import open_database, schema;"
            f"assert schema.ensure_schema(open_database({database_url!r})) == schema.NEWEST;"
            "assert 'alembic' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class TestKilledAtAnyStatement:
    """Each process finds what the last one left. Nothing must be left of an upgrade that did not end."""

    def check(self, before: Any, after: list[Any], database: Engine) -> None:
        *of_killed, last = after
        assert len(of_killed) > 10
        done = len([state for state in of_killed if state == last])
        assert done <= 6, "killed after the commit, or the looking of one that found it done"
        assert of_killed == [before] * (len(of_killed) - done) + [last] * done
        assert revision(database) == schema.NEWEST
        assert check_schema(database)

    def test_the_first_use_is_completed_by_the_next(self, opened: Callable[[], Engine], database_url: str) -> None:
        self.check([], in_processes("killed", database_url), opened())

    def test_an_upgrade_is_completed_by_the_next(
        self, opened: Callable[[], Engine], database_url: str, release_second_revision: Callable[[], None]
    ) -> None:
        ensure_schema(opened())
        take_lease(opened(), seconds=-1)
        before = described(opened())
        release_second_revision()
        self.check(before, in_processes("killed", database_url), opened())
        with opened().connect() as connection:
            assert connection.scalar(text("SELECT note FROM labelsync_lease")) == "DAG nightly, task import"


class TestOlderSchema:
    def test_tells_what_it_was(self, opened: Callable[[], Engine], release_second_revision: Callable[[], None]) -> None:
        ensure_schema(opened())
        release_second_revision()
        assert ensure_schema(opened()) == NEWEST

    def test_is_refused_by_who_may_not_upgrade_it(
        self, opened: Callable[[], Engine], release_second_revision: Callable[[], None]
    ) -> None:
        ensure_schema(opened())
        release_second_revision()
        with pytest.raises(
            SchemaOutdated, match=rf"at revision {NEWEST}, .* needs {NEXT}. Run `airflow labelsync db m"
        ):
            check_schema(opened())
        assert revision(opened()) == NEWEST

    def test_waits_for_a_lease_and_says_for_whose(
        self,
        opened: Callable[[], Engine],
        release_second_revision: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        ensure_schema(opened())
        release_second_revision()
        monkeypatch.setattr(schema, "POLL_SECONDS", 0.01)
        take_lease(opened(), seconds=0.5)
        begun = time.monotonic()
        ensure_schema(opened())
        assert time.monotonic() - begun > 0.4
        assert revision(opened()) == NEXT
        (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert f"from revision {NEWEST} to {NEXT} as soon as DAG nightly, task import, which is writing to" in said

    def test_is_left_alone_when_the_lease_does_not_end(
        self, opened: Callable[[], Engine], release_second_revision: Callable[[], None], impatient: None
    ) -> None:
        ensure_schema(opened())
        take_lease(opened(), seconds=60)
        release_second_revision()
        with pytest.raises(Unavailable, match=r"DAG nightly, task import has been writing to project 7 from s3://pets"):
            ensure_schema(opened())
        assert revision(opened()) == NEWEST

    def test_a_run_that_was_paused_past_its_lease_has_lost_it(
        self, opened: Callable[[], Engine], release_second_revision: Callable[[], None]
    ) -> None:
        ensure_schema(opened())
        take_lease(opened(), seconds=-1)
        release_second_revision()
        ensure_schema(opened())
        with opened().connect() as connection:
            assert connection.scalar(text("SELECT token FROM labelsync_lease")) == 2, "it had number 1"

    def test_a_lease_asked_for_during_the_upgrade_is_not_given(
        self,
        opened: Callable[[], Engine],
        release_second_revision: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Somebody who works by the old revision asks for a lease while nobody may: he is told afterwards."""
        old = opened()
        ensure_schema(old)
        take_lease(old, seconds=-1)
        release_second_revision()
        running, may_end = threading.Event(), threading.Event()
        run_migrations = schema._run_migrations

        def run_slowly(connection: Any) -> None:
            running.set()
            assert may_end.wait(10)
            run_migrations(connection)

        monkeypatch.setattr(schema, "_run_migrations", run_slowly)
        upgrade = threading.Thread(target=ensure_schema, args=[opened()])
        upgrade.start()
        assert running.wait(10)
        told: list[str] = []

        def ask() -> None:
            with writing(old) as connection:
                connection.execute(text("UPDATE labelsync_lease SET expires_at = 1e12"))
                told.append(connection.scalar(text("SELECT version_num FROM labelsync_alembic_version")))
                monkeypatch.setattr(schema, "NEWEST", NEWEST)
                confirm_schema(connection)

        threading.Timer(0.3, may_end.set).start()
        with pytest.raises(SchemaOutdated, match=f"is at revision {NEXT}"):
            ask()
        upgrade.join()
        assert told == [NEXT], "it had to wait for the end of the upgrade"
        with opened().connect() as connection:
            assert connection.scalar(text("SELECT expires_at FROM labelsync_lease")) < time.time()


class TestUpgradeFrom:
    """What a revision makes of what an older version has noted."""

    def test_0003_the_next_import_from_each_source_looks_for_its_tasks(self, opened: Callable[[], Engine]) -> None:
        engine = opened()
        with writing(engine) as connection:
            config = schema._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0003")
            storages = "INSERT INTO labelsync_storage (scope, role, start, endpoint) VALUES (1, :role, 'in/', '')"
            connection.execute(text(storages), [{"role": "source"}, {"role": "target"}])
        assert ensure_schema(engine) == "0003"
        with engine.connect() as connection:
            noted = connection.execute(text("SELECT role, project_tasks, looked_at FROM labelsync_storage"))
            assert sorted(map(tuple, noted)) == [("source", None, 0.0), ("target", None, None)]


class TestRefused:
    @pytest.mark.parametrize("use", [ensure_schema, check_schema], ids=lambda use: use.__name__)
    def test_newer_schema(self, opened: Callable[[], Engine], use: Callable[[Engine], Any]) -> None:
        ensure_schema(opened())
        with writing(opened()) as connection:
            connection.execute(text("UPDATE labelsync_alembic_version SET version_num = '0099'"))
        before = described(opened())
        with pytest.raises(SchemaOutdated, match=r"revision 0099, .* does not know: .* Upgrade labelsync-provider"):
            use(opened())
        assert described(opened()) == before

    @pytest.mark.parametrize("use", [ensure_schema, check_schema], ids=lambda use: use.__name__)
    def test_tables_without_a_version(self, opened: Callable[[], Engine], use: Callable[[Engine], Any]) -> None:
        with writing(opened()) as connection:
            connection.execute(text("CREATE TABLE labelsync_object (path TEXT)"))
        before = described(opened())
        with pytest.raises(SchemaOutdated, match=r"never released, .* Name another database, or drop the tables"):
            use(opened())
        assert described(opened()) == before

    def test_password_is_not_in_the_message(self, tmp_path: Path) -> None:
        database = "postgresql+psycopg://u:hunter2@127.0.0.1:1/x?password=hunter2&connect_timeout=1"
        with pytest.raises(Unavailable) as raised:
            open_database(database)
        assert "127.0.0.1:1/x" in str(raised.value)
        assert "hunter2" not in str(raised.value)

    def test_database_that_does_not_let_us(self, postgres_url: str, postgres: Any) -> None:
        name = postgres_url.partition("?")[0].rpartition("/")[2]
        postgres.execute(f"DROP ROLE IF EXISTS reader_of_{name}")
        postgres.execute(f"CREATE ROLE reader_of_{name} LOGIN")
        engine = open_database(re.sub("//[^@/]*@", f"//reader_of_{name}@", postgres_url))
        with pytest.raises(Unavailable, match=r"cannot be brought to revision .* permission denied for schema public"):
            ensure_schema(engine)
        engine.dispose()
