"""What the tests share: an Airflow home of their own, a database, a folder with files, connections."""

import gc
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.message import Message
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, count
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest

# Airflow reads these once, when it is first imported.
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="labelsync-tests-"))
os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME}/airflow.db",
}
(AIRFLOW_HOME / "dags").mkdir()

import unsynced  # noqa: E402, F401
from sqlalchemy import Engine, inspect, text  # noqa: E402
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite  # noqa: E402
from sqlalchemy.util import LRUCache  # noqa: E402

from labelsync_provider.database import open_database  # noqa: E402
from labelsync_provider.database.schema import ensure_schema  # noqa: E402
from labelsync_provider.projects.embedded.project import EmbeddedProject  # noqa: E402
from labelsync_provider.projects.embedded.store import EmbeddedStore  # noqa: E402
from labelsync_provider.storages.local_files import LocalFiles  # noqa: E402

NOBODY = 65534


# What takes much time or memory to make. `make test` runs tests side by side, in processes of their own; those that use
# one of these stay together, so that it is made once. Of two that a test uses, the first counts.
MADE_ONCE = ["label_studio_postgres", "label_studio", "environment", "beyond_airflow", "airflow_database"]
# What starts a server other than those of files, S3 and Redis; see `tests/matrix.py`.
OTHER_SERVERS = {
    "beyond_airflow",
    "any_label_studio",
    "azurite",
    "browser",
    "gcs",
    "impatient",
    "label_studio",
    "label_studio_postgres",
    "postgres",
    "postgres_url",
}


def pytest_unconfigure() -> None:
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Tell pytest-xdist which tests have to stay together; mark those that need a server of another kind."""
    for item in items:
        # A parameter may be the name of the fixture that it stands for, alone or with others.
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        used = [*item.fixturenames, *chain.from_iterable(p if isinstance(p, tuple) else (p,) for p in parameters)]
        if name := next((name for name in MADE_ONCE if name in used), None):
            item.add_marker(pytest.mark.xdist_group(_group(name, item.path)))
        if any(isinstance(name, str) and name in OTHER_SERVERS for name in used):
            item.add_marker(pytest.mark.other_server)


def _group(name: str, module: Path) -> str:
    """Return what the tests of a module that use a fixture are called together.

    Those with a Label Studio are so many that three processes share them, each with a server of its own.
    """
    if name != "label_studio":
        return name
    if module.stem == "test_label_studio_exactly_once":
        return f"{name} {module.stem}"
    return f"{name} {'sync' if module.parent.name == 'sync' else 'others'}"


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not among what Airflow and thousands of tests are made of, which stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and no rows. To copy it costs a tenth of making it."""
    path = tmp_path_factory.mktemp("empty") / "labelsync.db"
    engine = open_database(f"sqlite:///{path}")
    ensure_schema(engine)
    engine.dispose()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Path:
    """The file of the ledger and of the embedded projects."""
    return Path(shutil.copy(empty_database, tmp_path))


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{database}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> EmbeddedStore:
    return EmbeddedStore(engine)


@pytest.fixture
def project(store: EmbeddedStore) -> EmbeddedProject:
    """A project that takes any data."""
    return store.create_project("Pets", "<View/>")


class Folder:
    """Files below a document root. Each write gets a later mtime, so that it is another version."""

    _mtimes = count(1_700_000_000_000_000_000, 1_000_000_000)

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.path = root, root / name
        self.path.mkdir(parents=True, exist_ok=True)
        self.uri = f"file://{self.path}"

    def put(self, key: str, content: Any) -> Path:
        """Write bytes or text as they are, anything else as JSON."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        path.write_bytes(content)
        mtime = next(self._mtimes)
        os.utime(path, ns=(mtime, mtime))
        return path

    def storage(self, *, recursive: bool = True) -> LocalFiles:
        return LocalFiles(self.uri, str(self.root), recursive=recursive)

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())

    def json(self, key: str) -> Any:
        return json.loads((self.path / key).read_bytes())

    def state(self) -> dict[str, tuple[bytes, int]]:
        """Everything below, to be compared: content and mtime by path."""
        return {
            str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
            for path in sorted(self.root.rglob("*"))
        }


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Folder]:
    """Make folders below one document root."""
    root = tmp_path / "root"
    root.mkdir()
    return lambda name: Folder(root, name)


@pytest.fixture
def source(folder: Callable[[str], Folder]) -> Folder:
    return folder("in")


@pytest.fixture
def target(folder: Callable[[str], Folder]) -> Folder:
    return folder("out")


@pytest.fixture
def counts(engine: Engine) -> Callable[[], dict[str, int]]:
    """Count the rows of every table."""

    def counts() -> dict[str, int]:
        with engine.connect() as connection:
            return {
                name: connection.scalar(text(f"SELECT count(*) FROM {name}"))
                for name in inspect(engine).get_table_names()
            }

    return counts


@pytest.fixture
def unprivileged() -> Callable[[], Any]:
    """A block in which permission bits bind: root is above them."""

    @contextmanager
    def unprivileged() -> Iterator[None]:
        if os.getuid() == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            # Not to what it was: for a moment it holds for every thread, which may have come here meanwhile.
            os.seteuid(os.getuid())

    return unprivileged


@pytest.fixture
def open_folder() -> Iterator[Folder]:
    """A folder that every user reaches; `tmp_path` is for its owner only."""
    top = Path(tempfile.mkdtemp(prefix="labelsync-tests-"))
    top.chmod(0o755)
    yield Folder(top, "in")
    subprocess.run(["chmod", "-R", "u+rwx", top], check=True)
    shutil.rmtree(top)


@pytest.fixture(autouse=True)
def secrets_forgotten() -> None:
    """Airflow makes one expression of all secrets it has seen, anew for each: after hundreds of tests it takes long."""
    for name in ("airflow._shared.secrets_masker", "airflow.sdk._shared.secrets_masker"):
        if name in sys.modules:
            sys.modules[name].reset_secrets_masker()


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once() -> Iterator[None]:
    """For every client httpx reads all certificate authorities, which takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Each engine compiles its statements anew, which was a fifth of the time of tests that import and export."""
    shared: LRUCache[Any, Any] = LRUCache(2000)

    def created(engine: Engine) -> None:
        engine._compiled_cache = shared

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLiteDialect_pysqlite, "__eq__", lambda one, other: type(one) is type(other), raising=False)
        patch.setattr(SQLiteDialect_pysqlite, "__hash__", lambda one: hash(type(one)), raising=False)
        patch.setattr(SQLiteDialect_pysqlite, "engine_created", staticmethod(created))
        yield


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set a connection; Airflow looks into the environment first."""

    def connect(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return connect


@pytest.fixture
def connect_s3(connect: Callable[..., None]) -> Callable[..., None]:
    """Make an S3 server the default connection's; of its fields and extras, some may be others."""

    def connect_s3(server: Any, *, extra: dict[str, Any] | None = None, **fields: Any) -> None:
        where = {"endpoint_url": server.endpoint, "region_name": server.region} | (extra or {})
        credentials = {"login": server.access_key, "password": server.secret_key} | fields
        connect("aws_default", conn_type="aws", extra=where, **credentials)

    return connect_s3


@pytest.fixture
def connect_gcs(connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a GCS server that asks for no credentials the default connection's."""

    def connect_gcs(server: Any, **extra: Any) -> None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        connect(
            "google_cloud_default",
            conn_type="google_cloud_platform",
            extra=extra or {"is_anonymous": True, "project": "p"},
        )

    return connect_gcs


@pytest.fixture
def connect_azure(connect: Callable[..., None]) -> Callable[..., None]:
    """Make an Azure server the default connection's."""

    def connect_azure(server: Any) -> None:
        connect("wasb_default", conn_type="wasb", extra={"connection_string": server.connection_string})

    return connect_azure


@pytest.fixture
def connect_redis(connect: Callable[..., None]) -> Callable[..., None]:
    """Make a Redis server the default connection's."""

    def connect_redis(server: Any, **extra: Any) -> None:
        tls = {"ssl": True, "ssl_cert_reqs": "required", "ssl_ca_certs": str(server.ca_file)} if server.ca_file else {}
        connect(
            "redis_default",
            conn_type="redis",
            host=server.host,
            port=server.port,
            login=server.username,
            password=server.password,
            extra=tls | ({"cluster": True} if len(server.ports) > 1 else {}) | extra,
        )

    return connect_redis


class Asked(NamedTuple):
    """A request that came to a server of `http_server`."""

    method: str
    path: str
    headers: Message
    body: bytes


class Answer(NamedTuple):
    """What such a server answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})


@pytest.fixture(scope="module")
def opened_quickly() -> Iterator[None]:
    """For every client botocore reads files of a megabyte, and Airflow the source of all that called it."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
    from botocore.loaders import JSONFileLoader

    with pytest.MonkeyPatch.context() as patch:
        read = cache(partial(JSONFileLoader._load_file, JSONFileLoader()))
        patch.setattr(JSONFileLoader, "_load_file", lambda _, *path: read(*path))
        patch.setattr(AwsGenericHook, "_generate_user_agent_extra_field", lambda _, existing_user_agent_extra: "")
        yield


@pytest.fixture
def http_server() -> Iterator[Callable[..., str]]:
    """Run servers that answer as a function of the request says, for what no real server can be brought to say.

    They are not pytest-httpserver's: those correct a length that is wrong, hang up after each answer, and take half a
    second to stop, which hundreds of tests would wait for.
    """
    with ExitStack() as servers:

        def http_server(answer: Callable[[Asked], tuple[Any, ...]], tls: ssl.SSLContext | None = None) -> str:
            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"

                def handle_one_request(self) -> None:
                    self.raw_requestline = self.rfile.readline(65537)
                    if not self.raw_requestline or not self.parse_request():
                        self.close_connection = True
                        return
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    status, content, headers = Answer(*answer(Asked(self.command, self.path, self.headers, body)))
                    self.send_response(status)
                    for name, value in ({"Content-Length": str(len(content))} | dict(headers)).items():
                        self.send_header(name, value)
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(content)

                def log_message(self, *_: Any) -> None:
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            if tls:
                server.socket = tls.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            servers.callback(thread.join)
            servers.callback(server.server_close)
            servers.callback(server.shutdown)
            return f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"

        yield http_server


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, source: Folder, database: Path) -> Folder:
    """The connections that an operator uses by default, and the database; see `source` for the document root."""
    monkeypatch.setenv("AIRFLOW_CONN_FS_DEFAULT", json.dumps({"conn_type": "fs", "extra": {"path": str(source.root)}}))
    monkeypatch.setenv(
        "AIRFLOW_CONN_LABEL_STUDIO_DEFAULT", json.dumps({"conn_type": "label_studio", "host": "embedded://"})
    )
    monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", f"sqlite:///{database}")
    return source


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's own tables, for the tests that run a whole DAG."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def run_dag(airflow_database: None) -> Callable[..., Any]:
    """Run a DAG by Airflow's own engine; it must be known to its database first."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from dag_bags import DagBag, sync_bag_to_db

    def run_dag(dag: Any, **kwargs: Any) -> Any:
        with create_session() as session:
            session.merge(DagBundleModel(name="tests"))
        bag = DagBag(dag_folder="/dev/null")
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "tests", None)
        return dag.test(**kwargs)

    return run_dag


@pytest.fixture
def processor_seconds() -> Iterator[Callable[[], float]]:
    """Tells the processor time of a test's own thread: without other threads, and without what there is to collect."""
    gc.disable()
    started = time.thread_time()
    yield lambda: time.thread_time() - started
    gc.enable()
