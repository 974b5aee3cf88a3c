"""An SFTP server of our own, in a thread of this process. asyncssh comes with Airflow's SFTP provider."""

import asyncio
import secrets
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from servers.process import HOST

USER = "ann"


@dataclass(frozen=True)
class SFTPServer:
    """Where it listens, and who may log in. What it shows as `/` is a directory of this machine."""

    port: int
    password: str
    host_key: str
    """As in a file `known_hosts`, less the host."""
    root: Path


class _Server(asyncssh.SSHServer):
    def __init__(self, password: str) -> None:
        self._password = password

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, self._password)


@contextmanager
def running_sftp(root: Path) -> Iterator[SFTPServer]:
    """Run a server until the end of the block; links that lead out of `root` lead out of it here, too."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sftp", daemon=True)
    thread.start()

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_factory=lambda: _Server(password),
            server_host_keys=[key],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=bytes(root)),
        )

    password, key = secrets.token_hex(16), asyncssh.generate_private_key("ssh-ed25519")
    serving = run(listen())
    try:
        yield SFTPServer(serving.get_port(), password, key.export_public_key().decode().strip(), root)
    finally:
        serving.close()
        run(serving.wait_closed())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def sftp_server() -> Iterator[SFTPServer]:
    """One server for all tests. Every user reaches its files; a folder of pytest's is for its owner only."""
    with tempfile.TemporaryDirectory(prefix="labelsync-sftp-") as folder:
        Path(folder).chmod(0o755)
        with running_sftp(Path(folder)) as server:
            yield server


@pytest.fixture
def connect_sftp(connect: Callable[..., None]) -> Callable[..., None]:
    """Make an SFTP server the default connection's; of its fields and extras, some may be others."""

    def connect_sftp(server: SFTPServer, *, extra: dict[str, Any] | None = None, **fields: Any) -> None:
        login = {"host": HOST, "port": server.port, "login": USER, "password": server.password} | fields
        extras = {"host_key": server.host_key} if extra is None else extra
        connect("sftp_default", conn_type="sftp", extra=extras, **login)

    return connect_sftp
