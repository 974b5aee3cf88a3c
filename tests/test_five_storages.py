"""One DAG through Airflow: local files to Amazon S3, into a project, out to GCS, Azure Blob and Redis, and in again."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from places import AzurePlace, GCSPlace, Place, RedisPlace, S3Place, content
from servers.azure import AzureServer
from servers.redis import RedisServer
from servers.s3 import S3Server

from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.local_files import LocalFilesStorageHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator

pytest_plugins = ["servers.azure", "servers.redis", "servers.s3"]

LABELS = '<View><Text name="text" value="$text"/></View>'
TASKS = 30
DATABASE = 3


def label(value: str) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [value]}}]


def given(number: int) -> dict[str, Any]:
    """Return a task as it stands in a task file."""
    ann = {"id": 1, "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee"}
    annotations = [
        {"result": label("Cät"), "completed_by": ann, "was_cancelled": False, "ground_truth": True, "lead_time": 1.5},
        {"result": [], "completed_by": 2, "was_cancelled": True, "ground_truth": False, "lead_time": None},
    ]
    return {
        "data": {"text": f"{number}: 😀 ä {'long ' * number}", "nested": {"list": [number, None, {"x": 0.1}]}},
        "meta": {"page": number},
        "annotations": annotations[: 1 + number % 2],
        "predictions": [{"result": label("Dog"), "score": 0.25, "model_version": "m1"}] * (number % 3),
    }


GIVEN = [given(number) for number in range(TASKS)]
FILES = {
    "array.json": json.dumps(GIVEN[:10]),
    "lines/all.jsonl": "\n".join(map(json.dumps, GIVEN[10:20])),
    **{f"one by one/{number} é.json": json.dumps(GIVEN[number]) for number in range(20, TASKS)},
}


def by_value(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each task what was given of it, in the order of the texts."""
    one = GIVEN[1]

    def items(task: dict[str, Any], name: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
        return [{field: item[field] for field in fields} for item in task[name]]

    values = [
        {
            "data": task["data"],
            "meta": {name: value for name, value in task["meta"].items() if name != "labelsync"},
            "annotations": items(task, "annotations", one["annotations"][0]),
            "predictions": items(task, "predictions", one["predictions"][0]),
        }
        for task in tasks
    ]
    return sorted(values, key=lambda value: int(value["data"]["text"].partition(":")[0]))


@pytest.fixture
def places(
    monkeypatch: pytest.MonkeyPatch,
    weed: S3Server,
    rclone_anonymous: S3Server,
    azurite: AzureServer,
    valkey: RedisServer,
) -> dict[str, tuple[str, Place]]:
    """For each service the URI and the place, and the connection that its hook uses by default."""

    def connect(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    at_s3 = {"region_name": weed.region, "endpoint_url": weed.endpoint}
    connect("aws_default", conn_type="aws", login=weed.access_key, password=weed.secret_key, extra=at_s3)
    connect("google_cloud_default", conn_type="google_cloud_platform", extra={"is_anonymous": True, "project": "p"})
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", rclone_anonymous.endpoint)
    connect("wasb_default", conn_type="wasb", extra={"connection_string": azurite.connection_string})
    connect("redis_default", conn_type="redis", host=valkey.host, port=valkey.port)

    bucket, google, container = weed.create_bucket(), rclone_anonymous.create_bucket(), azurite.create_container()
    return {
        "S3": (f"s3://{bucket}/tasks", S3Place(weed, bucket)),
        "GCS": (f"gs://{google}/labels", GCSPlace(rclone_anonymous, google)),
        "Azure": (f"azure-blob://{container}/labels", AzurePlace(azurite, container)),
        "Redis": (f"redis://{DATABASE}/labels/", RedisPlace(valkey, DATABASE)),
    }


TARGETS = ["GCS", "Azure", "Redis"]


@pytest.fixture
def dag(connections: Any, places: dict[str, tuple[str, Place]]) -> Any:
    from airflow.sdk import DAG, task

    for key, written in FILES.items():
        connections.put(key, written)
    uris = {name: uri for name, (uri, _) in places.items()}

    with DAG("five_storages", schedule=None) as dag:

        @task
        def copy() -> int:
            source = LocalFilesStorageHook().get_source(connections.uri)
            target = S3StorageHook().get_target(uris["S3"])
            keys = [info.key for page in source.list() for info in page]
            for key in keys:
                target.write(target.location.prefix + key, source.read(key), create=True)
            return len(keys)

        project = CreateProjectOperator(task_id="project", title="Pets", label_config=LABELS)
        first = ImportStorageSyncOperator(
            task_id="from_S3",
            source=uris["S3"] + "/",
            project=project.output,  # type: ignore[arg-type]
            recursive_scan=True,
        )
        copy() >> first
        for name in TARGETS:
            export = ExportAnnotationsOperator(
                task_id=f"to_{name}",
                project=project.output,  # type: ignore[arg-type]
                target=uris[name],
                layout="task",
            )
            again = CreateProjectOperator(task_id=f"project_{name}", title=f"Pets from {name}", label_config=LABELS)
            second = ImportStorageSyncOperator(
                task_id=f"from_{name}",
                source=uris[name].rstrip("/") + "/",
                project=again.output,  # type: ignore[arg-type]
            )
            first >> export >> second
    return dag


def results(run: Any) -> dict[str, Any]:
    """Return what each task of a run returned."""
    assert run.state == "success"
    return {task.task_id: task.xcom_pull(task_ids=task.task_id) for task in run.get_task_instances()}


def test_tasks_reach_every_storage_and_come_back_as_they_were_and_a_second_run_does_nothing(
    dag: Any, places: dict[str, tuple[str, Place]], run_dag: Callable[..., Any]
) -> None:
    pull = results(run_dag(dag))
    assert pull["copy"] == len(FILES)
    assert content(places["S3"][1], "tasks/") == {key: written.encode() for key, written in FILES.items()}
    assert (pull["from_S3"]["listed"], pull["from_S3"]["tasks_created"]) == (len(FILES), TASKS)
    annotations = sum(len(task["annotations"]) for task in GIVEN)
    before = {name: content(place, "labels/") for name, (_, place) in places.items()}
    for name in TARGETS:
        report = pull[f"to_{name}"]
        assert (report["written"], report["annotations"], report["failed"]) == (TASKS, annotations, 0)
        assert by_value(list(map(json.loads, before[name].values()))) == GIVEN
        assert pull[f"from_{name}"]["tasks_created"] == TASKS
        project = LabelStudioHook().get_project(f"Pets from {name}")
        assert by_value([task for page in project.annotated_tasks() for task in page]) == GIVEN

    pull = results(run_dag(dag))
    for name in ["S3", *TARGETS]:
        report = pull[f"from_{name}"]
        assert (report["unchanged"], report["tasks_created"], report["bytes_read"]) == (TASKS, 0, 0)
    for name in TARGETS:
        report = pull[f"to_{name}"]
        assert (report["unchanged"], report["written"], report["gone"]) == (TASKS, 0, 0)
    assert {name: content(place, "labels/") for name, (_, place) in places.items()} == before
