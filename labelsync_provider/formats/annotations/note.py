"""The note: what stands first in an exported object, and tells which export wrote it."""

from json import JSONDecoder, dumps

import msgspec

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.annotations.layout import LayoutName

NOTE = "labelsync"
"""The key of the note, which is the first of an object."""
LONGEST_NOTE = 16 * 1024
"""In bytes; a title or a key template has no such length."""


class Note(msgspec.Struct, frozen=True):
    """Which export wrote a file."""

    project: str
    """The project's `uri`."""
    project_created_at: str
    """Another project of this uri, on a server that was set up anew, was created at another time."""
    layout: LayoutName
    key_template: str

    def is_of_project(self, other: "Note") -> bool:
        """Tell whether two exports are of one project."""
        return (self.project, self.project_created_at) == (other.project, other.project_created_at)


NOT_OURS = "it is no file of this exporter"


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
    check_project(note, this)


def check_project(note: Note, this: Note) -> None:
    """Make sure that a note is of an export of this project.

    :raises Invalid: it is another's.
    """
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
