"""The layout "task": one object for each task, with its annotations. It can be imported again as it is."""

from collections.abc import Iterator, Sequence

import msgspec

from labelsync_provider.formats.annotations.layout import Ids, Layout, Object
from labelsync_provider.tasks import Json


def objects(task: Json, annotations: Sequence[Json]) -> Iterator[Object]:
    """Yield the object of a task, if it has annotations."""
    if annotations:
        ids = {"task_id": task["id"], "project_id": task["project"]}
        yield Object(ids, {**task, "annotations": annotations}, len(annotations))


class _Task(msgspec.Struct):
    id: int
    project: int
    annotations: list[msgspec.Raw] = []


def recognise(content: bytes) -> tuple[Ids, int]:
    """Return the ids of a task and its project, and how many annotations it has."""
    found = msgspec.json.decode(content, type=_Task)
    return {"task_id": found.id, "project_id": found.project}, len(found.annotations)


LAYOUT = Layout("task", "{task_id}.json", frozenset({"task_id", "project_id"}), False, objects, recognise)
