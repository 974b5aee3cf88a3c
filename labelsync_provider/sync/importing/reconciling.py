"""Reconciling: what became of effects that a run announced, and of which nobody knows the outcome.

A run that was killed left them open. A request that was given up, or that a paused run sends late, may arrive up to an
hour after; until then every run looks again, and puts right what it changed.
"""

import logging
from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from labelsync_provider.projects.protocol import Remote
from labelsync_provider.sync.importing.deleting import delete_announced
from labelsync_provider.sync.importing.sending import arrived
from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.sync.importing.updating import updated
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import (
    COMPLETE,
    Changes,
    CreateEffect,
    DeleteEffect,
    JournalEntry,
    KnownRow,
    RowState,
    UpdateEffect,
)
from labelsync_provider.uris import printable

log = logging.getLogger(__name__)

DOUBT_SECONDS = 3600.0
"""Time after which a request that was given up cannot arrive any more."""
UNKNOWN = -1
"""The number of a row that the ledger does not have."""


def reconcile(run: ImportRun) -> None:
    """Find out what became of all that earlier runs left open, and enter it."""
    for entry in run.ledger.journal():
        if entry.kind == "create" and entry.doubted_since is None:
            _reconcile_creations(run, entry)
        elif entry.kind == "update":
            _reconcile_updates(run, entry)
        elif entry.kind == "delete":
            _reconcile_deletions(run, entry)
    deduplicate(run)


def _reconcile_creations(run: ImportRun, entry: JournalEntry) -> None:
    creations = cast("list[CreateEffect]", entry.effects)
    found = arrived(run.project, [creation.effect for creation in creations], entry.after_task)
    log.warning(
        "A run broke off: of its last batch, %d tasks had arrived and %d not.", len(found), len(creations) - len(found)
    )
    changes, objects = Changes(), _Objects(run, entry)
    for creation in creations:
        if ids := found.get(creation.effect):
            objects.enter(changes, creation, ids[0])
    # Even what has arrived may arrive once more, where something on the way repeats a request.
    _enter(run, entry, changes, all_known=False)


def _reconcile_updates(run: ImportRun, entry: JournalEntry) -> None:
    """Complete the updates that were begun. What was not begun, the next comparison finds."""
    updates = {
        change.row.task: change for change in cast("list[UpdateEffect]", entry.effects) if change.row.task is not None
    }
    looks = run.project.look({task: change.update.uri for task, change in updates.items()})
    begun = {task: change for task, change in updates.items() if task in looks and looks[task].effect == change.effect}
    known = run.ledger.of(blobs=entry.as_blob).known_tasks(begun)
    known = {task: row for task, row in known.items() if row.path == begun[task].row.path}
    if entry.doubted_since is not None:
        # What is known to be done needs no second look, whatever a row is known by since.
        begun = {
            task: change for task, change in begun.items() if task in known and known[task].digest != change.row.digest
        }
    changes = Changes()
    if begun:
        outcomes = dict(updated(run.project, {task: change.update for task, change in begun.items()}, lambda _: True))
        for task in known.keys() & begun.keys():
            if outcomes[task] == "updated":
                if entry.doubted_since is not None:
                    # It came late, and may have overwritten what is in the source still.
                    run.overwritten[known[task].path, known[task].number] = known[task].digest
                changes.change(replace(known[task], digest=begun[task].row.digest, key=begun[task].row.key))
        log.warning("A run broke off: %d of its updates had begun, and are completed.", len(begun))
    if entry.doubted_since is None or changes:
        _enter(run, entry, changes, all_known=len(begun) == len(updates))
    else:
        _forget_if_old(run, entry)


def _reconcile_deletions(run: ImportRun, entry: JournalEntry) -> None:
    """Enter the deletions that were made; should a row still stand in the source, it is imported again."""
    deletions = cast("list[DeleteEffect]", entry.effects)
    uris = {deletion.row.task: deletion.uri for deletion in deletions if deletion.row.task is not None}
    paths = {deletion.row.task: deletion.row.path for deletion in deletions}
    there = run.project.look(uris)
    ledger = run.ledger.of(blobs=entry.as_blob)
    known = ledger.known_tasks([task for task in uris if task not in there])
    changes = Changes(dropped=[row for task, row in known.items() if row.path == paths[task]])
    # What came late, a run may have found out already: by an update, or because the id was given again.
    changes.dropped += ledger.without_task([deletion.row for deletion in deletions])
    if entry.doubted_since is None or changes:
        _enter(run, entry, changes, all_known=not there)
    else:
        _forget_if_old(run, entry)


def deduplicate(run: ImportRun) -> None:
    """Look whether creations that were given up have arrived after all, and undo what that doubled."""
    doubted = [entry for entry in run.ledger.journal() if entry.kind == "create" and entry.doubted_since is not None]
    effects = [creation.effect for entry in doubted for creation in cast("list[CreateEffect]", entry.effects)]
    found = arrived(run.project, effects, min((entry.after_task for entry in doubted), default=0))
    arrivals = [task for tasks in found.values() for task in tasks]
    for entry in doubted:
        rows = run.ledger.of(blobs=entry.as_blob).known_tasks(arrivals)
        creations = cast("list[CreateEffect]", entry.effects)
        late = [(creation, found[creation.effect]) for creation in creations if creation.effect in found]
        # An id alone says nothing: it may have been that of another row's task, which is deleted.
        known = {
            task
            for creation, tasks in late
            for task in tasks
            if task in rows and (rows[task].path, rows[task].digest) == (creation.row.path, creation.row.digest)
        }
        late = [(creation, tasks) for creation, tasks in late if not known >= set(tasks)]
        if late:
            run.ledger.mark_ids_reused([task for _, tasks in late for task in tasks if task not in known])
            _keep_one_each(run, entry, late, known)
        _forget_if_old(run, entry)


def _keep_one_each(
    run: ImportRun, entry: JournalEntry, late: Sequence[tuple[CreateEffect, list[int]]], known: set[int]
) -> None:
    """Of the tasks made from one row keep that which somebody has worked on, or else the ledger's.

    If somebody has worked on both, the ledger's stands for the row, and the other one is known as superseded.
    """
    ledger, objects, changes = run.ledger.of(blobs=entry.as_blob), _Objects(run, entry), Changes()
    extra: dict[int, tuple[CreateEffect, KnownRow | None]] = {}
    """By the id of a task that is one too many, what made it, and the row that has one already."""
    for creation, tasks in late:
        unknown = [task for task in tasks if task not in known]
        row = objects.standing_for(creation, tasks)
        if row is None and not objects.was_compared(creation.row.path):
            row = objects.enter(changes, creation, unknown.pop(0))
        extra |= dict.fromkeys(unknown, (creation, row))
    _enter_late(ledger, changes)
    if not extra:
        return
    log.warning("A request that was given up arrived after all; %d tasks are one too many.", len(extra))
    # The ledger has no row of them; that which has the number of the creation has its own task, or had.
    deletions = [
        DeleteEffect(creation.uri, replace(creation.row, number=UNKNOWN, task=task))
        for task, (creation, _) in extra.items()
    ]
    worked_on = {
        task: extra[task] for task in sorted(extra.keys() - delete_announced(run, ledger, deletions, untouched=True))
    }
    standing = [DeleteEffect(creation.uri, row) for creation, row in worked_on.values() if row and row.task is not None]
    free = delete_announced(run, ledger, standing, untouched=True) if standing else set()
    kept, replaced = Changes(), dict[KnownRow, int]()
    for task, (creation, row) in worked_on.items():
        if row and row not in replaced and (row.task is None or row.task in free):
            replaced[row] = task
            kept.created.append(replace(row, task=task, digest=creation.row.digest))
            continue
        # Its row is in the object no more, or another task stands for it.
        objects.enter(kept, creation, task, state=RowState.SUPERSEDED)
        if row:
            log.error(
                "Tasks %s and %d were made from the same row of %s, or from equal ones, and each has been worked on: "
                "keep one by hand. The first stands for the row.",
                replaced.get(row, row.task),
                task,
                printable(creation.uri),
            )
    _enter_late(ledger, kept)


def _enter_late(ledger: ImportLedger, changes: Changes) -> None:
    reopens = {row.path for row in changes.created}
    ledger.enter(changes, reopens=reopens)


def _enter(run: ImportRun, entry: JournalEntry, changes: Changes, *, all_known: bool) -> None:
    """Enter what was found out; what is not known yet stays in the journal as long as it may come."""
    now = run.runtime.now()
    since = entry.doubted_since or now
    # What does not outlive who sent it has come, or never will.
    may_come = isinstance(run.project, Remote) and not all_known and now - since <= DOUBT_SECONDS
    closes, doubts = ((), (entry.id,)) if may_come else ((entry.id,), ())
    reopens = {effect.row.path for effect in entry.effects}
    run.ledger.of(blobs=entry.as_blob).enter(changes, closes=closes, doubts=doubts, now=since, reopens=reopens)


def _forget_if_old(run: ImportRun, entry: JournalEntry) -> None:
    if run.runtime.now() - (entry.doubted_since or 0) > DOUBT_SECONDS:
        run.ledger.enter(Changes(), closes=(entry.id,))


class _Objects:
    """The rows that the ledger has of the objects of some creations, and where another one can stand."""

    def __init__(self, run: ImportRun, entry: JournalEntry) -> None:
        paths = sorted({effect.row.path for effect in entry.effects})
        ledger = run.ledger.of(blobs=entry.as_blob)
        self._rows = {(row.path, row.number): row for rows in ledger.rows_of(paths).values() for row in rows}
        # Whoever reconciles first has them looked at again: what is dealt with now was compared since.
        known = [obj for page in ledger.objects_at(paths) for obj in page]
        self._compared = {obj.path for obj in known if obj.state == COMPLETE}
        self._at: dict[tuple[str, int], KnownRow] = {}
        self._equal: dict[tuple[str, str | None], list[KnownRow]] = {}
        self._highest: dict[str, int] = {}
        for row in self._rows.values():
            self._highest[row.path] = max(row.number, self._highest.get(row.path, -1))
            if row.state == RowState.LIVE:
                self._equal.setdefault((row.path, row.digest), []).append(row)
                if row.position is not None:
                    self._at[row.path, row.position] = row
        self._of_task = {row.task: row for row in self._rows.values()}
        self._doubled: set[KnownRow] = set()

    def standing_for(self, creation: CreateEffect, tasks: Sequence[int]) -> KnownRow | None:
        """Return the row that a task of this creation would double: its own, or that which another run made instead."""
        own = [self._of_task[task] for task in tasks if task in self._of_task]
        row = creation.row
        here = self._at.get((row.path, row.position)) if row.position is not None else None
        equal = self._equal.get((row.path, row.digest), [])
        made_since = [known for known in equal if known.number >= row.number]
        candidates = [*own, *([here] if here in equal else []), *made_since]
        if not self._still_stands(creation.replaces):
            # Or else an equal row that was known before, or what has come in its place.
            candidates.extend(known for known in (*equal, here) if known)
        found = next((known for known in candidates if known not in self._doubled), None)
        if found:
            self._doubled.add(found)
        return found

    def _still_stands(self, replaced: KnownRow | None) -> bool:
        """Tell whether no run has made another task instead of the one that was to replace a row's."""
        known = self._rows.get((replaced.path, replaced.number)) if replaced else None
        return bool(replaced and known and known.state == RowState.LIVE and known.digest == replaced.digest)

    def was_compared(self, path: str) -> bool:
        """Tell whether a run has dealt with an object since the creation was given up."""
        return path in self._compared

    def enter(self, changes: Changes, creation: CreateEffect, task: int, state: str = RowState.LIVE) -> KnownRow:
        """Note that the task of a creation is there; its row may have gone elsewhere since."""
        path, position = creation.row.path, creation.row.position
        live = state == RowState.LIVE
        before = self._rows.get((path, creation.replaces.number)) if live and creation.replaces else None
        if before and before.state == RowState.LIVE:
            changes.change(replace(before, state=RowState.SUPERSEDED, position=None))
            if before.position is not None:
                del self._at[path, before.position]
        self._highest[path] = number = self._highest.get(path, -1) + 1
        free = live and position is not None and (path, position) not in self._at
        row = replace(creation.row, number=number, state=state, position=position if free else None, task=task)
        if row.position is not None:
            self._at[path, row.position] = row
        changes.created.append(row)
        return row
