"""Statements that enter what an import did, within the transaction of whoever calls."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple, replace
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from labelsync_provider.database import chunks, upsert_rows
from labelsync_provider.sync.ledger.records import OPEN, Changes, JournalEntry, KnownObject, KnownRow
from labelsync_provider.sync.ledger.scope import IN_A_STATEMENT
from labelsync_provider.sync.ledger.tables import JOURNAL, OBJECT, QUARANTINE, ROW, SCOPE

CHANGEABLE = ("state", "position", "digest", "key")
"""What can become of a row that is known, besides that its task is gone."""

# They are the same for every batch: to put one together takes longer than to execute it.
OF_PROJECT = select(SCOPE.c.id).where(SCOPE.c.project == bindparam("project"))
HIGHEST_TASK = select(func.max(ROW.c.task)).where(ROW.c.scope.in_(OF_PROJECT))
ANNOUNCED = insert(JOURNAL).returning(JOURNAL.c.id)
CLOSED = delete(JOURNAL).where(JOURNAL.c.id == bindparam("number"))


def these(table: Table, scope: int, as_blob: bool, paths: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return the conditions for what is known of some objects."""
    return [table.c.scope == scope, table.c.as_blob == as_blob, table.c.path.in_(paths)]


def enter_changes(connection: Connection, scope: int, as_blob: bool, changes: Changes) -> None:
    """Enter what became of rows, objects and quarantine."""
    _drop(connection, scope, as_blob, changes.dropped)
    _change(connection, scope, as_blob, list(changes.changed.values()))
    upsert_rows(connection, ROW, map(astuple, _by_latest_task(changes.created)), scope=scope, as_blob=as_blob)
    for some in chunks(changes.cleared, IN_A_STATEMENT):
        connection.execute(delete(QUARANTINE).where(*these(QUARANTINE, scope, as_blob, some)))
    upsert_rows(connection, OBJECT, map(astuple, changes.objects.values()), scope=scope, as_blob=as_blob)
    upsert_rows(connection, QUARANTINE, map(astuple, changes.quarantine), scope=scope, as_blob=as_blob)


def _by_latest_task(created: Sequence[KnownRow]) -> Sequence[KnownRow]:
    """Return rows so that no two have one task: of the earlier one it is gone, and its id was given again."""
    latest = {row.task: row for row in created}
    if len(latest) == len(created):
        return created
    return [row if latest[row.task] is row else replace(row, task=None) for row in created]


def _change(connection: Connection, scope: int, as_blob: bool, rows: Sequence[KnownRow]) -> None:
    if not rows:
        return
    this = update(ROW).where(*_numbered(scope, as_blob))
    # Rows change places with each other: all leave theirs before one takes a new one.
    leaves = this.values(position=None)
    for some in chunks(rows, IN_A_STATEMENT):
        connection.execute(leaves, [_number(row) for row in some])
    # A task that is known to be gone by now does not come back: another one may have its id.
    gone = case((bindparam("its_task", type_=BigInteger).is_(None), None), else_=ROW.c.task)
    now = this.values({name: bindparam(f"its_{name}") for name in CHANGEABLE} | {"task": gone})
    for some in chunks(rows, IN_A_STATEMENT):
        changed = [{f"its_{name}": getattr(row, name) for name in (*CHANGEABLE, "task")} | _number(row) for row in some]
        connection.execute(now, changed)


def _drop(connection: Connection, scope: int, as_blob: bool, rows: Sequence[KnownRow]) -> None:
    if rows:
        # A row that has another task by now stays.
        same = ROW.c.task.is_(None) | (ROW.c.task == bindparam("its_task", type_=BigInteger))
        numbers = [_number(row) | {"its_task": row.task} for row in rows]
        connection.execute(delete(ROW).where(*_numbered(scope, as_blob), same), numbers)


def _numbered(scope: int, as_blob: bool) -> list[ColumnElement[bool]]:
    this = [ROW.c.path == bindparam("its_path"), ROW.c.number == bindparam("its_number")]
    return [ROW.c.scope == scope, ROW.c.as_blob == as_blob, *this]


def _number(row: KnownRow) -> dict[str, Any]:
    return {"its_path": row.path, "its_number": row.number}


def highest_task(connection: Connection, project: str) -> int:
    """Return the highest id of a task of the project, from whatever container."""
    return connection.scalar(HIGHEST_TASK, {"project": project}) or 0


def mark_ids_reused(connection: Connection, project: str, task_ids: Sequence[int]) -> None:
    """Enter that the tasks which had these ids are gone: on SQLite, Label Studio gives their ids again."""
    scopes = select(SCOPE.c.id).where(SCOPE.c.project == project)
    for some in chunks(task_ids, IN_A_STATEMENT):
        connection.execute(update(ROW).where(ROW.c.scope.in_(scopes), ROW.c.task.in_(some)).values(task=None))


def announce(connection: Connection, scope: int, as_blob: bool, entry: JournalEntry) -> int:
    """Enter effects that are about to be requested; return the number of the announcement."""
    values = {
        "scope": scope,
        "as_blob": as_blob,
        "kind": entry.kind,
        "effects": msgspec.json.encode(entry.effects).decode(),
        "after_task": entry.after_task,
    }
    return connection.scalar(ANNOUNCED, values) or 0


def close(connection: Connection, numbers: Sequence[int]) -> None:
    """Remove announcements whose outcome is known."""
    if numbers:
        connection.execute(CLOSED, [{"number": number} for number in numbers])


def reopen(connection: Connection, scope: int, as_blob: bool, paths: Iterable[str]) -> None:
    """Have objects looked at again by the next comparison, and known where they were not."""
    for some in chunks(sorted(set(paths)), IN_A_STATEMENT):
        at = these(OBJECT, scope, as_blob, some)
        connection.execute(update(OBJECT).where(*at).values(state=OPEN))
        known = set(connection.scalars(select(OBJECT.c.path).where(*at)))
        unknown = [astuple(KnownObject(path, None, OPEN, 0, 0, None)) for path in some if path not in known]
        upsert_rows(connection, OBJECT, unknown, scope=scope, as_blob=as_blob)


def forget(connection: Connection, scope: int, as_blob: bool, paths: Iterable[str]) -> None:
    """Forget what is known of objects that are gone, but for the rows whose task is left."""
    of_object = [ROW.c[name] == OBJECT.c[name] for name in ("scope", "as_blob", "path")]
    for some in chunks(paths, IN_A_STATEMENT):
        at = these(OBJECT, scope, as_blob, some)
        connection.execute(delete(OBJECT).where(*at, ~exists().where(*of_object)))
        connection.execute(delete(QUARANTINE).where(*these(QUARANTINE, scope, as_blob, some)))
        look_again = {"state": OPEN, "quarantined": 0, "judged_by": None}
        connection.execute(update(OBJECT).where(*at).values(look_again))
