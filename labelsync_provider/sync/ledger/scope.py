"""What the ledgers of imports and of exports share: one project, one location, one writer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging import getLogger
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, Table, bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from labelsync_provider.database import open_scratch, upsert_rows, writing
from labelsync_provider.database.schema import check_schema
from labelsync_provider.storages.location import Location
from labelsync_provider.sync.ledger.tables import METADATA, SCOPE, STORAGE

PAGE = 10_000
"""Rows that a query returns at most."""
IN_A_STATEMENT = 500
"""Values in the parameters of one statement."""

Confirm = Callable[[Connection], None]

log = getLogger(__name__)


def open_empty() -> Engine:
    """Open a database with the ledger's tables and nothing in them, that is gone when it is closed."""
    engine = open_scratch()
    METADATA.create_all(engine)
    return engine


class Scope:
    """The part of the ledger that is about one project and one location."""

    def __init__(self, engine: Engine, project: str, location: Location, confirm: Confirm) -> None:
        """Open it, in a database that has the newest schema.

        :param project: the project's `uri`.
        :param location: what is known elsewhere in the container is not looked at.
        :param confirm: called in every transaction that writes, and raises to undo it.
        """
        self._engine, self._confirm = engine, confirm
        self._project, self.location = project, location
        self._scope = self._scope_id()

    @classmethod
    def if_known(cls, engine: Engine, project: str, location: Location, **how: Any) -> Self | None:
        """Open it to be read; None if the database knows nothing of this project and container, or has no tables.

        :raises SchemaOutdated: the database was made by another version of this package.
        """
        if not check_schema(engine) or _known_scope(engine, project, location) is None:
            return None
        return cls(engine, project, location, _refuse, **how)

    def storages(self, role: str) -> list[Location]:
        """Return where the sources, or the targets, of the project are in this container."""
        used = select(STORAGE.c.endpoint, STORAGE.c.start).where(STORAGE.c.scope == self._scope, STORAGE.c.role == role)
        with self._engine.connect() as connection:
            found = connection.execute(used).all()
        return [Location(self.location.container, endpoint, root=start) for endpoint, start in found]

    def take_over(self, engine: Engine, tables: Sequence[Table]) -> None:
        """Enter what another database knows of the same project and container.

        :raises SchemaOutdated: it was made by another version of this package.
        """
        if not check_schema(engine):
            return
        this = (SCOPE.c.project == self._project, SCOPE.c.container == self.location.container)
        with engine.connect() as theirs, self._write() as ours:
            scope = theirs.scalar(select(SCOPE.c.id).where(*this))
            for table in tables:
                rows = select(table).where(table.c.scope == scope)
                at = list(table.c.keys()).index("scope")
                for page in theirs.execution_options(yield_per=PAGE).execute(rows).partitions():
                    upsert_rows(ours, table, [(*row[:at], self._scope, *row[at + 1 :]) for row in page])

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with writing(self._engine) as connection:
            self._confirm(connection)
            yield connection

    def _scope_id(self) -> int:
        found = _known_scope(self._engine, self._project, self.location)
        if found is not None:
            return found
        try:
            with self._write() as connection:
                connection.execute(insert(SCOPE).values(project=self._project, container=self.location.container))
        except IntegrityError:
            log.debug("An import and an export of %s began at once; the scope is there.", self._project)
        return self._scope_id()

    def _within(self, table: Table) -> list[ColumnElement[bool]]:
        end = self.location.end
        return [table.c.path >= self.location.start, *([table.c.path < end] if end is not None else [])]

    def _between(self, known: Select[Any], table: Table, after: str, last: str | None) -> Iterator[Sequence[Row[Any]]]:
        """Yield what is known of the paths above `after` and up to `last` (None: to the end), by path."""
        # One bound on each side: with two, SQLite takes the first, and walks to the second row by row.
        if last is not None:
            known = known.where(table.c.path <= last)
        elif self.location.end is not None:
            known = known.where(table.c.path < self.location.end)
        known = known.order_by(table.c.path).limit(PAGE)
        first = known.where(table.c.path >= self.location.start) if after < self.location.start else None
        following = known.where(table.c.path > bindparam("after"))
        while page := self._page(following if first is None else first, {} if first is not None else {"after": after}):
            yield page
            if len(page) < PAGE:
                return
            first, after = None, page[-1].path

    def _page(self, known: Select[Any], position: dict[str, Any]) -> Sequence[Row[Any]]:
        with self._engine.connect() as connection:
            return connection.execute(known, position).all()


def _known_scope(engine: Engine, project: str, location: Location) -> int | None:
    known = select(SCOPE.c.id).where(SCOPE.c.project == project, SCOPE.c.container == location.container)
    with engine.connect() as connection:
        found: int | None = connection.scalar(known)
    return found


def _refuse(_: Connection) -> None:
    raise RuntimeError("The ledger was opened to be read.")
