"""Names: what the name of an object tells of what is in it. Only files have names; the values of a database do not."""

from collections.abc import Callable

from labelsync_provider.formats.tasks import files as task_files
from labelsync_provider.storages.protocol import HoldsFiles, ObjectInfo, Target

MARKERS = ("/_SUCCESS", "/.keep", "/.gitkeep", "/Thumbs.db", "/desktop.ini", "/.DS_Store", "_$folder$")
"""What tools leave beside what they write: Spark and Hadoop, git, Windows and macOS."""
ENDS = tuple(name.lstrip("/") for name in MARKERS)


def markers_of(storage: Target) -> Callable[[ObjectInfo], bool]:
    """Return what tells whether an object is a marker, in which nothing is to be labeled: by its name, or its size."""
    return _is_marked_file if isinstance(storage, HoldsFiles) else _is_empty


def _is_marked_file(info: ObjectInfo) -> bool:
    return has_name_of_marker(info.key) if info.size else info.problem is None


def _is_empty(info: ObjectInfo) -> bool:
    return not info.size and info.problem is None


def has_name_of_marker(key: str) -> bool:
    """Tell whether a key is one that tools give to what they leave."""
    # To put a slash in front takes as long as the whole rest, for each of millions.
    return key.endswith(ENDS) and f"/{key}".endswith(MARKERS)


def name_of(storage: Target, key: str) -> str:
    """Return the name of an object, which tells what is in it; empty if it has none."""
    # Of each of millions of objects; and Python 3.11 takes longer over a protocol than a row takes to be parsed.
    file_name = getattr(storage, "file_name", None)
    return file_name(key) if file_name else ""


def name_problem(storage: Target, key: str) -> str | None:
    """Return why an object of this key is no task file, if its name says so."""
    return task_files.name_problem(name_of(storage, key))
