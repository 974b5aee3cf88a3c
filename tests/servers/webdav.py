"""A WebDAV server of our own, in threads of this process."""

import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cheroot import wsgi
from servers.process import HOST
from wsgidav.wsgidav_app import WsgiDAVApp

USER = "ann"


@dataclass(frozen=True)
class WebDAVServer:
    """Where it listens, and who may log in. What it shows as `/` is a directory of this machine."""

    port: int
    password: str
    root: Path


@contextmanager
def running_webdav(root: Path, *, readonly: bool = False) -> Iterator[WebDAVServer]:
    """Run a server until the end of the block; one that is read-only refuses every write with 403."""
    password = secrets.token_hex(16)
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": {"root": str(root), "readonly": readonly}},
            "http_authenticator": {"domain_controller": None},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": password}}}},
            "logging": {"enable": False},
            "verbose": 0,
        }
    )
    server = wsgi.Server((HOST, 0), app)
    server.prepare()
    thread = threading.Thread(target=server.serve, name="webdav", daemon=True)
    thread.start()
    try:
        yield WebDAVServer(server.bind_addr[1], password, root)
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="session")
def webdav_server() -> Iterator[WebDAVServer]:
    """One server for all tests."""
    with tempfile.TemporaryDirectory(prefix="labelsync-webdav-") as folder, running_webdav(Path(folder)) as server:
        yield server


@pytest.fixture
def connect_webdav(connect: Callable[..., None]) -> Callable[..., None]:
    """Make a WebDAV server the default connection's; of its fields, some may be others."""

    def connect_webdav(server: WebDAVServer, **fields: Any) -> None:
        login = {"host": f"http://{HOST}:{server.port}", "login": USER, "password": server.password}
        connect("webdav_default", conn_type="http", **login | fields)

    return connect_webdav
