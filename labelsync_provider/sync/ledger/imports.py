"""The ledger as an import sees it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Engine,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    tuple_,
    update,
)

from labelsync_provider.database import chunks
from labelsync_provider.database.schema import check_schema
from labelsync_provider.storages.location import Location
from labelsync_provider.sync.ledger import entering
from labelsync_provider.sync.ledger.records import (
    Changes,
    CreateEffect,
    DeleteEffect,
    JournalEntry,
    KnownObject,
    KnownRow,
    LiveTask,
    QuarantinedRow,
    RowState,
    TaskCount,
    UpdateEffect,
)
from labelsync_provider.sync.ledger.scope import IN_A_STATEMENT, PAGE, Confirm, Scope, open_empty
from labelsync_provider.sync.ledger.tables import JOURNAL, OBJECT, QUARANTINE, ROW, SCOPE, STORAGE

EFFECTS = {"create": list[CreateEffect], "update": list[UpdateEffect], "delete": list[DeleteEffect]}
KNOWN_OBJECTS = select(*(OBJECT.c[name] for name in KnownObject.__struct_fields__))
KNOWN_ROWS = select(*(ROW.c[name] for name in KnownRow.__struct_fields__))
QUARANTINED = select(*(QUARANTINE.c[name] for name in QuarantinedRow.__struct_fields__))


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
        self._as_blobs, self._whole = as_blobs, engine

    @classmethod
    def copy_of(cls, engine: Engine, project: str, location: Location, *, as_blobs: bool) -> "ImportLedger":
        """Return a copy of what is known, that can be written to and thrown away."""
        copy = cls(open_empty(), project, location, lambda _: None, as_blobs=as_blobs)
        copy.take_over(engine, (STORAGE, OBJECT, ROW, QUARANTINE, JOURNAL))
        if check_schema(engine):
            copy._whole = engine
        return copy

    def enter_source(self, created_at: str) -> None:
        """Note that this location is a source of the project; what had its name has moved here.

        :param created_at: the project's.
        """
        here = (STORAGE.c.scope == self._scope, STORAGE.c.role == "source")
        moved = [used.start for used in self.storages("source") if used.is_elsewhere(self.location)]
        where = {"start": self.location.start, "endpoint": self.location.endpoint}
        this = {"scope": self._scope, "role": "source", **where, "project_created_at": created_at}
        with self._write() as connection:
            connection.execute(delete(STORAGE).where(*here, STORAGE.c.start.in_([*moved, self.location.start])))
            connection.execute(insert(STORAGE).values(this))

    def task_counts(self) -> tuple[TaskCount | None, int]:
        """Return what imports from here have noted of the project's tasks, and the most that any import has counted.

        The former is None if there was no import from here.
        """
        columns = (STORAGE.c.scope, STORAGE.c.start, STORAGE.c.project_tasks, STORAGE.c.looked_at)
        with self._engine.connect() as connection:
            found = connection.execute(select(*columns).where(*self._sources_of_project())).all()
        here = {row[:2]: TaskCount(*row[2:]) for row in found}.get((self._scope, self.location.start))
        return here, max((row.project_tasks or 0 for row in found), default=0)

    def note_tasks(self, before: TaskCount, *, added: int = 0) -> None:
        """Note how many tasks the project has, and when it was looked which of them are there.

        :param before: as it was before this import.
        :param added: how many tasks this import has added; imports from other sources take them into account.
        """
        now = TaskCount((before.project_tasks or 0) + added, before.looked_at)
        if not added and now == self.task_counts()[0]:
            return
        sources = update(STORAGE).where(*self._sources_of_project())
        here = sources.where(STORAGE.c.scope == self._scope, STORAGE.c.start == self.location.start)
        with self._write() as connection:
            connection.execute(sources.values(project_tasks=STORAGE.c.project_tasks + added))
            connection.execute(here.values(now._asdict()))

    def _sources_of_project(self) -> list[ColumnElement[bool]]:
        scopes = select(SCOPE.c.id).where(SCOPE.c.project == self._project)
        return [STORAGE.c.scope.in_(scopes), STORAGE.c.role == "source"]

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
            yield list(starmap(KnownObject, page))

    def objects_at(self, paths: Sequence[str]) -> Iterator[list[KnownObject]]:
        """Yield what is known of some objects."""
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                found = connection.execute(KNOWN_OBJECTS.where(*self._these(OBJECT, some)))
                yield list(starmap(KnownObject, found))

    def quarantined(self, paths: Sequence[str]) -> Iterator[QuarantinedRow]:
        """Yield what is in quarantine of some objects, by path and number."""
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                known = QUARANTINED.where(*self._these(QUARANTINE, some))
                found = connection.execute(known.order_by(QUARANTINE.c.path, QUARANTINE.c.number))
                yield from starmap(QuarantinedRow, found)

    def forget(self, paths: Iterable[str]) -> None:
        """Forget what is known of objects that are gone, but for the rows whose task is left."""
        with self._write() as connection:
            entering.forget(connection, self._scope, self._as_blobs, paths)

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
                # One text for all rows that have it: there may be a million.
                texts = {text: text for text in (*some, RowState.LIVE, RowState.SUPERSEDED)}
                for path, number, state, *rest in connection.execute(rows):
                    found.setdefault(path, []).append(KnownRow(texts[path], number, texts[state], *rest))
        return found

    def count_tasks(self) -> int:
        """Return how many tasks were made from the objects of this location."""
        tasks = select(func.count()).where(*self._rows(), *self._within(ROW), ROW.c.task.is_not(None))
        with self._engine.connect() as connection:
            return connection.scalar(tasks) or 0

    def all_rows(self) -> Iterator[list[KnownRow]]:
        """Yield the rows of this location in pages, by path and number."""
        rows = KNOWN_ROWS.where(*self._rows(), *self._within(ROW)).order_by(ROW.c.path, ROW.c.number).limit(PAGE)
        above = (ROW.c.path > bindparam("path"), ROW.c.path == bindparam("path"), ROW.c.number > bindparam("number"))
        rows = rows.where(or_(above[0], and_(*above[1:])))
        last = {"path": "", "number": -1}
        while page := self._page(rows, last):
            yield list(starmap(KnownRow, page))
            last = {"path": page[-1].path, "number": page[-1].number}

    def live_tasks(self) -> Iterator[list[LiveTask]]:
        """Yield the tasks that stand for rows of this location, of blobs or of task files, in pages and by id."""
        tasks = select(ROW.c.task, ROW.c.path).where(ROW.c.scope == self._scope, ROW.c.state == RowState.LIVE)
        tasks = tasks.where(*self._within(ROW), ROW.c.task > bindparam("after")).order_by(ROW.c.task).limit(PAGE)
        after = 0
        while page := self._page(tasks, {"after": after}):
            yield list(starmap(LiveTask, page))
            after = page[-1].task

    def known_tasks(self, task_ids: Iterable[int]) -> dict[int, KnownRow]:
        """Return the rows of this project and container that some tasks stand for."""
        found: dict[int, KnownRow] = {}
        with self._engine.connect() as connection:
            for some in chunks(task_ids, IN_A_STATEMENT):
                these = KNOWN_ROWS.where(*self._rows(), ROW.c.task.in_(some))
                found |= {row.task: KnownRow(*row) for row in connection.execute(these)}
        return found

    def standing_elsewhere(self, task_ids: Iterable[int]) -> list[tuple[int, str | None]]:
        """Return which of some tasks stand for rows of the project's other containers, or of the other kind of object.

        With each, the digest of its content; None if that says nothing of its data, as that of a blob.
        """
        elsewhere = or_(SCOPE.c.container != self.location.container, ROW.c.as_blob != self._as_blobs)
        digest = case((ROW.c.as_blob, null()), else_=ROW.c.digest)
        rows = select(ROW.c.task, digest).join(SCOPE, SCOPE.c.id == ROW.c.scope)
        rows = rows.where(SCOPE.c.project == self._project, elsewhere)
        with self._whole.connect() as connection:
            these = (rows.where(ROW.c.task.in_(some)) for some in chunks(task_ids, IN_A_STATEMENT))
            return [(task, text) for statement in these for task, text in connection.execute(statement)]

    def without_task(self, rows: Sequence[KnownRow]) -> list[KnownRow]:
        """Return those of some rows whose task is known to be gone by now, as they are known now."""
        found: list[KnownRow] = []
        with self._engine.connect() as connection:
            for some in chunks(rows, IN_A_STATEMENT):
                at = self._these(ROW, sorted({row.path for row in some}))
                which = tuple_(ROW.c.path, ROW.c.number).in_([(row.path, row.number) for row in some])
                found.extend(starmap(KnownRow, connection.execute(KNOWN_ROWS.where(*at, which, ROW.c.task.is_(None)))))
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
        reopens: Iterable[str] = (),
    ) -> int:
        """Enter what was done, and announce what is about to be, in one transaction.

        :param announces: effects that are going to be requested.
        :param closes: the numbers of announcements whose outcome is in `changes`.
        :param doubts: the numbers of announcements that nobody waits for any more, though their effects may come yet.
        :param now: since when, in seconds since the epoch.
        :param reopens: paths of objects that the next comparison looks at again, and knows if it did not.
        :returns: the number of the announcement; 0 if there is none.
        :raises LeaseLost: another run has taken over; nothing was entered.
        """
        number, kind = 0, (self._scope, self._as_blobs)
        with self._write() as connection:
            entering.close(connection, closes)
            if doubts:
                connection.execute(update(JOURNAL).where(JOURNAL.c.id.in_(doubts)).values(doubted_since=now))
            if announces:
                number = entering.announce(connection, *kind, announces)
            task_ids = [row.task for row in changes.created if row.task is not None]
            if task_ids and min(task_ids) <= entering.highest_task(connection, self._project):
                entering.mark_ids_reused(connection, self._project, task_ids)
            entering.enter_changes(connection, *kind, changes)
            entering.reopen(connection, *kind, reopens)
        return number

    def mark_ids_reused(self, task_ids: Sequence[int]) -> None:
        """Enter that the tasks which had these ids are gone: others have them now."""
        with self._write() as connection:
            entering.mark_ids_reused(connection, self._project, task_ids)

    def _rows(self) -> list[ColumnElement[bool]]:
        return [ROW.c.scope == self._scope, ROW.c.as_blob == self._as_blobs]

    def _these(self, table: Table, paths: Sequence[str]) -> list[ColumnElement[bool]]:
        return entering.these(table, self._scope, self._as_blobs, paths)
