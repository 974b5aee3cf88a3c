"""The ledger as an export sees it."""

from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, Connection, Engine, Select, bindparam, delete, func, insert, select, update

from labelsync_provider.database import chunks, upsert_rows
from labelsync_provider.storages.location import Location
from labelsync_provider.sync.ledger.records import GONE, ExportCounts, ExportTarget, KnownExport, Watermark
from labelsync_provider.sync.ledger.scope import IN_A_STATEMENT, PAGE, Scope, open_empty
from labelsync_provider.sync.ledger.tables import EXPORT, SCOPE, STORAGE, WATERMARK

KNOWN_EXPORTS = select(*(EXPORT.c[name] for name in KnownExport.__struct_fields__))


class ExportLedger(Scope):
    """What was exported from one project to one location."""

    @classmethod
    def copy_of(cls, engine: Engine, project: str, location: Location) -> "ExportLedger":
        """Return a copy of what is known, that can be written to and thrown away."""
        copy = cls(open_empty(), project, location, lambda _: None)
        copy.take_over(engine, (STORAGE, EXPORT, WATERMARK))
        return copy

    # --- targets ---

    def targets(self) -> list[ExportTarget]:
        """Return where, and how, the project was exported in this container."""
        with self._engine.connect() as connection:
            return self._targets(connection)

    def enter_target(self, this: ExportTarget, check: Callable[[Sequence[ExportTarget]], None]) -> None:
        """Note that the project is exported here; what had this name has moved.

        :param check: given the other targets as they are in the same transaction, raises if this one cannot be.
        """
        with self._write() as connection:
            if connection.dialect.name == "postgresql":
                # Of two exports that begin at once, one sees the other.
                connection.execute(select(SCOPE.c.id).where(SCOPE.c.id == self._scope).with_for_update())
            known = self._targets(connection)
            check(known)
            moved = [target.location.start for target in known if target.location.is_elsewhere(self.location)]
            self._forget(connection, [*moved, self.location.start])
            where = {"start": self.location.start, "endpoint": self.location.endpoint}
            how = {"layout": this.layout, "key_template": this.key_template}
            how["project_created_at"] = this.project_created_at
            connection.execute(insert(STORAGE).values(scope=self._scope, role="target", **where, **how))

    def forget_target(self, location: Location) -> None:
        """Forget an export to a location of the same container, with all that is known of the objects there."""
        start, end = location.start, location.end
        below = [EXPORT.c.path >= start, *([EXPORT.c.path < end] if end is not None else [])]
        with self._write() as connection:
            self._forget(connection, [start])
            connection.execute(delete(EXPORT).where(EXPORT.c.scope == self._scope, *below))
            connection.execute(delete(WATERMARK).where(WATERMARK.c.scope == self._scope, WATERMARK.c.start == start))

    def exports_to(self, target: ExportTarget) -> Iterator[list[KnownExport]]:
        """Yield the objects written to another target of the same container."""
        elsewhere = ExportLedger(self._engine, self._project, target.location, self._confirm)
        return elsewhere.exports_between("", None)

    def _targets(self, connection: Connection) -> list[ExportTarget]:
        names = ("endpoint", "start", "layout", "key_template", "project_created_at")
        used = select(*(STORAGE.c[name] for name in names))
        found = connection.execute(used.where(STORAGE.c.scope == self._scope, STORAGE.c.role == "target")).all()
        return [
            ExportTarget(Location(self.location.container, endpoint, root=start), *how)
            for endpoint, start, *how in found
        ]

    def _forget(self, connection: Connection, starts: Sequence[str]) -> None:
        these = (STORAGE.c.scope == self._scope, STORAGE.c.role == "target", STORAGE.c.start.in_(starts))
        connection.execute(delete(STORAGE).where(*these))

    # --- objects ---

    def exports_between(self, after: str, last: str | None) -> Iterator[list[KnownExport]]:
        """Yield the objects written to the target above the path `after` and up to `last`."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope)
        for page in self._between(known, EXPORT, after, last):
            yield list(starmap(KnownExport, page))

    def exports_at(self, paths: Sequence[str]) -> Iterator[list[KnownExport]]:
        """Yield what is known of some objects in the target."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope)
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                found = connection.execute(known.where(EXPORT.c.path.in_(some)))
                yield list(starmap(KnownExport, found))

    def exports_of_tasks(self, after: int, last: int | None) -> Iterator[list[KnownExport]]:
        """Yield the objects written to the target for the tasks above one id and up to another."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope, *self._within(EXPORT))
        if last is not None:
            known = known.where(EXPORT.c.task <= last)
        above = (EXPORT.c.task > bindparam("task")) | (
            (EXPORT.c.task == bindparam("task")) & (EXPORT.c.path > bindparam("path"))
        )
        known = known.where(above).order_by(EXPORT.c.task, EXPORT.c.path).limit(PAGE)
        position = {"task": after + 1, "path": ""}
        while page := self._page(known, position):
            yield list(starmap(KnownExport, page))
            position = {"task": page[-1].task, "path": page[-1].path}

    def exports_of(self, task_ids: Sequence[int]) -> Iterator[list[KnownExport]]:
        """Yield the objects written to the target for some tasks."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope, *self._within(EXPORT))
        with self._engine.connect() as connection:
            for some in chunks(task_ids, IN_A_STATEMENT):
                found = connection.execute(known.where(EXPORT.c.task.in_(some)))
                yield list(starmap(KnownExport, found))

    def exported_among(self, task_ids: Sequence[int]) -> set[int]:
        """Return those of some tasks of which an object stands in the target whose annotation is there."""
        live = self._live_exports(select(EXPORT.c.task).where(*self._within(EXPORT)), live=True)
        found: set[int] = set()
        with self._engine.connect() as connection:
            for some in chunks(task_ids, IN_A_STATEMENT):
                found.update(connection.scalars(live.where(EXPORT.c.task.in_(some))))
        return found

    def exports_gone(self) -> Iterator[list[KnownExport]]:
        """Yield the objects in the target whose annotation is gone, by path."""
        for page in self._between(self._live_exports(KNOWN_EXPORTS, live=False), EXPORT, "", None):
            yield list(starmap(KnownExport, page))

    # --- counts ---

    def counts(self, written_by: int) -> ExportCounts:
        """Return what was exported here, or is about to be, but for what is gone.

        :param written_by: the fencing number of the run that asks.
        """
        as_it_should_be = (EXPORT.c.version != "", EXPORT.c.intended == "")
        unchanged = func.count().filter(*as_it_should_be, EXPORT.c.written_by != written_by)
        counted = select(unchanged, func.sum(EXPORT.c.annotations), func.count(EXPORT.c.task.distinct()))
        with self._engine.connect() as connection:
            unchanged, annotations, tasks = connection.execute(counted.where(*self._not_gone())).one()
        return ExportCounts(unchanged, annotations or 0, tasks)

    def count_tasks(self, after: int, last: int | None) -> int:
        """Return how many tasks above an id, and up to another, have something exported here."""
        counted = select(func.count(EXPORT.c.task.distinct())).where(*self._not_gone(), *_among(after, last))
        with self._engine.connect() as connection:
            return connection.scalar(counted) or 0

    def nth_task(self, after: int, n: int) -> int | None:
        """Return the `n`th of the tasks above an id, from 0, that have something exported here."""
        tasks = select(EXPORT.c.task).distinct().where(*self._not_gone(), EXPORT.c.task > after)
        with self._engine.connect() as connection:
            found: int | None = connection.scalar(tasks.order_by(EXPORT.c.task).offset(n).limit(1))
            return found

    def unread_tasks(self, most: int) -> list[int]:
        """Return the tasks that are to be read because of what happened to their objects, but no more than `most`."""
        tasks = select(EXPORT.c.task).distinct().where(*self._not_gone(), EXPORT.c.state == "")
        with self._engine.connect() as connection:
            return list(connection.scalars(tasks.limit(most)))

    # --- changes ---

    def mark_gone(self, paths: Sequence[str]) -> None:
        """Enter that the annotations of some objects in the target are gone."""
        if not paths:
            return
        with self._write() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                these = update(EXPORT).where(EXPORT.c.scope == self._scope, EXPORT.c.path.in_(some))
                connection.execute(these.values(state=GONE))

    def mark_all_gone(self) -> None:
        """Enter that all that was exported here is to go, and that nothing is known of the project any more."""
        here = (EXPORT.c.scope == self._scope, *self._within(EXPORT))
        with self._write() as connection:
            connection.execute(update(EXPORT).where(*here).values(state=GONE))
            this = (WATERMARK.c.scope == self._scope, WATERMARK.c.start == self.location.start)
            connection.execute(delete(WATERMARK).where(*this))

    def watermark(self) -> Watermark | None:
        """Return how far the project has been exported to this storage.

        None before a run has come to its end, and where the project keeps no time of changes.
        """
        columns = [WATERMARK.c[name] for name in Watermark._fields]
        here = (WATERMARK.c.scope == self._scope, WATERMARK.c.start == self.location.start)
        with self._engine.connect() as connection:
            row = connection.execute(select(*columns).where(*here)).one_or_none()
        return None if row is None else Watermark._make(row)

    def enter_watermark(self, watermark: Watermark) -> None:
        """Enter how far the project has been exported to this storage."""
        with self._write() as connection:
            upsert_rows(connection, WATERMARK, [(self._scope, self.location.start, *watermark)])

    def enter_exports(self, written: Sequence[KnownExport], forgotten: Sequence[str] = ()) -> None:
        """Enter objects that were, or are about to be, written to the target; forget those deleted from it."""
        if not (written or forgotten):
            return
        with self._write() as connection:
            upsert_rows(connection, EXPORT, [(self._scope, *astuple(known)) for known in written])
            for some in chunks(forgotten, IN_A_STATEMENT):
                connection.execute(delete(EXPORT).where(EXPORT.c.scope == self._scope, EXPORT.c.path.in_(some)))

    def _not_gone(self) -> list[ColumnElement[bool]]:
        return [EXPORT.c.scope == self._scope, *self._within(EXPORT), EXPORT.c.state != GONE]

    def _live_exports(self, exports: Select[Any], *, live: bool) -> Select[Any]:
        state = EXPORT.c.state != GONE if live else EXPORT.c.state == GONE
        return exports.where(EXPORT.c.scope == self._scope, EXPORT.c.version != "", state)


def _among(after: int, last: int | None) -> list[ColumnElement[bool]]:
    return [EXPORT.c.task > after, *([EXPORT.c.task <= last] if last is not None else [])]
