"""Tasks that Airflow has end: marked failed, cleared, late. Each runs in a process of its own, as Airflow runs it."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time.timeout import timeout
from killing import patiently
from sqlalchemy import select

from labelsync_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from labelsync_provider.database import open_database
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.label_studio import LabelStudioSyncOperator
from labelsync_provider.operators.stopping import StoppableOperator, stoppable
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import TASK
from labelsync_provider.projects.protocol import Task
from labelsync_provider.stop import Stop
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync.ledger.lease import Lease
from labelsync_provider.sync.ledger.tables import LEASE

FILES = 8
LEASE_BACK_SECONDS = 3.0
"""Airflow kills after five."""


@pytest.fixture
def engine(connections: Any, database: Path) -> Iterator[Any]:
    engine = open_database(f"sqlite:///{database}")
    yield engine
    engine.dispose()


@pytest.fixture
def loading(connections: Any, engine: Any) -> Callable[..., ImportStorageSyncOperator]:
    """An import of `FILES` files, each a batch of its own."""
    EmbeddedStore(engine).create_project("P", "<View/>")
    for number in range(FILES):
        connections.put(f"{number}.json", {"text": f"file {number}"})

    def loading(**options: Any) -> ImportStorageSyncOperator:
        options = {"batch_size": 1, **options}
        return ImportStorageSyncOperator(task_id="load", source=connections.uri, project="P", **options)

    return loading


@pytest.fixture
def saving(connections: Any, target: Any, engine: Any) -> Callable[..., ExportAnnotationsOperator]:
    """An export of `FILES` annotations, each written alone."""
    labeled = [Task({"text": str(n)}, annotations=[{"result": [{"value": n}]}]) for n in range(FILES)]
    EmbeddedStore(engine).create_project("P", "<View/>").import_tasks(labeled)

    def saving(**options: Any) -> ExportAnnotationsOperator:
        options = {"batch_size": 1, "max_in_flight": 1, **options}
        return ExportAnnotationsOperator(task_id="save", project="P", target=target.uri, **options)

    return saving


class Process:
    """A task in a process of its own, with the handler of SIGTERM that Airflow's task runner sets up."""

    def __init__(self, operator: Any, directory: Path, prepare: Callable[[Callable[[], None]], None]) -> None:
        """Start it.

        :param prepare: run there first, with what notes that a request has begun.
        """
        self._requests, self._outcome = directory / "requests", directory / "outcome"
        self._requests.touch()
        self.told_at = 0.0
        self._pid = os.fork()
        if self._pid == 0:
            try:
                signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
                prepare(self._note)
                try:
                    said = f"report: {operator.execute({})}"
                except BaseException as error:
                    said = f"{type(error).__name__}: {error}"
                self._outcome.write_text(said)
            finally:
                os._exit(0)

    def _note(self) -> None:
        with self._requests.open("a") as file:
            file.write(f"{time.time()}\n")

    def begun(self) -> list[float]:
        """Return when requests were begun."""
        return [float(line) for line in self._requests.read_text().splitlines()]

    def has_begun(self, count: int) -> None:
        for _ in patiently(f"{count} requests were not begun: {self._said()}"):
            if len(self.begun()) >= count:
                return

    def tell(self) -> None:
        """Send SIGTERM."""
        self.told_at = time.time()
        os.kill(self._pid, signal.SIGTERM)

    def ended(self) -> str:
        """Wait for its end; return what its `execute` raised, or returned."""
        for _ in patiently("the process does not end"):
            if os.waitpid(self._pid, os.WNOHANG)[0]:
                self._pid = 0
                return self._said()
        raise AssertionError

    def _said(self) -> str:
        return self._outcome.read_text() if self._outcome.exists() else "nothing"

    def kill(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


@contextmanager
def running(operator: Any, directory: Path, prepare: Callable[..., None]) -> Iterator[Process]:
    process = Process(operator, directory, prepare)
    try:
        yield process
    finally:
        process.kill()


def slow(owner: type, name: str, seconds: float) -> Callable[[Callable[[], None]], None]:
    """Have each call of a method take a while, and noted when it begins."""

    def prepare(note: Callable[[], None]) -> None:
        original = getattr(owner, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            note()
            time.sleep(seconds)
            return original(self, *args, **kwargs)

        setattr(owner, name, call)

    return prepare


def is_free(engine: Any) -> bool:
    with engine.connect() as connection:
        return set(connection.scalars(select(LEASE.c.expires_at))) == {0.0}


def lease_back_after(process: Process, engine: Any) -> float:
    """Return how long after the signal the lease was given back, in seconds."""
    for _ in patiently("the lease is not given back"):
        if is_free(engine):
            return time.time() - process.told_at
    raise AssertionError


def texts(engine: Any) -> Counter[str]:
    with engine.connect() as connection:
        return Counter(data["text"] for data in connection.scalars(select(TASK.c.data)))


EACH_ONCE = Counter(f"file {number}" for number in range(FILES))


class TestAnImport:
    def test_begins_no_batch_any_more_and_the_next_run_completes_it(
        self, loading: Any, engine: Any, tmp_path: Path
    ) -> None:
        with running(loading(), tmp_path, slow(EmbeddedProject, "import_tasks", 0.3)) as process:
            process.has_begun(3)
            process.tell()
            assert lease_back_after(process, engine) < LEASE_BACK_SECONDS
            said = process.ended()
            assert said.startswith("AirflowException: Stopped before the end of file://"), said
            assert "with 2 tasks created" in said or "with 3 tasks created" in said
            assert max(process.begun()) < process.told_at
            assert 2 <= texts(engine).total() < FILES
        assert loading().execute({})["listed"] == FILES
        assert texts(engine) == EACH_ONCE

    def test_gives_its_lease_back_while_the_project_does_not_answer(
        self, loading: Any, engine: Any, tmp_path: Path
    ) -> None:
        with running(loading(), tmp_path, slow(EmbeddedProject, "import_tasks", 60)) as process:
            process.has_begun(1)
            process.tell()
            assert lease_back_after(process, engine) < LEASE_BACK_SECONDS
            assert "Stopped with a request still on its way" in process.ended()
            assert time.time() - process.told_at < 5, "Airflow would have killed it"
        assert loading().execute({})["tasks_created"] == FILES
        assert texts(engine) == EACH_ONCE

    @pytest.mark.parametrize("options", [{"min_seconds_between_batches": 600}], ids=str)
    def test_ends_where_it_sleeps(self, options: Any, loading: Any, engine: Any, tmp_path: Path) -> None:
        with running(loading(**options), tmp_path, slow(EmbeddedProject, "import_tasks", 0)) as process:
            process.has_begun(1)
            process.tell()
            assert "with 1 task created" in process.ended()
            assert lease_back_after(process, engine) < 2
        assert loading().execute({})["unchanged"] == 1

    def test_ends_where_it_waits_for_the_lease(self, loading: Any, engine: Any, tmp_path: Path) -> None:
        uri = LabelStudioHook().get_project("P").uri
        with Lease(engine, f"import into {uri}", "another run"):
            process = Process(loading(), tmp_path, slow(Lease, "_acquire", 0))
            process.has_begun(2)
            process.tell()
            assert "The run was told to end" in process.ended()
            assert time.time() - process.told_at < 2

    def test_ends_where_it_reads_a_storage_that_is_slow(self, loading: Any, engine: Any, tmp_path: Path) -> None:
        with running(loading(), tmp_path, slow(LocalFiles, "read", 0.3)) as process:
            process.has_begun(2)
            process.tell()
            assert "Stopped before the end" in process.ended()
            assert lease_back_after(process, engine) < LEASE_BACK_SECONDS
            assert max(process.begun()) < process.told_at + 0.3
        loading().execute({})
        assert texts(engine) == EACH_ONCE

    def test_that_is_told_before_it_begins_does_nothing(self, loading: Any, engine: Any) -> None:
        operator = loading()
        operator.on_kill()
        with pytest.raises(AirflowException, match="told to end"):
            operator.execute({})
        assert not texts(engine)

    def test_pushes_the_reports_of_the_sources_that_are_in(
        self, loading: Any, connections: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connections.put("sub/a.json", {"text": "sub"})
        operator = loading()
        operator.source = [f"{connections.uri}/sub", connections.uri, f"{connections.uri}/none"]
        original = EmbeddedProject.import_tasks

        def import_tasks(self: Any, tasks: Any) -> Any:
            if tasks[0].data["text"] != "sub":
                operator.on_kill()
            return original(self, tasks)

        monkeypatch.setattr(EmbeddedProject, "import_tasks", import_tasks)
        pushed: dict[str, Any] = {}
        ti = SimpleNamespace(task_id="load", dag_id="d", run_id="r", map_index=-1, try_number=1)
        ti.xcom_push = lambda key, value: pushed.update({key: value})
        with pytest.raises(AirflowException, match="1 of 3 sources failed, 1 succeeded, 1 not tried"):
            operator.execute({"ti": ti})
        report = pushed["return_value"]
        assert list(report["sources"]) == operator.source[:1]
        stopped, untried = report["failed_sources"].values()
        assert stopped.startswith("Stopped before the end")
        assert untried == "not tried"

    def test_can_be_tried_again_in_the_same_process(self, loading: Any, engine: Any) -> None:
        operator = loading()
        first, second = copy(operator), copy(operator)
        first.execute({})
        first.on_kill()
        assert second.execute({})["unchanged"] == FILES


class TestAnExport:
    def test_begins_no_upload_any_more_and_the_next_run_completes_it(
        self, saving: Any, engine: Any, target: Any, tmp_path: Path
    ) -> None:
        with running(saving(batch_size=100), tmp_path, slow(LocalFiles, "write", 0.3)) as process:
            process.has_begun(3)
            process.tell()
            assert lease_back_after(process, engine) < LEASE_BACK_SECONDS
            assert "Stopped before the end of the export to file://" in process.ended()
            assert max(process.begun()) < process.told_at + 0.1
            assert 0 < len(target.names()) < FILES
        report = saving().execute({})
        assert report["annotations"] == FILES
        assert len(target.names()) == FILES

    def test_gives_its_lease_back_while_the_storage_does_not_answer(
        self, saving: Any, engine: Any, target: Any, tmp_path: Path
    ) -> None:
        with running(saving(), tmp_path, slow(LocalFiles, "write", 60)) as process:
            process.has_begun(1)
            process.tell()
            assert lease_back_after(process, engine) < LEASE_BACK_SECONDS
            assert "Stopped" in process.ended()
            assert time.time() - process.told_at < 5
        saving().execute({})
        assert len(target.names()) == FILES


class TestAServer:
    def test_is_not_asked_again_by_a_task_that_is_told_to_end(
        self, connect: Callable[..., None], loading: Any, http_server: Callable[..., str], tmp_path: Path
    ) -> None:
        asked = []

        def answer(request: Any) -> tuple[int, bytes]:
            asked.append(time.time())
            if request.path.startswith("/api/projects/1/"):
                return 200, json.dumps(
                    {"id": 1, "title": "P", "label_config": "<View/>", "created_at": "2026-01-02T03:04:05Z"}
                ).encode()
            return (200, b"[]") if request.path.startswith("/api/storages/") else (503, b"")

        connect("label_studio_default", conn_type="label_studio", host=http_server(answer), password="token")
        operator = ImportStorageSyncOperator(task_id="load", source=loading().source, project=1)
        with running(operator, tmp_path, lambda note: None) as process:
            for _ in patiently("it does not try again"):
                if len(asked) > 4:
                    break
            process.tell()
            assert "Stopped before the end" in process.ended()
            assert time.time() - process.told_at < 2
            assert max(asked) < process.told_at + 0.2

    def test_whose_own_sync_is_waited_for_is_let_go(
        self, connect: Callable[..., None], http_server: Callable[..., str], tmp_path: Path
    ) -> None:
        project = {"id": 1, "title": "P", "label_config": "<View/>", "created_at": "2026-01-02T03:04:05Z"}
        storage = {"project": 1, "synchronizable": True, "status": "in_progress", "meta": {"attempts": 1}}
        asked = []

        def answer(request: Any) -> tuple[int, bytes]:
            asked.append(request.path)
            return 200, json.dumps(storage if "storages" in request.path else project).encode()

        connect("label_studio_default", conn_type="label_studio", host=http_server(answer), password="token")
        operator = LabelStudioSyncOperator(
            task_id="sync", project=1, storage=5, storage_type="s3", poll_interval=60, deferrable=False
        )
        with running(operator, tmp_path, lambda note: None) as process:
            for _ in patiently("it does not look at the storage"):
                if any("storages" in path for path in asked):
                    break
            time.sleep(0.3)
            process.tell()
            assert "The run was told to end" in process.ended()
            assert time.time() - process.told_at < 2


class Late(StoppableOperator):
    """Work that ends its own way right after its time-out."""

    def __init__(self, *, raised: Exception | None, **kwargs: Any) -> None:
        super().__init__(task_id="late", **kwargs)
        self.raised = raised

    @stoppable
    def execute(self, context: Any) -> dict[str, int]:
        signal.raise_signal(signal.SIGUSR1)
        while not self.stop.wished:
            time.sleep(0.01)
        if self.raised:
            raise self.raised
        return {"new": 5}


@pytest.fixture
def alarm() -> Iterator[None]:
    """Have the time-out strike the main thread when the work says so."""

    def strike(*_: Any) -> None:
        raise AirflowTaskTimeout("late")

    before = signal.signal(signal.SIGUSR1, strike)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("alarm")
class TestExecutionTimeout:
    def test_says_how_much_is_in_and_that_the_next_run_goes_on(
        self, loading: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            original = EmbeddedProject.import_tasks

            def slowly(self: Any, tasks: Any) -> Any:
                time.sleep(0.3)
                return original(self, tasks)

            patch.setattr(EmbeddedProject, "import_tasks", slowly)
            with pytest.raises(AirflowTaskTimeout, match=r"with \d tasks created.*The next run goes on"), timeout(0.8):
                loading().execute({})
            assert is_free(engine)
        assert loading().execute({})["listed"] == FILES
        assert texts(engine) == EACH_ONCE

    @pytest.mark.parametrize(
        ("raised", "said"),
        [
            (AirflowFailException("a mistake"), (AirflowFailException, "a mistake")),
            (AirflowSkipException("nothing has changed"), (AirflowSkipException, "nothing has changed")),
            (AirflowException("with 3 in"), (AirflowTaskTimeout, "late: not done within execution_timeout. with 3 in")),
            (KeyError("a"), (AirflowTaskTimeout, "late: not done within execution_timeout. KeyError: 'a'")),
        ],
        ids=repr,
    )
    def test_tells_what_the_work_says_while_it_ends(self, raised: Exception, said: tuple[type, str]) -> None:
        with pytest.raises(said[0]) as caught:
            Late(raised=raised).execute({})
        assert (type(caught.value), str(caught.value)) == said

    def test_of_work_that_has_finished_returns_its_report(self, caplog: pytest.LogCaptureFixture) -> None:
        assert Late(raised=None).execute({}) == {"new": 5}
        assert "execution_timeout was over when this came to its end" in caplog.text

    def test_pushes_the_report_of_work_that_has_finished(
        self, loading: Any, engine: Any, run_dag: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = EmbeddedProject.import_tasks

        def slowly(self: Any, tasks: Any) -> Any:
            time.sleep(1.5)
            return original(self, tasks)

        monkeypatch.setattr(EmbeddedProject, "import_tasks", slowly)
        with DAG("done_late", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            load = loading(batch_size=100, execution_timeout=timedelta(seconds=1))
            load.dag = dag
        monkeypatch.setattr(Stop, "check", lambda _: None)  # its last request was sent a moment before
        run = run_dag(dag)
        assert run.state == "success"
        assert run.get_task_instance("load").xcom_pull(task_ids="load")["tasks_created"] == FILES

    def test_makes_airflow_fail_the_task(self, loading: Any, engine: Any, run_dag: Callable) -> None:
        with DAG("late", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            load = loading(min_seconds_between_batches=60, execution_timeout=timedelta(seconds=1))
            load.dag = dag
        run = run_dag(dag)
        assert run.state == "failed"
        assert is_free(engine)
        assert texts(engine).total() == 1
