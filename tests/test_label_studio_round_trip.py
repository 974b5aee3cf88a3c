"""Real input that nobody here wrote, through Label Studio: S3, a project, annotators, S3, a second project."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server

from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator

pytest_plugins = ["servers.label_studio", "servers.s3"]

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

if not DATA.is_dir():
    pytest.skip(f"left out: there is no {DATA.parent.name}/{DATA.name} beside the checkout", allow_module_level=True)

Json = dict[str, Any]

# The files are of several projects; no label config fits them all.
ANYTHING = "<View></View>"
# One of the annotators in the files; the others are nobody the server knows.
KNOWN = "test@example.com"

ANNOTATION_FIELDS = ("result", "was_cancelled", "ground_truth", "lead_time", "completed_by")
PREDICTION_FIELDS = ("result", "score", "model_version")
BOX = {"x": 10.5, "y": 20, "width": 30, "height": 0.1, "rotation": 0, "rectanglelabels": ["Ampel 🚦"]}


@dataclass
class RoundTrip:
    """Two projects of a server, and the bucket between them."""

    server: LabelStudioServer
    s3: S3Server
    bucket: str
    first: int
    second: int

    def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        with self.server.client() as client:
            return client.request(method, path, **kwargs).raise_for_status().json()

    def tasks(self, project: int) -> list[Json]:
        """Return all tasks with their annotations and predictions, as the server has them."""
        query = {"project": project, "fields": "all", "resolve_uri": "false", "page_size": 1000}
        return self.ask("GET", "/api/tasks/", params=query)["tasks"]

    def load(self, project: int, folder: str, **arguments: Any) -> Json:
        source = f"s3://{self.bucket}/{folder}/"
        return ImportStorageSyncOperator(task_id="load", source=source, project=project, **arguments).execute({})

    def save(self, folder: str, layout: Any) -> Json:
        target = f"s3://{self.bucket}/{folder}"
        operator = ExportAnnotationsOperator(task_id="save", target=target, project=self.first, layout=layout)
        return operator.execute({})

    def objects(self, folder: str) -> dict[str, Json]:
        """Return what stands in the bucket below a folder, by the rest of the keys."""
        client = self.s3.client()
        found = client.list_objects_v2(Bucket=self.bucket, Prefix=f"{folder}/").get("Contents", ())
        return {
            item["Key"].removeprefix(f"{folder}/"): json.load(
                client.get_object(Bucket=self.bucket, Key=item["Key"])["Body"]
            )
            for item in found
        }


@pytest.fixture
def trip(
    any_label_studio: LabelStudioServer,
    rclone: S3Server,
    connections: Any,
    connect: Callable[..., None],
    connect_s3: Callable[..., None],
) -> RoundTrip:
    """The files in the bucket and in the first project, where some tasks have been annotated since."""
    server = any_label_studio
    connect("label_studio_default", conn_type="label_studio", host=server.url, password=server.token)
    connect_s3(rclone)
    trip = RoundTrip(server, rclone, rclone.create_bucket(), *(server.create_project(None, ANYTHING) for _ in "12"))
    if KNOWN not in {user["email"] for user in trip.ask("GET", "/api/users/")}:
        trip.ask("POST", "/api/users/", json={"email": KNOWN, "username": "known", "first_name": "Ann"})
    client = rclone.client()
    for path in (*(DATA / "images").iterdir(), *(DATA / "task_files").glob("*.json")):
        client.put_object(Bucket=trip.bucket, Key=f"{path.parent.name}/{path.name}", Body=path.read_bytes())

    report = trip.load(trip.first, "task_files")
    assert (report["tasks_created"], report["quarantined"]) == (len(in_files()), 0)
    report = trip.load(trip.first, "images", use_blob_urls=True, data_key="image")
    assert report["tasks_created"] == len(list((DATA / "images").iterdir()))
    annotate(trip)
    return trip


def in_files() -> list[Json]:
    """Return the tasks of the files as they stand there."""
    found: list[Json] = []
    for path in sorted((DATA / "task_files").glob("*.json")):
        value = json.loads(path.read_text())
        found += value if isinstance(value, list) else [value]
    return found


def annotate(trip: RoundTrip) -> None:
    """Label the pictures as annotators do: one is skipped, one is labelled twice, one is left."""
    region = {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": BOX}
    pictures = [task["id"] for task in trip.tasks(trip.first) if task["data"].get("image", "").startswith("s3://")]
    for number, task in enumerate(pictures[1:]):
        annotation = {"result": [{**region, "id": f"r{number}"}] * number, "lead_time": number + 0.25}
        annotation |= {"was_cancelled": number == 1, "ground_truth": number == 2}
        for _ in range(1 + (number == 3)):
            trip.ask("POST", f"/api/tasks/{task}/annotations/", json=annotation)


def picked(item: Json, fields: tuple[str, ...]) -> Json:
    return {name: item[name] for name in fields}


def by_value(tasks: list[Json]) -> list[str]:
    """Return the annotated tasks as texts that are equal when they are worth the same, in an order of their own."""
    values = [
        {
            "data": task["data"],
            "annotations": sorted(
                json.dumps(picked(item, ANNOTATION_FIELDS), sort_keys=True) for item in task["annotations"]
            ),
            "predictions": sorted(
                json.dumps(picked(item, PREDICTION_FIELDS), sort_keys=True) for item in task["predictions"]
            ),
            "meta": {name: value for name, value in task["meta"].items() if name != "labelsync"},
        }
        for task in tasks
        if task["annotations"]
    ]
    return sorted(json.dumps(value, sort_keys=True) for value in values)


def test_what_stands_in_the_files_is_in_the_project(trip: RoundTrip) -> None:
    users = {user["email"]: user["id"] for user in trip.ask("GET", "/api/users/")}
    stored = {json.dumps(task["data"], sort_keys=True): task for task in trip.tasks(trip.first)}
    annotators = set()
    for given in in_files():
        task = stored[json.dumps(given["data"], sort_keys=True)]
        for kind in ("annotations", "predictions"):
            labels = [item for item in given.get(kind, ()) if isinstance(item, dict)]
            assert [item["result"] for item in task[kind]] == [item["result"] for item in labels]
        for item, as_given in zip(task["annotations"], given.get("annotations", ()), strict=True):
            annotator = as_given["completed_by"]
            email = annotator.get("email") if isinstance(annotator, dict) else None
            if email in users:
                assert item["completed_by"] == users[email]
                annotators.add(email)
            for name in as_given.keys() & {"was_cancelled", "ground_truth", "lead_time"}:
                assert item[name] == as_given[name]
    assert KNOWN in annotators


def test_what_is_exported_by_task_and_imported_into_another_project_is_the_same_by_value(trip: RoundTrip) -> None:
    tasks = trip.tasks(trip.first)
    annotated = by_value(tasks)
    unknown = sum(len(task["meta"]["labelsync"].get("unknown_annotators", ())) for task in tasks)
    assert unknown
    report = trip.save("by_task", "task")
    assert (report["written"], report["failed"]) == (len(annotated), 0)

    report = trip.load(trip.second, "by_task")
    assert (report["tasks_created"], report["annotators_unknown"], report["quarantined"]) == (
        len(annotated),
        unknown,
        0,
    )
    assert by_value(trip.tasks(trip.second)) == annotated
    found = [item for task in trip.tasks(trip.second) for item in task["annotations"]]
    assert {item["was_cancelled"] for item in found} == {item["ground_truth"] for item in found} == {True, False}
    assert len({item["completed_by"] for item in found}) > 1

    assert trip.load(trip.second, "by_task")["tasks_created"] == 0
    assert trip.save("by_task", "task")["written"] == 0


def test_what_is_exported_by_annotation_is_what_the_server_says(trip: RoundTrip) -> None:
    tasks = {task["id"]: task for task in trip.tasks(trip.first)}
    annotations = {item["id"]: item for task in tasks.values() for item in task["annotations"]}
    users = {user["id"]: user for user in trip.ask("GET", "/api/users/")}
    report = trip.save("by_annotation", "annotation")
    assert (report["annotations"], report["written"]) == (len(annotations), len(annotations))

    objects = trip.objects("by_annotation")
    assert objects.keys() == {f"{annotation}.json" for annotation in annotations}
    for item in objects.values():
        said, task = annotations[item["id"]], tasks[item["task"]["id"]]
        who = users[said["completed_by"]]
        assert item["completed_by"] == picked(who, ("id", "first_name", "last_name", "email"))
        same = ("result", "was_cancelled", "ground_truth", "lead_time", "created_at", "updated_at", "import_id")
        assert picked(item, same) == picked(said, same)
        assert picked(item["task"], ("data", "meta")) == picked(task, ("data", "meta"))
        assert said["task"] == task["id"]
