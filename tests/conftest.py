"""What the tests share: an Airflow home of their own, a database, a folder with files, connections."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

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

from sqlalchemy import Engine, inspect, text  # noqa: E402

from labelsync_provider.database import open_database  # noqa: E402
from labelsync_provider.projects.embedded import EmbeddedProject, EmbeddedStore  # noqa: E402
from labelsync_provider.storages.local_files import LocalFiles  # noqa: E402

NOBODY = 65534


def pytest_unconfigure() -> None:
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The file of the ledger and of the embedded projects."""
    return tmp_path / "labelsync.db"


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
        was = os.geteuid()
        if was == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(was)

    return unprivileged


@pytest.fixture
def open_folder() -> Iterator[Folder]:
    """A folder that every user reaches; `tmp_path` is for its owner only."""
    top = Path(tempfile.mkdtemp(prefix="labelsync-tests-"))
    top.chmod(0o755)
    yield Folder(top, "in")
    subprocess.run(["chmod", "-R", "u+rwx", top], check=True)
    shutil.rmtree(top)


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
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    def run_dag(dag: Any, **kwargs: Any) -> Any:
        with create_session() as session:
            session.merge(DagBundleModel(name="tests"))
        bag = DagBag(dag_folder="/dev/null")
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "tests", None)
        return dag.test(**kwargs)

    return run_dag
