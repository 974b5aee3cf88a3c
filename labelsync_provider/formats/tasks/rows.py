"""Rows: what formats make of the content of a task file, and how much a row may be."""

from typing import Any

import msgspec

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.kinds import kind_of
from labelsync_provider.tasks import Json, Task

MAX_ROW_BYTES = 16 * 1024 * 1024
MAX_VALUES = 1_000_000
"""Objects, arrays, texts, numbers and so on in a row. Each takes some 60 bytes in memory, and 2 in a file."""

UNDEFINED = "$undefined$"
"""What Label Studio takes for the first data key of the label config: data that came without a name."""
EMPTY = "empty: a task file holds at least one row"


class Row(msgspec.Struct, gc=False):
    """A task, and where in its file it stands."""

    position: int
    """Counted from 0."""
    task: Task
    digest: str
    """Of the content, however it is formatted; see `digest_of`."""
    key: str | None
    """The value of `row_key`, if one is asked for."""
    size: int
    """In bytes, as in the file."""
    ignored: tuple[str, ...] = ()
    """Keys beside `data` that mean nothing here, and hold something."""


class BadRow(msgspec.Struct, gc=False):
    """A row that is no task."""

    position: int
    reason: str
    swallows: bool = False
    """Other rows may be in it: what is malformed does not say for certain where it ends."""


def oversized(size: int) -> str:
    """Say that a row is too large.

    :param size: in bytes.
    """
    return f"oversized row: {size:,} bytes; a row may have {MAX_ROW_BYTES:,}. Make several of it"


def named(data: Json, first_key: str | None) -> Json:
    """Return the data with a name for what has none: at the end, as the server puts it."""
    if first_key is not None:
        data[first_key] = data.pop(UNDEFINED)
    return data


def key_of(found: Any, row_key: str) -> str:
    """Return what tells a row from the others of its file.

    :param found: what stands in the field `row_key`.
    :raises Invalid: it can tell none apart.
    """
    usable = isinstance(found, str | int) and not isinstance(found, bool) and found != ""
    if not usable or ("\0" in found if isinstance(found, str) else abs(found) >= 2**63):
        raise Invalid(f"bad row: its {row_key!r} (row_key) must be a text or a whole number, it is {kind_of(found)}")
    return str(found)
