"""Local files, as Label Studio is told of them: the same path, on its own machine.

That must be below its `LOCAL_FILES_DOCUMENT_ROOT`, which is to be the Path of the `fs` connection.
"""

import os

from labelsync_provider.access import StorageAccess
from labelsync_provider.projects.label_studio.storage_types.kind import Direction, Fields, Kind, Location, Login, text


def is_below(directory: str, path: str | None) -> bool:
    """Tell whether a directory is another one, or below it; None is above nothing."""
    if not path:
        return False
    inside, above = os.path.normpath(directory), os.path.normpath(path)
    return inside == above or inside.startswith(above.rstrip("/") + "/")


def _told(access: StorageAccess) -> tuple[Location, Login]:
    return {"path": access.path}, {}


def _place(fields: Fields, direction: Direction) -> tuple[str, ...]:
    return (os.path.normpath(text(fields, "path").strip()),)


def _uri(fields: Fields) -> str:
    return f"file://{fields.get('path') or ''}"


def _start(fields: Fields) -> tuple[str, str]:
    return "file://", f"{os.path.normpath(text(fields, 'path', '/').strip()).rstrip('/')}/"


def _shows(fields: Fields, location: Fields) -> bool:
    return is_below(str(location["path"]), text(fields, "path"))


KIND = Kind("localfiles", "file", _told, _place, _uri, _start, _shows, deletes=True)
