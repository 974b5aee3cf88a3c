"""Annotation files: what an export writes for an annotation, or for a task.

The fields are those that Label Studio's own target storages write (guide "Sync data from external
storage", Set up target storage), less `created_ago`, which would change with every look. Before them stands a note, by
which an export recognises what it has written. Bytes depend on nothing but the annotation, its task and this note.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from json import JSONDecoder, dumps
from string import Formatter
from typing import Literal

import msgspec

from labelsync_provider.errors import Invalid, invalid
from labelsync_provider.tasks import Json

Layout = Literal["annotation", "task"]
KeyRenderer = Callable[..., str]

KEY_TEMPLATES: dict[Layout, str] = {"annotation": "{annotation_id}.json", "task": "{task_id}.json"}
KEY_FIELDS: dict[Layout, set[str]] = {
    "annotation": {"annotation_id", "task_id", "project_id"},
    "task": {"task_id", "project_id"},
}

NOTE = "labelsync"
"""The key of the note, which is the first of a file."""
LONGEST_NOTE = 16 * 1024
"""In bytes; a title or a key template has no such length."""

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


class Note(msgspec.Struct, frozen=True):
    """Which export wrote a file."""

    project: str
    """The project's `uri`."""
    project_created_at: str
    """Another project of this uri, on a server that was set up anew, was created at another time."""
    layout: Layout
    key_template: str

    def is_of_project(self, other: "Note") -> bool:
        """Tell whether two exports are of one project."""
        return (self.project, self.project_created_at) == (other.project, other.project_created_at)


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """One object to be exported."""

    key: str
    encode: Callable[[], bytes]
    """Returns its content, which is not kept: each file of a task holds all of the task's data."""
    task: int
    annotations: int
    """How many of them it holds."""


def key_template_of(template: str | None, layout: Layout) -> str:
    """Return the key template of an export: the layout's own, if none was given."""
    return KEY_TEMPLATES[layout] if template is None else template


def key_renderer(template: str | None, layout: Layout) -> KeyRenderer:
    """Return the function that makes keys, of `annotation_id` (layout "annotation"), `task_id`, `project_id`.

    :raises Invalid: the template has other fields, leads out of the target, or gives two objects one key.
    """
    template = key_template_of(template, layout)
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
    times = sum(name is not None for _, name, _, _ in parsed)
    if any(text.isdecimal() or not text for text in between[: times - 1]):
        raise invalid("key_template", template, "objects could share a key", "Put a '-' or a '/' between two fields.")
    parts = template.format(annotation_id=1, task_id=1, project_id=1).split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in template:
        remedy = "Use names joined by '/', without '.', '..' or empty ones."
        raise invalid("key_template", template, "leads out of the target, or is no path in it", remedy)
    return template.format


def annotation_files(task: Json, note: Note, key: KeyRenderer, *, include_cancelled: bool) -> Iterator[AnnotationFile]:
    """Yield the objects to be exported of a task in Label Studio's JSON export format."""
    annotations = [item for item in task["annotations"] if include_cancelled or not item["was_cancelled"]]
    ids = {"task_id": task["id"], "project_id": task["project"]}
    if note.layout == "task" and annotations:
        encode = partial(_encode, note, {**task, "annotations": annotations})
        yield AnnotationFile(key(**ids), encode, task["id"], len(annotations))
    elif note.layout == "annotation":
        nested = {name: task.get(name) for name in NESTED_TASK_FIELDS}
        for annotation in annotations:
            fields = {name: value for name, value in annotation.items() if name not in NOT_IN_ANNOTATION_LAYOUT}
            fields.setdefault("created_username", _username(annotation))
            encode = partial(_encode, note, {**fields, "task": nested})
            yield AnnotationFile(key(annotation_id=annotation["id"], **ids), encode, task["id"], 1)


# --- recognise ---

NOT_OURS = "it is no file of this exporter"


class _Task(msgspec.Struct):
    id: int


class _File(msgspec.Struct):
    """What tells what a file holds, of an annotation or of a task."""

    labelsync: Note
    id: int
    project: int
    task: _Task | None = None
    annotations: list[msgspec.Raw] = []


@dataclass(frozen=True, slots=True)
class Written:
    """What a file of this exporter is."""

    note: Note
    task: int
    annotations: int


def check_note(start: bytes, this: Note) -> None:
    """Make sure, by how an object begins, that it may be a file of an export of a project.

    :param start: at least its first `LONGEST_NOTE` bytes.
    :raises Invalid: it is none.
    """
    before = f'{{"{NOTE}":'.encode()
    if not start.startswith(before):
        raise Invalid(NOT_OURS)
    try:
        said, _ = JSONDecoder().raw_decode(start[len(before) : LONGEST_NOTE].decode("utf-8", "ignore"))
        note = msgspec.convert(said, Note)
    except (ValueError, msgspec.ValidationError, RecursionError):
        raise Invalid(NOT_OURS) from None
    _check_project(note, this)


def recognised(key: str, content: bytes, this: Note) -> Written:
    """Return what a file is of which an export of this project wrote, under this very key, the like.

    :raises Invalid: it is no such file.
    """
    try:
        # Nothing else is made of it: whatever stands in a target, it takes no more memory than its bytes.
        file = msgspec.json.decode(content, type=_File)
        render = key_renderer(file.labelsync.key_template, file.labelsync.layout)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Invalid):
        raise Invalid(NOT_OURS) from None
    _check_project(file.labelsync, this)
    ids = {"task_id": file.id, "project_id": file.project}
    if file.labelsync.layout == "annotation":
        if file.task is None:
            raise Invalid(NOT_OURS)
        ids = {"annotation_id": file.id, "task_id": file.task.id, "project_id": file.project}
    if not all(0 < number < 2**63 for number in ids.values()):
        raise Invalid(NOT_OURS)
    if render(**ids) != key:
        raise Invalid(f"it is a copy of {render(**ids)}")
    return Written(file.labelsync, ids["task_id"], len(file.annotations) if file.labelsync.layout == "task" else 1)


def _check_project(note: Note, this: Note) -> None:
    if note.project != this.project:
        raise Invalid(f"it belongs to {note.project}{_if_moved(note, this)}")
    if not note.is_of_project(this):
        raise Invalid(f"it belongs to another project of this name, created at {note.project_created_at}")


def _if_moved(note: Note, this: Note) -> str:
    """Return what to do if the project of a note is this one, at another address."""
    if note.project_created_at != this.project_created_at:
        return ""
    server = dumps({"server": note.project.rpartition("/projects/")[0]})
    return (
        f", created at the same time; if that is no copy and its server has moved here, set {server} in the extra of "
        "the Label Studio connection"
    )


def _encode(note: Note, value: Json) -> bytes:
    # The note comes first, so that the start of an object tells whose it is.
    return b'{"%s":%s,%s' % (NOTE.encode(), msgspec.json.encode(note), msgspec.json.encode(value, order="sorted")[1:])


def _username(annotation: Json) -> str:
    """Name the annotator as Label Studio does: "Ann Lee ann@example.com, 7"."""
    user = annotation.get("completed_by")
    if not isinstance(user, dict):
        return "" if user is None else str(user)
    names = (user.get("first_name"), user.get("last_name"), user.get("email"))
    return ", ".join(filter(None, [" ".join(filter(None, names)), str(user.get("id", ""))]))
