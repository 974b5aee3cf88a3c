"""What a task was made from, and what an update makes of it: the same in every store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from labelsync_provider.annotators import UNKNOWN
from labelsync_provider.projects.protocol import Json, StoredTask, TaskUpdate, UpdateOutcome
from labelsync_provider.tasks import data_digest
from labelsync_provider.uris import IS_SERVERS, SERVED

HELD_BACK = "annotations_held_back"
"""The key in a task's source reference which says that the update left its annotations out, because somebody worked on
the task. When the same update is done again, to complete it, they are left out again."""
OF_OTHERS = "of_others"
"""The key which says that an update gave this source reference to a task that others made."""


class Change(NamedTuple):
    """What an update makes of a task."""

    outcome: UpdateOutcome
    data: Json | None
    """None: it stays as it is."""
    meta: Json
    adds_annotations: bool
    begun: bool
    """The task has this update's `effect` already."""


def reference_of(meta: Any) -> Json:
    """Return the source reference in `meta`; empty if there is none."""
    reference = meta.get("labelsync") if isinstance(meta, dict) else None
    return reference if isinstance(reference, dict) else {}


def uri_of(meta: Any) -> str | None:
    """Return the URI in a task's source reference; None if it has none."""
    return _text(meta, "uri")


def effect_of(meta: Any) -> str:
    """Return the `effect` in a task's source reference; empty if it tells of none."""
    return _text(meta, "effect") or ""


def held_back(meta: Any) -> bool:
    """Tell from a task's source reference whether the update that wrote it last left its annotations out."""
    return HELD_BACK in reference_of(meta)


def tasks_made_from(
    uris: Mapping[int, str],
    digests: Mapping[int, str],
    metas: Mapping[int, Any],
    read: Callable[[Sequence[int]], Mapping[int, StoredTask]],
) -> dict[int, bool]:
    """Return those of some tasks that were made from the objects named, and of each `TaskLook.of_others`.

    :param uris: by task id, the URI of the object.
    :param digests: by task id, the digest of the data of the row that it was made from; see `Project.look`.
    :param metas: by task id, the `meta` of the tasks that are there.
    :param read: returns tasks with their data; called for those that others made, which are known by it as long as no
        update has given them a source reference.
    """
    noted = {task_id: uri_of(meta) for task_id, meta in metas.items()}
    mine = {task_id: False for task_id, uri in noted.items() if uri == uris[task_id]}
    made_by_others = [
        task_id for task_id, uri in noted.items() if uri in (None, uris[task_id]) and _is_of_others(metas[task_id])
    ]
    for task_id, task in (read(made_by_others) if made_by_others else {}).items():
        if task_id in mine or _is_of(task, uris[task_id], digests.get(task_id)):
            mine[task_id] = len(task.data) > 1 or not _shows(task, uris[task_id])
    return mine


def _is_of_others(meta: Any) -> bool:
    """Tell whether others made a task: it has no source reference, or one that an update gave it."""
    return uri_of(meta) is None or OF_OTHERS in reference_of(meta)


def _is_of(task: StoredTask, uri: str, digest: str | None) -> bool:
    """Tell whether a task without a source reference was made from an object, or from a row with this data."""
    if _shows(task, uri) or (task.storage_filename and is_named(uri, task.storage_filename)):
        return True
    return digest is not None and digest == data_digest(task.data)


def _shows(task: StoredTask, uri: str) -> bool:
    """Tell whether a URI is a value of a task's data; Label Studio may have put its address before that of a file."""
    if uri in task.data.values():
        return True
    texts = [value for value in task.data.values() if isinstance(value, str)] if uri.startswith(SERVED) else []
    return any(text.endswith(uri) and IS_SERVERS(text.removesuffix(uri)) is not None for text in texts)


def is_named(uri: str, storage_filename: str) -> bool:
    """Tell whether what a task says that Label Studio's own sync made it from may be the object of a URI."""
    _, served, path = uri.partition(SERVED)
    if served:
        return storage_filename.endswith(f"/{unquote(path, errors='surrogateescape')}")
    return uri.partition("://")[2].partition("/")[2] == storage_filename


def planned(update: TaskUpdate, data: Json, meta: Any, *, worked_on: bool) -> Change | None:
    """Return what an update makes of a task with this data and `meta`; None if the task is to be left alone.

    :param data: needed only if the update merges its data.
    :param worked_on: whether it has an annotation or a draft.
    """
    before: Json = meta if isinstance(meta, dict) else {}
    begun = effect_of(before) == effect_of(update.meta) != ""
    if worked_on and update.data is not None and not begun:
        return None
    new_meta = before | update.meta
    keeps_back = bool(update.annotations) and (held_back(before) if begun else worked_on)
    adds_annotations = bool(update.annotations) and not keeps_back
    if isinstance(reference := update.meta.get("labelsync"), dict):
        # What annotations there were stay noted with who made them, unless others are added.
        unknown = (reference if adds_annotations else reference_of(before)).get(UNKNOWN)
        new_meta["labelsync"] = (
            {name: value for name, value in reference.items() if name != UNKNOWN}
            | ({UNKNOWN: unknown} if unknown else {})
            | ({HELD_BACK: True} if keeps_back else {})
            | ({OF_OTHERS: True} if _is_of_others(before) else {})
        )
    new_data = data | update.data if update.data is not None and update.merge_data else update.data
    return Change("in_part" if keeps_back else "updated", new_data, new_meta, adds_annotations, begun)


def prediction_changes(
    there: Sequence[Json], given: Sequence[Json], content: Callable[[Json], tuple[str | None, bytes]]
) -> tuple[list[Json], list[Json]]:
    """Return the predictions to be removed and those to be added; an equal one stays, and so do those of other models.

    :param content: returns the model version of a prediction, and what else counts of it.
    """
    versions = {content(prediction)[0] for prediction in given}
    removed = [prediction for prediction in there if content(prediction)[0] in versions]
    added = []
    for prediction in given:
        equal = next((n for n, other in enumerate(removed) if content(other) == content(prediction)), None)
        if equal is None:
            added.append(prediction)
        else:
            del removed[equal]
    return removed, added


def canonical(value: Any) -> bytes:
    """Return the same for equal JSON values only: to Python, 1 and true are equal."""
    return msgspec.json.encode(value, order="sorted")


def number(value: Any) -> Any:
    """Return what a store makes of a number that is given as a text or an integer; anything else as it is."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _text(meta: Any, name: str) -> str | None:
    """Return a text from a source reference; what others put at its place in `meta` is none."""
    value = reference_of(meta).get(name)
    return value if isinstance(value, str) else None
