"""Deciding: what is to become of each row of an object of which some rows are known. Nothing is done here."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator

from msgspec.structs import replace

from labelsync_provider.formats.tasks.digests import data_part, is_of_data_alone, without_skip
from labelsync_provider.formats.tasks.rows import BadRow, Row
from labelsync_provider.sync.importing.adopted_rows import Leftover
from labelsync_provider.sync.importing.matching import Match, ReadRow
from labelsync_provider.sync.importing.state import ImportRun, SourceObject
from labelsync_provider.sync.importing.steps import Plan, Quarantine, Step, create, update_of
from labelsync_provider.sync.ledger.records import KnownRow, RowState
from labelsync_provider.uris import printable

log = logging.getLogger(__name__)

Rows = Callable[[], Iterator[Row | BadRow]]
"""Goes through the rows of an object from the first; can be called again."""


class Decisions:
    """What is to become of each row of one object."""

    def __init__(
        self,
        run: ImportRun,
        obj: SourceObject,
        read: list[ReadRow],
        known: list[KnownRow],
        of_others: Collection[KnownRow],
        matched: Match,
        left: Leftover,
    ) -> None:
        """Decide.

        :param known: the rows that the ledger has.
        :param of_others: rows that it has not, whose tasks others made.
        :param left: what is known of the rows that are not matched.
        """
        self._run, self._obj, self._left = run, obj, left
        self._create: dict[int, KnownRow | None] = {}
        """By position, the row that the new task supersedes, if any."""
        self._update: dict[int, KnownRow] = {}
        self._undecided: set[int] = set()
        """Positions of rows that may be those of tasks that are left, and for which no superseded task lives again."""
        self._not_writable: list[int] = []
        """Positions of rows of which only `allow_skip` has changed, which no API of a project can change."""
        self._bad_rows = any(row.digest is None for row in read)
        self._of_others = {row.number for row in of_others}
        self._adopted: dict[int, KnownRow] = {}
        """By number."""
        self._changed_rows: list[KnownRow] = []
        self._next_number = max((row.number for rows in (known, of_others) for row in rows), default=-1) + 1
        self._superseded: dict[str | None, deque[KnownRow]] = defaultdict(deque)
        superseded = (row for row in known if row.state == RowState.SUPERSEDED)
        for row in sorted(superseded, key=lambda row: (row.task or 0, row.number)):
            self._superseded[row.digest].append(row)

        held = {row.number for row in (*left.held, *left.edited.values(), *left.doubles)}
        missing = [row for row in matched.missing if row.number not in held]
        self.plan = Plan(obj, (), self._changed_rows, [row for row in missing if row.number not in self._of_others])
        self.plan.missing_of_others = len(missing) - len(self.plan.missing)
        for row in missing:
            self._enter(row, replace(_sure(row), position=None))
        # What is entered again below, as a double or as the row that it is, stands as it was entered last.
        for row in (*matched.held, *left.held):
            self._enter(row, replace(row, position=None))
        for row in left.doubles:
            self._enter(row, replace(_sure(row), state=RowState.SUPERSEDED, position=None))
        known_by_position = matched.known | left.edited if left.edited else matched.known
        for there in read:
            self._decide(there, known_by_position.get(there.position))
        self.plan.adopted = list(self._adopted.values())
        obj.complete = obj.complete and not missing
        if self._not_writable:
            _warn_of_skip(obj, self._not_writable)

    def steps(self, rows: Rows) -> Iterator[Step]:
        """Yield what is to be done, in file order. The rows are gone through once more if anything is."""
        number, why = self._next_number, _why_undecided(self._left.held)
        if not (self._create or self._update or self._bad_rows or self._undecided):
            return
        for row in rows():
            if isinstance(row, BadRow):
                yield Quarantine(row.position, row.reason)
            elif row.position in self._create:
                yield create(self._run, self._obj, row, number, self._create[row.position])
                number += 1
            elif row.position in self._update:
                yield update_of(self._run, self._obj, row, self._update[row.position])
            elif row.position in self._undecided:
                yield Quarantine(row.position, why)

    def _decide(self, row: ReadRow, known: KnownRow | None) -> None:
        plan = self.plan
        if row.digest is None:
            if known:
                self._enter(known, replace(known, position=row.position))
            return
        if known and _is_same(known.digest, row.digest):
            plan.unchanged += 1
            self._obj.rows += 1
            self._enter(known, replace(known, position=row.position, digest=row.digest, key=row.key or known.key))
        elif known and (self._run.options.on_changed != "add" or self._was_overwritten(known, row.digest)):
            here = replace(_sure(known), position=row.position, key=row.key or known.key)
            self._enter(known, here)
            if self._run.options.on_changed == "report" and not self._was_overwritten(known, row.digest):
                self._report_changed()
            elif self._only_skip_differs(known.digest or "", row.digest):
                self._not_writable.append(row.position)
                self._report_changed()
            else:
                self._update[row.position] = here
        elif again := self._superseded.get(row.digest):
            self._revive(again.popleft(), row, known)
        elif known:
            here = replace(_sure(known), position=row.position)
            self._enter(known, here)
            self._create[row.position] = here
        elif row.position in self._left.deleted:
            self._enter_deleted(row)
        elif row.position in self._left.undecided:
            self._undecided.add(row.position)
        else:
            self._create[row.position] = None

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
            self._enter(instead_of, replace(_sure(instead_of), state=RowState.SUPERSEDED, position=None))
        else:
            self.plan.new += 1

    def _enter_deleted(self, row: ReadRow) -> None:
        """Know a row whose task somebody has deleted, as one is known that was imported here."""
        number, self._next_number = self._next_number, self._next_number + 1
        path = self._obj.path
        self._adopted[number] = KnownRow(path, number, RowState.LIVE, row.position, None, row.digest, row.key)
        self._obj.rows += 1

    def _was_overwritten(self, known: KnownRow, digest: str) -> bool:
        """Tell whether a request that came late has overwritten what the task had, and the row still has."""
        return self._run.overwritten.get((known.path, known.number)) == digest

    def _only_skip_differs(self, before: str, now: str) -> bool:
        return not self._run.options.use_blob_urls and without_skip(before) == without_skip(now)

    def _enter(self, before: KnownRow, now: KnownRow) -> None:
        if before.number in self._of_others:
            self._adopted[now.number] = now
        elif now != before:
            self._changed_rows.append(now)


def _is_same(known: str | None, now: str) -> bool:
    """Tell whether a task has what the row has, as far as anything tells: of some, only the data is known."""
    return known in (None, now) or (is_of_data_alone(known) and data_part(known or "") == data_part(now))


def _sure(row: KnownRow) -> KnownRow:
    """Return a row that was left undecided, or was not known, once it is decided which it is."""
    return replace(row, digest=data_part(row.digest or "")) if is_of_data_alone(row.digest) else row


def _why_undecided(tasks: Collection[KnownRow]) -> str:
    """Say why rows are not imported that may be some of these tasks."""
    if not tasks:
        return ""
    ids = sorted(row.task for row in tasks if row.task is not None)
    which = f"task {ids[0]}, whose data differs" if len(ids) == 1 else f"one of {len(ids)} tasks, such as {ids[0]}"
    return (
        f"not imported: it may be {which}; others made it from this object, and its data was edited, here or there. "
        "Make them equal, or delete what is not wanted, and import once more with adopt"
    )


def _warn_of_skip(obj: SourceObject, positions: list[int]) -> None:
    log.warning(
        "%s: of %d rows, row %d for one, only allow_skip has changed. It cannot be written to a task that is there: "
        "delete the task and import it again with restore_deleted.",
        printable(obj.uri),
        len(positions),
        positions[0],
    )
