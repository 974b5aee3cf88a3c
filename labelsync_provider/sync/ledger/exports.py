"""The ledger as an export sees it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Engine, Select, bindparam, delete, func, select, update

from labelsync_provider.database import chunks, upsert_rows
from labelsync_provider.storages.location import Location
from labelsync_provider.sync.ledger.records import GONE, KnownExport, Watermark
from labelsync_provider.sync.ledger.scope import IN_A_STATEMENT, PAGE, Scope, open_empty
from labelsync_provider.sync.ledger.tables import EXPORT, STORAGE, WATERMARK

KNOWN_EXPORTS = select(*(EXPORT.c[name] for name in KnownExport.__struct_fields__))


class ExportLedger(Scope):
    """What was exported from one project to one location."""

    @classmethod
    def copy_of(cls, engine: Engine, project: str, location: Location) -> "ExportLedger":
        """Return a copy of what is known, that can be written to and thrown away."""
        copy = cls(open_empty(), project, location, lambda _: None)
        copy.take_over(engine, (STORAGE, EXPORT))
        return copy

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

    def count_exports(self) -> int:
        """Return how many objects stand in the target whose annotation is there."""
        exports = select(func.count()).select_from(EXPORT).where(*self._within(EXPORT))
        with self._engine.connect() as connection:
            return connection.scalar(self._live_exports(exports, live=True)) or 0

    def mark_gone(self, paths: Iterable[str]) -> None:
        """Enter that the annotations of some objects in the target are gone."""
        with self._write() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                these = update(EXPORT).where(EXPORT.c.scope == self._scope, EXPORT.c.path.in_(some))
                connection.execute(these.values(state=GONE))

    def lose_exports(self, paths: Iterable[str]) -> None:
        """Forget objects that are in the target no longer; their tasks are to be read again."""
        with self._write() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                these = (EXPORT.c.scope == self._scope) & EXPORT.c.path.in_(some)
                tasks = connection.scalars(select(EXPORT.c.task).where(these)).all()
                connection.execute(delete(EXPORT).where(these))
                others = (EXPORT.c.scope == self._scope) & EXPORT.c.task.in_(tasks)
                connection.execute(update(EXPORT).where(others).values(state=""))

    def watermark(self) -> Watermark | None:
        """Return how far the project has been exported to this storage."""
        columns = [WATERMARK.c[name] for name in Watermark._fields]
        here = (WATERMARK.c.scope == self._scope, WATERMARK.c.start == self.location.start)
        with self._engine.connect() as connection:
            row = connection.execute(select(*columns).where(*here)).one_or_none()
        return None if row is None else Watermark._make(row)

    def enter_watermark(self, watermark: Watermark) -> None:
        """Enter how far the project has been exported to this storage."""
        with self._write() as connection:
            upsert_rows(connection, WATERMARK, [(self._scope, self.location.start, *watermark)])

    def enter_exports(self, written: Sequence[KnownExport], forgotten: Iterable[str] = ()) -> None:
        """Enter objects that were, or are about to be, written to the target; forget those deleted from it."""
        with self._write() as connection:
            upsert_rows(connection, EXPORT, [(self._scope, *astuple(known)) for known in written])
            for some in chunks(forgotten, IN_A_STATEMENT):
                connection.execute(delete(EXPORT).where(EXPORT.c.scope == self._scope, EXPORT.c.path.in_(some)))

    def _live_exports(self, exports: Select[Any], *, live: bool) -> Select[Any]:
        state = EXPORT.c.state != GONE if live else EXPORT.c.state == GONE
        return exports.where(EXPORT.c.scope == self._scope, EXPORT.c.version != "", state)
