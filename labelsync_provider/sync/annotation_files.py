"""Annotation files: what an export writes for an annotation, or for a task.

The fields are those that Label Studio's own target storages write (guide "Sync data from external
storage", Set up target storage), less `created_ago`, which would change with every look. Bytes depend on
nothing but the annotation and its task.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from string import Formatter
from typing import Literal

import msgspec

from labelsync_provider.errors import Invalid, invalid
from labelsync_provider.projects.protocol import Json

Layout = Literal["annotation", "task"]
KeyRenderer = Callable[..., str]

KEY_TEMPLATES: dict[Layout, str] = {"annotation": "{annotation_id}.json", "task": "{task_id}.json"}
KEY_FIELDS: dict[Layout, set[str]] = {
    "annotation": {"annotation_id", "task_id", "project_id"},
    "task": {"task_id", "project_id"},
}

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


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """One object to be exported."""

    key: str
    content: bytes
    task: int
    annotations: int
    """How many of them it holds."""


def key_renderer(template: str | None, layout: Layout) -> KeyRenderer:
    """Return the function that makes keys, of `annotation_id` (layout "annotation"), `task_id`, `project_id`.

    :raises Invalid: the template has other fields, leads out of the target, or gives two objects one key.
    """
    template = KEY_TEMPLATES[layout] if template is None else template
    remedy = f"Use {', '.join('{' + name + '}' for name in sorted(KEY_FIELDS[layout]))} and text around them."
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise invalid("key_template", template, str(error), remedy) from error
    fields = {name for _, name, _, _ in parsed if name is not None}
    if unknown := fields - KEY_FIELDS[layout]:
        raise invalid("key_template", template, f"unknown field {sorted(unknown)[0]!r} for layout {layout!r}", remedy)
    if any(spec or conversion for _, _, spec, conversion in parsed):
        raise invalid("key_template", template, "fields take no format", remedy)
    if f"{layout}_id" not in fields:
        raise invalid("key_template", template, f"without {{{layout}_id}} objects would share a key", remedy)
    between = [text for (_, name, _, _), (text, *_) in pairwise(parsed) if name is not None]
    if any(text.isdecimal() or not text for text in between[: len(fields) - 1]):
        raise invalid("key_template", template, "objects could share a key", "Put a '-' or a '/' between two fields.")
    parts = template.format(annotation_id=1, task_id=1, project_id=1).split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in template:
        remedy = "Use names joined by '/', without '.', '..' or empty ones."
        raise invalid("key_template", template, "leads out of the target, or is no path in it", remedy)
    return template.format


def annotation_files(
    task: Json, layout: Layout, key: KeyRenderer, *, include_cancelled: bool
) -> Iterator[AnnotationFile]:
    """Yield the objects to be exported of a task in Label Studio's JSON export format."""
    annotations = [item for item in task["annotations"] if include_cancelled or not item["was_cancelled"]]
    ids = {"task_id": task["id"], "project_id": task["project"]}
    if layout == "task" and annotations:
        content = _encode({**task, "annotations": annotations})
        yield AnnotationFile(key(**ids), content, task["id"], len(annotations))
    elif layout == "annotation":
        nested = {name: task.get(name) for name in NESTED_TASK_FIELDS}
        for annotation in annotations:
            fields = {name: value for name, value in annotation.items() if name not in NOT_IN_ANNOTATION_LAYOUT}
            fields.setdefault("created_username", _username(annotation))
            content = _encode({**fields, "task": nested})
            yield AnnotationFile(key(annotation_id=annotation["id"], **ids), content, task["id"], 1)


class _Task(msgspec.Struct):
    id: int


class _File(msgspec.Struct):
    """What tells an export's own file, of an annotation or of a task."""

    id: int
    project: int
    created_at: str
    task: _Task | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """What an object in a target says that it carries."""

    task: int
    annotation: int | None
    """None: the whole task."""
    created_at: str


def carried(content: bytes, project: int) -> Carried:
    """Return what a file of an export of this project carries.

    :raises Invalid: it is no such file.
    """
    try:
        # Nothing else is made of it: whatever stands in a target, it takes no more memory than its bytes.
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("it is no file of this exporter") from error
    if file.project != project:
        raise Invalid(f"it belongs to project {file.project}")
    task, annotation = (file.task.id, file.id) if file.task else (file.id, None)
    if not 0 < task < 2**63:
        raise Invalid("it is no file of this exporter")
    return Carried(task, annotation, file.created_at)


def carries(task: Json, what: Carried) -> bool:
    """Tell whether a task of the project, or the annotation of it, is the very one that was exported."""
    if what.annotation is None:
        return bool(task["created_at"] == what.created_at)
    return any((item["id"], item["created_at"]) == (what.annotation, what.created_at) for item in task["annotations"])


def _encode(value: Json) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _username(annotation: Json) -> str:
    """Name the annotator as Label Studio does: "Ann Lee ann@example.com, 7"."""
    user = annotation.get("completed_by")
    if not isinstance(user, dict):
        return "" if user is None else str(user)
    names = (user.get("first_name"), user.get("last_name"), user.get("email"))
    return ", ".join(filter(None, [" ".join(filter(None, names)), str(user.get("id", ""))]))
