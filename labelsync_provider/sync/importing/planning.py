"""Planning: what is to become of the rows of an object, as data. Nothing is done here."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from labelsync_provider.errors import Denied, Invalid, NotFound, TooLarge
from labelsync_provider.formats import task_files
from labelsync_provider.formats.digests import without_skip
from labelsync_provider.formats.rows import BadRow, Row
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync.importing.matching import Match, ReadRow, match
from labelsync_provider.sync.importing.reading import Read
from labelsync_provider.sync.importing.state import ImportRun, KnownRows, SourceObject
from labelsync_provider.sync.importing.steps import Quarantine, Step, create, update_of
from labelsync_provider.sync.importing.unshown import Unshown
from labelsync_provider.sync.ledger.records import KnownRow, RowState
from labelsync_provider.uris import printable

log = logging.getLogger(__name__)


MATCHED_ROWS = 1_000_000
"""Rows that a file may have, and may have had, to be matched: all are held at once, in 600 to 800 bytes each."""
TOO_MANY_ROWS = (
    f"too many rows: in a file that was imported before, up to {MATCHED_ROWS:,} are told from those that have tasks "
    "already, of which there may be as many; its tasks stay. Write what is new into another file"
)


class Plan(Struct, gc=False):
    """What is to become of an object."""

    obj: SourceObject
    steps: Iterable[Step]
    changed_rows: Sequence[KnownRow] = ()
    """Rows of the ledger as they are from now on: in another position, superseded, or live again."""
    missing: Sequence[KnownRow] = ()
    unchanged: int = 0
    changed: int = 0
    """Of the rows that have changed, those of which that is only reported, or whose content had a task before, which
    stands for them again."""
    new: int = 0
    """Of the rows that are new, those whose content had a task before, which stands for them again."""


Rows = Callable[[], Iterator[Row | BadRow]]
"""Goes through the rows of an object from the first; can be called again."""


def blob_plans(run: ImportRun, objects: Iterable[SourceObject], unshown: Unshown) -> Iterator[Plan]:
    """Yield what is to become of objects that are imported as they are, each as one row."""
    extra, data_key = run.options.extra_data or {}, run.data_key
    for obj in objects:
        if problem := obj.problem:
            yield Plan(obj, [Quarantine(None, problem)])
            continue
        if "?" in obj.info.key:
            unshown.note(obj)
        row = Row(0, Task({**extra, data_key: obj.url}), obj.info.version, None, len(obj.url))
        if obj.known_rows is None:
            yield Plan(obj, (create(run, obj, row, 0, None),))
        else:
            yield _plan_of_known(run, obj, lambda row=row: iter((row,)), obj.known_rows)  # type: ignore[misc]


def task_file_plans(run: ImportRun, read: Iterable[Read]) -> Iterator[Plan]:
    """Yield what is to become of task files."""
    for obj, content in read:
        if isinstance(content, NotFound):
            run.report.gone += 1
            continue
        plan = _task_file_plan(run, obj, content)
        # The plan holds as much of it as is needed still, and that only until it is carried out.
        del content
        yield plan
        del plan


def _task_file_plan(run: ImportRun, obj: SourceObject, content: bytes | str | Exception) -> Plan:
    if isinstance(content, str):
        return Plan(obj, [Quarantine(None, content)])
    if isinstance(content, Exception):
        # What a storage refuses, it may give another time.
        if isinstance(content, Denied):
            run.denied = run.denied or content
        return Plan(obj, [Quarantine(None, str(content), lasting=isinstance(content, TooLarge))])
    run.some_read = True
    run.report.bytes_read += len(content)
    parsed = partial(task_files.rows, obj.info.key, content, run.options.row_key, run.first_key)
    try:
        rows = parsed()
    except Invalid as error:
        return Plan(obj, [Quarantine(None, str(error))])
    if obj.known_rows is None:
        return Plan(obj, _all_new(run, obj, rows))
    first = iter([rows])
    # The file as a whole was checked: the rows of the first pass are at hand, later ones are parsed again.
    return _plan_of_known(run, obj, lambda: next(first, None) or parsed(), obj.known_rows)


def _all_new(run: ImportRun, obj: SourceObject, rows: Iterable[Row | BadRow]) -> Iterator[Step]:
    for row in rows:
        if isinstance(row, BadRow):
            yield Quarantine(row.position, row.reason)
        elif problem := run.project.check(row.task):
            # The project would say the same, but only once the task was announced: there may be millions of such rows.
            yield Quarantine(row.position, problem)
        else:
            yield create(run, obj, row, row.position, None)


def _plan_of_known(run: ImportRun, obj: SourceObject, rows: Rows, known_rows: KnownRows) -> Plan:
    """Match the rows with those that are known, and decide about each."""
    if known_rows.count(obj.path) > MATCHED_ROWS:
        return Plan(obj, [Quarantine(None, TOO_MANY_ROWS)])
    known = known_rows.take(obj.path)
    live = [row for row in known if row.state == RowState.LIVE]
    digests = {row.digest: row.digest for row in live}
    rows = _checked(run, rows, digests.keys())
    read = _to_be_matched(rows(), digests, most_bad=max(len(live), 1))
    if len(read) > MATCHED_ROWS:
        return Plan(obj, [Quarantine(None, TOO_MANY_ROWS)])
    if read and all(row.digest is None for row in read):
        # A file that has become garbage says nothing of its rows.
        return Plan(obj, (Quarantine(row.position, row.reason) for row in rows() if isinstance(row, BadRow)))
    matched = match(live, read, by_key=run.options.row_key is not None)
    if matched.by_place_only and run.options.on_changed != "add":
        _warn_of_guess(run, obj, len(matched.known))
    decisions = _Decisions(run, obj, known, matched, read)
    if decisions.not_writable:
        _warn_of_skip(obj, decisions.not_writable)
    plan = decisions.plan
    plan.steps = _steps(run, obj, rows, decisions, next_number=max(row.number for row in known) + 1)
    return plan


def _to_be_matched(
    rows: Iterable[Row | BadRow], digests: Mapping[str | None, str | None], most_bad: int
) -> list[ReadRow]:
    """Return the rows as they are matched.

    :param digests: of the known rows, by themselves: one text for both takes half the memory.
    :param most_bad: how many bad ones, one after another, are kept: more than there are known rows match none.
    """
    read, bad = list[ReadRow](), 0
    for row in rows:
        if isinstance(row, Row):
            bad = 0
            read.append(ReadRow(row.position, digests.get(row.digest, row.digest), row.key))
        elif bad < most_bad:
            bad += 1
            read.append(ReadRow(row.position, None, swallows=row.swallows))
        elif row.swallows:
            read[-1] = replace(read[-1], swallows=True)
        if len(read) > MATCHED_ROWS:
            break
    return read


def _checked(run: ImportRun, rows: Rows, known: Set[str | None]) -> Rows:
    """Give rows that the project would reject as bad ones, unless it has taken their content already."""

    def checked() -> Iterator[Row | BadRow]:
        for row in rows():
            is_new = isinstance(row, Row) and row.digest not in known and None not in known
            problem = run.project.check(row.task) if is_new and isinstance(row, Row) else None
            yield BadRow(row.position, problem) if problem else row

    return checked


class _Decisions:
    """What is to become of each row of an object of which some rows are known."""

    def __init__(
        self, run: ImportRun, obj: SourceObject, known: list[KnownRow], matched: Match, read: list[ReadRow]
    ) -> None:
        self.create: dict[int, KnownRow | None] = {}
        """By position, the row that the new task supersedes, if any."""
        self.update: dict[int, KnownRow] = {}
        self._changed_rows: list[KnownRow] = []
        self.plan = Plan(obj, (), self._changed_rows, matched.missing)
        self.not_writable: list[int] = []
        """Positions of rows of which only `allow_skip` has changed, which no API of a project can change."""
        self.bad_rows = any(row.digest is None for row in read)
        self._run, self._obj = run, obj
        self._superseded: dict[str | None, deque[KnownRow]] = defaultdict(deque)
        superseded = (row for row in known if row.state == RowState.SUPERSEDED)
        for row in sorted(superseded, key=lambda row: (row.task or 0, row.number)):
            self._superseded[row.digest].append(row)
        for row in (*matched.missing, *matched.held):
            if row.position is not None:
                self._enter(row, replace(row, position=None))
        for there in read:
            self._decide(there, matched.known.get(there.position))
        obj.complete = obj.complete and not matched.missing

    def _decide(self, row: ReadRow, known: KnownRow | None) -> None:
        plan = self.plan
        if row.digest is None:
            if known:
                self._enter(known, replace(known, position=row.position))
            return
        if known and known.digest in (None, row.digest):
            plan.unchanged += 1
            self._obj.rows += 1
            self._enter(known, replace(known, position=row.position, digest=row.digest, key=row.key or known.key))
        elif known and (self._run.options.on_changed != "add" or self._was_overwritten(known, row.digest)):
            here = replace(known, position=row.position, key=row.key or known.key)
            self._enter(known, here)
            if self._run.options.on_changed == "report" and not self._was_overwritten(known, row.digest):
                self._report_changed()
            elif self._only_skip_differs(known.digest or "", row.digest):
                self.not_writable.append(row.position)
                self._report_changed()
            else:
                self.update[row.position] = here
        elif again := self._superseded.get(row.digest):
            self._revive(again.popleft(), row, known)
        else:
            if known:
                self._enter(known, replace(known, position=row.position))
            self.create[row.position] = known

    def _report_changed(self) -> None:
        self.plan.changed += 1
        self._obj.rows += 1
        self._obj.complete = False

    def _revive(self, again: KnownRow, row: ReadRow, instead_of: KnownRow | None) -> None:
        again = replace(again, state=RowState.LIVE, position=row.position, key=row.key or again.key)
        self._changed_rows.append(again)
        self._obj.rows += 1
        if instead_of:
            self.plan.changed += 1
            self._changed_rows.append(replace(instead_of, state=RowState.SUPERSEDED, position=None))
        else:
            self.plan.new += 1

    def _was_overwritten(self, known: KnownRow, digest: str) -> bool:
        """Tell whether a request that came late has overwritten what the task had, and the row still has."""
        return self._run.overwritten.get((known.path, known.number)) == digest

    def _only_skip_differs(self, before: str, now: str) -> bool:
        return not self._run.options.use_blob_urls and without_skip(before) == without_skip(now)

    def _enter(self, before: KnownRow, now: KnownRow) -> None:
        if now != before:
            self._changed_rows.append(now)


def _steps(run: ImportRun, obj: SourceObject, rows: Rows, decisions: _Decisions, next_number: int) -> Iterator[Step]:
    """Yield what is to be done, in file order. The rows are gone through once more if anything is."""
    if not (decisions.create or decisions.update or decisions.bad_rows):
        return
    for row in rows():
        if isinstance(row, BadRow):
            yield Quarantine(row.position, row.reason)
        elif row.position in decisions.create:
            yield create(run, obj, row, next_number, decisions.create[row.position])
            next_number += 1
        elif row.position in decisions.update:
            yield update_of(run, obj, row, decisions.update[row.position])


def _warn_of_guess(run: ImportRun, obj: SourceObject, paired: int) -> None:
    log.warning(
        "%s: none of its rows is one that was imported before; by their place in the file, %d were taken for changed. "
        "If the file was replaced by another one, on_changed='add' makes new tasks of its rows; if its rows have names "
        "of their own, row_key matches them by these.",
        printable(obj.uri),
        paired,
    )


def _warn_of_skip(obj: SourceObject, positions: list[int]) -> None:
    log.warning(
        "%s: of %d rows, row %d for one, only allow_skip has changed. It cannot be written to a task that is there: "
        "delete the task and import it again with restore_deleted.",
        printable(obj.uri),
        len(positions),
        positions[0],
    )
