"""The ledger as an import sees it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    update,
)

from labelsync_provider.database import chunks
from labelsync_provider.storages.location import Location
from labelsync_provider.sync.ledger import entering
from labelsync_provider.sync.ledger.records import (
    Change,
    Changes,
    Creation,
    Deletion,
    JournalEntry,
    KnownObject,
    KnownRow,
    QuarantinedRow,
    RowState,
)
from labelsync_provider.sync.ledger.scope import IN_A_STATEMENT, PAGE, Confirm, Scope, open_empty
from labelsync_provider.sync.ledger.tables import JOURNAL, OBJECT, QUARANTINE, ROW, STORAGE

EFFECTS = {"create": list[Creation], "update": list[Change], "delete": list[Deletion]}
KNOWN_OBJECTS = select(*(OBJECT.c[name] for name in KnownObject._fields))
KNOWN_ROWS = select(*(ROW.c[name] for name in KnownRow._fields))
QUARANTINED = select(*(QUARANTINE.c[name] for name in QuarantinedRow._fields))


class RowCount(NamedTuple):
    """How many rows of an object the ledger knows."""

    all: int
    live: int


class ImportLedger(Scope):
    """What was imported from one location into one project."""

    def __init__(
        self, engine: Engine, project: str, location: Location, confirm: Confirm, *, as_blobs: bool = False
    ) -> None:
        """Open it; see `Scope`.

        :param as_blobs: whether objects are blobs; the same object as a task file is another thing.
        """
        super().__init__(engine, project, location, confirm)
        self._as_blobs = as_blobs

    @classmethod
    def copy_of(cls, engine: Engine, project: str, location: Location, *, as_blobs: bool) -> "ImportLedger":
        """Return a copy of what is known, that can be written to and thrown away."""
        copy = cls(open_empty(), project, location, lambda _: None, as_blobs=as_blobs)
        copy.take_over(engine, (STORAGE, OBJECT, ROW, QUARANTINE, JOURNAL))
        return copy

    def of(self, *, blobs: bool) -> "ImportLedger":
        """Return the ledger of the same location, of blobs or of task files."""
        if blobs == self._as_blobs:
            return self
        return ImportLedger(self._engine, self._project, self.location, self._confirm, as_blobs=blobs)

    # --- objects ---

    def objects_between(self, after: str, last: str | None) -> Iterator[list[KnownObject]]:
        """Yield the objects known above the path `after` and up to `last`, in pages and in order."""
        known = KNOWN_OBJECTS.where(OBJECT.c.scope == self._scope, OBJECT.c.as_blob == self._as_blobs)
        for page in self._between(known, OBJECT, after, last):
            yield [KnownObject._make(row) for row in page]

    def objects_at(self, paths: Sequence[str]) -> Iterator[list[KnownObject]]:
        """Yield what is known of some objects."""
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                found = connection.execute(KNOWN_OBJECTS.where(*self._these(OBJECT, some)))
                yield [KnownObject._make(row) for row in found]

    def quarantined(self, paths: Sequence[str]) -> Iterator[QuarantinedRow]:
        """Yield what is in quarantine of some objects, by path and number."""
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                known = QUARANTINED.where(*self._these(QUARANTINE, some))
                found = connection.execute(known.order_by(QUARANTINE.c.path, QUARANTINE.c.number))
                yield from map(QuarantinedRow._make, found)

    def forget(self, paths: Iterable[str]) -> None:
        """Forget what is known of objects that are gone, but for the rows whose task is left."""
        with self._write() as connection:
            entering.forget(connection, self._scope, self._as_blobs, paths)

    def reopen(self, paths: Iterable[str]) -> None:
        """Have objects looked at again by the next comparison, and known where they were not."""
        with self._write() as connection:
            entering.reopen(connection, self._scope, self._as_blobs, paths)

    # --- rows ---

    def count_rows(self, paths: Sequence[str]) -> dict[str, RowCount]:
        """Return how many rows are known of each of the objects of which any is."""
        found: dict[str, RowCount] = {}
        if not paths:
            return found
        live = func.sum(case((ROW.c.state == RowState.LIVE, 1), else_=0))
        with self._engine.connect() as connection:
            # On a first import there is none, and one look at the range says so.
            within = (ROW.c.path >= min(paths)) & (ROW.c.path <= max(paths))
            if connection.scalar(select(exists().where(*self._rows(), within))):
                for some in chunks(paths, IN_A_STATEMENT):
                    counts = select(ROW.c.path, func.count(), live).where(*self._these(ROW, some)).group_by(ROW.c.path)
                    found |= {path: RowCount(n, int(n_live)) for path, n, n_live in connection.execute(counts)}
        return found

    def rows_of(self, paths: Sequence[str]) -> dict[str, list[KnownRow]]:
        """Return the rows known of some objects, the superseded ones included, by number."""
        found: dict[str, list[KnownRow]] = {}
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                rows = KNOWN_ROWS.where(*self._these(ROW, some)).order_by(ROW.c.path, ROW.c.number)
                for row in map(KnownRow._make, connection.execute(rows)):
                    found.setdefault(row.path, []).append(row)
        return found

    def count_tasks(self) -> int:
        """Return how many tasks were made from the objects of this location."""
        tasks = select(func.count()).where(*self._rows(), *self._within(ROW), ROW.c.task.is_not(None))
        with self._engine.connect() as connection:
            return connection.scalar(tasks) or 0

    def live_rows(self) -> Iterator[list[KnownRow]]:
        """Yield the live rows of this location in pages, those whose task is gone first, then by task."""
        live = KNOWN_ROWS.where(*self._rows(), *self._within(ROW), ROW.c.state == RowState.LIVE)
        yield [KnownRow._make(row) for row in self._page(live.where(ROW.c.task.is_(None)), {})]
        by_task = live.where(ROW.c.task > bindparam("task")).order_by(ROW.c.task).limit(PAGE)
        last: int | None = -1
        while page := self._page(by_task, {"task": last}):
            yield [KnownRow._make(row) for row in page]
            last = page[-1].task

    def known_tasks(self, task_ids: Iterable[int]) -> dict[int, KnownRow]:
        """Return the rows of this project and container that some tasks stand for."""
        found: dict[int, KnownRow] = {}
        with self._engine.connect() as connection:
            for some in chunks(task_ids, IN_A_STATEMENT):
                these = KNOWN_ROWS.where(*self._rows(), ROW.c.task.in_(some))
                found |= {row.task: KnownRow._make(row) for row in connection.execute(these)}
        return found

    # --- the journal ---

    def journal(self) -> list[JournalEntry]:
        """Return the effects of which it is not known what became of them, oldest first."""
        columns = [JOURNAL.c[name] for name in JournalEntry._fields]
        entries = select(*columns).where(JOURNAL.c.scope == self._scope).order_by(JOURNAL.c.id)
        with self._engine.connect() as connection:
            found = connection.execute(entries).mappings().all()
        return [
            JournalEntry(**{**entry, "effects": msgspec.json.decode(entry["effects"], type=EFFECTS[entry["kind"]])})
            for entry in found
        ]

    def enter(
        self,
        changes: Changes,
        *,
        announces: JournalEntry | None = None,
        closes: Sequence[int] = (),
        doubts: Sequence[int] = (),
        now: float = 0,
    ) -> int:
        """Enter what was done, and announce what is about to be, in one transaction.

        :param announces: effects that are going to be requested.
        :param closes: the numbers of announcements whose outcome is in `changes`.
        :param doubts: the numbers of announcements that nobody waits for any more, though their effects may come yet.
        :param now: since when, in seconds since the epoch.
        :returns: the number of the announcement; 0 if there is none.
        """
        return self._enter(changes, announces, closes, doubts, now)

    def enter_reconciled(
        self, entry: JournalEntry, changes: Changes, *, doubted_since: float | None, reopens: Iterable[str]
    ) -> None:
        """Enter what became of effects that were announced by a run of this kind that is over.

        :param doubted_since: since when (seconds since the epoch) some may come yet; None if they are all known.
        :param reopens: paths of objects that the next comparison looks at again.
        """
        closes, doubts = ((entry.id,), ()) if doubted_since is None else ((), (entry.id,))
        self._enter(changes, None, closes, doubts, doubted_since or 0, reopens)

    def _enter(
        self,
        changes: Changes,
        announces: JournalEntry | None,
        closes: Sequence[int],
        doubts: Sequence[int],
        now: float,
        reopens: Iterable[str] = (),
    ) -> int:
        number, kind = 0, (self._scope, self._as_blobs)
        with self._write() as connection:
            if closes:
                connection.execute(delete(JOURNAL).where(JOURNAL.c.id.in_(closes)))
            if doubts:
                connection.execute(update(JOURNAL).where(JOURNAL.c.id.in_(doubts)).values(doubted_since=now))
            if announces:
                number = entering.announce(connection, *kind, announces)
            self._mark_ids_reused(connection, [row.task for row in changes.created if row.task is not None])
            entering.enter_changes(connection, *kind, changes)
            entering.reopen(connection, *kind, reopens)
        return number

    def _mark_ids_reused(self, connection: Connection, task_ids: list[int]) -> None:
        if task_ids and min(task_ids) <= entering.highest_task(connection, self._project):
            entering.mark_ids_reused(connection, self._project, task_ids)

    def _rows(self) -> list[ColumnElement[bool]]:
        return [ROW.c.scope == self._scope, ROW.c.as_blob == self._as_blobs]

    def _these(self, table: Table, paths: Sequence[str]) -> list[ColumnElement[bool]]:
        return entering.these(table, self._scope, self._as_blobs, paths)
