"""Rows: what formats make of the content of a task file, and how much a row may be."""

from collections.abc import Collection
from typing import Any

import msgspec

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.kinds import kind_of
from labelsync_provider.tasks import Json, Task, shown_keys

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
    line: int | None = None
    """Where it begins, counted from 1, if the format has lines and the row a key."""


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
    """Return the data with a name for what has none: at the end, as the server puts it.

    :raises Invalid: something else has that name.
    """
    if first_key is None:
        return data
    if first_key in data:
        raise Invalid(f"bad row: {both_named(first_key)}")
    return {name: value for name, value in data.items() if name != UNDEFINED} | {first_key: data[UNDEFINED]}


def both_named(first_key: str) -> str:
    """Say that `$undefined$` stands beside what it stands for: the server would keep one of the two."""
    return (
        f"it has {UNDEFINED!r} and {first_key!r}, and the former is Label Studio's name for the first data key of the "
        "label config, which is the latter. Take one of them out, or give it another name"
    )


def key_of(found: Any, row_key: str, names: Collection[str]) -> str:
    """Return what tells a row from the others of its file.

    :param found: what stands in the field `row_key`.
    :param names: of the fields that the row has.
    :raises Invalid: it can tell none apart.
    """
    if found is None:
        problem = f"it is missing or null; the row has {shown_keys(names)}"
    elif found == "":
        problem = "it is empty"
    elif isinstance(found, str) and "\0" in found:
        problem = "a NUL character is in it"
    elif isinstance(found, int) and abs(found) >= 2**63:
        problem = "it has more than 64 bits. Write it as a text"
    elif isinstance(found, str | int) and not isinstance(found, bool):
        return str(found)
    else:
        problem = f"it is {kind_of(found)}"
    raise Invalid(f"bad row: its {row_key!r} (row_key) must be a text or a whole number, {problem}")
