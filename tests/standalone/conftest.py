"""`airflow standalone` with the DAGs of this repository, as a person meets it: its API, its processes, its pages."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from servers.label_studio import LabelStudioServer
from servers.process import HOST, free_port
from servers.s3 import S3Server

pytest_plugins = ["servers.browser", "servers.label_studio", "servers.s3"]

ROOT = Path(__file__).parents[2]
SLOW_DAGS = Path(__file__).parent / "dags"

# Seconds. A slow machine under load is no failure.
STARTING = 240
RUNNING = 180
STOPPING = 20
LOG_TAIL = 6000

DONE = ("success", "failed")
# A worker shows the id of the task instance that it runs; so does the process in which it runs it.
TASK_AT_WORK = re.compile(r"airflow worker -- (LocalExecutor: )?[0-9a-f]{8}-")


@dataclass
class Airflow:
    """A running Airflow, all of whose parts are healthy."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    api: httpx.Client
    data: Path
    """Where local files may be read, by Label Studio too."""
    _unpaused: set[str] = field(default_factory=set)

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run as the form does; return its id."""
        if dag_id not in self._unpaused:
            self.api.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
            self._unpaused.add(dag_id)
        asked = {"logical_date": datetime.now(UTC).isoformat(), "conf": conf}
        answer = self.api.post(f"/dags/{dag_id}/dagRuns", json=asked)
        assert answer.is_success, answer.text
        return str(answer.json()["dag_run_id"])

    def state(self, dag_id: str, run_id: str, task_id: str | None = None) -> str | None:
        """Return the state of a run, or of one of its tasks."""
        where = f"/dags/{dag_id}/dagRuns/{run_id}" + (f"/taskInstances/{task_id}" if task_id else "")
        state: str | None = self.api.get(where).raise_for_status().json()["state"]
        return state

    def ended(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run; return how it ended."""
        self.wait_until(lambda: self.state(dag_id, run_id) in DONE, f"run {run_id} of {dag_id} did not end")
        return self.state(dag_id, run_id) or ""

    def succeeded(self, dag_id: str, run_id: str) -> None:
        """Wait for the end of a run, which has to succeed."""
        state = self.ended(dag_id, run_id)
        tasks = self.api.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances").json()["task_instances"]
        failed = [task["task_id"] for task in tasks if task["state"] in ("failed", "upstream_failed")]
        logs = "\n".join(self.log(dag_id, run_id, name)[-LOG_TAIL:] for name in failed)
        assert state == "success", f"{failed} failed:\n{logs}"

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int | None = None) -> str:
        """Return what a task has logged, a line an event."""
        task = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        attempt = attempt or self.api.get(task).raise_for_status().json()["try_number"]
        answer = (
            self.api.get(f"{task}/logs/{attempt}", headers={"Accept": "application/json"}).raise_for_status().json()
        )
        lines = (event if isinstance(event, str) else _line(event) for event in answer["content"])
        return "\n".join(lines)

    def report(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return what a task has returned."""
        entry = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        value = self.api.get(entry, params={"deserialize": True}).raise_for_status().json()["value"]
        return value if isinstance(value, dict) else json.loads(value)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that run a task at the moment: the supervisors, and what they supervise."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in below if TASK_AT_WORK.search(_title(each))]

    def wait_until(self, reached: Callable[[], object], failure: str, seconds: float = RUNNING) -> None:
        """Look until something holds."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, failure
            time.sleep(0.5)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""  # it has ended


def _line(event: dict[str, Any]) -> str:
    error = event.get("error_detail")
    said = f"{event.get('level', ''):8}{event.get('event', '')}"
    return said + (f" {json.dumps(error)}" if error else "")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with local files; Label Studio serves what is below."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def label_studio(data: Path) -> Iterator[LabelStudioServer]:
    """A server that may read the folder with local files."""
    from servers.label_studio import running_label_studio

    with running_label_studio(data) as server:
        yield server


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, data: Path, label_studio: LabelStudioServer, weed: S3Server
) -> Iterator[Airflow]:
    """Airflow, all its parts started by one command, with connections to a Label Studio and an S3 server."""
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    s3 = {
        "conn_type": "aws",
        "login": weed.access_key,
        "password": weed.secret_key,
        "extra": {"endpoint_url": weed.endpoint, "region_name": "us-east-1"},
    }
    server = {"conn_type": "label_studio", "host": label_studio.url, "password": label_studio.token}
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(path)},
        }
        for name, path in (("dags", ROOT / "dags"), ("tests", SLOW_DAGS))
    ]
    env = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        # A worker that was killed is found in seconds instead of minutes.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(s3),
        "AIRFLOW_CONN_FS_DEFAULT": json.dumps({"conn_type": "fs", "extra": {"path": str(data)}}),
        "AIRFLOW_CONN_LABEL_STUDIO_DEFAULT": json.dumps(server),
        "NO_PROXY": HOST,
        # It starts its parts by name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    env.pop("AIRFLOW__CORE__UNIT_TEST_MODE", None)
    env.pop("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", None)
    log = home / "standalone.log"
    with (
        log.open("wb") as output,
        httpx.Client(base_url=f"http://{HOST}:{port}/api/v2", timeout=60, trust_env=False) as api,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            cwd=home,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _log_in(process, api, f"http://{HOST}:{port}", log)
            yield Airflow(f"http://{HOST}:{port}", home, process, api, data)
        finally:
            _stop(process)


def _log_in(process: subprocess.Popen[bytes], api: httpx.Client, url: str, log: Path) -> None:
    """Wait until every part is healthy and the DAGs are there, and take a token."""
    deadline = time.monotonic() + STARTING
    while not _is_healthy(api, url):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
            pytest.fail(f"airflow standalone {'ended' if ended else 'is not healthy'}. Its log ends with:\n{tail}")
        time.sleep(1)


def _is_healthy(api: httpx.Client, url: str) -> bool:
    try:
        parts = api.get("/monitor/health").raise_for_status().json()
        if not all(part["status"] == "healthy" for part in parts.values()):
            return False
        if "Authorization" not in api.headers:
            token = httpx.post(f"{url}/auth/token", json={}, trust_env=False)
            if not token.is_success:
                token = httpx.get(f"{url}/auth/token", trust_env=False)
            api.headers["Authorization"] = f"Bearer {token.raise_for_status().json()['access_token']}"
        found = api.get("/dags", params={"limit": 50}).raise_for_status().json()["dags"]
    except httpx.HTTPError:
        return False
    wanted = {path.stem for path in [*(ROOT / "dags").glob("*.py"), *SLOW_DAGS.glob("*.py")]}
    return wanted <= {dag["dag_id"] for dag in found}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop every process that was started, however it takes it."""
    left = (
        [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        if process.poll() is None
        else []
    )
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(left, STOPPING)
    for each in alive:
        each.kill()
    process.wait()


@pytest.fixture
def title() -> str:
    """A title that no other project has."""
    return f"Test {secrets.token_hex(4)}"
