"""Looking at tasks of an embedded project, updating them and deleting them, each in a transaction of the caller's."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, RowMapping, bindparam, delete, select, update

from labelsync_provider.database import chunks
from labelsync_provider.projects.embedded.rows import exported_label, prediction_content
from labelsync_provider.projects.embedded.statements import (
    IDS_IN_A_STATEMENT,
    add_labels,
    data_of,
    labels_of,
    this_instant,
)
from labelsync_provider.projects.embedded.tables import ANNOTATED, ANNOTATION, PREDICTION, TASK
from labelsync_provider.projects.protocol import Json, StoredTask, TaskLook, TaskUpdate, UpdateOutcome
from labelsync_provider.projects.task_content import (
    effect_of,
    held_back,
    planned,
    prediction_changes,
    tasks_made_from,
)


def look(
    connection: Connection, project: int, uris: Mapping[int, str], digests: Mapping[int, str]
) -> dict[int, TaskLook]:
    """Look at tasks; see `Project.look`. Of an annotation nobody can tell whether it came with its task."""
    looks: dict[int, TaskLook] = {}
    for some in chunks(uris, IDS_IN_A_STATEMENT):
        asked = {task_id: uris[task_id] for task_id in some}
        for task_id, (row, of_others) in _made_from(connection, project, asked, digests).items():
            worked_on, meta = bool(row["annotated"]), row["meta"]
            as_imported = not worked_on and row["created_at"] == row["updated_at"]
            looks[task_id] = TaskLook(worked_on, as_imported, effect_of(meta), held_back(meta), of_others)
    return looks


def update_tasks(connection: Connection, project: int, updates: Mapping[int, TaskUpdate]) -> dict[int, UpdateOutcome]:
    """Update tasks; see `Project.update_tasks`."""
    _hold(connection, project, list(updates))
    outcomes: dict[int, UpdateOutcome] = dict.fromkeys(updates, "gone")
    uris = {task_id: update.uri for task_id, update in updates.items()}
    digests = {task_id: update.data_digest for task_id, update in updates.items() if update.data_digest}
    there = {task_id: row for task_id, (row, _) in _made_from(connection, project, uris, digests).items()}
    merged = data_of(connection, [task_id for task_id in there if updates[task_id].merge_data])
    predictions = labels_of(connection, PREDICTION, [task_id for task_id in there if updates[task_id].predictions])
    new_meta: list[Json] = []
    new_data: list[Json] = []
    new_annotations: list[tuple[int, Json]] = []
    new_predictions: list[tuple[int, Json]] = []
    removed: list[int] = []
    for task_id, row in there.items():
        wanted = updates[task_id]
        change = planned(wanted, merged.get(task_id, {}), row["meta"], worked_on=bool(row["annotated"]))
        outcomes[task_id] = change.outcome if change else "worked_on"
        # What was begun is done: it was one transaction.
        if change is None or change.begun:
            continue
        new_meta.append({"task": task_id, "new_meta": change.meta})
        if change.data is not None:
            new_data.append({"task": task_id, "new_data": change.data})
        if change.adds_annotations:
            new_annotations += [(task_id, annotation) for annotation in wanted.annotations]
        labels = [exported_label(prediction, project) for prediction in predictions.get(task_id, [])]
        gone, added = prediction_changes(labels, wanted.predictions, prediction_content)
        removed += [prediction["id"] for prediction in gone]
        new_predictions += [(task_id, prediction) for prediction in added]
    now = this_instant()
    one = update(TASK).where(TASK.c.id == bindparam("task"))
    if new_meta:
        connection.execute(one.values(meta=bindparam("new_meta"), updated_at=now), new_meta)
    if new_data:
        connection.execute(one.values(data=bindparam("new_data")), new_data)
    for some in chunks(removed, IDS_IN_A_STATEMENT):
        connection.execute(delete(PREDICTION).where(PREDICTION.c.id.in_(some)))
    add_labels(connection, PREDICTION, new_predictions, now)
    add_labels(connection, ANNOTATION, new_annotations, now)
    return outcomes


def delete_tasks(connection: Connection, project: int, uris: Mapping[int, str]) -> set[int]:
    """Delete those of the tasks that have no annotation; return those that are there no longer."""
    left: set[int] = set()
    for some in chunks(uris, IDS_IN_A_STATEMENT):
        _hold(connection, project, some)
        there = _made_from(connection, project, {task_id: uris[task_id] for task_id in some}, {})
        free = [task_id for task_id, (row, of_others) in there.items() if not (row["annotated"] or of_others)]
        connection.execute(delete(PREDICTION).where(PREDICTION.c.task.in_(free)))
        connection.execute(delete(TASK).where(TASK.c.id.in_(free)))
        left.update(there.keys() - set(free))
    return set(uris) - left


def _hold(connection: Connection, project: int, task_ids: Sequence[int]) -> None:
    """Keep others from annotating tasks until the transaction ends."""
    # SQLite has one writer anyway. PostgreSQL locks a task's row for whoever annotates it.
    tasks = select(TASK.c.id).where(TASK.c.id.in_(task_ids), TASK.c.project == project)
    if connection.dialect.name == "postgresql":
        connection.execute(tasks.with_for_update())


def _made_from(
    connection: Connection, project: int, uris: Mapping[int, str], digests: Mapping[int, str]
) -> dict[int, tuple[RowMapping, bool]]:
    """Return those tasks that are there and were made from the objects named, and `TaskLook.of_others` of each."""
    columns = (TASK.c.id, TASK.c.meta, TASK.c.created_at, TASK.c.updated_at, ANNOTATED.label("annotated"))
    tasks = select(*columns).where(TASK.c.id.in_(list(uris)), TASK.c.project == project)
    there = {row["id"]: row for row in connection.execute(tasks).mappings()}
    metas = {task_id: row["meta"] for task_id, row in there.items()}

    def read(task_ids: Sequence[int]) -> dict[int, StoredTask]:
        return {task_id: StoredTask(task_id, {}, data) for task_id, data in data_of(connection, task_ids).items()}

    mine = tasks_made_from(uris, digests, metas, read)
    return {task_id: (there[task_id], of_others) for task_id, of_others in mine.items()}
