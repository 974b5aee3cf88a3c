"""What tells whether a task, or an annotation of it, has changed, as a server tells it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.queries import EACH_ANNOTATION, TaskApi, column_filter
from labelsync_provider.projects.protocol import Json, TaskState

FIELDS_OF_A_STATE = "id,updated_at,total_annotations,cancelled_annotations,annotations_ids"
IDS_TOLD = 500
"""Characters of the ids of a task's annotations. Of more the server cuts some off, not the same ones every time."""


def states(api: TaskApi, since: datetime | None, *, after: int, last: int | None) -> Iterator[list[TaskState]]:
    """Yield the state of the tasks changed since an instant; see `Annotated.changes`."""
    changed = () if since is None else (changed_since(since, "greater_or_equal"),)
    for page in api.by_id(FIELDS_OF_A_STATE, shapes.State, EACH_ANNOTATION, *changed, after=after, last=last):
        yield [_state(task) for task in page]


def changed_since(when: datetime, operator: str) -> Json:
    """Return a filter that lets the tasks through that were changed after an instant, or at it.

    :param operator: `greater` or `greater_or_equal`.
    """
    instant = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return column_filter("updated_at", operator, "Datetime", instant)


def _state(task: Json) -> TaskState:
    """Return the state of a task: another one, too, when only a counter or an annotation of it is another one."""
    told, updated_at = str(task["annotations_ids"]), task["updated_at"]
    ids = re.findall(r"\d+", told)
    counters = [task["total_annotations"] or 0, task["cancelled_annotations"] or 0]
    known = ",".join(sorted(ids)) if len(told) < IDS_TOLD else ""
    return TaskState(
        task["id"],
        # A counter is not the truth. Should it say that there is an annotation where none is told, a look tells.
        bool(ids) or any(counters),
        f"{updated_at} {counters[0]}+{counters[1]} {known}",
        datetime.fromisoformat(updated_at),
    )
