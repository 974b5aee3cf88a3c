"""Redis, as Label Studio is told of it: a single server, without TLS, and with no more than a password."""

import re
from urllib.parse import urlsplit

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import invalid
from labelsync_provider.projects.label_studio.storage_types.kind import Direction, Fields, Kind, Location, Login, text

SINGLE = "Name a connection to a single server, without TLS, and with no more than a password."


def told(access: StorageAccess) -> tuple[Location, Login]:
    """Return where the database is, and its password.

    :raises Invalid: it is database 0, which Label Studio takes for none, or a cluster, or the connection logs in by TLS
        or as a user.
    """
    if access.is_cluster:
        raise invalid(
            "storage", access.uri, f"{access.login} is to a cluster, which Label Studio does not know", SINGLE
        )
    if access.container == "0":
        raise invalid("storage", access.uri, "Label Studio takes database 0 for none", "Use a database from 1.")
    server = urlsplit(access.endpoint)
    if server.scheme == "rediss":
        what = f"{access.login} speaks TLS, which Label Studio does not with Redis"
        raise invalid("storage", access.uri, what, SINGLE)
    if access.account not in ("", "default"):
        what = f"{access.login} logs in as {access.account!r}, and Label Studio knows no users of Redis"
        raise invalid("storage", access.uri, what, SINGLE)
    where: Location = {
        "host": server.hostname or "",
        "port": str(server.port),
        "db": int(access.container),
        "path": access.path,
    }
    return where, {"password": access.secret}


def _place(fields: Fields, direction: Direction) -> tuple[str, ...]:
    server = text(fields, "host", "localhost"), text(fields, "port", "6379"), text(fields, "db")
    # Label Studio writes beside the path, not below it.
    return server if direction == "export" else (*server, text(fields, "path"))


def _uri(fields: Fields) -> str:
    host, port, db, path = _place(fields, "import")
    return f"redis://{host}:{port}/{db}/{path}"


def _start(fields: Fields) -> tuple[str, str]:
    return f"redis://{fields.get('db') or 0}", text(fields, "path")


def _problem(fields: Fields, direction: Direction) -> tuple[str, str] | None:
    path = text(fields, "path")
    if direction == "export" and path:
        what = "Label Studio ignores the path: it writes each annotation to the key that is its id"
        return what, "Leave the path out, and use a database that holds nothing else."
    if direction == "import" and re.search(r"[*?\[\]\\]", path):
        what = "Label Studio takes the path for a pattern, in which * ? [ ] and \\ mean something else"
        return what, "Use a path without them."
    return None


KIND = Kind("redis", "redis", told, _place, _uri, _start, shows=None, problem=_problem, selects=False)
