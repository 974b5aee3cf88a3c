"""Label Studio, on SQLite or on PostgreSQL.

A test module says `pytest_plugins = ["servers.label_studio"]` and takes the fixture `label_studio`,
`label_studio_postgres` or, to be run with either, `any_label_studio`. The first run installs it below `.build`, with
the versions of `label-studio/requirements.txt`. For others, change `requirements.in` and run in its folder the command
at the top of the lock.

No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from servers.installing import ROOT, installed_once, run
from servers.process import HOST, free_port, running

# The plugin below is still to be imported, by pytest.
if TYPE_CHECKING:
    from servers.postgres import PostgresServer

pytest_plugins = ["servers.postgres"]

LOCK = Path(__file__).parent / "label-studio" / "requirements.txt"

PROGRAM = Path(__file__).parent / "label_studio_unwaiting.py"

# Making the tables takes half a minute, copying them nothing: an empty database is kept beside what is installed, and
# what PostgreSQL needs to make another.
DATA = "data"
DATABASE = "label_studio.sqlite3"
TABLES = "tables.sql"

# Both by `make soak`. What makes a difference, and is tested always, names the one that it is about.
DATABASES = os.environ.get("LABELSYNC_LABEL_STUDIO_ON", "sqlite").split()

# Seconds.
ANSWERING = 60

# It must call nobody. What is refused by default are hosts that are private, as all of the tests' are.
SETTINGS = {
    "COLLECT_ANALYTICS": "false",
    "FEATURE_FLAGS_OFFLINE": "true",
    "FRONTEND_SENTRY_DSN": "",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "SSRF_PROTECTION_ENABLED": "false",
}

LABEL_CONFIG = """
<View>
  <Text name="text" value="$text"/>
  <Choices name="choice" toName="text"><Choice value="good"/><Choice value="bad"/></Choices>
</View>
"""


@dataclass(frozen=True)
class LabelStudioServer:
    """A running server with one user, who may do everything."""

    url: str
    # The legacy one.
    token: str
    email: str
    password: str
    # Local files are served from below.
    document_root: Path

    # Shared by all copies: there can be one only, and it is told only when it is made.
    _personal_tokens: list[str] = field(default_factory=list, repr=False, compare=False)

    def client(self) -> httpx.Client:
        """Return a client of its API that shows the legacy token."""
        headers = {"Authorization": f"Token {self.token}"}
        # A proxy that the environment names has no way to this machine.
        return httpx.Client(base_url=self.url, headers=headers, timeout=ANSWERING, trust_env=False)

    def create_project(self, title: str | None = None, label_config: str = LABEL_CONFIG) -> int:
        """Create an empty project; return its id."""
        asked = {"title": title or f"test {secrets.token_hex(8)}", "label_config": label_config}
        with self.client() as client:
            return int(client.post("/api/projects/", json=asked).raise_for_status().json()["id"])

    def personal_access_token(self) -> str:
        """Return the user's personal access token, which the first call makes."""
        if not self._personal_tokens:
            with self.client() as client:
                self._personal_tokens.append(client.post("/api/token/").raise_for_status().json()["token"])
        return self._personal_tokens[0]


@contextmanager
def running_label_studio(document_root: Path, postgres: "PostgresServer | None" = None) -> Iterator[LabelStudioServer]:
    """Run Label Studio with an empty database.

    :param document_root: the folder below which local files may be read.
    :param postgres: where to create that database; without, it is a file.
    """
    installed, port = install(), free_port()
    server = LabelStudioServer(
        f"http://{HOST}:{port}", secrets.token_hex(20), "admin@example.com", secrets.token_hex(10), document_root
    )
    with (
        tempfile.TemporaryDirectory(prefix="label-studio-", ignore_cleanup_errors=True) as directory,
        server.client() as client,
    ):
        data = Path(directory) / DATA
        data.mkdir()
        settings = _settings(data)
        if postgres:
            settings |= _on_postgres(postgres, installed, settings)
        else:
            shutil.copy(installed / DATA / DATABASE, data)
        with running(
            [*_program(installed), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)],
            folder=Path(directory),
            port=port,
            answers=lambda: client.get("/health").raise_for_status(),
            env={
                **settings,
                "LABEL_STUDIO_HOST": server.url,
                "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(document_root),
                "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
                "LABEL_STUDIO_PASSWORD": server.password,
                "LABEL_STUDIO_USERNAME": server.email,
                "LABEL_STUDIO_USER_TOKEN": server.token,
            },
        ):
            yield server


def _settings(data: Path) -> dict[str, str]:
    return {**SETTINGS, "DJANGO_DB": "sqlite", "LABEL_STUDIO_BASE_DATA_DIR": str(data)}


def _on_postgres(postgres: "PostgresServer", installed: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Create a database; return the settings that lead there."""
    where = conninfo_to_dict(postgres.uri)
    there = {
        "DJANGO_DB": "default",
        "POSTGRE_HOST": str(where["host"]),
        "POSTGRE_PORT": str(where.get("port", 5432)),
        "POSTGRE_USER": str(where["user"]),
        "POSTGRE_PASSWORD": str(where.get("password", "")),
        # The tests' server comes without these; they are for two indexes, on the text of what was annotated.
        "SKIP_BTREE_GIN_EXTENSION": "full",
        "SKIP_TRIGRAM_EXTENSION": "full",
    }

    def make_tables(folder: Path) -> None:
        name = _create_database(postgres)
        _make_tables(installed, {**settings, **there, "POSTGRE_NAME": name})
        postgres.dump(name, folder / TABLES)
        postgres.execute(f"DROP DATABASE {name}")

    tables = installed_once("label-studio-postgres", [LOCK], make_tables) / TABLES
    name = _create_database(postgres)
    postgres.restore(name, tables)
    return {**there, "POSTGRE_NAME": name}


def _create_database(postgres: "PostgresServer") -> str:
    name = f"label_studio_{secrets.token_hex(8)}"
    postgres.execute(f"CREATE DATABASE {name}")
    return name


def install() -> Path:
    """Install Label Studio unless it is there; return the folder."""
    return installed_once("label-studio", [LOCK], _install)


def _install(folder: Path) -> None:
    run([_uv(), "venv", "--relocatable", "--python", sys.executable, folder], folder=folder)
    run([_uv(), "pip", "install", "--python", folder / "bin/python", "--requirement", LOCK], folder=folder)
    data = folder / DATA
    data.mkdir()
    _make_tables(folder, _settings(data))


def _make_tables(installed: Path, settings: Mapping[str, str]) -> None:
    # Whatever it is asked, it makes them first.
    home = settings["LABEL_STUDIO_BASE_DATA_DIR"]
    run([*_program(installed), "version"], folder=Path(home), env={**settings, "HOME": home})


def _program(installed: Path) -> list[str | Path]:
    # Apart from the modules that this process may have been told of.
    return [installed / "bin/python", "-I", PROGRAM]


def _uv() -> str | Path:
    # `uv run` says where it is. The last is where `make` puts it.
    return os.environ.get("UV") or shutil.which("uv") or ROOT / ".build/uv/bin/uv"


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """One server for all tests, on SQLite."""
    with running_label_studio(tmp_path_factory.mktemp("documents")) as server:
        yield server


@pytest.fixture(scope="session")
def label_studio_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres: "PostgresServer"
) -> Iterator[LabelStudioServer]:
    """One server for all tests, on PostgreSQL."""
    with running_label_studio(tmp_path_factory.mktemp("documents"), postgres) as server:
        yield server


@pytest.fixture(
    scope="session",
    params=[{"sqlite": "label_studio", "postgresql": "label_studio_postgres"}[name] for name in DATABASES],
    ids=DATABASES,
)
def any_label_studio(request: pytest.FixtureRequest) -> LabelStudioServer:
    """Either server: a test that takes it is run with all of `DATABASES`."""
    return request.getfixturevalue(request.param)
