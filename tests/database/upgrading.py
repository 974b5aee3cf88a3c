"""Upgrades of a schema in processes of their own: killed at each statement, or begun side by side.

Run as a script, since only a process without threads may fork:
`upgrading.py killed|side_by_side URL MIGRATIONS NEWEST`.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine.default import DefaultDialect

from labelsync_provider.database import open_database, schema

PROCESSES = 4

SQLITE = "SELECT type, name, sql FROM sqlite_master WHERE name LIKE 'labelsync%' ORDER BY name"
POSTGRESQL = [
    # Columns: type, nullable, collation, default.
    """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname,
              pg_get_expr(d.adbin, d.adrelid)
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_collation l ON l.oid = a.attcollation
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relname LIKE 'labelsync%' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
       ORDER BY c.relname, a.attnum""",
    "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'labelsync%' ORDER BY indexname",
    """SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
       WHERE c.relname LIKE 'labelsync%' ORDER BY c.relname, k.conname""",
]


def described(engine: Engine) -> list[list[Any]]:
    """Return all that the database itself knows of our tables."""
    queries = [SQLITE] if engine.dialect.name == "sqlite" else POSTGRESQL
    with engine.connect() as connection:
        rows = [list(row) for query in queries for row in connection.execute(text(query))]
    # SQLite keeps the text of a statement, with the line breaks of whoever wrote it.
    return [[re.sub(r"\s+", " ", value) if isinstance(value, str) else value for value in row] for row in rows]


def _in_child(work: Callable[[], int]) -> int:
    if pid := os.fork():
        return pid
    try:
        os._exit(work())
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(99)


def _ensure(url: str) -> int:
    """Return 1 if this process upgraded, 0 if another one had done so."""
    return schema.ensure_schema(open_database(url)) != schema.NEWEST


def _kill_at(instant: int) -> None:
    """Have this process killed at the n-th of these instants: before each statement, before and after each commit."""
    passed = 0

    def reached() -> None:
        nonlocal passed
        passed += 1
        if passed == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("do_execute", "do_executemany", "do_commit"):
        original = getattr(DefaultDialect, name)

        @wraps(original)
        def call(*args: Any, original: Any = original, **kwargs: Any) -> None:
            reached()
            original(*args, **kwargs)
            if original.__name__ == "do_commit":
                reached()

        setattr(DefaultDialect, name, call)


def killed(url: str) -> list[Any]:
    """Kill an upgrade at its first instant, the next at its second and so on; return what stands there after each."""
    after: list[Any] = []
    ended = False
    while not ended:

        def upgrade(instant: int = len(after) + 1) -> int:
            _kill_at(instant)
            return _ensure(url)

        status = os.waitpid(_in_child(upgrade), 0)[1]
        ended = not os.WIFSIGNALED(status)
        assert not ended or os.WEXITSTATUS(status) == 0, status
        engine = open_database(url)
        after.append(described(engine))
        engine.dispose()
    return after


def side_by_side(url: str) -> list[int]:
    """Begin several upgrades at once; return, for each, whether it was the one that did it."""
    gate, opener = os.pipe()

    def upgrade() -> int:
        os.close(opener)
        os.read(gate, 1)
        return _ensure(url)

    children = [_in_child(upgrade) for _ in range(PROCESSES)]
    os.close(opener)
    return [os.WEXITSTATUS(os.waitpid(pid, 0)[1]) for pid in children]


if __name__ == "__main__":
    what, url, migrations, newest = sys.argv[1:]
    schema.MIGRATIONS, schema.NEWEST = Path(migrations), newest
    import alembic.command  # noqa: F401  once, not in every child

    print(json.dumps({"killed": killed, "side_by_side": side_by_side}[what](url)))
