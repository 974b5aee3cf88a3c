"""Imports that are stopped from outside, and repeated: nothing is lost, nothing comes twice, no lease is in the way."""

import os
import secrets
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from servers.label_studio import LabelStudioServer
from standalone.conftest import Airflow

FILES = 60
LABEL_CONFIG = '<View><Image name="image" value="$image"/></View>'


@pytest.fixture
def folder(data: Path) -> Path:
    folder = data / secrets.token_hex(4)
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:03}.jpg").write_bytes(b"\xff\xd8")
    return folder


@pytest.fixture
def project(label_studio: LabelStudioServer) -> int:
    return label_studio.create_project(label_config=LABEL_CONFIG)


def images(server: LabelStudioServer, project: int) -> Counter[str]:
    with server.client() as client:
        asked: dict[str, Any] = {"project": project, "page_size": 1000, "fields": "all"}
        tasks = client.get("/api/tasks/", params=asked).raise_for_status().json()["tasks"]
    return Counter(Path(task["data"]["image"]).name for task in tasks)


def test_marked_failed_and_cleared(
    airflow: Airflow, label_studio: LabelStudioServer, folder: Path, project: int
) -> None:
    run = airflow.trigger("slow_import", source=str(folder), project=project)
    airflow.wait_until(lambda: images(label_studio, project), "no task came in")
    task = f"/dags/slow_import/dagRuns/{run}/taskInstances/import"
    airflow.api.patch(task, json={"new_state": "failed"}).raise_for_status()
    airflow.wait_until(lambda: not airflow.workers(), "the worker goes on")
    stopped_at = images(label_studio, project)
    assert 0 < stopped_at.total() < FILES
    asked = {"dry_run": False, "dag_run_id": run, "task_ids": ["import"], "only_failed": True}
    airflow.api.post("/dags/slow_import/clearTaskInstances", json=asked).raise_for_status()
    airflow.wait_until(
        lambda: airflow.state("slow_import", run, "import") == "success", "the second try did not succeed"
    )
    assert images(label_studio, project) == Counter(f"{number:03}.jpg" for number in range(FILES))


def test_whose_worker_is_killed(airflow: Airflow, label_studio: LabelStudioServer, folder: Path, project: int) -> None:
    run = airflow.trigger("slow_import", source=str(folder), project=project)
    airflow.wait_until(lambda: images(label_studio, project), "no task came in")
    workers = airflow.workers()
    assert workers
    for each in workers:
        os.kill(each.pid, signal.SIGKILL)
    airflow.succeeded("slow_import", run)
    assert "taking over the lease" in airflow.log("slow_import", run, "import")
    assert images(label_studio, project) == Counter(f"{number:03}.jpg" for number in range(FILES))
