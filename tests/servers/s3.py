"""S3 servers: SeaweedFS is the most faithful, rclone the fastest, moto lists in strict byte order and has STS.

A test module says `pytest_plugins = ["servers.s3"]` and takes the fixture `weed`, `rclone`, `rclone_anonymous` or
`moto`.

No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from servers.process import HOST, executable, free_port, free_ports, running


@dataclass(frozen=True)
class S3Server:
    """A running server. Where it asks for no credentials, the keys are empty."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def client(self) -> Any:
        """Return a client of AWS's SDK."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(signature_version="s3v4" if self.access_key else UNSIGNED, s3={"addressing_style": "path"}),
        )

    def create_bucket(self) -> str:
        """Create an empty bucket; return its name."""
        name = f"test-{secrets.token_hex(8)}"
        self.client().create_bucket(Bucket=name)
        return name


def _server(port: int, *, anonymous: bool = False) -> S3Server:
    keys = ("", "") if anonymous else (secrets.token_hex(10), secrets.token_hex(20))
    return S3Server(f"http://{HOST}:{port}", *keys)


@contextmanager
def running_weed() -> Iterator[S3Server]:
    """Run SeaweedFS: it checks signatures and conditions, and has the ETags of AWS."""
    names = ["master", "volume", "filer", "s3", "admin"]
    # One for HTTP and one for gRPC; where the second is not said, it is the first and ten thousand.
    ports = free_ports(2 * len(names))
    options = [
        option
        for name, http, grpc in zip(names, ports[::2], ports[1::2], strict=True)
        for option in (f"-{name}.port={http}", f"-{name}.port.grpc={grpc}")
    ]
    port = ports[2 * names.index("s3")]
    server = _server(port)
    with tempfile.TemporaryDirectory(prefix="weed-", ignore_cleanup_errors=True) as directory:
        folder = Path(directory)
        keys = {"accessKey": server.access_key, "secretKey": server.secret_key}
        identity = {"name": "tests", "credentials": [keys], "actions": ["Admin"]}
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
        command: list[str | Path] = [
            executable("weed"),
            "-logtostderr=true",
            "mini",
            f"-dir={folder}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            *options,
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={folder / 'identities.json'}",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            # Every bucket has volumes of its own. They are empty files until something is written.
            "-volume.max=20000",
            "-master.volumeSizeLimitMB=64",
            "-volume.preStopSeconds=0",
        ]
        # It takes keys from here too, and must not find somebody's real ones.
        env = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
        try:
            with running(command, folder=folder, port=port, answers=server.client().list_buckets, env=env):
                yield server
        finally:
            # It makes sockets that no option moves, and leaves some of them behind.
            for each in ports:
                for left in Path("/tmp").glob(f"seaweedfs-*-{each}.sock"):
                    left.unlink(missing_ok=True)


@contextmanager
def running_rclone(root: Path | None = None, *, anonymous: bool = False, in_memory: bool = False) -> Iterator[S3Server]:
    """Run rclone's server, whose buckets are folders.

    It remembers for five minutes what it saw in a folder, else each request would read the whole folder. What passes
    through it is seen at once; what somebody else puts into a folder has to be there before it looks.

    :param root: the folder of the buckets; None for one of its own, removed at the end.
    :param anonymous: ask for no credentials, as a client of GCS's XML API needs.
    :param in_memory: there is no folder, and no disk that makes the server slow.
    """
    port = free_port()
    server = _server(port, anonymous=anonymous)
    with tempfile.TemporaryDirectory(prefix="rclone-", ignore_cleanup_errors=True) as directory:
        folder = Path(directory)
        buckets = root or folder / "buckets"
        buckets.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [
            executable("rclone"),
            "serve",
            "s3",
            f"--addr={HOST}:{port}",
            f"--config={folder / 'no-config'}",
            *([] if anonymous else [f"--auth-key={server.access_key},{server.secret_key}"]),
            ":memory:" if in_memory else buckets.absolute(),
        ]
        with running(command, folder=folder, port=port, answers=server.client().list_buckets):
            yield server


@contextmanager
def running_moto() -> Iterator[S3Server]:
    """Run moto, which takes any credentials."""
    port = free_port()
    server = _server(port)
    with tempfile.TemporaryDirectory(prefix="moto-", ignore_cleanup_errors=True) as directory:
        command: list[str | Path] = [executable("moto_server"), "-H", HOST, "-p", str(port)]
        with running(command, folder=Path(directory), port=port, answers=server.client().list_buckets):
            yield server


@pytest.fixture(scope="session")
def weed() -> Iterator[S3Server]:
    """One SeaweedFS for all tests."""
    with running_weed() as server:
        yield server


@pytest.fixture(scope="session")
def rclone() -> Iterator[S3Server]:
    """One rclone for all tests."""
    with running_rclone() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_anonymous() -> Iterator[S3Server]:
    """One rclone for all tests that asks for no credentials."""
    with running_rclone(anonymous=True) as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """One moto for all tests."""
    with running_moto() as server:
        yield server
