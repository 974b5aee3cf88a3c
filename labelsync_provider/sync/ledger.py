"""The ledger: what has been imported and exported, and what is about to be.

A cache of the truth, which stands in the projects and the storages. Its one part that must not be lost is
the intended batch: written before a batch of tasks is sent, and settled by reading back what arrived.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging import getLogger
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from labelsync_provider.database import chunks, create_tables, open_scratch, upsert_rows, writing
from labelsync_provider.storages.protocol import Storage, span

PAGE = 10_000
IN_A_STATEMENT = 500
log = getLogger(__name__)

BLOB_ROW = -1
"""The row of a blob: the object as a whole. A task file's rows count from 0."""

Confirm = Callable[[Connection], None]

METADATA = MetaData()

# Paths are compared by code point, as storages list them, whatever the database's language.
PATH = Text().with_variant(Text(collation="C"), "postgresql")

SCOPE = Table(
    "labelsync_scope",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("project", Text, nullable=False),
    Column("place", Text, nullable=False),
    Index("labelsync_scope_named", "project", "place", unique=True),
)
OBJECT = Table(
    "labelsync_object",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("blob", Boolean, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("version", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("quarantined", Integer, nullable=False),
    sqlite_with_rowid=False,
)
REFERENCE = Table(
    "labelsync_reference",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("task", BigInteger, nullable=False),
    Column("superseded", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
QUARANTINE = Table(
    "labelsync_quarantine",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("blob", Boolean, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
BATCH = Table(
    "labelsync_batch",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("scope", Integer, nullable=False, index=True),
    Column("after_task", BigInteger, nullable=False),
    Column("tasks", Text, nullable=False),
    Column("doubted", Float),
)
STORAGE = Table(
    "labelsync_storage",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("base", PATH, primary_key=True),
    Column("origin", Text, nullable=False),
)
EXPORT = Table(
    "labelsync_export",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("task", BigInteger, nullable=False),
    Column("intended", Text, nullable=False),
    Column("state", Text, nullable=False),
    Index("labelsync_export_of_task", "scope", "task"),
    sqlite_with_rowid=False,
)


WATERMARK = Table(
    "labelsync_watermark",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("base", PATH, primary_key=True),
    Column("settings", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("read", Float, nullable=False),
    Column("read_whole", Float, nullable=False),
)


class KnownObject(NamedTuple):
    """An object that was imported or quarantined."""

    path: str
    version: str
    rows: int
    quarantined: int


class Reference(Struct, frozen=True, array_like=True, gc=False):
    """A source reference: from which row of which object, in which version, a task was made."""

    path: str
    row: int
    version: str
    digest: str
    position: int
    """Where the row stands now: rows that stay the same move when others come and go."""


class KnownTask(NamedTuple):
    """A task and what it was made from."""

    path: str
    row: int
    version: str
    digest: str
    position: int
    task: int
    superseded: bool
    """A newer row stands for it; its task is still there."""


class KnownExport(NamedTuple):
    """An object that was written to a target, or was about to be."""

    path: str
    version: str
    """Empty until it is known to be written."""
    digest: str
    task: int
    intended: str = ""
    """The digest of what was about to be written, until it is known to be."""
    state: str = ""
    """The state of the task when it was read last; empty if it is to be read again."""


GONE = "gone"
"""The state of an object whose annotation is there no longer."""


class Watermark(NamedTuple):
    """How far a project has been exported; seconds since the epoch by this side's clock, but for the first."""

    settings: str
    """With which options: others export the same task to another object."""
    changed_at: str
    """The latest change seen, by the project's clock, in ISO 8601."""
    first_seen: float
    """When that was seen first."""
    read: float
    """When the changes were read last."""
    read_whole: float
    """When the whole project was."""


KNOWN_OBJECTS = select(*(OBJECT.c[name] for name in KnownObject._fields))
KNOWN_EXPORTS = select(*(EXPORT.c[name] for name in KnownExport._fields))


class UsedStorage(NamedTuple):
    """A storage that the project was imported from, or exported to."""

    origin: str
    base: str

    def overlaps(self, other: Storage) -> bool:
        """Tell whether it shares objects with another one in the same place; a database is shared as a whole."""
        if not other.holds_files:
            return self.origin == other.origin
        return _nested(f"{self.origin}/{self.base}", f"{other.origin}/{span(other)}")

    def is_namesake(self, origin: str, base: str) -> bool:
        """Tell whether it is elsewhere than another one and has paths in common with it."""
        return self.origin != origin and _nested(self.base, base)


class IntendedTask(Struct, frozen=True, array_like=True, gc=False):
    """What a task carries that is about to be sent."""

    uri: str
    reference: Reference
    replaces: KnownTask | None
    """The task that it stands for, once it is there."""

    @property
    def noted_row(self) -> int | None:
        """The row as the task's `meta` has it: none for a blob."""
        return None if self.reference.row == BLOB_ROW else self.reference.row


class IntendedBatch(NamedTuple):
    """A batch of tasks that is, or was, about to be sent."""

    id: int
    """0 until it is announced."""
    after_task: int
    tasks: list[IntendedTask]
    doubted: float | None = None
    """Since when (seconds since the epoch) it has been given up, though it may arrive yet."""


@dataclass
class Changes:
    """What is to be entered in one transaction."""

    objects: list[KnownObject] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    """Objects of which nothing that was in quarantine is there any more, unless it is entered anew."""
    quarantine: list[tuple[str, int, str]] = field(default_factory=list)
    """Path, row and reason."""
    created: list[tuple[Reference, int]] = field(default_factory=list)
    """New references, each with its task."""
    superseded: list[KnownTask] = field(default_factory=list)
    """References that another one stands for from now on; their tasks stay."""
    revived: list[KnownTask] = field(default_factory=list)
    """Superseded references whose row has come back."""
    dropped: list[KnownTask] = field(default_factory=list)
    """References to tasks that were updated to a newer one, or deleted."""

    def __bool__(self) -> bool:
        return any(
            (self.objects, self.cleared, self.quarantine, self.created, self.superseded, self.revived, self.dropped)
        )


class Ledger:
    """The ledger of one project and one place, as its import or export sees it."""

    def __init__(
        self, engine: Engine, project: str, place: str, base: str, *, confirm: Confirm | None, blob: bool = False
    ) -> None:
        """Open the ledger.

        :param project: the project's `uri`.
        :param place: the storage's `place`.
        :param base: what the paths in the storage begin with; what is known elsewhere in the place is not looked at.
        :param confirm: called in every transaction that writes, and raises to undo it; without it, the ledger
            is only read.
        :param blob: whether objects are blobs; the same object as a task file is another thing.
        """
        self._engine, self._confirm = engine, confirm
        self._base, self._end = base, _end_of(base)
        self._blob = blob
        self._project, self._place = project, place
        if confirm:
            create_tables(engine, METADATA)
        elif not inspect(engine).has_table(SCOPE.name):
            self._engine = open_scratch()  # nothing is known yet, and nothing is to be written
            create_tables(self._engine, METADATA)
        self._scope = self._scope_id()

    @property
    def read_only(self) -> bool:
        """Whether nothing may be entered."""
        return self._confirm is None

    def storages(self, role: str) -> list[UsedStorage]:
        """Return the sources, or the targets, of the project in this place."""
        used = select(STORAGE.c.origin, STORAGE.c.base).where(STORAGE.c.scope == self._scope, STORAGE.c.role == role)
        with self._engine.connect() as connection:
            return [UsedStorage._make(row) for row in connection.execute(used)]

    def enter_storage(self, role: str, origin: str) -> None:
        """Note that this storage is a source or a target of the project; what had its name has moved here."""
        here = (STORAGE.c.scope == self._scope, STORAGE.c.role == role)
        moved = [used.base for used in self.storages(role) if used.is_namesake(origin, self._base)]
        with self._write() as connection:
            connection.execute(delete(STORAGE).where(*here, STORAGE.c.base.in_([*moved, self._base])))
            connection.execute(insert(STORAGE).values(scope=self._scope, role=role, base=self._base, origin=origin))

    # --- import ---

    def objects_between(self, after: str, last: str | None) -> Iterator[list[KnownObject]]:
        """Yield the objects known above the path `after` and up to `last`, in pages and in order."""
        known = KNOWN_OBJECTS.where(OBJECT.c.scope == self._scope, OBJECT.c.blob == self._blob)
        for page in self._between(known, OBJECT, after, last):
            yield [KnownObject._make(row) for row in page]

    def objects_at(self, paths: Sequence[str]) -> Iterator[list[KnownObject]]:
        """Yield what is known of some objects."""
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                found = connection.execute(KNOWN_OBJECTS.where(*self._these(OBJECT, some)))
                yield [KnownObject._make(row) for row in found]

    def paths_with_tasks(self, paths: Sequence[str]) -> set[str]:
        """Return those of the objects of which some row has been imported, maybe by a run that was killed."""
        found: set[str] = set()
        if not paths:
            return found
        with self._engine.connect() as connection:
            # On a first import there is none, and one look at the range says so.
            within = (REFERENCE.c.path >= min(paths)) & (REFERENCE.c.path <= max(paths))
            if connection.scalar(select(exists().where(self._references(), within))):
                for some in chunks(paths, IN_A_STATEMENT):
                    known = select(REFERENCE.c.path).where(self._references(), REFERENCE.c.path.in_(some))
                    found.update(connection.scalars(known))
        return found

    def tasks_of(self, path: str) -> list[KnownTask]:
        """Return the tasks made from an object, the superseded ones included, by version and row."""
        columns = [REFERENCE.c[name] for name in KnownTask._fields]
        tasks = select(*columns).where(self._references(), REFERENCE.c.path == path)
        with self._engine.connect() as connection:
            found = connection.execute(tasks.order_by(REFERENCE.c.version, REFERENCE.c.row))
            return [KnownTask._make(row) for row in found]

    def count_tasks(self) -> int:
        """Return how many tasks were made from the objects of this storage."""
        tasks = select(func.count()).where(self._references(), *self._below_base(REFERENCE))
        with self._engine.connect() as connection:
            return connection.scalar(tasks) or 0

    def reasons(self, paths: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Yield path, row and reason of what is quarantined of some objects."""
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                known = select(QUARANTINE.c.path, QUARANTINE.c.row, QUARANTINE.c.reason).where(
                    QUARANTINE.c.scope == self._scope, QUARANTINE.c.blob == self._blob, QUARANTINE.c.path.in_(some)
                )
                found = connection.execute(known.order_by(QUARANTINE.c.path, QUARANTINE.c.row))
                yield from ((path, row, reason) for path, row, reason in found)

    def intended(self) -> list[IntendedBatch]:
        """Return the batches of which it is not known whether they arrived, oldest first."""
        batches = select(BATCH.c.id, BATCH.c.after_task, BATCH.c.tasks, BATCH.c.doubted)
        with self._engine.connect() as connection:
            found = connection.execute(batches.where(BATCH.c.scope == self._scope).order_by(BATCH.c.id)).all()
        decode = msgspec.json.Decoder(list[IntendedTask]).decode
        return [IntendedBatch(number, after, decode(tasks), doubted) for number, after, tasks, doubted in found]

    def enter(
        self,
        changes: Changes,
        *,
        settles: int | None = None,
        doubts: int | None = None,
        intends: IntendedBatch | None = None,
    ) -> int | None:
        """Enter what was done, and announce what is about to be, in one transaction.

        :param settles: the number of the batch that `changes` holds the outcome of.
        :param doubts: the number of a batch that is given up, though it may arrive yet.
        :param intends: a batch that is going to be sent; its number is returned.
        """
        number: int | None = None
        with self._write() as connection:
            if settles is not None:
                connection.execute(delete(BATCH).where(BATCH.c.id == settles))
            if doubts is not None:
                connection.execute(update(BATCH).where(BATCH.c.id == doubts).values(doubted=time.time()))
            if intends:
                tasks = msgspec.json.encode(intends.tasks).decode()
                values = {"scope": self._scope, "after_task": intends.after_task, "tasks": tasks}
                number = connection.scalar(insert(BATCH).values(values).returning(BATCH.c.id))
            for known in changes.dropped:
                connection.execute(delete(REFERENCE).where(*self._is(known)))
            for known in changes.superseded:
                connection.execute(update(REFERENCE).where(*self._is(known)).values(superseded=True))
            for known in changes.revived:
                connection.execute(update(REFERENCE).where(*self._is(known)).values(superseded=False))
            scope = self._scope
            created = [
                (scope, ref.path, ref.row, ref.version, ref.digest, ref.position, task, False)
                for ref, task in changes.created
            ]
            upsert_rows(connection, REFERENCE, created)
            for some in chunks(changes.cleared, IN_A_STATEMENT):
                connection.execute(delete(QUARANTINE).where(*self._these(QUARANTINE, some)))
            upsert_rows(connection, OBJECT, [(self._scope, self._blob, *known) for known in changes.objects])
            upsert_rows(connection, QUARANTINE, [(self._scope, self._blob, *entry) for entry in changes.quarantine])
        return number

    def forget(self, paths: Iterable[str]) -> None:
        """Forget those of the objects of which no task is left."""
        with self._write() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                left = exists().where(self._references(), REFERENCE.c.path == OBJECT.c.path)
                connection.execute(delete(OBJECT).where(*self._these(OBJECT, some), ~left))
                connection.execute(delete(QUARANTINE).where(*self._these(QUARANTINE, some)))

    def enter_unknown(self, tasks: Sequence[tuple[Reference, int]]) -> int:
        """Enter references to tasks, but for those to rows that are known; return how many were not.

        A reference without a version is known if any version of its row is.
        """
        paths = list({reference.path for reference, _ in tasks})
        known: set[tuple[str, int, str]] = set()
        with self._write() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                keys = select(REFERENCE.c.path, REFERENCE.c.row, REFERENCE.c.version)
                these = (REFERENCE.c.scope == self._scope) & REFERENCE.c.path.in_(some)
                for path, row, version in connection.execute(keys.where(these)):
                    known |= {(path, row, version), (path, row, "")}
            entered = []
            for ref, task in tasks:
                if (ref.path, ref.row, ref.version) not in known:
                    known |= {(ref.path, ref.row, ref.version), (ref.path, ref.row, "")}
                    row = (self._scope, ref.path, ref.row, ref.version, ref.digest, ref.position, task, False)
                    entered.append(row)
            upsert_rows(connection, REFERENCE, entered)
        return len(entered)

    def supersede_older(self) -> None:
        """Let the youngest task of a row stand for it, in objects that have not been compared yet."""
        younger = REFERENCE.alias()
        same_row = [younger.c[name] == REFERENCE.c[name] for name in ("scope", "path", "row")]
        compared = exists().where(OBJECT.c.scope == REFERENCE.c.scope, OBJECT.c.path == REFERENCE.c.path)
        older = exists().where(*same_row, younger.c.task > REFERENCE.c.task)
        with self._write() as connection:
            connection.execute(
                update(REFERENCE).where(REFERENCE.c.scope == self._scope, older, ~compared).values(superseded=True)
            )

    def tasks_by_id(self) -> Iterator[list[KnownTask]]:
        """Yield the tasks made from the objects of this storage that no other stands for, by id.

        One that is known to be gone has an id below 0.
        """
        columns = [REFERENCE.c[name] for name in KnownTask._fields]
        tasks = select(*columns).where(self._references(), *self._below_base(REFERENCE), ~REFERENCE.c.superseded)
        tasks = tasks.where(REFERENCE.c.task > bindparam("task")).order_by(REFERENCE.c.task).limit(PAGE)
        last = -(2**63)
        while page := self._page(tasks, {"task": last}):
            yield [KnownTask._make(row) for row in page]
            last = page[-1].task

    def highest_task(self) -> int:
        """Return the highest id of a task of the project, from whatever place."""
        tasks = select(func.max(REFERENCE.c.task)).where(REFERENCE.c.scope.in_(self._scopes()))
        with self._engine.connect() as connection:
            return connection.scalar(tasks) or 0

    def bury(self, task_ids: Iterable[int]) -> None:
        """Enter that the tasks with these ids are gone, and that others are going to have them.

        What was made into them is known still. An id below 0 is no task's.
        """
        with self._write() as connection:
            for some in chunks(task_ids, IN_A_STATEMENT):
                these = (REFERENCE.c.scope.in_(self._scopes()), REFERENCE.c.task.in_(some))
                connection.execute(update(REFERENCE).where(*these).values(task=-REFERENCE.c.task))

    def reopen(self, paths: Iterable[str]) -> None:
        """Have objects compared anew, as if their version were another one."""
        with self._write() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                connection.execute(update(OBJECT).where(*self._these(OBJECT, some)).values(version=""))

    # --- export ---

    def exports_between(self, after: str, last: str | None) -> Iterator[list[KnownExport]]:
        """Yield the objects written to the target above the path `after` and up to `last`."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope)
        for page in self._between(known, EXPORT, after, last):
            yield [KnownExport._make(row) for row in page]

    def exports_at(self, paths: Sequence[str]) -> Iterator[list[KnownExport]]:
        """Yield what is known of some objects in the target."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope)
        with self._engine.connect() as connection:
            for some in chunks(paths, IN_A_STATEMENT):
                found = connection.execute(known.where(EXPORT.c.path.in_(some)))
                yield [KnownExport._make(row) for row in found]

    def exports_of_tasks(self, after: int, last: int | None) -> Iterator[list[KnownExport]]:
        """Yield the objects written to the target for the tasks above one id and up to another."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope, *self._below_base(EXPORT))
        if last is not None:
            known = known.where(EXPORT.c.task <= last)
        above = (EXPORT.c.task > bindparam("task")) | (
            (EXPORT.c.task == bindparam("task")) & (EXPORT.c.path > bindparam("path"))
        )
        known = known.where(above).order_by(EXPORT.c.task, EXPORT.c.path).limit(PAGE)
        position = {"task": after + 1, "path": ""}
        while page := self._page(known, position):
            yield [KnownExport._make(row) for row in page]
            position = {"task": page[-1].task, "path": page[-1].path}

    def exports_of(self, task_ids: Sequence[int]) -> Iterator[list[KnownExport]]:
        """Yield the objects written to the target for some tasks."""
        known = KNOWN_EXPORTS.where(EXPORT.c.scope == self._scope, *self._below_base(EXPORT))
        with self._engine.connect() as connection:
            for some in chunks(task_ids, IN_A_STATEMENT):
                found = connection.execute(known.where(EXPORT.c.task.in_(some)))
                yield [KnownExport._make(row) for row in found]

    def exports_gone(self) -> Iterator[list[KnownExport]]:
        """Yield the objects in the target whose annotation is gone, by path."""
        for page in self._between(self._live_exports(KNOWN_EXPORTS, live=False), EXPORT, "", None):
            yield [KnownExport._make(row) for row in page]

    def count_exports(self) -> int:
        """Return how many objects stand in the target whose annotation is there."""
        exports = select(func.count()).select_from(EXPORT).where(*self._below_base(EXPORT))
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
        here = (WATERMARK.c.scope == self._scope, WATERMARK.c.base == self._base)
        with self._engine.connect() as connection:
            row = connection.execute(select(*columns).where(*here)).one_or_none()
        return None if row is None else Watermark._make(row)

    def enter_watermark(self, watermark: Watermark) -> None:
        """Enter how far the project has been exported to this storage."""
        with self._write() as connection:
            upsert_rows(connection, WATERMARK, [(self._scope, self._base, *watermark)])

    def enter_exports(self, written: Sequence[KnownExport], forgotten: Iterable[str] = ()) -> None:
        """Enter objects that were, or are about to be, written to the target; forget those deleted from it."""
        with self._write() as connection:
            upsert_rows(connection, EXPORT, [(self._scope, *known) for known in written])
            for some in chunks(forgotten, IN_A_STATEMENT):
                connection.execute(delete(EXPORT).where(EXPORT.c.scope == self._scope, EXPORT.c.path.in_(some)))

    def blank(self) -> "Ledger":
        """Return a ledger that knows nothing, to be written to and thrown away."""
        return Ledger(open_scratch(), self._project, self._place, self._base, confirm=lambda _: None, blob=self._blob)

    def scratch(self) -> "Ledger":
        """Return a copy of what was exported, to be written to and thrown away."""
        copy = self.blank()
        for page in self.exports_between("", None):
            copy.enter_exports(page)
        return copy

    # --- both ---

    def confirm(self) -> None:
        """Make sure that this run may still write."""
        with self._write():
            log.debug("%s: still the one writer.", self._project)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        if self._confirm is None:
            raise RuntimeError("this ledger is only read")
        with writing(self._engine) as connection:
            self._confirm(connection)
            yield connection

    def _scope_id(self) -> int:
        known = select(SCOPE.c.id).where(SCOPE.c.project == self._project, SCOPE.c.place == self._place)
        with self._engine.connect() as connection:
            found = connection.scalar(known)
        if found is not None or self._confirm is None:
            return found or 0  # no scope has the number 0
        try:
            with self._write() as connection:
                connection.execute(insert(SCOPE).values(project=self._project, place=self._place))
        except IntegrityError:
            log.debug("An import and an export of %s began at once; the scope is there.", self._project)
        return self._scope_id()

    def _live_exports(self, exports: Select[Any], *, live: bool) -> Select[Any]:
        state = EXPORT.c.state != GONE if live else EXPORT.c.state == GONE
        return exports.where(EXPORT.c.scope == self._scope, EXPORT.c.version != "", state)

    def _between(self, known: Select[Any], table: Table, after: str, last: str | None) -> Iterator[Sequence[Row[Any]]]:
        # One bound on each side: with two, SQLite takes the first, and walks to the second row by row.
        if last is not None:
            known = known.where(table.c.path <= last)
        elif self._end:
            known = known.where(table.c.path < self._end)
        after = max(after, self._base)
        known = known.where(table.c.path > bindparam("after")).order_by(table.c.path).limit(PAGE)
        while page := self._page(known, {"after": after}):
            yield page
            if len(page) < PAGE:
                return
            after = page[-1].path

    def _page(self, known: Select[Any], position: dict[str, Any]) -> Sequence[Row[Any]]:
        with self._engine.connect() as connection:
            return connection.execute(known, position).all()

    def _scopes(self) -> Select[Any]:
        return select(SCOPE.c.id).where(SCOPE.c.project == self._project)

    def _below_base(self, table: Table) -> list[ColumnElement[bool]]:
        upper = [table.c.path < self._end] if self._end else []
        return [table.c.path >= self._base, *upper]

    def _references(self) -> ColumnElement[bool]:
        """Those to blobs, or those to rows of task files, whichever this ledger is for."""
        kind = REFERENCE.c.row == BLOB_ROW if self._blob else REFERENCE.c.row != BLOB_ROW
        return (REFERENCE.c.scope == self._scope) & kind

    def _is(self, known: KnownTask) -> list[ColumnElement[bool]]:
        key = {"scope": self._scope, "path": known.path, "row": known.row, "version": known.version}
        return [REFERENCE.c[name] == value for name, value in key.items()]

    def _these(self, table: Table, paths: Sequence[str]) -> list[ColumnElement[bool]]:
        return [table.c.scope == self._scope, table.c.blob == self._blob, table.c.path.in_(paths)]


def _end_of(base: str) -> str | None:
    """Return the first path behind all that begin with `base`."""
    return base[:-1] + chr(ord(base[-1]) + 1) if base else None


def _nested(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
