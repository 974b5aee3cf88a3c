"""The ready-made DAGs, and a project that is created by an import, against a Label Studio server."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from servers.label_studio import LabelStudioServer as Server

from labelsync_provider.airflow_compat import AirflowFailException
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.label_configs import READY, read
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.projects.label_config import data_keys

pytest_plugins = ["servers.label_studio"]

DAGS = Path(__file__).resolve().parents[1] / "dags"


@pytest.fixture
def title() -> str:
    return f"Pets {uuid4().hex[:8]}"


@pytest.fixture
def connected(label_studio: Server, connect: Callable, connections: Any) -> Server:
    connect("label_studio_default", conn_type="label_studio", host=label_studio.url, password=label_studio.token)
    connect("fs_default", conn_type="fs", extra={"path": str(label_studio.document_root)})
    return label_studio


@pytest.fixture
def pictures(connected: Server) -> Path:
    pictures = connected.document_root / uuid4().hex
    pictures.mkdir()
    for name in "ab":
        (pictures / f"{name}.png").write_bytes(b"\x89PNG")
    return pictures


@pytest.fixture
def run_form(run_dag: Callable) -> Callable[[str, dict[str, Any]], Any]:
    from dag_bags import DagBag

    return lambda dag_id, entered: run_dag(DagBag(str(DAGS / f"{dag_id}.py")).dags[dag_id], run_conf=entered)


def result(run: Any, task_id: str) -> Any:
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def titled(server: Server, title: str) -> list[dict[str, Any]]:
    with server.client() as client:
        return client.get("/api/projects/", params={"title": title}).raise_for_status().json()["results"]


@pytest.mark.parametrize("name", READY)
def test_a_ready_label_config_is_one_that_the_server_takes(connected: Server, name: str) -> None:
    project = LabelStudioHook().create_project(f"{name} {uuid4().hex[:8]}", name)
    with connected.client() as client:
        there = client.get(f"/api/projects/{project.id}/").raise_for_status().json()
        assert there["label_config"].split() == read(name).split()
        # What is labeled is told by the names of the tags: none that this version does not know.
        assert there["parsed_label_config"]
        row = dict.fromkeys(data_keys(read(name)), "https://example.com/1")
        client.post(f"/api/projects/{project.id}/import", json=[row]).raise_for_status()


def test_create_project_creates_one(connected: Server, title: str, run_form: Callable) -> None:
    for _ in range(2):
        assert run_form("create_project", {"title": title, "template": "keypoints"}).state == "success"
    (project,) = titled(connected, title)
    assert "KeyPointLabels" in project["label_config"]


def test_an_import_creates_the_project_once_for_all_that_run_at_the_same_time(
    connected: Server, pictures: Path, title: str
) -> None:
    def load(n: int) -> dict[str, Any]:
        given: dict[str, Any] = {"source": str(pictures), "project": title, "create_if_missing": "image_classification"}
        regex = f"{'ab'[n % 2]}.*"
        return ImportStorageSyncOperator(task_id=f"load{n}", use_blob_urls=True, regex_filter=regex, **given).execute(
            {}
        )

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(load, range(3)))
    (project,) = titled(connected, title)
    assert sum(report["tasks_created"] for report in reports) == project["task_number"] == 2


def test_a_dry_run_creates_no_project(
    connected: Server, pictures: Path, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {
        "source": str(pictures),
        "project": title,
        "create_if_missing": "image_classification",
        "dry_run": True,
    }
    report = ImportStorageSyncOperator(task_id="load", use_blob_urls=True, **given).execute({})
    assert report["tasks_created"] == 2
    assert titled(connected, title) == []


def test_label_studio_storages_adds_and_syncs(
    connected: Server, pictures: Path, title: str, run_form: Callable
) -> None:
    project = LabelStudioHook().create_project(title, "image_classification")
    given: dict[str, Any] = {"project": title, "storage": str(pictures), "use_blob_urls": True}
    run = run_form("label_studio_storages", given | {"action": None, "recursive_scan": 0, "presign_ttl": None})
    assert run.state == "success"
    with connected.client() as client:
        (storage,) = client.get("/api/storages/localfiles/", params={"project": project.id}).json()
    assert (storage["id"], storage["path"]) == (result(run, "add"), str(pictures))
    assert str(run.get_task_instance("sync").state) == "skipped"

    run = run_form("label_studio_storages", given | {"action": "sync source storage"})
    assert run.state == "success"
    assert result(run, "sync")["tasks_created"] == 2

    labels = connected.document_root / uuid4().hex
    labels.mkdir()
    target = {"project": title, "storage": str(labels), "can_delete_objects": True}
    run = run_form("label_studio_storages", target | {"action": "add target storage", "label_studio_conn_id": None})
    assert run.state == "success"
    with connected.client() as client:
        (storage,) = client.get("/api/storages/export/localfiles", params={"project": project.id}).json()
    assert storage["can_delete_objects"] is True


@pytest.mark.parametrize("token", ["legacy", "personal"])
@pytest.mark.parametrize("suffix", ["/api", "/api/", "/projects", "/label-studio"])
def test_a_url_that_is_not_the_base_is_told_as_that(
    connected: Server, connect: Callable, pictures: Path, suffix: str, token: str
) -> None:
    password = connected.token if token == "legacy" else connected.personal_access_token()
    url = connected.url + suffix
    connect("label_studio_default", conn_type="label_studio", host=url, password=password)
    with pytest.raises(AirflowFailException) as caught:
        ImportStorageSyncOperator(task_id="load", source=str(pictures), project="Pets").execute({})
    assert "Set the Server URL of the connection to where the pages of Label Studio begin" in str(caught.value), (
        json.dumps(str(caught.value))
    )
    assert LabelStudioHook().test_connection()[0] is False
