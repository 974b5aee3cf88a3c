"""Deleting: tasks whose row or object is gone are deleted at the end of a run, unless they are too many."""

from collections.abc import Sequence

from msgspec.structs import replace

from labelsync_provider.database import chunks
from labelsync_provider.errors import TooManyMissing, counted
from labelsync_provider.sync.importing.state import ImportRun, looked_at
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import Changes, DeleteEffect, JournalEntry, KnownRow

LOOK_AT_ONCE = 1000
"""Tasks that are looked at, or deleted, together."""
MISSING_SHARE = 0.1
"""How many of the tasks made from a source may be deleted in one run, if `max_delete` does not say."""


class Deletions:
    """What is to be deleted at the end of a run. Nobody's work is: a task with an annotation or a draft stays."""

    def __init__(self, run: ImportRun) -> None:
        """Prepare.

        :param run: with `on_missing="report"` nothing is deleted.
        """
        self._run = run
        self._deletes = run.options.on_missing == "delete"
        share = max(1, int(run.ledger.count_tasks() * MISSING_SHARE)) if self._deletes else 0
        self._allowed = share if run.options.max_delete is None else run.options.max_delete
        self._unseen: list[KnownRow] = []
        self._pending: list[KnownRow] = []
        self._gone: list[KnownRow] = []
        """Rows whose task is there no longer: deleted by a person, or by a run that was killed."""
        self._count = 0
        self._forgotten: list[str] = []

    def note(self, rows: Sequence[KnownRow]) -> None:
        """Take note of rows that are in the source no more."""
        if self._deletes:
            self._unseen.extend(rows)
            while len(self._unseen) >= LOOK_AT_ONCE:
                self._look(LOOK_AT_ONCE)

    def forget(self, paths: Sequence[str]) -> None:
        """Take note of objects that are gone: unless a task of theirs stays, nothing is known of them any more."""
        self._forgotten.extend(paths)

    def forget_gone(self) -> None:
        """Enter that objects are gone whose tasks were noted before."""
        self._run.ledger.forget(self._forgotten)

    def carry_out(self) -> None:
        """Delete what has been noted.

        :raises TooManyMissing: more than `max_delete` allows; nothing was deleted.
        """
        run = self._run
        self._look(len(self._unseen))
        if self._count > self._allowed:
            raise TooManyMissing(
                f"Missing in {run.source.uri}: {counted(self._count, 'task')} without annotations, max_delete allows "
                f"{self._allowed:,}; none was deleted. Put the objects back, or set max_delete to at least "
                f"{self._count}. Report: {run.report}"
            )
        for some in chunks(self._pending, min(LOOK_AT_ONCE, run.options.batch_size)):
            self._delete(some)
        if self._gone:
            run.ledger.enter(Changes(dropped=self._gone))
        self.forget_gone()

    def _look(self, count: int) -> None:
        rows, self._unseen = self._still_theirs(self._unseen[:count]), self._unseen[count:]
        looks = looked_at(self._run.project, self._run.source, rows)
        self._gone.extend(row for row in rows if row.task not in looks)
        there = [(row, looks[row.task]) for row in rows if row.task in looks]
        free = [row for row, seen in there if not (seen.worked_on or seen.of_others)]
        self._count += len(free)
        if self._count <= self._allowed:
            self._pending.extend(free)

    def _still_theirs(self, rows: list[KnownRow]) -> list[KnownRow]:
        """Return the rows that still have their task: the id of one that a person deleted may have been given again."""
        by_task = {row.task: row for row in rows if row.task is not None}
        known = self._run.ledger.known_tasks(by_task)
        same = {task for task, row in known.items() if row.is_same(by_task[task])}
        self._gone.extend(replace(row, task=None) for row in rows if row.task not in same)
        return [by_task[task] for task in by_task if task in same]

    def _delete(self, rows: list[KnownRow]) -> None:
        run = self._run
        same = self._still_theirs(rows)
        gone = delete_announced(run, run.ledger, [DeleteEffect(run.uri(row.path), row) for row in same]) if same else ()
        run.report.tasks_deleted += len(gone)


def delete_announced(
    run: ImportRun, ledger: ImportLedger, deletions: list[DeleteEffect], *, untouched: bool = False
) -> set[int]:
    """Delete those of the tasks that nobody works on, and what the ledger knows of them; return their ids.

    :param ledger: of the kind of object that the tasks were made from.
    :param untouched: also tasks whose annotations came with them, and that nothing has happened to since.
    """
    rows = {deletion.row.task: deletion.row for deletion in deletions if deletion.row.task is not None}
    number = ledger.enter(Changes(), announces=JournalEntry("delete", deletions, 0))
    uris = {deletion.row.task: deletion.uri for deletion in deletions if deletion.row.task is not None}
    gone = run.project.delete_tasks(uris, untouched=untouched)
    known = ledger.known_tasks(gone)
    dropped = [row for task, row in known.items() if row.path == rows[task].path]
    ledger.enter(Changes(dropped=dropped), closes=[number])
    return gone
