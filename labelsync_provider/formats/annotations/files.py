"""Annotation files: what an export writes of a task, and how it knows its own.

Before what the layout says stands a note, by which an export recognises what it has written. Bytes depend on nothing
but the annotation, its task and this note.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import msgspec

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.annotations.key_template import KeyRenderer, key_renderer
from labelsync_provider.formats.annotations.note import NOT_OURS, NOTE, Note, check_project
from labelsync_provider.formats.annotations.registry import LAYOUTS
from labelsync_provider.tasks import Json


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """One object to be exported."""

    key: str
    encode: Callable[[], bytes]
    """Returns its content, which is not kept in here: each file of a task holds all of the task's data."""
    task: int
    annotations: int
    """How many of them it holds."""


def annotation_files(task: Json, note: Note, key: KeyRenderer, *, include_cancelled: bool) -> Iterator[AnnotationFile]:
    """Yield the objects to be exported of a task in Label Studio's JSON export format."""
    annotations = [item for item in task["annotations"] if include_cancelled or not item["was_cancelled"]]
    for obj in LAYOUTS[note.layout].objects(task, annotations):
        yield AnnotationFile(key(**obj.ids), partial(_encode, note, obj.content), task["id"], obj.annotations)


@dataclass(frozen=True, slots=True)
class Written:
    """What a file of this exporter is."""

    note: Note
    task: int
    annotations: int


class _Noted(msgspec.Struct):
    labelsync: Note


def recognised(key: str, content: bytes, this: Note) -> Written:
    """Return what a file is of which an export of this project wrote, under this very key, the like.

    :raises Invalid: it is no such file.
    """
    try:
        note = msgspec.json.decode(content, type=_Noted).labelsync
        render = key_renderer(note.key_template, note.layout)
        ids, annotations = LAYOUTS[note.layout].recognise(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Invalid):
        raise Invalid(NOT_OURS) from None
    check_project(note, this)
    if not all(0 < number < 2**63 for number in ids.values()):
        raise Invalid(NOT_OURS)
    if render(**ids) != key:
        raise Invalid(f"it is a copy of {render(**ids)}")
    return Written(note, ids["task_id"], annotations)


def _encode(note: Note, value: Json) -> bytes:
    # The note comes first, so that the start of an object tells whose it is.
    return b'{"%s":%s,%s' % (NOTE.encode(), msgspec.json.encode(note), msgspec.json.encode(value, order="sorted")[1:])
