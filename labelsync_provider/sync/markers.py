"""Markers: objects that tools leave beside what they write, and that hold nothing to be labelled."""

from labelsync_provider.storages.protocol import ObjectInfo

NAMES = ("/_SUCCESS", "/.keep", "/.gitkeep", "/Thumbs.db", "/desktop.ini", "/.DS_Store", "_$folder$")
"""Of Spark and Hadoop, of git, and of Windows and macOS."""
ENDS = tuple(name.lstrip("/") for name in NAMES)


def is_marker(info: ObjectInfo, *, of_files: bool) -> bool:
    """Tell whether an object is a marker: by its name, if it is a file's, or because nothing is in it."""
    if not info.size:
        return info.problem is None
    return of_files and has_name_of_marker(info.key)


def has_name_of_marker(key: str) -> bool:
    """Tell whether a key is one that tools give to what they leave."""
    # To put a slash in front takes as long as the whole rest, for each of millions.
    return key.endswith(ENDS) and f"/{key}".endswith(NAMES)
