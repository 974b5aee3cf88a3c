"""No secret, token or signed URL is left anywhere: not in a log line at level DEBUG, an XCom, a ledger row, an
exception, a rendered template; not when all goes well, and not when it fails.

Nothing is masked here: Airflow masks only what a task's supervisor writes, and only what it knows to be a secret.
"""

import json
import logging
import os
import re
import socket
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any
from urllib.parse import quote

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from servers.azure import AzureServer
from servers.gcs import service_account_key
from servers.label_studio import LabelStudioServer
from servers.redis import RedisServer, running_valkey
from servers.s3 import S3Server
from servers.thread import serving
from sqlalchemy import create_engine, inspect, text

from labelsync_provider.errors import Denied
from labelsync_provider.hooks.buckets import LOGGERS_WITH_SECRETS, BucketStorageHook
from labelsync_provider.hooks.redis import TIMEOUTS, RedisStorageHook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.storages.protocol import Signing, Storage
from labelsync_provider.sync.ledger import tables as ledger

pytest_plugins = ["servers.s3", "servers.azure", "servers.redis", "servers.label_studio"]

LABEL_CONFIG = '<View><Image name="image" value="$image"/></View>'
TASK = json.dumps({"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": "yes"}]}]}).encode()
AIRFLOW_HOME = Path(os.environ["AIRFLOW_HOME"])
LEDGER = list(ledger.METADATA.tables.values())
TOKEN = f"ya29.{token_hex(20)}"
WITH_LEVEL = logging.Formatter("%(levelname)s %(name)s %(message)s")


@dataclass
class Case:
    """A storage with a login that nobody is to see."""

    conn_id: str
    connection: dict[str, Any]
    source: str
    target: str
    missing: str
    """A URI in a bucket, or a database, that is not there."""
    secrets: list[str]
    endpoint: str
    """As it stands in the connection, to be replaced by one that does not answer."""
    wrong: Callable[[dict[str, Any]], dict[str, Any]]
    """The connection with another secret, which is to be added to `secrets`."""
    signs: bool = True


def with_other(secret: str, instead: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda connection: json.loads(json.dumps(connection).replace(secret, instead))


@pytest.fixture
def s3(weed: S3Server) -> Case:
    other = token_hex(20)
    return Case(
        "aws_default",
        {
            "conn_type": "aws",
            "login": weed.access_key,
            "password": weed.secret_key,
            "extra": {"region_name": weed.region, "endpoint_url": weed.endpoint},
        },
        f"s3://{weed.create_bucket()}",
        f"s3://{weed.create_bucket()}/out",
        "s3://no-such-bucket-here",
        [weed.secret_key, other],
        weed.endpoint,
        with_other(weed.secret_key, other),
    )


@pytest.fixture
def azure(azurite: AzureServer) -> Case:
    other = b64encode(token_bytes(64)).decode()
    return Case(
        "wasb_default",
        {"conn_type": "wasb", "extra": {"connection_string": azurite.connection_string}},
        f"azure-blob://{azurite.create_container()}",
        f"azure-blob://{azurite.create_container()}/out",
        "azure-blob://no-such-container",
        [azurite.key, other],
        azurite.endpoint,
        with_other(azurite.key, other),
    )


@pytest.fixture
def azure_sas(azurite: AzureServer) -> Case:
    """One token for both containers is only to be had for the account; one container with two prefixes will do."""
    container = azurite.create_container()
    sas = generate_container_sas(
        azurite.account,
        container,
        account_key=azurite.key,
        permission=ContainerSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True),
        expiry=datetime(2099, 1, 1),
    )
    signature = sas.partition("sig=")[2].partition("&")[0]
    other = token_hex(20)
    return Case(
        "wasb_default",
        {"conn_type": "wasb", "host": azurite.endpoint, "login": azurite.account, "extra": {"sas_token": sas}},
        f"azure-blob://{container}/in/",
        f"azure-blob://{container}/out/",
        "azure-blob://no-such-container",
        [signature, other],
        azurite.endpoint,
        with_other(signature, other),
        signs=False,
    )


@pytest.fixture
def gcs(rclone_anonymous: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A service account, and a server that gives it a token, which rclone takes as it takes any."""

    async def give_token(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    with serving(give_token) as port:
        key = service_account_key(f"http://127.0.0.1:{port}/token")
        other = service_account_key(f"http://127.0.0.1:{port}/token")["private_key"]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", rclone_anonymous.endpoint)
        yield Case(
            "google_cloud_default",
            {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": json.dumps(key), "project": "p"}},
            f"gs://{rclone_anonymous.create_bucket()}",
            f"gs://{rclone_anonymous.create_bucket()}/out",
            "gs://no-such-bucket-here",
            [TOKEN, *key["private_key"].splitlines()[1:3], *other.splitlines()[1:3]],
            "",
            lambda connection: connection | {"extra": {"keyfile_dict": json.dumps(key | {"private_key": other[:400]})}},
        )


@pytest.fixture
def redis() -> Iterator[Case]:
    password, other = token_hex(20), token_hex(20)
    with running_valkey(password=password) as server:
        yield redis_case(server, password, other)


def redis_case(server: RedisServer, password: str, other: str) -> Case:
    return Case(
        "redis_default",
        {"conn_type": "redis", "host": server.host, "port": server.port, "password": password},
        "redis://1/in/",
        "redis://2/out/",
        "redis://99/in/",
        [password, other],
        str(server.port),
        with_other(password, other),
        signs=False,
    )


@pytest.fixture(params=["s3", "azure", "azure_sas", "gcs", "redis"])
def case(request: pytest.FixtureRequest) -> Case:
    return request.getfixturevalue(request.param)


@pytest.fixture
def connect(case: Case, connections: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Give the case's connection."""
    for hook in (BucketStorageHook, RedisStorageHook):
        monkeypatch.setattr(hook._open, "__defaults__", (0.5,))  # a person would wait for a minute
    for name in TIMEOUTS:
        monkeypatch.setitem(TIMEOUTS, name, 0.3)
    name = f"AIRFLOW_CONN_{case.conn_id.upper()}"
    return lambda connection: monkeypatch.setenv(name, json.dumps(connection))


@pytest.fixture
def left(
    database: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[[], dict[str, str]]:
    """Return what was left until now, by where: what was logged and printed, and all of both databases."""
    for name in ("", "airflow", "labelsync_provider"):
        caplog.set_level(logging.DEBUG, name)
    for name in LOGGERS_WITH_SECRETS:
        caplog.set_level(logging.NOTSET, name)

    def left() -> dict[str, str]:
        printed = capfd.readouterr()
        logs = "\n".join(path.read_text() for path in AIRFLOW_HOME.rglob("*.log"))
        return {
            "stdout": printed.out,
            "stderr": printed.err,
            "log records": "\n".join(map(WITH_LEVEL.format, caplog.records)),
            "log files": logs,
            "Airflow's database": "".join(
                path.read_bytes().decode("utf-8", "replace") for path in AIRFLOW_HOME.glob("airflow.db*")
            ),
            "ledger": ledger_rows(database),
        }

    return left


def ledger_rows(database: Path) -> str:
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        there = inspect(engine).get_table_names()
        tables = [table for table in LEDGER if table.name in there]
        rows = [str(tuple(row)) for table in tables for row in connection.execute(table.select())]
    engine.dispose()
    return "\n".join(rows)


def forms(secret: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, and in URLs."""
    return {secret, quote(secret), quote(secret, safe="")}


def assert_nothing_left(left: dict[str, str], secrets: list[str]) -> None:
    for where, content in left.items():
        for secret in secrets:
            for form in forms(secret):
                at = content.find(form)
                assert at < 0, f"{where}: ...{content[max(0, at - 300) : at]}>>> HERE"


def open_source(case: Case) -> Storage:
    from labelsync_provider.hooks.storage import storage_hook

    return storage_hook("source", case.source, None).get_source(case.source)


def make_dag(case: Case, **parameters: Any) -> Any:
    from airflow.sdk import DAG

    with DAG("secrets", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        project: Any = CreateProjectOperator(task_id="project", title="Secrets", label_config=LABEL_CONFIG).output
        load = ImportStorageSyncOperator(
            task_id="import", source=parameters.pop("source", case.source), project=project, **parameters
        )
        load >> ExportAnnotationsOperator(task_id="export", target=case.target, project=project)
    return dag


def test_not_when_all_goes_well(case: Case, connect: Any, left: Any, run_dag: Callable) -> None:
    connect(case.connection)
    source = open_source(case)
    source.write(f"{source.location.prefix}a.json", TASK)
    source.write(f"{source.location.prefix}broken.json", b"{")
    run = run_dag(make_dag(case))
    assert run.state == "success"
    found = left()
    assert "quarantine" in found["Airflow's database"]  # the XCom is there
    assert "broken.json" in found["ledger"]
    assert "DEBUG" in found["log records"]
    assert_nothing_left(found, case.secrets)


def test_not_of_signed_urls(case: Case, connect: Any, left: Any, run_dag: Callable, database: Path) -> None:
    if not case.signs:
        with opened(case, connect) as source:
            if isinstance(source, Signing):
                with pytest.raises(Denied, match="sign"):
                    source.sign([f"{source.location.prefix}a.json"], timedelta(minutes=1))
        return
    connect(case.connection)
    open_source(case).write("a.jpg", b"1")
    assert run_dag(make_dag(case, use_blob_urls=True, url_mode="signed")).state == "success"
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT data FROM labelsync_task")).all()
    engine.dispose()
    signed = json.loads(rows[0][0])["image"]
    assert signed.startswith("http")
    signature = re.search(r"(?:-Signature|[?&]sig)=([^&]+)", signed)
    assert signature
    assert_nothing_left(left(), [*case.secrets, signature[1]])


@pytest.mark.parametrize("case", ["s3"], indirect=True)
@pytest.mark.parametrize("kind", ["legacy", "personal"])
@pytest.mark.parametrize("goes", ["well", "wrong"])
def test_not_of_a_label_studio_server(
    case: Case,
    connect: Any,
    left: Any,
    run_dag: Callable,
    label_studio: LabelStudioServer,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    goes: str,
) -> None:
    connect(case.connection)
    open_source(case).write("a.jpg", b"1")
    token = label_studio.token if kind == "legacy" else label_studio.personal_access_token()
    if goes == "wrong":
        token = token[::-1] if kind == "legacy" else token[:-5]
    server = {"conn_type": "label_studio", "host": label_studio.url, "password": token}
    monkeypatch.setenv("AIRFLOW_CONN_LABEL_STUDIO_DEFAULT", json.dumps(server))
    run = run_dag(make_dag(case, use_blob_urls=True, register_storage=True, allow_static_keys=True))
    assert run.state == ("success" if goes == "well" else "failed")
    found = left()
    assert_nothing_left(found, [*case.secrets, token])
    # An access token is a JWT as well.
    assert not any(re.search(r"eyJ[\w-]{10,}\.eyJ", content) for content in found.values())


@contextmanager
def opened(case: Case, connect: Any) -> Iterator[Storage]:
    connect(case.connection)
    yield open_source(case)


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def in_trouble(case: Case, trouble: str, connect: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Connect so that nothing can be imported; return the source."""
    if trouble == "nothing there":
        connect(case.connection)
        return case.missing
    if trouble == "wrong secret":
        connect(case.wrong(case.connection))
    else:
        endpoint = f"http://127.0.0.1:{unused_port()}" if trouble == "unreachable" else None
        connect(astray(case, endpoint, monkeypatch))
    return case.source


@pytest.mark.parametrize("trouble", ["wrong secret", "nothing there", "unreachable", "no TLS"])
def test_not_when_it_fails(case: Case, connect: Any, left: Any, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    from labelsync_provider.hooks.storage import storage_hook

    source = in_trouble(case, trouble, connect, monkeypatch)
    hook = storage_hook("source", source, None)
    ok, message = hook.test_connection(source, target=True)
    assert not ok
    told = ""
    project = CreateProjectOperator(task_id="project", title="Secrets", label_config=LABEL_CONFIG).execute({})
    load = ImportStorageSyncOperator(task_id="import", source=source, project=project)
    for attempt in (lambda: load.execute({}), lambda: list(hook.get_source(source).list())):
        try:
            attempt()
        except Exception as error:
            told += "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
        else:
            pytest.fail("it did not fail")
    assert_nothing_left(left() | {"message": message, "exception": told}, case.secrets)


# What Airflow itself makes of an error is the same whatever the trouble is.
def test_not_when_a_dag_fails(
    case: Case, connect: Any, left: Any, run_dag: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = in_trouble(case, "wrong secret", connect, monkeypatch)
    assert run_dag(make_dag(case, source=source)).state == "failed"
    assert_nothing_left(left(), case.secrets)


def astray(case: Case, endpoint: str | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the connection with an endpoint that does not answer; without one, with https where there is only http."""
    connection = case.connection
    if case.conn_id == "redis_default":
        return connection | ({"port": int(endpoint.rpartition(":")[2])} if endpoint else {"extra": {"ssl": True}})
    if case.conn_id == "google_cloud_default":
        here = os.environ["STORAGE_EMULATOR_HOST"]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint or here.replace("http://", "https://"))
        return connection
    host, slash, rest = case.endpoint.partition("://")[2].partition("/")
    other = (endpoint or f"https://{host}") + slash + rest
    return json.loads(json.dumps(connection).replace(case.endpoint, other))
