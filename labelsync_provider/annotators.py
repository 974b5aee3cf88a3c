"""Annotators whom a server does not know: who they are goes along with the task.

An annotation of theirs goes in under another name. Who it was is noted in the task's source reference, by the
`import_id` of the annotation, which every store keeps and every export tells: so the next import knows it again.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

from labelsync_provider.tasks import Json, Task

UNKNOWN = "unknown_annotators"
"""The key in the source reference: a list of objects with `import_id` and `completed_by`."""


def note_unknown(task: Task, unknown: Sequence[Json]) -> None:
    """Take out of some annotations of a task who has made them, and note it in the task's source reference.

    :param unknown: those annotations. One whose `id` does not tell it apart gets another.
    """
    given = Counter(annotation.get("id") for annotation in task.annotations)
    free = (number for number in count(1) if number not in given)
    noted = []
    for annotation in unknown:
        if annotation.get("id") is None or given[annotation["id"]] > 1:
            annotation["id"] = next(free)
        noted.append({"import_id": annotation["id"], "completed_by": annotation.pop("completed_by")})
    if noted:
        task.meta.setdefault("labelsync", {})[UNKNOWN] = noted


def name_again(annotations: Sequence[Json], reference: Any) -> None:
    """Have annotations that were exported say who has made them, by what an import has noted.

    :param reference: the task's source reference; whatever else stands at its place says nothing.
    """
    noted = reference.get(UNKNOWN) if isinstance(reference, dict) else None
    if not isinstance(noted, list):
        return
    known = {
        one["import_id"]: one["completed_by"]
        for one in noted
        if isinstance(one, dict) and type(one.get("import_id")) is int and "completed_by" in one
    }
    for annotation in annotations:
        if annotation.get("import_id") in known:
            annotation["completed_by"] = known[annotation["import_id"]]
