"""Scanning a database for the keys that begin with a path, in no order, and some more than once.

Rule: https://redis.io/docs/latest/commands/scan
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from labelsync_provider.errors import Unavailable
from labelsync_provider.stop import Stop
from labelsync_provider.storages.going_on import GoingOn
from labelsync_provider.storages.keys import listed_key

SCANNED_AT_ONCE = 1000
NOT_UTF8 = "its key is not UTF-8; rename it"

Scan = Callable[[int], tuple[int, Sequence[bytes]]]
"""Takes a cursor; returns the next one, which is 0 at the end, and some keys."""


def scanned(client: Any, path: str, stop: Stop, uri: str) -> Iterator[str]:
    """Yield keys; behind one that is listed by another stands a NUL, and what is wrong with it.

    :param client: of one server, or of a cluster, whose primaries are scanned one after the other.
    :param uri: of the storage, to be named in errors.
    :raises Unavailable: the scan does not come to an end.
    """
    match = _literally(path)
    if not hasattr(client, "get_primaries"):
        yield from _scanned(lambda cursor: client.scan(cursor, match, SCANNED_AT_ONCE), stop, uri)
        return
    for node in client.get_primaries():
        yield from _scanned(partial(_scan_node, client, node, match), stop, uri)


def _scan_node(client: Any, node: Any, match: bytes, cursor: int) -> tuple[int, Sequence[bytes]]:
    cursors, keys = client.scan(cursor, match, SCANNED_AT_ONCE, target_nodes=node)
    return cursors[node.name], keys


def _scanned(scan: Scan, stop: Stop, uri: str) -> Iterator[str]:
    cursor, going_on = 0, GoingOn()
    while True:
        stop.check()
        cursor, keys = scan(cursor)
        yield from map(_listed, keys)
        if not cursor:
            return
        if going_on.is_round(cursor):
            raise Unavailable(f"{uri}: cannot list keys: the scan does not go on, cursor {cursor} came before.")


def _listed(raw: bytes) -> str:
    """Return the key to list a value by; behind one that is not its own stands a NUL, and what is wrong."""
    try:
        key, problem = listed_key(raw.decode())
    except UnicodeDecodeError:
        key, problem = listed_key(raw.decode("utf-8", "backslashreplace"))[0], NOT_UTF8
    return f"{key}\0{problem}" if problem else key


def _literally(path: str) -> bytes:
    """Return the pattern of keys that begin with a path, whatever characters it has."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", path).encode() + b"*"
