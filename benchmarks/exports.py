"""What an export from Label Studio asks of the server: requests, and bytes of answers, at 50,000 tasks.

Label Studio runs on PostgreSQL. Nothing is timed: an unchanged run has to cost what has changed, whatever the options.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from measuring import LABEL_CONFIG, Requests
from servers.label_studio import running_label_studio
from servers.postgres import running_postgres

from labelsync_provider.database import open_database
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.project import LabelStudioProject
from labelsync_provider.projects.label_studio.server import LabelStudioServer as Projects
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, export_annotations
from labelsync_provider.sync.exporting.changes import OVERLAP

TASKS = 50_000
POSTED = 1_000
CHANGED = 5
UNCHANGED_MOST, CHANGED_MOST, DELETED_MOST, TASK_DELETED_MOST = 4, 6, 6, 16
"""A task that is deleted is in no list of changed ones: it is found by halving over counts."""
KINDS: dict[str, dict[str, Any]] = {
    "annotation": {"layout": "annotation"},
    "annotation, no cancelled": {"layout": "annotation", "include_cancelled": False},
    "task": {"layout": "task"},
    "task, no cancelled": {"layout": "task", "include_cancelled": False},
}
CHOICE = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["cat"]}}


class CountingClient(Client):
    """A client that counts its requests, and the bytes of their answers."""

    sent = received = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        send = self._transport.send

        def counted(*args: Any, **kwargs: Any) -> Any:
            answer = send(*args, **kwargs)
            self.sent += 1
            self.received += len(answer.content)
            return answer

        self._transport.send = counted  # type: ignore[method-assign]


def results(scratch: Path) -> Iterator[Requests]:
    """Export four ways, and again after each of four changes."""
    with (
        running_postgres() as postgres,
        running_label_studio(scratch, postgres) as server,
        server.client() as people,
    ):
        people.timeout = httpx.Timeout(600)
        client = CountingClient(server.url, server.token)
        project = Projects(client).create_project("benchmark", LABEL_CONFIG)
        _annotate(people, project.id)
        for number, (kind, options) in enumerate(KINDS.items()):
            yield from _exports(client, people, project, scratch / str(number), kind, options)


def _annotate(people: httpx.Client, project: int) -> None:
    """Add tasks with an annotation each; every hundredth has a cancelled one too."""
    for start in range(0, TASKS, POSTED):
        tasks = [
            {
                "data": {"image": f"s3://bucket/{n}.jpg"},
                "annotations": [{"result": [CHOICE], "ground_truth": False}]
                + [{"result": [], "was_cancelled": True, "ground_truth": False}] * (n % 100 == 0),
            }
            for n in range(start, start + POSTED)
        ]
        people.post(f"/api/projects/{project}/import", json=tasks).raise_for_status()


def _exports(
    client: CountingClient,
    people: httpx.Client,
    project: LabelStudioProject,
    root: Path,
    kind: str,
    options: dict[str, Any],
) -> Iterator[Requests]:
    root.mkdir()
    engine = open_database(f"sqlite:///{root}.db")

    def counted(what: str, objects: int, most: int, written: int, gone: int) -> Requests:
        sent, received = client.sent, client.received
        target = LocalFiles(f"file://{root}", str(root))
        given = ExportOptions(can_delete_objects=True, **options)
        report = export_annotations(project, target, engine, given, "benchmark")
        assert (report.written, report.deleted) == (written, gone), report
        megabytes = (client.received - received) / 1e6
        return Requests(f"export, {kind}: {what}, {megabytes:,.2f} MB", objects, client.sent - sent, most)

    tasks = _tasks(people, project.id)
    cancelled = sum(task["cancelled_annotations"] for task in tasks)
    exported = len(tasks) + (cancelled if options == {"layout": "annotation"} else 0)
    yield counted("first", exported, len(tasks) // 100, exported, 0)
    # What changed in the last minute is listed again by the next export, once.
    time.sleep(OVERLAP.total_seconds() + 1)
    counted("to begin with", 1, UNCHANGED_MOST, 0, 0)
    yield counted("nothing new", 1, UNCHANGED_MOST, 0, 0)
    # None of these has a cancelled annotation.
    changed = [task for task in tasks if not task["cancelled_annotations"]][len(tasks) // 2 :][:CHANGED]
    for task in changed:
        people.patch(f"/api/annotations/{task['annotations'][0]['id']}", json={"result": []}).raise_for_status()
    yield counted(f"{CHANGED} changed", CHANGED, CHANGED_MOST, CHANGED, 0)
    people.delete(f"/api/annotations/{changed[0]['annotations'][0]['id']}").raise_for_status()
    yield counted("1 annotation deleted", 1, DELETED_MOST, 0, 1)
    people.delete(f"/api/tasks/{changed[1]['id']}").raise_for_status()
    yield counted("1 annotated task deleted", 1, TASK_DELETED_MOST, 0, 1)
    engine.dispose()


def _tasks(people: httpx.Client, project: int) -> list[dict[str, Any]]:
    """Return the annotated tasks with their annotations."""
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        asked: dict[str, Any] = {
            "project": project,
            "page": page,
            "page_size": 1000,
            "fields": "all",
            "include": "id,annotations",
        }
        asked["include"] = "id,annotations,cancelled_annotations,total_annotations"
        answer = people.get("/api/tasks/", params=asked).raise_for_status().json()
        found += [task for task in answer["tasks"] if task["total_annotations"]]
        if page * 1000 >= answer["total"]:
            return found
        page += 1
