"""Looking at tasks of a Label Studio project, updating them and deleting them.

Source of what is said about its API: label-studio 1.23.2.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from labelsync_provider.errors import NotFound
from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.answers import Conflict, Refused
from labelsync_provider.projects.label_studio.queries import TaskApi, column_filter
from labelsync_provider.projects.protocol import Json, Rejected, StoredTask, TaskLook, TaskUpdate, UpdateOutcome
from labelsync_provider.projects.task_content import (
    canonical,
    effect_of,
    held_back,
    number,
    planned,
    prediction_changes,
    tasks_made_from,
)

UPDATED_AFTER_ONE_LOOK = 50
"""Number of tasks that are looked at together before they are updated. What somebody does to a task between the look
and its update is not seen, so that they are few."""

AT_ONCE = timedelta(seconds=1)
"""An import notes when a task was created, and when it was updated last, within microseconds."""

PREDICTION_FIELDS = ("result", "score", "model_version")
"""Of an imported prediction, the server keeps no others."""
NO_MODEL_VERSION = "undefined"
"""What the server calls the model version of an imported prediction that has none."""

ANNOTATION_FIELDS = ("result", "was_cancelled", "ground_truth", "lead_time")
"""Of an imported annotation, the server keeps no others but its annotator, and its `id` as `import_id`."""

Members = Mapping[Any, int] | None
"""The ids of those whom an annotation may be by, by e-mail address; None if the server does not tell."""


def look(api: TaskApi, uris: Mapping[int, str], digests: Mapping[int, str]) -> dict[int, TaskLook]:
    """Look at tasks; see `Project.look`."""
    looks: dict[int, TaskLook] = {}
    for page in api.with_work(list(uris), shapes.Seen, "meta", "created_at", "updated_at", "updated_by"):
        there = {task["id"]: task for task in page}
        for task_id, of_others in _made_from(api, uris, digests, there).items():
            task = there[task_id]
            meta, worked_on = task["meta"], is_worked_on(task)
            looks[task_id] = TaskLook(worked_on, _is_as_imported(task), effect_of(meta), held_back(meta), of_others)
    return looks


def is_worked_on(task: Json) -> bool:
    """Tell whether a task has an annotation, or a draft of one; it comes from `TaskApi.with_work`."""
    return bool(task["annotations_ids"] or task["draft_exists"])


def _is_as_imported(task: Json) -> bool:
    """Tell whether nothing has happened to a task since it was imported: its annotations came with it.

    Whoever annotates, or changes an annotation, is noted as `updated_by`. Other changes only move `updated_at`.
    """
    created, updated = (datetime.fromisoformat(task[name]) for name in ("created_at", "updated_at"))
    return not task["updated_by"] and not task["draft_exists"] and updated - created < AT_ONCE


def _made_from(
    api: TaskApi, uris: Mapping[int, str], digests: Mapping[int, str], there: Mapping[int, Json]
) -> dict[int, bool]:
    metas = {task_id: task["meta"] for task_id, task in there.items()}
    return tasks_made_from(uris, digests, metas, partial(_with_data, api))


def _with_data(api: TaskApi, task_ids: Sequence[int]) -> dict[int, StoredTask]:
    pages = api.by_ids(task_ids, "id,data,storage_filename", shapes.Found)
    return {task["id"]: stored(task) for page in pages for task in page}


def stored(task: Json) -> StoredTask:
    """Return a task as an import sees it; `meta` and data can be anything, and the server takes an array for data."""
    meta, data = (value if isinstance(value := task.get(name), dict) else {} for name in ("meta", "data"))
    return StoredTask(task["id"], meta, data, task.get("storage_filename"))


# --- update ---


def update_tasks(
    api: TaskApi, updates: Mapping[int, TaskUpdate], project_uri: str, members: Callable[[], Members]
) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
    """Update tasks; see `Project.update_tasks`.

    :param members: returns who may have made an annotation.
    """
    ids = list(updates)
    for start in range(0, len(ids), UPDATED_AFTER_ONE_LOOK):
        some = {task_id: updates[task_id] for task_id in ids[start : start + UPDATED_AFTER_ONE_LOOK]}
        there = _content(api, some)
        uris = {task_id: update.uri for task_id, update in some.items()}
        digests = {task_id: update.data_digest for task_id, update in some.items() if update.data_digest}
        mine = _made_from(api, uris, digests, there)
        for task_id, update in some.items():
            if task_id in mine:
                yield task_id, _update(api, there[task_id], update, project_uri, members)
            else:
                yield task_id, "gone"


def _content(api: TaskApi, updates: Mapping[int, TaskUpdate]) -> dict[int, Json]:
    """Return of each task that is there what its update may change."""
    fields, params = ["meta"], {}
    shape: Any = shapes.Content
    if any(update.data is not None for update in updates.values()):
        fields.append("data")
    if any(update.predictions for update in updates.values()):
        # `include` names the fields of tasks and predictions alike.
        fields += ["predictions", *PREDICTION_FIELDS]
        params, shape = {"fields": "all"}, shapes.Predicted
    return {task["id"]: task for page in api.with_work(list(updates), shape, *fields, **params) for task in page}


def _update(
    api: TaskApi, task: Json, update: TaskUpdate, project_uri: str, members: Callable[[], Members]
) -> UpdateOutcome | Rejected:
    data = task.get("data")
    change = planned(update, data if isinstance(data, dict) else {}, task["meta"], worked_on=is_worked_on(task))
    if change is None:
        return "worked_on"
    wanted = {"data": change.data, "meta": change.meta}
    body = {
        name: value
        for name, value in wanted.items()
        if value is not None and canonical(value) != canonical(task.get(name))
    }
    try:
        if body:
            api.change("PATCH", f"/api/tasks/{task['id']}/", body)
        if update.predictions:
            _replace_predictions(api, task, update.predictions)
        if change.adds_annotations:
            _annotate(api, task["id"], update, project_uri, members)
    except NotFound:
        return "gone"
    except Refused as refusal:
        return Rejected(str(refusal))
    return change.outcome


def _replace_predictions(api: TaskApi, task: Json, predictions: Sequence[Json]) -> None:
    removed, added = prediction_changes(task["predictions"], predictions, _prediction_content)
    for prediction in removed:
        with suppress(NotFound):
            api.change("DELETE", f"/api/predictions/{prediction['id']}/")
    for prediction in added:
        # One by one: the bulk import of predictions drops those that do not fit the label config without a word.
        given = {name: prediction[name] for name in PREDICTION_FIELDS if prediction.get(name) is not None}
        api.change("POST", "/api/predictions/", {"model_version": NO_MODEL_VERSION, **given, "task": task["id"]})


def _prediction_content(prediction: Json) -> tuple[str, bytes]:
    content = [prediction["result"], number(prediction.get("score"))]
    return str(prediction.get("model_version") or NO_MODEL_VERSION), canonical(content)


def _annotate(api: TaskApi, task_id: int, update: TaskUpdate, project_uri: str, members: Callable[[], Members]) -> None:
    for n, annotation in enumerate(update.annotations):
        body = {name: annotation[name] for name in ANNOTATION_FIELDS if annotation.get(name) is not None}
        if annotation.get("id") is not None:
            body["import_id"] = annotation["id"]
        annotator = annotation.get("completed_by")
        if isinstance(annotator, dict) and (known := members()):
            annotator = known[annotator["email"]]
        if annotator is not None:
            body["completed_by"] = annotator
        # The one thing of which the server takes no second copy is an annotation with an id of the client's.
        identity = canonical([project_uri, task_id, effect_of(update.meta) or update.meta, n])
        body["unique_id"] = str(uuid5(NAMESPACE_URL, identity.decode()))
        with suppress(Conflict):
            api.change("POST", f"/api/tasks/{task_id}/annotations/", body)


# --- delete ---


def delete_tasks(api: TaskApi, uris: Mapping[int, str], *, untouched: bool) -> set[int]:
    """Delete tasks that nobody has worked on; see `Project.delete_tasks`."""
    looks = look(api, uris, {})
    own = {task_id: seen for task_id, seen in looks.items() if not seen.of_others}
    free = [task_id for task_id, seen in own.items() if not seen.worked_on]
    as_imported = [task_id for task_id, seen in own.items() if seen.worked_on and seen.as_imported and untouched]
    # The server looks once more: somebody may be annotating.
    no_draft = column_filter("draft_exists", "equal", "Boolean", False)
    no_annotation = column_filter("annotations_ids", "empty", "Number", True)
    nobodys = column_filter("updated_by", "empty", "List", True)
    api.change_tasks("delete_tasks", free, no_draft, no_annotation)
    api.change_tasks("delete_tasks", as_imported, no_draft, nobodys)
    asked = {task_id: uris[task_id] for task_id in (*free, *as_imported)}
    return (set(uris) - looks.keys()) | (asked.keys() - look(api, asked, {}).keys())
