"""The links from a task in Airflow to Label Studio."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.sdk import DAG
from servers.label_studio import LabelStudioServer

from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator

pytest_plugins = ["servers.label_studio"]

CONFIG = '<View><Text name="t" value="$text"/></View>'


@pytest.fixture
def run(
    connections: Any, connect: Callable[..., None], label_studio: LabelStudioServer, run_dag: Callable[..., Any]
) -> Callable[..., dict[str, str]]:
    """Run an operator in a DAG; return its links by name, as Airflow shows them."""
    connect("label_studio_default", conn_type="label_studio", host=label_studio.url, password=label_studio.token)

    def run(operator: type, **parameters: Any) -> dict[str, str]:
        with DAG("links", schedule=None) as dag:
            task = operator(task_id="task", **parameters)
        ti = run_dag(dag).get_task_instance("task")
        assert ti.state == "success"
        return {link.name: ti.xcom_pull(key=link.xcom_key, task_ids="task") for link in task.operator_extra_links}

    return run


def test_import_leads_to_the_tasks_it_brought(run: Callable, label_studio: LabelStudioServer, source: Any) -> None:
    project = label_studio.create_project(label_config=CONFIG)
    source.put("a.jsonl", '{"text": "1"}\n{"text": "2"}')
    links = run(ImportStorageSyncOperator, source=source.uri, project=project)
    home = f"{label_studio.url}/projects/{project}"
    assert (links["Project"], links["Storage settings"]) == (f"{home}/data", f"{home}/settings/storage")
    (tab,) = parse_qs(urlsplit(links["Imported tasks"]).query)["tab"]
    (shown,) = json.loads(zlib.decompress(base64.b64decode(tab)))["filters"]["items"]
    with label_studio.client() as client:
        tasks = client.get("/api/tasks/", params={"project": project}).json()["tasks"]
    ids = [task["id"] for task in tasks]
    assert (shown["filter"], shown["value"]) == ("filter:tasks:id", {"min": min(ids), "max": max(ids)})


def test_import_that_brought_nothing_leads_to_the_project(
    run: Callable, label_studio: LabelStudioServer, source: Any
) -> None:
    links = run(ImportStorageSyncOperator, source=source.uri, project=label_studio.create_project())
    assert links["Project"]
    assert not links["Imported tasks"]


def test_export_and_creation_lead_to_the_project(run: Callable, label_studio: LabelStudioServer, target: Any) -> None:
    made = run(CreateProjectOperator, title=f"Links to {target.path}"[:50], label_config=CONFIG)["Project"]
    number = int(urlsplit(made).path.split("/")[2])
    assert run(ExportAnnotationsOperator, project=number, target=target.uri)["Project"] == made


def test_embedded_project_has_none(run: Callable, connect: Callable, source: Any) -> None:
    connect("label_studio_default", conn_type="label_studio", host="embedded://")
    links = run(CreateProjectOperator, title="Pets", label_config=CONFIG)
    assert not links["Project"]
