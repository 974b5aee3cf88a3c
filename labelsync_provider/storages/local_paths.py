"""What names a local directory: a path or a `file://` URI, and where that is below the document root."""

import os
from urllib.parse import unquote, urlsplit

from labelsync_provider.errors import check_ends, invalid


def local_path(parameter: str, uri: str) -> str:
    """Return the path that a storage URI names, without `.`, `..` and doubled slashes.

    :param parameter: what gave the URI, to be named in errors.
    :raises Invalid: it names no absolute local path.
    """
    remedy = "Use /absolute/directory, or file:///absolute/directory."
    check_ends(parameter, uri)  # of a file's name, a blank at an end can be written %20
    path = uri
    if not uri.startswith("/"):
        parts = urlsplit(uri)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise invalid(parameter, uri, "not an absolute local path", remedy)
        if parts.query or parts.fragment:
            raise invalid(parameter, uri, "'?' and '#' in a URI's path must be written %3F and %23", remedy)
    if "\0" in path:
        raise invalid(parameter, uri, "a path cannot hold a NUL character", remedy)
    return os.path.normpath("/" + path.lstrip("/"))


def relative(directory: str, root: str) -> str | None:
    """Return the path of a directory relative to a root; None if it is not below. Nothing is looked at."""
    inside = directory == root or directory.startswith(root.rstrip("/") + "/")
    return os.path.relpath(directory, root) if inside else None
