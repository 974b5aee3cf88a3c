"""The layout "annotation": one object for each annotation, with its task.

The fields are those that Label Studio's own target storages write (guide "Sync data from external storage", Set up
target storage), less `created_ago`, which would change with every look.
"""

from collections.abc import Iterator, Sequence

import msgspec

from labelsync_provider.formats.annotations.layout import Ids, Layout, Object
from labelsync_provider.tasks import Json

NOT_IN_ANNOTATION_LAYOUT = frozenset({"unique_id", "prediction", "result_count"})
"""Label Studio leaves these out there, though its exports have them."""

NESTED_TASK_FIELDS = [
    "id",
    "data",
    "meta",
    "created_at",
    "updated_at",
    "is_labeled",
    "allow_skip",
    "overlap",
    "inner_id",
    "total_annotations",
    "cancelled_annotations",
    "total_predictions",
    "precomputed_agreement",
    "comment_count",
    "unresolved_comment_count",
    "last_comment_updated_at",
    "project",
    "updated_by",
    "file_upload",
    "comment_authors",
]


def objects(task: Json, annotations: Sequence[Json]) -> Iterator[Object]:
    """Yield an object for each annotation."""
    ids = {"task_id": task["id"], "project_id": task["project"]}
    nested = {name: task.get(name) for name in NESTED_TASK_FIELDS}
    for annotation in annotations:
        fields = {name: value for name, value in annotation.items() if name not in NOT_IN_ANNOTATION_LAYOUT}
        fields.setdefault("created_username", _username(annotation))
        yield Object({"annotation_id": annotation["id"], **ids}, {**fields, "task": nested}, 1)


class _Task(msgspec.Struct):
    id: int


class _Annotation(msgspec.Struct):
    id: int
    project: int
    task: _Task


def recognise(content: bytes) -> tuple[Ids, int]:
    """Return the ids of an annotation, its task and its project."""
    found = msgspec.json.decode(content, type=_Annotation)
    return {"annotation_id": found.id, "task_id": found.task.id, "project_id": found.project}, 1


def _username(annotation: Json) -> str:
    """Name the annotator as Label Studio does: "Ann Lee ann@example.com, 7"."""
    user = annotation.get("completed_by")
    if not isinstance(user, dict):
        return "" if user is None else str(user)
    names = (user.get("first_name"), user.get("last_name"), user.get("email"))
    return ", ".join(filter(None, [" ".join(filter(None, names)), str(user.get("id", ""))]))


LAYOUT = Layout(
    "annotation",
    "{annotation_id}.json",
    frozenset({"annotation_id", "task_id", "project_id"}),
    True,
    objects,
    recognise,
)
